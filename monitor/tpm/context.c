/* The library context of libcrypto that ESYS asks for, so that the host's configuration of libcrypto is not asked when
 * it hashes: a new one for each hash and HMAC, in which every algorithm is looked for again, 0.3 ms each and a dozen of
 * them a command. By their names it gets one and the same from us, and so would libcrypto itself for a provider
 * from a configuration, of which these programs load none. One thread, as they have. */
#include "tpm_internal.h"

#include <dlfcn.h>
#include <openssl/crypto.h>

static OSSL_LIB_CTX *context;

enum status tpm_context_make(void)
{
    OSSL_LIB_CTX *(*make)(void);
    if (context)
        return OK;
    *(void **)&make = dlsym(RTLD_NEXT, "OSSL_LIB_CTX_new");
    context = make ? make() : NULL;
    return context ? OK : NO_ROOM;
}

OSSL_LIB_CTX *OSSL_LIB_CTX_new(void)
{
    return tpm_context_make() == OK ? context : NULL;
}

void OSSL_LIB_CTX_free(OSSL_LIB_CTX *unused)
{
    (void)unused;
}
