/* The question for endorsement keys: a nonce; and for an attestation key: the handle where it persists. */
#include "vtpm_keys.h"

#define HEAD 4u
#define HANDLE_LEN 4u

static bool fits(size_t len)
{
    return len >= VTPM_KEYS_NONCE_MIN && len <= VTPM_KEYS_NONCE_MAX;
}

static bool persists(uint32_t handle)
{
    return handle >> 24 == VTPM_KEYS_HANDLE >> 24;
}

enum status vtpm_keys_question_len(struct bytes seen, size_t *len)
{
    struct reader reader = reader_over(seen);
    const uint16_t version = take_u16be(&reader);
    TRY(reader.status);
    if (version != VTPM_KEYS_VERSION && version != VTPM_KEYS_VERSION_AK)
        return UNSUPPORTED;
    const uint16_t nonce_len = take_u16be(&reader);
    TRY(reader.status);
    if (!fits(nonce_len))
        return MALFORMED;
    const size_t rest = nonce_len + (version == VTPM_KEYS_VERSION_AK ? HANDLE_LEN : 0);
    if (reader.rest.len < rest)
        return TRUNCATED;
    *len = HEAD + rest;
    return OK;
}

enum status vtpm_keys_question_decode(struct bytes encoded, struct vtpm_keys_question *question)
{
    size_t len = 0;
    struct vtpm_keys_question got = {0};
    struct reader reader = reader_over(encoded);
    TRY(vtpm_keys_question_len(encoded, &len));
    const uint16_t version = take_u16be(&reader);
    got.nonce = take_bytes(&reader, take_u16be(&reader));
    if (version == VTPM_KEYS_VERSION_AK) {
        got.ak = take_u32be(&reader);
        if (!persists(got.ak))
            return MALFORMED;
    }
    TRY(reader_end(&reader));
    *question = got;
    return OK;
}

static void put_head(struct writer *writer, uint16_t version, struct bytes nonce)
{
    if (!fits(nonce.len))
        writer_fail(writer, MALFORMED);
    put_u16be(writer, version);
    put_u16be(writer, (uint16_t)nonce.len);
    put_bytes(writer, nonce);
}

void vtpm_keys_put_question(struct writer *writer, struct bytes nonce)
{
    put_head(writer, VTPM_KEYS_VERSION, nonce);
}

void vtpm_keys_put_ak_question(struct writer *writer, struct bytes nonce, uint32_t handle)
{
    if (!persists(handle))
        writer_fail(writer, MALFORMED);
    put_head(writer, VTPM_KEYS_VERSION_AK, nonce);
    put_u32be(writer, handle);
}
