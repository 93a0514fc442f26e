/* vtpm_transfer: a vTPM's state on its way as bytes — sealed blobs, the owner's grants, and what is asked and answered
 * where it leaves and lands. Never judges who may have what: that is the enclave's, and the owner's; never does I/O.
 *
 * A grant is the owner's signature (COSE_Sign1, ES256, over CBOR {1: profile, 2: purpose, 3: instance, 4: to, 5:
 * from}). `to` is the key that state is sealed for: a landing key made by the destination's enclave, or the owner's
 * backup key. `from` is a key that the source's enclave made for this one time, so an earlier grant is good for
 * nothing. The content key is sealed by HPKE (proto/hpke) with `from` as the ephemeral key: who opens it knows it to be
 * that enclave's.
 *
 * A blob, one for each kind of state, all big-endian:
 *     "BVT1", u8 purpose, u8 kind, u16 0, u32 security version of its enclave, instance (16), id (16), line (16),
 *     u16 length, authority, [48 bytes: the content key, sealed; not in a snapshot], u32 length, content
 * Content: AES-256-GCM under the content key, nonce = kind, additional data = all before the authority with purpose 0.
 * Authority: a snapshot's is what the monitor derives its content key from; else the grant. */
#ifndef BASTIDE_VTPM_TRANSFER_H
#define BASTIDE_VTPM_TRANSFER_H

#include "base.h"
#include "crypto.h"

#define VTPM_TRANSFER_INSTANCE_LEN 16
#define VTPM_TRANSFER_ID_LEN 16
#define VTPM_TRANSFER_KEY_LEN 32                               /* a content key */
#define VTPM_TRANSFER_WRAPPED_LEN (VTPM_TRANSFER_KEY_LEN + 16) /* HPKE's tag */
#define VTPM_TRANSFER_TAG_LEN 16
#define VTPM_TRANSFER_AUTHORITY_MAX 320
#define VTPM_TRANSFER_KINDS 3
#define VTPM_TRANSFER_STATE_MAX (176u * 1024u) /* of the three kinds together */

/* ---- Grants ---- */

enum vtpm_grant_purpose {
    VTPM_GRANT_MOVE = 1,    /* to the source: give the state to `to`, and serve no more */
    VTPM_GRANT_RESUME = 2,  /* to the source: the destination dropped `to`; serve again */
    VTPM_GRANT_FORGET = 3,  /* to the source: the destination has landed */
    VTPM_GRANT_BACKUP = 4,  /* to the source: give a copy to `to`, and go on */
    VTPM_GRANT_RESTORE = 5, /* in a blob: the owner himself sealed a backup's content key for the landing key */
};

struct vtpm_grant {
    enum vtpm_grant_purpose purpose;
    uint8_t instance[VTPM_TRANSFER_INSTANCE_LEN];
    struct crypto_public to, from; /* P-256 */
};

/* MALFORMED: a purpose or key that is none. */
MUST_USE enum status vtpm_grant_sign(struct writer *writer, const struct crypto_key *owner,
                                     const struct vtpm_grant *grant);
/* AUTH: not this owner's, before anything in it counts. */
MUST_USE enum status vtpm_grant_open(struct bytes sign1, const struct crypto_public *owner, struct vtpm_grant *grant);

/* ---- Blobs ---- */

enum vtpm_blob_purpose {
    VTPM_BLOB_SNAPSHOT = 16, /* for this instance on this node */
    /* the others as the grant in them */
    VTPM_BLOB_MOVE = VTPM_GRANT_MOVE,
    VTPM_BLOB_BACKUP = VTPM_GRANT_BACKUP,
    VTPM_BLOB_RESTORE = VTPM_GRANT_RESTORE,
};

/* Public but for what `content` seals. Decoded, everything in it is borrowed. */
struct vtpm_blob {
    enum vtpm_blob_purpose purpose;
    uint8_t kind;              /* as enum swtpm_state: 1 permanent, 2 volatile, 3 saved */
    uint32_t security_version; /* of the enclave that sealed the content */
    uint8_t instance[VTPM_TRANSFER_INSTANCE_LEN];
    uint8_t id[VTPM_TRANSFER_ID_LEN];   /* the same in all three blobs, and in no others */
    uint8_t line[VTPM_TRANSFER_ID_LEN]; /* a snapshot's: of the state's stay in its store; else vtpm_blob_serial() */
    struct bytes authority;             /* at most VTPM_TRANSFER_AUTHORITY_MAX bytes, at least 1 */
    struct bytes wrapped;               /* VTPM_TRANSFER_WRAPPED_LEN; a snapshot's: empty */
    struct bytes content;               /* sealed */
};

/* The blob with `state` as its content, under `key`; blob->content is not looked at. An absent state is NULL, which is
 * not an empty one. NO_ROOM: writer or limits. MALFORMED: a purpose or kind that is none. */
MUST_USE enum status vtpm_blob_seal(struct writer *writer, const struct vtpm_blob *blob,
                                    const uint8_t key[VTPM_TRANSFER_KEY_LEN], const struct bytes *state);
/* Takes one off the front. NO_ROOM: past a limit; UNSUPPORTED: another version. */
void vtpm_blob_take(struct reader *reader, struct vtpm_blob *blob);
MUST_USE enum status vtpm_blob_decode(struct bytes encoded, struct vtpm_blob *blob);
void vtpm_blob_put(struct writer *writer, const struct vtpm_blob *blob); /* as decoded */
/* Appends the state; *exists is false for an absent one. AUTH: the key is another, or something was changed. */
MUST_USE enum status vtpm_blob_open(const struct vtpm_blob *blob, const uint8_t key[VTPM_TRANSFER_KEY_LEN],
                                    struct writer *state, bool *exists);

/* The serial of the machine policy that the state was last served under, for who takes it in; 0: none, or a snapshot,
 * or sealed before this was said. */
void vtpm_blob_set_serial(struct vtpm_blob *blob, uint64_t serial);
uint64_t vtpm_blob_serial(const struct vtpm_blob *blob);

/* The content key, for the receiver `to` of blob->authority, which is a grant that names `from`'s public half. For one
 * blob->id only: hpke.h says why. */
MUST_USE enum status vtpm_blob_wrap(const struct vtpm_blob *blob, const struct crypto_key *from,
                                    const struct crypto_public *to, const uint8_t key[VTPM_TRANSFER_KEY_LEN],
                                    uint8_t wrapped[VTPM_TRANSFER_WRAPPED_LEN]);
MUST_USE enum status vtpm_blob_unwrap(const struct vtpm_blob *blob, const struct crypto_key *to,
                                      const struct crypto_public *from, uint8_t key[VTPM_TRANSFER_KEY_LEN]);

/* Three blobs of one id, by kind, one after the other: what is asked for, given, and landed as a whole. */
#define VTPM_TRANSFER_HEAD_LEN 60u
#define VTPM_TRANSFER_BLOB_MAX(state_len)                                                                              \
    (VTPM_TRANSFER_HEAD_LEN + 2u + VTPM_TRANSFER_AUTHORITY_MAX + VTPM_TRANSFER_WRAPPED_LEN + 4u + 1u + (state_len) +   \
     VTPM_TRANSFER_TAG_LEN)
#define VTPM_TRANSFER_BUNDLE_MAX (VTPM_TRANSFER_KINDS * VTPM_TRANSFER_BLOB_MAX(0) + VTPM_TRANSFER_STATE_MAX)
/* MALFORMED also when they are not of one purpose, id, instance and authority, or not in order. */
MUST_USE enum status vtpm_bundle_decode(struct bytes encoded, struct vtpm_blob blobs[VTPM_TRANSFER_KINDS]);

/* ---- Questions and answers
 *
 *     question  u16 version, u16 operation, u32 length of what follows; u16 length, nonce; the rest
 *     answer    u16 version, u16 status, u32 length of what follows; a sentence, or with status 0
 *               facts (168), u16 length, evidence, the rest ---- */

#define VTPM_TRANSFER_VERSION 1u
#define VTPM_TRANSFER_NONCE_MIN 8 /* as a report has it (proto/eat) */
#define VTPM_TRANSFER_NONCE_MAX 64
#define VTPM_TRANSFER_EVIDENCE_MAX 8192
#define VTPM_TRANSFER_MESSAGE_HEAD 8u
#define VTPM_TRANSFER_FACTS_LEN 168u
#define VTPM_TRANSFER_SENTENCE_MAX 200
#define VTPM_TRANSFER_QUESTION_MAX (VTPM_TRANSFER_MESSAGE_HEAD + 2 + VTPM_TRANSFER_NONCE_MAX + VTPM_TRANSFER_BUNDLE_MAX)
#define VTPM_TRANSFER_ANSWER_MAX                                                                                       \
    (VTPM_TRANSFER_MESSAGE_HEAD + VTPM_TRANSFER_FACTS_LEN + 2 + VTPM_TRANSFER_EVIDENCE_MAX + VTPM_TRANSFER_BUNDLE_MAX)

enum vtpm_transfer_operation {
    VTPM_TRANSFER_STATUS = 1,  /* what is the matter */
    VTPM_TRANSFER_PREPARE = 2, /* make a landing key: nothing else is served until state landed, or it is abandoned */
    VTPM_TRANSFER_GRANT = 3, /* rest: a grant. MOVE: the next GIVE, or GET_STATE, moves; RESUME, FORGET: done at once */
    VTPM_TRANSFER_GIVE = 4,  /* answer's rest: the bundle; from then on nothing else is served */
    VTPM_TRANSFER_LAND = 5,  /* rest: the bundle */
    VTPM_TRANSFER_ABANDON = 6, /* drop the landing key */
    VTPM_TRANSFER_BACKUP = 7,  /* rest: a grant; answer's rest: the bundle, without what a loss of power would lose */
};

struct vtpm_transfer_question {
    enum vtpm_transfer_operation operation;
    struct bytes nonce; /* empty: no evidence is wanted */
    struct bytes rest;
};

/* How long the question is that `seen` begins with. TRUNCATED: more must be seen to tell, or of it. UNSUPPORTED:
 * another version; NO_ROOM: it announces more than VTPM_TRANSFER_QUESTION_MAX. */
MUST_USE enum status vtpm_transfer_question_len(struct bytes seen, size_t *len);
/* Borrows. UNSUPPORTED: no such operation. */
MUST_USE enum status vtpm_transfer_question_decode(struct bytes encoded, struct vtpm_transfer_question *question);
void vtpm_transfer_put_question(struct writer *writer, const struct vtpm_transfer_question *question);

/* Where the state is, as far as this enclave knows. */
enum vtpm_custody {
    VTPM_EMPTY = 0,     /* there never was one */
    VTPM_LIVE = 1,      /* here; `to` is the key by which it landed, if it did, `from` what the next grant must name */
    VTPM_LANDING = 2,   /* expected, sealed for `to` */
    VTPM_MOVED = 3,     /* sealed for `to` by `from`, and served no more */
    VTPM_FORGOTTEN = 4, /* landed elsewhere by `to`, and wiped here */
    VTPM_ABANDONED = 5, /* was expected; `to` was dropped and had received nothing */
};

#define VTPM_TRANSFER_POINT_LEN 65

struct vtpm_transfer_facts {
    enum vtpm_custody custody;
    bool armed;     /* a grant to move was presented */
    bool snapshots; /* are allowed */
    uint8_t instance[VTPM_TRANSFER_INSTANCE_LEN];
    uint8_t id[VTPM_TRANSFER_ID_LEN];                                   /* MOVED, FORGOTTEN: the transfer's */
    uint8_t to[VTPM_TRANSFER_POINT_LEN], from[VTPM_TRANSFER_POINT_LEN]; /* 0x04 || x || y; zeros: none */
};

struct vtpm_transfer_answer {
    enum status status;
    struct bytes sentence; /* with any other status than OK: why; text, not NUL-terminated */
    struct vtpm_transfer_facts facts;
    struct bytes evidence; /* over the facts; empty: none was asked for */
    struct bytes rest;
};

MUST_USE enum status vtpm_transfer_answer_len(struct bytes seen, size_t *len);
MUST_USE enum status vtpm_transfer_answer_decode(struct bytes encoded, struct vtpm_transfer_answer *answer);
void vtpm_transfer_put_answer(struct writer *writer, const struct vtpm_transfer_answer *answer);

/* What evidence over the facts has as user data: SHA-256("bastide vtpm transfer" || facts as encoded), then zeros. */
#define VTPM_TRANSFER_USER_DATA_LEN 64
MUST_USE enum status vtpm_transfer_user_data(const struct vtpm_transfer_facts *facts,
                                             uint8_t data[VTPM_TRANSFER_USER_DATA_LEN]);
const char *vtpm_custody_word(enum vtpm_custody custody);

#endif
