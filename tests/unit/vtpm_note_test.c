/* vtpm's records: what of a state changed, noted; read beside those of earlier versions, refused where it makes no
 * sense; and the snapshots that stand for them. */
#include "../vtpm_transfer_rig.h"

#include "../record_rig.h"
#include "../vtpm_index_rig.h"
#include "vtpm_internal.h"

#define LOG_RECORDS 128 /* as enclave/vtpm/vtpm.c has it */

static size_t told_state(const struct rig *rig)
{
    const char *told = strstr(rig->audit, " state=");
    assert_non_null(told);
    return strtoul(told + 7, NULL, 10);
}

/* ---- The last record, from the inside ---- */

static struct bytes last_record(const struct rig *rig)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    sqlite3 *db = host(rig);
    sqlite3_stmt *get_record = NULL;
    sqlite3_prepare_v2(db, "SELECT record FROM log ORDER BY sequence DESC LIMIT 1", -1, &get_record, NULL);
    assert_int_equal(SQLITE_ROW, sqlite3_step(get_record));
    const size_t len = (size_t)sqlite3_column_bytes(get_record, 0);
    assert_true(len <= sizeof room);
    memcpy(room, sqlite3_column_blob(get_record, 0), len);
    sqlite3_finalize(get_record);
    sqlite3_close(db);
    return bytes_from(room, len);
}

static void key_of(struct rig *rig, struct bytes record, uint8_t key[32])
{
    const struct monitor_seal seal = {.label = "vtpm", .open = 1, .inputs = record_inputs(record)};
    struct monitor_seal_reply reply;
    check_ok(rig_seal_key(rig, &seal, &reply));
    memcpy(key, reply.key, 32);
}

/* The monitor's head is on it. */
static void set_last(struct rig *rig, struct bytes text)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    const struct bytes record = last_record(rig);
    uint8_t key[32];
    key_of(rig, record, key);
    const struct bytes bent = record_with(key, record, text, &writer);
    check_ok(crypto_hash(CRYPTO_SHA256, &bent, 1, rig->hash));
    sqlite3 *db = host(rig);
    sqlite3_stmt *set = NULL;
    sqlite3_prepare_v2(db, "UPDATE log SET record = ? WHERE sequence = (SELECT max(sequence) FROM log)", -1, &set,
                       NULL);
    sqlite3_bind_blob(set, 1, bent.data, (int)bent.len, SQLITE_STATIC);
    assert_int_equal(SQLITE_DONE, sqlite3_step(set));
    sqlite3_finalize(set);
    sqlite3_close(db);
}

static void check_unfit(struct rig *rig)
{
    const char *sentence;
    assert_int_equal(1, rig_launch(rig));
    vtpm_exit_code(rig->vtpm, &sentence);
    if (!strstr(sentence, "contradict"))
        fail_msg("\"%s\"", sentence);
    rig_stop(rig);
}

/* {what, kind, off, len, len bytes of 7}; what 2 has neither len nor bytes. */
static void put_note(struct writer *writer, uint8_t what, uint8_t kind, size_t off, size_t len)
{
    put_u8(writer, what);
    put_u8(writer, kind);
    put_u32be(writer, (uint32_t)off);
    if (what == 2)
        return;
    put_u32be(writer, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        put_u8(writer, 7);
}

static void set_note(struct rig *rig, uint8_t what, uint8_t kind, size_t off, size_t len)
{
    static uint8_t room[VTPM_STATE_MAX + 64], notes_room[VTPM_STATE_MAX + 32];
    struct writer text = writer_over(room, sizeof room), notes = writer_over(notes_room, sizeof notes_room);
    put_note(&notes, what, kind, off, len);
    check_ok(writer_end(&notes));
    put_u32be(&text, (uint32_t)notes.len);
    put_bytes(&text, writer_bytes(&notes));
    check_ok(writer_end(&text));
    set_last(rig, writer_bytes(&text));
}

/* ---- Records ---- */

static void a_record_has_what_changed_and_not_the_state(void **state)
{
    (void)state;
    uint8_t room[512], key[32];
    struct writer writer = writer_over(room, sizeof room);
    struct rig rig;
    begin(&rig);
    assert_int_equal(0, put(&rig, 0x2a));
    rig_end(&rig);
    const struct bytes record = last_record(&rig);
    key_of(&rig, record, key);
    struct reader text = reader_over(record_text(key, record, &writer));
    assert_int_equal(11, take_u32be(&text));
    assert_int_equal(1, take_u8(&text));
    assert_int_equal(0, take_u8(&text));
    (void)take_u32be(&text);
    assert_int_equal(1, take_u32be(&text));
    assert_int_equal(0x2a, take_u8(&text));
    check_ok(reader_end(&text));
    rig_done(&rig);
}

static void a_state_grows_shrinks_and_comes_back(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[1024];
    struct bytes back = {0};
    begin(&rig);
    for (uint8_t i = 1; i < 12; i++) {
        const uint32_t handles[] = {RIG_OWNER, INDEX + i - 3};
        const uint16_t len = (uint16_t)(91 * i);
        memset(room, i, sizeof room);
        assert_int_equal(0, rig_nv_define(&rig, INDEX + i, len, ""));
        assert_int_equal(0, rig_nv_write(&rig, INDEX + i, bytes_from(room, len), ""));
        if (i > 3)
            assert_int_equal(0, rig_tpm(&rig, rig_command(0x122, handles, 2, rig_no_auth, (struct bytes){0}), NULL));
        assert_int_equal(0, put(&rig, i));
        if (i % 4 == 0)
            assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_STORE_VOLATILE));
        rig_end(&rig);
        assert_int_equal(0, rig_launch(&rig));
        assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
        if (i % 4)
            assert_int_equal(0, rig_startup(&rig));
        assert_int_equal(i, get(&rig));
        assert_int_equal(0, rig_nv_read(&rig, INDEX + i, len, "", &back));
        check_bytes(bytes_from(room, len), back);
    }
    rig_done(&rig);
}

static void a_store_of_the_version_before_is_read_and_goes_on_in_notes(void **state)
{
    (void)state;
    struct rig rig;
    move_init(&rig);
    rig_take_log(&rig, "tests/vectors/vtpm_store_4.tsv");
    assert_int_equal(5, rig.sequence);
    for (uint8_t value = 0x2a; value < 0x2e; value++) {
        rig_on(&rig);
        assert_int_equal(VTPM_LIVE, move_status(&rig).custody);
        assert_int_equal(value, get(&rig));
        assert_int_equal(0, put(&rig, (uint8_t)(value + 1)));
        rig_end(&rig);
    }
    assert_true(ask_host(&rig, "SELECT count(*) FROM snapshot") > 0); /* which an upgrade is worth */
    rig_done(&rig);
}

static void notes_cut_short_or_with_a_byte_more_are_refused(void **state)
{
    (void)state;
    uint8_t room[512], key[32];
    struct writer writer = writer_over(room, sizeof room);
    struct rig rig;
    begin(&rig);
    assert_int_equal(0, put(&rig, 2));
    rig_end(&rig);
    const struct bytes record = last_record(&rig);
    key_of(&rig, record, key);
    const size_t len = record_text(key, record, &writer).len;
    for (size_t part = 0; part < len; part++) {
        set_last(&rig, bytes_from(room, part));
        check_unfit(&rig);
        if (part < 4)
            continue;
        uint8_t shorter[sizeof room]; /* and the length says so */
        memcpy(shorter, room, part);
        shorter[3] = (uint8_t)(part - 4);
        set_last(&rig, bytes_from(shorter, part));
        if (part > 4)
            check_unfit(&rig);
    }
    room[len] = 0;
    set_last(&rig, bytes_from(room, len + 1));
    check_unfit(&rig);
    room[3]++;
    set_last(&rig, bytes_from(room, len + 1));
    check_unfit(&rig);
    room[3]--;
    set_last(&rig, bytes_from(room, len));
    rig_on(&rig);
    assert_int_equal(2, get(&rig));
    rig_done(&rig);
}

static void notes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    assert_int_equal(0, put(&rig, 2));
    rig_end(&rig);
    assert_int_equal(0, rig_launch(&rig));
    const size_t len = told_state(&rig);
    rig_stop(&rig);
    const struct {
        uint8_t what, kind;
        size_t off, len;
    } bad[] = {
        {0, 0, 0, 1},          {3, 0, 0, 1},
        {1, 3, 0, 1},          {2, 3, 0, 0},
        {1, 0, 0, 0},       /* writes nothing */
        {1, 0, len + 1, 1}, /* behind the end */
        {1, 1, 1, 1},       /* of what is not there */
        {1, 0, UINT32_MAX, 1}, {1, 0, len, VTPM_STATE_MAX - len + 1},
        {2, 0, len, 0}, /* cuts nothing */
        {2, 0, len + 1, 0},    {2, 1, 0, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set_note(&rig, bad[i].what, bad[i].kind, bad[i].off, bad[i].len);
        check_unfit(&rig);
    }
    set_note(&rig, 1, 0, len, 1); /* what is right beside them */
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(len + 1, told_state(&rig));
    rig_stop(&rig);
    set_note(&rig, 1, 0, len, VTPM_STATE_MAX - len);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(VTPM_STATE_MAX, told_state(&rig));
    rig_stop(&rig);
    set_note(&rig, 2, 0, len - 1, 0);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(len - 1, told_state(&rig));
    rig_stop(&rig);
    set_note(&rig, 2, 0, 0, 0);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(0, told_state(&rig));
    rig_done(&rig);
}

/* As when the tables are migrated between two records: each settling is of all that came before it. */
static void what_was_settled_is_built_on(void **state)
{
    (void)state;
    static struct vtpm vtpm;
    uint8_t room[2048];
    sqlite3 *db = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_open_v2(":memory:", &db,
                                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, vtpm_schema[0], NULL, NULL, NULL));
    for (int i = 0; i < 3; i++) {
        struct writer notes = writer_over(room, sizeof room);
        put_note(&notes, 1, 1, 400 * (size_t)i, 400);
        check_ok(vtpm_notes_apply(&vtpm, db, writer_bytes(&notes)));
        notes = writer_over(room, sizeof room);
        if (i == 2)
            put_note(&notes, 2, 1, 1100, 0);
        put_note(&notes, 1, 1, 0, 1);
        check_ok(vtpm_notes_apply(&vtpm, db, writer_bytes(&notes)));
        check_ok(vtpm_notes_settle(&vtpm, db));
    }
    check_ok(vtpm_pieces_load(&vtpm, db));
    assert_int_equal(1100, vtpm.states[1].len);
    for (size_t i = 0; i < 1100; i++)
        assert_int_equal(7, vtpm.states[1].data[i]);
    assert_false(vtpm.states[0].exists || vtpm.states[2].exists);
    vtpm_states_done(&vtpm);
    sqlite3_close(db);
}

/* ---- Snapshots ---- */

/* As many records as are not worth a snapshot yet, but for a few. */
static void begin_long_log(struct rig *rig)
{
    begin(rig);
    while (rig->sequence < LOG_RECORDS - 4)
        assert_int_equal(0, put(rig, (uint8_t)(100 + rig->sequence)));
    assert_int_equal(0, put(rig, 1));
}

static void killed_anywhere_around_a_snapshot_it_keeps_what_it_acknowledged(void **state)
{
    (void)state;
    int64_t snapshots = 0;
    for (uint64_t at = 1; at < 40; at++) {
        struct rig rig;
        uint8_t acknowledged = 1;
        begin_long_log(&rig);
        rig.die_at = rig.operations + at;
        while (!rig.dead) {
            if (put(&rig, (uint8_t)(acknowledged + 1)) == 0)
                acknowledged++;
            assert_true(acknowledged < 100);
        }
        rig_stop(&rig);
        snapshots += ask_host(&rig, "SELECT count(*) FROM snapshot");
        rig_on(&rig);
        const int found = get(&rig);
        assert_true(found == acknowledged || found == acknowledged + 1);
        assert_int_equal(0, put(&rig, 200));
        rig_stop(&rig);
        rig_on(&rig);
        assert_int_equal(200, get(&rig));
        rig_done(&rig);
    }
    assert_true(snapshots > 0 && snapshots < 39); /* before it and after it */
}

#define PHASES (MONITOR_RECORDS / 2 + 4) /* from one sync to the next, and over it */

/* The sync that would make it durable fails, is done for all that, or fails a few times: the log stays as it is or is
 * cut behind the snapshot, and one is put again. */
static void a_snapshot_that_the_host_loses_costs_nothing(void **state)
{
    (void)state;
    for (int way = 0; way < PHASES * 3 * 2 * 2; way++) {
        const int before = way % PHASES, end = way / PHASES % 3, does = way / (3 * PHASES) % 2;
        const int long_time = way / (6 * PHASES);
        struct rig rig;
        uint8_t value = 1;
        begin_long_log(&rig);
        for (int i = 0; i < before; i++)
            assert_int_equal(0, put(&rig, ++value));
        rig.sync_says = does ? IO : NO_ROOM;
        rig.sync_does = does;
        for (int i = 0; i < (long_time ? MONITOR_RECORDS + 1 : 5); i++) {
            if (put(&rig, ++value) == 0)
                continue;
            rig.sync_says = OK;
            rig_tick(&rig);
            assert_int_equal(1, rig.replies);
        }
        rig.sync_says = OK;
        for (int i = 0; end == 2 && i < 2 * MONITOR_RECORDS; i++) /* a sync without it, and one with it */
            assert_int_equal(0, put(&rig, ++value));
        if (end == 1)
            rig_end(&rig);
        else
            rig_stop(&rig);
        if (end == 2) /* nobody had to start it anew for that */
            assert_int_equal(1, ask_host(&rig, "SELECT count(*) FROM snapshot WHERE complete"));
        rig_on(&rig);
        assert_int_equal(value, get(&rig));
        while (rig.sequence < LOG_RECORDS + 3 * MONITOR_RECORDS)
            assert_int_equal(0, put(&rig, (uint8_t)(100 + rig.sequence)));
        assert_int_equal(0, put(&rig, 20));
        rig_end(&rig);
        assert_int_equal(1, ask_host(&rig, "SELECT count(*) FROM snapshot WHERE complete"));
        rig_on(&rig);
        assert_int_equal(20, get(&rig));
        rig_done(&rig);
    }
}

/* A host that has no room for a snapshot and some for a record goes on. */
static void a_host_without_room_for_a_snapshot_stores_records(void **state)
{
    (void)state;
    struct rig rig;
    begin_long_log(&rig);
    rig.no_room_for_snapshots = true;
    const unsigned before = rig.snapshots;
    for (int i = 0; i < 60; i++)
        if (put(&rig, (uint8_t)i) != 0) {
            rig_tick(&rig);
            assert_int_equal(1, rig.replies);
        }
    assert_true(rig.snapshots > before && rig.snapshots - before <= 60 / 4); /* not with each record */
    rig_stop(&rig);
    assert_int_equal(0, ask_host(&rig, "SELECT count(*) FROM snapshot"));
    assert_true(ask_host(&rig, "SELECT max(sequence) FROM log") >= (int64_t)rig.sequence - MONITOR_RECORDS);
    rig.no_room_for_snapshots = false;
    rig_on(&rig);
    assert_int_equal(59, get(&rig));
    for (int i = 0; i < 8; i++)
        assert_int_equal(0, put(&rig, (uint8_t)(60 + i)));
    rig_end(&rig);
    assert_int_equal(1, ask_host(&rig, "SELECT count(*) FROM snapshot"));
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_what_changed_and_not_the_state),
        cmocka_unit_test(a_state_grows_shrinks_and_comes_back),
        cmocka_unit_test(a_store_of_the_version_before_is_read_and_goes_on_in_notes),
        cmocka_unit_test(notes_cut_short_or_with_a_byte_more_are_refused),
        cmocka_unit_test(notes_that_make_no_sense_are_refused),
        cmocka_unit_test(what_was_settled_is_built_on),
        cmocka_unit_test(killed_anywhere_around_a_snapshot_it_keeps_what_it_acknowledged),
        cmocka_unit_test(a_snapshot_that_the_host_loses_costs_nothing),
        cmocka_unit_test(a_host_without_room_for_a_snapshot_stores_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
