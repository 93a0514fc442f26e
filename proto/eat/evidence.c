/* The bundle around a report: what chains the report key to a TPM. A CBOR map with keys 1 to 8 in order, 8 optional. */
#include "eat.h"

#include "cbor.h"
#include "cose.h"

enum member {
    MEMBER_REPORT = 1,
    MEMBER_REPORT_KEY = 2, /* COSE_Key */
    MEMBER_QUOTE = 3,
    MEMBER_QUOTE_SIGNATURE = 4,
    MEMBER_PCRS = 5, /* map: index → value */
    MEMBER_AK = 6,
    MEMBER_EK = 7,
    MEMBER_EK_CERTIFICATE = 8,
};

#define MEMBERS_ALWAYS 7

static void put_member(struct writer *writer, enum member member, struct bytes value)
{
    cbor_put_uint(writer, member);
    cbor_put_bytes(writer, value);
}

static void put_pcrs(struct writer *writer, const struct eat_evidence *evidence)
{
    size_t count = 0;
    for (size_t i = 0; i < EAT_PCRS_MAX; i++)
        count += evidence->pcr_mask >> i & 1;
    if (evidence->pcr_mask >> EAT_PCRS_MAX)
        writer_fail(writer, MALFORMED);
    cbor_put_map(writer, count);
    for (size_t i = 0; i < EAT_PCRS_MAX; i++) {
        if (!(evidence->pcr_mask >> i & 1))
            continue;
        cbor_put_uint(writer, i);
        cbor_put_bytes(writer, BYTES_OF(evidence->pcrs[i]));
    }
}

void eat_put_evidence(struct writer *writer, const struct eat_evidence *evidence)
{
    cbor_put_map(writer, MEMBERS_ALWAYS + (evidence->ek_certificate.len > 0));
    put_member(writer, MEMBER_REPORT, evidence->report);
    cbor_put_uint(writer, MEMBER_REPORT_KEY);
    cose_put_key(writer, &evidence->report_key, (struct bytes){0});
    put_member(writer, MEMBER_QUOTE, evidence->quote);
    put_member(writer, MEMBER_QUOTE_SIGNATURE, evidence->quote_signature);
    cbor_put_uint(writer, MEMBER_PCRS);
    put_pcrs(writer, evidence);
    put_member(writer, MEMBER_AK, evidence->ak);
    put_member(writer, MEMBER_EK, evidence->ek);
    if (evidence->ek_certificate.len)
        put_member(writer, MEMBER_EK_CERTIFICATE, evidence->ek_certificate);
}

static struct bytes take_member(struct reader *reader, enum member member)
{
    cbor_take_key(reader, (uint64_t)member);
    return cbor_take_bytes(reader);
}

static void take_pcrs(struct reader *reader, struct eat_evidence *evidence)
{
    struct cbor_map_walk walk = cbor_walk_map(reader);
    while (cbor_next_key(reader, &walk)) {
        int64_t index = cbor_key_number(&walk);
        struct bytes value = cbor_take_bytes(reader);
        if (index < 0 || index >= EAT_PCRS_MAX || value.len != EAT_HASH_LEN) {
            reader_fail(reader, MALFORMED);
            return;
        }
        struct writer writer = writer_over(evidence->pcrs[index], EAT_HASH_LEN);
        put_bytes(&writer, value);
        evidence->pcr_mask |= 1u << index;
    }
}

enum status eat_evidence_decode(struct bytes encoded, struct eat_evidence *evidence)
{
    if (encoded.len > EAT_EVIDENCE_MAX)
        return NO_ROOM;
    struct reader reader = reader_over(encoded);
    struct eat_evidence got = {0};
    struct bytes kid = {0};
    size_t count = cbor_take_map(&reader);
    if (count != MEMBERS_ALWAYS && count != MEMBERS_ALWAYS + 1)
        reader_fail(&reader, MALFORMED);
    got.report = take_member(&reader, MEMBER_REPORT);
    cbor_take_key(&reader, MEMBER_REPORT_KEY);
    TRY(cose_take_key(&reader, &got.report_key, &kid));
    if (got.report_key.curve != CRYPTO_P256 || kid.len)
        reader_fail(&reader, UNSUPPORTED);
    got.quote = take_member(&reader, MEMBER_QUOTE);
    got.quote_signature = take_member(&reader, MEMBER_QUOTE_SIGNATURE);
    cbor_take_key(&reader, MEMBER_PCRS);
    take_pcrs(&reader, &got);
    got.ak = take_member(&reader, MEMBER_AK);
    got.ek = take_member(&reader, MEMBER_EK);
    if (count == MEMBERS_ALWAYS + 1) {
        got.ek_certificate = take_member(&reader, MEMBER_EK_CERTIFICATE);
        if (got.ek_certificate.len == 0)
            reader_fail(&reader, MALFORMED);
    }
    TRY(reader_end(&reader));
    *evidence = got;
    return OK;
}

enum status eat_quote_data(const struct crypto_public *report_key, struct bytes nonce, uint8_t data[EAT_HASH_LEN])
{
    uint8_t hash[CRYPTO_HASH_MAX];
    const struct bytes parts[] = {bytes_from_text("bastide report key"), crypto_public_bytes(report_key), nonce};
    TRY(crypto_hash(CRYPTO_SHA256, parts, 3, hash));
    struct writer writer = writer_over(data, EAT_HASH_LEN);
    put_bytes(&writer, bytes_from(hash, EAT_HASH_LEN));
    return writer_end(&writer);
}

static enum status hash_to_user_data(const struct bytes *parts, size_t count, uint8_t data[EAT_USER_DATA_LEN])
{
    uint8_t hash[CRYPTO_HASH_MAX];
    TRY(crypto_hash(CRYPTO_SHA256, parts, count, hash));
    for (size_t i = 0; i < EAT_USER_DATA_LEN; i++)
        data[i] = i < EAT_HASH_LEN ? hash[i] : 0;
    return OK;
}

enum status eat_endorsement_data(const struct bytes areas[EAT_ENDORSEMENT_KEYS], uint8_t data[EAT_USER_DATA_LEN])
{
    const struct bytes parts[] = {bytes_from_text("bastide vtpm endorsement keys"), areas[0], areas[1], areas[2]};
    return hash_to_user_data(parts, sizeof parts / sizeof *parts, data);
}

enum status eat_attestation_data(const struct bytes areas[EAT_ENDORSEMENT_KEYS], struct bytes ak,
                                 struct bytes qualified, uint8_t data[EAT_USER_DATA_LEN])
{
    const uint8_t ak_len[] = {(uint8_t)(ak.len >> 8), (uint8_t)ak.len};
    const uint8_t qualified_len[] = {(uint8_t)(qualified.len >> 8), (uint8_t)qualified.len};
    const struct bytes parts[] = {bytes_from_text("bastide vtpm attestation key"),
                                  areas[0],
                                  areas[1],
                                  areas[2],
                                  BYTES_OF(ak_len),
                                  ak,
                                  BYTES_OF(qualified_len),
                                  qualified};
    if (ak.len > UINT16_MAX || qualified.len > UINT16_MAX)
        return MALFORMED;
    return hash_to_user_data(parts, sizeof parts / sizeof *parts, data);
}
