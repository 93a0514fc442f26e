/* OSCORE at its limits: the input's, sequence numbers, tags that wear out, rooms too small, messages too short; and
 * that nothing secret is left behind. */
#include "oscore_rig.h"

static const enum crypto_aead_alg algorithms[] = {CRYPTO_AES_CCM_16_64_128, CRYPTO_AES_CCM_16_128_128, CRYPTO_A128GCM,
                                                  CRYPTO_A256GCM};

/* ---- Input ---- */

static struct writer encoded(const struct oscore_input *input, uint8_t room[OSCORE_INPUT_MAX])
{
    struct writer writer = writer_over(room, OSCORE_INPUT_MAX);
    oscore_put_input(&writer, input);
    return writer;
}

/* By both ways in: it is neither written nor made a session of. */
static void expect_input(enum status want, const struct oscore_input *input)
{
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer writer = encoded(input, room);
    struct oscore_session session = {0}, empty = {0};
    check_status(want, writer_end(&writer));
    check_status(want, oscore_session_init(&session, OSCORE_CLIENT, input));
    if (want == OK) {
        struct oscore_input back;
        uint8_t again[OSCORE_INPUT_MAX];
        check_ok(oscore_input_decode(writer_bytes(&writer), &back));
        struct writer rewritten = encoded(&back, again);
        check_bytes(writer_bytes(&writer), writer_bytes(&rewritten));
    } else {
        assert_memory_equal(&empty, &session, sizeof session);
    }
}

static void expect_undecodable(struct bytes text)
{
    struct oscore_input got, before;
    memset(&got, 0xa5, sizeof got);
    memcpy(&before, &got, sizeof before);
    assert_int_not_equal(oscore_input_decode(text, &got), OK);
    assert_memory_equal(&before, &got, sizeof got);
}

static void an_input_of_each_algorithm_is_written_and_read(void **state)
{
    (void)state;
    struct oscore_input input, mirrored, again;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        rig_input(&input, algorithms[i]);
        expect_input(OK, &input);
        oscore_input_mirror(&input, &mirrored);
        assert_memory_equal(&input.sender, &mirrored.recipient, sizeof input.sender);
        assert_memory_equal(&input.recipient, &mirrored.sender, sizeof input.sender);
        oscore_input_mirror(&mirrored, &again);
        uint8_t room[OSCORE_INPUT_MAX], room_again[OSCORE_INPUT_MAX];
        struct writer one = encoded(&input, room), two = encoded(&again, room_again);
        check_bytes(writer_bytes(&one), writer_bytes(&two));
    }
    static const int others[] = {0, 2, 11, 24, 31, 255, 256 + 10, -10};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        input.aead = (enum crypto_aead_alg)others[i];
        expect_input(MALFORMED, &input);
    }
}

static void every_part_of_an_input_is_taken_at_its_limit_and_refused_one_past_it(void **state)
{
    (void)state;
    static const struct {
        size_t secret, salt, sender, recipient;
        enum status want;
    } rows[] = {{16, 0, 0, 1, OK},        {15, 0, 0, 1, MALFORMED},  {32, 32, 6, 5, OK},
                {33, 0, 0, 1, MALFORMED}, {16, 33, 0, 1, MALFORMED}, {16, 0, 7, 1, MALFORMED},
                {16, 0, 1, 7, MALFORMED}, {16, 0, 0, 0, MALFORMED},  {16, 0, 3, 3, MALFORMED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct oscore_input input = {.aead = CRYPTO_A128GCM};
        input.master_secret.len = rows[i].secret;
        input.master_salt_len = rows[i].salt;
        input.sender.len = rows[i].sender;
        input.recipient.len = rows[i].recipient;
        expect_input(rows[i].want, &input);
    }
}

static void an_input_is_read_from_its_own_encoding_only(void **state)
{
    (void)state;
    uint8_t room[OSCORE_INPUT_MAX + 1], longer[OSCORE_INPUT_MAX + 2];
    struct oscore_input input;
    rig_input(&input, CRYPTO_AES_CCM_16_64_128);
    struct bytes whole = {room, encoded(&input, room).len};
    for (size_t len = 0; len < whole.len; len++)
        expect_undecodable(bytes_from(room, len));
    room[whole.len] = 0;
    expect_undecodable(bytes_from(room, whole.len + 1));
    for (size_t count = 0x80; count < 0xa0; count++) { /* another array, another type */
        room[0] = (uint8_t)count;
        if (count != 0x85)
            expect_undecodable(whole);
    }
    room[0] = 0x85;
    memcpy(longer + 1, room, whole.len); /* the algorithm in a head longer than it needs */
    longer[0] = 0x85;
    longer[1] = 0x18;
    expect_undecodable(bytes_from(longer, whole.len + 1));
    static const uint8_t wide[] = {0x85, 0x19, 0x01, 0x0a}; /* 266 is not 10 */
    memcpy(longer + 2, room, whole.len);
    memcpy(longer, wide, sizeof wide);
    expect_undecodable(bytes_from(longer, whole.len + 2));
    room[2] ^= 0x20; /* the secret as text */
    expect_undecodable(whole);
}

static void an_input_needs_all_of_its_room(void **state)
{
    (void)state;
    uint8_t room[OSCORE_INPUT_MAX];
    struct oscore_input input = {.aead = CRYPTO_A256GCM,
                                 .master_secret = {{0}, 32},
                                 .master_salt_len = OSCORE_SALT_MAX,
                                 .sender = {{1}, OSCORE_ID_MAX},
                                 .recipient = {{2}, OSCORE_ID_MAX}};
    size_t len = encoded(&input, room).len;
    for (size_t cap = 0; cap <= len; cap++) {
        struct writer writer = writer_over(room, cap);
        oscore_put_input(&writer, &input);
        check_status(cap < len ? NO_ROOM : OK, writer_end(&writer));
    }
}

/* ---- Sequence numbers (§7.2.1) ---- */

static void the_last_sequence_number_is_used_and_none_after_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        struct rig rig;
        struct oscore_request asked, untouched;
        struct rig_message out, before;
        struct rig_opened opened;
        rig_start_fixed(&rig, algorithms[i], OSCORE_SEQUENCE_MAX, OSCORE_SEQUENCE_MAX);
        check_ok(rig_ask(&rig.client, "last", RIG_PLAIN, &asked, &out));
        check_ok(rig_take(&rig.server, &out, &opened));
        rig_expect(&opened, "last");
        memset(&untouched, 0xa5, sizeof untouched);
        memset(&before, 0xa5, sizeof before);
        out = before;
        for (int again = 0; again < 3; again++)
            check_status(WRONG_STATE, rig_ask(&rig.client, "one past", RIG_PLAIN, &untouched, &out));
        assert_int_equal(out.len, 0);
        assert_memory_equal(before.data, out.data, RIG_CAP);
        assert_memory_equal(before.data, &untouched, sizeof untouched);

        check_ok(rig_answer(&rig.server, &opened.request, "last", RIG_PLAIN, true, &out));
        check_ok(rig_hear(&rig.client, &asked, &out, &opened));
        for (int again = 0; again < 3; again++)
            check_status(WRONG_STATE, rig_answer(&rig.server, &asked, "one past", RIG_PLAIN, true, &out));
        oscore_session_restart(&rig.client); /* Appendix B.2 makes new keys, which begin at zero */
        rig_begin(&rig);
        rig_stop(&rig);
    }
}

/* ---- Eight-byte tags (2^14 failures) ---- */

static void fail_at_server(struct rig *rig, unsigned times)
{
    struct oscore_request asked;
    struct rig_message forged;
    struct rig_opened opened;
    check_ok(rig_ask(&rig->client, "forged", RIG_PLAIN, &asked, &forged));
    forged.data[forged.len - 1] ^= 1;
    for (unsigned i = 0; i < times; i++)
        check_status(AUTH, rig_take(&rig->server, &forged, &opened));
}

static void fail_at_client(struct rig *rig, struct oscore_request *asked, const struct rig_message *answer,
                           unsigned times)
{
    struct rig_opened opened;
    struct rig_message forged = *answer;
    forged.data[forged.len - 1] ^= 1;
    for (unsigned i = 0; i < times; i++)
        check_status(AUTH, rig_hear(&rig->client, asked, &forged, &opened));
}

static void a_servers_ccm_8_context_is_dropped_at_the_limit_and_not_before(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened opened;
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    rig_begin(&rig);
    fail_at_server(&rig, OSCORE_CCM8_FAILURES - 1);
    rig_exchange(&rig); /* success does not count back */
    fail_at_server(&rig, 1);
    check_ok(rig_ask(&rig.client, "too late", RIG_PLAIN, &asked, &out));
    check_status(NOT_FOUND, rig_take(&rig.server, &out, &opened));
    rig_expect_nothing(&opened);
    assert_int_equal(rig.server.current.sender.alg, 0);
    oscore_session_restart(&rig.client);
    rig_begin(&rig);
    rig_exchange(&rig);
    rig_stop(&rig);
}

static void a_clients_ccm_8_context_is_of_no_use_at_the_limit_and_not_before(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out, answer;
    struct rig_opened opened;
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    rig_begin(&rig);
    check_ok(rig_ask(&rig.client, "watch", RIG_PLAIN, &asked, &out));
    check_ok(rig_take(&rig.server, &out, &opened));
    check_ok(rig_answer(&rig.server, &opened.request, "answer", RIG_PLAIN, false, &answer));
    fail_at_client(&rig, &asked, &answer, OSCORE_CCM8_FAILURES - 1);
    check_ok(rig_hear(&rig.client, &asked, &answer, &opened));
    fail_at_client(&rig, &asked, &answer, 1);
    check_status(AUTH, rig_hear(&rig.client, &asked, &answer, &opened));
    rig_expect_nothing(&opened);
    check_status(WRONG_STATE, rig_ask(&rig.client, "too late", RIG_PLAIN, &asked, &out));
    oscore_session_restart(&rig.client);
    rig_begin(&rig);
    rig_stop(&rig);
}

static void longer_tags_do_not_wear_out(void **state)
{
    (void)state;
    for (size_t i = 1; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        struct rig rig;
        rig_start_fixed(&rig, algorithms[i], 0, 0);
        fail_at_server(&rig, OSCORE_CCM8_FAILURES + 1);
        rig_exchange(&rig);
        rig_stop(&rig);
    }
}

/* ---- Rooms ---- */

static void a_room_too_small_for_a_request_is_left_as_it_was(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message whole;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    check_ok(rig_ask(&rig.client, "secret", RIG_PLAIN, &asked, &whole));
    uint8_t text_room[32], room[RIG_CAP];
    struct writer options = writer_over(text_room, sizeof text_room);
    struct coap_body body = {COAP_POST, rig_options(&options, RIG_PLAIN), bytes_from_text("secret")};
    for (size_t cap = 0; cap <= whole.len; cap++) {
        struct oscore_request none = {0};
        memset(room, 0, sizeof room);
        struct writer writer = writer_over(room, cap);
        enum status status = oscore_protect_request(&rig.client, &body, rig_fresh(), &none, &writer);
        check_status(cap < whole.len ? NO_ROOM : OK, status);
        assert_null(memmem(room, sizeof room, "secret", 6));
        assert_int_equal(none.partial_iv_len, cap < whole.len ? 0 : 1);
        if (cap < whole.len)
            assert_int_equal(writer_bytes(&writer).len, 0);
    }
    rig_stop(&rig);
}

static void a_response_that_had_no_room_has_spent_the_requests_nonce(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened at_server, opened;
    uint8_t room[16];
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    check_ok(rig_ask(&rig.client, "ask", RIG_PLAIN, &asked, &out));
    check_ok(rig_take(&rig.server, &out, &at_server));
    struct writer small = writer_over(room, sizeof room);
    struct coap_body body = {COAP_CONTENT, {0}, bytes_from_text("longer than sixteen bytes")};
    check_status(NO_ROOM, oscore_protect_response(&rig.server, &at_server.request, &body, false, &small));
    check_ok(rig_answer(&rig.server, &at_server.request, "shorter", RIG_PLAIN, false, &out));
    assert_int_equal(rig_option(&out).partial_iv_len, 1);
    check_ok(rig_hear(&rig.client, &asked, &out, &opened));
    rig_expect(&opened, "shorter");
    rig_stop(&rig);
}

static void a_request_that_found_no_room_may_come_again(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked, seen;
    struct rig_message out;
    struct rig_opened opened;
    rig_start_fixed(&rig, CRYPTO_A128GCM, 0, 0);
    check_ok(rig_ask(&rig.client, "ask", RIG_PLAIN, &asked, &out));
    struct coap_body outer = rig_body(&out), inner;
    for (size_t cap = 0; cap < 1 + 7 + 1 + 3; cap++) {
        uint8_t room[32];
        struct writer plain = writer_over(room, cap), challenge = writer_over(room, 0);
        check_status(NO_ROOM,
                     oscore_unprotect_request(&rig.server, &outer, rig_fresh(), &seen, &plain, &inner, &challenge));
        assert_int_equal(plain.len, 0);
    }
    check_ok(rig_take(&rig.server, &out, &opened));
    rig_stop(&rig);
}

static void a_ciphertext_must_hold_more_than_its_tag(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        struct rig rig;
        struct oscore_request asked;
        struct rig_message out;
        size_t tag_len = crypto_aead_tag_len(algorithms[i]);
        rig_start_fixed(&rig, algorithms[i], 0, 0);
        check_ok(rig_ask(&rig.client, "a payload of some length", RIG_PLAIN, &asked, &out));
        struct coap_body outer = rig_body(&out);
        struct bytes whole = outer.payload;
        for (size_t len = 0; len < whole.len; len++) {
            struct rig_opened opened = {0};
            struct writer plain = writer_over(opened.plain, RIG_CAP), none = writer_over(NULL, 0);
            outer.payload.len = len;
            check_status(len <= tag_len ? MALFORMED : AUTH,
                         oscore_unprotect_request(&rig.server, &outer, rig_fresh(), &opened.request, &plain,
                                                  &opened.body, &none));
            rig_expect_nothing(&opened);
        }
        rig_stop(&rig);
    }
}

/* ---- Wiping ---- */

static void what_is_done_is_zero(void **state)
{
    (void)state;
    static const struct oscore_session zero;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out;
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    rig_challenge(&rig); /* both hold keys, R2 and the begun contexts */
    check_ok(rig_ask(&rig.client, "second", RIG_PLAIN, &asked, &out));
    assert_int_not_equal(rig.client.begun.sender.alg, 0);
    assert_int_not_equal(rig.server.begun.sender.alg, 0);
    rig_stop(&rig);
    assert_memory_equal(&zero, &rig.client, sizeof zero);
    assert_memory_equal(&zero, &rig.server, sizeof zero);
    assert_memory_equal(&zero.input, &rig.input, sizeof zero.input);
    oscore_session_done(&rig.client); /* twice does no harm */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_input_of_each_algorithm_is_written_and_read),
        cmocka_unit_test(every_part_of_an_input_is_taken_at_its_limit_and_refused_one_past_it),
        cmocka_unit_test(an_input_is_read_from_its_own_encoding_only),
        cmocka_unit_test(an_input_needs_all_of_its_room),
        cmocka_unit_test(the_last_sequence_number_is_used_and_none_after_it),
        cmocka_unit_test(a_servers_ccm_8_context_is_dropped_at_the_limit_and_not_before),
        cmocka_unit_test(a_clients_ccm_8_context_is_of_no_use_at_the_limit_and_not_before),
        cmocka_unit_test(longer_tags_do_not_wear_out),
        cmocka_unit_test(a_room_too_small_for_a_request_is_left_as_it_was),
        cmocka_unit_test(a_response_that_had_no_room_has_spent_the_requests_nonce),
        cmocka_unit_test(a_request_that_found_no_room_may_come_again),
        cmocka_unit_test(a_ciphertext_must_hold_more_than_its_tag),
        cmocka_unit_test(what_is_done_is_zero),
    };
    check_ok(crypto_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
