/* vtpm_keys: which endorsement keys a vTPM has, and whether an attestation key is its own, asked for and said as bytes.
 * Never judges, not even whether they are keys: that is the verifier's; pure.
 *
 *     question  u16 version, u16 length, nonce; version 2: u32 handle of a persistent object     all big-endian
 *     answer    u16 version, u16 status, u32 length of what follows; nothing, or with status 0
 *               {u16 length, TPMT_PUBLIC} for RSA-2048, P-256 and P-384; version 2: of the object too, then
 *               {u16 length, its qualified name}; {u16 length, evidence (proto/eat)}, {u16 length, launch record
 *               (proto/image)}, of length 0 where nothing was measured */
#ifndef BASTIDE_VTPM_KEYS_H
#define BASTIDE_VTPM_KEYS_H

#include "base.h"

#define VTPM_KEYS_VERSION 1u
#define VTPM_KEYS_VERSION_AK 2u
#define VTPM_KEYS_COUNT 3            /* by enum tpm2_ek_kind (proto/tpm2) */
#define VTPM_KEYS_AREA_MAX 320       /* bytes of a TPMT_PUBLIC */
#define VTPM_KEYS_AK_MAX 512         /* of the attestation key's */
#define VTPM_KEYS_QUALIFIED_MAX 66   /* a qualified name with SHA-512 */
#define VTPM_KEYS_HANDLE 0x81000000u /* persistent objects: this and 24 bits (TCG Part 2 §7.2) */
#define VTPM_KEYS_NONCE_MIN 8        /* as a report has it (proto/eat) */
#define VTPM_KEYS_NONCE_MAX 64
#define VTPM_KEYS_EVIDENCE_MAX 8192
#define VTPM_KEYS_LAUNCH_LEN 165
#define VTPM_KEYS_QUESTION_MAX (4 + VTPM_KEYS_NONCE_MAX + 4)
#define VTPM_KEYS_ANSWER_HEAD 8u
#define VTPM_KEYS_ANSWER_MAX                                                                                           \
    (VTPM_KEYS_ANSWER_HEAD + VTPM_KEYS_COUNT * (2 + VTPM_KEYS_AREA_MAX) + 2 + VTPM_KEYS_AK_MAX + 2 +                   \
     VTPM_KEYS_QUALIFIED_MAX + 2 + VTPM_KEYS_EVIDENCE_MAX + 2 + VTPM_KEYS_LAUNCH_LEN)

struct vtpm_keys_question {
    struct bytes nonce; /* VTPM_KEYS_NONCE_MIN to VTPM_KEYS_NONCE_MAX bytes; borrows */
    uint32_t ak;        /* handle of a persistent object; 0: the endorsement keys alone */
};

/* How long the question is that `seen` begins with. TRUNCATED: more must be seen to tell, or of it. UNSUPPORTED:
 * another version; MALFORMED: a nonce that a report does not take. */
MUST_USE enum status vtpm_keys_question_len(struct bytes seen, size_t *len);
/* The whole of a question and nothing else. MALFORMED also: a handle that is of no persistent object. */
MUST_USE enum status vtpm_keys_question_decode(struct bytes encoded, struct vtpm_keys_question *question);
void vtpm_keys_put_question(struct writer *writer, struct bytes nonce); /* MALFORMED: a nonce of another length */
void vtpm_keys_put_ak_question(struct writer *writer, struct bytes nonce, uint32_t handle); /* so too of a handle */

struct vtpm_keys_answer {
    enum status status;                  /* OK; WRONG_STATE: the TPM is off; DENIED: its endorsement hierarchy is closed
                                          to us; BUSY: no room in the TPM; NOT_FOUND: nothing persists at that handle;
                                          MALFORMED, UNSUPPORTED: the question; … */
    struct bytes areas[VTPM_KEYS_COUNT]; /* TPMT_PUBLIC, each of at least a byte; borrows */
    struct bytes ak, qualified;          /* of the object: TPMT_PUBLIC, and the name of its name and all its parents';
                                            both empty where none was asked for, none empty else */
    struct bytes evidence;
    struct bytes launch; /* of VTPM_KEYS_LAUNCH_LEN, or empty: what its VM is started from is its host's word */
};

/* As vtpm_keys_question_len(). NO_ROOM: it announces more than VTPM_KEYS_ANSWER_MAX. */
MUST_USE enum status vtpm_keys_answer_len(struct bytes seen, size_t *len);
MUST_USE enum status vtpm_keys_answer_decode(struct bytes encoded, struct vtpm_keys_answer *answer);
void vtpm_keys_put_answer(struct writer *writer, const struct vtpm_keys_answer *answer); /* NO_ROOM: past a limit */

#endif
