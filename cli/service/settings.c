/* run/node.json: what the node runs with, for the commands that come later. */
#include "service.h"

#include <stdlib.h>
#include <string.h>

#define SETTINGS_MAX 16384

void service_settings_init(const struct cli *cli, bool insecure_dev, struct service_settings *settings)
{
    *settings = (struct service_settings){
        .coap = "127.0.0.1:5683",
        .http = "127.0.0.1:8080",
        .insecure_dev = insecure_dev,
    };
    snprintf(settings->image, sizeof settings->image, "%.*s/hub.image", PATH_MAX - 16, cli->program);
    if (!insecure_dev)
        snprintf(settings->tcti, sizeof settings->tcti, "device:/dev/tpmrm0");
}

static bool take_text(const json_t *from, const char *name, char *room, size_t cap)
{
    const char *text = json_string_value(json_object_get(from, name));
    return text && (size_t)snprintf(room, cap, "%s", text) < cap;
}

static bool take_settings(const json_t *from, struct service_settings *settings)
{
    settings->insecure_dev = json_is_true(json_object_get(from, "insecure_dev"));
    settings->no_secret_memory = json_is_true(json_object_get(from, "no_secret_memory"));
    settings->no_spare = json_is_true(json_object_get(from, "no_spare"));
    settings->remote = json_is_true(json_object_get(from, "remote"));
    settings->pool_mib = (uint64_t)json_integer_value(json_object_get(from, "pool_mib"));
    settings->body_max = (uint64_t)json_integer_value(json_object_get(from, "body_max"));
    return take_text(from, "image", settings->image, sizeof settings->image) &&
           take_text(from, "tcti", settings->tcti, sizeof settings->tcti) &&
           take_text(from, "coap", settings->coap, sizeof settings->coap) &&
           take_text(from, "http", settings->http, sizeof settings->http) &&
           take_text(from, "require", settings->require, sizeof settings->require) &&
           take_text(from, "allow_missing", settings->allow_missing, sizeof settings->allow_missing);
}

enum status service_settings_load(const struct cli *cli, struct service_settings *settings)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    struct service_settings made = {0};
    TRY(cli_read_file(cli_path(cli, "run/node.json", path), SETTINGS_MAX, &data, &len));
    json_t *tree = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
    free(data);
    bool good = take_settings(tree, &made);
    json_decref(tree);
    if (good)
        *settings = made;
    return good ? OK : MALFORMED;
}

enum status service_settings_save(const struct cli *cli, const struct service_settings *settings)
{
    char path[PATH_MAX];
    json_t *tree =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:I,s:I,s:b,s:b,s:b}", "image", settings->image, "tcti", settings->tcti,
                  "coap", settings->coap, "http", settings->http, "require", settings->require, "allow_missing",
                  settings->allow_missing, "remote", settings->remote, "pool_mib", (json_int_t)settings->pool_mib,
                  "body_max", (json_int_t)settings->body_max, "insecure_dev", settings->insecure_dev,
                  "no_secret_memory", settings->no_secret_memory, "no_spare", settings->no_spare);
    char *text = tree ? json_dumps(tree, JSON_INDENT(2)) : NULL;
    json_decref(tree);
    if (!text)
        return MALFORMED; /* a name that is not UTF-8 */
    enum status status = cli_write_file(cli_path(cli, "run/node.json", path), bytes_from_text(text));
    free(text);
    return status;
}

void service_url(const char *scheme, const char *address, char *room, size_t cap)
{
    const char *port = strrchr(address, ':');
    if (port && strncmp(address, "0.0.0.0:", 8) == 0)
        snprintf(room, cap, "%s://127.0.0.1%s", scheme, port);
    else if (port && strncmp(address, "[::]:", 5) == 0)
        snprintf(room, cap, "%s://[::1]%s", scheme, port);
    else
        snprintf(room, cap, "%s://%s", scheme, address);
}
