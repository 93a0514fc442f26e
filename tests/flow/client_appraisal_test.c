/* What a client is shown and does not take: each wrong thing alone has its own reason and sentence on the client's
 * side, and nothing was sent. The control is the same with nothing wrong. */
#include "../impostor.h"

static int set_up_impostor(void **state)
{
    int failed = set_up_hostile(state);
    impostor_begin();
    return failed;
}

static int tear_down_impostor(void **state)
{
    impostor_end();
    return tear_down_hostile(state);
}

/* ---- Evidence, wrong in one place ---- */

static void other_measurement(struct eat_report *report)
{
    report->measurement[0] ^= 0x40;
}

static void other_config(struct eat_report *report)
{
    report->config[31] ^= 1;
}

static void development_mode(struct eat_report *report)
{
    report->mode = EAT_INSECURE_DEV;
}

static void no_walls(struct eat_report *report)
{
    report->walls = 0;
}

static void older_store(struct eat_report *report)
{
    report->sequence = 8;
}

static void no_word_for_the_monitor(struct eat_report *report)
{
    report->monitor_measured = false;
}

/* The whole way through a client: refused for this reason alone, in these words, before anything was sent. */
static void refused(uint32_t reasons, const char *why)
{
    struct client *client = open_device(false, 2000);
    unsigned judged = device.judged;
    const struct outcome outcome = ask_once(client);
    if (outcome.status != DENIED || device.reasons != reasons || !strstr(outcome.why, why))
        fail_msg("%s, reasons 0x%x instead of 0x%x: \"%s\"", status_word(outcome.status), device.reasons, reasons,
                 outcome.why);
    assert_int_equal(judged + 1, device.judged);
    assert_int_equal(1, between.sent[MESSAGE_1]);
    assert_int_equal(1, between.sent[MESSAGE_3]);
    assert_int_equal(0, between.sent[PROTECTED]);
    client_close(client);
}

static void refused_of_the_impostor(uint32_t reasons, const char *why)
{
    begin_play(impostor_plays, NULL);
    refused(reasons, why);
}

static void with_nothing_wrong_the_client_goes_on(void **state)
{
    (void)state;
    struct client *client = open_device(false, 500);
    begin_play(impostor_plays, NULL);
    const struct outcome outcome = ask_once(client); /* the test has the keys of node and monitor: no gateway does */
    check_status(IO, outcome.status);
    assert_int_equal(0, device.reasons);
    assert_int_equal(1, between.sent[MESSAGE_3]);
    assert_true(between.sent[PROTECTED] > 0);
    client_close(client);
}

static void what_a_report_says_is_named_alone(void **state)
{
    (void)state;
    static const struct {
        void (*bend)(struct eat_report *);
        enum evidence_reason reason;
        const char *why;
    } rows[] = {{other_measurement, EVIDENCE_MEASUREMENT, "Measurement differs"},
                {other_config, EVIDENCE_CONFIG, "Other owner, site or mode"},
                {development_mode, EVIDENCE_MODE, "evelopment"},
                {no_walls, EVIDENCE_WALLS, "Walls missing"},
                {older_store, EVIDENCE_ROLLED_BACK, "Rolled back"},
                {no_word_for_the_monitor, EVIDENCE_MONITOR, "monitor is not measured"}};
    device.seen = (struct evidence_freshness){42, 7, 9};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        places[HOME].bend = rows[i].bend;
        refused_of_the_impostor(1u << rows[i].reason, rows[i].why);
        launch(&places[HOME]); /* and the real hub, where its monitor says so */
        begin_play(NULL, NULL);
        refused(1u << rows[i].reason, rows[i].why);
        assert_int_equal(0, state_of(HOME, "events"));
    }
    places[HOME].bend = NULL;
    launch(&places[HOME]);
    struct client *client = open_device(false, 2000);
    honest_again(client);
    client_close(client);
}

static void a_fake_monitor_on_the_same_tpm_is_refused(void **state)
{
    (void)state;
    places[HOME].signed_by = &impostor.other_key; /* it names the genuine hash, and has not the genuine key */
    refused_of_the_impostor(1u << EVIDENCE_REPORT_SIGNATURE, "not signed by the key the TPM quoted");
    places[HOME].signed_by = NULL;
    places[HOME].other_boot = true; /* it has, and another boot chain was quoted */
    refused_of_the_impostor(1u << EVIDENCE_MONITOR, "monitor is not measured");
    places[HOME].other_boot = false;
}

static void another_node_is_refused(void **state)
{
    (void)state;
    struct node genuine = places[HOME].node;
    launch(&places[TWIN]);
    places[HOME].node = places[TWIN].node; /* what the device knows, it knows of the other */
    struct client *client = open_device(false, 2000);
    begin_play(NULL, NULL);
    check_status(DENIED, ask_once(client).status);
    assert_true(device.reasons & 1u << EVIDENCE_OTHER_TPM);
    assert_non_null(strstr(client_why(client), "Another TPM"));
    assert_int_equal(0, between.sent[PROTECTED]);
    places[HOME].node = genuine;
    honest_again(client);
    client_close(client);
}

static void another_session_nonce_or_instance_is_named_alone(void **state)
{
    (void)state;
    static const char session[] = "another session, or to another hub";
    impostor.bend_binder = true;
    refused_of_the_impostor(1u << EVIDENCE_SESSION, session);
    impostor.bend_binder = false;
    impostor.bend_credential = true;
    refused_of_the_impostor(1u << EVIDENCE_SESSION, session);
    impostor.bend_credential = false;
    impostor.bend_nonce = true;
    refused_of_the_impostor(1u << EVIDENCE_STALE_NONCE, "Stale nonce");
    impostor.bend_nonce = false;
    impostor.unvouched = true;
    refused_of_the_impostor(1u << EVIDENCE_USER_DATA, "bound to something else");
    impostor.unvouched = false;
    impostor.relayed = true; /* the hub's own, of this minute, for this very nonce, in the gateway's session */
    refused_of_the_impostor(1u << EVIDENCE_SESSION, session);
}

static void no_evidence_is_refused_when_it_is_offered_and_when_it_is_not(void **state)
{
    (void)state;
    impostor.no_evidence = true;
    refused_of_the_impostor(1u << EVIDENCE_MALFORMED, "cannot be read");
    impostor.no_evidence = false;
    impostor.no_offer = true;
    struct client *client = open_device(false, 2000);
    begin_play(impostor_plays, NULL);
    struct outcome outcome = ask_once(client);
    check_status(DENIED, outcome.status);
    assert_non_null(strstr(outcome.why, "offers no evidence"));
    assert_int_equal(0, between.sent[MESSAGE_3]);
    assert_int_equal(0, between.sent[PROTECTED]);
    honest_again(client);
    client_close(client);
}

/* ---- Certificates ---- */

static void refused_by_certificate(enum x509_reason reason, const char *why)
{
    struct client *client = open_device(false, 2000);
    begin_play(NULL, NULL);
    const struct outcome outcome = ask_once(client);
    if (outcome.status != DENIED || device.x509 != 1u << reason || !strstr(outcome.why, why))
        fail_msg("%s, reasons 0x%x: \"%s\"", status_word(outcome.status), device.x509, outcome.why);
    assert_int_equal(0, between.sent[MESSAGE_3]);
    assert_int_equal(0, between.sent[PROTECTED]);
    client_close(client);
}

static void a_hub_whose_certificate_is_out_of_date_or_revoked_is_refused(void **state)
{
    (void)state;
    uint64_t now_s = device.now_s;
    device.now_s = now_s + (X509_HUB_DAYS + 1) * 86400ull;
    refused_by_certificate(X509_EXPIRED, "Certificate 0 has expired");
    device.now_s = now_s - 86400;
    struct client *client = open_device(false, 2000);
    begin_play(NULL, NULL);
    check_status(DENIED, ask_once(client).status);
    assert_non_null(strstr(client_why(client), "not yet valid"));
    client_close(client);
    device.now_s = now_s;
    struct pki_certificate certificate;
    static uint8_t serial[32];
    check_ok(pki_certificate_decode(as_a_stranger(BYTES_OF(node.ek_name))->hub.value, &certificate));
    memcpy(serial, certificate.serial.data, certificate.serial.len);
    revoked_serial = bytes_from(serial, certificate.serial.len);
    refused_by_certificate(X509_IS_REVOKED, "Certificate 0 was revoked");
    revoked_serial = (struct bytes){0};
    client = open_device(false, 2000);
    honest_again(client);
    client_close(client);
}

static void who_shows_the_hubs_certificates_without_its_key_is_refused(void **state)
{
    (void)state;
    struct client *client = open_device(false, 2000);
    impostor.stolen_chain = true;
    begin_play(impostor_plays, NULL);
    const struct outcome outcome = ask_once(client);
    check_status(AUTH, outcome.status);
    assert_non_null(strstr(outcome.why, "answers in the handshake does not verify"));
    assert_int_equal(0, between.sent[MESSAGE_3]);
    honest_again(client);
    client_close(client);
}

/* The hub tells a stranger no more than that it refuses; its device learns that, and sends nothing. */
static void a_device_that_was_removed_is_refused_and_sends_nothing(void **state)
{
    (void)state;
    struct client *client = open_device(false, 2000);
    device.offers_by_value = true;
    begin_play(NULL, NULL);
    check_ok(ask_once(client).status);
    int64_t sessions = state_of(HOME, "sessions");
    rig_do(&rig, &places[HOME].owner, COAP_DELETED, COAP_DELETE, "clients/thermometer", NULL);
    assert_int_equal(sessions - 1, state_of(HOME, "sessions"));
    int64_t events = state_of(HOME, "events");
    begin_play(NULL, NULL);
    const struct outcome outcome = ask_once(client);
    check_status(AUTH, outcome.status);
    assert_non_null(strstr(outcome.why, "refused the handshake: \"refused\""));
    assert_int_equal(1, between.sent[PROTECTED]); /* in the session it had, which is no more */
    assert_int_equal(events, state_of(HOME, "events"));
    client_close(client);
}

int main(void)
{
#define play_test(name) cmocka_unit_test_setup_teardown(name, set_up_impostor, tear_down_impostor)
    const struct CMUnitTest tests[] = {
        play_test(with_nothing_wrong_the_client_goes_on),
        play_test(what_a_report_says_is_named_alone),
        play_test(a_fake_monitor_on_the_same_tpm_is_refused),
        play_test(another_node_is_refused),
        play_test(another_session_nonce_or_instance_is_named_alone),
        play_test(no_evidence_is_refused_when_it_is_offered_and_when_it_is_not),
        play_test(a_hub_whose_certificate_is_out_of_date_or_revoked_is_refused),
        play_test(who_shows_the_hubs_certificates_without_its_key_is_refused),
        play_test(a_device_that_was_removed_is_refused_and_sends_nothing),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
