/* A monitor's loop for its tests: a node's files, callers over the real control socket, and enclaves that are sockets
 * of the test's, for what is tried is who is told what of which. */
#ifndef BASTIDE_TESTS_SERVE_RIG_H
#define BASTIDE_TESTS_SERVE_RIG_H

#include "check.h"

#include "node.h"
#include "serve_internal.h"
#include "walls.h"
#include "x509.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 20000
#define LAUNCHES_MAX 256
#define NAMED_MAX (SITES_MAX - 1)

/* ---- What stands around the loop ---- */

static char home[] = "/tmp/serve_test.XXXXXX";
static struct serve_options options = {.home = home, .insecure_dev = true, .pool_len = 16 << 20};
static struct serve serve;
static pthread_t thread;
static uint8_t slots[2][HEADS_SLOT_LEN];
static size_t slot_lens[2];
static _Atomic uint64_t counter = 1;
static atomic_uint missing_wall_of;         /* the enclave that has no system-call filter */
static atomic_int no_namespaces_of, silent; /* that has none; that does not ask READY */

/* The enclave of process n: its socket's other end, and the end of a pipe that its process would close by dying. */
static struct {
    _Atomic int socket, life;
} enclaves[LAUNCHES_MAX];
static _Atomic int launches;

enum status __wrap_enclave_start(const struct enclave_plan *plan, struct enclave *enclave);
enum status __wrap_enclave_take_report(struct enclave *enclave);
int __wrap_enclave_end(struct enclave *enclave);
uint32_t __wrap_walls_of_process(const char *root, pid_t pid, unsigned filters, uint64_t *locked);
enum status __wrap_serve_tpm(struct serve *of, struct tpm **tpm);

enum status __wrap_enclave_start(const struct enclave_plan *plan, struct enclave *enclave)
{
    const struct monitor_header ready = {.version = MONITOR_VERSION, .operation = MONITOR_READY};
    int sockets[2], life[2], n = ++launches;
    if (n >= LAUNCHES_MAX || plan->image->files[0] < 0)
        return IO;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0 || pipe2(life, O_CLOEXEC) != 0)
        return IO;
    enclave_clear(enclave);
    enclave->pid = n;
    enclave->process = life[0];
    enclave->walls = n == no_namespaces_of ? 0 : EAT_WALL_NAMESPACES;
    enclave->socket = sockets[0];
    enclave->window = open("/dev/null", O_RDWR | O_CLOEXEC);
    enclave->enclave_waits = open("/dev/null", O_RDWR | O_CLOEXEC);
    enclave->host_waits = open("/dev/null", O_RDWR | O_CLOEXEC);
    enclave->sockets = open("/dev/null", O_RDWR | O_CLOEXEC);
    enclaves[n].socket = sockets[1];
    enclaves[n].life = life[1];
    return n == silent || send(sockets[1], &ready, sizeof ready, MSG_NOSIGNAL) == sizeof ready ? OK : IO;
}

enum status __wrap_enclave_take_report(struct enclave *enclave)
{
    return enclave->pid ? OK : IO;
}

static void let_die(int n)
{
    int life = atomic_exchange(&enclaves[n].life, 0), socket = atomic_exchange(&enclaves[n].socket, 0);
    if (socket)
        close(socket);
    if (life)
        close(life);
}

int __wrap_enclave_end(struct enclave *enclave)
{
    const int *fds[] = {&enclave->process,       &enclave->socket,     &enclave->window,
                        &enclave->enclave_waits, &enclave->host_waits, &enclave->sockets};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    let_die(enclave->pid);
    enclave_clear(enclave);
    return W_EXITCODE(0, SIGKILL);
}

uint32_t __wrap_walls_of_process(const char *root, pid_t pid, unsigned filters, uint64_t *locked)
{
    (void)root, (void)filters;
    *locked = 0;
    return (unsigned)pid == missing_wall_of ? 0 : EAT_WALL_SYSCALL_FILTER;
}

enum status __wrap_serve_tpm(struct serve *of, struct tpm **tpm)
{
    (void)of, (void)tpm;
    return IO;
}

static enum status read_slot(void *context, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    (void)context;
    memcpy(data, slots[slot], HEADS_SLOT_LEN);
    *len = slot_lens[slot];
    return OK;
}

static enum status write_slot(void *context, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    (void)context;
    memcpy(slots[slot], data, HEADS_SLOT_LEN);
    slot_lens[slot] = HEADS_SLOT_LEN;
    return OK;
}

static unsigned syncs;
static uint8_t records[HEADS_SITES_MAX][HEADS_RECORDS][HEADS_PLACE_LEN];

static enum status read_record(void *context, size_t place, unsigned which, uint8_t data[HEADS_PLACE_LEN])
{
    (void)context;
    memcpy(data, records[place][which], HEADS_PLACE_LEN);
    return OK;
}

static enum status write_record(void *context, size_t place, unsigned which, const uint8_t data[HEADS_PLACE_LEN])
{
    (void)context;
    memcpy(records[place][which], data, HEADS_PLACE_LEN);
    return OK;
}

static enum status sync_records(void *context)
{
    (void)context;
    syncs++;
    return OK;
}

static enum status read_counter(void *context, uint64_t *value)
{
    (void)context;
    *value = counter;
    return OK;
}

static enum status increment_counter(void *context, uint64_t *value)
{
    (void)context;
    *value = ++counter;
    return OK;
}

#include "serve_node.h"

/* ---- The loop ---- */

static void *loop(void *unused)
{
    serve_loop(&serve);
    return unused;
}

static void listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", home, name);
    serve.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(address.sun_path);
    assert_int_equal(0, bind(serve.listener, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(0, listen(serve.listener, 16));
}

static int start(void **unused)
{
    const struct heads_outside outside = {.read_slot = read_slot,
                                          .write_slot = write_slot,
                                          .read_record = read_record,
                                          .write_record = write_record,
                                          .sync_records = sync_records,
                                          .read_counter = read_counter,
                                          .increment_counter = increment_counter};
    enum heads_verdict verdict;
    char image[64];
    size_t place;
    (void)unused;
    serve = (struct serve){.options = &options, .files = {-1, -1, false}, .launcher = -1, .signals = -1};
    for (size_t i = 0; i < SERVE_CALLERS_MAX; i++)
        serve.callers[i].fd = -1;
    enclave_clear(&serve.own.enclave);
    char sentence[ENCLAVE_SENTENCE_MAX];
    snprintf(image, sizeof image, "%s/image", home);
    check_ok(site_read(&serve.own.is, home, sentence));
    check_ok(site_load_image(&serve.sites, &serve.own.is, image, sentence));
    check_ok(sites_enter(&serve.sites, &serve.own.is, &serve.heads, &place, sentence));
    serve.at[place] = &serve.own;
    memset(slot_lens, 0, sizeof slot_lens);
    static const uint8_t key[32] = {1};
    check_ok(heads_start(&serve.heads, &outside, BYTES_OF(key), counter, 0, &verdict));
    listen_at("run/monitor.sock");
    missing_wall_of = 0;
    no_namespaces_of = silent = 0;
    options.required = 0;
    launches = 0;
    return pthread_create(&thread, NULL, loop, NULL);
}

/* ---- Callers ---- */

static int reach(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/run/monitor.sock", home);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static void say(int fd, uint16_t operation, const char *name)
{
    uint8_t room[256];
    struct monitor_instance instance = {{0}};
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = operation, .len = *name ? sizeof instance : 0};
    struct writer writer = writer_over(room, sizeof room);
    snprintf(instance.name, sizeof instance.name, "%s", name);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, bytes_from(&instance, header.len));
    assert_int_equal(writer.len, send(fd, room, writer.len, MSG_NOSIGNAL));
}

static inline void say_relaxed(int fd, const char *name)
{
    struct {
        struct monitor_header header;
        struct monitor_attach attach;
    } said = {.header = {.version = MONITOR_VERSION, .operation = MONITOR_ATTACH, .len = sizeof said.attach},
              .attach = {.relaxed = 1}};
    snprintf(said.attach.instance.name, sizeof said.attach.instance.name, "%s", name);
    assert_int_equal(sizeof said, send(fd, &said, sizeof said, MSG_NOSIGNAL));
}

struct heard {
    struct monitor_header header;
    uint8_t payload[2048];
    int passed;
};

/* False: hung up on, or nothing came in time. */
static bool hear(int fd, struct heard *heard)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } room;
    struct iovec pieces[2] = {{&heard->header, sizeof heard->header}, {heard->payload, sizeof heard->payload - 1}};
    struct msghdr message = {
        .msg_iov = pieces, .msg_iovlen = 2, .msg_control = room.space, .msg_controllen = sizeof room.space};
    struct pollfd waited = {.fd = fd, .events = POLLIN};
    memset(heard, 0, sizeof *heard);
    if (poll(&waited, 1, TIMEOUT_MS) != 1 || recvmsg(fd, &message, MSG_CMSG_CLOEXEC) < (ssize_t)sizeof heard->header)
        return false;
    const struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    for (size_t i = 0; part && i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++, heard->passed++) {
        int passed;
        memcpy(&passed, CMSG_DATA(part) + i * sizeof(int), sizeof passed);
        close(passed);
    }
    return true;
}

static inline bool is_hung_up_on(int fd)
{
    char byte;
    struct pollfd waited = {.fd = fd, .events = POLLIN};
    return poll(&waited, 1, TIMEOUT_MS) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

static bool is_quiet(int fd)
{
    struct pollfd waited = {.fd = fd, .events = POLLIN};
    return poll(&waited, 1, 0) == 0;
}

static void hears_of_a_launch(int fd)
{
    struct heard heard;
    assert_true(hear(fd, &heard));
    assert_int_equal(MONITOR_LAUNCHED, heard.header.operation);
    assert_int_equal(LAUNCHED_DESCRIPTORS, heard.passed);
}

static int attach(const char *name, struct heard *heard)
{
    int fd = reach();
    say(fd, MONITOR_ATTACH, name);
    assert_true(hear(fd, heard));
    assert_int_equal(MONITOR_ATTACH, heard->header.operation);
    return fd;
}

static int attached(const char *name)
{
    struct heard heard;
    int fd = attach(name, &heard);
    check_status(OK, heard.header.status);
    hears_of_a_launch(fd);
    return fd;
}

static int stop(void **unused)
{
    struct heard heard;
    int fd = reach();
    (void)unused;
    say(fd, MONITOR_STOP, "");
    bool heard_it = hear(fd, &heard) && heard.header.status == OK;
    close(fd);
    pthread_join(thread, NULL);
    close(serve.listener);
    serve_done(&serve);
    for (int i = 1; i <= launches; i++)
        if (enclaves[i].life)
            return -1; /* an enclave outlived its monitor */
    return heard_it ? 0 : -1;
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
