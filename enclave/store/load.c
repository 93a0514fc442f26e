/* Loading what the host kept, and the reasons to refuse it. Nothing is of use before the monitor's head was reached. */
#include "store_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MERGED_MAX (256u << 10) /* bytes of records that are applied together: a few times that in memory */

static const char *const titles[] = {
    [STORE_ACCEPTED] = "",
    [STORE_EMPTY] = "the store is empty although this site has history",
    [STORE_ROLLED_BACK] = "the store was rolled back",
    [STORE_GAP] = "the store's log is not in one piece",
    [STORE_FORKED] = "the store is of another history than the one this node confirmed",
    [STORE_AHEAD] = "the store is further than this node ever confirmed",
    [STORE_TAMPERED] = "the store was tampered with",
    [STORE_FOREIGN] = "the store belongs to another site",
    [STORE_OTHER_SIGNER] = "the store belongs to another program",
    [STORE_OTHER_MEASUREMENT] = "the store belongs to another build of the program",
    [STORE_NEWER] = "the store was written by a newer program",
    [STORE_UNFIT] = "the store's records contradict its tables",
};

void store_merge_done(struct store *store)
{
    sqlite3changegroup_delete(store->merged);
    store->merged = NULL;
    store->merged_bytes = 0;
}

/* No call leads to the tables any more; they go when the caller closes. */
static void end(struct store *store)
{
    store->state = STORE_FAILED;
    store_merge_done(store);
    store_pending_free(store);
    store_archive_done(store);
    store_segment_done(&store->opening);
}

enum status store_fail(struct store *store, enum status status)
{
    end(store);
    snprintf(store->sentence, sizeof store->sentence, "the store cannot be used: %s", status_word(status));
    return status;
}

enum status store_refuse(struct store *store, enum store_refusal refusal, const char *format, ...)
{
    end(store);
    store->refusal = refusal;
    int len = snprintf(store->sentence, sizeof store->sentence, "%s: ", titles[refusal]);
    va_list args;
    va_start(args, format);
    vsnprintf(store->sentence + len, sizeof store->sentence - (size_t)len, format, args);
    va_end(args);
    return DENIED;
}

enum store_refusal store_refused(const struct store *store)
{
    return store->refusal;
}

const char *store_refused_sentence(const struct store *store)
{
    return store->sentence;
}

int store_refused_exit_code(const struct store *store)
{
    switch (store->refusal) {
    case STORE_ACCEPTED:
        return store->state == STORE_FAILED ? 1 : 0;
    case STORE_UNFIT:
        return 1;
    case STORE_EMPTY:
    case STORE_ROLLED_BACK:
    case STORE_GAP:
    case STORE_FORKED:
    case STORE_AHEAD:
        return 7;
    case STORE_TAMPERED:
    case STORE_FOREIGN:
    case STORE_OTHER_SIGNER:
    case STORE_OTHER_MEASUREMENT:
    case STORE_NEWER:
        return 8;
    }
    return 1;
}

int store_on_conflict(void *user, int kind, sqlite3_changeset_iter *change)
{
    (void)user, (void)kind, (void)change;
    return SQLITE_CHANGESET_ABORT; /* changes are applied where they were made, so every conflict is a contradiction */
}

enum status store_begin_load(struct store *store)
{
    if (store->state != STORE_KEYLESS)
        return WRONG_STATE;
    TRY(store_segment_start(store));
    TRY(store_limit(store, 2 * store->config.bytes_max));
    store->schema = store_schema_version(store->db);
    store->state = STORE_LOADING;
    return OK;
}

/* The newest record's hash. */
static void remember(struct store *store)
{
    memcpy(store->trail[store->confirmed.sequence % (STORE_AHEAD_MAX + 1)], store->confirmed.hash, MONITOR_HASH_LEN);
}

enum status store_loaded_hash(const struct store *store, uint64_t sequence, uint8_t hash[MONITOR_HASH_LEN])
{
    if (sequence > store->confirmed.sequence || store->confirmed.sequence - sequence > STORE_AHEAD_MAX ||
        sequence < store->trail_from)
        return NOT_FOUND;
    memcpy(hash, store->trail[sequence % (STORE_AHEAD_MAX + 1)], MONITOR_HASH_LEN);
    return OK;
}

/* ---- Snapshot ---- */

/* Page by page into our own database, so that it keeps its limits and lives in ordinary pages. */
static enum status restore(struct store *store, uint8_t *text, size_t len)
{
    sqlite3 *from = NULL;
    TRY(store_database_open(&store->config, &from));
    int code =
        sqlite3_deserialize(from, "main", text, (sqlite3_int64)len, (sqlite3_int64)len, SQLITE_DESERIALIZE_READONLY);
    sqlite3_backup *backup = code == SQLITE_OK ? sqlite3_backup_init(store->db, "main", from, "main") : NULL;
    if (backup) {
        code = sqlite3_backup_step(backup, -1);
        sqlite3_backup_finish(backup);
        if (code == SQLITE_DONE)
            code = SQLITE_OK;
    } else if (code == SQLITE_OK) {
        code = sqlite3_errcode(store->db);
    }
    sqlite3_close(from);
    return store_sql_status(code);
}

enum status store_load_snapshot(struct store *store, struct bytes snapshot)
{
    if (store->state != STORE_LOADING || store->any_snapshot || store->any_record)
        return WRONG_STATE;
    struct store_header header;
    uint8_t *text;
    size_t len;
    TRY(store_open_text(store, STORE_KIND_SNAPSHOT, snapshot, &header, &text, &len));
    enum status status = restore(store, text, len);
    wipe(text, len);
    free(text);
    if (status == NO_ROOM)
        return store_fail(store, NO_ROOM);
    store->schema = store_schema_version(store->db);
    if (status != OK || store->schema != header.schema)
        return store_refuse(store, STORE_UNFIT, "the snapshot at %llu is no database",
                            (unsigned long long)header.head.sequence);
    store->confirmed = header.head;
    store->trail_from = header.head.sequence;
    remember(store);
    store->snapshot_len = snapshot.len;
    store->any_snapshot = true;
    return OK;
}

/* ---- Records ---- */

static enum status check_place(struct store *store, const struct store_header *header)
{
    unsigned long long wanted = store->confirmed.sequence + 1, given = header->head.sequence;
    if (given != wanted)
        return store_refuse(store, STORE_GAP, "record %llu came where %llu must be", given, wanted);
    if (wanted == 1) /* where this history began; the monitor's head tells whether it is the one that counts */
        memcpy(store->confirmed.hash, header->head.hash, MONITOR_HASH_LEN), remember(store);
    if (memcmp(header->head.hash, store->confirmed.hash, MONITOR_HASH_LEN) != 0)
        return store_refuse(store, STORE_FORKED, "record %llu does not follow the record before it", given);
    if (header->schema < store->schema)
        return store_refuse(store, STORE_UNFIT, "record %llu is of an older schema than the one before it", given);
    return OK;
}

static enum status unfit(struct store *store, enum status status)
{
    if (status == OK)
        return OK;
    if (status == NO_ROOM)
        return store_fail(store, NO_ROOM);
    return store_refuse(store, STORE_UNFIT, "the records from %llu on cannot be applied",
                        (unsigned long long)store->merged_from);
}

static enum status apply_merged(struct store *store)
{
    void *changes = NULL;
    int len = 0;
    if (!store->merged)
        return OK;
    int code = sqlite3changegroup_output(store->merged, &len, &changes);
    if (code == SQLITE_OK)
        code = sqlite3changeset_apply(store->db, len, changes, NULL, store_on_conflict, NULL);
    sqlite3_free(changes);
    store_merge_done(store);
    return unfit(store, store_sql_status(code));
}

/* At once, for otherwise each row would be a transaction of its own. */
static enum status settle(struct store *store)
{
    if (!store->unsettled)
        return OK;
    enum status status = store_run(store_sql(store, STORE_SQL_BEGIN));
    if (status == OK)
        status = store->config.noted.settle(store->config.user, store->db);
    if (status == OK)
        status = store_run(store_sql(store, STORE_SQL_COMMIT));
    store->unsettled = false;
    if (status == OK || status == NO_ROOM)
        return status == OK ? OK : store_fail(store, status);
    return store_refuse(store, STORE_UNFIT, "what was noted up to %llu does not fit its table",
                        (unsigned long long)store->confirmed.sequence);
}

/* Records are of the tables as they were then. */
static enum status reach(struct store *store, const struct store_header *header)
{
    if (header->schema == store->schema)
        return OK;
    TRY(apply_merged(store));
    TRY(settle(store));
    store->merged_from = header->head.sequence;
    TRY(unfit(store, store_migrate(store, header->schema)));
    store->schema = header->schema;
    return OK;
}

/* What many records did to a row is applied as one change: SQLite prepares statements anew each time it applies any,
 * which takes ten times as long as a short record's changes do. Records of patchsets (text[0] is 'P'), as programs
 * before this one wrote, do not mix with those of changesets. That a record contradicts another is seen no more where
 * both are merged: both were sealed here, and the monitor's head is on them. */
static enum status merge(struct store *store, const struct store_header *header, struct bytes changes)
{
    int code = SQLITE_OK;
    if (changes.len == 0)
        return OK;
    if (changes.data[0] != store->merged_kind)
        TRY(apply_merged(store));
    if (!store->merged) {
        store->merged_from = header->head.sequence;
        store->merged_kind = changes.data[0];
        code = sqlite3changegroup_new(&store->merged);
    }
    if (code == SQLITE_OK)
        code = sqlite3changegroup_add(store->merged, (int)changes.len, (void *)(uintptr_t)changes.data);
    store->merged_bytes += changes.len;
    TRY(unfit(store, store_sql_status(code)));
    return store->merged_bytes < MERGED_MAX ? OK : apply_merged(store);
}

/* Notes are applied at once: they are of a table that no record of their time has changes of, and what earlier records
 * changed in it is there, for the schema changed in between. */
static enum status apply_text(struct store *store, const struct store_header *header, struct bytes text)
{
    struct bytes notes = {0}, changes = text;
    TRY(reach(store, header));
    if (!store_is_noted(store, header->schema))
        return merge(store, header, changes);
    enum status status = store_note_take(text, &notes, &changes);
    if (status == OK && notes.len) {
        store->unsettled = true;
        status = store->config.noted.apply(store->config.user, store->db, notes);
    }
    if (status == NO_ROOM)
        return store_fail(store, NO_ROOM);
    if (status != OK)
        return store_refuse(store, STORE_UNFIT, "the notes of record %llu do not fit the ones before",
                            (unsigned long long)header->head.sequence);
    return merge(store, header, changes);
}

enum status store_apply(struct store *store, struct bytes record)
{
    if (store->state != STORE_LOADING)
        return WRONG_STATE;
    if (record.len > STORE_RECORD_MAX)
        return store_refuse(store, STORE_TAMPERED, "a record of %zu bytes is longer than any we seal", record.len);
    struct store_header header;
    uint8_t *text;
    size_t len;
    TRY(store_open_text(store, STORE_KIND_RECORD, record, &header, &text, &len));
    enum status status = check_place(store, &header);
    if (status == OK)
        status = apply_text(store, &header, bytes_from(text, len));
    wipe(text, len);
    free(text);
    TRY(status);
    store->confirmed.sequence = header.head.sequence;
    if (store_hash(record, store->confirmed.hash) != OK)
        return store_fail(store, INTERNAL);
    remember(store);
    store->any_record = true;
    store->log_bytes += record.len;
    store->log_records++;
    return OK;
}

uint64_t store_next_sequence(const struct store *store)
{
    return store->confirmed.sequence + 1;
}

/* ---- The monitor's word ---- */

static enum status check_head(struct store *store, uint64_t sequence, const uint8_t hash[MONITOR_HASH_LEN],
                              bool *beyond)
{
    unsigned long long have = store->confirmed.sequence, head = sequence;
    if (have < head && !store->any_record && !store->any_snapshot)
        return store_refuse(store, STORE_EMPTY, "%llu commits are confirmed; restore the archive of this site", head);
    if (have < head)
        return store_refuse(store, STORE_ROLLED_BACK,
                            "it ends at %llu and %llu is confirmed: an older backup, or a log that was cut", have,
                            head);
    if (have == 0) /* both: the history begins where the monitor says */
        memcpy(store->confirmed.hash, hash, MONITOR_HASH_LEN), remember(store);
    uint8_t own[MONITOR_HASH_LEN];
    if (have - head > store->config.ahead_max || store_loaded_hash(store, head, own) != OK)
        return store_refuse(store, STORE_AHEAD,
                            "it ends at %llu and only %llu is confirmed: the monitor's own table is the older one",
                            have, head);
    if (memcmp(own, hash, MONITOR_HASH_LEN) != 0 && head == 0)
        return store_refuse(store, STORE_FORKED,
                            "nothing is confirmed, and it begins elsewhere: this site was forgotten");
    if (memcmp(own, hash, MONITOR_HASH_LEN) != 0)
        return store_refuse(store, STORE_FORKED, "record %llu is authentic, but not the one that was confirmed", head);
    *beyond = have > head;
    return OK;
}

enum status store_finish_load(struct store *store, uint64_t sequence, const uint8_t hash[MONITOR_HASH_LEN],
                              bool *advance)
{
    if (store->state != STORE_LOADING)
        return WRONG_STATE;
    bool beyond = false;
    TRY(check_head(store, sequence, hash, &beyond));
    TRY(apply_merged(store));
    TRY(settle(store));
    uint32_t wanted = (uint32_t)store->config.migration_count;
    store->schema_changed = store->confirmed.sequence > 0 && store->schema != wanted;
    enum status status = store_migrate(store, wanted);
    store->schema = wanted;
    if (status == OK)
        status = store_limit(store, store->config.bytes_max);
    if (status == OK)
        status = store_session_start(store);
    if (status == OK)
        status = store_archive_load(store);
    if (status != OK)
        return store_fail(store, status);
    store->archive.confirmed = store->archive.sequence;
    store_segment_done(&store->opening);
    store_guard_schema(store);
    store->state = STORE_SERVING;
    *advance = beyond;
    return OK;
}
