/* Hashes. libcrypto's EVP allocates for every message it hashes (3.0), its block functions do not:
 * this file uses those, with their state in the caller's struct. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto.h"

#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof((struct crypto_hash_state *)0)->state, "the state holds SHA-256");
_Static_assert(sizeof(SHA512_CTX) <= sizeof((struct crypto_hash_state *)0)->state, "the state holds SHA-512");

enum status crypto_hash_start(struct crypto_hash_state *state, enum crypto_hash_alg alg)
{
    if (crypto_hash_len(alg) == 0)
        return UNSUPPORTED;
    void *context = state->state;
    state->alg = alg;
    if (alg == CRYPTO_SHA256)
        SHA256_Init(context);
    else if (alg == CRYPTO_SHA384)
        SHA384_Init(context);
    else
        SHA512_Init(context);
    return OK;
}

void crypto_hash_add(struct crypto_hash_state *state, struct bytes bytes)
{
    if (bytes.len == 0 || crypto_hash_len(state->alg) == 0)
        return;
    if (state->alg == CRYPTO_SHA256)
        SHA256_Update((void *)state->state, bytes.data, bytes.len);
    else
        SHA512_Update((void *)state->state, bytes.data, bytes.len);
}

void crypto_hash_finish(struct crypto_hash_state *state, uint8_t *out)
{
    if (state->alg == CRYPTO_SHA256)
        SHA256_Final(out, (void *)state->state);
    else if (crypto_hash_len(state->alg)) /* SHA-384 is in the context as its length */
        SHA512_Final(out, (void *)state->state);
    wipe(state, sizeof *state);
}
