/* doctor: what this machine gives a node, and what it does not — kernel, memory, switches, TPM, measured boot.
 * Sees with the monitor's own eyes (monitor/walls) where a wall is concerned; never changes anything; what it says of a
 * machine is that machine's word, and no evidence. */
#ifndef BASTIDE_DOCTOR_H
#define BASTIDE_DOCTOR_H

#include "base.h"

#define DOCTOR_CHECKS_MAX 24
#define DOCTOR_FOUND_MAX 200

enum doctor_state {
    DOCTOR_GOOD,
    DOCTOR_MISSING,
    DOCTOR_UNKNOWN, /* it cannot be told from here: no right to look, or an unknown kernel */
};

struct doctor_check {
    const char *name; /* a wall's name where it is one: what --require and --allow-missing take */
    enum doctor_state state;
    char found[DOCTOR_FOUND_MAX]; /* what is there, in words */
    const char *why;              /* it matters */
    const char *raise;            /* how; "" when nothing is to be done */
};

/* All of them, in the order in which they are best mended; how many. `root`: "" for this machine, a directory that
 * stands for one in tests (then the TPM's device and the limits of this process are not asked). `program`: the node's
 * key holder, for what vouches for it. */
size_t doctor_look(const char *root, const char *program, struct doctor_check checks[DOCTOR_CHECKS_MAX]);
const char *doctor_state_word(enum doctor_state state); /* "good", "missing", "unknown" */

#endif
