/* The state in a file: written beside it, made durable, and then put in its place. */
#include "library_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

long library_file_load(void *user, uint8_t *state, size_t cap)
{
    int fd = open(user, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < cap) {
        got = read(fd, state + len, cap - len);
        len += got > 0 ? (size_t)got : 0;
    }
    uint8_t more;
    bool whole = got == 0 || (got > 0 && read(fd, &more, 1) == 0);
    close(fd);
    return whole && len > 0 ? (long)len : -1; /* an empty file is none that we wrote */
}

static bool write_whole(int fd, const uint8_t *state, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, state, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        state += put;
        len -= (size_t)put;
    }
    return fsync(fd) == 0;
}

static bool sync_directory(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

bool library_file_save(void *user, const uint8_t *state, size_t len)
{
    const char *path = user;
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside)
        return false;
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = fchmod(fd, 0600) == 0 && write_whole(fd, state, len);
    close(fd);
    good = good && rename(beside, path) == 0;
    if (!good)
        unlink(beside);
    return good && sync_directory(path);
}
