/* malloc() and its family, for the whole program. Not under the address sanitizer, which brings its own. */
#include "memory_internal.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define EARLY_LEN (512u << 10)

struct heap memory_heap;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define OTHERS_SERVE
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define OTHERS_SERVE
#endif

#ifndef OTHERS_SERVE

static _Alignas(64) uint8_t early_arena[EARLY_LEN];
static struct heap early_heap;

static void *take(size_t len, size_t align)
{
    if (!memory_heap.base && !early_heap.base)
        heap_init(&early_heap, early_arena, sizeof early_arena);
    void *got = heap_take(memory_heap.base ? &memory_heap : &early_heap, len, align);
    if (!got)
        errno = ENOMEM;
    return got;
}

static struct heap *owner_of(const void *payload)
{
    return heap_owns(&early_heap, payload) ? &early_heap : &memory_heap;
}

void *malloc(size_t len)
{
    return take(len, 1);
}

void *calloc(size_t count, size_t len)
{
    size_t whole;
    if (__builtin_mul_overflow(count, len, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return take(whole, 1); /* free memory is zero */
}

void free(void *payload)
{
    if (payload)
        heap_give(owner_of(payload), payload);
}

void *realloc(void *payload, size_t len)
{
    if (!payload)
        return take(len, 1);
    if (len == 0) {
        free(payload);
        return NULL;
    }
    struct heap *owner = owner_of(payload);
    if (heap_resize(owner, payload, len))
        return payload;
    void *moved = take(len, 1);
    if (!moved)
        return NULL;
    size_t had = heap_len(owner, payload);
    memcpy(moved, payload, had < len ? had : len);
    heap_give(owner, payload);
    return moved;
}

size_t malloc_usable_size(void *payload)
{
    return payload ? heap_len(owner_of(payload), payload) : 0;
}

int posix_memalign(void **out, size_t align, size_t len)
{
    if (align == 0 || align & (align - 1) || align % sizeof(void *))
        return EINVAL;
    int error = errno;
    void *got = take(len, align);
    errno = error;
    if (!got)
        return ENOMEM;
    *out = got;
    return 0;
}

void *memalign(size_t align, size_t len)
{
    if (align == 0 || align & (align - 1)) {
        errno = EINVAL;
        return NULL;
    }
    return take(len, align);
}

void *aligned_alloc(size_t align, size_t len)
{
    return memalign(align, len);
}

void *valloc(size_t len)
{
    return take(len, MEMORY_PAGE);
}

void *pvalloc(size_t len)
{
    return len > SIZE_MAX - MEMORY_PAGE ? NULL
                                        : take((len + MEMORY_PAGE - 1) & ~(size_t)(MEMORY_PAGE - 1), MEMORY_PAGE);
}

#endif
