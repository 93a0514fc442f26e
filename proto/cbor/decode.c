/* Decoding of single values: each take accepts exactly what the matching put writes. */
#include "cbor_internal.h"

#include <math.h>
#include <string.h>

struct cbor_head cbor_take_head(struct reader *reader)
{
    uint8_t first = take_u8(reader);
    struct cbor_head head = {.major = first >> 5, .info = first & 31, .shortest = true};
    switch (head.info) {
    case 24:
        head.argument = take_u8(reader);
        head.shortest = head.argument >= 24;
        break;
    case 25:
        head.argument = take_u16be(reader);
        head.shortest = head.argument > UINT8_MAX;
        break;
    case 26:
        head.argument = take_u32be(reader);
        head.shortest = head.argument > UINT16_MAX;
        break;
    case 27:
        head.argument = take_u64be(reader);
        head.shortest = head.argument > UINT32_MAX;
        break;
    case 28:
    case 29:
    case 30:
        reader_fail(reader, MALFORMED);
        break;
    case INFO_INDEFINITE:
        head.shortest = false;
        break;
    default:
        head.argument = head.info;
    }
    if (head.major == MAJOR_OTHER && head.info >= INFO_HALF && head.info <= INFO_DOUBLE)
        head.shortest = true; /* a float: its bits are no number to shorten here */
    if (head.major == MAJOR_OTHER && head.info == 24 && head.argument < 32)
        reader_fail(reader, MALFORMED); /* RFC 8949 §3.3 */
    return reader->status == OK ? head : (struct cbor_head){0};
}

/* The argument of a head of this major type, in its shortest form; 0 after a failure. */
static uint64_t take_argument(struct reader *reader, uint8_t major)
{
    if (reader->status == OK && reader->rest.len && peek_u8(reader) >> 5 != major)
        reader_fail(reader, MALFORMED);
    struct cbor_head head = cbor_take_head(reader);
    if (!head.shortest)
        reader_fail(reader, MALFORMED);
    return reader->status == OK ? head.argument : 0;
}

enum cbor_type cbor_peek_type(const struct reader *reader)
{
    static const enum cbor_type by_major[] = {CBOR_UINT,  CBOR_NINT, CBOR_BYTES, CBOR_TEXT,
                                              CBOR_ARRAY, CBOR_MAP,  CBOR_TAG};
    if (reader->status != OK || reader->rest.len == 0)
        return CBOR_NONE;
    uint8_t first = peek_u8(reader);
    uint8_t info = first & 31;
    if (info > INFO_DOUBLE)
        return CBOR_NONE;
    if (first >> 5 != MAJOR_OTHER)
        return by_major[first >> 5];
    switch (info) {
    case SIMPLE_FALSE:
    case SIMPLE_TRUE:
        return CBOR_BOOL;
    case SIMPLE_NULL:
        return CBOR_NULL;
    case SIMPLE_UNDEFINED:
        return CBOR_UNDEFINED;
    case INFO_HALF:
    case INFO_SINGLE:
    case INFO_DOUBLE:
        return CBOR_FLOAT;
    default:
        return CBOR_SIMPLE;
    }
}

uint64_t cbor_take_uint(struct reader *reader)
{
    return take_argument(reader, MAJOR_UINT);
}

int64_t cbor_take_int(struct reader *reader)
{
    bool negative = cbor_peek_type(reader) == CBOR_NINT;
    uint64_t argument = take_argument(reader, negative ? MAJOR_NINT : MAJOR_UINT);
    if (argument > INT64_MAX) {
        reader_fail(reader, UNSUPPORTED);
        return 0;
    }
    if (reader->status != OK)
        return 0;
    return negative ? -1 - (int64_t)argument : (int64_t)argument;
}

static struct bytes take_string(struct reader *reader, uint8_t major)
{
    uint64_t len = take_argument(reader, major);
    if (len > SIZE_MAX) /* only where size_t is narrow */
        reader_fail(reader, TRUNCATED);
    return take_bytes(reader, (size_t)len);
}

struct bytes cbor_take_bytes(struct reader *reader)
{
    return take_string(reader, MAJOR_BYTES);
}

void cbor_take_fixed(struct reader *reader, void *to, size_t len)
{
    const struct bytes value = cbor_take_bytes(reader);
    if (reader->status == OK && value.len != len)
        reader_fail(reader, MALFORMED);
    if (reader->status == OK && len)
        memcpy(to, value.data, len);
}

void cbor_take_key(struct reader *reader, uint64_t key)
{
    if (cbor_take_uint(reader) != key)
        reader_fail(reader, MALFORMED);
}

struct bytes cbor_take_text(struct reader *reader)
{
    struct bytes text = take_string(reader, MAJOR_TEXT);
    if (cbor_is_utf8(text))
        return text;
    reader_fail(reader, MALFORMED);
    return (struct bytes){0};
}

/* A count is believed only as far as the input could hold as many items of one byte. */
static size_t take_count(struct reader *reader, uint8_t major, size_t least)
{
    uint64_t count = take_argument(reader, major);
    if (count > reader->rest.len / least) {
        reader_fail(reader, TRUNCATED);
        return 0;
    }
    return (size_t)count;
}

size_t cbor_take_array(struct reader *reader)
{
    return take_count(reader, MAJOR_ARRAY, 1);
}

size_t cbor_take_map(struct reader *reader)
{
    return take_count(reader, MAJOR_MAP, 2);
}

uint64_t cbor_take_tag(struct reader *reader)
{
    return take_argument(reader, MAJOR_TAG);
}

static uint8_t take_simple(struct reader *reader, uint8_t low, uint8_t high)
{
    uint8_t value = take_u8(reader);
    if (reader->status == OK && value >> 5 == MAJOR_OTHER && (value & 31) >= low && (value & 31) <= high)
        return value & 31;
    reader_fail(reader, MALFORMED);
    return 0;
}

bool cbor_take_bool(struct reader *reader)
{
    return take_simple(reader, SIMPLE_FALSE, SIMPLE_TRUE) == SIMPLE_TRUE;
}

void cbor_take_null(struct reader *reader)
{
    (void)take_simple(reader, SIMPLE_NULL, SIMPLE_NULL);
}

double cbor_float_value(struct cbor_head head)
{
    double value;
    if (head.info == INFO_DOUBLE) {
        memcpy(&value, &head.argument, sizeof value);
        return value;
    }
    if (head.info == INFO_SINGLE) {
        float single;
        uint32_t bits = (uint32_t)head.argument;
        memcpy(&single, &bits, sizeof single);
        return single;
    }
    /* RFC 8949 appendix D */
    int exponent = (int)(head.argument >> 10 & 31);
    double mantissa = (double)(head.argument & 0x3ff);
    if (exponent == 0)
        value = ldexp(mantissa, -24);
    else if (exponent != 31)
        value = ldexp(mantissa + 1024, exponent - 25);
    else
        value = mantissa == 0 ? (double)INFINITY : (double)NAN;
    return head.argument & 0x8000 ? -value : value;
}

double cbor_take_double(struct reader *reader)
{
    if (reader->status == OK && reader->rest.len && cbor_peek_type(reader) != CBOR_FLOAT)
        reader_fail(reader, MALFORMED);
    struct bytes before = reader->rest;
    struct cbor_head head = cbor_take_head(reader);
    if (reader->status != OK)
        return 0;
    /* Deterministic means: writing it again gives the same bytes. */
    uint8_t again[9];
    struct writer writer = writer_over(again, sizeof again);
    double value = cbor_float_value(head);
    cbor_put_double(&writer, value);
    if (bytes_equal(writer_bytes(&writer), bytes_slice(before, 0, before.len - reader->rest.len)))
        return value;
    reader_fail(reader, MALFORMED);
    return 0;
}

double cbor_take_number(struct reader *reader)
{
    enum cbor_type type = cbor_peek_type(reader);
    if (type == CBOR_UINT)
        return (double)take_argument(reader, MAJOR_UINT);
    if (type != CBOR_NINT)
        return cbor_take_double(reader);
    double argument = (double)take_argument(reader, MAJOR_NINT);
    return reader->status == OK ? -1 - argument : 0;
}

/* RFC 3629 §4: shortest forms only, no surrogates, nothing past U+10FFFF. */
bool cbor_is_utf8(struct bytes text)
{
    struct reader reader = reader_over(text);
    while (reader.rest.len) {
        uint8_t first = take_u8(&reader);
        if (first < 0x80)
            continue;
        size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4)
            return false;
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        for (; more; more--, low = 0x80, high = 0xbf) {
            uint8_t next = take_u8(&reader);
            if (reader.status != OK || next < low || next > high)
                return false;
        }
    }
    return true;
}
