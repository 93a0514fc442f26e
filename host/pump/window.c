/* The host end of a door (abi/door.h). Positions of our own are kept here and only ever published; the other end's are
 * read once each time and checked before use. */
#include "pump_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MASK (DOOR_RING_LEN - 1)
#define PAGE 4096u

enum status window_open(struct window *window, const int door[LAUNCHED_DESCRIPTORS])
{
    const int shared = door[0];
    struct stat facts;
    void *map = MAP_FAILED;
    *window = (struct window){.enclave_waits = door[1], .host_waits = door[2], .sockets = door[3]};
    if (fstat(shared, &facts) == 0 && facts.st_size >= (off_t)sizeof(struct door_window))
        map = mmap(NULL, sizeof(struct door_window), PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    close(shared);
    if (map != MAP_FAILED)
        window->shared = map;
    if (map == MAP_FAILED || __atomic_load_n(&window->shared->version, __ATOMIC_ACQUIRE) != DOOR_VERSION) {
        window_close(window);
        return UNSUPPORTED;
    }
    /* An enclave may have spoken already, nobody has read or written our side yet. */
    return OK;
}

void window_close(struct window *window)
{
    if (window->shared)
        munmap(window->shared, sizeof *window->shared);
    if (window->enclave_waits >= 0)
        close(window->enclave_waits);
    if (window->host_waits >= 0)
        close(window->host_waits);
    if (window->sockets >= 0)
        close(window->sockets);
    *window = (struct window){.enclave_waits = -1, .host_waits = -1, .sockets = -1};
}

static void copy_out(const struct door_ring *ring, uint32_t at, void *to, size_t len)
{
    size_t off = at & MASK;
    size_t first = len < DOOR_RING_LEN - off ? len : DOOR_RING_LEN - off;
    memcpy(to, ring->data + off, first);
    memcpy((uint8_t *)to + first, ring->data, len - first);
}

static void copy_in(struct door_ring *ring, uint32_t at, struct bytes from)
{
    if (from.len == 0)
        return;
    size_t off = at & MASK;
    size_t first = from.len < DOOR_RING_LEN - off ? from.len : DOOR_RING_LEN - off;
    memcpy(ring->data + off, from.data, first);
    memcpy(ring->data, from.data + first, from.len - first);
}

static uint32_t padded(size_t len)
{
    return (uint32_t)(len + 7) & ~7u;
}

/* Pages between these positions, of which both ends are done and which we alone may write, are no memory any more: else
 * the whole ring were for good once as much had gone through it. In steps; what is left is for the next time. */
static uint32_t give_back(struct door_ring *ring, uint32_t from, uint32_t to)
{
    while (to - from >= DOOR_TAIL_LAG) {
        const size_t off = from & MASK;
        const size_t len = DOOR_TAIL_LAG < DOOR_RING_LEN - off ? DOOR_TAIL_LAG : DOOR_RING_LEN - off;
        const uintptr_t at = (uintptr_t)ring->data + off, end = at + len;
        const uintptr_t first = (at + PAGE - 1) & ~(uintptr_t)(PAGE - 1), last = end & ~(uintptr_t)(PAGE - 1);
        if (first < last)
            (void)madvise(ring->data + (first - (uintptr_t)ring->data), last - first, MADV_REMOVE); /* else it stays */
        from += (uint32_t)(off + len < DOOR_RING_LEN && first < last ? last - at : len);
    }
    return from;
}

enum status window_take(struct window *window, struct door_header *header, uint8_t *buffer)
{
    struct door_ring *ring = &window->shared->to_host;
    uint32_t used = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - window->tail;
    struct door_header copy;
    if (used == 0)
        return BUSY;
    if (used > DOOR_RING_LEN || used < sizeof copy)
        return MALFORMED;
    copy_out(ring, window->tail, &copy, sizeof copy);
    if (copy.len > DOOR_MESSAGE_MAX - sizeof copy || padded(sizeof copy + copy.len) > used)
        return MALFORMED;
    copy_out(ring, window->tail + (uint32_t)sizeof copy, buffer, copy.len);
    window->tail += padded(sizeof copy + copy.len);
    window->taken = give_back(ring, window->taken, window->tail); /* before it is the enclave's again */
    __atomic_store_n(&ring->tail, window->taken, __ATOMIC_RELEASE);
    *header = copy;
    return OK;
}

static void ring_for(const struct window *window)
{
    uint64_t one = 1;
    ssize_t written = write(window->enclave_waits, &one, sizeof one);
    (void)written; /* a full counter is a signal too */
}

enum status window_put(struct window *window, const struct door_header *header, struct bytes first, struct bytes second)
{
    struct door_ring *ring = &window->shared->to_enclave;
    if (first.len > DOOR_MESSAGE_MAX - sizeof *header || second.len > DOOR_MESSAGE_MAX - sizeof *header - first.len)
        return NO_ROOM;
    uint32_t need = padded(sizeof *header + first.len + second.len);
    const uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE), used = window->head - tail;
    if (used > DOOR_RING_LEN)
        return MALFORMED;
    if (need > DOOR_RING_LEN - used)
        return BUSY;
    if (tail - window->read <= DOOR_RING_LEN)
        window->read = give_back(ring, window->read, tail);
    if (window->head + need - window->read > DOOR_RING_LEN)
        window->read = tail; /* what is before it is about to be written again */
    struct door_header copy = *header;
    copy.len = (uint32_t)(first.len + second.len);
    copy_in(ring, window->head, bytes_from(&copy, sizeof copy));
    copy_in(ring, window->head + (uint32_t)sizeof copy, first);
    copy_in(ring, window->head + (uint32_t)(sizeof copy + first.len), second);
    window->head += need;
    /* Sequentially consistent with the reader's `waiting, then head`: one of us sees the other. */
    __atomic_store_n(&ring->head, window->head, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->waiting, __ATOMIC_SEQ_CST))
        ring_for(window);
    return OK;
}

enum status window_hand(const struct window *window, uint64_t id, int fd)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } room = {.space = {0}};
    struct door_socket socket = {.id = id};
    struct iovec piece = {&socket, sizeof socket};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room.space, .msg_controllen = sizeof room.space};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
    if (sendmsg(window->sockets, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof socket)
        return BUSY;
    ring_for(window);
    return OK;
}

void window_awake(struct window *window)
{
    uint64_t count;
    __atomic_store_n(&window->shared->to_host.waiting, 0, __ATOMIC_SEQ_CST);
    ssize_t got = read(window->host_waits, &count, sizeof count);
    (void)got; /* nothing to take when something else woke us */
}

bool window_sleep(struct window *window)
{
    struct door_ring *ring = &window->shared->to_host;
    __atomic_store_n(&ring->waiting, 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&ring->head, __ATOMIC_SEQ_CST) == window->tail;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void rest(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool window_linger(const struct window *window, uint64_t most_ns)
{
    const struct door_ring *ring = &window->shared->to_host;
    const uint64_t end = now_ns() + most_ns;
    do {
        for (int i = 0; i < 16; i++) {
            if (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) != window->tail)
                return true;
            rest();
        }
    } while (now_ns() < end);
    return false;
}
