/* What a store keeps, and everything a host may do to it: no confirmed change goes missing without a named refusal. */
#include "check.h"

#include "store_rig.h"

#include <stdio.h>

/* All rows of all tables as text: two stores are the same when these are. */
static char *dump(sqlite3 *db)
{
    static const char *const queries[] = {
        "SELECT quote(name), quote(value), quote(size) FROM item ORDER BY name",
        "SELECT quote(a), quote(b), quote(text) FROM pair ORDER BY a, b",
        "SELECT quote(kind), quote(blind), quote(sequence) FROM store_chain ORDER BY kind, blind",
        "SELECT quote(first_sequence), quote(salt), 0 FROM store_epoch ORDER BY first_sequence",
    };
    char *text = sqlite3_mprintf("");
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        sqlite3_stmt *get;
        check_ok(sqlite3_prepare_v2(db, queries[i], -1, &get, NULL));
        while (sqlite3_step(get) == SQLITE_ROW)
            text = sqlite3_mprintf("%z%s|%s|%s\n", text, sqlite3_column_text(get, 0), sqlite3_column_text(get, 1),
                                   sqlite3_column_text(get, 2));
        sqlite3_finalize(get);
    }
    return text;
}

static char *rig_dump(struct rig *rig)
{
    return dump(store_database(rig->store));
}

static void check_same(struct rig *rig, char *expected)
{
    char *now = rig_dump(rig);
    assert_string_equal(expected, now);
    sqlite3_free(now);
    sqlite3_free(expected);
}

static void put(struct rig *rig, int number)
{
    char text[160];
    snprintf(
        text, sizeof text,
        "INSERT OR REPLACE INTO item VALUES('n%d', zeroblob(9), %d); INSERT OR REPLACE INTO pair VALUES(%d, 1, 'x')",
        number, number * 3, number);
    check_ok(rig_sql(rig, text));
}

/* A site with `count` confirmed commits, stopped. */
static struct rig history(uint8_t site, int count)
{
    struct rig rig = rig_new(site);
    check_ok(rig_start(&rig));
    for (int i = 0; i < count; i++) {
        put(&rig, i);
        check_ok(rig_commit(&rig));
    }
    rig_stop(&rig);
    return rig;
}

static void check_refused(struct rig *rig, enum store_refusal refusal)
{
    check_status(DENIED, rig_start(rig));
    assert_int_equal(refusal, store_refused(rig->store));
    int code = store_refused_exit_code(rig->store);
    bool rolled_back = refusal == STORE_EMPTY || refusal == STORE_ROLLED_BACK || refusal == STORE_GAP ||
                       refusal == STORE_FORKED || refusal == STORE_AHEAD;
    assert_int_equal(code, rolled_back ? 7 : 8);
    assert_true(strlen(store_refused_sentence(rig->store)) > 20);
    assert_null(store_database(rig->store));
    struct bytes record;
    bool advance;
    check_status(WRONG_STATE, store_seal(rig->store, &record));
    check_status(WRONG_STATE, store_finish_load(rig->store, rig->sequence, rig->hash, &advance));
    rig_stop(rig);
}

static void what_was_committed_is_there_after_a_restart(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    check_ok(rig_start(&rig));
    check_status(NOT_FOUND, rig_seal(&rig, true)); /* nothing changed, no record */
    for (int i = 0; i < 20; i++) {
        put(&rig, i % 7);
        if (i % 5 == 4)
            check_ok(rig_sql(&rig, "DELETE FROM pair; UPDATE item SET size = NULL WHERE size > 9"));
        check_ok(rig_commit(&rig));
    }
    check_status(NOT_FOUND, rig_seal(&rig, true));
    char *before = rig_dump(&rig);
    assert_true(strlen(before) > 50);
    check_ok(rig_start(&rig));
    assert_false(rig.advance);
    assert_int_equal(store_confirmed_sequence(rig.store), 20);
    check_same(&rig, before);
    rig_free(&rig);
}

static void a_revert_undoes_every_unconfirmed_group_and_the_open_changes(void **state)
{
    (void)state;
    struct rig rig = history(1, 5);
    check_ok(rig_start(&rig));
    char *before = rig_dump(&rig);
    for (int i = 0; i < STORE_PENDING_MAX; i++) {
        put(&rig, i + 3);
        check_ok(rig_sql(&rig, "DELETE FROM item WHERE size % 2; UPDATE pair SET text = text || 'y'"));
        check_ok(rig_seal(&rig, false));
    }
    put(&rig, 99);
    check_status(BUSY, rig_seal(&rig, false));
    assert_int_equal(store_sealed_sequence(rig.store), 5 + STORE_PENDING_MAX);
    check_ok(store_revert(rig.store));
    assert_int_equal(store_sealed_sequence(rig.store), 5);
    check_same(&rig, before);
    check_status(NOT_FOUND, rig_seal(&rig, false));
    put(&rig, 100);
    check_ok(rig_commit(&rig));
    before = rig_dump(&rig);
    check_ok(rig_start(&rig));
    check_same(&rig, before);
    rig_free(&rig);
}

static void discarding_leaves_what_was_sealed(void **state)
{
    (void)state;
    struct rig rig = history(1, 2);
    check_ok(rig_start(&rig));
    put(&rig, 50);
    check_ok(rig_seal(&rig, true));
    char *sealed = rig_dump(&rig);
    put(&rig, 51);
    check_ok(rig_sql(&rig, "DELETE FROM item; BEGIN; DELETE FROM pair")); /* a transaction left open goes too */
    check_ok(store_discard(rig.store));
    char *after = rig_dump(&rig);
    assert_string_equal(sealed, after);
    sqlite3_free(after);
    rig_confirm(&rig);
    check_ok(rig_start(&rig));
    check_same(&rig, sealed);
    rig_free(&rig);
}

/* As it may do on an error in the middle of a group. */
static void a_group_that_sqlite_took_back_is_not_sealed(void **state)
{
    (void)state;
    struct rig rig = history(1, 2);
    check_ok(rig_start(&rig));
    char *before = rig_dump(&rig);
    store_begin(rig.store);
    put(&rig, 50);
    check_ok(rig_sql(&rig, "ROLLBACK"));
    store_begin(rig.store);
    put(&rig, 51);
    check_status(INTERNAL, rig_seal(&rig, false));
    check_ok(store_discard(rig.store));
    check_same(&rig, before);
    check_status(NOT_FOUND, rig_seal(&rig, false));
    store_begin(rig.store);
    store_begin(rig.store);
    put(&rig, 52);
    check_ok(rig_commit(&rig));
    before = rig_dump(&rig);
    check_ok(rig_start(&rig));
    check_same(&rig, before);
    rig_free(&rig);
}

/* For every N: the log ends after write N, loses write N, has N twice, or N and its successor in the other order. */
static void a_log_that_is_cut_reordered_or_repeated_at_any_write_is_refused(void **state)
{
    (void)state;
    enum { COUNT = 10 };
    struct rig rig = history(1, COUNT);
    struct bytes whole[COUNT];
    memcpy(whole, rig.log, sizeof whole);
    for (size_t n = 0; n < COUNT; n++) {
        rig.log_count = n;
        check_refused(&rig, n == 0 ? STORE_EMPTY : STORE_ROLLED_BACK);
        memcpy(rig.log, whole, sizeof whole);
        memmove(rig.log + n, rig.log + n + 1, (COUNT - n - 1) * sizeof whole[0]);
        rig.log_count = COUNT - 1;
        check_refused(&rig, n == COUNT - 1 ? STORE_ROLLED_BACK : STORE_GAP);
        memcpy(rig.log, whole, sizeof whole);
        memmove(rig.log + n + 1, rig.log + n, (COUNT - n) * sizeof whole[0]);
        rig.log_count = COUNT + 1;
        check_refused(&rig, STORE_GAP);
        memcpy(rig.log, whole, sizeof whole);
        rig.log_count = COUNT;
        if (n + 1 < COUNT) {
            rig.log[n] = whole[n + 1];
            rig.log[n + 1] = whole[n];
            check_refused(&rig, STORE_GAP);
            memcpy(rig.log, whole, sizeof whole);
        }
    }
    check_ok(rig_start(&rig));
    rig_free(&rig);
}

static void exactly_one_record_beyond_the_head_is_accepted(void **state)
{
    (void)state;
    struct rig rig = history(1, 3);
    check_ok(rig_start(&rig));
    put(&rig, 70);
    check_ok(rig_seal(&rig, true)); /* durable at the host, and then the enclave is killed */
    char *before = rig_dump(&rig);
    put(&rig, 71);
    check_ok(rig_seal(&rig, true));
    check_refused(&rig, STORE_AHEAD);
    rig.log_count--;
    check_ok(rig_start(&rig));
    assert_true(rig.advance);
    store_sealed_head(rig.store, &rig.sequence, rig.hash);
    assert_int_equal(rig.sequence, 4);
    check_ok(rig_start(&rig));
    assert_false(rig.advance);
    check_same(&rig, before);
    rig.log_count++;
    rig_free(&rig);
}

/* A program may take more: a monitor whose last heads went with the power is led on, record by record. */
static void as_many_records_beyond_the_head_are_accepted_as_a_program_says(void **state)
{
    (void)state;
    for (size_t most = 1; most <= STORE_AHEAD_MAX; most += STORE_AHEAD_MAX - 1)
        for (int compacted = 0; compacted < 2; compacted++) {
            struct rig rig = history(1, 3);
            rig.ahead_max = most;
            check_ok(rig_start(&rig));
            if (compacted)
                check_ok(rig_compact(&rig));
            const uint64_t first = rig.sequence;
            uint8_t hashes[STORE_AHEAD_MAX + 2][MONITOR_HASH_LEN], hash[MONITOR_HASH_LEN];
            memcpy(hashes[0], rig.hash, sizeof hash);
            for (size_t i = 1; i <= most + 1; i++) {
                put(&rig, (uint8_t)(50 + i));
                check_ok(rig_commit(&rig));
                memcpy(hashes[i], rig.hash, sizeof hash);
            }
            for (size_t ahead = most + 1; ahead > 0; ahead--) {
                rig.sequence = first + most + 1 - ahead;
                memcpy(rig.hash, hashes[most + 1 - ahead], sizeof hash);
                if (ahead > most) {
                    check_refused(&rig, STORE_AHEAD);
                    continue;
                }
                rig.hash[0] ^= 1;
                check_refused(&rig, STORE_FORKED);
                rig.hash[0] ^= 1;
                check_ok(rig_start(&rig));
                assert_true(rig.advance);
                for (size_t i = most + 1 - ahead; i <= most + 1; i++) {
                    check_ok(store_loaded_hash(rig.store, first + i, hash));
                    assert_memory_equal(hashes[i], hash, sizeof hash);
                }
                check_status(NOT_FOUND, store_loaded_hash(rig.store, first + most + 2, hash));
            }
            if (compacted) { /* what came before the snapshot is not known by name */
                rig.sequence = first - 1;
                check_refused(&rig, STORE_AHEAD);
            }
            rig_free(&rig);
        }
}

/* The monitor forgot the site: its head is the beginning of another history, of which nothing is confirmed yet. However
 * much of the former one is kept back, none of it opens; not even its first record alone, which looks as if it had been
 * stored and not yet confirmed, and after which every next one would. */
static void nothing_of_a_history_that_was_forgotten_opens_again(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        const bool compacted = how % 2, one = how < 2;
        struct rig rig = history(1, 3);
        rig.ahead_max = one ? 0 : STORE_AHEAD_MAX;
        if (compacted) {
            check_ok(rig_start(&rig));
            check_ok(rig_compact(&rig));
            put(&rig, 9);
            check_ok(rig_commit(&rig));
        }
        const size_t count = rig.log_count;
        rig.sequence = 0;
        memset(rig.hash, 0, sizeof rig.hash);
        rig.hash[0] = 44;
        for (size_t kept = compacted ? 0 : 1; kept <= count; kept++) {
            rig.log_count = kept;
            check_refused(&rig, !compacted && (kept == 1 || !one) ? STORE_FORKED : STORE_AHEAD);
        }
        rig.log_count = count;
        rig_free(&rig);
    }
}

static void a_history_begins_where_the_monitor_says(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    rig.hash[0] = 44;
    check_ok(rig_start(&rig));
    assert_false(rig.advance);
    put(&rig, 1);
    check_ok(rig_seal(&rig, true)); /* durable at the host, and then the enclave is killed */
    check_ok(rig_start(&rig));
    assert_true(rig.advance);
    store_sealed_head(rig.store, &rig.sequence, rig.hash);
    put(&rig, 2);
    check_ok(rig_commit(&rig));
    check_ok(rig_start(&rig));
    assert_false(rig.advance);
    assert_int_equal(store_confirmed_sequence(rig.store), 2);
    rig_free(&rig);
}

/* A record that was sealed, not confirmed and sealed anew is authentic; it is still another history. */
static void a_record_of_a_commit_taken_back_cannot_stand_for_the_confirmed_one(void **state)
{
    (void)state;
    struct rig rig = history(1, 3);
    check_ok(rig_start(&rig));
    put(&rig, 80);
    check_ok(rig_seal(&rig, true));
    struct bytes failed = rig.log[--rig.log_count];
    check_ok(store_revert(rig.store));
    put(&rig, 81);
    check_ok(rig_commit(&rig));
    struct bytes confirmed = rig.log[3];
    rig.log[3] = failed;
    check_refused(&rig, STORE_FORKED);
    rig.log[3] = confirmed;
    check_ok(rig_start(&rig));
    put(&rig, 82);
    check_ok(rig_commit(&rig));
    rig.log[3] = failed;
    check_refused(&rig, STORE_FORKED);
    rig_drop(&confirmed);
    rig_free(&rig);
}

static void every_bit_and_every_length_of_a_record_counts(void **state)
{
    (void)state;
    struct rig rig = history(1, 1);
    struct bytes whole = rig.log[0];
    struct bytes bent = rig_copy(whole);
    uint8_t *bytes = (uint8_t *)(uintptr_t)bent.data;
    rig.log[0] = bent;
    check_ok(rig_start(&rig));
    for (size_t i = 0; i < 8 * whole.len; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        check_status(DENIED, rig_start(&rig));
        assert_int_not_equal(STORE_ACCEPTED, store_refused(rig.store));
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < whole.len; len++) {
        rig.log[0].len = len;
        check_refused(&rig, STORE_TAMPERED);
    }
    rig.log[0].len = whole.len + 1; /* rig_copy leaves one byte */
    bytes[whole.len] = 0;
    check_refused(&rig, STORE_TAMPERED);
    rig.log[0].len = STORE_RECORD_MAX + 1; /* refused by its length before it is read */
    check_refused(&rig, STORE_TAMPERED);
    rig_drop(&whole);
    rig_free(&rig);
}

static void a_store_of_another_site_program_or_version_is_refused_by_name(void **state)
{
    (void)state;
    struct rig rig = history(1, 2);
    struct rig other = history(9, 2);
    struct bytes mine = rig.log[1];
    rig.log[1] = other.log[1];
    check_refused(&rig, STORE_FOREIGN);
    rig.log[1] = mine;
    rig.own.signer[0]++;
    check_refused(&rig, STORE_OTHER_SIGNER);
    rig.own.signer[0]--;
    rig.own.security_version--;
    check_refused(&rig, STORE_NEWER);
    rig.own.security_version += 2; /* an upgrade keeps data */
    rig.own.measurement[0]++;
    check_ok(rig_start(&rig));
    rig.policy = MONITOR_SEAL_EXACT; /* whoever wants one exact program does not believe its whole family */
    check_refused(&rig, STORE_OTHER_MEASUREMENT);
    rig.policy = 0;
    rig.root[0]++; /* another node, or another TPM */
    check_refused(&rig, STORE_TAMPERED);
    rig_free(&rig);
    rig_free(&other);
}

static void the_policy_exact_ties_a_store_to_one_program(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    rig.policy = MONITOR_SEAL_EXACT;
    check_ok(rig_start(&rig));
    put(&rig, 1);
    check_ok(rig_commit(&rig));
    check_ok(rig_start(&rig));
    rig.own.measurement[0]++;
    check_refused(&rig, STORE_OTHER_MEASUREMENT);
    rig.policy = 0; /* the monitor's own refusal */
    check_refused(&rig, STORE_OTHER_MEASUREMENT);
    rig.own.measurement[0]--;
    check_ok(rig_start(&rig)); /* policy may be widened by the program itself */
    rig_free(&rig);
}

static void a_snapshot_holds_what_is_confirmed_and_nothing_else(void **state)
{
    (void)state;
    struct rig rig = history(1, 6);
    check_ok(rig_start(&rig));
    char *confirmed = rig_dump(&rig);
    put(&rig, 60);
    check_ok(rig_seal(&rig, false));
    put(&rig, 61);
    char *all = rig_dump(&rig);
    check_ok(rig_compact(&rig));
    check_same(&rig, all); /* the unconfirmed changes are still there */
    check_ok(rig_start(&rig));
    assert_int_equal(rig.log_count, 0);
    check_same(&rig, confirmed);
    put(&rig, 62);
    check_ok(rig_commit(&rig));
    confirmed = rig_dump(&rig);
    check_ok(rig_start(&rig));
    assert_int_equal(store_next_sequence(rig.store), 8);
    check_same(&rig, confirmed);
    rig_free(&rig);
}

static void an_older_snapshot_never_passes_for_the_newest(void **state)
{
    (void)state;
    struct rig rig = history(1, 4);
    check_ok(rig_start(&rig));
    check_ok(rig_compact(&rig));
    put(&rig, 40);
    check_ok(rig_commit(&rig));
    struct bytes older = rig_copy(rig.snapshot), between = rig_copy(rig.log[0]);
    check_ok(rig_compact(&rig));
    put(&rig, 41);
    check_ok(rig_commit(&rig));
    struct bytes newer = rig.snapshot, last = rig.log[0];
    rig.snapshot = older;
    check_refused(&rig, STORE_GAP); /* the record between them is missing */
    rig.log[0] = between;
    check_refused(&rig, STORE_ROLLED_BACK);
    rig.log[1] = last;
    rig.log_count = 2;
    check_ok(rig_start(&rig)); /* older, but with every record since: nothing is lost */
    rig.log_count = 0;
    check_refused(&rig, STORE_ROLLED_BACK);
    rig.snapshot = newer;
    check_refused(&rig, STORE_ROLLED_BACK);
    rig.sequence = 0; /* the monitor's table is the older one */
    memset(rig.hash, 0, sizeof rig.hash);
    check_refused(&rig, STORE_AHEAD);
    rig_drop(&older), rig_drop(&between), rig_drop(&last);
    rig_free(&rig);
}

static void a_snapshot_that_was_touched_is_refused(void **state)
{
    (void)state;
    struct rig rig = history(1, 2);
    check_ok(rig_start(&rig));
    check_ok(rig_compact(&rig));
    struct bytes whole = rig.snapshot;
    uint8_t *bytes = (uint8_t *)(uintptr_t)whole.data;
    for (size_t i = 0; i < 8 * whole.len; i += i < 8 * 260 ? 3 : 9973) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        check_status(DENIED, rig_start(&rig));
        assert_int_not_equal(STORE_ACCEPTED, store_refused(rig.store));
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    rig.snapshot.len = whole.len - 1;
    check_refused(&rig, STORE_TAMPERED);
    rig.snapshot.len = whole.len;
    check_ok(rig_start(&rig));
    check_status(WRONG_STATE, store_load_snapshot(rig.store, whole));
    check_ok(rig_open(&rig));
    check_status(DENIED, store_apply(rig.store, whole)); /* a snapshot is no record */
    assert_int_equal(STORE_TAMPERED, store_refused(rig.store));
    rig_free(&rig);
}

static bool key_fails;
static enum status failing_key(void *user, uint32_t open, struct monitor_seal_inputs *inputs, uint8_t key[32])
{
    return key_fails ? IO : rig_key(user, open, inputs, key);
}

static void a_monitor_that_does_not_answer_is_no_refusal(void **state)
{
    (void)state;
    struct rig rig = history(1, 1);
    const struct store_config config = {
        .migrations = rig.migrations, .migration_count = 1, .key = failing_key, .user = &rig};
    struct store *store = NULL;
    check_ok(store_open(&store, &config));
    check_status(WRONG_STATE, store_apply(store, rig.log[0]));
    key_fails = true;
    check_status(IO, store_begin_load(store));
    key_fails = false;
    check_ok(store_begin_load(store));
    check_status(WRONG_STATE, store_begin_load(store));
    key_fails = true;
    check_status(IO, store_apply(store, rig.log[0]));
    assert_int_equal(STORE_ACCEPTED, store_refused(store));
    assert_int_equal(1, store_refused_exit_code(store));
    check_status(WRONG_STATE, store_apply(store, rig.log[0]));
    store_close(store);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_committed_is_there_after_a_restart),
        cmocka_unit_test(a_revert_undoes_every_unconfirmed_group_and_the_open_changes),
        cmocka_unit_test(discarding_leaves_what_was_sealed),
        cmocka_unit_test(a_group_that_sqlite_took_back_is_not_sealed),
        cmocka_unit_test(a_log_that_is_cut_reordered_or_repeated_at_any_write_is_refused),
        cmocka_unit_test(nothing_of_a_history_that_was_forgotten_opens_again),
        cmocka_unit_test(a_history_begins_where_the_monitor_says),
        cmocka_unit_test(exactly_one_record_beyond_the_head_is_accepted),
        cmocka_unit_test(as_many_records_beyond_the_head_are_accepted_as_a_program_says),
        cmocka_unit_test(a_record_of_a_commit_taken_back_cannot_stand_for_the_confirmed_one),
        cmocka_unit_test(every_bit_and_every_length_of_a_record_counts),
        cmocka_unit_test(a_store_of_another_site_program_or_version_is_refused_by_name),
        cmocka_unit_test(the_policy_exact_ties_a_store_to_one_program),
        cmocka_unit_test(a_snapshot_holds_what_is_confirmed_and_nothing_else),
        cmocka_unit_test(an_older_snapshot_never_passes_for_the_newest),
        cmocka_unit_test(a_snapshot_that_was_touched_is_refused),
        cmocka_unit_test(a_monitor_that_does_not_answer_is_no_refusal),
    };
    return crypto_init() == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
