/* Encoding: every value in its one deterministic form (RFC 8949 §4.2.1). */
#include "cbor_internal.h"

#include <math.h>
#include <string.h>

static void put_head(struct writer *writer, uint8_t major, uint64_t argument)
{
    uint8_t high = (uint8_t)(major << 5);
    if (argument < 24) {
        put_u8(writer, high | (uint8_t)argument);
    } else if (argument <= UINT8_MAX) {
        put_u8(writer, high | 24);
        put_u8(writer, (uint8_t)argument);
    } else if (argument <= UINT16_MAX) {
        put_u8(writer, high | 25);
        put_u16be(writer, (uint16_t)argument);
    } else if (argument <= UINT32_MAX) {
        put_u8(writer, high | 26);
        put_u32be(writer, (uint32_t)argument);
    } else {
        put_u8(writer, high | 27);
        put_u64be(writer, argument);
    }
}

void cbor_put_uint(struct writer *writer, uint64_t value)
{
    put_head(writer, MAJOR_UINT, value);
}

void cbor_put_int(struct writer *writer, int64_t value)
{
    if (value >= 0)
        put_head(writer, MAJOR_UINT, (uint64_t)value);
    else
        put_head(writer, MAJOR_NINT, (uint64_t)(-1 - value));
}

void cbor_put_bytes_head(struct writer *writer, size_t len)
{
    put_head(writer, MAJOR_BYTES, len);
}

void cbor_put_bytes(struct writer *writer, struct bytes value)
{
    cbor_put_bytes_head(writer, value.len);
    put_bytes(writer, value);
}

void cbor_put_text(struct writer *writer, const char *value)
{
    cbor_put_text_bytes(writer, bytes_from_text(value));
}

void cbor_put_text_bytes(struct writer *writer, struct bytes value)
{
    if (!cbor_is_utf8(value))
        writer_fail(writer, MALFORMED);
    put_head(writer, MAJOR_TEXT, value.len);
    put_bytes(writer, value);
}

void cbor_put_array(struct writer *writer, size_t count)
{
    put_head(writer, MAJOR_ARRAY, count);
}

void cbor_put_map(struct writer *writer, size_t count)
{
    put_head(writer, MAJOR_MAP, count);
}

void cbor_put_tag(struct writer *writer, uint64_t tag)
{
    put_head(writer, MAJOR_TAG, tag);
}

void cbor_put_bool(struct writer *writer, bool value)
{
    put_head(writer, MAJOR_OTHER, value ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_null(struct writer *writer)
{
    put_head(writer, MAJOR_OTHER, SIMPLE_NULL);
}

void cbor_put_undefined(struct writer *writer)
{
    put_head(writer, MAJOR_OTHER, SIMPLE_UNDEFINED);
}

void cbor_put_raw(struct writer *writer, struct bytes encoded)
{
    put_bytes(writer, encoded);
}

/* The 16-bit form of a single that has one: its mantissa fits 10 bits and its exponent the range, subnormals included.
 */
static bool half_from_single(uint32_t single, uint16_t *half)
{
    uint16_t sign = (uint16_t)(single >> 16 & 0x8000);
    uint32_t exponent = single >> 23 & 0xff, mantissa = single & 0x7fffff;
    if (exponent == 0xff && mantissa == 0) {
        *half = sign | 0x7c00;
        return true;
    }
    if (exponent == 0 && mantissa == 0) {
        *half = sign;
        return true;
    }
    if (exponent >= 113 && exponent <= 142 && (mantissa & 0x1fff) == 0) {
        *half = (uint16_t)(sign | (exponent - 112) << 10 | mantissa >> 13);
        return true;
    }
    if (exponent < 103 || exponent > 112)
        return false;
    uint32_t shift = 126 - exponent; /* 14 to 23 bits go */
    mantissa |= 0x800000;
    if (mantissa & ((1u << shift) - 1))
        return false;
    *half = (uint16_t)(sign | mantissa >> shift);
    return true;
}

void cbor_put_double(struct writer *writer, double value)
{
    uint64_t bits;
    uint32_t single_bits;
    uint16_t half;
    if (isnan(value)) { /* one NaN for all of them */
        put_u8(writer, 0xf9);
        put_u16be(writer, 0x7e00);
        return;
    }
    memcpy(&bits, &value, sizeof bits);
    bool fits = isinf(value) || fabs(value) <= 3.4028234663852886e38;
    float single = fits ? (float)value : 0;
    double back = single;
    uint64_t back_bits;
    memcpy(&single_bits, &single, sizeof single_bits);
    memcpy(&back_bits, &back, sizeof back_bits);
    if (back_bits != bits) {
        put_u8(writer, 0xfb);
        put_u64be(writer, bits);
    } else if (half_from_single(single_bits, &half)) {
        put_u8(writer, 0xf9);
        put_u16be(writer, half);
    } else {
        put_u8(writer, 0xfa);
        put_u32be(writer, single_bits);
    }
}
