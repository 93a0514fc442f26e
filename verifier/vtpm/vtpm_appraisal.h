/* vtpm_appraisal: are these the endorsement keys of a vTPM that lives in the enclave, on the node, of the owner that
 * the policy names? And is this quote by a key of that vTPM? Never lets a key out that hangs on less; never does I/O.
 * RSA by libcrypto itself: VMs' attestation keys are of their tools' choice, on the owner's machine only. */
#ifndef BASTIDE_VTPM_APPRAISAL_H
#define BASTIDE_VTPM_APPRAISAL_H

#include "base.h"
#include "evidence.h"
#include "image.h"
#include "tpm2.h"

struct vtpm_appraisal {
    enum status said;                /* by the vTPM itself; when not OK it gave neither keys nor evidence */
    struct evidence_result evidence; /* why it is refused; borrows from the answer, as the report in it does */
    bool measured; /* by the monitor, before the vTPM began; else what its VM is started from is its host's word */
    struct image_launch launch;         /* if so */
    struct tpm2_ek keys[TPM2_EK_KINDS]; /* by enum tpm2_ek_kind; zero unless accepted */
};

/* `answer` as proto/vtpm has it. The policy is that of evidence_appraise(), its nonce the one asked with; what it says
 * of user_data is not looked at: that is over the keys. OK: accepted. DENIED: refused, evidence.reasons or `said` say
 * why (an answer that cannot be read is EVIDENCE_MALFORMED). INTERNAL: the policy lacks what it must have. */
MUST_USE enum status vtpm_appraise(struct bytes answer, const struct evidence_policy *policy,
                                   struct vtpm_appraisal *appraisal);

/* ---- walk.c: from the node's hardware to what a VM says of itself (deep attestation) ---- */

/* What a VM gave, and what it is held to. Everything is borrowed. */
struct vtpm_quote {
    struct bytes attest, signature;      /* TPMS_ATTEST, TPMT_SIGNATURE */
    struct bytes nonce;                  /* it was asked for with; 8 to 64 bytes */
    uint32_t pcr_mask;                   /* values are expected of exactly these; 0: of none, and any will do */
    const uint8_t (*pcrs)[EAT_HASH_LEN]; /* TPM2_PCR_COUNT of them, those of the mask counting */
    struct bytes certificate;            /* of one of the endorsement keys, DER; empty: not looked at */
    struct bytes authorities;            /* PEM: who may have signed it */
    int64_t now_s;
    bool measured_launch; /* insist that the monitor measured what the VM was started from */
};

/* After the links of enum evidence_link, which lead from the TPM to the enclave; SESSION among them has no meaning. */
enum vtpm_link {
    VTPM_LINK_KEYS,            /* the enclave reported on these endorsement keys and this attestation key */
    VTPM_LINK_CERTIFICATE,     /* one of them is certified */
    VTPM_LINK_LAUNCH,          /* the monitor measured what the VM is started from, before the vTPM began */
    VTPM_LINK_ATTESTATION_KEY, /* it never leaves the vTPM, and signs no quote that is not its own */
    VTPM_LINK_QUOTE,           /* it signed this one */
    VTPM_LINK_NONCE,
    VTPM_LINK_PCRS,
    VTPM_LINK_COUNT,
};

struct vtpm_walk {
    struct vtpm_appraisal vtpm;
    uint32_t refused, judged; /* bit n: enum vtpm_link n */
    struct tpm2_signer ak;    /* as the answer has it */
    bool restricted;          /* and it is an attestation key's */
    uint8_t ak_name[TPM2_NAME_LEN];
    struct tpm2_attest attest; /* as far as QUOTE is judged and not refused; borrows */
    char certificate_why[256];
};

/* The answer is to a question for an attestation key too. As vtpm_appraise(): OK only when every link holds. */
MUST_USE enum status vtpm_walk(const struct vtpm_quote *quote, struct bytes answer,
                               const struct evidence_policy *policy, struct vtpm_walk *walk);

const char *vtpm_link_word(enum vtpm_link link); /* "vm-quote" */
/* As evidence_explain(), of a vtpm_walk()'s links. */
void vtpm_explain(enum vtpm_link link, const struct vtpm_quote *quote, const struct vtpm_walk *walk,
                  struct evidence_step *step);

#endif
