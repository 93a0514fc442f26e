/* The gateway as one thing: made, polled, told what the enclave said. */
#include "gateway_internal.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define EVENTS 64

uint64_t channel_id(enum door_transport transport, uint64_t number)
{
    return (uint64_t)transport << 56 | number;
}

int socket_bind(const char *address, int type, const char **why)
{
    struct coap_peer at;
    union {
        struct sockaddr any;
        struct sockaddr_in6 v6;
    } name;
    *why = "not ADDRESS:PORT with a numeric address";
    if (gateway_parse_address(address, &at) != OK)
        return -1;
    memset(&name, 0, sizeof name);
    memcpy(&name, at.data, at.len);
    *why = "the address cannot be bound: is another node using it?";
    int fd = socket(name.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    if (type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (name.any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, &name.any, at.len) < 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

enum status gateway_new(const struct gateway_config *config, struct gateway **result, const char **why)
{
    *why = "the largest body must be between 1 byte and GATEWAY_BODY_LIMIT";
    if (config->body_max == 0 || config->body_max > GATEWAY_BODY_LIMIT)
        return NO_ROOM;
    *why = "out of memory";
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (!gateway)
        return NO_ROOM;
    gateway->config = *config;
    gateway->udp = -1;
    gateway->scratch_cap = config->body_max + GATEWAY_OSCORE_OVERHEAD + OPTIONS_CAP;
    gateway->scratch = malloc(gateway->scratch_cap);
    gateway->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum status status = gateway->scratch && gateway->epoll >= 0 ? OK : NO_ROOM;
    if (status == OK && config->coap)
        status = udp_start(gateway, why);
    struct epoll_event event = {.events = EPOLLIN};
    if (status == OK && config->coap && epoll_ctl(gateway->epoll, EPOLL_CTL_ADD, gateway->udp, &event) < 0)
        status = IO;
    if (status == OK && config->http)
        status = http_start(gateway, why);
    if (status != OK) {
        gateway_free(gateway);
        return status;
    }
    *result = gateway;
    return OK;
}

void gateway_free(struct gateway *gateway)
{
    if (!gateway)
        return;
    gateway_set_enclave(gateway, gateway->now_ms, false);
    http_stop(gateway);
    udp_stop(gateway);
    if (gateway->epoll >= 0)
        close(gateway->epoll);
    free(gateway->scratch);
    free(gateway);
}

int gateway_fd(const struct gateway *gateway)
{
    return gateway->epoll;
}

enum status gateway_ask(struct gateway *gateway, uint64_t id, struct channel **channel, struct bytes body)
{
    if (!gateway->up)
        return BUSY;
    struct channel *opened = channel_open(gateway, id);
    if (!opened)
        return NO_ROOM;
    enum door_transport transport = id >> 56 == DOOR_COAP ? DOOR_COAP : DOOR_HTTP;
    enum status status = gateway->config.ask(gateway->config.context, id, transport, body);
    if (status != OK) {
        channel_close(gateway, opened);
        return status;
    }
    *channel = opened;
    return OK;
}

enum status gateway_prove(struct gateway *gateway, uint64_t id, struct channel **channel, struct bytes credential)
{
    struct channel *opened = channel_open(gateway, id);
    if (!opened)
        return NO_ROOM;
    enum status status = gateway->config.prove(gateway->config.prove_context, id, credential);
    if (status != OK) {
        channel_close(gateway, opened);
        return status;
    }
    opened->proof = true;
    *channel = opened;
    return OK;
}

void gateway_lost(struct gateway *gateway, struct channel *channel)
{
    uint64_t id = channel->id;
    bool proof = channel->proof;
    channel_close(gateway, channel);
    if (!proof)
        gateway->config.gone(gateway->config.context, id);
}

void gateway_run(struct gateway *gateway, uint64_t now_ms, bool intake)
{
    struct epoll_event events[EVENTS];
    gateway->now_ms = now_ms;
    int count = epoll_wait(gateway->epoll, events, EVENTS, 0);
    for (int i = 0; i < count; i++) {
        /* Only watched requests carry an id; the UDP socket and the library's descriptor carry 0. */
        struct channel *channel = events[i].data.u64 ? channel_find(gateway, events[i].data.u64) : NULL;
        if (channel && channel->http)
            http_left(gateway, channel);
    }
    if (gateway->endpoint) {
        if (intake)
            udp_receive(gateway);
        udp_tick(gateway);
    }
    http_run(gateway);
    if (now_ms >= gateway->sweep_ms) {
        gateway->sweep_ms = now_ms + SWEEP_MS;
        http_sweep(gateway);
    }
}

int gateway_timeout(const struct gateway *gateway, uint64_t now_ms)
{
    uint64_t wait = gateway->endpoint ? coap_next_timeout(gateway->endpoint, now_ms) : COAP_NEVER;
    int http = http_timeout(gateway);
    if (http >= 0 && (uint64_t)http < wait)
        wait = (uint64_t)http;
    if (gateway->connections) {
        uint64_t sweep = gateway->sweep_ms > now_ms ? gateway->sweep_ms - now_ms : 0;
        wait = sweep < wait ? sweep : wait;
    }
    return wait == COAP_NEVER ? -1 : wait > 60000 ? 60000 : (int)wait;
}

enum status gateway_reply(struct gateway *gateway, uint64_t now_ms, uint64_t id, struct bytes encoded, bool more)
{
    static const struct coap_body unintelligible = {COAP_BAD_GATEWAY, {0}, {0}};
    struct coap_body body;
    gateway->now_ms = now_ms;
    struct channel *channel = channel_find(gateway, id);
    if (!channel)
        return NOT_FOUND;
    bool sound =
        coap_body_decode(encoded, &body) == OK && coap_code_is_response(body.code) && body.code != COAP_CONTINUE;
    if (!sound) {
        body = unintelligible;
        more = false;
    }
    enum status status =
        channel->http ? http_reply(gateway, channel, &body) : udp_reply(gateway, channel, &body, more, encoded);
    return sound ? status : MALFORMED;
}

void gateway_set_enclave(struct gateway *gateway, uint64_t now_ms, bool up)
{
    gateway->now_ms = now_ms;
    gateway->up = up;
    if (up)
        return;
    for (uint32_t i = 0; i < CHANNEL_SLOTS && gateway->channel_count;) {
        struct channel *channel = gateway->channels[i];
        if (!channel)
            i++;
        else if (channel->http)
            http_refuse(gateway, channel, 503, "the enclave stopped; try again\n");
        else
            udp_refuse(gateway, channel);
    }
    if (gateway->endpoint)
        udp_flush(gateway);
}

struct gateway_counts gateway_counts(const struct gateway *gateway)
{
    return (struct gateway_counts){gateway->channel_count, gateway->asked_count, gateway->connection_count};
}
