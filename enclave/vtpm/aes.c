/* AES as libtpms' generator and its CMAC ask for it, block by block. libcrypto's functions of that name look into
 * tables, and how long that takes tells others on the processor of the key; its functions for the processor's own
 * instructions do not, and take less of it. A schedule has another shape with those, so none may reach
 * libcrypto by another way than these two: nothing else of TPM 2.0 asks for one. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "vtpm_internal.h"

#ifdef __x86_64__
/* libcrypto's, in no header of it; missing where it is linked as a shared library, which is in unit tests alone. */
__attribute__((weak)) int aesni_set_encrypt_key(const uint8_t *key, int bits, AES_KEY *schedule);
__attribute__((weak)) void aesni_encrypt(const uint8_t *in, uint8_t *out, const AES_KEY *schedule);
#define HAS_INSTRUCTIONS (aesni_encrypt && __builtin_cpu_supports("aes"))
#else
#define aesni_set_encrypt_key AES_set_encrypt_key
#define aesni_encrypt AES_encrypt
#define HAS_INSTRUCTIONS false
#endif

int vtpm_AES_set_encrypt_key(const uint8_t *key, int bits, AES_KEY *schedule)
{
    return HAS_INSTRUCTIONS ? aesni_set_encrypt_key(key, bits, schedule) : AES_set_encrypt_key(key, bits, schedule);
}

void vtpm_AES_encrypt(const uint8_t in[AES_BLOCK_SIZE], uint8_t out[AES_BLOCK_SIZE], const AES_KEY *schedule)
{
    if (HAS_INSTRUCTIONS)
        aesni_encrypt(in, out, schedule);
    else
        AES_encrypt(in, out, schedule);
}
