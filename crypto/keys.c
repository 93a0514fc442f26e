/* Keys: raw bytes to libcrypto's keys and back, and ECDH. Public: curves, lengths, public keys. Secret: the rest. */
#include "crypto_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

static EC_GROUP *groups[2];
/* Keys of P-256 and P-384 that are a group and nothing else: a copy is made faster than a group by its name. */
static EVP_PKEY *blanks[2];

static EVP_PKEY *make_blank(char *group_name)
{
    EVP_PKEY *blank = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group_name, 0),
                           OSSL_PARAM_construct_end()};
    if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &blank, EVP_PKEY_KEY_PARAMETERS, params) != 1)
        blank = NULL;
    EVP_PKEY_CTX_free(context);
    return blank;
}

bool keys_fetch_all(void)
{
    static const int names[2] = {NID_X9_62_prime256v1, NID_secp384r1};
    char group_names[2][8] = {"P-256", "P-384"};
    for (size_t i = 0; i < 2; i++)
        if ((!groups[i] && !(groups[i] = EC_GROUP_new_by_curve_name(names[i]))) ||
            (!blanks[i] && !(blanks[i] = make_blank(group_names[i]))))
            return false;
    return true;
}

const EC_GROUP *keys_group(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 ? groups[0] : curve == CRYPTO_P384 ? groups[1] : NULL;
}

static bool is_nist(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 || curve == CRYPTO_P384;
}

/* Any of the three forms to 0x04||x||y; libcrypto checks that the point is on the curve. */
static enum status expand_point(struct crypto_public *key, struct bytes encoded)
{
    const EC_GROUP *group = keys_group(key->curve);
    if (!group)
        return WRONG_STATE;
    size_t half = crypto_private_len(key->curve);
    uint8_t form[CRYPTO_PUBLIC_MAX];
    struct writer writer = writer_over(form, sizeof form);
    if (encoded.len == half)
        put_u8(&writer, 2);
    put_bytes(&writer, encoded);
    struct bytes whole = writer_bytes(&writer);
    bool compressed = whole.len == 1 + half && (form[0] == 2 || form[0] == 3);
    bool uncompressed = whole.len == 1 + 2 * half && form[0] == 4;
    if (!compressed && !uncompressed)
        return MALFORMED;
    EC_POINT *point = EC_POINT_new(group);
    bool good = point && EC_POINT_oct2point(group, point, whole.data, whole.len, NULL) == 1 &&
                EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, key->data, sizeof key->data, NULL) ==
                    1 + 2 * half;
    EC_POINT_free(point);
    ERR_clear_error();
    key->len = 1 + 2 * half;
    return good ? OK : MALFORMED;
}

enum status crypto_public_import(struct crypto_public *key, enum crypto_curve curve, struct bytes encoded)
{
    struct crypto_public made = {.curve = curve};
    if (crypto_private_len(curve) == 0)
        return UNSUPPORTED;
    if (is_nist(curve)) {
        TRY(expand_point(&made, encoded));
    } else {
        if (encoded.len != crypto_public_len(curve))
            return MALFORMED;
        struct writer writer = writer_over(made.data, sizeof made.data);
        put_bytes(&writer, encoded);
        made.len = encoded.len;
    }
    *key = made;
    return OK;
}

static const char *type_name(enum crypto_curve curve)
{
    return curve == CRYPTO_X25519 ? "X25519" : curve == CRYPTO_ED25519 ? "ED25519" : "EC";
}

static const char *group_name(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 ? "P-256" : "P-384";
}

/* A P-256 or P-384 key from its point and its private part. */
static EVP_PKEY *nist_pkey(const struct crypto_public *public_key, const BIGNUM *scalar)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (context && build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group_name(public_key->curve), 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, public_key->data, public_key->len) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params && EVP_PKEY_fromdata_init(context) == 1 &&
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
        pkey = NULL;
    if (params) {
        OSSL_PARAM *secret = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PRIV_KEY);
        wipe(secret->data, secret->data_size);
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return pkey;
}

EVP_PKEY *keys_public_pkey(const struct crypto_public *key)
{
    if (is_nist(key->curve)) {
        EVP_PKEY *blank = blanks[key->curve == CRYPTO_P384], *pkey = blank ? EVP_PKEY_dup(blank) : NULL;
        if (pkey && EVP_PKEY_set1_encoded_public_key(pkey, key->data, key->len) == 1)
            return pkey;
        EVP_PKEY_free(pkey);
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key_ex(NULL, type_name(key->curve), NULL, key->data, key->len);
}

/* Fills the public part of a key whose pkey is there. */
static enum status fill_public(struct crypto_key *key, enum crypto_curve curve)
{
    struct crypto_public *public_key = &key->public_key;
    size_t len = sizeof public_key->data;
    int done = is_nist(curve) ? EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY, public_key->data,
                                                                sizeof public_key->data, &len)
                              : EVP_PKEY_get_raw_public_key(key->pkey, public_key->data, &len);
    public_key->curve = curve;
    public_key->len = len;
    return done == 1 && len == crypto_public_len(curve) ? OK : INTERNAL;
}

static EVP_PKEY *nist_generate(enum crypto_curve curve)
{
    EVP_PKEY *blank = blanks[curve == CRYPTO_P384], *made = NULL;
    EVP_PKEY_CTX *context = blank ? EVP_PKEY_CTX_new_from_pkey(NULL, blank, NULL) : NULL;
    if (!context || EVP_PKEY_keygen_init(context) != 1 || EVP_PKEY_generate(context, &made) != 1)
        made = NULL;
    EVP_PKEY_CTX_free(context);
    return made;
}

enum status crypto_key_generate(struct crypto_key *key, enum crypto_curve curve)
{
    struct crypto_key made = {0};
    if (crypto_private_len(curve) == 0)
        return UNSUPPORTED;
    if (is_nist(curve))
        made.pkey = nist_generate(curve);
    else
        made.pkey = EVP_PKEY_Q_keygen(NULL, NULL, type_name(curve));
    enum status status = made.pkey ? fill_public(&made, curve) : INTERNAL;
    if (status == OK)
        *key = made;
    else
        crypto_key_done(&made);
    ERR_clear_error();
    return status;
}

/* The point of a scalar; libcrypto wants both. The scalar is marked so that its multiplication takes constant time. */
static enum status nist_import(struct crypto_key *key, enum crypto_curve curve, struct bytes private_key)
{
    const EC_GROUP *group = keys_group(curve);
    if (!group)
        return WRONG_STATE;
    struct crypto_public *public_key = &key->public_key;
    public_key->curve = curve;
    public_key->len = crypto_public_len(curve);
    BIGNUM *scalar = BN_secure_new();
    EC_POINT *point = EC_POINT_new(group);
    enum status status = INTERNAL;
    if (!scalar || !point || !BN_bin2bn(private_key.data, (int)private_key.len, scalar))
        goto out;
    BN_set_flags(scalar, BN_FLG_CONSTTIME);
    status = MALFORMED;
    if (BN_is_zero(scalar) || BN_cmp(scalar, EC_GROUP_get0_order(group)) >= 0)
        goto out;
    status = INTERNAL;
    if (EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, public_key->data, sizeof public_key->data,
                           NULL) == public_key->len)
        key->pkey = nist_pkey(public_key, scalar);
    status = key->pkey ? OK : INTERNAL;
out:
    EC_POINT_free(point);
    BN_clear_free(scalar);
    return status;
}

enum status crypto_key_import(struct crypto_key *key, enum crypto_curve curve, struct bytes private_key)
{
    struct crypto_key made = {0};
    if (crypto_private_len(curve) == 0)
        return UNSUPPORTED;
    if (private_key.len != crypto_private_len(curve))
        return MALFORMED;
    enum status status = INTERNAL;
    if (is_nist(curve)) {
        status = nist_import(&made, curve, private_key);
    } else {
        made.pkey = EVP_PKEY_new_raw_private_key_ex(NULL, type_name(curve), NULL, private_key.data, private_key.len);
        status = made.pkey ? fill_public(&made, curve) : INTERNAL;
    }
    if (status == OK)
        *key = made;
    else
        crypto_key_done(&made);
    ERR_clear_error();
    return status;
}

enum status crypto_key_export(const struct crypto_key *key, struct secret *private_key)
{
    if (!key->pkey)
        return WRONG_STATE;
    enum crypto_curve curve = key->public_key.curve;
    SECRET made = {.len = crypto_private_len(curve)};
    size_t len = sizeof made.data;
    bool done = false;
    if (is_nist(curve)) {
        BIGNUM *scalar = NULL;
        /* Of a key whose scalar is elsewhere it gives zero. */
        done = EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 && !BN_is_zero(scalar) &&
               BN_bn2binpad(scalar, made.data, (int)made.len) == (int)made.len;
        BN_clear_free(scalar);
    } else {
        done = EVP_PKEY_get_raw_private_key(key->pkey, made.data, &len) == 1 && len == made.len;
    }
    ERR_clear_error();
    if (!done)
        return INTERNAL;
    return secret_set(private_key, secret_bytes(&made));
}

void crypto_key_done(struct crypto_key *key)
{
    EVP_PKEY_free(key->pkey);
    *key = (struct crypto_key){0};
}

enum status crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared)
{
    if (!key->pkey)
        return WRONG_STATE;
    enum crypto_curve curve = key->public_key.curve;
    if (curve == CRYPTO_ED25519)
        return UNSUPPORTED;
    struct crypto_public public_key;
    TRY(crypto_public_import(&public_key, curve, peer));
    SECRET made = {0};
    size_t len = sizeof made.data;
    EVP_PKEY *other = keys_public_pkey(&public_key);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    /* The point was seen to be on its curve, whose cofactor is 1, so libcrypto need not multiply it by the order too.
     * The derivation itself refuses an all-zero X25519 output. */
    bool done = other && context && EVP_PKEY_derive_init(context) == 1 &&
                EVP_PKEY_derive_set_peer_ex(context, other, 0) == 1 && EVP_PKEY_derive(context, made.data, &len) == 1 &&
                len == crypto_private_len(curve);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(other);
    ERR_clear_error();
    made.len = len <= SECRET_CAP ? len : 0;
    return done ? secret_set(shared, secret_bytes(&made)) : MALFORMED;
}
