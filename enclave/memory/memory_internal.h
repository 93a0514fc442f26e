/* memory, inside: the heap that both arenas are, and the way onto another stack.
 * Never included outside this directory. */
#ifndef BASTIDE_MEMORY_INTERNAL_H
#define BASTIDE_MEMORY_INTERNAL_H

#include "memory.h"

#define MEMORY_PAGE 4096u
#define HEAP_BINS 320
#define HEAP_GRAIN 16u

/* heap.c. A block is its header and a payload of whole grains; blocks lie one behind the other, the last one is empty
 * and never free. The payload of a free block is zero but for its links, so that calloc() has nothing to do. */
struct heap_block {
    size_t len;                /* of the payload; bit 0: free */
    struct heap_block *before; /* NULL for the first */
};

struct heap {
    uint8_t *base, *end; /* NULL: there is none */
    struct heap_block *bins[HEAP_BINS];
    uint64_t used_bins[HEAP_BINS / 64];
    size_t used; /* payload bytes handed out */
};

/* `base` is zeroed memory and aligned to a grain. */
void heap_init(struct heap *heap, void *base, size_t len);
/* Zeroed; NULL when nothing is long enough. `align` is a power of two. */
void *heap_take(struct heap *heap, size_t len, size_t align);
/* Wipes. Traps on what is not a block in use: a corrupt heap must not go on. */
void heap_give(struct heap *heap, void *payload);
/* In place, or not at all (then nothing changed). What is cut off is wiped. */
bool heap_resize(struct heap *heap, void *payload, size_t len);
size_t heap_len(const struct heap *heap, const void *payload);
bool heap_owns(const struct heap *heap, const void *payload);

/* malloc.c: the heap that serves, once there is a pool. */
extern struct heap memory_heap;

/* pool.c. Zeros there; pages of secret memory that were never touched stay so. */
void memory_wipe(void *at, size_t len);

/* move.c: pages of `pool` over the writable data of program and libraries; returns how many bytes of the pool that
 * takes, and with `pool` NULL only that. `left` counts bytes that stayed. */
MUST_USE enum status memory_move_data(uint8_t *pool, size_t secret_len, size_t *moved, size_t *left);

/* stack.c */
int memory_on_stack(int (*run)(void *user), void *user, void *top);

#endif
