/* TPMT_PUBLIC of the default endorsement keys (TCG EK Credential Profile for TPM Family 2.0 §B.3.3, B.3.4, B.4.6): all
 * but the key itself is the template's, and anything else is none. */
#include "tpm2.h"

#define ALG_RSA 0x0001u
#define ALG_AES 0x0006u
#define ALG_SHA384 0x000cu
#define ALG_NULL 0x0010u
#define ALG_ECC 0x0023u
#define ALG_CFB 0x0043u
#define CURVE_P256 0x0003u
#define CURVE_P384 0x0004u

#define ATTRIBUTES                                                                                                     \
    (TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_ADMIN_WITH_POLICY | TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_DECRYPT)

/* PolicyA of SHA-256, of the low range's templates; PolicyB of SHA-384, of the high range's: Annex B.2 and B.6. */
static const uint8_t policy_a[] = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
                                   0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
                                   0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};
static const uint8_t policy_b[] = {0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc,
                                   0xf5, 0xfd, 0x3a, 0x1a, 0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4,
                                   0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47, 0xba, 0x09,
                                   0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12};

/* What tells the three apart: numbers of each template, and the parts of its `unique`. */
static const struct {
    uint16_t type, name_alg, aes_bits, curve;
    uint32_t attributes;
    struct bytes policy;
    size_t parts, part_len;
    size_t template_part_len; /* what stands there in the template is zero, and this long */
} kinds[TPM2_EK_KINDS] = {
    [TPM2_EK_RSA_2048] = {ALG_RSA, TPM2_SHA256, 128, 0, ATTRIBUTES, {policy_a, sizeof policy_a}, 1, 256, 256},
    [TPM2_EK_P256] = {ALG_ECC, TPM2_SHA256, 128, CURVE_P256, ATTRIBUTES, {policy_a, sizeof policy_a}, 2, 32, 32},
    [TPM2_EK_P384] = {ALG_ECC,
                      ALG_SHA384,
                      256,
                      CURVE_P384,
                      ATTRIBUTES | TPM2_ATTRIBUTE_USER_WITH_AUTH,
                      {policy_b, sizeof policy_b},
                      2,
                      48,
                      0},
};

/* Everything before `unique`. */
static void put_head(struct writer *writer, enum tpm2_ek_kind kind)
{
    put_u16be(writer, kinds[kind].type);
    put_u16be(writer, kinds[kind].name_alg);
    put_u32be(writer, kinds[kind].attributes);
    put_u16be(writer, (uint16_t)kinds[kind].policy.len);
    put_bytes(writer, kinds[kind].policy);
    put_u16be(writer, ALG_AES);
    put_u16be(writer, kinds[kind].aes_bits);
    put_u16be(writer, ALG_CFB);
    put_u16be(writer, ALG_NULL); /* scheme */
    if (kinds[kind].type == ALG_RSA) {
        put_u16be(writer, 2048);
        put_u32be(writer, 0); /* the default exponent, 65537 */
    } else {
        put_u16be(writer, kinds[kind].curve);
        put_u16be(writer, ALG_NULL); /* KDF */
    }
}

void tpm2_put_ek_template(struct writer *writer, enum tpm2_ek_kind kind)
{
    static const uint8_t zero[TPM2_EK_KEY_MAX];
    put_head(writer, kind);
    for (size_t i = 0; i < kinds[kind].parts; i++) {
        put_u16be(writer, (uint16_t)kinds[kind].template_part_len);
        put_bytes(writer, bytes_from(zero, kinds[kind].template_part_len));
    }
}

void tpm2_put_ek(struct writer *writer, const struct tpm2_ek *ek)
{
    const size_t len = kinds[ek->kind].part_len;
    put_head(writer, ek->kind);
    for (size_t i = 0; i < kinds[ek->kind].parts; i++) {
        put_u16be(writer, (uint16_t)len);
        put_bytes(writer, bytes_slice(BYTES_OF(ek->key), i * len, len));
    }
}

static enum status decode_as(struct bytes encoded, enum tpm2_ek_kind kind, struct tpm2_ek *ek)
{
    uint8_t head[TPM2_EK_PUBLIC_MAX];
    struct tpm2_ek got = {.kind = kind};
    struct writer expected = writer_over(head, sizeof head), key = writer_over(got.key, sizeof got.key);
    struct reader reader = reader_over(encoded);
    put_head(&expected, kind);
    struct bytes found = take_bytes(&reader, expected.len);
    if (reader.status == OK && !bytes_equal(found, writer_bytes(&expected)))
        return UNSUPPORTED;
    for (size_t i = 0; i < kinds[kind].parts; i++) {
        if (take_u16be(&reader) != kinds[kind].part_len)
            reader_fail(&reader, UNSUPPORTED);
        put_bytes(&key, take_bytes(&reader, kinds[kind].part_len));
    }
    TRY(reader_end(&reader));
    got.key_len = key.len;
    if (kind == TPM2_EK_RSA_2048 && !(got.key[0] & 0x80 && got.key[got.key_len - 1] & 1))
        return MALFORMED;
    struct crypto_public point;
    if (kind != TPM2_EK_RSA_2048)
        TRY(tpm2_ek_point(&got, &point));
    *ek = got;
    return OK;
}

enum status tpm2_ek_decode(struct bytes encoded, struct tpm2_ek *ek)
{
    enum status status = UNSUPPORTED;
    for (int kind = 0; kind < TPM2_EK_KINDS && status == UNSUPPORTED; kind++)
        status = decode_as(encoded, (enum tpm2_ek_kind)kind, ek);
    return status;
}

enum status tpm2_ek_point(const struct tpm2_ek *ek, struct crypto_public *key)
{
    uint8_t point[1 + TPM2_EK_KEY_MAX];
    struct writer writer = writer_over(point, sizeof point);
    if (ek->kind == TPM2_EK_RSA_2048)
        return UNSUPPORTED;
    put_u8(&writer, 4);
    put_bytes(&writer, bytes_slice(BYTES_OF(ek->key), 0, ek->key_len));
    return crypto_public_import(key, ek->kind == TPM2_EK_P256 ? CRYPTO_P256 : CRYPTO_P384, writer_bytes(&writer));
}
