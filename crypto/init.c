/* Makes libcrypto ready: after this no operation opens a file, reads a configuration or looks for a module. */
#include "crypto_internal.h"

#include <errno.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

static bool ready;

/* libcrypto initialises its parts on first use, and the end of each initialisation is a futex(2) call: everything is
 * used once here, so that nothing is first later, when a system call filter stands. */
static enum status use_everything_once(void)
{
    static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_X25519, CRYPTO_ED25519};
    struct bytes message = bytes_from_text("message");
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        struct crypto_key key = {0};
        uint8_t signature[CRYPTO_SIGNATURE_MAX];
        SECRET secret = {0};
        TRY(crypto_key_generate(&key, curves[i]));
        struct bytes own = crypto_public_bytes(&key.public_key);
        size_t len = crypto_signature_len(curves[i]);
        enum status status = crypto_key_export(&key, &secret);
        if (status == OK && curves[i] != CRYPTO_ED25519)
            status = crypto_ecdh(&key, own, &secret);
        if (status == OK && len)
            status = crypto_sign(&key, &message, 1, signature);
        if (status == OK && len)
            status = crypto_verify(curves[i], own, &message, 1, bytes_from(signature, len));
        crypto_key_done(&key);
        TRY(status);
    }
    return OK;
}

enum status crypto_init(void)
{
    if (ready)
        return OK;
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS,
                            NULL) != 1)
        return INTERNAL;
    /* The public and the private generator are made and seeded on first use; and so is the error queue. */

    uint8_t discarded[1];
    if (RAND_bytes(discarded, 1) != 1 || RAND_priv_bytes(discarded, 1) != 1)
        return IO;
    if (!aead_fetch_all() || !keys_fetch_all())
        return UNSUPPORTED;
    TRY(use_everything_once());
    ERR_clear_error();
    ready = true;
    return OK;
}

enum status crypto_random(void *out, size_t len)
{
    struct writer writer = writer_over(out, len);
    while (writer.len < len) {
        size_t ask = len - writer.len < 256 ? len - writer.len : 256;
        uint8_t chunk[256];
        ssize_t got = getrandom(chunk, ask, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return IO;
        put_bytes(&writer, bytes_from(chunk, (size_t)got));
        wipe(chunk, sizeof chunk);
    }
    return writer_end(&writer);
}
