/* bastide doctor: what this machine gives a node, why it matters, how to raise it. */
#include "command_internal.h"

#include "doctor.h"

static const char help[] =
    "Usage: bastide doctor [--missing]\n\n"
    "Looks at this machine as a node would: kernel, secret memory, limits, Yama, lockdown, secure boot, module\n"
    "signing, TPM and its certificate, measured boot, IMA. Says for each what is there, why it matters and how to\n"
    "raise it, in the order in which it is best done. Changes nothing; run it as root. It tells what a machine says "
    "of\n"
    "itself: proof is what bastide report verifies. docs/node.md leads from here to a measured node.\n\n"
    "  --missing           only what is not good\n\n"
    "Exit code 0 when nothing is missing, 10 when something is.\n\n"
    "Examples:\n"
    "  bastide doctor\n"
    "  bastide doctor --missing\n"
    "  bastide doctor --json | jq -r '.checks[] | select(.state != \"good\") | .name'\n";

static void print_json(const struct doctor_check *checks, size_t count, bool missing_only, bool good)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        if (!missing_only || checks[i].state != DOCTOR_GOOD)
            json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:s}", "name", checks[i].name, "state",
                                                  doctor_state_word(checks[i].state), "found", checks[i].found, "why",
                                                  checks[i].why, "raise", checks[i].raise));
    cli_print_json(json_pack("{s:b,s:o}", "good", good, "checks", list));
}

static void print_table(const struct cli *cli, const struct doctor_check *checks, size_t count, bool missing_only)
{
    for (size_t i = 0; i < count; i++) {
        const struct doctor_check *check = &checks[i];
        if (missing_only && check->state == DOCTOR_GOOD)
            continue;
        printf("%s%-8s%s %s%-15s%s %s\n", check->state == DOCTOR_GOOD ? "" : cli_bold(cli),
               doctor_state_word(check->state), cli_plain(cli), cli_bold(cli), check->name, cli_plain(cli),
               check->found);
        if (check->state != DOCTOR_GOOD)
            printf("         why: %s\n         raise: %s\n", check->why, check->raise);
    }
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct doctor_check checks[DOCTOR_CHECKS_MAX];
    char program[PATH_MAX];
    bool missing_only = false, good = true;
    const struct cli_option options[] = {{"missing", NULL, &missing_only, NULL}};
    int result = cli_options(cli, "doctor", options, 1, &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "doctor", "\"%s\" is one word too many", argv[1]);
    if (result)
        return result;
    snprintf(program, sizeof program, "%.*s/bastide-keyholder", PATH_MAX - 32, cli->program);
    size_t count = doctor_look("", program, checks);
    for (size_t i = 0; i < count; i++)
        good = good && checks[i].state != DOCTOR_MISSING;
    if (cli->json)
        print_json(checks, count, missing_only, good);
    else
        print_table(cli, checks, count, missing_only);
    return good ? CLI_OK : CLI_WALL;
}

const struct command command_doctor = {"doctor", "what this machine gives a node, and how to raise what it lacks", help,
                                       run, NULL};
