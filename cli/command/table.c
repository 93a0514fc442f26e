/* The table of subcommands, and what stands before them: common options, help. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_init,   &command_up,    &command_down,         &command_status,  &command_client,
    &command_send,   &command_watch, &command_rule,         &command_history, &command_report,
    &command_doctor, &command_boot,  &command_reinitialise, &command_vtpm,
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static const char exit_codes[] = "Exit codes:\n"
                                 "   0  done\n"
                                 "   1  internal error\n"
                                 "   2  the command line is wrong\n"
                                 "   3  understood and refused\n"
                                 "   4  the node cannot be reached, is not up, or cannot serve now\n"
                                 "   5  the hub that answers, or the node's evidence, was refused\n"
                                 "   6  not found\n"
                                 "   7  the sealed store is older than what was acknowledged\n"
                                 "   8  the sealed store is damaged, another site's or another signer's\n"
                                 "   9  the TPM failed\n"
                                 "  10  a wall is missing that --require names, or that production requires\n"
                                 "  11  a limit of this machine is too small\n"
                                 "  12  the enclave image was refused\n"
                                 "  13  the archive cannot be opened\n"
                                 "  14  the disk is full\n"
                                 "  15  what a VM is to be started from was not measured, or is not allowed\n"
                                 "  16  the VM that was started failed\n";

static const char common[] =
    "Options for every command:\n"
    "  --home DIR          everything this machine keeps: owner/, node/, run/, tpm/ ($BASTIDE_HOME, else ~/.bastide)\n"
    "  --passphrase-file FILE\n"
    "                      the passphrase of the owner's key, or its token's PIN, is the file's first line (else the\n"
    "                      terminal is asked, when something has to be signed with that key)\n"
    "  --json              machine-readable output; errors as JSON on standard error\n"
    "  --help              help with examples\n";

static void print_help(FILE *out)
{
    fputs("bastide runs digital services on machines that need not be trusted.\n\n"
          "Usage: bastide [--home DIR] [--json] COMMAND …\n\nCommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out,
            "\n%s\n"
            "Start here:\n"
            "  bastide init --insecure-dev             make an owner, bring a node up, verify it, share the first "
            "secret\n"
            "  bastide client add sensor               register a device\n"
            "  bastide send --as sensor reading '{\"light\": 585}'\n\n%s",
            common, exit_codes);
}

static void print_chapter(const struct command *command)
{
    printf("\n## bastide %s\n\n%s.\n\n```\n%s```\n", command->name, command->summary, command->help);
    for (const struct command_page *page = command->pages; page && page->verb; page++)
        printf("\n### bastide %s %s\n\n```\n%s```\n", command->name, page->verb, page->help);
}

/* All of it, as docs/cli.md has it. */
static void print_manual(void)
{
    puts("# bastide, the command line\n\nThis page is what `bastide help manual` prints: every command's "
         "`--help`.\n\n```");
    print_help(stdout);
    puts("```");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        print_chapter(commands[i]);
}

/* Of the command, or of its verb where that has a page of its own. */
static int print_own_help(const struct command *command, const char *verb)
{
    const struct command_page *page = command->pages;
    while (verb && page && page->verb && strcmp(page->verb, verb) != 0)
        page++;
    fputs(verb && page && page->verb ? page->help : command->help, stdout);
    return CLI_OK;
}

static int print_topic(const struct cli *cli, const char *topic, const char *verb)
{
    if (strcmp(topic, "exit-codes") == 0)
        return fputs(exit_codes, stdout), CLI_OK;
    if (strcmp(topic, "manual") == 0)
        return print_manual(), CLI_OK;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(topic, commands[i]->name) == 0)
            return print_own_help(commands[i], verb);
    return cli_usage(cli, "", "there is no help on \"%s\"", topic);
}

/* --name VALUE or --name=VALUE at argv[0]: how many words it takes, 0 when it is not this option, -1 without a value.
 */
static int take_value(char **argv, const char *name, const char **value)
{
    size_t len = strlen(name);
    if (strncmp(argv[0], name, len) != 0 || (argv[0][len] && argv[0][len] != '='))
        return 0;
    *value = argv[0][len] ? argv[0] + len + 1 : argv[1];
    return !*value || !**value ? -1 : argv[0][len] ? 1 : 2;
}

/* The options every command has may stand anywhere before "--"; what is left is the command's own. NULL, or the option
 * that needs a value. */
static const char *take_common(struct cli *cli, int *argc, char **argv, const char **home, bool *help)
{
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0;) {
        int taken = 1;
        if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *help = true;
        else if ((taken = take_value(argv + i, "--home", home)) == 0)
            taken = take_value(argv + i, "--passphrase-file", &cli->passphrase_file);
        if (taken < 0)
            return argv[i];
        if (taken == 0) {
            i++;
            continue;
        }
        memmove(argv + i, argv + i + taken, sizeof *argv * (size_t)(*argc - i - taken + 1));
        *argc -= taken;
    }
    return NULL;
}

int command_main(int argc, char **argv)
{
    struct cli cli = {0};
    const char *home = NULL;
    bool help = false;
    const char *lacking = take_common(&cli, &argc, argv, &home, &help);
    if (lacking)
        return cli_usage(&cli, "", "%.*s needs a %s", (int)strcspn(lacking, "="), lacking,
                         strncmp(lacking, "--home", 6) == 0 ? "directory" : "file");
    if (argc < 2 || (strcmp(argv[1], "help") == 0 && argc < 3)) {
        print_help(argc < 2 && !help ? stderr : stdout);
        return argc < 2 && !help ? CLI_USAGE : CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0)
        return print_topic(&cli, argv[2], argv[3]);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        if (help)
            return print_own_help(commands[i], argv[2]);
        int result = cli_start(&cli, home);
        if (result == CLI_OK && crypto_init() != OK)
            result = cli_fail(&cli, CLI_INTERNAL, "libcrypto lacks what we need");
        if (result == CLI_OK)
            result = commands[i]->run(&cli, argc - 1, argv + 1);
        cli_progress(&cli, NULL);
        return result;
    }
    return cli_usage(&cli, "", "there is no command \"%s\"", argv[1]);
}
