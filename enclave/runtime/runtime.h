/* runtime: what an enclave program stands on in the `linux` port — launch, lock, the door to the host, and the tee port
 * to the monitor. Never trusts the host: what it wrote is copied once, checked, then used; never opens, maps or starts
 * anything after the lock.
 *
 * runtime_main() runs a program in this order:
 *   parameters   read from their sealed memfd; data, heap and stacks move into secret memory (room `memory`)
 *   set-up       libcrypto warmed up, guests' modules loaded from their sealed memfds, the program's set_up(): what is
 *                the same for every instance
 *   lock         every descriptor closed but the monitor's socket and the two eventfds, and, if the program
 *                takes one, the socket by which a socket comes; no capability, no new
 *                privileges, no core; no mapping becomes executable (MDWE; before Linux 6.3 the filter alone says so);
 *                a system call filter that kills (the table with its reasons: lock.c)
 *   READY        told to the monitor, who answers with the instance it is to be, maybe long after; start()
 *   loop         receive() for each of the host's messages, idle() when there are no more
 * From the lock on the process makes the twelve system calls of the table and no other, but for four with which a
 * program that takes a socket takes and uses it: one descriptor, by its number. A fault outside a guest's window ends
 * it (room `compartment`), as do a broken door, a monitor that hangs up on a question, and its death. */
#ifndef BASTIDE_RUNTIME_H
#define BASTIDE_RUNTIME_H

#include "abi.h"
#include "base.h"
#include "compartment.h"

#define RUNTIME_MODULES_MAX 7
#define RUNTIME_BURST 512 /* messages between two calls of idle() */

/* Exit codes, as the command line's manual has them. */
#define RUNTIME_EXIT_INTERNAL 1
#define RUNTIME_EXIT_LIMIT 11 /* memory, or what the kernel gives; set_up()'s or start()'s NO_ROOM */
#define RUNTIME_EXIT_IMAGE                                                                                             \
    12 /* a module that does not load, parameters that cannot be, an instance that it is not for */
#define RUNTIME_EXIT_DOOR 14 /* the host broke the door, or the monitor hung up */

/* What the program is given to set itself up; borrowed, for the process's life. */
struct runtime_launch {
    uint32_t body_max; /* bytes of a request, as the node was started; 0: the program's own limit */
    const struct compartment_memory *memory;
    struct compartment_module *modules[RUNTIME_MODULES_MAX]; /* in manifest order */
    size_t modules_count;
};

struct runtime_program {
    const struct compartment_host_function *functions; /* for the modules */
    size_t functions_count;
    /* Everything that needs a system call happens in here; the monitor answers nothing yet. On failure `why` has a
     * sentence, which goes to standard error; start()'s goes to the audit log. */
    enum status (*set_up)(const struct runtime_launch *launch, struct writer *why);
    /* Which instance it is: launch configuration and workload (proto/image), borrowed for the process's life. */
    enum status (*start)(struct bytes configuration, struct bytes workload, struct writer *why);
    void (*receive)(const struct door_header *header, struct bytes payload); /* the payload is a private copy */
    void (*advanced)(enum status status, const struct monitor_head_reply *head);
    /* The turn's end. 0 while it lives; otherwise the exit code, and a sentence for the audit log. */
    int (*idle)(const char **sentence);
    /* Of a program that takes a socket from the host (abi/door.h); NULL: none comes, and the filter knows of none.
     * `took`: another is there, and the former closed. `serve_socket`: once a turn while one is there; `ready`: there
     * is something to receive or room to send, or its end. Gives what to wait for as poll(2) has it; 0: nothing for
     * now. */
    void (*took_socket)(void);
    short (*serve_socket)(bool ready);
};

/* main() of an enclave program; returns its exit code, and does not when the process was killed. */
int runtime_main(const struct runtime_program *program);

/* The door: one message to the host, its parts one after the other. While the host has not made room, waits; IO: the
 * monitor is gone and nobody will. NO_ROOM past DOOR_MESSAGE_MAX; MALFORMED: the host broke the ring. */
MUST_USE enum status runtime_send(enum door_operation operation, uint64_t id, const struct bytes *parts, size_t count);
void runtime_audit(const char *sentence); /* DOOR_AUDIT, as far as it can be said; never secret */

/* The socket, which never waits. BUSY: nothing there, no room; NOT_FOUND: its other end is gone, or it is no socket. */
MUST_USE enum status runtime_socket_receive(uint8_t *room, size_t cap, size_t *len);
MUST_USE enum status runtime_socket_send(struct bytes data, size_t *sent);
void runtime_socket_close(void); /* and the host is told */

/* Milliseconds since the machine started, by the kernel's clock; never goes back while it runs. */
uint64_t runtime_clock_ms(void);

/* The tee port; randomness is crypto_random(). IO: the monitor is gone. Otherwise the monitor's own status. Requests
 * are answered while they are waited for; only an advance's answer comes later, by the program's advanced(), and there
 * is at most one: BUSY. */
MUST_USE enum status tee_report(const struct monitor_report *report, struct writer *evidence);
MUST_USE enum status tee_seal_key(const struct monitor_seal *seal, struct monitor_seal_reply *reply);
MUST_USE enum status tee_head(struct monitor_head_reply *head);
MUST_USE enum status tee_advance(const struct monitor_advance *advance, struct bytes record); /* that, or empty */
MUST_USE enum status tee_record(uint64_t sequence, struct writer *record);
/* NOT_FOUND: nothing was measured for the host end. */
MUST_USE enum status tee_launch(struct monitor_launch *launch);
/* The node's log from `from` on, as much of it as one answer has; DENIED: not for this enclave. */
MUST_USE enum status tee_launches(uint64_t from, struct monitor_vm vms[MONITOR_LAUNCHES_MAX], size_t *count);

/* runtime_send() and the first of these as a program's port asks for them, whose first argument is the program's own
 * and not looked at. */
MUST_USE enum status runtime_port_send(void *user, enum door_operation operation, uint64_t id,
                                       const struct bytes *parts, size_t count);
MUST_USE enum status runtime_port_advance(void *user, const struct monitor_advance *advance);
MUST_USE enum status runtime_port_head(void *user, struct monitor_head_reply *head);
MUST_USE enum status runtime_port_seal_key(void *user, const struct monitor_seal *seal,
                                           struct monitor_seal_reply *reply);
MUST_USE enum status runtime_port_report(void *user, const struct monitor_report *report, struct writer *evidence);

/* The enclave's end of a door, alone: for runtime.c, and for tests to be cruel to. */
struct door {
    struct door_window *window;
    uint32_t head, tail; /* ours; those in the window are only published, never read back */
    bool waiting;        /* as published */
};

/* WRONG_STATE: nothing (or not all of it) has arrived. MALFORMED: the ring is broken for good. `payload` has room for
 * DOOR_MESSAGE_MAX; of the window every byte is read once. */
MUST_USE enum status door_take(struct door *door, struct door_header *header, uint8_t *payload);
/* BUSY: no room at present. `wake` tells whether the host sleeps and wants its eventfd signalled. */
MUST_USE enum status door_put(struct door *door, const struct door_header *header, const struct bytes *parts,
                              size_t count, bool *wake);
bool door_sleep(struct door *door); /* false: something arrived meanwhile */
void door_awake(struct door *door);

#endif
