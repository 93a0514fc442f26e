/* Hashes, with their state in the caller's struct. */
#include "crypto.h"

#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

_Static_assert(sizeof(mbedtls_sha256_context) <= sizeof((struct crypto_hash_state *)0)->state, "room for SHA-256");
_Static_assert(sizeof(mbedtls_sha512_context) <= sizeof((struct crypto_hash_state *)0)->state, "room for SHA-512");

/* Without hardware behind them these functions cannot fail; with it, what is left is no hash, and matches none. */
enum status crypto_hash_start(struct crypto_hash_state *state, enum crypto_hash_alg alg)
{
    if (crypto_hash_len(alg) == 0)
        return UNSUPPORTED;
    state->alg = alg;
    if (alg == CRYPTO_SHA256) {
        mbedtls_sha256_init((void *)state->state);
        return mbedtls_sha256_starts_ret((void *)state->state, 0) == 0 ? OK : INTERNAL;
    }
    mbedtls_sha512_init((void *)state->state);
    return mbedtls_sha512_starts_ret((void *)state->state, alg == CRYPTO_SHA384) == 0 ? OK : INTERNAL;
}

void crypto_hash_add(struct crypto_hash_state *state, struct bytes bytes)
{
    if (bytes.len == 0 || crypto_hash_len(state->alg) == 0)
        return;
    if (state->alg == CRYPTO_SHA256)
        (void)mbedtls_sha256_update_ret((void *)state->state, bytes.data, bytes.len);
    else
        (void)mbedtls_sha512_update_ret((void *)state->state, bytes.data, bytes.len);
}

void crypto_hash_finish(struct crypto_hash_state *state, uint8_t *out)
{
    uint8_t whole[CRYPTO_HASH_MAX] = {0};
    size_t len = crypto_hash_len(state->alg);
    if (state->alg == CRYPTO_SHA256)
        (void)mbedtls_sha256_finish_ret((void *)state->state, whole);
    else if (len)
        (void)mbedtls_sha512_finish_ret((void *)state->state, whole);
    struct writer writer = writer_over(out, len); /* SHA-384 is a shorter SHA-512, which writes all of itself */
    put_bytes(&writer, bytes_from(whole, len));
    wipe(whole, sizeof whole);
    wipe(state, sizeof *state);
}
