/* Every request that changed something is a commit of its own: sealed, durable at the host, the monitor's head on it,
 * then answered. A TPM cannot take back what it did, so while the host cannot make a commit durable the answer waits
 * and the same record is tried again; whoever is stopped meanwhile starts from the state before it, unanswered. */
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

static void hand_out(struct vtpm *vtpm)
{
    vtpm->commit = VTPM_SYNCING;
    vtpm->sync_id = vtpm->next_id++;
    vtpm_send(vtpm, DOOR_LOG_APPEND, store_sealed_sequence(vtpm->store), vtpm->record);
    vtpm_send(vtpm, DOOR_SYNC, vtpm->sync_id, (struct bytes){0});
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
    if (journal_put_snapshot(vtpm->store, vtpm->port.send, vtpm->port.user) != OK)
        vtpm_stop(vtpm, 4, "the host end of the door is gone");
    hand_out(vtpm);
}

void vtpm_try_again(struct vtpm *vtpm)
{
    if (vtpm->life == VTPM_SERVING && vtpm->commit == VTPM_WAITING)
        hand_out(vtpm);
}

void vtpm_synced(struct vtpm *vtpm, enum status status)
{
    struct monitor_advance advance = {0};
    if (status != OK) {
        const struct door_tick tick = {vtpm->now_ms + VTPM_RETRY_MS};
        vtpm_audit(vtpm, "storage=failing status=\"%s\"", status_word(status));
        vtpm->commit = VTPM_WAITING;
        vtpm_send(vtpm, DOOR_TIMER, 0, bytes_from(&tick, sizeof tick));
        return;
    }
    store_sealed_head(vtpm->store, &advance.sequence, advance.hash);
    advance.strict = vtpm->strict;
    vtpm->commit = VTPM_ADVANCING;
    if (vtpm->port.advance(vtpm->port.user, &advance) != OK)
        vtpm_stop(vtpm, 4, "the monitor is gone");
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
    if (vtpm->life == VTPM_LOADING) { /* over the one record beyond the head */
        vtpm->life = VTPM_SERVING;
    } else {
        store_confirm(vtpm->store);
        vtpm->strict = false;
        answer(vtpm);
    }
    vtpm_serve_waiting(vtpm);
}
