/* Actions: kept for their target with a cursor that only grows, told to whoever observes or polls once durable. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FETCH_MAX 64 /* actions in one answer; the reader comes back with the last cursor */

enum status hub_add_action(struct hub *hub, const char *rule, const char *target, const char *type,
                           struct bytes properties, const struct engine_event *event)
{
    sqlite3_stmt *next = hub_sql(hub, HUB_SQL_ACTION_NEXT);
    hub_bind_text(next, 1, target);
    int64_t cursor = hub_row(next) ? sqlite3_column_int64(next, 0) : 1;
    sqlite3_reset(next);

    char when[ENGINE_TIME_LEN + 1];
    engine_format_time(event->time_ms, when);
    size_t cap = properties.len + 4 * ENGINE_NAME_MAX + 256;
    char *body = malloc(cap);
    if (!body)
        return NO_ROOM;
    int head = snprintf(body, cap,
                        "{\"cursor\":%lld,\"target\":\"%s\",\"type\":\"%s\",\"rule\":\"%s\",\"time\":\"%s\","
                        "\"source\":\"%s\",\"properties\":%.*s}",
                        (long long)cursor, target, type, rule, when, event->source, (int)properties.len,
                        (const char *)properties.data);
    struct bytes text = bytes_from(body, (size_t)head);

    enum status status = hub_archive(hub, target, type, event->time_ms, "action", text);
    if (status == OK) {
        sqlite3_stmt *put = hub_sql(hub, HUB_SQL_ACTION_PUT);
        hub_bind_text(put, 1, target);
        sqlite3_bind_int64(put, 2, cursor);
        sqlite3_bind_int64(put, 3, (int64_t)hub->archive_sequence);
        hub_bind_view(put, 4, text);
        status = hub_run(put);
    }
    if (status == OK && cursor > HUB_ACTIONS_KEPT) {
        sqlite3_stmt *prune = hub_sql(hub, HUB_SQL_ACTION_PRUNE);
        hub_bind_text(prune, 1, target);
        sqlite3_bind_int64(prune, 2, cursor - HUB_ACTIONS_KEPT);
        status = hub_run(prune);
    }
    wipe(body, cap);
    free(body);
    if (status == OK) {
        hub->counts.actions++;
        hub_group_note_action(hub, target);
    }
    return status;
}

/* {"actions":[…],"cursor":N}: what came after `after`, and where to go on from. Nothing archived later than `durable`:
 * what leaves before its group's commit must not speak of it. */
static char *list_actions(struct hub *hub, const char *target, uint64_t after, uint64_t durable, size_t limit,
                          uint64_t *newest)
{
    sqlite3_stmt *list = hub_sql(hub, HUB_SQL_ACTION_LIST);
    hub_bind_text(list, 1, target);
    sqlite3_bind_int64(list, 2, (int64_t)after);
    sqlite3_bind_int64(list, 3, (int64_t)durable);
    sqlite3_bind_int64(list, 4, (int64_t)limit);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("{\"actions\":[", out);
    *newest = after;
    for (bool first = true; hub_row(list); first = false) {
        *newest = (uint64_t)sqlite3_column_int64(list, 0);
        fprintf(out, "%s%s", first ? "" : ",", hub_column_text(list, 1));
    }
    sqlite3_reset(list);
    fprintf(out, "],\"cursor\":%llu}", (unsigned long long)*newest);
    fclose(out);
    return text;
}

static void unwatch(struct hub *hub, struct hub_watch **at)
{
    struct hub_watch *watch = *at;
    *at = watch->next;
    hub->watch_count--;
    if (watch->request)
        hub_request_free(hub, watch->request);
    free(watch);
}

static struct hub_watch *watch_new(struct hub *hub, struct hub_request *request, uint64_t after)
{
    struct hub_watch *watch = hub->watch_count < HUB_WATCHES_MAX ? calloc(1, sizeof *watch) : NULL;
    if (!watch) {
        hub_refuse(request, COAP_UNAVAILABLE, "actions", "has %d watchers already, and that is the limit",
                   HUB_WATCHES_MAX);
        return NULL;
    }
    watch->after = after;
    watch->request = request;
    watch->next = hub->watches;
    hub->watches = watch;
    hub->watch_count++;
    return watch;
}

/* GET /actions?after=CURSOR&wait=SECONDS, or with Observe 0 over CoAP. A client sees its own actions only.
 * Without `after` an observation begins with what comes, a plain GET with the oldest that is kept. */
void hub_get_actions(struct hub *hub, struct hub_request *request)
{
    char room[32];
    uint64_t after = 0, wait_s = 0;
    const char *text = hub_query(request, "after", room, sizeof room);
    if (text && !hub_number(text, &after)) {
        hub_refuse(request, COAP_BAD_REQUEST, "after", "must be a cursor: a whole number");
        return;
    }
    bool has_after = text != NULL;
    text = hub_query(request, "wait", room, sizeof room);
    if (text && (!hub_number(text, &wait_s) || wait_s > HUB_WAIT_MAX_S)) {
        hub_refuse(request, COAP_BAD_REQUEST, "wait", "must be 0 to %d seconds", HUB_WAIT_MAX_S);
        return;
    }
    uint32_t observe;
    bool observes = request->transport == DOOR_COAP &&
                    coap_option_find_uint(request->inner.options, COAP_OBSERVE, &observe) == OK && observe == 0;
    const char *target = request->session->name;
    if (observes && !has_after) {
        sqlite3_stmt *newest = hub_sql(hub, HUB_SQL_ACTION_NEWEST);
        hub_bind_text(newest, 1, target);
        after = hub_row(newest) ? (uint64_t)sqlite3_column_int64(newest, 0) : 0;
        sqlite3_reset(newest);
    }
    uint64_t newest;
    char *list = list_actions(hub, target, after, hub->archive_sequence, FETCH_MAX, &newest);
    if (!list) {
        hub_refuse(request, COAP_UNAVAILABLE, "memory", "is used up");
        return;
    }
    if (observes) {
        struct hub_request *observation = hub_request_copy(hub, request);
        if (!observation || !watch_new(hub, observation, newest)) {
            if (observation)
                hub_request_free(hub, observation);
            free(list);
            hub_refuse(request, COAP_UNAVAILABLE, "actions", "has %d watchers already, and that is the limit",
                       HUB_WATCHES_MAX);
            return;
        }
        hub->watches->observation = true;
        request->observed = true;
        request->observe = (uint32_t)newest;
    } else if (newest == after && wait_s > 0) {
        free(list);
        struct hub_watch *watch = watch_new(hub, request, after);
        if (watch) {
            watch->deadline_ms = hub->now_ms + wait_s * 1000;
            request->parked = true;
        }
        return;
    }
    hub_answer_text(request, COAP_CONTENT, list, strlen(list));
}

void hub_tell_watchers(struct hub *hub, const char *target)
{
    for (struct hub_watch **at = &hub->watches; *at;) {
        struct hub_watch *watch = *at;
        if (strcmp(watch->request->session->name, target) != 0 || watch->request->session->removed) {
            at = &watch->next;
            continue;
        }
        uint64_t newest;
        /* An observer hears of one action a notification, so that each fits a datagram. */
        char *list = list_actions(hub, target, watch->after, hub->archive_confirmed, watch->observation ? 1 : FETCH_MAX,
                                  &newest);
        if (!list || newest == watch->after) {
            free(list);
            at = &watch->next;
            continue;
        }
        watch->after = newest;
        if (watch->observation) {
            hub_send_notification(hub, watch->request, (uint32_t)newest, bytes_from_text(list));
            wipe(list, strlen(list));
            free(list);
            continue; /* the same watch again, until it knows everything */
        }
        struct hub_request *request = watch->request;
        watch->request = NULL;
        unwatch(hub, at);
        hub_answer_text(request, COAP_CONTENT, list, strlen(list));
        hub_send_answer(hub, request);
    }
}

void hub_watches_expire(struct hub *hub)
{
    for (struct hub_watch **at = &hub->watches; *at;) {
        struct hub_watch *watch = *at;
        if (watch->observation || watch->deadline_ms > hub->now_ms) {
            at = &watch->next;
            continue;
        }
        struct hub_request *request = watch->request;
        watch->request = NULL;
        uint64_t newest;
        char *list =
            list_actions(hub, request->session->name, watch->after, hub->archive_confirmed, FETCH_MAX, &newest);
        unwatch(hub, at);
        if (list)
            hub_answer_text(request, COAP_CONTENT, list, strlen(list));
        else
            hub_refuse(request, COAP_UNAVAILABLE, "memory", "is used up");
        hub_send_answer(hub, request);
    }
}

uint64_t hub_watches_due(const struct hub *hub)
{
    uint64_t due = UINT64_MAX;
    for (const struct hub_watch *watch = hub->watches; watch; watch = watch->next)
        if (!watch->observation && watch->deadline_ms < due)
            due = watch->deadline_ms;
    return due;
}

/* The peer left (channel), or the client was removed (session): whoever watched for them stops. */
void hub_unwatch(struct hub *hub, uint64_t channel, const struct hub_session *session)
{
    for (struct hub_watch **at = &hub->watches; *at;) {
        if ((session && (*at)->request->session == session) || (!session && (*at)->request->channel == channel))
            unwatch(hub, at);
        else
            at = &(*at)->next;
    }
}
