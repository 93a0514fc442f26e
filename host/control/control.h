/* control: one question at a time to the monitor's control socket — the node's own status, an activated credential.
 * Never trusts the answers more than their lengths: what a node says of itself is not evidence. */
#ifndef BASTIDE_CONTROL_H
#define BASTIDE_CONTROL_H

#include "abi.h"
#include "base.h"

#include <sys/types.h>

#define CONTROL_TEXT_MAX 1024

struct control_status {
    struct monitor_status status;
    char text[CONTROL_TEXT_MAX]; /* one missing wall a line; then perhaps "tpm: …" */
    pid_t monitor;               /* the process that listens, as the kernel tells */
};

/* `path` is run/monitor.sock. Of the node's own instance. NOT_FOUND: nobody listens there; IO: no answer in time;
 * MALFORMED: another version's. */
MUST_USE enum status control_status(const char *path, int timeout_ms, struct control_status *status);
/* Of the instance of that name. Also NOT_FOUND when no host end is attached by it. */
MUST_USE enum status control_status_of(const char *path, int timeout_ms, const char *name,
                                       struct control_status *status);
/* Has the node's TPM open a credential (verifier/evidence: evidence_challenge). AUTH when it cannot. */
MUST_USE enum status control_activate(const char *path, int timeout_ms, struct bytes blob, struct secret *secret);

/* Has the monitor forget a site's head, on the owner's word (proto/image). NOT_FOUND: it has none (or nobody listens);
 * BUSY: a host end is attached; AUTH, DENIED: refused; `why` has the monitor's sentence, or "". */
MUST_USE enum status control_forget(const char *path, int timeout_ms, const uint8_t site[MONITOR_SITE_LEN],
                                    struct bytes token, char why[CONTROL_TEXT_MAX]);

#endif
