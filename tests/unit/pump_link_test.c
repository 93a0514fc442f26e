/* The host end's way to the monitor: by which name it attaches, and what it makes of the answer. The monitor is this
 * test. */
#include "check.h"

#include "pump.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char home[] = "/tmp/pump_link_test.XXXXXX";
static int listener = -1;

static int set_up(void **unused)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char run[64];
    (void)unused;
    if (!mkdtemp(home))
        return -1;
    snprintf(run, sizeof run, "%s/run", home);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/run/monitor.sock", home);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return mkdir(run, 0700) == 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
                   listen(listener, 4) == 0
               ? 0
               : -1;
}

static int tear_down(void **unused)
{
    char path[128];
    (void)unused;
    close(listener);
    snprintf(path, sizeof path, "%s/run/monitor.sock", home);
    unlink(path);
    snprintf(path, sizeof path, "%s/run", home);
    rmdir(path);
    return rmdir(home);
}

/* What the link asked, and the connection to answer on. */
static int heard(struct pump_link *link, uint8_t packet[256], size_t *len)
{
    pump_link_connect(link, 0);
    assert_true(link->fd >= 0);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t got = recv(fd, packet, 256, 0);
    assert_true(got >= 0);
    *len = (size_t)got;
    return fd;
}

static void answer(int fd, enum status status, const char *sentence)
{
    uint8_t room[1200];
    const struct monitor_header header = {.version = MONITOR_VERSION,
                                          .operation = MONITOR_ATTACH,
                                          .status = (uint16_t)status,
                                          .len = (uint32_t)strlen(sentence)};
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_text(&writer, sentence);
    check_ok(writer_end(&writer));
    assert_int_equal(writer.len, send(fd, room, writer.len, 0));
}

static void it_attaches_to_the_nodes_own_or_by_name(void **unused)
{
    struct pump_link link;
    struct monitor_header header;
    uint8_t packet[256];
    size_t len = 0;
    static const char longest[] = "a23456789-123456789-123456789-123456789-1234567";
    (void)unused;
    check_ok(pump_link_init(&link, home));
    int fd = heard(&link, packet, &len);
    memcpy(&header, packet, sizeof header);
    assert_int_equal(sizeof header, len);
    assert_int_equal(MONITOR_ATTACH, header.operation);
    assert_int_equal(0, header.len);
    answer(fd, OK, "");
    assert_int_equal(PUMP_LINK_ATTACHED, pump_link_read(&link, 0));
    close(fd);
    assert_int_equal(PUMP_LINK_LOST, pump_link_read(&link, 0));
    assert_int_equal(OK, link.refusal);

    assert_int_equal(MONITOR_INSTANCE_LEN - 1, strlen(longest));
    check_ok(pump_link_name(&link, longest));
    fd = heard(&link, packet, &len);
    memcpy(&header, packet, sizeof header);
    assert_int_equal(sizeof header + MONITOR_INSTANCE_LEN, len);
    assert_int_equal(MONITOR_INSTANCE_LEN, header.len);
    assert_memory_equal(longest, packet + sizeof header, MONITOR_INSTANCE_LEN); /* with its end */
    close(fd);
    pump_link_close(&link, 0);

    struct monitor_attach attach;
    pump_link_relax(&link);
    fd = heard(&link, packet, &len);
    assert_int_equal(sizeof header + sizeof attach, len);
    memcpy(&attach, packet + sizeof header, sizeof attach);
    assert_string_equal(longest, attach.instance.name);
    assert_int_equal(1, attach.relaxed);
    close(fd);
    pump_link_close(&link, 0);

    check_ok(pump_link_init(&link, home));
    check_status(NO_ROOM, pump_link_name(&link, "a23456789-123456789-123456789-123456789-12345678"));
}

static void a_refusal_is_told_from_a_monitor_that_hangs_up(void **unused)
{
    struct pump_link link;
    uint8_t packet[256];
    size_t len = 0;
    char endless[1000];
    (void)unused;
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    const char *const sentences[] = {"", "its configuration names another owner", "\"\n\x01\xff", endless};
    check_ok(pump_link_init(&link, home));
    check_ok(pump_link_name(&link, "vm"));
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++) {
        int fd = heard(&link, packet, &len);
        answer(fd, DENIED, sentences[i]);
        assert_int_equal(PUMP_LINK_LOST, pump_link_read(&link, 0));
        assert_int_equal(DENIED, link.refusal);
        assert_int_equal(-1, link.fd);
        close(fd);
    }
    int fd = heard(&link, packet, &len); /* the next attempt begins without it */
    assert_int_equal(OK, link.refusal);
    close(fd);
    assert_int_equal(PUMP_LINK_LOST, pump_link_read(&link, 0));
    assert_int_equal(OK, link.refusal);
}

static void say(int fd, uint16_t operation, enum status status, const void *payload, size_t len)
{
    uint8_t room[512];
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = operation, .status = (uint16_t)status, .len = (uint32_t)len};
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, bytes_from(payload, len));
    assert_int_equal(writer.len, send(fd, room, writer.len, 0));
}

static void what_is_to_be_measured_goes_with_its_descriptors_and_the_end_is_told(void **unused)
{
    struct pump_link link;
    uint8_t packet[256];
    size_t len = 0;
    const struct monitor_launch launch = {.given = 2};
    const struct monitor_measuring half = {1, 2};
    const int fds[MONITOR_PARTS] = {0, 1, 2, 0, 1};
    (void)unused;
    check_ok(pump_link_init(&link, home));
    check_status(BUSY, pump_link_measure(&link, 2, fds, 1)); /* not there yet */
    int fd = heard(&link, packet, &len);
    answer(fd, OK, "");
    assert_int_equal(PUMP_LINK_ATTACHED, pump_link_read(&link, 0));
    check_status(MALFORMED, pump_link_measure(&link, 2, fds, 0));
    check_status(MALFORMED, pump_link_measure(&link, 2, fds, MONITOR_PARTS + 1));
    check_ok(pump_link_measure(&link, 0x1f, fds, MONITOR_PARTS));
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec piece = {packet, sizeof packet};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct monitor_measure asked;
    assert_int_equal(sizeof(struct monitor_header) + sizeof asked, recvmsg(fd, &message, MSG_CMSG_CLOEXEC));
    memcpy(&asked, packet + sizeof(struct monitor_header), sizeof asked);
    assert_int_equal(0x1f, asked.given);
    const struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    assert_int_equal(CMSG_LEN(MONITOR_PARTS * sizeof(int)), part->cmsg_len);
    for (size_t i = 0; i < MONITOR_PARTS; i++) {
        int passed;
        memcpy(&passed, CMSG_DATA(part) + i * sizeof passed, sizeof passed);
        close(passed);
    }
    say(fd, MONITOR_MEASURING, OK, &half, sizeof half);
    assert_int_equal(PUMP_LINK_NOTHING, pump_link_read(&link, 0));
    say(fd, MONITOR_MEASURE, DENIED, "the machine policy has no such kernel", 37);
    assert_int_equal(PUMP_LINK_MEASURED, pump_link_read(&link, 0));
    assert_int_equal(DENIED, link.measured);
    say(fd, MONITOR_MEASURE, OK, &launch, sizeof launch);
    assert_int_equal(PUMP_LINK_MEASURED, pump_link_read(&link, 0));
    assert_int_equal(OK, link.measured);
    say(fd, MONITOR_MEASURE, OK, &launch, sizeof launch - 1); /* no monitor says this */
    assert_int_equal(PUMP_LINK_LOST, pump_link_read(&link, 0));
    close(fd);
    fd = heard(&link, packet, &len);
    say(fd, MONITOR_MEASURING, OK, &half, sizeof half - 1);
    assert_int_equal(PUMP_LINK_LOST, pump_link_read(&link, 0));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_attaches_to_the_nodes_own_or_by_name),
        cmocka_unit_test(what_is_to_be_measured_goes_with_its_descriptors_and_the_end_is_told),
        cmocka_unit_test(a_refusal_is_told_from_a_monitor_that_hangs_up),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
