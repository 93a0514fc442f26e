/* vtpm_mover and two vTPMs, each in a process of its own as libtpms wants it: a move, an aborted one, a backup and what
 * is restored of it, every step doubled; and what the owner's side does not believe. */
#include "vtpm_pair_rig.h"

/* ---- Moves ---- */

/* The answer to the first is lost, so that the owner asks again. */
#define TWICE(far, call)                                                                                               \
    do {                                                                                                               \
        (far).deaf = true;                                                                                             \
        check_status(IO, call);                                                                                        \
        (far).deaf = false;                                                                                            \
        check_ok(call);                                                                                                \
        check_ok(call);                                                                                                \
    } while (0)

static void it_moves_with_every_answer_lost_once(void **state)
{
    (void)state;
    struct pair pair;
    struct vtpm_mover_end *const source = &pair.source.end, *const destination = &pair.destination.end;
    begin(&pair);
    check_at(&pair.destination, VTPM_EMPTY);
    TWICE(pair.destination, vtpm_mover_begin(source, destination, &move_owner));
    TWICE(pair.source, vtpm_mover_begin(source, destination, &move_owner));
    assert_true(source->facts.armed);
    check_status(DENIED, vtpm_mover_finish(source, destination, &move_owner));
    assert_non_null(strstr(destination->sentence, "has not landed"));
    pair.destination.deaf = true; /* it lands, and nobody hears of it */
    check_status(IO, vtpm_mover_carry(source, destination));
    pair.destination.deaf = false;
    check_at(&pair.destination, VTPM_LIVE);
    check_status(DENIED, vtpm_mover_abort(source, destination, &move_owner));
    check_at(&pair.source, VTPM_MOVED);
    TWICE(pair.source, vtpm_mover_finish(source, destination, &move_owner));
    check_at(&pair.source, VTPM_FORGOTTEN);
    assert_int_equal(1, far_do(&pair.destination, VALUE, 0));
    assert_int_equal(-1, far_do(&pair.source, VALUE, 0));
    done(&pair);
}

static void it_is_aborted_with_every_answer_lost_once(void **state)
{
    (void)state;
    struct pair pair;
    struct vtpm_mover_end *const source = &pair.source.end, *const destination = &pair.destination.end;
    begin(&pair);
    check_ok(vtpm_mover_begin(source, destination, &move_owner));
    TWICE(pair.destination, vtpm_mover_abort(source, destination, &move_owner)); /* before it left */
    check_at(&pair.source, VTPM_LIVE);
    assert_false(source->facts.armed);
    check_ok(vtpm_mover_begin(source, destination, &move_owner));
    pair.source.deaf = true; /* it leaves, and nobody gets it */
    check_status(IO, vtpm_mover_carry(source, destination));
    pair.source.deaf = false;
    check_at(&pair.source, VTPM_MOVED);
    assert_int_equal(-1, far_do(&pair.source, VALUE, 0));
    TWICE(pair.source, vtpm_mover_abort(source, destination, &move_owner));
    check_at(&pair.source, VTPM_LIVE);
    check_at(&pair.destination, VTPM_ABANDONED);
    assert_int_equal(1, far_do(&pair.source, VALUE, 0));
    done(&pair);
}

static void where_the_destination_is_lost_the_owners_word_counts(void **state)
{
    (void)state;
    struct pair pair;
    struct vtpm_mover_end *const source = &pair.source.end, *const destination = &pair.destination.end;
    begin(&pair);
    check_ok(vtpm_mover_begin(source, destination, &move_owner));
    pair.source.deaf = true;
    check_status(IO, vtpm_mover_carry(source, destination));
    pair.source.deaf = false;
    check_ok(vtpm_mover_abort(source, NULL, &move_owner));
    check_at(&pair.source, VTPM_LIVE);
    assert_int_equal(1, far_do(&pair.source, VALUE, 0));
    done(&pair);
}

static void a_source_that_was_restarted_is_granted_anew(void **state)
{
    (void)state;
    struct pair pair;
    struct vtpm_mover_end *const source = &pair.source.end, *const destination = &pair.destination.end;
    begin(&pair);
    check_ok(vtpm_mover_begin(source, destination, &move_owner));
    assert_int_equal(0, far_do(&pair.source, RESTART, 0));
    check_status(DENIED, vtpm_mover_carry(source, destination));
    assert_non_null(strstr(source->sentence, "granted no move"));
    check_ok(vtpm_mover_begin(source, destination, &move_owner));
    assert_int_equal(0, far_do(&pair.destination, RESTART, 0)); /* the landing key outlives it */
    check_ok(vtpm_mover_carry(source, destination));
    assert_int_equal(1, far_do(&pair.destination, VALUE, 0));
    done(&pair);
}

static void another_landing_key_is_not_taken_for_the_first(void **state)
{
    (void)state;
    struct pair pair;
    struct far third;
    struct vtpm_mover_end *const source = &pair.source.end, *const destination = &pair.destination.end;
    begin(&pair);
    far_begin(&third, true);
    check_ok(vtpm_mover_begin(source, destination, &move_owner));
    pair.source.deaf = true;
    check_status(IO, vtpm_mover_carry(source, destination));
    pair.source.deaf = false;
    check_status(DENIED, vtpm_mover_begin(source, &third.end, &move_owner));
    assert_non_null(strstr(source->sentence, "another landing key"));
    check_status(DENIED, vtpm_mover_carry(source, &third.end));
    check_status(DENIED, vtpm_mover_abort(source, &third.end, &move_owner)); /* drops a key that nothing left for */
    assert_non_null(strstr(third.end.sentence, "not the key"));
    check_at(&pair.source, VTPM_MOVED);
    check_ok(vtpm_mover_carry(source, destination));
    far_done(&third);
    done(&pair);
}

/* ---- What the owner's side does not believe ---- */

static void say_another_key(struct writer *answer)
{
    answer->data[VTPM_TRANSFER_MESSAGE_HEAD + 4 + 32 + 1] ^= 1; /* `to` */
}

static void say_landed(struct writer *answer)
{
    answer->data[VTPM_TRANSFER_MESSAGE_HEAD] = VTPM_LIVE;
}

static void say_half(struct writer *answer)
{
    answer->len /= 2;
}

static void a_host_that_bends_what_an_end_says_is_not_believed(void **state)
{
    (void)state;
    struct pair pair;
    struct vtpm_mover_end *const source = &pair.source.end, *const destination = &pair.destination.end;
    begin(&pair);
    pair.destination.bend = say_another_key; /* one of the host's own, say */
    check_status(DENIED, vtpm_mover_begin(source, destination, &move_owner));
    assert_int_equal(1u << EVIDENCE_USER_DATA, destination->evidence.reasons);
    pair.destination.bend = say_half;
    assert_int_not_equal(OK, vtpm_mover_begin(source, destination, &move_owner));
    pair.destination.bend = NULL;
    check_at(&pair.source, VTPM_LIVE);
    assert_false(source->facts.armed);
    check_ok(vtpm_mover_begin(source, destination, &move_owner));
    pair.source.deaf = true;
    check_status(IO, vtpm_mover_carry(source, destination));
    pair.source.deaf = false;
    pair.destination.bend = say_landed;
    check_status(DENIED, vtpm_mover_finish(source, destination, &move_owner));
    pair.destination.bend = say_another_key;
    check_status(DENIED, vtpm_mover_abort(source, destination, &move_owner));
    pair.destination.bend = NULL;
    check_at(&pair.source, VTPM_MOVED);
    done(&pair);
}

static void an_end_that_the_policy_does_not_accept_gets_no_grant(void **state)
{
    (void)state;
    static const uint8_t other[32] = {9};
    struct pair pair;
    struct vtpm_mover_end *const source = &pair.source.end, *const destination = &pair.destination.end;
    struct evidence_policy stricter;
    begin(&pair);
    stricter = policy;
    stricter.config = BYTES_OF(other);
    destination->policy = &stricter;
    check_status(DENIED, vtpm_mover_begin(source, destination, &move_owner));
    assert_int_equal(1u << EVIDENCE_CONFIG, destination->evidence.reasons);
    destination->policy = &policy;
    source->policy = &stricter;
    check_status(DENIED, vtpm_mover_begin(source, destination, &move_owner));
    source->policy = &policy;
    check_at(&pair.source, VTPM_LIVE);
    assert_false(source->facts.armed);
    done(&pair);
}

/* ---- Backups ---- */

static uint8_t bundle_room[VTPM_TRANSFER_BUNDLE_MAX], out_room[VTPM_TRANSFER_BUNDLE_MAX];

static struct bytes back_up(struct pair *pair, const struct crypto_key *backup)
{
    struct writer bundle = writer_over(bundle_room, sizeof bundle_room);
    check_ok(vtpm_mover_backup(&pair->source.end, &move_owner, &backup->public_key, &bundle));
    return writer_bytes(&bundle);
}

static void a_backup_is_restored_by_its_owner_and_nobody_else(void **state)
{
    (void)state;
    struct pair pair;
    struct crypto_key backup = {0}, other = {0};
    struct crypto_public landing;
    struct writer out = writer_over(out_room, sizeof out_room);
    check_ok(crypto_key_generate(&backup, CRYPTO_P256));
    check_ok(crypto_key_generate(&other, CRYPTO_P256));
    landing = other.public_key;
    begin(&pair);
    const struct bytes bundle = back_up(&pair, &backup);
    check_at(&pair.source, VTPM_LIVE);
    assert_int_equal(1, far_do(&pair.source, VALUE, 0));
    check_status(AUTH, vtpm_mover_rewrap(bundle, &move_owner, &other, &landing, &out));
    check_status(AUTH, vtpm_mover_rewrap(bundle, &other, &backup, &landing, &out));
    for (size_t at = 0; at < 300; at += 3) { /* up to its content, which the destination checks */
        bundle_room[at] ^= 1;
        assert_int_not_equal(OK, vtpm_mover_rewrap(bundle, &move_owner, &backup, &landing, &out));
        bundle_room[at] ^= 1;
    }
    assert_int_equal(0, out.len);
    check_status(DENIED, vtpm_mover_restore(&pair.source.end, &move_owner, &backup, bundle));
    assert_non_null(strstr(pair.source.end.sentence, "it would be lost"));
    bundle_room[bundle.len - 1] ^= 1;
    check_status(DENIED, vtpm_mover_restore(&pair.destination.end, &move_owner, &backup, bundle));
    assert_non_null(strstr(pair.destination.end.sentence, "changed after it was sealed"));
    bundle_room[bundle.len - 1] ^= 1;
    check_ok(vtpm_mover_restore(&pair.destination.end, &move_owner, &backup, bundle));
    assert_int_equal(VTPM_LIVE, pair.destination.end.facts.custody);
    assert_int_equal(1, far_do(&pair.destination, VALUE, 0));
    done(&pair);
    crypto_key_done(&backup);
    crypto_key_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_moves_with_every_answer_lost_once),
        cmocka_unit_test(it_is_aborted_with_every_answer_lost_once),
        cmocka_unit_test(where_the_destination_is_lost_the_owners_word_counts),
        cmocka_unit_test(a_source_that_was_restarted_is_granted_anew),
        cmocka_unit_test(another_landing_key_is_not_taken_for_the_first),
        cmocka_unit_test(a_host_that_bends_what_an_end_says_is_not_believed),
        cmocka_unit_test(an_end_that_the_policy_does_not_accept_gets_no_grant),
        cmocka_unit_test(a_backup_is_restored_by_its_owner_and_nobody_else),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
