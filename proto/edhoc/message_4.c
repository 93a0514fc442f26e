/* Message 4 (RFC 9528 §5.5): bstr of CIPHERTEXT_4, which is ( ? EAD_4 ) sealed. */
#include "edhoc_internal.h"

enum { LABEL_K_4 = 8 };

static enum status put_message_4(struct edhoc_session *session, const struct edhoc_eads *eads, struct writer *message)
{
    size_t len = eads_len(eads);
    cbor_put_bytes_head(message, len + crypto_aead_tag_len(session->suite->aead));
    size_t start = message->len;
    put_eads(message, eads);
    TRY(writer_end(message));
    return seal_message(session, &session->prk, LABEL_K_4, bytes_from(message->data + start, len), message);
}

enum status edhoc_put_message_4(struct edhoc_session *session, const struct edhoc_eads *eads, struct writer *message)
{
    struct writer out = *message;
    if (session->state != EDHOC_VERIFIED_3)
        return WRONG_STATE;
    return session_sent(session, put_message_4(session, eads, &out), EDHOC_COMPLETED, &out, message);
}

static enum status take_message_4(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                  struct edhoc_eads *eads)
{
    struct bytes ciphertext;
    TRY(message_body(message, &ciphertext));
    size_t start = plain->len;
    TRY(open_message(session, &session->prk, LABEL_K_4, ciphertext, plain));
    struct reader reader = reader_over(bytes_slice(writer_bytes(plain), start, plain->len - start));
    return take_eads(&reader, session->profile, eads);
}

enum status edhoc_take_message_4(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                 struct edhoc_eads *eads)
{
    struct writer out = *plain;
    if (session->state != EDHOC_SENT_3)
        return WRONG_STATE;
    return session_took(session, take_message_4(session, message, &out, eads), EDHOC_COMPLETED, &out, plain);
}
