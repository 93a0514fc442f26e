/* cbor: what the strict decoder refuses, how maps are walked, and what becomes of foreign CBOR. */
#include "check.h"

#include "cbor.h"

#include <math.h>

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(hex_decode(text, &writer));
    return writer_bytes(&writer);
}

static enum status skip_hex(const char *text)
{
    uint8_t room[128];
    struct reader reader = reader_over(unhex(text, room, sizeof room));
    cbor_skip(&reader);
    return reader_end(&reader);
}

static void what_is_not_deterministic_is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {"1817",
                                      "1900ff",
                                      "1a0000ffff",
                                      "1b00000000ffffffff",
                                      "3817",
                                      "5817",
                                      "7801",
                                      "9800",
                                      "b800",
                                      "d817", /* heads */
                                      "fa3f800000",
                                      "fb3ff0000000000000",
                                      "f97e01",
                                      "fe",
                                      "f97c01",
                                      "fa7f800000", /* floats, reserved */
                                      "f800",
                                      "f814",
                                      "f81f", /* simple values */
                                      "1c",
                                      "3d",
                                      "5e",
                                      "7c",
                                      "9d",
                                      "be",
                                      "dc",
                                      "fc",
                                      "fd", /* reserved info */
                                      "5fff",
                                      "7fff",
                                      "9fff",
                                      "bfff",
                                      "ff",
                                      "1f",
                                      "3f",
                                      "df", /* indefinite */
                                      "a202010101",
                                      "a201010101",
                                      "a261620161610f",
                                      "a220010101",
                                      "81a202010101",
                                      "a1a20201010100", /* order */
                                      "61ff",
                                      "62c080",
                                      "63eda080",
                                      "64f4908080",
                                      "61c3",
                                      "62e282",
                                      "64f0808080",
                                      "62c328"}; /* UTF-8 */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (skip_hex(bad[i]) != MALFORMED)
            fail_msg("%s: %s", bad[i], status_word(skip_hex(bad[i])));
}

static void lengths_past_the_input_are_truncated(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "18",
                                      "19ff",
                                      "41",
                                      "5bffffffffffffffff",
                                      "61",
                                      "81",
                                      "9bffffffffffffffff",
                                      "9b7fffffffffffffff",
                                      "a1",
                                      "a101",
                                      "bbffffffffffffffff",
                                      "bb8000000000000001",
                                      "c0",
                                      "f9",
                                      "fa0000",
                                      "f8",
                                      "8201"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (skip_hex(bad[i]) != TRUNCATED)
            fail_msg("%s: %s", bad[i], status_word(skip_hex(bad[i])));
    check_status(MALFORMED, skip_hex("0000"));
    check_status(MALFORMED, skip_hex("8000"));
}

static void nesting_ends_at_its_limit(void **state)
{
    (void)state;
    static const uint8_t openers[] = {0x81, 0xc1, 0xa1};
    for (size_t kind = 0; kind < 3; kind++)
        for (size_t depth = CBOR_DEPTH_MAX - 1; depth <= CBOR_DEPTH_MAX + 1; depth++) {
            uint8_t input[64], text[256];
            struct writer writer = writer_over(input, sizeof input), json = writer_over(text, sizeof text);
            for (size_t i = 0; i < depth; i++) {
                put_u8(&writer, openers[kind]);
                if (openers[kind] == 0xa1)
                    put_u8(&writer, 0x01);
            }
            put_u8(&writer, 0x00);
            struct reader reader = reader_over(writer_bytes(&writer)), again = reader;
            cbor_skip(&reader);
            check_status(depth > CBOR_DEPTH_MAX ? UNSUPPORTED : OK, reader_end(&reader));
            bool too_deep = depth > CBOR_DEPTH_MAX && openers[kind] != 0xc1; /* tags leave nothing in JSON */
            check_status(too_deep ? UNSUPPORTED : OK, cbor_to_json(&again, &json));
        }
}

static void integers_reach_their_limits(void **state)
{
    (void)state;
    static const int64_t values[] = {0,          23,        24,        255,       256,        65535,        65536,
                                     UINT32_MAX, INT64_MAX, -1,        -24,       -25,        -256,         -257,
                                     -65536,     -65537,    INT64_MIN, INT32_MIN, 4294967296, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t out[9];
        struct writer writer = writer_over(out, sizeof out);
        cbor_put_int(&writer, values[i]);
        struct reader reader = reader_over(writer_bytes(&writer));
        assert_true(cbor_take_int(&reader) == values[i]);
        check_ok(reader_end(&reader));
    }
    uint8_t room[9];
    struct reader reader = reader_over(unhex("1b8000000000000000", room, sizeof room));
    assert_int_equal(0, cbor_take_int(&reader));
    check_status(UNSUPPORTED, reader_end(&reader));
    reader = reader_over(unhex("3b8000000000000000", room, sizeof room));
    assert_int_equal(0, cbor_take_int(&reader));
    check_status(UNSUPPORTED, reader_end(&reader));
}

static void every_half_float_is_written_in_two_bytes(void **state)
{
    (void)state;
    for (uint32_t half = 0; half <= UINT16_MAX; half++) {
        if ((half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0 && half != 0x7e00)
            continue; /* of the NaNs only one is deterministic */
        uint8_t in[3] = {0xf9, (uint8_t)(half >> 8), (uint8_t)half}, out[9];
        struct reader reader = reader_over(BYTES_OF(in));
        struct writer writer = writer_over(out, sizeof out);
        double value = cbor_take_double(&reader);
        check_ok(reader_end(&reader));
        cbor_put_double(&writer, value);
        check_bytes(BYTES_OF(in), writer_bytes(&writer));
    }
}

static void floats_take_the_shortest_form_that_keeps_them(void **state)
{
    (void)state;
    static const struct {
        double value;
        size_t len;
    } cases[] = {{65504, 3},          {65505, 5},          {65536, 5},       {0x1p-24, 3},     {0x1p-25, 5},
                 {0x1.8p-24, 5},      {0x1.004p-14, 3},    {0x1.002p-14, 5}, {0x1.ff8p-15, 3}, {0x1.ffcp-15, 5},
                 {0x1.fffffep127, 5}, {0x1.ffffffp127, 9}, {0x1p128, 9},     {0x1p-149, 5},    {0x1p-150, 9},
                 {0x1.000002p0, 5},   {0x1.000001p0, 9},   {-INFINITY, 3},   {NAN, 3},         {-0.0, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t out[9];
        struct writer writer = writer_over(out, sizeof out);
        cbor_put_double(&writer, cases[i].value);
        assert_int_equal(cases[i].len, writer.len);
        struct reader reader = reader_over(writer_bytes(&writer));
        double back = cbor_take_number(&reader);
        check_ok(reader_end(&reader));
        assert_true(isnan(back) ? isnan(cases[i].value) : memcmp(&back, &cases[i].value, sizeof back) == 0);
    }
}

static void numbers_are_taken_from_integers_too(void **state)
{
    (void)state;
    uint8_t room[9];
    struct reader reader = reader_over(unhex("1864", room, sizeof room));
    assert_true(cbor_take_number(&reader) == 100.0);
    reader = reader_over(unhex("3863", room, sizeof room));
    assert_true(cbor_take_number(&reader) == -100.0);
    reader = reader_over(unhex("6161", room, sizeof room));
    assert_true(cbor_take_number(&reader) == 0.0);
    check_status(MALFORMED, reader_end(&reader));
}

static void another_type_than_asked_for_is_malformed(void **state)
{
    (void)state;
    static const uint8_t items[] = {0x00, 0x20, 0x40, 0x60, 0x80, 0xa0, 0xc0, 0xf4, 0xf6, 0xf7, 0xf9, 0xe0};
    for (size_t item = 0; item < sizeof items; item++)
        for (size_t take = 0; take < 9; take++) {
            uint8_t input[3] = {items[item]};
            struct reader reader = reader_over(BYTES_OF(input));
            enum cbor_type type = cbor_peek_type(&reader);
            bool fits = false;
            switch (take) {
            case 0:
                fits = type == CBOR_UINT || type == CBOR_NINT;
                (void)cbor_take_int(&reader);
                break;
            case 1:
                fits = type == CBOR_BYTES;
                (void)cbor_take_bytes(&reader);
                break;
            case 2:
                fits = type == CBOR_TEXT;
                (void)cbor_take_text(&reader);
                break;
            case 3:
                fits = type == CBOR_ARRAY;
                (void)cbor_take_array(&reader);
                break;
            case 4:
                fits = type == CBOR_MAP;
                (void)cbor_take_map(&reader);
                break;
            case 5:
                fits = type == CBOR_TAG;
                (void)cbor_take_tag(&reader);
                break;
            case 6:
                fits = type == CBOR_BOOL;
                (void)cbor_take_bool(&reader);
                break;
            case 7:
                fits = type == CBOR_NULL;
                cbor_take_null(&reader);
                break;
            default:
                fits = type == CBOR_FLOAT;
                (void)cbor_take_double(&reader);
            }
            assert_int_equal(fits ? OK : MALFORMED, reader.status);
        }
}

static void a_map_is_walked_key_by_key(void **state)
{
    (void)state;
    uint8_t room[64];
    struct reader reader = reader_over(unhex("a5010220036161046000626162f6", room, sizeof room));
    struct cbor_map_walk walk = cbor_walk_map(&reader);
    assert_true(cbor_next_key(&reader, &walk));
    assert_int_equal(1, cbor_key_number(&walk));
    assert_int_equal(2, cbor_take_uint(&reader));
    assert_true(cbor_next_key(&reader, &walk));
    assert_int_equal(-1, cbor_key_number(&walk));
    cbor_skip(&reader);
    assert_true(cbor_next_key(&reader, &walk));
    assert_true(cbor_key_is(&walk, "a") && !cbor_key_is(&walk, "b") && !cbor_key_is(&walk, "ab"));
    cbor_skip(&reader);
    assert_false(cbor_next_key(&reader, &walk)); /* the empty text comes before "a" */
    check_status(MALFORMED, reader_end(&reader));

    reader = reader_over(unhex("a26001616102", room, sizeof room));
    walk = cbor_walk_map(&reader);
    assert_true(cbor_next_key(&reader, &walk));
    assert_true(cbor_key_is(&walk, "") && cbor_key_number(&walk) == CBOR_NO_NUMBER);
    cbor_skip(&reader);
    assert_true(cbor_next_key(&reader, &walk));
    cbor_skip(&reader);
    assert_false(cbor_next_key(&reader, &walk));
    check_ok(reader_end(&reader));
}

static void bad_keys_end_the_walk(void **state)
{
    (void)state;
    static const struct {
        const char *map;
        enum status status;
    } cases[] = {{"a201000100", MALFORMED},
                 {"a202000100", MALFORMED},
                 {"a14000", MALFORMED},
                 {"a1f400", MALFORMED},
                 {"a161ff00", MALFORMED},
                 {"a13b7fffffffffffffff00", UNSUPPORTED},
                 {"a11bffffffffffffffff00", UNSUPPORTED},
                 {"a2010020", TRUNCATED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t room[32];
        struct reader reader = reader_over(unhex(cases[i].map, room, sizeof room));
        struct cbor_map_walk walk = cbor_walk_map(&reader);
        while (cbor_next_key(&reader, &walk))
            cbor_skip(&reader);
        check_status(cases[i].status, reader_end(&reader));
    }
}

static void an_item_is_taken_as_it_stands(void **state)
{
    (void)state;
    uint8_t room[64], expected[64];
    struct reader reader = reader_over(unhex("a2008201020161618205", room, sizeof room));
    check_bytes(unhex("a200820102016161", expected, sizeof expected), cbor_take_item(&reader));
    assert_int_equal(2, reader.rest.len);
}

static void text_that_is_not_utf8_is_not_written(void **state)
{
    (void)state;
    uint8_t out[16];
    struct writer writer = writer_over(out, sizeof out);
    cbor_put_text_bytes(&writer, bytes_from("\xc3", 1));
    check_status(MALFORMED, writer_end(&writer));
}

static void check_json(const char *hex, enum status expected, const char *json)
{
    uint8_t room[128], text[256];
    struct writer writer = writer_over(text, sizeof text);
    put_text(&writer, ">");
    struct reader reader = reader_over(unhex(hex, room, sizeof room));
    enum status status = cbor_to_json(&reader, &writer);
    if (status != expected)
        fail_msg("%s: %s", hex, status_word(status));
    check_status(expected, reader.status);
    check_ok(writer_end(&writer));
    struct bytes written = writer_bytes(&writer);
    check_bytes(bytes_from_text(json), bytes_slice(written, 1, written.len - 1));
}

static void foreign_cbor_becomes_json(void **state)
{
    (void)state;
    check_json("1b0000000000000001", OK, "1");
    check_json("a2616202616101", OK, "{\"b\":2,\"a\":1}");
    check_json("bf2081f50a7f6161622c22ffff", OK, "{\"-1\":[true],\"10\":\"a,\\\"\"}");
    check_json("63000a1f", OK, "\"\\u0000\\u000a\\u001f\"");
    check_json("5f41fa", TRUNCATED, "");
    check_json("5f41fa41ffff", OK, "\"-v8\"");
    check_json("c1c2d9d9f700", OK, "0");
    check_json("fb3fb999999999999a", OK, "0.1");
    check_json("fb3fd5555555555555", OK, "0.3333333333333333");
    /* SenML (RFC 8428 §6) */
    check_json("82a2216364657622fb41d452d9ec200000a2006474656d7002f94d40", OK,
               "[{\"-2\":\"dev\",\"-3\":1363896240.5},{\"0\":\"temp\",\"2\":21}]");
}

static void what_json_cannot_say_is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "f97c00",   "f97e00",       "e0",           "ff",   "81ff", "bf01ff", "a14000", "a1f600", "a18000", "5f6161ff",
        "7f4161ff", "7f7f6161ffff", "7f61c361bcff", "61ff", "1c",   "1f",     "df00",   "9fc1ff", "a1a000", "f814"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_json(bad[i], MALFORMED, "");
    check_json("9bffffffffffffffff", TRUNCATED, "");
    check_json("5bffffffffffffffff", TRUNCATED, "");
    check_json("bb7fffffffffffffff", TRUNCATED, "");
}

static void json_without_room_leaves_the_writer_alone(void **state)
{
    (void)state;
    uint8_t room[16], text[16];
    struct bytes item = unhex("83010203", room, sizeof room);
    for (size_t cap = 0; cap <= 7; cap++) {
        struct writer writer = writer_over(text, cap);
        struct reader reader = reader_over(item);
        check_status(cap < 7 ? NO_ROOM : OK, cbor_to_json(&reader, &writer));
        assert_int_equal(cap < 7 ? 0 : 7, writer.len);
        check_ok(writer_end(&writer));
    }
}

static void a_string_of_one_length_and_a_key_are_taken_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum status fixed, key;
    } table[] = {{"42aabb", OK, MALFORMED},      {"41aa", MALFORMED, MALFORMED},   {"43aabbcc", MALFORMED, MALFORMED},
                 {"42aa", TRUNCATED, MALFORMED}, {"626161", MALFORMED, MALFORMED}, {"05", MALFORMED, OK},
                 {"04", MALFORMED, MALFORMED},   {"24", MALFORMED, MALFORMED},     {"", TRUNCATED, TRUNCATED}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t room[8], got[2] = {1, 2};
        const struct bytes input = unhex(table[i].hex, room, sizeof room);
        struct reader reader = reader_over(input);
        cbor_take_fixed(&reader, got, sizeof got);
        check_status(table[i].fixed, reader_end(&reader));
        assert_memory_equal(table[i].fixed == OK ? "\xaa\xbb" : "\1\2", got, sizeof got);
        reader = reader_over(input);
        cbor_take_key(&reader, 5);
        check_status(table[i].key, reader.status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_deterministic_is_malformed),
        cmocka_unit_test(lengths_past_the_input_are_truncated),
        cmocka_unit_test(nesting_ends_at_its_limit),
        cmocka_unit_test(integers_reach_their_limits),
        cmocka_unit_test(every_half_float_is_written_in_two_bytes),
        cmocka_unit_test(floats_take_the_shortest_form_that_keeps_them),
        cmocka_unit_test(numbers_are_taken_from_integers_too),
        cmocka_unit_test(another_type_than_asked_for_is_malformed),
        cmocka_unit_test(a_map_is_walked_key_by_key),
        cmocka_unit_test(bad_keys_end_the_walk),
        cmocka_unit_test(an_item_is_taken_as_it_stands),
        cmocka_unit_test(text_that_is_not_utf8_is_not_written),
        cmocka_unit_test(foreign_cbor_becomes_json),
        cmocka_unit_test(what_json_cannot_say_is_malformed),
        cmocka_unit_test(json_without_room_leaves_the_writer_alone),
        cmocka_unit_test(a_string_of_one_length_and_a_key_are_taken_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
