/* Files of the owner's machine: a private key and a self-signed certificate as PEM. Secret: the key and its PEM. */
#include "crypto_internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

/* Out of a memory BIO, whose room libcrypto wipes because it is a secure one. */
static enum status take_out(BIO *bio, bool good, struct writer *writer)
{
    char *text = NULL;
    long len = good ? BIO_get_mem_data(bio, &text) : 0;
    if (len > 0)
        put_bytes(writer, bytes_from(text, (size_t)len));
    BIO_free(bio);
    ERR_clear_error();
    return len > 0 ? writer_end(writer) : INTERNAL;
}

enum status crypto_key_put_pem(struct writer *writer, const struct crypto_key *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool good = bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1;
    return take_out(bio, good, writer);
}

/* Never asks a terminal: an encrypted key is one that we do not read. */
static int no_password(char *room, int cap, int writes, void *user)
{
    (void)room, (void)cap, (void)writes, (void)user;
    return -1;
}

static bool is_of_curve(const EVP_PKEY *pkey, enum crypto_curve curve)
{
    char group[32] = "";
    const char *wanted = curve == CRYPTO_P256 ? "prime256v1" : curve == CRYPTO_P384 ? "secp384r1" : "-";
    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC && EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 &&
           bytes_equal(bytes_from_text(group), bytes_from_text(wanted));
}

enum status pem_adopt(struct crypto_key *key, enum crypto_curve curve, EVP_PKEY *pkey)
{
    struct crypto_key given = {.public_key.curve = curve, .pkey = pkey};
    SECRET scalar = {.len = 0};
    if (!is_of_curve(pkey, curve))
        return UNSUPPORTED;
    TRY(crypto_key_export(&given, &scalar));
    return crypto_key_import(key, curve, secret_bytes(&scalar));
}

enum status crypto_key_take_pem(struct crypto_key *key, enum crypto_curve curve, struct bytes pem)
{
    if (pem.len == 0 || pem.len > INT32_MAX)
        return MALFORMED;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    enum status status = pkey ? pem_adopt(key, curve, pkey) : MALFORMED;
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return status;
}

enum status crypto_certificate_put_pem(struct writer *writer, struct bytes der)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = bio && der.len <= INT32_MAX && PEM_write_bio(bio, "CERTIFICATE", "", der.data, (long)der.len) > 0;
    return take_out(bio, good, writer);
}

static bool add_extension(X509 *certificate, int name, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, name, value);
    bool good = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

/* RFC 5280 §4.1.2: a positive serial, and the end of time where none is meant (§4.1.2.5). */
static bool fill_in(X509 *certificate, const char *name, int64_t time_s, const uint8_t serial[16])
{
    BIGNUM *number = BN_bin2bn(serial, 16, NULL);
    bool good = number && BN_set_bit(number, 120) == 1 && BN_mask_bits(number, 127) == 1 &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    X509_NAME *subject = X509_get_subject_name(certificate);
    return good && X509_set_version(certificate, X509_VERSION_3) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, subject) == 1 &&
           ASN1_TIME_adj(X509_getm_notBefore(certificate), (time_t)time_s, 0, 0) != NULL &&
           ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate), "99991231235959Z") == 1;
}

enum status crypto_certificate_self_signed(struct writer *writer, const struct crypto_key *key, const char *name,
                                           int64_t time_s)
{
    uint8_t serial[16], *der = NULL;
    TRY(crypto_random(serial, sizeof serial));
    X509 *certificate = X509_new();
    bool good = certificate && fill_in(certificate, name, time_s, serial) &&
                X509_set_pubkey(certificate, key->pkey) == 1 &&
                add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
                add_extension(certificate, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign") &&
                add_extension(certificate, NID_subject_key_identifier, "hash") &&
                X509_sign(certificate, key->pkey, EVP_sha256()) > 0;
    int len = good ? i2d_X509(certificate, &der) : 0;
    if (len > 0)
        put_bytes(writer, bytes_from(der, (size_t)len));
    OPENSSL_free(der);
    X509_free(certificate);
    ERR_clear_error();
    return len > 0 ? writer_end(writer) : INTERNAL;
}
