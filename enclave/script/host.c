/* The functions that quickjs.policy grants. None has authority beyond the running call: its time, seed, log and
 * service. */
#include <string.h>

#include "script_internal.h"

#define WASI_OK 0u
#define WASI_BAD_DESCRIPTOR 8u
#define WASI_INVALID 28u
#define WASI_NOT_SUPPORTED 52u

static uint32_t clock_time_get(struct compartment *compartment, uint32_t clock, uint64_t precision, uint32_t to)
{
    const struct script_context *context = compartment_user(compartment);
    uint64_t now = context->call != NULL ? (uint64_t)context->call->now_ms * 1000000u : 0;
    uint8_t bytes[8];
    struct writer writer = writer_over(bytes, sizeof(bytes));
    (void)clock;
    (void)precision;
    put_u64le(&writer, now);
    return compartment_copy_in(compartment, to, writer_bytes(&writer)) == OK ? WASI_OK : WASI_INVALID;
}

/* SplitMix64: the seed decides everything; nothing here is for keys. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static uint32_t random_get(struct compartment *compartment, uint32_t to, uint32_t len)
{
    const struct script_context *context = compartment_user(compartment);
    uint64_t state = context->call != NULL ? context->call->seed : 0;
    for (uint32_t off = 0; off < len; off++) {
        uint8_t byte = (uint8_t)next_random(&state);
        if (to > UINT32_MAX - off || compartment_copy_in(compartment, to + off, bytes_from(&byte, 1)) != OK)
            return WASI_INVALID;
    }
    return WASI_OK;
}

static uint32_t fd_refused(struct compartment *compartment)
{
    (void)compartment;
    return WASI_BAD_DESCRIPTOR;
}

static uint32_t answer_zero(struct compartment *compartment)
{
    (void)compartment;
    return 0;
}

/* Only ever called with a tracker installed, which prelude.c does not do; the two values are ours to free. */
static void host_promise_rejection(struct compartment *compartment, uint32_t promise, uint32_t reason, uint32_t handled)
{
    struct script_context *context = compartment_user(compartment);
    (void)handled;
    guest_release(context, promise);
    guest_release(context, reason);
}

static guest_value simple(struct script_context *context, enum export which)
{
    guest_value value = 0;
    return guest_call(context, which, NULL, 0, &value) == OK ? value : 0;
}

static guest_value text_value(struct script_context *context, struct bytes text)
{
    guest_value value;
    /* Out of heap: null, which the prelude turns into an exception. */
    return guest_string(context, text, &value) == OK ? value : simple(context, EXPORT_NULL);
}

/* log(text): null once the limit is passed. */
static guest_value host_log(struct script_context *context, guest_value text)
{
    uint32_t at, len;
    struct bytes line;
    const struct script_call *call = context->call;
    if (call == NULL || call->log == NULL || context->log_exceeded)
        return simple(context, context->log_exceeded ? EXPORT_NULL : EXPORT_UNDEFINED);
    if (guest_read_string(context, text, &at, &len) != OK)
        return simple(context, EXPORT_NULL);
    size_t used = call->log->len - context->log_start;
    if (len >= context->log_cap - used || call->log->cap - call->log->len <= len ||
        compartment_view(context->compartment, at, len, &line) != OK) {
        context->log_exceeded = true;
    } else {
        put_bytes(call->log, line);
        put_u8(call->log, '\n');
    }
    guest_free_string(context, at);
    return simple(context, context->log_exceeded ? EXPORT_NULL : EXPORT_UNDEFINED);
}

/* ask(name, json): "O" and the answer, or "E" and a status word. Name and input are copied out before the service sees
 * them, one behind the other in the answer buffer's upper half. */
static guest_value host_ask(struct script_context *context, guest_value name, guest_value input)
{
    static const char no_service[] = "Enot found";
    struct script_engine *engine = context->engine;
    const struct script_call *call = context->call;
    uint8_t *in = engine->service_answer + SERVICE_CAP / 2;
    uint32_t name_at = 0, name_len = 0, input_at = 0, input_len = 0;
    if (call == NULL || call->service == NULL)
        return text_value(context, bytes_from_text(no_service));
    if (guest_read_string(context, name, &name_at, &name_len) != OK ||
        guest_read_string(context, input, &input_at, &input_len) != OK)
        return simple(context, EXPORT_NULL);
    bool fits = name_len <= SCRIPT_NAME_MAX && input_len <= SERVICE_CAP / 2 - SCRIPT_NAME_MAX &&
                compartment_copy_out(context->compartment, name_at, in, name_len) == OK &&
                compartment_copy_out(context->compartment, input_at, in + SCRIPT_NAME_MAX, input_len) == OK;
    guest_free_string(context, name_at);
    guest_free_string(context, input_at);
    struct writer answer = writer_over(engine->service_answer, SERVICE_CAP / 2);
    put_u8(&answer, 'O');
    enum status status =
        fits ? call->service(call->user, bytes_from(in, name_len), bytes_from(in + SCRIPT_NAME_MAX, input_len), &answer)
             : NO_ROOM;
    if (status == OK)
        status = writer_end(&answer);
    if (status != OK) {
        answer = writer_over(engine->service_answer, SERVICE_CAP);
        put_u8(&answer, 'E');
        put_text(&answer, status_word(status));
    }
    return text_value(context, writer_bytes(&answer));
}

static guest_value host_seed(struct script_context *context)
{
    char digits[17];
    uint8_t bytes[8];
    uint64_t state = context->call != NULL ? context->call->seed : 0;
    struct writer writer = writer_over(bytes, sizeof(bytes));
    put_u64be(&writer, next_random(&state));
    if (hex_encode(writer_bytes(&writer), digits, sizeof(digits)) != OK)
        return simple(context, EXPORT_NULL);
    return text_value(context, bytes_from_text(digits));
}

static uint32_t host_call(struct compartment *compartment, uint32_t name_at, uint32_t name_len, uint32_t this_value,
                          uint32_t count, uint32_t arguments_at)
{
    struct script_context *context = compartment_user(compartment);
    char name[8] = {0};
    guest_value arguments[2] = {0, 0};
    (void)this_value;
    if (name_len >= sizeof(name) || compartment_copy_out(compartment, name_at, name, name_len) != OK || count > 2 ||
        compartment_copy_out(compartment, arguments_at, arguments, count * sizeof(guest_value)) != OK)
        return simple(context, EXPORT_NULL);
    if (strcmp(name, "log") == 0 && count == 1)
        return host_log(context, arguments[0]);
    if (strcmp(name, "ask") == 0 && count == 2)
        return host_ask(context, arguments[0], arguments[1]);
    if (strcmp(name, "seed") == 0 && count == 0)
        return host_seed(context);
    return simple(context, EXPORT_NULL);
}

#define GRANT(module, name, code)                                                                                      \
    {                                                                                                                  \
        module, name, (void (*)(void))(code)                                                                           \
    }

static const struct compartment_host_function functions[] = {
    GRANT("env", "host_call", host_call),
    GRANT("env", "host_get_timezone_offset", answer_zero), /* UTC */
    GRANT("env", "host_interrupt", answer_zero),           /* budgets are the compartment's */
    GRANT("env", "host_module_load", answer_zero),         /* there are no modules */
    GRANT("env", "host_module_normalize", answer_zero),
    GRANT("env", "host_promise_rejection", host_promise_rejection),
    GRANT("wasi_snapshot_preview1", "clock_time_get", clock_time_get),
    GRANT("wasi_snapshot_preview1", "fd_close", fd_refused),
    GRANT("wasi_snapshot_preview1", "fd_fdstat_get", fd_refused),
    GRANT("wasi_snapshot_preview1", "fd_seek", fd_refused),
    GRANT("wasi_snapshot_preview1", "fd_write", fd_refused),
    GRANT("wasi_snapshot_preview1", "random_get", random_get),
};

const struct compartment_host_function *script_host_functions(size_t *count)
{
    *count = sizeof(functions) / sizeof(functions[0]);
    return functions;
}
