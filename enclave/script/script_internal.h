/* script, inside: one context's driver — the engine's exports, values as guest addresses, and what a call carries
 * along. Never included outside this directory. */
#ifndef BASTIDE_SCRIPT_INTERNAL_H
#define BASTIDE_SCRIPT_INTERNAL_H

#include "script.h"

#define SCRATCH_LEN 4096u  /* guest memory for small texts and argument lists */
#define SERVICE_CAP 65536u /* bytes of one service answer */
/* The scratch: addresses of arguments, arguments themselves, then text. */
#define SCRATCH_VALUES 64u
#define SCRATCH_TEXT 128u
#define RESERVE_HEAP 65536u /* what the engine keeps back to report an exhausted heap */

/* A JavaScript value: the guest's address of it, 0 for none. Only the guest ever looks behind it. */
typedef uint32_t guest_value;
/* A JavaScript value itself, as the engine packs it on a 32-bit machine; its upper half is the tag. */
typedef uint64_t raw_value;

enum export {
    EXPORT_INITIALIZE,
    EXPORT_INIT,
    EXPORT_EVAL,
    EXPORT_CALL,
    EXPORT_MALLOC,
    EXPORT_FREE,
    EXPORT_NEW_STRING,
    EXPORT_GET_STRING,
    EXPORT_FREE_STRING,
    EXPORT_FREE_VALUE,
    EXPORT_UNDEFINED,
    EXPORT_NULL,
    EXPORT_GLOBAL,
    EXPORT_GET_PROPERTY,
    EXPORT_SET_PROPERTY,
    EXPORT_IS_EXCEPTION,
    EXPORT_IS_STRING,
    EXPORT_EXCEPTION,
    EXPORT_HOST_FUNCTION,
    EXPORT_PROMISE_STATE,
    EXPORT_PROMISE_RESULT,
    EXPORT_JOB_PENDING,
    EXPORT_RUN_JOB,
    EXPORT_MEMORY_LIMIT,
    EXPORT_STACK_LIMIT,
    EXPORT_MEMORY_USAGE,
    EXPORT_RUN_GC,
    EXPORT_CONTEXT,
    EXPORT_PARSE_JSON,
    EXPORT_FREE_RAW,
    EXPORTS_COUNT
};

struct script_context {
    struct script_engine *engine;
    struct compartment *compartment;
    uint32_t index;
    uint64_t domain, generation, used;
    bool owned, dirty, started;
    bool crashed; /* the guest trapped; every further step fails until recycled */
    guest_value functions[SCRIPT_FUNCTIONS_MAX];
    uint32_t functions_count; /* highest slot ever used, plus one */
    uint32_t heap_limit, stack_limit;
    /* The running call, for host functions. */
    const struct script_call *call;
    size_t log_start, log_cap;
    bool log_exceeded;
};

struct script_engine {
    struct compartment_module *module;
    const struct compartment_memory *memory;
    size_t own_len;
    struct compartment_export exports[EXPORTS_COUNT];
    struct compartment_snapshot *pristine;
    struct bytes prelude;
    bool built;          /* the pristine image is there */
    uint64_t clock;      /* of use, for the least recent */
    uint32_t scratch;    /* guest address, the same in every context */
    uint32_t context_at; /* the engine's JSContext */
    guest_value undefined, define, describe;
    uint32_t pristine_heap; /* bytes in use in the image */
    uint32_t pristine_rest; /* bytes of its linear memory beside them: data, stack, what malloc keeps */
    uint32_t pages_cap;
    bool running;
    uint8_t service_answer[SERVICE_CAP + 1];
    size_t contexts_count;
    struct script_context contexts[];
};

/* guest.c: each fails with DENIED once the guest has trapped, NO_ROOM when its heap is full. */
MUST_USE enum status guest_call(struct script_context *context, enum export export, const uint64_t *arguments,
                                size_t count, uint32_t *result);
MUST_USE enum status guest_find_exports(struct script_engine *engine, struct writer *why);
/* Copies `text` to the guest's heap; the caller frees it there. */
MUST_USE enum status guest_copy_text(struct script_context *context, struct bytes text, uint32_t *at);
void guest_free(struct script_context *context, uint32_t at);
MUST_USE enum status guest_string(struct script_context *context, struct bytes text, guest_value *value);
void guest_release(struct script_context *context, guest_value value); /* 0 is fine */
bool guest_is(struct script_context *context, enum export question, guest_value value);
MUST_USE enum status guest_run(struct script_context *context, guest_value function, const guest_value *arguments,
                               size_t count, guest_value *result);
/* As guest_run(), for values that no address stands for. MALFORMED: `text` is not JSON. */
MUST_USE enum status guest_parse(struct script_context *context, struct bytes text, raw_value *value);
void guest_release_raw(struct script_context *context, raw_value value);
MUST_USE enum status guest_run_raw(struct script_context *context, guest_value function, const raw_value *arguments,
                                   size_t count, guest_value *result);
/* The string's UTF-8 bytes in guest memory: `at` for guest_free_string(), `len` by the guest's word. */
MUST_USE enum status guest_read_string(struct script_context *context, guest_value value, uint32_t *at, uint32_t *len);
void guest_free_string(struct script_context *context, uint32_t at);

/* prelude.c: builds the pristine image in one context. */
MUST_USE enum status prelude_run(struct script_context *context, struct bytes config_prelude, struct writer *why);

/* Bytes that the guest's heap holds after a collection. */
MUST_USE enum status heap_in_use(struct script_context *context, uint32_t *used);

/* engine.c: takes the context from its domain; its functions are gone. */
void context_retire(struct script_context *context);

/* call.c: fetches the pending exception and says what it is. */
void describe_exception(struct script_context *context, struct script_outcome *outcome);

#endif
