/* Processes that outlive their supervisor: a pid file names pid and start time, a pidfd tells when one dies. */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Field 22 of /proc/PID/stat: what tells a process from a later one with the same number. 0 when there is none. */
static unsigned long long start_time(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = 0;
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    if (!at || at[1] == 0 || at[2] == 'Z')
        return 0;
    unsigned long long value = 0;
    int field = 2;
    for (at++; *at && field < 22; at++)
        if (*at == ' ' && ++field == 22)
            value = strtoull(at + 1, NULL, 10);
    return value;
}

static void pid_path(const struct cli *cli, const struct service *service, char *room)
{
    char name[96];
    snprintf(name, sizeof name, "run/%s.pid", service->name);
    cli_path(cli, name, room);
}

bool service_adopt(const struct cli *cli, struct service *service)
{
    char path[PATH_MAX];
    pid_path(cli, service, path);
    FILE *file = fopen(path, "re");
    int pid = 0;
    unsigned long long began = 0;
    service->pidfd = -1;
    if (!file)
        return false;
    bool read = fscanf(file, "%d %llu", &pid, &began) == 2;
    fclose(file);
    if (!read || pid <= 1 || began == 0 || start_time(pid) != began)
        return false;
    service->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    service->pid = pid;
    service->started_ms = cli_now_ms();
    /* Looked at again, so that the descriptor is that process's and not a successor's. */
    if (service->pidfd >= 0 && start_time(pid) != began) {
        close(service->pidfd);
        service->pidfd = -1;
    }
    return service->pidfd >= 0;
}

static enum status write_pid(const struct cli *cli, const struct service *service)
{
    char path[PATH_MAX], text[64];
    pid_path(cli, service, path);
    snprintf(text, sizeof text, "%d %llu\n", (int)service->pid, start_time(service->pid));
    return cli_write_file(path, bytes_from_text(text));
}

enum status service_start(const struct cli *cli, struct service *service, const char *const *argv)
{
    char name[96], log[PATH_MAX];
    snprintf(name, sizeof name, "run/%s.log", service->name);
    cli_path(cli, name, log);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    int error = posix_spawn(&service->pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error)
        return error == ENOENT ? NOT_FOUND : IO;
    service->pidfd = (int)syscall(SYS_pidfd_open, service->pid, 0);
    service->started_ms = cli_now_ms();
    return service->pidfd < 0 ? IO : service->claims ? OK : write_pid(cli, service);
}

static void forget(const struct cli *cli, struct service *service)
{
    char path[PATH_MAX];
    close(service->pidfd);
    service->pidfd = -1;
    pid_path(cli, service, path);
    unlink(path);
}

bool service_ended(const struct cli *cli, struct service *service, int *code)
{
    struct pollfd end = {service->pidfd, POLLIN, 0};
    siginfo_t how = {0};
    if (service->pidfd < 0 || poll(&end, 1, 0) != 1)
        return false;
    *code = -1;
    if (waitid(P_PIDFD, (id_t)service->pidfd, &how, WEXITED) == 0)
        *code = how.si_code == CLD_EXITED ? how.si_status : 128 + how.si_status;
    forget(cli, service);
    return true;
}

void service_stop(const struct cli *cli, struct service *service, int timeout_ms)
{
    if (service->pidfd < 0)
        return;
    syscall(SYS_pidfd_send_signal, service->pidfd, SIGTERM, NULL, 0);
    struct pollfd end = {service->pidfd, POLLIN, 0};
    if (poll(&end, 1, timeout_ms) != 1) {
        syscall(SYS_pidfd_send_signal, service->pidfd, SIGKILL, NULL, 0);
        poll(&end, 1, timeout_ms);
    }
    (void)waitid(P_PIDFD, (id_t)service->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
    forget(cli, service);
}

enum status service_claim(const struct cli *cli, struct service *service)
{
    service->pid = getpid();
    service->started_ms = cli_now_ms();
    return write_pid(cli, service);
}

uint64_t service_age_s(pid_t pid)
{
    struct timespec up;
    unsigned long long began = start_time(pid);
    long ticks = sysconf(_SC_CLK_TCK);
    if (began == 0 || ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return 0;
    uint64_t began_s = began / (unsigned long long)ticks, up_s = (uint64_t)up.tv_sec;
    return up_s > began_s ? up_s - began_s : 0;
}
