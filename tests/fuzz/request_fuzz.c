/* Requests from anyone: as they arrive, or their inside as if the key in it had signed it. What is accepted libcrypto
 * reads and verifies too. */
#include "pki.h"

#include <openssl/x509.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct crypto_key key;

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static void compare(struct bytes der, const struct pki_request *request)
{
    const unsigned char *at = der.data, *name = NULL;
    size_t name_len = 0;
    X509_REQ *theirs = d2i_X509_REQ(NULL, &at, (long)der.len);
    hold(theirs && at == der.data + der.len);
    hold(X509_NAME_get0_der(X509_REQ_get_subject_name(theirs), &name, &name_len) == 1 &&
         bytes_equal(bytes_from(name, name_len), request->subject));
    EVP_PKEY *pkey = X509_REQ_get0_pubkey(theirs);
    hold(pkey && X509_REQ_verify(theirs, pkey) == 1);
    X509_REQ_free(theirs);
}

/* The inside, signed by one Ed25519 key, which the seeds hold. */
static struct bytes wrap(struct bytes inside, uint8_t *room, size_t cap)
{
    static const uint8_t algorithm[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00};
    uint8_t signature[CRYPTO_SIGNATURE_MAX];
    struct writer writer = writer_over(room, cap);
    hold(crypto_sign(&key, &inside, 1, signature) == OK);
    size_t len = inside.len + sizeof algorithm + 64;
    if (len < 0x80) {
        put_u16be(&writer, (uint16_t)(0x3000 | len));
    } else if (len < 0x100) {
        put_u16be(&writer, 0x3081);
        put_u8(&writer, (uint8_t)len);
    } else {
        put_u16be(&writer, 0x3082);
        put_u16be(&writer, (uint16_t)len);
    }
    put_bytes(&writer, inside);
    put_bytes(&writer, BYTES_OF(algorithm));
    put_bytes(&writer, bytes_from(signature, 64));
    return writer_bytes(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[8192];
    static const uint8_t seed[32] = {9};
    struct pki_request request;
    hold(crypto_init() == OK);
    if (!key.pkey)
        hold(crypto_key_import(&key, CRYPTO_ED25519, BYTES_OF(seed)) == OK);
    struct reader reader = reader_over(bytes_from(data, len));
    uint8_t kind = take_u8(&reader);
    struct bytes der = take_rest(&reader);
    if (kind & 1)
        der = wrap(der, room, sizeof room);
    if (pki_request_open(der, &request) == OK)
        compare(der, &request);
    return 0;
}
