/* From EDHOC to OSCORE (RFC 9528 Appendix A.1). */
#include "edhoc_internal.h"

#include <string.h>

enum { LABEL_MASTER_SECRET = 0, LABEL_MASTER_SALT = 1, MASTER_SALT_LEN = 8 };

static void set_id(struct oscore_id *id, const struct edhoc_id *from)
{
    _Static_assert(EDHOC_ID_MAX <= OSCORE_ID_MAX, "a connection identifier is an OSCORE id");
    memcpy(id->data, from->data, from->len);
    id->len = from->len;
}

enum status edhoc_oscore_input(const struct edhoc_session *session, struct oscore_input *input)
{
    __attribute__((cleanup(oscore_input_wipe))) struct oscore_input made = {.master_salt_len = MASTER_SALT_LEN};
    if (!session->suite)
        return WRONG_STATE;
    made.aead = session->suite->application_aead;
    made.hkdf = session->suite->hash;
    made.master_secret.len = crypto_aead_key_len(made.aead);
    TRY(edhoc_export(session, LABEL_MASTER_SECRET, (struct bytes){0}, made.master_secret.data, made.master_secret.len));
    TRY(edhoc_export(session, LABEL_MASTER_SALT, (struct bytes){0}, made.master_salt, MASTER_SALT_LEN));
    set_id(session->initiator ? &made.sender : &made.recipient, &session->c_r);
    set_id(session->initiator ? &made.recipient : &made.sender, &session->c_i);
    *input = made;
    return OK;
}
