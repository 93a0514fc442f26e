/* AEAD with the key schedule made once; only init allocates. Public: lengths, nonce, additional data, whether a message
 * verified. Secret: key and plaintext. */
#include "crypto_mbedtls_internal.h"

#include <stdlib.h>

#include <mbedtls/ccm.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/gcm.h>

enum family { CCM, GCM, CHACHA };

struct shape {
    enum crypto_aead_alg alg;
    enum family family;
    uint8_t key_len, nonce_len, tag_len;
};

static const struct shape shapes[] = {
    {CRYPTO_A128GCM, GCM, 16, 12, 16},
    {CRYPTO_A256GCM, GCM, 32, 12, 16},
    {CRYPTO_AES_CCM_16_64_128, CCM, 16, 13, 8},
    {CRYPTO_AES_CCM_16_64_256, CCM, 32, 13, 8},
    {CRYPTO_CHACHA20_POLY1305, CHACHA, 32, 12, 16},
    {CRYPTO_AES_CCM_16_128_128, CCM, 16, 13, 16},
    {CRYPTO_AES_CCM_16_128_256, CCM, 32, 13, 16},
};

struct context {
    enum family family;
    union {
        mbedtls_ccm_context ccm;
        mbedtls_gcm_context gcm;
        mbedtls_chachapoly_context chacha;
    };
};

static const struct shape *shape_of(enum crypto_aead_alg alg)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].alg == alg)
            return &shapes[i];
    return NULL;
}

size_t crypto_aead_key_len(enum crypto_aead_alg alg)
{
    const struct shape *shape = shape_of(alg);
    return shape ? shape->key_len : 0;
}

size_t crypto_aead_nonce_len(enum crypto_aead_alg alg)
{
    const struct shape *shape = shape_of(alg);
    return shape ? shape->nonce_len : 0;
}

size_t crypto_aead_tag_len(enum crypto_aead_alg alg)
{
    const struct shape *shape = shape_of(alg);
    return shape ? shape->tag_len : 0;
}

/* RFC 3610: 13 bytes of nonce leave 2 for the length. The others as far as libcrypto goes. */
size_t crypto_aead_text_max(enum crypto_aead_alg alg)
{
    const struct shape *shape = shape_of(alg);
    return !shape ? 0 : shape->family == CCM ? 65535 : (size_t)1 << 30;
}

static bool set_key(struct context *context, struct bytes key)
{
    unsigned bits = (unsigned)key.len * 8;
    switch (context->family) {
    case CCM:
        mbedtls_ccm_init(&context->ccm);
        return mbedtls_ccm_setkey(&context->ccm, MBEDTLS_CIPHER_ID_AES, key.data, bits) == 0;
    case GCM:
        mbedtls_gcm_init(&context->gcm);
        return mbedtls_gcm_setkey(&context->gcm, MBEDTLS_CIPHER_ID_AES, key.data, bits) == 0;
    case CHACHA:
        mbedtls_chachapoly_init(&context->chacha);
        return mbedtls_chachapoly_setkey(&context->chacha, key.data) == 0;
    }
    return false;
}

/* One context serves both directions: `seal` and `open` are the same, or one of them is NULL. */
enum status crypto_aead_init_for(struct crypto_aead *aead, enum crypto_aead_alg alg, struct bytes key,
                                 enum crypto_aead_use use)
{
    const struct shape *shape = shape_of(alg);
    if (!shape)
        return UNSUPPORTED;
    if (key.len != shape->key_len)
        return MALFORMED;
    if (!mbedtls_is_ready())
        return WRONG_STATE;
    struct context *context = calloc(1, sizeof *context);
    if (!context)
        return INTERNAL;
    context->family = shape->family;
    struct crypto_aead made = {alg, use & CRYPTO_SEAL ? context : NULL, use & CRYPTO_OPEN ? context : NULL};
    if (!set_key(context, key)) {
        crypto_aead_done(&made);
        return INTERNAL;
    }
    *aead = made;
    return OK;
}

void crypto_aead_done(struct crypto_aead *aead)
{
    struct context *context = aead->seal ? aead->seal : aead->open;
    if (context && context->family == CCM)
        mbedtls_ccm_free(&context->ccm);
    else if (context && context->family == GCM)
        mbedtls_gcm_free(&context->gcm);
    else if (context)
        mbedtls_chachapoly_free(&context->chacha);
    if (context)
        wipe(context, sizeof *context);
    free(context);
    *aead = (struct crypto_aead){0};
}

/* What must hold before anything is written. */
static enum status check_call(const struct crypto_aead *aead, const struct context *context, struct bytes nonce,
                              struct bytes aad, size_t text_len, const struct writer *out, size_t out_len)
{
    if (!context)
        return WRONG_STATE;
    if (nonce.len != crypto_aead_nonce_len(aead->alg))
        return MALFORMED;
    if (text_len > crypto_aead_text_max(aead->alg) || aad.len > (size_t)1 << 30)
        return NO_ROOM;
    /* RFC 3610 §2.2: two bytes of length, up to this; longer additional data Mbed TLS does not take. */
    if (context->family == CCM && aad.len > 0xfeff)
        return NO_ROOM;
    TRY(writer_end(out));
    return out_len > out->cap - out->len ? NO_ROOM : OK;
}

static bool seal(struct context *context, struct bytes nonce, struct bytes aad, struct bytes text, uint8_t *out,
                 uint8_t *tag, size_t tag_len)
{
    switch (context->family) {
    case CCM:
        return mbedtls_ccm_encrypt_and_tag(&context->ccm, text.len, nonce.data, nonce.len, aad.data, aad.len, text.data,
                                           out, tag, tag_len) == 0;
    case GCM:
        return mbedtls_gcm_crypt_and_tag(&context->gcm, MBEDTLS_GCM_ENCRYPT, text.len, nonce.data, nonce.len, aad.data,
                                         aad.len, text.data, out, tag_len, tag) == 0;
    case CHACHA:
        return mbedtls_chachapoly_encrypt_and_tag(&context->chacha, text.len, nonce.data, aad.data, aad.len, text.data,
                                                  out, tag) == 0;
    }
    return false;
}

static bool open(struct context *context, struct bytes nonce, struct bytes aad, struct bytes text, uint8_t *out,
                 const uint8_t *tag, size_t tag_len)
{
    switch (context->family) {
    case CCM:
        return mbedtls_ccm_auth_decrypt(&context->ccm, text.len, nonce.data, nonce.len, aad.data, aad.len, text.data,
                                        out, tag, tag_len) == 0;
    case GCM:
        return mbedtls_gcm_auth_decrypt(&context->gcm, text.len, nonce.data, nonce.len, aad.data, aad.len, tag, tag_len,
                                        text.data, out) == 0;
    case CHACHA:
        return mbedtls_chachapoly_auth_decrypt(&context->chacha, text.len, nonce.data, aad.data, aad.len, tag,
                                               text.data, out) == 0;
    }
    return false;
}

enum status crypto_aead_seal(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes text,
                             struct writer *out)
{
    size_t tag_len = crypto_aead_tag_len(aead->alg);
    TRY(check_call(aead, aead->seal, nonce, aad, text.len, out, text.len + tag_len));
    struct writer sealed = *out;
    uint8_t *space = put_space(&sealed, text.len);
    uint8_t *tag = put_space(&sealed, tag_len);
    if (!seal(aead->seal, nonce, aad, text, space, tag, tag_len)) {
        wipe(space, text.len);
        return INTERNAL;
    }
    *out = sealed;
    return OK;
}

enum status crypto_aead_open(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes sealed,
                             struct writer *out)
{
    size_t tag_len = crypto_aead_tag_len(aead->alg);
    if (tag_len == 0)
        return WRONG_STATE;
    if (sealed.len < tag_len)
        return AUTH;
    size_t len = sealed.len - tag_len;
    TRY(check_call(aead, aead->open, nonce, aad, len, out, len));
    uint8_t tag[CRYPTO_AEAD_TAG_MAX], spare[16];
    struct writer tag_copy = writer_over(tag, sizeof tag); /* the output may reach over it */
    put_bytes(&tag_copy, bytes_slice(sealed, len, tag_len));
    struct writer opened = *out;
    uint8_t *space = len ? put_space(&opened, len) : spare;
    if (!open(aead->open, nonce, aad, bytes_slice(sealed, 0, len), space, tag, tag_len)) {
        wipe(space, len);
        return AUTH;
    }
    *out = opened;
    return OK;
}
