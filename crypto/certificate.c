/* The public key of an X.509 certificate. Public: all of it. */
#include "crypto_internal.h"

#include <openssl/err.h>
#include <openssl/x509.h>

enum status crypto_certificate_key(struct bytes der, struct crypto_public *key)
{
    if (der.len == 0 || der.len > INT32_MAX)
        return MALFORMED;
    const uint8_t *at = der.data;
    X509 *certificate = d2i_X509(NULL, &at, (long)der.len);
    const X509_PUBKEY *area = certificate ? X509_get_X509_PUBKEY(certificate) : NULL;
    const uint8_t *point = NULL;
    int point_len = 0;
    ASN1_OBJECT *algorithm = NULL;
    enum status status = MALFORMED;
    if (area && at == der.data + der.len && X509_PUBKEY_get0_param(&algorithm, &point, &point_len, NULL, area) == 1)
        status = OBJ_obj2nid(algorithm) == NID_X9_62_id_ecPublicKey ? OK : UNSUPPORTED;
    if (status == OK) {
        EVP_PKEY *pkey = X509_PUBKEY_get0(area);
        char group[32] = "";
        size_t group_len = 0;
        enum crypto_curve curve = 0;
        if (pkey && EVP_PKEY_get_group_name(pkey, group, sizeof group, &group_len) == 1)
            curve = bytes_equal(bytes_from_text(group), bytes_from_text("prime256v1"))  ? CRYPTO_P256
                    : bytes_equal(bytes_from_text(group), bytes_from_text("secp384r1")) ? CRYPTO_P384
                                                                                        : 0;
        status = curve ? crypto_public_import(key, curve, bytes_from(point, (size_t)point_len)) : UNSUPPORTED;
    }
    X509_free(certificate);
    ERR_clear_error();
    return status;
}
