/* memory: one pool of secret memory for a process — heap, main stack, signal stack, the program's own data, and what
 * guests may write. Never gives memory back to the kernel, never keeps a descriptor of it, and after memory_enter()
 * makes no system call but in the functions marked [set-up], and mincore(): in memory_touched(), and where a long block
 * is freed.
 *
 * Secret memory (memfd_secret) is out of the kernel's own address space: /proc/PID/mem, process_vm_readv and ptrace's
 * PEEK cannot read it, it is never swapped and never in a core. Its descriptor is closed once it is mapped: who cannot
 * have the descriptor cannot map it a second time. It is a shared mapping, so a process that entered must not fork();
 * posix_spawn() is fine, its child borrows the whole address space.
 *
 * The pool, from its first byte on (the first `secret_len` are secret, the others ordinary memory):
 *   pages moved over the data of program and libraries · guard · stack · guard · signal stack · guard · heap
 * so whatever limit there is, what is needed most is secret first. It is faulted page by page, as it is used (15 µs a
 * page); nothing here touches a page without need, and freed memory is wiped in place.
 *
 * The room replaces malloc() and its family in the whole program, from the first call on. Before memory_enter() they
 * are served from an arena of 512 KiB in .bss: in an enclave what stdio and libcrypto's tables took before, in the
 * monitor and the key holder what the dynamic linker and the libraries' constructors took. It is moved like all data.
 *
 * Left outside: text, read-only data and relocated read-only data (RELRO), the kernel's first stack (argv, environment,
 * auxiliary vector; the kernel's random bytes in it are wiped), thread-local storage of dynamic programs (errno, stack
 * canary; that of static ones is moved). One thread only. */
#ifndef BASTIDE_MEMORY_H
#define BASTIDE_MEMORY_H

#include "base.h"

#define MEMORY_POOL_MIN (4u << 20)
#define MEMORY_STACK_DEFAULT (1u << 20)
#define MEMORY_SIGNAL_STACK (64u << 10)

struct memory_options {
    size_t pool_len;   /* at least MEMORY_POOL_MIN; whole pages */
    size_t secret_len; /* at most pool_len; whole pages. 0: all of it is ordinary memory */
    size_t stack_len;  /* 0 for MEMORY_STACK_DEFAULT; whole pages */
    bool as_limited;   /* secret_len is a wish: what RLIMIT_MEMLOCK does not allow is ordinary memory */
};

/* [set-up] Once: make the pool, move everything into it, and run `run` on its stack, whose result becomes *result.
 * NO_ROOM: the pool is too small; UNSUPPORTED: the kernel has no secret memory; IO: it gives no memory, or less secret
 * memory than asked for (RLIMIT_MEMLOCK); WRONG_STATE: entered before. */
MUST_USE enum status memory_enter(const struct memory_options *options, int (*run)(void *user), void *user,
                                  int *result);

/* Of the process's writable memory, guards included; zeros before memory_enter(). */
struct memory_account {
    uint64_t secret_bytes;
    uint64_t unprotected_bytes; /* the pool's other part, and data that could not be moved */
    uint64_t heap_used;         /* bytes handed out, of either part */
};
struct memory_account memory_account(void);

/* [set-up] For guests: address space that nothing may touch, pool pages put into it, all of it given up again (the
 * pages are wiped and go back to the heap). `at` and `len` in whole pages. `user` is not looked at.
 * NO_ROOM: the pool is used up. */
MUST_USE enum status memory_reserve(void *user, size_t len, void **window);
MUST_USE enum status memory_back(void *user, void *at, size_t len);
void memory_release(void *user, void *window, size_t len);
/* Of secret memory in a window: pages[i] becomes 0 where nobody ever touched page i since the pool was made, else 1; of
 * ordinary memory, 1. Its only system call is mincore, so it may come after set-up. */
void memory_touched(void *user, const void *at, size_t len, uint8_t *pages);

#endif
