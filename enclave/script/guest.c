/* Driving the engine inside: every value is an address that only the guest understands, every text is copied. */
#include <string.h>

#include "script_internal.h"

#define RAW_EXCEPTION 6u /* JS_TAG_EXCEPTION */

static const char *const export_names[EXPORTS_COUNT] = {
    [EXPORT_INITIALIZE] = "_initialize",
    [EXPORT_INIT] = "qjs_init",
    [EXPORT_EVAL] = "qjs_eval",
    [EXPORT_CALL] = "qjs_call",
    [EXPORT_MALLOC] = "wasm_malloc",
    [EXPORT_FREE] = "wasm_free",
    [EXPORT_NEW_STRING] = "qjs_new_string",
    [EXPORT_GET_STRING] = "qjs_get_string_len",
    [EXPORT_FREE_STRING] = "qjs_free_cstring",
    [EXPORT_FREE_VALUE] = "qjs_free_value",
    [EXPORT_UNDEFINED] = "qjs_get_undefined",
    [EXPORT_NULL] = "qjs_get_null",
    [EXPORT_GLOBAL] = "qjs_get_global",
    [EXPORT_GET_PROPERTY] = "qjs_get_prop_string",
    [EXPORT_SET_PROPERTY] = "qjs_set_prop_string",
    [EXPORT_IS_EXCEPTION] = "qjs_is_exception",
    [EXPORT_IS_STRING] = "qjs_is_string",
    [EXPORT_EXCEPTION] = "qjs_get_exception",
    [EXPORT_HOST_FUNCTION] = "qjs_new_host_function",
    [EXPORT_PROMISE_STATE] = "qjs_promise_state",
    [EXPORT_PROMISE_RESULT] = "qjs_promise_result",
    [EXPORT_JOB_PENDING] = "qjs_is_job_pending",
    [EXPORT_RUN_JOB] = "qjs_execute_pending_job",
    [EXPORT_MEMORY_LIMIT] = "qjs_set_memory_limit",
    [EXPORT_STACK_LIMIT] = "qjs_set_max_stack_size",
    [EXPORT_MEMORY_USAGE] = "qjs_compute_memory_usage",
    [EXPORT_RUN_GC] = "qjs_run_gc",
    [EXPORT_CONTEXT] = "qjs_get_context_ptr",
    [EXPORT_PARSE_JSON] = "JS_ParseJSON",
    [EXPORT_FREE_RAW] = "JS_FreeValue",
};

enum status guest_find_exports(struct script_engine *engine, struct writer *why)
{
    for (size_t i = 0; i < EXPORTS_COUNT; i++) {
        if (compartment_find_export(engine->module, export_names[i], &engine->exports[i]) != OK) {
            put_text(why, "the JavaScript module does not export ");
            put_text(why, export_names[i]);
            return NOT_FOUND;
        }
    }
    return OK;
}

static enum status call_wide(struct script_context *context, enum export export, const uint64_t *arguments,
                             size_t count, uint64_t *result)
{
    if (context->crashed)
        return DENIED;
    if (compartment_call(context->compartment, context->engine->exports[export], arguments, count, result) != OK) {
        context->crashed = true;
        return DENIED;
    }
    return OK;
}

enum status guest_call(struct script_context *context, enum export export, const uint64_t *arguments, size_t count,
                       uint32_t *result)
{
    uint64_t value = 0;
    TRY(call_wide(context, export, arguments, count, &value));
    *result = (uint32_t)value;
    return OK;
}

void guest_free(struct script_context *context, uint32_t at)
{
    uint32_t none;
    uint64_t argument = at;
    if (at != 0 && at != context->engine->scratch + SCRATCH_TEXT &&
        guest_call(context, EXPORT_FREE, &argument, 1, &none) != OK)
        context->crashed = true;
}

enum status guest_copy_text(struct script_context *context, struct bytes text, uint32_t *at)
{
    uint64_t len = text.len + 1;
    uint32_t to = context->engine->scratch + SCRATCH_TEXT;
    if (text.len > UINT32_MAX / 2)
        return NO_ROOM;
    if (context->engine->scratch == 0 || text.len >= SCRATCH_LEN - SCRATCH_TEXT) {
        TRY(guest_call(context, EXPORT_MALLOC, &len, 1, &to));
        if (to == 0)
            return NO_ROOM;
    }
    TRY(compartment_copy_in(context->compartment, to, text));
    TRY(compartment_copy_in(context->compartment, to + (uint32_t)text.len, bytes_from("", 1)));
    *at = to;
    return OK;
}

enum status guest_string(struct script_context *context, struct bytes text, guest_value *value)
{
    uint32_t at;
    TRY(guest_copy_text(context, text, &at));
    uint64_t arguments[2] = {at, text.len};
    guest_value made = 0;
    enum status status = guest_call(context, EXPORT_NEW_STRING, arguments, 2, &made);
    guest_free(context, at);
    if (status != OK)
        return status;
    if (made == 0 || guest_is(context, EXPORT_IS_EXCEPTION, made)) {
        guest_release(context, made);
        return context->crashed ? DENIED : NO_ROOM;
    }
    *value = made;
    return OK;
}

void guest_release(struct script_context *context, guest_value value)
{
    uint64_t argument = value;
    uint32_t none;
    if (value != 0 && guest_call(context, EXPORT_FREE_VALUE, &argument, 1, &none) != OK)
        context->crashed = true;
}

bool guest_is(struct script_context *context, enum export question, guest_value value)
{
    uint64_t argument = value;
    uint32_t answer = 0;
    return guest_call(context, question, &argument, 1, &answer) == OK && answer != 0;
}

static enum status run_listed(struct script_context *context, guest_value function, const guest_value *list,
                              size_t count, guest_value *result)
{
    struct script_engine *engine = context->engine;
    uint64_t call[4] = {function, engine->undefined, count, engine->scratch};
    /* Both sides are little-endian: WebAssembly by definition, we because the linker knows no other processor. */
    TRY(compartment_copy_in(context->compartment, engine->scratch, bytes_from(list, count * sizeof(guest_value))));
    TRY(guest_call(context, EXPORT_CALL, call, 4, result));
    return *result == 0 ? NO_ROOM : OK;
}

enum status guest_run(struct script_context *context, guest_value function, const guest_value *arguments, size_t count,
                      guest_value *result)
{
    return count > SCRIPT_ARGUMENTS_MAX ? NO_ROOM : run_listed(context, function, arguments, count, result);
}

enum status guest_run_raw(struct script_context *context, guest_value function, const raw_value *arguments,
                          size_t count, guest_value *result)
{
    guest_value list[SCRIPT_ARGUMENTS_MAX];
    uint32_t at = context->engine->scratch + SCRATCH_VALUES;
    if (count > SCRIPT_ARGUMENTS_MAX)
        return NO_ROOM;
    TRY(compartment_copy_in(context->compartment, at, bytes_from(arguments, count * sizeof(raw_value))));
    for (size_t i = 0; i < count; i++)
        list[i] = at + (uint32_t)(i * sizeof(raw_value));
    return run_listed(context, function, list, count, result);
}

enum status guest_parse(struct script_context *context, struct bytes text, raw_value *value)
{
    uint32_t at;
    raw_value parsed = 0;
    TRY(guest_copy_text(context, text, &at));
    uint64_t arguments[4] = {context->engine->context_at, at, text.len, context->engine->scratch + SCRATCH_TEXT};
    enum status status = call_wide(context, EXPORT_PARSE_JSON, arguments, 4, &parsed);
    guest_free(context, at);
    if (status != OK)
        return status;
    if (parsed >> 32 == RAW_EXCEPTION)
        return MALFORMED;
    *value = parsed;
    return OK;
}

void guest_release_raw(struct script_context *context, raw_value value)
{
    uint64_t arguments[2] = {context->engine->context_at, value};
    uint64_t none;
    if (call_wide(context, EXPORT_FREE_RAW, arguments, 2, &none) != OK)
        context->crashed = true;
}

enum status guest_read_string(struct script_context *context, guest_value value, uint32_t *at, uint32_t *len)
{
    uint64_t arguments[2] = {value, context->engine->scratch};
    uint32_t text;
    TRY(guest_call(context, EXPORT_GET_STRING, arguments, 2, &text));
    if (text == 0)
        return NO_ROOM;
    TRY(compartment_copy_out(context->compartment, context->engine->scratch, len, sizeof(*len)));
    *at = text;
    return OK;
}

void guest_free_string(struct script_context *context, uint32_t at)
{
    uint64_t argument = at;
    uint32_t none;
    if (at != 0 && guest_call(context, EXPORT_FREE_STRING, &argument, 1, &none) != OK)
        context->crashed = true;
}
