/* The answer: public areas and the evidence over them, or why not. */
#include "vtpm_keys.h"

enum status vtpm_keys_answer_len(struct bytes seen, size_t *len)
{
    struct reader reader = reader_over(seen);
    const uint16_t version = take_u16be(&reader);
    TRY(reader.status);
    if (version != VTPM_KEYS_VERSION && version != VTPM_KEYS_VERSION_AK)
        return UNSUPPORTED;
    (void)take_u16be(&reader);
    const uint32_t rest = take_u32be(&reader);
    TRY(reader.status);
    if (rest > VTPM_KEYS_ANSWER_MAX - VTPM_KEYS_ANSWER_HEAD)
        return NO_ROOM;
    if (reader.rest.len < rest)
        return TRUNCATED;
    *len = VTPM_KEYS_ANSWER_HEAD + rest;
    return OK;
}

static struct bytes take_part(struct reader *reader, size_t max)
{
    struct bytes part = take_bytes(reader, take_u16be(reader));
    if (part.len == 0 || part.len > max)
        reader_fail(reader, MALFORMED);
    return part;
}

static void take_keys(struct reader *reader, uint16_t version, struct vtpm_keys_answer *answer)
{
    for (size_t i = 0; i < VTPM_KEYS_COUNT; i++)
        answer->areas[i] = take_part(reader, VTPM_KEYS_AREA_MAX);
    if (version == VTPM_KEYS_VERSION_AK) {
        answer->ak = take_part(reader, VTPM_KEYS_AK_MAX);
        answer->qualified = take_part(reader, VTPM_KEYS_QUALIFIED_MAX);
    }
    answer->evidence = take_bytes(reader, take_u16be(reader));
    answer->launch = take_bytes(reader, take_u16be(reader));
    if (answer->launch.len != 0 && answer->launch.len != VTPM_KEYS_LAUNCH_LEN)
        reader_fail(reader, MALFORMED);
}

enum status vtpm_keys_answer_decode(struct bytes encoded, struct vtpm_keys_answer *answer)
{
    size_t len = 0;
    struct vtpm_keys_answer got = {0};
    struct reader reader = reader_over(encoded);
    TRY(vtpm_keys_answer_len(encoded, &len));
    if (len != encoded.len)
        return MALFORMED;
    const uint16_t version = take_u16be(&reader), status = take_u16be(&reader);
    (void)take_u32be(&reader);
    if (status > INTERNAL || (status != OK && version != VTPM_KEYS_VERSION))
        return MALFORMED;
    got.status = (enum status)status;
    if (status == OK)
        take_keys(&reader, version, &got);
    if (reader.status == TRUNCATED || got.evidence.len > VTPM_KEYS_EVIDENCE_MAX)
        return MALFORMED; /* its own length said that it is whole */
    TRY(reader_end(&reader));
    *answer = got;
    return OK;
}

static void put_part(struct writer *writer, struct bytes part, size_t max)
{
    if (part.len > max)
        writer_fail(writer, NO_ROOM);
    put_u16be(writer, (uint16_t)part.len);
    put_bytes(writer, part);
}

void vtpm_keys_put_answer(struct writer *writer, const struct vtpm_keys_answer *answer)
{
    const bool with_ak = answer->status == OK && answer->ak.len > 0;
    size_t len = 0;
    for (size_t i = 0; i < VTPM_KEYS_COUNT && answer->status == OK; i++)
        len += 2 + answer->areas[i].len;
    if (with_ak)
        len += 2 + answer->ak.len + 2 + answer->qualified.len;
    if (answer->status == OK)
        len += 2 + answer->evidence.len + 2 + answer->launch.len;
    if (answer->launch.len != 0 && answer->launch.len != VTPM_KEYS_LAUNCH_LEN)
        writer_fail(writer, NO_ROOM);
    put_u16be(writer, with_ak ? VTPM_KEYS_VERSION_AK : VTPM_KEYS_VERSION);
    put_u16be(writer, (uint16_t)answer->status);
    put_u32be(writer, (uint32_t)len);
    if (answer->status != OK)
        return;
    for (size_t i = 0; i < VTPM_KEYS_COUNT; i++)
        put_part(writer, answer->areas[i], VTPM_KEYS_AREA_MAX);
    if (with_ak) {
        put_part(writer, answer->ak, VTPM_KEYS_AK_MAX);
        put_part(writer, answer->qualified, VTPM_KEYS_QUALIFIED_MAX);
    }
    put_part(writer, answer->evidence, VTPM_KEYS_EVIDENCE_MAX);
    put_part(writer, answer->launch, VTPM_KEYS_LAUNCH_LEN);
}
