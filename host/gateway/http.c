/* HTTP: libmicrohttpd polled from our one thread. A request that waits for the enclave is suspended, which takes its
 * socket out of the library's sight; requests that wait long are therefore watched here for a client that leaves. */
#include "gateway_internal.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTION_MEMORY ((size_t)16 * 1024) /* headers and buffers of one connection */
#define INACTIVE_S 20u

enum request_kind { KIND_OSCORE, KIND_EDHOC, KIND_PROOF, KIND_HEALTH };
enum request_phase { PHASE_ARRIVING, PHASE_WAITING, PHASE_ANSWERED };

struct http_request {
    enum request_kind kind;
    enum request_phase phase;
    struct MHD_Connection *connection;
    struct http_connection *line;
    uint64_t channel;
    bool watched;
    uint8_t option[GATEWAY_OPTION_MAX];
    size_t option_len;
    unsigned status; /* refused while it arrives, or the answer's */
    const char *text;
    struct MHD_Response *response;
    uint8_t *body;
    size_t len, cap;
};

/* ---- Headers ---- */

struct headers {
    const char *oscore, *type, *length;
    bool expects, repeated;
};

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct headers *headers = context;
    const char **place = NULL;
    (void)kind;
    if (strcasecmp(name, "OSCORE") == 0)
        place = &headers->oscore;
    else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_TYPE) == 0)
        place = &headers->type;
    else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
        place = &headers->length;
    else if (strcasecmp(name, MHD_HTTP_HEADER_EXPECT) == 0)
        headers->expects = true;
    if (place) {
        headers->repeated = headers->repeated || *place;
        *place = value ? value : "";
    }
    return MHD_YES;
}

static void refuse(struct http_request *request, unsigned status, const char *text)
{
    if (request->status == 0) {
        request->status = status;
        request->text = text;
    }
}

static void check_headers(struct http_request *request, const struct headers *headers, bool proves)
{
    uint32_t format;
    if (headers->repeated) {
        refuse(request, MHD_HTTP_BAD_REQUEST, "a header field that may stand once is repeated\n");
    } else if (!headers->type || gateway_content_format(headers->type, &format) != OK) {
        refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/oscore\n");
    } else if (request->kind == KIND_PROOF) {
        if (format != COAP_FORMAT_OCTETS || !proves)
            refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                   "this is for application/octet-stream, a credential for the node's TPM\n");
    } else if (request->kind == KIND_EDHOC && format != COAP_FORMAT_OSCORE) {
        if (format != COAP_FORMAT_CID_EDHOC)
            refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                   "Content-Type must be application/cid-edhoc+cbor-seq here (RFC 9528 A.2)\n");
    } else if (format != COAP_FORMAT_OSCORE) {
        refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/oscore\n");
    } else {
        request->kind = KIND_OSCORE;
        if (!headers->oscore ||
            gateway_option_from_header(headers->oscore, request->option, &request->option_len) != OK)
            refuse(request, MHD_HTTP_BAD_REQUEST,
                   "the OSCORE header field must carry the option in base64url without padding (RFC 8613 11.1)\n");
    }
}

static size_t body_cap(const struct gateway *gateway)
{
    return gateway->config.body_max + GATEWAY_OSCORE_OVERHEAD;
}

/* ---- Answering ---- */

static enum MHD_Result send_response(struct http_request *request, struct MHD_Response *response, unsigned status)
{
    if (!response)
        return MHD_NO;
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
                                      request->kind == KIND_HEALTH ? "GET, HEAD" : "POST");
    enum MHD_Result result = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_refusal(struct http_request *request)
{
    return send_response(request, answer_text(request->status, request->text), request->status);
}

/* Wakes a suspended request; its handler is called once more and finds the response. */
static void resume(struct gateway *gateway, struct http_request *request, struct MHD_Response *response,
                   unsigned status)
{
    if (request->watched)
        (void)epoll_ctl(gateway->epoll, EPOLL_CTL_DEL, request->line->fd, NULL);
    request->watched = false;
    request->channel = 0;
    request->phase = PHASE_ANSWERED;
    request->response = response;
    request->status = status;
    request->line->waiting = false;
    request->line->deadline_ms = gateway->now_ms + GATEWAY_HTTP_ARRIVAL_MS;
    MHD_resume_connection(request->connection);
}

enum status http_reply(struct gateway *gateway, struct channel *channel, const struct coap_body *body)
{
    unsigned status = MHD_HTTP_BAD_GATEWAY;
    struct MHD_Response *response = answer_coap(body, &status);
    resume(gateway, channel->http,
           response ? response : answer_text(MHD_HTTP_BAD_GATEWAY, "the enclave's answer has no form in HTTP\n"),
           status);
    channel_close(gateway, channel);
    return response ? OK : MALFORMED;
}

void http_refuse(struct gateway *gateway, struct channel *channel, unsigned status, const char *text)
{
    resume(gateway, channel->http, answer_text(status, text), status);
    channel_close(gateway, channel);
}

void http_left(struct gateway *gateway, struct channel *channel)
{
    struct http_request *request = channel->http;
    (void)shutdown(request->line->fd, SHUT_RDWR);
    resume(gateway, request, answer_text(MHD_HTTP_SERVICE_UNAVAILABLE, "the client left\n"),
           MHD_HTTP_SERVICE_UNAVAILABLE);
    gateway_lost(gateway, channel);
}

/* ---- The life of a request ---- */

static enum MHD_Result begin(struct gateway *gateway, struct MHD_Connection *connection, const char *url,
                             const char *method, void **slot)
{
    struct http_request *request = calloc(1, sizeof *request);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!request || !info || !info->socket_context) {
        free(request);
        return MHD_NO;
    }
    *slot = request;
    request->connection = connection;
    request->line = info->socket_context;
    request->kind = strcmp(url, HEALTH) == 0       ? KIND_HEALTH
                    : strcmp(url, EDHOC_PATH) == 0 ? KIND_EDHOC
                    : strcmp(url, PROOF_PATH) == 0 ? KIND_PROOF
                                                   : KIND_OSCORE;
    struct headers headers = {0};
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, &headers);
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (request->kind == KIND_HEALTH ? !reads : strcmp(method, "POST") != 0)
        refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED,
               request->kind == KIND_HEALTH ? "GET only\n" : "POST only (RFC 8613 11.1)\n");
    else if (request->kind != KIND_HEALTH)
        check_headers(request, &headers, gateway->config.prove != NULL);
    /* The library has checked that it is a number; one too large for us is larger than any limit too. */
    unsigned long long declared = headers.length ? strtoull(headers.length, NULL, 10) : 0;
    if (declared > body_cap(gateway))
        refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than this node takes (--body-max)\n");
    if (request->status && (headers.expects || declared > GATEWAY_HTTP_DISCARD))
        return send_refusal(request);
    return MHD_YES;
}

/* A refused body is read on for a while: closing at once would reset the connection under the client's answer. */
static enum MHD_Result take_body(struct gateway *gateway, struct http_request *request, const char *data, size_t len)
{
    if (len > body_cap(gateway) - (request->status ? 0 : request->len))
        refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than this node takes (--body-max)\n");
    if (request->status) {
        request->len += len;
        return request->len > GATEWAY_HTTP_DISCARD ? MHD_NO : MHD_YES;
    }
    if (len > request->cap - request->len) {
        size_t cap = request->len + len > 2 * request->cap ? request->len + len : 2 * request->cap;
        uint8_t *body = realloc(request->body, cap);
        if (!body)
            return MHD_NO;
        request->body = body;
        request->cap = cap;
    }
    memcpy(request->body + request->len, data, len);
    request->len += len;
    return MHD_YES;
}

static enum MHD_Result ask(struct gateway *gateway, struct http_request *request)
{
    struct writer body = writer_over(gateway->scratch, gateway->scratch_cap);
    struct bytes payload = bytes_from(request->body, request->len);
    struct channel *channel;
    if (request->kind == KIND_OSCORE)
        gateway_put_oscore_request(&body, bytes_from(request->option, request->option_len), payload);
    else
        gateway_put_edhoc(&body, payload);
    if (request->len == 0 || writer_end(&body) != OK) {
        refuse(request, MHD_HTTP_BAD_REQUEST, "the body is empty\n");
        return send_refusal(request);
    }
    uint64_t id = channel_id(DOOR_HTTP, ++gateway->serial);
    if ((request->kind == KIND_PROOF ? gateway_prove(gateway, id, &channel, payload)
                                     : gateway_ask(gateway, id, &channel, writer_bytes(&body))) != OK) {
        refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE,
               gateway->up ? "the enclave is busy\n" : "the enclave is not running\n");
        return send_refusal(request);
    }
    free(request->body);
    request->body = NULL;
    channel->http = request;
    request->channel = channel->id;
    request->phase = PHASE_WAITING;
    request->line->waiting = true;
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *len, void **slot)
{
    struct gateway *gateway = context;
    struct http_request *request = *slot;
    (void)version;
    if (!request)
        return begin(gateway, connection, url, method, slot);
    if (*len) {
        enum MHD_Result result = take_body(gateway, request, data, *len);
        *len = 0;
        return result;
    }
    if (request->phase == PHASE_ANSWERED) {
        struct MHD_Response *response = request->response;
        request->response = NULL;
        return send_response(request, response, request->status);
    }
    if (request->status)
        return send_refusal(request);
    if (request->kind == KIND_HEALTH) {
        struct MHD_Response *response = answer_health(gateway, &request->status);
        return send_response(request, response, request->status);
    }
    return ask(gateway, request);
}

static void completed(void *context, struct MHD_Connection *connection, void **slot,
                      enum MHD_RequestTerminationCode why)
{
    struct gateway *gateway = context;
    struct http_request *request = *slot;
    (void)connection;
    (void)why;
    if (!request)
        return;
    struct channel *channel = request->channel ? channel_find(gateway, request->channel) : NULL;
    if (request->watched)
        (void)epoll_ctl(gateway->epoll, EPOLL_CTL_DEL, request->line->fd, NULL);
    if (channel)
        gateway_lost(gateway, channel);
    if (request->response)
        MHD_destroy_response(request->response);
    request->line->waiting = false;
    request->line->deadline_ms = gateway->now_ms + GATEWAY_HTTP_ARRIVAL_MS;
    free(request->body);
    free(request);
    *slot = NULL;
}

static void connected(void *context, struct MHD_Connection *connection, void **slot,
                      enum MHD_ConnectionNotificationCode code)
{
    struct gateway *gateway = context;
    struct http_connection *line = *slot;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        line = info ? calloc(1, sizeof *line) : NULL;
        if (!line)
            return; /* without it every request on this connection is refused by begin() */
        line->fd = info->connect_fd;
        line->deadline_ms = gateway->now_ms + GATEWAY_HTTP_ARRIVAL_MS;
        line->next = gateway->connections;
        if (line->next)
            line->next->prev = line;
        gateway->connections = line;
        gateway->connection_count++;
        *slot = line;
    } else if (line) {
        *(line->prev ? &line->prev->next : &gateway->connections) = line->next;
        if (line->next)
            line->next->prev = line->prev;
        gateway->connection_count--;
        free(line);
        *slot = NULL;
    }
}

/* ---- The library ---- */

enum status http_start(struct gateway *gateway, const char **why)
{
    gateway->http_listen = socket_bind(gateway->config.http, SOCK_STREAM, why);
    if (gateway->http_listen < 0)
        return IO;
    gateway->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO, 0, NULL, NULL, handle, gateway,
        MHD_OPTION_LISTEN_SOCKET, gateway->http_listen, MHD_OPTION_CONNECTION_LIMIT, GATEWAY_HTTP_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, INACTIVE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, completed, gateway, MHD_OPTION_NOTIFY_CONNECTION, connected, gateway,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    *why = "libmicrohttpd does not start";
    if (!gateway->http) {
        close(gateway->http_listen);
        return IO;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(gateway->http, MHD_DAEMON_INFO_EPOLL_FD);
    struct epoll_event event = {.events = EPOLLIN};
    if (!info || epoll_ctl(gateway->epoll, EPOLL_CTL_ADD, info->epoll_fd, &event) < 0)
        return IO;
    return OK;
}

void http_stop(struct gateway *gateway)
{
    if (!gateway->http)
        return;
    MHD_run(gateway->http); /* what was resumed is answered; the library may not be stopped over suspended requests */
    MHD_stop_daemon(gateway->http);
}

void http_run(struct gateway *gateway)
{
    if (gateway->http)
        MHD_run(gateway->http);
}

int http_timeout(const struct gateway *gateway)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (!gateway->http || MHD_get_timeout(gateway->http, &ms) != MHD_YES)
        return -1;
    return ms > 60000 ? 60000 : (int)ms;
}

void http_sweep(struct gateway *gateway)
{
    for (struct http_connection *line = gateway->connections; line; line = line->next)
        if (!line->waiting && gateway->now_ms >= line->deadline_ms)
            (void)shutdown(line->fd, SHUT_RDWR);
    for (uint32_t i = 0; i < CHANNEL_SLOTS && gateway->channel_count;) {
        struct channel *channel = gateway->channels[i];
        if (channel && channel->http && gateway->now_ms - channel->since_ms >= GATEWAY_HTTP_WAIT_MS) {
            struct http_request *request = channel->http;
            resume(gateway, request, answer_text(MHD_HTTP_GATEWAY_TIMEOUT, "the enclave has not answered\n"),
                   MHD_HTTP_GATEWAY_TIMEOUT);
            gateway_lost(gateway, channel);
            continue; /* another channel may have moved into this slot */
        }
        if (channel && channel->http && !channel->http->watched &&
            gateway->now_ms - channel->since_ms >= GATEWAY_HTTP_WATCH_MS) {
            struct epoll_event event = {.events = EPOLLRDHUP, .data.u64 = channel->id};
            channel->http->watched = epoll_ctl(gateway->epoll, EPOLL_CTL_ADD, channel->http->line->fd, &event) == 0;
        }
        i++;
    }
}
