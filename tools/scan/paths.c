/* The ways into another process's memory that leave it as it was. */
#include "scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define FILE_MAX (256u << 20)

/* Pages of one mapping that are there, or swapped out, as ranges. Reservations of gigabytes are walked in pieces. */
static size_t present(int pagemap, struct scan_range whole, struct scan_range *ranges, size_t count)
{
    static uint64_t entries[4096];
    struct scan_range *open = NULL;
    for (uint64_t done = 0; done < whole.len;) {
        ssize_t got = pread(pagemap, entries, sizeof entries, (off_t)((whole.start + done) / PAGE * 8));
        size_t pages = got > 0 ? (size_t)got / 8 : 0;
        if (pages == 0)
            break;
        for (size_t i = 0; i < pages && done < whole.len; i++, done += PAGE) {
            bool there = entries[i] >> 62 != 0;
            if (there && open)
                open->len += PAGE;
            else if (there && count < SCAN_RANGES_MAX) {
                open = &ranges[count++];
                *open = (struct scan_range){whole.start + done, PAGE, whole.writable, whole.shared};
            } else if (!there)
                open = NULL;
        }
    }
    return count;
}

enum status scan_ranges(pid_t pid, struct scan_range **ranges, size_t *count)
{
    char path[64], line[512], mode[8];
    unsigned long long start, end;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    *ranges = malloc(SCAN_RANGES_MAX * sizeof **ranges);
    *count = 0;
    while (maps && pagemap >= 0 && *ranges && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%llx-%llx %7s", &start, &end, mode) != 3 || strstr(line, "[vsyscall]"))
            continue;
        struct scan_range whole = {start, end - start, mode[1] == 'w', mode[3] == 's'};
        *count = present(pagemap, whole, *ranges, *count);
    }
    bool good = maps && pagemap >= 0 && *ranges;
    if (maps)
        fclose(maps);
    if (pagemap >= 0)
        close(pagemap);
    if (!good) {
        free(*ranges);
        *ranges = NULL;
    }
    return good ? OK : IO;
}

/* Pieces overlap by the longest needle, so that none is cut in two. */
void scan_walk(pid_t pid, const struct scan_needles *needles, scan_read *read, void *user, struct scan_tally *tally)
{
    static uint8_t room[SCAN_CHUNK + SCAN_NEEDLE_MAX];
    struct scan_range *ranges;
    size_t count;
    if (scan_ranges(pid, &ranges, &count) != OK) {
        tally->note = "its maps cannot be read";
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t kept = 0;
        for (uint64_t off = 0; off < ranges[i].len;) {
            size_t want = ranges[i].len - off < SCAN_CHUNK ? (size_t)(ranges[i].len - off) : SCAN_CHUNK;
            size_t got = read(user, pid, ranges[i].start + off, room + kept, want);
            if (got == 0) { /* this page is refused, the next may not be */
                tally->refused += PAGE;
                off += PAGE;
                kept = 0;
                continue;
            }
            tally->bytes += got;
            scan_piece(needles, bytes_from(room, kept + got), ranges[i].start + off - kept, tally);
            off += got;
            size_t all = kept + got;
            kept = all < needles->longest - 1 ? all : needles->longest - 1;
            memmove(room, room + all - kept, kept);
        }
    }
    free(ranges);
}

static size_t read_mem(void *user, pid_t pid, uint64_t at, uint8_t *room, size_t len)
{
    (void)pid;
    ssize_t got = pread(*(int *)user, room, len, (off_t)at);
    return got > 0 ? (size_t)got : 0;
}

static void path_mem(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        tally->note = strerror(errno);
        return;
    }
    scan_walk(pid, needles, read_mem, &fd, tally);
    close(fd);
}

static size_t read_vm(void *user, pid_t pid, uint64_t at, uint8_t *room, size_t len)
{
    (void)user;
    struct iovec here = {room, len}, there = {(void *)(uintptr_t)at, len};
    ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
    return got > 0 ? (size_t)got : 0;
}

static void path_vm_readv(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    scan_walk(pid, needles, read_vm, NULL, tally);
}

bool scan_attach(pid_t pid)
{
    int state;
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0)
        return false;
    return ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 && waitpid(pid, &state, __WALL) == pid;
}

void scan_detach(pid_t pid)
{
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static size_t read_peek(void *user, pid_t pid, uint64_t at, uint8_t *room, size_t len)
{
    (void)user;
    size_t have = 0;
    while (have + sizeof(long) <= len) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)(at + have), NULL);
        if (word == -1 && errno != 0)
            break;
        memcpy(room + have, &word, sizeof word);
        have += sizeof word;
    }
    return have;
}

static void path_peek(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    if (!scan_attach(pid)) {
        tally->note = strerror(errno);
        return;
    }
    scan_walk(pid, needles, read_peek, NULL, tally);
    scan_detach(pid);
}

static void scan_mapped(const struct scan_needles *needles, int fd, size_t len, struct scan_tally *tally)
{
    void *map = len ? mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        tally->refused++;
        return;
    }
    tally->bytes += len;
    scan_piece(needles, bytes_from(map, len), 0, tally);
    munmap(map, len);
}

void scan_descriptor(const struct scan_needles *needles, int fd, struct scan_tally *tally)
{
    static uint8_t room[SCAN_CHUNK];
    struct stat facts;
    if (fstat(fd, &facts) != 0)
        tally->refused++;
    else if (S_ISSOCK(facts.st_mode)) {
        ssize_t got = recv(fd, room, sizeof room, MSG_PEEK | MSG_DONTWAIT);
        if (got > 0) {
            tally->bytes += (uint64_t)got;
            scan_piece(needles, bytes_from(room, (size_t)got), 0, tally);
        }
    } else if (S_ISREG(facts.st_mode) && facts.st_size > 0)
        scan_mapped(needles, fd, facts.st_size < FILE_MAX ? (size_t)facts.st_size : FILE_MAX, tally);
}

/* Everything a directory of /proc lists, opened by name. */
static void scan_directory(pid_t pid, const char *name, const struct scan_needles *needles, struct scan_tally *tally)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    DIR *directory = opendir(path);
    if (!directory) {
        tally->note = strerror(errno);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat facts;
        /* Only what is like a file: opening a pipe or a terminal would wait for its other end. */
        if (entry->d_name[0] == '.' || fstatat(dirfd(directory), entry->d_name, &facts, 0) != 0 ||
            !S_ISREG(facts.st_mode))
            continue;
        int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) {
            tally->refused++;
            continue;
        }
        scan_descriptor(needles, fd, tally);
        close(fd);
    }
    closedir(directory);
}

static void path_map_files(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    scan_directory(pid, "map_files", needles, tally);
}

static void path_fd(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    scan_directory(pid, "fd", needles, tally);
}

static void path_pidfd_getfd(pid_t pid, const struct scan_needles *needles, struct scan_tally *tally)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    DIR *directory = opendir(path);
    if (pidfd < 0 || !directory)
        tally->note = strerror(errno);
    for (struct dirent *entry; directory && pidfd >= 0 && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
        if (fd < 0) {
            tally->refused++;
            continue;
        }
        scan_descriptor(needles, fd, tally);
        close(fd);
    }
    if (directory)
        closedir(directory);
    if (pidfd >= 0)
        close(pidfd);
}

const struct scan_path scan_paths[] = {
    {"mem", false, path_mem},
    {"process_vm_readv", false, path_vm_readv},
    {"ptrace_peek", false, path_peek},
    {"map_files", false, path_map_files},
    {"fd", false, path_fd},
    {"pidfd_getfd", false, path_pidfd_getfd},
    {"registers", false, scan_registers},
    {"inject", true, scan_inject},
    {"core", true, scan_core},
};
const size_t scan_path_count = sizeof scan_paths / sizeof scan_paths[0];
