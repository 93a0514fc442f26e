/* OSCORE's option value and replay window. Input and limits are in oscore_limit_test.c, Appendix B.2 and Observe in
 * oscore_session_test.c. */
#include "oscore_rig.h"

/* ---- Option value (RFC 8613 §6.1) ---- */

static void expect_option(struct bytes value, struct oscore_option want)
{
    uint8_t room[300];
    struct oscore_option got;
    struct writer writer = writer_over(room, sizeof room);
    check_ok(oscore_option_decode(value, &got));
    assert_int_equal(got.partial_iv, want.partial_iv);
    assert_int_equal(got.partial_iv_len, want.partial_iv_len);
    assert_int_equal(got.has_kid, want.has_kid);
    assert_int_equal(got.has_kid_context, want.has_kid_context);
    check_bytes(want.kid, got.kid);
    check_bytes(want.kid_context, got.kid_context);
    oscore_put_option(&writer, &got);
    check_bytes(value, writer_bytes(&writer));
}

static void expect_refused(struct bytes value)
{
    struct oscore_option option, before;
    memset(&option, 0xa5, sizeof option);
    memcpy(&before, &option, sizeof before);
    check_status(MALFORMED, oscore_option_decode(value, &option));
    assert_memory_equal(&before, &option, sizeof option);
}

static void option_values_of_section_6_3_read_and_write_back(void **state)
{
    (void)state;
    static const uint8_t first[] = {0x09, 0x05, 0x25}, second[] = {0x09, 0x00}, fifth[] = {0x01, 0x07};
    static const uint8_t third[] = {0x19, 0x05, 0x05, 0x44, 0x61, 0x6c, 0x65, 0x6b};
    expect_option(BYTES_OF(first), (struct oscore_option){5, 1, {0}, true, false, bytes_from(first + 2, 1), {0}});
    expect_option(BYTES_OF(second), (struct oscore_option){0, 1, {0}, true, false, {0}, {0}});
    expect_option(BYTES_OF(third), (struct oscore_option){5, 1, {0}, true, true, {0}, bytes_from(third + 3, 5)});
    expect_option((struct bytes){0}, (struct oscore_option){0});
    expect_option(BYTES_OF(fifth), (struct oscore_option){7, 1, {0}, false, false, {0}, {0}});
}

static void option_values_at_their_bounds_read_and_write_back(void **state)
{
    (void)state;
    static const uint8_t long_iv[] = {0x05, 0xff, 0xff, 0xff, 0xff, 0xff}, context[] = {0x10, 0}, kid[] = {0x08};
    expect_option(BYTES_OF(long_iv), (struct oscore_option){OSCORE_SEQUENCE_MAX, 5, {0}, false, false, {0}, {0}});
    expect_option(BYTES_OF(context), (struct oscore_option){0, 0, {0}, false, true, {0}, {0}});
    expect_option(BYTES_OF(kid), (struct oscore_option){0, 0, {0}, true, false, {0}, {0}});
}

static void every_shorter_prefix_of_an_option_value_is_refused(void **state)
{
    (void)state;
    static const uint8_t value[] = {0x15, 1, 2, 3, 4, 5, 3, 7, 8, 9}; /* Partial IV and kid context, no kid */
    expect_option(BYTES_OF(value),
                  (struct oscore_option){0x0102030405, 5, {0}, false, true, {0}, bytes_from(value + 7, 3)});
    for (size_t len = 1; len < sizeof value; len++)
        expect_refused(bytes_from(value, len));
}

static void a_kid_takes_what_is_left_and_without_one_an_extra_byte_is_refused(void **state)
{
    (void)state;
    static const uint8_t value[] = {0x19, 5, 1, 0xcc, 1, 2, 3};
    for (size_t len = 4; len <= sizeof value; len++)
        expect_option(
            bytes_from(value, len),
            (struct oscore_option){5, 1, {0}, true, true, bytes_from(value + 4, len - 4), bytes_from(value + 3, 1)});
    static const uint8_t extra[][4] = {{0x01, 5, 0}, {0x10, 1, 2, 3}, {0x10, 0, 0}};
    static const size_t lens[] = {3, 4, 3};
    for (size_t i = 0; i < 3; i++) {
        struct oscore_option option;
        check_ok(oscore_option_decode(bytes_from(extra[i], lens[i] - 1), &option));
        expect_refused(bytes_from(extra[i], lens[i]));
    }
}

static void of_all_flag_bytes_only_those_without_reserved_bits_and_lengths_are_read(void **state)
{
    (void)state;
    uint8_t value[16] = {0};
    for (unsigned flags = 0; flags < 256; flags++) {
        value[0] = (uint8_t)flags;
        unsigned iv = flags & 7;
        bool good = flags != 0 && (flags & 0xe0) == 0 && iv <= 5;
        size_t len = 1 + iv + (flags & 0x10 ? 1 : 0); /* the context's length reads 0 */
        struct oscore_option option;
        if (good)
            check_ok(oscore_option_decode(bytes_from(value, len), &option));
        else
            expect_refused(bytes_from(value, len < sizeof value ? len : sizeof value));
    }
}

static void an_option_is_written_up_to_its_limits_and_not_past_them(void **state)
{
    (void)state;
    static const uint8_t context[256];
    uint8_t room[300];
    for (size_t len = 254; len <= 256; len++) {
        struct oscore_option option = {.has_kid_context = true, .kid_context = bytes_from(context, len)};
        struct writer writer = writer_over(room, sizeof room);
        oscore_put_option(&writer, &option);
        check_status(len <= 255 ? OK : MALFORMED, writer_end(&writer));
    }
    for (size_t len = 5; len <= 6; len++) {
        struct oscore_option option = {.partial_iv = 1, .partial_iv_len = len};
        struct writer writer = writer_over(room, sizeof room);
        oscore_put_option(&writer, &option);
        check_status(len <= 5 ? OK : MALFORMED, writer_end(&writer));
    }
}

static void a_partial_iv_is_as_short_as_it_can_be(void **state)
{
    (void)state;
    static const struct {
        uint64_t sequence;
        size_t len;
    } rows[] = {{0, 1},        {255, 1},       {256, 2},        {0xffff, 2},      {0x10000, 3},
                {0xffffff, 3}, {0x1000000, 4}, {0xffffffff, 4}, {0x100000000, 5}, {OSCORE_SEQUENCE_MAX, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t piv[OSCORE_PIV_MAX];
        uint64_t back = 0;
        assert_int_equal(oscore_piv(rows[i].sequence, piv), rows[i].len);
        for (size_t at = 0; at < rows[i].len; at++)
            back = back << 8 | piv[at];
        assert_int_equal(back, rows[i].sequence);
    }
}

static void only_a_request_with_a_kid_names_a_session(void **state)
{
    (void)state;
    static const struct {
        uint8_t value[4];
        size_t len;
        enum status want;
    } rows[] = {{{0x09, 5, 0xc1}, 3, OK},     {{0x08}, 1, OK},          {{0x01, 5}, 2, NOT_FOUND}, {{0}, 0, NOT_FOUND},
                {{0x29, 5, 1}, 3, MALFORMED}, {{0x02, 5}, 2, MALFORMED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t room[16];
        struct bytes kid = bytes_from_text("as it was");
        struct writer options = writer_over(room, sizeof room);
        struct coap_option_writer list = coap_options_to(&options);
        coap_put_option(&list, COAP_OSCORE, bytes_from(rows[i].value, rows[i].len));
        struct coap_body outer = {COAP_POST, writer_bytes(&options), {0}};
        check_status(rows[i].want, oscore_server_kid(&outer, &kid));
        check_bytes(rows[i].want == OK ? bytes_from(rows[i].value + 2, rows[i].len > 2 ? 1 : 0)
                                       : bytes_from_text("as it was"),
                    kid);
    }
    struct bytes kid = {0};
    check_status(NOT_FOUND, oscore_server_kid(&(struct coap_body){COAP_POST, {0}, {0}}, &kid));
}

static void refusals_are_answered_with_the_codes_of_section_8_2_and_never_cached(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        uint8_t code;
        const char *text;
    } rows[] = {{MALFORMED, COAP_BAD_OPTION, "Failed to decode COSE"},
                {UNSUPPORTED, COAP_BAD_OPTION, "Failed to decode COSE"},
                {NOT_FOUND, COAP_UNAUTHORIZED, "Security context not found"},
                {REPLAYED, COAP_UNAUTHORIZED, "Replay detected"},
                {AUTH, COAP_BAD_REQUEST, "Decryption failed"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig_message message;
        struct writer out = writer_over(message.data, RIG_CAP);
        uint32_t age = 1;
        oscore_error(&out, rows[i].status);
        message.len = out.len;
        struct coap_body body = rig_body(&message);
        assert_int_equal(body.code, rows[i].code);
        check_bytes(bytes_from_text(rows[i].text), body.payload);
        check_ok(coap_option_find_uint(body.options, COAP_MAX_AGE, &age));
        assert_int_equal(age, 0);
    }
}

/* ---- Replay window (§7.4) ---- */

static struct oscore_context window_with_top(uint64_t top)
{
    struct oscore_context context = {0};
    assert_true(oscore_window_allows(&context, top));
    oscore_window_take(&context, top);
    return context;
}

static void each_position_of_the_window_is_free_once(void **state)
{
    (void)state;
    const uint64_t top = 1000;
    struct oscore_context context = window_with_top(top);
    assert_false(oscore_window_allows(&context, top));
    for (uint64_t back = OSCORE_WINDOW - 1; back > 0; back--) {
        assert_true(oscore_window_allows(&context, top - back));
        oscore_window_take(&context, top - back);
        assert_false(oscore_window_allows(&context, top - back));
    }
    assert_int_equal(context.window_top, top);
    assert_false(oscore_window_allows(&context, top - OSCORE_WINDOW)); /* one past */
    assert_false(oscore_window_allows(&context, 0));
    assert_true(oscore_window_allows(&context, top + 1));
}

static void a_window_that_moves_keeps_what_it_knows(void **state)
{
    (void)state;
    for (uint64_t forward = 1; forward <= OSCORE_WINDOW + 1; forward++) {
        struct oscore_context context = window_with_top(500);
        oscore_window_take(&context, 498);
        oscore_window_take(&context, 500 + forward);
        assert_false(oscore_window_allows(&context, 500));
        assert_false(oscore_window_allows(&context, 498));
        assert_int_equal(oscore_window_allows(&context, 499), forward + 1 < OSCORE_WINDOW);
    }
    struct oscore_context last = window_with_top(OSCORE_SEQUENCE_MAX);
    assert_true(oscore_window_allows(&last, OSCORE_SEQUENCE_MAX - OSCORE_WINDOW + 1));
    assert_false(oscore_window_allows(&last, OSCORE_SEQUENCE_MAX - OSCORE_WINDOW));
    struct oscore_context low = window_with_top(3); /* no number is below zero */
    for (uint64_t sequence = 0; sequence < 3; sequence++)
        assert_true(oscore_window_allows(&low, sequence));
}

static void a_window_agrees_with_a_list_of_all_that_came(void **state)
{
    (void)state;
    enum { NUMBERS = 4096 };
    static bool came[NUMBERS];
    struct oscore_context context = {0};
    uint64_t top = 0, mixed = 1;
    bool any = false;
    memset(came, 0, sizeof came);
    for (int i = 0; i < 20000; i++) {
        mixed = mixed * 6364136223846793005u + 1442695040888963407u;
        uint64_t base = (uint64_t)i * (NUMBERS - 128) / 20000, sequence = base + (mixed >> 33) % 100;
        bool free_now = !came[sequence] && (!any || sequence > top || top - sequence < OSCORE_WINDOW);
        assert_int_equal(oscore_window_allows(&context, sequence), free_now);
        if (!free_now)
            continue;
        oscore_window_take(&context, sequence);
        came[sequence] = any = true;
        top = sequence > top ? sequence : top;
    }
    assert_true(top > NUMBERS - 200);
}

enum { BURST = OSCORE_WINDOW + 2 };

static void messages_in_reverse_order_pass_as_far_back_as_the_window(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    static struct rig_message sent[BURST];
    static struct rig_opened opened;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    for (size_t i = 0; i < BURST; i++)
        check_ok(rig_ask(&rig.client, "burst", RIG_PLAIN, &asked, &sent[i]));
    for (size_t i = BURST; i-- > 0;) {
        bool inside = i + OSCORE_WINDOW >= BURST;
        check_status(inside ? OK : REPLAYED, rig_take(&rig.server, &sent[i], &opened));
        if (!inside)
            rig_expect_nothing(&opened);
        check_status(REPLAYED, rig_take(&rig.server, &sent[i], &opened));
    }
    rig_stop(&rig);
}

static void a_message_that_does_not_verify_leaves_the_window_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message early, late, forged;
    struct rig_opened opened;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 7, 0);
    check_ok(rig_ask(&rig.client, "early", RIG_PLAIN, &asked, &early));
    rig.client.current.sequence = 5000;
    check_ok(rig_ask(&rig.client, "late", RIG_PLAIN, &asked, &late));
    forged = late;
    forged.data[forged.len - 1] ^= 1;
    check_status(AUTH, rig_take(&rig.server, &forged, &opened));
    rig_expect_nothing(&opened);
    check_ok(rig_take(&rig.server, &early, &opened));
    check_ok(rig_take(&rig.server, &late, &opened));
    rig_stop(&rig);
}

static void after_a_restart_nothing_of_before_is_accepted(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message taken, waiting;
    struct rig_opened opened;
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    rig_begin(&rig);
    check_ok(rig_ask(&rig.client, "taken", RIG_PLAIN, &asked, &taken));
    check_ok(rig_take(&rig.server, &taken, &opened));
    check_ok(rig_ask(&rig.client, "waiting", RIG_PLAIN, &asked, &waiting));
    oscore_session_done(&rig.server);
    rig_server_start(&rig);
    check_status(NOT_FOUND, rig_take(&rig.server, &taken, &opened));
    check_status(NOT_FOUND, rig_take(&rig.server, &waiting, &opened));
    oscore_session_restart(&rig.client);
    rig_begin(&rig);
    check_status(AUTH, rig_take(&rig.server, &waiting, &opened));
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(option_values_of_section_6_3_read_and_write_back),
        cmocka_unit_test(option_values_at_their_bounds_read_and_write_back),
        cmocka_unit_test(every_shorter_prefix_of_an_option_value_is_refused),
        cmocka_unit_test(a_kid_takes_what_is_left_and_without_one_an_extra_byte_is_refused),
        cmocka_unit_test(of_all_flag_bytes_only_those_without_reserved_bits_and_lengths_are_read),
        cmocka_unit_test(an_option_is_written_up_to_its_limits_and_not_past_them),
        cmocka_unit_test(a_partial_iv_is_as_short_as_it_can_be),
        cmocka_unit_test(only_a_request_with_a_kid_names_a_session),
        cmocka_unit_test(refusals_are_answered_with_the_codes_of_section_8_2_and_never_cached),
        cmocka_unit_test(each_position_of_the_window_is_free_once),
        cmocka_unit_test(a_window_that_moves_keeps_what_it_knows),
        cmocka_unit_test(a_window_agrees_with_a_list_of_all_that_came),
        cmocka_unit_test(messages_in_reverse_order_pass_as_far_back_as_the_window),
        cmocka_unit_test(a_message_that_does_not_verify_leaves_the_window_alone),
        cmocka_unit_test(after_a_restart_nothing_of_before_is_accepted),
    };
    check_ok(crypto_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
