/* The lock. After it, the system calls of the table are all there are. The filter is made here, in a page of code,
 * because a library that makes filters would be larger than everything it protects. */
#include "runtime_internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#ifdef SYS_poll
#define SYS_SLEEP SYS_poll /* what the C library's poll() is */
#else
#define SYS_SLEEP SYS_ppoll
#endif
#define PINS_MAX 3
#define PROGRAM_MAX 192

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* One argument pinned to one of the values. Only of what the kernel declares an int or unsigned, for it takes the lower
 * half of that, and so is looked at; never a pointer or a size_t. */
struct pin {
    bool pinned;
    unsigned argument;
    uint32_t values[2];
};

struct allowed {
    unsigned call;
    struct pin pins[PINS_MAX]; /* all must hold, or the call kills */
    const char *reason;
};

#define ONLY(argument, value)                                                                                          \
    {                                                                                                                  \
        true, argument,                                                                                                \
        {                                                                                                              \
            value, value                                                                                               \
        }                                                                                                              \
    }

static const struct allowed table[] = {
    {SYS_read, {{true, 0, {LAUNCH_FD_MONITOR, LAUNCH_FD_DOOR_IN}}}, "the monitor's answers; the host's wake-ups"},
    {SYS_write, {{true, 0, {LAUNCH_FD_MONITOR, LAUNCH_FD_DOOR_OUT}}}, "requests to the monitor; waking the host"},
    {SYS_SLEEP, {{0}}, "sleeping until host, monitor or socket have something"},
    {SYS_restart_syscall, {{0}}, "the same, gone on with by the kernel after the process was stopped, or frozen"},
    {SYS_getrandom, {{0}}, "keys, nonces; libcrypto's generator seeds itself anew"},
    {SYS_getpid, {{0}}, "libcrypto's generator looks for a fork before each use"},
    {SYS_timer_settime, {{0}}, "a compartment's processor budget starts and stops its tick"},
    {SYS_mincore, {{0}}, "which pages a guest, or a long block that is freed, has touched: others would be faulted in"},
    {SYS_rt_sigreturn, {{0}}, "the end of a handler: a tick, or a guest's fault"},
    {SYS_clock_gettime, {{0}}, "libcrypto's generator, a vTPM's clock; a call only where the vDSO cannot read it"},
    {SYS_futex, {ONLY(1, FUTEX_WAKE_PRIVATE)}, "pthread_once() in libcrypto tells nobody it ran"},
    {SYS_exit_group, {{0}}, "the end"},
};

/* For a program that takes a socket, these first. Whatever descriptor the host sends, no other call takes it. */
static const struct allowed socket_table[] = {
    {SYS_recvfrom, {ONLY(0, SOCKET_FD), ONLY(3, MSG_DONTWAIT)}, "what the socket's other end says; never waits"},
    {SYS_sendto,
     {ONLY(0, SOCKET_FD), ONLY(3, MSG_DONTWAIT | MSG_NOSIGNAL), ONLY(5, 0)},
     "answers to it; of an address nothing is read"},
    {SYS_close, {ONLY(0, SOCKET_FD)}, "hanging up on it"},
    {SYS_recvmsg, {ONLY(0, LAUNCH_FD_SOCKETS), ONLY(2, MSG_DONTWAIT)}, "another socket of the host's"},
};

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short len;
};

static void emit(struct program *program, unsigned code, uint32_t k, unsigned jump_true, unsigned jump_false)
{
    if (program->len == PROGRAM_MAX)
        __builtin_trap();
    program->code[program->len++] =
        (struct sock_filter){.code = (uint16_t)code, .jt = (uint8_t)jump_true, .jf = (uint8_t)jump_false, .k = k};
}

static void load(struct program *program, size_t off)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)off, 0, 0);
}

static void end(struct program *program, uint32_t action)
{
    emit(program, BPF_RET | BPF_K, action, 0, 0);
}

/* With another value the call kills. */
static void hold(struct program *program, const struct pin *pin)
{
    load(program, offsetof(struct seccomp_data, args) + pin->argument * sizeof(uint64_t));
    if (pin->values[0] != pin->values[1])
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, pin->values[0], 2, 0);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, pin->values[1], 1, 0);
    end(program, SECCOMP_RET_KILL_PROCESS);
}

/* With the call's number loaded, which the pins overwrite: they let through or kill. An x32 call has another number. */
static void allow(struct program *program, const struct allowed *allowed)
{
    const unsigned short compare = program->len;
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, allowed->call, 0, 0);
    for (size_t i = 0; i < PINS_MAX && allowed->pins[i].pinned; i++)
        hold(program, &allowed->pins[i]);
    end(program, SECCOMP_RET_ALLOW);
    program->code[compare].jf = (uint8_t)(program->len - compare - 1);
}

static bool filter(bool takes_socket)
{
    struct program program = {.len = 0};
    load(&program, offsetof(struct seccomp_data, arch));
    emit(&program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    end(&program, SECCOMP_RET_KILL_PROCESS);
    load(&program, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; takes_socket && i < sizeof socket_table / sizeof *socket_table; i++)
        allow(&program, &socket_table[i]);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        allow(&program, &table[i]);
    end(&program, SECCOMP_RET_KILL_PROCESS);
    const struct sock_fprog filter_program = {.len = program.len, .filter = program.code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter_program) == 0;
}

static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, none) == 0;
}

/* EINVAL: a kernel before 6.3; then the filter alone keeps mmap() and mprotect() out of reach. */
static bool no_new_code(void)
{
    return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0 || errno == EINVAL;
}

enum status lock_down(const char **what)
{
    const bool takes_socket = runtime.program->serve_socket;
    *what = "descriptors cannot be closed";
    if (syscall(SYS_close_range, 0, LAUNCH_FD_MONITOR - 1, 0) != 0 ||
        syscall(SYS_close_range, LAUNCH_FD_DOOR, LAUNCH_FD_DOOR, 0) != 0 ||
        syscall(SYS_close_range, LAUNCH_FD_PARAMETERS, LAUNCH_FD_SOCKETS - 1, 0) != 0 ||
        syscall(SYS_close_range, LAUNCH_FD_SOCKETS + takes_socket, ~0u, 0) != 0)
        return IO;
    *what = "capabilities cannot be dropped";
    if (!drop_capabilities())
        return IO;
    *what = "new privileges and cores cannot be forbidden";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return IO;
    *what = "executable mappings cannot be forbidden";
    if (!no_new_code())
        return IO;
    *what = "the system call filter cannot be set";
    return filter(takes_socket) ? OK : IO;
}
