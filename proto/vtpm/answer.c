/* The answer: three public areas and the evidence over them, or why not. */
#include "vtpm_keys.h"

enum status vtpm_keys_answer_len(struct bytes seen, size_t *len)
{
    struct reader reader = reader_over(seen);
    const uint16_t version = take_u16be(&reader);
    TRY(reader.status);
    if (version != VTPM_KEYS_VERSION)
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

static struct bytes take_area(struct reader *reader)
{
    struct bytes area = take_bytes(reader, take_u16be(reader));
    if (area.len == 0 || area.len > VTPM_KEYS_AREA_MAX)
        reader_fail(reader, MALFORMED);
    return area;
}

enum status vtpm_keys_answer_decode(struct bytes encoded, struct vtpm_keys_answer *answer)
{
    size_t len = 0;
    struct vtpm_keys_answer got = {0};
    struct reader reader = reader_over(encoded);
    TRY(vtpm_keys_answer_len(encoded, &len));
    if (len != encoded.len)
        return MALFORMED;
    (void)take_u16be(&reader);
    const uint16_t status = take_u16be(&reader);
    (void)take_u32be(&reader);
    if (status > INTERNAL)
        return MALFORMED;
    got.status = (enum status)status;
    for (size_t i = 0; i < VTPM_KEYS_COUNT && status == OK; i++)
        got.areas[i] = take_area(&reader);
    if (status == OK)
        got.evidence = take_bytes(&reader, take_u16be(&reader));
    if (reader.status == TRUNCATED || got.evidence.len > VTPM_KEYS_EVIDENCE_MAX)
        return MALFORMED; /* its own length said that it is whole */
    TRY(reader_end(&reader));
    *answer = got;
    return OK;
}

void vtpm_keys_put_answer(struct writer *writer, const struct vtpm_keys_answer *answer)
{
    size_t len = 0;
    for (size_t i = 0; i < VTPM_KEYS_COUNT && answer->status == OK; i++) {
        if (answer->areas[i].len > VTPM_KEYS_AREA_MAX)
            writer_fail(writer, NO_ROOM);
        len += 2 + answer->areas[i].len;
    }
    if (answer->status == OK)
        len += 2 + answer->evidence.len;
    if (answer->evidence.len > VTPM_KEYS_EVIDENCE_MAX)
        writer_fail(writer, NO_ROOM);
    put_u16be(writer, VTPM_KEYS_VERSION);
    put_u16be(writer, (uint16_t)answer->status);
    put_u32be(writer, (uint32_t)len);
    if (answer->status != OK)
        return;
    for (size_t i = 0; i < VTPM_KEYS_COUNT; i++) {
        put_u16be(writer, (uint16_t)answer->areas[i].len);
        put_bytes(writer, answer->areas[i]);
    }
    put_u16be(writer, (uint16_t)answer->evidence.len);
    put_bytes(writer, answer->evidence);
}
