/* crypto.h over Mbed TLS 2.28, for devices: P-256 and P-384, every AEAD and hash, nothing of 25519 (UNSUPPORTED). Keys
 * and randomness are PSA's, so that a device may keep them in hardware; of those no more than
 * MBEDTLS_PSA_KEY_SLOT_COUNT (32) live at once. Hashes and AEAD use contexts of their own, because PSA's one-shot
 * calls allocate per message. What only an owner's machine does is not here, so a device that asks for it does not
 * link: writing PEM, locked PEM, AES-CFB. */
#include "crypto_mbedtls_internal.h"

#include <psa/crypto.h>

static bool ready;
static mbedtls_ecp_group groups[2];

bool mbedtls_is_ready(void)
{
    return ready;
}

mbedtls_ecp_group *mbedtls_group(enum crypto_curve curve)
{
    if (!ready || (curve != CRYPTO_P256 && curve != CRYPTO_P384))
        return NULL;
    return &groups[curve == CRYPTO_P384];
}

enum status crypto_init(void)
{
    if (ready)
        return OK;
    if (psa_crypto_init() != PSA_SUCCESS)
        return IO;
    mbedtls_ecp_group_init(&groups[0]);
    mbedtls_ecp_group_init(&groups[1]);
    if (mbedtls_ecp_group_load(&groups[0], MBEDTLS_ECP_DP_SECP256R1) ||
        mbedtls_ecp_group_load(&groups[1], MBEDTLS_ECP_DP_SECP384R1))
        return UNSUPPORTED;
    ready = true;
    return OK;
}

enum status crypto_random(void *out, size_t len)
{
    TRY(crypto_init());
    return psa_generate_random(out, len) == PSA_SUCCESS ? OK : IO;
}
