/* libbastide-client: a device's whole conversation with a Bastide hub — enrol once with a one-time code, then send and
 * watch, over CoAP, readable by nobody but the hub's enclave. This header is all there is to include, and libcrypto all
 * there is to link beside the library.
 *
 * The hub proves what it is before anything else is sent to it, again with every session: by certificates that end at
 * the owner whom the code names, and by evidence that ends at the TPM which that owner verified. A hub that shows less
 * than what was seen before, an older state put back for instance, is refused. Sessions begin, end and begin anew by
 * themselves, and so does the device's certificate; a hub or network that is away looks like a slow answer.
 *
 *     struct bastide *hub;
 *     char why[BASTIDE_WHY_MAX];
 *     const struct bastide_config config = {.url = "coap://192.0.2.7", .state_file = "thermometer.state"};
 *     if (bastide_open(&config, &hub, why, sizeof why) == BASTIDE_OK &&
 *         (bastide_is_enrolled(hub) || bastide_enrol(hub, code) == BASTIDE_OK))
 *         bastide_send(hub, "temperature", "{\"celsius\":21.5}", NULL);
 *
 * Everything given is borrowed for the call, everything returned until the next call. One thread at a time. */
#ifndef BASTIDE_H
#define BASTIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASTIDE_WHY_MAX 256      /* room for a sentence */
#define BASTIDE_STATE_MAX 3072   /* bytes of a device's state */
#define BASTIDE_NAME_MAX 64      /* letters of a device's name */
#define BASTIDE_TIMEOUT_MS 30000 /* of a request, all attempts together */

enum bastide_status {
    BASTIDE_OK = 0,
    BASTIDE_UNREACHABLE, /* nobody answers, or not yet: try again later */
    BASTIDE_REFUSED,     /* the hub is not the one that the code describes; nothing was sent to it */
    BASTIDE_UNWELCOME,   /* the hub does not know this device (any more), or not this code */
    BASTIDE_STORAGE,     /* the device's state cannot be read or written */
    BASTIDE_TOO_LONG,    /* the request or its answer */
    BASTIDE_USAGE,       /* the caller's mistake */
    BASTIDE_INTERNAL,    /* out of memory or randomness */
};

/* Where the device's state is kept: it holds the private key. What `save` is given replaces what was there, durably and
 * as a whole, before it returns true. `load` gives the length, 0 when there is nothing yet, or -1. */
struct bastide_storage {
    long (*load)(void *user, uint8_t *state, size_t cap);
    bool (*save)(void *user, const uint8_t *state, size_t len);
    void *user;
};

struct bastide_config {
    const char *url;                /* "coap://HOST[:PORT]" */
    const char *state_file;         /* mode 0600; or NULL, and */
    struct bastide_storage storage; /* somewhere else */
    uint32_t timeout_ms;            /* 0: BASTIDE_TIMEOUT_MS */
    bool no_clock;                  /* the machine's clock says nothing: dates are not checked */
};

struct bastide; /* a device and its hub */

/* Reads the state, if there is one; sends nothing yet. On failure `why` has a sentence. */
enum bastide_status bastide_open(const struct bastide_config *config, struct bastide **hub, char *why, size_t cap);
void bastide_close(struct bastide *hub);            /* NULL is fine */
const char *bastide_why(const struct bastide *hub); /* a sentence about the last call that failed */

bool bastide_is_enrolled(const struct bastide *hub);
/* With a code of `bastide client add NAME --code`. What was cut off goes on when it is called again with the same code.
 * USAGE when the device is enrolled, or the text is no code. */
enum bastide_status bastide_enrol(struct bastide *hub, const char *code);
/* As the owner named the device; sources of its events begin with it. "" before it is enrolled. */
const char *bastide_name(const struct bastide *hub);

/* One event: a type, its properties as a JSON object, and the source if it is not the name itself (NAME/…). OK: the
 * hub has made it durable. It carries an id of its own, so one that was sent twice counts once. */
enum bastide_status bastide_send(struct bastide *hub, const char *type, const char *properties, const char *source);

/* Has the hub prove once more what it is, on the session as it is. Every new session does so anyway: this is for one
 * that lasts, now and then or before something that matters. REFUSED: the session is over, and nothing more is sent. */
enum bastide_status bastide_verify(struct bastide *hub);

enum bastide_method { BASTIDE_GET = 1, BASTIDE_POST = 2, BASTIDE_DELETE = 4 };

#define BASTIDE_JSON 50
#define BASTIDE_CBOR 60
#define BASTIDE_SENML_JSON 110
#define BASTIDE_SENML_CBOR 112
#define BASTIDE_NO_FORMAT UINT32_MAX

/* Anything else that the hub offers (enclave/hub/hub.h lists it). */
struct bastide_request {
    enum bastide_method method;
    const char *path;  /* "events" */
    const char *query; /* "after=3&wait=30", or NULL */
    uint32_t content_format;
    const void *payload;
    size_t payload_len;
    uint32_t wait_ms; /* added to the timeout: a long poll's */
};

struct bastide_answer {
    unsigned code;           /* 205 is 2.05 (RFC 7252 §12.1.2) */
    uint32_t content_format; /* or BASTIDE_NO_FORMAT */
    const void *payload;     /* NUL-terminated beyond its length */
    size_t payload_len;
};

/* To its end. OK: an authentic answer, whatever its code. */
enum bastide_status bastide_request(struct bastide *hub, const struct bastide_request *request,
                                    struct bastide_answer *answer);

/* Observes a resource (RFC 7641): "actions" brings what rules have this device do. `notify` is called from
 * bastide_run() and bastide_request(), with the present state first; with `answer` NULL once, when it has ended:
 * because the hub or the way to it was away. Then observe again, with the cursor of what is known: "after=CURSOR". It
 * may call bastide_observe(). While nothing comes, ask for the same by bastide_request() every 15 seconds: silence
 * does not tell a quiet hub from one that forgot. */
typedef void bastide_notify(void *user, const struct bastide_answer *answer);
enum bastide_status bastide_observe(struct bastide *hub, const char *path, const char *query, bastide_notify *notify,
                                    void *user);
/* Serves observations, waiting up to wait_ms for something to happen. */
enum bastide_status bastide_run(struct bastide *hub, int wait_ms);

#endif
