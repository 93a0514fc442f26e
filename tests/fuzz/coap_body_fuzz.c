/* The OSCORE plaintext form from anyone: decoded or refused; what is decoded encodes to the same bytes, and a path that
 * can be joined is cut into the same segments again. */
#include "coap.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void hold(bool truth)
{
    if (!truth)
        abort();
}

/* The options of one number alone, put by themselves. */
static struct bytes only(struct bytes options, uint16_t number, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    struct coap_option_writer to = coap_options_to(&writer);
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option option;
    while (coap_option_next(&reader, &option))
        if (option.number == number)
            coap_put_option(&to, number, option.value);
    return writer_bytes(&writer);
}

static void try_joining(struct bytes options, uint16_t number, char separator)
{
    static uint8_t joined[4097], expected[4096], again[4096];
    struct writer text = writer_over(joined, sizeof joined - 1);
    struct writer writer = writer_over(again, sizeof again);
    struct coap_option_writer to = coap_options_to(&writer);
    enum status status = coap_join_segments(options, number, separator, &text);
    if (status != OK) {
        hold(status == DENIED || status == NO_ROOM);
        return;
    }
    joined[text.len] = 0;
    hold(strlen((const char *)joined) == text.len);
    struct bytes parts = only(options, number, expected, sizeof expected);
    coap_put_segments(&to, number, (const char *)joined, separator);
    /* a single empty segment, or none, are one path */
    if (text.len > 0)
        hold(bytes_equal(parts, writer_bytes(&writer)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[4096];
    struct bytes input = bytes_from(data, len);
    struct coap_body body;
    struct writer writer = writer_over(room, sizeof room);
    if (coap_body_decode(input, &body) != OK)
        return 0;
    coap_body_encode(&writer, &body);
    hold(bytes_equal(writer_bytes(&writer), input));
    uint16_t bad = 0;
    if (coap_options_check(body.options, &bad) == OK) {
        try_joining(body.options, COAP_URI_PATH, '/');
        try_joining(body.options, COAP_URI_QUERY, '&');
    }
    return 0;
}
