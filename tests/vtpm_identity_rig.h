/* A vTPM on a node whose monitor reports, with keys of our own in the place of a TPM's; and who asks it for its keys.
 */
#ifndef BASTIDE_TESTS_VTPM_IDENTITY_RIG_H
#define BASTIDE_TESTS_VTPM_IDENTITY_RIG_H

#include "vtpm_rig.h"

#include "evidence_rig.h"
#include "vtpm_appraisal.h"

/* The monitor: measurement, signer, config and so on as sample() has them. */
static inline enum status report_of_node(const struct rig *rig, const struct monitor_report *asked,
                                         struct writer *evidence)
{
    uint8_t room[EAT_EVIDENCE_MAX];
    struct eat_report report = sample();
    report.nonce_len = asked->nonce_len;
    memcpy(report.nonce, asked->nonce, sizeof report.nonce);
    memcpy(report.user_data, asked->user_data, sizeof report.user_data);
    report.sequence = rig->sequence;
    put_bytes(evidence, made(&report, &node.report_key, room));
    return OK;
}

static inline void rig_with_monitor(struct rig *rig)
{
    rig_init(rig);
    rig->report = report_of_node;
    rig_on(rig);
}

/* The answer, in the rig's room. */
static inline struct bytes rig_keys(struct rig *rig, struct bytes asked_nonce)
{
    uint8_t room[VTPM_KEYS_QUESTION_MAX];
    struct writer writer = writer_over(room, sizeof room);
    vtpm_keys_put_question(&writer, asked_nonce);
    check_ok(writer_end(&writer));
    rig_ask(rig, DOOR_VTPM_KEYS, writer_bytes(&writer));
    assert_int_equal(1, rig->replies);
    return bytes_from(rig->reply, rig->reply_len);
}

static inline enum status rig_keys_status(struct rig *rig)
{
    struct vtpm_keys_answer answer;
    check_ok(vtpm_keys_answer_decode(rig_keys(rig, BYTES_OF(nonce)), &answer));
    return answer.status;
}

/* What accepts this node, and this enclave on it; user_data in it is of something else. */
static inline struct evidence_policy policy_of_node(uint8_t digest[CRYPTO_HASH_MAX])
{
    struct evidence_policy policy = strict(digest);
    policy.signer = BYTES_OF(signer);
    policy.product = bytes_from_text("hub");
    policy.seen.nv_counter = 42;
    policy.user_data = BYTES_OF(user_data);
    return policy;
}

#endif
