/* RFC 9175's Echo in the exchange machine: who does not receive at the address a request names gets neither an answer
 * worth having nor a place in any table. */
#include "../coap_ask.h"

#define UDP_IP_LEN 28 /* the least that goes around a datagram */

/* The value that was given; it stands in answer_room, so it is copied. */
static struct bytes given(uint8_t room[40])
{
    struct bytes value;
    assert_true(answered);
    assert_int_equal(COAP_UNAUTHORIZED, answer.code);
    assert_true(coap_option_find(answer.options, COAP_ECHO, &value));
    assert_true(value.len >= 1 && value.len <= 40); /* RFC 9175 §2.2.1 */
    memcpy(room, value.data, value.len);
    return bytes_from(room, value.len);
}

static void check_asked_for_an_echo(void)
{
    uint8_t room[40];
    assert_int_equal(COAP_NOTHING, event.kind);
    (void)given(room);
}

static void check_nothing_is_held(void)
{
    struct coap_counts counts = coap_endpoint_counts(endpoint);
    assert_int_equal(0, counts.exchanges);
    assert_int_equal(0, counts.peers);
    assert_int_equal(0, counts.bodies);
}

static void a_stranger_is_asked_for_an_echo_and_handed_on_with_it(void **state)
{
    (void)state;
    uint8_t room[40];
    ask((struct question){.payload_len = 40});
    assert_int_equal(COAP_NOTHING, event.kind);
    assert_int_equal(COAP_ACK, answer_type);
    struct bytes echo = given(room);
    check_nothing_is_held();
    ask((struct question){.echo = &echo, .payload_len = 40});
    check_handed_on();
    ask((struct question){.echo = &echo, .type = COAP_NON});
    check_handed_on();
}

static void what_is_not_confirmable_is_asked_the_same_way(void **state)
{
    (void)state;
    uint8_t room[40];
    ask((struct question){.type = COAP_NON});
    assert_int_equal(COAP_NON, answer_type);
    struct bytes echo = given(room);
    ask((struct question){.echo = &echo});
    check_handed_on();
}

/* RFC 9175 §2.4 (3) allows three times as much; the least request there is for that path gets less than that. */
static void the_question_is_small(void **state)
{
    (void)state;
    ask((struct question){.type = COAP_NON});
    check_asked_for_an_echo();
    assert_true(answer_len <= 15);
    assert_true(answer_len <= 3 * request_len);
    begin(1, ".well-known/edhoc");
    ask((struct question){.path = ".well-known/edhoc"});
    check_asked_for_an_echo();
    assert_true(answer_len < request_len);
}

static void a_value_is_good_for_a_period_and_never_for_more_than_two(void **state)
{
    (void)state;
    uint8_t room[40];
    for (uint64_t into = 0; into < COAP_ECHO_MS; into += COAP_ECHO_MS / 8) {
        uint64_t made_ms = 10 * COAP_ECHO_MS + into;
        now_ms = made_ms;
        ask((struct question){0});
        struct bytes echo = given(room);
        for (uint64_t age = 0; age <= COAP_ECHO_MS; age += COAP_ECHO_MS / 4) {
            now_ms = made_ms + age;
            ask((struct question){.echo = &echo});
            check_handed_on();
        }
        now_ms = made_ms + 2 * COAP_ECHO_MS;
        ask((struct question){.echo = &echo});
        check_asked_for_an_echo();
        now_ms = made_ms + 1000 * COAP_ECHO_MS;
        ask((struct question){.echo = &echo});
        check_asked_for_an_echo();
    }
}

static void the_first_moments_of_the_clock_are_no_exception(void **state)
{
    (void)state;
    uint8_t room[40];
    const uint8_t nothing[8] = {0};
    const struct bytes zeros = BYTES_OF(nothing);
    now_ms = 0;
    ask((struct question){.echo = &zeros});
    struct bytes echo = given(room);
    ask((struct question){.echo = &echo});
    check_handed_on();
}

static void every_flipped_bit_and_every_other_length_is_refused(void **state)
{
    (void)state;
    uint8_t room[40], bent[41] = {0};
    ask((struct question){0});
    struct bytes echo = given(room);
    for (size_t bit = 0; bit < 8 * echo.len; bit++) {
        memcpy(bent, echo.data, echo.len);
        bent[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const struct bytes other = bytes_from(bent, echo.len);
        ask((struct question){.echo = &other});
        check_asked_for_an_echo();
    }
    memcpy(bent, echo.data, echo.len);
    for (size_t len = 0; len <= sizeof bent; len++) {
        const struct bytes other = bytes_from(bent, len);
        ask((struct question){.echo = &other});
        if (len == echo.len)
            check_handed_on();
        else
            check_asked_for_an_echo();
    }
}

static void a_value_is_of_one_address(void **state)
{
    (void)state;
    uint8_t room[40];
    ask((struct question){0});
    struct bytes echo = given(room);
    for (size_t i = 0; i < 8u * alice.len; i++) {
        struct coap_peer other = alice;
        other.data[i / 8] ^= (uint8_t)(1u << i % 8);
        ask((struct question){.echo = &echo, .peer = &other});
        check_asked_for_an_echo();
    }
    const struct coap_peer shorter = {.len = 2, .data = {1, 2}}, longer = {.len = 4, .data = {1, 2, 3, 0}};
    ask((struct question){.echo = &echo, .peer = &shorter});
    check_asked_for_an_echo();
    ask((struct question){.echo = &echo, .peer = &longer});
    check_asked_for_an_echo();
    ask((struct question){.echo = &echo});
    check_handed_on();
}

static void a_value_of_another_start_is_none(void **state)
{
    (void)state;
    uint8_t room[40];
    ask((struct question){0});
    struct bytes echo = given(room);
    begin(2, PATH);
    ask((struct question){.echo = &echo});
    check_asked_for_an_echo();
    begin(1, PATH); /* the same key: the refusal was the key's doing */
    ask((struct question){.echo = &echo});
    check_handed_on();
}

static void other_paths_and_what_is_protected_are_not_asked(void **state)
{
    (void)state;
    static const char *const others[] = {"a", "b", "a/b/c", "a/bc", "A/b", "c"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        ask((struct question){.path = others[i]});
        check_handed_on();
    }
    ask((struct question){.protected = true});
    check_handed_on();
    begin(1, NULL);
    ask((struct question){0});
    check_handed_on();
}

static void a_body_is_not_gathered_for_a_stranger(void **state)
{
    (void)state;
    uint8_t room[40];
    const struct coap_block first = {0, true, 2}, second = {1, true, 2}, last = {2, false, 2};
    ask((struct question){.block1 = &first, .payload_len = 64});
    struct bytes echo = given(room);
    check_nothing_is_held();
    ask((struct question){.block1 = &second, .payload_len = 64});
    assert_int_equal(COAP_INCOMPLETE, answer.code);
    assert_true(answer_len <= 3 * request_len);
    check_nothing_is_held();
    /* with it, whole; later blocks may leave it out, or come when it is no longer good */
    ask((struct question){.block1 = &first, .payload_len = 64, .echo = &echo});
    assert_int_equal(COAP_CONTINUE, answer.code);
    ask((struct question){.block1 = &second, .payload_len = 64});
    assert_int_equal(COAP_CONTINUE, answer.code);
    now_ms += 2 * COAP_ECHO_MS;
    ask((struct question){.block1 = &last, .payload_len = 10, .echo = &echo});
    assert_int_equal(138, event.body.payload.len);
    check_handed_on();
}

static void a_long_answer_is_fetched_by_who_was_verified(void **state)
{
    (void)state;
    static const uint8_t payload[3000];
    uint8_t room[40];
    const struct coap_block second = {1, false, 6}, third = {2, false, 6};
    const struct coap_peer mallory = {.len = 3, .data = {6, 6, 6}};
    const struct coap_body large = {COAP_CHANGED, {0}, BYTES_OF(payload)};
    ask((struct question){0});
    struct bytes echo = given(room);
    ask((struct question){.echo = &echo});
    assert_int_equal(COAP_REQUEST, event.kind);
    check_ok(coap_respond(endpoint, now_ms, event.handle, &large));
    hear();
    assert_int_equal(1024, answer.payload.len);
    ask((struct question){.block2 = &second, .echo = &echo});
    assert_int_equal(1024, answer.payload.len);
    ask((struct question){.block2 = &third, .peer = &mallory});
    assert_int_equal(COAP_INCOMPLETE, answer.code);
    assert_true(answer_len <= 3 * request_len);
    ask((struct question){.block2 = &third}); /* some peers repeat the option, some do not */
    assert_int_equal(3000 - 2048, answer.payload.len);
    check_nothing_is_held();
}

static void a_repeated_datagram_is_asked_the_same_again(void **state)
{
    (void)state;
    uint8_t first[COAP_DATAGRAM_MAX];
    ask((struct question){0});
    check_asked_for_an_echo();
    size_t len = answer_len;
    memcpy(first, answer_room, len);
    for (int i = 0; i < 5; i++) {
        ask((struct question){.same_id = true});
        check_asked_for_an_echo();
        check_bytes(bytes_from(first, len), bytes_from(answer_room, answer_len));
    }
}

static void a_hundred_thousand_strangers_leave_nothing(void **state)
{
    (void)state;
    const struct coap_block first = {0, true, 6};
    uint8_t room[40];
    ask((struct question){0});
    struct bytes echo = given(room);
    for (uint32_t i = 0; i < 100000; i++) {
        struct coap_peer peer = {.len = 6, .data = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 9, 9, 9}};
        ask((struct question){.peer = &peer, .block1 = i % 2 ? &first : NULL, .payload_len = 1024});
        check_asked_for_an_echo();
        assert_true(answer_len + UDP_IP_LEN < request_len);
    }
    check_nothing_is_held();
    assert_true(coap_endpoint_counts(endpoint).recents <= 64);
    ask((struct question){.echo = &echo}); /* and who was given one before comes through */
    check_handed_on();
}

int main(void)
{
#define echo_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        echo_test(a_stranger_is_asked_for_an_echo_and_handed_on_with_it),
        echo_test(what_is_not_confirmable_is_asked_the_same_way),
        echo_test(the_question_is_small),
        echo_test(a_value_is_good_for_a_period_and_never_for_more_than_two),
        echo_test(the_first_moments_of_the_clock_are_no_exception),
        echo_test(every_flipped_bit_and_every_other_length_is_refused),
        echo_test(a_value_is_of_one_address),
        echo_test(a_value_of_another_start_is_none),
        echo_test(other_paths_and_what_is_protected_are_not_asked),
        echo_test(a_body_is_not_gathered_for_a_stranger),
        echo_test(a_long_answer_is_fetched_by_who_was_verified),
        echo_test(a_repeated_datagram_is_asked_the_same_again),
        echo_test(a_hundred_thousand_strangers_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
