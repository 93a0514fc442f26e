/* AEAD with the key schedule made once: one libcrypto context per direction, only the nonce changes per message.
 * Public: lengths, nonce, additional data, whether a message verified. Secret: key and plaintext. */
#include "crypto_internal.h"

#include <openssl/err.h>

struct shape {
    enum crypto_aead_alg alg;
    const char *name;
    uint8_t key_len, nonce_len, tag_len;
    bool ccm;
};

static const struct shape shapes[] = {
    {CRYPTO_A128GCM, "AES-128-GCM", 16, 12, 16, false},
    {CRYPTO_A256GCM, "AES-256-GCM", 32, 12, 16, false},
    {CRYPTO_AES_CCM_16_64_128, "AES-128-CCM", 16, 13, 8, true},
    {CRYPTO_AES_CCM_16_64_256, "AES-256-CCM", 32, 13, 8, true},
    {CRYPTO_CHACHA20_POLY1305, "ChaCha20-Poly1305", 32, 12, 16, false},
    {CRYPTO_AES_CCM_16_128_128, "AES-128-CCM", 16, 13, 16, true},
    {CRYPTO_AES_CCM_16_128_256, "AES-256-CCM", 32, 13, 16, true},
};

#define SHAPES (sizeof shapes / sizeof *shapes)

static EVP_CIPHER *ciphers[SHAPES];

bool aead_fetch_all(void)
{
    for (size_t i = 0; i < SHAPES; i++)
        if (!ciphers[i] && !(ciphers[i] = EVP_CIPHER_fetch(NULL, shapes[i].name, NULL)))
            return false;
    return true;
}

static const struct shape *shape_of(enum crypto_aead_alg alg)
{
    for (size_t i = 0; i < SHAPES; i++)
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

/* RFC 3610: 13 bytes of nonce leave 2 for the length. The others are bound by libcrypto's int. */
size_t crypto_aead_text_max(enum crypto_aead_alg alg)
{
    const struct shape *shape = shape_of(alg);
    return !shape ? 0 : shape->ccm ? 65535 : (size_t)1 << 30;
}

static EVP_CIPHER_CTX *keyed_context(const struct shape *shape, const EVP_CIPHER *cipher, struct bytes key, int seal)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context && EVP_CipherInit_ex(context, cipher, NULL, NULL, NULL, seal) == 1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, shape->nonce_len, NULL) == 1 &&
        (!shape->ccm || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, shape->tag_len, NULL) == 1) &&
        EVP_CipherInit_ex(context, NULL, NULL, key.data, NULL, seal) == 1)
        return context;
    EVP_CIPHER_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

enum status crypto_aead_init_for(struct crypto_aead *aead, enum crypto_aead_alg alg, struct bytes key,
                                 enum crypto_aead_use use)
{
    const struct shape *shape = shape_of(alg);
    if (!shape)
        return UNSUPPORTED;
    if (key.len != shape->key_len)
        return MALFORMED;
    const EVP_CIPHER *cipher = ciphers[shape - shapes];
    if (!cipher)
        return WRONG_STATE;
    struct crypto_aead made = {.alg = alg};
    if (use & CRYPTO_SEAL)
        made.seal = keyed_context(shape, cipher, key, 1);
    if (use & CRYPTO_OPEN)
        made.open = keyed_context(shape, cipher, key, 0);
    if ((use & CRYPTO_SEAL && !made.seal) || (use & CRYPTO_OPEN && !made.open)) {
        crypto_aead_done(&made);
        return INTERNAL;
    }
    *aead = made;
    return OK;
}

void crypto_aead_done(struct crypto_aead *aead)
{
    EVP_CIPHER_CTX_free(aead->seal);
    EVP_CIPHER_CTX_free(aead->open);
    *aead = (struct crypto_aead){0};
}

/* What must hold before anything is written; gives the shape and room for `len` more bytes. */
static enum status check_call(const struct crypto_aead *aead, const void *context, struct bytes nonce, struct bytes aad,
                              size_t text_len, const struct writer *out, size_t out_len)
{
    if (!context)
        return WRONG_STATE;
    if (nonce.len != crypto_aead_nonce_len(aead->alg))
        return MALFORMED;
    if (text_len > crypto_aead_text_max(aead->alg) || aad.len > (size_t)1 << 30)
        return NO_ROOM;
    TRY(writer_end(out));
    return out_len > out->cap - out->len ? NO_ROOM : OK;
}

/* Nonce, additional data and text in the order CCM insists on; the text of CCM is verified here, that of the others
 * by the final call. CCM needs the call even for an empty text, and takes no NULL for it. */
static bool run(EVP_CIPHER_CTX *context, bool ccm, struct bytes nonce, struct bytes aad, struct bytes text,
                uint8_t *out)
{
    static const uint8_t nothing[1];
    int len = 0;
    uint8_t end[16];
    if (EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce.data, -1) != 1)
        return false;
    if (ccm && EVP_CipherUpdate(context, NULL, &len, NULL, (int)text.len) != 1)
        return false;
    if (aad.len && EVP_CipherUpdate(context, NULL, &len, aad.data, (int)aad.len) != 1)
        return false;
    /* A CCM tag that does not verify makes EVP_CipherUpdate() allocate an error record; EVP_Cipher() only says so. */
    if (ccm)
        return EVP_Cipher(context, out, text.len ? text.data : nothing, (unsigned)text.len) >= 0;
    if (text.len && EVP_CipherUpdate(context, out, &len, text.data, (int)text.len) != 1)
        return false;
    return EVP_CipherFinal_ex(context, end, &len) == 1;
}

enum status crypto_aead_seal(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes text,
                             struct writer *out)
{
    const struct shape *shape = shape_of(aead->alg);
    TRY(check_call(aead, aead->seal, nonce, aad, text.len, out, text.len + crypto_aead_tag_len(aead->alg)));
    struct writer sealed = *out;
    uint8_t *space = put_space(&sealed, text.len);
    uint8_t *tag = put_space(&sealed, shape->tag_len);
    if (!run(aead->seal, shape->ccm, nonce, aad, text, space) ||
        EVP_CIPHER_CTX_ctrl(aead->seal, EVP_CTRL_AEAD_GET_TAG, shape->tag_len, tag) != 1) {
        wipe(space, text.len);
        ERR_clear_error();
        return INTERNAL;
    }
    *out = sealed;
    return OK;
}

enum status crypto_aead_open(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes sealed,
                             struct writer *out)
{
    const struct shape *shape = shape_of(aead->alg);
    if (!shape)
        return WRONG_STATE;
    if (sealed.len < shape->tag_len)
        return AUTH;
    size_t len = sealed.len - shape->tag_len;
    TRY(check_call(aead, aead->open, nonce, aad, len, out, len));
    uint8_t tag[CRYPTO_AEAD_TAG_MAX];
    struct writer tag_copy = writer_over(tag, sizeof tag);
    put_bytes(&tag_copy, bytes_slice(sealed, len, shape->tag_len));
    struct writer opened = *out;
    uint8_t spare[16];
    uint8_t *space = len ? put_space(&opened, len) : spare;
    if (EVP_CIPHER_CTX_ctrl(aead->open, EVP_CTRL_AEAD_SET_TAG, shape->tag_len, tag) != 1 ||
        !run(aead->open, shape->ccm, nonce, aad, bytes_slice(sealed, 0, len), space)) {
        wipe(space, len);
        ERR_clear_error();
        return AUTH;
    }
    *out = opened;
    return OK;
}
