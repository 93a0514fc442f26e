/* The table's file: two slots and the places of records, overwritten in place; it grows when it is made, to 2.1 MB. */
#include "heads.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LEN (2l * HEADS_SLOT_LEN + (long)HEADS_SITES_MAX * HEADS_RECORDS * HEADS_PLACE_LEN)

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

static enum status read_at(int fd, off_t at, uint8_t *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = pread(fd, data + done, len - done, at + (off_t)done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return IO;
    }
    return OK;
}

static enum status write_at(int fd, off_t at, const uint8_t *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = pwrite(fd, data + done, len - done, at + (off_t)done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return IO;
    }
    return OK;
}

/* Zeros up to its length: the room is there then, so a full disk cannot stop us, and to write there changes nothing
 * else on the disk. */
static enum status fill(int fd)
{
    static const uint8_t zeros[HEADS_SLOT_LEN];
    struct stat is;
    if (fstat(fd, &is) != 0)
        return IO;
    for (off_t at = is.st_size; at < FILE_LEN;) {
        const size_t len = FILE_LEN - at < (off_t)sizeof zeros ? (size_t)(FILE_LEN - at) : sizeof zeros;
        TRY(write_at(fd, at, zeros, len));
        at += (off_t)len;
    }
    return OK;
}

enum status heads_open_file(const char *path, int *fd)
{
    int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (opened < 0)
        return IO;
    /* What another before us wrote and did not sync is durable, too, before anything is read or overwritten. */
    if (fill(opened) != OK || fsync(opened) != 0 || sync_directory(path) != OK) {
        close(opened);
        return IO;
    }
    *fd = opened;
    return OK;
}

enum status heads_read_file(int fd, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    static const uint8_t never[HEADS_SLOT_LEN];
    TRY(read_at(fd, slot * (off_t)HEADS_SLOT_LEN, data, HEADS_SLOT_LEN));
    *len = memcmp(data, never, sizeof never) == 0 ? 0 : HEADS_SLOT_LEN;
    return OK;
}

enum status heads_write_file(int fd, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    TRY(write_at(fd, slot * (off_t)HEADS_SLOT_LEN, data, HEADS_SLOT_LEN));
    return fdatasync(fd) == 0 ? OK : IO;
}

static off_t place_at(size_t place, unsigned which)
{
    return 2 * HEADS_SLOT_LEN + (off_t)(place * HEADS_RECORDS + which) * (off_t)HEADS_PLACE_LEN;
}

enum status heads_read_place(int fd, size_t place, unsigned which, uint8_t data[HEADS_PLACE_LEN])
{
    return read_at(fd, place_at(place, which), data, HEADS_PLACE_LEN);
}

enum status heads_write_place(int fd, size_t place, unsigned which, struct bytes data)
{
    return write_at(fd, place_at(place, which), data.data, data.len);
}
