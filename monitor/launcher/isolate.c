/* Namespaces of its own, all of them empty. */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
#define INSIDE_ID 1 /* not 0: a root inside would regain capabilities by execve() */

static enum status failed(struct launcher_failure *failure, const char *what)
{
    *failure = (struct launcher_failure){.what = what, .error = errno};
    return IO;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return good;
}

static enum status enter_user_namespace(struct launcher_failure *failure)
{
    char map[64];
    uid_t user = geteuid();
    gid_t group = getegid();
    if (unshare(CLONE_NEWUSER | NAMESPACES) != 0)
        return failed(failure, "namespaces cannot be made (kernel.unprivileged_userns_clone, "
                               "user.max_user_namespaces, or a container's filter)");
    snprintf(map, sizeof map, "%d %u 1\n", INSIDE_ID, user);
    if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", map))
        return failed(failure, "the user map cannot be written");
    snprintf(map, sizeof map, "%d %u 1\n", INSIDE_ID, group);
    if (!write_text("/proc/self/gid_map", map))
        return failed(failure, "the group map cannot be written");
    return OK;
}

/* A root directory with nothing in it and nothing to be put there. /proc is known to exist: we were executed through
 * it. */
static enum status empty_root(struct launcher_failure *failure)
{
    const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return failed(failure, "mounts cannot be made private");
    if (mount("none", "/proc", "tmpfs", plain, "size=4k,nr_inodes=2,mode=0555") != 0)
        return failed(failure, "an empty directory cannot be mounted");
    if (chdir("/proc") != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0)
        return failed(failure, "the root directory cannot be exchanged");
    if (chdir("/") != 0 || mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | plain, NULL) != 0)
        return failed(failure, "the empty directory cannot be made read-only");
    return OK;
}

enum status launcher_isolate(struct launcher_failure *failure)
{
    if (geteuid() != 0 || unshare(NAMESPACES) != 0)
        TRY(enter_user_namespace(failure));
    return empty_root(failure);
}
