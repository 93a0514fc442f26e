/* What the files of the client share: pending requests, the session's phase, and what a transport is. */
#ifndef BASTIDE_CLIENT_INTERNAL_H
#define BASTIDE_CLIENT_INTERNAL_H

#include "client.h"

#include <netdb.h>

#define OUTER_MAX (CLIENT_ANSWER_MAX + OSCORE_OVERHEAD + 1024u) /* a protected message, either way */
#define OPTIONS_MAX 1024u /* path, query and the rest of a request's inner options */
#define WHY_MAX 256

#define BACKOFF_FIRST_MS 50u
#define BACKOFF_MAX_MS 500u
#define ATTEMPT_MS 6000u  /* the first try of a request, beyond its own wait; the next takes twice as long */
#define PROBE_MS 250u     /* in doubt one request goes ahead; after so long without its answer, another */
#define REFUSALS_MAX 5u   /* new sessions refused in a row, over at least … */
#define REFUSALS_MS 2000u /* … so long: the hub does not know this key */
#define CHALLENGES_MAX 3u /* responses #1 in a row; past it they are spaced out */
#define ADDRESS_MAX 320u  /* of a URL, as text */
#define RECEIVE_MAX 256   /* datagrams in one round */
#define QUOTE_MAX 80      /* of an unprotected answer's text, in a sentence */
#define SLOTS (CLIENT_PENDING_MAX + 1u) /* the last is the handshake's */
#define HANDSHAKE CLIENT_PENDING_MAX
#define HANDSHAKES_MAX 3u    /* in a row that the hub refused or lost */
#define ECHOES_MAX 3u        /* in a row that a node asked for; past it they are spaced out */
#define ECHO_MAX 40          /* bytes of one (RFC 9175 §2.2.1) */
#define CREDENTIAL_MAX 4096u /* bytes of CRED_R */

/* ---- url.c ---- */

struct client_url {
    bool http;
    char host[256]; /* without brackets */
    char port[6];
    char base[ADDRESS_MAX]; /* scheme, host and port as they came, no slash at the end */
};

MUST_USE enum status client_url_parse(const char *text, struct client_url *url);

/* ---- pending requests ---- */

enum pending_phase {
    PENDING_FREE,
    PENDING_QUEUED,
    PENDING_FLYING,
    PENDING_OBSERVING,
    PENDING_ENDED, /* an observation whose caller is still to be told */
    PENDING_PHASES,
};

/* What came instead of an answer. Of the last one the sentence speaks when the time is up. */
enum trouble {
    TROUBLE_SILENCE,
    TROUBLE_REFUSED,     /* nobody listens, or the connection broke */
    TROUBLE_UNAVAILABLE, /* the node answers, not its hub */
    TROUBLE_UNKNOWN,     /* unprotected 4.0x: the hub says it does not know us */
    TROUBLE_FORGED,      /* does not verify */
};

struct client_pending {
    enum pending_phase phase;
    struct client *client;
    uint8_t code;
    bool observe;
    char *path, *query; /* owned */
    uint32_t content_format;
    uint8_t *payload; /* owned */
    size_t payload_len;
    struct bytes echo; /* the handshake's, in struct client_handshake */
    client_done *done;
    void *user;

    uint64_t order; /* the earliest begun goes first */
    uint64_t deadline_ms;
    uint64_t sent_ms, attempt_until_ms;
    uint32_t wait_ms, attempt_ms;
    uint32_t epoch;      /* of trouble, when it was sent */
    uint32_t generation; /* of the session, when it was protected */
    uint64_t sequence;
    struct oscore_request oscore;
    enum trouble trouble;

    uint32_t handle; /* CoAP */
    void *transfer;  /* another transport's, of this place: it outlives the request */
};

/* ---- transports: udp.c, client/http ---- */

struct client_transport {
    MUST_USE enum status (*open)(struct client *client, char *why, size_t cap);
    void (*close)(struct client *client);
    /* Sends an outer message. BUSY: not before others are done. */
    MUST_USE enum status (*send)(struct client *client, struct client_pending *pending, const struct coap_body *outer);
    void (*cancel)(struct client *client, struct client_pending *pending); /* also what is done; nothing comes of it */
    void (*serve)(struct client *client);                                  /* what arrived, what time brought */
    MUST_USE enum status (*wait)(struct client *client, uint32_t wait_ms);
};

extern const struct client_transport client_over_udp;

/* ---- the client ---- */

/* Of EDHOC; config NULL: the secret was agreed on beforehand. */
struct client_handshake {
    const struct client_edhoc *config;
    struct edhoc_profile profile;
    struct edhoc_session session;
    const struct edhoc_suite *suite;
    bool under_way, by_value;
    unsigned failures;      /* in a row */
    unsigned echoes;        /* asked for, in a row */
    uint8_t echo[ECHO_MAX]; /* the last one given, which shows that we are at our address (RFC 9175 §2.3) */
    size_t echo_len;
    uint8_t nonce[32];
    uint8_t credential[CREDENTIAL_MAX];
    size_t credential_len;
    struct attest_binder binder; /* of the last that ended well */
};

enum session_phase {
    SESSION_NONE,    /* no context at the hub that we know of: one request, until its response #1 (RFC 8613 B.2.1) */
    SESSION_DOUBTED, /* new, or there was trouble: one request goes ahead */
    SESSION_OPEN,    /* the last thing heard was an authentic answer */
};

struct client {
    const struct client_transport *transport;
    void *carrier; /* its own; CoAP over UDP has its fields below */
    struct client_url url;
    uint32_t timeout_ms;
    bool running; /* within client_run() */
    char why[WHY_MAX];

    struct client_handshake handshake;
    struct oscore_session session;
    enum session_phase phase;
    uint32_t generation; /* of contexts */
    uint64_t newest;     /* sequence number sent under it */
    uint64_t proved;     /* highest one answered, plus one */
    uint32_t challenges; /* in a row */
    uint32_t refusals;   /* of new sessions, in a row */
    uint64_t refused_since_ms;

    enum trouble trouble; /* the last, of any request, since an authentic answer */
    uint32_t epoch;       /* one higher with each time of trouble */
    uint32_t backoff_ms;
    uint64_t quiet_until_ms;
    uint64_t sent_ms; /* the last time */
    uint64_t now_ms;

    struct client_pending pending[SLOTS];
    size_t counts[PENDING_PHASES];
    uint64_t begun;
    uint32_t told; /* callbacks in this round */

    uint8_t *outer;      /* OUTER_MAX */
    uint8_t *plain_text; /* one byte more, for a NUL */
    size_t plain_len;
    uint8_t *kept; /* client_ask()'s answer */
    size_t kept_len;

    int udp;
    struct coap_endpoint *endpoint;
    void *endpoint_memory;
    struct addrinfo *addresses, *address;
    bool refused; /* the kernel said so */
};

/* client.c */
uint64_t client_now_ms(void);
void client_set_phase(struct client *client, struct client_pending *pending, enum pending_phase phase);
void client_finish(struct client *client, struct client_pending *pending, enum status status,
                   const struct client_answer *answer); /* frees it, then tells the caller */
void client_say(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
MUST_USE enum status client_put_in(struct client *client, struct client_pending *pending,
                                   const struct client_request *request, client_done *done, void *user);

/* attempt.c: one try of a request after the other */
void client_put_message(struct writer *options, const struct client_pending *pending, const char *path,
                        const char *query, struct coap_body *message); /* borrows from all of them */
void client_send_due(struct client *client);
void client_expire(struct client *client);
uint32_t client_due_ms(const struct client *client, uint32_t wait_ms); /* until one of these has work */
/* Everything that waits for a session ends so. */
void client_fail_waiting(struct client *client, enum status status);

/* The session, and what was asked under it, as if it had never been. */
void client_restart(struct client *client);

/* attest.c: hands what the hub shows to the one who judges it. DENIED: `why` was said. */
MUST_USE enum status client_judge(struct client *client, struct bytes evidence, struct bytes nonce);

/* handshake.c */
bool client_needs_handshake(const struct client *client);
void client_shake_hands(struct client *client);
/* The handshake's answer: true when it asked for an Echo, and the request goes again. */
bool client_take_echo(struct client *client, struct client_pending *pending, const struct coap_body *outer);

/* From transports. `more`: the exchange lives on. */
void client_take_reply(struct client *client, struct client_pending *pending, const struct coap_body *outer, bool more);
void client_take_trouble(struct client *client, struct client_pending *pending, enum trouble trouble);
void client_take_refusal(struct client *client); /* of everything on its way */

#endif
