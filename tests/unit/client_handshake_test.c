/* The client's EDHOC: a session in which the hub proved what it is before anything was sent, agreed on anew when the
 * hub lost it; and every way in which a hub, or who stands in its place, does not get that far. */
#include "client_rig.h"

static struct rig rig;
static struct crypto_key own_key;
static uint8_t certificate_room[1024], id_room[32], by_value_room[1100];
static struct bytes certificate;
static const int six_three[] = {6, 3}, two[] = {2};

/* What the callbacks were shown, and what they say. */
static struct {
    unsigned met, appraised;
    bool other_key, other_evidence;
    enum status evidence; /* of opening it for this session */
    bool same_nonce;
} shown;

static enum status meet(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    (void)user;
    shown.met++;
    assert_int_equal(hub->reference->kind, EDHOC_KCCS);
    assert_int_equal(hub->evidence.len, 0);
    snprintf(why, cap, "another hub's key");
    return shown.other_key ? DENIED : OK;
}

static enum status appraise(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    struct attest_evidence evidence;
    (void)user;
    shown.appraised++;
    shown.evidence = hub->evidence.len ? attest_evidence_open(hub->evidence, hub->binder, &evidence) : NOT_FOUND;
    shown.same_nonce = shown.evidence == OK && bytes_equal(hub->nonce, evidence.nonce);
    bool good = shown.same_nonce && !shown.other_evidence;
    snprintf(why, cap, "bad evidence");
    return good ? OK : DENIED;
}

static struct client_edhoc edhoc;

static struct client *open_client(bool http, const int *suites, size_t count)
{
    char url[64], why[256] = "";
    struct client *client = NULL;
    edhoc = (struct client_edhoc){.suites = suites,
                                  .suites_count = count,
                                  .own = {.is_certificate = true,
                                          .value = certificate,
                                          .private_key = &own_key,
                                          .id_cred = bytes_from(id_room, sizeof id_room)},
                                  .meet = meet,
                                  .appraise = appraise};
    struct writer id = writer_over(id_room, sizeof id_room),
                  by_value = writer_over(by_value_room, sizeof by_value_room);
    edhoc_put_x5t(&id, certificate);
    edhoc_put_x5chain(&by_value, &certificate, 1);
    edhoc.own.id_cred = writer_bytes(&id);
    edhoc.own_by_value = writer_bytes(&by_value);
    snprintf(url, sizeof url, "%s://127.0.0.1:%u", http ? "http" : "coap", http ? rig.http_port : rig.coap_port);
    const struct client_config config = {.url = url, .http = &client_over_http, .edhoc = &edhoc, .timeout_ms = 5000};
    if (client_open(&config, &client, why, sizeof why) != OK)
        fail_msg("%s", why);
    return client;
}

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig);
    struct writer der = writer_over(certificate_room, sizeof certificate_room);
    if (!own_key.pkey)
        check_ok(crypto_key_generate(&own_key, CRYPTO_P256));
    check_ok(x509_issue_root(&der, &own_key, (const uint8_t[X509_SERIAL_LEN]){1}, 1700000000));
    rig.known = certificate = writer_bytes(&der);
    memset(&shown, 0, sizeof shown);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static enum status ask(struct client *client)
{
    struct client_answer answer;
    const struct client_request request = {
        .code = COAP_POST, .path = "events", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text("1")};
    enum status status = client_ask(client, &request, &answer);
    if (status == OK)
        check_bytes(bytes_from_text("1"), answer.payload);
    return status;
}

static void a_session_is_agreed_on_once_and_used(void **state)
{
    (void)state;
    rig_begin_thread(&rig);
    for (int http = 0; http < 2; http++) {
        struct client *client = open_client(http, six_three + 1, 1);
        unsigned before = rig.handshakes;
        for (int i = 0; i < 5; i++)
            check_ok(ask(client));
        assert_int_equal(before + 1, rig.handshakes);
        assert_true(shown.same_nonce);
        client_close(client);
    }
    rig_end_thread(&rig);
    assert_int_equal(2, shown.met);
    assert_int_equal(2, shown.appraised);
}

static void the_suite_is_the_first_that_both_have(void **state)
{
    (void)state;
    rig_begin_thread(&rig);
    struct client *client = open_client(true, six_three, 2);
    check_ok(ask(client));
    client_close(client);
    rig_end_thread(&rig);
    assert_int_equal(2, rig.handshakes);
}

static void no_suite_in_common_is_said(void **state)
{
    (void)state;
    rig_begin_thread(&rig);
    struct client *client = open_client(true, two, 1);
    check_status(UNSUPPORTED, ask(client));
    assert_non_null(strstr(client_why(client), "no cipher suite in common"));
    client_close(client);
    rig_end_thread(&rig);
}

static void a_hub_that_lost_the_session_agrees_on_another(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        rig_begin_thread(&rig);
        struct client *client = open_client(http, six_three + 1, 1);
        check_ok(ask(client));
        rig_end_thread(&rig);
        rig_forget(&rig);
        rig_begin_thread(&rig);
        check_ok(ask(client));
        client_close(client);
        rig_end_thread(&rig);
    }
    assert_int_equal(4, rig.met);
}

static void a_handshake_lost_half_way_is_begun_anew(void **state)
{
    (void)state;
    rig.forget_1 = 2;
    rig_begin_thread(&rig);
    struct client *client = open_client(true, six_three + 1, 1);
    check_ok(ask(client));
    client_close(client);
    rig_end_thread(&rig);
    assert_int_equal(3, rig.handshakes);
}

static void a_hub_that_never_ends_a_handshake_is_given_up(void **state)
{
    (void)state;
    rig.forget_1 = 100;
    rig_begin_thread(&rig);
    struct client *client = open_client(true, six_three + 1, 1);
    check_status(AUTH, ask(client));
    assert_non_null(strstr(client_why(client), "refused the handshake: \"no such handshake\""));
    client_close(client);
    rig_end_thread(&rig);
    assert_int_equal(3, rig.handshakes);
    assert_int_equal(0, rig.served);
}

static void another_hubs_key_does_not_learn_who_we_are(void **state)
{
    (void)state;
    shown.other_key = true;
    rig_begin_thread(&rig);
    struct client *client = open_client(true, six_three + 1, 1);
    check_status(DENIED, ask(client));
    assert_string_equal("another hub's key", client_why(client));
    client_close(client);
    rig_end_thread(&rig);
    assert_int_equal(0, rig.met);
    assert_int_equal(0, rig.served);
}

static void refused(const char *why, enum status evidence)
{
    rig_begin_thread(&rig);
    for (int http = 0; http < 2; http++) {
        struct client *client = open_client(http, six_three + 1, 1);
        check_status(DENIED, ask(client));
        assert_non_null(strstr(client_why(client), why));
        client_close(client);
    }
    rig_end_thread(&rig);
    assert_int_equal(0, rig.served);
    if (shown.appraised)
        check_status(evidence, shown.evidence);
}

static void a_hub_that_offers_no_evidence_gets_nothing(void **state)
{
    (void)state;
    rig.no_offer = true;
    refused("offers no evidence", OK);
    assert_int_equal(0, rig.met);
}

static void a_hub_that_gives_no_evidence_in_the_end_gets_nothing(void **state)
{
    (void)state;
    rig.no_evidence = true;
    refused("bad evidence", NOT_FOUND);
}

static void evidence_of_another_session_gets_nothing(void **state)
{
    (void)state;
    rig.bend_binder = true;
    refused("bad evidence", AUTH);
}

static void evidence_for_another_nonce_gets_nothing(void **state)
{
    (void)state;
    rig.bend_nonce = true;
    refused("bad evidence", OK);
    assert_false(shown.same_nonce);
}

static void evidence_that_the_policy_refuses_gets_nothing(void **state)
{
    (void)state;
    shown.other_evidence = true;
    refused("bad evidence", OK);
}

static void a_client_whom_the_hub_does_not_know_is_told(void **state)
{
    (void)state;
    struct crypto_key other = {0};
    uint8_t room[1024];
    struct writer der = writer_over(room, sizeof room);
    check_ok(crypto_key_generate(&other, CRYPTO_P256));
    check_ok(x509_issue_root(&der, &other, (const uint8_t[X509_SERIAL_LEN]){2}, 1700000000));
    rig.known = writer_bytes(&der);
    rig_begin_thread(&rig);
    struct client *client = open_client(true, six_three + 1, 1);
    check_status(AUTH, ask(client));
    assert_non_null(strstr(client_why(client), "refused the handshake: \"refused\""));
    client_close(client);
    rig_end_thread(&rig);
    crypto_key_done(&other);
}

static void count_answer(void *user, enum status status, const struct client_answer *answer, bool more)
{
    unsigned *answered = user;
    (void)answer, (void)more;
    check_ok(status);
    ++*answered;
}

static void many_requests_wait_for_one_handshake(void **state)
{
    (void)state;
    unsigned answered = 0;
    const struct client_request request = {
        .code = COAP_POST, .path = "events", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text("1")};
    rig_begin_thread(&rig);
    struct client *client = open_client(false, six_three + 1, 1);
    for (int i = 0; i < CLIENT_PENDING_MAX; i++)
        check_ok(client_begin(client, &request, count_answer, &answered));
    check_status(BUSY, client_begin(client, &request, count_answer, &answered));
    while (client_pending(client) > 0)
        check_ok(client_run(client, 100));
    client_close(client);
    rig_end_thread(&rig);
    assert_int_equal(CLIENT_PENDING_MAX, answered);
    assert_int_equal(1, rig.handshakes);
}

static void a_client_has_one_way_to_its_session(void **state)
{
    (void)state;
    char why[128];
    struct client *client;
    const struct client_config none = {.url = "coap://127.0.0.1"},
                               both = {.url = "coap://127.0.0.1", .input = &rig.input, .edhoc = &edhoc};
    check_status(MALFORMED, client_open(&none, &client, why, sizeof why));
    check_status(MALFORMED, client_open(&both, &client, why, sizeof why));
}

int main(void)
{
#define rig_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        rig_test(a_session_is_agreed_on_once_and_used),
        rig_test(the_suite_is_the_first_that_both_have),
        rig_test(no_suite_in_common_is_said),
        rig_test(a_hub_that_lost_the_session_agrees_on_another),
        rig_test(a_handshake_lost_half_way_is_begun_anew),
        rig_test(a_hub_that_never_ends_a_handshake_is_given_up),
        rig_test(another_hubs_key_does_not_learn_who_we_are),
        rig_test(a_hub_that_offers_no_evidence_gets_nothing),
        rig_test(a_hub_that_gives_no_evidence_in_the_end_gets_nothing),
        rig_test(evidence_of_another_session_gets_nothing),
        rig_test(evidence_for_another_nonce_gets_nothing),
        rig_test(evidence_that_the_policy_refuses_gets_nothing),
        rig_test(a_client_whom_the_hub_does_not_know_is_told),
        rig_test(many_requests_wait_for_one_handshake),
        rig_test(a_client_has_one_way_to_its_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
