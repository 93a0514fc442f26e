/* The host's archive: what goes in comes out, in order; what is malformed, foreign or half does not go in. */
#include "archive_rig.h"

#include <sqlite3.h>
#include <sys/stat.h>

static enum status put_piece(struct archive *archive, struct door_piece piece, uint8_t fill)
{
    struct writer out = writer_over(room, sizeof room);
    put_bytes(&out, bytes_from(&piece, sizeof piece));
    memset(put_space(&out, (size_t)piece.len), fill, (size_t)piece.len);
    const struct door_header header = {.operation = DOOR_SNAPSHOT_PUT};
    return archive_serve(archive, &header, writer_bytes(&out), NULL);
}

static void rows_come_back_newest_first_by_sequence_source_and_type(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0);
    struct writer rows = writer_over(room, sizeof room);
    for (uint64_t i = 1; i <= 9; i++)
        put_row(&rows, i, i % 3 == 0, i % 2 == 0, (uint32_t)(20 + i));
    check_ok(archive_append_rows(archive, writer_bytes(&rows)));
    struct door_query query = {.before = UINT64_MAX, .limit = 4};
    assert_string_equal(sequences(archive, query), "9 8 7 6 "); /* before the sync, too */
    check_ok(archive_sync(archive));
    archive_close(archive);
    archive = open_archive(0);
    assert_string_equal(sequences(archive, query), "9 8 7 6 ");
    query.limit = 0;
    assert_string_equal(sequences(archive, query), "");
    query = (struct door_query){.before = 9, .limit = 50, .by = DOOR_BY_SOURCE};
    memset(query.blind, 1, sizeof query.blind);
    assert_string_equal(sequences(archive, query), "6 3 ");
    query.by = DOOR_BY_TYPE;
    assert_string_equal(sequences(archive, query), "8 6 4 2 ");
    query.blind[15] = 0;
    assert_string_equal(sequences(archive, query), "");
    archive_close(archive);
}

static void a_sequence_given_again_replaces_its_row(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0);
    struct writer rows = writer_over(room, sizeof room);
    put_row(&rows, 1, 1, 1, 20);
    put_row(&rows, 1, 2, 2, 30);
    check_ok(archive_append_rows(archive, writer_bytes(&rows)));
    check_ok(archive_sync(archive));
    struct door_query query = {.before = 2, .limit = 9, .by = DOOR_BY_SOURCE};
    memset(query.blind, 1, sizeof query.blind);
    assert_string_equal(sequences(archive, query), "");
    memset(query.blind, 2, sizeof query.blind);
    assert_string_equal(sequences(archive, query), "1 ");
    archive_close(archive);
}

static void an_answer_holds_as_many_whole_items_as_fit(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0);
    for (uint64_t i = 1; i <= 5; i++) {
        check_ok(append(archive, i, 100 * 1024));
        memset(room, 5, 100 * 1024);
        check_ok(archive_append_log(archive, i, bytes_from(room, 100 * 1024)));
    }
    memset(room, 5, sizeof room);
    check_ok(archive_append_log(archive, 6, bytes_from(room, ARCHIVE_RECORD_MAX)));
    check_ok(archive_sync(archive));
    assert_string_equal(sequences(archive, (struct door_query){.before = 9, .limit = 9}), "5 4 ");
    assert_string_equal(sequences(archive, (struct door_query){.before = 4, .limit = 9}), "3 2 ");
    assert_int_equal(count_log(archive, 1), 6);
    assert_int_equal(count_log(archive, 6), 1);
    assert_int_equal(count_log(archive, 7), 0);
    struct writer small = writer_over(room, 100);
    check_status(NO_ROOM, archive_read_log(archive, 1, &small));
    check_ok(archive_append_log(archive, 3, bytes_from("new", 3)));
    assert_int_equal(count_log(archive, 1), 3); /* what is appended becomes the last */
    archive_close(archive);
}

static void a_complete_snapshot_takes_the_place_of_older_ones_and_of_the_log(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0);
    struct door_piece got;
    struct writer answer = writer_over(room, sizeof room);
    check_ok(archive_get_snapshot(archive, &(struct door_piece){0}, &answer));
    memcpy(&got, room, sizeof got);
    assert_int_equal(got.total, 0);
    for (uint64_t i = 1; i <= 8; i++)
        check_ok(archive_append_log(archive, i, bytes_from("record", 6)));
    check_ok(put_piece(archive, (struct door_piece){3, 10, 0, 10}, 3));
    check_ok(archive_sync(archive));
    assert_int_equal(count_log(archive, 1), 5);
    check_ok(put_piece(archive, (struct door_piece){6, 300000, 0, DOOR_CHUNK_MAX}, 6));
    check_ok(put_piece(archive, (struct door_piece){6, 300000, DOOR_CHUNK_MAX, 300000 - DOOR_CHUNK_MAX}, 7));
    answer = writer_over(room, sizeof room);
    check_ok(archive_get_snapshot(archive, &(struct door_piece){0}, &answer));
    memcpy(&got, room, sizeof got);
    assert_int_equal(got.sequence, 3); /* the newer one is in force at the sync, not before */
    check_ok(archive_sync(archive));
    archive_close(archive);
    archive = open_archive(0);
    assert_int_equal(count_log(archive, 1), 2);
    uint64_t have = 0;
    while (have < 300000) {
        answer = writer_over(room, sizeof room);
        check_ok(archive_get_snapshot(archive, &(struct door_piece){.sequence = have ? 6 : 0, .off = have}, &answer));
        memcpy(&got, room, sizeof got);
        assert_int_equal(got.sequence, 6);
        assert_int_equal(got.total, 300000);
        assert_int_equal(got.off, have);
        assert_int_equal(answer.len, sizeof got + got.len);
        for (size_t i = 0; i < got.len; i++)
            assert_int_equal(room[sizeof got + i], have + i < DOOR_CHUNK_MAX ? 6 : 7);
        have += got.len;
    }
    assert_int_equal(have, 300000);
    check_status(MALFORMED, archive_get_snapshot(archive, &(struct door_piece){.off = 300000}, &answer));
    check_status(NOT_FOUND, archive_get_snapshot(archive, &(struct door_piece){.sequence = 3}, &answer));
    archive_close(archive);
}

static void half_a_snapshot_is_taken_back(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0);
    check_ok(archive_append_log(archive, 1, bytes_from("record", 6)));
    check_ok(put_piece(archive, (struct door_piece){1, 10, 0, 10}, 1));
    check_ok(archive_sync(archive));
    check_ok(put_piece(archive, (struct door_piece){1, 20, 0, 10}, 2)); /* the same sequence again */
    check_status(MALFORMED, archive_sync(archive));
    struct writer answer = writer_over(room, sizeof room);
    check_ok(archive_get_snapshot(archive, &(struct door_piece){0}, &answer));
    assert_int_equal(answer.len, sizeof(struct door_piece) + 10);
    assert_int_equal(room[sizeof(struct door_piece)], 1);
    static const struct door_piece bad[] = {
        {0, 10, 0, 10},
        {1ull << 63, 10, 0, 10},
        {2, 0, 0, 0},
        {2, 10, 0, 11},
        {2, ARCHIVE_SNAPSHOT_MAX + 1, 0, 10},
        {2, 10, 5, 5},
        {2, 300000, 0, DOOR_CHUNK_MAX + 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        check_status(MALFORMED, put_piece(archive, bad[i], 1));
        check_status(MALFORMED, archive_sync(archive));
    }
    check_ok(put_piece(archive, (struct door_piece){2, 20, 0, 10}, 1));
    check_status(MALFORMED, put_piece(archive, (struct door_piece){2, 20, 11, 9}, 1)); /* a piece left out */
    check_status(WRONG_STATE, put_piece(archive, (struct door_piece){2, 20, 10, 10}, 1));
    archive_abandon(archive);
    check_status(MALFORMED, put_piece(archive, (struct door_piece){2, 20, 10, 10}, 1));
    archive_close(archive);
}

static void malformed_messages_are_refused_and_told_by_the_sync(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0);
    struct writer rows = writer_over(room, sizeof room);
    put_row(&rows, 1, 1, 1, 20);
    put_row(&rows, 2, 1, 1, 24);
    struct bytes whole = writer_bytes(&rows);
    for (size_t len = 0; len <= whole.len; len++) {
        enum status expected = len == 0 || len == 80 || len == whole.len ? OK : MALFORMED;
        check_status(expected, archive_append_rows(archive, bytes_slice(whole, 0, len)));
        check_status(expected, archive_sync(archive));
    }
    put_u8(&rows, 0);
    check_status(MALFORMED, archive_append_rows(archive, writer_bytes(&rows)));
    check_status(MALFORMED, archive_sync(archive));
    static const struct {
        uint16_t operation;
        size_t len;
    } sizes[] = {{DOOR_ARCHIVE_QUERY, 32}, {DOOR_LOG_READ, 8}, {DOOR_SNAPSHOT_GET, 32}};
    memset(room, 0, 64);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct door_header header = {.operation = sizes[i].operation};
        struct writer answer = writer_over(room + 1000, 1000);
        for (size_t len = 0; len < 40; len++)
            check_status(len == sizes[i].len ? OK : MALFORMED,
                         archive_serve(archive, &header, bytes_from(room, len), &answer));
    }
    struct writer answer = writer_over(room, sizeof room);
    check_status(MALFORMED, archive_query(archive, &(struct door_query){.by = 3}, &answer));
    check_status(UNSUPPORTED, archive_serve(archive, &(struct door_header){.operation = DOOR_AUDIT}, whole, &answer));
    static const uint64_t outside[] = {0, 1ull << 63, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        check_status(MALFORMED, append(archive, outside[i], 20));
        check_status(WRONG_STATE, append(archive, 5, 20)); /* would be taken back anyway */
        check_status(MALFORMED, archive_sync(archive));
        check_status(MALFORMED, archive_append_log(archive, outside[i], bytes_from("x", 1)));
        check_status(MALFORMED, archive_sync(archive));
    }
    check_status(MALFORMED, archive_append_log(archive, 1, (struct bytes){0}));
    archive_abandon(archive);
    check_status(MALFORMED, archive_append_log(archive, 1, bytes_from(room, ARCHIVE_RECORD_MAX + 1)));
    archive_abandon(archive);
    check_ok(archive_sync(archive));
    assert_string_equal(sequences(archive, (struct door_query){.before = 99, .limit = 9}), "2 1 ");
    archive_close(archive);
}

static void what_was_not_synced_is_forgotten_with_the_enclave(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0);
    check_ok(append(archive, 1, 20));
    check_ok(archive_sync(archive));
    check_ok(append(archive, 2, 20));
    check_ok(archive_append_log(archive, 1, bytes_from("x", 1)));
    archive_abandon(archive);
    check_ok(archive_sync(archive));
    assert_int_equal(count_log(archive, 1), 0);
    check_ok(append(archive, 3, 20));
    archive_close(archive);
    archive = open_archive(0);
    assert_string_equal(sequences(archive, (struct door_query){.before = 99, .limit = 9}), "1 ");
    archive_close(archive);
}

static void the_file_is_private_and_belongs_to_one_process(void **state)
{
    (void)state;
    struct archive *archive = open_archive(0), *second = NULL;
    struct stat stat_of;
    check_ok(stat(path, &stat_of));
    assert_int_equal(stat_of.st_mode & 0777, 0600);
    char text[256] = "";
    struct writer why = writer_over(text, sizeof text - 1);
    const struct archive_config config = {.path = path};
    check_status(BUSY, archive_open(&second, &config, &why));
    assert_null(second);
    assert_non_null(strstr(text, "another process"));
    archive_close(archive);
    sqlite3 *db;
    check_ok(sqlite3_open(path, &db));
    check_ok(sqlite3_exec(db, "PRAGMA user_version=2", NULL, NULL, NULL));
    sqlite3_close(db);
    check_status(UNSUPPORTED, archive_open(&second, &config, NULL));
    check_ok(truncate(path, 0));
    FILE *file = fopen(path, "w");
    fputs("this is no database, but it is longer than a header of one hundred bytes: so SQLite reads it and says so.",
          file);
    fclose(file);
    why = writer_over(text, sizeof text - 1);
    check_status(IO, archive_open(&second, &config, &why));
    assert_non_null(strstr(text, "not a database"));
    char nowhere[128];
    snprintf(nowhere, sizeof nowhere, "%s/a/b/archive.db", home);
    check_status(IO, archive_open(&second, &(struct archive_config){.path = nowhere}, NULL));
    assert_null(second);
}

static void a_log_that_cannot_be_made_durable_is_not_read(void **state)
{
    (void)state;
    char text[200] = "", log[160];
    struct writer why = writer_over(text, sizeof text - 1);
    struct archive *archive = NULL;
    archive_close(open_archive(0));
    snprintf(log, sizeof log, "%s-wal", path);
    assert_int_equal(0, mkfifo(log, 0600)); /* fsync() says no */
    check_status(IO, archive_open(&archive, &(struct archive_config){.path = path}, &why));
    assert_non_null(strstr(text, "-wal"));
    unlink(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_home(rows_come_back_newest_first_by_sequence_source_and_type),
        with_home(a_sequence_given_again_replaces_its_row),
        with_home(an_answer_holds_as_many_whole_items_as_fit),
        with_home(a_complete_snapshot_takes_the_place_of_older_ones_and_of_the_log),
        with_home(half_a_snapshot_is_taken_back),
        with_home(malformed_messages_are_refused_and_told_by_the_sync),
        with_home(what_was_not_synced_is_forgotten_with_the_enclave),
        with_home(the_file_is_private_and_belongs_to_one_process),
        with_home(a_log_that_cannot_be_made_durable_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
