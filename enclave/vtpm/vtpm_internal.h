/* vtpm, inside: one instance's state, shared by queue, control, TPM, commit and load.
 * Never included outside this directory. */
#ifndef BASTIDE_VTPM_INTERNAL_H
#define BASTIDE_VTPM_INTERNAL_H

#include "vtpm.h"

#include "crypto.h"
#include "journal.h"
#include "store.h"
#include "swtpm.h"
#include "vtpm_keys.h"
#include "vtpm_transfer.h"

#include <openssl/aes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

#define VTPM_SENTENCE_MAX 256
#define VTPM_LOCK_LEN 32                    /* SHA-256 */
#define VTPM_SOCKET UINT64_MAX              /* in place of a channel's number: the data socket */
#define VTPM_REPLY_MAX VTPM_KEYS_ANSWER_MAX /* the longest there is */

enum vtpm_life { VTPM_LOADING, VTPM_SERVING, VTPM_STOPPED };
/* A sealed record's way: durable at the host, where the monitor cannot keep it; the monitor's head on it. */
enum vtpm_commit { VTPM_AT_REST, VTPM_SYNCING, VTPM_ADVANCING, VTPM_WAITING };

/* As libtpms names them; the numbers are in the tables. */
enum vtpm_kind { VTPM_PERMANENT = 0, VTPM_VOLATILE = 1, VTPM_SAVED = 2, VTPM_KINDS = 3 };

/* One state as the tables have it, or, while notes are loaded, as they will. It exists if it is longer than 0. */
struct vtpm_state {
    uint8_t *data;
    size_t len, cap;
    bool exists;
};

/* The data socket: at most one command is under way, and of the others no more is read than one may be long. */
struct vtpm_socket {
    bool open;
    bool asked; /* a command was taken and not answered yet */
    uint16_t in_len;
    uint16_t out_len;
    uint8_t in[SWTPM_PREFIX + SWTPM_TPM_MAX];
    uint8_t out[SWTPM_TPM_MAX + 8]; /* what the socket has not taken */
};

struct vtpm_waiting {
    struct vtpm_waiting *next;
    uint64_t channel;
    uint32_t transport;
    size_t len;
    uint8_t frame[];
};

enum vtpm_sql {
    VTPM_SQL_PUT,
    VTPM_SQL_CUT,
    VTPM_SQL_LIST,
    VTPM_SQL_KEEP,
    VTPM_SQL_KEPT,
    VTPM_SQL_STAY_PUT,
    VTPM_SQL_STAY_GET,
    VTPM_SQL_LOCK_PUT,
    VTPM_SQL_LOCK_GET,
    VTPM_SQL_COUNT
};

/* Whose the state is at present: the one row of its table. Zeroed: there is neither state nor row. */
struct vtpm_stay {
    enum vtpm_custody custody;
    bool kept;                                  /* the row is there */
    uint8_t line[VTPM_TRANSFER_ID_LEN];         /* LIVE: since when; a snapshot of another stay is refused */
    uint8_t to[VTPM_TRANSFER_POINT_LEN];        /* as in vtpm_transfer_facts */
    uint8_t secret[32];                         /* LANDING: the landing key; MOVED: `from`'s */
    uint8_t content[VTPM_TRANSFER_KEY_LEN];     /* MOVED */
    uint8_t id[VTPM_TRANSFER_ID_LEN];           /* MOVED, FORGOTTEN */
    uint32_t security_version;                  /* MOVED: ours at that time */
    uint8_t grant[VTPM_TRANSFER_AUTHORITY_MAX]; /* MOVED */
    size_t grant_len;
};

/* A state that was taken in and not applied yet. */
struct vtpm_staged {
    bool given, exists;
    enum vtpm_blob_purpose purpose;
    uint8_t id[VTPM_TRANSFER_ID_LEN];
    uint64_t serial; /* as vtpm_blob_serial() */
    uint8_t *data;
    size_t len;
};

/* A state sealed to be given out, all kinds at one moment. */
struct vtpm_sealed {
    uint8_t *data;
    size_t len;
};

struct vtpm {
    struct vtpm_port port;
    struct image_machine machine; /* serial 0: there is none */
    uint64_t serial;              /* the highest that was kept */
    bool measured;                /* as of the last INIT; then `launch` holds */
    struct image_launch launch;
    uint64_t logged; /* launches of the node that are in VTPM_LAUNCH_LOG_PCR */
    struct vtpm_socket_port socket_port;
    uint32_t state_max, buffer_max;
    enum vtpm_life life;
    int exit_code;
    char sentence[VTPM_SENTENCE_MAX];

    struct store *store;
    struct monitor_head_reply head;
    sqlite3_stmt *sql[VTPM_SQL_COUNT];
    struct vtpm_state states[VTPM_KINDS];
    bool ahead;        /* of the tables: while notes are loaded */
    bool strict;       /* the next commit says where the state is: the monitor's counter moves with it */
    bool store_failed; /* a state could not be put: nothing more may be answered */
    uint64_t now_ms;   /* the host's clock, for its own timer only */

    bool running; /* libtpms is initialised */
    uint8_t locality;
    uint8_t *response; /* libtpms' own, kept from command to command */
    uint32_t response_len, response_cap;

    struct vtpm_waiting *first, *last;
    uint32_t waiting;
    size_t waiting_bytes;

    enum vtpm_commit commit;
    struct bytes record;                /* borrowed from the store until the next seal */
    bool failing;                       /* the last sync failed */
    uint64_t handed, synced;            /* up to which sequence the host has the log, and has it durably */
    uint64_t next_id, sync_id, sync_of; /* the sync under way, and up to where it makes durable; 0: there is none */
    uint64_t channel;                   /* whom the reply is for that waits for the commit; VTPM_SOCKET */
    uint8_t reply_room[VTPM_REPLY_MAX];
    uint8_t *reply; /* reply_room, or owned where that does not do */
    size_t reply_len;

    uint8_t instance[VTPM_TRANSFER_INSTANCE_LEN];
    struct crypto_public owner; /* zeroed: none */
    uint32_t security_version;  /* ours */
    struct vtpm_stay stay;
    struct crypto_key from;  /* LIVE: made when it is first told; MOVED: of stay.secret; as in vtpm_transfer_facts */
    struct vtpm_grant armed; /* purpose 0: no grant to move was presented */
    uint8_t armed_grant[VTPM_TRANSFER_AUTHORITY_MAX];
    size_t armed_len;
    bool paused; /* it ran when its state left */
    struct vtpm_staged staged[VTPM_KINDS];
    struct vtpm_sealed sealed[VTPM_KINDS];

    struct vtpm_socket socket;

    struct {
        bool kept, open, tried; /* there is a passphrase; it came; something came, right or wrong */
        uint8_t hash[VTPM_LOCK_LEN];
    } lock;

    struct {
        uint64_t id; /* of the question under way; 0: none */
        struct journal_load journal;
    } load;
};

/* vtpm.c */
__attribute__((format(printf, 3, 4))) void vtpm_stop(struct vtpm *vtpm, int exit_code, const char *format, ...);
__attribute__((format(printf, 2, 3))) void vtpm_audit(struct vtpm *vtpm, const char *format, ...);
void vtpm_send(struct vtpm *vtpm, enum door_operation operation, uint64_t id, struct bytes payload);
void vtpm_serve_waiting(struct vtpm *vtpm); /* as far as no commit holds it up */

void vtpm_handle(struct vtpm *vtpm, uint64_t channel, uint32_t transport, struct bytes frame);

/* socket.c: the answer to its command. */
void vtpm_socket_answer(struct vtpm *vtpm, struct bytes frame);
void vtpm_socket_done(struct vtpm *vtpm);

/* load.c */
void vtpm_load_take(struct vtpm *vtpm, enum status status, struct bytes payload);

/* state.c: in the open group of the store. NO_ROOM, INTERNAL: and then store_failed is set. */
MUST_USE enum status vtpm_state_put(struct vtpm *vtpm, enum vtpm_kind kind, struct bytes state);
MUST_USE enum status vtpm_state_drop(struct vtpm *vtpm, enum vtpm_kind kind);
MUST_USE enum status vtpm_states_load(struct vtpm *vtpm);
void vtpm_states_done(struct vtpm *vtpm);
void vtpm_state_shorten(struct vtpm_state *state, size_t len);                  /* 0: it is gone */
MUST_USE enum status vtpm_state_lengthen(struct vtpm_state *state, size_t len); /* NO_ROOM past VTPM_STATE_MAX */
MUST_USE enum status vtpm_pieces_load(struct vtpm *vtpm, sqlite3 *db);
/* The pieces that differ from the ones before, without a note. */
MUST_USE enum status vtpm_pieces_put(struct vtpm *vtpm, enum vtpm_kind kind, struct bytes state);
MUST_USE enum status vtpm_sql_run(sqlite3_stmt *statement);
extern const char *const vtpm_schema[];
extern const size_t vtpm_schema_count;
extern const struct store_noted vtpm_noted;

/* note.c: in the open group of the store; and of a record that is loaded (struct store_noted). */
MUST_USE enum status vtpm_note_written(struct vtpm *vtpm, enum vtpm_kind kind, size_t off, struct bytes bytes);
MUST_USE enum status vtpm_note_cut(struct vtpm *vtpm, enum vtpm_kind kind, size_t len);
MUST_USE enum status vtpm_notes_apply(void *user, sqlite3 *db, struct bytes notes);
MUST_USE enum status vtpm_notes_settle(void *user, sqlite3 *db);

/* load.c: to the next record beyond the monitor's head; with none left it serves. */
void vtpm_load_advance(struct vtpm *vtpm);

/* policy.c. DENIED: the one given is older than what was seen, and the instance stopped. */
MUST_USE enum status vtpm_policy_load(struct vtpm *vtpm);
MUST_USE enum status vtpm_policy_keep(struct vtpm *vtpm); /* in the open group */

/* lock.c */
MUST_USE enum status vtpm_lock_load(struct vtpm *vtpm);
bool vtpm_is_locked(const struct vtpm *vtpm);
void vtpm_unlock(struct vtpm *vtpm, struct bytes passphrase, struct writer *reply);

/* launch.c. At INIT; a result as swtpm's. */
uint32_t vtpm_launch_ask(struct vtpm *vtpm);
bool vtpm_launch_started(struct vtpm *vtpm); /* after TPM2_Startup; false: PCRs could not be set */
void vtpm_launches_ask(struct vtpm *vtpm);   /* before each command */
/* What of a TPM's bus is left to the host end. */
uint8_t vtpm_locality_max(const struct vtpm *vtpm);
bool vtpm_hashing_is_ours(const struct vtpm *vtpm);

/* commit.c: the reply goes out once everything changed is durable; at once when nothing did. */
void vtpm_commit(struct vtpm *vtpm, uint64_t channel);
void vtpm_synced(struct vtpm *vtpm, enum status status);
void vtpm_try_again(struct vtpm *vtpm);
void vtpm_reply_done(struct vtpm *vtpm);

/* custody.c: in the open group of the store, as vtpm_state_put(). */
MUST_USE enum status vtpm_stay_put(struct vtpm *vtpm, const struct vtpm_stay *stay);
MUST_USE enum status vtpm_stay_load(struct vtpm *vtpm);
MUST_USE enum status vtpm_stay_begin(struct vtpm *vtpm, const uint8_t to[VTPM_TRANSFER_POINT_LEN]); /* LIVE from now */
MUST_USE enum status vtpm_from_ready(struct vtpm *vtpm);
void vtpm_disarm(struct vtpm *vtpm); /* forgets `from` and the grant to it */
/* Nothing of what this request changed is kept; or the vTPM stops. */
void vtpm_take_back(struct vtpm *vtpm);
void vtpm_custody_done(struct vtpm *vtpm);

/* snapshot.c: state sealed for a receiver. DENIED: why, and why not, is in the audit log. */
MUST_USE enum status vtpm_move_out(struct vtpm *vtpm); /* armed: durable with this request's commit */
MUST_USE enum status vtpm_seal_states(struct vtpm *vtpm, enum vtpm_blob_purpose purpose);
void vtpm_sealed_done(struct vtpm *vtpm);
void vtpm_get_state(struct vtpm *vtpm, const struct swtpm_request *request, struct swtpm_reply *reply);

/* land.c: state taken in. *why is a sentence. */
MUST_USE enum status vtpm_stage(struct vtpm *vtpm, struct bytes blob, const char **why);
MUST_USE enum status vtpm_apply(struct vtpm *vtpm, const char **why); /* OK also when nothing was taken in */
void vtpm_staged_done(struct vtpm *vtpm);
uint32_t vtpm_set_state(struct vtpm *vtpm, const struct swtpm_request *request);

/* control.c, tpm.c, identity.c, transfer.c: handle one frame and write its answer. */
void vtpm_control(struct vtpm *vtpm, struct bytes frame, struct writer *reply);
void vtpm_command(struct vtpm *vtpm, struct bytes frame, struct writer *reply);
void vtpm_identity(struct vtpm *vtpm, struct bytes frame, struct writer *reply);
void vtpm_transfer(struct vtpm *vtpm, struct bytes frame, struct writer *reply);

/* tpm.c; results as swtpm's, which are libtpms' own. */
MUST_USE enum status vtpm_tpm_choose(struct vtpm *vtpm, uint32_t buffer_max);
uint32_t vtpm_tpm_on(struct vtpm *vtpm);
void vtpm_tpm_off(struct vtpm *vtpm);
uint32_t vtpm_tpm_store_volatile(struct vtpm *vtpm);
/* The volatile state of a TPM that runs; the caller wipes and frees it. */
MUST_USE enum status vtpm_tpm_volatile(struct vtpm *vtpm, uint8_t **data, size_t *len);
bool vtpm_tpm_accepts(struct vtpm *vtpm); /* the states as they are, by a TPM that is off and is off afterwards */
/* One command of at most SWTPM_TPM_MAX bytes; the response is borrowed until the next. INTERNAL: there is none. */
MUST_USE enum status vtpm_tpm_process(struct vtpm *vtpm, uint8_t locality, struct bytes command,
                                      struct bytes *response);

/* One command of ours with its header; its response's code, and what follows that, borrowed until the next. */
MUST_USE enum status vtpm_tpm_run(struct vtpm *vtpm, uint8_t locality, uint16_t tag, uint32_t command_code,
                                  struct bytes body, uint32_t *code, struct bytes *rest);

/* libc.c: all that libtpms gets to see of files, time and processes, bound by name when its archive is made ready
 * (libtpms.cmake). `vtpm` NULL: no instance, time stands still. */
void vtpm_libc_serve(const struct vtpm *vtpm);
int vtpm_clock_gettime(clockid_t clock, struct timespec *now);
int vtpm_gettimeofday(struct timeval *now, void *zone);
clock_t vtpm_clock(void);
int vtpm_getpid(void);
int vtpm_rand(void);
void vtpm_srand(unsigned seed);
char *vtpm_getenv(const char *name);
FILE *vtpm_fopen(const char *path, const char *mode);
int vtpm_fclose(FILE *file);
int vtpm_fflush(FILE *file);
int vtpm_fseek(FILE *file, long off, int whence);
long vtpm_ftell(FILE *file);
size_t vtpm_fread(void *to, size_t len, size_t count, FILE *file);
size_t vtpm_fwrite(const void *from, size_t len, size_t count, FILE *file);
int vtpm_remove(const char *path);
int vtpm_vdprintf(int fd, int flag, const char *format, va_list arguments);
int vtpm_dprintf(int fd, int flag, const char *format, ...);

/* aes.c: bound in the same way; as libcrypto's functions without the prefix. */
int vtpm_AES_set_encrypt_key(const uint8_t *key, int bits, AES_KEY *schedule);
void vtpm_AES_encrypt(const uint8_t in[AES_BLOCK_SIZE], uint8_t out[AES_BLOCK_SIZE], const AES_KEY *schedule);

#endif
