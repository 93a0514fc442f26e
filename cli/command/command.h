/* command: the subcommands, one file each, and their table. The words of their help are the documentation's words.
 * Never holds a key longer than a command runs. */
#ifndef BASTIDE_COMMAND_H
#define BASTIDE_COMMAND_H

#include "cli.h"

struct command_page {
    const char *verb, *help;
};

struct command {
    const char *name;
    const char *summary;                                /* one line */
    const char *help;                                   /* usage, options, examples */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the command's name; returns enum cli_exit */
    const struct command_page *pages; /* the same of each verb, the last without one; NULL: in `help` */
};

/* All of `bastide`: common options, table, exit code. */
int command_main(int argc, char **argv);

/* compose.c: a rule's JSON text, from a file whose scripts and sample may be "@FILE" (beside it), or from options.
 * gives: free the text. A failure was said. */
int command_rule_from_file(const struct cli *cli, const char *path, char **text);

struct command_rule {
    const char *name;
    struct cli_list when, conditions, reads, actions, transforms;
    const char *sample;
};
int command_rule_from_options(const struct cli *cli, const struct command_rule *rule, char **text);

/* event.c: the body of POST /events for an operand, ids made where they are missing. gives: free the text. */
struct command_event {
    const char *type, *source, *time, *id; /* NULL: left out; the id is made */
};
int command_event_body(const struct cli *cli, const struct command_event *event, const char *properties, char **text);
/* One event or an array of them, as the hub takes them. */
int command_events_body(const struct cli *cli, const char *events, char **text);

#endif
