/* The database and its schema. */
#include "store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_LEN 4096u

static const char own_schema[] =
    "CREATE TABLE store_root(id INTEGER PRIMARY KEY NOT NULL, secret BLOB NOT NULL) STRICT;"
    "CREATE TABLE store_epoch(first_sequence INTEGER PRIMARY KEY NOT NULL, salt BLOB NOT NULL) STRICT;"
    "CREATE TABLE store_chain(kind INTEGER NOT NULL, blind BLOB NOT NULL, sequence INTEGER NOT NULL,"
    "                         PRIMARY KEY(kind, blind)) STRICT;";

enum status store_sql_status(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return OK;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
        return NO_ROOM;
    default:
        return INTERNAL;
    }
}

enum status store_database_open(const struct store_config *config, sqlite3 **result)
{
    sqlite3 *db = NULL;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(":memory:", &db, flags, store_no_files.zName);
    char text[256];
    snprintf(text, sizeof text,
             "PRAGMA page_size=%u; PRAGMA temp_store=MEMORY; PRAGMA journal_mode=MEMORY; PRAGMA trusted_schema=OFF;"
             "PRAGMA foreign_keys=OFF; PRAGMA recursive_triggers=OFF; PRAGMA max_page_count=%zu;",
             PAGE_LEN, config->bytes_max / PAGE_LEN);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, text, NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        sqlite3_close(db);
        return store_sql_status(code);
    }
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    *result = db;
    return OK;
}

uint32_t store_schema_version(sqlite3 *db)
{
    sqlite3_stmt *get = NULL;
    uint32_t version = UINT32_MAX;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &get, NULL) == SQLITE_OK && sqlite3_step(get) == SQLITE_ROW)
        version = (uint32_t)sqlite3_column_int64(get, 0);
    sqlite3_finalize(get);
    return version;
}

enum status store_migrate_database(sqlite3 *db, const struct store_config *config, uint32_t version, struct writer *why)
{
    for (uint32_t at = store_schema_version(db); at < version; at++) {
        char set[64];
        snprintf(set, sizeof set, "PRAGMA user_version=%u; COMMIT;", at + 1);
        int code = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, config->migrations[at], NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, set, NULL, NULL, NULL);
        if (code == SQLITE_OK)
            continue;
        if (why) {
            put_text(why, "a migration fails: ");
            put_text(why, sqlite3_errmsg(db));
        }
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return store_sql_status(code);
    }
    return OK;
}

enum status store_limit(struct store *store, size_t bytes_max)
{
    char text[64];
    snprintf(text, sizeof text, "PRAGMA max_page_count=%zu", bytes_max / PAGE_LEN);
    return store_sql_status(sqlite3_exec(store->db, text, NULL, NULL, NULL));
}

enum status store_migrate(struct store *store, uint32_t version)
{
    return store_migrate_database(store->db, &store->config, version, NULL);
}

enum status store_sqlite_start(void)
{
    uint8_t seeded;
    if (!sqlite3_vfs_find(store_no_files.zName))
        TRY(store_sql_status(sqlite3_os_init()));
    sqlite3_randomness(sizeof seeded, &seeded); /* now, because later no call but getrandom may be made */
    return OK;
}

enum status store_open(struct store **result, const struct store_config *config)
{
    struct store_config checked = *config;
    if (!checked.policy)
        checked.policy = MONITOR_SEAL_SIGNER;
    if (!checked.bytes_max)
        checked.bytes_max = STORE_BYTES_DEFAULT;
    if (!checked.log_records)
        checked.log_records = STORE_LOG_RECORDS_DEFAULT;
    if (!checked.ahead_max)
        checked.ahead_max = 1;
    assert(checked.ahead_max <= STORE_AHEAD_MAX);
    assert(!checked.noted.table || checked.noted.since <= checked.migration_count);
    if (checked.bytes_max > STORE_BYTES_MAX || checked.bytes_max < 16 * PAGE_LEN)
        return NO_ROOM;
    TRY(store_sqlite_start());
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return NO_ROOM;
    store->config = checked;
    enum status status = store_database_open(&checked, &store->db);
    if (status == OK)
        status = store_sql_status(sqlite3_exec(store->db, own_schema, NULL, NULL, NULL));
    if (status != OK) {
        store_close(store);
        return status;
    }
    *result = store;
    return OK;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_pending_free(store);
    store_merge_done(store);
    store_archive_done(store);
    for (size_t i = 0; i < STORE_SQL_COUNT; i++)
        sqlite3_finalize(store->sql[i]);
    if (store->session)
        sqlite3session_delete(store->session);
    sqlite3_close_v2(store->db);
    store_segment_done(&store->sealing);
    store_segment_done(&store->opening);
    store_notes_forget(store);
    free(store->notes.data);
    free(store->record);
    free(store->snapshot);
    wipe(store, sizeof *store);
    free(store);
}

struct sqlite3 *store_database(struct store *store)
{
    return store->state == STORE_SERVING ? store->db : NULL;
}

/* PRAGMA is let through: sessions need it to learn of tables. */
static int authorize(void *user, int action, const char *a, const char *b, const char *c, const char *d)
{
    (void)user, (void)a, (void)b, (void)c, (void)d;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
    case SQLITE_PRAGMA:
        return SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

void store_guard_schema(struct store *store)
{
    sqlite3_set_authorizer(store->db, authorize, NULL);
}

static const char *const texts[STORE_SQL_COUNT] = {
    [STORE_SQL_CHAIN_GET] = "SELECT sequence FROM store_chain WHERE kind = ? AND blind = ?",
    [STORE_SQL_CHAIN_PUT] = "INSERT INTO store_chain VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET"
                            " sequence = excluded.sequence",
    [STORE_SQL_EPOCH_GET] = "SELECT first_sequence, salt FROM store_epoch WHERE first_sequence <= ?"
                            " ORDER BY first_sequence DESC LIMIT 1",
    [STORE_SQL_EPOCH_PUT] = "INSERT INTO store_epoch VALUES(?, ?)",
    [STORE_SQL_ROOT_GET] = "SELECT secret FROM store_root WHERE id = 1",
    [STORE_SQL_ROOT_PUT] = "INSERT INTO store_root VALUES(1, ?)",
    [STORE_SQL_BEGIN] = "BEGIN",
    [STORE_SQL_COMMIT] = "COMMIT",
};

sqlite3_stmt *store_sql(struct store *store, enum store_sql which)
{
    sqlite3_stmt **statement = &store->sql[which];
    if (!*statement)
        (void)sqlite3_prepare_v3(store->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    else
        sqlite3_reset(*statement);
    return *statement;
}

enum status store_run(sqlite3_stmt *statement)
{
    if (!statement)
        return NO_ROOM;
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return store_sql_status(code);
}
