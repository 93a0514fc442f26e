/* A device's whole life between a real hub and the real client, over a gateway that can be told to lose things: from a
 * code to a certificate, to the next one, and evidence asked for once more. */
#include "../hostile_gateway.h"

#include "device.h"
#include "image.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

static struct device self;
static struct client *client;
static uint8_t kept[DEVICE_STATE_MAX];
static size_t kept_len;
static int64_t clock_s;
static char why[256];

static int64_t now_s(void *user)
{
    (void)user;
    return clock_s;
}

static enum status keep_state(void *user, struct bytes state)
{
    (void)user;
    memcpy(kept, state.data, state.len);
    kept_len = state.len;
    return OK;
}

static const struct device_host host = {now_s, keep_state, NULL};

/* ---- The gateway and its hubs, while the client waits ---- */

static pthread_t server;
static atomic_bool serving;

static void *serve(void *unused)
{
    while (serving)
        if (!gateway_turn())
            (void)poll(NULL, 0, 1);
    return unused;
}

static void start_serving(void)
{
    serving = true;
    check_ok(pthread_create(&server, NULL, serve, NULL));
}

static void stop_serving(void)
{
    serving = false;
    check_ok(pthread_join(server, NULL));
}

static struct enrol_code code_of(const char *name)
{
    struct enrol_code code = {.reference = {.product = "hub", .min_security_version = 3}};
    struct image_configuration configuration;
    uint8_t digest[CRYPTO_HASH_MAX];
    char body[96];
    struct writer secret = writer_over(code.secret, sizeof code.secret);
    snprintf(code.name, sizeof code.name, "%s", name);
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"code\":true}", name);
    json_t *json = rig_expect(&rig, &places[HOME].owner, COAP_CREATED, COAP_POST, "clients", NULL, body);
    check_ok(base64url_decode(json_string_value(json_object_get(json, "code")), &secret));
    json_decref(json);
    check_ok(image_configuration_decode(rig.configuration, &configuration));
    check_ok(crypto_hash(CRYPTO_SHA256, &configuration.certificate, 1, digest));
    memcpy(code.reference.owner, digest, sizeof code.reference.owner);
    memcpy(code.reference.site, configuration.site, sizeof code.reference.site);
    memcpy(code.reference.ak, places[HOME].node.ak_name + 2, sizeof code.reference.ak);
    memcpy(code.reference.signer, signer, sizeof code.reference.signer);
    code.reference.insecure_dev = configuration.insecure_dev;
    code.reference.required_walls = EAT_WALL_SECRET_MEMORY;
    return code;
}

static void open_session(uint32_t timeout_ms)
{
    char url[64];
    client_close(client);
    snprintf(url, sizeof url, "coap://127.0.0.1:%u", between.coap_port);
    const struct client_config wanted = {.url = url, .edhoc = device_edhoc(&self), .timeout_ms = timeout_ms};
    check_ok(client_open(&wanted, &client, why, sizeof why));
}

static void begin_play(void (*before)(struct exchange *), void (*after)(struct exchange *))
{
    memset(between.sent, 0, sizeof between.sent);
    between.before = before;
    between.after = after;
}

static int set_up_device(void **state)
{
    if (set_up_places(state) != 0)
        return 1;
    clock_s = (int64_t)(rig.now_ms / 1000);
    open_gateway();
    const struct enrol_code code = code_of("camera");
    check_ok(device_begin(&self, &code, &host));
    check_ok(device_keep(&self));
    return 0;
}

static int tear_down_device(void **state)
{
    client_close(client);
    client = NULL;
    device_done(&self);
    close_gateway();
    tear_down_places(state);
    return 0;
}

static enum status enrol_now(uint32_t timeout_ms)
{
    open_session(timeout_ms);
    start_serving();
    enum status status = device_enrol(&self, client, why, sizeof why);
    stop_serving();
    return status;
}

static enum status send_event(void)
{
    static unsigned id;
    char body[96];
    struct client_answer answer;
    snprintf(body, sizeof body, "{\"id\":\"event-%u\",\"type\":\"t\",\"properties\":{}}", ++id);
    const struct client_request request = {
        .code = COAP_POST, .path = "events", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    start_serving();
    enum status status = client_ask(client, &request, &answer);
    stop_serving();
    if (status == OK)
        assert_int_equal(COAP_CHANGED, answer.code);
    return status;
}

/* As after the power came back. */
static void wake_up(void)
{
    client_close(client);
    client = NULL;
    device_done(&self);
    check_ok(device_decode(bytes_from(kept, kept_len), &self, &host));
}

/* ---- Enrolment ---- */

static void a_code_becomes_a_certificate_and_speaks_for_its_client(void **state)
{
    (void)state;
    char name[DEVICE_NAME_MAX + 1];
    check_ok(enrol_now(5000));
    device_name(&self, name);
    assert_string_equal("camera", name);
    wake_up();
    assert_int_equal(0, self.code.len);
    open_session(5000);
    check_ok(send_event());
    assert_int_equal(1, state_of(HOME, "events"));
    check_status(WRONG_STATE, device_enrol(&self, client, why, sizeof why));
}

static unsigned led_to;

static void lead_elsewhere(struct exchange *exchange)
{
    exchange->to = places[led_to].hub;
}

static void who_knows_only_the_code_goes_nowhere_else(void **state)
{
    (void)state;
    static const char *const says[PLACES] = {
        [OTHER_OWNER] = "owner", [OTHER_SITE] = "site", [TWIN] = "attestation key"};
    for (led_to = OTHER_OWNER; led_to < PLACES; led_to++) {
        begin_play(lead_elsewhere, NULL);
        check_status(DENIED, enrol_now(5000));
        if (!strstr(why, says[led_to]))
            fail_msg("\"%s\" does not say \"%s\"", why, says[led_to]);
        assert_int_equal(0, between.sent[PROTECTED]);
    }
    begin_play(NULL, NULL);
    check_ok(enrol_now(5000));
}

static unsigned to_lose;

static void lose_answers(struct exchange *exchange)
{
    if (exchange->kind == PROTECTED && to_lose > 0) {
        to_lose--;
        exchange->answer_len = 0;
    }
}

static void a_device_that_was_cut_off_goes_on_with_its_key(void **state)
{
    (void)state;
    to_lose = 1000;
    begin_play(NULL, lose_answers);
    check_status(IO, enrol_now(1500));
    wake_up();
    assert_int_equal(ENROL_SECRET_LEN, self.code.len);
    begin_play(NULL, NULL);
    check_ok(enrol_now(5000));
    open_session(5000);
    check_ok(send_event());
}

static void the_key_of_another_gets_nothing_for_the_same_code(void **state)
{
    (void)state;
    struct enrol_code code = {.reference = self.reference};
    memcpy(code.secret, self.code.data, sizeof code.secret);
    check_ok(enrol_now(5000));
    client_close(client);
    client = NULL;
    device_done(&self);
    check_ok(device_begin(&self, &code, &host));
    check_status(DENIED, enrol_now(5000));
    assert_non_null(strstr(why, "spent"));
}

/* ---- Renewal ---- */

static void pass_time(int64_t seconds)
{
    clock_s += seconds;
    rig.now_ms += (uint64_t)seconds * 1000;
}

static enum status renew_now(uint32_t timeout_ms)
{
    open_session(timeout_ms);
    start_serving();
    enum status status = device_renew(&self, client, why, sizeof why);
    stop_serving();
    return status;
}

static void a_certificate_is_renewed_before_it_ends_even_when_the_answer_is_lost(void **state)
{
    (void)state;
    check_ok(enrol_now(5000));
    assert_false(device_renewal_due(&self));
    pass_time((int64_t)X509_CLIENT_DAYS * 86400 * 2 / 3 + 3600);
    assert_true(device_renewal_due(&self));
    to_lose = 1000;
    begin_play(NULL, lose_answers);
    check_status(IO, renew_now(1500));
    wake_up();
    begin_play(NULL, NULL);
    open_session(5000);
    check_ok(send_event()); /* the former one counts still */
    check_ok(renew_now(5000));
    assert_false(device_renewal_due(&self));
    pass_time((int64_t)X509_CLIENT_DAYS * 86400 / 2); /* past the first one's end */
    wake_up();
    open_session(5000);
    check_ok(send_event());
}

static void without_a_clock_nothing_is_due(void **state)
{
    (void)state;
    check_ok(enrol_now(5000));
    clock_s = 0;
    assert_false(device_renewal_due(&self));
    open_session(5000);
    check_ok(send_event());
}

/* ---- Evidence once more ---- */

static enum status attest_now(void)
{
    start_serving();
    enum status status = client_attest(client);
    stop_serving();
    return status;
}

static void other_signer(struct eat_report *report)
{
    report->signer[0] ^= 1;
}

static void an_open_session_proves_itself_again_and_ends_when_it_cannot(void **state)
{
    (void)state;
    check_ok(enrol_now(5000));
    open_session(5000);
    check_ok(send_event());
    check_ok(attest_now());
    check_ok(send_event());
    begin_play(NULL, NULL);
    places[HOME].bend = other_signer;
    check_status(DENIED, attest_now());
    assert_int_equal(1u << EVIDENCE_MEASUREMENT, self.evidence.reasons);
    assert_int_equal(1, between.sent[PROTECTED]);
    check_status(DENIED, send_event());
    assert_int_equal(1, between.sent[PROTECTED]); /* the question, and nothing after it */
    places[HOME].bend = NULL;
    launch(&places[HOME]);
    check_ok(send_event());
}

static void evidence_of_before_a_restart_is_not_asked_for_after_it(void **state)
{
    (void)state;
    check_ok(enrol_now(5000));
    open_session(5000);
    check_ok(send_event());
    launch(&places[HOME]);
    check_ok(attest_now()); /* in a session that began with evidence of its own */
    check_ok(send_event());
}

static void a_session_by_a_secret_has_nothing_to_judge(void **state)
{
    (void)state;
    char url[64];
    struct client *secret = NULL;
    struct oscore_input input = {.aead = CRYPTO_AES_CCM_16_64_128,
                                 .master_secret = {.len = 16},
                                 .sender = {.data = {1}, .len = 1},
                                 .recipient = {.data = {2}, .len = 1}};
    snprintf(url, sizeof url, "coap://127.0.0.1:%u", between.coap_port);
    check_ok(client_open(&(struct client_config){.url = url, .input = &input}, &secret, why, sizeof why));
    check_status(UNSUPPORTED, client_attest(secret));
    client_close(secret);
}

int main(void)
{
#define device_test(name) cmocka_unit_test_setup_teardown(name, set_up_device, tear_down_device)
    const struct CMUnitTest tests[] = {
        device_test(a_code_becomes_a_certificate_and_speaks_for_its_client),
        device_test(who_knows_only_the_code_goes_nowhere_else),
        device_test(a_device_that_was_cut_off_goes_on_with_its_key),
        device_test(the_key_of_another_gets_nothing_for_the_same_code),
        device_test(a_certificate_is_renewed_before_it_ends_even_when_the_answer_is_lost),
        device_test(without_a_clock_nothing_is_due),
        device_test(an_open_session_proves_itself_again_and_ends_when_it_cannot),
        device_test(evidence_of_before_a_restart_is_not_asked_for_after_it),
        device_test(a_session_by_a_secret_has_nothing_to_judge),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
