/* bastide-launcher: puts up the walls, executes the sealed program, waits. Whoever kills it kills the enclave (the
 * parent's death is its child's), and it ends as the enclave ended. */
#include "eat.h"
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_INTERNAL 1
#define EXIT_USAGE 2

static void say(const struct launcher_failure *failure)
{
    dprintf(STDERR_FILENO, "error launcher not_launched reason=\"%s: %s\"\n", failure->what, strerror(failure->error));
}

/* The death of a parent that was gone before we asked to be told shows as an end of its pipe. */
static bool parent_lives(int pipe_end)
{
    struct pollfd waited = {.fd = pipe_end, .events = POLLIN};
    return poll(&waited, 1, 0) == 0;
}

static int run_enclave(int pipe_end)
{
    struct launcher_failure failure = {"the launcher is gone", 0};
    char *const argv[] = {(char[]){"enclave"}, NULL}, *const environment[] = {NULL};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || !parent_lives(pipe_end))
        return EXIT_INTERNAL;
    close(pipe_end);
    if (dup2(STDIN_FILENO, LAUNCHER_REPORT_FD) < 0 || launcher_keep_lock(&failure) != OK ||
        fcntl(LAUNCH_FD_PROGRAM, F_SETFD, 0) != 0) {
        say(&failure);
        return EXIT_INTERNAL;
    }
    execveat(LAUNCH_FD_PROGRAM, "", argv, environment, AT_EMPTY_PATH);
    failure = (struct launcher_failure){"the program cannot be executed", errno};
    say(&failure);
    return EXIT_INTERNAL;
}

static int wait_for(pid_t child)
{
    int wait_status = 0;
    while (waitpid(child, &wait_status, 0) < 0)
        if (errno != EINTR)
            return EXIT_INTERNAL;
    if (WIFEXITED(wait_status))
        return WEXITSTATUS(wait_status);
    signal(WTERMSIG(wait_status), SIG_DFL);
    kill(getpid(), WTERMSIG(wait_status));
    return EXIT_INTERNAL;
}

/* What only the enclave has a use for; standard error stays, for a sentence of ours. */
static int watch(pid_t child, uint32_t walls)
{
    struct launcher_failure failure;
    const struct launcher_report report = {.walls = walls, .pid = child};
    bool told = write(LAUNCHER_REPORT_FD, &report, sizeof report) == (ssize_t)sizeof report;
    if (launcher_drop_all(&failure) != OK || !told)
        kill(child, SIGKILL);
    close(STDIN_FILENO);
    close(LAUNCHER_REPORT_FD);
    return wait_for(child);
}

int main(int argc, char **argv)
{
    struct launcher_plan plan;
    struct launcher_failure failure = {"the launcher cannot be prepared", 0};
    int ends[2];
    uint32_t walls = EAT_WALL_NAMESPACES;
    if (launcher_parse(argc, argv, &plan) != OK) {
        dprintf(STDERR_FILENO, "usage: bastide-launcher FILES USER (started by bastide-monitor)\n");
        return EXIT_USAGE;
    }
    close_range(LAUNCH_FD_MODULES + plan.files, ~0u, 0);
    if (launcher_isolate(&failure) != OK) {
        say(&failure);
        walls = 0;
    }
    if (launcher_become(&plan, &failure) != OK || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
        pipe2(ends, O_CLOEXEC) != 0) {
        say(&failure);
        return EXIT_INTERNAL;
    }
    pid_t child = fork(); /* the first process of the new process namespace */
    if (child < 0) {
        say(&(struct launcher_failure){"no process can be made", errno});
        return EXIT_INTERNAL;
    }
    if (child == 0) {
        close(ends[1]);
        if (launcher_limit(&plan, &failure) != OK) {
            say(&failure);
            return EXIT_INTERNAL;
        }
        return run_enclave(ends[0]);
    }
    close(ends[0]);
    /* The enclave's ends are the enclave's: the monitor hears at once when it is gone. */
    close_range(LAUNCH_FD_MONITOR, (unsigned)ends[1] - 1, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return watch(child, walls);
}
