/* The enclave's end of the door against a host that writes whatever it likes into the window, while it is read: the
 * input is what the host writes, and another thread goes on flipping bytes of it. Whatever comes, no byte beyond a
 * message's limit is written, and what was handed out is a message that holds to the rules. */
#include "runtime.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROUNDS 8
#define FENCE 64
#define FENCE_BYTE 0xc5

static struct door_window window;
static uint8_t room[DOOR_MESSAGE_MAX + FENCE];
static atomic_uint flips; /* where the other thread is busy; 0: nowhere */

__attribute__((no_sanitize("thread"))) static void *flip(void *unused)
{
    volatile uint8_t *ring = (volatile uint8_t *)&window.to_enclave;
    (void)unused;
    for (unsigned turn = 0;; turn++) {
        unsigned where = atomic_load(&flips);
        if (where == 0)
            usleep(50);
        else /* positions and headers are where a second look would hurt */
            ring[(where + turn % 24) % sizeof window.to_enclave] ^= (uint8_t)(1u << turn % 8);
    }
    return NULL;
}

static void take_all(struct door *door)
{
    struct door_header header = {.id = 77};
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum status status = door_take(door, &header, room);
        if (status == OK && header.len > DOOR_MESSAGE_MAX - sizeof header)
            abort();
        for (size_t at = DOOR_MESSAGE_MAX; at < sizeof room; at++)
            if (room[at] != FENCE_BYTE)
                abort();
        if (status == MALFORMED)
            return;
        if (status != OK && status != WRONG_STATE)
            abort();
    }
}

static void put_some(struct door *door, struct bytes what)
{
    const struct door_header header = {.operation = DOOR_REPLY, .id = 9};
    const struct bytes parts[] = {what, what};
    bool wake = false;
    uint32_t before = door->head;
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum status status = door_put(door, &header, parts, 2, &wake);
        if (status != OK && status != BUSY && status != MALFORMED)
            abort();
        if (status == OK && door->head - before < sizeof header + 2 * what.len)
            abort();
        if (status != OK && door->head != before)
            abort();
        before = door->head;
    }
}

/* The first bytes: our tail and the host's positions; then where the other thread flips; then the ring's content. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static pthread_t other;
    struct reader reader = reader_over(bytes_from(data, len));
    if (!other && pthread_create(&other, NULL, flip, NULL) != 0)
        abort();
    uint32_t tail = take_u32le(&reader), used = take_u32le(&reader), theirs = take_u32le(&reader);
    unsigned where = take_u16le(&reader);
    struct bytes content = take_rest(&reader);
    if (content.len > 4096)
        content.len = 4096;
    struct door door = {.window = &window, .head = tail, .tail = tail};
    memset(room + DOOR_MESSAGE_MAX, FENCE_BYTE, FENCE);
    for (size_t i = 0; i < content.len; i++)
        window.to_enclave.data[(tail + i) % DOOR_RING_LEN] = content.data[i];
    window.to_enclave.head = tail + used;
    window.to_host.tail = theirs;
    window.to_host.waiting = used & 1;
    /* Half of the inputs without the other thread: those are repeated exactly. */
    if (where & 1)
        atomic_store(&flips, (unsigned)(where & 2 ? 0 : offsetof(struct door_ring, data) + tail % DOOR_RING_LEN) + 1);
    take_all(&door);
    put_some(&door, content);
    (void)door_sleep(&door);
    door_awake(&door);
    atomic_store(&flips, 0);
    return 0;
}
