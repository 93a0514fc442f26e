/* OSCORE sessions: Appendix B.2 in both roles, each message at every step, in and out of order (RFC 8613 B.2). */
#include "oscore_rig.h"

/* A run of Appendix B.2 with its four messages kept. */
struct run {
    struct rig rig;
    struct oscore_request first_asked, second_asked;
    struct rig_message first, challenge, second, answer;
};

enum run_step { ASKED, CHALLENGED, ASKED_AGAIN, TAKEN, DONE };

static void run_to(struct run *run, enum run_step step)
{
    struct rig_opened opened;
    rig_start(&run->rig, CRYPTO_AES_CCM_16_64_128);
    check_ok(rig_ask(&run->rig.client, "first", RIG_PLAIN, &run->first_asked, &run->first));
    if (step >= CHALLENGED) {
        check_status(BUSY, rig_take(&run->rig.server, &run->first, &opened));
        run->challenge = opened.challenge;
    }
    if (step >= ASKED_AGAIN) {
        check_status(BUSY, rig_hear(&run->rig.client, &run->first_asked, &run->challenge, &opened));
        check_ok(rig_ask(&run->rig.client, "second", RIG_PLAIN, &run->second_asked, &run->second));
    }
    if (step >= TAKEN) {
        check_ok(rig_take(&run->rig.server, &run->second, &opened));
        rig_expect(&opened, "second");
        check_ok(rig_answer(&run->rig.server, &opened.request, "answer", RIG_PLAIN, false, &run->answer));
    }
    if (step >= DONE) {
        check_ok(rig_hear(&run->rig.client, &run->second_asked, &run->answer, &opened));
        rig_expect(&opened, "answer");
    }
}

static void expect_taken(struct run *run, enum status want, const struct rig_message *message)
{
    static struct rig_opened opened;
    check_status(want, rig_take(&run->rig.server, message, &opened));
    assert_int_equal(opened.challenge.len > 0, want == BUSY);
    opened.challenge.len = 0;
    if (want != OK)
        rig_expect_nothing(&opened);
}

static void expect_heard(struct run *run, enum status want, struct oscore_request *asked,
                         const struct rig_message *message)
{
    static struct rig_opened opened;
    check_status(want, rig_hear(&run->rig.client, asked, message, &opened));
    assert_int_equal(opened.body.code != 0, want == OK);
    assert_int_equal(opened.plain_len > 0, want == OK);
}

static void the_four_messages_say_what_appendix_b_2_says(void **state)
{
    (void)state;
    static struct run run;
    run_to(&run, DONE);
    struct oscore_option first = rig_option(&run.first), challenge = rig_option(&run.challenge),
                         second = rig_option(&run.second), answer = rig_option(&run.answer);
    /* Each ID Context, and R2, as a CBOR byte string. */
    assert_int_equal(first.kid_context.len, 1 + OSCORE_PART_LEN);
    assert_int_equal(first.kid_context.data[0], 0x40 + OSCORE_PART_LEN);
    assert_int_equal(challenge.kid_context.len, 1 + OSCORE_PART_LEN);
    assert_int_equal(second.kid_context.len, 1 + 2 * OSCORE_PART_LEN);
    check_bytes(bytes_slice(challenge.kid_context, 1, OSCORE_PART_LEN),
                bytes_slice(second.kid_context, 1, OSCORE_PART_LEN));
    assert_true(first.has_kid && second.has_kid && !challenge.has_kid && !answer.has_kid);
    assert_false(answer.has_kid_context);
    assert_int_equal(challenge.partial_iv_len, 1); /* R2's context answers more than one request #1 */
    assert_true(oscore_context_is(&run.rig.client.current, bytes_slice(second.kid_context, 1, 2 * OSCORE_PART_LEN)));
    /* Both have the third context and nothing else; the next request names no context. */
    assert_true(oscore_context_is(&run.rig.server.current, oscore_id_context(&run.rig.client.current)));
    assert_int_equal(run.rig.client.begun.sender.alg, 0);
    assert_int_equal(run.rig.server.begun.sender.alg, 0);
    check_ok(rig_ask(&run.rig.client, "third", RIG_PLAIN, &run.first_asked, &run.first));
    assert_false(rig_option(&run.first).has_kid_context);
    expect_taken(&run, OK, &run.first);
    rig_stop(&run.rig);
}

static void the_server_takes_each_message_only_at_its_step(void **state)
{
    (void)state;
    static const struct {
        enum run_step step;
        enum status first, second; /* of request #1 and #2, once more */
    } rows[] = {{CHALLENGED, BUSY, OK}, {ASKED_AGAIN, BUSY, OK}, {TAKEN, BUSY, REPLAYED}, {DONE, BUSY, REPLAYED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int which = 0; which < 2; which++) {
            static struct run run;
            if (which && rows[i].step < ASKED_AGAIN)
                continue;
            run_to(&run, rows[i].step);
            expect_taken(&run, which ? rows[i].second : rows[i].first, which ? &run.second : &run.first);
            if (rows[i].step == DONE)
                rig_exchange(&run.rig); /* neither disturbs what both have */
            rig_stop(&run.rig);
        }
}

static void the_client_hears_each_message_only_at_its_step(void **state)
{
    (void)state;
    static struct run run;
    run_to(&run, ASKED_AGAIN); /* response #1 once more, to either request */
    expect_heard(&run, AUTH, &run.first_asked, &run.challenge);
    expect_heard(&run, AUTH, &run.second_asked, &run.challenge);
    rig_exchange(&run.rig);
    expect_heard(&run, AUTH, &run.second_asked, &run.challenge); /* and after the run */
    rig_exchange(&run.rig);
    rig_stop(&run.rig);

    run_to(&run, DONE);
    expect_heard(&run, AUTH, &run.first_asked, &run.answer); /* response #2 answers request #2 alone */
    check_ok(rig_ask(&run.rig.client, "later", RIG_PLAIN, &run.first_asked, &run.first));
    expect_heard(&run, AUTH, &run.first_asked, &run.answer);
    rig_stop(&run.rig);
}

static void response_1_of_another_run_is_refused(void **state)
{
    (void)state;
    static struct run old, run;
    run_to(&old, CHALLENGED);
    run_to(&run, CHALLENGED);
    expect_heard(&run, AUTH, &run.first_asked, &old.challenge);
    expect_heard(&run, BUSY, &run.first_asked, &run.challenge);
    rig_exchange(&run.rig);
    rig_stop(&old.rig);
    rig_stop(&run.rig);
}

static void a_request_1_that_comes_twice_gets_one_r2_and_two_nonces(void **state)
{
    (void)state;
    static struct run run;
    static struct rig_opened again;
    for (int which = 0; which < 2; which++) {
        run_to(&run, CHALLENGED);
        check_status(BUSY, rig_take(&run.rig.server, &run.first, &again));
        struct oscore_option before = rig_option(&run.challenge), after = rig_option(&again.challenge);
        check_bytes(before.kid_context, after.kid_context);
        assert_int_equal(before.partial_iv + 1, after.partial_iv);
        expect_heard(&run, BUSY, &run.first_asked, which ? &run.challenge : &again.challenge);
        rig_exchange(&run.rig);
        rig_stop(&run.rig);
    }
}

static void another_request_1_takes_the_place_of_the_first_run(void **state)
{
    (void)state;
    static struct run run;
    run_to(&run, ASKED_AGAIN);
    struct rig other = {.input = run.rig.input}; /* the same client after a restart */
    struct oscore_request asked;
    struct rig_message first;
    rig_client_start(&other);
    check_ok(rig_ask(&other.client, "first", RIG_PLAIN, &asked, &first));
    expect_taken(&run, BUSY, &first);
    expect_taken(&run, BUSY, &run.second); /* its R2 is forgotten: it begins anew and has no effect */
    assert_int_equal(run.rig.server.current.sender.alg, 0);
    oscore_session_done(&other.client);
    rig_stop(&run.rig);
}

static void a_lost_request_2_or_response_2_is_made_good_by_the_next_request(void **state)
{
    (void)state;
    for (enum run_step step = ASKED_AGAIN; step <= TAKEN; step++) {
        static struct run run;
        run_to(&run, step);
        rig_exchange(&run.rig);
        rig_exchange(&run.rig);
        if (step == TAKEN)
            expect_taken(&run, REPLAYED, &run.second);
        else
            expect_taken(&run, OK, &run.second); /* it was late; its number is still free */
        rig_stop(&run.rig);
    }
}

static void restart(struct run *run, bool client, bool server)
{
    if (client) {
        oscore_session_done(&run->rig.client);
        rig_client_start(&run->rig);
    }
    if (server) {
        oscore_session_done(&run->rig.server);
        rig_server_start(&run->rig);
    }
}

static void whoever_restarts_at_whatever_step_both_begin_anew(void **state)
{
    (void)state;
    for (enum run_step step = ASKED; step <= DONE; step++)
        for (int who = 1; who < 4; who++) {
            static struct run run;
            run_to(&run, step);
            restart(&run, who & 1, who & 2);
            if (who & 1 || step < CHALLENGED) {
                rig_begin(&run.rig);
            } else if (step == CHALLENGED || step == ASKED_AGAIN || step == TAKEN) {
                rig_challenge(&run.rig); /* what it sends is a request #1 to the new server */
                rig_exchange(&run.rig);
            } else { /* it names no context any more: told so, it begins */
                check_ok(rig_ask(&run.rig.client, "lost", RIG_PLAIN, &run.first_asked, &run.first));
                expect_taken(&run, NOT_FOUND, &run.first);
                oscore_session_restart(&run.rig.client);
                rig_begin(&run.rig);
            }
            rig_exchange(&run.rig);
            rig_stop(&run.rig);
        }
}

static void a_restarted_server_accepts_no_request_2_of_before(void **state)
{
    (void)state;
    static struct run run;
    run_to(&run, DONE);
    restart(&run, false, true);
    expect_taken(&run, BUSY, &run.second); /* no more than the beginning of a run */
    assert_int_equal(run.rig.server.current.sender.alg, 0);
    expect_taken(&run, BUSY, &run.second);
    rig_stop(&run.rig);
}

static void a_session_that_lost_its_contexts_answers_nothing(void **state)
{
    (void)state;
    static struct run run;
    struct rig_opened opened;
    run_to(&run, DONE);
    check_ok(rig_ask(&run.rig.client, "kept", RIG_PLAIN, &run.first_asked, &run.first));
    check_ok(rig_take(&run.rig.server, &run.first, &opened));
    struct oscore_request kept = opened.request;
    check_ok(rig_answer(&run.rig.server, &kept, "in time", RIG_PLAIN, true, &run.answer));
    oscore_session_restart(&run.rig.client);
    expect_heard(&run, AUTH, &run.first_asked, &run.answer);
    rig_begin(&run.rig);
    check_status(WRONG_STATE, rig_answer(&run.rig.server, &kept, "too late", RIG_PLAIN, true, &run.answer));
    assert_int_equal(run.answer.len, 0);
    rig_stop(&run.rig);
}

static void a_third_context_that_is_the_second_counts_its_nonces_on(void **state)
{
    (void)state; /* a client that takes R1 for R3: the keys are those of response #1 */
    static struct run run;
    struct rig_opened opened;
    uint8_t text_room[32], id_room[OSCORE_CONTEXT_MAX];
    run_to(&run, CHALLENGED);
    struct bytes r1 = oscore_id_context(&run.rig.client.begun);
    memcpy(id_room, r1.data, r1.len);
    expect_heard(&run, BUSY, &run.first_asked, &run.challenge);
    struct writer options = writer_over(text_room, sizeof text_room), out = writer_over(run.second.data, RIG_CAP);
    struct coap_body body = {COAP_POST, rig_options(&options, RIG_PLAIN), bytes_from_text("again")};
    check_ok(oscore_protect_request(&run.rig.client, &body, id_room, &run.second_asked, &out));
    run.second.len = out.len;
    check_ok(rig_take(&run.rig.server, &run.second, &opened));
    check_ok(rig_answer(&run.rig.server, &opened.request, "answer", RIG_PLAIN, true, &run.answer));
    assert_int_equal(rig_option(&run.challenge).partial_iv, 0);
    assert_int_equal(rig_option(&run.answer).partial_iv, 1);
    expect_heard(&run, OK, &run.second_asked, &run.answer);
    rig_stop(&run.rig);
}

/* Option and ciphertext, bit by bit; the outer code and the payload marker are nobody's to protect. */
static void flip_all(struct run *run, struct rig_message *message, struct oscore_request *heard_by)
{
    struct bytes value, sealed = rig_body(message).payload;
    assert_true(coap_option_find(rig_body(message).options, COAP_OSCORE, &value));
    for (size_t bit = 0; bit < 8 * (value.len + sealed.len); bit++) {
        static struct rig_opened opened;
        size_t at = bit / 8 < value.len ? (size_t)(value.data - message->data) + bit / 8
                                        : (size_t)(sealed.data - message->data) + bit / 8 - value.len;
        message->data[at] ^= (uint8_t)(1u << bit % 8);
        enum status status = heard_by ? rig_hear(&run->rig.client, heard_by, message, &opened)
                                      : rig_take(&run->rig.server, message, &opened);
        message->data[at] ^= (uint8_t)(1u << bit % 8);
        assert_true(status == AUTH || status == MALFORMED || status == NOT_FOUND);
        if (bit / 8 >= value.len)
            check_status(AUTH, status);
        rig_expect_nothing(&opened);
    }
}

static void every_flipped_bit_of_the_four_messages_is_refused_and_the_run_goes_on(void **state)
{
    (void)state;
    static struct run run;
    run_to(&run, ASKED);
    flip_all(&run, &run.first, NULL);
    rig_stop(&run.rig);
    run_to(&run, CHALLENGED);
    flip_all(&run, &run.challenge, &run.first_asked);
    expect_heard(&run, BUSY, &run.first_asked, &run.challenge);
    rig_stop(&run.rig);
    run_to(&run, ASKED_AGAIN);
    flip_all(&run, &run.second, NULL);
    expect_taken(&run, OK, &run.second);
    rig_stop(&run.rig);
    run_to(&run, TAKEN);
    flip_all(&run, &run.answer, &run.second_asked);
    expect_heard(&run, OK, &run.second_asked, &run.answer);
    rig_exchange(&run.rig);
    rig_stop(&run.rig);
}

static void forged_requests_2_wear_r2_out_and_forged_responses_1_the_first_context(void **state)
{
    (void)state;
    static struct run run;
    run_to(&run, ASKED_AGAIN);
    run.second.data[run.second.len - 1] ^= 1;
    for (unsigned i = 0; i < OSCORE_CCM8_FAILURES; i++)
        expect_taken(&run, AUTH, &run.second);
    run.second.data[run.second.len - 1] ^= 1;
    expect_taken(&run, BUSY, &run.second); /* R2 is gone */
    rig_stop(&run.rig);

    run_to(&run, CHALLENGED);
    run.challenge.data[run.challenge.len - 1] ^= 1;
    for (unsigned i = 0; i < OSCORE_CCM8_FAILURES; i++)
        expect_heard(&run, AUTH, &run.first_asked, &run.challenge);
    run.challenge.data[run.challenge.len - 1] ^= 1;
    expect_heard(&run, AUTH, &run.first_asked, &run.challenge);
    check_status(WRONG_STATE, rig_ask(&run.rig.client, "worn", RIG_PLAIN, &run.second_asked, &run.second));
    oscore_session_restart(&run.rig.client);
    rig_begin(&run.rig);
    rig_stop(&run.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_four_messages_say_what_appendix_b_2_says),
        cmocka_unit_test(the_server_takes_each_message_only_at_its_step),
        cmocka_unit_test(the_client_hears_each_message_only_at_its_step),
        cmocka_unit_test(response_1_of_another_run_is_refused),
        cmocka_unit_test(a_request_1_that_comes_twice_gets_one_r2_and_two_nonces),
        cmocka_unit_test(another_request_1_takes_the_place_of_the_first_run),
        cmocka_unit_test(a_lost_request_2_or_response_2_is_made_good_by_the_next_request),
        cmocka_unit_test(whoever_restarts_at_whatever_step_both_begin_anew),
        cmocka_unit_test(a_restarted_server_accepts_no_request_2_of_before),
        cmocka_unit_test(a_session_that_lost_its_contexts_answers_nothing),
        cmocka_unit_test(a_third_context_that_is_the_second_counts_its_nonces_on),
        cmocka_unit_test(every_flipped_bit_of_the_four_messages_is_refused_and_the_run_goes_on),
        cmocka_unit_test(forged_requests_2_wear_r2_out_and_forged_responses_1_the_first_context),
    };
    check_ok(crypto_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
