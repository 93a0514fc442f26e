/* First contact: hello and answer come back, are refused when bent in any bit, and both sides derive one secret. */
#include "check.h"

#include "cbor.h"
#include "contact.h"
#include "cose.h"

static struct crypto_key owner, hub, ephemeral;
static const uint8_t config_id[32] = {0xc0, 1, 2}, other_site[32] = {0xc0, 1, 3};

static struct contact_hello sample(void)
{
    struct contact_hello hello = {.ephemeral = ephemeral.public_key};
    for (size_t i = 0; i < sizeof hello.nonce; i++)
        hello.nonce[i] = (uint8_t)(i + 1);
    return hello;
}

static struct bytes hello_of(uint8_t *room, size_t cap)
{
    struct contact_hello hello = sample();
    struct writer writer = writer_over(room, cap);
    check_ok(contact_hello_sign(&writer, &owner, config_id, &hello));
    return writer_bytes(&writer);
}

static void a_hello_comes_back(void **state)
{
    (void)state;
    uint8_t room[CONTACT_HELLO_MAX];
    struct contact_hello expected = sample(), hello;
    check_ok(contact_hello_open(hello_of(room, sizeof room), &owner.public_key, config_id, &hello));
    assert_memory_equal(expected.nonce, hello.nonce, sizeof hello.nonce);
    check_bytes(crypto_public_bytes(&expected.ephemeral), crypto_public_bytes(&hello.ephemeral));
}

static void a_hello_is_for_one_owner_and_one_site(void **state)
{
    (void)state;
    uint8_t room[CONTACT_HELLO_MAX];
    struct contact_hello hello;
    struct bytes bytes = hello_of(room, sizeof room);
    check_status(AUTH, contact_hello_open(bytes, &owner.public_key, other_site, &hello));
    check_status(AUTH, contact_hello_open(bytes, &hub.public_key, config_id, &hello));
}

static void every_flipped_bit_prefix_and_extra_byte_of_a_hello_is_refused(void **state)
{
    (void)state;
    uint8_t room[CONTACT_HELLO_MAX] = {0};
    struct bytes whole = hello_of(room, sizeof room);
    struct contact_hello hello, before;
    memset(&hello, 0x5a, sizeof hello);
    before = hello;
    for (size_t bit = 0; bit < whole.len * 8; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(OK, contact_hello_open(whole, &owner.public_key, config_id, &hello));
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < whole.len; len++)
        check_status(TRUNCATED, contact_hello_open(bytes_slice(whole, 0, len), &owner.public_key, config_id, &hello));
    check_status(MALFORMED, contact_hello_open(bytes_from(room, whole.len + 1), &owner.public_key, config_id, &hello));
    assert_memory_equal(&before, &hello, sizeof hello); /* untouched on failure */
}

/* A signature of the owner over something that is no hello: what stands inside is checked as well. */
static enum status open_signed(struct bytes payload, size_t kid_len)
{
    static const uint8_t kid[CONTACT_HELLO_MAX] = {0};
    uint8_t room[2 * CONTACT_HELLO_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct contact_hello hello;
    const struct cose_headers headers = {.kid = bytes_from(kid, kid_len)};
    check_ok(cose_sign1_encode(&writer, &owner, &headers, BYTES_OF(config_id), payload));
    return contact_hello_open(writer_bytes(&writer), &owner.public_key, config_id, &hello);
}

static struct bytes payload_of(struct writer *writer, size_t nonce_len, const struct crypto_public *key)
{
    static const uint8_t nonce[CONTACT_NONCE_LEN + 1] = {1};
    cbor_put_map(writer, 2);
    cbor_put_uint(writer, 1);
    cbor_put_bytes(writer, bytes_from(nonce, nonce_len));
    cbor_put_uint(writer, 2);
    cose_put_key(writer, key, (struct bytes){0});
    check_ok(writer_end(writer));
    return writer_bytes(writer);
}

static void what_the_owner_signed_is_a_hello_only_if_it_reads_as_one(void **state)
{
    (void)state;
    uint8_t room[512] = {0};
    struct crypto_key p384 = {0};
    struct writer writer = writer_over(room, sizeof room);
    struct bytes whole = payload_of(&writer, CONTACT_NONCE_LEN, &ephemeral.public_key);
    check_ok(open_signed(whole, 0));
    for (size_t len = 0; len < whole.len; len++)
        check_status(TRUNCATED, open_signed(bytes_slice(whole, 0, len), 0));
    check_status(MALFORMED, open_signed(bytes_from(room, whole.len + 1), 0));
    for (size_t len = CONTACT_NONCE_LEN - 1; len <= CONTACT_NONCE_LEN + 1; len += 2) {
        writer = writer_over(room, sizeof room);
        check_status(MALFORMED, open_signed(payload_of(&writer, len, &ephemeral.public_key), 0));
    }
    check_ok(crypto_key_generate(&p384, CRYPTO_P384));
    writer = writer_over(room, sizeof room);
    check_status(UNSUPPORTED, open_signed(payload_of(&writer, CONTACT_NONCE_LEN, &p384.public_key), 0));
    crypto_key_done(&p384);
}

static void a_hello_has_a_longest_length(void **state)
{
    (void)state;
    uint8_t room[512], hello[CONTACT_HELLO_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct bytes payload = payload_of(&writer, CONTACT_NONCE_LEN, &ephemeral.public_key);
    /* A kid fills it up; its two heads (key, length in two bytes of their own) are four bytes. */
    size_t fill = CONTACT_HELLO_MAX - hello_of(hello, sizeof hello).len - 4;
    check_ok(open_signed(payload, fill));
    check_status(NO_ROOM, open_signed(payload, fill + 1));
}

static void only_p256_keys_sign_and_travel(void **state)
{
    (void)state;
    uint8_t room[CONTACT_HELLO_MAX], user_data[CONTACT_USER_DATA_LEN];
    struct crypto_key p384 = {0};
    struct contact_hello hello = sample();
    struct writer writer = writer_over(room, sizeof room);
    struct oscore_input input;
    check_ok(crypto_key_generate(&p384, CRYPTO_P384));
    check_status(UNSUPPORTED, contact_hello_sign(&writer, &p384, config_id, &hello));
    hello.ephemeral = p384.public_key;
    check_status(UNSUPPORTED, contact_hello_sign(&writer, &owner, config_id, &hello));
    assert_int_equal(0, writer.len);
    check_status(UNSUPPORTED, contact_user_data(&p384.public_key, hello.nonce, user_data));
    check_status(UNSUPPORTED,
                 contact_derive(&p384, &p384.public_key, &ephemeral.public_key, hello.nonce, config_id, &input));
    const struct contact_answer answer = {.key = p384.public_key, .evidence = bytes_from_text("x")};
    contact_put_answer(&writer, &answer);
    check_status(MALFORMED, writer_end(&writer));
    crypto_key_done(&p384);
}

static struct bytes answer_of(uint8_t *room, size_t cap)
{
    const struct contact_answer answer = {.key = hub.public_key, .evidence = bytes_from_text("evidence")};
    struct writer writer = writer_over(room, cap);
    contact_put_answer(&writer, &answer);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void an_answer_comes_back(void **state)
{
    (void)state;
    uint8_t room[256];
    struct contact_answer answer;
    check_ok(contact_answer_decode(answer_of(room, sizeof room), &answer));
    check_bytes(crypto_public_bytes(&hub.public_key), crypto_public_bytes(&answer.key));
    check_bytes(bytes_from_text("evidence"), answer.evidence);
}

static void every_prefix_and_extra_byte_of_an_answer_is_refused(void **state)
{
    (void)state;
    uint8_t room[256] = {0};
    struct bytes whole = answer_of(room, sizeof room);
    struct contact_answer answer, before;
    memset(&answer, 0x5a, sizeof answer);
    before = answer;
    for (size_t len = 0; len < whole.len; len++)
        check_status(TRUNCATED, contact_answer_decode(bytes_slice(whole, 0, len), &answer));
    check_status(MALFORMED, contact_answer_decode(bytes_from(room, whole.len + 1), &answer));
    room[0] = 0xa1;
    check_status(MALFORMED, contact_answer_decode(whole, &answer));
    assert_memory_equal(&before, &answer, sizeof answer);
}

static void an_answer_without_evidence_or_with_another_curve_is_refused(void **state)
{
    (void)state;
    uint8_t room[256];
    struct contact_answer answer = {.key = hub.public_key};
    struct crypto_key p384 = {0};
    struct writer writer = writer_over(room, sizeof room);
    contact_put_answer(&writer, &answer);
    check_status(MALFORMED, writer_end(&writer));
    check_ok(crypto_key_generate(&p384, CRYPTO_P384));
    for (int i = 0; i < 2; i++) {
        writer = writer_over(room, sizeof room);
        cbor_put_map(&writer, 2);
        cbor_put_uint(&writer, 1);
        cose_put_key(&writer, i ? &p384.public_key : &hub.public_key, (struct bytes){0});
        cbor_put_uint(&writer, 2);
        cbor_put_bytes(&writer, bytes_from_text(i ? "x" : ""));
        check_status(i ? UNSUPPORTED : MALFORMED, contact_answer_decode(writer_bytes(&writer), &answer));
    }
    crypto_key_done(&p384);
}

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(hex_decode(text, &writer));
    return writer_bytes(&writer);
}

/* Figures made by another implementation: affine P-256, HMAC and SHA-256 of Python's standard library. */
#define VECTOR_SECRET "40f2aa44a38daf442e1287f7e4b47b200742fdbc5048bff7e41c431dbf949102"
#define VECTOR_USER_DATA "685399942025eac5013da8c2c43b830e06fceefc487dcc41c723475915e9d6a5"

static void both_sides_derive_what_an_independent_implementation_derives(void **state)
{
    (void)state;
    uint8_t scalar[64], nonce[CONTACT_NONCE_LEN], site[32], room[32], user_data[CONTACT_USER_DATA_LEN];
    static const uint8_t zeros[32];
    struct crypto_key a = {0}, b = {0};
    struct oscore_input owners, hubs;
    for (size_t i = 0; i < sizeof scalar; i++)
        scalar[i] = (uint8_t)(i + 1);
    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)(0x80 + i);
    memset(site, 0xc0, sizeof site);
    check_ok(crypto_key_import(&a, CRYPTO_P256, bytes_from(scalar, 32)));
    check_ok(crypto_key_import(&b, CRYPTO_P256, bytes_from(scalar + 32, 32)));
    check_ok(contact_derive(&a, &a.public_key, &b.public_key, nonce, site, &hubs));
    check_ok(contact_derive(&b, &a.public_key, &b.public_key, nonce, site, &owners));
    struct bytes expected = unhex(VECTOR_SECRET, room, sizeof room);
    check_bytes(expected, secret_bytes(&owners.master_secret));
    check_bytes(expected, secret_bytes(&hubs.master_secret));
    assert_int_equal(CRYPTO_A256GCM, owners.aead);
    assert_int_equal(0, owners.master_salt_len);
    check_bytes(bytes_from_text("o"), bytes_from(owners.sender.data, owners.sender.len));
    check_bytes(bytes_from_text("h"), bytes_from(owners.recipient.data, owners.recipient.len));
    check_ok(contact_user_data(&a.public_key, nonce, user_data));
    check_bytes(unhex(VECTOR_USER_DATA, room, sizeof room), bytes_from(user_data, 32));
    assert_memory_equal(zeros, user_data + 32, 32);
    crypto_key_done(&a);
    crypto_key_done(&b);
}

static void another_nonce_site_or_key_derives_another_secret(void **state)
{
    (void)state;
    struct contact_hello hello = sample();
    struct oscore_input first, next;
    struct crypto_key second = {0};
    const struct crypto_public *e = &ephemeral.public_key, *h = &hub.public_key;
    check_ok(crypto_key_generate(&second, CRYPTO_P256));
    check_ok(contact_derive(&ephemeral, h, e, hello.nonce, config_id, &first));
    check_ok(contact_derive(&ephemeral, h, e, hello.nonce, other_site, &next));
    assert_memory_not_equal(first.master_secret.data, next.master_secret.data, 32);
    check_ok(contact_derive(&ephemeral, &second.public_key, e, hello.nonce, config_id, &next));
    assert_memory_not_equal(first.master_secret.data, next.master_secret.data, 32);
    hello.nonce[31] ^= 1;
    check_ok(contact_derive(&ephemeral, h, e, hello.nonce, config_id, &next));
    assert_memory_not_equal(first.master_secret.data, next.master_secret.data, 32);
    crypto_key_done(&second);
}

static void nobody_derives_with_a_key_of_neither_side_or_of_both(void **state)
{
    (void)state;
    struct contact_hello hello = sample();
    struct oscore_input input, before;
    memset(&input, 0x5a, sizeof input);
    before = input;
    const struct crypto_public *e = &ephemeral.public_key, *h = &hub.public_key;
    check_status(WRONG_STATE, contact_derive(&owner, h, e, hello.nonce, config_id, &input));
    check_status(MALFORMED, contact_derive(&ephemeral, e, e, hello.nonce, config_id, &input));
    assert_memory_equal(&before, &input, sizeof input);
}

static int make_keys(void **state)
{
    (void)state;
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&owner, CRYPTO_P256));
    check_ok(crypto_key_generate(&hub, CRYPTO_P256));
    check_ok(crypto_key_generate(&ephemeral, CRYPTO_P256));
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    crypto_key_done(&owner);
    crypto_key_done(&hub);
    crypto_key_done(&ephemeral);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_comes_back),
        cmocka_unit_test(a_hello_is_for_one_owner_and_one_site),
        cmocka_unit_test(every_flipped_bit_prefix_and_extra_byte_of_a_hello_is_refused),
        cmocka_unit_test(what_the_owner_signed_is_a_hello_only_if_it_reads_as_one),
        cmocka_unit_test(a_hello_has_a_longest_length),
        cmocka_unit_test(only_p256_keys_sign_and_travel),
        cmocka_unit_test(an_answer_comes_back),
        cmocka_unit_test(every_prefix_and_extra_byte_of_an_answer_is_refused),
        cmocka_unit_test(an_answer_without_evidence_or_with_another_curve_is_refused),
        cmocka_unit_test(both_sides_derive_what_an_independent_implementation_derives),
        cmocka_unit_test(another_nonce_site_or_key_derives_another_secret),
        cmocka_unit_test(nobody_derives_with_a_key_of_neither_side_or_of_both),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
