/* vtpm_appraisal: are these the endorsement keys of a vTPM that lives in the enclave, on the node, of the owner that
 * the policy names? Never lets a key out that hangs on less; never does I/O. */
#ifndef BASTIDE_VTPM_APPRAISAL_H
#define BASTIDE_VTPM_APPRAISAL_H

#include "base.h"
#include "evidence.h"
#include "tpm2.h"

struct vtpm_appraisal {
    enum status said;                   /* by the vTPM itself; when not OK it gave neither keys nor evidence */
    struct evidence_result evidence;    /* why it is refused; borrows from the answer, as the report in it does */
    struct tpm2_ek keys[TPM2_EK_KINDS]; /* by enum tpm2_ek_kind; zero unless accepted */
};

/* `answer` as proto/vtpm has it. The policy is that of evidence_appraise(), its nonce the one asked with; what it says
 * of user_data is not looked at: that is over the keys. OK: accepted. DENIED: refused, evidence.reasons or `said` say
 * why (an answer that cannot be read is EVIDENCE_MALFORMED). INTERNAL: the policy lacks what it must have. */
MUST_USE enum status vtpm_appraise(struct bytes answer, const struct evidence_policy *policy,
                                   struct vtpm_appraisal *appraisal);

#endif
