/* bastide status: processes, the node's own word, the hub's counts. */
#include "command_internal.h"

#include "control.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bastide status\n\n"
    "Says what runs and how it is: processes, walls that do not stand, the hub's counts, freshness and storage. What "
    "the\n"
    "node says of itself is not evidence: bastide report is. Exit code 0 when the node serves, 4 when it does not.\n\n"
    "Examples:\n"
    "  bastide status\n"
    "  bastide status --json | jq .hub.counts\n";

static const char *const process_names[] = {"up", "swtpm", "keyholder", "bastided"};
#define PROCESS_COUNT (sizeof process_names / sizeof process_names[0])
#define CONTROL_MS 5000

struct node_state {
    struct service processes[PROCESS_COUNT];
    struct control_status control;
    bool has_control;
    enum service_health health;
    struct service_settings settings;
};

static void look(const struct cli *cli, struct node_state *state)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < PROCESS_COUNT; i++) {
        state->processes[i] = (struct service){.name = process_names[i], .pidfd = -1};
        (void)service_adopt(cli, &state->processes[i]);
    }
    state->has_control = control_status(cli_path(cli, "run/monitor.sock", path), CONTROL_MS, &state->control) == OK;
    state->health = service_health(state->settings.http, CONTROL_MS);
}

static json_t *process_json(pid_t pid)
{
    return json_pack("{s:I,s:I}", "pid", (json_int_t)pid, "age_s", (json_int_t)service_age_s(pid));
}

static json_t *processes_json(const struct node_state *state)
{
    json_t *all = json_object();
    for (size_t i = 0; i < PROCESS_COUNT; i++)
        if (state->processes[i].pidfd >= 0)
            json_object_set_new(all, state->processes[i].name, process_json(state->processes[i].pid));
    if (state->has_control && state->control.monitor > 0)
        json_object_set_new(all, "monitor", process_json(state->control.monitor));
    if (state->has_control && state->control.status.enclave_pid > 0)
        json_object_set_new(all, "hub", process_json((pid_t)state->control.status.enclave_pid));
    return all;
}

/* One line each: walls, and what the monitor says of its TPM. */
static json_t *missing_json(const struct node_state *state, json_t *tpm)
{
    json_t *missing = json_array();
    const char *at = state->control.text;
    while (*at) {
        size_t len = strcspn(at, "\n");
        if (strncmp(at, "tpm: ", 5) == 0)
            json_object_set_new(tpm, "problem", json_stringn(at + 5, len - 5));
        else if (len > 0)
            json_array_append_new(missing, json_stringn(at, len));
        at += len + (at[len] == '\n');
    }
    return missing;
}

static json_t *monitor_json(const struct node_state *state)
{
    const struct monitor_status *status = &state->control.status;
    char measurement[2 * MONITOR_HASH_LEN + 1] = "";
    json_t *tpm = json_object();
    if (!state->has_control || hex_encode(BYTES_OF(status->measurement), measurement, sizeof measurement) != OK) {
        json_decref(tpm);
        return json_null();
    }
    json_t *missing = missing_json(state, tpm);
    return json_pack("{s:s,s:b,s:s,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "mode",
                     status->insecure_dev ? "insecure-dev" : "production", "measured", status->monitor_measured != 0,
                     "measurement", measurement, "launches", (json_int_t)status->launches, "secret_bytes",
                     (json_int_t)status->secret_bytes, "unprotected_bytes", (json_int_t)status->unprotected_bytes,
                     "nv_counter", (json_int_t)status->nv_counter, "sequence", (json_int_t)status->sequence, "missing",
                     missing, "tpm", tpm);
}

static void print_processes(const struct cli *cli, const json_t *processes)
{
    static const char *const order[] = {"up", "swtpm", "keyholder", "monitor", "hub", "bastided"};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const json_t *process = json_object_get(processes, order[i]);
        if (process)
            cli_line(cli, order[i], "pid %lld, for %lld s",
                     (long long)json_integer_value(json_object_get(process, "pid")),
                     (long long)json_integer_value(json_object_get(process, "age_s")));
    }
}

static void print_monitor(const struct cli *cli, const json_t *monitor)
{
    if (!json_is_object(monitor))
        return;
    const json_t *missing = json_object_get(monitor, "missing");
    const char *problem = json_string_value(json_object_get(json_object_get(monitor, "tpm"), "problem"));
    cli_line(cli, "mode", "%s, monitor %s", json_string_value(json_object_get(monitor, "mode")),
             json_is_true(json_object_get(monitor, "measured")) ? "measured" : "unmeasured");
    cli_line(cli, "memory", "%lld bytes secret, %lld unprotected",
             (long long)json_integer_value(json_object_get(monitor, "secret_bytes")),
             (long long)json_integer_value(json_object_get(monitor, "unprotected_bytes")));
    size_t index;
    const json_t *wall;
    json_array_foreach(missing, index, wall) cli_line(cli, index ? "" : "missing walls", "%s", json_string_value(wall));
    if (problem)
        cli_line(cli, "TPM", "%s", problem);
}

static long long number(const json_t *from, const char *name)
{
    return (long long)json_integer_value(json_object_get(from, name));
}

static void print_hub(const struct cli *cli, const json_t *hub)
{
    const json_t *storage = json_object_get(hub, "storage"), *counts = json_object_get(hub, "counts");
    const json_t *freshness = json_object_get(hub, "freshness");
    const char *state = json_string_value(json_object_get(storage, "state"));
    const char *reason = json_string_value(json_object_get(storage, "reason"));
    cli_line(cli, "site", "%s", json_string_value(json_object_get(hub, "site")));
    cli_line(cli, "clients", "%lld, rules %lld, archived rows %lld", number(hub, "clients"), number(hub, "rules"),
             number(hub, "archived"));
    cli_line(cli, "counts", "%lld events, %lld duplicates, %lld evaluations, %lld actions, %lld refused, %lld failures",
             number(counts, "events"), number(counts, "duplicates"), number(counts, "evaluations"),
             number(counts, "actions"), number(counts, "refused"), number(counts, "failures"));
    cli_line(cli, "freshness", "counter %lld, resets %lld, sequence %lld", number(freshness, "nv_counter"),
             number(freshness, "reset_count"), number(freshness, "sequence"));
    cli_line(cli, "storage", "%s%s%s", state ? state : "?", reason && *reason ? ": " : "", reason ? reason : "");
}

/* The hub's own status; NULL after a failure, which was said. */
static json_t *ask_hub(const struct cli *cli, int *result)
{
    struct owner_session session;
    struct client_answer answer;
    json_t *hub = NULL;
    const struct client_request question = {.code = COAP_GET, .path = "status"};
    *result = command_open(cli, &session);
    if (*result)
        return NULL;
    *result = owner_ask(cli, &session, &question, &answer, &hub);
    owner_session_close(&session);
    return hub;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const char *const words[] = {"unreachable", "not serving yet", "serving"};
    static struct node_state state;
    int result = cli_options(cli, "status", NULL, 0, &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "status", "\"%s\" is one word too many", argv[1]);
    if (result)
        return result;
    enum status status = service_settings_load(cli, &state.settings);
    if (status != OK)
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "%s/run/node.json %s: bastide init",
                        cli->home, cli_file_problem(status));
    look(cli, &state);
    json_t *hub = state.health == SERVICE_UP ? ask_hub(cli, &result) : NULL;
    json_t *all = json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o}", "node", words[state.health], "home", cli->home, "coap",
                            state.settings.coap, "http", state.settings.http, "processes", processes_json(&state),
                            "monitor", monitor_json(&state), "hub", hub ? hub : json_null());
    cli_line(cli, "node", "%s: CoAP %s, HTTP %s", words[state.health], state.settings.coap, state.settings.http);
    if (!cli->json) {
        print_processes(cli, json_object_get(all, "processes"));
        print_monitor(cli, json_object_get(all, "monitor"));
        if (hub)
            print_hub(cli, hub);
        json_decref(all);
    } else {
        cli_print_json(all);
    }
    if (result == CLI_OK && state.health != SERVICE_UP)
        result = cli_fail(cli, CLI_UNREACHABLE, "%s",
                          state.health == SERVICE_DOWN
                              ? "the node is up, its enclave is not or is loading its store: see run/keyholder.log"
                              : "the node is down: bastide up");
    return result;
}

const struct command command_status = {"status", "how the node and its hub are", help, run, NULL};
