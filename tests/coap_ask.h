/* One endpoint of proto/coap that is asked by hand-made datagrams of many peers, and what it says at once. */
#ifndef BASTIDE_TESTS_COAP_ASK_H
#define BASTIDE_TESTS_COAP_ASK_H

#include "check.h"

#include "coap.h"

#include <stdlib.h>

#define PATH "a/b"

static struct coap_endpoint *endpoint;
static void *memory;
static uint64_t now_ms;
static uint16_t next_id;
static struct coap_event event;
static struct coap_body answer; /* the last datagram that went out, unless `answered` is false */
static bool answered;
static uint8_t answer_type;
static size_t answer_len, request_len;
static uint8_t answer_room[COAP_DATAGRAM_MAX];

static const struct coap_peer alice = {.len = 3, .data = {1, 2, 3}};

static inline void begin(uint8_t seed_byte, const char *echo_path)
{
    const struct coap_config config = {.exchange_count = 8,
                                       .recent_count = 64,
                                       .body_count = 4,
                                       .body_cap = 8192,
                                       .peer_divisor = 1,
                                       .echo_path = echo_path};
    const uint8_t seed[COAP_SEED_LEN] = {seed_byte};
    size_t needed = coap_memory_needed(&config);
    free(memory);
    memory = malloc(needed);
    assert_non_null(memory);
    check_ok(coap_init(&config, seed, memory, needed, &endpoint));
}

static inline int set_up(void **state)
{
    (void)state;
    begin(1, PATH);
    now_ms = 10 * COAP_ECHO_MS;
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    free(memory);
    memory = NULL;
    return 0;
}

static inline void hear(void)
{
    struct coap_peer peer;
    struct coap_message message;
    struct writer writer = writer_over(answer_room, sizeof answer_room);
    answered = coap_output(endpoint, &peer, &writer);
    if (!answered)
        return;
    check_ok(coap_message_decode(writer_bytes(&writer), &message));
    answer = message.body;
    answer_type = message.type;
    answer_len = writer.len;
}

struct question {
    const struct coap_peer *peer;
    uint8_t type, code;
    const char *path;
    const struct bytes *echo;
    const struct coap_block *block1, *block2;
    bool protected, observe;
    size_t payload_len;
    bool same_id;
};

static inline void ask(struct question question)
{
    static const uint8_t payload[1024];
    uint8_t room[128], datagram[1500];
    struct writer options = writer_over(room, sizeof room), out = writer_over(datagram, sizeof datagram);
    struct coap_option_writer option = coap_options_to(&options);
    if (question.observe)
        coap_put_option_uint(&option, COAP_OBSERVE, 0);
    if (question.protected)
        coap_put_option(&option, COAP_OSCORE, bytes_from_text("\x09\x25"));
    coap_put_segments(&option, COAP_URI_PATH, question.path ? question.path : PATH, '/');
    if (question.block2)
        coap_put_block(&option, COAP_BLOCK2, *question.block2);
    if (question.block1)
        coap_put_block(&option, COAP_BLOCK1, *question.block1);
    if (question.echo)
        coap_put_option(&option, COAP_ECHO, *question.echo);
    const struct coap_message message = {
        .type = question.type,
        .message_id = question.same_id ? next_id : ++next_id,
        .token = bytes_from_text("T"),
        .body = {question.code ? question.code : COAP_POST, writer_bytes(&options),
                 bytes_from(payload, question.payload_len)},
    };
    coap_message_encode(&out, &message);
    check_ok(writer_end(&out));
    request_len = out.len;
    coap_input(endpoint, now_ms, question.peer ? question.peer : &alice, writer_bytes(&out), &event);
    hear();
}

static inline void check_handed_on(void)
{
    assert_int_equal(COAP_REQUEST, event.kind);
    assert_false(answered);
    coap_cancel(endpoint, event.handle);
    hear();
}

#endif
