/* A move between two homes. */
#include "instance_move_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct both {
    const struct owner *owner;
    const struct instance_move *move;
    struct cli there; /* the destination's home */
    struct end source, destination;
    uid_t source_user; /* whose its directory is */
    gid_t source_group;
};

/* ---- The destination's place ---- */

/* The machine policy goes along, signed for the instance wherever that is, and so do its certificates: they say what
 * was true when they were signed, by that site CA. */
static int copy(const struct both *both, const char *directory, const char *file)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    const char *name = both->move->name;
    enum status status =
        cli_read_file(instance_path(both->source.cli, directory, name, file, path), IMAGE_WORKLOAD_MAX, &data, &len);
    if (status == NOT_FOUND)
        return CLI_OK;
    if (status == OK)
        status = cli_write_file(instance_path(&both->there, directory, name, file, path), bytes_from(data, len));
    free(data);
    return status == OK ? CLI_OK : cli_fail(both->source.cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
}

static int make_destination(struct both *both, const char *image)
{
    const char *name = both->move->name;
    struct instance there;
    int result = instance_look(&both->there, name, true, &there);
    if (result == CLI_NOT_FOUND)
        result = CLI_OK;
    else if (result == CLI_OK && memcmp(there.id, both->source.is.id, sizeof there.id) != 0)
        result = cli_fail(both->source.cli, CLI_DENIED, "%s has another vTPM %s", both->there.home, name);
    if (result == CLI_OK)
        result = instance_make_place(&both->there, both->owner, name, both->source.is.id, image);
    return result ? result : copy(both, "node/instances", "workload");
}

/* ---- What can be used ---- */

static const char *usable(enum vtpm_custody source, enum vtpm_custody destination)
{
    if (source == VTPM_LIVE)
        return "the source's copy is usable, no other is";
    if (destination == VTPM_LIVE)
        return "the destination's copy is usable, no other is: --finish has the source forget";
    if (source == VTPM_MOVED && destination == VTPM_LANDING)
        return "no copy is usable until this is said again, or --abort";
    if (source == VTPM_MOVED)
        return "no copy is usable until --abort";
    return "no copy is here";
}

/* As both ends prove it now; an end that does not answer is said to. */
static void tell_where(struct both *both)
{
    enum status source = both->source.mover.room ? vtpm_mover_status(&both->source.mover) : NOT_FOUND;
    enum status destination = both->destination.mover.room ? vtpm_mover_status(&both->destination.mover) : NOT_FOUND;
    const enum vtpm_custody here = both->source.mover.facts.custody, there = both->destination.mover.facts.custody;
    if (source == OK && destination == OK)
        cli_warn(both->source.cli, "source %s, destination %s: %s", vtpm_custody_word(here), vtpm_custody_word(there),
                 usable(here, there));
    else if (source == OK)
        cli_warn(both->source.cli, "source %s, the destination does not say: %s", vtpm_custody_word(here),
                 here == VTPM_LIVE ? "the source's copy is usable" : "no copy is usable here");
    else if (destination == OK)
        cli_warn(both->source.cli, "the source does not say, destination %s: %s", vtpm_custody_word(there),
                 there == VTPM_LIVE ? "the destination's copy is usable" : "no copy is usable there");
    else
        cli_warn(both->source.cli, "neither end says where the state is; what was usable is, for nothing was proved");
}

static int fail(struct both *both, enum status status, const char *what)
{
    struct end *end =
        both->source.mover.sentence[0] || both->source.mover.evidence.reasons ? &both->source : &both->destination;
    int result = end_explain(end, status, what);
    tell_where(both);
    return result;
}

/* ---- Steps ---- */

static int look(struct both *both)
{
    enum status status = vtpm_mover_status(&both->source.mover);
    if (status != OK)
        return end_explain(&both->source, status, "asked where the state is");
    status = vtpm_mover_status(&both->destination.mover);
    return status == OK ? CLI_OK : end_explain(&both->destination, status, "asked where the state is");
}

static bool has_landed(const struct both *both)
{
    const struct vtpm_transfer_facts *from = &both->source.mover.facts, *to = &both->destination.mover.facts;
    return to->custody == VTPM_LIVE && from->custody != VTPM_LIVE && memcmp(from->to, to->to, sizeof to->to) == 0;
}

static int prepare(struct both *both)
{
    cli_progress(both->source.cli, "preparing the move of vTPM %s …", both->move->name);
    enum status status = vtpm_mover_begin(&both->source.mover, &both->destination.mover, &both->owner->key);
    return status == OK ? CLI_OK : fail(both, status, "not begun");
}

static int carry(struct both *both)
{
    cli_progress(both->source.cli, "moving vTPM %s …", both->move->name);
    enum status status = vtpm_mover_carry(&both->source.mover, &both->destination.mover);
    return status == OK ? CLI_OK : fail(both, status, "not carried");
}

static int keep_record(const struct both *both)
{
    const char *name = both->move->name;
    uint8_t room[EK_CERTIFICATE_MAX];
    struct bytes der;
    int result = instance_make_record_place(&both->there, name);
    for (int kind = 0; result == CLI_OK && kind < TPM2_EK_KINDS; kind++)
        if (instance_certificate_load(both->source.cli, name, (enum tpm2_ek_kind)kind, room, &der) == OK)
            result = instance_certificate_save(&both->there, name, (enum tpm2_ek_kind)kind, der);
    if (result == CLI_OK)
        result = copy(both, "owner/vtpm", "platform.der");
    if (result == CLI_OK)
        result = copy(both, "owner/vtpm", "policy");
    if (result == CLI_OK && instance_authority_load(both->source.cli, name, room, &der) == OK)
        result = instance_authority_save(&both->there, name, der);
    return result == CLI_OK && both->source.is.has_record
               ? instance_record_save(&both->there, name, &both->source.is.record)
               : result;
}

static int finish(struct both *both)
{
    cli_progress(both->source.cli, "having the source forget vTPM %s …", both->move->name);
    enum status status = vtpm_mover_finish(&both->source.mover, &both->destination.mover, &both->owner->key);
    if (status != OK)
        return fail(both, status, "not finished");
    int result = keep_record(both);
    if (result == CLI_OK && !end_is_elsewhere(both->source.cli))
        result = instance_delete(both->source.cli, both->owner, &both->source.is);
    both->source.began = false;
    return result;
}

static int abort_move(struct both *both)
{
    struct vtpm_mover_end *destination = both->move->lost ? NULL : &both->destination.mover;
    enum status status = vtpm_mover_abort(&both->source.mover, destination, &both->owner->key);
    if (status != OK)
        return fail(both, status, "not taken back");
    if (both->move->lost || end_is_elsewhere(&both->there))
        return CLI_OK;
    both->destination.began = false;
    return instance_delete(&both->there, both->owner, &both->destination.is); /* which never held anything */
}

static int go(struct both *both)
{
    int result = CLI_OK;
    if (both->move->step == INSTANCE_MOVE_ABORT)
        return abort_move(both);
    result = look(both);
    const bool landed = result == CLI_OK && has_landed(both);
    if (result == CLI_OK && !landed && both->move->step != INSTANCE_MOVE_FINISH)
        result = prepare(both);
    if (result == CLI_OK && !landed && both->move->step == INSTANCE_MOVE_ALL)
        result = carry(both);
    if (result == CLI_OK && both->move->step != INSTANCE_MOVE_PREPARE)
        result = finish(both);
    return result;
}

static int open_both(struct both *both, const struct cli *cli)
{
    const struct instance_move *move = both->move;
    char image[PATH_MAX] = "", there[PATH_MAX] = "", path[PATH_MAX];
    struct stat facts;
    int result = instance_look(cli, move->name, false, &both->source.is);
    if (result == CLI_OK && !instance_image(cli, move->name, image))
        result = cli_fail(cli, CLI_IMAGE, "node/instances/%s has no image", move->name);
    if (result == CLI_OK)
        result = end_open(&both->source, cli, "source", move->name, image);
    if (result || move->lost)
        return result;
    if (stat(instance_path(cli, "node/instances", move->name, "", path), &facts) == 0)
        both->source_user = facts.st_uid, both->source_group = facts.st_gid;
    enum status status = owner_pins_load(&both->there, &both->destination.pins);
    if (status != OK)
        return cli_fail(
            cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED,
            "%s/owner/pins.json %s: what is the node there to be held to? bastide init --renew in that home",
            both->there.home, cli_file_problem(status));
    if (!end_is_elsewhere(&both->there) && (result = instance_check_node(&both->there)) != CLI_OK)
        return result;
    result = make_destination(both, image);
    if (result == CLI_OK && !instance_image(&both->there, move->name, there))
        snprintf(there, sizeof there, "%s", image);
    return result ? result : end_open(&both->destination, &both->there, "destination", move->name, there);
}

/* QEMU finds both as they are; what serves the source, libvirt say, begins its own at the destination. */
static void leave(struct both *both)
{
    both->source.began = false;
    both->destination.began = both->source.served && !end_is_elsewhere(&both->there);
}

/* To whom the source's belongs: what serves a VM's TPM is to be able to open it. */
static int give_destination(const struct both *both)
{
    return both->source_user == 0 || end_is_elsewhere(&both->there)
               ? CLI_OK
               : instance_give(&both->there, both->move->name, both->source_user, both->source_group);
}

int instance_move(const struct cli *cli, const struct owner *owner, const struct instance_move *move)
{
    static struct both both; /* large */
    both = (struct both){.owner = owner, .move = move, .there = *cli};
    char *home = move->to ? realpath(move->to, NULL) : NULL;
    if (!home && !move->lost)
        return cli_fail(cli, CLI_NOT_FOUND, "--to %s: %s", move->to, strerror(errno));
    if (home)
        snprintf(both.there.home, sizeof both.there.home, "%s", home);
    free(home);
    if (!move->lost && strcmp(both.there.home, cli->home) == 0)
        return cli_usage(cli, "vtpm", "--to names the home that the vTPM is in");
    int result = open_both(&both, cli);
    if (result == CLI_OK)
        result = go(&both);
    if (result == CLI_OK && move->step == INSTANCE_MOVE_PREPARE)
        leave(&both);
    end_done(&both.source);
    end_done(&both.destination);
    if (result == CLI_OK && move->step != INSTANCE_MOVE_ABORT)
        result = give_destination(&both);
    cli_progress(cli, NULL);
    return result;
}
