/* vtpm: a move that is killed at every step, on either side: what it left says where the state is, is served by one of
 * the two or by none, and is taken up again to the end. */
#include "vtpm_transfer_rig.h"

struct both {
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN];
    struct bytes whole;
};

/* How many of the two have a state that they would serve; each looked at in a launch of its own. */
static int usable(struct both *both)
{
    int count = 0;
    struct rig *const ends[] = {&both->source, &both->destination};
    for (int i = 0; i < 2; i++) {
        rig_stop(&both->source);
        rig_stop(&both->destination);
        assert_int_equal(0, rig_launch(ends[i]));
        const enum vtpm_custody custody = move_status(ends[i]).custody;
        const bool serves = rig_do(ends[i], SWTPM_INIT) == SWTPM_OK;
        assert_int_equal(custody == VTPM_LIVE || custody == VTPM_EMPTY, serves);
        assert_int_not_equal(VTPM_EMPTY, custody);
        if (serves) {
            (void)rig_startup(ends[i]);
            assert_int_equal(1, move_value(ends[i]));
        }
        count += serves;
        rig_stop(ends[i]);
    }
    return count;
}

enum step { STEP_GIVE, STEP_LAND, STEP_FORGET, STEP_ABANDON, STEP_RESUME };

/* What a step leaves where it is over. */
static const struct {
    bool at_destination;
    enum vtpm_custody before, after;
    int usable_before, usable_after;
} steps[] = {[STEP_GIVE] = {false, VTPM_LIVE, VTPM_MOVED, 1, 0},
             [STEP_LAND] = {true, VTPM_LANDING, VTPM_LIVE, 0, 1},
             [STEP_FORGET] = {false, VTPM_MOVED, VTPM_FORGOTTEN, 1, 1},
             [STEP_ABANDON] = {true, VTPM_LANDING, VTPM_ABANDONED, 0, 0},
             [STEP_RESUME] = {false, VTPM_MOVED, VTPM_LIVE, 0, 1}};

static void take(struct both *both, enum step step)
{
    struct rig *rig = steps[step].at_destination ? &both->destination : &both->source;
    switch (step) {
    case STEP_GIVE:
        if (move_status(rig).custody == VTPM_LIVE)
            assert_int_equal(OK, move_granted(rig, VTPM_GRANT_MOVE, both->to));
        both->whole = move_give(rig);
        return;
    case STEP_LAND:
        if (move_status(rig).custody == VTPM_LANDING)
            (void)move_ask(rig, VTPM_TRANSFER_LAND, both->whole);
        return;
    case STEP_FORGET:
        if (move_status(rig).custody == VTPM_MOVED)
            (void)move_granted(rig, VTPM_GRANT_FORGET, both->to);
        return;
    case STEP_ABANDON:
        (void)move_ask(rig, VTPM_TRANSFER_ABANDON, (struct bytes){0});
        return;
    case STEP_RESUME:
        if (move_status(rig).custody == VTPM_MOVED)
            (void)move_granted(rig, VTPM_GRANT_RESUME, both->to);
        return;
    }
}

/* Where it is killed: just before an operation of the archive, or just after a move of the head. */
struct death {
    bool at_advance;
    uint64_t at; /* 0: not at all */
};

/* After a step that was cut short it is what it was or what it should be, and says which. True: it was over. */
static bool step_dies(struct both *both, enum step step, struct death death)
{
    struct rig *rig = steps[step].at_destination ? &both->destination : &both->source;
    assert_int_equal(0, rig_launch(rig));
    if (step == STEP_GIVE)
        assert_int_equal(SWTPM_OK, rig_do(rig, SWTPM_INIT));
    rig->operations = rig->advances = 0;
    *(death.at_advance ? &rig->die_at_advance : &rig->die_at) = death.at;
    take(both, step);
    const bool survived = !rig->dead;
    rig_stop(rig);
    assert_int_equal(0, rig_launch(rig));
    const enum vtpm_custody found = move_status(rig).custody;
    const bool over = found == steps[step].after;
    assert_true(over || (!survived && found == steps[step].before));
    assert_int_equal(over ? steps[step].usable_after : steps[step].usable_before, usable(both));
    return survived;
}

/* And is taken up again, the next time to its end. */
static void step_ends(struct both *both, enum step step)
{
    struct rig *rig = steps[step].at_destination ? &both->destination : &both->source;
    assert_int_equal(0, rig_launch(rig));
    take(both, step);
    assert_int_equal(steps[step].after, move_status(rig).custody);
    rig_stop(rig);
}

static void killed_at_each(const enum step path[3])
{
    unsigned deaths = 0;
    for (int mortal = 0; mortal < 3; mortal++)
        for (int at_advance = 0; at_advance < 2; at_advance++) {
            bool survived = false;
            for (uint64_t at = 1; !survived; at++) {
                struct both both;
                move_begin(&both.source, &both.destination, both.to);
                rig_stop(&both.source);
                assert_int_equal(1, usable(&both));
                for (int i = 0; i < 3; i++) {
                    if (i == mortal)
                        survived = step_dies(&both, path[i], (struct death){at_advance, at});
                    step_ends(&both, path[i]);
                    assert_int_equal(steps[path[i]].usable_after, usable(&both));
                }
                deaths += !survived;
                rig_done(&both.source);
                rig_done(&both.destination);
            }
        }
    assert_int_equal(19, deaths); /* three behind a head, sixteen before what the archive is handed and has to sync */
}

static void killed_at_any_step_of_a_move_one_is_usable_or_none(void **state)
{
    (void)state;
    static const enum step path[] = {STEP_GIVE, STEP_LAND, STEP_FORGET};
    killed_at_each(path);
}

static void killed_at_any_step_of_an_aborted_move_one_is_usable_or_none(void **state)
{
    (void)state;
    static const enum step path[] = {STEP_GIVE, STEP_ABANDON, STEP_RESUME};
    killed_at_each(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_any_step_of_a_move_one_is_usable_or_none),
        cmocka_unit_test(killed_at_any_step_of_an_aborted_move_one_is_usable_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
