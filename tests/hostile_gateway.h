/* A gateway that the test plays, in front of the hubs of hostile_places.h: it may hold back, repeat, exchange and
 * invent whatever passes it. Its sockets are the real gateway's. */
#ifndef BASTIDE_TESTS_HOSTILE_GATEWAY_H
#define BASTIDE_TESTS_HOSTILE_GATEWAY_H

#include "hostile_places.h"

#include "gateway.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#define BODY_CAP 16384
#define ASKED_MAX 64

enum said { MESSAGE_1, MESSAGE_3, PROTECTED, KINDS, OTHER = KINDS };

struct exchange {
    enum said kind;
    unsigned nth;     /* of this kind, from 0 */
    uint64_t channel; /* of the gateway's, where the client waits */
    enum door_transport transport;
    struct rig *to; /* NULL: it goes nowhere */
    uint8_t request[BODY_CAP], answer[BODY_CAP];
    size_t request_len, answer_len; /* CoAP bodies; no answer: 0 */
};

static struct {
    struct gateway *gateway;
    in_port_t coap_port, http_port;
    struct {
        uint64_t channel;
        enum door_transport transport;
        struct bytes body;
    } asked[ASKED_MAX];
    size_t asked_count;
    unsigned sent[KINDS + 1];          /* by the client, since the play began */
    void (*before)(struct exchange *); /* the hub gets it; may change all of it */
    void (*after)(struct exchange *);  /* the client gets the answer */
    uint8_t kept[KINDS][BODY_CAP];     /* what a play recorded: requests, and the answers to them */
    uint8_t kept_answers[KINDS][BODY_CAP];
    size_t kept_len[KINDS], kept_answer_len[KINDS];
} between;

static inline enum status take_asked(void *context, uint64_t channel, enum door_transport transport, struct bytes body)
{
    (void)context;
    assert_true(between.asked_count < ASKED_MAX);
    uint8_t *copy = malloc(body.len);
    assert_non_null(copy);
    memcpy(copy, body.data, body.len);
    between.asked[between.asked_count].channel = channel;
    between.asked[between.asked_count].transport = transport;
    between.asked[between.asked_count++].body = bytes_from(copy, body.len);
    return OK;
}

static inline void take_gone(void *context, uint64_t channel)
{
    (void)context;
    for (size_t i = 0; i < between.asked_count; i++)
        if (between.asked[i].channel == channel)
            between.asked[i].channel = 0;
}

static inline uint64_t clock_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline in_port_t free_port(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    check_ok(bind(fd, (struct sockaddr *)&address, sizeof address));
    check_ok(getsockname(fd, (struct sockaddr *)&address, &len));
    close(fd);
    return ntohs(address.sin_port);
}

static inline void open_gateway(void)
{
    const char *why = NULL;
    char coap[32], http[32];
    memset(&between, 0, sizeof between);
    between.coap_port = free_port(SOCK_DGRAM);
    between.http_port = free_port(SOCK_STREAM);
    snprintf(coap, sizeof coap, "127.0.0.1:%u", between.coap_port);
    snprintf(http, sizeof http, "127.0.0.1:%u", between.http_port);
    const struct gateway_config wanted = {
        .coap = coap, .http = http, .body_max = 65536, .version = "hostile", .ask = take_asked, .gone = take_gone};
    if (gateway_new(&wanted, &between.gateway, &why) != OK)
        fail_msg("%s", why);
    gateway_set_enclave(between.gateway, clock_now_ms(), true);
}

static inline void close_gateway(void)
{
    gateway_free(between.gateway);
    between.gateway = NULL;
    for (size_t i = 0; i < between.asked_count; i++)
        free((void *)(uintptr_t)between.asked[i].body.data);
    between.asked_count = 0;
}

static inline void relay(struct exchange *exchange)
{
    struct writer writer = writer_over(exchange->answer, sizeof exchange->answer);
    exchange->answer_len = 0;
    rig_request(exchange->to, ++exchange->to->channel, exchange->transport,
                bytes_from(exchange->request, exchange->request_len));
    rig_run(exchange->to);
    if (rig_take(exchange->to, exchange->to->channel, &writer, NULL))
        exchange->answer_len = writer.len;
}

static inline enum said kind_of(struct bytes body)
{
    struct coap_body outer;
    struct bytes protected;
    check_ok(coap_body_decode(body, &outer));
    if (coap_option_find(outer.options, COAP_OSCORE, &protected))
        return PROTECTED;
    if (outer.payload.len == 0)
        return OTHER;
    return outer.payload.data[0] == 0xf5 ? MESSAGE_1 : MESSAGE_3;
}

static inline void tell(uint64_t channel, struct bytes answer)
{
    (void)!gateway_reply(between.gateway, clock_now_ms(), channel, answer, false); /* a client may have left */
}

static inline void answer_one(uint64_t channel, enum door_transport transport, struct bytes body)
{
    static struct exchange exchange;
    exchange.kind = kind_of(body);
    exchange.nth = between.sent[exchange.kind]++;
    exchange.transport = transport;
    exchange.channel = channel;
    exchange.to = places[HOME].hub;
    exchange.request_len = body.len;
    exchange.answer_len = 0;
    assert_true(body.len <= sizeof exchange.request);
    memcpy(exchange.request, body.data, body.len);
    if (between.before)
        between.before(&exchange);
    if (exchange.to)
        relay(&exchange);
    if (between.after)
        between.after(&exchange);
    if (exchange.answer_len)
        tell(channel, bytes_from(exchange.answer, exchange.answer_len));
}

static inline bool gateway_turn(void)
{
    bool busy = false;
    gateway_run(between.gateway, clock_now_ms(), true);
    for (size_t i = 0; i < between.asked_count; i++) {
        if (between.asked[i].channel)
            answer_one(between.asked[i].channel, between.asked[i].transport, between.asked[i].body);
        free((void *)(uintptr_t)between.asked[i].body.data);
        busy = true;
    }
    between.asked_count = 0;
    gateway_run(between.gateway, clock_now_ms(), true);
    return busy;
}

/* ---- What a play does to a message ---- */

/* The payload of a body, in place. */
static inline uint8_t *payload_of(uint8_t *body, size_t len, size_t *payload_len)
{
    struct coap_body decoded;
    check_ok(coap_body_decode(bytes_from(body, len), &decoded));
    *payload_len = decoded.payload.len;
    return body + (len - decoded.payload.len); /* it is what a body ends with */
}

static inline void set_answer(struct exchange *exchange, uint8_t code, uint32_t format, struct bytes payload)
{
    uint8_t room[16];
    struct writer options = writer_over(room, sizeof room);
    struct writer body = writer_over(exchange->answer, sizeof exchange->answer);
    struct coap_option_writer option = coap_options_to(&options);
    coap_put_option_uint(&option, COAP_CONTENT_FORMAT, format);
    const struct coap_body made_up = {code, writer_bytes(&options), payload};
    coap_body_encode(&body, &made_up);
    check_ok(writer_end(&body));
    exchange->answer_len = body.len;
}

static inline void keep_exchange(const struct exchange *exchange)
{
    enum said kind = exchange->kind;
    memcpy(between.kept[kind], exchange->request, between.kept_len[kind] = exchange->request_len);
    memcpy(between.kept_answers[kind], exchange->answer, between.kept_answer_len[kind] = exchange->answer_len);
}

#endif
