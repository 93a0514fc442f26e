/* TPMT_PUBLIC of endorsement keys: what the profile's templates say, both ways, and nothing else. */
#include "check.h"

#include "tpm2.h"

static const enum tpm2_ek_kind kinds[] = {TPM2_EK_RSA_2048, TPM2_EK_P256, TPM2_EK_P384};
static const size_t lens[] = {314, 122, 170}; /* of the profile's public areas */

static struct tpm2_ek some(enum tpm2_ek_kind kind)
{
    struct tpm2_ek ek = {.kind = kind, .key_len = TPM2_EK_KEY_MAX};
    struct crypto_key key = {0};
    memset(ek.key, 0xa5, sizeof ek.key);
    if (kind == TPM2_EK_RSA_2048)
        return ek;
    memset(ek.key, 0, sizeof ek.key);
    check_ok(crypto_key_generate(&key, kind == TPM2_EK_P256 ? CRYPTO_P256 : CRYPTO_P384));
    ek.key_len = key.public_key.len - 1;
    memcpy(ek.key, key.public_key.data + 1, ek.key_len);
    crypto_key_done(&key);
    return ek;
}

static struct bytes encoded(const struct tpm2_ek *ek, uint8_t room[TPM2_EK_PUBLIC_MAX])
{
    struct writer writer = writer_over(room, TPM2_EK_PUBLIC_MAX);
    tpm2_put_ek(&writer, ek);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void each_comes_back_and_no_prefix_and_nothing_longer_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t room[TPM2_EK_PUBLIC_MAX + 1] = {0};
        struct tpm2_ek ek = some(kinds[i]), got = {.key_len = 7};
        struct bytes whole = encoded(&ek, room);
        assert_int_equal(lens[i], whole.len);
        for (size_t len = 0; len < whole.len; len++)
            assert_int_not_equal(OK, tpm2_ek_decode(bytes_slice(whole, 0, len), &got));
        assert_int_not_equal(OK, tpm2_ek_decode(bytes_from(room, whole.len + 1), &got));
        assert_int_equal(7, got.key_len);
        check_ok(tpm2_ek_decode(whole, &got));
        assert_memory_equal(&ek, &got, sizeof ek);
    }
}

static void every_bit_before_the_key_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t room[TPM2_EK_PUBLIC_MAX];
        struct tpm2_ek ek = some(kinds[i]), got;
        struct bytes whole = encoded(&ek, room);
        const size_t first_key = whole.len - ek.key_len - (kinds[i] == TPM2_EK_RSA_2048 ? 0 : 2);
        for (size_t bit = 0; bit < 8 * first_key; bit++) {
            room[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(OK, tpm2_ek_decode(whole, &got));
            room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        check_ok(tpm2_ek_decode(whole, &got));
    }
}

static void a_key_that_can_be_none_is_refused(void **state)
{
    (void)state;
    uint8_t room[TPM2_EK_PUBLIC_MAX];
    struct tpm2_ek got, rsa = some(TPM2_EK_RSA_2048), even = rsa, shorter = rsa;
    even.key[255] ^= 1;
    shorter.key[0] &= 0x7f;
    check_status(MALFORMED, tpm2_ek_decode(encoded(&even, room), &got));
    check_status(MALFORMED, tpm2_ek_decode(encoded(&shorter, room), &got));
    for (size_t i = 1; i < 3; i++) {
        struct tpm2_ek point = some(kinds[i]);
        point.key[point.key_len - 1] ^= 1;
        check_status(MALFORMED, tpm2_ek_decode(encoded(&point, room), &got));
    }
}

static void a_p256_key_is_the_one_that_evidence_holds(void **state)
{
    (void)state;
    uint8_t room[TPM2_EK_PUBLIC_MAX];
    struct tpm2_ek ek = some(TPM2_EK_P256);
    struct tpm2_public area;
    struct crypto_public mine, theirs;
    check_ok(tpm2_public_decode(encoded(&ek, room), &area));
    assert_true(tpm2_public_is_ek(&area));
    check_ok(tpm2_public_key(&area, &theirs));
    check_ok(tpm2_ek_point(&ek, &mine));
    check_bytes(crypto_public_bytes(&theirs), crypto_public_bytes(&mine));
    ek = some(TPM2_EK_RSA_2048);
    check_status(UNSUPPORTED, tpm2_ek_point(&ek, &mine));
}

static void templates_have_the_key_empty_or_zero(void **state)
{
    (void)state;
    static const size_t template_lens[] = {314, 122, 74};
    for (size_t i = 0; i < 3; i++) {
        uint8_t room[TPM2_EK_PUBLIC_MAX], key_room[TPM2_EK_PUBLIC_MAX];
        struct tpm2_ek ek = some(kinds[i]), got;
        struct writer writer = writer_over(room, sizeof room);
        tpm2_put_ek_template(&writer, kinds[i]);
        check_ok(writer_end(&writer));
        assert_int_equal(template_lens[i], writer.len);
        assert_memory_equal(encoded(&ek, key_room).data, room, 50);
        assert_int_not_equal(OK, tpm2_ek_decode(writer_bytes(&writer), &got)); /* no key */
    }
}

static void hash(const struct bytes *parts, size_t count, uint8_t out[48])
{
    uint8_t room[CRYPTO_HASH_MAX];
    check_ok(crypto_hash(CRYPTO_SHA384, parts, count, room));
    memcpy(out, room, 48);
}

/* PolicyB = PolicyOR(PolicyA, PolicyC); PolicyA = PolicySecret(TPM_RH_ENDORSEMENT), PolicyC = PolicyAuthorizeNV(name of
 * index I-2 as the profile gives it): Part 3 §23.4, §23.6, §23.22. */
static void the_high_range_policy_follows_its_formula(void **state)
{
    (void)state;
    static const uint8_t zero[48], secret[] = {0, 0, 1, 0x51, 0x40, 0, 0, 0x0b}, either[] = {0, 0, 1, 0x71},
                                   by_nv[] = {0, 0, 1, 0x92};
    static const char name[] = "000cdb62fca346612c976732ff4e8621fb4e858be82586486504f7d02e621f8d7d61ae32cfc60c4d12"
                               "0609ed6768afcf090c";
    uint8_t name_room[50], a[48], b[48], c[48], room[TPM2_EK_PUBLIC_MAX];
    struct writer writer = writer_over(name_room, sizeof name_room), template = writer_over(room, sizeof room);
    check_ok(hex_decode(name, &writer));
    hash((const struct bytes[]){BYTES_OF(zero), BYTES_OF(secret)}, 2, a);
    hash((const struct bytes[]){BYTES_OF(a)}, 1, a);
    hash((const struct bytes[]){BYTES_OF(zero), BYTES_OF(by_nv), writer_bytes(&writer)}, 3, c);
    hash((const struct bytes[]){BYTES_OF(zero), BYTES_OF(either), BYTES_OF(a), BYTES_OF(c)}, 4, b);
    tpm2_put_ek_template(&template, TPM2_EK_P384);
    check_bytes(BYTES_OF(b), bytes_slice(writer_bytes(&template), 10, 48));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comes_back_and_no_prefix_and_nothing_longer_does),
        cmocka_unit_test(every_bit_before_the_key_counts),
        cmocka_unit_test(a_key_that_can_be_none_is_refused),
        cmocka_unit_test(a_p256_key_is_the_one_that_evidence_holds),
        cmocka_unit_test(templates_have_the_key_empty_or_zero),
        cmocka_unit_test(the_high_range_policy_follows_its_formula),
    };
    return crypto_init() == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
