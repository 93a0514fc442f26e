/* The client against a hub behind the real gateway, over UDP and HTTP on loopback: answers, beginnings, restarts,
 * losses, forgeries, observation. */
#include "client_rig.h"

static struct rig rig;

struct got {
    unsigned count, over;
    enum status status;
    uint8_t code;
    uint32_t content_format;
    char text[256];
};

static void note(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct got *got = user;
    got->count += status == OK;
    got->over += !more;
    got->status = status;
    if (status != OK)
        return;
    got->code = answer->code;
    got->content_format = answer->content_format;
    snprintf(got->text, sizeof got->text, "%s", (const char *)answer->payload.data);
}

static void turn(struct client *client)
{
    rig_turn(&rig);
    check_ok(client_run(client, 1));
}

static void turn_for(struct client *client, uint64_t ms)
{
    for (uint64_t end = rig_now_ms() + ms; rig_now_ms() < end;)
        turn(client);
}

static void turn_until(struct client *client, const unsigned *count, unsigned wanted)
{
    uint64_t end = rig_now_ms() + 20000;
    while (*count < wanted && rig_now_ms() < end)
        turn(client);
    assert_true(*count >= wanted);
}

static void begin(struct client *client, struct got *got, const char *path, const char *payload)
{
    const struct client_request request = {.code = payload ? COAP_POST : COAP_GET,
                                           .path = path,
                                           .content_format = COAP_FORMAT_JSON,
                                           .payload = bytes_from_text(payload)};
    *got = (struct got){0};
    check_ok(client_begin(client, &request, note, got));
}

static void expect(struct client *client, const char *path, const char *payload, uint8_t code, const char *text)
{
    struct got got;
    begin(client, &got, path, payload);
    turn_until(client, &got.over, 1);
    if (got.status != OK)
        fail_msg("%s", client_why(client));
    assert_int_equal(code, got.code);
    assert_string_equal(text, got.text);
}

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void answers_come_with_code_format_and_payload(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        struct got got;
        expect(client, "echo", "{\"a\":1}", COAP_CONTENT, "{\"a\":1}");
        expect(client, "nowhere", NULL, COAP_NOT_FOUND, "{\"error\":{}}");
        begin(client, &got, "empty", NULL);
        turn_until(client, &got.over, 1);
        assert_int_equal(COAP_DELETED, got.code);
        assert_true(got.content_format == CLIENT_NO_FORMAT);
        begin(client, &got, "echo", "x");
        turn_until(client, &got.over, 1);
        assert_int_equal(COAP_FORMAT_JSON, got.content_format);
        client_close(client);
    }
}

static void a_session_begins_once_however_many_wait(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        static struct got got[CLIENT_PENDING_MAX];
        rig.served = rig.challenged = rig.contexts = 0;
        for (size_t i = 0; i < CLIENT_PENDING_MAX; i++)
            begin(client, &got[i], "echo", "x");
        for (size_t i = 0; i < CLIENT_PENDING_MAX; i++)
            turn_until(client, &got[i].count, 1);
        assert_int_equal(CLIENT_PENDING_MAX, rig.served);
        assert_int_equal(1, rig.challenged);
        assert_int_equal(1, rig.contexts);
        client_close(client);
    }
}

static void sixty_four_requests_are_under_way_and_one_more_is_busy(void **state)
{
    (void)state;
    struct client *client = rig_client(&rig, false, 0);
    static struct got got[CLIENT_PENDING_MAX + 1];
    const struct client_request request = {.code = COAP_GET, .path = "echo"};
    for (size_t i = 0; i < CLIENT_PENDING_MAX; i++)
        begin(client, &got[i], "echo", "x");
    assert_int_equal(CLIENT_PENDING_MAX, client_pending(client));
    check_status(BUSY, client_begin(client, &request, note, &got[CLIENT_PENDING_MAX]));
    assert_non_null(strstr(client_why(client), "64"));
    for (size_t i = 0; i < CLIENT_PENDING_MAX; i++)
        turn_until(client, &got[i].count, 1);
    assert_int_equal(0, client_pending(client));
    check_ok(client_begin(client, &request, note, &got[0]));
    client_close(client);
}

static void large_answers_and_requests_travel(void **state)
{
    (void)state;
    static uint8_t body[60000];
    memset(body, 'y', sizeof body);
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        struct client_answer answer;
        struct client_request request = {.code = COAP_GET, .path = "large"};
        rig_begin_thread(&rig);
        check_ok(client_ask(client, &request, &answer));
        assert_int_equal(60000, answer.payload.len);
        assert_int_equal('x', answer.payload.data[59999]);
        assert_int_equal(0, answer.payload.data[60000]);
        request = (struct client_request){.code = COAP_POST, .path = "echo", .payload = BYTES_OF(body)};
        check_ok(client_ask(client, &request, &answer));
        check_bytes(BYTES_OF(body), answer.payload);
        rig_end_thread(&rig);
        client_close(client);
    }
}

/* ---- Restarts ---- */

struct flood {
    struct got got[CLIENT_PENDING_MAX];
    unsigned next, done, failed, total;
    struct client *client;
};

static void flood_one(struct flood *flood);

static void flood_done(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct flood *flood = user;
    (void)more;
    flood->done++;
    if (status != OK || answer->code != COAP_CHANGED)
        flood->failed++;
    else if (!rig.accepted[strtoul((const char *)answer->payload.data, NULL, 10)])
        flood->failed++;
    if (flood->next < flood->total)
        flood_one(flood);
}

static void flood_one(struct flood *flood)
{
    char id[16];
    snprintf(id, sizeof id, "%u", flood->next++);
    const struct client_request request = {.code = COAP_POST, .path = "events", .payload = bytes_from_text(id)};
    check_ok(client_begin(flood->client, &request, flood_done, flood));
}

static void begin_flood(struct flood *flood, struct client *client, unsigned total)
{
    *flood = (struct flood){.client = client, .total = total};
    memset(rig.accepted, 0, sizeof rig.accepted);
    rig.served = rig.challenged = rig.contexts = 0;
    for (size_t i = 0; i < CLIENT_PENDING_MAX && flood->next < total; i++)
        flood_one(flood);
}

static void end_flood(struct flood *flood)
{
    turn_until(flood->client, &flood->done, flood->total);
    assert_int_equal(0, flood->failed);
    for (unsigned i = 0; i < flood->total; i++)
        assert_true(rig.accepted[i]);
    client_close(flood->client);
}

static void a_hub_restarted_under_64_requests_is_met_once_more(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        static struct flood flood;
        begin_flood(&flood, rig_client(&rig, http, 0), 500);
        turn_until(flood.client, &flood.done, 100);
        rig_forget(&rig);
        turn_until(flood.client, &flood.done, 300);
        rig_forget(&rig);
        end_flood(&flood);
        assert_int_equal(3, rig.contexts);
    }
}

static void a_node_killed_under_64_requests_looks_like_a_slow_answer(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        static struct flood flood;
        begin_flood(&flood, rig_client(&rig, http, 0), 500);
        turn_until(flood.client, &flood.done, 100);
        rig_stop(&rig);
        rig_forget(&rig);
        turn_for(flood.client, 1500);
        rig_start(&rig);
        uint64_t back_ms = rig_now_ms();
        end_flood(&flood);
        assert_true(rig_now_ms() - back_ms < 3000);
    }
}

static void a_hub_that_is_down_for_a_while_is_waited_for(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        static struct flood flood;
        begin_flood(&flood, rig_client(&rig, http, 0), 300);
        turn_until(flood.client, &flood.done, 100);
        gateway_set_enclave(rig.gateway, rig_now_ms(), false);
        rig_forget(&rig);
        turn_for(flood.client, 1000);
        gateway_set_enclave(rig.gateway, rig_now_ms(), true);
        end_flood(&flood);
    }
}

static void lost_datagrams_cost_time_only(void **state)
{
    (void)state;
    char url[64];
    static struct flood flood;
    rig_add_relay(&rig, 7, url);
    begin_flood(&flood, rig_client_at(&rig, url, 0), 200);
    end_flood(&flood);
    assert_true(rig.relay_count > 400);
}

static void what_got_no_answer_is_asked_again(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        struct got got;
        expect(client, "echo", "x", COAP_CONTENT, "x");
        rig.swallow = 1;
        rig.served = 0;
        begin(client, &got, "echo", "y");
        turn_until(client, &got.over, 1);
        check_ok(got.status);
        assert_string_equal("y", got.text);
        assert_int_equal(0, rig.swallow);
        assert_int_equal(2, rig.served);
        client_close(client);
    }
}

static void a_long_poll_holds_up_nobody(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        const struct client_request poll = {.code = COAP_GET, .path = "never", .wait_ms = 60000};
        struct got waits = {0};
        check_ok(client_begin(client, &poll, note, &waits));
        for (int i = 0; i < 5; i++)
            expect(client, "echo", "x", COAP_CONTENT, "x");
        assert_int_equal(0, waits.over);
        client_close(client);
    }
}

/* ---- Forgeries ---- */

static void forged_answers_reach_nobody(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        expect(client, "echo", "x", COAP_CONTENT, "x");
        rig.flip = 3;
        expect(client, "echo", "true", COAP_CONTENT, "true");
        rig.plain = 3;
        expect(client, "echo", "too", COAP_CONTENT, "too");
        assert_int_equal(0, rig.flip + rig.plain);
        client_close(client);
    }
}

static void a_forged_4_01_costs_one_new_beginning(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        static struct flood flood;
        begin_flood(&flood, rig_client(&rig, http, 0), 300);
        turn_until(flood.client, &flood.done, 50);
        rig.unknown = 1;
        end_flood(&flood);
        assert_true(rig.contexts <= 2);
    }
}

static void forgeries_without_end_are_told_as_such(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 1000);
        struct got got;
        rig.plain = UINT32_MAX;
        begin(client, &got, "echo", "x");
        turn_until(client, &got.over, 1);
        check_status(AUTH, got.status);
        assert_non_null(strstr(client_why(client), "does not verify"));
        rig.plain = 0;
        client_close(client);
    }
}

static void a_hub_that_knows_no_such_key_is_given_up_early(void **state)
{
    (void)state;
    rig.knows_nobody = true;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        struct got got[3];
        uint64_t begun_ms = rig_now_ms();
        for (int i = 0; i < 3; i++)
            begin(client, &got[i], "echo", "x");
        for (int i = 0; i < 3; i++) {
            turn_until(client, &got[i].over, 1);
            check_status(AUTH, got[i].status);
        }
        assert_true(rig_now_ms() - begun_ms < 5000);
        assert_non_null(strstr(client_why(client), "knows no session with this key"));
        client_close(client);
    }
}

/* ---- Observation ---- */

static void observe(struct client *client, struct got *got, unsigned after)
{
    char query[32];
    snprintf(query, sizeof query, "after=%u", after);
    const struct client_request request = {.code = COAP_GET, .path = "actions", .query = query, .observe = true};
    *got = (struct got){0};
    check_ok(client_begin(client, &request, note, got));
}

static void notifications_come_in_order_and_once(void **state)
{
    (void)state;
    struct client *client = rig_client(&rig, false, 0);
    struct got got;
    observe(client, &got, 0);
    turn_until(client, &got.count, 1);
    for (unsigned i = 1; i <= 20; i++) {
        char wanted[32];
        rig_tell_cursor(&rig);
        turn_until(client, &got.count, 1 + i);
        snprintf(wanted, sizeof wanted, "{\"cursor\":%u}", i);
        assert_string_equal(wanted, got.text);
    }
    rig_reply(&rig, rig.watch_channel, bytes_from(rig.last_notice, rig.last_notice_len), true);
    turn_for(client, 100);
    assert_int_equal(21, got.count);
    rig.flip = 1;
    rig_tell_cursor(&rig);
    turn_for(client, 100);
    assert_int_equal(21, got.count); /* one that does not verify is not there */
    rig_tell_cursor(&rig);
    turn_until(client, &got.count, 22);
    assert_int_equal(0, got.over);
    assert_int_equal(1, client_pending(client));
    client_close(client);
}

static void an_observation_ends_when_the_hub_forgot_it_and_goes_on_where_it_was(void **state)
{
    (void)state;
    struct client *client = rig_client(&rig, false, 0);
    struct got got;
    observe(client, &got, 0);
    turn_until(client, &got.count, 1);
    rig_forget(&rig);
    expect(client, "actions", NULL, COAP_CONTENT, "{\"cursor\":0}"); /* what the caller asks now and then */
    turn_until(client, &got.over, 1);
    check_status(IO, got.status);
    assert_non_null(strstr(client_why(client), "observation of /actions ended"));
    rig_tell_cursor(&rig); /* to nobody */
    observe(client, &got, 7);
    turn_until(client, &got.count, 1);
    assert_int_equal(7, rig.after);
    assert_int_equal(2, rig.registrations);
    assert_string_equal("{\"cursor\":1}", got.text);
    rig_tell_cursor(&rig);
    turn_until(client, &got.count, 2);
    client_close(client);
}

static void an_observation_ends_with_its_node(void **state)
{
    (void)state;
    struct client *client = rig_client(&rig, false, 0);
    struct got got, other;
    observe(client, &got, 0);
    turn_until(client, &got.count, 1);
    gateway_set_enclave(rig.gateway, rig_now_ms(), false); /* it tells observers, by an unprotected 5.03 */
    turn_until(client, &got.over, 1);
    check_status(IO, got.status);
    gateway_set_enclave(rig.gateway, rig_now_ms(), true);
    observe(client, &got, 0);
    turn_until(client, &got.count, 1);
    rig_stop(&rig);
    begin(client, &other, "echo", "x");
    turn_until(client, &got.over, 1);
    check_status(IO, got.status);
    rig_start(&rig);
    turn_until(client, &other.count, 1);
    client_close(client);
}

static void a_refused_observation_has_one_answer(void **state)
{
    (void)state;
    struct client *client = rig_client(&rig, false, 0);
    const struct client_request request = {.code = COAP_GET, .path = "nowhere", .observe = true};
    struct got got = {0};
    check_ok(client_begin(client, &request, note, &got));
    turn_until(client, &got.over, 1);
    assert_int_equal(1, got.count);
    assert_int_equal(COAP_NOT_FOUND, got.code);
    client_close(client);
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(answers_come_with_code_format_and_payload),
        rig_test(a_session_begins_once_however_many_wait),
        rig_test(sixty_four_requests_are_under_way_and_one_more_is_busy),
        rig_test(large_answers_and_requests_travel),
        rig_test(a_hub_restarted_under_64_requests_is_met_once_more),
        rig_test(a_node_killed_under_64_requests_looks_like_a_slow_answer),
        rig_test(a_hub_that_is_down_for_a_while_is_waited_for),
        rig_test(lost_datagrams_cost_time_only),
        rig_test(what_got_no_answer_is_asked_again),
        rig_test(a_long_poll_holds_up_nobody),
        rig_test(forged_answers_reach_nobody),
        rig_test(a_forged_4_01_costs_one_new_beginning),
        rig_test(forgeries_without_end_are_told_as_such),
        rig_test(a_hub_that_knows_no_such_key_is_given_up_early),
        rig_test(notifications_come_in_order_and_once),
        rig_test(an_observation_ends_when_the_hub_forgot_it_and_goes_on_where_it_was),
        rig_test(an_observation_ends_with_its_node),
        rig_test(a_refused_observation_has_one_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
