/* Proposal, request and binder (draft-ietf-lake-ra-05 §5.3, §5.3.3.1). */
#include "attest.h"

#include "cbor.h"

#define EXPORTER_LABEL 2u

void attest_put_proposal(struct writer *writer, const uint32_t *formats, size_t count)
{
    if (count == 0 || count > ATTEST_FORMATS_MAX)
        writer_fail(writer, NO_ROOM);
    cbor_put_array(writer, count);
    for (size_t i = 0; i < count; i++)
        cbor_put_uint(writer, formats[i]);
}

static uint32_t take_format(struct reader *reader)
{
    uint64_t format = cbor_take_uint(reader);
    if (format > UINT16_MAX)
        reader_fail(reader, MALFORMED);
    return (uint32_t)format;
}

enum status attest_proposal_decode(struct bytes value, uint32_t formats[ATTEST_FORMATS_MAX], size_t *count)
{
    struct reader reader = reader_over(value);
    uint32_t got[ATTEST_FORMATS_MAX] = {0};
    size_t announced = cbor_take_array(&reader);
    TRY(reader.status);
    if (announced == 0)
        return MALFORMED;
    if (announced > ATTEST_FORMATS_MAX)
        return NO_ROOM;
    for (size_t i = 0; i < announced; i++)
        got[i] = take_format(&reader);
    TRY(reader_end(&reader));
    for (size_t i = 0; i < announced; i++)
        formats[i] = got[i];
    *count = announced;
    return OK;
}

static bool nonce_fits(struct bytes nonce)
{
    return nonce.len >= EAT_NONCE_MIN && nonce.len <= EAT_NONCE_MAX;
}

void attest_put_request(struct writer *writer, const struct attest_request *request)
{
    if (!nonce_fits(request->nonce))
        writer_fail(writer, MALFORMED);
    cbor_put_array(writer, 2);
    cbor_put_uint(writer, request->format);
    cbor_put_bytes(writer, request->nonce);
}

enum status attest_request_decode(struct bytes value, struct attest_request *request)
{
    struct reader reader = reader_over(value);
    struct attest_request got = {0};
    if (cbor_take_array(&reader) != 2)
        reader_fail(&reader, MALFORMED);
    got.format = take_format(&reader);
    got.nonce = cbor_take_bytes(&reader);
    TRY(reader_end(&reader));
    if (!nonce_fits(got.nonce))
        return MALFORMED;
    *request = got;
    return OK;
}

enum status attest_binder(const struct edhoc_session *session, struct attest_binder *binder)
{
    struct attest_binder made = {0};
    if (!session->suite)
        return WRONG_STATE;
    made.len = crypto_hash_len(session->suite->hash);
    TRY(edhoc_export(session, EXPORTER_LABEL, bytes_from_text("attestation"), made.data, made.len));
    *binder = made;
    return OK;
}
