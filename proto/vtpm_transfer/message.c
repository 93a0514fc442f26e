/* Questions and answers where state leaves and lands. */
#include "vtpm_transfer_internal.h"

#include <string.h>

#define POINT_LEN VTPM_TRANSFER_POINT_LEN
#define FLAG_ARMED 1u
#define FLAG_SNAPSHOTS 2u

_Static_assert(VTPM_TRANSFER_FACTS_LEN == 4 + 2 * 16 + 2 * POINT_LEN + 2, "facts");

/* Where a message ends: its head says how much follows. */
static enum status message_len(struct bytes seen, size_t max, size_t *len)
{
    struct reader reader = reader_over(seen);
    const uint16_t version = take_u16be(&reader);
    TRY(reader.status);
    if (version != VTPM_TRANSFER_VERSION)
        return UNSUPPORTED;
    (void)take_u16be(&reader);
    const uint32_t rest = take_u32be(&reader);
    TRY(reader.status);
    if (rest > max - VTPM_TRANSFER_MESSAGE_HEAD)
        return NO_ROOM;
    if (reader.rest.len < rest)
        return TRUNCATED;
    *len = VTPM_TRANSFER_MESSAGE_HEAD + rest;
    return OK;
}

/* ---- Questions ---- */

static bool nonce_fits(size_t len)
{
    return len == 0 || (len >= VTPM_TRANSFER_NONCE_MIN && len <= VTPM_TRANSFER_NONCE_MAX);
}

enum status vtpm_transfer_question_len(struct bytes seen, size_t *len)
{
    return message_len(seen, VTPM_TRANSFER_QUESTION_MAX, len);
}

enum status vtpm_transfer_question_decode(struct bytes encoded, struct vtpm_transfer_question *question)
{
    size_t len = 0;
    struct reader reader = reader_over(encoded);
    TRY(vtpm_transfer_question_len(encoded, &len));
    if (len != encoded.len)
        return MALFORMED;
    (void)take_u16be(&reader);
    const uint16_t operation = take_u16be(&reader);
    (void)take_u32be(&reader);
    if (operation < VTPM_TRANSFER_STATUS || operation > VTPM_TRANSFER_BACKUP)
        return UNSUPPORTED;
    struct vtpm_transfer_question got = {.operation = (enum vtpm_transfer_operation)operation};
    got.nonce = take_bytes(&reader, take_u16be(&reader));
    got.rest = take_rest(&reader);
    if (reader.status == TRUNCATED || !nonce_fits(got.nonce.len))
        return MALFORMED; /* its own length said that it is whole */
    TRY(reader_end(&reader));
    *question = got;
    return OK;
}

void vtpm_transfer_put_question(struct writer *writer, const struct vtpm_transfer_question *question)
{
    if (!nonce_fits(question->nonce.len))
        writer_fail(writer, MALFORMED);
    if (question->rest.len > VTPM_TRANSFER_BUNDLE_MAX)
        writer_fail(writer, NO_ROOM);
    put_u16be(writer, VTPM_TRANSFER_VERSION);
    put_u16be(writer, (uint16_t)question->operation);
    put_u32be(writer, (uint32_t)(2 + question->nonce.len + question->rest.len));
    put_u16be(writer, (uint16_t)question->nonce.len);
    put_bytes(writer, question->nonce);
    put_bytes(writer, question->rest);
}

/* ---- Facts ---- */

void vtpm_transfer_put_facts(struct writer *writer, const struct vtpm_transfer_facts *facts)
{
    put_u8(writer, (uint8_t)facts->custody);
    put_u8(writer, (uint8_t)((facts->armed ? FLAG_ARMED : 0) | (facts->snapshots ? FLAG_SNAPSHOTS : 0)));
    put_u16be(writer, 0);
    put_bytes(writer, BYTES_OF(facts->instance));
    put_bytes(writer, BYTES_OF(facts->id));
    put_bytes(writer, bytes_from(facts->to, POINT_LEN));
    put_bytes(writer, bytes_from(facts->from, POINT_LEN));
    put_u16be(writer, 0);
}

static void take_into(struct reader *reader, uint8_t *out, size_t len)
{
    const struct bytes taken = take_bytes(reader, len);
    if (taken.len == len)
        memcpy(out, taken.data, len);
}

static void take_facts(struct reader *reader, struct vtpm_transfer_facts *facts)
{
    const uint8_t custody = take_u8(reader), flags = take_u8(reader);
    const uint16_t reserved = take_u16be(reader);
    take_into(reader, facts->instance, sizeof facts->instance);
    take_into(reader, facts->id, sizeof facts->id);
    take_into(reader, facts->to, POINT_LEN);
    take_into(reader, facts->from, POINT_LEN);
    if (take_u16be(reader) || reserved || custody > VTPM_ABANDONED || flags > (FLAG_ARMED | FLAG_SNAPSHOTS))
        reader_fail(reader, MALFORMED);
    facts->custody = (enum vtpm_custody)custody;
    facts->armed = flags & FLAG_ARMED;
    facts->snapshots = flags & FLAG_SNAPSHOTS;
}

const char *vtpm_custody_word(enum vtpm_custody custody)
{
    static const char *const words[] = {"empty", "live", "landing", "moved", "forgotten", "abandoned"};
    return (size_t)custody < sizeof words / sizeof *words ? words[custody] : "unknown";
}

/* ---- Answers ---- */

enum status vtpm_transfer_answer_len(struct bytes seen, size_t *len)
{
    return message_len(seen, VTPM_TRANSFER_ANSWER_MAX, len);
}

enum status vtpm_transfer_answer_decode(struct bytes encoded, struct vtpm_transfer_answer *answer)
{
    size_t len = 0;
    struct vtpm_transfer_answer got = {0};
    struct reader reader = reader_over(encoded);
    TRY(vtpm_transfer_answer_len(encoded, &len));
    if (len != encoded.len)
        return MALFORMED;
    (void)take_u16be(&reader);
    const uint16_t status = take_u16be(&reader);
    (void)take_u32be(&reader);
    if (status > INTERNAL)
        return MALFORMED;
    got.status = (enum status)status;
    if (status == OK) {
        take_facts(&reader, &got.facts);
        got.evidence = take_bytes(&reader, take_u16be(&reader));
        got.rest = take_rest(&reader);
    } else {
        got.sentence = take_rest(&reader);
    }
    if (reader.status == TRUNCATED || got.evidence.len > VTPM_TRANSFER_EVIDENCE_MAX ||
        got.rest.len > VTPM_TRANSFER_BUNDLE_MAX || got.sentence.len > VTPM_TRANSFER_SENTENCE_MAX)
        return MALFORMED;
    TRY(reader_end(&reader));
    *answer = got;
    return OK;
}

void vtpm_transfer_put_answer(struct writer *writer, const struct vtpm_transfer_answer *answer)
{
    const bool good = answer->status == OK;
    if (answer->evidence.len > VTPM_TRANSFER_EVIDENCE_MAX || answer->rest.len > VTPM_TRANSFER_BUNDLE_MAX ||
        answer->sentence.len > VTPM_TRANSFER_SENTENCE_MAX)
        writer_fail(writer, NO_ROOM);
    put_u16be(writer, VTPM_TRANSFER_VERSION);
    put_u16be(writer, (uint16_t)answer->status);
    put_u32be(writer, (uint32_t)(good ? VTPM_TRANSFER_FACTS_LEN + 2 + answer->evidence.len + answer->rest.len
                                      : answer->sentence.len));
    if (!good) {
        put_bytes(writer, answer->sentence);
        return;
    }
    vtpm_transfer_put_facts(writer, &answer->facts);
    put_u16be(writer, (uint16_t)answer->evidence.len);
    put_bytes(writer, answer->evidence);
    put_bytes(writer, answer->rest);
}
