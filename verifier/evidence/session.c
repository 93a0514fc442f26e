/* Evidence of one EDHOC session: who signed it is told by the launch's evidence inside, and what for by the binder. */
#include "evidence.h"

#include "attest.h"
#include "cose.h"

#include <string.h>

/* The nonce that the launch's report was made for, which the hub chose: it makes a quote, and freshness is the
 * session's. Not verified yet. */
static enum status launch_nonce(struct bytes launch, uint8_t nonce[EAT_NONCE_MAX], size_t *len)
{
    struct eat_evidence bundle;
    struct cose_sign1 sign1;
    struct eat_report report;
    TRY(eat_evidence_decode(launch, &bundle));
    TRY(cose_sign1_decode(bundle.report, &sign1));
    TRY(eat_report_decode(sign1.payload, &report));
    memcpy(nonce, report.nonce, report.nonce_len);
    *len = report.nonce_len;
    return report.nonce_len ? OK : MALFORMED;
}

/* Nothing else was looked at. */
static enum status only(enum evidence_reason reason, struct evidence_result *result)
{
    *result = (struct evidence_result){.reasons = 1u << reason, .judged = 1u << reason};
    return DENIED;
}

static void insist(struct evidence_result *result, enum evidence_reason reason, bool good)
{
    result->judged |= 1u << reason;
    if (!good)
        result->reasons |= 1u << reason;
}

enum status evidence_appraise_session(const struct evidence_session *session, const struct evidence_policy *policy,
                                      struct evidence_result *result)
{
    struct attest_evidence evidence;
    struct evidence_policy launch = *policy;
    uint8_t nonce[EAT_NONCE_MAX], user_data[EAT_USER_DATA_LEN], credential[CRYPTO_HASH_MAX];
    size_t nonce_len;
    enum status opened = attest_evidence_open(session->evidence, session->binder, &evidence);
    if (opened == AUTH)
        return only(EVIDENCE_SESSION, result);
    if (opened != OK || launch_nonce(evidence.launch, nonce, &nonce_len) != OK ||
        attest_user_data(&evidence.key, user_data) != OK)
        return only(EVIDENCE_MALFORMED, result);
    TRY(crypto_hash(CRYPTO_SHA256, &session->credential, 1, credential));
    launch.nonce = bytes_from(nonce, nonce_len);
    launch.user_data = BYTES_OF(user_data);
    enum status status = evidence_appraise(evidence.launch, &launch, result);
    if (status != OK && status != DENIED)
        return status;
    result->nonce = evidence.nonce;
    insist(result, EVIDENCE_STALE_NONCE, bytes_equal(evidence.nonce, policy->nonce));
    insist(result, EVIDENCE_SESSION, bytes_equal(BYTES_OF(evidence.credential), bytes_from(credential, EAT_HASH_LEN)));
    return result->reasons ? DENIED : OK;
}
