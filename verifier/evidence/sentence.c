/* Reasons as sentences: what differed, from what, and what to do. */
#include "evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEX_CAP (2 * TPM2_NAME_LEN + 1)

static const char *const plain[EVIDENCE_REASON_COUNT] = {
    [EVIDENCE_MALFORMED] = "The evidence cannot be read: damaged, cut, or of another version.",
    [EVIDENCE_OTHER_TPM] = "Another TPM than the pinned one.",
    [EVIDENCE_AK_UNPROVED] =
        "Nothing proves that the attestation key lives in this TPM: challenge it once and pin its name.",
    [EVIDENCE_OTHER_AK] = "Another attestation key than the one proved before.",
    [EVIDENCE_QUOTE] =
        "The TPM quote does not hold: bad signature, other PCR values, another report key, or another nonce's.",
    [EVIDENCE_REPORT_SIGNATURE] = "The report is not signed by the key the TPM quoted.",
    [EVIDENCE_STALE_NONCE] = "Stale nonce: the report was not made for this request.",
    [EVIDENCE_MODE] =
        "Development mode: the node runs with --insecure-dev on a software TPM, and production was asked for.",
    [EVIDENCE_MONITOR] = "The monitor is not measured by a boot chain the policy knows, or is not an allowed one.",
    [EVIDENCE_PORT] = "Another port than asked for.",
    [EVIDENCE_MEASUREMENT] = "Measurement differs.",
    [EVIDENCE_SECURITY_VERSION] = "The security version is below the lowest allowed.",
    [EVIDENCE_CONFIG] = "Other owner, site or mode: config id differs.",
    [EVIDENCE_WORKLOAD] = "Workload differs.",
    [EVIDENCE_USER_DATA] = "The report is bound to something else: another key, session or channel.",
    [EVIDENCE_WALLS] = "Walls missing that are required",
    [EVIDENCE_ROLLED_BACK] = "Rolled back: older than what was seen before.",
    [EVIDENCE_SESSION] = "The evidence belongs to another session, or to another hub than the one that answers.",
};

void evidence_headline(enum evidence_reason reason, const struct evidence_policy *policy,
                       const struct evidence_result *result, char *text, size_t cap)
{
    char list[EVIDENCE_TEXT_MAX];
    struct bytes config = BYTES_OF(result->report.config);
    if (reason == EVIDENCE_WALLS) {
        evidence_walls_list(policy->required_walls & ~result->report.walls, list, sizeof list);
        snprintf(text, cap, "%s: %s.", plain[reason], *list ? list : "none");
    } else if (reason == EVIDENCE_CONFIG && bytes_equal(config, policy->config_dev)) {
        snprintf(text, cap, "This owner and this site, but in development mode: config id differs.");
    } else {
        snprintf(text, cap, "%s", reason < EVIDENCE_REASON_COUNT ? plain[reason] : "Refused.");
    }
}

/* The headline's end becomes the values. */
static void differ(char *text, size_t cap, struct bytes got, struct bytes expected)
{
    char got_hex[HEX_CAP], expected_hex[HEX_CAP];
    size_t len = strlen(text) - 1;
    if (hex_encode(got, got_hex, sizeof got_hex) != OK || hex_encode(expected, expected_hex, sizeof expected_hex) != OK)
        return;
    snprintf(text + len, cap - len, ": the evidence says %s, expected is %s.", got_hex,
             expected.len ? expected_hex : "another, and none was given");
}

/* Its letters are the evidence's: printable ASCII. */
static void put_port(char *text, size_t cap, struct bytes port)
{
    char words[EAT_PORT_MAX + 1] = "";
    size_t len = strlen(text) - 1;
    for (size_t i = 0; i < port.len && i < EAT_PORT_MAX; i++)
        words[i] = port.data[i] >= ' ' && port.data[i] <= '~' ? (char)port.data[i] : '?';
    snprintf(text + len, cap - len, ": the evidence says %s.", words);
}

static void put_freshness(char *text, size_t cap, const struct evidence_policy *policy, const struct eat_report *report)
{
    size_t len = strlen(text) - 1;
    snprintf(text + len, cap - len,
             ": counter %" PRIu64 ", reset %" PRIu32 ", sequence %" PRIu64 "; seen before were %" PRIu64 ", %" PRIu32
             ", %" PRIu64 ".",
             report->nv_counter, report->reset_count, report->sequence, policy->seen.nv_counter,
             policy->seen.reset_count, policy->seen.sequence);
}

void evidence_sentence(enum evidence_reason reason, const struct evidence_policy *policy,
                       const struct evidence_result *result, char *text, size_t cap)
{
    const struct eat_report *report = &result->report;
    struct bytes measurement = policy->measurement_count ? BYTES_OF(policy->measurements[0]) : bytes_from_text("");
    evidence_headline(reason, policy, result, text, cap);
    switch (reason) {
    case EVIDENCE_OTHER_TPM:
        differ(text, cap, BYTES_OF(result->ek_name), policy->ek_name);
        return;
    case EVIDENCE_OTHER_AK:
        differ(text, cap, BYTES_OF(result->ak_name), policy->ak_name);
        return;
    case EVIDENCE_MEASUREMENT:
        differ(text, cap, BYTES_OF(report->measurement), measurement);
        return;
    case EVIDENCE_SECURITY_VERSION:
        snprintf(text, cap, "Security version %" PRIu32 " is below the lowest allowed, %" PRIu32 ".",
                 report->security_version, policy->min_security_version);
        return;
    case EVIDENCE_CONFIG:
        differ(text, cap, BYTES_OF(report->config), policy->config);
        return;
    case EVIDENCE_PORT:
        put_port(text, cap, report->port);
        return;
    case EVIDENCE_WORKLOAD:
        differ(text, cap, BYTES_OF(report->workload), policy->workload);
        return;
    case EVIDENCE_ROLLED_BACK:
        put_freshness(text, cap, policy, report);
        return;
    case EVIDENCE_MALFORMED:
    case EVIDENCE_AK_UNPROVED:
    case EVIDENCE_QUOTE:
    case EVIDENCE_REPORT_SIGNATURE:
    case EVIDENCE_STALE_NONCE:
    case EVIDENCE_MODE:
    case EVIDENCE_MONITOR:
    case EVIDENCE_WALLS:
    case EVIDENCE_USER_DATA:
    case EVIDENCE_SESSION:
    case EVIDENCE_REASON_COUNT:
        return;
    }
}
