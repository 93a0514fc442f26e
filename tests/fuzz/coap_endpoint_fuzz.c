/* An endpoint among hostile peers: datagrams of any content and such as answer what it just sent, time passing, and a
 * caller who asks, answers, notifies and gives up at any moment. Every request of ours ends exactly once; what goes out
 * is well formed; when all is over nothing is held. */
#include "coap.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define HANDLES 64

struct scene {
    struct coap_endpoint *endpoint;
    uint64_t now_ms;
    uint32_t asked[HANDLES]; /* ours, not yet over */
    size_t asked_count;
    uint32_t served[HANDLES]; /* theirs: to answer, or to notify */
    size_t served_count;
    uint8_t last[COAP_DATAGRAM_MAX]; /* what went out last: a peer answers that */
    size_t last_len;
};

static const struct coap_config config = {.exchange_count = 12,
                                          .recent_count = 24,
                                          .body_count = 4,
                                          .body_cap = 4096,
                                          .peer_divisor = 2,
                                          .nstart = 2,
                                          .answer_ms = 9000};

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static size_t find(const uint32_t *handles, size_t count, uint32_t handle)
{
    size_t at = 0;
    while (at < count && handles[at] != handle)
        at++;
    return at;
}

static void forget(uint32_t *handles, size_t *count, uint32_t handle)
{
    size_t at = find(handles, *count, handle);
    if (at < *count)
        handles[at] = handles[--*count];
}

static void learn(struct scene *scene, const struct coap_event *event)
{
    bool ours = find(scene->asked, scene->asked_count, event->handle) < scene->asked_count;
    switch (event->kind) {
    case COAP_REQUEST:
        hold(event->handle != 0 && !ours && coap_code_is_request(event->body.code));
        hold(find(scene->served, scene->served_count, event->handle) == scene->served_count);
        forget(scene->served, &scene->served_count, event->replaced);
        hold(scene->served_count < HANDLES);
        scene->served[scene->served_count++] = event->handle;
        break;
    case COAP_RESPONSE:
        hold(ours && coap_code_is_response(event->body.code));
        if (!event->more)
            forget(scene->asked, &scene->asked_count, event->handle);
        break;
    case COAP_FAILED:
        hold(event->failure != COAP_NO_FAILURE);
        hold(ours || find(scene->served, scene->served_count, event->handle) < scene->served_count);
        forget(scene->asked, &scene->asked_count, event->handle);
        forget(scene->served, &scene->served_count, event->handle);
        break;
    case COAP_CANCELLED:
        hold(find(scene->served, scene->served_count, event->handle) < scene->served_count);
        forget(scene->served, &scene->served_count, event->handle);
        break;
    case COAP_ACKNOWLEDGED:
        hold(find(scene->served, scene->served_count, event->handle) < scene->served_count);
        break;
    case COAP_NOTHING:
    default:
        break;
    }
}

static void drain(struct scene *scene)
{
    struct coap_peer peer;
    uint8_t room[COAP_DATAGRAM_MAX];
    struct writer writer = writer_over(room, sizeof room);
    for (int sent = 0; coap_output(scene->endpoint, &peer, &writer); sent++) {
        struct coap_message message;
        hold(sent < 200 && writer_end(&writer) == OK && peer.len == 1);
        hold(coap_message_decode(writer_bytes(&writer), &message) == OK);
        memcpy(scene->last, room, writer.len);
        scene->last_len = writer.len;
        writer = writer_over(room, sizeof room);
    }
}

static void arrive(struct scene *scene, uint8_t peer_name, struct bytes datagram)
{
    struct coap_peer peer = {.len = 1, .data = {peer_name % 3}};
    struct coap_event event;
    coap_input(scene->endpoint, scene->now_ms, &peer, datagram, &event);
    learn(scene, &event);
    drain(scene);
}

static void pass(struct scene *scene, uint64_t ms)
{
    struct coap_event event;
    scene->now_ms += ms;
    do {
        coap_tick(scene->endpoint, scene->now_ms, &event);
        learn(scene, &event);
        drain(scene);
    } while (event.kind != COAP_NOTHING);
    hold(coap_next_timeout(scene->endpoint, scene->now_ms) > 0);
}

/* A body of the input's making: a few options, and a payload that may need blocks. */
static struct bytes body_bytes(struct reader *reader, uint8_t code, uint8_t *room, size_t cap)
{
    uint8_t options = take_u8(reader);
    uint16_t len = (uint16_t)(take_u16be(reader) % 6000);
    struct writer writer = writer_over(room, cap);
    struct coap_option_writer to = coap_options_to(&writer);
    put_u8(&writer, code);
    if (options & 1)
        coap_put_option(&to, COAP_ETAG, bytes_from("abcd", 1 + options % 4));
    if (options & 2)
        coap_put_option_uint(&to, COAP_OBSERVE, options >> 4 & 7);
    if (options & 4)
        coap_put_option(&to, COAP_URI_PATH, bytes_from("path", options % 5));
    if (options & 8)
        coap_put_block(&to, COAP_BLOCK2, (struct coap_block){.num = len % 8, .szx = options >> 5 & 6});
    if (len > 0) {
        put_u8(&writer, 0xff);
        uint8_t *payload = put_space(&writer, len);
        if (payload)
            memset(payload, options, len);
    }
    return writer_bytes(&writer);
}

static void ask(struct scene *scene, struct reader *reader, uint8_t how)
{
    static uint8_t room[8192];
    static const uint8_t codes[] = {COAP_GET, COAP_POST, COAP_FETCH, COAP_CONTENT};
    struct coap_peer peer = {.len = 1, .data = {how % 3}};
    struct coap_body body;
    uint32_t handle = 0;
    hold(coap_body_decode(body_bytes(reader, codes[how >> 2 & 3], room, sizeof room), &body) == OK);
    if (scene->asked_count == HANDLES)
        return;
    if (coap_request(scene->endpoint, scene->now_ms, &peer, how & 0x10, &body, &handle) == OK) {
        hold(handle != 0 && find(scene->asked, scene->asked_count, handle) == scene->asked_count);
        scene->asked[scene->asked_count++] = handle;
    }
    drain(scene);
}

static void answer(struct scene *scene, struct reader *reader, uint8_t how)
{
    static uint8_t room[8192];
    static const uint8_t codes[] = {COAP_CONTENT, COAP_CHANGED, COAP_NOT_FOUND, COAP_CONTENT};
    struct coap_body body;
    hold(coap_body_decode(body_bytes(reader, codes[how >> 2 & 3], room, sizeof room), &body) == OK);
    if (scene->served_count == 0)
        return;
    uint32_t handle = scene->served[(how >> 5) % scene->served_count];
    enum status status = how & 1 ? coap_respond(scene->endpoint, scene->now_ms, handle, &body)
                                 : coap_notify(scene->endpoint, scene->now_ms, handle, &body, how & 0x10);
    /* the handle of an answered request takes nothing more, unless it is an observation */
    if (status == NOT_FOUND)
        forget(scene->served, &scene->served_count, handle);
    drain(scene);
}

/* What a peer says to the last datagram: its token, its message id, a block of the input's choosing. */
static void reply(struct scene *scene, struct reader *reader, uint8_t how)
{
    uint8_t room[COAP_DATAGRAM_MAX];
    struct coap_message last, message = {.type = how & 3};
    struct bytes options = {0};
    uint8_t option_room[64];
    uint8_t code = take_u8(reader), block = take_u8(reader), observe = take_u8(reader);
    if (coap_message_decode(bytes_from(scene->last, scene->last_len), &last) != OK)
        return;
    struct writer option_writer = writer_over(option_room, sizeof option_room);
    struct coap_option_writer to = coap_options_to(&option_writer);
    if (observe & 1)
        coap_put_option_uint(&to, COAP_OBSERVE, observe);
    if (how & 4)
        coap_put_block(&to, COAP_BLOCK2,
                       (struct coap_block){.num = block & 7, .more = block >> 3 & 1, .szx = (block >> 4) % 7});
    if (how & 8)
        coap_put_block(&to, COAP_BLOCK1,
                       (struct coap_block){.num = block & 7, .more = block >> 3 & 1, .szx = (block >> 4) % 7});
    options = writer_bytes(&option_writer);
    message.message_id = (uint16_t)(last.message_id + (how >> 7));
    if (code != COAP_EMPTY) {
        message.token = last.token;
        message.body = (struct coap_body){code, options, {0}};
        if (how & 0x10)
            message.body.payload =
                bytes_from(scene->last, coap_block_size((block >> 4) % 7) % (COAP_DATAGRAM_MAX - 60));
    }
    struct writer writer = writer_over(room, sizeof room);
    coap_message_encode(&writer, &message);
    if (writer_end(&writer) == OK)
        arrive(scene, observe >> 6, writer_bytes(&writer));
}

static void step(struct scene *scene, struct reader *reader)
{
    uint8_t what = take_u8(reader), how = take_u8(reader);
    switch (what % 8) {
    case 0:
        arrive(scene, how, take_bytes(reader, take_u8(reader)));
        break;
    case 1:
        pass(scene, (uint64_t)how * how * 4);
        break;
    case 2:
        ask(scene, reader, how);
        break;
    case 3:
    case 4:
        answer(scene, reader, how);
        break;
    case 5:
        if (scene->asked_count > 0 && (how & 1)) {
            uint32_t handle = scene->asked[how % scene->asked_count];
            coap_cancel(scene->endpoint, handle);
            forget(scene->asked, &scene->asked_count, handle);
        } else if (scene->served_count > 0) {
            uint32_t handle = scene->served[how % scene->served_count];
            coap_cancel(scene->endpoint, handle);
            forget(scene->served, &scene->served_count, handle);
        }
        drain(scene);
        break;
    default:
        reply(scene, reader, how);
        break;
    }
}

/* Observations live until someone ends them; everything else ends by itself. */
static void finish(struct scene *scene)
{
    while (scene->served_count > 0)
        coap_cancel(scene->endpoint, scene->served[--scene->served_count]);
    drain(scene);
    for (int round = 0; round < 200 && coap_next_timeout(scene->endpoint, scene->now_ms) != COAP_NEVER; round++)
        pass(scene, coap_next_timeout(scene->endpoint, scene->now_ms));
    hold(coap_next_timeout(scene->endpoint, scene->now_ms) == COAP_NEVER);
    while (scene->asked_count > 0)
        coap_cancel(scene->endpoint, scene->asked[--scene->asked_count]);
    struct coap_counts counts = coap_endpoint_counts(scene->endpoint);
    hold(counts.exchanges == 0 && counts.peers == 0 && counts.bodies <= 1);
    arrive(scene, 0, (struct bytes){0}); /* gives back what the last event lent */
    hold(coap_endpoint_counts(scene->endpoint).bodies == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void *memory;
    static const uint8_t seed[COAP_SEED_LEN] = {1};
    size_t needed = coap_memory_needed(&config);
    struct scene scene = {.now_ms = 1};
    struct reader reader = reader_over(bytes_from(data, len));
    if (!memory)
        memory = malloc(needed);
    hold(memory && coap_init(&config, seed, memory, needed, &scene.endpoint) == OK);
    while (reader.status == OK && reader.rest.len > 0)
        step(&scene, &reader);
    finish(&scene);
    return 0;
}
