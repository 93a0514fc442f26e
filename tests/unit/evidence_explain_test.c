/* Explaining: the chain of an appraisal, with what was expected, what was found, and what that is worth. */
#include "evidence_rig.h"

#include <stdio.h>

static struct evidence_step steps[EVIDENCE_LINK_COUNT];

static void explain(const struct evidence_policy *policy, const struct evidence_result *result)
{
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++)
        evidence_explain(link, policy, result, &steps[link]);
}

static enum status appraise(const struct eat_report *report, const struct evidence_policy *policy,
                            struct evidence_result *result)
{
    static uint8_t room[EAT_EVIDENCE_MAX];
    enum status status = evidence_appraise(made(report, &node.report_key, room), policy, result);
    explain(policy, result);
    return status;
}

/* The links with this outcome, a bit each. */
static uint32_t with(enum evidence_outcome outcome)
{
    uint32_t links = 0;
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++)
        links |= (uint32_t)(steps[link].outcome == outcome) << link;
    return links;
}

#define LINK(link) (1u << EVIDENCE_LINK_##link)
#define ALL_LINKS ((1u << EVIDENCE_LINK_COUNT) - 1)
#define WALLS_ALL_BITS 0xf7fu

static const char *text_of(const uint8_t *bytes, size_t len)
{
    static char text[2 * TPM2_NAME_LEN + 1];
    check_ok(hex_encode(bytes_from(bytes, len), text, sizeof text));
    return text;
}

static void good_evidence_holds_at_every_link(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct eat_report report = sample();
    struct evidence_policy policy = strict(digest);
    report.walls = WALLS_ALL_BITS;
    check_ok(appraise(&report, &policy, &result));
    assert_int_equal(ALL_LINKS, with(EVIDENCE_HOLDS));
    assert_string_equal(text_of(node.ek_name, sizeof node.ek_name), steps[EVIDENCE_LINK_TPM].expected);
    assert_string_equal(steps[EVIDENCE_LINK_TPM].expected, steps[EVIDENCE_LINK_TPM].found);
    assert_string_equal(text_of(nonce, sizeof nonce), steps[EVIDENCE_LINK_NONCE].found);
    assert_string_equal(text_of(config, sizeof config), steps[EVIDENCE_LINK_CONFIGURATION].found);
    assert_non_null(strstr(steps[EVIDENCE_LINK_QUOTE].found, text_of(digest, 32)));
    assert_non_null(strstr(steps[EVIDENCE_LINK_MONITOR].expected, text_of(digest, 32)));
    assert_non_null(strstr(steps[EVIDENCE_LINK_IMAGE].expected, text_of(measurements[1], 32)));
    assert_non_null(strstr(steps[EVIDENCE_LINK_IMAGE].found, "hub 3 signed by 02"));
}

static void every_reason_is_refused_at_one_link_with_its_sentence(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    char headline[EVIDENCE_TEXT_MAX];
    struct evidence_policy policy = strict(digest);
    for (int reason = 0; reason < EVIDENCE_REASON_COUNT; reason++) {
        struct evidence_result result = {.reasons = 1u << reason, .judged = UINT32_MAX, .report = sample()};
        explain(&policy, &result);
        uint32_t refused = with(EVIDENCE_REFUSED);
        assert_int_not_equal(0, refused);
        assert_int_equal(0, refused & (refused - 1));
        evidence_headline((enum evidence_reason)reason, &policy, &result, headline, sizeof headline);
        for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++)
            if (refused >> link & 1)
                assert_string_equal(headline, steps[link].why);
    }
}

static void what_differs_is_shown_beside_what_was_expected(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    report.measurement[0] = 7;
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_int_equal(LINK(IMAGE), with(EVIDENCE_REFUSED));
    assert_int_equal(0, with(EVIDENCE_UNPROVED));
    assert_non_null(strstr(steps[EVIDENCE_LINK_IMAGE].found, text_of(report.measurement, 32)));
    assert_null(strstr(steps[EVIDENCE_LINK_IMAGE].expected, text_of(report.measurement, 32)));

    report = sample();
    policy.seen.sequence = 10;
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_int_equal(LINK(FRESHNESS), with(EVIDENCE_REFUSED));
    assert_string_equal("counter 0, resets 0, sequence 10, or later", steps[EVIDENCE_LINK_FRESHNESS].expected);
    assert_string_equal("counter 42, resets 7, sequence 9", steps[EVIDENCE_LINK_FRESHNESS].found);

    policy = strict(digest);
    policy.required_walls = EAT_WALL_SECRET_MEMORY | EAT_SWITCH_LOCKDOWN | EAT_SWITCH_SECURE_BOOT;
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_int_equal(LINK(WALLS), with(EVIDENCE_REFUSED));
    assert_string_equal("Walls missing that are required: lockdown, secure-boot.", steps[EVIDENCE_LINK_WALLS].why);
    assert_string_equal("secret-memory, lockdown, secure-boot", steps[EVIDENCE_LINK_WALLS].expected);
}

static void development_of_the_same_owner_and_site_is_named(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    static const uint8_t development[32] = {0xde};
    struct evidence_result result;
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.config_dev = BYTES_OF(development);
    report.mode = EAT_INSECURE_DEV;
    memcpy(report.config, development, sizeof development);
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_int_equal(LINK(MODE) | LINK(CONFIGURATION), with(EVIDENCE_REFUSED));
    assert_non_null(strstr(steps[EVIDENCE_LINK_CONFIGURATION].why, "This owner and this site"));
    assert_non_null(strstr(steps[EVIDENCE_LINK_CONFIGURATION].found, "in development mode"));
    report.config[1] = 1;
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_non_null(strstr(steps[EVIDENCE_LINK_CONFIGURATION].why, "Other owner"));
    assert_null(strstr(steps[EVIDENCE_LINK_CONFIGURATION].found, "in development mode"));
}

static void what_a_policy_lets_pass_is_told_apart(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.ek_name = policy.ak_name = (struct bytes){0};
    policy.boot_digest_count = 0;
    policy.allow_insecure_dev = policy.allow_unproved_ak = policy.allow_unmeasured_monitor = true;
    report.mode = EAT_INSECURE_DEV;
    check_ok(appraise(&report, &policy, &result));
    uint32_t weak = LINK(TPM) | LINK(ATTESTATION_KEY) | LINK(MONITOR) | LINK(MODE) | LINK(WALLS);
    assert_int_equal(weak, with(EVIDENCE_ALLOWED));
    assert_int_equal(ALL_LINKS & ~weak, with(EVIDENCE_HOLDS));
    assert_non_null(strstr(steps[EVIDENCE_LINK_MONITOR].found, ", measured by its own word, not by the quote"));
}

static void behind_a_monitor_that_nobody_measured_all_is_its_word(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.boot_digest_count = 0;
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_int_equal(LINK(MONITOR), with(EVIDENCE_REFUSED));
    assert_int_equal(ALL_LINKS & ~(LINK(MONITOR) * 2 - 1), with(EVIDENCE_UNPROVED));
    assert_int_equal(LINK(MONITOR) - 1, with(EVIDENCE_HOLDS));
}

static void behind_another_tpm_nothing_is_proved(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX];
    static const uint8_t other[TPM2_NAME_LEN] = {0, 11, 1};
    struct evidence_result result;
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    policy.ek_name = BYTES_OF(other);
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_int_equal(LINK(TPM), with(EVIDENCE_REFUSED));
    assert_int_equal(LINK(EVIDENCE) | LINK(NONCE), with(EVIDENCE_HOLDS));
    assert_int_equal(ALL_LINKS & ~(LINK(TPM) * 2 - 1), with(EVIDENCE_UNPROVED));
}

static void what_was_not_looked_at_is_not_judged(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX], room[EAT_EVIDENCE_MAX];
    struct evidence_result result;
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    check_status(DENIED, evidence_appraise(bytes_from_text("none"), &policy, &result));
    explain(&policy, &result);
    assert_int_equal(LINK(EVIDENCE), with(EVIDENCE_REFUSED));
    assert_int_equal(ALL_LINKS & ~LINK(EVIDENCE), with(EVIDENCE_UNSEEN));
    assert_string_equal("", steps[EVIDENCE_LINK_IMAGE].found);
    /* A report by another key: its claims were not read. */
    check_status(DENIED, evidence_appraise(made(&report, &node.ek, room), &policy, &result));
    explain(&policy, &result);
    assert_int_equal(LINK(REPORT), with(EVIDENCE_REFUSED));
    assert_int_equal(LINK(NONCE) | (ALL_LINKS & ~(LINK(REPORT) * 2 - 1)), with(EVIDENCE_UNSEEN));
    /* Nobody asked what it is bound to. */
    policy.user_data = (struct bytes){0};
    check_ok(appraise(&report, &policy, &result));
    assert_int_equal(LINK(SESSION), with(EVIDENCE_UNSEEN));
}

static void an_appraisal_and_its_explanation_agree_whatever_is_flipped(void **state)
{
    (void)state;
    uint8_t room[EAT_EVIDENCE_MAX], digest[CRYPTO_HASH_MAX];
    struct evidence_result result;
    struct eat_report report = sample();
    struct evidence_policy policy = strict(digest);
    struct bytes whole = made(&report, &node.report_key, room);
    for (size_t bit = 0; bit < whole.len * 8; bit += 3) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_status(DENIED, evidence_appraise(whole, &policy, &result));
        explain(&policy, &result);
        assert_int_not_equal(0, with(EVIDENCE_REFUSED));
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void words_of_the_evidence_cannot_steer_a_terminal_and_long_lists_end(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_MAX], many[40][32] = {{1}};
    struct evidence_result result;
    struct evidence_policy policy = strict(digest);
    struct eat_report report = sample();
    report.product = bytes_from_text("hub\033[2J\xc3\xa4");
    report.walls = WALLS_ALL_BITS;
    policy.required_walls = UINT32_MAX;
    policy.measurements = policy.boot_digests = policy.monitors = (const uint8_t(*)[32])(void *)many;
    policy.measurement_count = policy.boot_digest_count = policy.monitor_count = 40;
    check_status(DENIED, appraise(&report, &policy, &result));
    assert_non_null(strstr(steps[EVIDENCE_LINK_IMAGE].found, "hub?[2J??"));
    assert_non_null(strstr(steps[EVIDENCE_LINK_IMAGE].expected, " or one of 37 more"));
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++) {
        assert_true(strlen(steps[link].expected) < EVIDENCE_TEXT_MAX);
        assert_true(strlen(evidence_link_word(link)) > 2);
    }
    assert_string_equal("", evidence_link_word(EVIDENCE_LINK_COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_evidence_holds_at_every_link),
        cmocka_unit_test(every_reason_is_refused_at_one_link_with_its_sentence),
        cmocka_unit_test(what_differs_is_shown_beside_what_was_expected),
        cmocka_unit_test(development_of_the_same_owner_and_site_is_named),
        cmocka_unit_test(what_a_policy_lets_pass_is_told_apart),
        cmocka_unit_test(behind_a_monitor_that_nobody_measured_all_is_its_word),
        cmocka_unit_test(behind_another_tpm_nothing_is_proved),
        cmocka_unit_test(what_was_not_looked_at_is_not_judged),
        cmocka_unit_test(an_appraisal_and_its_explanation_agree_whatever_is_flipped),
        cmocka_unit_test(words_of_the_evidence_cannot_steer_a_terminal_and_long_lists_end),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
