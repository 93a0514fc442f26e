/* Archive rows: struct door_row and what it announces, in and out as they came. */
#include "archive_internal.h"

#include <string.h>

static size_t padding(uint32_t len)
{
    return (8 - len % 8) % 8;
}

static bool take_row(struct reader *rows, struct door_row *row, struct bytes *sealed)
{
    struct bytes head = take_bytes(rows, sizeof *row);
    if (head.len != sizeof *row)
        return false;
    memcpy(row, head.data, sizeof *row);
    if (row->reserved != 0 || row->len == 0 || row->sequence == 0 || row->sequence > INT64_MAX ||
        row->bucket_s > INT64_MAX)
        return false;
    *sealed = take_bytes(rows, row->len);
    take_bytes(rows, padding(row->len));
    return rows->status == OK;
}

/* The whole message is checked before anything of it is written. */
static enum status check_rows(struct bytes rows)
{
    struct reader reader = reader_over(rows);
    while (reader.rest.len > 0) {
        struct door_row row;
        struct bytes sealed;
        if (!take_row(&reader, &row, &sealed))
            return MALFORMED;
    }
    return OK;
}

static enum status put_rows(struct archive *archive, struct bytes rows)
{
    struct reader reader = reader_over(rows);
    struct door_row row;
    struct bytes sealed;
    while (reader.rest.len > 0 && take_row(&reader, &row, &sealed)) {
        sqlite3_stmt *put = archive_sql(archive, ARCHIVE_SQL_ROW_PUT);
        sqlite3_bind_int64(put, 1, (sqlite3_int64)row.sequence);
        sqlite3_bind_int64(put, 2, (sqlite3_int64)row.bucket_s);
        archive_bind_blob(put, 3, BYTES_OF(row.source));
        archive_bind_blob(put, 4, BYTES_OF(row.type));
        archive_bind_blob(put, 5, sealed);
        TRY(archive_run(archive, put));
    }
    return OK;
}

enum status archive_append_rows(struct archive *archive, struct bytes rows)
{
    TRY(archive_write_begin(archive));
    enum status status = check_rows(rows);
    if (status == OK)
        status = put_rows(archive, rows);
    return archive_write_end(archive, status);
}

/* False: the row does not fit any more. */
static bool give_row(sqlite3_stmt *get, struct writer *answer)
{
    struct bytes source = archive_column(get, 2), type = archive_column(get, 3), sealed = archive_column(get, 4);
    struct door_row row = {
        .sequence = (uint64_t)sqlite3_column_int64(get, 0),
        .bucket_s = (uint64_t)sqlite3_column_int64(get, 1),
        .len = (uint32_t)sealed.len,
    };
    if (source.len == sizeof row.source)
        memcpy(row.source, source.data, source.len);
    if (type.len == sizeof row.type)
        memcpy(row.type, type.data, type.len);
    if (answer->cap - answer->len < sizeof row + sealed.len + padding(row.len))
        return false;
    static const uint8_t zeros[8];
    put_bytes(answer, bytes_from(&row, sizeof row));
    put_bytes(answer, sealed);
    put_bytes(answer, bytes_from(zeros, padding(row.len)));
    return true;
}

enum status archive_query(struct archive *archive, const struct door_query *query, struct writer *answer)
{
    static const enum archive_sql which[] = {
        [DOOR_BY_SEQUENCE] = ARCHIVE_SQL_ROW_BY_SEQUENCE,
        [DOOR_BY_SOURCE] = ARCHIVE_SQL_ROW_BY_SOURCE,
        [DOOR_BY_TYPE] = ARCHIVE_SQL_ROW_BY_TYPE,
    };
    if (query->by >= sizeof which / sizeof which[0])
        return MALFORMED;
    sqlite3_stmt *get = archive_sql(archive, which[query->by]);
    sqlite3_bind_int64(get, 1, query->before > INT64_MAX ? INT64_MAX : (sqlite3_int64)query->before);
    sqlite3_bind_int64(get, 2, query->limit);
    if (query->by != DOOR_BY_SEQUENCE)
        archive_bind_blob(get, 3, BYTES_OF(query->blind));
    size_t begun = answer->len;
    int code;
    while ((code = sqlite3_step(get)) == SQLITE_ROW && give_row(get, answer))
        ;
    enum status status = archive_status(archive, code);
    sqlite3_reset(get);
    if (code == SQLITE_ROW && answer->len == begun)
        return NO_ROOM;
    return status;
}
