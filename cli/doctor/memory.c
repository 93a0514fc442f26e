/* What an enclave's own walls need of kernel and limits. Tried rather than looked up where that harms nothing. */
#include "doctor_internal.h"

#include "eat.h"
#include "walls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GET_MDWE 66            /* PR_GET_MDWE */
#define POOL_LEN (64ull << 20) /* an enclave's memory as bastide up asks for it */

static bool live(const struct doctor *doctor)
{
    return doctor->root[0] == 0;
}

static void look_at_kernel(struct doctor *doctor)
{
    char text[DOCTOR_TEXT_MAX];
    char *end = NULL;
    unsigned long major = 0, minor = 0;
    if (doctor_read(doctor, "/proc/sys/kernel/osrelease", text) > 0) {
        major = strtoul(text, &end, 10);
        minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    }
    bool any = major > 5 || (major == 5 && minor >= 14), good = major > 6 || (major == 6 && minor >= 5);
    doctor_say(doctor, "kernel",
               major == 0 ? DOCTOR_UNKNOWN
               : any      ? DOCTOR_GOOD
                          : DOCTOR_MISSING,
               "secret memory came with Linux 5.14, is on by itself from 6.5 on; memory-deny-write-execute with 6.3",
               "install a newer kernel (Debian 12 has 6.1, its backports newer ones)", "Linux %.60s%s",
               major ? text : "of an unknown version", any && !good ? ": needs secretmem.enable=1 at boot" : "");
}

static void look_at_secret_memory(struct doctor *doctor)
{
    static const char why[] = "memory of enclave and monitor that root cannot read, not even as a dump";
    char text[DOCTOR_TEXT_MAX];
    bool there;
    if (live(doctor)) {
        int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
        there = fd >= 0;
        if (fd >= 0)
            close(fd);
    } else {
        there = doctor_read(doctor, "/proc/cmdline", text) > 0 && strstr(text, "secretmem.enable=1");
    }
    const char *found = there ? "the kernel gives secret memory" : "the kernel gives no secret memory";
    const char *raise = "boot with secretmem.enable=1 (Linux 5.14 to 6.4), or a newer kernel";
    doctor_say(doctor, "secret-memory", there ? DOCTOR_GOOD : DOCTOR_MISSING, why, raise, "%s", found);
    doctor_say(doctor, "monitor-secret", there ? DOCTOR_GOOD : DOCTOR_MISSING,
               "the same for the process that holds the node's keys", raise, "%s", found);
}

/* CAP_IPC_LOCK lifts the limit, in the first user namespace only: tried, for it cannot be asked. */
static bool locks(uint64_t len)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    void *map = fd >= 0 ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map != MAP_FAILED)
        munmap(map, len);
    if (fd >= 0)
        close(fd);
    return map != MAP_FAILED;
}

static void look_at_limits(struct doctor *doctor)
{
    struct rlimit limit = {0};
    if (!live(doctor) || getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    bool enough = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= POOL_LEN || locks(POOL_LEN);
    doctor_say(doctor, "memlock", enough ? DOCTOR_GOOD : DOCTOR_MISSING,
               "secret memory counts as locked: what is above the limit is ordinary memory",
               "LimitMEMLOCK=infinity in the service, or \"* hard memlock unlimited\" in /etc/security/limits.conf, or "
               "run as root",
               limit.rlim_cur == RLIM_INFINITY ? "no limit" : "%llu KiB, and %s",
               (unsigned long long)limit.rlim_cur / 1024,
               enough ? "64 MiB can be had all the same" : "64 MiB are wanted");
}

static void look_at_process_walls(struct doctor *doctor)
{
    char text[DOCTOR_TEXT_MAX];
    bool filter = doctor_has(doctor, "/proc/sys/kernel/seccomp/actions_avail");
    doctor_say(doctor, "syscall-filter", filter ? DOCTOR_GOOD : DOCTOR_MISSING,
               "an enclave that was broken into still makes ten system calls and no others",
               walls_advice(EAT_WALL_SYSCALL_FILTER), "%s",
               filter ? "seccomp filters are there" : "no seccomp filters");
    if (live(doctor)) {
        bool mdwe = prctl(GET_MDWE, 0, 0, 0, 0) >= 0;
        doctor_say(doctor, "no-new-code", mdwe || filter ? DOCTOR_GOOD : DOCTOR_MISSING, "what was injected cannot run",
                   walls_advice(EAT_WALL_NO_NEW_CODE), "%s",
                   mdwe     ? "the kernel refuses memory that is written and executed"
                   : filter ? "no MDWE before Linux 6.3: the enclave's system call filter refuses instead"
                            : "neither MDWE nor a filter");
    }
    bool root = geteuid() == 0,
         spaces = doctor_read(doctor, "/proc/sys/user/max_user_namespaces", text) > 0 && strcmp(text, "0") != 0;
    bool forbidden = doctor_read(doctor, "/proc/sys/kernel/unprivileged_userns_clone", text) > 0 && text[0] == '0';
    doctor_say(doctor, "namespaces", root || (spaces && !forbidden) ? DOCTOR_GOOD : DOCTOR_MISSING,
               "an enclave sees no files, no network and no other process", walls_advice(EAT_WALL_NAMESPACES), "%s",
               root                   ? "root makes them"
               : spaces && !forbidden ? "users may make them"
                                      : "users may not make them");
    doctor_say(doctor, "other-user", root ? DOCTOR_GOOD : DOCTOR_MISSING,
               "programs of one user are each other's neighbours", walls_advice(EAT_WALL_OTHER_USER), "%s",
               root ? "run as root" : "run as an ordinary user");
}

void doctor_look_at_memory(struct doctor *doctor)
{
    look_at_kernel(doctor);
    look_at_secret_memory(doctor);
    look_at_limits(doctor);
    look_at_process_walls(doctor);
}
