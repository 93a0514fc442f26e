/* vtpm_launch: what a VM is started from, taken into memory that is sealed for good, and the VM's program started to
 * open that memory and no name: what was measured is what it reads. Never measures, never decides. */
#ifndef BASTIDE_VTPM_LAUNCH_H
#define BASTIDE_VTPM_LAUNCH_H

#include "abi.h"
#include "base.h"
#include "vtpm_options.h"

#include <sys/types.h>

#define VTPM_LAUNCH_MAX (1ull << 30) /* bytes of one part; a monitor measures less of most */
#define VTPM_LAUNCH_STOP_MS 10000    /* from SIGTERM to SIGKILL */

struct vtpm_launch {
    uint32_t given; /* parts, a bit each; 0: nothing is launched here */
    int fds[MONITOR_PARTS];
    const struct vtpm_options *options; /* borrowed */
    pid_t child;                        /* 0: none yet, or gone */
    bool started;
};

/* Takes in what the options name: regular files, read once. Nothing where they name nothing. On failure *why is a
 * sentence, borrowed from static memory. */
MUST_USE enum status vtpm_launch_open(struct vtpm_launch *launch, const struct vtpm_options *options, const char **why);
void vtpm_launch_close(struct vtpm_launch *launch); /* its memory; a zeroed one is allowed */
/* The descriptors in the order of the bits in `given`; how many. */
size_t vtpm_launch_list(const struct vtpm_launch *launch, int fds[MONITOR_PARTS]);

/* The command of the options, its {kernel} and so on replaced: by /proc/self/fd/N, {cmdline} by the text itself. It has
 * our standard streams, and of our descriptors those of the parts alone. */
MUST_USE enum status vtpm_launch_start(struct vtpm_launch *launch, const char **why);
/* It has ended, as wait(2) has it. */
bool vtpm_launch_ended(struct vtpm_launch *launch, int *wait_status);
/* Waits for its end: SIGTERM at once or, when `patient`, after a second; SIGKILL after VTPM_LAUNCH_STOP_MS. */
void vtpm_launch_stop(struct vtpm_launch *launch, bool patient, int *wait_status);

#endif
