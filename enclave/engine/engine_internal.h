/* engine, inside: what its files share. */
#ifndef BASTIDE_ENGINE_INTERNAL_H
#define BASTIDE_ENGINE_INTERNAL_H

#include "engine.h"

#include "script.h"

#include <jansson.h>

/* json.c. Say what is wrong; returns `status` so that a check is one line. */
__attribute__((format(printf, 4, 5))) enum status engine_refuse(struct engine_refusal *refusal, enum status status,
                                                                const char *field, const char *format, ...);
/* A question mark for each byte that is of no whole UTF-8 character, as where a text was cut, and for controls. */
void engine_clean(char *text);
/* Parse JSON text within ENGINE_DEPTH_MAX; NULL and a refusal otherwise. */
json_t *engine_load_json(struct bytes text, struct engine_refusal *refusal, enum status *status);
/* DENIED when the object has a member that is not in the NULL-terminated list. */
enum status engine_check_members(const json_t *object, const char *prefix, const char *const *known,
                                 struct engine_refusal *refusal);
/* Within text that was parsed before: the value of an object's member, empty when it is not written plainly; and the
 * element that begins at or after *off, which is moved behind it. */
struct bytes engine_member(struct bytes object, const char *name);
struct bytes engine_next(struct bytes array, size_t *off);
/* A copy without the blanks between tokens, NUL-terminated, for free(). NULL without memory. */
char *engine_compact(struct bytes json);
void engine_put_string(struct writer *writer, struct bytes utf8); /* quoted */
void engine_put_number(struct writer *writer, double finite);     /* as short as keeps the value */

/* event.c: events that stand in a larger text, named `prefix`[i] in refusals. `text` is what `tree` was parsed from;
 * the batch keeps `tree`, on failure too. */
enum status engine_take_events(json_t *tree, struct bytes text, const char *prefix, const char *client, int64_t now_ms,
                               struct engine_batch *batch, struct engine_refusal *refusal);

struct engine_pattern {
    const char *text; /* without the star; NULL fits all */
    size_t len;
    bool prefix;
};

/* Strings live in the rule's tree. Scripts may be NULL. */
struct engine_when {
    struct engine_pattern source, type;
    const char *condition;
};
struct engine_read {
    struct engine_pattern source, type;
};
struct engine_do {
    const char *target, *type;
    const char *transform;
};

struct engine_rule {
    const char *name;
    json_t *tree;
    char *text; /* as its author sent it */
    size_t text_len;
    size_t whens, reads, dos;
    struct engine_when when[ENGINE_CONDITIONS_MAX];
    struct engine_read read[ENGINE_READS_MAX];
    struct engine_do act[ENGINE_CONDITIONS_MAX];
    struct engine_batch samples;

    uint64_t seed;
    struct bytes state; /* owned; never empty */
    struct script_function function;
    bool defined;
    struct engine_counts counts;
    unsigned failures_in_row;
    int64_t paused_until_ms;
    char error[SCRIPT_MESSAGE_MAX + 96]; /* the last one */
};

/* rule.c */
enum status engine_rule_parse(struct bytes json, struct engine_rule **rule, struct engine_refusal *refusal);
void engine_rule_free(struct engine_rule *rule);
unsigned engine_rule_match(const struct engine_rule *rule, const struct engine_event *event); /* a bit a condition */
bool engine_rule_reads(const struct engine_rule *rule, const char *source, const char *type);

#define ENGINE_RESULT_MAX (ENGINE_STATE_MAX + ENGINE_CONDITIONS_MAX * (ENGINE_ACTION_MAX + 1))

struct engine {
    struct script_engine *scripts;
    size_t count;
    struct engine_rule *rules[ENGINE_RULES_MAX]; /* by name */
    uint8_t result[ENGINE_RESULT_MAX];
    uint8_t log[ENGINE_LOG_MAX];
};

/* evaluate.c: one run of a rule. Views are into the engine's buffers and hold until the next run. */
struct engine_run {
    const struct engine_port *port; /* NULL: last() finds nothing */
    struct bytes event;
    int64_t time_ms;
    unsigned mask;
    struct bytes state; /* before */
    bool alone;         /* the only script of its rule: a failure need not say which */

    struct bytes new_state; /* after; empty: not looked at */
    bool fired;
    struct bytes actions[ENGINE_CONDITIONS_MAX];
    struct bytes log;
    char error[SCRIPT_MESSAGE_MAX + 96]; /* why it failed */

    const struct engine_rule *rule;
    unsigned at; /* what failed, as the scripts' driver tells */
};

/* Compiles the rule's scripts as one function. False with a reason, which tells line and column. */
MUST_USE bool engine_define(struct engine *engine, struct engine_rule *rule, char *error, size_t cap);
MUST_USE bool engine_run(struct engine *engine, struct engine_rule *rule, struct engine_run *run);
char *engine_event_text(const struct engine_event *event); /* for free() */

#endif
