/* vtpm_walk: from a VM's quote to the node's hardware, with a real TPM's attestation keys and quotes; and each link
 * broken once, which is refused at that link and by its name. */
#include "vtpm_deep_rig.h"

static const struct tpm2_signer *p256(void)
{
    static struct tpm2_signer template;
    template = deep_template(TPM2_SIGNER_P256, TPM2_ECDSA);
    template.key_len = 64;
    return &template;
}

/* One VM that was asked, with everything that a verifier then has. */
struct asked {
    struct rig rig;
    struct deep_quote made;
    uint8_t answer_room[VTPM_KEYS_ANSWER_MAX], digest[CRYPTO_HASH_MAX], pcrs[TPM2_PCR_COUNT][32];
    struct bytes answer;
    struct vtpm_quote quote;
    struct evidence_policy policy;
};

static void read_pcrs(struct rig *rig, uint8_t pcrs[TPM2_PCR_COUNT][32])
{
    memset(pcrs, 0, sizeof(uint8_t[TPM2_PCR_COUNT][32]));
    rig_pcr_read(rig, 7, pcrs[7]);
    rig_pcr_read(rig, 16, pcrs[16]);
}

static void give(struct asked *asked)
{
    asked->quote = (struct vtpm_quote){.attest = bytes_from(asked->made.attest, asked->made.attest_len),
                                       .signature = bytes_from(asked->made.signature, asked->made.signature_len),
                                       .nonce = BYTES_OF(nonce),
                                       .pcr_mask = DEEP_PCRS,
                                       .pcrs = (const uint8_t(*)[EAT_HASH_LEN])asked->pcrs};
}

/* A VM with this attestation key answers; its vTPM stays on until done(). */
static void ask(struct asked *asked, const struct tpm2_signer *template,
                enum status (*report)(const struct rig *, const struct monitor_report *, struct writer *))
{
    rig_init(&asked->rig);
    asked->rig.report = report;
    rig_on(&asked->rig);
    assert_int_equal(0, rig_pcr_extend(&asked->rig, 7));
    deep_persist(&asked->rig, template);
    deep_quote(&asked->rig, BYTES_OF(nonce), &asked->made);
    asked->answer = deep_answer(&asked->rig, BYTES_OF(nonce), asked->answer_room);
    read_pcrs(&asked->rig, asked->pcrs);
    asked->policy = policy_of_node(asked->digest);
    give(asked);
}

static void done(struct asked *asked)
{
    rig_done(&asked->rig);
}

static void refused_at(const struct asked *asked, const char *links)
{
    struct vtpm_walk walk;
    check_status(DENIED, vtpm_walk(&asked->quote, asked->answer, &asked->policy, &walk));
    assert_string_equal(links, deep_refused(&asked->quote, &asked->policy, &walk));
}

/* ---- The whole of it ---- */

static void a_quote_leads_to_the_hardware_whatever_kind_its_key_is(void **state)
{
    (void)state;
    static struct asked asked;
    const struct tpm2_signer kinds[] = {*p256(), deep_template(TPM2_SIGNER_RSA_2048, TPM2_RSASSA),
                                        deep_template(TPM2_SIGNER_RSA_2048, TPM2_RSAPSS)};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct vtpm_walk walk;
        struct evidence_step step;
        ask(&asked, &kinds[i], report_of_node);
        check_ok(vtpm_walk(&asked.quote, asked.answer, &asked.policy, &walk));
        assert_string_equal("", deep_refused(&asked.quote, &asked.policy, &walk));
        assert_int_equal(kinds[i].scheme, walk.ak.scheme);
        assert_int_equal(0, walk.refused);
        for (enum vtpm_link link = 0; link < VTPM_LINK_COUNT; link++) {
            vtpm_explain(link, &asked.quote, &walk, &step);
            assert_int_equal(link == VTPM_LINK_CERTIFICATE ? EVIDENCE_UNSEEN
                             : link == VTPM_LINK_LAUNCH    ? EVIDENCE_ALLOWED
                                                           : EVIDENCE_HOLDS,
                             step.outcome);
        }
        done(&asked);
    }
}

static void without_expected_values_any_pcrs_are_allowed_and_that_is_said(void **state)
{
    (void)state;
    static struct asked asked;
    struct vtpm_walk walk;
    struct evidence_step step;
    ask(&asked, p256(), report_of_node);
    asked.quote.pcr_mask = 0;
    asked.quote.pcrs = NULL;
    check_ok(vtpm_walk(&asked.quote, asked.answer, &asked.policy, &walk));
    vtpm_explain(VTPM_LINK_PCRS, &asked.quote, &walk, &step);
    assert_int_equal(EVIDENCE_ALLOWED, step.outcome);
    assert_non_null(strstr(step.found, "PCRs 7,16 with digest "));
    done(&asked);
}

static void the_same_key_is_told_after_a_restart(void **state)
{
    (void)state;
    static struct asked asked;
    struct vtpm_walk first, second;
    ask(&asked, p256(), report_of_node);
    check_ok(vtpm_walk(&asked.quote, asked.answer, &asked.policy, &first));
    rig_stop(&asked.rig);
    rig_on(&asked.rig);
    asked.answer = deep_answer(&asked.rig, BYTES_OF(nonce), asked.answer_room);
    check_ok(vtpm_walk(&asked.quote, asked.answer, &asked.policy, &second)); /* a quote is as old as its nonce */
    assert_memory_equal(first.ak_name, second.ak_name, TPM2_NAME_LEN);
    done(&asked);
}

static void what_the_monitor_measured_is_told_and_may_be_insisted_on(void **state)
{
    (void)state;
    static struct asked asked;
    struct vtpm_walk walk;
    struct evidence_step step;
    ask(&asked, p256(), report_of_node);
    asked.quote.measured_launch = true;
    refused_at(&asked, "vm-launch ");
    rig_stop(&asked.rig);
    asked.rig.measured = true;
    asked.rig.launch = (struct monitor_launch){.given = 1u << IMAGE_KERNEL};
    asked.rig.launch.hash[IMAGE_KERNEL][0] = 0xaa;
    rig_on(&asked.rig);
    asked.answer = deep_answer(&asked.rig, BYTES_OF(nonce), asked.answer_room);
    check_ok(vtpm_walk(&asked.quote, asked.answer, &asked.policy, &walk));
    vtpm_explain(VTPM_LINK_LAUNCH, &asked.quote, &walk, &step);
    assert_int_equal(EVIDENCE_HOLDS, step.outcome);
    assert_string_equal("kernel aa00000000000000000000000000000000000000000000000000000000000000", step.found);
    asked.answer_room[asked.answer.len - 1] ^= 1; /* of a part that was not given */
    refused_at(&asked, "evidence ");
    done(&asked);
}

/* ---- Each link broken once ---- */

static void a_policy_that_expects_something_else_refuses_at_its_link(void **state)
{
    (void)state;
    static const uint8_t other[64] = {9}, others[1][32] = {{9}};
    static struct asked asked;
    ask(&asked, p256(), report_of_node);
    asked.policy.ek_name = bytes_from(other, TPM2_NAME_LEN);
    refused_at(&asked, "tpm ");
    asked.policy = policy_of_node(asked.digest);
    asked.policy.ak_name = bytes_from(other, TPM2_NAME_LEN);
    refused_at(&asked, "attestation-key ");
    asked.policy = policy_of_node(asked.digest);
    asked.policy.boot_digests = others;
    refused_at(&asked, "monitor ");
    asked.policy = policy_of_node(asked.digest);
    asked.policy.measurements = others;
    asked.policy.measurement_count = 1;
    asked.policy.signer = (struct bytes){0};
    refused_at(&asked, "image ");
    asked.policy = policy_of_node(asked.digest);
    asked.policy.workload = bytes_from(other, 32);
    refused_at(&asked, "image ");
    asked.policy = policy_of_node(asked.digest);
    asked.policy.config = bytes_from(other, 32);
    refused_at(&asked, "configuration ");
    asked.policy = policy_of_node(asked.digest);
    asked.policy.seen.sequence = 1u << 20;
    refused_at(&asked, "freshness ");
    asked.policy = policy_of_node(asked.digest);
    asked.policy.nonce = bytes_from(other, 16);
    refused_at(&asked, "nonce quote ");
    done(&asked);
}

static void an_old_quote_is_refused_at_its_nonce(void **state)
{
    (void)state;
    static const uint8_t earlier[16] = "asked yesterday";
    static struct asked asked;
    ask(&asked, p256(), report_of_node);
    deep_quote(&asked.rig, BYTES_OF(earlier), &asked.made);
    give(&asked);
    refused_at(&asked, "vm-nonce ");
    done(&asked);
}

static void changed_pcrs_are_refused_at_them(void **state)
{
    (void)state;
    static struct asked asked;
    ask(&asked, p256(), report_of_node);
    assert_int_equal(0, rig_pcr_extend(&asked.rig, 16));
    deep_quote(&asked.rig, BYTES_OF(nonce), &asked.made);
    give(&asked);
    refused_at(&asked, "vm-pcrs ");
    read_pcrs(&asked.rig, asked.pcrs);
    asked.quote.pcr_mask = 1u << 16; /* fewer than were quoted */
    refused_at(&asked, "vm-pcrs ");
    asked.quote.pcr_mask = DEEP_PCRS | 1u << 17;
    refused_at(&asked, "vm-pcrs ");
    done(&asked);
}

/* Whoever has its own key can say anything with it. */
static void a_quote_by_a_foreign_key_is_refused_at_the_quote(void **state)
{
    (void)state;
    static struct asked asked;
    struct crypto_key own = {0};
    struct tpm2_signature signature = {.scheme = TPM2_ECDSA, .len = 64};
    ask(&asked, p256(), report_of_node);
    struct bytes said = asked.quote.attest;
    check_ok(crypto_key_generate(&own, CRYPTO_P256));
    check_ok(crypto_sign(&own, &said, 1, signature.value));
    crypto_key_done(&own);
    struct writer writer = writer_over(asked.made.signature, sizeof asked.made.signature);
    tpm2_put_signature(&writer, &signature);
    asked.quote.signature = writer_bytes(&writer);
    refused_at(&asked, "vm-quote ");
    done(&asked);
}

static void no_byte_of_quote_or_signature_can_be_changed(void **state)
{
    (void)state;
    static struct asked asked;
    struct vtpm_walk walk;
    ask(&asked, p256(), report_of_node);
    for (size_t i = 0; i < asked.made.attest_len + asked.made.signature_len; i++) {
        uint8_t *at =
            i < asked.made.attest_len ? asked.made.attest + i : asked.made.signature + i - asked.made.attest_len;
        *at ^= (uint8_t)(1u << i % 8);
        refused_at(&asked, "vm-quote ");
        *at ^= (uint8_t)(1u << i % 8);
    }
    for (size_t len = 0; len < asked.made.attest_len; len++) {
        asked.quote.attest.len = len;
        refused_at(&asked, "vm-quote ");
    }
    give(&asked);
    for (size_t len = 0; len < asked.made.signature_len; len++) {
        asked.quote.signature.len = len;
        refused_at(&asked, "vm-quote ");
    }
    give(&asked);
    check_ok(vtpm_walk(&asked.quote, asked.answer, &asked.policy, &walk));
    done(&asked);
}

static enum status report_of_another(const struct rig *rig, const struct monitor_report *asked, struct writer *evidence)
{
    uint8_t room[EAT_EVIDENCE_MAX];
    struct eat_report report = sample();
    report.config[0] = 0x33;
    report.nonce_len = asked->nonce_len;
    memcpy(report.nonce, asked->nonce, sizeof report.nonce);
    memcpy(report.user_data, asked->user_data, sizeof report.user_data);
    report.sequence = rig->sequence;
    put_bytes(evidence, made(&report, &node.report_key, room));
    return OK;
}

static void another_instances_vtpm_is_refused_whole_or_in_parts(void **state)
{
    (void)state;
    static struct asked mine, theirs;
    static uint8_t room[VTPM_KEYS_ANSWER_MAX];
    struct vtpm_keys_answer mixed, parts;
    ask(&mine, p256(), report_of_node);
    done(&mine);
    ask(&theirs, p256(), report_of_another);
    done(&theirs);
    refused_at(&theirs, "configuration "); /* all of it is theirs */
    struct asked both = mine;
    both.quote = theirs.quote; /* the quote is theirs, the answer mine */
    refused_at(&both, "vm-quote ");
    both.answer = mine.answer;
    check_ok(vtpm_keys_answer_decode(mine.answer, &mixed));
    check_ok(vtpm_keys_answer_decode(theirs.answer, &parts));
    mixed.ak = parts.ak; /* and their key stands in my answer */
    mixed.qualified = parts.qualified;
    struct writer writer = writer_over(room, sizeof room);
    vtpm_keys_put_answer(&writer, &mixed);
    both.answer = writer_bytes(&writer);
    refused_at(&both, "vtpm-keys ");
    check_ok(vtpm_keys_answer_decode(mine.answer, &mixed));
    mixed.areas[TPM2_EK_P256] = parts.areas[TPM2_EK_P256]; /* their endorsement key */
    writer = writer_over(room, sizeof room);
    vtpm_keys_put_answer(&writer, &mixed);
    both = mine;
    both.answer = writer_bytes(&writer);
    refused_at(&both, "vtpm-keys ");
    check_ok(vtpm_keys_answer_decode(mine.answer, &mixed));
    mixed.qualified = parts.qualified;
    writer = writer_over(room, sizeof room);
    vtpm_keys_put_answer(&writer, &mixed);
    both.answer = writer_bytes(&writer);
    refused_at(&both, "vtpm-keys vm-quote ");
}

static void an_unrestricted_key_is_refused_though_it_is_the_vtpms_own(void **state)
{
    (void)state;
    static struct asked asked;
    struct tpm2_signer template = *p256();
    template.attributes &= ~TPM2_ATTRIBUTE_RESTRICTED;
    ask(&asked, &template, report_of_node);
    refused_at(&asked, "vm-attestation-key ");
    done(&asked);
}

static void an_answer_without_a_key_or_none_at_all_is_refused(void **state)
{
    (void)state;
    static struct asked asked;
    struct vtpm_walk walk;
    ask(&asked, p256(), report_of_node);
    struct bytes keys = rig_keys(&asked.rig, BYTES_OF(nonce));
    memcpy(asked.answer_room, keys.data, keys.len);
    asked.answer.len = keys.len;
    refused_at(&asked, "vtpm-keys ");
    for (size_t len = 0; len < keys.len; len += 11) {
        asked.answer.len = len;
        refused_at(&asked, "evidence ");
    }
    assert_int_equal(0, deep_evict(&asked.rig, DEEP_AT, DEEP_AT));
    asked.answer = deep_answer(&asked.rig, BYTES_OF(nonce), asked.answer_room);
    check_status(DENIED, vtpm_walk(&asked.quote, asked.answer, &asked.policy, &walk));
    assert_int_equal(NOT_FOUND, walk.vtpm.said);
    asked.quote.nonce.len = 7;
    check_status(INTERNAL, vtpm_walk(&asked.quote, asked.answer, &asked.policy, &walk));
    done(&asked);
}

/* ---- What the vTPM tells of no key ---- */

/* A public area from outside may claim everything; so it must not persist, and of what does not persist nothing is
 * told. */
static void a_key_from_outside_cannot_be_passed_off_as_its_own(void **state)
{
    (void)state;
    struct rig rig;
    struct crypto_key own = {0};
    struct tpm2_signer claimed = *p256();
    uint8_t room[200], parameters_room[256];
    struct writer area = writer_over(room, sizeof room);
    struct writer parameters = writer_over(parameters_room, sizeof parameters_room);
    struct bytes rest = {0};
    check_ok(crypto_key_generate(&own, CRYPTO_P256));
    memcpy(claimed.key, own.public_key.data + 1, 64);
    tpm2_put_signer(&area, &claimed);
    put_u16be(&parameters, 0); /* without its private half */
    put_u16be(&parameters, (uint16_t)area.len);
    put_bytes(&parameters, writer_bytes(&area));
    put_u32be(&parameters, DEEP_ENDORSEMENT);
    rig_with_monitor(&rig);
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x167, NULL, 0, NULL, writer_bytes(&parameters)), &rest));
    struct reader reader = reader_over(rest);
    const uint32_t handle = take_u32be(&reader);
    assert_int_not_equal(0, deep_evict(&rig, handle, DEEP_AT));
    uint8_t question[VTPM_KEYS_QUESTION_MAX];
    struct writer writer = writer_over(question, sizeof question);
    struct vtpm_keys_answer answer;
    vtpm_keys_put_ak_question(&writer, BYTES_OF(nonce), DEEP_AT);
    const struct bytes whole = writer_bytes(&writer);
    writer = writer_over(question + whole.len - 4, 4);
    put_u32be(&writer, handle);
    rig_ask(&rig, DOOR_VTPM_KEYS, whole);
    check_ok(vtpm_keys_answer_decode(bytes_from(rig.reply, rig.reply_len), &answer));
    assert_int_equal(MALFORMED, answer.status);
    crypto_key_done(&own);
    rig_done(&rig);
}

/* One with its private half, restricted too, is refused by TPM2_LoadExternal; what may be loaded may not persist. */
static void nor_one_whose_private_half_is_known(void **state)
{
    (void)state;
    struct rig rig;
    struct crypto_key own = {0};
    SECRET private_key = {.len = 0};
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&own, CRYPTO_P256));
    check_ok(crypto_key_export(&own, &private_key));
    rig_with_monitor(&rig);
    static const uint32_t attributes[] = {DEEP_AK_ATTRIBUTES, TPM2_ATTRIBUTE_USER_WITH_AUTH | TPM2_ATTRIBUTE_SIGN};
    for (size_t i = 0; i < 2; i++) {
        uint8_t room[200], parameters_room[400];
        struct writer area = writer_over(room, sizeof room);
        struct writer parameters = writer_over(parameters_room, sizeof parameters_room);
        struct tpm2_signer claimed = *p256();
        struct bytes rest = {0};
        claimed.attributes = attributes[i];
        memcpy(claimed.key, own.public_key.data + 1, 64);
        tpm2_put_signer(&area, &claimed);
        put_u16be(&parameters, (uint16_t)(2 + 2 + 2 + 2 + private_key.len)); /* TPM2B_SENSITIVE */
        put_u16be(&parameters, 0x23);
        put_u16be(&parameters, 0);
        put_u16be(&parameters, 0);
        put_u16be(&parameters, (uint16_t)private_key.len);
        put_bytes(&parameters, secret_bytes(&private_key));
        put_u16be(&parameters, (uint16_t)area.len);
        put_bytes(&parameters, writer_bytes(&area));
        put_u32be(&parameters, 0x40000007); /* no hierarchy */
        uint32_t code = rig_tpm(&rig, rig_command(0x167, NULL, 0, NULL, writer_bytes(&parameters)), &rest);
        struct reader reader = reader_over(rest);
        if (i == 0)
            assert_int_not_equal(0, code);
        else
            assert_int_equal(0, code);
        if (i == 1)
            assert_int_not_equal(0, deep_evict(&rig, take_u32be(&reader), DEEP_AT));
    }
    crypto_key_done(&own);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quote_leads_to_the_hardware_whatever_kind_its_key_is),
        cmocka_unit_test(without_expected_values_any_pcrs_are_allowed_and_that_is_said),
        cmocka_unit_test(the_same_key_is_told_after_a_restart),
        cmocka_unit_test(what_the_monitor_measured_is_told_and_may_be_insisted_on),
        cmocka_unit_test(a_policy_that_expects_something_else_refuses_at_its_link),
        cmocka_unit_test(an_old_quote_is_refused_at_its_nonce),
        cmocka_unit_test(changed_pcrs_are_refused_at_them),
        cmocka_unit_test(a_quote_by_a_foreign_key_is_refused_at_the_quote),
        cmocka_unit_test(no_byte_of_quote_or_signature_can_be_changed),
        cmocka_unit_test(another_instances_vtpm_is_refused_whole_or_in_parts),
        cmocka_unit_test(an_unrestricted_key_is_refused_though_it_is_the_vtpms_own),
        cmocka_unit_test(an_answer_without_a_key_or_none_at_all_is_refused),
        cmocka_unit_test(a_key_from_outside_cannot_be_passed_off_as_its_own),
        cmocka_unit_test(nor_one_whose_private_half_is_known),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
