/* The attestation key: made under the storage key, used to quote and to answer a credential challenge. */
#include "tpm_internal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define PCRS_A_READ 8 /* TPM2_PCR_Read gives no more at a time */
#define CERTIFICATE_INDEX 0x01c0000au
#define CERTIFICATE_CHUNK 512

static enum status derive(const uint8_t sealing_root[32], const char *what, uint8_t out[32])
{
    return crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(sealing_root, 32), bytes_from_text(what), out, 32);
}

enum status tpm_make_ak(struct tpm *tpm, ESYS_TR parent, const uint8_t sealing_root[32], struct tpm_object *ak)
{
    const struct tpm2_public wanted = {.attributes = TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_USER_WITH_AUTH |
                                                     TPM2_ATTRIBUTE_NO_DA | TPM2_ATTRIBUTE_RESTRICTED |
                                                     TPM2_ATTRIBUTE_SIGN,
                                       .ecdsa = true};
    TPM2B_PUBLIC area;
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth.size = 32};
    TRY(tpm_make_area(tpm, &wanted, &area));
    area.publicArea.unique.ecc.x.size = area.publicArea.unique.ecc.y.size = 0;
    TRY(derive(sealing_root, "bastide tpm attestation key", sensitive.sensitive.userAuth.buffer));
    enum status status = tpm_create_object(tpm, parent, &sensitive, &area, ak);
    wipe(&sensitive, sizeof sensitive);
    return status;
}

enum status tpm_use_root(struct tpm *tpm, const uint8_t sealing_root[32], const struct tpm_sealed *sealed)
{
    TPM2B_AUTH auth = {.size = 32};
    TPM2B_PUBLIC area = {0};
    size_t off = 0;
    TRY(tpm_check(tpm, Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed->ak.area, sealed->ak.area_len, &off, &area),
                  "reading the attestation key"));
    TRY(tpm_keep_area(tpm, &area, &tpm->ak_area));
    TRY(tpm_load_object(tpm, &sealed->ak, &tpm->ak));
    TRY(derive(sealing_root, "bastide tpm attestation key", auth.buffer));
    enum status status = tpm_check(tpm, Esys_TR_SetAuth(tpm->esys, tpm->ak, &auth), "using the attestation key");
    wipe(&auth, sizeof auth);
    TRY(status);
    tpm->counter_auth.len = 32;
    return derive(sealing_root, "bastide tpm counter", tpm->counter_auth.data);
}

void tpm_ak(const struct tpm *tpm, struct tpm_public_area *ak)
{
    *ak = tpm->ak_area;
}

enum status tpm_read_pcrs(struct tpm *tpm, uint32_t mask, uint8_t pcrs[TPM2_PCR_COUNT][32])
{
    TPML_PCR_SELECTION wanted, *given = NULL;
    TPML_DIGEST *values = NULL;
    tpm_select_pcrs(mask, &wanted);
    TRY(tpm_check(tpm,
                  Esys_PCR_Read(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, NULL, &given, &values),
                  "reading PCRs"));
    uint32_t next = 0;
    enum status status = OK;
    for (unsigned i = 0; i < TPM2_PCR_COUNT && status == OK; i++) {
        if (!(mask >> i & 1))
            continue;
        if (next < values->count && values->digests[next].size == 32)
            memcpy(pcrs[i], values->digests[next++].buffer, 32);
        else
            status = tpm_refuse(tpm, IO, "the TPM has no bank of SHA-256 PCRs");
    }
    Esys_Free(given);
    Esys_Free(values);
    return status;
}

static enum status read_all_pcrs(struct tpm *tpm, struct tpm_quote *quote)
{
    uint32_t part = 0;
    for (unsigned i = 0, count = 0; i < TPM2_PCR_COUNT; i++) {
        uint32_t bit = TPM_PCR_MASK & (1u << i);
        part |= bit;
        count += bit != 0;
        if (part && (count == PCRS_A_READ || i == TPM2_PCR_COUNT - 1)) {
            TRY(tpm_read_pcrs(tpm, part, quote->pcrs));
            part = count = 0;
        }
    }
    return OK;
}

/* Whether the PCRs that were read are those that were quoted. */
static bool quotes(const struct tpm_quote *quote)
{
    struct tpm2_attest attest;
    struct bytes parts[TPM2_PCR_COUNT];
    uint8_t hash[CRYPTO_HASH_MAX];
    size_t count = 0;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++)
        if (TPM_PCR_MASK >> i & 1)
            parts[count++] = BYTES_OF(quote->pcrs[i]);
    return tpm2_attest_decode(bytes_from(quote->attest, quote->attest_len), &attest) == OK &&
           crypto_hash(CRYPTO_SHA256, parts, count, hash) == OK && bytes_equal(attest.pcr_digest, bytes_from(hash, 32));
}

static bool keep_half(const TPM2B_ECC_PARAMETER *half, uint8_t out[32])
{
    if (half->size > 32)
        return false;
    memset(out, 0, 32); /* a TPM may leave leading zeros away */
    memcpy(out + 32 - half->size, half->buffer, half->size);
    return true;
}

static enum status quote_once(struct tpm *tpm, const uint8_t data[32], struct tpm_quote *quote)
{
    TPM2B_DATA qualifying = {.size = 32};
    TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    TPML_PCR_SELECTION selection;
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *signature = NULL;
    memcpy(qualifying.buffer, data, 32);
    tpm_select_pcrs(TPM_PCR_MASK, &selection);
    TRY(read_all_pcrs(tpm, quote));
    TRY(tpm_check(tpm,
                  Esys_Quote(tpm->esys, tpm->ak, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying, &scheme,
                             &selection, &attest, &signature),
                  "quoting"));
    enum status status = IO;
    if (signature->sigAlg == TPM2_ALG_ECDSA && attest->size <= sizeof quote->attest &&
        keep_half(&signature->signature.ecdsa.signatureR, quote->signature) &&
        keep_half(&signature->signature.ecdsa.signatureS, quote->signature + 32)) {
        memcpy(quote->attest, attest->attestationData, attest->size);
        quote->attest_len = attest->size;
        status = quotes(quote) ? OK : BUSY;
    }
    Esys_Free(attest);
    Esys_Free(signature);
    return status;
}

enum status tpm_make_quote(struct tpm *tpm, const uint8_t data[32], struct tpm_quote *quote)
{
    struct tpm_quote made = {0};
    enum status status = BUSY;
    if (tpm->ak == ESYS_TR_NONE)
        return WRONG_STATE;
    for (int i = 0; i < TRIES_MAX && status == BUSY; i++)
        status = quote_once(tpm, data, &made);
    if (status == OK)
        *quote = made;
    return status;
}

enum status tpm_counts(struct tpm *tpm, uint32_t *reset_count, uint32_t *restart_count)
{
    TPMS_TIME_INFO *now = NULL;

    TRY(tpm_check(tpm, Esys_ReadClock(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &now),
                  "reading the reset counter"));
    *reset_count = now->clockInfo.resetCount;
    *restart_count = now->clockInfo.restartCount;
    Esys_Free(now);
    return OK;
}

static enum status activate(struct tpm *tpm, ESYS_TR policy, const TPM2B_ID_OBJECT *id,
                            const TPM2B_ENCRYPTED_SECRET *encrypted, struct secret *secret)
{
    TPM2B_DIGEST *found = NULL;
    TRY(tpm_check(tpm,
                  Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, policy, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                    ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL),
                  "using the endorsement key"));
    TRY(tpm_check(
        tpm,
        Esys_ActivateCredential(tpm->esys, tpm->ak, tpm->ek, tpm->session, policy, ESYS_TR_NONE, id, encrypted, &found),
        "answering the challenge"));
    enum status status = secret_set(secret, bytes_from(found->buffer, found->size));
    wipe(found, sizeof *found);
    Esys_Free(found);
    return status;
}

enum status tpm_activate(struct tpm *tpm, struct bytes blob, struct secret *secret)
{
    TPM2B_ID_OBJECT id = {0};
    TPM2B_ENCRYPTED_SECRET encrypted = {0};
    size_t off = 0;
    ESYS_TR policy = ESYS_TR_NONE;
    if (tpm->ak == ESYS_TR_NONE)
        return WRONG_STATE;
    if (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(blob.data, blob.len, &off, &id) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(blob.data, blob.len, &off, &encrypted) != TSS2_RC_SUCCESS ||
        off != blob.len)
        return MALFORMED;
    TRY(tpm_start_session(tpm, TPM2_SE_POLICY, &policy));
    /* One session of a command may encrypt; the HMAC session does. */
    enum status status = tpm_check(
        tpm, Esys_TRSess_SetAttributes(tpm->esys, policy, TPMA_SESSION_CONTINUESESSION, 0xff), "setting up a session");
    if (status == OK)
        status = activate(tpm, policy, &id, &encrypted, secret);
    tpm_flush(tpm, &policy);
    return status == IO && !tpm->link.dead ? AUTH : status;
}

static enum status read_certificate(struct tpm *tpm, ESYS_TR index, size_t size, struct writer *der)
{
    for (size_t off = 0; off < size; off += CERTIFICATE_CHUNK) {
        TPM2B_MAX_NV_BUFFER *part = NULL;
        size_t want = size - off < CERTIFICATE_CHUNK ? size - off : CERTIFICATE_CHUNK;
        TRY(tpm_check(tpm,
                      Esys_NV_Read(tpm->esys, ESYS_TR_RH_OWNER, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                   (uint16_t)want, (uint16_t)off, &part),
                      "reading the endorsement certificate"));
        put_bytes(der, bytes_from(part->buffer, part->size));
        Esys_Free(part);
    }
    return writer_end(der);
}

enum status tpm_ek_certificate(struct tpm *tpm, struct writer *der)
{
    ESYS_TR index = ESYS_TR_NONE;
    TPM2B_NV_PUBLIC *area = NULL;
    struct writer made = *der;
    TRY(tpm_check(tpm,
                  Esys_TR_FromTPMPublic(tpm->esys, CERTIFICATE_INDEX, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index),
                  "looking for the endorsement certificate"));
    enum status status =
        tpm_check(tpm, Esys_NV_ReadPublic(tpm->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, NULL),
                  "looking for the endorsement certificate");
    if (status == OK)
        status = area->nvPublic.dataSize > TPM_CERTIFICATE_MAX
                     ? NOT_FOUND
                     : read_certificate(tpm, index, area->nvPublic.dataSize, &made);
    Esys_Free(area);
    (void)Esys_TR_Close(tpm->esys, &index);
    if (status == OK)
        *der = made;
    return status;
}
