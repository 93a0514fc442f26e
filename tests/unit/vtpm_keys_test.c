/* vtpm_keys: question and answer both ways, their limits, and what the report is over. */
#include "check.h"

#include "eat.h"
#include "tpm2.h"
#include "vtpm_keys.h"

static uint8_t areas_room[TPM2_EK_KINDS][TPM2_EK_PUBLIC_MAX];
static struct bytes areas[TPM2_EK_KINDS];
static uint8_t room[VTPM_KEYS_ANSWER_MAX + 8], long_data[EAT_EVIDENCE_MAX + 1];

static int start(void **state)
{
    (void)state;
    if (crypto_init() != OK)
        return 1;
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        struct tpm2_ek ek = {.kind = (enum tpm2_ek_kind)kind, .key_len = TPM2_EK_KEY_MAX};
        struct writer writer = writer_over(areas_room[kind], TPM2_EK_PUBLIC_MAX);
        struct crypto_key key = {0};
        memset(ek.key, 0xa5, sizeof ek.key);
        if (kind != TPM2_EK_RSA_2048) {
            check_ok(crypto_key_generate(&key, kind == TPM2_EK_P256 ? CRYPTO_P256 : CRYPTO_P384));
            ek.key_len = key.public_key.len - 1;
            memcpy(ek.key, key.public_key.data + 1, ek.key_len);
            crypto_key_done(&key);
        }
        tpm2_put_ek(&writer, &ek);
        areas[kind] = writer_bytes(&writer);
    }
    return 0;
}

static struct vtpm_keys_answer whole_answer(size_t evidence_len)
{
    struct vtpm_keys_answer answer = {.status = OK,
                                      .evidence = bytes_from(long_data, evidence_len),
                                      .launch = bytes_from(long_data, VTPM_KEYS_LAUNCH_LEN)};
    memcpy(answer.areas, areas, sizeof areas);
    return answer;
}

static struct bytes encode(const struct vtpm_keys_answer *answer)
{
    struct writer writer = writer_over(room, sizeof room);
    vtpm_keys_put_answer(&writer, answer);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static void a_question_of_each_allowed_length_comes_back_and_no_other(void **state)
{
    (void)state;
    for (size_t len = 0; len <= EAT_NONCE_MAX + 1; len++) {
        struct writer writer = writer_over(room, sizeof room);
        struct vtpm_keys_question question = {.ak = 7};
        const struct bytes wanted = bytes_from(long_data, len);
        size_t found = 0;
        vtpm_keys_put_question(&writer, wanted);
        if (len < EAT_NONCE_MIN || len > EAT_NONCE_MAX) {
            check_status(MALFORMED, writer_end(&writer));
            continue;
        }
        struct bytes whole = writer_bytes(&writer);
        assert_true(whole.len <= VTPM_KEYS_QUESTION_MAX);
        check_ok(vtpm_keys_question_decode(whole, &question));
        check_bytes(wanted, question.nonce);
        assert_int_equal(0, question.ak);
        for (size_t cut = 0; cut < whole.len; cut++) {
            check_status(TRUNCATED, vtpm_keys_question_len(bytes_slice(whole, 0, cut), &found));
            check_status(TRUNCATED, vtpm_keys_question_decode(bytes_slice(whole, 0, cut), &question));
        }
        check_status(MALFORMED, vtpm_keys_question_decode(bytes_from(room, whole.len + 1), &question));
        check_ok(vtpm_keys_question_len(bytes_from(room, whole.len + 1), &found));
        assert_int_equal(whole.len, found);
    }
}

static void a_question_for_an_attestation_key_has_a_handle_of_what_persists(void **state)
{
    (void)state;
    static const uint32_t good[] = {0x81000000, 0x81010002, 0x81ffffff};
    static const uint32_t bad[] = {0, 0x80ffffff, 0x80000000, 0x82000000, 0x40000001, 0xffffffff};
    struct bytes nonce = bytes_from(long_data, EAT_NONCE_MAX);
    for (size_t i = 0; i < 3; i++) {
        struct writer writer = writer_over(room, sizeof room);
        struct vtpm_keys_question question = {0};
        size_t found = 0;
        vtpm_keys_put_ak_question(&writer, nonce, good[i]);
        check_ok(writer_end(&writer));
        struct bytes whole = writer_bytes(&writer);
        assert_int_equal(VTPM_KEYS_QUESTION_MAX, whole.len);
        for (size_t cut = 0; cut < whole.len; cut++) {
            check_status(TRUNCATED, vtpm_keys_question_len(bytes_slice(whole, 0, cut), &found));
            check_status(TRUNCATED, vtpm_keys_question_decode(bytes_slice(whole, 0, cut), &question));
        }
        check_status(MALFORMED, vtpm_keys_question_decode(bytes_from(room, whole.len + 1), &question));
        assert_int_equal(0, question.ak);
        check_ok(vtpm_keys_question_decode(whole, &question));
        assert_int_equal(good[i], question.ak);
        check_bytes(nonce, question.nonce);
    }
    for (size_t i = 0; i < 6; i++) {
        struct writer writer = writer_over(room, sizeof room);
        struct vtpm_keys_question question = {0};
        vtpm_keys_put_ak_question(&writer, nonce, bad[i]);
        check_status(MALFORMED, writer_end(&writer));
        writer = writer_over(room, sizeof room);
        vtpm_keys_put_ak_question(&writer, nonce, good[0]);
        const size_t len = writer.len;
        writer = writer_over(room + len - 4, 4);
        put_u32be(&writer, bad[i]);
        check_status(MALFORMED, vtpm_keys_question_decode(bytes_from(room, len), &question));
    }
}

static void a_question_that_announces_what_it_may_not_is_refused(void **state)
{
    (void)state;
    static const uint8_t version[] = {0, 3, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t shorter[] = {0, 1, 0, 7, 1, 2, 3, 4, 5, 6, 7}, longer[] = {0, 1, 0, 65};
    struct vtpm_keys_question question = {0};
    check_status(UNSUPPORTED, vtpm_keys_question_decode(BYTES_OF(version), &question));
    check_status(MALFORMED, vtpm_keys_question_decode(BYTES_OF(shorter), &question));
    check_status(MALFORMED, vtpm_keys_question_decode(BYTES_OF(longer), &question));
    assert_null(question.nonce.data);
}

static void comes_back_whole(const struct vtpm_keys_answer *answer)
{
    struct vtpm_keys_answer got = {0};
    struct bytes whole = encode(answer);
    size_t len = 0;
    for (size_t cut = 0; cut < whole.len; cut++) {
        check_status(TRUNCATED, vtpm_keys_answer_len(bytes_slice(whole, 0, cut), &len));
        check_status(TRUNCATED, vtpm_keys_answer_decode(bytes_slice(whole, 0, cut), &got));
    }
    check_status(MALFORMED, vtpm_keys_answer_decode(bytes_from(room, whole.len + 1), &got));
    assert_null(got.evidence.data);
    check_ok(vtpm_keys_answer_decode(whole, &got));
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        check_bytes(areas[kind], got.areas[kind]);
    check_bytes(answer->ak, got.ak);
    check_bytes(answer->qualified, got.qualified);
    check_bytes(answer->evidence, got.evidence);
    check_bytes(answer->launch, got.launch);
}

static void an_answer_comes_back_and_no_prefix_and_nothing_longer_does(void **state)
{
    (void)state;
    struct vtpm_keys_answer answer = whole_answer(100);
    comes_back_whole(&answer);
    answer.ak = bytes_from(long_data, 88);
    answer.qualified = bytes_from(long_data, 34);
    comes_back_whole(&answer);
    answer = whole_answer(EAT_EVIDENCE_MAX);
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        answer.areas[kind] = areas[0];
    answer.ak = bytes_from(long_data, VTPM_KEYS_AK_MAX);
    answer.qualified = bytes_from(long_data, VTPM_KEYS_QUALIFIED_MAX);
    assert_true(encode(&answer).len <= VTPM_KEYS_ANSWER_MAX);
}

static void an_attestation_key_comes_with_its_qualified_name_and_within_limits(void **state)
{
    (void)state;
    struct vtpm_keys_answer answer = whole_answer(8), got = {0};
    answer.ak = bytes_from(long_data, 88);
    check_status(MALFORMED, vtpm_keys_answer_decode(encode(&answer), &got)); /* without the name */
    answer.qualified = bytes_from(long_data, VTPM_KEYS_QUALIFIED_MAX);
    answer.ak.len = VTPM_KEYS_AK_MAX;
    check_ok(vtpm_keys_answer_decode(encode(&answer), &got));
    struct writer writer = writer_over(room, sizeof room);
    answer.ak.len++;
    vtpm_keys_put_answer(&writer, &answer);
    check_status(NO_ROOM, writer_end(&writer));
    writer = writer_over(room, sizeof room);
    answer.ak.len--;
    answer.qualified.len++;
    vtpm_keys_put_answer(&writer, &answer);
    check_status(NO_ROOM, writer_end(&writer));
    /* The longer version, and no key in it: empty, or a refusal. */
    static const uint8_t refusal[] = {0, 2, 0, BUSY, 0, 0, 0, 0};
    check_status(MALFORMED, vtpm_keys_answer_decode(BYTES_OF(refusal), &got));
    answer = whole_answer(8);
    struct bytes whole = encode(&answer);
    room[1] = VTPM_KEYS_VERSION_AK;
    check_status(MALFORMED, vtpm_keys_answer_decode(whole, &got));
}

static void a_refusal_carries_nothing_else(void **state)
{
    (void)state;
    for (int status = TRUNCATED; status <= INTERNAL; status++) {
        const struct vtpm_keys_answer answer = {.status = (enum status)status, .evidence = BYTES_OF("unwanted")};
        struct vtpm_keys_answer got = {0};
        struct bytes whole = encode(&answer);
        assert_int_equal(VTPM_KEYS_ANSWER_HEAD, whole.len);
        check_ok(vtpm_keys_answer_decode(whole, &got));
        assert_int_equal(status, got.status);
        room[7] = 1; /* one byte follows */
        check_status(MALFORMED, vtpm_keys_answer_decode(bytes_from(room, whole.len + 1), &got));
    }
    static const uint8_t unknown[] = {0, 1, 0, INTERNAL + 1, 0, 0, 0, 0};
    struct vtpm_keys_answer got;
    check_status(MALFORMED, vtpm_keys_answer_decode(BYTES_OF(unknown), &got));
}

static void limits_hold_at_them_and_one_past(void **state)
{
    (void)state;
    struct vtpm_keys_answer answer = whole_answer(EAT_EVIDENCE_MAX), got;
    struct bytes whole = encode(&answer);
    assert_true(whole.len <= VTPM_KEYS_ANSWER_MAX);
    check_ok(vtpm_keys_answer_decode(whole, &got));
    struct writer writer = writer_over(room, sizeof room);
    answer = whole_answer(EAT_EVIDENCE_MAX + 1);
    vtpm_keys_put_answer(&writer, &answer);
    check_status(NO_ROOM, writer_end(&writer));
    answer = whole_answer(1);
    answer.areas[1] = bytes_from(long_data, TPM2_EK_PUBLIC_MAX + 1);
    writer = writer_over(room, sizeof room);
    vtpm_keys_put_answer(&writer, &answer);
    check_status(NO_ROOM, writer_end(&writer));
    /* A length that no answer has. */
    size_t len = 0;
    writer = writer_over(room, sizeof room);
    put_u32be(&writer, 0x00010000);
    put_u32be(&writer, VTPM_KEYS_ANSWER_MAX - VTPM_KEYS_ANSWER_HEAD);
    check_status(TRUNCATED, vtpm_keys_answer_len(writer_bytes(&writer), &len));
    writer = writer_over(room, sizeof room);
    put_u32be(&writer, 0x00010000);
    put_u32be(&writer, VTPM_KEYS_ANSWER_MAX - VTPM_KEYS_ANSWER_HEAD + 1);
    check_status(NO_ROOM, vtpm_keys_answer_len(writer_bytes(&writer), &len));
}

/* A whole record or none; of any other length the encoder writes none, and the decoder takes none. */
static void a_launch_has_one_length(void **state)
{
    (void)state;
    struct vtpm_keys_answer answer = whole_answer(8), got;
    answer.launch = (struct bytes){0};
    check_ok(vtpm_keys_answer_decode(encode(&answer), &got));
    assert_int_equal(0, got.launch.len);
    for (size_t len = 1; len <= VTPM_KEYS_LAUNCH_LEN + 1; len++) {
        struct writer writer = writer_over(room, sizeof room);
        answer.launch = bytes_from(long_data, len);
        vtpm_keys_put_answer(&writer, &answer);
        check_status(len == VTPM_KEYS_LAUNCH_LEN ? OK : NO_ROOM, writer_end(&writer));
        answer.launch = (struct bytes){0};
        struct bytes whole = encode(&answer);
        room[whole.len - 1] = (uint8_t)len;
        room[7] = (uint8_t)(room[7] + len);
        room[6] = (uint8_t)(room[6] + (room[7] < len));
        check_status(len == VTPM_KEYS_LAUNCH_LEN ? OK : MALFORMED,
                     vtpm_keys_answer_decode(bytes_from(room, whole.len + len), &got));
    }
}

static void a_key_has_a_length(void **state)
{
    (void)state;
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        struct vtpm_keys_answer answer = whole_answer(8), got;
        answer.areas[kind] = bytes_from(long_data, VTPM_KEYS_AREA_MAX);
        check_ok(vtpm_keys_answer_decode(encode(&answer), &got));
        answer.areas[kind] = (struct bytes){0};
        check_status(MALFORMED, vtpm_keys_answer_decode(encode(&answer), &got));
    }
    /* One byte longer than a key may be, which the encoder would not write: what the first has too much, the second has
     * too little. */
    struct vtpm_keys_answer answer = whole_answer(8), got;
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        answer.areas[kind] = bytes_from(long_data, kind ? 100 : VTPM_KEYS_AREA_MAX);
    struct bytes whole = encode(&answer);
    room[9] = (uint8_t)(room[9] + 1);
    room[VTPM_KEYS_ANSWER_HEAD + 2 + VTPM_KEYS_AREA_MAX + 1] = 0;
    room[VTPM_KEYS_ANSWER_HEAD + 2 + VTPM_KEYS_AREA_MAX + 2] = 99;
    check_status(MALFORMED, vtpm_keys_answer_decode(whole, &got));
}

static void the_report_is_over_every_byte_of_the_keys(void **state)
{
    (void)state;
    uint8_t data[EAT_USER_DATA_LEN], other[EAT_USER_DATA_LEN], expected[CRYPTO_HASH_MAX];
    const struct bytes parts[] = {bytes_from_text("bastide vtpm endorsement keys"), areas[0], areas[1], areas[2]};
    check_ok(eat_endorsement_data(areas, data));
    check_ok(crypto_hash(CRYPTO_SHA256, parts, 4, expected));
    assert_memory_equal(expected, data, 32);
    for (size_t i = 32; i < sizeof data; i++)
        assert_int_equal(0, data[i]);
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        for (size_t i = 0; i < areas[kind].len; i++) {
            areas_room[kind][i] ^= 1;
            check_ok(eat_endorsement_data(areas, other));
            areas_room[kind][i] ^= 1;
            assert_memory_not_equal(data, other, 32);
        }
}

static void with_an_attestation_key_it_is_over_that_too_and_where_each_part_ends(void **state)
{
    (void)state;
    static const uint8_t text[] = "attestation key, qualified name";
    uint8_t data[EAT_USER_DATA_LEN], other[EAT_USER_DATA_LEN], expected[CRYPTO_HASH_MAX];
    const struct bytes ak = bytes_from(text, 15), qualified = bytes_from(text + 15, 10);
    const struct bytes parts[] = {bytes_from_text("bastide vtpm attestation key"),
                                  areas[0],
                                  areas[1],
                                  areas[2],
                                  bytes_from("\0\x0f", 2),
                                  ak,
                                  bytes_from("\0\x0a", 2),
                                  qualified};
    check_ok(eat_attestation_data(areas, ak, qualified, data));
    check_ok(crypto_hash(CRYPTO_SHA256, parts, 8, expected));
    assert_memory_equal(expected, data, 32);
    for (size_t i = 32; i < sizeof data; i++)
        assert_int_equal(0, data[i]);
    check_ok(eat_attestation_data(areas, bytes_from(text, 14), bytes_from(text + 14, 11), other));
    assert_memory_not_equal(data, other, 32);
    check_ok(eat_endorsement_data(areas, other));
    assert_memory_not_equal(data, other, 32);
    check_status(MALFORMED, eat_attestation_data(areas, bytes_from(text, 0x10000), qualified, other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_of_each_allowed_length_comes_back_and_no_other),
        cmocka_unit_test(a_question_for_an_attestation_key_has_a_handle_of_what_persists),
        cmocka_unit_test(a_question_that_announces_what_it_may_not_is_refused),
        cmocka_unit_test(an_answer_comes_back_and_no_prefix_and_nothing_longer_does),
        cmocka_unit_test(an_attestation_key_comes_with_its_qualified_name_and_within_limits),
        cmocka_unit_test(a_refusal_carries_nothing_else),
        cmocka_unit_test(limits_hold_at_them_and_one_past),
        cmocka_unit_test(a_launch_has_one_length),
        cmocka_unit_test(a_key_has_a_length),
        cmocka_unit_test(the_report_is_over_every_byte_of_the_keys),
        cmocka_unit_test(with_an_attestation_key_it_is_over_that_too_and_where_each_part_ends),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
