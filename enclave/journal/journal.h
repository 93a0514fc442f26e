/* journal: what a sealed store and the host that keeps it say to each other through the door — the newest snapshot in
 * pieces and the log after it at a launch, a new snapshot in pieces later on. Never sends by itself, never uses
 * anything of a store that refused.
 *
 *     ask what journal_question() says; hand each answer to journal_take(), until it says JOURNAL_READ */
#ifndef BASTIDE_JOURNAL_H
#define BASTIDE_JOURNAL_H

#include "abi.h"
#include "base.h"
#include "store.h"

#define JOURNAL_WHY_MAX 192

/* A store on its way back. Zeroed but for the first two: nothing was asked yet. */
struct journal_load {
    struct store *store;
    size_t snapshot_max;
    uint8_t *snapshot; /* owned, while pieces of it come */
    size_t total, have;
    uint64_t sequence;
    bool in_log; /* the snapshot is in, if there is one */
    int exit_code;
    char why[JOURNAL_WHY_MAX];
};

struct journal_question {
    enum door_operation operation;
    uint8_t data[sizeof(struct door_piece)];
    size_t len;
};

enum journal_step {
    JOURNAL_ASK,    /* there is another question */
    JOURNAL_READ,   /* that was all: store_finish_load() comes next */
    JOURNAL_FAILED, /* `exit_code` and `why` say it */
};

void journal_question(const struct journal_load *load, struct journal_question *question);
MUST_USE enum journal_step journal_take(struct journal_load *load, enum status status, struct bytes answer);
void journal_done(struct journal_load *load);

typedef enum status journal_send(void *user, enum door_operation operation, uint64_t id, const struct bytes *parts,
                                 size_t count);
/* The store's snapshot, when it wants one taken; when none can be made, the log goes on growing and the next commit
 * tries again. IO: the host is gone for good. */
MUST_USE enum status journal_put_snapshot(struct store *store, journal_send *send, void *user);

#endif
