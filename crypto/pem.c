/* Files of the owner's machine: a private key and a certificate as PEM. Secret: the key and its PEM. */
#include "crypto_internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

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
