/* pump: how long its end of a door looks before it sleeps, and sockets handed over, with an enclave that the test
 * plays.
 */
#include "check.h"

#include "pump.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct rig {
    struct pump *pump;
    struct door_window *window;
    int host_waits; /* what the enclave signals */
    int sockets;    /* where it takes sockets */
    int memory;     /* the window's */
    uint64_t left;
    uint64_t channel;
    unsigned replies;
    bool bent; /* a reply had other bytes than its channel's */
    bool up;
    unsigned served; /* what the archive was asked */
};

static enum status serve(void *context, const struct door_header *header, struct bytes payload, struct writer *answer)
{
    (void)header, (void)payload;
    ((struct rig *)context)->served++;
    return writer_end(answer);
}

static void abandon(void *context)
{
    (void)context;
}

static enum status reply(void *context, uint64_t now_ms, uint64_t channel, struct bytes body, bool more)
{
    struct rig *rig = context;
    (void)now_ms, (void)more;
    for (size_t i = 0; i < body.len; i++)
        rig->bent |= body.data[i] != (uint8_t)channel;
    rig->channel = channel;
    rig->replies++;
    return OK;
}

static void set_enclave(void *context, uint64_t now_ms, bool up)
{
    (void)now_ms;
    ((struct rig *)context)->up = up;
}

static void left(void *context, uint64_t channel)
{
    ((struct rig *)context)->left = channel;
}

static void begin_with(struct rig *rig, bool threaded)
{
    const struct pump_archive archive = {threaded ? pthread_create : NULL, rig, serve, abandon};
    const char *why = NULL;
    int ends[2];
    *rig = (struct rig){0};
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    rig->sockets = ends[0];
    int memory = memfd_create("window", MFD_CLOEXEC);
    assert_int_equal(0, ftruncate(memory, sizeof *rig->window));
    rig->memory = dup(memory);
    rig->window = mmap(NULL, sizeof *rig->window, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    assert_true(rig->window != MAP_FAILED);
    rig->window->version = DOOR_VERSION;
    check_ok(pump_new(&archive, &rig->pump, &why));
    pump_set_front(rig->pump, &(struct pump_front){rig, reply, set_enclave, left});
    assert_false(pump_linger(rig->pump, 1000)); /* without a door there is nothing to look at */
    rig->host_waits = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check_status(WRONG_STATE, pump_hand(rig->pump, 1, rig->sockets));
    const int door[LAUNCHED_DESCRIPTORS] = {memory, eventfd(0, EFD_CLOEXEC), dup(rig->host_waits), ends[1]};
    check_ok(pump_attach(rig->pump, 1, door));
    assert_true(rig->up);
}

static void begin(struct rig *rig)
{
    begin_with(rig, true);
}

static void done(struct rig *rig)
{
    pump_free(rig->pump);
    close(rig->host_waits);
    close(rig->sockets);
    close(rig->memory);
    munmap(rig->window, sizeof *rig->window);
}

/* As an enclave does: the message, then the signal if somebody sleeps. True: somebody did. */
static bool tell(struct rig *rig, enum door_operation operation, uint64_t channel)
{
    struct door_ring *ring = &rig->window->to_host;
    const struct door_header header = {.operation = (uint16_t)operation, .id = channel};
    const uint64_t one = 1;
    memcpy(ring->data + (ring->head & (DOOR_RING_LEN - 1)), &header, sizeof header);
    __atomic_store_n(&ring->head, ring->head + (uint32_t)sizeof header, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&ring->waiting, __ATOMIC_SEQ_CST))
        return false;
    assert_int_equal(sizeof one, write(rig->host_waits, &one, sizeof one));
    return true;
}

static bool answer(struct rig *rig, uint64_t channel)
{
    return tell(rig, DOOR_REPLY, channel);
}

static void what_is_said_while_it_lingers_is_seen_without_a_signal(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    check_ok(pump_run(rig.pump, 1));
    assert_false(answer(&rig, 7));
    assert_true(pump_linger(rig.pump, 1000000));
    check_ok(pump_run(rig.pump, 1));
    assert_int_equal(1, rig.replies);
    assert_int_equal(7, rig.channel);
    done(&rig);
}

#define BODY_LEN 3000u
#define MESSAGES 2000u /* of 6 MB: each ring is gone through several times */

static void copy(uint8_t *ring, uint32_t at, uint8_t *bytes, size_t len, bool in)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t *place = ring + ((at + i) & (DOOR_RING_LEN - 1));
        *(in ? place : bytes + i) = *(in ? bytes + i : place);
    }
}

/* Neither ring keeps the memory of what went through it, and nothing that was said is lost with it. */
static void a_rings_pages_are_given_back_and_nothing_else(void **state)
{
    (void)state;
    struct rig rig;
    struct stat facts;
    begin(&rig);
    struct door_ring *out = &rig.window->to_host, *in = &rig.window->to_enclave;
    for (unsigned i = 1; i <= MESSAGES; i++) {
        uint8_t body[BODY_LEN + sizeof(struct door_header) + sizeof(struct door_request)];
        struct door_header header = {.operation = DOOR_REPLY, .len = BODY_LEN, .id = i};
        memset(body, (uint8_t)i, sizeof body);
        assert_true(out->head - out->tail < DOOR_TAIL_LAG);
        copy(out->data, out->head, (uint8_t *)&header, sizeof header, true);
        copy(out->data, out->head + (uint32_t)sizeof header, body, BODY_LEN, true);
        out->head += (uint32_t)sizeof header + BODY_LEN;
        check_ok(pump_ask(rig.pump, i, DOOR_VTPM_DATA, bytes_from(body, BODY_LEN)));
        check_ok(pump_run(rig.pump, 1));
        assert_int_equal(i, rig.replies);
        const uint32_t len = in->head - in->tail;
        assert_int_equal(sizeof body, len);
        copy(in->data, in->tail, body, len, false);
        for (size_t at = sizeof body - BODY_LEN; at < sizeof body; at++)
            assert_int_equal((uint8_t)i, body[at]);
        in->tail += len;
    }
    assert_false(rig.bent);
    assert_int_equal(0, fstat(rig.memory, &facts));
    assert_in_range(facts.st_blocks * 512, 1, 5 * DOOR_TAIL_LAG);
    done(&rig);
}

static void it_lingers_as_long_as_it_is_told_and_then_sleeps(void **state)
{
    (void)state;
    struct rig rig;
    struct timespec from, to;
    begin(&rig);
    check_ok(pump_run(rig.pump, 1));
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_false(pump_linger(rig.pump, 3000));
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec >= 3000000);
    assert_int_equal(-1, pump_timeout(rig.pump));
    assert_true(answer(&rig, 8)); /* from here on it wants to be woken */
    assert_int_equal(0, pump_timeout(rig.pump));
    check_ok(pump_run(rig.pump, 1));
    assert_int_equal(8, rig.channel);
    done(&rig);
}

static void what_was_said_between_is_not_slept_over(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    check_ok(pump_run(rig.pump, 1));
    assert_false(pump_linger(rig.pump, 0));
    assert_false(answer(&rig, 9));               /* nobody was told, */
    assert_int_equal(0, pump_timeout(rig.pump)); /* and nobody sleeps */
    check_ok(pump_run(rig.pump, 1));
    assert_int_equal(9, rig.channel);
    done(&rig);
}

/* What the enclave finds: the number, and a descriptor; -1: nothing. */
static int taken(struct rig *rig, uint64_t *id)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } room;
    struct door_socket socket;
    struct iovec piece = {&socket, sizeof socket};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room.space, .msg_controllen = sizeof room.space};
    int fd;
    if (recvmsg(rig->sockets, &message, MSG_DONTWAIT) != (ssize_t)sizeof socket)
        return -1;
    const struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    assert_true(part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS);
    assert_int_equal(CMSG_LEN(sizeof fd), part->cmsg_len);
    memcpy(&fd, CMSG_DATA(part), sizeof fd);
    *id = socket.id;
    return fd;
}

static void a_socket_is_handed_over_and_its_end_told(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t id = 0;
    int ends[2];
    char byte = 0;
    begin(&rig);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    check_ok(pump_hand(rig.pump, 77, ends[1]));
    int fd = taken(&rig, &id);
    assert_int_equal(77, id);
    assert_int_equal(1, write(fd, "x", 1));
    assert_int_equal(1, read(ends[0], &byte, 1));
    assert_int_equal('x', byte);
    close(fd);
    (void)tell(&rig, DOOR_LEFT, 77);
    check_ok(pump_run(rig.pump, 1));
    assert_int_equal(77, rig.left);
    /* An enclave that takes none fills nobody's memory. */
    enum status status = OK;
    for (int i = 0; i < 100000 && status == OK; i++)
        status = pump_hand(rig.pump, 78, ends[1]);
    check_status(BUSY, status);
    close(ends[0]);
    close(ends[1]);
    done(&rig);
}

static void what_an_enclave_said_last_is_heard_when_it_is_gone(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    (void)answer(&rig, 9);
    pump_detach(rig.pump, 1);
    assert_int_equal(1, rig.replies);
    assert_int_equal(9, rig.channel);
    assert_false(rig.up);
    pump_detach(rig.pump, 1);
    assert_int_equal(1, rig.replies);
    done(&rig);
}

static void without_a_thread_the_archive_answers_at_once(void **state)
{
    (void)state;
    struct rig rig;
    struct door_header header;
    begin_with(&rig, false);
    assert_int_equal(-1, pump_archive_fd(rig.pump));
    (void)tell(&rig, DOOR_SYNC, 5);
    check_ok(pump_run(rig.pump, 1));
    assert_int_equal(1, rig.served);
    memcpy(&header, rig.window->to_enclave.data, sizeof header);
    assert_int_equal(sizeof header, rig.window->to_enclave.head);
    assert_int_equal(DOOR_COMPLETE, header.operation);
    assert_int_equal(5, header.id);
    done(&rig);
}

static void without_a_thread_what_finds_no_room_is_done_in_the_next_turn(void **state)
{
    (void)state;
    struct rig rig;
    begin_with(&rig, false);
    for (unsigned i = 0; i <= PUMP_JOBS; i++)
        (void)tell(&rig, DOOR_SYNC, i);
    check_ok(pump_run(rig.pump, 1));
    assert_int_equal(PUMP_JOBS, rig.served);
    assert_int_equal(0, pump_timeout(rig.pump));
    check_ok(pump_run(rig.pump, 1));
    assert_int_equal(PUMP_JOBS + 1, rig.served);
    assert_int_equal((PUMP_JOBS + 1) * sizeof(struct door_header), rig.window->to_enclave.head);
    done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_while_it_lingers_is_seen_without_a_signal),
        cmocka_unit_test(a_rings_pages_are_given_back_and_nothing_else),
        cmocka_unit_test(it_lingers_as_long_as_it_is_told_and_then_sleeps),
        cmocka_unit_test(what_was_said_between_is_not_slept_over),
        cmocka_unit_test(a_socket_is_handed_over_and_its_end_told),
        cmocka_unit_test(what_an_enclave_said_last_is_heard_when_it_is_gone),
        cmocka_unit_test(without_a_thread_the_archive_answers_at_once),
        cmocka_unit_test(without_a_thread_what_finds_no_room_is_done_in_the_next_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
