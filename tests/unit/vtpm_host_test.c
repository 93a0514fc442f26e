/* vtpm_host: the sockets of a vTPM, with an enclave that the test plays. */
#include "vtpm_host_rig.h"
#include "vtpm_keys.h"
#include "vtpm_transfer.h"

static void frames_go_to_the_enclave_and_answers_to_who_asked(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    rig.hand_says = BUSY; /* so that all are relayed */
    int control = reach(rig.control), data = reach(rig.data);
    assert_false(vtpm_host_asks(rig.host));
    say(&rig, control, CAPABILITY, 4);
    say(&rig, data, RANDOM, 12);
    assert_int_equal(2, rig.asked_count);
    assert_int_equal(DOOR_VTPM_CONTROL, rig.asked[0].transport);
    assert_int_equal(DOOR_VTPM_DATA, rig.asked[1].transport);
    assert_memory_equal(RANDOM, rig.asked[1].frame, 12);
    check_ok(vtpm_host_reply(rig.host, rig.asked[1].channel, bytes_from_text("random")));
    assert_int_equal(6, hear(data, room));
    assert_int_equal(-1, hear(control, room));
    assert_true(vtpm_host_asks(rig.host));
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from_text("all")));
    assert_int_equal(3, hear(control, room));
    assert_false(vtpm_host_asks(rig.host));
    check_status(NOT_FOUND, vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from_text("again")));
    check_status(NOT_FOUND, vtpm_host_reply(rig.host, 12345, bytes_from_text("nobody")));
    close(control);
    close(data);
    done(&rig);
}

static void a_frame_may_come_byte_by_byte_and_many_at_once(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64], many[4 * 20];
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    rig.hand_says = BUSY; /* so that all are relayed */
    int control = reach(rig.control), data = reach(rig.data);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(0, rig.asked_count);
        say(&rig, data, &RANDOM[i], 1);
    }
    assert_int_equal(1, rig.asked_count);
    for (int i = 0; i < 20; i++)
        memcpy(many + 4 * i, CAPABILITY, 4);
    say(&rig, control, many, sizeof many);
    for (size_t i = 1; i <= 20; i++) {
        assert_int_equal(i + 1, rig.asked_count); /* one under way, the others wait */
        assert_int_equal(4, rig.asked[i].len);
        check_ok(vtpm_host_reply(rig.host, rig.asked[i].channel, bytes_from_text("x")));
        assert_int_equal(1, hear(control, room));
        run(&rig);
    }
    close(control);
    close(data);
    done(&rig);
}

static void keys_are_asked_for_at_a_socket_of_their_own(void **state)
{
    (void)state;
    static const uint8_t bent[] = {0, 9, 0, 8, 1};
    struct rig rig;
    uint8_t room[VTPM_KEYS_QUESTION_MAX], heard[64];
    struct writer writer = writer_over(room, sizeof room);
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int fd = reach(rig.keys);
    vtpm_keys_put_question(&writer, bytes_from_text("a nonce of 19 bytes"));
    for (size_t i = 0; i < writer.len; i++) {
        assert_int_equal(0, rig.asked_count);
        say(&rig, fd, room + i, 1);
    }
    assert_int_equal(1, rig.asked_count);
    assert_int_equal(DOOR_VTPM_KEYS, rig.asked[0].transport);
    check_bytes(writer_bytes(&writer), bytes_from(rig.asked[0].frame, rig.asked[0].len));
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from_text("keys")));
    assert_int_equal(4, hear(fd, heard));
    assert_memory_equal("keys", heard, 4);
    /* What is of another version is the enclave's to refuse. */
    say(&rig, fd, bent, sizeof bent);
    assert_int_equal(2, rig.asked_count);
    check_bytes(BYTES_OF(bent), bytes_from(rig.asked[1].frame, rig.asked[1].len));
    close(fd);
    done(&rig);
}

/* As long as there is, in pieces as a socket takes them. */
static void state_leaves_and_lands_at_a_socket_of_its_own(void **state)
{
    (void)state;
    static uint8_t room[VTPM_TRANSFER_QUESTION_MAX], rest[VTPM_TRANSFER_BUNDLE_MAX], heard[VTPM_TRANSFER_ANSWER_MAX];
    struct rig rig;
    uint8_t nonce[VTPM_TRANSFER_NONCE_MAX] = {0};
    struct writer writer = writer_over(room, sizeof room);
    size_t got = 0;
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int fd = reach(rig.transfer);
    vtpm_transfer_put_question(&writer,
                               &(struct vtpm_transfer_question){VTPM_TRANSFER_LAND, BYTES_OF(nonce), BYTES_OF(rest)});
    check_ok(writer_end(&writer));
    for (size_t off = 0; off < writer.len; off += 4096) {
        assert_int_equal(0, rig.asked_count);
        say(&rig, fd, room + off, writer.len - off < 4096 ? writer.len - off : 4096);
    }
    assert_int_equal(1, rig.asked_count);
    assert_int_equal(DOOR_VTPM_TRANSFER, rig.asked[0].transport);
    assert_int_equal(writer.len, rig.asked[0].len);
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, BYTES_OF(heard)));
    while (got < sizeof heard) {
        ssize_t len = recv(fd, heard, sizeof heard, MSG_DONTWAIT);
        got += len > 0 ? (size_t)len : 0;
        run(&rig);
    }
    assert_int_equal(sizeof heard, got);
    /* One that announces more is hung up on. */
    say(&rig, fd, "\0\1\0\1\0\x10\0\0", 8);
    assert_int_equal(0, recv(fd, heard, 1, 0));
    close(fd);
    done(&rig);
}

static void what_has_no_end_is_hung_up_on_or_handed_on_to_be_refused(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int fd = reach(rig.control);
    say(&rig, fd, "\0\0\0\7\xff\xff\xff\xff", 8);
    assert_int_equal(0, hear(fd, room));
    close(fd);
    rig.hand_says = BUSY;
    fd = reach(rig.data);
    say(&rig, fd, "\x80\1\0\0\x10\1", 6);
    assert_int_equal(0, hear(fd, room));
    close(fd);
    assert_int_equal(0, rig.asked_count);
    fd = reach(rig.control);
    say(&rig, fd, "\0\0\0\x99junk", 8);
    assert_int_equal(1, rig.asked_count);
    assert_int_equal(8, rig.asked[0].len);
    close(fd);
    rig.ask_says = BUSY;
    fd = reach(rig.control);
    say(&rig, fd, CAPABILITY, 4);
    assert_int_equal(0, hear(fd, room));
    close(fd);
    done(&rig);
}

static void the_enclave_is_told_of_who_leaves_with_a_question(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int fd = reach(rig.control);
    run(&rig);
    close(fd);
    run(&rig);
    assert_int_equal(0, rig.gone_count);
    fd = reach(rig.control);
    say(&rig, fd, CAPABILITY, 4);
    close(fd);
    run(&rig);
    assert_int_equal(1, rig.gone_count);
    assert_true(rig.gone == rig.asked[0].channel);
    check_status(NOT_FOUND, vtpm_host_reply(rig.host, rig.gone, bytes_from_text("late")));
    done(&rig);
}

static void without_an_enclave_nobody_is_listened_to(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    begin(&rig, false, VTPM_STARTUP_NONE);
    int fd = reach(rig.control);
    say(&rig, fd, CAPABILITY, 4);
    assert_int_equal(0, rig.asked_count);
    vtpm_host_set_enclave(rig.host, true);
    run(&rig);
    assert_int_equal(1, rig.asked_count);
    vtpm_host_set_enclave(rig.host, false);
    assert_int_equal(0, hear(fd, room)); /* its TPM is gone, and it learns so */
    assert_int_equal(0, rig.gone_count);
    check_status(NOT_FOUND, vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from_text("late")));
    close(fd);
    done(&rig);
}

static void init_and_startup_come_before_everybody(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, true, VTPM_STARTUP_STATE);
    int fd = reach(rig.control);
    assert_int_equal(4, send(fd, CAPABILITY, 4, 0));
    for (int launch = 0; launch < 2; launch++) {
        rig.asked_count = 0;
        vtpm_host_set_enclave(rig.host, true);
        run(&rig);
        assert_int_equal(1, rig.asked_count);
        assert_memory_equal("\0\0\0\2\0\0\0\0", rig.asked[0].frame, 8);
        check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, BYTES_OF("\0\0\0")));
        run(&rig);
        assert_int_equal(2, rig.asked_count);
        assert_memory_equal("\x80\1\0\0\0\x0c\0\0\1\x44\0\1", rig.asked[1].frame, 12);
        check_ok(vtpm_host_reply(rig.host, rig.asked[1].channel,
                                 bytes_from(launch ? "\x80\1\0\0\0\x0a\0\0\1\0" : "\x80\1\0\0\0\x0a\0\0\0\0", 10)));
        run(&rig);
        assert_int_equal(0, vtpm_host_refusal(rig.host));
        assert_int_equal(launch ? 2 : 3, rig.asked_count);
        vtpm_host_set_enclave(rig.host, false);
    }
    close(fd);
    done(&rig);
}

static void a_passphrase_comes_before_those(void **state)
{
    (void)state;
    struct rig rig;
    begin_with(&rig, true, VTPM_STARTUP_NONE, bytes_from_text("open sesame"));
    for (int launch = 0; launch < 2; launch++) { /* each is asked anew */
        rig.asked_count = 0;
        vtpm_host_set_enclave(rig.host, true);
        assert_int_equal(1, rig.asked_count);
        assert_int_equal(DOOR_VTPM_UNLOCK, rig.asked[0].transport);
        assert_int_equal(11, rig.asked[0].len);
        assert_memory_equal("open sesame", rig.asked[0].frame, 11);
        check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from("\0\0\0\0", 4)));
        assert_int_equal(2, rig.asked_count);
        assert_memory_equal("\0\0\0\2\0\0\0\0", rig.asked[1].frame, 8);
        assert_false(vtpm_host_is_ready(rig.host));
        check_ok(vtpm_host_reply(rig.host, rig.asked[1].channel, bytes_from("\0\0\0\0", 4)));
        assert_true(vtpm_host_is_ready(rig.host));
        vtpm_host_set_enclave(rig.host, false);
    }
    vtpm_host_set_enclave(rig.host, true);
    check_ok(vtpm_host_reply(rig.host, rig.asked[rig.asked_count - 1].channel, bytes_from("\0\0\0\1", 4)));
    assert_int_equal(SWTPM_AUTH_FAIL, vtpm_host_refusal(rig.host));
    done(&rig);
}

static void a_refused_init_or_startup_is_told(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, true, VTPM_STARTUP_CLEAR);
    vtpm_host_set_enclave(rig.host, true);
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from("\0\0\0\x09", 4)));
    assert_int_equal(9, vtpm_host_refusal(rig.host));
    done(&rig);
    begin(&rig, true, VTPM_STARTUP_CLEAR);
    vtpm_host_set_enclave(rig.host, true);
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from("\0\0\0\0", 4)));
    check_ok(vtpm_host_reply(rig.host, rig.asked[1].channel, bytes_from("\x80\1\0\0\0\x0a\0\0\1\1", 10)));
    assert_int_equal(0x101, vtpm_host_refusal(rig.host));
    done(&rig);
}

static void shutdown_is_over_once_it_was_answered(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int fd = reach(rig.control);
    say(&rig, fd, "\0\0\0\3", 4);
    assert_false(vtpm_host_is_shut_down(rig.host));
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from("\0\0\0\0", 4)));
    assert_true(vtpm_host_is_shut_down(rig.host));
    close(fd);
    done(&rig);
}

static void hand(struct rig *rig, int control, int fd, const char *answer)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } room = {.space = {0}};
    uint8_t got[64], command[4] = {0, 0, 0, SWTPM_SET_DATAFD};
    struct iovec piece = {command, sizeof command};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = room.space;
        message.msg_controllen = sizeof room.space;
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(part), &fd, sizeof fd);
    }
    assert_int_equal(4, sendmsg(control, &message, 0));
    run(rig);
    assert_int_equal(4, hear(control, got));
    assert_memory_equal(answer, got, 4);
}

static void a_data_socket_is_handed_on_and_the_newest_counts(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    int ends[2], others[2], pipes[2];
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int control = reach(rig.control);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, others));
    assert_int_equal(0, pipe(pipes));
    hand(&rig, control, -1, "\0\0\0\3");
    hand(&rig, control, pipes[0], "\0\0\0\3");
    assert_int_equal(0, rig.handed_count);
    hand(&rig, control, ends[1], "\0\0\0\0");
    close(ends[1]);
    const uint64_t first = rig.handed;
    say(&rig, ends[0], RANDOM, 12);
    assert_int_equal(0, rig.asked_count); /* nothing of it passes here */
    assert_int_equal(12, recv(rig.taken, room, sizeof room, MSG_DONTWAIT));
    hand(&rig, control, others[1], "\0\0\0\0");
    assert_int_equal(2, rig.handed_count);
    assert_int_equal(0, hear(ends[0], room)); /* nobody holds the former any more */
    vtpm_host_left(rig.host, first);
    rig.hand_says = BUSY;
    hand(&rig, control, others[1], "\0\0\0\x1f");
    assert_false(vtpm_host_is_shut_down(rig.host));
    close(control);
    close(ends[0]);
    close(others[0]);
    close(others[1]);
    close(pipes[0]);
    close(pipes[1]);
    done(&rig);
}

static void one_that_connects_is_handed_on_and_the_others_relayed(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int first = reach(rig.data);
    run(&rig);
    assert_int_equal(1, rig.handed_count);
    int second = reach(rig.data);
    say(&rig, second, RANDOM, 12);
    assert_int_equal(1, rig.handed_count);
    assert_int_equal(1, rig.asked_count);
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from_text("random")));
    assert_int_equal(6, hear(second, room));
    say(&rig, first, RANDOM, 12);
    assert_int_equal(1, rig.asked_count);
    close(rig.taken); /* as the enclave hangs up */
    rig.taken = -1;
    assert_true(hear(first, room) <= 0);
    vtpm_host_left(rig.host, rig.handed + 1); /* of another: nothing */
    int third = reach(rig.data);
    run(&rig);
    assert_int_equal(1, rig.handed_count);
    vtpm_host_left(rig.host, rig.handed);
    say(&rig, second, RANDOM, 6); /* a relayed one is next, whole: what it says is not read here any more */
    say(&rig, second, &RANDOM[6], 6);
    assert_int_equal(2, rig.handed_count);
    assert_int_equal(1, rig.asked_count);
    int fourth = reach(rig.data);
    run(&rig);
    assert_int_equal(2, rig.handed_count);
    say(&rig, third, RANDOM, 6);
    vtpm_host_left(rig.host, rig.handed);
    say(&rig, third, &RANDOM[6], 6); /* in the midst of a command it stays */
    assert_int_equal(2, rig.handed_count);
    assert_int_equal(2, rig.asked_count);
    vtpm_host_set_enclave(rig.host, false);
    vtpm_host_set_enclave(rig.host, true); /* which has none */
    int fifth = reach(rig.data);
    run(&rig);
    assert_int_equal(3, rig.handed_count);
    const int fds[] = {first, second, third, fourth, fifth};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    done(&rig);
}

static void peers_are_as_many_as_said_and_the_next_has_its_turn(void **state)
{
    (void)state;
    struct rig rig;
    int fds[VTPM_HOST_PEERS + 1];
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    for (size_t i = 0; i <= VTPM_HOST_PEERS; i++) {
        fds[i] = reach(rig.control);
        run(&rig);
        say(&rig, fds[i], CAPABILITY, 4);
    }
    assert_int_equal(VTPM_HOST_PEERS, rig.asked_count);
    close(fds[0]);
    run(&rig);
    assert_int_equal(VTPM_HOST_PEERS + 1, rig.asked_count);
    for (size_t i = 1; i <= VTPM_HOST_PEERS; i++)
        close(fds[i]);
    done(&rig);
}

static void sockets_are_their_owners_and_an_old_ones_place_is_taken(void **state)
{
    (void)state;
    struct rig rig, second;
    struct stat facts;
    const char *why = NULL;
    begin(&rig, false, VTPM_STARTUP_NONE);
    assert_int_equal(0, lstat(rig.control, &facts));
    assert_int_equal(0600, facts.st_mode & 0777);
    struct vtpm_host_config config = {.control = at_path(rig.control, 0660), .ask = ask, .gone = gone};
    check_ok(vtpm_host_new(&config, &second.host, &why));
    assert_int_equal(0, lstat(rig.control, &facts));
    assert_int_equal(0660, facts.st_mode & 0777);
    vtpm_host_free(second.host);
    char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    config.control = at_path(long_path, 0600);
    check_status(IO, vtpm_host_new(&config, &second.host, &why));
    assert_non_null(strstr(why, "too long"));
    done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_to_the_enclave_and_answers_to_who_asked),
        cmocka_unit_test(a_frame_may_come_byte_by_byte_and_many_at_once),
        cmocka_unit_test(keys_are_asked_for_at_a_socket_of_their_own),
        cmocka_unit_test(state_leaves_and_lands_at_a_socket_of_its_own),
        cmocka_unit_test(what_has_no_end_is_hung_up_on_or_handed_on_to_be_refused),
        cmocka_unit_test(the_enclave_is_told_of_who_leaves_with_a_question),
        cmocka_unit_test(without_an_enclave_nobody_is_listened_to),
        cmocka_unit_test(init_and_startup_come_before_everybody),
        cmocka_unit_test(a_passphrase_comes_before_those),
        cmocka_unit_test(a_refused_init_or_startup_is_told),
        cmocka_unit_test(shutdown_is_over_once_it_was_answered),
        cmocka_unit_test(a_data_socket_is_handed_on_and_the_newest_counts),
        cmocka_unit_test(one_that_connects_is_handed_on_and_the_others_relayed),
        cmocka_unit_test(peers_are_as_many_as_said_and_the_next_has_its_turn),
        cmocka_unit_test(sockets_are_their_owners_and_an_old_ones_place_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
