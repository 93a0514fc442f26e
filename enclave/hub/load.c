/* A launch: the monitor's head, the host's newest snapshot in pieces, the log after it; then memory from the tables. */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_MAX (STORE_BYTES_MAX + (1u << 20))

static void ask_snapshot(struct hub *hub)
{
    struct door_piece wanted = {.sequence = hub->load.sequence, .off = hub->load.have};
    hub->load.id = hub->next_id++;
    hub_send(hub, DOOR_SNAPSHOT_GET, hub->load.id, bytes_from(&wanted, sizeof wanted));
}

static void ask_log(struct hub *hub)
{
    struct door_range range = {store_next_sequence(hub->store)};
    hub->load.log_from = range.from;
    hub->load.id = hub->next_id++;
    hub_send(hub, DOOR_LOG_READ, hub->load.id, bytes_from(&range, sizeof range));
}

enum status hub_start(struct hub *hub)
{
    if (hub->state != HUB_LOADING || hub->load.id != 0)
        return WRONG_STATE;
    TRY(hub->port.head(hub->port.user, &hub->head));
    ask_snapshot(hub);
    return OK;
}

/* Nothing of a refused store is ever used. */
static void refuse(struct hub *hub)
{
    hub_stop(hub, store_refused_exit_code(hub->store), "%s", store_refused_sentence(hub->store));
}

static void host_failed(struct hub *hub, const char *what, enum status status)
{
    hub_stop(hub, 8, "the host gave no sound %s: %s", what, status_word(status));
}

static bool piece_fits(struct hub *hub, const struct door_piece *piece, size_t len)
{
    if (hub->load.have == 0 && (piece->total == 0 || piece->total > SNAPSHOT_MAX))
        return false;
    if (hub->load.have > 0 && (piece->total != hub->load.total || piece->sequence != hub->load.sequence))
        return false;
    return piece->off == hub->load.have && piece->len == len && len > 0 && len <= piece->total - piece->off;
}

static enum status take_piece(struct hub *hub, struct bytes payload, bool *none)
{
    struct door_piece piece;
    if (payload.len < sizeof piece)
        return MALFORMED;
    memcpy(&piece, payload.data, sizeof piece);
    struct bytes bytes = bytes_slice(payload, sizeof piece, payload.len - sizeof piece);
    *none = hub->load.have == 0 && piece.total == 0 && bytes.len == 0;
    if (*none)
        return OK;
    if (!piece_fits(hub, &piece, bytes.len))
        return MALFORMED;
    if (hub->load.have == 0) {
        hub->load.total = (size_t)piece.total;
        hub->load.sequence = piece.sequence;
        hub->load.snapshot = malloc(hub->load.total);
        if (!hub->load.snapshot)
            return NO_ROOM;
    }
    memcpy(hub->load.snapshot + hub->load.have, bytes.data, bytes.len);
    hub->load.have += bytes.len;
    return OK;
}

void hub_load_snapshot_piece(struct hub *hub, enum status status, struct bytes payload)
{
    bool none = false;
    if (status != OK) {
        host_failed(hub, "snapshot", status);
        return;
    }
    status = take_piece(hub, payload, &none);
    if (status == NO_ROOM) {
        hub_stop(hub, 11, "a snapshot of %zu bytes does not fit the enclave's memory", hub->load.total);
        return;
    }
    if (status != OK) {
        host_failed(hub, "snapshot", status);
        return;
    }
    if (!none && hub->load.have < hub->load.total) {
        ask_snapshot(hub);
        return;
    }
    if (!none) {
        status = store_load_snapshot(hub->store, bytes_from(hub->load.snapshot, hub->load.total));
        free(hub->load.snapshot);
        hub->load.snapshot = NULL;
        if (status != OK) {
            refuse(hub);
            return;
        }
    }
    ask_log(hub);
}

/* ---- The log ---- */

static void serve(struct hub *hub)
{
    hub_audit(hub, "serving sequence=%llu", (unsigned long long)hub->head.sequence);
    hub->state = HUB_SERVING;
}

static void finish(struct hub *hub)
{
    bool advance = false;
    if (store_finish_load(hub->store, hub->head.sequence, hub->head.hash, &advance) != OK) {
        refuse(hub);
        return;
    }
    enum status status = hub_sql_open(hub);
    if (status == OK)
        status = hub_reload(hub);
    if (status != OK) {
        hub_stop(hub, status == NO_ROOM ? 11 : 1, "the site's tables cannot be read: %s", status_word(status));
        return;
    }
    if (!advance) {
        serve(hub);
        return;
    }
    struct monitor_advance wanted = {0};
    store_sealed_head(hub->store, &wanted.sequence, wanted.hash);
    hub->load.advancing = true;
    if (hub->port.advance(hub->port.user, &wanted) != OK)
        hub_stop(hub, 4, "the monitor is gone");
}

void hub_load_advanced(struct hub *hub)
{
    if (hub->load.advancing)
        serve(hub);
}

/* {u64 sequence, u32 len, u32 0, bytes}*; an empty answer is the end. The record itself says its sequence. */
void hub_load_log(struct hub *hub, enum status status, struct bytes payload)
{
    struct reader reader = reader_over(payload);
    if (status == OK && payload.len == 0) {
        finish(hub);
        return;
    }
    while (status == OK && reader.rest.len > 0) {
        (void)take_u64le(&reader);
        uint32_t len = take_u32le(&reader);
        uint32_t zero = take_u32le(&reader);
        struct bytes record = take_bytes(&reader, len);
        status = reader.status == OK && zero == 0 && len > 0 ? OK : MALFORMED;
        if (status == OK && store_apply(hub->store, record) != OK) {
            refuse(hub);
            return;
        }
    }
    if (status != OK)
        host_failed(hub, "log", status);
    else
        ask_log(hub);
}

/* ---- Memory from the tables ---- */

enum status hub_reload(struct hub *hub)
{
    sqlite3_stmt *site = hub_sql(hub, HUB_SQL_SITE_GET);
    if (hub_row(site))
        hub_set_time(hub, (uint64_t)sqlite3_column_int64(site, 0));
    sqlite3_reset(site);
    TRY(hub_authority_reload(hub));
    TRY(hub_clients_reload(hub));
    return hub_rules_reload(hub);
}
