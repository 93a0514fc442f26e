/* A boot chain as PCRs: what is selected, its digest as quotes and policies have it, the cap. */
#include "tpm2.h"

#include <string.h>

#define COMMAND_POLICY_PCR 0x0000017fu

enum status tpm2_extend(uint8_t pcr[32], struct bytes hash)
{
    uint8_t extended[CRYPTO_HASH_MAX];
    const struct bytes parts[] = {bytes_from(pcr, 32), hash};
    if (hash.len != 32)
        return MALFORMED;
    TRY(crypto_hash(CRYPTO_SHA256, parts, 2, extended));
    memcpy(pcr, extended, 32);
    return OK;
}

enum status tpm2_extend_by(uint8_t pcr[32], struct bytes measured)
{
    uint8_t hash[CRYPTO_HASH_MAX];
    TRY(crypto_hash(CRYPTO_SHA256, &measured, 1, hash));
    return tpm2_extend(pcr, bytes_from(hash, 32));
}

enum status tpm2_cap(uint8_t pcr[32])
{
    return tpm2_extend_by(pcr, bytes_from_text(TPM2_CAP_TEXT));
}

enum status tpm2_pcr_digest(uint32_t mask, const uint8_t pcrs[TPM2_PCR_COUNT][32], uint8_t digest[32])
{
    struct bytes parts[TPM2_PCR_COUNT];
    uint8_t hash[CRYPTO_HASH_MAX];
    size_t count = 0;
    for (size_t i = 0; i < TPM2_PCR_COUNT; i++)
        if (mask >> i & 1)
            parts[count++] = bytes_from(pcrs[i], 32);
    if (count == 0 || mask >> TPM2_PCR_COUNT)
        return MALFORMED;
    TRY(crypto_hash(CRYPTO_SHA256, parts, count, hash));
    memcpy(digest, hash, 32);
    return OK;
}

enum status tpm2_pcr_policy(uint32_t mask, const uint8_t pcrs[TPM2_PCR_COUNT][32], uint8_t policy[32])
{
    static const uint8_t start[32];
    uint8_t digest[32], room[16], hash[CRYPTO_HASH_MAX];
    TRY(tpm2_pcr_digest(mask, pcrs, digest));
    struct writer writer = writer_over(room, sizeof room);
    put_u32be(&writer, COMMAND_POLICY_PCR);
    put_u32be(&writer, 1);
    put_u16be(&writer, TPM2_SHA256);
    put_u8(&writer, 3);
    for (unsigned i = 0; i < 3; i++)
        put_u8(&writer, (uint8_t)(mask >> (8 * i)));
    TRY(writer_end(&writer));
    const struct bytes parts[] = {BYTES_OF(start), writer_bytes(&writer), BYTES_OF(digest)};
    TRY(crypto_hash(CRYPTO_SHA256, parts, 3, hash));
    memcpy(policy, hash, 32);
    return OK;
}

enum status tpm2_approve(const struct crypto_key *boot_signer, const uint8_t policy[32], struct tpm2_approval *approval)
{
    const struct bytes signed_part = bytes_from(policy, 32);
    struct tpm2_approval made = {0};
    memcpy(made.policy, policy, sizeof made.policy);
    TRY(crypto_sign(boot_signer, &signed_part, 1, made.signature));
    *approval = made;
    return OK;
}
