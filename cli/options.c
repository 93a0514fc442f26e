/* Options, operands, and the small checks of what is typed. */
#include "cli.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many words the option takes with it; 0 after a usage error. */
static int take_value(const struct cli *cli, const char *command, const struct cli_option *option, const char *inner,
                      const char *next)
{
    const char *value = inner ? inner : next;
    if (option->flag) {
        if (inner)
            return cli_usage(cli, command, "--%s takes no value", option->name), 0;
        *option->flag = true;
        return 1;
    }
    if (!value)
        return cli_usage(cli, command, "--%s needs a value", option->name), 0;
    if (option->value)
        *option->value = value;
    else if (option->list->count == option->list->cap)
        return cli_usage(cli, command, "--%s is given more than %zu times", option->name, option->list->cap), 0;
    else
        option->list->items[option->list->count++] = value;
    return inner ? 1 : 2;
}

static int take_option(const struct cli *cli, const char *command, const struct cli_option *options, size_t count,
                       char **argv)
{
    const char *text = argv[0] + 2;
    size_t len = strcspn(text, "=");
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == len && strncmp(options[i].name, text, len) == 0)
            return take_value(cli, command, &options[i], text[len] ? text + len + 1 : NULL, argv[1]);
    return cli_usage(cli, command, "there is no option %s", argv[0]), 0;
}

static void drop(int *argc, char **argv, int at, int count)
{
    memmove(argv + at, argv + at + count, sizeof *argv * (size_t)(*argc - at - count + 1));
    *argc -= count;
}

int cli_options(const struct cli *cli, const char *command, const struct cli_option *options, size_t count, int *argc,
                char **argv)
{
    for (int at = 1; at < *argc;) {
        if (strcmp(argv[at], "--") == 0) {
            drop(argc, argv, at, 1);
            break;
        }
        if (strncmp(argv[at], "--", 2) != 0) {
            at++;
            continue;
        }
        int words = take_option(cli, command, options, count, argv + at);
        if (words == 0)
            return CLI_USAGE;
        drop(argc, argv, at, words);
    }
    return CLI_OK;
}

int cli_number(const struct cli *cli, const char *command, const char *option, const char *text, uint64_t min,
               uint64_t max, uint64_t *value)
{
    if (!text)
        return CLI_OK;
    char *end = NULL;
    bool digits = text[0] && strspn(text, "0123456789") == strlen(text) && strlen(text) < 20;
    uint64_t number = digits ? strtoull(text, &end, 10) : 0;
    if (!digits || number < min || number > max)
        return cli_usage(cli, command, "--%s %s: give a whole number from %llu to %llu", option, text,
                         (unsigned long long)min, (unsigned long long)max);
    *value = number;
    return CLI_OK;
}

int cli_check_address(const struct cli *cli, const char *command, const char *option, const char *text)
{
    char host[64];
    struct in6_addr ignored;
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    bool good = len > 0 && len < sizeof host && strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
                strlen(colon + 1) <= 5 && atoi(colon + 1) > 0 && atoi(colon + 1) <= 65535;
    if (good) {
        snprintf(host, sizeof host, "%.*s", (int)(bracketed ? len - 2 : len), text + (bracketed ? 1 : 0));
        good = inet_pton(bracketed ? AF_INET6 : AF_INET, host, &ignored) == 1;
    }
    return good ? CLI_OK
                : cli_usage(cli, command, "--%s %s: give a numeric ADDRESS:PORT, IPv6 in brackets", option, text);
}

bool cli_name_is_plain(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    return len >= 1 && len <= 64 && name[0] != '.' && strspn(name, letters) == len;
}

/* Standard input has no length to ask for. */
static enum status read_input(size_t max, char **text, size_t *len)
{
    char *room = malloc(max + 2);
    size_t have = 0;
    ssize_t got = 1;
    while (room && got > 0 && have <= max) {
        got = read(STDIN_FILENO, room + have, max + 1 - have);
        if (got > 0)
            have += (size_t)got;
    }
    enum status status = !room || have > max ? NO_ROOM : got < 0 ? IO : OK;
    if (status != OK) {
        free(room);
        return status;
    }
    room[have] = 0;
    *text = room;
    *len = have;
    return OK;
}

int cli_take_text(const struct cli *cli, const char *what, const char *operand, size_t max, char **text, size_t *len)
{
    enum status status;
    const char *name = operand;
    if (strcmp(operand, "-") == 0) {
        name = "standard input";
        status = read_input(max, text, len);
    } else if (operand[0] == '@') {
        uint8_t *data = NULL;
        name = operand + 1;
        status = cli_read_file(name, max, &data, len);
        *text = (char *)data;
    } else {
        *text = strdup(operand);
        *len = strlen(operand);
        return *text ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "out of memory");
    }
    if (status == NO_ROOM)
        return cli_fail(cli, CLI_DENIED, "%s: %s has more than %zu bytes", what, name, max);
    if (status != OK)
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_USAGE, "%s: %s %s", what, name,
                        cli_file_problem(status));
    return CLI_OK;
}
