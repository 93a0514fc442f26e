/* oscore: Object Security for CoAP (RFC 8613) — one session with one peer, and Appendix B.2 to begin it anew.
 * Never does I/O, never makes randomness, never keeps a key anywhere but in the caller's struct; what a session holds
 * besides its input is in memory only and never to be stored: a restored sequence number would use a nonce twice. */
#ifndef BASTIDE_OSCORE_H
#define BASTIDE_OSCORE_H

#include "base.h"
#include "coap.h"
#include "crypto.h"

#define OSCORE_ID_MAX 6             /* kid: nonce length less 6, of the shortest nonce offered (GCM) */
#define OSCORE_SALT_MAX 32          /* master salt */
#define OSCORE_CONTEXT_MAX 32       /* id context, with what Appendix B.2 adds */
#define OSCORE_PART_LEN 8           /* bytes of R1, R2 and R3 of Appendix B.2 */
#define OSCORE_WINDOW 32            /* replay window, in sequence numbers (§7.4) */
#define OSCORE_OVERHEAD 128         /* most by which a protected message is longer than what it carries */
#define OSCORE_CCM8_FAILURES 16384u /* failed decryptions that wear an 8-byte tag out: the context is dropped */
#define OSCORE_SEQUENCE_MAX ((1ull << 40) - 1)
#define OSCORE_INPUT_MAX 192 /* bytes of an encoded input */

struct oscore_id {
    uint8_t data[OSCORE_ID_MAX];
    size_t len;
};

/* Input keying material (§3.2): the only part of a session that may be sealed, or written to a client's file. */
struct oscore_input {
    enum crypto_aead_alg aead;   /* AES-CCM-16-64-128, AES-CCM-16-128-128, A128GCM, A256GCM */
    struct secret master_secret; /* 16 to 32 bytes */
    uint8_t master_salt[OSCORE_SALT_MAX];
    size_t master_salt_len;
    struct oscore_id sender, recipient; /* must differ */
    enum crypto_hash_alg hkdf;          /* 0: SHA-256; what EDHOC agreed with another hash is never written down */
};

/* Deterministic CBOR, for the sealed store and the client's file alike. Secret: wipe the writer's room. */
void oscore_put_input(struct writer *writer, const struct oscore_input *input);
MUST_USE enum status oscore_input_decode(struct bytes encoded, struct oscore_input *input);
/* The same material as the other side holds it: sender and recipient exchanged. */
void oscore_input_mirror(const struct oscore_input *input, struct oscore_input *mirrored);
void oscore_input_wipe(struct oscore_input *input);

/* ---- The option (§6.1) ---- */

struct oscore_option {
    uint64_t partial_iv; /* when partial_iv_len > 0 */
    size_t partial_iv_len;
    struct bytes partial_iv_bytes;
    bool has_kid, has_kid_context;
    struct bytes kid, kid_context; /* borrow */
};

MUST_USE enum status oscore_option_decode(struct bytes value, struct oscore_option *option);
void oscore_put_option(struct writer *writer, const struct oscore_option *option); /* shortest form; may be empty */

/* ---- One derived security context (§3.2.1, §3.2.2) ---- */

/* Zeroed: none. `done` wipes. Sequence numbers and window begin where init says and live here only. */
struct oscore_context {
    struct crypto_aead sender, recipient;
    uint8_t common_iv[CRYPTO_AEAD_NONCE_MAX];
    uint8_t id_context[OSCORE_CONTEXT_MAX];
    size_t id_context_len;
    bool has_id_context;
    uint64_t sequence;   /* the next Partial IV of ours */
    uint64_t window_top; /* highest Partial IV received */
    uint32_t window;     /* bit n: window_top - n was received */
    bool window_used;
    uint32_t failures; /* of decryption */
};

MUST_USE enum status oscore_context_init(struct oscore_context *context, const struct oscore_input *input,
                                         const struct bytes *id_context, uint64_t sequence); /* NULL: no ID Context */
void oscore_context_done(struct oscore_context *context);

/* ---- A session: one context at a time, made and remade by Appendix B.2 ---- */

enum oscore_role { OSCORE_CLIENT, OSCORE_SERVER };

struct oscore_session {
    enum oscore_role role;
    struct oscore_input input;
    struct oscore_context current; /* the one both sides use */
    struct oscore_context begun;   /* client: third context until response #2; server: second, while R2 is cached */
    uint8_t r1[OSCORE_PART_LEN], r2[OSCORE_PART_LEN];
    bool agreed;         /* by EDHOC: no Appendix B.2 */
    bool has_r1, has_r2; /* has_r1: `begun` is of Appendix B.2, which wraps its ID Context for the kid context */
    /* For tests and audits: told every nonce we protect with, before it is used. NULL: nobody. */
    void (*used)(void *user, struct bytes id_context, uint64_t sequence);
    void *user;
};

/* Copies the input. A session starts without a context: B.2 comes first, before anything is accepted or sent. */
MUST_USE enum status oscore_session_init(struct oscore_session *session, enum oscore_role role,
                                         const struct oscore_input *input);
void oscore_session_done(struct oscore_session *session);
/* A fixed context instead, for peers that share one by other means (EDHOC) and for the vectors of Appendix C. */
MUST_USE enum status oscore_session_fix(struct oscore_session *session, const struct bytes *id_context,
                                        uint64_t sequence);

/* A session that EDHOC agreed on (RFC 9528 Appendix A.1): its context is there at once, and once gone it is gone, for
 * Appendix B.2 has no forward secrecy. The client agrees on another, the server answers NOT_FOUND. */
MUST_USE enum status oscore_session_agree(struct oscore_session *session, enum oscore_role role,
                                          const struct oscore_input *input);

/* What ties a response, and every notification, to its request (§5.4, §8.3). A plain value; safe to copy. */
struct oscore_request {
    uint8_t kid[OSCORE_ID_MAX];
    size_t kid_len;
    uint8_t partial_iv[5];
    size_t partial_iv_len;
    uint8_t id_context[OSCORE_CONTEXT_MAX]; /* of the context it was made under: a later context answers nothing */
    size_t id_context_len;
    bool observe;          /* it registered an observation */
    bool answered;         /* one response used the request's nonce; the next take a Partial IV of their own */
    uint64_t notification; /* client: highest Partial IV of a notification so far (§7.4.1) */
    bool notified;
    bool bare; /* client: the one notification without a Partial IV came */
};

/* `message` is the whole unprotected message: code and options of all classes (§4.1). What comes out is the outer CoAP
 * body: POST or FETCH (Observe), 2.04 or 2.05, class U options, the OSCORE option and the ciphertext. For HTTP the
 * caller takes option value and payload out of it (RFC 8613 §11). */

/* Client. `random` is OSCORE_PART_LEN fresh bytes, used when a session begins (R1, R3).
 * NO_ROOM; WRONG_STATE at OSCORE_SEQUENCE_MAX, after CCM-8 wore out: begin anew. */
MUST_USE enum status oscore_protect_request(struct oscore_session *session, const struct coap_body *message,
                                            const uint8_t random[OSCORE_PART_LEN], struct oscore_request *request,
                                            struct writer *outer);
/* The plaintext goes into `plain`, and `message` borrows from it and from `outer`. BUSY: this was response #1 of B.2
 * (the request had no effect): protect the request again and send it. AUTH, REPLAYED (an old notification),
 * MALFORMED. UNSUPPORTED: the answer is not protected (no OSCORE option): an error of a proxy or of the server's OSCORE
 * layer (§8.2), to be believed only as a hint. */
MUST_USE enum status oscore_unprotect_response(struct oscore_session *session, struct oscore_request *request,
                                               const struct coap_body *outer, struct writer *plain,
                                               struct coap_body *message);
/* The client forgets its context: the next request begins a new one. After an unprotected 4.01, a restart, a timeout.
 */
void oscore_session_restart(struct oscore_session *session);

/* Server. The caller found the session by the kid (oscore_server_kid). `random` as above (R2).
 * OK: a fresh, authentic request. BUSY: B.2 request #1 or a request under a context we lost: answer with what stands in
 * `challenge` (response #1: an outer body) and do nothing else. REPLAYED, AUTH, MALFORMED: oscore_error(). */
MUST_USE enum status oscore_unprotect_request(struct oscore_session *session, const struct coap_body *outer,
                                              const uint8_t random[OSCORE_PART_LEN], struct oscore_request *request,
                                              struct writer *plain, struct coap_body *message,
                                              struct writer *challenge);
/* The first answer uses the request's nonce unless the request observes or `own_nonce`; later ones a Partial IV of our
 * own (§5.2, §8.3). WRONG_STATE when the request's context is gone: the peer began anew. */
MUST_USE enum status oscore_protect_response(struct oscore_session *session, struct oscore_request *request,
                                             const struct coap_body *message, bool own_nonce, struct writer *outer);

/* The kid of a request's OSCORE option: whose session it is. MALFORMED, NOT_FOUND (no OSCORE option or no kid). */
MUST_USE enum status oscore_server_kid(const struct coap_body *outer, struct bytes *kid);
/* The unprotected answer to a request that was refused with this status (§8.2): 4.02, 4.01 "Security context not
 * found" (NOT_FOUND), 4.01 "Replay detected", 4.00 "Decryption failed". */
void oscore_error(struct writer *outer, enum status status);

#endif
