/* Sealing to a boot chain: PolicyAuthorize over a signed PCR set (Part 1 §19.7.11), and the cap that ends unsealing. */
#include "tpm_internal.h"

#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#define OVERWRITE_LEN 1024 /* TPM2_MAX_DIGEST_BUFFER */

enum status tpm_create_object(struct tpm *tpm, ESYS_TR parent, const TPM2B_SENSITIVE_CREATE *sensitive,
                              const TPM2B_PUBLIC *area, struct tpm_object *object)
{
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    TPM2B_PRIVATE *private_half = NULL;
    TPM2B_PUBLIC *public_half = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    struct tpm_object made = {0};
    enum status status =
        tpm_check(tpm,
                  Esys_Create(tpm->esys, parent, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, sensitive, area, &no_data,
                              &no_pcrs, &private_half, &public_half, &data, &hash, &ticket),
                  "making an object");
    if (status == OK)
        status = tpm_check(tpm, Tss2_MU_TPM2B_PUBLIC_Marshal(public_half, made.area, sizeof made.area, &made.area_len),
                           "writing an object down");
    if (status == OK)
        status = tpm_check(
            tpm,
            Tss2_MU_TPM2B_PRIVATE_Marshal(private_half, made.sensitive, sizeof made.sensitive, &made.sensitive_len),
            "writing an object down");
    Esys_Free(private_half);
    Esys_Free(public_half);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    if (status == OK)
        *object = made;
    return status;
}

enum status tpm_load_object(struct tpm *tpm, const struct tpm_object *object, ESYS_TR *handle)
{
    TPM2B_PUBLIC area = {0};
    TPM2B_PRIVATE sensitive = {0};
    size_t off = 0;
    TRY(tpm_check(tpm, Tss2_MU_TPM2B_PUBLIC_Unmarshal(object->area, object->area_len, &off, &area),
                  "reading a sealed object"));
    off = 0;
    TRY(tpm_check(tpm, Tss2_MU_TPM2B_PRIVATE_Unmarshal(object->sensitive, object->sensitive_len, &off, &sensitive),
                  "reading a sealed object"));
    ESYS_TR parent = ESYS_TR_NONE;
    TRY(tpm_load_parent(tpm, &parent));
    enum status status = tpm_check(
        tpm, Esys_Load(tpm->esys, parent, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &area, handle),
        "loading an object that this TPM must have made");
    tpm_flush(tpm, &parent);
    return status;
}

/* The boot signer's key as the TPM names it. */
static enum status signer_area(struct tpm *tpm, const uint8_t boot_signer[65], TPM2B_PUBLIC *area,
                               uint8_t name[TPM2_NAME_LEN])
{
    struct tpm2_public wanted = {.attributes = TPM2_ATTRIBUTE_SIGN | TPM2_ATTRIBUTE_USER_WITH_AUTH, .ecdsa = true};
    uint8_t encoded[TPM2_PUBLIC_MAX];
    memcpy(wanted.x, boot_signer + 1, sizeof wanted.x);
    memcpy(wanted.y, boot_signer + 33, sizeof wanted.y);
    struct writer writer = writer_over(encoded, sizeof encoded);
    tpm2_put_public(&writer, &wanted);
    TRY(tpm2_name(writer_bytes(&writer), name));
    return tpm_make_area(tpm, &wanted, area);
}

/* PolicyUpdate(TPM_CC_PolicyAuthorize, name, empty policyRef), from zero (Part 3 §23.16). */
static enum status authorize_digest(const uint8_t name[TPM2_NAME_LEN], uint8_t digest[CRYPTO_HASH_MAX])
{
    static const uint8_t zero[32], command[4] = {0, 0, 0x01, 0x6a};
    const struct bytes first[] = {BYTES_OF(zero), BYTES_OF(command), bytes_from(name, TPM2_NAME_LEN)};
    TRY(crypto_hash(CRYPTO_SHA256, first, 3, digest));
    uint8_t inner[32];
    memcpy(inner, digest, sizeof inner);
    const struct bytes second = BYTES_OF(inner);
    return crypto_hash(CRYPTO_SHA256, &second, 1, digest);
}

enum status tpm_present_policy(struct tpm *tpm, uint8_t policy[32])
{
    ESYS_TR trial = ESYS_TR_NONE;
    TPML_PCR_SELECTION selection;
    TPM2B_DIGEST *digest = NULL;
    tpm_select_pcrs(TPM_PCR_MASK, &selection);
    TRY(tpm_start_session(tpm, TPM2_SE_TRIAL, &trial));
    enum status status =
        tpm_check(tpm, Esys_PolicyPCR(tpm->esys, trial, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &selection),
                  "reading the boot chain");
    if (status == OK)
        status =
            tpm_check(tpm, Esys_PolicyGetDigest(tpm->esys, trial, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest),
                      "reading the boot chain");
    tpm_flush(tpm, &trial);
    if (status == OK && digest->size == 32)
        memcpy(policy, digest->buffer, 32);
    else if (status == OK)
        status = IO;
    Esys_Free(digest);
    return status;
}

static enum status cap_value(uint8_t value[32])
{
    uint8_t hash[CRYPTO_HASH_MAX];
    const struct bytes what = bytes_from_text("bastide: unsealed, no more in this boot");
    TRY(crypto_hash(CRYPTO_SHA256, &what, 1, hash));
    memcpy(value, hash, 32);
    return OK;
}

/* Authorising the capped state would undo the cap for every boot to come. */
static enum status refuse_capped(struct tpm *tpm)
{
    static const uint8_t reset[32];
    uint8_t cap[32], hash[CRYPTO_HASH_MAX], pcrs[TPM2_PCR_COUNT][32] = {{0}};
    TRY(cap_value(cap));
    const struct bytes parts[] = {BYTES_OF(reset), BYTES_OF(cap)};
    TRY(crypto_hash(CRYPTO_SHA256, parts, 2, hash));
    TRY(tpm_read_pcrs(tpm, 1u << TPM_CAP_PCR, pcrs));
    if (memcmp(pcrs[TPM_CAP_PCR], hash, 32) == 0)
        return tpm_refuse(tpm, DENIED, "keys were unsealed or made earlier in this boot: reboot, then try again");
    return OK;
}

enum status tpm_authorise(struct tpm *tpm, const struct crypto_key *boot_signer, struct tpm_sealed *sealed)
{
    uint8_t policy[32];
    TRY(refuse_capped(tpm));
    TRY(tpm_present_policy(tpm, policy));
    const struct bytes signed_part = BYTES_OF(policy);
    TRY(crypto_sign(boot_signer, &signed_part, 1, sealed->signature));
    memcpy(sealed->approved_policy, policy, sizeof policy);
    return OK;
}

static enum status seal_under(struct tpm *tpm, ESYS_TR parent, const uint8_t root[TPM_ROOT_LEN],
                              struct tpm_sealed *sealed)
{
    TPM2B_PUBLIC signer;
    uint8_t name[TPM2_NAME_LEN], policy[CRYPTO_HASH_MAX];
    TRY(signer_area(tpm, sealed->boot_signer, &signer, name));
    TRY(authorize_digest(name, policy));
    TPM2B_PUBLIC area = {.publicArea = {.type = TPM2_ALG_KEYEDHASH,
                                        .nameAlg = TPM2_ALG_SHA256,
                                        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                            TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_NODA,
                                        .authPolicy = {.size = 32},
                                        .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    memcpy(area.publicArea.authPolicy.buffer, policy, 32);
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = TPM_ROOT_LEN};
    memcpy(sensitive.sensitive.data.buffer, root, TPM_ROOT_LEN);
    enum status status = tpm_create_object(tpm, parent, &sensitive, &area, &sealed->root);
    wipe(&sensitive, sizeof sensitive);
    TRY(status);
    return tpm_make_ak(tpm, parent, root + 32, &sealed->ak);
}

enum status tpm_seal(struct tpm *tpm, const uint8_t root[TPM_ROOT_LEN], const struct crypto_key *boot_signer,
                     struct tpm_sealed *sealed)
{
    struct tpm_sealed made = {0};
    ESYS_TR parent = ESYS_TR_NONE;
    if (boot_signer->public_key.len != sizeof made.boot_signer)
        return MALFORMED;
    memcpy(made.boot_signer, boot_signer->public_key.data, sizeof made.boot_signer);
    memcpy(made.ek_name, tpm->ek_area.name, sizeof made.ek_name);
    TRY(tpm_authorise(tpm, boot_signer, &made));
    TRY(tpm_load_parent(tpm, &parent));
    enum status status = seal_under(tpm, parent, root, &made);
    tpm_flush(tpm, &parent);
    if (status == OK)
        *sealed = made;
    return status;
}

/* A ticket that says: the boot signer signed this policy. */
static enum status verify_policy(struct tpm *tpm, const struct tpm_sealed *sealed, TPM2B_NAME *name,
                                 TPMT_TK_VERIFIED **ticket)
{
    TPM2B_PUBLIC area;
    TPM2B_DIGEST digest = {.size = 32};
    TPMT_SIGNATURE signature = {
        .sigAlg = TPM2_ALG_ECDSA,
        .signature.ecdsa = {.hash = TPM2_ALG_SHA256, .signatureR = {.size = 32}, .signatureS = {.size = 32}}};
    uint8_t hash[CRYPTO_HASH_MAX];
    const struct bytes approved = BYTES_OF(sealed->approved_policy);
    ESYS_TR key = ESYS_TR_NONE;
    name->size = TPM2_NAME_LEN;
    TRY(signer_area(tpm, sealed->boot_signer, &area, name->name));
    TRY(crypto_hash(CRYPTO_SHA256, &approved, 1, hash));
    memcpy(digest.buffer, hash, 32);
    memcpy(signature.signature.ecdsa.signatureR.buffer, sealed->signature, 32);
    memcpy(signature.signature.ecdsa.signatureS.buffer, sealed->signature + 32, 32);
    TRY(tpm_check(
        tpm,
        Esys_LoadExternal(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &area, ESYS_TR_RH_OWNER, &key),
        "loading the boot signer's key"));
    enum status status = tpm_check(
        tpm,
        Esys_VerifySignature(tpm->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &signature, ticket),
        "checking the boot signer's signature");
    tpm_flush(tpm, &key);
    return status;
}

static enum status satisfy(struct tpm *tpm, ESYS_TR policy, const struct tpm_sealed *sealed)
{
    TPML_PCR_SELECTION selection;
    TPM2B_DIGEST approved = {.size = 32};
    static const TPM2B_NONCE no_ref;
    TPM2B_NAME name = {0};
    TPMT_TK_VERIFIED *ticket = NULL;
    memcpy(approved.buffer, sealed->approved_policy, 32);
    tpm_select_pcrs(TPM_PCR_MASK, &selection);
    TRY(verify_policy(tpm, sealed, &name, &ticket));
    enum status status =
        tpm_check(tpm, Esys_PolicyPCR(tpm->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &selection),
                  "reading the boot chain");
    if (status == OK)
        status = tpm_check(tpm,
                           Esys_PolicyAuthorize(tpm->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &approved,
                                                &no_ref, &name, ticket),
                           "comparing the boot chain");
    Esys_Free(ticket);
    return status;
}

static enum status unseal_once(struct tpm *tpm, ESYS_TR object, const struct tpm_sealed *sealed,
                               uint8_t root[TPM_ROOT_LEN])
{
    ESYS_TR policy = ESYS_TR_NONE;
    TPM2B_SENSITIVE_DATA *data = NULL;
    TRY(tpm_start_session(tpm, TPM2_SE_POLICY, &policy));
    enum status status = satisfy(tpm, policy, sealed);
    if (status == OK)
        status = tpm_check(tpm, Esys_Unseal(tpm->esys, object, policy, ESYS_TR_NONE, ESYS_TR_NONE, &data),
                           "unsealing the node's keys");
    tpm_flush(tpm, &policy);
    if (status == OK && data->size == TPM_ROOT_LEN)
        memcpy(root, data->buffer, TPM_ROOT_LEN);
    else if (status == OK)
        status = MALFORMED;
    if (data)
        wipe(data, sizeof *data);
    Esys_Free(data);
    return status;
}

/* ESYS keeps the last command and response in one buffer: a long command overwrites what Unseal left there. */
static void overwrite_buffers(struct tpm *tpm)
{
    static const TPM2B_MAX_BUFFER zeros = {.size = OVERWRITE_LEN};
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_HASHCHECK *ticket = NULL;
    (void)Esys_Hash(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &zeros, TPM2_ALG_SHA256, ESYS_TR_RH_NULL,
                    &hash, &ticket);
    Esys_Free(hash);
    Esys_Free(ticket);
}

enum status tpm_unseal(struct tpm *tpm, const struct tpm_sealed *sealed, uint8_t root[TPM_ROOT_LEN])
{
    ESYS_TR object = ESYS_TR_NONE;
    TRY(tpm_load_object(tpm, &sealed->root, &object));
    enum status status = BUSY;
    for (int i = 0; i < TRIES_MAX && status == BUSY; i++)
        status = unseal_once(tpm, object, sealed, root);
    tpm_flush(tpm, &object);
    overwrite_buffers(tpm);
    if (status == DENIED)
        return tpm_refuse(tpm, DENIED,
                          "the TPM does not unseal the node's keys: they were unsealed earlier in this boot (the key "
                          "holder was lost: reboot), or the boot chain changed and nobody authorised it");
    return status;
}

enum status tpm_cap(struct tpm *tpm)
{
    TPML_DIGEST_VALUES values = {.count = 1, .digests[0] = {.hashAlg = TPM2_ALG_SHA256}};
    TRY(cap_value(values.digests[0].digest.sha256));
    /* PCRs have no authorisation of their own; the session authenticates the TPM's answer. */
    return tpm_check(
        tpm, Esys_PCR_Extend(tpm->esys, ESYS_TR_PCR0 + TPM_CAP_PCR, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &values),
        "extending the cap PCR");
}
