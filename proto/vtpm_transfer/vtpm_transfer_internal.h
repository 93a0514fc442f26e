/* vtpm_transfer, inside: the facts as they stand in an answer and in the hash that evidence is over.
 * Never included outside this directory. */
#ifndef BASTIDE_VTPM_TRANSFER_INTERNAL_H
#define BASTIDE_VTPM_TRANSFER_INTERNAL_H

#include "vtpm_transfer.h"

void vtpm_transfer_put_facts(struct writer *writer, const struct vtpm_transfer_facts *facts);

#endif
