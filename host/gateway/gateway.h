/* gateway: CoAP over UDP and HTTP in front of an enclave — whole requests in, replies and notifications out.
 * Never holds a key, never looks inside an OSCORE payload, never blocks. */
#ifndef BASTIDE_GATEWAY_H
#define BASTIDE_GATEWAY_H

#include "abi.h"
#include "base.h"
#include "coap.h"

/* Payload bytes of a request or a reply. The hub's own limit counts plaintext; OSCORE and inner options come on top. */
#define GATEWAY_BODY_DEFAULT (64u * 1024u)
#define GATEWAY_BODY_LIMIT (192u * 1024u)
#define GATEWAY_OSCORE_OVERHEAD 1024u

#define GATEWAY_HTTP_CONNECTIONS 2048u  /* more wait in the kernel's backlog */
#define GATEWAY_HTTP_ARRIVAL_MS 20000u  /* a connection delivers a whole request, and takes its answer, within this */
#define GATEWAY_HTTP_WAIT_MS 120000u    /* the enclave's time for one answer: longer than its longest poll; then 504 */
#define GATEWAY_HTTP_WATCH_MS 200u      /* a request that waits so long is watched for a client that leaves */
#define GATEWAY_HTTP_DISCARD (1u << 20) /* of a refused body, read so that the client sees the refusal */
#define GATEWAY_COAP_EXCHANGES 4096u
#define GATEWAY_NOTICES_MAX 16u /* notifications held for one observer; the oldest goes first */

struct gateway;

struct gateway_config {
    const char *coap;  /* "127.0.0.1:5683", "[::]:5683" (both families); NULL: no CoAP */
    const char *http;  /* the same for HTTP */
    uint32_t body_max; /* payload bytes, 1 to GATEWAY_BODY_LIMIT; OSCORE's overhead is added */
    const char *version;
    /* A whole request, as a CoAP body. Anything but OK is answered 5.03 at once and the channel is not open. */
    enum status (*ask)(void *context, uint64_t channel, enum door_transport transport, struct bytes body);
    /* The peer of an open channel left: nothing more can be said to it. */
    void (*gone)(void *context, uint64_t channel);
    void *context;
    /* A credential for the node's TPM (application/octet-stream to the first contact's path, HTTP only): answered like
     * a request, by gateway_reply(); BUSY is answered 503. May be NULL: then there is no such thing. gone() is not
     * called for it. */
    enum status (*prove)(void *context, uint64_t channel, struct bytes credential);
    void *prove_context;
};

/* Binds and listens. On failure *why is a sentence for the operator, borrowed from static memory. */
MUST_USE enum status gateway_new(const struct gateway_config *config, struct gateway **gateway, const char **why);
void gateway_free(struct gateway *gateway); /* NULL is allowed */

/* An epoll descriptor: readable when gateway_run() has work. */
int gateway_fd(const struct gateway *gateway);
/* now_ms: any clock that never goes back. Without intake no datagram is read and HTTP only goes on where it must. */
void gateway_run(struct gateway *gateway, uint64_t now_ms, bool intake);
/* Milliseconds until gateway_run() has work whatever the descriptor says; -1 for never. */
int gateway_timeout(const struct gateway *gateway, uint64_t now_ms);

/* What the enclave said, so nothing about it is trusted: MALFORMED for a body that is none (the peer gets 5.02),
 * NOT_FOUND for a channel that is not open. `more` keeps the channel open: the answer to a registration, then its
 * notifications (CoAP only; over HTTP it is taken as the answer). */
MUST_USE enum status gateway_reply(struct gateway *gateway, uint64_t now_ms, uint64_t channel, struct bytes body,
                                   bool more);

/* Down, all that is open is answered 5.03 (Max-Age 1; HTTP 503, Retry-After 1) without gone(), and so is what comes. */
void gateway_set_enclave(struct gateway *gateway, uint64_t now_ms, bool up);

struct gateway_counts {
    uint32_t channels; /* requests and observations the enclave has */
    uint32_t asked;    /* of them, requests without an answer */
    uint32_t connections;
};
struct gateway_counts gateway_counts(const struct gateway *gateway);

/* ---- Mapping between HTTP and CoAP, pure (RFC 8075, RFC 8613 §11) ---- */

/* The OSCORE option from the value of the HTTP header field; "AA" stands for an empty one. MALFORMED; NO_ROOM past
 * GATEWAY_OPTION_MAX. */
#define GATEWAY_OPTION_MAX 255
#define GATEWAY_HEADER_MAX 341 /* text of the longest option, and its NUL */
MUST_USE enum status gateway_option_from_header(const char *header, uint8_t option[GATEWAY_OPTION_MAX], size_t *len);
MUST_USE enum status gateway_option_to_header(struct bytes option, char header[GATEWAY_HEADER_MAX]);

/* RFC 8075 §7, table 2; 502 for what is no final response. */
unsigned gateway_http_status(uint8_t code, bool has_payload);
/* NULL for a format without a name here. */
const char *gateway_media_type(uint32_t content_format);
/* Ignores case and parameters; NOT_FOUND. */
MUST_USE enum status gateway_content_format(const char *media_type, uint32_t *content_format);

/* A POST with an OSCORE option, and an unprotected one to /.well-known/edhoc, as CoAP bodies. */
void gateway_put_oscore_request(struct writer *to, struct bytes option, struct bytes payload);
void gateway_put_edhoc(struct writer *to, struct bytes payload);

/* "ADDRESS:PORT", numeric, IPv6 in brackets; into a sockaddr of at most COAP_PEER_MAX bytes. */
MUST_USE enum status gateway_parse_address(const char *text, struct coap_peer *address);

#endif
