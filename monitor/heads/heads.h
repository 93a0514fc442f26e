/* heads: every site's head (sequence, hash) and the counter rule that keeps it from going back (DESIGN.md §4).
 * Never says a head is durable before it is; never guesses which of two states is the newer one.
 *
 * The table is one file of two slots, each a whole table under a MAC; a change goes to the older slot, so a write that
 * is cut leaves the other. Overwriting 4 KiB in place and fdatasync() cost a fifth of writing a new file, renaming it
 * and syncing the directory (0.11 against 0.55 ms where it was measured), and every commit waits for it.
 *
 * A head may come with the record that it names. The last HEADS_RECORDS of a site's records that came are kept behind
 * the slots, in a place of the site's own, and are durable by the same fdatasync(): so a commit waits for one, and the
 * host's log, which has those records too, may follow later. A slot says which record was written with it, and counts
 * for cut where that is not there.
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
#define HEADS_RECORDS 8 /* kept of each site: of the sequences up to its head's */
#define HEADS_RECORD_MAX 4064u
#define HEADS_PLACE_LEN (HEADS_RECORD_MAX + 32u) /* for one: site, u64 sequence, u64 len, both big-endian, record */

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
    enum status (*write_record)(void *context, size_t place, unsigned which, struct bytes data); /* durable by the next
                                                                                                    write_slot() */
    enum status (*read_counter)(void *context, uint64_t *value);
    enum status (*increment_counter)(void *context, uint64_t *value);
};

/* Why a table is refused. */
enum heads_verdict {
    HEADS_GOOD,
    HEADS_ROLLED_BACK,  /* older than the TPM's counter: an earlier disk */
    HEADS_EMPTY,        /* there is none, though the counter has moved */
    HEADS_COUNTER_BACK, /* the TPM's counter is behind it: another TPM, or its state was replaced */
    HEADS_TAMPERED,     /* not written by this node's monitor, or changed */
    HEADS_OUTSIDE,      /* disk or TPM failed */
};

struct heads {
    struct heads_outside outside;
    uint8_t key[32];
    struct head released[HEADS_SITES_MAX]; /* what callers were told; sequence 0: a place that is free */
    size_t places;                         /* those from here on are free */
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
/* OK: durable, and with `strict` the counter moved too. `record`: the one that `head` names, to be kept; or empty.
 * WRONG_STATE unless head->sequence is the present one plus one; NO_ROOM past HEADS_SITES_MAX or HEADS_RECORD_MAX;
 * MALFORMED: the record has another hash (SHA-256); IO: not advanced, ask heads_get() where it stands; DENIED: another
 * monitor has moved the counter, stop. */
MUST_USE enum status heads_advance(struct heads *heads, const struct head *head, struct bytes record, bool strict,
                                   uint64_t now_s);
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

/* ---- the file ---- */

/* DIR/table, made with 0600 and every place written if absent or short. The descriptor is the caller's to close. */
MUST_USE enum status heads_open_file(const char *path, int *fd);
MUST_USE enum status heads_read_file(int fd, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len);
MUST_USE enum status heads_write_file(int fd, unsigned slot, const uint8_t data[HEADS_SLOT_LEN]);
MUST_USE enum status heads_read_place(int fd, size_t place, unsigned which, uint8_t data[HEADS_PLACE_LEN]);
MUST_USE enum status heads_write_place(int fd, size_t place, unsigned which, struct bytes data); /* syncs nothing */

#endif
