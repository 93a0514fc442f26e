/* vtpm_appraisal, inside. Never included outside this directory. */
#ifndef BASTIDE_VTPM_APPRAISAL_INTERNAL_H
#define BASTIDE_VTPM_APPRAISAL_INTERNAL_H

#include "vtpm_appraisal.h"

/* signature.c: `encoded` is a TPMT_SIGNATURE, of the key's scheme if it has one. */
bool vtpm_signature_holds(const struct tpm2_signer *signer, struct bytes message, struct bytes encoded);

#endif
