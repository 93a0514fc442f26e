/* A gateway between a device and the hub it observes: notifications that are dropped, doubled, turned round, bent, kept
 * for later or invented. What the device is told is what the hub said, in its order, each once; what it was not told it
 * gets when it asks from where it stands. */
#include "../hostile_rig.h"

#include "engine.h"
#include "guest_memory.h"
#include "script.h"

#define NOTICES 3
#define RULE                                                                                                           \
    "{\"name\":\"heat\",\"when\":[{\"type\":\"reading\",\"condition\":\"(e) => e.properties.value < 1000\"}],"         \
    "\"do\":[{\"target\":\"thermometer\",\"type\":\"set\",\"transform\":\"(e) => ({value: e.properties.value})\"}]}"

static const char *modules_dir = "modules";
static struct script_engine *scripts;

/* The one observation, on both sides of the gateway, and what the hub said to it. */
static struct {
    uint64_t at_hub, at_client; /* channels */
    uint8_t notices[NOTICES][2048];
    size_t len[NOTICES], count;
} watch;

static struct {
    int64_t values[32], cursor;
    size_t count;
    bool begun, over;
    enum status status;
} told;

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
    struct script_config wanted = {.contexts = 2, .prelude = engine_script_prelude()};
    check_ok(compartment_init(&guest_memory));
    int fd = guest_object(path);
    check_ok(compartment_load(fd, bytes_from(policy, policy_len), functions, count, &guest_memory, &module, &reason));
    close(fd);
    free(policy);
    check_ok(script_engine_new(&scripts, &wanted, module, &guest_memory, &reason));
    return 0;
}

static int set_up_notices(void **state)
{
    int failed = set_up_hostile(state);
    memset(&watch, 0, sizeof watch);
    memset(&told, 0, sizeof told);
    rig.scripts = scripts;
    launch(&places[HOME]);
    rig_do(&rig, &places[HOME].owner, COAP_CREATED, COAP_POST, "rules", RULE);
    return failed;
}

/* ---- The device ---- */

static void hear_notice(void *user, enum status status, const struct client_answer *answer, bool more)
{
    (void)user;
    told.begun = true;
    told.over |= !more;
    told.status = status;
    if (status != OK)
        return;
    json_t *json = json_loadb((const char *)answer->payload.data, answer->payload.len, 0, NULL), *one;
    size_t at;
    told.cursor = number(json, "cursor");
    json_array_foreach(json_object_get(json, "actions"), at, one)
    {
        json_int_t value;
        assert_int_equal(0, json_unpack(one, "{s:{s:I}}", "properties", "value", &value));
        assert_true(told.count < sizeof told.values / sizeof told.values[0]);
        told.values[told.count++] = value;
    }
    json_decref(json);
}

static void play_for(struct client *client, uint64_t time_ms)
{
    for (uint64_t end_ms = clock_now_ms() + time_ms; clock_now_ms() < end_ms;)
        play_on(client);
}

static void take_watch(struct exchange *exchange)
{
    struct coap_body outer;
    struct bytes observe;
    check_ok(coap_body_decode(bytes_from(exchange->request, exchange->request_len), &outer));
    if (exchange->kind != PROTECTED || !coap_option_find(outer.options, COAP_OBSERVE, &observe))
        return;
    watch.at_hub = exchange->to->channel;
    watch.at_client = exchange->channel;
    (void)!gateway_reply(between.gateway, clock_now_ms(), exchange->channel,
                         bytes_from(exchange->answer, exchange->answer_len), true);
    exchange->answer_len = 0;
}

static void begin_watch(struct client *client)
{
    char query[32];
    told.begun = told.over = false;
    snprintf(query, sizeof query, "after=%lld", (long long)told.cursor);
    const struct client_request request = {.code = COAP_GET, .path = "actions", .query = query, .observe = true};
    begin_play(NULL, take_watch);
    check_ok(client_begin(client, &request, hear_notice, NULL));
    for (uint64_t begun_ms = clock_now_ms(); !told.begun; play_on(client))
        assert_true(clock_now_ms() - begun_ms < PATIENCE_MS);
    assert_false(told.over);
    told.count = 0;
}

/* ---- The hub's notices, in the gateway's hands ---- */

static void sense(int value)
{
    char body[128];
    struct writer notice = writer_over(watch.notices[watch.count], sizeof watch.notices[0]);
    snprintf(body, sizeof body, "{\"type\":\"reading\",\"properties\":{\"value\":%d}}", value);
    rig_do(&rig, &places[HOME].owner, COAP_CHANGED, COAP_POST, "events", body);
    if (rig_take(&rig, watch.at_hub, &notice, NULL))
        watch.len[watch.count++] = notice.len;
}

static void sense_three(int first)
{
    watch.count = 0;
    for (int i = 0; i < NOTICES; i++)
        sense(first + i);
    assert_int_equal(NOTICES, watch.count);
}

static void pass(struct client *client, size_t notice)
{
    (void)!gateway_reply(between.gateway, clock_now_ms(), watch.at_client,
                         bytes_from(watch.notices[notice], watch.len[notice]), true);
    play_for(client, 20);
}

static void check_told(const int64_t *values, size_t count)
{
    assert_int_equal(count, told.count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(values[i], told.values[i]);
    assert_false(told.over);
    told.count = 0;
}

#define CHECK_TOLD(...) check_told((const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8)

static void notices_come_once_and_in_their_order_whatever_the_gateway_does(void **state)
{
    (void)state;
    struct client *client = open_device(false, 3000);
    begin_watch(client);
    sense_three(10); /* honest */
    for (size_t i = 0; i < NOTICES; i++)
        pass(client, i);
    CHECK_TOLD(10, 11, 12);
    sense_three(20); /* each three times, and the first once more at the end */
    for (size_t i = 0; i < 3 * NOTICES; i++)
        pass(client, i / 3);
    pass(client, 0);
    CHECK_TOLD(20, 21, 22);
    sense_three(30); /* the last first */
    for (size_t i = NOTICES; i-- > 0;)
        pass(client, i);
    CHECK_TOLD(32);
    sense_three(40); /* one is missing */
    pass(client, 0);
    pass(client, 2);
    CHECK_TOLD(40, 42);
    client_close(client);
}

static void every_bent_notice_is_dropped_and_the_whole_one_is_taken_after(void **state)
{
    (void)state;
    struct client *client = open_device(false, 3000);
    begin_watch(client);
    sense_three(50);
    size_t len;
    uint8_t *payload = payload_of(watch.notices[0], watch.len[0], &len);
    for (size_t i = 0; i < len; i++) {
        payload[i] ^= (uint8_t)(1u << i % 8);
        (void)!gateway_reply(between.gateway, clock_now_ms(), watch.at_client,
                             bytes_from(watch.notices[0], watch.len[0]), true);
        play_for(client, 2);
        payload[i] ^= (uint8_t)(1u << i % 8);
    }
    play_for(client, 100);
    assert_int_equal(0, told.count);
    pass(client, 0);
    pass(client, 1);
    CHECK_TOLD(50, 51);
    client_close(client);
}

static void invented_notices_are_not_told_and_an_invented_end_costs_nothing_but_asking_again(void **state)
{
    (void)state;
    static const uint8_t observed[] = {0x61, 9};
    static struct exchange made_up;
    struct client *client = open_device(false, 3000);
    begin_watch(client);
    sense_three(60);
    pass(client, 0);
    CHECK_TOLD(60);
    struct writer body = writer_over(made_up.answer, sizeof made_up.answer);
    const struct coap_body notice = {COAP_CONTENT, BYTES_OF(observed),
                                     bytes_from_text("{\"cursor\":99,\"actions\":[]}")};
    coap_body_encode(&body, &notice);
    (void)!gateway_reply(between.gateway, clock_now_ms(), watch.at_client, writer_bytes(&body), true);
    play_for(client, 50);
    assert_int_equal(0, told.count);
    assert_false(told.over);
    assert_true(told.cursor != 99);
    set_answer(&made_up, COAP_UNAVAILABLE, COAP_FORMAT_TEXT, (struct bytes){0});
    (void)!gateway_reply(between.gateway, clock_now_ms(), watch.at_client,
                         bytes_from(made_up.answer, made_up.answer_len), false);
    play_for(client, 100);
    assert_true(told.over);
    check_status(IO, told.status);
    int64_t cursor = told.cursor;
    const struct client_request request = {.code = COAP_GET, .path = "actions", .query = "after=1"};
    begin_play(NULL, NULL);
    told.count = 0;
    told.begun = false;
    check_ok(client_begin(client, &request, hear_notice, NULL));
    for (uint64_t begun_ms = clock_now_ms(); !told.begun; play_on(client))
        assert_true(clock_now_ms() - begun_ms < PATIENCE_MS);
    assert_int_equal(1, cursor);
    assert_int_equal(2, told.count); /* those that it was not told of, from where it stood */
    assert_int_equal(61, told.values[0]);
    assert_int_equal(62, told.values[1]);
    client_close(client);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        modules_dir = argv[1];
#define play_test(name) cmocka_unit_test_setup_teardown(name, set_up_notices, tear_down_hostile)
    const struct CMUnitTest tests[] = {
        play_test(notices_come_once_and_in_their_order_whatever_the_gateway_does),
        play_test(every_bent_notice_is_dropped_and_the_whole_one_is_taken_after),
        play_test(invented_notices_are_not_told_and_an_invented_end_costs_nothing_but_asking_again),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests_name("hostile_notices", tests, start_scripts, NULL);
}
