/* The rules of a site: kept by name, tried before they are taken, evaluated on every event that concerns them. */
#include "engine_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The seed of its hash tables, which keeps clients from choosing names that collide. Left to itself the JSON library
 * would open a file for it, which an enclave cannot, and fall back to the time. */
static enum status seed_json(void)
{
    size_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return IO;
    json_object_seed(seed | 1); /* without effect the second time */
    return OK;
}

enum status engine_new(struct engine **engine, struct script_engine *scripts)
{
    TRY(seed_json());
    struct engine *made = calloc(1, sizeof *made);
    if (!made)
        return NO_ROOM;
    made->scripts = scripts;
    *engine = made;
    return OK;
}

static void drop(struct engine *engine, struct engine_rule *rule)
{
    if (rule && rule->defined)
        script_undefine(engine->scripts, rule->function);
    engine_rule_free(rule);
}

void engine_clear(struct engine *engine)
{
    for (size_t i = 0; i < engine->count; i++)
        drop(engine, engine->rules[i]);
    engine->count = 0;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    engine_clear(engine);
    wipe(engine, sizeof *engine);
    free(engine);
}

/* Where the rule of this name stands, or would. */
static size_t find(const struct engine *engine, const char *name, bool *found)
{
    size_t low = 0, high = engine->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(engine->rules[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < engine->count && strcmp(engine->rules[low]->name, name) == 0;
    return low;
}

/* One script on the samples, as a rule of its own so that whatever it does is its own failure. `state` is what scripts
 * before it made of each sample's. */
static enum status try_script(struct engine *engine, struct engine_rule *alone, const struct engine_rule *rule,
                              unsigned condition, const char *field, char (*states)[ENGINE_STATE_MAX + 1],
                              struct engine_refusal *refusal)
{
    enum status status = OK;
    char error[sizeof alone->error];
    if (!engine_define(engine, alone, error, sizeof error))
        return engine_refuse(refusal, DENIED, field, "%s", error);
    for (size_t i = 0; status == OK && i < rule->samples.count; i++) {
        const struct engine_event *event = &rule->samples.events[i];
        struct engine_run run = {
            .time_ms = event->time_ms, .mask = 1, .state = bytes_from_text(states[i]), .alone = true};
        if (condition < rule->whens && !(engine_rule_match(rule, event) >> condition & 1))
            continue;
        char *text = engine_event_text(event);
        run.event = bytes_from_text(text);
        if (!text)
            status = engine_refuse(refusal, NO_ROOM, "body", "does not fit in memory");
        else if (!engine_run(engine, alone, &run))
            status = engine_refuse(refusal, DENIED, field, "fails on sample[%zu]: %s", i, run.error);
        else if (run.new_state.len)
            snprintf(states[i], sizeof states[i], "%.*s", (int)run.new_state.len, (const char *)run.new_state.data);
        free(text);
    }
    script_undefine(engine->scripts, alone->function);
    return status;
}

static enum status try_scripts(struct engine *engine, const struct engine_rule *rule, struct engine_refusal *refusal)
{
    char field[32];
    char(*states)[ENGINE_STATE_MAX + 1] = calloc(ENGINE_SAMPLES_MAX, sizeof *states);
    struct engine_rule *alone = calloc(1, sizeof *alone);
    enum status status = states && alone ? OK : engine_refuse(refusal, NO_ROOM, "body", "does not fit in memory");
    for (size_t i = 0; status == OK && i < rule->whens; i++) {
        *alone = (struct engine_rule){.name = rule->name, .seed = rule->seed, .whens = 1, .reads = rule->reads};
        memcpy(alone->read, rule->read, sizeof alone->read);
        alone->when[0].condition = rule->when[i].condition;
        snprintf(field, sizeof field, "when[%zu].condition", i);
        status = try_script(engine, alone, rule, (unsigned)i, field, states, refusal);
    }
    for (size_t i = 0; status == OK && i < rule->dos; i++) {
        *alone = (struct engine_rule){.name = rule->name, .seed = rule->seed, .dos = 1, .reads = rule->reads};
        memcpy(alone->read, rule->read, sizeof alone->read);
        alone->whens = 1;
        alone->act[0] = rule->act[i];
        snprintf(field, sizeof field, "do[%zu].transform", i);
        status = try_script(engine, alone, rule, UINT32_MAX, field, states, refusal);
    }
    free(states);
    free(alone);
    return status;
}

static enum status take_state(struct engine_rule *rule, struct bytes state, struct engine_refusal *refusal)
{
    char *copy = state.len <= ENGINE_STATE_MAX ? malloc(state.len) : NULL;
    if (!copy)
        return engine_refuse(refusal, NO_ROOM, "state", "must be at most %d bytes", ENGINE_STATE_MAX);
    memcpy(copy, state.data, state.len);
    free((void *)(uintptr_t)rule->state.data);
    rule->state = bytes_from(copy, state.len);
    return OK;
}

enum status engine_put_rule(struct engine *engine, struct bytes json, struct bytes state,
                            struct engine_refusal *refusal)
{
    struct engine_rule *rule = NULL;
    char error[sizeof rule->error];
    bool found;
    TRY(engine_rule_parse(json, &rule, refusal));
    size_t at = find(engine, rule->name, &found);
    enum status status = OK;
    if (!found && engine->count == ENGINE_RULES_MAX)
        status = engine_refuse(refusal, NO_ROOM, "rules", "are %d already, and that is the limit", ENGINE_RULES_MAX);
    else if (state.len)
        status = take_state(rule, state, refusal);
    else
        status = try_scripts(engine, rule, refusal);
    if (status == OK && state.len == 0 && !engine_define(engine, rule, error, sizeof error))
        status = engine_refuse(refusal, NO_ROOM, "scripts", "%s", error);
    if (status != OK) {
        drop(engine, rule);
        return status;
    }
    if (found) {
        drop(engine, engine->rules[at]);
    } else {
        memmove(&engine->rules[at + 1], &engine->rules[at], (engine->count - at) * sizeof engine->rules[0]);
        engine->count++;
    }
    engine->rules[at] = rule;
    engine_batch_done(&rule->samples); /* they have served */
    return OK;
}

enum status engine_remove_rule(struct engine *engine, const char *name)
{
    bool found;
    size_t at = find(engine, name, &found);
    if (!found)
        return NOT_FOUND;
    drop(engine, engine->rules[at]);
    engine->count--;
    memmove(&engine->rules[at], &engine->rules[at + 1], (engine->count - at) * sizeof engine->rules[0]);
    return OK;
}

size_t engine_rule_count(const struct engine *engine)
{
    return engine->count;
}

static void note_failure(struct engine_rule *rule, const char *error, int64_t now_ms)
{
    rule->counts.failures++;
    rule->failures_in_row++;
    if (rule->failures_in_row >= ENGINE_FAILURES_MAX)
        rule->paused_until_ms = now_ms + ENGINE_PAUSE_MS;
    snprintf(rule->error, sizeof rule->error, "%s", error);
}

/* All that a good run gives. The state's copy is made first: what can fail comes before what has effect. */
static bool commit(struct engine_rule *rule, struct engine_run *run)
{
    const struct engine_port *port = run->port;
    if (run->new_state.len && !bytes_equal(run->new_state, rule->state)) {
        void *copy = malloc(run->new_state.len);
        if (!copy)
            return false;
        memcpy(copy, run->new_state.data, run->new_state.len);
        free((void *)(uintptr_t)rule->state.data);
        rule->state = bytes_from(copy, run->new_state.len);
        if (port->state)
            port->state(port->user, rule->name, rule->state);
    }
    for (size_t i = 0; run->fired && port->action && i < rule->dos; i++)
        port->action(port->user, rule->name, rule->act[i].target, rule->act[i].type, run->actions[i]);
    rule->failures_in_row = 0;
    rule->counts.fired += run->fired;
    return true;
}

void engine_evaluate(struct engine *engine, const struct engine_event *event, int64_t now_ms,
                     const struct engine_port *port, struct engine_counts *counts)
{
    char *composed = NULL;
    struct bytes text = event->text;
    for (size_t i = 0; i < engine->count; i++) {
        struct engine_rule *rule = engine->rules[i];
        unsigned mask = engine_rule_match(rule, event);
        if (mask == 0 || now_ms < rule->paused_until_ms)
            continue;
        if (text.len == 0) {
            composed = engine_event_text(event);
            text = bytes_from_text(composed);
        }
        struct engine_run run = {
            .port = port, .event = text, .time_ms = event->time_ms, .mask = mask, .state = rule->state};
        rule->counts.evaluations++;
        counts->evaluations++;
        bool good = engine_run(engine, rule, &run);
        if (good && !commit(rule, &run)) {
            good = false;
            snprintf(run.error, sizeof run.error, "there is no memory for its state");
        }
        if (!good) {
            note_failure(rule, run.error, now_ms);
            counts->failures++;
        } else if (run.fired) {
            counts->fired++;
        }
        if (run.log.len && port->log)
            port->log(port->user, rule->name, run.log);
    }
    if (composed)
        wipe(composed, text.len);
    free(composed);
}

static void put_member(struct writer *writer, const char *name, const char *text)
{
    put_text(writer, name);
    engine_put_string(writer, bytes_from_text(text));
}

enum status engine_try_rule(struct engine *engine, const char *name, const struct engine_event *event, int64_t now_ms,
                            const struct engine_port *port, struct writer *trace)
{
    bool found;
    size_t at = find(engine, name, &found);
    (void)now_ms; /* a paused rule is tried too */
    if (!found)
        return NOT_FOUND;
    struct engine_rule *rule = engine->rules[at];
    char *composed = event->text.len ? NULL : engine_event_text(event);
    struct engine_run run = {.port = port,
                             .event = composed ? bytes_from_text(composed) : event->text,
                             .time_ms = event->time_ms,
                             .mask = engine_rule_match(rule, event),
                             .state = rule->state};
    bool good = run.mask == 0 || engine_run(engine, rule, &run);
    put_text(trace, run.mask ? "{\"matched\":true,\"fired\":" : "{\"matched\":false,\"fired\":");
    put_text(trace, good && run.fired ? "true,\"actions\":[" : "false,\"actions\":[");
    for (size_t i = 0; good && run.fired && i < rule->dos; i++) {
        put_member(trace, i ? ",{\"target\":" : "{\"target\":", rule->act[i].target);
        put_member(trace, ",\"type\":", rule->act[i].type);
        put_text(trace, ",\"properties\":");
        put_bytes(trace, run.actions[i]);
        put_text(trace, "}");
    }
    put_text(trace, "],\"log\":");
    engine_put_string(trace, run.log);
    if (good)
        put_text(trace, ",\"error\":null}");
    else
        put_member(trace, ",\"error\":", run.error), put_text(trace, "}");
    free(composed);
    return writer_end(trace);
}

enum status engine_list_rules(struct engine *engine, int64_t now_ms, struct writer *json)
{
    put_text(json, "[");
    for (size_t i = 0; i < engine->count; i++) {
        const struct engine_rule *rule = engine->rules[i];
        char counts[160];
        put_member(json, i ? ",{\"name\":" : "{\"name\":", rule->name);
        snprintf(counts, sizeof counts,
                 ",\"evaluations\":%" PRIu64 ",\"fired\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"paused\":%s",
                 rule->counts.evaluations, rule->counts.fired, rule->counts.failures,
                 now_ms < rule->paused_until_ms ? "true" : "false");
        put_text(json, counts);
        if (rule->error[0])
            put_member(json, ",\"error\":", rule->error);
        else
            put_text(json, ",\"error\":null");
        put_text(json, ",\"state\":");
        put_bytes(json, rule->state);
        put_text(json, ",\"rule\":");
        put_bytes(json, bytes_from(rule->text, rule->text_len));
        put_text(json, "}");
    }
    put_text(json, "]");
    return writer_end(json);
}
