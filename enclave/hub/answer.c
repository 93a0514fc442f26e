/* Answers: how a handler ends its work, and how what it said leaves. */
#include "hub_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void drop_payload(struct hub_request *request)
{
    free((void *)(uintptr_t)request->payload.data);
    request->payload = (struct bytes){0};
}

void hub_answer_text(struct hub_request *request, uint8_t code, char *text, size_t len)
{
    drop_payload(request);
    request->code = code;
    request->payload = bytes_from(text, len);
    if (len > HUB_ANSWER_MAX)
        hub_refuse(request, COAP_INTERNAL_ERROR, "answer", "is longer than the %u bytes that one answer holds",
                   HUB_ANSWER_MAX);
}

void hub_answer_bytes(struct hub_request *request, uint8_t code, uint16_t format, struct bytes bytes)
{
    char *copy = malloc(bytes.len);
    if (!copy) {
        hub_refuse_memory(request);
        return;
    }
    memcpy(copy, bytes.data, bytes.len);
    hub_answer_text(request, code, copy, bytes.len);
    request->format = format;
}

void hub_refuse_memory(struct hub_request *request)
{
    hub_refuse(request, COAP_UNAVAILABLE, "memory", "is used up; try again later");
}

void hub_answer_json(struct hub_request *request, uint8_t code, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (text)
        hub_answer_text(request, code, text, strlen(text));
    else
        hub_refuse_memory(request);
}

/* The words may quote what the peer sent, in any shape: jansson makes a JSON string of it, or they are left out. */
void hub_refuse(struct hub_request *request, uint8_t code, const char *field, const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    json_t *error = json_pack("{s:{s:s,s:s}}", "error", "field", field, "reason", reason);
    char *text = error ? json_dumps(error, JSON_COMPACT) : NULL;
    json_decref(error);
    drop_payload(request);
    request->code = code;
    request->format = 0;
    request->observed = false;
    if (text)
        request->payload = bytes_from(text, strlen(text));
}

void hub_refuse_as(struct hub_request *request, enum status status, const struct engine_refusal *refusal)
{
    uint8_t code = status == NO_ROOM ? COAP_TOO_LARGE : status == MALFORMED ? COAP_BAD_REQUEST : COAP_UNPROCESSABLE;
    hub_refuse(request, code, refusal->field, "%s", refusal->reason);
}

void hub_request_free(struct hub *hub, struct hub_request *request)
{
    (void)hub;
    if (request->payload.data)
        wipe((void *)(uintptr_t)request->payload.data, request->payload.len);
    drop_payload(request);
    hub_session_release(request->session);
    free(request);
}

void hub_send_plain(struct hub *hub, uint64_t channel, uint8_t code, uint16_t format, struct bytes payload)
{
    uint8_t room[8];
    struct writer options = writer_over(room, sizeof room);
    struct coap_option_writer option = coap_options_to(&options);
    struct writer outer = writer_over(hub->outer, HUB_OUTER_MAX);
    if (payload.len)
        coap_put_option_uint(&option, COAP_CONTENT_FORMAT, format);
    struct coap_body body = {code, writer_bytes(&options), payload};
    coap_body_encode(&outer, &body);
    if (writer_end(&outer) == OK)
        hub_send(hub, DOOR_REPLY, channel, writer_bytes(&outer));
}

void hub_send_error(struct hub *hub, uint64_t channel, enum status status)
{
    struct writer outer = writer_over(hub->outer, HUB_OUTER_MAX);
    oscore_error(&outer, status);
    hub_send(hub, DOOR_REPLY, channel, writer_bytes(&outer));
}

static const char too_long[] =
    "{\"error\":{\"field\":\"answer\",\"reason\":\"is longer than this session's algorithm protects: ask for less\"}}";

/* RFC 8613 §8.3. An answer under a context that is gone would be none the peer can read: it is told to begin anew. */
static bool send_protected(struct hub *hub, struct hub_request *request, enum door_operation operation,
                           const uint32_t *observe, struct bytes payload)
{
    uint8_t room[16];
    struct writer options = writer_over(room, sizeof room);
    struct coap_option_writer option = coap_options_to(&options);
    if (observe)
        coap_put_option_uint(&option, COAP_OBSERVE, *observe & 0xffffff);
    if (payload.len)
        coap_put_option_uint(&option, COAP_CONTENT_FORMAT, request->format ? request->format : COAP_FORMAT_JSON);
    struct coap_body inner = {request->code, writer_bytes(&options), payload};
    struct writer outer = writer_over(hub->outer, HUB_OUTER_MAX);
    enum status status = oscore_protect_response(&request->session->oscore, &request->oscore, &inner, false, &outer);
    if (status == NO_ROOM) {
        inner.code = COAP_INTERNAL_ERROR;
        inner.payload = bytes_from_text(too_long);
        outer = writer_over(hub->outer, HUB_OUTER_MAX);
        status = oscore_protect_response(&request->session->oscore, &request->oscore, &inner, false, &outer);
    }
    if (status != OK) {
        outer = writer_over(hub->outer, HUB_OUTER_MAX);
        oscore_error(&outer, NOT_FOUND);
        operation = DOOR_REPLY;
    }
    hub_send(hub, operation, request->channel, writer_bytes(&outer));
    return status == OK;
}

void hub_send_answer(struct hub *hub, struct hub_request *request)
{
    (void)send_protected(hub, request, request->observed ? DOOR_NOTIFY : DOOR_REPLY,
                         request->observed ? &request->observe : NULL, request->payload);
    hub_request_free(hub, request);
}

bool hub_send_notification(struct hub *hub, struct hub_request *request, uint32_t observe, struct bytes payload)
{
    request->code = COAP_CONTENT;
    return send_protected(hub, request, DOOR_NOTIFY, &observe, payload);
}

/* ---- What a request says ---- */

const char *hub_query(const struct hub_request *request, const char *name, char *room, size_t cap)
{
    struct coap_option_reader reader = coap_options_over(request->inner.options);
    struct coap_option option;
    size_t len = strlen(name);
    while (coap_option_next(&reader, &option)) {
        if (option.number != COAP_URI_QUERY || option.value.len <= len || option.value.data[len] != '=' ||
            memcmp(option.value.data, name, len) != 0)
            continue;
        size_t value_len = option.value.len - len - 1;
        if (value_len >= cap)
            value_len = cap - 1;
        if (value_len)
            memcpy(room, option.value.data + len + 1, value_len);
        room[value_len] = 0;
        return room;
    }
    return NULL;
}

bool hub_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > (INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *number = value;
    return true;
}

json_t *hub_json_body(struct hub_request *request, const char *const *known)
{
    struct bytes text = request->inner.payload;
    if (engine_check_depth(text) != OK) {
        hub_refuse(request, COAP_UNPROCESSABLE, "body", "is nested deeper than %d levels", ENGINE_DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    json_t *object = text.len ? json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (!json_is_object(object)) {
        json_decref(object);
        hub_refuse(request, COAP_BAD_REQUEST, "body", "must be a JSON object");
        return NULL;
    }
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], name) != 0)
            i++;
        if (!known[i]) {
            hub_refuse(request, COAP_UNPROCESSABLE, name, "is not a field that is known here");
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
