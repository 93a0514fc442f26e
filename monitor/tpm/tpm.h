/* tpm: the node's TPM 2.0 — keys sealed to the boot chain, quotes, one NV counter — over ESYS in salted, encrypted
 * sessions. Never falls back to another TPM, never waits without end, never keeps a secret it was given.
 *
 * What root, who owns the TPM, can do all the same: push the counter forward or delete index and objects, which is
 * denial and is told as such; unseal on a node whose boot chain does not measure the monitor. What not: turn the
 * counter back (a redefined index goes on from the highest value any counter of this TPM ever had), read or answer a
 * session, quote with our attestation key (its template's `unique` and its authorisation come from the sealing root).
 */
#ifndef BASTIDE_TPM_H
#define BASTIDE_TPM_H

#include "base.h"
#include "crypto.h"
#include "tpm2.h"

#define TPM_CERTIFICATE_MAX 2048
#define TPM_SIGNATURE_LEN 64
#define TPM_BLOB_MAX 1024
#define TPM_ROOT_LEN 64 /* report key 32, sealing root 32 */
#define TPM_ERROR_MAX 200

#define TPM_CAP_PCR TPM2_CAP_PCR
#define TPM_PCR_MASK TPM2_BOOT_PCRS

#define TPM_NV_INDEX 0x018b5711u

struct tpm; /* one connection; allocated, freed by tpm_close() */

/* `tcti`: "device:/dev/tpmrm0", "swtpm:path=/run/x.sock" or "swtpm:host=127.0.0.1,port=2321". insecure_dev must be true
 * for a swtpm and false for a device: DENIED otherwise. IO when it does not answer within timeout_ms of any command;
 * the reason is then in tpm_error(). Creates the EK, and with a pinned name insists on it (AUTH): sessions are salted
 * to it. On failure *tpm is NULL and `error` holds the sentence. */
MUST_USE enum status tpm_open(struct tpm **tpm, const char *tcti, bool insecure_dev, struct bytes ek_name,
                              int timeout_ms, char error[TPM_ERROR_MAX]);
/* Flushes what it loaded, wipes ESYS's buffers, hangs up. NULL is fine. */
void tpm_close(struct tpm *tpm);
/* What the last failure was, for people. */
const char *tpm_error(const struct tpm *tpm);
/* The connection broke or timed out: close it and open again. */
bool tpm_is_dead(const struct tpm *tpm);

struct tpm_public_area {
    uint8_t name[TPM2_NAME_LEN];
    uint8_t data[TPM2_PUBLIC_MAX]; /* TPMT_PUBLIC */
    size_t len;
};

void tpm_ek(const struct tpm *tpm, struct tpm_public_area *ek);
/* From the TPM's NV index 0x01c0000a (P-256); NOT_FOUND when the maker left none. */
MUST_USE enum status tpm_ek_certificate(struct tpm *tpm, struct writer *der);

/* ---- sealing ---- */

/* An object as its TPM gave it out, the private half encrypted by it. */
struct tpm_object {
    uint8_t area[TPM_BLOB_MAX]; /* TPM2B_PUBLIC */
    size_t area_len;
    uint8_t sensitive[TPM_BLOB_MAX]; /* TPM2B_PRIVATE */
    size_t sensitive_len;
};

/* Everything needed to open the root again: public, kept in a file. */
struct tpm_sealed {
    struct tpm_object root;
    struct tpm_object ak;
    uint8_t boot_signer[65];       /* who may approve a boot chain: 0x04 || x || y */
    struct tpm2_approval approval; /* of the chain it was made in, or authorised for last */
    uint8_t ek_name[TPM2_NAME_LEN];
    uint64_t born_counter; /* the NV counter when these keys were made */
};

#define TPM_SEALED_MAX 4400

void tpm_put_sealed(struct writer *writer, const struct tpm_sealed *sealed);
MUST_USE enum status tpm_sealed_decode(struct bytes encoded, struct tpm_sealed *sealed);

/* What TPM_PCR_MASK holds now, and its PolicyPCR digest. */
MUST_USE enum status tpm_present_pcrs(struct tpm *tpm, uint8_t pcrs[TPM2_PCR_COUNT][32], uint8_t policy[32]);
/* Approves the present boot chain. DENIED in a boot that is capped, as far as that can be seen. */
MUST_USE enum status tpm_authorise(struct tpm *tpm, const struct crypto_key *boot_signer,
                                   struct tpm2_approval *approval);
/* Makes a root and the attestation key. The root is not a secret that was sealed but one that a key of the TPM
 * computes: the TPM made that key, it never leaves, and it works only in boot chains that the boot signer approved. So
 * whoever exchanges the file can take a root away, but not put one there that he knows. Fails as tpm_unseal() does. */
MUST_USE enum status tpm_seal(struct tpm *tpm, const uint8_t boot_signer[65], const struct tpm2_approval *approval,
                              uint8_t root[TPM_ROOT_LEN], struct tpm_sealed *sealed);
/* `approval`: of the present boot chain. DENIED: it is of another, or something was unsealed earlier in this boot
 * (capped). AUTH: the boot signer did not sign it, the TPM is another, or the file was changed. */
MUST_USE enum status tpm_unseal(struct tpm *tpm, const struct tpm_sealed *sealed, const struct tpm2_approval *approval,
                                uint8_t root[TPM_ROOT_LEN]);
/* Extends the cap PCR: from now on until reset nothing unseals. */
MUST_USE enum status tpm_cap(struct tpm *tpm);

/* ---- attesting and counting; after tpm_use_root() ---- */

/* Loads the attestation key and remembers both authorisations, which come from the sealing root. */
MUST_USE enum status tpm_use_root(struct tpm *tpm, const uint8_t sealing_root[32], const struct tpm_sealed *sealed);
void tpm_ak(const struct tpm *tpm, struct tpm_public_area *ak);

struct tpm_quote {
    uint8_t attest[TPM2_ATTEST_MAX];
    size_t attest_len;
    uint8_t signature[TPM_SIGNATURE_LEN]; /* r || s */
    uint8_t pcrs[TPM2_PCR_COUNT][32];     /* those of TPM_PCR_MASK */
};

/* Reads PCRs and quotes them until both agree (a PCR may be extended between). */
MUST_USE enum status tpm_make_quote(struct tpm *tpm, const uint8_t data[32], struct tpm_quote *quote);
MUST_USE enum status tpm_counts(struct tpm *tpm, uint32_t *reset_count, uint32_t *restart_count);
/* TPM2_ActivateCredential: `blob` as tpm2_make_credential() makes it. AUTH when it is not for this EK and AK. */
MUST_USE enum status tpm_activate(struct tpm *tpm, struct bytes blob, struct secret *secret);

/* ---- the counter ---- */

/* NOT_FOUND: no such index. WRONG_STATE: never written. DENIED: the index is not ours (authorisation or attributes
 * differ: someone redefined it), seen at the first command that fails. */
MUST_USE enum status tpm_counter_read(struct tpm *tpm, uint64_t *value);
MUST_USE enum status tpm_counter_increment(struct tpm *tpm, uint64_t *value);
/* Defines and increments once; DENIED when there is one already. */
MUST_USE enum status tpm_counter_create(struct tpm *tpm, uint64_t *value);
/* By owner authorisation, for re-initialising: the value of whatever counter is there, and away with it. */
MUST_USE enum status tpm_counter_peek(struct tpm *tpm, uint64_t *value);
MUST_USE enum status tpm_counter_remove(struct tpm *tpm);

#endif
