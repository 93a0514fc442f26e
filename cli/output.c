/* What a person sees: sentences, progress on a terminal only, and the same as JSON for programs. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void say_error(const struct cli *cli, enum cli_exit code,
                                                            const char *format, va_list arguments)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    cli_progress(cli, NULL);
    if (cli->json) {
        json_t *error = json_pack("{s:s,s:i}", "error", text, "exit", (int)code);
        json_dumpf(error, stderr, JSON_COMPACT);
        fputc('\n', stderr);
        json_decref(error);
    } else {
        fprintf(stderr, "bastide: %s\n", text);
    }
}

int cli_fail(const struct cli *cli, enum cli_exit code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_error(cli, code, format, arguments);
    va_end(arguments);
    return (int)code;
}

int cli_usage(const struct cli *cli, const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_error(cli, CLI_USAGE, format, arguments);
    va_end(arguments);
    if (!cli->json)
        fprintf(stderr, "Try: bastide %s --help\n", command);
    return CLI_USAGE;
}

void cli_print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
    fflush(stdout);
    json_decref(value);
}

void cli_progress(const struct cli *cli, const char *format, ...)
{
    static bool shown;
    if (!cli->progress || cli->json || (!format && !shown))
        return;
    fputs("\r\033[K", stderr);
    shown = format != NULL;
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
    }
    fflush(stderr);
}

const char *cli_bold(const struct cli *cli)
{
    return cli->colour ? "\033[1m" : "";
}

const char *cli_dim(const struct cli *cli)
{
    return cli->colour ? "\033[2m" : "";
}

const char *cli_plain(const struct cli *cli)
{
    return cli->colour ? "\033[0m" : "";
}

static int take_option(const struct cli *cli, const char *command, const struct cli_option *options, size_t count,
                       int *argc, char **argv, int at)
{
    const char *text = argv[at] + 2;
    size_t len = strcspn(text, "=");
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) != len || strncmp(options[i].name, text, len) != 0)
            continue;
        if (!options[i].value) {
            if (text[len])
                return cli_usage(cli, command, "--%s takes no value", options[i].name);
            *options[i].flag = true;
            len = 1;
        } else if (text[len]) {
            *options[i].value = text + len + 1;
            len = 1;
        } else {
            if (at + 1 >= *argc)
                return cli_usage(cli, command, "--%s needs a value", options[i].name);
            *options[i].value = argv[at + 1];
            len = 2;
        }
        memmove(argv + at, argv + at + len, sizeof *argv * ((size_t)(*argc - at) - len + 1));
        *argc -= (int)len;
        return CLI_OK;
    }
    return cli_usage(cli, command, "there is no option %s", argv[at]);
}

int cli_options(const struct cli *cli, const char *command, const struct cli_option *options, size_t count, int *argc,
                char **argv)
{
    for (int at = 1; at < *argc;) {
        if (strcmp(argv[at], "--") == 0) {
            memmove(argv + at, argv + at + 1, sizeof *argv * (size_t)(*argc - at));
            (*argc)--;
            break;
        }
        if (strncmp(argv[at], "--", 2) != 0) {
            at++;
            continue;
        }
        int result = take_option(cli, command, options, count, argc, argv, at);
        if (result != CLI_OK)
            return result;
    }
    return CLI_OK;
}
