/* What the files of the pump share: the ring's host end, the archive's jobs, the bounds of the log.
 * Nothing in here is secret, and nothing that comes through a door or a socket is believed. */
#ifndef BASTIDE_PUMP_INTERNAL_H
#define BASTIDE_PUMP_INTERNAL_H

#include "pump.h"

/* Lines that an enclave can cause are bounded, or its host's disk would be its to fill. */
struct log_bound {
    uint64_t second;
    unsigned lines;
};
bool log_allows(struct log_bound *bound);
uint64_t unix_ms(void);

/* ---- window.c: the host end of a door; the other end writes to the window while we read ---- */

struct window {
    struct door_window *shared; /* NULL: no door */
    int enclave_waits;          /* we write to it */
    int host_waits;             /* we poll it */
    int sockets;                /* we hand sockets over through it */
    uint32_t head;              /* of to_enclave: ours, never read back */
    uint32_t tail;              /* of to_host */
    uint32_t taken;             /* of to_host: what is published as its tail, for its pages were given back so far */
    uint32_t read;              /* of to_enclave: so far its pages were given back */
};

MUST_USE enum status window_open(struct window *window, const int door[LAUNCHED_DESCRIPTORS]);
void window_close(struct window *window);
/* BUSY: no message. MALFORMED: the ring contradicts itself. `buffer` holds DOOR_MESSAGE_MAX. */
MUST_USE enum status window_take(struct window *window, struct door_header *header, uint8_t *buffer);
/* NO_ROOM: larger than a message may be. BUSY: the enclave must read first. MALFORMED: as above. */
MUST_USE enum status window_put(struct window *window, const struct door_header *header, struct bytes first,
                                struct bytes second);
void window_awake(struct window *window); /* take the signal, expect none while awake */
bool window_sleep(struct window *window); /* false: there is something to read */
MUST_USE enum status window_hand(const struct window *window, uint64_t id, int fd); /* as pump_hand() */
bool window_linger(const struct window *window, uint64_t most_ns);

/* ---- keeper.c: the archive, in a thread of its own or in the loop's ---- */

struct keeper;

struct keeper_answer {
    struct keeper_answer *next;
    struct door_header header; /* COMPLETE */
    uint64_t door;
    uint8_t payload[];
};

MUST_USE enum status keeper_new(const struct pump_archive *archive, struct keeper **keeper, const char **why);
void keeper_free(struct keeper *keeper); /* after what is queued is done */
/* Copies. `door` numbers the door a job came through; it comes back in the answer. BUSY: the queue is full. */
MUST_USE enum status keeper_submit(struct keeper *keeper, uint64_t door, const struct door_header *header,
                                   struct bytes payload);
/* Forgets what earlier doors appended without a sync. */
void keeper_abandon(struct keeper *keeper);
void keeper_awake(struct keeper *keeper);                   /* takes the signal: look for answers after this */
struct keeper_answer *keeper_answer(struct keeper *keeper); /* gives; NULL when there is none. free() it */
void keeper_answered(struct keeper *keeper);                /* the answer went on its way: its place is free again */
int keeper_fd(const struct keeper *keeper);                 /* -1: without a thread */

#endif
