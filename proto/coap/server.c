/* The server side: requests and their blocks, answers at once or later, retained bodies, notifications. */
#include "coap_internal.h"

#include <string.h>

/* Said with 5.03 (RFC 7252 §5.9.3.4): tables and bodies are held for seconds, not minutes. */
#define RETRY_AFTER_S 2
#define RETRY_LINGER_MS COAP_ACK_TIMEOUT_MS

/* RFC 7959 §2.4, RFC 7252 §5.4.6: peer, code and options, less those that differ between the blocks of one transfer or
 * are no part of a cache key. OSCORE is part of it, as RFC 8613 §4.1.3.4.2 wants. */
static uint64_t request_key(const struct coap_endpoint *endpoint, const struct coap_peer *peer,
                            const struct coap_body *request)
{
    uint64_t hash = coap_peer_hash(endpoint, KIND_KEY, peer, request->code);
    struct coap_option_reader reader = coap_options_over(request->options);
    struct coap_option option;
    while (coap_option_next(&reader, &option)) {
        bool no_cache_key = (option.number & 0x1e) == 0x1c;
        if (!no_cache_key && option.number != COAP_OBSERVE && option.number != COAP_BLOCK1 &&
            option.number != COAP_BLOCK2)
            hash = coap_hash(endpoint->key, hash ^ option.number, option.value);
    }
    return hash;
}

/* ---- Replies to what arrived ---- */

/* A code and at most one option of our own always fit. */
static void reply_code(struct coap_endpoint *endpoint, struct coap_recent *recent, struct bytes token, uint8_t code,
                       uint16_t option, uint32_t value)
{
    struct coap_splice splice = {0};
    struct coap_body body = {.code = code};
    if (option)
        coap_splice_add(&splice, option, value);
    if (coap_recent_reply(endpoint, recent, token, &body, &splice) != OK)
        recent->reply_len = 0;
}

void coap_server_acknowledge(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    if (!exchange->confirmable || exchange->acknowledged)
        return;
    exchange->acknowledged = true;
    coap_recent_acknowledge(endpoint, &endpoint->recents[exchange->recent]);
}

/* ---- Requests ---- */

struct arrival {
    struct coap_recent *recent;
    const struct coap_message *message;
    uint64_t key;
    bool has_block1;
    bool has_block2;
    struct coap_block block1;
    struct coap_block block2;
};

static void refuse(struct coap_endpoint *endpoint, const struct arrival *arrival, uint8_t code, uint16_t option,
                   uint32_t value)
{
    reply_code(endpoint, arrival->recent, arrival->message->token, code, option, value);
}

static void hand_over(struct coap_endpoint *endpoint, struct coap_exchange *exchange, const struct arrival *arrival,
                      const struct coap_body *body, struct coap_event *event)
{
    const struct coap_message *message = arrival->message;
    struct bytes observe;
    exchange->phase = PHASE_ANSWERING;
    exchange->confirmable = message->type == COAP_CON;
    exchange->recent = (uint32_t)(arrival->recent - endpoint->recents);
    arrival->recent->open = true;
    exchange->key = arrival->key;
    exchange->has_block1 = arrival->has_block1;
    exchange->has_block2 = arrival->has_block2;
    exchange->block1 = arrival->block1;
    exchange->block2 = arrival->block2;
    exchange->wants_observe = coap_asks_to_observe(body);
    struct writer token = writer_over(exchange->token, sizeof exchange->token);
    put_bytes(&token, message->token);
    exchange->token_len = (uint8_t)token.len;
    coap_exchange_due(endpoint, exchange,
                      endpoint->now_ms +
                          (exchange->confirmable ? endpoint->config.ack_delay_ms : endpoint->config.answer_ms));
    coap_event_of(endpoint, exchange, COAP_REQUEST, event);
    event->body = *body;
    event->confirmable = exchange->confirmable;
    if (!coap_option_find(body->options, COAP_OBSERVE, &observe))
        return;
    /* RFC 7641 §4.1: the same token again renews the observation or ends it. */
    uint64_t hash = coap_hash(endpoint->key, coap_peer_hash(endpoint, KIND_OBSERVE, &event->peer, 0), message->token);
    uint32_t at = coap_index_find(&endpoint->index, hash);
    if (at == NONE)
        return;
    event->replaced = coap_exchange_handle(endpoint, &endpoint->exchanges[at]);
    coap_exchange_free(endpoint, &endpoint->exchanges[at]);
}

/* The exchange that gathers this body, or NULL when the block was refused. */
static struct coap_exchange *gathering(struct coap_endpoint *endpoint, const struct arrival *arrival)
{
    const struct coap_body *part = &arrival->message->body;
    struct coap_exchange *exchange = coap_key_find(endpoint, &arrival->recent->peer, arrival->key);
    size_t off = (size_t)arrival->block1.num << (arrival->block1.szx + 4);
    struct coap_splice splice = {0};
    uint32_t whole = 0;
    if (off > 0) {
        if (exchange && exchange->phase == PHASE_GATHERING && endpoint->stores[exchange->in_body].payload_len == off)
            return exchange;
        refuse(endpoint, arrival, COAP_INCOMPLETE, 0, 0);
        return NULL;
    }
    coap_key_displace(endpoint, exchange);
    if (coap_option_find_uint(part->options, COAP_SIZE1, &whole) == OK && whole > endpoint->config.body_cap) {
        refuse(endpoint, arrival, COAP_TOO_LARGE, COAP_SIZE1, endpoint->config.body_cap);
        return NULL;
    }
    exchange = coap_exchange_new(endpoint, &arrival->recent->peer);
    if (exchange)
        exchange->in_body = coap_store_new(endpoint, exchange);
    if (!exchange || exchange->in_body == NONE) {
        if (exchange)
            coap_exchange_free(endpoint, exchange);
        refuse(endpoint, arrival, COAP_UNAVAILABLE, COAP_MAX_AGE, RETRY_AFTER_S);
        return NULL;
    }
    coap_splice_drop(&splice, COAP_BLOCK1);
    coap_splice_drop(&splice, COAP_SIZE1);
    if (coap_store_fill(endpoint, exchange->in_body, part->code, part->options, &splice) != OK) {
        coap_exchange_free(endpoint, exchange);
        refuse(endpoint, arrival, COAP_TOO_LARGE, 0, 0);
        return NULL;
    }
    exchange->phase = PHASE_GATHERING;
    exchange->key = arrival->key;
    coap_key_bind(endpoint, exchange);
    return exchange;
}

static void on_block1(struct coap_endpoint *endpoint, const struct arrival *arrival, struct coap_event *event)
{
    const struct coap_block *block = &arrival->block1;
    struct bytes payload = arrival->message->body.payload;
    size_t size = coap_block_size(block->szx);
    if (block->more ? payload.len != size : payload.len > size) {
        refuse(endpoint, arrival, COAP_BAD_REQUEST, 0, 0);
        return;
    }
    struct coap_exchange *exchange = gathering(endpoint, arrival);
    if (!exchange)
        return;
    if (!coap_store_append(endpoint, exchange->in_body, payload)) {
        coap_exchange_free(endpoint, exchange);
        refuse(endpoint, arrival, COAP_TOO_LARGE, COAP_SIZE1, endpoint->config.body_cap);
        return;
    }
    if (block->more) {
        coap_exchange_due(endpoint, exchange, endpoint->now_ms + endpoint->config.answer_ms);
        refuse(endpoint, arrival, COAP_CONTINUE, COAP_BLOCK1, coap_block_value(*block));
        return;
    }
    struct coap_body whole = coap_store_body(endpoint, exchange->in_body);
    coap_key_unbind(endpoint, exchange);
    coap_store_lend(endpoint, exchange, &exchange->in_body);
    hand_over(endpoint, exchange, arrival, &whole, event);
}

/* One block of a stored body, in answer to `asked`. Later blocks are no notifications, so they carry no Observe. */
static void cut_block(struct coap_endpoint *endpoint, const struct coap_exchange *exchange, struct coap_block asked,
                      struct coap_body *body, struct coap_block *block, struct coap_splice *splice)
{
    const struct coap_store *store = &endpoint->stores[exchange->out_body];
    size_t off = (size_t)asked.num << (asked.szx + 4);
    block->szx = coap_fitting_szx(store->options_len, asked.szx);
    block->num = (uint32_t)(off >> (block->szx + 4));
    *body = coap_store_cut(endpoint, exchange->out_body, off, block->szx, &block->more);
    if (off > 0)
        coap_splice_drop(splice, COAP_OBSERVE);
    coap_splice_add(splice, COAP_BLOCK2, coap_block_value(*block));
    if (exchange->has_block1)
        coap_splice_add(splice, COAP_BLOCK1, coap_block_value(exchange->block1));
    if (off == 0)
        coap_splice_add(splice, COAP_SIZE2, (uint32_t)store->payload_len);
}

/* False: nothing is retained, but the caller may make the answer again. */
static bool on_block2(struct coap_endpoint *endpoint, const struct arrival *arrival)
{
    const struct coap_body *request = &arrival->message->body;
    struct coap_exchange *exchange = coap_key_find(endpoint, &arrival->recent->peer, arrival->key);
    struct bytes protected;
    if (!exchange || exchange->out_body == NONE) {
        /* Doing it again must be harmless; an OSCORE request done again is a replay. */
        bool again = (request->code == COAP_GET || request->code == COAP_FETCH) &&
                     !coap_option_find(request->options, COAP_OSCORE, &protected);
        if (!again)
            refuse(endpoint, arrival, COAP_INCOMPLETE, 0, 0);
        return !again;
    }
    struct coap_splice splice = {0};
    struct coap_body body;
    struct coap_block block;
    cut_block(endpoint, exchange, arrival->block2, &body, &block, &splice);
    if (body.payload.len == 0) {
        refuse(endpoint, arrival, COAP_BAD_REQUEST, 0, 0);
        return true;
    }
    if (coap_recent_reply(endpoint, arrival->recent, arrival->message->token, &body, &splice) != OK)
        refuse(endpoint, arrival, COAP_INTERNAL_ERROR, 0, 0);
    bool done = !block.more && arrival->message->type == COAP_CON; /* a lost reply is repeated from `recents` */
    if (!done)
        coap_exchange_due(endpoint, exchange, endpoint->now_ms + endpoint->config.answer_ms);
    else if (exchange->phase == PHASE_SERVING)
        coap_exchange_free(endpoint, exchange);
    else
        coap_key_drop(endpoint, exchange);
    return true;
}

void coap_server_request(struct coap_endpoint *endpoint, struct coap_recent *recent, const struct coap_message *message,
                         struct coap_event *event)
{
    struct arrival arrival = {.recent = recent, .message = message};
    enum status block1 = coap_block_find(message->body.options, COAP_BLOCK1, &arrival.block1);
    enum status block2 = coap_block_find(message->body.options, COAP_BLOCK2, &arrival.block2);
    arrival.has_block1 = block1 == OK;
    arrival.has_block2 = block2 == OK;
    if ((block1 != OK && block1 != NOT_FOUND) || (block2 != OK && block2 != NOT_FOUND)) {
        refuse(endpoint, &arrival, COAP_BAD_REQUEST, 0, 0);
        return;
    }
    arrival.key = request_key(endpoint, &recent->peer, &message->body);
    if (arrival.has_block1 && (arrival.block1.num > 0 || arrival.block1.more)) {
        on_block1(endpoint, &arrival, event);
        return;
    }
    if (arrival.has_block2 && arrival.block2.num > 0 && on_block2(endpoint, &arrival))
        return;
    struct coap_exchange *exchange = coap_exchange_new(endpoint, &recent->peer);
    if (!exchange) {
        refuse(endpoint, &arrival, COAP_UNAVAILABLE, COAP_MAX_AGE, RETRY_AFTER_S);
        return;
    }
    hand_over(endpoint, exchange, &arrival, &message->body, event);
}

/* ---- Answers and notifications ---- */

/* Piggy-backed or non-confirmable through `recents`, else as a message of its own. */
static enum status emit(struct coap_endpoint *endpoint, struct coap_exchange *exchange, const struct coap_body *body,
                        const struct coap_splice *splice)
{
    struct bytes token = bytes_from(exchange->token, exchange->token_len);
    struct coap_recent *recent = exchange->recent == NONE ? NULL : &endpoint->recents[exchange->recent];
    if (recent && !exchange->acknowledged) {
        TRY(coap_recent_reply(endpoint, recent, token, body, splice));
    } else {
        TRY(coap_transmit(endpoint, exchange, token, body, splice));
    }
    if (recent)
        recent->open = false;
    exchange->recent = NONE;
    return OK;
}

static enum status emit_blocks(struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                               const struct coap_body *body)
{
    struct coap_splice tagged = {0};
    struct coap_splice splice = {0};
    struct coap_block asked = exchange->block2;
    struct coap_block block;
    struct coap_body first;
    struct bytes etag;
    /* Blocks of two bodies must not be taken for one (RFC 7959 §2.4). */
    if (!coap_option_find(body->options, COAP_ETAG, &etag))
        coap_splice_add(&tagged, COAP_ETAG, endpoint->etag++ | 1u << 31);
    if (!exchange->has_block2)
        asked = (struct coap_block){.szx = COAP_BLOCK_SZX_MAX};
    exchange->out_body = coap_store_new(endpoint, exchange);
    if (exchange->out_body == NONE)
        return NO_ROOM;
    enum status status = coap_store_fill(endpoint, exchange->out_body, body->code, body->options, &tagged);
    if (status == OK && !coap_store_append(endpoint, exchange->out_body, body->payload))
        status = NO_ROOM;
    if (status == OK) {
        cut_block(endpoint, exchange, asked, &first, &block, &splice);
        if (first.payload.len == 0)
            first = (struct coap_body){.code = COAP_BAD_REQUEST}; /* a block past the end */
        status = emit(endpoint, exchange, &first, &splice);
    }
    if (status != OK || !block.more || first.code == COAP_BAD_REQUEST)
        coap_store_free(endpoint, exchange, &exchange->out_body);
    else
        coap_key_bind(endpoint, exchange);
    return status;
}

static enum status emit_body(struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                             const struct coap_body *body)
{
    struct coap_splice splice = {0};
    coap_key_drop(endpoint, exchange);
    if (exchange->has_block1)
        coap_splice_add(&splice, COAP_BLOCK1, coap_block_value(exchange->block1));
    bool asked_smaller =
        exchange->has_block2 && (exchange->block2.num > 0 || body->payload.len > coap_block_size(exchange->block2.szx));
    enum status status = asked_smaller ? NO_ROOM : emit(endpoint, exchange, body, &splice);
    return status == NO_ROOM ? emit_blocks(endpoint, exchange, body) : status;
}

/* What becomes of the exchange once its message is handed on. */
static void settle(struct coap_endpoint *endpoint, struct coap_exchange *exchange, bool observed)
{
    bool sending = exchange->waiting || exchange->held;
    uint64_t retained = exchange->out_body == NONE ? COAP_NEVER : endpoint->now_ms + endpoint->config.answer_ms;
    /* the first answer settled these; notifications start afresh, with the size the peer asked for */
    exchange->has_block1 = false;
    exchange->block2.num = 0;
    if (observed)
        exchange->phase = PHASE_OBSERVED;
    else if (sending)
        exchange->phase = PHASE_SENDING;
    else
        exchange->phase = PHASE_SERVING;
    if (exchange->phase == PHASE_SENDING)
        retained = COAP_NEVER;
    else if (!observed && exchange->out_body == NONE && !exchange->pending) {
        coap_exchange_free(endpoint, exchange);
        return;
    } else if (!observed && exchange->out_body == NONE) {
        retained = endpoint->now_ms + RETRY_LINGER_MS; /* a last non-confirmable message still has to leave */
    }
    coap_exchange_due(endpoint, exchange, retained);
}

/* An error that no key protects is what anybody can have the node say, to whomever he names: it goes once (RFC 7252
 * §5.2.2 leaves that open), for five times the same would be more than was sent for it (§11.3). */
static bool is_anybodys(const struct coap_body *body)
{
    struct bytes protected;
    return coap_code_class(body->code) != 2 && !coap_option_find(body->options, COAP_OSCORE, &protected);
}

enum status coap_respond(struct coap_endpoint *endpoint, uint64_t now_ms, uint32_t handle, const struct coap_body *body)
{
    struct coap_exchange *exchange = coap_exchange_named(endpoint, handle);
    if (!exchange)
        return NOT_FOUND;
    if (exchange->phase != PHASE_ANSWERING || !coap_code_is_response(body->code))
        return WRONG_STATE;
    endpoint->now_ms = now_ms;
    exchange->confirmable &= !(exchange->acknowledged && is_anybodys(body));
    TRY(emit_body(endpoint, exchange, body));
    bool observed = exchange->wants_observe && coap_keeps_observation(body);
    if (observed) {
        uint64_t peer = coap_peer_hash(endpoint, KIND_OBSERVE, coap_exchange_peer(endpoint, exchange), 0);
        uint64_t hash = coap_hash(endpoint->key, peer, bytes_from(exchange->token, exchange->token_len));
        uint32_t older = coap_index_find(&endpoint->index, hash);
        if (older != NONE)
            coap_exchange_free(endpoint, &endpoint->exchanges[older]);
        coap_index_put(&endpoint->index, hash, coap_exchange_position(endpoint, exchange));
        exchange->observe_hash = hash;
    }
    settle(endpoint, exchange, observed);
    return OK;
}

enum status coap_notify(struct coap_endpoint *endpoint, uint64_t now_ms, uint32_t handle, const struct coap_body *body,
                        bool confirmable)
{
    struct coap_exchange *exchange = coap_exchange_named(endpoint, handle);
    if (!exchange)
        return NOT_FOUND;
    if (exchange->phase != PHASE_OBSERVED || !coap_code_is_response(body->code))
        return WRONG_STATE;
    if (exchange->waiting || exchange->held)
        return BUSY;
    endpoint->now_ms = now_ms;
    exchange->confirmable = confirmable;
    TRY(emit_body(endpoint, exchange, body));
    bool observed = coap_keeps_observation(body);
    if (!observed) {
        coap_index_remove(&endpoint->index, exchange->observe_hash);
        exchange->observe_hash = 0;
    }
    settle(endpoint, exchange, observed);
    return OK;
}
