/* image: what is measured — the image's signed manifest, the launch configuration, the workload manifest — and the
 * owner's word that a node may begin anew: encode, check, hash. Never reads a file; whoever holds the bytes hands them
 * in. All of it is deterministic CBOR. */
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

/* The owner's word that a node which lost its table of heads may begin anew, with an empty store: COSE_Sign1 over
 * {purpose, site, NV counter}. Good for one re-initialisation, for the counter moves with it. */
#define IMAGE_TOKEN_MAX 256
MUST_USE enum status image_token_sign(struct writer *writer, const struct crypto_key *owner,
                                      const uint8_t site[IMAGE_SITE_LEN], uint64_t counter);
/* AUTH: not this owner's; DENIED: for another site or another counter value. */
MUST_USE enum status image_token_check(struct bytes token, const struct crypto_public *owner,
                                       const uint8_t site[IMAGE_SITE_LEN], uint64_t counter);

#endif
