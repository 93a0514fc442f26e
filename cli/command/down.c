/* bastide down: a clean stop, after which the sealed store's freshness is in the TPM's counter. */
#include "command_internal.h"

static const char help[] =
    "Usage: bastide down\n\n"
    "Stops the node: bastided, then key holder and monitor (which move the TPM's counter), then the software TPM of\n"
    "development mode. Nothing acknowledged is lost. A node that is down already is no failure.\n\n"
    "Examples:\n"
    "  bastide down\n"
    "  bastide --home /srv/site down --json\n";

static int run(struct cli *cli, int argc, char **argv)
{
    int stopped = 0;
    int result = cli_options(cli, "down", NULL, 0, &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "down", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK)
        result = service_down(cli, &stopped);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:b}", "stopped", stopped > 0));
    else
        cli_line(cli, "node", "%s", stopped > 0 ? "stopped" : "was down");
    return CLI_OK;
}

const struct command command_down = {"down", "stop the node cleanly", help, run};
