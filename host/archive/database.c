/* The file, its tables, and the transaction between two syncs. */
#include "archive_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x62737461 /* "bsta" */
#define PAGE_LEN 4096u

static const char setup[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                            "PRAGMA journal_size_limit=16777216; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=OFF;"
                            "PRAGMA trusted_schema=OFF;";

/* Few pages of its own, for the file's are in memory once for all; and a short log: one that is begun again is written
 * over, and a sync after that has no new length to write as well. */
static const char small[] = "PRAGMA cache_size=4; PRAGMA wal_autocheckpoint=100;";

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE archive(sequence INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, source BLOB NOT NULL,"
    "                     type BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;"
    "CREATE INDEX archive_by_source ON archive(source, sequence);"
    "CREATE INDEX archive_by_type ON archive(type, sequence);"
    "CREATE TABLE log(sequence INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT;"
    "CREATE TABLE snapshot(sequence INTEGER PRIMARY KEY, total INTEGER NOT NULL, complete INTEGER NOT NULL) STRICT;"
    "CREATE TABLE piece(sequence INTEGER NOT NULL, off INTEGER NOT NULL, bytes BLOB NOT NULL,"
    "                   PRIMARY KEY(sequence, off)) STRICT;"
    "PRAGMA application_id=1651733601; PRAGMA user_version=1; COMMIT;";

static const char *const texts[ARCHIVE_SQL_COUNT] = {
    [ARCHIVE_SQL_ROW_PUT] = "INSERT OR REPLACE INTO archive VALUES(?, ?, ?, ?, ?)",
    [ARCHIVE_SQL_ROW_BY_SEQUENCE] = "SELECT sequence, bucket, source, type, sealed FROM archive WHERE sequence < ?1"
                                    " ORDER BY sequence DESC LIMIT ?2",
    [ARCHIVE_SQL_ROW_BY_SOURCE] = "SELECT sequence, bucket, source, type, sealed FROM archive WHERE sequence < ?1"
                                  " AND source = ?3 ORDER BY sequence DESC LIMIT ?2",
    [ARCHIVE_SQL_ROW_BY_TYPE] = "SELECT sequence, bucket, source, type, sealed FROM archive WHERE sequence < ?1"
                                " AND type = ?3 ORDER BY sequence DESC LIMIT ?2",
    [ARCHIVE_SQL_LOG_CUT] = "DELETE FROM log WHERE sequence > ?",
    [ARCHIVE_SQL_LOG_PUT] = "INSERT OR REPLACE INTO log VALUES(?, ?)",
    [ARCHIVE_SQL_LOG_GET] = "SELECT sequence, record FROM log WHERE sequence >= ? ORDER BY sequence",
    [ARCHIVE_SQL_LOG_DROP] = "DELETE FROM log WHERE sequence <= ?",
    [ARCHIVE_SQL_SNAPSHOT_PUT] = "INSERT INTO snapshot VALUES(?, ?, 0)",
    [ARCHIVE_SQL_SNAPSHOT_COMPLETE] = "UPDATE snapshot SET complete = 1 WHERE sequence = ?",
    [ARCHIVE_SQL_SNAPSHOT_NEWEST] =
        "SELECT sequence, total FROM snapshot WHERE complete ORDER BY sequence DESC LIMIT 1",
    [ARCHIVE_SQL_SNAPSHOT_TOTAL] = "SELECT sequence, total FROM snapshot WHERE complete AND sequence = ?",
    [ARCHIVE_SQL_SNAPSHOT_DROP] = "DELETE FROM snapshot WHERE sequence = ?",
    [ARCHIVE_SQL_SNAPSHOT_DROP_OTHERS] = "DELETE FROM snapshot WHERE sequence <> ?",
    [ARCHIVE_SQL_PIECE_PUT] = "INSERT INTO piece VALUES(?, ?, ?)",
    [ARCHIVE_SQL_PIECE_GET] = "SELECT off, bytes FROM piece WHERE sequence = ? AND off <= ? ORDER BY off DESC LIMIT 1",
    [ARCHIVE_SQL_PIECE_DROP] = "DELETE FROM piece WHERE sequence = ?",
    [ARCHIVE_SQL_PIECE_DROP_OTHERS] = "DELETE FROM piece WHERE sequence <> ?",
    [ARCHIVE_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [ARCHIVE_SQL_COMMIT] = "COMMIT",
};

/* A commit that fails does not set sqlite3_system_errno(): what the last system call said is still in errno. */
enum status archive_status(struct archive *archive, int code)
{
    int system = sqlite3_system_errno(archive->db);
    if (system == 0)
        system = errno;
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return OK;
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
        return NO_ROOM;
    case SQLITE_IOERR:
        return system == ENOSPC || system == EDQUOT || system == EFBIG ? NO_ROOM : IO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return BUSY;
    default:
        return IO;
    }
}

sqlite3_stmt *archive_sql(struct archive *archive, enum archive_sql which)
{
    sqlite3_stmt **statement = &archive->sql[which];
    if (!*statement)
        (void)sqlite3_prepare_v3(archive->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    sqlite3_reset(*statement);
    if (*statement)
        sqlite3_clear_bindings(*statement);
    return *statement;
}

enum status archive_run(struct archive *archive, sqlite3_stmt *statement)
{
    errno = 0;
    int code = sqlite3_step(statement);
    enum status status = archive_status(archive, code);
    sqlite3_reset(statement);
    return status;
}

void archive_bind_blob(sqlite3_stmt *statement, int index, struct bytes bytes)
{
    sqlite3_bind_blob64(statement, index, bytes.len ? bytes.data : (const uint8_t *)"", bytes.len, SQLITE_STATIC);
}

struct bytes archive_column(sqlite3_stmt *statement, int index)
{
    const void *data = sqlite3_column_blob(statement, index);
    return bytes_from(data, (size_t)sqlite3_column_bytes(statement, index));
}

/* ---- Opening ---- */

static enum status explain(struct writer *why, enum status status, const char *path, const char *what)
{
    if (why) {
        put_text(why, path);
        put_text(why, ": ");
        put_text(why, what);
    }
    return status;
}

static enum status explain_errno(struct writer *why, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return explain(why, full ? NO_ROOM : IO, path, strerror(errno));
}

static int directory_of(const char *path, char *directory, size_t cap)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return snprintf(directory, cap, ".");
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    return snprintf(directory, cap, "%.*s", (int)len, path);
}

/* The file exists, is ours alone, and a power cut does not take its name away. */
static enum status prepare_file(const char *path, struct writer *why)
{
    char directory[4096];
    int len = directory_of(path, directory, sizeof directory);
    if (len < 0 || (size_t)len >= sizeof directory)
        return explain(why, NO_ROOM, path, "the name is too long");
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return explain_errno(why, directory);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    const bool made = fd < 0 && errno == ENOENT;
    if (made)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return explain_errno(why, path);
    enum status status = fchmod(fd, 0600) == 0 ? OK : explain_errno(why, path);
    close(fd);
    if (!made) /* the first commit that makes a log beside it syncs the directory as well */
        return status;
    int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (status == OK && (at < 0 || fsync(at) != 0))
        status = explain_errno(why, directory);
    if (at >= 0)
        close(at);
    return status;
}

static int64_t pragma(sqlite3 *db, const char *text)
{
    sqlite3_stmt *get = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(db, text, -1, &get, NULL) == SQLITE_OK && sqlite3_step(get) == SQLITE_ROW)
        value = sqlite3_column_int64(get, 0);
    sqlite3_finalize(get);
    return value;
}

static int limit_size(sqlite3 *db, uint64_t bytes_max)
{
    if (bytes_max == 0)
        return SQLITE_OK;
    char text[64];
    snprintf(text, sizeof text, "PRAGMA max_page_count=%llu", (unsigned long long)(bytes_max / PAGE_LEN));
    return sqlite3_exec(db, text, NULL, NULL, NULL);
}

static enum status open_database(struct archive *archive, const struct archive_config *config, struct writer *why)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (config->small) { /* before SQLite is first used; what it would set aside at once, it takes as it needs it */
        sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    }
    int code = sqlite3_open_v2(config->path, &archive->db, flags, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(archive->db, setup, NULL, NULL, NULL);
    if (code == SQLITE_OK && config->small)
        code = sqlite3_exec(archive->db, small, NULL, NULL, NULL);
    if (code == SQLITE_OK && pragma(archive->db, "PRAGMA schema_version") == 0)
        code = sqlite3_exec(archive->db, schema, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = limit_size(archive->db, config->bytes_max);
    if (code != SQLITE_OK) {
        enum status status = archive_status(archive, code);
        return explain(why, status, config->path,
                       status == BUSY ? "another process has it open" : sqlite3_errmsg(archive->db));
    }
    if (pragma(archive->db, "PRAGMA application_id") != APPLICATION_ID)
        return explain(why, IO, config->path, "is a database, but no archive");
    if (pragma(archive->db, "PRAGMA user_version") != 1)
        return explain(why, UNSUPPORTED, config->path, "was written by a newer program");
    return OK;
}

/* Who was killed while he waited for the disk left a commit that counts when it is read, and may not be on the disk
 * yet: an enclave takes what it is given back for durable. */
static enum status sync_what_was_left(const char *path, struct writer *why)
{
    char log[PATH_MAX];
    const int len = snprintf(log, sizeof log, "%s-wal", path);
    int fd = len > 0 && (size_t)len < sizeof log ? open(log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (fd < 0)
        return OK; /* there is none, or SQLite says why it cannot be opened */
    enum status status = fsync(fd) == 0 ? OK : explain_errno(why, log);
    close(fd);
    return status;
}

enum status archive_open(struct archive **result, const struct archive_config *config, struct writer *why)
{
    TRY(prepare_file(config->path, why));
    TRY(sync_what_was_left(config->path, why));
    struct archive *archive = calloc(1, sizeof *archive);
    if (!archive)
        return NO_ROOM;
    enum status status = open_database(archive, config, why);
    if (status != OK) {
        archive_close(archive);
        return status;
    }
    *result = archive;
    return OK;
}

void archive_close(struct archive *archive)
{
    if (!archive)
        return;
    for (size_t i = 0; i < ARCHIVE_SQL_COUNT; i++)
        sqlite3_finalize(archive->sql[i]);
    sqlite3_close(archive->db); /* rolls an open transaction back */
    free(archive);
}

/* ---- The transaction ---- */

enum status archive_write_begin(struct archive *archive)
{
    if (archive->failed != OK)
        return WRONG_STATE;
    if (!sqlite3_get_autocommit(archive->db))
        return OK;
    return archive_write_end(archive, archive_run(archive, archive_sql(archive, ARCHIVE_SQL_BEGIN)));
}

enum status archive_write_end(struct archive *archive, enum status status)
{
    if (status != OK && archive->failed == OK)
        archive->failed = status;
    return status;
}

void archive_abandon(void *context)
{
    struct archive *archive = context;
    /* SQLite itself rolls back after some failures: then there is nothing left to do. */
    if (!sqlite3_get_autocommit(archive->db))
        (void)sqlite3_exec(archive->db, "ROLLBACK", NULL, NULL, NULL);
    archive->failed = OK;
    archive->put.total = 0;
}

enum status archive_sync(struct archive *archive)
{
    bool completed = false;
    enum status status = archive->failed;
    if (status == OK)
        status = archive_snapshot_at_sync(archive, &completed);
    if (status == OK && !sqlite3_get_autocommit(archive->db))
        status = archive_run(archive, archive_sql(archive, ARCHIVE_SQL_COMMIT));
    if (status != OK)
        archive_abandon(archive);
    else if (completed)
        archive->put.total = 0;
    return status;
}
