/* The pool: made once, divided once. */
#include "memory_internal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#define PIECES_MAX 256
#define RANDOM_LEN 16        /* of AT_RANDOM */
#define WIPE_ASK (64u << 10) /* a call costs less than one page that is touched for the first time */
#define WIPE_PAGES 128u

static uint8_t *pool;
static size_t pool_len, pool_secret, pool_left;

/* Pool pages that are in a window, and where they belong. */
static struct {
    uint8_t *home, *at;
    size_t len;
} pieces[PIECES_MAX];

/* Secret memory over the first `len` bytes at `at`. */
static enum status map_secret(uint8_t *at, size_t len)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0)
        return UNSUPPORTED;
    void *map = MAP_FAILED;
    if (ftruncate(fd, (off_t)len) == 0)
        map = mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? IO : OK;
}

static enum status make_pool(const struct memory_options *options)
{
    struct rlimit limit = {0};
    void *map =
        mmap(NULL, options->pool_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return IO;
    pool = map;
    pool_len = options->pool_len;
    pool_secret = options->secret_len;
    enum status status = pool_secret ? map_secret(pool, pool_secret) : OK;
    if (status != OK && options->as_limited) {
        pool_secret = 0;
        if (status == IO && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < options->secret_len)
            pool_secret = limit.rlim_cur & ~(size_t)(MEMORY_PAGE - 1);
        if (pool_secret && map_secret(pool, pool_secret) != OK)
            pool_secret = 0;
        status = OK;
        /* A failed MAP_FIXED may have taken away what was there. */
        if (mmap(pool + pool_secret, pool_len - pool_secret, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
            status = IO;
    }
    if (status != OK) {
        munmap(pool, pool_len);
        pool = NULL;
    }
    return status;
}

static bool guard(size_t off)
{
    return mprotect(pool + off, MEMORY_PAGE, PROT_NONE) == 0;
}

static enum status divide(size_t data_len, size_t stack_len, uint8_t **stack_top)
{
    size_t stack = data_len + MEMORY_PAGE, signals = stack + stack_len + MEMORY_PAGE;
    size_t heap = signals + MEMORY_SIGNAL_STACK + MEMORY_PAGE;
    const stack_t alternate = {.ss_sp = pool + signals, .ss_size = MEMORY_SIGNAL_STACK};
    if (!guard(stack - MEMORY_PAGE) || !guard(signals - MEMORY_PAGE) || !guard(heap - MEMORY_PAGE) ||
        sigaltstack(&alternate, NULL) != 0)
        return IO;
    *stack_top = pool + stack + stack_len;
    heap_init(&memory_heap, pool + heap, pool_len - heap);
    return OK;
}

enum status memory_enter(const struct memory_options *options, int (*run)(void *user), void *user, int *result)
{
    size_t data_len, left, stack_len = options->stack_len ? options->stack_len : MEMORY_STACK_DEFAULT;
    uint8_t *stack_top = NULL;
    if (pool)
        return WRONG_STATE;
    TRY(memory_move_data(NULL, 0, &data_len, &left));
    size_t fixed = data_len + MEMORY_SIGNAL_STACK + 3 * MEMORY_PAGE;
    if (options->pool_len < MEMORY_POOL_MIN || options->secret_len > options->pool_len ||
        (options->pool_len | options->secret_len | stack_len) % MEMORY_PAGE || fixed > options->pool_len / 2 ||
        stack_len > options->pool_len / 4)
        return NO_ROOM;
    TRY(make_pool(options));
    TRY(divide(data_len, stack_len, &stack_top));
    /* Last, for what the copy holds must be final; from here to the end of the moves nothing is written to data. */
    size_t secret = pool_secret, moved;
    TRY(memory_move_data(pool, secret, &moved, &left));
    pool_left = left;
    uint8_t *random = (uint8_t *)getauxval(AT_RANDOM); /* canaries were made of them */
    if (random)
        memset(random, 0, RANDOM_LEN);
    *result = memory_on_stack(run, user, stack_top);
    return OK;
}

struct memory_account memory_account(void)
{
    return (struct memory_account){.secret_bytes = pool_secret,
                                   .unprotected_bytes = pool_len - pool_secret + pool_left,
                                   .heap_used = memory_heap.used};
}

/* Moves within the address space; the pool's two parts are two mappings, of which one call moves only one. */
static bool put_pages(uint8_t *from, uint8_t *to, size_t len, size_t first)
{
    if (first && mremap(from, first, first, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
        return false;
    return first == len ||
           mremap(from + first, len - first, len - first, MREMAP_MAYMOVE | MREMAP_FIXED, to + first) != MAP_FAILED;
}

static size_t part_before_limit(const uint8_t *home, size_t len)
{
    size_t off = (size_t)(home - pool);
    return off >= pool_secret || len <= pool_secret - off ? len : pool_secret - off;
}

enum status memory_reserve(void *user, size_t len, void **window)
{
    (void)user;
    void *map = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return IO;
    *window = map;
    return OK;
}

enum status memory_back(void *user, void *at, size_t len)
{
    size_t slot = 0;
    (void)user;
    while (slot < PIECES_MAX && pieces[slot].len)
        slot++;
    if (slot == PIECES_MAX || !memory_heap.base || len == 0)
        return NO_ROOM;
    uint8_t *home = heap_take(&memory_heap, len, MEMORY_PAGE);
    if (!home)
        return NO_ROOM;
    if (!put_pages(home, at, len, part_before_limit(home, len)))
        return IO; /* the pages are not looked for: set-up is over */
    pieces[slot].home = home;
    pieces[slot].at = at;
    pieces[slot].len = len;
    return OK;
}

void memory_release(void *user, void *window, size_t len)
{
    (void)user;
    for (size_t i = 0; i < PIECES_MAX; i++) {
        uint8_t *home = pieces[i].home, *at = pieces[i].at;
        if (pieces[i].len == 0 || at < (uint8_t *)window || at >= (uint8_t *)window + len)
            continue;
        size_t first = part_before_limit(home, pieces[i].len);
        if (put_pages(at, home, pieces[i].len, first))
            heap_give(&memory_heap, home); /* wipes */
        pieces[i].len = 0;
    }
    munmap(window, len);
}

/* Of long blocks often a part was used: libtpms asks for 277 KB to write 2 into it, at each change of its state. */
void memory_wipe(void *at, size_t len)
{
    uint8_t *from = at, *to = from + len, pages[WIPE_PAGES];
    if (len >= WIPE_ASK && from >= pool && to <= pool + pool_secret) {
        uint8_t *page = pool + (((size_t)(from - pool) + MEMORY_PAGE - 1) & ~(size_t)(MEMORY_PAGE - 1));
        memset(from, 0, (size_t)(page - from));
        for (from = page; to - from >= MEMORY_PAGE;) {
            size_t count = (size_t)(to - from) / MEMORY_PAGE;
            count = count < WIPE_PAGES ? count : WIPE_PAGES;
            if (mincore(from, count * MEMORY_PAGE, pages) != 0)
                break;
            for (size_t i = 0; i < count; i++, from += MEMORY_PAGE)
                if (pages[i] & 1)
                    memset(from, 0, MEMORY_PAGE);
        }
    }
    memset(from, 0, (size_t)(to - from));
}

/* Ordinary memory may have been swapped out, which mincore does not tell from never having been there. */
void memory_touched(void *user, const void *at, size_t len, uint8_t *pages)
{
    const uint8_t *from = at;
    (void)user;
    memset(pages, 1, len / MEMORY_PAGE);
    for (size_t i = 0; i < PIECES_MAX; i++) {
        size_t secret = pieces[i].len ? part_before_limit(pieces[i].home, pieces[i].len) : 0;
        if (secret == 0 || pieces[i].home >= pool + pool_secret || from < pieces[i].at || from >= pieces[i].at + secret)
            continue;
        size_t rest = secret - (size_t)(from - pieces[i].at), asked = len < rest ? len : rest;
        if (mincore((void *)(uintptr_t)at, asked, pages) != 0)
            memset(pages, 1, len / MEMORY_PAGE);
        return;
    }
}
