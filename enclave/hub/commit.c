/* The group commit: what arrives while one group is on its way to the disk becomes the next group. Nobody is answered
 * before the host said that everything is durable and the monitor moved the head. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void group_clear(struct hub_group *group)
{
    *group = (struct hub_group){0};
}

void hub_enqueue(struct hub *hub, struct hub_request *request)
{
    request->next = NULL;
    if (hub->open.last_request)
        hub->open.last_request->next = request;
    else
        hub->open.requests = request;
    hub->open.last_request = request;
    hub->open.count++;
}

void hub_group_note_action(struct hub *hub, const char *target)
{
    for (struct hub_action *known = hub->open.actions; known; known = known->next)
        if (strcmp(known->target, target) == 0)
            return;
    struct hub_action *action = calloc(1, sizeof *action);
    if (!action)
        return; /* a watcher hears of it with the next one */
    snprintf(action->target, sizeof action->target, "%s", target);
    action->next = hub->open.actions;
    hub->open.actions = action;
}

bool hub_may_write(struct hub *hub)
{
    return hub->retry_at_ms == 0 || hub->now_ms >= hub->retry_at_ms;
}

static void send_rows(struct hub *hub)
{
    if (hub->rows.len == 0)
        return;
    struct bytes part = bytes_from(hub->rows.data, hub->rows.len);
    if (hub->port.send(hub->port.user, DOOR_ARCHIVE_APPEND, 0, &part, 1) != OK)
        hub_stop(hub, 4, "the host end of the door is gone");
    hub->rows.len = 0;
}

/* One message into the archive, sealed. The row travels with the group's commit. */
enum status hub_archive(struct hub *hub, const char *source, const char *type, int64_t time_ms, const char *kind,
                        struct bytes message)
{
    (void)kind;
    struct store_message row = {
        .sequence = hub->archive_sequence + 1,
        .time_ms = (uint64_t)time_ms,
        .source = bytes_from_text(source),
        .type = bytes_from_text(type),
        .message = message,
    };
    if (hub->rows.cap - hub->rows.len < store_row_len(&row))
        send_rows(hub);
    TRY(store_row_seal(hub->store, &row, &hub->rows));
    hub->archive_sequence++;
    hub->open.rows++;
    return OK;
}

static void release(struct hub *hub, struct hub_group *group)
{
    struct hub_group released = *group;
    group_clear(group);
    for (struct hub_request *request = released.requests, *next; request; request = next) {
        next = request->next;
        hub_send_answer(hub, request);
    }
    for (struct hub_action *action = released.actions, *next; action; action = next) {
        next = action->next;
        hub_tell_watchers(hub, action->target);
        free(action);
    }
}

static void fail_group(struct hub *hub, struct hub_group *group)
{
    struct hub_group failed = *group;
    group_clear(group);
    for (struct hub_request *request = failed.requests, *next; request; request = next) {
        next = request->next;
        hub_refuse(request, COAP_UNAVAILABLE, "storage", "%s; nothing was changed", hub->storage_problem);
        request->observed = false;
        hub_send_answer(hub, request);
    }
    for (struct hub_action *action = failed.actions, *next; action; action = next) {
        next = action->next;
        free(action);
    }
}

/* Nothing of the flying and the open group stays: the inverted changesets bring the tables back, and what memory holds
 * beside them is read again. */
static void roll_back(struct hub *hub, enum status status)
{
    hub->counts.failed_commits++;
    snprintf(hub->storage_problem, sizeof hub->storage_problem, "the site is read-only: storage %s",
             status == NO_ROOM ? "is full" : "fails");
    hub->retry_at_ms = hub->now_ms + HUB_RETRY_MS;
    hub->rows.len = 0;
    hub->commit = HUB_AT_REST;
    if (store_revert(hub->store) != OK || hub_reload(hub) != OK) {
        hub_stop(hub, 1, "the store could not be brought back to its last durable state");
        return;
    }
    fail_group(hub, &hub->flying);
    fail_group(hub, &hub->open);
}

static enum status put_site(struct hub *hub)
{
    if (hub->open.rows == 0)
        return OK;
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_SITE_PUT);
    sqlite3_bind_int64(put, 1, (int64_t)hub->archive_sequence);
    sqlite3_bind_int64(put, 2, (int64_t)hub->now_ms);
    return hub_run(put);
}

/* Close the open group: seal what it changed, hand record and rows to the host, ask for durability. */
static enum status launch_group(struct hub *hub, bool *changed)
{
    TRY(put_site(hub));
    struct bytes record = {0};
    TRY(store_seal(hub->store, &record));
    *changed = record.len > 0;
    if (!*changed)
        return OK;
    send_rows(hub);
    TRY(hub->port.send(hub->port.user, DOOR_LOG_APPEND, store_sealed_sequence(hub->store), &record, 1));
    hub->sync_id = hub->next_id++;
    return hub->port.send(hub->port.user, DOOR_SYNC, hub->sync_id, NULL, 0);
}

static void send_snapshot(struct hub *hub)
{
    struct bytes snapshot;
    if (store_snapshot(hub->store, &snapshot) != OK)
        return; /* the log goes on growing, and the next commit tries again */
    uint64_t sequence = store_confirmed_sequence(hub->store);
    for (size_t off = 0; off < snapshot.len; off += DOOR_CHUNK_MAX) {
        struct bytes piece =
            bytes_slice(snapshot, off, snapshot.len - off < DOOR_CHUNK_MAX ? snapshot.len - off : DOOR_CHUNK_MAX);
        struct door_piece head = {sequence, snapshot.len, off, piece.len};
        struct bytes parts[] = {BYTES_OF(&head), piece};
        parts[0] = bytes_from(&head, sizeof head);
        if (hub->port.send(hub->port.user, DOOR_SNAPSHOT_PUT, 0, parts, 2) != OK)
            break;
    }
    store_snapshot_done(hub->store);
}

void hub_idle(struct hub *hub)
{
    if (hub->state != HUB_SERVING || hub->commit != HUB_AT_REST || hub->open.count + hub->open.rows == 0)
        return;
    bool changed = false;
    if (store_wants_snapshot(hub->store))
        send_snapshot(hub);
    enum status status = launch_group(hub, &changed);
    if (hub->state != HUB_SERVING)
        return;
    if (status != OK) {
        roll_back(hub, status);
        return;
    }
    if (!changed) {
        release(hub, &hub->open);
        return;
    }
    hub->flying = hub->open;
    hub->flying.archive_sequence = hub->archive_sequence;
    group_clear(&hub->open);
    hub->commit = HUB_SYNCING;
}

void hub_synced(struct hub *hub, enum status status)
{
    if (status != OK) {
        roll_back(hub, status == NO_ROOM ? NO_ROOM : IO);
        return;
    }
    struct monitor_advance advance = {0};
    store_sealed_head(hub->store, &advance.sequence, advance.hash);
    hub->commit = HUB_ADVANCING;
    if (hub->port.advance(hub->port.user, &advance) != OK)
        hub_stop(hub, 4, "the monitor is gone");
}

void hub_advanced(struct hub *hub, enum status status, const struct monitor_head_reply *head)
{
    if (hub->state == HUB_LOADING) {
        hub_load_advanced(hub, status);
        return;
    }
    if (hub->commit != HUB_ADVANCING)
        return;
    /* The host has the record and the monitor may or may not have the head: only a restart can tell, by the rule that
     * one authentic record beyond the head is taken. */
    if (status != OK) {
        hub_stop(hub, 9, "the monitor could not make the new head durable: %s", status_word(status));
        return;
    }
    hub->freshness = *head;
    store_confirm(hub->store);
    hub->archive_confirmed = hub->flying.archive_sequence;
    hub->commit = HUB_AT_REST;
    hub->retry_at_ms = 0;
    hub->storage_problem[0] = 0;
    hub->counts.commits++;
    release(hub, &hub->flying);
    hub_idle(hub);
}
