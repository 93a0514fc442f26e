/* The database: SQLite without files, the schema and the rules that a schema must keep so that sessions lose nothing.
 */
#include "store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_LEN 4096u

static const char own_schema[] =
    "CREATE TABLE store_root(id INTEGER PRIMARY KEY NOT NULL, secret BLOB NOT NULL) STRICT;"
    "CREATE TABLE store_epoch(first_sequence INTEGER PRIMARY KEY NOT NULL, salt BLOB NOT NULL) STRICT;"
    "CREATE TABLE store_chain(kind INTEGER NOT NULL, blind BLOB NOT NULL, sequence INTEGER NOT NULL,"
    "                         PRIMARY KEY(kind, blind)) STRICT;";

/* ---- A file system in which there is no file ---- */

static int no_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs, (void)name, (void)flags, (void)out_flags;
    file->pMethods = NULL;
    return SQLITE_CANTOPEN;
}

static int no_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs, (void)name, (void)sync;
    return SQLITE_IOERR_DELETE;
}

static int no_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
    (void)vfs, (void)name, (void)flags;
    *result = 0;
    return SQLITE_OK;
}

static int no_path(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
    (void)vfs, (void)name, (void)cap, (void)out;
    return SQLITE_CANTOPEN;
}

static int give_random(sqlite3_vfs *vfs, int len, char *out)
{
    (void)vfs;
    return len > 0 && crypto_random(out, (size_t)len) == OK ? len : 0;
}

static int no_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs, (void)microseconds;
    return 0;
}

/* Time is not the database's business: always the Unix epoch. */
static int no_time(sqlite3_vfs *vfs, sqlite3_int64 *now)
{
    (void)vfs;
    *now = 210866760000000;
    return SQLITE_OK;
}

static int no_time_double(sqlite3_vfs *vfs, double *now)
{
    (void)vfs;
    *now = 2440587.5;
    return SQLITE_OK;
}

static int no_error(sqlite3_vfs *vfs, int len, char *out)
{
    (void)vfs, (void)len, (void)out;
    return 0;
}

static sqlite3_vfs no_files = {
    .iVersion = 2,
    .szOsFile = sizeof(sqlite3_file),
    .mxPathname = 64,
    .zName = "bastide-none",
    .xOpen = no_open,
    .xDelete = no_delete,
    .xAccess = no_access,
    .xFullPathname = no_path,
    .xRandomness = give_random,
    .xSleep = no_sleep,
    .xCurrentTime = no_time_double,
    .xGetLastError = no_error,
    .xCurrentTimeInt64 = no_time,
};

/* ---- Opening ---- */

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
    int code = sqlite3_open_v2(":memory:", &db, flags, no_files.zName);
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

static enum status migrate(sqlite3 *db, const struct store_config *config, uint32_t version, struct writer *why)
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

enum status store_migrate(struct store *store, uint32_t version)
{
    return migrate(store->db, &store->config, version, NULL);
}

/* ---- Rules. Each of these loses changes silently when a session records or applies them. ---- */

static const struct {
    const char *finds; /* names that break the rule */
    const char *rule;
} rules[] = {
    {"SELECT name FROM sqlite_schema WHERE type = 'trigger'", "triggers would fire again when a record is applied"},
    {"SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('virtual', 'shadow')",
     "virtual tables are not recorded"},
    {"SELECT name FROM sqlite_schema WHERE name = 'sqlite_sequence'",
     "AUTOINCREMENT keeps a counter that is not recorded"},
    {"SELECT name FROM sqlite_schema AS t WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND NOT "
     "EXISTS"
     " (SELECT 1 FROM pragma_table_info(t.name) WHERE pk > 0)",
     "has no primary key"},
    {"SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'"
     " AND c.pk > 0 AND NOT c.\"notnull\"",
     "has a primary key that may be NULL"},
    {"SELECT t.name FROM sqlite_schema AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table'"
     " AND i.\"unique\" AND i.origin <> 'pk'",
     "has a UNIQUE besides its primary key, which can keep a record from being applied"},
    {"SELECT t.name FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c WHERE t.type = 'table' AND c.hidden <> 0",
     "has a generated column"},
    {"SELECT t.name FROM sqlite_schema AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table'",
     "has a foreign key, which is not enforced"},
};

static enum status check_rules(sqlite3 *db, struct writer *why)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        sqlite3_stmt *find = NULL;
        if (sqlite3_prepare_v2(db, rules[i].finds, -1, &find, NULL) != SQLITE_OK)
            return INTERNAL;
        int code = sqlite3_step(find);
        if (code == SQLITE_ROW && why) {
            put_text(why, (const char *)sqlite3_column_text(find, 0));
            put_text(why, ": ");
            put_text(why, rules[i].rule);
        }
        sqlite3_finalize(find);
        if (code != SQLITE_DONE)
            return code == SQLITE_ROW ? DENIED : store_sql_status(code);
    }
    return OK;
}

static enum status check_reserved_names(sqlite3 *db, struct writer *why)
{
    static const char text[] = "SELECT name FROM sqlite_schema WHERE name LIKE 'store\\_%' ESCAPE '\\'";
    sqlite3_stmt *find = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &find, NULL) != SQLITE_OK)
        return INTERNAL;
    int code = sqlite3_step(find);
    if (code == SQLITE_ROW && why) {
        put_text(why, (const char *)sqlite3_column_text(find, 0));
        put_text(why, ": names beginning with store_ are the store's own");
    }
    sqlite3_finalize(find);
    return code == SQLITE_ROW ? DENIED : OK;
}

/* The whole schema, made once in a database of its own, so that a broken rule is found at the first start. */
static enum status check_schema(const struct store_config *config, struct writer *why)
{
    sqlite3 *db = NULL;
    TRY(store_database_open(config, &db));
    enum status status = migrate(db, config, (uint32_t)config->migration_count, why);
    if (status == INTERNAL)
        status = DENIED;
    if (status == OK)
        status = check_reserved_names(db, why);
    if (status == OK)
        status = check_rules(db, why);
    sqlite3_close(db);
    return status;
}

static enum status start_sqlite(void)
{
    if (sqlite3_vfs_find(no_files.zName))
        return OK;
    /* One thread, no locks; refused, and needless to insist, once SQLite runs. */
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    TRY(store_sql_status(sqlite3_initialize()));
    TRY(store_sql_status(sqlite3_vfs_register(&no_files, 1)));
    uint8_t seeded;
    sqlite3_randomness(sizeof seeded, &seeded); /* now, because later no call but getrandom may be made */
    return OK;
}

enum status store_open(struct store **result, const struct store_config *config, struct writer *why)
{
    struct store_config checked = *config;
    if (!checked.policy)
        checked.policy = MONITOR_SEAL_SIGNER;
    if (!checked.bytes_max)
        checked.bytes_max = STORE_BYTES_DEFAULT;
    if (checked.bytes_max > STORE_BYTES_MAX || checked.bytes_max < 16 * PAGE_LEN)
        return NO_ROOM;
    TRY(start_sqlite());
    TRY(check_schema(&checked, why));
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return NO_ROOM;
    store->config = checked;
    enum status status = store_database_open(&checked, &store->db);
    if (status == OK)
        status = store_sql_status(sqlite3_exec(store->db, own_schema, NULL, NULL, NULL));
    if (status == OK)
        status = store_segment_start(store);
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
    store_archive_done(store);
    for (size_t i = 0; i < STORE_SQL_COUNT; i++)
        sqlite3_finalize(store->sql[i]);
    if (store->session)
        sqlite3session_delete(store->session);
    sqlite3_close_v2(store->db);
    store_segment_done(&store->sealing);
    store_segment_done(&store->opening);
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
