/* The keys count when the evidence beside them is over these keys, and is accepted. */
#include "vtpm_appraisal.h"

#include "vtpm_keys.h"

enum status vtpm_appraise(struct bytes encoded, const struct evidence_policy *policy, struct vtpm_appraisal *appraisal)
{
    struct vtpm_keys_answer answer = {.status = INTERNAL};
    struct evidence_policy bound = *policy;
    uint8_t over[EAT_USER_DATA_LEN];
    *appraisal = (struct vtpm_appraisal){.said = OK};
    const bool read = vtpm_keys_answer_decode(encoded, &answer) == OK;
    if (read && answer.status != OK) {
        appraisal->said = answer.status;
        return DENIED;
    }
    if (!read) {
        appraisal->evidence.reasons = appraisal->evidence.judged = 1u << EVIDENCE_MALFORMED;
        return DENIED;
    }
    TRY(vtpm_keys_user_data(answer.areas, over));
    bound.user_data = BYTES_OF(over);
    TRY(evidence_appraise(answer.evidence, &bound, &appraisal->evidence));
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        TRY(tpm2_ek_decode(answer.areas[kind], &appraisal->keys[kind])); /* was decoded once: cannot fail */
    return OK;
}
