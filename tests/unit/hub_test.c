/* hub: the owner, clients, and what strangers send. The handshakes are in hub_handshake_test.c. */
#include "../hub_site.h"

static void the_owner_meets_the_hub_and_is_answered(void **state)
{
    (void)state;
    json_t *status = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "status", NULL, NULL);
    assert_int_equal(1, number(status, "clients"));
    assert_int_equal(0, number(status, "rules"));
    const char *storage;
    int64_t nv_counter;
    assert_int_equal(0, json_unpack(status, "{s:{s:s},s:{s:I}}", "storage", "state", &storage, "freshness",
                                    "nv_counter", &nv_counter));
    assert_string_equal("works", storage);
    assert_int_equal(7, nv_counter);
    json_decref(status);
}

static uint8_t plain_code(struct bytes body)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    struct writer reply = writer_over(room, sizeof room);
    struct coap_body answer;
    rig_request(&rig, ++rig.channel, DOOR_COAP, body);
    rig_run(&rig);
    assert_true(rig_take(&rig, rig.channel, &reply, NULL));
    check_ok(coap_body_decode(writer_bytes(&reply), &answer));
    return answer.code;
}

static void a_report_carries_the_owners_nonce(void **state)
{
    (void)state;
    struct monitor_report report;
    uint8_t room[sizeof report];
    struct writer writer = writer_over(room, sizeof room);
    json_t *json =
        rig_expect(&rig, &owner, COAP_CONTENT, COAP_POST, "report", NULL, "{\"nonce\":\"00112233445566778899\"}");
    check_ok(base64url_decode(json_string_value(json_object_get(json, "evidence")), &writer));
    json_decref(json);
    assert_int_equal(sizeof report, writer.len);
    memcpy(&report, room, sizeof report);
    assert_int_equal(10, report.nonce_len);
    assert_int_equal(0x99, report.nonce[9]);
    static const char *const bad[] = {"{}", "{\"nonce\":7}", "{\"nonce\":\"00112233445566\"}", "{\"nonce\":\"zz\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "report", NULL, bad[i], "nonce");
}

/* ---- Clients ---- */

static void every_algorithm_makes_a_client(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"AES-CCM-16-64-128", "AES-CCM-16-128-128", "A128GCM", "A256GCM"};
    for (size_t i = 0; i < 4; i++) {
        struct rig_peer client;
        char name[16];
        snprintf(name, sizeof name, "device%zu", i);
        rig_add_client(&rig, &owner, name, algorithms[i], &client);
        rig_do(&rig, &client, COAP_CONTENT, COAP_GET, "actions", NULL);
        restart();
        rig_do(&rig, &client, COAP_CONTENT, COAP_GET, "actions", NULL);
        rig_peer_done(&client);
    }
    json_t *list = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "clients", NULL, NULL);
    assert_int_equal(5, json_array_size(json_object_get(list, "clients")));
    json_decref(list);
}

static void a_client_that_cannot_be_is_refused_by_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *body, *field;
        uint8_t code;
    } cases[] = {
        {"", "body", COAP_BAD_REQUEST},
        {"[]", "body", COAP_BAD_REQUEST},
        {"{\"name\":\"a\",\"name\":\"b\"}", "body", COAP_BAD_REQUEST},
        {"{}", "name", COAP_UNPROCESSABLE},
        {"{\"name\":7}", "name", COAP_UNPROCESSABLE},
        {"{\"name\":\"\"}", "name", COAP_UNPROCESSABLE},
        {"{\"name\":\"a b\"}", "name", COAP_UNPROCESSABLE},
        {"{\"name\":\"a/b\"}", "name", COAP_UNPROCESSABLE},
        {"{\"name\":\"owner\"}", "name", COAP_UNPROCESSABLE},
        {"{\"name\":\"sensor\"}", "name", COAP_CONFLICT},
        {"{\"name\":\"a\",\"colour\":1}", "colour", COAP_UNPROCESSABLE},
        {"{\"name\":\"a\",\"algorithm\":\"ROT13\"}", "algorithm", COAP_UNPROCESSABLE},
        {"{\"name\":\"a\",\"algorithm\":7}", "algorithm", COAP_UNPROCESSABLE},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "body", COAP_UNPROCESSABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        rig_refused(&rig, &owner, cases[i].code, COAP_POST, "clients", NULL, cases[i].body, cases[i].field);
}

static void a_removed_client_is_unknown_and_its_name_is_free(void **state)
{
    (void)state;
    struct rig_question question = {.code = COAP_GET, .path = "actions"};
    struct rig_peer again;
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
    rig_do(&rig, &owner, COAP_DELETED, COAP_DELETE, "clients/sensor", NULL);
    assert_int_not_equal(OK, rig_ask(&rig, &sensor, &question).status);
    rig_refused(&rig, &owner, COAP_NOT_FOUND, COAP_DELETE, "clients/sensor", NULL, NULL, "client");
    rig_add_client(&rig, &owner, "sensor", "A128GCM", &again);
    rig_do(&rig, &again, COAP_CONTENT, COAP_GET, "actions", NULL);
    assert_int_not_equal(OK, rig_ask(&rig, &sensor, &question).status);
    restart();
    assert_int_not_equal(OK, rig_ask(&rig, &sensor, &question).status);
    rig_do(&rig, &again, COAP_CONTENT, COAP_GET, "actions", NULL);
    rig_peer_done(&again);
}

static void a_client_may_do_only_what_clients_do(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        const char *path;
    } owners[] = {
        {COAP_GET, "clients"}, {COAP_POST, "clients"}, {COAP_DELETE, "clients/sensor"}, {COAP_GET, "rules"},
        {COAP_POST, "rules"},  {COAP_GET, "rules/r"},  {COAP_DELETE, "rules/r"},        {COAP_POST, "rules/r/test"},
        {COAP_GET, "history"}, {COAP_GET, "status"},   {COAP_POST, "report"},
    };
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++)
        rig_refused(&rig, &sensor, COAP_FORBIDDEN, owners[i].code, owners[i].path, NULL, "{}", "path");
    rig_refused(&rig, &sensor, COAP_NOT_FOUND, COAP_GET, "secrets", NULL, NULL, "path");
    rig_refused(&rig, &sensor, COAP_NOT_FOUND, COAP_GET, "", NULL, NULL, "path");
    rig_refused(&rig, &sensor, COAP_METHOD_NOT_ALLOWED, COAP_GET, "events", NULL, NULL, "method");
    rig_refused(&rig, &sensor, COAP_METHOD_NOT_ALLOWED, COAP_PUT, "actions", NULL, NULL, "method");
}

/* ---- What strangers send ---- */

static void without_a_script_engine_rules_are_refused(void **state)
{
    (void)state;
    rig_refused(&rig, &owner, COAP_NOT_IMPLEMENTED, COAP_POST, "rules", NULL, "{}", "scripts");
}

static void what_is_no_request_of_ours_is_refused_unprotected(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        uint8_t code;
    } cases[] = {
        {"", 0, COAP_BAD_REQUEST},
        {"\x45", 1, COAP_BAD_REQUEST},                              /* a response */
        {"\x02\xff", 2, COAP_BAD_REQUEST},                          /* a marker and no payload */
        {"\x01\xb6status", 8, COAP_BAD_OPTION},                     /* GET /status, unprotected */
        {"\x02\x90\xff\x01", 4, COAP_BAD_OPTION},                   /* an empty OSCORE option: no kid */
        {"\x02\x93\x09\x00\x07\xff\x01", 7, COAP_UNAUTHORIZED},     /* kid 07 */
        {"\x02\x94\x09\x00\x03\xff\xff\x01", 8, COAP_UNAUTHORIZED}, /* kid 03ff: a place nobody has */
        {"\x02\x94\x09\x00\xff\xff\xff\x01", 8, COAP_UNAUTHORIZED}, /* kid ffff: no place at all */
        {"\x02\x94\x09\x00\x00\x00\xff\x01", 8, COAP_BAD_REQUEST},  /* the sensor's kid, and nonsense */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code = plain_code(bytes_from(cases[i].bytes, cases[i].len));
        if (coap_code_class(code) != 4)
            fail_msg("case %zu: code %d.%02d", i, code >> 5, code & 31);
    }
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
}

static void a_request_sent_twice_is_done_once(void **state)
{
    (void)state;
    static uint8_t room[4096], reply_room[4096];
    uint8_t random[OSCORE_PART_LEN] = {0};
    struct coap_body inner, answer;
    struct writer outer = writer_over(room, sizeof room), reply = writer_over(reply_room, sizeof reply_room);
    struct rig_question question = {
        .code = COAP_POST, .path = "events", .payload = bytes_from_text("{\"type\":\"reading\"}")};
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
    check_ok(coap_body_decode(rig_inner(&question), &inner));
    check_ok(oscore_protect_request(&sensor.session, &inner, random, &sensor.request, &outer));
    for (int i = 0; i < 3; i++) {
        rig_request(&rig, ++rig.channel, DOOR_COAP, writer_bytes(&outer));
        rig_run(&rig);
        assert_true(rig_take(&rig, rig.channel, &reply, NULL));
        check_ok(coap_body_decode(writer_bytes(&reply), &answer));
        struct bytes option;
        assert_int_equal(i == 0, coap_option_find(answer.options, COAP_OSCORE, &option));
        if (i)
            assert_int_equal(COAP_UNAUTHORIZED, answer.code);
    }
    json_t *all = history(NULL);
    assert_int_equal(1, rows(all));
    json_decref(all);
    restart();
    rig_request(&rig, ++rig.channel, DOOR_COAP, writer_bytes(&outer));
    rig_run(&rig);
    all = history(NULL);
    assert_int_equal(1, rows(all)); /* nor after a restart: B.2 comes first */
    json_decref(all);
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
    (void)state;
    static uint8_t room[4096], reply_room[4096];
    uint8_t random[OSCORE_PART_LEN] = {0};
    struct coap_body inner, answer;
    struct writer outer = writer_over(room, sizeof room), reply = writer_over(reply_room, sizeof reply_room);
    struct rig_question question = {
        .code = COAP_POST, .path = "events", .payload = bytes_from_text("{\"type\":\"reading\"}")};
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
    check_ok(coap_body_decode(rig_inner(&question), &inner));
    check_ok(oscore_protect_request(&sensor.session, &inner, random, &sensor.request, &outer));
    for (size_t bit = 0; bit < 8 * outer.len; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        rig_request(&rig, ++rig.channel, DOOR_COAP, writer_bytes(&outer));
        rig_run(&rig);
        struct bytes option;
        assert_true(rig_take(&rig, rig.channel, &reply, NULL));
        check_ok(coap_body_decode(writer_bytes(&reply), &answer));
        if (bit >= 8 && coap_option_find(answer.options, COAP_OSCORE, &option))
            assert_int_not_equal(COAP_CHANGED, answer.code);
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    json_t *all = history(NULL);
    assert_true(rows(all) <= 1); /* the outer code is nobody's: that one flip is the request itself */
    json_decref(all);
}

static void a_body_past_the_limit_is_refused_with_the_limit(void **state)
{
    (void)state;
    rig.body_max = 1000;
    restart();
    char body[1100];
    for (int extra = 0; extra < 2; extra++) {
        memset(body, ' ', sizeof body);
        body[1000 + extra] = 0;
        memcpy(body, "{\"type\":\"reading\"}", 18);
        if (extra)
            assert_non_null(
                strstr(rig_refused(&rig, &sensor, COAP_TOO_LARGE, COAP_POST, "events", NULL, body, "body"), "1000"));
        else
            assert_int_equal(1, send_events(body, NULL));
    }
    rig.body_max = 0;
}

static void critical_options_we_do_not_know_are_refused(void **state)
{
    (void)state;
    static uint8_t room[1024];
    static const struct {
        uint16_t number;
        uint8_t code;
    } cases[] = {
        {COAP_IF_MATCH, COAP_BAD_OPTION},
        {COAP_PROXY_URI, COAP_BAD_OPTION},
        {COAP_BLOCK1, COAP_BAD_OPTION},
        {2049, COAP_BAD_OPTION},
        {2048, COAP_CONTENT},
        {COAP_ACCEPT, COAP_NOT_ACCEPTABLE},
    };
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t options_room[64], random[OSCORE_PART_LEN] = {0};
        struct writer options = writer_over(options_room, sizeof options_room), outer = writer_over(room, sizeof room);
        struct coap_option_writer writer = coap_options_to(&options);
        if (cases[i].number < COAP_URI_PATH)
            coap_put_option(&writer, cases[i].number, bytes_from_text("<"));
        coap_put_segments(&writer, COAP_URI_PATH, "actions", '/');
        if (cases[i].number > COAP_URI_PATH)
            coap_put_option(&writer, cases[i].number, bytes_from_text("<"));
        struct coap_body inner = {COAP_GET, writer_bytes(&options), {0}};
        check_ok(oscore_protect_request(&sensor.session, &inner, random, &sensor.request, &outer));
        sensor.channel = ++rig.channel;
        rig_request(&rig, sensor.channel, DOOR_COAP, writer_bytes(&outer));
        rig_run(&rig);
        struct rig_answer answer = rig_get(&rig, &sensor);
        if (answer.code != cases[i].code)
            fail_msg("option %u: %d.%02d", cases[i].number, answer.code >> 5, answer.code & 31);
        json_decref(answer.json);
    }
}

static void before_the_store_is_loaded_everyone_is_asked_to_wait(void **state)
{
    (void)state;
    rig_stop(&rig);
    rig_open_archive(&rig);
    const struct hub_config config = {.configuration = rig.configuration,
                                      .port = {&rig, rig_send, rig_advance, rig_head, rig_seal_key, rig_report}};
    check_ok(hub_new(&rig.hub, &config));
    check_ok(hub_start(rig.hub));
    check_status(WRONG_STATE, hub_start(rig.hub));
    rig_request(&rig, 77, DOOR_COAP, bytes_from("\x01", 1));
    rig_run(&rig);
    static uint8_t room[4096];
    struct writer reply = writer_over(room, sizeof room);
    struct coap_body answer;
    assert_true(rig_take(&rig, 77, &reply, NULL));
    check_ok(coap_body_decode(writer_bytes(&reply), &answer));
    assert_int_equal(COAP_UNAVAILABLE, answer.code);
    rig_do(&rig, &sensor, COAP_CONTENT, COAP_GET, "actions", NULL);
}

static void the_operators_log_names_nothing_of_the_site(void **state)
{
    (void)state;
    send_one("secret-id", 1);
    rig.forced_sync = IO;
    rig_refused(&rig, &sensor, COAP_UNAVAILABLE, COAP_POST, "events", NULL, "{\"type\":\"reading\"}", "storage");
    rig.forced_sync = OK;
    restart();
    rig.audit[rig.audit_len] = 0;
    assert_non_null(strstr(rig.audit, "serving"));
    assert_non_null(strstr(rig.audit, "storage=failing"));
    assert_null(strstr(rig.audit, "sensor"));
    assert_null(strstr(rig.audit, "reading"));
    assert_null(strstr(rig.audit, "secret"));
}

/* ---- Nonces ---- */

struct nonces {
    struct {
        uint8_t context[OSCORE_CONTEXT_MAX];
        size_t len;
        uint64_t sequence;
    } used[4096];
    size_t count;
};

static struct nonces ours, theirs;

static void note(struct nonces *nonces, struct bytes id_context, uint64_t sequence)
{
    assert_true(nonces->count < 4096 && id_context.len <= OSCORE_CONTEXT_MAX);
    for (size_t i = 0; i < nonces->count; i++)
        if (nonces->used[i].sequence == sequence && nonces->used[i].len == id_context.len &&
            memcmp(nonces->used[i].context, id_context.data, id_context.len) == 0)
            fail_msg("the nonce of sequence number %llu was used twice", (unsigned long long)sequence);
    memcpy(nonces->used[nonces->count].context, id_context.data, id_context.len);
    nonces->used[nonces->count].len = id_context.len;
    nonces->used[nonces->count++].sequence = sequence;
}

static void note_ours(void *user, struct bytes id_context, uint64_t sequence)
{
    (void)user;
    note(&ours, id_context, sequence);
}

/* The hub's own: a Partial IV it put into an answer, under the context the peer has just then. An answer without one
 * uses its request's nonce, and every request has one answer. */
static void note_answer(const struct rig_peer *peer, const struct coap_body *outer)
{
    struct bytes value;
    struct oscore_option option;
    if (!coap_option_find(outer->options, COAP_OSCORE, &value))
        return;
    check_ok(oscore_option_decode(value, &option));
    if (option.partial_iv_len == 0)
        return;
    const struct oscore_context *current = &peer->session.current;
    /* In a response, the challenge of B.2 names the context it was made under. */
    struct bytes id_context =
        option.has_kid_context ? option.kid_context : bytes_from(current->id_context, current->id_context_len);
    note(&theirs, id_context, option.partial_iv);
}

static void no_nonce_is_used_twice_over_twenty_restarts(void **state)
{
    (void)state;
    sensor.session.used = note_ours;
    sensor.heard = note_answer;
    const struct rig_question observe = {.code = COAP_GET, .path = "actions", .observe = true};
    for (int launch = 0; launch < 20; launch++) {
        for (int i = 0; i < 5; i++) {
            send_one(NULL, launch);
            json_decref(rig_ask(&rig, &sensor, &observe).json);
        }
        restart();
    }
    assert_true(ours.count >= 20 * 10 && theirs.count >= 20 * 5);
    sensor.session.used = NULL;
    sensor.heard = NULL;
}

int main(void)
{
#define hub_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        hub_test(the_owner_meets_the_hub_and_is_answered),
        hub_test(a_report_carries_the_owners_nonce),
        hub_test(every_algorithm_makes_a_client),
        hub_test(a_client_that_cannot_be_is_refused_by_its_field),
        hub_test(a_removed_client_is_unknown_and_its_name_is_free),
        hub_test(a_client_may_do_only_what_clients_do),
        hub_test(without_a_script_engine_rules_are_refused),
        hub_test(what_is_no_request_of_ours_is_refused_unprotected),
        hub_test(a_request_sent_twice_is_done_once),
        hub_test(a_flipped_bit_anywhere_is_refused),
        hub_test(a_body_past_the_limit_is_refused_with_the_limit),
        hub_test(critical_options_we_do_not_know_are_refused),
        hub_test(before_the_store_is_loaded_everyone_is_asked_to_wait),
        hub_test(the_operators_log_names_nothing_of_the_site),
        hub_test(no_nonce_is_used_twice_over_twenty_restarts),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
