/* KDFa, KDFe and TPM2_MakeCredential in software (Part 1 §11.4.10 and §24). Secret: the seed and all made from it. */
#include "tpm2.h"

#include <string.h>

#define HASH_LEN 32
#define AES_KEY_LEN 16

enum status tpm2_kdfa(struct bytes key, const char *label, struct bytes context_u, struct bytes context_v, void *out,
                      size_t len)
{
    if (len > 0x10000)
        return NO_ROOM;
    struct writer made = writer_over(out, len);
    for (uint32_t i = 1; made.len < len; i++) {
        uint8_t counter[4], bits[4], block[CRYPTO_HASH_MAX];
        struct writer head = writer_over(counter, sizeof counter), tail = writer_over(bits, sizeof bits);
        put_u32be(&head, i);
        put_u32be(&tail, (uint32_t)len * 8);
        const struct bytes parts[] = {BYTES_OF(counter), bytes_from(label, strlen(label) + 1), context_u, context_v,
                                      BYTES_OF(bits)};
        TRY(crypto_hmac(CRYPTO_SHA256, key, parts, 5, block));
        put_bytes(&made, bytes_from(block, len - made.len < HASH_LEN ? len - made.len : HASH_LEN));
        wipe(block, sizeof block);
    }
    return writer_end(&made);
}

enum status tpm2_kdfe(struct bytes z, const char *label, struct bytes x_u, struct bytes x_v, void *out, size_t len)
{
    if (len > HASH_LEN)
        return NO_ROOM;
    static const uint8_t counter[4] = {0, 0, 0, 1};
    uint8_t block[CRYPTO_HASH_MAX];
    const struct bytes parts[] = {BYTES_OF(counter), z, bytes_from(label, strlen(label) + 1), x_u, x_v};
    TRY(crypto_hash(CRYPTO_SHA256, parts, 5, block));
    struct writer made = writer_over(out, len);
    put_bytes(&made, bytes_from(block, len));
    wipe(block, sizeof block);
    return writer_end(&made);
}

/* An ephemeral key's half of TPM2B_ENCRYPTED_SECRET and the seed only the EK's holder shares with us. */
static enum status share_seed(const struct tpm2_public *ek, uint8_t point[64], struct secret *seed)
{
    struct crypto_public ek_key;
    TRY(tpm2_public_key(ek, &ek_key));
    struct crypto_key ephemeral = {0};
    SECRET z = {.len = 0};
    enum status status = crypto_key_generate(&ephemeral, CRYPTO_P256);
    if (status == OK)
        status = crypto_ecdh(&ephemeral, crypto_public_bytes(&ek_key), &z);
    if (status == OK) {
        struct writer writer = writer_over(point, 64);
        put_bytes(&writer, bytes_slice(crypto_public_bytes(&ephemeral.public_key), 1, 64));
        seed->len = HASH_LEN;
        status = tpm2_kdfe(secret_bytes(&z), "IDENTITY", bytes_from(point, 32), BYTES_OF(ek->x), seed->data, HASH_LEN);
    }
    crypto_key_done(&ephemeral);
    return status;
}

static enum status protect(const struct secret *seed, const uint8_t name[TPM2_NAME_LEN], struct bytes secret,
                           uint8_t *encrypted, size_t *encrypted_len, uint8_t *integrity)
{
    struct bytes named = bytes_from(name, TPM2_NAME_LEN), none = {0};
    SECRET key = {.len = AES_KEY_LEN};
    SECRET hmac_key = {.len = HASH_LEN};
    SECRET plain = {.len = 2 + secret.len};
    TRY(tpm2_kdfa(secret_bytes(seed), "STORAGE", named, none, key.data, key.len));
    TRY(tpm2_kdfa(secret_bytes(seed), "INTEGRITY", none, none, hmac_key.data, hmac_key.len));
    struct writer writer = writer_over(plain.data, sizeof plain.data);
    put_u16be(&writer, (uint16_t)secret.len);
    put_bytes(&writer, secret);
    TRY(writer_end(&writer));
    static const uint8_t zero_iv[16];
    TRY(crypto_aes128_cfb_encrypt(secret_bytes(&key), BYTES_OF(zero_iv), secret_bytes(&plain), encrypted));
    *encrypted_len = plain.len;
    const struct bytes parts[] = {bytes_from(encrypted, plain.len), named};
    return crypto_hmac(CRYPTO_SHA256, secret_bytes(&hmac_key), parts, 2, integrity);
}

enum status tpm2_make_credential(const struct tpm2_public *ek, const uint8_t name[TPM2_NAME_LEN], struct bytes secret,
                                 struct writer *blob)
{
    if (secret.len == 0 || secret.len > TPM2_CREDENTIAL_SECRET_MAX)
        return NO_ROOM;
    uint8_t point[64], encrypted[2 + TPM2_CREDENTIAL_SECRET_MAX], integrity[CRYPTO_HASH_MAX];
    size_t encrypted_len = 0;
    SECRET seed = {.len = 0};
    TRY(share_seed(ek, point, &seed));
    TRY(protect(&seed, name, secret, encrypted, &encrypted_len, integrity));
    struct writer made = *blob;
    put_u16be(&made, (uint16_t)(2 + HASH_LEN + encrypted_len));
    put_u16be(&made, HASH_LEN);
    put_bytes(&made, bytes_from(integrity, HASH_LEN));
    put_bytes(&made, bytes_from(encrypted, encrypted_len));
    put_u16be(&made, 2 * (2 + 32));
    put_u16be(&made, 32);
    put_bytes(&made, bytes_from(point, 32));
    put_u16be(&made, 32);
    put_bytes(&made, bytes_from(point + 32, 32));
    TRY(writer_end(&made));
    *blob = made;
    return OK;
}
