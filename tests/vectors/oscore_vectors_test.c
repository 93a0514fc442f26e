/* RFC 8613, Appendix C: derivations (C.1 to C.3), requests (C.4 to C.6) and responses (C.7, C.8), octet by octet. */
#include "check.h"
#include "oscore.h"

#include <string.h>

#define MASTER_SECRET "0102030405060708090a0b0c0d0e0f10"
#define MASTER_SALT "9e7ca92223786340"
#define CONTEXT_C3 "37cbf3210017a2d3"

static const uint8_t fresh[OSCORE_PART_LEN];

static size_t unhex(const char *text, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    assert_int_equal(hex_decode(text, &writer), OK);
    return writer.len;
}

static void make_input(struct oscore_input *input, const char *salt, const char *sender, const char *recipient)
{
    *input = (struct oscore_input){.aead = CRYPTO_AES_CCM_16_64_128};
    input->master_secret.len = unhex(MASTER_SECRET, input->master_secret.data, 16);
    input->master_salt_len = unhex(salt, input->master_salt, sizeof input->master_salt);
    input->sender.len = unhex(sender, input->sender.data, sizeof input->sender.data);
    input->recipient.len = unhex(recipient, input->recipient.data, sizeof input->recipient.data);
}

static void expect(struct bytes got, const char *want)
{
    char text[512];
    assert_int_equal(hex_encode(got, text, sizeof text), OK);
    assert_string_equal(text, want);
}

static void common_ivs_are_those_of_c1_to_c3(void **state)
{
    (void)state;
    static const struct {
        const char *salt, *sender, *recipient, *id_context, *iv;
    } rows[] = {
        {MASTER_SALT, "", "01", NULL, "4622d4dd6d944168eefb54987c"},
        {MASTER_SALT, "01", "", NULL, "4622d4dd6d944168eefb54987c"},
        {"", "00", "01", NULL, "be35ae297d2dace910c52e99f9"},
        {"", "01", "00", NULL, "be35ae297d2dace910c52e99f9"},
        {MASTER_SALT, "", "01", CONTEXT_C3, "2ca58fb85ff1b81c0b7181b85e"},
        {MASTER_SALT, "01", "", CONTEXT_C3, "2ca58fb85ff1b81c0b7181b85e"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct oscore_input input;
        struct oscore_context context;
        uint8_t room[8];
        make_input(&input, rows[i].salt, rows[i].sender, rows[i].recipient);
        struct bytes id = {0};
        if (rows[i].id_context)
            id = bytes_from(room, unhex(rows[i].id_context, room, sizeof room));
        assert_int_equal(oscore_context_init(&context, &input, rows[i].id_context ? &id : NULL, 0), OK);
        expect(bytes_from(context.common_iv, 13), rows[i].iv);
        oscore_context_done(&context);
    }
}

/* A datagram without its token is a body but for its first bytes: code, then what follows the token. */
static struct bytes body_of(const char *datagram, uint8_t *room, size_t cap)
{
    size_t len = unhex(datagram, room, cap);
    room[7] = room[1];
    return bytes_from(room + 7, len - 7);
}

static void requests_and_their_openings_are_those_of_c4_to_c6(void **state)
{
    (void)state;
    static const struct {
        const char *salt, *sender, *recipient, *id_context, *plain, *outer;
    } rows[] = {
        {MASTER_SALT, "", "01", NULL, "44015d1f00003974396c6f63616c686f737483747631",
         "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e"},
        {"", "00", "01", NULL, "440171c30000b932396c6f63616c686f737483747631",
         "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0"},
        {MASTER_SALT, "", "01", CONTEXT_C3, "44012f8eef9bbf7a396c6f63616c686f737483747631",
         "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe55c3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct oscore_input input, mirrored;
        struct oscore_session client, server;
        struct oscore_request request, seen;
        struct coap_body message, outer, inner;
        uint8_t plain_room[64], want_room[64], got_room[128], opened[128], id_room[8], challenge_room[128];
        make_input(&input, rows[i].salt, rows[i].sender, rows[i].recipient);
        oscore_input_mirror(&input, &mirrored);
        assert_int_equal(oscore_session_init(&client, OSCORE_CLIENT, &input), OK);
        assert_int_equal(oscore_session_init(&server, OSCORE_SERVER, &mirrored), OK);
        struct bytes id = {0}, *given = NULL;
        if (rows[i].id_context) {
            id = bytes_from(id_room, unhex(rows[i].id_context, id_room, sizeof id_room));
            given = &id;
        }
        assert_int_equal(oscore_session_fix(&client, given, 20), OK);
        assert_int_equal(oscore_session_fix(&server, given, 0), OK);
        if (given) { /* a context not proved yet is named in the request, as C.6 does */
            client.begun = client.current;
            client.current = (struct oscore_context){0};
        }
        assert_int_equal(coap_body_decode(body_of(rows[i].plain, plain_room, sizeof plain_room), &message), OK);
        struct writer got = writer_over(got_room, sizeof got_room);
        assert_int_equal(oscore_protect_request(&client, &message, fresh, &request, &got), OK);
        struct bytes want = body_of(rows[i].outer, want_room, sizeof want_room);
        assert_int_equal(got.len, want.len);
        assert_memory_equal(got.data, want.data, want.len);

        struct writer plain = writer_over(opened, sizeof opened);
        struct writer challenge = writer_over(challenge_room, sizeof challenge_room);
        assert_int_equal(coap_body_decode(writer_bytes(&got), &outer), OK);
        assert_int_equal(oscore_unprotect_request(&server, &outer, fresh, &seen, &plain, &inner, &challenge), OK);
        expect(writer_bytes(&plain), "01b3747631");
        plain = writer_over(opened, sizeof opened);
        assert_int_equal(oscore_unprotect_request(&server, &outer, fresh, &seen, &plain, &inner, &challenge), REPLAYED);
        oscore_session_done(&client);
        oscore_session_done(&server);
    }
}

static void responses_are_those_of_c7_and_c8(void **state)
{
    (void)state;
    static const char *const outers[] = {"64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106",
                                         "64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e"};
    for (size_t i = 0; i < 2; i++) {
        struct oscore_input input, mirrored;
        struct oscore_session client, server;
        struct oscore_request asked, seen;
        struct coap_body message, outer, inner;
        uint8_t room[64], want_room[64], got_room[128], opened[128], challenge_room[128];
        make_input(&input, MASTER_SALT, "", "01");
        oscore_input_mirror(&input, &mirrored);
        assert_int_equal(oscore_session_init(&client, OSCORE_CLIENT, &input), OK);
        assert_int_equal(oscore_session_init(&server, OSCORE_SERVER, &mirrored), OK);
        assert_int_equal(oscore_session_fix(&client, NULL, 20), OK);
        assert_int_equal(oscore_session_fix(&server, NULL, 0), OK);
        struct writer got = writer_over(got_room, sizeof got_room), plain = writer_over(opened, sizeof opened);
        struct writer challenge = writer_over(challenge_room, sizeof challenge_room);
        struct bytes text = body_of("44015d1f00003974396c6f63616c686f737483747631", room, sizeof room);
        assert_int_equal(coap_body_decode(text, &message), OK);
        assert_int_equal(oscore_protect_request(&client, &message, fresh, &asked, &got), OK);
        assert_int_equal(coap_body_decode(writer_bytes(&got), &outer), OK);
        assert_int_equal(oscore_unprotect_request(&server, &outer, fresh, &seen, &plain, &inner, &challenge), OK);

        text = body_of("64455d1f00003974ff48656c6c6f20576f726c6421", room, sizeof room);
        assert_int_equal(coap_body_decode(text, &message), OK);
        struct writer answer = writer_over(got_room, sizeof got_room);
        assert_int_equal(oscore_protect_response(&server, &seen, &message, i == 1, &answer), OK);
        struct bytes want = body_of(outers[i], want_room, sizeof want_room);
        assert_int_equal(answer.len, want.len);
        assert_memory_equal(answer.data, want.data, want.len);
        assert_int_equal(coap_body_decode(want, &outer), OK);
        for (size_t bit = 0; bit < 8 * outer.payload.len; bit++) { /* every flipped bit is noticed */
            uint8_t *byte = want_room + (outer.payload.data - want_room) + bit / 8;
            *byte ^= (uint8_t)(1 << bit % 8);
            plain = writer_over(opened, sizeof opened);
            assert_int_equal(oscore_unprotect_response(&client, &asked, &outer, &plain, &inner), AUTH);
            *byte ^= (uint8_t)(1 << bit % 8);
        }
        plain = writer_over(opened, sizeof opened);
        assert_int_equal(oscore_unprotect_response(&client, &asked, &outer, &plain, &inner), OK);
        expect(inner.payload, "48656c6c6f20576f726c6421");
        oscore_session_done(&client);
        oscore_session_done(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(common_ivs_are_those_of_c1_to_c3),
        cmocka_unit_test(requests_and_their_openings_are_those_of_c4_to_c6),
        cmocka_unit_test(responses_are_those_of_c7_and_c8),
    };
    assert_int_equal(crypto_init(), OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
