/* Between door, front and archive. Every message of the enclave was copied once by window_take; it is checked here
 * and acts only when it is sound. */
#include "pump_internal.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define TURN 256 /* messages taken from the enclave before sockets get their turn */

struct letter {
    struct letter *next;
    struct door_header header;
    uint8_t payload[];
};

struct pump {
    struct pump_front front;
    struct keeper *keeper;
    struct window window;
    uint64_t door;     /* counts doors, so that an answer to a former enclave is not given to the next */
    uint64_t timer_ms; /* Unix time the enclave wants to be woken at; 0: none */
    struct letter *first, *last;
    uint32_t backlog;
    size_t backlog_bytes;
    bool held; /* `header` and `buffer` hold a message the archive had no room for */
    struct door_header header;
    struct log_bound log;
    uint8_t *buffer;
};

enum status pump_new(const struct pump_archive *archive, struct pump **result, const char **why)
{
    struct pump *pump = calloc(1, sizeof *pump);
    *why = "out of memory";
    if (!pump)
        return NO_ROOM;
    pump->window = (struct window){.enclave_waits = -1, .host_waits = -1, .sockets = -1};
    pump->buffer = malloc(DOOR_MESSAGE_MAX);
    enum status status = pump->buffer ? keeper_new(archive, &pump->keeper, why) : NO_ROOM;
    if (status != OK) {
        pump_free(pump);
        return status;
    }
    *result = pump;
    return OK;
}

static void drop_backlog(struct pump *pump)
{
    while (pump->first) {
        struct letter *next = pump->first->next;
        free(pump->first);
        pump->first = next;
    }
    pump->backlog = 0;
    pump->backlog_bytes = 0;
}

void pump_free(struct pump *pump)
{
    if (!pump)
        return;
    drop_backlog(pump);
    window_close(&pump->window);
    keeper_free(pump->keeper);
    free(pump->buffer);
    free(pump);
}

void pump_set_front(struct pump *pump, const struct pump_front *front)
{
    pump->front = *front;
}

/* ---- To the enclave ---- */

static enum status post(struct pump *pump, const struct door_header *header, struct bytes first, struct bytes second)
{
    if (!pump->window.shared)
        return WRONG_STATE;
    if (!pump->first) {
        enum status status = window_put(&pump->window, header, first, second);
        if (status != BUSY)
            return status;
    }
    struct letter *letter = malloc(sizeof *letter + first.len + second.len);
    if (!letter)
        return NO_ROOM;
    letter->next = NULL;
    letter->header = *header;
    letter->header.len = (uint32_t)(first.len + second.len);
    if (first.len)
        memcpy(letter->payload, first.data, first.len);
    if (second.len)
        memcpy(letter->payload + first.len, second.data, second.len);
    *(pump->first ? &pump->last->next : &pump->first) = letter;
    pump->last = letter;
    pump->backlog++;
    pump->backlog_bytes += letter->header.len;
    return OK;
}

static enum status flush(struct pump *pump)
{
    while (pump->first) {
        struct letter *letter = pump->first;
        enum status status = window_put(&pump->window, &letter->header, bytes_from(letter->payload, letter->header.len),
                                        (struct bytes){0});
        if (status != OK)
            return status == BUSY ? OK : status;
        pump->first = letter->next;
        pump->backlog--;
        pump->backlog_bytes -= letter->header.len;
        free(letter);
    }
    return OK;
}

enum status pump_ask(void *context, uint64_t channel, enum door_transport transport, struct bytes body)
{
    struct pump *pump = context;
    if (pump->backlog >= PUMP_BACKLOG || body.len > PUMP_BACKLOG_BYTES - pump->backlog_bytes)
        return BUSY;
    struct door_header header = {.operation = DOOR_REQUEST, .id = channel};
    struct door_request request = {.time_ms = unix_ms(), .transport = (uint32_t)transport};
    return post(pump, &header, bytes_from(&request, sizeof request), body);
}

void pump_gone(void *context, uint64_t channel)
{
    struct pump *pump = context;
    struct door_header header = {.operation = DOOR_GONE, .id = channel};
    if (post(pump, &header, (struct bytes){0}, (struct bytes){0}) == NO_ROOM)
        pump_log("error", "gone", "reason=memory");
}

enum status pump_hand(void *context, uint64_t channel, int fd)
{
    struct pump *pump = context;
    return pump->window.shared ? window_hand(&pump->window, channel, fd) : WRONG_STATE;
}

/* ---- From the enclave ---- */

static void audit(struct pump *pump, struct bytes text)
{
    char line[PUMP_AUDIT_TEXT + 1];
    size_t len = text.len < PUMP_AUDIT_TEXT ? text.len : PUMP_AUDIT_TEXT;
    if (!log_allows(&pump->log))
        return;
    for (size_t i = 0; i < len; i++)
        line[i] = text.data[i] < 0x80 && isprint(text.data[i]) && text.data[i] != '"' ? (char)text.data[i] : '?';
    line[len] = 0;
    pump_log("info", "audit", "text=\"%s\"", line);
}

enum status pump_take(struct pump *pump, uint64_t now_ms, const struct door_header *header, struct bytes payload)
{
    struct door_tick tick;
    switch ((enum door_operation)header->operation) {
    case DOOR_REPLY:
    case DOOR_NOTIFY: {
        enum status status =
            pump->front.reply(pump->front.context, now_ms, header->id, payload, header->operation == DOOR_NOTIFY);
        /* The peer may have left, or asked anew, while the answer was on its way. */
        return status == NOT_FOUND ? OK : status;
    }
    case DOOR_TIMER:
        if (payload.len != sizeof tick)
            return MALFORMED;
        memcpy(&tick, payload.data, sizeof tick);
        pump->timer_ms = tick.time_ms;
        return OK;
    case DOOR_AUDIT:
        audit(pump, payload);
        return OK;
    case DOOR_LEFT:
        if (!pump->front.left)
            return UNSUPPORTED;
        pump->front.left(pump->front.context, header->id);
        return OK;
    case DOOR_ARCHIVE_APPEND:
    case DOOR_ARCHIVE_QUERY:
    case DOOR_LOG_APPEND:
    case DOOR_LOG_READ:
    case DOOR_SNAPSHOT_PUT:
    case DOOR_SNAPSHOT_GET:
    case DOOR_SYNC:
        return keeper_submit(pump->keeper, pump->door, header, payload);
    case DOOR_REQUEST:
    case DOOR_COMPLETE:
    case DOOR_TICK:
    case DOOR_GONE:
        break;
    }
    return UNSUPPORTED;
}

static enum status take_some(struct pump *pump, uint64_t now_ms)
{
    for (int i = 0; i < TURN; i++) {
        enum status status = OK;
        if (!pump->held)
            status = window_take(&pump->window, &pump->header, pump->buffer);
        if (status != OK)
            return status == BUSY ? OK : status;
        status = pump_take(pump, now_ms, &pump->header, bytes_from(pump->buffer, pump->header.len));
        pump->held = status == BUSY;
        if (pump->held)
            return OK;
        if (status != OK && log_allows(&pump->log))
            pump_log("warning", "message_refused", "operation=%u len=%u reason=\"%s\"", pump->header.operation,
                     pump->header.len, status_word(status));
    }
    return OK;
}

static enum status give_answers(struct pump *pump)
{
    enum status status = OK;
    keeper_awake(pump->keeper);
    /* Only while the enclave keeps up: what stays with the keeper counts there, and bounds what it takes. */
    for (struct keeper_answer *answer; !pump->first && (answer = keeper_answer(pump->keeper));) {
        if (answer->door == pump->door && pump->window.shared && status == OK)
            status = post(pump, &answer->header, bytes_from(answer->payload, answer->header.len), (struct bytes){0});
        keeper_answered(pump->keeper);
        free(answer);
    }
    return status;
}

enum status pump_run(struct pump *pump, uint64_t now_ms)
{
    if (!pump->window.shared)
        return give_answers(pump);
    window_awake(&pump->window);
    TRY(take_some(pump, now_ms));
    TRY(flush(pump));
    TRY(give_answers(pump));
    uint64_t now = unix_ms();
    if (pump->timer_ms && now >= pump->timer_ms && !pump->first) {
        struct door_header header = {.operation = DOOR_TICK};
        struct door_tick tick = {now};
        pump->timer_ms = 0;
        return post(pump, &header, bytes_from(&tick, sizeof tick), (struct bytes){0});
    }
    return OK;
}

/* ---- Doors come and go ---- */

enum status pump_attach(struct pump *pump, uint64_t now_ms, const int door[LAUNCHED_DESCRIPTORS])
{
    pump_detach(pump, now_ms);
    (void)fcntl(door[1], F_SETFL, O_NONBLOCK);
    (void)fcntl(door[2], F_SETFL, O_NONBLOCK);
    TRY(window_open(&pump->window, door));
    pump->door++;
    pump->front.enclave(pump->front.context, now_ms, true);
    return OK;
}

void pump_detach(struct pump *pump, uint64_t now_ms)
{
    if (pump->window.shared) {
        enum status last_words = take_some(pump, now_ms); /* of an enclave that ended, why it did */
        (void)last_words;
    }
    pump->front.enclave(pump->front.context, now_ms, false);
    window_close(&pump->window);
    drop_backlog(pump);
    pump->held = false;
    pump->timer_ms = 0;
    keeper_abandon(pump->keeper);
}

bool pump_attached(const struct pump *pump)
{
    return pump->window.shared != NULL;
}

bool pump_backlogged(const struct pump *pump)
{
    return pump->first != NULL;
}

int pump_door_fd(const struct pump *pump)
{
    return pump->window.host_waits;
}

int pump_archive_fd(const struct pump *pump)
{
    return keeper_fd(pump->keeper);
}

bool pump_linger(const struct pump *pump, unsigned most_us)
{
    return pump->window.shared && !pump->held && window_linger(&pump->window, (uint64_t)most_us * 1000);
}

int pump_timeout(struct pump *pump)
{
    if (!pump->window.shared)
        return -1;
    /* The ring's reader does not say when it has read, so a backlog is tried again every millisecond. */
    if (pump->first)
        return 1;
    /* With a message held, the archive's next answer or finished job wakes us; without its thread all is given now. */
    if (pump->held && keeper_fd(pump->keeper) < 0)
        return 0;
    if (!pump->held && !window_sleep(&pump->window))
        return 0;
    if (!pump->timer_ms)
        return -1;
    uint64_t now = unix_ms();
    uint64_t wait = pump->timer_ms > now ? pump->timer_ms - now : 0;
    return wait > 60000 ? 60000 : (int)wait;
}
