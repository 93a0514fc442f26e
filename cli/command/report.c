/* bastide report: fresh evidence, held to the pins, in words. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bastide report [--explain] [--require WALL,…]\n\n"
    "Has the node report on itself anew (with a nonce of ours), appraises that against owner/pins.json and prints what "
    "it\n"
    "proves. Evidence that is older than what was seen before is refused, and so is every other difference: exit code "
    "5.\n\n"
    "  --explain           the appraisal as a chain, from the hub that answers over nonce, TPM, attestation key, "
    "quote,\n"
    "                      report, monitor, mode, image, configuration, walls and freshness to the session: for each "
    "link\n"
    "                      what was expected and where that is written, what was found, whether it is ok, allowed "
    "(not as\n"
    "                      good as it can be), refused, or unproved (it fits, but is the word of one who was "
    "refused),\n"
    "                      and what to do. Tells of evidence that was refused before the session began, too\n"
    "  --require WALL,…    refuse when one of these walls does not stand; measured-monitor: when nothing measured the\n"
    "                      monitor, in development mode too\n\n"
    "Examples:\n"
    "  bastide report\n"
    "  bastide report --explain\n"
    "  bastide report --require secret-memory,other-user\n"
    "  bastide report --json | jq .walls\n"
    "  bastide report --explain --json | jq -r '.links[] | select(.state == \"refused\") | .why'\n";

#define NONCE_LEN 32

struct report {
    bool explain, measured_monitor;
    uint32_t walls; /* required this once, beside those of the pins */
    uint32_t pinned_walls;
    struct owner_meeting meeting;
    uint8_t nonce[NONCE_LEN];
    uint8_t evidence[EAT_EVIDENCE_MAX];
    size_t evidence_len;
    struct evidence_result result;
    struct owner_explanation explanation;
    bool locked;      /* the owner's own key is behind a passphrase */
    bool unknown_key; /* the hub did not let us in */
    char why[256];    /* what the client says of that */
};

static int take_evidence(const struct cli *cli, const json_t *json, struct report *report)
{
    const char *text = json_string_value(json_object_get(json, "evidence"));
    struct writer writer = writer_over(report->evidence, sizeof report->evidence);
    if (!text || base64url_decode(text, &writer) != OK)
        return cli_fail(cli, CLI_EVIDENCE, "the hub's answer holds no evidence");
    report->evidence_len = writer.len;
    return CLI_OK;
}

/* A report with a nonce of ours, in a session that begins with evidence of its own. */
static int fetch(const struct cli *cli, struct report *report, const char *url)
{
    char text[2 * NONCE_LEN + 1], body[2 * NONCE_LEN + 32];
    struct owner_session session;
    struct client_answer answer;
    json_t *json = NULL;
    if (crypto_random(report->nonce, sizeof report->nonce) != OK ||
        hex_encode(BYTES_OF(report->nonce), text, sizeof text) != OK)
        return cli_fail(cli, CLI_INTERNAL, "no randomness");
    snprintf(body, sizeof body, "{\"nonce\":\"%s\"}", text);
    const struct client_request question = {
        .code = COAP_POST, .path = "report", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    int result = owner_session_of(&report->meeting, url, &session);
    if (result)
        return result;
    cli_progress(cli, "asking for a fresh report …");
    enum status status = client_ask(session.client, &question, &answer);
    cli_progress(cli, NULL);
    session.answered = status == OK;
    report->unknown_key = status == AUTH && report->meeting.code == CLI_OK;
    if (report->unknown_key && client_why(session.client))
        snprintf(report->why, sizeof report->why, "%s", client_why(session.client));
    if (status == OK)
        result = owner_judge(cli, question.path, &answer, &json);
    else if (report->explain && report->unknown_key)
        result = CLI_DENIED; /* is told once all is known */
    else
        result = owner_unanswered(cli, &session, status);
    if (result == CLI_OK)
        result = take_evidence(cli, json, report);
    json_decref(json);
    owner_session_close(&session);
    return result;
}

static int open_meeting(const struct cli *cli, struct report *report, bool by_root)
{
    struct owner owner = {0};
    struct owner_pins pins;
    int result = owner_open(cli, false, &owner);
    enum status status = result == CLI_OK ? owner_pins_load(cli, &pins) : OK;
    if (result == CLI_OK && status != OK)
        result = cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED,
                          "%s/owner/pins.json %s: bastide init makes it", cli->home, cli_file_problem(status));
    if (result == CLI_OK && (by_root || !owner_has_daily_key(cli)))
        result = owner_unlock(cli, &owner);
    report->locked = owner.locked;
    if (result == CLI_OK) {
        report->pinned_walls = pins.required_walls;
        pins.required_walls |= report->walls;
        pins.require_measured_monitor = report->measured_monitor;
        result = owner_meeting_init(cli, &report->meeting, &owner, &pins, by_root);
        report->meeting.explanation = report->explain ? &report->explanation : NULL;
    }
    owner_done(&owner);
    return result;
}

/* What was seen is kept, also of a session whose report was then refused; what was required this once is not. */
static int keep_pins(const struct cli *cli, struct report *report, int result)
{
    struct owner_pins *pins = &report->meeting.pins;
    pins->required_walls = report->pinned_walls;
    if ((result == CLI_OK || report->meeting.changed) && owner_pins_save(cli, pins) != OK)
        return cli_fail(cli, CLI_INTERNAL, "%s/owner/pins.json could not be written", cli->home);
    return result;
}

static int ask(const struct cli *cli, struct report *report, const char *url, bool by_root)
{
    struct owner_meeting *meeting = &report->meeting;
    owner_meeting_done(meeting);
    int result = open_meeting(cli, report, by_root);
    if (result == CLI_OK) {
        result = fetch(cli, report, url);
        if (result == CLI_OK)
            result =
                owner_appraise(cli, &meeting->owner, &meeting->pins, bytes_from(report->evidence, report->evidence_len),
                               BYTES_OF(report->nonce), &report->result, meeting->explanation);
        result = keep_pins(cli, report, result);
    }
    return result;
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
    char text[2 * 64 + 1];
    return hex_encode(bytes_from(bytes, len), text, sizeof text) == OK ? json_string(text) : json_null();
}

static json_t *walls_json(uint32_t standing)
{
    size_t count;
    const struct evidence_wall *walls = evidence_walls(&count);
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
        "pinned_on_first_use", report->meeting.pins.first_use, "walls", walls_json(claims->walls), "secret_bytes",
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
    const struct evidence_wall *walls = evidence_walls(&count);
    cli_line(cli, "verified", "yes: TPM, report key, image, owner, site and nonce, each to its anchor");
    print_hash(cli, "measurement", claims->measurement, EAT_HASH_LEN, "");
    cli_line(cli, "product", "%.*s, security version %u, port %.*s", (int)claims->product.len,
             (const char *)claims->product.data, claims->security_version, (int)claims->port.len,
             (const char *)claims->port.data);
    cli_line(cli, "mode", "%s",
             claims->mode == EAT_INSECURE_DEV ? "insecure-dev: a software TPM, forged by whoever administers the node"
                                              : "production");
    print_hash(cli, "TPM", report->result.ek_name, TPM2_NAME_LEN,
               report->meeting.pins.first_use ? " (pinned because it answered first)" : " (pinned by you)");
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

/* A hub that does not know the daily key may still be this owner's, with a new store: only the owner's own key tells.
 */
static int ask_as_root(const struct cli *cli, struct report *report, const char *url)
{
    struct evidence_step *hub = &report->explanation.hub;
    int result = CLI_DENIED;
    report->unknown_key = false;
    if (!report->locked || cli->passphrase_file)
        result = ask(cli, report, url, true);
    bool let_in = report->explanation.links[EVIDENCE_LINK_EVIDENCE].outcome != EVIDENCE_UNSEEN;
    hub->outcome = EVIDENCE_REFUSED;
    snprintf(hub->why, sizeof hub->why, "It does not know this owner's daily key%s.",
             let_in                ? ", only the owner's own: its store is new, or an old one"
             : report->unknown_key ? ", nor the owner: it is somebody else's"
                                   : "; the owner's own was not tried: --passphrase-file lets it be");
    return report->unknown_key ? CLI_EVIDENCE : result ? result : CLI_DENIED;
}

/* Whoever answers is no hub at all, or one that is not willing. */
static int told_nothing(struct report *report)
{
    struct evidence_step *hub = &report->explanation.hub;
    *hub = (struct evidence_step){.outcome = EVIDENCE_REFUSED};
    snprintf(hub->why, sizeof hub->why, "%s.", report->why);
    return CLI_DENIED;
}

static int explain(const struct cli *cli, struct report *report, const char *url)
{
    char links[256];
    int result = ask(cli, report, url, false);
    if (report->unknown_key && report->explanation.hub.outcome == EVIDENCE_UNSEEN)
        result = told_nothing(report);
    else if (report->unknown_key)
        result = ask_as_root(cli, report, url);
    bool refused = command_refused_links(&report->explanation, links, sizeof links);
    if (result != CLI_OK && !refused)
        return result; /* was said: there is nothing to explain */
    command_explain(cli, &report->explanation, !refused);
    return refused
               ? cli_fail(cli, result == CLI_DENIED ? CLI_DENIED : CLI_EVIDENCE, "the node was refused at: %s", links)
               : CLI_OK;
}

static int run_with(const struct cli *cli, struct report *report)
{
    char url[COMMAND_URL_MAX];
    int result = command_url(cli, false, url);
    if (result == CLI_OK && report->explain)
        return explain(cli, report, url);
    if (result == CLI_OK)
        result = ask(cli, report, url, false);
    if (result == CLI_EVIDENCE)
        cli_warn(cli, "link by link: bastide report --explain");
    if (result)
        return result;
    if (cli->json)
        print_json(report);
    else
        print_table(cli, report);
    return CLI_OK;
}

/* Names of walls, and one requirement that is none. */
static int take_requirements(const struct cli *cli, const char *list, struct report *report)
{
    static const char monitor[] = "measured-monitor";
    char walls[256] = "", unknown[64];
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ","), used = strlen(walls);
        bool is_monitor = len == sizeof monitor - 1 && strncmp(at, monitor, len) == 0;
        report->measured_monitor = report->measured_monitor || is_monitor;
        if (!is_monitor && len + 2 > sizeof walls - used)
            return cli_usage(cli, "report", "--require is too long");
        if (!is_monitor)
            snprintf(walls + used, sizeof walls - used, "%s%.*s", used ? "," : "", (int)len, at);
        at += len + (at[len] == ',');
    }
    return owner_walls_parse(walls, &report->walls, unknown, sizeof unknown) == OK
               ? CLI_OK
               : cli_usage(cli, "report", "--require: \"%s\" is no wall", unknown);
}

static int run(struct cli *cli, int argc, char **argv)
{
    static struct report report;
    const char *require = NULL;
    const struct cli_option options[] = {{"require", &require, NULL, NULL}, {"explain", NULL, &report.explain, NULL}};
    int result = cli_options(cli, "report", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "report", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK && require)
        result = take_requirements(cli, require, &report);
    if (result == CLI_OK)
        result = run_with(cli, &report);
    owner_meeting_done(&report.meeting);
    return result;
}

const struct command command_report = {"report", "fresh evidence, verified, in words", help, run, NULL};
