/* The monitor as a child: sealed and measured before it runs, given the keys over a socketpair made for it alone, and
 * started again when it dies. posix_spawn() is a vfork on a stack of its own: our secret memory is never shared. */
#include "holder.h"

#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HIGH_FD 16
#define BACK_OFF_FIRST_MS 50
#define BACK_OFF_MAX_MS 5000
#define BACK_OFF_REFUSED_MS 60000
#define STEADY_MS 30000
#define STOP_MS 20000 /* a clean stop talks to the TPM */

struct child {
    int program; /* sealed */
    pid_t pid;
    int pidfd;
    int socket; /* our end; its hanging up tells the monitor of our end */
    uint64_t started_ms;
    bool served; /* it was given the keys */
    bool deaf;   /* it said something else, or hung up: it is not listened to any more */
    unsigned starts;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int seal_monitor(const struct holder_options *options, int *program, uint8_t hash[32])
{
    char path[PATH_MAX];
    if (!node_path(options->programs, "bastide-monitor", path) || node_seal_program(path, program, hash) != OK) {
        node_log("error", "keyholder", "no_monitor", "exit=1 reason=\"bastide-monitor is not beside this program\"");
        return 1;
    }
    return 0;
}

/* `keys_end` becomes the monitor's KEYHOLDER_FD; -1: it gets none. */
static enum status spawn(int program, char *const argv[], int keys_end, pid_t *pid)
{
    char path[32];
    char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t every, none;
    int raised_program = fcntl(program, F_DUPFD_CLOEXEC, HIGH_FD);
    int raised_keys = keys_end < 0 ? -1 : fcntl(keys_end, F_DUPFD_CLOEXEC, HIGH_FD);
    int error = raised_program < 0 || (keys_end >= 0 && raised_keys < 0) ? EMFILE : 0;
    sigfillset(&every);
    sigemptyset(&none);
    snprintf(path, sizeof path, "/proc/self/fd/%d", raised_program);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &every);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!error && raised_keys >= 0)
        error = posix_spawn_file_actions_adddup2(&actions, raised_keys, KEYHOLDER_FD);
    if (!error)
        error = posix_spawn(pid, path, &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (raised_program >= 0)
        close(raised_program);
    if (raised_keys >= 0)
        close(raised_keys);
    return error ? IO : OK;
}

static int reap(pid_t pid)
{
    int wait_status = 0;
    while (waitpid(pid, &wait_status, 0) < 0)
        if (errno != EINTR)
            return SIGKILL;
    return wait_status;
}

int holder_check_monitor(const struct holder_options *options)
{
    char *argv[HOLDER_ARGUMENTS_MAX + 2];
    uint8_t hash[32];
    size_t count = 0;
    int program = -1;
    pid_t pid = 0;
    for (; options->monitor_arguments[count]; count++)
        argv[count] = options->monitor_arguments[count];
    argv[count++] = (char[]){"--check"};
    argv[count] = NULL;
    int code = seal_monitor(options, &program, hash);
    if (code)
        return code;
    enum status status = spawn(program, argv, -1, &pid);
    close(program);
    int wait_status = status == OK ? reap(pid) : SIGKILL;
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1;
}

static enum status start(const struct holder_options *options, struct child *child)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return IO;
    enum status status = spawn(child->program, options->monitor_arguments, ends[1], &child->pid);
    close(ends[1]);
    child->pidfd = status == OK ? (int)syscall(SYS_pidfd_open, child->pid, 0) : -1;
    child->socket = ends[0];
    child->started_ms = now_ms();
    child->starts++;
    if (status == OK && child->pidfd >= 0) {
        node_log("info", "keyholder", "monitor_started", "pid=%d", child->pid);
        return OK;
    }
    close(ends[0]);
    if (status == OK) {
        kill(child->pid, SIGKILL);
        reap(child->pid);
    }
    return IO;
}

/* One byte, one answer, never again on this socket. */
static void answer(struct child *child, const struct keyholder_keys *keys)
{
    uint8_t asked = 0;
    ssize_t got = recv(child->socket, &asked, 1, MSG_DONTWAIT | MSG_TRUNC);
    if (got == 1 && asked == KEYHOLDER_ASK && !child->served) {
        child->served = send(child->socket, keys, sizeof *keys, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof *keys;
        if (child->served)
            return;
    }
    child->deaf = true;
}

/* Waits until the child ended, a signal came, or the time is over; answers meanwhile. */
enum event { EVENT_TIME, EVENT_ENDED, EVENT_SIGNAL };

static enum event wait_event(struct child *child, const struct keyholder_keys *keys, int signals, int timeout_ms)
{
    for (;;) {
        struct pollfd waited[] = {{.fd = signals, .events = POLLIN},
                                  {.fd = child ? child->pidfd : -1, .events = POLLIN},
                                  {.fd = child && !child->deaf ? child->socket : -1, .events = POLLIN}};
        int ready = poll(waited, 3, timeout_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return EVENT_TIME;
        if (waited[1].revents)
            return EVENT_ENDED;
        if (waited[0].revents) {
            struct signalfd_siginfo taken;
            (void)!read(signals, &taken, sizeof taken);
            return EVENT_SIGNAL;
        }
        answer(child, keys);
    }
}

static int collect(struct child *child)
{
    int wait_status = reap(child->pid);
    char sentence[160];
    close(child->pidfd);
    close(child->socket);
    child->served = child->deaf = false;
    node_end_sentence(wait_status, sentence, sizeof sentence);
    node_log(wait_status ? "warning" : "info", "keyholder", "monitor_ended", "pid=%d lived_ms=%llu reason=\"%s\"",
             child->pid, (unsigned long long)(now_ms() - child->started_ms), sentence);
    return wait_status;
}

static int stop(struct child *child, const struct keyholder_keys *keys, int signals)
{
    kill(child->pid, SIGTERM);
    uint64_t until = now_ms() + STOP_MS;
    for (;;) {
        uint64_t now = now_ms();
        enum event event = wait_event(child, keys, signals, now < until ? (int)(until - now) : 0);
        if (event == EVENT_TIME)
            kill(child->pid, SIGKILL);
        if (event == EVENT_ENDED) {
            int wait_status = collect(child);
            return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1;
        }
    }
}

/* Whether it is not to be started again; otherwise how long to wait before. A refusal by the first monitor is for
 * whoever started us to see; one by a later is tried again, slowly: ending here would cost a reboot. */
static bool is_final(struct child *child, int wait_status, uint32_t *back_off_ms)
{
    bool steady = now_ms() - child->started_ms > STEADY_MS;
    bool refused = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) != 1;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
        return true; /* a clean stop was asked of it */
    if (refused && child->starts == 1 && !steady)
        return true;
    if (refused)
        *back_off_ms = BACK_OFF_REFUSED_MS;
    else if (steady || *back_off_ms < BACK_OFF_FIRST_MS)
        *back_off_ms = BACK_OFF_FIRST_MS;
    else
        *back_off_ms = *back_off_ms < BACK_OFF_MAX_MS / 2 ? *back_off_ms * 2 : BACK_OFF_MAX_MS;
    return false;
}

static int run(const struct holder_options *options, const struct keyholder_keys *keys, struct child *child,
               int signals)
{
    uint32_t back_off_ms = 0;
    for (;;) {
        int wait_status = 1 << 8;
        if (start(options, child) == OK) {
            if (wait_event(child, keys, signals, -1) == EVENT_SIGNAL)
                return stop(child, keys, signals);
            wait_status = collect(child);
        }
        if (is_final(child, wait_status, &back_off_ms))
            return WEXITSTATUS(wait_status);
        if (wait_event(NULL, keys, signals, (int)back_off_ms) == EVENT_SIGNAL)
            return 0;
    }
}

int holder_supervise(const struct holder_options *options, struct keyholder_keys *keys)
{
    struct child child = {.program = -1, .pidfd = -1, .socket = -1};
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    int code = seal_monitor(options, &child.program, keys->monitor_hash);
    int signals = sigprocmask(SIG_BLOCK, &wanted, NULL) == 0 ? signalfd(-1, &wanted, SFD_CLOEXEC) : -1;
    if (!code && signals < 0)
        code = 1;
    if (!code)
        code = run(options, keys, &child, signals);
    if (signals >= 0)
        close(signals);
    if (child.program >= 0)
        close(child.program);
    return code;
}
