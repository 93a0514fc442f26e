/* CoAP over UDP: batches of datagrams through the exchange machine. The source address of an answer is the kernel's
 * choice, so a host with several addresses binds one of them rather than the wildcard. */
#include "gateway_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_ROUNDS 8 /* batches read before the other side of the gateway gets its turn */

struct udp_batch {
    struct mmsghdr headers[DATAGRAM_BATCH];
    struct iovec pieces[DATAGRAM_BATCH];
    struct coap_peer peers[DATAGRAM_BATCH];
    uint8_t data[DATAGRAM_BATCH][DATAGRAM_CAP];
};

enum { INCOMING = 0, OUTGOING = 1 };

enum status udp_start(struct gateway *gateway, const char **why)
{
    struct coap_config config = {
        .exchange_count = GATEWAY_COAP_EXCHANGES,
        .recent_count = 4 * GATEWAY_COAP_EXCHANGES,
        .body_count = 64,
        .body_cap = gateway->config.body_max + GATEWAY_OSCORE_OVERHEAD,
        .echo_path = &EDHOC_PATH[1], /* whose answers are many times longer than what a stranger sends for them */
    };
    uint8_t seed[COAP_SEED_LEN];
    size_t len = coap_memory_needed(&config);
    *why = "out of memory for CoAP exchanges";
    gateway->endpoint_memory = malloc(len);
    gateway->batch = calloc(2, sizeof *gateway->batch);
    if (!len || !gateway->endpoint_memory || !gateway->batch || getrandom(seed, sizeof seed, 0) != sizeof seed)
        return NO_ROOM;
    TRY(coap_init(&config, seed, gateway->endpoint_memory, len, &gateway->endpoint));
    gateway->udp = socket_bind(gateway->config.coap, SOCK_DGRAM, why);
    if (gateway->udp < 0)
        return IO;
    int room = 4 << 20; /* what the kernel allows of it is enough: a lost datagram is sent again */
    (void)setsockopt(gateway->udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    (void)setsockopt(gateway->udp, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return OK;
}

void udp_stop(struct gateway *gateway)
{
    if (gateway->udp >= 0)
        close(gateway->udp);
    free(gateway->endpoint_memory);
    free(gateway->batch);
}

static void prepare(struct udp_batch *batch, unsigned i, size_t len)
{
    batch->pieces[i] = (struct iovec){batch->data[i], len};
    batch->headers[i].msg_hdr = (struct msghdr){
        .msg_name = batch->peers[i].data,
        .msg_namelen = batch->peers[i].len,
        .msg_iov = &batch->pieces[i],
        .msg_iovlen = 1,
    };
}

/* A datagram the kernel does not take now is lost, as the network might have lost it. */
static void send_batch(struct gateway *gateway, unsigned count)
{
    struct udp_batch *batch = &gateway->batch[OUTGOING];
    unsigned sent = 0;
    while (sent < count) {
        int done = sendmmsg(gateway->udp, batch->headers + sent, count - sent, MSG_DONTWAIT);
        if (done < 0 && errno == EINTR)
            continue;
        sent += done > 0 ? (unsigned)done : 1;
    }
}

void udp_flush(struct gateway *gateway)
{
    struct udp_batch *batch = &gateway->batch[OUTGOING];
    for (unsigned count = 0; gateway->endpoint;) {
        struct writer writer = writer_over(batch->data[count], COAP_DATAGRAM_MAX);
        bool have = coap_output(gateway->endpoint, &batch->peers[count], &writer);
        if (have && writer_end(&writer) == OK)
            prepare(batch, count++, writer.len);
        if (count == DATAGRAM_BATCH || (!have && count)) {
            send_batch(gateway, count);
            count = 0;
        }
        if (!have)
            return;
    }
}

static void respond_code(struct gateway *gateway, uint32_t handle, uint8_t code)
{
    uint8_t buffer[8];
    struct writer options = writer_over(buffer, sizeof buffer);
    struct coap_option_writer writer = coap_options_to(&options);
    if (code == COAP_UNAVAILABLE)
        coap_put_option_uint(&writer, COAP_MAX_AGE, 1);
    struct coap_body body = {code, writer_bytes(&options), {0}};
    if (coap_respond(gateway->endpoint, gateway->now_ms, handle, &body) != OK)
        coap_cancel(gateway->endpoint, handle);
}

static struct channel *channel_of(struct gateway *gateway, uint32_t handle)
{
    return handle ? channel_find(gateway, channel_id(DOOR_COAP, handle)) : NULL;
}

static void take_request(struct gateway *gateway, const struct coap_event *event)
{
    uint16_t bad;
    struct bytes ignored;
    struct channel *replaced = channel_of(gateway, event->replaced);
    if (replaced)
        gateway_lost(gateway, replaced);
    /* RFC 7252 §5.7.2: an endpoint that is no proxy says so. */
    if (coap_option_find(event->body.options, COAP_PROXY_URI, &ignored) ||
        coap_option_find(event->body.options, COAP_PROXY_SCHEME, &ignored)) {
        respond_code(gateway, event->handle, COAP_CODE(5, 5));
        return;
    }
    if (coap_options_check(event->body.options, &bad) != OK) {
        respond_code(gateway, event->handle, COAP_BAD_OPTION);
        return;
    }
    struct writer body = writer_over(gateway->scratch, gateway->scratch_cap);
    struct channel *channel;
    coap_body_encode(&body, &event->body);
    if (writer_end(&body) != OK) {
        respond_code(gateway, event->handle, COAP_TOO_LARGE);
        return;
    }
    if (gateway_ask(gateway, channel_id(DOOR_COAP, event->handle), &channel, writer_bytes(&body)) != OK) {
        respond_code(gateway, event->handle, COAP_UNAVAILABLE);
        return;
    }
    uint32_t observe;
    channel->handle = event->handle;
    channel->wants_observe = coap_option_find_uint(event->body.options, COAP_OBSERVE, &observe) == OK && observe == 0;
}

/* Sends what was held while a confirmable notification waited for its acknowledgement. */
static void send_held(struct gateway *gateway, struct channel *channel)
{
    while (channel->first) {
        struct coap_body body;
        struct bytes held = bytes_from(channel->first->data, channel->first->len);
        if (coap_body_decode(held, &body) == OK &&
            coap_notify(gateway->endpoint, gateway->now_ms, channel->handle, &body, true) == BUSY)
            return;
        channel_unhold(channel);
    }
}

static void take_event(struct gateway *gateway, const struct coap_event *event)
{
    struct channel *channel = channel_of(gateway, event->handle);
    switch (event->kind) {
    case COAP_REQUEST:
        take_request(gateway, event);
        break;
    case COAP_ACKNOWLEDGED:
        if (channel)
            send_held(gateway, channel);
        break;
    case COAP_FAILED:
    case COAP_CANCELLED:
        if (channel)
            gateway_lost(gateway, channel);
        break;
    case COAP_RESPONSE: /* we never ask */
    case COAP_NOTHING:
        break;
    }
}

void udp_receive(struct gateway *gateway)
{
    struct udp_batch *batch = &gateway->batch[INCOMING];
    for (int round = 0; round < RECEIVE_ROUNDS; round++) {
        for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
            batch->peers[i].len = COAP_PEER_MAX;
            prepare(batch, i, DATAGRAM_CAP);
        }
        int count = recvmmsg(gateway->udp, batch->headers, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            struct mmsghdr *header = &batch->headers[i];
            struct coap_event event;
            if (header->msg_hdr.msg_flags & MSG_TRUNC || header->msg_hdr.msg_namelen > COAP_PEER_MAX)
                continue;
            batch->peers[i].len = (uint8_t)header->msg_hdr.msg_namelen;
            coap_input(gateway->endpoint, gateway->now_ms, &batch->peers[i],
                       bytes_from(batch->data[i], header->msg_len), &event);
            take_event(gateway, &event);
        }
        udp_flush(gateway);
        if (count < DATAGRAM_BATCH)
            return;
    }
}

void udp_tick(struct gateway *gateway)
{
    for (;;) {
        struct coap_event event;
        coap_tick(gateway->endpoint, gateway->now_ms, &event);
        if (event.kind == COAP_NOTHING)
            break;
        take_event(gateway, &event);
    }
    udp_flush(gateway);
}

/* The first answer to a request; a body too large to be sent becomes 5.00 (RFC 7959 leaves no better one). */
static enum status answer(struct gateway *gateway, struct channel *channel, const struct coap_body *body, bool more)
{
    enum status status = coap_respond(gateway->endpoint, gateway->now_ms, channel->handle, body);
    struct bytes observe;
    bool stays = status == OK && channel->wants_observe && coap_code_class(body->code) == 2 &&
                 coap_option_find(body->options, COAP_OBSERVE, &observe);
    if (more && stays) {
        channel->observed = true;
        gateway->asked_count--;
        return OK;
    }
    if (status != OK)
        respond_code(gateway, channel->handle, COAP_INTERNAL_ERROR);
    else if (stays)
        coap_cancel(gateway->endpoint, channel->handle);
    if (more)
        gateway_lost(gateway, channel);
    else
        channel_close(gateway, channel);
    return status;
}

enum status udp_reply(struct gateway *gateway, struct channel *channel, const struct coap_body *body, bool more,
                      struct bytes encoded)
{
    if (!channel->observed)
        return answer(gateway, channel, body, more);
    enum status status =
        channel->first ? BUSY : coap_notify(gateway->endpoint, gateway->now_ms, channel->handle, body, true);
    if (status == BUSY && more)
        return channel_hold(channel, encoded);
    if (!more) {
        /* The last one goes, and ends the observation, unless it says that it does not (RFC 7641 §4.2). When it cannot
         * go now, the peer learns of the end when it asks. */
        struct bytes observe;
        bool ends = coap_code_class(body->code) != 2 || !coap_option_find(body->options, COAP_OBSERVE, &observe);
        if (status != OK || !ends)
            coap_cancel(gateway->endpoint, channel->handle);
        channel_close(gateway, channel);
    } else if (status == NOT_FOUND) {
        gateway_lost(gateway, channel);
    }
    return status;
}

void udp_refuse(struct gateway *gateway, struct channel *channel)
{
    if (channel->observed) {
        const struct coap_body body = {COAP_UNAVAILABLE, {0}, {0}};
        if (coap_notify(gateway->endpoint, gateway->now_ms, channel->handle, &body, false) != OK)
            coap_cancel(gateway->endpoint, channel->handle);
    } else {
        respond_code(gateway, channel->handle, COAP_UNAVAILABLE);
    }
    channel_close(gateway, channel);
}
