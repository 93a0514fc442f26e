/* walls: which walls and switches stand on this node, as the running kernel tells. Never claims what it cannot read: a
 * switch that is not found is down. */
#ifndef BASTIDE_WALLS_H
#define BASTIDE_WALLS_H

#include "base.h"
#include "eat.h"

#include <sys/types.h>

#define WALLS_TEXT_MAX 256
#define WALLS_ALL 0xf7fu /* every bit that has a name */

/* The switches of the node (EAT_SWITCH_…) under `root`: "" for the machine, a directory for tests. */
uint32_t walls_of_node(const char *root);
/* True when the boot chain may vouch for the program at `path`: it is in memory and came with a unified kernel image
 * whose stub measured it, or it stands on a verity device in a secure boot. A verifier counts this only together with a
 * boot it knows; here it can only be denied. */
bool walls_program_measured(const char *root, const char *path);
/* What the kernel shows of a running process beside what it said itself: a system-call filter beyond the `filters` it
 * inherited, a user that is not ours, that it cannot be dumped, and in *locked the bytes of memory that cannot be
 * swapped or read by others: secret memory counts as locked. 0 when it is gone. */
uint32_t walls_of_process(const char *root, pid_t pid, unsigned filters, uint64_t *locked);
/* How many system-call filters our own process runs under. */
unsigned walls_own_filters(const char *root);

/* "secret-memory", "lockdown"…; NULL for a bit that is none. */
const char *walls_name(uint32_t wall);
/* A comma-separated list of names. NOT_FOUND: `unknown` is the first that is none. */
MUST_USE enum status walls_parse(const char *list, uint32_t *walls, char unknown[WALLS_TEXT_MAX]);
/* Names, with `separator` after each but the last. NUL-terminated, cut to cap. */
void walls_list(uint32_t walls, char separator, char *text, size_t cap);
/* What an operator does to raise it, one line. */
const char *walls_advice(uint32_t wall);

#endif
