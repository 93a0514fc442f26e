/* Echo (RFC 9175) in the exchange machine: an input is a list of datagrams of three peers, of requests that carry
 * values given to whoever it likes, bent or not, and of time that passes. A request for the guarded path reaches the
 * caller only with a value that was given to its own address and is not too old; who has none gets an answer of a few
 * bytes and takes no place in any table. */
#include "coap.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PEERS 3
#define GIVEN_MAX 64
#define PATH "p/q"
#define ANSWER_MAX 24 /* 4, a token of 8, an option of ours of at most 12 */

static struct {
    struct coap_endpoint *endpoint;
    uint64_t now_ms;
    struct given {
        uint8_t peer;
        uint64_t at_ms;
        size_t len;
        uint8_t value[40];
    } given[GIVEN_MAX];
    size_t given_count;
    uint16_t message_id;
    uint8_t seen[PEERS][65536 / 8]; /* message ids: what comes again gets again what it got */
} scene;

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static bool was_given(uint8_t peer, struct bytes value)
{
    for (size_t i = 0; i < scene.given_count; i++) {
        const struct given *given = &scene.given[i];
        if (given->peer == peer && scene.now_ms - given->at_ms < 2 * COAP_ECHO_MS &&
            bytes_equal(value, bytes_from(given->value, given->len)))
            return true;
    }
    return false;
}

static bool later_block(struct bytes options, uint16_t number)
{
    struct coap_block block;
    return coap_block_find(options, number, &block) == OK && block.num > 0;
}

static bool guarded(const struct coap_body *body)
{
    char room[64];
    struct bytes protected;
    struct writer path = writer_over(room, sizeof room);
    return !coap_option_find(body->options, COAP_OSCORE, &protected) &&
           coap_join_segments(body->options, COAP_URI_PATH, '/', &path) == OK &&
           bytes_equal(writer_bytes(&path), bytes_from_text(PATH)) && !later_block(body->options, COAP_BLOCK1) &&
           !later_block(body->options, COAP_BLOCK2);
}

static void hear(bool verified)
{
    struct coap_peer peer;
    uint8_t room[COAP_DATAGRAM_MAX];
    struct writer writer = writer_over(room, sizeof room);
    while (coap_output(scene.endpoint, &peer, &writer)) {
        struct coap_message message;
        struct bytes value;
        hold(coap_message_decode(writer_bytes(&writer), &message) == OK && peer.len == 1);
        hold(verified || writer.len <= ANSWER_MAX);
        if (message.body.code == COAP_UNAUTHORIZED && coap_option_find(message.body.options, COAP_ECHO, &value)) {
            struct given *given = &scene.given[scene.given_count++ % GIVEN_MAX];
            scene.given_count = scene.given_count > GIVEN_MAX ? GIVEN_MAX : scene.given_count;
            hold(value.len <= sizeof given->value);
            *given = (struct given){.peer = peer.data[0], .at_ms = scene.now_ms, .len = value.len};
            memcpy(given->value, value.data, value.len);
        }
        writer = writer_over(room, sizeof room);
    }
}

static bool was_seen(uint8_t peer, uint16_t message_id)
{
    uint8_t *place = &scene.seen[peer][message_id / 8], bit = (uint8_t)(1u << message_id % 8);
    bool before = *place & bit;
    *place |= bit;
    return before;
}

static void arrive(uint8_t name, struct bytes datagram)
{
    const struct coap_peer peer = {.len = 1, .data = {name}};
    const struct coap_counts before = coap_endpoint_counts(scene.endpoint);
    struct coap_message message;
    struct coap_event event;
    struct bytes value = {0};
    bool arrives = coap_message_decode(datagram, &message) == OK && message.type <= COAP_NON;
    bool again = arrives && was_seen(name, message.message_id);
    bool asks = arrives && coap_code_is_request(message.body.code) && guarded(&message.body);
    bool fresh = asks && coap_option_find(message.body.options, COAP_ECHO, &value) && was_given(name, value);
    coap_input(scene.endpoint, scene.now_ms, &peer, datagram, &event);
    if (asks && !fresh) {
        const struct coap_counts after = coap_endpoint_counts(scene.endpoint);
        hold(event.kind == COAP_NOTHING);
        /* fewer: the body that the event before lent comes back */
        hold(after.exchanges == before.exchanges && after.bodies <= before.bodies && after.peers == before.peers);
    }
    if (event.kind == COAP_REQUEST) {
        static const uint8_t text[900];
        const struct coap_body answer = {COAP_CHANGED, {0}, BYTES_OF(text)};
        hold(coap_respond(scene.endpoint, scene.now_ms, event.handle, &answer) != WRONG_STATE);
    }
    hear(!asks || fresh || again);
}

/* {peer, type and what is added, which value, bent where, block}: a request whose head is always well formed. */
static void ask(struct reader *input)
{
    uint8_t peer = take_u8(input), how = take_u8(input), which = take_u8(input), bent = take_u8(input);
    uint8_t block = take_u8(input), room[64], datagram[256], value[40] = {0};
    struct writer options = writer_over(room, sizeof room), out = writer_over(datagram, sizeof datagram);
    struct coap_option_writer option = coap_options_to(&options);
    size_t len = 0;
    if (scene.given_count > 0) {
        const struct given *given = &scene.given[which % scene.given_count];
        memcpy(value, given->value, len = given->len);
        if (bent)
            value[bent % sizeof value] ^= bent;
        if (how & 4)
            len = bent % sizeof value;
    }
    if (how & 8)
        coap_put_option(&option, COAP_OSCORE, (struct bytes){0});
    coap_put_segments(&option, COAP_URI_PATH, how & 16 ? "p" : PATH, '/');
    if (how & 32)
        coap_put_block(&option, COAP_BLOCK2, (struct coap_block){.num = block & 3, .szx = 2});
    if (how & 64)
        coap_put_block(&option, COAP_BLOCK1, (struct coap_block){.num = block & 3, .more = block & 4, .szx = 0});
    if (how & 2)
        coap_put_option(&option, COAP_ECHO, bytes_from(value, len));
    const struct coap_message message = {
        .type = how & 1,
        .message_id = how & 128 ? scene.message_id : ++scene.message_id,
        .token = bytes_from("TOKENTOK", block >> 4 & 8),
        .body = {COAP_POST, writer_bytes(&options), bytes_from("0123456789abcdef", 16)}};
    coap_message_encode(&out, &message);
    hold(writer_end(&out) == OK);
    arrive(peer % PEERS, writer_bytes(&out));
}

static void begin(void)
{
    static const struct coap_config config = {
        .exchange_count = 8, .recent_count = 32, .body_count = 2, .body_cap = 2048, .echo_path = PATH};
    static const uint8_t seed[COAP_SEED_LEN] = {7};
    static void *memory;
    size_t needed = coap_memory_needed(&config);
    memory = memory ? memory : malloc(needed);
    memset(&scene, 0, sizeof scene);
    hold(memory && coap_init(&config, seed, memory, needed, &scene.endpoint) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader input = reader_over(bytes_from(data, len));
    begin();
    while (input.rest.len > 0) {
        uint8_t what = take_u8(&input);
        if (what < 160) {
            ask(&input);
        } else if (what < 224) {
            uint8_t size = take_u8(&input);
            arrive(what % PEERS, take_bytes(&input, size < input.rest.len ? size : input.rest.len));
        } else {
            struct coap_event event;
            scene.now_ms += (uint64_t)(what - 223) * COAP_ECHO_MS / 8;
            do {
                coap_tick(scene.endpoint, scene.now_ms, &event);
                hear(true);
            } while (event.kind != COAP_NOTHING);
        }
    }
    return 0;
}
