/* The OSCORE option (§6.1) and the errors of the OSCORE layer (§8.2). */
#include "oscore_internal.h"

#define FLAG_PIV 0x07
#define FLAG_KID 0x08
#define FLAG_CONTEXT 0x10

enum status oscore_option_decode(struct bytes value, struct oscore_option *option)
{
    struct oscore_option got = {0};
    if (value.len == 0) {
        *option = got;
        return OK;
    }
    struct reader reader = reader_over(value);
    uint8_t flags = take_u8(&reader);
    got.partial_iv_len = flags & FLAG_PIV;
    /* An option that says nothing is empty, not a zero byte (§2). */
    if (flags & ~(FLAG_PIV | FLAG_KID | FLAG_CONTEXT) || got.partial_iv_len > OSCORE_PIV_MAX || flags == 0)
        return MALFORMED;
    got.partial_iv_bytes = take_bytes(&reader, got.partial_iv_len);
    for (size_t i = 0; i < got.partial_iv_bytes.len; i++)
        got.partial_iv = got.partial_iv << 8 | got.partial_iv_bytes.data[i];
    got.has_kid_context = flags & FLAG_CONTEXT;
    if (got.has_kid_context)
        got.kid_context = take_bytes(&reader, take_u8(&reader));
    got.has_kid = flags & FLAG_KID;
    if (got.has_kid)
        got.kid = take_rest(&reader);
    if (reader_end(&reader) != OK)
        return MALFORMED;
    *option = got;
    return OK;
}

void oscore_put_option(struct writer *writer, const struct oscore_option *option)
{
    if (option->partial_iv_len > OSCORE_PIV_MAX || option->kid_context.len > 255) {
        writer_fail(writer, MALFORMED);
        return;
    }
    uint8_t flags = (uint8_t)(option->partial_iv_len | (option->has_kid ? FLAG_KID : 0u) |
                              (option->has_kid_context ? FLAG_CONTEXT : 0u));
    if (flags == 0)
        return;
    put_u8(writer, flags);
    for (size_t i = option->partial_iv_len; i-- > 0;)
        put_u8(writer, (uint8_t)(option->partial_iv >> (8 * i)));
    if (option->has_kid_context) {
        put_u8(writer, (uint8_t)option->kid_context.len);
        put_bytes(writer, option->kid_context);
    }
    if (option->has_kid)
        put_bytes(writer, option->kid);
}

enum status oscore_server_kid(const struct coap_body *outer, struct bytes *kid)
{
    struct bytes value;
    struct oscore_option option;
    if (!coap_option_find(outer->options, COAP_OSCORE, &value))
        return NOT_FOUND;
    TRY(oscore_option_decode(value, &option));
    if (!option.has_kid)
        return NOT_FOUND;
    *kid = option.kid;
    return OK;
}

void oscore_error(struct writer *outer, enum status status)
{
    static const struct {
        enum status status;
        uint8_t code;
        const char *text;
    } answers[] = {
        {MALFORMED, COAP_BAD_OPTION, "Failed to decode COSE"},
        {UNSUPPORTED, COAP_BAD_OPTION, "Failed to decode COSE"},
        {NOT_FOUND, COAP_UNAUTHORIZED, "Security context not found"},
        {REPLAYED, COAP_UNAUTHORIZED, "Replay detected"},
    };
    uint8_t room[8];
    struct coap_body body = {COAP_BAD_REQUEST, {0}, bytes_from_text("Decryption failed")};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i].status == status)
            body = (struct coap_body){answers[i].code, {0}, bytes_from_text(answers[i].text)};
    /* No cache may keep it (§8.2). */
    struct writer options = writer_over(room, sizeof room);
    struct coap_option_writer list = coap_options_to(&options);
    coap_put_option_uint(&list, COAP_MAX_AGE, 0);
    body.options = writer_bytes(&options);
    coap_body_encode(outer, &body);
}
