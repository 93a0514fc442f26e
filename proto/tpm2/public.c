/* TPMT_PUBLIC of a P-256 key, its name, and what an endorsement or attestation key looks like (Part 2 §12.2.4). */
#include "tpm2.h"

#define ALG_AES 0x0006u
#define ALG_NULL 0x0010u
#define ALG_ECDSA 0x0018u
#define ALG_ECC 0x0023u
#define ALG_CFB 0x0043u
#define CURVE_P256 0x0003u
#define COORDINATE_LEN 32
#define POLICY_LEN 32

#define EK_ATTRIBUTES                                                                                                  \
    (TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_ADMIN_WITH_POLICY | TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_DECRYPT)
#define AK_ATTRIBUTES (TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_SIGN)

/* PolicySecret(TPM_RH_ENDORSEMENT): TCG EK Credential Profile 2.x, B.2, "PolicyA". */
static const uint8_t ek_policy[POLICY_LEN] = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
                                              0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
                                              0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};

static void take_exactly(struct reader *reader, uint8_t *out, size_t len)
{
    struct bytes value = take_bytes(reader, len);
    struct writer writer = writer_over(out, len);
    put_bytes(&writer, value);
}

static void take_this(struct reader *reader, uint16_t expected)
{
    if (take_u16be(reader) != expected)
        reader_fail(reader, UNSUPPORTED);
}

/* ALG_NULL, or `alg` with the details that follow it. */
static bool take_choice(struct reader *reader, uint16_t alg)
{
    uint16_t got = take_u16be(reader);
    if (got != alg && got != ALG_NULL)
        reader_fail(reader, UNSUPPORTED);
    return got == alg;
}

static void take_parameters(struct reader *reader, struct tpm2_public *area)
{
    area->aes_cfb = take_choice(reader, ALG_AES);
    if (area->aes_cfb) {
        take_this(reader, 128);
        take_this(reader, ALG_CFB);
    }
    area->ecdsa = take_choice(reader, ALG_ECDSA);
    if (area->ecdsa)
        take_this(reader, TPM2_SHA256);
    take_this(reader, CURVE_P256);
    take_this(reader, ALG_NULL);
}

enum status tpm2_public_decode(struct bytes encoded, struct tpm2_public *area)
{
    struct reader reader = reader_over(encoded);
    struct tpm2_public got = {0};
    take_this(&reader, ALG_ECC);
    take_this(&reader, TPM2_SHA256);
    got.attributes = take_u32be(&reader);
    uint16_t policy_len = take_u16be(&reader);
    got.has_policy = policy_len == POLICY_LEN;
    if (policy_len != 0 && !got.has_policy)
        reader_fail(&reader, UNSUPPORTED);
    if (got.has_policy)
        take_exactly(&reader, got.policy, POLICY_LEN);
    take_parameters(&reader, &got);
    take_this(&reader, COORDINATE_LEN);
    take_exactly(&reader, got.x, COORDINATE_LEN);
    take_this(&reader, COORDINATE_LEN);
    take_exactly(&reader, got.y, COORDINATE_LEN);
    TRY(reader_end(&reader));
    *area = got;
    return OK;
}

void tpm2_put_public(struct writer *writer, const struct tpm2_public *area)
{
    put_u16be(writer, ALG_ECC);
    put_u16be(writer, TPM2_SHA256);
    put_u32be(writer, area->attributes);
    put_u16be(writer, area->has_policy ? POLICY_LEN : 0);
    if (area->has_policy)
        put_bytes(writer, BYTES_OF(area->policy));
    put_u16be(writer, area->aes_cfb ? ALG_AES : ALG_NULL);
    if (area->aes_cfb) {
        put_u16be(writer, 128);
        put_u16be(writer, ALG_CFB);
    }
    put_u16be(writer, area->ecdsa ? ALG_ECDSA : ALG_NULL);
    if (area->ecdsa)
        put_u16be(writer, TPM2_SHA256);
    put_u16be(writer, CURVE_P256);
    put_u16be(writer, ALG_NULL);
    put_u16be(writer, COORDINATE_LEN);
    put_bytes(writer, BYTES_OF(area->x));
    put_u16be(writer, COORDINATE_LEN);
    put_bytes(writer, BYTES_OF(area->y));
}

enum status tpm2_public_key(const struct tpm2_public *area, struct crypto_public *key)
{
    uint8_t point[1 + 2 * COORDINATE_LEN];
    struct writer writer = writer_over(point, sizeof point);
    put_u8(&writer, 4);
    put_bytes(&writer, BYTES_OF(area->x));
    put_bytes(&writer, BYTES_OF(area->y));
    return crypto_public_import(key, CRYPTO_P256, writer_bytes(&writer));
}

enum status tpm2_name(struct bytes encoded_public, uint8_t name[TPM2_NAME_LEN])
{
    uint8_t hash[CRYPTO_HASH_MAX];
    TRY(crypto_hash(CRYPTO_SHA256, &encoded_public, 1, hash));
    struct writer writer = writer_over(name, TPM2_NAME_LEN);
    put_u16be(&writer, TPM2_SHA256);
    put_bytes(&writer, bytes_from(hash, 32));
    return writer_end(&writer);
}

void tpm2_ek_template(struct tpm2_public *area)
{
    *area = (struct tpm2_public){.attributes = EK_ATTRIBUTES, .has_policy = true, .aes_cfb = true};
    struct writer writer = writer_over(area->policy, sizeof area->policy);
    put_bytes(&writer, BYTES_OF(ek_policy));
}

bool tpm2_public_is_ek(const struct tpm2_public *area)
{
    return area->attributes == EK_ATTRIBUTES && area->aes_cfb && !area->ecdsa && area->has_policy &&
           bytes_equal(BYTES_OF(area->policy), BYTES_OF(ek_policy));
}

bool tpm2_public_is_ak(const struct tpm2_public *area)
{
    uint32_t ignored = TPM2_ATTRIBUTE_USER_WITH_AUTH | TPM2_ATTRIBUTE_ADMIN_WITH_POLICY | TPM2_ATTRIBUTE_NO_DA;
    return (area->attributes & ~ignored) == AK_ATTRIBUTES && area->ecdsa && !area->aes_cfb;
}
