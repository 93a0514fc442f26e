/* abi/door: the window between an enclave and the untrusted host — two rings in shared memory plus two eventfds.
 * Nothing in here is trusted by either side: copy once into private memory, check, then act. Offsets, never pointers.
 */
#ifndef BASTIDE_ABI_DOOR_H
#define BASTIDE_ABI_DOOR_H

#include <stdint.h>

#define DOOR_VERSION 1u
#define DOOR_RING_LEN (1u << 20)        /* bytes in each ring, a power of two */
#define DOOR_MESSAGE_MAX (256u * 1024u) /* header and payload of one message */
#define DOOR_TAIL_LAG (64u * 1024u)     /* less than this: a reader gives pages back in steps */
#define DOOR_CHUNK_MAX (192u * 1024u)   /* one piece of a snapshot, one batch of archive rows */

/* One direction. `head` counts bytes ever written, `tail` those of which the reader is done, both modulo 2^32; the
 * writer owns head and the reader owns tail, which may stay behind what was read by less than DOOR_TAIL_LAG. A message
 * is its door_header followed by header.len bytes, padded to a multiple of 8, and may wrap. The reader sets `waiting`
 * before it sleeps on its eventfd, and may leave it set while awake; the writer signals the eventfd when it finds it
 * set, but for a LOG_APPEND, which waits for what comes behind it. A signal that means nothing does no harm. */
struct door_ring {
    uint32_t head;
    uint32_t reserved0[15];
    uint32_t tail;
    uint32_t waiting;
    uint32_t reserved1[14];
    uint8_t data[DOOR_RING_LEN];
};

struct door_window {
    uint32_t version;
    uint32_t reserved[31];
    struct door_ring to_enclave;
    struct door_ring to_host;
};

/* Beside the rings, to a program that takes sockets (runtime.h): a seqpacket socket on which the host sends door_socket
 * with one descriptor, a connected stream socket, and then signals the enclave's eventfd. It is the enclave's from then
 * on, in place of the one before; a packet without one hangs up on that. */
struct door_socket {
    uint64_t id; /* a channel's number: LEFT tells its end */
};

/* What travels. Host to enclave: REQUEST, COMPLETE, TICK, GONE. Enclave to host: the rest. */
enum door_operation {
    DOOR_REQUEST = 1,  /* id = channel; door_request, then a CoAP body (code, options, payload marker, payload), or what
                          its transport says */
    DOOR_COMPLETE = 2, /* id = that of the operation answered; header.status tells; payload is the answer */
    DOOR_TICK = 3,     /* door_tick: the timer that was asked for is due */
    DOOR_GONE = 4,     /* id = channel: the peer left; an observation on it ends */
    DOOR_REPLY = 16,   /* id = channel; a CoAP body; ends the request */
    DOOR_NOTIFY = 17,  /* id = channel; a CoAP body; the channel stays open for more (Observe) */
    DOOR_TIMER = 18,   /* door_tick: wake me at this time; replaces the previous wish */
    DOOR_AUDIT = 19,   /* a line of text for the operator's log; never secret */
    DOOR_ARCHIVE_APPEND = 20, /* door_row, then its bytes; repeated to the end of the message; no answer of its own */
    DOOR_ARCHIVE_QUERY = 21,  /* door_query; COMPLETE carries rows as in APPEND */
    DOOR_LOG_APPEND = 22,     /* id = log sequence; a sealed record; no answer of its own */
    DOOR_LOG_READ = 23,       /* door_range: COMPLETE carries {u64 sequence, u32 len, u32 0, bytes}* in order */
    DOOR_SNAPSHOT_PUT = 24,   /* door_piece, then bytes; pieces in order; no answer of its own */
    DOOR_SNAPSHOT_GET = 25,   /* door_piece: COMPLETE carries door_piece and bytes; total 0 means there is none */
    DOOR_SYNC = 26,           /* COMPLETE answers for every APPEND and PUT since the last SYNC: all durable, or none */
    DOOR_LEFT = 27,           /* id = that of a socket handed over: it is closed */
};

struct door_header {
    uint16_t operation; /* enum door_operation */
    uint16_t status;    /* enum status, in COMPLETE only */
    uint32_t len;       /* of the payload that follows */
    uint64_t id;
};

enum door_transport {
    DOOR_COAP = 1,
    DOOR_HTTP = 2,
    DOOR_VTPM_CONTROL = 3,  /* no CoAP: one frame of swtpm's control channel (proto/swtpm); so is its REPLY */
    DOOR_VTPM_DATA = 4,     /* one TPM command, with or without prefix */
    DOOR_VTPM_KEYS = 5,     /* a question for a vTPM's endorsement keys (proto/vtpm); so is its REPLY */
    DOOR_VTPM_TRANSFER = 6, /* a question about where its state is and goes (proto/vtpm_transfer); so is its REPLY */
    DOOR_VTPM_UNLOCK = 7,   /* a passphrase, before a vTPM's first INIT; the REPLY is a result of swtpm's, 4 bytes */
};

#define DOOR_VTPM_PASSPHRASE_MAX 512u

struct door_request {
    uint64_t time_ms; /* the host's clock, Unix time: untrusted */
    uint32_t transport;
    uint32_t reserved;
};

struct door_tick {
    uint64_t time_ms;
};

#define DOOR_BLIND_LEN 16

/* An archived message: ciphertext and blind indexes only. `sequence` is contiguous over the site's life; appending a
 * sequence that is already there replaces it (it was never acknowledged). */
struct door_row {
    uint64_t sequence;
    uint64_t bucket_s; /* coarse time: Unix seconds rounded down to the hour */
    uint8_t source[DOOR_BLIND_LEN];
    uint8_t type[DOOR_BLIND_LEN];
    uint32_t len; /* of the sealed bytes that follow, padded to a multiple of 8 */
    uint32_t reserved;
};

enum door_query_by { DOOR_BY_SEQUENCE = 0, DOOR_BY_SOURCE = 1, DOOR_BY_TYPE = 2 };

/* Rows with sequence < before, newest first, at most `limit` and at most a message full. */
struct door_query {
    uint64_t before;
    uint32_t by;
    uint32_t limit;
    uint8_t blind[DOOR_BLIND_LEN];
};

struct door_range {
    uint64_t from; /* first log sequence wanted */
};

struct door_piece {
    uint64_t sequence; /* the log sequence the snapshot stands for: records up to it may be dropped at the next SYNC */
    uint64_t total;
    uint64_t off;
    uint64_t len;
};

_Static_assert(DOOR_MESSAGE_MAX + DOOR_TAIL_LAG <= DOOR_RING_LEN, "room for a message");
_Static_assert(sizeof(struct door_ring) == 192 - 64 + DOOR_RING_LEN, "door_ring");
_Static_assert(sizeof(struct door_socket) == 8, "door_socket");
_Static_assert(sizeof(struct door_header) == 16, "door_header");
_Static_assert(sizeof(struct door_request) == 16, "door_request");
_Static_assert(sizeof(struct door_row) == 56, "door_row");
_Static_assert(sizeof(struct door_query) == 32, "door_query");
_Static_assert(sizeof(struct door_piece) == 32, "door_piece");

#endif
