/* CBOR from foreign devices as JSON text. The one place that takes what our own encoder would not write; what comes
 * out is for a JSON parser that itself checks again. */
#include "cbor_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* An open array or map. A map counts keys and values alike. */
struct level {
    bool map, indefinite;
    uint64_t total, done;
};

struct transcoder {
    struct reader *reader;
    struct writer *writer;
    struct level levels[CBOR_DEPTH_MAX];
    size_t depth;
};

static void put_digits(struct writer *writer, uint64_t value)
{
    uint8_t digits[20];
    size_t count = 0;
    do
        digits[count++] = (uint8_t)('0' + value % 10);
    while (value /= 10);
    while (count)
        put_u8(writer, digits[--count]);
}

/* -1 - argument */
static void put_negative(struct writer *writer, uint64_t argument)
{
    put_u8(writer, '-');
    if (argument == UINT64_MAX)
        put_text(writer, "18446744073709551616");
    else
        put_digits(writer, argument + 1);
}

/* The fewest digits, of at least 15, that read back as the same number. */
static void put_number(struct writer *writer, double value)
{
    char text[32] = "";
    if (!isfinite(value)) {
        writer_fail(writer, MALFORMED);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (!(back < value) && !(back > value))
            break;
    }
    put_text(writer, text);
}

static void put_escaped(struct writer *writer, struct bytes text)
{
    static const char hex[] = "0123456789abcdef";
    struct reader reader = reader_over(text);
    while (reader.rest.len) {
        uint8_t c = take_u8(&reader);
        if (c < 0x20) {
            put_text(writer, "\\u00");
            put_u8(writer, (uint8_t)hex[c >> 4]);
            put_u8(writer, (uint8_t)hex[c & 15]);
            continue;
        }
        if (c == '"' || c == '\\')
            put_u8(writer, '\\');
        put_u8(writer, c);
    }
}

/* base64url without padding (RFC 4648 §5), over chunks: bits wait here until there are six. */
struct base64 {
    uint32_t held;
    unsigned bits;
};

static void put_sextet(struct writer *writer, uint32_t sextet)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    put_u8(writer, (uint8_t)alphabet[sextet & 63]);
}

static void put_base64(struct writer *writer, struct base64 *state, struct bytes bytes)
{
    struct reader reader = reader_over(bytes);
    while (reader.rest.len) {
        state->held = state->held << 8 | take_u8(&reader);
        for (state->bits += 8; state->bits >= 6;) {
            state->bits -= 6;
            put_sextet(writer, state->held >> state->bits);
        }
        state->held &= (1u << state->bits) - 1;
    }
}

static void put_chunk(struct transcoder *at, struct cbor_head head, struct base64 *base64)
{
    struct bytes chunk = {0};
    if (head.argument > at->reader->rest.len)
        reader_fail(at->reader, TRUNCATED);
    else
        chunk = take_bytes(at->reader, (size_t)head.argument);
    if (head.major == MAJOR_BYTES)
        put_base64(at->writer, base64, chunk);
    else if (cbor_is_utf8(chunk)) /* each chunk by itself: RFC 8949 §3.2.3 */
        put_escaped(at->writer, chunk);
    else
        reader_fail(at->reader, MALFORMED);
}

static void put_string(struct transcoder *at, struct cbor_head head)
{
    struct base64 base64 = {0};
    put_u8(at->writer, '"');
    if (head.info != INFO_INDEFINITE) {
        put_chunk(at, head, &base64);
    } else {
        while (at->reader->status == OK && peek_u8(at->reader) != BREAK) {
            struct cbor_head chunk = cbor_take_head(at->reader);
            if (at->reader->status == OK && (chunk.major != head.major || chunk.info == INFO_INDEFINITE))
                reader_fail(at->reader, MALFORMED);
            if (at->reader->status == OK)
                put_chunk(at, chunk, &base64);
        }
        (void)take_u8(at->reader);
    }
    if (base64.bits)
        put_sextet(at->writer, base64.held << (6 - base64.bits));
    put_u8(at->writer, '"');
}

static void open_level(struct transcoder *at, struct cbor_head head)
{
    struct level level = {.map = head.major == MAJOR_MAP, .indefinite = head.info == INFO_INDEFINITE};
    size_t most = at->reader->rest.len / (level.map ? 2 : 1);
    if (head.argument > most)
        reader_fail(at->reader, TRUNCATED);
    else if (at->depth == CBOR_DEPTH_MAX)
        reader_fail(at->reader, UNSUPPORTED);
    if (at->reader->status != OK)
        return;
    level.total = level.map ? 2 * head.argument : head.argument;
    at->levels[at->depth++] = level;
    put_u8(at->writer, level.map ? '{' : '[');
}

static void put_other(struct transcoder *at, struct cbor_head head)
{
    switch (head.info) {
    case SIMPLE_FALSE:
        put_text(at->writer, "false");
        break;
    case SIMPLE_TRUE:
        put_text(at->writer, "true");
        break;
    case SIMPLE_NULL:
    case SIMPLE_UNDEFINED:
        put_text(at->writer, "null");
        break;
    case INFO_HALF:
    case INFO_SINGLE:
    case INFO_DOUBLE:
        put_number(at->writer, cbor_float_value(head));
        break;
    default: /* a break out of place included */
        reader_fail(at->reader, MALFORMED);
    }
}

static struct cbor_head take_untagged_head(struct reader *reader)
{
    struct cbor_head head;
    do {
        head = cbor_take_head(reader);
        if (head.info == INFO_INDEFINITE && (head.major <= MAJOR_NINT || head.major == MAJOR_TAG))
            reader_fail(reader, MALFORMED);
    } while (reader->status == OK && head.major == MAJOR_TAG);
    return head;
}

static void put_value(struct transcoder *at)
{
    struct cbor_head head = take_untagged_head(at->reader);
    if (at->reader->status != OK)
        return;
    switch (head.major) {
    case MAJOR_UINT:
        put_digits(at->writer, head.argument);
        break;
    case MAJOR_NINT:
        put_negative(at->writer, head.argument);
        break;
    case MAJOR_BYTES:
    case MAJOR_TEXT:
        put_string(at, head);
        break;
    case MAJOR_ARRAY:
    case MAJOR_MAP:
        open_level(at, head);
        break;
    default:
        put_other(at, head);
    }
}

static void put_key(struct transcoder *at)
{
    struct cbor_head head = take_untagged_head(at->reader);
    if (at->reader->status != OK)
        return;
    if (head.major == MAJOR_TEXT) {
        put_string(at, head);
        return;
    }
    if (head.major > MAJOR_NINT) {
        reader_fail(at->reader, MALFORMED);
        return;
    }
    put_u8(at->writer, '"');
    if (head.major == MAJOR_UINT)
        put_digits(at->writer, head.argument);
    else
        put_negative(at->writer, head.argument);
    put_u8(at->writer, '"');
}

/* True when the innermost level ends here; closes it. */
static bool close_level(struct transcoder *at)
{
    struct level *level = &at->levels[at->depth - 1];
    if (level->indefinite ? peek_u8(at->reader) != BREAK : level->done != level->total)
        return false;
    if (level->indefinite)
        (void)take_u8(at->reader);
    if (level->map && level->done % 2)
        reader_fail(at->reader, MALFORMED);
    put_u8(at->writer, level->map ? '}' : ']');
    at->depth--;
    return true;
}

static void put_inner(struct transcoder *at)
{
    struct level *level = &at->levels[at->depth - 1];
    bool value_of_key = level->map && level->done % 2;
    if (level->done)
        put_u8(at->writer, value_of_key ? ':' : ',');
    level->done++;
    if (level->map && !value_of_key)
        put_key(at);
    else
        put_value(at);
}

enum status cbor_to_json(struct reader *reader, struct writer *writer)
{
    struct writer out = *writer;
    struct transcoder at = {.reader = reader, .writer = &out};
    put_value(&at);
    while (at.depth && reader->status == OK && out.status == OK)
        if (!close_level(&at))
            put_inner(&at);
    reader_fail(reader, out.status);
    if (reader->status == OK)
        *writer = out;
    return reader->status;
}
