/* The group commit: what arrives while one group is on its way to the disk becomes the next group. Nobody is answered
 * before the host said that everything is durable and the monitor moved the head. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hub_enqueue(struct hub *hub, struct hub_request *request)
{
    request->next = NULL;
    if (hub->open.last)
        hub->open.last->next = request;
    else
        hub->open.first = request;
    hub->open.last = request;
    hub->open.count++;
}

bool hub_group_is_full(const struct hub *hub)
{
    return hub->open.count >= HUB_GROUP_MAX || store_changed_bytes(hub->store) >= HUB_GROUP_BYTES;
}

bool hub_may_write(const struct hub *hub)
{
    return hub->retry_at_ms == 0 || hub->now_ms >= hub->retry_at_ms;
}

void hub_group_free(struct hub *hub, struct hub_group *group)
{
    struct hub_request *next;
    for (struct hub_request *request = group->first; request; request = next) {
        next = request->next;
        hub_request_free(hub, request);
    }
    *group = (struct hub_group){0};
}

/* ---- What a group holds ---- */

static void send_rows(struct hub *hub)
{
    if (hub->rows.len > 0)
        hub_send(hub, DOOR_ARCHIVE_APPEND, 0, writer_bytes(&hub->rows));
    hub->rows.len = 0;
}

/* What history.c reads back: when we took it in, which never goes back and so bounds a walk; what it is, source, type,
 * and its text. */
static void put_archived(struct writer *writer, uint64_t received_ms, char kind, const struct store_message *row,
                         struct bytes text)
{
    put_u64be(writer, received_ms);
    put_u8(writer, (uint8_t)kind);
    put_u8(writer, (uint8_t)row->source.len);
    put_bytes(writer, row->source);
    put_u8(writer, (uint8_t)row->type.len);
    put_bytes(writer, row->type);
    put_bytes(writer, text);
}

static enum status put_row(struct hub *hub, const struct store_message *row)
{
    if (hub->rows.cap - hub->rows.len < store_row_len(row))
        send_rows(hub);
    TRY(store_row_seal(hub->store, row, &hub->rows));
    hub->open.rows = true;
    return OK;
}

/* One message into the archive, sealed; its row travels with the group's commit. */
enum status hub_archive(struct hub *hub, const char *source, const char *type, int64_t time_ms, char kind,
                        struct bytes text)
{
    size_t cap = 2 * ENGINE_NAME_MAX + 16 + text.len;
    uint8_t *message = malloc(cap);
    struct writer writer = writer_over(message, message ? cap : 0);
    struct store_message row = {
        .sequence = store_archive_sequence(hub->store) + 1,
        .time_ms = time_ms > 0 ? (uint64_t)time_ms : 0,
        .now_ms = hub->now_ms,
        .source = bytes_from_text(source),
        .type = bytes_from_text(type),
    };
    put_archived(&writer, hub->now_ms, kind, &row, text);
    row.message = writer_bytes(&writer);
    enum status status = writer_end(&writer);
    if (status == OK)
        status = put_row(hub, &row);
    if (message)
        wipe(message, cap);
    free(message);
    return status;
}

/* ---- When it fails ---- */

static void refuse_group(struct hub *hub, struct hub_group *group, const char *reason)
{
    struct hub_group refused = *group;
    *group = (struct hub_group){0};
    struct hub_request *next;
    for (struct hub_request *request = refused.first; request; request = next) {
        next = request->next;
        hub_refuse(request, COAP_UNAVAILABLE, "storage", "%s", reason);
        hub_send_answer(hub, request);
    }
}

static void lost(struct hub *hub)
{
    hub_stop(hub, 1, "the store could not be brought back to its last durable state: %s",
             store_refused_sentence(hub->store));
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
    hub_audit(hub, "storage=failing status=\"%s\"", status_word(status));
    if (store_revert(hub->store) != OK || hub_reload(hub) != OK) {
        lost(hub);
        return;
    }
    refuse_group(hub, &hub->flying, hub->storage_problem);
    refuse_group(hub, &hub->open, hub->storage_problem);
}

static void discard_open(struct hub *hub)
{
    hub->rows.len = 0;
    if (store_discard(hub->store) != OK || hub_reload(hub) != OK)
        lost(hub);
}

void hub_abandon_group(struct hub *hub, struct hub_request *request, const char *field, enum status status)
{
    if (status == NO_ROOM)
        hub_refuse(request, COAP_UNAVAILABLE, field, "do not fit the site's store, which is full; nothing was taken");
    else
        hub_refuse(request, COAP_INTERNAL_ERROR, field, "could not be stored: %s", status_word(status));
    discard_open(hub);
    if (hub->state == HUB_SERVING)
        refuse_group(hub, &hub->open, "another request beside this one failed; nothing was taken: try again");
}

/* ---- Closing a group ---- */

static enum status put_site(struct hub *hub)
{
    if (!hub->open.rows)
        return OK;
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_SITE_PUT);
    sqlite3_bind_int64(put, 1, (int64_t)hub->now_ms);
    return hub_run(put);
}

static void release(struct hub *hub, struct hub_group *group)
{
    struct hub_group released = *group;
    *group = (struct hub_group){0};
    struct hub_request *next;
    for (struct hub_request *request = released.first; request; request = next) {
        next = request->next;
        hub_send_answer(hub, request);
    }
    if (released.actions)
        hub_tell_watchers(hub);
}

/* Seal what the open group changed, hand record and rows to the host, ask for durability. */
static void close_group(struct hub *hub)
{
    if (hub->state != HUB_SERVING || hub->commit != HUB_AT_REST || hub->open.count == 0)
        return;
    struct bytes record = {0};
    enum status status = put_site(hub);
    if (status == OK)
        status = store_seal(hub->store, &record);
    if (status != OK) {
        discard_open(hub);
        if (hub->state == HUB_SERVING)
            refuse_group(hub, &hub->open,
                         status == NO_ROOM ? "the changes do not fit one commit; nothing was taken" : "sealing failed");
        return;
    }
    if (record.len == 0) {
        release(hub, &hub->open);
        return;
    }
    send_rows(hub);
    hub_send(hub, DOOR_LOG_APPEND, store_sealed_sequence(hub->store), record);
    if (journal_put_snapshot(hub->store, hub->port.send, hub->port.user) != OK)
        hub_stop(hub, 4, "the host end of the door is gone");
    hub->flying = hub->open;
    hub->open = (struct hub_group){0};
    hub->commit = HUB_SYNCING;
    hub->sync_id = hub->next_id++;
    hub_send(hub, DOOR_SYNC, hub->sync_id, (struct bytes){0});
}

static void set_timer(struct hub *hub)
{
    uint64_t due = hub_watches_due(hub);
    if (due == UINT64_MAX || (hub->timer_ms != 0 && hub->timer_ms <= due))
        return;
    struct door_tick tick = {due};
    hub->timer_ms = due;
    hub_send(hub, DOOR_TIMER, 0, bytes_from(&tick, sizeof tick));
}

void hub_idle(struct hub *hub)
{
    do {
        close_group(hub);
        if (hub->state == HUB_SERVING)
            hub_serve_waiting(hub);
    } while (hub->state == HUB_SERVING && hub->commit == HUB_AT_REST && hub->open.count > 0);
    if (hub->state != HUB_SERVING)
        return;
    if (hub->news)
        hub_tell_watchers(hub);
    hub->news = false;
    set_timer(hub);
}

/* ---- What comes back ---- */

void hub_synced(struct hub *hub, enum status status)
{
    if (status != OK) {
        roll_back(hub, status);
        return;
    }
    store_snapshot_synced(hub->store, true);
    struct monitor_advance advance = {0};
    store_sealed_head(hub->store, &advance.sequence, advance.hash);
    hub->commit = HUB_ADVANCING;
    if (hub->port.advance(hub->port.user, &advance) != OK)
        hub_stop(hub, 4, "the monitor is gone");
}

void hub_advanced(struct hub *hub, enum status status, const struct monitor_head_reply *head)
{
    if (hub->state == HUB_STOPPED || (hub->state == HUB_SERVING && hub->commit != HUB_ADVANCING))
        return;
    /* The host has the record and the monitor may or may not have the head: only a restart can tell, by the rule that
     * one authentic record beyond the head is taken. */
    if (status != OK) {
        hub_stop(hub, 9, "the monitor could not make the new head durable: %s", status_word(status));
        return;
    }
    hub->head = *head;
    if (hub->state == HUB_LOADING) {
        hub_load_advanced(hub);
        return;
    }
    store_confirm(hub->store);
    hub->commit = HUB_AT_REST;
    if (hub->retry_at_ms)
        hub_audit(hub, "storage=works");
    hub->retry_at_ms = 0;
    hub->storage_problem[0] = 0;
    hub->counts.commits++;
    release(hub, &hub->flying);
    hub_idle(hub);
}
