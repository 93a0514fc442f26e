/* coap: two endpoints over a wire that loses, doubles, delays and reorders. First each datagram of an exchange suffers
 * alone, in every way: the exchange must succeed. Then all suffer at once: it must end. */
#include "coap_rig.h"

/* ---- one datagram suffers ---- */

static const struct {
    size_t up_len, down_len;
    unsigned answer_delay_ms;
} exchanges[] = {{0, 5, 0}, {5, 5, 700}, {5000, 5, 0}, {0, 5000, 0}, {5000, 5000, 700}, {1100, 1100, 0}};

static void converse_over(const char *echo_path, size_t which, size_t victim, enum fate fate)
{
    begin_guarded(echo_path);
    world.victim = victim;
    world.fate = fate;
    world.answer_delay_ms = exchanges[which].answer_delay_ms;
    ask(exchanges[which].up_len, exchanges[which].down_len, false);
    run_to_the_end();
    const struct request *request = &world.requests[0];
    if (request->served != 1 || request->answered != 1 || request->failed)
        print_message("exchange %zu, datagram %zu, fate %d\n", which, victim, (int)fate);
    assert_int_equal(1, request->served);
    assert_int_equal(1, request->answered);
    assert_int_equal(0, request->failed);
    check_nothing_is_held();
}

static void converse(size_t which, size_t victim, enum fate fate)
{
    converse_over(NULL, which, victim, fate);
}

static void whatever_befalls_one_datagram_the_request_is_served_and_answered_once(void **state)
{
    (void)state;
    for (size_t which = 0; which < sizeof exchanges / sizeof *exchanges; which++) {
        converse(which, SIZE_MAX, ARRIVES);
        size_t count = world.sent;
        assert_true(count >= 2);
        for (size_t victim = 0; victim < count; victim++)
            for (enum fate fate = LOST; fate < FATES; fate++)
                converse(which, victim, fate);
    }
}

/* The same where an Echo is asked for first (RFC 9175 §2.3). When the question or its answer was held up until the
 * value is no longer good, it is asked once more. */
static void whatever_befalls_one_datagram_a_request_that_needs_an_echo_is_served_and_answered_once(void **state)
{
    (void)state;
    for (size_t which = 0; which < sizeof exchanges / sizeof *exchanges; which++) {
        converse_over("a", which, SIZE_MAX, ARRIVES);
        assert_int_equal(1, world.requests[0].echoes);
        size_t count = world.sent;
        for (size_t victim = 0; victim < count; victim++)
            for (enum fate fate = LOST; fate < FATES; fate++) {
                converse_over("a", which, victim, fate);
                assert_in_range(world.requests[0].echoes, 1, 2);
            }
    }
}

/* RFC 7252 §4.5: within EXCHANGE_LIFETIME a message id is known. */
static void every_datagram_again_just_within_the_lifetime_reaches_nobody(void **state)
{
    (void)state;
    for (size_t which = 0; which < sizeof exchanges / sizeof *exchanges; which++) {
        converse(which, SIZE_MAX, ARRIVES);
        size_t count = world.sent;
        assert_true(world.now_ms < COAP_EXCHANGE_LIFETIME_MS);
        for (size_t i = 0; i < count; i++) {
            world.now_ms = world.now_ms < COAP_EXCHANGE_LIFETIME_MS - 1 ? COAP_EXCHANGE_LIFETIME_MS - 1 : world.now_ms;
            arrive(world.history[i]);
            world.wire_count = 0;
        }
        assert_int_equal(1, world.requests[0].served);
        assert_int_equal(1, world.requests[0].answered);
    }
}

/* ---- all suffer ---- */

static void chaos(bool confirmable)
{
    unsigned answered = 0;
    for (unsigned seed = 1; seed <= 150; seed++) {
        begin();
        world.chaos = seed;
        world.confirmable = confirmable;
        world.answer_delay_ms = seed % 3 * 150;
        for (size_t i = 0; i < 10; i++)
            ask(i % 4 == 0 ? 3000 : i % 2 * 20, i % 3 == 0 ? 2500 : 30, false);
        run_to_the_end();
        for (size_t i = 0; i < 10; i++) {
            const struct request *request = &world.requests[i];
            assert_true(request->served <= 1);
            assert_int_equal(1, request->answered + request->failed);
            assert_true(request->served || !request->answered);
            answered += request->answered;
        }
        check_nothing_is_held();
    }
    /* 20 % lost: with four repetitions nearly all come through, without any many do not */
    assert_true(confirmable ? answered > 1400 : answered > 300 && answered < 1400);
}

static void on_a_wire_of_chaos_every_confirmable_request_ends_exactly_once(void **state)
{
    (void)state;
    chaos(true);
}

static void on_a_wire_of_chaos_every_other_request_ends_exactly_once(void **state)
{
    (void)state;
    chaos(false);
}

static void a_dead_wire_fails_every_request_once(void **state)
{
    (void)state;
    for (size_t which = 0; which < sizeof exchanges / sizeof *exchanges; which++) {
        begin();
        world.deaf = true;
        ask(exchanges[which].up_len, exchanges[which].down_len, false);
        run_to_the_end();
        assert_int_equal(0, world.requests[0].served);
        assert_int_equal(1, world.requests[0].failed);
        /* RFC 7252 §4.8.2: 2 + 4 + 8 + 16 + 32 seconds, times 1 to 1.5 */
        assert_int_equal(1 + COAP_MAX_RETRANSMIT, world.sent);
        assert_in_range(world.now_ms, 62000, COAP_MAX_TRANSMIT_WAIT_MS + 1);
        check_nothing_is_held();
    }
}

/* ---- observations ---- */

static void watch(size_t len)
{
    ask(0, len, true);
    run_until(world.now_ms + 300000);
    assert_int_equal(1, world.requests[0].served);
    assert_int_equal(1, world.notified_count);
    assert_int_not_equal(0, world.watcher);
}

static void notify(unsigned sequence)
{
    struct bytes payload = pattern(sequence, true, world.requests[0].down_len);
    struct coap_body body = body_of(COAP_CONTENT, 0, sequence > 0, sequence, payload);
    world.acknowledged = false;
    check_ok(coap_notify(world.ends[SERVER], world.now_ms, world.watcher, &body, true));
    check_status(BUSY, coap_notify(world.ends[SERVER], world.now_ms, world.watcher, &body, true));
    drain(SERVER);
}

static void observe(size_t len, size_t victim, enum fate fate)
{
    begin();
    world.victim = victim;
    world.fate = fate;
    watch(len);
    for (unsigned sequence = 2; sequence <= 4; sequence++) {
        notify(sequence);
        run_until(world.now_ms + 300000);
        assert_true(world.acknowledged);
        assert_int_equal(sequence, world.notified_count);
    }
    struct coap_body last = body_of(COAP_CONTENT, 0, false, 0, pattern(0, true, len));
    check_ok(coap_notify(world.ends[SERVER], world.now_ms, world.watcher, &last, true));
    drain(SERVER);
    run_to_the_end();
    assert_int_equal(1, world.requests[0].answered);
    assert_int_equal(0, world.requests[0].failed);
    assert_false(world.cancelled);
    check_nothing_is_held();
}

static void whatever_befalls_one_datagram_every_notification_comes_once_and_in_order(void **state)
{
    (void)state;
    static const size_t lens[] = {20, 2500};
    for (size_t i = 0; i < 2; i++) {
        observe(lens[i], SIZE_MAX, ARRIVES);
        size_t count = world.sent;
        for (size_t victim = 0; victim < count; victim++)
            for (enum fate fate = LOST; fate < FATES; fate++)
                observe(lens[i], victim, fate);
    }
}

/* RFC 7641 §3.4 */
static void a_notification_that_comes_after_a_newer_one_is_not_told(void **state)
{
    (void)state;
    begin();
    watch(20);
    world.victim = world.sent;
    world.fate = LATE;
    for (unsigned sequence = 2; sequence <= 3; sequence++) {
        struct coap_body body = body_of(COAP_CONTENT, 0, true, sequence, pattern(sequence, true, 20));
        check_ok(coap_notify(world.ends[SERVER], world.now_ms, world.watcher, &body, false));
        drain(SERVER);
        run_until(world.now_ms + 100);
    }
    run_until(world.now_ms + 10000);
    assert_int_equal(2, world.notified_count);
    assert_int_equal(3, world.last_told);
}

/* RFC 7641 §4.5: a client whose acknowledgements do not come is given up, though it was told. */
static void a_client_whose_acknowledgements_are_lost_is_told_once_and_given_up(void **state)
{
    (void)state;
    begin();
    watch(20);
    world.deaf = true;
    size_t before = world.sent;
    notify(2);
    run_to_the_end();
    assert_int_equal(2, world.notified_count);
    assert_true(world.cancelled);
    assert_int_equal(COAP_TIMED_OUT, world.why);
    /* every repetition is acknowledged again */
    assert_int_equal(2 * (1 + COAP_MAX_RETRANSMIT), world.sent - before);
    struct coap_body body = body_of(COAP_CONTENT, 0, true, 3, (struct bytes){0});
    check_status(NOT_FOUND, coap_notify(world.ends[SERVER], world.now_ms, world.watcher, &body, true));
}

/* RFC 7641 §3.6 */
static void a_forgotten_observation_ends_even_when_its_resets_are_lost(void **state)
{
    (void)state;
    for (size_t victim = 0; victim < 12; victim++) {
        for (enum fate fate = LOST; fate < FATES; fate++) {
            begin();
            watch(20);
            coap_cancel(world.ends[CLIENT], world.requests[0].handle);
            world.victim = world.sent + victim;
            world.fate = fate;
            notify(2);
            run_to_the_end();
            assert_true(world.cancelled);
            assert_int_equal(COAP_RESET, world.why);
            assert_int_equal(1, world.notified_count);
            check_nothing_is_held();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_befalls_one_datagram_the_request_is_served_and_answered_once),
        cmocka_unit_test(whatever_befalls_one_datagram_a_request_that_needs_an_echo_is_served_and_answered_once),
        cmocka_unit_test(every_datagram_again_just_within_the_lifetime_reaches_nobody),
        cmocka_unit_test(on_a_wire_of_chaos_every_confirmable_request_ends_exactly_once),
        cmocka_unit_test(on_a_wire_of_chaos_every_other_request_ends_exactly_once),
        cmocka_unit_test(a_dead_wire_fails_every_request_once),
        cmocka_unit_test(whatever_befalls_one_datagram_every_notification_comes_once_and_in_order),
        cmocka_unit_test(a_notification_that_comes_after_a_newer_one_is_not_told),
        cmocka_unit_test(a_client_whose_acknowledgements_are_lost_is_told_once_and_given_up),
        cmocka_unit_test(a_forgotten_observation_ends_even_when_its_resets_are_lost),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(world.memory[0]);
    free(world.memory[1]);
    return failed;
}
