/* An EK certificate checked: chain, purpose, key. */
#include "endorsement.h"

#include "tpm2.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define EK_PURPOSE "2.23.133.8.1" /* tcg-kp-EKCertificate */

static X509_STORE *read_authorities(struct bytes pem)
{
    X509_STORE *store = pem.len <= ENDORSEMENT_AUTHORITIES_MAX ? X509_STORE_new() : NULL;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    X509 *certificate;
    int count = 0;
    while (store && bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        count += X509_STORE_add_cert(store, certificate);
        X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (count > 0)
        return store;
    X509_STORE_free(store);
    return NULL;
}

static bool is_for_an_ek(X509 *certificate)
{
    bool found = false;
    ASN1_OBJECT *wanted = OBJ_txt2obj(EK_PURPOSE, 1);
    EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    for (int i = 0; wanted && i < sk_ASN1_OBJECT_num(purposes); i++)
        found |= OBJ_cmp(sk_ASN1_OBJECT_value(purposes, i), wanted) == 0;
    sk_ASN1_OBJECT_pop_free(purposes, ASN1_OBJECT_free);
    ASN1_OBJECT_free(wanted);
    return found;
}

static bool number_is(EVP_PKEY *key, const char *name, struct bytes expected)
{
    BIGNUM *number = NULL;
    uint8_t bytes[TPM2_EK_KEY_MAX];
    bool same = EVP_PKEY_get_bn_param(key, name, &number) == 1 &&
                BN_bn2binpad(number, bytes, (int)expected.len) == (int)expected.len &&
                memcmp(bytes, expected.data, expected.len) == 0;
    BN_free(number);
    return same;
}

static bool is_rsa(EVP_PKEY *key, struct bytes modulus)
{
    static const uint8_t exponent[] = {1, 0, 1};
    return EVP_PKEY_is_a(key, "RSA") && number_is(key, OSSL_PKEY_PARAM_RSA_N, modulus) &&
           number_is(key, OSSL_PKEY_PARAM_RSA_E, BYTES_OF(exponent));
}

static bool is_point(EVP_PKEY *key, const char *curve, struct bytes coordinates)
{
    const size_t len = coordinates.len / 2;
    char group[32] = "";
    return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) == 1 &&
           strcmp(group, curve) == 0 && number_is(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes_slice(coordinates, 0, len)) &&
           number_is(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes_slice(coordinates, len, len));
}

static bool is_of_key(X509 *certificate, struct bytes area)
{
    struct tpm2_ek ek;
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (!key || tpm2_ek_decode(area, &ek) != OK)
        return false;
    const struct bytes numbers = bytes_slice(BYTES_OF(ek.key), 0, ek.key_len);
    if (ek.kind == TPM2_EK_RSA_2048)
        return is_rsa(key, numbers);
    return is_point(key, ek.kind == TPM2_EK_P256 ? "prime256v1" : "secp384r1", numbers);
}

/* X509_V_OK, or why the chain does not hold. */
static int verify_chain(X509_STORE *store, X509 *certificate, int64_t now_s)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;
    if (context && X509_STORE_CTX_init(context, store, certificate, NULL) == 1) {
        X509_VERIFY_PARAM *policy = X509_STORE_CTX_get0_param(context);
        X509_VERIFY_PARAM_set_time(policy, (time_t)now_s);
        X509_VERIFY_PARAM_set_flags(policy, X509_V_FLAG_PARTIAL_CHAIN);
        error = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    }
    X509_STORE_CTX_free(context);
    ERR_clear_error();
    return error;
}

static enum status judge(X509_STORE *store, X509 *certificate, struct bytes ek, int64_t now_s, char *why, size_t cap)
{
    int error = certificate ? verify_chain(store, certificate, now_s) : X509_V_OK;
    if (!certificate)
        snprintf(why, cap, "the TPM's EK certificate cannot be read");
    else if (error != X509_V_OK)
        snprintf(why, cap, "none of the given CAs vouches for the TPM's EK certificate: %s",
                 X509_verify_cert_error_string(error));
    else if (!is_for_an_ek(certificate))
        snprintf(why, cap, "the certificate that the TPM shows is none for an endorsement key");
    else if (!is_of_key(certificate, ek))
        snprintf(why, cap, "the EK certificate is of another key than the TPM's endorsement key");
    else
        return OK;
    return DENIED;
}

enum status endorsement_check(struct bytes certificate, struct bytes ek, struct bytes authorities, int64_t now_s,
                              char *why, size_t cap)
{
    if (certificate.len == 0) {
        snprintf(why, cap, "the TPM carries no certificate for its endorsement key (P-256, NV index 0x01c0000a)");
        return DENIED;
    }
    X509_STORE *store = read_authorities(authorities);
    if (!store)
        return MALFORMED;
    const unsigned char *at = certificate.data;
    X509 *read = d2i_X509(NULL, &at, (long)certificate.len);
    if (read && at != certificate.data + certificate.len) { /* something behind it */
        X509_free(read);
        read = NULL;
    }
    enum status status = judge(store, read, ek, now_s, why, cap);
    X509_free(read);
    X509_STORE_free(store);
    return status;
}
