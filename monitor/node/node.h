/* node: what key holder and monitor share — the node's files, sealed programs, a lock-down, one log line.
 * Never holds a key. */
#ifndef BASTIDE_NODE_H
#define BASTIDE_NODE_H

#include "base.h"
#include "crypto.h"

#include <getopt.h>
#include <stdbool.h>

#define NODE_EXIT_DENIED 3
#define NODE_EXIT_ROLLED_BACK 7
#define NODE_EXIT_TAMPERED 8
#define NODE_EXIT_TPM 9
#define NODE_EXIT_LIMIT 11
#define NODE_EXIT_IMAGE 12

/* The words that both programs take, for the key holder hands them on: of struct option. */
#define NODE_OPTIONS                                                                                                   \
    {"home", required_argument, NULL, 'h'}, {"image", required_argument, NULL, 'i'},                                   \
        {"tcti", required_argument, NULL, 't'}, {"insecure-dev", no_argument, NULL, 'd'},                              \
        {"require", required_argument, NULL, 'r'}, {"allow-missing", required_argument, NULL, 'w'},                    \
        {"pool-mib", required_argument, NULL, 'm'}, {"body-max", required_argument, NULL, 'b'},                        \
        {"no-secret-memory", no_argument, NULL, 'n'},                                                                  \
    {                                                                                                                  \
        "no-spare", no_argument, NULL, 's'                                                                             \
    }

/* DIR/name; false when it is too long for PATH_MAX bytes. */
MUST_USE bool node_path(const char *home, const char *name, char *path);
/* NOT_FOUND, NO_ROOM past cap, IO. */
MUST_USE enum status node_read_file(const char *path, uint8_t *data, size_t cap, size_t *len);
/* Whole or not at all, durable, 0600. */
MUST_USE enum status node_write_file(const char *path, struct bytes content);

/* A sealed memfd with the file's bytes, and the hash of exactly those. */
MUST_USE enum status node_seal_program(const char *path, int *fd, uint8_t hash[32]);

/* Non-dumpable, no new privileges, no descriptors but 0 to `keep`. */
MUST_USE enum status node_lock_down(int keep);
/* After that, by the key holder, whose descendants the monitor, the launchers and the enclaves are: a filter that
 * refuses for good, to it and all of them, what none needs: looking into other processes, loading code into the kernel,
 * its keyrings, and (unless `network`) every socket but local ones. Once, for each filter that an enclave inherits is
 * run at its calls. An allow-list is not possible here, for enclaves' own come on top. For the same reason no Landlock:
 * it forbids the launcher to mount. */
MUST_USE enum status node_refuse(bool network);

/* "level room event key=value" on standard error. Never of a secret. */
__attribute__((format(printf, 4, 5))) void node_log(const char *level, const char *room, const char *event,
                                                    const char *format, ...);
/* A child's end in words: "killed by SIGSEGV", "refused: the store is rolled back (exit 7)". */
void node_end_sentence(int wait_status, char *text, size_t cap);

#endif
