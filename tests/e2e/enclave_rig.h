/* Monitor, launcher and host in one, to launch an enclave program on the real runtime and speak with it through its
 * door. */
#ifndef BASTIDE_TESTS_ENCLAVE_RIG_H
#define BASTIDE_TESTS_ENCLAVE_RIG_H

#include "abi.h"
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POOL (32ull << 20)
#define WAIT_MS 10000

static const char policy[] =
    "Version 1\ncompartment probe\nmemory 4\ntable 16\nstack 65536\nimport env\n\task\n\tagain\n";
static const char *program_path, *module_path;

static struct {
    pid_t pid;
    int monitor, enclave_waits, host_waits, sockets;
    struct door_window *window;
    uint32_t head, tail;
    double ready_ms;
    uint64_t account[3]; /* as memory_account() */
    bool late_advance;   /* the monitor answers an advance only after the next request */
} enclave;
static int ready_more; /* bytes by which READY's answer is longer than it says */

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "runtime_check: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int seal_bytes(const void *data, size_t len)
{
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    must(fd >= 0 && write(fd, data, len) == (ssize_t)len &&
             fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0,
         "sealing");
    return fd;
}

static int seal_file(const char *path)
{
    static uint8_t content[32u << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, content, sizeof content);
    must(fd >= 0 && len > 0, path);
    close(fd);
    fd = seal_bytes(content, (size_t)len);
    must(fchmod(fd, 0555) == 0, "fchmod");
    return fd;
}

static int make_parameters(uint64_t secret_len, bool no_secret)
{
    const struct launch_parameters parameters = {.version = LAUNCH_VERSION,
                                                 .module_count = 1,
                                                 .pool_len = POOL,
                                                 .secret_len = secret_len,
                                                 .no_secret_memory = no_secret};
    return seal_bytes(&parameters, sizeof parameters);
}

static void run_enclave(int *fds, size_t count, int program)
{
    int raised[16];
    program = fcntl(program, F_DUPFD_CLOEXEC, 100);
    for (size_t i = 0; i < count; i++)
        raised[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
    for (size_t i = 0; i < count; i++)
        dup2(raised[i], LAUNCH_FD_MONITOR + (int)i);
    char *const arguments[] = {(char[]){"enclave"}, NULL}, *const environment[] = {NULL};
    execveat(program, "", arguments, environment, AT_EMPTY_PATH);
    _exit(127);
}

/* ---- The monitor ---- */

static void answer(uint16_t operation, uint16_t status, const void *data, size_t len)
{
    uint8_t packet[4096];
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = operation, .status = status, .len = (uint32_t)len};
    memcpy(packet, &header, sizeof header);
    if (len)
        memcpy(packet + sizeof header, data, len);
    must(send(enclave.monitor, packet, sizeof header + len, MSG_NOSIGNAL) > 0, "answering");
}

static void serve_monitor(void)
{
    uint8_t packet[4096];
    struct monitor_header header;
    ssize_t len = recv(enclave.monitor, packet, sizeof packet, MSG_DONTWAIT);
    if (len < (ssize_t)sizeof header)
        return;
    memcpy(&header, packet, sizeof header);
    const struct monitor_head_reply head = {.sequence = 5, .nv_counter = 6};
    struct monitor_seal_reply key = {.key = "the sealing key"};
    const struct {
        struct monitor_ready_reply lens;
        char bytes[5], more[1];
    } instance = {{.configuration_len = 3, .workload_len = 2}, "abcde", ""};
    if (header.operation == MONITOR_ADVANCE && enclave.late_advance)
        return;
    if (header.operation == MONITOR_HEAD && enclave.late_advance) {
        answer(MONITOR_ADVANCE, OK, &head, sizeof head);
        enclave.late_advance = false;
    }
    if (header.operation == MONITOR_REPORT)
        answer(MONITOR_REPORT, OK, "evidence", 8);
    else if (header.operation == MONITOR_SEAL_KEY)
        answer(MONITOR_SEAL_KEY, OK, &key, sizeof key);
    else if (header.operation == MONITOR_READY)
        answer(MONITOR_READY, OK, &instance,
               (size_t)((int)(sizeof instance.lens + sizeof instance.bytes) + ready_more));
    else
        answer(header.operation, OK, &head, sizeof head);
}

/* ---- The host's end of the door ---- */

static void wake(void)
{
    const uint64_t one = 1;
    must(write(enclave.enclave_waits, &one, sizeof one) == sizeof one, "waking the enclave");
}

static void put(uint64_t channel, const void *data, size_t len)
{
    struct door_ring *ring = &enclave.window->to_enclave;
    const struct door_header header = {DOOR_REQUEST, 0, (uint32_t)len, channel};
    for (size_t i = 0; i < sizeof header; i++)
        ring->data[(enclave.head + i) % DOOR_RING_LEN] = ((const uint8_t *)&header)[i];
    for (size_t i = 0; i < len; i++)
        ring->data[(enclave.head + sizeof header + i) % DOOR_RING_LEN] = ((const uint8_t *)data)[i];
    enclave.head += (uint32_t)(sizeof header + len + 7) & ~7u;
    __atomic_store_n(&ring->head, enclave.head, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->waiting, __ATOMIC_SEQ_CST))
        wake();
}

static bool take(struct door_header *header, uint8_t *payload)
{
    struct door_ring *ring = &enclave.window->to_host;
    __atomic_store_n(&ring->waiting, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->head, __ATOMIC_SEQ_CST) == enclave.tail)
        return false;
    for (size_t i = 0; i < sizeof *header; i++)
        ((uint8_t *)header)[i] = ring->data[(enclave.tail + i) % DOOR_RING_LEN];
    for (size_t i = 0; i < header->len; i++)
        payload[i] = ring->data[(enclave.tail + sizeof *header + i) % DOOR_RING_LEN];
    enclave.tail += (uint32_t)(sizeof *header + header->len + 7) & ~7u;
    __atomic_store_n(&ring->tail, enclave.tail, __ATOMIC_RELEASE);
    return true;
}

/* The next message, while the monitor goes on serving; false when the enclave ended or nothing came. */
static bool receive(struct door_header *header, uint8_t *payload)
{
    double until = now_ms() + WAIT_MS;
    uint64_t count;
    while (now_ms() < until) {
        struct pollfd waited[] = {{.fd = enclave.monitor, .events = POLLIN},
                                  {.fd = enclave.host_waits, .events = POLLIN}};
        if (take(header, payload))
            return true;
        poll(waited, 2, 100);
        if (waited[1].revents & POLLIN && read(enclave.host_waits, &count, sizeof count) < 0)
            continue;
        if (waited[0].revents & POLLIN)
            serve_monitor();
        if (waited[0].revents & (POLLHUP | POLLERR))
            return take(header, payload);
    }
    return false;
}

/* ---- Launching and ending ---- */

static bool launch(uint64_t secret_len, bool no_secret)
{
    static uint8_t payload[DOOR_MESSAGE_MAX];
    int ends[2], sockets[2], window = memfd_create("door", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct door_header header;
    const uint32_t version = DOOR_VERSION;
    must(window >= 0 && ftruncate(window, sizeof(struct door_window)) == 0 &&
             pwrite(window, &version, sizeof version, 0) == sizeof version &&
             fcntl(window, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 &&
             socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 &&
             socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0,
         "the door");
    memset(&enclave, 0, sizeof enclave);
    enclave.window = mmap(NULL, sizeof *enclave.window, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0);
    enclave.monitor = ends[0];
    enclave.sockets = sockets[0];
    enclave.enclave_waits = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enclave.host_waits = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int program = seal_file(program_path);
    int fds[] = {ends[1],
                 window,
                 enclave.enclave_waits,
                 enclave.host_waits,
                 make_parameters(secret_len, no_secret),
                 program,
                 sockets[1],
                 seal_file(module_path),
                 seal_bytes(policy, sizeof policy - 1)};
    double start = now_ms();
    fflush(NULL);
    enclave.pid = fork();
    if (enclave.pid == 0)
        run_enclave(fds, sizeof fds / sizeof *fds, program);
    close(ends[1]);
    close(window);
    for (size_t i = 4; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    bool began = receive(&header, payload) && header.operation == DOOR_AUDIT && header.len == sizeof enclave.account;
    enclave.ready_ms = now_ms() - start;
    if (began)
        memcpy(enclave.account, payload, sizeof enclave.account);
    return began;
}

static int finish(bool kill_it)
{
    int wait_status = 0;
    if (kill_it)
        kill(enclave.pid, SIGKILL);
    waitpid(enclave.pid, &wait_status, 0);
    close(enclave.monitor);
    close(enclave.enclave_waits);
    close(enclave.host_waits);
    close(enclave.sockets);
    munmap(enclave.window, sizeof *enclave.window);
    return wait_status;
}

#endif
