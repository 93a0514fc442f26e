/* Message 3 (RFC 9528 §5.4): bstr of CIPHERTEXT_3, which is ( ID_CRED_I, Signature_or_MAC_3, ? EAD_3 ) sealed. */
#include "edhoc_internal.h"

enum { LABEL_K_3 = 3, LABEL_SALT_4E3M = 5, LABEL_MAC_3 = 6 };

static enum status put_message_3(struct edhoc_session *session, const struct edhoc_credential *own,
                                 const struct edhoc_eads *eads, struct writer *message)
{
    struct bytes plaintext;
    struct proof proof = {.label = LABEL_MAC_3, .by_signature = initiator_signs(session), .credential = own};
    SECRET prk_3e2m = session->prk;
    TRY(check_own(session, &proof));
    if (!proof.by_signature)
        TRY(mix_static_key(session, LABEL_SALT_4E3M, own->private_key, crypto_public_bytes(&session->peer)));
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
    return session_sent(session, put_message_3(session, own, eads, &out), EDHOC_SENT_3, &out, message);
}

static enum status take_message_3(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                  struct edhoc_reference *reference, struct edhoc_eads *eads)
{
    struct bytes ciphertext;
    TRY(message_body(message, &ciphertext));
    TRY(writer_end(plain));
    if (ciphertext.len > plain->cap - plain->len)
        return NO_ROOM;
    size_t start = plain->len;
    bool sound = open_message(session, &session->prk, LABEL_K_3, ciphertext, plain) == OK;
    struct bytes plaintext = bytes_slice(writer_bytes(plain), start, plain->len - start);
    TRY(transcript_begin(session, plaintext));
    struct reader reader = reader_over(plaintext);
    take_plaintext(session, &reader, reference, eads);
    session->bad |= !sound;
    return OK;
}

enum status edhoc_take_message_3(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                 struct edhoc_reference *reference, struct edhoc_eads *eads)
{
    struct writer out = *plain;
    if (session->state != EDHOC_SENT_2)
        return WRONG_STATE;
    enum status status = take_message_3(session, message, &out, reference, eads);
    return session_took(session, status, EDHOC_READ_3, &out, plain);
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
