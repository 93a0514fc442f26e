/* image: what is measured — the image's signed manifest, the launch configuration, the workload manifest or a VM's
 * policy — and the owner's word that a node may begin anew: encode, check, hash. Never reads a file; whoever holds the
 * bytes hands them in. All of it is deterministic CBOR. */
#ifndef BASTIDE_IMAGE_H
#define BASTIDE_IMAGE_H

#include "base.h"
#include "crypto.h"

#define IMAGE_HASH_LEN 32
#define IMAGE_NAME_MAX 63 /* of a file in the image: letters, digits, . _ - ; never a path */
#define IMAGE_PRODUCT_MAX 63
#define IMAGE_FILES_MAX 16 /* the program, then modules each followed by its policy */
#define IMAGE_MANIFEST_MAX 4096
#define IMAGE_SITE_LEN 16
#define IMAGE_CONFIGURATION_MAX 4096
#define IMAGE_WORKLOAD_MAX 16384
#define IMAGE_TASKS_MAX 64

/* An image is a directory: "manifest" (COSE_Sign1, ES256, by the signer) and the files it names. */
#define IMAGE_MANIFEST_NAME "manifest"

enum image_file_kind { IMAGE_PROGRAM = 1, IMAGE_MODULE = 2, IMAGE_POLICY = 3 };

struct image_file {
    char name[IMAGE_NAME_MAX + 1];
    enum image_file_kind kind; /* files[0] is the program, the only one; a module is followed by its policy */
    uint64_t len;
    uint8_t hash[IMAGE_HASH_LEN];
};

struct image_manifest {
    char product[IMAGE_PRODUCT_MAX + 1];
    uint32_t security_version;
    struct crypto_public signer; /* P-256, inside the signed payload too */
    struct image_file files[IMAGE_FILES_MAX];
    size_t file_count;
};

/* Appends the COSE_Sign1. MALFORMED when a field is out of its range. `signer` in the manifest is taken from the key.
 */
MUST_USE enum status image_manifest_sign(struct writer *writer, const struct crypto_key *signer,
                                         const struct image_manifest *manifest);
/* Verifies by the signer's key inside it, then decodes; whether that signer is wanted is the caller's to decide.
 * `measurement` = SHA-256 of the payload (the manifest proper: signatures differ from run to run). */
MUST_USE enum status image_manifest_open(struct bytes sign1, struct image_manifest *manifest,
                                         uint8_t measurement[IMAGE_HASH_LEN]);
/* SHA-256 of the signer's key (0x04 || x || y): eat_report.signer. */
void image_signer_hash(const struct image_manifest *manifest, uint8_t hash[IMAGE_HASH_LEN]);
/* SHA-256 over the signer's hash and the product: monitor_seal_inputs.signer. */
void image_seal_signer(const struct image_manifest *manifest, uint8_t hash[IMAGE_HASH_LEN]);
/* The file's bytes against its entry: AUTH when length or hash differ. */
MUST_USE enum status image_file_check(const struct image_file *file, struct bytes content);

/* The launch configuration: whose node this is. {1: owner certificate DER, 2: site id, 3: "production" or
 * "insecure-dev"}. Config id = SHA-256 of its bytes. */
struct image_configuration {
    struct bytes certificate;   /* borrows */
    struct crypto_public owner; /* decoding: from the certificate; P-256 */
    uint8_t site[IMAGE_SITE_LEN];
    bool insecure_dev;
    uint8_t config_id[IMAGE_HASH_LEN]; /* decoding only */
};

void image_put_configuration(struct writer *writer, const struct image_configuration *configuration);
MUST_USE enum status image_configuration_decode(struct bytes encoded, struct image_configuration *configuration);

/* The workload manifest: the task modules this site runs, signed by the owner (COSE_Sign1 over an array of triples).
 * Workload = SHA-256 of the payload; an empty input is no workload and the zero hash. */
struct image_task {
    uint8_t wasm[IMAGE_HASH_LEN], object[IMAGE_HASH_LEN], policy[IMAGE_HASH_LEN];
};

struct image_workload {
    struct image_task tasks[IMAGE_TASKS_MAX];
    size_t count;
    uint8_t hash[IMAGE_HASH_LEN];
};

MUST_USE enum status image_workload_sign(struct writer *writer, const struct crypto_key *owner,
                                         const struct image_workload *workload);
MUST_USE enum status image_workload_open(struct bytes sign1, const struct crypto_public *owner,
                                         struct image_workload *workload);

/* The machine policy: what the owner lets happen to one VM's vTPM, in the place of the workload of that instance
 * (node/instances/NAME/workload). The monitor checks it when a host end attaches and reports its hash as the workload;
 * vtpm.enclave checks it again and keeps the highest serial it saw: a lower one, or none after one, is refused. No
 * policy at all is {serial 0, no tenant, no snapshots, launch none}.
 *
 * Whoever signs one fills in a struct and calls image_machine_sign(): a new one has a serial above the last. Words for
 * people are in the two tables. */
#define IMAGE_TENANT_MAX 63
#define IMAGE_ALLOWED_MAX 16 /* hashes for each part */
/* What a TPM's permanent state may be kept to: the least has room for its certificates and some keys, the most is what
 * vtpm.enclave keeps anyway. */
#define IMAGE_STATE_MIN (16u * 1024u)
#define IMAGE_STATE_MAX (112u * 1024u)

enum image_part { IMAGE_FIRMWARE, IMAGE_KERNEL, IMAGE_INITRD, IMAGE_CMDLINE, IMAGE_DISK }; /* what a VM starts from */
#define IMAGE_PARTS 5
enum image_launch_policy {
    IMAGE_LAUNCH_NONE,    /* measured if the host end wishes it, else what it started is its own word */
    IMAGE_LAUNCH_HASH,    /* measured before the vTPM answers its VM */
    IMAGE_LAUNCH_ENFORCE, /* and refused unless exactly the parts that have hashes here came, each with one of them */
};
#define IMAGE_LAUNCH_POLICIES 3

extern const char *const image_part_words[IMAGE_PARTS]; /* firmware, kernel, initrd, cmdline, disk */
extern const char *const image_launch_words[IMAGE_LAUNCH_POLICIES];

struct image_machine {
    uint8_t site[IMAGE_SITE_LEN]; /* of its configuration: good for this instance only */
    uint64_t serial;              /* from 1 to INT64_MAX; never goes back */
    char tenant[IMAGE_TENANT_MAX + 1];
    bool snapshots;  /* its state may be taken back to what it was (savevm, loadvm) */
    bool hypervisor; /* the node's own vTPM, which the node's launches are told to */
    enum image_launch_policy launch;
    uint8_t allowed[IMAGE_PARTS][IMAGE_ALLOWED_MAX][IMAGE_HASH_LEN]; /* a disk's is that of its policy, not its own */
    size_t allowed_count[IMAGE_PARTS];
    uint32_t state_max;           /* bytes; 0: no word about it, so IMAGE_STATE_MAX */
    uint8_t hash[IMAGE_HASH_LEN]; /* decoding only: of the payload; zero: there is none */
};

/* MALFORMED: a serial or a limit out of its range, a tenant without an end, too many hashes, hashes and nothing that
 * looks at them (launch none), or none to enforce. */
MUST_USE enum status image_machine_sign(struct writer *writer, const struct crypto_key *owner,
                                        const struct image_machine *machine);
/* An empty input is no policy. AUTH: not this owner's; DENIED: another instance's; UNSUPPORTED: a launch policy that is
 * not known here; else as the encoding has it. */
MUST_USE enum status image_machine_open(struct bytes sign1, const struct crypto_public *owner,
                                        const uint8_t site[IMAGE_SITE_LEN], struct image_machine *machine);

/* What a VM is launched from, as a monitor measured it. Its record, for each part in order: a byte, 1 if the part was
 * given, else 0, and the part's SHA-256, else zeros. Launch digest = SHA-256 of the record. */
#define IMAGE_LAUNCH_LEN (IMAGE_PARTS * (1 + IMAGE_HASH_LEN))
struct image_launch {
    bool given[IMAGE_PARTS];
    uint8_t hash[IMAGE_PARTS][IMAGE_HASH_LEN]; /* zero unless given */
};

void image_put_launch(struct writer *writer, const struct image_launch *launch);
MUST_USE enum status image_launch_decode(struct bytes record, struct image_launch *launch); /* MALFORMED: of nothing */
MUST_USE enum status image_launch_digest(const struct image_launch *launch, uint8_t digest[IMAGE_HASH_LEN]);
/* The parts that the policy does not have, a bit each: given with another hash than those it lists, given where it
 * lists none, or missing where it lists some. 0: all is as it wants. */
unsigned image_launch_refused(const struct image_machine *machine, const struct image_launch *launch);

/* Which of the two a workload is, before anything about it is checked. */
enum image_workload_kind { IMAGE_NO_WORKLOAD, IMAGE_TASKS, IMAGE_MACHINE };
MUST_USE enum status image_workload_kind(struct bytes sign1, enum image_workload_kind *kind);

/* The owner's word to a node, COSE_Sign1 over {purpose, site, NV counter}: that it may begin anew, with an empty table
 * of heads, after it lost the one it had (the site is its own); or that it may forget one site. Good once, for the
 * counter moves with either. */
#define IMAGE_TOKEN_MAX 256
enum image_token { IMAGE_REINITIALISE = 1, IMAGE_FORGET = 2 };
MUST_USE enum status image_token_sign(struct writer *writer, const struct crypto_key *owner, enum image_token purpose,
                                      const uint8_t site[IMAGE_SITE_LEN], uint64_t counter);
/* AUTH: not this owner's; DENIED: for another purpose, another site or another counter value. */
MUST_USE enum status image_token_check(struct bytes token, const struct crypto_public *owner, enum image_token purpose,
                                       const uint8_t site[IMAGE_SITE_LEN], uint64_t counter);

#endif
