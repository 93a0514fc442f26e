/* Reasons as sentences: what differed, from what, and what to do. */
#include "evidence.h"

#include <inttypes.h>
#include <stdio.h>

#define HEX_CAP (2 * TPM2_NAME_LEN + 1)

static const char *const plain[EVIDENCE_REASON_COUNT] = {
    [EVIDENCE_MALFORMED] = "The evidence cannot be read: damaged, cut, or of another version.",
    [EVIDENCE_AK_UNPROVED] =
        "Nothing proves that the attestation key lives in this TPM: challenge it once and pin its name.",
    [EVIDENCE_QUOTE] = "The TPM quote does not hold: wrong signature, other PCR values, another report key, or not "
                       "made for this nonce.",
    [EVIDENCE_REPORT_SIGNATURE] = "The report is not signed by the key the TPM quoted.",
    [EVIDENCE_STALE_NONCE] = "Stale nonce: the report was not made for this request.",
    [EVIDENCE_MODE] =
        "Development mode: the node runs with --insecure-dev on a software TPM, and production was asked for.",
    [EVIDENCE_MONITOR] = "The monitor is not measured by a boot chain the policy knows, or is not an allowed one.",
    [EVIDENCE_SESSION] = "The evidence belongs to another session, or to another hub than the one that answers.",
    [EVIDENCE_USER_DATA] = "The report is bound to something else: another key, session or channel.",
};

static void hex(struct bytes bytes, char text[HEX_CAP])
{
    if (hex_encode(bytes, text, HEX_CAP) != OK)
        text[0] = 0;
}

static void differ(char *text, size_t cap, const char *what, struct bytes got, struct bytes expected)
{
    char got_hex[HEX_CAP], expected_hex[HEX_CAP];
    hex(got, got_hex);
    hex(expected, expected_hex);
    snprintf(text, cap, "%s: the evidence says %s, expected is %s.", what, got_hex,
             expected.len ? expected_hex : "another, and none was given");
}

void evidence_sentence(enum evidence_reason reason, const struct evidence_policy *policy,
                       const struct evidence_result *result, char *text, size_t cap)
{
    const struct eat_report *report = &result->report;
    struct bytes measurement = policy->measurement_count ? BYTES_OF(policy->measurements[0]) : bytes_from_text("");
    switch (reason) {
    case EVIDENCE_OTHER_TPM:
        differ(text, cap, "Another TPM than the pinned one", BYTES_OF(result->ek_name), policy->ek_name);
        return;
    case EVIDENCE_OTHER_AK:
        differ(text, cap, "Another attestation key than the one proved before", BYTES_OF(result->ak_name),
               policy->ak_name);
        return;
    case EVIDENCE_PORT:
        snprintf(text, cap, "Another port: the evidence says %.*s.", (int)report->port.len,
                 (const char *)report->port.data);
        return;
    case EVIDENCE_MEASUREMENT:
        differ(text, cap, "Measurement differs", BYTES_OF(report->measurement), measurement);
        return;
    case EVIDENCE_SECURITY_VERSION:
        snprintf(text, cap, "Security version %" PRIu32 " is below the lowest allowed, %" PRIu32 ".",
                 report->security_version, policy->min_security_version);
        return;
    case EVIDENCE_CONFIG:
        differ(text, cap, "Other owner, site or mode: config id differs", BYTES_OF(report->config), policy->config);
        return;
    case EVIDENCE_WORKLOAD:
        differ(text, cap, "Workload differs", BYTES_OF(report->workload), policy->workload);
        return;
    case EVIDENCE_WALLS:
        snprintf(text, cap, "Walls missing: required 0x%" PRIx32 ", standing 0x%" PRIx32 ".", policy->required_walls,
                 report->walls);
        return;
    case EVIDENCE_ROLLED_BACK:
        snprintf(text, cap,
                 "Rolled back: counter %" PRIu64 ", reset %" PRIu32 ", sequence %" PRIu64 "; seen before were %" PRIu64
                 ", %" PRIu32 ", %" PRIu64 ".",
                 report->nv_counter, report->reset_count, report->sequence, policy->seen.nv_counter,
                 policy->seen.reset_count, policy->seen.sequence);
        return;
    case EVIDENCE_MALFORMED:
    case EVIDENCE_AK_UNPROVED:
    case EVIDENCE_QUOTE:
    case EVIDENCE_REPORT_SIGNATURE:
    case EVIDENCE_STALE_NONCE:
    case EVIDENCE_MODE:
    case EVIDENCE_MONITOR:
    case EVIDENCE_USER_DATA:
    case EVIDENCE_SESSION:
    case EVIDENCE_REASON_COUNT:
        break;
    }
    snprintf(text, cap, "%s", reason < EVIDENCE_REASON_COUNT ? plain[reason] : "Refused.");
}
