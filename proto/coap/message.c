/* The wire: options (the table of those we know, walking a list, appending to one), bodies and messages. */
#include "coap_internal.h"

#include <string.h>

#define PAYLOAD_MARKER 0xff
#define VERSION 1

/* RFC 7252 §5.10, RFC 7641 §2, RFC 7959 §2.1 and §4, RFC 7967, RFC 8613 §2, RFC 9175. Sorted by number. */
static const struct coap_option_rule rules[] = {
    {COAP_IF_MATCH, COAP_FORMAT_IS_OPAQUE, 0, 8, true},
    {COAP_URI_HOST, COAP_FORMAT_IS_STRING, 1, 255, false},
    {COAP_ETAG, COAP_FORMAT_IS_OPAQUE, 1, 8, true},
    {COAP_IF_NONE_MATCH, COAP_FORMAT_IS_EMPTY, 0, 0, false},
    {COAP_OBSERVE, COAP_FORMAT_IS_UINT, 0, 3, false},
    {COAP_URI_PORT, COAP_FORMAT_IS_UINT, 0, 2, false},
    {COAP_LOCATION_PATH, COAP_FORMAT_IS_STRING, 0, 255, true},
    {COAP_OSCORE, COAP_FORMAT_IS_OPAQUE, 0, 255, false},
    {COAP_URI_PATH, COAP_FORMAT_IS_STRING, 0, 255, true},
    {COAP_CONTENT_FORMAT, COAP_FORMAT_IS_UINT, 0, 2, false},
    {COAP_MAX_AGE, COAP_FORMAT_IS_UINT, 0, 4, false},
    {COAP_URI_QUERY, COAP_FORMAT_IS_STRING, 0, 255, true},
    {COAP_ACCEPT, COAP_FORMAT_IS_UINT, 0, 2, false},
    {COAP_LOCATION_QUERY, COAP_FORMAT_IS_STRING, 0, 255, true},
    {COAP_BLOCK2, COAP_FORMAT_IS_UINT, 0, 3, false},
    {COAP_BLOCK1, COAP_FORMAT_IS_UINT, 0, 3, false},
    {COAP_SIZE2, COAP_FORMAT_IS_UINT, 0, 4, false},
    {COAP_PROXY_URI, COAP_FORMAT_IS_STRING, 1, 1034, false},
    {COAP_PROXY_SCHEME, COAP_FORMAT_IS_STRING, 1, 255, false},
    {COAP_SIZE1, COAP_FORMAT_IS_UINT, 0, 4, false},
    {COAP_ECHO, COAP_FORMAT_IS_OPAQUE, 1, 40, false},
    {COAP_NO_RESPONSE, COAP_FORMAT_IS_UINT, 0, 1, false},
    {COAP_REQUEST_TAG, COAP_FORMAT_IS_OPAQUE, 0, 8, true},
};

const struct coap_option_rule *coap_option_rule(uint16_t number)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].number == number)
            return &rules[i];
    return NULL;
}

bool coap_option_is_critical(uint16_t number)
{
    return number & 1;
}

/* RFC 7252 §3.1: 13 adds one byte, 14 two; 15 is reserved for the payload marker. */
static uint32_t take_extended(struct reader *reader, uint8_t nibble)
{
    if (nibble == 13)
        return 13u + take_u8(reader);
    if (nibble == 14)
        return 269u + take_u16be(reader);
    if (nibble == 15)
        reader_fail(reader, MALFORMED);
    return nibble;
}

struct coap_option_reader coap_options_over(struct bytes options)
{
    return (struct coap_option_reader){reader_over(options), 0};
}

bool coap_option_next(struct coap_option_reader *reader, struct coap_option *option)
{
    struct reader *from = &reader->reader;
    if (from->status != OK || from->rest.len == 0)
        return false;
    uint8_t head = take_u8(from);
    uint32_t delta = take_extended(from, head >> 4);
    uint32_t len = take_extended(from, head & 15);
    struct bytes value = take_bytes(from, len);
    if (delta > UINT16_MAX - reader->number)
        reader_fail(from, MALFORMED);
    if (from->status != OK)
        return false;
    reader->number += delta;
    *option = (struct coap_option){(uint16_t)reader->number, value};
    return true;
}

enum status coap_options_end(const struct coap_option_reader *reader)
{
    return reader_end(&reader->reader);
}

bool coap_option_find(struct bytes options, uint16_t number, struct bytes *value)
{
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option option;
    while (coap_option_next(&reader, &option))
        if (option.number >= number) {
            if (option.number == number)
                *value = option.value;
            return option.number == number;
        }
    return false;
}

enum status coap_option_uint(struct bytes value, uint32_t *number)
{
    if (value.len > 4)
        return MALFORMED;
    uint32_t sum = 0;
    for (size_t i = 0; i < value.len; i++)
        sum = sum << 8 | value.data[i];
    *number = sum;
    return OK;
}

enum status coap_option_find_uint(struct bytes options, uint16_t number, uint32_t *value)
{
    struct bytes found;
    return coap_option_find(options, number, &found) ? coap_option_uint(found, value) : NOT_FOUND;
}

enum status coap_options_check(struct bytes options, uint16_t *bad)
{
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option option;
    uint32_t previous = UINT32_MAX;
    while (coap_option_next(&reader, &option)) {
        const struct coap_option_rule *rule = coap_option_rule(option.number);
        bool fits = rule && option.value.len >= rule->min && option.value.len <= rule->max &&
                    (rule->repeatable || previous != option.number);
        if (!fits && coap_option_is_critical(option.number)) {
            *bad = option.number;
            return UNSUPPORTED;
        }
        previous = option.number;
    }
    return coap_options_end(&reader);
}

struct coap_option_writer coap_options_to(struct writer *to)
{
    return (struct coap_option_writer){to, 0};
}

static uint8_t extended_nibble(size_t value)
{
    return value < 13 ? (uint8_t)value : value < 269 ? 13 : 14;
}

static void put_extended(struct writer *to, size_t value)
{
    if (value >= 269)
        put_u16be(to, (uint16_t)(value - 269));
    else if (value >= 13)
        put_u8(to, (uint8_t)(value - 13));
}

void coap_put_option(struct coap_option_writer *writer, uint16_t number, struct bytes value)
{
    if (number < writer->last) {
        writer_fail(writer->to, WRONG_STATE);
        return;
    }
    if (value.len > 269u + UINT16_MAX) {
        writer_fail(writer->to, NO_ROOM);
        return;
    }
    size_t delta = (size_t)number - writer->last;
    put_u8(writer->to, (uint8_t)(extended_nibble(delta) << 4 | extended_nibble(value.len)));
    put_extended(writer->to, delta);
    put_extended(writer->to, value.len);
    put_bytes(writer->to, value);
    writer->last = number;
}

void coap_put_option_uint(struct coap_option_writer *writer, uint16_t number, uint32_t value)
{
    uint8_t digits[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    size_t skip = 0;
    while (skip < sizeof digits && digits[skip] == 0)
        skip++;
    coap_put_option(writer, number, bytes_slice(BYTES_OF(digits), skip, sizeof digits - skip));
}

void coap_put_segments(struct coap_option_writer *writer, uint16_t number, const char *text, char separator)
{
    const char *at = *text == separator ? text + 1 : text;
    while (*at) {
        const char *end = strchrnul(at, separator);
        coap_put_option(writer, number, bytes_from(at, (size_t)(end - at)));
        if (*end == 0)
            return;
        at = end + 1;
        if (*at == 0)
            coap_put_option(writer, number, (struct bytes){0}); /* "a/" is "a" and an empty segment */
    }
}

enum status coap_join_segments(struct bytes options, uint16_t number, char separator, struct writer *to)
{
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option option;
    bool first = true;
    while (coap_option_next(&reader, &option)) {
        if (option.number != number)
            continue;
        for (size_t i = 0; i < option.value.len; i++)
            if (option.value.data[i] == (uint8_t)separator || option.value.data[i] == 0)
                return DENIED;
        if (first && option.value.len == 0)
            return DENIED;
        if (!first)
            put_u8(to, (uint8_t)separator);
        put_bytes(to, option.value);
        first = false;
    }
    TRY(coap_options_end(&reader));
    return to->status;
}

size_t coap_block_size(uint8_t szx)
{
    return (size_t)1 << (szx + 4);
}

/* RFC 7959 §2.2: NUM, one bit M, three bits SZX. */
enum status coap_block_decode(struct bytes value, struct coap_block *block)
{
    uint32_t packed;
    if (value.len > 3)
        return MALFORMED;
    TRY(coap_option_uint(value, &packed));
    if ((packed & 7) > COAP_BLOCK_SZX_MAX)
        return UNSUPPORTED;
    *block = (struct coap_block){packed >> 4, packed >> 3 & 1, (uint8_t)(packed & 7)};
    return OK;
}

enum status coap_block_find(struct bytes options, uint16_t number, struct coap_block *block)
{
    struct bytes value;
    return coap_option_find(options, number, &value) ? coap_block_decode(value, block) : NOT_FOUND;
}

uint32_t coap_block_value(struct coap_block block)
{
    return block.num << 4 | (block.more ? 8u : 0) | block.szx;
}

void coap_put_block(struct coap_option_writer *writer, uint16_t number, struct coap_block block)
{
    if (block.num > COAP_BLOCK_NUM_MAX || block.szx > COAP_BLOCK_SZX_MAX)
        writer_fail(writer->to, NO_ROOM);
    coap_put_option_uint(writer, number, coap_block_value(block));
}

uint8_t coap_code_class(uint8_t code)
{
    return code >> 5;
}

uint8_t coap_code_detail(uint8_t code)
{
    return code & 31;
}

bool coap_code_is_request(uint8_t code)
{
    return code != COAP_EMPTY && coap_code_class(code) == 0;
}

bool coap_code_is_response(uint8_t code)
{
    uint8_t class = coap_code_class(code);
    return class == 2 || class == 4 || class == 5;
}

void coap_code_text(uint8_t code, char text[COAP_CODE_TEXT])
{
    uint8_t detail = coap_code_detail(code);
    text[0] = (char)('0' + coap_code_class(code));
    text[1] = '.';
    text[2] = (char)('0' + detail / 10);
    text[3] = (char)('0' + detail % 10);
    text[4] = 0;
}

/* Options run to the marker or the end; where the marker is, only walking the options can tell. */
static enum status split_options(struct bytes input, struct bytes *options, struct bytes *payload)
{
    struct coap_option_reader walk = coap_options_over(input);
    struct coap_option option;
    while (walk.reader.rest.len && peek_u8(&walk.reader) != PAYLOAD_MARKER)
        if (!coap_option_next(&walk, &option))
            return coap_options_end(&walk);
    *options = bytes_slice(input, 0, input.len - walk.reader.rest.len);
    *payload = (struct bytes){0};
    if (walk.reader.rest.len == 0)
        return OK;
    take_u8(&walk.reader);
    /* RFC 7252 §3: a marker followed by a zero-length payload is a message format error. */
    if (walk.reader.rest.len == 0)
        return MALFORMED;
    *payload = take_rest(&walk.reader);
    return OK;
}

enum status coap_body_decode(struct bytes input, struct coap_body *body)
{
    struct reader reader = reader_over(input);
    struct coap_body decoded = {.code = take_u8(&reader)};
    struct bytes rest = take_rest(&reader);
    TRY(reader_end(&reader));
    TRY(split_options(rest, &decoded.options, &decoded.payload));
    *body = decoded;
    return OK;
}

static void put_options_and_payload(struct writer *writer, const struct coap_body *body)
{
    struct coap_option_reader walk = coap_options_over(body->options);
    struct coap_option option;
    while (coap_option_next(&walk, &option))
        ;
    if (coap_options_end(&walk) != OK)
        writer_fail(writer, MALFORMED);
    put_bytes(writer, body->options);
    if (body->payload.len == 0)
        return;
    put_u8(writer, PAYLOAD_MARKER);
    put_bytes(writer, body->payload);
}

void coap_body_encode(struct writer *writer, const struct coap_body *body)
{
    put_u8(writer, body->code);
    put_options_and_payload(writer, body);
}

enum status coap_message_decode(struct bytes datagram, struct coap_message *message)
{
    struct reader reader = reader_over(datagram);
    uint8_t head = take_u8(&reader);
    if (reader.status == OK && head >> 6 != VERSION)
        return UNSUPPORTED;
    size_t token_len = head & 15;
    if (token_len > COAP_TOKEN_MAX)
        return MALFORMED;
    struct coap_message decoded = {.type = head >> 4 & 3, .body.code = take_u8(&reader)};
    decoded.message_id = take_u16be(&reader);
    decoded.token = take_bytes(&reader, token_len);
    struct bytes rest = take_rest(&reader);
    TRY(reader_end(&reader));
    /* RFC 7252 §4.1: nothing may follow the message id of an Empty message. */
    if (decoded.body.code == COAP_EMPTY && (token_len || rest.len))
        return MALFORMED;
    TRY(split_options(rest, &decoded.body.options, &decoded.body.payload));
    *message = decoded;
    return OK;
}

void coap_message_encode(struct writer *writer, const struct coap_message *message)
{
    const struct coap_body *body = &message->body;
    if (message->token.len > COAP_TOKEN_MAX || message->type > COAP_RST)
        writer_fail(writer, NO_ROOM);
    if (body->code == COAP_EMPTY && (message->token.len || body->options.len || body->payload.len))
        writer_fail(writer, MALFORMED);
    put_u8(writer, (uint8_t)(VERSION << 6 | message->type << 4 | (uint8_t)message->token.len));
    put_u8(writer, body->code);
    put_u16be(writer, message->message_id);
    put_bytes(writer, message->token);
    put_options_and_payload(writer, body);
}
