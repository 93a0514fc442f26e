/* A VM's side of a vTPM: attestation keys in it, made persistent, and quotes by them; and a whole walk from there. */
#ifndef BASTIDE_TESTS_VTPM_DEEP_RIG_H
#define BASTIDE_TESTS_VTPM_DEEP_RIG_H

#include "vtpm_identity_rig.h"

#define DEEP_ENDORSEMENT 0x4000000bu
#define DEEP_AT 0x81010002u
#define DEEP_AK_ATTRIBUTES                                                                                             \
    (TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_USER_WITH_AUTH | TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_SIGN)
#define DEEP_PCRS (1u << 7 | 1u << 16)

static inline struct tpm2_signer deep_template(enum tpm2_signer_kind kind, enum tpm2_scheme scheme)
{
    return (struct tpm2_signer){.kind = kind, .scheme = scheme, .attributes = DEEP_AK_ATTRIBUTES};
}

/* A primary key of the endorsement hierarchy; stays loaded. */
static inline uint32_t deep_create(struct rig *rig, const struct tpm2_signer *template)
{
    uint8_t room[TPM2_EK_PUBLIC_MAX + 64], parameters_room[600];
    struct writer area = writer_over(room, sizeof room);
    struct writer parameters = writer_over(parameters_room, sizeof parameters_room);
    const uint32_t handle = DEEP_ENDORSEMENT;
    struct bytes rest = {0};
    tpm2_put_signer(&area, template);
    put_u16be(&parameters, 4);
    put_u32be(&parameters, 0);
    put_u16be(&parameters, (uint16_t)area.len);
    put_bytes(&parameters, writer_bytes(&area));
    put_u16be(&parameters, 0);
    put_u32be(&parameters, 0);
    assert_int_equal(0, rig_tpm(rig, rig_command(0x131, &handle, 1, rig_no_auth, writer_bytes(&parameters)), &rest));
    struct reader reader = reader_over(rest);
    return take_u32be(&reader);
}

static inline void deep_flush(struct rig *rig, uint32_t handle)
{
    assert_int_equal(0, rig_tpm(rig, rig_command(0x165, &handle, 1, NULL, (struct bytes){0}), NULL));
}

/* TPM2_EvictControl: loaded to persistent, and persistent to nothing. */
static inline uint32_t deep_evict(struct rig *rig, uint32_t object, uint32_t at)
{
    const uint32_t handles[] = {RIG_OWNER, object};
    uint8_t room[4];
    struct writer writer = writer_over(room, sizeof room);
    put_u32be(&writer, at);
    return rig_tpm(rig, rig_command(0x120, handles, 2, rig_no_auth, writer_bytes(&writer)), NULL);
}

static inline void deep_persist(struct rig *rig, const struct tpm2_signer *template)
{
    const uint32_t loaded = deep_create(rig, template);
    assert_int_equal(0, deep_evict(rig, loaded, DEEP_AT));
    deep_flush(rig, loaded);
}

struct deep_quote {
    uint8_t attest[TPM2_ATTEST_MAX], signature[300];
    size_t attest_len, signature_len;
};

static inline void deep_quote(struct rig *rig, struct bytes asked, struct deep_quote *quote)
{
    static const uint8_t selection[] = {0, 0, 0, 1, 0, 0x0b, 3, 0x80, 0, 1};
    uint8_t room[128];
    struct writer writer = writer_over(room, sizeof room);
    const uint32_t handle = DEEP_AT;
    struct bytes rest = {0};
    put_u16be(&writer, (uint16_t)asked.len);
    put_bytes(&writer, asked);
    put_u16be(&writer, 0x10); /* the key's own scheme */
    put_bytes(&writer, BYTES_OF(selection));
    assert_int_equal(0, rig_tpm(rig, rig_command(0x158, &handle, 1, rig_no_auth, writer_bytes(&writer)), &rest));
    struct reader reader = reader_over(rest);
    struct reader parameters = reader_over(take_bytes(&reader, take_u32be(&reader)));
    struct bytes attest = take_bytes(&parameters, take_u16be(&parameters));
    assert_int_equal(OK, parameters.status);
    quote->attest_len = attest.len;
    quote->signature_len = parameters.rest.len;
    assert_true(attest.len <= sizeof quote->attest && parameters.rest.len <= sizeof quote->signature);
    memcpy(quote->attest, attest.data, attest.len);
    memcpy(quote->signature, parameters.rest.data, parameters.rest.len);
}

/* The answer about the key at DEEP_AT, copied out of the rig. */
static inline struct bytes deep_answer(struct rig *rig, struct bytes asked, uint8_t room[VTPM_KEYS_ANSWER_MAX])
{
    uint8_t question[VTPM_KEYS_QUESTION_MAX];
    struct writer writer = writer_over(question, sizeof question);
    vtpm_keys_put_ak_question(&writer, asked, DEEP_AT);
    check_ok(writer_end(&writer));
    rig_ask(rig, DOOR_VTPM_KEYS, writer_bytes(&writer));
    assert_int_equal(1, rig->replies);
    memcpy(room, rig->reply, rig->reply_len);
    return bytes_from(room, rig->reply_len);
}

/* Words of the links that are refused, in their order: the evidence's, then the walk's. */
static inline const char *deep_refused(const struct vtpm_quote *quote, const struct evidence_policy *policy,
                                       const struct vtpm_walk *walk)
{
    static char text[256];
    struct evidence_step step;
    text[0] = 0;
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_SESSION; link++) {
        evidence_explain(link, policy, &walk->vtpm.evidence, &step);
        if (step.outcome == EVIDENCE_REFUSED)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", evidence_link_word(link));
    }
    for (enum vtpm_link link = 0; link < VTPM_LINK_COUNT; link++) {
        vtpm_explain(link, quote, walk, &step);
        assert_true(strlen(step.why) > 0 || step.outcome == EVIDENCE_UNSEEN);
        if (step.outcome == EVIDENCE_REFUSED)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", vtpm_link_word(link));
    }
    return text;
}

#endif
