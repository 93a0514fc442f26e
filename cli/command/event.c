/* The body of POST /events: what a person wrote, letter by letter, with ids where there are none. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

#define ID_LEN 36

static int make_id(const struct cli *cli, char id[ID_LEN + 1])
{
    uint8_t random[10];
    if (crypto_random(random, sizeof random) != OK || cli_make_id(cli_unix_ms(), random, id) != OK)
        return cli_fail(cli, CLI_INTERNAL, "no randomness");
    return CLI_OK;
}

/* What a person wrote must be JSON of this kind; its letters are then sent as they are. */
int command_check_json(const struct cli *cli, const char *what, const char *text, bool array_too)
{
    json_error_t error;
    json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!tree)
        return cli_fail(cli, CLI_DENIED, "%s: not JSON, line %d, column %d: %s", what, error.line, error.column,
                        error.text);
    bool good = json_is_object(tree) || (array_too && json_is_array(tree));
    json_decref(tree);
    return good ? CLI_OK
                : cli_fail(cli, CLI_DENIED, "%s: must be a JSON object%s", what, array_too ? " or an array" : "");
}

static void put_member(FILE *out, const char *name, const char *value, bool as_is)
{
    if (!value)
        return;
    json_t *text = json_string(value);
    char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    json_decref(text);
    fprintf(out, ",\"%s\":%s", name, as_is ? value : quoted ? quoted : "null");
    free(quoted);
}

static int close_text(const struct cli *cli, FILE *out)
{
    return fclose(out) == 0 ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "out of memory");
}

int command_event_body(const struct cli *cli, const struct command_event *event, const char *properties, char **text)
{
    char made[ID_LEN + 1];
    size_t len;
    int result = command_check_json(cli, "PROPERTIES", properties, false);
    if (result == CLI_OK && !event->id)
        result = make_id(cli, made);
    FILE *out = result == CLI_OK ? open_memstream(text, &len) : NULL;
    if (!out)
        return result ? result : cli_fail(cli, CLI_INTERNAL, "out of memory");
    bool milliseconds = event->time && *event->time && strspn(event->time, "0123456789") == strlen(event->time);
    fputs("{\"properties\":", out);
    fputs(properties, out);
    put_member(out, "type", event->type, false);
    put_member(out, "id", event->id ? event->id : made, false);
    put_member(out, "source", event->source, false);
    put_member(out, "time", event->time, milliseconds);
    fputc('}', out);
    return close_text(cli, out);
}

static int put_event(const struct cli *cli, FILE *out, struct bytes event)
{
    char id[ID_LEN + 1];
    if (event.len == 0 || event.data[0] != '{')
        return cli_fail(cli, CLI_DENIED, "EVENTS: every event must be a JSON object");
    if (cli_json_member(event, "id").len > 0) {
        fwrite(event.data, 1, event.len, out);
        return CLI_OK;
    }
    int result = make_id(cli, id);
    bool empty = event.len > 1 && event.data[1 + strspn((const char *)event.data + 1, " \t\r\n")] == '}';
    fprintf(out, "{\"id\":\"%s\"%s", id, empty ? "" : ",");
    fwrite(event.data + 1, 1, event.len - 1, out);
    return result;
}

int command_events_body(const struct cli *cli, const char *events, char **text)
{
    size_t len, off = 0;
    struct bytes all = bytes_from_text(events), event;
    int result = command_check_json(cli, "EVENTS", events, true);
    FILE *out = result == CLI_OK ? open_memstream(text, &len) : NULL;
    if (!out)
        return result ? result : cli_fail(cli, CLI_INTERNAL, "out of memory");
    size_t begin = strspn(events, " \t\r\n");
    if (events[begin] == '{') {
        result = put_event(cli, out, bytes_slice(all, begin, all.len - begin));
    } else {
        fputc('[', out);
        for (size_t count = 0; result == CLI_OK && (event = cli_json_next(all, &off)).len > 0; count++) {
            fputs(count ? "," : "", out);
            result = put_event(cli, out, event);
        }
        fputc(']', out);
    }
    int closed = close_text(cli, out);
    if (result || closed) {
        free(*text);
        *text = NULL;
    }
    return result ? result : closed;
}
