/* TPM structures without a TPM: quotes, public areas, names, KDFs and credentials. */
#include "check.h"

#include "tpm2.h"

static const uint8_t digest[32] = {3};
static const uint8_t extra[32] = {4};

static struct bytes made_attest(uint8_t *room, size_t cap)
{
    static const uint8_t signer[34] = {0, 11, 5};
    const struct tpm2_attest attest = {.qualified_signer = BYTES_OF(signer),
                                       .extra_data = BYTES_OF(extra),
                                       .clock_ms = 77,
                                       .reset_count = 5,
                                       .restart_count = 6,
                                       .safe = true,
                                       .firmware = 9,
                                       .pcr_mask = 0x80ff,
                                       .pcr_digest = BYTES_OF(digest)};
    struct writer writer = writer_over(room, cap);
    tpm2_put_attest(&writer, &attest);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void a_quote_comes_back_as_it_was_written(void **state)
{
    (void)state;
    uint8_t room[TPM2_ATTEST_MAX];
    struct tpm2_attest attest;
    check_ok(tpm2_attest_decode(made_attest(room, sizeof room), &attest));
    check_bytes(BYTES_OF(extra), attest.extra_data);
    check_bytes(BYTES_OF(digest), attest.pcr_digest);
    assert_int_equal(0x80ff, attest.pcr_mask);
    assert_int_equal(5, attest.reset_count);
    assert_int_equal(6, attest.restart_count);
    assert_true(attest.safe);
}

static void every_shorter_or_longer_quote_is_refused(void **state)
{
    (void)state;
    uint8_t room[TPM2_ATTEST_MAX] = {0};
    struct bytes whole = made_attest(room, sizeof room);
    struct tpm2_attest attest;
    for (size_t len = 0; len < whole.len; len++)
        assert_int_not_equal(OK, tpm2_attest_decode(bytes_slice(whole, 0, len), &attest));
    check_status(MALFORMED, tpm2_attest_decode(bytes_from(room, whole.len + 1), &attest));
}

static void what_the_tpm_did_not_make_itself_is_refused(void **state)
{
    (void)state;
    uint8_t room[TPM2_ATTEST_MAX];
    struct tpm2_attest attest;
    struct bytes whole = made_attest(room, sizeof room);
    room[0] ^= 1; /* TPM_GENERATED_VALUE */
    check_status(MALFORMED, tpm2_attest_decode(whole, &attest));
    room[0] ^= 1;
    room[5] ^= 1; /* TPM_ST_ATTEST_QUOTE */
    check_status(UNSUPPORTED, tpm2_attest_decode(whole, &attest));
}

static struct tpm2_public endorsement(struct crypto_key *key)
{
    struct tpm2_public area;
    tpm2_ek_template(&area);
    check_ok(crypto_key_generate(key, CRYPTO_P256));
    memcpy(area.x, key->public_key.data + 1, 32);
    memcpy(area.y, key->public_key.data + 33, 32);
    return area;
}

static void a_public_area_comes_back_and_no_prefix_of_it_does(void **state)
{
    (void)state;
    struct crypto_key key = {0};
    struct tpm2_public area = endorsement(&key), got;
    uint8_t room[TPM2_PUBLIC_MAX] = {0};
    struct crypto_public point;
    struct writer writer = writer_over(room, sizeof room);
    tpm2_put_public(&writer, &area);
    struct bytes whole = writer_bytes(&writer);
    assert_int_equal(122, whole.len); /* TPMT_PUBLIC of template L-2 */
    check_ok(tpm2_public_decode(whole, &got));
    assert_memory_equal(&area, &got, sizeof area);
    assert_true(tpm2_public_is_ek(&got));
    assert_false(tpm2_public_is_ak(&got));
    check_ok(tpm2_public_key(&got, &point));
    check_bytes(crypto_public_bytes(&key.public_key), crypto_public_bytes(&point));
    for (size_t len = 0; len < whole.len; len++)
        assert_int_not_equal(OK, tpm2_public_decode(bytes_slice(whole, 0, len), &got));
    check_status(MALFORMED, tpm2_public_decode(bytes_from(room, whole.len + 1), &got));
    crypto_key_done(&key);
}

static void only_a_restricted_signing_key_is_an_attestation_key(void **state)
{
    (void)state;
    const struct tpm2_public good = {.attributes = TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_USER_WITH_AUTH |
                                                   TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_SIGN,
                                     .ecdsa = true};
    static const uint32_t vital[] = {
        TPM2_ATTRIBUTE_FIXED_TPM, TPM2_ATTRIBUTE_FIXED_PARENT,          TPM2_ATTRIBUTE_RESTRICTED,
        TPM2_ATTRIBUTE_SIGN,      TPM2_ATTRIBUTE_SENSITIVE_DATA_ORIGIN, TPM2_ATTRIBUTE_DECRYPT};
    assert_true(tpm2_public_is_ak(&good));
    for (size_t i = 0; i < sizeof vital / sizeof *vital; i++) {
        struct tpm2_public bad = good;
        bad.attributes ^= vital[i];
        assert_false(tpm2_public_is_ak(&bad));
    }
}

/* Recomputed by hand from Part 1 §11.4.10, with HMAC and SHA-256 as the crypto room proves them. */
static void kdfs_follow_their_formulas(void **state)
{
    (void)state;
    static const uint8_t key[16] = {1}, u[4] = {2}, v[4] = {3};
    uint8_t got[48], expected[CRYPTO_HASH_MAX];
    static const uint8_t one[4] = {0, 0, 0, 1}, two[4] = {0, 0, 0, 2}, bits[4] = {0, 0, 1, 0x80};
    check_ok(tpm2_kdfa(BYTES_OF(key), "STORAGE", BYTES_OF(u), BYTES_OF(v), got, sizeof got));
    struct bytes parts[] = {BYTES_OF(one), bytes_from("STORAGE", 8), BYTES_OF(u), BYTES_OF(v), BYTES_OF(bits)};
    check_ok(crypto_hmac(CRYPTO_SHA256, BYTES_OF(key), parts, 5, expected));
    assert_memory_equal(expected, got, 32);
    parts[0] = BYTES_OF(two);
    check_ok(crypto_hmac(CRYPTO_SHA256, BYTES_OF(key), parts, 5, expected));
    assert_memory_equal(expected, got + 32, 16);
    struct bytes plain[] = {BYTES_OF(one), BYTES_OF(key), bytes_from("IDENTITY", 9), BYTES_OF(u), BYTES_OF(v)};
    check_ok(crypto_hash(CRYPTO_SHA256, plain, 5, expected));
    check_ok(tpm2_kdfe(BYTES_OF(key), "IDENTITY", BYTES_OF(u), BYTES_OF(v), got, 32));
    assert_memory_equal(expected, got, 32);
    check_status(NO_ROOM, tpm2_kdfe(BYTES_OF(key), "IDENTITY", BYTES_OF(u), BYTES_OF(v), got, 33));
}

static void a_credential_keeps_its_secret_and_its_limits(void **state)
{
    (void)state;
    struct crypto_key key = {0};
    struct tpm2_public area = endorsement(&key);
    static const uint8_t name[TPM2_NAME_LEN] = {0, 11}, secret[33] = {0xa5, 0x5a, 0xa5, 0x5a, 1, 2, 3, 4};
    uint8_t room[TPM2_CREDENTIAL_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_status(NO_ROOM, tpm2_make_credential(&area, name, bytes_from(secret, 0), &writer));
    check_status(NO_ROOM, tpm2_make_credential(&area, name, BYTES_OF(secret), &writer));
    assert_int_equal(0, writer.len);
    check_ok(tpm2_make_credential(&area, name, bytes_from(secret, 32), &writer));
    assert_int_equal(2 + 2 + 32 + 34 + 2 + 68, writer.len);
    assert_null(memmem(room, writer.len, secret, 8));
    memset(area.y, 0, sizeof area.y);
    check_status(MALFORMED, tpm2_make_credential(&area, name, bytes_from(secret, 32), &writer));
    struct writer small = writer_over(room, 100);
    tpm2_ek_template(&area);
    assert_int_not_equal(OK, tpm2_make_credential(&area, name, bytes_from(secret, 32), &small));
    assert_int_equal(0, small.len);
    crypto_key_done(&key);
}

static int start(void **state)
{
    (void)state;
    return crypto_init() == OK ? 0 : 1;
}

static void a_boot_chain_has_the_digests_a_tpm_makes_of_it(void **state)
{
    (void)state;
    uint8_t pcrs[TPM2_PCR_COUNT][32] = {{0}}, made[32], policy[32], other[32];
    /* SHA-256 of 32 zeros. */
    static const char one[] = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    char text[65];
    check_ok(tpm2_pcr_digest(1u << 7, (const uint8_t(*)[32])pcrs, made));
    check_ok(hex_encode(BYTES_OF(made), text, sizeof text));
    assert_string_equal(one, text);
    check_ok(tpm2_pcr_policy(1u << 7, (const uint8_t(*)[32])pcrs, policy));
    check_ok(tpm2_pcr_policy(1u << 6, (const uint8_t(*)[32])pcrs, other));
    assert_memory_not_equal(policy, other, sizeof policy); /* which PCR it is counts */
    check_ok(tpm2_extend_by(pcrs[7], bytes_from_text("x")));
    check_ok(tpm2_pcr_policy(1u << 7, (const uint8_t(*)[32])pcrs, other));
    assert_memory_not_equal(policy, other, sizeof policy);
    assert_int_equal(MALFORMED, tpm2_pcr_digest(0, (const uint8_t(*)[32])pcrs, made));
    assert_int_equal(MALFORMED, tpm2_pcr_policy(1u << 24, (const uint8_t(*)[32])pcrs, policy));
    assert_int_equal(MALFORMED, tpm2_extend(pcrs[7], bytes_from(made, 31)));
    assert_int_equal(8, __builtin_popcount(TPM2_BOOT_PCRS)); /* as many as TPM2_PCR_Read gives at once */
}

static void an_approval_is_the_boot_signers_word_for_one_policy(void **state)
{
    (void)state;
    struct crypto_key signer = {0};
    struct tpm2_approval approval;
    const uint8_t policy[32] = {7};
    check_ok(crypto_key_generate(&signer, CRYPTO_P256));
    check_ok(tpm2_approve(&signer, policy, &approval));
    const struct bytes part = BYTES_OF(approval.policy);
    check_ok(
        crypto_verify(CRYPTO_P256, crypto_public_bytes(&signer.public_key), &part, 1, BYTES_OF(approval.signature)));
    assert_memory_equal(policy, approval.policy, sizeof policy);
    crypto_key_done(&signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quote_comes_back_as_it_was_written),
        cmocka_unit_test(every_shorter_or_longer_quote_is_refused),
        cmocka_unit_test(what_the_tpm_did_not_make_itself_is_refused),
        cmocka_unit_test(a_public_area_comes_back_and_no_prefix_of_it_does),
        cmocka_unit_test(only_a_restricted_signing_key_is_an_attestation_key),
        cmocka_unit_test(kdfs_follow_their_formulas),
        cmocka_unit_test(a_credential_keeps_its_secret_and_its_limits),
        cmocka_unit_test(a_boot_chain_has_the_digests_a_tpm_makes_of_it),
        cmocka_unit_test(an_approval_is_the_boot_signers_word_for_one_policy),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
