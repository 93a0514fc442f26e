/* store: the site's state in an in-memory SQLite database, every group of changes handed out as one sealed, chained
 * record, the whole as a sealed snapshot, archived messages as sealed rows. Never does I/O, never opens a file, never
 * reads a clock: the caller moves what is sealed and says when it is durable. */
#ifndef BASTIDE_STORE_H
#define BASTIDE_STORE_H

#include "abi.h"
#include "base.h"

struct sqlite3;
struct store;

#define STORE_PENDING_MAX 4                       /* groups sealed and not yet confirmed */
#define STORE_RECORD_MAX (DOOR_MESSAGE_MAX - 64u) /* of one sealed record: with its head it fits a door message */
#define STORE_NOTES_MAX (STORE_RECORD_MAX - 256u) /* of one record */
#define STORE_BYTES_MAX (256u * 1024u * 1024u)    /* of the database: the most a configuration may ask for */
#define STORE_BYTES_DEFAULT (32u * 1024u * 1024u)
#define STORE_LOG_RECORDS_DEFAULT 512u
#define STORE_AHEAD_MAX 32u              /* records beyond the head: the most a program may ask for */
#define STORE_NAME_MAX 256               /* of a source or a type in the archive */
#define STORE_MESSAGE_MAX (128u * 1024u) /* of an archived message */
#define STORE_EPOCH_MS (30ull * 24 * 3600 * 1000)

/* Why a store is refused. Nothing of a refused store is ever used. */
enum store_refusal {
    STORE_ACCEPTED = 0,
    STORE_EMPTY,             /* the host has nothing, the monitor knows of commits */
    STORE_ROLLED_BACK,       /* an older backup, or a log that was cut: the head lies beyond what the host gave */
    STORE_GAP,               /* a record is missing, given twice, or out of order */
    STORE_FORKED,            /* authentic, but of another history than the monitor's head */
    STORE_AHEAD,             /* more records beyond the head than may be: the monitor's table is the older one */
    STORE_TAMPERED,          /* does not authenticate */
    STORE_FOREIGN,           /* sealed for another owner, site or mode */
    STORE_OTHER_SIGNER,      /* sealed by a program of another signer or product */
    STORE_OTHER_MEASUREMENT, /* sealed for one exact program (policy exact), and this is another */
    STORE_NEWER,             /* sealed by a program with a higher security version or a newer schema */
    STORE_UNFIT,             /* authentic, but its changes do not fit the tables: our own bug, seen as far as can be */
};

/* Like MONITOR_SEAL_KEY. `open` 0: fill in `inputs` afresh for inputs->policy and give the key. `open` 1: the key of
 * exactly these inputs, or DENIED. */
typedef enum status store_key_call(void *user, uint32_t open, struct monitor_seal_inputs *inputs,
                                   uint8_t key[MONITOR_KEY_LEN]);

/* One table whose changes no record has as SQL: its owner notes them, in bytes of its own, and makes them again of
 * those while loading. That takes a tenth of the time, and cannot be inverted. Zeroed: there is none. */
struct store_noted {
    const char *table;
    uint32_t since; /* the schema version from which on, at most migration_count: earlier records have them as SQL */
    /* While loading. The notes of one record, in the records' order, borrowed; and: what was applied since the last
     * time has to be in the table now. MALFORMED, INTERNAL: STORE_UNFIT; NO_ROOM ends the store without a refusal. */
    enum status (*apply)(void *user, struct sqlite3 *db, struct bytes notes);
    enum status (*settle)(void *user, struct sqlite3 *db);
};

struct store_config {
    /* SQL texts, append-only from release to release: text n brings the schema from version n to n+1. They depend on
     * nothing but the tables (no random(), no time), because loading an older log runs them again at the same place.
     * Rules, for store_check_schema(): every table has a NOT NULL primary key and no other UNIQUE; no AUTOINCREMENT, no
     * trigger, no generated column, no name starting with "store_". */
    const char *const *migrations;
    size_t migration_count;
    enum monitor_seal_policy policy; /* 0: MONITOR_SEAL_SIGNER */
    size_t bytes_max;                /* of the database; 0: STORE_BYTES_DEFAULT */
    size_t log_records; /* that are worth a snapshot, for a launch takes time for each; 0: STORE_LOG_RECORDS_DEFAULT */
    struct store_noted noted;
    size_t ahead_max; /* records that may be beyond the monitor's head after a load; 0: one, which was not confirmed */
    store_key_call *key;
    void *user;
};

/* Call after crypto_init() and before the walls go up: initialises SQLite with a file system that refuses every file.
 * Keeps config->migrations. */
MUST_USE enum status store_open(struct store **store, const struct store_config *config);
void store_close(struct store *store); /* finalise your statements first; NULL is allowed */

/* For the test of a program's migrations, which are the same at every start: DENIED with a sentence in `why` (may be
 * NULL) when a table breaks the rules above. */
MUST_USE enum status store_check_schema(const char *const *migrations, size_t count, struct writer *why);

/* ---- Loading: begin, at most one snapshot, then the records after it in order, then finish. Any failure of the last
 * three is final: DENIED means a refusal, told by the three functions below, and the store can only be closed. ---- */

/* The key call for what will be sealed is made in here, once. Its failure changes nothing. */
MUST_USE enum status store_begin_load(struct store *store);
MUST_USE enum status store_load_snapshot(struct store *store, struct bytes snapshot);
MUST_USE enum status store_apply(struct store *store, struct bytes record);
/* `head` is the monitor's. *advance is set when authentic records beyond it were accepted: advance the monitor over
 * each (to store_sealed_head() at last) before anything else. Runs the migrations still missing. */
MUST_USE enum status store_finish_load(struct store *store, uint64_t sequence, const uint8_t hash[MONITOR_HASH_LEN],
                                       bool *advance);
/* The first log sequence wanted, after store_load_snapshot(): what DOOR_LOG_READ asks from next. */
uint64_t store_next_sequence(const struct store *store);

enum store_refusal store_refused(const struct store *store);
const char *store_refused_sentence(const struct store *store); /* what is wrong and what to do; "" while accepted */
int store_refused_exit_code(const struct store *store);        /* 7 rolled back, 8 tampered or foreign, 1 our bug */

/* ---- Commit. All below is WRONG_STATE before store_finish_load() said OK. ---- */

/* For the caller's SQL, after store_finish_load(); NULL before. SQLITE_FULL is NO_ROOM. No schema changes, no
 * attached databases, no transaction left open across the calls below; no sqlite3_blob_write() and no RETURNING, for
 * what they change is not counted, or late. */
struct sqlite3 *store_database(struct store *store);

/* Before a statement that writes: puts all changes of a group into one transaction, which store_seal() ends. Cheap once
 * it is open. Without it every statement is a transaction of its own, which costs more than the statement. */
void store_begin(struct store *store);
/* Adds to the notes of the open group, which store_begin() began, before what it notes is done: WRONG_STATE when there
 * is no such group any more, or nothing to be noted in this program. NO_ROOM past STORE_NOTES_MAX, or for want of
 * memory. Nothing was noted then. */
MUST_USE enum status store_note(struct store *store, const struct bytes *parts, size_t count);
/* Seals everything changed since the last seal as the next record; empty when nothing changed. Borrowed until the next
 * store_seal(). BUSY at STORE_PENDING_MAX; NO_ROOM past STORE_RECORD_MAX: discard and take smaller groups;
 * INTERNAL: SQLite took back the group's transaction, as it may when memory runs out, or the noted table changed
 * without a note: discard. On failure what changed is still there, unsealed. */
MUST_USE enum status store_seal(struct store *store, struct bytes *record);
/* The oldest unconfirmed record is durable and the monitor's head is on it. */
void store_confirm(struct store *store);
/* Undoes everything not confirmed, newest first. WRONG_STATE, and nothing happened, while a sealed group with notes is
 * not confirmed; any other failure is final: the store can only be closed. */
MUST_USE enum status store_revert(struct store *store);
/* Undoes only what was not sealed, and forgets its notes. A failure is final. */
MUST_USE enum status store_discard(struct store *store);

/* At most this much would be in the next record: seal before it nears STORE_RECORD_MAX. */
size_t store_changed_bytes(const struct store *store);

uint64_t store_confirmed_sequence(const struct store *store);
uint64_t store_sealed_sequence(const struct store *store); /* of the newest record, confirmed or not */
void store_sealed_head(const struct store *store, uint64_t *sequence, uint8_t hash[MONITOR_HASH_LEN]);
/* Of a record that was loaded, for one of the last config.ahead_max. NOT_FOUND: of none of those. */
MUST_USE enum status store_loaded_hash(const struct store *store, uint64_t sequence, uint8_t hash[MONITOR_HASH_LEN]);
/* What to advance the monitor to: the oldest unconfirmed record. NOT_FOUND when all is confirmed. */
MUST_USE enum status store_pending_head(const struct store *store, uint64_t *sequence, uint8_t hash[MONITOR_HASH_LEN]);

/* The log outgrew max(1 MiB, 4 × the last snapshot), or it has over log_records and is larger than the snapshot, or the
 * schema changed. */
bool store_wants_snapshot(const struct store *store);
/* The database as of the last confirmed record (what is unconfirmed is left out), for DOOR_SNAPSHOT_PUT with
 * store_confirmed_sequence(). Borrowed until store_snapshot_done(). WRONG_STATE at sequence 0, and while a sealed group
 * with notes is not confirmed. */
MUST_USE enum status store_snapshot(struct store *store, struct bytes *snapshot);
void store_snapshot_done(struct store *store);
/* What the host said of the first sync behind it: it is durable and the log begins behind it, or it was lost and is
 * wanted again. Until then no other is wanted. Nothing when none is on its way. */
void store_snapshot_synced(struct store *store, bool durable);

/* ---- Archive rows: struct door_row and its sealed bytes ---- */

struct store_message {
    uint64_t sequence;         /* store_archive_sequence() + 1, nothing else */
    uint64_t time_ms;          /* of the message: its hour is what the host sees */
    uint64_t now_ms;           /* our own time, never going back: a key serves STORE_EPOCH_MS */
    struct bytes source, type; /* 1 to STORE_NAME_MAX */
    struct bytes message;      /* opaque */
};

size_t store_row_len(const struct store_message *message); /* header, sealed bytes and padding */
/* Appends one row, as DOOR_ARCHIVE_APPEND wants it. It belongs to the open group: seal, confirm, revert and discard
 * move it along. NO_ROOM (writer or limits), WRONG_STATE (sequence); nothing has changed then. */
MUST_USE enum status store_row_seal(struct store *store, const struct store_message *message, struct writer *rows);
uint64_t store_archive_sequence(const struct store *store);  /* of the last row sealed; 0: none */
uint64_t store_archive_confirmed(const struct store *store); /* of the last row confirmed */

/* A walk over the host's rows, newest first: all of them, those of one source, or those of one type. It starts at the
 * newest confirmed row, which the sealed store knows, and every row names its predecessor in its source and in its
 * type: so the walk knows which sequence must come next, and a row withheld, reordered, replaced or invented is
 * noticed. It is complete when `next` is 0. A range of time is walked from the newest row down to the first row that
 * is older than the range by the caller's own monotonic time; what was seen above that row is complete. */
enum store_walk_problem {
    STORE_WALK_FINE = 0,
    STORE_WALK_MISSING,   /* the host gave no row although there is one */
    STORE_WALK_OTHER_ROW, /* a gap, another order, or a row that is not of this walk */
    STORE_WALK_FORGED,    /* does not authenticate: replaced, or of a commit that was taken back */
    STORE_WALK_MALFORMED,
};

struct store_walk {
    enum door_query_by by;
    uint8_t blind[DOOR_BLIND_LEN];
    uint64_t next; /* the sequence the next row must have; 0: the walk is complete. A cursor to go on from later */
    enum store_walk_problem problem;
    bool answered; /* a row came in answer to the last query */
};

struct store_row {
    uint64_t sequence;
    uint64_t bucket_s;
    struct bytes message; /* in the caller's `room` */
};

/* `name` is ignored for DOOR_BY_SEQUENCE. `from`: 0 for the newest, or a cursor: `next` of an earlier walk of the same
 * kind. A name never archived is an empty walk. */
MUST_USE enum status store_walk_begin(struct store *store, struct store_walk *walk, enum door_query_by by,
                                      struct bytes name, uint64_t from);
struct door_query store_walk_query(struct store_walk *walk, uint32_t limit);
/* One row off the answer to that query. `room` is at least STORE_MESSAGE_MAX + 32 bytes and is overwritten by each row.
 * NOT_FOUND: the answer is used up; ask again while walk->next is not 0. DENIED: walk->problem tells, and the walk
 * stays there. Call at least once an answer, so that an empty one is noticed. */
MUST_USE enum status store_walk_row(struct store *store, struct store_walk *walk, struct reader *answer,
                                    struct writer *room, struct store_row *row);
const char *store_walk_sentence(const struct store_walk *walk);

#endif
