/* permit: what an enclave and the host daemon may ask of the monitor — one table of {operation, who, state, once or
 * many}; what is not in it is refused. Decodes, never acts: a request has no effect before it is permitted. */
#ifndef BASTIDE_PERMIT_H
#define BASTIDE_PERMIT_H

#include "abi.h"
#include "base.h"

/* CONTROL: a caller of the control socket who is root or the node's user; GROUP: another whom the socket's mode let in,
 * who may serve instances by name, and nothing that is the node's. */
enum permit_who { PERMIT_ENCLAVE = 1, PERMIT_CONTROL = 2, PERMIT_GROUP = 3 };

/* Of one connection. STARTING, READY: an enclave before and after it said so. CALLER: a connection to the control
 * socket; HOST: one that attached. ENDED: nothing is permitted any more. */
enum permit_state {
    PERMIT_STARTING = 1 << 0,
    PERMIT_READY = 1 << 1,
    PERMIT_CALLER = 1 << 2,
    PERMIT_HOST = 1 << 3,
    PERMIT_ENDED = 1 << 4
};

struct permit_session {
    enum permit_who who;
    enum permit_state state;
    uint64_t asked; /* bit n: operation n was permitted before */
};

/* Private copies, checked field by field. Which member holds is told by the operation. */
struct permit_request {
    enum monitor_operation operation;
    union {
        struct monitor_report report;
        struct monitor_seal seal;
        struct {
            struct monitor_advance what;
            struct bytes record; /* borrows; empty: none came */
        } advance;
        struct monitor_record record;
        struct monitor_measure measure;
        struct monitor_launches_from from;
        struct monitor_attach attach;     /* an empty name: the node's own */
        struct monitor_instance instance; /* MONITOR_STATUS, likewise */
        struct bytes blob;                /* MONITOR_ACTIVATE; borrows from the packet */
        struct {
            struct monitor_forget what;
            struct bytes token; /* borrows */
        } forget;
    } of;
};

/* A new session in the first state of `who`. */
struct permit_session permit_session_of(enum permit_who who);
/* Decodes one packet and asks the table. On OK the session is in the state that follows. Otherwise it is as before, and
 * so is `request` but for its operation, which is told as soon as it is known (0: not even that), for the refusal:
 * TRUNCATED or MALFORMED: not a request; UNSUPPORTED: another version; DENIED: not in the table for this one, now, or
 * a second time. */
MUST_USE enum status permit_check(struct permit_session *session, struct bytes packet, struct permit_request *request);
/* Header and payload of an answer. NO_ROOM past MONITOR_MESSAGE_MAX in all. */
MUST_USE enum status permit_put_reply(struct writer *writer, uint16_t operation, enum status status,
                                      struct bytes payload);

#endif
