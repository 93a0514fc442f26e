/* Codes, the body (the OSCORE plaintext form) and the UDP message around it. */
#include "coap.h"

#define PAYLOAD_MARKER 0xff
#define VERSION 1

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
