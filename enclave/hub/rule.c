/* Rules: kept as the text their author sent, evaluated by the engine, their private state in the store. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_CAP (4u << 20)
#define TRACE_CAP (64u << 10)

/* One evaluation: what the engine calls back into. */
struct evaluation {
    struct hub *hub;
    const struct engine_event *event;
    enum status status;
    char *last; /* the text handed out last, freed with the next */
};

static struct bytes last_event(void *user, const char *source, const char *type)
{
    struct evaluation *evaluation = user;
    sqlite3_stmt *get = hub_sql(evaluation->hub, HUB_SQL_LAST_GET);
    hub_bind_text(get, 1, source);
    hub_bind_text(get, 2, type);
    return hub_row(get) ? hub_column(get, 0) : (struct bytes){0};
}

static void action(void *user, const char *rule, const char *target, const char *type, struct bytes properties)
{
    struct evaluation *evaluation = user;
    if (evaluation->status == OK)
        evaluation->status = hub_add_action(evaluation->hub, rule, target, type, properties, evaluation->event);
}

static void state(void *user, const char *rule, struct bytes json)
{
    struct evaluation *evaluation = user;
    sqlite3_stmt *put = hub_sql(evaluation->hub, HUB_SQL_RULE_STATE);
    hub_bind_text(put, 1, rule);
    hub_bind_view(put, 2, json);
    if (evaluation->status == OK)
        evaluation->status = hub_run(put);
}

static void ignore_log(void *user, const char *rule, struct bytes text)
{
    (void)user, (void)rule, (void)text; /* a rule's log is the owner's: it shows in `rule test`, never at the host */
}

enum status hub_evaluate(struct hub *hub, const struct engine_event *event)
{
    struct evaluation evaluation = {hub, event, OK, NULL};
    struct engine_port port = {&evaluation, last_event, action, state, ignore_log};
    engine_evaluate(hub->engine, event, (int64_t)hub->now_ms, &port, &hub->counts.engine);
    return evaluation.status;
}

enum status hub_rules_reload(struct hub *hub)
{
    engine_clear(hub->engine);
    sqlite3_stmt *list = hub_sql(hub, HUB_SQL_RULE_LIST);
    enum status status = OK;
    while (status == OK && hub_row(list)) {
        struct engine_refusal refusal;
        status = engine_put_rule(hub->engine, hub_column(list, 1), hub_column(list, 2), &refusal);
        if (status != OK)
            hub_audit(hub, "rule=%s refused=\"%s %s\"", hub_column_text(list, 0), refusal.field, refusal.reason);
    }
    sqlite3_reset(list);
    return status;
}

void hub_get_rules(struct hub *hub, struct hub_request *request)
{
    char *text = malloc(LIST_CAP);
    struct writer writer = writer_over(text, text ? LIST_CAP : 0);
    if (!text || engine_list_rules(hub->engine, (int64_t)hub->now_ms, &writer) != OK) {
        free(text);
        hub_refuse(request, COAP_UNAVAILABLE, "memory", "is used up");
        return;
    }
    char *fitted = realloc(text, writer.len + 1);
    hub_answer_text(request, COAP_CONTENT, fitted ? fitted : text, writer.len);
}

/* POST /rules: a new rule, or a new text for one that is there; its private state begins anew. */
void hub_post_rule(struct hub *hub, struct hub_request *request)
{
    struct engine_refusal refusal;
    char name[ENGINE_NAME_MAX + 1];
    enum status status = engine_rule_name(request->inner.payload, name, &refusal);
    if (status == OK)
        status = engine_put_rule(hub->engine, request->inner.payload, (struct bytes){0}, &refusal);
    if (status != OK) {
        hub_refuse_as(request, status, &refusal);
        return;
    }
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_RULE_PUT);
    hub_bind_text(put, 1, name);
    hub_bind_view(put, 2, request->inner.payload);
    hub_bind_text(put, 3, "{}");
    status = hub_run(put);
    if (status != OK) {
        hub_refuse(request, COAP_UNAVAILABLE, "store", "could not take the rule: %s", status_word(status));
        hub_abandon_group(hub, status);
        return;
    }
    hub_answer_json(request, COAP_CREATED, json_pack("{s:s}", "rule", name));
}

static const char *name_in_path(const struct hub_request *request, const char *suffix, char room[ENGINE_NAME_MAX + 1])
{
    const char *at = strchr(request->path, '/');
    size_t len = at ? strlen(at + 1) : 0;
    if (len < strlen(suffix) + 1 || len - strlen(suffix) > ENGINE_NAME_MAX)
        return NULL;
    memcpy(room, at + 1, len - strlen(suffix));
    room[len - strlen(suffix)] = 0;
    return room;
}

void hub_delete_rule(struct hub *hub, struct hub_request *request)
{
    char room[ENGINE_NAME_MAX + 1];
    const char *name = name_in_path(request, "", room);
    if (!name || engine_remove_rule(hub->engine, name) != OK) {
        hub_refuse(request, COAP_NOT_FOUND, "rule", "%s is not there", name ? name : "that name");
        return;
    }
    sqlite3_stmt *delete = hub_sql(hub, HUB_SQL_RULE_DELETE);
    hub_bind_text(delete, 1, name);
    enum status status = hub_run(delete);
    if (status != OK) {
        hub_refuse(request, COAP_UNAVAILABLE, "store", "could not remove the rule: %s", status_word(status));
        hub_abandon_group(hub, status);
        return;
    }
    hub_answer_json(request, COAP_DELETED, json_pack("{s:s}", "rule", name));
}

/* POST /rules/NAME/test with an event: the trace of one evaluation, without effect. The event may come from any source,
 * since the owner asks. */
void hub_post_rule_test(struct hub *hub, struct hub_request *request)
{
    char room[ENGINE_NAME_MAX + 1];
    const char *name = name_in_path(request, "/test", room);
    struct engine_batch batch;
    struct engine_refusal refusal;
    enum status status =
        engine_parse_events(request->inner.payload, ENGINE_JSON, NULL, (int64_t)hub->now_ms, &batch, &refusal);
    if (status != OK) {
        hub_refuse_as(request, status, &refusal);
        return;
    }
    char *text = malloc(TRACE_CAP);
    struct writer writer = writer_over(text, text ? TRACE_CAP : 0);
    struct evaluation evaluation = {hub, &batch.events[0], OK, NULL};
    struct engine_port port = {&evaluation, last_event, NULL, NULL, NULL};
    status =
        name ? engine_try_rule(hub->engine, name, &batch.events[0], (int64_t)hub->now_ms, &port, &writer) : NOT_FOUND;
    engine_batch_done(&batch);
    if (status == OK) {
        hub_answer_text(request, COAP_CONTENT, text, writer.len);
        return;
    }
    free(text);
    if (status == NOT_FOUND)
        hub_refuse(request, COAP_NOT_FOUND, "rule", "%s is not there", name ? name : "that name");
    else
        hub_refuse(request, COAP_UNAVAILABLE, "memory", "is used up");
}
