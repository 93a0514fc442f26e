/* Reading rows back, newest first: each must be the very one that its successor, or the sealed store, said comes next.
 *
 * Both ends of a walk are covered. The newest row is named by the sealed store itself (as of the last confirmed
 * record), so nothing can be cut off at the top; the oldest says 0 for its predecessor, so nothing can be cut off at
 * the bottom; and a caller who stops in between stops at a row that authenticated. */
#include "store_internal.h"

#include <string.h>

/* The newest confirmed row of a chain whose newest row at all is `sequence`. */
static uint64_t skip_unconfirmed(const struct store *store, enum store_chain chain, uint64_t sequence)
{
    while (sequence > store->archive.confirmed) {
        const struct store_previous *row = &store->archive.previous[sequence - store->archive.confirmed - 1];
        switch (chain) {
        case STORE_CHAIN_ALL:
            sequence = store->archive.confirmed;
            break;
        case STORE_CHAIN_SOURCE:
            sequence = row->source;
            break;
        case STORE_CHAIN_TYPE:
            sequence = row->type;
            break;
        }
    }
    return sequence;
}

enum status store_walk_begin(struct store *store, struct store_walk *walk, enum door_query_by by, struct bytes name,
                             uint64_t from)
{
    if (store->state != STORE_SERVING)
        return WRONG_STATE;
    if (by != DOOR_BY_SEQUENCE && by != DOOR_BY_SOURCE && by != DOOR_BY_TYPE)
        return UNSUPPORTED;
    struct store_walk begun = {.by = by, .next = from};
    enum status status = store_archive_secrets(store, false);
    if (status == NOT_FOUND) {
        begun.next = 0; /* nothing was ever archived */
        *walk = begun;
        return OK;
    }
    TRY(status);
    store_blind_index(store, (enum store_chain)by, name, begun.blind);
    if (from == 0) {
        uint64_t newest = 0;
        TRY(store_chain_get(store, (enum store_chain)by, begun.blind, &newest));
        begun.next = skip_unconfirmed(store, (enum store_chain)by, newest);
    } else if (from > store->archive.confirmed) {
        return NOT_FOUND;
    }
    *walk = begun;
    return OK;
}

struct door_query store_walk_query(struct store_walk *walk, uint32_t limit)
{
    struct door_query query = {.before = walk->next + 1, .by = walk->by, .limit = limit};
    memcpy(query.blind, walk->blind, sizeof query.blind);
    walk->answered = false;
    return query;
}

static enum status stop(struct store_walk *walk, enum store_walk_problem problem)
{
    walk->problem = problem;
    return DENIED;
}

static bool take_row(struct reader *answer, struct door_row *row, struct bytes *sealed)
{
    struct bytes head = take_bytes(answer, sizeof *row);
    if (head.len != sizeof *row)
        return false;
    memcpy(row, head.data, sizeof *row);
    if (row->reserved != 0 || row->len < 16 + STORE_TAG_LEN || row->len > STORE_MESSAGE_MAX + 16 + STORE_TAG_LEN)
        return false;
    *sealed = take_bytes(answer, row->len);
    struct bytes padding = take_bytes(answer, (8 - row->len % 8) % 8);
    for (size_t i = 0; i < padding.len; i++)
        if (padding.data[i] != 0)
            return false;
    return answer->status == OK;
}

static bool of_this_walk(const struct store_walk *walk, const struct door_row *row)
{
    switch (walk->by) {
    case DOOR_BY_SEQUENCE:
        return true;
    case DOOR_BY_SOURCE:
        return memcmp(row->source, walk->blind, DOOR_BLIND_LEN) == 0;
    case DOOR_BY_TYPE:
        return memcmp(row->type, walk->blind, DOOR_BLIND_LEN) == 0;
    }
    return false;
}

static uint64_t predecessor(const struct store_walk *walk, const struct door_row *row, struct store_previous previous)
{
    switch (walk->by) {
    case DOOR_BY_SEQUENCE:
        return row->sequence - 1;
    case DOOR_BY_SOURCE:
        return previous.source;
    case DOOR_BY_TYPE:
        return previous.type;
    }
    return 0;
}

static enum status open_row(struct store *store, const struct door_row *row, struct bytes sealed, struct writer *room)
{
    uint8_t aad[STORE_ROW_AAD_LEN], nonce[12];
    store_row_aad(row, aad, nonce);
    struct crypto_aead *aead;
    enum status status = store_epoch_find(store, row->sequence, &aead);
    if (status == NOT_FOUND)
        return AUTH;
    TRY(status);
    room->len = 0;
    return crypto_aead_open(aead, BYTES_OF(nonce), BYTES_OF(aad), sealed, room);
}

enum status store_walk_row(struct store *store, struct store_walk *walk, struct reader *answer, struct writer *room,
                           struct store_row *result)
{
    if (store->state != STORE_SERVING || walk->problem != STORE_WALK_FINE)
        return WRONG_STATE;
    if (answer->status == OK && answer->rest.len == 0)
        return walk->answered || walk->next == 0 ? NOT_FOUND : stop(walk, STORE_WALK_MISSING);
    struct door_row row;
    struct bytes sealed;
    if (!take_row(answer, &row, &sealed))
        return stop(walk, STORE_WALK_MALFORMED);
    if (walk->next == 0 || row.sequence != walk->next || !of_this_walk(walk, &row))
        return stop(walk, STORE_WALK_OTHER_ROW);
    enum status status = open_row(store, &row, sealed, room);
    if (status == AUTH)
        return stop(walk, STORE_WALK_FORGED);
    TRY(status);
    struct reader text = reader_over(writer_bytes(room));
    struct store_previous previous = {.source = take_u64be(&text)};
    previous.type = take_u64be(&text);
    walk->next = predecessor(walk, &row, previous);
    walk->answered = true;
    *result = (struct store_row){row.sequence, row.bucket_s, take_rest(&text)};
    return OK;
}

const char *store_walk_sentence(const struct store_walk *walk)
{
    switch (walk->problem) {
    case STORE_WALK_FINE:
        return "";
    case STORE_WALK_MISSING:
        return "the archive withholds rows that exist";
    case STORE_WALK_OTHER_ROW:
        return "the archive left rows out, reordered them, or gave others";
    case STORE_WALK_FORGED:
        return "a row of the archive is not the one that was stored";
    case STORE_WALK_MALFORMED:
        return "the archive's answer is not made of rows";
    }
    return "";
}
