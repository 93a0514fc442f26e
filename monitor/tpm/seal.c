/* A root that only approved boot chains compute: PolicyAuthorize over a signed PCR set (Part 1 §19.7.11), and the cap
 * that ends it. */
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

enum status tpm_present_pcrs(struct tpm *tpm, uint8_t pcrs[TPM2_PCR_COUNT][32], uint8_t policy[32])
{
    uint8_t read[TPM2_PCR_COUNT][32] = {{0}};
    TRY(tpm_read_pcrs(tpm, TPM_PCR_MASK, read));
    TRY(tpm2_pcr_policy(TPM_PCR_MASK, (const uint8_t(*)[32])read, policy));
    memcpy(pcrs, read, sizeof read);
    return OK;
}

/* Authorising the capped state would undo the cap for every boot to come. */
enum status tpm_authorise(struct tpm *tpm, const struct crypto_key *boot_signer, struct tpm2_approval *approval)
{
    uint8_t pcrs[TPM2_PCR_COUNT][32], policy[32], capped[32] = {0};
    TRY(tpm_present_pcrs(tpm, pcrs, policy));
    TRY(tpm2_cap(capped));
    if (memcmp(pcrs[TPM_CAP_PCR], capped, sizeof capped) == 0)
        return tpm_refuse(tpm, DENIED, "keys were unsealed or made earlier in this boot: reboot, then try again");
    return tpm2_approve(boot_signer, policy, approval);
}

/* What the key that computes the root must be, whoever wrote the file: made by this TPM, bound to it, and of no use but
 * by the boot signer's approval. */
static enum status root_template(const uint8_t signer_name[TPM2_NAME_LEN], struct tpm2_public *wanted)
{
    uint8_t policy[CRYPTO_HASH_MAX];
    TRY(authorize_digest(signer_name, policy));
    *wanted = (struct tpm2_public){.attributes = TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_ADMIN_WITH_POLICY |
                                                 TPM2_ATTRIBUTE_NO_DA | TPM2_ATTRIBUTE_DECRYPT,
                                   .has_policy = true};
    memcpy(wanted->policy, policy, sizeof wanted->policy);
    return OK;
}

/* A ticket that says: the boot signer signed this policy. */
static enum status verify_policy(struct tpm *tpm, const uint8_t boot_signer[65], const struct tpm2_approval *approval,
                                 TPM2B_NAME *name, TPMT_TK_VERIFIED **ticket)
{
    TPM2B_PUBLIC area;
    TPM2B_DIGEST digest = {.size = 32};
    TPMT_SIGNATURE signature = {
        .sigAlg = TPM2_ALG_ECDSA,
        .signature.ecdsa = {.hash = TPM2_ALG_SHA256, .signatureR = {.size = 32}, .signatureS = {.size = 32}}};
    uint8_t hash[CRYPTO_HASH_MAX];
    const struct bytes approved = BYTES_OF(approval->policy);
    ESYS_TR key = ESYS_TR_NONE;
    name->size = TPM2_NAME_LEN;
    TRY(signer_area(tpm, boot_signer, &area, name->name));
    TRY(crypto_hash(CRYPTO_SHA256, &approved, 1, hash));
    memcpy(digest.buffer, hash, 32);
    memcpy(signature.signature.ecdsa.signatureR.buffer, approval->signature, 32);
    memcpy(signature.signature.ecdsa.signatureS.buffer, approval->signature + 32, 32);
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

static enum status satisfy(struct tpm *tpm, ESYS_TR policy, const uint8_t boot_signer[65],
                           const struct tpm2_approval *approval)
{
    TPML_PCR_SELECTION selection;
    TPM2B_DIGEST approved = {.size = 32};
    static const TPM2B_NONCE no_ref;
    TPM2B_NAME name = {0};
    TPMT_TK_VERIFIED *ticket = NULL;
    memcpy(approved.buffer, approval->policy, 32);
    tpm_select_pcrs(TPM_PCR_MASK, &selection);
    TRY(verify_policy(tpm, boot_signer, approval, &name, &ticket));
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

/* The point the root is computed from: nobody knows its logarithm, or the key's public half would tell the root. */
static enum status root_point(TPM2B_ECC_POINT *point)
{
    struct crypto_public found;
    enum status status = MALFORMED;
    for (uint8_t count = 0; status != OK && count < 100; count++) {
        uint8_t x[CRYPTO_HASH_MAX];
        const struct bytes parts[] = {bytes_from_text("bastide: a point without a logarithm"),
                                      bytes_from(&count, sizeof count)};
        TRY(crypto_hash(CRYPTO_SHA256, parts, 2, x));
        status = crypto_public_import(&found, CRYPTO_P256, bytes_from(x, 32));
    }
    TRY(status);
    *point = (TPM2B_ECC_POINT){.point = {.x = {.size = 32}, .y = {.size = 32}}};
    memcpy(point->point.x.buffer, found.data + 1, 32);
    memcpy(point->point.y.buffer, found.data + 33, 32);
    return OK;
}

/* A TPM may give a coordinate without its leading zeros. */
static enum status expand(const TPM2B_ECC_POINT *shared, uint8_t root[TPM_ROOT_LEN])
{
    uint8_t x[32] = {0}, prk[CRYPTO_HASH_MAX];
    size_t len = shared->point.x.size;
    if (len == 0 || len > sizeof x)
        return MALFORMED;
    memcpy(x + sizeof x - len, shared->point.x.buffer, len);
    enum status status = crypto_hkdf_extract(CRYPTO_SHA256, (struct bytes){0}, BYTES_OF(x), prk);
    if (status == OK)
        status = crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, 32), bytes_from_text("bastide node root"), root,
                                    TPM_ROOT_LEN);
    wipe(x, sizeof x);
    wipe(prk, sizeof prk);
    return status;
}

static enum status compute_once(struct tpm *tpm, ESYS_TR key, const uint8_t boot_signer[65],
                                const struct tpm2_approval *approval, uint8_t root[TPM_ROOT_LEN])
{
    ESYS_TR policy = ESYS_TR_NONE;
    TPM2B_ECC_POINT point, *shared = NULL;
    TRY(root_point(&point));
    TRY(tpm_start_session(tpm, TPM2_SE_POLICY, &policy));
    enum status status = satisfy(tpm, policy, boot_signer, approval);
    if (status == OK)
        status = tpm_check(tpm, Esys_ECDH_ZGen(tpm->esys, key, policy, ESYS_TR_NONE, ESYS_TR_NONE, &point, &shared),
                           "opening the node's keys");
    tpm_flush(tpm, &policy);
    if (status == OK)
        status = expand(shared, root);
    if (shared)
        wipe(shared, sizeof *shared);
    Esys_Free(shared);
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

static enum status compute(struct tpm *tpm, const struct tpm_object *object, const uint8_t boot_signer[65],
                           const struct tpm2_approval *approval, uint8_t root[TPM_ROOT_LEN])
{
    ESYS_TR key = ESYS_TR_NONE;
    TRY(tpm_load_object(tpm, object, &key));
    enum status status = BUSY;
    for (int i = 0; i < TRIES_MAX && status == BUSY; i++)
        status = compute_once(tpm, key, boot_signer, approval, root);
    tpm_flush(tpm, &key);
    overwrite_buffers(tpm);
    if (status == DENIED)
        return tpm_refuse(tpm, DENIED,
                          "the TPM does not open the node's keys: they were unsealed earlier in this boot (the key "
                          "holder was lost: reboot), or the boot chain changed and nobody approved it");
    return status;
}

enum status tpm_seal(struct tpm *tpm, const uint8_t boot_signer[65], const struct tpm2_approval *approval,
                     uint8_t root[TPM_ROOT_LEN], struct tpm_sealed *sealed)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    struct tpm_sealed made = {.approval = *approval};
    struct tpm2_public wanted;
    TPM2B_PUBLIC area;
    uint8_t name[TPM2_NAME_LEN];
    ESYS_TR parent = ESYS_TR_NONE;
    memcpy(made.boot_signer, boot_signer, sizeof made.boot_signer);
    memcpy(made.ek_name, tpm->ek_area.name, sizeof made.ek_name);
    TRY(signer_area(tpm, boot_signer, &area, name));
    TRY(root_template(name, &wanted));
    TRY(tpm_make_area(tpm, &wanted, &area));
    area.publicArea.unique.ecc.x.size = area.publicArea.unique.ecc.y.size = 0;
    TRY(tpm_load_parent(tpm, &parent));
    enum status status = tpm_create_object(tpm, parent, &no_auth, &area, &made.root);
    tpm_flush(tpm, &parent);
    TRY(status);
    TRY(compute(tpm, &made.root, boot_signer, approval, root));
    TRY(tpm_load_parent(tpm, &parent));
    status = tpm_make_ak(tpm, parent, root + 32, &made.ak);
    tpm_flush(tpm, &parent);
    if (status == OK)
        *sealed = made;
    return status;
}

/* Anyone can make a key whose policy is ours; what it computes he learns only if he also chose it. */
static enum status check_root_key(struct tpm *tpm, const struct tpm_sealed *sealed)
{
    struct tpm2_public found, wanted;
    struct tpm_public_area kept;
    TPM2B_PUBLIC area = {0};
    uint8_t name[TPM2_NAME_LEN];
    size_t off = 0;
    TRY(signer_area(tpm, sealed->boot_signer, &area, name));
    TRY(root_template(name, &wanted));
    area = (TPM2B_PUBLIC){0};
    TRY(tpm_check(tpm, Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed->root.area, sealed->root.area_len, &off, &area),
                  "reading a sealed object"));
    TRY(tpm_keep_area(tpm, &area, &kept));
    if (tpm2_public_decode(bytes_from(kept.data, kept.len), &found) == OK && found.attributes == wanted.attributes &&
        found.has_policy && memcmp(found.policy, wanted.policy, sizeof found.policy) == 0)
        return OK;
    return tpm_refuse(tpm, AUTH, "the key that opens the node's keys is not one this TPM made under the boot signer");
}

enum status tpm_unseal(struct tpm *tpm, const struct tpm_sealed *sealed, const struct tpm2_approval *approval,
                       uint8_t root[TPM_ROOT_LEN])
{
    TRY(check_root_key(tpm, sealed));
    return compute(tpm, &sealed->root, sealed->boot_signer, approval, root);
}

enum status tpm_cap(struct tpm *tpm)
{
    TPML_DIGEST_VALUES values = {.count = 1, .digests[0] = {.hashAlg = TPM2_ALG_SHA256}};
    uint8_t hash[CRYPTO_HASH_MAX];
    const struct bytes what = bytes_from_text(TPM2_CAP_TEXT);
    TRY(crypto_hash(CRYPTO_SHA256, &what, 1, hash));
    memcpy(values.digests[0].digest.sha256, hash, 32);
    /* PCRs have no authorisation of their own; the session authenticates the TPM's answer. */
    return tpm_check(
        tpm, Esys_PCR_Extend(tpm->esys, ESYS_TR_PCR0 + TPM_CAP_PCR, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &values),
        "extending the cap PCR");
}
