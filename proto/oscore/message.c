/* A message in its two halves: options of class U outside, code, all other options and payload inside (§4, §5.3). */
#include "oscore_internal.h"

/* Proxy-Uri would have to be split (§4.1.3.3). We use no proxy, so it stays inside, where a server refuses it. */
static bool is_outer(uint16_t number)
{
    return number == COAP_URI_HOST || number == COAP_URI_PORT || number == COAP_PROXY_SCHEME || number == COAP_OSCORE;
}

static void put_outer_options(struct writer *outer, const struct oscore_option *option, struct bytes options)
{
    uint8_t room[OSCORE_CONTEXT_MAX + OSCORE_ID_MAX + OSCORE_PIV_MAX + 2];
    struct writer value = writer_over(room, sizeof room);
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option_writer list = coap_options_to(outer);
    struct coap_option each;
    bool placed = false;
    oscore_put_option(&value, option);
    if (writer_end(&value) != OK)
        writer_fail(outer, value.status);
    while (coap_option_next(&reader, &each)) {
        if (each.number == COAP_OSCORE || (!is_outer(each.number) && each.number != COAP_OBSERVE))
            continue;
        if (each.number > COAP_OSCORE && !placed) {
            coap_put_option(&list, COAP_OSCORE, writer_bytes(&value));
            placed = true;
        }
        coap_put_option(&list, each.number, each.value);
    }
    if (!placed)
        coap_put_option(&list, COAP_OSCORE, writer_bytes(&value));
}

static void put_inner(struct writer *inner, const struct coap_body *message, bool response)
{
    struct coap_option_reader reader = coap_options_over(message->options);
    struct coap_option_writer list = coap_options_to(inner);
    struct coap_option each;
    put_u8(inner, message->code);
    while (coap_option_next(&reader, &each)) {
        if (is_outer(each.number))
            continue;
        /* In a notification the order comes from the Partial IV: the inner value is empty (§4.1.3.5.2). */
        if (response && each.number == COAP_OBSERVE)
            each.value = (struct bytes){0};
        coap_put_option(&list, each.number, each.value);
    }
    if (coap_options_end(&reader) != OK)
        writer_fail(inner, MALFORMED);
    if (message->payload.len) {
        put_u8(inner, 0xff);
        put_bytes(inner, message->payload);
    }
}

enum status oscore_seal(struct oscore_context *context, uint8_t code, const struct oscore_option *option,
                        const struct coap_body *message, bool response, struct bytes nonce, struct bytes aad,
                        struct writer *outer)
{
    TRY(writer_end(outer));
    size_t before = outer->len;
    put_u8(outer, code);
    put_outer_options(outer, option, message->options);
    put_u8(outer, 0xff);
    TRY(writer_end(outer));
    /* The plaintext is written where its ciphertext will stand. */
    struct writer inner = writer_over(outer->data + outer->len, outer->cap - outer->len);
    put_inner(&inner, message, response);
    enum status status = writer_end(&inner);
    if (status == OK)
        status = crypto_aead_seal(&context->sender, nonce, aad, writer_bytes(&inner), outer);
    if (status != OK) {
        wipe(outer->data + outer->len, outer->cap - outer->len);
        outer->len = before;
    }
    return status;
}

enum status oscore_open(struct oscore_context *context, enum crypto_aead_alg aead, struct bytes nonce, struct bytes aad,
                        struct bytes sealed, struct writer *plain, struct coap_body *message)
{
    struct coap_body got;
    size_t before = plain->len;
    if (sealed.len <= crypto_aead_tag_len(aead))
        return MALFORMED;
    enum status status = crypto_aead_open(&context->recipient, nonce, aad, sealed, plain);
    if (status == AUTH && context->failures < OSCORE_CCM8_FAILURES)
        context->failures++;
    TRY(status);
    status = coap_body_decode(bytes_from(plain->data + before, plain->len - before), &got);
    if (status != OK) {
        wipe(plain->data + before, plain->len - before);
        plain->len = before;
        return MALFORMED;
    }
    *message = got;
    return OK;
}
