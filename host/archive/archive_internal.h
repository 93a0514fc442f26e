/* archive, inside: the connection, its statements, and the transaction that lasts until the next sync. */
#ifndef BASTIDE_ARCHIVE_INTERNAL_H
#define BASTIDE_ARCHIVE_INTERNAL_H

#include "archive.h"

#include <sqlite3.h>

enum archive_sql {
    ARCHIVE_SQL_ROW_PUT,
    ARCHIVE_SQL_ROW_BY_SEQUENCE,
    ARCHIVE_SQL_ROW_BY_SOURCE,
    ARCHIVE_SQL_ROW_BY_TYPE,
    ARCHIVE_SQL_LOG_CUT,
    ARCHIVE_SQL_LOG_PUT,
    ARCHIVE_SQL_LOG_GET,
    ARCHIVE_SQL_LOG_DROP,
    ARCHIVE_SQL_SNAPSHOT_PUT,
    ARCHIVE_SQL_SNAPSHOT_COMPLETE,
    ARCHIVE_SQL_SNAPSHOT_NEWEST,
    ARCHIVE_SQL_SNAPSHOT_TOTAL,
    ARCHIVE_SQL_SNAPSHOT_DROP,
    ARCHIVE_SQL_SNAPSHOT_DROP_OTHERS,
    ARCHIVE_SQL_PIECE_PUT,
    ARCHIVE_SQL_PIECE_GET,
    ARCHIVE_SQL_PIECE_DROP,
    ARCHIVE_SQL_PIECE_DROP_OTHERS,
    ARCHIVE_SQL_BEGIN,
    ARCHIVE_SQL_COMMIT,
    ARCHIVE_SQL_COUNT,
};

struct archive {
    sqlite3 *db;
    sqlite3_stmt *sql[ARCHIVE_SQL_COUNT];
    enum status failed; /* of a write since the last sync; nothing more is written until then */
    struct {
        uint64_t sequence, total, have; /* total 0: none is being put */
    } put;
};

/* A statement, reset and with nothing bound, prepared when it is first asked for. NULL: it cannot be, which SQLite
 * calls a misuse when it is run, and archive_status() IO. */
sqlite3_stmt *archive_sql(struct archive *archive, enum archive_sql which);
MUST_USE enum status archive_run(struct archive *archive, sqlite3_stmt *statement); /* one that returns no row */
enum status archive_status(struct archive *archive, int code);                      /* of SQLite */
void archive_bind_blob(sqlite3_stmt *statement, int index, struct bytes bytes);     /* borrowed until it has run */
struct bytes archive_column(sqlite3_stmt *statement, int index);                    /* until it is stepped or reset */

/* Around every write: joins or begins the transaction; the sync remembers a failure. WRONG_STATE: an earlier write
 * failed, and this one would only be taken back with it. */
MUST_USE enum status archive_write_begin(struct archive *archive);
enum status archive_write_end(struct archive *archive, enum status status);

/* snapshot.c */
MUST_USE enum status archive_snapshot_at_sync(struct archive *archive, bool *completed);

#endif
