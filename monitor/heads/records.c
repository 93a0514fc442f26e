/* A site's last records, in places of HEADS_PLACE_LEN: site, u64 sequence, u64 length, the record; in the last 32 bytes
 * a MAC over these and the nonce of the table that the record follows. Numbers are big-endian. */
#include "heads_internal.h"

#include <string.h>

#define FRONT_LEN (HEADS_SITE_LEN + 2 * 8)
#define BODY_LEN (HEADS_PLACE_LEN - HEADS_MAC_LEN)

_Static_assert(FRONT_LEN + HEADS_RECORD_MAX == BODY_LEN, "a place holds the longest record");

enum status record_is_named(struct bytes record, const uint8_t hash[32], bool *named)
{
    uint8_t own[CRYPTO_HASH_MAX];
    TRY(crypto_hash(CRYPTO_SHA256, &record, 1, own));
    *named = memcmp(own, hash, 32) == 0;
    return OK;
}

/* No slot begins like this. */
static enum status mac_of(const struct heads *heads, struct bytes said, uint8_t mac[CRYPTO_HASH_MAX])
{
    const struct bytes parts[] = {bytes_from_text("bastide record"), BYTES_OF(heads->nonce), said};
    return crypto_hmac(CRYPTO_SHA256, BYTES_OF(heads->key), parts, sizeof parts / sizeof *parts, mac);
}

/* One of before they had MACs may have up to 4,064 bytes, over the place of that. */
enum status record_read(const struct heads *heads, size_t place, const uint8_t site[HEADS_SITE_LEN], uint64_t sequence,
                        uint8_t data[HEADS_PLACE_LEN], struct bytes *record)
{
    TRY(heads->outside.read_record(heads->outside.context, place, sequence % HEADS_RECORDS, data));
    struct reader reader = reader_over(bytes_from(data, HEADS_PLACE_LEN));
    const bool its = bytes_equal(take_bytes(&reader, HEADS_SITE_LEN), bytes_from(site, HEADS_SITE_LEN));
    const bool it = take_u64be(&reader) == sequence;
    *record = take_bytes(&reader, take_u64be(&reader));
    return its && it && reader.status == OK && record->len ? OK : NOT_FOUND;
}

enum status record_make(const struct heads *heads, const struct head *head, struct bytes record,
                        uint8_t data[HEADS_PLACE_LEN])
{
    uint8_t mac[CRYPTO_HASH_MAX];
    struct writer writer = writer_over(data, BODY_LEN);
    memset(data, 0, HEADS_PLACE_LEN);
    put_bytes(&writer, BYTES_OF(head->site));
    put_u64be(&writer, head->sequence);
    put_u64be(&writer, record.len);
    put_bytes(&writer, record);
    TRY(writer_end(&writer));
    TRY(mac_of(heads, writer_bytes(&writer), mac));
    memcpy(data + BODY_LEN, mac, HEADS_MAC_LEN);
    return OK;
}

enum status record_follow(const struct heads *heads, size_t place, struct head *head, uint8_t data[HEADS_PLACE_LEN])
{
    struct bytes record;
    uint8_t mac[CRYPTO_HASH_MAX];
    TRY(record_read(heads, place, head->site, head->sequence + 1, data, &record));
    if (record.len > HEADS_RECORD_MAX)
        return NOT_FOUND;
    TRY(mac_of(heads, bytes_from(data, FRONT_LEN + record.len), mac));
    if (!ct_equal(mac, data + BODY_LEN, HEADS_MAC_LEN))
        return NOT_FOUND;
    TRY(crypto_hash(CRYPTO_SHA256, &record, 1, mac));
    memcpy(head->hash, mac, sizeof head->hash);
    head->sequence++;
    return OK;
}
