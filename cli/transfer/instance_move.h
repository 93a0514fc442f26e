/* instance_move: a vTPM's state moved to another node of its owner's, backed up, restored — client/vtpm_mover between
 * the sockets of instances. Never says that a step was done before an end proved it; every failure says which copy can
 * be used.
 *
 * An end is a home: that of the node, or the owner's for a node elsewhere (bastide init --remote), whose socket
 * run/vtpm/NAME/transfer is whatever was forwarded there. Functions give an enum cli_exit, and what went wrong was
 * said.
 */
#ifndef BASTIDE_INSTANCE_MOVE_H
#define BASTIDE_INSTANCE_MOVE_H

#include "instance.h"

enum instance_move_step {
    INSTANCE_MOVE_ALL,     /* of a VM that is off; what was cut goes on */
    INSTANCE_MOVE_PREPARE, /* until the source may give the state to that destination: QEMU's migration carries it */
    INSTANCE_MOVE_FINISH,  /* once that is over */
    INSTANCE_MOVE_ABORT,   /* the destination drops what it expected; the source goes on */
};

struct instance_move {
    const char *name;
    const char *to; /* the destination's home */
    enum instance_move_step step;
    bool lost; /* ABORT: the owner's word that the destination is gone with all it had */
};

/* `owner` is unlocked. When it is finished the source is deleted (instance_delete()) and the destination has its
 * record. */
int instance_move(const struct cli *cli, const struct owner *owner, const struct instance_move *move);

/* Sealed for owner/vtpm-backup.key, which is made when there is none. */
int instance_backup(const struct cli *cli, const struct owner *owner, const char *name, const char *file);

struct instance_restore {
    const char *name, *file;
    const char *tenant; /* NULL: as its record here has it, else "default" */
    const char *image;  /* a directory's whole path */
};
/* Into a new instance of the id that was backed up. To call it is the owner's word that the one that was is gone. */
int instance_restore(const struct cli *cli, const struct owner *owner, const struct instance_restore *restore);

#endif
