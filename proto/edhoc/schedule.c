/* The key schedule (RFC 9528 §4): transcript hashes, EDHOC_KDF, the exporter. */
#include "edhoc_internal.h"

#include <string.h>

#define INFO_MAX (EDHOC_CONTEXT_MAX + 24)
_Static_assert(EDHOC_CONTEXT_MAX >= CRYPTO_HASH_MAX, "a transcript hash is a context");
#define MAC_PARTS_MAX 12

enum { LABEL_KEYSTREAM_2 = 0, LABEL_PRK_OUT = 7, LABEL_PRK_EXPORTER = 10, LABEL_KEY_UPDATE = 11 };

static void put_info_head(struct writer *info, uint32_t label, size_t context_len)
{
    cbor_put_uint(info, label);
    cbor_put_bytes_head(info, context_len);
}

enum status kdf(const struct edhoc_session *session, const struct secret *prk, uint32_t label, struct bytes context,
                void *out, size_t len)
{
    uint8_t room[INFO_MAX];
    struct writer info = writer_over(room, sizeof room);
    if (context.len > EDHOC_CONTEXT_MAX)
        return NO_ROOM;
    put_info_head(&info, label, context.len);
    put_bytes(&info, context);
    cbor_put_uint(&info, len);
    TRY(writer_end(&info));
    return crypto_hkdf_expand(session->suite->hash, secret_bytes(prk), writer_bytes(&info), out, len);
}

/* HKDF-Expand for no more than one hash is one HMAC over info and the octet 1 (RFC 5869 §2.3), so that a context with
 * a certificate in it need not be copied together. */
enum status kdf_mac(const struct edhoc_session *session, uint32_t label, const struct bytes *parts, size_t count,
                    uint8_t *mac, size_t len)
{
    uint8_t head_room[16], tail_room[16], whole[CRYPTO_HASH_MAX];
    struct bytes all[MAC_PARTS_MAX];
    struct writer head = writer_over(head_room, sizeof head_room), tail = writer_over(tail_room, sizeof tail_room);
    size_t context_len = 0;
    if (count + 2 > MAC_PARTS_MAX || len > session_hash_len(session))
        return INTERNAL;
    for (size_t i = 0; i < count; i++) {
        context_len += parts[i].len;
        all[i + 1] = parts[i];
    }
    put_info_head(&head, label, context_len);
    cbor_put_uint(&tail, len);
    put_u8(&tail, 1);
    all[0] = writer_bytes(&head);
    all[count + 1] = writer_bytes(&tail);
    TRY(crypto_hmac(session->suite->hash, secret_bytes(&session->prk), all, count + 2, whole));
    memcpy(mac, whole, len);
    wipe(whole, sizeof whole);
    return OK;
}

/* HKDF-Expand block by block, for the stream may be as long as the message. */
enum status keystream_2(const struct edhoc_session *session, const struct secret *prk_2e, uint8_t *text, size_t len)
{
    size_t block_len = session_hash_len(session);
    uint8_t room[INFO_MAX], block[CRYPTO_HASH_MAX];
    struct writer info = writer_over(room, sizeof room);
    if (len > EDHOC_STREAM_BLOCKS * block_len)
        return NO_ROOM;
    put_info_head(&info, LABEL_KEYSTREAM_2, block_len);
    put_bytes(&info, session_th(session));
    cbor_put_uint(&info, len);
    for (size_t done = 0, count = 1; done < len; count++) {
        const uint8_t counter = (uint8_t)count;
        const struct bytes parts[] = {bytes_from(block, count == 1 ? 0 : block_len), writer_bytes(&info),
                                      bytes_from(&counter, 1)};
        TRY(crypto_hmac(session->suite->hash, secret_bytes(prk_2e), parts, 3, block));
        for (size_t i = 0; i < block_len && done < len; i++)
            text[done++] ^= block[i];
    }
    wipe(block, sizeof block);
    return OK;
}

static enum status extract(const struct edhoc_session *session, struct bytes salt, const struct secret *shared,
                           struct secret *prk)
{
    uint8_t made[CRYPTO_HASH_MAX];
    TRY(crypto_hkdf_extract(session->suite->hash, salt, secret_bytes(shared), made));
    enum status status = secret_set(prk, bytes_from(made, session_hash_len(session)));
    wipe(made, sizeof made);
    return status;
}

enum status take_ephemeral(struct edhoc_session *session, struct bytes x)
{
    enum crypto_curve curve = session->suite->exchange;
    return x.len == crypto_private_len(curve) ? crypto_public_import(&session->peer, curve, x) : MALFORMED;
}

enum status mix_static_key(struct edhoc_session *session, uint32_t label, const struct crypto_key *own,
                           struct bytes peer)
{
    SECRET shared = {0};
    uint8_t salt[CRYPTO_HASH_MAX];
    size_t len = session_hash_len(session);
    TRY(crypto_ecdh(own, peer, &shared));
    TRY(kdf(session, &session->prk, label, session_th(session), salt, len));
    enum status status = extract(session, bytes_from(salt, len), &shared, &session->prk);
    wipe(salt, sizeof salt);
    return status;
}

static void add_bytes_item(struct crypto_hash_state *hash, struct bytes item)
{
    uint8_t room[9];
    struct writer head = writer_over(room, sizeof room);
    cbor_put_bytes_head(&head, item.len);
    crypto_hash_add(hash, writer_bytes(&head));
    crypto_hash_add(hash, item);
}

enum status agree(struct edhoc_session *session, struct bytes g_y)
{
    SECRET shared = {0};
    TRY(crypto_ecdh(&session->ephemeral, crypto_public_bytes(&session->peer), &shared));
    TRY(crypto_hash_start(&session->transcript, session->suite->hash));
    add_bytes_item(&session->transcript, g_y);
    add_bytes_item(&session->transcript, session_th(session)); /* H(message_1) */
    crypto_hash_finish(&session->transcript, session->th);
    return extract(session, session_th(session), &shared, &session->prk);
}

enum status transcript_begin(struct edhoc_session *session, struct bytes plaintext)
{
    TRY(crypto_hash_start(&session->transcript, session->suite->hash));
    add_bytes_item(&session->transcript, session_th(session));
    crypto_hash_add(&session->transcript, plaintext);
    return OK;
}

void transcript_end(struct edhoc_session *session, const struct edhoc_credential *credential)
{
    if (credential->is_certificate)
        add_bytes_item(&session->transcript, credential->value);
    else
        crypto_hash_add(&session->transcript, credential->value);
    crypto_hash_finish(&session->transcript, session->th);
}

static enum status derive(const struct edhoc_session *session, const struct secret *prk, uint32_t label,
                          struct bytes context, struct secret *made)
{
    made->len = session_hash_len(session);
    return kdf(session, prk, label, context, made->data, made->len);
}

static enum status derive_exporter(struct edhoc_session *session)
{
    return derive(session, &session->out, LABEL_PRK_EXPORTER, (struct bytes){0}, &session->exporter);
}

enum status finish_keys(struct edhoc_session *session)
{
    TRY(derive(session, &session->prk, LABEL_PRK_OUT, session_th(session), &session->out));
    crypto_key_done(&session->ephemeral);
    return derive_exporter(session);
}

static bool has_keys(const struct edhoc_session *session)
{
    return session->state == EDHOC_SENT_3 || session->state == EDHOC_VERIFIED_3 || session->state == EDHOC_COMPLETED;
}

enum status edhoc_export(const struct edhoc_session *session, uint32_t label, struct bytes context, void *out,
                         size_t len)
{
    return has_keys(session) ? kdf(session, &session->exporter, label, context, out, len) : WRONG_STATE;
}

enum status edhoc_key_update(struct edhoc_session *session, struct bytes context)
{
    SECRET next = {0};
    if (!has_keys(session))
        return WRONG_STATE;
    TRY(derive(session, &session->out, LABEL_KEY_UPDATE, context, &next));
    session->out = next;
    return derive_exporter(session);
}
