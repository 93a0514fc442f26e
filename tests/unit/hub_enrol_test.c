/* hub: who the site CA certifies — from one-time codes to certificates, their renewal and their end. */
#include "../hub_device.h"

static void the_hub_shows_a_chain_that_ends_at_the_owner(void **state)
{
    (void)state;
    static struct rig_handshake handshake;
    struct bytes answer, root;
    struct x509_result result;
    struct image_configuration configuration;
    const struct edhoc_credential own = rig_owner_credential();
    static const uint8_t nonce[8];
    handshake = (struct rig_handshake){0};
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, rig_message_1(&handshake), &answer));
    (void)rig_message_3(&handshake, answer, &own, BYTES_OF(nonce));
    (void)rig_owner(&root);
    check_ok(image_configuration_decode(rig_configuration(), &configuration));
    assert_int_equal(3, handshake.reference.certificates_count);
    uint8_t hash[CRYPTO_HASH_MAX];
    check_ok(crypto_hash(CRYPTO_SHA256, &root, 1, hash));
    const struct x509_policy by_hash = {.anchor_hash = bytes_from(hash, 32),
                                        .site = BYTES_OF(configuration.site),
                                        .roles = 1u << X509_HUB,
                                        .usage = PKI_DIGITAL_SIGNATURE,
                                        .now_s = (int64_t)(rig.now_ms / 1000)};
    check_ok(x509_check_chain(handshake.reference.certificates, 3, &by_hash, &result));
    edhoc_done(&handshake.edhoc);
}

static void a_device_enrols_with_a_code_and_speaks_as_its_client(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct rig_peer device;
    struct pki_certificate certificate;
    struct x509_identity identity;
    struct bytes der = enrolled("thermometer", room);
    check_ok(pki_certificate_decode(der, &certificate));
    check_ok(x509_identity_of(&certificate, &identity));
    check_bytes(bytes_from_text("thermometer"), identity.name);
    assert_int_equal(X509_CLIENT, identity.role);
    for (int launch = 0; launch < 2; launch++) {
        check_ok(meet_with(der, &device_key, &device));
        rig_do(&rig, &device, COAP_CHANGED, COAP_POST, "events", "{\"type\":\"t\",\"properties\":{}}");
        rig_refused(&rig, &device, COAP_FORBIDDEN, COAP_GET, "rules", NULL, NULL, "path");
        rig_peer_done(&device);
        restart();
    }
    json_t *list = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "clients", NULL, NULL);
    const char *expires = NULL;
    json_t *first = json_array_get(json_object_get(list, "clients"), 0);
    json_t *second = json_array_get(json_object_get(list, "clients"), 1);
    json_unpack(json_object_get(first, "algorithm") ? second : first, "{s:s}", "certificate_expires", &expires);
    assert_non_null(expires);
    json_decref(list);
}

static void a_stranger_may_enrol_and_nothing_else(void **state)
{
    (void)state;
    struct rig_peer stranger;
    meet_as_stranger(&stranger);
    rig_refused(&rig, &stranger, COAP_FORBIDDEN, COAP_POST, "events", NULL, "{\"type\":\"t\",\"properties\":{}}",
                "path");
    rig_refused(&rig, &stranger, COAP_FORBIDDEN, COAP_GET, "status", NULL, NULL, "path");
    refused_as(enrol(&stranger, "est/sren", NULL, request_of(&device_key)), COAP_FORBIDDEN);
    rig_peer_done(&stranger);
}

static void a_code_works_once(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    struct rig_peer stranger;
    struct crypto_key other_key = {0};
    char query[64];
    check_ok(crypto_key_generate(&other_key, CRYPTO_P256));
    snprintf(query, sizeof query, "%s", code_for("once"));
    meet_as_stranger(&stranger);
    keep(enrol(&stranger, "est/sen", query, request_of(&device_key)), &certificate);
    refused_as(enrol(&stranger, "est/sen", query, request_of(&other_key)), COAP_FORBIDDEN);
    crypto_key_done(&other_key);
    rig_peer_done(&stranger);
}

static void whoever_missed_the_answer_gets_the_same_certificate_again(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX], again_room[PKI_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room), again = writer_over(again_room, sizeof again_room);
    struct rig_peer stranger;
    char query[64];
    snprintf(query, sizeof query, "%s", code_for("missed"));
    meet_as_stranger(&stranger);
    keep(enrol(&stranger, "est/sen", query, request_of(&device_key)), &certificate);
    rig_peer_done(&stranger);
    restart();
    meet_as_stranger(&stranger);
    keep(enrol(&stranger, "est/sen", query, request_of(&device_key)), &again);
    rig_peer_done(&stranger);
    check_bytes(writer_bytes(&certificate), writer_bytes(&again));
}

static void a_code_ends_with_its_time_and_not_before(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct rig_peer stranger;
    char query[64];
    for (int late = 0; late < 2; late++) {
        struct writer certificate = writer_over(room, sizeof room);
        snprintf(query, sizeof query, "%s", code_for(late ? "late" : "soon"));
        rig.now_ms += late ? HUB_CODE_MS + 1000 : HUB_CODE_MS - 1000;
        meet_as_stranger(&stranger);
        struct rig_answer answer = enrol(&stranger, "est/sen", query, request_of(&device_key));
        if (late)
            refused_as(answer, COAP_FORBIDDEN);
        else
            keep(answer, &certificate);
        rig_peer_done(&stranger);
    }
}

static void wrong_codes_stop_everybody_for_a_while(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    struct rig_peer stranger;
    char query[64];
    snprintf(query, sizeof query, "%s", code_for("device"));
    meet_as_stranger(&stranger);
    for (int i = 0; i < HUB_CODE_TRIES; i++)
        refused_as(enrol(&stranger, "est/sen", "code=AAAAAAAAAAAAAAAAAAAAAA", request_of(&device_key)), COAP_FORBIDDEN);
    refused_as(enrol(&stranger, "est/sen", query, request_of(&device_key)), COAP_TOO_MANY_REQUESTS);
    rig.now_ms += HUB_CODE_WINDOW_MS;
    keep(enrol(&stranger, "est/sen", query, request_of(&device_key)), &certificate);
    rig_peer_done(&stranger);
}

static void what_is_no_request_costs_no_code(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX], bent[PKI_REQUEST_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    struct rig_peer stranger;
    char query[64];
    struct bytes good = request_of(&device_key);
    snprintf(query, sizeof query, "%s", code_for("device"));
    meet_as_stranger(&stranger);
    memcpy(bent, good.data, good.len);
    bent[good.len - 1] ^= 1;
    refused_as(enrol(&stranger, "est/sen", query, bytes_from(bent, good.len)), COAP_UNPROCESSABLE);
    refused_as(enrol(&stranger, "est/sen", NULL, good), COAP_FORBIDDEN);
    struct rig_question question = {.code = COAP_POST, .path = "est/sen", .query = query, .payload = good};
    refused_as(rig_ask(&rig, &stranger, &question), COAP_UNSUPPORTED_FORMAT);
    keep(enrol(&stranger, "est/sen", query, good), &certificate);
    rig_peer_done(&stranger);
}

static void a_removed_client_is_out_at_its_next_message(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct rig_peer device;
    struct bytes der = enrolled("thermometer", room);
    check_ok(meet_with(der, &device_key, &device));
    rig_do(&rig, &device, COAP_CHANGED, COAP_POST, "events", "{\"type\":\"t\",\"properties\":{}}");
    rig_do(&rig, &owner, COAP_DELETED, COAP_DELETE, "clients/thermometer", NULL);
    struct rig_question question = {.code = COAP_POST, .path = "events", .payload = bytes_from_text("{}")};
    rig_put(&rig, &device, &question);
    rig_run(&rig);
    assert_int_equal(UNSUPPORTED, rig_get(&rig, &device).status);
    rig_peer_done(&device);
    check_status(DENIED, meet_with(der, &device_key, &device));
    restart();
    check_status(DENIED, meet_with(der, &device_key, &device));
}

static void a_renewed_certificate_ends_the_former_once_it_is_used(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX], next_room[PKI_CERTIFICATE_MAX];
    struct writer next = writer_over(next_room, sizeof next_room);
    struct crypto_key next_key = {0};
    struct rig_peer device;
    struct bytes der = enrolled("thermometer", room);
    check_ok(crypto_key_generate(&next_key, CRYPTO_P256));
    check_ok(meet_with(der, &device_key, &device));
    keep(enrol(&device, "est/sren", NULL, request_of(&next_key)), &next);
    rig_peer_done(&device);
    restart(); /* the device may have missed the answer */
    check_ok(meet_with(der, &device_key, &device));
    rig_do(&rig, &device, COAP_CHANGED, COAP_POST, "events", "{\"type\":\"t\",\"properties\":{}}");
    rig_peer_done(&device);
    check_ok(meet_with(writer_bytes(&next), &next_key, &device));
    rig_do(&rig, &device, COAP_CHANGED, COAP_POST, "events", "{\"type\":\"t\",\"properties\":{}}");
    rig_peer_done(&device);
    for (int launch = 0; launch < 2; launch++) {
        check_status(DENIED, meet_with(der, &device_key, &device));
        check_ok(meet_with(writer_bytes(&next), &next_key, &device));
        rig_peer_done(&device);
        restart();
    }
    crypto_key_done(&next_key);
}

static void an_expired_certificate_opens_nothing(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct rig_peer device;
    struct pki_certificate certificate;
    struct bytes der = enrolled("thermometer", room);
    check_ok(pki_certificate_decode(der, &certificate));
    rig.now_ms = (uint64_t)certificate.not_after_s * 1000;
    check_ok(meet_with(der, &device_key, &device));
    rig_peer_done(&device);
    rig.now_ms += 1000;
    check_status(DENIED, meet_with(der, &device_key, &device));
}

static void a_code_needs_a_name_and_a_time_that_can_be(void **state)
{
    (void)state;
    rig_refused(&rig, &owner, COAP_CONFLICT, COAP_POST, "clients", NULL, "{\"name\":\"sensor\",\"code\":true}", "name");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "clients", NULL,
                "{\"name\":\"a\",\"code\":true,\"valid_s\":0}", "valid_s");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "clients", NULL,
                "{\"name\":\"a\",\"code\":true,\"valid_s\":604801}", "valid_s");
    rig_do(&rig, &owner, COAP_CREATED, COAP_POST, "clients", "{\"name\":\"a\",\"code\":true,\"valid_s\":604800}");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "clients", NULL,
                "{\"name\":\"b\",\"code\":true,\"algorithm\":\"A128GCM\"}", "algorithm");
}

static void without_a_site_ca_there_are_no_codes(void **state)
{
    (void)state;
    rig_refused(&rig, &owner, COAP_CONFLICT, COAP_POST, "clients", NULL, "{\"name\":\"a\",\"code\":true}", "code");
    struct rig_question question = {.code = COAP_GET, .path = "est/crts"};
    refused_as(rig_ask(&rig, &sensor, &question), COAP_NOT_FOUND);
}

int main(void)
{
#define site_test(name) cmocka_unit_test_setup_teardown(name, set_up_site, tear_down)
    const struct CMUnitTest tests[] = {
        site_test(the_hub_shows_a_chain_that_ends_at_the_owner),
        site_test(a_device_enrols_with_a_code_and_speaks_as_its_client),
        site_test(a_stranger_may_enrol_and_nothing_else),
        site_test(a_code_works_once),
        site_test(whoever_missed_the_answer_gets_the_same_certificate_again),
        site_test(a_code_ends_with_its_time_and_not_before),
        site_test(wrong_codes_stop_everybody_for_a_while),
        site_test(what_is_no_request_costs_no_code),
        site_test(a_removed_client_is_out_at_its_next_message),
        site_test(a_renewed_certificate_ends_the_former_once_it_is_used),
        site_test(an_expired_certificate_opens_nothing),
        site_test(a_code_needs_a_name_and_a_time_that_can_be),
        cmocka_unit_test_setup_teardown(without_a_site_ca_there_are_no_codes, set_up, tear_down),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
