/* The database under a store: rules of a schema, limits, migrations, random work beside plain SQLite, and nonces. */
#include "check.h"

#include "store_rig.h"

#include <stdio.h>

static void a_schema_that_would_lose_changes_is_refused_with_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *name;
    } bad[] = {
        {"CREATE TABLE alpha(x INTEGER)", "alpha: has no primary key"},
        {"CREATE TABLE beta(x TEXT PRIMARY KEY)", "beta: has a primary key that may be NULL"},
        {"CREATE TABLE gamma(x INTEGER NOT NULL, y TEXT, PRIMARY KEY(x, y))", "gamma: has a primary key that may"},
        {"CREATE TABLE delta(x INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL)", "sqlite_sequence: AUTOINCREMENT"},
        {"CREATE TABLE eps(x INTEGER PRIMARY KEY NOT NULL, y TEXT UNIQUE)", "eps: has a UNIQUE"},
        {"CREATE TABLE zeta(x INTEGER PRIMARY KEY NOT NULL, y); CREATE UNIQUE INDEX z ON zeta(y)", "zeta: has a UNI"},
        {"CREATE TABLE eta(x INTEGER PRIMARY KEY NOT NULL, y AS (x + 1))", "eta: has a generated column"},
        {"CREATE TABLE t(x INTEGER PRIMARY KEY NOT NULL); CREATE TRIGGER theta AFTER INSERT ON t BEGIN DELETE FROM t; "
         "END",
         "theta: triggers"},
        {"CREATE VIRTUAL TABLE iota USING fts5(x)", "virtual tables"},
        {"CREATE TABLE kappa(x INTEGER PRIMARY KEY NOT NULL, y REFERENCES kappa(x))", "kappa: has a foreign key"},
        {"CREATE TABLE store_lambda(x INTEGER PRIMARY KEY NOT NULL)", "store_lambda: names beginning with store_"},
        {"CREATE TABLE mu(", "a migration fails: "},
        {"ATTACH 'other.db' AS nu", "a migration fails: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const migrations[] = {rig_migrations[0], bad[i].sql};
        char text[256] = "";
        struct writer why = writer_over(text, sizeof text - 1);
        check_status(DENIED, store_check_schema(migrations, 2, &why));
        text[why.len] = 0;
        assert_non_null(strstr(text, bad[i].name));
    }
    check_ok(store_check_schema(rig_migrations, 1, NULL));
}

static void no_statement_changes_the_schema_or_opens_a_file(void **state)
{
    (void)state;
    static const char *const denied[] = {
        "CREATE TABLE x(y INTEGER PRIMARY KEY NOT NULL)",
        "DROP TABLE item",
        "ALTER TABLE item ADD COLUMN z",
        "CREATE INDEX i ON pair(text)",
        "CREATE TEMP TABLE t(x)",
        "ATTACH 'file.db' AS other",
        "VACUUM INTO 'file.db'",
    };
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++)
        assert_int_not_equal(SQLITE_OK, rig_sql(&rig, denied[i]));
    rig_free(&rig);
    /* The store's file system is the default one, and it opens nothing. */
    sqlite3 *db = NULL;
    assert_int_equal(SQLITE_CANTOPEN, sqlite3_open("/tmp/bastide-store-test.db", &db));
    sqlite3_close(db);
}

/* A sort and an index far larger than any cache, which spill to temporary files elsewhere. */
static void large_sorts_need_no_file(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    check_ok(rig_sql(&rig, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
                           " INSERT INTO item SELECT hex(i * 7919 % 40009), NULL, i FROM n"));
    sqlite3_stmt *get;
    check_ok(sqlite3_prepare_v2(store_database(rig.store),
                                "SELECT count(*) FROM (SELECT DISTINCT name || size FROM item ORDER BY 1 DESC)", -1,
                                &get, NULL));
    assert_int_equal(sqlite3_step(get), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(get, 0), 40000);
    sqlite3_finalize(get);
    rig_free(&rig);
}

static void a_full_store_says_so_and_goes_on(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    rig.bytes_max = 256 * 1024;
    check_ok(rig_start(&rig));
    check_ok(rig_sql(&rig, "INSERT INTO item VALUES('kept', zeroblob(100), 1)"));
    check_ok(rig_commit(&rig));
    assert_int_equal(SQLITE_FULL, rig_sql(&rig, "INSERT INTO item VALUES('big', zeroblob(300000), 1)"));
    check_status(NOT_FOUND, rig_seal(&rig, true)); /* the statement left nothing */
    check_ok(rig_sql(&rig, "INSERT INTO item VALUES('small', zeroblob(100000), 1)"));
    check_ok(rig_commit(&rig));
    check_ok(rig_start(&rig));
    rig_free(&rig);
}

static sqlite3_mem_methods heap;
static unsigned until_failure; /* allocations, 0: none fails */

static void *fail_once(int len)
{
    return until_failure && --until_failure == 0 ? NULL : heap.xMalloc(len);
}

static void let_allocations_fail(void)
{
    sqlite3_mem_methods failing;
    check_ok(sqlite3_shutdown());
    check_ok(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &heap));
    failing = heap;
    failing.xMalloc = fail_once;
    check_ok(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing));
}

/* Where memory runs out while the session takes note, the statement does not say so. */
static void what_a_session_could_not_take_note_of_is_not_taken_for_nothing(void **state)
{
    (void)state;
    unsigned refused = 0;
    let_allocations_fail();
    for (unsigned which = 1; which < 64; which++) {
        struct rig rig = rig_new(1);
        check_ok(rig_start(&rig));
        check_ok(rig_sql(&rig, "INSERT INTO item VALUES('it', zeroblob(100), 1)"));
        check_ok(rig_commit(&rig));
        sqlite3_stmt *put;
        check_ok(sqlite3_prepare_v2(store_database(rig.store), "UPDATE item SET size = 2", -1, &put, NULL));
        until_failure = which;
        const bool done = sqlite3_step(put) == SQLITE_DONE;
        until_failure = 0;
        sqlite3_finalize(put);
        const enum status status = rig_seal(&rig, true);
        assert_true(!done || status != NOT_FOUND);
        refused += done && status != OK;
        rig_free(&rig);
    }
    assert_int_not_equal(0, refused);
}

static enum status nothing_to_load(void *user, sqlite3 *db, struct bytes notes)
{
    (void)user, (void)db;
    return notes.len ? OK : MALFORMED;
}

static enum status nothing_to_settle(void *user, sqlite3 *db)
{
    (void)user, (void)db;
    return OK;
}

/* Nor is it left out of a record that has notes. */
static void what_a_session_could_not_take_note_of_does_not_go_without_saying(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (unsigned which = 1; which < 64; which++) {
        struct rig rig = rig_new(1);
        rig.noted = (struct store_noted){"pair", 1, nothing_to_load, nothing_to_settle};
        check_ok(rig_start(&rig));
        check_ok(rig_sql(&rig, "INSERT INTO item VALUES('it', zeroblob(100), 1)"));
        check_ok(rig_commit(&rig));
        sqlite3_stmt *put;
        check_ok(sqlite3_prepare_v2(store_database(rig.store), "UPDATE item SET size = 2", -1, &put, NULL));
        store_begin(rig.store);
        const struct bytes note = bytes_from_text("a pair");
        check_ok(store_note(rig.store, &note, 1));
        check_ok(rig_sql(&rig, "INSERT INTO pair VALUES(1, 1, 'x')"));
        until_failure = which;
        const bool done = sqlite3_step(put) == SQLITE_DONE;
        until_failure = 0;
        sqlite3_finalize(put);
        const enum status status = rig_commit(&rig);
        refused += done && status != OK;
        if (done && status == OK) {
            check_ok(rig_start(&rig));
            sqlite3_stmt *get;
            check_ok(sqlite3_prepare_v2(store_database(rig.store), "SELECT size FROM item", -1, &get, NULL));
            assert_int_equal(SQLITE_ROW, sqlite3_step(get));
            assert_int_equal(2, sqlite3_column_int(get, 0));
            sqlite3_finalize(get);
        }
        rig_free(&rig);
    }
    assert_int_not_equal(0, refused);
}

static void a_group_too_large_for_a_record_can_be_discarded(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    for (int i = 0; i < 40; i++) {
        char text[80];
        snprintf(text, sizeof text, "INSERT INTO item VALUES('n%d', randomblob(10000), 1)", i);
        check_ok(rig_sql(&rig, text));
        assert_true(store_changed_bytes(rig.store) >= (size_t)(i + 1) * 10000);
    }
    check_status(NO_ROOM, rig_seal(&rig, true));
    check_status(NO_ROOM, rig_seal(&rig, true)); /* the changes are still there */
    check_ok(store_discard(rig.store));
    check_ok(rig_sql(&rig, "INSERT INTO item VALUES('x', randomblob(200000), 1)"));
    check_ok(rig_commit(&rig));
    assert_true(rig.log[0].len <= STORE_RECORD_MAX);
    check_ok(rig_start(&rig));
    rig_free(&rig);
}

static void a_snapshot_is_wanted_when_the_log_outgrew_it(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    check_status(WRONG_STATE, rig_compact(&rig)); /* of nothing */
    for (int i = 0; i < 10; i++) {
        const int before = i ? 2 * i - 1 : 0; /* a record holds what was and what is */
        assert_int_equal(store_wants_snapshot(rig.store), before * 120000 > 1 << 20);
        check_ok(rig_sql(&rig, "INSERT OR REPLACE INTO item VALUES('x', randomblob(120000), 1)"));
        check_ok(rig_commit(&rig));
    }
    assert_true(store_wants_snapshot(rig.store));
    struct bytes snapshot;
    for (int lost = 0; lost < 2; lost++) {
        check_ok(store_snapshot(rig.store, &snapshot));
        store_snapshot_done(rig.store);
        assert_false(store_wants_snapshot(rig.store)); /* on its way */
        check_ok(rig_sql(&rig, "DELETE FROM item"));
        check_ok(rig_seal(&rig, false));
        if (lost)
            store_snapshot_synced(rig.store, false);
        check_ok(store_revert(rig.store));
        assert_true(store_wants_snapshot(rig.store)); /* it did not arrive */
        store_snapshot_synced(rig.store, true);       /* whatever that was about */
        assert_true(store_wants_snapshot(rig.store));
    }
    check_ok(rig_compact(&rig));
    check_ok(rig_sql(&rig, "DELETE FROM item"));
    check_ok(rig_commit(&rig));
    assert_false(store_wants_snapshot(rig.store));
    check_ok(rig_start(&rig));
    assert_false(store_wants_snapshot(rig.store));
    for (int i = 0; i < 512; i++) { /* many small records take long to load */
        assert_false(store_wants_snapshot(rig.store));
        check_ok(rig_sql(&rig, "INSERT OR REPLACE INTO item VALUES('x', randomblob(600), 1)"));
        check_ok(rig_commit(&rig));
    }
    assert_true(store_wants_snapshot(rig.store));
    rig_free(&rig);
}

static void a_program_says_how_many_records_are_worth_a_snapshot(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    rig.log_records = 3;
    check_ok(rig_start(&rig));
    for (int i = 0; i < 4; i++) {
        assert_false(store_wants_snapshot(rig.store));
        check_ok(rig_sql(&rig, "INSERT OR REPLACE INTO item VALUES('x', randomblob(600), 1)"));
        check_ok(rig_commit(&rig));
    }
    assert_true(store_wants_snapshot(rig.store));
    check_ok(rig_start(&rig));
    assert_true(store_wants_snapshot(rig.store));
    check_ok(rig_compact(&rig));
    for (int i = 0; i < 4; i++) { /* three of which are longer than the snapshot */
        assert_false(store_wants_snapshot(rig.store));
        check_ok(rig_sql(&rig, "INSERT OR REPLACE INTO item VALUES('x', randomblob(40000), 1)"));
        check_ok(rig_commit(&rig));
    }
    assert_true(store_wants_snapshot(rig.store));
    rig_free(&rig);
}

static void an_upgrade_migrates_at_the_same_place_each_time(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    for (int i = 0; i < 3; i++) {
        char text[80];
        snprintf(text, sizeof text, "INSERT INTO item VALUES('n%d', NULL, 1)", i);
        check_ok(rig_sql(&rig, text));
        check_ok(rig_commit(&rig));
    }
    rig.migration_count = 2;
    for (int snapshot = 0; snapshot < 2; snapshot++) {
        check_ok(rig_start(&rig));
        check_ok(
            rig_sql(&rig, "UPDATE more SET x = x + id; INSERT OR REPLACE INTO item VALUES('new', NULL, 2, 'note')"));
        if (snapshot) {
            check_ok(rig_commit(&rig));
            check_ok(rig_compact(&rig));
        } else {
            assert_true(store_wants_snapshot(rig.store)); /* the tables changed without a record */
            check_ok(rig_commit(&rig));
            struct bytes tried;
            check_ok(store_snapshot(rig.store, &tried));
            store_snapshot_done(rig.store);
            store_snapshot_synced(rig.store, true);
            assert_false(store_wants_snapshot(rig.store));
        }
        check_ok(rig_start(&rig));
        sqlite3_stmt *get;
        check_ok(sqlite3_prepare_v2(store_database(rig.store), "SELECT count(*), sum(x) FROM more", -1, &get, NULL));
        assert_int_equal(sqlite3_step(get), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int(get, 0), 3);
        assert_int_equal((int)(2 * sqlite3_column_double(get, 1)), snapshot ? 27 : 15);
        sqlite3_finalize(get);
    }
    rig.migration_count = 1; /* the older program */
    check_status(DENIED, rig_start(&rig));
    assert_int_equal(STORE_NEWER, store_refused(rig.store));
    rig_free(&rig);
}

/* Of the whole table; the caller frees it. */
static char *contents(struct rig *rig)
{
    sqlite3_stmt *get;
    check_ok(sqlite3_prepare_v2(store_database(rig->store),
                                "SELECT group_concat(name || '=' || hex(value) || ',' || size)"
                                " FROM (SELECT * FROM item ORDER BY name)",
                                -1, &get, NULL));
    assert_int_equal(sqlite3_step(get), SQLITE_ROW);
    char *text = strdup((const char *)sqlite3_column_text(get, 0));
    sqlite3_finalize(get);
    assert_non_null(text);
    return text;
}

static void check_comes_back(struct rig *rig)
{
    char *made = contents(rig);
    check_ok(rig_start(rig));
    char *read = contents(rig);
    assert_string_equal(made, read);
    free(made);
    free(read);
}

/* Of a log several times as long as what is merged at once, over the same few rows. */
static void a_long_log_comes_back_as_it_was_made(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    for (int i = 0; i < 200; i++) {
        char text[160];
        snprintf(text, sizeof text,
                 i % 10 == 9 ? "DELETE FROM item WHERE name = 'n%d'"
                             : "INSERT INTO item VALUES('n%d', randomblob(%d), %d) ON CONFLICT DO UPDATE SET"
                               " value = excluded.value, size = excluded.size",
                 i % 7, 4000 + i, i + 1);
        check_ok(rig_sql(&rig, text));
        check_ok(rig_commit(&rig));
    }
    check_comes_back(&rig);
    rig_free(&rig);
}

/* Whichever of them comes first when they are applied together. */
static void a_full_store_takes_rows_for_others_and_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        char text[80];
        struct rig rig = rig_new(1);
        rig.bytes_max = 256 * 1024;
        check_ok(rig_start(&rig));
        snprintf(text, sizeof text, "INSERT INTO item VALUES('%d', randomblob(120000), 1)", i);
        check_ok(rig_sql(&rig, text));
        check_ok(rig_commit(&rig));
        check_ok(rig_compact(&rig));
        check_ok(rig_sql(&rig, "DELETE FROM item"));
        check_ok(rig_commit(&rig));
        snprintf(text, sizeof text, "INSERT INTO item VALUES('new%d', randomblob(120000), 1)", i);
        check_ok(rig_sql(&rig, text));
        check_ok(rig_commit(&rig));
        check_comes_back(&rig);
        assert_int_equal(SQLITE_FULL, rig_sql(&rig, "INSERT INTO item VALUES('more', zeroblob(300000), 1)"));
        rig_free(&rig);
    }
}

/* Sealed under the rig's keys by a program that made patchsets: two rows, and one of them changed. */
static const char *const patchsets[] = {
    "4253543100000001000000000000000100000000000000000000000000000000000000000000000000000000000000000000"
    "0002000000050000000000000000000000000000000000000000000000000000000000000000020202020202020202020202"
    "0202020202020202020202020202020202020202010101010101010101010101010101010101010101010101010101010101"
    "0101a69a99a91014c5619d102e3d3594ac174e560ef602f0298a3e1f4d2ccf25f6692a03e832c5bdaeca6d66c22f1221dd89"
    "42859f96036a027503d592a246a187a9000000000000000049cc6b5ca9a9be42e0e0c49315711fb89434911abe590497f7af"
    "50483dd1f1c9031f4329855e0798af15edf1e4bc557bfede4d8bc659cdcf7cc16646640932",
    "42535431000000010000000000000002d25c9c56abb7fbf5d68aa8dd72768990dc9ee9ab8afd44e13d1c9c3a3f2ec9c60000"
    "0002000000050000000000000000000000000000000000000000000000000000000000000000020202020202020202020202"
    "0202020202020202020202020202020202020202010101010101010101010101010101010101010101010101010101010101"
    "0101a69a99a91014c5619d102e3d3594ac174e560ef602f0298a3e1f4d2ccf25f6692a03e832c5bdaeca6d66c22f1221dd89"
    "42859f96036a027503d592a246a187a90000000000000001d71601e7484373e990c94e34820b5a1723a468d1810154f6d0e7"
    "fbb09d33a1a64b68e600318d641483",
};

static void a_log_of_patchsets_is_gone_on_with_in_changesets(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    for (size_t i = 0; i < 2; i++) {
        uint8_t record[512];
        struct writer writer = writer_over(record, sizeof record);
        check_ok(hex_decode(patchsets[i], &writer));
        rig.log[rig.log_count++] = rig_copy(writer_bytes(&writer));
    }
    rig.sequence = 2;
    check_ok(crypto_hash(CRYPTO_SHA256, &rig.log[1], 1, rig.hash));
    check_ok(rig_start(&rig));
    char *read = contents(&rig);
    assert_string_equal("a=00112233,1,b=44,3", read);
    free(read);
    check_ok(rig_sql(&rig, "UPDATE item SET size = 4 WHERE name = 'b'"));
    check_ok(rig_commit(&rig));
    check_comes_back(&rig);
    rig_free(&rig);
}

/* ---- Random work, with failures and restarts, beside a plain database that is told only what was confirmed ---- */

static uint32_t seed;
static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static void random_statement(char *text, size_t cap)
{
    uint32_t a = random_below(12), b = random_below(4), c = random_below(1000);
    static const char *const forms[] = {
        "INSERT OR REPLACE INTO item VALUES('n%1$u', zeroblob(%3$u), %2$u)",
        "INSERT OR IGNORE INTO item VALUES('n%1$u', x'0%2$u', NULL)",
        "UPDATE item SET size = %3$u, value = NULL WHERE name >= 'n%1$u'",
        "UPDATE OR REPLACE item SET name = 'n%2$u' WHERE name = 'n%1$u'",
        "DELETE FROM item WHERE size %% 4 = %2$u",
        "INSERT OR REPLACE INTO pair VALUES(%1$u, %2$u, 'p%3$u')",
        "UPDATE OR IGNORE pair SET a = a + 1, text = text || %3$u WHERE b = %2$u",
        "DELETE FROM pair WHERE a = %1$u",
        "DELETE FROM item",
    };
    const char *form = forms[random_below(c == 0 ? 9 : 8)];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, cap, form, a, b, c);
#pragma GCC diagnostic pop
}

static char *dump(sqlite3 *db)
{
    static const char query[] = "SELECT name, quote(value), quote(size) FROM item UNION ALL"
                                " SELECT a, b, quote(text) FROM pair ORDER BY 1, 2";
    char *text = sqlite3_mprintf("");
    sqlite3_stmt *get;
    check_ok(sqlite3_prepare_v2(db, query, -1, &get, NULL));
    while (sqlite3_step(get) == SQLITE_ROW)
        text = sqlite3_mprintf("%z%s|%s|%s\n", text, sqlite3_column_text(get, 0), sqlite3_column_text(get, 1),
                               sqlite3_column_text(get, 2));
    sqlite3_finalize(get);
    return text;
}

static void random_work_keeps_step_with_plain_sqlite(void **state)
{
    (void)state;
    sqlite3 *plain;
    check_ok(sqlite3_open(":memory:", &plain));
    check_ok(sqlite3_exec(plain, rig_migrations[0], NULL, NULL, NULL));
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    size_t commits = 0;
    for (seed = 1; commits < 1200;) {
        char group[8][160];
        uint32_t count = 1 + random_below(8);
        for (uint32_t i = 0; i < count; i++) {
            random_statement(group[i], sizeof group[i]);
            check_ok(rig_sql(&rig, group[i]));
        }
        uint32_t fate = random_below(10);
        if (fate == 0) {
            check_ok(store_discard(rig.store));
        } else if (fate == 1) {
            (void)rig_seal(&rig, false);
            check_ok(store_revert(rig.store));
        } else {
            enum status status = rig_commit(&rig);
            assert_true(status == OK || status == NOT_FOUND);
            commits += status == OK;
            for (uint32_t i = 0; i < count; i++)
                check_ok(sqlite3_exec(plain, group[i], NULL, NULL, NULL));
        }
        if ((rig.log_count > 100 || random_below(60) == 0) && store_confirmed_sequence(rig.store) > 0)
            check_ok(rig_compact(&rig));
        if (random_below(20) == 0)
            check_ok(rig_start(&rig));
        char *expected = dump(plain), *actual = dump(store_database(rig.store));
        assert_string_equal(expected, actual);
        sqlite3_free(expected);
        sqlite3_free(actual);
    }
    sqlite3_close(plain);
    rig_free(&rig);
}

/* Salt of the monitor's key, salt of the segment, counter: they decide key and nonce (enclave/store/seal.c). */
#define KEY_OFF 152
#define KEY_LEN (32 + 32 + 8)
static uint8_t used[2048][KEY_LEN];
static size_t used_count;

static void collect(struct bytes sealed)
{
    const uint8_t *key = sealed.data + KEY_OFF;
    for (size_t i = 0; i < used_count; i++)
        assert_memory_not_equal(used[i], key, KEY_LEN);
    memcpy(used[used_count++], key, KEY_LEN);
}

static void no_key_and_nonce_are_used_twice_whatever_fails(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    used_count = 0;
    for (int launch = 0; launch < 20; launch++) {
        check_ok(rig_start(&rig));
        for (int i = 0; i < 12; i++) {
            struct bytes sealed;
            check_ok(rig_sql(&rig, "INSERT OR REPLACE INTO item VALUES('x', randomblob(9), 1)"));
            check_ok(store_seal(rig.store, &sealed));
            collect(sealed);
            check_ok(rig_sql(&rig, "INSERT OR REPLACE INTO item VALUES('y', randomblob(9), 1)"));
            check_ok(store_seal(rig.store, &sealed));
            collect(sealed);
            check_ok(store_revert(rig.store)); /* the same sequences again */
            check_ok(rig_sql(&rig, "INSERT OR REPLACE INTO item VALUES('x', randomblob(9), 1)"));
            check_ok(rig_commit(&rig));
            collect(rig.log[rig.log_count - 1]);
        }
        check_ok(rig_compact(&rig));
        collect(rig.snapshot);
    }
    assert_int_equal(used_count, 20 * 37);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schema_that_would_lose_changes_is_refused_with_its_name),
        cmocka_unit_test(no_statement_changes_the_schema_or_opens_a_file),
        cmocka_unit_test(large_sorts_need_no_file),
        cmocka_unit_test(a_full_store_says_so_and_goes_on),
        cmocka_unit_test(what_a_session_could_not_take_note_of_is_not_taken_for_nothing),
        cmocka_unit_test(what_a_session_could_not_take_note_of_does_not_go_without_saying),
        cmocka_unit_test(a_group_too_large_for_a_record_can_be_discarded),
        cmocka_unit_test(a_snapshot_is_wanted_when_the_log_outgrew_it),
        cmocka_unit_test(a_program_says_how_many_records_are_worth_a_snapshot),
        cmocka_unit_test(an_upgrade_migrates_at_the_same_place_each_time),
        cmocka_unit_test(a_long_log_comes_back_as_it_was_made),
        cmocka_unit_test(a_full_store_takes_rows_for_others_and_comes_back),
        cmocka_unit_test(a_log_of_patchsets_is_gone_on_with_in_changesets),
        cmocka_unit_test(random_work_keeps_step_with_plain_sqlite),
        cmocka_unit_test(no_key_and_nonce_are_used_twice_whatever_fails),
    };
    return crypto_init() == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
