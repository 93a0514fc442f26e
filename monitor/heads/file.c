/* The table's file: two slots, overwritten in place, never grown. */
#include "heads.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static enum status sync_directory(const char *path)
{
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy)
        return NO_ROOM;
    memcpy(copy, path, strlen(path) + 1);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int synced = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0)
        close(fd);
    return synced == 0 ? OK : IO;
}

enum status heads_open_file(const char *path, int *fd)
{
    int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (opened < 0)
        return IO;
    /* KEEP_SIZE: the length tells whether a slot was ever written; the room is there, so a full disk cannot stop us. */
    if ((fallocate(opened, FALLOC_FL_KEEP_SIZE, 0, 2 * HEADS_SLOT_LEN) != 0 && errno != EOPNOTSUPP) ||
        fsync(opened) != 0 || sync_directory(path) != OK) {
        close(opened);
        return IO;
    }
    *fd = opened;
    return OK;
}

enum status heads_read_file(int fd, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    size_t have = 0;
    while (have < HEADS_SLOT_LEN) {
        ssize_t got = pread(fd, data + have, HEADS_SLOT_LEN - have, (off_t)(slot * HEADS_SLOT_LEN + have));
        if (got == 0)
            break;
        if (got > 0)
            have += (size_t)got;
        else if (errno != EINTR)
            return IO;
    }
    *len = have;
    return OK;
}

enum status heads_write_file(int fd, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    for (size_t done = 0; done < HEADS_SLOT_LEN;) {
        ssize_t got = pwrite(fd, data + done, HEADS_SLOT_LEN - done, (off_t)(slot * HEADS_SLOT_LEN + done));
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return IO;
    }
    return fdatasync(fd) == 0 ? OK : IO;
}
