/* A gateway that drops, replays, reorders and leads elsewhere, between a real client and real hubs: at each message of
 * the handshake, and at requests afterwards. Each time the client says what happened, the hub keeps nothing and takes
 * nothing twice, and when the gateway is honest again all goes on. */
#include "../hostile_rig.h"

static struct {
    enum said kind;
    bool answer;   /* what suffers is the answer to it */
    bool second;   /* of two answers the client gets the later one */
    unsigned to;   /* the place where it goes instead */
    uint64_t held; /* the channel of an answer that waits for another to be exchanged with */
    uint8_t held_answer[BODY_CAP];
    size_t held_len;
} aim;

static bool is_aimed_at(const struct exchange *exchange, bool answer)
{
    return exchange->kind == aim.kind && aim.answer == answer;
}

static const char *const kind_words[] = {"message 1", "message 3", "a request"};

static void check_outcome(const struct outcome *outcome, enum status status, const char *why)
{
    if (outcome->status != status || (status != OK && !strstr(outcome->why, why)))
        fail_msg("at %s%s: %s, \"%s\"", aim.answer ? "the answer to " : "", kind_words[aim.kind],
                 status_word(outcome->status), outcome->why);
}

/* ---- Nothing is wrong ---- */

static void an_honest_gateway_relays_a_handshake_and_what_follows(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = open_device(http, 5000);
        begin_play(NULL, NULL);
        for (int i = 0; i < 3; i++)
            check_ok(ask_once(client).status);
        assert_int_equal(1, between.sent[MESSAGE_1]);
        assert_int_equal(1, between.sent[MESSAGE_3]);
        assert_int_equal(3, between.sent[PROTECTED]);
        assert_int_equal(0, device.reasons);
        honest_again(client);
        client_close(client);
    }
    assert_int_equal(2, device.judged);
}

/* ---- Dropped ---- */

static void drop_request(struct exchange *exchange)
{
    if (is_aimed_at(exchange, false))
        exchange->to = NULL;
}

static void drop_answer(struct exchange *exchange)
{
    if (is_aimed_at(exchange, true))
        exchange->answer_len = 0;
}

static void what_is_dropped_is_silence_and_ends_in_time(void **state)
{
    (void)state;
    for (int at = 0; at < 4 * KINDS; at++) {
        aim.kind = (enum said)(at / 4);
        aim.answer = at & 1;
        struct client *client = open_device(at & 2, 500);
        int64_t sessions = state_of(HOME, "sessions");
        begin_play(drop_request, drop_answer);
        const struct outcome outcome = ask_once(client);
        check_outcome(&outcome, IO, "did not answer within 1 s");
        assert_true(between.sent[MESSAGE_1] <= 2 && between.sent[MESSAGE_3] <= 2);
        if (aim.kind != PROTECTED)
            assert_int_equal(0, between.sent[PROTECTED]);
        /* a hub that heard message 3 has a session, the device's own, for nobody else */
        assert_in_range(state_of(HOME, "sessions") - sessions, 0, between.sent[MESSAGE_3]);
        honest_again(client);
        client_close(client);
    }
}

/* ---- Replayed ---- */

static void relay_twice(struct exchange *exchange)
{
    static struct exchange first;
    if (exchange->kind != aim.kind)
        return;
    relay(exchange);
    first = *exchange;
    relay(exchange);
    if (!aim.second)
        *exchange = first;
    exchange->to = NULL;
}

static void what_comes_twice_works_once(void **state)
{
    (void)state;
    for (int at = 0; at < 4 * KINDS; at++) {
        aim.kind = (enum said)(at / 4);
        aim.second = at & 1;
        aim.answer = false;
        struct client *client = open_device(at & 2, 1500);
        int64_t sessions = state_of(HOME, "sessions"), events = state_of(HOME, "events");
        begin_play(relay_twice, NULL);
        const struct outcome outcome = ask_once(client);
        bool lost = aim.second && aim.kind != MESSAGE_1; /* two halves of handshakes are as good as one */
        if (!lost)
            check_outcome(&outcome, OK, "");
        else if (aim.kind == MESSAGE_3)
            check_outcome(&outcome, AUTH, "no handshake of that name");
        else
            check_outcome(&outcome, AUTH, "knows no session with this key");
        assert_int_equal(events + (lost && aim.kind == MESSAGE_3 ? 0 : 1), state_of(HOME, "events"));
        assert_true(state_of(HOME, "sessions") <= sessions + between.sent[MESSAGE_3]);
        if (aim.kind == MESSAGE_3 && lost)
            assert_int_equal(0, between.sent[PROTECTED]);
        honest_again(client);
        client_close(client);
    }
}

static void record(struct exchange *exchange)
{
    keep_exchange(exchange);
}

/* The answer of another run takes the place of this one's; the hub was asked or not. */
static void replay_answer(struct exchange *exchange)
{
    if (exchange->kind != aim.kind)
        return;
    if (aim.second)
        relay(exchange);
    exchange->to = NULL;
    exchange->answer_len = between.kept_answer_len[aim.kind];
    memcpy(exchange->answer, between.kept_answers[aim.kind], exchange->answer_len);
}

static void answers_of_an_earlier_run_convince_nobody(void **state)
{
    (void)state;
    struct client *recorded = open_device(false, 5000);
    begin_play(NULL, record);
    check_ok(ask_once(recorded).status);
    for (int at = 0; at < 2 * KINDS; at++) {
        aim.kind = (enum said)(at / 2);
        aim.second = at & 1;
        struct client *client = open_device(false, 1000);
        begin_play(replay_answer, NULL);
        const struct outcome outcome = ask_once(client);
        check_outcome(&outcome, AUTH,
                      aim.kind == PROTECTED ? "does not verify with this key"
                                            : "answers in the handshake does not verify");
        if (aim.kind != PROTECTED) {
            assert_int_equal(3, between.sent[MESSAGE_1]);
            assert_int_equal(0, between.sent[PROTECTED]);
        }
        honest_again(client);
        client_close(client);
    }
    honest_again(recorded);
    client_close(recorded);
}

static void requests_of_an_earlier_run_get_nothing_out_of_the_hub(void **state)
{
    (void)state;
    static struct exchange again;
    struct client *client = open_device(false, 5000);
    begin_play(NULL, record);
    check_ok(ask_once(client).status);
    int64_t sessions = state_of(HOME, "sessions"), events = state_of(HOME, "events");
    for (int i = 0; i < 2 * KINDS; i++) {
        enum said kind = (enum said)(i % KINDS);
        struct coap_body answer;
        again = (struct exchange){.kind = kind, .to = places[HOME].hub, .transport = DOOR_COAP};
        memcpy(again.request, between.kept[kind], again.request_len = between.kept_len[kind]);
        relay(&again);
        check_ok(coap_body_decode(bytes_from(again.answer, again.answer_len), &answer));
        /* a first message is anybody's: its answer, for other keys, is of no use to who cannot go on */
        assert_int_equal(kind == MESSAGE_1   ? COAP_CHANGED
                         : kind == MESSAGE_3 ? COAP_BAD_REQUEST
                                             : COAP_UNAUTHORIZED,
                         answer.code);
    }
    assert_int_equal(sessions, state_of(HOME, "sessions"));
    assert_int_equal(events, state_of(HOME, "events"));
    honest_again(client); /* in the session it had */
    assert_int_equal(0, between.sent[MESSAGE_1]);
    client_close(client);
}

/* ---- Reordered ---- */

/* Two answers of one kind change places. */
static void exchange_answers(struct exchange *exchange)
{
    if (exchange->kind != aim.kind)
        return;
    if (!aim.held) {
        aim.held = exchange->channel;
        memcpy(aim.held_answer, exchange->answer, aim.held_len = exchange->answer_len);
        exchange->answer_len = 0;
        return;
    }
    tell(aim.held, bytes_from(exchange->answer, exchange->answer_len));
    memcpy(exchange->answer, aim.held_answer, exchange->answer_len = aim.held_len);
    aim.held = 0;
}

static void play_two(struct client *clients[2], struct outcome outcomes[2])
{
    uint64_t begun_ms = clock_now_ms();
    for (int i = 0; i < 2; i++)
        begin_event(clients[i], &outcomes[i]);
    while (!outcomes[0].over || !outcomes[1].over) {
        play_on(clients[0]);
        if (clients[1] != clients[0])
            play_on(clients[1]);
        assert_true(clock_now_ms() - begun_ms < PATIENCE_MS);
    }
}

static void answers_of_two_handshakes_that_change_places_convince_neither(void **state)
{
    (void)state;
    for (aim.kind = MESSAGE_1; aim.kind <= MESSAGE_3; aim.kind++) {
        struct client *clients[2] = {open_device(false, 2000), open_device(false, 2000)};
        struct outcome outcomes[2];
        aim.held = 0;
        begin_play(NULL, exchange_answers);
        play_two(clients, outcomes);
        for (int i = 0; i < 2; i++)
            check_outcome(&outcomes[i], AUTH, "answers in the handshake does not verify");
        assert_int_equal(0, between.sent[PROTECTED]);
        for (int i = 0; i < 2; i++) {
            honest_again(clients[i]);
            client_close(clients[i]);
        }
    }
}

static void answers_of_two_requests_that_change_places_are_taken_by_neither(void **state)
{
    (void)state;
    struct client *client = open_device(false, 1000), *both[2] = {client, client};
    struct outcome outcomes[2];
    begin_play(NULL, NULL);
    check_ok(ask_once(client).status);
    aim.kind = PROTECTED;
    aim.held = 0;
    int64_t events = state_of(HOME, "events");
    begin_play(NULL, exchange_answers);
    play_two(both, outcomes);
    for (int i = 0; i < 2; i++)
        assert_int_not_equal(OK, outcomes[i].status);
    assert_in_range(state_of(HOME, "events") - events, 1, 2); /* done, whoever heard of it: each once */
    honest_again(client);
    client_close(client);
}

/* ---- Led elsewhere ---- */

static void lead_elsewhere(struct exchange *exchange)
{
    if (exchange->kind == aim.kind)
        exchange->to = places[aim.to].hub;
}

static void lead_all_elsewhere(struct exchange *exchange)
{
    exchange->to = places[aim.to].hub;
}

static void a_hub_of_another_owner_or_site_is_known_by_its_certificate(void **state)
{
    (void)state;
    static const struct {
        unsigned to;
        uint32_t reason;
        const char *why;
    } rows[] = {{OTHER_OWNER, 1u << X509_OTHER_OWNER, "owner"}, {OTHER_SITE, 1u << X509_OTHER_SITE, "site"}};
    for (size_t i = 0; i < 2; i++) {
        struct client *client = open_device(false, 2000);
        aim.to = rows[i].to;
        begin_play(lead_all_elsewhere, NULL);
        const struct outcome outcome = ask_once(client);
        check_outcome(&outcome, DENIED, rows[i].why);
        assert_int_equal(rows[i].reason, device.x509 & (0 - device.x509)); /* the first is what is said */
        /* who we are was not said, let alone more */
        assert_int_equal(1, between.sent[MESSAGE_1]);
        assert_int_equal(0, between.sent[MESSAGE_3]);
        assert_int_equal(0, between.sent[PROTECTED]);
        assert_int_equal(1, state_of(aim.to, "sessions"));
        honest_again(client);
        client_close(client);
    }
}

/* The certificate is of the right owner and site, but that hub's store knows no such device. */
static void another_instance_of_the_same_site_gets_no_request(void **state)
{
    (void)state;
    struct client *client = open_device(false, 2000);
    aim.to = TWIN;
    begin_play(lead_all_elsewhere, NULL);
    const struct outcome outcome = ask_once(client);
    check_outcome(&outcome, AUTH, "refused the handshake: \"refused\"");
    assert_int_equal(0, between.sent[PROTECTED]);
    assert_int_equal(1, state_of(TWIN, "sessions"));
    honest_again(client);
    client_close(client);
}

static void one_message_that_is_led_elsewhere_ends_the_handshake(void **state)
{
    (void)state;
    for (aim.to = OTHER_OWNER; aim.to < PLACES; aim.to++) {
        struct client *client = open_device(false, 2000);
        int64_t sessions = state_of(HOME, "sessions");
        aim.kind = MESSAGE_3;
        begin_play(lead_elsewhere, NULL);
        const struct outcome outcome = ask_once(client);
        /* by chance it has a handshake of that name; then the message does not verify */
        check_outcome(&outcome, AUTH, "refused the handshake: \"");
        assert_int_equal(3, between.sent[MESSAGE_3]);
        assert_int_equal(0, between.sent[PROTECTED]);
        assert_int_equal(sessions, state_of(HOME, "sessions"));
        assert_int_equal(1, state_of(aim.to, "sessions"));
        honest_again(client);
        client_close(client);
    }
}

static void a_request_that_is_led_elsewhere_is_read_by_nobody(void **state)
{
    (void)state;
    for (aim.to = OTHER_OWNER; aim.to < PLACES; aim.to++) {
        struct client *client = open_device(false, 1000);
        int64_t home_events = state_of(HOME, "events"), events = state_of(aim.to, "events");
        aim.kind = PROTECTED;
        begin_play(lead_elsewhere, NULL);
        const struct outcome outcome = ask_once(client);
        check_outcome(&outcome, AUTH, "knows no session with this key");
        assert_int_equal(home_events, state_of(HOME, "events"));
        assert_int_equal(events, state_of(aim.to, "events"));
        honest_again(client);
        client_close(client);
    }
}

int main(void)
{
#define play_test(name) cmocka_unit_test_setup_teardown(name, set_up_hostile, tear_down_hostile)
    const struct CMUnitTest tests[] = {
        play_test(an_honest_gateway_relays_a_handshake_and_what_follows),
        play_test(what_is_dropped_is_silence_and_ends_in_time),
        play_test(what_comes_twice_works_once),
        play_test(answers_of_an_earlier_run_convince_nobody),
        play_test(requests_of_an_earlier_run_get_nothing_out_of_the_hub),
        play_test(answers_of_two_handshakes_that_change_places_convince_neither),
        play_test(answers_of_two_requests_that_change_places_are_taken_by_neither),
        play_test(a_hub_of_another_owner_or_site_is_known_by_its_certificate),
        play_test(another_instance_of_the_same_site_gets_no_request),
        play_test(one_message_that_is_led_elsewhere_ends_the_handshake),
        play_test(a_request_that_is_led_elsewhere_is_read_by_nobody),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
