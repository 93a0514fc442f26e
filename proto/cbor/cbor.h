/* cbor: deterministically encoded CBOR (RFC 8949 §4.2.1), written and read over base's writer and reader.
 * Never accepts what it would not itself write, cbor_to_json() excepted; never recurses, never keeps state. */
#ifndef BASTIDE_CBOR_H
#define BASTIDE_CBOR_H

#include "base.h"

#define CBOR_DEPTH_MAX 16 /* arrays, maps and tags within each other */

/* Encoding. Failure sticks in the writer. The caller writes map keys in their order (bytewise, as encoded: 0, 1, …, -1,
 * -2, …, then short text before long) and as many items as announced. */
void cbor_put_uint(struct writer *writer, uint64_t value);
void cbor_put_int(struct writer *writer, int64_t value);
void cbor_put_bytes(struct writer *writer, struct bytes value);
void cbor_put_bytes_head(struct writer *writer, size_t len); /* the value itself follows by other means */
void cbor_put_text(struct writer *writer, const char *value);
void cbor_put_text_bytes(struct writer *writer, struct bytes value); /* MALFORMED unless UTF-8 */
void cbor_put_array(struct writer *writer, size_t count);
void cbor_put_map(struct writer *writer, size_t count); /* count is pairs */
void cbor_put_tag(struct writer *writer, uint64_t tag);
void cbor_put_bool(struct writer *writer, bool value);
void cbor_put_null(struct writer *writer);
void cbor_put_undefined(struct writer *writer);
void cbor_put_double(struct writer *writer, double value);      /* shortest of 16, 32, 64 bits that keeps the value */
void cbor_put_raw(struct writer *writer, struct bytes encoded); /* one item encoded before */

/* Decoding. Failure sticks in the reader and makes every later take give zero: check once, by reader_end().
 * TRUNCATED when more bytes could help; MALFORMED for anything not deterministic, not UTF-8, reserved, or of another
 * type than asked for; UNSUPPORTED for integers past 64 bits signed and for nesting past CBOR_DEPTH_MAX. */
enum cbor_type {
    CBOR_NONE, /* end of input, a failed reader, or a byte that starts no item */
    CBOR_UINT,
    CBOR_NINT,
    CBOR_BYTES,
    CBOR_TEXT,
    CBOR_ARRAY,
    CBOR_MAP,
    CBOR_TAG,
    CBOR_BOOL,
    CBOR_NULL,
    CBOR_UNDEFINED,
    CBOR_SIMPLE, /* unassigned simple values */
    CBOR_FLOAT,
};

enum cbor_type cbor_peek_type(const struct reader *reader); /* from the first byte alone; takes nothing */
uint64_t cbor_take_uint(struct reader *reader);
int64_t cbor_take_int(struct reader *reader);
struct bytes cbor_take_bytes(struct reader *reader);               /* borrows from the input, as does text */
struct bytes cbor_take_text(struct reader *reader);                /* UTF-8, not NUL-terminated */
void cbor_take_fixed(struct reader *reader, void *to, size_t len); /* a byte string of this length, else MALFORMED */
void cbor_take_key(struct reader *reader, uint64_t key); /* of a map whose keys are all known: this one, else so too */
size_t cbor_take_array(struct reader *reader);           /* the count, which the rest of the input is long enough for */
size_t cbor_take_map(struct reader *reader);             /* pairs; order is checked by cbor_walk_map(), not here */
uint64_t cbor_take_tag(struct reader *reader);
bool cbor_take_bool(struct reader *reader);
void cbor_take_null(struct reader *reader);
double cbor_take_double(struct reader *reader); /* floats only */
double cbor_take_number(struct reader *reader); /* floats and integers, the latter rounded to a double */

/* The next item whole, as encoded, with everything inside it checked: order and uniqueness of map keys too. */
struct bytes cbor_take_item(struct reader *reader);
void cbor_skip(struct reader *reader);

/* Walk a map whose keys are integers or text:
 *     struct cbor_map_walk walk = cbor_walk_map(reader);
 *     while (cbor_next_key(reader, &walk))
 *         switch (cbor_key_number(&walk)) { case 1: … take the value …; default: cbor_skip(reader); }
 * Keys out of order or given twice are MALFORMED. The walk ends at the last pair or at the first failure. */
#define CBOR_NO_NUMBER INT64_MIN /* a key that is text; the integer itself is refused as a key */

struct cbor_map_walk {
    size_t left;
    struct bytes last; /* the key before, as encoded */
    struct bytes text; /* the present key, when it is text */
    int64_t number;    /* the present key, or CBOR_NO_NUMBER */
};

struct cbor_map_walk cbor_walk_map(struct reader *reader);
bool cbor_next_key(struct reader *reader, struct cbor_map_walk *walk);
int64_t cbor_key_number(const struct cbor_map_walk *walk);
bool cbor_key_is(const struct cbor_map_walk *walk, const char *text);

/* One item from a foreign device as JSON text (RFC 8949 §6.1). Lenient in the encoding — indefinite lengths, longer
 * heads than needed, any map order — and strict in the rest: depth, UTF-8, map keys integers or text (given twice,
 * both are written). Byte strings become base64url text, undefined becomes null, tags are dropped.
 * MALFORMED for NaN, infinities and unassigned simple values. Takes the item from the reader; on failure the reader
 * fails with the same status and the writer is as before. */
MUST_USE enum status cbor_to_json(struct reader *reader, struct writer *writer);

#endif
