/* coap: RFC 7252 messages and options, the OSCORE plaintext form, and one exchange machine for clients and servers.
 * Never does I/O, never reads a clock, never allocates, never looks inside an OSCORE payload. */
#ifndef BASTIDE_COAP_H
#define BASTIDE_COAP_H

#include "base.h"

/* ---- Codes (RFC 7252 §12.1, RFC 8132, RFC 7959) ---- */

#define COAP_CODE(class, detail) ((uint8_t)((class) << 5 | (detail)))

enum coap_code {
    COAP_EMPTY = COAP_CODE(0, 0),
    COAP_GET = COAP_CODE(0, 1),
    COAP_POST = COAP_CODE(0, 2),
    COAP_PUT = COAP_CODE(0, 3),
    COAP_DELETE = COAP_CODE(0, 4),
    COAP_FETCH = COAP_CODE(0, 5),
    COAP_PATCH = COAP_CODE(0, 6),
    COAP_IPATCH = COAP_CODE(0, 7),
    COAP_CREATED = COAP_CODE(2, 1),
    COAP_DELETED = COAP_CODE(2, 2),
    COAP_VALID = COAP_CODE(2, 3),
    COAP_CHANGED = COAP_CODE(2, 4),
    COAP_CONTENT = COAP_CODE(2, 5),
    COAP_CONTINUE = COAP_CODE(2, 31),
    COAP_BAD_REQUEST = COAP_CODE(4, 0),
    COAP_UNAUTHORIZED = COAP_CODE(4, 1),
    COAP_BAD_OPTION = COAP_CODE(4, 2),
    COAP_FORBIDDEN = COAP_CODE(4, 3),
    COAP_NOT_FOUND = COAP_CODE(4, 4),
    COAP_METHOD_NOT_ALLOWED = COAP_CODE(4, 5),
    COAP_NOT_ACCEPTABLE = COAP_CODE(4, 6),
    COAP_INCOMPLETE = COAP_CODE(4, 8), /* Request Entity Incomplete */
    COAP_CONFLICT = COAP_CODE(4, 9),
    COAP_PRECONDITION_FAILED = COAP_CODE(4, 12),
    COAP_TOO_LARGE = COAP_CODE(4, 13), /* Request Entity Too Large */
    COAP_UNSUPPORTED_FORMAT = COAP_CODE(4, 15),
    COAP_UNPROCESSABLE = COAP_CODE(4, 22),
    COAP_TOO_MANY_REQUESTS = COAP_CODE(4, 29),
    COAP_INTERNAL_ERROR = COAP_CODE(5, 0),
    COAP_NOT_IMPLEMENTED = COAP_CODE(5, 1),
    COAP_BAD_GATEWAY = COAP_CODE(5, 2),
    COAP_UNAVAILABLE = COAP_CODE(5, 3),
    COAP_GATEWAY_TIMEOUT = COAP_CODE(5, 4),
};

#define COAP_CODE_TEXT 5 /* "2.05" and its NUL */
uint8_t coap_code_class(uint8_t code);
uint8_t coap_code_detail(uint8_t code);
bool coap_code_is_request(uint8_t code);                      /* 0.01 to 0.31 */
bool coap_code_is_response(uint8_t code);                     /* classes 2, 4 and 5 */
void coap_code_text(uint8_t code, char text[COAP_CODE_TEXT]); /* "c.dd" */

/* ---- Options ---- */

enum coap_option_number {
    COAP_IF_MATCH = 1,
    COAP_URI_HOST = 3,
    COAP_ETAG = 4,
    COAP_IF_NONE_MATCH = 5,
    COAP_OBSERVE = 6,
    COAP_URI_PORT = 7,
    COAP_LOCATION_PATH = 8,
    COAP_OSCORE = 9,
    COAP_URI_PATH = 11,
    COAP_CONTENT_FORMAT = 12,
    COAP_MAX_AGE = 14,
    COAP_URI_QUERY = 15,
    COAP_ACCEPT = 17,
    COAP_LOCATION_QUERY = 20,
    COAP_BLOCK2 = 23,
    COAP_BLOCK1 = 27,
    COAP_SIZE2 = 28,
    COAP_PROXY_URI = 35,
    COAP_PROXY_SCHEME = 39,
    COAP_SIZE1 = 60,
    COAP_ECHO = 252,
    COAP_NO_RESPONSE = 258,
    COAP_REQUEST_TAG = 292,
};

enum coap_content_format {
    COAP_FORMAT_TEXT = 0,
    COAP_FORMAT_LINK = 40,
    COAP_FORMAT_OCTETS = 42,
    COAP_FORMAT_JSON = 50,
    COAP_FORMAT_CBOR = 60,
    COAP_FORMAT_EDHOC = 64,     /* application/edhoc+cbor-seq */
    COAP_FORMAT_CID_EDHOC = 65, /* application/cid-edhoc+cbor-seq */
    COAP_FORMAT_SENML_JSON = 110,
    COAP_FORMAT_SENML_CBOR = 112,
    COAP_FORMAT_PKCS10 = 286,    /* application/pkcs10 */
    COAP_FORMAT_PKIX_CERT = 287, /* application/pkix-cert */
    COAP_FORMAT_OSCORE = 10001,  /* application/oscore */
};

struct coap_option {
    uint16_t number;
    struct bytes value;
};

enum coap_option_format { COAP_FORMAT_IS_EMPTY, COAP_FORMAT_IS_OPAQUE, COAP_FORMAT_IS_UINT, COAP_FORMAT_IS_STRING };

struct coap_option_rule {
    uint16_t number;
    enum coap_option_format format;
    uint16_t min;
    uint16_t max;
    bool repeatable;
};

/* NULL for a number that is not in the table (all of enum coap_option_number is). */
const struct coap_option_rule *coap_option_rule(uint16_t number);
bool coap_option_is_critical(uint16_t number);

/* Walks an encoded option list. coap_option_next() is false at the end and at the first fault; coap_options_end() tells
 * them apart (a payload marker inside the list is MALFORMED). Lists that came out of a decoder here have no faults. */
struct coap_option_reader {
    struct reader reader;
    uint32_t number;
};

struct coap_option_reader coap_options_over(struct bytes options);
bool coap_option_next(struct coap_option_reader *reader, struct coap_option *option);
MUST_USE enum status coap_options_end(const struct coap_option_reader *reader);

/* The first option of that number; false when there is none. */
bool coap_option_find(struct bytes options, uint16_t number, struct bytes *value);
/* Up to four bytes, big-endian, leading zeros allowed (RFC 7252 §3.2); longer is MALFORMED. */
MUST_USE enum status coap_option_uint(struct bytes value, uint32_t *number);
/* Find and read in one: NOT_FOUND, MALFORMED. */
MUST_USE enum status coap_option_find_uint(struct bytes options, uint16_t number, uint32_t *value);

/* RFC 7252 §5.4: UNSUPPORTED, with the number in *bad, for a critical option that is unknown, of a length its rule
 * refuses, or repeated where it must not be: answer 4.02. Elective ones with those faults are to be ignored. */
MUST_USE enum status coap_options_check(struct bytes options, uint16_t *bad);

/* Appends options to a writer of the caller; numbers must not decrease (else WRONG_STATE sticks in the writer). */
struct coap_option_writer {
    struct writer *to;
    uint16_t last;
};

struct coap_option_writer coap_options_to(struct writer *to);
void coap_put_option(struct coap_option_writer *writer, uint16_t number, struct bytes value);
void coap_put_option_uint(struct coap_option_writer *writer, uint16_t number, uint32_t value); /* shortest form */
/* One option per segment; a leading separator is skipped, "" and "/" put nothing. Uri-Path '/', Uri-Query '&'. */
void coap_put_segments(struct coap_option_writer *writer, uint16_t number, const char *text, char separator);
/* The reverse, without leading separator or NUL. A segment that contains the separator or a NUL, and an empty first
 * one, are DENIED: joined, they would read as another path. */
MUST_USE enum status coap_join_segments(struct bytes options, uint16_t number, char separator, struct writer *to);

/* Block1 and Block2 (RFC 7959 §2.2). Size is 1 << (szx + 4); szx 7 is UNSUPPORTED (it exists on TCP only). */
#define COAP_BLOCK_SZX_MAX 6
#define COAP_BLOCK_NUM_MAX 0xfffffu

struct coap_block {
    uint32_t num;
    bool more;
    uint8_t szx;
};

MUST_USE enum status coap_block_decode(struct bytes value, struct coap_block *block);
MUST_USE enum status coap_block_find(struct bytes options, uint16_t number,
                                     struct coap_block *block); /* or NOT_FOUND */
void coap_put_block(struct coap_option_writer *writer, uint16_t number, struct coap_block block);
size_t coap_block_size(uint8_t szx);

/* ---- Bodies and messages ---- */

/* The OSCORE plaintext form (RFC 8613 §5.3), and what gateway and hub exchange: code, options [, 0xff, payload].
 * `options` is an encoded list that was validated; both views borrow from the input. */
struct coap_body {
    uint8_t code;
    struct bytes options;
    struct bytes payload;
};

/* Empty input is TRUNCATED; a marker with nothing behind it, a reserved delta or length, a number past 65535 MALFORMED.
 */
MUST_USE enum status coap_body_decode(struct bytes input, struct coap_body *body);
void coap_body_encode(struct writer *writer, const struct coap_body *body); /* a bad option list fails the writer */

enum coap_type { COAP_CON = 0, COAP_NON = 1, COAP_ACK = 2, COAP_RST = 3 };

#define COAP_TOKEN_MAX 8

struct coap_message {
    uint8_t type; /* enum coap_type */
    uint16_t message_id;
    struct bytes token; /* at most COAP_TOKEN_MAX */
    struct coap_body body;
};

/* One UDP datagram (RFC 7252 §3). Another version than 1 is UNSUPPORTED. A message with code 0.00 must be four bytes.
 */
MUST_USE enum status coap_message_decode(struct bytes datagram, struct coap_message *message);
void coap_message_encode(struct writer *writer, const struct coap_message *message);

/* ---- The exchange machine ----
 * One endpoint per UDP socket, any number of peers, both roles. Time is milliseconds of any clock that never goes back.
 * Feed datagrams to coap_input(), call coap_tick() when coap_next_timeout() says so, and after either, or after any
 * call that sends, drain coap_output(). Retransmission, de-duplication, acknowledgements, block-wise transfer and the
 * lifetime of observations happen inside; the caller sees whole requests and whole responses.
 * Options are handed on as they came, except Block1, Size1 and Block2 of a message the machine put together.
 * Unknown critical options are the caller's to refuse (coap_options_check). */

/* The largest datagram sent: the IPv6 minimum MTU 1280 less IP and UDP headers. Larger ones are understood on input. A
 * body whose message fits goes without block options; anything larger is cut into blocks of at most 1024 bytes. */
#define COAP_DATAGRAM_MAX 1232
/* Options of a message that travels block-wise; past it NO_ROOM here, 4.13 to a peer. */
#define COAP_OPTIONS_MAX 512
/* RFC 7252 §4.8.2. How long a message id is remembered, if `recent_count` allows. */
#define COAP_EXCHANGE_LIFETIME_MS 247000u
#define COAP_MAX_TRANSMIT_WAIT_MS 93000u
/* RFC 7252 §4.8. */
#define COAP_ACK_TIMEOUT_MS 2000u
#define COAP_MAX_RETRANSMIT 4u
/* An Echo value is good for so long, and for at most twice so long. */
#define COAP_ECHO_MS 120000u

/* An address as the caller keeps it: compared byte by byte, never interpreted. */
#define COAP_PEER_MAX 28
struct coap_peer {
    uint8_t len;
    uint8_t data[COAP_PEER_MAX];
};

/* Zero means the default in brackets. */
struct coap_config {
    uint32_t
        exchange_count; /* [256] requests, retained block-wise bodies and observations, both roles together; ≤ 65535 */
    uint32_t recent_count;   /* [1024] message ids remembered; at least twice exchange_count. When more arrive within
                              * COAP_EXCHANGE_LIFETIME_MS the oldest answered one is forgotten: a duplicate that is later
                              * still reaches the caller again (OSCORE's replay window refuses it there). */
    uint32_t body_count;     /* [16] block-wise bodies in flight or retained for later blocks; of those that peers send
                              * or fetch, the one that moved longest ago gives way to a new one */
    uint32_t body_cap;       /* [65536] payload bytes of a block-wise body */
    uint32_t peer_divisor;   /* [4] one peer holds at most 1/divisor of exchanges and bodies (never less than one);
                              * a client with one server says 1 */
    uint32_t nstart;         /* [1] confirmable messages outstanding to one peer; more wait inside (RFC 7252 §4.7) */
    uint32_t ack_delay_ms;   /* [100] a request unanswered for so long gets an empty ACK, its answer comes separately */
    uint32_t ack_timeout_ms; /* [COAP_ACK_TIMEOUT_MS] */
    uint32_t max_retransmit; /* [COAP_MAX_RETRANSMIT] */
    uint32_t answer_ms;      /* [COAP_MAX_TRANSMIT_WAIT_MS] wait for the peer's answer after its ACK, for our caller's
                              * answer, and for the next block of a body */
    const char *echo_path;   /* [no path] keeps. A request for it ("a/b", without OSCORE) is handed on only with an Echo
                              * value that its address was given: others are answered 4.01 with one, in 14 bytes and
                              * the token, and nothing is kept of them but the message id (RFC 9175 §2.4 (3)) */
};

struct coap_endpoint; /* lives in the memory given to coap_init */

/* Bytes coap_init needs for that configuration; 0 when it is not a possible one. */
size_t coap_memory_needed(const struct coap_config *config);

#define COAP_SEED_LEN 16
/* Keeps memory (aligned as malloc does) until the endpoint is no longer used. The seed must be unpredictable: tokens,
 * message ids and retransmission jitter come from it. NO_ROOM: memory too small; UNSUPPORTED: impossible config. */
MUST_USE enum status coap_init(const struct coap_config *config, const uint8_t seed[COAP_SEED_LEN], void *memory,
                               size_t len, struct coap_endpoint **endpoint);

/* A handle (uint32_t) names an exchange; 0 names none. A handle whose exchange is over gives NOT_FOUND, never another
 * exchange. */

enum coap_event_kind {
    COAP_NOTHING = 0,
    COAP_REQUEST,      /* answer with coap_respond(), once */
    COAP_RESPONSE,     /* to coap_request(); `more`: it was a notification, the handle lives on */
    COAP_FAILED,       /* our request, or the caller's time to answer one, is over without an answer */
    COAP_ACKNOWLEDGED, /* the peer has our confirmable notification: the next one may go */
    COAP_CANCELLED,    /* the peer no longer wants notifications, or cannot be reached */
};

enum coap_failure {
    COAP_NO_FAILURE = 0,
    COAP_TIMED_OUT, /* no acknowledgement after max_retransmit, or no answer within answer_ms */
    COAP_RESET,     /* the peer does not know what we are talking about */
    COAP_BAD_BLOCKS /* the peer's block-wise transfer contradicts itself, or is larger than body_cap or the pool */
};

struct coap_event {
    enum coap_event_kind kind;
    uint32_t handle;
    struct coap_peer peer;
    struct coap_body body;     /* REQUEST, RESPONSE: borrows until the next coap_input() or coap_tick() */
    bool confirmable;          /* REQUEST */
    bool more;                 /* RESPONSE */
    uint32_t replaced;         /* REQUEST: the observation of the same peer and token that this request ended, or 0 */
    enum coap_failure failure; /* FAILED, CANCELLED */
};

/* One datagram in; at most one event out. Never fails: what is not for us is answered or dropped as RFC 7252 says. */
void coap_input(struct coap_endpoint *endpoint, uint64_t now_ms, const struct coap_peer *peer, struct bytes datagram,
                struct coap_event *event);
/* One event of the passing of time, COAP_NOTHING when there is none left: call until then. */
void coap_tick(struct coap_endpoint *endpoint, uint64_t now_ms, struct coap_event *event);
/* Milliseconds until coap_tick() has work; COAP_NEVER when nothing waits. */
#define COAP_NEVER UINT64_MAX
uint64_t coap_next_timeout(const struct coap_endpoint *endpoint, uint64_t now_ms);
/* The next datagram to send into an empty writer of COAP_DATAGRAM_MAX; false when there is none. A smaller writer fails
 * and loses that datagram, as the network might. */
MUST_USE bool coap_output(struct coap_endpoint *endpoint, struct coap_peer *peer, struct writer *writer);

/* Copies the body. Adds Block1/Size1 where it must be cut. NO_ROOM: out of exchanges or bodies, this peer's share used
 * up, or larger than body_cap; WRONG_STATE: not a request code. */
MUST_USE enum status coap_request(struct coap_endpoint *endpoint, uint64_t now_ms, const struct coap_peer *peer,
                                  bool confirmable, const struct coap_body *body, uint32_t *handle);

/* Copies the body. Piggy-backed while the ACK is due, otherwise separate and confirmable as the request was, unless it
 * is an error without OSCORE: that goes once. Adds Block1, Block2, Size2 and ETag where block-wise transfer needs them.
 * The handle is used up, unless the request asked to observe (Observe 0) and the answer is 2.xx with an Observe option:
 * then it takes coap_notify(). NO_ROOM leaves the handle as it was: answer with something smaller. */
MUST_USE enum status coap_respond(struct coap_endpoint *endpoint, uint64_t now_ms, uint32_t handle,
                                  const struct coap_body *body);

/* Copies the body. BUSY while a confirmable notification waits for its acknowledgement (a COAP_ACKNOWLEDGED or
 * COAP_CANCELLED event ends the wait). A body that is not 2.xx or has no Observe option is the last one (RFC 7641
 * §4.2). RFC 7641 §4.5: at least one a day must be confirmable; that is the caller's to see to. */
MUST_USE enum status coap_notify(struct coap_endpoint *endpoint, uint64_t now_ms, uint32_t handle,
                                 const struct coap_body *body, bool confirmable);

/* Forgets the exchange, without event. A later notification of a forgotten observation is answered with RST, which ends
 * it at the server (RFC 7641 §3.6). Unknown handles are ignored. */
void coap_cancel(struct coap_endpoint *endpoint, uint32_t handle);

/* For metrics and tests. */
struct coap_counts {
    uint32_t exchanges;
    uint32_t peers; /* that hold exchanges */
    uint32_t bodies;
    uint32_t recents;
};
struct coap_counts coap_endpoint_counts(const struct coap_endpoint *endpoint);

#endif
