/* tpm2: what a verifier must read and make of TPM 2.0 structures (TCG Part 2) without a TPM stack: quotes, P-256 public
 * areas, endorsement keys, names, and the blob of TPM2_MakeCredential. Never talks to a TPM; holds no private key of
 * one. */
#ifndef BASTIDE_TPM2_H
#define BASTIDE_TPM2_H

#include "base.h"
#include "crypto.h"

#define TPM2_SHA256 0x000bu
#define TPM2_NAME_LEN 34 /* TPM2_SHA256, then the hash of the public area */
#define TPM2_PCR_COUNT 24
#define TPM2_PUBLIC_MAX 160 /* bytes of a TPMT_PUBLIC we read or write */
#define TPM2_ATTEST_MAX 512

/* TPMS_ATTEST of a quote (Part 2 §10.12.12), borrowing from its bytes. One SHA-256 selection of 24 PCRs is understood.
 */
struct tpm2_attest {
    struct bytes qualified_signer; /* the signer's qualified name */
    struct bytes extra_data;
    uint64_t clock_ms;
    uint32_t reset_count;
    uint32_t restart_count;
    bool safe; /* the clock never went back */
    uint64_t firmware;
    uint32_t pcr_mask; /* bit n: PCR n is in the digest */
    struct bytes pcr_digest;
};

/* MALFORMED when the magic is not TPM_GENERATED (the TPM would not have signed it itself); UNSUPPORTED when it is no
 * quote, or for other banks. */
MUST_USE enum status tpm2_attest_decode(struct bytes encoded, struct tpm2_attest *attest);
void tpm2_put_attest(struct writer *writer, const struct tpm2_attest *attest);

#define TPM2_ATTRIBUTE_FIXED_TPM (1u << 1)
#define TPM2_ATTRIBUTE_FIXED_PARENT (1u << 4)
#define TPM2_ATTRIBUTE_SENSITIVE_DATA_ORIGIN (1u << 5)
#define TPM2_ATTRIBUTE_USER_WITH_AUTH (1u << 6)
#define TPM2_ATTRIBUTE_ADMIN_WITH_POLICY (1u << 7)
#define TPM2_ATTRIBUTE_NO_DA (1u << 10)
#define TPM2_ATTRIBUTE_RESTRICTED (1u << 16)
#define TPM2_ATTRIBUTE_DECRYPT (1u << 17)
#define TPM2_ATTRIBUTE_SIGN (1u << 18)
#define TPM2_ATTRIBUTES_FIXED                                                                                          \
    (TPM2_ATTRIBUTE_FIXED_TPM | TPM2_ATTRIBUTE_FIXED_PARENT | TPM2_ATTRIBUTE_SENSITIVE_DATA_ORIGIN)

/* TPMT_PUBLIC of a P-256 key with a SHA-256 name (Part 2 §12.2.4). Symmetric is AES-128-CFB or none, scheme ECDSA with
 * SHA-256 or none, no KDF; everything else is UNSUPPORTED. */
struct tpm2_public {
    uint32_t attributes;
    uint8_t policy[32]; /* its authPolicy, when has_policy */
    bool has_policy;
    bool aes_cfb; /* a storage key's symmetric algorithm */
    bool ecdsa;   /* its scheme */
    uint8_t x[32];
    uint8_t y[32];
};

MUST_USE enum status tpm2_public_decode(struct bytes encoded, struct tpm2_public *area);
void tpm2_put_public(struct writer *writer, const struct tpm2_public *area);
/* Its P-256 point as crypto takes it; MALFORMED when it is not on the curve. */
MUST_USE enum status tpm2_public_key(const struct tpm2_public *area, struct crypto_public *key);
/* The name of an encoded TPMT_PUBLIC. */
MUST_USE enum status tpm2_name(struct bytes encoded_public, uint8_t name[TPM2_NAME_LEN]);

/* The default endorsement key of the TCG EK Credential Profile (template L-2, P-256), x and y zero. */
void tpm2_ek_template(struct tpm2_public *area);
/* Restricted, fixed, ECDSA signing: only such a key never signs a forged TPMS_ATTEST. */
bool tpm2_public_is_ak(const struct tpm2_public *area);
/* Whether it has the attributes and the policy of the default endorsement key. */
bool tpm2_public_is_ek(const struct tpm2_public *area);

/* ---- endorsement.c: the endorsement keys that TCG's default templates make, each for its NV index of a certificate
 * --- */

enum tpm2_ek_kind {
    TPM2_EK_RSA_2048, /* template L-1 */
    TPM2_EK_P256,     /* L-2, which struct tpm2_public can hold too */
    TPM2_EK_P384,     /* H-3 */
};
#define TPM2_EK_KINDS 3
#define TPM2_EK_KEY_MAX 256
#define TPM2_EK_PUBLIC_MAX 320 /* bytes of a TPMT_PUBLIC */

struct tpm2_ek {
    enum tpm2_ek_kind kind;
    uint8_t key[TPM2_EK_KEY_MAX]; /* the modulus, its exponent being 65537; or x, then y */
    size_t key_len;
};

/* UNSUPPORTED: whatever differs from a template, but for the key. MALFORMED: an even modulus or one of fewer bits, a
 * point that is not on the curve. */
MUST_USE enum status tpm2_ek_decode(struct bytes encoded, struct tpm2_ek *ek);
void tpm2_put_ek(struct writer *writer, const struct tpm2_ek *ek);
/* The TPMT_PUBLIC that TPM2_CreatePrimary makes it of. */
void tpm2_put_ek_template(struct writer *writer, enum tpm2_ek_kind kind);
/* UNSUPPORTED: it is RSA. */
MUST_USE enum status tpm2_ek_point(const struct tpm2_ek *ek, struct crypto_public *key);

/* ---- signer.c: keys that quote, and what they sign ---- */

enum tpm2_signer_kind { TPM2_SIGNER_RSA_2048, TPM2_SIGNER_P256 };
enum tpm2_scheme { TPM2_ANY_SCHEME = 0x10, TPM2_RSASSA = 0x14, TPM2_RSAPSS = 0x16, TPM2_ECDSA = 0x18 };

/* TPMT_PUBLIC of a signing key with a SHA-256 name and, but for TPM2_ANY_SCHEME, a scheme with SHA-256. */
struct tpm2_signer {
    enum tpm2_signer_kind kind;
    uint32_t attributes;
    enum tpm2_scheme scheme;
    uint8_t policy[32]; /* its authPolicy, when has_policy */
    bool has_policy;
    uint8_t key[256]; /* the modulus, its exponent being 65537; or x, then y */
    size_t key_len;
};

/* UNSUPPORTED: another algorithm, size, hash or exponent, or a symmetric cipher. MALFORMED: an even modulus or one of
 * fewer bits, a point that is not on the curve. */
MUST_USE enum status tpm2_signer_decode(struct bytes encoded, struct tpm2_signer *signer);
void tpm2_put_signer(struct writer *writer, const struct tpm2_signer *signer);
/* An attestation key: made in its TPM, never leaves it, and signs nothing that begins as a TPM's own word does unless
 * it is (Part 2 §8.3.3). */
bool tpm2_signer_is_ak(const struct tpm2_signer *signer);

/* TPMT_SIGNATURE with SHA-256 (Part 2 §11.3.4). RSA: as long as the modulus. ECDSA: r, then s, 32 bytes each, however
 * many zeros they were written without. */
struct tpm2_signature {
    enum tpm2_scheme scheme;
    uint8_t value[256];
    size_t len;
};
MUST_USE enum status tpm2_signature_decode(struct bytes encoded, struct tpm2_signature *signature);
void tpm2_put_signature(struct writer *writer, const struct tpm2_signature *signature);

/* KDFa and KDFe with SHA-256 (Part 1 §11.4.10). `label` without its NUL. NO_ROOM past 32 bytes for KDFe. */
MUST_USE enum status tpm2_kdfa(struct bytes key, const char *label, struct bytes context_u, struct bytes context_v,
                               void *out, size_t len);
MUST_USE enum status tpm2_kdfe(struct bytes z, const char *label, struct bytes x_u, struct bytes x_v, void *out,
                               size_t len);

/* TPM2_MakeCredential in software (Part 1 §24): only the TPM that holds both the EK and an object named `name` can
 * recover `secret` (1 to 32 bytes). The blob is TPM2B_ID_OBJECT then TPM2B_ENCRYPTED_SECRET. */
#define TPM2_CREDENTIAL_MAX 256
#define TPM2_CREDENTIAL_SECRET_MAX 32
MUST_USE enum status tpm2_make_credential(const struct tpm2_public *ek, const uint8_t name[TPM2_NAME_LEN],
                                          struct bytes secret, struct writer *blob);

/* ---- A boot chain ---- */

/* PCRs 0 and 2: the firmware's code and that of cards; 4: every EFI program that was started, so the node's image with
 * all that is in it; 7: secure boot; 11: the image's parts, as its stub saw them; 12 and 13: command lines, credentials
 * and extensions that came from outside the image, so nothing. Left out: 1, 3, 5 and 6, which hold settings, serial
 * numbers and partition tables, differ from machine to machine and name no code; 8 to 10 and 14, which the image's
 * chain does not use or which grow while it runs. The cap is 15: 16 and 23 can be reset from locality 0 and 17 to 22 by
 * a dynamic launch. */
#define TPM2_CAP_PCR 15
#define TPM2_BOOT_PCRS (1u << 0 | 1u << 2 | 1u << 4 | 1u << 7 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << TPM2_CAP_PCR)

/* One more measurement in a SHA-256 PCR: by its hash (32 bytes; MALFORMED otherwise), or by what is hashed. */
MUST_USE enum status tpm2_extend(uint8_t pcr[32], struct bytes hash);
MUST_USE enum status tpm2_extend_by(uint8_t pcr[32], struct bytes measured);
/* What the key holder does to the cap PCR: nothing unseals any more in that boot. */
#define TPM2_CAP_TEXT "bastide: unsealed, no more in this boot"
MUST_USE enum status tpm2_cap(uint8_t pcr[32]);
/* As a quote has them (Part 3 §18.4), and as TPM2_PolicyPCR makes a policy of them (Part 3 §23.7). MALFORMED for an
 * empty mask. */
MUST_USE enum status tpm2_pcr_digest(uint32_t mask, const uint8_t pcrs[TPM2_PCR_COUNT][32], uint8_t digest[32]);
MUST_USE enum status tpm2_pcr_policy(uint32_t mask, const uint8_t pcrs[TPM2_PCR_COUNT][32], uint8_t policy[32]);

/* The boot signer's word that a boot chain may open a node's keys: its policy before the cap, and ES256 over that. */
struct tpm2_approval {
    uint8_t policy[32];
    uint8_t signature[64];
};
#define TPM2_APPROVAL_LEN 96 /* encoded: one after the other */
MUST_USE enum status tpm2_approve(const struct crypto_key *boot_signer, const uint8_t policy[32],
                                  struct tpm2_approval *approval);

#endif
