/* contact: the first secret between an owner and a fresh hub — hello and answer as bytes, and the OSCORE input both
 * derive. Never decides whether evidence is good: the owner appraises it between contact_answer_decode() and
 * contact_derive().
 *
 * Unprotected, once: POST /.well-known/bastide. The owner sends a nonce and an ephemeral key, signed by the key of the
 * owner certificate; the hub answers with its P-256 key and evidence whose user data is SHA-256(key || nonce), zero
 * padded. Both derive by ECDH. The hub takes the new session for the owner's only when the first request under it
 * verifies, so a replayed hello changes nothing. */
#ifndef BASTIDE_CONTACT_H
#define BASTIDE_CONTACT_H

#include "base.h"
#include "crypto.h"
#include "oscore.h"

#define CONTACT_NONCE_LEN 32
#define CONTACT_HELLO_MAX 512
#define CONTACT_USER_DATA_LEN 64

struct contact_hello {
    uint8_t nonce[CONTACT_NONCE_LEN];
    struct crypto_public ephemeral; /* P-256 */
};

/* COSE_Sign1 {1: nonce, 2: COSE_Key} by the owner, external_aad = config id: a hello is for one site. */
MUST_USE enum status contact_hello_sign(struct writer *writer, const struct crypto_key *owner,
                                        const uint8_t config_id[32], const struct contact_hello *hello);
MUST_USE enum status contact_hello_open(struct bytes sign1, const struct crypto_public *owner,
                                        const uint8_t config_id[32], struct contact_hello *hello); /* AUTH first */

struct contact_answer {
    struct crypto_public key; /* the hub's, P-256 */
    struct bytes evidence;    /* borrows */
};

void contact_put_answer(struct writer *writer, const struct contact_answer *answer);
MUST_USE enum status contact_answer_decode(struct bytes encoded, struct contact_answer *answer);

/* What the report binds: SHA-256(0x04 || x || y || nonce), then zeros. */
MUST_USE enum status contact_user_data(const struct crypto_public *key, const uint8_t nonce[CONTACT_NONCE_LEN],
                                       uint8_t user_data[CONTACT_USER_DATA_LEN]);
/* HKDF-SHA-256(salt nonce, ECDH(own, peer), info "bastide first contact" || config id || both keys). `input` is the
 * owner's (sender "o", recipient "h"); the hub mirrors it. A256GCM: AES-CCM-16 would cut pages
 * of history below 64 KiB. */
MUST_USE enum status contact_derive(const struct crypto_key *own, const struct crypto_public *hub,
                                    const struct crypto_public *ephemeral, const uint8_t nonce[CONTACT_NONCE_LEN],
                                    const uint8_t config_id[32], struct oscore_input *input);

#endif
