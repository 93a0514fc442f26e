/* Walls in words: what holds while one stands, and what then does not. */
#include "evidence.h"

static const struct evidence_wall walls[] = {
    {EAT_WALL_SECRET_MEMORY, "secret-memory", "all writable memory of the enclave is secret memory",
     "a root that reads memory sees data; raise the memory lock limit, or boot with secretmem.enable=1"},
    {EAT_WALL_NO_NEW_CODE, "no-new-code", "nothing becomes executable after the start",
     "injected data could become code; needs Linux 6.3 or newer"},
    {EAT_WALL_SYSCALL_FILTER, "syscall-filter", "the enclave may make a handful of system calls",
     "needs a kernel with seccomp filters"},
    {EAT_WALL_NAMESPACES, "namespaces", "the enclave sees no files, network or processes",
     "run as root, or allow user namespaces"},
    {EAT_WALL_OTHER_USER, "other-user", "the enclave runs as a user nobody else runs as",
     "programs of the same user are its neighbours; run as root"},
    {EAT_WALL_NON_DUMPABLE, "non-dumpable", "no core dump, no debugger of its own user",
     "its own user can look into it"},
    {EAT_WALL_MONITOR_SECRET, "monitor-secret", "the monitor's memory is secret memory too",
     "a root that reads memory sees the node's keys; as secret-memory"},
    {EAT_SWITCH_NO_PTRACE, "no-ptrace", "nothing on this machine can be debugged",
     "root can attach a debugger; sysctl kernel.yama.ptrace_scope=3"},
    {EAT_SWITCH_LOCKDOWN, "lockdown", "root cannot read kernel memory",
     "root can read kernel memory; boot with lockdown=confidentiality"},
    {EAT_SWITCH_SECURE_BOOT, "secure-boot", "only signed kernels start",
     "any kernel starts; turn secure boot on in the firmware"},
    {EAT_SWITCH_SIGNED_MODULES, "signed-modules", "only signed kernel modules load",
     "root can load code into the kernel; boot with module.sig_enforce=1"},
};

const struct evidence_wall *evidence_walls(size_t *count)
{
    *count = sizeof walls / sizeof walls[0];
    return walls;
}

void evidence_walls_list(uint32_t mask, char *text, size_t cap)
{
    struct writer writer = writer_over(text, cap - 1);
    for (size_t i = 0; i < sizeof walls / sizeof walls[0]; i++) {
        if (!(mask & walls[i].bit))
            continue;
        put_text(&writer, writer.len ? ", " : "");
        put_text(&writer, walls[i].name);
    }
    text[writer.len] = 0;
}
