/* bastide vtpm backup, restore, migrate: a vTPM's state that leaves and lands, on its owner's word. */
#include "command_internal.h"
#include "instance_move.h"

static int unlock(const struct cli *cli, struct owner *owner)
{
    int result = owner_open(cli, false, owner);
    return result ? result : owner_unlock(cli, owner);
}

int command_vtpm_backup(const struct cli *cli, const char *name, const char *file)
{
    struct owner owner = {0};
    int result = unlock(cli, &owner);
    if (result == CLI_OK)
        result = instance_backup(cli, &owner, name, file);
    owner_done(&owner);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:s,s:s}", "name", name, "file", file));
    else
        cli_line(cli, "backup", "of vTPM %s in %s, for owner/vtpm-backup.key: keep the two apart", name, file);
    return CLI_OK;
}

int command_vtpm_restore(const struct cli *cli, const struct instance_restore *restore)
{
    struct owner owner = {0};
    int result = unlock(cli, &owner);
    if (result == CLI_OK)
        result = instance_restore(cli, &owner, restore);
    owner_done(&owner);
    return result ? result : command_vtpm_show(cli, restore->name);
}

int command_vtpm_migrate(const struct cli *cli, const struct instance_move *move)
{
    static const char *const states[] = {"moved", "prepared", "moved", "taken back"};
    const bool back = move->step == INSTANCE_MOVE_ABORT;
    struct owner owner = {0};
    int result = unlock(cli, &owner);
    if (result == CLI_OK)
        result = instance_move(cli, &owner, move);
    owner_done(&owner);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:s,s:s,s:s*}", "name", move->name, "state", states[move->step], "to", move->to));
    else
        cli_line(cli, "vTPM", "%s %s%s%s", move->name, states[move->step], back ? "" : " to ", back ? "" : move->to);
    if (move->step == INSTANCE_MOVE_PREPARE)
        cli_line(cli, "next",
                 "start QEMU there with -incoming (bastide --home %s vtpm show %s), migrate, then --finish", move->to,
                 move->name);
    return CLI_OK;
}
