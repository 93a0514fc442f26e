/* An engine with real scripts behind it, a port that writes down what it is told, and rules that can be read: in their
 * text single quotes stand for double ones. */
#ifndef BASTIDE_TESTS_ENGINE_RIG_H
#define BASTIDE_TESTS_ENGINE_RIG_H

#include "check.h"

#include "engine.h"
#include "guest_memory.h"
#include "script.h"

#include <jansson.h>

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

static inline struct bytes last(void *user, const char *source, const char *type)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "last %s %s\n", source, type);
    return bytes_from_text(last_answer);
}

static inline void action(void *user, const char *rule, const char *target, const char *type, struct bytes properties)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "action %s %s %s %.*s\n", rule, target, type,
                                 (int)properties.len, (const char *)properties.data);
}

static inline void keep_state(void *user, const char *rule, struct bytes json)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "state %s %.*s\n", rule, (int)json.len,
                                 (const char *)json.data);
}

static inline void keep_log(void *user, const char *rule, struct bytes text)
{
    (void)user;
    told_len += (size_t)snprintf(told + told_len, sizeof told - told_len, "log %s %.*s", rule, (int)text.len,
                                 (const char *)text.data);
}

static const struct engine_port port = {NULL, last, action, keep_state, keep_log};

static inline int start_engine(void **state)
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

static inline int fresh_engine(void **state)
{
    (void)state;
    engine_free(engine);
    counts = (struct engine_counts){0};
    last_answer = NULL;
    return engine_new(&engine, scripts) == OK ? 0 : -1;
}

static inline struct bytes quoted(const char *text)
{
    static char room[1u << 18];
    size_t len = strlen(text);
    assert_true(len < sizeof room);
    for (size_t i = 0; i <= len; i++)
        room[i] = text[i] == '\'' ? '"' : text[i];
    return bytes_from(room, len);
}

static inline enum status put(const char *rule)
{
    memset(&refusal, 0, sizeof refusal);
    return engine_put_rule(engine, quoted(rule), (struct bytes){0}, &refusal);
}

static inline void must_put(const char *rule)
{
    enum status status = put(rule);
    if (status != OK)
        fail_msg("%s: %s %s", status_word(status), refusal.field, refusal.reason);
}

static inline const char *evaluate_at(const char *source, const char *type, const char *properties, int64_t now_ms)
{
    struct engine_event event = {.source = source, .type = type, .time_ms = now_ms, .properties = properties};
    told_len = 0;
    told[0] = 0;
    engine_evaluate(engine, &event, now_ms, &port, &counts);
    return told;
}

static inline const char *evaluate(const char *source, const char *type, const char *properties)
{
    return evaluate_at(source, type, properties, NOW);
}

/* A rule of one condition and one transformation for every event; either may be NULL. */
static inline enum status put_scripts(const char *name, const char *condition, const char *transform)
{
    json_t *rule = json_pack("{s:s,s:[{s:s*}],s:[{s:s,s:s,s:s*}]}", "name", name, "when", "condition", condition, "do",
                             "target", "valve", "type", "set", "transform", transform);
    char *text = json_dumps(rule, JSON_COMPACT);
    memset(&refusal, 0, sizeof refusal);
    enum status status = engine_put_rule(engine, bytes_from_text(text), (struct bytes){0}, &refusal);
    free(text);
    json_decref(rule);
    return status;
}

/* One member of what engine_list_rules() says of a rule, as JSON. */
static inline const char *listed(const char *name, const char *member, int64_t now_ms)
{
    static char found[1u << 16];
    size_t cap = 8u << 20;
    char *text = malloc(cap);
    struct writer writer = writer_over(text, cap);
    check_ok(engine_list_rules(engine, now_ms, &writer));
    json_t *rules = json_loadb(text, writer.len, JSON_REJECT_DUPLICATES, NULL), *rule;
    assert_non_null(rules);
    size_t i;
    found[0] = 0;
    json_array_foreach(rules, i, rule)
    {
        if (strcmp(json_string_value(json_object_get(rule, "name")), name) == 0) {
            size_t len =
                json_dumpb(json_object_get(rule, member), found, sizeof found - 1, JSON_COMPACT | JSON_ENCODE_ANY);
            found[len] = 0;
        }
    }
    json_decref(rules);
    free(text);
    return found;
}

/* cmocka puts its own fault handlers in place around every test; ours go on top. */
static inline void run_rule_test(void **state)
{
    check_ok(compartment_init(&guest_memory));
    ((CMUnitTestFunction)(uintptr_t)*state)(NULL);
}

#define rule_test(name)                                                                                                \
    {                                                                                                                  \
#name, run_rule_test, fresh_engine, NULL, (void *)(uintptr_t)name                                              \
    }

#endif
