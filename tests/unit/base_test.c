/* base: the cursor, the appender, comparing and wiping. */
#include "check.h"

#include "base.h"

static void every_shorter_prefix_is_truncated(void **state)
{
    (void)state;
    const uint8_t input[15] = {1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4};
    for (size_t len = 0; len <= sizeof input; len++) {
        struct reader reader = reader_over(bytes_from(input, len));
        uint8_t a = take_u8(&reader);
        uint16_t b = take_u16be(&reader);
        uint32_t c = take_u32be(&reader);
        uint64_t d = take_u64be(&reader);
        if (len < sizeof input) {
            check_status(TRUNCATED, reader_end(&reader));
            continue;
        }
        check_ok(reader_end(&reader));
        assert_int_equal(1 * 1000 + 2 * 100 + 3 * 10 + 4, a * 1000 + b * 100 + (int)c * 10 + (int)d);
    }
}

static void one_extra_byte_is_malformed(void **state)
{
    (void)state;
    struct reader reader = reader_over(bytes_from("ab", 2));
    assert_int_equal('a', take_u8(&reader));
    check_status(MALFORMED, reader_end(&reader));
}

static void the_first_failure_sticks(void **state)
{
    (void)state;
    struct reader reader = reader_over(bytes_from("ab", 2));
    assert_int_equal(0, take_bytes(&reader, 3).len);
    assert_int_equal(0, take_u8(&reader));
    reader_fail(&reader, MALFORMED);
    check_status(TRUNCATED, reader_end(&reader));
}

static void a_full_writer_takes_nothing_more(void **state)
{
    (void)state;
    uint8_t room[3] = {0};
    struct writer writer = writer_over(room, sizeof room);
    put_u16le(&writer, 0x0102);
    put_u16le(&writer, 0x0304);
    put_u8(&writer, 9);
    check_status(NO_ROOM, writer_end(&writer));
    assert_int_equal(0, room[2]);
    assert_int_equal(0, writer_bytes(&writer).len);
}

static void both_byte_orders_round_trip(void **state)
{
    (void)state;
    uint8_t room[28];
    struct writer writer = writer_over(room, sizeof room);
    put_u16be(&writer, 0x0102), put_u32be(&writer, 0x03040506), put_u64be(&writer, 0x0708090a0b0c0d0e);
    put_u16le(&writer, 0x0102), put_u32le(&writer, 0x03040506), put_u64le(&writer, 0x0708090a0b0c0d0e);
    check_ok(writer_end(&writer));
    assert_int_equal(1, room[0]);
    assert_int_equal(2, room[14]);
    struct reader reader = reader_over(writer_bytes(&writer));
    assert_int_equal(0x0102, take_u16be(&reader));
    assert_int_equal(0x03040506, take_u32be(&reader));
    assert_true(take_u64be(&reader) == 0x0708090a0b0c0d0e);
    assert_int_equal(0x0102, take_u16le(&reader));
    assert_int_equal(0x03040506, take_u32le(&reader));
    assert_true(take_u64le(&reader) == 0x0708090a0b0c0d0e);
    check_ok(reader_end(&reader));
}

static void slices_never_leave_the_whole(void **state)
{
    (void)state;
    struct bytes whole = bytes_from("abcd", 4);
    check_bytes(bytes_from("bc", 2), bytes_slice(whole, 1, 2));
    assert_int_equal(0, bytes_slice(whole, 5, 0).len);
    assert_int_equal(0, bytes_slice(whole, 3, 2).len);
    assert_int_equal(0, bytes_slice(whole, 1, SIZE_MAX).len);
}

static void hex_refuses_odd_and_foreign_digits(void **state)
{
    (void)state;
    uint8_t room[4];
    struct writer writer = writer_over(room, sizeof room);
    check_status(MALFORMED, hex_decode("abc", &writer));
    check_status(MALFORMED, hex_decode("0g", &writer));
    assert_int_equal(0, writer.len);
    check_ok(hex_decode("00fFA5", &writer));
    char text[7];
    check_ok(hex_encode(writer_bytes(&writer), text, sizeof text));
    assert_string_equal("00ffa5", text);
    check_status(NO_ROOM, hex_encode(writer_bytes(&writer), text, 6));
}

static void a_secret_is_wiped_and_bounded(void **state)
{
    (void)state;
    struct secret secret = {0};
    uint8_t value[SECRET_CAP + 1] = {7};
    check_ok(secret_set(&secret, bytes_from(value, SECRET_CAP)));
    check_status(NO_ROOM, secret_set(&secret, bytes_from(value, SECRET_CAP + 1)));
    assert_int_equal(SECRET_CAP, secret.len);
    assert_true(ct_equal(secret.data, value, SECRET_CAP));
    secret_wipe(&secret);
    assert_int_equal(0, secret.data[0]);
    assert_int_equal(0, secret.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shorter_prefix_is_truncated),  cmocka_unit_test(one_extra_byte_is_malformed),
        cmocka_unit_test(the_first_failure_sticks),           cmocka_unit_test(a_full_writer_takes_nothing_more),
        cmocka_unit_test(both_byte_orders_round_trip),        cmocka_unit_test(slices_never_leave_the_whole),
        cmocka_unit_test(hex_refuses_odd_and_foreign_digits), cmocka_unit_test(a_secret_is_wiped_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
