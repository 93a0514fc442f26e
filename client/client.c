/* The caller's side: opening and closing, requests copied in, callbacks called, one round of service. */
#include "client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t client_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void client_say(struct client *client, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(client->why, sizeof client->why, format, arguments);
    va_end(arguments);
}

const char *client_why(const struct client *client)
{
    return client->why;
}

/* ---- Opening and closing ---- */

static enum status set_up(struct client *client, const struct client_config *config, char *why, size_t cap)
{
    if (client_url_parse(config->url, &client->url) != OK) {
        snprintf(why, cap, "\"%.120s\" is no address of a hub: coap://HOST[:PORT] or http://HOST[:PORT]",
                 config->url ? config->url : "");
        return MALFORMED;
    }
    if (client->url.http && !config->http) {
        snprintf(why, cap, "this program speaks CoAP only: it needs the hub's coap:// address, not %.120s",
                 client->url.base);
        return UNSUPPORTED;
    }
    client->transport = client->url.http ? config->http : &client_over_udp;
    client->timeout_ms = config->timeout_ms ? config->timeout_ms : CLIENT_TIMEOUT_MS;
    client->udp = -1;
    client->outer = malloc(OUTER_MAX);
    client->plain_text = malloc(OUTER_MAX + 1);
    enum status status = client->outer && client->plain_text ? crypto_init() : NO_ROOM;
    client->handshake.config = config->edhoc;
    if (status == OK && config->input)
        status = oscore_session_init(&client->session, OSCORE_CLIENT, config->input);
    if (status != OK) {
        snprintf(why, cap, "no session can be made from this key: %s", status_word(status));
        return status;
    }
    return client->transport->open(client, why, cap);
}

enum status client_open(const struct client_config *config, struct client **client, char *why, size_t cap)
{
    if ((config->input == NULL) == (config->edhoc == NULL)) {
        snprintf(why, cap, "a session needs a key, one way or the other");
        return MALFORMED;
    }
    struct client *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(why, cap, "out of memory");
        return NO_ROOM;
    }
    for (size_t i = 0; i < SLOTS; i++)
        made->pending[i].client = made;
    made->counts[PENDING_FREE] = SLOTS;
    enum status status = set_up(made, config, why, cap);
    if (status == OK)
        *client = made;
    else
        client_close(made);
    return status;
}

static void free_secret(uint8_t *data, size_t len)
{
    if (data)
        wipe(data, len);
    free(data);
}

void client_set_phase(struct client *client, struct client_pending *pending, enum pending_phase phase)
{
    client->counts[pending->phase]--;
    client->counts[phase]++;
    pending->phase = phase;
}

/* Its transfer stays: the next request in this place takes it over, connection and all. */
static void forget(struct client_pending *pending)
{
    struct client *client = pending->client;
    client->transport->cancel(client, pending);
    void *transfer = pending->transfer;
    client_set_phase(client, pending, PENDING_FREE);
    free(pending->path);
    free(pending->query);
    free_secret(pending->payload, pending->payload_len);
    *pending = (struct client_pending){.client = client, .transfer = transfer};
}

void client_close(struct client *client)
{
    if (!client)
        return;
    if (client->transport) {
        for (size_t i = 0; i < SLOTS; i++)
            if (client->pending[i].phase != PENDING_FREE)
                forget(&client->pending[i]);
        client->transport->close(client);
    }
    oscore_session_done(&client->session);
    edhoc_done(&client->handshake.session);
    free_secret(client->plain_text, OUTER_MAX + 1);
    free_secret(client->kept, client->kept_len);
    free(client->outer);
    wipe(client, sizeof *client);
    free(client);
}

/* ---- Requests in, answers out ---- */

static char *copy_text(const char *text)
{
    return strdup(text ? text : "");
}

static enum status check(struct client *client, const struct client_request *request)
{
    struct client_pending shape = {.observe = request->observe, .code = request->code};
    uint8_t room[OPTIONS_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct coap_body message;
    if (!coap_code_is_request(request->code) || !request->path) {
        client_say(client, "a request has a method and a path");
        return MALFORMED;
    }
    if (request->observe && client->url.http) {
        client_say(client, "HTTP knows no observation: ask with a wait instead, or over CoAP");
        return UNSUPPORTED;
    }
    if (request->payload.len > CLIENT_REQUEST_MAX) {
        client_say(client, "the body has %zu bytes; the limit is %u", request->payload.len, CLIENT_REQUEST_MAX);
        return NO_ROOM;
    }
    if (client_pending(client) == CLIENT_PENDING_MAX) {
        client_say(client, "%d requests are under way, and that is the limit", CLIENT_PENDING_MAX);
        return BUSY;
    }
    client_put_message(&writer, &shape, request->path, request->query, &message);
    uint16_t bad;
    if (writer_end(&writer) == OK && coap_options_check(message.options, &bad) == OK)
        return OK;
    client_say(client, "path or query is too long, or has a part of more than 255 bytes");
    return MALFORMED;
}

static enum status fill(struct client_pending *pending, const struct client_request *request)
{
    pending->path = copy_text(request->path);
    pending->query = copy_text(request->query);
    pending->payload = malloc(request->payload.len + 1);
    if (!pending->path || !pending->query || !pending->payload)
        return NO_ROOM;
    pending->payload_len = request->payload.len;
    if (request->payload.len)
        memcpy(pending->payload, request->payload.data, request->payload.len);
    pending->code = request->code;
    pending->observe = request->observe;
    pending->content_format = request->content_format;
    pending->wait_ms = request->wait_ms;
    pending->attempt_ms = ATTEMPT_MS;
    return OK;
}

enum status client_put_in(struct client *client, struct client_pending *pending, const struct client_request *request,
                          client_done *done, void *user)
{
    client_set_phase(client, pending, PENDING_QUEUED);
    if (fill(pending, request) != OK) {
        forget(pending);
        client_say(client, "out of memory");
        return NO_ROOM;
    }
    pending->done = done;
    pending->user = user;
    pending->order = client->begun++;
    pending->deadline_ms = client_now_ms() + client->timeout_ms + request->wait_ms;
    return OK;
}

enum status client_begin(struct client *client, const struct client_request *request, client_done *done, void *user)
{
    TRY(check(client, request));
    struct client_pending *pending = client->pending;
    while (pending->phase != PENDING_FREE)
        pending++;
    return client_put_in(client, pending, request, done, user);
}

size_t client_pending(const struct client *client)
{
    return SLOTS - client->counts[PENDING_FREE] - (client->pending[HANDSHAKE].phase != PENDING_FREE);
}

void client_finish(struct client *client, struct client_pending *pending, enum status status,
                   const struct client_answer *answer)
{
    client_done *done = pending->done;
    void *user = pending->user;
    forget(pending);
    client->told++;
    done(user, status, answer, false);
}

/* ---- Service ---- */

static void serve(struct client *client)
{
    client->now_ms = client_now_ms();
    client->transport->serve(client);
    client_expire(client);
    client_send_due(client);
}

enum status client_run(struct client *client, int wait_ms)
{
    enum status status = OK;
    if (client->running)
        return WRONG_STATE;
    client->running = true;
    client->told = 0;
    serve(client);
    if (client->told == 0 && wait_ms > 0) {
        status = client->transport->wait(client, client_due_ms(client, (uint32_t)wait_ms));
        serve(client);
    }
    if (status != OK)
        client_say(client, "waiting for %s failed", client->url.base);
    client->running = false;
    return status;
}

struct asking {
    struct client *client;
    bool over;
    enum status status;
    uint8_t code;
    uint32_t content_format;
};

static void keep_answer(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct asking *asking = user;
    struct client *client = asking->client;
    (void)more;
    asking->over = true;
    asking->status = status;
    if (status != OK)
        return;
    client->kept = malloc(answer->payload.len + 1);
    if (!client->kept) {
        client_say(client, "out of memory");
        asking->status = NO_ROOM;
        return;
    }
    client->kept_len = answer->payload.len;
    memcpy(client->kept, answer->payload.data, answer->payload.len + 1);
    asking->code = answer->code;
    asking->content_format = answer->content_format;
}

static void drop_kept(struct client *client)
{
    free_secret(client->kept, client->kept_len);
    client->kept = NULL;
    client->kept_len = 0;
}

enum status client_ask(struct client *client, const struct client_request *request, struct client_answer *answer)
{
    struct asking asking = {.client = client};
    if (client->running)
        return WRONG_STATE;
    if (request->observe) {
        client_say(client, "an observation has many answers: begin it instead");
        return UNSUPPORTED;
    }
    drop_kept(client);
    TRY(client_begin(client, request, keep_answer, &asking));
    while (!asking.over) {
        enum status status = client_run(client, 1000);
        for (size_t i = 0; status != OK && !asking.over && i < SLOTS; i++)
            if (client->pending[i].phase != PENDING_FREE && client->pending[i].user == &asking)
                forget(&client->pending[i]);
        if (!asking.over)
            TRY(status);
    }
    TRY(asking.status);
    *answer = (struct client_answer){asking.code, asking.content_format, bytes_from(client->kept, client->kept_len)};
    return OK;
}
