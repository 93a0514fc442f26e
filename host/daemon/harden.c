/* What this process gives up: it parses what strangers send, so it keeps as little as it can. */
#include "daemon_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Connections of HTTP, twice while one is watched, and room for everything else. */
#define DESCRIPTORS 4096

static void harden_process(void)
{
    struct rlimit files;
    const struct rlimit none = {0, 0};
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
        if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < DESCRIPTORS)
            daemon_log("warning", "descriptor_limit", "limit=%lu wanted=%d", (unsigned long)files.rlim_cur,
                       DESCRIPTORS);
    }
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        daemon_log("warning", "harden", "reason=\"%s\"", strerror(errno));
}

#define READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define NEVER                                                                                                          \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR |                       \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                       \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static void harden_files(const char *node)
{
    const struct landlock_ruleset_attr all = {.handled_access_fs = READS | WRITES | NEVER};
    struct landlock_path_beneath_attr rule = {.allowed_access = READS | WRITES};
    long rules = syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    rule.parent_fd = open(node, O_PATH | O_CLOEXEC);
    bool done = rules >= 0 && rule.parent_fd >= 0 &&
                syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 &&
                syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    if (!done)
        daemon_log("warning", "landlock_missing", "reason=\"%s\"", strerror(errno));
    if (rules >= 0)
        close((int)rules);
    if (rule.parent_fd >= 0)
        close(rule.parent_fd);
}

void daemon_harden(const struct daemon_options *options)
{
    char node[4096];
    harden_process();
    int len = snprintf(node, sizeof node, "%s/node", options->home);
    if (len > 0 && (size_t)len < sizeof node)
        harden_files(node);
}
