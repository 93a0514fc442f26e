/* One launch: the door, the parameters, the launcher with its descriptors in their places, its end. */
#include "enclave.h"

#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH_FD 64 /* where a descriptor is out of the way of those the launcher wants */
#define PLACES_MAX (LAUNCH_FD_MODULES + LAUNCHER_FILES_MAX)
#define RESIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void enclave_clear(struct enclave *enclave)
{
    *enclave = (struct enclave){
        .process = -1, .socket = -1, .window = -1, .enclave_waits = -1, .host_waits = -1, .sockets = -1};
}

/* Of a length nobody can change: whoever cut it short would kill the other end with SIGBUS. */
static enum status make_window(int *fd)
{
    const uint32_t version = DOOR_VERSION;
    *fd = memfd_create("door", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, sizeof(struct door_window)) != 0 ||
        pwrite(*fd, &version, sizeof version, 0) != (ssize_t)sizeof version ||
        fcntl(*fd, F_ADD_SEALS, RESIZE_SEALS) != 0)
        return IO;
    return OK;
}

static enum status make_parameters(const struct enclave_plan *plan, int *fd)
{
    struct launch_parameters parameters = {.version = LAUNCH_VERSION,
                                           .pool_len = plan->pool_len,
                                           .secret_len = plan->secret_len,
                                           .body_max = plan->body_max,
                                           .no_secret_memory = plan->no_secret_memory};
    for (size_t i = 0; i < plan->image->manifest.file_count; i++)
        parameters.module_count += plan->image->manifest.files[i].kind == IMAGE_MODULE;
    *fd = memfd_create("parameters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || write(*fd, &parameters, sizeof parameters) != (ssize_t)sizeof parameters ||
        fcntl(*fd, F_ADD_SEALS, RESIZE_SEALS | F_SEAL_WRITE) != 0)
        return IO;
    return OK;
}

/* Which descriptor goes where; raised out of the way first, for a place may be another's present number. */
struct places {
    int raised[PLACES_MAX];
    int place[PLACES_MAX];
    size_t count;
};

static enum status put_place(struct places *places, int fd, int place)
{
    int raised = places->count < PLACES_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD) : -1;
    if (raised < 0)
        return IO;
    places->raised[places->count] = raised;
    places->place[places->count++] = place;
    return OK;
}

static void drop_places(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        close(places->raised[i]);
    places->count = 0;
}

static enum status spawn(const struct enclave_plan *plan, const struct places *places, pid_t *pid)
{
    char path[32], files[16], user[16];
    char *const argv[] = {(char[]){"bastide-launcher"}, files, user, NULL}, *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t every, none;
    sigfillset(&every);
    sigemptyset(&none);
    snprintf(path, sizeof path, "/proc/self/fd/%d", places->raised[0]);
    snprintf(files, sizeof files, "%zu", plan->image->manifest.file_count - 1);
    snprintf(user, sizeof user, "%u", plan->user);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &every);
    posix_spawnattr_setpgroup(&attributes, 0); /* the launcher's own, and so the enclave's */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    int error = 0;
    for (size_t i = 1; i < places->count && !error; i++)
        error = posix_spawn_file_actions_adddup2(&actions, places->raised[i], places->place[i]);
    if (!error)
        error = posix_spawn(pid, path, &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error ? IO : OK;
}

/* `theirs`: the ends that only the enclave keeps. */
static enum status launch(const struct enclave_plan *plan, struct enclave *enclave, const int theirs[4])
{
    struct places places = {.count = 0};
    enum status status = put_place(&places, plan->launcher, -1);
    const int fixed[][2] = {{theirs[0], LAUNCHER_REPORT_FD},
                            {theirs[1], LAUNCH_FD_MONITOR},
                            {enclave->window, LAUNCH_FD_DOOR},
                            {enclave->enclave_waits, LAUNCH_FD_DOOR_IN},
                            {enclave->host_waits, LAUNCH_FD_DOOR_OUT},
                            {theirs[2], LAUNCH_FD_PARAMETERS},
                            {theirs[3], LAUNCH_FD_SOCKETS},
                            {plan->image->files[0], LAUNCH_FD_PROGRAM}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && status == OK; i++)
        status = put_place(&places, fixed[i][0], fixed[i][1]);
    for (size_t i = 1; i < plan->image->manifest.file_count && status == OK; i++)
        status = put_place(&places, plan->image->files[i], LAUNCH_FD_MODULES + (int)i - 1);
    if (status == OK)
        status = spawn(plan, &places, &enclave->launcher);
    drop_places(&places);
    return status;
}

/* Whom waitpid() takes the number for; whoever ended already keeps the status until then. */
static int wait_for(pid_t who)
{
    int wait_status = 0;
    while (waitpid(who, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    return wait_status;
}

enum status enclave_start(const struct enclave_plan *plan, struct enclave *enclave)
{
    const int kind = SOCK_SEQPACKET | SOCK_CLOEXEC;
    int pipe_ends[2] = {-1, -1}, monitor[2] = {-1, -1}, sockets[2] = {-1, -1}, parameters = -1;
    enclave_clear(enclave);
    enum status status = make_window(&enclave->window);
    enclave->enclave_waits = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enclave->host_waits = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (enclave->enclave_waits < 0 || enclave->host_waits < 0 || pipe2(pipe_ends, O_CLOEXEC) != 0 ||
        fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) != 0 || socketpair(AF_UNIX, kind, 0, monitor) != 0 ||
        socketpair(AF_UNIX, kind, 0, sockets) != 0)
        status = IO;
    enclave->process = pipe_ends[0];
    enclave->socket = monitor[0];
    enclave->sockets = sockets[0];
    if (status == OK)
        status = make_parameters(plan, &parameters);
    if (status == OK)
        status = launch(plan, enclave, (const int[]){pipe_ends[1], monitor[1], parameters, sockets[1]});
    drop(&pipe_ends[1]);
    drop(&monitor[1]);
    drop(&sockets[1]);
    drop(&parameters);
    if (status != OK)
        enclave_end(enclave);
    return status;
}

enum status enclave_take_report(struct enclave *enclave)
{
    struct launcher_report report;
    if (enclave->pid)
        return OK;
    ssize_t got = read(enclave->process, &report, sizeof report); /* written by one write: whole or not at all */
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return BUSY;
    if (got != (ssize_t)sizeof report || report.pid <= 0)
        return IO;
    drop(&enclave->process);
    enclave->pid = report.pid;
    enclave->walls = report.walls;
    enclave->process = (int)syscall(SYS_pidfd_open, enclave->pid, 0);
    kill(enclave->launcher, SIGKILL); /* it has nothing more to do */
    (void)wait_for(enclave->launcher);
    enclave->launcher = 0;
    return enclave->process < 0 ? IO : OK;
}

bool enclave_has_ended(struct enclave *enclave)
{
    const enum status status = enclave_take_report(enclave);
    struct pollfd process = {.fd = enclave->process, .events = POLLIN};
    return status == OK ? poll(&process, 1, 0) != 0 : status != BUSY;
}

int enclave_end(struct enclave *enclave)
{
    int wait_status = 0;
    if (enclave->pid > 0) {
        kill(enclave->pid, SIGKILL);
        wait_status = wait_for(enclave->pid);
    } else if (enclave->launcher > 0) { /* and an enclave of which no report came: they are a process group */
        kill(-enclave->launcher, SIGKILL);
        wait_status = wait_for(enclave->launcher);
        (void)wait_for(-enclave->launcher);
    }
    drop(&enclave->process);
    drop(&enclave->socket);
    drop(&enclave->window);
    drop(&enclave->enclave_waits);
    drop(&enclave->host_waits);
    drop(&enclave->sockets);
    enclave_clear(enclave);
    return wait_status;
}
