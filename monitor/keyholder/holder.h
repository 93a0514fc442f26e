/* holder: bastide-keyholder — unseals the node's two keys once a boot, ends unsealing for the rest of it, and keeps
 * them for the monitors it starts. Parses nothing that comes from outside but one byte; holds no socket with a name. */
#ifndef BASTIDE_HOLDER_H
#define BASTIDE_HOLDER_H

#include "abi.h"
#include "base.h"

#include <stdbool.h>

#define HOLDER_ARGUMENTS_MAX 24

struct holder_options {
    const char *home;
    const char *tcti;
    bool insecure_dev;
    bool authorise;                                    /* sign the present boot chain into the sealed keys, and exit */
    char programs[4096];                               /* directory of our own program, the monitor's and launcher's */
    char *monitor_arguments[HOLDER_ARGUMENTS_MAX + 1]; /* argv of the monitor; NULL-terminated */
};

/* Files below node/monitor: `sealed` (public) and `boot_signer` (the 32-byte P-256 scalar that authorises boot chains).
 * The boot signer is the owner's: in production the owner puts the file there before the first start and for
 * --authorise, and takes it away after. With --insecure-dev it is made and left there. */

/* First start: makes the keys, seals them, makes the counter. Later: unseals. Then caps the boot. 0, or the exit code,
 * said in the log. `keys->monitor_hash` is left zero. */
int holder_open_keys(const struct holder_options *options, struct keyholder_keys *keys);
/* Signs the present boot chain with the boot signer. 0 or the exit code. */
int holder_authorise(const struct holder_options *options);

/* Runs "bastide-monitor --check" to its end: its exit code. */
int holder_check_monitor(const struct holder_options *options);
/* Starts the monitor, answers its one question, starts it again when it dies. Returns when told to stop or when a
 * monitor ended for good: its exit code. */
int holder_supervise(const struct holder_options *options, struct keyholder_keys *keys);

#endif
