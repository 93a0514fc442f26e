/* TPMT_PUBLIC of keys that quote, and their signatures: what is understood, both ways, and nothing else. */
#include "check.h"

#include "tpm2.h"

#define AK (TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_SIGN)

static struct tpm2_signer some(enum tpm2_signer_kind kind, enum tpm2_scheme scheme, bool has_policy)
{
    struct tpm2_signer signer = {.kind = kind, .scheme = scheme, .attributes = AK, .has_policy = has_policy};
    struct crypto_key key = {0};
    check_ok(crypto_init());
    if (has_policy)
        memset(signer.policy, 0x17, sizeof signer.policy);
    signer.key_len = kind == TPM2_SIGNER_RSA_2048 ? 256 : 64;
    memset(signer.key, 0xa5, signer.key_len);
    if (kind == TPM2_SIGNER_P256) {
        check_ok(crypto_key_generate(&key, CRYPTO_P256));
        memcpy(signer.key, key.public_key.data + 1, 64);
        crypto_key_done(&key);
    }
    return signer;
}

static const struct {
    enum tpm2_signer_kind kind;
    enum tpm2_scheme scheme;
    bool has_policy;
    size_t len;
} table[] = {
    {TPM2_SIGNER_P256, TPM2_ECDSA, false, 88},
    {TPM2_SIGNER_P256, TPM2_ANY_SCHEME, true, 118},
    {TPM2_SIGNER_RSA_2048, TPM2_RSASSA, true, 312},
    {TPM2_SIGNER_RSA_2048, TPM2_RSAPSS, false, 280},
};

static void each_comes_back_and_no_prefix_and_nothing_longer_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t room[400] = {0};
        const struct tpm2_signer wanted = some(table[i].kind, table[i].scheme, table[i].has_policy);
        struct tpm2_signer got = {.key_len = 7};
        struct writer writer = writer_over(room, sizeof room);
        tpm2_put_signer(&writer, &wanted);
        const struct bytes whole = writer_bytes(&writer);
        assert_int_equal(table[i].len, whole.len);
        for (size_t len = 0; len < whole.len; len++)
            assert_int_not_equal(OK, tpm2_signer_decode(bytes_slice(whole, 0, len), &got));
        assert_int_not_equal(OK, tpm2_signer_decode(bytes_from(room, whole.len + 1), &got));
        assert_int_equal(7, got.key_len);
        check_ok(tpm2_signer_decode(whole, &got));
        assert_memory_equal(&wanted, &got, sizeof got);
        assert_int_equal(table[i].scheme != TPM2_ANY_SCHEME, tpm2_signer_is_ak(&got));
    }
}

static void a_change_is_another_signer_or_none_and_never_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t room[400], again_room[400];
        const struct tpm2_signer wanted = some(table[i].kind, table[i].scheme, table[i].has_policy);
        struct tpm2_signer got;
        struct writer writer = writer_over(room, sizeof room);
        tpm2_put_signer(&writer, &wanted);
        for (size_t bit = 0; bit < 8 * writer.len; bit++) {
            room[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct writer again = writer_over(again_room, sizeof again_room);
            if (tpm2_signer_decode(writer_bytes(&writer), &got) == OK) {
                assert_memory_not_equal(&wanted, &got, sizeof got);
                tpm2_put_signer(&again, &got);
                check_bytes(writer_bytes(&writer), writer_bytes(&again));
            }
            room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void an_even_or_short_modulus_and_a_point_off_the_curve_are_malformed(void **state)
{
    (void)state;
    uint8_t room[400];
    struct tpm2_signer signer = some(TPM2_SIGNER_RSA_2048, TPM2_RSASSA, false), got;
    for (int i = 0; i < 3; i++) {
        struct writer writer = writer_over(room, sizeof room);
        signer.key[255] = i == 0 ? 0xa4 : 0xa5;
        signer.key[0] = i == 1 ? 0x7f : 0xa5;
        if (i == 2)
            signer = (struct tpm2_signer){.kind = TPM2_SIGNER_P256, .scheme = TPM2_ECDSA, .key = {5}, .key_len = 64};
        tpm2_put_signer(&writer, &signer);
        check_status(MALFORMED, tpm2_signer_decode(writer_bytes(&writer), &got));
    }
}

static void an_attestation_key_is_fixed_restricted_and_signs_only(void **state)
{
    (void)state;
    static const uint32_t needed[] = {TPM2_ATTRIBUTE_FIXED_TPM, TPM2_ATTRIBUTE_FIXED_PARENT,
                                      TPM2_ATTRIBUTE_SENSITIVE_DATA_ORIGIN, TPM2_ATTRIBUTE_RESTRICTED,
                                      TPM2_ATTRIBUTE_SIGN};
    static const uint32_t allowed[] = {TPM2_ATTRIBUTE_USER_WITH_AUTH, TPM2_ATTRIBUTE_ADMIN_WITH_POLICY,
                                       TPM2_ATTRIBUTE_NO_DA};
    struct tpm2_signer signer = some(TPM2_SIGNER_P256, TPM2_ECDSA, false);
    assert_true(tpm2_signer_is_ak(&signer));
    for (size_t i = 0; i < 5; i++) {
        signer.attributes = AK & ~needed[i];
        assert_false(tpm2_signer_is_ak(&signer));
    }
    for (size_t i = 0; i < 3; i++) {
        signer.attributes = AK | allowed[i];
        assert_true(tpm2_signer_is_ak(&signer));
    }
    signer.attributes = AK | TPM2_ATTRIBUTE_DECRYPT;
    assert_false(tpm2_signer_is_ak(&signer));
    signer.attributes = AK;
    signer.scheme = TPM2_ANY_SCHEME;
    assert_false(tpm2_signer_is_ak(&signer));
}

static void signatures_come_back_and_no_prefix_and_nothing_longer_does(void **state)
{
    (void)state;
    static const enum tpm2_scheme schemes[] = {TPM2_RSASSA, TPM2_RSAPSS, TPM2_ECDSA};
    for (size_t i = 0; i < 3; i++) {
        uint8_t room[300] = {0};
        struct tpm2_signature wanted = {.scheme = schemes[i], .len = schemes[i] == TPM2_ECDSA ? 64 : 256};
        struct tpm2_signature got = {.len = 7};
        struct writer writer = writer_over(room, sizeof room);
        memset(wanted.value, 0x5a, wanted.len);
        tpm2_put_signature(&writer, &wanted);
        for (size_t len = 0; len < writer.len; len++)
            check_status(TRUNCATED, tpm2_signature_decode(bytes_from(room, len), &got));
        check_status(MALFORMED, tpm2_signature_decode(bytes_from(room, writer.len + 1), &got));
        assert_int_equal(7, got.len);
        check_ok(tpm2_signature_decode(writer_bytes(&writer), &got));
        assert_memory_equal(&wanted, &got, sizeof got);
    }
}

static void numbers_without_their_leading_zeros_are_the_same_numbers(void **state)
{
    (void)state;
    static const uint8_t shortened[] = {0, 0x18, 0, 0x0b, 0, 1, 9, 0, 2, 8, 7};
    static const uint8_t none[] = {0, 0x18, 0, 0x0b, 0, 0, 0, 1, 8};
    uint8_t room[64] = {0, 0x18, 0, 0x0b, 0, 33};
    struct tpm2_signature got;
    check_ok(tpm2_signature_decode(BYTES_OF(shortened), &got));
    assert_int_equal(64, got.len);
    assert_int_equal(0, got.value[30]);
    assert_int_equal(9, got.value[31]);
    assert_int_equal(8, got.value[62]);
    assert_int_equal(7, got.value[63]);
    check_status(MALFORMED, tpm2_signature_decode(BYTES_OF(none), &got));
    check_status(MALFORMED, tpm2_signature_decode(BYTES_OF(room), &got));
}

static void other_algorithms_are_unsupported(void **state)
{
    (void)state;
    static const uint8_t schnorr[] = {0, 0x1c, 0, 0x0b, 0, 1, 9, 0, 1, 8}, sha1[] = {0, 0x18, 0, 4, 0, 1, 9, 0, 1, 8};
    static const uint8_t hmac[] = {0, 5, 0, 0x0b};
    struct tpm2_signature got;
    check_status(UNSUPPORTED, tpm2_signature_decode(BYTES_OF(schnorr), &got));
    check_status(UNSUPPORTED, tpm2_signature_decode(BYTES_OF(sha1), &got));
    check_status(UNSUPPORTED, tpm2_signature_decode(BYTES_OF(hmac), &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comes_back_and_no_prefix_and_nothing_longer_does),
        cmocka_unit_test(a_change_is_another_signer_or_none_and_never_the_same),
        cmocka_unit_test(an_even_or_short_modulus_and_a_point_off_the_curve_are_malformed),
        cmocka_unit_test(an_attestation_key_is_fixed_restricted_and_signs_only),
        cmocka_unit_test(signatures_come_back_and_no_prefix_and_nothing_longer_does),
        cmocka_unit_test(numbers_without_their_leading_zeros_are_the_same_numbers),
        cmocka_unit_test(other_algorithms_are_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
