/* What EDHOC's messages are made of: suites, connection identifiers, EAD items, ID_CRED_x, claims sets, errors. */
#include "edhoc_rig.h"

/* ---- Suites (§6.3) ---- */

static const int some[] = {0, 2, 6, 24};

/* One initiator and one responder; false when message 1 is refused for its suite, and then `answer` is SUITES_R. */
static bool offers(const int *ours, size_t count, int selected, const int *theirs, size_t theirs_count,
                   struct edhoc_error *answer)
{
    const struct edhoc_profile initiators = {.methods = 15, .suites = ours, .suites_count = count};
    const struct edhoc_profile responders = {.methods = 15, .suites = theirs, .suites_count = theirs_count};
    const struct edhoc_suite *suite = edhoc_suite(selected);
    struct edhoc_session initiator = {0}, responder = {0};
    struct crypto_key x = rig_fresh(suite->exchange);
    struct edhoc_eads eads;
    uint8_t room[128], error_room[32];
    struct writer message = writer_over(room, sizeof room), error = writer_over(error_room, sizeof error_room);
    const struct edhoc_id c_i = {{1}, 1};
    check_ok(edhoc_put_message_1(&initiator, &initiators, 0, suite, &x, &c_i, NULL, &message));
    enum status status = edhoc_take_message_1(&responder, &responders, writer_bytes(&message), &eads);
    if (status == OK)
        assert_ptr_equal(responder.suite, suite);
    else
        check_status(UNSUPPORTED, status);
    assert_int_equal(responder.wrong_suite, status != OK);
    edhoc_put_error_suites(&error, &responders);
    check_ok(edhoc_error_decode(writer_bytes(&error), answer));
    edhoc_done(&initiator);
    edhoc_done(&responder);
    return status == OK;
}

static int choice(const int *ours, size_t count, const struct edhoc_error *answer)
{
    const struct edhoc_profile profile = {.suites = ours, .suites_count = count};
    const struct edhoc_suite *suite = edhoc_choose_suite(&profile, answer->suites, answer->suites_count);
    return suite ? suite->number : -1;
}

static void suites_are_negotiated_as_in_section_6_3(void **state)
{
    static const int second[] = {2}, last_two[] = {24, 6}, first[] = {0}, other[] = {3};
    struct edhoc_error answer;
    (void)state;
    /* Example 1: the first is refused, the second named, and taken with the first before it. */
    assert_false(offers(some, 4, 0, second, 1, &answer));
    assert_int_equal(answer.code, EDHOC_ERROR_SUITE);
    assert_int_equal(answer.suites_count, 1);
    assert_int_equal(choice(some, 4, &answer), 2);
    assert_true(offers(some, 4, 2, second, 1, &answer));
    /* Example 2: a guess at the second, answered with the last two in any order; ours is the order. */
    assert_false(offers(some, 4, 2, last_two, 2, &answer));
    assert_int_equal(answer.suites_count, 2);
    assert_int_equal(choice(some, 4, &answer), 6);
    assert_true(offers(some, 4, 6, last_two, 2, &answer));
    /* Note 1: a suite that the initiator prefers and the responder has must be the one. */
    assert_false(offers(some, 4, 6, some, 4, &answer));
    assert_false(offers(some, 4, 24, last_two, 2, &answer));
    assert_int_equal(choice(some, 4, &answer), 6);
    assert_true(offers(some, 4, 0, first, 1, &answer));
    /* Nothing in common. */
    assert_false(offers(some, 4, 24, other, 1, &answer));
    assert_int_equal(choice(some, 4, &answer), -1);
}

static void the_suites_are_those_of_the_registry(void **state)
{
    (void)state;
    for (int number = -70000; number < 70000; number++) {
        bool ours = number == 0 || number == 2 || number == 3 || number == 6 || number == 24;
        const struct edhoc_suite *suite = edhoc_suite(number);
        assert_int_equal(suite != NULL, ours);
        assert_true(!suite || (suite->number == number && suite->mac_len >= 8));
    }
}

/* ( METHOD, SUITES_I, G_X, C_I ) with these bytes for the suites and these for what follows G_X. */
static enum status take_1(struct edhoc_session *session, struct bytes suites, struct bytes end)
{
    static const struct edhoc_profile profile = {.methods = 15, .suites = some, .suites_count = 4};
    static const uint8_t g_x[32] = {9};
    struct edhoc_eads eads;
    uint8_t room[512];
    struct writer message = writer_over(room, sizeof room);
    cbor_put_uint(&message, 0);
    put_bytes(&message, suites);
    cbor_put_bytes(&message, BYTES_OF(g_x));
    put_bytes(&message, end);
    *session = (struct edhoc_session){0};
    return edhoc_take_message_1(session, &profile, writer_bytes(&message), &eads);
}

static void as_many_suites_as_there_is_room_for_are_taken(void **state)
{
    struct edhoc_session session;
    (void)state;
    for (size_t count = 0; count <= EDHOC_SUITES_MAX + 1; count++) {
        uint8_t room[64], error_room[64];
        struct writer suites = writer_over(room, sizeof room), error = writer_over(error_room, sizeof error_room);
        struct edhoc_error answer;
        cbor_put_array(&suites, count);
        for (size_t i = 0; i < count; i++)
            cbor_put_int(&suites, i + 1 < count ? -(int64_t)i - 30 : 0);
        enum status want = count < 2 ? MALFORMED : count > EDHOC_SUITES_MAX ? NO_ROOM : OK;
        check_status(want, take_1(&session, writer_bytes(&suites), bytes_from("\x05", 1)));
        edhoc_done(&session);
        cbor_put_uint(&error, EDHOC_ERROR_SUITE);
        put_bytes(&error, writer_bytes(&suites));
        check_status(want, edhoc_error_decode(writer_bytes(&error), &answer));
    }
}

/* ---- Connection identifiers (§3.3) ---- */

static void a_byte_that_is_a_small_integer_travels_as_that(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        uint8_t room[8], byte[1], id[1] = {(uint8_t)value};
        struct writer writer = writer_over(room, sizeof room);
        bool small = value <= 0x17 || (value >= 0x20 && value <= 0x37);
        edhoc_put_id(&writer, BYTES_OF(id));
        assert_int_equal(writer.len, small ? 1 : 2);
        struct reader reader = reader_over(writer_bytes(&writer));
        check_bytes(BYTES_OF(id), edhoc_take_id(&reader, byte));
        check_ok(reader_end(&reader));
        if (value == 0x40) /* as it stands, the empty string */
            continue;
        /* The other way to write it is refused. */
        const uint8_t other[] = {0x41, (uint8_t)value};
        reader = reader_over(small ? BYTES_OF(other) : BYTES_OF(id));
        (void)edhoc_take_id(&reader, byte);
        assert_int_not_equal(reader_end(&reader), OK);
    }
}

static void identifiers_of_each_length_connect_and_one_past_does_not(void **state)
{
    static struct rig rig;
    struct edhoc_session session;
    (void)state;
    rig_start(&rig, 3, 2, RIG_KID);
    for (size_t i_len = 0; i_len <= EDHOC_ID_MAX; i_len++)
        for (size_t r_len = 0; r_len <= EDHOC_ID_MAX; r_len++) {
            rig_anew(&rig);
            rig.c_i = (struct edhoc_id){{0xff, 1, 2, 3, 4, 5}, i_len};
            rig.c_r = (struct edhoc_id){{0x42, 1, 2, 3, 4, 5}, r_len};
            bool same = i_len == 0 && r_len == 0;
            rig_run(&rig, PUT_1, PUT_2);
            check_status(same ? UNSUPPORTED : OK, rig_step(&rig, PUT_2));
            if (same)
                rig_is_wiped(&rig.responder);
            else
                rig_run(&rig, TAKE_2, RIG_STEPS);
        }
    rig_anew(&rig);
    rig.c_r.len = EDHOC_ID_MAX + 1;
    rig_run(&rig, PUT_1, PUT_2);
    check_status(UNSUPPORTED, rig_step(&rig, PUT_2));
    rig.c_i.len = EDHOC_ID_MAX + 1;
    rig_anew(&rig);
    check_status(UNSUPPORTED, rig_step(&rig, PUT_1));
    rig_done(&rig);
    check_status(OK, take_1(&session, bytes_from("\x00", 1), bytes_from("\x46\x01\x02\x03\x04\x05\x06", 7)));
    edhoc_done(&session);
    check_status(NO_ROOM, take_1(&session, bytes_from("\x00", 1), bytes_from("\x47\x01\x02\x03\x04\x05\x06\x07", 8)));
}

static void the_responder_cannot_choose_the_initiators_identifier(void **state)
{
    static struct rig rig;
    (void)state;
    for (unsigned method = 0; method < 4; method++) {
        rig_start(&rig, method, 2, RIG_KID);
        rig_run(&rig, PUT_1, PUT_2);
        rig.c_r = rig.c_i;
        check_status(UNSUPPORTED, rig_step(&rig, PUT_2));
        rig_is_wiped(&rig.responder);
        /* A responder that does it all the same is found out, and told no more than that. */
        rig_anew(&rig);
        rig_run(&rig, PUT_1, PUT_2);
        rig.responder.c_i.data[0] ^= 1;
        rig_run(&rig, PUT_2, VERIFY_2);
        assert_int_equal(rig.reference[0].kind, EDHOC_NONE);
        check_status(AUTH, rig_step(&rig, VERIFY_2));
        rig_is_wiped(&rig.initiator);
        rig_done(&rig);
    }
}

/* ---- EAD items (§3.8) ---- */

static enum status read_eads(struct bytes encoded, struct edhoc_eads *eads)
{
    static const struct edhoc_profile profile = {.ead_labels = rig_labels, .ead_labels_count = 3};
    struct reader reader = reader_over(encoded);
    return take_eads(&reader, &profile, eads);
}

static void items_are_read_as_they_were_written(void **state)
{
    static const uint32_t some_labels[] = {1, 2, 3, 23, 24, 255, 256, 65535, 65536, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof some_labels / sizeof *some_labels; i++)
        for (int form = 0; form < 4; form++) {
            struct edhoc_ead ead = {some_labels[i], form & 1, form & 2, form & 2 ? BYTES_OF("abc") : (struct bytes){0}};
            struct edhoc_eads eads = {{ead}, 1}, got = {0};
            uint8_t room[32];
            struct writer writer = writer_over(room, sizeof room);
            put_eads(&writer, &eads);
            check_ok(writer_end(&writer));
            assert_int_equal(writer.len, eads_len(&eads));
            bool unknown = ead.critical && ead.label > 3;
            check_status(unknown ? UNSUPPORTED : OK, read_eads(writer_bytes(&writer), &got));
            assert_int_equal(got.count, unknown ? 0 : 1);
            if (unknown)
                continue;
            const struct edhoc_ead *found = edhoc_find_ead(&got, ead.label);
            assert_true(found && found->critical == ead.critical && found->has_value == ead.has_value);
            check_bytes(ead.value, found->value);
            assert_null(edhoc_find_ead(&got, 77));
        }
}

static void padding_is_dropped_and_does_not_count(void **state)
{
    uint8_t room[256];
    struct edhoc_eads got;
    (void)state;
    check_ok(read_eads(bytes_from("\x00", 1), &got));
    assert_int_equal(got.count, 0);
    check_ok(read_eads(bytes_from("\x00\x40\x00\x41\xe9\x00\x00", 7), &got));
    assert_int_equal(got.count, 0);
    for (size_t count = 0; count <= EDHOC_EADS_MAX + 1; count++) {
        struct writer writer = writer_over(room, sizeof room);
        for (size_t i = 0; i < count; i++)
            put_bytes(&writer, bytes_from("\x00\x41\xaa\x18\x63", 5));
        put_bytes(&writer, bytes_from("\x00", 1));
        check_status(count > EDHOC_EADS_MAX ? NO_ROOM : OK, read_eads(writer_bytes(&writer), &got));
        assert_int_equal(got.count, count > EDHOC_EADS_MAX ? EDHOC_EADS_MAX : count);
    }
    struct edhoc_eads too_many = {.count = EDHOC_EADS_MAX + 1};
    struct writer writer = writer_over(room, sizeof room);
    put_eads(&writer, &too_many);
    check_status(NO_ROOM, writer_end(&writer));
    writer = writer_over(room, sizeof room);
    put_eads(&writer, &(struct edhoc_eads){{{0, true, false, {0}}}, 1});
    check_status(MALFORMED, writer_end(&writer));
}

static void anything_but_a_label_with_or_without_a_string_is_refused(void **state)
{
    static const char *const bad[] = {"\x40",         "\x01\x60",         "\x01\x41",     "\x18\x01",
                                      "\x01\x58\x01", "\x01\x40\x40",     "\xf6",         "\x80",
                                      "\xa0",         "\x01\x5f\x41\x01", "\x01\xf5",     "\x1b\x00\x00\x00\x01\x00",
                                      "\xc1\x01",     "\x20\x20\x20\x44", "\x01\x44\x01", "\xff"};
    struct edhoc_eads got;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read_eads(bytes_from_text(bad[i]), &got) == OK)
            fail_msg("item %zu is accepted", i);
    /* Labels past 32 bits, both signs. */
    check_status(MALFORMED, read_eads(bytes_from("\x1b\x00\x00\x00\x01\x00\x00\x00\x00", 9), &got));
    check_status(MALFORMED, read_eads(bytes_from("\x3a\xff\xff\xff\xff", 5), &got));
    check_status(UNSUPPORTED, read_eads(bytes_from("\x3a\xff\xff\xff\xfe", 5), &got));
}

static void a_critical_item_that_is_not_known_ends_the_session_in_each_message(void **state)
{
    static struct rig rig;
    static const enum rig_step refusing[] = {TAKE_1, VERIFY_2, VERIFY_3, TAKE_4};
    (void)state;
    rig_start(&rig, 0, 2, RIG_KID);
    for (size_t n = 0; n < 4; n++)
        for (int critical = 0; critical < 2; critical++) {
            rig_anew(&rig);
            memset(rig.send, 0, sizeof rig.send);
            rig.send[n] = (struct edhoc_eads){{{99, critical, false, {0}}}, 1};
            rig_run(&rig, PUT_1, refusing[n]);
            enum status refused = n == 1 || n == 2 ? AUTH : UNSUPPORTED;
            check_status(critical ? refused : OK, rig_step(&rig, refusing[n]));
            if (critical)
                rig_is_wiped(rig_is_responders(refusing[n]) ? &rig.responder : &rig.initiator);
            else
                assert_int_equal(rig.got[n].items[0].label, 99);
        }
    rig_done(&rig);
}

/* ---- Errors (§6) ---- */

static void errors_are_read_whole_or_not_at_all(void **state)
{
    static const int two[] = {2, 24};
    static const struct edhoc_profile profile = {.suites = two, .suites_count = 2};
    struct edhoc_error error;
    (void)state;
    for (int form = 0; form < 5; form++) {
        uint8_t room[64];
        struct writer writer = writer_over(room, sizeof room);
        if (form == 0)
            edhoc_put_error(&writer, "method not supported");
        else if (form == 1)
            edhoc_put_error_suites(&writer, &profile);
        else if (form == 2)
            edhoc_put_error_unknown_credential(&writer);
        else /* codes of somebody else's: any item follows */
            put_bytes(&writer,
                      form == 3 ? bytes_from("\x20\xa1\x01\x82\x02\x03", 6) : bytes_from("\x19\x01\x00\xf6", 4));
        struct bytes whole = writer_bytes(&writer);
        check_ok(edhoc_error_decode(whole, &error));
        assert_int_equal(error.code, form < 3 ? form + 1 : form == 3 ? -1 : 256);
        check_bytes(form == 0 ? bytes_from_text("method not supported") : (struct bytes){0}, error.text);
        assert_int_equal(error.suites_count, form == 1 ? 2 : 0);
        for (size_t len = 0; len < whole.len; len++)
            assert_int_not_equal(edhoc_error_decode(bytes_slice(whole, 0, len), &error), OK);
        put_u8(&writer, 0);
        check_status(MALFORMED, edhoc_error_decode(writer_bytes(&writer), &error));
    }
}

static void errors_of_another_shape_are_refused(void **state)
{
    struct edhoc_error error = {.code = 77};
    uint8_t room[256];
    (void)state;
    check_status(TRUNCATED, edhoc_error_decode((struct bytes){0}, &error));
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x00\xf5", 2), &error)); /* 0 is success (§6.1) */
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x01\x41\x61", 3), &error));
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x02\x80", 2), &error));
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x02\x81\x02", 3), &error));
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x02\x61\x61", 3), &error));
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x03\xf4", 2), &error));
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x03\x01", 2), &error));
    check_status(MALFORMED, edhoc_error_decode(bytes_from("\x58\x20", 2), &error));
    assert_int_equal(error.code, 77);
    for (size_t len = EDHOC_ERROR_TEXT_MAX; len <= EDHOC_ERROR_TEXT_MAX + 1; len++) {
        char text[EDHOC_ERROR_TEXT_MAX + 2] = {0};
        struct writer writer = writer_over(room, sizeof room);
        memset(text, 'x', len);
        edhoc_put_error(&writer, text);
        check_status(len > EDHOC_ERROR_TEXT_MAX ? NO_ROOM : OK, edhoc_error_decode(writer_bytes(&writer), &error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suites_are_negotiated_as_in_section_6_3),
        cmocka_unit_test(the_suites_are_those_of_the_registry),
        cmocka_unit_test(as_many_suites_as_there_is_room_for_are_taken),
        cmocka_unit_test(a_byte_that_is_a_small_integer_travels_as_that),
        cmocka_unit_test(identifiers_of_each_length_connect_and_one_past_does_not),
        cmocka_unit_test(the_responder_cannot_choose_the_initiators_identifier),
        cmocka_unit_test(items_are_read_as_they_were_written),
        cmocka_unit_test(padding_is_dropped_and_does_not_count),
        cmocka_unit_test(anything_but_a_label_with_or_without_a_string_is_refused),
        cmocka_unit_test(a_critical_item_that_is_not_known_ends_the_session_in_each_message),
        cmocka_unit_test(errors_are_read_whole_or_not_at_all),
        cmocka_unit_test(errors_of_another_shape_are_refused),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
