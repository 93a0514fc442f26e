/* Pool pages in place of data pages, contents and addresses unchanged: .data and .bss of program and libraries, and in
 * a static program its thread-local storage, which glibc puts where brk() points. */
#include "memory_internal.h"

#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define RANGES_MAX 64
#define LOOK_PAGES 128u
#define STATIC_TLS_MAX (1u << 20) /* further than this from the break it is not where we look for it */
#define THREAD_HEAD 4096u         /* more than what stands on the other side of the thread pointer */

struct ranges {
    struct {
        uintptr_t from, to;
    } of[RANGES_MAX];
    size_t count, objects;
    size_t tls_len; /* of the first object, that is the program */
    bool full;
};

static uintptr_t page_down(uintptr_t at)
{
    return at & ~(uintptr_t)(MEMORY_PAGE - 1);
}

static uintptr_t page_up(uintptr_t at)
{
    return page_down(at + MEMORY_PAGE - 1);
}

static void add(struct ranges *ranges, uintptr_t from, uintptr_t to)
{
    if (from >= to)
        return;
    if (ranges->count == RANGES_MAX) {
        ranges->full = true;
        return;
    }
    ranges->of[ranges->count].from = from;
    ranges->of[ranges->count++].to = to;
}

/* Of an object: its writable segments, without the pages that the loader made read-only after relocation. */
static int add_object(struct dl_phdr_info *info, size_t size, void *user)
{
    struct ranges *ranges = user;
    uintptr_t relro_from = 0, relro_to = 0;
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_GNU_RELRO) {
            relro_from = page_down(info->dlpi_addr + header->p_vaddr);
            relro_to = page_down(info->dlpi_addr + header->p_vaddr + header->p_memsz);
        } else if (header->p_type == PT_TLS && ranges->objects == 0) {
            ranges->tls_len = header->p_memsz + header->p_align;
        }
    }
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_W))
            continue;
        uintptr_t from = page_down(info->dlpi_addr + header->p_vaddr);
        uintptr_t to = page_up(info->dlpi_addr + header->p_vaddr + header->p_memsz);
        if (relro_from < relro_to && relro_from < to && from < relro_to) {
            add(ranges, from, relro_from);
            from = relro_to;
        }
        add(ranges, from, to);
    }
    ranges->objects++;
    return 0;
}

/* A static program's thread-local storage and thread descriptor, from before the thread pointer up to the break. A
 * dynamic program's is elsewhere, and its break never moved. */
static void add_thread(struct ranges *ranges)
{
    uintptr_t thread = (uintptr_t)__builtin_thread_pointer(), end = page_up((uintptr_t)sbrk(0));
#if defined(__x86_64__)
    uintptr_t from = page_down(thread - ranges->tls_len);
#else
    uintptr_t from = page_down(thread - THREAD_HEAD);
#endif
    if (thread < end && end - thread < STATIC_TLS_MAX)
        add(ranges, from, end);
}

static bool is_zero(const uint64_t *page)
{
    for (size_t i = 0; i < MEMORY_PAGE / sizeof *page; i++)
        if (page[i])
            return false;
    return true;
}

/* Which pages may hold something: fresh ones are zero, and dear to touch; even to look at one faults it in. Where
 * nothing is ever swapped out, those of .bss that are not in memory are fresh. */
static void find_touched(uintptr_t from, size_t pages, bool swaps, uint8_t *touched)
{
    if (swaps || mincore((void *)from, pages * MEMORY_PAGE, touched) != 0)
        memset(touched, 1, pages);
}

static bool replace(uint8_t *pool, uintptr_t from, size_t len)
{
    struct sysinfo facts;
    const bool swaps = sysinfo(&facts) != 0 || facts.totalswap != 0;
    uint8_t touched[LOOK_PAGES];
    for (size_t off = 0; off < len; off += MEMORY_PAGE) {
        const void *page = (const void *)(from + off);
        size_t at = off / MEMORY_PAGE % LOOK_PAGES, left = (len - off) / MEMORY_PAGE;
        if (at == 0)
            find_touched(from + off, left < LOOK_PAGES ? left : LOOK_PAGES, swaps, touched);
        if (touched[at] & 1 && !is_zero(page))
            memcpy(pool + off, page, MEMORY_PAGE);
    }
    return mremap(pool, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)from) != MAP_FAILED;
}

enum status memory_move_data(uint8_t *pool, size_t secret_len, size_t *moved, size_t *left)
{
    struct ranges ranges = {.count = 0};
    size_t used = 0;
    dl_iterate_phdr(add_object, &ranges);
    add_thread(&ranges);
    *left = 0;
    if (ranges.full)
        return NO_ROOM;
    for (size_t i = 0; i < ranges.count; i++) {
        size_t len = ranges.of[i].to - ranges.of[i].from;
        if (pool && len > secret_len - used) {
            *left += len; /* what is not secret anyway may stay where it is */
            continue;
        }
        if (pool && !replace(pool + used, ranges.of[i].from, len))
            return IO;
        used += len;
    }
    *moved = used;
    return OK;
}
