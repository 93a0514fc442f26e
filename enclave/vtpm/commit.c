/* Every request that changed something is a commit of its own: sealed, durable, the monitor's head on it, then
 * answered. A record that the monitor can keep is durable with its head; the host is handed it behind the answer and
 * syncs a few at a time, ahead of the monitor's keeping no more than the last MONITOR_RECORDS. A longer one is durable
 * at the host first. A TPM cannot take back what it did, so while the host cannot make durable what it must the answer
 * waits and the same record is tried again; whoever is stopped meanwhile starts from the state before it, or from the
 * one behind it, unanswered. Where the host end attached as relaxed, "durable" of a record that the monitor keeps is
 * "with the kernel", which only the monitor knows. */
#include "vtpm_internal.h"

#include <stdlib.h>

void vtpm_reply_done(struct vtpm *vtpm)
{
    if (vtpm->reply != vtpm->reply_room)
        free(vtpm->reply);
    vtpm->reply = NULL;
}

static void answer(struct vtpm *vtpm)
{
    const struct bytes frame = bytes_from(vtpm->reply, vtpm->reply_len);
    if (vtpm->channel == VTPM_SOCKET)
        vtpm_socket_answer(vtpm, frame);
    else
        vtpm_send(vtpm, DOOR_REPLY, vtpm->channel, frame);
    wipe(vtpm->reply, vtpm->reply_len);
    vtpm->reply_len = 0;
    vtpm_reply_done(vtpm);
}

/* ---- The host's log ---- */

/* Sealed here and not replaced since, or as the monitor keeps it. */
static enum status unhanded(struct vtpm *vtpm, uint64_t sequence, struct writer *room, struct bytes *record)
{
    *record = vtpm->record;
    if (sequence == store_sealed_sequence(vtpm->store) && record->len)
        return OK;
    TRY(vtpm->port.record(vtpm->port.user, sequence, room));
    *record = writer_bytes(room);
    return OK;
}

/* All that it has not been handed up to there. Never while a sync is under way: should that fail, the host forgets what
 * came before it and would keep what came after. */
static void hand_over(struct vtpm *vtpm, uint64_t last)
{
    while (vtpm->handed < last) {
        uint8_t room[MONITOR_RECORD_ROOM];
        struct writer writer = writer_over(room, sizeof room);
        struct bytes record;
        const uint64_t sequence = vtpm->handed + 1;
        enum status status = unhanded(vtpm, sequence, &writer, &record);
        if (status != OK) {
            vtpm_stop(vtpm, 9, "the monitor gives no record %llu, which the host has not stored: %s",
                      (unsigned long long)sequence, status_word(status));
            return;
        }
        vtpm_send(vtpm, DOOR_LOG_APPEND, sequence, record);
        vtpm->handed = sequence;
    }
}

static void sync_log(struct vtpm *vtpm)
{
    vtpm->sync_of = vtpm->handed;
    vtpm->sync_id = vtpm->next_id++;
    vtpm_send(vtpm, DOOR_SYNC, vtpm->sync_id, (struct bytes){0});
}

/* Of what is confirmed, with no record pending. The host cuts the log with the sync that makes the snapshot durable,
 * and not before; which is the next one, for none is under way. After a failed one the log goes first: there may be
 * room for a record where there is none for a snapshot. The head is durable before it (MONITOR_HEAD): a log that
 * begins behind a head does not tell whether it leads there. */
static void put_snapshot(struct vtpm *vtpm)
{
    struct monitor_head_reply durable;
    if (vtpm->failing || !store_wants_snapshot(vtpm->store) || vtpm->port.head(vtpm->port.user, &durable) != OK)
        return;
    if (journal_put_snapshot(vtpm->store, vtpm->port.send, vtpm->port.user) != OK)
        vtpm_stop(vtpm, 4, "the host end of the door is gone");
}

/* What is confirmed, behind the answer. */
static void hand_over_confirmed(struct vtpm *vtpm)
{
    if (vtpm->sync_of || vtpm->commit != VTPM_AT_REST)
        return;
    put_snapshot(vtpm);
    hand_over(vtpm, store_confirmed_sequence(vtpm->store));
    if (vtpm->handed - vtpm->synced >= MONITOR_RECORDS / 2)
        sync_log(vtpm);
}

/* ---- A record's way ---- */

static void advance(struct vtpm *vtpm, struct bytes kept)
{
    struct monitor_advance advance = {.strict = vtpm->strict};
    store_sealed_head(vtpm->store, &advance.sequence, advance.hash);
    vtpm->commit = VTPM_ADVANCING;
    if (vtpm->port.advance(vtpm->port.user, &advance, kept) != OK)
        vtpm_stop(vtpm, 4, "the monitor is gone");
}

/* With the record sealed: as far as it can go. */
static void go_on(struct vtpm *vtpm)
{
    const uint64_t behind = store_sealed_sequence(vtpm->store) - vtpm->synced;
    if (behind == 0) {
        advance(vtpm, (struct bytes){0});
    } else if (vtpm->record.len <= MONITOR_RECORD_MAX && behind <= MONITOR_RECORDS) {
        advance(vtpm, vtpm->record);
    } else {
        vtpm->commit = VTPM_SYNCING;
        if (vtpm->sync_of)
            return;
        hand_over(vtpm, store_sealed_sequence(vtpm->store));
        sync_log(vtpm);
    }
}

void vtpm_commit(struct vtpm *vtpm, uint64_t channel)
{
    enum status status = vtpm->store_failed ? NO_ROOM : store_seal(vtpm->store, &vtpm->record);
    vtpm->channel = channel;
    if (status != OK) {
        /* What libtpms holds and what can be kept of it are two things now. */
        vtpm_stop(vtpm, status == NO_ROOM ? 11 : 1, "the TPM's state cannot be kept: %s", status_word(status));
        return;
    }
    if (vtpm->record.len == 0) {
        answer(vtpm);
        return;
    }
    go_on(vtpm);
}

void vtpm_try_again(struct vtpm *vtpm)
{
    if (vtpm->life == VTPM_SERVING && vtpm->commit == VTPM_WAITING)
        go_on(vtpm);
}

static void sync_failed(struct vtpm *vtpm, enum status status)
{
    const struct door_tick tick = {vtpm->now_ms + VTPM_RETRY_MS};
    vtpm->handed = vtpm->synced; /* the host has forgotten the rest */
    vtpm_audit(vtpm, "storage=failing status=\"%s\"", status_word(status));
    if (vtpm->commit != VTPM_SYNCING)
        return;
    vtpm->commit = VTPM_WAITING;
    vtpm_send(vtpm, DOOR_TIMER, 0, bytes_from(&tick, sizeof tick));
}

void vtpm_synced(struct vtpm *vtpm, enum status status)
{
    if (status == OK)
        vtpm->synced = vtpm->sync_of;
    vtpm->sync_of = 0;
    vtpm->failing = status != OK;
    store_snapshot_synced(vtpm->store, status == OK);
    if (status != OK)
        sync_failed(vtpm, status);
    else if (vtpm->commit == VTPM_SYNCING)
        go_on(vtpm);
    else
        hand_over_confirmed(vtpm);
}

void vtpm_advanced(struct vtpm *vtpm, enum status status, const struct monitor_head_reply *head)
{
    if (vtpm->life == VTPM_STOPPED || vtpm->commit != VTPM_ADVANCING)
        return;
    if (status != OK) {
        vtpm_stop(vtpm, 9, "the monitor could not make the new head durable: %s", status_word(status));
        return;
    }
    vtpm->head = *head;
    vtpm->commit = VTPM_AT_REST;
    if (vtpm->life == VTPM_LOADING) { /* over a record beyond the head */
        vtpm_load_advance(vtpm);
    } else {
        store_confirm(vtpm->store);
        vtpm->strict = false;
        answer(vtpm);
        hand_over_confirmed(vtpm);
    }
    vtpm_serve_waiting(vtpm);
}
