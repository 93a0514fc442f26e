/* bastide: the table of subcommands. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cli_command *const commands[] = {
    &cli_init_command, &cli_up_command,    &cli_down_command, &cli_status_command,  &cli_client_command,
    &cli_send_command, &cli_watch_command, &cli_rule_command, &cli_history_command, &cli_report_command,
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static const char exit_codes[] = "Exit codes:\n"
                                 "   0  done\n"
                                 "   1  internal error\n"
                                 "   2  the command line is wrong\n"
                                 "   3  understood and refused\n"
                                 "   4  the node cannot be reached, or is not up\n"
                                 "   5  the node's evidence was refused\n"
                                 "   6  not found\n"
                                 "   7  the sealed store is older than what was acknowledged\n"
                                 "   8  the sealed store is damaged, another site's or another signer's\n"
                                 "   9  the TPM failed\n"
                                 "  10  a wall that --require names is missing\n"
                                 "  11  a limit of this machine is too small\n"
                                 "  12  the enclave image was refused\n";

static void print_help(FILE *out)
{
    fputs("bastide runs digital services on machines that need not be trusted.\n\n"
          "Usage: bastide [--home DIR] [--json] COMMAND …\n\nCommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\nOptions for every command:\n"
        "  --home DIR  everything this machine keeps: owner/, node/, run/ ($BASTIDE_HOME, else ~/.bastide)\n"
        "  --json      machine-readable output; errors as JSON on standard error\n"
        "  --help      help with examples\n\n"
        "Start here:\n"
        "  bastide init --insecure-dev             make an owner, bring a node up, verify it, share the first secret\n"
        "  bastide client add sensor               register a device\n"
        "  bastide send --as sensor reading '{\"light\": 585}'\n\n",
        out);
    fputs(exit_codes, out);
}

static void find_program_directory(struct cli *cli)
{
    ssize_t len = readlink("/proc/self/exe", cli->program, sizeof cli->program - 1);
    cli->program[len > 0 ? len : 0] = 0;
    char *slash = strrchr(cli->program, '/');
    if (slash)
        *slash = 0;
}

static void find_home(struct cli *cli, const char *given)
{
    const char *named = given ? given : getenv("BASTIDE_HOME");
    const char *user = getenv("HOME");
    if (named && named[0] == '/')
        snprintf(cli->home, sizeof cli->home, "%s", named);
    else if (named) {
        char here[PATH_MAX - 256];
        snprintf(cli->home, sizeof cli->home, "%s/%.240s", getcwd(here, sizeof here) ? here : "", named);
    } else
        snprintf(cli->home, sizeof cli->home, "%.*s/.bastide", PATH_MAX - 16, user ? user : "/root");
}

/* The options every command has may stand anywhere; what is left is the command's own. */
static bool take_common(struct cli *cli, int *argc, char **argv, const char **home, bool *help)
{
    for (int i = 1; i < *argc;) {
        int taken = 0;
        if (strcmp(argv[i], "--json") == 0)
            cli->json = true, taken = 1;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *help = true, taken = 1;
        else if (strncmp(argv[i], "--home=", 7) == 0)
            *home = argv[i] + 7, taken = 1;
        else if (strcmp(argv[i], "--home") == 0) {
            if (i + 1 >= *argc)
                return false;
            *home = argv[i + 1], taken = 2;
        } else if (strcmp(argv[i], "--") == 0)
            break;
        if (taken == 0) {
            i++;
            continue;
        }
        memmove(argv + i, argv + i + taken, sizeof *argv * (size_t)(*argc - i - taken + 1));
        *argc -= taken;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    const char *home = NULL;
    bool help = false;
    bool good = take_common(&cli, &argc, argv, &home, &help);
    cli.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && !cli.json;
    cli.progress = isatty(STDERR_FILENO);
    find_home(&cli, home);
    find_program_directory(&cli);
    if (!good)
        return cli_usage(&cli, "", "--home needs a directory");
    if (argc < 2 || strcmp(argv[1], "help") == 0) {
        if (argc > 2 && strcmp(argv[2], "exit-codes") == 0)
            fputs(exit_codes, stdout);
        else
            print_help(argc < 2 && !help ? stderr : stdout);
        return argc < 2 && !help ? CLI_USAGE : CLI_OK;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        if (help) {
            fputs(commands[i]->help, stdout);
            return CLI_OK;
        }
        return commands[i]->run(&cli, argc - 1, argv + 1);
    }
    return cli_usage(&cli, "", "there is no command \"%s\"", argv[1]);
}
