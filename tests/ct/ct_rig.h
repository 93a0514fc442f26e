/* Constant time, under valgrind's memcheck: secrets are marked undefined, and whatever branches on them or uses them as
 * an address is reported. What is public all the same is revealed where it becomes so: that two values are equal (at
 * the end of ct_equal and of libcrypto's CRYPTO_memcmp), what goes over the wire, and a plaintext that authenticated.
 */
#ifndef BASTIDE_TESTS_CT_RIG_H
#define BASTIDE_TESTS_CT_RIG_H

#include "crypto.h"

#include <stdio.h>
#include <string.h>
#include <valgrind/memcheck.h>

static unsigned failures;

static void hide(void *data, size_t len)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(data, len);
}

static void reveal(const void *data, size_t len)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(data, len);
}

/* Does the mark of a secret stand on any bit of it? */
static bool is_hidden(const void *data, size_t len)
{
    uint8_t marks[512] = {0};
    uint8_t any = 0;
    if (len > sizeof marks || VALGRIND_GET_VBITS(data, marks, len) != 1)
        return false;
    for (size_t i = 0; i < len; i++)
        any |= marks[i];
    return any != 0;
}

static void claim(const char *what, bool good)
{
    if (good)
        return;
    printf("FAILED: %s\n", what);
    failures++;
}

/* ---- Where the outcome of a comparison becomes public ---- */

bool __real_ct_equal(const void *a, const void *b, size_t len);
bool __wrap_ct_equal(const void *a, const void *b, size_t len);
enum status __real_crypto_aead_open(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes sealed,
                                    struct writer *out);
enum status __wrap_crypto_aead_open(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes sealed,
                                    struct writer *out);
int I_WRAP_SONAME_FNNAME_ZU(libcryptoZdsoZd3, CRYPTO_memcmp)(const void *a, const void *b, size_t len);

static unsigned compared, compared_in_libcrypto; /* secrets, that is */

bool __wrap_ct_equal(const void *a, const void *b, size_t len)
{
    bool equal = __real_ct_equal(a, b, len);
    compared += is_hidden(&equal, sizeof equal);
    reveal(&equal, sizeof equal);
    return equal;
}

int I_WRAP_SONAME_FNNAME_ZU(libcryptoZdsoZd3, CRYPTO_memcmp)(const void *a, const void *b, size_t len)
{
    OrigFn original;
    int result;
    VALGRIND_GET_ORIG_FN(original);
    CALL_FN_W_WWW(result, original, a, b, len);
    compared_in_libcrypto += is_hidden(&result, sizeof result);
    reveal(&result, sizeof result);
    return result;
}

enum status __wrap_crypto_aead_open(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes sealed,
                                    struct writer *out)
{
    size_t before = out->len;
    enum status status = __real_crypto_aead_open(aead, nonce, aad, sealed, out);
    if (status == OK && out->len > before)
        reveal(out->data + before, out->len - before);
    return status;
}

#endif
