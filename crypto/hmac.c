/* HMAC and HKDF over whatever hashes there are: libcrypto's, or those of crypto/mbedtls. */
#include "crypto.h"

#include <string.h>

#define BLOCK_MAX 128

size_t crypto_hash_len(enum crypto_hash_alg alg)
{
    switch (alg) {
    case CRYPTO_SHA256:
        return 32;
    case CRYPTO_SHA384:
        return 48;
    case CRYPTO_SHA512:
        return 64;
    }
    return 0;
}

static size_t block_len(enum crypto_hash_alg alg)
{
    return alg == CRYPTO_SHA256 ? 64 : 128;
}

static void add_parts(struct crypto_hash_state *state, const struct bytes *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        crypto_hash_add(state, parts[i]);
}

enum status crypto_hash(enum crypto_hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out)
{
    struct crypto_hash_state state;
    TRY(crypto_hash_start(&state, alg));
    add_parts(&state, parts, count);
    crypto_hash_finish(&state, out);
    return OK;
}

/* H(K xor pad || parts) */
static enum status keyed_hash(enum crypto_hash_alg alg, const uint8_t *key_block, uint8_t pad,
                              const struct bytes *parts, size_t count, uint8_t *out)
{
    struct crypto_hash_state state;
    uint8_t padded[BLOCK_MAX];
    TRY(crypto_hash_start(&state, alg));
    for (size_t i = 0; i < block_len(alg); i++)
        padded[i] = key_block[i] ^ pad;
    crypto_hash_add(&state, bytes_from(padded, block_len(alg)));
    wipe(padded, sizeof padded);
    add_parts(&state, parts, count);
    crypto_hash_finish(&state, out);
    return OK;
}

/* RFC 2104 §2 */
enum status crypto_hmac(enum crypto_hash_alg alg, struct bytes key, const struct bytes *parts, size_t count,
                        uint8_t *out)
{
    uint8_t key_block[BLOCK_MAX] = {0};
    uint8_t inner[CRYPTO_HASH_MAX];
    enum status status = OK;
    if (crypto_hash_len(alg) == 0)
        return UNSUPPORTED;
    if (key.len > block_len(alg))
        status = crypto_hash(alg, &key, 1, key_block);
    else if (key.len)
        memcpy(key_block, key.data, key.len);
    if (status == OK)
        status = keyed_hash(alg, key_block, 0x36, parts, count, inner);
    struct bytes inner_part = bytes_from(inner, crypto_hash_len(alg));
    if (status == OK)
        status = keyed_hash(alg, key_block, 0x5c, &inner_part, 1, out);
    wipe(key_block, sizeof key_block);
    wipe(inner, sizeof inner);
    return status;
}

/* RFC 5869 §2.2; HMAC pads an empty salt with zeros by itself. */
enum status crypto_hkdf_extract(enum crypto_hash_alg alg, struct bytes salt, struct bytes ikm, uint8_t *prk)
{
    return crypto_hmac(alg, salt, &ikm, 1, prk);
}

/* RFC 5869 §2.3: T(i) = HMAC(PRK, T(i-1) || info || i) */
enum status crypto_hkdf_expand(enum crypto_hash_alg alg, struct bytes prk, struct bytes info, void *out, size_t len)
{
    size_t hash_len = crypto_hash_len(alg);
    if (hash_len == 0)
        return UNSUPPORTED;
    if (len > 255 * hash_len)
        return NO_ROOM;
    struct writer writer = writer_over(out, len);
    uint8_t block[CRYPTO_HASH_MAX];
    enum status status = OK;
    for (uint8_t i = 1; status == OK && writer.len < len; i++) {
        struct bytes parts[] = {bytes_from(block, i == 1 ? 0 : hash_len), info, bytes_from(&i, 1)};
        status = crypto_hmac(alg, prk, parts, 3, block);
        size_t wanted = len - writer.len < hash_len ? len - writer.len : hash_len;
        if (status == OK)
            put_bytes(&writer, bytes_from(block, wanted));
    }
    wipe(block, sizeof block);
    return status;
}
