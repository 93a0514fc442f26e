/* cli: what every subcommand shares — where things are, what a person sees, options, JSON text as it was written.
 * Never holds a key; never puts a secret on the terminal, in argv or in the environment. */
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
    CLI_EVIDENCE = 5,    /* the hub that answers, or the node's evidence, was refused */
    CLI_NOT_FOUND = 6,
    CLI_ROLLED_BACK = 7, /* the sealed store is older than what was acknowledged */
    CLI_TAMPERED = 8,    /* the sealed store is damaged, another site's or another signer's */
    CLI_TPM = 9,
    CLI_WALL = 10,    /* a wall that --require names is missing */
    CLI_LIMIT = 11,   /* a limit of the machine is too small */
    CLI_IMAGE = 12,   /* the enclave image was refused */
    CLI_ARCHIVE = 13, /* the archive cannot be opened */
    CLI_DISK = 14,    /* the disk is full */
};

struct cli {
    char home[PATH_MAX];         /* of everything: owner/, node/, run/, tpm/ */
    char program[PATH_MAX];      /* the directory our own programs are in */
    const char *passphrase_file; /* --passphrase-file; NULL: the terminal is asked */
    bool json;                   /* machine-readable output, one JSON document (or one a line, for streams) */
    bool colour;                 /* standard output is a terminal and NO_COLOR is not set */
    bool progress;               /* standard error is a terminal */
};

/* $BASTIDE_HOME, else ~/.bastide, unless `home` is given; an absolute path. CLI_USAGE was said when it is not OK. */
int cli_start(struct cli *cli, const char *home);

/* ---- output.c ---- */

/* Says what went wrong, with which input, and what to do; returns `code` so that a failure is one line. With --json it
 * is {"error":…,"exit":…} on standard error. */
__attribute__((format(printf, 3, 4))) int cli_fail(const struct cli *cli, enum cli_exit code, const char *format, ...);
/* A usage error: the sentence, then how to get help. */
__attribute__((format(printf, 3, 4))) int cli_usage(const struct cli *cli, const char *command, const char *format,
                                                    ...);
/* What must be known and is no failure: on standard error; {"warning":…} with --json. */
__attribute__((format(printf, 2, 3))) void cli_warn(const struct cli *cli, const char *format, ...);
/* One document on standard output; takes the value. */
void cli_print_json(json_t *value);
/* "label  text": one aligned line of a report for people; nothing with --json. */
__attribute__((format(printf, 3, 4))) void cli_line(const struct cli *cli, const char *label, const char *format, ...);
/* Text that others wrote, with what could steer a terminal replaced by '?'. */
void cli_put_foreign(FILE *to, struct bytes text);
/* A line of progress on standard error that the next one replaces; only on a terminal. NULL clears it. */
__attribute__((format(printf, 2, 3))) void cli_progress(const struct cli *cli, const char *format, ...);
/* "\033[…m" or nothing. */
const char *cli_bold(const struct cli *cli);
const char *cli_dim(const struct cli *cli);
const char *cli_plain(const struct cli *cli);

/* ---- options.c ---- */

struct cli_list {
    const char **items;
    size_t cap, count;
};

/* --name VALUE or --name=VALUE, and flags. Exactly one of the three is not NULL. */
struct cli_option {
    const char *name; /* without the dashes */
    const char **value;
    bool *flag;
    struct cli_list *list; /* may be given several times */
};
/* Takes the options off, wherever they stand, until "--"; leaves the operands in argv[1…]. CLI_USAGE was said when it
 * is not OK. */
int cli_options(const struct cli *cli, const char *command, const struct cli_option *options, size_t count, int *argc,
                char **argv);
/* A whole number from min to max; CLI_USAGE was said otherwise. NULL leaves *value. */
int cli_number(const struct cli *cli, const char *command, const char *option, const char *text, uint64_t min,
               uint64_t max, uint64_t *value);
/* CLI_USAGE was said unless `text` is a numeric ADDRESS:PORT, IPv6 in brackets. */
int cli_check_address(const struct cli *cli, const char *command, const char *option, const char *text);
/* A name that may also be a file's: 1 to 64 of letters, digits, . _ - and no leading dot. */
bool cli_name_is_plain(const char *name);
/* What an operand stands for: itself, the file after '@', standard input for "-". gives: free the text. A failure was
 * said; `what` names the operand. */
int cli_take_text(const struct cli *cli, const char *what, const char *operand, size_t max, char **text, size_t *len);

/* ---- home.c ---- */

/* Paths below the home; `room` has PATH_MAX bytes. */
const char *cli_path(const struct cli *cli, const char *name, char *room);
MUST_USE enum status cli_make_directories(const struct cli *cli);
/* Whole files. A file that is written appears whole or not at all; mode 0600. gives: free the data, which ends in a NUL
 * behind its length. NO_ROOM past max. */
MUST_USE enum status cli_read_file(const char *path, size_t max, uint8_t **data, size_t *len);
MUST_USE enum status cli_write_file(const char *path, struct bytes content);
/* As it is for a person: why a file could not be had. */
const char *cli_file_problem(enum status status);

/* ---- text.c: JSON text, taken apart without changing a letter: numbers stay as their author wrote them. The text must
 * have been parsed by jansson before. ---- */

/* The value of a member whose name holds no escapes; empty when there is none. */
struct bytes cli_json_member(struct bytes object, const char *name);
/* The next element of an array from *off on (0 first); empty after the last. */
struct bytes cli_json_next(struct bytes array, size_t *off);
/* UUIDv7 (RFC 9562 §5.7) of this moment: an id that no other event has. */
MUST_USE enum status cli_make_id(uint64_t time_ms, const uint8_t random[10], char text[37]);

uint64_t cli_now_ms(void);  /* monotonic */
uint64_t cli_unix_ms(void); /* of the day */

#endif
