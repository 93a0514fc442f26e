/* A quote's other half: TPMT_PUBLIC of the key that signs it, RSA 2048 or P-256, and TPMT_SIGNATURE (Part 2 §12.2.4 and
 * §11.3.4). What differs from these two is none we can check. */
#include "tpm2.h"

#include <string.h>

#define ALG_RSA 0x0001u
#define ALG_NULL 0x0010u
#define ALG_ECC 0x0023u
#define CURVE_P256 0x0003u
#define RSA_BITS 2048u
#define RSA_LEN 256u
#define COORDINATE_LEN 32u
#define POLICY_LEN 32u

static void take_this(struct reader *reader, uint32_t found, uint32_t expected)
{
    if (found != expected)
        reader_fail(reader, UNSUPPORTED);
}

static void take_into(struct reader *reader, uint8_t *out, size_t len)
{
    struct writer writer = writer_over(out, len);
    put_bytes(&writer, take_bytes(reader, len));
}

static bool fits(enum tpm2_signer_kind kind, uint16_t scheme)
{
    if (scheme == TPM2_ANY_SCHEME)
        return true;
    return kind == TPM2_SIGNER_P256 ? scheme == TPM2_ECDSA : scheme == TPM2_RSASSA || scheme == TPM2_RSAPSS;
}

static void take_parameters(struct reader *reader, struct tpm2_signer *signer)
{
    take_this(reader, take_u16be(reader), ALG_NULL); /* no symmetric cipher: no storage key */
    const uint16_t scheme = take_u16be(reader);
    if (!fits(signer->kind, scheme))
        reader_fail(reader, UNSUPPORTED);
    else
        signer->scheme = (enum tpm2_scheme)scheme;
    if (scheme != TPM2_ANY_SCHEME)
        take_this(reader, take_u16be(reader), TPM2_SHA256);
    if (signer->kind == TPM2_SIGNER_RSA_2048) {
        take_this(reader, take_u16be(reader), RSA_BITS);
        take_this(reader, take_u32be(reader), 0); /* 65537 */
    } else {
        take_this(reader, take_u16be(reader), CURVE_P256);
        take_this(reader, take_u16be(reader), ALG_NULL); /* KDF */
    }
}

static void take_key(struct reader *reader, struct tpm2_signer *signer)
{
    const size_t len = signer->kind == TPM2_SIGNER_RSA_2048 ? RSA_LEN : COORDINATE_LEN;
    const size_t parts = signer->kind == TPM2_SIGNER_RSA_2048 ? 1 : 2;
    for (size_t i = 0; i < parts; i++) {
        take_this(reader, take_u16be(reader), (uint32_t)len);
        take_into(reader, signer->key + i * len, len);
    }
    signer->key_len = parts * len;
}

static bool is_key(const struct tpm2_signer *signer)
{
    uint8_t point[1 + 2 * COORDINATE_LEN] = {4};
    struct crypto_public key;
    if (signer->kind == TPM2_SIGNER_RSA_2048)
        return signer->key[0] & 0x80 && signer->key[RSA_LEN - 1] & 1;
    memcpy(point + 1, signer->key, 2 * COORDINATE_LEN);
    return crypto_public_import(&key, CRYPTO_P256, BYTES_OF(point)) == OK;
}

enum status tpm2_signer_decode(struct bytes encoded, struct tpm2_signer *signer)
{
    struct reader reader = reader_over(encoded);
    struct tpm2_signer got = {0};
    const uint16_t type = take_u16be(&reader);
    got.kind = type == ALG_RSA ? TPM2_SIGNER_RSA_2048 : TPM2_SIGNER_P256;
    if (type != ALG_RSA)
        take_this(&reader, type, ALG_ECC);
    take_this(&reader, take_u16be(&reader), TPM2_SHA256);
    got.attributes = take_u32be(&reader);
    const uint16_t policy_len = take_u16be(&reader);
    got.has_policy = policy_len > 0;
    if (got.has_policy) {
        take_this(&reader, policy_len, POLICY_LEN);
        take_into(&reader, got.policy, POLICY_LEN);
    }
    take_parameters(&reader, &got);
    take_key(&reader, &got);
    TRY(reader_end(&reader));
    if (!is_key(&got))
        return MALFORMED;
    *signer = got;
    return OK;
}

void tpm2_put_signer(struct writer *writer, const struct tpm2_signer *signer)
{
    const bool rsa = signer->kind == TPM2_SIGNER_RSA_2048;
    put_u16be(writer, rsa ? ALG_RSA : ALG_ECC);
    put_u16be(writer, TPM2_SHA256);
    put_u32be(writer, signer->attributes);
    put_u16be(writer, signer->has_policy ? POLICY_LEN : 0);
    if (signer->has_policy)
        put_bytes(writer, BYTES_OF(signer->policy));
    put_u16be(writer, ALG_NULL);
    put_u16be(writer, (uint16_t)signer->scheme);
    if (signer->scheme != TPM2_ANY_SCHEME)
        put_u16be(writer, TPM2_SHA256);
    put_u16be(writer, rsa ? RSA_BITS : CURVE_P256);
    if (rsa)
        put_u32be(writer, 0);
    else
        put_u16be(writer, ALG_NULL);
    const size_t len = rsa ? RSA_LEN : COORDINATE_LEN;
    for (size_t off = 0; off < (rsa ? RSA_LEN : 2 * COORDINATE_LEN); off += len) {
        put_u16be(writer, (uint16_t)len);
        put_bytes(writer, bytes_from(signer->key + off, len));
    }
}

bool tpm2_signer_is_ak(const struct tpm2_signer *signer)
{
    const uint32_t ignored = TPM2_ATTRIBUTE_USER_WITH_AUTH | TPM2_ATTRIBUTE_ADMIN_WITH_POLICY | TPM2_ATTRIBUTE_NO_DA;
    return (signer->attributes & ~ignored) ==
               (TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_SIGN) &&
           signer->scheme != TPM2_ANY_SCHEME;
}

/* ---- Signatures ---- */

/* A number of at most 32 bytes, written with 32. */
static void take_number(struct reader *reader, uint8_t out[COORDINATE_LEN])
{
    const size_t len = take_u16be(reader);
    if (len == 0 || len > COORDINATE_LEN)
        reader_fail(reader, MALFORMED);
    else
        take_into(reader, out + COORDINATE_LEN - len, len);
}

enum status tpm2_signature_decode(struct bytes encoded, struct tpm2_signature *signature)
{
    struct reader reader = reader_over(encoded);
    struct tpm2_signature got = {0};
    const uint16_t scheme = take_u16be(&reader);
    if (scheme != TPM2_RSASSA && scheme != TPM2_RSAPSS && scheme != TPM2_ECDSA)
        reader_fail(&reader, UNSUPPORTED);
    got.scheme = (enum tpm2_scheme)scheme;
    take_this(&reader, take_u16be(&reader), TPM2_SHA256);
    if (scheme == TPM2_ECDSA) {
        take_number(&reader, got.value);
        take_number(&reader, got.value + COORDINATE_LEN);
        got.len = 2 * COORDINATE_LEN;
    } else {
        take_this(&reader, take_u16be(&reader), RSA_LEN);
        take_into(&reader, got.value, RSA_LEN);
        got.len = RSA_LEN;
    }
    TRY(reader_end(&reader));
    *signature = got;
    return OK;
}

void tpm2_put_signature(struct writer *writer, const struct tpm2_signature *signature)
{
    const size_t len = signature->scheme == TPM2_ECDSA ? COORDINATE_LEN : RSA_LEN;
    put_u16be(writer, (uint16_t)signature->scheme);
    put_u16be(writer, TPM2_SHA256);
    for (size_t off = 0; off < signature->len; off += len) {
        put_u16be(writer, (uint16_t)len);
        put_bytes(writer, bytes_from(signature->value + off, len));
    }
}
