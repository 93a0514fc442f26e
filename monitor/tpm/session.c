/* Opening a TPM: the EK made and checked, one HMAC session salted to it; response codes as statuses and sentences. */
#include "tpm_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>

#define HANDLES_MAX 16 /* a software TPM has three slots of each kind */

static const TPMT_SYM_DEF aes_cfb = {.algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};

enum status tpm_refuse(struct tpm *tpm, enum status status, const char *sentence)
{
    snprintf(tpm->error, sizeof tpm->error, "%s", sentence);
    return status;
}

static enum status status_of(TSS2_RC rc)
{
    if ((rc & TSS2_RC_LAYER_MASK) != TSS2_TPM_RC_LAYER)
        return rc == TSS2_ESYS_RC_RSP_AUTH_FAILED ? AUTH : IO;
    switch (rc & TPM2_RC_FMT1 ? rc & 0xbf : rc) {
    case TPM2_RC_HANDLE:
        return NOT_FOUND;
    case TPM2_RC_NV_UNINITIALIZED:
        return WRONG_STATE;
    case TPM2_RC_NV_DEFINED:
    case TPM2_RC_POLICY_FAIL:
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_VALUE:
        return DENIED;
    case TPM2_RC_INTEGRITY:
    case TPM2_RC_SIGNATURE:
        return AUTH;
    case TPM2_RC_PCR_CHANGED:
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_TESTING:
    case TPM2_RC_LOCKOUT:
        return BUSY;
    default:
        return IO;
    }
}

enum status tpm_check(struct tpm *tpm, TSS2_RC rc, const char *doing)
{
    if (rc == TSS2_RC_SUCCESS)
        return OK;
    if (tpm->link.dead)
        snprintf(tpm->error, sizeof tpm->error, "%s: the TPM hung up or gave no answer within %d ms", doing,
                 tpm->link.timeout_ms);
    else
        snprintf(tpm->error, sizeof tpm->error, "%s: %.120s", doing, Tss2_RC_Decode(rc));
    return status_of(rc);
}

const char *tpm_error(const struct tpm *tpm)
{
    return tpm->error;
}

bool tpm_is_dead(const struct tpm *tpm)
{
    return tpm->link.dead;
}

void tpm_flush(struct tpm *tpm, ESYS_TR *handle)
{
    if (*handle != ESYS_TR_NONE && !tpm->link.dead)
        (void)Esys_FlushContext(tpm->esys, *handle);
    *handle = ESYS_TR_NONE;
}

enum status tpm_keep_area(struct tpm *tpm, const TPM2B_PUBLIC *area, struct tpm_public_area *out)
{
    size_t len = 0;
    TRY(tpm_check(tpm, Tss2_MU_TPMT_PUBLIC_Marshal(&area->publicArea, out->data, sizeof out->data, &len),
                  "writing a public area down"));
    out->len = len;
    return tpm2_name(bytes_from(out->data, len), out->name);
}

enum status tpm_make_area(struct tpm *tpm, const struct tpm2_public *wanted, TPM2B_PUBLIC *area)
{
    uint8_t encoded[TPM2_PUBLIC_MAX];
    size_t off = 0;
    struct writer writer = writer_over(encoded, sizeof encoded);
    tpm2_put_public(&writer, wanted);
    TRY(writer_end(&writer));
    *area = (TPM2B_PUBLIC){0};
    return tpm_check(tpm, Tss2_MU_TPMT_PUBLIC_Unmarshal(encoded, writer.len, &off, &area->publicArea),
                     "making a key template");
}

void tpm_select_pcrs(uint32_t mask, TPML_PCR_SELECTION *selection)
{
    *selection = (TPML_PCR_SELECTION){.count = 1, .pcrSelections[0] = {.hash = TPM2_ALG_SHA256, .sizeofSelect = 3}};
    for (unsigned i = 0; i < 3; i++)
        selection->pcrSelections[0].pcrSelect[i] = (uint8_t)(mask >> (8 * i));
}

static enum status make_primary(struct tpm *tpm, const struct tpm2_public *wanted, ESYS_TR *handle, TPM2B_PUBLIC **made)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    TPM2B_PUBLIC area;
    TRY(tpm_make_area(tpm, wanted, &area));
    TSS2_RC rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                    &no_auth, &area, &no_data, &no_pcrs, handle, made, &data, &hash, &ticket);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    return tpm_check(tpm, rc, "making a primary key");
}

enum status tpm_load_parent(struct tpm *tpm, ESYS_TR *parent)
{
    const struct tpm2_public wanted = {.attributes = TPM2_ATTRIBUTES_FIXED | TPM2_ATTRIBUTE_USER_WITH_AUTH |
                                                     TPM2_ATTRIBUTE_NO_DA | TPM2_ATTRIBUTE_RESTRICTED |
                                                     TPM2_ATTRIBUTE_DECRYPT,
                                       .aes_cfb = true};
    TPM2B_PUBLIC *made = NULL;
    enum status status = make_primary(tpm, &wanted, parent, &made);
    Esys_Free(made);
    return status;
}

enum status tpm_start_session(struct tpm *tpm, TPM2_SE kind, ESYS_TR *session)
{
    TRY(tpm_check(tpm,
                  Esys_StartAuthSession(tpm->esys, tpm->ek, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                        NULL, kind, &aes_cfb, TPM2_ALG_SHA256, session),
                  "starting a session"));
    TPMA_SESSION flags = TPMA_SESSION_CONTINUESESSION;
    if (kind != TPM2_SE_TRIAL)
        flags |= TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
    return tpm_check(tpm, Esys_TRSess_SetAttributes(tpm->esys, *session, flags, 0xff), "setting up a session");
}

/* A software TPM has no resource manager: what a killed predecessor left loaded is flushed, or the slots run out. */
static enum status flush_leftovers(struct tpm *tpm, TPM2_HANDLE first)
{
    TPMS_CAPABILITY_DATA *found = NULL;
    TPMI_YES_NO more = 0;
    TRY(tpm_check(tpm,
                  Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first,
                                     HANDLES_MAX, &more, &found),
                  "listing loaded objects"));
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < found->data.handles.count; i++) {
        TPM2_HANDLE handle = found->data.handles.handle[i];
        uint8_t command[14], response[LINK_BUFFER_LEN];
        size_t len = sizeof response;
        struct writer writer = writer_over(command, sizeof command);
        put_u16be(&writer, TPM2_ST_NO_SESSIONS);
        put_u32be(&writer, sizeof command);
        put_u32be(&writer, TPM2_CC_FlushContext);
        put_u32be(&writer, handle);
        /* ESYS has no object for a handle it did not make, and reads no public area of a session. */
        TSS2_TCTI_CONTEXT *link = (TSS2_TCTI_CONTEXT *)&tpm->link.common;
        TSS2_RC rc = Tss2_Tcti_Transmit(link, sizeof command, command);
        if (rc == TSS2_RC_SUCCESS)
            rc = Tss2_Tcti_Receive(link, &len, response, TSS2_TCTI_TIMEOUT_BLOCK);
        status = tpm_check(tpm, rc, "flushing what a predecessor left");
    }
    Esys_Free(found);
    return status;
}

static enum status start_software(struct tpm *tpm)
{
    TSS2_RC rc = Esys_Startup(tpm->esys, TPM2_SU_CLEAR);
    if (rc != TPM2_RC_INITIALIZE) /* it was started already */
        TRY(tpm_check(tpm, rc, "starting the software TPM"));
    TRY(flush_leftovers(tpm, TPM2_TRANSIENT_FIRST));
    return flush_leftovers(tpm, TPM2_LOADED_SESSION_FIRST);
}

static enum status set_up(struct tpm *tpm, struct bytes ek_name)
{
    TPM2B_PUBLIC *made = NULL;
    struct tpm2_public wanted;
    if (tpm->link.is_socket)
        TRY(start_software(tpm));
    tpm2_ek_template(&wanted);
    enum status status = make_primary(tpm, &wanted, &tpm->ek, &made);
    if (status == OK)
        status = tpm_keep_area(tpm, made, &tpm->ek_area);
    Esys_Free(made);
    TRY(status);
    if (ek_name.len && !bytes_equal(ek_name, BYTES_OF(tpm->ek_area.name)))
        return tpm_refuse(tpm, AUTH,
                          "this is another TPM than the one the node's keys were made with, or something between "
                          "us and it answers in its place");
    return tpm_start_session(tpm, TPM2_SE_HMAC, &tpm->session);
}

enum status tpm_open(struct tpm **tpm, const char *tcti, bool insecure_dev, struct bytes ek_name, int timeout_ms,
                     char error[TPM_ERROR_MAX])
{
    struct tpm *made = calloc(1, sizeof *made);
    *tpm = NULL;
    snprintf(error, TPM_ERROR_MAX, "out of memory");
    if (!made)
        return NO_ROOM;
    made->link.fd = -1;
    made->ek = made->session = made->ak = made->counter = ESYS_TR_NONE;
    setenv("TSS2_LOG", "all+none", 0); /* what failed is said once, by us */
    enum status status = tpm_context_make();
    if (status == OK)
        status = link_open(&made->link, tcti, insecure_dev, timeout_ms, error);
    if (status == OK) {
        status = tpm_check(made, Esys_Initialize(&made->esys, (TSS2_TCTI_CONTEXT *)&made->link.common, NULL),
                           "setting up the TPM library");
        if (status == OK)
            status = set_up(made, ek_name);
        if (status != OK)
            snprintf(error, TPM_ERROR_MAX, "%s", made->error);
    }
    if (status != OK)
        tpm_close(made);
    else
        *tpm = made;
    return status;
}

void tpm_close(struct tpm *tpm)
{
    if (!tpm)
        return;
    if (tpm->esys) {
        tpm_flush(tpm, &tpm->ak);
        tpm_flush(tpm, &tpm->session);
        tpm_flush(tpm, &tpm->ek);
        Esys_Finalize(&tpm->esys);
    }
    link_close(&tpm->link);
    wipe(tpm, sizeof *tpm);
    free(tpm);
}

void tpm_ek(const struct tpm *tpm, struct tpm_public_area *ek)
{
    *ek = tpm->ek_area;
}
