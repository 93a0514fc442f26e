/* pump: the host end of one enclave's door — its messages taken, checked and passed on, what it wants kept handed to an
 * archive, in a thread of its own or not, the monitor asked for the door and told apart from it. Never holds a key,
 * never believes what an enclave says, never knows what stands in front: a gateway, or a vTPM's sockets. */
#ifndef BASTIDE_PUMP_H
#define BASTIDE_PUMP_H

#include "abi.h"
#include "base.h"

#include <pthread.h>

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
    /* pthread_create: in a thread of its own, for others go on being served; NULL: in pump_run(), which is sooner. */
    int (*thread)(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *context);
    void *context;
    /* Any ARCHIVE_*, LOG_*, SNAPSHOT_* or SYNC; the payload is hostile. */
    enum status (*serve)(void *context, const struct door_header *header, struct bytes payload, struct writer *answer);
    /* The enclave has gone: of what was not synced, forget what is not whole by itself. */
    void (*abandon)(void *context);
};

/* What stands between the door and its peers. */
struct pump_front {
    void *context;
    /* What the enclave says to a channel; NOT_FOUND: its peer has left. `more`: and not for the last time. */
    enum status (*reply)(void *context, uint64_t now_ms, uint64_t channel, struct bytes body, bool more);
    void (*enclave)(void *context, uint64_t now_ms, bool up); /* down: what is open is not answered any more */
    void (*left)(void *context, uint64_t channel); /* of a socket handed over: it is closed. NULL: none ever is */
};

MUST_USE enum status pump_new(const struct pump_archive *archive, struct pump **pump, const char **why); /* copies */
void pump_free(struct pump *pump); /* after the archive has done what was asked of it; NULL is allowed */
void pump_set_front(struct pump *pump, const struct pump_front *front); /* copies; before anything else */

/* One message of the enclave: hostile. BUSY: the archive's queue is full, give it again later. Any other failure is the
 * message's own: it had no effect. */
MUST_USE enum status pump_take(struct pump *pump, uint64_t now_ms, const struct door_header *header,
                               struct bytes payload);
/* The front's calls: context is the pump. BUSY: the enclave does not keep up. */
enum status pump_ask(void *context, uint64_t channel, enum door_transport transport, struct bytes body);
void pump_gone(void *context, uint64_t channel);
/* A copy of a connected stream socket to the enclave, in place of the one before; front.left tells of its end. BUSY,
 * WRONG_STATE (no door): it was not. */
MUST_USE enum status pump_hand(void *context, uint64_t channel, int fd);

/* The door: its descriptors, in the order of MONITOR_LAUNCHED, change hands and are closed even on failure. */
MUST_USE enum status pump_attach(struct pump *pump, uint64_t now_ms, const int door[LAUNCHED_DESCRIPTORS]);
/* No enclave any more: what it said last is heard, what is open is answered 5.03, what was not synced is abandoned. */
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

/* Between pump_run() and pump_timeout(): looks, without sleeping and for at most so long, for something that the
 * enclave says; true: there is, run again. What takes microseconds is cheaper to wait for than to be woken for. */
bool pump_linger(const struct pump *pump, unsigned most_us);

/* ---- The monitor's control socket ---- */

enum pump_link_event {
    PUMP_LINK_NOTHING,
    PUMP_LINK_ATTACHED,
    PUMP_LINK_LAUNCHED,
    PUMP_LINK_DIED,
    PUMP_LINK_PROVED,
    PUMP_LINK_MEASURED,
    PUMP_LINK_LOST
};
#define PUMP_LINK_PROOF_MAX 64

struct pump_link {
    char path[108];
    struct monitor_attach attach; /* without a name: the node's own */
    int fd;                       /* -1 while not connected */
    uint64_t retry_ms;
    uint32_t back_off_ms;
    uint8_t proof[PUMP_LINK_PROOF_MAX]; /* after PUMP_LINK_PROVED: what the TPM found in the credential */
    size_t proof_len;                   /* 0: it found nothing */
    enum status measured;               /* after PUMP_LINK_MEASURED: OK, or why not; the reason is logged */
    int wait_status;                    /* after PUMP_LINK_DIED: the enclave's, as wait(2) has it */
    enum status refusal; /* after PUMP_LINK_LOST: why the monitor does not attach us; OK: that was not it */
    int launched[LAUNCHED_DESCRIPTORS]; /* after PUMP_LINK_LAUNCHED: as pump_attach() takes them; the caller's */
};

MUST_USE enum status pump_link_init(struct pump_link *link, const char *home);
/* Before it connects: the host end of that instance rather than of the node's own. NO_ROOM: too long a name. */
MUST_USE enum status pump_link_name(struct pump_link *link, const char *instance);
/* Likewise, and only with a name: its commits are answered before they are durable. */
void pump_link_relax(struct pump_link *link);
void pump_link_connect(struct pump_link *link, uint64_t now_ms);
enum pump_link_event pump_link_read(struct pump_link *link,
                                    uint64_t now_ms); /* PUMP_LINK_NOTHING: nothing more there */
void pump_link_close(struct pump_link *link, uint64_t now_ms);
/* Asks for a credential to be opened; PUMP_LINK_PROVED comes later. BUSY: not attached, or the monitor does not keep
 * up. */
MUST_USE enum status pump_link_prove(struct pump_link *link, struct bytes credential);
/* Has measured what a VM is to be started from (MONITOR_MEASURE): a descriptor of sealed memory for each part, still
 * the caller's. PUMP_LINK_MEASURED comes later. BUSY: as above. */
MUST_USE enum status pump_link_measure(struct pump_link *link, uint32_t given, const int *fds, size_t count);

/* ---- For the program around it: one loop, one log ---- */

/* `level program event key=value` on stderr, in one write; the program is "daemon" unless it says otherwise. */
void pump_log_as(const char *program);    /* keeps */
void pump_log_prefix(const char *prefix); /* keeps; stands before every line */
__attribute__((format(printf, 3, 4))) void pump_log(const char *level, const char *event, const char *format, ...);
uint64_t pump_clock_ms(void); /* never goes back */

#endif
