/* Two OSCORE sessions that share an input, and one function per thing they do to each other. Payloads are text. */
#ifndef BASTIDE_TESTS_OSCORE_RIG_H
#define BASTIDE_TESTS_OSCORE_RIG_H

#include "check.h"
#include "oscore_internal.h"

#define RIG_CAP 640

enum rig_observe { RIG_REGISTER = 0, RIG_CANCEL = 1, RIG_PLAIN = 0xffff };

struct rig {
    struct oscore_input input; /* the client's */
    struct oscore_session client, server;
};

/* An outer body as it travels. */
struct rig_message {
    uint8_t data[RIG_CAP];
    size_t len;
};

struct rig_opened {
    enum status status;
    struct oscore_request request; /* server */
    struct coap_body body;
    uint8_t plain[RIG_CAP];
    size_t plain_len;
    struct rig_message challenge; /* server, when BUSY */
};

/* Eight bytes that no call gave before. */
static inline const uint8_t *rig_fresh(void)
{
    static uint8_t fresh[OSCORE_PART_LEN];
    static uint64_t count = 0x5eed;
    struct writer writer = writer_over(fresh, sizeof fresh);
    put_u64be(&writer, ++count * 0x9e3779b97f4a7c15u);
    return fresh;
}

static inline void rig_input(struct oscore_input *input, enum crypto_aead_alg aead)
{
    *input = (struct oscore_input){.aead = aead,
                                   .master_secret = {{1, 2, 3}, 16},
                                   .master_salt = {4, 5},
                                   .master_salt_len = 8,
                                   .sender = {{0xc1}, 1},
                                   .recipient = {{0x5e, 0x52}, 2}};
}

static inline void rig_server_start(struct rig *rig)
{
    struct oscore_input mirrored;
    oscore_input_mirror(&rig->input, &mirrored);
    check_ok(oscore_session_init(&rig->server, OSCORE_SERVER, &mirrored));
}

static inline void rig_client_start(struct rig *rig)
{
    check_ok(oscore_session_init(&rig->client, OSCORE_CLIENT, &rig->input));
}

/* Neither side has a context yet. */
static inline void rig_start(struct rig *rig, enum crypto_aead_alg aead)
{
    *rig = (struct rig){0};
    rig_input(&rig->input, aead);
    rig_client_start(rig);
    rig_server_start(rig);
}

/* Both sides have one without ID Context, at these sequence numbers. */
static inline void rig_start_fixed(struct rig *rig, enum crypto_aead_alg aead, uint64_t client, uint64_t server)
{
    rig_start(rig, aead);
    check_ok(oscore_session_fix(&rig->client, NULL, client));
    check_ok(oscore_session_fix(&rig->server, NULL, server));
}

static inline void rig_stop(struct rig *rig)
{
    oscore_session_done(&rig->client);
    oscore_session_done(&rig->server);
    oscore_input_wipe(&rig->input);
}

static inline struct coap_body rig_body(const struct rig_message *message)
{
    struct coap_body body;
    check_ok(coap_body_decode(bytes_from(message->data, message->len), &body));
    return body;
}

static inline struct oscore_option rig_option(const struct rig_message *message)
{
    struct oscore_option option = {0};
    struct bytes value;
    assert_true(coap_option_find(rig_body(message).options, COAP_OSCORE, &value));
    check_ok(oscore_option_decode(value, &option));
    return option;
}

static inline struct bytes rig_options(struct writer *room, uint32_t observe)
{
    struct coap_option_writer list = coap_options_to(room);
    if (observe != RIG_PLAIN)
        coap_put_option_uint(&list, COAP_OBSERVE, observe);
    coap_put_option(&list, COAP_URI_PATH, bytes_from_text("events"));
    return writer_bytes(room);
}

static inline enum status rig_ask(struct oscore_session *client, const char *text, uint32_t observe,
                                  struct oscore_request *request, struct rig_message *message)
{
    uint8_t room[32];
    struct writer options = writer_over(room, sizeof room), out = writer_over(message->data, RIG_CAP);
    struct coap_body body = {COAP_POST, rig_options(&options, observe), bytes_from_text(text)};
    enum status status = oscore_protect_request(client, &body, rig_fresh(), request, &out);
    message->len = out.len;
    return status;
}

/* `opened` may be looked at until the message changes. */
static inline enum status rig_take(struct oscore_session *server, const struct rig_message *message,
                                   struct rig_opened *opened)
{
    *opened = (struct rig_opened){0};
    struct coap_body outer = rig_body(message);
    struct writer plain = writer_over(opened->plain, RIG_CAP), challenge = writer_over(opened->challenge.data, RIG_CAP);
    opened->status =
        oscore_unprotect_request(server, &outer, rig_fresh(), &opened->request, &plain, &opened->body, &challenge);
    opened->plain_len = plain.len;
    opened->challenge.len = challenge.len;
    return opened->status;
}

static inline enum status rig_answer(struct oscore_session *server, struct oscore_request *request, const char *text,
                                     uint32_t observe, bool own_nonce, struct rig_message *message)
{
    uint8_t room[32];
    struct writer options = writer_over(room, sizeof room), out = writer_over(message->data, RIG_CAP);
    struct coap_option_writer list = coap_options_to(&options);
    if (observe != RIG_PLAIN)
        coap_put_option_uint(&list, COAP_OBSERVE, observe);
    struct coap_body body = {COAP_CONTENT, writer_bytes(&options), bytes_from_text(text)};
    enum status status = oscore_protect_response(server, request, &body, own_nonce, &out);
    message->len = out.len;
    return status;
}

static inline enum status rig_hear(struct oscore_session *client, struct oscore_request *request,
                                   const struct rig_message *message, struct rig_opened *opened)
{
    *opened = (struct rig_opened){0};
    struct coap_body outer = rig_body(message);
    struct writer plain = writer_over(opened->plain, RIG_CAP);
    opened->status = oscore_unprotect_response(client, request, &outer, &plain, &opened->body);
    opened->plain_len = plain.len;
    return opened->status;
}

static inline void rig_expect(const struct rig_opened *opened, const char *text)
{
    check_ok(opened->status);
    check_bytes(bytes_from_text(text), opened->body.payload);
}

/* Refused: nothing of the plaintext is left, neither a body nor an answer was made. */
static inline void rig_expect_nothing(const struct rig_opened *opened)
{
    static const uint8_t zero[RIG_CAP];
    assert_int_equal(opened->plain_len, 0);
    assert_memory_equal(opened->plain, zero, RIG_CAP);
    assert_int_equal(opened->body.code, 0);
    assert_int_equal(opened->challenge.len, 0);
}

/* One request and its answer, both of which must pass. */
static inline void rig_exchange(struct rig *rig)
{
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened at_server, at_client;
    check_ok(rig_ask(&rig->client, "ping", RIG_PLAIN, &asked, &out));
    check_ok(rig_take(&rig->server, &out, &at_server));
    rig_expect(&at_server, "ping");
    check_ok(rig_answer(&rig->server, &at_server.request, "pong", RIG_PLAIN, false, &out));
    check_ok(rig_hear(&rig->client, &asked, &out, &at_client));
    rig_expect(&at_client, "pong");
}

/* Request #1 and response #1 of Appendix B.2; the client's next request is request #2. */
static inline void rig_challenge(struct rig *rig)
{
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened at_server, at_client;
    check_ok(rig_ask(&rig->client, "first", RIG_PLAIN, &asked, &out));
    check_status(BUSY, rig_take(&rig->server, &out, &at_server));
    check_status(BUSY, rig_hear(&rig->client, &asked, &at_server.challenge, &at_client));
}

/* All of Appendix B.2. */
static inline void rig_begin(struct rig *rig)
{
    rig_challenge(rig);
    rig_exchange(rig);
}

#endif
