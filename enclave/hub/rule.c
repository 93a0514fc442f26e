/* Rules: kept as the text their author sent, evaluated by the engine, their private state in the store. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEW_STATE "{}"
#define TRACE_CAP (64u << 10)

/* One evaluation: what the engine calls back into. */
struct evaluation {
    struct hub *hub;
    const struct engine_event *event;
    enum status status; /* of what the engine gave back */
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

/* A rule's log is the owner's: it shows when a rule is tried, and never reaches the host. */
enum status hub_evaluate(struct hub *hub, const struct engine_event *event)
{
    struct evaluation evaluation = {hub, event, OK};
    struct engine_port port = {&evaluation, last_event, action, state, NULL};
    engine_evaluate(hub->engine, event, (int64_t)hub->now_ms, &port, &hub->counts.engine);
    sqlite3_reset(hub_sql(hub, HUB_SQL_LAST_GET));
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
            hub_audit(hub, "reload=failed what=rule status=\"%s\"", status_word(status));
    }
    sqlite3_reset(list);
    return status;
}

void hub_get_rules(struct hub *hub, struct hub_request *request)
{
    static const char head[] = "{\"rules\":";
    char *text = malloc(HUB_ANSWER_MAX + 1);
    if (!text) {
        hub_refuse_memory(request);
        return;
    }
    struct writer writer = writer_over(text, HUB_ANSWER_MAX);
    put_text(&writer, head);
    enum status status = engine_list_rules(hub->engine, (int64_t)hub->now_ms, &writer);
    put_text(&writer, "}");
    if (status != OK || writer_end(&writer) != OK) {
        free(text);
        hub_refuse(request, COAP_INTERNAL_ERROR, "rules", "are more than one answer holds: ask for /rules/NAME");
        return;
    }
    hub_answer_text(request, COAP_CONTENT, text, writer.len);
}

/* Both texts are JSON on their own. */
void hub_get_rule(struct hub *hub, struct hub_request *request)
{
    char room[ENGINE_NAME_MAX + 1], *text = NULL;
    const char *name = hub_name_in_path(request, "", room);
    sqlite3_stmt *get = hub_sql(hub, HUB_SQL_RULE_GET);
    hub_bind_text(get, 1, name);
    int len = -1;
    bool found = name && hub_row(get);
    if (found)
        len = asprintf(&text, "{\"name\":\"%s\",\"rule\":%s,\"state\":%s}", name, hub_column_text(get, 0),
                       hub_column_text(get, 1));
    sqlite3_reset(get);
    if (!found)
        hub_refuse(request, COAP_NOT_FOUND, "rule", "\"%s\" is not there", name ? name : "");
    else if (len < 0)
        hub_refuse_memory(request);
    else
        hub_answer_text(request, COAP_CONTENT, text, (size_t)len);
}

/* POST /rules: a new rule, or a new text for one that is there; its private state begins anew. */
void hub_post_rule(struct hub *hub, struct hub_request *request)
{
    struct engine_refusal refusal;
    char name[ENGINE_NAME_MAX + 1];
    if (!hub->has_scripts) {
        hub_refuse(request, COAP_NOT_IMPLEMENTED, "scripts", "do not run in this program");
        return;
    }
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
    hub_bind_text(put, 3, NEW_STATE);
    status = hub_run(put);
    if (status == OK)
        hub_answer_json(request, COAP_CREATED, json_pack("{s:s}", "name", name));
    else
        hub_abandon_group(hub, request, "rule", status);
}

void hub_delete_rule(struct hub *hub, struct hub_request *request)
{
    char room[ENGINE_NAME_MAX + 1];
    const char *name = hub_name_in_path(request, "", room);
    if (!name || engine_remove_rule(hub->engine, name) != OK) {
        hub_refuse(request, COAP_NOT_FOUND, "rule", "\"%s\" is not there", name ? name : "");
        return;
    }
    sqlite3_stmt *delete = hub_sql(hub, HUB_SQL_RULE_DELETE);
    hub_bind_text(delete, 1, name);
    enum status status = hub_run(delete);
    if (status == OK)
        hub_answer_json(request, COAP_DELETED, json_pack("{s:s}", "name", name));
    else
        hub_abandon_group(hub, request, "rule", status);
}

/* POST /rules/NAME/test with an event: the trace of one evaluation, without effect. The event may come from any source,
 * since the owner asks. */
void hub_post_rule_test(struct hub *hub, struct hub_request *request)
{
    char room[ENGINE_NAME_MAX + 1];
    const char *name = hub_name_in_path(request, "/test", room);
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
    struct evaluation evaluation = {hub, &batch.events[0], OK};
    struct engine_port port = {&evaluation, last_event, NULL, NULL, NULL};
    status =
        name ? engine_try_rule(hub->engine, name, &batch.events[0], (int64_t)hub->now_ms, &port, &writer) : NOT_FOUND;
    sqlite3_reset(hub_sql(hub, HUB_SQL_LAST_GET));
    engine_batch_done(&batch);
    if (status == OK) {
        hub_answer_text(request, COAP_CONTENT, text, writer.len);
        return;
    }
    free(text);
    if (status == NOT_FOUND)
        hub_refuse(request, COAP_NOT_FOUND, "rule", "\"%s\" is not there", name ? name : "");
    else
        hub_refuse_memory(request);
}
