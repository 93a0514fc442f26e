/* POST /events: the whole body is taken, or nothing of it. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRUNE_EVERY 64 /* events; the ids remembered overshoot by at most this many */

static enum engine_format format_of(const struct hub_request *request, bool *known)
{
    uint32_t format = COAP_FORMAT_JSON;
    enum status status = coap_option_find_uint(request->inner.options, COAP_CONTENT_FORMAT, &format);
    *known =
        status == NOT_FOUND || (status == OK && (format == COAP_FORMAT_JSON || format == COAP_FORMAT_CBOR ||
                                                 format == COAP_FORMAT_SENML_JSON || format == COAP_FORMAT_SENML_CBOR));
    return (enum engine_format)format;
}

/* A client that did not hear our answer sends again; the id it gives tells that this is no second event. */
static bool seen_before(struct hub *hub, const char *client, const char *id)
{
    if (!id)
        return false;
    sqlite3_stmt *get = hub_sql(hub, HUB_SQL_ID_GET);
    hub_bind_text(get, 1, client);
    hub_bind_text(get, 2, id);
    bool seen = hub_row(get);
    sqlite3_reset(get);
    return seen;
}

static enum status remember_id(struct hub *hub, struct hub_client *client, const char *id)
{
    if (!id)
        return OK;
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_ID_PUT);
    hub_bind_text(put, 1, client->name);
    hub_bind_text(put, 2, id);
    sqlite3_bind_int64(put, 3, (int64_t)store_archive_sequence(hub->store));
    TRY(hub_run(put));
    if (++client->ids_added < PRUNE_EVERY)
        return OK;
    client->ids_added = 0;
    sqlite3_stmt *prune = hub_sql(hub, HUB_SQL_ID_PRUNE);
    hub_bind_text(prune, 1, client->name);
    sqlite3_bind_int64(prune, 2, HUB_IDS_KEPT);
    return hub_run(prune);
}

static bool pair_is_known(struct hub *hub, const struct engine_event *event)
{
    sqlite3_stmt *get = hub_sql(hub, HUB_SQL_LAST_GET);
    hub_bind_text(get, 1, event->source);
    hub_bind_text(get, 2, event->type);
    bool known = hub_row(get);
    sqlite3_reset(get);
    return known;
}

static bool pair_came_before(const struct engine_batch *batch, size_t index)
{
    const struct engine_event *event = &batch->events[index];
    for (size_t i = 0; i < index; i++)
        if (strcmp(batch->events[i].source, event->source) == 0 && strcmp(batch->events[i].type, event->type) == 0)
            return true;
    return false;
}

/* Each pair of source and type has a last event and a chain in the archive, for ever: one client may not fill the store
 * with them. Counted before anything of the body is taken. */
static bool pairs_fit(struct hub *hub, struct hub_client *client, const struct engine_batch *batch)
{
    if (client->pairs < 0) {
        sqlite3_stmt *count = hub_sql(hub, HUB_SQL_LAST_COUNT);
        hub_bind_text(count, 1, client->name);
        client->pairs = hub_row(count) ? sqlite3_column_int64(count, 0) : 0;
        sqlite3_reset(count);
    }
    int64_t pairs = client->pairs;
    for (size_t i = 0; i < batch->count; i++)
        pairs += !pair_is_known(hub, &batch->events[i]) && !pair_came_before(batch, i);
    if (pairs > HUB_LAST_MAX)
        return false;
    client->pairs = pairs;
    return true;
}

static enum status put_last(struct hub *hub, const char *client, const struct engine_event *event)
{
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_LAST_PUT);
    hub_bind_text(put, 1, event->source);
    hub_bind_text(put, 2, event->type);
    hub_bind_text(put, 3, client);
    hub_bind_view(put, 4, event->text);
    return hub_run(put);
}

/* The form an event has everywhere after this: for scripts, in `last`, in the archive. `id` is the client's own, quoted
 * by jansson because it may hold any character; the other names were checked. */
static char *event_text(const struct engine_event *event, const char *client, int64_t received_ms)
{
    char when[ENGINE_TIME_LEN + 1], received[ENGINE_TIME_LEN + 1];
    engine_format_time(event->time_ms, when);
    engine_format_time(received_ms, received);
    json_t *id = event->id ? json_string(event->id) : NULL;
    char *quoted = id ? json_dumps(id, JSON_ENCODE_ANY) : NULL;
    json_decref(id);
    char *text = NULL;
    int len = asprintf(&text,
                       "{%s%s%s\"source\":\"%s\",\"type\":\"%s\",\"time\":\"%s\",\"received\":\"%s\","
                       "\"client\":\"%s\",\"properties\":%s}",
                       quoted ? "\"id\":" : "", quoted ? quoted : "", quoted ? "," : "", event->source, event->type,
                       when, received, client, event->properties);
    free(quoted);
    return len < 0 ? NULL : text;
}

static enum status take_event(struct hub *hub, struct hub_client *client, struct engine_event *event)
{
    char *text = event_text(event, client->name, (int64_t)hub->now_ms);
    if (!text)
        return NO_ROOM;
    event->text = bytes_from_text(text);
    enum status status = put_last(hub, client->name, event);
    if (status == OK)
        status = hub_archive(hub, event->source, event->type, event->time_ms, 'e', event->text);
    if (status == OK)
        status = remember_id(hub, client, event->id);
    if (status == OK)
        status = hub_evaluate(hub, event);
    wipe(text, event->text.len);
    free(text);
    return status;
}

static void take_batch(struct hub *hub, struct hub_request *request, struct engine_batch *batch)
{
    struct hub_client *client = request->session->client;
    size_t accepted = 0, duplicates = 0;
    enum status status = OK;
    for (size_t i = 0; i < batch->count && status == OK; i++) {
        if (seen_before(hub, client->name, batch->events[i].id)) {
            duplicates++;
            continue;
        }
        status = take_event(hub, client, &batch->events[i]);
        accepted++;
    }
    if (status != OK) {
        /* Half a body may be in the tables: the open group is taken back rather than keep it. */
        hub_abandon_group(hub, request, "events", status);
        return;
    }
    hub->counts.events += accepted;
    hub->counts.duplicates += duplicates;
    hub_answer_json(request, COAP_CHANGED,
                    json_pack("{s:I,s:I}", "accepted", (json_int_t)accepted, "duplicates", (json_int_t)duplicates));
}

void hub_post_events(struct hub *hub, struct hub_request *request)
{
    bool known;
    enum engine_format format = format_of(request, &known);
    if (!known) {
        hub_refuse(request, COAP_UNSUPPORTED_FORMAT, "Content-Format",
                   "must be 50 (JSON), 60 (CBOR), 110 or 112 (SenML)");
        return;
    }
    struct engine_batch batch;
    struct engine_refusal refusal;
    enum status status = engine_parse_events(request->inner.payload, format, request->session->client->name,
                                             (int64_t)hub->now_ms, &batch, &refusal);
    if (status != OK) {
        hub_refuse_as(request, status, &refusal);
        return;
    }
    if (pairs_fit(hub, request->session->client, &batch))
        take_batch(hub, request, &batch);
    else
        hub_refuse(request, COAP_FORBIDDEN, "source", "and type would make more than %d pairs, a client's limit",
                   HUB_LAST_MAX);
    engine_batch_done(&batch);
}
