/* EDHOC's sessions: what each call does in each state, and whole handshakes with every method and suite. */
#include "edhoc_rig.h"

/* ---- Each call in each state ---- */

/* Beyond the steps: what else asks for a state. */
enum { EXPORT = RIG_STEPS, KEY_UPDATE, OSCORE_INPUT, CALLS };
#define NEVER (-1)

/* The state that a call ends in, where it may be called. */
static int next_state(enum edhoc_state state, int call)
{
    static const struct {
        enum edhoc_state from;
        int call;
        enum edhoc_state to;
    } table[] = {
        {EDHOC_START, PUT_1, EDHOC_SENT_1},         {EDHOC_START, TAKE_1, EDHOC_READ_1},
        {EDHOC_SENT_1, TAKE_2, EDHOC_READ_2},       {EDHOC_READ_2, VERIFY_2, EDHOC_VERIFIED_2},
        {EDHOC_VERIFIED_2, PUT_3, EDHOC_SENT_3},    {EDHOC_SENT_3, TAKE_4, EDHOC_COMPLETED},
        {EDHOC_READ_1, PUT_2, EDHOC_SENT_2},        {EDHOC_SENT_2, TAKE_3, EDHOC_READ_3},
        {EDHOC_READ_3, VERIFY_3, EDHOC_VERIFIED_3}, {EDHOC_VERIFIED_3, PUT_4, EDHOC_COMPLETED},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].from == state && table[i].call == call)
            return (int)table[i].to;
    bool has_keys = state == EDHOC_SENT_3 || state == EDHOC_VERIFIED_3 || state == EDHOC_COMPLETED;
    return has_keys && call >= EXPORT ? (int)state : NEVER;
}

static enum status do_call(struct rig *rig, struct edhoc_session *session, int call)
{
    uint8_t key[16];
    struct oscore_input input;
    if (call == EXPORT)
        return edhoc_export(session, 0, (struct bytes){0}, key, sizeof key);
    if (call == KEY_UPDATE)
        return edhoc_key_update(session, (struct bytes){0});
    if (call == OSCORE_INPUT)
        return edhoc_oscore_input(session, &input);
    return rig_call(rig, session, (enum rig_step)call);
}

/* Calls `call` on the side that made all of its steps before `end`; the other side goes on as far as it can. */
static void try_call(struct rig *rig, bool responder, enum rig_step end, bool fail, int call)
{
    struct edhoc_session *session = responder ? &rig->responder : &rig->initiator, before;
    struct writer message[4], plain[3];
    enum rig_step step;
    rig_anew(rig);
    rig_run(rig, PUT_1, end);
    for (step = end; step < RIG_STEPS && rig_is_responders(step) != responder; step++)
        check_ok(rig_step(rig, step));
    if (fail)
        (void)session_step(session, AUTH, EDHOC_FAILED);
    int next = next_state(session->state, call);
    memcpy(&before, session, sizeof before);
    memcpy(message, rig->message, sizeof message);
    memcpy(plain, rig->plain, sizeof plain);
    if (next != NEVER) {
        if (call == TAKE_1 && rig->message[0].len == 0) /* both are at the start */
            check_ok(rig_call(rig, responder ? &rig->initiator : &rig->responder, PUT_1));
        check_ok(do_call(rig, session, call));
        assert_int_equal(session->state, next);
        return;
    }
    check_status(WRONG_STATE, do_call(rig, session, call));
    assert_memory_equal(session, &before, sizeof before);
    assert_memory_equal(rig->message, message, sizeof message);
    assert_memory_equal(rig->plain, plain, sizeof plain);
}

static void each_call_in_each_state_is_next_or_changes_nothing(void **state)
{
    static struct rig rig;
    bool seen[EDHOC_FAILED + 1] = {false};
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        rig_start(&rig, method, 2, RIG_KID);
        for (int role = 0; role < 2; role++)
            for (enum rig_step end = PUT_1; end <= RIG_STEPS; end++)
                for (int call = 0; call < CALLS; call++) {
                    try_call(&rig, role == 1, end, false, call);
                    seen[role ? rig.responder.state : rig.initiator.state] = true;
                    try_call(&rig, role == 1, end, true, call);
                    seen[role ? rig.responder.state : rig.initiator.state] = true;
                }
        rig_done(&rig);
    }
    for (size_t i = EDHOC_SENT_1; i <= EDHOC_FAILED; i++)
        assert_true(seen[i]);
}

/* ---- Every method and suite ---- */

static const struct bytes value_a = {(const uint8_t *)"evidence", 8};

static void exports_agree(const struct rig *rig)
{
    static const uint32_t export_labels[] = {0, 1, 2, 23, 24, 65535};
    uint8_t ours[96], theirs[96];
    for (size_t i = 0; i < sizeof export_labels / sizeof *export_labels; i++) {
        check_ok(edhoc_export(&rig->initiator, export_labels[i], value_a, ours, sizeof ours));
        check_ok(edhoc_export(&rig->responder, export_labels[i], value_a, theirs, sizeof theirs));
        assert_memory_equal(ours, theirs, sizeof ours);
    }
}

static void differ(const struct rig *rig, uint32_t label, struct bytes context, size_t len, const uint8_t *from)
{
    uint8_t made[96];
    check_ok(edhoc_export(&rig->initiator, label, context, made, len));
    assert_memory_not_equal(made, from, len);
}

static void oscore_inputs_mirror(const struct rig *rig)
{
    struct oscore_input ours, theirs, mirrored;
    check_ok(edhoc_oscore_input(&rig->initiator, &ours));
    check_ok(edhoc_oscore_input(&rig->responder, &theirs));
    oscore_input_mirror(&theirs, &mirrored);
    assert_int_equal(ours.aead, rig->suite->application_aead);
    assert_int_equal(ours.hkdf, rig->suite->hash);
    assert_int_equal(ours.master_secret.len, crypto_aead_key_len(ours.aead));
    assert_memory_equal(&ours.master_secret, &mirrored.master_secret, sizeof ours.master_secret);
    assert_memory_equal(ours.master_salt, mirrored.master_salt, sizeof ours.master_salt);
    check_bytes(bytes_from(ours.recipient.data, ours.recipient.len),
                bytes_from(mirrored.recipient.data, mirrored.recipient.len));
    check_bytes(bytes_from(rig->c_i.data, rig->c_i.len), bytes_from(ours.recipient.data, ours.recipient.len));
    check_bytes(bytes_from(rig->c_r.data, rig->c_r.len), bytes_from(ours.sender.data, ours.sender.len));
}

static void eads_arrived(const struct rig *rig)
{
    for (size_t n = 0; n < 4; n++) {
        assert_int_equal(rig->got[n].count, 2);
        const struct edhoc_ead *plain = edhoc_find_ead(&rig->got[n], (uint32_t)n + 1);
        const struct edhoc_ead *critical = edhoc_find_ead(&rig->got[n], 9);
        assert_true(plain && critical && !plain->critical && critical->critical && !critical->has_value);
        check_bytes(value_a, plain->value);
    }
}

static void nothing_is_left_but_what_exports(const struct edhoc_session *session)
{
    static const struct secret none = {0};
    assert_null(session->ephemeral.pkey);
    assert_memory_equal(&session->prk, &none, sizeof none);
    assert_int_equal(session->state, EDHOC_COMPLETED);
}

static void both_sides_export_the_same_with_every_method_and_suite(void **state)
{
    static struct rig rig;
    uint8_t before[32];
    (void)state;
    for (size_t s = 0; s < sizeof rig_suites / sizeof *rig_suites; s++)
        for (unsigned method = 0; method < 4; method++) {
            rig_start(&rig, method, rig_suites[s], s % 2 ? RIG_KID : RIG_KCCS);
            for (uint32_t n = 0; n < 4; n++)
                rig.send[n] = (struct edhoc_eads){
                    {{n + 1, false, true, value_a}, {0, false, true, value_a}, {9, true, false, {0}}}, 3};
            rig_run(&rig, PUT_1, RIG_STEPS);
            check_bytes(id_bytes(&rig.c_i), id_bytes(&rig.responder.c_i));
            check_bytes(id_bytes(&rig.c_r), id_bytes(&rig.initiator.c_r));
            check_bytes(rig.r.credential.id_cred, rig.reference[0].encoded);
            nothing_is_left_but_what_exports(&rig.initiator);
            nothing_is_left_but_what_exports(&rig.responder);
            eads_arrived(&rig);
            oscore_inputs_mirror(&rig);
            exports_agree(&rig);
            check_ok(edhoc_export(&rig.initiator, 0, value_a, before, sizeof before));
            differ(&rig, 1, value_a, sizeof before, before);
            differ(&rig, 0, (struct bytes){0}, sizeof before, before);
            check_ok(edhoc_key_update(&rig.initiator, value_a));
            check_ok(edhoc_key_update(&rig.responder, value_a));
            differ(&rig, 0, value_a, sizeof before, before);
            exports_agree(&rig);
            rig_done(&rig);
        }
}

static void two_handshakes_of_the_same_parties_share_no_key(void **state)
{
    static struct rig rig;
    uint8_t before[32];
    (void)state;
    rig_start(&rig, 3, 2, RIG_KID);
    rig_run(&rig, PUT_1, RIG_STEPS);
    check_ok(edhoc_export(&rig.initiator, 0, (struct bytes){0}, before, sizeof before));
    rig_anew(&rig);
    rig_run(&rig, PUT_1, RIG_STEPS);
    differ(&rig, 0, (struct bytes){0}, sizeof before, before);
    rig_done(&rig);
}

static void an_export_ends_at_255_hashes_and_at_the_longest_context(void **state)
{
    static struct rig rig;
    static uint8_t out[255 * 48 + 1], untouched[sizeof out];
    static const uint8_t context[EDHOC_CONTEXT_MAX + 1] = {7};
    (void)state;
    for (int suite = 2; suite <= 24; suite += 22) {
        rig_start(&rig, 3, suite, RIG_KID);
        rig_run(&rig, PUT_1, RIG_STEPS);
        size_t most = 255 * session_hash_len(&rig.initiator);
        memset(out, 0x55, sizeof out);
        memset(untouched, 0x55, sizeof untouched);
        check_status(NO_ROOM, edhoc_export(&rig.initiator, 0, (struct bytes){0}, out, most + 1));
        check_status(NO_ROOM, edhoc_export(&rig.initiator, 0, BYTES_OF(context), out, 16));
        assert_memory_equal(out, untouched, sizeof out);
        check_ok(edhoc_export(&rig.initiator, 0, (struct bytes){0}, out, most));
        check_ok(edhoc_export(&rig.initiator, UINT32_MAX, bytes_from(context, EDHOC_CONTEXT_MAX), out, 16));
        struct secret before = rig.initiator.out;
        check_status(NO_ROOM, edhoc_key_update(&rig.initiator, BYTES_OF(context)));
        assert_memory_equal(&before, &rig.initiator.out, sizeof before);
        check_ok(edhoc_key_update(&rig.initiator, bytes_from(context, EDHOC_CONTEXT_MAX)));
        rig_done(&rig);
    }
}

/* ---- What a side refuses of its own ---- */

static void a_key_on_another_curve_ends_the_session(void **state)
{
    static struct rig rig;
    (void)state;
    rig_start(&rig, 0, 2, RIG_KID);
    struct crypto_key wrong = rig_fresh(CRYPTO_P384), x = rig_fresh(CRYPTO_P384);
    check_status(UNSUPPORTED,
                 edhoc_put_message_1(&rig.initiator, &rig.profile, 0, rig.suite, &x, &rig.c_i, NULL, &rig.message[0]));
    assert_null(x.pkey);
    rig_is_wiped(&rig.initiator);
    for (int who = 0; who < 3; who++) {
        rig_anew(&rig);
        rig_run(&rig, PUT_1, who == 2 ? PUT_3 : PUT_2);
        struct edhoc_credential own = rig.r.credential;
        own.private_key = who == 1 ? NULL : &wrong;
        x = rig_fresh(who == 0 ? CRYPTO_P384 : CRYPTO_P256);
        if (who == 2)
            check_status(UNSUPPORTED, edhoc_put_message_3(&rig.initiator, &own, NULL, &rig.message[2]));
        else
            check_status(UNSUPPORTED, edhoc_put_message_2(&rig.responder, &x, &rig.c_r, &own, NULL, &rig.message[1]));
        rig_is_wiped(who == 2 ? &rig.initiator : &rig.responder);
        assert_int_equal(rig.message[who == 2 ? 2 : 1].len, 0);
        crypto_key_done(&x);
    }
    crypto_key_done(&wrong);
    rig_done(&rig);
}

static void a_method_or_suite_outside_the_profile_is_refused(void **state)
{
    static struct rig rig;
    (void)state;
    rig_start(&rig, 0, 2, RIG_KID);
    for (unsigned method = 0; method < 6; method++) {
        rig_anew(&rig);
        rig.method = method;
        rig.profile.methods = method < 4 ? ~(1u << method) : ~0u;
        check_status(UNSUPPORTED, rig_step(&rig, PUT_1));
        rig_is_wiped(&rig.initiator);
        if (method > 3)
            continue;
        rig_anew(&rig);
        rig.profile.methods = 15;
        check_ok(rig_step(&rig, PUT_1));
        rig.profile.methods = ~(1u << method);
        check_status(UNSUPPORTED, rig_step(&rig, TAKE_1));
        assert_false(rig.responder.wrong_suite);
        rig_is_wiped(&rig.responder);
    }
    rig.method = 0;
    rig.profile.methods = 15;
    for (size_t i = 0; i < 2; i++) {
        rig_anew(&rig);
        rig.suite = i ? edhoc_suite(3) : NULL;
        struct crypto_key x = rig_fresh(CRYPTO_P256);
        check_status(UNSUPPORTED, edhoc_put_message_1(&rig.initiator, &rig.profile, 0, rig.suite, &x, &rig.c_i, NULL,
                                                      &rig.message[0]));
        rig_is_wiped(&rig.initiator);
    }
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_in_each_state_is_next_or_changes_nothing),
        cmocka_unit_test(both_sides_export_the_same_with_every_method_and_suite),
        cmocka_unit_test(two_handshakes_of_the_same_parties_share_no_key),
        cmocka_unit_test(an_export_ends_at_255_hashes_and_at_the_longest_context),
        cmocka_unit_test(a_key_on_another_curve_ends_the_session),
        cmocka_unit_test(a_method_or_suite_outside_the_profile_is_refused),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
