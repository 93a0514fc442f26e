/* Attestation inside EDHOC: what its EAD items carry, and what ties evidence to a session, a credential and a nonce. */
#include "attest.h"
#include "check.h"

static struct crypto_key key;
static uint8_t nonce_room[EAT_NONCE_MAX], launch_room[ATTEST_LAUNCH_MAX + 1];

static struct attest_evidence evidence_of(size_t nonce_len, size_t launch_len)
{
    struct attest_evidence evidence = {.nonce = bytes_from(nonce_room, nonce_len),
                                       .key = key.public_key,
                                       .launch = bytes_from(launch_room, launch_len)};
    memset(evidence.credential, 7, sizeof evidence.credential);
    return evidence;
}

static const struct attest_binder binder = {"a session's", 32}, other_binder = {"another session's", 32};

static struct bytes sign(const struct attest_evidence *evidence, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(attest_evidence_sign(&writer, &key, &binder, evidence));
    return writer_bytes(&writer);
}

static void evidence_comes_back_as_it_was_signed(void **state)
{
    (void)state;
    uint8_t room[ATTEST_EVIDENCE_MAX];
    struct attest_evidence made = evidence_of(32, 1000), got;
    check_ok(attest_evidence_open(sign(&made, room, sizeof room), &binder, &got));
    check_bytes(made.nonce, got.nonce);
    check_bytes(made.launch, got.launch);
    check_bytes(BYTES_OF(made.credential), BYTES_OF(got.credential));
    check_bytes(crypto_public_bytes(&made.key), crypto_public_bytes(&got.key));
}

static void evidence_of_another_session_is_not_authentic(void **state)
{
    (void)state;
    uint8_t room[1024];
    struct attest_evidence made = evidence_of(8, 10), got;
    struct bytes signed_one = sign(&made, room, sizeof room);
    check_status(AUTH, attest_evidence_open(signed_one, &other_binder, &got));
    struct attest_binder shorter = binder;
    shorter.len--;
    check_status(AUTH, attest_evidence_open(signed_one, &shorter, &got));
}

static void every_shorter_prefix_and_every_flipped_bit_of_evidence_is_refused(void **state)
{
    (void)state;
    uint8_t room[1024];
    struct attest_evidence made = evidence_of(8, 10), got = {0};
    struct bytes good = sign(&made, room, sizeof room);
    for (size_t len = 0; len < good.len; len++)
        assert_int_not_equal(attest_evidence_open(bytes_slice(good, 0, len), &binder, &got), OK);
    for (size_t bit = 0; bit < 8 * good.len; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(attest_evidence_open(good, &binder, &got), OK);
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    room[good.len] = 0;
    assert_int_not_equal(attest_evidence_open(bytes_from(room, good.len + 1), &binder, &got), OK);
    assert_int_equal(got.launch.len, 0);
}

static void evidence_has_limits_and_fits_at_them(void **state)
{
    (void)state;
    static const struct {
        size_t nonce, launch;
        enum status status;
    } rows[] = {{EAT_NONCE_MIN, 0, OK},
                {EAT_NONCE_MIN - 1, 0, MALFORMED},
                {EAT_NONCE_MAX, ATTEST_LAUNCH_MAX, OK},
                {EAT_NONCE_MAX, ATTEST_LAUNCH_MAX + 1, MALFORMED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t room[ATTEST_EVIDENCE_MAX];
        struct writer writer = writer_over(room, sizeof room);
        struct attest_evidence made = evidence_of(rows[i].nonce, rows[i].launch), got;
        check_status(rows[i].status, attest_evidence_sign(&writer, &key, &binder, &made));
        if (rows[i].status == OK)
            check_ok(attest_evidence_open(writer_bytes(&writer), &binder, &got));
        else
            assert_int_equal(writer.len, 0);
    }
    struct attest_evidence too_long = evidence_of(EAT_NONCE_MAX, 0);
    too_long.nonce.len++;
    uint8_t room[1024];
    struct writer writer = writer_over(room, sizeof room);
    check_status(MALFORMED, attest_evidence_sign(&writer, &key, &binder, &too_long));
}

static void evidence_is_signed_by_the_key_it_names(void **state)
{
    (void)state;
    uint8_t room[1024];
    struct crypto_key other = {0};
    check_ok(crypto_key_generate(&other, CRYPTO_P256));
    struct writer writer = writer_over(room, sizeof room);
    struct attest_evidence made = evidence_of(8, 0);
    check_status(MALFORMED, attest_evidence_sign(&writer, &other, &binder, &made));
    crypto_key_done(&other);
}

static void user_data_is_of_one_key(void **state)
{
    (void)state;
    struct crypto_key other = {0};
    uint8_t one[EAT_USER_DATA_LEN], two[EAT_USER_DATA_LEN];
    static const uint8_t zeros[EAT_USER_DATA_LEN - EAT_HASH_LEN];
    check_ok(crypto_key_generate(&other, CRYPTO_P256));
    check_ok(attest_user_data(&key.public_key, one));
    check_ok(attest_user_data(&other.public_key, two));
    assert_memory_not_equal(one, two, EAT_HASH_LEN);
    assert_memory_equal(one + EAT_HASH_LEN, zeros, sizeof zeros);
    crypto_key_done(&other);
}

static void a_proposal_names_one_to_eight_formats(void **state)
{
    (void)state;
    uint32_t formats[ATTEST_FORMATS_MAX + 1] = {ATTEST_FORMAT, 60, 258, 1, 2, 3, 4, 5, 6}, got[ATTEST_FORMATS_MAX];
    for (size_t count = 0; count <= ATTEST_FORMATS_MAX + 1; count++) {
        uint8_t room[64];
        size_t got_count = 0;
        struct writer writer = writer_over(room, sizeof room);
        attest_put_proposal(&writer, formats, count);
        if (count == 0 || count > ATTEST_FORMATS_MAX) {
            check_status(NO_ROOM, writer_end(&writer));
            continue;
        }
        struct bytes value = writer_bytes(&writer);
        check_ok(attest_proposal_decode(value, got, &got_count));
        assert_int_equal(got_count, count);
        assert_memory_equal(got, formats, count * sizeof *got);
        for (size_t len = 0; len < value.len; len++)
            assert_int_not_equal(attest_proposal_decode(bytes_slice(value, 0, len), got, &got_count), OK);
        room[value.len] = 0;
        check_status(MALFORMED, attest_proposal_decode(bytes_from(room, value.len + 1), got, &got_count));
    }
    size_t count;
    check_status(MALFORMED, attest_proposal_decode(BYTES_OF(((uint8_t[]){0x80})), got, &count));
    check_status(NO_ROOM,
                 attest_proposal_decode(BYTES_OF(((uint8_t[]){0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9})), got, &count));
    check_status(MALFORMED, attest_proposal_decode(BYTES_OF(((uint8_t[]){0x81, 0x1a, 0, 1, 0, 0})), got, &count));
}

static void a_request_names_a_format_and_a_nonce_of_8_to_64_bytes(void **state)
{
    (void)state;
    for (size_t len = EAT_NONCE_MIN - 1; len <= EAT_NONCE_MAX + 1; len++) {
        uint8_t room[128], bytes[EAT_NONCE_MAX + 1] = {1, 2, 3};
        struct writer writer = writer_over(room, sizeof room);
        struct attest_request made = {ATTEST_FORMAT, bytes_from(bytes, len)}, got = {0};
        attest_put_request(&writer, &made);
        if (len < EAT_NONCE_MIN || len > EAT_NONCE_MAX) {
            check_status(MALFORMED, writer_end(&writer));
            continue;
        }
        struct bytes value = writer_bytes(&writer);
        check_ok(attest_request_decode(value, &got));
        assert_int_equal(got.format, ATTEST_FORMAT);
        check_bytes(made.nonce, got.nonce);
        for (size_t cut = 0; cut < value.len; cut++)
            assert_int_not_equal(attest_request_decode(bytes_slice(value, 0, cut), &got), OK);
        room[value.len] = 0;
        check_status(MALFORMED, attest_request_decode(bytes_from(room, value.len + 1), &got));
    }
    struct attest_request got;
    check_status(MALFORMED, attest_request_decode(BYTES_OF(((uint8_t[]){0x82, 1, 0x47, 1, 2, 3, 4, 5, 6, 7})), &got));
}

static void the_proposal_of_the_draft_is_read(void **state)
{
    (void)state;
    static const uint8_t value[] = {0x83, 0x18, 0x3c, 0x18, 0x3d, 0x19, 0x01, 0x02};
    uint32_t formats[ATTEST_FORMATS_MAX];
    size_t count;
    check_ok(attest_proposal_decode(BYTES_OF(value), formats, &count));
    assert_int_equal(count, 3);
    assert_int_equal(formats[2], 258);
}

static void a_session_without_keys_has_no_binder(void **state)
{
    (void)state;
    struct edhoc_session session = {0};
    struct attest_binder made;
    check_status(WRONG_STATE, attest_binder(&session, &made));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_comes_back_as_it_was_signed),
        cmocka_unit_test(evidence_of_another_session_is_not_authentic),
        cmocka_unit_test(every_shorter_prefix_and_every_flipped_bit_of_evidence_is_refused),
        cmocka_unit_test(evidence_has_limits_and_fits_at_them),
        cmocka_unit_test(evidence_is_signed_by_the_key_it_names),
        cmocka_unit_test(user_data_is_of_one_key),
        cmocka_unit_test(a_proposal_names_one_to_eight_formats),
        cmocka_unit_test(a_request_names_a_format_and_a_nonce_of_8_to_64_bytes),
        cmocka_unit_test(the_proposal_of_the_draft_is_read),
        cmocka_unit_test(a_session_without_keys_has_no_binder),
    };
    if (crypto_init() != OK || crypto_key_generate(&key, CRYPTO_P256) != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
