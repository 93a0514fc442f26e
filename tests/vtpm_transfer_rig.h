/* The owner of a vTPM, who grants, and what is asked where its state leaves and lands. One vTPM lives in a process, so
 * the two ends of a move take turns. */
#ifndef BASTIDE_TESTS_VTPM_TRANSFER_RIG_H
#define BASTIDE_TESTS_VTPM_TRANSFER_RIG_H

#include "vtpm_rig.h"

#define MOVE_INDEX 0x01500001u

static struct crypto_key move_owner;
static uint8_t move_bundle_room[VTPM_TRANSFER_BUNDLE_MAX];

static inline void move_init(struct rig *rig)
{
    rig_init(rig);
    if (!move_owner.pkey)
        check_ok(crypto_key_generate(&move_owner, CRYPTO_P256));
    rig->configuration.owner = move_owner.public_key;
    memcpy(rig->configuration.site, "a VM's own UUID", 16);
}

/* On another node: the same configuration, another monitor. */
static inline void move_init_elsewhere(struct rig *rig)
{
    move_init(rig);
    memset(rig->root, 8, sizeof rig->root);
}

static inline struct vtpm_transfer_answer move_ask(struct rig *rig, enum vtpm_transfer_operation operation,
                                                   struct bytes rest)
{
    static uint8_t room[VTPM_TRANSFER_QUESTION_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct vtpm_transfer_answer answer = {.status = INTERNAL};
    vtpm_transfer_put_question(&writer, &(struct vtpm_transfer_question){operation, {0}, rest});
    check_ok(writer_end(&writer));
    rig_ask(rig, DOOR_VTPM_TRANSFER, writer_bytes(&writer));
    if (rig->replies == 1)
        check_ok(vtpm_transfer_answer_decode(bytes_from(rig->reply, rig->reply_len), &answer));
    return answer;
}

static inline struct vtpm_transfer_facts move_status(struct rig *rig)
{
    const struct vtpm_transfer_answer answer = move_ask(rig, VTPM_TRANSFER_STATUS, (struct bytes){0});
    assert_int_equal(OK, answer.status);
    return answer.facts;
}

static inline struct bytes move_sign(const struct crypto_key *owner, enum vtpm_grant_purpose purpose,
                                     const uint8_t instance[16], const uint8_t to[VTPM_TRANSFER_POINT_LEN],
                                     const uint8_t from[VTPM_TRANSFER_POINT_LEN])
{
    static uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX];
    struct vtpm_grant grant = {.purpose = purpose};
    struct writer writer = writer_over(room, sizeof room);
    memcpy(grant.instance, instance, sizeof grant.instance);
    check_ok(crypto_public_import(&grant.to, CRYPTO_P256, bytes_from(to, VTPM_TRANSFER_POINT_LEN)));
    check_ok(crypto_public_import(&grant.from, CRYPTO_P256, bytes_from(from, VTPM_TRANSFER_POINT_LEN)));
    check_ok(vtpm_grant_sign(&writer, owner, &grant));
    return writer_bytes(&writer);
}

/* What the source's status says, granted. */
static inline struct bytes move_grant(struct rig *source, enum vtpm_grant_purpose purpose,
                                      const uint8_t to[VTPM_TRANSFER_POINT_LEN])
{
    const struct vtpm_transfer_facts facts = move_status(source);
    return move_sign(&move_owner, purpose, facts.instance, to, facts.from);
}

static inline enum status move_granted(struct rig *source, enum vtpm_grant_purpose purpose,
                                       const uint8_t to[VTPM_TRANSFER_POINT_LEN])
{
    return move_ask(source, VTPM_TRANSFER_GRANT, move_grant(source, purpose, to)).status;
}

/* The destination's landing key, made in a launch of its own. */
static inline void move_prepare(struct rig *destination, uint8_t to[VTPM_TRANSFER_POINT_LEN])
{
    assert_int_equal(0, rig_launch(destination));
    const struct vtpm_transfer_answer answer = move_ask(destination, VTPM_TRANSFER_PREPARE, (struct bytes){0});
    assert_int_equal(OK, answer.status);
    assert_int_equal(VTPM_LANDING, answer.facts.custody);
    memcpy(to, answer.facts.to, VTPM_TRANSFER_POINT_LEN);
    rig_stop(destination);
}

/* On, with an index that holds `value` and a PCR that was extended. */
static inline void move_source(struct rig *rig, uint8_t value)
{
    rig_on(rig);
    assert_int_equal(0, rig_nv_define(rig, MOVE_INDEX, 1, ""));
    assert_int_equal(0, rig_nv_write(rig, MOVE_INDEX, bytes_from(&value, 1), ""));
    assert_int_equal(0, rig_pcr_extend(rig, 16));
}

static inline int move_value(struct rig *rig)
{
    struct bytes data = {0};
    return rig_nv_read(rig, MOVE_INDEX, 1, "", &data) == 0 && data.len == 1 ? data.data[0] : -1;
}

static inline bool move_pcr_extended(struct rig *rig)
{
    static const uint8_t zeros[32];
    uint8_t value[32];
    rig_pcr_read(rig, 16, value);
    return memcmp(value, zeros, 32) != 0;
}

/* The three blobs as QEMU asks for them, one after the other. */
struct move_blobs {
    uint8_t data[3][SWTPM_BLOB_MAX];
    size_t len[3];
    uint32_t flags[3];
};

static inline uint32_t move_get_state(struct rig *rig, struct move_blobs *blobs)
{
    for (uint32_t i = 0; i < 3; i++) {
        const struct swtpm_request request = {.command = SWTPM_GET_STATE,
                                              .of.get_state = {SWTPM_STATE_DECRYPTED, i + 1, 0}};
        const struct swtpm_reply reply = rig_control(rig, &request);
        if (reply.result != SWTPM_OK)
            return reply.result;
        assert_int_equal(reply.of.state.total, reply.of.state.blob.len);
        memcpy(blobs->data[i], reply.of.state.blob.data, reply.of.state.blob.len);
        blobs->len[i] = reply.of.state.blob.len;
        blobs->flags[i] = reply.of.state.flags;
    }
    return SWTPM_OK;
}

static inline uint32_t move_set_one(struct rig *rig, const struct move_blobs *blobs, uint32_t i)
{
    const struct swtpm_request request = {
        .command = SWTPM_SET_STATE,
        .of.set_state = {blobs->flags[i], i + 1, bytes_from(blobs->data[i], blobs->len[i])}};
    return rig_control(rig, &request).result;
}

static inline uint32_t move_set_state(struct rig *rig, const struct move_blobs *blobs)
{
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t result = move_set_one(rig, blobs, i);
        if (result != SWTPM_OK)
            return result;
    }
    return SWTPM_OK;
}

/* A source that runs and a destination with a landing key; the destination is off. */
static inline void move_begin(struct rig *source, struct rig *destination, uint8_t to[VTPM_TRANSFER_POINT_LEN])
{
    move_init_elsewhere(destination);
    move_prepare(destination, to);
    move_init(source);
    move_source(source, 1);
}

static inline struct bytes move_give(struct rig *source)
{
    const struct vtpm_transfer_answer answer = move_ask(source, VTPM_TRANSFER_GIVE, (struct bytes){0});
    if (answer.status != OK)
        return (struct bytes){0};
    memcpy(move_bundle_room, answer.rest.data, answer.rest.len);
    return bytes_from(move_bundle_room, answer.rest.len);
}

#endif
