/* What the files of the library share. */
#ifndef BASTIDE_LIBRARY_INTERNAL_H
#define BASTIDE_LIBRARY_INTERNAL_H

#include "bastide.h"

#include "base.h"
#include "device.h"

struct library_observation;

struct bastide {
    struct device device;
    struct client *client; /* opened when first needed */
    struct bastide_storage storage;
    char *url, *state_file;
    uint32_t timeout_ms;
    bool no_clock, has_state;
    int64_t renew_again_s;
    struct library_observation *observations; /* owned */
    char name[BASTIDE_NAME_MAX + 1];
    char why[BASTIDE_WHY_MAX];
};

/* library.c */
enum bastide_status library_say(struct bastide *hub, enum bastide_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* gives the status back */
enum bastide_status library_status(enum status status);
/* Enrolled, and with a client to ask by; its certificate renewed if that is due. */
enum bastide_status library_ready(struct bastide *hub);

/* request.c */
void library_forget_observations(struct bastide *hub);

/* file.c: a file as storage; `user` is its path. */
long library_file_load(void *user, uint8_t *state, size_t cap);
bool library_file_save(void *user, const uint8_t *state, size_t len);

#endif
