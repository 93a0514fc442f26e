/* A launch: the host's newest snapshot in pieces, then the log after it, each checked before the store sees it. */
#include "journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_HOST 8
#define EXIT_MEMORY 11

void journal_question(const struct journal_load *load, struct journal_question *question)
{
    if (load->in_log) {
        const struct door_range range = {store_next_sequence(load->store)};
        question->operation = DOOR_LOG_READ;
        memcpy(question->data, &range, question->len = sizeof range);
    } else {
        const struct door_piece piece = {.sequence = load->sequence, .off = load->have};
        question->operation = DOOR_SNAPSHOT_GET;
        memcpy(question->data, &piece, question->len = sizeof piece);
    }
}

static enum journal_step host_failed(struct journal_load *load, const char *what, enum status status)
{
    load->exit_code = EXIT_HOST;
    snprintf(load->why, sizeof load->why, "the host gave no sound %s: %s", what, status_word(status));
    return JOURNAL_FAILED;
}

static enum journal_step refused(struct journal_load *load)
{
    load->exit_code = store_refused_exit_code(load->store);
    snprintf(load->why, sizeof load->why, "%s", store_refused_sentence(load->store));
    return JOURNAL_FAILED;
}

/* ---- The snapshot ---- */

static bool piece_fits(const struct journal_load *load, const struct door_piece *piece, size_t len)
{
    if (load->have == 0 && (piece->total == 0 || piece->total > load->snapshot_max))
        return false;
    if (load->have > 0 && (piece->total != load->total || piece->sequence != load->sequence))
        return false;
    return piece->off == load->have && piece->len == len && len > 0 && len <= piece->total - piece->off;
}

static enum status take_piece(struct journal_load *load, struct bytes answer, bool *none)
{
    struct door_piece piece;
    if (answer.len < sizeof piece)
        return MALFORMED;
    memcpy(&piece, answer.data, sizeof piece);
    struct bytes bytes = bytes_slice(answer, sizeof piece, answer.len - sizeof piece);
    *none = load->have == 0 && piece.total == 0 && bytes.len == 0;
    if (*none)
        return OK;
    if (!piece_fits(load, &piece, bytes.len))
        return MALFORMED;
    if (load->have == 0) {
        load->total = (size_t)piece.total;
        load->sequence = piece.sequence;
        load->snapshot = malloc(load->total);
        if (!load->snapshot)
            return NO_ROOM;
    }
    memcpy(load->snapshot + load->have, bytes.data, bytes.len);
    load->have += bytes.len;
    return OK;
}

static enum journal_step take_snapshot(struct journal_load *load, struct bytes answer)
{
    bool none = false;
    enum status status = take_piece(load, answer, &none);
    if (status == NO_ROOM) {
        load->exit_code = EXIT_MEMORY;
        snprintf(load->why, sizeof load->why, "a snapshot of %zu bytes does not fit the enclave's memory", load->total);
        return JOURNAL_FAILED;
    }
    if (status != OK)
        return host_failed(load, "snapshot", status);
    if (!none && load->have < load->total)
        return JOURNAL_ASK;
    if (!none)
        status = store_load_snapshot(load->store, bytes_from(load->snapshot, load->total));
    journal_done(load);
    load->in_log = true;
    return status == OK ? JOURNAL_ASK : refused(load);
}

/* ---- The log ---- */

/* {u64 sequence, u32 len, u32 0, bytes}*; an empty answer is the end. The record itself says its sequence. */
static enum journal_step take_log(struct journal_load *load, struct bytes answer)
{
    struct reader reader = reader_over(answer);
    if (answer.len == 0)
        return JOURNAL_READ;
    while (reader.rest.len > 0) {
        (void)take_u64le(&reader);
        uint32_t len = take_u32le(&reader);
        uint32_t zero = take_u32le(&reader);
        struct bytes record = take_bytes(&reader, len);
        if (reader.status != OK || zero != 0 || len == 0)
            return host_failed(load, "log", MALFORMED);
        if (store_apply(load->store, record) != OK)
            return refused(load);
    }
    return JOURNAL_ASK;
}

enum journal_step journal_take(struct journal_load *load, enum status status, struct bytes answer)
{
    if (status != OK)
        return host_failed(load, load->in_log ? "log" : "snapshot", status);
    return load->in_log ? take_log(load, answer) : take_snapshot(load, answer);
}

void journal_done(struct journal_load *load)
{
    free(load->snapshot);
    load->snapshot = NULL;
}
