/* The enclave's end of the door (abi/door.h). The host can write anywhere in the window at any time. So: our own
 * positions are kept here and only ever published; the host's are read once and checked by subtraction; a header is
 * copied before it is looked at; payloads are copied before they are given to anyone. */
#include "runtime.h"

#include <string.h>

#define MASK (DOOR_RING_LEN - 1)

static void copy_out(const struct door_ring *ring, uint32_t at, void *to, size_t len)
{
    size_t off = at & MASK;
    size_t first = len < DOOR_RING_LEN - off ? len : DOOR_RING_LEN - off;
    memcpy(to, ring->data + off, first);
    memcpy((uint8_t *)to + first, ring->data, len - first);
}

static void copy_in(struct door_ring *ring, uint32_t at, struct bytes from)
{
    size_t off = at & MASK;
    size_t first = from.len < DOOR_RING_LEN - off ? from.len : DOOR_RING_LEN - off;
    if (from.len == 0)
        return;
    memcpy(ring->data + off, from.data, first);
    memcpy(ring->data, from.data + first, from.len - first);
}

static uint32_t padded(size_t len)
{
    return (uint32_t)(len + 7) & ~7u;
}

enum status door_take(struct door *door, struct door_header *header, uint8_t *payload)
{
    struct door_ring *ring = &door->window->to_enclave;
    uint32_t used = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - door->tail;
    struct door_header copy;
    if (used == 0)
        return WRONG_STATE;
    if (used > DOOR_RING_LEN || used < sizeof copy)
        return MALFORMED;
    copy_out(ring, door->tail, &copy, sizeof copy);
    __asm__ volatile("" : "+m"(copy)); /* the compiler must not look at the window again instead */
    if (copy.len > DOOR_MESSAGE_MAX - sizeof copy || padded(sizeof copy + copy.len) > used)
        return MALFORMED;
    copy_out(ring, door->tail + (uint32_t)sizeof copy, payload, copy.len);
    door->tail += padded(sizeof copy + copy.len);
    __atomic_store_n(&ring->tail, door->tail, __ATOMIC_RELEASE);
    *header = copy;
    return OK;
}

enum status door_put(struct door *door, const struct door_header *header, const struct bytes *parts, size_t count,
                     bool *wake)
{
    struct door_ring *ring = &door->window->to_host;
    struct door_header copy = *header;
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > DOOR_MESSAGE_MAX - sizeof copy - len)
            return NO_ROOM;
        len += parts[i].len;
    }
    uint32_t need = padded(sizeof copy + len);
    uint32_t used = door->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    if (used > DOOR_RING_LEN)
        return MALFORMED;
    if (need > DOOR_RING_LEN - used)
        return BUSY;
    copy.len = (uint32_t)len;
    copy_in(ring, door->head, bytes_from(&copy, sizeof copy));
    uint32_t at = door->head + (uint32_t)sizeof copy;
    for (size_t i = 0; i < count; i++) {
        copy_in(ring, at, parts[i]);
        at += (uint32_t)parts[i].len;
    }
    door->head += need;
    /* Sequentially consistent with the reader's `waiting, then head`: one of us sees the other. */
    __atomic_store_n(&ring->head, door->head, __ATOMIC_SEQ_CST);
    *wake = __atomic_load_n(&ring->waiting, __ATOMIC_SEQ_CST) != 0;
    return OK;
}

bool door_sleep(struct door *door)
{
    struct door_ring *ring = &door->window->to_enclave;
    if (!door->waiting)
        __atomic_store_n(&ring->waiting, 1, __ATOMIC_SEQ_CST);
    door->waiting = true;
    return __atomic_load_n(&ring->head, __ATOMIC_SEQ_CST) == door->tail;
}

void door_awake(struct door *door)
{
    __atomic_store_n(&door->window->to_enclave.waiting, 0, __ATOMIC_SEQ_CST);
    door->waiting = false;
}
