/* bastide rule: what the hub does when something happens. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bastide rule add FILE.json\n"
    "       bastide rule add --name N --when SOURCE:TYPE [--condition FILE.js] --do TARGET:TYPE [--transform FILE.js]\n"
    "                        [--reads SOURCE:TYPE] [--sample FILE.json]\n"
    "       bastide rule list\n"
    "       bastide rule remove NAME\n"
    "       bastide rule test NAME EVENT\n\n"
    "A rule fires once for an event that one of its --when fits and whose condition says true; then every --do makes "
    "an\n"
    "action for its target. Scripts are JavaScript functions; the hub tries them on the samples and refuses a rule "
    "whose\n"
    "scripts fail there. A rule of the same name is replaced.\n\n"
    "  --name N            the rule's name\n"
    "  --when S:T          source and type; * for any, NAME* for a prefix; may be given up to 8 times (one is enough)\n"
    "  --condition FILE    (event, source, type, ctx) => boolean; one for all, or one for each --when\n"
    "  --do TARGET:TYPE    the client that is to act, and what; may be given up to 8 times\n"
    "  --transform FILE    (event, target, actionType, ctx) => object; the event's properties if left out\n"
    "  --reads S:T         a last value that scripts may see by ctx.last(source, type); up to 16 times\n"
    "  --sample FILE       an event, or an array of them, to try the scripts on\n\n"
    "In FILE.json a condition, transform or sample may be \"@FILE\", found beside it. EVENT is a JSON event, @FILE, or "
    "-.\n"
    "A test has no effect; exit code 3 says that a script failed.\n\n"
    "Examples:\n"
    "  bastide rule add --name vacancy --when sensor:reading --condition condition.js --reads phone:presence \\\n"
    "      --do valve:heating --transform transform.js --sample sample.json\n"
    "  bastide rule add rules/vacancy.json\n"
    "  bastide rule test vacancy "
    "'{\"source\":\"sensor\",\"type\":\"reading\",\"properties\":{\"light\":0,\"co2\":400}}'\n"
    "  bastide rule remove vacancy\n";

static int show_name(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    if (cli->json)
        command_print_answer(answer);
    else
        cli_line(cli, "rule", "%s %s", name ? name : "?", (const char *)user);
    return CLI_OK;
}

static int add(const struct cli *cli, const char *file, const struct command_rule *options)
{
    char *text = NULL;
    bool options_too = options->name || options->when.count || options->conditions.count || options->actions.count ||
                       options->transforms.count || options->reads.count || options->sample;
    if (file && options_too)
        return cli_usage(cli, "rule", "give FILE.json or options, not both");
    int result = file ? command_rule_from_file(cli, file, &text) : command_rule_from_options(cli, options, &text);
    if (result)
        return result;
    const struct client_request question = {
        .code = COAP_POST, .path = "rules", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(text)};
    result = command_ask(cli, &question, show_name, (void *)(uintptr_t) "stands");
    free(text);
    return result;
}

static int show_list(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user)
{
    size_t index;
    const json_t *rule;
    (void)user;
    if (cli->json) {
        command_print_answer(answer);
        return CLI_OK;
    }
    if (json_array_size(json_object_get(json, "rules")) == 0)
        puts("There is no rule yet: bastide rule add");
    json_array_foreach(json_object_get(json, "rules"), index, rule)
    {
        const char *name = json_string_value(json_object_get(rule, "name"));
        const char *error = json_string_value(json_object_get(rule, "error"));
        cli_line(cli, name ? name : "?", "%lld evaluations, fired %lld, failed %lld%s",
                 (long long)json_integer_value(json_object_get(rule, "evaluations")),
                 (long long)json_integer_value(json_object_get(rule, "fired")),
                 (long long)json_integer_value(json_object_get(rule, "failures")),
                 json_is_true(json_object_get(rule, "paused")) ? ", paused after failures" : "");
        if (error) {
            printf("               last error: ");
            cli_put_foreign(stdout, bytes_from_text(error));
            putchar('\n');
        }
    }
    return CLI_OK;
}

static void print_trace(const struct cli *cli, struct bytes text, const json_t *trace)
{
    struct bytes actions = cli_json_member(text, "actions"), action;
    const char *log = json_string_value(json_object_get(trace, "log"));
    size_t off = 0;
    cli_line(cli, "matched", "%s", json_is_true(json_object_get(trace, "matched")) ? "yes" : "no");
    cli_line(cli, "fired", "%s", json_is_true(json_object_get(trace, "fired")) ? "yes" : "no");
    while ((action = cli_json_next(actions, &off)).len > 0) {
        printf("%s%-14s%s ", cli_bold(cli), "action", cli_plain(cli));
        cli_put_foreign(stdout, action);
        putchar('\n');
    }
    if (log && *log) {
        printf("%s%-14s%s ", cli_bold(cli), "log", cli_plain(cli));
        cli_put_foreign(stdout, bytes_from_text(log));
        putchar('\n');
    }
}

static int show_trace(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user)
{
    const char *error = json_string_value(json_object_get(json, "error"));
    (void)user;
    if (cli->json)
        command_print_answer(answer);
    else
        print_trace(cli, answer->payload, json);
    return error ? cli_fail(cli, CLI_DENIED, "a script failed: %s", error) : CLI_OK;
}

static int test(const struct cli *cli, const char *name, const char *operand)
{
    char path[128], *text = NULL;
    size_t len = 0;
    int result = command_check_name(cli, "rule", "NAME", name);
    if (result == CLI_OK)
        result = cli_take_text(cli, "EVENT", operand, COMMAND_TEXT_MAX, &text, &len);
    if (result)
        return result;
    snprintf(path, sizeof path, "rules/%s/test", name);
    const struct client_request question = {
        .code = COAP_POST, .path = path, .content_format = COAP_FORMAT_JSON, .payload = bytes_from(text, len)};
    result = command_ask(cli, &question, show_trace, NULL);
    free(text);
    return result;
}

static int remove_rule(const struct cli *cli, const char *name)
{
    char path[128];
    int result = command_check_name(cli, "rule", "NAME", name);
    if (result)
        return result;
    snprintf(path, sizeof path, "rules/%s", name);
    const struct client_request question = {.code = COAP_DELETE, .path = path};
    return command_ask(cli, &question, show_name, (void *)(uintptr_t) "removed");
}

static int act(const struct cli *cli, int argc, char **argv, const struct command_rule *rule)
{
    const struct client_request list = {.code = COAP_GET, .path = "rules"};
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "add") == 0 && argc <= 3)
        return add(cli, argc == 3 ? argv[2] : NULL, rule);
    if (strcmp(verb, "list") == 0 && argc == 2)
        return command_ask(cli, &list, show_list, NULL);
    if (strcmp(verb, "remove") == 0 && argc == 3)
        return remove_rule(cli, argv[2]);
    if (strcmp(verb, "test") == 0 && argc == 4)
        return test(cli, argv[2], argv[3]);
    return cli_usage(cli, "rule", "give add, list, remove NAME, or test NAME EVENT");
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *when[8], *conditions[8], *reads[16], *actions[8], *transforms[8];
    struct command_rule rule = {
        .when = {when, 8, 0},
        .conditions = {conditions, 8, 0},
        .reads = {reads, 16, 0},
        .actions = {actions, 8, 0},
        .transforms = {transforms, 8, 0},
    };
    const struct cli_option options[] = {
        {"name", &rule.name, NULL, NULL},
        {"when", NULL, NULL, &rule.when},
        {"condition", NULL, NULL, &rule.conditions},
        {"reads", NULL, NULL, &rule.reads},
        {"do", NULL, NULL, &rule.actions},
        {"transform", NULL, NULL, &rule.transforms},
        {"sample", &rule.sample, NULL, NULL},
    };
    int result = cli_options(cli, "rule", options, sizeof options / sizeof options[0], &argc, argv);
    return result ? result : act(cli, argc, argv, &rule);
}

const struct command command_rule = {"rule", "what the hub does when something happens: add, list, remove, test", help,
                                     run, NULL};
