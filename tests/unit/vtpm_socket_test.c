/* vtpm: the data socket that was handed over — whole commands, halves, many, none; peers that never read; commits. */
#include "vtpm_rig.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define INDEX 0x01500001u

static int enclaves = -1; /* our end, as the runtime has it under one number */
static unsigned closed;

static enum status receive(uint8_t *room, size_t cap, size_t *len)
{
    assert_true(enclaves >= 0 && cap > 0);
    ssize_t got = recv(enclaves, room, cap, MSG_DONTWAIT);
    if (got > 0)
        *len = (size_t)got;
    return got > 0 ? OK : got < 0 && errno == EAGAIN ? BUSY : NOT_FOUND;
}

static enum status transmit(struct bytes data, size_t *sent)
{
    assert_true(enclaves >= 0);
    ssize_t got = send(enclaves, data.data, data.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (got >= 0)
        *sent = (size_t)got;
    return got >= 0 ? OK : errno == EAGAIN ? BUSY : NOT_FOUND;
}

static void shut(void)
{
    close(enclaves);
    enclaves = -1;
    closed++;
}

/* As the runtime's loop: turns while there is something, never one for nothing. */
static void turns(struct rig *rig)
{
    bool ready = true;
    for (int i = 0; i < 5000; i++) {
        const short wanted = vtpm_serve_socket(rig->vtpm, ready);
        const bool busy = rig->first || rig->advancing;
        rig_run(rig);
        if (enclaves < 0) {
            assert_int_equal(0, wanted);
            return;
        }
        struct pollfd waited = {.fd = enclaves, .events = wanted};
        ready = wanted && poll(&waited, 1, 0) > 0;
        if (!ready && !busy)
            return;
    }
    fail_msg("it turns for ever");
}

/* The peer's end. */
static int hand_over(struct rig *rig)
{
    int ends[2];
    if (enclaves >= 0)
        close(enclaves);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    enclaves = ends[1];
    vtpm_took_socket(rig->vtpm);
    turns(rig);
    return ends[0];
}

static void begin(struct rig *rig)
{
    rig_init(rig);
    rig->socket = (struct vtpm_socket_port){receive, transmit, shut};
    closed = 0;
    rig_on(rig);
}

static void end(struct rig *rig, int fd)
{
    if (fd >= 0)
        close(fd);
    if (enclaves >= 0)
        close(enclaves);
    enclaves = -1;
    rig_done(rig);
}

static void say(struct rig *rig, int fd, struct bytes bytes)
{
    assert_int_equal(bytes.len, send(fd, bytes.data, bytes.len, MSG_NOSIGNAL));
    turns(rig);
}

/* UINT32_MAX: no answer is there. 0xe0f: it was hung up on. */
static uint32_t hear(int fd)
{
    uint8_t head[10], rest[SWTPM_TPM_MAX];
    ssize_t got = recv(fd, head, sizeof head, MSG_DONTWAIT);
    if (got <= 0)
        return got == 0 || errno == ECONNRESET ? 0xe0f : UINT32_MAX;
    assert_int_equal(sizeof head, got);
    struct reader reader = reader_over(BYTES_OF(head));
    (void)take_u16be(&reader);
    const uint32_t len = take_u32be(&reader);
    assert_true(len >= sizeof head && len <= SWTPM_TPM_MAX);
    if (len > sizeof head)
        assert_int_equal(len - sizeof head, recv(fd, rest, len - sizeof head, MSG_DONTWAIT));
    return take_u32be(&reader);
}

static const uint8_t RANDOM[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 16};

static void commands_are_read_and_answered_here(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    const uint64_t sequence = rig.sequence;
    int fd = hand_over(&rig);
    assert_int_equal(UINT32_MAX, hear(fd));
    say(&rig, fd, BYTES_OF(RANDOM));
    assert_int_equal(0, hear(fd));
    for (size_t i = 0; i < sizeof RANDOM; i++) {
        assert_int_equal(UINT32_MAX, hear(fd));
        say(&rig, fd, bytes_from(RANDOM + i, 1));
    }
    assert_int_equal(0, hear(fd));
    assert_int_equal(UINT32_MAX, hear(fd));
    assert_int_equal(sequence, rig.sequence);
    assert_int_equal(0, closed);
    end(&rig, fd);
}

static void a_prefix_is_answered_by_one(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64], got[64];
    struct writer writer = writer_over(room, sizeof room);
    begin(&rig);
    int fd = hand_over(&rig);
    put_u32be(&writer, 8);
    put_u8(&writer, 0);
    put_u32be(&writer, sizeof RANDOM);
    put_bytes(&writer, BYTES_OF(RANDOM));
    say(&rig, fd, writer_bytes(&writer));
    assert_int_equal(4 + 28 + 4, recv(fd, got, sizeof got, MSG_DONTWAIT));
    assert_memory_equal("\0\0\0\x1c\x80\1\0\0\0\x1c\0\0\0\0", got, 14);
    end(&rig, fd);
}

static void many_at_once_are_answered_in_order_and_one_a_turn(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t many[50 * sizeof RANDOM + 5];
    begin(&rig);
    int fd = hand_over(&rig);
    for (size_t i = 0; i < 50; i++)
        memcpy(many + i * sizeof RANDOM, RANDOM, sizeof RANDOM);
    memcpy(many + 50 * sizeof RANDOM, RANDOM, 5);
    assert_int_equal(sizeof many, send(fd, many, sizeof many, 0));
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(i < 49 ? POLLOUT : POLLIN, vtpm_serve_socket(rig.vtpm, true));
        assert_int_equal(0, hear(fd));
        assert_int_equal(UINT32_MAX, hear(fd));
    }
    say(&rig, fd, bytes_from(RANDOM + 5, sizeof RANDOM - 5));
    assert_int_equal(0, hear(fd));
    end(&rig, fd);
}

static void what_is_no_command_is_refused_and_what_has_no_end_hung_up_on(void **state)
{
    (void)state;
    static const uint8_t short_one[] = {0x80, 1, 0, 0, 0, 9, 0, 0, 1, 0x7b, 0, 16},
                         endless[] = {0x80, 1, 0, 0, 0x10, 1};
    uint8_t longest[SWTPM_TPM_MAX] = {0x80, 1, 0, 0, 0x10, 0, 0, 0, 1, 0x7b};
    struct rig rig;
    begin(&rig);
    int fd = hand_over(&rig);
    say(&rig, fd, BYTES_OF(short_one));
    assert_int_equal(0x142, hear(fd)); /* TPM_RC_COMMAND_SIZE */
    say(&rig, fd, BYTES_OF(RANDOM));
    assert_int_equal(0, hear(fd));
    say(&rig, fd, BYTES_OF(longest));
    assert_int_not_equal(0, hear(fd)); /* refused by libtpms */
    assert_int_equal(0, closed);
    say(&rig, fd, BYTES_OF(endless));
    assert_int_equal(0xe0f, hear(fd));
    assert_int_equal(1, closed);
    assert_int_equal(0, vtpm_serve_socket(rig.vtpm, false));
    end(&rig, fd);
}

static void a_peer_that_never_reads_is_not_read_either_and_hears_everything_later(void **state)
{
    (void)state;
    struct rig rig;
    int small = 1;
    size_t said = 0, heard = 0;
    begin(&rig);
    int fd = hand_over(&rig);
    assert_int_equal(0, setsockopt(enclaves, SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
    while (said < 100000 && send(fd, RANDOM, sizeof RANDOM, MSG_DONTWAIT) == sizeof RANDOM) {
        said++;
        turns(&rig);
    }
    assert_true(said > 10 && said < 100000);
    assert_int_equal(POLLOUT, vtpm_serve_socket(rig.vtpm, false));
    assert_int_equal(POLLOUT, vtpm_serve_socket(rig.vtpm, true));
    /* Its vTPM serves others meanwhile. */
    assert_int_equal(0, rig_tpm(&rig, BYTES_OF(RANDOM), NULL));
    for (uint32_t code; (code = hear(fd)) != UINT32_MAX; heard++) {
        assert_int_equal(0, code);
        turns(&rig);
    }
    assert_int_equal(said, heard);
    end(&rig, fd);
}

static struct bytes nv_define(void)
{
    static uint8_t room[128];
    struct writer writer = writer_over(room, sizeof room);
    const uint32_t handles[] = {RIG_OWNER};
    put_u16be(&writer, 0);
    put_u16be(&writer, 14);
    put_u32be(&writer, INDEX);
    put_u16be(&writer, 0x000b);
    put_u32be(&writer, 0x02040004);
    put_u16be(&writer, 0);
    put_u16be(&writer, 8);
    return rig_command(0x12a, handles, 1, rig_no_auth, writer_bytes(&writer));
}

static void what_changes_the_tpm_is_answered_when_it_is_durable(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t both[256];
    begin(&rig);
    int fd = hand_over(&rig);
    struct bytes define = nv_define();
    memcpy(both, define.data, define.len);
    memcpy(both + define.len, RANDOM, sizeof RANDOM);
    assert_int_equal(define.len + sizeof RANDOM, send(fd, both, define.len + sizeof RANDOM, 0));
    const uint64_t sequence = rig.sequence;
    assert_int_equal(0, vtpm_serve_socket(rig.vtpm, true)); /* nobody is to be waited for */
    assert_int_equal(0, vtpm_serve_socket(rig.vtpm, true));
    assert_int_equal(UINT32_MAX, hear(fd));
    rig_run(&rig);
    assert_int_equal(sequence + 1, rig.sequence);
    assert_int_equal(0, hear(fd));
    assert_int_equal(UINT32_MAX, hear(fd)); /* the next one had to wait */
    assert_int_equal(POLLIN, vtpm_serve_socket(rig.vtpm, false));
    assert_int_equal(0, hear(fd));
    end(&rig, fd);
}

static void nobody_hears_the_answer_to_anothers_command(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    int fd = hand_over(&rig);
    struct bytes define = nv_define();
    assert_int_equal(define.len, send(fd, define.data, define.len, 0));
    assert_int_equal(0, vtpm_serve_socket(rig.vtpm, true));
    assert_int_equal(UINT32_MAX, hear(fd));
    close(fd);
    close(enclaves);
    enclaves = -1;
    int ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    enclaves = ends[1];
    vtpm_took_socket(rig.vtpm); /* while the former's commit is under way */
    assert_int_equal(sizeof RANDOM, send(ends[0], RANDOM, sizeof RANDOM, 0));
    assert_int_equal(0, vtpm_serve_socket(rig.vtpm, true));
    rig_run(&rig);
    assert_int_equal(UINT32_MAX, hear(ends[0]));
    turns(&rig);
    assert_int_equal(0, hear(ends[0]));
    assert_int_equal(UINT32_MAX, hear(ends[0]));
    /* Nor does a channel by its number. */
    const struct door_header header = {.operation = DOOR_REQUEST, .len = sizeof(struct door_request), .id = UINT64_MAX};
    const struct door_request request = {.transport = DOOR_VTPM_CONTROL};
    vtpm_receive(rig.vtpm, &header, bytes_from(&request, sizeof request));
    rig_run(&rig);
    assert_non_null(strstr(rig.audit, "dropped=request"));
    assert_int_equal(UINT32_MAX, hear(ends[0]));
    end(&rig, ends[0]);
}

static void half_a_command_goes_with_its_peer(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    int fd = hand_over(&rig);
    say(&rig, fd, bytes_from(RANDOM, 7));
    close(fd);
    turns(&rig);
    assert_int_equal(1, closed);
    fd = hand_over(&rig);
    say(&rig, fd, BYTES_OF(RANDOM));
    assert_int_equal(0, hear(fd));
    say(&rig, fd, bytes_from(RANDOM, 7));
    int next = hand_over(&rig); /* another takes its place */
    say(&rig, next, BYTES_OF(RANDOM));
    assert_int_equal(0, hear(next));
    close(fd);
    end(&rig, next);
}

static void while_the_store_is_loading_it_waits(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    rig_stop(&rig);
    rig.die_at = 1;
    (void)rig_launch(&rig); /* the host says nothing more */
    int ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    enclaves = ends[1];
    vtpm_took_socket(rig.vtpm);
    assert_int_equal(sizeof RANDOM, send(ends[0], RANDOM, sizeof RANDOM, 0));
    assert_int_equal(0, vtpm_serve_socket(rig.vtpm, true));
    assert_int_equal(UINT32_MAX, hear(ends[0]));
    end(&rig, ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_read_and_answered_here),
        cmocka_unit_test(a_prefix_is_answered_by_one),
        cmocka_unit_test(many_at_once_are_answered_in_order_and_one_a_turn),
        cmocka_unit_test(what_is_no_command_is_refused_and_what_has_no_end_hung_up_on),
        cmocka_unit_test(a_peer_that_never_reads_is_not_read_either_and_hears_everything_later),
        cmocka_unit_test(what_changes_the_tpm_is_answered_when_it_is_durable),
        cmocka_unit_test(nobody_hears_the_answer_to_anothers_command),
        cmocka_unit_test(half_a_command_goes_with_its_peer),
        cmocka_unit_test(while_the_store_is_loading_it_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
