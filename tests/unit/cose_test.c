/* cose: the messages of RFC 9052 and of the COSE working group, tampering, headers that must be refused, keys. */
#include "check.h"

#include "cose.h"

#define KEY_X "bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff"
#define KEY_Y "20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e"
#define KEY_D "57c92077664146e876760c9520d054aa93c3afb04e306705db6090308507b4d3"
#define SIGN1 "a10442313154546869732069732074686520636f6e74656e742e5840"
#define RFC_SIGNATURE                                                                                                  \
    "8eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106c4d25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b09" \
    "16"                                                                                                               \
    "e5a4c345cacb36"

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(hex_decode(text, &writer));
    return writer_bytes(&writer);
}

static struct crypto_public example_key(void)
{
    uint8_t room[65];
    struct crypto_public key;
    check_ok(crypto_public_import(&key, CRYPTO_P256, unhex("04" KEY_X KEY_Y, room, sizeof room)));
    return key;
}

static enum status decode_hex(const char *text, struct cose_sign1 *sign1)
{
    static uint8_t room[512];
    return cose_sign1_decode(unhex(text, room, sizeof room), sign1);
}

/* RFC 9052 C.2.1, tagged and not */
static void the_sign1_of_rfc_9052_verifies(void **state)
{
    (void)state;
    static const char *const forms[] = {"d28443a10126" SIGN1 RFC_SIGNATURE, "8443a10126" SIGN1 RFC_SIGNATURE};
    struct crypto_public key = example_key();
    for (size_t i = 0; i < 2; i++) {
        struct cose_sign1 sign1;
        check_ok(decode_hex(forms[i], &sign1));
        assert_int_equal(COSE_ES256, sign1.headers.alg);
        check_bytes(bytes_from_text("11"), sign1.headers.kid);
        check_bytes(bytes_from_text("This is the content."), sign1.payload);
        assert_false(sign1.detached || sign1.headers.has_content_type);
        check_ok(cose_sign1_verify(&sign1, &key, (struct bytes){0}));
        check_status(AUTH, cose_sign1_verify(&sign1, &key, bytes_from_text("x")));
    }
}

/* cose-wg sign1-tests/sign-pass-02: external data */
static void external_data_is_signed_too(void **state)
{
    (void)state;
    uint8_t external[12];
    struct cose_sign1 sign1;
    struct crypto_public key = example_key();
    check_ok(
        decode_hex("d28443a10126" SIGN1
                   "eae868ecc176883766c5dc5ba5b8dca25dab3c2e56a551ce5705b793914348e155388b10c4f1b59a6733eab416870a94"
                   "5111a4b2fbdbef33a77234b1deff2f9b",
                   &sign1));
    check_ok(cose_sign1_verify(&sign1, &key, unhex("11aa22bb33cc44dd55006699", external, sizeof external)));
    check_status(AUTH, cose_sign1_verify(&sign1, &key, (struct bytes){0}));
}

static void every_flipped_bit_of_a_sign1_is_noticed(void **state)
{
    (void)state;
    static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384, CRYPTO_ED25519};
    for (size_t i = 0; i < 3; i++) {
        struct crypto_key key = {0};
        uint8_t room[256];
        struct writer writer = writer_over(room, sizeof room);
        struct cose_headers headers = {.has_content_type = true, .content_type = 60, .kid = bytes_from_text("me")};
        struct bytes payload = bytes_from_text("payload"), external = bytes_from_text("external");
        struct cose_sign1 sign1 = {0};
        check_ok(crypto_key_generate(&key, curves[i]));
        check_ok(cose_sign1_encode(&writer, &key, &headers, external, payload));
        struct bytes message = writer_bytes(&writer);
        check_ok(cose_sign1_decode(message, &sign1));
        assert_true(sign1.headers.has_content_type && sign1.headers.content_type == 60);
        check_bytes(payload, sign1.payload);
        check_bytes(headers.kid, sign1.headers.kid);
        check_ok(cose_sign1_verify(&sign1, &key.public_key, external));
        for (size_t bit = 0; bit < 8 * message.len; bit++) {
            room[bit / 8] ^= (uint8_t)(1 << bit % 8);
            struct cose_sign1 bad = {0};
            enum status status = cose_sign1_decode(message, &bad);
            if (status == OK)
                status = cose_sign1_verify(&bad, &key.public_key, external);
            /* The tag is optional and the unprotected kid is a hint: what is unsigned is all that may change. */
            bool unsigned_part =
                status == OK && bytes_equal(bad.payload, payload) && !bytes_equal(bad.headers.kid, headers.kid);
            assert_true(unsigned_part || status == AUTH || status == MALFORMED || status == TRUNCATED ||
                        status == UNSUPPORTED);
            room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t len = 0; len < message.len; len++)
            check_status(TRUNCATED, cose_sign1_decode(bytes_slice(message, 0, len), &sign1));
        check_status(MALFORMED, cose_sign1_decode(bytes_from(room, message.len + 1), &sign1));
        crypto_key_done(&key);
    }
}

static void a_key_of_another_algorithm_is_auth(void **state)
{
    (void)state;
    struct crypto_key key = {0};
    struct cose_sign1 sign1;
    uint8_t room[256];
    struct writer writer = writer_over(room, sizeof room);
    check_ok(decode_hex("d28443a10126" SIGN1 RFC_SIGNATURE, &sign1));
    check_ok(crypto_key_generate(&key, CRYPTO_ED25519));
    check_status(AUTH, cose_sign1_verify(&sign1, &key.public_key, (struct bytes){0}));
    crypto_key_done(&key);
    check_ok(crypto_key_generate(&key, CRYPTO_X25519));
    check_status(AUTH, cose_sign1_verify(&sign1, &key.public_key, (struct bytes){0}));
    check_status(UNSUPPORTED,
                 cose_sign1_encode(&writer, &key, &(struct cose_headers){0}, (struct bytes){0}, (struct bytes){0}));
    assert_int_equal(0, writer.len);
    crypto_key_done(&key);
}

static void a_detached_payload_is_put_back_before_verifying(void **state)
{
    (void)state;
    struct crypto_public key = example_key();
    struct cose_sign1 sign1;
    check_ok(decode_hex("8443a10126a104423131f65840" RFC_SIGNATURE, &sign1));
    assert_true(sign1.detached);
    check_status(AUTH, cose_sign1_verify(&sign1, &key, (struct bytes){0}));
    sign1.payload = bytes_from_text("This is the content.");
    check_ok(cose_sign1_verify(&sign1, &key, (struct bytes){0}));
}

static void a_message_that_carries_its_payload_is_opened_and_no_other(void **state)
{
    (void)state;
    struct crypto_public key = example_key();
    struct bytes payload = bytes_from_text("untouched");
    uint8_t message[256];
    struct bytes encoded = unhex("d28443a10126" SIGN1 RFC_SIGNATURE, message, sizeof message);
    check_ok(cose_sign1_open(encoded, &key, &payload));
    check_bytes(bytes_from_text("This is the content."), payload);
    payload = bytes_from_text("untouched");
    message[encoded.len - 1] ^= 1;
    check_status(AUTH, cose_sign1_open(encoded, &key, &payload));
    check_status(TRUNCATED, cose_sign1_open(bytes_slice(encoded, 0, encoded.len - 1), &key, &payload));
    encoded = unhex("8443a10126a104423131f65840" RFC_SIGNATURE, message, sizeof message);
    check_status(MALFORMED, cose_sign1_open(encoded, &key, &payload));
    check_bytes(bytes_from_text("untouched"), payload);
}

static void headers_that_cannot_be_honoured_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        enum status status;
    } cases[] = {
        {"8446a20126028101a04040", OK},                  /* crit: alg, which is there */
        {"844aa30126028118641864f6a04040", UNSUPPORTED}, /* crit: an unknown label */
        {"8448a201260281616100a04040", UNSUPPORTED},     /* crit: an unknown name, and a byte too many behind the map */
        {"8447a2012602816161a04040", UNSUPPORTED},       /* crit: an unknown name */
        {"8446a20126028104a04040", MALFORMED},           /* crit: kid, which is not there */
        {"8445a201260280a04040", MALFORMED},             /* crit: nothing */
        {"8443a10126a10281014040", MALFORMED},           /* crit out of the protected bucket */
        {"8443a10126a101264040", MALFORMED},             /* alg in both */
        {"8440a101264040", UNSUPPORTED},                 /* alg unprotected only */
        {"8440a04040", UNSUPPORTED},                     /* no alg */
        {"8441a0a04040", UNSUPPORTED},                   /* an empty map instead of an empty string, and no alg */
        {"8446a10163616263a04040", UNSUPPORTED},         /* alg by name */
        {"8446a2012603183ca04040", OK},                  /* content type 60 */
        {"8447a2012603190100a04040", OK},
        {"8449a20126031a00010000a04040", MALFORMED}, /* past 16 bits */
        {"8443a10126a10440a04040", MALFORMED},
        {"8343a10126a04040", MALFORMED},
        {"8543a10126a0404040", MALFORMED},
        {"d08443a10126a04040", UNSUPPORTED}, /* the tag of Encrypt0 */
        {"d2d28443a10126a04040", MALFORMED},
        {"8443a10126a0f540", MALFORMED},
        {"8443a10126a040f6", MALFORMED},
        {"8443a10126a10101", MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cose_sign1 sign1 = {.signature = BYTES_OF("old")};
        enum status status = decode_hex(cases[i].message, &sign1);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].message, status_word(status));
        assert_true(status == OK || sign1.signature.len == 4);
    }
}

/* RFC 9052 C.4.1, under the 16-byte key of its Appendix C.7.2 */
static void the_encrypt0_of_rfc_9052_opens_and_is_made_again(void **state)
{
    (void)state;
    uint8_t key_room[16], room[128], out[128];
    struct crypto_aead aead = {0};
    struct cose_encrypt0 encrypt0;
    struct writer text = writer_over(out, sizeof out);
    check_ok(crypto_aead_init(&aead, CRYPTO_AES_CCM_16_64_128,
                              unhex("849b5786457c1491be3a76dcea6c4271", key_room, sizeof key_room)));
    struct bytes message =
        unhex("d08343a1010aa1054d89f52f65a1c580933b5261a78c581c5974e1b99a3a4cc09a659aa2e9e7fff161d38ce71c"
              "b45ce460ffb569",
              room, sizeof room);
    check_ok(cose_encrypt0_decode(message, &encrypt0));
    check_ok(cose_encrypt0_decrypt(&encrypt0, &aead, (struct bytes){0}, &text));
    check_bytes(bytes_from_text("This is the content."), writer_bytes(&text));
    uint8_t again[128];
    struct writer writer = writer_over(again, sizeof again);
    check_ok(cose_encrypt0_encode(&writer, &aead, &encrypt0.headers, (struct bytes){0}, writer_bytes(&text)));
    check_bytes(message, writer_bytes(&writer));
    crypto_aead_done(&aead);
}

static void every_flipped_bit_of_an_encrypt0_is_noticed(void **state)
{
    (void)state;
    uint8_t key[32] = {1}, nonce[12] = {2}, room[128], out[128];
    struct crypto_aead aead = {0};
    check_ok(crypto_aead_init(&aead, CRYPTO_A256GCM, BYTES_OF(key)));
    struct cose_headers headers = {.text_type = bytes_from_text("text/x"), .iv = BYTES_OF(nonce)};
    struct writer writer = writer_over(room, sizeof room);
    struct bytes external = bytes_from_text("external");
    check_ok(cose_encrypt0_encode(&writer, &aead, &headers, external, bytes_from_text("hidden")));
    struct bytes message = writer_bytes(&writer);
    struct cose_encrypt0 encrypt0 = {0};
    for (size_t bit = 0; bit <= 8 * message.len; bit++) {
        if (bit < 8 * message.len)
            room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct writer text = writer_over(out, sizeof out);
        enum status status = cose_encrypt0_decode(message, &encrypt0);
        if (status == OK)
            status = cose_encrypt0_decrypt(&encrypt0, &aead, external, &text);
        if (bit == 8 * message.len) {
            check_ok(status);
            check_bytes(headers.text_type, encrypt0.headers.text_type);
            break;
        }
        assert_true(status == AUTH || status == MALFORMED || status == TRUNCATED || status == UNSUPPORTED);
        assert_int_equal(0, text.len);
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < message.len; len++)
        check_status(TRUNCATED, cose_encrypt0_decode(bytes_slice(message, 0, len), &encrypt0));
    check_status(MALFORMED, cose_encrypt0_decode(bytes_from(room, message.len + 1), &encrypt0));
    crypto_aead_done(&aead);
}

static void additional_data_past_its_limit_is_refused(void **state)
{
    (void)state;
    uint8_t key[16] = {1}, nonce[12] = {2}, room[128], external[COSE_AAD_MAX] = {0};
    struct crypto_aead aead = {0};
    check_ok(crypto_aead_init(&aead, CRYPTO_A128GCM, BYTES_OF(key)));
    struct cose_headers headers = {.iv = BYTES_OF(nonce)};
    const size_t fixed = 1 + 9 + 4 + 3; /* array, "Encrypt0", protected, head of the external data */
    for (size_t len = COSE_AAD_MAX - fixed; len <= COSE_AAD_MAX - fixed + 1; len++) {
        struct writer writer = writer_over(room, sizeof room);
        check_status(len + fixed > COSE_AAD_MAX ? NO_ROOM : OK,
                     cose_encrypt0_encode(&writer, &aead, &headers, bytes_from(external, len), (struct bytes){0}));
    }
    headers.iv.len--;
    struct writer writer = writer_over(room, sizeof room);
    check_status(MALFORMED, cose_encrypt0_encode(&writer, &aead, &headers, (struct bytes){0}, (struct bytes){0}));
    assert_int_equal(0, writer.len);
    crypto_aead_done(&aead);
}

static void keys_of_every_curve_round_trip(void **state)
{
    (void)state;
    static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384, CRYPTO_X25519, CRYPTO_ED25519};
    for (size_t i = 0; i < 4; i++)
        for (size_t with_kid = 0; with_kid < 2; with_kid++) {
            struct crypto_key key = {0};
            struct crypto_public back = {0};
            struct bytes kid = {0}, given = bytes_from("kid", with_kid ? 3 : 0);
            uint8_t room[160];
            struct writer writer = writer_over(room, sizeof room);
            check_ok(crypto_key_generate(&key, curves[i]));
            cose_put_key(&writer, &key.public_key, given);
            struct reader reader = reader_over(writer_bytes(&writer)), strict = reader;
            cbor_skip(&strict);
            check_ok(reader_end(&strict));
            check_ok(cose_take_key(&reader, &back, &kid));
            check_ok(reader_end(&reader));
            assert_int_equal(curves[i], back.curve);
            check_bytes(crypto_public_bytes(&key.public_key), crypto_public_bytes(&back));
            check_bytes(given, kid);
            for (size_t len = 0; len < writer.len; len++) {
                reader = reader_over(bytes_from(room, len));
                check_status(TRUNCATED, cose_take_key(&reader, &back, NULL));
            }
            crypto_key_done(&key);
        }
}

static void keys_that_are_not_public_keys_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum status status;
    } cases[] = {
        {"a401022001215820" KEY_X "225820" KEY_Y, OK},
        {"a401022001215820" KEY_X "22f4", OK},
        {"a501020326"
         "2001215820" KEY_X "225820" KEY_Y,
         OK},
        {"a50102032720012158"
         "20" KEY_X "225820" KEY_Y,
         UNSUPPORTED}, /* alg of another key */
        {"a501022001215820" KEY_X "225820" KEY_Y "235820" KEY_D, DENIED},
        {"a401022001215820" KEY_X "225820" KEY_X, MALFORMED}, /* off the curve */
        {"a301022001215820" KEY_X, MALFORMED},                /* no y */
        {"a401022002215820" KEY_X "225820" KEY_Y, MALFORMED}, /* too short for P-384 */
        {"a401012001215820" KEY_X "225820" KEY_Y, UNSUPPORTED},
        {"a401022003215820" KEY_X "225820" KEY_Y, UNSUPPORTED},
        {"a301012006215820" KEY_X, OK},
        {"a401012006215820" KEY_X "22f5", MALFORMED},
        {"a401022001215820" KEY_X "2240", MALFORMED},
        {"a0", UNSUPPORTED},
        {"80", MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t room[160];
        struct crypto_public key = {0};
        struct reader reader = reader_over(unhex(cases[i].key, room, sizeof room));
        enum status status = cose_take_key(&reader, &key, NULL);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].key, status_word(status));
        assert_int_equal(status, reader.status);
        assert_true(status == OK ? key.len > 0 : key.len == 0);
    }
}

int main(void)
{
    if (crypto_init() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sign1_of_rfc_9052_verifies),
        cmocka_unit_test(external_data_is_signed_too),
        cmocka_unit_test(every_flipped_bit_of_a_sign1_is_noticed),
        cmocka_unit_test(a_key_of_another_algorithm_is_auth),
        cmocka_unit_test(a_detached_payload_is_put_back_before_verifying),
        cmocka_unit_test(a_message_that_carries_its_payload_is_opened_and_no_other),
        cmocka_unit_test(headers_that_cannot_be_honoured_are_refused),
        cmocka_unit_test(the_encrypt0_of_rfc_9052_opens_and_is_made_again),
        cmocka_unit_test(every_flipped_bit_of_an_encrypt0_is_noticed),
        cmocka_unit_test(additional_data_past_its_limit_is_refused),
        cmocka_unit_test(keys_of_every_curve_round_trip),
        cmocka_unit_test(keys_that_are_not_public_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
