/* Appraisal: evidence made with keys of our own in the place of a TPM's, then everything wrong with it, one at a time.
 */
#include "evidence_rig.h"

static uint32_t reasons_of(const struct eat_report *report, const struct evidence_policy *policy)
{
    uint8_t room[EAT_EVIDENCE_MAX];
    struct evidence_result result;
    enum status status = evidence_appraise(made(report, &node.report_key, room), policy, &result);
    assert_int_equal(result.reasons ? DENIED : OK, status);
    return result.reasons;
}

#define ONLY(reason) (1u << (reason))

static void good_evidence_is_accepted_and_says_what_it_saw(void **state)
{
    (void)state;
    uint8_t room[EAT_EVIDENCE_MAX], digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct eat_report report = sample();
    struct evidence_policy policy = strict(digest);
    check_ok(evidence_appraise(made(&report, &node.report_key, room), &policy, &result));
    assert_int_equal(0, result.reasons);
    assert_int_equal(42, result.freshness.nv_counter);
    assert_int_equal(9, result.freshness.sequence);
    assert_memory_equal(node.ak_name, result.ak_name, sizeof node.ak_name);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    uint8_t room[EAT_EVIDENCE_MAX], digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct eat_report report = sample();
    struct evidence_policy policy = strict(digest);
    struct bytes whole = made(&report, &node.report_key, room);
    for (size_t bit = 0; bit < whole.len * 8; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_status(DENIED, evidence_appraise(whole, &policy, &result));
        assert_int_not_equal(0, result.reasons);
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < whole.len; len += 7) {
        check_status(DENIED, evidence_appraise(bytes_slice(whole, 0, len), &policy, &result));
        assert_int_equal(ONLY(EVIDENCE_MALFORMED), result.reasons);
    }
}

static void each_claim_that_differs_is_named_alone(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    static const uint8_t others[1][32] = {{9}};

    report.mode = EAT_INSECURE_DEV;
    assert_int_equal(ONLY(EVIDENCE_MODE), reasons_of(&report, &policy));
    report = sample();
    report.measurement[0] = 7;
    assert_int_equal(ONLY(EVIDENCE_MEASUREMENT), reasons_of(&report, &policy));
    report = sample();
    report.config[31] = 7;
    assert_int_equal(ONLY(EVIDENCE_CONFIG), reasons_of(&report, &policy));
    report = sample();
    report.user_data[63] = 7;
    assert_int_equal(ONLY(EVIDENCE_USER_DATA), reasons_of(&report, &policy));
    report = sample();
    report.walls = EAT_WALL_NAMESPACES;
    assert_int_equal(ONLY(EVIDENCE_WALLS), reasons_of(&report, &policy));
    report = sample();
    report.port = bytes_from_text("sgx");
    assert_int_equal(ONLY(EVIDENCE_PORT), reasons_of(&report, &policy));
    report = sample();
    report.monitor_measured = false;
    assert_int_equal(ONLY(EVIDENCE_MONITOR), reasons_of(&report, &policy));
    report = sample();
    policy.monitors = others;
    policy.monitor_count = 1;
    assert_int_equal(ONLY(EVIDENCE_MONITOR), reasons_of(&report, &policy));
    policy = strict(digest);
    policy.workload = BYTES_OF(others[0]);
    assert_int_equal(ONLY(EVIDENCE_WORKLOAD), reasons_of(&report, &policy));
    policy = strict(digest);
    policy.min_security_version = 4;
    assert_int_equal(ONLY(EVIDENCE_SECURITY_VERSION), reasons_of(&report, &policy));
}

static void measured_by_its_own_word_is_not_measured(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.boot_digest_count = 0;
    assert_int_equal(ONLY(EVIDENCE_MONITOR), reasons_of(&report, &policy));
    uint8_t others[2][EAT_HASH_LEN] = {{1}, {2}};
    policy.boot_digests = (const uint8_t(*)[EAT_HASH_LEN])others;
    policy.boot_digest_count = 2;
    assert_int_equal(ONLY(EVIDENCE_MONITOR), reasons_of(&report, &policy));
    policy.allow_unmeasured_monitor = true;
    assert_int_equal(0, reasons_of(&report, &policy));
    /* While an update is under way two boot chains are known. */
    policy.allow_unmeasured_monitor = false;
    memcpy(others[1], digest, EAT_HASH_LEN);
    assert_int_equal(0, reasons_of(&report, &policy));
}

static void a_credential_that_only_approved_boot_chains_open_vouches_for_the_report(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.boot_digest_count = 0;
    policy.monitor_by_credential = true;
    assert_int_equal(0, reasons_of(&report, &policy));
    report.monitor_measured = false;
    assert_int_equal(ONLY(EVIDENCE_MONITOR), reasons_of(&report, &policy));
}

static void measured_is_what_the_policy_knows_and_the_report_does_not_deny(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX], room[EAT_EVIDENCE_MAX];
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    struct evidence_result result;
    policy.allow_unmeasured_monitor = true;
    check_ok(evidence_appraise(made(&report, &node.report_key, room), &policy, &result));
    assert_true(result.monitor_measured);
    policy.boot_digest_count = 0;
    check_ok(evidence_appraise(made(&report, &node.report_key, room), &policy, &result));
    assert_false(result.monitor_measured);
    policy = strict(digest);
    policy.allow_unmeasured_monitor = true;
    report.monitor_measured = false;
    check_ok(evidence_appraise(made(&report, &node.report_key, room), &policy, &result));
    assert_false(result.monitor_measured);
}

static void a_signers_product_is_accepted_from_its_lowest_version(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.measurement_count = 0;
    policy.signer = BYTES_OF(signer);
    policy.product = bytes_from_text("hub");
    policy.min_security_version = 3;
    assert_int_equal(0, reasons_of(&report, &policy));
    report.security_version = 2;
    assert_int_equal(ONLY(EVIDENCE_SECURITY_VERSION), reasons_of(&report, &policy));
    report = sample();
    policy.product = bytes_from_text("vtpm");
    assert_int_equal(ONLY(EVIDENCE_MEASUREMENT), reasons_of(&report, &policy));
}

static void whatever_goes_back_is_rolled_back(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.seen = (struct evidence_freshness){.nv_counter = 42, .reset_count = 7, .sequence = 9};
    assert_int_equal(0, reasons_of(&report, &policy));
    policy.seen.nv_counter = 43;
    assert_int_equal(ONLY(EVIDENCE_ROLLED_BACK), reasons_of(&report, &policy));
    policy.seen = (struct evidence_freshness){.nv_counter = 1, .reset_count = 7, .sequence = 10};
    assert_int_equal(ONLY(EVIDENCE_ROLLED_BACK), reasons_of(&report, &policy));
    policy.seen = (struct evidence_freshness){.nv_counter = 1, .reset_count = 8, .sequence = 1};
    assert_int_equal(ONLY(EVIDENCE_ROLLED_BACK), reasons_of(&report, &policy));
}

static void another_nonce_breaks_quote_and_report_alike(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    static const uint8_t other[16] = "asked for that";
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.nonce = BYTES_OF(other);
    assert_int_equal(ONLY(EVIDENCE_STALE_NONCE) | ONLY(EVIDENCE_QUOTE), reasons_of(&report, &policy));
}

static void a_report_by_a_key_nobody_quoted_is_refused(void **state)
{
    (void)state;
    uint8_t room[EAT_EVIDENCE_MAX], digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct eat_report report = sample();
    struct evidence_policy policy = strict(digest);
    check_status(DENIED, evidence_appraise(made(&report, &node.ek, room), &policy, &result));
    assert_int_equal(ONLY(EVIDENCE_REPORT_SIGNATURE), result.reasons);
}

static void anchors_are_insisted_on(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    static const uint8_t other[TPM2_NAME_LEN] = {0, 11, 1};
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.ek_name = BYTES_OF(other);
    assert_int_equal(ONLY(EVIDENCE_OTHER_TPM), reasons_of(&report, &policy));
    /* An attestation key that was proved stands for the TPM it is in; without either there is no anchor. */
    policy.ek_name = (struct bytes){0};
    assert_int_equal(0, reasons_of(&report, &policy));
    policy.ak_name = (struct bytes){0};
    policy.allow_unproved_ak = true;
    assert_int_equal(ONLY(EVIDENCE_OTHER_TPM), reasons_of(&report, &policy));
    policy.allow_insecure_dev = true;
    assert_int_equal(0, reasons_of(&report, &policy));
    policy = strict(digest);
    policy.ak_name = BYTES_OF(other);
    assert_int_equal(ONLY(EVIDENCE_OTHER_AK), reasons_of(&report, &policy));
    policy.ak_name = (struct bytes){0};
    assert_int_equal(ONLY(EVIDENCE_AK_UNPROVED), reasons_of(&report, &policy));
    policy.allow_unproved_ak = true;
    assert_int_equal(0, reasons_of(&report, &policy));
}

static void a_policy_that_lacks_what_it_must_have_appraises_nothing(void **state)
{
    (void)state;
    uint8_t room[EAT_EVIDENCE_MAX], digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct eat_report report = sample();
    struct bytes whole = made(&report, &node.report_key, room);
    const struct evidence_policy zero = {0};
    check_status(INTERNAL, evidence_appraise(whole, &zero, &result));
    struct evidence_policy policy = strict(digest);
    policy.config = (struct bytes){0};
    check_status(INTERNAL, evidence_appraise(whole, &policy, &result));
    policy = strict(digest);
    policy.nonce = bytes_from(nonce, EAT_NONCE_MIN - 1);
    check_status(INTERNAL, evidence_appraise(whole, &policy, &result));
}

static void every_reason_has_its_sentence(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    char text[512], before[512] = "";
    struct evidence_policy policy = strict(digest);
    struct evidence_result result = {.report = sample()};
    for (enum evidence_reason reason = 0; reason < EVIDENCE_REASON_COUNT; reason++) {
        evidence_sentence(reason, &policy, &result, text, sizeof text);
        assert_true(strlen(text) > 20);
        assert_string_not_equal(before, text);
        memcpy(before, text, sizeof before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_evidence_is_accepted_and_says_what_it_saw),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(each_claim_that_differs_is_named_alone),
        cmocka_unit_test(measured_by_its_own_word_is_not_measured),
        cmocka_unit_test(a_credential_that_only_approved_boot_chains_open_vouches_for_the_report),
        cmocka_unit_test(measured_is_what_the_policy_knows_and_the_report_does_not_deny),
        cmocka_unit_test(a_signers_product_is_accepted_from_its_lowest_version),
        cmocka_unit_test(whatever_goes_back_is_rolled_back),
        cmocka_unit_test(another_nonce_breaks_quote_and_report_alike),
        cmocka_unit_test(a_report_by_a_key_nobody_quoted_is_refused),
        cmocka_unit_test(anchors_are_insisted_on),
        cmocka_unit_test(a_policy_that_lacks_what_it_must_have_appraises_nothing),
        cmocka_unit_test(every_reason_has_its_sentence),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
