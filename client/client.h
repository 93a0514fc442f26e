/* client: OSCORE requests to a hub over CoAP or HTTP, for devices and for the command line; many at once.
 * Never takes an answer for one that did not verify; never writes its keys anywhere.
 *
 * What no key vouches for — resets, refused connections, 5.03, an unprotected 4.01, answers that do not verify — only
 * ever makes it ask again: sooner or later, under the same session or a new one. So a node that is killed and comes
 * back looks like a slow answer, and a request that may have been done is sent again: give events an id. */
#ifndef BASTIDE_CLIENT_H
#define BASTIDE_CLIENT_H

#include "base.h"
#include "coap.h"
#include "oscore.h"

struct client; /* one session with one hub, over one socket or connection pool; one thread at a time */

#define CLIENT_PENDING_MAX 64 /* requests under way at once, observations among them */
#define CLIENT_ANSWER_MAX (256u * 1024u)
#define CLIENT_REQUEST_MAX (192u * 1024u) /* payload; AES-CCM takes less than 64 KiB, and a hub may take less still */
#define CLIENT_TIMEOUT_MS 30000u          /* of one request, B.2 and resending included */
#define CLIENT_NO_FORMAT UINT32_MAX       /* the answer names no content format */

struct client_config {
    const char *url;                  /* "coap://127.0.0.1:5683" or "http://127.0.0.1:8080"; [::1] and names too */
    const struct oscore_input *input; /* copied */
    uint32_t timeout_ms;              /* 0: CLIENT_TIMEOUT_MS */
};

/* Looks a host's name up, for as long as that takes. MALFORMED: the URL; IO, NO_ROOM, INTERNAL. `why`: a sentence. */
MUST_USE enum status client_open(const struct client_config *config, struct client **client, char *why, size_t cap);
void client_close(struct client *client); /* NULL is fine; wipes; calls no `done`; not from within one */

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

/* One request, to its end, serving all others meanwhile. OK: an authenticated answer, whatever its code. IO: nobody
 * answers; AUTH: answers do not verify, or the hub says it knows no session with this key; NO_ROOM: the request is
 * longer than the session's algorithm or the node takes, or the answer longer than CLIENT_ANSWER_MAX; MALFORMED,
 * UNSUPPORTED: the request. client_why() has the sentence. WRONG_STATE: called from within `done`. */
MUST_USE enum status client_ask(struct client *client, const struct client_request *request,
                                struct client_answer *answer);
const char *client_why(const struct client *client);

/* The same, many at once. `done` is called from client_run() or client_ask(), once per request; of an observation once
 * per answer with `more`, and once without at its end. `answer` is NULL unless OK. It may call client_begin(). */
typedef void client_done(void *user, enum status status, const struct client_answer *answer, bool more);
/* BUSY past CLIENT_PENDING_MAX. Copies the request.
 *
 * An observation hands notifications on in their order, each once, none that is older than one before. It ends with IO
 * whenever the hub may have forgotten it: after a restart of hub or node that any request of this client ran into, a
 * reset, an error of the node. Begin it again then, with a query that says what is known already ("after=CURSOR"), and
 * nothing is missed. What no message tells, silence cannot either: while nothing comes, ask for the same without
 * `observe` now and then (10 to 15 seconds). That ends an observation the hub has forgotten, and what it brings that
 * no notification brought says the same. */
MUST_USE enum status client_begin(struct client *client, const struct client_request *request, client_done *done,
                                  void *user);
/* Serves whatever is due; waits at most wait_ms for something to be. IO: the machine refuses to wait. */
MUST_USE enum status client_run(struct client *client, int wait_ms);
size_t client_pending(const struct client *client); /* whose `done` is still to be called */

/* Unprotected POST /.well-known/bastide over the URL's transport, resent like any request. Appends the payload of the
 * answer, which nobody vouches for yet. AUTH, DENIED: the hub refused the hello; `why` quotes it. */
MUST_USE enum status client_first_contact(const char *url, struct bytes hello, uint32_t timeout_ms,
                                          struct writer *answer, char *why, size_t cap);
/* The same for a credential that the node's TPM is to open (verifier/evidence: evidence_challenge); HTTP only. Appends
 * what it found. */
MUST_USE enum status client_prove(const char *url, struct bytes credential, uint32_t timeout_ms, struct writer *answer,
                                  char *why, size_t cap);

#endif
