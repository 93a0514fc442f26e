/* vtpm's state: nothing answered before it is durable, nothing acknowledged lost, nothing earlier taken back. */
#include "vtpm_rig.h"

#include "vtpm_index_rig.h"

/* Indices of 1 KB, each of other bytes. */
static void fill(struct rig *rig, uint8_t count)
{
    uint8_t room[1024];
    for (uint8_t i = 0; i < count; i++) {
        memset(room, i + 1, sizeof room);
        assert_int_equal(0, rig_nv_define(rig, INDEX + 1 + i, sizeof room, ""));
        assert_int_equal(0, rig_nv_write(rig, INDEX + 1 + i, BYTES_OF(room), ""));
    }
}

/* Those behind it move: with five or more that is too long a record for the monitor to keep. */
static uint32_t take_out(struct rig *rig, uint8_t number)
{
    const uint32_t handles[] = {RIG_OWNER, INDEX + 1 + number};
    return rig_tpm(rig, rig_command(0x122, handles, 2, rig_no_auth, (struct bytes){0}), NULL);
}

static void check_refused(struct rig *rig, int exit_code, const char *word)
{
    const char *sentence;
    assert_int_equal(exit_code, rig_launch(rig));
    assert_int_equal(exit_code, vtpm_exit_code(rig->vtpm, &sentence));
    if (!strstr(sentence, word))
        fail_msg("\"%s\" does not say \"%s\"", sentence, word);
    rig_ask(rig, DOOR_VTPM_CONTROL, BYTES_OF(((const uint8_t[]){0, 0, 0, SWTPM_INIT, 0, 0, 0, 0})));
    assert_int_equal(0, rig->replies);
}

static void sql(const struct rig *rig, const char *text)
{
    sqlite3 *db = host(rig);
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, text, NULL, NULL, NULL));
    assert_true(sqlite3_changes(db) > 0);
    assert_int_equal(SQLITE_OK, sqlite3_close(db));
}

static void nothing_is_answered_before_it_is_durable(void **state)
{
    (void)state;
    static const struct {
        enum status says;
        bool does;
    } lies[] = {{NO_ROOM, false}, {IO, false}, {IO, true}};
    struct rig rig;
    begin(&rig);
    fill(&rig, 8);
    for (uint8_t i = 0; i < 3; i++) {
        assert_int_equal(0, put(&rig, (uint8_t)(10 + i)));
        rig.sync_says = lies[i].says;
        rig.sync_does = lies[i].does;
        const uint64_t sequence = rig.sequence;
        assert_int_equal(UINT32_MAX, take_out(&rig, i));
        assert_int_equal(0, rig.replies);
        rig_tick(&rig);
        assert_int_equal(0, rig.replies);
        assert_int_equal(sequence, rig.sequence);
        rig.sync_says = OK;
        rig_tick(&rig);
        assert_int_equal(1, rig.replies);
        assert_int_equal(sequence + 1, rig.sequence);
        assert_int_equal(0, rig.record_len); /* the host's alone */
        assert_int_equal(10 + i, get(&rig));
    }
    rig.mute = true;
    assert_int_equal(UINT32_MAX, put(&rig, 13));
    assert_true(rig.record_len > 0);
    rig.mute = false;
    rig_run(&rig);
    assert_int_equal(1, rig.replies);
    rig_stop(&rig);
    rig_on(&rig);
    assert_int_equal(13, get(&rig));
    rig_done(&rig);
}

/* What the host's death, or its disk, costs the log, as long as it is no more than the monitor keeps. */
static void what_the_host_lost_the_monitor_has(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    for (int lost = 0; lost <= MONITOR_RECORDS + 1; lost++) {
        char text[96];
        for (int i = 0; i < MONITOR_RECORDS + 1; i++)
            assert_int_equal(0, put(&rig, (uint8_t)(100 * (lost % 2) + i)));
        rig_end(&rig);
        snprintf(text, sizeof text, "DELETE FROM log WHERE sequence > %d", (int)rig.sequence - lost);
        if (lost)
            sql(&rig, text);
        if (lost > MONITOR_RECORDS) {
            check_refused(&rig, 7, "rolled back");
            break;
        }
        rig_on(&rig);
        assert_int_equal(100 * (lost % 2) + MONITOR_RECORDS, get(&rig));
    }
    rig_done(&rig);
}

/* What the monitor's last heads were went with the power, and the archive, which was ahead of it on the disk, did not.
 */
static void what_the_monitor_lost_the_host_has(void **state)
{
    (void)state;
    static const int lost[] = {1, 2, MONITOR_RECORDS, MONITOR_RECORDS + 1};
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
        struct rig rig;
        uint8_t hash[MONITOR_HASH_LEN];
        begin(&rig);
        assert_int_equal(0, put(&rig, 1));
        const uint64_t sequence = rig.sequence;
        memcpy(hash, rig.hash, sizeof hash);
        for (int j = 0; j < lost[i]; j++)
            assert_int_equal(0, put(&rig, (uint8_t)(100 + j)));
        assert_int_equal(sequence + (uint64_t)lost[i], rig.sequence);
        rig_end(&rig);
        rig.sequence = sequence;
        memcpy(rig.hash, hash, sizeof hash);
        if (lost[i] > MONITOR_RECORDS) {
            check_refused(&rig, 7, "further than this node ever confirmed");
        } else {
            rig_on(&rig);
            assert_true(rig.sequence >= sequence + (uint64_t)lost[i]);
            assert_int_equal(99 + lost[i], get(&rig));
        }
        rig_done(&rig);
    }
}

/* The host says that it cannot sync while nothing waits for that: nobody has to, until the monitor keeps no more. */
static void a_host_that_cannot_sync_holds_up_what_the_monitor_could_not_keep(void **state)
{
    (void)state;
    struct rig rig;
    int durable = 0;
    begin(&rig);
    rig.sync_says = NO_ROOM;
    while (put(&rig, (uint8_t)(durable + 10)) == 0)
        assert_true(++durable <= MONITOR_RECORDS);
    assert_true(durable >= MONITOR_RECORDS / 2);
    rig_tick(&rig);
    assert_int_equal(0, rig.replies);
    rig.sync_says = OK;
    rig_tick(&rig);
    assert_int_equal(1, rig.replies);
    assert_int_equal(durable + 10, get(&rig));
    rig_stop(&rig); /* the host has them all again */
    memset(rig.kept, 0, sizeof rig.kept);
    rig_on(&rig);
    assert_int_equal(durable + 10, get(&rig));
    rig_done(&rig);
}

/* Syncs that take their time, and then are done or fail: meanwhile commands go on, and however it ends, with the host's
 * part of the log kept or forgotten and the vTPM killed or not, nothing that was acknowledged is lost. */
static void nothing_is_lost_when_a_sync_that_was_under_way_fails(void **state)
{
    (void)state;
    for (int way = 0; way < 3 * 2 * 2 * 8; way++) {
        const int more = way % 8, ending = way / 8 % 2, killed = way / 16 % 2, sync = way / 32;
        struct rig rig;
        int value = 10;
        begin(&rig);
        rig.slow = true;
        while (!rig.late)
            assert_int_equal(0, put(&rig, (uint8_t)++value));
        for (int i = 0; i < more && put(&rig, (uint8_t)(value + 1)) == 0; i++)
            value++;
        rig.sync_says = sync == 0 ? OK : IO;
        rig.sync_does = sync == 2;
        rig.replies = 0;
        if (!killed)
            rig_catch_up(&rig);
        else
            while (rig.late) { /* the host still comes to what it was handed */
                struct rig_letter *letter = rig.late;
                rig.late = letter->next;
                if (letter->header.operation != DOOR_SYNC)
                    rig_serve(&rig, letter);
                else if (sync == 1)
                    archive_abandon(rig.archive);
                else
                    check_ok(archive_sync(rig.archive));
                free(letter);
            }
        rig.sync_says = OK;
        value += rig.replies == 1;
        if (ending)
            rig_end(&rig);
        else
            rig_stop(&rig);
        rig_on(&rig);
        const int found = get(&rig);
        assert_true(found == value || found == value + 1); /* the one that waited, if any did */
        rig_done(&rig);
    }
}

static void a_monitor_that_fails_to_give_what_it_keeps_is_no_rollback(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    for (uint8_t value = 2; value < 4; value++) /* of two the host cannot have synced both */
        assert_int_equal(0, put(&rig, value));
    rig_stop(&rig);
    rig.record_says = IO;
    check_refused(&rig, 9, "the monitor gives no record");
    rig_stop(&rig);
    rig.record_says = OK;
    rig_on(&rig);
    assert_int_equal(3, get(&rig));
    rig_done(&rig);
}

/* Kept with the first INIT that it serves, and not before: one that never served was never seen. */
static void a_machine_policy_never_goes_back(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    rig_stop(&rig);
    rig.machine.serial = 7;
    assert_int_equal(0, rig_launch(&rig));
    rig_stop(&rig);
    rig.machine.serial = 5;
    rig_on(&rig);
    rig_stop(&rig);
    rig.machine.serial = 4;
    check_refused(&rig, 7, "the machine policy is rolled back: its serial is 4, and 5 was seen");
    rig_stop(&rig);
    rig.machine = (struct image_machine){0};
    check_refused(&rig, 7, "the machine policy is gone: one with serial 5 was seen");
    rig_stop(&rig);
    rig.machine.serial = INT64_MAX;
    rig_on(&rig);
    assert_int_equal(1, get(&rig));
    rig_stop(&rig);
    rig.machine.serial--;
    check_refused(&rig, 7, "rolled back");
    rig_done(&rig);
}

static void what_changes_nothing_is_no_commit(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    (void)get(&rig);
    const uint64_t sequence = rig.sequence;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(1, get(&rig));
        assert_int_equal(0, rig_pcr_extend(&rig, 16));
    }
    assert_int_equal(sequence, rig.sequence);
    rig_done(&rig);
}

/* Killed just before each of the archive's operations, and right after each move of the head. */
static void killed_anywhere_it_keeps_what_it_acknowledged(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    int acknowledged = 1;
    for (uint64_t at = 1, stage = 0; stage < 2; at++) {
        rig_stop(&rig);
        *(stage ? &rig.die_at_advance : &rig.die_at) = at;
        bool on = rig_launch(&rig) == 0 && !rig.dead && rig_do(&rig, SWTPM_INIT) == 0 && !rig.dead;
        on = on && rig_startup(&rig) == 0 && !rig.dead;
        int tried = acknowledged;
        for (int i = 0; on && i < 4; i++) {
            tried = acknowledged % 100 + 1;
            if (put(&rig, (uint8_t)tried) != 0)
                break;
            acknowledged = tried;
        }
        const bool survived = !rig.dead;
        rig_stop(&rig);
        rig_on(&rig);
        const int found = get(&rig);
        assert_true(found == acknowledged || found == tried);
        acknowledged = found;
        if (survived && stage++ == 0)
            at = 0;
    }
    rig_done(&rig);
}

static void an_earlier_state_is_refused(void **state)
{
    (void)state;
    char old[128];
    struct rig rig;
    begin(&rig);
    snprintf(old, sizeof old, "%s.old", rig.path);
    rig_end(&rig);
    rig_copy(rig.path, old);
    rig_on(&rig);
    for (uint8_t i = 0; i <= MONITOR_RECORDS; i++)
        assert_int_equal(0, put(&rig, (uint8_t)(2 + i)));
    rig_end(&rig);
    rig_copy(old, rig.path);
    check_refused(&rig, 7, "rolled back");
    rig_done(&rig);
}

static void a_log_that_has_a_hole_or_is_gone_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    for (uint8_t i = 0; i <= MONITOR_RECORDS; i++)
        assert_int_equal(0, put(&rig, i));
    rig_end(&rig);
    sql(&rig, "DELETE FROM log WHERE sequence = 2");
    check_refused(&rig, 7, "not in one piece");
    rig_stop(&rig);
    sql(&rig, "DELETE FROM log");
    check_refused(&rig, 7, "empty");
    rig_done(&rig);
}

static void every_truncated_record_is_refused(void **state)
{
    (void)state;
    for (int part = 0; part < 8; part++) {
        char text[160];
        struct rig rig;
        begin(&rig);
        rig_end(&rig);
        snprintf(text, sizeof text,
                 "UPDATE log SET record = substr(record, 1, max(1, length(record) * %d / 8))"
                 " WHERE sequence = (SELECT max(sequence) FROM log)",
                 part);
        sql(&rig, text);
        check_refused(&rig, 8, "tampered");
        rig_done(&rig);
    }
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    sqlite3 *db = NULL;
    sqlite3_stmt *get_record = NULL;
    static uint8_t record[64u << 10], bent[64u << 10];
    begin(&rig);
    rig_end(&rig);
    assert_int_equal(SQLITE_OK, sqlite3_open_v2(rig.path, &db, SQLITE_OPEN_READWRITE, "unix"));
    sqlite3_prepare_v2(db, "SELECT record FROM log WHERE sequence = (SELECT max(sequence) FROM log)", -1, &get_record,
                       NULL);
    assert_int_equal(SQLITE_ROW, sqlite3_step(get_record));
    const size_t len = (size_t)sqlite3_column_bytes(get_record, 0);
    assert_true(len > 64 && len <= sizeof record);
    memcpy(record, sqlite3_column_blob(get_record, 0), len);
    sqlite3_finalize(get_record);
    sqlite3_close(db);
    for (size_t at = 0; at < len; at += at < 256 ? 7 : 97) {
        sqlite3_stmt *set = NULL;
        memcpy(bent, record, len);
        bent[at] ^= (uint8_t)(1u << at % 8);
        assert_int_equal(SQLITE_OK, sqlite3_open_v2(rig.path, &db, SQLITE_OPEN_READWRITE, "unix"));
        sqlite3_prepare_v2(db, "UPDATE log SET record = ? WHERE sequence = (SELECT max(sequence) FROM log)", -1, &set,
                           NULL);
        sqlite3_bind_blob(set, 1, bent, (int)len, SQLITE_STATIC);
        assert_int_equal(SQLITE_DONE, sqlite3_step(set));
        sqlite3_finalize(set);
        sqlite3_close(db);
        const int code = rig_launch(&rig);
        if (code != 8 && code != 7)
            fail_msg("exit code %d with a bit of byte %zu flipped", code, at);
        rig_stop(&rig);
    }
    rig_done(&rig);
}

static void another_instances_state_is_refused(void **state)
{
    (void)state;
    struct rig rig, other;
    begin(&rig);
    rig_end(&rig);
    rig_init(&other);
    memset(other.own.config, 3, sizeof other.own.config); /* the same monitor, another site id */
    rig_on(&other);
    assert_int_equal(0, rig_nv_define(&other, INDEX, 1, ""));
    rig_stop(&other);
    rig_copy(rig.path, other.path);
    check_refused(&other, 8, "another site");
    rig_done(&other);
    rig_on(&rig);
    assert_int_equal(1, get(&rig));
    rig_done(&rig);
}

static void an_older_program_is_refused_and_a_newer_one_reads(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    rig_stop(&rig);
    rig.own.security_version = 2;
    rig_on(&rig);
    assert_int_equal(1, get(&rig));
    assert_int_equal(0, put(&rig, 2));
    rig_stop(&rig);
    rig_on(&rig);
    assert_int_equal(2, get(&rig));
    rig_stop(&rig);
    rig.own.security_version = 1;
    check_refused(&rig, 8, "newer program");
    rig_done(&rig);
}

/* Requests that come while a commit is on its way wait for their turn, in order; what is too much is told at once. */
static void the_queue_keeps_order_and_has_an_end(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    rig.mute = true;
    assert_int_equal(UINT32_MAX, put(&rig, 5));
    const struct swtpm_request capability = {.command = SWTPM_GET_CAPABILITY};
    uint8_t room[16];
    struct writer writer = writer_over(room, sizeof room);
    swtpm_put_request(&writer, &capability);
    const uint64_t first = rig.channel;
    for (int i = 0; i < VTPM_QUEUE_MAX; i++) {
        rig_ask(&rig, DOOR_VTPM_CONTROL, writer_bytes(&writer));
        assert_int_equal(0, rig.replies);
    }
    assert_int_equal(SWTPM_RETRY, rig_do(&rig, SWTPM_STOP));
    assert_int_equal(0x922, rig_tpm(&rig, rig_command(0x17b, NULL, 0, NULL, BYTES_OF("\0")), NULL));
    /* All but the last leave; then one answer more than the commit's own comes, and it is the last one's. */
    const uint64_t last = first + VTPM_QUEUE_MAX;
    for (uint64_t channel = first; channel < last; channel++) {
        const struct door_header gone = {.operation = DOOR_GONE, .id = channel};
        vtpm_receive(rig.vtpm, &gone, (struct bytes){0});
    }
    rig.mute = false;
    rig.replies = 0;
    rig.any_channel = true;
    rig_run(&rig);
    assert_int_equal(2, rig.replies);
    assert_int_equal(last, rig.channel);
    rig.any_channel = false;
    assert_int_equal(5, get(&rig));
    rig_done(&rig);
}

static void snapshots_compact_the_log_and_hold_the_same(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    for (int i = 0; i < 1200; i++)
        assert_int_equal(0, put(&rig, (uint8_t)i));
    rig_end(&rig);
    sql(&rig, "UPDATE snapshot SET sequence = sequence"); /* there is one */
    rig_on(&rig);
    assert_int_equal((uint8_t)1199, get(&rig));
    rig_done(&rig);
}

/* A monitor that cannot make its head durable: a log that begins behind that would lead nowhere after a power cut. */
static void the_log_is_not_cut_before_the_head_is_durable(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    rig.head_says = IO;
    for (int i = 0; i < 600; i++)
        assert_int_equal(0, put(&rig, (uint8_t)i));
    rig_end(&rig);
    assert_int_equal(0, ask_host(&rig, "SELECT count(*) FROM snapshot"));
    rig.head_says = OK;
    rig_on(&rig);
    assert_int_equal(0, put(&rig, 9));
    rig_end(&rig);
    assert_int_equal(1, ask_host(&rig, "SELECT count(*) FROM snapshot"));
    rig_done(&rig);
}

/* The hardest case: a record beyond the head, so that the launch waits for the monitor after the last answer. */
static void a_host_that_answers_everything_twice_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    fill(&rig, 6);
    rig.sync_says = IO;
    rig.sync_does = true;
    assert_int_equal(UINT32_MAX, take_out(&rig, 0));
    rig_stop(&rig);
    rig.sync_says = OK;
    rig.twice = true;
    for (uint8_t value = 1; value < 4; value++) {
        const uint64_t sequence = rig.sequence;
        rig_on(&rig);
        assert_int_equal(value, get(&rig));
        assert_true(rig.sequence > sequence);
        assert_int_equal(0, put(&rig, (uint8_t)(value + 1)));
        rig_stop(&rig);
    }
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_answered_before_it_is_durable),
        cmocka_unit_test(what_the_host_lost_the_monitor_has),
        cmocka_unit_test(what_the_monitor_lost_the_host_has),
        cmocka_unit_test(nothing_is_lost_when_a_sync_that_was_under_way_fails),
        cmocka_unit_test(a_monitor_that_fails_to_give_what_it_keeps_is_no_rollback),
        cmocka_unit_test(a_host_that_cannot_sync_holds_up_what_the_monitor_could_not_keep),
        cmocka_unit_test(a_machine_policy_never_goes_back),
        cmocka_unit_test(what_changes_nothing_is_no_commit),
        cmocka_unit_test(killed_anywhere_it_keeps_what_it_acknowledged),
        cmocka_unit_test(an_earlier_state_is_refused),
        cmocka_unit_test(a_log_that_has_a_hole_or_is_gone_is_refused),
        cmocka_unit_test(every_truncated_record_is_refused),
        cmocka_unit_test(a_flipped_bit_anywhere_is_refused),
        cmocka_unit_test(another_instances_state_is_refused),
        cmocka_unit_test(an_older_program_is_refused_and_a_newer_one_reads),
        cmocka_unit_test(the_queue_keeps_order_and_has_an_end),
        cmocka_unit_test(a_host_that_answers_everything_twice_changes_nothing),
        cmocka_unit_test(snapshots_compact_the_log_and_hold_the_same),
        cmocka_unit_test(the_log_is_not_cut_before_the_head_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
