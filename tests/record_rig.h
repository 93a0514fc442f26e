/* A sealed record from the inside, for whoever has the monitor's key: what no host can do to one. */
#ifndef BASTIDE_TESTS_RECORD_RIG_H
#define BASTIDE_TESTS_RECORD_RIG_H

#include "abi.h"
#include "check.h"
#include "crypto.h"

#include <string.h>

#define RECORD_HEAD_LEN 224u /* as enclave/store/seal.c has it */
#define RECORD_TAG_LEN 16u

static inline struct monitor_seal_inputs record_inputs(struct bytes record)
{
    struct monitor_seal_inputs inputs;
    struct reader reader = reader_over(bytes_slice(record, 48, 136));
    inputs.policy = take_u32be(&reader);
    inputs.security_version = take_u32be(&reader);
    uint8_t *const parts[] = {inputs.measurement, inputs.signer, inputs.config, inputs.salt};
    for (size_t i = 0; i < 4; i++)
        memcpy(parts[i], take_bytes(&reader, 32).data, 32);
    check_ok(reader_end(&reader));
    return inputs;
}

static inline void record_aead(const uint8_t monitor_key[32], struct bytes record, struct crypto_aead *aead,
                               uint8_t nonce[12])
{
    uint8_t prk[CRYPTO_HASH_MAX], key[32];
    check_ok(crypto_hkdf_extract(CRYPTO_SHA256, bytes_slice(record, 184, 32), bytes_from(monitor_key, 32), prk));
    check_ok(crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, 32), bytes_from_text("bastide store segment"), key, 32));
    check_ok(crypto_aead_init(aead, CRYPTO_A256GCM, BYTES_OF(key)));
    memset(nonce, 0, 4);
    memcpy(nonce + 4, record.data + 216, 8);
}

static inline struct bytes record_text(const uint8_t monitor_key[32], struct bytes record, struct writer *room)
{
    struct crypto_aead aead;
    uint8_t nonce[12];
    record_aead(monitor_key, record, &aead, nonce);
    check_ok(crypto_aead_open(&aead, BYTES_OF(nonce), bytes_slice(record, 0, RECORD_HEAD_LEN),
                              bytes_slice(record, RECORD_HEAD_LEN, record.len - RECORD_HEAD_LEN), room));
    crypto_aead_done(&aead);
    return writer_bytes(room);
}

/* The same record with another text. */
static inline struct bytes record_with(const uint8_t monitor_key[32], struct bytes record, struct bytes text,
                                       struct writer *room)
{
    struct crypto_aead aead;
    uint8_t nonce[12];
    record_aead(monitor_key, record, &aead, nonce);
    put_bytes(room, bytes_slice(record, 0, RECORD_HEAD_LEN));
    check_ok(crypto_aead_seal(&aead, BYTES_OF(nonce), writer_bytes(room), text, room));
    crypto_aead_done(&aead);
    return writer_bytes(room);
}

#endif
