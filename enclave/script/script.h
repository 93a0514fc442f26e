/* script: JavaScript for rules and flows — QuickJS in a compartment, contexts recycled from a pool, JSON in and JSON
 * out. Never gives a script anything but its arguments, the caller's service function, the event's time and a seed; a
 * script that runs away, fills its heap or crashes its engine loses its own context and nothing else. */
#ifndef BASTIDE_SCRIPT_H
#define BASTIDE_SCRIPT_H

#include "base.h"
#include "compartment.h"

#define SCRIPT_SOURCE_MAX 65536
#define SCRIPT_NAME_MAX 64
#define SCRIPT_ARGUMENTS_MAX 8
#define SCRIPT_MESSAGE_MAX 256
#define SCRIPT_FUNCTIONS_MAX 1024 /* defined in one context, if its heap holds them */

/* What a script sees: the ECMAScript globals, frozen all the way down (globalThis included, so rules of one domain
 * share nothing by accident); console.log and log(); `await service.call(name, value)` and `service.ask(name, value)`,
 * which is the same without a promise. eval and Function remain: they add no authority. No timers, no modules, no I/O;
 * Date is UTC and stands at the call's time; Math.random repeats for the same seed. */
struct script_engine;
struct script_context;

struct script_config {
    size_t contexts;      /* in the pool, at least 1; each is at most the policy's memory, faulted as used */
    struct bytes prelude; /* JavaScript evaluated once in the pristine image, before freezing; may set properties of
                             globalThis, among them wrappers for script_define(); empty for none */
    bool deferred;        /* the pristine image is made by the first script_context(), which may then fail with what
                             script_engine_new() fails with otherwise; the prelude must stay where it is until then */
};

/* [set-up] The functions that the module quickjs needs, for compartment_load(), and the engine itself with all its
 * contexts mapped. `why` gets a sentence on failure. Keeps `module` and `memory`. */
const struct compartment_host_function *script_host_functions(size_t *count);
MUST_USE enum status script_engine_new(struct script_engine **engine, const struct script_config *config,
                                       struct compartment_module *module, const struct compartment_memory *memory,
                                       struct writer *why);
void script_engine_free(struct script_engine *engine); /* NULL is fine */

/* The domain's context, as it was left; else a pristine one, for which the domain used longest ago may lose its own.
 * Valid until the next script_context(). WRONG_STATE while a script runs; else it fails only where the engine was
 * deferred and cannot start, or was started and a fresh context cannot be. */
MUST_USE enum status script_context(struct script_engine *engine, uint64_t domain, struct script_context **context);
void script_forget(struct script_engine *engine, uint64_t domain); /* its context goes back to the pool, wiped */

/* Stands for a compiled function; a plain value, safe to keep for ever. Once its context was recycled, calls answer
 * NOT_FOUND and the owner defines it again. */
struct script_function {
    uint32_t context, slot;
    uint64_t generation;
};

enum script_result {
    SCRIPT_DONE = 0, /* the result is written */
    SCRIPT_SYNTAX,   /* define only: message, line and column say where */
    SCRIPT_THREW,    /* an exception, or a rejected promise */
    SCRIPT_BUDGET,   /* CPU */
    SCRIPT_HEAP,
    SCRIPT_STACK,
    SCRIPT_OUTPUT,  /* the result's JSON is longer than allowed */
    SCRIPT_LOG,     /* it logged more than allowed */
    SCRIPT_INPUT,   /* an argument is not JSON, or the arguments do not fit the heap */
    SCRIPT_PENDING, /* its promise can never settle */
    SCRIPT_CRASHED, /* the engine trapped */
};
const char *script_result_word(enum script_result result);

struct script_outcome {
    enum script_result result;
    uint32_t line, column;            /* 1-based, 0 unknown */
    char message[SCRIPT_MESSAGE_MAX]; /* UTF-8, cut to fit, always NUL-terminated; the script's own words */
};

/* Zero in any field of a call's limits means the default beside it. */
struct script_limits {
    uint32_t budget_ms;    /* 50 */
    uint32_t heap_bytes;   /* 1048576, on top of the pristine engine's own; the domain's functions are in it */
    uint32_t stack_bytes;  /* 131072, of the JavaScript stack; at most 524288 */
    uint32_t output_bytes; /* 65536; a smaller writer also bounds it */
    uint32_t log_bytes;    /* 4096; a smaller writer also bounds it */
};

/* Answers service.call() and service.ask(): `input` and what is put in `output` are JSON. A status other than OK, or
 * JSON that is not, throws an Error with the status's word. Must not call into this engine. Borrows. */
typedef enum status script_service(void *user, struct bytes name, struct bytes input, struct writer *output);

struct script_call {
    const struct bytes *arguments; /* JSON texts */
    size_t arguments_count;
    int64_t now_ms; /* the event's time, since 1970 */
    uint64_t seed;
    struct script_limits limits;
    script_service *service; /* NULL: none granted */
    void *user;
    struct writer *log; /* lines, each ended by \n; NULL: console.log does nothing */
};

/* Compile `source`, a text whose value is a function, e.g. `(event, ctx) => event.value > 3`. `wrapper`, unless NULL,
 * names a global function of the prelude: what it returns for (the compiled function, compile) is defined instead,
 * where compile(text) gives the function of one more text. Is that one's property `raw` true, it must return a string
 * or a promise of one, and this is the result as it stands, JSON or not. Everything declared in `source` is local to it
 * and lives as long as the context. A function of up to four parameters is always called with four, the missing ones
 * undefined; one that returns undefined gives null. OK with outcome SCRIPT_DONE or another; `function` is set only for
 * SCRIPT_DONE. NO_ROOM past SCRIPT_SOURCE_MAX or SCRIPT_FUNCTIONS_MAX. */
MUST_USE enum status script_define(struct script_context *context, struct bytes source, const char *wrapper,
                                   struct script_function *function, struct script_outcome *outcome);
void script_undefine(struct script_engine *engine, struct script_function function);

/* OK whenever an outcome was reached. Whatever is not SCRIPT_DONE leaves `result` as it was. BUDGET, CRASHED and a
 * STACK or HEAP overrun that the engine did not survive recycle the context: all functions of its domain are then
 * NOT_FOUND. */
MUST_USE enum status script_call(struct script_engine *engine, struct script_function function,
                                 const struct script_call *call, struct writer *result, struct script_outcome *outcome);

#endif
