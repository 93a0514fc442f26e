/* The counter rule over a disk and a counter that fail at operation N, for all N, in every way they can. */
#include "check.h"

#include "heads.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What becomes of a write, and of the records that were not synced when the power was cut: the last is every other one
 * of them. */
enum failure { NOT_DONE, DONE_ALL_THE_SAME, TORN, SOME_DONE, FAILURES };
#define NO_RECORD ((struct bytes){0})
#define PLACES 2 /* of sites that have records here */

/* As the kernel has it, and as the disk. */
struct record {
    uint8_t cached[HEADS_PLACE_LEN], durable[HEADS_PLACE_LEN];
    bool dirty;
};

struct world {
    struct record records[PLACES][HEADS_RECORDS];
    unsigned syncs; /* of records */
    uint8_t slots[2][HEADS_SLOT_LEN];
    size_t lens[2];
    uint64_t counter;
    int left; /* operations until one fails; negative: none does */
    enum failure failure;
    bool dead;                /* after a failure nothing works: a power cut */
    bool stays_dead;          /* and with it what was not synced */
    bool unreadable;          /* the records */
    bool no_records, forgets; /* what it could not sync is not to be read either */
};

static const uint8_t key[32] = {1, 2, 3};
static const uint8_t site[HEADS_SITE_LEN] = {7};

static bool fails(struct world *world)
{
    if (world->left < 0)
        return false;
    return world->left-- == 0;
}

static void settle_record(struct record *record, bool done, bool torn)
{
    if (record->dirty && (done || torn))
        memcpy(record->durable, record->cached, done ? sizeof record->durable : sizeof record->durable / 2);
    record->dirty = false;
}

static void settle_records(struct world *world, enum failure failure)
{
    for (size_t i = 0; i < PLACES; i++)
        for (size_t j = 0; j < HEADS_RECORDS; j++)
            settle_record(&world->records[i][j], failure == DONE_ALL_THE_SAME || (failure == SOME_DONE && j % 2),
                          failure == TORN);
}

static void cut(struct world *world)
{
    settle_records(world, world->failure);
    for (size_t i = 0; i < PLACES; i++)
        for (size_t j = 0; j < HEADS_RECORDS; j++)
            memcpy(world->records[i][j].cached, world->records[i][j].durable, HEADS_PLACE_LEN);
}

/* After an operation that failed. */
static void look_at_power(struct world *world, bool failed)
{
    world->dead = failed && world->stays_dead;
    if (world->dead)
        cut(world);
}

static enum status read_slot(void *context, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    struct world *world = context;
    if (world->dead)
        return IO;
    memcpy(data, world->slots[slot], HEADS_SLOT_LEN);
    *len = world->lens[slot];
    return OK;
}

static enum status write_slot(void *context, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    struct world *world = context;
    if (world->dead)
        return IO;
    bool failed = fails(world);
    size_t len = failed && world->failure == NOT_DONE ? 0 : failed && world->failure == TORN ? 100 : HEADS_SLOT_LEN;
    memcpy(world->slots[slot], data, len);
    if (len > world->lens[slot])
        world->lens[slot] = len;
    look_at_power(world, failed);
    return failed ? IO : OK;
}

static enum status read_record(void *context, size_t place, unsigned which, uint8_t data[HEADS_PLACE_LEN])
{
    const struct world *world = context;
    assert_true(which < HEADS_RECORDS);
    memset(data, 0, HEADS_PLACE_LEN);
    if (place < PLACES)
        memcpy(data, world->records[place][which].cached, HEADS_PLACE_LEN);
    return world->dead || world->unreadable ? IO : OK;
}

static enum status write_record(void *context, size_t place, unsigned which, const uint8_t data[HEADS_PLACE_LEN])
{
    struct world *world = context;
    assert_true(place < PLACES && which < HEADS_RECORDS);
    if (world->dead)
        return IO;
    const bool failed = fails(world);
    struct record *record = &world->records[place][which];
    memcpy(record->cached, data,
           !failed || world->failure == DONE_ALL_THE_SAME ? HEADS_PLACE_LEN : HEADS_PLACE_LEN / 2);
    record->dirty = true;
    look_at_power(world, failed);
    return failed ? IO : OK;
}

/* One that fails leaves nothing to be synced the next time, and perhaps nothing to be read, as Linux does. */
static enum status sync_records(void *context)
{
    struct world *world = context;
    if (world->dead)
        return IO;
    const bool failed = fails(world);
    world->syncs++;
    if (failed && (world->stays_dead || world->forgets))
        cut(world);
    else
        settle_records(world, failed ? world->failure : DONE_ALL_THE_SAME);
    world->dead = failed && world->stays_dead;
    return failed ? IO : OK;
}

static enum status read_counter(void *context, uint64_t *value)
{
    struct world *world = context;
    if (world->dead)
        return IO;
    bool failed = fails(world);
    look_at_power(world, failed);
    if (!failed)
        *value = world->counter;
    return failed ? IO : OK;
}

static enum status increment_counter(void *context, uint64_t *value)
{
    struct world *world = context;
    if (world->dead)
        return IO;
    bool failed = fails(world);
    if (!failed || world->failure == DONE_ALL_THE_SAME)
        world->counter++;
    look_at_power(world, failed);
    if (!failed)
        *value = world->counter;
    return failed ? IO : OK;
}

static enum status start(struct heads *heads, struct world *world, uint64_t born, enum heads_verdict *verdict)
{
    const struct heads_outside outside = {.context = world,
                                          .no_records = world->no_records,
                                          .read_slot = read_slot,
                                          .write_slot = write_slot,
                                          .read_record = read_record,
                                          .write_record = write_record,
                                          .sync_records = sync_records,
                                          .read_counter = read_counter,
                                          .increment_counter = increment_counter};
    world->dead = false;
    return heads_start(heads, &outside, BYTES_OF(key), born, 1000, verdict);
}

static struct head head_at(uint64_t sequence, uint8_t mark)
{
    struct head head = {.sequence = sequence, .hash = {(uint8_t)sequence, mark}};
    memcpy(head.site, site, sizeof site);
    return head;
}

static uint64_t sequence_of(const struct heads *heads)
{
    struct head head;
    heads_get(heads, site, &head);
    return head.sequence;
}

/* A record of `len` bytes, and the head that names it. */
static struct bytes record_at(uint64_t sequence, size_t len, struct head *head)
{
    static uint8_t room[HEADS_RECORD_MAX + 1];
    const struct bytes record = bytes_from(room, len);
    assert_true(len <= sizeof room);
    memset(room, (int)sequence, len);
    *head = head_at(sequence, 0);
    check_ok(crypto_hash(CRYPTO_SHA256, &record, 1, head->hash));
    return record;
}

static void check_record(const struct heads *heads, uint64_t sequence, size_t len)
{
    uint8_t room[HEADS_PLACE_LEN];
    struct head head;
    struct bytes got;
    check_ok(heads_record(heads, site, sequence, room, &got));
    check_bytes(record_at(sequence, len, &head), got);
}

/* A node with `commits` heads released. */
static void make(struct heads *heads, struct world *world, uint64_t commits)
{
    enum heads_verdict verdict;
    *world = (struct world){.counter = 41, .left = -1};
    check_ok(start(heads, world, 41, &verdict));
    for (uint64_t i = 1; i <= commits; i++)
        check_ok(heads_advance(heads, &(struct head){.site = {7}, .sequence = i, .hash = {(uint8_t)i}}, NO_RECORD,
                               HEADS_DURABLE, 0));
}

static enum status commit(struct heads *heads, enum heads_commit how)
{
    struct head head;
    const struct bytes record = record_at(sequence_of(heads) + 1, 300, &head);
    return heads_advance(heads, &head, record, how, 0);
}

/* A node with a head of 1, and `commits` after it that come with records. */
static void make_kept(struct heads *heads, struct world *world, uint64_t commits, enum heads_commit how)
{
    make(heads, world, 1);
    for (uint64_t i = 0; i < commits; i++)
        check_ok(commit(heads, how));
}

/* Those of the last HEADS_RECORDS up to the newest that was begun. */
static void check_kept(const struct heads *heads, uint64_t begun)
{
    for (uint64_t i = begun >= 2 + HEADS_RECORDS ? begun - HEADS_RECORDS + 1 : 2; i <= sequence_of(heads); i++)
        check_record(heads, i, 300);
}

/* Where another monitor that starts over this disk says that the site is, of which `begun` was written last. */
static uint64_t found_at(const struct world *world, uint64_t begun)
{
    static struct world copy;
    struct heads heads;
    enum heads_verdict verdict;
    copy = *world;
    check_ok(start(&heads, &copy, 41, &verdict));
    check_kept(&heads, begun);
    return sequence_of(&heads);
}

static void a_fresh_node_starts_where_its_counter_was_born(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    make(&heads, &world, 0);
    assert_int_equal(42, world.counter);
    assert_int_equal(0, sequence_of(&heads));
}

static void heads_survive_a_restart_and_the_counter_moves_with_it(void **state)
{
    (void)state;
    struct heads heads, again;
    struct world world;
    enum heads_verdict verdict;
    make(&heads, &world, 5);
    check_ok(start(&again, &world, 41, &verdict));
    assert_int_equal(5, sequence_of(&again));
    assert_int_equal(43, world.counter);
    /* The one that ran before notices. */
    check_status(DENIED, heads_check_lease(&heads));
    check_ok(heads_check_lease(&again));
    check_status(DENIED, heads_move(&heads, 0));
}

static void a_head_only_moves_by_one(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    make(&heads, &world, 5);
    for (uint64_t wrong = 0; wrong < 10; wrong++)
        if (wrong != 6)
            check_status(WRONG_STATE, heads_advance(&heads, &(struct head){.site = {7}, .sequence = wrong}, NO_RECORD,
                                                    HEADS_DURABLE, 0));
    check_ok(heads_advance(&heads, &(struct head){.site = {7}, .sequence = 6}, NO_RECORD, HEADS_DURABLE, 0));
}

static void the_table_holds_as_many_sites_as_it_says(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    make(&heads, &world, 1);
    for (uint8_t i = 1; i < HEADS_SITES_MAX; i++)
        check_ok(heads_advance(&heads, &(struct head){.site = {7, i}, .sequence = 1}, NO_RECORD, HEADS_DURABLE, 0));
    check_status(NO_ROOM,
                 heads_advance(&heads, &(struct head){.site = {8}, .sequence = 1}, NO_RECORD, HEADS_DURABLE, 0));
    check_ok(heads_advance(&heads, &(struct head){.site = {7}, .sequence = 2}, NO_RECORD, HEADS_DURABLE, 0));
}

static void the_last_records_are_kept_with_their_heads(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    struct head head;
    struct bytes record;
    enum heads_verdict verdict;
    uint8_t room[HEADS_PLACE_LEN];
    static const uint8_t other[HEADS_SITE_LEN] = {8};
    make(&heads, &world, 1);
    const uint64_t last = HEADS_RECORDS + 6;
    for (uint64_t i = 2; i <= last; i++) {
        record = record_at(i, 100 * (size_t)i, &head);
        check_ok(heads_advance(&heads, &head, record, i == 7 ? HEADS_STRICT : HEADS_DURABLE, 0));
    }
    for (int again = 0; again < 2; again++) {
        for (uint64_t i = last - HEADS_RECORDS + 1; i <= last; i++)
            check_record(&heads, i, 100 * (size_t)i);
        check_status(NOT_FOUND, heads_record(&heads, site, last - HEADS_RECORDS, room, &record));
        check_status(NOT_FOUND, heads_record(&heads, site, last + 1, room, &record));
        check_status(NOT_FOUND, heads_record(&heads, other, last, room, &record));
        check_ok(start(&heads, &world, 41, &verdict));
    }
    /* One that did not come is not made up from another. */
    head = head_at(last + 1, 0);
    check_ok(heads_advance(&heads, &head, NO_RECORD, HEADS_DURABLE, 0));
    check_status(NOT_FOUND, heads_record(&heads, site, last + 1, room, &record));
    check_record(&heads, last, 100 * (size_t)last);
}

/* One page is written and synced for a commit, however many came before it. */
static void a_site_is_where_its_records_lead(void **state)
{
    (void)state;
    struct heads heads;
    static struct world world;
    unsigned tables = 0;
    make_kept(&heads, &world, 0, HEADS_DURABLE);
    for (uint64_t i = 2; i <= 3 * HEADS_RECORDS; i++) {
        const unsigned syncs = world.syncs, slot = heads.slot;
        check_ok(commit(&heads, HEADS_DURABLE));
        assert_int_equal(syncs + 1, world.syncs);
        tables += heads.slot != slot;
        assert_int_equal(i, found_at(&world, i));
    }
    assert_int_equal(2, tables); /* for each round of places */
}

static void a_record_that_was_changed_is_not_followed_nor_what_comes_behind_it(void **state)
{
    (void)state;
    struct heads heads;
    static struct world world, bent;
    make_kept(&heads, &world, 3, HEADS_DURABLE);
    assert_int_equal(4, found_at(&world, 4));
    for (size_t i = 0; i < HEADS_PLACE_LEN; i++) {
        const bool counts = i < 32 + 300 || i >= HEADS_PLACE_LEN - 32;
        bent = world;
        bent.records[0][3].cached[i] ^= 1;
        assert_int_equal(counts ? 2 : 4, found_at(&bent, 4));
    }
    bent = world;
    memset(bent.records[0][3].cached, 0, HEADS_PLACE_LEN);
    assert_int_equal(2, found_at(&bent, 4));
}

/* A disk may give back what it had: of another table's time it leads nowhere. */
static void a_record_of_another_table_is_not_followed(void **state)
{
    (void)state;
    struct heads heads;
    static struct world world, old;
    make_kept(&heads, &world, 2, HEADS_DURABLE);
    old = world;
    memset(world.records, 0, sizeof world.records);
    enum heads_verdict verdict;
    check_ok(start(&heads, &world, 41, &verdict)); /* turned back to 1 while nobody ran, which nothing here can see */
    assert_int_equal(1, sequence_of(&heads));
    memcpy(world.records, old.records, sizeof world.records);
    assert_int_equal(1, found_at(&world, 3));
    check_ok(commit(&heads, HEADS_DURABLE));
    world.records[0][3] = old.records[0][3];
    assert_int_equal(2, found_at(&world, 3));
}

static void what_is_relaxed_is_lost_with_the_power_only_and_from_the_end(void **state)
{
    (void)state;
    for (enum failure failure = NOT_DONE; failure < FAILURES; failure++)
        for (uint64_t commits = 1; commits <= 3 * HEADS_RECORDS; commits++) {
            struct heads heads;
            static struct world world;
            make_kept(&heads, &world, 0, HEADS_RELAXED);
            const unsigned syncs = world.syncs;
            for (uint64_t i = 0; i < commits; i++)
                check_ok(commit(&heads, HEADS_RELAXED));
            assert_int_equal(1 + commits, found_at(&world, 1 + commits)); /* the processes alone died */
            assert_true(world.syncs - syncs >= commits / HEADS_UNSYNCED_MAX);
            assert_true(world.syncs - syncs <= commits / HEADS_UNSYNCED_MAX + commits / HEADS_RECORDS);
            world.failure = failure;
            cut(&world);
            const uint64_t found = found_at(&world, 1 + commits);
            assert_true(found <= 1 + commits && found + HEADS_UNSYNCED_MAX > 1 + commits);
            assert_true(failure != DONE_ALL_THE_SAME || found == 1 + commits);
        }
}

static void a_limit_of_records_are_not_durable(void **state)
{
    (void)state;
    struct heads heads;
    static struct world world;
    make_kept(&heads, &world, HEADS_UNSYNCED_MAX - 1, HEADS_RELAXED);
    world.failure = NOT_DONE;
    static struct world copy;
    copy = world;
    cut(&copy);
    assert_int_equal(1, found_at(&copy, 2));
    check_ok(commit(&heads, HEADS_RELAXED));
    cut(&world);
    assert_int_equal(1 + HEADS_UNSYNCED_MAX, found_at(&world, 2));
}

/* The kernel takes for written what it could not write, and may have none of it any more. */
static void a_sync_that_failed_is_made_up_for(void **state)
{
    (void)state;
    for (enum failure failure = NOT_DONE; failure < FAILURES; failure++)
        for (int n = 0; n < 16; n++) {
            struct heads heads;
            static struct world world;
            make_kept(&heads, &world, 3, HEADS_RELAXED);
            world.failure = failure;
            world.forgets = n % 2;
            world.left = n / 2;
            const enum status status = heads_sync(&heads);
            assert_true(n / 2 || status == IO);
            const enum status again = heads_sync(&heads);
            assert_true(again == OK || again == IO);
            world.left = -1;
            check_ok(heads_sync(&heads));
            world.failure = NOT_DONE;
            cut(&world);
            assert_int_equal(4, found_at(&world, 4));
        }
}

/* Nor does whoever starts after the one that it failed. */
static void what_a_start_follows_is_durable_then(void **state)
{
    (void)state;
    struct heads heads;
    static struct world world;
    enum heads_verdict verdict;
    make_kept(&heads, &world, 3, HEADS_RELAXED);
    world.failure = NOT_DONE;
    world.left = 0;
    check_status(IO, heads_sync(&heads));
    check_ok(start(&heads, &world, 41, &verdict));
    cut(&world);
    assert_int_equal(4, found_at(&world, 4));
}

static void what_was_relaxed_is_durable_before_a_table_says_so(void **state)
{
    (void)state;
    for (enum failure failure = NOT_DONE; failure < FAILURES; failure++)
        for (int n = 0; n < 6; n++) {
            struct heads heads;
            static struct world world;
            static const uint8_t other[HEADS_SITE_LEN] = {8};
            make_kept(&heads, &world, 3, HEADS_RELAXED);
            struct head head = {.sequence = 1};
            memcpy(head.site, other, sizeof other);
            world.failure = failure;
            world.stays_dead = true;
            world.left = n;
            const bool done = heads_advance(&heads, &head, NO_RECORD, HEADS_RELAXED, 0) == OK;
            if (!world.dead)
                cut(&world);
            world.left = -1;
            const uint64_t found = found_at(&world, 4); /* and each of its records is there */
            assert_true(found >= 1 && found <= 4 && (!done || found == 4));
        }
}

static void a_record_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    struct head head;
    make(&heads, &world, 1);
    struct bytes record = record_at(2, HEADS_RECORD_MAX + 1, &head);
    check_status(NO_ROOM, heads_advance(&heads, &head, record, HEADS_DURABLE, 0));
    record = record_at(2, HEADS_RECORD_MAX, &head);
    head.hash[0] ^= 1;
    check_status(MALFORMED, heads_advance(&heads, &head, record, HEADS_DURABLE, 0));
    assert_int_equal(1, sequence_of(&heads));
    record = record_at(2, HEADS_RECORD_MAX, &head);
    check_ok(heads_advance(&heads, &head, record, HEADS_DURABLE, 0));
    check_record(&heads, 2, HEADS_RECORD_MAX);
}

/* That a record cannot be read does not say that it was not written. */
static void a_record_that_cannot_be_read_is_no_cut(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    struct head head;
    struct bytes record;
    enum heads_verdict verdict;
    uint8_t room[HEADS_PLACE_LEN];
    make(&heads, &world, 1);
    record = record_at(2, 300, &head);
    check_ok(heads_advance(&heads, &head, record, HEADS_DURABLE, 0));
    world.unreadable = true;
    check_status(IO, heads_record(&heads, site, 2, room, &record));
    const uint64_t counter = world.counter;
    check_status(IO, start(&heads, &world, 41, &verdict));
    assert_int_equal(HEADS_OUTSIDE, verdict);
    assert_int_equal(counter, world.counter);
    world.unreadable = false;
    check_ok(start(&heads, &world, 41, &verdict));
    assert_int_equal(2, sequence_of(&heads));
    check_record(&heads, 2, 300);
}

static void who_gets_a_forgotten_sites_place_gets_none_of_its_records(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    struct head head;
    struct bytes record;
    uint8_t room[HEADS_PLACE_LEN];
    static const uint8_t other[HEADS_SITE_LEN] = {8};
    make(&heads, &world, 1);
    for (uint64_t i = 2; i <= 5; i++) {
        record = record_at(i, 300, &head);
        check_ok(heads_advance(&heads, &head, record, HEADS_DURABLE, 0));
    }
    check_ok(heads_forget(&heads, site, 0));
    for (uint64_t i = 1; i <= 5; i++)
        check_ok(heads_advance(&heads, &(struct head){.site = {8}, .sequence = i}, NO_RECORD, HEADS_DURABLE, 0));
    for (uint64_t i = 1; i <= 5; i++)
        check_status(NOT_FOUND, heads_record(&heads, other, i, room, &record));
}

/* Its head was not released, but may be on the disk: who asks afterwards and starts from the one before is not
 * overtaken. */
static void a_failed_advance_does_not_come_back_behind_a_repair(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++)
        for (int n = 0; n < 6; n++) {
            struct heads heads;
            struct world world;
            struct head head;
            enum heads_verdict verdict;
            make(&heads, &world, 3);
            const struct bytes record = record_at(4, 300, &head);
            world.failure = DONE_ALL_THE_SAME;
            world.left = n;
            const bool done = heads_advance(&heads, &head, record, strict ? HEADS_STRICT : HEADS_DURABLE, 0) == OK;
            world.left = -1;
            check_ok(heads_repair(&heads));
            check_ok(start(&heads, &world, 41, &verdict));
            assert_int_equal(done ? 4 : 3, sequence_of(&heads));
        }
}

/* Of a site without a record. */
static void check_beginning(const struct heads *heads, uint64_t epoch)
{
    struct head head;
    uint8_t expected[32] = {0};
    struct writer writer = writer_over(expected, sizeof expected);
    put_u64be(&writer, epoch);
    heads_get(heads, site, &head);
    assert_int_equal(0, head.sequence);
    assert_memory_equal(site, head.site, sizeof site);
    assert_memory_equal(expected, head.hash, sizeof expected);
}

static void a_forgotten_site_leaves_its_place_to_another_and_begins_another_epoch(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    enum heads_verdict verdict;
    static const uint8_t nobody[HEADS_SITE_LEN] = {9};
    make(&heads, &world, 0);
    check_beginning(&heads, 0);
    check_status(NOT_FOUND, heads_forget(&heads, site, 0));
    check_ok(heads_advance(&heads, &(struct head){.site = {7}, .sequence = 1}, NO_RECORD, HEADS_DURABLE, 0));
    for (uint8_t i = 1; i < HEADS_SITES_MAX; i++)
        check_ok(heads_advance(&heads, &(struct head){.site = {7, i}, .sequence = 1, .hash = {i}}, NO_RECORD,
                               HEADS_DURABLE, 0));
    check_status(NOT_FOUND, heads_forget(&heads, nobody, 0));
    check_status(NO_ROOM,
                 heads_advance(&heads, &(struct head){.site = {8}, .sequence = 1}, NO_RECORD, HEADS_DURABLE, 0));
    uint64_t before = world.counter;
    check_ok(heads_forget(&heads, site, 0));
    assert_int_equal(before + 1, world.counter);
    check_beginning(&heads, world.counter);
    check_status(NOT_FOUND, heads_forget(&heads, site, 0));
    check_ok(heads_advance(&heads, &(struct head){.site = {8}, .sequence = 1}, NO_RECORD, HEADS_DURABLE, 0));
    check_status(NO_ROOM,
                 heads_advance(&heads, &(struct head){.site = {7}, .sequence = 1}, NO_RECORD, HEADS_DURABLE, 0));
    check_ok(start(&heads, &world, 41, &verdict));
    check_beginning(&heads, before + 1);
    for (uint8_t i = 1; i < HEADS_SITES_MAX; i++) { /* the others have what they had */
        struct head head;
        heads_get(&heads, (const uint8_t[HEADS_SITE_LEN]){7, i}, &head);
        assert_true(head.sequence == 1 && head.hash[0] == i);
    }
}

static void the_table_that_still_had_the_site_is_refused(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    enum heads_verdict verdict;
    make(&heads, &world, 3);
    struct world old = world;
    check_ok(heads_forget(&heads, site, 0));
    old.counter = world.counter;
    check_status(DENIED, start(&heads, &old, 41, &verdict));
    assert_int_equal(HEADS_ROLLED_BACK, verdict);
}

static void no_epoch_comes_twice(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    uint64_t last = 0;
    make(&heads, &world, 0);
    for (int i = 0; i < 6; i++) {
        struct head head;
        heads_get(&heads, site, &head);
        check_ok(heads_advance(&heads, &(struct head){.site = {7}, .sequence = 1}, NO_RECORD, HEADS_DURABLE, 0));
        check_ok(i % 2 ? heads_reinitialise(&heads, 0) : heads_forget(&heads, site, 0));
        heads_get(&heads, site, &head);
        struct reader reader = reader_over(BYTES_OF(head.hash));
        uint64_t epoch = take_u64be(&reader);
        assert_true(epoch > last && epoch <= world.counter);
        last = epoch;
    }
}

/* A table as it was written before there were epochs is one of epoch zero. */
static void a_table_without_an_epoch_is_of_the_first(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    static const uint8_t none[32];
    make(&heads, &world, 1);
    const size_t end = 8 + 3 * 8 + 2 * 16 + 8 + (HEADS_SITE_LEN + 8 + 32);
    assert_memory_equal(none, world.slots[heads.slot] + end, sizeof none);
}

static void a_cut_at_any_operation_of_forgetting_leaves_it_done_or_not(void **state)
{
    (void)state;
    for (enum failure failure = NOT_DONE; failure < FAILURES; failure++)
        for (int stays = 0; stays < 2; stays++)
            for (int n = 0; n < 10; n++) {
                struct heads heads;
                struct world world;
                enum heads_verdict verdict;
                make(&heads, &world, 3);
                world.failure = failure;
                world.stays_dead = stays;
                world.left = n;
                bool done = heads_forget(&heads, site, 0) == OK;
                world.left = -1;
                assert_int_equal(done ? 0 : 3, sequence_of(&heads)); /* what callers are told */
                if (!stays && !done)                                 /* a passing failure: said again, it is done */
                    check_ok(heads_forget(&heads, site, 0));
                done = done || !stays;
                check_ok(start(&heads, &world, 41, &verdict));
                assert_true(sequence_of(&heads) == 0 || (!done && sequence_of(&heads) == 3));
            }
}

static void an_older_disk_is_refused_once_the_counter_moved(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    enum heads_verdict verdict;
    make(&heads, &world, 3);
    struct world old = world;
    check_ok(heads_advance(&heads, &(struct head){.site = {7}, .sequence = 4}, NO_RECORD, HEADS_STRICT, 0));
    old.counter = world.counter;
    check_status(DENIED, start(&heads, &old, 41, &verdict));
    assert_int_equal(HEADS_ROLLED_BACK, verdict);
    assert_int_equal(7, heads_exit_code(verdict));
}

static void a_removed_table_is_refused_once_the_counter_moved(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    enum heads_verdict verdict;
    make(&heads, &world, 3);
    memset(world.lens, 0, sizeof world.lens);
    memset(world.slots, 0, sizeof world.slots);
    check_status(DENIED, start(&heads, &world, 41, &verdict));
    assert_int_equal(HEADS_EMPTY, verdict);
    check_ok(heads_reinitialise(&heads, 0));
    assert_int_equal(0, sequence_of(&heads));
    check_ok(start(&heads, &world, 41, &verdict));
}

static void a_counter_behind_the_table_is_refused(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    enum heads_verdict verdict;
    make(&heads, &world, 3);
    check_ok(heads_move(&heads, 0));
    world.counter -= 2;
    check_status(DENIED, start(&heads, &world, 41, &verdict));
    assert_int_equal(HEADS_COUNTER_BACK, verdict);
    /* One behind looks like a crash, but no crash leaves both slots past the counter. */
    make(&heads, &world, 3);
    world.counter--;
    check_status(DENIED, start(&heads, &world, 0, &verdict));
    assert_int_equal(HEADS_TAMPERED, verdict);
}

static void another_nodes_table_and_every_flipped_byte_are_refused(void **state)
{
    (void)state;
    struct heads heads;
    struct world world;
    enum heads_verdict verdict;
    make(&heads, &world, 3);
    for (size_t i = 0; i < HEADS_SLOT_LEN; i++) {
        struct world bent = world;
        bent.slots[0][i] ^= 1;
        bent.slots[1][i] ^= 0x80;
        check_status(DENIED, start(&heads, &bent, 41, &verdict));
        assert_int_equal(HEADS_TAMPERED, verdict);
        assert_int_equal(8, heads_exit_code(verdict));
    }
}

/* Two pending tables of the same counter: only the one its neighbour names ahead is taken. */
static void only_the_table_named_ahead_is_taken_after_a_crash(void **state)
{
    (void)state;
    struct heads heads;
    struct world world, first, second;
    enum heads_verdict verdict;
    make(&heads, &world, 3);
    struct world *crashed[2] = {&first, &second};
    for (int i = 0; i < 2; i++) {
        *crashed[i] = world;
        struct heads copy = heads;
        copy.outside.context = crashed[i];
        crashed[i]->left = 4; /* a read, two writes and a read, then the increment */
        check_status(IO, heads_move(&copy, 0));
    }
    struct world good = first;
    check_ok(start(&heads, &good, 41, &verdict));
    for (int slot = 0; slot < 2; slot++) {
        struct world mixed = first;
        memcpy(mixed.slots[slot], second.slots[slot], HEADS_SLOT_LEN);
        check_status(DENIED, start(&heads, &mixed, 41, &verdict));
        assert_int_equal(HEADS_TAMPERED, verdict);
    }
}

/* One round of use with a failure at operation N; what was released is `*released`. True when the failure struck. */
static bool use(struct heads *heads, struct world *world, int n, bool kept, uint64_t *released)
{
    for (uint64_t i = 4; kept && i < HEADS_RECORDS; i++) /* the places are used a second time among what follows */
        check_ok(commit(heads, HEADS_DURABLE));
    *released = sequence_of(heads);
    world->left = n;
    for (uint64_t i = 0; i < 6; i++) {
        struct head head = head_at(sequence_of(heads) + 1, 1);
        const struct bytes record = kept ? record_at(head.sequence, 300, &head) : NO_RECORD;
        if (heads_advance(heads, &head, record, i == 4 ? HEADS_STRICT : HEADS_DURABLE, 0) == OK)
            *released = head.sequence;
    }
    bool struck = world->left < 0;
    world->left = -1;
    return struck;
}

/* The power is cut there; or it passes, and one commit more is made before the start. */
static void fail_at_each_operation(enum failure failure, bool kept, bool cut)
{
    bool struck = true;
    for (int n = 0; struck; n++) {
        struct heads heads;
        struct world world;
        enum heads_verdict verdict;
        uint64_t released = 2;
        if (kept)
            make_kept(&heads, &world, 1, HEADS_DURABLE);
        else
            make(&heads, &world, 2);
        world.failure = failure;
        world.stays_dead = cut;
        struck = use(&heads, &world, n, kept, &released);
        assert_true(n < 100);
        struct head last = head_at(released + 1, 9), found;
        if (!cut) {
            assert_int_equal(released, sequence_of(&heads));
            check_ok(
                heads_advance(&heads, &last, kept ? record_at(released + 1, 300, &last) : NO_RECORD, HEADS_DURABLE, 0));
        }
        check_ok(start(&heads, &world, 41, &verdict));
        heads_get(&heads, site, &found);
        if (cut)
            assert_true(found.sequence == released || found.sequence == released + 1);
        else
            assert_memory_equal(&last, &found, sizeof last);
        if (kept)
            check_kept(&heads, last.sequence);
    }
}

static void a_power_cut_at_any_operation_loses_nothing_released(void **state)
{
    (void)state;
    for (enum failure failure = NOT_DONE; failure < FAILURES; failure++)
        for (int kept = 0; kept < 2; kept++)
            fail_at_each_operation(failure, kept, true);
}

static void a_passing_failure_at_any_operation_is_repaired_before_more_is_released(void **state)
{
    (void)state;
    for (enum failure failure = NOT_DONE; failure < FAILURES; failure++)
        for (int kept = 0; kept < 2; kept++)
            fail_at_each_operation(failure, kept, false);
}

static void a_cut_at_any_operation_of_a_start_is_survived(void **state)
{
    (void)state;
    for (enum failure failure = NOT_DONE; failure < FAILURES; failure++)
        for (uint64_t commits = 0; commits < 4; commits++)
            for (int n = 0; n < 12; n++) {
                struct heads heads;
                struct world world = {.counter = 41, .left = -1};
                enum heads_verdict verdict;
                if (commits)
                    make_kept(&heads, &world, commits - 1, HEADS_DURABLE);
                world.failure = failure;
                world.stays_dead = true;
                world.left = n;
                (void)start(&heads, &world, 41, &verdict);
                world.left = -1;
                check_ok(start(&heads, &world, 41, &verdict));
                assert_int_equal(commits, sequence_of(&heads));
            }
}

static void close_files(const struct heads_files *files)
{
    close(files->table);
    close(files->records);
}

/* As the version before wrote it: a table that says with which site's record it came, and records without a MAC. */
static void make_old(struct heads *heads, struct world *world)
{
    make_kept(heads, world, 3, HEADS_DURABLE);
    check_ok(heads_move(heads, 0));
    uint8_t *data = world->slots[heads->slot], mac[CRYPTO_HASH_MAX];
    const struct bytes body = bytes_from(data, HEADS_SLOT_LEN - 32);
    data[7] = '1';
    data[8 + 3 * 8 + 2 * 16 + 8 + HEADS_SITE_LEN + 8 + 32 + 15] = 1;
    check_ok(crypto_hmac(CRYPTO_SHA256, BYTES_OF(key), &body, 1, mac));
    memcpy(data + HEADS_SLOT_LEN - 32, mac, 32);
    for (size_t i = 0; i < HEADS_RECORDS; i++)
        memset(world->records[0][i].cached + HEADS_PLACE_LEN - 32, 0, 32);
}

static void a_table_of_the_version_before_is_taken_with_its_records(void **state)
{
    (void)state;
    struct heads heads;
    static struct world world, lacking;
    enum heads_verdict verdict;
    make_old(&heads, &world);
    assert_int_equal(4, found_at(&world, 4));
    lacking = world; /* its commit was cut: the slot before it has no such head at this counter */
    memset(lacking.records[0][4].cached, 0, HEADS_PLACE_LEN);
    check_status(DENIED, start(&heads, &lacking, 41, &verdict));
    check_ok(start(&heads, &world, 41, &verdict));
    check_ok(commit(&heads, HEADS_DURABLE));
    assert_int_equal(5, found_at(&world, 5));
}

static void the_files_keep_slots_and_records(void **state)
{
    (void)state;
    char directory[] = "/tmp/heads_test.XXXXXX", table[64], records[64];
    uint8_t written[HEADS_SLOT_LEN], got[HEADS_SLOT_LEN], place[HEADS_PLACE_LEN], record[HEADS_PLACE_LEN];
    struct heads_files files;
    size_t len = 1;
    assert_non_null(mkdtemp(directory));
    snprintf(table, sizeof table, "%s/table", directory);
    snprintf(records, sizeof records, "%s/records", directory);
    check_ok(heads_open_files(table, records, &files));
    check_ok(heads_read_slot(&files, 0, got, &len));
    assert_int_equal(0, len);
    for (unsigned slot = 0; slot < 2; slot++) {
        memset(written, (int)slot + 5, sizeof written);
        memcpy(written, "BSTDHEA2", 8);
        check_ok(heads_write_slot(&files, slot, written));
        check_ok(heads_read_slot(&files, slot, got, &len));
        assert_int_equal(sizeof got, len);
        assert_memory_equal(written, got, sizeof got);
    }
    memset(record, 9, sizeof record);
    check_ok(heads_write_place(&files, HEADS_SITES_MAX - 1, HEADS_RECORDS - 1, record));
    check_ok(heads_write_place(&files, 0, 0, record));
    check_ok(heads_sync_places(&files));
    close_files(&files);
    check_ok(heads_open_files(table, records, &files));
    check_ok(heads_read_place(&files, HEADS_SITES_MAX - 1, HEADS_RECORDS - 1, place));
    assert_memory_equal(record, place, sizeof place);
    check_ok(heads_read_place(&files, 0, 0, place));
    assert_memory_equal(record, place, sizeof place);
    check_ok(heads_read_place(&files, 0, 1, place));
    assert_int_equal(0, place[0]);
    check_ok(heads_read_slot(&files, 1, got, &len));
    assert_memory_equal(written, got, sizeof got);
    close_files(&files);
    unlink(table);
    unlink(records);
    rmdir(directory);
    check_status(IO, heads_open_files("/proc/no/such/table", "/proc/no/such/records", &files));
}

#define OLD_RECORDS 8

/* As the version before wrote it: behind the slots eight records of each site, of the first few but one, of no sequence
 * that is the same in two places. */
static uint64_t old_sequence(size_t site_of, size_t which)
{
    if (site_of < 4 && which != site_of)
        return 0;
    return 32 * OLD_RECORDS * site_of + 32 + which;
}

static void write_old(const char *path, const uint8_t magic[8], uint8_t mark)
{
    static uint8_t place[HEADS_PLACE_LEN];
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < 2; i++) {
        memset(place, 0, sizeof place);
        memcpy(place, magic, 8);
        assert_int_equal(sizeof place, pwrite(fd, place, sizeof place, (off_t)(i * sizeof place)));
    }
    for (size_t i = 0; i < HEADS_SITES_MAX * OLD_RECORDS; i++) {
        const uint64_t sequence = old_sequence(i / OLD_RECORDS, i % OLD_RECORDS);
        struct writer writer = writer_over(place, sizeof place);
        memset(place, sequence ? mark : 0, sizeof place);
        put_bytes(&writer, bytes_from(place, HEADS_SITE_LEN));
        put_u64be(&writer, sequence);
        assert_int_equal(sizeof place, pwrite(fd, place, sizeof place, (off_t)((i + 2) * sizeof place)));
    }
    close(fd);
}

static void check_old(const struct heads_files *files, uint8_t mark)
{
    static uint8_t place[HEADS_PLACE_LEN];
    for (size_t i = 0; i < HEADS_SITES_MAX * OLD_RECORDS; i++) {
        const uint64_t sequence = old_sequence(i / OLD_RECORDS, i % OLD_RECORDS);
        if (sequence == 0)
            continue;
        check_ok(heads_read_place(files, i / OLD_RECORDS, sequence % HEADS_RECORDS, place));
        struct reader reader = reader_over(bytes_from(place + HEADS_SITE_LEN, 8));
        assert_int_equal(sequence, take_u64be(&reader));
        assert_int_equal(mark, place[sizeof place - 1]);
    }
}

static void records_behind_the_slots_are_taken_until_there_is_a_table_of_ours(void **state)
{
    (void)state;
    char directory[] = "/tmp/heads_test.XXXXXX", table[64], records[64];
    struct heads_files files;
    static const uint8_t theirs[8] = "BSTDHEA1", ours[8] = "BSTDHEA2";
    assert_non_null(mkdtemp(directory));
    snprintf(table, sizeof table, "%s/table", directory);
    snprintf(records, sizeof records, "%s/records", directory);
    for (uint8_t mark = 1; mark < 3; mark++) { /* the second time the version before had gone on */
        write_old(table, theirs, mark);
        check_ok(heads_open_files(table, records, &files));
        assert_true(files.made);
        check_old(&files, mark);
        close_files(&files);
    }
    write_old(table, ours, 3); /* and this one's was begun and refused, which had filled its places */
    check_ok(heads_open_files(table, records, &files));
    assert_false(files.made);
    check_old(&files, 2);
    close_files(&files);
    assert_int_equal(0, truncate(records, 8192));
    check_ok(heads_open_files(table, records, &files));
    assert_true(files.made);
    close_files(&files);
    unlink(records);
    check_ok(heads_open_files(table, records, &files));
    assert_true(files.made);
    close_files(&files);
    unlink(table);
    unlink(records);
    rmdir(directory);
}

/* What was acknowledged is in them alone. */
static void a_table_whose_records_are_gone_is_refused(void **state)
{
    (void)state;
    struct heads heads;
    static struct world world;
    enum heads_verdict verdict;
    make_kept(&heads, &world, 3, HEADS_DURABLE);
    memset(world.records, 0, sizeof world.records);
    world.no_records = true;
    const uint64_t counter = world.counter;
    check_status(DENIED, start(&heads, &world, 41, &verdict));
    assert_int_equal(HEADS_EMPTY, verdict);
    assert_int_equal(counter, world.counter);
    check_ok(heads_reinitialise(&heads, 0));
    world.no_records = false;
    check_ok(start(&heads, &world, 41, &verdict));
    /* There were none before. */
    make_old(&heads, &world);
    world.no_records = true;
    check_ok(start(&heads, &world, 41, &verdict));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_node_starts_where_its_counter_was_born),
        cmocka_unit_test(heads_survive_a_restart_and_the_counter_moves_with_it),
        cmocka_unit_test(a_head_only_moves_by_one),
        cmocka_unit_test(the_table_holds_as_many_sites_as_it_says),
        cmocka_unit_test(the_last_records_are_kept_with_their_heads),
        cmocka_unit_test(a_site_is_where_its_records_lead),
        cmocka_unit_test(a_record_that_was_changed_is_not_followed_nor_what_comes_behind_it),
        cmocka_unit_test(a_record_of_another_table_is_not_followed),
        cmocka_unit_test(what_is_relaxed_is_lost_with_the_power_only_and_from_the_end),
        cmocka_unit_test(a_limit_of_records_are_not_durable),
        cmocka_unit_test(a_sync_that_failed_is_made_up_for),
        cmocka_unit_test(what_a_start_follows_is_durable_then),
        cmocka_unit_test(what_was_relaxed_is_durable_before_a_table_says_so),
        cmocka_unit_test(a_record_that_does_not_fit_changes_nothing),
        cmocka_unit_test(a_record_that_cannot_be_read_is_no_cut),
        cmocka_unit_test(who_gets_a_forgotten_sites_place_gets_none_of_its_records),
        cmocka_unit_test(a_failed_advance_does_not_come_back_behind_a_repair),
        cmocka_unit_test(a_forgotten_site_leaves_its_place_to_another_and_begins_another_epoch),
        cmocka_unit_test(the_table_that_still_had_the_site_is_refused),
        cmocka_unit_test(no_epoch_comes_twice),
        cmocka_unit_test(a_table_without_an_epoch_is_of_the_first),
        cmocka_unit_test(a_cut_at_any_operation_of_forgetting_leaves_it_done_or_not),
        cmocka_unit_test(an_older_disk_is_refused_once_the_counter_moved),
        cmocka_unit_test(a_removed_table_is_refused_once_the_counter_moved),
        cmocka_unit_test(a_counter_behind_the_table_is_refused),
        cmocka_unit_test(another_nodes_table_and_every_flipped_byte_are_refused),
        cmocka_unit_test(only_the_table_named_ahead_is_taken_after_a_crash),
        cmocka_unit_test(a_power_cut_at_any_operation_loses_nothing_released),
        cmocka_unit_test(a_passing_failure_at_any_operation_is_repaired_before_more_is_released),
        cmocka_unit_test(a_cut_at_any_operation_of_a_start_is_survived),
        cmocka_unit_test(a_table_of_the_version_before_is_taken_with_its_records),
        cmocka_unit_test(the_files_keep_slots_and_records),
        cmocka_unit_test(records_behind_the_slots_are_taken_until_there_is_a_table_of_ours),
        cmocka_unit_test(a_table_whose_records_are_gone_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
