/* client: OSCORE requests to a hub over CoAP or HTTP, for devices and for the command line; many at once.
 * Never takes an answer for one that did not verify; never writes its keys anywhere. */
#ifndef BASTIDE_CLIENT_H
#define BASTIDE_CLIENT_H

#include "base.h"
#include "coap.h"
#include "oscore.h"

struct client; /* one session with one hub, over one socket or connection pool */

#define CLIENT_PENDING_MAX 64 /* requests under way at once */
#define CLIENT_ANSWER_MAX (256u * 1024u)
#define CLIENT_TIMEOUT_MS 30000u /* of one request, B.2 and resending included */

struct client_config {
    const char *url;                  /* "coap://127.0.0.1:5683" or "http://127.0.0.1:8080" */
    const struct oscore_input *input; /* copied */
    uint32_t timeout_ms;              /* 0: CLIENT_TIMEOUT_MS */
};

MUST_USE enum status client_open(const struct client_config *config, struct client **client, char *why, size_t cap);
void client_close(struct client *client); /* NULL is fine; wipes */

struct client_request {
    uint8_t code;      /* COAP_GET, COAP_POST, COAP_DELETE */
    const char *path;  /* "events", "actions" */
    const char *query; /* "after=3&wait=30", or NULL */
    uint32_t content_format;
    struct bytes payload;
    bool observe;     /* CoAP only: the answer is the first of many */
    uint32_t wait_ms; /* added to the timeout: a long poll's */
};

struct client_answer {
    uint8_t code;
    uint32_t content_format;
    struct bytes payload; /* NUL-terminated beyond its length; valid until the next call */
};

/* One request, to its end: B.2, retransmission and retries after 4.01 and 5.03 happen inside (a request that may have
 * been done is sent again: give events an id). OK: an authenticated answer, whatever its code. IO: nobody answers;
 * AUTH: answers do not verify. client_why() has the sentence. */
MUST_USE enum status client_ask(struct client *client, const struct client_request *request,
                                struct client_answer *answer);
const char *client_why(const struct client *client);

/* The same, many at once. `done` is called from client_run() once per request, or once per notification with `more`. */
typedef void client_done(void *user, enum status status, const struct client_answer *answer, bool more);
/* BUSY past CLIENT_PENDING_MAX. Copies the request. */
MUST_USE enum status client_begin(struct client *client, const struct client_request *request, client_done *done,
                                  void *user);
/* Serves whatever is due; waits at most wait_ms for something to be. */
MUST_USE enum status client_run(struct client *client, int wait_ms);
size_t client_pending(const struct client *client);

/* Unprotected POST /.well-known/bastide over the URL's transport. */
MUST_USE enum status client_first_contact(const char *url, struct bytes hello, uint32_t timeout_ms,
                                          struct writer *answer, char *why, size_t cap);

#endif
