/* bastide client: devices and people that may speak to the hub. */
#include "command_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "Usage: bastide client add NAME --code [--valid TIME]\n"
    "       bastide client enrol CODE [--url URL]\n"
    "       bastide client add NAME [--algorithm ALGORITHM]\n"
    "       bastide client list\n"
    "       bastide client remove NAME\n\n"
    "With --code a device enrols itself: the one-time code, and on a terminal its QR code, tell it whom to trust (the\n"
    "owner, the TPM, the image's signer), so it refuses every other hub; it makes its own key, verifies the hub's\n"
    "evidence, and only then shows the code and gets its certificate, which it renews by itself. enrol does this on "
    "the\n"
    "machine it runs on, which needs no more than the code; send and watch then speak --as NAME there. CODE is @FILE, "
    "or\n"
    "- for standard input.\n\n"
    "Without --code the hub makes a secret and hands it over inside the owner's session; it is kept in\n"
    "owner/clients/NAME (mode 0600), which is the file to carry to a device that cannot enrol.\n\n"
    "Sources of a client's events begin with its name.\n\n"
    "  --code              print a one-time code instead of making a secret\n"
    "  --valid TIME        how long the code may be used: 90s, 15m, 2h (1h if left out), 7d at most\n"
    "  --url URL           the hub: coap://HOST[:PORT] or http://HOST[:PORT]; this home's node if left out\n"
    "  --algorithm A       AES-CCM-16-64-128 (if left out), AES-CCM-16-128-128, A128GCM or A256GCM\n\n"
    "Examples:\n"
    "  bastide client add thermometer --code\n"
    "  bastide client add phone --code --valid 10m | ssh phone bastide client enrol - --url coap://192.0.2.7\n"
    "  bastide client add sensor\n"
    "  bastide client add old --algorithm A128GCM\n"
    "  bastide client list --json\n"
    "  bastide client remove sensor\n";

static bool has_key(const struct cli *cli, const char *name)
{
    char path[PATH_MAX];
    struct stat facts;
    if (!cli_name_is_plain(name))
        return false;
    owner_client_file(cli, name, path);
    return stat(path, &facts) == 0;
}

static int keep_key(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user)
{
    const char *name = user, *text = json_string_value(json_object_get(json, "input"));
    uint8_t room[OSCORE_INPUT_MAX];
    char path[PATH_MAX];
    struct writer writer = writer_over(room, sizeof room);
    (void)answer;
    owner_client_file(cli, name, path);
    enum status status = text ? base64url_decode(text, &writer) : MALFORMED;
    if (status == OK)
        status = cli_write_file(path, writer_bytes(&writer));
    wipe(room, sizeof room);
    if (status != OK)
        return cli_fail(cli, CLI_INTERNAL,
                        "the client was added, but its secret could not be kept in %s (%s): bastide client remove %s, "
                        "then add it again",
                        path, status == IO ? strerror(errno) : status_word(status), name);
    if (cli->json)
        cli_print_json(json_pack("{s:s,s:s}", "name", name, "file", path));
    else
        cli_line(cli, "client", "%s added, its secret is in %s", name, path);
    return CLI_OK;
}

static int add(const struct cli *cli, const char *name, const char *algorithm)
{
    json_t *body = json_pack("{s:s,s:s*}", "name", name, "algorithm", algorithm);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (!text)
        return cli_usage(cli, "client", "--algorithm is not text");
    const struct client_request question = {
        .code = COAP_POST, .path = "clients", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(text)};
    int result = command_ask(cli, &question, keep_key, (void *)(uintptr_t)name);
    free(text);
    return result;
}

/* How a client shows that it is one. */
static void describe(const json_t *client, char *text, size_t cap)
{
    const char *algorithm = json_string_value(json_object_get(client, "algorithm"));
    const char *certified = json_string_value(json_object_get(client, "certificate_expires"));
    const char *invited = json_string_value(json_object_get(client, "code_expires"));
    if (algorithm)
        snprintf(text, cap, "a secret for %s", algorithm);
    else if (certified)
        snprintf(text, cap, "certificate until %s", certified);
    else
        snprintf(text, cap, "invited until %s", invited ? invited : "?");
}

static int show_list(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user)
{
    size_t index;
    char text[96];
    json_t *client, *clients = json_object_get(json, "clients");
    (void)answer, (void)user;
    if (!cli->json && json_array_size(clients) == 0)
        puts("There is no client yet: bastide client add NAME");
    json_array_foreach(clients, index, client)
    {
        const char *name = json_string_value(json_object_get(client, "name"));
        const char *created = json_string_value(json_object_get(client, "created"));
        bool here = name && has_key(cli, name);
        json_object_set_new(client, "key_here", json_boolean(here));
        describe(client, text, sizeof text);
        cli_line(cli, name ? name : "?", "since %s, %s%s", created ? created : "?", text,
                 here ? ", its key is on this machine" : "");
    }
    if (cli->json)
        cli_print_json(json_incref(json));
    return CLI_OK;
}

static int list(const struct cli *cli)
{
    const struct client_request question = {.code = COAP_GET, .path = "clients"};
    return command_ask(cli, &question, show_list, NULL);
}

static int show_removed(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user)
{
    const char *name = user;
    (void)json;
    if (cli->json)
        command_print_answer(answer);
    else
        cli_line(cli, "client", "%s removed", name);
    return CLI_OK;
}

static int remove_client(const struct cli *cli, const char *name)
{
    char path[128], file[PATH_MAX];
    if (!cli_name_is_plain(name))
        return cli_usage(cli, "client", "\"%.80s\" is no client's name: 1 to 64 letters, digits and . _ -", name);
    snprintf(path, sizeof path, "clients/%s", name);
    const struct client_request question = {.code = COAP_DELETE, .path = path};
    int result = command_ask(cli, &question, show_removed, (void *)(uintptr_t)name);
    /* A secret that the hub does not know (any more) is good for nothing. */
    if (result != CLI_OK && result != CLI_NOT_FOUND)
        return result;
    owner_client_file(cli, name, file);
    if (unlink(file) != 0 && errno != ENOENT)
        return cli_fail(cli, CLI_INTERNAL, "%s could not be removed: %s", file, strerror(errno));
    return result;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *algorithm = NULL, *valid = NULL, *url = NULL;
    bool code = false;
    const struct cli_option options[] = {{"algorithm", &algorithm, NULL, NULL},
                                         {"valid", &valid, NULL, NULL},
                                         {"url", &url, NULL, NULL},
                                         {"code", NULL, &code, NULL}};
    int result = cli_options(cli, "client", options, sizeof options / sizeof options[0], &argc, argv);
    if (result)
        return result;
    const char *verb = argc > 1 ? argv[1] : "";
    bool adds = strcmp(verb, "add") == 0 && argc == 3, enrols = strcmp(verb, "enrol") == 0 && argc == 3;
    if ((code || algorithm) && !adds)
        return cli_usage(cli, "client", "--code and --algorithm belong to client add NAME");
    if (code && algorithm)
        return cli_usage(cli, "client", "--algorithm is for a secret, and with --code there is none");
    if (valid && !code)
        return cli_usage(cli, "client", "--valid belongs to --code");
    if (url && !enrols)
        return cli_usage(cli, "client", "--url belongs to client enrol CODE");
    if (enrols)
        return command_enrol(cli, argv[2], url);
    if (adds && !cli_name_is_plain(argv[2]))
        return cli_usage(cli, "client", "\"%.80s\" is no client's name: 1 to 64 letters, digits and . _ -", argv[2]);
    if (adds)
        return code ? command_invite(cli, argv[2], valid) : add(cli, argv[2], algorithm);
    if (strcmp(verb, "list") == 0 && argc == 2)
        return list(cli);
    if (strcmp(verb, "remove") == 0 && argc == 3)
        return remove_client(cli, argv[2]);
    return cli_usage(cli, "client", "give add NAME, enrol CODE, list, or remove NAME");
}

const struct command command_client = {"client", "invite, register, list and remove clients: add, enrol, list, remove",
                                       help, run, NULL};
