/* Notes of a store: what changes in the table that its owner notes comes back from them, in order with what records
 * have as SQL, and what does not fit is refused. */
#include "record_rig.h"

#define SQLITE_ENABLE_SESSION 1
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#include "store_rig.h"

#include <stdio.h>

#define NOTES_FROM 2 /* the version of the tables below */

static const char *const migrations[] = {
    ("CREATE TABLE slot(id INTEGER NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
     "CREATE TABLE item(name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT;"),
    "-- From here on slot is noted.",
    "INSERT INTO item SELECT 'slots so far', sum(value) FROM slot;", /* what is noted has to be there */
};

/* A note is {u8 id, u32be value}. */
#define NOTE_LEN 5u

static struct {
    bool given;
    uint32_t value;
} held[256];
static unsigned applied, settled;

static enum status apply(void *user, sqlite3 *db, struct bytes notes)
{
    assert_non_null(user);
    assert_non_null(db);
    struct reader reader = reader_over(notes);
    applied++;
    while (reader.rest.len) {
        const uint8_t id = take_u8(&reader);
        const uint32_t value = take_u32be(&reader);
        TRY(reader.status);
        held[id].given = true;
        held[id].value = value;
    }
    return OK;
}

static enum status settle(void *user, sqlite3 *db)
{
    (void)user;
    settled++;
    for (int id = 0; id < 256; id++) {
        char text[96];
        snprintf(text, sizeof text, "INSERT OR REPLACE INTO slot VALUES(%d, %u)", id, held[id].value);
        if (held[id].given && sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
            return INTERNAL;
        held[id].given = false;
    }
    return OK;
}

static struct rig new_rig(void)
{
    struct rig rig = rig_new(1);
    rig.migrations = migrations;
    rig.migration_count = NOTES_FROM;
    rig.noted = (struct store_noted){"slot", NOTES_FROM, apply, settle};
    memset(held, 0, sizeof held);
    applied = settled = 0;
    return rig;
}

/* The program before it: slot is as any table. */
static struct rig new_old_rig(void)
{
    struct rig rig = new_rig();
    rig.migration_count = NOTES_FROM - 1;
    rig.noted = (struct store_noted){0};
    return rig;
}

static void upgrade(struct rig *rig)
{
    rig->migration_count = NOTES_FROM;
    rig->noted = new_rig().noted;
}

static enum status note(struct rig *rig, uint8_t id, uint32_t value)
{
    uint8_t room[NOTE_LEN];
    struct writer writer = writer_over(room, sizeof room);
    put_u8(&writer, id);
    put_u32be(&writer, value);
    const struct bytes parts[] = {bytes_slice(writer_bytes(&writer), 0, 1), bytes_slice(writer_bytes(&writer), 1, 4)};
    return store_note(rig->store, parts, 2);
}

static void put_slot(struct rig *rig, uint8_t id, uint32_t value)
{
    char text[128];
    snprintf(text, sizeof text, "INSERT INTO slot VALUES(%u, %u) ON CONFLICT DO UPDATE SET value = excluded.value", id,
             value);
    check_ok(rig_sql(rig, text));
}

static void set(struct rig *rig, uint8_t id, uint32_t value)
{
    store_begin(rig->store);
    check_ok(note(rig, id, value));
    put_slot(rig, id, value);
}

static void put_item(struct rig *rig, const char *name, int value)
{
    char text[96];
    store_begin(rig->store);
    snprintf(text, sizeof text, "INSERT OR REPLACE INTO item VALUES('%s', %d)", name, value);
    check_ok(rig_sql(rig, text));
}

/* Both tables, in a room of the test's. */
static const char *contents(struct rig *rig)
{
    static char rooms[2][1024];
    static unsigned next;
    char *room = rooms[next++ % 2];
    sqlite3_stmt *get;
    check_ok(sqlite3_prepare_v2(
        store_database(rig->store),
        "SELECT (SELECT coalesce(group_concat(id || '=' || value), '') FROM (SELECT * FROM slot ORDER BY id)) || ';' ||"
        " (SELECT coalesce(group_concat(name || '=' || value), '') FROM (SELECT * FROM item ORDER BY name))",
        -1, &get, NULL));
    assert_int_equal(SQLITE_ROW, sqlite3_step(get));
    snprintf(room, sizeof rooms[0], "%s", (const char *)sqlite3_column_text(get, 0));
    sqlite3_finalize(get);
    return room;
}

static void check_is(struct rig *rig, const char *expected)
{
    assert_string_equal(expected, contents(rig));
}

static void check_restarts(struct rig *rig)
{
    char before[1024];
    snprintf(before, sizeof before, "%s", contents(rig));
    check_ok(rig_start(rig));
    check_is(rig, before);
}

static struct bytes text_of(struct rig *rig, struct bytes record, struct writer *room)
{
    uint8_t key[32];
    struct monitor_seal_inputs inputs = record_inputs(record);
    check_ok(rig_key(rig, 1, &inputs, key));
    return record_text(key, record, room);
}

/* The last record says something else, and the monitor's head is on it all the same. */
static void bend_last(struct rig *rig, struct bytes text)
{
    static uint8_t room[STORE_RECORD_MAX + 64];
    struct writer writer = writer_over(room, sizeof room);
    struct bytes *last = &rig->log[rig->log_count - 1];
    uint8_t key[32];
    struct monitor_seal_inputs inputs = record_inputs(*last);
    check_ok(rig_key(rig, 1, &inputs, key));
    const struct bytes bent = rig_copy(record_with(key, *last, text, &writer));
    rig_drop(last);
    *last = bent;
    check_ok(crypto_hash(CRYPTO_SHA256, &bent, 1, rig->hash));
}

static void check_refused(struct rig *rig, enum store_refusal refusal, const char *word)
{
    check_status(DENIED, rig_start(rig));
    assert_int_equal(refusal, store_refused(rig->store));
    if (!strstr(store_refused_sentence(rig->store), word))
        fail_msg("\"%s\" does not say \"%s\"", store_refused_sentence(rig->store), word);
    assert_null(store_database(rig->store));
}

/* ---- There and back ---- */

static void what_was_noted_comes_back_with_what_was_recorded(void **state)
{
    (void)state;
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    for (int i = 0; i < 40; i++) {
        if (i % 3 != 2) {
            set(&rig, (uint8_t)(i % 5), (uint32_t)i);
            set(&rig, (uint8_t)(i % 5 + 100), (uint32_t)i);
        }
        if (i % 3)
            put_item(&rig, i % 2 ? "odd" : "even", i);
        check_ok(rig_commit(&rig));
        if (i == 20)
            check_ok(rig_compact(&rig));
        if (i % 7 == 6)
            check_restarts(&rig);
    }
    check_restarts(&rig);
    check_is(&rig, "0=30,1=36,2=37,3=33,4=39,100=30,101=36,102=37,103=33,104=39;even=38,odd=37");
    assert_true(applied > 20);
    check_status(NOT_FOUND, rig_seal(&rig, true)); /* and nothing is left to be sealed */
    rig_free(&rig);
}

static void a_record_of_notes_has_their_length_they_and_the_changes(void **state)
{
    (void)state;
    uint8_t room[1024];
    struct writer writer = writer_over(room, sizeof room);
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    set(&rig, 7, 0x01020304);
    check_ok(rig_commit(&rig));
    check_bytes(bytes_from("\0\0\0\x05\x07\1\2\3\4", 9), text_of(&rig, rig.log[0], &writer));
    put_item(&rig, "a", 1);
    check_ok(rig_commit(&rig));
    writer = writer_over(room, sizeof room);
    const struct bytes text = text_of(&rig, rig.log[1], &writer);
    check_bytes(bytes_from("\0\0\0\0T", 5), bytes_slice(text, 0, 5));
    rig_free(&rig);
}

/* A program that notes nothing writes what it always wrote: the changeset of the session. */
static void without_notes_a_record_is_a_changeset(void **state)
{
    (void)state;
    uint8_t room[1024];
    struct writer writer = writer_over(room, sizeof room);
    struct rig rig = new_old_rig();
    sqlite3_session *session;
    sqlite3 *plain;
    int len;
    void *changes;
    check_ok(rig_start(&rig));
    check_ok(
        sqlite3_open_v2(":memory:", &plain, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, NULL));
    check_ok(sqlite3_exec(plain, migrations[0], NULL, NULL, NULL));
    check_ok(sqlite3session_create(plain, "main", &session));
    check_ok(sqlite3session_attach(session, NULL));
    const char *const work = "INSERT INTO slot VALUES(1, 2); INSERT INTO item VALUES('a', 3);";
    check_ok(sqlite3_exec(plain, work, NULL, NULL, NULL));
    check_ok(sqlite3session_changeset(session, &len, &changes));
    check_ok(rig_sql(&rig, work));
    check_ok(rig_commit(&rig));
    check_bytes(bytes_from(changes, (size_t)len), text_of(&rig, rig.log[0], &writer));
    sqlite3_free(changes);
    sqlite3session_delete(session);
    sqlite3_close(plain);
    rig_free(&rig);
}

/* ---- Versions ---- */

static void a_log_of_the_version_before_is_gone_on_with_in_notes(void **state)
{
    (void)state;
    for (int compacted = 0; compacted < 3; compacted++) {
        struct rig rig = new_old_rig();
        check_ok(rig_start(&rig));
        for (int i = 0; i < 3; i++) {
            put_slot(&rig, (uint8_t)i, (uint32_t)(10 + i));
            put_slot(&rig, 9, (uint32_t)i);
            check_ok(rig_commit(&rig));
        }
        if (compacted == 1)
            check_ok(rig_compact(&rig));
        upgrade(&rig);
        check_ok(rig_start(&rig));
        check_is(&rig, "0=10,1=11,2=12,9=2;");
        set(&rig, 1, 21); /* a row that a record has as SQL, too */
        check_ok(rig_commit(&rig));
        if (compacted == 2)
            check_ok(rig_compact(&rig));
        set(&rig, 1, 31);
        put_item(&rig, "a", 1);
        check_ok(rig_commit(&rig));
        check_restarts(&rig);
        check_is(&rig, "0=10,1=31,2=12,9=2;a=1");
        rig_free(&rig);
    }
}

static void the_version_before_refuses_a_log_with_notes_by_name(void **state)
{
    (void)state;
    struct rig rig = new_old_rig();
    check_ok(rig_start(&rig));
    put_slot(&rig, 1, 1);
    check_ok(rig_commit(&rig));
    upgrade(&rig);
    check_ok(rig_start(&rig));
    set(&rig, 1, 2);
    check_ok(rig_commit(&rig));
    const struct rig old = new_old_rig();
    rig.migration_count = old.migration_count;
    rig.noted = old.noted;
    check_refused(&rig, STORE_NEWER, "newer program");
    assert_int_equal(8, store_refused_exit_code(rig.store));
    rig_free(&rig);
}

static void a_migration_finds_what_was_noted_in_its_table(void **state)
{
    (void)state;
    for (int record_of_it = 0; record_of_it < 2; record_of_it++) {
        struct rig rig = new_rig();
        check_ok(rig_start(&rig));
        set(&rig, 1, 40);
        set(&rig, 2, 2);
        check_ok(rig_commit(&rig));
        rig.migration_count++;
        check_ok(rig_start(&rig));
        check_is(&rig, "1=40,2=2;slots so far=42");
        if (record_of_it) {
            set(&rig, 3, 3);
            check_ok(rig_commit(&rig));
        }
        check_restarts(&rig);
        assert_true(settled >= (record_of_it ? 3 : 2));
        rig_free(&rig);
    }
}

/* ---- Undo ---- */

static void discarding_takes_back_what_was_noted_and_the_note(void **state)
{
    (void)state;
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    set(&rig, 1, 1);
    check_ok(rig_commit(&rig));
    set(&rig, 1, 2);
    put_item(&rig, "sealed", 1);
    check_ok(rig_seal(&rig, true));
    set(&rig, 1, 3);
    set(&rig, 5, 3);
    put_item(&rig, "open", 1);
    check_ok(store_discard(rig.store));
    check_is(&rig, "1=2;sealed=1");
    check_status(NOT_FOUND, rig_seal(&rig, true));
    rig_confirm(&rig);
    set(&rig, 2, 4);
    check_ok(rig_commit(&rig));
    check_restarts(&rig);
    check_is(&rig, "1=2,2=4;sealed=1");
    rig_free(&rig);
}

static void what_cannot_be_inverted_is_neither_reverted_nor_left_out_of_a_snapshot(void **state)
{
    (void)state;
    struct rig rig = new_rig();
    struct bytes snapshot = {0};
    check_ok(rig_start(&rig));
    set(&rig, 1, 1);
    check_ok(rig_commit(&rig));
    set(&rig, 1, 2);
    check_ok(rig_seal(&rig, true));
    check_status(WRONG_STATE, store_snapshot(rig.store, &snapshot));
    check_status(WRONG_STATE, store_revert(rig.store));
    check_is(&rig, "1=2;");
    rig_confirm(&rig);
    check_ok(store_snapshot(rig.store, &snapshot));
    store_snapshot_done(rig.store);
    put_item(&rig, "a", 1); /* which can be */
    check_ok(rig_seal(&rig, false));
    set(&rig, 1, 3);
    check_ok(store_revert(rig.store));
    check_is(&rig, "1=2;");
    check_restarts(&rig);
    rig_free(&rig);
}

static void what_could_not_be_sealed_can_be_discarded(void **state)
{
    (void)state;
    static uint8_t room[STORE_NOTES_MAX];
    const struct bytes much = BYTES_OF(room);
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    set(&rig, 1, 1);
    check_ok(rig_commit(&rig));
    store_begin(rig.store);
    check_ok(store_note(rig.store, &much, 1));
    put_slot(&rig, 1, 2);
    check_ok(rig_sql(&rig, "INSERT INTO item SELECT 'a name that is long enough', 1"));
    assert_true(store_changed_bytes(rig.store) > STORE_NOTES_MAX);
    check_status(NO_ROOM, rig_seal(&rig, true));
    check_is(&rig, "1=2;a name that is long enough=1"); /* it is still there */
    check_ok(store_discard(rig.store));
    check_is(&rig, "1=1;");
    set(&rig, 1, 3);
    check_ok(rig_commit(&rig));
    check_restarts(&rig);
    rig_free(&rig);
}

/* ---- Limits and order ---- */

static void notes_are_as_many_as_a_record_holds_and_not_a_byte_more(void **state)
{
    (void)state;
    static uint8_t room[STORE_NOTES_MAX + 1];
    const size_t whole = STORE_NOTES_MAX - STORE_NOTES_MAX % NOTE_LEN;
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    store_begin(rig.store);
    const struct bytes most = bytes_from(room, STORE_NOTES_MAX), more = BYTES_OF(room), one = bytes_from(room, 1);
    check_status(NO_ROOM, store_note(rig.store, &more, 1));
    check_ok(store_note(rig.store, &most, 1));
    check_status(NO_ROOM, store_note(rig.store, &one, 1));
    check_ok(rig_seal(&rig, true));
    assert_true(rig.log[0].len <= STORE_RECORD_MAX);
    rig_confirm(&rig);
    rig_free(&rig);

    rig = new_rig();
    check_ok(rig_start(&rig));
    store_begin(rig.store);
    const struct bytes parts[] = {bytes_from(room, whole), more};
    check_status(NO_ROOM, store_note(rig.store, parts, 2)); /* and then nothing of it */
    check_ok(store_note(rig.store, parts, 1));
    put_slot(&rig, 0, 0);
    check_ok(rig_commit(&rig));
    check_restarts(&rig);
    rig_free(&rig);
}

static void a_note_is_of_an_open_group(void **state)
{
    (void)state;
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    check_status(WRONG_STATE, note(&rig, 1, 1));
    store_begin(rig.store);
    check_ok(note(&rig, 1, 1));
    check_ok(rig_sql(&rig, "ROLLBACK")); /* as SQLite may by itself */
    check_status(WRONG_STATE, note(&rig, 1, 1));
    check_status(INTERNAL, rig_seal(&rig, true));
    check_ok(store_discard(rig.store));
    check_status(NOT_FOUND, rig_seal(&rig, true));
    rig_free(&rig);

    rig = new_old_rig();
    check_ok(rig_start(&rig));
    store_begin(rig.store);
    check_status(WRONG_STATE, note(&rig, 1, 1)); /* of a program that has none */
    rig_free(&rig);
}

static void what_changed_without_a_note_is_not_sealed(void **state)
{
    (void)state;
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    store_begin(rig.store);
    put_slot(&rig, 1, 1);
    put_item(&rig, "a", 1);
    check_status(INTERNAL, rig_seal(&rig, true));
    check_ok(store_discard(rig.store));
    check_is(&rig, ";");
    put_item(&rig, "a", 1);
    check_ok(rig_commit(&rig));
    check_restarts(&rig);
    rig_free(&rig);
}

/* ---- Authentic, and no sense in it ---- */

static void notes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static uint8_t room[256], bent[512];
    for (int way = 0; way < 6; way++) {
        struct writer writer = writer_over(room, sizeof room);
        struct rig rig = new_rig();
        check_ok(rig_start(&rig));
        set(&rig, 1, 1);
        check_ok(rig_commit(&rig));
        set(&rig, 1, 2);
        put_item(&rig, "a", 1);
        check_ok(rig_commit(&rig));
        const struct bytes text = text_of(&rig, rig.log[1], &writer);
        memcpy(bent, text.data, text.len);
        const uint8_t lengths[] = {0, 4, 6, (uint8_t)(text.len - 4), (uint8_t)(text.len - 3), 5};
        bent[3] = lengths[way];
        if (way == 5)
            bent[0] = 0x80;
        bend_last(&rig, bytes_from(bent, text.len));
        check_status(DENIED, rig_start(&rig));
        assert_int_equal(STORE_UNFIT, store_refused(rig.store));
        assert_int_equal(1, store_refused_exit_code(rig.store));
        rig_free(&rig);
    }
}

static void every_shorter_text_and_a_longer_one_are_refused(void **state)
{
    (void)state;
    static uint8_t room[64];
    struct rig rig = new_rig();
    struct writer writer = writer_over(room, sizeof room);
    check_ok(rig_start(&rig));
    set(&rig, 1, 1);
    check_ok(rig_commit(&rig));
    set(&rig, 1, 2);
    check_ok(rig_commit(&rig));
    rig_stop(&rig);
    const size_t len = text_of(&rig, rig.log[1], &writer).len;
    assert_int_equal(4 + NOTE_LEN, len);
    for (size_t part = 0; part < len; part++) {
        bend_last(&rig, bytes_from(room, part));
        check_refused(&rig, STORE_UNFIT, "record 2");
    }
    room[len] = 'x';
    bend_last(&rig, bytes_from(room, len + 1));
    check_refused(&rig, STORE_UNFIT, "contradict");
    bend_last(&rig, bytes_from(room, len));
    check_ok(rig_start(&rig));
    check_is(&rig, "1=2;");
    rig_free(&rig);
}

static enum status no_memory(void *user, sqlite3 *db, struct bytes notes)
{
    (void)user, (void)db, (void)notes;
    return NO_ROOM;
}

static enum status cannot_settle(void *user, sqlite3 *db)
{
    (void)user, (void)db;
    return INTERNAL;
}

static void an_owner_that_fails_ends_the_store(void **state)
{
    (void)state;
    struct rig rig = new_rig();
    check_ok(rig_start(&rig));
    set(&rig, 1, 1);
    check_ok(rig_commit(&rig));
    rig.noted.apply = no_memory;
    check_status(NO_ROOM, rig_start(&rig));
    assert_int_equal(STORE_ACCEPTED, store_refused(rig.store));
    rig.noted.apply = apply;
    rig.noted.settle = cannot_settle;
    check_refused(&rig, STORE_UNFIT, "noted up to 1");
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_noted_comes_back_with_what_was_recorded),
        cmocka_unit_test(a_record_of_notes_has_their_length_they_and_the_changes),
        cmocka_unit_test(without_notes_a_record_is_a_changeset),
        cmocka_unit_test(a_log_of_the_version_before_is_gone_on_with_in_notes),
        cmocka_unit_test(the_version_before_refuses_a_log_with_notes_by_name),
        cmocka_unit_test(a_migration_finds_what_was_noted_in_its_table),
        cmocka_unit_test(discarding_takes_back_what_was_noted_and_the_note),
        cmocka_unit_test(what_cannot_be_inverted_is_neither_reverted_nor_left_out_of_a_snapshot),
        cmocka_unit_test(what_could_not_be_sealed_can_be_discarded),
        cmocka_unit_test(notes_are_as_many_as_a_record_holds_and_not_a_byte_more),
        cmocka_unit_test(a_note_is_of_an_open_group),
        cmocka_unit_test(what_changed_without_a_note_is_not_sealed),
        cmocka_unit_test(notes_that_make_no_sense_are_refused),
        cmocka_unit_test(every_shorter_text_and_a_longer_one_are_refused),
        cmocka_unit_test(an_owner_that_fails_ends_the_store),
    };
    return crypto_init() == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
