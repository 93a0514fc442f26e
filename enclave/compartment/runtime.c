/* What compiled modules call: wabt 1.0.32's runtime interface, and the C and mathematics functions its output needs.
 * Everything here runs on the guest's stack and for the guest, so it may be stopped at any instruction: it holds
 * nothing of ours and touches only the running compartment. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include <wasm-rt.h>

#include "compartment_internal.h"

_Static_assert(sizeof(wasm_rt_funcref_t) == 24, "the size that the table cap counts with");

static struct compartment_module *initialising;
static bool types_overflowed;

static struct compartment *guest(void)
{
    return compartment_crossing.running;
}

GUEST_SIDE static bool is_initialized(void)
{
    return true;
}

GUEST_SIDE static void trap(wasm_rt_trap_t code)
{
    switch (code) {
    case WASM_RT_TRAP_OOB:
        leave_guest(COMPARTMENT_MEMORY);
        break;
    case WASM_RT_TRAP_INT_OVERFLOW:
        leave_guest(COMPARTMENT_OVERFLOW);
        break;
    case WASM_RT_TRAP_DIV_BY_ZERO:
        leave_guest(COMPARTMENT_DIVISION);
        break;
    case WASM_RT_TRAP_INVALID_CONVERSION:
        leave_guest(COMPARTMENT_CONVERSION);
        break;
    case WASM_RT_TRAP_CALL_INDIRECT:
        leave_guest(COMPARTMENT_INDIRECT);
        break;
    case WASM_RT_TRAP_EXHAUSTION:
        leave_guest(COMPARTMENT_STACK);
        break;
    case WASM_RT_TRAP_NONE:
    case WASM_RT_TRAP_UNREACHABLE:
    case WASM_RT_TRAP_UNCAUGHT_EXCEPTION:
        break;
    }
    leave_guest(COMPARTMENT_UNREACHABLE);
}

/* Equal signatures get equal numbers, within one module; they are compared at every indirect call. */
static uint32_t register_type(uint32_t parameters, uint32_t results, ...)
{
    struct module_type type = {0};
    va_list list;
    if (initialising == NULL || parameters + results > MODULE_TYPE_BYTES - 2 ||
        initialising->types_count == MODULE_TYPES_MAX) {
        types_overflowed = true;
        return 0;
    }
    type.shape[0] = (uint8_t)parameters;
    type.shape[1] = (uint8_t)results;
    type.len = (uint8_t)(2 + parameters + results);
    va_start(list, results);
    for (uint32_t i = 0; i < parameters + results; i++)
        type.shape[2 + i] = (uint8_t)va_arg(list, int);
    va_end(list);
    for (size_t i = 0; i < initialising->types_count; i++)
        if (memcmp(&initialising->types[i], &type, sizeof(type)) == 0)
            return (uint32_t)i + 1;
    initialising->types[initialising->types_count++] = type;
    return (uint32_t)initialising->types_count;
}

bool runtime_initialise(struct compartment_module *module)
{
    initialising = module;
    types_overflowed = false;
    module->initialise();
    initialising = NULL;
    return !types_overflowed;
}

GUEST_SIDE static void allocate_memory(wasm_rt_memory_t *memory, uint32_t initial, uint32_t max)
{
    struct compartment *compartment = guest();
    if (compartment->has_memory || initial > compartment->linear_cap_pages)
        leave_guest(COMPARTMENT_INSTANTIATE);
    compartment->has_memory = true;
    compartment->memory_off = (uint32_t)((uint8_t *)memory - compartment->instance);
    memory->data = compartment->linear;
    memory->pages = initial;
    memory->max_pages = max < compartment->linear_cap_pages ? max : compartment->linear_cap_pages;
    memory->size = initial * WASM_PAGE;
}

/* Every page up to the cap is mapped and zero already, so growing is counting. */
GUEST_SIDE static uint32_t grow_memory(wasm_rt_memory_t *memory, uint32_t more)
{
    uint32_t before = memory->pages;
    if (more > memory->max_pages - before)
        return UINT32_MAX;
    memory->pages = before + more;
    memory->size = memory->pages * WASM_PAGE;
    return before;
}

GUEST_SIDE static void free_nothing(void *unused)
{
    (void)unused;
}

/* A table that names no maximum keeps its first size. */
GUEST_SIDE static uint8_t *allocate_table(const void *table, bool funcref, uint32_t elements, uint32_t *max)
{
    struct compartment *compartment = guest();
    size_t left = (compartment->table_cap - compartment->table_used) / sizeof(wasm_rt_funcref_t);
    if (*max == UINT32_MAX)
        *max = elements;
    if (*max > left)
        *max = (uint32_t)left;
    if (elements > *max || compartment->tables_count == MODULE_TABLES_MAX)
        leave_guest(COMPARTMENT_INSTANTIATE);
    struct module_table *own = &compartment->tables[compartment->tables_count++];
    own->off = (uint32_t)((const uint8_t *)table - compartment->instance);
    own->funcref = funcref;
    own->data_off = (uint32_t)compartment->table_used;
    own->data_len = *max * (uint32_t)sizeof(wasm_rt_funcref_t);
    compartment->table_used += own->data_len;
    return compartment->table_data + own->data_off;
}

GUEST_SIDE static void allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t elements, uint32_t max)
{
    table->data = (wasm_rt_funcref_t *)(void *)allocate_table(table, true, elements, &max);
    table->size = elements;
    table->max_size = max;
}

GUEST_SIDE static void allocate_externref_table(wasm_rt_externref_table_t *table, uint32_t elements, uint32_t max)
{
    table->data = (wasm_rt_externref_t *)(void *)allocate_table(table, false, elements, &max);
    table->size = elements;
    table->max_size = max;
}

GUEST_SIDE static uint32_t grow_funcref_table(wasm_rt_funcref_table_t *table, uint32_t more, wasm_rt_funcref_t fill)
{
    uint32_t before = table->size;
    if (more > table->max_size - before)
        return UINT32_MAX;
    for (uint32_t i = 0; i < more; i++)
        table->data[before + i] = fill;
    table->size = before + more;
    return before;
}

GUEST_SIDE static uint32_t grow_externref_table(wasm_rt_externref_table_t *table, uint32_t more,
                                                wasm_rt_externref_t fill)
{
    uint32_t before = table->size;
    if (more > table->max_size - before)
        return UINT32_MAX;
    for (uint32_t i = 0; i < more; i++)
        table->data[before + i] = fill;
    table->size = before + more;
    return before;
}

#define RUNTIME(name, function)                                                                                        \
    {                                                                                                                  \
        name, (void (*)(void))(function)                                                                               \
    }

/* All that a module may reach without a grant. */
static const struct {
    const char *name;
    void (*code)(void);
} runtime[] = {
    RUNTIME("wasm_rt_is_initialized", is_initialized),
    RUNTIME("wasm_rt_trap", trap),
    RUNTIME("wasm_rt_register_func_type", register_type),
    RUNTIME("wasm_rt_allocate_memory", allocate_memory),
    RUNTIME("wasm_rt_grow_memory", grow_memory),
    RUNTIME("wasm_rt_free_memory", free_nothing),
    RUNTIME("wasm_rt_allocate_funcref_table", allocate_funcref_table),
    RUNTIME("wasm_rt_free_funcref_table", free_nothing),
    RUNTIME("wasm_rt_grow_funcref_table", grow_funcref_table),
    RUNTIME("wasm_rt_allocate_externref_table", allocate_externref_table),
    RUNTIME("wasm_rt_free_externref_table", free_nothing),
    RUNTIME("wasm_rt_grow_externref_table", grow_externref_table),
    RUNTIME("memcpy", memcpy),
    RUNTIME("memmove", memmove),
    RUNTIME("memset", memset),
    RUNTIME("ceil", ceil),
    RUNTIME("ceilf", ceilf),
    RUNTIME("floor", floor),
    RUNTIME("floorf", floorf),
    RUNTIME("trunc", trunc),
    RUNTIME("truncf", truncf),
    RUNTIME("nearbyint", nearbyint),
    RUNTIME("nearbyintf", nearbyintf),
    RUNTIME("sqrt", sqrt),
    RUNTIME("sqrtf", sqrtf),
};

void (*runtime_function(const char *name))(void)
{
    for (size_t i = 0; i < sizeof(runtime) / sizeof(runtime[0]); i++)
        if (strcmp(runtime[i].name, name) == 0)
            return runtime[i].code;
    return NULL;
}
