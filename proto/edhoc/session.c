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
    return status;
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

size_t exchange_len(const struct edhoc_session *session)
{
    return crypto_private_len(session->suite->exchange);
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
    session->ephemeral = *ephemeral;
    *ephemeral = (struct crypto_key){0};
}
