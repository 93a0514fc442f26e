/* scan: what a root that looks into another process finds there — every way of reading memory, and a count of planted
 * needles. A tool of the tests and of the demo: it never ships with a node and never changes what it looks at, the
 * paths that end or disturb a process excepted (they say so). */
#ifndef BASTIDE_SCAN_H
#define BASTIDE_SCAN_H

#include "base.h"

#include <sys/types.h>

#define SCAN_NEEDLE_MIN 8
#define SCAN_NEEDLE_MAX 256
#define SCAN_CHUNK (1u << 20)

/* Byte strings to look for, one a line of hex. */
struct scan_needles {
    struct scan_needle {
        uint8_t *data;
        size_t len;
    } * list; /* sorted */
    size_t count, longest;
    uint8_t first[1 << 13]; /* bit per possible first two bytes */
};

MUST_USE enum status scan_load(struct scan_needles *needles, const char *path);
void scan_free(struct scan_needles *needles);

struct scan_tally {
    uint64_t bytes;   /* looked at */
    uint64_t refused; /* bytes, files or descriptors that could not be read */
    uint64_t hits;
    const char *note; /* why nothing was read, when that is the whole story */
};

/* Counts needles in one piece; `at` is its address, for the line on standard error about each of the first hits. */
void scan_piece(const struct scan_needles *needles, struct bytes piece, uint64_t at, struct scan_tally *tally);

/* A run of pages that are present in the process. */
struct scan_range {
    uint64_t start, len;
    bool writable, shared;
};

#define SCAN_RANGES_MAX 65536
/* From maps and pagemap. gives: free(). */
MUST_USE enum status scan_ranges(pid_t pid, struct scan_range **ranges, size_t *count);

struct scan_path {
    const char *name;
    bool ends; /* the process does not survive it, or not unharmed */
    void (*run)(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally);
};

extern const struct scan_path scan_paths[];
extern const size_t scan_path_count;

/* Calls `read` for every piece of every present range; it gives how many bytes it put into `room`. */
typedef size_t scan_read(void *user, pid_t pid, uint64_t at, uint8_t *room, size_t len);
void scan_walk(pid_t pid, const struct scan_needles *needles, scan_read *read, void *user, struct scan_tally *tally);

/* Files and what is like one. */
void scan_descriptor(const struct scan_needles *needles, int fd, struct scan_tally *tally);

bool scan_attach(pid_t pid); /* stops it under ptrace */
void scan_detach(pid_t pid);

/* inject.c */
void scan_registers(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally);
void scan_inject(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally);
/* core.c */
void scan_core(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally);

#endif
