/* Appraisal: evidence made with keys of our own in the place of a TPM's, then everything wrong with it, one at a time.
 */
#include "check.h"

#include "evidence.h"

struct node {
    struct crypto_key ek, ak, report_key;
    uint8_t ek_area[TPM2_PUBLIC_MAX], ak_area[TPM2_PUBLIC_MAX];
    size_t ek_len, ak_len;
    uint8_t ek_name[TPM2_NAME_LEN], ak_name[TPM2_NAME_LEN];
};

static struct node node;
static const uint8_t nonce[16] = "asked for this";
static const uint8_t config[32] = {3}, measurements[2][32] = {{0xee}, {1}}, user_data[64] = {5}, signer[32] = {2};

static size_t area_of(const struct tpm2_public *wanted, const struct crypto_key *key, uint8_t *room, uint8_t *name)
{
    struct tpm2_public area = *wanted;
    memcpy(area.x, key->public_key.data + 1, 32);
    memcpy(area.y, key->public_key.data + 33, 32);
    struct writer writer = writer_over(room, TPM2_PUBLIC_MAX);
    tpm2_put_public(&writer, &area);
    assert_int_equal(OK, tpm2_name(writer_bytes(&writer), name));
    return writer.len;
}

static int start(void **state)
{
    (void)state;
    struct tpm2_public ek;
    const struct tpm2_public ak = {.attributes = TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_USER_WITH_AUTH |
                                                 TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_SIGN,
                                   .ecdsa = true};
    tpm2_ek_template(&ek);
    if (crypto_init() != OK || crypto_key_generate(&node.ek, CRYPTO_P256) != OK ||
        crypto_key_generate(&node.ak, CRYPTO_P256) != OK || crypto_key_generate(&node.report_key, CRYPTO_P256) != OK)
        return 1;
    node.ek_len = area_of(&ek, &node.ek, node.ek_area, node.ek_name);
    node.ak_len = area_of(&ak, &node.ak, node.ak_area, node.ak_name);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    crypto_key_done(&node.ek);
    crypto_key_done(&node.ak);
    crypto_key_done(&node.report_key);
    return 0;
}

static struct eat_report sample(void)
{
    struct eat_report report = {.nonce_len = sizeof nonce,
                                .port = bytes_from_text("linux"),
                                .mode = EAT_PRODUCTION,
                                .measurement = {1},
                                .product = bytes_from_text("hub"),
                                .security_version = 3,
                                .signer = {2},
                                .config = {3},
                                .workload = {4},
                                .user_data = {5},
                                .walls = EAT_WALL_SECRET_MEMORY,
                                .monitor_measured = true,
                                .monitor = {6},
                                .nv_counter = 42,
                                .reset_count = 7,
                                .sequence = 9};
    memcpy(report.nonce, nonce, sizeof nonce);
    return report;
}

static const uint8_t pcr_value[32] = {0x77};

static void boot_digest(uint8_t digest[CRYPTO_HASH_MAX])
{
    const struct bytes parts[] = {BYTES_OF(pcr_value), BYTES_OF(pcr_value)};
    check_ok(crypto_hash(CRYPTO_SHA256, parts, 2, digest));
}

static struct evidence_policy strict(uint8_t digest[CRYPTO_HASH_MAX])
{
    boot_digest(digest);
    return (struct evidence_policy){.ek_name = BYTES_OF(node.ek_name),
                                    .ak_name = BYTES_OF(node.ak_name),
                                    .measurements = measurements,
                                    .measurement_count = 2,
                                    .boot_digests = (const uint8_t(*)[EAT_HASH_LEN])(void *)digest,
                                    .boot_digest_count = 1,
                                    .config = BYTES_OF(config),
                                    .nonce = BYTES_OF(nonce),
                                    .user_data = BYTES_OF(user_data),
                                    .required_walls = EAT_WALL_SECRET_MEMORY};
}

/* What a monitor and its TPM would say: `report` signed by `by`, the report key quoted by the AK. */
static struct bytes made(const struct eat_report *report, const struct crypto_key *by, uint8_t *room)
{
    uint8_t digest[CRYPTO_HASH_MAX], data[32], quote[TPM2_ATTEST_MAX], signature[64], body[EAT_REPORT_MAX];
    boot_digest(digest);
    check_ok(eat_quote_data(&node.report_key.public_key, bytes_from(report->nonce, report->nonce_len), data));
    const struct tpm2_attest attest = {
        .extra_data = BYTES_OF(data), .pcr_mask = 1u << 4 | 1u << 15, .pcr_digest = bytes_from(digest, 32)};
    struct writer attested = writer_over(quote, sizeof quote), signed_report = writer_over(body, sizeof body),
                  writer = writer_over(room, EAT_EVIDENCE_MAX);
    tpm2_put_attest(&attested, &attest);
    struct bytes raw = writer_bytes(&attested);
    check_ok(crypto_sign(&node.ak, &raw, 1, signature));
    check_ok(eat_report_sign(&signed_report, by, report));
    struct eat_evidence bundle = {.report = writer_bytes(&signed_report),
                                  .report_key = node.report_key.public_key,
                                  .quote = raw,
                                  .quote_signature = BYTES_OF(signature),
                                  .pcr_mask = attest.pcr_mask,
                                  .ak = bytes_from(node.ak_area, node.ak_len),
                                  .ek = bytes_from(node.ek_area, node.ek_len)};
    memcpy(bundle.pcrs[4], pcr_value, 32);
    memcpy(bundle.pcrs[15], pcr_value, 32);
    eat_put_evidence(&writer, &bundle);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

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
    policy.ek_name = (struct bytes){0};
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
