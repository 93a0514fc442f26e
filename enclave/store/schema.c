/* The rules that a schema must keep so that sessions lose nothing. Tests ask for it; no program needs it. */
#include "store_internal.h"

/* Each of these loses changes silently when a session records or applies them. */

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

enum status store_check_schema(const char *const *migrations, size_t count, struct writer *why)
{
    const struct store_config config = {
        .migrations = migrations, .migration_count = count, .bytes_max = STORE_BYTES_DEFAULT};
    sqlite3 *db = NULL;
    TRY(store_sqlite_start());
    TRY(store_database_open(&config, &db));
    enum status status = store_migrate_database(db, &config, (uint32_t)count, why);
    if (status == INTERNAL)
        status = DENIED;
    if (status == OK)
        status = check_reserved_names(db, why);
    if (status == OK)
        status = check_rules(db, why);
    sqlite3_close(db);
    return status;
}
