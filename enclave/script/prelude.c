/* The pristine image: an engine whose globals are ours or frozen, in which nothing of any owner has run yet. */
#include <string.h>

#include "script_internal.h"

/* Direct eval in a strict function of its own scope: what a script declares stays with the script. */
static const char evaluate_source[] = "(function () { 'use strict'; return eval(arguments[0]); })";

/* Takes the host functions, gives [define, describe, freezeAll]. */
static const char prelude_source[] =
    "(function (global) {\n"
    "'use strict';\n"
    "const { hostLog, hostAsk, hostSeed, evaluate } = global;\n"
    "for (const name of ['hostLog', 'hostAsk', 'hostSeed', 'evaluate']) delete global[name];\n"
    "const { parse, stringify } = JSON;\n"
    "const show = value => { try {\n"
    "  return typeof value === 'string' ? value : typeof value === 'object' && !(value instanceof Error)\n"
    "    ? stringify(value) : String(value); } catch { return '?'; } };\n"
    "const log = (...values) => {\n"
    "  if (hostLog(values.map(show).join(' ').toWellFormed().replaceAll('\\n', ' ')) === null)\n"
    "    throw new RangeError('logged more than allowed'); };\n"
    "const ask = (name, value) => {\n"
    "  const answer = hostAsk(String(name), stringify(value) ?? 'null');\n"
    "  if (answer === null) throw new RangeError('out of memory');\n"
    "  if (answer[0] === 'O') return parse(answer.slice(1));\n"
    "  throw new Error('service ' + name + ': ' + answer.slice(1)); };\n"
    "global.log = log;\n"
    "global.console = { log, info: log, warn: log, error: log, debug: log };\n"
    "global.service = { ask, call: async (name, value) => ask(name, value) };\n"
    "let seeded = false, a = 0, b = 0, c = 0, d = 0;\n"
    "const random32 = () => {\n" /* sfc32 */
    "  const t = (a + b + d) | 0; d = (d + 1) | 0; a = b ^ (b >>> 9);\n"
    "  b = (c + (c << 3)) | 0; c = (c << 21) | (c >>> 11); c = (c + t) | 0; return t >>> 0; };\n"
    "Math.random = () => {\n"
    "  if (!seeded) { const seed = hostSeed(); seeded = true; a = 0; c = 0; d = 1;\n"
    "    b = parseInt(seed.slice(0, 8), 16) | 0; a = parseInt(seed.slice(8), 16) | 0;\n"
    "    for (let i = 0; i < 12; i++) random32(); }\n"
    "  return ((random32() >>> 5) * 67108864 + (random32() >>> 6)) / 9007199254740992; };\n"
    /* A string is the result as JSON; a promise becomes one. */
    "const settle = async value => stringify(await value) ?? 'null';\n"
    "const finish = value => typeof value === 'object' && value !== null && typeof value.then === 'function'\n"
    "  ? settle(value) : stringify(value) ?? 'null';\n"
    /* Conditions answer with a boolean, so that is decided first. */
    "const invoke = f => f.length <= 4\n"
    "  ? (a, b, c, d) => { seeded = false; const value = f(a, b, c, d);\n"
    "      return value === true ? 'true' : value === false ? 'false' : finish(value); }\n"
    "  : (...values) => { seeded = false; return finish(f(...values)); };\n"
    "const compile = source => {\n"
    "  let f = evaluate(source);\n"
    "  if (typeof f !== 'function') f = evaluate('(' + source + '\\n)');\n"
    "  if (typeof f !== 'function') throw new TypeError('the value of this source is not a function');\n"
    "  return f; };\n"
    "const define = (source, wrapper) => {\n"
    "  let f = compile(source);\n"
    "  if (wrapper === '') return invoke(f);\n"
    "  f = global[wrapper](f, compile);\n"
    "  if (typeof f !== 'function') throw new TypeError('the wrapper did not return a function');\n"
    "  return f.raw === true ? (a, b, c, d) => { seeded = false; return f(a, b, c, d); } : invoke(f); };\n";

/* kind \t line \t column \t message. Kinds: H heap, S stack, Y syntax, T anything else thrown. */
static const char describe_source[] =
    "const describe = e => {\n"
    "  let kind = 'T', line = 0, column = 0, message = '';\n"
    "  if (e instanceof Error) {\n"
    "    message = String(e.message);\n"
    "    if (e instanceof SyntaxError) kind = 'Y';\n"
    "    if (message === 'out of memory') kind = 'H';\n"
    "    if (message === 'Maximum call stack size exceeded' || message === 'stack overflow') kind = 'S';\n"
    "    message = String(e.name) + ': ' + message;\n"
    "    const at = /<input>:(\\d+):(\\d+)/.exec(String(e.stack));\n"
    "    if (at !== null) { line = at[1]; column = at[2]; }\n"
    "  } else message = show(e);\n"
    "  return kind + '\\t' + line + '\\t' + column + '\\t' + message.slice(0, 200).toWellFormed(); };\n"
    /* Assigning to an inherited read-only property throws, so what scripts do assign (an error's name, a toString)
     * becomes an accessor that defines the assigner's own. */
    "const open = (proto, names) => { for (const name of names) {\n"
    "  const own = Object.getOwnPropertyDescriptor(proto, name);\n"
    "  if (own === undefined || !('value' in own)) continue;\n"
    "  Object.defineProperty(proto, name, { configurable: false, enumerable: false, get: () => own.value,\n"
    "    set(value) { if (this === proto) throw new TypeError('read-only');\n"
    "      Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true }); } });\n"
    "  } };\n"
    "const freezeAll = () => {\n"
    "  open(Object.prototype, ['constructor', 'toString', 'valueOf', 'toLocaleString', 'hasOwnProperty']);\n"
    "  for (const kind of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError])\n"
    "    open(kind.prototype, ['name', 'message', 'constructor', 'toString']);\n"
    "  const seen = new Set(), queue = [global, function* () {}, async function () {}, async function* () {},\n"
    "    [][Symbol.iterator](), new Map().entries(), new Set().entries(), ''[Symbol.iterator](), ''.matchAll(/x/g),\n"
    "    (function* () {})(), (async function* () {})(), [].values().map(x => x)];\n"
    "  while (queue.length > 0) {\n"
    "    const at = queue.pop();\n"
    "    if ((typeof at !== 'object' && typeof at !== 'function') || at === null || seen.has(at)) continue;\n"
    "    seen.add(at);\n"
    "    Object.freeze(at);\n"
    "    queue.push(Object.getPrototypeOf(at));\n"
    "    for (const key of Reflect.ownKeys(at)) {\n"
    "      const own = Object.getOwnPropertyDescriptor(at, key);\n"
    "      queue.push(own.value, own.get, own.set);\n"
    "    }\n"
    "  }\n"
    "};\n"
    "return [define, describe, freezeAll];\n"
    "})(globalThis)";

static enum status fail(struct writer *why, enum status status, const char *text)
{
    put_text(why, "the JavaScript engine's prelude: ");
    put_text(why, text);
    return status;
}

static enum status evaluate(struct script_context *context, struct bytes source, guest_value *value)
{
    uint32_t at, name;
    TRY(guest_copy_text(context, source, &at));
    TRY(guest_copy_text(context, bytes_from_text("<prelude>"), &name));
    uint64_t arguments[4] = {at, source.len, name, 0};
    TRY(guest_call(context, EXPORT_EVAL, arguments, 4, value));
    guest_free(context, at);
    guest_free(context, name);
    return *value == 0 || guest_is(context, EXPORT_IS_EXCEPTION, *value) ? MALFORMED : OK;
}

static enum status set_global(struct script_context *context, const char *name, guest_value value)
{
    guest_value global;
    uint32_t at, none;
    TRY(guest_copy_text(context, bytes_from_text(name), &at));
    TRY(guest_call(context, EXPORT_GLOBAL, NULL, 0, &global));
    uint64_t arguments[3] = {global, at, value};
    TRY(guest_call(context, EXPORT_SET_PROPERTY, arguments, 3, &none));
    guest_free(context, at);
    guest_release(context, global);
    guest_release(context, value);
    return context->crashed ? DENIED : OK;
}

static enum status set_host_function(struct script_context *context, const char *global, const char *name)
{
    guest_value function;
    uint32_t at;
    TRY(guest_copy_text(context, bytes_from_text(name), &at));
    uint64_t arguments[3] = {at, strlen(name), 0};
    TRY(guest_call(context, EXPORT_HOST_FUNCTION, arguments, 3, &function));
    guest_free(context, at);
    return set_global(context, global, function);
}

static enum status element(struct script_context *context, guest_value array, const char *index, guest_value *value)
{
    uint32_t at;
    TRY(guest_copy_text(context, bytes_from_text(index), &at));
    uint64_t arguments[2] = {array, at};
    TRY(guest_call(context, EXPORT_GET_PROPERTY, arguments, 2, value));
    guest_free(context, at);
    return *value == 0 || guest_is(context, EXPORT_IS_EXCEPTION, *value) ? INTERNAL : OK;
}

static enum status start_engine(struct script_context *context)
{
    uint32_t result = 0;
    guest_value value;
    TRY(guest_call(context, EXPORT_INITIALIZE, NULL, 0, &result));
    TRY(guest_call(context, EXPORT_INIT, NULL, 0, &result));
    if (result != 0)
        return INTERNAL;
    TRY(guest_call(context, EXPORT_UNDEFINED, NULL, 0, &context->engine->undefined));
    TRY(guest_call(context, EXPORT_CONTEXT, NULL, 0, &context->engine->context_at));
    TRY(set_host_function(context, "hostLog", "log"));
    TRY(set_host_function(context, "hostAsk", "ask"));
    TRY(set_host_function(context, "hostSeed", "seed"));
    TRY(evaluate(context, bytes_from_text(evaluate_source), &value));
    return set_global(context, "evaluate", value);
}

static enum status run_own_prelude(struct script_context *context, guest_value *finish)
{
    static char source[sizeof(prelude_source) + sizeof(describe_source)];
    struct writer writer = writer_over(source, sizeof(source));
    guest_value parts;
    put_text(&writer, prelude_source);
    put_text(&writer, describe_source);
    TRY(evaluate(context, writer_bytes(&writer), &parts));
    TRY(element(context, parts, "0", &context->engine->define));
    TRY(element(context, parts, "1", &context->engine->describe));
    TRY(element(context, parts, "2", finish));
    guest_release(context, parts);
    return OK;
}

/* Runs through what every call will do, so that the image's atoms, shapes and free lists are already there. */
static enum status warm_up(struct script_context *context)
{
    static const char sample[] = "(event, ctx) => ({ on: event.value > 3, at: `${event.time}`, list: [ctx.state] })";
    static const char event[] = "{\"value\":4,\"time\":\"t\",\"properties\":{\"a\":[1,2.5,true,null,\"x\"]}}";
    for (int i = 0; i < 3; i++) {
        guest_value texts[2], function, result;
        raw_value values[2];
        TRY(guest_string(context, bytes_from_text(sample), &texts[0]));
        TRY(guest_string(context, bytes_from_text(""), &texts[1]));
        TRY(guest_run(context, context->engine->define, texts, 2, &function));
        TRY(guest_parse(context, bytes_from_text(event), &values[0]));
        TRY(guest_parse(context, bytes_from_text(event), &values[1]));
        TRY(guest_run_raw(context, function, values, 2, &result));
        if (!guest_is(context, EXPORT_IS_STRING, result))
            return INTERNAL;
        guest_release(context, result);
        guest_release(context, function);
        for (size_t v = 0; v < 2; v++) {
            guest_release_raw(context, values[v]);
            guest_release(context, texts[v]);
        }
    }
    return context->crashed ? DENIED : OK;
}

enum status heap_in_use(struct script_context *context, uint32_t *used)
{
    uint32_t none, at;
    uint64_t len = 26 * 8, argument; /* the engine's usage record, of which the first number is what malloc gave out */
    uint8_t first[8];
    TRY(guest_call(context, EXPORT_RUN_GC, NULL, 0, &none));
    TRY(guest_call(context, EXPORT_MALLOC, &len, 1, &at));
    if (at == 0)
        return NO_ROOM;
    argument = at;
    TRY(guest_call(context, EXPORT_MEMORY_USAGE, &argument, 1, &none));
    TRY(compartment_copy_out(context->compartment, at, first, sizeof(first)));
    guest_free(context, at);
    struct reader reader = reader_over(BYTES_OF(first));
    uint64_t held = take_u64le(&reader);
    if (held == 0 || held > UINT32_MAX / 2 || context->crashed)
        return INTERNAL;
    *used = (uint32_t)held;
    return OK;
}

enum status prelude_run(struct script_context *context, struct bytes config_prelude, struct writer *why)
{
    guest_value finish = 0, value = 0;
    uint64_t len = SCRATCH_LEN;
    uint32_t scratch;
    struct script_outcome outcome = {0};
    if (start_engine(context) != OK)
        return fail(why, INTERNAL, "the module's engine does not start");
    if (run_own_prelude(context, &finish) != OK)
        return fail(why, INTERNAL, "its own part fails");
    TRY(guest_call(context, EXPORT_MALLOC, &len, 1, &scratch));
    if (config_prelude.len != 0 && evaluate(context, config_prelude, &value) != OK) {
        context->engine->scratch = scratch;
        describe_exception(context, &outcome);
        return fail(why, MALFORMED, outcome.message);
    }
    guest_release(context, value);
    context->engine->scratch = scratch;
    TRY(guest_run(context, finish, NULL, 0, &value));
    if (guest_is(context, EXPORT_IS_EXCEPTION, value)) {
        describe_exception(context, &outcome);
        return fail(why, INTERNAL, outcome.message);
    }
    guest_release(context, value);
    guest_release(context, finish);
    if (warm_up(context) != OK || heap_in_use(context, &context->engine->pristine_heap) != OK)
        return fail(why, INTERNAL, "its trial run fails");
    context->engine->pristine_rest = compartment_memory_len(context->compartment) - context->engine->pristine_heap;
    return OK;
}
