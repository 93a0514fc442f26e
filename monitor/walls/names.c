/* Words for walls, in the order of their bits. */
#include "walls.h"

#include <stdio.h>
#include <string.h>

static const struct wall {
    uint32_t bit;
    const char *name;
    const char *advice;
} walls[] = {
    {EAT_WALL_SECRET_MEMORY, "secret-memory",
     "raise the memory lock limit (LimitMEMLOCK=, or memlock in /etc/security/limits.conf), or boot with "
     "secretmem.enable=1"},
    {EAT_WALL_NO_NEW_CODE, "no-new-code", "needs Linux 6.3 or newer"},
    {EAT_WALL_SYSCALL_FILTER, "syscall-filter", "needs a kernel with seccomp filters"},
    {EAT_WALL_NAMESPACES, "namespaces",
     "run as root, or allow user namespaces (kernel.unprivileged_userns_clone=1, user.max_user_namespaces)"},
    {EAT_WALL_OTHER_USER, "other-user", "run as root: only root can give an enclave a user of its own"},
    {EAT_WALL_NON_DUMPABLE, "non-dumpable", "is part of the launcher"},
    {EAT_WALL_MONITOR_SECRET, "monitor-secret", "as secret-memory, for the monitor itself"},
    {EAT_SWITCH_NO_PTRACE, "no-ptrace", "sysctl kernel.yama.ptrace_scope=3 (until the next boot nothing attaches)"},
    {EAT_SWITCH_LOCKDOWN, "lockdown", "boot with lockdown=confidentiality"},
    {EAT_SWITCH_SECURE_BOOT, "secure-boot", "turn secure boot on in the firmware"},
    {EAT_SWITCH_SIGNED_MODULES, "signed-modules",
     "boot with module.sig_enforce=1, or sysctl kernel.modules_disabled=1 once all are loaded"},
};

#define COUNT (sizeof walls / sizeof *walls)

const char *walls_name(uint32_t wall)
{
    for (size_t i = 0; i < COUNT; i++)
        if (walls[i].bit == wall)
            return walls[i].name;
    return NULL;
}

const char *walls_advice(uint32_t wall)
{
    for (size_t i = 0; i < COUNT; i++)
        if (walls[i].bit == wall)
            return walls[i].advice;
    return "";
}

static uint32_t bit_of(const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strlen(walls[i].name) == len && memcmp(walls[i].name, name, len) == 0)
            return walls[i].bit;
    return 0;
}

enum status walls_parse(const char *list, uint32_t *out, char unknown[WALLS_TEXT_MAX])
{
    uint32_t mask = 0;
    while (*list) {
        size_t len = strcspn(list, ",");
        uint32_t bit = bit_of(list, len);
        if (!bit) {
            snprintf(unknown, WALLS_TEXT_MAX, "%.*s", (int)(len < WALLS_TEXT_MAX ? len : WALLS_TEXT_MAX - 1), list);
            return NOT_FOUND;
        }
        mask |= bit;
        list += len;
        if (*list == ',')
            list++;
    }
    *out = mask;
    return OK;
}

void walls_list(uint32_t mask, char separator, char *text, size_t cap)
{
    struct writer writer = writer_over(text, cap - 1);
    for (size_t i = 0; i < COUNT; i++) {
        if (!(mask & walls[i].bit))
            continue;
        if (writer.len)
            put_u8(&writer, (uint8_t)separator);
        put_text(&writer, walls[i].name);
    }
    text[writer.len] = 0;
}
