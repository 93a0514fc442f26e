/* vtpm_mover: the owner's side when a vTPM's state moves to another node, is backed up or restored — asks both ends,
 * holds their answers against policy, signs what they may do. Never sends anything by itself, never signs for an end
 * whose evidence was not accepted.
 *
 * A move, in the owner's order:
 *     vtpm_mover_begin()    the destination, whose store is empty, makes a landing key and proves it; the source proves
 *                           itself and is given the grant; it serves until the state is asked of it
 *     then either the VM's live migration carries the state (QEMU asks the source and hands it to the destination), or
 *     vtpm_mover_carry()    for a VM that is off
 *     vtpm_mover_finish()   the destination proves that it landed; the source forgets
 *     vtpm_mover_abort()    instead of finish: the destination proves that it dropped the landing key, unused; the
 *                           source serves again
 * Each may be cut short anywhere and asked for again; vtpm_mover_status() tells where each end stands, and so does what
 * is left of `facts` after any of these. The source has nothing to serve from MOVED on, the destination from LANDING
 * until it is LIVE. A destination that is lost with its landing key takes the state along, unless the owner gives his
 * word for it (`destination` NULL): if it is not lost, there are two then. */
#ifndef BASTIDE_VTPM_MOVER_H
#define BASTIDE_VTPM_MOVER_H

#include "base.h"
#include "crypto.h"
#include "evidence.h"
#include "vtpm_transfer.h"

/* One vTPM's --transfer socket, and what its node is held to. */
struct vtpm_mover_end {
    void *user;
    /* One question; its whole answer appended (vtpm_transfer_answer_len() says where it ends). */
    enum status (*ask)(void *user, struct bytes question, struct writer *answer);
    /* As evidence_appraise(); its nonce and user_data are not looked at. */
    const struct evidence_policy *policy;
    uint8_t *room; /* for questions and answers: VTPM_MOVER_ROOM bytes, the caller's; `evidence` borrows from it */
    /* Out: */
    struct vtpm_transfer_facts facts; /* as last proved */
    struct evidence_result evidence;  /* of the last answer; after DENIED why it was refused, unless `said` tells */
    enum status said;                 /* what it answered, when not OK … */
    char sentence[VTPM_TRANSFER_SENTENCE_MAX + 1]; /* … and the reason it gave; else ours, or "" */
};

#define VTPM_MOVER_ROOM (VTPM_TRANSFER_QUESTION_MAX + VTPM_TRANSFER_ANSWER_MAX)

/* All of these: OK; IO and whatever `ask` fails with; DENIED: an end refused (its `said` and `sentence`), its evidence
 * was not accepted (`evidence.reasons`), or the two do not fit each other (`sentence`); MALFORMED: no answer. */
MUST_USE enum status vtpm_mover_status(struct vtpm_mover_end *end);
MUST_USE enum status vtpm_mover_begin(struct vtpm_mover_end *source, struct vtpm_mover_end *destination,
                                      const struct crypto_key *owner);
MUST_USE enum status vtpm_mover_carry(struct vtpm_mover_end *source, struct vtpm_mover_end *destination);
MUST_USE enum status vtpm_mover_finish(struct vtpm_mover_end *source, struct vtpm_mover_end *destination,
                                       const struct crypto_key *owner);
MUST_USE enum status vtpm_mover_abort(struct vtpm_mover_end *source, struct vtpm_mover_end *destination,
                                      const struct crypto_key *owner);

/* A copy, sealed for the owner's backup key: appends the bundle, at most VTPM_TRANSFER_BUNDLE_MAX. The vTPM goes on. */
MUST_USE enum status vtpm_mover_backup(struct vtpm_mover_end *source, const struct crypto_key *owner,
                                       const struct crypto_public *backup, struct writer *bundle);
/* Has the destination, whose store is empty, land a backup. To call it is the owner's word that the vTPM that was
 * backed up is gone: where it is not, there are two then. */
MUST_USE enum status vtpm_mover_restore(struct vtpm_mover_end *destination, const struct crypto_key *owner,
                                        const struct crypto_key *backup, struct bytes bundle);

/* The heart of the latter, pure: a backup's content key sealed anew, for a landing key. AUTH: not a backup that this
 * owner asked for, or not for this backup key, or changed. Appends at most VTPM_TRANSFER_BUNDLE_MAX. */
MUST_USE enum status vtpm_mover_rewrap(struct bytes bundle, const struct crypto_key *owner,
                                       const struct crypto_key *backup, const struct crypto_public *landing,
                                       struct writer *out);

#endif
