/* OSCORE and Observe (RFC 8613 §4.1.3.5, §7.4.1), the nonces responses take, and which option travels where (§4.1). */
#include "oscore_rig.h"

enum { NOTICES = 6 };

/* A registration, and notifications protected in order. */
struct watch {
    struct rig rig;
    struct oscore_request asked, seen;
    struct rig_message notices[NOTICES];
};

static void watch_start(struct watch *watch)
{
    struct rig_message out;
    struct rig_opened opened;
    rig_start(&watch->rig, CRYPTO_AES_CCM_16_64_128);
    rig_begin(&watch->rig);
    check_ok(rig_ask(&watch->rig.client, "watch", RIG_REGISTER, &watch->asked, &out));
    check_ok(rig_take(&watch->rig.server, &out, &opened));
    watch->seen = opened.request;
    for (uint32_t i = 0; i < NOTICES; i++) {
        char text[] = {(char)('a' + i), 0};
        check_ok(rig_answer(&watch->rig.server, &watch->seen, text, i, false, &watch->notices[i]));
    }
}

static void expect_notice(struct watch *watch, enum status want, size_t which)
{
    static struct rig_opened opened;
    char text[] = {(char)('a' + which), 0};
    check_status(want, rig_hear(&watch->rig.client, &watch->asked, &watch->notices[which], &opened));
    if (want == OK)
        rig_expect(&opened, text);
    else
        rig_expect_nothing(&opened);
}

static void a_registration_is_known_to_both_and_a_cancellation_is_none(void **state)
{
    (void)state;
    static const uint32_t values[] = {RIG_REGISTER, RIG_CANCEL, RIG_PLAIN};
    for (size_t i = 0; i < 3; i++) {
        struct rig rig;
        struct oscore_request asked;
        struct rig_message out;
        struct rig_opened opened;
        uint32_t outside = 7, inside = 7;
        rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
        check_ok(rig_ask(&rig.client, "watch", values[i], &asked, &out));
        check_ok(rig_take(&rig.server, &out, &opened));
        assert_int_equal(asked.observe, values[i] == RIG_REGISTER);
        assert_int_equal(opened.request.observe, values[i] == RIG_REGISTER);
        assert_int_equal(rig_body(&out).code, values[i] == RIG_PLAIN ? COAP_POST : COAP_FETCH);
        enum status found = coap_option_find_uint(rig_body(&out).options, COAP_OBSERVE, &outside);
        check_status(found, coap_option_find_uint(opened.body.options, COAP_OBSERVE, &inside));
        check_status(values[i] == RIG_PLAIN ? NOT_FOUND : OK, found);
        if (found == OK)
            assert_true(outside == values[i] && inside == values[i]);
        rig_stop(&rig);
    }
}

static void the_outer_observe_of_a_request_registers_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened opened;
    struct bytes value;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    check_ok(rig_ask(&rig.client, "cancel", RIG_CANCEL, &asked, &out));
    assert_true(coap_option_find(rig_body(&out).options, COAP_OBSERVE, &value));
    out.data[value.data - out.data] = RIG_REGISTER; /* a proxy may; the inner one counts */
    check_ok(rig_take(&rig.server, &out, &opened));
    assert_false(opened.request.observe);
    rig_stop(&rig);
}

static void every_notification_has_a_partial_iv_of_its_own_and_its_order_from_it(void **state)
{
    (void)state;
    static struct watch watch;
    static struct rig_opened opened;
    watch_start(&watch);
    for (size_t i = 0; i < NOTICES; i++) {
        struct oscore_option option = rig_option(&watch.notices[i]);
        struct bytes inner = {NULL, 1};
        uint32_t outer = NOTICES;
        assert_int_equal(option.partial_iv, rig_option(&watch.notices[0]).partial_iv + i);
        assert_int_equal(option.partial_iv_len, 1);
        assert_int_equal(rig_body(&watch.notices[i]).code, COAP_CONTENT);
        check_ok(coap_option_find_uint(rig_body(&watch.notices[i]).options, COAP_OBSERVE, &outer));
        assert_int_equal(outer, i);
        check_ok(rig_hear(&watch.rig.client, &watch.asked, &watch.notices[i], &opened));
        assert_true(coap_option_find(opened.body.options, COAP_OBSERVE, &inner));
        assert_int_equal(inner.len, 0); /* the inner one is empty (§4.1.3.5.2) */
    }
    rig_stop(&watch.rig);
}

static void notifications_are_heard_in_their_order_only(void **state)
{
    (void)state;
    static struct watch watch;
    watch_start(&watch);
    expect_notice(&watch, OK, 1);
    expect_notice(&watch, REPLAYED, 1);
    expect_notice(&watch, REPLAYED, 0);
    expect_notice(&watch, OK, 2);
    expect_notice(&watch, OK, 5); /* some may be lost */
    for (size_t i = 0; i < NOTICES; i++)
        expect_notice(&watch, REPLAYED, i);
    rig_stop(&watch.rig);
}

static void a_forged_notification_does_not_move_the_order(void **state)
{
    (void)state;
    static struct watch watch;
    watch_start(&watch);
    struct rig_message good = watch.notices[5];
    watch.notices[5].data[good.len - 1] ^= 1;
    expect_notice(&watch, AUTH, 5);
    expect_notice(&watch, OK, 0);
    watch.notices[5] = watch.notices[3]; /* an old one that claims a later number */
    struct bytes value;
    assert_true(coap_option_find(rig_body(&watch.notices[5]).options, COAP_OSCORE, &value));
    watch.notices[5].data[value.data + 1 - watch.notices[5].data] += 100;
    expect_notice(&watch, AUTH, 5);
    watch.notices[5] = good;
    expect_notice(&watch, OK, 5);
    rig_stop(&watch.rig);
}

static void at_most_one_notification_comes_without_a_partial_iv_and_it_is_the_first(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct rig rig;
        struct oscore_request asked;
        struct rig_message out, bare, numbered;
        struct rig_opened opened;
        rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
        check_ok(rig_ask(&rig.client, "watch", RIG_REGISTER, &asked, &out));
        check_ok(rig_take(&rig.server, &out, &opened));
        struct oscore_request seen = opened.request;
        seen.observe = false; /* as other servers do: the first under the request's nonce */
        check_ok(rig_answer(&rig.server, &seen, "bare", 0, false, &bare));
        assert_int_equal(rig_option(&bare).partial_iv_len, 0);
        check_ok(rig_answer(&rig.server, &seen, "numbered", 1, false, &numbered));
        assert_int_equal(rig_option(&numbered).partial_iv_len, 1);
        if (!late)
            check_ok(rig_hear(&rig.client, &asked, &bare, &opened));
        else
            check_ok(rig_hear(&rig.client, &asked, &numbered, &opened));
        check_status(REPLAYED, rig_hear(&rig.client, &asked, &bare, &opened));
        check_status(late ? REPLAYED : OK, rig_hear(&rig.client, &asked, &numbered, &opened));
        check_status(REPLAYED, rig_hear(&rig.client, &asked, &bare, &opened));
        rig_stop(&rig);
    }
}

static void a_cancellation_is_answered_like_any_request_and_ends_the_old_notifications(void **state)
{
    (void)state;
    static struct watch watch;
    struct oscore_request cancel;
    struct rig_message out;
    struct rig_opened opened;
    watch_start(&watch);
    expect_notice(&watch, OK, 0);
    check_ok(rig_ask(&watch.rig.client, "stop", RIG_CANCEL, &cancel, &out));
    check_ok(rig_take(&watch.rig.server, &out, &opened));
    check_ok(rig_answer(&watch.rig.server, &opened.request, "stopped", RIG_PLAIN, false, &out));
    assert_int_equal(rig_option(&out).partial_iv_len, 0);
    assert_int_equal(rig_body(&out).code, COAP_CHANGED);
    for (size_t i = 0; i < NOTICES; i++) /* they answer the registration, not this */
        check_status(AUTH, rig_hear(&watch.rig.client, &cancel, &watch.notices[i], &opened));
    check_ok(rig_hear(&watch.rig.client, &cancel, &out, &opened));
    rig_expect(&opened, "stopped");
    rig_stop(&watch.rig);
}

static void notifications_of_two_registrations_do_not_answer_each_other(void **state)
{
    (void)state;
    static struct watch watch;
    struct oscore_request other, asked = {0};
    struct rig_message out;
    struct rig_opened opened;
    watch_start(&watch);
    check_ok(rig_ask(&watch.rig.client, "watch", RIG_REGISTER, &asked, &out));
    check_ok(rig_take(&watch.rig.server, &out, &opened));
    other = opened.request;
    check_ok(rig_answer(&watch.rig.server, &other, "other", 0, false, &out));
    check_status(AUTH, rig_hear(&watch.rig.client, &watch.asked, &out, &opened));
    check_status(AUTH, rig_hear(&watch.rig.client, &asked, &watch.notices[0], &opened));
    check_ok(rig_hear(&watch.rig.client, &asked, &out, &opened));
    expect_notice(&watch, OK, 0); /* an order of their own each */
    rig_stop(&watch.rig);
}

static void an_observation_ends_with_its_context_on_either_side(void **state)
{
    (void)state;
    static struct watch watch;
    struct rig_message out;
    watch_start(&watch);
    oscore_session_restart(&watch.rig.client);
    expect_notice(&watch, AUTH, 0);
    rig_begin(&watch.rig);
    expect_notice(&watch, AUTH, 1);
    check_status(WRONG_STATE, rig_answer(&watch.rig.server, &watch.seen, "z", 9, false, &out));
    rig_stop(&watch.rig);
}

static void a_requests_nonce_answers_once_and_own_nonces_when_asked_for(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened at_server, opened;
    rig_start_fixed(&rig, CRYPTO_A128GCM, 300, 70000);
    check_ok(rig_ask(&rig.client, "ask", RIG_PLAIN, &asked, &out));
    check_ok(rig_take(&rig.server, &out, &at_server));
    static const struct {
        bool own;
        size_t piv_len;
    } answers[] = {{true, 3}, {false, 0}, {false, 3}, {true, 3}};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        check_ok(rig_answer(&rig.server, &at_server.request, "answer", RIG_PLAIN, answers[i].own, &out));
        assert_int_equal(rig_option(&out).partial_iv_len, answers[i].piv_len);
        check_ok(rig_hear(&rig.client, &asked, &out, &opened));
        rig_expect(&opened, "answer");
    }
    assert_int_equal(rig.server.current.sequence, 70003);
    rig_stop(&rig);
}

/* One option of each number, each with a value of two bytes. */
static struct bytes one_of_each(struct writer *room, bool (*wanted)(uint16_t number))
{
    static const uint16_t numbers[] = {1,  3,  4,  5,  6,  7,  8,  9,   11,  12,  14,   15,   17,
                                       20, 23, 27, 28, 35, 39, 60, 252, 258, 292, 2053, 65535};
    struct coap_option_writer list = coap_options_to(room);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (wanted(numbers[i]))
            coap_put_option(&list, numbers[i], bytes_from_text("ab"));
    return writer_bytes(room);
}

static bool any(uint16_t number)
{
    return number != 0;
}

static bool goes_outside(uint16_t number)
{
    return number == 3 || number == 6 || number == 7 || number == 39;
}

static bool goes_inside(uint16_t number)
{
    return number != 3 && number != 7 && number != 9 && number != 39;
}

static void options_of_class_u_travel_outside_and_all_others_inside(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked, seen;
    uint8_t all_room[200], want_room[200], got_room[400], outer_room[600], plain_room[600];
    struct writer all = writer_over(all_room, sizeof all_room), want = writer_over(want_room, sizeof want_room);
    struct writer out = writer_over(outer_room, sizeof outer_room), plain = writer_over(plain_room, sizeof plain_room);
    struct writer got = writer_over(got_room, sizeof got_room), none = writer_over(NULL, 0);
    struct coap_body body = {COAP_PUT, one_of_each(&all, any), {0}}, outer, inner;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_128_128, 0, 0);
    check_ok(oscore_protect_request(&rig.client, &body, rig_fresh(), &asked, &out));
    check_ok(coap_body_decode(writer_bytes(&out), &outer));
    check_ok(oscore_unprotect_request(&rig.server, &outer, rig_fresh(), &seen, &plain, &inner, &none));
    assert_int_equal(inner.code, COAP_PUT);
    assert_int_equal(inner.payload.len, 0);
    check_bytes(one_of_each(&want, goes_inside), inner.options);
    struct coap_option_reader reader = coap_options_over(outer.options);
    struct coap_option_writer list = coap_options_to(&got);
    struct coap_option each;
    unsigned protections = 0;
    while (coap_option_next(&reader, &each)) {
        protections += each.number == COAP_OSCORE;
        if (each.number != COAP_OSCORE)
            coap_put_option(&list, each.number, each.value);
    }
    assert_int_equal(protections, 1); /* ours; one that stood in the message is left out */
    want = writer_over(want_room, sizeof want_room);
    check_bytes(one_of_each(&want, goes_outside), writer_bytes(&got));
    rig_stop(&rig);
}

static void a_message_with_a_bad_option_list_is_not_sent(void **state)
{
    (void)state;
    static const uint8_t lists[][3] = {{0xf0, 0, 0}, {0xb5, 'a', 'b'}, {0xff, 'a', 'b'}, {0x0f, 0, 0}};
    struct rig rig;
    struct oscore_request asked;
    uint8_t room[RIG_CAP] = {0};
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct writer out = writer_over(room, sizeof room);
        struct coap_body body = {COAP_POST, BYTES_OF(lists[i]), bytes_from_text("secret")};
        check_status(MALFORMED, oscore_protect_request(&rig.client, &body, rig_fresh(), &asked, &out));
        assert_int_equal(out.len, 0);
        assert_null(memmem(room, sizeof room, "secret", 6));
    }
    rig_exchange(&rig);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_registration_is_known_to_both_and_a_cancellation_is_none),
        cmocka_unit_test(the_outer_observe_of_a_request_registers_nothing),
        cmocka_unit_test(every_notification_has_a_partial_iv_of_its_own_and_its_order_from_it),
        cmocka_unit_test(notifications_are_heard_in_their_order_only),
        cmocka_unit_test(a_forged_notification_does_not_move_the_order),
        cmocka_unit_test(at_most_one_notification_comes_without_a_partial_iv_and_it_is_the_first),
        cmocka_unit_test(a_cancellation_is_answered_like_any_request_and_ends_the_old_notifications),
        cmocka_unit_test(notifications_of_two_registrations_do_not_answer_each_other),
        cmocka_unit_test(an_observation_ends_with_its_context_on_either_side),
        cmocka_unit_test(a_requests_nonce_answers_once_and_own_nonces_when_asked_for),
        cmocka_unit_test(options_of_class_u_travel_outside_and_all_others_inside),
        cmocka_unit_test(a_message_with_a_bad_option_list_is_not_sent),
    };
    check_ok(crypto_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
