/* CoAP over one connected UDP socket: the kernel drops what does not come from the hub's address and tells when nobody
 * listens there. A name with several addresses is tried address by address. */
#include "client_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX 4096

static const struct coap_peer hub = {.len = 1};

static bool connect_next(struct client *client)
{
    struct addrinfo *first = client->address;
    do {
        client->address = client->address && client->address->ai_next ? client->address->ai_next : client->addresses;
        if (client->udp >= 0)
            close(client->udp);
        client->udp = socket(client->address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (client->udp >= 0 && connect(client->udp, client->address->ai_addr, client->address->ai_addrlen) == 0)
            return true;
    } while (client->address != first && (first || client->address->ai_next));
    return false;
}

static enum status open_endpoint(struct client *client)
{
    /* RFC 7252 §4.7 leaves NSTART to the application: one hub, asked for 64 things at once, answers them in turn. */
    const struct coap_config config = {.exchange_count = 2 * CLIENT_PENDING_MAX,
                                       .recent_count = 8 * CLIENT_PENDING_MAX,
                                       .body_count = 8,
                                       .body_cap = OUTER_MAX,
                                       .peer_divisor = 1,
                                       .nstart = CLIENT_PENDING_MAX};
    uint8_t seed[COAP_SEED_LEN];
    size_t len = coap_memory_needed(&config);
    client->endpoint_memory = malloc(len);
    if (len == 0 || !client->endpoint_memory)
        return NO_ROOM;
    TRY(crypto_random(seed, sizeof seed));
    return coap_init(&config, seed, client->endpoint_memory, len, &client->endpoint);
}

static enum status udp_open(struct client *client, char *why, size_t cap)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    enum status status = open_endpoint(client);
    if (status != OK) {
        snprintf(why, cap, "out of memory");
        return status;
    }
    int error = getaddrinfo(client->url.host, client->url.port, &hints, &client->addresses);
    if (error) {
        snprintf(why, cap, "the host of %.120s is not known: %s", client->url.base, gai_strerror(error));
        return IO;
    }
    if (connect_next(client))
        return OK;
    snprintf(why, cap, "no datagram can be sent to %.120s: %s", client->url.base, strerror(errno));
    return IO;
}

static void udp_close(struct client *client)
{
    if (client->udp >= 0)
        close(client->udp);
    if (client->addresses)
        freeaddrinfo(client->addresses);
    free(client->endpoint_memory);
}

/* A datagram the kernel does not take is lost, as the network might have lost it; one that only brought the news of an
 * earlier one's refusal goes again. */
static void flush(struct client *client)
{
    uint8_t datagram[COAP_DATAGRAM_MAX];
    struct coap_peer peer;
    for (;;) {
        struct writer writer = writer_over(datagram, sizeof datagram);
        if (!coap_output(client->endpoint, &peer, &writer))
            return;
        for (int tries = 0; tries < 2 && send(client->udp, datagram, writer.len, 0) < 0 && errno == ECONNREFUSED;
             tries++)
            client->refused = true;
    }
}

static enum status udp_send(struct client *client, struct client_pending *pending, const struct coap_body *outer)
{
    enum status status = coap_request(client->endpoint, client->now_ms, &hub, true, outer, &pending->handle);
    flush(client);
    return status == NO_ROOM ? BUSY : status; /* bodies travelling block-wise share a pool */
}

static void udp_cancel(struct client *client, struct client_pending *pending)
{
    if (pending->handle)
        coap_cancel(client->endpoint, pending->handle);
    pending->handle = 0;
}

static struct client_pending *pending_of(struct client *client, uint32_t handle)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct client_pending *pending = &client->pending[i];
        if (pending->handle == handle && (pending->phase == PENDING_FLYING || pending->phase == PENDING_OBSERVING))
            return pending;
    }
    return NULL;
}

static void take_event(struct client *client, const struct coap_event *event)
{
    struct client_pending *pending = event->handle ? pending_of(client, event->handle) : NULL;
    if (event->kind == COAP_REQUEST)
        coap_cancel(client->endpoint, event->handle); /* we serve nothing */
    if (!pending || (event->kind != COAP_RESPONSE && event->kind != COAP_FAILED))
        return;
    if (!event->more)
        pending->handle = 0;
    if (event->kind == COAP_RESPONSE)
        client_take_reply(client, pending, &event->body, event->more);
    else
        client_take_trouble(client, pending,
                            event->failure == COAP_TIMED_OUT ? TROUBLE_SILENCE
                            : event->failure == COAP_RESET   ? TROUBLE_REFUSED
                                                             : TROUBLE_UNAVAILABLE);
}

static void receive(struct client *client)
{
    uint8_t datagram[DATAGRAM_MAX];
    struct coap_event event;
    for (int i = 0; i < RECEIVE_MAX; i++) {
        ssize_t len = recv(client->udp, datagram, sizeof datagram, MSG_TRUNC);
        if (len < 0 && errno == ECONNREFUSED) {
            client->refused = true;
            continue;
        }
        if (len < 0)
            return;
        if ((size_t)len > sizeof datagram)
            continue;
        coap_input(client->endpoint, client->now_ms, &hub, bytes_from(datagram, (size_t)len), &event);
        take_event(client, &event);
    }
}

static void udp_serve(struct client *client)
{
    struct coap_event event;
    receive(client);
    do {
        coap_tick(client->endpoint, client->now_ms, &event);
        take_event(client, &event);
    } while (event.kind != COAP_NOTHING);
    flush(client);
    if (!client->refused)
        return;
    client->refused = false;
    if (client->addresses->ai_next && !connect_next(client))
        client->address = NULL; /* the next refusal, or silence, tries again */
    client_take_refusal(client);
}

static enum status udp_wait(struct client *client, uint32_t wait_ms)
{
    struct pollfd fd = {client->udp, POLLIN, 0};
    uint64_t due = coap_next_timeout(client->endpoint, client->now_ms);
    int wait = (int)(due < wait_ms ? due : wait_ms);
    return poll(&fd, 1, wait) >= 0 || errno == EINTR ? OK : IO;
}

const struct client_transport client_over_udp = {udp_open, udp_close, udp_send, udp_cancel, udp_serve, udp_wait};
