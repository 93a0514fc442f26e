/* edhoc: Ephemeral Diffie-Hellman Over COSE (RFC 9528), both roles, all four methods — messages as bytes and the keys
 * of one session. Never does I/O, never makes randomness, never allocates but for what crypto's keys need, and never
 * decides whom to trust: between take and verify the caller finds the credential that a peer named, and judges it.
 *
 *     initiator                          responder
 *     edhoc_put_message_1()      ──►     edhoc_take_message_1()
 *     edhoc_take_message_2()     ◄──     edhoc_put_message_2()
 *     edhoc_verify_message_2()
 *     edhoc_put_message_3()      ──►     edhoc_take_message_3()
 *                                        edhoc_verify_message_3()
 *     edhoc_take_message_4()     ◄──     edhoc_put_message_4()
 *
 * Each call out of this order is WRONG_STATE and changes nothing; each that fails otherwise ends the session: it is
 * wiped, and every later call is WRONG_STATE. What is wrong inside the encryption of messages 2 and 3 is told by
 * verify alone, always as AUTH and after the same public-key operations, so neither text nor time tells which check
 * failed. On failure the writers are as before. */
#ifndef BASTIDE_EDHOC_H
#define BASTIDE_EDHOC_H

#include "base.h"
#include "cbor.h"
#include "cose.h"
#include "crypto.h"
#include "oscore.h"

#define EDHOC_ID_MAX 6          /* bytes of a connection identifier: it becomes an OSCORE id, which is no longer */
#define EDHOC_KID_MAX 32        /* bytes of a key identifier */
#define EDHOC_CHAIN_MAX 4       /* certificates in an x5chain */
#define EDHOC_EADS_MAX 8        /* EAD items in a message, padding not counted */
#define EDHOC_SUITES_MAX 16     /* suites in SUITES_I or SUITES_R */
#define EDHOC_MESSAGE_MAX 16384 /* bytes of a message, made or taken: NO_ROOM past it */
#define EDHOC_CONTEXT_MAX 64    /* bytes of a context of the exporter or of a key update */
#define EDHOC_ERROR_TEXT_MAX 128

/* ---- Cipher suites (§3.6) and methods (§3.2) ---- */

struct edhoc_suite {
    int number;
    enum crypto_aead_alg aead;
    enum crypto_hash_alg hash;
    size_t mac_len; /* with static Diffie-Hellman keys */
    enum crypto_curve exchange, signature;
    enum crypto_aead_alg application_aead; /* the application's hash is `hash` in every suite here */
};

const struct edhoc_suite *edhoc_suite(int64_t number); /* 0, 2, 3, 6, 24; NULL for any other */

/* Bit n of a set of methods: method n. In 0 both sign; in 1 the responder, in 2 the initiator, in 3 both have static
 * Diffie-Hellman keys. */
enum edhoc_methods { EDHOC_SIGN_SIGN = 1 << 0, EDHOC_SIGN_DH = 1 << 1, EDHOC_DH_SIGN = 1 << 2, EDHOC_DH_DH = 1 << 3 };

/* What this side offers or takes. Borrowed for as long as the session lives. */
struct edhoc_profile {
    unsigned methods;  /* enum edhoc_methods; an initiator may take any of these */
    const int *suites; /* ours, the most preferred first */
    size_t suites_count;
    const uint32_t *ead_labels; /* EAD items we understand: a critical one that is not among them ends the session */
    size_t ead_labels_count;
};

/* The first suite of ours that is in theirs (SUITES_R of an error); NULL when there is none. */
const struct edhoc_suite *edhoc_choose_suite(const struct edhoc_profile *profile, const int64_t *theirs, size_t count);

/* ---- Connection identifiers (§3.3) ---- */

struct edhoc_id {
    uint8_t data[EDHOC_ID_MAX];
    size_t len;
};

void edhoc_put_id(struct writer *writer, struct bytes id); /* a one-byte id that is an integer in CBOR is written so */
struct bytes edhoc_take_id(struct reader *reader, uint8_t byte[1]); /* borrows from the input or from `byte` */

/* ---- External authorization data (§3.8) ---- */

struct edhoc_ead {
    uint32_t label; /* without its sign; 0 is padding: written, never read */
    bool critical;
    bool has_value;
    struct bytes value; /* borrows */
};

struct edhoc_eads {
    struct edhoc_ead items[EDHOC_EADS_MAX];
    size_t count;
};

const struct edhoc_ead *edhoc_find_ead(const struct edhoc_eads *eads, uint32_t label); /* NULL: none */

/* ---- Credentials (§3.5) ---- */

enum edhoc_kind {
    EDHOC_NONE,    /* the peer's message is bad: verify says so */
    EDHOC_KID,     /* {4: kid} */
    EDHOC_KCCS,    /* {14: CWT claims set} */
    EDHOC_X5CHAIN, /* {33: one certificate, or an array with the end entity first} */
    EDHOC_X5T,     /* {34: [hash algorithm, hash]} */
    EDHOC_OTHER,   /* a kind we do not know */
};

/* What ID_CRED_x says, borrowing from the plaintext. */
struct edhoc_reference {
    enum edhoc_kind kind;
    struct bytes kid;
    struct bytes claims; /* the claims set, encoded */
    struct bytes certificates[EDHOC_CHAIN_MAX];
    size_t certificates_count;
    int64_t hash_alg; /* COSE: -16 SHA-256, -15 SHA-256/64 */
    struct bytes hash;
    struct bytes encoded; /* the whole map */
};

bool edhoc_reference_is(const struct edhoc_reference *reference, struct bytes certificate); /* by x5t or x5chain */

/* ID_CRED_x of ours. */
void edhoc_put_kid(struct writer *writer, struct bytes kid);
void edhoc_put_x5chain(struct writer *writer, const struct bytes *certificates, size_t count);
void edhoc_put_x5t(struct writer *writer, struct bytes certificate); /* SHA-256/64 */
void edhoc_put_kccs(struct writer *writer, struct bytes claims);

/* A claims set with a key and nothing that vouches for it: {2: subject, 8: {1: COSE_Key}} (§3.5.2). */
void edhoc_put_claims(struct writer *writer, const char *subject, const struct crypto_public *key, struct bytes kid);
MUST_USE enum status edhoc_claims_decode(struct bytes claims, struct crypto_public *key, struct bytes *subject);

/* Who one side is. `value` is the DER of a certificate, or an encoded claims set. Everything borrowed for the call. */
struct edhoc_credential {
    bool is_certificate;
    struct bytes value;
    struct crypto_public key;             /* the peer's */
    const struct crypto_key *private_key; /* ours */
    struct bytes id_cred;                 /* ours: what edhoc_put_… above wrote */
};

/* ---- One session ---- */

enum edhoc_state {
    EDHOC_START,
    EDHOC_SENT_1,
    EDHOC_READ_2,
    EDHOC_VERIFIED_2,
    EDHOC_SENT_3, /* initiator: keys are there, message 4 is not */
    EDHOC_READ_1,
    EDHOC_SENT_2,
    EDHOC_READ_3,
    EDHOC_VERIFIED_3, /* responder: keys are there */
    EDHOC_COMPLETED,
    EDHOC_FAILED,
};

/* Zeroed: a new one. Never moved between take and verify, never copied; done wipes. */
struct edhoc_session {
    enum edhoc_state state;
    const struct edhoc_profile *profile;
    const struct edhoc_suite *suite;
    unsigned method;
    struct edhoc_id c_i, c_r;
    struct crypto_key ephemeral;         /* ours, until the keys are there (§9.8) */
    struct crypto_public peer;           /* the peer's */
    uint8_t th[CRYPTO_HASH_MAX];         /* H(message_1), TH_2, TH_3, TH_4, one after the other */
    struct crypto_hash_state transcript; /* of the next one, which waits for the peer's credential */
    struct secret prk;                   /* PRK_2e, PRK_3e2m, PRK_4e3m, one after the other */
    struct secret out, exporter;         /* PRK_out and PRK_exporter */
    bool bad;                            /* the encrypted part of the message read last was */
    struct bytes id_cred, proof, eads;   /* of that message; borrow from the plaintext until verify */
    uint8_t kid_map[EDHOC_KID_MAX + 4];
    bool initiator;
    bool wrong_suite; /* message 1 was refused for its suite: the error to answer with is edhoc_put_error_suites() */
};

void edhoc_done(struct edhoc_session *session);

/* `suite` is one of the profile's, `ephemeral` a fresh key on its curve, never one used before: given to the session,
 * which it ends with, in every case but WRONG_STATE. */
MUST_USE enum status edhoc_put_message_1(struct edhoc_session *session, const struct edhoc_profile *profile,
                                         unsigned method, const struct edhoc_suite *suite, struct crypto_key *ephemeral,
                                         const struct edhoc_id *c_i, const struct edhoc_eads *eads,
                                         struct writer *message);
/* UNSUPPORTED: method, suite (`wrong_suite` says so) or a critical EAD item. */
MUST_USE enum status edhoc_take_message_1(struct edhoc_session *session, const struct edhoc_profile *profile,
                                          struct bytes message, struct edhoc_eads *eads);
/* c_r must differ from c_i (§3.3.2, as OSCORE ids). NO_ROOM: the plaintext is longer than 255 hashes (8,160 bytes with
 * SHA-256) or the writer is too small. */
MUST_USE enum status edhoc_put_message_2(struct edhoc_session *session, struct crypto_key *ephemeral,
                                         const struct edhoc_id *c_r, const struct edhoc_credential *own,
                                         const struct edhoc_eads *eads, struct writer *message);
/* `plain` needs as much room as the message is long, and must stay until verify; `reference` and `eads` borrow from
 * it or from the session, are not authentic before verify, and empty when the message is bad. */
MUST_USE enum status edhoc_take_message_2(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                          struct edhoc_reference *reference, struct edhoc_eads *eads);
/* NULL: the credential is unknown or refused. AUTH: that, or anything that was wrong with the message. */
MUST_USE enum status edhoc_verify_message_2(struct edhoc_session *session, const struct edhoc_credential *peer);
MUST_USE enum status edhoc_put_message_3(struct edhoc_session *session, const struct edhoc_credential *own,
                                         const struct edhoc_eads *eads, struct writer *message);
MUST_USE enum status edhoc_take_message_3(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                          struct edhoc_reference *reference, struct edhoc_eads *eads);
MUST_USE enum status edhoc_verify_message_3(struct edhoc_session *session, const struct edhoc_credential *peer);
MUST_USE enum status edhoc_put_message_4(struct edhoc_session *session, const struct edhoc_eads *eads,
                                         struct writer *message);
MUST_USE enum status edhoc_take_message_4(struct edhoc_session *session, struct bytes message, struct writer *plain,
                                          struct edhoc_eads *eads); /* AUTH; what is wrong with EAD_4, as it is */

/* EDHOC_Exporter (§4.2.1): from the moment this side has the keys; an initiator uses nothing of it for data before
 * message 4. NO_ROOM past 255 hashes or EDHOC_CONTEXT_MAX. This and the next change nothing when they fail. */
MUST_USE enum status edhoc_export(const struct edhoc_session *session, uint32_t label, struct bytes context, void *out,
                                  size_t len);
/* EDHOC_KeyUpdate (Appendix H). Both sides call it with the same context. */
MUST_USE enum status edhoc_key_update(struct edhoc_session *session, struct bytes context);

/* The OSCORE input that both sides have now, as this side holds it (Appendix A.1). */
MUST_USE enum status edhoc_oscore_input(const struct edhoc_session *session, struct oscore_input *input);

/* ---- Errors (§6) ---- */

#define EDHOC_ERROR_UNSPECIFIED 1
#define EDHOC_ERROR_SUITE 2
#define EDHOC_ERROR_UNKNOWN_CREDENTIAL 3

struct edhoc_error {
    int64_t code;
    struct bytes text; /* code 1 */
    int64_t suites[EDHOC_SUITES_MAX];
    size_t suites_count; /* code 2 */
};

void edhoc_put_error(struct writer *writer, const char *text); /* code 1 */
void edhoc_put_error_suites(struct writer *writer, const struct edhoc_profile *profile);
/* A reference that we know the kind of, but not the credential (§6.4): the peer may send that itself another time. */
void edhoc_put_error_unknown_credential(struct writer *writer);
MUST_USE enum status edhoc_error_decode(struct bytes message, struct edhoc_error *error);

/* ---- EDHOC and OSCORE in one request (RFC 9668 §3): a codec only, for peers that do it. A hub that attests itself
 * never offers it, because it leaves no place for message 4. ---- */

#define EDHOC_COMBINED_OPTION 21

void edhoc_put_combined(struct writer *writer, struct bytes message_3, struct bytes ciphertext);
MUST_USE enum status edhoc_combined_decode(struct bytes payload, struct bytes *message_3, struct bytes *ciphertext);

#endif
