/* Makes libcrypto ready: after this no operation opens a file, reads a configuration or looks for a module. */
#include "crypto_internal.h"

#include <errno.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

static bool ready;

enum status crypto_init(void)
{
    if (ready)
        return OK;
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return INTERNAL;
    /* The public and the private generator are made and seeded on first use; and so is the error queue. */
    uint8_t discarded[1];
    if (RAND_bytes(discarded, 1) != 1 || RAND_priv_bytes(discarded, 1) != 1)
        return IO;
    if (!aead_fetch_all() || !keys_fetch_all())
        return UNSUPPORTED;
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
