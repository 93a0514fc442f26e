/* Message 3 (RFC 9528 §5.4): bstr of CIPHERTEXT_3, which is ( ID_CRED_I, Signature_or_MAC_3, ? EAD_3 ) sealed. */
#include "edhoc_internal.h"

enum { LABEL_K_3 = 3, LABEL_SALT_4E3M = 5, LABEL_MAC_3 = 6 };

static enum status put_message_3(struct edhoc_session *session, const struct edhoc_credential *own,
                                 const struct edhoc_eads *eads, struct writer *message)
{
    struct bytes plaintext;
    struct proof proof = {.label = LABEL_MAC_3, .by_signature = initiator_signs(session), .credential = own};
    SECRET prk_3e2m = session->prk;
    if (!proof.by_signature) {
        if (own->private_key == NULL || own->private_key->public_key.curve != session->suite->exchange)
            return UNSUPPORTED;
        TRY(mix_static_key(session, LABEL_SALT_4E3M, own->private_key,
                           bytes_from(session->g_peer, exchange_len(session))));
    }
    TRY(put_plaintext(session, (struct bytes){0}, crypto_aead_tag_len(session->suite->aead), &proof, eads, message,
                      &plaintext));
    TRY(transcript_begin(session, plaintext));
    TRY(seal_message(session, &prk_3e2m, LABEL_K_3, plaintext, message));
    transcript_end(session, own);
    return finish_keys(session);
}

enum status edhoc_put_message_3(struct edhoc_session *session, const struct edhoc_credential *own,
                                const struct edhoc_eads *eads, struct writer *message)
{
    struct writer out = *message;
    if (session->state != EDHOC_VERIFIED_2)
        return WRONG_STATE;
    enum status status = put_message_3(session, own, eads, &out);
    if (status == OK)
        *message = out;
    return session_step(session, status, EDHOC_SENT_3);
}

static enum status take_message_3(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                  struct edhoc_reference *reference, struct edhoc_eads *eads)
{
    struct reader reader = reader_over(message);
    struct bytes ciphertext = cbor_take_bytes(&reader);
    TRY(reader_end(&reader));
    if (ciphertext.len > plain->cap - plain->len)
        return NO_ROOM;
    size_t start = plain->len;
    bool sound = open_message(session, &session->prk, LABEL_K_3, ciphertext, plain) == OK;
    struct bytes plaintext = bytes_from(plain->data + start, plain->len - start);
    TRY(transcript_begin(session, plaintext));
    reader = reader_over(plaintext);
    take_plaintext(session, &reader, reference, eads);
    session->bad |= !sound;
    return OK;
}

enum status edhoc_take_message_3(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                 struct edhoc_reference *reference, struct edhoc_eads *eads)
{
    if (session->state != EDHOC_SENT_2)
        return WRONG_STATE;
    return session_step(session, take_message_3(session, message, plain, reference, eads), EDHOC_READ_3);
}

enum status edhoc_verify_message_3(struct edhoc_session *session, const struct edhoc_credential *peer)
{
    if (session->state != EDHOC_READ_3)
        return WRONG_STATE;
    struct proof proof = {.label = LABEL_MAC_3, .by_signature = initiator_signs(session)};
    enum status status = verify_plaintext(session, &proof, LABEL_SALT_4E3M, peer);
    if (status == OK)
        status = finish_keys(session);
    return session_step(session, status, EDHOC_VERIFIED_3);
}
