/* swtpm: its control commands and replies; the bytes of swtpm 0.7.1 itself; frames of the data channel. */
#include "check.h"

#include "swtpm.h"

#include <stdlib.h>

#define ROOM (SWTPM_REQUEST_MAX + 64)
static uint8_t room[ROOM], long_data[SWTPM_BLOB_MAX + 1];

static struct bytes from_hex(const char *text)
{
    static uint8_t bytes[512];
    struct writer writer = writer_over(bytes, sizeof bytes);
    check_ok(hex_decode(text, &writer));
    return writer_bytes(&writer);
}

static const struct swtpm_request requests[] = {
    {.command = SWTPM_GET_CAPABILITY},
    {.command = SWTPM_INIT, .of.init_flags = SWTPM_INIT_DELETE_VOLATILE},
    {.command = SWTPM_SHUTDOWN},
    {.command = SWTPM_GET_ESTABLISHED},
    {.command = SWTPM_SET_LOCALITY, .of.locality = 4},
    {.command = SWTPM_HASH_START},
    {.command = SWTPM_HASH_DATA, .of.data = {(const uint8_t *)"abc", 3}},
    {.command = SWTPM_HASH_DATA},
    {.command = SWTPM_HASH_END},
    {.command = SWTPM_CANCEL},
    {.command = SWTPM_STORE_VOLATILE},
    {.command = SWTPM_RESET_ESTABLISHED, .of.locality = 3},
    {.command = SWTPM_GET_STATE, .of.get_state = {SWTPM_STATE_DECRYPTED, SWTPM_VOLATILE, 7}},
    {.command = SWTPM_SET_STATE,
     .of.set_state = {SWTPM_STATE_ENCRYPTED, SWTPM_PERMANENT, {(const uint8_t *)"blob", 4}}},
    {.command = SWTPM_SET_STATE, .of.set_state = {0, SWTPM_SAVESTATE, {NULL, 0}}},
    {.command = SWTPM_STOP},
    {.command = SWTPM_GET_CONFIG},
    {.command = SWTPM_SET_DATAFD},
    {.command = SWTPM_SET_BUFFER_SIZE, .of.buffer_size = 4096},
    {.command = SWTPM_GET_INFO, .of.info = {7, 12}},
};
#define REQUESTS (sizeof requests / sizeof *requests)

static struct bytes encode(const struct swtpm_request *request)
{
    struct writer writer = writer_over(room, sizeof room);
    swtpm_put_request(&writer, request);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void check_same(const struct swtpm_request *a, const struct swtpm_request *b)
{
    assert_int_equal(a->command, b->command);
    if (a->command == SWTPM_HASH_DATA) {
        check_bytes(a->of.data, b->of.data);
    } else if (a->command == SWTPM_SET_STATE) {
        assert_int_equal(a->of.set_state.flags, b->of.set_state.flags);
        assert_int_equal(a->of.set_state.type, b->of.set_state.type);
        check_bytes(a->of.set_state.blob, b->of.set_state.blob);
    } else if (a->command == SWTPM_GET_STATE) {
        assert_memory_equal(&a->of.get_state, &b->of.get_state, sizeof a->of.get_state);
    } else if (a->command == SWTPM_GET_INFO) {
        assert_int_equal(a->of.info.flags, b->of.info.flags);
        assert_int_equal(a->of.info.off, b->of.info.off);
    } else if (a->command == SWTPM_SET_LOCALITY || a->command == SWTPM_RESET_ESTABLISHED) {
        assert_int_equal(a->of.locality, b->of.locality);
    } else if (a->command == SWTPM_INIT || a->command == SWTPM_SET_BUFFER_SIZE) {
        assert_int_equal(a->of.buffer_size, b->of.buffer_size);
    }
}

static void every_command_goes_there_and_back(void **state)
{
    (void)state;
    uint32_t seen = 0;
    for (size_t i = 0; i < REQUESTS; i++) {
        struct bytes encoded = encode(&requests[i]);
        struct swtpm_request back;
        size_t len = 0;
        check_ok(swtpm_request_len(encoded, &len));
        assert_int_equal(encoded.len, len);
        check_ok(swtpm_request_decode(encoded, &back));
        check_same(&requests[i], &back);
        seen |= 1u << requests[i].command;
    }
    assert_int_equal(0x7fffe, seen); /* 1 to 0x12 */
}

static void every_shorter_prefix_is_truncated_and_one_byte_more_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < REQUESTS; i++) {
        struct bytes encoded = encode(&requests[i]);
        struct swtpm_request back, untouched;
        size_t len = 99;
        memset(&back, 0x5a, sizeof back);
        untouched = back;
        for (size_t cut = 0; cut < encoded.len; cut++) {
            check_status(TRUNCATED, swtpm_request_decode(bytes_slice(encoded, 0, cut), &back));
            check_status(TRUNCATED, swtpm_request_len(bytes_slice(encoded, 0, cut), &len));
            assert_int_equal(99, len);
        }
        bool padded = requests[i].command == SWTPM_SET_LOCALITY || requests[i].command == SWTPM_RESET_ESTABLISHED;
        const size_t more = padded ? 4 : 1;
        memset(room + encoded.len, 0xff, more);
        check_status(MALFORMED, swtpm_request_decode(bytes_from(room, encoded.len + more), &back));
        assert_memory_equal(&untouched, &back, sizeof back);
        check_ok(swtpm_request_len(bytes_from(room, encoded.len + more), &len));
        assert_int_equal(encoded.len + more - 1, len);
    }
}

static void a_locality_may_bring_its_padding(void **state)
{
    (void)state;
    for (size_t padding = 0; padding <= 3; padding++) {
        struct bytes encoded = bytes_slice(from_hex("0000000502aabbcc"), 0, 5 + padding);
        struct swtpm_request back;
        check_ok(swtpm_request_decode(encoded, &back));
        assert_int_equal(2, back.of.locality);
    }
}

static void numbers_beside_the_commands_are_none(void **state)
{
    (void)state;
    static const uint32_t unknown[] = {0, 0x13, 0x14, 0x99, 0x01000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct writer writer = writer_over(room, sizeof room);
        const struct swtpm_request request = {.command = (enum swtpm_command)unknown[i]};
        struct swtpm_request back;
        size_t len;
        put_u32be(&writer, unknown[i]);
        check_status(UNSUPPORTED, swtpm_request_len(writer_bytes(&writer), &len));
        check_status(UNSUPPORTED, swtpm_request_decode(writer_bytes(&writer), &back));
        swtpm_put_request(&writer, &request);
        check_status(MALFORMED, writer_end(&writer));
    }
}

static void data_has_a_limit(void **state)
{
    (void)state;
    struct swtpm_request back, request = {.command = SWTPM_HASH_DATA, .of.data = {long_data, SWTPM_BLOB_MAX}};
    check_ok(swtpm_request_decode(encode(&request), &back));
    check_bytes(request.of.data, back.of.data);
    request = (struct swtpm_request){.command = SWTPM_SET_STATE, .of.set_state.blob = {long_data, SWTPM_BLOB_MAX}};
    assert_int_equal(SWTPM_REQUEST_MAX, encode(&request).len);
    check_ok(swtpm_request_decode(encode(&request), &back));
    check_bytes(request.of.set_state.blob, back.of.set_state.blob);
    struct writer writer = writer_over(room, sizeof room);
    request.of.set_state.blob.len++;
    swtpm_put_request(&writer, &request);
    check_status(NO_ROOM, writer_end(&writer));
    /* Announced, it is refused before it has arrived. */
    size_t len;
    check_status(NO_ROOM, swtpm_request_len(from_hex("0000000700028001"), &len));
    check_status(TRUNCATED, swtpm_request_len(from_hex("0000000700028000"), &len));
    check_status(NO_ROOM, swtpm_request_len(from_hex("0000000d0000000000000001ffffffff"), &len));
}

/* ---- Replies ---- */

static const struct {
    enum swtpm_command command;
    struct swtpm_reply reply;
} replies[] = {
    {SWTPM_GET_CAPABILITY, {.of.capabilities = SWTPM_CAPABILITIES}},
    {SWTPM_INIT, {.result = SWTPM_FAIL}},
    {SWTPM_SHUTDOWN, {0}},
    {SWTPM_GET_ESTABLISHED, {.of.established = 1}},
    {SWTPM_SET_LOCALITY, {.result = SWTPM_BAD_LOCALITY}},
    {SWTPM_GET_STATE, {.of.state = {SWTPM_STATE_ENCRYPTED, 4, {(const uint8_t *)"blob", 4}}}},
    {SWTPM_GET_STATE, {.result = SWTPM_RETRY, .of.state = {0, 0, {NULL, 0}}}},
    {SWTPM_GET_CONFIG, {.of.config = 3}},
    {SWTPM_SET_BUFFER_SIZE, {.of.buffer = {4096, 2808, 4096}}},
    {SWTPM_GET_INFO, {.of.info = {7, {(const uint8_t *)"{}", 3}}}},
};

static struct bytes encode_reply(enum swtpm_command command, const struct swtpm_reply *reply)
{
    struct writer writer = writer_over(room, sizeof room);
    swtpm_put_reply(&writer, command, reply);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void every_reply_goes_there_and_back(void **state)
{
    (void)state;
    uint8_t again[64];
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct bytes encoded = encode_reply(replies[i].command, &replies[i].reply);
        struct swtpm_reply back;
        struct writer writer = writer_over(again, sizeof again);
        check_ok(swtpm_reply_decode(replies[i].command, encoded, &back));
        swtpm_put_reply(&writer, replies[i].command, &back);
        check_bytes(encoded, writer_bytes(&writer));
        assert_int_equal(replies[i].reply.result, back.result);
    }
}

static void every_shorter_reply_is_truncated_and_one_byte_more_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct bytes encoded = encode_reply(replies[i].command, &replies[i].reply);
        struct swtpm_reply back;
        for (size_t cut = 0; cut < encoded.len; cut++) {
            const bool refusal = cut == 4 && replies[i].reply.result != SWTPM_OK;
            check_status(refusal ? OK : TRUNCATED,
                         swtpm_reply_decode(replies[i].command, bytes_slice(encoded, 0, cut), &back));
        }
        room[encoded.len] = 0;
        check_status(MALFORMED, swtpm_reply_decode(replies[i].command, bytes_from(room, encoded.len + 1), &back));
    }
}

static void a_refusal_is_the_result_alone_a_success_never(void **state)
{
    (void)state;
    struct swtpm_reply back;
    for (unsigned command = SWTPM_GET_CAPABILITY; command <= SWTPM_GET_INFO; command++) {
        const struct swtpm_reply refused = {.result = SWTPM_BAD_ORDINAL, .bare = true};
        struct bytes encoded = encode_reply((enum swtpm_command)command, &refused);
        check_bytes(from_hex("0000000a"), encoded);
        check_ok(swtpm_reply_decode((enum swtpm_command)command, encoded, &back));
        assert_int_equal(SWTPM_BAD_ORDINAL, back.result);
    }
    check_status(TRUNCATED, swtpm_reply_decode(SWTPM_GET_STATE, from_hex("00000000"), &back));
}

static void replies_that_contradict_themselves_are_malformed_and_their_limits_hold(void **state)
{
    (void)state;
    struct swtpm_reply back, reply = {.of.info = {SWTPM_INFO_MAX + 1, {long_data, SWTPM_INFO_MAX}}};
    check_status(MALFORMED, swtpm_reply_decode(SWTPM_GET_ESTABLISHED, from_hex("0000000002000000"), &back));
    check_status(MALFORMED,
                 swtpm_reply_decode(SWTPM_GET_STATE, from_hex("0000000000000000000000010000000200aa"), &back));
    check_status(MALFORMED, swtpm_reply_decode(SWTPM_GET_INFO, from_hex("00000000000000010000000200aa"), &back));
    check_ok(swtpm_reply_decode(SWTPM_GET_INFO, encode_reply(SWTPM_GET_INFO, &reply), &back));
    struct writer writer = writer_over(room, sizeof room);
    reply.of.info.text.len++;
    swtpm_put_reply(&writer, SWTPM_GET_INFO, &reply);
    check_status(NO_ROOM, writer_end(&writer));
    reply = (struct swtpm_reply){.of.state = {0, SWTPM_BLOB_MAX, {long_data, SWTPM_BLOB_MAX}}};
    check_ok(swtpm_reply_decode(SWTPM_GET_STATE, encode_reply(SWTPM_GET_STATE, &reply), &back));
    writer = writer_over(room, sizeof room);
    reply.of.state.blob.len++;
    swtpm_put_reply(&writer, SWTPM_GET_STATE, &reply);
    check_status(NO_ROOM, writer_end(&writer));
}

/* As swtpm 0.7.1 answered on Debian 12. */
static void the_bytes_of_swtpm_itself_are_understood(void **state)
{
    (void)state;
    struct swtpm_reply got;
    check_ok(swtpm_reply_decode(SWTPM_GET_CAPABILITY, from_hex("000000000000ffff"), &got));
    assert_int_equal(SWTPM_CAPABILITIES, got.of.capabilities);
    check_ok(swtpm_reply_decode(SWTPM_GET_ESTABLISHED, from_hex("0000000001000000"), &got));
    assert_int_equal(1, got.of.established);
    check_ok(swtpm_reply_decode(SWTPM_GET_ESTABLISHED, from_hex("0000000a"), &got));
    assert_true(got.bare);
    check_ok(swtpm_reply_decode(SWTPM_SET_BUFFER_SIZE, from_hex("000000000000100000000af800001000"), &got));
    assert_int_equal(4096, got.of.buffer.used);
    assert_int_equal(2808, got.of.buffer.min);
    check_ok(swtpm_reply_decode(SWTPM_GET_STATE, from_hex("00000800000000000000000000000000"), &got));
    assert_int_equal(SWTPM_RETRY, got.result);
    check_ok(swtpm_reply_decode(SWTPM_GET_INFO, from_hex("0000000000000003000000037b7d00"), &got));
    check_bytes(BYTES_OF("{}"), got.of.info.text);
    check_ok(swtpm_reply_decode(SWTPM_GET_CONFIG, from_hex("0000000000000000"), &got));
    assert_int_equal(0, got.of.config);
}

/* ---- The data channel ---- */

#define GET_RANDOM "80010000000c0000017b0008"

static void a_tpm_command_is_framed_by_its_own_length(void **state)
{
    (void)state;
    struct swtpm_tpm_command got;
    struct bytes plain = from_hex(GET_RANDOM);
    size_t len = 0;
    for (size_t cut = 0; cut < plain.len; cut++)
        check_status(TRUNCATED, swtpm_tpm_decode(bytes_slice(plain, 0, cut), &got));
    check_ok(swtpm_tpm_decode(plain, &got));
    check_bytes(plain, got.command);
    assert_int_equal(0x17b, got.code);
    assert_false(got.prefixed);
    check_status(MALFORMED, swtpm_tpm_decode(from_hex(GET_RANDOM "00"), &got));
    check_ok(swtpm_tpm_len(from_hex(GET_RANDOM "8001"), &len));
    assert_int_equal(12, len);
    check_status(MALFORMED, swtpm_tpm_len(from_hex("800100000009"), &len));
    check_status(NO_ROOM, swtpm_tpm_len(from_hex("800100001001"), &len));
    check_status(TRUNCATED, swtpm_tpm_len(from_hex("800100001000"), &len));
    check_status(TRUNCATED, swtpm_tpm_len(from_hex("80010000000a"), &len));
}

static void a_prefix_says_locality_and_the_same_length(void **state)
{
    (void)state;
    struct swtpm_tpm_command got;
    struct bytes prefixed = from_hex("00000008030000000c" GET_RANDOM);
    for (size_t cut = 0; cut < prefixed.len; cut++)
        check_status(TRUNCATED, swtpm_tpm_decode(bytes_slice(prefixed, 0, cut), &got));
    check_ok(swtpm_tpm_decode(prefixed, &got));
    assert_true(got.prefixed);
    assert_int_equal(3, got.locality);
    assert_int_equal(12, got.command.len);
    assert_int_equal(0x17b, got.code);
    check_status(MALFORMED, swtpm_tpm_decode(from_hex("00000008030000000c" GET_RANDOM "00"), &got));
    check_status(MALFORMED, swtpm_tpm_decode(from_hex("00000008030000000b" GET_RANDOM), &got));
    check_status(MALFORMED, swtpm_tpm_decode(from_hex("00000009030000000c" GET_RANDOM), &got));
}

static void a_response_is_wrapped_as_its_command_was(void **state)
{
    (void)state;
    struct writer writer = writer_over(room, sizeof room);
    swtpm_put_response(&writer, true, from_hex("80010000000a00000101"));
    check_bytes(from_hex("0000000a80010000000a0000010100000000"), writer_bytes(&writer));
    writer = writer_over(room, sizeof room);
    swtpm_put_response(&writer, false, from_hex("80010000000a00000101"));
    check_bytes(from_hex("80010000000a00000101"), writer_bytes(&writer));
    writer = writer_over(room, sizeof room);
    swtpm_put_response(&writer, false, bytes_from(long_data, SWTPM_TPM_MAX));
    check_ok(writer_end(&writer));
    writer = writer_over(room, sizeof room);
    swtpm_put_response(&writer, false, bytes_from(long_data, SWTPM_TPM_MAX + 1));
    check_status(NO_ROOM, writer_end(&writer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_goes_there_and_back),
        cmocka_unit_test(every_shorter_prefix_is_truncated_and_one_byte_more_is_refused),
        cmocka_unit_test(a_locality_may_bring_its_padding),
        cmocka_unit_test(numbers_beside_the_commands_are_none),
        cmocka_unit_test(data_has_a_limit),
        cmocka_unit_test(every_reply_goes_there_and_back),
        cmocka_unit_test(every_shorter_reply_is_truncated_and_one_byte_more_is_refused),
        cmocka_unit_test(a_refusal_is_the_result_alone_a_success_never),
        cmocka_unit_test(replies_that_contradict_themselves_are_malformed_and_their_limits_hold),
        cmocka_unit_test(the_bytes_of_swtpm_itself_are_understood),
        cmocka_unit_test(a_tpm_command_is_framed_by_its_own_length),
        cmocka_unit_test(a_prefix_says_locality_and_the_same_length),
        cmocka_unit_test(a_response_is_wrapped_as_its_command_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
