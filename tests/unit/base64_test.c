/* base64url without padding: RFC 4648 §10 vectors, and one text for each string of bytes. */
#include "check.h"

#include "base.h"

static void published_vectors_go_both_ways(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"},
        {"\x09\x25", "CSU"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct bytes plain = bytes_from_text(pairs[i][0]);
        char text[16];
        assert_int_equal(base64url_encode(plain, text, sizeof text), OK);
        assert_string_equal(text, pairs[i][1]);
        uint8_t buffer[16];
        struct writer writer = writer_over(buffer, sizeof buffer);
        assert_int_equal(base64url_decode(text, &writer), OK);
        assert_true(bytes_equal(writer_bytes(&writer), plain));
    }
}

static void every_length_up_to_three_groups_goes_round(void **state)
{
    (void)state;
    uint8_t plain[12];
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 37 + 200);
    for (size_t len = 0; len <= sizeof plain; len++) {
        char text[17];
        assert_int_equal(base64url_encode(bytes_from(plain, len), text, sizeof text), OK);
        assert_int_equal(strlen(text), (len * 4 + 2) / 3);
        uint8_t buffer[12];
        struct writer writer = writer_over(buffer, len);
        assert_int_equal(base64url_decode(text, &writer), OK);
        assert_true(bytes_equal(writer_bytes(&writer), bytes_from(plain, len)));
    }
}

static void text_needs_its_length_and_a_nul(void **state)
{
    (void)state;
    char text[8] = "before";
    assert_int_equal(base64url_encode(bytes_from_text("fo"), text, 3), NO_ROOM);
    assert_string_equal(text, "before");
    assert_int_equal(base64url_encode(bytes_from_text("fo"), text, 0), NO_ROOM);
    assert_int_equal(base64url_encode(bytes_from_text("fo"), text, 4), OK);
    assert_string_equal(text, "Zm8");
}

static void every_other_text_is_refused_and_nothing_is_written(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z",    "Zm9vY",  "Zg==", "Zg=", "Zm+v", "Zm/v",
                                      "Zm v", "Zm9v\n", "Zh",   "Zm9", "AB",   "AAB"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t buffer[16];
        struct writer writer = writer_over(buffer, sizeof buffer);
        assert_int_equal(base64url_decode(bad[i], &writer), MALFORMED);
        assert_int_equal(writer.len, 0);
    }
}

static void bytes_without_room_fail_the_writer(void **state)
{
    (void)state;
    uint8_t buffer[2];
    struct writer writer = writer_over(buffer, sizeof buffer);
    assert_int_equal(base64url_decode("Zm9v", &writer), NO_ROOM);
    assert_int_equal(writer.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_go_both_ways),
        cmocka_unit_test(every_length_up_to_three_groups_goes_round),
        cmocka_unit_test(text_needs_its_length_and_a_nul),
        cmocka_unit_test(every_other_text_is_refused_and_nothing_is_written),
        cmocka_unit_test(bytes_without_room_fail_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
