/* How long keys and signatures are, whichever library makes them. */
#include "crypto.h"

static bool is_nist(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 || curve == CRYPTO_P384;
}

size_t crypto_private_len(enum crypto_curve curve)
{
    switch (curve) {
    case CRYPTO_P384:
        return 48;
    case CRYPTO_P256:
    case CRYPTO_X25519:
    case CRYPTO_ED25519:
        return 32;
    }
    return 0;
}

size_t crypto_public_len(enum crypto_curve curve)
{
    return is_nist(curve) ? 1 + 2 * crypto_private_len(curve) : crypto_private_len(curve);
}

size_t crypto_signature_len(enum crypto_curve curve)
{
    return curve == CRYPTO_X25519 ? 0 : 2 * crypto_private_len(curve);
}

struct bytes crypto_public_bytes(const struct crypto_public *key)
{
    return bytes_from(key->data, key->len);
}

struct bytes crypto_public_x(const struct crypto_public *key)
{
    return bytes_slice(crypto_public_bytes(key), is_nist(key->curve) ? 1 : 0, crypto_private_len(key->curve));
}
