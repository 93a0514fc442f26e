/* What the kernel's files say. Each is read whole and bounded; what is absent or strange counts as not standing. */
#include "walls.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TEXT_MAX 4096
#define EFI_VARIABLE "/sys/firmware/efi/efivars/%s-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define STUB_VARIABLE "/sys/firmware/efi/efivars/StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define EFI_VARIABLE_LEN 5 /* 4 bytes of attributes, then the value */

/* Bytes read, NUL-terminated; negative when it cannot be. */
static ssize_t read_text(const char *root, const char *name, char text[TEXT_MAX])
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s%s", root, name);
    int fd = len > 0 && len < PATH_MAX ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = fd >= 0 ? read(fd, text, TEXT_MAX - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = 0;
    return got;
}

static bool exists(const char *root, const char *name)
{
    char path[PATH_MAX];
    struct stat facts;
    int len = snprintf(path, sizeof path, "%s%s", root, name);
    return len > 0 && len < PATH_MAX && stat(path, &facts) == 0;
}

static bool says(const char *root, const char *name, const char *word)
{
    char text[TEXT_MAX];
    ssize_t got = read_text(root, name, text);
    size_t len = strlen(word);
    return got >= (ssize_t)len && memcmp(text, word, len) == 0 && (text[len] == 0 || text[len] == '\n');
}

static int efi_value(const char *root, const char *variable)
{
    char name[PATH_MAX], text[TEXT_MAX];
    snprintf(name, sizeof name, EFI_VARIABLE, variable);
    return read_text(root, name, text) == EFI_VARIABLE_LEN ? text[EFI_VARIABLE_LEN - 1] : -1;
}

/* In setup mode anyone may enrol keys: secure in name only. */
static bool secure_boot(const char *root)
{
    return efi_value(root, "SecureBoot") == 1 && efi_value(root, "SetupMode") == 0;
}

static bool signed_modules(const char *root)
{
    if (says(root, "/proc/sys/kernel/modules_disabled", "1") ||
        says(root, "/sys/module/module/parameters/sig_enforce", "Y"))
        return true;
    /* A kernel without modules has neither the switch nor the list; without /proc nothing can be told. */
    return exists(root, "/proc/sys/kernel/ostype") && !exists(root, "/proc/sys/kernel/modules_disabled") &&
           !exists(root, "/proc/modules");
}

uint32_t walls_of_node(const char *root)
{
    char text[TEXT_MAX];
    uint32_t walls = 0;
    if (says(root, "/proc/sys/kernel/yama/ptrace_scope", "3"))
        walls |= EAT_SWITCH_NO_PTRACE;
    if (read_text(root, "/sys/kernel/security/lockdown", text) > 0 && strstr(text, "[confidentiality]"))
        walls |= EAT_SWITCH_LOCKDOWN;
    if (secure_boot(root))
        walls |= EAT_SWITCH_SECURE_BOOT;
    if (signed_modules(root))
        walls |= EAT_SWITCH_SIGNED_MODULES;
    return walls;
}

/* systemd's stub leaves the number of the PCR it measured the image's parts into, in UTF-16. */
static bool stub_measured(const char *root)
{
    char text[TEXT_MAX];
    static const char eleven[] = {'1', 0, '1', 0};
    return read_text(root, STUB_VARIABLE, text) >= 4 + (ssize_t)sizeof eleven &&
           memcmp(text + 4, eleven, sizeof eleven) == 0;
}

bool walls_program_measured(const char *root, const char *path)
{
    static const char verity[] = "CRYPT-VERITY-";
    char name[64], text[TEXT_MAX];
    struct stat facts;
    struct statfs system;
    if (stat(path, &facts) != 0 || statfs(path, &system) != 0)
        return false;
    if (system.f_type == RAMFS_MAGIC || system.f_type == TMPFS_MAGIC)
        return stub_measured(root);
    snprintf(name, sizeof name, "/sys/dev/block/%u:%u/dm/uuid", major(facts.st_dev), minor(facts.st_dev));
    return secure_boot(root) && read_text(root, name, text) > 0 && strncmp(text, verity, sizeof verity - 1) == 0;
}

/* The number behind "Name:" in /proc/PID/status; negative when there is none. */
static long status_field(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            return strtol(line + len + 1, NULL, 10);
    }
    return -1;
}

/* Linux 6.1 does not count secret memory as locked; its mappings have a name that none from a file system or memfd has
 * in a process whose root directory is empty. */
static uint64_t secret_mappings(const char *root, pid_t pid)
{
    static const char name[] = " /secretmem (deleted)\n";
    char path[PATH_MAX], line[512];
    unsigned long long from, to;
    uint64_t total = 0;
    snprintf(path, sizeof path, "%s/proc/%d/maps", root, pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return 0;
    while (fgets(line, sizeof line, maps)) {
        size_t len = strlen(line);
        if (len >= sizeof name && strcmp(line + len - (sizeof name - 1), name) == 0 &&
            sscanf(line, "%llx-%llx ", &from, &to) == 2 && to > from)
            total += to - from;
    }
    fclose(maps);
    return total;
}

uint32_t walls_of_process(const char *root, pid_t pid, unsigned filters, uint64_t *locked)
{
    char name[64], path[PATH_MAX], text[TEXT_MAX];
    struct stat facts;
    uint32_t walls = 0;
    *locked = 0;
    snprintf(name, sizeof name, "/proc/%d/status", pid);
    snprintf(path, sizeof path, "%s%s", root, name);
    if (read_text(root, name, text) <= 0 || stat(path, &facts) != 0)
        return 0;
    if (status_field(text, "Seccomp") == 2 && status_field(text, "Seccomp_filters") > (long)filters)
        walls |= EAT_WALL_SYSCALL_FILTER;
    long user = status_field(text, "Uid"), kib = status_field(text, "VmLck");
    if (user > 0 && user != (long)geteuid())
        walls |= EAT_WALL_OTHER_USER;
    /* The kernel gives the files of a process that cannot be dumped to root. */
    if (user > 0 && facts.st_uid != (uid_t)user)
        walls |= EAT_WALL_NON_DUMPABLE;
    *locked = kib > 0 ? (uint64_t)kib * 1024 : secret_mappings(root, pid);
    return walls;
}

unsigned walls_own_filters(const char *root)
{
    char text[TEXT_MAX];
    long filters = read_text(root, "/proc/self/status", text) > 0 ? status_field(text, "Seccomp_filters") : -1;
    return filters > 0 ? (unsigned)filters : 0;
}
