/* What comes in, what time brings, what goes out: the dispatch, the queue, and the one message of an exchange on its
 * way. */
#include "coap_internal.h"

#include <string.h>

#define QUEUE_EXCHANGE 0u
#define QUEUE_RECENT 1u
#define QUEUE_RESET 2u
#define QUEUE_ITEM(kind, at) ((kind) << 30 | (at))
#define POSITION_MASK 0x3fffffffu

static void enqueue(struct coap_endpoint *endpoint, uint32_t kind, uint32_t at)
{
    /* every exchange and recent stands here at most once, resets have their own bound: there is room */
    uint32_t place = (endpoint->queue_first + endpoint->queue_count++) % endpoint->queue_cap;
    endpoint->queue[place] = QUEUE_ITEM(kind, at);
}

static void enqueue_exchange(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    exchange->pending = true;
    if (!exchange->queued)
        enqueue(endpoint, QUEUE_EXCHANGE, coap_exchange_position(endpoint, exchange));
    exchange->queued = true;
}

void coap_recent_send(struct coap_endpoint *endpoint, struct coap_recent *recent)
{
    recent->pending = true;
    if (!recent->queued)
        enqueue(endpoint, QUEUE_RECENT, (uint32_t)(recent - endpoint->recents));
    recent->queued = true;
}

void coap_reset_send(struct coap_endpoint *endpoint, const struct coap_peer *peer, uint16_t message_id)
{
    if (endpoint->reset_count == RESET_QUEUE)
        return;
    uint32_t at = (endpoint->reset_first + endpoint->reset_count++) % RESET_QUEUE;
    endpoint->resets[at] = (struct coap_reset){*peer, message_id};
    enqueue(endpoint, QUEUE_RESET, at);
}

bool coap_output(struct coap_endpoint *endpoint, struct coap_peer *peer, struct writer *writer)
{
    while (endpoint->queue_count > 0) {
        uint32_t item = endpoint->queue[endpoint->queue_first];
        uint32_t at = item & POSITION_MASK;
        endpoint->queue_first = (endpoint->queue_first + 1) % endpoint->queue_cap;
        endpoint->queue_count--;
        if (item >> 30 == QUEUE_RESET) {
            struct coap_message reset = {.type = COAP_RST, .message_id = endpoint->resets[at].message_id};
            *peer = endpoint->resets[at].peer;
            endpoint->reset_first = (endpoint->reset_first + 1) % RESET_QUEUE;
            endpoint->reset_count--;
            coap_message_encode(writer, &reset);
            return true;
        }
        struct coap_exchange *exchange = item >> 30 == QUEUE_EXCHANGE ? &endpoint->exchanges[at] : NULL;
        struct coap_recent *recent = exchange ? NULL : &endpoint->recents[at];
        bool *queued = exchange ? &exchange->queued : &recent->queued;
        bool *pending = exchange ? &exchange->pending : &recent->pending;
        bool wanted = *pending;
        *queued = *pending = false;
        if (!wanted)
            continue; /* ended or forgotten since */
        *peer = exchange ? *coap_exchange_peer(endpoint, exchange) : recent->peer;
        put_bytes(writer, exchange ? bytes_from(exchange->datagram, exchange->datagram_len)
                                   : bytes_from(recent->reply, recent->reply_len));
        return true;
    }
    return false;
}

/* ---- One message of an exchange: held back by nstart, sent, repeated, acknowledged ---- */

static void launch(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    uint32_t base = endpoint->config.ack_timeout_ms;
    endpoint->peers[exchange->peer].outstanding++;
    exchange->waiting = true;
    exchange->tries = 0;
    /* RFC 7252 §4.2: between ACK_TIMEOUT and ACK_TIMEOUT * ACK_RANDOM_FACTOR (1.5) */
    exchange->timeout_ms = base + coap_random(endpoint) % (base / 2 + 1);
    exchange->send_due = endpoint->now_ms + exchange->timeout_ms;
    coap_exchange_due(endpoint, exchange, exchange->phase_due);
    enqueue_exchange(endpoint, exchange);
}

static void transmit_again(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    exchange->tries++;
    exchange->timeout_ms *= 2;
    exchange->send_due = endpoint->now_ms + exchange->timeout_ms;
    coap_exchange_due(endpoint, exchange, exchange->phase_due);
    enqueue_exchange(endpoint, exchange);
}

static void begin(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint16_t message_id)
{
    struct coap_peer_slot *slot = &endpoint->peers[exchange->peer];
    exchange->message_id = message_id;
    /* non-confirmable ones too: a reset must find what it refuses */
    exchange->id_hash = coap_peer_hash(endpoint, KIND_ID, &slot->peer, message_id);
    coap_index_put(&endpoint->index, exchange->id_hash, coap_exchange_position(endpoint, exchange));
    if (!exchange->confirmable) {
        enqueue_exchange(endpoint, exchange);
        return;
    }
    if (slot->outstanding < endpoint->config.nstart) {
        launch(endpoint, exchange);
        return;
    }
    uint32_t at = coap_exchange_position(endpoint, exchange);
    exchange->held = true;
    exchange->held_next = NONE;
    exchange->held_prev = slot->held_last;
    if (slot->held_last == NONE)
        slot->held_first = at;
    else
        endpoint->exchanges[slot->held_last].held_next = at;
    slot->held_last = at;
}

enum status coap_transmit(struct coap_endpoint *endpoint, struct coap_exchange *exchange, struct bytes token,
                          const struct coap_body *body, const struct coap_splice *splice)
{
    struct coap_message message = {.type = exchange->confirmable ? COAP_CON : COAP_NON,
                                   .message_id = coap_next_id(endpoint, coap_exchange_peer(endpoint, exchange)),
                                   .token = token,
                                   .body = *body};
    uint8_t datagram[COAP_DATAGRAM_MAX];
    struct writer writer = writer_over(datagram, sizeof datagram);
    coap_encode_spliced(&writer, &message, splice);
    TRY(writer_end(&writer));
    coap_transmit_end(endpoint, exchange);
    memcpy(exchange->datagram, datagram, writer.len);
    exchange->datagram_len = (uint16_t)writer.len;
    begin(endpoint, exchange, message.message_id);
    return OK;
}
static void unhold(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    struct coap_peer_slot *slot = &endpoint->peers[exchange->peer];
    uint32_t *from_prev =
        exchange->held_prev == NONE ? &slot->held_first : &endpoint->exchanges[exchange->held_prev].held_next;
    uint32_t *from_next =
        exchange->held_next == NONE ? &slot->held_last : &endpoint->exchanges[exchange->held_next].held_prev;
    *from_prev = exchange->held_next;
    *from_next = exchange->held_prev;
    exchange->held = false;
}

void coap_transmit_end(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    struct coap_peer_slot *slot = &endpoint->peers[exchange->peer];
    if (exchange->id_hash)
        coap_index_remove(&endpoint->index, exchange->id_hash);
    exchange->id_hash = 0;
    exchange->pending = false;
    if (exchange->held)
        unhold(endpoint, exchange);
    if (!exchange->waiting)
        return;
    exchange->waiting = false;
    exchange->send_due = COAP_NEVER;
    coap_exchange_due(endpoint, exchange, exchange->phase_due);
    slot->outstanding--;
    if (slot->held_first == NONE)
        return;
    struct coap_exchange *next = &endpoint->exchanges[slot->held_first];
    unhold(endpoint, next);
    launch(endpoint, next);
}

/* ---- What comes in, what time brings ---- */

void coap_event_of(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange,
                   enum coap_event_kind kind, struct coap_event *event)
{
    *event = (struct coap_event){.kind = kind,
                                 .handle = coap_exchange_handle(endpoint, exchange),
                                 .peer = *coap_exchange_peer(endpoint, exchange)};
}

void coap_exchange_fail(struct coap_endpoint *endpoint, struct coap_exchange *exchange, enum coap_failure failure,
                        struct coap_event *event)
{
    bool silent =
        exchange->phase == PHASE_GATHERING || exchange->phase == PHASE_SENDING || exchange->phase == PHASE_SERVING;
    if (!silent) {
        coap_event_of(endpoint, exchange, exchange->phase == PHASE_OBSERVED ? COAP_CANCELLED : COAP_FAILED, event);
        event->failure = failure;
    }
    coap_exchange_free(endpoint, exchange);
}

bool coap_peer_equal(const struct coap_peer *a, const struct coap_peer *b)
{
    return bytes_equal(bytes_from(a->data, a->len), bytes_from(b->data, b->len));
}

static struct coap_recent *find_recent(struct coap_endpoint *endpoint, const struct coap_peer *peer,
                                       uint16_t message_id)
{
    uint32_t at = coap_index_find(&endpoint->index, coap_peer_hash(endpoint, KIND_RECENT, peer, message_id));
    if (at == NONE)
        return NULL;
    struct coap_recent *recent = &endpoint->recents[at];
    bool fresh = recent->open || endpoint->now_ms - recent->at_ms < COAP_EXCHANGE_LIFETIME_MS;
    return fresh && coap_peer_equal(peer, &recent->peer) ? recent : NULL;
}

/* The oldest answered one makes room. There are twice as many as exchanges, and only those keep one open. */
static struct coap_recent *remember(struct coap_endpoint *endpoint, const struct coap_peer *peer,
                                    const struct coap_message *message)
{
    struct coap_recent *recent;
    do {
        recent = &endpoint->recents[endpoint->recent_next];
        endpoint->recent_next = (endpoint->recent_next + 1) % endpoint->config.recent_count;
    } while (recent->open);
    uint32_t at = (uint32_t)(recent - endpoint->recents);
    if (recent->used && coap_index_find(&endpoint->index, recent->hash) == at)
        coap_index_remove(&endpoint->index, recent->hash);
    if (!recent->used)
        endpoint->counts.recents++;
    recent->used = true;
    recent->pending = false;
    recent->reply_len = 0;
    recent->at_ms = endpoint->now_ms;
    recent->peer = *peer;
    recent->message_id = message->message_id;
    recent->type = message->type;
    recent->hash = coap_peer_hash(endpoint, KIND_RECENT, peer, message->message_id);
    coap_index_put(&endpoint->index, recent->hash, at);
    return recent;
}

void coap_recent_acknowledge(struct coap_endpoint *endpoint, struct coap_recent *recent)
{
    struct coap_message ack = {.type = COAP_ACK, .message_id = recent->message_id};
    struct writer writer = writer_over(recent->reply, sizeof recent->reply);
    coap_message_encode(&writer, &ack);
    recent->reply_len = (uint16_t)writer.len;
    coap_recent_send(endpoint, recent);
}

enum status coap_recent_reply(struct coap_endpoint *endpoint, struct coap_recent *recent, struct bytes token,
                              const struct coap_body *body, const struct coap_splice *splice)
{
    bool confirmable = recent->type == COAP_CON;
    uint16_t id = confirmable ? recent->message_id : coap_next_id(endpoint, &recent->peer);
    struct coap_message message = {confirmable ? COAP_ACK : COAP_NON, id, token, *body};
    uint8_t datagram[COAP_DATAGRAM_MAX];
    struct writer writer = writer_over(datagram, sizeof datagram);
    coap_encode_spliced(&writer, &message, splice);
    TRY(writer_end(&writer));
    memcpy(recent->reply, datagram, writer.len);
    recent->reply_len = (uint16_t)writer.len;
    coap_recent_send(endpoint, recent);
    return OK;
}

/* An empty ACK or RST, and the piggy-backed response: what we sent under that message id has arrived. */
static void on_reply(struct coap_endpoint *endpoint, const struct coap_peer *peer, const struct coap_message *message,
                     struct coap_event *event)
{
    uint32_t at = coap_index_find(&endpoint->index, coap_peer_hash(endpoint, KIND_ID, peer, message->message_id));
    if (at == NONE || !coap_peer_equal(peer, coap_exchange_peer(endpoint, &endpoint->exchanges[at])))
        return;
    struct coap_exchange *exchange = &endpoint->exchanges[at];
    bool of_fetch;
    if (message->type == COAP_RST) {
        coap_exchange_fail(endpoint, exchange, COAP_RESET, event);
        return;
    }
    if (message->body.code != COAP_EMPTY) {
        if (exchange->waiting && coap_code_is_response(message->body.code) &&
            coap_client_find(endpoint, peer, message->token, &of_fetch) == exchange)
            coap_client_response(endpoint, exchange, of_fetch, &message->body, event);
        return;
    }
    if (!exchange->waiting)
        return;
    coap_transmit_end(endpoint, exchange);
    if (exchange->phase == PHASE_ASKING) {
        exchange->phase = PHASE_AWAITING;
        coap_exchange_due(endpoint, exchange, endpoint->now_ms + endpoint->config.answer_ms);
    } else if (exchange->phase == PHASE_OBSERVED) {
        coap_event_of(endpoint, exchange, COAP_ACKNOWLEDGED, event);
    } else if (exchange->phase == PHASE_SENDING && exchange->out_body != NONE) {
        exchange->phase = PHASE_SERVING;
        coap_exchange_due(endpoint, exchange, endpoint->now_ms + endpoint->config.answer_ms);
    } else if (exchange->phase == PHASE_SENDING) {
        coap_exchange_free(endpoint, exchange);
    }
}

static void on_message(struct coap_endpoint *endpoint, const struct coap_peer *peer, const struct coap_message *message,
                       struct coap_event *event)
{
    bool confirmable = message->type == COAP_CON;
    struct coap_recent *recent = find_recent(endpoint, peer, message->message_id);
    if (recent) {
        if (confirmable && recent->type == COAP_CON && recent->reply_len)
            coap_recent_send(endpoint, recent);
        return;
    }
    if (coap_code_is_request(message->body.code)) {
        recent = remember(endpoint, peer, message);
        if (coap_echo_missing(endpoint, peer, &message->body))
            coap_echo_ask(endpoint, recent, message->token);
        else
            coap_server_request(endpoint, recent, message, event);
        return;
    }
    bool of_fetch;
    struct coap_exchange *exchange =
        coap_code_is_response(message->body.code) ? coap_client_find(endpoint, peer, message->token, &of_fetch) : NULL;
    if (!exchange) {
        /* pings, reserved classes, and responses nobody waits for: RFC 7252 §4.2, §4.3; RFC 7641 §3.6 */
        if (confirmable || coap_code_is_response(message->body.code))
            coap_reset_send(endpoint, peer, message->message_id);
        return;
    }
    recent = remember(endpoint, peer, message);
    if (confirmable)
        coap_recent_acknowledge(endpoint, recent);
    coap_client_response(endpoint, exchange, of_fetch, &message->body, event);
}

void coap_input(struct coap_endpoint *endpoint, uint64_t now_ms, const struct coap_peer *peer, struct bytes datagram,
                struct coap_event *event)
{
    struct coap_message message;
    *event = (struct coap_event){0};
    endpoint->now_ms = now_ms;
    coap_store_reclaim(endpoint);
    if (peer->len > COAP_PEER_MAX)
        return;
    if (coap_message_decode(datagram, &message) != OK) {
        struct reader reader = reader_over(datagram);
        uint8_t head = take_u8(&reader);
        take_u8(&reader);
        uint16_t message_id = take_u16be(&reader);
        /* RFC 7252 §4.2: a confirmable message that cannot be processed is rejected, §3: another version ignored */
        if (reader.status == OK && head >> 4 == (1 << 2 | COAP_CON))
            coap_reset_send(endpoint, peer, message_id);
        return;
    }
    if (message.type == COAP_CON || message.type == COAP_NON)
        on_message(endpoint, peer, &message, event);
    else if (message.type == COAP_ACK || message.body.code == COAP_EMPTY)
        on_reply(endpoint, peer, &message, event);
}

/* The deadline of one exchange has passed; every branch ends it or sets a later one. */
static void lapse(struct coap_endpoint *endpoint, struct coap_exchange *exchange, struct coap_event *event)
{
    if (exchange->send_due <= endpoint->now_ms) {
        if (exchange->tries < endpoint->config.max_retransmit)
            transmit_again(endpoint, exchange);
        else
            coap_exchange_fail(endpoint, exchange, COAP_TIMED_OUT, event);
    } else if (exchange->phase == PHASE_ANSWERING && exchange->confirmable && !exchange->acknowledged) {
        coap_server_acknowledge(endpoint, exchange);
        coap_exchange_due(endpoint, exchange, endpoint->now_ms + endpoint->config.answer_ms);
    } else if (exchange->phase == PHASE_OBSERVED) {
        coap_key_drop(endpoint, exchange);
        coap_exchange_due(endpoint, exchange, COAP_NEVER);
    } else {
        coap_exchange_fail(endpoint, exchange, COAP_TIMED_OUT, event);
    }
}

void coap_tick(struct coap_endpoint *endpoint, uint64_t now_ms, struct coap_event *event)
{
    struct coap_timers *timers = &endpoint->timers;
    *event = (struct coap_event){0};
    endpoint->now_ms = now_ms;
    coap_store_reclaim(endpoint);
    while (event->kind == COAP_NOTHING && timers->count && timers->due[timers->order[0]] <= now_ms)
        lapse(endpoint, &endpoint->exchanges[timers->order[0]], event);
}

uint64_t coap_next_timeout(const struct coap_endpoint *endpoint, uint64_t now_ms)
{
    const struct coap_timers *timers = &endpoint->timers;
    if (timers->count == 0)
        return COAP_NEVER;
    uint64_t due = timers->due[timers->order[0]];
    return due > now_ms ? due - now_ms : 0;
}
