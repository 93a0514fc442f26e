/* Every shorter prefix and every flipped bit of every handshake message, between a real client and a real hub: refused
 * by the side that gets it, or by the other at the next message; the client sends nothing, the hub keeps nothing. */
#include "../hostile_rig.h"

static struct {
    enum said kind;
    bool answer;
    size_t at, end; /* 8 positions a byte for its bits, then one for each prefix; the end is known at the first */
} bend;

static void bend_body(uint8_t *body, size_t *body_len)
{
    size_t len;
    uint8_t *payload = payload_of(body, *body_len, &len);
    bend.end = 9 * len;
    if (bend.at < 8 * len) {
        payload[bend.at / 8] ^= (uint8_t)(1u << bend.at % 8);
    } else {
        size_t prefix = bend.at - 8 * len;
        *body_len -= len - prefix + (prefix == 0); /* without a payload there is no marker (RFC 7252 §3) */
    }
    bend.at++;
    rig.now_ms += HUB_HANDSHAKE_MS + 1; /* what this leaves behind gives way to the next */
}

static void bend_request(struct exchange *exchange)
{
    if (exchange->kind == bend.kind && !bend.answer && bend.at < bend.end)
        bend_body(exchange->request, &exchange->request_len);
}

static void bend_answer(struct exchange *exchange)
{
    if (exchange->kind == bend.kind && bend.answer && bend.at < bend.end)
        bend_body(exchange->answer, &exchange->answer_len);
}

/* One event after the other, each with three handshakes, of which each has one thing bent. */
static void bend_all(enum said kind, bool answer)
{
    struct client *client = open_device(false, 5000);
    int64_t sessions = state_of(HOME, "sessions"), events = state_of(HOME, "events");
    bend.kind = kind;
    bend.answer = answer;
    bend.at = 0;
    bend.end = SIZE_MAX;
    begin_play(bend_request, bend_answer);
    while (bend.end - bend.at >= 3) {
        const struct outcome outcome = ask_once(client);
        if (outcome.status != AUTH)
            fail_msg("before position %zu of %zu: %s, \"%s\"", bend.at, bend.end, status_word(outcome.status),
                     outcome.why);
        if (answer)
            assert_non_null(strstr(outcome.why, "answers in the handshake does not verify"));
        else if (kind == MESSAGE_3) /* of message 1 much can be changed that only the next message shows */
            assert_non_null(strstr(outcome.why, "refused the handshake"));
    }
    begin_play(bend_request, bend_answer); /* the last few, and then an honest handshake */
    check_ok(ask_once(client).status);
    assert_int_equal(bend.end, bend.at);
    assert_true(bend.end > 9 * 30);
    assert_int_equal(1, device.judged); /* no bent evidence was looked at: the message it is in did not verify */
    assert_int_equal(1, between.sent[PROTECTED]);
    assert_int_equal(events + 1, state_of(HOME, "events"));
    /* whose message 3 was whole has sessions, the device's own; else there is the honest one alone */
    assert_in_range(state_of(HOME, "sessions") - sessions, 1, kind == MESSAGE_3 && answer ? HUB_SESSIONS_EACH : 1);
    honest_again(client);
    client_close(client);
}

static void every_bit_and_prefix_of_message_1_is_refused(void **state)
{
    (void)state;
    bend_all(MESSAGE_1, false);
}

static void every_bit_and_prefix_of_message_2_is_refused(void **state)
{
    (void)state;
    bend_all(MESSAGE_1, true);
}

static void every_bit_and_prefix_of_message_3_is_refused(void **state)
{
    (void)state;
    bend_all(MESSAGE_3, false);
}

static void every_bit_and_prefix_of_message_4_is_refused(void **state)
{
    (void)state;
    bend_all(MESSAGE_3, true);
}

int main(void)
{
#define play_test(name) cmocka_unit_test_setup_teardown(name, set_up_hostile, tear_down_hostile)
    const struct CMUnitTest tests[] = {
        play_test(every_bit_and_prefix_of_message_1_is_refused),
        play_test(every_bit_and_prefix_of_message_2_is_refused),
        play_test(every_bit_and_prefix_of_message_3_is_refused),
        play_test(every_bit_and_prefix_of_message_4_is_refused),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
