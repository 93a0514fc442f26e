/* A probe enclave on the real runtime: the door, the tee port, the walls that must kill, the faults that must and those
 * that must not, and a root that reads memory.
 *     runtime_check PROBE_ENCLAVE MODULE SOCKET_ENCLAVE */
#include "enclave_rig.h"

#include <sys/resource.h>
#include <sys/uio.h>

#define MARK_LEN 32
#define MARK_KEY 0x5a

static int failures;

static void check(const char *what, bool good)
{
    printf("%s: %s\n", good ? "ok" : "FAILED", what);
    failures += !good;
}

static bool says(const char *request, const void *expected, size_t len)
{
    static uint8_t payload[DOOR_MESSAGE_MAX];
    struct door_header header;
    put(9, request, strlen(request));
    return receive(&header, payload) && header.operation == DOOR_REPLY && header.id == 9 && header.len == len &&
           memcmp(payload, expected, len) == 0;
}

static bool killed_by(const char *request, int number)
{
    static uint8_t payload[DOOR_MESSAGE_MAX];
    struct door_header header;
    if (!launch(POOL, false))
        return finish(true), false;
    put(9, request, strlen(request));
    bool answered = receive(&header, payload);
    int wait_status = finish(false);
    if (answered)
        printf("      it answered: %.*s\n", (int)header.len, (const char *)payload);
    if (!WIFSIGNALED(wait_status) || WTERMSIG(wait_status) != number)
        printf("      wait status %x\n", (unsigned)wait_status);
    return !answered && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == number;
}

/* ---- Reading memory as root ---- */

static size_t count_marks(const uint8_t *mark, bool by_vm)
{
    static uint8_t chunk[1u << 20];
    char path[64], line[512];
    size_t found = 0;
    snprintf(path, sizeof path, "/proc/%d/mem", enclave.pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/maps", enclave.pid);
    FILE *maps = fopen(path, "re");
    must(memory >= 0 && maps, "opening the enclave's memory");
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) != 2)
            continue;
        for (; from < to && to - from < (1ul << 32); from += sizeof chunk - 4096) {
            size_t want = to - from < sizeof chunk ? to - from : sizeof chunk;
            struct iovec ours = {chunk, want}, theirs = {(void *)from, want};
            ssize_t got = by_vm ? process_vm_readv(enclave.pid, &ours, 1, &theirs, 1, 0)
                                : pread(memory, chunk, want, (off_t)from);
            for (const uint8_t *at = chunk;
                 got > MARK_LEN && (at = memmem(at, (size_t)(chunk + got - at), mark, MARK_LEN)); at++)
                found++;
        }
    }
    fclose(maps);
    close(memory);
    return found;
}

static bool plant(uint8_t *mark)
{
    uint8_t request[5 + MARK_LEN] = "mark ", payload[64];
    struct door_header header;
    must(getentropy(mark, MARK_LEN) == 0, "getentropy");
    for (size_t i = 0; i < MARK_LEN; i++)
        request[5 + i] = mark[i] ^ MARK_KEY;
    put(3, request, sizeof request);
    return receive(&header, payload) && header.len == 7 && memcmp(payload, "planted", 7) == 0;
}

static void scan_memory(void)
{
    uint8_t mark[MARK_LEN];
    check("a control without secret memory launches", launch(0, true) && plant(mark));
    check("in the control the planted bytes are found in four places or more", count_marks(mark, false) >= 4);
    finish(true);
    check("an enclave in secret memory launches", launch(POOL, false) && plant(mark));
    check("all of its memory is accounted as secret", enclave.account[0] == POOL && enclave.account[1] == 0);
    check("/proc/PID/mem shows nothing of what was planted", count_marks(mark, false) == 0);
    check("process_vm_readv shows nothing either", count_marks(mark, true) == 0);
    int pidfd = (int)syscall(SYS_pidfd_open, enclave.pid, 0), mapped = 0;
    for (int fd = 0; fd < 256; fd++) {
        int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
        void *map = got >= 0 ? mmap(NULL, 4096, PROT_READ, MAP_SHARED, got, 0) : MAP_FAILED;
        mapped += map != MAP_FAILED;
        if (got >= 0)
            close(got);
    }
    check("no descriptor of it leads to a mapping", mapped == 0);
    close(pidfd);
    finish(true);
}

/* ---- The checks ---- */

/* Of the pool, what may be secret. */
static uint64_t secret_len(bool limited)
{
    struct rlimit limit = {0, 0};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return limited && limit.rlim_cur < POOL ? limit.rlim_cur & ~4095ull : POOL;
}

/* The monitor is asked for an advance, and does not answer yet. */
static bool waits_for_advance(void)
{
    struct pollfd asked = {.fd = enclave.monitor, .events = POLLIN};
    enclave.late_advance = true;
    put(6, "tee: advance", 12);
    if (poll(&asked, 1, WAIT_MS) != 1)
        return false;
    serve_monitor();
    return true;
}

/* An enclave that wakes to an advance's answer and to a request that asks the monitor for something else. */
static bool meets_both(void)
{
    static uint8_t payload[DOOR_MESSAGE_MAX];
    struct door_header header;
    const struct monitor_head_reply head = {0};
    if (!waits_for_advance())
        return false;
    for (double until = now_ms() + WAIT_MS; !__atomic_load_n(&enclave.window->to_enclave.waiting, __ATOMIC_SEQ_CST);)
        if (now_ms() > until)
            return false;
    usleep(10000); /* it sleeps */
    kill(enclave.pid, SIGSTOP);
    enclave.late_advance = false;
    answer(MONITOR_ADVANCE, OK, &head, sizeof head);
    put(7, "tee: head", 9);
    kill(enclave.pid, SIGCONT);
    return receive(&header, payload) && header.id == 6 && receive(&header, payload) && header.id == 7;
}

static bool goes_on_after_a_stop(void)
{
    int wait_status = 0;
    usleep(10000); /* it sleeps */
    kill(enclave.pid, SIGSTOP);
    waitpid(enclave.pid, &wait_status, WUNTRACED);
    kill(enclave.pid, SIGCONT);
    return says("echo on", "echo on", 7);
}

/* Which sleeps until then. */
static bool wakes_the_host(const char *request)
{
    uint64_t before;
    struct pollfd waited = {.fd = enclave.host_waits, .events = POLLIN};
    while (poll(&waited, 1, 0) == 1 && read(enclave.host_waits, &before, sizeof before) > 0)
        continue;
    __atomic_store_n(&enclave.window->to_host.waiting, 1, __ATOMIC_SEQ_CST);
    put(9, request, strlen(request));
    return poll(&waited, 1, 500) == 1;
}

static void check_door(bool limited)
{
    static uint8_t payload[DOOR_MESSAGE_MAX], big[DOOR_MESSAGE_MAX - sizeof(struct door_header)] = "echo ";
    struct door_header header;
    const uint64_t secret = secret_len(limited);
    check("it launches, and its memory is accounted",
          launch(secret, false) && enclave.account[0] == secret && enclave.account[1] == POOL - secret);
    printf("      %.1f ms to its first message, %llu bytes of heap in use\n", enclave.ready_ms,
           (unsigned long long)enclave.account[2]);
    check("the door carries a message there and back", says("echo hello", "echo hello", 10));
    put(4, big, sizeof big);
    check("and the longest one", receive(&header, payload) && header.len == sizeof big);
    check("a report is asked of the monitor", says("tee: report", "\0evidence", 9));
    check("a sealing key too", says("tee: seal", "\0the sealing key\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 33));
    put(5, "tee: head", 9);
    check("the head too", receive(&header, payload) && header.len == 1 + sizeof(struct monitor_head_reply));
    put(6, "tee: advance", 12);
    check("an advance is answered when its answer comes",
          receive(&header, payload) && header.len == 1 + sizeof(struct monitor_head_reply) && header.id == 6);
    enclave.late_advance = true;
    put(6, "tee: advance", 12);
    put(7, "tee: head", 9);
    check("an advance's answer amid another request is kept for later",
          receive(&header, payload) && header.id == 7 && receive(&header, payload) && header.id == 6);
    check("one that is there when such a request is is taken first", meets_both());
    check("a guest runs", says("call add", "ran", 3));
    check("a guest without end of recursion loses itself only", says("call recurse", "stack exhausted", 15));
    check("what pthread_once() asks of the kernel is allowed", says("wake up", "the wall fell", 13));
    check("and the enclave serves on", says("echo still", "echo still", 10));
    check("after it was stopped in its sleep, too", goes_on_after_a_stop());
    put(8, "many ", 5);
    usleep(300000); /* the ring is full by then */
    unsigned count = 0;
    while (count < 40 && receive(&header, payload) && header.len == 100000)
        count++;
    check("what does not fit the ring waits for room", count == 40);
    check("a record alone wakes nobody", !wakes_the_host("keep 1"));
    check("and is there for whoever looks", receive(&header, payload) && header.len == 100000);
    check("more than the ring takes wake the host", wakes_the_host("keep more"));
    for (count = 0; count < 40 && receive(&header, payload) && header.operation == DOOR_LOG_APPEND;)
        count++;
    check("so that all come", count == 40);
    put(8, "exit now", 8);
    check("a sentence is said at the end", receive(&header, payload) && header.operation == DOOR_AUDIT &&
                                               header.len == 7 && memcmp(payload, "told to", 7) == 0);
    int wait_status = finish(false);
    check("with its exit code", WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 42);
}

static void check_guests(void)
{
    check("a guest that spins is stopped by the timer",
          launch(POOL, false) && says("call spin", "processor budget exhausted", 26));
    finish(true);
    check("a guest that reaches out of its memory is trapped",
          launch(POOL, false) && says("call far", "memory access out of bounds", 27));
    finish(true);
}

static void check_broken_door(void)
{
    uint8_t payload[64];
    struct door_header header;
    check("(launched)", launch(POOL, false));
    enclave.head += DOOR_RING_LEN * 2;
    put(1, "echo", 4);
    bool answered = receive(&header, payload);
    int wait_status = finish(false);
    check("a ring position that cannot be ends the enclave with exit code 14",
          !answered && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 14);
    check("(launched)", launch(POOL, false) && waits_for_advance());
    shutdown(enclave.monitor, SHUT_RDWR);
    wait_status = finish(false);
    check("a monitor that is gone and owes an answer does too",
          WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 14);
}

/* ---- A socket handed over ---- */

/* `count` descriptors beside `len` bytes. */
static void hand(const int *fds, size_t count, uint64_t id, size_t len)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } room = {.space = {0}};
    uint8_t packet[16] = {0};
    struct iovec piece = {packet, len};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    memcpy(packet, &id, sizeof id);
    if (count) {
        message.msg_control = room.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof *fds);
        memcpy(CMSG_DATA(part), fds, count * sizeof *fds);
    }
    must(sendmsg(enclave.sockets, &message, MSG_NOSIGNAL) == (ssize_t)len, "handing over");
    wake();
}

/* Each answer to READY that is shorter than it says, and one that is longer. */
static void check_ready(void)
{
    const int whole = (int)sizeof(struct monitor_ready_reply) + 5;
    bool good = true;
    for (ready_more = -whole; ready_more <= 1; ready_more++) {
        const bool launched = launch(POOL, false);
        const int wait_status = finish(launched);
        good = good &&
               (ready_more == 0 ? launched : !launched && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 14);
    }
    ready_more = 0;
    check("an answer to READY that is not as long as it says ends the enclave", good);
}

static bool hears(uint16_t operation, uint64_t id)
{
    static uint8_t payload[DOOR_MESSAGE_MAX];
    struct door_header header;
    return receive(&header, payload) && header.operation == operation && header.id == id;
}

static bool echoes(int fd, const char *text)
{
    char got[16];
    const struct timeval most = {.tv_sec = WAIT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text) &&
           recv(fd, got, sizeof got, 0) == (ssize_t)strlen(text) && memcmp(got, text, strlen(text)) == 0;
}

static bool is_shut(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) <= 0;
}

static unsigned descriptors(void)
{
    char path[64];
    unsigned count = 0;
    struct stat facts;
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", enclave.pid, fd);
        count += lstat(path, &facts) == 0;
    }
    return count;
}

static void check_socket(bool limited)
{
    int one[2], two[2], three[2], pipes[2], datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, one) == 0 &&
             socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, two) == 0 &&
             socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, three) == 0 && pipe2(pipes, O_CLOEXEC) == 0,
         "sockets");
    check("an enclave that takes a socket launches", launch(secret_len(limited), false));
    hand(&one[1], 1, 1, 8);
    check("it is taken", hears(DOOR_AUDIT, 0) && echoes(one[0], "first"));
    hand(&two[1], 1, 2, 8);
    check("another takes its place", hears(DOOR_LEFT, 1) && hears(DOOR_AUDIT, 0) && echoes(two[0], "second"));
    close(one[1]);
    check("and the former is shut", is_shut(one[0]));
    kill(enclave.pid, SIGSTOP);
    hand(&three[1], 1, 10, 8);
    hand(&two[1], 1, 2, 8);
    kill(enclave.pid, SIGCONT);
    check("of two that it is rung for once the later stays", hears(DOOR_LEFT, 2) && hears(DOOR_AUDIT, 0) &&
                                                                 hears(DOOR_LEFT, 10) && hears(DOOR_AUDIT, 0) &&
                                                                 echoes(two[0], "later"));
    check("four descriptors and the socket are all it has", geteuid() != 0 || descriptors() == 5);
    check("the door serves on", says("echo door", "echo door", 9));
    hand((const int[]){three[1], one[0], pipes[0]}, 3, 3, 8);
    check("of several sent at once one is taken",
          hears(DOOR_LEFT, 2) && hears(DOOR_AUDIT, 0) && echoes(three[0], "third"));
    check("and the others are not even opened", geteuid() != 0 || descriptors() == 5);
    hand(&pipes[0], 1, 4, 8);
    check("what is no socket is shut at once", hears(DOOR_LEFT, 3) && hears(DOOR_AUDIT, 0) && hears(DOOR_LEFT, 4));
    hand(&datagram, 1, 5, 8);
    check("one that is connected to nobody is silent", hears(DOOR_AUDIT, 0) && says("echo on", "echo on", 7));
    hand(&three[1], 1, 6, 5);
    check("a packet that is too short brings none", hears(DOOR_LEFT, 5) && says("echo on", "echo on", 7));
    hand(&three[1], 1, 7, 8);
    check("the next is taken", hears(DOOR_AUDIT, 0) && echoes(three[0], "again"));
    hand(NULL, 0, 8, 8);
    check("a packet without one hangs up", hears(DOOR_LEFT, 7) && says("echo on", "echo on", 7));
    hand(&three[1], 1, 9, 8);
    close(three[1]);
    check("the next is taken", hears(DOOR_AUDIT, 0) && echoes(three[0], "again"));
    shutdown(three[0], SHUT_WR);
    check("its end is told", hears(DOOR_LEFT, 9));
    shutdown(enclave.sockets, SHUT_RDWR);
    check("when nobody is left to hand over it serves its door", says("echo on", "echo on", 7));
    finish(true);
    const int fds[] = {one[0], two[0], two[1], three[0], pipes[0], pipes[1], datagram};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
}

static void check_walls(const char *const *walls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char request[32], what[64];
        snprintf(request, sizeof request, "wall %s", walls[i]);
        snprintf(what, sizeof what, "killed for a forbidden call: %s", walls[i]);
        check(what, killed_by(request, SIGSYS));
    }
}

int main(int argc, char **argv)
{
    /* A program that takes no socket is killed for all of these, too. */
    static const char *const socket_walls[] = {
        "recvmsg of another", "recvmsg that waits", "recvfrom another",  "recvfrom that waits",
        "sendto another",     "sendto that waits",  "sendto by address", "sendmsg",
        "socket read",        "socket write",       "close another"};
    static const char *const walls[] = {
        "open",
        "exec",
        "protect",
        "fork",
        "socket",
        "ptrace",
        "read",
        "write",
        "futex",
        "close",
#if defined(__x86_64__)
        "x32"
#endif
    };
    if (argc != 4)
        return 2;
    program_path = argv[1];
    module_path = argv[2];
    bool root = geteuid() == 0;
    check_door(!root);
    program_path = argv[3];
    check_socket(!root);
    if (!root)
        return failures != 0;
    check_walls(socket_walls, sizeof socket_walls / sizeof *socket_walls);
    check_walls(walls, 4);
    program_path = argv[1];
    check_guests();
    check_broken_door();
    check_ready();
    check_walls(walls, sizeof walls / sizeof *walls);
    check_walls(socket_walls, sizeof socket_walls / sizeof *socket_walls);
    check("a NULL write in an import ends the enclave, not the guest", killed_by("fail import", SIGILL));
    check("and one after a guest's call", killed_by("fail after", SIGILL));
    check("and one without any guest", killed_by("fail null", SIGILL));
    check("and a stack without end of our own", killed_by("fail stack", SIGILL));
    scan_memory();
    printf("%s\n", failures ? "runtime_check FAILED" : "runtime_check ok");
    return failures != 0;
}
