/* What a person sees: sentences, progress on a terminal only, and the same as JSON for programs. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void say_error(const struct cli *cli, enum cli_exit code,
                                                            const char *format, va_list arguments)
{
    char text[4096];
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

void cli_warn(const struct cli *cli, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cli_progress(cli, NULL);
    if (cli->json) {
        json_t *warning = json_pack("{s:s}", "warning", text);
        json_dumpf(warning, stderr, JSON_COMPACT);
        fputc('\n', stderr);
        json_decref(warning);
    } else {
        fprintf(stderr, "bastide: %s\n", text);
    }
}

void cli_line(const struct cli *cli, const char *label, const char *format, ...)
{
    if (cli->json)
        return;
    cli_progress(cli, NULL);
    va_list arguments;
    va_start(arguments, format);
    printf("%s%-14s%s ", cli_bold(cli), label, cli_plain(cli));
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    fflush(stdout);
}

/* Control characters, and those of Latin-1 in UTF-8 (C2 80 to C2 9F). */
void cli_put_foreign(FILE *to, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t letter = text.data[i];
        if (letter < 0x20 || letter == 0x7f) {
            fputc('?', to);
        } else if (letter == 0xc2 && i + 1 < text.len && text.data[i + 1] < 0xa0) {
            fputc('?', to);
            i++;
        } else {
            fputc(letter, to);
        }
    }
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
