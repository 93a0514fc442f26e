/* vtpm_options, inside: lists of key=value. Never included outside this directory. */
#ifndef BASTIDE_VTPM_OPTIONS_INTERNAL_H
#define BASTIDE_VTPM_OPTIONS_INTERNAL_H

#include "vtpm_options.h"

#define KEYS_MAX 16

/* A key that a list may have. */
struct key {
    const char *name;
    enum { KEY_TEXT, KEY_NUMBER, KEY_MODE, KEY_FLAG, KEY_ANSWER, KEY_REFUSED } kind;
    unsigned long most;     /* of a number; an answer, yes or no, is one of 1 or 0, and alone 1 */
    const char *refused_as; /* why there is none here */
};

struct value {
    bool given;
    const char *text;
    unsigned long number;
};

/* Where sentences go: `--option: …`. */
struct complaint {
    const char *option;
    char *why;
};

/* Both write the sentence and give the status back. */
__attribute__((format(printf, 3, 4))) enum status complain(const struct complaint *at, enum status status,
                                                           const char *format, ...);

/* list.c: takes text apart in place. values has as many elements as keys has before its empty end. */
MUST_USE enum status take_list(const struct complaint *at, char *text, const struct key *keys,
                               struct value values[KEYS_MAX]);
MUST_USE enum status take_number(const char *text, int base, unsigned long most, unsigned long *number);

/* launch.c; `command` NULL: no word -- was there. */
MUST_USE enum status take_launch(const struct complaint *at, char *text, struct vtpm_options *options);
MUST_USE enum status conclude_launch(const char *const *command, struct vtpm_options *options, char *why);

/* key.c */
MUST_USE enum status take_key(const struct complaint *at, char *text, struct vtpm_file *file);

/* place.c */
MUST_USE enum status take_control(const struct complaint *at, char *text, struct vtpm_place *place);
MUST_USE enum status take_server(const struct complaint *at, char *text, struct vtpm_place *place, bool *disconnect);
struct vtpm_place place_of_port(uint16_t port);

#endif
