/* bastide report: fresh evidence, held to the pins, in words. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

static const char help[] = "Usage: bastide report [--require WALL,…]\n\n"
                           "Has the node report on itself anew (with a nonce of ours), appraises that against "
                           "owner/pins.json and prints what it\n"
                           "proves. Evidence that is older than what was seen before is refused, and so is every other "
                           "difference: exit code 5.\n\n"
                           "  --require WALL,…    refuse when one of these walls does not stand\n\n"
                           "Examples:\n"
                           "  bastide report\n"
                           "  bastide report --require secret-memory,other-user\n"
                           "  bastide report --json | jq .walls\n";

#define NONCE_LEN 32

struct report {
    struct owner owner;
    struct owner_pins pins;
    uint8_t nonce[NONCE_LEN];
    uint8_t evidence[EAT_EVIDENCE_MAX];
    size_t evidence_len;
    struct evidence_result result;
};

static int take_evidence(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user)
{
    struct report *report = user;
    const char *text = json_string_value(json_object_get(json, "evidence"));
    struct writer writer = writer_over(report->evidence, sizeof report->evidence);
    (void)answer;
    if (!text || base64url_decode(text, &writer) != OK)
        return cli_fail(cli, CLI_EVIDENCE, "the hub's answer holds no evidence");
    report->evidence_len = writer.len;
    return CLI_OK;
}

static int fetch(const struct cli *cli, struct report *report)
{
    char hex[2 * NONCE_LEN + 1], body[2 * NONCE_LEN + 32];
    if (crypto_random(report->nonce, sizeof report->nonce) != OK ||
        hex_encode(BYTES_OF(report->nonce), hex, sizeof hex) != OK)
        return cli_fail(cli, CLI_INTERNAL, "no randomness");
    snprintf(body, sizeof body, "{\"nonce\":\"%s\"}", hex);
    const struct client_request question = {
        .code = COAP_POST, .path = "report", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    cli_progress(cli, "asking for a fresh report …");
    return command_ask(cli, &question, take_evidence, report);
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
    char text[2 * 64 + 1];
    return hex_encode(bytes_from(bytes, len), text, sizeof text) == OK ? json_string(text) : json_null();
}

static json_t *walls_json(uint32_t standing)
{
    size_t count;
    const struct owner_wall *walls = owner_walls(&count);
    json_t *all = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(all, walls[i].name, json_boolean(standing & walls[i].bit));
    return all;
}

static void print_json(const struct report *report)
{
    const struct eat_report *claims = &report->result.report;
    json_t *freshness = json_pack("{s:I,s:I,s:I,s:I,s:I}", "nv_counter", (json_int_t)claims->nv_counter, "reset_count",
                                  (json_int_t)claims->reset_count, "restart_count", (json_int_t)claims->restart_count,
                                  "sequence", (json_int_t)claims->sequence, "since", (json_int_t)claims->since_s);
    json_t *all = json_pack(
        "{s:b,s:o,s:s%,s:I,s:o,s:s,s:o,s:s%,s:b,s:o,s:o,s:b,s:o,s:I,s:I,s:o}", "verified", true, "measurement",
        hex(claims->measurement, EAT_HASH_LEN), "product", (const char *)claims->product.data, claims->product.len,
        "security_version", (json_int_t)claims->security_version, "signer", hex(claims->signer, EAT_HASH_LEN), "mode",
        claims->mode == EAT_INSECURE_DEV ? "insecure-dev" : "production", "config", hex(claims->config, EAT_HASH_LEN),
        "port", (const char *)claims->port.data, claims->port.len, "monitor_measured", report->result.monitor_measured,
        "monitor", hex(claims->monitor, EAT_HASH_LEN), "ek_name", hex(report->result.ek_name, TPM2_NAME_LEN),
        "pinned_on_first_use", report->pins.first_use, "walls", walls_json(claims->walls), "secret_bytes",
        (json_int_t)claims->secret_bytes, "unprotected_bytes", (json_int_t)claims->unprotected_bytes, "freshness",
        freshness);
    cli_print_json(all);
}

static void print_hash(const struct cli *cli, const char *label, const uint8_t *hash, size_t len, const char *rest)
{
    char text[2 * 64 + 1] = "";
    if (hex_encode(bytes_from(hash, len), text, sizeof text) == OK)
        cli_line(cli, label, "%s%s", text, rest);
}

static void print_table(const struct cli *cli, const struct report *report)
{
    const struct eat_report *claims = &report->result.report;
    size_t count;
    const struct owner_wall *walls = owner_walls(&count);
    cli_line(cli, "verified", "yes: TPM, report key, image, owner, site and nonce, each to its anchor");
    print_hash(cli, "measurement", claims->measurement, EAT_HASH_LEN, "");
    cli_line(cli, "product", "%.*s, security version %u, port %.*s", (int)claims->product.len,
             (const char *)claims->product.data, claims->security_version, (int)claims->port.len,
             (const char *)claims->port.data);
    cli_line(cli, "mode", "%s",
             claims->mode == EAT_INSECURE_DEV ? "insecure-dev: a software TPM, forged by whoever administers the node"
                                              : "production");
    print_hash(cli, "TPM", report->result.ek_name, TPM2_NAME_LEN,
               report->pins.first_use ? " (pinned because it answered first)" : " (pinned by you)");
    print_hash(cli, "monitor", claims->monitor, EAT_HASH_LEN,
               report->result.monitor_measured ? ", measured by a boot chain that you approved"
                                               : ", unmeasured: nothing vouches for it but the node itself");
    for (size_t i = 0; i < count; i++)
        if (claims->walls & walls[i].bit)
            cli_line(cli, "stands", "%-15s %s", walls[i].name, walls[i].stands);
    for (size_t i = 0; i < count; i++)
        if (!(claims->walls & walls[i].bit))
            cli_line(cli, "missing", "%-15s %s", walls[i].name, walls[i].missing);
    cli_line(cli, "memory", "%llu bytes secret, %llu unprotected", (unsigned long long)claims->secret_bytes,
             (unsigned long long)claims->unprotected_bytes);
    cli_line(cli, "freshness", "counter %llu, resets %u, sequence %llu: none lower than seen before",
             (unsigned long long)claims->nv_counter, claims->reset_count, (unsigned long long)claims->sequence);
}

static int run_with(const struct cli *cli, uint32_t required, struct report *report)
{
    enum status status = owner_pins_load(cli, &report->pins);
    if (status != OK)
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED,
                        "%s/owner/pins.json %s: bastide init makes it", cli->home, cli_file_problem(status));
    int result = fetch(cli, report);
    if (result)
        return result;
    uint32_t pinned = report->pins.required_walls;
    report->pins.required_walls |= required;
    result = owner_appraise(cli, &report->owner, &report->pins, bytes_from(report->evidence, report->evidence_len),
                            BYTES_OF(report->nonce), &report->result);
    report->pins.required_walls = pinned;
    if (result)
        return result;
    if (owner_pins_save(cli, &report->pins) != OK)
        return cli_fail(cli, CLI_INTERNAL, "%s/owner/pins.json could not be written", cli->home);
    if (cli->json)
        print_json(report);
    else
        print_table(cli, report);
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static struct report report;
    const char *require = NULL;
    char unknown[64];
    uint32_t walls = 0;
    const struct cli_option options[] = {{"require", &require, NULL, NULL}};
    int result = cli_options(cli, "report", options, 1, &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "report", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK && require && owner_walls_parse(require, &walls, unknown, sizeof unknown) != OK)
        result = cli_usage(cli, "report", "--require: \"%s\" is no wall", unknown);
    if (result == CLI_OK)
        result = owner_open(cli, false, &report.owner);
    if (result)
        return result;
    result = run_with(cli, walls, &report);
    owner_done(&report.owner);
    return result;
}

const struct command command_report = {"report", "fresh evidence, verified, in words", help, run};
