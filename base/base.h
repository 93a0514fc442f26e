/* base: bytes, reader, writer, status, secret — the short words every other room is written in.
 * Never allocates, never does I/O, never keeps state; no pointer arithmetic on wire data exists outside this room. */
#ifndef BASTIDE_BASE_H
#define BASTIDE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))

/* Named by what the caller can do about it. */
enum status {
    OK = 0,
    TRUNCATED,   /* more bytes would help */
    MALFORMED,   /* no further bytes would help */
    UNSUPPORTED, /* well formed, but not something we do */
    NO_ROOM,     /* a named limit or the caller's buffer is too small */
    WRONG_STATE, /* the call is out of order */
    AUTH,        /* authentication failed; carries no detail, on purpose */
    REPLAYED,    /* seen before */
    DENIED,      /* understood and refused by policy */
    NOT_FOUND,
    BUSY, /* try again later */
    IO,   /* the outside world failed us */
    INTERNAL,
};

/* A word for people and logs, never NULL. */
const char *status_word(enum status status);

/* The only macro that hides control flow. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        enum status try_status_ = (call);                                                                              \
        if (try_status_ != OK)                                                                                         \
            return try_status_;                                                                                        \
    } while (0)

/* A view that never owns. A zeroed one is the empty string of bytes. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

#define BYTES_OF(array) ((struct bytes){(const uint8_t *)(array), sizeof(array)})
static inline struct bytes bytes_from(const void *data, size_t len)
{
    return (struct bytes){(const uint8_t *)data, len};
}
struct bytes bytes_from_text(const char *text);                       /* without the NUL; NULL gives empty */
bool bytes_equal(struct bytes a, struct bytes b);                     /* for public data; secrets use ct_equal */
int bytes_compare(struct bytes a, struct bytes b);                    /* memcmp order, the shorter first */
struct bytes bytes_slice(struct bytes whole, size_t off, size_t len); /* empty when out of range */

/* Reader: takes values off the front; the first failure sticks and every later take gives zero.
 * Nothing read may take effect before reader_end() said OK. What every decoder does most is inline. */
struct reader {
    struct bytes rest;
    enum status status;
};

static inline struct reader reader_over(struct bytes input)
{
    return (struct reader){input, OK};
}

static inline struct bytes take_bytes(struct reader *reader, size_t len) /* borrows from the input */
{
    if (reader->status == OK && len > reader->rest.len)
        reader->status = TRUNCATED;
    if (reader->status != OK || len == 0)
        return (struct bytes){0};
    const struct bytes taken = {reader->rest.data, len};
    reader->rest.data += len;
    reader->rest.len -= len;
    return taken;
}

static inline uint64_t take_be(struct reader *reader, size_t len) /* of 8 bytes at the most */
{
    const struct bytes taken = take_bytes(reader, len);
    uint64_t value = 0;
    for (size_t i = 0; taken.len && i < len; i++)
        value = value << 8 | taken.data[i];
    return value;
}

static inline uint8_t take_u8(struct reader *reader)
{
    return (uint8_t)take_be(reader, 1);
}

static inline uint16_t take_u16be(struct reader *reader)
{
    return (uint16_t)take_be(reader, 2);
}

static inline uint32_t take_u32be(struct reader *reader)
{
    return (uint32_t)take_be(reader, 4);
}

static inline uint64_t take_u64be(struct reader *reader)
{
    return take_be(reader, 8);
}

uint16_t take_u16le(struct reader *reader);
uint32_t take_u32le(struct reader *reader);
uint64_t take_u64le(struct reader *reader);
struct bytes take_rest(struct reader *reader);
uint8_t peek_u8(const struct reader *reader);                 /* 0 when nothing is left */
void reader_fail(struct reader *reader, enum status status);  /* keeps the first failure */
MUST_USE enum status reader_end(const struct reader *reader); /* leftover bytes are MALFORMED */

/* Writer: appends to the caller's buffer; the first failure sticks. */
struct writer {
    uint8_t *data;
    size_t cap;
    size_t len;
    enum status status;
};

struct writer writer_over(void *data, size_t cap);
void put_u8(struct writer *writer, uint8_t value);
void put_u16be(struct writer *writer, uint16_t value);
void put_u32be(struct writer *writer, uint32_t value);
void put_u64be(struct writer *writer, uint64_t value);
void put_u16le(struct writer *writer, uint16_t value);
void put_u32le(struct writer *writer, uint32_t value);
void put_u64le(struct writer *writer, uint64_t value);
void put_bytes(struct writer *writer, struct bytes bytes);
void put_text(struct writer *writer, const char *text);
uint8_t *put_space(struct writer *writer, size_t len); /* reserve len bytes to fill in; NULL when there is no room */
void writer_fail(struct writer *writer, enum status status);
struct bytes writer_bytes(const struct writer *writer); /* what was written so far; empty after a failure */
MUST_USE enum status writer_end(const struct writer *writer);

/* Secret: apart from bytes on purpose — not loggable, not comparable, wiped on scope exit by SECRET. */
#define SECRET_CAP 66

struct secret {
    uint8_t data[SECRET_CAP];
    size_t len;
};

#define SECRET __attribute__((cleanup(secret_wipe))) struct secret
void secret_wipe(struct secret *secret);
MUST_USE enum status secret_set(struct secret *secret, struct bytes value); /* copies; NO_ROOM past SECRET_CAP */
struct bytes secret_bytes(const struct secret *secret);                     /* for handing to crypto only */

void wipe(void *data, size_t len);                       /* never optimised away */
bool ct_equal(const void *a, const void *b, size_t len); /* time depends on len only */

/* Hex, lower case, for people and test vectors. Text out is NUL-terminated. */
MUST_USE enum status hex_encode(struct bytes bytes, char *text, size_t cap); /* needs 2*len+1 */
MUST_USE enum status hex_decode(const char *text, struct writer *writer);    /* MALFORMED on anything but pairs */

/* base64url without padding (RFC 4648 §5). Text out is NUL-terminated. */
MUST_USE enum status base64url_encode(struct bytes bytes, char *text, size_t cap); /* needs (4*len+2)/3+1 */
/* MALFORMED on padding, any other letter, an impossible length, and set bits that no byte takes. */
MUST_USE enum status base64url_decode(const char *text, struct writer *writer);

#endif
