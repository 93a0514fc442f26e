/* The answer: three public areas and the evidence over them, or why not. */
#include "vtpm_keys.h"

#define LABEL "bastide vtpm endorsement keys"

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

/* A key of this template, and nothing else under its number. */
static struct bytes take_area(struct reader *reader, enum tpm2_ek_kind kind)
{
    struct tpm2_ek ek = {.kind = kind};
    struct bytes area = take_bytes(reader, take_u16be(reader));
    if (reader->status == OK && (tpm2_ek_decode(area, &ek) != OK || ek.kind != kind))
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
    for (int kind = 0; kind < TPM2_EK_KINDS && status == OK; kind++)
        got.areas[kind] = take_area(&reader, (enum tpm2_ek_kind)kind);
    if (status == OK)
        got.evidence = take_bytes(&reader, take_u16be(&reader));
    if (reader.status == TRUNCATED || got.evidence.len > EAT_EVIDENCE_MAX)
        return MALFORMED; /* its own length said that it is whole */
    TRY(reader_end(&reader));
    *answer = got;
    return OK;
}

void vtpm_keys_put_answer(struct writer *writer, const struct vtpm_keys_answer *answer)
{
    size_t len = 0;
    for (int kind = 0; kind < TPM2_EK_KINDS && answer->status == OK; kind++) {
        if (answer->areas[kind].len > TPM2_EK_PUBLIC_MAX)
            writer_fail(writer, NO_ROOM);
        len += 2 + answer->areas[kind].len;
    }
    if (answer->status == OK)
        len += 2 + answer->evidence.len;
    if (answer->evidence.len > EAT_EVIDENCE_MAX)
        writer_fail(writer, NO_ROOM);
    put_u16be(writer, VTPM_KEYS_VERSION);
    put_u16be(writer, (uint16_t)answer->status);
    put_u32be(writer, (uint32_t)len);
    if (answer->status != OK)
        return;
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        put_u16be(writer, (uint16_t)answer->areas[kind].len);
        put_bytes(writer, answer->areas[kind]);
    }
    put_u16be(writer, (uint16_t)answer->evidence.len);
    put_bytes(writer, answer->evidence);
}

enum status vtpm_keys_user_data(const struct bytes areas[TPM2_EK_KINDS], uint8_t data[EAT_USER_DATA_LEN])
{
    uint8_t hash[CRYPTO_HASH_MAX];
    struct bytes parts[1 + TPM2_EK_KINDS] = {bytes_from_text(LABEL)};
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        parts[1 + kind] = areas[kind];
    TRY(crypto_hash(CRYPTO_SHA256, parts, 1 + TPM2_EK_KINDS, hash));
    for (size_t i = 0; i < EAT_USER_DATA_LEN; i++)
        data[i] = i < EAT_HASH_LEN ? hash[i] : 0;
    return OK;
}
