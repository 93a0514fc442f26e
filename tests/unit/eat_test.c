/* Evidence as bytes: what goes out comes back, what is cut, longer, out of order or out of range does not. */
#include "check.h"

#include "eat.h"

static struct crypto_key key;

static struct eat_report sample(void)
{
    return (struct eat_report){.nonce = {1, 2, 3},
                               .nonce_len = 8,
                               .time_s = 1700000000,
                               .port = bytes_from_text("linux"),
                               .mode = EAT_INSECURE_DEV,
                               .measurement = {1},
                               .product = bytes_from_text("hub"),
                               .security_version = 3,
                               .signer = {2},
                               .config = {3},
                               .workload = {4},
                               .user_data = {5},
                               .walls = EAT_WALL_SECRET_MEMORY | EAT_SWITCH_LOCKDOWN,
                               .secret_bytes = 1 << 20,
                               .unprotected_bytes = 4096,
                               .monitor = {6},
                               .nv_counter = 42,
                               .reset_count = 7,
                               .restart_count = 8,
                               .sequence = 9,
                               .since_s = 1699999999};
}

static struct bytes encoded(const struct eat_report *report, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    eat_put_report(&writer, report);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void check_same(const struct eat_report *expected, const struct eat_report *got)
{
    struct eat_report a = *expected, b = *got;
    check_bytes(a.port, b.port);
    check_bytes(a.product, b.product);
    a.port = b.port = a.product = b.product = (struct bytes){0};
    uint8_t room_a[EAT_REPORT_MAX], room_b[EAT_REPORT_MAX];
    a.port = b.port = a.product = b.product = bytes_from_text("x");
    check_bytes(encoded(&a, room_a, sizeof room_a), encoded(&b, room_b, sizeof room_b));
}

static void a_report_comes_back_with_a_nonce_and_without(void **state)
{
    (void)state;
    uint8_t room[EAT_REPORT_MAX];
    static const size_t lens[] = {0, EAT_NONCE_MIN, EAT_NONCE_MAX};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct eat_report report = sample(), got;
        report.nonce_len = lens[i];
        check_ok(eat_report_decode(encoded(&report, room, sizeof room), &got));
        assert_int_equal(lens[i], got.nonce_len);
        check_same(&report, &got);
    }
}

static void every_shorter_prefix_and_one_byte_more_is_refused(void **state)
{
    (void)state;
    uint8_t room[EAT_REPORT_MAX] = {0};
    struct eat_report report = sample(), got;
    struct bytes whole = encoded(&report, room, sizeof room);
    for (size_t len = 0; len < whole.len; len++)
        check_status(TRUNCATED, eat_report_decode(bytes_slice(whole, 0, len), &got));
    check_status(MALFORMED, eat_report_decode(bytes_from(room, whole.len + 1), &got));
}

static void limits_hold_at_them_and_one_past(void **state)
{
    (void)state;
    uint8_t room[EAT_REPORT_MAX];
    static const uint8_t text[EAT_PRODUCT_MAX + 1] = {0};
    struct eat_report got, report = sample();
    report.product = bytes_from(text, EAT_PRODUCT_MAX);
    report.port = bytes_from(text, EAT_PORT_MAX);
    report.security_version = UINT32_MAX;
    check_ok(eat_report_decode(encoded(&report, room, sizeof room), &got));
    for (int i = 0; i < 6; i++) {
        struct eat_report bad = sample();
        bad.product = i == 0 ? bytes_from(text, EAT_PRODUCT_MAX + 1) : i == 1 ? bytes_from(text, 0) : bad.product;
        bad.port = i == 2 ? bytes_from(text, EAT_PORT_MAX + 1) : bad.port;
        bad.nonce_len = i == 3 ? EAT_NONCE_MIN - 1 : i == 4 ? EAT_NONCE_MAX + 1 : bad.nonce_len;
        bad.mode = i == 5 ? (enum eat_mode)3 : bad.mode;
        struct writer writer = writer_over(room, sizeof room);
        eat_put_report(&writer, &bad);
        check_status(MALFORMED, writer_end(&writer));
    }
}

static void every_flipped_bit_of_a_signed_report_is_refused(void **state)
{
    (void)state;
    uint8_t room[EAT_REPORT_MAX];
    struct eat_report report = sample(), got = {.nv_counter = 1};
    struct writer writer = writer_over(room, sizeof room);
    check_ok(eat_report_sign(&writer, &key, &report));
    struct bytes whole = writer_bytes(&writer);
    check_ok(eat_report_open(whole, &key.public_key, &got));
    check_same(&report, &got);
    for (size_t bit = 0; bit < whole.len * 8; bit++) {
        got = (struct eat_report){.nv_counter = 1};
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(OK, eat_report_open(whole, &key.public_key, &got));
        assert_int_equal(1, got.nv_counter); /* untouched on failure */
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < whole.len; len++)
        assert_int_not_equal(OK, eat_report_open(bytes_slice(whole, 0, len), &key.public_key, &got));
}

static struct bytes bundle(uint8_t *room, size_t cap, bool certificate)
{
    static const uint8_t some[100] = {1, 2, 3};
    const struct eat_evidence evidence = {.report = BYTES_OF(some),
                                          .report_key = key.public_key,
                                          .quote = bytes_from(some, 50),
                                          .quote_signature = bytes_from(some, 64),
                                          .pcr_mask = 0x80ff,
                                          .pcrs = {{1}, {2}},
                                          .ak = bytes_from(some, 90),
                                          .ek = bytes_from(some, 91),
                                          .ek_certificate = bytes_from(some, certificate ? 100 : 0)};
    struct writer writer = writer_over(room, cap);
    eat_put_evidence(&writer, &evidence);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void a_bundle_comes_back_and_no_prefix_of_it_does(void **state)
{
    (void)state;
    uint8_t room[EAT_EVIDENCE_MAX] = {0};
    struct eat_evidence got;
    for (int certificate = 0; certificate < 2; certificate++) {
        memset(room, 0, sizeof room);
        struct bytes whole = bundle(room, sizeof room, certificate);
        check_ok(eat_evidence_decode(whole, &got));
        assert_int_equal(0x80ff, got.pcr_mask);
        assert_int_equal(2, got.pcrs[1][0]);
        assert_int_equal(91, got.ek.len);
        assert_int_equal(certificate ? 100 : 0, got.ek_certificate.len);
        check_bytes(crypto_public_bytes(&key.public_key), crypto_public_bytes(&got.report_key));
        for (size_t len = 0; len < whole.len; len++)
            assert_int_not_equal(OK, eat_evidence_decode(bytes_slice(whole, 0, len), &got));
        check_status(MALFORMED, eat_evidence_decode(bytes_from(room, whole.len + 1), &got));
    }
    check_status(NO_ROOM, eat_evidence_decode(bytes_from(room, EAT_EVIDENCE_MAX + 1), &got));
}

static void pcrs_past_the_last_are_refused(void **state)
{
    (void)state;
    uint8_t room[EAT_EVIDENCE_MAX];
    struct eat_evidence evidence = {.report_key = key.public_key, .pcr_mask = 1u << EAT_PCRS_MAX};
    struct writer writer = writer_over(room, sizeof room);
    eat_put_evidence(&writer, &evidence);
    check_status(MALFORMED, writer_end(&writer));
}

static int start(void **state)
{
    (void)state;
    return crypto_init() == OK && crypto_key_generate(&key, CRYPTO_P256) == OK ? 0 : 1;
}

static int stop(void **state)
{
    (void)state;
    crypto_key_done(&key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_comes_back_with_a_nonce_and_without),
        cmocka_unit_test(every_shorter_prefix_and_one_byte_more_is_refused),
        cmocka_unit_test(limits_hold_at_them_and_one_past),
        cmocka_unit_test(every_flipped_bit_of_a_signed_report_is_refused),
        cmocka_unit_test(a_bundle_comes_back_and_no_prefix_of_it_does),
        cmocka_unit_test(pcrs_past_the_last_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
