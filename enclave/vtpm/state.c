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
    "-- From this version on records have notes of what changes in piece (note.c), and a program before it refuses "
    "them.",
};
const size_t vtpm_schema_count = sizeof vtpm_schema / sizeof *vtpm_schema;
const struct store_noted vtpm_noted = {"piece", 5, vtpm_notes_apply, vtpm_notes_settle};

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

static struct bytes bytes_of(const struct vtpm_state *state)
{
    return bytes_from(state->data, state->len);
}

/* ---- In memory ---- */

static enum status reserve(struct vtpm_state *state, size_t len)
{
    if (len > VTPM_STATE_MAX)
        return NO_ROOM;
    if (len <= state->cap)
        return OK;
    uint8_t *data = malloc(len);
    if (!data)
        return NO_ROOM;
    if (state->len)
        memcpy(data, state->data, state->len);
    if (state->data)
        wipe(state->data, state->cap);
    free(state->data);
    state->data = data;
    state->cap = len;
    return OK;
}

enum status vtpm_state_lengthen(struct vtpm_state *state, size_t len)
{
    TRY(reserve(state, len));
    state->len = len;
    state->exists = true;
    return OK;
}

void vtpm_state_shorten(struct vtpm_state *state, size_t len)
{
    if (state->data)
        wipe(state->data + len, state->len - len);
    state->len = len;
    if (len)
        return;
    free(state->data);
    *state = (struct vtpm_state){0};
}

/* ---- In the tables ---- */

static enum status cut_pieces(struct vtpm *vtpm, enum vtpm_kind kind, size_t count)
{
    sqlite3_stmt *cut = vtpm->sql[VTPM_SQL_CUT];
    sqlite3_bind_int(cut, 1, (int)kind);
    sqlite3_bind_int64(cut, 2, (sqlite3_int64)count);
    return vtpm_sql_run(cut);
}

enum status vtpm_pieces_put(struct vtpm *vtpm, enum vtpm_kind kind, struct bytes state)
{
    const struct bytes before = bytes_of(&vtpm->states[kind]);
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
    return pieces_of(state.len) < pieces_of(before.len) ? cut_pieces(vtpm, kind, pieces_of(state.len)) : OK;
}

/* ---- Changes ---- */

/* Of a piece, from the first byte that differs to the last. */
static enum status note_piece(struct vtpm *vtpm, enum vtpm_kind kind, size_t off, struct bytes before,
                              struct bytes piece)
{
    size_t from = 0, to = piece.len;
    while (from < to && from < before.len && piece.data[from] == before.data[from])
        from++;
    while (to > from && to <= before.len && piece.data[to - 1] == before.data[to - 1])
        to--;
    return from < to ? vtpm_note_written(vtpm, kind, off + from, bytes_slice(piece, from, to - from)) : OK;
}

/* What comes behind all pieces that there were is one note, for the memory is there at once then. */
static enum status note_changes(struct vtpm *vtpm, enum vtpm_kind kind, struct bytes state)
{
    const struct bytes before = bytes_of(&vtpm->states[kind]);
    const size_t behind = pieces_of(before.len) * PIECE;
    if (state.len < before.len)
        TRY(vtpm_note_cut(vtpm, kind, state.len));
    for (size_t off = 0; off < behind && off < state.len; off += PIECE) {
        const struct bytes piece = piece_of(state, off / PIECE), was = piece_of(before, off / PIECE);
        if (!bytes_equal(piece, was))
            TRY(note_piece(vtpm, kind, off, was, piece));
    }
    return behind < state.len ? vtpm_note_written(vtpm, kind, behind, bytes_slice(state, behind, state.len - behind))
                              : OK;
}

enum status vtpm_state_put(struct vtpm *vtpm, enum vtpm_kind kind, struct bytes state)
{
    struct vtpm_state *held = &vtpm->states[kind];
    store_begin(vtpm->store);
    enum status status = state.len ? reserve(held, state.len) : NO_ROOM;
    if (status == OK)
        status = note_changes(vtpm, kind, state);
    if (status == OK)
        status = vtpm_pieces_put(vtpm, kind, state);
    if (status != OK) {
        vtpm->store_failed = true;
        return status;
    }
    if (state.len < held->len)
        vtpm_state_shorten(held, state.len);
    memcpy(held->data, state.data, state.len);
    held->len = state.len;
    held->exists = true;
    return OK;
}

enum status vtpm_state_drop(struct vtpm *vtpm, enum vtpm_kind kind)
{
    if (!vtpm->states[kind].exists)
        return NOT_FOUND;
    store_begin(vtpm->store);
    enum status status = vtpm_note_cut(vtpm, kind, 0);
    if (status == OK)
        status = cut_pieces(vtpm, kind, 0);
    vtpm->store_failed |= status != OK;
    if (status == OK)
        vtpm_state_shorten(&vtpm->states[kind], 0);
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
    struct vtpm_state *state = &vtpm->states[kind];
    size_t len = 0;
    sqlite3_bind_int(list, 1, (int)kind);
    vtpm_state_shorten(state, 0);
    while (sqlite3_step(list) == SQLITE_ROW)
        len += (size_t)sqlite3_column_bytes(list, 1);
    sqlite3_reset(list);
    if (len == 0)
        return OK;
    TRY(vtpm_state_lengthen(state, len));
    struct writer writer = writer_over(state->data, len);
    enum status status = put_pieces_in(list, &writer);
    if (status != OK)
        vtpm_state_shorten(state, 0);
    return status;
}

static enum status prepare(struct vtpm *vtpm, sqlite3 *db, enum vtpm_sql first, enum vtpm_sql last)
{
    for (int i = (int)first; i <= (int)last; i++)
        if (!vtpm->sql[i] &&
            sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &vtpm->sql[i], NULL) != SQLITE_OK)
            return INTERNAL;
    return OK;
}

enum status vtpm_pieces_load(struct vtpm *vtpm, sqlite3 *db)
{
    TRY(prepare(vtpm, db, VTPM_SQL_PUT, VTPM_SQL_LIST)); /* the other tables may not be there yet */
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        TRY(load_one(vtpm, (enum vtpm_kind)kind));
    return OK;
}

enum status vtpm_states_load(struct vtpm *vtpm)
{
    TRY(prepare(vtpm, store_database(vtpm->store), VTPM_SQL_PUT, VTPM_SQL_COUNT - 1));
    TRY(vtpm_pieces_load(vtpm, store_database(vtpm->store)));
    TRY(vtpm_lock_load(vtpm));
    return vtpm_stay_load(vtpm);
}

void vtpm_states_done(struct vtpm *vtpm)
{
    for (size_t i = 0; i < VTPM_SQL_COUNT; i++)
        sqlite3_finalize(vtpm->sql[i]);
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        vtpm_state_shorten(&vtpm->states[kind], 0);
}
