/* What HTTP clients choose freely: the OSCORE header field, Content-Type, the address parser's text. One text for each
 * option: what decodes must encode to the same text. */
#include "gateway.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t buffer[2048];
    char text[600], again[GATEWAY_HEADER_MAX];
    uint8_t option[GATEWAY_OPTION_MAX];
    size_t option_len = 0;
    struct coap_peer peer;
    uint32_t format;
    size_t text_len = len < sizeof text - 1 ? len : sizeof text - 1;
    memcpy(text, data, text_len);
    text[text_len] = 0;
    if (gateway_option_from_header(text, option, &option_len) == OK) {
        struct writer writer = writer_over(buffer, sizeof buffer);
        struct coap_body body;
        struct bytes value;
        if (gateway_option_to_header(bytes_from(option, option_len), again) != OK || strcmp(again, text) != 0)
            abort();
        gateway_put_oscore_request(&writer, bytes_from(option, option_len), bytes_from(data, len < 512 ? len : 512));
        if (coap_body_decode(writer_bytes(&writer), &body) != OK || body.code != COAP_POST ||
            !coap_option_find(body.options, COAP_OSCORE, &value) || !bytes_equal(value, bytes_from(option, option_len)))
            abort();
    }
    if (gateway_content_format(text, &format) == OK && !gateway_media_type(format))
        abort();
    if (gateway_parse_address(text, &peer) == OK && (peer.len == 0 || peer.len > COAP_PEER_MAX))
        abort();
    if (len && gateway_http_status(data[0], len > 1) < 200)
        abort();
    return 0;
}
