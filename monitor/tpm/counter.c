/* The node's one NV counter. Its authorisation comes from the sealing root, so a redefined index answers to nobody. */
#include "tpm_internal.h"

#include <string.h>

#define COUNTER_LEN 8
#define ATTRIBUTES                                                                                                     \
    ((TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHWRITE | TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD |           \
     TPMA_NV_NO_DA)

static enum status give_auth(struct tpm *tpm)
{
    TPM2B_AUTH auth = {.size = (uint16_t)tpm->counter_auth.len};
    memcpy(auth.buffer, tpm->counter_auth.data, tpm->counter_auth.len);
    enum status status = tpm_check(tpm, Esys_TR_SetAuth(tpm->esys, tpm->counter, &auth), "using the counter");
    wipe(&auth, sizeof auth);
    return status;
}

/* Finds the index, whoever made it. */
static enum status find(struct tpm *tpm)
{
    if (tpm->counter != ESYS_TR_NONE)
        return OK;
    enum status status = tpm_check(
        tpm, Esys_TR_FromTPMPublic(tpm->esys, TPM_NV_INDEX, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tpm->counter),
        "looking for the counter");
    if (status != OK)
        tpm->counter = ESYS_TR_NONE;
    return status;
}

/* Whose an index is, is looked at once: its name is part of every command's HMAC, and attributes of the name, so of one
 * that was redefined since nothing can be read. */
static enum status look(struct tpm *tpm)
{
    TPM2B_NV_PUBLIC *area = NULL;
    TRY(tpm_check(tpm,
                  Esys_NV_ReadPublic(tpm->esys, tpm->counter, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, NULL),
                  "looking at the counter"));
    tpm->counter_ours = (area->nvPublic.attributes & ~(TPMA_NV)TPMA_NV_WRITTEN) == ATTRIBUTES;
    Esys_Free(area);
    if (!tpm->counter_ours)
        return tpm_refuse(tpm, DENIED,
                          "the TPM's counter was redefined by someone else: the node cannot tell what "
                          "is fresh; re-initialise with a token of the owner");
    return OK;
}

static enum status find_ours(struct tpm *tpm)
{
    if (tpm->counter_auth.len == 0)
        return WRONG_STATE;
    TRY(find(tpm));
    if (!tpm->counter_ours)
        TRY(look(tpm));
    return give_auth(tpm);
}

/* A command that failed may have met another index than the one that was looked at. */
static enum status after(struct tpm *tpm, enum status status)
{
    if (status == OK)
        return OK;
    tpm->counter_ours = false;
    return !tpm->link.dead && look(tpm) == DENIED ? DENIED : status;
}

static enum status value_of(const TPM2B_MAX_NV_BUFFER *data, uint64_t *value)
{
    struct reader reader = reader_over(bytes_from(data->buffer, data->size));
    uint64_t got = take_u64be(&reader);
    TRY(reader_end(&reader));
    *value = got;
    return OK;
}

/* `by` authorises: the index itself in our session, or the TPM's owner. */
static enum status read_by(struct tpm *tpm, ESYS_TR by, ESYS_TR session, uint64_t *value)
{
    TPM2B_MAX_NV_BUFFER *data = NULL;
    enum status status = tpm_check(
        tpm, Esys_NV_Read(tpm->esys, by, tpm->counter, session, ESYS_TR_NONE, ESYS_TR_NONE, COUNTER_LEN, 0, &data),
        "reading the counter");
    if (status == OK)
        status = value_of(data, value);
    Esys_Free(data);
    return status;
}

enum status tpm_counter_read(struct tpm *tpm, uint64_t *value)
{
    TRY(find_ours(tpm));
    return after(tpm, read_by(tpm, tpm->counter, tpm->session, value));
}

enum status tpm_counter_increment(struct tpm *tpm, uint64_t *value)
{
    TRY(find_ours(tpm));
    enum status status = tpm_check(
        tpm, Esys_NV_Increment(tpm->esys, tpm->counter, tpm->counter, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE),
        "moving the counter");
    if (status == OK)
        status = read_by(tpm, tpm->counter, tpm->session, value);
    return after(tpm, status);
}

enum status tpm_counter_create(struct tpm *tpm, uint64_t *value)
{
    TPM2B_AUTH auth = {.size = (uint16_t)tpm->counter_auth.len};
    const TPM2B_NV_PUBLIC area = {
        .nvPublic = {
            .nvIndex = TPM_NV_INDEX, .nameAlg = TPM2_ALG_SHA256, .attributes = ATTRIBUTES, .dataSize = COUNTER_LEN}};
    if (tpm->counter_auth.len == 0)
        return WRONG_STATE;
    memcpy(auth.buffer, tpm->counter_auth.data, tpm->counter_auth.len);
    enum status status = tpm_check(tpm,
                                   Esys_NV_DefineSpace(tpm->esys, ESYS_TR_RH_OWNER, tpm->session, ESYS_TR_NONE,
                                                       ESYS_TR_NONE, &auth, &area, &tpm->counter),
                                   "making the counter");
    wipe(&auth, sizeof auth);
    if (status != OK) {
        tpm->counter = ESYS_TR_NONE;
        return status;
    }
    return tpm_counter_increment(tpm, value);
}

enum status tpm_counter_peek(struct tpm *tpm, uint64_t *value)
{
    TRY(find(tpm));
    return read_by(tpm, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, value);
}

enum status tpm_counter_remove(struct tpm *tpm)
{
    TRY(find(tpm));
    enum status status = tpm_check(
        tpm,
        Esys_NV_UndefineSpace(tpm->esys, ESYS_TR_RH_OWNER, tpm->counter, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
        "removing the counter");
    tpm->counter = ESYS_TR_NONE;
    tpm->counter_ours = false;
    return status;
}
