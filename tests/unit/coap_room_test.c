/* The room for bodies that travel block-wise, in which anybody may begin without showing that he receives: whoever
 * leaves one half done gives way to who goes on. */
#include "../coap_ask.h"

static const struct coap_block first_block = {0, true, 6}, second_block = {1, true, 6}, last_block = {2, false, 6};

static void begin_a_body_from(uint32_t number)
{
    const struct coap_peer peer = {.len = 5, .data = {(uint8_t)number, (uint8_t)(number >> 8), 9, 9, 9}};
    now_ms++;
    ask((struct question){.peer = &peer, .protected = true, .block1 = &first_block, .payload_len = 1024});
    assert_int_equal(COAP_CONTINUE, answer.code);
}

static void half_a_body_from_each_of_a_thousand_addresses_keeps_nobody_from_going_on(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i += 2) {
        begin_a_body_from(i);
        if (i % 20)
            continue;
        ask((struct question){.protected = true, .block1 = &first_block, .payload_len = 1024});
        assert_int_equal(COAP_CONTINUE, answer.code);
        begin_a_body_from(i + 1);
        now_ms++;
        ask((struct question){.protected = true, .block1 = &second_block, .payload_len = 1024});
        assert_int_equal(COAP_CONTINUE, answer.code);
        for (uint32_t more = 0; more < 3; more++) /* four places: who moved last is the last to go */
            begin_a_body_from(2000 + 3 * i + more);
        ask((struct question){.protected = true, .block1 = &last_block, .payload_len = 10});
        assert_int_equal(2 * 1024 + 10, event.body.payload.len);
        check_handed_on();
    }
    struct coap_counts counts = coap_endpoint_counts(endpoint);
    assert_true(counts.bodies <= 4 && counts.exchanges <= 4 && counts.peers <= 4);
}

static void who_does_not_go_on_gives_way_and_is_told_when_he_does(void **state)
{
    (void)state;
    ask((struct question){.protected = true, .block1 = &first_block, .payload_len = 1024});
    assert_int_equal(COAP_CONTINUE, answer.code);
    for (uint32_t i = 0; i < 4; i++)
        begin_a_body_from(i);
    ask((struct question){.protected = true, .block1 = &second_block, .payload_len = 1024});
    assert_int_equal(COAP_INCOMPLETE, answer.code);
}

static void half_bodies_leave_room_for_a_long_answer_and_its_fetching(void **state)
{
    (void)state;
    static const uint8_t payload[3000];
    const struct coap_block second = {1, false, 6}, third = {2, false, 6};
    const struct coap_body large = {COAP_CHANGED, {0}, BYTES_OF(payload)};
    for (uint32_t i = 0; i < 10; i++)
        begin_a_body_from(i);
    ask((struct question){.protected = true});
    assert_int_equal(COAP_REQUEST, event.kind);
    check_ok(coap_respond(endpoint, now_ms, event.handle, &large));
    hear();
    assert_int_equal(1024, answer.payload.len);
    for (uint32_t i = 10; i < 13; i++)
        begin_a_body_from(i);
    ask((struct question){.protected = true, .block2 = &second});
    assert_int_equal(1024, answer.payload.len);
    for (uint32_t i = 13; i < 16; i++)
        begin_a_body_from(i);
    ask((struct question){.protected = true, .block2 = &third});
    assert_int_equal(3000 - 2048, answer.payload.len);
}

/* An observation's state is kept for who fetches it: when all room goes for those, there is none, and that is said. */
static void what_the_caller_shows_to_observers_does_not_give_way(void **state)
{
    (void)state;
    static const uint8_t payload[3000], observe[] = {0x61, 1};
    const struct coap_body large = {COAP_CONTENT, BYTES_OF(observe), BYTES_OF(payload)};
    for (uint8_t i = 0; i < 4; i++) {
        const struct coap_peer peer = {.len = 2, .data = {i, 7}};
        ask((struct question){.peer = &peer, .code = COAP_GET, .protected = true, .observe = true});
        assert_int_equal(COAP_REQUEST, event.kind);
        check_ok(coap_respond(endpoint, now_ms, event.handle, &large));
        hear();
        assert_int_equal(1024, answer.payload.len);
    }
    ask((struct question){.protected = true, .block1 = &first_block, .payload_len = 1024});
    assert_int_equal(COAP_UNAVAILABLE, answer.code);
    assert_int_equal(4, coap_endpoint_counts(endpoint).exchanges);
}

int main(void)
{
#define room_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        room_test(half_a_body_from_each_of_a_thousand_addresses_keeps_nobody_from_going_on),
        room_test(who_does_not_go_on_gives_way_and_is_told_when_he_does),
        room_test(half_bodies_leave_room_for_a_long_answer_and_its_fetching),
        room_test(what_the_caller_shows_to_observers_does_not_give_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
