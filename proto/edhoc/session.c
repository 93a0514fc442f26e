/* What a session is made of and how it ends. */
#include "edhoc_internal.h"

void edhoc_done(struct edhoc_session *session)
{
    crypto_key_done(&session->ephemeral);
    wipe(session, sizeof *session);
}

enum status session_step(struct edhoc_session *session, enum status status, enum edhoc_state next)
{
    if (status != OK)
        edhoc_done(session);
    session->state = status == OK ? next : EDHOC_FAILED;
    if (session->state == EDHOC_COMPLETED)
        secret_wipe(&session->prk);
    return status;
}

enum status session_sent(struct edhoc_session *session, enum status status, enum edhoc_state next,
                         const struct writer *made, struct writer *message)
{
    if (status == OK && made->len - message->len > EDHOC_MESSAGE_MAX)
        status = NO_ROOM;
    if (status == OK)
        *message = *made;
    return session_step(session, status, next);
}

enum status session_took(struct edhoc_session *session, enum status status, enum edhoc_state next,
                         const struct writer *made, struct writer *plain)
{
    if (status == OK)
        *plain = *made;
    return session_step(session, status, next);
}

enum status message_body(struct bytes message, struct bytes *body)
{
    struct reader reader = reader_over(message);
    struct bytes taken = cbor_take_bytes(&reader);
    TRY(reader_end(&reader));
    if (message.len > EDHOC_MESSAGE_MAX)
        return NO_ROOM;
    *body = taken;
    return OK;
}

struct bytes id_bytes(const struct edhoc_id *id)
{
    return bytes_from(id->data, id->len);
}

size_t session_hash_len(const struct edhoc_session *session)
{
    return crypto_hash_len(session->suite->hash);
}

struct bytes session_th(const struct edhoc_session *session)
{
    return bytes_from(session->th, session_hash_len(session));
}

bool initiator_signs(const struct edhoc_session *session)
{
    return session->method < 2;
}

bool responder_signs(const struct edhoc_session *session)
{
    return session->method % 2 == 0;
}

void session_give_ephemeral(struct edhoc_session *session, struct crypto_key *ephemeral)
{
    crypto_key_done(&session->ephemeral);
    session->ephemeral = *ephemeral;
    *ephemeral = (struct crypto_key){0};
}
