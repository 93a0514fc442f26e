/* One security context: derivation (§3.2), nonce (§5.2), AAD (§5.4), replay window (§7.4). */
#include "cbor.h"
#include "oscore_internal.h"

#include <string.h>

#define INFO_MAX 80

struct bytes oscore_id_context(const struct oscore_context *context)
{
    return bytes_from(context->id_context, context->id_context_len);
}

bool oscore_context_is(const struct oscore_context *context, struct bytes id_context)
{
    return context->sender.alg != 0 && bytes_equal(oscore_id_context(context), id_context);
}

static enum crypto_hash_alg hash_of(const struct oscore_input *input)
{
    return input->hkdf ? input->hkdf : CRYPTO_SHA256;
}

static enum status derive(const struct oscore_input *input, const uint8_t prk[CRYPTO_HASH_MAX],
                          const struct bytes *id_context, struct bytes id, const char *type, uint8_t *out, size_t len)
{
    uint8_t room[INFO_MAX];
    struct writer info = writer_over(room, sizeof room);
    cbor_put_array(&info, 5);
    cbor_put_bytes(&info, id);
    if (id_context)
        cbor_put_bytes(&info, *id_context);
    else
        cbor_put_null(&info);
    cbor_put_int(&info, (int64_t)input->aead);
    cbor_put_text(&info, type);
    cbor_put_uint(&info, len);
    TRY(writer_end(&info));
    enum crypto_hash_alg hash = hash_of(input);
    return crypto_hkdf_expand(hash, bytes_from(prk, crypto_hash_len(hash)), writer_bytes(&info), out, len);
}

static enum status derive_key(const struct oscore_input *input, const uint8_t prk[CRYPTO_HASH_MAX],
                              const struct bytes *id_context, const struct oscore_id *id, enum crypto_aead_use use,
                              struct crypto_aead *aead)
{
    uint8_t key[CRYPTO_AEAD_KEY_MAX];
    size_t len = crypto_aead_key_len(input->aead);
    enum status status = derive(input, prk, id_context, bytes_from(id->data, id->len), "Key", key, len);
    if (status == OK)
        status = crypto_aead_init_for(aead, input->aead, bytes_from(key, len), use);
    wipe(key, sizeof key);
    return status;
}

enum status oscore_context_init(struct oscore_context *context, const struct oscore_input *input,
                                const struct bytes *id_context, uint64_t sequence)
{
    struct oscore_context got = {.sequence = sequence, .has_id_context = id_context != NULL};
    uint8_t prk[CRYPTO_HASH_MAX];
    size_t nonce_len = crypto_aead_nonce_len(input->aead);
    if (nonce_len == 0)
        return UNSUPPORTED;
    if (id_context && id_context->len > OSCORE_CONTEXT_MAX)
        return MALFORMED;
    if (id_context && id_context->len)
        memcpy(got.id_context, id_context->data, id_context->len);
    got.id_context_len = id_context ? id_context->len : 0;
    TRY(crypto_hkdf_extract(hash_of(input), bytes_from(input->master_salt, input->master_salt_len),
                            secret_bytes(&input->master_secret), prk));
    enum status status = derive(input, prk, id_context, (struct bytes){0}, "IV", got.common_iv, nonce_len);
    if (status == OK)
        status = derive_key(input, prk, id_context, &input->sender, CRYPTO_SEAL, &got.sender);
    if (status == OK)
        status = derive_key(input, prk, id_context, &input->recipient, CRYPTO_OPEN, &got.recipient);
    wipe(prk, sizeof prk);
    if (status == OK)
        *context = got;
    else
        oscore_context_done(&got);
    return status;
}

void oscore_context_done(struct oscore_context *context)
{
    crypto_aead_done(&context->sender);
    crypto_aead_done(&context->recipient);
    wipe(context, sizeof *context);
}

void oscore_nonce(const struct oscore_context *context, enum crypto_aead_alg aead, struct bytes id, struct bytes piv,
                  uint8_t nonce[CRYPTO_AEAD_NONCE_MAX])
{
    size_t len = crypto_aead_nonce_len(aead), id_room = len - 1 - OSCORE_PIV_MAX;
    memset(nonce, 0, CRYPTO_AEAD_NONCE_MAX);
    nonce[0] = (uint8_t)id.len;
    if (id.len && id.len <= id_room)
        memcpy(nonce + 1 + id_room - id.len, id.data, id.len);
    if (piv.len && piv.len <= OSCORE_PIV_MAX)
        memcpy(nonce + len - piv.len, piv.data, piv.len);
    for (size_t i = 0; i < len; i++)
        nonce[i] ^= context->common_iv[i];
}

struct bytes oscore_aad(enum crypto_aead_alg aead, struct bytes kid, struct bytes piv, uint8_t room[OSCORE_AAD_MAX])
{
    uint8_t external_room[32];
    struct writer external = writer_over(external_room, sizeof external_room);
    cbor_put_array(&external, 5);
    cbor_put_uint(&external, 1); /* OSCORE version */
    cbor_put_array(&external, 1);
    cbor_put_int(&external, (int64_t)aead);
    cbor_put_bytes(&external, kid);
    cbor_put_bytes(&external, piv);
    cbor_put_bytes(&external, (struct bytes){0}); /* class I options: there are none */
    struct writer aad = writer_over(room, OSCORE_AAD_MAX);
    cbor_put_array(&aad, 3);
    cbor_put_text(&aad, "Encrypt0");
    cbor_put_bytes(&aad, (struct bytes){0});
    cbor_put_bytes(&aad, writer_bytes(&external));
    return writer_bytes(&aad);
}

size_t oscore_piv(uint64_t sequence, uint8_t piv[OSCORE_PIV_MAX])
{
    size_t len = 1;
    while (len < OSCORE_PIV_MAX && sequence >> (8 * len))
        len++;
    for (size_t i = 0; i < len; i++)
        piv[i] = (uint8_t)(sequence >> (8 * (len - 1 - i)));
    return len;
}

bool oscore_window_allows(const struct oscore_context *context, uint64_t sequence)
{
    if (!context->window_used || sequence > context->window_top)
        return true;
    uint64_t back = context->window_top - sequence;
    return back < OSCORE_WINDOW && !(context->window >> back & 1);
}

void oscore_window_take(struct oscore_context *context, uint64_t sequence)
{
    if (context->window_used && sequence <= context->window_top) {
        context->window |= 1u << (context->window_top - sequence);
        return;
    }
    uint64_t forward = context->window_used ? sequence - context->window_top : OSCORE_WINDOW;
    context->window = forward >= OSCORE_WINDOW ? 1 : context->window << forward | 1;
    context->window_top = sequence;
    context->window_used = true;
}
