/* bastide reinitialise: the owner's word that a node whose table or store is gone may begin anew, with nothing. */
#include "command_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TURNS 100 /* in one second */

static const char help[] =
    "Usage: bastide reinitialise --forget-everything [--counter N]\n\n"
    "For the day a node refuses its table or its store (exit codes 7 and 8) and no copy of the right one is left. "
    "Signs\n"
    "the owner's word that this node may begin anew, once, with an empty store; moves the archive aside to\n"
    "node/before-TIME.N; keeps the owner, the site and the TPM's keys. Clients, rules and history of the hub are "
    "gone:\n"
    "afterwards run bastide up, bastide init --renew, and add clients and rules again.\n\n"
    "  --forget-everything  without it nothing is done\n"
    "  --counter N          the TPM counter that the refusal named (else as the monitor's log has it)\n\n"
    "Examples:\n"
    "  bastide reinitialise --forget-everything && bastide up && bastide init --renew\n";

/* The number a monitor that refused its table told last; false: it never did. */
static bool counter_in_log(const struct cli *cli, uint64_t *counter)
{
    char path[PATH_MAX], line[2048];
    FILE *log = fopen(cli_path(cli, "run/keyholder.log", path), "re");
    bool found = false;
    while (log && fgets(line, sizeof line, log)) {
        const char *at = strstr(line, "monitor table counter=");
        if (at) {
            *counter = strtoull(at + strlen("monitor table counter="), NULL, 10);
            found = true;
        }
    }
    if (log)
        fclose(log);
    return found;
}

static int write_token(const struct cli *cli, const struct owner *owner, uint64_t counter)
{
    uint8_t room[IMAGE_TOKEN_MAX];
    char path[PATH_MAX];
    struct writer writer = writer_over(room, sizeof room);
    enum status status = image_token_sign(&writer, &owner->key, IMAGE_REINITIALISE, owner->configuration.site, counter);
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "the owner's word could not be signed: %s",
                        owner_signing_problem(owner, status));
    status = cli_write_file(cli_path(cli, "node/reinitialise", path), writer_bytes(&writer));
    return status == OK ? CLI_OK
                        : cli_fail(cli, CLI_DENIED, "%s/node/reinitialise %s", cli->home, cli_file_problem(status));
}

/* Nothing is deleted: whoever finds the right table later still has what belongs to it. */
static int move_archive(const struct cli *cli, char aside[PATH_MAX])
{
    static const char *const names[] = {"archive.db", "archive.db-wal", "archive.db-shm"};
    char name[64];
    int made = -1;
    for (int turn = 0; turn < TURNS && made != 0 && (turn == 0 || errno == EEXIST); turn++) {
        snprintf(name, sizeof name, "node/before-%lld.%d", (long long)time(NULL), turn);
        made = mkdir(cli_path(cli, name, aside), 0700);
    }
    if (made != 0)
        return cli_fail(cli, CLI_DENIED, "%s: %s", aside, strerror(errno));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char from[PATH_MAX], to[PATH_MAX], below[96];
        snprintf(below, sizeof below, "node/%s", names[i]);
        cli_path(cli, below, from);
        snprintf(below, sizeof below, "%s/%s", name, names[i]);
        cli_path(cli, below, to);
        if (rename(from, to) != 0 && errno != ENOENT)
            return cli_fail(cli, CLI_DENIED, "%s: %s", from, strerror(errno));
    }
    return CLI_OK;
}

/* The store begins at sequence 0, lower than what was seen; the counter goes on and is still held to. */
static int forget_sequence(const struct cli *cli)
{
    struct owner_pins pins;
    if (owner_pins_load(cli, &pins) != OK)
        return CLI_OK; /* never met: nothing was seen */
    pins.seen.sequence = 0;
    return owner_pins_save(cli, &pins) == OK
               ? CLI_OK
               : cli_fail(cli, CLI_DENIED, "%s/owner/pins.json cannot be written", cli->home);
}

static int begin_anew(struct cli *cli, uint64_t counter)
{
    struct owner owner;
    char aside[PATH_MAX];
    int result = owner_open(cli, false, &owner);
    if (result == CLI_OK)
        result = owner_unlock(cli, &owner);
    if (result)
        return result;
    result = write_token(cli, &owner, counter);
    if (result == CLI_OK)
        result = move_archive(cli, aside);
    if (result == CLI_OK)
        result = forget_sequence(cli);
    owner_done(&owner);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:I,s:s}", "counter", (json_int_t)counter, "archive", aside));
    else {
        cli_line(cli, "token", "for counter %llu, good once", (unsigned long long)counter);
        cli_line(cli, "archive", "moved to %s", aside);
        cli_line(cli, "next", "bastide up, then bastide init --renew");
    }
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *text = NULL;
    bool forget = false;
    uint64_t counter = 0;
    struct service up = {.name = "up", .pidfd = -1};
    const struct cli_option options[] = {{"forget-everything", NULL, &forget, NULL}, {"counter", &text, NULL, NULL}};
    int result = cli_options(cli, "reinitialise", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "reinitialise", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK && !forget)
        result = cli_usage(cli, "reinitialise", "this forgets clients, rules and history: say --forget-everything");
    if (result == CLI_OK)
        result = cli_number(cli, "reinitialise", "counter", text, 0, INT64_MAX, &counter);
    if (result)
        return result;
    if (service_adopt(cli, &up)) {
        close(up.pidfd);
        return cli_fail(cli, CLI_DENIED, "the node is up, so nothing needs to begin anew: bastide down first");
    }
    if (!text && !counter_in_log(cli, &counter))
        return cli_fail(cli, CLI_NOT_FOUND,
                        "no monitor of this home refused its table: --counter names the TPM's counter");
    return begin_anew(cli, counter);
}

const struct command command_reinitialise = {"reinitialise", "begin anew with an empty store, on the owner's word",
                                             help, run, NULL};
