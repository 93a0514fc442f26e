/* A snapshot on its way to the host. */
#include "journal.h"

enum status journal_put_snapshot(struct store *store, journal_send *send, void *user)
{
    struct bytes snapshot;
    if (!store_wants_snapshot(store) || store_snapshot(store, &snapshot) != OK)
        return OK;
    const uint64_t sequence = store_confirmed_sequence(store);
    enum status status = OK;
    for (size_t off = 0; off < snapshot.len && status == OK;) {
        size_t len = snapshot.len - off < DOOR_CHUNK_MAX ? snapshot.len - off : DOOR_CHUNK_MAX;
        const struct door_piece piece = {sequence, snapshot.len, off, len};
        const struct bytes parts[] = {bytes_from(&piece, sizeof piece), bytes_slice(snapshot, off, len)};
        if (send(user, DOOR_SNAPSHOT_PUT, 0, parts, 2) != OK)
            status = IO;
        off += len;
    }
    store_snapshot_done(store);
    return status;
}
