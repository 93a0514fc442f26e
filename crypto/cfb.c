/* AES-128-CFB, which only TPM credentials ask for. */
#include "crypto_internal.h"

#include <openssl/err.h>

enum status crypto_aes128_cfb_encrypt(struct bytes key, struct bytes iv, struct bytes text, uint8_t *out)
{
    if (key.len != 16 || iv.len != 16 || text.len > INT32_MAX)
        return MALFORMED;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int len = 0;
    bool good = context && EVP_EncryptInit_ex(context, EVP_aes_128_cfb128(), NULL, key.data, iv.data) == 1 &&
                EVP_EncryptUpdate(context, out, &len, text.data, (int)text.len) == 1 && len == (int)text.len;
    EVP_CIPHER_CTX_free(context);
    ERR_clear_error();
    return good ? OK : INTERNAL;
}
