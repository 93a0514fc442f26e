/* The code as text. */
#include "enrol_internal.h"

#include "cbor.h"

#include <string.h>
#include <strings.h>

#define SCHEME "bastide:"
#define VERSION 1
#define ENCODED_MAX (ENROL_REFERENCE_MAX + ENROL_SECRET_LEN + ENROL_NAME_MAX + 8)

enum status enrol_code_encode(const struct enrol_code *code, char *text, size_t cap)
{
    uint8_t room[ENCODED_MAX];
    struct writer writer = writer_over(room, sizeof room);
    size_t scheme = sizeof SCHEME - 1;
    cbor_put_array(&writer, 4);
    cbor_put_uint(&writer, VERSION);
    cbor_put_bytes(&writer, BYTES_OF(code->secret));
    cbor_put_text(&writer, code->name);
    enrol_put_reference(&writer, &code->reference);
    enum status status = writer_end(&writer);
    if (status == OK)
        status = cap > scheme ? base64url_encode(writer_bytes(&writer), text + scheme, cap - scheme) : NO_ROOM;
    if (status == OK)
        memcpy(text, SCHEME, scheme);
    wipe(room, sizeof room);
    return status;
}

static enum status decode(struct bytes encoded, struct enrol_code *code)
{
    struct enrol_code got = {0};
    struct reader reader = reader_over(encoded);
    if (cbor_take_array(&reader) != 4)
        reader_fail(&reader, MALFORMED);
    if (cbor_take_uint(&reader) != VERSION)
        reader_fail(&reader, UNSUPPORTED);
    struct bytes secret = cbor_take_bytes(&reader);
    enrol_take_text(&reader, got.name, ENROL_NAME_MAX);
    struct bytes reference = cbor_take_item(&reader);
    TRY(reader_end(&reader));
    if (secret.len != sizeof got.secret)
        return MALFORMED;
    TRY(enrol_reference_decode(reference, &got.reference));
    memcpy(got.secret, secret.data, sizeof got.secret);
    *code = got;
    wipe(&got, sizeof got);
    return OK;
}

/* Copied without what is around it. */
static enum status trim(const char *text, char trimmed[ENROL_TEXT_MAX])
{
    static const char blank[] = " \t\r\n";
    text += strspn(text, blank);
    if (strncasecmp(text, SCHEME, sizeof SCHEME - 1) != 0)
        return MALFORMED;
    text += sizeof SCHEME - 1;
    size_t len = strcspn(text, blank);
    if (text[len + strspn(text + len, blank)] != 0)
        return MALFORMED;
    if (len >= ENROL_TEXT_MAX)
        return NO_ROOM;
    memcpy(trimmed, text, len);
    trimmed[len] = 0;
    return OK;
}

enum status enrol_code_decode(const char *text, struct enrol_code *code)
{
    char trimmed[ENROL_TEXT_MAX];
    uint8_t room[ENROL_TEXT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    TRY(trim(text, trimmed));
    enum status status = base64url_decode(trimmed, &writer);
    if (status == OK)
        status = decode(writer_bytes(&writer), code);
    wipe(trimmed, sizeof trimmed);
    wipe(room, sizeof room);
    return status == TRUNCATED ? MALFORMED : status;
}
