/* Evidence held to the pins. */
#include "owner.h"

#include "vtpm_appraisal.h"

#include <string.h>

enum status owner_walls_parse(const char *list, uint32_t *mask, char *unknown, size_t cap)
{
    uint32_t found = 0;
    size_t count;
    const struct evidence_wall *walls = evidence_walls(&count);
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ","), i = 0;
        while (i < count && (strlen(walls[i].name) != len || strncmp(walls[i].name, at, len) != 0))
            i++;
        if (i == count) {
            snprintf(unknown, cap, "%.*s", (int)len, at);
            return NOT_FOUND;
        }
        found |= walls[i].bit;
        at += len + (at[len] == ',');
    }
    *mask = found;
    return OK;
}

static int refuse(const struct cli *cli, const struct evidence_policy *policy, const struct evidence_result *result)
{
    char text[3072], sentence[400], name[2 * TPM2_NAME_LEN + 1];
    struct writer writer = writer_over(text, sizeof text - 1);
    for (int reason = 0; reason < EVIDENCE_REASON_COUNT; reason++) {
        if (!(result->reasons >> reason & 1))
            continue;
        evidence_sentence((enum evidence_reason)reason, policy, result, sentence, sizeof sentence);
        put_text(&writer, writer.len == 0 ? "" : cli->json ? "; " : "\n  ");
        put_text(&writer, sentence);
    }
    text[writer.len] = 0;
    cli_fail(cli, CLI_EVIDENCE, "the node's evidence was refused: %s%s", cli->json ? "" : "\n  ", text);
    if (result->reasons >> EVIDENCE_OTHER_TPM & 1 &&
        hex_encode(bytes_from(result->ek_name, sizeof result->ek_name), name, sizeof name) == OK)
        cli_warn(cli,
                 "the endorsement key that answered has the name %s: if it is this node's (ask its maker or its "
                 "administrator, not the node), give --ek-name, after removing owner/pins.json if there is one",
                 name);
    if (result->reasons >> EVIDENCE_MEASUREMENT & 1)
        cli_warn(cli, "after an upgrade of the image: bastide init --renew takes the new measurement from its files");
    return CLI_EVIDENCE;
}

/* Of the same owner and site in development mode; empty when it cannot be told. */
static struct bytes config_dev_of(const struct image_configuration *configuration, uint8_t hash[CRYPTO_HASH_MAX])
{
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration development = *configuration;
    struct writer encoded = writer_over(room, sizeof room);
    development.insecure_dev = true;
    image_put_configuration(&encoded, &development);
    struct bytes whole = writer_bytes(&encoded);
    return writer_end(&encoded) == OK && crypto_hash(CRYPTO_SHA256, &whole, 1, hash) == OK
               ? bytes_from(hash, EAT_HASH_LEN)
               : (struct bytes){0};
}

static void take_references(struct owner_references *references, const struct image_configuration *configuration,
                            const uint8_t measurement[EAT_HASH_LEN], const struct owner_pins *pins, struct bytes nonce)
{
    memcpy(references->measurements[0], measurement, EAT_HASH_LEN);
    bool development = configuration->insecure_dev;
    references->policy = (struct evidence_policy){
        .ek_name = pins->has_ek ? BYTES_OF(pins->ek_name) : (struct bytes){0},
        .ak_name = pins->has_ak ? BYTES_OF(pins->ak_name) : (struct bytes){0},
        .measurements = (const uint8_t(*)[EAT_HASH_LEN])references->measurements,
        .measurement_count = 1,
        .boot_digests = (const uint8_t(*)[EAT_HASH_LEN])pins->boot_digests,
        .boot_digest_count = pins->boot_digest_count,
        .config = BYTES_OF(configuration->config_id),
        .config_dev = development ? (struct bytes){0} : config_dev_of(configuration, references->config_dev),
        .nonce = nonce,
        .required_walls = pins->required_walls,
        .seen = pins->seen,
        .allow_insecure_dev = development,
        .allow_unmeasured_monitor = !pins->require_measured_monitor && (development || pins->allow_unmeasured_monitor),
        .allow_unproved_ak = !pins->has_ak,
    };
}

static void explain(struct owner_explanation *explanation, const struct evidence_policy *policy,
                    const struct evidence_result *result)
{
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++) {
        struct evidence_step step;
        evidence_explain(link, policy, result, &step);
        /* A report that was asked for says nothing of the session it came in. */
        if (step.outcome != EVIDENCE_UNSEEN || result->reasons)
            explanation->links[link] = step;
    }
}

static int judge(const struct cli *cli, struct owner_pins *pins, const struct owner_references *references,
                 enum status status, const struct evidence_result *result, struct owner_explanation *explanation)
{
    if (explanation && (status == OK || status == DENIED))
        explain(explanation, &references->policy, result);
    if (status == DENIED)
        return explanation ? CLI_EVIDENCE : refuse(cli, &references->policy, result);
    if (status != OK)
        return cli_fail(cli, CLI_INTERNAL, "the evidence could not be appraised: %s", status_word(status));
    pins->seen = result->freshness;
    return CLI_OK;
}

int owner_appraise(const struct cli *cli, const struct owner *owner, struct owner_pins *pins, struct bytes evidence,
                   struct bytes nonce, struct evidence_result *result, struct owner_explanation *explanation)
{
    struct owner_references references;
    take_references(&references, &owner->configuration, pins->measurement, pins, nonce);
    enum status status = evidence_appraise(evidence, &references.policy, result);
    return judge(cli, pins, &references, status, result, explanation);
}

int owner_appraise_session(const struct cli *cli, const struct owner *owner, struct owner_pins *pins,
                           const struct client_hub *hub, struct evidence_result *result,
                           struct owner_explanation *explanation)
{
    struct owner_references references;
    const struct evidence_session session = {hub->evidence, hub->binder, hub->credential};
    take_references(&references, &owner->configuration, pins->measurement, pins, hub->nonce);
    enum status status = evidence_appraise_session(&session, &references.policy, result);
    return judge(cli, pins, &references, status, result, explanation);
}

static int take_vtpm(const struct cli *cli, const struct owner *owner, const struct owner_pins *pins,
                     const struct owner_vtpm *vtpm, struct bytes nonce, struct owner_references *references)
{
    if (!bytes_equal(vtpm->configuration->certificate, owner->configuration.certificate) ||
        vtpm->configuration->insecure_dev != owner->configuration.insecure_dev)
        return cli_fail(cli, CLI_DENIED, "its configuration is another owner's, or of another mode");
    take_references(references, vtpm->configuration, vtpm->measurement, pins, nonce);
    references->policy.workload = vtpm->workload;
    references->policy.seen.sequence = 0; /* the pins have the hub's */
    return CLI_OK;
}

static int say_why_silent(const struct cli *cli, enum status said)
{
    return cli_fail(cli, said == NOT_FOUND ? CLI_NOT_FOUND : CLI_TPM, "the vTPM does not say which keys it has: %s",
                    said == DENIED      ? "its endorsement hierarchy is closed"
                    : said == NOT_FOUND ? "nothing persists at that handle (tpm2_evictcontrol)"
                                        : status_word(said));
}

int owner_appraise_vtpm(const struct cli *cli, const struct owner *owner, struct owner_pins *pins,
                        const struct owner_vtpm *vtpm, struct bytes answer, struct bytes nonce,
                        struct vtpm_appraisal *appraisal)
{
    struct owner_references references;
    const uint64_t sequence = pins->seen.sequence;
    int result = take_vtpm(cli, owner, pins, vtpm, nonce, &references);
    if (result)
        return result;
    enum status status = vtpm_appraise(answer, &references.policy, appraisal);
    if (status == DENIED && appraisal->said != OK)
        return say_why_silent(cli, appraisal->said);
    result = judge(cli, pins, &references, status, &appraisal->evidence, NULL);
    pins->seen.sequence = sequence;
    return result;
}

int owner_walk_vtpm(const struct cli *cli, const struct owner *owner, const struct owner_pins *pins,
                    const struct owner_vtpm *vtpm, const struct vtpm_quote *quote, struct bytes answer,
                    struct vtpm_walk *walk, struct evidence_step links[EVIDENCE_LINK_COUNT])
{
    struct owner_references references;
    int result = take_vtpm(cli, owner, pins, vtpm, quote->nonce, &references);
    if (result)
        return result;
    enum status status = vtpm_walk(quote, answer, &references.policy, walk);
    if (status != OK && status != DENIED)
        return cli_fail(cli, CLI_INTERNAL, "the quote could not be appraised: %s", status_word(status));
    if (walk->vtpm.said != OK)
        return say_why_silent(cli, walk->vtpm.said);
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++)
        evidence_explain(link, &references.policy, &walk->vtpm.evidence, &links[link]);
    return status == OK ? CLI_OK : CLI_EVIDENCE;
}

void owner_vtpm_references(const struct owner_pins *pins, const struct owner_vtpm *vtpm,
                           struct owner_references *references)
{
    take_references(references, vtpm->configuration, vtpm->measurement, pins, (struct bytes){0});
    references->policy.seen.sequence = 0; /* the pins have the hub's */
}
