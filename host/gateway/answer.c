/* What HTTP clients get: OSCORE messages, unprotected errors of the hub, refusals of our own, our health. */
#include "gateway_internal.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

static struct MHD_Response *make(struct bytes body)
{
    /* The library takes a pointer it never writes through, as MUST_COPY says. */
    union {
        const uint8_t *from;
        void *to;
    } data = {body.data};
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, body.len ? data.to : NULL, MHD_RESPMEM_MUST_COPY);
    if (response)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    return response;
}

static void set(struct MHD_Response *response, const char *name, const char *value)
{
    if (response)
        (void)MHD_add_response_header(response, name, value);
}

struct MHD_Response *answer_text(unsigned status, const char *text)
{
    struct MHD_Response *response = make(bytes_from_text(text));
    set(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain;charset=utf-8");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        set(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    return response;
}

struct MHD_Response *answer_health(const struct gateway *gateway, unsigned *status)
{
    char text[256];
    int len = snprintf(
        text, sizeof text, "{\"enclave\":\"%s\",\"version\":\"%s\",\"channels\":%u,\"connections\":%u}\n",
        gateway->up ? "up" : "down", gateway->config.version, gateway->channel_count, gateway->connection_count);
    if (len < 0 || (size_t)len >= sizeof text)
        return NULL;
    struct MHD_Response *response = make(bytes_from(text, (size_t)len));
    set(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    *status = gateway->up ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    return response;
}

struct MHD_Response *answer_coap(const struct coap_body *body, unsigned *status)
{
    struct bytes option;
    struct MHD_Response *response = make(body->payload);
    uint32_t number;
    if (coap_option_find(body->options, COAP_OSCORE, &option)) {
        /* RFC 8613 §11.1: only with 200, whatever the outer code; the real one is inside. */
        char header[GATEWAY_HEADER_MAX];
        if (gateway_option_to_header(option, header) != OK) {
            if (response)
                MHD_destroy_response(response);
            return NULL;
        }
        set(response, "OSCORE", header);
        set(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/oscore");
        *status = MHD_HTTP_OK;
        return response;
    }
    *status = gateway_http_status(body->code, body->payload.len > 0);
    const char *type = NULL;
    /* RFC 7252 §5.5.2: without a format, an error's payload is a diagnostic in UTF-8. */
    if (coap_option_find_uint(body->options, COAP_CONTENT_FORMAT, &number) == OK)
        type = gateway_media_type(number);
    else if (coap_code_class(body->code) != 2)
        type = gateway_media_type(COAP_FORMAT_TEXT);
    if (body->payload.len)
        set(response, MHD_HTTP_HEADER_CONTENT_TYPE, type ? type : "application/octet-stream");
    if (body->code == COAP_UNAVAILABLE || body->code == COAP_TOO_MANY_REQUESTS) {
        char seconds[16];
        if (coap_option_find_uint(body->options, COAP_MAX_AGE, &number) != OK)
            number = 60; /* RFC 7252 §5.10.5 */
        snprintf(seconds, sizeof seconds, "%u", number);
        set(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    return response;
}
