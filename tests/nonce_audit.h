/* Every (key, nonce) of AEAD, seen where it is used. For one file of a test that is linked with
 * -Wl,--wrap=crypto_aead_init_for,--wrap=crypto_aead_done,--wrap=crypto_aead_seal; afterwards pairs_twice must be 0. */
#ifndef BASTIDE_TESTS_NONCE_AUDIT_H
#define BASTIDE_TESTS_NONCE_AUDIT_H

#include "check.h"
#include "crypto.h"

enum { CONTEXTS_MAX = 64, PAIRS_MAX = 1 << 18, PAIR_LEN = CRYPTO_AEAD_KEY_MAX + CRYPTO_AEAD_NONCE_MAX };

static struct {
    const void *seal;
    uint8_t key[CRYPTO_AEAD_KEY_MAX];
} contexts[CONTEXTS_MAX]; /* as long as they live */
static uint8_t pairs[PAIRS_MAX][PAIR_LEN];
static bool pair_used[PAIRS_MAX];
static size_t pairs_count, pairs_twice;

enum status __real_crypto_aead_init_for(struct crypto_aead *aead, enum crypto_aead_alg alg, struct bytes key,
                                        enum crypto_aead_use use);
enum status __wrap_crypto_aead_init_for(struct crypto_aead *aead, enum crypto_aead_alg alg, struct bytes key,
                                        enum crypto_aead_use use);
void __real_crypto_aead_done(struct crypto_aead *aead);
void __wrap_crypto_aead_done(struct crypto_aead *aead);
enum status __real_crypto_aead_seal(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes text,
                                    struct writer *out);
enum status __wrap_crypto_aead_seal(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes text,
                                    struct writer *out);

static size_t context_of(const void *seal)
{
    size_t at = 0;
    while (at < CONTEXTS_MAX && contexts[at].seal != seal)
        at++;
    assert_true(at < CONTEXTS_MAX);
    return at;
}

enum status __wrap_crypto_aead_init_for(struct crypto_aead *aead, enum crypto_aead_alg alg, struct bytes key,
                                        enum crypto_aead_use use)
{
    TRY(__real_crypto_aead_init_for(aead, alg, key, use));
    if (!aead->seal)
        return OK; /* it only opens */
    size_t at = context_of(NULL);
    assert_true(key.len <= CRYPTO_AEAD_KEY_MAX);
    contexts[at].seal = aead->seal;
    memset(contexts[at].key, 0, sizeof contexts[at].key);
    memcpy(contexts[at].key, key.data, key.len);
    return OK;
}

void __wrap_crypto_aead_done(struct crypto_aead *aead)
{
    if (aead->seal)
        contexts[context_of(aead->seal)].seal = NULL;
    __real_crypto_aead_done(aead);
}

static void note_pair(const uint8_t key[CRYPTO_AEAD_KEY_MAX], struct bytes nonce)
{
    uint8_t pair[PAIR_LEN] = {0};
    uint64_t hash = 14695981039346656037u;
    memcpy(pair, key, CRYPTO_AEAD_KEY_MAX);
    memcpy(pair + CRYPTO_AEAD_KEY_MAX, nonce.data, nonce.len);
    for (size_t i = 0; i < sizeof pair; i++)
        hash = (hash ^ pair[i]) * 1099511628211u;
    size_t at = (size_t)(hash >> 20) % PAIRS_MAX;
    while (pair_used[at] && memcmp(pairs[at], pair, sizeof pair) != 0)
        at = (at + 1) % PAIRS_MAX;
    pairs_twice += pair_used[at];
    pairs_count++;
    assert_true(pairs_count < PAIRS_MAX / 2);
    pair_used[at] = true;
    memcpy(pairs[at], pair, sizeof pair);
}

enum status __wrap_crypto_aead_seal(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes text,
                                    struct writer *out)
{
    note_pair(contexts[context_of(aead->seal)].key, nonce);
    return __real_crypto_aead_seal(aead, nonce, aad, text, out);
}

#endif
