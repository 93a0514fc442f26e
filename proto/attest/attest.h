/* attest: remote attestation inside EDHOC, the responder attesting itself (draft-ietf-lake-ra-05, background check) —
 * the values of its EAD items and the evidence of one session. Never judges: that is the evidence room's.
 *
 *     message 1   EAD_1  trigger                     the client asks to see evidence
 *     message 2   EAD_2  proposal [content format]   what the hub can give
 *     message 3   EAD_3  request [format, nonce]
 *     message 4   EAD_4  evidence                    bound to the session by its exporter
 *
 * A quote of the TPM takes too long for every session, so it is made once a launch, over an attestation key that never
 * leaves the enclave; that key then signs one EAT a session. It says which EDHOC credential is the enclave's, so that
 * whoever relays another instance's evidence has to be that instance. */
#ifndef BASTIDE_ATTEST_H
#define BASTIDE_ATTEST_H

#include "base.h"
#include "crypto.h"
#include "eat.h"
#include "edhoc.h"

/* Labels until IANA assigns any (there is no range for private use, so both ends must be ours). */
#define ATTEST_EAD 65001u         /* "Remote Attestation BG": proposal, request, evidence */
#define ATTEST_EAD_TRIGGER 65003u /* "Trigger Remote Attestation BG": no value */

#define ATTEST_FORMAT 263u /* application/eat+cwt */
#define ATTEST_FORMATS_MAX 8
#define ATTEST_PROFILE "tag:bastide,2026:session-1"
#define ATTEST_EVIDENCE_MAX 8192 /* bytes of EAD_4's value */
#define ATTEST_LAUNCH_MAX 7680   /* bytes of the launch evidence in it */

void attest_put_proposal(struct writer *writer, const uint32_t *formats, size_t count);
MUST_USE enum status attest_proposal_decode(struct bytes value, uint32_t formats[ATTEST_FORMATS_MAX], size_t *count);

struct attest_request {
    uint32_t format;
    struct bytes nonce; /* EAT_NONCE_MIN to EAT_NONCE_MAX bytes; decoding: borrows */
};

void attest_put_request(struct writer *writer, const struct attest_request *request);
MUST_USE enum status attest_request_decode(struct bytes value, struct attest_request *request);

/* attestation_binder_m4: what only the two ends of this session can compute. */
struct attest_binder {
    uint8_t data[CRYPTO_HASH_MAX];
    size_t len;
};

MUST_USE enum status attest_binder(const struct edhoc_session *session, struct attest_binder *binder);

/* Evidence of a session: a COSE_Sign1, external_aad = binder, of an EAT
 *   {10: nonce, 256: UEID, 265: profile, 273: [[60, launch evidence]], -70101: attestation key, -70102: credential}.
 * The UEID is 0x01 and the hash of the attestation key: one launch of one instance. */
struct attest_evidence {
    struct bytes nonce;
    struct crypto_public key;         /* the attestation key, P-256 */
    uint8_t credential[EAT_HASH_LEN]; /* SHA-256 of CRED_R: the DER of the hub's certificate, or its claims set */
    struct bytes launch;              /* eat_evidence, whose user data is attest_user_data() of the key */
};

MUST_USE enum status attest_evidence_sign(struct writer *writer, const struct crypto_key *key,
                                          const struct attest_binder *binder, const struct attest_evidence *evidence);
/* AUTH unless the key in it signed it for this session; whose key that is, only `launch` can tell. `evidence` borrows
 * from the message. */
MUST_USE enum status attest_evidence_open(struct bytes sign1, const struct attest_binder *binder,
                                          struct attest_evidence *evidence);

/* What the launch evidence binds: SHA-256("bastide attestation key" || 0x04 || x || y), then zeros. */
MUST_USE enum status attest_user_data(const struct crypto_public *key, uint8_t user_data[EAT_USER_DATA_LEN]);

#endif
