/* The counter rule. What is on disk is public but for nobody's changing: everything read is checked by its MAC first.
 */
#include "heads.h"

#include <string.h>

#define NONCE_LEN 16
#define MAC_LEN 32
#define HEAD_LEN (HEADS_SITE_LEN + 8 + 32)
#define BODY_LEN (HEADS_SLOT_LEN - MAC_LEN)

static const uint8_t magic[8] = "BSTDHEA1";

/* One slot in the open. */
struct table {
    bool valid;
    bool blank; /* never written */
    uint64_t generation;
    uint64_t counter;
    uint64_t since_s;
    uint8_t nonce[NONCE_LEN];
    uint8_t ahead[NONCE_LEN]; /* zero, or the nonce of the slot that will be written next */
    size_t places;
    struct head heads[HEADS_SITES_MAX];
    uint64_t epoch;   /* behind the heads: zero in tables of before there was one */
    uint64_t written; /* one more than the place whose newest record was written with it; 0: none */
};

_Static_assert(8 + 3 * 8 + 2 * NONCE_LEN + 8 + HEADS_SITES_MAX * HEAD_LEN + 2 * 8 <= BODY_LEN,
               "a slot holds every site");

static enum status mac_of(const struct heads *heads, const uint8_t *data, uint8_t mac[CRYPTO_HASH_MAX])
{
    const struct bytes body = bytes_from(data, BODY_LEN);
    return crypto_hmac(CRYPTO_SHA256, BYTES_OF(heads->key), &body, 1, mac);
}

static enum status encode(const struct heads *heads, const struct table *table, uint8_t data[HEADS_SLOT_LEN])
{
    uint8_t mac[CRYPTO_HASH_MAX];
    struct writer writer = writer_over(data, BODY_LEN);
    memset(data, 0, HEADS_SLOT_LEN);
    put_bytes(&writer, BYTES_OF(magic));
    put_u64be(&writer, table->generation);
    put_u64be(&writer, table->counter);
    put_u64be(&writer, table->since_s);
    put_bytes(&writer, BYTES_OF(table->nonce));
    put_bytes(&writer, BYTES_OF(table->ahead));
    put_u64be(&writer, table->places);
    for (size_t i = 0; i < table->places; i++) {
        put_bytes(&writer, BYTES_OF(table->heads[i].site));
        put_u64be(&writer, table->heads[i].sequence);
        put_bytes(&writer, BYTES_OF(table->heads[i].hash));
    }
    put_u64be(&writer, table->epoch);
    put_u64be(&writer, table->written);
    TRY(writer_end(&writer));
    TRY(mac_of(heads, data, mac));
    memcpy(data + BODY_LEN, mac, MAC_LEN);
    return OK;
}

static void take_into(struct reader *reader, uint8_t *out, size_t len)
{
    struct bytes value = take_bytes(reader, len);
    if (value.len == len)
        memcpy(out, value.data, len);
}

static bool decode(const struct heads *heads, const uint8_t data[HEADS_SLOT_LEN], struct table *table)
{
    uint8_t mac[CRYPTO_HASH_MAX];
    if (mac_of(heads, data, mac) != OK || !ct_equal(mac, data + BODY_LEN, MAC_LEN))
        return false;
    struct reader reader = reader_over(bytes_from(data, BODY_LEN));
    bool ours = bytes_equal(take_bytes(&reader, sizeof magic), BYTES_OF(magic));
    table->generation = take_u64be(&reader);
    table->counter = take_u64be(&reader);
    table->since_s = take_u64be(&reader);
    take_into(&reader, table->nonce, NONCE_LEN);
    take_into(&reader, table->ahead, NONCE_LEN);
    table->places = take_u64be(&reader);
    if (!ours || table->places > HEADS_SITES_MAX)
        return false;
    for (size_t i = 0; i < table->places; i++) {
        take_into(&reader, table->heads[i].site, HEADS_SITE_LEN);
        table->heads[i].sequence = take_u64be(&reader);
        take_into(&reader, table->heads[i].hash, 32);
    }
    table->epoch = take_u64be(&reader);
    table->written = take_u64be(&reader);
    return reader.status == OK;
}

/* ---- Records ---- */

static enum status is_named(struct bytes record, const uint8_t hash[32], bool *named)
{
    uint8_t own[CRYPTO_HASH_MAX];
    TRY(crypto_hash(CRYPTO_SHA256, &record, 1, own));
    *named = memcmp(own, hash, 32) == 0;
    return OK;
}

/* NOT_FOUND: another is there. */
static enum status read_record(const struct heads *heads, size_t place, const uint8_t site[HEADS_SITE_LEN],
                               uint64_t sequence, uint8_t data[HEADS_PLACE_LEN], struct bytes *record)
{
    TRY(heads->outside.read_record(heads->outside.context, place, sequence % HEADS_RECORDS, data));
    struct reader reader = reader_over(bytes_from(data, HEADS_PLACE_LEN));
    const bool its = bytes_equal(take_bytes(&reader, HEADS_SITE_LEN), bytes_from(site, HEADS_SITE_LEN));
    const bool it = take_u64be(&reader) == sequence;
    *record = take_bytes(&reader, take_u64be(&reader));
    return its && it && reader.status == OK && record->len ? OK : NOT_FOUND;
}

static enum status write_record(const struct heads *heads, size_t place, const struct head *head, struct bytes record)
{
    uint8_t data[HEADS_PLACE_LEN];
    struct writer writer = writer_over(data, sizeof data);
    put_bytes(&writer, BYTES_OF(head->site));
    put_u64be(&writer, head->sequence);
    put_u64be(&writer, record.len);
    put_bytes(&writer, record);
    TRY(writer_end(&writer));
    return heads->outside.write_record(heads->outside.context, place, head->sequence % HEADS_RECORDS,
                                       writer_bytes(&writer));
}

/* The record that was written with the table. NOT_FOUND: it is not there, or not whole. */
static enum status written_record(const struct heads *heads, const struct table *table, uint8_t data[HEADS_PLACE_LEN],
                                  struct bytes *record)
{
    if (table->written > table->places)
        return NOT_FOUND;
    const size_t place = (size_t)table->written - 1;
    const struct head *head = &table->heads[place];
    bool named = false;
    TRY(read_record(heads, place, head->site, head->sequence, data, record));
    TRY(is_named(*record, head->hash, &named));
    return named ? OK : NOT_FOUND;
}

/* Once more: a disk that failed may have it in memory alone. Durable by the next slot. */
static enum status renew_record(const struct heads *heads, const struct table *table)
{
    uint8_t data[HEADS_PLACE_LEN];
    struct bytes record;
    if (table->written == 0)
        return OK;
    TRY(written_record(heads, table, data, &record));
    return write_record(heads, (size_t)table->written - 1, &table->heads[table->written - 1], record);
}

/* ---- Tables ---- */

static enum status load(const struct heads *heads, unsigned slot, struct table *table)
{
    uint8_t data[HEADS_SLOT_LEN], place[HEADS_PLACE_LEN];
    struct bytes record;
    size_t len = 0;
    TRY(heads->outside.read_slot(heads->outside.context, slot, data, &len));
    *table = (struct table){.blank = len == 0};
    table->valid = len == HEADS_SLOT_LEN && decode(heads, data, table);
    if (!table->valid || table->written == 0)
        return OK;
    enum status status = written_record(heads, table, place, &record);
    table->valid = status == OK;
    return status == NOT_FOUND ? OK : status;
}

/* Writes to the slot that does not hold the present table; on success that one does. */
static enum status store(struct heads *heads, const struct table *table)
{
    uint8_t data[HEADS_SLOT_LEN];
    TRY(encode(heads, table, data));
    heads->generation = table->generation; /* never used twice, whatever became of the write */
    heads->unsure = true;
    TRY(heads->outside.write_slot(heads->outside.context, 1 - heads->slot, data));
    heads->unsure = false;
    heads->slot = 1 - heads->slot;
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

/* What an earlier failure left open is closed before anything new is written. */
enum status heads_repair(struct heads *heads)
{
    struct table table;
    if (heads->unsettled) {
        TRY(settle(heads, heads->counter + 1));
        heads->counter++;
        heads->unsettled = false;
        heads->unsure = true;
    }
    if (!heads->unsure)
        return OK;
    TRY(next_table(heads, &table));
    return store(heads, &table);
}

/* Moves the counter with `table` as what comes: named ahead, written, then the TPM, then released. */
static enum status move(struct heads *heads, struct table *table, uint64_t now_s)
{
    struct table before;
    TRY(heads_check_lease(heads)); /* before anything of another monitor's table is overwritten */
    TRY(next_table(heads, &before));
    memcpy(before.ahead, table->nonce, NONCE_LEN);
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

enum status heads_advance(struct heads *heads, const struct head *head, struct bytes record, bool strict,
                          uint64_t now_s)
{
    struct table table;
    TRY(heads_repair(heads));
    TRY(next_table(heads, &table));
    size_t at = find(table.heads, head->site);
    if (head->sequence == 0 || head->sequence - 1 != (at < HEADS_SITES_MAX ? table.heads[at].sequence : 0))
        return WRONG_STATE;
    if (at == HEADS_SITES_MAX)
        at = find_free(table.heads);
    if (at == HEADS_SITES_MAX)
        return NO_ROOM;
    if (at >= table.places)
        table.places = at + 1;
    table.heads[at] = *head;
    if (record.len) {
        if (record.len > HEADS_RECORD_MAX)
            return NO_ROOM;
        bool named = false;
        TRY(is_named(record, head->hash, &named));
        if (!named)
            return MALFORMED;
        TRY(write_record(heads, at, head, record));
        table.written = at + 1;
    }
    if (strict)
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
    return read_record(heads, at, site, sequence, data, record);
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
    static const uint8_t none[NONCE_LEN];
    bool named = other->valid && other->counter == value && other->generation + 1 == table->generation &&
                 memcmp(other->ahead, none, NONCE_LEN) != 0 && memcmp(other->ahead, table->nonce, NONCE_LEN) == 0;
    return named ? HEADS_GOOD : HEADS_TAMPERED;
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
    *verdict = HEADS_OUTSIDE;
    const struct table *table = &tables[heads->slot];
    heads->generation = tables[0].generation > tables[1].generation ? tables[0].generation : tables[1].generation;
    heads->counter = value;
    heads->since_s = now_s;
    if (table->valid) {
        release(heads, table);
        TRY(renew_record(heads, table));
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
            "there is no table of heads although the TPM's counter has moved: the store was removed; restore "
            "it, or re-initialise with a token of the owner",
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
