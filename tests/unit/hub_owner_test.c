/* hub: what the owner alone does — signs the site CA, has a daily key certified — and evidence on sessions that are
 * open.
 */
#include "../hub_device.h"

static void the_site_ca_outlives_the_launch_and_its_key_stays(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer again = writer_over(room, sizeof room);
    restart();
    rig_take_base64(rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "site", NULL, NULL), "certificate", &again);
    check_bytes(writer_bytes(&ca), writer_bytes(&again));
    struct rig_question question = {.code = COAP_GET, .path = "est/crts"};
    struct rig_answer answer = rig_ask(&rig, &sensor, &question);
    check_ok(answer.status);
    check_bytes(writer_bytes(&ca), answer.payload);
}

static void only_the_owners_signature_over_this_key_and_site_makes_a_ca(void **state)
{
    (void)state;
    struct bytes root_der;
    struct pki_certificate root, good;
    const struct crypto_key *key = rig_owner(&root_der);
    uint8_t room[PKI_CERTIFICATE_MAX];
    check_ok(pki_certificate_decode(root_der, &root));
    check_ok(pki_certificate_decode(writer_bytes(&ca), &good));
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/certificate", NULL, "{\"certificate\":\"AA\"}",
                "certificate");
    for (int row = 0; row < 3; row++) {
        struct writer der = writer_over(room, sizeof room);
        struct x509_order order = {
            .identity = {.role = row == 0 ? X509_HUB : X509_SITE_CA, .name = bytes_from_text("site")},
            .key = row == 1 ? device_key.public_key : good.key,
            .now_s = (int64_t)(rig.now_ms / 1000)};
        struct image_configuration configuration;
        check_ok(image_configuration_decode(rig_configuration(), &configuration));
        memcpy(order.identity.site, configuration.site, sizeof order.identity.site);
        order.identity.site[0] ^= row == 2;
        check_ok(x509_issue(&der, key, &root, &order));
        rig_post_certificate(&rig, &owner, row == 1 ? COAP_CONFLICT : COAP_UNPROCESSABLE, writer_bytes(&der));
    }
    rig_refused(&rig, &sensor, COAP_FORBIDDEN, COAP_POST, "site/request", NULL, NULL, "path");
}

static void evidence_is_given_once_more_on_an_open_session(void **state)
{
    (void)state;
    uint8_t room[64];
    static const uint8_t nonce[16] = "another nonce";
    struct writer body = writer_over(room, sizeof room);
    attest_put_request(&body, &(struct attest_request){ATTEST_FORMAT, BYTES_OF(nonce)});
    struct rig_question question = {
        .code = COAP_POST, .path = ".well-known/attest", .format = COAP_FORMAT_CBOR, .payload = writer_bytes(&body)};
    struct rig_answer answer = rig_ask(&rig, &owner, &question);
    check_ok(answer.status);
    assert_int_equal(COAP_CHANGED, answer.code);
    assert_true(answer.len > sizeof(struct monitor_report));
    question.payload = bytes_from_text("x");
    refused_as(rig_ask(&rig, &owner, &question), COAP_BAD_REQUEST);
    question.payload = writer_bytes(&body);
    refused_as(rig_ask(&rig, &sensor, &question), COAP_FORBIDDEN);
}

/* Whoever saw a later report refuses an earlier one: the launch's must not come again. */
static void sessions_after_a_report_have_evidence_made_after_it(void **state)
{
    (void)state;
    static struct rig_handshake handshake;
    static const uint8_t nonce[8];
    const struct edhoc_credential own = rig_owner_credential();
    uint8_t launches[2][32];
    for (int round = 0; round < 2; round++) {
        struct bytes answer;
        struct attest_evidence evidence;
        struct rig_peer peer;
        struct monitor_report report;
        handshake = (struct rig_handshake){0};
        assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, rig_message_1(&handshake), &answer));
        assert_int_equal(COAP_CHANGED,
                         rig_edhoc(&rig, rig_message_3(&handshake, answer, &own, BYTES_OF(nonce)), &answer));
        rig_take_message_4(&handshake, answer, &peer);
        check_ok(attest_evidence_open(handshake.evidence, &handshake.binder, &evidence));
        memcpy(&report, evidence.launch.data, sizeof report);
        memcpy(launches[round], report.nonce, sizeof launches[round]);
        rig_peer_done(&peer);
        edhoc_done(&handshake.edhoc);
        json_decref(
            rig_expect(&rig, &owner, COAP_CONTENT, COAP_POST, "report", NULL, "{\"nonce\":\"00112233445566778899\"}"));
    }
    assert_memory_not_equal(launches[0], launches[1], sizeof launches[0]);
}

static struct bytes daily_by(struct rig_peer *peer, const struct crypto_key *key, uint8_t room[PKI_CERTIFICATE_MAX])
{
    char text[(4 * PKI_REQUEST_MAX + 2) / 3 + 1], body[sizeof text + 32];
    struct writer certificate = writer_over(room, PKI_CERTIFICATE_MAX);
    check_ok(base64url_encode(request_of(key), text, sizeof text));
    snprintf(body, sizeof body, "{\"request\":\"%s\"}", text);
    rig_take_base64(rig_expect(&rig, peer, COAP_CREATED, COAP_POST, "site/owner", NULL, body), "certificate",
                    &certificate);
    return writer_bytes(&certificate);
}

static struct bytes daily(const struct crypto_key *key, uint8_t room[PKI_CERTIFICATE_MAX])
{
    return daily_by(&owner, key, room);
}

static void a_daily_key_is_the_owners_until_the_next_one(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX], next_room[PKI_CERTIFICATE_MAX];
    struct crypto_key next_key = {0};
    struct rig_peer peer;
    struct pki_certificate certificate;
    struct x509_identity identity;
    struct bytes der = daily(&device_key, room);
    check_ok(pki_certificate_decode(der, &certificate));
    check_ok(x509_identity_of(&certificate, &identity));
    assert_int_equal(X509_OWNER, identity.role);
    restart();
    check_ok(meet_with(der, &device_key, &peer));
    rig_do(&rig, &peer, COAP_CONTENT, COAP_GET, "rules", NULL);
    rig_peer_done(&peer);
    check_ok(crypto_key_generate(&next_key, CRYPTO_P256));
    struct bytes next = daily(&next_key, next_room);
    check_status(DENIED, meet_with(der, &device_key, &peer));
    check_ok(meet_with(next, &next_key, &peer));
    rig_peer_done(&peer);
    crypto_key_done(&next_key);
    rig_refused(&rig, &sensor, COAP_FORBIDDEN, COAP_POST, "site/owner", NULL, "{}", "path");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/owner", NULL, "{\"request\":\"AA\"}", "request");
}

static void a_daily_key_renews_itself_and_the_owners_own_ends_it_at_once(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX], next_room[PKI_CERTIFICATE_MAX], last_room[PKI_CERTIFICATE_MAX];
    struct rig_peer peer, other;
    struct bytes der = daily(&device_key, room);
    check_ok(meet_with(der, &device_key, &peer));
    struct bytes next = daily_by(&peer, &device_key, next_room);
    check_ok(meet_with(der, &device_key, &other)); /* its owner may have missed the answer */
    rig_peer_done(&other);
    check_ok(meet_with(next, &device_key, &other));
    rig_do(&rig, &other, COAP_CREATED, COAP_POST, "clients", "{\"name\":\"another\"}");
    check_status(DENIED, meet_with(der, &device_key, &peer));
    rig_peer_done(&peer);
    (void)daily(&device_key, last_room);
    struct rig_question question = {.code = COAP_GET, .path = "rules"};
    rig_put(&rig, &other, &question);
    rig_run(&rig);
    assert_int_equal(UNSUPPORTED, rig_get(&rig, &other).status);
    check_status(DENIED, meet_with(next, &device_key, &peer));
    rig_peer_done(&other);
}

int main(void)
{
#define site_test(name) cmocka_unit_test_setup_teardown(name, set_up_site, tear_down)
    const struct CMUnitTest tests[] = {
        site_test(sessions_after_a_report_have_evidence_made_after_it),
        site_test(a_daily_key_is_the_owners_until_the_next_one),
        site_test(a_daily_key_renews_itself_and_the_owners_own_ends_it_at_once),
        site_test(the_site_ca_outlives_the_launch_and_its_key_stays),
        site_test(only_the_owners_signature_over_this_key_and_site_makes_a_ca),
        site_test(evidence_is_given_once_more_on_an_open_session),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
