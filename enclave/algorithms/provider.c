/* By the name of libcrypto's default provider, which is so the one that its archive need not bring: what it asks for at
 * the first use of anything. The functions without a header are those that libcrypto's own providers are made with; a
 * version that has others does not link. */
#include "algorithms.h"

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

int ossl_default_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **ours,
                               void **context);
int ossl_base_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **ours,
                            void **context);
int ossl_err_load_crypto_strings(void);
void openssl_add_all_ciphers_int(void);
void openssl_add_all_digests_int(void);
int ossl_prov_seeding_from_dispatch(const OSSL_DISPATCH *core);
void *ossl_prov_ctx_new(void);
void ossl_prov_ctx_free(void *context);
void ossl_prov_ctx_set0_libctx(void *context, OSSL_LIB_CTX *library);
void ossl_prov_ctx_set0_handle(void *context, const OSSL_CORE_HANDLE *handle);

extern const OSSL_DISPATCH ossl_sha1_functions[], ossl_sha256_functions[], ossl_sha384_functions[],
    ossl_sha512_functions[], ossl_drbg_ctr_functions[], ossl_seed_src_functions[];

static const struct algorithms *used;

static const OSSL_ALGORITHM digests[] = {
    ALGORITHM("SHA1:SHA-1", ossl_sha1_functions),
    ALGORITHM("SHA2-256:SHA-256:SHA256", ossl_sha256_functions),
    ALGORITHM("SHA2-384:SHA-384:SHA384", ossl_sha384_functions),
    ALGORITHM("SHA2-512:SHA-512:SHA512", ossl_sha512_functions),
    {0},
};

static const OSSL_ALGORITHM generators[] = {
    ALGORITHM("CTR-DRBG", ossl_drbg_ctr_functions),
    ALGORITHM("SEED-SRC", ossl_seed_src_functions),
    {0},
};

void algorithms_use(const struct algorithms *wanted)
{
    used = wanted;
}

static const OSSL_ALGORITHM *query(void *context, int operation, int *no_cache)
{
    (void)context;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_DIGEST:
        return digests;
    case OSSL_OP_RAND:
        return generators;
    case OSSL_OP_CIPHER:
        return used->ciphers;
    case OSSL_OP_KEYMGMT:
        return used->key_types;
    case OSSL_OP_KEYEXCH:
        return used->exchanges;
    case OSSL_OP_SIGNATURE:
        return used->signatures;
    case OSSL_OP_ASYM_CIPHER:
        return used->encryptions;
    default:
        return NULL;
    }
}

static const OSSL_DISPATCH dispatch[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))ossl_prov_ctx_free},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
    {0, NULL},
};

int ossl_default_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **ours,
                               void **context)
{
    OSSL_FUNC_core_get_libctx_fn *library_of = NULL;
    if (!used || !ossl_prov_seeding_from_dispatch(core))
        return 0;
    for (; core->function_id; core++)
        if (core->function_id == OSSL_FUNC_CORE_GET_LIBCTX)
            library_of = OSSL_FUNC_core_get_libctx(core);
    if (!library_of || !(*context = ossl_prov_ctx_new()))
        return 0;
    ossl_prov_ctx_set0_libctx(*context, (OSSL_LIB_CTX *)library_of(handle));
    ossl_prov_ctx_set0_handle(*context, handle);
    *ours = dispatch;
    return 1;
}

/* Encoders, decoders and stores of keys: nobody asks for it. */
int ossl_base_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **ours,
                            void **context)
{
    (void)handle, (void)core, (void)ours, (void)context;
    return 0;
}

/* Found by EVP_get_cipherbyname(), which nobody asks; else they bring every cipher of former times along. */
void openssl_add_all_ciphers_int(void)
{
}

/* By EVP_get_digestbyname(), which libtpms asks. */
void openssl_add_all_digests_int(void)
{
    EVP_add_digest(EVP_sha1());
    EVP_add_digest(EVP_sha256());
    EVP_add_digest(EVP_sha384());
    EVP_add_digest(EVP_sha512());
}

/* Sentences for error codes: they are never shown. */
int ossl_err_load_crypto_strings(void)
{
    return 1;
}
