/* What the files of the exchange machine share: its tables, and who may call whom.
 * Tables refer to each other by position; NONE is no position. */
#ifndef BASTIDE_COAP_INTERNAL_H
#define BASTIDE_COAP_INTERNAL_H

#include "coap.h"

#define NONE UINT32_MAX

/* table.c: a keyed hash, a map from hash to position, a heap of deadlines. */

/* SipHash-2-4 of tweak ‖ input: peers choose addresses, tokens and message ids, but cannot choose collisions. */
uint64_t coap_hash(const uint64_t key[2], uint64_t tweak, struct bytes input);

/* Open addressing; two different things with one 64-bit hash are taken for the same only by chance of 2^-64, and what
 * is found is compared with the peer before use. */
struct coap_index {
    uint64_t *hashes; /* 0: free */
    uint32_t *values;
    uint32_t mask;
};

uint32_t coap_index_find(const struct coap_index *index, uint64_t hash);
void coap_index_put(struct coap_index *index, uint64_t hash, uint32_t value); /* replaces */
void coap_index_remove(struct coap_index *index, uint64_t hash);

struct coap_timers {
    uint64_t *due;   /* by exchange */
    uint32_t *place; /* by exchange: where in order[], NONE without a deadline */
    uint32_t *order; /* the heap */
    uint32_t count;
};

void coap_timer_set(struct coap_timers *timers, uint32_t exchange, uint64_t due_ms); /* COAP_NEVER: no deadline */

/* table.c, continued: an option list with some numbers left out and some unsigned ones added, in order. */
#define SPLICE_MAX 6
struct coap_splice {
    uint16_t drop[SPLICE_MAX];
    uint8_t drop_count;
    struct {
        uint16_t number;
        uint32_t value;
    } add[SPLICE_MAX]; /* ascending; a number added replaces those already there */
    uint8_t add_count;
};

void coap_splice_drop(struct coap_splice *splice, uint16_t number);
void coap_splice_add(struct coap_splice *splice, uint16_t number, uint32_t value);
void coap_put_spliced(struct writer *writer, struct bytes options, const struct coap_splice *splice);
void coap_encode_spliced(struct writer *writer, const struct coap_message *message, const struct coap_splice *splice);
uint32_t coap_block_value(struct coap_block block); /* message.c */

/* endpoint.c: the tables and their lifetimes, sending, and the dispatch of what arrives. */
enum coap_phase {
    PHASE_FREE = 0,
    PHASE_ASKING,    /* client: our message is on its way, unacknowledged or held back by nstart */
    PHASE_AWAITING,  /* client: the answer is to come */
    PHASE_OBSERVING, /* client: notifications may come */
    PHASE_GATHERING, /* server: blocks of a request arrive */
    PHASE_ANSWERING, /* server: the caller has the request */
    PHASE_SENDING,   /* server: a separate answer is on its way */
    PHASE_SERVING,   /* server: answered, the body is kept for later blocks */
    PHASE_OBSERVED,  /* server: notifications may go */
};

/* A message id that arrived, and what we said to it. */
struct coap_recent {
    uint64_t hash;
    uint64_t at_ms;
    struct coap_peer peer;
    uint16_t message_id;
    uint16_t reply_len;
    uint8_t type; /* of what arrived: COAP_CON, COAP_NON */
    bool used;
    bool open; /* the caller has not answered yet: not to be forgotten */
    bool queued;
    bool pending;
    uint8_t reply[COAP_DATAGRAM_MAX];
};

struct coap_peer_slot {
    struct coap_peer peer;
    uint64_t hash;
    uint32_t exchanges; /* 0: free */
    uint32_t bodies;
    uint32_t outstanding; /* confirmable messages without acknowledgement */
    uint32_t held_first;  /* exchanges whose message waits for nstart */
    uint32_t held_last;
    uint32_t next_free;
};

/* A body travelling block-wise. Options stand in the first COAP_OPTIONS_MAX bytes of data, the payload after them. */
struct coap_store {
    uint8_t *data;
    size_t options_len;
    size_t payload_len;
    uint32_t exchange; /* whose it was last */
    uint32_t next_free;
    uint8_t code;
};

struct coap_exchange {
    enum coap_phase phase;
    uint16_t generation; /* never 0 */
    bool confirmable;
    uint32_t next_free;
    uint32_t peer;
    uint32_t recent; /* server: the arrival to answer, NONE once acknowledged or answered */
    uint64_t phase_due;
    uint64_t send_due;

    /* the message in datagram[] */
    bool waiting; /* for its acknowledgement */
    bool held;
    bool queued;
    bool pending;
    uint8_t tries;
    uint32_t timeout_ms;
    uint32_t held_prev;
    uint32_t held_next;
    uint64_t id_hash; /* (peer, message id) in the index, or 0 */
    uint16_t message_id;
    uint16_t datagram_len;

    /* server: the peer's token. client: handle and salt, the salt one higher for every fetch of later blocks */
    uint8_t token[COAP_TOKEN_MAX];
    uint8_t token_len;
    uint32_t salt;
    uint32_t fetch; /* 0: none under way */

    uint32_t in_body;  /* stores, or NONE: what is being put together */
    uint32_t out_body; /* what is being cut up */
    uint8_t szx;       /* of out_body */
    size_t sent;       /* client: where in out_body the block on its way starts */
    uint64_t key;      /* server: peer, code and options of the request (RFC 7959 §2.4) */
    bool key_bound;    /* in the index */
    bool has_block1;   /* server: the answer must carry block1 */
    bool has_block2;   /* server: the request asked for block2 */
    struct coap_block block1;
    struct coap_block block2;

    bool acknowledged; /* server: the empty ACK went out, the answer will be separate */
    bool wants_observe;
    uint64_t observe_hash; /* server: (peer, token) in the index, or 0 */
    bool observing;
    bool ordered; /* client: sequence and at_ms hold the last notification (RFC 7641 §3.4) */
    uint32_t sequence;
    uint64_t at_ms;

    uint8_t datagram[COAP_DATAGRAM_MAX];
};

#define RESET_QUEUE 64 /* resets and pings waiting to go out; more are dropped, as the network might */
#define ID_COUNTERS 1024

struct coap_reset {
    struct coap_peer peer;
    uint16_t message_id;
};

struct coap_endpoint {
    struct coap_config config;
    uint64_t now_ms; /* of the call under way */
    uint64_t key[2];
    uint64_t drawn; /* random numbers so far */
    struct coap_counts counts;
    struct coap_exchange *exchanges;
    struct coap_peer_slot *peers;
    struct coap_recent *recents;
    struct coap_store *stores;
    uint32_t free_exchange, free_peer, free_store;
    uint32_t recent_next;
    uint32_t lent; /* the store an event's body borrows from, or NONE */
    uint32_t etag;
    struct coap_index index;
    struct coap_timers timers;
    uint32_t *queue; /* what is to be sent: kind and position */
    uint32_t queue_cap, queue_first, queue_count;
    struct coap_reset resets[RESET_QUEUE];
    uint32_t reset_first, reset_count;
    /* RFC 7252 §4.4 wants no id twice to one peer within EXCHANGE_LIFETIME. Peers that share a counter skip ids. */
    uint16_t ids[ID_COUNTERS];
};

enum coap_kind { KIND_PEER = 1, KIND_RECENT, KIND_ID, KIND_KEY, KIND_OBSERVE, KIND_COUNTER, KIND_ECHO };

uint32_t coap_random(struct coap_endpoint *endpoint);
uint64_t coap_peer_hash(const struct coap_endpoint *endpoint, enum coap_kind kind, const struct coap_peer *peer,
                        uint16_t extra);
uint16_t coap_next_id(struct coap_endpoint *endpoint, const struct coap_peer *peer);

/* NULL: out of exchanges, or the peer's share is used up. Comes with phase PHASE_FREE still set. */
struct coap_exchange *coap_exchange_new(struct coap_endpoint *endpoint, const struct coap_peer *peer);
void coap_exchange_free(struct coap_endpoint *endpoint, struct coap_exchange *exchange);
struct coap_exchange *coap_exchange_named(struct coap_endpoint *endpoint, uint32_t handle); /* or NULL */
uint32_t coap_exchange_handle(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange);
const struct coap_peer *coap_exchange_peer(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange);
uint32_t coap_exchange_position(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange);
void coap_exchange_due(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint64_t phase_due);

uint32_t coap_peer_share(const struct coap_endpoint *endpoint, uint32_t count); /* of one peer */

/* body.c: NONE when nothing in the pool gives way or the peer's share is used up. */
uint32_t coap_store_new(struct coap_endpoint *endpoint, const struct coap_exchange *exchange);
void coap_store_free(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint32_t *store);
void coap_store_lend(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint32_t *store);
MUST_USE enum status coap_store_fill(struct coap_endpoint *endpoint, uint32_t store, uint8_t code, struct bytes options,
                                     const struct coap_splice *splice);
void coap_store_reclaim(struct coap_endpoint *endpoint); /* the lent one */
MUST_USE bool coap_store_append(struct coap_endpoint *endpoint, uint32_t store, struct bytes payload);
struct coap_body coap_store_body(const struct coap_endpoint *endpoint, uint32_t store);
/* One block of it; `more` is set, the payload is the block's. */
struct coap_body coap_store_cut(const struct coap_endpoint *endpoint, uint32_t store, size_t off, uint8_t szx,
                                bool *more);

/* The largest block that fits a datagram beside those options and the ones we add; at most `szx`. */
uint8_t coap_fitting_szx(size_t options_len, uint8_t szx);

/* Keys (server): where later blocks of a transfer find its exchange. A newer transfer takes the key from an older. */
struct coap_exchange *coap_key_find(struct coap_endpoint *endpoint, const struct coap_peer *peer, uint64_t key);
void coap_key_bind(struct coap_endpoint *endpoint, struct coap_exchange *exchange);
void coap_key_unbind(struct coap_endpoint *endpoint, struct coap_exchange *exchange);
void coap_key_displace(struct coap_endpoint *endpoint, struct coap_exchange *older); /* NULL: nothing to do */
void coap_key_drop(struct coap_endpoint *endpoint, struct coap_exchange *exchange);  /* with the retained body */

/* exchange.c: what comes in, what time brings, what goes out. */
/* Sends the exchange's next message, which takes the place of one still on its way. Confirmable if the exchange is. */
MUST_USE enum status coap_transmit(struct coap_endpoint *endpoint, struct coap_exchange *exchange, struct bytes token,
                                   const struct coap_body *body, const struct coap_splice *splice);
void coap_transmit_end(struct coap_endpoint *endpoint, struct coap_exchange *exchange);
void coap_recent_send(struct coap_endpoint *endpoint, struct coap_recent *recent);
void coap_reset_send(struct coap_endpoint *endpoint, const struct coap_peer *peer, uint16_t message_id);

void coap_recent_acknowledge(struct coap_endpoint *endpoint, struct coap_recent *recent);
/* Piggy-backed, or non-confirmable as the request was; kept for duplicates. */
MUST_USE enum status coap_recent_reply(struct coap_endpoint *endpoint, struct coap_recent *recent, struct bytes token,
                                       const struct coap_body *body, const struct coap_splice *splice);
bool coap_peer_equal(const struct coap_peer *a, const struct coap_peer *b);
void coap_event_of(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange,
                   enum coap_event_kind kind, struct coap_event *event);
/* Ends the exchange, with an event where its phase owes the caller one. */
void coap_exchange_fail(struct coap_endpoint *endpoint, struct coap_exchange *exchange, enum coap_failure failure,
                        struct coap_event *event);

/* client.c */
/* The client exchange that a response's token names, if it comes from the right peer; else NULL. */
struct coap_exchange *coap_client_find(struct coap_endpoint *endpoint, const struct coap_peer *peer, struct bytes token,
                                       bool *of_fetch);
void coap_client_response(struct coap_endpoint *endpoint, struct coap_exchange *exchange, bool of_fetch,
                          const struct coap_body *body, struct coap_event *event);
bool coap_asks_to_observe(const struct coap_body *request);
bool coap_keeps_observation(const struct coap_body *response); /* 2.xx with Observe (RFC 7641 §4.2) */

/* server.c */
void coap_server_request(struct coap_endpoint *endpoint, struct coap_recent *recent, const struct coap_message *message,
                         struct coap_event *event);
/* An empty acknowledgement, kept for duplicates until the answer is there. */
void coap_server_acknowledge(struct coap_endpoint *endpoint, struct coap_exchange *exchange);

/* echo.c: is the request one that needs an Echo, and has no fresh one of that peer's? Then it is asked for one. */
bool coap_echo_missing(const struct coap_endpoint *endpoint, const struct coap_peer *peer,
                       const struct coap_body *request);
void coap_echo_ask(struct coap_endpoint *endpoint, struct coap_recent *recent, struct bytes token);

#endif
