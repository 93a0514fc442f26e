/* launcher: the keyless helper that executes one enclave between walls and is gone; the enclave's process is the
 * monitor's child. Never sees a key; what it cannot put up it says in its report, for the monitor to judge. */
#ifndef BASTIDE_LAUNCHER_H
#define BASTIDE_LAUNCHER_H

#include "abi.h"
#include "base.h"

#include <sys/types.h>

/* bastide-launcher FILES USER: how many descriptors stand from LAUNCH_FD_MODULES on, and the user (and group) number
 * to become, as root, 0: none. Descriptors as in enum launch_fd; standard output is a pipe to the monitor. */
#define LAUNCHER_FILES_MAX 32
#define LAUNCHER_REPORT_FD 1

/* Written whole to the pipe once the enclave's process exists; before that it executes nothing. */
struct launcher_report {
    uint32_t walls; /* EAT_WALL_NAMESPACES when it could be put up */
    int32_t pid;    /* of the enclave, as the monitor sees it */
};

struct launcher_plan {
    unsigned files;
    uid_t user;
};

/* What went wrong, with which input; errno's words are appended by the caller when `error` is not 0. */
struct launcher_failure {
    const char *what;
    int error;
};

MUST_USE enum status launcher_parse(int argc, char **argv, struct launcher_plan *plan);
/* New and empty mount, network, process, IPC and UTS namespaces; in a user namespace where we are not root. The process
 * namespace begins with the next child. IO: not all of them could be had, and `failure` says why. */
MUST_USE enum status launcher_isolate(struct launcher_failure *failure);
/* No core, few descriptors. RLIMIT_AS and RLIMIT_FSIZE stay: windows of 8 GiB are reserved, and secret memory is sized
 * by ftruncate(); nothing that can be written is in reach. */
MUST_USE enum status launcher_limit(const struct launcher_plan *plan, struct launcher_failure *failure);
/* Becomes the user for good; of its capabilities CAP_IPC_LOCK alone is left, where there was one. */
MUST_USE enum status launcher_become(const struct launcher_plan *plan, struct launcher_failure *failure);
/* For the enclave's process: CAP_IPC_LOCK outlives execve(), until the runtime has mapped its pool and drops it. */
MUST_USE enum status launcher_keep_lock(struct launcher_failure *failure);

#endif
