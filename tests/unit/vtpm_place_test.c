/* vtpm_host: where its channels may be — ports, descriptors, owners —, when they end, and what is refused while they
 * are used. */
#include "vtpm_host_rig.h"

#include "vtpm_transfer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/wait.h>

/* A rig whose channels are where the test says, and whose enclave takes no socket. */
static enum status begin_at(struct rig *rig, const struct vtpm_host_config *wanted, const char **why)
{
    *rig = (struct rig){.hand_says = BUSY, .taken = -1};
    struct vtpm_host_config config = *wanted;
    config.ask = ask;
    config.gone = gone;
    config.hand = hand_over;
    config.context = rig;
    return vtpm_host_new(&config, &rig->host, why);
}

/* A port that was free a moment ago. */
static uint16_t free_port(int family)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {.any.sa_family = (sa_family_t)family};
    socklen_t len = family == AF_INET ? sizeof address.four : sizeof address.six;
    int fd = socket(family, SOCK_STREAM, 0);
    if (family == AF_INET)
        address.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        address.six.sin6_addr = in6addr_loopback;
    assert_int_equal(0, bind(fd, &address.any, len));
    assert_int_equal(0, getsockname(fd, &address.any, &len));
    close(fd);
    return ntohs(family == AF_INET ? address.four.sin_port : address.six.sin6_port);
}

static struct vtpm_place at_port(const char *address, uint16_t port)
{
    return (struct vtpm_place){.kind = VTPM_AT_PORT, .address = address, .port = port, .fd = -1};
}

static int reach_port(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static void answer(struct rig *rig, size_t which)
{
    check_ok(vtpm_host_reply(rig->host, rig->asked[which].channel, bytes_from_text("answer")));
}

static void ports_carry_both_channels(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    const char *why = NULL;
    uint16_t one, two;
    struct vtpm_host_config config;
    enum status status = IO;
    for (int i = 0; i < 50 && status != OK; i++) { /* others on this machine may be quicker */
        one = free_port(AF_INET), two = free_port(AF_INET);
        config = (struct vtpm_host_config){.control = at_port("127.0.0.1", one), .data = at_port("127.0.0.1", two)};
        status = begin_at(&rig, &config, &why);
    }
    check_ok(status);
    vtpm_host_set_enclave(rig.host, true);
    int control = reach_port(one), data = reach_port(two);
    say(&rig, control, CAPABILITY, 4);
    say(&rig, data, RANDOM, 12);
    assert_int_equal(2, rig.asked_count);
    assert_int_equal(DOOR_VTPM_CONTROL, rig.asked[0].transport);
    assert_int_equal(DOOR_VTPM_DATA, rig.asked[1].transport);
    answer(&rig, 1);
    assert_int_equal(6, recv(data, room, sizeof room, 0));
    struct rig second;
    check_status(IO, begin_at(&second, &config, &why));
    assert_string_equal("the given port cannot be bound", why);
    close(control);
    close(data);
    vtpm_host_free(rig.host);
}

static void addresses_are_numeric_of_either_family(void **state)
{
    (void)state;
    struct rig rig;
    const char *why = NULL;
    static const char *const wrong[] = {"localhost", "127.0.0", "127.0.0.1 ", "::g", "1.2.3.4.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_status(IO, begin_at(&rig, &(struct vtpm_host_config){.data = at_port(wrong[i], 1)}, &why));
        assert_string_equal("bindaddr is neither an IPv4 nor an IPv6 address", why);
    }
    struct vtpm_place place = at_port("fe80::1", 1);
    place.interface = "no-such-one";
    check_status(IO, begin_at(&rig, &(struct vtpm_host_config){.data = place}, &why));
    assert_string_equal("ifname is no network interface of this machine", why);
    check_status(IO, begin_at(&rig, &(struct vtpm_host_config){.data = at_port("203.0.113.7", 1)}, &why));
    assert_string_equal("the given port cannot be bound", why);
    int six = socket(AF_INET6, SOCK_STREAM, 0);
    if (six < 0)
        return; /* a kernel without it */
    close(six);
    check_ok(begin_at(&rig, &(struct vtpm_host_config){.data = at_port("::1", free_port(AF_INET6))}, &why));
    vtpm_host_free(rig.host);
}

static void a_socket_that_was_opened_for_us_is_listened_at(void **state)
{
    (void)state;
    struct rig rig;
    const char *why = NULL;
    char path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "/tmp/bastide-vp-%d", getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    const struct vtpm_host_config config = {.control = {.kind = VTPM_AT_LISTENER, .fd = fd}};
    check_status(IO, begin_at(&rig, &config, &why));
    assert_string_equal("the descriptor that was given is not a socket that listens", why);
    check_status(IO,
                 begin_at(&rig, &(struct vtpm_host_config){.control = {.kind = VTPM_AT_LISTENER, .fd = 999}}, &why));
    assert_int_equal(0, listen(fd, 5));
    check_ok(begin_at(&rig, &config, &why));
    vtpm_host_set_enclave(rig.host, true);
    int peer = reach(path);
    say(&rig, peer, CAPABILITY, 4);
    assert_int_equal(1, rig.asked_count);
    close(peer);
    vtpm_host_free(rig.host);
    assert_int_equal(0, unlink(path)); /* whose it is takes it away */
}

static void a_connection_that_came_with_us_is_served_once_there_is_a_tpm(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    const char *why = NULL;
    int data[2], control[2], ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, data));
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, control));
    assert_int_equal(0, pipe(ends));
    check_status(IO, begin_at(&rig, &(struct vtpm_host_config){.data = {.kind = VTPM_AT_CLIENT, .fd = ends[0]}}, &why));
    assert_string_equal("the descriptor that was given is not a socket", why);
    close(ends[0]);
    close(ends[1]);
    check_ok(begin_at(&rig,
                      &(struct vtpm_host_config){.data = {.kind = VTPM_AT_CLIENT, .fd = data[1]},
                                                 .control = {.kind = VTPM_AT_CLIENT, .fd = control[1]},
                                                 .terminate = true},
                      &why));
    say(&rig, data[0], RANDOM, 12);
    assert_int_equal(0, rig.asked_count);
    vtpm_host_set_enclave(rig.host, true);
    run(&rig);
    assert_int_equal(1, rig.asked_count);
    answer(&rig, 0);
    assert_int_equal(6, hear(data[0], room));
    say(&rig, control[0], CAPABILITY, 4);
    assert_int_equal(2, rig.asked_count);
    assert_int_equal(DOOR_VTPM_CONTROL, rig.asked[1].transport);
    assert_false(vtpm_host_is_shut_down(rig.host));
    close(data[0]);
    run(&rig);
    assert_true(vtpm_host_is_shut_down(rig.host));
    vtpm_host_free(rig.host);
    close(control[0]);
}

static void terminate_waits_for_a_data_connection_to_end(void **state)
{
    (void)state;
    for (int terminate = 0; terminate < 2; terminate++) {
        struct rig rig;
        const char *why = NULL;
        char control[64], data[64];
        snprintf(control, sizeof control, "/tmp/bastide-vp-%d.ctrl", getpid());
        snprintf(data, sizeof data, "/tmp/bastide-vp-%d", getpid());
        const struct vtpm_host_config config = {
            .control = at_path(control, 0600), .data = at_path(data, 0600), .terminate = terminate};
        check_ok(begin_at(&rig, &config, &why));
        vtpm_host_set_enclave(rig.host, true);
        int fd = reach(control);
        say(&rig, fd, CAPABILITY, 4);
        answer(&rig, 0);
        close(fd);
        run(&rig);
        assert_false(vtpm_host_is_shut_down(rig.host)); /* of a control connection nobody has said a word */
        fd = reach(data);
        run(&rig);
        assert_false(vtpm_host_is_shut_down(rig.host));
        close(fd);
        run(&rig);
        assert_int_equal(terminate, vtpm_host_is_shut_down(rig.host));
        vtpm_host_free(rig.host);
        check_ok(begin_at(&rig, &config, &why));
        rig.hand_says = OK; /* the same where the enclave has it */
        vtpm_host_set_enclave(rig.host, true);
        fd = reach(data);
        run(&rig);
        assert_int_equal(1, rig.handed_count);
        vtpm_host_left(rig.host, rig.handed + 1);
        assert_false(vtpm_host_is_shut_down(rig.host));
        vtpm_host_left(rig.host, rig.handed);
        assert_int_equal(terminate, vtpm_host_is_shut_down(rig.host));
        close(fd);
        close(rig.taken);
        vtpm_host_free(rig.host);
    }
}

static void disconnect_is_one_command_and_its_answer(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[64];
    const char *why = NULL;
    char control[64], data[64];
    snprintf(control, sizeof control, "/tmp/bastide-vp-%d.ctrl", getpid());
    snprintf(data, sizeof data, "/tmp/bastide-vp-%d", getpid());
    const struct vtpm_host_config config = {
        .control = at_path(control, 0600), .data = at_path(data, 0600), .disconnect = true};
    check_ok(begin_at(&rig, &config, &why));
    vtpm_host_set_enclave(rig.host, true);
    int fd = reach(data), steady = reach(control);
    say(&rig, fd, RANDOM, 12);
    answer(&rig, 0);
    assert_int_equal(6, hear(fd, room));
    assert_int_equal(0, hear(fd, room));
    close(fd);
    for (size_t i = 1; i < 3; i++) {
        say(&rig, steady, CAPABILITY, 4);
        answer(&rig, i);
        assert_int_equal(6, hear(steady, room));
    }
    assert_int_equal(-1, hear(steady, room));
    close(steady);
    vtpm_host_free(rig.host);
}

static void a_path_is_given_to_whom_it_is_said(void **state)
{
    (void)state;
    struct rig rig;
    struct stat facts;
    const char *why = NULL;
    char path[64];
    snprintf(path, sizeof path, "/tmp/bastide-vp-%d", getpid());
    struct vtpm_place place = at_path(path, 0660);
    place.uid = 12345;
    place.gid = getuid() == 0 ? 23456 : getgid();
    enum status status = begin_at(&rig, &(struct vtpm_host_config){.data = place}, &why);
    if (getuid() != 0) {
        check_status(IO, status);
        unlink(path);
        return;
    }
    check_ok(status);
    assert_int_equal(0, lstat(path, &facts));
    assert_int_equal(12345, facts.st_uid);
    assert_int_equal(23456, facts.st_gid);
    assert_int_equal(0660, facts.st_mode & 0777);
    vtpm_host_free(rig.host);
}

static void who_is_silent_gives_way_and_who_was_heard_does_not(void **state)
{
    (void)state;
    struct rig rig;
    int fds[3 * VTPM_HOST_PEERS], heard;
    uint8_t got[64];
    begin(&rig, false, VTPM_STARTUP_NONE);
    rig.hand_says = BUSY; /* so that all are relayed */
    vtpm_host_set_enclave(rig.host, true);
    heard = reach(rig.control);
    say(&rig, heard, CAPABILITY, 4);
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from("\0\0\0\0", 4)));
    assert_int_equal(4, hear(heard, got));
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        fds[i] = reach(rig.data);
    /* All came before anybody was looked at; the last has something to say, the one before half of it. */
    const size_t last = sizeof fds / sizeof *fds - 1;
    assert_int_equal(2, send(fds[last - 1], RANDOM, 2, MSG_NOSIGNAL));
    say(&rig, fds[last], RANDOM, 12);
    assert_int_equal(2, rig.asked_count);
    assert_int_equal(12, rig.asked[1].len);
    assert_int_equal(0, hear(fds[0], got));
    assert_int_equal(-1, hear(fds[last - 1], got));
    /* They keep their places while the silent come and go. */
    for (size_t i = 0; i < 2 * VTPM_HOST_PEERS; i++) {
        close(fds[i]);
        fds[i] = reach(rig.keys);
        run(&rig);
    }
    assert_int_equal(0, hear(fds[last - 1], got));
    check_ok(vtpm_host_reply(rig.host, rig.asked[1].channel, bytes_from("1234567890", 10)));
    assert_int_equal(10, hear(fds[last], got));
    say(&rig, heard, CAPABILITY, 4);
    assert_int_equal(3, rig.asked_count);
    close(heard);
    for (size_t i = 0; i <= last; i++)
        close(fds[i]);
    done(&rig);
}

static size_t reaches_the_enclave(struct rig *rig, int fd, enum vtpm_transfer_operation operation)
{
    uint8_t room[16];
    struct writer writer = writer_over(room, sizeof room);
    vtpm_transfer_put_question(&writer, &(struct vtpm_transfer_question){.operation = operation});
    check_ok(writer_end(&writer));
    rig->asked_count = 0;
    say(rig, fd, room, writer.len);
    return rig->asked_count;
}

/* It would be taken away from a VM that runs. */
static void state_is_not_given_by_hand_while_the_data_socket_is_used(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t heard[128];
    struct vtpm_transfer_answer answer;
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    int data = reach(rig.data), fd = reach(rig.transfer);
    run(&rig);
    assert_int_equal(1, rig.handed_count);
    assert_int_equal(0, reaches_the_enclave(&rig, fd, VTPM_TRANSFER_GIVE));
    const ssize_t len = recv(fd, heard, sizeof heard, MSG_DONTWAIT);
    assert_true(len > 0);
    check_ok(vtpm_transfer_answer_decode(bytes_from(heard, (size_t)len), &answer));
    assert_int_equal(DENIED, answer.status);
    assert_non_null(memmem(answer.sentence.data, answer.sentence.len, "in use", 6));
    assert_int_equal(1, reaches_the_enclave(&rig, fd, VTPM_TRANSFER_STATUS)); /* anything else */
    check_ok(vtpm_host_reply(rig.host, rig.asked[0].channel, bytes_from_text("so")));
    vtpm_host_left(rig.host, rig.handed);
    assert_int_equal(1, reaches_the_enclave(&rig, fd, VTPM_TRANSFER_GIVE));
    close(data);
    close(fd);
    done(&rig);
}

/* Some process that connects so often, is answered on each, and then waits; its exit code in the end is how many of
 * its connections were closed meanwhile. */
static pid_t crowd(struct rig *rig, int count, const int end[2])
{
    const size_t answered = rig->asked_count + (size_t)count;
    uint8_t got[64];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fds[VTPM_HOST_PEERS], closed = 0;
        close(end[1]);
        for (int i = 0; i < count; i++) {
            fds[i] = reach(rig->control);
            if (send(fds[i], CAPABILITY, 4, MSG_NOSIGNAL) != 4 || recv(fds[i], got, 4, MSG_WAITALL) <= 0)
                _exit(255);
        }
        (void)!read(end[0], got, 1);
        for (int i = 0; i < count; i++)
            closed += recv(fds[i], got, 1, MSG_DONTWAIT) == 0;
        _exit(closed);
    }
    while (rig->asked_count < answered) {
        const size_t before = rig->asked_count;
        run(rig);
        for (size_t i = before; i < rig->asked_count; i++)
            check_ok(vtpm_host_reply(rig->host, rig->asked[i].channel, bytes_from("\0\0\0\0", 4)));
    }
    return child;
}

static int closed_of(pid_t child)
{
    int wait_status = -1;
    assert_int_equal(child, waitpid(child, &wait_status, 0));
    assert_true(WIFEXITED(wait_status));
    return WEXITSTATUS(wait_status);
}

/* Who has few places keeps them, at just as many as that is; of the process that has most the idlest go first, one for
 * each newcomer. */
static void who_has_most_places_gives_way_and_who_has_few_does_not(void **state)
{
    (void)state;
    struct rig rig;
    int end[2], third[3];
    uint8_t got[64];
    pid_t few, many, fair[VTPM_HOST_PEERS / VTPM_HOST_FAIR];
    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    assert_int_equal(0, pipe2(end, O_CLOEXEC));
    few = crowd(&rig, VTPM_HOST_FAIR, end);
    many = crowd(&rig, VTPM_HOST_PEERS - VTPM_HOST_FAIR, end);
    for (size_t i = 0; i < sizeof third / sizeof *third; i++) {
        third[i] = reach(rig.control);
        run(&rig);
        say(&rig, third[i], CAPABILITY, 4);
        check_ok(vtpm_host_reply(rig.host, rig.asked[rig.asked_count - 1].channel, bytes_from("\0\0\0\0", 4)));
        assert_int_equal(4, hear(third[i], got));
    }
    close(end[1]);
    assert_int_equal(0, closed_of(few));
    assert_int_equal(sizeof third / sizeof *third, closed_of(many));
    for (size_t i = 0; i < sizeof third / sizeof *third; i++)
        close(third[i]);
    close(end[0]);
    done(&rig);

    begin(&rig, false, VTPM_STARTUP_NONE);
    vtpm_host_set_enclave(rig.host, true);
    assert_int_equal(0, pipe2(end, O_CLOEXEC));
    for (size_t i = 0; i < sizeof fair / sizeof *fair; i++)
        fair[i] = crowd(&rig, VTPM_HOST_FAIR, end);
    third[0] = reach(rig.control);
    const size_t before = rig.asked_count;
    say(&rig, third[0], CAPABILITY, 4);
    assert_int_equal(before, rig.asked_count); /* it waits */
    close(end[1]);
    for (size_t i = 0; i < sizeof fair / sizeof *fair; i++)
        assert_int_equal(0, closed_of(fair[i]));
    run(&rig);
    assert_int_equal(before + 1, rig.asked_count);
    close(third[0]), close(end[0]);
    done(&rig);
}

/* At each socket as many wait as there are places. The first and the last of all are at the same one, and the last has
 * not spoken yet when all are taken. */
static void who_came_last_is_not_pushed_out_by_who_waits_at_another_socket(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct rig rig;
        int here[VTPM_HOST_PEERS], there[VTPM_HOST_PEERS];
        begin(&rig, false, VTPM_STARTUP_NONE);
        rig.hand_says = BUSY; /* no data socket is the enclave's */
        vtpm_host_set_enclave(rig.host, true);
        const char *const socket = which ? rig.control : rig.data, *const other = which ? rig.data : rig.control;
        here[0] = reach(socket);
        there[0] = reach(other);
        for (size_t i = 1; i < VTPM_HOST_PEERS; i++) {
            there[i] = reach(other);
            here[i] = reach(socket);
        }
        run(&rig);
        say(&rig, here[VTPM_HOST_PEERS - 1], which ? CAPABILITY : RANDOM, which ? 4 : 12);
        assert_int_equal(1, rig.asked_count);
        for (size_t i = 0; i < VTPM_HOST_PEERS; i++)
            close(here[i]), close(there[i]);
        done(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_carry_both_channels),
        cmocka_unit_test(addresses_are_numeric_of_either_family),
        cmocka_unit_test(a_socket_that_was_opened_for_us_is_listened_at),
        cmocka_unit_test(a_connection_that_came_with_us_is_served_once_there_is_a_tpm),
        cmocka_unit_test(terminate_waits_for_a_data_connection_to_end),
        cmocka_unit_test(disconnect_is_one_command_and_its_answer),
        cmocka_unit_test(state_is_not_given_by_hand_while_the_data_socket_is_used),
        cmocka_unit_test(who_is_silent_gives_way_and_who_was_heard_does_not),
        cmocka_unit_test(who_came_last_is_not_pushed_out_by_who_waits_at_another_socket),
        cmocka_unit_test(who_has_most_places_gives_way_and_who_has_few_does_not),
        cmocka_unit_test(a_path_is_given_to_whom_it_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
