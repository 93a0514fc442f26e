/* daemon: bastided, the untrusted half of a node — gateway, archive and monitor link around one door, in one loop.
 * Never holds a key, never reads what it carries; it can lose, delay, reorder and replay, and nothing more. */
#ifndef BASTIDE_DAEMON_H
#define BASTIDE_DAEMON_H

#include "abi.h"
#include "base.h"

struct daemon_options {
    const char *home; /* DIR: run/monitor.sock and node/archive.db are below it */
    const char *coap;
    const char *http;
    uint32_t body_max;
};

struct pump_archive;

/* -1: go on with *options, which borrow from argv. Otherwise the exit code: 0 after --help, 2 with a sentence on
 * stderr.
 */
int daemon_parse(int argc, char **argv, struct daemon_options *options);
/* Gives up what this process does not need; before the archive is opened, because threads inherit it. */
void daemon_harden(const struct daemon_options *options);
/* Serves until SIGTERM or SIGINT; gives the exit code (0 stopped as asked, 1 internal, 4 cannot bind). */
int daemon_serve(const struct daemon_options *options, const struct pump_archive *archive);
/* `level daemon event key=value` on stderr, in one write. */
__attribute__((format(printf, 3, 4))) void daemon_log(const char *level, const char *event, const char *format, ...);

/* ---- The door pump, apart from the loop so that it can be given hostile messages ---- */

struct gateway;
struct pump;

/* What an enclave may leave unread in this process: past it, requests are answered 5.03. Answers of the archive are
 * bounded by PUMP_JOBS instead, because the enclave waits for each of them. */
#define PUMP_BACKLOG 1024u
#define PUMP_BACKLOG_BYTES (8u << 20)
#define PUMP_JOBS 256u /* archive operations under way; then the enclave's ring is left unread */
#define PUMP_JOB_BYTES (16u << 20)
#define PUMP_LOG_LINES 50u   /* a second */
#define PUMP_AUDIT_TEXT 400u /* bytes of a line */

/* Where sealed records and ciphertext are kept. Called from one thread, in the order the enclave spoke; failures of
 * operations without an answer of their own are told by the next SYNC's. */
struct pump_archive {
    void *context;
    /* Any ARCHIVE_*, LOG_*, SNAPSHOT_* or SYNC; the payload is hostile. */
    enum status (*serve)(void *context, const struct door_header *header, struct bytes payload, struct writer *answer);
    void (*abandon)(void *context); /* forget what was not synced */
};

MUST_USE enum status pump_new(const struct pump_archive *archive, struct pump **pump, const char **why); /* copies */
void pump_free(struct pump *pump); /* after the archive has done what was asked of it; NULL is allowed */
void pump_set_gateway(struct pump *pump, struct gateway *gateway); /* keeps; before anything else */

/* One message of the enclave: hostile. BUSY: the archive's queue is full, give it again later. Any other failure is the
 * message's own: it had no effect. */
MUST_USE enum status pump_take(struct pump *pump, uint64_t now_ms, const struct door_header *header,
                               struct bytes payload);
/* The gateway's calls: context is the pump. */
enum status pump_ask(void *context, uint64_t channel, enum door_transport transport, struct bytes body);
void pump_gone(void *context, uint64_t channel);

/* The door: its three descriptors change hands, and are closed even on failure. */
MUST_USE enum status pump_attach(struct pump *pump, uint64_t now_ms, int window, int enclave_waits, int host_waits);
/* No enclave any more: what is open is answered 5.03, what was not synced is forgotten. */
void pump_detach(struct pump *pump, uint64_t now_ms);
bool pump_attached(const struct pump *pump);

/* Moves messages both ways, at most a bounded number. MALFORMED: the ring contradicts itself, detach. */
MUST_USE enum status pump_run(struct pump *pump, uint64_t now_ms);
bool pump_backlogged(const struct pump *pump); /* the enclave does not keep up: read no sockets */
/* To be polled for input: the door (-1 without one) and the archive's answers. */
int pump_door_fd(const struct pump *pump);
int pump_archive_fd(const struct pump *pump);
/* Milliseconds until pump_run() has work; -1 for never. Called last before sleeping: it arms the door's signal. */
int pump_timeout(struct pump *pump);

#endif
