/* A hostile enclave: any messages through the pump, to a gateway with real sockets and an observer and a request open.
 * Nothing it says may crash the host or leave a channel that it ended open. */
#include "coap.h"
#include "gateway.h"
#include "pump.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct pump *pump;
static struct gateway *gateway;
static uint64_t channels[64];
static size_t channel_count;
static uint64_t now_ms = 1000;
static int peer = -1;
static uint16_t message_id;

static enum status ask(void *context, uint64_t channel, enum door_transport transport, struct bytes body)
{
    (void)context;
    (void)transport;
    if (body.len == 0 || channel_count == sizeof channels / sizeof channels[0])
        return BUSY;
    channels[channel_count++] = channel;
    return OK;
}

static void gone(void *context, uint64_t channel)
{
    (void)context;
    for (size_t i = 0; i < channel_count; i++)
        if (channels[i] == channel)
            channels[i--] = channels[--channel_count];
}

static enum status serve(void *context, const struct door_header *header, struct bytes payload, struct writer *answer)
{
    (void)context;
    (void)header;
    put_bytes(answer, payload);
    return writer_end(answer);
}

static void abandon(void *context)
{
    (void)context;
}

static enum status reply(void *context, uint64_t now, uint64_t channel, struct bytes body, bool more)
{
    return gateway_reply(context, now, channel, body, more);
}

static void set_enclave(void *context, uint64_t now, bool up)
{
    gateway_set_enclave(context, now, up);
}

static void start(void)
{
    const struct pump_archive archive = {pthread_create, NULL, serve, abandon};
    struct gateway_config config = {
        .coap = "127.0.0.1:45683", .body_max = 4096, .version = "fuzz", .ask = ask, .gone = gone};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(45683), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const char *why;
    peer = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (gateway_new(&config, &gateway, &why) != OK || pump_new(&archive, &pump, &why) != OK ||
        connect(peer, (struct sockaddr *)&to, sizeof to) < 0)
        abort();
    pump_set_front(pump, &(struct pump_front){gateway, reply, set_enclave, NULL});
}

/* A registration and a plain request from a real peer; what it gets is acknowledged when it must be. */
static void open_channels(void)
{
    for (unsigned i = 0; i < 2; i++) {
        uint8_t datagram[] = {0x51, 0x05, 0, 0, (uint8_t)i, 0x60, 0xff, 'x'};
        message_id++;
        datagram[2] = (uint8_t)(message_id >> 8);
        datagram[3] = (uint8_t)message_id;
        if (i == 1)
            datagram[5] = 0xc0;
        if (send(peer, datagram, sizeof datagram, 0) < 0)
            continue;
        gateway_run(gateway, now_ms, true);
    }
}

static void drain(void)
{
    uint8_t datagram[2048];
    for (ssize_t got; (got = recv(peer, datagram, sizeof datagram, 0)) >= 4;) {
        uint8_t acknowledgement[4] = {0x60, 0, datagram[2], datagram[3]};
        if ((datagram[0] & 0x30) == 0x00 && send(peer, acknowledgement, 4, 0) < 0)
            continue;
    }
    gateway_run(gateway, now_ms, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader reader = reader_over(bytes_from(data, len));
    if (!pump)
        start();
    gateway_set_enclave(gateway, now_ms, true);
    open_channels();
    while (reader.status == OK && reader.rest.len) {
        struct door_header header = {.operation = take_u8(&reader), .id = take_u8(&reader)};
        size_t size = take_u8(&reader);
        struct bytes payload = take_bytes(&reader, size < reader.rest.len ? size : reader.rest.len);
        /* Half of the ids name channels that are open. */
        if (header.id & 1 && channel_count)
            header.id = channels[header.id / 2 % channel_count];
        header.len = (uint32_t)payload.len;
        enum status status = pump_take(pump, now_ms, &header, payload);
        if (header.operation == DOOR_REPLY && status == OK)
            gone(NULL, header.id);
        now_ms += 7;
        gateway_run(gateway, now_ms, true);
        drain();
    }
    gateway_set_enclave(gateway, now_ms, false);
    channel_count = 0;
    if (gateway_counts(gateway).channels != 0)
        abort();
    drain();
    now_ms += 300000; /* whatever CoAP remembers of this is over */
    gateway_run(gateway, now_ms, true);
    if (pump_run(pump, now_ms) != OK)
        abort();
    return 0;
}
