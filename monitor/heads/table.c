/* A slot's bytes. What is on disk is public but for nobody's changing: everything read is checked by its MAC first. */
#include "heads_internal.h"

#include <string.h>

#define HEAD_LEN (HEADS_SITE_LEN + 8 + 32)
#define BODY_LEN (HEADS_SLOT_LEN - HEADS_MAC_LEN)

/* The second since a head may be further than the table says: who knows the first alone would take the older one. */
static const uint8_t first_magic[TABLE_MAGIC_LEN] = "BSTDHEA1";
const uint8_t table_magic[TABLE_MAGIC_LEN] = "BSTDHEA2";

_Static_assert(8 + 3 * 8 + 2 * HEADS_NONCE_LEN + 8 + HEADS_SITES_MAX * HEAD_LEN + 2 * 8 <= BODY_LEN,
               "a slot holds every site");

static enum status mac_of(const struct heads *heads, const uint8_t *data, uint8_t mac[CRYPTO_HASH_MAX])
{
    const struct bytes body = bytes_from(data, BODY_LEN);
    return crypto_hmac(CRYPTO_SHA256, BYTES_OF(heads->key), &body, 1, mac);
}

enum status table_encode(const struct heads *heads, const struct table *table, uint8_t data[HEADS_SLOT_LEN])
{
    uint8_t mac[CRYPTO_HASH_MAX];
    struct writer writer = writer_over(data, BODY_LEN);
    memset(data, 0, HEADS_SLOT_LEN);
    put_bytes(&writer, BYTES_OF(table_magic));
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
    TRY(writer_end(&writer));
    TRY(mac_of(heads, data, mac));
    memcpy(data + BODY_LEN, mac, HEADS_MAC_LEN);
    return OK;
}

static void take_into(struct reader *reader, uint8_t *out, size_t len)
{
    struct bytes value = take_bytes(reader, len);
    if (value.len == len)
        memcpy(out, value.data, len);
}

bool table_decode(const struct heads *heads, const uint8_t data[HEADS_SLOT_LEN], struct table *table)
{
    uint8_t mac[CRYPTO_HASH_MAX];
    if (mac_of(heads, data, mac) != OK || !ct_equal(mac, data + BODY_LEN, HEADS_MAC_LEN))
        return false;
    struct reader reader = reader_over(bytes_from(data, BODY_LEN));
    const struct bytes magic = take_bytes(&reader, TABLE_MAGIC_LEN);
    table->first = bytes_equal(magic, BYTES_OF(first_magic));
    const bool ours = table->first || bytes_equal(magic, BYTES_OF(table_magic));
    table->generation = take_u64be(&reader);
    table->counter = take_u64be(&reader);
    table->since_s = take_u64be(&reader);
    take_into(&reader, table->nonce, HEADS_NONCE_LEN);
    take_into(&reader, table->ahead, HEADS_NONCE_LEN);
    table->places = take_u64be(&reader);
    if (!ours || table->places > HEADS_SITES_MAX)
        return false;
    for (size_t i = 0; i < table->places; i++) {
        take_into(&reader, table->heads[i].site, HEADS_SITE_LEN);
        table->heads[i].sequence = take_u64be(&reader);
        take_into(&reader, table->heads[i].hash, 32);
    }
    table->epoch = take_u64be(&reader);
    table->written = table->first ? take_u64be(&reader) : 0;
    return reader.status == OK;
}
