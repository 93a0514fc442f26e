/* What both processes do to themselves, what they log, and a child's end in words. */
#include "node.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct refusal {
    const char *name;
    const char *why;
} refusals[] = {
    {"ptrace", "looking into another process is never our business"},
    {"process_vm_readv", "the same"},
    {"process_vm_writev", "the same"},
    {"process_madvise", "the same"},
    {"pidfd_getfd", "takes descriptors out of other processes"},
    {"kcmp", "compares other processes' insides"},
    {"init_module", "code in the kernel"},
    {"finit_module", "the same"},
    {"delete_module", "the same"},
    {"kexec_load", "another kernel"},
    {"kexec_file_load", "the same"},
    {"bpf", "programs in the kernel can read our memory"},
    {"perf_event_open", "the same, through uprobes"},
    {"userfaultfd", "stops us in the middle of a copy"},
    {"io_uring_setup", "system calls past this filter"},
    {"add_key", "the kernel's keyrings keep what we must not"},
    {"request_key", "the same, and starts helpers"},
    {"keyctl", "the same"},
    {"swapon", "memory onto disk"},
    {"reboot", "not ours to do"},
    {"acct", "not ours to do"},
    {"quotactl", "not ours to do"},
    {"open_by_handle_at", "ways around directories"},
    {"lookup_dcookie", "kernel addresses"},
    {"settimeofday", "the clock is the host's"},
    {"clock_settime", "the same"},
    {"adjtimex", "the same"},
    {"iopl", "ports and through them memory"},
    {"ioperm", "the same"},
};

static int add_refusals(scmp_filter_ctx filter, bool network)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        int call = seccomp_syscall_resolve_name(refusals[i].name);
        if (call != __NR_SCMP_ERROR) /* a call this machine or library does not know cannot be made or named */
            failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    }
    if (!network)
        failed |=
            seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
    return failed;
}

enum status node_lock_down(int keep)
{
    return prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   close_range((unsigned)keep + 1, ~0u, 0) == 0
               ? OK
               : IO;
}

/* As a tree, not a list: an enclave's calls run through it, too. */
enum status node_refuse(bool network)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return NO_ROOM;
    int failed =
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) || add_refusals(filter, network) || seccomp_load(filter);
    seccomp_release(filter);
    return failed ? IO : OK;
}

void node_log(const char *level, const char *room, const char *event, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    int len = snprintf(line, sizeof line, "%s %s %s ", level, room, event);
    va_start(arguments, format);
    if (len > 0 && (size_t)len < sizeof line)
        vsnprintf(line + len, sizeof line - (size_t)len, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s\n", line);
}

void node_end_sentence(int wait_status, char *text, size_t cap)
{
    static const char *const codes[] = {
        [0] = "stopped",
        [1] = "failed within itself",
        [2] = "was started wrongly",
        [3] = "was denied",
        [7] = "refused the store: rolled back",
        [8] = "refused the store: tampered with, or foreign",
        [9] = "lost the TPM",
        [10] = "misses a wall that is required",
        [11] = "ran into a limit of the machine (memory lock?)",
        [12] = "refused its image",
    };
    const char *name = WIFSIGNALED(wait_status) ? sigabbrev_np(WTERMSIG(wait_status)) : NULL;
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGSYS)
        snprintf(text, cap, "killed by its system-call filter");
    else if (WIFSIGNALED(wait_status))
        snprintf(text, cap, "killed by SIG%s", name ? name : "?");
    else if (code >= 0 && (size_t)code < sizeof codes / sizeof *codes && codes[code])
        snprintf(text, cap, "%s (exit code %d)", codes[code], code);
    else
        snprintf(text, cap, "ended with exit code %d", code);
}
