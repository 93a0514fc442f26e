/* One end of a transfer. Never included outside this directory. */
#ifndef BASTIDE_INSTANCE_MOVE_INTERNAL_H
#define BASTIDE_INSTANCE_MOVE_INTERNAL_H

#include "instance_move.h"

#include "vtpm_mover.h"

struct end {
    const struct cli *cli; /* of its home */
    const char *role;      /* "source", "destination", for people */
    struct instance is;
    struct owner_pins pins;
    uint8_t configuration_room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration;
    struct owner_image image;
    struct owner_references references;
    struct instance_sockets sockets;
    struct vtpm_mover_end mover;
    bool served; /* by a process that is not bastide's */
    bool began;  /* its process, for this transfer */
};

/* Of an instance that has its place; begun unless it runs, is served or is elsewhere. gives: end_done(). */
int end_open(struct end *end, const struct cli *cli, const char *role, const char *name, const char *image);
void end_done(struct end *end);
bool end_is_elsewhere(const struct cli *cli);
/* What an end refused, or why it did not answer. */
int end_explain(const struct end *end, enum status status, const char *what);

#endif
