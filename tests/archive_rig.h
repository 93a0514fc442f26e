/* An archive in a directory of its own, and the door's messages for it. */
#ifndef BASTIDE_TESTS_ARCHIVE_RIG_H
#define BASTIDE_TESTS_ARCHIVE_RIG_H

#include "archive.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char home[64], path[96];
static uint8_t room[DOOR_MESSAGE_MAX];

static inline int make_home(void **state)
{
    (void)state;
    snprintf(home, sizeof home, "/tmp/bastide-archive-XXXXXX");
    if (!mkdtemp(home))
        return -1;
    snprintf(path, sizeof path, "%s/node/archive.db", home);
    return 0;
}

static inline int drop_home(void **state)
{
    (void)state;
    static const char *const ends[] = {"/node/archive.db", "/node/archive.db-wal", "/node", ""};
    char name[128];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(name, sizeof name, "%s%s", home, ends[i]);
        remove(name);
    }
    return 0;
}

static inline struct archive *open_archive(uint64_t bytes_max)
{
    struct archive *archive = NULL;
    char text[256] = "";
    struct writer why = writer_over(text, sizeof text - 1);
    const struct archive_config config = {.path = path, .bytes_max = bytes_max};
    if (archive_open(&archive, &config, &why) != OK)
        fail_msg("%s", text);
    return archive;
}

static inline void put_row(struct writer *out, uint64_t sequence, uint8_t source, uint8_t type, uint32_t len)
{
    static const uint8_t zeros[8];
    struct door_row row = {.sequence = sequence, .bucket_s = 3600, .len = len};
    memset(row.source, source, sizeof row.source);
    memset(row.type, type, sizeof row.type);
    put_bytes(out, bytes_from(&row, sizeof row));
    memset(put_space(out, len), (int)(sequence & 0xff), len);
    put_bytes(out, bytes_from(zeros, (8 - len % 8) % 8));
}

static inline enum status append(struct archive *archive, uint64_t sequence, uint32_t len)
{
    struct writer rows = writer_over(room, sizeof room);
    put_row(&rows, sequence, sequence % 3 == 0, sequence % 2 == 0, len);
    return archive_append_rows(archive, writer_bytes(&rows));
}

/* The sequences of an answer, newest first, as text. */
static inline char *sequences(struct archive *archive, struct door_query query)
{
    static uint8_t answer_room[DOOR_MESSAGE_MAX];
    static char text[4096];
    struct writer answer = writer_over(answer_room, sizeof answer_room - sizeof(struct door_header));
    const struct door_header header = {.operation = DOOR_ARCHIVE_QUERY};
    check_ok(archive_serve(archive, &header, bytes_from(&query, sizeof query), &answer));
    struct reader reader = reader_over(writer_bytes(&answer));
    size_t len = 0;
    text[0] = 0;
    while (reader.rest.len) {
        struct door_row row;
        memcpy(&row, take_bytes(&reader, sizeof row).data, sizeof row);
        struct bytes sealed = take_bytes(&reader, row.len);
        assert_int_equal(sealed.data[0], row.sequence & 0xff);
        take_bytes(&reader, (8 - row.len % 8) % 8);
        if (len < sizeof text - 16)
            len += (size_t)snprintf(text + len, sizeof text - len, "%llu ", (unsigned long long)row.sequence);
    }
    check_ok(reader_end(&reader));
    return text;
}

static inline uint64_t count_log(struct archive *archive, uint64_t from)
{
    static uint8_t answer_room[DOOR_MESSAGE_MAX];
    uint64_t count = 0;
    for (bool more = true; more;) {
        struct writer answer = writer_over(answer_room, sizeof answer_room - sizeof(struct door_header));
        check_ok(archive_read_log(archive, from, &answer));
        struct reader reader = reader_over(writer_bytes(&answer));
        more = reader.rest.len > 0;
        while (reader.rest.len) {
            uint64_t sequence = take_u64le(&reader);
            assert_true(sequence >= from);
            from = sequence + 1;
            uint32_t len = take_u32le(&reader);
            assert_int_equal(take_u32le(&reader), 0);
            assert_int_equal(take_bytes(&reader, len).len, len);
            count++;
        }
        check_ok(reader_end(&reader));
    }
    return count;
}

#define with_home(test) cmocka_unit_test_setup_teardown(test, make_home, drop_home)

#endif
