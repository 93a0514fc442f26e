/* cli: the command line, one file per subcommand and one table. The words here are the documentation's words.
 * Never holds a key longer than a command runs; never puts a secret on the terminal, in argv or in the environment. */
#ifndef BASTIDE_CLI_H
#define BASTIDE_CLI_H

#include "base.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>

/* One exit code a class of failure; `bastide help exit-codes` prints this list. */
enum cli_exit {
    CLI_OK = 0,
    CLI_INTERNAL = 1,
    CLI_USAGE = 2,
    CLI_DENIED = 3,      /* understood and refused */
    CLI_UNREACHABLE = 4, /* the node does not answer, or is not up */
    CLI_EVIDENCE = 5,    /* the node's evidence was refused */
    CLI_NOT_FOUND = 6,
    CLI_ROLLED_BACK = 7, /* the sealed store is older than what was acknowledged */
    CLI_TAMPERED = 8,    /* the sealed store is damaged, another site's or another signer's */
    CLI_TPM = 9,
    CLI_WALL = 10,  /* a wall that --require names is missing */
    CLI_LIMIT = 11, /* a limit of the machine is too small */
    CLI_IMAGE = 12, /* the enclave image was refused */
};

struct cli {
    char home[PATH_MAX];    /* of everything: owner/, node/, run/, tpm/ */
    char program[PATH_MAX]; /* the directory our own programs are in */
    bool json;              /* machine-readable output, one JSON document (or one a line, for streams) */
    bool colour;            /* standard output is a terminal and NO_COLOR is not set */
    bool progress;          /* standard error is a terminal */
};

struct cli_command {
    const char *name;
    const char *summary;                                /* one line */
    const char *help;                                   /* usage, options, examples */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the command's name; returns enum cli_exit */
};

extern const struct cli_command cli_init_command, cli_up_command, cli_down_command, cli_status_command,
    cli_client_command, cli_send_command, cli_watch_command, cli_rule_command, cli_history_command, cli_report_command;

/* Says what went wrong, with which input, and what to do; returns `code` so that a failure is one line. With --json it
 * is {"error":…,"exit":…} on standard error. */
__attribute__((format(printf, 3, 4))) int cli_fail(const struct cli *cli, enum cli_exit code, const char *format, ...);
/* A usage error: the sentence, then how to get help. */
__attribute__((format(printf, 3, 4))) int cli_usage(const struct cli *cli, const char *command, const char *format,
                                                    ...);
/* One document on standard output; takes the value. */
void cli_print_json(json_t *value);
/* A line of progress on standard error that the next one replaces; only on a terminal. NULL clears it. */
__attribute__((format(printf, 2, 3))) void cli_progress(const struct cli *cli, const char *format, ...);
/* "\033[…m" or nothing. */
const char *cli_bold(const struct cli *cli);
const char *cli_dim(const struct cli *cli);
const char *cli_plain(const struct cli *cli);

/* Long options of the form --name VALUE or --name=VALUE, and flags. Ends at the first operand or after "--". */
struct cli_option {
    const char *name;   /* without the dashes */
    const char **value; /* NULL for a flag */
    bool *flag;
};
/* Takes the options off, wherever they stand; leaves the operands in argv[1…]. CLI_USAGE was said when it is not OK. */
int cli_options(const struct cli *cli, const char *command, const struct cli_option *options, size_t count, int *argc,
                char **argv);

/* Paths below the home; `room` has PATH_MAX bytes. */
const char *cli_path(const struct cli *cli, const char *name, char *room);
MUST_USE enum status cli_make_directories(const struct cli *cli);
/* Whole files. A file that is written appears whole or not at all; mode 0600. gives: free the data. */
MUST_USE enum status cli_read_file(const char *path, size_t max, uint8_t **data, size_t *len);
MUST_USE enum status cli_write_file(const char *path, struct bytes content);

/* A background process of the node, found again by its pid file after whoever started it died. */
struct cli_service {
    const char *name; /* of the pid file, run/NAME.pid */
    int pidfd;        /* -1 while none runs */
    pid_t pid;
    uint64_t restart_at_ms;
    uint32_t back_off_ms;
    uint64_t started_ms;
};

/* Adopt the running process the pid file names; false when there is none. */
bool cli_service_adopt(const struct cli *cli, struct cli_service *service);
/* Start argv (argv[0] is a path) with standard error appended to run/NAME.log, and write the pid file. */
MUST_USE enum status cli_service_start(const struct cli *cli, struct cli_service *service, const char *const *argv);
/* SIGTERM, then SIGKILL after the time; waits for the end. */
void cli_service_stop(const struct cli *cli, struct cli_service *service, int timeout_ms);
uint64_t cli_now_ms(void);

#endif
