/* The table's file of two slots, and that of the records, 8.4 MB, which are overwritten in place. */
#include "heads_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLE_LEN (2l * HEADS_SLOT_LEN)
#define RECORDS_LEN ((long)HEADS_SITES_MAX * HEADS_RECORDS * HEADS_PLACE_LEN)
#define OLD_RECORDS 8 /* kept of each site, behind the slots, by the version before */
#define OLD_LEN (TABLE_LEN + (long)HEADS_SITES_MAX * OLD_RECORDS * HEADS_PLACE_LEN)

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
static enum status fill(int fd, off_t len)
{
    static const uint8_t zeros[HEADS_PLACE_LEN];
    struct stat is;
    if (fstat(fd, &is) != 0)
        return IO;
    for (off_t at = is.st_size; at < len;) {
        const size_t part = len - at < (off_t)sizeof zeros ? (size_t)(len - at) : sizeof zeros;
        TRY(write_at(fd, at, zeros, part));
        at += (off_t)part;
    }
    return OK;
}

/* What another before us wrote and did not sync is durable, too, before anything is read or overwritten. */
static enum status open_whole(const char *path, off_t len, int *fd)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd >= 0 && fill(*fd, len) == OK && fsync(*fd) == 0 && sync_directory(path) == OK)
        return OK;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return IO;
}

static off_t place_at(size_t place, unsigned which)
{
    return (off_t)(place * HEADS_RECORDS + which) * (off_t)HEADS_PLACE_LEN;
}

/* They stay where they are as well, for a version before that may be started again. */
static enum status copy_old_records(const struct heads_files *files)
{
    uint8_t data[HEADS_PLACE_LEN];
    struct stat is;
    if (fstat(files->table, &is) != 0)
        return IO;
    for (size_t i = 0; is.st_size >= OLD_LEN && i < HEADS_SITES_MAX * OLD_RECORDS; i++) {
        TRY(read_at(files->table, TABLE_LEN + (off_t)(i * sizeof data), data, sizeof data));
        struct reader reader = reader_over(bytes_from(data + HEADS_SITE_LEN, 8));
        const uint64_t sequence = take_u64be(&reader);
        if (sequence) /* else none was ever written there */
            TRY(heads_write_place(files, i / OLD_RECORDS, sequence % HEADS_RECORDS, data));
    }
    return OK;
}

/* Under another name until all is in it. */
static enum status make_records(const char *path, struct heads_files *files)
{
    char other[PATH_MAX];
    if ((size_t)snprintf(other, sizeof other, "%s.new", path) >= sizeof other)
        return NO_ROOM;
    if (unlink(other) != 0 && errno != ENOENT)
        return IO;
    TRY(open_whole(other, RECORDS_LEN, &files->records));
    enum status status = copy_old_records(files);
    if (status == OK && (fsync(files->records) != 0 || rename(other, path) != 0))
        status = IO;
    if (status == OK)
        status = sync_directory(path);
    if (status != OK)
        close(files->records);
    files->made = true;
    return status;
}

/* Until there is such a table a version before may have gone on: what it kept last counts. */
static enum status is_table_of_ours(int fd, bool *ours)
{
    uint8_t magic[TABLE_MAGIC_LEN];
    *ours = false;
    for (off_t slot = 0; slot < 2; slot++) {
        TRY(read_at(fd, slot * HEADS_SLOT_LEN, magic, sizeof magic));
        *ours |= memcmp(magic, table_magic, sizeof magic) == 0;
    }
    return OK;
}

static enum status open_records(const char *path, struct heads_files *files)
{
    struct stat is;
    bool ours;
    TRY(is_table_of_ours(files->table, &ours));
    const bool there = lstat(path, &is) == 0;
    if (!there && errno != ENOENT)
        return IO;
    if (!there || !ours)
        return make_records(path, files);
    files->made = is.st_size < RECORDS_LEN; /* for the most part */
    return open_whole(path, RECORDS_LEN, &files->records);
}

enum status heads_open_files(const char *table, const char *records, struct heads_files *files)
{
    files->made = false;
    TRY(open_whole(table, TABLE_LEN, &files->table));
    enum status status = open_records(records, files);
    if (status != OK)
        close(files->table);
    return status;
}

enum status heads_read_slot(const struct heads_files *files, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    static const uint8_t never[HEADS_SLOT_LEN];
    TRY(read_at(files->table, slot * (off_t)HEADS_SLOT_LEN, data, HEADS_SLOT_LEN));
    *len = memcmp(data, never, sizeof never) == 0 ? 0 : HEADS_SLOT_LEN;
    return OK;
}

enum status heads_write_slot(const struct heads_files *files, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    TRY(write_at(files->table, slot * (off_t)HEADS_SLOT_LEN, data, HEADS_SLOT_LEN));
    return fdatasync(files->table) == 0 ? OK : IO;
}

enum status heads_read_place(const struct heads_files *files, size_t place, unsigned which,
                             uint8_t data[HEADS_PLACE_LEN])
{
    return read_at(files->records, place_at(place, which), data, HEADS_PLACE_LEN);
}

enum status heads_write_place(const struct heads_files *files, size_t place, unsigned which,
                              const uint8_t data[HEADS_PLACE_LEN])
{
    return write_at(files->records, place_at(place, which), data, HEADS_PLACE_LEN);
}

enum status heads_sync_places(const struct heads_files *files)
{
    return fdatasync(files->records) == 0 ? OK : IO;
}
