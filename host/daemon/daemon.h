/* daemon: bastided, the untrusted half of a node — gateway, archive and monitor link around one door, in one loop.
 * Never holds a key, never reads what it carries; it can lose, delay, reorder and replay, and nothing more. */
#ifndef BASTIDE_DAEMON_H
#define BASTIDE_DAEMON_H

#include "abi.h"
#include "base.h"
#include "pump.h"

struct daemon_options {
    const char *home; /* DIR: run/monitor.sock and node/archive.db are below it */
    const char *coap;
    const char *http;
    uint32_t body_max;
};

/* -1: go on with *options, which borrow from argv. Otherwise the exit code: 0 after --help, 2 with a sentence on
 * stderr.
 */
int daemon_parse(int argc, char **argv, struct daemon_options *options);
/* Gives up what this process does not need; before the archive is opened, because threads inherit it. */
void daemon_harden(const struct daemon_options *options);
/* Serves until SIGTERM or SIGINT; gives the exit code (0 stopped as asked, 1 internal, 4 cannot bind). */
int daemon_serve(const struct daemon_options *options, const struct pump_archive *archive);

#endif
