/* The permit table, asked for everything in every state, and the decoding of requests. */
#include "check.h"

#include "permit.h"

#include <stdlib.h>

static const uint16_t operations[] = {
    MONITOR_READY,    MONITOR_REPORT,  MONITOR_SEAL_KEY,  MONITOR_HEAD,   MONITOR_ADVANCE,  MONITOR_ATTACH,
    MONITOR_STATUS,   MONITOR_STOP,    MONITOR_LAUNCHED,  MONITOR_DIED,   MONITOR_ACTIVATE, MONITOR_LAUNCH,
    MONITOR_LAUNCHES, MONITOR_MEASURE, MONITOR_MEASURING, MONITOR_FORGET, MONITOR_RECORD};

/* A well-formed request. */
static struct bytes packet_of(uint16_t operation, uint8_t room[1024])
{
    const struct monitor_report report = {.nonce_len = 8};
    const struct monitor_seal seal = {.label = "x"};
    const struct monitor_advance advance = {.sequence = 1};
    const struct monitor_measure measure = {.given = 1};
    const struct monitor_launches_from from = {.number = 1};
    const struct monitor_record record = {.sequence = 1};
    const struct monitor_instance instance = {"x"};
    struct bytes payload = {0};
    if (operation == MONITOR_MEASURE)
        payload = bytes_from(&measure, sizeof measure);
    if (operation == MONITOR_LAUNCHES)
        payload = bytes_from(&from, sizeof from);
    if (operation == MONITOR_ATTACH || operation == MONITOR_STATUS)
        payload = bytes_from(&instance, sizeof instance);
    if (operation == MONITOR_REPORT)
        payload = bytes_from(&report, sizeof report);
    if (operation == MONITOR_SEAL_KEY)
        payload = bytes_from(&seal, sizeof seal);
    if (operation == MONITOR_ADVANCE)
        payload = bytes_from(&advance, sizeof advance);
    if (operation == MONITOR_RECORD)
        payload = bytes_from(&record, sizeof record);
    if (operation == MONITOR_ACTIVATE)
        payload = bytes_from("blob", 4);
    if (operation == MONITOR_FORGET)
        payload = bytes_from("a site, in full.t", 17);
    struct writer writer = writer_over(room, 1024);
    check_ok(permit_put_reply(&writer, operation, OK, payload));
    return writer_bytes(&writer);
}

static bool permitted(enum permit_who who, enum permit_state state, uint16_t operation)
{
    uint8_t room[1024];
    struct permit_request request;
    struct permit_session session = {.who = who, .state = state}, before = session;
    enum status status = permit_check(&session, packet_of(operation, room), &request);
    assert_int_equal(operation, request.operation);
    if (status != OK) {
        check_status(DENIED, status);
        assert_memory_equal(&before, &session, sizeof session);
    }
    return status == OK;
}

/* The whole table written down a second time, by hand: who, state, and what they may. */
static void each_may_ask_what_the_table_says_and_nothing_else(void **unused)
{
    static const struct {
        enum permit_who who;
        enum permit_state state;
        uint16_t may[7];
    } rows[] = {
        {PERMIT_ENCLAVE, PERMIT_STARTING, {MONITOR_READY}},
        {PERMIT_ENCLAVE,
         PERMIT_READY,
         {MONITOR_REPORT, MONITOR_SEAL_KEY, MONITOR_HEAD, MONITOR_ADVANCE, MONITOR_LAUNCH, MONITOR_LAUNCHES,
          MONITOR_RECORD}},
        {PERMIT_ENCLAVE, PERMIT_ENDED, {0}},
        {PERMIT_ENCLAVE, PERMIT_CALLER, {0}},
        {PERMIT_ENCLAVE, PERMIT_HOST, {0}},
        {PERMIT_CONTROL,
         PERMIT_CALLER,
         {MONITOR_ATTACH, MONITOR_STATUS, MONITOR_STOP, MONITOR_ACTIVATE, MONITOR_LAUNCHES, MONITOR_FORGET}},
        {PERMIT_CONTROL,
         PERMIT_HOST,
         {MONITOR_STATUS, MONITOR_STOP, MONITOR_ACTIVATE, MONITOR_LAUNCHES, MONITOR_MEASURE}},
        {PERMIT_CONTROL, PERMIT_ENDED, {0}},
        {PERMIT_CONTROL, PERMIT_STARTING, {0}},
        {PERMIT_CONTROL, PERMIT_READY, {0}},
        {PERMIT_GROUP, PERMIT_CALLER, {MONITOR_ATTACH, MONITOR_STATUS}},
        {PERMIT_GROUP, PERMIT_HOST, {MONITOR_STATUS, MONITOR_MEASURE}},
        {PERMIT_GROUP, PERMIT_ENDED, {0}},
        {PERMIT_GROUP, PERMIT_STARTING, {0}},
        {PERMIT_GROUP, PERMIT_READY, {0}},
    };
    (void)unused;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
            bool expected = false;
            for (size_t may = 0; may < 7; may++)
                expected |= rows[row].may[may] == operations[i];
            assert_int_equal(expected, permitted(rows[row].who, rows[row].state, operations[i]));
        }
}

static void no_other_operation_is_permitted_to_anyone(void **unused)
{
    (void)unused;
    for (uint32_t operation = 0; operation <= 0xffff; operation++) {
        bool known = false;
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
            known |= operations[i] == operation;
        if (!known) {
            assert_false(permitted(PERMIT_ENCLAVE, PERMIT_READY, (uint16_t)operation));
            assert_false(permitted(PERMIT_CONTROL, PERMIT_CALLER, (uint16_t)operation));
        }
    }
}

static void an_enclave_is_ready_once(void **unused)
{
    uint8_t room[1024];
    struct permit_request request;
    struct permit_session session = permit_session_of(PERMIT_ENCLAVE);
    (void)unused;
    check_ok(permit_check(&session, packet_of(MONITOR_READY, room), &request));
    assert_int_equal(PERMIT_READY, session.state);
    check_status(DENIED, permit_check(&session, packet_of(MONITOR_READY, room), &request));
    session.state = PERMIT_STARTING; /* even so: once is once */
    check_status(DENIED, permit_check(&session, packet_of(MONITOR_READY, room), &request));
}

static void a_caller_attaches_once_and_after_a_stop_nothing_is_permitted(void **unused)
{
    uint8_t room[1024];
    struct permit_request request;
    struct permit_session session = permit_session_of(PERMIT_CONTROL);
    (void)unused;
    check_ok(permit_check(&session, packet_of(MONITOR_ATTACH, room), &request));
    check_status(DENIED, permit_check(&session, packet_of(MONITOR_ATTACH, room), &request));
    check_ok(permit_check(&session, packet_of(MONITOR_STATUS, room), &request));
    check_ok(permit_check(&session, packet_of(MONITOR_STOP, room), &request));
    check_status(DENIED, permit_check(&session, packet_of(MONITOR_STATUS, room), &request));
}

static void who_is_not_the_nodes_user_has_nothing_of_the_nodes_own(void **unused)
{
    uint8_t room[1024];
    struct permit_request request;
    (void)unused;
    static const uint16_t asked[] = {MONITOR_ATTACH, MONITOR_STATUS};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct permit_session session = permit_session_of(PERMIT_GROUP);
        struct writer writer = writer_over(room, sizeof room);
        check_ok(permit_put_reply(&writer, asked[i], OK, (struct bytes){0}));
        check_status(TRUNCATED, permit_check(&session, writer_bytes(&writer), &request));
        check_ok(permit_check(&session, packet_of(asked[i], room), &request));
        assert_string_equal("x", request.of.instance.name);
    }
}

static enum status ask_by(uint16_t operation, const void *name, size_t len, struct permit_request *request)
{
    uint8_t room[1024];
    struct writer writer = writer_over(room, sizeof room);
    struct permit_session session = permit_session_of(PERMIT_CONTROL);
    const struct permit_session before = session;
    check_ok(permit_put_reply(&writer, operation, OK, bytes_from(name, len)));
    enum status status = permit_check(&session, writer_bytes(&writer), request);
    if (status != OK)
        assert_memory_equal(&before, &session, sizeof session);
    return status;
}

static enum status ask_by_name(const char *name)
{
    struct monitor_instance instance = {{0}};
    struct permit_request request;
    memcpy(instance.name, name, strnlen(name, sizeof instance.name));
    enum status status = ask_by(MONITOR_STATUS, &instance, sizeof instance, &request);
    check_status(status, ask_by(MONITOR_ATTACH, &instance, sizeof instance, &request));
    if (status == OK)
        assert_string_equal(name, request.of.instance.name);
    return status;
}

static void an_instance_is_named_by_one_plain_name_or_not_at_all(void **unused)
{
    static const char longest[] = "a23456789-123456789-123456789-123456789-1234567";
    struct monitor_instance instance = {"a"};
    struct permit_request request;
    (void)unused;
    check_ok(ask_by(MONITOR_ATTACH, "", 0, &request));
    assert_string_equal("", request.of.instance.name);
    check_ok(ask_by_name("a"));
    check_ok(ask_by_name("0"));
    check_ok(ask_by_name("Z.b_c-9"));
    check_ok(ask_by_name("d1f6b2de-7c1e-4b2f-9d3a-0c8a4e5f6a7b"));
    assert_int_equal(MONITOR_INSTANCE_LEN - 1, strlen(longest));
    check_ok(ask_by_name(longest));
    check_status(MALFORMED, ask_by_name("a23456789-123456789-123456789-123456789-12345678"));
    static const char *const bad[] = {"",   ".",    "..",  ".a",  "-a",    "_a",       "a/b",
                                      "/a", "../a", "a b", "a\n", "a\x7f", "\xc3\xa4", "a%s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_status(MALFORMED, ask_by_name(bad[i]));
    for (size_t i = 2; i < sizeof instance.name; i++) { /* behind its end */
        struct monitor_instance hidden = {"a"};
        hidden.name[i] = 'b';
        check_status(MALFORMED, ask_by(MONITOR_ATTACH, &hidden, sizeof hidden, &request));
    }
    for (size_t len = 1; len < sizeof instance; len++)
        check_status(MALFORMED, ask_by(MONITOR_ATTACH, &instance, len, &request));
    uint8_t longer[sizeof instance + 1] = {'a'};
    check_status(MALFORMED, ask_by(MONITOR_ATTACH, longer, sizeof longer, &request));
    check_status(MALFORMED, ask_by(MONITOR_STOP, &instance, sizeof instance, &request));
}

static void who_attaches_says_how_its_commits_are_to_be(void **unused)
{
    struct monitor_attach attach = {.instance = {"a"}};
    struct permit_request request;
    (void)unused;
    for (uint32_t relaxed = 0; relaxed < 3; relaxed++) {
        attach.relaxed = relaxed;
        check_status(relaxed < 2 ? OK : MALFORMED, ask_by(MONITOR_ATTACH, &attach, sizeof attach, &request));
        if (relaxed < 2)
            assert_memory_equal(&attach, &request.of.attach, sizeof attach);
    }
    attach.relaxed = 1;
    for (size_t len = sizeof attach.instance + 1; len < sizeof attach; len++)
        check_status(MALFORMED, ask_by(MONITOR_ATTACH, &attach, len, &request));
    uint8_t longer[sizeof attach + 1] = {'a'};
    check_status(MALFORMED, ask_by(MONITOR_ATTACH, longer, sizeof longer, &request));
    check_status(MALFORMED, ask_by(MONITOR_STATUS, &attach, sizeof attach, &request));
    attach.reserved = 1;
    check_status(MALFORMED, ask_by(MONITOR_ATTACH, &attach, sizeof attach, &request));
    attach = (struct monitor_attach){.instance = {"../x"}, .relaxed = 1};
    check_status(MALFORMED, ask_by(MONITOR_ATTACH, &attach, sizeof attach, &request));
    attach = (struct monitor_attach){.relaxed = 1}; /* the node's own is not asked by anybody how */
    check_status(MALFORMED, ask_by(MONITOR_ATTACH, &attach, sizeof attach, &request));
    check_ok(ask_by(MONITOR_ATTACH, &(struct monitor_instance){"b"}, sizeof(struct monitor_instance), &request));
    assert_int_equal(0, request.of.attach.relaxed);
}

static struct permit_session ready_for(uint16_t operation)
{
    struct permit_session session = permit_session_of(operation < MONITOR_ATTACH ? PERMIT_ENCLAVE : PERMIT_CONTROL);
    if (session.who == PERMIT_ENCLAVE && operation != MONITOR_READY)
        session.state = PERMIT_READY;
    if (operation == MONITOR_MEASURE)
        session.state = PERMIT_HOST;
    return session;
}

static void every_shorter_prefix_is_truncated_and_one_byte_more_is_malformed(void **unused)
{
    uint8_t room[1024];
    struct permit_request request;
    (void)unused;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        struct permit_session session = ready_for(operations[i]);
        struct bytes whole = packet_of(operations[i], room);
        if (operations[i] == MONITOR_LAUNCHED || operations[i] == MONITOR_DIED || operations[i] == MONITOR_MEASURING)
            continue;
        for (size_t len = 0; len < whole.len; len++)
            check_status(TRUNCATED, permit_check(&session, bytes_slice(whole, 0, len), &request));
        room[whole.len] = 0;
        check_status(MALFORMED, permit_check(&session, bytes_from(room, whole.len + 1), &request));
        /* and with a header that admits to it */
        room[8]++;
        struct bytes longer = bytes_from(room, whole.len + 1);
        bool open =
            operations[i] == MONITOR_ACTIVATE || operations[i] == MONITOR_FORGET || operations[i] == MONITOR_ADVANCE;
        check_status(open ? OK : MALFORMED, permit_check(&session, longer, &request));
    }
}

static void a_blob_has_a_limit(void **unused)
{
    static uint8_t room[2048];
    static const uint8_t blob[1025];
    struct permit_request request;
    struct permit_session session = permit_session_of(PERMIT_CONTROL);
    (void)unused;
    for (size_t len = 1024; len <= 1025; len++) {
        struct writer writer = writer_over(room, sizeof room);
        check_ok(permit_put_reply(&writer, MONITOR_ACTIVATE, OK, bytes_from(blob, len)));
        check_status(len == 1024 ? OK : MALFORMED, permit_check(&session, writer_bytes(&writer), &request));
    }
}

static void a_site_is_forgotten_by_its_id_and_a_bounded_word(void **unused)
{
    static uint8_t room[2048];
    static const uint8_t payload[16 + 257] = {'s', [15] = 'e', [16] = 't'};
    struct permit_request request;
    (void)unused;
    for (size_t len = 1; len <= sizeof payload; len++) {
        struct permit_session session = permit_session_of(PERMIT_CONTROL);
        struct writer writer = writer_over(room, sizeof room);
        check_ok(permit_put_reply(&writer, MONITOR_FORGET, OK, bytes_from(payload, len)));
        enum status expected = len < 17 ? TRUNCATED : len <= 16 + 256 ? OK : MALFORMED;
        check_status(expected, permit_check(&session, writer_bytes(&writer), &request));
        if (expected != OK)
            continue;
        assert_memory_equal(payload, request.of.forget.what.site, 16);
        assert_int_equal(len - 16, request.of.forget.token.len);
        assert_int_equal('t', request.of.forget.token.data[0]);
    }
}

static void a_header_with_anything_unexpected_is_refused(void **unused)
{
    static const struct {
        size_t at;
        enum status expected;
    } bent[] = {{0, UNSUPPORTED}, {1, UNSUPPORTED}, {4, MALFORMED},  {5, MALFORMED}, {6, MALFORMED},
                {7, MALFORMED},   {8, TRUNCATED},   {12, MALFORMED}, {15, MALFORMED}};
    uint8_t room[1024];
    struct permit_request request;
    (void)unused;
    for (size_t i = 0; i < sizeof bent / sizeof *bent; i++) {
        struct permit_session session = ready_for(MONITOR_HEAD);
        struct bytes packet = packet_of(MONITOR_HEAD, room);
        room[bent[i].at] ^= 0x40;
        check_status(bent[i].expected, permit_check(&session, packet, &request));
    }
}

static enum status bend_payload(uint16_t operation, size_t off, uint8_t value)
{
    uint8_t room[1024];
    struct permit_request request;
    struct permit_session session = ready_for(operation);
    struct bytes packet = packet_of(operation, room);
    room[sizeof(struct monitor_header) + off] = value;
    return permit_check(&session, packet, &request);
}

static void fields_are_held_to_their_limits(void **unused)
{
    const size_t nonce_len = offsetof(struct monitor_report, nonce_len);
    (void)unused;
    for (unsigned len = 0; len < 256; len++)
        check_status(len == 0 || (len >= 8 && len <= 64) ? OK : MALFORMED,
                     bend_payload(MONITOR_REPORT, nonce_len, (uint8_t)len));
    check_status(MALFORMED, bend_payload(MONITOR_REPORT, nonce_len + 1, 1));
    check_status(MALFORMED, bend_payload(MONITOR_REPORT, offsetof(struct monitor_report, reserved), 1));
    check_status(MALFORMED, bend_payload(MONITOR_SEAL_KEY, 0, 0));
    check_ok(bend_payload(MONITOR_SEAL_KEY, 1, 'y'));
    check_status(MALFORMED, bend_payload(MONITOR_SEAL_KEY, 2, 'y')); /* behind the end of the label */
    check_ok(bend_payload(MONITOR_SEAL_KEY, offsetof(struct monitor_seal, open), 1));
    check_status(MALFORMED, bend_payload(MONITOR_SEAL_KEY, offsetof(struct monitor_seal, open), 2));
    for (unsigned given = 0; given < 256; given++)
        check_status(given > 0 && given < 1u << MONITOR_PARTS ? OK : MALFORMED,
                     bend_payload(MONITOR_MEASURE, 0, (uint8_t)given));
    check_status(MALFORMED, bend_payload(MONITOR_MEASURE, 1, 1));
    check_status(MALFORMED, bend_payload(MONITOR_MEASURE, offsetof(struct monitor_measure, reserved), 1));
    check_ok(bend_payload(MONITOR_ADVANCE, offsetof(struct monitor_advance, strict), 1));
    check_status(MALFORMED, bend_payload(MONITOR_ADVANCE, offsetof(struct monitor_advance, strict), 2));
    check_status(MALFORMED, bend_payload(MONITOR_ADVANCE, offsetof(struct monitor_advance, reserved), 1));
}

static void a_record_may_come_with_its_head(void **unused)
{
    uint8_t room[sizeof(struct monitor_header) + sizeof(struct monitor_advance) + MONITOR_RECORD_MAX + 1];
    static uint8_t payload[sizeof room];
    struct permit_request request;
    (void)unused;
    for (size_t len = 0; len <= MONITOR_RECORD_MAX + 1; len += len == 1 ? MONITOR_RECORD_MAX - 1 : 1) {
        struct permit_session session = ready_for(MONITOR_ADVANCE);
        struct writer writer = writer_over(room, sizeof room);
        check_ok(
            permit_put_reply(&writer, MONITOR_ADVANCE, OK, bytes_from(payload, sizeof(struct monitor_advance) + len)));
        const bool fits = len <= MONITOR_RECORD_MAX;
        check_status(fits ? OK : MALFORMED, permit_check(&session, writer_bytes(&writer), &request));
        if (fits)
            assert_int_equal(len, request.of.advance.record.len);
    }
}

static void an_answer_never_exceeds_a_message(void **unused)
{
    static uint8_t room[MONITOR_MESSAGE_MAX + 1], payload[MONITOR_MESSAGE_MAX];
    const size_t most = MONITOR_MESSAGE_MAX - sizeof(struct monitor_header);
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    check_ok(permit_put_reply(&writer, MONITOR_REPORT, OK, bytes_from(payload, most)));
    assert_int_equal(MONITOR_MESSAGE_MAX, writer.len);
    writer = writer_over(room, sizeof room);
    check_status(NO_ROOM, permit_put_reply(&writer, MONITOR_REPORT, OK, bytes_from(payload, most + 1)));
    assert_int_equal(0, writer.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_may_ask_what_the_table_says_and_nothing_else),
        cmocka_unit_test(no_other_operation_is_permitted_to_anyone),
        cmocka_unit_test(an_enclave_is_ready_once),
        cmocka_unit_test(a_caller_attaches_once_and_after_a_stop_nothing_is_permitted),
        cmocka_unit_test(an_instance_is_named_by_one_plain_name_or_not_at_all),
        cmocka_unit_test(who_attaches_says_how_its_commits_are_to_be),
        cmocka_unit_test(every_shorter_prefix_is_truncated_and_one_byte_more_is_malformed),
        cmocka_unit_test(who_is_not_the_nodes_user_has_nothing_of_the_nodes_own),
        cmocka_unit_test(a_blob_has_a_limit),
        cmocka_unit_test(a_site_is_forgotten_by_its_id_and_a_bounded_word),
        cmocka_unit_test(a_header_with_anything_unexpected_is_refused),
        cmocka_unit_test(fields_are_held_to_their_limits),
        cmocka_unit_test(a_record_may_come_with_its_head),
        cmocka_unit_test(an_answer_never_exceeds_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
