/* engine: the message model and the rules — events in (JSON, CBOR, SenML), condition and transformation in JavaScript,
 * actions out. Never does I/O, never sees a key; scripts run in a compartment and see only what a rule names. */
#ifndef BASTIDE_ENGINE_H
#define BASTIDE_ENGINE_H

#include "base.h"

struct script_engine;

#define ENGINE_NAME_MAX 64         /* of a source, type, rule, target: letters, digits and . _ - / */
#define ENGINE_ID_MAX 64           /* of an event, when the client gives one */
#define ENGINE_DEPTH_MAX 16        /* nested arrays and objects in a body */
#define ENGINE_EVENTS_MAX 256      /* in one body */
#define ENGINE_RULES_MAX 256       /* of a site */
#define ENGINE_CONDITIONS_MAX 8    /* of a rule; transformations too */
#define ENGINE_READS_MAX 16        /* last values a rule may see */
#define ENGINE_SAMPLES_MAX 16      /* events a rule brings to be tried on */
#define ENGINE_SCRIPT_MAX 8192     /* bytes of one script */
#define ENGINE_STATE_MAX 4096      /* bytes of a rule's private state, as JSON */
#define ENGINE_ACTION_MAX 16384    /* bytes of one action's properties, as JSON */
#define ENGINE_LOG_MAX 1024        /* bytes of log one evaluation may write */
#define ENGINE_BUDGET_MS 50        /* processor time of one evaluation */
#define ENGINE_HEAP_MAX (8u << 20) /* bytes one evaluation may allocate */
#define ENGINE_FAILURES_MAX 10     /* in a row; then the rule pauses */
#define ENGINE_PAUSE_MS 60000      /* and is tried again after this */

/* Why something was refused, in words for whoever sent it: the field or limit, and what is wrong with it. */
struct engine_refusal {
    char field[96];
    char reason[224];
};

enum engine_format { ENGINE_JSON = 50, ENGINE_CBOR = 60, ENGINE_SENML_JSON = 110, ENGINE_SENML_CBOR = 112 };

/* One event. Its strings are owned by the batch it came in. */
struct engine_event {
    const char *id; /* the client's own, or NULL */
    const char *source;
    const char *type;
    int64_t time_ms;        /* Unix time, as the client said, or when it arrived */
    const char *properties; /* JSON text of an object, on one line, numbers as the client wrote them */
    struct bytes text;      /* the whole event as scripts see it, an object on one line with at least source, type,
                               time and properties. Parsing leaves it empty: the hub sets it to what it keeps. Where it
                               is empty scripts see those four, and id. */
};

struct engine_batch {
    struct engine_event *events;
    size_t count;
    void *keep; /* what the strings live in */
};

/* Parse a body. Sources may only be `client` itself or start with client + "/"; where client is NULL any is good, but
 * each event must name one (plain formats only). Either the whole batch is good, or nothing is: MALFORMED (not JSON,
 * not CBOR), DENIED (a field is wrong), NO_ROOM (a limit), with *refusal saying which. */
MUST_USE enum status engine_parse_events(struct bytes body, enum engine_format format, const char *client,
                                         int64_t now_ms, struct engine_batch *batch, struct engine_refusal *refusal);
void engine_batch_done(struct engine_batch *batch);

/* The rules of a site. A rule, as JSON:
 *     {"name":…, "when":[{"source"?,"type"?,"condition"?}…], "reads"?:[{"source","type"}…],
 *      "do":[{"target","type","transform"?}…], "sample"?: event or [event…]}
 * Sources and types of `when` and `reads` are exact, end in * for a prefix, or are left out for any. Conditions are
 * OR-ed in their order, inside one source AND type AND script; then all transformations run. Scripts are
 *     condition: (event, source, type, ctx) => boolean         left out: true
 *     transform: (event, target, actionType, ctx) => object    left out: the event's properties
 *     ctx: { last(source, type): event or null, state: the rule's own object, time: the event's, in ms, log(…) }
 * and may be async. */
struct engine;

/* [set-up] What script_engine_new() must be given as prelude. */
struct bytes engine_script_prelude(void);

/* Before anything else touches jansson: takes the seed of its hash tables from getrandom(). Keeps `scripts`. */
MUST_USE enum status engine_new(struct engine **engine, struct script_engine *scripts);
void engine_free(struct engine *engine); /* NULL is fine */

/* Take in, or replace, the rule that this JSON text describes. With an empty `state` it is new: scripts are compiled
 * and tried on the samples, each on every one, where last() finds nothing. Otherwise it was taken before: `state` is
 * its private state, and scripts are compiled when first needed. On refusal nothing has changed. */
MUST_USE enum status engine_put_rule(struct engine *engine, struct bytes json, struct bytes state,
                                     struct engine_refusal *refusal);
MUST_USE enum status engine_remove_rule(struct engine *engine, const char *name); /* NOT_FOUND */
void engine_clear(struct engine *engine);                                         /* all rules go */
/* The name a rule text gives itself, after the same checks as above but without effect. */
MUST_USE enum status engine_rule_name(struct bytes json, char name[ENGINE_NAME_MAX + 1],
                                      struct engine_refusal *refusal);

/* What the engine needs of its owner while it evaluates, and what it gives back. Any may be NULL. None may call this
 * engine; what they are handed is theirs only until they return. */
struct engine_port {
    void *user;
    /* The newest event of this source and type as JSON text, or an empty view; valid until the next call. */
    struct bytes (*last)(void *user, const char *source, const char *type);
    void (*action)(void *user, const char *rule, const char *target, const char *type, struct bytes properties);
    void (*state)(void *user, const char *rule, struct bytes json); /* the rule's private state changed */
    void (*log)(void *user, const char *rule, struct bytes text);
};

struct engine_counts {
    uint64_t evaluations; /* script runs */
    uint64_t fired;
    uint64_t failures;
};

/* Every rule that this event concerns, each at most once. Script failures are counted and kept as the rule's last
 * error; they never stop the event. */
void engine_evaluate(struct engine *engine, const struct engine_event *event, int64_t now_ms,
                     const struct engine_port *port, struct engine_counts *counts);

/* Try one rule on an event without effect; only `last` of the port is called. The trace as JSON: {"matched": source and
 * type fit, "fired": bool, "actions":[{"target","type","properties"}…], "log": text, "error": text or null}. */
MUST_USE enum status engine_try_rule(struct engine *engine, const char *name, const struct engine_event *event,
                                     int64_t now_ms, const struct engine_port *port, struct writer *trace);

/* The rules as JSON array in the order of their names: [{"name","evaluations","fired","failures","paused": bool,
 * "error": the last one or null,"state":{…},"rule":{its text}}…]. */
MUST_USE enum status engine_list_rules(struct engine *engine, int64_t now_ms, struct writer *json);
size_t engine_rule_count(const struct engine *engine);

/* Times as people write them: RFC 3339 UTC with milliseconds ("2015-02-02T14:19:00.000Z"), never from a time zone file.
 */
#define ENGINE_TIME_LEN 24
void engine_format_time(int64_t time_ms, char text[ENGINE_TIME_LEN + 1]);
bool engine_parse_time(const char *text, int64_t *time_ms); /* the fraction is optional; only Z as the zone */

/* Shared by those who speak JSON to clients: true for 1 to ENGINE_NAME_MAX characters of a name. */
bool engine_name_is_valid(const char *name);
/* DENIED when the text nests deeper than ENGINE_DEPTH_MAX; looks at nothing else. */
MUST_USE enum status engine_check_depth(struct bytes json);

#endif
