/* What the files of the doctor share: the list as it grows, and files of the machine that is looked at. */
#ifndef BASTIDE_DOCTOR_INTERNAL_H
#define BASTIDE_DOCTOR_INTERNAL_H

#include "doctor.h"

#include <sys/types.h>

#define DOCTOR_TEXT_MAX 4096

struct doctor {
    const char *root, *program;
    struct doctor_check *checks;
    size_t count;
};

/* One more line; `found` is printf's. */
__attribute__((format(printf, 6, 7))) void doctor_say(struct doctor *doctor, const char *name, enum doctor_state state,
                                                      const char *why, const char *raise, const char *found, ...);
/* Bytes of root/name, NUL-terminated, without the last newline; negative when it cannot be read. */
ssize_t doctor_read(const struct doctor *doctor, const char *name, char text[DOCTOR_TEXT_MAX]);
bool doctor_has(const struct doctor *doctor, const char *name);

void doctor_look_at_memory(struct doctor *doctor); /* memory.c: kernel, secret memory, limits, process walls */
void doctor_look_at_boot(struct doctor *doctor);   /* boot.c: TPM, measured boot, IMA */

#endif
