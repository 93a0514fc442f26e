/* One try of a request after the other, until an answer verifies or its time is up. What is not protected is a hint and
 * costs time at most; a session is begun anew once for each context that was lost, not once for each request. */
#include "client_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- Sending ---- */

void client_put_message(struct writer *options, const struct client_pending *pending, const char *path,
                        const char *query, struct coap_body *message)
{
    struct coap_option_writer writer = coap_options_to(options);
    if (pending->observe)
        coap_put_option_uint(&writer, COAP_OBSERVE, 0);
    coap_put_segments(&writer, COAP_URI_PATH, path, '/');
    if (pending->payload_len)
        coap_put_option_uint(&writer, COAP_CONTENT_FORMAT, pending->content_format);
    coap_put_segments(&writer, COAP_URI_QUERY, query ? query : "", '&');
    if (pending->echo.len)
        coap_put_option(&writer, COAP_ECHO, pending->echo);
    *message =
        (struct coap_body){pending->code, writer_bytes(options), bytes_from(pending->payload, pending->payload_len)};
}

static uint64_t sequence_of(const struct oscore_request *request)
{
    uint64_t sequence = 0;
    for (size_t i = 0; i < request->partial_iv_len; i++)
        sequence = sequence << 8 | request->partial_iv[i];
    return sequence;
}

static enum status protect(struct client *client, struct client_pending *pending, const struct coap_body *message,
                           struct coap_body *outer)
{
    uint8_t random[OSCORE_PART_LEN];
    struct writer writer = writer_over(client->outer, OUTER_MAX);
    TRY(crypto_random(random, sizeof random));
    TRY(oscore_protect_request(&client->session, message, random, &pending->oscore, &writer));
    TRY(writer_end(&writer));
    pending->sequence = sequence_of(&pending->oscore);
    return coap_body_decode(writer_bytes(&writer), outer);
}

/* Every context before is gone, and with it what was asked or is observed under it. */
static void renew(struct client *client, enum session_phase phase)
{
    client->generation++;
    client->proved = client->newest = 0;
    client->phase = phase;
    for (size_t i = 0; i < SLOTS; i++) {
        struct client_pending *pending = &client->pending[i];
        if (pending->phase != PENDING_FLYING && pending->phase != PENDING_OBSERVING)
            continue;
        client->transport->cancel(client, pending);
        client_set_phase(client, pending, pending->phase == PENDING_FLYING ? PENDING_QUEUED : PENDING_ENDED);
    }
}

void client_restart(struct client *client)
{
    oscore_session_restart(&client->session);
    renew(client, SESSION_NONE);
}

/* The handshake itself. */
static bool is_plain(const struct client *client, const struct client_pending *pending)
{
    return pending == &client->pending[HANDSHAKE];
}

static void refuse_to_send(struct client *client, struct client_pending *pending, enum status status)
{
    if (status == NO_ROOM && !is_plain(client, pending))
        client_say(client, "the body has %zu bytes, and this session takes %zu in one request, its options included",
                   pending->payload_len, crypto_aead_text_max(client->session.input.aead));
    else
        client_say(client, "the request cannot be protected: %s", status_word(status));
    client_finish(client, pending, status == NO_ROOM ? NO_ROOM : INTERNAL, NULL);
}

/* False: not now. */
static bool send_one(struct client *client, struct client_pending *pending)
{
    uint8_t room[OPTIONS_MAX];
    struct writer options = writer_over(room, sizeof room);
    struct coap_body message, outer;
    client_put_message(&options, pending, pending->path, pending->query, &message);
    enum status status = writer_end(&options);
    outer = message;
    if (status == OK && !is_plain(client, pending))
        status = protect(client, pending, &message, &outer);
    /* Sequence numbers or an 8-byte tag are worn out. */
    if (status == WRONG_STATE && client->phase != SESSION_NONE) {
        client_restart(client);
        return true;
    }
    pending->attempt_until_ms = client->now_ms + pending->attempt_ms + pending->wait_ms;
    if (status == OK) {
        status = client->transport->send(client, pending, &outer);
        if (status == BUSY && client->counts[PENDING_FLYING] > 0)
            return false;
        status = status == BUSY ? NO_ROOM : status;
    }
    if (status != OK) {
        refuse_to_send(client, pending, status);
        return true;
    }
    pending->generation = client->generation;
    pending->epoch = client->epoch;
    pending->sent_ms = client->sent_ms = client->now_ms;
    if (!is_plain(client, pending))
        client->newest = pending->sequence;
    client_set_phase(client, pending, PENDING_FLYING);
    return true;
}

static bool may_send(const struct client *client)
{
    if (client->counts[PENDING_QUEUED] == 0 || client->now_ms < client->quiet_until_ms)
        return false;
    if (client->handshake.under_way)
        return client->pending[HANDSHAKE].phase == PENDING_QUEUED;
    if (client->phase == SESSION_OPEN || client->counts[PENDING_FLYING] == 0)
        return true;
    return client->phase == SESSION_DOUBTED && client->now_ms - client->sent_ms >= PROBE_MS;
}

/* Requests may overtake each other. One that comes when the hub's replay window has moved past it is lost (RFC 8613
 * §7.4), so none is sent that far ahead of one that may still be on its way: until it is answered, or has had the time
 * to arrive. False, or when that is. */
static bool window_full(const struct client *client, uint64_t *until_ms)
{
    *until_ms = 0;
    for (size_t i = 0; i < CLIENT_PENDING_MAX; i++) {
        const struct client_pending *pending = &client->pending[i];
        if (pending->phase == PENDING_FLYING && client->newest - pending->sequence >= OSCORE_WINDOW - 1 &&
            pending->sent_ms + PROBE_MS > *until_ms)
            *until_ms = pending->sent_ms + PROBE_MS;
    }
    return *until_ms > client->now_ms;
}

static struct client_pending *next_queued(struct client *client)
{
    struct client_pending *first = NULL;
    for (size_t i = 0; i < CLIENT_PENDING_MAX; i++) {
        struct client_pending *pending = &client->pending[i];
        if (pending->phase == PENDING_QUEUED && (!first || pending->order < first->order))
            first = pending;
    }
    return first;
}

void client_send_due(struct client *client)
{
    uint64_t until_ms;
    while (may_send(client) && !window_full(client, &until_ms)) {
        if (client_needs_handshake(client)) {
            client_shake_hands(client);
            continue;
        }
        if (!send_one(client, client->handshake.under_way ? &client->pending[HANDSHAKE] : next_queued(client)))
            return;
    }
}

/* ---- Trouble ---- */

/* Once for all that was on its way when it came. */
static void back_off(struct client *client)
{
    uint8_t jitter = 0;
    client->epoch++;
    client->backoff_ms = client->backoff_ms ? client->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (client->backoff_ms > BACKOFF_MAX_MS)
        client->backoff_ms = BACKOFF_MAX_MS;
    (void)!crypto_random(&jitter, sizeof jitter); /* devices that fell silent together need not ask together */
    client->quiet_until_ms = client->now_ms + client->backoff_ms * (768u + jitter) / 1024u;
}

void client_take_trouble(struct client *client, struct client_pending *pending, enum trouble trouble)
{
    client->transport->cancel(client, pending);
    if (pending->phase == PENDING_OBSERVING) {
        client_set_phase(client, pending, PENDING_ENDED);
        return;
    }
    pending->trouble = client->trouble = trouble;
    if (pending->epoch == client->epoch)
        back_off(client);
    if (client->phase == SESSION_OPEN)
        client->phase = SESSION_DOUBTED;
    client_set_phase(client, pending, PENDING_QUEUED);
}

void client_take_refusal(struct client *client)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct client_pending *pending = &client->pending[i];
        if (pending->phase == PENDING_FLYING || pending->phase == PENDING_OBSERVING)
            client_take_trouble(client, pending, TROUBLE_REFUSED);
    }
}

static void give_up(struct client *client, struct client_pending *pending)
{
    enum trouble trouble = pending->trouble ? pending->trouble : client->trouble;
    unsigned waited_s = (client->timeout_ms + pending->wait_ms + 999) / 1000;
    const char *who = client->url.base;
    switch (trouble) {
    case TROUBLE_SILENCE:
        client_say(client, "%s did not answer within %u s", who, waited_s);
        break;
    case TROUBLE_REFUSED:
        client_say(client, "nobody listens at %s, or the connection breaks; tried for %u s", who, waited_s);
        break;
    case TROUBLE_UNAVAILABLE:
        client_say(client, "%s answers, but its hub does not; tried for %u s", who, waited_s);
        break;
    case TROUBLE_UNKNOWN:
        client_say(client, "the hub at %s knows no session with this key", who);
        break;
    case TROUBLE_FORGED:
        client_say(client, "what %s answers does not verify with this key", who);
        break;
    }
    client_finish(client, pending, trouble == TROUBLE_UNKNOWN || trouble == TROUBLE_FORGED ? AUTH : IO, NULL);
}

void client_expire(struct client *client)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct client_pending *pending = &client->pending[i];
        bool flying = pending->phase == PENDING_FLYING;
        if (pending->phase == PENDING_ENDED) {
            client_say(client, "the observation of /%.80s ended: the hub or its node may have been away",
                       pending->path);
            client_finish(client, pending, IO, NULL);
        } else if ((flying || pending->phase == PENDING_QUEUED) && client->now_ms >= pending->deadline_ms) {
            give_up(client, pending);
        } else if (flying && client->now_ms >= pending->attempt_until_ms) {
            pending->attempt_ms *= 2;
            client_take_trouble(client, pending, TROUBLE_SILENCE);
        }
    }
}

static void sooner(const struct client *client, uint64_t due_ms, uint32_t *wait_ms)
{
    uint64_t left = due_ms > client->now_ms ? due_ms - client->now_ms : 0;
    if (left < *wait_ms)
        *wait_ms = (uint32_t)left;
}

uint32_t client_due_ms(const struct client *client, uint32_t wait_ms)
{
    for (size_t i = 0; i < SLOTS; i++) {
        const struct client_pending *pending = &client->pending[i];
        if (pending->phase == PENDING_ENDED)
            return 0;
        if (pending->phase == PENDING_QUEUED || pending->phase == PENDING_FLYING)
            sooner(client, pending->deadline_ms, &wait_ms);
        if (pending->phase == PENDING_FLYING)
            sooner(client, pending->attempt_until_ms, &wait_ms);
    }
    if (client->counts[PENDING_QUEUED] == 0)
        return wait_ms;
    uint64_t until_ms;
    if (window_full(client, &until_ms))
        sooner(client, until_ms, &wait_ms);
    if (client->quiet_until_ms > client->now_ms)
        sooner(client, client->quiet_until_ms, &wait_ms);
    else if (client->phase == SESSION_DOUBTED && client->counts[PENDING_FLYING] > 0)
        sooner(client, client->sent_ms + PROBE_MS, &wait_ms);
    return wait_ms;
}

/* ---- Replies ---- */

static void deliver(struct client *client, struct client_pending *pending, const struct coap_body *message, bool more)
{
    struct client_answer answer = {.code = message->code, .content_format = CLIENT_NO_FORMAT};
    /* The payload stands at the end of the plaintext, behind which there is room for one byte. */
    size_t off = client->plain_len - message->payload.len;
    client->plain_text[client->plain_len] = 0;
    answer.payload = bytes_from(client->plain_text + off, message->payload.len);
    uint32_t format;
    if (coap_option_find_uint(message->options, COAP_CONTENT_FORMAT, &format) == OK)
        answer.content_format = format;
    if (!more) {
        client_finish(client, pending, OK, &answer);
        return;
    }
    if (pending->phase == PENDING_FLYING)
        client_set_phase(client, pending, PENDING_OBSERVING);
    client->told++;
    pending->done(pending->user, OK, &answer, true);
}

static void take_answer(struct client *client, struct client_pending *pending, const struct coap_body *message,
                        bool more)
{
    if (pending->sequence >= client->proved)
        client->proved = pending->sequence + 1;
    client->phase = SESSION_OPEN;
    client->trouble = TROUBLE_SILENCE;
    client->refusals = client->challenges = client->backoff_ms = 0;
    client->quiet_until_ms = 0;
    deliver(client, pending, message, more && coap_code_class(message->code) == 2);
}

/* Response #1 of B.2, authentic: the hub is there and lost our context, or never had one. */
static void take_challenge(struct client *client)
{
    renew(client, SESSION_DOUBTED);
    if (++client->challenges > CHALLENGES_MAX)
        back_off(client);
}

/* What is begun by those that are told waits for its own end. */
void client_fail_waiting(struct client *client, enum status status)
{
    char why[WHY_MAX];
    uint64_t begun = client->begun;
    memcpy(why, client->why, sizeof why);
    for (size_t i = 0; i < CLIENT_PENDING_MAX; i++) {
        struct client_pending *pending = &client->pending[i];
        if (pending->phase != PENDING_QUEUED || pending->order >= begun)
            continue;
        memcpy(client->why, why, sizeof why);
        client_finish(client, pending, status, NULL);
    }
}

/* 4.00, 4.01, 4.02 without protection. The hub answered a later request under this context: then it knows us, and
 * this one only came too late for its replay window. Otherwise it may have lost us. */
static void take_unknown(struct client *client, struct client_pending *pending)
{
    bool observing = pending->phase == PENDING_OBSERVING;
    client_set_phase(client, pending, observing ? PENDING_ENDED : PENDING_QUEUED);
    if (observing)
        return;
    pending->trouble = client->trouble = TROUBLE_UNKNOWN;
    if (pending->sequence < client->proved)
        return;
    if (client->refusals++ == 0)
        client->refused_since_ms = client->now_ms;
    client_restart(client);
    if (client->refusals > 1)
        back_off(client);
    if (client->refusals >= REFUSALS_MAX && client->now_ms - client->refused_since_ms >= REFUSALS_MS) {
        client->refusals = 0;
        client_say(client, "the hub at %s knows no session with this key", client->url.base);
        client_fail_waiting(client, AUTH);
    }
}

static void take_unprotected(struct client *client, struct client_pending *pending, const struct coap_body *outer,
                             bool more)
{
    uint8_t code = outer->code;
    if (more)
        return; /* whoever sent that, the exchange goes on */
    if (code == COAP_UNAUTHORIZED || code == COAP_BAD_REQUEST || code == COAP_BAD_OPTION) {
        take_unknown(client, pending);
    } else if (code == COAP_TOO_LARGE && pending->phase == PENDING_FLYING) {
        client_say(client, "%s takes no body of %zu bytes", client->url.base, pending->payload_len);
        client_finish(client, pending, NO_ROOM, NULL);
    } else {
        client_take_trouble(client, pending, coap_code_class(code) == 2 ? TROUBLE_FORGED : TROUBLE_UNAVAILABLE);
    }
}

/* A handshake's answer is whatever the node says, its momentary troubles excepted. */
static void take_plain(struct client *client, struct client_pending *pending, const struct coap_body *outer)
{
    bool momentary =
        coap_code_class(outer->code) == 5 || outer->code == COAP_INCOMPLETE || outer->code == COAP_TOO_MANY_REQUESTS;
    struct writer plain = writer_over(client->plain_text, OUTER_MAX);
    if (client_take_echo(client, pending, outer))
        return;
    put_bytes(&plain, outer->payload);
    client->plain_len = plain.len;
    if (momentary || writer_end(&plain) != OK)
        client_take_trouble(client, pending, TROUBLE_UNAVAILABLE);
    else
        deliver(client, pending, outer, false);
}

void client_take_reply(struct client *client, struct client_pending *pending, const struct coap_body *outer, bool more)
{
    struct coap_body message;
    if (is_plain(client, pending)) {
        take_plain(client, pending, outer);
        return;
    }
    wipe(client->plain_text, client->plain_len);
    struct writer plain = writer_over(client->plain_text, OUTER_MAX);
    enum status status = oscore_unprotect_response(&client->session, &pending->oscore, outer, &plain, &message);
    client->plain_len = plain.len;
    if (status == OK)
        take_answer(client, pending, &message, more);
    else if (status == BUSY)
        take_challenge(client);
    else if (status == UNSUPPORTED)
        take_unprotected(client, pending, outer, more);
    else if (!more)
        client_take_trouble(client, pending, TROUBLE_FORGED);
}
