/* measure: what a VM is launched from, hashed. Takes only memory that is sealed for good, so what was hashed is what
 * there is from then on, for whoever holds a descriptor of it; reads it in steps, for a monitor has others to serve.
 * Never copies it, never opens a file: a name is the host's word, and a disk or a network may keep one waiting. */
#ifndef BASTIDE_MEASURE_H
#define BASTIDE_MEASURE_H

#include "abi.h"
#include "base.h"
#include "crypto.h"
#include "image.h"

#define MEASURE_FIRMWARE_MAX (64ull << 20) /* bytes; likewise below */
#define MEASURE_KERNEL_MAX (256ull << 20)
#define MEASURE_INITRD_MAX (1ull << 30)
#define MEASURE_CMDLINE_MAX 4096ull
#define MEASURE_DISK_MAX (64ull << 10) /* of a disk's policy: its verity root, its header; not of the disk */
#define MEASURE_STEP (4u << 20)        /* bytes hashed between two turns of the monitor's loop */
#define MEASURE_MS 60000               /* from its begin to its end */
#define MEASURE_SENTENCE_MAX 200

struct measure {
    int fds[IMAGE_PARTS]; /* -1: not given */
    uint64_t lens[IMAGE_PARTS];
    size_t part; /* the one under way */
    uint64_t off;
    uint64_t done, total;
    struct crypto_hash_state hash;
    struct image_launch launch;
};

void measure_clear(struct measure *measure); /* nothing under way, no descriptor */
/* A descriptor for each bit of `given`, in their order: kept by `measure` on OK, else still the caller's. MALFORMED:
 * too few or too many, or one that is not sealed memory; NO_ROOM: past a limit; the sentence says which part. */
MUST_USE enum status measure_begin(struct measure *measure, uint32_t given, const int *fds, size_t count,
                                   char sentence[MEASURE_SENTENCE_MAX]);
/* At most MEASURE_STEP bytes. BUSY: there is more; OK: `launch` is whole, and the descriptors are closed. IO. */
MUST_USE enum status measure_step(struct measure *measure);
void measure_end(struct measure *measure); /* closes what is open */

/* "kernel, initrd": the parts of these bits. */
void measure_list(unsigned parts, char *text, size_t cap);

#endif
