/* Message 2 (RFC 9528 §5.3): bstr of G_Y and of CIPHERTEXT_2, which is ( C_R, ID_CRED_R, Signature_or_MAC_2, ? EAD_2 )
 * under a key stream. */
#include "edhoc_internal.h"

#include <string.h>

enum { LABEL_SALT_3E2M = 1, LABEL_MAC_2 = 2 };

static enum status put_message_2(struct edhoc_session *session, const struct edhoc_credential *own,
                                 const struct edhoc_eads *eads, struct writer *message)
{
    uint8_t c_r_room[EDHOC_ID_MAX + 1];
    struct writer c_r = writer_over(c_r_room, sizeof c_r_room);
    struct bytes plaintext, g_y = crypto_public_x(&session->ephemeral.public_key);
    edhoc_put_id(&c_r, id_bytes(&session->c_r));
    struct proof proof = {
        .label = LABEL_MAC_2, .by_signature = responder_signs(session), .c_r = writer_bytes(&c_r), .credential = own};
    TRY(check_own(session, &proof));
    TRY(agree(session, g_y));
    SECRET prk_2e = session->prk;
    if (!proof.by_signature)
        TRY(mix_static_key(session, LABEL_SALT_3E2M, own->private_key, crypto_public_bytes(&session->peer)));
    TRY(put_plaintext(session, g_y, 0, &proof, eads, message, &plaintext));
    TRY(transcript_begin(session, plaintext));
    TRY(keystream_2(session, &prk_2e, message->data + message->len - plaintext.len, plaintext.len));
    transcript_end(session, own);
    return OK;
}

enum status edhoc_put_message_2(struct edhoc_session *session, struct crypto_key *ephemeral, const struct edhoc_id *c_r,
                                const struct edhoc_credential *own, const struct edhoc_eads *eads,
                                struct writer *message)
{
    struct writer out = *message;
    if (session->state != EDHOC_READ_1)
        return WRONG_STATE;
    session_give_ephemeral(session, ephemeral);
    if (session->ephemeral.public_key.curve != session->suite->exchange || c_r->len > EDHOC_ID_MAX ||
        bytes_equal(id_bytes(c_r), id_bytes(&session->c_i)))
        return session_step(session, UNSUPPORTED, EDHOC_FAILED);
    session->c_r = *c_r;
    return session_sent(session, put_message_2(session, own, eads, &out), EDHOC_SENT_2, &out, message);
}

static void take_c_r(struct edhoc_session *session, struct reader *reader)
{
    uint8_t byte[1];
    struct bytes c_r = edhoc_take_id(reader, byte);
    if (c_r.len > EDHOC_ID_MAX || (reader->status == OK && bytes_equal(c_r, id_bytes(&session->c_i)))) {
        reader_fail(reader, MALFORMED);
        return;
    }
    session->c_r.len = c_r.len;
    if (c_r.len)
        memcpy(session->c_r.data, c_r.data, c_r.len);
}

static enum status take_message_2(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                  struct edhoc_reference *reference, struct edhoc_eads *eads)
{
    struct bytes both;
    TRY(message_body(message, &both));
    size_t g_len = crypto_private_len(session->suite->exchange);
    if (both.len < g_len)
        return MALFORMED;
    struct bytes g_y = bytes_slice(both, 0, g_len);
    TRY(take_ephemeral(session, g_y));
    TRY(agree(session, g_y));
    size_t start = plain->len, len = both.len - g_len;
    put_bytes(plain, bytes_slice(both, g_len, len));
    TRY(writer_end(plain));
    TRY(keystream_2(session, &session->prk, plain->data + start, len));
    struct bytes plaintext = bytes_slice(writer_bytes(plain), start, len);
    TRY(transcript_begin(session, plaintext));
    struct reader reader = reader_over(plaintext);
    take_c_r(session, &reader);
    take_plaintext(session, &reader, reference, eads);
    return OK;
}

enum status edhoc_take_message_2(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                 struct edhoc_reference *reference, struct edhoc_eads *eads)
{
    struct writer out = *plain;
    if (session->state != EDHOC_SENT_1)
        return WRONG_STATE;
    enum status status = take_message_2(session, message, &out, reference, eads);
    return session_took(session, status, EDHOC_READ_2, &out, plain);
}

enum status edhoc_verify_message_2(struct edhoc_session *session, const struct edhoc_credential *peer)
{
    uint8_t c_r_room[EDHOC_ID_MAX + 1];
    struct writer c_r = writer_over(c_r_room, sizeof c_r_room);
    if (session->state != EDHOC_READ_2)
        return WRONG_STATE;
    edhoc_put_id(&c_r, id_bytes(&session->c_r));
    struct proof proof = {.label = LABEL_MAC_2, .by_signature = responder_signs(session), .c_r = writer_bytes(&c_r)};
    return session_step(session, verify_plaintext(session, &proof, LABEL_SALT_3E2M, peer), EDHOC_VERIFIED_2);
}
