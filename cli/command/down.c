/* bastide down: a clean stop, after which the sealed store's freshness is in the TPM's counter. */
#include "command_internal.h"
#include "instance.h"

#include <stdlib.h>

static const char help[] =
    "Usage: bastide down\n\n"
    "Stops the node: its vTPMs that run (their VMs lose their TPM; bastide up does not start them again), bastided, "
    "then\n"
    "key holder and monitor (which move the TPM's counter), then the software TPM of\n"
    "development mode. Nothing acknowledged is lost. A node that is down already is no failure.\n\n"
    "Examples:\n"
    "  bastide down\n"
    "  bastide --home /srv/site down --json\n";

static json_t *names_json(char (*names)[INSTANCE_NAME_MAX + 1], size_t count)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(all, json_string(names[i]));
    return all;
}

static int run(struct cli *cli, int argc, char **argv)
{
    char(*vtpms)[INSTANCE_NAME_MAX + 1] = NULL;
    size_t count = 0;
    int stopped = 0;
    int result = cli_options(cli, "down", NULL, 0, &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "down", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK)
        result = instance_stop_all(cli, &vtpms, &count);
    if (result == CLI_OK)
        result = service_down(cli, &stopped);
    if (result == CLI_OK && cli->json)
        cli_print_json(json_pack("{s:b,s:o}", "stopped", stopped > 0, "vtpms", names_json(vtpms, count)));
    for (size_t i = 0; result == CLI_OK && i < count; i++)
        cli_line(cli, "vTPM", "%s stopped", vtpms[i]);
    if (result == CLI_OK)
        cli_line(cli, "node", "%s", stopped > 0 ? "stopped" : "was down");
    free(vtpms);
    return result;
}

const struct command command_down = {"down", "stop the node cleanly", help, run, NULL};
