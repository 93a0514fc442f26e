/* From changes to records: one session spans a group; what is sealed keeps its changeset, which can be inverted, until
 * it is confirmed. The record carries the same one: without old values, as a patchset, it would be shorter, and take as
 * long again to make, a third of a commit. */
#include "store_internal.h"

#include <stdlib.h>
#include <string.h>

#define LOG_MIN (1u << 20) /* of a log that is worth a snapshot */

static void saw_nothing(struct store *store)
{
    store->changes = sqlite3_total_changes64(store->db);
    store->passed = 0;
}

enum status store_session_start(struct store *store)
{
    sqlite3_session *session = NULL;
    int code = sqlite3session_create(store->db, "main", &session);
    if (code != SQLITE_OK)
        return store_sql_status(code);
    sqlite3session_table_filter(session, store_is_watched, store);
    int count = 1; /* let it add up how large its changes will be */
    code = sqlite3session_object_config(session, SQLITE_SESSION_OBJCONFIG_SIZE, &count);
    if (code == SQLITE_OK)
        code = sqlite3session_attach(session, NULL);
    if (code != SQLITE_OK) {
        sqlite3session_delete(session);
        return store_sql_status(code);
    }
    store->session = session;
    saw_nothing(store);
    return OK;
}

static void session_end(struct store *store)
{
    if (store->session)
        sqlite3session_delete(store->session);
    store->session = NULL;
}

static void pending_drop(struct store *store, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        sqlite3_free(store->pending[i].changeset);
    store->pending_count -= count;
    memmove(store->pending + first, store->pending + first + count,
            (store->pending_count - first) * sizeof store->pending[0]);
}

void store_pending_free(struct store *store)
{
    pending_drop(store, 0, store->pending_count);
}

static const struct store_head *newest(const struct store *store)
{
    return store->pending_count ? &store->pending[store->pending_count - 1].head : &store->confirmed;
}

/* ---- A group's transaction ---- */

void store_begin(struct store *store)
{
    if (store->state == STORE_SERVING && !store->grouped && sqlite3_get_autocommit(store->db))
        store->grouped = store_run(store_sql(store, STORE_SQL_BEGIN)) == OK;
}

/* An error may have made SQLite take back all that the group did so far: then nothing of it may be sealed. */
static enum status check_group(const struct store *store)
{
    const bool none = sqlite3_get_autocommit(store->db);
    if (store->grouped)
        return none ? INTERNAL : OK;
    return none ? OK : WRONG_STATE;
}

static enum status end_group(struct store *store)
{
    if (store->grouped)
        TRY(store_run(store_sql(store, STORE_SQL_COMMIT)));
    store->grouped = false;
    return OK;
}

/* ---- Seal ---- */

/* Every row that a session could have seen was counted, whatever became of the session. To be told by a changeset takes
 * as long as a simple command does. */
static bool saw_changes(const struct store *store)
{
    return sqlite3_total_changes64(store->db) - store->changes != store->passed ||
           !sqlite3session_isempty(store->session);
}

/* What the session saw, which may come to nothing; the next group has a new one, before anything of this is given up.
 * One that saw nothing goes on: it takes as long to be made as a short record to be sealed. */
static enum status take_changes(struct store *store, struct store_pending *pending)
{
    if (!saw_changes(store)) {
        saw_nothing(store);
        return OK;
    }
    TRY(store_sql_status(sqlite3session_changeset(store->session, &pending->len, &pending->changeset)));
    return store_session_start(store);
}

static enum status seal_record(struct store *store, struct store_pending *pending)
{
    struct bytes text;
    TRY(store_note_text(store, bytes_from(pending->changeset, (size_t)pending->len), &text));
    if (text.len > STORE_RECORD_MAX - STORE_HEADER_LEN - STORE_TAG_LEN)
        return NO_ROOM;
    pending->record_len = STORE_HEADER_LEN + text.len + STORE_TAG_LEN;
    uint8_t *record = malloc(pending->record_len);
    if (!record)
        return NO_ROOM;
    struct writer out = writer_over(record, pending->record_len);
    struct store_head head = *newest(store);
    head.sequence++;
    enum status status = store_seal_text(store, STORE_KIND_RECORD, &head, text, &out);
    if (status == OK)
        status = store_hash(writer_bytes(&out), pending->head.hash);
    if (status == OK)
        status = end_group(store); /* last, for notes are taken back by a rollback alone */
    if (status != OK) {
        free(record);
        return status;
    }
    pending->head.sequence = head.sequence;
    free(store->record);
    store->record = record;
    return OK;
}

enum status store_seal(struct store *store, struct bytes *record)
{
    if (store->state != STORE_SERVING)
        return WRONG_STATE;
    if (store->pending_count == STORE_PENDING_MAX)
        return BUSY;
    TRY(check_group(store));
    struct store_pending pending = {.archive_sequence = store->archive.sequence, .noted = store->notes.len > 0};
    sqlite3_session *before = store->session;
    const sqlite3_int64 counted = store->changes, passed = store->passed;
    if (passed && !pending.noted)
        return INTERNAL;
    enum status status = take_changes(store, &pending);
    const bool empty = pending.len == 0 && !pending.noted;
    if (status == OK)
        status = empty ? end_group(store) : seal_record(store, &pending);
    if (status != OK) {
        sqlite3_free(pending.changeset);
        if (store->session != before)
            session_end(store);
        store->session = before;
        store->changes = counted;
        store->passed = passed;
        return status;
    }
    if (store->session != before)
        sqlite3session_delete(before);
    store_notes_forget(store);
    *record = empty ? (struct bytes){0} : bytes_from(store->record, pending.record_len);
    if (empty)
        sqlite3_free(pending.changeset);
    else
        store->pending[store->pending_count++] = pending;
    return OK;
}

size_t store_changed_bytes(const struct store *store)
{
    if (store->state != STORE_SERVING)
        return 0;
    return (size_t)sqlite3session_changeset_size(store->session) + store->notes.len + STORE_HEADER_LEN + STORE_TAG_LEN;
}

void store_confirm(struct store *store)
{
    if (store->state != STORE_SERVING || store->pending_count == 0)
        return;
    const struct store_pending *oldest = &store->pending[0];
    store->confirmed = oldest->head;
    store->log_bytes += oldest->record_len;
    store->log_records++;
    store_archive_confirm(store, oldest->archive_sequence);
    pending_drop(store, 0, 1);
}

/* ---- Undo ---- */

static enum status apply_inverted(struct store *store, const void *changeset, int len)
{
    void *inverted = NULL;
    int inverted_len = 0;
    int code = sqlite3changeset_invert(len, changeset, &inverted_len, &inverted);
    if (code == SQLITE_OK)
        code = sqlite3changeset_apply_v2(store->db, inverted_len, inverted, NULL, store_on_conflict, NULL, NULL, NULL,
                                         SQLITE_CHANGESETAPPLY_NOSAVEPOINT);
    sqlite3_free(inverted);
    return store_sql_status(code);
}

static enum status undo(struct store *store, size_t pending_kept)
{
    void *open = NULL;
    int open_len = 0;
    TRY(store_sql_status(sqlite3session_changeset(store->session, &open_len, &open)));
    enum status status = OK;
    if (open_len > 0)
        status = apply_inverted(store, open, open_len);
    sqlite3_free(open);
    for (size_t i = store->pending_count; status == OK && i > pending_kept; i--)
        status = apply_inverted(store, store->pending[i - 1].changeset, store->pending[i - 1].len);
    return status;
}

/* Undoes for good. Half an undo is no state to go on from. */
static enum status take_back(struct store *store, size_t pending_kept)
{
    if (store->state != STORE_SERVING)
        return WRONG_STATE;
    if (!sqlite3_get_autocommit(store->db))
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    store->grouped = false;
    store_notes_forget(store);
    store_archive_forget(store);
    enum status status = store_sql_status(sqlite3_exec(store->db, "BEGIN", NULL, NULL, NULL));
    sqlite3session_enable(store->session, 0);
    if (status == OK)
        status = undo(store, pending_kept);
    if (status == OK)
        status = store_sql_status(sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL));
    session_end(store);
    pending_drop(store, pending_kept, store->pending_count - pending_kept);
    if (status == OK)
        status = store_session_start(store);
    if (status == OK)
        status = store_archive_load(store);
    return status == OK ? OK : store_fail(store, status);
}

static bool has_sealed_notes(const struct store *store)
{
    for (size_t i = 0; i < store->pending_count; i++)
        if (store->pending[i].noted)
            return true;
    return false;
}

enum status store_revert(struct store *store)
{
    if (has_sealed_notes(store))
        return WRONG_STATE;
    store->snapshot_sent = 0;
    return take_back(store, 0);
}

enum status store_discard(struct store *store)
{
    return take_back(store, store->pending_count);
}

/* ---- Heads ---- */

uint64_t store_confirmed_sequence(const struct store *store)
{
    return store->confirmed.sequence;
}

uint64_t store_sealed_sequence(const struct store *store)
{
    return newest(store)->sequence;
}

void store_sealed_head(const struct store *store, uint64_t *sequence, uint8_t hash[MONITOR_HASH_LEN])
{
    *sequence = newest(store)->sequence;
    memcpy(hash, newest(store)->hash, MONITOR_HASH_LEN);
}

enum status store_pending_head(const struct store *store, uint64_t *sequence, uint8_t hash[MONITOR_HASH_LEN])
{
    if (store->pending_count == 0)
        return NOT_FOUND;
    *sequence = store->pending[0].head.sequence;
    memcpy(hash, store->pending[0].head.hash, MONITOR_HASH_LEN);
    return OK;
}

/* ---- Snapshot ---- */

bool store_wants_snapshot(const struct store *store)
{
    if (store->state != STORE_SERVING || store->confirmed.sequence == 0 || store->snapshot_sent)
        return false;
    size_t worth = 4 * store->snapshot_len > LOG_MIN ? 4 * store->snapshot_len : LOG_MIN;
    bool slow = store->log_records > store->config.log_records && store->log_bytes > store->snapshot_len;
    return store->schema_changed || store->log_bytes > worth || slow;
}

static enum status seal_snapshot(struct store *store)
{
    sqlite3_int64 len = 0;
    unsigned char *database = sqlite3_serialize(store->db, "main", &len, 0);
    if (!database)
        return NO_ROOM;
    size_t cap = STORE_HEADER_LEN + (size_t)len + STORE_TAG_LEN;
    uint8_t *sealed = malloc(cap);
    struct writer out = writer_over(sealed, sealed ? cap : 0);
    enum status status =
        store_seal_text(store, STORE_KIND_SNAPSHOT, &store->confirmed, bytes_from(database, (size_t)len), &out);
    sqlite3_free(database);
    if (status != OK) {
        free(sealed);
        return status;
    }
    free(store->snapshot);
    store->snapshot = sealed;
    store->snapshot_sent = out.len;
    store->sent_bytes = store->log_bytes;
    store->sent_records = store->log_records;
    return OK;
}

enum status store_snapshot(struct store *store, struct bytes *snapshot)
{
    if (store->state != STORE_SERVING || store->confirmed.sequence == 0 || !sqlite3_get_autocommit(store->db) ||
        has_sealed_notes(store))
        return WRONG_STATE;
    /* What is not confirmed is undone, the rest serialised, and all rolled forward again by rolling the undo back. */
    TRY(store_sql_status(sqlite3_exec(store->db, "BEGIN", NULL, NULL, NULL)));
    sqlite3session_enable(store->session, 0);
    enum status status = undo(store, 0);
    if (status == OK)
        status = seal_snapshot(store);
    int code = sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3session_enable(store->session, 1);
    if (code != SQLITE_OK)
        return store_fail(store, INTERNAL);
    if (status == OK)
        *snapshot = bytes_from(store->snapshot, store->snapshot_sent);
    return status;
}

void store_snapshot_done(struct store *store)
{
    free(store->snapshot);
    store->snapshot = NULL;
}

void store_snapshot_synced(struct store *store, bool durable)
{
    if (store->snapshot_sent && durable) {
        store->snapshot_len = store->snapshot_sent;
        store->log_bytes -= store->sent_bytes;
        store->log_records -= store->sent_records;
        store->schema_changed = false;
    }
    store->snapshot_sent = 0;
}
