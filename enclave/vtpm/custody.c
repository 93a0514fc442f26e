/* Where the state is: one row of the store, so that what is said about it is as durable as the state itself, and moves
 * with it in one commit. */
#include "vtpm_internal.h"

#include <string.h>

static void bind(sqlite3_stmt *put, int at, const uint8_t *data, size_t len)
{
    sqlite3_bind_blob(put, at, data, (int)len, SQLITE_STATIC);
}

enum status vtpm_stay_put(struct vtpm *vtpm, const struct vtpm_stay *stay)
{
    sqlite3_stmt *put = vtpm->sql[VTPM_SQL_STAY_PUT];
    struct vtpm_stay next = *stay;
    next.kept = true;
    store_begin(vtpm->store);
    sqlite3_bind_int(put, 1, (int)next.custody);
    bind(put, 2, next.line, sizeof next.line);
    bind(put, 3, next.to, sizeof next.to);
    bind(put, 4, next.secret, sizeof next.secret);
    bind(put, 5, next.content, sizeof next.content);
    bind(put, 6, next.id, sizeof next.id);
    bind(put, 7, next.grant, next.grant_len);
    sqlite3_bind_int64(put, 8, next.security_version);
    enum status status = vtpm_sql_run(put);
    vtpm->store_failed |= status != OK;
    if (status == OK) {
        vtpm->strict |= next.custody != VTPM_LIVE || vtpm->stay.custody > VTPM_LIVE;
        vtpm->stay = next;
    }
    wipe(&next, sizeof next);
    return status;
}

static void take_column(sqlite3_stmt *get, int column, uint8_t *out, size_t len, bool *good)
{
    *good = *good && (size_t)sqlite3_column_bytes(get, column) == len;
    if (*good)
        memcpy(out, sqlite3_column_blob(get, column), len);
}

static bool take_row(sqlite3_stmt *get, struct vtpm_stay *stay)
{
    bool good = true;
    const int custody = sqlite3_column_int(get, 0);
    const size_t grant_len = (size_t)sqlite3_column_bytes(get, 6);
    take_column(get, 1, stay->line, sizeof stay->line, &good);
    take_column(get, 2, stay->to, sizeof stay->to, &good);
    take_column(get, 3, stay->secret, sizeof stay->secret, &good);
    take_column(get, 4, stay->content, sizeof stay->content, &good);
    take_column(get, 5, stay->id, sizeof stay->id, &good);
    good = good && custody > VTPM_EMPTY && custody <= VTPM_ABANDONED && grant_len <= sizeof stay->grant;
    if (good && grant_len)
        memcpy(stay->grant, sqlite3_column_blob(get, 6), grant_len);
    stay->custody = (enum vtpm_custody)custody;
    stay->grant_len = grant_len;
    stay->security_version = (uint32_t)sqlite3_column_int64(get, 7);
    stay->kept = true;
    return good;
}

/* A store that was written before there was such a row has a state of its own, or none. */
enum status vtpm_stay_load(struct vtpm *vtpm)
{
    sqlite3_stmt *get = vtpm->sql[VTPM_SQL_STAY_GET];
    struct vtpm_stay stay = {.custody = vtpm->states[VTPM_PERMANENT].exists ? VTPM_LIVE : VTPM_EMPTY};
    const int code = sqlite3_step(get);
    const bool good = code == SQLITE_DONE || (code == SQLITE_ROW && take_row(get, &stay));
    sqlite3_reset(get);
    if (!good)
        return INTERNAL;
    vtpm->stay = stay;
    wipe(&stay, sizeof stay);
    if (vtpm->stay.custody != VTPM_MOVED)
        return OK;
    crypto_key_done(&vtpm->from);
    return crypto_key_import(&vtpm->from, CRYPTO_P256, BYTES_OF(vtpm->stay.secret));
}

enum status vtpm_stay_begin(struct vtpm *vtpm, const uint8_t to[VTPM_TRANSFER_POINT_LEN])
{
    struct vtpm_stay stay = {.custody = VTPM_LIVE};
    TRY(crypto_random(stay.line, sizeof stay.line));
    memcpy(stay.to, to, sizeof stay.to);
    return vtpm_stay_put(vtpm, &stay);
}

enum status vtpm_from_ready(struct vtpm *vtpm)
{
    return vtpm->from.pkey ? OK : crypto_key_generate(&vtpm->from, CRYPTO_P256);
}

void vtpm_disarm(struct vtpm *vtpm)
{
    crypto_key_done(&vtpm->from);
    vtpm->from = (struct crypto_key){0};
    vtpm->armed = (struct vtpm_grant){0};
    vtpm->armed_len = 0;
}

void vtpm_take_back(struct vtpm *vtpm)
{
    vtpm_tpm_off(vtpm);
    if (store_discard(vtpm->store) != OK || vtpm_states_load(vtpm) != OK)
        vtpm_stop(vtpm, 1, "what was refused cannot be taken back out of the store");
    else
        vtpm->store_failed = false;
}

void vtpm_custody_done(struct vtpm *vtpm)
{
    vtpm_disarm(vtpm);
    vtpm_staged_done(vtpm);
    vtpm_sealed_done(vtpm);
    vtpm_reply_done(vtpm);
}
