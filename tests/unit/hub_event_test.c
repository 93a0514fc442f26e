/* hub: events, when they are durable, and history. */
#include "../hub_site.h"

/* ---- Events ---- */

static void events_come_in_three_formats(void **state)
{
    (void)state;
    static const uint8_t cbor[] = "\xa2\x64type\x67reading\x6aproperties\xa1\x65value\x02";
    static const char senml[] = "[{\"bn\":\"sensor/\",\"n\":\"light\",\"u\":\"lx\",\"v\":3}]";
    const struct rig_question questions[] = {
        {.code = COAP_POST,
         .path = "events",
         .payload = bytes_from_text("{\"type\":\"reading\",\"properties\":{\"value\":1}}")},
        {.code = COAP_POST,
         .path = "events",
         .format = COAP_FORMAT_CBOR,
         .payload = bytes_from(cbor, sizeof cbor - 1),
         .http = true},
        {.code = COAP_POST, .path = "events", .format = COAP_FORMAT_SENML_JSON, .payload = bytes_from_text(senml)},
    };
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        struct rig_answer answer = rig_ask(&rig, &sensor, &questions[i]);
        check_ok(answer.status);
        assert_int_equal(COAP_CHANGED, answer.code);
        assert_int_equal(1, number(answer.json, "accepted"));
        json_decref(answer.json);
    }
    json_t *all = history(NULL);
    assert_int_equal(3, rows(all));
    assert_true(value_of(row(all, 1)) == 2 && value_of(row(all, 2)) == 1);
    json_decref(all);
    struct rig_question text = questions[0];
    text.format = 99;
    struct rig_answer answer = rig_ask(&rig, &sensor, &text);
    assert_int_equal(COAP_UNSUPPORTED_FORMAT, answer.code);
    json_decref(answer.json);
}

static void a_body_is_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    rig_refused(&rig, &sensor, COAP_UNPROCESSABLE, COAP_POST, "events", NULL,
                "[{\"type\":\"a\"},{\"type\":\"b\",\"source\":\"valve\"}]", "events[1].source");
    rig_refused(&rig, &sensor, COAP_BAD_REQUEST, COAP_POST, "events", NULL, "[{\"type\":\"a\"},", "body");
    json_t *all = history(NULL);
    assert_int_equal(0, rows(all));
    json_decref(all);
}

static void a_repeated_id_is_no_second_event_even_after_a_restart(void **state)
{
    (void)state;
    int64_t duplicates;
    send_one("a", 1);
    assert_int_equal(1, send_events("[{\"id\":\"a\",\"type\":\"reading\"},{\"id\":\"b\",\"type\":\"reading\"},"
                                    "{\"id\":\"b\",\"type\":\"reading\"}]",
                                    &duplicates));
    assert_int_equal(2, duplicates);
    restart();
    assert_int_equal(0, send_events("{\"id\":\"b\",\"type\":\"reading\"}", &duplicates));
    assert_int_equal(1, duplicates);
}

static void as_many_ids_are_remembered_as_promised(void **state)
{
    (void)state;
    char body[64];
    for (int i = 0; i < 2 * HUB_IDS_KEPT; i++) {
        snprintf(body, sizeof body, "{\"id\":\"id%d\",\"type\":\"t\"}", i);
        assert_int_equal(1, send_events(body, NULL));
    }
    for (int i = HUB_IDS_KEPT; i < 2 * HUB_IDS_KEPT; i++) {
        snprintf(body, sizeof body, "{\"id\":\"id%d\",\"type\":\"t\"}", i);
        assert_int_equal(0, send_events(body, NULL));
    }
    assert_int_equal(1, send_events("{\"id\":\"id0\",\"type\":\"t\"}", NULL));
}

static void a_client_has_so_many_pairs_of_source_and_type(void **state)
{
    (void)state;
    char body[64];
    for (int i = 0; i < HUB_LAST_MAX; i++) {
        snprintf(body, sizeof body, "[{\"type\":\"t%d\"},{\"type\":\"t%d\"}]", i, i);
        assert_int_equal(2, send_events(body, NULL));
    }
    rig_refused(&rig, &sensor, COAP_FORBIDDEN, COAP_POST, "events", NULL, "{\"type\":\"one-more\"}", "source");
    restart();
    rig_refused(&rig, &sensor, COAP_FORBIDDEN, COAP_POST, "events", NULL, "{\"type\":\"one-more\"}", "source");
    assert_int_equal(1, send_events("{\"type\":\"t0\"}", NULL));
}

/* ---- Durability ---- */

static void nobody_is_answered_before_the_host_and_the_monitor_made_it_durable(void **state)
{
    (void)state;
    struct rig_question question = {
        .code = COAP_POST, .path = "events", .payload = bytes_from_text("{\"type\":\"reading\"}")};
    send_one("a", 1);
    rig.hold = true;
    rig_put(&rig, &sensor, &question);
    rig_run(&rig);
    check_status(NOT_FOUND, rig_get(&rig, &sensor).status);
    json_t *all = history(NULL);
    assert_int_equal(1, rows(all));
    json_decref(all);
    rig.hold = false;
    restart();
    all = history(NULL);
    assert_int_equal(1, rows(all)); /* not synced, not acknowledged, and gone */
    json_decref(all);
    rig.advance_lost = true;
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
    rig_put(&rig, &sensor, &question);
    rig_run(&rig);
    check_status(NOT_FOUND, rig_get(&rig, &sensor).status);
    rig.advance_lost = false;
    restart();
    all = history(NULL);
    assert_int_equal(2, rows(all)); /* one record beyond the head is taken at the next launch */
    json_decref(all);
}

static void a_full_disk_makes_the_site_read_only_until_there_is_room(void **state)
{
    (void)state;
    send_one("a", 1);
    rig.forced_sync = NO_ROOM;
    rig_refused(&rig, &sensor, COAP_UNAVAILABLE, COAP_POST, "events", NULL, "{\"id\":\"b\",\"type\":\"reading\"}",
                "storage");
    rig.forced_sync = OK;
    const char *reason = rig_refused(&rig, &sensor, COAP_UNAVAILABLE, COAP_POST, "events", NULL,
                                     "{\"id\":\"b\",\"type\":\"reading\"}", "storage");
    assert_string_equal("the site is read-only: storage is full", reason);
    json_t *all = history(NULL);
    assert_int_equal(1, rows(all));
    json_decref(all);
    rig_do(&rig, &owner, COAP_CONTENT, COAP_GET, "clients", NULL);
    json_t *status = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "status", NULL, NULL);
    const char *word;
    assert_int_equal(0, json_unpack(status, "{s:{s:s}}", "storage", "state", &word));
    assert_string_equal("read-only", word);
    json_decref(status);
    rig.now_ms += HUB_RETRY_MS;
    assert_int_equal(1, send_events("{\"id\":\"b\",\"type\":\"reading\"}", NULL));
    restart();
    all = history(NULL);
    assert_int_equal(2, rows(all));
    json_decref(all);
}

static void a_truly_full_archive_recovers_when_it_may_grow(void **state)
{
    (void)state;
    rig.archive_max = 200 * 1024;
    restart();
    size_t taken = 0;
    struct rig_answer answer;
    char *body = malloc(20000);
    snprintf(body, 20000, "{\"type\":\"reading\",\"properties\":{\"x\":\"%01000d\"}}", 0);
    struct rig_question question = {.code = COAP_POST, .path = "events", .payload = bytes_from_text(body)};
    while ((answer = rig_ask(&rig, &sensor, &question)).status == OK && answer.code == COAP_CHANGED && taken < 1000) {
        json_decref(answer.json);
        taken++;
    }
    check_ok(answer.status);
    assert_int_equal(COAP_UNAVAILABLE, answer.code);
    json_decref(answer.json);
    assert_true(taken > 0);
    rig.archive_max = 0;
    restart();
    json_t *all = history("limit=500");
    size_t count = rows(all);
    json_decref(all);
    assert_int_equal(taken < 60 ? taken : count, count);
    json_decref(rig_ask(&rig, &sensor, &question).json);
    free(body);
}

static void many_requests_share_one_commit(void **state)
{
    (void)state;
    enum { PEERS = 40 };
    static struct rig_peer peers[PEERS];
    struct rig_question question = {
        .code = COAP_POST, .path = "events", .payload = bytes_from_text("{\"type\":\"reading\"}")};
    for (size_t i = 0; i < PEERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%zu", i);
        rig_add_client(&rig, &owner, name, "A128GCM", &peers[i]);
        rig_do(&rig, &peers[i], COAP_CONTENT, COAP_GET, "actions", NULL);
    }
    uint64_t before = rig.sequence;
    for (size_t i = 0; i < PEERS; i++)
        rig_put(&rig, &peers[i], &question);
    rig_run(&rig);
    assert_true(rig.sequence == before + 1);
    for (size_t i = 0; i < PEERS; i++) {
        struct rig_answer answer = rig_get(&rig, &peers[i]);
        assert_int_equal(COAP_CHANGED, answer.code);
        json_decref(answer.json);
        rig_peer_done(&peers[i]);
    }
}

static void more_than_a_group_waits_for_the_next_one(void **state)
{
    (void)state;
    enum { COUNT = 2 * HUB_GROUP_MAX + 100 };
    static uint64_t channels[COUNT];
    static struct oscore_request requests[COUNT];
    struct rig_question question = {
        .code = COAP_POST, .path = "events", .payload = bytes_from_text("{\"type\":\"reading\"}")};
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
    uint64_t before = rig.sequence;
    for (size_t i = 0; i < COUNT; i++) {
        rig_put(&rig, &sensor, &question);
        channels[i] = sensor.channel;
        requests[i] = sensor.request;
    }
    rig_run(&rig);
    for (size_t i = 0; i < COUNT; i++) {
        sensor.channel = channels[i];
        sensor.request = requests[i];
        struct rig_answer answer = rig_get(&rig, &sensor);
        assert_int_equal(COAP_CHANGED, answer.code);
        json_decref(answer.json);
    }
    assert_true(rig.sequence > before + 2 && rig.sequence < before + 20);
}

static void a_long_log_is_compacted_and_everything_is_still_there(void **state)
{
    (void)state;
    char body[64];
    for (int i = 0; i < 700; i++) {
        snprintf(body, sizeof body, "{\"id\":\"n%d\",\"type\":\"reading\"}", i);
        assert_int_equal(1, send_events(body, NULL));
    }
    restart();
    int64_t duplicates;
    assert_int_equal(0, send_events("{\"id\":\"n699\",\"type\":\"reading\"}", &duplicates));
    json_t *list = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "clients", NULL, NULL);
    assert_int_equal(1, json_array_size(json_object_get(list, "clients")));
    json_decref(list);
    struct door_piece wanted = {0};
    static uint8_t room[DOOR_MESSAGE_MAX];
    struct writer answer = writer_over(room, sizeof room);
    check_ok(archive_get_snapshot(rig.archive, &wanted, &answer));
    assert_true(answer.len > sizeof wanted);
}

static void time_never_goes_back(void **state)
{
    (void)state;
    send_one("a", 1);
    uint64_t later = rig.now_ms += 3600000;
    send_one("b", 2);
    rig.now_ms -= 7200000;
    restart();
    send_one("c", 3);
    json_t *all = history(NULL);
    const char *second, *third;
    assert_int_equal(0, json_unpack(row(all, 0), "{s:s}", "received", &third));
    assert_int_equal(0, json_unpack(row(all, 1), "{s:s}", "received", &second));
    assert_true(strcmp(third, second) >= 0);
    json_decref(all);
    rig.now_ms = later;
}

/* ---- History ---- */

static void history_is_filtered_paged_and_bounded(void **state)
{
    (void)state;
    char body[128], query[128];
    for (int i = 0; i < 30; i++) {
        snprintf(body, sizeof body, "{\"type\":\"%s\",\"source\":\"sensor/%d\",\"properties\":{\"value\":%d}}",
                 i % 3 ? "reading" : "alarm", i % 2, i);
        assert_int_equal(1, send_events(body, NULL));
        rig.now_ms += 60000;
    }
    static const struct {
        const char *query;
        size_t count;
        int newest;
    } cases[] = {
        {NULL, 30, 29},
        {"type=alarm", 10, 27},
        {"source=sensor/1", 15, 29},
        {"source=sensor/1&type=alarm", 5, 27},
        {"source=sensor/9", 0, 0},
        {"limit=7", 7, 29},
        {"from=2027-01-15T08:10:00Z", 20, 29},
        {"to=2027-01-15T08:09:00Z", 10, 9},
        {"from=2027-01-15T08:05:00Z&to=2027-01-15T08:09:00Z&type=reading", 3, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *answer = history(cases[i].query);
        assert_int_equal(cases[i].count, rows(answer));
        if (cases[i].count)
            assert_true(value_of(row(answer, 0)) == cases[i].newest);
        json_decref(answer);
    }
    int64_t cursor = 0;
    int next = 29;
    do {
        snprintf(query, sizeof query, "limit=4&source=sensor/1&cursor=%lld", (long long)cursor);
        json_t *answer = history(query);
        for (size_t i = 0; i < rows(answer); i++, next -= 2)
            assert_true(value_of(row(answer, i)) == next);
        cursor = number(answer, "cursor");
        json_decref(answer);
    } while (cursor);
    assert_int_equal(-1, next);
}

static void a_failing_disk_does_not_disturb_who_reads_history(void **state)
{
    (void)state;
    const struct rig_question question = {.code = COAP_GET, .path = "history"};
    for (int i = 0; i < 5; i++)
        send_one(NULL, i);
    json_decref(history(NULL));
    rig.hold_query = true;
    rig_put(&rig, &owner, &question);
    rig_run(&rig);
    rig.forced_sync = IO;
    rig_refused(&rig, &sensor, COAP_UNAVAILABLE, COAP_POST, "events", NULL, "{\"type\":\"reading\"}", "storage");
    rig.forced_sync = OK;
    rig.hold_query = false;
    assert_non_null(rig.held);
    rig_serve(&rig, rig.held, RIG_HONEST);
    rig_run(&rig);
    struct rig_answer answer = rig_get(&rig, &owner);
    assert_int_equal(COAP_CONTENT, answer.code);
    assert_int_equal(5, rows(answer.json));
    json_decref(answer.json);
}

static void a_question_about_history_that_cannot_be_is_refused_by_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *query, *field;
    } cases[] = {
        {"source=a%20b", "source"}, {"type=a b", "type"},   {"from=yesterday", "from"}, {"to=-1", "to"},
        {"limit=0", "limit"},       {"limit=501", "limit"}, {"limit=x", "limit"},       {"cursor=x", "cursor"},
        {"cursor=99999", "cursor"},
    };
    send_one("a", 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        rig_refused(&rig, &owner, COAP_BAD_REQUEST, COAP_GET, "history", cases[i].query, NULL, cases[i].field);
}

static void rows_that_the_host_withholds_cuts_or_bends_are_told(void **state)
{
    (void)state;
    static const enum rig_lie lies[] = {RIG_LOSE, RIG_CUT, RIG_FLIP, RIG_SAY_OK, RIG_SAY_IO, RIG_SAY_NO_ROOM};
    for (int i = 0; i < 5; i++)
        send_one(NULL, i);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        rig.lie = lies[i];
        rig.lie_at = rig.operations + 1;
        rig_refused(&rig, &owner, COAP_BAD_GATEWAY, COAP_GET, "history", NULL, NULL, "archive");
        rig.lie_at = 0;
        json_t *all = history(NULL);
        assert_int_equal(5, rows(all));
        json_decref(all);
    }
}

static void a_history_longer_than_one_answer_goes_on_at_its_cursor(void **state)
{
    (void)state;
    char *body = malloc(40000);
    snprintf(body, 40000, "{\"type\":\"reading\",\"properties\":{\"x\":\"%030000d\"}}", 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(1, send_events(body, NULL));
    size_t count = 0;
    int64_t cursor = 0;
    int answers = 0;
    do {
        char query[64];
        snprintf(query, sizeof query, "cursor=%lld", (long long)cursor);
        struct rig_question question = {.code = COAP_GET, .path = "history", .query = query};
        struct rig_answer answer = rig_ask(&rig, &owner, &question);
        assert_int_equal(COAP_CONTENT, answer.code);
        assert_true(answer.len <= HUB_BODY_MAX);
        count += rows(answer.json);
        cursor = number(answer.json, "cursor");
        json_decref(answer.json);
        answers++;
    } while (cursor);
    assert_int_equal(5, count);
    assert_int_equal(3, answers);
    free(body);
}

int main(void)
{
#define hub_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        hub_test(events_come_in_three_formats),
        hub_test(a_body_is_taken_whole_or_not_at_all),
        hub_test(a_repeated_id_is_no_second_event_even_after_a_restart),
        hub_test(as_many_ids_are_remembered_as_promised),
        hub_test(a_client_has_so_many_pairs_of_source_and_type),
        hub_test(nobody_is_answered_before_the_host_and_the_monitor_made_it_durable),
        hub_test(a_full_disk_makes_the_site_read_only_until_there_is_room),
        hub_test(a_truly_full_archive_recovers_when_it_may_grow),
        hub_test(many_requests_share_one_commit),
        hub_test(more_than_a_group_waits_for_the_next_one),
        hub_test(a_long_log_is_compacted_and_everything_is_still_there),
        hub_test(time_never_goes_back),
        hub_test(history_is_filtered_paged_and_bounded),
        hub_test(rows_that_the_host_withholds_cuts_or_bends_are_told),
        hub_test(a_failing_disk_does_not_disturb_who_reads_history),
        hub_test(a_question_about_history_that_cannot_be_is_refused_by_its_field),
        hub_test(a_history_longer_than_one_answer_goes_on_at_its_cursor),
    };
    return cmocka_run_group_tests_name("hub_event", tests, NULL, NULL);
}
