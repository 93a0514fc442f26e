/* Files of the node: read bounded, written whole, programs sealed before they are measured. */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_CHUNK 65536

bool node_path(const char *home, const char *name, char *path)
{
    int len = snprintf(path, PATH_MAX, "%s/%s", home, name);
    return len > 0 && len < PATH_MAX;
}

enum status node_read_file(const char *path, uint8_t *data, size_t cap, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? NOT_FOUND : IO;
    size_t have = 0;
    ssize_t got = 1;
    while (got > 0 && have < cap) {
        got = read(fd, data + have, cap - have);
        if (got > 0)
            have += (size_t)got;
    }
    uint8_t more;
    bool whole = got == 0 || (got > 0 && read(fd, &more, 1) == 0);
    close(fd);
    if (got < 0)
        return IO;
    if (!whole)
        return NO_ROOM;
    *len = have;
    return OK;
}

static bool write_all(int fd, struct bytes content)
{
    for (size_t done = 0; done < content.len;) {
        ssize_t got = write(fd, content.data + done, content.len - done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return false;
    }
    return fsync(fd) == 0;
}

enum status node_write_file(const char *path, struct bytes content)
{
    char next[PATH_MAX], copy[PATH_MAX];
    if (snprintf(next, sizeof next, "%s.next", path) >= PATH_MAX)
        return NO_ROOM;
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return IO;
    bool good = write_all(fd, content);
    close(fd);
    if (!good || rename(next, path) != 0)
        return IO;
    memcpy(copy, path, strlen(path) + 1);
    int directory = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    good = directory >= 0 && fsync(directory) == 0;
    if (directory >= 0)
        close(directory);
    return good ? OK : IO;
}

static enum status hash_of(int fd, uint8_t hash[32])
{
    struct crypto_hash_state state;
    uint8_t digest[CRYPTO_HASH_MAX];
    static uint8_t chunk[HASH_CHUNK];
    off_t off = 0;
    TRY(crypto_hash_start(&state, CRYPTO_SHA256));
    for (;;) {
        ssize_t got = pread(fd, chunk, sizeof chunk, off);
        if (got < 0)
            return IO;
        if (got == 0)
            break;
        crypto_hash_add(&state, bytes_from(chunk, (size_t)got));
        off += got;
    }
    crypto_hash_finish(&state, digest);
    memcpy(hash, digest, 32);
    return OK;
}

static enum status fill(int from, int to)
{
    struct stat facts;
    if (fstat(from, &facts) != 0 || !S_ISREG(facts.st_mode))
        return IO;
    for (off_t off = 0; off < facts.st_size;) {
        ssize_t got = sendfile(to, from, &off, (size_t)(facts.st_size - off));
        if (got <= 0)
            return IO;
    }
    /* Sealed before it is hashed: what is measured is what runs. */
    if (fchmod(to, 0500) != 0 || fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return IO;
    return OK;
}

enum status node_seal_program(const char *path, int *fd, uint8_t hash[32])
{
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return errno == ENOENT ? NOT_FOUND : IO;
    int made = memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    enum status status = made < 0 ? IO : fill(from, made);
    close(from);
    if (status == OK)
        status = hash_of(made, hash);
    if (status == OK)
        *fd = made;
    else if (made >= 0)
        close(made);
    return status;
}
