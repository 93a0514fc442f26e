/* Signatures in the form COSE gives them: ECDSA as r || s, both as long as the curve (RFC 9053 §2.1), and EdDSA. */
#include "crypto_internal.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#define DER_MAX 112 /* two 49-byte INTEGERs and their heads, and some */

static enum crypto_hash_alg hash_of(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 ? CRYPTO_SHA256 : CRYPTO_SHA384;
}

static bool der_to_raw(struct bytes der, size_t half, uint8_t *raw)
{
    struct writer writer = writer_over(raw, 2 * half);
    uint8_t *r = put_space(&writer, half);
    uint8_t *s = put_space(&writer, half);
    const unsigned char *at = der.data;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
    bool done = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), r, (int)half) == (int)half &&
                BN_bn2binpad(ECDSA_SIG_get0_s(signature), s, (int)half) == (int)half;
    ECDSA_SIG_free(signature);
    return done;
}

/* The length written to `der`, which has room for DER_MAX; 0 on failure. */
static size_t raw_to_der(struct bytes raw, unsigned char *der)
{
    size_t half = raw.len / 2;
    BIGNUM *r = BN_bin2bn(raw.data, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(bytes_slice(raw, half, half).data, (int)half, NULL);
    ECDSA_SIG *signature = ECDSA_SIG_new();
    int len = 0;
    if (r && s && signature && ECDSA_SIG_set0(signature, r, s) == 1) {
        r = s = NULL;
        len = i2d_ECDSA_SIG(signature, NULL);
        len = len > 0 && len <= DER_MAX ? i2d_ECDSA_SIG(signature, &der) : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return len > 0 ? (size_t)len : 0;
}

/* EdDSA wants its message in one piece: one part is used where it is, several are joined. Gives `joined` to be freed
 * by OPENSSL_clear_free(joined, message->len) when it is not NULL. */
static enum status join_parts(const struct bytes *parts, size_t count, struct bytes *message, uint8_t **joined)
{
    *joined = NULL;
    *message = count == 1 ? parts[0] : (struct bytes){0};
    if (count <= 1)
        return OK;
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > SIZE_MAX - len)
            return NO_ROOM;
        len += parts[i].len;
    }
    *joined = OPENSSL_malloc(len ? len : 1);
    if (!*joined)
        return NO_ROOM;
    struct writer writer = writer_over(*joined, len);
    for (size_t i = 0; i < count; i++)
        put_bytes(&writer, parts[i]);
    *message = bytes_from(*joined, len);
    return OK;
}

static enum status sign_eddsa(const struct crypto_key *key, const struct bytes *parts, size_t count, uint8_t *signature)
{
    struct bytes message;
    uint8_t *joined;
    TRY(join_parts(parts, count, &message, &joined));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t made[CRYPTO_SIGNATURE_MAX];
    size_t len = sizeof made;
    bool done = context && EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key->pkey, NULL) == 1 &&
                EVP_DigestSign(context, made, &len, message.data, message.len) == 1 && len == 64;
    EVP_MD_CTX_free(context);
    OPENSSL_clear_free(joined, message.len);
    ERR_clear_error();
    if (!done)
        return INTERNAL;
    struct writer writer = writer_over(signature, len);
    put_bytes(&writer, bytes_from(made, len));
    return OK;
}

enum status crypto_sign(const struct crypto_key *key, const struct bytes *parts, size_t count, uint8_t *signature)
{
    if (!key->pkey)
        return WRONG_STATE;
    enum crypto_curve curve = key->public_key.curve;
    if (curve == CRYPTO_X25519)
        return UNSUPPORTED;
    if (curve == CRYPTO_ED25519)
        return sign_eddsa(key, parts, count, signature);
    uint8_t hash[CRYPTO_HASH_MAX], der[DER_MAX];
    size_t len = sizeof der;
    TRY(crypto_hash(hash_of(curve), parts, count, hash));
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    bool done = context && EVP_PKEY_sign_init(context) == 1 &&
                EVP_PKEY_sign(context, der, &len, hash, crypto_hash_len(hash_of(curve))) == 1 &&
                der_to_raw(bytes_from(der, len), crypto_private_len(curve), signature);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return done ? OK : INTERNAL;
}

static enum status verify_eddsa(const struct crypto_public *key, const struct bytes *parts, size_t count,
                                struct bytes signature)
{
    struct bytes message;
    uint8_t *joined;
    TRY(join_parts(parts, count, &message, &joined));
    EVP_PKEY *pkey = keys_public_pkey(key);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = pkey && context && EVP_DigestVerifyInit_ex(context, NULL, NULL, NULL, NULL, pkey, NULL) == 1 &&
                EVP_DigestVerify(context, signature.data, signature.len, message.data, message.len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    OPENSSL_clear_free(joined, message.len);
    ERR_clear_error();
    return good ? OK : AUTH;
}

static enum status verify_ecdsa(const struct crypto_public *key, struct bytes hash, struct bytes signature)
{
    uint8_t der[DER_MAX];
    size_t len = raw_to_der(signature, der);
    EVP_PKEY *pkey = keys_public_pkey(key);
    EVP_PKEY_CTX *context = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    bool good = len && context && EVP_PKEY_verify_init(context) == 1 &&
                EVP_PKEY_verify(context, der, len, hash.data, hash.len) == 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return good ? OK : AUTH;
}

enum status crypto_verify_hash(enum crypto_curve curve, struct bytes public_key, struct bytes hash,
                               struct bytes signature)
{
    if (curve != CRYPTO_P256 && curve != CRYPTO_P384)
        return UNSUPPORTED;
    struct crypto_public key;
    TRY(crypto_public_import(&key, curve, public_key));
    if (hash.len != 32 && hash.len != 48 && hash.len != 64)
        return MALFORMED;
    if (signature.len != crypto_signature_len(curve))
        return AUTH;
    return verify_ecdsa(&key, hash, signature);
}

enum status crypto_verify(enum crypto_curve curve, struct bytes public_key, const struct bytes *parts, size_t count,
                          struct bytes signature)
{
    if (crypto_signature_len(curve) == 0)
        return UNSUPPORTED;
    if (curve != CRYPTO_ED25519) {
        uint8_t hash[CRYPTO_HASH_MAX];
        TRY(crypto_hash(hash_of(curve), parts, count, hash));
        return crypto_verify_hash(curve, public_key, bytes_from(hash, crypto_hash_len(hash_of(curve))), signature);
    }
    struct crypto_public key;
    TRY(crypto_public_import(&key, curve, public_key));
    if (signature.len != crypto_signature_len(curve))
        return AUTH;
    return verify_eddsa(&key, parts, count, signature);
}
