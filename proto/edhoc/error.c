/* Error messages (RFC 9528 §6): ( ERR_CODE, ERR_INFO ). */
#include "edhoc_internal.h"

void edhoc_put_error(struct writer *writer, const char *text)
{
    cbor_put_int(writer, EDHOC_ERROR_UNSPECIFIED);
    cbor_put_text(writer, text);
}

void edhoc_put_error_suites(struct writer *writer, const struct edhoc_profile *profile)
{
    cbor_put_int(writer, EDHOC_ERROR_SUITE);
    if (profile->suites_count != 1)
        cbor_put_array(writer, profile->suites_count);
    for (size_t i = 0; i < profile->suites_count; i++)
        cbor_put_int(writer, profile->suites[i]);
}

void edhoc_put_error_unknown_credential(struct writer *writer)
{
    cbor_put_int(writer, EDHOC_ERROR_UNKNOWN_CREDENTIAL);
    cbor_put_bool(writer, true);
}

static void take_suites(struct reader *reader, struct edhoc_error *error)
{
    size_t count = 1;
    if (cbor_peek_type(reader) == CBOR_ARRAY) {
        count = cbor_take_array(reader);
        if (count < 2)
            reader_fail(reader, MALFORMED);
        if (count > EDHOC_SUITES_MAX)
            reader_fail(reader, NO_ROOM);
    }
    for (size_t i = 0; i < count && reader->status == OK; i++)
        error->suites[error->suites_count++] = cbor_take_int(reader);
}

enum status edhoc_error_decode(struct bytes message, struct edhoc_error *error)
{
    struct reader reader = reader_over(message);
    struct edhoc_error got = {.code = cbor_take_int(&reader)};
    TRY(reader.status);
    if (got.code == 0)
        return MALFORMED;
    if (got.code == EDHOC_ERROR_UNSPECIFIED)
        got.text = cbor_take_text(&reader);
    else if (got.code == EDHOC_ERROR_SUITE)
        take_suites(&reader, &got);
    else if (got.code != EDHOC_ERROR_UNKNOWN_CREDENTIAL)
        cbor_skip(&reader);
    else if (!cbor_take_bool(&reader))
        reader_fail(&reader, MALFORMED);
    TRY(reader_end(&reader));
    if (got.text.len > EDHOC_ERROR_TEXT_MAX)
        return NO_ROOM;
    *error = got;
    return OK;
}
