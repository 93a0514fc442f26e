/* Two endpoints of proto/coap, a client and a server, over a wire that can lose, double, delay and reorder; the clock
 * is the test's. What arrives is held against what was sent as it arrives. */
#ifndef BASTIDE_TESTS_COAP_RIG_H
#define BASTIDE_TESTS_COAP_RIG_H

#include "check.h"

#include "coap.h"

#include <stdlib.h>

#define CLIENT 0
#define SERVER 1
#define WIRE_MAX 512
#define REQUESTS_MAX 16
#define BODY_MAX 6000
#define TRIP_MS 20

enum fate { ARRIVES, LOST, DOUBLED, DOUBLED_LATE, LATE, VERY_LATE, FATES };

struct datagram {
    uint64_t due_ms;
    int to;
    size_t len;
    uint8_t data[COAP_DATAGRAM_MAX];
};

struct request {
    uint32_t handle;
    size_t up_len, down_len;
    bool observe;
    unsigned served, answered, failed, echoes; /* how often */
    uint32_t to_answer;                        /* the server's handle */
    uint64_t answer_at_ms;
};

struct world {
    struct coap_endpoint *ends[2];
    void *memory[2];
    uint64_t now_ms;
    struct datagram wire[WIRE_MAX], history[WIRE_MAX];
    size_t wire_count, sent;
    size_t victim; /* the number of the one datagram that suffers */
    enum fate fate;
    unsigned chaos;        /* or the seed of all suffering; 0: none */
    size_t notified_count; /* notifications the client was told of */
    unsigned last_told;
    bool acknowledged, cancelled;
    enum coap_failure why; /* of the last cancelled */
    bool deaf;             /* nothing reaches the server */
    uint32_t watcher;      /* the server's handle of the observation */
    unsigned answer_delay_ms;
    bool confirmable;
    struct request requests[REQUESTS_MAX];
    size_t request_count;
    uint8_t echo[40]; /* the last that the server gave */
    size_t echo_len;
};

static struct world world;

static void begin_guarded(const char *echo_path)
{
    const struct coap_config config = {.exchange_count = 64,
                                       .recent_count = 512,
                                       .body_count = 16,
                                       .body_cap = 8192,
                                       .peer_divisor = 1,
                                       .nstart = 4,
                                       .echo_path = echo_path};
    size_t needed = coap_memory_needed(&config);
    void *memory[2] = {world.memory[0], world.memory[1]};
    world = (struct world){.victim = SIZE_MAX, .now_ms = 1, .confirmable = true};
    for (int i = 0; i < 2; i++) {
        const uint8_t seed[COAP_SEED_LEN] = {(uint8_t)(i + 1)};
        world.memory[i] = memory[i] ? memory[i] : malloc(needed);
        assert_non_null(world.memory[i]);
        check_ok(coap_init(&config, seed, world.memory[i], needed, &world.ends[i]));
    }
}

static void begin(void)
{
    begin_guarded(NULL);
}

static unsigned dice(void)
{
    world.chaos = world.chaos * 1103515245u + 12345u;
    return world.chaos >> 16 & 0x7fff;
}

static void put_on_wire(int to, struct bytes bytes, uint64_t delay_ms)
{
    assert_true(world.wire_count < WIRE_MAX);
    struct datagram *datagram = &world.wire[world.wire_count++];
    datagram->due_ms = world.now_ms + delay_ms;
    datagram->to = to;
    datagram->len = bytes.len;
    memcpy(datagram->data, bytes.data, bytes.len);
}

static void send(int to, struct bytes bytes)
{
    size_t number = world.sent++;
    enum fate fate = number == world.victim ? world.fate : ARRIVES;
    uint64_t delay_ms = TRIP_MS;
    if (number < WIRE_MAX) {
        world.history[number] = (struct datagram){.to = to, .len = bytes.len};
        memcpy(world.history[number].data, bytes.data, bytes.len);
    }
    if (world.chaos) {
        unsigned fell = dice() % 100;
        fate = fell < 20 ? LOST : fell < 35 ? DOUBLED : fell < 45 ? DOUBLED_LATE : fell < 55 ? LATE : ARRIVES;
        delay_ms = dice() % 300;
    }
    if (fate == LATE || fate == VERY_LATE)
        delay_ms = fate == LATE ? 3500 : 50000;
    if (to == SERVER && world.deaf)
        return;
    if (fate != LOST)
        put_on_wire(to, bytes, delay_ms);
    if (fate == DOUBLED || fate == DOUBLED_LATE)
        put_on_wire(to, bytes, fate == DOUBLED ? delay_ms + 1 : 40000);
}

static void drain(int from)
{
    struct coap_peer peer;
    uint8_t room[COAP_DATAGRAM_MAX];
    struct writer writer = writer_over(room, sizeof room);
    while (coap_output(world.ends[from], &peer, &writer)) {
        check_ok(writer_end(&writer));
        assert_int_equal(1, peer.len);
        assert_int_equal(1 - from, peer.data[0]);
        send(1 - from, writer_bytes(&writer));
        writer = writer_over(room, sizeof room);
    }
}

/* What request `number` carries up, and its answer down: no two alike. */
static struct bytes pattern(size_t number, bool down, size_t len)
{
    static uint8_t room[BODY_MAX];
    for (size_t i = 0; i < len; i++)
        room[i] = (uint8_t)(i * 7 + i / 256 + number * 13 + (down ? 101 : 0));
    return bytes_from(room, len);
}

static struct coap_body body_of(uint8_t code, size_t number, bool observe, unsigned sequence, struct bytes payload)
{
    static uint8_t room[64];
    struct writer writer = writer_over(room, sizeof room);
    struct coap_option_writer options = coap_options_to(&writer);
    if (observe)
        coap_put_option_uint(&options, COAP_OBSERVE, sequence);
    if (coap_code_is_request(code)) {
        uint8_t name = (uint8_t)('a' + number);
        coap_put_option(&options, COAP_URI_PATH, bytes_from(&name, 1));
        if (world.echo_len)
            coap_put_option(&options, COAP_ECHO, bytes_from(world.echo, world.echo_len));
    }
    return (struct coap_body){code, writer_bytes(&writer), payload};
}

static void answer(struct request *request)
{
    size_t number = (size_t)(request - world.requests);
    unsigned first = request->observe ? 1 : (unsigned)number;
    struct coap_body body =
        body_of(COAP_CONTENT, number, request->observe, first, pattern(first, true, request->down_len));
    if (request->observe)
        world.watcher = request->to_answer;
    check_ok(coap_respond(world.ends[SERVER], world.now_ms, request->to_answer, &body));
    request->to_answer = 0;
    drain(SERVER);
}

static void on_server(const struct coap_event *event)
{
    struct bytes name;
    world.acknowledged |= event->kind == COAP_ACKNOWLEDGED;
    world.cancelled |= event->kind == COAP_CANCELLED;
    world.why = event->kind == COAP_CANCELLED ? event->failure : world.why;
    if (event->kind != COAP_REQUEST)
        return;
    assert_true(coap_option_find(event->body.options, COAP_URI_PATH, &name) && name.len == 1);
    size_t number = (size_t)(name.data[0] - 'a');
    assert_true(number < world.request_count);
    struct request *request = &world.requests[number];
    check_bytes(pattern(number, false, request->up_len), event->body.payload);
    request->served++;
    request->to_answer = event->handle;
    request->answer_at_ms = world.now_ms + world.answer_delay_ms;
}

static void send_request(struct request *request)
{
    size_t number = (size_t)(request - world.requests);
    struct coap_peer peer = {.len = 1, .data = {SERVER}};
    struct coap_body body = body_of(request->up_len ? COAP_POST : COAP_GET, number, request->observe, 0,
                                    pattern(number, false, request->up_len));
    check_ok(coap_request(world.ends[CLIENT], world.now_ms, &peer, world.confirmable, &body, &request->handle));
}

static bool was_asked_for_an_echo(struct request *request, const struct coap_body *body)
{
    struct bytes echo;
    if (body->code != COAP_UNAUTHORIZED || !coap_option_find(body->options, COAP_ECHO, &echo))
        return false;
    assert_true(echo.len <= sizeof world.echo);
    memcpy(world.echo, echo.data, echo.len);
    world.echo_len = echo.len;
    request->echoes++;
    send_request(request);
    return true;
}

static void on_client(const struct coap_event *event)
{
    for (size_t i = 0; i < world.request_count && event->kind != COAP_NOTHING; i++) {
        struct request *request = &world.requests[i];
        if (request->handle != event->handle)
            continue;
        request->failed += event->kind == COAP_FAILED;
        if (event->kind != COAP_RESPONSE || was_asked_for_an_echo(request, &event->body))
            return;
        if (!event->more) {
            assert_int_equal(COAP_CONTENT, event->body.code);
            check_bytes(pattern(i, true, request->down_len), event->body.payload);
            request->answered++;
            return;
        }
        uint32_t sequence = 0;
        check_ok(coap_option_find_uint(event->body.options, COAP_OBSERVE, &sequence));
        assert_true(world.notified_count == 0 || sequence > world.last_told);
        check_bytes(pattern(sequence, true, request->down_len), event->body.payload);
        world.notified_count++;
        world.last_told = sequence;
        return;
    }
    assert_int_equal(COAP_NOTHING, event->kind);
}

static void arrive(struct datagram datagram)
{
    struct coap_peer peer = {.len = 1, .data = {(uint8_t)(1 - datagram.to)}};
    struct coap_event event;
    coap_input(world.ends[datagram.to], world.now_ms, &peer, bytes_from(datagram.data, datagram.len), &event);
    (datagram.to == CLIENT ? on_client : on_server)(&event);
    drain(datagram.to);
}

/* Everything due at this moment; false when nothing was. */
static bool happen(void)
{
    for (size_t i = 0; i < world.wire_count; i++) {
        if (world.wire[i].due_ms > world.now_ms)
            continue;
        struct datagram datagram = world.wire[i];
        world.wire[i] = world.wire[--world.wire_count];
        arrive(datagram);
        return true;
    }
    for (size_t i = 0; i < world.request_count; i++) {
        if (!world.requests[i].to_answer || world.requests[i].answer_at_ms > world.now_ms)
            continue;
        answer(&world.requests[i]);
        return true;
    }
    for (int end = 0; end < 2; end++) {
        struct coap_event event;
        if (coap_next_timeout(world.ends[end], world.now_ms) > 0)
            continue;
        coap_tick(world.ends[end], world.now_ms, &event);
        (end == CLIENT ? on_client : on_server)(&event);
        drain(end);
        return true;
    }
    return false;
}

static uint64_t next_moment(void)
{
    uint64_t next = COAP_NEVER;
    for (size_t i = 0; i < world.wire_count; i++)
        next = world.wire[i].due_ms < next ? world.wire[i].due_ms : next;
    for (size_t i = 0; i < world.request_count; i++)
        if (world.requests[i].to_answer && world.requests[i].answer_at_ms < next)
            next = world.requests[i].answer_at_ms;
    for (int end = 0; end < 2; end++) {
        uint64_t wait = coap_next_timeout(world.ends[end], world.now_ms);
        if (wait != COAP_NEVER && world.now_ms + wait < next)
            next = world.now_ms + wait;
    }
    return next;
}

static void run_until(uint64_t end_ms)
{
    for (int steps = 0; next_moment() <= end_ms; steps++) {
        assert_true(steps < 20000);
        uint64_t next = next_moment();
        world.now_ms = next > world.now_ms ? next : world.now_ms;
        assert_true(happen());
    }
    if (end_ms != COAP_NEVER - 1)
        world.now_ms = end_ms;
}

static void run_to_the_end(void)
{
    run_until(COAP_NEVER - 1);
}

static void ask(size_t up_len, size_t down_len, bool observe)
{
    struct request *request = &world.requests[world.request_count++];
    *request = (struct request){.up_len = up_len, .down_len = down_len, .observe = observe};
    send_request(request);
    drain(CLIENT);
}

static void check_nothing_is_held(void)
{
    for (int end = 0; end < 2; end++) {
        struct coap_counts counts = coap_endpoint_counts(world.ends[end]);
        assert_int_equal(0, counts.exchanges);
        assert_int_equal(0, counts.peers);
    }
}

#endif
