/* GET /history: a walk over the host's archive, newest first, several questions to the host long. Every row is checked
 * to be the one that must come next, so what is withheld, reordered or invented is told instead of passed on. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_MAX 20000u /* rows read for one answer; the reader goes on from the cursor */
#define ASK_MAX 256u    /* rows of one question */
#define LIMIT_DEFAULT 100
#define TAIL_MAX 48u /* of the answer */

struct hub_history {
    struct hub_history *next;
    struct hub_request *request; /* owned */
    uint64_t id;                 /* of the question the host has */
    struct store_walk walk;
    char source[ENGINE_NAME_MAX + 1], type[ENGINE_NAME_MAX + 1]; /* "" for any */
    uint64_t from_ms, to_ms, limit;
    bool resumed;
    size_t scanned, count;
    uint64_t cursor;
    struct writer text;
};

static void history_free(struct hub *hub, struct hub_history *history)
{
    if (history->request)
        hub_request_free(hub, history->request);
    if (history->text.data)
        wipe(history->text.data, history->text.len);
    free(history->text.data);
    free(history);
}

static void unlink_history(struct hub *hub, const struct hub_history *history)
{
    for (struct hub_history **at = &hub->histories; *at; at = &(*at)->next) {
        if (*at == history) {
            *at = history->next;
            return;
        }
    }
}

/* ---- The question ---- */

static bool read_name(struct hub_request *request, const char *field, char name[ENGINE_NAME_MAX + 1])
{
    char room[ENGINE_NAME_MAX + 2];
    const char *text = hub_query(request, field, room, sizeof room);
    name[0] = 0;
    if (!text)
        return true;
    if (!engine_name_is_valid(text)) {
        hub_refuse(request, COAP_BAD_REQUEST, field, "must be 1 to %d letters, digits, and . _ - /", ENGINE_NAME_MAX);
        return false;
    }
    memcpy(name, text, strlen(text) + 1);
    return true;
}

static bool read_time(struct hub_request *request, const char *field, uint64_t *time_ms)
{
    char room[40];
    int64_t value;
    const char *text = hub_query(request, field, room, sizeof room);
    if (!text)
        return true;
    if (!engine_parse_time(text, &value) || value < 0) {
        hub_refuse(request, COAP_BAD_REQUEST, field, "must be a time as 2015-02-02T14:19:00Z");
        return false;
    }
    *time_ms = (uint64_t)value;
    return true;
}

static bool read_number(struct hub_request *request, const char *field, uint64_t min, uint64_t max, uint64_t *number)
{
    char room[32];
    const char *text = hub_query(request, field, room, sizeof room);
    if (!text)
        return true;
    if (!hub_number(text, number) || *number < min || *number > max) {
        hub_refuse(request, COAP_BAD_REQUEST, field, "must be a whole number from %llu to %llu",
                   (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    return true;
}

static bool read_question(struct hub_request *request, struct hub_history *history)
{
    history->to_ms = UINT64_MAX;
    history->limit = LIMIT_DEFAULT;
    return read_name(request, "source", history->source) && read_name(request, "type", history->type) &&
           read_time(request, "from", &history->from_ms) && read_time(request, "to", &history->to_ms) &&
           read_number(request, "limit", 1, HUB_HISTORY_MAX, &history->limit) &&
           read_number(request, "cursor", 0, INT64_MAX, &history->cursor);
}

static enum status begin(struct hub *hub, struct hub_history *history)
{
    enum door_query_by by = history->source[0] ? DOOR_BY_SOURCE : history->type[0] ? DOOR_BY_TYPE : DOOR_BY_SEQUENCE;
    const char *name = history->source[0] ? history->source : history->type;
    uint8_t *text = malloc(HUB_ANSWER_MAX);
    if (!text)
        return NO_ROOM;
    history->text = writer_over(text, HUB_ANSWER_MAX);
    put_text(&history->text, "{\"rows\":[");
    history->resumed = history->cursor > 0;
    return store_walk_begin(hub->store, &history->walk, by, bytes_from_text(name), history->cursor);
}

static void ask(struct hub *hub, struct hub_history *history)
{
    struct door_query query = store_walk_query(&history->walk, ASK_MAX);
    history->id = hub->next_id++;
    hub_send(hub, DOOR_ARCHIVE_QUERY, history->id, bytes_from(&query, sizeof query));
}

static void answer(struct hub_history *history, struct hub_request *request)
{
    char tail[TAIL_MAX];
    snprintf(tail, sizeof tail, "],\"cursor\":%llu}", (unsigned long long)history->cursor);
    put_text(&history->text, tail);
    struct bytes text = writer_bytes(&history->text);
    char *copy = text.len ? malloc(text.len) : NULL;
    if (!copy) {
        hub_refuse_memory(request);
        return;
    }
    memcpy(copy, text.data, text.len);
    hub_answer_text(request, COAP_CONTENT, copy, text.len);
}

static size_t history_count(const struct hub *hub)
{
    size_t count = 0;
    for (const struct hub_history *history = hub->histories; history; history = history->next)
        count++;
    return count;
}

void hub_get_history(struct hub *hub, struct hub_request *request)
{
    struct hub_history *history = history_count(hub) < HUB_HISTORIES_MAX ? calloc(1, sizeof *history) : NULL;
    if (!history) {
        hub_refuse(request, COAP_UNAVAILABLE, "history", "is being read by %d already; try again", HUB_HISTORIES_MAX);
        return;
    }
    if (!read_question(request, history)) {
        history_free(hub, history);
        return;
    }
    enum status status = begin(hub, history);
    history->cursor = history->walk.next;
    if (status == OK && history->walk.next > 0) {
        history->request = request;
        history->next = hub->histories;
        hub->histories = history;
        request->parked = true;
        ask(hub, history);
        return;
    }
    if (status == OK)
        answer(history, request);
    else if (status == NOT_FOUND)
        hub_refuse(request, COAP_BAD_REQUEST, "cursor", "is none that an answer gave");
    else
        hub_refuse_memory(request);
    history_free(hub, history);
}

/* ---- Rows ---- */

/* What hub_archive() wrote. */
struct archived {
    uint64_t received_ms;
    char kind;
    struct bytes source, type, text;
};

static bool read_archived(struct bytes message, struct archived *archived)
{
    struct reader reader = reader_over(message);
    archived->received_ms = take_u64be(&reader);
    archived->kind = (char)take_u8(&reader);
    archived->source = take_bytes(&reader, take_u8(&reader));
    archived->type = take_bytes(&reader, take_u8(&reader));
    archived->text = take_rest(&reader);
    return reader.status == OK;
}

static bool is_wanted(const struct hub_history *history, const struct archived *row)
{
    return row->received_ms <= history->to_ms &&
           (!history->source[0] || bytes_equal(row->source, bytes_from_text(history->source))) &&
           (!history->type[0] || bytes_equal(row->type, bytes_from_text(history->type)));
}

/* False: it does not fit any more. The first always does, since a door message holds more than a row. */
static bool put_row(struct hub_history *history, uint64_t sequence, const struct archived *row)
{
    char head[160], received[ENGINE_TIME_LEN + 1];
    engine_format_time((int64_t)row->received_ms, received);
    int len =
        snprintf(head, sizeof head,
                 "%s{\"sequence\":%llu,\"kind\":\"%s\",\"received\":\"%s\",\"message\":", history->count ? "," : "",
                 (unsigned long long)sequence, row->kind == 'a' ? "action" : "event", received);
    if (history->count > 0 && history->text.len + (size_t)len + row->text.len + 1 + TAIL_MAX > HUB_PAGE_MAX)
        return false;
    put_text(&history->text, head);
    put_bytes(&history->text, row->text);
    put_u8(&history->text, '}');
    history->count++;
    return true;
}

enum progress { MORE, COMPLETE, BROKEN };

static enum progress take_rows(struct hub *hub, struct hub_history *history, struct bytes payload)
{
    struct reader reader = reader_over(payload);
    struct writer room = writer_over(hub->plain, DOOR_MESSAGE_MAX);
    for (;;) {
        struct store_row row;
        enum status status = store_walk_row(hub->store, &history->walk, &reader, &room, &row);
        if (status == NOT_FOUND)
            return history->walk.next ? MORE : COMPLETE;
        struct archived archived;
        if (status != OK || !read_archived(row.message, &archived))
            return BROKEN;
        history->scanned++;
        if (archived.received_ms < history->from_ms) {
            history->cursor = 0; /* all that is older was taken in earlier */
            return COMPLETE;
        }
        if (is_wanted(history, &archived) && !put_row(history, row.sequence, &archived)) {
            history->cursor = row.sequence;
            return COMPLETE;
        }
        history->cursor = history->walk.next;
        if (history->count == history->limit || history->scanned == SCAN_MAX)
            return COMPLETE;
    }
}

static void refuse_broken(const struct hub_history *history, struct hub_request *request, enum status status)
{
    if (status != OK)
        hub_refuse(request, COAP_BAD_GATEWAY, "archive", "the host could not read it: %s", status_word(status));
    else if (history->walk.problem == STORE_WALK_FINE)
        hub_refuse(request, COAP_INTERNAL_ERROR, "archive", "row %llu cannot be read",
                   (unsigned long long)history->walk.next);
    else
        hub_refuse(request, COAP_BAD_GATEWAY, "archive", "%s, at row %llu%s", store_walk_sentence(&history->walk),
                   (unsigned long long)history->walk.next,
                   history->resumed && history->scanned == 0 ? "; or the cursor is of another question" : "");
}

bool hub_history_rows(struct hub *hub, uint64_t id, enum status status, struct bytes payload)
{
    struct hub_history *history = hub->histories;
    while (history && history->id != id)
        history = history->next;
    if (!history)
        return false;
    enum progress progress = status == OK ? take_rows(hub, history, payload) : BROKEN;
    if (progress == MORE) {
        ask(hub, history);
        return true;
    }
    struct hub_request *request = history->request;
    if (progress == COMPLETE)
        answer(history, request);
    else
        refuse_broken(history, request, status);
    history->request = NULL;
    unlink_history(hub, history);
    history_free(hub, history);
    hub_send_answer(hub, request);
    return true;
}

void hub_history_gone(struct hub *hub, uint64_t channel, const struct hub_session *session)
{
    for (struct hub_history **at = &hub->histories; *at;) {
        struct hub_history *history = *at;
        if (session ? history->request->session != session : history->request->channel != channel) {
            at = &history->next;
            continue;
        }
        if (session)
            hub_send_error(hub, history->request->channel, NOT_FOUND);
        *at = history->next;
        history_free(hub, history);
    }
}
