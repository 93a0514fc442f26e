/* A core dump, asked for by a root that raises every limit it can: the process ends. */
#include "scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATTERN "/proc/sys/kernel/core_pattern"
#define WAIT_MS 20000

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return good;
}

static bool get(const char *path, char *text, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, cap - 1) : -1;
    text[len > 0 ? len : 0] = 0;
    if (fd >= 0)
        close(fd);
    return len > 0;
}

static void dump(pid_t pid)
{
    char path[64];
    struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
    snprintf(path, sizeof path, "/proc/%d/coredump_filter", (int)pid);
    put(path, "0xff");
    prlimit(pid, RLIMIT_CORE, &most, NULL);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    kill(pid, SIGABRT);
    struct pollfd end = {pidfd, POLLIN, 0};
    poll(&end, 1, WAIT_MS);
    if (pidfd >= 0)
        close(pidfd);
}

void scan_core(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    char before[256], folder[] = "/tmp/bastide-core-XXXXXX", pattern[64];
    if (!get(PATTERN, before, sizeof before) || !mkdtemp(folder)) {
        tally->note = "the kernel's core pattern cannot be read";
        return;
    }
    snprintf(pattern, sizeof pattern, "%s/core", folder);
    if (put(PATTERN, pattern)) {
        dump(pid);
        put(PATTERN, before);
    } else {
        tally->note = "the kernel's core pattern cannot be set";
    }
    DIR *directory = opendir(folder);
    tally->note = tally->note ? tally->note : "no core was written";
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        int fd = entry->d_name[0] == '.' ? -1 : openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        tally->note = NULL;
        scan_descriptor(needles, fd, tally);
        close(fd);
        unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory)
        closedir(directory);
    rmdir(folder);
}
