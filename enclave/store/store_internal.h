/* store, inside: one database, its open session, what is sealed and not yet confirmed, and the keys of this launch. */
#ifndef BASTIDE_STORE_INTERNAL_H
#define BASTIDE_STORE_INTERNAL_H

#include "store.h"

#include "crypto.h"

#define SQLITE_ENABLE_SESSION 1
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#include <sqlite3.h>

#define STORE_TAG_LEN 16

enum store_state { STORE_KEYLESS, STORE_LOADING, STORE_SERVING, STORE_FAILED };

/* A key and what it was made from. `counter` numbers the seals made with it: the nonce. */
struct store_segment {
    bool ready;
    struct monitor_seal_inputs inputs;
    uint8_t salt[MONITOR_KEY_LEN];
    struct crypto_aead aead;
    uint64_t counter;
};

struct store_head {
    uint64_t sequence;
    uint8_t hash[MONITOR_HASH_LEN];
};

struct store_pending {
    struct store_head head;
    void *changeset; /* SQLite's memory; with old values, so that it can be inverted; NULL: notes alone */
    int len;
    bool noted;
    size_t record_len;
    uint64_t archive_sequence;
};

/* An epoch's key, ready for use. */
struct store_epoch {
    bool ready;
    uint64_t first_sequence;
    uint64_t period; /* of now_ms; for sealing only */
    struct crypto_aead aead;
};

/* What an unconfirmed row put before itself: the chains' heads as of the confirmed rows can be found again. */
struct store_previous {
    uint64_t source, type;
};

enum store_sql {
    STORE_SQL_CHAIN_GET,
    STORE_SQL_CHAIN_PUT,
    STORE_SQL_EPOCH_GET,
    STORE_SQL_EPOCH_PUT,
    STORE_SQL_ROOT_GET,
    STORE_SQL_ROOT_PUT,
    STORE_SQL_BEGIN,
    STORE_SQL_COMMIT,
    STORE_SQL_COUNT,
};

struct store {
    struct store_config config;
    enum store_state state;
    enum store_refusal refusal;
    char sentence[320];

    sqlite3 *db;
    sqlite3_session *session;
    sqlite3_int64 changes; /* sqlite3_total_changes64() when it had seen none */
    sqlite3_int64 passed;  /* rows since then that it was not to see: of the noted table */
    bool grouped;          /* store_begin() opened a transaction that nobody ended */
    sqlite3_stmt *sql[STORE_SQL_COUNT];
    struct store_segment sealing, opening;

    struct store_head confirmed;
    uint8_t trail[STORE_AHEAD_MAX + 1][MONITOR_HASH_LEN]; /* of the last records, by sequence modulo their number */
    uint64_t trail_from;                                  /* the first of them: the snapshot's, or 0 */
    bool any_record, any_snapshot;                        /* while loading: was given */
    uint32_t schema;                                      /* of the tables as they are */
    sqlite3_changegroup *merged;                          /* while loading: not applied yet; NULL: nothing */
    size_t merged_bytes;
    uint64_t merged_from; /* the first record's sequence */
    uint8_t merged_kind;  /* and its changes' first byte */
    bool unsettled;       /* while loading: notes were applied that may not be in their table yet */
    struct {              /* of the open group: their length, they themselves; len 0: none yet */
        uint8_t *data;
        size_t len, cap;
    } notes;
    struct store_pending pending[STORE_PENDING_MAX];
    size_t pending_count;

    uint8_t *record, *snapshot;    /* lent out */
    size_t log_bytes, log_records; /* since the last snapshot */
    size_t snapshot_len;
    size_t snapshot_sent;            /* its length, until it is known whether it is durable; 0: none on its way */
    size_t sent_bytes, sent_records; /* of the log that it stands for */
    bool schema_changed;

    struct { /* archive */
        uint64_t sequence, confirmed;
        bool secrets_ready;
        uint8_t root[MONITOR_KEY_LEN];
        uint8_t blind_key[MONITOR_KEY_LEN];
        struct store_epoch sealing, opening;
        struct store_previous *previous; /* of rows confirmed + 1 … sequence */
        size_t previous_cap;
    } archive;
};

/* database.c */
enum status store_sql_status(int code); /* of SQLite */
extern sqlite3_vfs store_no_files;      /* the default one once SQLite has started */

MUST_USE enum status store_database_open(const struct store_config *config, sqlite3 **db);
/* Of the tables, from now on; pages they have they keep. Twice as much while loading, for what is merged is not applied
 * in the order in which it was made: rows may come before those go whose room they took. */
MUST_USE enum status store_limit(struct store *store, size_t bytes_max);
MUST_USE enum status store_sqlite_start(void);
MUST_USE enum status store_migrate_database(sqlite3 *db, const struct store_config *config, uint32_t version,
                                            struct writer *why);
MUST_USE enum status store_migrate(struct store *store, uint32_t version);
uint32_t store_schema_version(sqlite3 *db);
void store_guard_schema(struct store *store); /* from now on no statement that changes the schema compiles */
/* A prepared statement, reset; NULL when there is no memory. */
sqlite3_stmt *store_sql(struct store *store, enum store_sql which);
MUST_USE enum status store_run(sqlite3_stmt *statement); /* one that returns no row; resets it */

/* seal.c */
enum store_kind { STORE_KIND_RECORD = 0x42535431, STORE_KIND_SNAPSHOT = 0x42535331 };
#define STORE_HEADER_LEN 224u

struct store_header {
    enum store_kind kind;
    uint32_t schema;
    struct store_head head; /* of a record: its own sequence and its predecessor's hash; of a snapshot: the head */
    struct monitor_seal_inputs inputs;
    uint8_t salt[MONITOR_KEY_LEN];
    uint64_t counter;
};

MUST_USE enum status store_segment_start(struct store *store);
void store_segment_done(struct store_segment *segment);
MUST_USE enum status store_seal_text(struct store *store, enum store_kind kind, const struct store_head *head,
                                     struct bytes text, struct writer *out);
/* Reads the header; then, if the store may have the key, the text, which the caller frees. */
MUST_USE enum status store_open_text(struct store *store, enum store_kind kind, struct bytes sealed,
                                     struct store_header *header, uint8_t **text, size_t *len);
MUST_USE enum status store_hash(struct bytes bytes, uint8_t hash[MONITOR_HASH_LEN]);

/* commit.c */
MUST_USE enum status store_session_start(struct store *store);
void store_pending_free(struct store *store);

/* note.c */
/* What a record of these changes and the open group's notes says: in a program that notes nothing just the changes.
 * Borrowed from either, until the next note. */
MUST_USE enum status store_note_text(struct store *store, struct bytes changes, struct bytes *text);
void store_notes_forget(struct store *store);
bool store_is_noted(const struct store *store, uint32_t schema); /* its records begin with notes */
MUST_USE enum status store_note_take(struct bytes text, struct bytes *notes, struct bytes *changes);
/* For the session, which asks for each row of a table that it does not watch; asked less often, we take a changeset in
 * vain. */
int store_is_watched(void *store, const char *table);

/* load.c */
/* Ends the store, says why, and is DENIED. */
enum status store_refuse(struct store *store, enum store_refusal refusal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status store_fail(struct store *store, enum status status); /* ends the store without a refusal */
void store_merge_done(struct store *store);
int store_on_conflict(void *user, int kind, sqlite3_changeset_iter *change);

/* row.c: the archive's state in step with the database's */
enum store_chain {
    STORE_CHAIN_ALL = DOOR_BY_SEQUENCE,
    STORE_CHAIN_SOURCE = DOOR_BY_SOURCE,
    STORE_CHAIN_TYPE = DOOR_BY_TYPE
};
MUST_USE enum status store_archive_load(struct store *store); /* after loading and after an undo */
void store_archive_confirm(struct store *store, uint64_t sequence);
void store_archive_forget(struct store *store); /* keys and epochs; a new epoch begins with the next row */
void store_archive_done(struct store *store);
MUST_USE enum status store_archive_secrets(struct store *store, bool make);
MUST_USE enum status store_chain_get(struct store *store, enum store_chain chain, const uint8_t *blind,
                                     uint64_t *sequence);
MUST_USE enum status store_epoch_find(struct store *store, uint64_t sequence, struct crypto_aead **aead);
void store_blind_index(const struct store *store, enum store_chain chain, struct bytes name,
                       uint8_t blind[DOOR_BLIND_LEN]);
/* What the AEAD of a row covers besides its text, and its nonce. */
#define STORE_ROW_AAD_LEN 56
void store_row_aad(const struct door_row *row, uint8_t aad[STORE_ROW_AAD_LEN], uint8_t nonce[12]);

#endif
