/* bastide client enrol: this machine becomes the client that a code invites. */
#include "command_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int take_code(const struct cli *cli, const char *operand, struct enrol_code *code)
{
    char *text = NULL;
    size_t len = 0;
    if (*operand != '@' && strcmp(operand, "-") != 0)
        return cli_usage(cli, "client",
                         "give the code as @FILE, or - for standard input: a command line is no place for it");
    int result = cli_take_text(cli, "CODE", operand, ENROL_TEXT_MAX, &text, &len);
    if (result)
        return result;
    enum status status = strlen(text) == len ? enrol_code_decode(text, code) : MALFORMED;
    wipe(text, len);
    free(text);
    if (status == OK && !cli_name_is_plain(code->name))
        status = MALFORMED;
    if (status == UNSUPPORTED)
        return cli_fail(cli, CLI_DENIED, "the code is of a newer version than this program understands");
    return status == OK ? CLI_OK : cli_fail(cli, CLI_DENIED, "this is no code, or not the whole of it");
}

static bool is_pending(const struct owner_device *device, const struct enrol_code *code)
{
    return device->device.code.len == sizeof code->secret &&
           ct_equal(device->device.code.data, code->secret, sizeof code->secret);
}

/* What a first try left goes on with its key: the code counts for that one alone. */
static int take_up(const struct cli *cli, const struct enrol_code *code, struct owner_device **device)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    owner_client_file(cli, code->name, path);
    enum status status = cli_read_file(path, DEVICE_STATE_MAX, &data, &len);
    if (status == OK) {
        if (owner_device_decode(cli, code->name, bytes_from(data, len), device) != OK)
            *device = NULL;
        wipe(data, len);
        free(data);
        if (*device && is_pending(*device, code))
            return CLI_OK;
        owner_device_free(*device);
        *device = NULL;
        return cli_fail(cli, CLI_DENIED, "there is a client %s on this machine already: remove %s to enrol it anew",
                        code->name, path);
    }
    if (status == NOT_FOUND)
        status = owner_device_begin(cli, code, device);
    return status == OK
               ? CLI_OK
               : cli_fail(cli, CLI_DENIED, "%s %s", path, status == IO ? strerror(errno) : status_word(status));
}

static int present(const struct cli *cli, const struct enrol_code *code, const char *url)
{
    struct owner_device *device = NULL;
    struct owner_session session;
    char why[256] = "", path[PATH_MAX];
    int result = take_up(cli, code, &device);
    if (result == CLI_OK)
        result = owner_session_of_device(cli, device, url, &session);
    if (result)
        return result;
    cli_progress(cli, "meeting the hub at %s …", url);
    enum status status = device_enrol(&device->device, session.client, why, sizeof why);
    bool met = device->device.evidence.freshness.sequence > 0 || device->device.certificate_len > 0;
    cli_progress(cli, NULL);
    memcpy(path, device->path, sizeof path);
    owner_session_close(&session);
    if (status == OK) {
        if (cli->json)
            cli_print_json(json_pack("{s:s,s:s}", "name", code->name, "file", path));
        else
            cli_line(cli, "client", "%s enrolled, its key and certificate are in %s", code->name, path);
        return CLI_OK;
    }
    if (status == DENIED && !met)
        return cli_fail(cli, CLI_EVIDENCE, "the hub was refused, and nothing was sent to it: %s", why);
    return cli_fail(cli, status == IO || status == BUSY ? CLI_UNREACHABLE : CLI_DENIED, "%s", why);
}

int command_enrol(const struct cli *cli, const char *operand, const char *url)
{
    char hub[COMMAND_URL_MAX];
    struct command_way way = {.url = url};
    struct enrol_code code;
    int result = command_check_way(cli, "client", &way);
    if (result)
        return result;
    result = take_code(cli, operand, &code);
    if (result == CLI_OK)
        result = command_url(cli, &way, hub);
    if (result == CLI_OK && cli_make_directories(cli) != OK)
        result = cli_fail(cli, CLI_DENIED, "%s cannot be made: %s", cli->home, strerror(errno));
    if (result == CLI_OK)
        result = present(cli, &code, hub);
    wipe(&code, sizeof code);
    return result;
}
