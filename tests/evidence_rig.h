/* A node of keys of our own in the place of a TPM's and a monitor's, what it says, and the policy that takes it. */
#ifndef BASTIDE_TESTS_EVIDENCE_RIG_H
#define BASTIDE_TESTS_EVIDENCE_RIG_H

#include "check.h"
#include "evidence.h"

struct node {
    struct crypto_key ek, ak, report_key;
    uint8_t ek_area[TPM2_PUBLIC_MAX], ak_area[TPM2_PUBLIC_MAX];
    size_t ek_len, ak_len;
    uint8_t ek_name[TPM2_NAME_LEN], ak_name[TPM2_NAME_LEN];
};

static struct node node;
static const uint8_t nonce[16] = "asked for this";
static const uint8_t config[32] = {3}, measurements[2][32] = {{0xee}, {1}}, user_data[64] = {5}, signer[32] = {2};

static inline size_t area_of(const struct tpm2_public *wanted, const struct crypto_key *key, uint8_t *room,
                             uint8_t *name)
{
    struct tpm2_public area = *wanted;
    memcpy(area.x, key->public_key.data + 1, 32);
    memcpy(area.y, key->public_key.data + 33, 32);
    struct writer writer = writer_over(room, TPM2_PUBLIC_MAX);
    tpm2_put_public(&writer, &area);
    assert_int_equal(OK, tpm2_name(writer_bytes(&writer), name));
    return writer.len;
}

static inline int start(void **state)
{
    (void)state;
    struct tpm2_public ek;
    const struct tpm2_public ak = {.attributes = TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_USER_WITH_AUTH |
                                                 TPM2_ATTRIBUTE_RESTRICTED | TPM2_ATTRIBUTE_SIGN,
                                   .ecdsa = true};
    tpm2_ek_template(&ek);
    if (crypto_init() != OK || crypto_key_generate(&node.ek, CRYPTO_P256) != OK ||
        crypto_key_generate(&node.ak, CRYPTO_P256) != OK || crypto_key_generate(&node.report_key, CRYPTO_P256) != OK)
        return 1;
    node.ek_len = area_of(&ek, &node.ek, node.ek_area, node.ek_name);
    node.ak_len = area_of(&ak, &node.ak, node.ak_area, node.ak_name);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    crypto_key_done(&node.ek);
    crypto_key_done(&node.ak);
    crypto_key_done(&node.report_key);
    return 0;
}

static inline struct eat_report sample(void)
{
    struct eat_report report = {.nonce_len = sizeof nonce,
                                .port = bytes_from_text("linux"),
                                .mode = EAT_PRODUCTION,
                                .measurement = {1},
                                .product = bytes_from_text("hub"),
                                .security_version = 3,
                                .signer = {2},
                                .config = {3},
                                .workload = {4},
                                .user_data = {5},
                                .walls = EAT_WALL_SECRET_MEMORY,
                                .monitor_measured = true,
                                .monitor = {6},
                                .nv_counter = 42,
                                .reset_count = 7,
                                .sequence = 9};
    memcpy(report.nonce, nonce, sizeof nonce);
    return report;
}

static uint8_t pcr_value[32] = {0x77}; /* of the boot that is known */

static inline void boot_digest(uint8_t digest[CRYPTO_HASH_MAX])
{
    const struct bytes parts[] = {BYTES_OF(pcr_value), BYTES_OF(pcr_value)};
    check_ok(crypto_hash(CRYPTO_SHA256, parts, 2, digest));
}

static inline struct evidence_policy strict(uint8_t digest[CRYPTO_HASH_MAX])
{
    boot_digest(digest);
    return (struct evidence_policy){.ek_name = BYTES_OF(node.ek_name),
                                    .ak_name = BYTES_OF(node.ak_name),
                                    .measurements = measurements,
                                    .measurement_count = 2,
                                    .boot_digests = (const uint8_t(*)[EAT_HASH_LEN])(void *)digest,
                                    .boot_digest_count = 1,
                                    .config = BYTES_OF(config),
                                    .nonce = BYTES_OF(nonce),
                                    .user_data = BYTES_OF(user_data),
                                    .required_walls = EAT_WALL_SECRET_MEMORY};
}

/* What a monitor and its TPM would say: `report` signed by `by`, the report key quoted by the AK. */
static inline struct bytes made(const struct eat_report *report, const struct crypto_key *by, uint8_t *room)
{
    uint8_t digest[CRYPTO_HASH_MAX], data[32], quote[TPM2_ATTEST_MAX], signature[64], body[EAT_REPORT_MAX];
    boot_digest(digest);
    check_ok(eat_quote_data(&node.report_key.public_key, bytes_from(report->nonce, report->nonce_len), data));
    const struct tpm2_attest attest = {
        .extra_data = BYTES_OF(data), .pcr_mask = 1u << 4 | 1u << 15, .pcr_digest = bytes_from(digest, 32)};
    struct writer attested = writer_over(quote, sizeof quote), signed_report = writer_over(body, sizeof body),
                  writer = writer_over(room, EAT_EVIDENCE_MAX);
    tpm2_put_attest(&attested, &attest);
    struct bytes raw = writer_bytes(&attested);
    check_ok(crypto_sign(&node.ak, &raw, 1, signature));
    check_ok(eat_report_sign(&signed_report, by, report));
    struct eat_evidence bundle = {.report = writer_bytes(&signed_report),
                                  .report_key = node.report_key.public_key,
                                  .quote = raw,
                                  .quote_signature = BYTES_OF(signature),
                                  .pcr_mask = attest.pcr_mask,
                                  .ak = bytes_from(node.ak_area, node.ak_len),
                                  .ek = bytes_from(node.ek_area, node.ek_len)};
    memcpy(bundle.pcrs[4], pcr_value, 32);
    memcpy(bundle.pcrs[15], pcr_value, 32);
    eat_put_evidence(&writer, &bundle);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

#endif
