/* A heap: blocks with headers before them, free ones in bins by size (eight to a power of two), merged with their free
 * neighbours at once. Every operation looks at a bounded number of blocks. What it finds in a header it checks against
 * the neighbour's before it acts. */
#include "memory_internal.h"

#include <string.h>

#define FREE 1u
#define HEADER sizeof(struct heap_block)
#define STEPS 8u /* bins to a power of two */
#define LEN_MAX (1ull << 40)
#define SCAN_MAX 64

struct links {
    struct heap_block *next, *last;
};

static size_t block_len(const struct heap_block *block)
{
    return block->len & ~(size_t)FREE;
}

static bool is_free(const struct heap_block *block)
{
    return block->len & FREE;
}

static uint8_t *payload_of(struct heap_block *block)
{
    return (uint8_t *)block + HEADER;
}

static struct links *links_of(struct heap_block *block)
{
    return (void *)payload_of(block);
}

static struct heap_block *after(struct heap_block *block)
{
    return (void *)(payload_of(block) + block_len(block));
}

static size_t bin_of(size_t len)
{
    if (len < STEPS * HEAP_GRAIN)
        return len / HEAP_GRAIN;
    unsigned power = 63u - (unsigned)__builtin_clzll(len);
    return (power - 6) * STEPS + (len >> (power - 3)) % STEPS;
}

static void link_in(struct heap *heap, struct heap_block *block)
{
    size_t bin = bin_of(block_len(block));
    struct heap_block *next = heap->bins[bin];
    *links_of(block) = (struct links){.next = next};
    if (next)
        links_of(next)->last = block;
    heap->bins[bin] = block;
    heap->used_bins[bin / 64] |= 1ull << bin % 64;
    block->len |= FREE;
}

static void link_out(struct heap *heap, struct heap_block *block)
{
    size_t bin = bin_of(block_len(block));
    struct links *links = links_of(block);
    if (links->next)
        links_of(links->next)->last = links->last;
    if (links->last)
        links_of(links->last)->next = links->next;
    else
        heap->bins[bin] = links->next;
    if (heap->bins[bin] == NULL)
        heap->used_bins[bin / 64] &= ~(1ull << bin % 64);
    *links = (struct links){NULL, NULL};
    block->len &= ~(size_t)FREE;
}

void heap_init(struct heap *heap, void *base, size_t len)
{
    struct heap_block *first = base;
    len &= ~(size_t)(HEAP_GRAIN - 1);
    *heap = (struct heap){.base = base, .end = (uint8_t *)base + len};
    first->len = len - 2 * HEADER;
    first->before = NULL;
    *after(first) = (struct heap_block){.len = 0, .before = first};
    link_in(heap, first);
}

/* A block of any bin above that of `len` fits; of its own bin, the first few are looked at. */
static struct heap_block *find(const struct heap *heap, size_t len)
{
    size_t bin = bin_of(len), scanned = 0;
    for (struct heap_block *block = heap->bins[bin]; block && scanned < SCAN_MAX; block = links_of(block)->next) {
        if (block_len(block) >= len)
            return block;
        scanned++;
    }
    bin++;
    uint64_t word = heap->used_bins[bin / 64] & (~0ull << bin % 64);
    for (size_t at = bin / 64;; word = heap->used_bins[at]) {
        if (word)
            return heap->bins[at * 64 + (size_t)__builtin_ctzll(word)];
        if (++at == HEAP_BINS / 64)
            return NULL;
    }
}

/* Cut a block in use behind `len` bytes; what is behind becomes a free block, if it is long enough for one. */
static void cut(struct heap *heap, struct heap_block *block, size_t len)
{
    size_t rest = block_len(block) - len;
    if (rest < HEADER + HEAP_GRAIN)
        return;
    struct heap_block *behind = after(block);
    struct heap_block *tail = (void *)(payload_of(block) + len);
    block->len = len;
    *tail = (struct heap_block){.len = rest - HEADER, .before = block};
    if (is_free(behind)) {
        link_out(heap, behind);
        tail->len += HEADER + block_len(behind);
        *behind = (struct heap_block){0};
        behind = after(tail);
    }
    behind->before = tail;
    link_in(heap, tail);
}

/* Let the payload begin at a multiple of `align`: what is before it becomes a free block of its own. */
static struct heap_block *skip_to(struct heap *heap, struct heap_block *block, size_t align)
{
    uintptr_t start = (uintptr_t)payload_of(block);
    uintptr_t wanted = (start + align - 1) & ~(uintptr_t)(align - 1);
    if (wanted == start)
        return block;
    if (wanted - start < HEADER + HEAP_GRAIN)
        wanted += align;
    struct heap_block *moved = (void *)(payload_of(block) + (wanted - start) - HEADER);
    *moved = (struct heap_block){.len = block_len(block) - (wanted - start), .before = block};
    after(moved)->before = moved;
    block->len = wanted - start - HEADER;
    link_in(heap, block);
    return moved;
}

void *heap_take(struct heap *heap, size_t len, size_t align)
{
    if (len > LEN_MAX || align > LEN_MAX || !heap->base)
        return NULL;
    len = len ? (len + HEAP_GRAIN - 1) & ~(size_t)(HEAP_GRAIN - 1) : HEAP_GRAIN;
    bool aligned = align > HEAP_GRAIN;
    struct heap_block *block = find(heap, aligned ? len + align + HEADER + HEAP_GRAIN : len);
    if (!block)
        return NULL;
    link_out(heap, block);
    if (aligned)
        block = skip_to(heap, block, align);
    cut(heap, block, len);
    heap->used += block_len(block);
    return payload_of(block);
}

bool heap_owns(const struct heap *heap, const void *payload)
{
    const uint8_t *at = payload;
    return heap->base && at >= heap->base && at < heap->end;
}

static struct heap_block *in_use(const struct heap *heap, const void *payload)
{
    struct heap_block *block = (void *)((uintptr_t)payload - HEADER);
    if (!heap_owns(heap, payload) || (uintptr_t)payload % HEAP_GRAIN || !heap_owns(heap, block) || is_free(block) ||
        block->len == 0 || block->len > (size_t)(heap->end - (const uint8_t *)payload) - HEADER ||
        after(block)->before != block)
        __builtin_trap();
    return block;
}

size_t heap_len(const struct heap *heap, const void *payload)
{
    return block_len(in_use(heap, payload));
}

void heap_give(struct heap *heap, void *payload)
{
    struct heap_block *block = in_use(heap, payload);
    struct heap_block *behind = after(block), *before = block->before;
    heap->used -= block_len(block);
    memory_wipe(payload, block_len(block));
    if (is_free(behind)) {
        link_out(heap, behind);
        block->len += HEADER + block_len(behind);
        *behind = (struct heap_block){0};
    }
    if (before && is_free(before)) {
        link_out(heap, before);
        before->len += HEADER + block_len(block);
        *block = (struct heap_block){0};
        block = before;
    }
    after(block)->before = block;
    link_in(heap, block);
}

bool heap_resize(struct heap *heap, void *payload, size_t len)
{
    struct heap_block *block = in_use(heap, payload), *behind = after(block);
    size_t had = block_len(block);
    if (len > LEN_MAX)
        return false;
    len = len ? (len + HEAP_GRAIN - 1) & ~(size_t)(HEAP_GRAIN - 1) : HEAP_GRAIN;
    if (len > had) {
        if (!is_free(behind) || len - had > HEADER + block_len(behind))
            return false;
        link_out(heap, behind);
        block->len = had + HEADER + block_len(behind);
        *behind = (struct heap_block){0};
        after(block)->before = block;
    } else {
        memory_wipe(payload_of(block) + len, had - len);
    }
    cut(heap, block, len);
    heap->used += block_len(block) - had;
    return true;
}
