/* A rule's text: every field checked, so that nothing later can meet one it does not expect. No script runs here. */
#include "engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_RULE "must be a name: 1 to 64 letters, digits or . _ - /"

struct parse {
    struct engine_rule *rule;
    struct engine_refusal *refusal;
};

void engine_rule_free(struct engine_rule *rule)
{
    if (!rule)
        return;
    engine_batch_done(&rule->samples);
    json_decref(rule->tree);
    free((void *)(uintptr_t)rule->state.data);
    free(rule->text);
    free(rule);
}

static enum status refuse_at(const struct parse *parse, const char *list, size_t index, const char *field,
                             const char *reason)
{
    char path[96];
    snprintf(path, sizeof path, "%s[%zu]%s%s", list, index, *field ? "." : "", field);
    return engine_refuse(parse->refusal, DENIED, path, "%s", reason);
}

/* A name, or the beginning of one and a star. Left out it fits all. */
static bool take_pattern(const json_t *value, struct engine_pattern *pattern)
{
    char room[ENGINE_NAME_MAX + 1];
    const char *text = json_string_value(value);
    if (!value)
        return true;
    size_t len = text ? strlen(text) : 0;
    if (len == 0 || len > ENGINE_NAME_MAX)
        return false;
    pattern->prefix = text[len - 1] == '*';
    pattern->len = len - pattern->prefix;
    pattern->text = text;
    memcpy(room, text, pattern->len);
    room[pattern->len] = 0;
    return pattern->len == 0 || engine_name_is_valid(room);
}

static bool take_script(const json_t *value, const char **script)
{
    *script = json_string_value(value);
    return !value || (*script && json_string_length(value) > 0 && json_string_length(value) <= ENGINE_SCRIPT_MAX);
}

/* What `when` and `reads` have in common: objects with a source and a type. */
static enum status take_patterns(const struct parse *parse, const json_t *object, const char *list, size_t index,
                                 const char *const *known, struct engine_pattern *source, struct engine_pattern *type)
{
    char path[96];
    snprintf(path, sizeof path, "%s[%zu]", list, index);
    if (!json_is_object(object))
        return engine_refuse(parse->refusal, DENIED, path, "must be an object");
    TRY(engine_check_members(object, path, known, parse->refusal));
    if (!take_pattern(json_object_get(object, "source"), source))
        return refuse_at(parse, list, index, "source", "must be a name, or the beginning of one and a *");
    if (!take_pattern(json_object_get(object, "type"), type))
        return refuse_at(parse, list, index, "type", "must be a name, or the beginning of one and a *");
    return OK;
}

static enum status take_when(const struct parse *parse, const json_t *object, size_t index)
{
    static const char *const known[] = {"source", "type", "condition", NULL};
    struct engine_when *when = &parse->rule->when[index];
    TRY(take_patterns(parse, object, "when", index, known, &when->source, &when->type));
    if (!take_script(json_object_get(object, "condition"), &when->condition))
        return refuse_at(parse, "when", index, "condition", "must be JavaScript, of 1 to 8192 bytes");
    return OK;
}

static enum status take_read(const struct parse *parse, const json_t *object, size_t index)
{
    static const char *const known[] = {"source", "type", NULL};
    struct engine_read *read = &parse->rule->read[index];
    return take_patterns(parse, object, "reads", index, known, &read->source, &read->type);
}

static enum status take_do(const struct parse *parse, const json_t *object, size_t index)
{
    static const char *const known[] = {"target", "type", "transform", NULL};
    struct engine_do *act = &parse->rule->act[index];
    if (!json_is_object(object))
        return refuse_at(parse, "do", index, "", "must be an object");
    char path[96];
    snprintf(path, sizeof path, "do[%zu]", index);
    TRY(engine_check_members(object, path, known, parse->refusal));
    act->target = json_string_value(json_object_get(object, "target"));
    if (!act->target || !engine_name_is_valid(act->target))
        return refuse_at(parse, "do", index, "target", NAME_RULE);
    act->type = json_string_value(json_object_get(object, "type"));
    if (!act->type || !engine_name_is_valid(act->type))
        return refuse_at(parse, "do", index, "type", NAME_RULE);
    if (!take_script(json_object_get(object, "transform"), &act->transform))
        return refuse_at(parse, "do", index, "transform", "must be JavaScript, of 1 to 8192 bytes");
    return OK;
}

static enum status take_list(const struct parse *parse, const char *name, size_t least, size_t most, size_t *count,
                             enum status (*take)(const struct parse *, const json_t *, size_t))
{
    const json_t *list = json_object_get(parse->rule->tree, name);
    *count = json_array_size(list);
    if ((list && !json_is_array(list)) || *count < least)
        return engine_refuse(parse->refusal, DENIED, name, "must be a list of %zu to %zu", least, most);
    if (*count > most)
        return engine_refuse(parse->refusal, NO_ROOM, name, "must be a list of %zu to %zu", least, most);
    for (size_t i = 0; i < *count; i++)
        TRY(take(parse, json_array_get(list, i), i));
    return OK;
}

static enum status take_samples(const struct parse *parse, struct bytes text)
{
    struct engine_rule *rule = parse->rule;
    json_t *samples = json_object_get(rule->tree, "sample");
    if (!samples)
        return OK;
    if (json_is_array(samples) && json_array_size(samples) > ENGINE_SAMPLES_MAX)
        return engine_refuse(parse->refusal, NO_ROOM, "sample", "must be at most %d events", ENGINE_SAMPLES_MAX);
    if (!json_is_array(samples) && !json_is_object(samples))
        return engine_refuse(parse->refusal, DENIED, "sample", "must be an event, or a list of them");
    TRY(engine_take_events(json_incref(samples), engine_member(text, "sample"), "sample", NULL, 0, &rule->samples,
                           parse->refusal));
    for (size_t i = 0; i < rule->samples.count; i++)
        if (engine_rule_match(rule, &rule->samples.events[i]) == 0)
            return refuse_at(parse, "sample", i, "", "has a source and type that fit nothing in when");
    return OK;
}

static enum status take_rule(const struct parse *parse, struct bytes text)
{
    static const char *const known[] = {"name", "when", "reads", "do", "sample", NULL};
    struct engine_rule *rule = parse->rule;
    if (!json_is_object(rule->tree))
        return engine_refuse(parse->refusal, DENIED, "body", "must be an object: a rule");
    TRY(engine_check_members(rule->tree, "", known, parse->refusal));
    rule->name = json_string_value(json_object_get(rule->tree, "name"));
    if (!rule->name || !engine_name_is_valid(rule->name))
        return engine_refuse(parse->refusal, DENIED, "name", NAME_RULE);
    for (const char *at = rule->name; *at; at++)
        rule->seed = rule->seed * 1099511628211u + (uint8_t)*at;
    TRY(take_list(parse, "when", 1, ENGINE_CONDITIONS_MAX, &rule->whens, take_when));
    TRY(take_list(parse, "reads", 0, ENGINE_READS_MAX, &rule->reads, take_read));
    TRY(take_list(parse, "do", 1, ENGINE_CONDITIONS_MAX, &rule->dos, take_do));
    return take_samples(parse, text);
}

enum status engine_rule_parse(struct bytes json, struct engine_rule **rule, struct engine_refusal *refusal)
{
    enum status status = OK;
    json_t *tree = engine_load_json(json, refusal, &status);
    if (!tree)
        return status;
    struct engine_rule *made = calloc(1, sizeof *made);
    char *text = malloc(json.len + 1);
    char *state = strdup("{}");
    if (!made || !text || !state) {
        free(made);
        free(text);
        free(state);
        json_decref(tree);
        return engine_refuse(refusal, NO_ROOM, "body", "does not fit in memory");
    }
    memcpy(text, json.data, json.len);
    made->tree = tree;
    made->text = text;
    made->text_len = json.len;
    made->state = bytes_from(state, 2);
    struct parse parse = {made, refusal};
    status = take_rule(&parse, json);
    if (status == OK)
        *rule = made;
    else
        engine_rule_free(made);
    return status;
}

enum status engine_rule_name(struct bytes json, char name[ENGINE_NAME_MAX + 1], struct engine_refusal *refusal)
{
    struct engine_rule *rule;
    TRY(engine_rule_parse(json, &rule, refusal));
    snprintf(name, ENGINE_NAME_MAX + 1, "%s", rule->name);
    engine_rule_free(rule);
    return OK;
}

static bool fits(const struct engine_pattern *pattern, const char *name)
{
    if (!pattern->text)
        return true;
    return strncmp(pattern->text, name, pattern->len) == 0 && (pattern->prefix || name[pattern->len] == 0);
}

unsigned engine_rule_match(const struct engine_rule *rule, const struct engine_event *event)
{
    unsigned mask = 0;
    for (size_t i = 0; i < rule->whens; i++)
        if (fits(&rule->when[i].source, event->source) && fits(&rule->when[i].type, event->type))
            mask |= 1u << i;
    return mask;
}

bool engine_rule_reads(const struct engine_rule *rule, const char *source, const char *type)
{
    for (size_t i = 0; i < rule->reads; i++)
        if (fits(&rule->read[i].source, source) && fits(&rule->read[i].type, type))
            return true;
    return false;
}
