/* RFC 9529: both traces and the invalid messages. Whole handshakes with X.509, made by another implementation. The
 * request of RFC 9668. */
#include "check.h"
#include "edhoc.h"
#include "edhoc_internal.h"

#include <jansson.h>
#include <string.h>

#define ROOM 4096

static json_t *load(const char *name)
{
    char path[128];
    json_error_t error;
    snprintf(path, sizeof path, "tests/vectors/%s.json", name);
    json_t *loaded = json_load_file(path, 0, &error);
    assert_non_null(loaded);
    return loaded;
}

/* Bytes of a vector, in one of many rooms that live as long as a test. */
static uint8_t rooms[64][ROOM];
static size_t rooms_used;

static struct bytes value(const json_t *vectors, const char *name)
{
    const char *text = json_string_value(json_object_get(vectors, name));
    if (!text)
        fail_msg("no vector is called %s", name);
    assert_true(rooms_used < 64);
    struct writer writer = writer_over(rooms[rooms_used++], ROOM);
    assert_int_equal(hex_decode(text, &writer), OK);
    return writer_bytes(&writer);
}

static int start_anew(void **state)
{
    (void)state;
    rooms_used = 0;
    return 0;
}

static struct crypto_key key_of(enum crypto_curve curve, struct bytes private_key)
{
    struct crypto_key key = {0};
    /* An Ed25519 key may be given as seed and public key. */
    check_ok(crypto_key_import(&key, curve, bytes_slice(private_key, 0, crypto_private_len(curve))));
    return key;
}

static struct edhoc_id id_of(struct bytes encoded)
{
    struct reader reader = reader_over(encoded);
    uint8_t byte[1];
    struct bytes taken = edhoc_take_id(&reader, byte);
    struct edhoc_id id = {.len = taken.len};
    check_ok(reader_end(&reader));
    if (taken.len)
        memcpy(id.data, taken.data, taken.len);
    return id;
}

/* One side's credential, from its CBOR item. */
static struct edhoc_credential credential_of(struct bytes item, struct bytes id_cred, const struct crypto_key *key)
{
    struct reader reader = reader_over(item);
    struct edhoc_credential made = {.value = item, .id_cred = id_cred, .private_key = key, .key = key->public_key};
    made.is_certificate = cbor_peek_type(&reader) == CBOR_BYTES;
    if (made.is_certificate)
        made.value = cbor_take_bytes(&reader);
    return made;
}

#ifdef CRYPTO_MBEDTLS
static const int all_suites[] = {2, 3, 24};
#else
static const int all_suites[] = {0, 2, 3, 6, 24};
#endif
#define SUITES (sizeof all_suites / sizeof *all_suites)
static const uint32_t labels[] = {830}; /* critical in a recorded message 4 */
static struct edhoc_profile profile_for(const int *suites, size_t count)
{
    return (struct edhoc_profile){15, suites, count, labels, 1};
}

static struct edhoc_eads eads_of(struct bytes encoded, const struct edhoc_profile *profile)
{
    struct reader reader = reader_over(encoded);
    struct edhoc_eads eads = {0};
    check_ok(take_eads(&reader, profile, &eads));
    return eads;
}

/* EAD_1 with its padding, which edhoc_take_message_1() drops. */
static struct edhoc_eads eads_with_padding(struct bytes message_1)
{
    struct reader reader = reader_over(message_1);
    struct edhoc_eads eads = {0};
    for (size_t i = 0; i < 4; i++)
        cbor_skip(&reader);
    while (reader.rest.len) {
        struct edhoc_ead *ead = &eads.items[eads.count++];
        ead->label = (uint32_t)cbor_take_uint(&reader);
        ead->has_value = cbor_peek_type(&reader) == CBOR_BYTES;
        if (ead->has_value)
            ead->value = cbor_take_bytes(&reader);
        check_ok(reader.status);
    }
    return eads;
}

static void expect_export(const struct edhoc_session *session, uint32_t label, struct bytes want)
{
    uint8_t made[64];
    check_ok(edhoc_export(session, label, (struct bytes){0}, made, want.len));
    check_bytes(want, bytes_from(made, want.len));
}

struct trace {
    const json_t *vectors;
    const struct edhoc_profile *initiators, *responders;
    const struct edhoc_suite *suite;
    unsigned method;
    enum crypto_curve authentication;
    const char *x, *message_1, *c_i;
};

static void keys_agree(const json_t *v, struct edhoc_session *session)
{
    expect_export(session, 0, value(v, "OSCORE Parameters | OSCORE Master Secret (Raw Value)"));
    expect_export(session, 1, value(v, "OSCORE Parameters | OSCORE Master Salt (Raw Value)"));
    check_ok(edhoc_key_update(session, value(v, "Key Update | context for KeyUpdate (Raw Value)")));
    check_bytes(value(v, "Key Update | PRK_out after KeyUpdate (Raw Value)"), secret_bytes(&session->out));
    expect_export(session, 0, value(v, "Key Update | OSCORE Master Secret after KeyUpdate (Raw Value)"));
    expect_export(session, 1, value(v, "Key Update | OSCORE Master Salt after KeyUpdate (Raw Value)"));
}

static void follows(const struct trace *trace)
{
    const json_t *v = trace->vectors;
    enum crypto_curve exchange = trace->suite->exchange;
    struct crypto_key x = key_of(exchange, value(v, trace->x));
    struct crypto_key y = key_of(exchange, value(v, "message_2 | Responder's ephemeral private key Y (Raw Value)"));
    struct crypto_key r =
        key_of(trace->authentication, value(v, "message_2 | Responder's private authentication key SK_R (Raw Value)"));
    struct crypto_key i =
        key_of(trace->authentication, value(v, "message_3 | Initiator's private authentication key SK_I (Raw Value)"));
    struct edhoc_credential cred_r = credential_of(value(v, "message_2 | CRED_R (CBOR Data Item)"),
                                                   value(v, "message_2 | ID_CRED_R (CBOR Data Item)"), &r);
    struct edhoc_credential cred_i = credential_of(value(v, "message_3 | CRED_I (CBOR Data Item)"),
                                                   value(v, "message_3 | ID_CRED_I (CBOR Data Item)"), &i);
    struct edhoc_id c_i = id_of(value(v, trace->c_i));
    struct edhoc_id c_r = id_of(value(v, "message_2 | Connection identifier chosen by Responder C_R (CBOR Data Item)"));
    struct edhoc_session initiator = {0}, responder = {0};
    struct edhoc_eads eads;
    struct edhoc_reference reference;
    uint8_t room[4][512], plain_room[3][512];
    struct writer message[4], plain[3];
    for (size_t n = 0; n < 4; n++)
        message[n] = writer_over(room[n], sizeof room[n]);
    for (size_t n = 0; n < 3; n++)
        plain[n] = writer_over(plain_room[n], sizeof plain_room[n]);

    check_ok(
        edhoc_put_message_1(&initiator, trace->initiators, trace->method, trace->suite, &x, &c_i, NULL, &message[0]));
    check_bytes(value(v, trace->message_1), writer_bytes(&message[0]));
    check_ok(edhoc_take_message_1(&responder, trace->responders, writer_bytes(&message[0]), &eads));
    check_ok(edhoc_put_message_2(&responder, &y, &c_r, &cred_r, NULL, &message[1]));
    check_bytes(value(v, "message_2 | message_2 (CBOR Sequence)"), writer_bytes(&message[1]));
    check_ok(edhoc_take_message_2(&initiator, writer_bytes(&message[1]), &plain[0], &reference, &eads));
    check_bytes(cred_r.id_cred, reference.encoded);
    check_ok(edhoc_verify_message_2(&initiator, &cred_r));
    check_ok(edhoc_put_message_3(&initiator, &cred_i, NULL, &message[2]));
    check_bytes(value(v, "message_3 | message_3 (CBOR Sequence)"), writer_bytes(&message[2]));
    check_ok(edhoc_take_message_3(&responder, writer_bytes(&message[2]), &plain[1], &reference, &eads));
    check_bytes(cred_i.id_cred, reference.encoded);
    check_ok(edhoc_verify_message_3(&responder, &cred_i));
    check_ok(edhoc_put_message_4(&responder, NULL, &message[3]));
    check_bytes(value(v, "message_4 | message_4 (CBOR Sequence)"), writer_bytes(&message[3]));
    check_ok(edhoc_take_message_4(&initiator, writer_bytes(&message[3]), &plain[2], &eads));
    keys_agree(v, &initiator);
    keys_agree(v, &responder);
    edhoc_done(&initiator);
    edhoc_done(&responder);
    crypto_key_done(&r);
    crypto_key_done(&i);
}

#ifndef CRYPTO_MBEDTLS /* its suite is 0 */
static void the_trace_with_signatures_is_that_of_rfc_9529(void **state)
{
    (void)state;
    json_t *all = load("rfc9529_traces");
    struct edhoc_profile profile = profile_for(all_suites, SUITES);
    follows(&(struct trace){json_object_get(all, "trace1_x5t_sig_suite0"), &profile, &profile, edhoc_suite(0), 0,
                            CRYPTO_ED25519, "message_1 | Initiator's ephemeral private key X (Raw Value)",
                            "message_1 | message_1 (CBOR Sequence)",
                            "message_1 | Connection identifier chosen by Initiator C_I (CBOR Data Item)"});
    json_decref(all);
}
#endif

static void the_trace_with_static_keys_is_that_of_rfc_9529(void **state)
{
    (void)state;
    static const int six_two[] = {6, 2}, two[] = {2};
    json_t *all = load("rfc9529_traces");
    json_t *trace = json_object_get(all, "trace2_ccs_statdh_suite2");
    struct edhoc_profile initiators = profile_for(six_two, 2), responders = profile_for(two, 1);
    struct edhoc_session refused = {0};
    struct edhoc_eads eads;
    check_status(UNSUPPORTED,
                 edhoc_take_message_1(&refused, &responders,
                                      value(trace, "message_1 (first time) | message_1 (CBOR Sequence)"), &eads));
    assert_true(refused.wrong_suite);
    uint8_t room[16];
    struct writer error_message = writer_over(room, sizeof room);
    struct edhoc_error error;
    edhoc_put_error_suites(&error_message, &responders);
    check_bytes(value(trace, "error | error (CBOR Sequence)"), writer_bytes(&error_message));
    check_ok(edhoc_error_decode(writer_bytes(&error_message), &error));
    assert_ptr_equal(edhoc_choose_suite(&initiators, error.suites, error.suites_count), edhoc_suite(2));
    /* In this trace suite 6 is what the initiator offers and nobody takes. */
    struct edhoc_session responder = {0};
    check_ok(edhoc_take_message_1(&responder, &responders,
                                  value(trace, "message_1 (second time) | message_1 (CBOR Sequence)"), &eads));
    edhoc_done(&responder);
    follows(
        &(struct trace){trace, &initiators, &responders, edhoc_suite(2), 3, CRYPTO_P256,
                        "message_1 (second time) | Initiator's ephemeral private key X (Raw Value)",
                        "message_1 (second time) | message_1 (CBOR Sequence)",
                        "message_1 (second time) | Connection identifier chosen by Initiator C_I (CBOR Data Item)"});
    json_decref(all);
}

static bool refuses_message_1(struct bytes message)
{
    struct edhoc_profile profile = profile_for(all_suites, SUITES);
    struct edhoc_session session = {0};
    struct edhoc_eads eads;
    uint8_t room[512];
    struct writer answer = writer_over(room, sizeof room);
    if (edhoc_take_message_1(&session, &profile, message, &eads) != OK)
        return true;
    struct crypto_key y = {0}, own = {0};
    struct edhoc_id c_r = {{9}, 1};
    check_ok(crypto_key_generate(&y, session.suite->exchange));
    check_ok(crypto_key_generate(&own, session.suite->exchange));
    const struct edhoc_credential credential = {
        .value = BYTES_OF("\xa0"), .private_key = &own, .id_cred = BYTES_OF("\xa1\x04\x41\x05")};
    bool refused = edhoc_put_message_2(&session, &y, &c_r, &credential, NULL, &answer) != OK;
    edhoc_done(&session);
    crypto_key_done(&own);
    crypto_key_done(&y);
    return refused;
}

static bool refuses_plaintext_2(struct bytes plaintext)
{
    struct edhoc_profile profile = profile_for(all_suites, SUITES);
    struct edhoc_session session = {.profile = &profile, .suite = edhoc_suite(2), .method = 3};
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    struct reader reader = reader_over(plaintext);
    uint8_t byte[1];
    (void)edhoc_take_id(&reader, byte);
    take_plaintext(&session, &reader, &reference, &eads);
    return session.bad || session.proof.len != session.suite->mac_len;
}

static bool refuses_message_2(struct bytes message)
{
    static const int two[] = {2};
    struct edhoc_profile profile = profile_for(two, 1);
    struct edhoc_session session = {0};
    struct crypto_key x = {0};
    struct edhoc_id c_i = {{9}, 1};
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    uint8_t room[512], plain_room[512];
    struct writer message_1 = writer_over(room, sizeof room), plain = writer_over(plain_room, sizeof plain_room);
    check_ok(crypto_key_generate(&x, CRYPTO_P256));
    check_ok(edhoc_put_message_1(&session, &profile, 3, edhoc_suite(2), &x, &c_i, NULL, &message_1));
    return edhoc_take_message_2(&session, message, &plain, &reference, &eads) != OK;
}

static void every_invalid_message_of_rfc_9529_is_refused(void **state)
{
    (void)state;
    json_t *all = load("rfc9529_traces");
    const char *name;
    const json_t *text;
    size_t count = 0;
    json_object_foreach(json_object_get(all, "invalid"), name, text)
    {
        rooms_used = 0;
        struct bytes message = value(json_object_get(all, "invalid"), name);
        bool refused = strstr(name, "Invalid message_1")   ? refuses_message_1(message)
                       : strstr(name, "Invalid message_2") ? refuses_message_2(message)
                                                           : refuses_plaintext_2(message);
        if (!refused)
            fail_msg("accepted: %s", name);
        count++;
    }
    assert_int_equal(count, 15);
    json_decref(all);
}

/* The other implementation's signatures are its own, so each of our sides plays with the recorded peer. */
static struct edhoc_credential recorded(const json_t *v, const char *cred, const char *id_cred, const char *secret,
                                        struct crypto_key *key)
{
    const struct edhoc_suite *suite = edhoc_suite(json_integer_value(json_object_get(v, "suite")));
    *key = key_of(suite->signature, value(json_object_get(v, "static"), secret));
    return credential_of(value(v, cred), value(v, id_cred), key);
}

static void our_initiator_takes(const json_t *v, const struct edhoc_profile *profile)
{
    const struct edhoc_suite *suite = edhoc_suite(profile->suites[0]);
    struct crypto_key x = key_of(suite->exchange, value(v, "x")), key_r, key_i;
    struct edhoc_credential cred_r = recorded(v, "cred_r", "id_cred_r", "SK_R", &key_r);
    struct edhoc_credential cred_i = recorded(v, "cred_i", "id_cred_i", "SK_I", &key_i);
    struct edhoc_session session = {0}, reader_of_1 = {0};
    struct edhoc_eads eads;
    struct edhoc_reference reference;
    uint8_t room[2][ROOM], plain_room[ROOM];
    struct writer message_1 = writer_over(room[0], ROOM), message_3 = writer_over(room[1], ROOM);
    struct writer plain = writer_over(plain_room, ROOM);
    check_ok(edhoc_take_message_1(&reader_of_1, profile, value(v, "message_1"), &eads));
    struct edhoc_eads eads_1 = eads_with_padding(value(v, "message_1"));
    check_ok(edhoc_put_message_1(&session, profile, 0, suite, &x, &reader_of_1.c_i, &eads_1, &message_1));
    check_bytes(value(v, "message_1"), writer_bytes(&message_1));
    check_ok(edhoc_take_message_2(&session, value(v, "message_2"), &plain, &reference, &eads));
    check_bytes(value(v, "plaintext_2"), writer_bytes(&plain));
    check_bytes(value(v, "prk_2e"), secret_bytes(&session.prk));
    assert_true(edhoc_reference_is(&reference, cred_r.value));
    check_ok(edhoc_verify_message_2(&session, &cred_r));
    check_bytes(value(v, "th_3"), session_th(&session));
    check_ok(edhoc_put_message_3(&session, &cred_i, NULL, &message_3));
    edhoc_done(&reader_of_1);
    edhoc_done(&session);
    crypto_key_done(&key_r);
    crypto_key_done(&key_i);
}

static void our_responder_takes(const json_t *v, const struct edhoc_profile *profile)
{
    struct crypto_key key_i;
    struct edhoc_credential cred_i = recorded(v, "cred_i", "id_cred_i", "SK_I", &key_i);
    struct edhoc_session session = {
        .state = EDHOC_SENT_2, .profile = profile, .suite = edhoc_suite(profile->suites[0])};
    struct edhoc_reference reference;
    struct edhoc_eads eads, eads_4 = eads_of(value(v, "plaintext_4"), profile);
    uint8_t room[ROOM], plain_room[ROOM];
    struct writer message_4 = writer_over(room, ROOM), plain = writer_over(plain_room, ROOM);
    struct bytes th_3 = value(v, "th_3");
    memcpy(session.th, th_3.data, th_3.len);
    check_ok(secret_set(&session.prk, value(v, "prk_3e2m")));
    check_ok(edhoc_take_message_3(&session, value(v, "message_3"), &plain, &reference, &eads));
    check_bytes(value(v, "plaintext_3"), writer_bytes(&plain));
    assert_true(edhoc_reference_is(&reference, cred_i.value));
    check_ok(edhoc_verify_message_3(&session, &cred_i));
    check_bytes(value(v, "th_4"), session_th(&session));
    check_bytes(value(v, "prk_out"), secret_bytes(&session.out));
    check_bytes(value(v, "prk_exporter"), secret_bytes(&session.exporter));
    check_ok(edhoc_put_message_4(&session, &eads_4, &message_4));
    check_bytes(value(v, "message_4"), writer_bytes(&message_4));
    expect_export(&session, 0, value(v, "oscore_master_secret"));
    expect_export(&session, 1, value(v, "oscore_master_salt"));
    edhoc_done(&session);
    crypto_key_done(&key_i);
}

#ifdef CRYPTO_MBEDTLS
#define HANDSHAKES 3
#else
#define HANDSHAKES 4
#endif

static bool has_suite(int number)
{
    for (size_t i = 0; i < SUITES; i++)
        if (all_suites[i] == number)
            return true;
    return false;
}

static void handshakes_with_x509_of_another_implementation_are_taken(void **state)
{
    (void)state;
    json_t *all = load("edhoc_x509");
    const char *name;
    json_t *v;
    size_t count = 0;
    json_object_foreach(all, name, v)
    {
        int suite = (int)json_integer_value(json_object_get(v, "suite"));
        struct edhoc_profile profile = profile_for(&suite, 1);
        if (!has_suite(suite))
            continue;
        rooms_used = 0;
        our_initiator_takes(v, &profile);
        rooms_used = 0;
        our_responder_takes(v, &profile);
        count++;
    }
    assert_int_equal(count, HANDSHAKES);
    json_decref(all);
}

static void the_combined_request_is_that_of_rfc_9668(void **state)
{
    (void)state;
    json_t *v = load("rfc9668_combined_request");
    struct bytes request = value(v, "coap_request"), message_3, ciphertext, again_3, again_ciphertext;
    uint8_t room[64];
    struct writer writer = writer_over(room, sizeof room);
    message_3 = value(v, "edhoc_message_3");
    ciphertext = value(v, "oscore_ciphertext");
    edhoc_put_combined(&writer, message_3, ciphertext);
    struct bytes payload = bytes_slice(request, request.len - writer.len, writer.len);
    check_bytes(payload, writer_bytes(&writer));
    assert_int_equal(request.data[request.len - writer.len - 1], 0xff);
    check_ok(edhoc_combined_decode(payload, &again_3, &again_ciphertext));
    check_bytes(message_3, again_3);
    check_bytes(ciphertext, again_ciphertext);
    for (size_t len = 0; len <= message_3.len; len++)
        assert_int_not_equal(edhoc_combined_decode(bytes_slice(payload, 0, len), &again_3, &again_ciphertext), OK);
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef CRYPTO_MBEDTLS
        cmocka_unit_test_setup(the_trace_with_signatures_is_that_of_rfc_9529, start_anew),
#endif
        cmocka_unit_test_setup(the_trace_with_static_keys_is_that_of_rfc_9529, start_anew),
        cmocka_unit_test_setup(every_invalid_message_of_rfc_9529_is_refused, start_anew),
        cmocka_unit_test_setup(handshakes_with_x509_of_another_implementation_are_taken, start_anew),
        cmocka_unit_test_setup(the_combined_request_is_that_of_rfc_9668, start_anew),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
