/* enclave: measured images and the processes that run them — loads an image into sealed memfds, makes the door, has
 * the launcher execute it, knows what became of it. Never holds a key, never speaks with an enclave. */
#ifndef BASTIDE_ENCLAVE_H
#define BASTIDE_ENCLAVE_H

#include "abi.h"
#include "base.h"
#include "image.h"

#include <sys/types.h>

#define ENCLAVE_SENTENCE_MAX 512
#define ENCLAVE_POOL_MIN (16ull << 20)
#define ENCLAVE_POOL_MAX (4096ull << 20)
#define ENCLAVE_POOL_DEFAULT (64ull << 20)
#define ENCLAVE_SECRET_MIN (4ull << 20) /* less secret memory than this keeps no secret worth the name */

struct enclave_image {
    struct image_manifest manifest;
    uint8_t measurement[IMAGE_HASH_LEN];
    uint8_t signer[IMAGE_HASH_LEN];
    uint8_t seal_signer[IMAGE_HASH_LEN];
    int files[IMAGE_FILES_MAX]; /* sealed, shared by all launches, in manifest order */
};

/* First the manifest, which tells the measurement; then every file it names is sealed and compared with its entry. On
 * failure nothing is left open and the sentence names the file: NOT_FOUND, MALFORMED or UNSUPPORTED (the manifest),
 * AUTH (signature or content), IO. */
MUST_USE enum status enclave_image_open(struct enclave_image *image, const char *directory,
                                        char sentence[ENCLAVE_SENTENCE_MAX]);
MUST_USE enum status enclave_image_load(struct enclave_image *image, const char *directory,
                                        char sentence[ENCLAVE_SENTENCE_MAX]);
void enclave_image_done(struct enclave_image *image);

/* How many bytes of a pool an enclave of this process's user may have in secret memory. NO_ROOM: fewer than
 * ENCLAVE_SECRET_MIN, with a sentence that says which limit, what it is and how to raise it. UNSUPPORTED: this kernel
 * has none; *secret_len is 0. */
MUST_USE enum status enclave_secret_len(uint64_t pool_len, uint64_t *secret_len, char sentence[ENCLAVE_SENTENCE_MAX]);

/* What one launch is made of; all borrowed. */
struct enclave_plan {
    const struct enclave_image *image;
    uint64_t pool_len;
    uint64_t secret_len;
    uint32_t body_max;
    bool no_secret_memory;
    int launcher; /* sealed program */
    uid_t user;   /* 0: ours */
};

/* All descriptors are ours, -1 when there is none. Both processes are our children. */
struct enclave {
    pid_t launcher; /* 0 once the report came */
    pid_t pid;      /* of the enclave itself; 0 until then */
    int process;    /* readable when there is news of it: the pipe that the report comes by, then the enclave's pidfd */
    int socket;     /* to the enclave */
    int window;     /* the door: for the host */
    int enclave_waits;
    int host_waits;
    int sockets; /* sockets are handed over through it */
    uint32_t walls;
};

void enclave_clear(struct enclave *enclave);
/* IO when something could not be had; nothing is left then. */
MUST_USE enum status enclave_start(const struct enclave_plan *plan, struct enclave *enclave);
/* Takes the report, if it is there, and leave of the launcher. BUSY: not yet; IO: there will be none. */
MUST_USE enum status enclave_take_report(struct enclave *enclave);
/* Whether that is the news. */
bool enclave_has_ended(struct enclave *enclave);
/* Kills whatever still runs, waits for it and closes everything. The wait status is the enclave's, or the launcher's
 * where it did not come to one. */
int enclave_end(struct enclave *enclave);

#endif
