/* The parts of EDHOC that its messages share: key schedule, proof of a credential, plaintexts 2 and 3. */
#ifndef BASTIDE_EDHOC_INTERNAL_H
#define BASTIDE_EDHOC_INTERNAL_H

#include "edhoc.h"

/* Sessions end here when a step fails: wiped, and FAILED for good. */
enum status session_step(struct edhoc_session *session, enum status status, enum edhoc_state next);
/* The same, and the caller's writer moves on to what was made when all went well. */
enum status session_sent(struct edhoc_session *session, enum status status, enum edhoc_state next,
                         const struct writer *made, struct writer *message);
enum status session_took(struct edhoc_session *session, enum status status, enum edhoc_state next,
                         const struct writer *made, struct writer *plain);
/* Messages 2, 3 and 4 are one byte string. */
enum status message_body(struct bytes message, struct bytes *body);

struct bytes id_bytes(const struct edhoc_id *id);
size_t session_hash_len(const struct edhoc_session *session);
struct bytes session_th(const struct edhoc_session *session);
bool initiator_signs(const struct edhoc_session *session);
bool responder_signs(const struct edhoc_session *session);
void session_give_ephemeral(struct edhoc_session *session, struct crypto_key *ephemeral);

/* EDHOC_KDF over a context that is one byte string (§4.1.2). */
enum status kdf(const struct edhoc_session *session, const struct secret *prk, uint32_t label, struct bytes context,
                void *out, size_t len);
/* MAC_2 and MAC_3: the same, of at most one hash, over a context in parts. */
enum status kdf_mac(const struct edhoc_session *session, uint32_t label, const struct bytes *parts, size_t count,
                    uint8_t *mac, size_t len);
/* text ^= KEYSTREAM_2. NO_ROOM past EDHOC_STREAM_BLOCKS hashes. */
#define EDHOC_STREAM_BLOCKS 255u
enum status keystream_2(const struct edhoc_session *session, const struct secret *prk_2e, uint8_t *text, size_t len);
/* The peer's G_X or G_Y, checked once and for all. */
enum status take_ephemeral(struct edhoc_session *session, struct bytes x);
/* prk = EDHOC_Extract(EDHOC_KDF(prk, label, th, hash_len), ECDH). */
enum status mix_static_key(struct edhoc_session *session, uint32_t label, const struct crypto_key *own,
                           struct bytes peer);
/* th = TH_2, prk = PRK_2e, when both ephemeral keys are known; g_y is the responder's. */
enum status agree(struct edhoc_session *session, struct bytes g_y);
/* The next transcript hash: begun with th and a plaintext, ended with the credential. */
enum status transcript_begin(struct edhoc_session *session, struct bytes plaintext);
void transcript_end(struct edhoc_session *session, const struct edhoc_credential *credential);
/* out = PRK_out, exporter = PRK_exporter; th is TH_4. The ephemeral key ends here (§9.8). */
enum status finish_keys(struct edhoc_session *session);

/* EAD items. */
size_t eads_len(const struct edhoc_eads *eads);
void put_eads(struct writer *writer, const struct edhoc_eads *eads);
/* Takes the rest of the reader. UNSUPPORTED: a critical item that the profile does not know; NO_ROOM: too many. */
enum status take_eads(struct reader *reader, const struct edhoc_profile *profile, struct edhoc_eads *eads);

/* The proof that a side is who its credential says: Signature_or_MAC (§5.3.2, §5.4.2). */
struct proof {
    uint32_t label;    /* 2 or 6 */
    bool by_signature; /* else by MAC alone */
    struct bytes c_r;  /* encoded; empty in message 3 */
    struct bytes id_cred, eads;
    const struct edhoc_credential *credential;
};
size_t proof_len(const struct edhoc_session *session, bool by_signature);
enum status proof_make(const struct edhoc_session *session, const struct proof *proof, uint8_t *made);
enum status proof_check(const struct edhoc_session *session, const struct proof *proof, struct bytes given);
/* A key on the curve that is nobody's, to work with when there is no credential. */
struct crypto_public decoy_key(enum crypto_curve curve);

/* Plaintexts 2 and 3, and how 3 and 4 are sealed. */
enum status reference_decode(struct bytes id_cred, struct edhoc_reference *reference);
struct bytes compact_id_cred(struct bytes id_cred, uint8_t room[EDHOC_KID_MAX + 2]); /* empty: too long */
/* UNSUPPORTED: our key is not on the curve that the suite wants for this proof. */
enum status check_own(const struct edhoc_session *session, const struct proof *proof);
/* Appends the byte string that is a message: its head, `before`, the plaintext with its proof; `after` bytes are still
 * to come. `plaintext` borrows from the message. */
enum status put_plaintext(const struct edhoc_session *session, struct bytes before, size_t after, struct proof *proof,
                          const struct edhoc_eads *eads, struct writer *message, struct bytes *plaintext);
/* What is wrong is remembered in session->bad. */
void take_plaintext(struct edhoc_session *session, struct reader *reader, struct edhoc_reference *reference,
                    struct edhoc_eads *eads);
/* Mixes a static key in, checks the proof, ends the transcript; always the same work. */
enum status verify_plaintext(struct edhoc_session *session, struct proof *proof, uint32_t mix_label,
                             const struct edhoc_credential *peer);
/* The plaintext at the end of the message becomes its ciphertext, respectively the other way round. Keys are `label`
 * and the next. */
enum status seal_message(const struct edhoc_session *session, const struct secret *prk, uint32_t label,
                         struct bytes plaintext, struct writer *message);
enum status open_message(const struct edhoc_session *session, const struct secret *prk, uint32_t label,
                         struct bytes ciphertext, struct writer *plain);

#endif
