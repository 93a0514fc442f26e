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

static enum status remember_id(struct hub *hub, const char *client, const char *id)
{
    if (!id)
        return OK;
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_ID_PUT);
    hub_bind_text(put, 1, client);
    hub_bind_text(put, 2, id);
    sqlite3_bind_int64(put, 3, (int64_t)hub->archive_sequence);
    TRY(hub_run(put));
    if (hub->archive_sequence % PRUNE_EVERY != 0)
        return OK;
    sqlite3_stmt *prune = hub_sql(hub, HUB_SQL_ID_PRUNE);
    hub_bind_text(prune, 1, client);
    sqlite3_bind_int64(prune, 2, HUB_IDS_KEPT);
    return hub_run(prune);
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

static enum status take_event(struct hub *hub, const char *client, const struct engine_event *event)
{
    char *text = event_text(event, client, (int64_t)hub->now_ms);
    if (!text)
        return NO_ROOM;
    enum status status = hub_archive(hub, event->source, event->type, event->time_ms, bytes_from_text(text));
    if (status == OK)
        status = remember_id(hub, client, event->id);
    if (status == OK) {
        sqlite3_stmt *put = hub_sql(hub, HUB_SQL_LAST_PUT);
        hub_bind_text(put, 1, event->source);
        hub_bind_text(put, 2, event->type);
        hub_bind_text(put, 3, text);
        status = hub_run(put);
    }
    if (status == OK)
        status = hub_evaluate(hub, event, bytes_from_text(text));
    wipe(text, strlen(text));
    free(text);
    return status;
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
    const char *client = request->session->name;
    struct engine_batch batch;
    struct engine_refusal refusal;
    enum status status =
        engine_parse_events(request->inner.payload, format, client, (int64_t)hub->now_ms, &batch, &refusal);
    if (status != OK) {
        hub->counts.refused++;
        hub_refuse_as(request, status, &refusal);
        return;
    }
    size_t accepted = 0, duplicates = 0;
    for (size_t i = 0; i < batch.count && status == OK; i++) {
        if (seen_before(hub, client, batch.events[i].id)) {
            duplicates++;
            continue;
        }
        status = take_event(hub, client, &batch.events[i]);
        accepted++;
    }
    engine_batch_done(&batch);
    if (status != OK) {
        /* Half a body may be in the tables: take the whole open group back rather than keep it. */
        hub_refuse(request, COAP_UNAVAILABLE, "store", "could not take the events: %s", status_word(status));
        hub_abandon_group(hub, status);
        return;
    }
    hub->counts.events += accepted;
    hub->counts.duplicates += duplicates;
    hub_answer_json(request, COAP_CHANGED,
                    json_pack("{s:I,s:I}", "accepted", (json_int_t)accepted, "duplicates", (json_int_t)duplicates));
}
