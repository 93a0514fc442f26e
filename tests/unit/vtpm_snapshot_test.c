/* vtpm: snapshots of a VM, where its owner's machine policy allows them: taken back whole, on this node, by this
 * instance, or refused by name with nothing changed. */
#include "vtpm_transfer_rig.h"

static struct move_blobs blobs, other_blobs;

static void begin(struct rig *rig)
{
    move_init(rig);
    rig->machine.serial = 1;
    rig->machine.snapshots = true;
    move_source(rig, 1);
}

static void put(struct rig *rig, uint8_t value)
{
    assert_int_equal(0, rig_nv_write(rig, MOVE_INDEX, bytes_from(&value, 1), ""));
}

static void check_audit(struct rig *rig, const char *word)
{
    if (!strstr(rig->audit, word))
        fail_msg("the audit log does not say \"%s\":\n%s", word, rig->audit);
    rig->audit[0] = 0;
}

static void a_snapshot_is_taken_back_with_its_pcrs(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t before[32], after[32];
    begin(&rig);
    rig_pcr_read(&rig, 16, before);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    assert_int_equal(SWTPM_STATE_ENCRYPTED, blobs.flags[0]);
    put(&rig, 2);
    assert_int_equal(0, rig_pcr_extend(&rig, 16));
    for (int i = 0; i < 2; i++) { /* as often as its owner likes */
        assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_STOP));
        assert_int_equal(SWTPM_OK, move_set_state(&rig, &blobs));
        assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
        check_audit(&rig, "state=taken_back");
        assert_int_equal(1, move_value(&rig));
        rig_pcr_read(&rig, 16, after);
        assert_memory_equal(before, after, sizeof after);
        put(&rig, 3);
    }
    rig_stop(&rig);
    rig_on(&rig);
    assert_int_equal(3, move_value(&rig));
    assert_false(move_pcr_extended(&rig)); /* nor is a PCR kept that went back once */
    rig_done(&rig);
}

static void a_snapshot_tells_no_state(void **state)
{
    (void)state;
    struct rig rig;
    static const char secret[] = "a secret that lies in an index";
    begin(&rig);
    assert_int_equal(0, rig_nv_define(&rig, MOVE_INDEX + 1, sizeof secret, ""));
    assert_int_equal(0, rig_nv_write(&rig, MOVE_INDEX + 1, BYTES_OF(secret), ""));
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    for (size_t i = 0; i < 3; i++)
        assert_null(memmem(blobs.data[i], blobs.len[i], secret, 8));
    rig_done(&rig);
}

static void it_is_given_in_pieces_to_who_asks_so(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    struct swtpm_request request = {.command = SWTPM_GET_STATE, .of.get_state = {0, SWTPM_PERMANENT, 0}};
    const uint32_t total = rig_control(&rig, &request).of.state.total;
    request.of.get_state.off = total - 5;
    struct swtpm_reply reply = rig_control(&rig, &request);
    assert_int_equal(5, reply.of.state.blob.len);
    assert_int_equal(total, reply.of.state.total);
    request.of.get_state.off = total;
    assert_int_equal(0, rig_control(&rig, &request).of.state.blob.len);
    request.of.get_state.off = total + 1;
    assert_int_equal(SWTPM_BAD_PARAMETER, rig_control(&rig, &request).result);
    rig_done(&rig);
}

static void without_the_owners_leave_there_is_none(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    rig_stop(&rig);
    rig.machine.serial = 2;
    rig.machine.snapshots = false;
    rig_on(&rig);
    assert_int_equal(SWTPM_FAIL, move_get_state(&rig, &other_blobs));
    check_audit(&rig, "refused=get_state: the machine policy allows no snapshots");
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_STOP));
    assert_int_equal(SWTPM_FAIL, move_set_state(&rig, &blobs));
    check_audit(&rig, "refused=set_state: the machine policy allows no snapshots");
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0, rig_startup(&rig));
    assert_int_equal(1, move_value(&rig));
    rig_done(&rig);
}

/* Set, INIT, and the state is as it was: 2, of which there is no snapshot. */
static void check_refused(struct rig *rig, const struct move_blobs *given, const char *why)
{
    assert_int_equal(SWTPM_OK, rig_do(rig, SWTPM_STOP));
    const uint64_t sequence = rig->sequence;
    if (move_set_state(rig, given) == SWTPM_OK)
        assert_int_equal(SWTPM_FAIL, rig_do(rig, SWTPM_INIT));
    check_audit(rig, why);
    assert_int_equal(sequence, rig->sequence);
    assert_int_equal(SWTPM_OK, rig_do(rig, SWTPM_INIT));
    assert_int_equal(0, rig_startup(rig));
    assert_int_equal(2, move_value(rig));
}

static void what_is_cut_bent_mixed_or_incomplete_is_refused_by_name(void **state)
{
    (void)state;
    static struct move_blobs bent;
    struct rig rig;
    begin(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &other_blobs));
    put(&rig, 2);
    for (size_t i = 0; i < 3; i++) {
        for (size_t cut = 0; cut < 8; cut++) {
            bent = blobs;
            bent.len[i] = blobs.len[i] * cut / 8;
            check_refused(&rig, &bent, "cut short");
        }
        for (size_t at = 0; at < blobs.len[i]; at += at < 240 ? 7 : 499) {
            bent = blobs;
            bent.data[i][at] ^= (uint8_t)(1u << at % 8);
            check_refused(&rig, &bent, "refused=");
        }
        bent = blobs;
        memcpy(bent.data[i], other_blobs.data[i], other_blobs.len[i]);
        bent.len[i] = other_blobs.len[i];
        check_refused(&rig, &bent, "of different snapshots");
    }
    bent = blobs;
    memcpy(bent.data[1], blobs.data[0], blobs.len[0]);
    bent.len[1] = blobs.len[0];
    check_refused(&rig, &bent, "another kind of state than it is set as");
    /* Not all of it. */
    for (uint32_t missing = 0; missing < 3; missing++) {
        assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_STOP));
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(SWTPM_OK, i == missing ? SWTPM_OK : move_set_one(&rig, &blobs, i));
        assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_INIT));
        check_audit(&rig, "refused=init: a kind of state is missing");
        assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
        assert_int_equal(0, rig_startup(&rig));
        assert_int_equal(2, move_value(&rig));
    }
    rig_done(&rig);
}

static void a_command_in_between_makes_another_snapshot(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    put(&rig, 2);
    const struct swtpm_request request = {.command = SWTPM_GET_STATE, .of.get_state = {0, SWTPM_VOLATILE, 0}};
    const struct swtpm_reply reply = rig_control(&rig, &request);
    memcpy(blobs.data[1], reply.of.state.blob.data, reply.of.state.blob.len);
    blobs.len[1] = reply.of.state.blob.len;
    check_refused(&rig, &blobs, "of different snapshots");
    rig_done(&rig);
}

static void what_is_anothers_is_refused_by_name(void **state)
{
    (void)state;
    struct rig rig, other;
    begin(&rig);
    put(&rig, 2);
    rig_stop(&rig);
    begin(&other); /* a state of its own, for the same configuration: another node's, or one before this */
    assert_int_equal(SWTPM_OK, move_get_state(&other, &blobs));
    rig_done(&other);
    move_init(&other);
    other.machine = rig.machine;
    other.configuration.site[0] ^= 1;
    memset(other.own.config, 3, sizeof other.own.config);
    move_source(&other, 1);
    assert_int_equal(SWTPM_OK, move_get_state(&other, &other_blobs));
    rig_done(&other);
    rig_on(&rig);
    check_refused(&rig, &blobs, "from before the state came here, or of another node's");
    check_refused(&rig, &other_blobs, "another instance's");
    rig_done(&rig);
}

static void a_newer_programs_is_refused_and_an_older_ones_taken(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    put(&rig, 2);
    rig_stop(&rig);
    rig.own.security_version = 2;
    rig_on(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &other_blobs));
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_STOP));
    assert_int_equal(SWTPM_OK, move_set_state(&rig, &blobs));
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(1, move_value(&rig));
    rig_done(&rig);
    /* The same store cannot be read by the older program at all; its blob names itself the same way. */
    begin(&rig);
    put(&rig, 2);
    check_refused(&rig, &other_blobs, "sealed by a newer program");
    rig_done(&rig);
}

/* Taken in and not applied yet when the state leaves: it has no effect on what left, nor on what may come back. */
static void a_snapshot_that_waits_is_void_once_the_state_leaves(void **state)
{
    (void)state;
    static uint8_t first[VTPM_TRANSFER_BUNDLE_MAX];
    struct rig rig;
    struct crypto_key landing = {0};
    check_ok(crypto_key_generate(&landing, CRYPTO_P256));
    begin(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    put(&rig, 2);
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_STOP));
    assert_int_equal(SWTPM_OK, move_set_state(&rig, &blobs));
    assert_int_equal(OK, move_granted(&rig, VTPM_GRANT_MOVE, landing.public_key.data));
    const struct bytes once = move_give(&rig);
    assert_true(once.len > 0);
    memcpy(first, once.data, once.len);
    assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_INIT));
    check_audit(&rig, "refused=init: the state has left");
    check_bytes(bytes_from(first, once.len), move_give(&rig));
    assert_int_equal(SWTPM_FAIL, move_set_state(&rig, &blobs));
    check_audit(&rig, "there is no state here");
    assert_int_equal(OK, move_granted(&rig, VTPM_GRANT_RESUME, landing.public_key.data));
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0, rig_startup(&rig));
    assert_int_equal(2, move_value(&rig));
    rig_done(&rig);
    crypto_key_done(&landing);
}

static void killed_anywhere_it_is_the_one_state_or_the_other(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    put(&rig, 2);
    for (uint64_t at = 1, stage = 0; stage < 2; at++) {
        assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_STOP));
        assert_int_equal(SWTPM_OK, move_set_state(&rig, &blobs));
        rig.operations = rig.advances = 0;
        *(stage ? &rig.die_at_advance : &rig.die_at) = at;
        const struct swtpm_request init = {.command = SWTPM_INIT};
        uint8_t room[16];
        struct writer writer = writer_over(room, sizeof room);
        swtpm_put_request(&writer, &init);
        rig_ask(&rig, DOOR_VTPM_CONTROL, writer_bytes(&writer));
        const bool survived = !rig.dead;
        const bool answered = rig.replies == 1; /* the host may die behind the answer */
        assert_true(answered || !survived);
        rig_stop(&rig);
        rig_on(&rig);
        const int found = move_value(&rig);
        assert_true(answered ? found == 1 : found == 1 || found == 2);
        put(&rig, 2);
        if (survived && stage++ == 0)
            at = 0;
    }
    rig_done(&rig);
}

/* tests/vectors/vtpm_store_1.tsv, as the vTPM before this table wrote it. */
static void a_store_of_the_first_version_is_read_and_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    move_init(&rig);
    rig_take_log(&rig, "tests/vectors/vtpm_store_1.tsv");
    assert_int_equal(5, rig.sequence);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(VTPM_LIVE, move_status(&rig).custody);
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0x2a, move_value(&rig)); /* running, as it was */
    assert_true(move_pcr_extended(&rig));
    put(&rig, 2);
    rig_stop(&rig);
    rig.machine.serial = 1;
    rig.machine.snapshots = true;
    rig_on(&rig);
    assert_int_equal(SWTPM_OK, move_get_state(&rig, &blobs));
    assert_int_equal(2, move_value(&rig));
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_taken_back_with_its_pcrs),
        cmocka_unit_test(a_snapshot_tells_no_state),
        cmocka_unit_test(it_is_given_in_pieces_to_who_asks_so),
        cmocka_unit_test(without_the_owners_leave_there_is_none),
        cmocka_unit_test(what_is_cut_bent_mixed_or_incomplete_is_refused_by_name),
        cmocka_unit_test(a_command_in_between_makes_another_snapshot),
        cmocka_unit_test(what_is_anothers_is_refused_by_name),
        cmocka_unit_test(a_newer_programs_is_refused_and_an_older_ones_taken),
        cmocka_unit_test(a_snapshot_that_waits_is_void_once_the_state_leaves),
        cmocka_unit_test(killed_anywhere_it_is_the_one_state_or_the_other),
        cmocka_unit_test(a_store_of_the_first_version_is_read_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
