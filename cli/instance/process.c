/* bastide-vtpm in front of a vTPM: begun in the background and found again, as the node's own processes are
 * (cli/service), or become. */
#include "instance.h"

#include "control.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL_MS 5000
#define READY_MS 60000
#define LOOK_MS 250      /* at a socket that is there, whether somebody behind it answers */
#define SHUTDOWN_MS 5000 /* from its answer to its end */
#define STOP_MS 5000
#define LOCK_MS 120000
#define LOCK_LOOK_MS 50
#define SERVICE_NAME_MAX 64

static void service_of(const char *name, char room[SERVICE_NAME_MAX], struct service *service)
{
    snprintf(room, SERVICE_NAME_MAX, "vtpm/%.*s/host", INSTANCE_NAME_MAX, name);
    *service = (struct service){.name = room, .pidfd = -1};
}

int instance_sockets(const struct cli *cli, const char *name, struct instance_sockets *sockets)
{
    char path[PATH_MAX];
    const char *const files[] = {"tpm.ctrl", "tpm", "keys", "transfer"};
    char *const rooms[] = {sockets->control, sockets->data, sockets->keys, sockets->transfer};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        instance_path(cli, "run/vtpm", name, files[i], path);
        if (strlen(path) >= INSTANCE_SOCKET_MAX)
            return cli_usage(cli, "vtpm",
                             "%s is too long for a socket's name by %zu bytes: choose a shorter home or name", path,
                             strlen(path) - INSTANCE_SOCKET_MAX + 1);
        memcpy(rooms[i], path, strlen(path) + 1);
    }
    if (strchr(cli->home, ',')) /* it divides bastide-vtpm's words, as it does swtpm's */
        return cli_usage(cli, "vtpm", "a home with a comma in its name (%s) cannot have vTPMs", cli->home);
    return CLI_OK;
}

int instance_lock(const struct cli *cli, const char *name, int *lock)
{
    char path[PATH_MAX];
    const char *const parts[] = {"", name};
    if (cli_make_directories(cli) != OK)
        return cli_fail(cli, CLI_DENIED, "%s cannot be written", cli->home);
    for (size_t i = 0; i < 2; i++)
        if (mkdir(instance_path(cli, "run/vtpm", parts[i], "", path), 0700) != 0 && errno != EEXIST)
            return cli_fail(cli, errno == ENOSPC ? CLI_DISK : CLI_DENIED, "%s cannot be made: %s", path,
                            strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (uint64_t begun = cli_now_ms(); fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; (void)poll(NULL, 0, LOCK_LOOK_MS))
        if (errno != EWOULDBLOCK || cli_now_ms() - begun > LOCK_MS) {
            close(fd);
            return cli_fail(cli, CLI_DENIED, "another bastide is at work on vTPM %s: try again when it is done", name);
        }
    *lock = fd;
    return fd >= 0 ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s: %s", path, strerror(errno));
}

int instance_check_node(const struct cli *cli)
{
    char path[PATH_MAX];
    struct control_status control;
    enum status status = control_status(cli_path(cli, "run/monitor.sock", path), CONTROL_MS, &control);
    if (status == OK)
        return CLI_OK;
    return status == NOT_FOUND
               ? cli_fail(cli, CLI_UNREACHABLE, "the node of %s is not up: bastide up starts it", cli->home)
               : cli_fail(cli, CLI_UNREACHABLE, "the monitor behind %s does not answer (%s): bastide status", path,
                          status_word(status));
}

bool instance_is_running(const struct cli *cli, const char *name, pid_t *pid)
{
    char room[SERVICE_NAME_MAX];
    struct service service;
    service_of(name, room, &service);
    if (!service_adopt(cli, &service))
        return false;
    close(service.pidfd);
    if (pid)
        *pid = service.pid;
    return true;
}

bool instance_is_served(const struct cli *cli, const char *name, struct instance_sockets *sockets)
{
    char keys[PATH_MAX], transfer[PATH_MAX];
    int fd = -1;
    instance_path(cli, "node/instances", name, "keys", keys);
    instance_path(cli, "node/instances", name, "transfer", transfer);
    if (strlen(transfer) >= INSTANCE_SOCKET_MAX || instance_is_running(cli, name, NULL) ||
        instance_reach(transfer, LOOK_MS, &fd) != OK)
        return false;
    close(fd);
    memcpy(sockets->keys, keys, strlen(keys) + 1);
    memcpy(sockets->transfer, transfer, strlen(transfer) + 1);
    return true;
}

/* ---- Beginning ---- */

struct words {
    char program[PATH_MAX], state[PATH_MAX + 64];
    char control[INSTANCE_SOCKET_MAX + 32], data[INSTANCE_SOCKET_MAX + 32], keys[INSTANCE_SOCKET_MAX + 32];
    char transfer[INSTANCE_SOCKET_MAX + 32];
    const char *argv[20];
};

static int put_words(const struct cli *cli, const char *name, struct instance_how how, struct words *words)
{
    struct instance_sockets sockets;
    int result = instance_sockets(cli, name, &sockets);
    if (result)
        return result;
    snprintf(words->program, sizeof words->program, "%.*s/bastide-vtpm", PATH_MAX - 16, cli->program);
    snprintf(words->state, sizeof words->state, "dir=%s,instance=%s%s", cli->home, name,
             how.relaxed ? ",fsync=no" : "");
    snprintf(words->control, sizeof words->control, "type=unixio,path=%s", sockets.control);
    snprintf(words->data, sizeof words->data, "type=unixio,path=%s", sockets.data);
    snprintf(words->keys, sizeof words->keys, "type=unixio,path=%s", sockets.keys);
    snprintf(words->transfer, sizeof words->transfer, "type=unixio,path=%s", sockets.transfer);
    const char *const argv[] = {
        words->program,  "socket",    "--tpm2", "--tpmstate", words->state, "--ctrl",        words->control,
        "--server",      words->data, "--keys", words->keys,  "--transfer", words->transfer, how.on ? "--flags" : NULL,
        "startup-clear", NULL};
    _Static_assert(sizeof argv <= sizeof words->argv, "all of them");
    memcpy(words->argv, argv, sizeof argv);
    return CLI_OK;
}

static bool answers(const char *control)
{
    const struct swtpm_request question = {.command = SWTPM_GET_CAPABILITY};
    struct swtpm_reply reply;
    uint8_t room[64];
    return instance_control(control, LOOK_MS, &question, &reply, room, sizeof room) == OK;
}

static int explain(const struct cli *cli, const char *name, const char *log, long from, int code)
{
    char reason[1024];
    /* What the enclave refused it says itself. */
    const bool said =
        code >= CLI_ROLLED_BACK && code <= CLI_IMAGE && service_log_audit(cli, log, from, reason, sizeof reason);
    if (!said && !service_log_reason(cli, log, from, reason, sizeof reason))
        snprintf(reason, sizeof reason, "nothing was said");
    return cli_fail(cli, code > 0 && code <= CLI_DISK ? (enum cli_exit)code : CLI_INTERNAL,
                    "vTPM %s did not start: %s. More in %s/run/%s.log", name, reason, cli->home, log);
}

static int wait_until_ready(const struct cli *cli, const char *name, struct service *service, long from)
{
    struct instance_sockets sockets;
    uint64_t begun = cli_now_ms();
    int code, result = instance_sockets(cli, name, &sockets);
    while (result == CLI_OK) {
        if (answers(sockets.control))
            return CLI_OK;
        if (service_ended(cli, service, &code))
            return explain(cli, name, service->name, from, code);
        if (cli_now_ms() - begun > READY_MS) {
            result = explain(cli, name, service->name, from, CLI_UNREACHABLE);
            service_stop(cli, service, STOP_MS);
        }
        (void)poll(NULL, 0, LOOK_MS / 10);
    }
    return result;
}

int instance_start(const struct cli *cli, const char *name, struct instance_how how)
{
    char room[SERVICE_NAME_MAX];
    struct service service;
    struct words words;
    int result = put_words(cli, name, how, &words);
    if (result)
        return result;
    service_of(name, room, &service);
    if (service_adopt(cli, &service))
        return close(service.pidfd),
               cli_fail(cli, CLI_DENIED, "vTPM %s runs already, as process %d", name, service.pid);
    cli_progress(cli, "starting vTPM %s …", name);
    long from = service_log_len(cli, service.name);
    enum status status = service_start(cli, &service, words.argv);
    if (status != OK)
        return cli_fail(cli, CLI_INTERNAL, "%s cannot be started: %s", words.program,
                        status == NOT_FOUND ? "it is not beside this program" : status_word(status));
    result = wait_until_ready(cli, name, &service, from);
    cli_progress(cli, NULL);
    if (service.pidfd >= 0)
        close(service.pidfd);
    return result;
}

/* gives: free. */
static const char **with_launch(const struct words *words, const struct instance_launch *launch)
{
    size_t count = 0, more = 0;
    while (words->argv[count])
        count++;
    while (launch && launch->command[more])
        more++;
    const char **argv = calloc(count + more + 6, sizeof *argv);
    if (!argv)
        return NULL;
    memcpy(argv, words->argv, count * sizeof *argv);
    if (launch && launch->parts)
        argv[count++] = "--launch", argv[count++] = launch->parts;
    if (launch && launch->cmdline)
        argv[count++] = "--launch-cmdline", argv[count++] = launch->cmdline;
    if (launch)
        argv[count++] = "--";
    for (size_t i = 0; i < more; i++)
        argv[count++] = launch->command[i];
    return argv;
}

int instance_become(const struct cli *cli, const char *name, struct instance_how how,
                    const struct instance_launch *launch)
{
    char room[SERVICE_NAME_MAX];
    struct service service;
    struct words words;
    int result = put_words(cli, name, how, &words);
    service_of(name, room, &service);
    if (result == CLI_OK && instance_is_running(cli, name, NULL))
        result = cli_fail(cli, CLI_DENIED, "vTPM %s runs already", name);
    if (result == CLI_OK && service_claim(cli, &service) != OK)
        result = cli_fail(cli, CLI_DENIED, "%s/run/%s.pid cannot be written: %s", cli->home, room, strerror(errno));
    if (result)
        return result;
    const char **argv = with_launch(&words, launch);
    if (argv)
        execv(words.program, (char *const *)(uintptr_t)argv);
    free(argv);
    return cli_fail(cli, CLI_INTERNAL, "%s cannot be started: %s", words.program, strerror(errno));
}

/* ---- Ending ---- */

int instance_stop(const struct cli *cli, const char *name, bool *was)
{
    const struct swtpm_request shutdown = {.command = SWTPM_SHUTDOWN};
    struct instance_sockets sockets;
    struct swtpm_reply reply;
    struct service service;
    uint8_t reply_room[64];
    char room[SERVICE_NAME_MAX];
    int code, result = instance_sockets(cli, name, &sockets);
    service_of(name, room, &service);
    if (result)
        return result;
    cli_progress(cli, "stopping vTPM %s …", name);
    *was = service_adopt(cli, &service);
    /* One that was begun by a bastide that died before it could write down whom is known by its sockets alone. */
    bool told = instance_control(sockets.control, SHUTDOWN_MS, &shutdown, &reply, reply_room, sizeof reply_room) == OK;
    for (uint64_t begun = cli_now_ms(); told && cli_now_ms() - begun < SHUTDOWN_MS; (void)poll(NULL, 0, LOOK_MS / 10))
        if (*was ? service_ended(cli, &service, &code) : access(sockets.control, F_OK) != 0)
            break;
    *was = *was || told;
    service_stop(cli, &service, STOP_MS);
    cli_progress(cli, NULL);
    return CLI_OK;
}

int instance_stop_all(const struct cli *cli, char (**names)[INSTANCE_NAME_MAX + 1], size_t *count)
{
    size_t stopped = 0;
    int result = instance_list(cli, names, count);
    for (size_t i = 0; result == CLI_OK && i < *count; i++) {
        bool was = false;
        if (instance_is_running(cli, (*names)[i], NULL))
            result = instance_stop(cli, (*names)[i], &was);
        if (was && stopped++ != i)
            memcpy((*names)[stopped - 1], (*names)[i], sizeof **names);
    }
    *count = stopped;
    return result;
}
