/* The home directory: owner/ (the owner's machine), node/, run/ and tpm/ (the node); files and clocks. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_PATH_MAX 107 /* sun_path, less its NUL */

uint64_t cli_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t cli_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void find_program_directory(struct cli *cli)
{
    ssize_t len = readlink("/proc/self/exe", cli->program, sizeof cli->program - 1);
    cli->program[len > 0 ? len : 0] = 0;
    char *slash = strrchr(cli->program, '/');
    if (slash)
        *slash = 0;
}

int cli_start(struct cli *cli, const char *home)
{
    const char *given = getenv("BASTIDE_HOME"), *user = getenv("HOME");
    const char *named = home && *home ? home : given;
    char here[PATH_MAX] = "";
    int len;
    cli->colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && !cli->json;
    cli->progress = isatty(STDERR_FILENO) && !cli->json;
    find_program_directory(cli);
    if (named && *named == '/')
        len = snprintf(cli->home, sizeof cli->home, "%s", named);
    else if (named && *named)
        len = snprintf(cli->home, sizeof cli->home, "%s/%s", getcwd(here, sizeof here) ? here : "", named);
    else if (user && *user == '/')
        len = snprintf(cli->home, sizeof cli->home, "%s/.bastide", user);
    else
        return cli_usage(cli, "", "neither --home nor $BASTIDE_HOME nor $HOME says where to keep things");
    while (len > 1 && len < (int)sizeof cli->home && cli->home[len - 1] == '/')
        cli->home[--len] = 0;
    if (len < 0 || (size_t)len + strlen("/run/monitor.sock") > SOCKET_PATH_MAX)
        return cli_usage(cli, "", "the home's name has %d bytes; its sockets' names leave room for %zu", len,
                         SOCKET_PATH_MAX - strlen("/run/monitor.sock"));
    return CLI_OK;
}

const char *cli_file_problem(enum status status)
{
    return status == NOT_FOUND ? "is not there"
           : status == NO_ROOM ? "is too large"
           : status == IO      ? "cannot be read or written"
                               : "is not what it should be";
}

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
    unlink(next); /* of one that was cut; or a link, in an instance's directory, by whom that belongs to */
    int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
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
