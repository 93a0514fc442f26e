/* vtpm_transfer: grants, blobs, questions and answers as bytes: what is read is what was written, and nothing else. */
#include "check.h"
#include "vtpm_transfer.h"

#include <stdlib.h>
#include <string.h>

static struct {
    struct crypto_key owner, other, to, from;
} keys;

static const uint8_t content_key[VTPM_TRANSFER_KEY_LEN] = {7};
static const uint8_t authority[VTPM_TRANSFER_AUTHORITY_MAX + 1] = {1, 2, 3}, wrapped[VTPM_TRANSFER_WRAPPED_LEN] = {4};

static int make_keys(void **state)
{
    (void)state;
    check_ok(crypto_init());
    struct crypto_key *const all[] = {&keys.owner, &keys.other, &keys.to, &keys.from};
    for (size_t i = 0; i < 4; i++)
        check_ok(crypto_key_generate(all[i], CRYPTO_P256));
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    crypto_key_done(&keys.owner);
    crypto_key_done(&keys.other);
    crypto_key_done(&keys.to);
    crypto_key_done(&keys.from);
    return 0;
}

/* ---- Grants ---- */

static struct vtpm_grant a_grant(enum vtpm_grant_purpose purpose)
{
    return (struct vtpm_grant){purpose, "this instance", keys.to.public_key, keys.from.public_key};
}

static struct bytes signed_grant(enum vtpm_grant_purpose purpose, uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX])
{
    const struct vtpm_grant grant = a_grant(purpose);
    struct writer writer = writer_over(room, VTPM_TRANSFER_AUTHORITY_MAX);
    check_ok(vtpm_grant_sign(&writer, &keys.owner, &grant));
    return writer_bytes(&writer);
}

static void a_grant_of_each_purpose_is_read_as_it_was_signed(void **state)
{
    (void)state;
    uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX];
    struct vtpm_grant got;
    for (enum vtpm_grant_purpose purpose = VTPM_GRANT_MOVE; purpose <= VTPM_GRANT_RESTORE; purpose++) {
        check_ok(vtpm_grant_open(signed_grant(purpose, room), &keys.owner.public_key, &got));
        assert_int_equal(purpose, got.purpose);
        assert_memory_equal("this instance\0\0\0", got.instance, sizeof got.instance);
        check_bytes(crypto_public_bytes(&keys.to.public_key), crypto_public_bytes(&got.to));
        check_bytes(crypto_public_bytes(&keys.from.public_key), crypto_public_bytes(&got.from));
    }
}

static void a_grant_that_is_cut_longer_bent_or_anothers_is_refused(void **state)
{
    (void)state;
    uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX], longer[VTPM_TRANSFER_AUTHORITY_MAX + 1] = {0};
    const struct vtpm_grant untouched = a_grant(VTPM_GRANT_FORGET);
    struct vtpm_grant got = untouched;
    const struct bytes whole = signed_grant(VTPM_GRANT_MOVE, room);
    memcpy(longer, whole.data, whole.len);
    for (size_t len = 0; len < whole.len; len++)
        assert_int_not_equal(OK, vtpm_grant_open(bytes_slice(whole, 0, len), &keys.owner.public_key, &got));
    assert_int_not_equal(OK, vtpm_grant_open(bytes_from(longer, whole.len + 1), &keys.owner.public_key, &got));
    check_status(NO_ROOM, vtpm_grant_open(BYTES_OF(longer), &keys.owner.public_key, &got));
    check_status(AUTH, vtpm_grant_open(whole, &keys.other.public_key, &got));
    for (size_t bit = 0; bit < 8 * whole.len; bit++) {
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(OK, vtpm_grant_open(whole, &keys.owner.public_key, &got));
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_memory_equal(&untouched, &got, sizeof got);
}

static void a_grant_without_a_purpose_or_with_a_key_of_another_curve_is_not_signed(void **state)
{
    (void)state;
    uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX];
    struct crypto_key p384 = {0};
    struct vtpm_grant grant = a_grant((enum vtpm_grant_purpose)0);
    struct writer writer = writer_over(room, sizeof room);
    check_ok(crypto_key_generate(&p384, CRYPTO_P384));
    check_status(MALFORMED, vtpm_grant_sign(&writer, &keys.owner, &grant));
    grant = a_grant((enum vtpm_grant_purpose)(VTPM_GRANT_RESTORE + 1));
    check_status(MALFORMED, vtpm_grant_sign(&writer, &keys.owner, &grant));
    grant = a_grant(VTPM_GRANT_MOVE);
    grant.to = p384.public_key;
    check_status(MALFORMED, vtpm_grant_sign(&writer, &keys.owner, &grant));
    grant = a_grant(VTPM_GRANT_MOVE);
    grant.from = p384.public_key;
    check_status(MALFORMED, vtpm_grant_sign(&writer, &keys.owner, &grant));
    assert_int_equal(0, writer.len);
    crypto_key_done(&p384);
}

/* ---- Blobs ---- */

static struct vtpm_blob a_blob(enum vtpm_blob_purpose purpose, uint8_t kind)
{
    struct vtpm_blob blob = {.purpose = purpose,
                             .kind = kind,
                             .security_version = 3,
                             .instance = "this instance",
                             .id = "this transfer",
                             .authority = bytes_from(authority, 40)};
    if (purpose != VTPM_BLOB_SNAPSHOT)
        blob.wrapped = BYTES_OF(wrapped);
    return blob;
}

static struct bytes sealed(enum vtpm_blob_purpose purpose, uint8_t kind, const struct bytes *state, uint8_t *room,
                           size_t cap)
{
    const struct vtpm_blob blob = a_blob(purpose, kind);
    struct writer writer = writer_over(room, cap);
    check_ok(vtpm_blob_seal(&writer, &blob, content_key, state));
    return writer_bytes(&writer);
}

static void what_is_sealed_is_opened_absent_and_empty_states_told_apart(void **state)
{
    (void)state;
    static const enum vtpm_blob_purpose purposes[] = {VTPM_BLOB_SNAPSHOT, VTPM_BLOB_MOVE, VTPM_BLOB_BACKUP,
                                                      VTPM_BLOB_RESTORE};
    const struct bytes empty = {0}, some = bytes_from_text("state"), *const states[] = {NULL, &empty, &some};
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++) {
            uint8_t room[512], opened[512], again[512];
            bool exists = j == 0;
            struct vtpm_blob blob;
            struct writer out = writer_over(opened, sizeof opened), copy = writer_over(again, sizeof again);
            const struct bytes encoded = sealed(purposes[i], 2, states[j], room, sizeof room);
            check_ok(vtpm_blob_decode(encoded, &blob));
            assert_int_equal(purposes[i], blob.purpose);
            assert_int_equal(2, blob.kind);
            assert_int_equal(3, blob.security_version);
            check_ok(vtpm_blob_open(&blob, content_key, &out, &exists));
            assert_int_equal(j != 0, exists);
            check_bytes(j == 2 ? some : empty, writer_bytes(&out));
            vtpm_blob_put(&copy, &blob);
            check_bytes(encoded, writer_bytes(&copy));
        }
}

static void every_shorter_prefix_of_a_blob_and_one_byte_more_is_refused(void **state)
{
    (void)state;
    uint8_t room[512] = {0};
    const struct bytes some = bytes_from_text("state");
    const struct bytes whole = sealed(VTPM_BLOB_MOVE, 1, &some, room, sizeof room - 1);
    struct vtpm_blob blob = {.kind = 9};
    for (size_t len = 0; len < whole.len; len++)
        check_status(TRUNCATED, vtpm_blob_decode(bytes_slice(whole, 0, len), &blob));
    check_status(MALFORMED, vtpm_blob_decode(bytes_from(room, whole.len + 1), &blob));
    assert_int_equal(9, blob.kind);
}

static void a_flipped_bit_of_a_blob_opens_nothing(void **state)
{
    (void)state;
    uint8_t room[512], opened[512];
    const struct bytes some = bytes_from_text("state");
    const struct bytes whole = sealed(VTPM_BLOB_SNAPSHOT, 1, &some, room, sizeof room);
    const size_t authority_at = VTPM_TRANSFER_HEAD_LEN + 2;
    for (size_t bit = 0; bit < 8 * whole.len; bit++) {
        struct vtpm_blob blob;
        bool exists;
        struct writer out = writer_over(opened, sizeof opened);
        /* The authority is checked by what it authorises: a signature, or the key that the monitor derives of it. */
        if (bit / 8 == 4 || (bit / 8 >= authority_at && bit / 8 < authority_at + 40))
            continue;
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const bool read = vtpm_blob_decode(whole, &blob) == OK;
        if (read)
            check_status(AUTH, vtpm_blob_open(&blob, content_key, &out, &exists));
        assert_int_equal(0, out.len);
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void limits_of_a_blob_hold_at_them_and_not_past(void **state)
{
    (void)state;
    static uint8_t room[VTPM_TRANSFER_BLOB_MAX(VTPM_TRANSFER_STATE_MAX)], big[VTPM_TRANSFER_STATE_MAX + 1];
    struct bytes much = bytes_from(big, VTPM_TRANSFER_STATE_MAX);
    struct vtpm_blob blob = a_blob(VTPM_BLOB_MOVE, 3);
    struct writer writer = writer_over(room, sizeof room);
    blob.authority = bytes_from(authority, VTPM_TRANSFER_AUTHORITY_MAX);
    check_ok(vtpm_blob_seal(&writer, &blob, content_key, &much));
    assert_int_equal(sizeof room, writer.len);
    check_ok(vtpm_blob_decode(writer_bytes(&writer), &blob));
    writer = writer_over(room, sizeof room - 1);
    check_status(NO_ROOM, vtpm_blob_seal(&writer, &blob, content_key, &much));
    much.len++;
    writer = writer_over(room, sizeof room);
    check_status(NO_ROOM, vtpm_blob_seal(&writer, &blob, content_key, &much));
    blob.authority = bytes_from(authority, VTPM_TRANSFER_AUTHORITY_MAX + 1);
    check_status(MALFORMED, vtpm_blob_seal(&writer, &blob, content_key, NULL));
    blob = a_blob(VTPM_BLOB_MOVE, 4);
    check_status(MALFORMED, vtpm_blob_seal(&writer, &blob, content_key, NULL));
    blob = a_blob(VTPM_BLOB_MOVE, 0);
    check_status(MALFORMED, vtpm_blob_seal(&writer, &blob, content_key, NULL));
    blob = a_blob(VTPM_BLOB_SNAPSHOT, 1);
    blob.wrapped = BYTES_OF(wrapped); /* which a snapshot has not */
    check_status(MALFORMED, vtpm_blob_seal(&writer, &blob, content_key, NULL));
    assert_int_equal(0, writer.len);
}

static void a_policys_serial_is_in_what_is_sealed_but_in_no_snapshot(void **state)
{
    (void)state;
    uint8_t room[VTPM_TRANSFER_BLOB_MAX(0)], state_room[1];
    static const enum vtpm_blob_purpose purposes[] = {VTPM_BLOB_MOVE, VTPM_BLOB_BACKUP, VTPM_BLOB_RESTORE,
                                                      VTPM_BLOB_SNAPSHOT};
    for (size_t i = 0; i < sizeof purposes / sizeof *purposes; i++) {
        struct vtpm_blob blob = a_blob(purposes[i], 1), got;
        struct writer writer = writer_over(room, sizeof room), out = writer_over(state_room, sizeof state_room);
        bool exists = true;
        vtpm_blob_set_serial(&blob, INT64_MAX);
        check_ok(vtpm_blob_seal(&writer, &blob, content_key, NULL));
        check_ok(vtpm_blob_decode(writer_bytes(&writer), &got));
        assert_true(vtpm_blob_serial(&got) == (purposes[i] == VTPM_BLOB_SNAPSHOT ? 0 : INT64_MAX));
        vtpm_blob_set_serial(&got, 1); /* said by somebody else */
        check_status(AUTH, vtpm_blob_open(&got, content_key, &out, &exists));
    }
}

static void a_content_key_is_for_one_receiver_grant_and_transfer(void **state)
{
    (void)state;
    uint8_t sealed_key[VTPM_TRANSFER_WRAPPED_LEN], got[VTPM_TRANSFER_KEY_LEN] = {0};
    static const uint8_t none[VTPM_TRANSFER_KEY_LEN];
    struct vtpm_blob blob = a_blob(VTPM_BLOB_MOVE, 1), other;
    check_ok(vtpm_blob_wrap(&blob, &keys.from, &keys.to.public_key, content_key, sealed_key));
    blob.wrapped = BYTES_OF(sealed_key);
    check_status(AUTH, vtpm_blob_unwrap(&blob, &keys.other, &keys.from.public_key, got));
    check_status(AUTH, vtpm_blob_unwrap(&blob, &keys.to, &keys.other.public_key, got));
    other = blob;
    other.id[0] ^= 1;
    check_status(AUTH, vtpm_blob_unwrap(&other, &keys.to, &keys.from.public_key, got));
    other = blob;
    other.instance[15] ^= 1;
    check_status(AUTH, vtpm_blob_unwrap(&other, &keys.to, &keys.from.public_key, got));
    other = blob;
    other.purpose = VTPM_BLOB_BACKUP;
    check_status(AUTH, vtpm_blob_unwrap(&other, &keys.to, &keys.from.public_key, got));
    other = blob;
    other.authority.len--;
    check_status(AUTH, vtpm_blob_unwrap(&other, &keys.to, &keys.from.public_key, got));
    assert_memory_equal(none, got, sizeof got);
    other = blob;
    other.kind = 3; /* one for all kinds */
    check_ok(vtpm_blob_unwrap(&other, &keys.to, &keys.from.public_key, got));
    assert_memory_equal(content_key, got, sizeof got);
}

static void a_bundle_is_three_kinds_of_one_transfer_in_order(void **state)
{
    (void)state;
    uint8_t rooms[4][512], whole[2048];
    struct bytes parts[4];
    struct vtpm_blob blobs[VTPM_TRANSFER_KINDS];
    static const uint8_t orders[][3] = {{0, 1, 2}, {1, 0, 2}, {0, 1, 1}, {0, 1, 3}};
    for (uint8_t i = 0; i < 3; i++)
        parts[i] = sealed(VTPM_BLOB_MOVE, (uint8_t)(i + 1), NULL, rooms[i], sizeof rooms[i]);
    parts[3] = sealed(VTPM_BLOB_BACKUP, 3, NULL, rooms[3], sizeof rooms[3]);
    for (size_t order = 0; order < 4; order++) {
        struct writer writer = writer_over(whole, sizeof whole);
        for (size_t i = 0; i < 3; i++)
            put_bytes(&writer, parts[orders[order][i]]);
        check_status(order ? MALFORMED : OK, vtpm_bundle_decode(writer_bytes(&writer), blobs));
        for (size_t len = 0; order == 0 && len < writer.len; len++)
            check_status(TRUNCATED, vtpm_bundle_decode(bytes_from(whole, len), blobs));
        put_u8(&writer, 0);
        assert_int_not_equal(OK, vtpm_bundle_decode(writer_bytes(&writer), blobs));
    }
}

/* ---- Questions and answers ---- */

static void questions_are_read_whole_and_no_other(void **state)
{
    (void)state;
    static uint8_t room[VTPM_TRANSFER_QUESTION_MAX + 1], rest[VTPM_TRANSFER_BUNDLE_MAX + 1], nonce[65];
    struct vtpm_transfer_question got = {.operation = VTPM_TRANSFER_LAND};
    size_t len = 0;
    for (int operation = VTPM_TRANSFER_STATUS; operation <= VTPM_TRANSFER_BACKUP + 1; operation++) {
        const struct vtpm_transfer_question question = {(enum vtpm_transfer_operation)operation, bytes_from(nonce, 32),
                                                        bytes_from(rest, 9)};
        struct writer writer = writer_over(room, sizeof room);
        vtpm_transfer_put_question(&writer, &question);
        check_status(operation > VTPM_TRANSFER_BACKUP ? UNSUPPORTED : OK,
                     vtpm_transfer_question_decode(writer_bytes(&writer), &got));
        if (operation > VTPM_TRANSFER_BACKUP)
            continue;
        assert_int_equal(operation, got.operation);
        check_bytes(question.nonce, got.nonce);
        check_bytes(question.rest, got.rest);
        for (size_t cut = 0; cut < writer.len; cut++)
            check_status(TRUNCATED, vtpm_transfer_question_len(bytes_from(room, cut), &len));
        put_u8(&writer, 0);
        check_ok(vtpm_transfer_question_len(writer_bytes(&writer), &len));
        assert_int_equal(writer.len - 1, len);
        check_status(MALFORMED, vtpm_transfer_question_decode(writer_bytes(&writer), &got));
    }
    static const struct {
        size_t nonce, rest;
        enum status status;
    } limits[] = {{0, 0, OK},         {7, 0, MALFORMED},
                  {8, 0, OK},         {64, VTPM_TRANSFER_BUNDLE_MAX, OK},
                  {65, 0, MALFORMED}, {64, VTPM_TRANSFER_BUNDLE_MAX + 1, NO_ROOM}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct writer writer = writer_over(room, sizeof room);
        vtpm_transfer_put_question(&writer, &(struct vtpm_transfer_question){VTPM_TRANSFER_LAND,
                                                                             bytes_from(nonce, limits[i].nonce),
                                                                             bytes_from(rest, limits[i].rest)});
        check_status(limits[i].status, writer_end(&writer));
        if (limits[i].status == OK)
            check_ok(vtpm_transfer_question_decode(writer_bytes(&writer), &got));
    }
    check_status(UNSUPPORTED, vtpm_transfer_question_len(BYTES_OF("\0\2\0\1\0\0\0\0"), &len));
    check_status(NO_ROOM, vtpm_transfer_question_len(BYTES_OF(((const uint8_t[]){0, 1, 0, 1, 0, 16, 0, 0})), &len));
    check_status(MALFORMED,
                 vtpm_transfer_question_decode(BYTES_OF(((const uint8_t[]){0, 1, 0, 1, 0, 0, 0, 2, 0, 8})), &got));
}

static void answers_are_read_whole_and_no_other(void **state)
{
    (void)state;
    static uint8_t room[VTPM_TRANSFER_ANSWER_MAX + 1], much[VTPM_TRANSFER_BUNDLE_MAX + 1];
    struct vtpm_transfer_answer answer = {.facts = {.custody = VTPM_MOVED, .armed = true, .instance = "this"},
                                          .evidence = bytes_from_text("evidence"),
                                          .rest = bytes_from_text("rest")};
    struct vtpm_transfer_answer got;
    size_t len = 0;
    memset(answer.facts.to, 4, sizeof answer.facts.to);
    memset(answer.facts.from, 5, sizeof answer.facts.from);
    memset(answer.facts.id, 6, sizeof answer.facts.id);
    struct writer writer = writer_over(room, sizeof room);
    vtpm_transfer_put_answer(&writer, &answer);
    check_ok(vtpm_transfer_answer_decode(writer_bytes(&writer), &got));
    assert_memory_equal(&answer.facts, &got.facts, sizeof got.facts);
    check_bytes(answer.evidence, got.evidence);
    check_bytes(answer.rest, got.rest);
    for (size_t cut = 0; cut < writer.len; cut++)
        check_status(TRUNCATED, vtpm_transfer_answer_len(bytes_from(room, cut), &len));
    put_u8(&writer, 0);
    check_status(MALFORMED, vtpm_transfer_answer_decode(writer_bytes(&writer), &got));
    room[8] = VTPM_ABANDONED + 1;
    check_status(MALFORMED, vtpm_transfer_answer_decode(bytes_from(room, writer.len - 1), &got));
    room[8] = VTPM_MOVED;
    room[9] = 4;
    check_status(MALFORMED, vtpm_transfer_answer_decode(bytes_from(room, writer.len - 1), &got));
    /* Its limits. */
    answer.evidence = bytes_from(much, VTPM_TRANSFER_EVIDENCE_MAX);
    answer.rest = bytes_from(much, VTPM_TRANSFER_BUNDLE_MAX);
    writer = writer_over(room, sizeof room);
    vtpm_transfer_put_answer(&writer, &answer);
    assert_int_equal(VTPM_TRANSFER_ANSWER_MAX, writer.len);
    check_ok(vtpm_transfer_answer_decode(writer_bytes(&writer), &got));
    answer.rest.len++;
    writer = writer_over(room, sizeof room);
    vtpm_transfer_put_answer(&writer, &answer);
    check_status(NO_ROOM, writer_end(&writer));
    answer = (struct vtpm_transfer_answer){.status = DENIED, .sentence = bytes_from_text("no")};
    writer = writer_over(room, sizeof room);
    vtpm_transfer_put_answer(&writer, &answer);
    check_ok(vtpm_transfer_answer_decode(writer_bytes(&writer), &got));
    assert_int_equal(DENIED, got.status);
    check_bytes(answer.sentence, got.sentence);
    answer.sentence = bytes_from(much, VTPM_TRANSFER_SENTENCE_MAX + 1);
    vtpm_transfer_put_answer(&writer, &answer);
    check_status(NO_ROOM, writer_end(&writer));
}

static void every_fact_is_in_what_evidence_is_over(void **state)
{
    (void)state;
    struct vtpm_transfer_facts facts = {.custody = VTPM_LIVE};
    uint8_t before[VTPM_TRANSFER_USER_DATA_LEN], after[VTPM_TRANSFER_USER_DATA_LEN];
    uint8_t *const fields[] = {facts.instance, facts.id, facts.to, facts.from};
    check_ok(vtpm_transfer_user_data(&facts, before));
    for (size_t i = 0; i < 4; i++) {
        fields[i][15] ^= 1;
        check_ok(vtpm_transfer_user_data(&facts, after));
        assert_memory_not_equal(before, after, sizeof after);
        fields[i][15] ^= 1;
    }
    facts.custody = VTPM_ABANDONED;
    check_ok(vtpm_transfer_user_data(&facts, after));
    assert_memory_not_equal(before, after, sizeof after);
    facts = (struct vtpm_transfer_facts){.custody = VTPM_LIVE, .armed = true};
    check_ok(vtpm_transfer_user_data(&facts, after));
    assert_memory_not_equal(before, after, sizeof after);
    assert_string_equal("moved", vtpm_custody_word(VTPM_MOVED));
    assert_string_equal("unknown", vtpm_custody_word((enum vtpm_custody)9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_of_each_purpose_is_read_as_it_was_signed),
        cmocka_unit_test(a_grant_that_is_cut_longer_bent_or_anothers_is_refused),
        cmocka_unit_test(a_grant_without_a_purpose_or_with_a_key_of_another_curve_is_not_signed),
        cmocka_unit_test(what_is_sealed_is_opened_absent_and_empty_states_told_apart),
        cmocka_unit_test(every_shorter_prefix_of_a_blob_and_one_byte_more_is_refused),
        cmocka_unit_test(a_flipped_bit_of_a_blob_opens_nothing),
        cmocka_unit_test(limits_of_a_blob_hold_at_them_and_not_past),
        cmocka_unit_test(a_policys_serial_is_in_what_is_sealed_but_in_no_snapshot),
        cmocka_unit_test(a_content_key_is_for_one_receiver_grant_and_transfer),
        cmocka_unit_test(a_bundle_is_three_kinds_of_one_transfer_in_order),
        cmocka_unit_test(questions_are_read_whole_and_no_other),
        cmocka_unit_test(answers_are_read_whole_and_no_other),
        cmocka_unit_test(every_fact_is_in_what_evidence_is_over),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
