/* A key whose private half somebody else keeps: libcrypto asks an EC_KEY_METHOD for the signature, which asks the
 * caller. In a file of its own, so that only a program that uses it links it: an enclave's keys have no such way out.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* what would replace EC_KEY_METHOD is a whole provider */
#include "crypto_internal.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

struct delegate {
    crypto_sign_fn *sign;
    void *context;
};

static EC_KEY_METHOD *method;
static int slot = -1; /* where an EC_KEY has its delegate */

static ECDSA_SIG *ask(const unsigned char *hash, int len, const BIGNUM *inverse, const BIGNUM *r, EC_KEY *key)
{
    (void)inverse;
    (void)r;
    const struct delegate *delegate = EC_KEY_get_ex_data(key, slot);
    size_t half = ((size_t)EC_GROUP_order_bits(EC_KEY_get0_group(key)) + 7) / 8;
    uint8_t raw[CRYPTO_SIGNATURE_MAX];
    if (!delegate || delegate->sign(delegate->context, bytes_from(hash, (size_t)len), raw) != OK)
        return NULL;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *first = BN_bin2bn(raw, (int)half, NULL), *second = BN_bin2bn(raw + half, (int)half, NULL);
    if (signature && first && second && ECDSA_SIG_set0(signature, first, second) == 1)
        return signature;
    BN_free(first);
    BN_free(second);
    ECDSA_SIG_free(signature);
    return NULL;
}

static void forget(void *parent, void *delegate, CRYPTO_EX_DATA *data, int index, long argument, void *more)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argument;
    (void)more;
    OPENSSL_free(delegate);
}

static bool prepare(void)
{
    int (*sign)(int, const unsigned char *, int, unsigned char *, unsigned int *, const BIGNUM *, const BIGNUM *,
                EC_KEY *);
    int (*setup)(EC_KEY *, BN_CTX *, BIGNUM **, BIGNUM **);
    if (method)
        return true;
    if (slot < 0 && (slot = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, forget)) < 0)
        return false;
    method = EC_KEY_METHOD_new(EC_KEY_get_default_method());
    if (!method)
        return false;
    EC_KEY_METHOD_get_sign(method, &sign, &setup, NULL);
    EC_KEY_METHOD_set_sign(method, sign, setup, ask);
    return true;
}

/* gives: owned by the EVP_PKEY, when it is not NULL. */
static EVP_PKEY *make(const struct crypto_public *public_key, const struct delegate *delegate)
{
    EC_KEY *key = EC_KEY_new_by_curve_name(public_key->curve == CRYPTO_P256 ? NID_X9_62_prime256v1 : NID_secp384r1);
    EVP_PKEY *pkey = EVP_PKEY_new();
    struct delegate *kept = OPENSSL_memdup(delegate, sizeof *delegate);
    bool good = key && pkey && kept && EC_KEY_set_method(key, method) == 1 &&
                EC_KEY_oct2key(key, public_key->data, public_key->len, NULL) == 1 &&
                EC_KEY_set_ex_data(key, slot, kept) == 1;
    if (good)
        kept = NULL;
    OPENSSL_free(kept);
    if (good && EVP_PKEY_assign_EC_KEY(pkey, key) == 1)
        return pkey;
    EC_KEY_free(key);
    EVP_PKEY_free(pkey);
    return NULL;
}

enum status crypto_key_delegate(struct crypto_key *key, enum crypto_curve curve, struct bytes public_key,
                                crypto_sign_fn *sign, void *context)
{
    struct crypto_key made = {0};
    const struct delegate delegate = {sign, context};
    if (curve != CRYPTO_P256 && curve != CRYPTO_P384)
        return UNSUPPORTED;
    TRY(crypto_public_import(&made.public_key, curve, public_key));
    if (prepare())
        made.pkey = make(&made.public_key, &delegate);
    ERR_clear_error();
    if (!made.pkey)
        return INTERNAL;
    *key = made;
    return OK;
}
