/* hub: rules, and actions on their way to those who poll or observe. */
#include "../hub_rig.h"

#include "engine.h"
#include "guest_memory.h"
#include "script.h"

static const char *modules_dir = "modules";
static struct script_engine *scripts;
static struct rig rig;
static struct rig_peer owner, sensor, valve;

#define RULE                                                                                                           \
    "{\"name\":\"heat\",\"when\":[{\"type\":\"reading\",\"condition\":\"(e) => e.properties.value < 18\"}],"           \
    "\"do\":[{\"target\":\"valve\",\"type\":\"set\",\"transform\":\"(e, t, a, ctx) => { "                              \
    "ctx.state.n = (ctx.state.n || 0) + 1; return {value: e.properties.value, n: ctx.state.n}; }\"}]}"

static int start_scripts(void **state)
{
    char path[512], why[256];
    size_t policy_len, count;
    struct compartment_module *module;
    struct writer reason = writer_over(why, sizeof why - 1);
    (void)state;
    snprintf(path, sizeof path, "%s/quickjs.policy", modules_dir);
    uint8_t *policy = guest_file(path, &policy_len);
    snprintf(path, sizeof path, "%s/quickjs.so", modules_dir);
    const struct compartment_host_function *functions = script_host_functions(&count);
    struct script_config config = {.contexts = 2, .prelude = engine_script_prelude()};
    check_ok(compartment_init(&guest_memory));
    int fd = guest_object(path);
    check_ok(compartment_load(fd, bytes_from(policy, policy_len), functions, count, &guest_memory, &module, &reason));
    close(fd);
    free(policy);
    check_ok(script_engine_new(&scripts, &config, module, &guest_memory, &reason));
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.scripts = scripts;
    assert_int_equal(0, rig_start(&rig));
    rig_meet(&rig, &owner);
    rig_add_client(&rig, &owner, "sensor", "AES-CCM-16-64-128", &sensor);
    rig_add_client(&rig, &owner, "valve", "A128GCM", &valve);
    rig_do(&rig, &owner, COAP_CREATED, COAP_POST, "rules", RULE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_peer_done(&owner);
    rig_peer_done(&sensor);
    rig_peer_done(&valve);
    rig_done(&rig);
    return 0;
}

static void restart(void)
{
    assert_int_equal(0, rig_start(&rig));
}

static void sense(int value)
{
    char body[128];
    snprintf(body, sizeof body, "{\"type\":\"reading\",\"properties\":{\"value\":%d}}", value);
    rig_do(&rig, &sensor, COAP_CHANGED, COAP_POST, "events", body);
}

static json_t *actions(const char *query)
{
    return rig_expect(&rig, &valve, COAP_CONTENT, COAP_GET, "actions", query, NULL);
}

static size_t count_of(json_t *answer)
{
    return json_array_size(json_object_get(answer, "actions"));
}

static int64_t cursor_of(json_t *answer)
{
    return json_integer_value(json_object_get(answer, "cursor"));
}

static int64_t property(json_t *answer, size_t index, const char *name)
{
    json_t *one = json_array_get(json_object_get(answer, "actions"), index);
    json_t *value = json_object_get(json_object_get(one, "properties"), name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void put_actions(const char *query, bool observe)
{
    const struct rig_question question = {.code = COAP_GET, .path = "actions", .query = query, .observe = observe};
    rig_put(&rig, &valve, &question);
    rig_run(&rig);
}

/* The valve's context is agreed on, so that the next question is not answered with a challenge. */
static void warm_up(void)
{
    json_decref(actions(NULL));
}

static void a_cold_reading_becomes_an_action_of_the_valve(void **state)
{
    (void)state;
    sense(20);
    sense(17);
    sense(16);
    json_t *answer = actions(NULL);
    assert_int_equal(2, count_of(answer));
    assert_int_equal(17, property(answer, 0, "value"));
    assert_int_equal(1, property(answer, 0, "n"));
    assert_int_equal(2, property(answer, 1, "n"));
    assert_int_equal(2, cursor_of(answer));
    json_t *one = json_array_get(json_object_get(answer, "actions"), 0);
    assert_string_equal("heat", json_string_value(json_object_get(one, "rule")));
    assert_string_equal("sensor", json_string_value(json_object_get(one, "source")));
    json_decref(answer);
    answer = actions("after=1");
    assert_int_equal(1, count_of(answer));
    assert_int_equal(16, property(answer, 0, "value"));
    json_decref(answer);
    json_t *others = rig_expect(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL, NULL);
    assert_int_equal(0, count_of(others));
    json_decref(others);
    json_t *history = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "history", "source=valve", NULL);
    assert_int_equal(2, json_array_size(json_object_get(history, "rows")));
    json_decref(history);
}

static void actions_cursors_and_rule_state_survive_a_restart(void **state)
{
    (void)state;
    sense(17);
    restart();
    sense(16);
    json_t *answer = actions("after=1");
    assert_int_equal(1, count_of(answer));
    assert_int_equal(2, property(answer, 0, "n"));
    assert_int_equal(2, cursor_of(answer));
    json_decref(answer);
}

static void a_long_poll_is_answered_when_there_is_something(void **state)
{
    (void)state;
    warm_up();
    put_actions("wait=30", false);
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
    sense(20);
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
    sense(17);
    struct rig_answer answer = rig_get(&rig, &valve);
    assert_int_equal(COAP_CONTENT, answer.code);
    assert_int_equal(17, property(answer.json, 0, "value"));
    assert_false(answer.more);
    json_decref(answer.json);
}

static void tick(uint64_t now_ms)
{
    struct door_tick tick = {now_ms};
    struct door_header header = {.operation = DOOR_TICK, .len = sizeof tick};
    hub_receive(rig.hub, &header, bytes_from(&tick, sizeof tick));
    rig_run(&rig);
}

static void a_long_poll_ends_empty_at_its_time(void **state)
{
    (void)state;
    warm_up();
    put_actions("wait=30", false);
    assert_true(rig.timer_ms == rig.now_ms + 30000);
    tick(rig.now_ms + 29999);
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
    assert_true(rig.timer_ms == rig.now_ms + 30000);
    tick(rig.now_ms + 30000);
    struct rig_answer answer = rig_get(&rig, &valve);
    assert_int_equal(COAP_CONTENT, answer.code);
    assert_int_equal(0, count_of(answer.json));
    json_decref(answer.json);
}

static void an_observer_hears_of_every_action_once_and_in_order(void **state)
{
    (void)state;
    warm_up();
    sense(17);
    put_actions(NULL, true);
    struct rig_answer answer = rig_get(&rig, &valve);
    assert_int_equal(COAP_CONTENT, answer.code);
    assert_true(answer.more);
    assert_int_equal(0, count_of(answer.json));
    assert_int_equal(1, cursor_of(answer.json));
    json_decref(answer.json);
    for (int i = 0; i < 10; i++) {
        sense(10 + i % 5);
        answer = rig_get(&rig, &valve);
        check_ok(answer.status);
        assert_true(answer.more);
        assert_int_equal(1, count_of(answer.json));
        assert_int_equal(10 + i % 5, property(answer.json, 0, "value"));
        assert_int_equal(2 + i, cursor_of(answer.json));
        json_decref(answer.json);
    }
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
}

static void an_observer_that_comes_back_after_a_restart_misses_nothing(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    for (int i = 0; i < COUNT; i++)
        sense(i % 10);
    restart();
    warm_up();
    put_actions("after=3", true);
    int64_t cursor = 3;
    struct rig_answer answer;
    while ((answer = rig_get(&rig, &valve)).status == OK) {
        for (size_t i = 0; i < count_of(answer.json); i++, cursor++)
            assert_int_equal(cursor % 10, property(answer.json, i, "value"));
        assert_true(cursor_of(answer.json) == cursor);
        json_decref(answer.json);
    }
    assert_int_equal(COUNT, cursor);
}

static void who_left_is_told_nothing_more(void **state)
{
    (void)state;
    warm_up();
    put_actions(NULL, true);
    json_decref(rig_get(&rig, &valve).json);
    struct door_header header = {.operation = DOOR_GONE, .id = valve.channel};
    hub_receive(rig.hub, &header, (struct bytes){0});
    sense(17);
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
    json_t *status = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "status", NULL, NULL);
    assert_int_equal(0, json_integer_value(json_object_get(status, "watches")));
    json_decref(status);
}

static void a_removed_client_is_told_so_and_nothing_more(void **state)
{
    (void)state;
    warm_up();
    put_actions("wait=30", false);
    rig_do(&rig, &owner, COAP_DELETED, COAP_DELETE, "clients/valve", NULL);
    struct rig_answer answer = rig_get(&rig, &valve);
    check_status(UNSUPPORTED, answer.status);
    assert_int_equal(COAP_UNAUTHORIZED, answer.code);
    sense(17);
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
}

static void nobody_hears_of_an_action_before_it_is_durable(void **state)
{
    (void)state;
    const struct rig_question cold = {.code = COAP_POST,
                                      .path = "events",
                                      .payload =
                                          bytes_from_text("{\"type\":\"reading\",\"properties\":{\"value\":1}}")};
    warm_up();
    sense(20);
    put_actions(NULL, true);
    json_decref(rig_get(&rig, &valve).json);
    rig.hold = true;
    rig_put(&rig, &sensor, &cold);
    rig_run(&rig);
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
    rig.hold = false;
    restart();
    json_t *answer = actions(NULL);
    assert_int_equal(0, count_of(answer));
    json_decref(answer);
}

static void what_storage_refused_never_happened(void **state)
{
    (void)state;
    sense(17);
    warm_up();
    put_actions(NULL, true);
    json_decref(rig_get(&rig, &valve).json);
    rig.forced_sync = IO;
    const char *reason = rig_refused(&rig, &sensor, COAP_UNAVAILABLE, COAP_POST, "events", NULL,
                                     "{\"type\":\"reading\",\"properties\":{\"value\":1}}", "storage");
    assert_string_equal("the site is read-only: storage fails", reason);
    rig.forced_sync = OK;
    check_status(NOT_FOUND, rig_get(&rig, &valve).status);
    rig.now_ms += HUB_RETRY_MS;
    sense(16);
    struct rig_answer answer = rig_get(&rig, &valve);
    check_ok(answer.status);
    assert_int_equal(1, count_of(answer.json));
    assert_int_equal(16, property(answer.json, 0, "value"));
    assert_int_equal(2, property(answer.json, 0, "n")); /* the rule's state went back, too */
    assert_int_equal(2, cursor_of(answer.json));
    json_decref(answer.json);
}

static void the_newest_actions_are_kept(void **state)
{
    (void)state;
    char body[128 * 64];
    for (int i = 0; i < (HUB_ACTIONS_KEPT + 100) / 50 + 1; i++) {
        size_t len = 0;
        for (int n = 0; n < 50; n++)
            len += (size_t)snprintf(body + len, sizeof body - len,
                                    "%s{\"type\":\"reading\",\"properties\":{\"value\":%d}}", n ? "," : "[", n % 10);
        snprintf(body + len, sizeof body - len, "]");
        rig_do(&rig, &sensor, COAP_CHANGED, COAP_POST, "events", body);
    }
    int64_t cursor = 0, first = 0;
    size_t count = 0, some;
    do {
        char query[32];
        snprintf(query, sizeof query, "after=%lld", (long long)cursor);
        json_t *answer = actions(query);
        some = count_of(answer);
        if (!first)
            first =
                json_integer_value(json_object_get(json_array_get(json_object_get(answer, "actions"), 0), "cursor"));
        count += some;
        cursor = cursor_of(answer);
        json_decref(answer);
    } while (some);
    assert_int_equal(HUB_ACTIONS_KEPT, count);
    assert_true(first == cursor - HUB_ACTIONS_KEPT + 1);
}

static void watchers_are_limited(void **state)
{
    (void)state;
    warm_up();
    for (int i = 0; i < HUB_WATCHES_MAX; i++)
        put_actions("wait=30", false);
    put_actions("wait=30", false);
    struct rig_answer answer = rig_get(&rig, &valve);
    assert_int_equal(COAP_UNAVAILABLE, answer.code);
    json_decref(answer.json);
    put_actions(NULL, true);
    answer = rig_get(&rig, &valve);
    assert_int_equal(COAP_UNAVAILABLE, answer.code);
    assert_false(answer.more);
    json_decref(answer.json);
    rig_refused(&rig, &valve, COAP_BAD_REQUEST, COAP_GET, "actions", "wait=61", NULL, "wait");
    rig_refused(&rig, &valve, COAP_BAD_REQUEST, COAP_GET, "actions", "after=x", NULL, "after");
}

static void rules_are_listed_shown_tried_and_removed(void **state)
{
    (void)state;
    json_t *list = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "rules", NULL, NULL);
    assert_int_equal(1, json_array_size(json_object_get(list, "rules")));
    json_decref(list);
    json_t *rule = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "rules/heat", NULL, NULL);
    assert_true(json_is_object(json_object_get(rule, "rule")) && json_is_object(json_object_get(rule, "state")));
    json_decref(rule);
    json_t *trace = rig_expect(&rig, &owner, COAP_CONTENT, COAP_POST, "rules/heat/test", NULL,
                               "{\"source\":\"anything\",\"type\":\"reading\",\"properties\":{\"value\":3}}");
    assert_true(json_is_true(json_object_get(trace, "fired")));
    assert_int_equal(1, json_array_size(json_object_get(trace, "actions")));
    json_decref(trace);
    json_t *answer = actions(NULL);
    assert_int_equal(0, count_of(answer));
    json_decref(answer);
    rig_do(&rig, &owner, COAP_DELETED, COAP_DELETE, "rules/heat", NULL);
    rig_refused(&rig, &owner, COAP_NOT_FOUND, COAP_DELETE, "rules/heat", NULL, NULL, "rule");
    rig_refused(&rig, &owner, COAP_NOT_FOUND, COAP_GET, "rules/heat", NULL, NULL, "rule");
    rig_refused(&rig, &owner, COAP_NOT_FOUND, COAP_POST, "rules/heat/test", NULL, "{\"source\":\"a\",\"type\":\"b\"}",
                "rule");
    restart();
    sense(17);
    answer = actions(NULL);
    assert_int_equal(0, count_of(answer));
    json_decref(answer);
}

static void a_rule_that_does_not_compile_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct rig_question question = {
        .code = COAP_POST,
        .path = "rules",
        .payload =
            bytes_from_text("{\"name\":\"heat\",\"when\":[{\"condition\":\"(e) => \"}],\"do\":[{\"target\":\"x\","
                            "\"type\":\"y\"}]}")};
    struct rig_answer answer = rig_ask(&rig, &owner, &question);
    assert_int_equal(COAP_UNPROCESSABLE, answer.code);
    const char *field;
    assert_int_equal(0, json_unpack(answer.json, "{s:{s:s}}", "error", "field", &field));
    assert_non_null(strstr(field, "condition"));
    json_decref(answer.json);
    sense(17);
    json_t *all = actions(NULL);
    assert_int_equal(1, count_of(all));
    json_decref(all);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        modules_dir = argv[1];
#define hub_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        hub_test(a_cold_reading_becomes_an_action_of_the_valve),
        hub_test(actions_cursors_and_rule_state_survive_a_restart),
        hub_test(a_long_poll_is_answered_when_there_is_something),
        hub_test(a_long_poll_ends_empty_at_its_time),
        hub_test(an_observer_hears_of_every_action_once_and_in_order),
        hub_test(an_observer_that_comes_back_after_a_restart_misses_nothing),
        hub_test(who_left_is_told_nothing_more),
        hub_test(a_removed_client_is_told_so_and_nothing_more),
        hub_test(nobody_hears_of_an_action_before_it_is_durable),
        hub_test(what_storage_refused_never_happened),
        hub_test(the_newest_actions_are_kept),
        hub_test(watchers_are_limited),
        hub_test(rules_are_listed_shown_tried_and_removed),
        hub_test(a_rule_that_does_not_compile_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("hub_rule", tests, start_scripts, NULL);
}
