/* The walk, once the enclave's own evidence is appraised: keys → attestation key → quote → nonce and PCRs. Each link
 * says only its own; that those before it hold is for whoever reads them to see. All of it is public. */
#include "vtpm_appraisal_internal.h"

#include "endorsement.h"
#include "vtpm_keys.h"

#include <stdio.h>
#include <string.h>

static void insist(struct vtpm_walk *walk, enum vtpm_link link, bool good)
{
    walk->judged |= 1u << link;
    if (!good)
        walk->refused |= 1u << link;
}

/* What evidence calls its user data is the keys here. */
static void judge_keys(struct vtpm_walk *walk, const struct vtpm_keys_answer *answer)
{
    const struct evidence_result *evidence = &walk->vtpm.evidence;
    if (answer->ak.len == 0)
        insist(walk, VTPM_LINK_KEYS, false);
    else if (evidence->judged >> EVIDENCE_USER_DATA & 1)
        insist(walk, VTPM_LINK_KEYS, !(evidence->reasons >> EVIDENCE_USER_DATA & 1));
}

static void judge_certificate(const struct vtpm_quote *quote, struct vtpm_walk *walk,
                              const struct vtpm_keys_answer *answer)
{
    enum status status = DENIED;
    if (quote->certificate.len == 0)
        return;
    for (size_t i = 0; i < VTPM_KEYS_COUNT && status == DENIED; i++)
        status = endorsement_check(quote->certificate, answer->areas[i], quote->authorities, quote->now_s,
                                   walk->certificate_why, sizeof walk->certificate_why);
    if (status == MALFORMED)
        snprintf(walk->certificate_why, sizeof walk->certificate_why, "no CA certificate was given to hold it to");
    insist(walk, VTPM_LINK_CERTIFICATE, status == OK);
}

/* What the enclave reports on beside its keys; nothing of it is known where it was not accepted. */
static void judge_launch(const struct vtpm_quote *quote, struct vtpm_walk *walk, bool accepted)
{
    if (accepted)
        insist(walk, VTPM_LINK_LAUNCH, walk->vtpm.measured || !quote->measured_launch);
}

/* False when there is no key to verify a quote with. */
static bool judge_ak(struct vtpm_walk *walk, const struct vtpm_keys_answer *answer)
{
    if (answer->ak.len == 0)
        return false;
    const bool read = tpm2_signer_decode(answer->ak, &walk->ak) == OK && tpm2_name(answer->ak, walk->ak_name) == OK;
    walk->restricted = read && tpm2_signer_is_ak(&walk->ak);
    insist(walk, VTPM_LINK_ATTESTATION_KEY, walk->restricted);
    return read;
}

/* The name that it says its signer has is that of the key and of all above it: of an endorsement key's child or not. */
static bool quote_holds(const struct vtpm_quote *quote, struct vtpm_walk *walk, struct bytes qualified)
{
    return vtpm_signature_holds(&walk->ak, quote->attest, quote->signature) &&
           tpm2_attest_decode(quote->attest, &walk->attest) == OK &&
           bytes_equal(walk->attest.qualified_signer, qualified);
}

static bool pcrs_hold(const struct vtpm_quote *quote, const struct tpm2_attest *attest)
{
    uint8_t digest[EAT_HASH_LEN];
    return quote->pcr_mask == attest->pcr_mask && tpm2_pcr_digest(quote->pcr_mask, quote->pcrs, digest) == OK &&
           bytes_equal(BYTES_OF(digest), attest->pcr_digest);
}

static void judge(const struct vtpm_quote *quote, struct vtpm_walk *walk, const struct vtpm_keys_answer *answer,
                  bool accepted)
{
    judge_keys(walk, answer);
    judge_certificate(quote, walk, answer);
    judge_launch(quote, walk, accepted);
    if (!judge_ak(walk, answer))
        return;
    const bool holds = quote_holds(quote, walk, answer->qualified);
    insist(walk, VTPM_LINK_QUOTE, holds);
    if (!holds)
        return;
    insist(walk, VTPM_LINK_NONCE, bytes_equal(quote->nonce, walk->attest.extra_data));
    if (quote->pcr_mask)
        insist(walk, VTPM_LINK_PCRS, pcrs_hold(quote, &walk->attest));
}

enum status vtpm_walk(const struct vtpm_quote *quote, struct bytes answer, const struct evidence_policy *policy,
                      struct vtpm_walk *walk)
{
    struct vtpm_keys_answer parts;
    *walk = (struct vtpm_walk){0};
    if (quote->nonce.len < EAT_NONCE_MIN || quote->nonce.len > EAT_NONCE_MAX || (quote->pcr_mask && !quote->pcrs) ||
        quote->pcr_mask >> TPM2_PCR_COUNT)
        return INTERNAL;
    const enum status status = vtpm_appraise(answer, policy, &walk->vtpm);
    if (status == INTERNAL)
        return INTERNAL;
    if (vtpm_keys_answer_decode(answer, &parts) == OK && parts.status == OK)
        judge(quote, walk, &parts, status == OK);
    const uint32_t needed =
        1u << VTPM_LINK_KEYS | 1u << VTPM_LINK_ATTESTATION_KEY | 1u << VTPM_LINK_QUOTE | 1u << VTPM_LINK_NONCE;
    return status == OK && walk->refused == 0 && (walk->judged & needed) == needed ? OK : DENIED;
}
