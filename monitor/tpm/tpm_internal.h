/* What the files of this room share: the connection, its sessions, and how a response code becomes a status. */
#ifndef BASTIDE_TPM_INTERNAL_H
#define BASTIDE_TPM_INTERNAL_H

#include "tpm.h"

#include <tss2/tss2_esys.h>

#define LINK_BUFFER_LEN                                                                                                \
    4096            /* the longest response a TPM may give (TPM2_PT_MAX_RESPONSE_SIZE of the PC Client profile) */
#define TRIES_MAX 5 /* when PCRs change under us */

/* A TCTI of our own: one descriptor, every wait bounded. Given to ESYS as a TSS2_TCTI_CONTEXT. */
struct tpm_link {
    TSS2_TCTI_CONTEXT_COMMON_V1 common;
    int fd;
    int timeout_ms;
    bool is_socket;
    bool dead;
};

struct tpm {
    struct tpm_link link;
    ESYS_CONTEXT *esys;
    ESYS_TR ek;
    ESYS_TR session; /* HMAC, salted to the EK, encrypting both ways */
    ESYS_TR ak;      /* ESYS_TR_NONE before tpm_use_root() */
    ESYS_TR counter; /* ESYS_TR_NONE until it is found */
    bool counter_ours;
    struct tpm_public_area ek_area;
    struct tpm_public_area ak_area;
    struct secret counter_auth; /* wiped with the rest by tpm_close() */
    char error[TPM_ERROR_MAX];
};

/* ---- link.c ---- */
MUST_USE enum status link_open(struct tpm_link *link, const char *tcti, bool insecure_dev, int timeout_ms,
                               char error[TPM_ERROR_MAX]);
void link_close(struct tpm_link *link);

/* ---- context.c ---- */
MUST_USE enum status tpm_context_make(void);

/* ---- session.c ---- */
/* OK for TSS2_RC_SUCCESS; otherwise keeps "doing: why" for tpm_error(). */
MUST_USE enum status tpm_check(struct tpm *tpm, TSS2_RC rc, const char *doing);
enum status tpm_refuse(struct tpm *tpm, enum status status, const char *sentence);
void tpm_flush(struct tpm *tpm, ESYS_TR *handle);
/* A policy or trial session, salted and encrypting like the other. */
MUST_USE enum status tpm_start_session(struct tpm *tpm, TPM2_SE kind, ESYS_TR *session);
/* The storage key everything of ours is under: recreated each time from the endorsement seed. */
MUST_USE enum status tpm_load_parent(struct tpm *tpm, ESYS_TR *parent);
MUST_USE enum status tpm_keep_area(struct tpm *tpm, const TPM2B_PUBLIC *area, struct tpm_public_area *out);
MUST_USE enum status tpm_make_area(struct tpm *tpm, const struct tpm2_public *wanted, TPM2B_PUBLIC *area);
void tpm_select_pcrs(uint32_t mask, TPML_PCR_SELECTION *selection);
/* At most eight at once; those of `mask` are filled in. */
MUST_USE enum status tpm_read_pcrs(struct tpm *tpm, uint32_t mask, uint8_t pcrs[TPM2_PCR_COUNT][32]);

/* ---- seal.c ---- */
/* Makes an object under `parent` and keeps both halves of it. */
MUST_USE enum status tpm_create_object(struct tpm *tpm, ESYS_TR parent, const TPM2B_SENSITIVE_CREATE *sensitive,
                                       const TPM2B_PUBLIC *area, struct tpm_object *object);
MUST_USE enum status tpm_load_object(struct tpm *tpm, const struct tpm_object *object, ESYS_TR *handle);

/* ---- quote.c ---- */
MUST_USE enum status tpm_make_ak(struct tpm *tpm, ESYS_TR parent, const uint8_t sealing_root[32],
                                 struct tpm_object *ak);

#endif
