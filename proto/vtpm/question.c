/* The question for endorsement keys: a nonce. */
#include "vtpm_keys.h"

#define HEAD 4u

static bool fits(size_t len)
{
    return len >= VTPM_KEYS_NONCE_MIN && len <= VTPM_KEYS_NONCE_MAX;
}

enum status vtpm_keys_question_len(struct bytes seen, size_t *len)
{
    struct reader reader = reader_over(seen);
    const uint16_t version = take_u16be(&reader);
    TRY(reader.status);
    if (version != VTPM_KEYS_VERSION)
        return UNSUPPORTED;
    const uint16_t nonce_len = take_u16be(&reader);
    TRY(reader.status);
    if (!fits(nonce_len))
        return MALFORMED;
    if (reader.rest.len < nonce_len)
        return TRUNCATED;
    *len = HEAD + nonce_len;
    return OK;
}

enum status vtpm_keys_question_decode(struct bytes encoded, struct bytes *nonce)
{
    size_t len = 0;
    TRY(vtpm_keys_question_len(encoded, &len));
    if (len != encoded.len)
        return MALFORMED;
    *nonce = bytes_slice(encoded, HEAD, len - HEAD);
    return OK;
}

void vtpm_keys_put_question(struct writer *writer, struct bytes nonce)
{
    if (!fits(nonce.len))
        writer_fail(writer, MALFORMED);
    put_u16be(writer, VTPM_KEYS_VERSION);
    put_u16be(writer, (uint16_t)nonce.len);
    put_bytes(writer, nonce);
}
