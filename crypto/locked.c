/* A private key at rest behind a passphrase: PKCS #8, PBES2 with scrypt (RFC 7914) and AES-256-CBC. In a file of its
 * own, so that only a program that uses it links it. Secret: the passphrase, the key, and all that lies between. */
#include "crypto_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#define LABEL "ENCRYPTED PRIVATE KEY"
#define SALT_LEN 16
/* As hard to guess as N 2^17, r 8, p 1, in the memory that libcrypto's own readers allow (32 MiB). */
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 5

/* libcrypto wants a C string's type; the length counts. */
static const char *text_of(struct bytes passphrase)
{
    return (const char *)passphrase.data;
}

static X509_SIG *lock(const struct crypto_key *key, struct bytes passphrase)
{
    PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key->pkey);
    X509_ALGOR *how = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, SALT_LEN, NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
    X509_SIG *locked = NULL;
    if (plain && how)
        locked = PKCS8_set0_pbe(text_of(passphrase), (int)passphrase.len, plain, how);
    if (!locked)
        X509_ALGOR_free(how);
    PKCS8_PRIV_KEY_INFO_free(plain);
    return locked;
}

enum status crypto_key_put_locked_pem(struct writer *writer, const struct crypto_key *key, struct bytes passphrase)
{
    if (!key->pkey)
        return WRONG_STATE;
    if (passphrase.len == 0)
        return MALFORMED;
    if (passphrase.len > CRYPTO_PASSPHRASE_MAX)
        return NO_ROOM;
    X509_SIG *locked = lock(key, passphrase);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool good = locked && bio && PEM_write_bio_PKCS8(bio, locked) == 1;
    long len = good ? BIO_get_mem_data(bio, &text) : 0;
    if (len > 0)
        put_bytes(writer, bytes_from(text, (size_t)len));
    BIO_free(bio);
    X509_SIG_free(locked);
    ERR_clear_error();
    return len > 0 ? writer_end(writer) : INTERNAL;
}

static enum status unlock(struct crypto_key *key, enum crypto_curve curve, const X509_SIG *locked,
                          struct bytes passphrase)
{
    PKCS8_PRIV_KEY_INFO *plain = PKCS8_decrypt(locked, text_of(passphrase), (int)passphrase.len);
    EVP_PKEY *pkey = plain ? EVP_PKCS82PKEY(plain) : NULL;
    enum status status = pkey ? pem_adopt(key, curve, pkey) : AUTH;
    EVP_PKEY_free(pkey);
    PKCS8_PRIV_KEY_INFO_free(plain);
    return status;
}

/* The first locked key in the text; NULL when there is none. */
static X509_SIG *read_locked(struct bytes pem)
{
    BIO *bio = pem.len && pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    X509_SIG *locked = bio ? PEM_read_bio_PKCS8(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return locked;
}

enum status crypto_key_take_locked_pem(struct crypto_key *key, enum crypto_curve curve, struct bytes pem,
                                       struct bytes passphrase)
{
    if (passphrase.len > CRYPTO_PASSPHRASE_MAX)
        return NO_ROOM;
    X509_SIG *locked = read_locked(pem);
    enum status status = !locked ? MALFORMED : passphrase.len == 0 ? AUTH : unlock(key, curve, locked, passphrase);
    X509_SIG_free(locked);
    ERR_clear_error();
    return status;
}

bool crypto_pem_is_locked(struct bytes pem)
{
    const struct bytes begin = bytes_from_text("-----BEGIN " LABEL "-----");
    for (size_t off = 0; off + begin.len <= pem.len; off++)
        if (bytes_equal(bytes_slice(pem, off, begin.len), begin))
            return true;
    return false;
}
