/* HTTP to CoAP and back (RFC 8075, RFC 8613 §11). Pure: no connection, no clock, no memory of its own. */
#include "gateway_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum status gateway_option_from_header(const char *header, uint8_t option[GATEWAY_OPTION_MAX], size_t *len)
{
    uint8_t buffer[GATEWAY_OPTION_MAX];
    struct writer writer = writer_over(buffer, sizeof buffer);
    /* RFC 8613 §11.1: OSCORE = 2*base64url-char. */
    if (strlen(header) < 2)
        return MALFORMED;
    TRY(base64url_decode(header, &writer));
    /* RFC 8613 §11.3: a single zero byte stands for the empty option. */
    *len = writer.len == 1 && buffer[0] == 0 ? 0 : writer.len;
    memcpy(option, buffer, *len);
    return OK;
}

enum status gateway_option_to_header(struct bytes option, char header[GATEWAY_HEADER_MAX])
{
    static const uint8_t zero[1] = {0};
    return base64url_encode(option.len ? option : BYTES_OF(zero), header, GATEWAY_HEADER_MAX);
}

static const struct {
    uint8_t code;
    uint16_t status;
} statuses[] = {
    {COAP_CREATED, 201},         {COAP_BAD_REQUEST, 400},
    {COAP_UNAUTHORIZED, 403}, /* HTTP's 401 would need a challenge (RFC 8075 §7, note 5) */
    {COAP_BAD_OPTION, 400},      {COAP_FORBIDDEN, 403},
    {COAP_NOT_FOUND, 404},       {COAP_METHOD_NOT_ALLOWED, 400}, /* HTTP's 405 would need Allow (note 7) */
    {COAP_NOT_ACCEPTABLE, 406},  {COAP_INCOMPLETE, 400},
    {COAP_CONFLICT, 409},        {COAP_PRECONDITION_FAILED, 412},
    {COAP_TOO_LARGE, 413},       {COAP_UNSUPPORTED_FORMAT, 415},
    {COAP_UNPROCESSABLE, 422},   {COAP_TOO_MANY_REQUESTS, 429}, /* RFC 8516 §4 */
    {COAP_INTERNAL_ERROR, 500},  {COAP_NOT_IMPLEMENTED, 501},
    {COAP_BAD_GATEWAY, 502},     {COAP_UNAVAILABLE, 503},
    {COAP_GATEWAY_TIMEOUT, 504},
};

unsigned gateway_http_status(uint8_t code, bool has_payload)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].code == code)
            return statuses[i].status;
    if (code == COAP_DELETED || code == COAP_CHANGED)
        return has_payload ? 200 : 204;
    if (code == COAP_CONTENT || code == COAP_VALID)
        return 200;
    /* RFC 7252 §5.9: an unknown code counts as the generic one of its class. */
    return coap_code_class(code) == 4 ? 400 : coap_code_class(code) == 5 ? 500 : 502;
}

static const struct {
    uint32_t format;
    const char *type;
    const char *full; /* as sent, with parameters */
} formats[] = {
    {COAP_FORMAT_TEXT, "text/plain", "text/plain;charset=utf-8"},
    {COAP_FORMAT_LINK, "application/link-format", "application/link-format"},
    {COAP_FORMAT_OCTETS, "application/octet-stream", "application/octet-stream"},
    {COAP_FORMAT_JSON, "application/json", "application/json"},
    {COAP_FORMAT_CBOR, "application/cbor", "application/cbor"},
    {COAP_FORMAT_EDHOC, "application/edhoc+cbor-seq", "application/edhoc+cbor-seq"},
    {COAP_FORMAT_CID_EDHOC, "application/cid-edhoc+cbor-seq", "application/cid-edhoc+cbor-seq"},
    {COAP_FORMAT_SENML_JSON, "application/senml+json", "application/senml+json"},
    {COAP_FORMAT_SENML_CBOR, "application/senml+cbor", "application/senml+cbor"},
    {COAP_FORMAT_OSCORE, "application/oscore", "application/oscore"},
};

const char *gateway_media_type(uint32_t content_format)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].format == content_format)
            return formats[i].full;
    return NULL;
}

enum status gateway_content_format(const char *media_type, uint32_t *content_format)
{
    size_t len = strcspn(media_type, "; \t");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strlen(formats[i].type) == len && strncasecmp(formats[i].type, media_type, len) == 0) {
            *content_format = formats[i].format;
            return OK;
        }
    }
    return NOT_FOUND;
}

static void put_post(struct writer *to, struct writer *options, struct bytes payload)
{
    struct coap_body body = {COAP_POST, writer_bytes(options), payload};
    coap_body_encode(to, &body);
}

void gateway_put_oscore_request(struct writer *to, struct bytes option, struct bytes payload)
{
    uint8_t buffer[GATEWAY_OPTION_MAX + 8];
    struct writer options = writer_over(buffer, sizeof buffer);
    struct coap_option_writer writer = coap_options_to(&options);
    /* RFC 8613 §11.3: no Content-Format. */
    coap_put_option(&writer, COAP_OSCORE, option);
    put_post(to, &options, payload);
}

void gateway_put_edhoc(struct writer *to, struct bytes payload)
{
    uint8_t buffer[64];
    struct writer options = writer_over(buffer, sizeof buffer);
    struct coap_option_writer writer = coap_options_to(&options);
    coap_put_segments(&writer, COAP_URI_PATH, EDHOC_PATH, '/');
    coap_put_option_uint(&writer, COAP_CONTENT_FORMAT, COAP_FORMAT_CID_EDHOC);
    put_post(to, &options, payload);
}

static enum status parse_port(const char *text, in_port_t *port)
{
    char *end;
    if (*text < '0' || *text > '9')
        return MALFORMED;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != 0 || value > 65535)
        return MALFORMED;
    *port = htons((uint16_t)value);
    return OK;
}

enum status gateway_parse_address(const char *text, struct coap_peer *address)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return MALFORMED;
    size_t len = (size_t)(colon - text);
    memcpy(host, text, len);
    host[len] = 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    _Static_assert(sizeof v6 <= COAP_PEER_MAX, "an IPv6 socket address is a peer");
    in_port_t port = 0;
    TRY(parse_port(colon + 1, &port));
    v4.sin_port = v6.sin6_port = port;
    bool bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (bracketed)
        host[len - 1] = 0;
    if (bracketed && inet_pton(AF_INET6, host + 1, &v6.sin6_addr) == 1) {
        address->len = sizeof v6;
        memcpy(address->data, &v6, sizeof v6);
        return OK;
    }
    if (bracketed || inet_pton(AF_INET, host, &v4.sin_addr) != 1)
        return MALFORMED;
    address->len = sizeof v4;
    memcpy(address->data, &v4, sizeof v4);
    return OK;
}
