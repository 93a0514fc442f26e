/* The log of sealed records, and the switch from the door's operations to functions. */
#include "archive_internal.h"

#include <string.h>

enum status archive_append_log(struct archive *archive, uint64_t sequence, struct bytes record)
{
    TRY(archive_write_begin(archive));
    if (sequence == 0 || sequence > INT64_MAX || record.len == 0 || record.len > ARCHIVE_RECORD_MAX)
        return archive_write_end(archive, MALFORMED);
    /* What is appended becomes the last: a record past it was never confirmed. */
    sqlite3_stmt *cut = archive_sql(archive, ARCHIVE_SQL_LOG_CUT);
    sqlite3_bind_int64(cut, 1, (sqlite3_int64)sequence);
    enum status status = archive_run(archive, cut);
    if (status == OK) {
        sqlite3_stmt *put = archive_sql(archive, ARCHIVE_SQL_LOG_PUT);
        sqlite3_bind_int64(put, 1, (sqlite3_int64)sequence);
        archive_bind_blob(put, 2, record);
        status = archive_run(archive, put);
    }
    return archive_write_end(archive, status);
}

#define ITEM_HEAD_LEN 16u

static bool give_record(sqlite3_stmt *get, struct writer *answer)
{
    struct {
        uint64_t sequence;
        uint32_t len, reserved;
    } head = {.sequence = (uint64_t)sqlite3_column_int64(get, 0)};
    _Static_assert(sizeof head == ITEM_HEAD_LEN, "as abi/door.h has it");
    struct bytes record = archive_column(get, 1);
    if (answer->cap - answer->len < ITEM_HEAD_LEN || answer->cap - answer->len - ITEM_HEAD_LEN < record.len)
        return false;
    head.len = (uint32_t)record.len;
    put_bytes(answer, bytes_from(&head, sizeof head));
    put_bytes(answer, record);
    return true;
}

enum status archive_read_log(struct archive *archive, uint64_t from, struct writer *answer)
{
    sqlite3_stmt *get = archive_sql(archive, ARCHIVE_SQL_LOG_GET);
    sqlite3_bind_int64(get, 1, from > INT64_MAX ? INT64_MAX : (sqlite3_int64)from);
    size_t begun = answer->len;
    int code;
    while ((code = sqlite3_step(get)) == SQLITE_ROW && give_record(get, answer))
        ;
    enum status status = archive_status(archive, code);
    sqlite3_reset(get);
    if (code == SQLITE_ROW && answer->len == begun)
        return NO_ROOM;
    return status;
}

/* ---- The door's operations ---- */

static enum status serve_query(struct archive *archive, struct bytes payload, struct writer *answer)
{
    struct door_query query;
    if (payload.len != sizeof query)
        return MALFORMED;
    memcpy(&query, payload.data, sizeof query);
    return archive_query(archive, &query, answer);
}

static enum status serve_log_read(struct archive *archive, struct bytes payload, struct writer *answer)
{
    struct door_range range;
    if (payload.len != sizeof range)
        return MALFORMED;
    memcpy(&range, payload.data, sizeof range);
    return archive_read_log(archive, range.from, answer);
}

static enum status serve_snapshot_get(struct archive *archive, struct bytes payload, struct writer *answer)
{
    struct door_piece wanted;
    if (payload.len != sizeof wanted)
        return MALFORMED;
    memcpy(&wanted, payload.data, sizeof wanted);
    return archive_get_snapshot(archive, &wanted, answer);
}

enum status archive_serve(void *context, const struct door_header *header, struct bytes payload, struct writer *answer)
{
    struct archive *archive = context;
    switch (header->operation) {
    case DOOR_ARCHIVE_APPEND:
        return archive_append_rows(archive, payload);
    case DOOR_ARCHIVE_QUERY:
        return serve_query(archive, payload, answer);
    case DOOR_LOG_APPEND:
        return archive_append_log(archive, header->id, payload);
    case DOOR_LOG_READ:
        return serve_log_read(archive, payload, answer);
    case DOOR_SNAPSHOT_PUT:
        return archive_put_snapshot(archive, payload);
    case DOOR_SNAPSHOT_GET:
        return serve_snapshot_get(archive, payload, answer);
    case DOOR_SYNC:
        return archive_sync(archive);
    default:
        return UNSUPPORTED;
    }
}
