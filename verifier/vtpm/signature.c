/* Is this signature by that key? */
#include "vtpm_appraisal_internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#define EXPONENT 65537u

static EVP_PKEY *rsa_key(const struct tpm2_signer *signer)
{
    EVP_PKEY *key = NULL;
    BIGNUM *modulus = BN_bin2bn(signer->key, (int)signer->key_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *numbers = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (modulus && build && context && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, EXPONENT))
        numbers = OSSL_PARAM_BLD_to_param(build);
    if (!numbers || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, numbers) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(numbers);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    return key;
}

/* PSS with the salt's length found in the signature: the TPM's is as long as the key lets it be, or the hash's. */
static bool rsa_holds(const struct tpm2_signer *signer, struct bytes message, const struct tpm2_signature *signature)
{
    bool good = false;
    EVP_PKEY *key = rsa_key(signer);
    EVP_PKEY_CTX *way = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const int padding = signature->scheme == TPM2_RSAPSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    if (key && context && EVP_DigestVerifyInit(context, &way, EVP_sha256(), NULL, key) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(way, padding) == 1 &&
        (padding == RSA_PKCS1_PADDING || EVP_PKEY_CTX_set_rsa_pss_saltlen(way, RSA_PSS_SALTLEN_AUTO) == 1))
        good = EVP_DigestVerify(context, signature->value, signature->len, message.data, message.len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good;
}

bool vtpm_signature_holds(const struct tpm2_signer *signer, struct bytes message, struct bytes encoded)
{
    struct tpm2_signature signature;
    if (tpm2_signature_decode(encoded, &signature) != OK ||
        (signer->scheme != TPM2_ANY_SCHEME && signer->scheme != signature.scheme))
        return false;
    if (signer->kind == TPM2_SIGNER_RSA_2048)
        return signature.scheme != TPM2_ECDSA && rsa_holds(signer, message, &signature);
    uint8_t point[65] = {4};
    for (size_t i = 0; i < sizeof point - 1; i++)
        point[1 + i] = signer->key[i];
    return signature.scheme == TPM2_ECDSA &&
           crypto_verify(CRYPTO_P256, BYTES_OF(point), &message, 1, bytes_from(signature.value, signature.len)) == OK;
}
