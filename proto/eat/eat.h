/* eat: evidence as bytes — the monitor's report (an EAT, RFC 9711, in a COSE_Sign1) and the bundle that chains it to a
 * TPM. Never judges: whether evidence is good enough is the evidence room's. */
#ifndef BASTIDE_EAT_H
#define BASTIDE_EAT_H

#include "base.h"
#include "crypto.h"

#define EAT_HASH_LEN 32
#define EAT_USER_DATA_LEN 64
#define EAT_NONCE_MIN 8
#define EAT_NONCE_MAX 64
#define EAT_PRODUCT_MAX 64
#define EAT_PORT_MAX 16
#define EAT_REPORT_MAX 1024   /* bytes of a signed report */
#define EAT_EVIDENCE_MAX 8192 /* bytes of a bundle */
#define EAT_PCRS_MAX 24
#define EAT_PROFILE "tag:bastide,2026:report-1"

/* Walls that stand around an instance and switches of its node: bit set = it stands. */
enum eat_wall {
    EAT_WALL_SECRET_MEMORY = 1 << 0, /* all writable memory of the enclave is secret memory */
    EAT_WALL_NO_NEW_CODE = 1 << 1,   /* no mapping becomes executable after the lock */
    EAT_WALL_SYSCALL_FILTER = 1 << 2,
    EAT_WALL_NAMESPACES = 1 << 3,       /* mount, network, process and IPC namespaces of its own, all empty */
    EAT_WALL_OTHER_USER = 1 << 4,       /* runs as a user nobody else runs as */
    EAT_WALL_NON_DUMPABLE = 1 << 5,     /* no core, no ptrace by its own user */
    EAT_WALL_MONITOR_SECRET = 1 << 6,   /* the monitor's heap and stack are secret memory too */
    EAT_SWITCH_NO_PTRACE = 1 << 8,      /* Yama ptrace_scope=3 */
    EAT_SWITCH_LOCKDOWN = 1 << 9,       /* kernel lockdown: confidentiality */
    EAT_SWITCH_SECURE_BOOT = 1 << 10,   /* as the running kernel tells it */
    EAT_SWITCH_SIGNED_MODULES = 1 << 11 /* only signed kernel modules load, or none at all */
};

enum eat_mode { EAT_PRODUCTION = 1, EAT_INSECURE_DEV = 2 };

/* The claims. Strings borrow from the report they were decoded from. */
struct eat_report {
    uint8_t nonce[EAT_NONCE_MAX]; /* eat_nonce, RFC 9711 §4.1 */
    size_t nonce_len;             /* 0, or 8 to 64 */
    uint64_t time_s;              /* iat: the host's clock, untrusted */
    struct bytes port;            /* "linux" */
    enum eat_mode mode;
    uint8_t measurement[EAT_HASH_LEN];
    struct bytes product;
    uint32_t security_version;
    uint8_t signer[EAT_HASH_LEN];   /* hash of the signer's public key */
    uint8_t config[EAT_HASH_LEN];   /* config id */
    uint8_t workload[EAT_HASH_LEN]; /* zero: no workload manifest */
    uint8_t user_data[EAT_USER_DATA_LEN];
    uint32_t walls; /* enum eat_wall */
    uint64_t secret_bytes;
    uint64_t unprotected_bytes;
    bool monitor_measured; /* the boot chain vouches for the monitor */
    uint8_t monitor[EAT_HASH_LEN];
    /* freshness: what the highest is compared by, in this order */
    uint64_t nv_counter;
    uint32_t reset_count;
    uint32_t restart_count;
    uint64_t sequence; /* of the site's head */
    uint64_t since_s;  /* when the NV counter last moved, host clock */
};

/* Appends a tagged COSE_Sign1, ES256 by the report key. MALFORMED when a field is out of its range. */
MUST_USE enum status eat_report_sign(struct writer *writer, const struct crypto_key *report_key,
                                     const struct eat_report *report);
/* Verifies, then decodes: AUTH before anything of the payload is looked at. */
MUST_USE enum status eat_report_open(struct bytes sign1, const struct crypto_public *report_key,
                                     struct eat_report *report);
/* The payload alone, unsigned. */
void eat_put_report(struct writer *writer, const struct eat_report *report);
MUST_USE enum status eat_report_decode(struct bytes payload, struct eat_report *report);

/* The bundle, borrowing from its bytes. */
struct eat_evidence {
    struct bytes report;             /* COSE_Sign1 */
    struct crypto_public report_key; /* P-256 */
    struct bytes quote;              /* TPMS_ATTEST */
    struct bytes quote_signature;    /* ES256 as r || s */
    uint32_t pcr_mask;               /* bit n: pcrs[n] is given */
    uint8_t pcrs[EAT_PCRS_MAX][EAT_HASH_LEN];
    struct bytes ak;             /* TPMT_PUBLIC */
    struct bytes ek;             /* TPMT_PUBLIC */
    struct bytes ek_certificate; /* X.509 DER; empty when the TPM carries none */
};

void eat_put_evidence(struct writer *writer, const struct eat_evidence *evidence);
MUST_USE enum status eat_evidence_decode(struct bytes encoded, struct eat_evidence *evidence);

/* What the TPM quotes: SHA-256("bastide report key" || report public key (0x04 || x || y) || nonce). */
MUST_USE enum status eat_quote_data(const struct crypto_public *report_key, struct bytes nonce,
                                    uint8_t data[EAT_HASH_LEN]);

/* What a vTPM's report over its endorsement keys has as user data: SHA-256("bastide vtpm endorsement keys" || the
 * TPMT_PUBLIC of each), then zeros, or the launch digest (proto/image) of its VM where the monitor measured that. The
 * templates fix the length of each. */
#define EAT_LAUNCH_LEN 32 /* the latter half of the user data */
#define EAT_ENDORSEMENT_KEYS 3
MUST_USE enum status eat_endorsement_data(const struct bytes areas[EAT_ENDORSEMENT_KEYS],
                                          uint8_t data[EAT_USER_DATA_LEN]);
/* The same of a report over an attestation key of that TPM beside them: SHA-256("bastide vtpm attestation key" || the
 * three || u16 length, TPMT_PUBLIC || u16 length, qualified name), then as above. MALFORMED: a length past 16 bits. */
MUST_USE enum status eat_attestation_data(const struct bytes areas[EAT_ENDORSEMENT_KEYS], struct bytes ak,
                                          struct bytes qualified, uint8_t data[EAT_USER_DATA_LEN]);

#endif
