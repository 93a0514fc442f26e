/* Scripts: a context from the pool, a rule on an event, and how soon what runs away is stopped. */
#include <string.h>

#include "bench.h"
#include "guest_memory.h"
#include "script.h"

#define RUNS 7
#define CONTEXTS 8
#define BUDGET_MS 20

static struct compartment_module *module;
static struct script_engine *engine;
static char written[1u << 17];

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "script_bench: %s failed\n", what);
        exit(1);
    }
}

static void start(const char *build)
{
    char path[512], why[256];
    size_t policy_len, count;
    struct writer reason = writer_over(why, sizeof(why));
    struct script_config config = {.contexts = CONTEXTS};
    const struct compartment_host_function *functions = script_host_functions(&count);
    snprintf(path, sizeof(path), "%s/modules/quickjs.policy", build);
    uint8_t *policy = guest_file(path, &policy_len);
    snprintf(path, sizeof(path), "%s/modules/quickjs.so", build);
    must(compartment_init(&guest_memory) == OK, "compartment_init");
    must(compartment_load(guest_object(path), bytes_from(policy, policy_len), functions, count, &guest_memory, &module,
                          &reason) == OK,
         "loading quickjs");
    must(script_engine_new(&engine, &config, module, &guest_memory, &reason) == OK, "starting the engine");
    free(policy);
}

static struct script_function define(uint64_t domain, const char *source)
{
    struct script_context *context;
    struct script_function function = {0};
    struct script_outcome outcome;
    must(script_context(engine, domain, &context) == OK, "script_context");
    must(script_define(context, bytes_from_text(source), NULL, &function, &outcome) == OK, "script_define");
    must(outcome.result == SCRIPT_DONE, outcome.message);
    return function;
}

static enum script_result run(struct script_function function, const struct bytes *arguments, size_t count,
                              struct script_limits limits)
{
    struct script_outcome outcome;
    struct writer result = writer_over(written, sizeof(written));
    struct script_call call = {
        .arguments = arguments, .arguments_count = count, .now_ms = 1700000000000, .seed = 1, .limits = limits};
    must(script_call(engine, function, &call, &result, &outcome) == OK, "script_call");
    return outcome.result;
}

static double resident_mb(void)
{
    unsigned long all, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    must(file != NULL && fscanf(file, "%lu %lu", &all, &resident) == 2, "reading statm");
    fclose(file);
    return (double)resident * 4096 / 1e6;
}

static void bench_contexts(void)
{
    double before = 0;
    struct script_context *context;
    struct bench_runs fresh = {0}, recycled = {0};
    for (uint64_t domain = 1; domain <= CONTEXTS; domain++) {
        double from = bench_now_ns();
        must(script_context(engine, domain, &context) == OK, "script_context");
        /* The first one held the image while it was made; the others' pages are touched here for the first time. */
        if (domain > 1)
            bench_add(&fresh, (bench_now_ns() - from) / 1e6);
        define(domain, "e => e");
        if (domain == 1)
            before = resident_mb();
    }
    double each = (resident_mb() - before) / (CONTEXTS - 1);
    for (uint64_t domain = 100; domain < 400; domain++) {
        double from = bench_now_ns();
        must(script_context(engine, domain, &context) == OK, "script_context");
        bench_add(&recycled, (bench_now_ns() - from) / 1e6);
        define(domain, "e => e");
    }
    bench_print("script.context", recycled.best, "ms", "fresh context", fresh.best, bench_spread(recycled));
    bench_print("script.context_memory", each, "MB", "-", 0, 0);
    bench_print("script.context_fresh", fresh.best, "ms", "-", 0, bench_spread(fresh));
}

/* A condition and a transformation on one event, each with the event's JSON in and JSON out. */
static void bench_rule(void)
{
    const int count = 20000;
    struct bytes event[1] = {bytes_from_text("{\"source\":\"room-12\",\"type\":\"climate\",\"time\":1700000000000,"
                                             "\"properties\":{\"co2\":612,\"light\":180}}")};
    struct script_function condition = define(1, "event => event.properties.co2 > 600 && event.properties.light < 200");
    struct script_function transform = define(1, "event => ({ on: true, at: event.time })");
    struct script_limits limits = {0};
    struct bench_runs conditions = {0}, rules = {0};
    for (int r = 0; r < RUNS; r++) {
        double from = bench_now_ns();
        for (int i = 0; i < count; i++)
            must(run(condition, event, 1, limits) == SCRIPT_DONE, "the condition");
        bench_add(&conditions, (bench_now_ns() - from) / count / 1e3);
        from = bench_now_ns();
        for (int i = 0; i < count; i++)
            must(run(condition, event, 1, limits) == SCRIPT_DONE && run(transform, event, 1, limits) == SCRIPT_DONE,
                 "the rule");
        bench_add(&rules, (bench_now_ns() - from) / count / 1e3);
    }
    bench_print("script.rule", rules.best, "us", "-", 0, bench_spread(rules));
    bench_print("script.condition", conditions.best, "us", "-", 0, bench_spread(conditions));
}

/* Processor time beyond the budget, which is counted in ticks while the guest runs: on a busy machine a tick is less of
 * it than a millisecond, and the delay may be negative. */
static void bench_runaways(void)
{
    static const struct {
        const char *name, *source;
    } runaways[] = {
        {"loop", "() => { for (;;); }"},
        {"regexp", "() => /^(a+)+$/.test('a'.repeat(40) + 'b')"},
        {"sort", "() => { const a = Array.from({ length: 30000 }, (_, i) => i); for (;;) a.sort((x, y) => y - x); }"},
        {"join", "() => { const a = new Array(1e8); return a.join('').length + a.join('').length; }"},
        {"bigint", "() => { let b = 3n; for (;;) b = b * b % (1n << 60000n); }"},
        {"json", "() => { const t = '[' + '[1,2,3],'.repeat(20000) + '0]'; for (;;) JSON.parse(t); }"},
    };
    double worst = -BUDGET_MS;
    for (size_t i = 0; i < sizeof(runaways) / sizeof(runaways[0]); i++) {
        char name[64];
        double slowest = -BUDGET_MS;
        for (int r = 0; r < RUNS; r++) {
            struct script_function function = define(1, runaways[i].source);
            double from = bench_cpu_ns();
            must(run(function, NULL, 0, (struct script_limits){.budget_ms = BUDGET_MS, .heap_bytes = 6u << 20}) ==
                     SCRIPT_BUDGET,
                 runaways[i].name);
            double delay = (bench_cpu_ns() - from) / 1e6 - BUDGET_MS;
            slowest = delay > slowest ? delay : slowest;
        }
        snprintf(name, sizeof(name), "runaway.stop_delay.%s", runaways[i].name);
        bench_print(name, slowest, "ms", "-", 0, 0);
        worst = slowest > worst ? slowest : worst;
    }
    bench_print("runaway.stop_delay", worst, "ms", "-", 0, 0);
}

int main(int count, char **arguments)
{
    start(count > 1 ? arguments[1] : ".");
    bench_contexts();
    bench_rule();
    bench_runaways();
    return 0;
}
