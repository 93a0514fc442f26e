/* crypto: keys, ECDH and signatures against published vectors, against tampering, and under a system call filter. */
#include "check.h"

#include "crypto.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef CRYPTO_MBEDTLS
static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384};
#else
static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384, CRYPTO_X25519, CRYPTO_ED25519};
#endif

#define CURVES (sizeof curves / sizeof *curves)

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(hex_decode(text, &writer));
    return writer_bytes(&writer);
}

static struct crypto_key import_hex(enum crypto_curve curve, const char *text)
{
    uint8_t room[48];
    struct crypto_key key = {0};
    check_ok(crypto_key_import(&key, curve, unhex(text, room, sizeof room)));
    return key;
}

/* RFC 5903 §8.1 */
#define P256_I "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433"
#define P256_R_X "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
#define P256_R_Y "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
#define P256_SHARED "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"

static void ecdh_on_p256_takes_all_forms_of_a_point(void **state)
{
    (void)state;
    static const char *const forms[] = {"04" P256_R_X P256_R_Y, "02" P256_R_X, "03" P256_R_X, P256_R_X};
    struct crypto_key key = import_hex(CRYPTO_P256, P256_I);
    for (size_t i = 0; i < 4; i++) {
        uint8_t peer[65], expected[32];
        SECRET shared = {0};
        check_ok(crypto_ecdh(&key, unhex(forms[i], peer, sizeof peer), &shared));
        check_bytes(unhex(P256_SHARED, expected, sizeof expected), secret_bytes(&shared));
    }
    crypto_key_done(&key);
}

#ifdef CRYPTO_MBEDTLS
static void keys_of_25519_are_unsupported(void **state)
{
    (void)state;
    static const enum crypto_curve absent[] = {CRYPTO_X25519, CRYPTO_ED25519};
    uint8_t raw[64] = {1};
    for (size_t i = 0; i < 2; i++) {
        struct crypto_key key = {0};
        struct crypto_public public_key = {0};
        struct bytes message = bytes_from_text("message");
        check_status(UNSUPPORTED, crypto_key_generate(&key, absent[i]));
        check_status(UNSUPPORTED, crypto_key_import(&key, absent[i], bytes_from(raw, 32)));
        check_status(UNSUPPORTED, crypto_public_import(&public_key, absent[i], bytes_from(raw, 32)));
        check_status(UNSUPPORTED,
                     crypto_verify(absent[i], bytes_from(raw, 32), &message, 1, bytes_from(raw, sizeof raw)));
        assert_null(key.pkey);
        assert_int_equal(0, public_key.len);
    }
}

/* RFC 6979 takes no randomness: the vectors' own signatures come out. */
#define SAME_EVERY_TIME(curve) true
#else
#define SAME_EVERY_TIME(curve) ((curve) == CRYPTO_ED25519)

static void x25519_matches_rfc_7748(void **state)
{
    (void)state;
    uint8_t bob[32], expected[32], public_key[32];
    struct crypto_key key =
        import_hex(CRYPTO_X25519, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    SECRET shared = {0};
    check_bytes(unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", public_key, 32),
                crypto_public_bytes(&key.public_key));
    unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", bob, 32);
    check_ok(crypto_ecdh(&key, BYTES_OF(bob), &shared));
    check_bytes(unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", expected, 32),
                secret_bytes(&shared));
    memset(bob, 0, sizeof bob); /* a point of small order: the output would be all zero */
    check_status(MALFORMED, crypto_ecdh(&key, BYTES_OF(bob), &shared));
    bob[0] = 1;
    check_status(MALFORMED, crypto_ecdh(&key, BYTES_OF(bob), &shared));
    check_bytes(BYTES_OF(expected), secret_bytes(&shared));
    crypto_key_done(&key);
}
#endif

static void two_sides_agree_and_keys_survive_export(void **state)
{
    (void)state;
    for (size_t i = 0; i < CURVES; i++) {
        struct crypto_key a = {0}, b = {0}, again = {0};
        SECRET raw = {0}, ab = {0}, ba = {0};
        check_ok(crypto_key_generate(&a, curves[i]));
        check_ok(crypto_key_generate(&b, curves[i]));
        check_ok(crypto_key_export(&a, &raw));
        assert_int_equal(crypto_private_len(curves[i]), raw.len);
        check_ok(crypto_key_import(&again, curves[i], secret_bytes(&raw)));
        check_bytes(crypto_public_bytes(&a.public_key), crypto_public_bytes(&again.public_key));
        assert_int_equal(crypto_private_len(curves[i]), crypto_public_x(&a.public_key).len);
        if (curves[i] == CRYPTO_ED25519) {
            check_status(UNSUPPORTED, crypto_ecdh(&a, crypto_public_bytes(&b.public_key), &ab));
        } else {
            check_ok(crypto_ecdh(&again, crypto_public_x(&b.public_key), &ab));
            check_ok(crypto_ecdh(&b, crypto_public_bytes(&a.public_key), &ba));
            assert_true(ab.len == ba.len && ct_equal(ab.data, ba.data, ab.len));
        }
        crypto_key_done(&a);
        crypto_key_done(&b);
        crypto_key_done(&again);
        check_status(WRONG_STATE, crypto_key_export(&a, &raw));
        check_status(WRONG_STATE, crypto_ecdh(&a, (struct bytes){0}, &raw));
    }
}

static void private_keys_out_of_range_are_malformed(void **state)
{
    (void)state;
    static const char *const orders[] = {
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t raw[48];
        struct crypto_key key = {0};
        struct bytes order = unhex(orders[i], raw, sizeof raw);
        check_status(MALFORMED, crypto_key_import(&key, curves[i], order));
        raw[order.len - 1]--; /* n - 1 is the last good one */
        check_ok(crypto_key_import(&key, curves[i], order));
        crypto_key_done(&key);
        memset(raw, 0, sizeof raw);
        check_status(MALFORMED, crypto_key_import(&key, curves[i], order));
    }
    for (size_t i = 0; i < CURVES; i++)
        for (size_t len = 0; len <= 49; len++) {
            uint8_t raw[49] = {1};
            struct crypto_key key = {0};
            bool fits = len == crypto_private_len(curves[i]);
            check_status(fits ? OK : MALFORMED, crypto_key_import(&key, curves[i], bytes_from(raw, len)));
            crypto_key_done(&key);
        }
    struct crypto_key key = {0};
    check_status(UNSUPPORTED, crypto_key_generate(&key, (enum crypto_curve)3));
}

static void points_off_the_curve_and_wrong_lengths_are_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < CURVES; i++) {
        struct crypto_key key = {0};
        struct crypto_public public_key = {0};
        check_ok(crypto_key_generate(&key, curves[i]));
        uint8_t form[CRYPTO_PUBLIC_MAX + 1] = {0};
        memcpy(form, key.public_key.data, key.public_key.len);
        size_t half = crypto_private_len(curves[i]);
        for (size_t len = 0; len <= sizeof form; len++)
            if (len != key.public_key.len && len != half)
                check_status(MALFORMED, crypto_public_import(&public_key, curves[i], bytes_from(form, len)));
        assert_int_equal(0, public_key.len);
        if (i < 2) {
            struct bytes whole = bytes_from(form, key.public_key.len);
            for (size_t bit = 0; bit < 8 * whole.len; bit++) {
                form[bit / 8] ^= (uint8_t)(1 << bit % 8);
                check_status(MALFORMED, crypto_public_import(&public_key, curves[i], whole));
                form[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            check_ok(crypto_public_import(&public_key, curves[i], whole));
            memset(form, 0xff, sizeof form); /* x past the prime */
            check_status(MALFORMED, crypto_public_import(&public_key, curves[i], bytes_from(form, half)));
        }
        crypto_key_done(&key);
    }
}

struct signature_vector {
    enum crypto_curve curve;
    const char *private_key, *public_key, *message, *signature;
};

static const struct signature_vector signatures[] = {
    /* RFC 6979 A.2.5 and A.2.6, message "sample" */
    {CRYPTO_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5"
     "1"
     "77a3c294d4462299",
     "73616d706c65",
     "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064"
     "d"
     "c4ab2f843acda8"},
    {CRYPTO_P384, "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
     "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc138015d9b72d7d572"
     "4"
     "4ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
     "73616d706c65",
     "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe4699ef4aeb15f178cea"
     "1"
     "fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8"},
#ifndef CRYPTO_MBEDTLS
    /* RFC 8032 §7.1, tests 1 and 2 */
    {CRYPTO_ED25519, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246"
     "5"
     "5141438e7a100b"},
    {CRYPTO_ED25519, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb"
     "0"
     "0d291612bb0c00"},
#endif
};

static void signatures_match_rfc_6979_and_rfc_8032(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature_vector *vector = &signatures[i];
        uint8_t room[3][128], made[CRYPTO_SIGNATURE_MAX];
        struct bytes public_key = unhex(vector->public_key, room[0], 128);
        struct bytes message = unhex(vector->message, room[1], 128);
        struct bytes signature = unhex(vector->signature, room[2], 128);
        struct crypto_key key = import_hex(vector->curve, vector->private_key);
        check_bytes(public_key, crypto_public_bytes(&key.public_key));
        check_ok(crypto_verify(vector->curve, public_key, &message, 1, signature));
        check_ok(crypto_sign(&key, &message, 1, made));
        check_ok(crypto_verify(vector->curve, public_key, &message, 1, bytes_from(made, signature.len)));
        if (SAME_EVERY_TIME(vector->curve))
            check_bytes(signature, bytes_from(made, signature.len));
        crypto_key_done(&key);
    }
}

static void every_flipped_bit_of_signature_and_message_is_auth(void **state)
{
    (void)state;
    for (size_t i = 0; i < CURVES; i++) {
        struct crypto_key key = {0};
        check_ok(crypto_key_generate(&key, curves[i]));
        uint8_t message[16] = "some message", signature[CRYPTO_SIGNATURE_MAX];
        struct bytes parts[] = {bytes_from(message, 5), {0}, bytes_from(message + 5, 11)};
        struct bytes public_key = crypto_public_bytes(&key.public_key);
        struct bytes whole = bytes_from(signature, crypto_signature_len(curves[i]));
        if (curves[i] == CRYPTO_X25519) {
            check_status(UNSUPPORTED, crypto_sign(&key, parts, 3, signature));
            check_status(UNSUPPORTED, crypto_verify(curves[i], public_key, parts, 3, whole));
            crypto_key_done(&key);
            continue;
        }
        check_ok(crypto_sign(&key, parts, 3, signature));
        check_ok(crypto_verify(curves[i], public_key, parts, 3, whole));
        for (size_t bit = 0; bit < 8 * whole.len; bit++) {
            signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
            check_status(AUTH, crypto_verify(curves[i], public_key, parts, 3, whole));
            signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
            message[bit / 8] ^= (uint8_t)(1 << bit % 8);
            check_status(AUTH, crypto_verify(curves[i], public_key, parts, 3, whole));
            message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t len = 0; len < whole.len; len++)
            check_status(AUTH, crypto_verify(curves[i], public_key, parts, 3, bytes_from(signature, len)));
        memset(signature, 0, sizeof signature); /* r = s = 0 */
        check_status(AUTH, crypto_verify(curves[i], public_key, parts, 3, whole));
        check_status(MALFORMED, crypto_verify(curves[i], bytes_from(public_key.data, 9), parts, 3, whole));
        crypto_key_done(&key);
        check_status(WRONG_STATE, crypto_sign(&key, parts, 3, signature));
    }
}

static void a_hash_made_elsewhere_verifies_like_its_message(void **state)
{
    (void)state;
    uint8_t room[2][128], hash[CRYPTO_HASH_MAX];
    struct bytes message = bytes_from_text("sample");
    struct bytes public_key = unhex(signatures[0].public_key, room[0], 128);
    struct bytes signature = unhex(signatures[0].signature, room[1], 128);
    check_ok(crypto_hash(CRYPTO_SHA256, &message, 1, hash));
    check_ok(crypto_verify_hash(CRYPTO_P256, public_key, bytes_from(hash, 32), signature));
    check_status(MALFORMED, crypto_verify_hash(CRYPTO_P256, public_key, bytes_from(hash, 31), signature));
    hash[31] ^= 1;
    check_status(AUTH, crypto_verify_hash(CRYPTO_P256, public_key, bytes_from(hash, 32), signature));
    check_status(UNSUPPORTED, crypto_verify_hash(CRYPTO_ED25519, public_key, bytes_from(hash, 32), signature));
}

#ifndef CRYPTO_MBEDTLS /* no enclave runs over it */
/* What an enclave may call once it runs, and what malloc needs here, where no runtime heap stands in for it. */
static void allow_only_what_an_enclave_may(void)
{
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(getrandom),
        ALLOW(getpid),
        ALLOW(exit_group),
        ALLOW(brk),
        ALLOW(mmap),
        ALLOW(munmap),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(2);
}

/* Everything this room does, from first use on; 0 when all of it worked. */
static int do_everything(void)
{
    struct bytes message = bytes_from_text("message");
    uint8_t key[32] = {1}, nonce[13] = {2}, room[256], signature[CRYPTO_SIGNATURE_MAX];
    static const enum crypto_aead_alg algs[] = {CRYPTO_A256GCM, CRYPTO_AES_CCM_16_64_256, CRYPTO_CHACHA20_POLY1305};
    for (size_t i = 0; i < 3; i++) {
        struct crypto_aead aead = {0};
        struct writer sealed = writer_over(room, sizeof room), opened = writer_over(room, sizeof room);
        struct bytes used = bytes_from(nonce, crypto_aead_nonce_len(algs[i]));
        if (crypto_random(nonce, sizeof nonce) || crypto_aead_init(&aead, algs[i], BYTES_OF(key)) ||
            crypto_aead_seal(&aead, used, message, message, &sealed) ||
            crypto_aead_open(&aead, used, message, writer_bytes(&sealed), &opened))
            return 3;
        room[0] ^= 1;
        opened = writer_over(room, sizeof room);
        if (crypto_aead_open(&aead, used, message, bytes_from(room, sealed.len), &opened) != AUTH)
            return 4;
        crypto_aead_done(&aead);
    }
    for (size_t i = 0; i < CURVES; i++) {
        struct crypto_key pair = {0};
        SECRET shared = {0};
        if (crypto_key_generate(&pair, curves[i]))
            return 5;
        struct bytes own = crypto_public_bytes(&pair.public_key);
        if (curves[i] != CRYPTO_ED25519 && crypto_ecdh(&pair, own, &shared))
            return 6;
        size_t len = crypto_signature_len(curves[i]);
        if (len && (crypto_sign(&pair, &message, 1, signature) ||
                    crypto_verify(curves[i], own, &message, 1, bytes_from(signature, len))))
            return 7;
        crypto_key_done(&pair);
    }
    return 0;
}

static void after_init_nothing_is_called_that_an_enclave_may_not(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__has_feature)
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
    skip(); /* the sanitizer's own system calls are more than an enclave's */
#endif
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        allow_only_what_an_enclave_may();
        syscall(SYS_exit_group, do_everything());
    }
    int status = -1;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(0, status);
}
#endif

int main(void)
{
    if (crypto_init() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
#ifdef CRYPTO_MBEDTLS
        cmocka_unit_test(keys_of_25519_are_unsupported),
#else
        cmocka_unit_test(after_init_nothing_is_called_that_an_enclave_may_not),
        cmocka_unit_test(x25519_matches_rfc_7748),
#endif
        cmocka_unit_test(ecdh_on_p256_takes_all_forms_of_a_point),
        cmocka_unit_test(two_sides_agree_and_keys_survive_export),
        cmocka_unit_test(private_keys_out_of_range_are_malformed),
        cmocka_unit_test(points_off_the_curve_and_wrong_lengths_are_malformed),
        cmocka_unit_test(signatures_match_rfc_6979_and_rfc_8032),
        cmocka_unit_test(every_flipped_bit_of_signature_and_message_is_auth),
        cmocka_unit_test(a_hash_made_elsewhere_verifies_like_its_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
