/* The keys count when the evidence beside them is over these keys, and is accepted. */
#include "vtpm_appraisal.h"

#include "vtpm_keys.h"

#include <string.h>

enum status vtpm_appraise(struct bytes encoded, const struct evidence_policy *policy, struct vtpm_appraisal *appraisal)
{
    struct vtpm_keys_answer answer = {.status = INTERNAL};
    struct evidence_policy bound = *policy;
    uint8_t over[EAT_USER_DATA_LEN];
    *appraisal = (struct vtpm_appraisal){.said = OK};
    bool read = vtpm_keys_answer_decode(encoded, &answer) == OK;
    if (read && answer.status != OK) {
        appraisal->said = answer.status;
        return DENIED;
    }
    struct tpm2_ek keys[TPM2_EK_KINDS];
    for (int kind = 0; kind < TPM2_EK_KINDS && read; kind++)
        read = tpm2_ek_decode(answer.areas[kind], &keys[kind]) == OK && keys[kind].kind == (enum tpm2_ek_kind)kind;
    struct image_launch launch = {0};
    if (read && answer.launch.len)
        read = image_launch_decode(answer.launch, &launch) == OK;
    if (!read) {
        appraisal->evidence.reasons = appraisal->evidence.judged = 1u << EVIDENCE_MALFORMED;
        return DENIED;
    }
    if (answer.ak.len)
        TRY(eat_attestation_data(answer.areas, answer.ak, answer.qualified, over));
    else
        TRY(eat_endorsement_data(answer.areas, over));
    if (answer.launch.len)
        TRY(image_launch_digest(&launch, over + EAT_USER_DATA_LEN - EAT_LAUNCH_LEN));
    bound.user_data = BYTES_OF(over);
    TRY(evidence_appraise(answer.evidence, &bound, &appraisal->evidence));
    appraisal->measured = answer.launch.len != 0;
    appraisal->launch = launch;
    memcpy(appraisal->keys, keys, sizeof keys);
    return OK;
}
