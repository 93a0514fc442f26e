/* One archived message as one row. Its text is previous sequence of its source and of its type (8 bytes each, big
 * endian), then the message; sealed by AES-256-GCM under the key of its epoch, its sequence the nonce, the header's
 * other fields authenticated.
 *
 * An epoch begins at a launch, after anything was taken back, and each STORE_EPOCH_MS; its key is derived from the
 * archive's root (a row of the sealed store) and a salt of its own. Within an epoch sequences only grow, so no nonce is
 * used twice; and a sequence belongs to the one epoch in the confirmed tables that began last before it, so a row that
 * was sealed and then taken back does not open. */
#include "store_internal.h"

#include <stdlib.h>
#include <string.h>

#define LINKS_LEN 16u

/* ---- Secrets: the root, and what is derived from it ---- */

static enum status derive(const uint8_t root[MONITOR_KEY_LEN], struct bytes salt, const char *what,
                          uint8_t key[MONITOR_KEY_LEN])
{
    uint8_t prk[CRYPTO_HASH_MAX];
    enum status status = crypto_hkdf_extract(CRYPTO_SHA256, salt, bytes_from(root, MONITOR_KEY_LEN), prk);
    if (status == OK)
        status = crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, 32), bytes_from_text(what), key, MONITOR_KEY_LEN);
    wipe(prk, sizeof prk);
    return status;
}

/* NOT_FOUND: nothing was ever archived. */
static enum status load_root(struct store *store)
{
    sqlite3_stmt *get = store_sql(store, STORE_SQL_ROOT_GET);
    if (!get)
        return NO_ROOM;
    int code = sqlite3_step(get);
    enum status status = code == SQLITE_DONE ? NOT_FOUND : store_sql_status(code);
    if (status == OK && sqlite3_column_bytes(get, 0) != MONITOR_KEY_LEN)
        status = INTERNAL;
    if (status == OK)
        memcpy(store->archive.root, sqlite3_column_blob(get, 0), MONITOR_KEY_LEN);
    sqlite3_reset(get);
    return status;
}

static enum status make_root(struct store *store)
{
    uint8_t root[MONITOR_KEY_LEN];
    TRY(crypto_random(root, sizeof root));
    sqlite3_stmt *put = store_sql(store, STORE_SQL_ROOT_PUT);
    if (put)
        sqlite3_bind_blob(put, 1, root, sizeof root, SQLITE_STATIC);
    enum status status = store_run(put);
    if (status == OK)
        memcpy(store->archive.root, root, sizeof root);
    wipe(root, sizeof root);
    return status;
}

enum status store_archive_secrets(struct store *store, bool make)
{
    if (store->archive.secrets_ready)
        return OK;
    enum status status = load_root(store);
    if (status == NOT_FOUND && make)
        status = make_root(store);
    if (status == OK)
        status =
            derive(store->archive.root, (struct bytes){0}, "bastide archive blind index", store->archive.blind_key);
    store->archive.secrets_ready = status == OK;
    return status;
}

void store_blind_index(const struct store *store, enum store_chain chain, struct bytes name,
                       uint8_t blind[DOOR_BLIND_LEN])
{
    memset(blind, 0, DOOR_BLIND_LEN);
    if (chain == STORE_CHAIN_ALL)
        return;
    uint8_t full[CRYPTO_HASH_MAX] = {0};
    const struct bytes parts[] = {bytes_from(chain == STORE_CHAIN_SOURCE ? "source" : "type__", 6), name};
    if (crypto_hmac(CRYPTO_SHA256, BYTES_OF(store->archive.blind_key), parts, 2, full) == OK)
        memcpy(blind, full, DOOR_BLIND_LEN);
}

/* ---- Epochs ---- */

static enum status epoch_ready(struct store *store, struct store_epoch *epoch, uint64_t first_sequence,
                               struct bytes salt)
{
    uint8_t key[MONITOR_KEY_LEN];
    crypto_aead_done(&epoch->aead);
    epoch->ready = false;
    enum status status = derive(store->archive.root, salt, "bastide archive epoch", key);
    if (status == OK)
        status = crypto_aead_init(&epoch->aead, CRYPTO_A256GCM, BYTES_OF(key));
    wipe(key, sizeof key);
    epoch->first_sequence = first_sequence;
    epoch->ready = status == OK;
    return status;
}

static enum status epoch_begin(struct store *store, const struct store_message *message)
{
    struct store_epoch *epoch = &store->archive.sealing;
    uint64_t period = message->now_ms / STORE_EPOCH_MS;
    if (epoch->ready && period <= epoch->period)
        return OK;
    uint8_t salt[MONITOR_KEY_LEN];
    TRY(crypto_random(salt, sizeof salt));
    sqlite3_stmt *put = store_sql(store, STORE_SQL_EPOCH_PUT);
    if (put) {
        sqlite3_bind_int64(put, 1, (sqlite3_int64)message->sequence);
        sqlite3_bind_blob(put, 2, salt, sizeof salt, SQLITE_STATIC);
    }
    TRY(store_run(put));
    epoch->period = period;
    return epoch_ready(store, epoch, message->sequence, BYTES_OF(salt));
}

enum status store_epoch_find(struct store *store, uint64_t sequence, struct crypto_aead **aead)
{
    struct store_epoch *epoch = &store->archive.opening;
    TRY(store_archive_secrets(store, false)); /* a walk goes on after something was taken back */
    sqlite3_stmt *get = store_sql(store, STORE_SQL_EPOCH_GET);
    if (!get)
        return NO_ROOM;
    sqlite3_bind_int64(get, 1, (sqlite3_int64)sequence);
    int code = sqlite3_step(get);
    enum status status = code == SQLITE_DONE ? NOT_FOUND : store_sql_status(code);
    if (status == OK) {
        uint64_t first = (uint64_t)sqlite3_column_int64(get, 0);
        if (!epoch->ready || epoch->first_sequence != first)
            status = epoch_ready(store, epoch, first,
                                 bytes_from(sqlite3_column_blob(get, 1), (size_t)sqlite3_column_bytes(get, 1)));
    }
    sqlite3_reset(get);
    if (status == OK)
        *aead = &epoch->aead;
    return status;
}

/* ---- Chains: the newest sequence of everything, of each source, of each type ---- */

enum status store_chain_get(struct store *store, enum store_chain chain, const uint8_t *blind, uint64_t *sequence)
{
    sqlite3_stmt *get = store_sql(store, STORE_SQL_CHAIN_GET);
    if (!get)
        return NO_ROOM;
    sqlite3_bind_int(get, 1, (int)chain);
    sqlite3_bind_blob(get, 2, blind, DOOR_BLIND_LEN, SQLITE_STATIC);
    int code = sqlite3_step(get);
    if (code == SQLITE_ROW)
        *sequence = (uint64_t)sqlite3_column_int64(get, 0);
    else if (code == SQLITE_DONE)
        *sequence = 0;
    sqlite3_reset(get);
    return store_sql_status(code);
}

static enum status chain_put(struct store *store, enum store_chain chain, const uint8_t *blind, uint64_t sequence)
{
    sqlite3_stmt *put = store_sql(store, STORE_SQL_CHAIN_PUT);
    if (put) {
        sqlite3_bind_int(put, 1, (int)chain);
        sqlite3_bind_blob(put, 2, blind, DOOR_BLIND_LEN, SQLITE_STATIC);
        sqlite3_bind_int64(put, 3, (sqlite3_int64)sequence);
    }
    return store_run(put);
}

/* ---- In step with commits ---- */

enum status store_archive_load(struct store *store)
{
    static const uint8_t all[DOOR_BLIND_LEN];
    return store_chain_get(store, STORE_CHAIN_ALL, all, &store->archive.sequence);
}

void store_archive_confirm(struct store *store, uint64_t sequence)
{
    size_t count = (size_t)(sequence - store->archive.confirmed);
    size_t kept = (size_t)(store->archive.sequence - sequence);
    if (count && kept)
        memmove(store->archive.previous, store->archive.previous + count, kept * sizeof store->archive.previous[0]);
    store->archive.confirmed = sequence;
}

void store_archive_forget(struct store *store)
{
    crypto_aead_done(&store->archive.sealing.aead);
    crypto_aead_done(&store->archive.opening.aead);
    store->archive.sealing = store->archive.opening = (struct store_epoch){0};
    wipe(store->archive.root, sizeof store->archive.root);
    wipe(store->archive.blind_key, sizeof store->archive.blind_key);
    store->archive.secrets_ready = false;
}

void store_archive_done(struct store *store)
{
    store_archive_forget(store);
    free(store->archive.previous);
    store->archive.previous = NULL;
    store->archive.previous_cap = 0;
}

static enum status remember_previous(struct store *store, struct store_previous previous)
{
    size_t at = (size_t)(store->archive.sequence - store->archive.confirmed);
    if (at == store->archive.previous_cap) {
        size_t cap = at ? 2 * at : 64;
        struct store_previous *grown = realloc(store->archive.previous, cap * sizeof *grown);
        if (!grown)
            return NO_ROOM;
        store->archive.previous = grown;
        store->archive.previous_cap = cap;
    }
    store->archive.previous[at] = previous;
    return OK;
}

uint64_t store_archive_sequence(const struct store *store)
{
    return store->archive.sequence;
}

uint64_t store_archive_confirmed(const struct store *store)
{
    return store->archive.confirmed;
}

/* ---- Seal ---- */

void store_row_aad(const struct door_row *row, uint8_t aad[STORE_ROW_AAD_LEN], uint8_t nonce[12])
{
    struct writer out = writer_over(aad, STORE_ROW_AAD_LEN);
    put_text(&out, "bst row1");
    put_u64be(&out, row->sequence);
    put_u64be(&out, row->bucket_s);
    put_bytes(&out, BYTES_OF(row->source));
    put_bytes(&out, BYTES_OF(row->type));
    out = writer_over(nonce, 12);
    put_u32be(&out, 0);
    put_u64be(&out, row->sequence);
}

static size_t padded(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

size_t store_row_len(const struct store_message *message)
{
    return sizeof(struct door_row) + padded(LINKS_LEN + message->message.len + STORE_TAG_LEN);
}

/* Room was checked: this cannot stop half way but for a failure of libcrypto. */
static enum status write_row(struct store *store, const struct door_row *row, struct store_previous previous,
                             struct bytes message, struct writer *rows)
{
    uint8_t aad[STORE_ROW_AAD_LEN], nonce[12];
    store_row_aad(row, aad, nonce);
    put_bytes(rows, bytes_from(row, sizeof *row));
    uint8_t *place = put_space(rows, padded(row->len));
    if (!place)
        return INTERNAL;
    memset(place, 0, padded(row->len));
    struct writer text = writer_over(place, row->len);
    put_u64be(&text, previous.source);
    put_u64be(&text, previous.type);
    put_bytes(&text, message);
    struct writer sealed = writer_over(place, row->len);
    return crypto_aead_seal(&store->archive.sealing.aead, BYTES_OF(nonce), BYTES_OF(aad), writer_bytes(&text), &sealed);
}

/* The row and the tables that know of it; the caller undoes both when it fails. */
static enum status add_row(struct store *store, const struct store_message *message, struct writer *rows)
{
    static const uint8_t all[DOOR_BLIND_LEN];
    TRY(store_archive_secrets(store, true));
    TRY(epoch_begin(store, message));
    struct door_row row = {
        .sequence = message->sequence,
        .bucket_s = message->time_ms / 3600000 * 3600,
        .len = (uint32_t)(LINKS_LEN + message->message.len + STORE_TAG_LEN),
    };
    store_blind_index(store, STORE_CHAIN_SOURCE, message->source, row.source);
    store_blind_index(store, STORE_CHAIN_TYPE, message->type, row.type);
    struct store_previous previous;
    TRY(store_chain_get(store, STORE_CHAIN_SOURCE, row.source, &previous.source));
    TRY(store_chain_get(store, STORE_CHAIN_TYPE, row.type, &previous.type));
    TRY(chain_put(store, STORE_CHAIN_SOURCE, row.source, row.sequence));
    TRY(chain_put(store, STORE_CHAIN_TYPE, row.type, row.sequence));
    TRY(chain_put(store, STORE_CHAIN_ALL, all, row.sequence));
    TRY(remember_previous(store, previous));
    return write_row(store, &row, previous, message->message, rows);
}

enum status store_row_seal(struct store *store, const struct store_message *message, struct writer *rows)
{
    if (store->state != STORE_SERVING || message->sequence != store->archive.sequence + 1)
        return WRONG_STATE;
    if (message->source.len == 0 || message->source.len > STORE_NAME_MAX || message->type.len == 0 ||
        message->type.len > STORE_NAME_MAX || message->message.len > STORE_MESSAGE_MAX)
        return NO_ROOM;
    if (rows->status != OK || rows->cap - rows->len < store_row_len(message))
        return NO_ROOM;
    size_t before = rows->len;
    TRY(store_sql_status(sqlite3_exec(store->db, "SAVEPOINT store_row", NULL, NULL, NULL)));
    enum status status = add_row(store, message, rows);
    if (status == OK)
        status = store_sql_status(sqlite3_exec(store->db, "RELEASE store_row", NULL, NULL, NULL));
    if (status != OK) {
        /* A row may have been sealed and then not handed out: another epoch makes its nonce nobody's. */
        store_archive_forget(store);
        wipe(rows->data + before, rows->len - before);
        rows->len = before;
        rows->status = OK;
        if (sqlite3_exec(store->db, "ROLLBACK TO store_row; RELEASE store_row", NULL, NULL, NULL) != SQLITE_OK &&
            !sqlite3_get_autocommit(store->db))
            return store_fail(store, INTERNAL);
        return status;
    }
    store->archive.sequence = message->sequence;
    return OK;
}
