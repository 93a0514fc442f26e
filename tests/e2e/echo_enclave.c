/* Monitor and enclave in one, at the far side of a real control socket and a real door: what it does with a request is
 * in the payload's first word. Commands on standard input: die, corrupt, launch, hang, pause, resume. */
#include "abi.h"
#include "base.h"
#include "coap.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LATER 4096

static struct door_window *window;
static int window_fd = -1, enclave_waits, host_waits;
static uint32_t head, tail;
static int listener, control = -1;
static bool launched, paused;
static unsigned launches;

static struct {
    uint64_t channel, due_ms;
    unsigned left; /* notifications */
    bool option;
} later[LATER];

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    fprintf(stderr, "echo_enclave: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void event(const char *what, uint64_t number)
{
    printf("%s %llu\n", what, (unsigned long long)number);
    fflush(stdout);
}

/* ---- The door, from the enclave's side ---- */

static void put(uint16_t operation, uint64_t id, struct bytes payload)
{
    struct door_header header = {operation, 0, (uint32_t)payload.len, id};
    struct door_ring *ring = &window->to_host;
    uint32_t need = (uint32_t)(sizeof header + payload.len + 7) & ~7u;
    while (need > DOOR_RING_LEN - (head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE)))
        usleep(100);
    for (size_t i = 0; i < sizeof header; i++)
        ring->data[(head + i) % DOOR_RING_LEN] = ((const uint8_t *)&header)[i];
    for (size_t i = 0; i < payload.len; i++)
        ring->data[(head + sizeof header + i) % DOOR_RING_LEN] = payload.data[i];
    head += need;
    __atomic_store_n(&ring->head, head, __ATOMIC_SEQ_CST);
    uint64_t one = 1;
    if (__atomic_load_n(&ring->waiting, __ATOMIC_SEQ_CST) && write(host_waits, &one, sizeof one) < 0)
        fail("write");
}

static bool take(struct door_header *header, uint8_t *payload)
{
    struct door_ring *ring = &window->to_enclave;
    uint32_t used = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - tail;
    if (used == 0)
        return false;
    for (size_t i = 0; i < sizeof *header; i++)
        ((uint8_t *)header)[i] = ring->data[(tail + i) % DOOR_RING_LEN];
    if (header->len > DOOR_MESSAGE_MAX - sizeof *header)
        fail("a message larger than the door's limit");
    for (size_t i = 0; i < header->len; i++)
        payload[i] = ring->data[(tail + sizeof *header + i) % DOOR_RING_LEN];
    tail += (uint32_t)(sizeof *header + header->len + 7) & ~7u;
    __atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
    return true;
}

/* ---- What it does with requests ---- */

static void answer(uint16_t operation, uint64_t channel, uint8_t code, bool option, int observe, struct bytes payload)
{
    static uint8_t buffer[DOOR_MESSAGE_MAX];
    static const uint8_t kid[] = {0x09, 0x25};
    uint8_t space[64];
    struct writer options = writer_over(space, sizeof space);
    struct coap_option_writer list = coap_options_to(&options);
    if (observe >= 0)
        coap_put_option_uint(&list, COAP_OBSERVE, (uint32_t)observe);
    if (option)
        coap_put_option(&list, COAP_OSCORE, BYTES_OF(kid));
    struct coap_body body = {code, writer_bytes(&options), payload};
    struct writer encoded = writer_over(buffer, sizeof buffer - sizeof(struct door_header));
    coap_body_encode(&encoded, &body);
    put(operation, channel, writer_bytes(&encoded));
}

static void answer_later(uint64_t channel, unsigned delay_ms, unsigned notifications, bool option)
{
    for (size_t i = 0; i < LATER; i++) {
        if (later[i].channel)
            continue;
        later[i].channel = channel;
        later[i].due_ms = now_ms() + delay_ms;
        later[i].left = notifications;
        later[i].option = option;
        return;
    }
    fail("too many late answers");
}

static bool starts(struct bytes payload, const char *word)
{
    return payload.len >= strlen(word) && memcmp(payload.data, word, strlen(word)) == 0;
}

static void serve(uint64_t channel, struct bytes message)
{
    struct coap_body body;
    struct bytes value;
    uint32_t observe;
    static uint8_t huge[DOOR_MESSAGE_MAX];
    if (message.len < sizeof(struct door_request) ||
        coap_body_decode(bytes_slice(message, sizeof(struct door_request), message.len - sizeof(struct door_request)),
                         &body) != OK)
        fail("a request that is no CoAP body");
    struct bytes payload = body.payload;
    /* libcoap's client knows no OSCORE and must refuse the critical option: a payload that starts so has it left out.
     */
    bool option = coap_option_find(body.options, COAP_OSCORE, &value) && !starts(payload, "bare");
    if (coap_option_find_uint(body.options, COAP_OBSERVE, &observe) == OK && observe == 0) {
        answer(DOOR_NOTIFY, channel, COAP_CONTENT, option, 1, bytes_from_text("observed"));
        answer_later(channel, 100, 5, option);
    } else if (starts(payload, "late")) {
        answer_later(channel, 700, 0, option);
    } else if (starts(payload, "never")) {
        event("never", channel);
    } else if (starts(payload, "huge")) {
        answer(DOOR_REPLY, channel, COAP_CONTENT, option, -1, bytes_from(huge, 230000));
    } else if (starts(payload, "garbage")) {
        put(DOOR_REPLY, channel, bytes_from("\x45\xff", 2));
    } else if (starts(payload, "unauthorized")) {
        answer(DOOR_REPLY, channel, COAP_UNAUTHORIZED, false, -1, bytes_from_text("Security context not found"));
    } else if (starts(payload, "unavailable")) {
        answer(DOOR_REPLY, channel, COAP_UNAVAILABLE, false, -1, (struct bytes){0});
    } else {
        answer(DOOR_REPLY, channel, COAP_CHANGED, option, -1, payload);
    }
}

static void serve_late(void)
{
    static unsigned count = 1;
    for (size_t i = 0; i < LATER; i++) {
        if (!later[i].channel || now_ms() < later[i].due_ms)
            continue;
        char text[32];
        if (later[i].left == 0) {
            answer(DOOR_REPLY, later[i].channel, COAP_CHANGED, later[i].option, -1, bytes_from_text("late"));
            later[i].channel = 0;
            continue;
        }
        snprintf(text, sizeof text, "notice %u", 6 - later[i].left);
        answer(DOOR_NOTIFY, later[i].channel, COAP_CONTENT, later[i].option, (int)++count, bytes_from_text(text));
        later[i].due_ms = now_ms() + 100;
        if (--later[i].left == 0)
            later[i].channel = 0;
    }
}

static void serve_door(void)
{
    static uint8_t payload[DOOR_MESSAGE_MAX];
    struct door_header header;
    while (launched && take(&header, payload)) {
        if (header.operation == DOOR_REQUEST) {
            serve(header.id, bytes_from(payload, header.len));
        } else if (header.operation == DOOR_GONE) {
            event("gone", header.id);
            for (size_t i = 0; i < LATER; i++)
                if (later[i].channel == header.id)
                    later[i].channel = 0;
        } else if (header.operation == DOOR_TICK) {
            event("tick", header.len);
        } else if (header.operation == DOOR_COMPLETE) {
            event(header.status == OK ? "complete" : "incomplete", header.id);
        }
    }
}

/* ---- The monitor's side ---- */

static void push(uint16_t operation, struct bytes payload, const int *fds, size_t count)
{
    struct monitor_header header = {.version = MONITOR_VERSION, .operation = operation, .len = (uint32_t)payload.len};
    uint8_t copy[64];
    memcpy(copy, payload.data, payload.len);
    struct iovec pieces[2] = {{&header, sizeof header}, {copy, payload.len}};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } passed = {0};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    if (count) {
        message.msg_control = passed.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    }
    if (sendmsg(control, &message, MSG_NOSIGNAL) < 0)
        fail("sendmsg");
}

static void launch(void)
{
    struct monitor_launched facts = {++launches, 0};
    if (window_fd >= 0) {
        munmap(window, sizeof *window);
        close(window_fd);
        close(enclave_waits);
        close(host_waits);
    }
    window_fd = memfd_create("door", MFD_CLOEXEC);
    if (window_fd < 0 || ftruncate(window_fd, sizeof *window) < 0)
        fail("memfd");
    window = mmap(NULL, sizeof *window, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
    enclave_waits = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    host_waits = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (window == MAP_FAILED || enclave_waits < 0 || host_waits < 0)
        fail("window");
    window->version = DOOR_VERSION;
    head = tail = 0;
    memset(later, 0, sizeof later);
    launched = true;
    /* This enclave takes no socket: any descriptor does. */
    push(MONITOR_LAUNCHED, bytes_from(&facts, sizeof facts), (int[]){window_fd, enclave_waits, host_waits, host_waits},
         4);
    put(DOOR_AUDIT, 0, bytes_from("hello \"\x01\xff operator", 17));
    uint8_t unknown[4] = {1, 2, 3, 4};
    put(999, 7, BYTES_OF(unknown));
    put(DOOR_REPLY, 12345, BYTES_OF(unknown));
    struct door_tick soon = {1};
    put(DOOR_TIMER, 0, bytes_from(&soon, sizeof soon));
    put(DOOR_LOG_APPEND, 1, bytes_from_text("a sealed record"));
    put(DOOR_SYNC, 77, (struct bytes){0});
    event("launched", launches);
}

static void command(const char *line)
{
    struct {
        struct monitor_died facts;
        char text[16];
    } death = {{4711, 9}, "killed \"so\""};
    if (strcmp(line, "die\n") == 0) {
        launched = false;
        push(MONITOR_DIED, bytes_from(&death, sizeof death), NULL, 0);
    } else if (strcmp(line, "launch\n") == 0) {
        launch();
    } else if (strcmp(line, "corrupt\n") == 0) {
        uint64_t one = 1;
        __atomic_store_n(&window->to_host.head, head + DOOR_RING_LEN + 8, __ATOMIC_SEQ_CST);
        if (write(host_waits, &one, sizeof one) < 0)
            fail("write");
    } else if (strcmp(line, "hang\n") == 0) {
        close(control);
        control = -1;
        launched = false;
    } else if (strcmp(line, "pause\n") == 0) {
        paused = true;
    } else if (strcmp(line, "resume\n") == 0) {
        paused = false;
    }
}

static void serve_control(void)
{
    struct monitor_header header;
    ssize_t got = recv(control, &header, sizeof header, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) {
        close(control);
        control = -1;
        launched = false;
        event("hung-up", 0);
    } else if (got == (ssize_t)sizeof header && header.operation == MONITOR_ATTACH) {
        push(MONITOR_ATTACH, (struct bytes){(const uint8_t *)"", 0}, NULL, 0);
        launch();
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2)
        return 2;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
    unlink(argv[1]);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4) < 0)
        fail("bind");
    for (;;) {
        bool asleep = false;
        if (launched) {
            __atomic_store_n(&window->to_enclave.waiting, 1, __ATOMIC_SEQ_CST);
            asleep = __atomic_load_n(&window->to_enclave.head, __ATOMIC_SEQ_CST) == tail;
        }
        struct pollfd fds[4] = {{0, POLLIN, 0},
                                {control < 0 ? listener : -1, POLLIN, 0},
                                {control, POLLIN, 0},
                                {launched ? enclave_waits : -1, POLLIN, 0}};
        if (poll(fds, 4, launched && !asleep && !paused ? 0 : 20) < 0)
            fail("poll");
        if (launched) {
            uint64_t count;
            __atomic_store_n(&window->to_enclave.waiting, 0, __ATOMIC_SEQ_CST);
            if (fds[3].revents && read(enclave_waits, &count, sizeof count) < 0)
                fail("read");
            if (!paused)
                serve_door();
            serve_late();
        }
        if (fds[1].revents)
            control = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fds[2].revents && control >= 0)
            serve_control();
        char line[32];
        if (fds[0].revents) {
            if (!fgets(line, sizeof line, stdin))
                return 0;
            command(line);
        }
    }
}
