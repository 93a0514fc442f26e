/* What the files of the gateway share: the table of open channels, the UDP side, the HTTP side.
 * Only gateway.c calls back into the daemon's ask() and gone(). */
#ifndef BASTIDE_GATEWAY_INTERNAL_H
#define BASTIDE_GATEWAY_INTERNAL_H

#include "gateway.h"

#define EDHOC_PATH "/.well-known/edhoc"
#define PROOF_PATH "/.well-known/bastide" /* where the node's TPM proves its keys */
#define HEALTH "/healthz"

/* The largest datagram read; what is longer is dropped. Block-wise peers send at most 1024 bytes of payload. */
#define DATAGRAM_CAP 4096
#define DATAGRAM_BATCH 32
/* Options around a payload, in both directions. */
#define OPTIONS_CAP 1024u
#define SWEEP_MS 200u
#define CHANNEL_SLOTS 16384u /* more than twice what CoAP exchanges and HTTP connections can open */

struct notice {
    struct notice *next;
    size_t len;
    uint8_t data[];
};

struct http_request;

/* A request or an observation the enclave has. The transport stands in the upper bits of the id; the rest is CoAP's
 * handle or a serial number. */
struct channel {
    uint64_t id;
    uint64_t since_ms;
    struct http_request *http; /* NULL over CoAP */
    uint32_t handle;
    bool wants_observe;
    bool observed; /* CoAP: answered, takes notifications */
    bool proof;    /* for the TPM, not for the enclave */
    struct notice *first, *last;
    unsigned notices;
};

struct http_connection {
    struct http_connection *next, *prev;
    uint64_t deadline_ms;
    int fd;
    bool waiting; /* for the enclave: its own limit counts */
};

struct MHD_Daemon;

struct gateway {
    struct gateway_config config;
    uint64_t now_ms;
    uint64_t sweep_ms;
    int epoll;
    bool up;

    struct channel *channels[CHANNEL_SLOTS];
    uint32_t channel_count;
    uint32_t asked_count;

    int udp;
    struct coap_endpoint *endpoint;
    void *endpoint_memory;
    struct udp_batch *batch;

    struct MHD_Daemon *http;
    int http_listen;
    struct http_connection *connections;
    uint32_t connection_count;
    uint64_t serial;
    uint8_t *scratch; /* one outgoing CoAP body */
    size_t scratch_cap;
};

/* channel.c */
struct channel *channel_open(struct gateway *gateway, uint64_t id); /* NULL when it is open already, or no memory */
struct channel *channel_find(const struct gateway *gateway, uint64_t id);
void channel_close(struct gateway *gateway, struct channel *channel);
MUST_USE enum status channel_hold(struct channel *channel, struct bytes body); /* copies; drops the oldest when full */
void channel_unhold(struct channel *channel);                                  /* drops the oldest */

/* gateway.c */
MUST_USE enum status gateway_ask(struct gateway *gateway, uint64_t id, struct channel **channel, struct bytes body);
MUST_USE enum status gateway_prove(struct gateway *gateway, uint64_t id, struct channel **channel,
                                   struct bytes credential);
void gateway_lost(struct gateway *gateway, struct channel *channel); /* closes, and tells the daemon */
uint64_t channel_id(enum door_transport transport, uint64_t number);

/* udp.c */
MUST_USE enum status udp_start(struct gateway *gateway, const char **why);
void udp_stop(struct gateway *gateway);
void udp_receive(struct gateway *gateway);
void udp_tick(struct gateway *gateway);
void udp_flush(struct gateway *gateway);
MUST_USE enum status udp_reply(struct gateway *gateway, struct channel *channel, const struct coap_body *body,
                               bool more, struct bytes encoded);
void udp_refuse(struct gateway *gateway, struct channel *channel); /* 5.03, closes */

/* http.c: MHD's calls and the life of a request; answer.c: what is sent back */
MUST_USE enum status http_start(struct gateway *gateway, const char **why);
void http_stop(struct gateway *gateway);
void http_run(struct gateway *gateway);
int http_timeout(const struct gateway *gateway);
void http_sweep(struct gateway *gateway);
void http_left(struct gateway *gateway, struct channel *channel); /* the client closed while it waited */
MUST_USE enum status http_reply(struct gateway *gateway, struct channel *channel, const struct coap_body *body);
void http_refuse(struct gateway *gateway, struct channel *channel, unsigned status, const char *text);

struct MHD_Response;
struct MHD_Response *answer_text(unsigned status, const char *text); /* NULL: out of memory */
struct MHD_Response *answer_health(const struct gateway *gateway, unsigned *status);
struct MHD_Response *answer_coap(const struct coap_body *body, unsigned *status); /* NULL when it cannot be one */

/* Made, bound, non-blocking; -1 on failure. */
MUST_USE int socket_bind(const char *address, int type, const char **why);

#endif
