/* The list, and the switches of the node as the monitor finds them. */
#include "doctor_internal.h"

#include "eat.h"
#include "walls.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *doctor_state_word(enum doctor_state state)
{
    static const char *const words[] = {"good", "missing", "unknown"};
    return words[state];
}

void doctor_say(struct doctor *doctor, const char *name, enum doctor_state state, const char *why, const char *raise,
                const char *found, ...)
{
    va_list arguments;
    if (doctor->count == DOCTOR_CHECKS_MAX)
        return;
    struct doctor_check *check = &doctor->checks[doctor->count++];
    *check =
        (struct doctor_check){.name = name, .state = state, .why = why, .raise = state == DOCTOR_GOOD ? "" : raise};
    va_start(arguments, found);
    (void)vsnprintf(check->found, sizeof check->found, found, arguments);
    va_end(arguments);
}

ssize_t doctor_read(const struct doctor *doctor, const char *name, char text[DOCTOR_TEXT_MAX])
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s%s", doctor->root, name);
    int fd = len > 0 && len < PATH_MAX ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = fd >= 0 ? read(fd, text, DOCTOR_TEXT_MAX - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = 0;
    if (got > 0 && text[got - 1] == '\n')
        text[got - 1] = 0;
    return got;
}

bool doctor_has(const struct doctor *doctor, const char *name)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s%s", doctor->root, name);
    return len > 0 && len < PATH_MAX && access(path, F_OK) == 0;
}

static const char *found_or(const char *text, const char *otherwise)
{
    return *text ? text : otherwise;
}

static void look_at_switches(struct doctor *doctor)
{
    char text[DOCTOR_TEXT_MAX];
    uint32_t walls = walls_of_node(doctor->root);
    (void)doctor_read(doctor, "/proc/sys/kernel/yama/ptrace_scope", text);
    doctor_say(doctor, "no-ptrace", walls & EAT_SWITCH_NO_PTRACE ? DOCTOR_GOOD : DOCTOR_MISSING,
               "a root that may attach a debugger reads and changes what the enclave computes, secret memory or not",
               walls_advice(EAT_SWITCH_NO_PTRACE), "Yama's ptrace_scope is %.20s", found_or(text, "not there"));
    (void)doctor_read(doctor, "/sys/kernel/security/lockdown", text);
    doctor_say(doctor, "lockdown", walls & EAT_SWITCH_LOCKDOWN ? DOCTOR_GOOD : DOCTOR_MISSING,
               "without it root reads kernel memory, and secret memory through it", walls_advice(EAT_SWITCH_LOCKDOWN),
               "lockdown: %.80s", found_or(text, "not in this kernel, or securityfs is not mounted"));
    doctor_say(doctor, "signed-modules", walls & EAT_SWITCH_SIGNED_MODULES ? DOCTOR_GOOD : DOCTOR_MISSING,
               "an unsigned module is code of anyone's in the kernel, which sees everything",
               walls_advice(EAT_SWITCH_SIGNED_MODULES),
               walls & EAT_SWITCH_SIGNED_MODULES ? "only signed modules load, or none any more" : "any module loads");
    bool efi = doctor_has(doctor, "/sys/firmware/efi");
    doctor_say(doctor, "secure-boot", walls & EAT_SWITCH_SECURE_BOOT ? DOCTOR_GOOD : DOCTOR_MISSING,
               "the firmware starts only what an enrolled key signed; without it only measuring tells what was started",
               walls_advice(EAT_SWITCH_SECURE_BOOT), "%s",
               walls & EAT_SWITCH_SECURE_BOOT ? "on"
               : efi                          ? "off, in setup mode, or efivarfs is not mounted"
                                              : "not started by UEFI firmware");
}

size_t doctor_look(const char *root, const char *program, struct doctor_check checks[DOCTOR_CHECKS_MAX])
{
    struct doctor doctor = {.root = root, .program = program, .checks = checks};
    doctor_look_at_memory(&doctor);
    look_at_switches(&doctor);
    doctor_look_at_boot(&doctor);
    return doctor.count;
}
