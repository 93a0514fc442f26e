/* The parts of a launch, each in memory of its own. */
#include "vtpm_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define PIECE (16u << 20)

static bool copy(int from, int to)
{
    uint64_t len = 0;
    for (;;) {
        ssize_t sent = sendfile(to, from, NULL, PIECE);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return sent == 0;
        len += (uint64_t)sent;
        if (len > VTPM_LAUNCH_MAX)
            return false;
    }
}

static bool write_text(int to, const char *text)
{
    const size_t len = strlen(text);
    return write(to, text, len) == (ssize_t)len;
}

static int open_regular(const char *path)
{
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int take(const char *text, bool is_path)
{
    int from = is_path ? open_regular(text) : -1;
    int to = memfd_create("launch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good = to >= 0 && (is_path ? from >= 0 && copy(from, to) : write_text(to, text));
    good = good && fcntl(to, F_ADD_SEALS, SEALS) == 0;
    if (from >= 0)
        close(from);
    if (good)
        return to;
    if (to >= 0)
        close(to);
    return -1;
}

enum status vtpm_launch_open(struct vtpm_launch *launch, const struct vtpm_options *options, const char **why)
{
    static char sentence[64];
    *launch = (struct vtpm_launch){.options = options};
    for (size_t part = 0; part < MONITOR_PARTS; part++) {
        if (!options->launch[part])
            continue;
        launch->fds[part] = take(options->launch[part], part != VTPM_PART_CMDLINE);
        if (launch->fds[part] < 0) {
            snprintf(sentence, sizeof sentence, "%s cannot be read whole into memory", vtpm_part_words[part]);
            *why = sentence;
            vtpm_launch_close(launch);
            return IO;
        }
        launch->given |= 1u << part;
    }
    return OK;
}

void vtpm_launch_close(struct vtpm_launch *launch)
{
    for (size_t part = 0; part < MONITOR_PARTS; part++)
        if (launch->given >> part & 1)
            close(launch->fds[part]);
    launch->given = 0;
}

size_t vtpm_launch_list(const struct vtpm_launch *launch, int fds[MONITOR_PARTS])
{
    size_t count = 0;
    for (size_t part = 0; part < MONITOR_PARTS; part++)
        if (launch->given >> part & 1)
            fds[count++] = launch->fds[part];
    return count;
}
