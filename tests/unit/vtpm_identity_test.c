/* vtpm and vtpm_appraisal: which endorsement keys a vTPM says it has, that they are those its user gets, and that
 * nothing but the evidence over them is believed. */
#include "vtpm_identity_rig.h"

#define RH_ENDORSEMENT 0x4000000bu

/* A primary key of the template, as its user would make it; stays in the TPM. */
static uint32_t create_ek(struct rig *rig, enum tpm2_ek_kind kind, struct bytes *area, uint32_t *handle)
{
    uint8_t room[TPM2_EK_PUBLIC_MAX], parameters_room[512];
    struct writer template = writer_over(room, sizeof room);
    struct writer parameters = writer_over(parameters_room, sizeof parameters_room);
    const uint32_t handles[] = {RH_ENDORSEMENT};
    struct bytes rest = {0};
    tpm2_put_ek_template(&template, kind);
    put_u16be(&parameters, 4);
    put_u32be(&parameters, 0);
    put_u16be(&parameters, (uint16_t) template.len);
    put_bytes(&parameters, writer_bytes(&template));
    put_u16be(&parameters, 0);
    put_u32be(&parameters, 0);
    uint32_t code = rig_tpm(rig, rig_command(0x131, handles, 1, rig_no_auth, writer_bytes(&parameters)), &rest);
    struct reader reader = reader_over(rest);
    *handle = take_u32be(&reader);
    (void)take_u32be(&reader);
    *area = take_bytes(&reader, take_u16be(&reader));
    return code;
}

static void flush(struct rig *rig, uint32_t handle)
{
    assert_int_equal(0, rig_tpm(rig, rig_command(0x165, &handle, 1, NULL, (struct bytes){0}), NULL));
}

static uint32_t transient_objects(struct rig *rig)
{
    static const uint8_t select[] = {0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 16};
    struct bytes rest = {0};
    assert_int_equal(0, rig_tpm(rig, rig_command(0x17a, NULL, 0, NULL, BYTES_OF(select)), &rest));
    struct reader reader = reader_over(rest);
    (void)take_bytes(&reader, 5);
    return take_u32be(&reader);
}

static void its_keys_are_told_and_accepted(void **state)
{
    (void)state;
    struct rig rig;
    struct vtpm_appraisal appraisal;
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    rig_with_monitor(&rig);
    check_ok(vtpm_appraise(rig_keys(&rig, BYTES_OF(nonce)), &policy, &appraisal));
    assert_int_equal(0, appraisal.evidence.reasons);
    check_bytes(bytes_from_text("hub"), appraisal.evidence.report.product);
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        assert_int_equal(kind, appraisal.keys[kind].kind);
        assert_true(appraisal.keys[kind].key_len > 0);
    }
    rig_done(&rig);
}

static void they_are_those_its_user_gets_and_nothing_stays_behind(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t told[VTPM_KEYS_ANSWER_MAX];
    struct vtpm_keys_answer answer;
    rig_with_monitor(&rig);
    for (int i = 0; i < 3; i++) { /* more keys than a TPM has room for */
        struct bytes whole = rig_keys(&rig, BYTES_OF(nonce));
        assert_true(whole.len <= sizeof told);
        memcpy(told, whole.data, whole.len);
        check_ok(vtpm_keys_answer_decode(bytes_from(told, whole.len), &answer));
        assert_int_equal(OK, answer.status);
        assert_int_equal(0, transient_objects(&rig));
    }
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        struct bytes area = {0};
        uint32_t handle = 0;
        assert_int_equal(0, create_ek(&rig, (enum tpm2_ek_kind)kind, &area, &handle));
        check_bytes(answer.areas[kind], area);
        flush(&rig, handle);
    }
    rig_done(&rig);
}

static void they_are_the_same_after_a_restart_and_another_instance_has_others(void **state)
{
    (void)state;
    struct rig rig, other;
    struct vtpm_appraisal first, second;
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    rig_with_monitor(&rig);
    check_ok(vtpm_appraise(rig_keys(&rig, BYTES_OF(nonce)), &policy, &first));
    rig_stop(&rig);
    rig_on(&rig);
    check_ok(vtpm_appraise(rig_keys(&rig, BYTES_OF(nonce)), &policy, &second));
    assert_memory_equal(first.keys, second.keys, sizeof first.keys);
    rig_done(&rig);
    rig_with_monitor(&other);
    check_ok(vtpm_appraise(rig_keys(&other, BYTES_OF(nonce)), &policy, &second));
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        assert_memory_not_equal(first.keys[kind].key, second.keys[kind].key, first.keys[kind].key_len);
    rig_done(&other);
}

/* ---- What is not believed ---- */

static void refuses(struct bytes answer, const struct evidence_policy *policy, enum evidence_reason reason)
{
    static const struct tpm2_ek none[TPM2_EK_KINDS];
    struct vtpm_appraisal appraisal;
    check_status(DENIED, vtpm_appraise(answer, policy, &appraisal));
    assert_int_equal(OK, appraisal.said);
    assert_true(appraisal.evidence.reasons >> reason & 1);
    assert_memory_equal(none, appraisal.keys, sizeof none);
}

static void what_differs_from_the_policy_is_refused_by_reason(void **state)
{
    (void)state;
    static const uint8_t other[64] = {9}, later[16] = "asked later";
    struct rig rig;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = policy_of_node(digest);
    rig_with_monitor(&rig);
    struct bytes answer = rig_keys(&rig, BYTES_OF(nonce));
    policy.nonce = BYTES_OF(later);
    refuses(answer, &policy, EVIDENCE_STALE_NONCE);
    refuses(answer, &policy, EVIDENCE_QUOTE);
    policy = policy_of_node(digest);
    policy.config = bytes_from(other, 32); /* another instance, or another owner's */
    refuses(answer, &policy, EVIDENCE_CONFIG);
    policy = policy_of_node(digest);
    policy.ek_name = bytes_from(other, TPM2_NAME_LEN);
    refuses(answer, &policy, EVIDENCE_OTHER_TPM);
    policy = policy_of_node(digest);
    policy.ak_name = bytes_from(other, TPM2_NAME_LEN);
    refuses(answer, &policy, EVIDENCE_OTHER_AK);
    policy = policy_of_node(digest);
    policy.measurement_count = 1;
    policy.signer = bytes_from(other, 32);
    refuses(answer, &policy, EVIDENCE_MEASUREMENT);
    policy.signer = BYTES_OF(signer);
    policy.product = bytes_from_text("vtpm");
    refuses(answer, &policy, EVIDENCE_MEASUREMENT);
    policy = policy_of_node(digest);
    policy.min_security_version = 4;
    refuses(answer, &policy, EVIDENCE_SECURITY_VERSION);
    policy = policy_of_node(digest);
    policy.seen.nv_counter = 43;
    refuses(answer, &policy, EVIDENCE_ROLLED_BACK);
    policy = policy_of_node(digest);
    policy.nonce = (struct bytes){0};
    struct vtpm_appraisal appraisal;
    check_status(INTERNAL, vtpm_appraise(answer, &policy, &appraisal));
    rig_done(&rig);
}

static void each_key_of_another_instance_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t digest[CRYPTO_HASH_MAX], mine_room[VTPM_KEYS_ANSWER_MAX], room[VTPM_KEYS_ANSWER_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    struct vtpm_keys_answer mine, theirs;
    rig_with_monitor(&rig);
    struct bytes answer = rig_keys(&rig, BYTES_OF(nonce));
    memcpy(mine_room, answer.data, answer.len);
    check_ok(vtpm_keys_answer_decode(bytes_from(mine_room, answer.len), &mine));
    rig_done(&rig);
    rig_with_monitor(&rig);
    check_ok(vtpm_keys_answer_decode(rig_keys(&rig, BYTES_OF(nonce)), &theirs));
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        struct vtpm_keys_answer mixed = mine;
        struct writer writer = writer_over(room, sizeof room);
        mixed.areas[kind] = theirs.areas[kind];
        vtpm_keys_put_answer(&writer, &mixed);
        refuses(writer_bytes(&writer), &policy, EVIDENCE_USER_DATA);
    }
    rig_done(&rig);
}

static void keys_stand_each_in_its_place(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t digest[CRYPTO_HASH_MAX], room[VTPM_KEYS_ANSWER_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    struct vtpm_keys_answer answer;
    rig_with_monitor(&rig);
    check_ok(vtpm_keys_answer_decode(rig_keys(&rig, BYTES_OF(nonce)), &answer));
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        struct vtpm_keys_answer mixed = answer;
        struct writer writer = writer_over(room, sizeof room);
        mixed.areas[kind] = answer.areas[(kind + 1) % TPM2_EK_KINDS];
        vtpm_keys_put_answer(&writer, &mixed);
        refuses(writer_bytes(&writer), &policy, EVIDENCE_MALFORMED);
    }
    rig_done(&rig);
}

static void no_byte_of_an_answer_can_be_changed(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t digest[CRYPTO_HASH_MAX], room[VTPM_KEYS_ANSWER_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    struct vtpm_appraisal appraisal;
    rig_with_monitor(&rig);
    struct bytes answer = rig_keys(&rig, BYTES_OF(nonce));
    memcpy(room, answer.data, answer.len);
    rig_done(&rig);
    for (size_t i = 0; i < answer.len; i++) {
        room[i] ^= (uint8_t)(1u << i % 8);
        check_status(DENIED, vtpm_appraise(bytes_from(room, answer.len), &policy, &appraisal));
        room[i] ^= (uint8_t)(1u << i % 8);
    }
    check_ok(vtpm_appraise(bytes_from(room, answer.len), &policy, &appraisal));
    for (size_t len = 0; len < answer.len; len += 7)
        refuses(bytes_from(room, len), &policy, EVIDENCE_MALFORMED);
}

/* ---- When it cannot say ---- */

static void while_it_is_off_or_not_started_it_says_so(void **state)
{
    (void)state;
    struct rig rig;
    struct vtpm_appraisal appraisal;
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    rig_init(&rig);
    rig.report = report_of_node;
    assert_int_equal(0, rig_launch(&rig));
    check_status(WRONG_STATE, rig_keys_status(&rig));
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    check_status(WRONG_STATE, rig_keys_status(&rig));
    check_status(DENIED, vtpm_appraise(rig_keys(&rig, BYTES_OF(nonce)), &policy, &appraisal));
    assert_int_equal(WRONG_STATE, appraisal.said);
    assert_int_equal(0, rig_startup(&rig));
    check_status(OK, rig_keys_status(&rig));
    rig_done(&rig);
}

static void with_its_endorsement_hierarchy_behind_a_password_it_says_so(void **state)
{
    (void)state;
    static const uint8_t password[] = {0, 4, 'm', 'i', 'n', 'e'};
    const uint32_t endorsement = RH_ENDORSEMENT;
    struct rig rig;
    rig_with_monitor(&rig);
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x129, &endorsement, 1, rig_no_auth, BYTES_OF(password)), NULL));
    check_status(DENIED, rig_keys_status(&rig));
    rig_done(&rig);
}

static void with_its_endorsement_hierarchy_shut_it_says_so(void **state)
{
    (void)state;
    static const uint8_t shut[] = {0x40, 0, 0, 0x0b, 0};
    const uint32_t platform = 0x4000000c;
    struct rig rig;
    rig_with_monitor(&rig);
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x121, &platform, 1, rig_no_auth, BYTES_OF(shut)), NULL));
    check_status(DENIED, rig_keys_status(&rig));
    rig_stop(&rig);
    rig_on(&rig);
    check_status(OK, rig_keys_status(&rig)); /* a startup opens it again */
    rig_done(&rig);
}

static void with_its_room_taken_it_is_busy_and_takes_none_away(void **state)
{
    (void)state;
    struct rig rig;
    struct bytes area = {0};
    uint32_t handles[8], count = 0;
    rig_with_monitor(&rig);
    while (count < 8 && create_ek(&rig, TPM2_EK_P256, &area, &handles[count]) == 0)
        count++;
    assert_in_range(count, 1, 7);
    check_status(BUSY, rig_keys_status(&rig));
    assert_int_equal(count, transient_objects(&rig));
    flush(&rig, handles[0]);
    check_status(OK, rig_keys_status(&rig));
    assert_int_equal(count - 1, transient_objects(&rig));
    rig_done(&rig);
}

static void without_a_report_it_gives_no_keys(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_on(&rig);
    check_status(IO, rig_keys_status(&rig));
    assert_int_equal(VTPM_KEYS_ANSWER_HEAD, rig.reply_len);
    rig_done(&rig);
}

static void bent_questions_are_answered(void **state)
{
    (void)state;
    static const uint8_t version[] = {0, 3, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, cut[] = {0, 1, 0, 8, 1};
    static const struct {
        struct bytes question;
        enum status status;
    } table[] = {{{0}, TRUNCATED}, {{version, sizeof version}, UNSUPPORTED}, {{cut, sizeof cut}, TRUNCATED}};
    struct rig rig;
    struct vtpm_keys_answer answer;
    rig_with_monitor(&rig);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        rig_ask(&rig, DOOR_VTPM_KEYS, table[i].question);
        assert_int_equal(1, rig.replies);
        check_ok(vtpm_keys_answer_decode(bytes_from(rig.reply, rig.reply_len), &answer));
        assert_int_equal(table[i].status, answer.status);
    }
    check_status(OK, rig_keys_status(&rig));
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_keys_are_told_and_accepted),
        cmocka_unit_test(they_are_those_its_user_gets_and_nothing_stays_behind),
        cmocka_unit_test(they_are_the_same_after_a_restart_and_another_instance_has_others),
        cmocka_unit_test(what_differs_from_the_policy_is_refused_by_reason),
        cmocka_unit_test(each_key_of_another_instance_is_refused),
        cmocka_unit_test(keys_stand_each_in_its_place),
        cmocka_unit_test(no_byte_of_an_answer_can_be_changed),
        cmocka_unit_test(while_it_is_off_or_not_started_it_says_so),
        cmocka_unit_test(with_its_endorsement_hierarchy_behind_a_password_it_says_so),
        cmocka_unit_test(with_its_endorsement_hierarchy_shut_it_says_so),
        cmocka_unit_test(with_its_room_taken_it_is_busy_and_takes_none_away),
        cmocka_unit_test(without_a_report_it_gives_no_keys),
        cmocka_unit_test(bent_questions_are_answered),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
