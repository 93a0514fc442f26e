/* hub: EDHOC from strangers — who gets a session, what is told to whom does not, and what all of that costs the hub. */
#include "../hub_site.h"

static struct rig_handshake handshake;
static const uint8_t nonce[8] = "a nonce";

static uint8_t begin(struct bytes *message_2)
{
    edhoc_done(&handshake.edhoc);
    handshake = (struct rig_handshake){0};
    return rig_edhoc(&rig, rig_message_1(&handshake), message_2);
}

static struct bytes message_3_of(const struct edhoc_credential *own)
{
    struct bytes message_2;
    assert_int_equal(COAP_CHANGED, begin(&message_2));
    return rig_message_3(&handshake, message_2, own, BYTES_OF(nonce));
}

static void owner_still_works(void)
{
    rig_do(&rig, &owner, COAP_CONTENT, COAP_GET, "status", NULL);
}

static const char *error_text(struct bytes answer)
{
    static char text[EDHOC_ERROR_TEXT_MAX + 1];
    struct edhoc_error error;
    check_ok(edhoc_error_decode(answer, &error));
    assert_int_equal(EDHOC_ERROR_UNSPECIFIED, error.code);
    snprintf(text, sizeof text, "%.*s", (int)error.text.len, (const char *)error.text.data);
    return text;
}

static void many_sessions_of_the_owner_live_side_by_side(void **state)
{
    (void)state;
    struct rig_peer others[3];
    for (size_t i = 0; i < 3; i++)
        rig_meet(&rig, &others[i]);
    for (size_t i = 0; i < 3; i++)
        rig_do(&rig, &others[i], COAP_CONTENT, COAP_GET, "status", NULL);
    owner_still_works();
    for (size_t i = 0; i < 3; i++)
        rig_peer_done(&others[i]);
}

static void the_session_used_longest_ago_goes_when_the_owner_has_too_many(void **state)
{
    (void)state;
    static struct rig_peer others[HUB_SESSIONS_EACH];
    struct rig_question question = {.code = COAP_GET, .path = "status"};
    for (size_t i = 0; i < HUB_SESSIONS_EACH - 1; i++) {
        rig.now_ms += 10;
        rig_meet(&rig, &others[i]);
    }
    rig.now_ms += 10;
    owner_still_works();
    rig.now_ms += 10;
    rig_meet(&rig, &others[HUB_SESSIONS_EACH - 1]); /* one past */
    others[0].agreed = owner.agreed = false;
    rig_put(&rig, &others[0], &question);
    rig_run(&rig);
    struct rig_answer answer = rig_get(&rig, &others[0]);
    assert_int_equal(UNSUPPORTED, answer.status);
    owner_still_works();
    for (size_t i = 0; i < HUB_SESSIONS_EACH; i++)
        rig_peer_done(&others[i]);
}

static void a_session_ends_with_the_launch(void **state)
{
    (void)state;
    struct rig_question question = {.code = COAP_GET, .path = "status"};
    restart();
    rig_put(&rig, &owner, &question);
    rig_run(&rig);
    assert_int_equal(UNSUPPORTED, rig_get(&rig, &owner).status);
    owner_still_works(); /* by another handshake */
}

static void who_is_not_the_owner_is_refused_and_told_no_more(void **state)
{
    (void)state;
    struct crypto_key stranger = {0};
    struct edhoc_credential own = rig_owner_credential();
    struct bytes answer;
    check_ok(crypto_key_generate(&stranger, CRYPTO_P256));
    own.private_key = &stranger; /* the owner's certificate, another's key */
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, message_3_of(&own), &answer));
    assert_string_equal("refused", error_text(answer));
    uint8_t claims_room[128], id_room[160];
    struct writer claims = writer_over(claims_room, sizeof claims_room), id = writer_over(id_room, sizeof id_room);
    edhoc_put_claims(&claims, "stranger", &stranger.public_key, (struct bytes){0});
    edhoc_put_kccs(&id, writer_bytes(&claims));
    own = (struct edhoc_credential){
        .value = writer_bytes(&claims), .private_key = &stranger, .id_cred = writer_bytes(&id)};
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, message_3_of(&own), &answer));
    assert_string_equal("refused", error_text(answer));
    crypto_key_done(&stranger);
    owner_still_works();
}

static void every_bent_message_is_refused_and_leaves_no_session(void **state)
{
    (void)state;
    static uint8_t copy[2048];
    struct bytes answer;
    const struct edhoc_credential own = rig_owner_credential();
    size_t len = message_3_of(&own).len;
    for (size_t i = 0; i < 9 * len; i++) { /* each bit flipped, then each shorter prefix */
        bool cut = i >= 8 * len;
        memcpy(copy, message_3_of(&own).data, len);
        copy[cut ? 0 : i / 8] ^= (uint8_t)(cut ? 0 : 1 << i % 8);
        assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, bytes_from(copy, cut ? i - 8 * len : len), &answer));
        rig.now_ms += HUB_HANDSHAKE_MS + 1; /* what was for another handshake's name leaves its own half behind */
    }
    owner_still_works();
}

static void a_message_3_works_once(void **state)
{
    (void)state;
    static uint8_t copy[2048];
    struct bytes answer;
    const struct edhoc_credential own = rig_owner_credential();
    struct bytes good = message_3_of(&own);
    memcpy(copy, good.data, good.len);
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, bytes_from(copy, good.len), &answer));
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, bytes_from(copy, good.len), &answer));
    owner_still_works();
}

static void half_a_handshake_is_kept_for_a_while_only(void **state)
{
    (void)state;
    struct bytes answer;
    const struct edhoc_credential own = rig_owner_credential();
    struct bytes good = message_3_of(&own);
    rig.now_ms += HUB_HANDSHAKE_MS + 1;
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, good, &answer));
    good = message_3_of(&own);
    rig.now_ms += HUB_HANDSHAKE_MS;
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, good, &answer));
}

static void a_flood_of_first_messages_ends_no_session_and_spares_young_handshakes(void **state)
{
    (void)state;
    static uint8_t first[2048];
    struct bytes answer;
    const struct edhoc_credential own = rig_owner_credential();
    struct bytes good = message_3_of(&own);
    size_t len = good.len;
    memcpy(first, good.data, len);
    static struct rig_handshake flood;
    for (size_t i = 1; i < HUB_HANDSHAKES_MAX; i++) {
        flood = (struct rig_handshake){0};
        assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, rig_message_1(&flood), &answer));
        edhoc_done(&flood.edhoc);
    }
    flood = (struct rig_handshake){0};
    assert_int_equal(COAP_UNAVAILABLE, rig_edhoc(&rig, rig_message_1(&flood), &answer));
    edhoc_done(&flood.edhoc);
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, bytes_from(first, len), &answer));
    owner_still_works();
    flood = (struct rig_handshake){0}; /* into the place that is free now */
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, rig_message_1(&flood), &answer));
    edhoc_done(&flood.edhoc);
    rig.now_ms += HUB_HANDSHAKE_SPARED_MS - 1;
    flood = (struct rig_handshake){0};
    assert_int_equal(COAP_UNAVAILABLE, rig_edhoc(&rig, rig_message_1(&flood), &answer));
    edhoc_done(&flood.edhoc);
    rig.now_ms++;
    for (size_t i = 0; i < HUB_HANDSHAKES_MAX; i++) {
        flood = (struct rig_handshake){0};
        assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, rig_message_1(&flood), &answer));
        edhoc_done(&flood.edhoc);
    }
    owner_still_works();
}

static void a_suite_that_the_hub_has_not_is_answered_with_those_it_has(void **state)
{
    (void)state;
    static const uint8_t message_1[] = {0xf5, 0x00, 0x05, 0x41, 0x00, 0x0e};
    struct bytes answer;
    struct edhoc_error error;
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, BYTES_OF(message_1), &answer));
    check_ok(edhoc_error_decode(answer, &error));
    assert_int_equal(EDHOC_ERROR_SUITE, error.code);
    assert_int_equal(5, error.suites_count);
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    struct bytes answer;
    static uint8_t long_one[EDHOC_MESSAGE_MAX + 1] = {0xf5};
    static const uint8_t unknown[] = {0x43, 1, 2, 3, 0x41, 0};
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, bytes_from_text("hello"), &answer));
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, BYTES_OF(unknown), &answer));
    assert_int_equal(COAP_TOO_LARGE, rig_edhoc(&rig, BYTES_OF(long_one), &answer));
    assert_int_equal(COAP_BAD_REQUEST, rig_edhoc(&rig, bytes_from(long_one, EDHOC_MESSAGE_MAX), &answer));
}

static void without_evidence_there_is_no_session_for_who_asks_for_it(void **state)
{
    (void)state;
    struct bytes answer;
    restart(); /* no evidence of this launch is there yet */
    rig.report_fails = true;
    const struct edhoc_credential own = rig_owner_credential();
    assert_int_equal(COAP_UNAVAILABLE, rig_edhoc(&rig, message_3_of(&own), &answer));
    rig.report_fails = false;
    owner_still_works();
}

static void evidence_is_of_this_session_and_no_other(void **state)
{
    (void)state;
    struct bytes answer;
    struct attest_evidence evidence;
    struct rig_peer peer;
    static uint8_t kept[ATTEST_EVIDENCE_MAX];
    const struct edhoc_credential own = rig_owner_credential();
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, message_3_of(&own), &answer));
    rig_take_message_4(&handshake, answer, &peer);
    size_t len = handshake.evidence.len;
    memcpy(kept, handshake.evidence.data, len);
    check_ok(attest_evidence_open(bytes_from(kept, len), &handshake.binder, &evidence));
    rig_peer_done(&peer);
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, message_3_of(&own), &answer));
    rig_take_message_4(&handshake, answer, &peer);
    check_status(AUTH, attest_evidence_open(bytes_from(kept, len), &handshake.binder, &evidence));
    rig_peer_done(&peer);
}

int main(void)
{
#define hub_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        hub_test(many_sessions_of_the_owner_live_side_by_side),
        hub_test(the_session_used_longest_ago_goes_when_the_owner_has_too_many),
        hub_test(a_session_ends_with_the_launch),
        hub_test(who_is_not_the_owner_is_refused_and_told_no_more),
        hub_test(every_bent_message_is_refused_and_leaves_no_session),
        hub_test(a_message_3_works_once),
        hub_test(half_a_handshake_is_kept_for_a_while_only),
        hub_test(a_flood_of_first_messages_ends_no_session_and_spares_young_handshakes),
        hub_test(a_suite_that_the_hub_has_not_is_answered_with_those_it_has),
        hub_test(what_is_no_message_is_refused),
        hub_test(without_evidence_there_is_no_session_for_who_asks_for_it),
        hub_test(evidence_is_of_this_session_and_no_other),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
