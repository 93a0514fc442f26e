/* Bodies that travel block-wise: where they are put together and cut up, and whose goes when there is no more room. */
#include "coap_internal.h"

#include <string.h>

/* Options we add to a block, at their longest: ETag 5, Block2 and Block1 5 each, Size1 or Size2 6. */
#define ADDED_OPTIONS 24
#define HEADER_MAX (4 + COAP_TOKEN_MAX)

/* Whoever leaves a body half sent, or half fetched, may do so from any number of addresses: when the pool is empty, the
 * one of these that has not moved for the longest time gives way. What our caller has, asks or shows stays. */
static bool make_room(struct coap_endpoint *endpoint)
{
    struct coap_exchange *oldest = NULL;
    for (uint32_t i = 0; i < endpoint->config.body_count; i++) {
        struct coap_exchange *exchange = &endpoint->exchanges[endpoint->stores[i].exchange];
        bool waits = (exchange->phase == PHASE_GATHERING && exchange->in_body == i) ||
                     (exchange->phase == PHASE_SERVING && exchange->out_body == i);
        if (waits && (!oldest || exchange->phase_due < oldest->phase_due))
            oldest = exchange;
    }
    if (oldest)
        coap_exchange_free(endpoint, oldest);
    return oldest != NULL;
}

uint32_t coap_store_new(struct coap_endpoint *endpoint, const struct coap_exchange *exchange)
{
    struct coap_peer_slot *slot = &endpoint->peers[exchange->peer];
    if (slot->bodies >= coap_peer_share(endpoint, endpoint->config.body_count) ||
        (endpoint->free_store == NONE && !make_room(endpoint)))
        return NONE;
    uint32_t at = endpoint->free_store;
    struct coap_store *store = &endpoint->stores[at];
    store->exchange = coap_exchange_position(endpoint, exchange);
    endpoint->free_store = store->next_free;
    store->options_len = store->payload_len = 0;
    slot->bodies++;
    endpoint->counts.bodies++;
    return at;
}

static void give_back(struct coap_endpoint *endpoint, uint32_t store)
{
    endpoint->stores[store].next_free = endpoint->free_store;
    endpoint->free_store = store;
    endpoint->counts.bodies--;
}

void coap_store_free(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint32_t *store)
{
    if (*store == NONE)
        return;
    endpoint->peers[exchange->peer].bodies--;
    give_back(endpoint, *store);
    *store = NONE;
}

void coap_store_lend(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint32_t *store)
{
    endpoint->peers[exchange->peer].bodies--;
    endpoint->lent = *store;
    *store = NONE;
}

void coap_store_reclaim(struct coap_endpoint *endpoint)
{
    if (endpoint->lent != NONE)
        give_back(endpoint, endpoint->lent);
    endpoint->lent = NONE;
}

enum status coap_store_fill(struct coap_endpoint *endpoint, uint32_t store, uint8_t code, struct bytes options,
                            const struct coap_splice *splice)
{
    struct coap_store *into = &endpoint->stores[store];
    struct writer writer = writer_over(into->data, COAP_OPTIONS_MAX);
    coap_put_spliced(&writer, options, splice);
    TRY(writer_end(&writer));
    into->code = code;
    into->options_len = writer.len;
    into->payload_len = 0;
    return OK;
}

bool coap_store_append(struct coap_endpoint *endpoint, uint32_t store, struct bytes payload)
{
    struct coap_store *into = &endpoint->stores[store];
    if (payload.len > endpoint->config.body_cap - into->payload_len)
        return false;
    if (payload.len)
        memcpy(into->data + COAP_OPTIONS_MAX + into->payload_len, payload.data, payload.len);
    into->payload_len += payload.len;
    return true;
}

struct coap_body coap_store_body(const struct coap_endpoint *endpoint, uint32_t store)
{
    const struct coap_store *from = &endpoint->stores[store];
    return (struct coap_body){from->code, bytes_from(from->data, from->options_len),
                              bytes_from(from->data + COAP_OPTIONS_MAX, from->payload_len)};
}

uint8_t coap_fitting_szx(size_t options_len, uint8_t szx)
{
    size_t taken = HEADER_MAX + ADDED_OPTIONS + options_len + 1;
    while (szx > 0 && taken + coap_block_size(szx) > COAP_DATAGRAM_MAX)
        szx--;
    return szx;
}

struct coap_body coap_store_cut(const struct coap_endpoint *endpoint, uint32_t store, size_t off, uint8_t szx,
                                bool *more)
{
    struct coap_body body = coap_store_body(endpoint, store);
    size_t left = off < body.payload.len ? body.payload.len - off : 0;
    *more = left > coap_block_size(szx);
    body.payload = bytes_slice(body.payload, off, *more ? coap_block_size(szx) : left);
    return body;
}
