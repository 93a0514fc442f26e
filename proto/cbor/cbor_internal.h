/* What the files of this room share: the head every item starts with. */
#ifndef BASTIDE_CBOR_INTERNAL_H
#define BASTIDE_CBOR_INTERNAL_H

#include "cbor.h"

enum { MAJOR_UINT, MAJOR_NINT, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_OTHER };

enum { SIMPLE_FALSE = 20, SIMPLE_TRUE, SIMPLE_NULL, SIMPLE_UNDEFINED };

#define INFO_HALF 25
#define INFO_SINGLE 26
#define INFO_DOUBLE 27
#define INFO_INDEFINITE 31

#define BREAK 0xff

/* Major type and argument (RFC 8949 §3). For MAJOR_OTHER, info 25 to 27 tell a float, whose bits are the argument. */
struct cbor_head {
    uint8_t major, info;
    bool shortest;
    uint64_t argument;
};

/* Any well-formed head. Reserved info (28 to 30) is MALFORMED; info 31 has no argument. */
struct cbor_head cbor_take_head(struct reader *reader);

double cbor_float_value(struct cbor_head head);
bool cbor_is_utf8(struct bytes text);

#endif
