/* A rule's JSON text: from a file that may name others, or from options. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX (64u * 1024u)

/* "@FILE" beside `base`. gives: the text, NUL-terminated. */
static int read_beside(const struct cli *cli, const char *base, const char *name, char **text)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    const char *slash = strrchr(base, '/');
    int directory = slash && *name != '/' ? (int)(slash - base + 1) : 0;
    if (snprintf(path, sizeof path, "%.*s%s", directory, base, name) >= (int)sizeof path)
        return cli_fail(cli, CLI_DENIED, "%s: the name is too long", name);
    enum status status = cli_read_file(path, FILE_MAX, &data, &len);
    if (status == OK && strlen((char *)data) != len) {
        free(data);
        status = MALFORMED;
    }
    if (status != OK)
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "%s %s", path, cli_file_problem(status));
    *text = (char *)data;
    return CLI_OK;
}

static int parse(const struct cli *cli, const char *what, const char *text, json_t **json)
{
    json_error_t error;
    *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    return *json ? CLI_OK
                 : cli_fail(cli, CLI_DENIED, "%s: not JSON, line %d, column %d: %s", what, error.line, error.column,
                            error.text);
}

/* A member that is "@FILE" becomes what the file holds: a script's text, or with `as_json` a value. */
static int resolve(const struct cli *cli, const char *base, json_t *object, const char *member, bool as_json)
{
    const char *given = json_string_value(json_object_get(object, member));
    char *text = NULL;
    json_t *value = NULL;
    if (!given || *given != '@')
        return CLI_OK;
    int result = read_beside(cli, base, given + 1, &text);
    if (result)
        return result;
    if (as_json)
        result = parse(cli, given + 1, text, &value);
    else if (!(value = json_string(text)))
        result = cli_fail(cli, CLI_DENIED, "%s is not UTF-8 text", given + 1);
    free(text);
    if (result == CLI_OK && json_object_set_new(object, member, value) != 0)
        result = cli_fail(cli, CLI_INTERNAL, "out of memory");
    return result;
}

static int resolve_all(const struct cli *cli, const char *base, json_t *rule)
{
    size_t index;
    json_t *part;
    int result = resolve(cli, base, rule, "sample", true);
    json_array_foreach(json_object_get(rule, "when"), index, part)
    {
        if (result == CLI_OK)
            result = resolve(cli, base, part, "condition", false);
    }
    json_array_foreach(json_object_get(rule, "do"), index, part)
    {
        if (result == CLI_OK)
            result = resolve(cli, base, part, "transform", false);
    }
    return result;
}

/* Takes the rule. */
static int print(const struct cli *cli, json_t *rule, char **text)
{
    *text = json_dumps(rule, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(rule);
    return *text ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "out of memory");
}

int command_rule_from_file(const struct cli *cli, const char *path, char **text)
{
    char *written = NULL;
    json_t *rule = NULL;
    int result = read_beside(cli, "", path, &written);
    if (result == CLI_OK)
        result = parse(cli, path, written, &rule);
    free(written);
    if (result == CLI_OK)
        result = resolve_all(cli, path, rule);
    if (result == CLI_OK)
        return print(cli, rule, text);
    json_decref(rule);
    return result;
}

/* "SOURCE:TYPE", either may be "*" or empty for any. */
static int split(const struct cli *cli, const char *option, const char *text, const char *first, const char *second,
                 bool both, json_t *object)
{
    const char *colon = strchr(text, ':');
    if (!colon)
        return cli_usage(cli, "rule", "--%s %s: give %s:%s", option, text, first, second);
    size_t len = (size_t)(colon - text);
    bool any_first = len == 0 || (len == 1 && *text == '*'), any_second = !colon[1] || strcmp(colon + 1, "*") == 0;
    if (both && (any_first || any_second))
        return cli_usage(cli, "rule", "--%s %s: neither part can be left open", option, text);
    if (!any_first)
        json_object_set_new(object, first, json_stringn(text, len));
    if (!any_second)
        json_object_set_new(object, second, json_string(colon + 1));
    return CLI_OK;
}

/* One object for each item; its script is the one of the same place, or the only one. */
static int compose(const struct cli *cli, const char *option, const struct cli_list *items, const char *first,
                   const char *second, bool both, const char *script, const struct cli_list *scripts, json_t *array)
{
    if (scripts && scripts->count > 1 && scripts->count != items->count)
        return cli_usage(cli, "rule", "give one --%s, or one for each --%s", script, option);
    for (size_t i = 0; i < items->count; i++) {
        json_t *object = json_object();
        json_array_append_new(array, object);
        int result = split(cli, option, items->items[i], first, second, both, object);
        char *text = NULL;
        if (result == CLI_OK && scripts && scripts->count > 0) {
            result = read_beside(cli, "", scripts->items[scripts->count > 1 ? i : 0], &text);
            if (result == CLI_OK && json_object_set_new(object, script, json_string(text)) != 0)
                result = cli_fail(cli, CLI_DENIED, "--%s: the file is not UTF-8 text", script);
            free(text);
        }
        if (result)
            return result;
    }
    return CLI_OK;
}

static int add_sample(const struct cli *cli, const char *path, json_t *rule)
{
    char *text = NULL;
    json_t *sample = NULL;
    int result = read_beside(cli, "", path, &text);
    if (result == CLI_OK)
        result = parse(cli, path, text, &sample);
    free(text);
    if (result == CLI_OK)
        json_object_set_new(rule, "sample", sample);
    return result;
}

int command_rule_from_options(const struct cli *cli, const struct command_rule *options, char **text)
{
    if (!options->name || options->when.count == 0 || options->actions.count == 0)
        return cli_usage(cli, "rule", "give FILE.json, or at least --name, --when and --do");
    json_t *rule = json_object(), *when = json_array(), *reads = json_array(), *actions = json_array();
    json_object_set_new(rule, "name", json_string(options->name));
    json_object_set_new(rule, "when", when);
    if (options->reads.count > 0)
        json_object_set(rule, "reads", reads);
    json_object_set_new(rule, "do", actions);
    int result = compose(cli, "when", &options->when, "source", "type", false, "condition", &options->conditions, when);
    if (result == CLI_OK)
        result = compose(cli, "reads", &options->reads, "source", "type", true, NULL, NULL, reads);
    if (result == CLI_OK)
        result =
            compose(cli, "do", &options->actions, "target", "type", true, "transform", &options->transforms, actions);
    if (result == CLI_OK && options->sample)
        result = add_sample(cli, options->sample, rule);
    json_decref(reads);
    if (result == CLI_OK)
        return print(cli, rule, text);
    json_decref(rule);
    return result;
}
