/* A launch: the monitor's head, the host's newest snapshot in pieces, the log after it; then the states from the
 * tables. */
#include "vtpm_internal.h"

#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_MAX (8u << 20)

static void ask(struct vtpm *vtpm, enum door_operation operation, struct bytes question)
{
    vtpm->load.id = vtpm->next_id++;
    vtpm_send(vtpm, operation, vtpm->load.id, question);
}

static void ask_snapshot(struct vtpm *vtpm)
{
    const struct door_piece wanted = {.sequence = vtpm->load.sequence, .off = vtpm->load.have};
    ask(vtpm, DOOR_SNAPSHOT_GET, bytes_from(&wanted, sizeof wanted));
}

static void ask_log(struct vtpm *vtpm)
{
    const struct door_range range = {store_next_sequence(vtpm->store)};
    vtpm->load.total = SIZE_MAX; /* no snapshot any more */
    ask(vtpm, DOOR_LOG_READ, bytes_from(&range, sizeof range));
}

bool vtpm_loads_snapshot(const struct vtpm *vtpm)
{
    return vtpm->load.total != SIZE_MAX;
}

enum status vtpm_start(struct vtpm *vtpm)
{
    if (vtpm->life != VTPM_LOADING || vtpm->load.id != 0)
        return WRONG_STATE;
    TRY(vtpm->port.head(vtpm->port.user, &vtpm->head));
    ask_snapshot(vtpm);
    return OK;
}

/* Nothing of a refused store is ever used. */
static void refuse(struct vtpm *vtpm)
{
    vtpm_stop(vtpm, store_refused_exit_code(vtpm->store), "%s", store_refused_sentence(vtpm->store));
}

static void host_failed(struct vtpm *vtpm, const char *what, enum status status)
{
    vtpm_stop(vtpm, 8, "the host gave no sound %s: %s", what, status_word(status));
}

static enum status take_piece(struct vtpm *vtpm, struct bytes payload, bool *none)
{
    struct door_piece piece;
    if (payload.len < sizeof piece)
        return MALFORMED;
    memcpy(&piece, payload.data, sizeof piece);
    struct bytes bytes = bytes_slice(payload, sizeof piece, payload.len - sizeof piece);
    *none = vtpm->load.have == 0 && piece.total == 0 && bytes.len == 0;
    if (*none)
        return OK;
    if (vtpm->load.have == 0) {
        if (piece.total == 0 || piece.total > SNAPSHOT_MAX)
            return MALFORMED;
        free(vtpm->load.snapshot);
        vtpm->load.snapshot = malloc((size_t)piece.total);
        if (!vtpm->load.snapshot)
            return NO_ROOM;
        vtpm->load.total = (size_t)piece.total;
        vtpm->load.sequence = piece.sequence;
    }
    if (piece.total != vtpm->load.total || piece.sequence != vtpm->load.sequence || piece.off != vtpm->load.have ||
        piece.len != bytes.len || bytes.len == 0 || bytes.len > vtpm->load.total - vtpm->load.have)
        return MALFORMED;
    memcpy(vtpm->load.snapshot + vtpm->load.have, bytes.data, bytes.len);
    vtpm->load.have += bytes.len;
    return OK;
}

void vtpm_load_snapshot_piece(struct vtpm *vtpm, enum status status, struct bytes payload)
{
    bool none = false;
    if (status == OK)
        status = take_piece(vtpm, payload, &none);
    if (status != OK) {
        host_failed(vtpm, "snapshot", status);
        return;
    }
    if (!none && vtpm->load.have < vtpm->load.total) {
        ask_snapshot(vtpm);
        return;
    }
    if (!none)
        status = store_load_snapshot(vtpm->store, bytes_from(vtpm->load.snapshot, vtpm->load.total));
    free(vtpm->load.snapshot);
    vtpm->load.snapshot = NULL;
    if (status == OK)
        ask_log(vtpm);
    else
        refuse(vtpm);
}

static void finish(struct vtpm *vtpm)
{
    bool advance = false;
    if (store_finish_load(vtpm->store, vtpm->head.sequence, vtpm->head.hash, &advance) != OK) {
        refuse(vtpm);
        return;
    }
    enum status status = vtpm_states_load(vtpm);
    if (status != OK) {
        vtpm_stop(vtpm, status == NO_ROOM ? 11 : 1, "the TPM's state cannot be read: %s", status_word(status));
        return;
    }
    vtpm_audit(vtpm, "serving sequence=%llu state=%zu", (unsigned long long)vtpm->head.sequence,
               vtpm->states[VTPM_PERMANENT].len);
    if (!advance) {
        vtpm->life = VTPM_SERVING;
        vtpm_serve_waiting(vtpm);
        return;
    }
    struct monitor_advance wanted = {0};
    store_sealed_head(vtpm->store, &wanted.sequence, wanted.hash);
    vtpm->commit = VTPM_ADVANCING;
    if (vtpm->port.advance(vtpm->port.user, &wanted) != OK)
        vtpm_stop(vtpm, 4, "the monitor is gone");
}

/* {u64 sequence, u32 len, u32 0, bytes}*; an empty answer is the end. The record itself says its sequence. */
void vtpm_load_log(struct vtpm *vtpm, enum status status, struct bytes payload)
{
    struct reader reader = reader_over(payload);
    if (status == OK && payload.len == 0) {
        finish(vtpm);
        return;
    }
    while (status == OK && reader.rest.len > 0) {
        (void)take_u64le(&reader);
        uint32_t len = take_u32le(&reader);
        uint32_t zero = take_u32le(&reader);
        struct bytes record = take_bytes(&reader, len);
        status = reader.status == OK && zero == 0 && len > 0 ? OK : MALFORMED;
        if (status == OK && store_apply(vtpm->store, record) != OK) {
            refuse(vtpm);
            return;
        }
    }
    if (status != OK)
        host_failed(vtpm, "log", status);
    else
        ask_log(vtpm);
}
