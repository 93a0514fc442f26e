/* crypto: AEAD against published vectors, against tampering, and with the library's allocations counted. */
#include "check.h"

#include "crypto.h"

#include <stdlib.h>

static volatile size_t allocations; /* the compiler takes it that malloc changes nothing of ours */

#ifdef CRYPTO_MBEDTLS /* the linker wraps them */
void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *data, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *data, size_t len);

void *__wrap_malloc(size_t len)
{
    allocations++;
    return __real_malloc(len);
}

void *__wrap_calloc(size_t count, size_t len)
{
    allocations++;
    return __real_calloc(count, len);
}

void *__wrap_realloc(void *data, size_t len)
{
    allocations++;
    return __real_realloc(data, len);
}

static bool count_allocations(void)
{
    return true;
}
#else
#include <openssl/crypto.h>

static void *counting_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    allocations++;
    return malloc(len);
}

static void *counting_realloc(void *data, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    allocations++;
    return realloc(data, len);
}

static void counting_free(void *data, const char *file, int line)
{
    (void)file;
    (void)line;
    free(data);
}

static bool count_allocations(void)
{
    return CRYPTO_set_mem_functions(counting_malloc, counting_realloc, counting_free) == 1;
}
#endif

static const enum crypto_aead_alg algs[] = {CRYPTO_A128GCM,           CRYPTO_A256GCM,
                                            CRYPTO_AES_CCM_16_64_128, CRYPTO_AES_CCM_16_64_256,
                                            CRYPTO_CHACHA20_POLY1305, CRYPTO_AES_CCM_16_128_128,
                                            CRYPTO_AES_CCM_16_128_256};

#define ALGS (sizeof algs / sizeof *algs)

struct vector {
    enum crypto_aead_alg alg;
    const char *key, *nonce, *aad, *text, *sealed;
};

static const char content[] = "546869732069732074686520636f6e74656e742e"; /* "This is the content." */
#define GCM_TEXT                                                                                                       \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657" \
    "ba637b39"

static const struct vector vectors[] = {
    /* RFC 3610 §8, packet vector 1 */
    {CRYPTO_AES_CCM_16_64_128, "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", "00000003020100a0a1a2a3a4a5", "0001020304050607",
     "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
     "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0"},
    /* COSE working group, aes-ccm-enc-02, -05 and -06 */
    {CRYPTO_AES_CCM_16_128_128, "849b57219dae48de646d07dbb533566e", "89f52f65a1c580933b5261a72f",
     "8369456e6372797074656444a101181e40", content,
     "6899da0a132bd2d2b9b10915743ee1f7b92a4680122d9d77e744a057a24c041740301098"},
    {CRYPTO_AES_CCM_16_64_256, "0f1e2d3c4b5a69788796a5b4c3d2e1f01f2e3d4c5b6a798897a6b5c4d3e2f100",
     "89f52f65a1c580933b5261a72f", "8368456e63727970743143a1010b40", content,
     "28b3bddff844a736c5f0ee0f8c691fd0b7adf9177f13d284e84ffb70"},
    {CRYPTO_AES_CCM_16_128_256, "0f1e2d3c4b5a69788796a5b4c3d2e1f01f2e3d4c5b6a798897a6b5c4d3e2f100",
     "89f52f65a1c580933b5261a72f", "8369456e6372797074656444a101181f40", content,
     "28b3bddff844a736c5f0ee0f8c691fd0b7adf9178d9013cd35d210ef953f3b4b025d9bec"},
    /* GCM specification, test cases 4 and 16 */
    {CRYPTO_A128GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac97"
     "3d58e0915bc94fbc3221a5db94fae95ae7121a47"},
    {CRYPTO_A256GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
     "bcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
    /* RFC 8439 §2.8.2 */
    {CRYPTO_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666"
     "657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069"
     "742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b29"
     "05d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b"
     "61161ae10b594f09e26a7e902ecbd0600691"},
};

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(hex_decode(text, &writer));
    return writer_bytes(&writer);
}

static struct crypto_aead ready_aead(enum crypto_aead_alg alg)
{
    static const uint8_t key[CRYPTO_AEAD_KEY_MAX] = {1, 2, 3};
    struct crypto_aead aead = {0};
    check_ok(crypto_aead_init(&aead, alg, bytes_from(key, crypto_aead_key_len(alg))));
    return aead;
}

static struct bytes some_nonce(enum crypto_aead_alg alg)
{
    static const uint8_t nonce[CRYPTO_AEAD_NONCE_MAX] = {9, 8, 7};
    return bytes_from(nonce, crypto_aead_nonce_len(alg));
}

static void sealing_and_opening_match_the_vectors_again_and_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t room[5][256], out[256];
        struct bytes key = unhex(vectors[i].key, room[0], 256), nonce = unhex(vectors[i].nonce, room[1], 256);
        struct bytes aad = unhex(vectors[i].aad, room[2], 256), text = unhex(vectors[i].text, room[3], 256);
        struct bytes sealed = unhex(vectors[i].sealed, room[4], 256);
        struct crypto_aead aead = {0};
        check_ok(crypto_aead_init(&aead, vectors[i].alg, key));
        for (int again = 0; again < 3; again++) {
            struct writer writer = writer_over(out, sizeof out);
            check_ok(crypto_aead_seal(&aead, nonce, aad, text, &writer));
            check_bytes(sealed, writer_bytes(&writer));
            writer = writer_over(out, sizeof out);
            check_ok(crypto_aead_open(&aead, nonce, aad, sealed, &writer));
            check_bytes(text, writer_bytes(&writer));
        }
        crypto_aead_done(&aead);
    }
}

static void every_length_round_trips_in_place_too(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGS; a++) {
        struct crypto_aead aead = ready_aead(algs[a]);
        uint8_t text[70], out[100];
        for (size_t len = 0; len <= sizeof text; len++) {
            struct bytes aad = bytes_from(out, len % 3 ? 5 : 0);
            memset(text, (int)len, sizeof text);
            memset(out, (int)len, sizeof out);
            uint8_t aad_copy[5];
            memset(aad_copy, (int)len, sizeof aad_copy);
            aad.data = aad_copy;
            struct writer writer = writer_over(out, sizeof out);
            check_ok(crypto_aead_seal(&aead, some_nonce(algs[a]), aad, bytes_from(out, len), &writer));
            assert_int_equal(len + crypto_aead_tag_len(algs[a]), writer.len);
            struct writer back = writer_over(out, sizeof out);
            check_ok(crypto_aead_open(&aead, some_nonce(algs[a]), aad, writer_bytes(&writer), &back));
            check_bytes(bytes_from(text, len), writer_bytes(&back));
        }
        crypto_aead_done(&aead);
    }
}

static void every_flipped_bit_is_auth_and_leaves_the_output_alone(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGS; a++) {
        struct crypto_aead aead = ready_aead(algs[a]);
        uint8_t all[128], out[64];
        struct bytes aad = bytes_from_text("additional"), text = bytes_from_text("a secret of some length");
        struct writer sealed = writer_over(all, sizeof all);
        put_bytes(&sealed, some_nonce(algs[a]));
        put_bytes(&sealed, aad);
        size_t start = sealed.len;
        check_ok(crypto_aead_seal(&aead, some_nonce(algs[a]), aad, text, &sealed));
        for (size_t bit = 0; bit <= 8 * sealed.len; bit++) {
            if (bit < 8 * sealed.len)
                all[bit / 8] ^= (uint8_t)(1 << bit % 8);
            struct bytes whole = writer_bytes(&sealed);
            struct writer back = writer_over(out, sizeof out);
            put_u8(&back, 0x55);
            enum status status = crypto_aead_open(&aead, bytes_slice(whole, 0, start - aad.len),
                                                  bytes_slice(whole, start - aad.len, aad.len),
                                                  bytes_slice(whole, start, whole.len - start), &back);
            if (bit == 8 * sealed.len) { /* and after all that, the right one still opens */
                check_ok(status);
                break;
            }
            check_status(AUTH, status);
            assert_int_equal(1, back.len);
            check_ok(writer_end(&back));
            assert_int_equal(0x55, out[0]);
            for (size_t i = 1; i <= text.len; i++)
                assert_int_equal(0, out[i]);
            all[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        crypto_aead_done(&aead);
    }
}

static void every_shorter_prefix_is_auth(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGS; a++) {
        struct crypto_aead aead = ready_aead(algs[a]);
        uint8_t all[64] = {0}, out[64];
        struct writer sealed = writer_over(all, sizeof all);
        check_ok(crypto_aead_seal(&aead, some_nonce(algs[a]), (struct bytes){0}, bytes_from_text("text"), &sealed));
        for (size_t len = 0; len <= sealed.len + 1; len++) {
            struct writer back = writer_over(out, sizeof out);
            check_status(len == sealed.len ? OK : AUTH,
                         crypto_aead_open(&aead, some_nonce(algs[a]), (struct bytes){0}, bytes_from(all, len), &back));
        }
        crypto_aead_done(&aead);
    }
}

static void wrong_lengths_are_refused(void **state)
{
    (void)state;
    uint8_t key[40] = {0}, out[64];
    for (size_t a = 0; a < ALGS; a++) {
        struct crypto_aead aead = {0};
        size_t key_len = crypto_aead_key_len(algs[a]), nonce_len = crypto_aead_nonce_len(algs[a]);
        for (size_t len = 0; len <= sizeof key; len++)
            if (len != key_len)
                check_status(MALFORMED, crypto_aead_init(&aead, algs[a], bytes_from(key, len)));
        assert_null(aead.seal);
        aead = ready_aead(algs[a]);
        struct writer writer = writer_over(out, sizeof out);
        for (size_t len = 0; len <= 20; len++)
            if (len != nonce_len) {
                struct bytes nonce = bytes_from(key, len);
                check_status(MALFORMED, crypto_aead_seal(&aead, nonce, (struct bytes){0}, (struct bytes){0}, &writer));
                check_status(MALFORMED, crypto_aead_open(&aead, nonce, (struct bytes){0}, BYTES_OF(key), &writer));
            }
        struct bytes text = bytes_from(key, 10);
        size_t needed = text.len + crypto_aead_tag_len(algs[a]);
        writer = writer_over(out, needed - 1);
        check_status(NO_ROOM, crypto_aead_seal(&aead, some_nonce(algs[a]), (struct bytes){0}, text, &writer));
        assert_int_equal(0, writer.len);
        check_ok(writer_end(&writer));
        writer = writer_over(out, needed);
        check_ok(crypto_aead_seal(&aead, some_nonce(algs[a]), (struct bytes){0}, text, &writer));
        crypto_aead_done(&aead);
        check_status(WRONG_STATE, crypto_aead_seal(&aead, some_nonce(algs[a]), text, text, &writer));
        check_status(WRONG_STATE, crypto_aead_open(&aead, some_nonce(algs[a]), text, text, &writer));
    }
    struct crypto_aead aead = {0};
    check_status(UNSUPPORTED, crypto_aead_init(&aead, (enum crypto_aead_alg)2, bytes_from(key, 16)));
}

static void a_key_for_one_direction_knows_no_other(void **state)
{
    (void)state;
    uint8_t key[CRYPTO_AEAD_KEY_MAX] = {7}, sealed_room[64], opened_room[64];
    struct bytes text = bytes_from_text("both ways are the same cipher");
    for (size_t a = 0; a < ALGS; a++) {
        struct bytes whole = bytes_from(key, crypto_aead_key_len(algs[a]));
        struct crypto_aead seals = {0}, opens = {0};
        struct writer sealed = writer_over(sealed_room, sizeof sealed_room);
        struct writer opened = writer_over(opened_room, sizeof opened_room);
        check_ok(crypto_aead_init_for(&seals, algs[a], whole, CRYPTO_SEAL));
        check_ok(crypto_aead_init_for(&opens, algs[a], whole, CRYPTO_OPEN));
        check_status(WRONG_STATE, crypto_aead_seal(&opens, some_nonce(algs[a]), text, text, &sealed));
        check_ok(crypto_aead_seal(&seals, some_nonce(algs[a]), text, text, &sealed));
        check_status(WRONG_STATE, crypto_aead_open(&seals, some_nonce(algs[a]), text, writer_bytes(&sealed), &opened));
        check_ok(crypto_aead_open(&opens, some_nonce(algs[a]), text, writer_bytes(&sealed), &opened));
        check_bytes(text, writer_bytes(&opened));
        crypto_aead_done(&seals);
        crypto_aead_done(&opens);
    }
}

static void ccm_takes_65535_bytes_and_not_one_more(void **state)
{
    (void)state;
    static uint8_t text[65536], out[65536 + 16];
    struct crypto_aead aead = ready_aead(CRYPTO_AES_CCM_16_64_128);
    struct bytes nonce = some_nonce(CRYPTO_AES_CCM_16_64_128);
    struct writer writer = writer_over(out, sizeof out);
    check_ok(crypto_aead_seal(&aead, nonce, (struct bytes){0}, bytes_from(text, 65535), &writer));
    struct writer back = writer_over(text, sizeof text);
    check_ok(crypto_aead_open(&aead, nonce, (struct bytes){0}, writer_bytes(&writer), &back));
    assert_int_equal(65535, back.len);
    writer = writer_over(out, sizeof out);
    check_status(NO_ROOM, crypto_aead_seal(&aead, nonce, (struct bytes){0}, bytes_from(text, 65536), &writer));
    crypto_aead_done(&aead);
}

static void a_thousand_messages_allocate_nothing(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGS; a++) {
        struct crypto_aead aead = ready_aead(algs[a]);
        uint8_t nonce[CRYPTO_AEAD_NONCE_MAX] = {0}, hash[CRYPTO_HASH_MAX], out[128], back[128];
        size_t before = allocations;
        assert_true(before > 0); /* the counters are in place */
        for (size_t i = 0; i < 1000; i++) {
            nonce[0] = (uint8_t)i;
            nonce[1] = (uint8_t)(i >> 8);
            struct bytes used = bytes_from(nonce, crypto_aead_nonce_len(algs[a])), aad = bytes_from(nonce, i % 9);
            struct writer sealed = writer_over(out, sizeof out), opened = writer_over(back, sizeof back);
            check_ok(crypto_aead_seal(&aead, used, aad, bytes_from(hash, i % 64), &sealed));
            check_ok(crypto_aead_open(&aead, used, aad, writer_bytes(&sealed), &opened));
            check_ok(crypto_hmac(CRYPTO_SHA256, used, &aad, 1, hash));
            check_ok(crypto_hkdf_expand(CRYPTO_SHA384, used, aad, hash, sizeof hash));
        }
        assert_int_equal(before, allocations);
        crypto_aead_done(&aead);
    }
}

int main(void)
{
    uint8_t key[16] = {0};
    struct crypto_aead early = {0};
    if (crypto_aead_init(&early, CRYPTO_A128GCM, BYTES_OF(key)) != WRONG_STATE)
        return 1; /* before crypto_init() there is nothing to key */
    if (!count_allocations() || crypto_init() != OK || crypto_init() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealing_and_opening_match_the_vectors_again_and_again),
        cmocka_unit_test(every_length_round_trips_in_place_too),
        cmocka_unit_test(every_flipped_bit_is_auth_and_leaves_the_output_alone),
        cmocka_unit_test(every_shorter_prefix_is_auth),
        cmocka_unit_test(wrong_lengths_are_refused),
        cmocka_unit_test(a_key_for_one_direction_knows_no_other),
        cmocka_unit_test(ccm_takes_65535_bytes_and_not_one_more),
        cmocka_unit_test(a_thousand_messages_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
