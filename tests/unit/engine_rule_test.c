/* engine: what a rule does with an event, and what becomes of a rule that misbehaves. */
#include "check.h"

#include "engine.h"
#include "guest_memory.h"
#include "script.h"

#define NOW INT64_C(1422886740000) /* 2015-02-02T14:19:00Z */

static const char *modules_dir = "modules";
static struct script_engine *scripts;
static struct engine *engine;
static struct engine_counts counts;
static struct engine_refusal refusal;

/* What the port was told, as text: one line a call. */
static char told[1u << 20];
static size_t told_len;
static const char *last_answer;

static struct bytes last(void *user, const char *source, const char *type)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "last %s %s\n", source, type);
    return bytes_from_text(last_answer);
}

static void action(void *user, const char *rule, const char *target, const char *type, struct bytes properties)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "action %s %s %s %.*s\n", rule, target, type,
                                 (int)properties.len, (const char *)properties.data);
}

static void keep_state(void *user, const char *rule, struct bytes json)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "state %s %.*s\n", rule, (int)json.len,
                                 (const char *)json.data);
}

static void keep_log(void *user, const char *rule, struct bytes text)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "log %s %.*s", rule, (int)text.len,
                                 (const char *)text.data);
}

static const struct engine_port port = {NULL, last, action, keep_state, keep_log};

static int start_engine(void **state)
{
    char path[512], why[256];
    size_t policy_len, count;
    struct compartment_module *module;
    struct writer reason = writer_over(why, sizeof why - 1);
    (void)state;
    snprintf(path, sizeof path, "%s/quickjs.policy", modules_dir);
    uint8_t *policy = guest_file(path, &policy_len);
    snprintf(path, sizeof path, "%s/quickjs.so", modules_dir);
    const struct compartment_host_function *functions = script_host_functions(&count);
    struct script_config config = {.contexts = 2, .prelude = engine_script_prelude()};
    check_ok(compartment_init(&guest_memory));
    int fd = guest_object(path);
    enum status status =
        compartment_load(fd, bytes_from(policy, policy_len), functions, count, &guest_memory, &module, &reason);
    close(fd);
    free(policy);
    if (status == OK)
        status = script_engine_new(&scripts, &config, module, &guest_memory, &reason);
    why[reason.len] = 0;
    if (status != OK)
        print_error("%s\n", why);
    return status == OK ? 0 : -1;
}

static int fresh_engine(void **state)
{
    (void)state;
    engine_free(engine);
    counts = (struct engine_counts){0};
    last_answer = NULL;
    return engine_new(&engine, scripts);
}

/* Single quotes in `text` stand for double ones, so that rules can be read. */
static struct bytes quoted(const char *text)
{
    static char room[1u << 18];
    size_t len = strlen(text);
    assert_true(len < sizeof room);
    for (size_t i = 0; i <= len; i++)
        room[i] = text[i] == '\'' ? '"' : text[i];
    return bytes_from(room, len);
}

static enum status put(const char *rule)
{
    memset(&refusal, 0, sizeof refusal);
    return engine_put_rule(engine, quoted(rule), (struct bytes){0}, &refusal);
}

static void must_put(const char *rule)
{
    enum status status = put(rule);
    if (status != OK)
        fail_msg("%s: %s %s", status_word(status), refusal.field, refusal.reason);
}

static const char *evaluate_at(const char *source, const char *type, const char *properties, int64_t now_ms)
{
    struct engine_event event = {.source = source, .type = type, .time_ms = now_ms, .properties = properties};
    told_len = 0;
    told[0] = 0;
    engine_evaluate(engine, &event, now_ms, &port, &counts);
    return told;
}

static const char *evaluate(const char *source, const char *type, const char *properties)
{
    return evaluate_at(source, type, properties, NOW);
}

static void an_event_that_meets_a_condition_becomes_an_action(void **state)
{
    (void)state;
    must_put(
        "{'name':'r','when':[{'source':'sensor','type':'reading',"
        "'condition':'(event, source, type) => event.properties.n > 3 && source === `sensor` && type === `reading`'}],"
        "'do':[{'target':'valve','type':'set','transform':'(e, target, type, ctx) => "
        "({on: true, at: e.time, target, type, time: ctx.time, now: Date.now()})'}]}");
    assert_string_equal("action r valve set {\"on\":true,\"at\":\"2015-02-02T14:19:00.000Z\",\"target\":\"valve\","
                        "\"type\":\"set\",\"time\":1422886740000,\"now\":1422886740000}\n",
                        evaluate("sensor", "reading", "{\"n\":4}"));
    assert_string_equal("", evaluate("sensor", "reading", "{\"n\":3}"));
    assert_string_equal("", evaluate("sensor", "other", "{\"n\":4}"));
    assert_string_equal("", evaluate("sensors", "reading", "{\"n\":4}"));
    assert_int_equal(2, counts.evaluations);
    assert_int_equal(1, counts.fired);
    assert_int_equal(0, counts.failures);
}

/* cmocka puts its own fault handlers in place around every test; ours go on top. */
static void run_rule_test(void **state)
{
    check_ok(compartment_init(&guest_memory));
    ((CMUnitTestFunction)(uintptr_t)*state)(NULL);
}

#define rule_test(name)                                                                                                \
    {                                                                                                                  \
#name, run_rule_test, fresh_engine, NULL, (void *)(uintptr_t)name                                              \
    }

int main(int count, char **arguments)
{
    if (count > 1)
        modules_dir = arguments[1];
    const struct CMUnitTest tests[] = {
        rule_test(an_event_that_meets_a_condition_becomes_an_action),
    };
    return cmocka_run_group_tests(tests, start_engine, NULL);
}
