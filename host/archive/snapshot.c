/* Snapshots: put in pieces, whole once the last piece is there, in force at the sync after it. */
#include "archive_internal.h"

#include <string.h>

static enum status run_for(struct archive *archive, enum archive_sql which, uint64_t sequence)
{
    sqlite3_stmt *statement = archive_sql(archive, which);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)sequence);
    return archive_run(archive, statement);
}

static enum status begin_put(struct archive *archive, const struct door_piece *piece)
{
    TRY(run_for(archive, ARCHIVE_SQL_PIECE_DROP, piece->sequence));
    TRY(run_for(archive, ARCHIVE_SQL_SNAPSHOT_DROP, piece->sequence));
    sqlite3_stmt *put = archive_sql(archive, ARCHIVE_SQL_SNAPSHOT_PUT);
    sqlite3_bind_int64(put, 1, (sqlite3_int64)piece->sequence);
    sqlite3_bind_int64(put, 2, (sqlite3_int64)piece->total);
    TRY(archive_run(archive, put));
    archive->put.sequence = piece->sequence;
    archive->put.total = piece->total;
    archive->put.have = 0;
    return OK;
}

static bool fits(const struct archive *archive, const struct door_piece *piece)
{
    if (piece->off == 0)
        return piece->sequence > 0 && piece->sequence <= INT64_MAX && piece->total > 0 &&
               piece->total <= ARCHIVE_SNAPSHOT_MAX && piece->len <= piece->total;
    return piece->sequence == archive->put.sequence && piece->total == archive->put.total &&
           piece->off == archive->put.have && piece->len <= piece->total - piece->off;
}

static enum status put_piece(struct archive *archive, struct bytes message)
{
    struct door_piece piece;
    if (message.len < sizeof piece)
        return MALFORMED;
    memcpy(&piece, message.data, sizeof piece);
    struct bytes bytes = bytes_slice(message, sizeof piece, message.len - sizeof piece);
    if (piece.len == 0 || piece.len != bytes.len || bytes.len > DOOR_CHUNK_MAX || !fits(archive, &piece))
        return MALFORMED;
    if (piece.off == 0)
        TRY(begin_put(archive, &piece));
    sqlite3_stmt *put = archive_sql(archive, ARCHIVE_SQL_PIECE_PUT);
    sqlite3_bind_int64(put, 1, (sqlite3_int64)piece.sequence);
    sqlite3_bind_int64(put, 2, (sqlite3_int64)piece.off);
    archive_bind_blob(put, 3, bytes);
    TRY(archive_run(archive, put));
    archive->put.have += piece.len;
    return OK;
}

enum status archive_put_snapshot(struct archive *archive, struct bytes piece)
{
    TRY(archive_write_begin(archive));
    return archive_write_end(archive, put_piece(archive, piece));
}

enum status archive_snapshot_at_sync(struct archive *archive, bool *completed)
{
    uint64_t sequence = archive->put.sequence;
    if (archive->put.total == 0)
        return OK;
    if (archive->put.have != archive->put.total)
        return MALFORMED; /* half a snapshot must not take the place of a whole one */
    TRY(archive_write_begin(archive));
    TRY(run_for(archive, ARCHIVE_SQL_SNAPSHOT_COMPLETE, sequence));
    TRY(run_for(archive, ARCHIVE_SQL_SNAPSHOT_DROP_OTHERS, sequence));
    TRY(run_for(archive, ARCHIVE_SQL_PIECE_DROP_OTHERS, sequence));
    TRY(run_for(archive, ARCHIVE_SQL_LOG_DROP, sequence));
    *completed = true;
    return OK;
}

/* ---- Get ---- */

static enum status find(struct archive *archive, uint64_t sequence, struct door_piece *piece)
{
    sqlite3_stmt *get = archive_sql(archive, sequence ? ARCHIVE_SQL_SNAPSHOT_TOTAL : ARCHIVE_SQL_SNAPSHOT_NEWEST);
    if (sequence)
        sqlite3_bind_int64(get, 1, sequence > INT64_MAX ? INT64_MAX : (sqlite3_int64)sequence);
    int code = sqlite3_step(get);
    enum status status = code == SQLITE_DONE ? NOT_FOUND : archive_status(archive, code);
    if (status == OK) {
        piece->sequence = (uint64_t)sqlite3_column_int64(get, 0);
        piece->total = (uint64_t)sqlite3_column_int64(get, 1);
    }
    sqlite3_reset(get);
    return status;
}

/* From `piece->off` to the end of the stored piece that holds it, or as much as is wanted and fits. */
static enum status give_piece(struct archive *archive, struct door_piece *piece, uint64_t wanted, struct writer *answer)
{
    if (answer->cap - answer->len <= sizeof *piece)
        return NO_ROOM;
    sqlite3_stmt *get = archive_sql(archive, ARCHIVE_SQL_PIECE_GET);
    sqlite3_bind_int64(get, 1, (sqlite3_int64)piece->sequence);
    sqlite3_bind_int64(get, 2, (sqlite3_int64)piece->off);
    int code = sqlite3_step(get);
    enum status status = code == SQLITE_DONE ? IO : archive_status(archive, code);
    if (status == OK) {
        uint64_t skip = piece->off - (uint64_t)sqlite3_column_int64(get, 0);
        struct bytes bytes = archive_column(get, 1);
        uint64_t len = skip < bytes.len ? bytes.len - skip : 0;
        uint64_t room = answer->cap - answer->len - sizeof *piece;
        len = wanted && len > wanted ? wanted : len;
        len = len > room ? room : len;
        piece->len = len;
        put_bytes(answer, bytes_from(piece, sizeof *piece));
        put_bytes(answer, bytes_slice(bytes, (size_t)skip, (size_t)len));
        status = len ? writer_end(answer) : IO;
    }
    sqlite3_reset(get);
    return status;
}

enum status archive_get_snapshot(struct archive *archive, const struct door_piece *wanted, struct writer *answer)
{
    struct door_piece piece = {.off = wanted->off};
    enum status status = find(archive, wanted->sequence, &piece);
    if (status == NOT_FOUND && wanted->sequence == 0) {
        piece = (struct door_piece){0};
        put_bytes(answer, bytes_from(&piece, sizeof piece));
        return writer_end(answer);
    }
    TRY(status);
    if (wanted->off >= piece.total)
        return MALFORMED;
    return give_piece(archive, &piece, wanted->len, answer);
}
