/* The site's tables and every statement that touches them, prepared once. */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

/* Every table has a primary key that is never null and grows by our own numbers, as the store demands.
 * `site` holds one row: what the whole site has one of. `sequence` is that of the archive row beside which it came. */
const char *const hub_schema[] = {
    "CREATE TABLE site(id INTEGER PRIMARY KEY NOT NULL CHECK(id = 1), time_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE client(name TEXT PRIMARY KEY NOT NULL, role INTEGER NOT NULL, input BLOB NOT NULL,"
    "                    created_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE rule(name TEXT PRIMARY KEY NOT NULL, json TEXT NOT NULL, state TEXT NOT NULL) STRICT;"
    "CREATE TABLE last(source TEXT NOT NULL, type TEXT NOT NULL, client TEXT NOT NULL, event TEXT NOT NULL,"
    "                  PRIMARY KEY(source, type)) STRICT;"
    "CREATE INDEX last_by_client ON last(client);"
    "CREATE TABLE recent(client TEXT NOT NULL, id TEXT NOT NULL, sequence INTEGER NOT NULL,"
    "                    PRIMARY KEY(client, id)) STRICT;"
    "CREATE INDEX recent_by_age ON recent(client, sequence);"
    "CREATE TABLE action(target TEXT NOT NULL, cursor INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    "                    body TEXT NOT NULL, PRIMARY KEY(target, cursor)) STRICT;",
    /* The site CA, and what clients that it certifies have instead of a secret. An owner's session was kept once. */
    "CREATE TABLE authority(id INTEGER PRIMARY KEY NOT NULL CHECK(id = 1), key BLOB NOT NULL,"
    "                       certificate BLOB NOT NULL) STRICT;"
    "CREATE TABLE credential(client TEXT PRIMARY KEY NOT NULL, certificate BLOB NOT NULL, code_hash BLOB NOT NULL,"
    "                        code_expires_ms INTEGER NOT NULL) STRICT;"
    "DELETE FROM client WHERE role = 1;",
    /* The certificate before, until its successor has been seen. */
    "ALTER TABLE credential ADD COLUMN former BLOB NOT NULL DEFAULT x'';",
};
const size_t hub_schema_count = sizeof hub_schema / sizeof hub_schema[0];

static const char *const texts[HUB_SQL_COUNT] = {
    [HUB_SQL_LAST_PUT] = "INSERT INTO last VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE SET client = excluded.client,"
                         " event = excluded.event",
    [HUB_SQL_LAST_GET] = "SELECT event FROM last WHERE source = ? AND type = ?",
    [HUB_SQL_LAST_COUNT] = "SELECT count(*) FROM last WHERE client = ?",
    [HUB_SQL_LAST_DROP] = "DELETE FROM last WHERE client = ?",
    [HUB_SQL_ID_GET] = "SELECT 1 FROM recent WHERE client = ? AND id = ?",
    [HUB_SQL_ID_PUT] = "INSERT INTO recent VALUES(?, ?, ?)",
    [HUB_SQL_ID_PRUNE] = "DELETE FROM recent WHERE client = ?1 AND sequence <= "
                         "(SELECT sequence FROM recent WHERE client = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)",
    [HUB_SQL_ID_DROP] = "DELETE FROM recent WHERE client = ?",
    [HUB_SQL_ACTION_NEWEST] = "SELECT coalesce(max(cursor), 0) FROM action WHERE target = ?",
    [HUB_SQL_ACTION_DURABLE] = "SELECT cursor FROM action WHERE target = ? AND sequence <= ?"
                               " ORDER BY cursor DESC LIMIT 1",
    [HUB_SQL_ACTION_PUT] = "INSERT INTO action VALUES(?, ?, ?, ?)",
    [HUB_SQL_ACTION_PRUNE] = "DELETE FROM action WHERE target = ? AND cursor <= ?",
    [HUB_SQL_ACTION_LIST] = "SELECT cursor, body FROM action WHERE target = ? AND cursor > ? AND sequence <= ?"
                            " ORDER BY cursor LIMIT ?",
    [HUB_SQL_CLIENT_PUT] = "INSERT INTO client VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE SET input = excluded.input,"
                           " created_ms = excluded.created_ms",
    [HUB_SQL_CLIENT_DELETE] = "DELETE FROM client WHERE name = ?",
    [HUB_SQL_CLIENT_LIST] = "SELECT name, role, input, created_ms FROM client ORDER BY name",
    [HUB_SQL_CREDENTIAL_PUT] = "INSERT INTO credential VALUES(?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET certificate ="
                               " excluded.certificate, code_hash = excluded.code_hash, code_expires_ms ="
                               " excluded.code_expires_ms, former = excluded.former",
    [HUB_SQL_CREDENTIAL_DELETE] = "DELETE FROM credential WHERE client = ?",
    [HUB_SQL_CREDENTIAL_LIST] = "SELECT name, created_ms, certificate, code_hash, code_expires_ms, former"
                                " FROM credential JOIN client ON client = name ORDER BY name",
    [HUB_SQL_CREDENTIAL_OWNER] = "SELECT certificate, former FROM credential WHERE client = 'owner'",
    [HUB_SQL_AUTHORITY_PUT] = "INSERT INTO authority VALUES(1, ?, ?) ON CONFLICT DO UPDATE SET key = excluded.key,"
                              " certificate = excluded.certificate",
    [HUB_SQL_AUTHORITY_GET] = "SELECT key, certificate FROM authority WHERE id = 1",
    [HUB_SQL_RULE_PUT] = "INSERT INTO rule VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET json = excluded.json,"
                         " state = excluded.state",
    [HUB_SQL_RULE_STATE] = "UPDATE rule SET state = ?2 WHERE name = ?1",
    [HUB_SQL_RULE_DELETE] = "DELETE FROM rule WHERE name = ?",
    [HUB_SQL_RULE_GET] = "SELECT json, state FROM rule WHERE name = ?",
    [HUB_SQL_RULE_LIST] = "SELECT name, json, state FROM rule ORDER BY name",
    [HUB_SQL_SITE_GET] = "SELECT time_ms FROM site WHERE id = 1",
    [HUB_SQL_SITE_PUT] = "INSERT INTO site VALUES(1, ?) ON CONFLICT DO UPDATE SET time_ms = excluded.time_ms",
};

struct hub_statements {
    sqlite3_stmt *prepared[HUB_SQL_COUNT];
};

enum status hub_sql_open(struct hub *hub)
{
    hub->sql = calloc(1, sizeof *hub->sql);
    if (!hub->sql)
        return NO_ROOM;
    for (size_t i = 0; i < HUB_SQL_COUNT; i++)
        if (sqlite3_prepare_v3(store_database(hub->store), texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &hub->sql->prepared[i], NULL) != SQLITE_OK)
            return INTERNAL;
    return OK;
}

void hub_sql_close(struct hub *hub)
{
    for (size_t i = 0; hub->sql && i < HUB_SQL_COUNT; i++)
        sqlite3_finalize(hub->sql->prepared[i]);
    free(hub->sql);
    hub->sql = NULL;
}

sqlite3_stmt *hub_sql(struct hub *hub, enum hub_sql which)
{
    sqlite3_stmt *statement = hub->sql->prepared[which];
    sqlite3_reset(statement); /* an answer nobody read to its end */
    if (!sqlite3_stmt_readonly(statement))
        store_begin(hub->store);
    return statement;
}

void hub_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void hub_bind_bytes(sqlite3_stmt *statement, int index, struct bytes bytes)
{
    sqlite3_bind_blob64(statement, index, bytes.data, bytes.len, SQLITE_STATIC);
}

void hub_bind_view(sqlite3_stmt *statement, int index, struct bytes text)
{
    sqlite3_bind_text64(statement, index, (const char *)text.data, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

enum status hub_run(sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (result == SQLITE_DONE)
        return OK;
    return result == SQLITE_FULL || result == SQLITE_NOMEM || result == SQLITE_TOOBIG ? NO_ROOM : INTERNAL;
}

bool hub_row(sqlite3_stmt *statement)
{
    return sqlite3_step(statement) == SQLITE_ROW;
}

struct bytes hub_column(sqlite3_stmt *statement, int index)
{
    const void *data = sqlite3_column_blob(statement, index);
    return bytes_from(data, data ? (size_t)sqlite3_column_bytes(statement, index) : 0);
}

const char *hub_column_text(sqlite3_stmt *statement, int index)
{
    const char *text = (const char *)sqlite3_column_text(statement, index);
    return text ? text : "";
}
