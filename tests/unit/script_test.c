#include "check.h"

#include <time.h>

#include "guest_memory.h"
#include "script.h"

static const char *modules_dir = "modules";
static struct compartment_module *module;
static struct script_engine *engine;
static struct script_context *context;

static const char prelude[] = "globalThis.withState = rule => (event, state) => {\n"
                              "  const result = rule(event, { state, last: key => service.ask('last', key) });\n"
                              "  return { result, state }; };\n"
                              "globalThis.answer = 42;\n"
                              "globalThis.joined = (texts, compile) => {\n"
                              "  const [f, g] = texts().map(compile);\n"
                              "  const both = value => g(f(value));\n"
                              "  both.raw = true;\n"
                              "  return both; };\n";

static char log_text[8192], result_text[70000];
static struct writer logged, written;
static struct script_outcome outcome;

static int start_engine(void **state)
{
    char path[512], why[256];
    size_t policy_len, count;
    struct writer reason = writer_over(why, sizeof(why) - 1);
    (void)state;
    snprintf(path, sizeof(path), "%s/quickjs.policy", modules_dir);
    uint8_t *policy = guest_file(path, &policy_len);
    snprintf(path, sizeof(path), "%s/quickjs.so", modules_dir);
    const struct compartment_host_function *functions = script_host_functions(&count);
    struct script_config config = {.contexts = 3, .prelude = bytes_from_text(prelude)};
    check_ok(compartment_init(&guest_memory));
    int fd = guest_object(path);
    enum status status =
        compartment_load(fd, bytes_from(policy, policy_len), functions, count, &guest_memory, &module, &reason);
    close(fd);
    free(policy);
    if (status == OK)
        status = script_engine_new(&engine, &config, module, &guest_memory, &reason);
    why[reason.len] = '\0';
    if (status != OK)
        print_error("%s\n", why);
    return status == OK ? 0 : -1;
}

static int take_context(void **state)
{
    (void)state;
    for (uint64_t domain = 0; domain < 10; domain++)
        script_forget(engine, domain);
    check_ok(script_context(engine, 1, &context));
    return 0;
}

static struct script_function define(const char *source)
{
    struct script_function function = {0};
    check_ok(script_define(context, bytes_from_text(source), NULL, &function, &outcome));
    if (outcome.result != SCRIPT_DONE)
        fail_msg("%s", outcome.message);
    return function;
}

static struct script_call a_call(const struct bytes *arguments, size_t count)
{
    logged = writer_over(log_text, sizeof(log_text));
    written = writer_over(result_text, sizeof(result_text));
    return (struct script_call){.arguments = arguments,
                                .arguments_count = count,
                                .now_ms = 1423000000123,
                                .seed = 99,
                                .log = &logged,
                                .limits = {.budget_ms = 2000}};
}

static void check_result(struct script_function function, const struct script_call *call, enum script_result result,
                         const char *text)
{
    check_ok(script_call(engine, function, call, &written, &outcome));
    if (outcome.result != result)
        print_error("%s: %s\n", script_result_word(outcome.result), outcome.message);
    assert_int_equal(outcome.result, result);
    check_bytes(bytes_from_text(text), bytes_from(result_text, written.len));
}

static void check_run(const char *source, const char *argument, enum script_result result, const char *text)
{
    struct bytes arguments[1] = {bytes_from_text(argument)};
    struct script_call call = a_call(arguments, 1);
    check_result(define(source), &call, result, text);
}

static void json_goes_in_and_json_comes_out(void **state)
{
    (void)state;
    check_run("e => e.value > 3", "{\"value\":4}", SCRIPT_DONE, "true");
    check_run("e => ({ on: true, at: e.time })", "{\"time\":\"t\"}", SCRIPT_DONE, "{\"on\":true,\"at\":\"t\"}");
    check_run("e => undefined", "1", SCRIPT_DONE, "null");
    check_run("e => e", "\"\\u0000\xc3\xa9\\ud83d\\ude00\"", SCRIPT_DONE, "\"\\u0000\xc3\xa9\xf0\x9f\x98\x80\"");
    check_run("e => '\\ud800'", "1", SCRIPT_DONE, "\"\\ud800\"");
    check_run("// a comment\n(e) => {\n  return [e];\n};\n", "2.5", SCRIPT_DONE, "[2.5]");
    check_run("function named(e) { return e + 1; }", "1", SCRIPT_DONE, "2");
    check_run("const k = 2; e => e * k", "21", SCRIPT_DONE, "42");
    check_run("(a, b, c, d, e) => arguments.length + typeof e", "1", SCRIPT_DONE, "\"1undefined\"");
}

static void several_arguments_arrive_in_order(void **state)
{
    struct bytes arguments[SCRIPT_ARGUMENTS_MAX + 1];
    (void)state;
    for (size_t i = 0; i <= SCRIPT_ARGUMENTS_MAX; i++)
        arguments[i] = bytes_from(&"123456789"[i], 1);
    struct script_call call = a_call(arguments, SCRIPT_ARGUMENTS_MAX);
    check_result(define("(a, b, c, d, e, ...rest) => [a, b, c, d, e, rest]"), &call, SCRIPT_DONE,
                 "[1,2,3,4,5,[6,7,8]]");
    call = a_call(arguments, 3);
    check_result(define("(a, b, c) => a * 100 + b * 10 + c"), &call, SCRIPT_DONE, "123");
    call = a_call(arguments, SCRIPT_ARGUMENTS_MAX + 1);
    check_status(NO_ROOM, script_call(engine, define("() => 1"), &call, &written, &outcome));
}

static void what_is_not_json_is_refused_as_input(void **state)
{
    static const char *const bad[] = {"", "{", "{\"a\":1}}", "nul", "\"\xff", "[1,]", "1 2"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_run("e => 1", bad[i], SCRIPT_INPUT, "");
    check_run("e => 1", "[1]", SCRIPT_DONE, "1");
}

static void syntax_errors_name_line_and_column(void **state)
{
    struct script_function function = {.slot = 7};
    (void)state;
    check_ok(script_define(context, bytes_from_text("(e) => {\n  let x = ;\n}"), NULL, &function, &outcome));
    assert_int_equal(outcome.result, SCRIPT_SYNTAX);
    assert_int_equal(outcome.line, 2);
    assert_int_equal(outcome.column, 11);
    assert_string_equal(outcome.message, "SyntaxError: unexpected token in expression: ';'");
    assert_int_equal(function.slot, 7);
    check_ok(script_define(context, bytes_from_text("42"), NULL, &function, &outcome));
    assert_int_equal(outcome.result, SCRIPT_THREW);
    assert_string_equal(outcome.message, "TypeError: the value of this source is not a function");
}

static void exceptions_carry_message_and_line(void **state)
{
    (void)state;
    check_run("e => {\n\n  return e.a.b; }", "{}", SCRIPT_THREW, "");
    assert_string_equal(outcome.message, "TypeError: cannot read property 'b' of undefined");
    assert_int_equal(outcome.line, 3);
    check_run("e => { throw { code: 7 } }", "1", SCRIPT_THREW, "");
    assert_string_equal(outcome.message, "{\"code\":7}");
    check_run("e => { throw 'x'.repeat(1000) }", "1", SCRIPT_THREW, "");
    assert_int_equal(strlen(outcome.message), 200);
    check_run("e => { throw { toJSON() { throw 1; }, get a() { throw 2; } } }", "1", SCRIPT_THREW, "");
    check_run(
        "e => { const x = new Error('m'); Object.defineProperty(x, 'message', { get() { throw 1; } }); throw x; }", "1",
        SCRIPT_THREW, "");
    assert_string_equal(outcome.message, "threw something that cannot be described");
    check_run("e => 1", "1", SCRIPT_DONE, "1");
}

static void date_and_random_are_the_calls_own(void **state)
{
    char first[64];
    struct bytes none[1] = {bytes_from_text("0")};
    struct script_function function =
        define("() => [Date.now(), new Date().toISOString(), new Date(0).getTimezoneOffset(), Math.random(), "
               "Math.random(), performance.now() === performance.now()]");
    struct script_call call = a_call(none, 0);
    (void)state;
    check_ok(script_call(engine, function, &call, &written, &outcome));
    assert_int_equal(outcome.result, SCRIPT_DONE);
    assert_memory_equal(result_text, "[1423000000123,\"2015-02-03T21:46:40.123Z\",0,0.", 45);
    size_t len = written.len;
    char all[512];
    assert_true(len < sizeof(all) && len > sizeof(first));
    memcpy(all, result_text, len);
    call = a_call(none, 0);
    check_result(function, &call, SCRIPT_DONE, (all[len] = '\0', all));
    call = a_call(none, 0);
    call.seed = 100;
    check_ok(script_call(engine, function, &call, &written, &outcome));
    assert_false(bytes_equal(bytes_from(all, len), bytes_from(result_text, written.len)));
    /* The same seed gives the same numbers in a context that was never used before. */
    check_ok(script_context(engine, 2, &context));
    call = a_call(none, 0);
    check_result(define("() => [Date.now(), new Date().toISOString(), new Date(0).getTimezoneOffset(), Math.random(), "
                        "Math.random(), performance.now() === performance.now()]"),
                 &call, SCRIPT_DONE, all);
}

static void promises_are_awaited(void **state)
{
    (void)state;
    check_run("async e => (await Promise.all([1, Promise.resolve(e)])).map(x => x * 2)", "4", SCRIPT_DONE, "[2,8]");
    check_run("async e => { await null; throw new Error('late'); }", "1", SCRIPT_THREW, "");
    assert_string_equal(outcome.message, "Error: late");
    check_run("e => new Promise(() => {})", "1", SCRIPT_PENDING, "");
    check_run("e => ({ then(done) { done(e + 1); } })", "1", SCRIPT_DONE, "2");
    check_run("async e => { for (;;) await null; }", "1", SCRIPT_BUDGET, "");
}

static enum status echo_service(void *user, struct bytes name, struct bytes input, struct writer *output)
{
    size_t *calls = user;
    ++*calls;
    if (bytes_equal(name, bytes_from_text("refuse")))
        return DENIED;
    if (bytes_equal(name, bytes_from_text("nonsense"))) {
        put_text(output, "{");
        return OK;
    }
    if (bytes_equal(name, bytes_from_text("flood")))
        while (output->status == OK)
            put_text(output, "0");
    put_text(output, "{\"name\":\"");
    put_bytes(output, name);
    put_text(output, "\",\"input\":");
    put_bytes(output, input);
    put_text(output, "}");
    return OK;
}

static void check_service(const char *source, enum script_result result, const char *text)
{
    struct bytes argument[1] = {bytes_from_text("[1]")};
    struct script_call call = a_call(argument, 1);
    size_t calls = 0;
    call.service = echo_service;
    call.user = &calls;
    check_result(define(source), &call, result, text);
    assert_int_equal(calls, 1);
}

static void a_granted_service_is_called_and_awaited(void **state)
{
    (void)state;
    check_service("async e => (await service.call('s', e)).input", SCRIPT_DONE, "[1]");
    check_service("e => service.ask('s', e)", SCRIPT_DONE, "{\"name\":\"s\",\"input\":[1]}");
    check_service("async e => { try { await service.call('refuse'); } catch (x) { return x.message; } }", SCRIPT_DONE,
                  "\"service refuse: denied\"");
    check_service("e => service.ask('nonsense')", SCRIPT_THREW, "");
    check_service("e => service.ask('flood')", SCRIPT_THREW, "");
    assert_string_equal(outcome.message, "Error: service flood: no room");
    check_run("e => service.ask('s', 1)", "1", SCRIPT_THREW, "");
    assert_string_equal(outcome.message, "Error: service s: not found");
}

static void logs_reach_the_caller_up_to_their_limit(void **state)
{
    struct bytes none[1] = {bytes_from_text("0")};
    struct script_call call = a_call(none, 0);
    (void)state;
    check_result(define("() => { console.log('a', 1, {b: [2]}, undefined); log('line\\nbreak'); return 1; }"), &call,
                 SCRIPT_DONE, "1");
    check_bytes(bytes_from_text("a 1 {\"b\":[2]} undefined\nline break\n"), writer_bytes(&logged));
    call = a_call(none, 0);
    call.limits.log_bytes = 8;
    check_result(define("() => { log('1234567'); return 1; }"), &call, SCRIPT_DONE, "1");
    check_bytes(bytes_from_text("1234567\n"), writer_bytes(&logged));
    call = a_call(none, 0);
    call.limits.log_bytes = 8;
    check_result(define("() => { try { log('12345678'); } catch {} return 1; }"), &call, SCRIPT_LOG, "");
    assert_int_equal(logged.len, 0);
    call = a_call(none, 0);
    call.log = NULL;
    check_result(define("() => { log('nobody listens'); return 1; }"), &call, SCRIPT_DONE, "1");
}

static void each_limit_has_its_own_outcome_and_the_context_lives_on(void **state)
{
    struct bytes none[1] = {bytes_from_text("0")};
    struct script_call call;
    struct script_function fine = define("() => 'fine'");
    (void)state;
    call = a_call(none, 0);
    call.limits.output_bytes = 10;
    check_result(define("() => 'x'.repeat(8)"), &call, SCRIPT_DONE, "\"xxxxxxxx\"");
    call = a_call(none, 0);
    call.limits.output_bytes = 10;
    check_result(define("() => 'x'.repeat(9)"), &call, SCRIPT_OUTPUT, "");
    call = a_call(none, 0);
    written = writer_over(result_text, 9);
    check_result(define("() => 'x'.repeat(8)"), &call, SCRIPT_OUTPUT, "");
    call = a_call(none, 0);
    check_result(define("() => { const f = () => f() + 1; return f(); }"), &call, SCRIPT_STACK, "");
    call = a_call(none, 0);
    check_result(define("() => { const all = []; for (;;) all.push(new Uint8Array(1000)); }"), &call, SCRIPT_HEAP, "");
    call = a_call(none, 0);
    call.limits.heap_bytes = 4u << 20;
    check_result(define("() => new Uint8Array(3 << 20).length"), &call, SCRIPT_DONE, "3145728");
    call = a_call(none, 0);
    check_result(define("() => new Uint8Array(3 << 20).length"), &call, SCRIPT_HEAP, "");
    call = a_call(none, 0);
    check_result(fine, &call, SCRIPT_DONE, "\"fine\"");
    call = a_call(none, 0);
    call.limits.heap_bytes = UINT32_MAX;
    check_result(define("() => { const all = []; for (;;) all.push(new Uint8Array(1000)); }"), &call, SCRIPT_HEAP, "");
}

static void memory_hoarded_across_calls_costs_the_domain_its_context(void **state)
{
    struct bytes none[1] = {bytes_from_text("0")};
    struct script_call call = a_call(none, 0);
    struct script_function hoard = define("const kept = []; () => { for (;;) kept.push(new Uint8Array(10000)); }");
    (void)state;
    check_result(hoard, &call, SCRIPT_HEAP, "");
    check_status(NOT_FOUND, script_call(engine, hoard, &call, &written, &outcome));
    check_ok(script_context(engine, 1, &context));
    check_run("() => 1", "1", SCRIPT_DONE, "1");
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Inside the engine's own loops no interrupt hook is asked; only the compartment's budget ends these. */
static void runaway_scripts_are_stopped_wherever_they_are(void **state)
{
    static const char *const runaways[] = {
        "() => { for (;;); }",
        "() => /^(a+)+$/.test('a'.repeat(40) + 'b')",
        "() => { const a = { length: 2 ** 32 - 1 }; return Array.prototype.indexOf.call(a, 1); }",
        "() => { const a = Array.from({ length: 30000 }, (_, i) => i); for (;;) a.sort((x, y) => y - x); }",
        "() => { const a = new Array(1e8); return a.join('').length + a.join('').length; }",
        "() => { let b = 3n; for (;;) b = b * b % (1n << 60000n); }",
        "() => { const t = '[' + '[1,2,3],'.repeat(20000) + '0]'; for (;;) JSON.parse(t); }",
        "() => { const o = { toJSON() { for (;;); } }; return o; }",
        "() => { throw { toString() { for (;;); }, toJSON() { for (;;); } }; }",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(runaways) / sizeof(runaways[0]); i++) {
        struct bytes none[1] = {bytes_from_text("0")};
        struct script_call call = a_call(none, 0);
        struct script_function function, other;
        check_ok(script_context(engine, 1, &context));
        function = define(runaways[i]);
        other = define("() => 1");
        call.limits = (struct script_limits){.budget_ms = 20, .heap_bytes = 6u << 20};
        double from = now_ms();
        check_result(function, &call, SCRIPT_BUDGET, "");
        /* Seconds, not the few milliseconds that the benchmark holds it to: only that it does end. */
        assert_true(now_ms() - from < 5000);
        check_status(NOT_FOUND, script_call(engine, other, &call, &written, &outcome));
    }
}

static void a_script_that_recurses_inside_the_engine_runs_out_of_stack_or_heap_only(void **state)
{
    static const char *const deep[] = {
        "() => { let a = []; for (let i = 0; i < 20000; i++) a = [a]; return JSON.stringify(a).length; }",
        "() => JSON.parse('['.repeat(100000))",
        "() => { let f = () => 1; for (let i = 0; i < 20000; i++) f = f.bind(null); return f(); }",
    };
    struct bytes none[1] = {bytes_from_text("0")};
    (void)state;
    for (size_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++) {
        struct script_call call = a_call(none, 0);
        call.limits.heap_bytes = 6u << 20;
        call.limits.stack_bytes = UINT32_MAX; /* the engine's own maximum */
        check_ok(script_context(engine, 1, &context));
        struct script_function function = define(deep[i]);
        check_ok(script_call(engine, function, &call, &written, &outcome));
        assert_true(outcome.result == SCRIPT_STACK || outcome.result == SCRIPT_HEAP);
        check_ok(script_context(engine, 1, &context));
        check_run("() => 1", "0", SCRIPT_DONE, "1");
    }
}

static void rules_of_one_domain_share_nothing_by_accident(void **state)
{
    (void)state;
    check_run("() => { globalThis.leak = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { undeclared = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { Array.prototype.leak = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { Object.prototype.toString = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { JSON.parse = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { console.log.leak = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { (function* () {}).constructor.prototype.leak = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { new Map().entries().__proto__.next = 1; }", "0", SCRIPT_THREW, "");
    check_run("() => { Function('leak = 1')(); return typeof leak; }", "0", SCRIPT_DONE, "\"undefined\"");
    check_run("var leak = 1; let leak2 = 2; function leak3() {} () => leak", "0", SCRIPT_DONE, "1");
    check_run("() => [typeof leak, typeof leak2, typeof leak3, typeof hostLog, typeof evaluate].join()", "0",
              SCRIPT_DONE, "\"undefined,undefined,undefined,undefined,undefined\"");
    /* What frozen prototypes would break but scripts do all the time. */
    check_run("() => { class E extends Error { constructor() { super('m'); this.name = 'Mine'; } } throw new E(); }",
              "0", SCRIPT_THREW, "");
    assert_string_equal(outcome.message, "Mine: m");
    check_run("() => { const o = {}; o.toString = () => 'own'; o.constructor = 1; return `${o}` + o.constructor; }",
              "0", SCRIPT_DONE, "\"own1\"");
}

static void scripts_have_no_way_out(void **state)
{
    (void)state;
    check_run("() => [typeof setTimeout, typeof require, typeof process, typeof std, typeof os, typeof fetch].join()",
              "0", SCRIPT_DONE, "\"undefined,undefined,undefined,undefined,undefined,undefined\"");
    check_run("async () => { try { await import('std'); return 'in'; } catch { return 'refused'; } }", "0", SCRIPT_DONE,
              "\"refused\"");
}

static void wrappers_of_the_prelude_prepare_rules(void **state)
{
    struct bytes arguments[2] = {bytes_from_text("5"), bytes_from_text("{\"n\":1}")};
    struct script_function function;
    size_t calls = 0;
    (void)state;
    check_ok(script_define(context, bytes_from_text("(e, ctx) => { ctx.state.n += e; return ctx.last('k').input; }"),
                           "withState", &function, &outcome));
    assert_int_equal(outcome.result, SCRIPT_DONE);
    struct script_call call = a_call(arguments, 2);
    call.service = echo_service;
    call.user = &calls;
    check_result(function, &call, SCRIPT_DONE, "{\"result\":\"k\",\"state\":{\"n\":6}}");
    check_ok(script_define(context, bytes_from_text("() => 1"), "absent", &function, &outcome));
    assert_int_equal(outcome.result, SCRIPT_THREW);
    check_run("() => answer", "0", SCRIPT_DONE, "42");
    check_run("() => { withState = 1; }", "0", SCRIPT_THREW, "");
}

static struct script_function define_joined(const char *texts)
{
    struct script_function function = {0};
    check_ok(script_define(context, bytes_from_text(texts), "joined", &function, &outcome));
    return function;
}

static void a_wrapper_may_compile_more_texts_and_give_its_result_raw(void **state)
{
    struct bytes arguments[1] = {bytes_from_text("5")};
    (void)state;
    struct script_call call = a_call(arguments, 1);
    check_result(define_joined("() => ['x => x + 1', 'x => `not\\n{JSON ${x}`']"), &call, SCRIPT_DONE, "not\n{JSON 6");
    call = a_call(arguments, 1);
    check_result(define_joined("() => ['x => x', 'async x => { await null; return `late ${x}`; }']"), &call,
                 SCRIPT_DONE, "late 5");
    call = a_call(arguments, 1);
    check_result(define_joined("() => ['x => x', 'async x => 1']"), &call, SCRIPT_THREW, "");
    define_joined("() => ['x => x', '(x) =>\\n  y = ;']");
    assert_int_equal(outcome.result, SCRIPT_SYNTAX);
    assert_int_equal(outcome.line, 2);
    define_joined("() => ['x => x', '42']");
    assert_int_equal(outcome.result, SCRIPT_THREW);
    /* What a text declares is its own, and only a wrapper's function may be raw. */
    define_joined("() => ['const own = 1; x => x', 'x => own']");
    assert_int_equal(outcome.result, SCRIPT_DONE);
    call = a_call(arguments, 1);
    check_result(define_joined("() => ['const own = 1; x => x', 'x => `${typeof own}`']"), &call, SCRIPT_DONE,
                 "undefined");
    check_run("Object.assign(() => 'text', {raw: true})", "0", SCRIPT_DONE, "\"text\"");
}

static void domains_have_contexts_of_their_own_and_the_least_recent_goes_first(void **state)
{
    struct bytes none[1] = {bytes_from_text("0")};
    struct script_call call = a_call(none, 0);
    struct script_function functions[5];
    struct script_context *contexts[5];
    (void)state;
    for (uint64_t domain = 1; domain <= 3; domain++) {
        check_ok(script_context(engine, domain, &context));
        contexts[domain] = context;
        functions[domain] = define("let n = 0; () => ++n");
    }
    assert_true(contexts[1] != contexts[2] && contexts[2] != contexts[3] && contexts[1] != contexts[3]);
    call = a_call(none, 0);
    check_result(functions[1], &call, SCRIPT_DONE, "1"); /* so 2 is the oldest */
    check_ok(script_context(engine, 4, &context));
    assert_true(context == contexts[2]);
    call = a_call(none, 0);
    check_status(NOT_FOUND, script_call(engine, functions[2], &call, &written, &outcome));
    functions[4] = define("let n = 10; () => ++n");
    check_status(NOT_FOUND, script_call(engine, functions[2], &call, &written, &outcome));
    check_result(functions[1], &call, SCRIPT_DONE, "2");
    call = a_call(none, 0);
    check_result(functions[4], &call, SCRIPT_DONE, "11");
    script_forget(engine, 1);
    check_status(NOT_FOUND, script_call(engine, functions[1], &call, &written, &outcome));
    check_ok(script_context(engine, 3, &context));
    assert_true(context == contexts[3]);
}

static void an_undefined_function_is_gone_and_its_slot_is_used_again(void **state)
{
    struct bytes none[1] = {bytes_from_text("0")};
    struct script_call call = a_call(none, 0);
    struct script_function first = define("() => 1"), second = define("() => 2"), nobody = {0};
    (void)state;
    script_undefine(engine, first);
    check_status(NOT_FOUND, script_call(engine, first, &call, &written, &outcome));
    struct script_function third = define("() => 3");
    assert_int_equal(third.slot, first.slot);
    check_result(second, &call, SCRIPT_DONE, "2");
    check_status(NOT_FOUND, script_call(engine, nobody, &call, &written, &outcome));
}

static void source_and_function_limits_hold_at_and_one_past(void **state)
{
    static char source[SCRIPT_SOURCE_MAX + 1];
    struct script_function function;
    (void)state;
    memset(source, ' ', sizeof(source));
    memcpy(source, "()=>1", 5);
    check_ok(script_define(context, bytes_from(source, SCRIPT_SOURCE_MAX), NULL, &function, &outcome));
    assert_int_equal(outcome.result, SCRIPT_DONE);
    check_status(NO_ROOM, script_define(context, bytes_from(source, SCRIPT_SOURCE_MAX + 1), NULL, &function, &outcome));
    script_undefine(engine, function);
    for (size_t i = 0; i < SCRIPT_FUNCTIONS_MAX; i++) {
        check_ok(script_define(context, bytes_from(source, 5), NULL, &function, &outcome));
        assert_int_equal(outcome.result, SCRIPT_DONE);
    }
    check_status(NO_ROOM, script_define(context, bytes_from(source, 5), NULL, &function, &outcome));
}

static void a_broken_prelude_is_refused_with_its_own_words(void **state)
{
    char why[256];
    struct script_engine *other = NULL;
    struct writer reason = writer_over(why, sizeof(why) - 1);
    struct script_config config = {.contexts = 1, .prelude = bytes_from_text("throw new Error('broken')")};
    (void)state;
    check_status(MALFORMED, script_engine_new(&other, &config, module, &guest_memory, &reason));
    why[reason.len] = '\0';
    assert_string_equal(why, "the JavaScript engine's prelude: Error: broken");
    assert_null(other);
}

/* cmocka puts its own fault handlers in place around every test; ours go on top. */
static void run_script_test(void **state)
{
    check_ok(compartment_init(&guest_memory));
    ((CMUnitTestFunction)(uintptr_t)*state)(NULL);
}

#define script_test(name)                                                                                              \
    {                                                                                                                  \
#name, run_script_test, take_context, NULL, (void *)(uintptr_t)name                                            \
    }

int main(int count, char **arguments)
{
    if (count > 1)
        modules_dir = arguments[1];
    const struct CMUnitTest tests[] = {
        script_test(json_goes_in_and_json_comes_out),
        script_test(several_arguments_arrive_in_order),
        script_test(what_is_not_json_is_refused_as_input),
        script_test(syntax_errors_name_line_and_column),
        script_test(exceptions_carry_message_and_line),
        script_test(date_and_random_are_the_calls_own),
        script_test(promises_are_awaited),
        script_test(a_granted_service_is_called_and_awaited),
        script_test(logs_reach_the_caller_up_to_their_limit),
        script_test(each_limit_has_its_own_outcome_and_the_context_lives_on),
        script_test(memory_hoarded_across_calls_costs_the_domain_its_context),
        script_test(runaway_scripts_are_stopped_wherever_they_are),
        script_test(a_script_that_recurses_inside_the_engine_runs_out_of_stack_or_heap_only),
        script_test(rules_of_one_domain_share_nothing_by_accident),
        script_test(scripts_have_no_way_out),
        script_test(wrappers_of_the_prelude_prepare_rules),
        script_test(a_wrapper_may_compile_more_texts_and_give_its_result_raw),
        script_test(domains_have_contexts_of_their_own_and_the_least_recent_goes_first),
        script_test(an_undefined_function_is_gone_and_its_slot_is_used_again),
        script_test(source_and_function_limits_hold_at_and_one_past),
        script_test(a_broken_prelude_is_refused_with_its_own_words),
    };
    return cmocka_run_group_tests(tests, start_engine, NULL);
}
