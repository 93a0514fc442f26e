/* The client side: requests and their blocks, responses and theirs, notifications. */
#include "coap_internal.h"

#include <string.h>

/* RFC 7641 §3.4: after so long any notification is newer. */
#define REORDERING_MS 128000u
#define SEQUENCE_HALF (1u << 23)

static bool is_client(const struct coap_exchange *exchange)
{
    return exchange->phase == PHASE_ASKING || exchange->phase == PHASE_AWAITING || exchange->phase == PHASE_OBSERVING;
}

bool coap_asks_to_observe(const struct coap_body *request)
{
    uint32_t observe;
    return coap_option_find_uint(request->options, COAP_OBSERVE, &observe) == OK && observe == 0;
}

bool coap_keeps_observation(const struct coap_body *response)
{
    struct bytes observe;
    return coap_code_class(response->code) == 2 && coap_option_find(response->options, COAP_OBSERVE, &observe);
}

/* ---- The client's messages ---- */

static enum status send_request(struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                                const struct coap_body *body, const struct coap_splice *splice)
{
    uint8_t token[COAP_TOKEN_MAX];
    struct writer token_writer = writer_over(token, sizeof token);
    put_u32be(&token_writer, coap_exchange_handle(endpoint, exchange));
    put_u32be(&token_writer, exchange->salt + exchange->fetch);
    TRY(coap_transmit(endpoint, exchange, writer_bytes(&token_writer), body, splice));
    exchange->phase = exchange->confirmable ? PHASE_ASKING : PHASE_AWAITING;
    coap_exchange_due(endpoint, exchange,
                      exchange->confirmable ? COAP_NEVER : endpoint->now_ms + endpoint->config.answer_ms);
    return OK;
}

static enum status send_upload_block(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    struct coap_splice splice = {0};
    struct coap_block block = {.num = (uint32_t)(exchange->sent >> (exchange->szx + 4)), .szx = exchange->szx};
    struct coap_body body = coap_store_cut(endpoint, exchange->out_body, exchange->sent, exchange->szx, &block.more);
    coap_splice_add(&splice, COAP_BLOCK1, coap_block_value(block));
    if (exchange->sent == 0)
        coap_splice_add(&splice, COAP_SIZE1, (uint32_t)endpoint->stores[exchange->out_body].payload_len);
    return send_request(endpoint, exchange, &body, &splice);
}

static enum status send_first(struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                              const struct coap_body *body)
{
    static const struct coap_splice as_it_is;
    enum status status = send_request(endpoint, exchange, body, &as_it_is);
    if (status != NO_ROOM)
        return status;
    exchange->out_body = coap_store_new(endpoint, exchange);
    if (exchange->out_body == NONE)
        return NO_ROOM;
    TRY(coap_store_fill(endpoint, exchange->out_body, body->code, body->options, &as_it_is));
    if (!coap_store_append(endpoint, exchange->out_body, body->payload))
        return NO_ROOM;
    exchange->szx = coap_fitting_szx(body->options.len, COAP_BLOCK_SZX_MAX);
    return send_upload_block(endpoint, exchange);
}

enum status coap_request(struct coap_endpoint *endpoint, uint64_t now_ms, const struct coap_peer *peer,
                         bool confirmable, const struct coap_body *body, uint32_t *handle)
{
    if (!coap_code_is_request(body->code))
        return WRONG_STATE;
    if (peer->len > COAP_PEER_MAX)
        return NO_ROOM;
    endpoint->now_ms = now_ms;
    struct coap_exchange *exchange = coap_exchange_new(endpoint, peer);
    if (!exchange)
        return NO_ROOM;
    exchange->confirmable = confirmable;
    exchange->salt = coap_random(endpoint);
    exchange->wants_observe = coap_asks_to_observe(body);
    enum status status = send_first(endpoint, exchange, body);
    if (status != OK) {
        coap_exchange_free(endpoint, exchange);
        return status;
    }
    *handle = coap_exchange_handle(endpoint, exchange);
    return OK;
}

void coap_cancel(struct coap_endpoint *endpoint, uint32_t handle)
{
    struct coap_exchange *exchange = coap_exchange_named(endpoint, handle);
    if (!exchange)
        return;
    if (exchange->phase == PHASE_ANSWERING)
        coap_server_acknowledge(endpoint, exchange);
    coap_exchange_free(endpoint, exchange);
}

/* ---- The client's responses ---- */

static void deliver(struct coap_endpoint *endpoint, struct coap_exchange *exchange, const struct coap_body *body,
                    struct coap_event *event)
{
    coap_event_of(endpoint, exchange, COAP_RESPONSE, event);
    event->body = *body;
    event->more = exchange->observing;
    if (!exchange->observing) {
        coap_exchange_free(endpoint, exchange);
        return;
    }
    exchange->phase = PHASE_OBSERVING;
    coap_exchange_due(endpoint, exchange, COAP_NEVER);
}

/* The next block is asked for with the options of the request, which still stands in our datagram, but under another
 * token: the request's own stays with the observation (RFC 7959 §3.4). */
static enum status fetch_next(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    struct coap_message request;
    struct coap_splice splice = {0};
    size_t have = endpoint->stores[exchange->in_body].payload_len;
    TRY(coap_message_decode(bytes_from(exchange->datagram, exchange->datagram_len), &request));
    coap_splice_drop(&splice, COAP_OBSERVE);
    coap_splice_drop(&splice, COAP_BLOCK1);
    coap_splice_drop(&splice, COAP_SIZE1);
    coap_splice_drop(&splice, COAP_SIZE2);
    struct coap_block block = {.num = (uint32_t)(have >> (exchange->szx + 4)), .szx = exchange->szx};
    coap_splice_add(&splice, COAP_BLOCK2, coap_block_value(block));
    request.body.payload = (struct bytes){0};
    return send_request(endpoint, exchange, &request.body, &splice);
}

static bool begin_fetch(struct coap_endpoint *endpoint, struct coap_exchange *exchange, const struct coap_body *first,
                        struct coap_block block)
{
    struct coap_splice splice = {0};
    coap_splice_drop(&splice, COAP_BLOCK2);
    coap_splice_drop(&splice, COAP_SIZE2);
    coap_store_free(endpoint, exchange, &exchange->in_body);
    coap_store_free(endpoint, exchange, &exchange->out_body);
    exchange->in_body = coap_store_new(endpoint, exchange);
    if (exchange->in_body == NONE || first->payload.len != coap_block_size(block.szx))
        return false;
    exchange->fetch++;
    exchange->szx = block.szx;
    return coap_store_fill(endpoint, exchange->in_body, first->code, first->options, &splice) == OK &&
           coap_store_append(endpoint, exchange->in_body, first->payload) && fetch_next(endpoint, exchange) == OK;
}

static bool same_etag(struct bytes a, struct bytes b)
{
    struct bytes left = {0};
    struct bytes right = {0};
    return coap_option_find(a, COAP_ETAG, &left) == coap_option_find(b, COAP_ETAG, &right) && bytes_equal(left, right);
}

/* False: the blocks contradict each other. */
static bool continue_fetch(struct coap_endpoint *endpoint, struct coap_exchange *exchange, const struct coap_body *part,
                           struct coap_event *event)
{
    struct coap_block block;
    struct coap_body whole = coap_store_body(endpoint, exchange->in_body);
    if (part->code != whole.code || coap_block_find(part->options, COAP_BLOCK2, &block) != OK)
        return false;
    size_t size = coap_block_size(block.szx);
    if ((size_t)block.num * size != whole.payload.len || !same_etag(part->options, whole.options) ||
        (block.more ? part->payload.len != size : part->payload.len > size) ||
        !coap_store_append(endpoint, exchange->in_body, part->payload))
        return false;
    exchange->szx = block.szx;
    if (block.more)
        return fetch_next(endpoint, exchange) == OK;
    whole = coap_store_body(endpoint, exchange->in_body);
    coap_store_lend(endpoint, exchange, &exchange->in_body);
    deliver(endpoint, exchange, &whole, event);
    return true;
}

/* RFC 7641 §3.4. With OSCORE the order is that of partial IVs, which only the ends can tell. */
static bool is_newer(const struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                     const struct coap_body *notification)
{
    struct bytes protected;
    uint32_t next = 0;
    if (coap_option_find(notification->options, COAP_OSCORE, &protected) ||
        coap_option_find_uint(notification->options, COAP_OBSERVE, &next) != OK)
        return true;
    uint32_t last = exchange->sequence;
    bool newer = !exchange->ordered || (last < next && next - last < SEQUENCE_HALF) ||
                 (last > next && last - next > SEQUENCE_HALF) || endpoint->now_ms - exchange->at_ms > REORDERING_MS;
    if (newer) {
        exchange->ordered = true;
        exchange->sequence = next;
        exchange->at_ms = endpoint->now_ms;
    }
    return newer;
}

/* True when the response only moved an upload along. RFC 7959 §2.5: a server may answer with a smaller size, which
 * counts from what it has; §2.9.3: or refuse the first block with a size it would take. */
static bool continue_upload(struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                            const struct coap_body *response, struct coap_event *event)
{
    struct coap_block block;
    if (exchange->out_body == NONE)
        return false;
    bool asks = coap_block_find(response->options, COAP_BLOCK1, &block) == OK;
    if (response->code == COAP_TOO_LARGE && asks && exchange->sent == 0 && block.szx < exchange->szx) {
        exchange->szx = block.szx;
    } else if (response->code == COAP_CONTINUE) {
        size_t sent = exchange->sent + coap_block_size(exchange->szx);
        if (!asks || block.num != exchange->sent >> (exchange->szx + 4) ||
            sent >= endpoint->stores[exchange->out_body].payload_len) {
            coap_exchange_fail(endpoint, exchange, COAP_BAD_BLOCKS, event);
            return true;
        }
        exchange->sent = sent;
        exchange->szx = block.szx < exchange->szx ? block.szx : exchange->szx;
    } else {
        return false;
    }
    if (send_upload_block(endpoint, exchange) != OK)
        coap_exchange_fail(endpoint, exchange, COAP_BAD_BLOCKS, event);
    return true;
}

void coap_client_response(struct coap_endpoint *endpoint, struct coap_exchange *exchange, bool of_fetch,
                          const struct coap_body *body, struct coap_event *event)
{
    struct coap_block block;
    /* a response also acknowledges; a notification leaves the fetch of an older one alone until it proves newer */
    if (of_fetch || !exchange->observing)
        coap_transmit_end(endpoint, exchange);
    if (of_fetch) {
        if (!continue_fetch(endpoint, exchange, body, event))
            coap_exchange_fail(endpoint, exchange, COAP_BAD_BLOCKS, event);
        return;
    }
    if (exchange->fetch && !exchange->observing)
        return; /* the first block again, under another message id */
    if (continue_upload(endpoint, exchange, body, event))
        return;
    bool observing = exchange->wants_observe && coap_keeps_observation(body);
    if (observing && !is_newer(endpoint, exchange, body))
        return;
    coap_transmit_end(endpoint, exchange);
    exchange->observing = observing;
    bool cut = coap_block_find(body->options, COAP_BLOCK2, &block) == OK && block.num == 0 && block.more;
    if (!cut)
        deliver(endpoint, exchange, body, event);
    else if (!begin_fetch(endpoint, exchange, body, block))
        coap_exchange_fail(endpoint, exchange, COAP_BAD_BLOCKS, event);
}

struct coap_exchange *coap_client_find(struct coap_endpoint *endpoint, const struct coap_peer *peer, struct bytes token,
                                       bool *of_fetch)
{
    struct reader reader = reader_over(token);
    struct coap_exchange *exchange = coap_exchange_named(endpoint, take_u32be(&reader));
    uint32_t salt = take_u32be(&reader);
    if (reader_end(&reader) != OK || !exchange || !is_client(exchange) ||
        !coap_peer_equal(peer, coap_exchange_peer(endpoint, exchange)))
        return NULL;
    *of_fetch = exchange->in_body != NONE && salt == exchange->salt + exchange->fetch;
    return *of_fetch || salt == exchange->salt ? exchange : NULL;
}
