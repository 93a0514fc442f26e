/* crypto: hashes, HMAC and HKDF against published vectors. */
#include "check.h"

#include "crypto.h"

static const enum crypto_hash_alg algs[] = {CRYPTO_SHA256, CRYPTO_SHA384, CRYPTO_SHA512};

static void check_hex(const char *expected, const uint8_t *actual, size_t len)
{
    char text[2 * 128 + 1];
    check_ok(hex_encode(bytes_from(actual, len), text, sizeof text));
    assert_string_equal(expected, text);
}

static void hashes_match_fips_180(void **state)
{
    (void)state;
    static const char *const abc[] = {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
         "454d4423643ce80e2a9ac94fa54ca49f")};
    const struct bytes parts[] = {bytes_from_text("a"), {0}, bytes_from_text("bc")};
    for (size_t i = 0; i < 3; i++) {
        uint8_t out[CRYPTO_HASH_MAX];
        check_ok(crypto_hash(algs[i], parts, 3, out));
        check_hex(abc[i], out, crypto_hash_len(algs[i]));
    }
}

static void a_hash_in_steps_is_the_hash_at_once(void **state)
{
    (void)state;
    uint8_t message[300], once[CRYPTO_HASH_MAX], steps[CRYPTO_HASH_MAX];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    for (size_t a = 0; a < 3; a++)
        for (size_t cut = 0; cut <= sizeof message; cut++) {
            struct bytes whole = BYTES_OF(message);
            struct crypto_hash_state hash;
            check_ok(crypto_hash(algs[a], &whole, 1, once));
            check_ok(crypto_hash_start(&hash, algs[a]));
            crypto_hash_add(&hash, bytes_slice(whole, 0, cut));
            struct crypto_hash_state copy = hash;
            crypto_hash_finish(&copy, steps); /* looking in between changes nothing */
            crypto_hash_add(&hash, bytes_slice(whole, cut, sizeof message - cut));
            crypto_hash_finish(&hash, steps);
            assert_memory_equal(once, steps, crypto_hash_len(algs[a]));
            assert_int_equal(0, hash.alg);
        }
}

static void an_unknown_hash_is_unsupported(void **state)
{
    (void)state;
    uint8_t out[1] = {7};
    struct crypto_hash_state hash;
    enum crypto_hash_alg unknown = (enum crypto_hash_alg)9;
    assert_int_equal(0, crypto_hash_len(unknown));
    check_status(UNSUPPORTED, crypto_hash(unknown, NULL, 0, out));
    check_status(UNSUPPORTED, crypto_hash_start(&hash, unknown));
    check_status(UNSUPPORTED, crypto_hmac(unknown, (struct bytes){0}, NULL, 0, out));
    check_status(UNSUPPORTED, crypto_hkdf_expand(unknown, (struct bytes){0}, (struct bytes){0}, out, 1));
    assert_int_equal(7, out[0]);
}

static void hmac_matches_rfc_4231(void **state)
{
    (void)state;
    uint8_t key_1[20], key_6[131];
    memset(key_1, 0x0b, sizeof key_1);
    memset(key_6, 0xaa, sizeof key_6);
    const struct {
        struct bytes key;
        const char *text, *sha256, *sha384;
    } cases[] = {
        {BYTES_OF(key_1), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
         "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6"},
        {bytes_from_text("Jefe"), "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
         "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"},
        {BYTES_OF(key_6), "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
         "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952"},
    };
    for (size_t i = 0; i < 3; i++) {
        uint8_t out[CRYPTO_HASH_MAX];
        struct bytes text = bytes_from_text(cases[i].text);
        const struct bytes parts[] = {bytes_slice(text, 0, 3), bytes_slice(text, 3, text.len - 3)};
        check_ok(crypto_hmac(CRYPTO_SHA256, cases[i].key, parts, 2, out));
        check_hex(cases[i].sha256, out, 32);
        check_ok(crypto_hmac(CRYPTO_SHA384, cases[i].key, parts, 2, out));
        check_hex(cases[i].sha384, out, 48);
    }
}

static void hkdf_matches_rfc_5869(void **state)
{
    (void)state;
    uint8_t ikm[22], salt[13], info[10], prk[CRYPTO_HASH_MAX], okm[42];
    memset(ikm, 0x0b, sizeof ikm);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (uint8_t)(0xf0 + i);
    check_ok(crypto_hkdf_extract(CRYPTO_SHA256, BYTES_OF(salt), BYTES_OF(ikm), prk));
    check_hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5", prk, 32);
    check_ok(crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, 32), BYTES_OF(info), okm, sizeof okm));
    check_hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865", okm, 42);
    check_ok(crypto_hkdf_extract(CRYPTO_SHA256, (struct bytes){0}, BYTES_OF(ikm), prk));
    check_hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04", prk, 32);
    check_ok(crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, 32), (struct bytes){0}, okm, sizeof okm));
    check_hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8", okm, 42);
}

static void hkdf_gives_255_blocks_and_not_a_byte_more(void **state)
{
    (void)state;
    static uint8_t okm[255 * 32 + 1];
    uint8_t prk[32] = {1}, first[32];
    struct bytes key = BYTES_OF(prk);
    check_ok(crypto_hkdf_expand(CRYPTO_SHA256, key, (struct bytes){0}, okm, sizeof okm - 1));
    check_ok(crypto_hkdf_expand(CRYPTO_SHA256, key, (struct bytes){0}, first, sizeof first));
    assert_memory_equal(first, okm, sizeof first);
    memset(okm, 7, sizeof okm);
    check_status(NO_ROOM, crypto_hkdf_expand(CRYPTO_SHA256, key, (struct bytes){0}, okm, sizeof okm));
    assert_int_equal(7, okm[0]);
}

static void random_bytes_fill_the_whole_buffer(void **state)
{
    (void)state;
    static uint8_t a[1000], b[1000];
    check_ok(crypto_random(a, sizeof a));
    check_ok(crypto_random(b, sizeof b));
    for (size_t i = 0; i + 16 <= sizeof a; i += 16)
        assert_memory_not_equal(a + i, b + i, 16);
    check_ok(crypto_random(a, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_match_fips_180),
        cmocka_unit_test(a_hash_in_steps_is_the_hash_at_once),
        cmocka_unit_test(an_unknown_hash_is_unsupported),
        cmocka_unit_test(hmac_matches_rfc_4231),
        cmocka_unit_test(hkdf_matches_rfc_5869),
        cmocka_unit_test(hkdf_gives_255_blocks_and_not_a_byte_more),
        cmocka_unit_test(random_bytes_fill_the_whole_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
