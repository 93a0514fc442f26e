/* control: answers of a monitor that is honest, of another version, too short, too long, silent, or gone. */
#include "check.h"

#include "control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64];

/* A process that listens, checks that it was asked `operation`, and answers one caller with these bytes. */
static pid_t answer_once(uint16_t operation, struct bytes reply)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid_t child = fork();
    if (child == 0) {
        uint8_t question[2048];
        struct monitor_header header = {0};
        alarm(20);
        int caller = accept(listener, NULL, NULL);
        ssize_t got = recv(caller, question, sizeof question, 0);
        if (got >= (ssize_t)sizeof header)
            memcpy(&header, question, sizeof header);
        bool good = header.version == MONITOR_VERSION && header.operation == operation && header.status == 0 &&
                    header.len == (size_t)got - sizeof header;
        if (reply.len)
            (void)!send(caller, reply.data, reply.len, MSG_NOSIGNAL);
        else
            sleep(1);
        _exit(good ? 0 : 1);
    }
    close(listener);
    return child;
}

static void was_asked_well(pid_t child)
{
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
}

static struct writer reply_of(uint8_t *room, size_t cap, uint16_t operation, uint16_t status, uint32_t len)
{
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = operation, .status = status, .len = len};
    struct writer writer = writer_over(room, cap);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    return writer;
}

static enum status ask_status(struct bytes reply, struct control_status *status)
{
    pid_t child = answer_once(MONITOR_STATUS, reply);
    enum status result = control_status(path, 300, status);
    was_asked_well(child);
    return result;
}

static void a_status_comes_with_its_text_and_the_process_that_listens(void **state)
{
    (void)state;
    uint8_t room[512];
    struct control_status status = {0};
    const struct monitor_status said = {.enclave_pid = 7, .launches = 2, .nv_counter = 1ull << 40};
    struct writer reply = reply_of(room, sizeof room, MONITOR_STATUS, OK, sizeof said + 9);
    put_bytes(&reply, bytes_from(&said, sizeof said));
    put_text(&reply, "lockdown\n");
    check_ok(ask_status(writer_bytes(&reply), &status));
    assert_int_equal(status.status.enclave_pid, 7);
    assert_true(status.status.nv_counter == 1ull << 40);
    assert_string_equal(status.text, "lockdown\n");
    assert_int_equal(status.monitor, getpid()); /* it was we who called listen() */
}

static void every_shorter_status_is_malformed(void **state)
{
    (void)state;
    uint8_t room[512];
    const struct monitor_status said = {0};
    for (uint32_t len = 0; len < sizeof said; len += 13) {
        struct control_status status = {.monitor = 1};
        struct writer reply = reply_of(room, sizeof room, MONITOR_STATUS, OK, len);
        put_bytes(&reply, bytes_slice(bytes_from(&said, sizeof said), 0, len));
        assert_int_equal(ask_status(writer_bytes(&reply), &status), MALFORMED);
        assert_int_equal(status.monitor, 1);
    }
}

static void a_header_that_lies_is_malformed(void **state)
{
    (void)state;
    static const struct monitor_header lies[] = {
        {MONITOR_VERSION + 1, MONITOR_STATUS, OK, 0, 0, 0}, {MONITOR_VERSION, MONITOR_STOP, OK, 0, 0, 0},
        {MONITOR_VERSION, MONITOR_STATUS, OK, 0, 1, 0},     {MONITOR_VERSION, MONITOR_STATUS, INTERNAL + 1, 0, 0, 0},
        {MONITOR_VERSION, MONITOR_STATUS, OK, 0, ~0u, 0},
    };
    struct control_status status;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        assert_int_equal(ask_status(bytes_from(&lies[i], sizeof lies[i]), &status), MALFORMED);
    assert_int_equal(ask_status(bytes_from("short", 5), &status), MALFORMED);
}

static void a_text_is_taken_up_to_its_limit(void **state)
{
    (void)state;
    static uint8_t room[4096], text[CONTROL_TEXT_MAX];
    struct control_status status;
    const struct monitor_status said = {0};
    memset(text, 'w', sizeof text);
    for (uint32_t len = CONTROL_TEXT_MAX - 1; len <= CONTROL_TEXT_MAX; len++) {
        struct writer reply = reply_of(room, sizeof room, MONITOR_STATUS, OK, (uint32_t)sizeof said + len);
        put_bytes(&reply, bytes_from(&said, sizeof said));
        put_bytes(&reply, bytes_from(text, len));
        assert_int_equal(ask_status(writer_bytes(&reply), &status), len < CONTROL_TEXT_MAX ? OK : MALFORMED);
    }
    struct writer more = reply_of(room, sizeof room, MONITOR_STATUS, OK, 3000);
    (void)put_space(&more, 3000);
    assert_int_equal(ask_status(writer_bytes(&more), &status), MALFORMED);
}

static void a_refusal_is_passed_on_and_silence_is_io(void **state)
{
    (void)state;
    uint8_t room[64];
    struct control_status status;
    struct writer reply = reply_of(room, sizeof room, MONITOR_STATUS, DENIED, 0);
    assert_int_equal(ask_status(writer_bytes(&reply), &status), DENIED);
    assert_int_equal(ask_status((struct bytes){0}, &status), IO);
    unlink(path);
    assert_int_equal(control_status(path, 300, &status), NOT_FOUND);
    static const char long_path[] = "/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345"
                                    "678901234567890123456789012345";
    assert_int_equal(control_status(long_path, 300, &status), NO_ROOM);
}

static void an_instance_is_asked_for_by_its_name(void **state)
{
    (void)state;
    uint8_t room[512];
    struct control_status status = {0};
    const struct monitor_status said = {.enclave_pid = 8};
    struct writer reply = reply_of(room, sizeof room, MONITOR_STATUS, OK, sizeof said);
    put_bytes(&reply, bytes_from(&said, sizeof said));
    pid_t child = answer_once(MONITOR_STATUS, writer_bytes(&reply));
    check_ok(control_status_of(path, 300, "vm1", &status));
    assert_int_equal(status.status.enclave_pid, 8);
    was_asked_well(child);
    check_status(NOT_FOUND, control_status_of(path, 300, "", &status));
    check_status(NOT_FOUND, control_status_of(path, 300, "a23456789-123456789-123456789-123456789-12345678", &status));
}

static void what_the_monitor_says_to_forgetting_is_passed_on(void **state)
{
    (void)state;
    static const uint8_t site[MONITOR_SITE_LEN] = {1};
    uint8_t room[128], token[257] = {2};
    char why[CONTROL_TEXT_MAX] = "x";
    struct writer reply = reply_of(room, sizeof room, MONITOR_FORGET, BUSY, 13);
    put_text(&reply, "it is in use.");
    pid_t child = answer_once(MONITOR_FORGET, writer_bytes(&reply));
    check_status(BUSY, control_forget(path, 300, site, bytes_from(token, 256), why));
    assert_string_equal(why, "it is in use.");
    was_asked_well(child);
    reply = reply_of(room, sizeof room, MONITOR_FORGET, OK, 0);
    child = answer_once(MONITOR_FORGET, writer_bytes(&reply));
    check_ok(control_forget(path, 300, site, bytes_from(token, 1), why));
    assert_string_equal(why, "");
    was_asked_well(child);
    check_status(NO_ROOM, control_forget(path, 300, site, bytes_from(token, 257), why));
    unlink(path);
    check_status(NOT_FOUND, control_forget(path, 300, site, bytes_from(token, 1), why));
}

static void an_activated_credential_is_a_secret_of_bounded_length(void **state)
{
    (void)state;
    static const struct {
        uint32_t len;
        enum status expected;
    } cases[] = {{0, OK}, {32, OK}, {SECRET_CAP, OK}, {SECRET_CAP + 1, MALFORMED}};
    uint8_t room[128];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SECRET secret = {.len = 0};
        struct writer reply = reply_of(room, sizeof room, MONITOR_ACTIVATE, OK, cases[i].len);
        uint8_t *space = put_space(&reply, cases[i].len);
        assert_non_null(space);
        memset(space, 0x5a, cases[i].len);
        pid_t child = answer_once(MONITOR_ACTIVATE, writer_bytes(&reply));
        assert_int_equal(control_activate(path, 300, bytes_from("blob", 4), &secret), cases[i].expected);
        assert_int_equal(secret.len, cases[i].expected == OK ? cases[i].len : 0);
        was_asked_well(child);
    }
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/bastide-control-%d.sock", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_comes_with_its_text_and_the_process_that_listens),
        cmocka_unit_test(every_shorter_status_is_malformed),
        cmocka_unit_test(a_header_that_lies_is_malformed),
        cmocka_unit_test(a_text_is_taken_up_to_its_limit),
        cmocka_unit_test(a_refusal_is_passed_on_and_silence_is_io),
        cmocka_unit_test(an_instance_is_asked_for_by_its_name),
        cmocka_unit_test(what_the_monitor_says_to_forgetting_is_passed_on),
        cmocka_unit_test(an_activated_credential_is_a_secret_of_bounded_length),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
