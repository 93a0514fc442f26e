/* evidence: appraisal — is this the enclave, on the node, of the owner that the policy names, and is it fresh?
 * Never trusts a word of the evidence that does not hang on an anchor given beforehand; never does I/O. */
#ifndef BASTIDE_EVIDENCE_H
#define BASTIDE_EVIDENCE_H

#include "base.h"
#include "eat.h"
#include "tpm2.h"

/* Why evidence is refused: a bit each, in evidence_result.reasons. Weakest link first. */
enum evidence_reason {
    EVIDENCE_MALFORMED,        /* no evidence, or of another version; nothing else was looked at */
    EVIDENCE_OTHER_TPM,        /* the endorsement key is not the pinned one, or not an endorsement key */
    EVIDENCE_AK_UNPROVED,      /* nothing binds the attestation key to that TPM: no credential was activated */
    EVIDENCE_OTHER_AK,         /* not the attestation key that was proved earlier, or not a restricted signing key */
    EVIDENCE_QUOTE,            /* the TPM's quote does not verify, or is over other PCRs or another report key */
    EVIDENCE_REPORT_SIGNATURE, /* the report is not signed by the quoted report key */
    EVIDENCE_STALE_NONCE,      /* not the nonce that was asked for */
    EVIDENCE_MODE,             /* development mode where production is asked for */
    EVIDENCE_MONITOR,          /* the monitor is not measured by the boot chain, or is not an allowed one */
    EVIDENCE_PORT,             /* another port than asked for */
    EVIDENCE_MEASUREMENT,      /* none of the allowed measurements, and not the signer's product */
    EVIDENCE_SECURITY_VERSION, /* below the lowest allowed */
    EVIDENCE_CONFIG,           /* another owner, site or mode */
    EVIDENCE_WORKLOAD,
    EVIDENCE_USER_DATA,   /* bound to something else than expected: key, session, channel */
    EVIDENCE_WALLS,       /* a wall the policy requires does not stand */
    EVIDENCE_ROLLED_BACK, /* older than what was seen before */
    EVIDENCE_SESSION,     /* evidence of another EDHOC session, or of another instance's credential */
    EVIDENCE_REASON_COUNT,
};

/* What was seen last: hand it in next time. Evidence with any of the three lower is refused: a swap of table and store
 * while the monitor was down raises the counter, but not the sequence. */
struct evidence_freshness {
    uint64_t nv_counter;
    uint32_t reset_count;
    uint64_t sequence;
};

/* Reference values and what to insist on. A zeroed policy accepts nothing. Everything in it is borrowed. */
struct evidence_policy {
    struct bytes ek_name; /* TPM2_NAME_LEN: the pinned endorsement key. Empty: any EK, with allow_insecure_dev; or the
                             one in whose TPM ak_name was proved to be */
    struct bytes ak_name; /* TPM2_NAME_LEN: proved by activation; empty needs allow_unproved_ak */
    const uint8_t (*measurements)[EAT_HASH_LEN]; /* allowed exactly; or, when none matches, the signer below */
    size_t measurement_count;
    struct bytes signer;  /* EAT_HASH_LEN; empty: only the measurements count */
    struct bytes product; /* with signer */
    uint32_t min_security_version;
    const uint8_t (*boot_digests)[EAT_HASH_LEN]; /* quoted PCR digests of boot chains known to measure the monitor; the
                                                    report's own word for monitor=measured counts only with one */
    size_t boot_digest_count;
    const uint8_t (*monitors)[EAT_HASH_LEN]; /* allowed monitor hashes; none given: whatever that boot chain ran */
    size_t monitor_count;
    struct bytes config;     /* EAT_HASH_LEN, must be given */
    struct bytes config_dev; /* the same owner and site in development mode; only for the words; may be empty */
    struct bytes workload;   /* EAT_HASH_LEN; empty: any */
    struct bytes nonce;      /* must be given: 8 to 64 bytes */
    struct bytes user_data;  /* EAT_USER_DATA_LEN; empty: any */
    struct bytes port;       /* empty: "linux" */
    uint32_t required_walls;
    struct evidence_freshness seen; /* zero: nothing yet */
    bool allow_insecure_dev;
    bool allow_unmeasured_monitor;
    bool monitor_by_credential; /* the session's credential is of a key that only approved boot chains open, and was
                                   checked: then the report's own word for monitor=measured counts without a digest */
    bool allow_unproved_ak;     /* first contact: pin result.ak_name by evidence_challenge() before it counts */
};

/* Borrows from the evidence. Meaningful as far as `reasons` leaves it so: report when REPORT_SIGNATURE is clear. */
struct evidence_result {
    uint32_t reasons; /* bit n: enum evidence_reason n; 0: accepted */
    uint32_t judged;  /* the same bits: what was looked at; a broken link leaves what hangs on it unread */
    uint8_t ek_name[TPM2_NAME_LEN];
    uint8_t ak_name[TPM2_NAME_LEN];
    uint8_t pcr_digest[EAT_HASH_LEN]; /* as quoted; zero unless the quote's signature verified */
    struct bytes nonce;               /* the one it was made for */
    struct eat_report report;
    struct evidence_freshness freshness;
    bool monitor_measured; /* by a boot chain the policy knows, or monitor_by_credential: not the report's own word */
};

/* OK: appraised and accepted. DENIED: appraised and refused, result says why (MALFORMED evidence included). INTERNAL:
 * the policy itself lacks what it must have. */
MUST_USE enum status evidence_appraise(struct bytes evidence, const struct evidence_policy *policy,
                                       struct evidence_result *result);

struct attest_binder;

/* Evidence that came in EDHOC's message 4 (proto/attest): the launch's, and the session's that hangs on it. */
struct evidence_session {
    struct bytes evidence;              /* the value of EAD_4; empty: the hub gave none, which is malformed */
    const struct attest_binder *binder; /* this side's */
    struct bytes credential;            /* CRED_R as EDHOC verified it: DER, or claims set */
};

/* The same answers. policy->nonce is that of the session; policy->user_data is not looked at. */
MUST_USE enum status evidence_appraise_session(const struct evidence_session *session,
                                               const struct evidence_policy *policy, struct evidence_result *result);

/* One sentence for people, naming what differed; for one reason of a result. NUL-terminated, cut to cap. */
void evidence_sentence(enum evidence_reason reason, const struct evidence_policy *policy,
                       const struct evidence_result *result, char *text, size_t cap);

/* The same without the values that differed, for where they stand beside it. */
void evidence_headline(enum evidence_reason reason, const struct evidence_policy *policy,
                       const struct evidence_result *result, char *text, size_t cap);

/* ---- explain.c: the same appraisal as a chain, for people ---- */

/* Link by link, each hanging on those before it. */
enum evidence_link {
    EVIDENCE_LINK_EVIDENCE, /* it can be read */
    EVIDENCE_LINK_NONCE,
    EVIDENCE_LINK_TPM,             /* the endorsement key is the pinned one */
    EVIDENCE_LINK_ATTESTATION_KEY, /* was proved to live in it */
    EVIDENCE_LINK_QUOTE,           /* by that key, over PCRs, report key, nonce */
    EVIDENCE_LINK_REPORT,          /* by the report key that was quoted */
    EVIDENCE_LINK_MONITOR,         /* who holds the report key: what follows is his word */
    EVIDENCE_LINK_MODE,
    EVIDENCE_LINK_IMAGE, /* measurement, or signer and product; security version, port, workload */
    EVIDENCE_LINK_CONFIGURATION,
    EVIDENCE_LINK_WALLS,
    EVIDENCE_LINK_FRESHNESS,
    EVIDENCE_LINK_SESSION, /* the hub that answers is the one that is reported on */
    EVIDENCE_LINK_COUNT,
};

enum evidence_outcome {
    EVIDENCE_UNSEEN,   /* not looked at: something before it left nothing to look at, or nothing was asked for */
    EVIDENCE_HOLDS,    /* as expected */
    EVIDENCE_ALLOWED,  /* not as good as it can be, and the policy lets it pass */
    EVIDENCE_UNPROVED, /* would hold, but is the word of one that a link before it refused */
    EVIDENCE_REFUSED,
};

#define EVIDENCE_TEXT_MAX 800

struct evidence_step {
    enum evidence_outcome outcome;
    char expected[EVIDENCE_TEXT_MAX]; /* from the policy; empty where the sentence says it all */
    char found[EVIDENCE_TEXT_MAX];    /* from the evidence; so too */
    char why[EVIDENCE_TEXT_MAX];      /* sentences */
};

const char *evidence_link_word(enum evidence_link link); /* "monitor", "attestation-key" */
void evidence_explain(enum evidence_link link, const struct evidence_policy *policy,
                      const struct evidence_result *result, struct evidence_step *step);

/* "secret-memory" and what it means; in the order of bits. */
struct evidence_wall {
    uint32_t bit;
    const char *name;
    const char *stands;  /* what holds while it stands */
    const char *missing; /* what then does not, and how to raise it */
};
const struct evidence_wall *evidence_walls(size_t *count);
/* The names of these, "lockdown, secure-boot"; NUL-terminated, cut to cap. */
void evidence_walls_list(uint32_t walls, char *text, size_t cap);

/* Binds AK to EK: a blob only a TPM holding both answers with `secret`. Send it by MONITOR_ACTIVATE, compare with
 * ct_equal, then pin result.ak_name. Takes both keys from the evidence. */
MUST_USE enum status evidence_challenge(struct bytes evidence, struct bytes secret, struct writer *blob);

#endif
