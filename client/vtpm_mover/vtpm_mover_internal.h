/* vtpm_mover, inside: one question, its answer held against policy. Never included outside this directory. */
#ifndef BASTIDE_VTPM_MOVER_INTERNAL_H
#define BASTIDE_VTPM_MOVER_INTERNAL_H

#include "vtpm_mover.h"

/* With a nonce of its own, which the evidence in the answer must have: end->facts are proved after OK. The answer's
 * rest is borrowed from end->room. */
MUST_USE enum status mover_ask(struct vtpm_mover_end *end, enum vtpm_transfer_operation operation, struct bytes rest,
                               struct bytes *given);
/* DENIED, with a sentence. */
enum status mover_refuse(struct vtpm_mover_end *end, const char *sentence);
/* The grant, from what is proved of both: `to` and `from` as points. */
MUST_USE enum status mover_sign(struct writer *writer, const struct crypto_key *owner, enum vtpm_grant_purpose purpose,
                                const struct vtpm_transfer_facts *source, const uint8_t to[VTPM_TRANSFER_POINT_LEN]);

#endif
