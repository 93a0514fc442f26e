/* Defining and calling: limits in, JSON in, outcome out. Whatever the guest does, every path ends in a named outcome.
 */
#include <stdio.h>
#include <string.h>

#include "script_internal.h"

#define DEFAULT_BUDGET_MS 50
#define DEFAULT_HEAP 1048576u
#define DEFINE_HEAP 4194304u
#define DEFAULT_STACK 131072u
#define STACK_LIMIT_MAX 524288u
#define DEFAULT_OUTPUT 65536u
#define DEFAULT_LOG 4096u

const char *script_result_word(enum script_result result)
{
    static const char *const words[] = {
        [SCRIPT_DONE] = "done",
        [SCRIPT_SYNTAX] = "does not compile",
        [SCRIPT_THREW] = "threw",
        [SCRIPT_BUDGET] = "used up its processor budget",
        [SCRIPT_HEAP] = "used up its memory",
        [SCRIPT_STACK] = "used up its stack",
        [SCRIPT_OUTPUT] = "gave too long a result",
        [SCRIPT_LOG] = "logged more than allowed",
        [SCRIPT_INPUT] = "was given no valid JSON",
        [SCRIPT_PENDING] = "awaits what never comes",
        [SCRIPT_CRASHED] = "crashed its engine",
    };
    return (size_t)result < sizeof(words) / sizeof(words[0]) ? words[result] : "unknown";
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void set_limit(struct script_context *context, enum export export, uint32_t limit, uint32_t *now)
{
    uint64_t argument = limit;
    uint32_t none;
    if (limit != *now && guest_call(context, export, &argument, 1, &none) == OK)
        *now = limit;
}

static void apply_limits(struct script_context *context, const struct script_limits *limits)
{
    const struct script_engine *engine = context->engine;
    uint32_t heap = or_default(limits->heap_bytes, DEFAULT_HEAP),
             stack = or_default(limits->stack_bytes, DEFAULT_STACK);
    uint64_t all = (uint64_t)engine->pristine_heap + heap + RESERVE_HEAP;
    /* Below what linear memory can hold, an eighth of it left to fragmentation: the engine reports its own limit well,
     * and a failing allocator badly. */
    uint64_t most = (uint64_t)engine->pages_cap * 65536 / 8 * 7 - engine->pristine_rest;
    compartment_set_budget(context->compartment, or_default(limits->budget_ms, DEFAULT_BUDGET_MS));
    set_limit(context, EXPORT_MEMORY_LIMIT, (uint32_t)(all < most ? all : most), &context->heap_limit);
    set_limit(context, EXPORT_STACK_LIMIT, stack < STACK_LIMIT_MAX ? stack : STACK_LIMIT_MAX, &context->stack_limit);
}

static uint32_t number_until_tab(struct reader *reader)
{
    uint32_t number = 0;
    for (uint8_t digit = take_u8(reader); digit >= '0' && digit <= '9' && number < 100000000; digit = take_u8(reader))
        number = number * 10 + (uint32_t)(digit - '0');
    return number;
}

/* Cut on a UTF-8 boundary, control characters made blanks. */
static void copy_message(char to[SCRIPT_MESSAGE_MAX], struct bytes text)
{
    size_t len = text.len < SCRIPT_MESSAGE_MAX ? text.len : SCRIPT_MESSAGE_MAX - 1;
    while (len > 0 && len < text.len && (text.data[len] & 0xc0) == 0x80)
        len--;
    for (size_t i = 0; i < len; i++)
        to[i] = text.data[i] < ' ' || text.data[i] == 0x7f ? ' ' : (char)text.data[i];
    to[len] = '\0';
}

static void read_description(struct bytes text, struct script_outcome *outcome)
{
    struct reader reader = reader_over(text);
    uint8_t kind = take_u8(&reader);
    (void)take_u8(&reader);
    outcome->result = kind == 'H'   ? SCRIPT_HEAP
                      : kind == 'S' ? SCRIPT_STACK
                      : kind == 'Y' ? SCRIPT_SYNTAX
                                    : SCRIPT_THREW;
    outcome->line = number_until_tab(&reader);
    outcome->column = number_until_tab(&reader);
    copy_message(outcome->message, take_rest(&reader));
}

static void describe_value(struct script_context *context, guest_value value, struct script_outcome *outcome)
{
    guest_value text = 0;
    uint32_t at, len;
    struct bytes view;
    /* When even this fails, what was thrown had used up the heap, or fights its own description. */
    outcome->result = SCRIPT_THREW;
    snprintf(outcome->message, sizeof(outcome->message), "threw something that cannot be described");
    if (guest_run(context, context->engine->describe, &value, 1, &text) == OK &&
        guest_is(context, EXPORT_IS_STRING, text) && guest_read_string(context, text, &at, &len) == OK) {
        if (compartment_view(context->compartment, at, len, &view) == OK)
            read_description(view, outcome);
        guest_free_string(context, at);
    }
    guest_release(context, text);
}

void describe_exception(struct script_context *context, struct script_outcome *outcome)
{
    guest_value exception = 0;
    if (guest_call(context, EXPORT_EXCEPTION, NULL, 0, &exception) == OK && exception != 0)
        describe_value(context, exception, outcome);
    guest_release(context, exception);
}

static void say_outcome(struct script_outcome *outcome, enum script_result result)
{
    outcome->result = result;
    snprintf(outcome->message, sizeof(outcome->message), "%s", script_result_word(result));
}

/* Promise reactions, also those that a function left behind without awaiting them. */
static void run_jobs(struct script_context *context)
{
    uint32_t result;
    guest_value exception;
    while (guest_is(context, EXPORT_JOB_PENDING, 0)) {
        if (guest_call(context, EXPORT_RUN_JOB, NULL, 0, &result) == OK && (int32_t)result < 0 &&
            guest_call(context, EXPORT_EXCEPTION, NULL, 0, &exception) == OK)
            guest_release(context, exception);
    }
}

static void take_text(struct script_context *context, guest_value value, size_t cap, struct writer *result,
                      struct script_outcome *outcome)
{
    uint32_t at, len;
    struct bytes view;
    enum status status = guest_read_string(context, value, &at, &len);
    if (status != OK) {
        say_outcome(outcome, SCRIPT_HEAP);
        return;
    }
    if (len > cap || len > result->cap - result->len || result->status != OK) {
        say_outcome(outcome, SCRIPT_OUTPUT);
    } else if (compartment_view(context->compartment, at, len, &view) == OK) {
        put_bytes(result, view);
        outcome->result = SCRIPT_DONE;
        outcome->message[0] = '\0';
    }
    guest_free_string(context, at);
}

static void take_promise(struct script_context *context, guest_value promise, size_t cap, struct writer *result,
                         struct script_outcome *outcome)
{
    uint64_t argument = promise;
    uint32_t state = 0;
    guest_value value = 0;
    if (guest_call(context, EXPORT_PROMISE_STATE, &argument, 1, &state) != OK)
        return;
    if (state == 0) {
        say_outcome(outcome, SCRIPT_PENDING);
        return;
    }
    if (guest_call(context, EXPORT_PROMISE_RESULT, &argument, 1, &value) != OK)
        return;
    if (state == 1 && guest_is(context, EXPORT_IS_STRING, value))
        take_text(context, value, cap, result, outcome);
    else
        describe_value(context, value, outcome);
    guest_release(context, value);
}

static void take_result(struct script_context *context, guest_value value, size_t cap, struct writer *result,
                        struct script_outcome *outcome)
{
    if (guest_is(context, EXPORT_IS_EXCEPTION, value)) {
        describe_exception(context, outcome);
        run_jobs(context);
    } else if (guest_is(context, EXPORT_IS_STRING, value)) {
        run_jobs(context);
        take_text(context, value, cap, result, outcome);
    } else {
        run_jobs(context);
        take_promise(context, value, cap, result, outcome);
    }
}

static void call_function(struct script_context *context, guest_value function, const struct script_call *call,
                          struct writer *result, struct script_outcome *outcome)
{
    raw_value arguments[SCRIPT_ARGUMENTS_MAX];
    guest_value value = 0;
    size_t count = 0;
    while (count < call->arguments_count && guest_parse(context, call->arguments[count], &arguments[count]) == OK)
        count++;
    if (count < call->arguments_count) {
        describe_exception(context, outcome); /* also takes it out of the engine */
        say_outcome(outcome, SCRIPT_INPUT);
    } else if (guest_run_raw(context, function, arguments, count, &value) == OK) {
        take_result(context, value, or_default(call->limits.output_bytes, DEFAULT_OUTPUT), result, outcome);
    } else {
        say_outcome(outcome, SCRIPT_HEAP);
    }
    guest_release(context, value);
    for (size_t i = 0; i < count; i++)
        guest_release_raw(context, arguments[i]);
}

/* What the trap says wins over what the half-done call said. */
static void name_crash(struct script_context *context, struct script_outcome *outcome)
{
    enum compartment_trap trap = compartment_trap(context->compartment);
    outcome->line = outcome->column = 0;
    say_outcome(outcome, trap == COMPARTMENT_BUDGET  ? SCRIPT_BUDGET
                         : trap == COMPARTMENT_STACK ? SCRIPT_STACK
                                                     : SCRIPT_CRASHED);
    if (outcome->result == SCRIPT_CRASHED)
        snprintf(outcome->message, sizeof(outcome->message), "crashed its engine: %s", compartment_trap_word(trap));
    context_retire(context);
}

/* A heap that stays half full after collection would fail every later call of the domain too. */
static void after_heap(struct script_context *context, const struct script_limits *limits)
{
    uint32_t used;
    if (heap_in_use(context, &used) == OK &&
        used - context->engine->pristine_heap <= or_default(limits->heap_bytes, DEFAULT_HEAP) / 2 &&
        used >= context->engine->pristine_heap / 2)
        return;
    context_retire(context);
}

static void begin(struct script_context *context, const struct script_call *call)
{
    uint32_t log_bytes = or_default(call->limits.log_bytes, DEFAULT_LOG);
    context->engine->running = true;
    context->dirty = true;
    context->call = call;
    context->log_exceeded = false;
    context->log_start = call->log != NULL ? call->log->len : 0;
    context->log_cap = log_bytes;
    apply_limits(context, &call->limits);
}

static void end(struct script_context *context, const struct script_limits *limits, struct script_outcome *outcome)
{
    if (context->crashed)
        name_crash(context, outcome);
    else if (context->log_exceeded)
        say_outcome(outcome, SCRIPT_LOG);
    else if (outcome->result == SCRIPT_HEAP)
        after_heap(context, limits);
    context->call = NULL;
    context->engine->running = false;
}

static struct script_context *owner_of(struct script_engine *engine, struct script_function function)
{
    if (function.context >= engine->contexts_count)
        return NULL;
    struct script_context *context = &engine->contexts[function.context];
    if (!context->owned || context->generation != function.generation || function.slot >= context->functions_count ||
        context->functions[function.slot] == 0)
        return NULL;
    return context;
}

enum status script_call(struct script_engine *engine, struct script_function function, const struct script_call *call,
                        struct writer *result, struct script_outcome *outcome)
{
    struct script_context *context = owner_of(engine, function);
    struct script_outcome reached = {.result = SCRIPT_CRASHED};
    if (engine->running)
        return WRONG_STATE;
    if (context == NULL)
        return NOT_FOUND;
    if (call->arguments_count > SCRIPT_ARGUMENTS_MAX)
        return NO_ROOM;
    size_t before = result->len;
    context->used = ++engine->clock;
    begin(context, call);
    call_function(context, context->functions[function.slot], call, result, &reached);
    end(context, &call->limits, &reached);
    if (reached.result == SCRIPT_SYNTAX) /* of something that the script itself parsed */
        reached.result = SCRIPT_THREW;
    if (reached.result != SCRIPT_DONE)
        result->len = before;
    *outcome = reached;
    return OK;
}

static void define(struct script_context *context, struct bytes source, const char *wrapper, guest_value *function,
                   struct script_outcome *outcome)
{
    guest_value arguments[2] = {0, 0}, value = 0;
    say_outcome(outcome, SCRIPT_HEAP);
    if (guest_string(context, source, &arguments[0]) == OK &&
        guest_string(context, bytes_from_text(wrapper), &arguments[1]) == OK &&
        guest_run(context, context->engine->define, arguments, 2, &value) == OK) {
        if (guest_is(context, EXPORT_IS_EXCEPTION, value)) {
            describe_exception(context, outcome);
        } else {
            *function = value;
            value = 0;
            *outcome = (struct script_outcome){.result = SCRIPT_DONE};
        }
    }
    guest_release(context, value);
    guest_release(context, arguments[0]);
    guest_release(context, arguments[1]);
}

static uint32_t free_slot(const struct script_context *context)
{
    uint32_t slot = 0;
    while (slot < context->functions_count && context->functions[slot] != 0)
        slot++;
    return slot;
}

enum status script_define(struct script_context *context, struct bytes source, const char *wrapper,
                          struct script_function *function, struct script_outcome *outcome)
{
    static const struct script_call no_call = {.limits = {.heap_bytes = DEFINE_HEAP}};
    struct script_outcome reached = {.result = SCRIPT_CRASHED};
    guest_value value = 0;
    uint32_t slot = free_slot(context);
    if (context->engine->running || !context->owned)
        return WRONG_STATE;
    if (source.len > SCRIPT_SOURCE_MAX || slot == SCRIPT_FUNCTIONS_MAX)
        return NO_ROOM;
    begin(context, &no_call);
    define(context, source, wrapper, &value, &reached);
    end(context, &no_call.limits, &reached);
    if (reached.result == SCRIPT_DONE) {
        context->functions[slot] = value;
        if (slot == context->functions_count)
            context->functions_count++;
        *function =
            (struct script_function){.context = context->index, .slot = slot, .generation = context->generation};
    }
    *outcome = reached;
    return OK;
}

void script_undefine(struct script_engine *engine, struct script_function function)
{
    struct script_context *context = owner_of(engine, function);
    if (context == NULL || engine->running)
        return;
    compartment_set_budget(context->compartment, DEFAULT_BUDGET_MS);
    guest_release(context, context->functions[function.slot]);
    context->functions[function.slot] = 0;
    if (context->crashed)
        context_retire(context);
}
