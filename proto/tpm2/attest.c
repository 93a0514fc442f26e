/* TPMS_ATTEST of a quote: decode and encode (TCG TPM 2.0 Library Part 2 §10.12). */
#include "tpm2.h"

#define MAGIC 0xff544347u /* TPM_GENERATED_VALUE */
#define TYPE_QUOTE 0x8018u
#define SELECT_LEN 3 /* bytes of bitmap for 24 PCRs */
#define DIGEST_LEN 32
#define NAME_MAX_LEN 68 /* the longest TPM2B_NAME: a SHA-512 one and its algorithm */
#define EXTRA_MAX 66    /* TPM2B_DATA holds a TPMT_HA */

static struct bytes take_sized(struct reader *reader, size_t max)
{
    size_t len = take_u16be(reader);
    if (len > max)
        reader_fail(reader, MALFORMED);
    return take_bytes(reader, len);
}

static uint32_t take_selection(struct reader *reader)
{
    if (take_u32be(reader) != 1 || take_u16be(reader) != TPM2_SHA256)
        reader_fail(reader, UNSUPPORTED);
    if (take_u8(reader) != SELECT_LEN)
        reader_fail(reader, UNSUPPORTED);
    uint32_t mask = take_u8(reader);
    mask |= (uint32_t)take_u8(reader) << 8;
    mask |= (uint32_t)take_u8(reader) << 16;
    return mask;
}

enum status tpm2_attest_decode(struct bytes encoded, struct tpm2_attest *attest)
{
    struct reader reader = reader_over(encoded);
    struct tpm2_attest got = {0};
    if (take_u32be(&reader) != MAGIC)
        reader_fail(&reader, MALFORMED);
    if (take_u16be(&reader) != TYPE_QUOTE)
        reader_fail(&reader, UNSUPPORTED);
    got.qualified_signer = take_sized(&reader, NAME_MAX_LEN);
    got.extra_data = take_sized(&reader, EXTRA_MAX);
    got.clock_ms = take_u64be(&reader);
    got.reset_count = take_u32be(&reader);
    got.restart_count = take_u32be(&reader);
    uint8_t safe = take_u8(&reader);
    if (safe > 1)
        reader_fail(&reader, MALFORMED);
    got.safe = safe == 1;
    got.firmware = take_u64be(&reader);
    got.pcr_mask = take_selection(&reader);
    got.pcr_digest = take_sized(&reader, DIGEST_LEN);
    if (got.pcr_digest.len != DIGEST_LEN)
        reader_fail(&reader, UNSUPPORTED);
    TRY(reader_end(&reader));
    *attest = got;
    return OK;
}

static void put_sized(struct writer *writer, struct bytes value, size_t max)
{
    if (value.len > max)
        writer_fail(writer, MALFORMED);
    put_u16be(writer, (uint16_t)value.len);
    put_bytes(writer, value);
}

void tpm2_put_attest(struct writer *writer, const struct tpm2_attest *attest)
{
    put_u32be(writer, MAGIC);
    put_u16be(writer, TYPE_QUOTE);
    put_sized(writer, attest->qualified_signer, NAME_MAX_LEN);
    put_sized(writer, attest->extra_data, EXTRA_MAX);
    put_u64be(writer, attest->clock_ms);
    put_u32be(writer, attest->reset_count);
    put_u32be(writer, attest->restart_count);
    put_u8(writer, attest->safe);
    put_u64be(writer, attest->firmware);
    put_u32be(writer, 1);
    put_u16be(writer, TPM2_SHA256);
    put_u8(writer, SELECT_LEN);
    for (unsigned i = 0; i < SELECT_LEN; i++)
        put_u8(writer, (uint8_t)(attest->pcr_mask >> (8 * i)));
    put_sized(writer, attest->pcr_digest, DIGEST_LEN);
}
