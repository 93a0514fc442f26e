/* EDHOC's messages as long as they may be, and writers too small for them. */
#include "edhoc_rig.h"

static const uint8_t pad[EDHOC_MESSAGE_MAX];

/* The status of a step, with an item in EAD_n that makes what it makes `len` bytes long. */
static enum status step_of_length(struct rig *rig, enum rig_step step, size_t number, size_t len, bool of_plaintext)
{
    for (size_t value = len < 256 ? 0 : len - 256; value < len; value++) {
        rig_anew(rig);
        memset(rig->send, 0, sizeof rig->send);
        rig_run(rig, PUT_1, step);
        rig->send[number - 1] = (struct edhoc_eads){{{1, false, true, bytes_from(pad, value)}}, 1};
        enum status status = rig_step(rig, step);
        if (status != OK)
            return status;
        size_t made = rig->message[number - 1].len;
        if (of_plaintext) /* without the head of three bytes and G_Y */
            made -= 3 + crypto_private_len(rig->suite->exchange);
        if (made == len)
            return OK;
    }
    return NO_ROOM;
}

static void plaintext_2_ends_at_255_hashes(void **state)
{
    static struct rig rig;
    (void)state;
    for (int suite = 2; suite <= 24; suite += 22) {
        rig_start(&rig, 3, suite, RIG_KID);
        size_t most = 255 * crypto_hash_len(rig.suite->hash);
        check_ok(step_of_length(&rig, PUT_2, 2, most, true));
        rig_run(&rig, TAKE_2, RIG_STEPS);
        check_status(NO_ROOM, step_of_length(&rig, PUT_2, 2, most + 1, true));
        rig_is_wiped(&rig.responder);
        assert_int_equal(rig.message[1].len, 0);
        for (size_t more = 0; more < 2; more++) { /* a bad message of that length is only found out by verify */
            rig_anew(&rig);
            rig_run(&rig, PUT_1, PUT_2);
            struct bytes g = crypto_public_x(&rig.r.key.public_key);
            cbor_put_bytes_head(&rig.message[1], g.len + most + more);
            put_bytes(&rig.message[1], g);
            put_bytes(&rig.message[1], bytes_from(pad, most + more));
            check_status(more ? NO_ROOM : OK, rig_step(&rig, TAKE_2));
            if (more)
                rig_is_wiped(&rig.initiator);
            else
                check_status(AUTH, rig_step(&rig, VERIFY_2));
            assert_int_equal(rig.plain[0].len, more ? 0 : most);
        }
        rig_done(&rig);
    }
}

static void messages_end_at_their_longest(void **state)
{
    static struct rig rig;
    static const enum rig_step puts[] = {PUT_1, PUT_2, PUT_3, PUT_4};
    static const size_t numbers[] = {1, 3, 4};
    (void)state;
    rig_start(&rig, 3, 2, RIG_KID);
    for (size_t i = 0; i < 3; i++) {
        size_t number = numbers[i];
        enum rig_step step = puts[number - 1];
        check_ok(step_of_length(&rig, step, number, EDHOC_MESSAGE_MAX, false));
        rig_run(&rig, step + 1, RIG_STEPS);
        check_status(NO_ROOM, step_of_length(&rig, step, number, EDHOC_MESSAGE_MAX + 1, false));
        assert_int_equal(rig.message[number - 1].len, 0);
        rig_is_wiped(rig_is_responders(step) ? &rig.responder : &rig.initiator);
        /* From another's hands: message 1 with an item of padding, the others as one string. */
        rig_anew(&rig);
        memset(rig.send, 0, sizeof rig.send);
        rig_run(&rig, PUT_1, step + (number == 1));
        if (number == 1)
            put_u8(&rig.message[0], 0);
        size_t so_far = rig.message[number - 1].len;
        cbor_put_bytes(&rig.message[number - 1], bytes_from(pad, EDHOC_MESSAGE_MAX + 1 - 3 - so_far));
        assert_int_equal(rig.message[number - 1].len, EDHOC_MESSAGE_MAX + 1);
        check_status(NO_ROOM, rig_step(&rig, step + 1));
        rig_is_wiped(rig_is_responders(step + 1) ? &rig.responder : &rig.initiator);
    }
    rig_done(&rig);
}

/* Every smaller room for what a step writes. */
static void try_rooms(struct rig *rig, enum rig_step step, struct writer *writer)
{
    rig_anew(rig);
    rig_run(rig, PUT_1, step + 1);
    size_t needed = step == TAKE_3 ? rig->message[2].len - 2 /* its tag is decrypted away, but needs room */
                                   : writer->len;
    for (size_t cap = 0; cap < needed; cap += 1 + cap / 8) {
        rig_anew(rig);
        rig_run(rig, PUT_1, step);
        writer->cap = cap;
        check_status(NO_ROOM, rig_step(rig, step));
        assert_int_equal(writer->len, 0);
        assert_int_equal(writer->status, OK);
        rig_is_wiped(rig_is_responders(step) ? &rig->responder : &rig->initiator);
    }
}

static void a_writer_that_is_too_small_ends_the_session_and_is_as_before(void **state)
{
    static struct rig rig;
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        rig_start(&rig, method, 2, RIG_KID);
        for (size_t n = 0; n < 4; n++)
            rig.send[n] = (struct edhoc_eads){{{1, false, true, bytes_from(pad, 40)}}, 1};
        try_rooms(&rig, PUT_1, &rig.message[0]);
        try_rooms(&rig, PUT_2, &rig.message[1]);
        try_rooms(&rig, TAKE_2, &rig.plain[0]);
        try_rooms(&rig, PUT_3, &rig.message[2]);
        try_rooms(&rig, TAKE_3, &rig.plain[1]);
        try_rooms(&rig, PUT_4, &rig.message[3]);
        rig_done(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plaintext_2_ends_at_255_hashes),
        cmocka_unit_test(messages_end_at_their_longest),
        cmocka_unit_test(a_writer_that_is_too_small_ends_the_session_and_is_as_before),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
