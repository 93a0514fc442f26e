/* Rules: from the event's JSON to the action's, beside the bare script calls that this takes; and parsing a body. */
#include <string.h>

#include "bench.h"
#include "engine.h"
#include "guest_memory.h"
#include "script.h"

#define RUNS 9
#define COUNT 20000
#define FIRSTS 5

#define CONDITION "event => event.properties.co2 > 600 && event.properties.light < 200"
#define TRANSFORM "event => ({ on: true, at: event.time })"

static struct script_engine *scripts;
static struct engine *engine;
static uint64_t actions;

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "engine_bench: %s failed\n", what);
        exit(1);
    }
}

/* What a launch leaves to its first script: the engine's start, its prelude and the pristine image; every page of it is
 * touched for the first time. */
static void first_script(const struct script_config *config, struct compartment_module *module)
{
    struct bench_runs firsts = {0};
    for (int r = 0; r < FIRSTS; r++) {
        char why[256];
        struct writer reason = writer_over(why, sizeof why);
        struct script_context *context;
        script_engine_free(scripts);
        must(script_engine_new(&scripts, config, module, &guest_memory, &reason) == OK, "starting the engine");
        double from = bench_now_ns();
        must(script_context(scripts, 1, &context) == OK, "script_context");
        bench_add(&firsts, (bench_now_ns() - from) / 1e6);
    }
    bench_print("script.first", firsts.best, "ms", "-", 0, bench_spread(firsts));
}

static void start(const char *build)
{
    char path[512], why[256];
    size_t policy_len, count;
    struct compartment_module *module;
    struct writer reason = writer_over(why, sizeof why);
    struct script_config config = {.contexts = 2, .prelude = engine_script_prelude(), .deferred = true};
    const struct compartment_host_function *functions = script_host_functions(&count);
    snprintf(path, sizeof path, "%s/modules/quickjs.policy", build);
    uint8_t *policy = guest_file(path, &policy_len);
    snprintf(path, sizeof path, "%s/modules/quickjs.so", build);
    must(compartment_init(&guest_memory) == OK, "compartment_init");
    must(compartment_load(guest_object(path), bytes_from(policy, policy_len), functions, count, &guest_memory, &module,
                          &reason) == OK,
         "loading quickjs");
    free(policy);
    first_script(&config, module);
    must(engine_new(&engine, scripts) == OK, "engine_new");
}

static void count_action(void *user, const char *rule, const char *target, const char *type, struct bytes properties)
{
    (void)user, (void)rule, (void)target, (void)type;
    actions += properties.len > 0;
}

static const char body[] = "{\"source\":\"room-12\",\"type\":\"climate\",\"time\":1700000000000,"
                           "\"properties\":{\"co2\":612,\"light\":180}}";
static const struct engine_event event = {.source = "room-12",
                                          .type = "climate",
                                          .time_ms = 1700000000000,
                                          .properties = "{\"co2\":612,\"light\":180}",
                                          .text = {(const uint8_t *)body, sizeof body - 1}};

static void put(const char *rule)
{
    struct engine_refusal refusal;
    engine_clear(engine);
    must(engine_put_rule(engine, bytes_from_text(rule), (struct bytes){0}, &refusal) == OK, refusal.reason);
}

static void evaluate(const char *what)
{
    static const struct engine_port port = {.action = count_action};
    struct engine_counts counts = {0};
    for (int i = 0; i < COUNT; i++)
        engine_evaluate(engine, &event, event.time_ms, &port, &counts);
    must(counts.failures == 0 && counts.fired == COUNT, what);
}

/* The same two scripts, without engine: an event each in, JSON each out. */
static void call_twice(struct script_function condition, struct script_function transform)
{
    char written[256];
    struct script_outcome outcome;
    struct script_call call = {.arguments = &event.text, .arguments_count = 1, .now_ms = event.time_ms, .seed = 1};
    for (int i = 0; i < COUNT; i++) {
        struct writer result = writer_over(written, sizeof written);
        must(script_call(scripts, condition, &call, &result, &outcome) == OK && outcome.result == SCRIPT_DONE &&
                 script_call(scripts, transform, &call, &result, &outcome) == OK && outcome.result == SCRIPT_DONE,
             "calling the scripts");
    }
}

static struct script_function define(struct script_context *context, const char *source)
{
    struct script_outcome outcome;
    struct script_function function = {0};
    must(script_define(context, bytes_from_text(source), NULL, &function, &outcome) == OK &&
             outcome.result == SCRIPT_DONE,
         "script_define");
    return function;
}

static void bench_rule(void)
{
    struct bench_runs whole = {0}, bare = {0}, with_state = {0};
    struct script_context *context;
    must(script_context(scripts, 7, &context) == OK, "script_context");
    struct script_function condition = define(context, CONDITION), transform = define(context, TRANSFORM);
    for (int r = 0; r < RUNS; r++) {
        put("{\"name\":\"bench\",\"when\":[{\"type\":\"climate\",\"condition\":\"" CONDITION "\"}],"
            "\"do\":[{\"target\":\"valve\",\"type\":\"set\",\"transform\":\"" TRANSFORM "\"}]}");
        double from = bench_now_ns();
        evaluate("the rule");
        bench_add(&whole, (bench_now_ns() - from) / COUNT / 1e3);
        from = bench_now_ns();
        call_twice(condition, transform);
        bench_add(&bare, (bench_now_ns() - from) / COUNT / 1e3);
        put("{\"name\":\"bench\",\"when\":[{\"type\":\"climate\",\"condition\":"
            "\"(event, source, type, ctx) => (ctx.state.n = (ctx.state.n ?? 0) + 1) > 0\"}],"
            "\"do\":[{\"target\":\"valve\",\"type\":\"set\",\"transform\":\"" TRANSFORM "\"}]}");
        from = bench_now_ns();
        evaluate("the rule with state");
        bench_add(&with_state, (bench_now_ns() - from) / COUNT / 1e3);
    }
    bench_print("engine.rule", whole.best, "us", "two bare script calls", bare.best, bench_spread(whole));
    bench_print("engine.rule_state", with_state.best, "us", "-", 0, bench_spread(with_state));
}

static void bench_parse(void)
{
    struct bench_runs parses = {0};
    for (int r = 0; r < RUNS; r++) {
        double from = bench_now_ns();
        for (int i = 0; i < COUNT; i++) {
            struct engine_batch batch;
            struct engine_refusal refusal;
            must(engine_parse_events(event.text, ENGINE_JSON, "room-12", 0, &batch, &refusal) == OK, "parsing");
            engine_batch_done(&batch);
        }
        bench_add(&parses, (bench_now_ns() - from) / COUNT / 1e3);
    }
    bench_print("engine.parse", parses.best, "us", "-", 0, bench_spread(parses));
}

int main(int count, char **arguments)
{
    start(count > 1 ? arguments[1] : ".");
    bench_rule();
    bench_parse();
    return 0;
}
