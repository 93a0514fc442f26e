/* The table of heads as a disk may give it back: slots of any content, with the right MAC too (the monitor's own bugs,
 * or its key lost), beside any counter. Refused with a verdict, or taken; what was taken is found again, one ahead. */
#include "heads.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define BODY_LEN (HEADS_SLOT_LEN - 32)
#define TABLE_LEN (8 + 3 * 8 + 2 * 16 + 8)

struct disk {
    uint8_t slots[2][HEADS_SLOT_LEN];
    size_t lens[2];
    uint8_t records[HEADS_RECORDS][HEADS_PLACE_LEN]; /* of the first place */
    uint64_t counter;
};

static const uint8_t key[32] = {1, 2, 3};

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static enum status read_slot(void *context, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    const struct disk *disk = context;
    memcpy(data, disk->slots[slot], HEADS_SLOT_LEN);
    *len = disk->lens[slot];
    return OK;
}

static enum status write_slot(void *context, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    struct disk *disk = context;
    memcpy(disk->slots[slot], data, HEADS_SLOT_LEN);
    disk->lens[slot] = HEADS_SLOT_LEN;
    return OK;
}

static enum status read_record(void *context, size_t place, unsigned which, uint8_t data[HEADS_PLACE_LEN])
{
    const struct disk *disk = context;
    hold(place < HEADS_SITES_MAX && which < HEADS_RECORDS);
    memset(data, 0, HEADS_PLACE_LEN);
    if (place == 0)
        memcpy(data, disk->records[which], HEADS_PLACE_LEN);
    return OK;
}

static enum status write_record(void *context, size_t place, unsigned which, const uint8_t data[HEADS_PLACE_LEN])
{
    struct disk *disk = context;
    hold(place == 0 && memcmp(disk->records[which], data, HEADS_PLACE_LEN) == 0); /* what was there, once more */
    return OK;
}

static enum status sync_records(void *context)
{
    (void)context;
    return OK;
}

static enum status read_counter(void *context, uint64_t *value)
{
    *value = ((const struct disk *)context)->counter;
    return OK;
}

static enum status increment_counter(void *context, uint64_t *value)
{
    *value = ++((struct disk *)context)->counter;
    return OK;
}

static enum status start(struct heads *heads, struct disk *disk, uint64_t born, enum heads_verdict *verdict)
{
    const struct heads_outside outside = {.context = disk,
                                          .read_slot = read_slot,
                                          .write_slot = write_slot,
                                          .read_record = read_record,
                                          .write_record = write_record,
                                          .sync_records = sync_records,
                                          .read_counter = read_counter,
                                          .increment_counter = increment_counter};
    memset(heads, 0, sizeof *heads);
    return heads_start(heads, &outside, BYTES_OF(key), born, 1000, verdict);
}

/* One of one byte after the table's first head; where `good` it follows the table. */
static void put_record(struct disk *disk, const uint8_t *slot, uint64_t ahead, bool good)
{
    uint8_t mac[CRYPTO_HASH_MAX];
    struct reader reader = reader_over(bytes_from(slot + TABLE_LEN + HEADS_SITE_LEN, 8));
    const uint64_t sequence = take_u64be(&reader) + ahead;
    uint8_t *place = disk->records[sequence % HEADS_RECORDS];
    struct writer writer = writer_over(place, HEADS_PLACE_LEN);
    put_bytes(&writer, bytes_from(slot + TABLE_LEN, HEADS_SITE_LEN));
    put_u64be(&writer, sequence);
    put_u64be(&writer, 1);
    put_u8(&writer, 'r');
    const struct bytes parts[] = {bytes_from_text("bastide record"), bytes_from(slot + 8 + 3 * 8, 16),
                                  writer_bytes(&writer)};
    hold(crypto_hmac(CRYPTO_SHA256, BYTES_OF(key), parts, 3, mac) == OK);
    memcpy(place + HEADS_PLACE_LEN - 32, mac, good ? 32 : 31);
}

/* One byte of flags, then as much of the slot as there is: the front of a table and its first records. */
static void fill(struct disk *disk, unsigned slot, struct reader *reader)
{
    uint8_t flags = take_u8(reader), mac[CRYPTO_HASH_MAX];
    struct bytes front = take_bytes(reader, flags & 1 ? TABLE_LEN : TABLE_LEN + 2 * 56 + 16);
    struct writer writer = writer_over(disk->slots[slot], BODY_LEN);
    put_bytes(&writer, front);
    if (flags & 16) { /* its first head names the record that is there, of one byte */
        const struct bytes record = bytes_from("r", 1);
        uint8_t *head = disk->slots[slot] + TABLE_LEN;
        put_record(disk, disk->slots[slot], 0, true);
        hold(crypto_hash(CRYPTO_SHA256, &record, 1, head + 24) == OK);
    }
    for (uint64_t i = 0; flags & 32 && i < 3; i++)
        put_record(disk, disk->slots[slot], 1 + i, !(flags & 64) || i != 1);
    disk->slots[slot][8] &= 0x7f; /* nor does a generation, which grows by one a commit */
    struct bytes body = BYTES_OF(disk->slots[slot]);
    body.len = BODY_LEN;
    if (flags & 2) {
        hold(crypto_hmac(CRYPTO_SHA256, BYTES_OF(key), &body, 1, mac) == OK);
        memcpy(disk->slots[slot] + BODY_LEN, mac, 32);
    }
    disk->lens[slot] = flags & 4 ? 0 : flags & 8 ? HEADS_SLOT_LEN - 1 : HEADS_SLOT_LEN;
}

static void use(struct heads *heads, struct disk *disk, uint64_t born)
{
    static struct heads again;
    enum heads_verdict verdict = HEADS_OUTSIDE;
    struct head head = {.site = {7}}, found;
    heads_get(heads, head.site, &found);
    head.sequence = found.sequence + 1;
    head.hash[0] = 5;
    enum status status = heads_advance(heads, &head, (struct bytes){0}, HEADS_DURABLE, 2000);
    hold(status == OK || (status == NO_ROOM && heads_count(heads) == HEADS_SITES_MAX) ||
         (status == WRONG_STATE && head.sequence == 0));
    hold(heads_check_lease(heads) == OK);
    uint64_t counter = disk->counter;
    status = start(&again, disk, born, &verdict);
    hold(status == OK && verdict == HEADS_GOOD && disk->counter == counter + 1);
    hold(again.places == heads->places);
    heads_get(heads, head.site, &head);
    heads_get(&again, head.site, &found);
    hold(found.sequence == head.sequence && memcmp(found.hash, head.hash, sizeof head.hash) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct disk disk;
    static struct heads heads;
    enum heads_verdict verdict = HEADS_GOOD;
    struct reader reader = reader_over(bytes_from(data, len));
    memset(&disk, 0, sizeof disk);
    disk.counter = take_u64be(&reader); /* a TPM's does not come near its end */
    uint64_t born = take_u8(&reader) & 1 ? disk.counter : 1;
    fill(&disk, 0, &reader);
    fill(&disk, 1, &reader);
    uint64_t before = disk.counter;
    if (reader.status != OK || before > UINT64_MAX / 2)
        return 0;
    if (start(&heads, &disk, born, &verdict) == OK) {
        hold(verdict == HEADS_GOOD && disk.counter > before);
        use(&heads, &disk, born);
    } else {
        hold(verdict != HEADS_GOOD && heads_sentence(verdict) && heads_exit_code(verdict) > 0);
        if (heads_reinitialise(&heads, 3000) == OK)
            use(&heads, &disk, born);
    }
    heads_done(&heads);
    return 0;
}
