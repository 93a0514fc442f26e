/* The table of open channels: open addressing with linear probing, backward shift on removal. Ids come from our own
 * counters and handles, never from a peer, so the plain multiplicative hash cannot be attacked. */
#include "gateway_internal.h"

#include <stdlib.h>
#include <string.h>

static uint32_t home(uint64_t id)
{
    return (uint32_t)((id * 0x9e3779b97f4a7c15u) >> 40) & (CHANNEL_SLOTS - 1);
}

static uint32_t find_slot(const struct gateway *gateway, uint64_t id)
{
    uint32_t slot = home(id);
    while (gateway->channels[slot] && gateway->channels[slot]->id != id)
        slot = (slot + 1) & (CHANNEL_SLOTS - 1);
    return slot;
}

struct channel *channel_find(const struct gateway *gateway, uint64_t id)
{
    return gateway->channels[find_slot(gateway, id)];
}

struct channel *channel_open(struct gateway *gateway, uint64_t id)
{
    uint32_t slot = find_slot(gateway, id);
    if (gateway->channels[slot] || gateway->channel_count >= CHANNEL_SLOTS / 2)
        return NULL;
    struct channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return NULL;
    channel->id = id;
    channel->since_ms = gateway->now_ms;
    gateway->channels[slot] = channel;
    gateway->channel_count++;
    gateway->asked_count++;
    return channel;
}

void channel_close(struct gateway *gateway, struct channel *channel)
{
    const uint32_t mask = CHANNEL_SLOTS - 1;
    uint32_t hole = find_slot(gateway, channel->id);
    gateway->channels[hole] = NULL;
    for (uint32_t slot = (hole + 1) & mask; gateway->channels[slot]; slot = (slot + 1) & mask) {
        uint32_t wanted = home(gateway->channels[slot]->id);
        if (((slot - wanted) & mask) >= ((slot - hole) & mask)) {
            gateway->channels[hole] = gateway->channels[slot];
            gateway->channels[slot] = NULL;
            hole = slot;
        }
    }
    gateway->channel_count--;
    gateway->asked_count -= !channel->observed;
    while (channel->first)
        channel_unhold(channel);
    free(channel);
}

enum status channel_hold(struct channel *channel, struct bytes body)
{
    struct notice *notice = malloc(sizeof *notice + body.len);
    if (!notice)
        return NO_ROOM;
    *notice = (struct notice){.len = body.len};
    memcpy(notice->data, body.data, body.len);
    if (channel->notices == GATEWAY_NOTICES_MAX)
        channel_unhold(channel);
    *(channel->first ? &channel->last->next : &channel->first) = notice;
    channel->last = notice;
    channel->notices++;
    return OK;
}

void channel_unhold(struct channel *channel)
{
    struct notice *oldest = channel->first;
    channel->first = oldest->next;
    channel->notices--;
    free(oldest);
}
