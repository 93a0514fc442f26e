/* Keys, agreement and signatures by PSA; `pkey` is the number of PSA's key. Signatures are deterministic (RFC 6979),
 * for a device's randomness may be poor. Public: curves, lengths, public keys. Secret: the rest. */
#include "crypto_mbedtls_internal.h"

#include <psa/crypto.h>

static bool is_nist(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 || curve == CRYPTO_P384;
}

static psa_key_id_t id_of(const struct crypto_key *key)
{
    return (psa_key_id_t)(uintptr_t)key->pkey;
}

static enum status status_of(psa_status_t status)
{
    switch (status) {
    case PSA_SUCCESS:
        return OK;
    case PSA_ERROR_INVALID_ARGUMENT:
        return MALFORMED;
    case PSA_ERROR_BAD_STATE:
        return WRONG_STATE;
    case PSA_ERROR_NOT_SUPPORTED:
        return UNSUPPORTED;
    case PSA_ERROR_INSUFFICIENT_MEMORY:
        return NO_ROOM;
    default:
        return INTERNAL;
    }
}

static psa_key_attributes_t pair_of(enum crypto_curve curve)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, crypto_private_len(curve) * 8);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_DERIVE | PSA_KEY_USAGE_EXPORT);
    psa_set_key_algorithm(&attributes, PSA_ALG_DETERMINISTIC_ECDSA(PSA_ALG_ANY_HASH));
    psa_set_key_enrollment_algorithm(&attributes, PSA_ALG_ECDH);
    return attributes;
}

static enum status adopt(struct crypto_key *key, enum crypto_curve curve, psa_key_id_t id)
{
    struct crypto_key made = {.public_key.curve = curve, .pkey = (void *)(uintptr_t)id};
    enum status status =
        status_of(psa_export_public_key(id, made.public_key.data, sizeof made.public_key.data, &made.public_key.len));
    if (status == OK && made.public_key.len != crypto_public_len(curve))
        status = INTERNAL;
    if (status == OK)
        *key = made;
    else
        crypto_key_done(&made);
    return status;
}

enum status crypto_key_generate(struct crypto_key *key, enum crypto_curve curve)
{
    if (!is_nist(curve))
        return UNSUPPORTED;
    psa_key_attributes_t attributes = pair_of(curve);
    psa_key_id_t id = 0;
    TRY(status_of(psa_generate_key(&attributes, &id)));
    return adopt(key, curve, id);
}

enum status crypto_key_import(struct crypto_key *key, enum crypto_curve curve, struct bytes private_key)
{
    if (!is_nist(curve))
        return UNSUPPORTED;
    if (private_key.len != crypto_private_len(curve))
        return MALFORMED;
    psa_key_attributes_t attributes = pair_of(curve);
    psa_key_id_t id = 0;
    TRY(status_of(psa_import_key(&attributes, private_key.data, private_key.len, &id)));
    return adopt(key, curve, id);
}

enum status crypto_key_export(const struct crypto_key *key, struct secret *private_key)
{
    if (!key->pkey)
        return WRONG_STATE;
    SECRET made = {0};
    TRY(status_of(psa_export_key(id_of(key), made.data, sizeof made.data, &made.len)));
    return secret_set(private_key, secret_bytes(&made));
}

void crypto_key_done(struct crypto_key *key)
{
    if (key->pkey)
        (void)psa_destroy_key(id_of(key));
    *key = (struct crypto_key){0};
}

enum status crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared)
{
    if (!key->pkey)
        return WRONG_STATE;
    struct crypto_public public_key;
    TRY(crypto_public_import(&public_key, key->public_key.curve, peer));
    SECRET made = {0};
    TRY(status_of(psa_raw_key_agreement(PSA_ALG_ECDH, id_of(key), public_key.data, public_key.len, made.data,
                                        sizeof made.data, &made.len)));
    return secret_set(shared, secret_bytes(&made));
}

/* ---- Signatures: PSA's form is COSE's, r || s ---- */

static enum crypto_hash_alg hash_of(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 ? CRYPTO_SHA256 : CRYPTO_SHA384;
}

enum status crypto_sign(const struct crypto_key *key, const struct bytes *parts, size_t count, uint8_t *signature)
{
    if (!key->pkey)
        return WRONG_STATE;
    enum crypto_curve curve = key->public_key.curve;
    psa_algorithm_t alg = PSA_ALG_DETERMINISTIC_ECDSA(curve == CRYPTO_P256 ? PSA_ALG_SHA_256 : PSA_ALG_SHA_384);
    uint8_t hash[CRYPTO_HASH_MAX], made[CRYPTO_SIGNATURE_MAX];
    size_t len = 0;
    TRY(crypto_hash(hash_of(curve), parts, count, hash));
    TRY(status_of(psa_sign_hash(id_of(key), alg, hash, crypto_hash_len(hash_of(curve)), made, sizeof made, &len)));
    struct writer writer = writer_over(signature, crypto_signature_len(curve));
    put_bytes(&writer, bytes_from(made, len));
    return len == crypto_signature_len(curve) ? OK : INTERNAL;
}

enum status crypto_verify_hash(enum crypto_curve curve, struct bytes public_key, struct bytes hash,
                               struct bytes signature)
{
    struct crypto_public key;
    psa_key_id_t id = 0;
    TRY(crypto_public_import(&key, curve, public_key));
    if (hash.len != 32 && hash.len != 48 && hash.len != 64)
        return MALFORMED;
    if (signature.len != crypto_signature_len(curve))
        return AUTH;
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, crypto_private_len(curve) * 8);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA_ANY);
    TRY(status_of(psa_import_key(&attributes, key.data, key.len, &id)));
    psa_status_t verified = psa_verify_hash(id, PSA_ALG_ECDSA_ANY, hash.data, hash.len, signature.data, signature.len);
    (void)psa_destroy_key(id);
    return verified == PSA_SUCCESS ? OK : AUTH;
}

enum status crypto_verify(enum crypto_curve curve, struct bytes public_key, const struct bytes *parts, size_t count,
                          struct bytes signature)
{
    uint8_t hash[CRYPTO_HASH_MAX];
    if (!is_nist(curve))
        return UNSUPPORTED;
    TRY(crypto_hash(hash_of(curve), parts, count, hash));
    return crypto_verify_hash(curve, public_key, bytes_from(hash, crypto_hash_len(hash_of(curve))), signature);
}
