/* What an endpoint owns and for how long: exchanges, the peers that hold them, and the keys they are found by. */
#include "coap_internal.h"

#include <string.h>

static struct coap_config with_defaults(const struct coap_config *config)
{
    struct coap_config full = *config;
    full.exchange_count = full.exchange_count ? full.exchange_count : 256;
    full.recent_count = full.recent_count ? full.recent_count : 1024;
    full.body_count = full.body_count ? full.body_count : 16;
    full.body_cap = full.body_cap ? full.body_cap : 65536;
    full.peer_divisor = full.peer_divisor ? full.peer_divisor : 4;
    full.nstart = full.nstart ? full.nstart : 1;
    full.ack_delay_ms = full.ack_delay_ms ? full.ack_delay_ms : 100;
    full.ack_timeout_ms = full.ack_timeout_ms ? full.ack_timeout_ms : COAP_ACK_TIMEOUT_MS;
    full.max_retransmit = full.max_retransmit ? full.max_retransmit : COAP_MAX_RETRANSMIT;
    full.answer_ms = full.answer_ms ? full.answer_ms : COAP_MAX_TRANSMIT_WAIT_MS;
    return full;
}

/* body_cap: with 1024-byte blocks their number is at most 2^20 (RFC 7959 §2.2), with 512-byte ones half of that. */
static bool is_possible(const struct coap_config *config)
{
    return config->exchange_count <= UINT16_MAX && config->recent_count >= 2 * config->exchange_count &&
           config->recent_count <= 1u << 24 && config->body_count <= 1u << 16 && config->body_cap <= 1u << 24 &&
           config->max_retransmit <= 20 && config->ack_timeout_ms <= 600000;
}

static uint32_t index_size(const struct coap_config *config)
{
    /* an exchange is found by peer, message id, key and token; twice that, so that searches stay short */
    uint32_t need = 2 * (4 * config->exchange_count + config->recent_count);
    uint32_t size = 16;
    while (size < need)
        size *= 2;
    return size;
}

/* Hands out pieces of the caller's memory; measures only while there is none. */
struct arena {
    uint8_t *memory;
    size_t used;
};

static void *carve(struct arena *arena, size_t count, size_t size)
{
    void *piece = arena->memory ? arena->memory + arena->used : NULL;
    arena->used += (count * size + 15) / 16 * 16;
    return piece;
}

static struct coap_endpoint *lay_out(struct arena *arena, const struct coap_config *config)
{
    uint32_t places = index_size(config);
    size_t exchanges = config->exchange_count;
    struct coap_endpoint shape = {.config = *config};
    struct coap_endpoint *endpoint = carve(arena, 1, sizeof *endpoint);
    shape.exchanges = carve(arena, exchanges, sizeof *shape.exchanges);
    shape.peers = carve(arena, exchanges, sizeof *shape.peers);
    shape.recents = carve(arena, config->recent_count, sizeof *shape.recents);
    shape.stores = carve(arena, config->body_count, sizeof *shape.stores);
    shape.index = (struct coap_index){carve(arena, places, 8), carve(arena, places, 4), places - 1};
    shape.timers.due = carve(arena, exchanges, 8);
    shape.timers.place = carve(arena, exchanges, 4);
    shape.timers.order = carve(arena, exchanges, 4);
    shape.queue_cap = config->exchange_count + config->recent_count + RESET_QUEUE;
    shape.queue = carve(arena, shape.queue_cap, 4);
    for (size_t i = 0; i < config->body_count; i++) {
        uint8_t *data = carve(arena, 1, COAP_OPTIONS_MAX + (size_t)config->body_cap);
        if (arena->memory)
            shape.stores[i].data = data;
    }
    if (arena->memory)
        *endpoint = shape;
    return endpoint;
}

size_t coap_memory_needed(const struct coap_config *config)
{
    struct coap_config full = with_defaults(config);
    struct arena arena = {0};
    if (!is_possible(&full))
        return 0;
    lay_out(&arena, &full);
    return arena.used;
}

enum status coap_init(const struct coap_config *config, const uint8_t seed[COAP_SEED_LEN], void *memory, size_t len,
                      struct coap_endpoint **endpoint)
{
    size_t needed = coap_memory_needed(config);
    if (needed == 0)
        return UNSUPPORTED;
    if (len < needed)
        return NO_ROOM;
    memset(memory, 0, needed);
    struct coap_config full = with_defaults(config);
    struct arena arena = {memory, 0};
    struct coap_endpoint *made = lay_out(&arena, &full);
    struct reader reader = reader_over(bytes_from(seed, COAP_SEED_LEN));
    made->key[0] = take_u64le(&reader);
    made->key[1] = take_u64le(&reader);
    made->lent = NONE;
    made->free_exchange = made->free_peer = made->free_store = NONE;
    for (uint32_t i = full.exchange_count; i-- > 0;) {
        made->exchanges[i].next_free = made->free_exchange;
        made->exchanges[i].generation = (uint16_t)coap_random(made);
        made->peers[i].next_free = made->free_peer;
        made->timers.place[i] = NONE;
        made->free_exchange = made->free_peer = i;
    }
    for (uint32_t i = full.body_count; i-- > 0;) {
        made->stores[i].next_free = made->free_store;
        made->free_store = i;
    }
    for (size_t i = 0; i < ID_COUNTERS; i++)
        made->ids[i] = (uint16_t)coap_random(made);
    made->etag = coap_random(made);
    *endpoint = made;
    return OK;
}

struct coap_counts coap_endpoint_counts(const struct coap_endpoint *endpoint)
{
    return endpoint->counts;
}

uint32_t coap_random(struct coap_endpoint *endpoint)
{
    return (uint32_t)coap_hash(endpoint->key, (uint64_t)1 << 63 | endpoint->drawn++, (struct bytes){0});
}

uint64_t coap_peer_hash(const struct coap_endpoint *endpoint, enum coap_kind kind, const struct coap_peer *peer,
                        uint16_t extra)
{
    uint64_t tweak = (uint64_t)kind | (uint64_t)peer->len << 8 | (uint64_t)extra << 16;
    return coap_hash(endpoint->key, tweak, bytes_from(peer->data, peer->len));
}

uint16_t coap_next_id(struct coap_endpoint *endpoint, const struct coap_peer *peer)
{
    return endpoint->ids[coap_peer_hash(endpoint, KIND_COUNTER, peer, 0) % ID_COUNTERS]++;
}

uint32_t coap_exchange_position(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange)
{
    return (uint32_t)(exchange - endpoint->exchanges);
}

uint32_t coap_peer_share(const struct coap_endpoint *endpoint, uint32_t count)
{
    uint32_t share = count / endpoint->config.peer_divisor;
    return share ? share : 1;
}

static uint32_t peer_slot(struct coap_endpoint *endpoint, const struct coap_peer *peer)
{
    uint64_t hash = coap_peer_hash(endpoint, KIND_PEER, peer, 0);
    uint32_t found = coap_index_find(&endpoint->index, hash);
    if (found != NONE)
        return found;
    /* as many slots as exchanges, and a slot lives only while it has one: the list cannot be empty here */
    uint32_t at = endpoint->free_peer;
    struct coap_peer_slot *slot = &endpoint->peers[at];
    endpoint->free_peer = slot->next_free;
    *slot = (struct coap_peer_slot){.peer = *peer, .hash = hash, .held_first = NONE, .held_last = NONE};
    coap_index_put(&endpoint->index, hash, at);
    endpoint->counts.peers++;
    return at;
}

struct coap_exchange *coap_exchange_new(struct coap_endpoint *endpoint, const struct coap_peer *peer)
{
    uint32_t at = endpoint->free_exchange;
    if (at == NONE)
        return NULL;
    uint32_t slot = peer_slot(endpoint, peer);
    if (endpoint->peers[slot].exchanges >= coap_peer_share(endpoint, endpoint->config.exchange_count))
        return NULL; /* not the slot's first, so the slot is in use and stays */
    struct coap_exchange *exchange = &endpoint->exchanges[at];
    endpoint->free_exchange = exchange->next_free;
    uint16_t generation = (uint16_t)(exchange->generation + 1);
    bool queued = exchange->queued;
    memset(exchange, 0, offsetof(struct coap_exchange, datagram));
    exchange->generation = generation ? generation : 1;
    exchange->queued = queued; /* its old place in the queue is still there */
    exchange->peer = slot;
    exchange->recent = exchange->in_body = exchange->out_body = NONE;
    exchange->phase_due = exchange->send_due = COAP_NEVER;
    endpoint->peers[slot].exchanges++;
    endpoint->counts.exchanges++;
    return exchange;
}

void coap_exchange_free(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    coap_transmit_end(endpoint, exchange);
    coap_key_unbind(endpoint, exchange);
    coap_store_free(endpoint, exchange, &exchange->in_body);
    coap_store_free(endpoint, exchange, &exchange->out_body);
    if (exchange->observe_hash)
        coap_index_remove(&endpoint->index, exchange->observe_hash);
    if (exchange->recent != NONE)
        endpoint->recents[exchange->recent].open = false;
    exchange->recent = NONE;
    exchange->observe_hash = 0;
    exchange->phase = PHASE_FREE;
    coap_exchange_due(endpoint, exchange, COAP_NEVER);
    struct coap_peer_slot *slot = &endpoint->peers[exchange->peer];
    endpoint->counts.exchanges--;
    exchange->next_free = endpoint->free_exchange;
    endpoint->free_exchange = coap_exchange_position(endpoint, exchange);
    if (--slot->exchanges > 0)
        return;
    coap_index_remove(&endpoint->index, slot->hash);
    slot->next_free = endpoint->free_peer;
    endpoint->free_peer = exchange->peer;
    endpoint->counts.peers--;
}

uint32_t coap_exchange_handle(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange)
{
    return (uint32_t)exchange->generation << 16 | coap_exchange_position(endpoint, exchange);
}

struct coap_exchange *coap_exchange_named(struct coap_endpoint *endpoint, uint32_t handle)
{
    uint32_t at = handle & UINT16_MAX;
    if (at >= endpoint->config.exchange_count)
        return NULL;
    struct coap_exchange *exchange = &endpoint->exchanges[at];
    return exchange->phase != PHASE_FREE && exchange->generation == handle >> 16 ? exchange : NULL;
}

const struct coap_peer *coap_exchange_peer(const struct coap_endpoint *endpoint, const struct coap_exchange *exchange)
{
    return &endpoint->peers[exchange->peer].peer;
}

void coap_exchange_due(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint64_t phase_due)
{
    exchange->phase_due = phase_due;
    uint64_t due = exchange->send_due < phase_due ? exchange->send_due : phase_due;
    coap_timer_set(&endpoint->timers, coap_exchange_position(endpoint, exchange), due);
}

/* ---- Keys: where later blocks find their exchange ---- */

void coap_key_unbind(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    if (exchange->key_bound)
        coap_index_remove(&endpoint->index, exchange->key);
    exchange->key_bound = false;
}

void coap_key_drop(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    coap_key_unbind(endpoint, exchange);
    coap_store_free(endpoint, exchange, &exchange->out_body);
}

struct coap_exchange *coap_key_find(struct coap_endpoint *endpoint, const struct coap_peer *peer, uint64_t key)
{
    uint32_t at = coap_index_find(&endpoint->index, key);
    if (at == NONE || !coap_peer_equal(peer, coap_exchange_peer(endpoint, &endpoint->exchanges[at])))
        return NULL;
    return &endpoint->exchanges[at];
}

/* A newer transfer takes the key from an older one. */
void coap_key_displace(struct coap_endpoint *endpoint, struct coap_exchange *older)
{
    if (!older)
        return;
    if (older->phase == PHASE_GATHERING || older->phase == PHASE_SERVING)
        coap_exchange_free(endpoint, older);
    else
        coap_key_drop(endpoint, older);
}

void coap_key_bind(struct coap_endpoint *endpoint, struct coap_exchange *exchange)
{
    struct coap_exchange *older = coap_key_find(endpoint, coap_exchange_peer(endpoint, exchange), exchange->key);
    if (older != exchange)
        coap_key_displace(endpoint, older);
    coap_index_put(&endpoint->index, exchange->key, coap_exchange_position(endpoint, exchange));
    exchange->key_bound = true;
}
