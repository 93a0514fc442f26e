/* libtpms' states in the store, cut into pieces so that a commit carries what changed and not all of it. */
#include "vtpm_internal.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 512u

const char *const vtpm_schema[] = {
    "CREATE TABLE piece(kind INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL,"
    "                   PRIMARY KEY(kind, number)) STRICT;",
    "CREATE TABLE kept(name TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL) STRICT;",
    "CREATE TABLE stay(id INTEGER NOT NULL, custody INTEGER NOT NULL, line BLOB NOT NULL, peer BLOB NOT NULL,"
    "                  secret BLOB NOT NULL, content BLOB NOT NULL, transfer BLOB NOT NULL, authority BLOB NOT NULL,"
    "                  version INTEGER NOT NULL, PRIMARY KEY(id)) STRICT;",
    "CREATE TABLE lock(id INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(id)) STRICT;",
};
const size_t vtpm_schema_count = sizeof vtpm_schema / sizeof *vtpm_schema;

static const char *const texts[VTPM_SQL_COUNT] = {
    [VTPM_SQL_PUT] = "INSERT INTO piece VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
    [VTPM_SQL_CUT] = "DELETE FROM piece WHERE kind = ? AND number >= ?",
    [VTPM_SQL_LIST] = "SELECT number, bytes FROM piece WHERE kind = ? ORDER BY number",
    [VTPM_SQL_KEEP] = "INSERT INTO kept VALUES(?, ?) ON CONFLICT DO UPDATE SET number = excluded.number",
    [VTPM_SQL_KEPT] = "SELECT number FROM kept WHERE name = ?",
    [VTPM_SQL_STAY_PUT] = "INSERT INTO stay VALUES(1, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                          " custody = excluded.custody, line = excluded.line, peer = excluded.peer,"
                          " secret = excluded.secret, content = excluded.content, transfer = excluded.transfer,"
                          " authority = excluded.authority, version = excluded.version",
    [VTPM_SQL_STAY_GET] =
        "SELECT custody, line, peer, secret, content, transfer, authority, version FROM stay WHERE id = 1",
    [VTPM_SQL_LOCK_PUT] = "INSERT INTO lock VALUES(1, ?)",
    [VTPM_SQL_LOCK_GET] = "SELECT hash FROM lock WHERE id = 1",
};

enum status vtpm_sql_run(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code == SQLITE_DONE ? OK : (code & 0xff) == SQLITE_FULL ? NO_ROOM : INTERNAL;
}

static struct bytes piece_of(struct bytes state, size_t number)
{
    size_t off = number * PIECE;
    if (off >= state.len)
        return (struct bytes){0};
    return bytes_slice(state, off, state.len - off < PIECE ? state.len - off : PIECE);
}

static size_t pieces_of(size_t len)
{
    return (len + PIECE - 1) / PIECE;
}

static enum status put_pieces(struct vtpm *vtpm, enum vtpm_kind kind, struct bytes state)
{
    struct bytes before = bytes_from(vtpm->states[kind].data, vtpm->states[kind].len);
    for (size_t i = 0; i < pieces_of(state.len); i++) {
        struct bytes piece = piece_of(state, i);
        if (bytes_equal(piece, piece_of(before, i)))
            continue;
        sqlite3_stmt *put = vtpm->sql[VTPM_SQL_PUT];
        sqlite3_bind_int(put, 1, (int)kind);
        sqlite3_bind_int64(put, 2, (sqlite3_int64)i);
        sqlite3_bind_blob(put, 3, piece.data, (int)piece.len, SQLITE_STATIC);
        TRY(vtpm_sql_run(put));
    }
    if (pieces_of(state.len) >= pieces_of(before.len))
        return OK;
    sqlite3_stmt *cut = vtpm->sql[VTPM_SQL_CUT];
    sqlite3_bind_int(cut, 1, (int)kind);
    sqlite3_bind_int64(cut, 2, (sqlite3_int64)pieces_of(state.len));
    return vtpm_sql_run(cut);
}

static void forget(struct vtpm_state *state)
{
    if (state->data)
        wipe(state->data, state->len);
    free(state->data);
    *state = (struct vtpm_state){0};
}

enum status vtpm_state_put(struct vtpm *vtpm, enum vtpm_kind kind, struct bytes state)
{
    uint8_t *copy = state.len > 0 && state.len <= VTPM_STATE_MAX ? malloc(state.len) : NULL;
    enum status status = NO_ROOM;
    if (copy) {
        store_begin(vtpm->store);
        status = put_pieces(vtpm, kind, state);
    }
    if (status != OK) {
        free(copy);
        vtpm->store_failed = true;
        return status;
    }
    memcpy(copy, state.data, state.len);
    forget(&vtpm->states[kind]);
    vtpm->states[kind] = (struct vtpm_state){copy, state.len, true};
    return OK;
}

enum status vtpm_state_drop(struct vtpm *vtpm, enum vtpm_kind kind)
{
    if (!vtpm->states[kind].exists)
        return NOT_FOUND;
    sqlite3_stmt *cut = vtpm->sql[VTPM_SQL_CUT];
    store_begin(vtpm->store);
    sqlite3_bind_int(cut, 1, (int)kind);
    sqlite3_bind_int64(cut, 2, 0);
    enum status status = vtpm_sql_run(cut);
    vtpm->store_failed |= status != OK;
    if (status == OK)
        forget(&vtpm->states[kind]);
    return status;
}

/* ---- After a launch ---- */

static enum status put_pieces_in(sqlite3_stmt *list, struct writer *writer)
{
    int code;
    while ((code = sqlite3_step(list)) == SQLITE_ROW) {
        if (writer->len != (size_t)sqlite3_column_int64(list, 0) * PIECE)
            writer_fail(writer, MALFORMED);
        put_bytes(writer, bytes_from(sqlite3_column_blob(list, 1), (size_t)sqlite3_column_bytes(list, 1)));
    }
    sqlite3_reset(list);
    return code == SQLITE_DONE ? writer_end(writer) : INTERNAL;
}

/* As much memory as it is long, for the next block would be in a page that nothing else touches. */
static enum status load_one(struct vtpm *vtpm, enum vtpm_kind kind)
{
    sqlite3_stmt *list = vtpm->sql[VTPM_SQL_LIST];
    struct vtpm_state state = {0};
    sqlite3_bind_int(list, 1, (int)kind);
    forget(&vtpm->states[kind]);
    while (sqlite3_step(list) == SQLITE_ROW)
        state.len += (size_t)sqlite3_column_bytes(list, 1);
    sqlite3_reset(list);
    if (state.len > VTPM_STATE_MAX)
        return NO_ROOM;
    state.exists = state.len > 0;
    state.data = state.exists ? malloc(state.len) : NULL;
    if (state.exists && !state.data)
        return NO_ROOM;
    struct writer writer = writer_over(state.data, state.len);
    enum status status = put_pieces_in(list, &writer);
    if (status == OK)
        vtpm->states[kind] = state;
    else
        forget(&state);
    return status;
}

enum status vtpm_states_load(struct vtpm *vtpm)
{
    for (size_t i = 0; i < VTPM_SQL_COUNT; i++)
        if (!vtpm->sql[i] && sqlite3_prepare_v3(store_database(vtpm->store), texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                                &vtpm->sql[i], NULL) != SQLITE_OK)
            return INTERNAL;
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        TRY(load_one(vtpm, (enum vtpm_kind)kind));
    TRY(vtpm_lock_load(vtpm));
    return vtpm_stay_load(vtpm);
}

void vtpm_states_done(struct vtpm *vtpm)
{
    for (size_t i = 0; i < VTPM_SQL_COUNT; i++)
        sqlite3_finalize(vtpm->sql[i]);
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        forget(&vtpm->states[kind]);
}
