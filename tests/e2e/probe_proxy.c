/* An enclave that is nobody's: says READY, then hands on what the host writes into the door to the monitor, word for
 * word, and the answer back. So a test can ask anything an enclave could ask, and much that none would.
 *
 * In each ring's data: u32 length, then the packet. Commands of its own start with 0xffff: 'x' and a code: exit; 'f':
 * what it can see of the world, as text. */
#include "abi.h"
#include "base.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct door_window *window;
static uint8_t packet[MONITOR_MESSAGE_MAX + 64];

static unsigned count_of(const char *path)
{
    DIR *directory = opendir(path);
    unsigned count = 0;
    if (!directory)
        return 999;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static size_t tell_facts(char *text, size_t cap)
{
    unsigned open_count = 0;
    struct rlimit processes, core;
    struct launch_parameters parameters = {0};
    for (int fd = 0; fd < 1024; fd++)
        open_count += fcntl(fd, F_GETFD) >= 0;
    getrlimit(RLIMIT_NPROC, &processes);
    getrlimit(RLIMIT_CORE, &core);
    ssize_t got = pread(LAUNCH_FD_PARAMETERS, &parameters, sizeof parameters, 0);
    return (size_t)snprintf(
        text, cap,
        "uid=%u pid=%d ppid=%d root_entries=%u open=%u dumpable=%d no_new_privs=%d nproc=%lu core=%lu "
        "mkdir=%d fork=%d lock_ambient=%d modules=%u pool=%lu secret=%lu writable_program=%d got=%d\n",
        getuid(), getpid(), getppid(), count_of("/"), open_count, prctl(PR_GET_DUMPABLE),
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), (unsigned long)processes.rlim_max, (unsigned long)core.rlim_max,
        syscall(SYS_mkdirat, AT_FDCWD, "/x", 0700) == 0, fork() >= 0,
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 14, 0, 0), parameters.module_count,
        (unsigned long)parameters.pool_len, (unsigned long)parameters.secret_len, write(LAUNCH_FD_PROGRAM, "x", 1) == 1,
        got == sizeof parameters);
}

static size_t ask(size_t len)
{
    ssize_t got = -1;
    if (send(LAUNCH_FD_MONITOR, packet, len, MSG_NOSIGNAL) == (ssize_t)len)
        got = recv(LAUNCH_FD_MONITOR, packet, sizeof packet, 0);
    if (got <= 0)
        _exit(1); /* the monitor hung up */
    return (size_t)got;
}

static void serve_one(void)
{
    uint32_t len;
    memcpy(&len, window->to_enclave.data, sizeof len);
    if (len > sizeof packet)
        _exit(2);
    memcpy(packet, window->to_enclave.data + sizeof len, len);
    if (len > 3 && packet[0] == 0xff && packet[1] == 0xff && packet[2] == 'x')
        _exit(packet[3]);
    if (len > 2 && packet[0] == 0xff && packet[1] == 0xff && packet[2] == 'f')
        len = (uint32_t)tell_facts((char *)packet, sizeof packet);
    else
        len = (uint32_t)ask(len);
    memcpy(window->to_host.data + sizeof len, packet, len);
    memcpy(window->to_host.data, &len, sizeof len);
}

int main(void)
{
    const uint64_t one = 1;
    struct monitor_header ready = {.version = MONITOR_VERSION, .operation = MONITOR_READY};
    window = mmap(NULL, sizeof *window, PROT_READ | PROT_WRITE, MAP_SHARED, LAUNCH_FD_DOOR, 0);
    if (window == MAP_FAILED || window->version != DOOR_VERSION)
        return 2;
    memcpy(packet, &ready, sizeof ready);
    if (ask(sizeof ready) < sizeof ready)
        return 1;
    /* The eventfd does not block: wait on it by the monitor's socket, too, so that its end is ours. */
    for (;;) {
        uint64_t signalled;
        fd_set waited;
        FD_ZERO(&waited);
        FD_SET(LAUNCH_FD_MONITOR, &waited);
        FD_SET(LAUNCH_FD_DOOR_IN, &waited);
        if (select(LAUNCH_FD_DOOR_IN + 1, &waited, NULL, NULL, NULL) < 0 || FD_ISSET(LAUNCH_FD_MONITOR, &waited))
            return 1;
        if (read(LAUNCH_FD_DOOR_IN, &signalled, sizeof signalled) != sizeof signalled)
            return 1;
        serve_one();
        if (write(LAUNCH_FD_DOOR_OUT, &one, sizeof one) != sizeof one)
            return 1;
    }
}
