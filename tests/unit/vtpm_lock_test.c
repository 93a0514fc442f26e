/* A vTPM's passphrase: the first is kept, and no INIT without it afterwards. */
#include "vtpm_rig.h"

/* A result of swtpm's, or UINT32_MAX: there was no answer. */
static uint32_t unlock(struct rig *rig, struct bytes passphrase)
{
    rig_ask(rig, DOOR_VTPM_UNLOCK, passphrase);
    if (rig->replies != 1 || rig->reply_len != 4)
        return UINT32_MAX;
    struct reader reader = reader_over(bytes_from(rig->reply, rig->reply_len));
    return take_u32be(&reader);
}

static uint32_t say(struct rig *rig, const char *passphrase)
{
    return unlock(rig, bytes_from_text(passphrase));
}

static void the_first_one_is_kept_and_wanted_after_each_launch(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    const uint64_t before = rig.sequence;
    assert_int_equal(SWTPM_OK, say(&rig, "open sesame"));
    assert_true(rig.sequence > before); /* durable before it is answered */
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT)); /* a VM's reset */
    rig_stop(&rig);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_INIT));
    assert_non_null(strstr(rig.audit, "refused=init: it starts with its passphrase only"));
    assert_int_not_equal(0, rig_startup(&rig));
    assert_int_equal(SWTPM_OK, say(&rig, "open sesame"));
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0, rig_startup(&rig));
    rig_done(&rig);
}

static void another_opens_nothing_and_there_is_one_try_a_launch(void **state)
{
    (void)state;
    static const char *const wrong[] = {"open sesam", "open sesamf", "open sesamee", "Open sesame"};
    struct rig rig;
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(SWTPM_OK, say(&rig, "open sesame"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rig_stop(&rig);
        assert_int_equal(0, rig_launch(&rig));
        assert_int_equal(SWTPM_AUTH_FAIL, say(&rig, wrong[i]));
        assert_non_null(strstr(rig.audit, "refused=passphrase"));
        assert_null(strstr(rig.audit, wrong[i]));
        assert_int_equal(SWTPM_BAD_ORDINAL, say(&rig, "open sesame"));
        assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_INIT));
    }
    rig_done(&rig);
}

static void without_one_nothing_is_asked_and_it_is_not_for_a_tpm_that_runs(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_on(&rig);
    assert_int_equal(SWTPM_BAD_ORDINAL, say(&rig, "open sesame"));
    rig_stop(&rig);
    rig_on(&rig);
    rig_stop(&rig);
    assert_int_equal(0, rig_launch(&rig)); /* one that was made without may have one later */
    assert_int_equal(SWTPM_OK, say(&rig, "open sesame"));
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
    rig_done(&rig);
}

static void it_has_a_length(void **state)
{
    (void)state;
    static const uint8_t room[DOOR_VTPM_PASSPHRASE_MAX + 1] = {7};
    struct rig rig;
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(SWTPM_BAD_PARAMETER, unlock(&rig, bytes_from(room, 0)));
    assert_int_equal(SWTPM_BAD_PARAMETER, unlock(&rig, BYTES_OF(room)));
    assert_int_equal(SWTPM_OK, unlock(&rig, bytes_from(room, sizeof room - 1)));
    rig_done(&rig);
}

static void one_that_was_not_durable_was_not_taken(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    rig.mute = true;
    assert_int_equal(UINT32_MAX, say(&rig, "lost"));
    rig_stop(&rig);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(SWTPM_OK, say(&rig, "open sesame"));
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_one_is_kept_and_wanted_after_each_launch),
        cmocka_unit_test(another_opens_nothing_and_there_is_one_try_a_launch),
        cmocka_unit_test(without_one_nothing_is_asked_and_it_is_not_for_a_tpm_that_runs),
        cmocka_unit_test(it_has_a_length),
        cmocka_unit_test(one_that_was_not_durable_was_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
