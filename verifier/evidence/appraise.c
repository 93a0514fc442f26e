/* The chain, link by link: EK pin → AK → quote → report key → report → what the policy says of its claims. Everything
 * looked at here is public. */
#include "evidence.h"

#include <string.h>

struct appraisal {
    const struct evidence_policy *policy;
    struct evidence_result *result;
    struct eat_evidence bundle;
    struct bytes pcr_digest; /* as quoted; empty until the quote verified */
};

static void insist(struct appraisal *appraisal, enum evidence_reason reason, bool good)
{
    appraisal->result->judged |= 1u << reason;
    if (!good)
        appraisal->result->reasons |= 1u << reason;
}

static void refuse(struct appraisal *appraisal, enum evidence_reason reason)
{
    insist(appraisal, reason, false);
}

static bool is_hash(struct bytes expected, const uint8_t *hash)
{
    return expected.len == EAT_HASH_LEN && bytes_equal(expected, bytes_from(hash, EAT_HASH_LEN));
}

static bool among(const uint8_t (*allowed)[EAT_HASH_LEN], size_t count, const uint8_t *hash)
{
    for (size_t i = 0; i < count; i++)
        if (is_hash(BYTES_OF(allowed[i]), hash))
            return true;
    return false;
}

static void appraise_ek(struct appraisal *appraisal)
{
    struct bytes pinned = appraisal->policy->ek_name;
    struct tpm2_public ek;
    uint8_t *name = appraisal->result->ek_name;
    if (tpm2_public_decode(appraisal->bundle.ek, &ek) != OK || !tpm2_public_is_ek(&ek) ||
        tpm2_name(appraisal->bundle.ek, name) != OK)
        refuse(appraisal, EVIDENCE_OTHER_TPM);
    else if (pinned.len)
        insist(appraisal, EVIDENCE_OTHER_TPM, bytes_equal(pinned, bytes_from(name, TPM2_NAME_LEN)));
    else
        insist(appraisal, EVIDENCE_OTHER_TPM,
               appraisal->policy->allow_insecure_dev || appraisal->policy->ak_name.len > 0);
}

/* False when there is no key to verify a quote with. */
static bool appraise_ak(struct appraisal *appraisal, struct crypto_public *key)
{
    struct bytes proved = appraisal->policy->ak_name;
    struct tpm2_public ak;
    uint8_t *name = appraisal->result->ak_name;
    if (tpm2_public_decode(appraisal->bundle.ak, &ak) != OK || !tpm2_public_is_ak(&ak) ||
        tpm2_public_key(&ak, key) != OK || tpm2_name(appraisal->bundle.ak, name) != OK) {
        refuse(appraisal, EVIDENCE_OTHER_AK);
        return false;
    }
    if (proved.len)
        insist(appraisal, EVIDENCE_OTHER_AK, bytes_equal(proved, bytes_from(name, TPM2_NAME_LEN)));
    else
        insist(appraisal, EVIDENCE_AK_UNPROVED, appraisal->policy->allow_unproved_ak);
    return true;
}

/* TPM2_Quote digests the selected PCRs in ascending order (Part 3 §18.4). */
static bool pcrs_match(const struct eat_evidence *bundle, const struct tpm2_attest *attest)
{
    struct bytes parts[EAT_PCRS_MAX];
    size_t count = 0;
    uint8_t hash[CRYPTO_HASH_MAX];
    for (size_t i = 0; i < EAT_PCRS_MAX; i++)
        if (bundle->pcr_mask >> i & 1)
            parts[count++] = BYTES_OF(bundle->pcrs[i]);
    return count > 0 && bundle->pcr_mask == attest->pcr_mask && crypto_hash(CRYPTO_SHA256, parts, count, hash) == OK &&
           is_hash(attest->pcr_digest, hash);
}

static bool quote_holds(struct appraisal *appraisal, const struct crypto_public *ak)
{
    const struct eat_evidence *bundle = &appraisal->bundle;
    struct tpm2_attest attest;
    uint8_t expected[EAT_HASH_LEN];
    if (crypto_verify(CRYPTO_P256, crypto_public_bytes(ak), &bundle->quote, 1, bundle->quote_signature) != OK ||
        tpm2_attest_decode(bundle->quote, &attest) != OK ||
        eat_quote_data(&bundle->report_key, appraisal->policy->nonce, expected) != OK)
        return false;
    appraisal->pcr_digest = attest.pcr_digest;
    if (attest.pcr_digest.len == EAT_HASH_LEN)
        memcpy(appraisal->result->pcr_digest, attest.pcr_digest.data, EAT_HASH_LEN);
    return is_hash(attest.extra_data, expected) && pcrs_match(bundle, &attest);
}

static void appraise_monitor(struct appraisal *appraisal)
{
    const struct evidence_policy *policy = appraisal->policy;
    const struct eat_report *report = &appraisal->result->report;
    bool known = appraisal->pcr_digest.len == EAT_HASH_LEN &&
                 among(policy->boot_digests, policy->boot_digest_count, appraisal->pcr_digest.data);
    appraisal->result->monitor_measured = report->monitor_measured && (known || policy->monitor_by_credential);
    insist(appraisal, EVIDENCE_MONITOR, appraisal->result->monitor_measured || policy->allow_unmeasured_monitor);
    if (policy->monitor_count)
        insist(appraisal, EVIDENCE_MONITOR, among(policy->monitors, policy->monitor_count, report->monitor));
}

static void appraise_image(struct appraisal *appraisal)
{
    const struct evidence_policy *policy = appraisal->policy;
    const struct eat_report *report = &appraisal->result->report;
    bool exact = among(policy->measurements, policy->measurement_count, report->measurement);
    bool signer = is_hash(policy->signer, report->signer) && bytes_equal(policy->product, report->product);
    insist(appraisal, EVIDENCE_MEASUREMENT, exact || signer);
    insist(appraisal, EVIDENCE_SECURITY_VERSION, report->security_version >= policy->min_security_version);
}

static void appraise_claims(struct appraisal *appraisal)
{
    const struct evidence_policy *policy = appraisal->policy;
    const struct eat_report *report = &appraisal->result->report;
    struct bytes port = policy->port.len ? policy->port : bytes_from_text("linux");
    appraisal->result->nonce = bytes_from(report->nonce, report->nonce_len);
    insist(appraisal, EVIDENCE_STALE_NONCE, bytes_equal(policy->nonce, appraisal->result->nonce));
    insist(appraisal, EVIDENCE_MODE, report->mode == EAT_PRODUCTION || policy->allow_insecure_dev);
    insist(appraisal, EVIDENCE_PORT, bytes_equal(port, report->port));
    appraise_monitor(appraisal);
    appraise_image(appraisal);
    insist(appraisal, EVIDENCE_CONFIG, is_hash(policy->config, report->config));
    insist(appraisal, EVIDENCE_WORKLOAD, policy->workload.len == 0 || is_hash(policy->workload, report->workload));
    if (policy->user_data.len)
        insist(appraisal, EVIDENCE_USER_DATA, bytes_equal(policy->user_data, BYTES_OF(report->user_data)));
    insist(appraisal, EVIDENCE_WALLS, (policy->required_walls & ~report->walls) == 0);
    insist(appraisal, EVIDENCE_ROLLED_BACK,
           report->nv_counter >= policy->seen.nv_counter && report->reset_count >= policy->seen.reset_count &&
               report->sequence >= policy->seen.sequence);
    appraisal->result->freshness = (struct evidence_freshness){
        .nv_counter = report->nv_counter, .reset_count = report->reset_count, .sequence = report->sequence};
}

static bool policy_complete(const struct evidence_policy *policy)
{
    return policy->config.len == EAT_HASH_LEN && policy->nonce.len >= EAT_NONCE_MIN &&
           policy->nonce.len <= EAT_NONCE_MAX && (policy->ek_name.len == 0 || policy->ek_name.len == TPM2_NAME_LEN) &&
           (policy->ak_name.len == 0 || policy->ak_name.len == TPM2_NAME_LEN);
}

enum status evidence_appraise(struct bytes evidence, const struct evidence_policy *policy,
                              struct evidence_result *result)
{
    if (!policy_complete(policy))
        return INTERNAL;
    struct appraisal appraisal = {.policy = policy, .result = result};
    struct crypto_public ak = {0};
    *result = (struct evidence_result){0};
    insist(&appraisal, EVIDENCE_MALFORMED, eat_evidence_decode(evidence, &appraisal.bundle) == OK);
    if (result->reasons)
        return DENIED;
    appraise_ek(&appraisal);
    insist(&appraisal, EVIDENCE_QUOTE, appraise_ak(&appraisal, &ak) && quote_holds(&appraisal, &ak));
    bool opened = eat_report_open(appraisal.bundle.report, &appraisal.bundle.report_key, &result->report) == OK;
    insist(&appraisal, EVIDENCE_REPORT_SIGNATURE, opened);
    if (opened)
        appraise_claims(&appraisal);
    return result->reasons ? DENIED : OK;
}

enum status evidence_challenge(struct bytes evidence, struct bytes secret, struct writer *blob)
{
    struct eat_evidence bundle;
    struct tpm2_public ek;
    uint8_t name[TPM2_NAME_LEN];
    TRY(eat_evidence_decode(evidence, &bundle));
    TRY(tpm2_public_decode(bundle.ek, &ek));
    if (!tpm2_public_is_ek(&ek))
        return DENIED;
    TRY(tpm2_name(bundle.ak, name));
    return tpm2_make_credential(&ek, name, secret, blob);
}
