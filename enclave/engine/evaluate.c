/* Running rules. All scripts of a rule run in one call of one function, which a driver in the prelude makes of them:
 * event and state go in, state and actions come out, a line each, so that nothing is parsed here. What fails has
 * changed nothing, since nothing is handed on before all of it is here and within its limits. */
#include "engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN 1 /* the owner's rules share one context */
#define WRAPPER "bastideRule"
#define AT_STATE 16u /* places: conditions from 0, transformations from 8, the state's end */
#define AT_UNKNOWN 17u

/* JSON.stringify() writes no raw line break, so one separates. Places are told only when something fails. */
static const char prelude[] =
    "(() => {\n"
    "'use strict';\n"
    "const { stringify } = JSON, { ask } = service, { freeze } = Object, { now } = Date, { isArray } = Array;\n"
    "const kind = value => value === null || value === undefined ? String(value)\n"
    "  : isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : 'a ' + typeof value;\n"
    "const isPromise = value => typeof value === 'object' && value !== null && typeof value.then === 'function';\n"
    "const object = (value, what) => {\n"
    "  const text = stringify(value);\n"
    "  if (typeof text !== 'string' || text[0] !== '{') throw new TypeError(what + ' an object, not ' + kind(value));\n"
    "  return text; };\n"
    "const boolean = value => {\n"
    "  if (value !== true && value !== false) throw new TypeError('must return true or false, not ' + kind(value));\n"
    "  return value; };\n"
    "const last = (source, type) => {\n"
    "  const event = ask('last', [String(source), String(type)]);\n"
    "  if (event === false) throw new Error('reads of this rule does not name ' + source + ' ' + type);\n"
    "  return event; };\n"
    "globalThis." WRAPPER " = (describe, compile) => {\n"
    "  const rule = describe();\n"
    "  const conditions = rule.when.map(text => text === null ? () => true : compile(text));\n"
    "  const transforms = rule.do.map(act => act[2] === null ? event => event.properties : compile(act[2]));\n"
    "  const targets = rule.do.map(act => act[0]), types = rule.do.map(act => act[1]);\n"
    "  let state, touched = false, at = 0;\n"
    "  const ctx = freeze({ last, log, get time() { return now(); },\n"
    "    get state() { touched = true; if (state === undefined) state = {}; return state; },\n"
    "    set state(value) { touched = true; state = value; } });\n"
    "  const failed = error => { try { ask('at', at); } catch {} return error; };\n"
    "  const later = async (value, next) => {\n"
    "    try { return await next(await value); } catch (error) { throw failed(error); } };\n"
    "  const finish = lines => {\n"
    "    if (!touched) return lines;\n"
    "    at = 16;\n"
    "    return object(state, 'must be') + lines; };\n"
    "  const act = (event, j, lines) => {\n"
    "    for (; j < transforms.length; j++) {\n"
    "      at = 8 + j;\n"
    "      const value = transforms[j](event, targets[j], types[j], ctx);\n"
    "      if (isPromise(value))\n"
    "        return later(value, value => act(event, j + 1, lines + '\\n' + object(value, 'must return')));\n"
    "      lines += '\\n' + object(value, 'must return');\n"
    "    }\n"
    "    return finish(lines); };\n"
    "  const judge = (event, mask, i) => {\n"
    "    for (; i < conditions.length; i++) {\n"
    "      if ((mask >> i & 1) === 0) continue;\n"
    "      at = i;\n"
    "      const value = conditions[i](event, event.source, event.type, ctx);\n"
    "      if (value === true) return act(event, 0, '');\n"
    "      if (isPromise(value))\n"
    "        return later(value, value => boolean(value) ? act(event, 0, '') : judge(event, mask, i + 1));\n"
    "      boolean(value);\n"
    "    }\n"
    "    return finish(''); };\n"
    "  const driver = (event, given, mask = 255) => {\n"
    "    state = given; touched = false;\n"
    "    try { return judge(event, mask, 0); } catch (error) { throw failed(error); } };\n"
    "  driver.raw = true;\n"
    "  return driver; };\n"
    "})();\n";

struct bytes engine_script_prelude(void)
{
    return bytes_from(prelude, sizeof prelude - 1);
}

static void put_text_or_null(struct writer *writer, const char *text)
{
    if (text)
        engine_put_string(writer, bytes_from_text(text));
    else
        put_text(writer, "null");
}

/* The rule for the driver: () => ({when:["…"],do:[["target","type","…"]]}) */
static void put_source(struct writer *writer, const struct engine_rule *rule)
{
    put_text(writer, "() => ({when:[");
    for (size_t i = 0; i < rule->whens; i++) {
        put_text(writer, i ? "," : "");
        put_text_or_null(writer, rule->when[i].condition);
    }
    put_text(writer, "],do:[");
    for (size_t i = 0; i < rule->dos; i++) {
        put_text(writer, i ? ",[" : "[");
        put_text_or_null(writer, rule->act[i].target);
        put_text(writer, ",");
        put_text_or_null(writer, rule->act[i].type);
        put_text(writer, ",");
        put_text_or_null(writer, rule->act[i].transform);
        put_text(writer, "]");
    }
    put_text(writer, "]})");
}

/* "line 2, column 11: SyntaxError: …" */
static void say_outcome(char *error, size_t cap, const struct script_outcome *outcome)
{
    int len = 0;
    if (outcome->line && outcome->result == SCRIPT_SYNTAX)
        len = snprintf(error, cap, "line %u, column %u: ", outcome->line, outcome->column);
    else if (outcome->line)
        len = snprintf(error, cap, "line %u: ", outcome->line);
    snprintf(error + len, cap - (size_t)len, "%s", outcome->message);
    engine_clean(error);
}

bool engine_define(struct engine *engine, struct engine_rule *rule, char *error, size_t cap)
{
    struct script_context *context;
    struct script_outcome outcome;
    char *source = malloc(SCRIPT_SOURCE_MAX);
    struct writer writer = writer_over(source, source ? SCRIPT_SOURCE_MAX : 0);
    put_source(&writer, rule);
    bool defined = false;
    if (!source)
        snprintf(error, cap, "there is no memory to compile it");
    else if (writer_end(&writer) != OK)
        snprintf(error, cap, "its scripts are longer than %u bytes together", SCRIPT_SOURCE_MAX);
    else if (script_context(engine->scripts, DOMAIN, &context) != OK ||
             script_define(context, writer_bytes(&writer), WRAPPER, &rule->function, &outcome) != OK)
        snprintf(error, cap, "there is no room for another function");
    else if (outcome.result != SCRIPT_DONE)
        say_outcome(error, cap, &outcome);
    else
        defined = rule->defined = true;
    free(source);
    return defined;
}

/* One name out of ["source","type"], which the driver wrote; valid names need no escapes. */
static bool take_quoted(struct reader *reader, char after, char name[ENGINE_NAME_MAX + 1])
{
    size_t len = 0;
    if (take_u8(reader) != '"')
        return false;
    while (peek_u8(reader) != '"' && reader->rest.len > 0 && len < ENGINE_NAME_MAX)
        name[len++] = (char)take_u8(reader);
    name[len] = 0;
    return take_u8(reader) == '"' && take_u8(reader) == (uint8_t)after && engine_name_is_valid(name);
}

static void answer_last(const struct engine_run *run, struct bytes input, struct writer *output)
{
    char source[ENGINE_NAME_MAX + 1], type[ENGINE_NAME_MAX + 1];
    struct reader reader = reader_over(input);
    if (take_u8(&reader) != '[' || !take_quoted(&reader, ',', source) || !take_quoted(&reader, ']', type) ||
        reader_end(&reader) != OK || !engine_rule_reads(run->rule, source, type)) {
        put_text(output, "false");
        return;
    }
    struct bytes event = {0};
    if (run->port && run->port->last)
        event = run->port->last(run->port->user, source, type);
    if (event.len)
        put_bytes(output, event);
    else
        put_text(output, "null");
}

/* What the scripts' driver may ask. A script may ask it too, and learns or changes nothing more by that. */
static enum status answer(void *user, struct bytes name, struct bytes input, struct writer *output)
{
    struct engine_run *run = user;
    if (bytes_equal(name, bytes_from_text("last"))) {
        answer_last(run, input, output);
    } else if (bytes_equal(name, bytes_from_text("at")) && input.len > 0 && input.len <= 2) {
        unsigned at = 0;
        for (size_t i = 0; i < input.len; i++)
            at = at * 10 + (input.data[i] - (unsigned)'0');
        run->at = at <= AT_STATE ? at : AT_UNKNOWN;
        put_text(output, "null");
    } else {
        return NOT_FOUND;
    }
    return OK;
}

static bool fail(struct engine_run *run, const char *reason)
{
    char place[32] = "";
    if (run->at == AT_STATE)
        snprintf(place, sizeof place, "ctx.state: ");
    else if (run->at < ENGINE_CONDITIONS_MAX && !run->alone)
        snprintf(place, sizeof place, "when[%u].condition: ", run->at);
    else if (run->at < AT_STATE && !run->alone)
        snprintf(place, sizeof place, "do[%u].transform: ", run->at - ENGINE_CONDITIONS_MAX);
    snprintf(run->error, sizeof run->error, "%s%s", place, reason);
    engine_clean(run->error);
    return false;
}

static bool fail_long(struct engine_run *run, unsigned at, size_t len, size_t most)
{
    char reason[96];
    run->at = at;
    snprintf(reason, sizeof reason, "is %zu bytes of JSON, and %zu are allowed", len, most);
    return fail(run, reason);
}

static struct bytes take_line(struct reader *reader)
{
    const uint8_t *end = reader->rest.len ? memchr(reader->rest.data, '\n', reader->rest.len) : NULL;
    struct bytes line = take_bytes(reader, end ? (size_t)(end - reader->rest.data) : reader->rest.len);
    if (end)
        (void)take_u8(reader);
    return line;
}

/* The driver's result: the state's line, empty when it was not looked at, and one a transformation when it fired. */
static bool take_result(struct engine_run *run, struct bytes result)
{
    struct reader reader = reader_over(result);
    run->new_state = take_line(&reader);
    if (run->new_state.len > ENGINE_STATE_MAX)
        return fail_long(run, AT_STATE, run->new_state.len, ENGINE_STATE_MAX);
    run->fired = reader.rest.len > 0;
    for (size_t i = 0; run->fired && i < run->rule->dos; i++) {
        run->actions[i] = take_line(&reader);
        if (run->actions[i].len > ENGINE_ACTION_MAX)
            return fail_long(run, (unsigned)(ENGINE_CONDITIONS_MAX + i), run->actions[i].len, ENGINE_ACTION_MAX);
    }
    return true;
}

static enum status call(struct engine *engine, struct engine_run *run, struct writer *result,
                        struct script_outcome *outcome)
{
    char mask[12];
    struct bytes arguments[3] = {run->event, run->state, {0}};
    struct writer log = writer_over(engine->log, sizeof engine->log);
    struct script_call call = {.arguments = arguments,
                               .arguments_count = 1,
                               .now_ms = run->time_ms,
                               .seed = run->rule->seed ^ ((uint64_t)run->time_ms * 0x9e3779b97f4a7c15u),
                               .limits = {.budget_ms = ENGINE_BUDGET_MS,
                                          .heap_bytes = ENGINE_HEAP_MAX,
                                          .output_bytes = sizeof engine->result,
                                          .log_bytes = sizeof engine->log},
                               .service = answer,
                               .user = run,
                               .log = &log};
    /* The driver takes what is left out as an empty state, and as all conditions. */
    if (run->state.len > 2)
        call.arguments_count = 2;
    if (run->mask + 1 != 1u << run->rule->whens) {
        snprintf(mask, sizeof mask, "%u", run->mask);
        arguments[2] = bytes_from_text(mask);
        call.arguments_count = 3;
    }
    enum status status = script_call(engine->scripts, run->rule->function, &call, result, outcome);
    run->log = writer_bytes(&log);
    return status;
}

bool engine_run(struct engine *engine, struct engine_rule *rule, struct engine_run *run)
{
    struct writer result = writer_over(engine->result, sizeof engine->result);
    struct script_outcome outcome;
    char reason[sizeof run->error];
    run->rule = rule;
    run->at = AT_UNKNOWN;
    run->error[0] = 0;
    enum status status = rule->defined ? call(engine, run, &result, &outcome) : NOT_FOUND;
    if (status == NOT_FOUND) { /* never compiled, or its context was recycled */
        if (!engine_define(engine, rule, reason, sizeof reason))
            return fail(run, reason);
        status = call(engine, run, &result, &outcome);
    }
    if (status != OK)
        return fail(run, "could not be run");
    if (outcome.result == SCRIPT_DONE)
        return take_result(run, writer_bytes(&result));
    say_outcome(reason, sizeof reason, &outcome);
    return fail(run, reason);
}

char *engine_event_text(const struct engine_event *event)
{
    char when[ENGINE_TIME_LEN + 1];
    size_t cap = strlen(event->properties) + 6 * ENGINE_ID_MAX + 2 * ENGINE_NAME_MAX + 128;
    char *text = malloc(cap);
    struct writer writer = writer_over(text, text ? cap - 1 : 0);
    engine_format_time(event->time_ms, when);
    put_text(&writer, "{");
    if (event->id) {
        put_text(&writer, "\"id\":");
        engine_put_string(&writer, bytes_from_text(event->id));
        put_text(&writer, ",");
    }
    const char *const parts[] = {"\"source\":\"",      event->source,     "\",\"type\":\"",
                                 event->type,          "\",\"time\":\"",  when,
                                 "\",\"properties\":", event->properties, "}"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        put_text(&writer, parts[i]);
    if (writer_end(&writer) != OK) {
        free(text);
        return NULL;
    }
    text[writer.len] = 0;
    return text;
}
