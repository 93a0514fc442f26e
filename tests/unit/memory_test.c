/* Everything here runs on the pool's stack, with the pool's heap under it: memory_enter() comes before cmocka. */
#include "check.h"

#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define POOL (8u << 20)
#define ROUNDS 60000
#define SLOTS 256

static char in_data[] = "planted in data";
static char in_bss[64];
static int before_enter; /* changed before, seen after */
static void *early;      /* allocated before */
static bool secret, half, interposed;

/* As another process would: by /proc, which for secret memory fails. */
static bool readable(const void *at)
{
    char got;
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    ssize_t len = pread(fd, &got, 1, (off_t)(uintptr_t)at);
    close(fd);
    return len == 1;
}

static void stack_heap_and_data_cannot_be_read_from_outside(void **state)
{
    char on_stack[16] = "stack";
    char *on_heap = strdup("heap");
    (void)state;
    if (!secret && !half) {
        assert_true(readable(on_stack)); /* the control */
        free(on_heap);
        return;
    }
    memcpy(in_bss, "bss", 4);
    assert_false(readable(on_stack));
    assert_false(readable(in_data));
    assert_false(readable(in_bss));
    if (interposed)
        assert_false(readable(on_heap));
    assert_true(readable("text is public"));
    assert_string_equal("planted in data", in_data);
    free(on_heap);
}

static void what_was_there_before_is_there_after(void **state)
{
    (void)state;
    assert_int_equal(42, before_enter);
    assert_string_equal("early", early);
    early = realloc(early, 5000);
    assert_string_equal("early", early);
    free(early);
}

static void it_is_accounted_to_the_byte(void **state)
{
    (void)state;
    struct memory_account account = memory_account();
    assert_true(account.secret_bytes + account.unprotected_bytes >= POOL);
    if (secret) {
        assert_int_equal(POOL, account.secret_bytes);
        assert_int_equal(0, account.unprotected_bytes);
    }
    if (!interposed)
        return;
    void *volatile some = malloc(1000);
    assert_int_equal(account.heap_used + 1008, memory_account().heap_used);
    free(some);
    assert_int_equal(account.heap_used, memory_account().heap_used);
}

static void a_second_pool_is_refused(void **state)
{
    int result;
    (void)state;
    check_status(WRONG_STATE, memory_enter(&(struct memory_options){.pool_len = POOL}, NULL, NULL, &result));
}

static uint32_t next_random(void)
{
    static uint64_t seed = 88172645463325252u;
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

struct slot {
    uint8_t *at;
    size_t len;
    uint8_t mark;
};

static void check_slot(const struct slot *slot)
{
    for (size_t i = 0; i < slot->len; i++)
        assert_int_equal(slot->mark, slot->at[i]);
}

static void resize(struct slot *slot, size_t len)
{
    uint8_t *at = realloc(slot->at, len);
    assert_non_null(at);
    slot->at = at;
    slot->len = slot->len < len ? slot->len : len;
    check_slot(slot);
    memset(at, slot->mark, len);
    slot->len = len;
}

static void blocks_never_overlap_and_fresh_ones_are_zero(void **state)
{
    static struct slot slots[SLOTS];
    uint64_t used = memory_account().heap_used;
    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        struct slot *slot = &slots[next_random() % SLOTS];
        size_t len = 1 + next_random() % (round % 16 ? 300 : 20000);
        if (!slot->at) {
            size_t align = (size_t)16 << next_random() % 9;
            bool aligned = next_random() % 4 == 0;
            slot->at = aligned ? aligned_alloc(align, len) : calloc(1, len);
            assert_non_null(slot->at);
            assert_int_equal(0, (uintptr_t)slot->at % (aligned ? align : 16));
            if (!aligned || interposed)
                for (size_t i = 0; i < len; i++)
                    assert_int_equal(0, slot->at[i]);
            slot->len = len;
            slot->mark = (uint8_t)(1 + round % 255);
            memset(slot->at, slot->mark, len);
        } else if (next_random() % 3 == 0) {
            resize(slot, len);
        } else {
            check_slot(slot);
            free(slot->at);
            *slot = (struct slot){0};
        }
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(slots[i].at);
    if (interposed)
        assert_int_equal(used, memory_account().heap_used);
}

static void an_empty_heap_says_so_and_works_on(void **state)
{
    void *held[64];
    size_t count = 0;
    volatile size_t most = SIZE_MAX;
    (void)state;
    if (!interposed)
        skip();
    while (count < 64 && (held[count] = malloc(256u << 10)))
        count++;
    assert_true(count > 10 && count < 64);
    assert_int_equal(ENOMEM, errno);
    assert_null(malloc(most));
    assert_null(calloc(most / 2, 4));
    for (size_t i = 0; i < count; i++)
        free(held[i]);
    void *whole = malloc((size_t)4 << 20); /* merged again */
    assert_non_null(whole);
    free(whole);
}

static void freed_memory_is_wiped(void **state)
{
    (void)state;
    if (!interposed)
        skip();
    uint8_t *block = malloc(4096);
    volatile uint8_t *seen = block; /* looked at after it was freed, on purpose */
    memset(block, 0xaa, 4096);
    __asm__ volatile("" : "+r"(block) : : "memory");
    free(block);
    for (size_t i = 32; i < 4096; i++) /* the links are in front */
        assert_int_equal(0, seen[i]);
}

static int end_of(void (*does)(void))
{
    int wait_status;
    fflush(NULL);
    pid_t child = fork(); /* shares the pool with us: it may only die */
    if (child == 0) {
        signal(SIGILL, SIG_DFL); /* cmocka's handler */
        does();
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &wait_status, 0));
    return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
}

static void free_twice(void)
{
    char *volatile block = malloc(64);
    free(block);
    free(block);
}

static void free_inside(void)
{
    char *volatile block = malloc(64);
    volatile size_t inside = 16;
    free(block + inside);
}

static void a_wrong_free_ends_the_process(void **state)
{
    (void)state;
    if (secret || half) /* a child on a shared stack would run over ours: tried in the run without */
        return;
    if (!interposed)
        skip();
    assert_int_equal(SIGILL, end_of(free_twice));
    assert_int_equal(SIGILL, end_of(free_inside));
}

static void windows_take_pages_and_give_them_back(void **state)
{
    void *window;
    uint64_t used = memory_account().heap_used;
    (void)state;
    if (!interposed)
        skip();
    check_ok(memory_reserve(NULL, 1ull << 33, &window));
    uint8_t *at = (uint8_t *)window + (1u << 30);
    check_ok(memory_back(NULL, at, 3u << 20));
    for (size_t i = 0; i < 3u << 20; i += 4096)
        assert_int_equal(0, at[i]);
    memset(at, 0x55, 3u << 20);
    if (secret)
        assert_false(readable(at));
    check_status(NO_ROOM, memory_back(NULL, at + (16u << 20), 16u << 20));
    memory_release(NULL, window, 1ull << 33);
    assert_int_equal(used, memory_account().heap_used);
    uint8_t *again = calloc(1, 3u << 20);
    for (size_t i = 0; i < 3u << 20; i++)
        assert_int_equal(0, again[i]);
    free(again);
}

static int run(void *user)
{
    (void)user;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_there_before_is_there_after),
        cmocka_unit_test(stack_heap_and_data_cannot_be_read_from_outside),
        cmocka_unit_test(it_is_accounted_to_the_byte),
        cmocka_unit_test(a_second_pool_is_refused),
        cmocka_unit_test(blocks_never_overlap_and_fresh_ones_are_zero),
        cmocka_unit_test(freed_memory_is_wiped),
        cmocka_unit_test(an_empty_heap_says_so_and_works_on),
        cmocka_unit_test(windows_take_pages_and_give_them_back),
        cmocka_unit_test(a_wrong_free_ends_the_process),
    };
    uint64_t used = memory_account().heap_used;
    void *volatile probe = malloc(64);
    interposed = memory_account().heap_used > used;
    free(probe);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Once with secret memory, once with half of it, once without: a process has one pool. */
int main(int argc, char **argv)
{
    static const size_t parts[] = {POOL, POOL / 2, 0};
    int result = 1, bad = 0;
    if (argc > 1) {
        size_t part = parts[argv[1][0] - '0'];
        const struct memory_options options = {.pool_len = POOL, .secret_len = part};
        int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
        close(fd);
        before_enter = 42;
        early = strdup("early");
        secret = part == POOL;
        half = part == POOL / 2; /* the first half, where stack and data are */
        enum status status = memory_enter(&options, run, NULL, &result);
        if (status == UNSUPPORTED && fd < 0)
            return 77; /* told below */
        return status == OK ? result : 100 + (int)status;
    }
    for (size_t i = 0; i < 3; i++) {
        char number[2] = {(char)('0' + i), 0};
        char *const arguments[] = {argv[0], number, NULL};
        int wait_status;
        pid_t child = fork();
        if (child == 0) {
            execv("/proc/self/exe", arguments);
            _exit(127);
        }
        waitpid(child, &wait_status, 0);
        int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
        printf("pool with %zu secret bytes: %s (%d)\n", parts[i],
               code == 77 ? "skipped: this kernel has no secret memory"
               : code     ? "FAILED"
                          : "ok",
               code);
        bad |= code != 0 && code != 77;
    }
    return bad;
}
