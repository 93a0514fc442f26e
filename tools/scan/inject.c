/* What the walls of the `linux` port do not stop: a root that reads registers, and one that makes the process itself
 * copy its secret memory to where anyone can read it. Shown so that nobody has to take our word for it. */
#include "scan.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

void scan_registers(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    if (!scan_attach(pid)) {
        tally->note = strerror(errno);
        return;
    }
    static const int sets[] = {NT_PRSTATUS, NT_FPREGSET};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        uint8_t room[4096];
        struct iovec where = {room, sizeof room};
        if (ptrace(PTRACE_GETREGSET, pid, (void *)(uintptr_t)sets[i], &where) != 0) {
            tally->refused++;
            continue;
        }
        tally->bytes += where.iov_len;
        scan_piece(needles, bytes_from(room, where.iov_len), 0, tally);
    }
    scan_detach(pid);
}

#ifdef __x86_64__

struct injection {
    pid_t pid;
    int mem;
    uint64_t window; /* shared memory of the process that anyone may read: the door */
    size_t window_len;
    struct user_regs_struct before;
};

static bool find_window(struct injection *injection)
{
    char path[64], line[512], mode[8];
    unsigned long long start, end;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)injection->pid);
    FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%llx-%llx %7s", &start, &end, mode) == 3 && strcmp(mode, "rw-s") == 0 &&
            strstr(line, "memfd:door") && end - start > injection->window_len) {
            injection->window = start;
            injection->window_len = end - start;
        }
    if (maps)
        fclose(maps);
    return injection->window_len > 0;
}

/* rep movsb; int3 — where the process stands, run once. */
static bool copy_out(const struct injection *injection, uint64_t from, size_t len)
{
    struct user_regs_struct registers = injection->before;
    int state;
    registers.rsi = from;
    registers.rdi = injection->window;
    registers.rcx = len;
    registers.orig_rax = (unsigned long long)-1; /* no system call to restart */
    registers.eflags &= ~0x400ull;
    if (ptrace(PTRACE_SETREGS, injection->pid, NULL, &registers) != 0)
        return false;
    for (int tries = 0; tries < 64; tries++) {
        if (ptrace(PTRACE_CONT, injection->pid, NULL, NULL) != 0 || waitpid(injection->pid, &state, __WALL) < 0 ||
            !WIFSTOPPED(state))
            return false;
        if (WSTOPSIG(state) == SIGTRAP && state >> 16 == 0)
            return true;
        if (WSTOPSIG(state) == SIGSEGV || WSTOPSIG(state) == SIGBUS)
            return false;
    }
    return false;
}

static void read_through(const struct injection *injection, const struct scan_needles *needles,
                         const struct scan_range *range, struct scan_tally *tally)
{
    static uint8_t room[SCAN_CHUNK];
    size_t most = injection->window_len < sizeof room ? injection->window_len : sizeof room;
    for (uint64_t off = 0; off < range->len; off += most) {
        size_t len = range->len - off < most ? (size_t)(range->len - off) : most;
        if (!copy_out(injection, range->start + off, len)) {
            tally->refused += len;
            continue;
        }
        ssize_t got = pread(injection->mem, room, len, (off_t)injection->window);
        if (got <= 0)
            continue;
        tally->bytes += (uint64_t)got;
        scan_piece(needles, bytes_from(room, (size_t)got), range->start + off, tally);
    }
}

void scan_inject(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    static const uint8_t code[8] = {0xf3, 0xa4, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};
    struct injection injection = {.pid = pid};
    struct scan_range *ranges = NULL;
    size_t count = 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    injection.mem = open(path, O_RDWR | O_CLOEXEC);
    if (injection.mem < 0 || !find_window(&injection) || scan_ranges(pid, &ranges, &count) != OK || !scan_attach(pid)) {
        tally->note = "no shared window to copy to, or it cannot be attached";
    } else {
        /* /proc/PID/mem writes through page protections: that is what makes this an injection. */
        bool good = ptrace(PTRACE_GETREGS, pid, NULL, &injection.before) == 0 &&
                    pwrite(injection.mem, code, sizeof code, (off_t)injection.before.rip) == (ssize_t)sizeof code;
        for (size_t i = 0; good && i < count; i++)
            if (ranges[i].writable && ranges[i].start != injection.window)
                read_through(&injection, needles, &ranges[i], tally);
        if (!good)
            tally->note = strerror(errno);
        kill(pid, SIGKILL); /* its code and its door are spoilt */
        scan_detach(pid);
    }
    free(ranges);
    if (injection.mem >= 0)
        close(injection.mem);
}

#else

void scan_inject(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    (void)pid, (void)needles;
    tally->note = "shown on x86-64 only";
}

#endif
