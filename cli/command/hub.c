/* What the subcommands share. */
#include "command_internal.h"

#include "control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEALTH_MS 5000

/* Nobody supervises a node of this home and nobody listens where it would: nothing will come of waiting for it. */
static bool node_is_down(const struct cli *cli, const struct service_settings *settings)
{
    struct service supervisor = {.name = "up", .pidfd = -1};
    if (service_adopt(cli, &supervisor)) {
        close(supervisor.pidfd);
        return false;
    }
    return service_health(settings->http, HEALTH_MS) == SERVICE_UNREACHABLE;
}

int command_url(const struct cli *cli, const struct command_way *way, char url[COMMAND_URL_MAX])
{
    struct service_settings settings;
    bool coap = way && way->coap;
    if (way && way->url) {
        snprintf(url, COMMAND_URL_MAX, "%s", way->url);
        return CLI_OK;
    }
    enum status status = service_settings_load(cli, &settings);
    if (status == NOT_FOUND)
        return cli_fail(cli, CLI_NOT_FOUND, "%s holds no node yet: bastide init makes one", cli->home);
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "%s/run/node.json %s", cli->home, cli_file_problem(status));
    if (node_is_down(cli, &settings))
        return cli_fail(cli, CLI_UNREACHABLE, "the node is not up: nobody listens at %s; bastide up starts it",
                        settings.http);
    service_url(coap ? "coap" : "http", coap ? settings.coap : settings.http, url, COMMAND_URL_MAX);
    return CLI_OK;
}

int command_check_way(const struct cli *cli, const char *command, struct command_way *way)
{
    if (way->coap + way->http + (way->url != NULL) > 1)
        return cli_usage(cli, command, "choose one of --coap, --http and --url");
    if (!way->url)
        return CLI_OK;
    way->coap = strncmp(way->url, "coap://", 7) == 0;
    if ((!way->coap && strncmp(way->url, "http://", 7) != 0) || strlen(way->url) >= COMMAND_URL_MAX)
        return cli_usage(cli, command, "--url \"%.80s\": give coap://HOST[:PORT] or http://HOST[:PORT]", way->url);
    return CLI_OK;
}

int command_open(const struct cli *cli, struct owner_session *session)
{
    char url[COMMAND_URL_MAX];
    int result = command_url(cli, NULL, url);
    return result ? result : owner_session_open(cli, NULL, url, session);
}

int command_ask(const struct cli *cli, const struct client_request *request,
                int (*show)(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user),
                void *user)
{
    struct owner_session session;
    struct client_answer answer;
    json_t *json = NULL;
    int result = command_open(cli, &session);
    if (result)
        return result;
    result = owner_ask(cli, &session, request, &answer, &json);
    if (result == CLI_OK)
        result = show(cli, &answer, json, user);
    json_decref(json);
    owner_session_close(&session);
    return result;
}

void command_print_answer(const struct client_answer *answer)
{
    fwrite(answer->payload.data, 1, answer->payload.len, stdout);
    putchar('\n');
    fflush(stdout);
}

int command_check_name(const struct cli *cli, const char *command, const char *what, const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";
    size_t len = strlen(name);
    return len >= 1 && len <= 64 && strspn(name, letters) == len
               ? CLI_OK
               : cli_usage(cli, command, "%s \"%.80s\": give 1 to 64 letters, digits and . _ - /", what, name);
}

void command_put_query(struct writer *query, const char *name, const char *value)
{
    if (!value)
        return;
    put_text(query, query->len ? "&" : "");
    put_text(query, name);
    put_text(query, "=");
    put_text(query, value);
}

static int take_text(const struct cli *cli, const char *command, const char *option, const char *given, char *room,
                     size_t cap)
{
    if (given && (size_t)snprintf(room, cap, "%s", given) >= cap)
        return cli_usage(cli, command, "--%s is too long", option);
    return CLI_OK;
}

static int take_image(const struct cli *cli, const char *command, const char *given, char *room)
{
    if (!given)
        return CLI_OK;
    char *whole = realpath(given, NULL);
    if (!whole)
        return cli_fail(cli, CLI_IMAGE, "image refused: --image %s is not there", given);
    int result = take_text(cli, command, "image", whole, room, PATH_MAX);
    free(whole);
    return result;
}

static int check_tcti(const struct cli *cli, const char *command, const char *tcti, bool insecure_dev)
{
    bool software = strncmp(tcti, "swtpm:", 6) == 0;
    if (!software && strncmp(tcti, "device:", 7) != 0)
        return cli_usage(cli, command, "--tcti %s: give device:/dev/tpmrm0, swtpm:path=SOCKET or swtpm:host=…,port=…",
                         tcti);
    if (software != insecure_dev)
        return cli_fail(cli, CLI_DENIED, "%s",
                        software ? "a software TPM is for a site made with --insecure-dev only"
                                 : "a site made with --insecure-dev uses a software TPM only: its evidence must never "
                                   "look like a production site's");
    return CLI_OK;
}

int command_node_settings(const struct cli *cli, const char *command, const struct command_node *node,
                          bool insecure_dev, struct service_settings *settings)
{
    char unknown[64];
    uint32_t walls;
    int result = take_image(cli, command, node->image, settings->image);
    if (result == CLI_OK)
        result = take_text(cli, command, "tcti", node->tcti, settings->tcti, sizeof settings->tcti);
    if (result == CLI_OK)
        result = take_text(cli, command, "coap", node->coap, settings->coap, sizeof settings->coap);
    if (result == CLI_OK)
        result = take_text(cli, command, "http", node->http, settings->http, sizeof settings->http);
    if (result == CLI_OK)
        result = take_text(cli, command, "require", node->require, settings->require, sizeof settings->require);
    if (result == CLI_OK)
        result = take_text(cli, command, "allow-missing", node->allow_missing, settings->allow_missing,
                           sizeof settings->allow_missing);
    if (result == CLI_OK && node->tcti)
        result = check_tcti(cli, command, node->tcti, insecure_dev);
    if (result == CLI_OK)
        result = cli_check_address(cli, command, "coap", settings->coap);
    if (result == CLI_OK)
        result = cli_check_address(cli, command, "http", settings->http);
    if (result == CLI_OK && owner_walls_parse(settings->require, &walls, unknown, sizeof unknown) != OK)
        result = cli_usage(cli, command, "--require: \"%s\" is no wall", unknown);
    if (result == CLI_OK && owner_walls_parse(settings->allow_missing, &walls, unknown, sizeof unknown) != OK)
        result = cli_usage(cli, command, "--allow-missing: \"%s\" is no wall", unknown);
    if (result == CLI_OK && node->no_secret_memory && !insecure_dev)
        result = cli_usage(cli, command, "--no-secret-memory is for sites made with --insecure-dev");
    settings->no_secret_memory = settings->no_secret_memory || node->no_secret_memory;
    if (result == CLI_OK && node->spare && strcmp(node->spare, "on") != 0 && strcmp(node->spare, "off") != 0)
        result = cli_usage(cli, command, "--spare: \"%s\" is neither on nor off", node->spare);
    if (result == CLI_OK && node->spare)
        settings->no_spare = strcmp(node->spare, "off") == 0;
    if (result == CLI_OK)
        result = cli_number(cli, command, "pool-mib", node->pool_mib, 16, 4096, &settings->pool_mib);
    return result ? result : cli_number(cli, command, "body-max", node->body_max, 1024, 131072, &settings->body_max);
}

void command_tell_memory(const struct cli *cli)
{
    char path[PATH_MAX];
    struct control_status control;
    if (cli->json || control_status(cli_path(cli, "run/monitor.sock", path), 5000, &control) != OK)
        return;
    if (control.status.unprotected_bytes > 0)
        cli_line(cli, "memory", "%llu bytes of the enclave are not in secret memory: bastide report says what to do",
                 (unsigned long long)control.status.unprotected_bytes);
}
