/* Limits, user and capabilities. By system call: a library for this would be the largest part of the launcher. */
#include "launcher.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCK_BIT (1u << CAP_IPC_LOCK)
#define SPARE_DESCRIPTORS 8 /* secret memory is mapped through one */

static enum status failed(struct launcher_failure *failure, const char *what)
{
    *failure = (struct launcher_failure){.what = what, .error = errno};
    return IO;
}

static bool number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value > max)
        return false;
    *out = value;
    return true;
}

enum status launcher_parse(int argc, char **argv, struct launcher_plan *plan)
{
    unsigned long files, user;
    if (argc != 3 || !number(argv[1], LAUNCHER_FILES_MAX, &files) || !number(argv[2], (uid_t)-2, &user))
        return MALFORMED;
    *plan = (struct launcher_plan){.files = (unsigned)files, .user = (uid_t)user};
    return OK;
}

enum status launcher_limit(const struct launcher_plan *plan, struct launcher_failure *failure)
{
    const rlim_t descriptors = LAUNCH_FD_MODULES + plan->files + SPARE_DESCRIPTORS;
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) != 0)
        return failed(failure, "RLIMIT_CORE cannot be set");
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){descriptors, descriptors}) != 0)
        return failed(failure, "RLIMIT_NOFILE cannot be set");
    return OK;
}

static bool capabilities(uint32_t permitted, uint32_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct data[2] = {
        {.effective = permitted, .permitted = permitted, .inheritable = inheritable}};
    return syscall(SYS_capset, &header, data) == 0;
}

static uint32_t permitted_lock(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 ? data[0].permitted & LOCK_BIT : 0;
}

enum status launcher_become(const struct launcher_plan *plan, struct launcher_failure *failure)
{
    /* Fails where we may not: then there is no bounding set to regain anything from either, for we set no_new_privs. */
    for (unsigned long capability = 0; capability < 64; capability++)
        if (capability != CAP_IPC_LOCK)
            (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (plan->user && geteuid() == 0) {
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(0, NULL) != 0 ||
            setresgid(plan->user, plan->user, plan->user) != 0 || setresuid(plan->user, plan->user, plan->user) != 0)
            return failed(failure, "the enclave's user cannot be taken on");
    }
    uint32_t lock = plan->user ? permitted_lock() : 0; /* an own user namespace's lifts no limit */
    if (!capabilities(lock, lock))
        return failed(failure, "capabilities cannot be dropped");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failed(failure, "no_new_privs cannot be set");
    return OK;
}

enum status launcher_keep_lock(struct launcher_failure *failure)
{
    if (permitted_lock() && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_IPC_LOCK, 0, 0) != 0)
        return failed(failure, "CAP_IPC_LOCK cannot be kept");
    /* After the change of user: a limit that is exceeded then would make execve() fail. */
    if (setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0}) != 0)
        return failed(failure, "RLIMIT_NPROC cannot be set");
    return OK;
}
