/* A site around a store: a monitor that derives keys by the rules of abi/monitor.h and keeps the head, and a host that
 * keeps what it is given. Tests bend either. */
#ifndef BASTIDE_TESTS_STORE_RIG_H
#define BASTIDE_TESTS_STORE_RIG_H

#include "crypto.h"
#include "store.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define RIG_LOG_MAX 256

struct rig {
    uint8_t root[32];               /* the node's sealing root */
    struct monitor_seal_inputs own; /* who the enclave is; policy and salt aside */
    enum monitor_seal_policy policy;
    size_t bytes_max, log_records, ahead_max;
    const char *const *migrations;
    size_t migration_count;
    struct store_noted noted; /* `user` is the rig */

    struct store *store;
    bool advance;
    struct bytes log[RIG_LOG_MAX]; /* log[i] has sequence base + i + 1; owned */
    size_t log_count;
    uint64_t base;
    struct bytes snapshot; /* owned; its sequence is base at the time */
    uint64_t sequence;     /* the monitor's head */
    uint8_t hash[32];
};

static inline struct bytes rig_copy(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.len + 1);
    if (!copy)
        abort();
    if (bytes.len)
        memcpy(copy, bytes.data, bytes.len);
    return bytes_from(copy, bytes.len);
}

static inline void rig_drop(struct bytes *bytes)
{
    free((void *)(uintptr_t)bytes->data);
    *bytes = (struct bytes){0};
}

static inline bool rig_may_open(const struct rig *rig, const struct monitor_seal_inputs *inputs)
{
    if (memcmp(inputs->config, rig->own.config, 32) != 0 || inputs->security_version > rig->own.security_version)
        return false;
    if (inputs->policy == MONITOR_SEAL_EXACT)
        return memcmp(inputs->measurement, rig->own.measurement, 32) == 0;
    return inputs->policy == MONITOR_SEAL_SIGNER && memcmp(inputs->signer, rig->own.signer, 32) == 0;
}

static inline enum status rig_key(void *user, uint32_t open, struct monitor_seal_inputs *inputs, uint8_t key[32])
{
    const struct rig *rig = user;
    if (!open) {
        uint32_t policy = inputs->policy;
        *inputs = rig->own;
        inputs->policy = policy;
        memset(policy == MONITOR_SEAL_EXACT ? inputs->signer : inputs->measurement, 0, 32);
        TRY(crypto_random(inputs->salt, sizeof inputs->salt));
    } else if (!rig_may_open(rig, inputs)) {
        return DENIED;
    }
    struct bytes part = bytes_from(inputs, sizeof *inputs);
    return crypto_hmac(CRYPTO_SHA256, BYTES_OF(rig->root), &part, 1, key);
}

static const char *const rig_migrations[] = {
    "CREATE TABLE item(name TEXT PRIMARY KEY NOT NULL, value BLOB, size INTEGER) STRICT;"
    "CREATE TABLE pair(a INTEGER NOT NULL, b INTEGER NOT NULL, text TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID, STRICT;"
    "CREATE INDEX item_by_size ON item(size);",
    "ALTER TABLE item ADD COLUMN note TEXT; CREATE TABLE more(id INTEGER PRIMARY KEY NOT NULL, x REAL) STRICT;"
    "INSERT INTO more SELECT rowid, 0.5 FROM item;",
};

static inline struct rig rig_new(uint8_t site)
{
    struct rig rig = {.migrations = rig_migrations, .migration_count = 1};
    memset(rig.root, 7, sizeof rig.root);
    memset(rig.own.config, site, sizeof rig.own.config);
    memset(rig.own.signer, 2, sizeof rig.own.signer);
    memset(rig.own.measurement, 3, sizeof rig.own.measurement);
    rig.own.security_version = 5;
    return rig;
}

static inline void rig_stop(struct rig *rig)
{
    store_close(rig->store);
    rig->store = NULL;
}

static inline void rig_free(struct rig *rig)
{
    rig_stop(rig);
    for (size_t i = 0; i < rig->log_count; i++)
        rig_drop(&rig->log[i]);
    rig_drop(&rig->snapshot);
}

static inline enum status rig_open(struct rig *rig)
{
    rig_stop(rig);
    const struct store_config config = {.migrations = rig->migrations,
                                        .migration_count = rig->migration_count,
                                        .policy = rig->policy,
                                        .bytes_max = rig->bytes_max,
                                        .log_records = rig->log_records,
                                        .ahead_max = rig->ahead_max,
                                        .noted = rig->noted,
                                        .key = rig_key,
                                        .user = rig};
    TRY(store_open(&rig->store, &config));
    return store_begin_load(rig->store);
}

/* A launch: everything the host has, in order. */
static inline enum status rig_start(struct rig *rig)
{
    TRY(rig_open(rig));
    if (rig->snapshot.len)
        TRY(store_load_snapshot(rig->store, rig->snapshot));
    for (size_t i = 0; i < rig->log_count; i++)
        TRY(store_apply(rig->store, rig->log[i]));
    return store_finish_load(rig->store, rig->sequence, rig->hash, &rig->advance);
}

/* The host took the record and the monitor did not hear of it yet. */
static inline enum status rig_seal(struct rig *rig, bool keep)
{
    struct bytes record;
    TRY(store_seal(rig->store, &record));
    if (record.len == 0)
        return NOT_FOUND;
    if (keep && rig->log_count < RIG_LOG_MAX)
        rig->log[rig->log_count++] = rig_copy(record);
    return OK;
}

static inline void rig_confirm(struct rig *rig)
{
    if (store_pending_head(rig->store, &rig->sequence, rig->hash) == OK)
        store_confirm(rig->store);
}

static inline enum status rig_commit(struct rig *rig)
{
    TRY(rig_seal(rig, true));
    rig_confirm(rig);
    return OK;
}

/* A snapshot, put and in force: the log before it goes. */
static inline enum status rig_compact(struct rig *rig)
{
    struct bytes snapshot;
    TRY(store_snapshot(rig->store, &snapshot));
    rig_drop(&rig->snapshot);
    rig->snapshot = rig_copy(snapshot);
    store_snapshot_done(rig->store);
    store_snapshot_synced(rig->store, true);
    size_t drop = (size_t)(store_confirmed_sequence(rig->store) - rig->base);
    for (size_t i = 0; i < drop; i++)
        rig_drop(&rig->log[i]);
    memmove(rig->log, rig->log + drop, (rig->log_count - drop) * sizeof rig->log[0]);
    rig->log_count -= drop;
    rig->base += drop;
    return OK;
}

static inline int rig_sql(struct rig *rig, const char *text)
{
    return sqlite3_exec(store_database(rig->store), text, NULL, NULL, NULL);
}

#endif
