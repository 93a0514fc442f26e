/* heads: every site's head (sequence, hash) and the counter rule that keeps it from going back (DESIGN.md §4).
 * Never says a head is durable before it is, unless it was asked to; never guesses which of two states is the newer
 * one.
 *
 * A head comes with the record that it names, or without. The last HEADS_RECORDS of a site's records that came are kept
 * in a place of the site's own, each under a MAC that names the table it follows: so a site's head is the table's and
 * what follows it, and a commit waits for one page that is written over. The host's log, which has those records too,
 * may follow later. A new table is written when the records would run into those that follow the present one, and for
 * all that is no such record; none follows it then.
 *
 * The table is one file of two slots, each a whole table under a MAC; a change goes to the older slot, so a write that
 * is cut leaves the other, and the records that follow it.
 *
 * A commit may be relaxed: answered when its record is with the kernel, and durable some time later, at the latest with
 * the HEADS_UNSYNCED_MAX-th. Whoever kills processes takes nothing from it; with the power the newest may be lost,
 * never one without those behind it.
 *
 * Moving the counter from c to c+1: a slot with c that names the nonce of what comes (`ahead`), a slot with c+1 that
 * bears it, then the TPM. At start: table == counter is fine; table == counter+1 is a crash between the two, and only
 * the slot named ahead is taken; everything else is refused.
 *
 * Forgetting a site, or all of them, begins an epoch, which is the counter's value then. A site without a record begins
 * at {sequence 0, hash = its epoch}, and the first record of its log names that hash as what it follows. So what was
 * stored before the site was forgotten does not open afterwards, however it is cut: its newest record is not the one
 * that a head names, and of its first alone, which could pass for one that was stored and not yet confirmed, the
 * beginning is another. And the table that still had the head is older than the counter. */
#ifndef BASTIDE_HEADS_H
#define BASTIDE_HEADS_H

#include "base.h"
#include "crypto.h"

#define HEADS_SITES_MAX 64
#define HEADS_SITE_LEN 16
#define HEADS_SLOT_LEN 4096
#define HEADS_RECORDS 32 /* kept of each site: of the sequences up to its head's */
#define HEADS_RECORD_MAX 4032u
#define HEADS_PLACE_LEN 4096u
#define HEADS_UNSYNCED_MAX 16 /* records that are not durable, of all sites together */
#define HEADS_NONCE_LEN 16

struct head {
    uint8_t site[HEADS_SITE_LEN];
    uint64_t sequence; /* 0: nothing was committed since the site's epoch began … */
    uint8_t hash[32];  /* … and this is the epoch, a big-endian number and zeros; none (zeros) on a node that never
                          forgot */
};

/* What the rule is about; injected so that tests can cut any of it. A failed write may have been done or not. */
struct heads_outside {
    void *context;
    enum status (*read_slot)(void *context, unsigned slot, uint8_t data[HEADS_SLOT_LEN],
                             size_t *len);                                                       /* 0: never written */
    enum status (*write_slot)(void *context, unsigned slot, const uint8_t data[HEADS_SLOT_LEN]); /* OK: it is durable */
    /* A site's place, and which of its records by sequence modulo HEADS_RECORDS. A place never written is zeros. */
    enum status (*read_record)(void *context, size_t place, unsigned which, uint8_t data[HEADS_PLACE_LEN]);
    enum status (*write_record)(void *context, size_t place, unsigned which, const uint8_t data[HEADS_PLACE_LEN]);
    enum status (*sync_records)(void *context); /* OK: all that was written is durable */
    bool no_records;                            /* what held them was not there: they are blank */
    enum status (*read_counter)(void *context, uint64_t *value);
    enum status (*increment_counter)(void *context, uint64_t *value);
};

/* When an advance is OK. */
enum heads_commit {
    HEADS_RELAXED, /* it is with the kernel; without a record as HEADS_DURABLE */
    HEADS_DURABLE,
    HEADS_STRICT, /* durable, and the counter moved too */
};

/* Why a table is refused. */
enum heads_verdict {
    HEADS_GOOD,
    HEADS_ROLLED_BACK,  /* older than the TPM's counter: an earlier disk */
    HEADS_EMPTY,        /* there is none, or no records beside it, though the counter has moved */
    HEADS_COUNTER_BACK, /* the TPM's counter is behind it: another TPM, or its state was replaced */
    HEADS_TAMPERED,     /* not written by this node's monitor, or changed */
    HEADS_OUTSIDE,      /* disk or TPM failed */
};

struct heads_record {
    size_t place;
    unsigned which;
    uint8_t data[HEADS_PLACE_LEN];
};

struct heads {
    struct heads_outside outside;
    uint8_t key[32];
    struct head released[HEADS_SITES_MAX]; /* what callers were told; sequence 0: a place that is free */
    uint64_t tabled[HEADS_SITES_MAX];      /* the present table's sequences … */
    uint8_t nonce[HEADS_NONCE_LEN];        /* … and its nonce, by which records name it */
    unsigned unsynced;                     /* records, which are kept until they are durable */
    struct heads_record unsynced_records[HEADS_UNSYNCED_MAX];
    size_t places; /* those from here on are free */
    uint64_t generation;
    uint64_t counter;
    uint64_t since_s;
    uint64_t epoch;
    unsigned slot;  /* holds the present table */
    bool unsure;    /* a write failed and may have been done: it is overwritten before the next */
    bool unsettled; /* the table is one ahead and the TPM did not say whether it followed */
};

/* Loads, applies the rule, and moves the counter once. `born` is the counter's value when the node's keys were made:
 * there only may a table be missing. `key` is 32 bytes, copied. On anything but OK the verdict tells. */
MUST_USE enum status heads_start(struct heads *heads, const struct heads_outside *outside, struct bytes key,
                                 uint64_t born, uint64_t now_s, enum heads_verdict *verdict);
/* After heads_start() refused, and only with a token: an empty table at the present counter, then as at a start. */
MUST_USE enum status heads_reinitialise(struct heads *heads, uint64_t now_s);
size_t heads_count(const struct heads *heads); /* sites that have a head */
/* A site without a record has a head of sequence 0. */
void heads_get(const struct heads *heads, const uint8_t site[HEADS_SITE_LEN], struct head *head);
/* `record`: the one that `head` names, to be kept; or empty. WRONG_STATE unless head->sequence is the present one plus
 * one; NO_ROOM past HEADS_SITES_MAX or HEADS_RECORD_MAX; MALFORMED: the record has another hash (SHA-256); IO: not
 * advanced, or only by whoever starts next: ask heads_get() where it stands; DENIED: another monitor has moved the
 * counter, stop. */
MUST_USE enum status heads_advance(struct heads *heads, const struct head *head, struct bytes record,
                                   enum heads_commit commit, uint64_t now_s);
/* What relaxed commits left is durable. IO: not yet. */
MUST_USE enum status heads_sync(struct heads *heads);
/* A record that came with an advance, of the last HEADS_RECORDS sequences; in `data`. NOT_FOUND: it is not kept.
 * Whether it is the one that came is for whoever sealed it to see. */
MUST_USE enum status heads_record(const struct heads *heads, const uint8_t site[HEADS_SITE_LEN], uint64_t sequence,
                                  uint8_t data[HEADS_PLACE_LEN], struct bytes *record);
/* The site's record goes and leaves its place to another site; the counter moves. NOT_FOUND: there is none; IO: not
 * forgotten, or only by whoever starts next; DENIED as above. On whose word is the caller's to judge. */
MUST_USE enum status heads_forget(struct heads *heads, const uint8_t site[HEADS_SITE_LEN], uint64_t now_s);
/* The counter moves: clean stop. */
MUST_USE enum status heads_move(struct heads *heads, uint64_t now_s);
/* DENIED when the counter is above ours: another monitor lives. */
MUST_USE enum status heads_check_lease(struct heads *heads);
/* After a failure the disk, or the counter, may be one ahead of what heads_get() says: brings them back to it. */
MUST_USE enum status heads_repair(struct heads *heads);
void heads_done(struct heads *heads); /* wipes the key */

/* A sentence for people and the exit code of that refusal (7 rolled back, 8 tampered, 9 TPM). */
const char *heads_sentence(enum heads_verdict verdict);
int heads_exit_code(enum heads_verdict verdict);

/* ---- the files ---- */

struct heads_files {
    int table, records; /* descriptors */
    bool made;          /* the records were not there, or not all */
};

/* DIR/table and DIR/records, made with 0600 and every place written if absent or short; records that are made begin
 * with what a table of before has behind its slots. The descriptors are the caller's to close. */
MUST_USE enum status heads_open_files(const char *table, const char *records, struct heads_files *files);
MUST_USE enum status heads_read_slot(const struct heads_files *files, unsigned slot, uint8_t data[HEADS_SLOT_LEN],
                                     size_t *len);
MUST_USE enum status heads_write_slot(const struct heads_files *files, unsigned slot,
                                      const uint8_t data[HEADS_SLOT_LEN]);
MUST_USE enum status heads_read_place(const struct heads_files *files, size_t place, unsigned which,
                                      uint8_t data[HEADS_PLACE_LEN]);
MUST_USE enum status heads_write_place(const struct heads_files *files, size_t place, unsigned which,
                                       const uint8_t data[HEADS_PLACE_LEN]);
MUST_USE enum status heads_sync_places(const struct heads_files *files);

#endif
