/* A host that loses, cuts, swaps, bends or lies about any one of its operations: nothing that was acknowledged is gone
 * in silence. Either it is all there, or the site, or the history, says what happened. */
#include "../hub_rig.h"

#define EVENTS_MAX 20

static struct rig rig;
static struct rig_peer owner, sensor;

/* Six events, or so many and so large ones that a snapshot is put among them. */
static const struct scale {
    int events;
    size_t padding;
} small = {6, 0}, large = {20, 62000};

struct outcome {
    bool acknowledged[EVENTS_MAX];
    bool client; /* was added */
    int exits;   /* launches that were refused while the host lied */
};

static const char *event_body(int i, size_t padding)
{
    static char body[70000];
    size_t len = (size_t)snprintf(
        body, sizeof body, "{\"id\":\"event-%d\",\"type\":\"reading\",\"properties\":{\"value\":%d,\"x\":\"", i, i);
    memset(body + len, 'x', padding);
    memcpy(body + len + padding, "\"}}", sizeof "\"}}");
    return body;
}

static struct rig_answer post_event(int i, size_t padding)
{
    struct rig_question question = {
        .code = COAP_POST, .path = "events", .payload = bytes_from_text(event_body(i, padding))};
    return rig_ask(&rig, &sensor, &question);
}

static bool serves(void)
{
    const char *sentence;
    return hub_exit_code(rig.hub, &sentence) == 0 && !rig.dead;
}

/* A launch that may be refused by a lie, and then says why; the next one is honest, or the same lie is past. */
static bool launch(struct outcome *outcome)
{
    const char *sentence;
    if (rig_start(&rig) == 0)
        return true;
    outcome->exits++;
    int code = hub_exit_code(rig.hub, &sentence);
    if ((code != 7 && code != 8) || strlen(sentence) < 20)
        fail_msg("lie %d at operation %llu: exit code %d: %s", rig.lie, (unsigned long long)rig.lie_at, code, sentence);
    return rig_start(&rig) == 0;
}

static bool add_client(void)
{
    struct rig_question question = {
        .code = COAP_POST, .path = "clients", .payload = bytes_from_text("{\"name\":\"sensor\"}")};
    for (int i = 0; i < 3 && serves(); i++) {
        struct rig_answer answer = rig_ask(&rig, &owner, &question);
        if (answer.status == OK && answer.code == COAP_CREATED) {
            uint8_t room[OSCORE_INPUT_MAX];
            struct writer writer = writer_over(room, sizeof room);
            struct oscore_input input;
            check_ok(base64url_decode(json_string_value(json_object_get(answer.json, "input")), &writer));
            check_ok(oscore_input_decode(writer_bytes(&writer), &input));
            check_ok(oscore_session_init(&sensor.session, OSCORE_CLIENT, &input));
            json_decref(answer.json);
            return true;
        }
        json_decref(answer.json);
        rig.now_ms += HUB_RETRY_MS;
    }
    return false;
}

static void live(struct outcome *outcome, const struct scale *scale)
{
    if (!launch(outcome) || rig.dead)
        return;
    rig_meet(&rig, &owner);
    outcome->client = add_client();
    for (int i = 0; i < scale->events && outcome->client && serves(); i++) {
        struct rig_answer answer = post_event(i, scale->padding);
        outcome->acknowledged[i] = answer.status == OK && answer.code == COAP_CHANGED;
        if (answer.status == OK && answer.code != COAP_CHANGED)
            assert_int_equal(COAP_UNAVAILABLE, answer.code);
        json_decref(answer.json);
        rig.now_ms += HUB_RETRY_MS;
        if (i == scale->events - 2 && serves() && !launch(outcome))
            return;
    }
}

static bool history_has_all(const struct outcome *outcome)
{
    struct rig_question question = {.code = COAP_GET, .path = "history", .query = "limit=500"};
    bool seen[EVENTS_MAX] = {0};
    int64_t cursor = 0;
    do {
        char query[64];
        snprintf(query, sizeof query, "limit=500&cursor=%lld", (long long)cursor);
        question.query = query;
        struct rig_answer answer = rig_ask(&rig, &owner, &question);
        check_ok(answer.status);
        if (answer.code != COAP_CONTENT) {
            const char *field, *reason;
            assert_int_equal(COAP_BAD_GATEWAY, answer.code);
            assert_int_equal(0, json_unpack(answer.json, "{s:{s:s,s:s}}", "error", "field", &field, "reason", &reason));
            assert_string_equal("archive", field);
            json_decref(answer.json);
            return false;
        }
        json_t *rows = json_object_get(answer.json, "rows");
        for (size_t i = 0; i < json_array_size(rows); i++) {
            double value;
            assert_int_equal(
                0, json_unpack(json_array_get(rows, i), "{s:{s:{s:F}}}", "message", "properties", "value", &value));
            seen[(int)value] = true;
        }
        cursor = json_integer_value(json_object_get(answer.json, "cursor"));
        json_decref(answer.json);
    } while (cursor);
    for (int i = 0; i < EVENTS_MAX; i++)
        if (outcome->acknowledged[i] && !seen[i])
            fail_msg("event %d was acknowledged, and the history leaves it out without a word", i);
    return true;
}

/* The host is honest from here on. */
static bool check(const struct outcome *outcome)
{
    const char *sentence;
    rig.lie_at = rig.die_at_advance = 0;
    int code = rig_start(&rig);
    if (code != 0) {
        (void)hub_exit_code(rig.hub, &sentence);
        if ((code != 7 && code != 8) || strlen(sentence) < 20)
            fail_msg("lie %d at operation %llu: exit code %d: %s", rig.lie, (unsigned long long)rig.lie_at, code,
                     sentence);
        return false;
    }
    if (!outcome->client)
        return true;
    bool whole = history_has_all(outcome);
    for (int i = 0; i < EVENTS_MAX && rig.sequence > 0; i++) {
        struct rig_answer answer = post_event(i, 0);
        check_ok(answer.status);
        assert_int_equal(COAP_CHANGED, answer.code);
        int64_t duplicates = json_integer_value(json_object_get(answer.json, "duplicates"));
        if (outcome->acknowledged[i] && duplicates != 1)
            fail_msg("event %d was acknowledged and is forgotten", i);
        json_decref(answer.json);
    }
    return whole;
}

/* True: everything is there, without a word having been needed. */
static bool run(uint64_t lie_at, enum rig_lie lie, uint64_t die_at_advance, const struct scale *scale,
                struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    owner = sensor = (struct rig_peer){0};
    rig_init(&rig);
    rig.lie_at = lie_at;
    rig.lie = lie;
    rig.die_at_advance = die_at_advance;
    live(outcome, scale);
    uint64_t operations = rig.operations;
    bool whole = check(outcome) && outcome->exits == 0;
    rig.operations = operations;
    rig_peer_done(&owner);
    rig_peer_done(&sensor);
    rig_done(&rig);
    return whole;
}

/* Without a lie, all is well; how many operations and advances that takes, and where the first snapshot is. */
static struct rig honest(const struct scale *scale)
{
    struct outcome outcome;
    assert_true(run(0, RIG_HONEST, 0, scale, &outcome));
    for (int i = 0; i < scale->events; i++)
        assert_true(outcome.acknowledged[i]);
    return rig;
}

static void lie_at_all(const struct scale *scale, uint64_t first, uint64_t last)
{
    struct outcome outcome;
    size_t runs = 0, noticed = 0;
    for (int lie = RIG_LOSE; lie < RIG_LIES; lie++)
        for (uint64_t n = first; n <= last; n++, runs++)
            noticed += !run(n, (enum rig_lie)lie, 0, scale, &outcome);
    print_message("%zu lies, %zu of them noticed and told\n", runs, noticed);
    assert_true(noticed > 0 && noticed < runs);
}

static void no_lie_makes_an_acknowledged_event_vanish_in_silence(void **state)
{
    (void)state;
    struct rig told = honest(&small);
    assert_true(told.operations > 20 && told.first_snapshot == 0);
    lie_at_all(&small, 1, told.operations);
}

static void nor_does_one_about_a_snapshot(void **state)
{
    (void)state;
    struct rig told = honest(&large);
    assert_true(told.first_snapshot > 20);
    lie_at_all(&large, told.first_snapshot - 1, told.operations);
}

static void killed_before_any_operation_the_site_comes_back_with_all_it_acknowledged(void **state)
{
    (void)state;
    struct outcome outcome;
    struct rig told = honest(&small);
    for (uint64_t n = 1; n <= told.operations; n++)
        assert_true(run(n, RIG_DIE, 0, &small, &outcome));
    for (uint64_t n = 1; n <= told.advances; n++)
        assert_true(run(0, RIG_HONEST, n, &small, &outcome));
    told = honest(&large);
    for (uint64_t n = told.first_snapshot - 1; n <= told.operations; n++)
        assert_true(run(n, RIG_DIE, 0, &large, &outcome));
}

static void an_emptied_an_older_and_a_foreign_archive_are_refused_each_in_its_words(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    owner = sensor = (struct rig_peer){0};
    rig_init(&rig);
    live(&outcome, &small);
    const char *sentence;
    char words[3][384];

    rig_stop(&rig);
    remove(rig.path);
    assert_int_equal(7, rig_start(&rig));
    (void)hub_exit_code(rig.hub, &sentence);
    snprintf(words[0], sizeof words[0], "%s", sentence);
    assert_non_null(strstr(words[0], "empty"));
    rig_done(&rig);
    rig_peer_done(&owner);
    rig_peer_done(&sensor);

    rig_init(&rig);
    live(&outcome, &small);
    rig.sequence++;
    assert_int_equal(7, rig_start(&rig));
    (void)hub_exit_code(rig.hub, &sentence);
    snprintf(words[1], sizeof words[1], "%s", sentence);
    rig.sequence--;

    rig.own.config[0] ^= 1;
    assert_int_equal(8, rig_start(&rig));
    (void)hub_exit_code(rig.hub, &sentence);
    snprintf(words[2], sizeof words[2], "%s", sentence);
    assert_string_not_equal(words[0], words[1]);
    assert_string_not_equal(words[1], words[2]);
    rig_done(&rig);
    rig_peer_done(&owner);
    rig_peer_done(&sensor);
}

static void a_host_that_answers_everything_twice_changes_nothing(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    owner = sensor = (struct rig_peer){0};
    rig_init(&rig);
    live(&outcome, &large);
    rig.twice = true;
    for (int launches = 0; launches < 2; launches++) {
        assert_int_equal(0, rig_start(&rig));
        assert_true(serves());
        rig_peer_done(&owner);
        rig_meet(&rig, &owner);
        json_t *list = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "clients", NULL, NULL);
        assert_int_equal(1, json_array_size(json_object_get(list, "clients")));
        json_decref(list);
    }
    rig_done(&rig);
    rig_peer_done(&owner);
    rig_peer_done(&sensor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_lie_makes_an_acknowledged_event_vanish_in_silence),
        cmocka_unit_test(nor_does_one_about_a_snapshot),
        cmocka_unit_test(killed_before_any_operation_the_site_comes_back_with_all_it_acknowledged),
        cmocka_unit_test(a_host_that_answers_everything_twice_changes_nothing),
        cmocka_unit_test(an_emptied_an_older_and_a_foreign_archive_are_refused_each_in_its_words),
    };
    return cmocka_run_group_tests_name("hub_fault", tests, NULL, NULL);
}
