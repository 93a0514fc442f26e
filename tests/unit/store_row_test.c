/* Archived rows: a host that drops, reorders, replaces or invents one is noticed, and nothing unconfirmed is shown. */
#include "check.h"

#include "store_rig.h"

#include <stdio.h>

#define ROWS 40

/* What the host holds: rows as they came, kept apart. */
struct shelf {
    struct bytes row[2 * ROWS];
    size_t count;
};

static const char *const sources[] = {"kitchen", "hall", "attic"};
static const char *const types[] = {"light", "co2"};

static enum status add(struct rig *rig, struct shelf *shelf, uint64_t now_ms)
{
    static uint8_t room[4096];
    struct writer rows = writer_over(room, sizeof room);
    uint64_t sequence = store_archive_sequence(rig->store) + 1;
    char text[32];
    snprintf(text, sizeof text, "message %llu", (unsigned long long)sequence);
    struct store_message message = {
        .sequence = sequence,
        .time_ms = 1700000000000 + sequence,
        .now_ms = now_ms,
        .source = bytes_from_text(sources[sequence % 3]),
        .type = bytes_from_text(types[sequence % 5 == 0]),
        .message = bytes_from_text(text),
    };
    TRY(store_row_seal(rig->store, &message, &rows));
    assert_int_equal(rows.len, store_row_len(&message));
    assert_int_equal(rows.len % 8, 0);
    if (shelf && shelf->count < 2 * ROWS)
        shelf->row[shelf->count++] = rig_copy(writer_bytes(&rows));
    return OK;
}

static void setup(struct rig *rig, struct shelf *shelf, size_t count)
{
    *rig = rig_new(1);
    *shelf = (struct shelf){0};
    check_ok(rig_start(rig));
    for (size_t i = 0; i < count; i++) {
        check_ok(add(rig, shelf, 0));
        if (i % 4 == 3)
            check_ok(rig_commit(rig));
    }
}

static void teardown(struct rig *rig, struct shelf *shelf)
{
    for (size_t i = 0; i < shelf->count; i++)
        rig_drop(&shelf->row[i]);
    rig_free(rig);
}

static struct door_row head_of(struct bytes row)
{
    struct door_row head;
    memcpy(&head, row.data, sizeof head);
    return head;
}

/* An honest host's answer over whatever the shelf holds, in the order of the shelf from its end. */
static void answer(const struct shelf *shelf, const struct door_query *query, struct writer *out)
{
    uint32_t given = 0;
    for (size_t i = shelf->count; i > 0 && given < query->limit; i--) {
        struct door_row head = head_of(shelf->row[i - 1]);
        const uint8_t *blind = query->by == DOOR_BY_SOURCE ? head.source : head.type;
        if (head.sequence >= query->before)
            continue;
        if (query->by != DOOR_BY_SEQUENCE && memcmp(blind, query->blind, DOOR_BLIND_LEN) != 0)
            continue;
        put_bytes(out, shelf->row[i - 1]);
        given++;
    }
}

static uint8_t answer_room[64 * 1024], text_room[STORE_MESSAGE_MAX + 32];

/* Walks to the end or the first problem; gives how many rows authenticated. */
static size_t walk_all(struct rig *rig, const struct shelf *shelf, struct store_walk *walk, uint32_t limit)
{
    size_t seen = 0;
    while (walk->next != 0) {
        struct door_query query = store_walk_query(walk, limit);
        struct writer out = writer_over(answer_room, sizeof answer_room);
        answer(shelf, &query, &out);
        struct reader reader = reader_over(writer_bytes(&out));
        struct store_row row;
        enum status status;
        struct writer room = writer_over(text_room, sizeof text_room);
        while ((status = store_walk_row(rig->store, walk, &reader, &room, &row)) == OK) {
            char text[32];
            snprintf(text, sizeof text, "message %llu", (unsigned long long)row.sequence);
            check_bytes(bytes_from_text(text), row.message);
            assert_int_equal(row.bucket_s, (1700000000000 + row.sequence) / 3600000 * 3600);
            seen++;
        }
        if (status == DENIED)
            break;
        check_status(NOT_FOUND, status);
    }
    return seen;
}

static size_t walk_from(struct rig *rig, const struct shelf *shelf, enum door_query_by by, const char *name,
                        uint32_t limit, enum store_walk_problem *problem)
{
    struct store_walk walk;
    check_ok(store_walk_begin(rig->store, &walk, by, bytes_from_text(name), 0));
    size_t seen = walk_all(rig, shelf, &walk, limit);
    *problem = walk.problem;
    assert_int_equal(walk.problem == STORE_WALK_FINE, strlen(store_walk_sentence(&walk)) == 0);
    return seen;
}

static void every_row_comes_back_by_sequence_source_and_type(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf;
    setup(&rig, &shelf, ROWS);
    enum store_walk_problem problem;
    for (uint32_t limit = 1; limit < 50; limit += 7) {
        assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SEQUENCE, "", limit, &problem), ROWS);
        assert_int_equal(problem, STORE_WALK_FINE);
        size_t all = 0;
        for (size_t i = 0; i < 3; i++)
            all += walk_from(&rig, &shelf, DOOR_BY_SOURCE, sources[i], limit, &problem);
        assert_int_equal(all, ROWS);
        assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_TYPE, "co2", limit, &problem), ROWS / 5);
        assert_int_equal(problem, STORE_WALK_FINE);
    }
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SOURCE, "nowhere", 5, &problem), 0);
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SOURCE, "co2", 5, &problem), 0); /* a type is no source */
    assert_int_equal(problem, STORE_WALK_FINE);
    check_ok(rig_start(&rig)); /* and after a restart, from the record alone */
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SEQUENCE, "", 9, &problem), ROWS);
    assert_int_equal(problem, STORE_WALK_FINE);
    teardown(&rig, &shelf);
}

/* For every row: withheld, given twice, or changed with its neighbour; in each of the three walks. */
static void a_row_dropped_repeated_or_moved_is_noticed(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf, bent;
    setup(&rig, &shelf, ROWS);
    enum store_walk_problem problem;
    for (size_t n = 0; n < ROWS; n++) {
        struct door_row head = head_of(shelf.row[n]);
        const char *source = sources[head.sequence % 3], *type = types[head.sequence % 5 == 0];
        bent = shelf;
        memmove(bent.row + n, bent.row + n + 1, (ROWS - n - 1) * sizeof bent.row[0]);
        bent.count--;
        for (uint32_t limit = 1; limit < 50; limit += 13) {
            walk_from(&rig, &bent, DOOR_BY_SEQUENCE, "", limit, &problem);
            assert_int_not_equal(problem, STORE_WALK_FINE);
            walk_from(&rig, &bent, DOOR_BY_SOURCE, source, limit, &problem);
            assert_int_not_equal(problem, STORE_WALK_FINE);
            walk_from(&rig, &bent, DOOR_BY_TYPE, type, limit, &problem);
            assert_int_not_equal(problem, STORE_WALK_FINE);
        }
        bent = shelf;
        memmove(bent.row + n + 1, bent.row + n, (ROWS - n) * sizeof bent.row[0]);
        bent.count++;
        walk_from(&rig, &bent, DOOR_BY_SEQUENCE, "", 50, &problem);
        assert_int_equal(problem, STORE_WALK_OTHER_ROW);
        if (n == 0)
            continue;
        bent = shelf;
        bent.row[n] = shelf.row[n - 1];
        bent.row[n - 1] = shelf.row[n];
        walk_from(&rig, &bent, DOOR_BY_SEQUENCE, "", 50, &problem);
        assert_int_equal(problem, STORE_WALK_OTHER_ROW);
    }
    bent = (struct shelf){0};
    assert_int_equal(walk_from(&rig, &bent, DOOR_BY_SEQUENCE, "", 50, &problem), 0);
    assert_int_equal(problem, STORE_WALK_MISSING);
    teardown(&rig, &shelf);
}

static void every_bit_of_a_row_counts(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf;
    setup(&rig, &shelf, 4);
    enum store_walk_problem problem;
    struct bytes newest = shelf.row[3];
    uint8_t *bytes = (uint8_t *)(uintptr_t)newest.data;
    for (size_t i = 0; i < 8 * newest.len; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        struct store_walk walk;
        check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_SEQUENCE, (struct bytes){0}, 0));
        struct reader reader = reader_over(newest);
        struct writer room = writer_over(text_room, sizeof text_room);
        struct store_row row = {.sequence = 77};
        check_status(DENIED, store_walk_row(rig.store, &walk, &reader, &room, &row));
        assert_int_equal(row.sequence, 77);
        assert_int_equal(walk.next, 4);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 1; len < newest.len; len++) {
        struct store_walk walk;
        check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_SEQUENCE, (struct bytes){0}, 0));
        struct reader reader = reader_over(bytes_slice(newest, 0, len));
        struct writer room = writer_over(text_room, sizeof text_room);
        struct store_row row;
        check_status(DENIED, store_walk_row(rig.store, &walk, &reader, &room, &row));
        assert_int_equal(walk.problem, STORE_WALK_MALFORMED);
    }
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SEQUENCE, "", 9, &problem), 4);
    teardown(&rig, &shelf);
}

static void a_walk_goes_on_from_a_cursor_and_from_nowhere_else(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf;
    setup(&rig, &shelf, ROWS);
    struct store_walk walk;
    check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_SOURCE, bytes_from_text("hall"), 7));
    assert_int_equal(walk_all(&rig, &shelf, &walk, 2), 3); /* 7, 4, 1 */
    assert_int_equal(walk.problem, STORE_WALK_FINE);
    check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_SOURCE, bytes_from_text("hall"), 8)); /* the attic's */
    assert_int_equal(walk_all(&rig, &shelf, &walk, 2), 0);
    assert_int_equal(walk.problem, STORE_WALK_OTHER_ROW);
    check_status(NOT_FOUND, store_walk_begin(rig.store, &walk, DOOR_BY_SOURCE, bytes_from_text("hall"), ROWS + 1));
    /* Another source's row under this walk's blind index: the index is authenticated. */
    struct shelf bent = shelf;
    bent.row[7] = rig_copy(shelf.row[7]);
    memcpy((uint8_t *)(uintptr_t)bent.row[7].data + 16, walk.blind, DOOR_BLIND_LEN);
    check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_SOURCE, bytes_from_text("hall"), 8));
    assert_int_equal(walk_all(&rig, &bent, &walk, 2), 0);
    assert_int_equal(walk.problem, STORE_WALK_FORGED);
    rig_drop(&bent.row[7]);
    teardown(&rig, &shelf);
}

static void what_is_not_confirmed_is_neither_missed_nor_shown(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf;
    setup(&rig, &shelf, 8);
    enum store_walk_problem problem;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 5; j++)
            check_ok(add(&rig, NULL, 0));
        check_ok(rig_seal(&rig, true));
    }
    check_ok(add(&rig, NULL, 0));
    assert_int_equal(store_archive_sequence(rig.store), 24);
    assert_int_equal(store_archive_confirmed(rig.store), 8);
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SEQUENCE, "", 5, &problem), 8);
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SOURCE, "hall", 5, &problem), 3);
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_TYPE, "co2", 5, &problem), 1);
    assert_int_equal(problem, STORE_WALK_FINE);
    rig_confirm(&rig);
    assert_int_equal(store_archive_confirmed(rig.store), 13);
    struct store_walk walk;
    check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_SOURCE, bytes_from_text("hall"), 0));
    assert_int_equal(walk.next, 13);
    check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_TYPE, bytes_from_text("co2"), 0));
    assert_int_equal(walk.next, 10);
    check_ok(store_revert(rig.store));
    assert_int_equal(store_archive_sequence(rig.store), 13);
    teardown(&rig, &shelf);
}

/* The same sequence is sealed again under another key: the two ciphertexts differ by more than the two messages do. */
static void a_row_sealed_again_shares_no_key_stream_and_the_old_one_is_forged(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf;
    setup(&rig, &shelf, 4);
    enum store_walk_problem problem;
    for (int undo = 0; undo < 3; undo++) {
        check_ok(add(&rig, &shelf, 0));
        struct bytes old = shelf.row[--shelf.count];
        if (undo == 0)
            check_ok(store_revert(rig.store));
        else if (undo == 1)
            check_ok(store_discard(rig.store));
        else
            check_ok(rig_start(&rig));
        check_ok(add(&rig, &shelf, 0));
        struct bytes new = shelf.row[shelf.count - 1];
        assert_int_equal(old.len, new.len);
        assert_int_equal(head_of(old).sequence, head_of(new).sequence);
        assert_memory_equal(old.data, new.data, sizeof(struct door_row)); /* same text, same header … */
        assert_memory_not_equal(old.data + sizeof(struct door_row), new.data + sizeof(struct door_row), 24);
        check_ok(rig_commit(&rig));
        shelf.row[shelf.count - 1] = old;
        assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SEQUENCE, "", 5, &problem), 0);
        assert_int_equal(problem, STORE_WALK_FORGED);
        shelf.row[shelf.count - 1] = new;
        rig_drop(&old);
    }
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SEQUENCE, "", 5, &problem), 7);
    teardown(&rig, &shelf);
}

static int count_epochs(struct rig *rig)
{
    sqlite3_stmt *get;
    check_ok(sqlite3_prepare_v2(store_database(rig->store), "SELECT count(*) FROM store_epoch", -1, &get, NULL));
    assert_int_equal(sqlite3_step(get), SQLITE_ROW);
    int count = sqlite3_column_int(get, 0);
    sqlite3_finalize(get);
    return count;
}

static void an_epoch_begins_each_launch_each_failure_and_each_month(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf;
    setup(&rig, &shelf, 4);
    assert_int_equal(count_epochs(&rig), 1);
    check_ok(rig_start(&rig));
    assert_int_equal(count_epochs(&rig), 1); /* with the first row, so that a launch without one changes nothing */
    check_ok(add(&rig, &shelf, 0));
    check_ok(rig_commit(&rig));
    assert_int_equal(count_epochs(&rig), 2);
    check_ok(store_revert(rig.store));
    check_ok(add(&rig, &shelf, STORE_EPOCH_MS - 1));
    assert_int_equal(count_epochs(&rig), 3);
    check_ok(add(&rig, &shelf, STORE_EPOCH_MS));
    check_ok(add(&rig, &shelf, 0)); /* a clock that goes back begins nothing */
    check_ok(rig_commit(&rig));
    assert_int_equal(count_epochs(&rig), 4);
    enum store_walk_problem problem;
    assert_int_equal(walk_from(&rig, &shelf, DOOR_BY_SEQUENCE, "", 3, &problem), 8);
    assert_int_equal(problem, STORE_WALK_FINE);
    teardown(&rig, &shelf);
}

static void limits_hold_and_a_refused_row_leaves_nothing_behind(void **state)
{
    (void)state;
    struct rig rig;
    struct shelf shelf;
    setup(&rig, &shelf, 4);
    static uint8_t big[STORE_MESSAGE_MAX + 1], out[STORE_MESSAGE_MAX + 256];
    struct store_message message = {.sequence = 5,
                                    .source = bytes_from(big, STORE_NAME_MAX),
                                    .type = bytes_from(big, 1),
                                    .message = bytes_from(big, STORE_MESSAGE_MAX)};
    struct writer rows = writer_over(out, sizeof out);
    message.message.len++;
    check_status(NO_ROOM, store_row_seal(rig.store, &message, &rows));
    message.message.len--;
    message.source.len++;
    check_status(NO_ROOM, store_row_seal(rig.store, &message, &rows));
    message.source.len = 0;
    check_status(NO_ROOM, store_row_seal(rig.store, &message, &rows));
    message.source.len = STORE_NAME_MAX;
    message.sequence = 4;
    check_status(WRONG_STATE, store_row_seal(rig.store, &message, &rows));
    message.sequence = 6;
    check_status(WRONG_STATE, store_row_seal(rig.store, &message, &rows));
    message.sequence = 5;
    rows.cap = store_row_len(&message) - 1;
    check_status(NO_ROOM, store_row_seal(rig.store, &message, &rows));
    assert_int_equal(rows.len, 0);
    check_status(NOT_FOUND, rig_seal(&rig, true));
    rows.cap++;
    check_ok(store_row_seal(rig.store, &message, &rows));
    assert_int_equal(rows.len, rows.cap);
    check_ok(rig_commit(&rig));
    struct store_walk walk;
    check_ok(store_walk_begin(rig.store, &walk, DOOR_BY_SEQUENCE, (struct bytes){0}, 0));
    struct reader reader = reader_over(writer_bytes(&rows));
    struct writer room = writer_over(text_room, sizeof text_room);
    struct store_row row;
    check_ok(store_walk_row(rig.store, &walk, &reader, &room, &row));
    check_bytes(message.message, row.message);
    teardown(&rig, &shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_comes_back_by_sequence_source_and_type),
        cmocka_unit_test(a_row_dropped_repeated_or_moved_is_noticed),
        cmocka_unit_test(every_bit_of_a_row_counts),
        cmocka_unit_test(a_walk_goes_on_from_a_cursor_and_from_nowhere_else),
        cmocka_unit_test(what_is_not_confirmed_is_neither_missed_nor_shown),
        cmocka_unit_test(a_row_sealed_again_shares_no_key_stream_and_the_old_one_is_forged),
        cmocka_unit_test(an_epoch_begins_each_launch_each_failure_and_each_month),
        cmocka_unit_test(limits_hold_and_a_refused_row_leaves_nothing_behind),
    };
    return crypto_init() == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
