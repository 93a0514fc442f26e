/* RFC 8613, Appendix C: derivations (C.1 to C.3), requests (C.4 to C.6) and responses (C.7, C.8), octet by octet. */
#include "check.h"
#include "oscore_internal.h"

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

/* Keys stay inside libcrypto's contexts: two are equal when what one seals the other opens. The sender's seals only,
 * the recipient's opens only. */
static void expect_key(struct crypto_aead *derived, const char *want)
{
    static const uint8_t nonce[13] = {0x5a};
    uint8_t key[16], sealed_room[64], opened_room[64];
    struct crypto_aead given;
    struct bytes text = bytes_from_text("one way");
    assert_int_equal(unhex(want, key, sizeof key), sizeof key);
    assert_int_equal(crypto_aead_init(&given, CRYPTO_AES_CCM_16_64_128, BYTES_OF(key)), OK);
    struct writer sealed = writer_over(sealed_room, sizeof sealed_room);
    struct writer opened = writer_over(opened_room, sizeof opened_room);
    assert_true(!derived->seal != !derived->open);
    struct crypto_aead *seals = derived->seal ? derived : &given, *opens = derived->open ? derived : &given;
    assert_int_equal(crypto_aead_seal(seals, BYTES_OF(nonce), text, text, &sealed), OK);
    assert_int_equal(crypto_aead_open(opens, BYTES_OF(nonce), text, writer_bytes(&sealed), &opened), OK);
    check_bytes(text, writer_bytes(&opened));
    crypto_aead_done(&given);
}

/* The appendix gives the nonces of Partial IV 0. */
static void expect_nonce(const struct oscore_context *context, const struct oscore_id *id, const char *want)
{
    uint8_t piv[OSCORE_PIV_MAX], nonce[CRYPTO_AEAD_NONCE_MAX];
    size_t len = oscore_piv(0, piv);
    oscore_nonce(context, CRYPTO_AES_CCM_16_64_128, bytes_from(id->data, id->len), bytes_from(piv, len), nonce);
    expect(BYTES_OF(nonce), want);
}

static void keys_iv_and_nonces_are_those_of_c1_to_c3(void **state)
{
    (void)state;
    static const struct {
        const char *salt, *sender, *recipient, *id_context, *sender_key, *recipient_key, *iv, *sender_nonce,
            *recipient_nonce;
    } rows[] = {
#define C1_C "f0910ed7295e6ad4b54fc793154302ff"
#define C1_S "ffb14e093c94c9cac9471648b4f98710"
#define C2_C "321b26943253c7ffb6003b0b64d74041"
#define C2_S "e57b5635815177cd679ab4bcec9d7dda"
#define C3_C "af2a1300a5e95788b356336eeecd2b92"
#define C3_S "e39a0c7c77b43f03b4b39ab9a268699f"
        {MASTER_SALT, "", "01", NULL, C1_C, C1_S, "4622d4dd6d944168eefb54987c", "4622d4dd6d944168eefb54987c",
         "4722d4dd6d944169eefb54987c"},
        {MASTER_SALT, "01", "", NULL, C1_S, C1_C, "4622d4dd6d944168eefb54987c", "4722d4dd6d944169eefb54987c",
         "4622d4dd6d944168eefb54987c"},
        {"", "00", "01", NULL, C2_C, C2_S, "be35ae297d2dace910c52e99f9", "bf35ae297d2dace910c52e99f9",
         "bf35ae297d2dace810c52e99f9"},
        {"", "01", "00", NULL, C2_S, C2_C, "be35ae297d2dace910c52e99f9", "bf35ae297d2dace810c52e99f9",
         "bf35ae297d2dace910c52e99f9"},
        {MASTER_SALT, "", "01", CONTEXT_C3, C3_C, C3_S, "2ca58fb85ff1b81c0b7181b85e", "2ca58fb85ff1b81c0b7181b85e",
         "2da58fb85ff1b81d0b7181b85e"},
        {MASTER_SALT, "01", "", CONTEXT_C3, C3_S, C3_C, "2ca58fb85ff1b81c0b7181b85e", "2da58fb85ff1b81d0b7181b85e",
         "2ca58fb85ff1b81c0b7181b85e"},
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
        expect_key(&context.sender, rows[i].sender_key);
        expect_key(&context.recipient, rows[i].recipient_key);
        expect_nonce(&context, &input.sender, rows[i].sender_nonce);
        expect_nonce(&context, &input.recipient, rows[i].recipient_nonce);
        oscore_context_done(&context);
    }
}

static void additional_data_is_that_of_c4_and_c5(void **state)
{
    (void)state;
    static const uint8_t piv[] = {0x14}, kid[] = {0};
    uint8_t room[OSCORE_AAD_MAX];
    expect(oscore_aad(CRYPTO_AES_CCM_16_64_128, (struct bytes){0}, BYTES_OF(piv), room),
           "8368456e63727970743040488501810a40411440");
    expect(oscore_aad(CRYPTO_AES_CCM_16_64_128, BYTES_OF(kid), BYTES_OF(piv), room),
           "8368456e63727970743040498501810a4100411440");
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
        cmocka_unit_test(keys_iv_and_nonces_are_those_of_c1_to_c3),
        cmocka_unit_test(additional_data_is_that_of_c4_and_c5),
        cmocka_unit_test(requests_and_their_openings_are_those_of_c4_to_c6),
        cmocka_unit_test(responses_are_those_of_c7_and_c8),
    };
    assert_int_equal(crypto_init(), OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
