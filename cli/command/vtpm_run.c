/* bastide vtpm run: a VM started from what the monitor measured, in front of its vTPM. */
#include "command_internal.h"
#include "instance.h"

#include <unistd.h>

int command_vtpm_run(const struct cli *cli, int argc, char **argv)
{
    struct instance_launch launch = {.parts = NULL};
    struct instance_how how = {.on = false};
    const char *fsync = NULL;
    int lock = -1;
    const struct cli_option options[] = {{"launch", &launch.parts, NULL, NULL},
                                         {"launch-cmdline", &launch.cmdline, NULL, NULL},
                                         {"fsync", &fsync, NULL, NULL}};
    int result = cli_options(cli, "vtpm", options, sizeof options / sizeof *options, &argc, argv);
    if (result)
        return result;
    if (argc < 3 || (!launch.parts && !launch.cmdline))
        return cli_usage(cli, "vtpm", "run takes NAME, --launch PART=FILE,… or --launch-cmdline TEXT, then -- COMMAND");
    if (!command_vtpm_fsync(fsync, &how))
        return cli_usage(cli, "vtpm", "--fsync: yes or no");
    launch.command = argv + 2;
    result = command_vtpm_startable(cli, argv[1]);
    if (result == CLI_OK)
        result = instance_check_node(cli);
    if (result == CLI_OK)
        result = instance_lock(cli, argv[1], &lock);
    if (result)
        return result;
    result = instance_become(cli, argv[1], how, &launch);
    close(lock);
    return result;
}
