/* bastide-launcher: puts up the walls, makes the process between them, which is the monitor's child as it is itself,
 * and ends; that process tells the monitor which one it is, and executes the sealed program. */
#include "eat.h"
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_INTERNAL 1
#define EXIT_USAGE 2

static void say(const struct launcher_failure *failure)
{
    dprintf(STDERR_FILENO, "error launcher not_launched reason=\"%s: %s\"\n", failure->what, strerror(failure->error));
}

/* Whether the monitor lives: its death after prctl() is ours, one before shows at the pipe that it alone reads; and was
 * told who we are, which the launcher alone knows. */
static bool report(uint32_t walls, int number)
{
    struct pollfd monitor = {.fd = LAUNCHER_REPORT_FD};
    struct launcher_report report = {.walls = walls};
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && poll(&monitor, 1, 0) == 0 &&
           read(number, &report.pid, sizeof report.pid) == (ssize_t)sizeof report.pid &&
           write(LAUNCHER_REPORT_FD, &report, sizeof report) == (ssize_t)sizeof report;
}

static int run_enclave(const struct launcher_plan *plan, uint32_t walls, int number)
{
    struct launcher_failure failure = {"the enclave cannot be prepared", 0};
    char *const argv[] = {(char[]){"enclave"}, NULL}, *const environment[] = {NULL};
    if (!report(walls, number))
        return EXIT_INTERNAL;
    close(number);
    if (launcher_limit(plan, &failure) != OK || dup2(STDIN_FILENO, LAUNCHER_REPORT_FD) < 0 ||
        launcher_keep_lock(&failure) != OK || fcntl(LAUNCH_FD_PROGRAM, F_SETFD, 0) != 0) {
        say(&failure);
        return EXIT_INTERNAL;
    }
    execveat(LAUNCH_FD_PROGRAM, "", argv, environment, AT_EMPTY_PATH);
    failure = (struct launcher_failure){"the program cannot be executed", errno};
    say(&failure);
    return EXIT_INTERNAL;
}

int main(int argc, char **argv)
{
    struct launcher_plan plan;
    struct launcher_failure failure = {"the launcher cannot be prepared", 0};
    int number[2];
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
    if (launcher_become(&plan, &failure) != OK || pipe2(number, O_CLOEXEC) != 0) {
        say(&failure);
        return EXIT_INTERNAL;
    }
    /* The first process of the new process namespace, and a child not of ours but of whose child we are. */
    pid_t enclave = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
    if (enclave < 0) {
        say(&(struct launcher_failure){"no process can be made", errno});
        return EXIT_INTERNAL;
    }
    if (enclave == 0) {
        close(number[1]);
        return run_enclave(&plan, walls, number[0]);
    }
    return write(number[1], &enclave, sizeof enclave) == (ssize_t)sizeof enclave ? 0 : EXIT_INTERNAL;
}
