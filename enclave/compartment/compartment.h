/* compartment: loads a WebAssembly module that wasm2c and clang made native, and runs it walled in — own memory, own
 * stack, own CPU budget, and of the program around it only the functions that its policy grants.
 * Never lets a guest call another guest, never trusts an address from a guest, and never recovers from a fault that is
 * not the running guest's own. After set-up its only system calls are timer_settime (and sigreturn, when a guest is
 * stopped) and whatever `touched` below makes. */
#ifndef BASTIDE_COMPARTMENT_H
#define BASTIDE_COMPARTMENT_H

#include "base.h"

#define COMPARTMENT_NAME_MAX 64       /* a compartment's, a module's or a function's name, NUL included */
#define COMPARTMENT_POLICY_MAX 16384  /* bytes of policy text */
#define COMPARTMENT_IMPORTS_MAX 64    /* functions granted by one policy */
#define COMPARTMENT_MODULES_MAX 5     /* imports in one policy: modules that functions come from */
#define COMPARTMENT_PAGES_MAX 16384   /* 64 KiB pages: 1 GiB */
#define COMPARTMENT_TABLE_MAX 65536   /* table elements */
#define COMPARTMENT_STACK_MAX 8388608 /* bytes of native stack */
#define COMPARTMENT_ARGUMENTS_MAX 5
#define COMPARTMENT_OBJECT_MAX 67108864 /* bytes of a module object */

/* Where everything that a guest can write comes from; in an enclave, secret memory. All but `touched` are called only
 * by the functions marked [set-up]. `window` and `at` are page-aligned, `len` a multiple of 4096. */
struct compartment_memory {
    void *user;
    /* Address space that nothing may touch (PROT_NONE); a compartment asks for a little over 8 GiB. */
    enum status (*reserve)(void *user, size_t len, void **window);
    /* Zeroed memory, readable and writable, in place of [at, at + len) of a reserved window. Faulting it in may wait
     * until first touch. */
    enum status (*back)(void *user, void *at, size_t len);
    void (*release)(void *user, void *window, size_t len);
    /* pages[i] becomes 0 where page i of backed memory was never touched, so that it is zero and need not be faulted in
     * to know it. NULL: any page may have been. */
    void (*touched)(void *user, const void *at, size_t len, uint8_t *pages);
};

/* The policy, a text:
 *   Version 1                      the first line
 *   # anything                     a line of comment; empty lines are allowed too
 *   compartment NAME
 *   memory PAGES                   cap on linear memory, in pages of 64 KiB, whatever the module declares
 *   table ELEMENTS                 cap on every table
 *   stack BYTES                    native stack, rounded up to pages
 *   import MODULE                  grants functions of MODULE, one TAB-indented name per line below it
 *   <TAB>FUNCTION
 * Each of the four directives stands exactly once and before the first import. Nothing else is accepted. */
struct compartment_grant {
    char module[COMPARTMENT_NAME_MAX];
    char function[COMPARTMENT_NAME_MAX];
    uint32_t line;
};

struct compartment_policy {
    char name[COMPARTMENT_NAME_MAX];
    uint32_t memory_pages, table_elements, stack_bytes;
    struct compartment_grant grants[COMPARTMENT_IMPORTS_MAX];
    size_t grants_count;
    uint32_t lines;
};

/* On failure `why` holds one sentence with the line's number. */
MUST_USE enum status compartment_policy_read(struct bytes text, struct compartment_policy *policy, struct writer *why);

/* Everything about an object that compartment_load() would refuse, without mapping or running any of it. */
MUST_USE enum status compartment_check(struct bytes object, const struct compartment_policy *policy,
                                       struct writer *why);

struct compartment;
struct compartment_module;

/* A function of ours that a guest may import. Its C signature is (struct compartment *, i32 as uint32_t, i64 as
 * uint64_t …) with at most five values after the compartment, integers only; wasm2c calls it with exactly what the
 * module declares. It runs on the caller's stack with the guest's fault handling off: a fault in it ends the process.
 */
struct compartment_host_function {
    const char *module, *name;
    void (*code)(void);
};

/* [set-up] Once per process, on the one thread that will run guests, before any module is loaded: signal stack,
 * handlers for SIGSEGV and SIGBUS, and the budget timer on SIGALRM. An alternate signal stack that is already there is
 * kept. */
MUST_USE enum status compartment_init(const struct compartment_memory *memory);

/* [set-up] Map and link the object behind `fd`, a memfd sealed against writing and resizing (anything else is DENIED);
 * the fd may be closed afterwards, and has been measured by the caller. Imports that the policy does not grant, or that
 * are granted but not among `functions`, and anything an object may not contain are refused; `why` then names module,
 * symbol and policy line. Copies policy and functions; keeps `memory` for the module's life. */
MUST_USE enum status compartment_load(int fd, struct bytes policy_text,
                                      const struct compartment_host_function *functions, size_t functions_count,
                                      const struct compartment_memory *memory, struct compartment_module **module,
                                      struct writer *why);
void compartment_unload(struct compartment_module *module); /* [set-up] after its last compartment; NULL is fine */
const struct compartment_policy *compartment_module_policy(const struct compartment_module *module);

/* An exported function; zero is none. Parameters and results are i32 or i64. */
struct compartment_export {
    void (*code)(void);
};
MUST_USE enum status compartment_find_export(const struct compartment_module *module, const char *name,
                                             struct compartment_export *found);

/* [set-up] An instance with its memory and stack mapped, of which hardly a page is touched yet. `user` is for host
 * functions. Nothing runs in it before compartment_start(), which initialises data and tables. */
MUST_USE enum status compartment_new(struct compartment_module *module, void *user, struct compartment **compartment);
MUST_USE enum status compartment_start(struct compartment *compartment); /* once */
/* [set-up] Both. */
MUST_USE enum status compartment_instantiate(struct compartment_module *module, void *user,
                                             struct compartment **compartment);
void compartment_free(struct compartment *compartment); /* [set-up] NULL is fine; wiping is memory's release() */
void *compartment_user(const struct compartment *compartment);
void compartment_set_user(struct compartment *compartment, void *user);

enum compartment_trap {
    COMPARTMENT_RAN = 0,     /* alive */
    COMPARTMENT_MEMORY,      /* load or store outside linear memory or a table */
    COMPARTMENT_STACK,       /* native stack used up */
    COMPARTMENT_BUDGET,      /* CPU budget used up */
    COMPARTMENT_UNREACHABLE, /* the guest gave up: unreachable, abort() */
    COMPARTMENT_DIVISION,    /* by zero */
    COMPARTMENT_OVERFLOW,    /* of an integer division or conversion */
    COMPARTMENT_CONVERSION,  /* NaN to integer */
    COMPARTMENT_INDIRECT,    /* indirect call of nothing or with another signature */
    COMPARTMENT_STOPPED,     /* by a host function, through compartment_stop() */
    COMPARTMENT_INSTANTIATE, /* the module asks for more memory or table than its policy allows */
};
const char *compartment_trap_word(enum compartment_trap trap);

/* CPU milliseconds for all following calls together, until set again; 0 is none at all. The guest is stopped, wherever
 * it is, within the two milliseconds after. Counted in ticks of a timer delivered while calls run, so time off the CPU
 * is hardly counted and never more than the wall's. */
void compartment_set_budget(struct compartment *compartment, uint32_t budget_ms);

/* Run an export. DENIED: it trapped, compartment_trap() says why, and the compartment is dead until reset. WRONG_STATE:
 * it is dead already, or busy running and this is not one of its host functions calling back. NO_ROOM: too many
 * arguments. */
MUST_USE enum status compartment_call(struct compartment *compartment, struct compartment_export function,
                                      const uint64_t *arguments, size_t count, uint64_t *result);
enum compartment_trap compartment_trap(const struct compartment *compartment);
/* For host functions: the guest will not be returned to. */
void compartment_stop(struct compartment *compartment);

/* Bounds by subtraction against the present size of linear memory; NO_ROOM beyond it. */
MUST_USE enum status compartment_copy_in(struct compartment *compartment, uint32_t to, struct bytes bytes);
MUST_USE enum status compartment_copy_out(const struct compartment *compartment, uint32_t from, void *to, size_t len);
/* A look without copying, valid until the guest runs again. The guest's bytes: validate a copy, not this. */
MUST_USE enum status compartment_view(const struct compartment *compartment, uint32_t from, size_t len,
                                      struct bytes *view);
uint32_t compartment_memory_len(const struct compartment *compartment); /* bytes, now */

/* A pristine image of a living compartment, to which any started compartment of the same module can be reset.
 * compartment_snapshot_new() [set-up] makes room for one, untouched until it is taken. NO_ROOM: more than
 * COMPARTMENT_IMAGE_MAX bytes of linear memory are not zero. */
#define COMPARTMENT_IMAGE_MAX (4u << 20)
struct compartment_snapshot;
MUST_USE enum status compartment_snapshot_new(const struct compartment_module *module,
                                              struct compartment_snapshot **snapshot);
MUST_USE enum status compartment_snapshot_take(const struct compartment *compartment,
                                               struct compartment_snapshot *snapshot);
void compartment_snapshot_free(struct compartment_snapshot *snapshot); /* [set-up] NULL is fine */
/* Back to the image, alive: linear memory, globals and tables, whatever was written since. No system call. */
MUST_USE enum status compartment_reset(struct compartment *compartment, const struct compartment_snapshot *snapshot);

#endif
