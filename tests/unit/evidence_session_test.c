/* Appraisal of what comes in EDHOC's message 4: the launch's evidence, and what ties it to this session. */
#include "evidence_rig.h"

#include "attest.h"

static struct crypto_key attestation_key;
static const struct attest_binder ours = {"this session's", 32}, others = {"another session's", 32};
static const uint8_t launch_nonce[16] = "chosen by a hub", credential[5] = "CRED", other_credential[5] = "ELSE";

static int start_session(void **state)
{
    return start(state) || crypto_key_generate(&attestation_key, CRYPTO_P256) != OK;
}

static int stop_session(void **state)
{
    crypto_key_done(&attestation_key);
    return stop(state);
}

/* A launch whose report vouches for this key. */
static struct bytes launch_of(const struct crypto_public *key, uint8_t *room)
{
    struct eat_report report = sample();
    memcpy(report.nonce, launch_nonce, sizeof launch_nonce);
    check_ok(attest_user_data(key, report.user_data));
    return made(&report, &node.report_key, room);
}

static struct bytes evidence_over(struct bytes launch, uint8_t *room)
{
    struct writer writer = writer_over(room, ATTEST_EVIDENCE_MAX);
    struct bytes whole = BYTES_OF(credential);
    struct attest_evidence evidence = {.nonce = BYTES_OF(nonce), .key = attestation_key.public_key, .launch = launch};
    check_ok(crypto_hash(CRYPTO_SHA256, &whole, 1, evidence.credential));
    check_ok(attest_evidence_sign(&writer, &attestation_key, &ours, &evidence));
    return writer_bytes(&writer);
}

static uint32_t reasons_of(struct bytes evidence, const struct attest_binder *binder, struct bytes shown,
                           struct bytes asked)
{
    uint8_t digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = strict(digest);
    struct evidence_result result;
    const struct evidence_session session = {evidence, binder, shown};
    policy.nonce = asked;
    enum status status = evidence_appraise_session(&session, &policy, &result);
    assert_int_equal(result.reasons ? DENIED : OK, status);
    return result.reasons;
}

static void evidence_of_this_session_is_accepted(void **state)
{
    (void)state;
    uint8_t launch[EAT_EVIDENCE_MAX], room[ATTEST_EVIDENCE_MAX];
    struct bytes evidence = evidence_over(launch_of(&attestation_key.public_key, launch), room);
    assert_int_equal(0, reasons_of(evidence, &ours, BYTES_OF(credential), BYTES_OF(nonce)));
}

static void another_session_credential_or_nonce_is_named_alone(void **state)
{
    (void)state;
    uint8_t launch[EAT_EVIDENCE_MAX], room[ATTEST_EVIDENCE_MAX];
    struct bytes evidence = evidence_over(launch_of(&attestation_key.public_key, launch), room);
    assert_int_equal(1u << EVIDENCE_SESSION, reasons_of(evidence, &others, BYTES_OF(credential), BYTES_OF(nonce)));
    assert_int_equal(1u << EVIDENCE_SESSION, reasons_of(evidence, &ours, BYTES_OF(other_credential), BYTES_OF(nonce)));
    assert_int_equal(1u << EVIDENCE_STALE_NONCE,
                     reasons_of(evidence, &ours, BYTES_OF(credential), BYTES_OF(launch_nonce)));
}

static enum evidence_outcome outcome_at(enum evidence_link link, const struct attest_binder *binder, struct bytes asked)
{
    uint8_t launch[EAT_EVIDENCE_MAX], room[ATTEST_EVIDENCE_MAX], digest[CRYPTO_HASH_MAX];
    struct evidence_policy policy = strict(digest);
    struct evidence_result result;
    struct evidence_step step;
    struct bytes evidence = evidence_over(launch_of(&attestation_key.public_key, launch), room);
    const struct evidence_session session = {evidence, binder, BYTES_OF(credential)};
    policy.nonce = asked;
    enum status status = evidence_appraise_session(&session, &policy, &result);
    assert_int_equal(result.reasons ? DENIED : OK, status);
    evidence_explain(link, &policy, &result, &step);
    return step.outcome;
}

static void the_chain_of_a_session_ends_at_the_session(void **state)
{
    (void)state;
    assert_int_equal(EVIDENCE_HOLDS, outcome_at(EVIDENCE_LINK_SESSION, &ours, BYTES_OF(nonce)));
    assert_int_equal(EVIDENCE_HOLDS, outcome_at(EVIDENCE_LINK_NONCE, &ours, BYTES_OF(nonce)));
    assert_int_equal(EVIDENCE_REFUSED, outcome_at(EVIDENCE_LINK_NONCE, &ours, BYTES_OF(launch_nonce)));
    assert_int_equal(EVIDENCE_HOLDS, outcome_at(EVIDENCE_LINK_QUOTE, &ours, BYTES_OF(launch_nonce)));
    assert_int_equal(EVIDENCE_REFUSED, outcome_at(EVIDENCE_LINK_SESSION, &others, BYTES_OF(nonce)));
    assert_int_equal(EVIDENCE_UNSEEN, outcome_at(EVIDENCE_LINK_IMAGE, &others, BYTES_OF(nonce)));
}

static void a_key_that_the_launch_does_not_vouch_for_is_refused(void **state)
{
    (void)state;
    uint8_t launch[EAT_EVIDENCE_MAX], room[ATTEST_EVIDENCE_MAX];
    struct bytes evidence = evidence_over(launch_of(&node.ak.public_key, launch), room);
    assert_int_equal(1u << EVIDENCE_USER_DATA, reasons_of(evidence, &ours, BYTES_OF(credential), BYTES_OF(nonce)));
}

static void what_is_wrong_with_the_launch_is_wrong_with_the_session(void **state)
{
    (void)state;
    uint8_t launch[EAT_EVIDENCE_MAX], room[ATTEST_EVIDENCE_MAX];
    struct eat_report report = sample();
    report.measurement[0] ^= 1;
    check_ok(attest_user_data(&attestation_key.public_key, report.user_data));
    struct bytes evidence = evidence_over(made(&report, &node.report_key, launch), room);
    assert_int_equal(1u << EVIDENCE_MEASUREMENT, reasons_of(evidence, &ours, BYTES_OF(credential), BYTES_OF(nonce)));
}

static void no_evidence_and_no_launch_are_malformed(void **state)
{
    (void)state;
    uint8_t room[ATTEST_EVIDENCE_MAX];
    assert_int_equal(1u << EVIDENCE_MALFORMED,
                     reasons_of((struct bytes){0}, &ours, BYTES_OF(credential), BYTES_OF(nonce)));
    assert_int_equal(1u << EVIDENCE_MALFORMED, reasons_of(evidence_over(bytes_from_text("launch"), room), &ours,
                                                          BYTES_OF(credential), BYTES_OF(nonce)));
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    uint8_t launch[EAT_EVIDENCE_MAX], room[ATTEST_EVIDENCE_MAX];
    struct bytes evidence = evidence_over(launch_of(&attestation_key.public_key, launch), room);
    for (size_t bit = 0; bit < 8 * evidence.len; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(0, reasons_of(evidence, &ours, BYTES_OF(credential), BYTES_OF(nonce)));
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_of_this_session_is_accepted),
        cmocka_unit_test(another_session_credential_or_nonce_is_named_alone),
        cmocka_unit_test(the_chain_of_a_session_ends_at_the_session),
        cmocka_unit_test(a_key_that_the_launch_does_not_vouch_for_is_refused),
        cmocka_unit_test(what_is_wrong_with_the_launch_is_wrong_with_the_session),
        cmocka_unit_test(no_evidence_and_no_launch_are_malformed),
        cmocka_unit_test(every_flipped_bit_is_refused),
    };
    return cmocka_run_group_tests(tests, start_session, stop_session);
}
