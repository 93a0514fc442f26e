/* Actions: kept for their target with a cursor that only grows, told to whoever observes or polls once durable. An
 * observer that misses a cursor, because the network or the host lost a notification, asks for what came after. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FETCH_MAX 64      /* actions in one answer; the reader comes back with the last cursor */
#define NOTICE_BYTES 900u /* a notification of more than one action fits a datagram */

static uint64_t newest_cursor(struct hub *hub, const char *target)
{
    sqlite3_stmt *newest = hub_sql(hub, HUB_SQL_ACTION_NEWEST);
    hub_bind_text(newest, 1, target);
    uint64_t cursor = hub_row(newest) ? (uint64_t)sqlite3_column_int64(newest, 0) : 0;
    sqlite3_reset(newest);
    return cursor;
}

/* Of what may be told. */
static uint64_t durable_cursor(struct hub *hub, const char *target)
{
    sqlite3_stmt *newest = hub_sql(hub, HUB_SQL_ACTION_DURABLE);
    hub_bind_text(newest, 1, target);
    sqlite3_bind_int64(newest, 2, (int64_t)store_archive_confirmed(hub->store));
    uint64_t cursor = hub_row(newest) ? (uint64_t)sqlite3_column_int64(newest, 0) : 0;
    sqlite3_reset(newest);
    return cursor;
}

/* The form an action has everywhere. All names were checked, and the properties are one JSON text. */
static char *action_text(uint64_t cursor, const char *rule, const char *target, const char *type,
                         struct bytes properties, const struct engine_event *event)
{
    char when[ENGINE_TIME_LEN + 1], *text;
    engine_format_time(event->time_ms, when);
    int len = asprintf(&text,
                       "{\"cursor\":%llu,\"target\":\"%s\",\"type\":\"%s\",\"rule\":\"%s\",\"time\":\"%s\","
                       "\"source\":\"%s\",\"properties\":%.*s}",
                       (unsigned long long)cursor, target, type, rule, when, event->source, (int)properties.len,
                       (const char *)properties.data);
    return len < 0 ? NULL : text;
}

static enum status put_action(struct hub *hub, const char *target, uint64_t cursor, const char *text)
{
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_ACTION_PUT);
    hub_bind_text(put, 1, target);
    sqlite3_bind_int64(put, 2, (int64_t)cursor);
    sqlite3_bind_int64(put, 3, (int64_t)store_archive_sequence(hub->store));
    hub_bind_text(put, 4, text);
    TRY(hub_run(put));
    if (cursor <= HUB_ACTIONS_KEPT)
        return OK;
    sqlite3_stmt *prune = hub_sql(hub, HUB_SQL_ACTION_PRUNE);
    hub_bind_text(prune, 1, target);
    sqlite3_bind_int64(prune, 2, (int64_t)(cursor - HUB_ACTIONS_KEPT));
    return hub_run(prune);
}

enum status hub_add_action(struct hub *hub, const char *rule, const char *target, const char *type,
                           struct bytes properties, const struct engine_event *event)
{
    uint64_t cursor = newest_cursor(hub, target) + 1;
    char *text = action_text(cursor, rule, target, type, properties, event);
    if (!text)
        return NO_ROOM;
    enum status status = hub_archive(hub, target, type, event->time_ms, 'a', bytes_from_text(text));
    if (status == OK)
        status = put_action(hub, target, cursor, text);
    wipe(text, strlen(text));
    free(text);
    if (status == OK) {
        hub->counts.actions++;
        hub->open.actions = true;
    }
    return status;
}

/* {"actions":[…],"cursor":N}: what came after `after`, and where to go on from. Only what is durable: what leaves
 * before its group's commit must not speak of it. At least one action, or as many as fit `room`; NULL: no memory. */
static char *list_actions(struct hub *hub, const char *target, uint64_t after, size_t room, uint64_t *newest)
{
    sqlite3_stmt *list = hub_sql(hub, HUB_SQL_ACTION_LIST);
    hub_bind_text(list, 1, target);
    sqlite3_bind_int64(list, 2, (int64_t)after);
    sqlite3_bind_int64(list, 3, (int64_t)store_archive_confirmed(hub->store));
    sqlite3_bind_int64(list, 4, FETCH_MAX);
    char *text = NULL;
    size_t len = 0, used = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("{\"actions\":[", out);
    *newest = after;
    while (hub_row(list)) {
        struct bytes body = hub_column(list, 1);
        if (used > 0 && used + body.len > room)
            break;
        fprintf(out, "%s%.*s", used ? "," : "", (int)body.len, (const char *)body.data);
        used += body.len + 1;
        *newest = (uint64_t)sqlite3_column_int64(list, 0);
    }
    sqlite3_reset(list);
    fprintf(out, "],\"cursor\":%llu}", (unsigned long long)*newest);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
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
    if (!watch)
        return NULL;
    watch->after = after;
    watch->request = request;
    watch->next = hub->watches;
    hub->watches = watch;
    hub->watch_count++;
    return watch;
}

static void refuse_watch(struct hub_request *request)
{
    hub_refuse(request, COAP_UNAVAILABLE, "actions", "are watched by %d already, and that is the limit",
               HUB_WATCHES_MAX);
}

struct wanted {
    uint64_t after, wait_s;
    bool has_after, observes;
};

static bool read_query(struct hub_request *request, struct wanted *wanted)
{
    char room[32];
    uint32_t observe;
    const char *text = hub_query(request, "after", room, sizeof room);
    wanted->has_after = text != NULL;
    if (text && !hub_number(text, &wanted->after)) {
        hub_refuse(request, COAP_BAD_REQUEST, "after", "must be a cursor: a whole number");
        return false;
    }
    text = hub_query(request, "wait", room, sizeof room);
    if (text && (!hub_number(text, &wanted->wait_s) || wanted->wait_s > HUB_WAIT_MAX_S)) {
        hub_refuse(request, COAP_BAD_REQUEST, "wait", "must be 0 to %d seconds", HUB_WAIT_MAX_S);
        return false;
    }
    wanted->observes = request->transport == DOOR_COAP &&
                       coap_option_find_uint(request->inner.options, COAP_OBSERVE, &observe) == OK && observe == 0;
    return true;
}

/* The observation outlives the request that began it. */
static bool observe(struct hub *hub, struct hub_request *request, uint64_t newest)
{
    struct hub_request *kept = calloc(1, sizeof *kept);
    struct hub_watch *watch = kept ? watch_new(hub, kept, newest) : NULL;
    if (!watch) {
        free(kept);
        refuse_watch(request);
        return false;
    }
    *kept = (struct hub_request){.session = request->session, .oscore = request->oscore, .channel = request->channel};
    kept->session->uses++;
    watch->observation = true;
    hub->news = true; /* its first answer may not hold all there is */
    request->observed = true;
    request->observe = (uint32_t)newest;
    return true;
}

/* A client sees its own actions only. Without `after` an observation begins with what comes, a plain GET with the
 * oldest that is kept. */
void hub_get_actions(struct hub *hub, struct hub_request *request)
{
    struct wanted wanted = {0};
    if (!read_query(request, &wanted))
        return;
    const char *target = request->session->client->name;
    uint64_t newest, after = wanted.after;
    if (wanted.observes && !wanted.has_after)
        after = durable_cursor(hub, target);
    char *list = list_actions(hub, target, after, HUB_PAGE_MAX, &newest);
    if (!list) {
        hub_refuse_memory(request);
        return;
    }
    if (!wanted.observes && newest == after && wanted.wait_s > 0) {
        free(list);
        struct hub_watch *watch = watch_new(hub, request, after);
        request->parked = watch != NULL;
        if (watch)
            watch->deadline_ms = hub->now_ms + wanted.wait_s * 1000;
        else
            refuse_watch(request);
        return;
    }
    if (wanted.observes && !observe(hub, request, newest))
        free(list);
    else
        hub_answer_text(request, COAP_CONTENT, list, strlen(list));
}

static void answer_poll(struct hub *hub, struct hub_watch **at, char *list)
{
    struct hub_request *request = (*at)->request;
    (*at)->request = NULL;
    unwatch(hub, at);
    if (list)
        hub_answer_text(request, COAP_CONTENT, list, strlen(list));
    else
        hub_refuse_memory(request);
    hub_send_answer(hub, request);
}

/* True: the same watch once more, there may be more to tell. */
static bool tell(struct hub *hub, struct hub_watch **at)
{
    struct hub_watch *watch = *at;
    uint64_t newest;
    char *list = list_actions(hub, watch->request->session->client->name, watch->after,
                              watch->observation ? NOTICE_BYTES : HUB_PAGE_MAX, &newest);
    if (!list || newest == watch->after) {
        free(list);
        return false;
    }
    if (!watch->observation) {
        answer_poll(hub, at, list);
        return true;
    }
    watch->after = newest;
    bool goes_on = hub_send_notification(hub, watch->request, (uint32_t)newest, bytes_from_text(list));
    wipe(list, strlen(list));
    free(list);
    if (!goes_on)
        unwatch(hub, at);
    return true;
}

void hub_tell_watchers(struct hub *hub)
{
    for (struct hub_watch **at = &hub->watches; *at;)
        if (!tell(hub, at))
            at = &(*at)->next;
}

void hub_watches_expire(struct hub *hub)
{
    for (struct hub_watch **at = &hub->watches; *at;) {
        uint64_t newest;
        if ((*at)->observation || (*at)->deadline_ms > hub->now_ms)
            at = &(*at)->next;
        else
            answer_poll(hub, at,
                        list_actions(hub, (*at)->request->session->client->name, (*at)->after, HUB_PAGE_MAX, &newest));
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

void hub_unwatch(struct hub *hub, uint64_t channel, const struct hub_session *session)
{
    for (struct hub_watch **at = &hub->watches; *at;) {
        struct hub_request *request = (*at)->request;
        if (session ? request->session != session : request->channel != channel) {
            at = &(*at)->next;
            continue;
        }
        if (session)
            hub_send_error(hub, request->channel, NOT_FOUND);
        unwatch(hub, at);
    }
}
