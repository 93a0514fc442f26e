/* archive: what a node keeps for its enclave — sealed log, snapshots, archive rows — in one SQLite database file.
 * Never holds a key, never looks into what it keeps, never trusts the enclave's messages to be well formed. */
#ifndef BASTIDE_ARCHIVE_H
#define BASTIDE_ARCHIVE_H

#include "abi.h"
#include "base.h"

struct archive;

#define ARCHIVE_SNAPSHOT_MAX (512ull << 20)
#define ARCHIVE_RECORD_MAX (DOOR_MESSAGE_MAX - 64u)

struct archive_config {
    const char *path;   /* a file; it is made with mode 0600, a missing last directory with 0700 */
    uint64_t bytes_max; /* 0: no limit but the disk's. Past it, writes are NO_ROOM and reads go on */
    bool small;         /* one of many on a machine, with little in it: memory before speed, for the whole process */
};

/* One thread at a time. IO with a sentence in `why` (may be NULL): which file and what the system said; NO_ROOM: the
 * disk is full. Another process that has the file open: BUSY. */
MUST_USE enum status archive_open(struct archive **archive, const struct archive_config *config, struct writer *why);
void archive_close(struct archive *archive); /* forgets what was not synced; NULL is allowed */

/* Any ARCHIVE_*, LOG_*, SNAPSHOT_* or SYNC as it came through the door, payload hostile; the answer is that of
 * DOOR_COMPLETE. `archive` is a struct archive *. Fits struct pump_archive, as the next does. The rest of this header
 * is the same, one operation a function. */
MUST_USE enum status archive_serve(void *archive, const struct door_header *header, struct bytes payload,
                                   struct writer *answer);
void archive_abandon(void *archive); /* forgets what was not synced */

/* Writes join one transaction until archive_sync(). A write that fails (MALFORMED, NO_ROOM, IO) makes that sync fail
 * with the same status. */
MUST_USE enum status archive_append_rows(struct archive *archive, struct bytes rows);
MUST_USE enum status archive_append_log(struct archive *archive, uint64_t sequence, struct bytes record);
/* Pieces in order, from offset 0 to total, all of them before one sync; a piece at offset 0 starts anew. */
MUST_USE enum status archive_put_snapshot(struct archive *archive, struct bytes piece);
/* All since the last sync is on the disk and survives a power cut, or none of it is (NO_ROOM: the disk is full; IO).
 * A snapshot that has become complete replaces all older ones and the log up to its sequence. */
MUST_USE enum status archive_sync(struct archive *archive);

/* Reads see what was written before them, synced or not. They fill the answer as far as whole items fit. */
MUST_USE enum status archive_query(struct archive *archive, const struct door_query *query, struct writer *answer);
MUST_USE enum status archive_read_log(struct archive *archive, uint64_t from, struct writer *answer);
/* The newest complete snapshot, from wanted->off on, at most DOOR_CHUNK_MAX; total 0: there is none. A reader that goes
 * on names the sequence it began with (0: the newest). NOT_FOUND when that one is gone. */
MUST_USE enum status archive_get_snapshot(struct archive *archive, const struct door_piece *wanted,
                                          struct writer *answer);

#endif
