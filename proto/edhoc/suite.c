/* Cipher suites (RFC 9528 §3.6, §10.2) and how one is chosen (§6.3). */
#include "edhoc_internal.h"

static const struct edhoc_suite suites[] = {
    {0, CRYPTO_AES_CCM_16_64_128, CRYPTO_SHA256, 8, CRYPTO_X25519, CRYPTO_ED25519, CRYPTO_AES_CCM_16_64_128},
    {2, CRYPTO_AES_CCM_16_64_128, CRYPTO_SHA256, 8, CRYPTO_P256, CRYPTO_P256, CRYPTO_AES_CCM_16_64_128},
    {3, CRYPTO_AES_CCM_16_128_128, CRYPTO_SHA256, 16, CRYPTO_P256, CRYPTO_P256, CRYPTO_AES_CCM_16_64_128},
    {6, CRYPTO_A128GCM, CRYPTO_SHA256, 16, CRYPTO_X25519, CRYPTO_P256, CRYPTO_A128GCM},
    {24, CRYPTO_A256GCM, CRYPTO_SHA384, 16, CRYPTO_P384, CRYPTO_P384, CRYPTO_A256GCM},
};

const struct edhoc_suite *edhoc_suite(int64_t number)
{
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        if (suites[i].number == number)
            return &suites[i];
    return NULL;
}

const struct edhoc_suite *edhoc_choose_suite(const struct edhoc_profile *profile, const int64_t *theirs, size_t count)
{
    for (size_t own = 0; own < profile->suites_count; own++)
        for (size_t i = 0; i < count; i++)
            if (profile->suites[own] == theirs[i])
                return edhoc_suite(theirs[i]);
    return NULL;
}
