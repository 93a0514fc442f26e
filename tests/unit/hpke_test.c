/* hpke: RFC 9180 A.3.1, and what a receiver does not take. */
#include "check.h"
#include "hpke.h"

#include <string.h>

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(hex_decode(text, &writer));
    return writer_bytes(&writer);
}

static void import(struct crypto_key *key, const char *scalar)
{
    uint8_t room[32];
    check_ok(crypto_key_import(key, CRYPTO_P256, unhex(scalar, room, sizeof room)));
}

struct pair {
    struct crypto_key ephemeral, receiver;
};

static void keys(struct pair *pair)
{
    check_ok(crypto_init());
    import(&pair->ephemeral, "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb");
    import(&pair->receiver, "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2");
}

static void done(struct pair *pair)
{
    crypto_key_done(&pair->ephemeral);
    crypto_key_done(&pair->receiver);
}

/* RFC 9180 A.3.1.1, the message with sequence number 0. */
static void the_first_message_of_the_rfcs_example_is_sealed_and_opened(void **state)
{
    (void)state;
    struct pair pair = {0};
    uint8_t info[32], aad[16], text[64], expected[64], room[64];
    keys(&pair);
    const struct hpke_context context = {
        .aead = HPKE_A128GCM,
        .info = unhex("4f6465206f6e2061204772656369616e2055726e", info, sizeof info),
        .aad = unhex("436f756e742d30", aad, sizeof aad),
    };
    const struct bytes plain = unhex("4265617574792069732074727574682c20747275746820626561757479", text, sizeof text);
    const struct bytes sealed =
        unhex("5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434", expected,
              sizeof expected);
    struct writer out = writer_over(room, sizeof room);
    check_ok(hpke_seal(&pair.ephemeral, &pair.receiver.public_key, &context, plain, &out));
    assert_true(bytes_equal(writer_bytes(&out), sealed));
    out = writer_over(room, sizeof room);
    check_ok(hpke_open(&pair.receiver, &pair.ephemeral.public_key, &context, sealed, &out));
    assert_true(bytes_equal(writer_bytes(&out), plain));
    done(&pair);
}

static void every_flipped_bit_and_every_other_context_is_refused(void **state)
{
    (void)state;
    struct pair pair = {0};
    uint8_t room[64], opened[64];
    keys(&pair);
    const struct hpke_context context = {HPKE_A256GCM, bytes_from_text("info"), bytes_from_text("aad")};
    const struct hpke_context others[] = {{HPKE_A128GCM, context.info, context.aad},
                                          {HPKE_A256GCM, bytes_from_text("inf0"), context.aad},
                                          {HPKE_A256GCM, context.info, bytes_from_text("aaD")},
                                          {HPKE_A256GCM, context.info, (struct bytes){0}}};
    struct writer out = writer_over(room, sizeof room);
    check_ok(hpke_seal(&pair.ephemeral, &pair.receiver.public_key, &context, bytes_from_text("a key"), &out));
    for (size_t bit = 0; bit < 8 * out.len; bit++) {
        struct writer text = writer_over(opened, sizeof opened);
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(AUTH,
                         hpke_open(&pair.receiver, &pair.ephemeral.public_key, &context, writer_bytes(&out), &text));
        assert_int_equal(0, text.len);
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct writer text = writer_over(opened, sizeof opened);
        assert_int_equal(AUTH,
                         hpke_open(&pair.receiver, &pair.ephemeral.public_key, &others[i], writer_bytes(&out), &text));
    }
    struct writer text = writer_over(opened, sizeof opened);
    assert_int_equal(AUTH, hpke_open(&pair.ephemeral, &pair.ephemeral.public_key, &context, writer_bytes(&out), &text));
    assert_int_equal(AUTH, hpke_open(&pair.receiver, &pair.receiver.public_key, &context, writer_bytes(&out), &text));
    check_ok(hpke_open(&pair.receiver, &pair.ephemeral.public_key, &context, writer_bytes(&out), &text));
    done(&pair);
}

static void limits_and_other_curves_are_told(void **state)
{
    (void)state;
    struct pair pair = {0};
    struct crypto_key other = {0};
    uint8_t info[HPKE_INFO_MAX + 1] = {0}, room[64];
    keys(&pair);
    check_ok(crypto_key_generate(&other, CRYPTO_P384));
    struct writer out = writer_over(room, sizeof room);
    struct hpke_context context = {HPKE_A256GCM, bytes_from(info, HPKE_INFO_MAX), {0}};
    check_ok(hpke_seal(&pair.ephemeral, &pair.receiver.public_key, &context, (struct bytes){0}, &out));
    context.info.len++;
    assert_int_equal(NO_ROOM, hpke_seal(&pair.ephemeral, &pair.receiver.public_key, &context, (struct bytes){0}, &out));
    context = (struct hpke_context){.aead = (enum hpke_aead)3};
    assert_int_equal(UNSUPPORTED,
                     hpke_seal(&pair.ephemeral, &pair.receiver.public_key, &context, (struct bytes){0}, &out));
    context.aead = HPKE_A256GCM;
    assert_int_equal(MALFORMED, hpke_seal(&other, &pair.receiver.public_key, &context, (struct bytes){0}, &out));
    assert_int_equal(MALFORMED, hpke_seal(&pair.ephemeral, &other.public_key, &context, (struct bytes){0}, &out));
    assert_int_equal(HPKE_TAG_LEN, out.len);
    crypto_key_done(&other);
    done(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_message_of_the_rfcs_example_is_sealed_and_opened),
        cmocka_unit_test(every_flipped_bit_and_every_other_context_is_refused),
        cmocka_unit_test(limits_and_other_curves_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
