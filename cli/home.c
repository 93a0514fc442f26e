/* The home directory: owner/ (the owner's machine), node/, run/ and tpm/ (the node). */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *cli_path(const struct cli *cli, const char *name, char *room)
{
    snprintf(room, PATH_MAX, "%.*s/%s", PATH_MAX - 128, cli->home, name);
    return room;
}

static enum status make_path(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return IO;
        *at = '/';
    }
    return mkdir(part, 0700) == 0 || errno == EEXIST ? OK : IO;
}

enum status cli_make_directories(const struct cli *cli)
{
    static const char *const names[] = {"owner", "owner/clients", "node", "node/monitor", "run", "tpm"};
    char room[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        TRY(make_path(cli_path(cli, names[i], room)));
    return OK;
}

enum status cli_read_file(const char *path, size_t max, uint8_t **data, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? NOT_FOUND : IO;
    struct stat facts;
    if (fstat(fd, &facts) != 0 || (uint64_t)facts.st_size > max) {
        close(fd);
        return NO_ROOM;
    }
    uint8_t *room = malloc((size_t)facts.st_size + 1);
    size_t have = 0;
    while (room && have < (size_t)facts.st_size) {
        ssize_t got = read(fd, room + have, (size_t)facts.st_size - have);
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    close(fd);
    if (!room || have < (size_t)facts.st_size) {
        free(room);
        return IO;
    }
    room[have] = 0;
    *data = room;
    *len = have;
    return OK;
}

enum status cli_write_file(const char *path, struct bytes content)
{
    char next[PATH_MAX];
    if ((size_t)snprintf(next, sizeof next, "%s.next", path) >= sizeof next)
        return NO_ROOM;
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return IO;
    size_t have = 0;
    while (have < content.len) {
        ssize_t put = write(fd, content.data + have, content.len - have);
        if (put <= 0)
            break;
        have += (size_t)put;
    }
    bool good = have == content.len && fsync(fd) == 0;
    good = close(fd) == 0 && good && rename(next, path) == 0;
    if (!good)
        unlink(next);
    return good ? OK : IO;
}
