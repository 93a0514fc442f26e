/* An appraisal told as a chain: for each link what the policy expects, what the evidence has, and what that is worth.
 */
#include "evidence.h"

#include <inttypes.h>
#include <stdio.h>

#define BIT(reason) (1u << EVIDENCE_##reason)
#define HEX_CAP (2 * EAT_NONCE_MAX + 1)
#define NAMED_MAX 3 /* of several hashes that are allowed */

typedef void describe(const struct evidence_policy *policy, const struct evidence_result *result,
                      struct writer *expected, struct writer *found);

static void put_hex(struct writer *writer, struct bytes bytes)
{
    char text[HEX_CAP];
    if (hex_encode(bytes, text, sizeof text) == OK)
        put_text(writer, text);
}

static void put_number(struct writer *writer, const char *before, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    put_text(writer, before);
    put_text(writer, text);
}

/* Words of whoever made the evidence: printable ASCII. */
static void put_foreign(struct writer *writer, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        put_u8(writer, text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?');
}

static void put_hashes(struct writer *writer, const uint8_t (*hashes)[EAT_HASH_LEN], size_t count)
{
    for (size_t i = 0; i < count && i < NAMED_MAX; i++) {
        put_text(writer, i ? " or " : "");
        put_hex(writer, BYTES_OF(hashes[i]));
    }
    if (count > NAMED_MAX) {
        put_number(writer, " or one of ", count - NAMED_MAX);
        put_text(writer, " more");
    }
}

static bool is_known(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any != 0;
}

/* ---- What each link expects and finds ---- */

static void describe_nonce(const struct evidence_policy *policy, const struct evidence_result *result,
                           struct writer *expected, struct writer *found)
{
    put_hex(expected, policy->nonce);
    put_hex(found, result->nonce);
}

static void describe_tpm(const struct evidence_policy *policy, const struct evidence_result *result,
                         struct writer *expected, struct writer *found)
{
    put_hex(expected, policy->ek_name);
    if (policy->ek_name.len == 0)
        put_text(expected, policy->ak_name.len          ? "the one of the attestation key"
                           : policy->allow_insecure_dev ? "any: none is pinned"
                                                        : "a pinned one: none is");
    if (is_known(result->ek_name, TPM2_NAME_LEN))
        put_hex(found, BYTES_OF(result->ek_name));
    else
        put_text(found, "no endorsement key");
}

static void describe_attestation_key(const struct evidence_policy *policy, const struct evidence_result *result,
                                     struct writer *expected, struct writer *found)
{
    put_hex(expected, policy->ak_name);
    if (policy->ak_name.len == 0)
        put_text(expected, policy->allow_unproved_ak ? "any, to be proved by a credential" : "a proved one: none was");
    if (is_known(result->ak_name, TPM2_NAME_LEN))
        put_hex(found, BYTES_OF(result->ak_name));
    else
        put_text(found, "no attestation key");
}

static void describe_quote(const struct evidence_policy *policy, const struct evidence_result *result,
                           struct writer *expected, struct writer *found)
{
    (void)policy, (void)expected;
    if (is_known(result->pcr_digest, EAT_HASH_LEN)) {
        put_text(found, "PCRs ");
        put_hex(found, BYTES_OF(result->pcr_digest));
    }
}

static void describe_monitor(const struct evidence_policy *policy, const struct evidence_result *result,
                             struct writer *expected, struct writer *found)
{
    if (policy->boot_digest_count) {
        put_text(expected, "a boot chain that leaves PCRs ");
        put_hashes(expected, policy->boot_digests, policy->boot_digest_count);
    } else {
        put_text(expected, policy->monitor_by_credential      ? "one whose key only approved boot chains open"
                           : policy->allow_unmeasured_monitor ? "any: no boot chain is approved"
                                                              : "an approved boot chain: none is");
    }
    if (policy->monitor_count) {
        put_text(expected, ", monitor ");
        put_hashes(expected, policy->monitors, policy->monitor_count);
    }
    put_text(found, "monitor ");
    put_hex(found, BYTES_OF(result->report.monitor));
    put_text(found, result->report.monitor_measured ? ", measured by its own word" : ", unmeasured by its own word");
    put_text(found, !result->monitor_measured       ? ", not by the quote"
                    : policy->monitor_by_credential ? ", and by its credential"
                                                    : " and by the quote");
}

static void describe_mode(const struct evidence_policy *policy, const struct evidence_result *result,
                          struct writer *expected, struct writer *found)
{
    put_text(expected, policy->allow_insecure_dev ? "production or insecure-dev" : "production");
    put_text(found, result->report.mode == EAT_INSECURE_DEV ? "insecure-dev" : "production");
}

static void describe_image(const struct evidence_policy *policy, const struct evidence_result *result,
                           struct writer *expected, struct writer *found)
{
    const struct eat_report *report = &result->report;
    put_hashes(expected, policy->measurements, policy->measurement_count);
    if (policy->signer.len) {
        put_text(expected, policy->measurement_count ? ", or " : "");
        put_bytes(expected, policy->product);
        put_text(expected, " signed by ");
        put_hex(expected, policy->signer);
    }
    if (policy->min_security_version)
        put_number(expected, ", security version at least ", policy->min_security_version);
    if (policy->workload.len) {
        put_text(expected, ", workload ");
        put_hex(expected, policy->workload);
    }
    put_hex(found, BYTES_OF(report->measurement));
    put_text(found, ", ");
    put_foreign(found, report->product);
    put_number(found, " ", report->security_version);
    put_text(found, " signed by ");
    put_hex(found, BYTES_OF(report->signer));
    put_text(found, ", port ");
    put_foreign(found, report->port);
    if (policy->workload.len) {
        put_text(found, ", workload ");
        put_hex(found, BYTES_OF(report->workload));
    }
}

static void describe_configuration(const struct evidence_policy *policy, const struct evidence_result *result,
                                   struct writer *expected, struct writer *found)
{
    struct bytes config = BYTES_OF(result->report.config);
    put_hex(expected, policy->config);
    put_hex(found, config);
    if (bytes_equal(config, policy->config_dev) && !bytes_equal(policy->config, policy->config_dev))
        put_text(found, ": this owner and this site, in development mode");
}

static void describe_walls(const struct evidence_policy *policy, const struct evidence_result *result,
                           struct writer *expected, struct writer *found)
{
    char list[EVIDENCE_TEXT_MAX / 2];
    evidence_walls_list(policy->required_walls, list, sizeof list);
    put_text(expected, *list ? list : "none is required");
    evidence_walls_list(result->report.walls, list, sizeof list);
    put_text(found, "standing: ");
    put_text(found, *list ? list : "none");
    evidence_walls_list(~result->report.walls, list, sizeof list);
    if (*list) {
        put_text(found, "; missing: ");
        put_text(found, list);
    }
}

static void put_freshness(struct writer *writer, uint64_t counter, uint32_t resets, uint64_t sequence)
{
    put_number(writer, "counter ", counter);
    put_number(writer, ", resets ", resets);
    put_number(writer, ", sequence ", sequence);
}

static void describe_freshness(const struct evidence_policy *policy, const struct evidence_result *result,
                               struct writer *expected, struct writer *found)
{
    const struct evidence_freshness *seen = &policy->seen;
    put_freshness(expected, seen->nv_counter, seen->reset_count, seen->sequence);
    put_text(expected, ", or later");
    put_freshness(found, result->report.nv_counter, result->report.reset_count, result->report.sequence);
}

/* ---- The chain ---- */

static const struct {
    const char *word;
    uint32_t reasons;
    describe *describe;
    const char *holds;
    const char *allowed;
} links[EVIDENCE_LINK_COUNT] = {
    [EVIDENCE_LINK_EVIDENCE] = {"evidence", BIT(MALFORMED), NULL, "There is evidence, and it can be read.", ""},
    [EVIDENCE_LINK_NONCE] = {"nonce", BIT(STALE_NONCE), describe_nonce, "It carries the nonce that was sent.", ""},
    [EVIDENCE_LINK_TPM] = {"tpm", BIT(OTHER_TPM), describe_tpm, "It is the TPM that was pinned.",
                           "No TPM is pinned: the one that answers is taken."},
    [EVIDENCE_LINK_ATTESTATION_KEY] = {"attestation-key", BIT(OTHER_AK) | BIT(AK_UNPROVED), describe_attestation_key,
                                       "The attestation key is the one that this TPM proved to hold.",
                                       "Nothing has proved yet that the attestation key lives in this TPM."},
    [EVIDENCE_LINK_QUOTE] = {"quote", BIT(QUOTE), describe_quote,
                             "The TPM signed its PCRs and the monitor's report key with it.", ""},
    [EVIDENCE_LINK_REPORT] = {"report", BIT(REPORT_SIGNATURE), NULL, "The report is signed by the key that was quoted.",
                              ""},
    [EVIDENCE_LINK_MONITOR] = {"monitor", BIT(MONITOR), describe_monitor,
                               "A boot chain that you approved measured this monitor: what it reports counts.",
                               "Nothing measured this monitor. All below is its word, and whoever administers the "
                               "node can put another in its place."},
    [EVIDENCE_LINK_MODE] = {"mode", BIT(MODE), describe_mode, "The node runs in production mode.",
                            "Development mode: a software TPM, forged by whoever administers the node."},
    [EVIDENCE_LINK_IMAGE] = {"image", BIT(MEASUREMENT) | BIT(SECURITY_VERSION) | BIT(PORT) | BIT(WORKLOAD),
                             describe_image, "The image that runs is an allowed one.", ""},
    [EVIDENCE_LINK_CONFIGURATION] = {"configuration", BIT(CONFIG), describe_configuration,
                                     "It was started for this owner, this site and this mode.", ""},
    [EVIDENCE_LINK_WALLS] = {"walls", BIT(WALLS), describe_walls, "Every wall stands.",
                             "Walls are missing, none of them required."},
    [EVIDENCE_LINK_FRESHNESS] = {"freshness", BIT(ROLLED_BACK), describe_freshness,
                                 "Nothing is older than what was seen before.", ""},
    [EVIDENCE_LINK_SESSION] = {"session", BIT(SESSION) | BIT(USER_DATA), NULL,
                               "It is bound to this session, and to the key of the hub that answers in it.", ""},
};

const char *evidence_link_word(enum evidence_link link)
{
    return link < EVIDENCE_LINK_COUNT ? links[link].word : "";
}

static bool is_weak(enum evidence_link link, const struct evidence_policy *policy, const struct evidence_result *result)
{
    size_t count;
    uint32_t all = 0;
    const struct evidence_wall *walls = evidence_walls(&count);
    switch (link) {
    case EVIDENCE_LINK_TPM:
        return policy->ek_name.len == 0 && policy->ak_name.len == 0;
    case EVIDENCE_LINK_ATTESTATION_KEY:
        return policy->ak_name.len == 0;
    case EVIDENCE_LINK_MONITOR:
        return !result->monitor_measured;
    case EVIDENCE_LINK_MODE:
        return result->report.mode != EAT_PRODUCTION;
    case EVIDENCE_LINK_WALLS:
        for (size_t i = 0; i < count; i++)
            all |= walls[i].bit;
        return (all & ~result->report.walls) != 0;
    case EVIDENCE_LINK_EVIDENCE:
    case EVIDENCE_LINK_NONCE:
    case EVIDENCE_LINK_QUOTE:
    case EVIDENCE_LINK_REPORT:
    case EVIDENCE_LINK_IMAGE:
    case EVIDENCE_LINK_CONFIGURATION:
    case EVIDENCE_LINK_FRESHNESS:
    case EVIDENCE_LINK_SESSION:
    case EVIDENCE_LINK_COUNT:
        break;
    }
    return false;
}

/* From the TPM to the monitor each vouches for the next, and the monitor for all that follows. */
static bool hangs_on_refused(enum evidence_link link, uint32_t reasons)
{
    for (size_t before = EVIDENCE_LINK_TPM; before < (size_t)link && before <= EVIDENCE_LINK_MONITOR; before++)
        if (reasons & links[before].reasons)
            return true;
    return false;
}

static enum evidence_outcome outcome_of(enum evidence_link link, const struct evidence_policy *policy,
                                        const struct evidence_result *result)
{
    if (result->reasons & links[link].reasons)
        return EVIDENCE_REFUSED;
    if (!(result->judged & links[link].reasons))
        return EVIDENCE_UNSEEN;
    if (hangs_on_refused(link, result->reasons))
        return EVIDENCE_UNPROVED;
    return is_weak(link, policy, result) ? EVIDENCE_ALLOWED : EVIDENCE_HOLDS;
}

static void put_sentences(struct writer *why, uint32_t reasons, const struct evidence_policy *policy,
                          const struct evidence_result *result)
{
    char sentence[EVIDENCE_TEXT_MAX];
    for (int reason = 0; reason < EVIDENCE_REASON_COUNT; reason++) {
        if (!(result->reasons & reasons & 1u << reason))
            continue;
        evidence_headline((enum evidence_reason)reason, policy, result, sentence, sizeof sentence);
        put_text(why, why->len ? " " : "");
        put_text(why, sentence);
    }
}

void evidence_explain(enum evidence_link link, const struct evidence_policy *policy,
                      const struct evidence_result *result, struct evidence_step *step)
{
    struct writer expected = writer_over(step->expected, sizeof step->expected - 1);
    struct writer found = writer_over(step->found, sizeof step->found - 1);
    struct writer why = writer_over(step->why, sizeof step->why - 1);
    step->outcome = outcome_of(link, policy, result);
    if (step->outcome != EVIDENCE_UNSEEN && links[link].describe)
        links[link].describe(policy, result, &expected, &found);
    switch (step->outcome) {
    case EVIDENCE_UNSEEN:
        break;
    case EVIDENCE_HOLDS:
        put_text(&why, links[link].holds);
        break;
    case EVIDENCE_ALLOWED:
        put_text(&why, links[link].allowed);
        break;
    case EVIDENCE_UNPROVED:
        put_text(&why, "It fits, but is the word of one who was refused above.");
        break;
    case EVIDENCE_REFUSED:
        put_sentences(&why, links[link].reasons, policy, result);
        break;
    }
    step->expected[expected.len] = step->found[found.len] = step->why[why.len] = 0;
}
