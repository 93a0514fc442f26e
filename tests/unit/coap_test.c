/* coap: messages, bodies and options on the wire. */
#include "check.h"

#include "coap.h"

/* CON POST 0x1234, token 4 bytes, Uri-Path "events", Content-Format 50, payload "{}". */
static const uint8_t post[] = {0x44, 0x02, 0x12, 0x34, 0xa1, 0xa2, 0xa3, 0xa4, 0xb6, 'e',
                               'v',  'e',  'n',  't',  's',  0x11, 50,   0xff, '{',  '}'};

static void a_message_is_read_and_written_back(void **state)
{
    (void)state;
    struct coap_message message;
    check_ok(coap_message_decode(BYTES_OF(post), &message));
    assert_int_equal(COAP_CON, message.type);
    assert_int_equal(COAP_POST, message.body.code);
    assert_int_equal(0x1234, message.message_id);
    check_bytes(bytes_from(post + 4, 4), message.token);
    check_bytes(bytes_from_text("{}"), message.body.payload);
    uint8_t out[sizeof post];
    struct writer writer = writer_over(out, sizeof out);
    coap_message_encode(&writer, &message);
    check_bytes(BYTES_OF(post), writer_bytes(&writer));
    struct writer small = writer_over(out, sizeof out - 1);
    coap_message_encode(&small, &message);
    check_status(NO_ROOM, writer_end(&small));
}

/* Where a prefix ends between two options, or just before the marker, it is a message of its own. */
static void every_shorter_prefix_is_refused_or_shorter(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof post; len++) {
        struct coap_message message = {.message_id = 77};
        enum status status = coap_message_decode(bytes_from(post, len), &message);
        bool whole = len == 8 || len == 15 || len == 17 || len == 19;
        enum status expected = whole ? OK : len == 18 ? MALFORMED : TRUNCATED;
        check_status(expected, status);
        if (!whole)
            assert_int_equal(77, message.message_id);
    }
}

static enum status decode(struct bytes datagram)
{
    struct coap_message message;
    return coap_message_decode(datagram, &message);
}

static void an_empty_message_is_four_bytes(void **state)
{
    (void)state;
    const uint8_t exact[] = {0x60, 0, 1, 2};
    const uint8_t extra[] = {0x60, 0, 1, 2, 0x10};
    const uint8_t token[] = {0x61, 0, 1, 2, 9};
    check_ok(decode(BYTES_OF(exact)));
    check_status(MALFORMED, decode(BYTES_OF(extra)));
    check_status(MALFORMED, decode(BYTES_OF(token)));
}

static void versions_and_token_lengths_are_checked(void **state)
{
    (void)state;
    uint8_t message[4 + 9] = {0x40 | 8, 1};
    check_ok(decode(bytes_from(message, 12)));
    message[0] = 0x40 | 9;
    check_status(MALFORMED, decode(BYTES_OF(message)));
    for (int version = 0; version < 4; version++) {
        message[0] = (uint8_t)(version << 6);
        check_status(version == 1 ? OK : UNSUPPORTED, decode(bytes_from(message, 4)));
    }
    const uint8_t long_token[9] = {0};
    struct coap_message refused = {.token = BYTES_OF(long_token), .body.code = COAP_GET};
    uint8_t out[64];
    struct writer writer = writer_over(out, sizeof out);
    coap_message_encode(&writer, &refused);
    check_status(NO_ROOM, writer_end(&writer));
}

static enum status decode_options(const void *options, size_t len)
{
    uint8_t input[600] = {COAP_GET};
    struct coap_body body;
    memcpy(input + 1, options, len);
    return coap_body_decode(bytes_from(input, len + 1), &body);
}

static void reserved_and_overflowing_options_are_malformed(void **state)
{
    (void)state;
    check_status(MALFORMED, decode_options("\xf0", 1));             /* delta 15 */
    check_status(MALFORMED, decode_options("\x0f", 1));             /* length 15 */
    check_status(MALFORMED, decode_options("\xff", 1));             /* marker, no payload */
    check_ok(decode_options("\xe0\xfe\xf2", 3));                    /* 269 + 0xfef2 = 65535 */
    check_status(MALFORMED, decode_options("\xe0\xfe\xf3", 3));     /* 65536 */
    check_status(MALFORMED, decode_options("\xe0\xfe\xf2\x10", 4)); /* 65535 + 1 */
    check_status(TRUNCATED, decode_options("\x0e\xff\xff", 3));     /* length past the end */
    check_status(TRUNCATED, coap_body_decode((struct bytes){0}, &(struct coap_body){0}));
}

static void deltas_and_lengths_change_form_at_13_and_269(void **state)
{
    (void)state;
    static const uint16_t edges[] = {0, 12, 13, 14, 268, 269, 270, 300};
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < 8; j++) {
            uint8_t value[300] = {7};
            uint8_t out[700];
            struct writer writer = writer_over(out, sizeof out);
            struct coap_option_writer options = coap_options_to(&writer);
            coap_put_option(&options, edges[i], bytes_from(value, edges[j]));
            check_ok(writer_end(&writer));
            size_t head = 1 + (edges[i] >= 269 ? 2u : edges[i] >= 13) + (edges[j] >= 269 ? 2u : edges[j] >= 13);
            assert_int_equal(head + edges[j], writer.len);
            struct coap_option_reader reader = coap_options_over(writer_bytes(&writer));
            struct coap_option option;
            assert_true(coap_option_next(&reader, &option));
            assert_int_equal(edges[i], option.number);
            check_bytes(bytes_from(value, edges[j]), option.value);
            assert_false(coap_option_next(&reader, &option));
            check_ok(coap_options_end(&reader));
        }
    }
}

static void options_are_written_in_ascending_order_only(void **state)
{
    (void)state;
    uint8_t out[64];
    struct writer writer = writer_over(out, sizeof out);
    struct coap_option_writer options = coap_options_to(&writer);
    coap_put_option_uint(&options, COAP_URI_PATH, 1);
    coap_put_option_uint(&options, COAP_URI_PATH, 2);
    check_ok(writer_end(&writer));
    coap_put_option_uint(&options, COAP_OBSERVE, 0);
    check_status(WRONG_STATE, writer_end(&writer));
}

static void unsigned_options_take_the_shortest_form(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 1, 255, 256, 65535, 65536, 0xffffff, 0x1000000, UINT32_MAX};
    static const size_t lens[] = {0, 1, 1, 2, 2, 3, 3, 4, 4};
    for (size_t i = 0; i < 9; i++) {
        uint8_t out[16];
        struct writer writer = writer_over(out, sizeof out);
        struct coap_option_writer options = coap_options_to(&writer);
        coap_put_option_uint(&options, COAP_OBSERVE, values[i]);
        assert_int_equal(1 + lens[i], writer.len);
        uint32_t value = 1;
        check_ok(coap_option_find_uint(writer_bytes(&writer), COAP_OBSERVE, &value));
        assert_int_equal(values[i], value);
    }
    uint32_t value = 5;
    check_ok(coap_option_uint(bytes_from("\0\0\1", 3), &value));
    assert_int_equal(1, value);
    check_status(MALFORMED, coap_option_uint(bytes_from("\0\0\0\0\1", 5), &value));
    check_status(NOT_FOUND, coap_option_find_uint((struct bytes){0}, COAP_OBSERVE, &value));
    assert_int_equal(1, value);
}

static enum status check_one(uint16_t number, size_t len, int times, uint16_t *bad)
{
    static uint8_t out[5000];
    static const uint8_t value[1100];
    struct writer writer = writer_over(out, sizeof out);
    struct coap_option_writer options = coap_options_to(&writer);
    for (int i = 0; i < times; i++)
        coap_put_option(&options, number, bytes_from(value, len));
    check_ok(writer_end(&writer));
    return coap_options_check(writer_bytes(&writer), bad);
}

static void critical_options_must_follow_their_rule(void **state)
{
    (void)state;
    static const uint16_t numbers[] = {1,  3,  4,  5,  6,  7,  8,  9,  11,  12,  14, 15,
                                       17, 20, 23, 27, 28, 35, 39, 60, 252, 258, 292};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct coap_option_rule *rule = coap_option_rule(numbers[i]);
        assert_non_null(rule);
        uint16_t bad = 0;
        enum status refused = coap_option_is_critical(numbers[i]) ? UNSUPPORTED : OK;
        check_ok(check_one(numbers[i], rule->min, 1, &bad));
        check_ok(check_one(numbers[i], rule->max, 1, &bad));
        check_status(refused, check_one(numbers[i], rule->max + 1u, 1, &bad));
        if (rule->min > 0)
            check_status(refused, check_one(numbers[i], rule->min - 1u, 1, &bad));
        check_status(rule->repeatable ? OK : refused, check_one(numbers[i], rule->min, 2, &bad));
        assert_int_equal(refused == OK ? 0 : numbers[i], bad ? bad : 0);
    }
    uint16_t bad = 0;
    check_status(UNSUPPORTED, check_one(2049, 0, 1, &bad));
    assert_int_equal(2049, bad);
    check_ok(check_one(2050, 0, 1, &bad));
    assert_null(coap_option_rule(2049));
}

static struct bytes segments(uint8_t out[64], const char *text)
{
    struct writer writer = writer_over(out, 64);
    struct coap_option_writer options = coap_options_to(&writer);
    coap_put_segments(&options, COAP_URI_PATH, text, '/');
    return writer_bytes(&writer);
}

static void a_path_is_split_and_joined(void **state)
{
    (void)state;
    static const char *const paths[] = {"", "a", "a/b", "rules/7/test", "a//b", "a/"};
    for (size_t i = 0; i < 6; i++) {
        uint8_t out[64];
        char text[64];
        struct writer writer = writer_over(text, sizeof text);
        check_ok(coap_join_segments(segments(out, paths[i]), COAP_URI_PATH, '/', &writer));
        check_bytes(bytes_from_text(paths[i]), writer_bytes(&writer));
    }
    uint8_t out[64];
    uint8_t with_slash[64];
    assert_int_equal(0, segments(out, "/").len);
    check_bytes(segments(out, "a/b"), segments(with_slash, "/a/b"));
}

static void a_segment_that_would_read_as_another_path_is_denied(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        size_t len;
    } segment[] = {{"a/b", 3}, {"a\0b", 3}, {"", 0}};
    for (size_t i = 0; i < 3; i++) {
        uint8_t out[64];
        char text[64];
        struct writer writer = writer_over(out, sizeof out);
        struct coap_option_writer options = coap_options_to(&writer);
        coap_put_option(&options, COAP_URI_PATH, bytes_from(segment[i].value, segment[i].len));
        struct writer joined = writer_over(text, sizeof text);
        check_status(DENIED, coap_join_segments(writer_bytes(&writer), COAP_URI_PATH, '/', &joined));
    }
}

static void blocks_are_packed_as_num_more_szx(void **state)
{
    (void)state;
    static const struct coap_block blocks[] = {
        {0, false, 0}, {0, true, 6}, {1, false, 6}, {COAP_BLOCK_NUM_MAX, true, 6}};
    static const size_t lens[] = {0, 1, 1, 3};
    for (size_t i = 0; i < 4; i++) {
        uint8_t out[16];
        struct writer writer = writer_over(out, sizeof out);
        struct coap_option_writer options = coap_options_to(&writer);
        coap_put_block(&options, COAP_BLOCK1, blocks[i]);
        check_ok(writer_end(&writer));
        assert_int_equal(2 + lens[i], writer.len);
        struct coap_block block;
        check_ok(coap_block_find(writer_bytes(&writer), COAP_BLOCK1, &block));
        assert_int_equal(blocks[i].num, block.num);
        assert_int_equal(blocks[i].more, block.more);
        assert_int_equal(blocks[i].szx, block.szx);
    }
    struct coap_block block;
    check_status(UNSUPPORTED, coap_block_decode(bytes_from("\x07", 1), &block));
    check_status(MALFORMED, coap_block_decode(bytes_from("\0\0\0\0", 4), &block));
    uint8_t out[16];
    struct writer writer = writer_over(out, sizeof out);
    struct coap_option_writer options = coap_options_to(&writer);
    coap_put_block(&options, COAP_BLOCK1, (struct coap_block){COAP_BLOCK_NUM_MAX + 1, false, 6});
    check_status(NO_ROOM, writer_end(&writer));
}

static void codes_have_a_class_a_detail_and_a_text(void **state)
{
    (void)state;
    char text[COAP_CODE_TEXT];
    coap_code_text(COAP_CONTENT, text);
    assert_string_equal("2.05", text);
    coap_code_text(COAP_TOO_MANY_REQUESTS, text);
    assert_string_equal("4.29", text);
    int requests = 0;
    int responses = 0;
    for (unsigned code = 0; code < 256; code++) {
        requests += coap_code_is_request((uint8_t)code);
        responses += coap_code_is_response((uint8_t)code);
        assert_int_equal(code, COAP_CODE(coap_code_class((uint8_t)code), coap_code_detail((uint8_t)code)));
    }
    assert_int_equal(31, requests);
    assert_int_equal(96, responses);
}

/* RFC 8613 Appendix C.4: the plaintext of GET /tv1 is 01 b3 74 76 31. */
static void a_body_is_the_oscore_plaintext(void **state)
{
    (void)state;
    uint8_t out[64];
    uint8_t options[64];
    struct coap_body body = {.code = COAP_GET, .options = segments(options, "tv1")};
    struct writer writer = writer_over(out, sizeof out);
    coap_body_encode(&writer, &body);
    check_bytes(bytes_from("\x01\xb3\x74\x76\x31", 5), writer_bytes(&writer));
    body = (struct coap_body){COAP_CONTENT, {0}, bytes_from_text("Hello World!")};
    writer = writer_over(out, sizeof out);
    coap_body_encode(&writer, &body);
    check_bytes(bytes_from("\x45\xffHello World!", 14), writer_bytes(&writer));
    body.options = bytes_from("\xff\x01", 2);
    writer = writer_over(out, sizeof out);
    coap_body_encode(&writer, &body);
    check_status(MALFORMED, writer_end(&writer));
}

static void an_endpoint_needs_its_memory_and_a_possible_configuration(void **state)
{
    (void)state;
    static uint8_t memory[4 << 20] __attribute__((aligned(16)));
    const uint8_t seed[COAP_SEED_LEN] = {1};
    struct coap_config config = {.exchange_count = 4, .recent_count = 8, .body_count = 1, .body_cap = 2048};
    struct coap_endpoint *endpoint = NULL;
    size_t needed = coap_memory_needed(&config);
    assert_true(needed > 0 && needed <= sizeof memory);
    check_status(NO_ROOM, coap_init(&config, seed, memory, needed - 1, &endpoint));
    assert_null(endpoint);
    check_ok(coap_init(&config, seed, memory, needed, &endpoint));
    assert_int_equal(COAP_NEVER, coap_next_timeout(endpoint, 0));
    config.recent_count = 7;
    assert_int_equal(0, coap_memory_needed(&config));
    check_status(UNSUPPORTED, coap_init(&config, seed, memory, sizeof memory, &endpoint));
    config = (struct coap_config){.exchange_count = 65536, .recent_count = 1 << 20};
    assert_int_equal(0, coap_memory_needed(&config));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_read_and_written_back),
        cmocka_unit_test(every_shorter_prefix_is_refused_or_shorter),
        cmocka_unit_test(an_empty_message_is_four_bytes),
        cmocka_unit_test(versions_and_token_lengths_are_checked),
        cmocka_unit_test(reserved_and_overflowing_options_are_malformed),
        cmocka_unit_test(deltas_and_lengths_change_form_at_13_and_269),
        cmocka_unit_test(options_are_written_in_ascending_order_only),
        cmocka_unit_test(unsigned_options_take_the_shortest_form),
        cmocka_unit_test(critical_options_must_follow_their_rule),
        cmocka_unit_test(a_path_is_split_and_joined),
        cmocka_unit_test(a_segment_that_would_read_as_another_path_is_denied),
        cmocka_unit_test(blocks_are_packed_as_num_more_szx),
        cmocka_unit_test(codes_have_a_class_a_detail_and_a_text),
        cmocka_unit_test(a_body_is_the_oscore_plaintext),
        cmocka_unit_test(an_endpoint_needs_its_memory_and_a_possible_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
