/* crypto: keys whose private half somebody else keeps. */
#include "check.h"

#include "crypto.h"

struct keeper {
    struct crypto_key *key;
    unsigned asked;
    enum status answer;
    uint8_t hash[CRYPTO_HASH_MAX];
    size_t hash_len;
};

/* Keeps the key and signs whatever crypto_sign() would sign: here the hash itself is the message to look at. */
static enum status sign(void *context, struct bytes hash, uint8_t *signature)
{
    struct keeper *keeper = context;
    keeper->asked++;
    keeper->hash_len = hash.len;
    memcpy(keeper->hash, hash.data, hash.len);
    if (keeper->answer != OK)
        return keeper->answer;
    struct bytes text = bytes_from_text("what is signed");
    return crypto_sign(keeper->key, &text, 1, signature);
}

static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384};

static void its_signatures_are_made_by_whoever_keeps_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const enum crypto_hash_alg alg = curves[i] == CRYPTO_P256 ? CRYPTO_SHA256 : CRYPTO_SHA384;
        struct crypto_key kept = {0}, key = {0};
        struct keeper keeper = {.key = &kept};
        uint8_t signature[CRYPTO_SIGNATURE_MAX], hash[CRYPTO_HASH_MAX];
        const struct bytes parts[] = {bytes_from_text("what is "), bytes_from_text("signed")};
        check_ok(crypto_key_generate(&kept, curves[i]));
        struct bytes public_half = crypto_public_bytes(&kept.public_key);
        check_ok(crypto_key_delegate(&key, curves[i], public_half, sign, &keeper));
        check_bytes(public_half, crypto_public_bytes(&key.public_key));
        check_ok(crypto_sign(&key, parts, 2, signature));
        check_ok(
            crypto_verify(curves[i], public_half, parts, 2, bytes_from(signature, crypto_signature_len(curves[i]))));
        check_ok(crypto_hash(alg, parts, 2, hash));
        check_bytes(bytes_from(hash, crypto_hash_len(alg)), bytes_from(keeper.hash, keeper.hash_len));
        assert_int_equal(keeper.asked, 1);
        crypto_key_done(&key);
        crypto_key_done(&kept);
    }
}

static void no_signature_comes_of_a_refusal(void **state)
{
    (void)state;
    struct crypto_key kept = {0}, key = {0};
    struct keeper keeper = {.key = &kept, .answer = IO};
    uint8_t signature[CRYPTO_SIGNATURE_MAX], before[CRYPTO_SIGNATURE_MAX];
    struct bytes text = bytes_from_text("what is signed");
    check_ok(crypto_key_generate(&kept, CRYPTO_P256));
    check_ok(crypto_key_delegate(&key, CRYPTO_P256, crypto_public_bytes(&kept.public_key), sign, &keeper));
    memset(signature, 0xa5, sizeof signature);
    memcpy(before, signature, sizeof before);
    assert_int_equal(crypto_sign(&key, &text, 1, signature), INTERNAL);
    assert_memory_equal(before, signature, sizeof before);
    assert_int_equal(keeper.asked, 1);
    keeper.answer = OK;
    check_ok(crypto_sign(&key, &text, 1, signature));
    crypto_key_done(&key);
    crypto_key_done(&kept);
}

static void nothing_else_is_to_be_had_of_it(void **state)
{
    (void)state;
    struct crypto_key kept = {0}, key = {0}, peer = {0};
    struct keeper keeper = {.key = &kept};
    uint8_t room[1024];
    struct writer pem = writer_over(room, sizeof room);
    SECRET secret = {.len = 0};
    check_ok(crypto_key_generate(&kept, CRYPTO_P256));
    check_ok(crypto_key_generate(&peer, CRYPTO_P256));
    check_ok(crypto_key_delegate(&key, CRYPTO_P256, crypto_public_bytes(&kept.public_key), sign, &keeper));
    assert_int_not_equal(crypto_key_export(&key, &secret), OK);
    assert_int_not_equal(crypto_ecdh(&key, crypto_public_bytes(&peer.public_key), &secret), OK);
    assert_int_not_equal(crypto_key_put_pem(&pem, &key), OK);
    assert_int_not_equal(crypto_key_put_locked_pem(&pem, &key, bytes_from_text("words")), OK);
    assert_int_equal(secret.len, 0);
    assert_int_equal(pem.len, 0);
    assert_int_equal(keeper.asked, 0);
    crypto_key_done(&key);
    crypto_key_done(&kept);
    crypto_key_done(&peer);
}

static void only_a_point_of_these_curves_is_taken(void **state)
{
    (void)state;
    struct crypto_key kept = {0}, key = {0};
    struct keeper keeper = {.key = &kept};
    uint8_t off_curve[65] = {4, 1};
    check_ok(crypto_key_generate(&kept, CRYPTO_P256));
    struct bytes good = crypto_public_bytes(&kept.public_key);
    assert_int_equal(crypto_key_delegate(&key, CRYPTO_P256, BYTES_OF(off_curve), sign, &keeper), MALFORMED);
    assert_int_equal(crypto_key_delegate(&key, CRYPTO_P384, good, sign, &keeper), MALFORMED);
    assert_int_equal(crypto_key_delegate(&key, CRYPTO_ED25519, bytes_slice(good, 0, 32), sign, &keeper), UNSUPPORTED);
    for (size_t len = 0; len < good.len; len++)
        if (len != 33 && len != 32) /* forms of their own */
            assert_int_equal(crypto_key_delegate(&key, CRYPTO_P256, bytes_slice(good, 0, len), sign, &keeper),
                             MALFORMED);
    assert_null(key.pkey);
    crypto_key_done(&kept);
}

int main(void)
{
    check_ok(crypto_init());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_signatures_are_made_by_whoever_keeps_it),
        cmocka_unit_test(no_signature_comes_of_a_refusal),
        cmocka_unit_test(nothing_else_is_to_be_had_of_it),
        cmocka_unit_test(only_a_point_of_these_curves_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
