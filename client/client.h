/* client: OSCORE requests to a hub over CoAP or HTTP, for devices and for the command line; many at once.
 * Never takes an answer for one that did not verify; never writes its keys anywhere.
 *
 * What no key vouches for — resets, refused connections, 5.03, an unprotected 4.01, answers that do not verify — only
 * ever makes it ask again: sooner or later, under the same session or a new one. So a node that is killed and comes
 * back looks like a slow answer, and a request that may have been done is sent again: give events an id. */
#ifndef BASTIDE_CLIENT_H
#define BASTIDE_CLIENT_H

#include "attest.h"
#include "base.h"
#include "coap.h"
#include "edhoc.h"
#include "oscore.h"

struct client;           /* one session with one hub, over one socket or connection pool; one thread at a time */
struct client_transport; /* what carries requests. CoAP over UDP is here; another way is a room of its own */

#define CLIENT_PENDING_MAX 64 /* requests under way at once, observations among them */
#define CLIENT_ANSWER_MAX (256u * 1024u)
#define CLIENT_REQUEST_MAX (192u * 1024u) /* payload; AES-CCM takes less than 64 KiB, and a hub may take less still */
#define CLIENT_TIMEOUT_MS 30000u          /* of one request, B.2 and resending included */
#define CLIENT_NO_FORMAT UINT32_MAX       /* the answer names no content format */

/* What a hub showed of itself in EDHOC. Borrows for the call. */
struct client_hub {
    const struct edhoc_reference *reference; /* certificates, or a bare key */
    struct bytes credential;                 /* CRED_R: the DER of its certificate, or its claims set */
    struct bytes evidence;                   /* the value of EAD_4 (proto/attest); empty when it gave none */
    const struct attest_binder *binder;
    struct bytes nonce;
};

/* A session agreed on by EDHOC (RFC 9528), in which the hub proves what it is before anything else is sent. It is
 * agreed on anew whenever the hub lost it. Everything borrowed until client_close(). */
struct client_edhoc {
    unsigned method;   /* 0 to 3; 0: both sign */
    const int *suites; /* the most preferred first */
    size_t suites_count;
    struct edhoc_credential own; /* id_cred: by reference */
    struct bytes own_by_value;   /* ID_CRED_I for a hub that does not know the reference; empty: there is none */
    /* May the key named here be our hub's? Before the hub learns who we are. `why`: a sentence. NULL: any may. */
    enum status (*meet)(void *user, const struct client_hub *hub, char *why, size_t cap);
    /* Is it what it should be? Before any request is sent. `why`: a sentence. */
    enum status (*appraise)(void *user, const struct client_hub *hub, char *why, size_t cap);
    void *user;
};

struct client_config {
    const char *url;                  /* "coap://127.0.0.1:5683" or "http://127.0.0.1:8080"; [::1] and names too */
    const struct oscore_input *input; /* a secret agreed on beforehand; copied. Or: */
    const struct client_edhoc *edhoc;
    const struct client_transport *http; /* carries http:// URLs: &client_over_http (client/http); NULL: nothing does */
    uint32_t timeout_ms;                 /* 0: CLIENT_TIMEOUT_MS */
};

/* Looks a host's name up, for as long as that takes. MALFORMED: the URL; UNSUPPORTED: it is an http:// one, and nothing
 * carries those; IO, NO_ROOM, INTERNAL. `why`: a sentence. */
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
 * answers; DENIED: the hub is not what it should be (edhoc), and nothing was sent to it; AUTH: answers do not verify,
 * or the hub says it knows no session with this key; NO_ROOM: the request is longer than the session's algorithm or the
 * node takes, or the answer longer than CLIENT_ANSWER_MAX; MALFORMED, UNSUPPORTED: the request. client_why() has the
 * sentence. WRONG_STATE: called from within `done`. */
MUST_USE enum status client_ask(struct client *client, const struct client_request *request,
                                struct client_answer *answer);
const char *client_why(const struct client *client);

/* Has the hub prove once more what it is, on the session as it is: evidence with a fresh quote, for a nonce of ours,
 * which client_edhoc.appraise judges. As client_ask(), serving all others meanwhile; and DENIED, which a hub without
 * evidence is too, ends the session: nothing more is sent under it. UNSUPPORTED: it has no EDHOC, or no appraise. */
MUST_USE enum status client_attest(struct client *client);

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

#endif
