/* Requests to the hub as the owner or as a client, and its refusals in words. */
#include "owner.h"

#include "client_http.h"
#include "x509.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_MS 60000
#define LOCK_LOOK_MS 50

void owner_client_file(const struct cli *cli, const char *name, char *path)
{
    char file[128];
    snprintf(file, sizeof file, "owner/clients/%s", name);
    cli_path(cli, file, path);
}

/* Two programs with one secret would each begin the session anew under the other's feet. */
static int take_turn(const struct cli *cli, const char *name, int *lock)
{
    char file[128], path[PATH_MAX];
    snprintf(file, sizeof file, "owner/.%s.lock", name);
    int fd = open(cli_path(cli, file, path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return cli_fail(cli, CLI_DENIED, "%s: %s", path, strerror(errno));
    for (uint64_t begun = cli_now_ms(); flock(fd, LOCK_EX | LOCK_NB) != 0; (void)poll(NULL, 0, LOCK_LOOK_MS)) {
        if (errno != EWOULDBLOCK || cli_now_ms() - begun > LOCK_MS) {
            close(fd);
            return cli_fail(cli, CLI_DENIED,
                            "another bastide speaks as %s: one at a time, because a client has one session. Wait for "
                            "it, or add a client of its own for each program",
                            name);
        }
        if (cli_now_ms() - begun > 1000)
            cli_progress(cli, "waiting for another bastide that speaks as %s …", name);
    }
    cli_progress(cli, NULL);
    *lock = fd;
    return CLI_OK;
}

static int open_client(const struct cli *cli, const struct client_config *wanted, struct owner_session *session)
{
    char why[256] = "";
    struct client_config config = *wanted;
    config.http = &client_over_http;
    *session = (struct owner_session){.lock = -1};
    if (client_open(&config, &session->client, why, sizeof why) != OK)
        return cli_fail(cli, CLI_UNREACHABLE, "%s: %s", config.url, *why ? why : "no session can be opened");
    return CLI_OK;
}

static int open_with_secret(const struct cli *cli, const char *name, const char *url, const struct oscore_input *input,
                            struct owner_session *session)
{
    int lock = -1;
    int result = take_turn(cli, name, &lock);
    if (result == CLI_OK)
        result = open_client(cli, &(struct client_config){.url = url, .input = input}, session);
    if (result == CLI_OK)
        session->lock = lock;
    else if (lock >= 0)
        close(lock);
    return result;
}

int owner_session_of_device(const struct cli *cli, struct owner_device *device, const char *url,
                            struct owner_session *session)
{
    const struct client_config config = {.url = url, .edhoc = device_edhoc(&device->device)};
    int result = open_client(cli, &config, session);
    if (result == CLI_OK)
        session->device = device;
    else
        owner_device_free(device);
    return result;
}

/* A file of a client is the state of one that enrolled, or a secret. */
static int open_by_file(const struct cli *cli, const char *name, const char *url, const char *path, struct bytes file,
                        struct owner_session *session)
{
    struct owner_device *device = NULL;
    struct oscore_input input = {0};
    if (owner_device_decode(cli, name, file, &device) == OK) {
        if (device->device.certificate_len)
            return owner_session_of_device(cli, device, url, session);
        owner_device_free(device);
        return cli_fail(cli, CLI_DENIED, "%s has not finished enrolling: bastide client enrol with its code", name);
    }
    enum status status = oscore_input_decode(file, &input);
    int result = status == OK ? open_with_secret(cli, name, url, &input, session)
                              : cli_fail(cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
    oscore_input_wipe(&input);
    return result;
}

static int open_as_client(const struct cli *cli, const char *name, const char *url, struct owner_session *session)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    if (!cli_name_is_plain(name))
        return cli_fail(cli, CLI_USAGE, "\"%s\" is no client's name: 1 to 64 letters, digits and . _ -", name);
    owner_client_file(cli, name, path);
    enum status status = cli_read_file(path, DEVICE_STATE_MAX, &data, &len);
    if (status == NOT_FOUND)
        return cli_fail(cli, CLI_NOT_FOUND, "there is no key for a client \"%s\" here: bastide client add %s", name,
                        name);
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
    int result = open_by_file(cli, name, url, path, bytes_from(data, len), session);
    wipe(data, len);
    free(data);
    return result;
}

int owner_session_of(struct owner_meeting *meeting, const char *url, struct owner_session *session)
{
    int result = open_client(meeting->cli, &(struct client_config){.url = url, .edhoc = &meeting->edhoc}, session);
    session->meeting = meeting;
    return result;
}

static int open_as_owner(const struct cli *cli, const char *url, struct owner_session *session)
{
    struct owner owner = {0};
    struct owner_pins pins;
    struct owner_meeting *meeting = calloc(1, sizeof *meeting);
    if (!meeting)
        return cli_fail(cli, CLI_INTERNAL, "out of memory");
    int result = owner_open(cli, false, &owner);
    if (result == CLI_OK && !owner_has_daily_key(cli)) /* EDHOC signs with one of them */
        result = owner_unlock(cli, &owner);
    enum status status = result == CLI_OK ? owner_pins_load(cli, &pins) : OK;
    if (result == CLI_OK && status != OK)
        result = cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED,
                          "%s/owner/pins.json %s: bastide init makes it", cli->home, cli_file_problem(status));
    if (result == CLI_OK)
        result = owner_meeting_init(cli, meeting, &owner, &pins, false);
    owner_done(&owner);
    if (result == CLI_OK)
        result = owner_session_of(meeting, url, session);
    if (result == CLI_OK) {
        session->owns_meeting = true;
        return CLI_OK;
    }
    owner_meeting_done(meeting);
    free(meeting);
    return result;
}

int owner_session_open(const struct cli *cli, const char *name, const char *url, struct owner_session *session)
{
    return name ? open_as_client(cli, name, url, session) : open_as_owner(cli, url, session);
}

/* What was seen is kept: whoever shows less the next time is refused. */
static void keep_seen(struct owner_meeting *meeting)
{
    if (meeting->changed && owner_pins_save(meeting->cli, &meeting->pins) != OK)
        cli_warn(meeting->cli, "%s/owner/pins.json could not be written: what was seen now is not remembered",
                 meeting->cli->home);
}

static bool daily_is_due(const struct owner_meeting *meeting)
{
    struct pki_certificate certificate;
    return meeting->edhoc.own.private_key == &meeting->daily &&
           pki_certificate_decode(meeting->edhoc.own.value, &certificate) == OK &&
           x509_renewal_due(&certificate, (int64_t)(cli_unix_ms() / 1000));
}

/* At the end, when nobody waits for it. */
static void renew_what_is_due(struct owner_session *session)
{
    char why[256];
    if (!session->answered)
        return;
    if (session->meeting && daily_is_due(session->meeting))
        owner_renew_daily(session->meeting, session);
    if (session->device && device_renewal_due(&session->device->device))
        (void)!device_renew(&session->device->device, session->client, why, sizeof why);
}

void owner_session_close(struct owner_session *session)
{
    renew_what_is_due(session);
    client_close(session->client);
    if (session->lock >= 0)
        close(session->lock);
    owner_device_free(session->device);
    if (session->owns_meeting) {
        keep_seen(session->meeting);
        owner_meeting_done(session->meeting);
        free(session->meeting);
    }
    *session = (struct owner_session){.lock = -1};
}

static enum cli_exit exit_of(uint8_t code)
{
    if (code == COAP_NOT_FOUND)
        return CLI_NOT_FOUND;
    if (code == COAP_UNAVAILABLE)
        return CLI_UNREACHABLE;
    return code >> 5 == 4 ? CLI_DENIED : CLI_INTERNAL;
}

int owner_judge(const struct cli *cli, const char *path, const struct client_answer *answer, json_t **json)
{
    if (answer->code >> 5 == 2 && !json)
        return CLI_OK; /* whatever it is, it is taken as it came */
    json_t *tree = json_loadb((const char *)answer->payload.data, answer->payload.len, 0, NULL);
    if (answer->code >> 5 == 2 && tree) {
        *json = tree;
        return CLI_OK;
    }
    const json_t *error = json_object_get(tree, "error");
    const char *field = json_string_value(json_object_get(error, "field"));
    const char *reason = json_string_value(json_object_get(error, "reason"));
    int code =
        reason ? cli_fail(cli, exit_of(answer->code), "refused (%u.%02u): %s %s", answer->code >> 5, answer->code & 31u,
                          field ? field : "", reason)
               : cli_fail(cli, answer->code >> 5 == 2 ? CLI_INTERNAL : exit_of(answer->code),
                          "/%s was answered with %u.%02u and no reason", path, answer->code >> 5, answer->code & 31u);
    json_decref(tree);
    return code;
}

int owner_unanswered(const struct cli *cli, const struct owner_session *session, enum status status)
{
    const char *why = client_why(session->client);
    if (session->meeting && session->meeting->code) /* was said when the evidence was refused */
        return session->meeting->code;
    if (session->meeting && session->meeting->owner.token && *token_why(session->meeting->owner.token))
        return cli_fail(cli, CLI_DENIED, "%s", token_why(session->meeting->owner.token));
    if (status == DENIED)
        return cli_fail(cli, CLI_EVIDENCE, "the hub was refused, and nothing was sent to it: %s",
                        why && *why ? why : "it is not what it should be");
    if (status == NO_ROOM || status == MALFORMED || status == UNSUPPORTED) /* the node is not to blame */
        return cli_fail(cli, CLI_DENIED, "%s", why && *why ? why : status_word(status));
    return cli_fail(cli, status == AUTH ? CLI_DENIED : CLI_UNREACHABLE, "%s%s", why && *why ? why : status_word(status),
                    status == AUTH
                        ? ". The hub does not know this key: bastide init --renew for the owner, bastide client "
                          "add for a client"
                        : ". Is the node up? bastide status");
}

int owner_ask(const struct cli *cli, struct owner_session *session, const struct client_request *request,
              struct client_answer *answer, json_t **json)
{
    enum status status = client_ask(session->client, request, answer);
    cli_progress(cli, NULL);
    session->answered |= status == OK;
    return status == OK ? owner_judge(cli, request->path, answer, json) : owner_unanswered(cli, session, status);
}
