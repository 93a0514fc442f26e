/* Up and down, as a person asks for them: in the background, waited for, with a sentence when it does not work. */
#include "service.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define UP_MS 60000
#define DOWN_MS 70000
#define LOOK_MS 25

struct watched {
    struct service supervisor;
    long logs[3]; /* lengths before it started: older lines are not about this start */
};

static const char *const log_names[3] = {"keyholder", "bastided", "up"};

static int explain(const struct cli *cli, const struct service_settings *settings, const struct watched *watched,
                   int code)
{
    char reason[1024] = "";
    /* bastided's own refusals are told by bastided; everything else begins at the key holder. */
    bool daemon = code == CLI_UNREACHABLE || code == CLI_ARCHIVE || code == CLI_DISK;
    bool store = code == CLI_ROLLED_BACK || code == CLI_TAMPERED;
    bool found = store && service_log_refusal(cli, watched->logs[0]) == code &&
                 service_log_audit(cli, "bastided", watched->logs[1], reason, sizeof reason);
    if (!found)
        found = code == CLI_WALL && service_log_wall(cli, watched->logs[0], reason, sizeof reason);
    if (daemon && !found)
        found = service_log_reason(cli, "bastided", watched->logs[1], reason, sizeof reason);
    for (size_t i = 0; i < 3 && !found; i++)
        found = service_log_reason(cli, log_names[i], watched->logs[i], reason, sizeof reason);
    return cli_fail(cli, (enum cli_exit)code, "the node (CoAP %s, HTTP %s) did not start: %s. More in %s/run/*.log",
                    settings->coap, settings->http, found ? reason : "nothing was said", cli->home);
}

static int wait_until_up(const struct cli *cli, const struct service_settings *settings, struct watched *watched)
{
    uint64_t begun = cli_now_ms();
    for (;;) {
        uint64_t waited = cli_now_ms() - begun;
        int code = 0;
        if (service_health(settings->http, 1000) == SERVICE_UP) {
            cli_progress(cli, NULL);
            return CLI_OK;
        }
        if (service_ended(cli, &watched->supervisor, &code))
            return explain(cli, settings, watched, code > 0 && code <= CLI_DISK ? code : CLI_INTERNAL);
        int refusal = service_log_refusal(cli, watched->logs[0]);
        if (refusal)
            return explain(cli, settings, watched, refusal);
        if (waited > UP_MS)
            return explain(cli, settings, watched, CLI_UNREACHABLE);
        if (waited > 1000)
            cli_progress(cli, "starting the node … %llu s", (unsigned long long)waited / 1000);
        (void)poll(NULL, 0, LOOK_MS);
    }
}

/* What is asked for and what runs must agree, or a person believes in settings that are not there. */
static int check_running(const struct cli *cli, const struct service_settings *wanted)
{
    struct service_settings running;
    if (service_settings_load(cli, &running) != OK)
        return cli_fail(cli, CLI_DENIED, "a node runs, but %s/run/node.json cannot be read: bastide down, then up",
                        cli->home);
    bool same = strcmp(running.image, wanted->image) == 0 && strcmp(running.tcti, wanted->tcti) == 0 &&
                strcmp(running.coap, wanted->coap) == 0 && strcmp(running.http, wanted->http) == 0 &&
                strcmp(running.require, wanted->require) == 0 &&
                strcmp(running.allow_missing, wanted->allow_missing) == 0 && running.pool_mib == wanted->pool_mib &&
                running.body_max == wanted->body_max && running.insecure_dev == wanted->insecure_dev &&
                running.no_secret_memory == wanted->no_secret_memory && running.no_spare == wanted->no_spare;
    return same ? CLI_OK
                : cli_fail(cli, CLI_DENIED,
                           "the node is up with other settings (CoAP %s, HTTP %s, image %s): bastide "
                           "down first",
                           running.coap, running.http, running.image);
}

/* A start that fails leaves nothing running and the settings of the last one that did not. */
static int start_and_wait(const struct cli *cli, const struct service_settings *settings, struct watched *watched)
{
    char program[PATH_MAX], path[PATH_MAX];
    struct service_settings before;
    int ignored;
    bool had = service_settings_load(cli, &before) == OK;
    if (service_settings_save(cli, settings) != OK)
        return cli_fail(cli, CLI_INTERNAL, "%s/run/node.json cannot be written", cli->home);
    snprintf(program, sizeof program, "%.*s/bastide", PATH_MAX - 16, cli->program);
    const char *const argv[] = {program, "--home", cli->home, "up", "--foreground", NULL};
    int result = service_start(cli, &watched->supervisor, argv) == OK
                     ? wait_until_up(cli, settings, watched)
                     : cli_fail(cli, CLI_INTERNAL, "%s cannot be started", program);
    if (result == CLI_OK)
        return CLI_OK;
    (void)service_down(cli, &ignored);
    if (!had)
        unlink(cli_path(cli, "run/node.json", path));
    else if (service_settings_save(cli, &before) != OK)
        cli_warn(cli, "%s/run/node.json could not be put back", cli->home);
    return result;
}

int service_up(const struct cli *cli, const struct service_settings *settings, bool *started)
{
    struct watched watched = {.supervisor = {.name = "up", .claims = true, .pidfd = -1}};
    for (size_t i = 0; i < 3; i++)
        watched.logs[i] = service_log_len(cli, log_names[i]);
    *started = !service_adopt(cli, &watched.supervisor);
    if (!*started) {
        int result = check_running(cli, settings);
        return result ? result : wait_until_up(cli, settings, &watched);
    }
    /* An answer on this address now would be somebody else's. */
    if (service_health(settings->http, 1000) != SERVICE_UNREACHABLE) {
        struct service daemon = {.name = "bastided", .pidfd = -1};
        if (!service_adopt(cli, &daemon))
            return cli_fail(cli, CLI_UNREACHABLE, "%s is served by another node already: choose another --http",
                            settings->http);
    }
    return start_and_wait(cli, settings, &watched);
}

int service_down(const struct cli *cli, int *stopped)
{
    struct service supervisor = {.name = "up", .pidfd = -1};
    *stopped = 0;
    if (service_adopt(cli, &supervisor)) {
        cli_progress(cli, "stopping the node …");
        service_stop(cli, &supervisor, DOWN_MS);
        (*stopped)++;
    }
    /* What a supervisor that died left behind. */
    *stopped += service_stop_all(cli);
    cli_progress(cli, NULL);
    return CLI_OK;
}
