/* A gateway that answers itself, with anything at all: nothing it can say makes a client go on, or send what it should
 * not, and what it says is worth no more than a sentence and a few tries. */
#include "../hostile_rig.h"

struct said_instead {
    uint8_t code;
    uint32_t format;
    const char *hex;
    enum status status;
    const char *why;
};

static struct {
    enum said kind;
    const struct said_instead *instead;
    bool hub_hears; /* the hub is asked too, for what it would do */
    bool reflect;   /* the client gets back what it sent */
} aim;

static void answer_instead(struct exchange *exchange)
{
    uint8_t room[512];
    struct writer payload = writer_over(room, sizeof room);
    if (exchange->kind != aim.kind)
        return;
    if (aim.hub_hears)
        relay(exchange);
    exchange->to = NULL;
    if (aim.reflect) {
        size_t len;
        const uint8_t *own = payload_of(exchange->request, exchange->request_len, &len);
        set_answer(exchange, COAP_CHANGED, COAP_FORMAT_EDHOC, bytes_from(own, len));
        return;
    }
    check_ok(hex_decode(aim.instead->hex, &payload));
    set_answer(exchange, aim.instead->code, aim.instead->format, writer_bytes(&payload));
}

static void play(bool http, uint32_t timeout_ms, enum status status, const char *why)
{
    struct client *client = open_device(http, timeout_ms);
    int64_t sessions = state_of(HOME, "sessions"), events = state_of(HOME, "events");
    begin_play(answer_instead, NULL);
    const struct outcome outcome = ask_once(client);
    if (outcome.status != status || !strstr(outcome.why, why))
        fail_msg("%s, \"%s\" where \"%s\" was expected", status_word(outcome.status), outcome.why, why);
    if (aim.kind != PROTECTED) {
        assert_int_equal(0, between.sent[PROTECTED]);
        assert_int_equal(events, state_of(HOME, "events"));
    }
    if (status != IO)
        assert_true(between.sent[MESSAGE_1] <= (aim.kind == PROTECTED ? 8 : 3));
    assert_in_range(state_of(HOME, "sessions") - sessions, 0, aim.hub_hears || aim.kind == PROTECTED ? 8 : 0);
    honest_again(client);
    client_close(client);
}

#define NO_VERIFY "answers in the handshake does not verify"

/* 01 is EDHOC's error code for a text, 02 for suites, 03 for a credential that is not known (RFC 9528 §6). */
static const struct said_instead at_handshakes[] = {
    {COAP_CHANGED, COAP_FORMAT_EDHOC, "", AUTH, NO_VERIFY},
    {COAP_CHANGED, COAP_FORMAT_EDHOC, "40", AUTH, NO_VERIFY},
    {COAP_CHANGED, COAP_FORMAT_EDHOC, "5820000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", AUTH,
     NO_VERIFY},
    {COAP_CHANGED, COAP_FORMAT_EDHOC, "0163796573", AUTH, NO_VERIFY}, /* an error, called a success */
    {COAP_CONTENT, COAP_FORMAT_TEXT, "6f6b", AUTH, NO_VERIFY},
    {COAP_BAD_REQUEST, COAP_FORMAT_EDHOC, "0167676f2061776179", AUTH, "refused the handshake: \"go away\""},
    {COAP_BAD_REQUEST, COAP_FORMAT_EDHOC, "01646f220a1b", AUTH, "refused the handshake: \"o???\""},
    {COAP_BAD_REQUEST, COAP_FORMAT_EDHOC, "", AUTH, "refused the handshake: \"\""},
    {COAP_BAD_REQUEST, COAP_FORMAT_EDHOC, "ff", AUTH, "refused the handshake: \"\""},
    {COAP_BAD_REQUEST, COAP_FORMAT_EDHOC, "0205", UNSUPPORTED, "no cipher suite in common"},
    {COAP_BAD_REQUEST, COAP_FORMAT_EDHOC, "0203", AUTH, "refused the handshake"},
    {COAP_BAD_REQUEST, COAP_FORMAT_EDHOC, "03f5", AUTH, "refused the handshake"},
    {COAP_NOT_FOUND, COAP_FORMAT_TEXT, "", AUTH, "refused the handshake"},
    {COAP_UNAUTHORIZED, COAP_FORMAT_TEXT, "", AUTH, "refused the handshake"},
    {COAP_TOO_LARGE, COAP_FORMAT_TEXT, "", AUTH, "refused the handshake"},
    {COAP_UNAVAILABLE, COAP_FORMAT_TEXT, "", IO, "answers, but its hub does not"},
};

static void what_it_says_in_a_handshake_is_no_handshake(void **state)
{
    (void)state;
    for (int at = 0; at < 4; at++) {
        aim.kind = at & 1 ? MESSAGE_3 : MESSAGE_1;
        aim.hub_hears = at & 2;
        for (size_t i = 0; i < sizeof at_handshakes / sizeof at_handshakes[0]; i++) {
            aim.instead = &at_handshakes[i];
            bool http = i & 1;
            /* HTTP has no 4.01 (RFC 8075 §7) and says 503 for 5.03: the client reads both as CoAP's */
            play(http, aim.instead->status == IO ? 400 : 2000, aim.instead->status, aim.instead->why);
        }
    }
}

static void a_client_that_hears_itself_goes_no_further(void **state)
{
    (void)state;
    aim.reflect = true;
    aim.hub_hears = false;
    for (aim.kind = MESSAGE_1; aim.kind <= MESSAGE_3; aim.kind++)
        play(false, 2000, AUTH, NO_VERIFY);
    aim.kind = PROTECTED;
    play(false, 700, AUTH, "does not verify with this key");
    aim.reflect = false;
}

static const struct said_instead at_requests[] = {
    {COAP_CHANGED, COAP_FORMAT_JSON, "7b7d", AUTH, "does not verify with this key"},
    {COAP_CONTENT, COAP_FORMAT_EDHOC, "40", AUTH, "does not verify with this key"},
    {COAP_UNAUTHORIZED, COAP_FORMAT_TEXT, "", AUTH, "knows no session with this key"},
    {COAP_BAD_REQUEST, COAP_FORMAT_TEXT, "", AUTH, "knows no session with this key"},
    {COAP_NOT_FOUND, COAP_FORMAT_JSON, "", IO, "answers, but its hub does not"},
    {COAP_UNAVAILABLE, COAP_FORMAT_TEXT, "", IO, "answers, but its hub does not"},
    {COAP_TOO_LARGE, COAP_FORMAT_TEXT, "", NO_ROOM, "takes no body"},
};

static void what_it_says_to_a_request_is_no_answer(void **state)
{
    (void)state;
    aim.kind = PROTECTED;
    for (int heard = 0; heard < 2; heard++) {
        aim.hub_hears = heard;
        for (size_t i = 0; i < sizeof at_requests / sizeof at_requests[0]; i++) {
            aim.instead = &at_requests[i];
            play(false, 700, aim.instead->status, aim.instead->why);
        }
    }
}

/* Each byte of an answer that the hub gave, in one bit another. */
static size_t bent_at;

static void bend_answer(struct exchange *exchange)
{
    if (exchange->kind != PROTECTED)
        return;
    exchange->answer[1 + bent_at % (exchange->answer_len - 1)] ^= (uint8_t)(1u << bent_at % 8);
    bent_at++;
}

static void no_answer_to_a_request_is_taken_with_a_bit_changed(void **state)
{
    (void)state;
    struct client *client = open_device(false, 600);
    begin_play(NULL, NULL);
    check_ok(ask_once(client).status);
    int64_t events = state_of(HOME, "events");
    unsigned asked = 0;
    begin_play(NULL, bend_answer);
    for (bent_at = 0; bent_at < 40; asked++) {
        const struct outcome outcome = ask_once(client);
        assert_true(outcome.status == AUTH || outcome.status == IO);
    }
    assert_in_range(state_of(HOME, "events") - events, 1, asked); /* done, each once, whatever the client heard */
    honest_again(client);
    client_close(client);
}

int main(void)
{
#define play_test(name) cmocka_unit_test_setup_teardown(name, set_up_hostile, tear_down_hostile)
    const struct CMUnitTest tests[] = {
        play_test(what_it_says_in_a_handshake_is_no_handshake),
        play_test(a_client_that_hears_itself_goes_no_further),
        play_test(what_it_says_to_a_request_is_no_answer),
        play_test(no_answer_to_a_request_is_taken_with_a_bit_changed),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
