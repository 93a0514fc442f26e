/* runtime, inside: the one process's state, shared by launch, lock, loop and tee port.
 * Never included outside this directory. */
#ifndef BASTIDE_RUNTIME_INTERNAL_H
#define BASTIDE_RUNTIME_INTERNAL_H

#include "runtime.h"

#include <poll.h>

/* What a socket that was taken is always called: the lowest number, which the lock closed and nothing else takes. */
#define SOCKET_FD 0

struct runtime {
    const struct runtime_program *program;
    struct launch_parameters parameters;
    struct runtime_launch launch;
    struct door door;
    uint8_t *payload;  /* DOOR_MESSAGE_MAX */
    uint8_t *packet;   /* MONITOR_MESSAGE_MAX */
    bool advancing;    /* an advance was sent and not answered yet */
    bool has_advanced; /* its answer came while another was waited for */
    enum status advance_status;
    struct monitor_head_reply advanced;
    struct {
        bool rung; /* the host rang: another may be there */
        bool open;
        bool ready;   /* something is to be served */
        short events; /* waited for, as the program said */
        uint64_t id;
    } socket;
};

extern struct runtime runtime;

/* launch.c: before secret memory: parameters only. */
MUST_USE enum status launch_read_parameters(struct launch_parameters *parameters);
/* Everything else. */
MUST_USE enum status launch_set_up(struct writer *why);

/* lock.c */
MUST_USE enum status lock_down(const char **what);

/* socket.c: what to wait for at the socket itself. IO: the host broke the way sockets come. */
struct pollfd socket_watched(void);
MUST_USE enum status socket_serve(void);

/* tee.c: ask and wait. `answer` borrows from runtime.packet. */
MUST_USE enum status tee_ask(enum monitor_operation operation, struct bytes payload, struct bytes *answer);
/* One packet, which may only be an advance's answer. IO: the monitor is gone or does not keep to its protocol. */
MUST_USE enum status tee_take_advance(void);

#endif
