/* vtpm_keys: which endorsement keys a vTPM has, asked for and said as bytes, and what the report beside them is over.
 * Never judges: that is the verifier's; pure.
 *
 *     question  u16 version, u16 length, nonce                                            all big-endian
 *     answer    u16 version, u16 status, u32 length of what follows; nothing, or with status 0
 *               {u16 length, TPMT_PUBLIC} for RSA-2048, P-256 and P-384, {u16 length, evidence (proto/eat)} */
#ifndef BASTIDE_VTPM_KEYS_H
#define BASTIDE_VTPM_KEYS_H

#include "base.h"
#include "crypto.h"
#include "eat.h"
#include "tpm2.h"

#define VTPM_KEYS_VERSION 1u
#define VTPM_KEYS_QUESTION_MAX (4 + EAT_NONCE_MAX)
#define VTPM_KEYS_ANSWER_HEAD 8u
#define VTPM_KEYS_ANSWER_MAX (VTPM_KEYS_ANSWER_HEAD + TPM2_EK_KINDS * (2 + TPM2_EK_PUBLIC_MAX) + 2 + EAT_EVIDENCE_MAX)

/* How long the question is that `seen` begins with. TRUNCATED: more must be seen to tell, or of it. UNSUPPORTED:
 * another version; MALFORMED: a nonce that a report does not take. */
MUST_USE enum status vtpm_keys_question_len(struct bytes seen, size_t *len);
/* The nonce: EAT_NONCE_MIN to EAT_NONCE_MAX bytes; borrows. The whole of a question and nothing else. */
MUST_USE enum status vtpm_keys_question_decode(struct bytes encoded, struct bytes *nonce);
void vtpm_keys_put_question(struct writer *writer, struct bytes nonce); /* MALFORMED: a nonce of another length */

struct vtpm_keys_answer {
    enum status status;                /* OK; WRONG_STATE: the TPM is off; DENIED: its endorsement hierarchy is closed
                                          to us; BUSY: no room in the TPM; MALFORMED, UNSUPPORTED: the question; … */
    struct bytes areas[TPM2_EK_KINDS]; /* by enum tpm2_ek_kind: TPMT_PUBLIC; borrows */
    struct bytes evidence;
};

/* As vtpm_keys_question_len(). NO_ROOM: it announces more than VTPM_KEYS_ANSWER_MAX. */
MUST_USE enum status vtpm_keys_answer_len(struct bytes seen, size_t *len);
/* MALFORMED: also keys that are none of that template. */
MUST_USE enum status vtpm_keys_answer_decode(struct bytes encoded, struct vtpm_keys_answer *answer);
void vtpm_keys_put_answer(struct writer *writer, const struct vtpm_keys_answer *answer);

/* What the report is over: SHA-256("bastide vtpm endorsement keys" || the three TPMT_PUBLIC), then zeros. */
MUST_USE enum status vtpm_keys_user_data(const struct bytes areas[TPM2_EK_KINDS], uint8_t data[EAT_USER_DATA_LEN]);

#endif
