/* The counter rule. */
#include "heads_internal.h"

#include <string.h>

/* In a table of before records counted by themselves: the record that was written with it is there. */
static enum status is_whole(const struct heads *heads, const struct table *table, bool *whole)
{
    uint8_t data[HEADS_PLACE_LEN];
    struct bytes record;
    *whole = false;
    if (table->written > table->places)
        return OK;
    const struct head *head = &table->heads[table->written - 1];
    enum status status = record_read(heads, (size_t)table->written - 1, head->site, head->sequence, data, &record);
    if (status == OK)
        return record_is_named(record, head->hash, whole);
    return status == NOT_FOUND ? OK : status;
}

static enum status load(const struct heads *heads, unsigned slot, struct table *table)
{
    uint8_t data[HEADS_SLOT_LEN];
    size_t len = 0;
    TRY(heads->outside.read_slot(heads->outside.context, slot, data, &len));
    *table = (struct table){.blank = len == 0};
    table->valid = len == HEADS_SLOT_LEN && table_decode(heads, data, table);
    return table->valid && table->written ? is_whole(heads, table, &table->valid) : OK;
}

/* What was answered before it was durable is, from now on. */
static enum status sync(struct heads *heads)
{
    if (heads->unsynced == 0)
        return OK;
    TRY(heads->outside.sync_records(heads->outside.context));
    heads->unsynced = 0;
    return OK;
}

/* Writes to the slot that does not hold the present table; on success that one does. The records that led to its heads
 * are durable before it is. */
static enum status store(struct heads *heads, const struct table *table)
{
    uint8_t data[HEADS_SLOT_LEN];
    TRY(table_encode(heads, table, data));
    heads->unsure = true;
    TRY(sync(heads));
    heads->generation = table->generation; /* never used twice, whatever became of the write */
    TRY(heads->outside.write_slot(heads->outside.context, 1 - heads->slot, data));
    heads->unsure = false;
    heads->slot = 1 - heads->slot;
    memcpy(heads->nonce, table->nonce, sizeof heads->nonce);
    for (size_t i = 0; i < HEADS_SITES_MAX; i++)
        heads->tabled[i] = table->heads[i].sequence;
    return OK;
}

static enum status next_table(const struct heads *heads, struct table *table)
{
    *table = (struct table){.generation = heads->generation + 1,
                            .counter = heads->counter,
                            .since_s = heads->since_s,
                            .places = heads->places,
                            .epoch = heads->epoch};
    memcpy(table->heads, heads->released, sizeof table->heads);
    return crypto_random(table->nonce, sizeof table->nonce);
}

/* A site's place, or HEADS_SITES_MAX. */
static size_t find(const struct head *heads, const uint8_t site[HEADS_SITE_LEN])
{
    size_t i = 0;
    while (i < HEADS_SITES_MAX && (heads[i].sequence == 0 || memcmp(heads[i].site, site, HEADS_SITE_LEN) != 0))
        i++;
    return i;
}

static size_t find_free(const struct head *heads)
{
    size_t i = 0;
    while (i < HEADS_SITES_MAX && heads[i].sequence != 0)
        i++;
    return i;
}

static void release(struct heads *heads, const struct table *table)
{
    memcpy(heads->released, table->heads, sizeof heads->released);
    heads->places = table->places;
    heads->counter = table->counter;
    heads->since_s = table->since_s;
    heads->epoch = table->epoch;
}

/* The table on disk is one ahead: bring the TPM there, unless it is there already. */
static enum status settle(struct heads *heads, uint64_t target)
{
    uint64_t value = 0;
    TRY(heads->outside.read_counter(heads->outside.context, &value));
    if (value + 1 == target)
        TRY(heads->outside.increment_counter(heads->outside.context, &value));
    return value == target ? OK : DENIED;
}

static enum status write_unsynced(const struct heads *heads, unsigned number)
{
    const struct heads_record *record = &heads->unsynced_records[number];
    return heads->outside.write_record(heads->outside.context, record->place, record->which, record->data);
}

/* Once more: after a sync that failed the kernel has them or not, and would not write them. */
static enum status renew_records(const struct heads *heads)
{
    for (unsigned i = 0; i < heads->unsynced; i++)
        TRY(write_unsynced(heads, i));
    return OK;
}

static enum status store_released(struct heads *heads)
{
    struct table table;
    TRY(next_table(heads, &table));
    return store(heads, &table);
}

/* What an earlier failure left open is closed before anything new is written. A record that was written and not
 * released does not follow the new table. */
enum status heads_repair(struct heads *heads)
{
    if (heads->unsettled) {
        TRY(settle(heads, heads->counter + 1));
        heads->counter++;
        heads->unsettled = false;
        heads->unsure = true;
    }
    if (!heads->unsure)
        return OK;
    TRY(renew_records(heads));
    return store_released(heads);
}

enum status heads_sync(struct heads *heads)
{
    TRY(heads_repair(heads));
    heads->unsure = true;
    TRY(sync(heads));
    heads->unsure = false;
    return OK;
}

/* Moves the counter with `table` as what comes: named ahead, written, then the TPM, then released. */
static enum status move(struct heads *heads, struct table *table, uint64_t now_s)
{
    struct table before;
    TRY(heads_check_lease(heads)); /* before anything of another monitor's table is overwritten */
    TRY(next_table(heads, &before));
    memcpy(before.ahead, table->nonce, HEADS_NONCE_LEN);
    TRY(store(heads, &before));
    table->generation = heads->generation + 1;
    table->counter = heads->counter + 1;
    table->since_s = now_s;
    TRY(store(heads, table));
    heads->unsettled = true;
    TRY(settle(heads, table->counter));
    heads->unsettled = false;
    release(heads, table);
    return OK;
}

enum status heads_move(struct heads *heads, uint64_t now_s)
{
    struct table table;
    TRY(heads_repair(heads));
    TRY(next_table(heads, &table));
    return move(heads, &table, now_s);
}

/* Where the record goes there is an older one, which is needed until a table has a later head. Unsure until its own
 * head is released, or a table written that it does not follow. */
static enum status keep(struct heads *heads, size_t place, const struct head *head, struct bytes record)
{
    if (head->sequence - heads->tabled[place] > HEADS_RECORDS)
        TRY(store_released(heads));
    if (heads->unsynced == HEADS_UNSYNCED_MAX)
        return INTERNAL; /* the last one made them durable */
    struct heads_record *kept = &heads->unsynced_records[heads->unsynced];
    TRY(record_make(heads, head, record, kept->data));
    kept->place = place;
    kept->which = head->sequence % HEADS_RECORDS;
    heads->unsure = true;
    return write_unsynced(heads, heads->unsynced++);
}

static enum status check_record(const struct head *head, struct bytes record)
{
    bool named = false;
    if (record.len > HEADS_RECORD_MAX)
        return NO_ROOM;
    TRY(record_is_named(record, head->hash, &named));
    return named ? OK : MALFORMED;
}

/* The head is where its record is. */
static enum status follow(struct heads *heads, size_t place, const struct head *head, enum heads_commit commit)
{
    if (commit == HEADS_DURABLE || heads->unsynced >= HEADS_UNSYNCED_MAX)
        TRY(sync(heads));
    heads->unsure = false;
    heads->released[place] = *head;
    return OK;
}

enum status heads_advance(struct heads *heads, const struct head *head, struct bytes record, enum heads_commit commit,
                          uint64_t now_s)
{
    struct table table;
    TRY(heads_repair(heads));
    size_t place = find(heads->released, head->site);
    const bool known = place < HEADS_SITES_MAX;
    if (head->sequence == 0 || head->sequence - 1 != (known ? heads->released[place].sequence : 0))
        return WRONG_STATE;
    if (!known)
        place = find_free(heads->released);
    if (place == HEADS_SITES_MAX)
        return NO_ROOM;
    if (record.len) {
        TRY(check_record(head, record));
        TRY(keep(heads, place, head, record));
    }
    if (record.len && known && commit != HEADS_STRICT)
        return follow(heads, place, head, commit);
    TRY(next_table(heads, &table));
    if (place >= table.places)
        table.places = place + 1;
    table.heads[place] = *head;
    if (commit == HEADS_STRICT)
        return move(heads, &table, now_s);
    TRY(store(heads, &table));
    release(heads, &table);
    return OK;
}

enum status heads_record(const struct heads *heads, const uint8_t site[HEADS_SITE_LEN], uint64_t sequence,
                         uint8_t data[HEADS_PLACE_LEN], struct bytes *record)
{
    const size_t at = find(heads->released, site);
    if (at == HEADS_SITES_MAX || sequence > heads->released[at].sequence ||
        heads->released[at].sequence - sequence >= HEADS_RECORDS)
        return NOT_FOUND;
    return record_read(heads, at, site, sequence, data, record);
}

enum status heads_forget(struct heads *heads, const uint8_t site[HEADS_SITE_LEN], uint64_t now_s)
{
    struct table table;
    TRY(heads_repair(heads));
    TRY(next_table(heads, &table));
    size_t at = find(table.heads, site);
    if (at == HEADS_SITES_MAX)
        return NOT_FOUND;
    table.heads[at] = (struct head){0};
    table.epoch = heads->counter + 1; /* what move() brings the counter to, so no epoch comes twice */
    return move(heads, &table, now_s);
}

size_t heads_count(const struct heads *heads)
{
    size_t count = 0;
    for (size_t i = 0; i < heads->places; i++)
        count += heads->released[i].sequence != 0;
    return count;
}

void heads_get(const struct heads *heads, const uint8_t site[HEADS_SITE_LEN], struct head *head)
{
    size_t at = find(heads->released, site);
    *head = (struct head){0};
    if (at < HEADS_SITES_MAX) {
        *head = heads->released[at];
        return;
    }
    struct writer beginning = writer_over(head->hash, sizeof head->hash);
    put_u64be(&beginning, heads->epoch);
    memcpy(head->site, site, HEADS_SITE_LEN);
}

enum status heads_check_lease(struct heads *heads)
{
    uint64_t value = 0;
    TRY(heads->outside.read_counter(heads->outside.context, &value));
    return value > heads->counter + heads->unsettled ? DENIED : OK;
}

/* The rule at start, over both slots and the counter; on HEADS_GOOD *newest is the table to go on with. */
static enum heads_verdict judge(const struct table tables[2], uint64_t value, uint64_t born, unsigned *newest)
{
    if (!tables[0].valid && !tables[1].valid) {
        /* A start moves the counter before anything is released: where it was born, a first write was cut at most. */
        if (value == born)
            return HEADS_GOOD;
        return tables[0].blank && tables[1].blank ? HEADS_EMPTY : HEADS_TAMPERED;
    }
    *newest = !tables[0].valid || (tables[1].valid && tables[1].generation > tables[0].generation);
    const struct table *table = &tables[*newest], *other = &tables[1 - *newest];
    if (table->counter == value)
        return HEADS_GOOD;
    if (table->counter < value)
        return HEADS_ROLLED_BACK;
    if (table->counter != value + 1)
        return HEADS_COUNTER_BACK;
    static const uint8_t none[HEADS_NONCE_LEN];
    bool named = other->valid && other->counter == value && other->generation + 1 == table->generation &&
                 memcmp(other->ahead, none, HEADS_NONCE_LEN) != 0 &&
                 memcmp(other->ahead, table->nonce, HEADS_NONCE_LEN) == 0;
    return named ? HEADS_GOOD : HEADS_TAMPERED;
}

/* To where its records lead, which are written once more: a disk that failed may have them in memory alone. */
static enum status follow_records(struct heads *heads, struct table *table)
{
    uint8_t data[HEADS_PLACE_LEN];
    for (size_t i = 0; i < table->places; i++) {
        struct head *head = &table->heads[i];
        enum status status = head->sequence ? OK : NOT_FOUND;
        for (unsigned n = 0; n < HEADS_RECORDS && status == OK; n++)
            if ((status = record_follow(heads, i, head, data)) == OK)
                status = heads->outside.write_record(heads->outside.context, i, head->sequence % HEADS_RECORDS, data);
        if (status != OK && status != NOT_FOUND)
            return status;
    }
    return heads->outside.sync_records(heads->outside.context);
}

static enum status start(struct heads *heads, uint64_t born, uint64_t now_s, enum heads_verdict *verdict)
{
    struct table tables[2];
    uint64_t value = 0;
    *verdict = HEADS_OUTSIDE;
    TRY(load(heads, 0, &tables[0]));
    TRY(load(heads, 1, &tables[1]));
    TRY(heads->outside.read_counter(heads->outside.context, &value));
    *verdict = judge(tables, value, born, &heads->slot);
    if (*verdict != HEADS_GOOD)
        return DENIED;
    struct table *table = &tables[heads->slot];
    *verdict = HEADS_EMPTY;
    if (table->valid && !table->first && heads->outside.no_records)
        return DENIED;
    *verdict = HEADS_OUTSIDE;
    heads->generation = tables[0].generation > tables[1].generation ? tables[0].generation : tables[1].generation;
    heads->counter = value;
    heads->since_s = now_s;
    if (table->valid) {
        memcpy(heads->nonce, table->nonce, sizeof heads->nonce);
        TRY(follow_records(heads, table));
        release(heads, table);
        TRY(settle(heads, table->counter));
    }
    TRY(heads_move(heads, now_s));
    *verdict = HEADS_GOOD;
    return OK;
}

enum status heads_start(struct heads *heads, const struct heads_outside *outside, struct bytes key, uint64_t born,
                        uint64_t now_s, enum heads_verdict *verdict)
{
    *heads = (struct heads){.outside = *outside};
    *verdict = HEADS_OUTSIDE;
    if (key.len != sizeof heads->key)
        return INTERNAL;
    memcpy(heads->key, key.data, key.len);
    return start(heads, born, now_s, verdict);
}

enum status heads_reinitialise(struct heads *heads, uint64_t now_s)
{
    struct heads fresh = {.outside = heads->outside, .since_s = now_s};
    struct table table;
    memcpy(fresh.key, heads->key, sizeof fresh.key);
    TRY(fresh.outside.read_counter(fresh.outside.context, &fresh.counter));
    fresh.epoch = fresh.counter + 1;
    /* Both slots: nothing of the table that was refused may come back. */
    for (int i = 0; i < 2; i++) {
        TRY(next_table(&fresh, &table));
        TRY(store(&fresh, &table));
    }
    enum status status = heads_move(&fresh, now_s);
    *heads = fresh;
    wipe(&fresh, sizeof fresh);
    return status;
}

void heads_done(struct heads *heads)
{
    wipe(heads, sizeof *heads);
}

const char *heads_sentence(enum heads_verdict verdict)
{
    static const char *const sentences[] = {
        [HEADS_GOOD] = "the table of heads is good",
        [HEADS_ROLLED_BACK] =
            "the table of heads is older than the TPM's counter: the disk was rolled back, or an older "
            "backup restored; nothing is served from it",
        [HEADS_EMPTY] =
            "there is no table of heads, or no records beside it, although the TPM's counter has moved: the store was "
            "removed; restore it, or re-initialise with a token of the owner",
        [HEADS_COUNTER_BACK] = "the TPM's counter is behind the table of heads: another TPM, or its state was replaced",
        [HEADS_TAMPERED] = "the table of heads was changed or comes from another node",
        [HEADS_OUTSIDE] = "the table of heads or the TPM's counter cannot be read or written",
    };
    return sentences[verdict <= HEADS_OUTSIDE ? verdict : HEADS_OUTSIDE];
}

int heads_exit_code(enum heads_verdict verdict)
{
    switch (verdict) {
    case HEADS_GOOD:
        return 0;
    case HEADS_ROLLED_BACK:
    case HEADS_EMPTY:
    case HEADS_COUNTER_BACK:
        return 7;
    case HEADS_TAMPERED:
        return 8;
    case HEADS_OUTSIDE:
        break;
    }
    return 9;
}
