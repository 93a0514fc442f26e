/* One compartment's memory: where its parts lie, how bytes go in and out, and how it returns to a pristine image. */
#include <string.h>

#include <wasm-rt.h>

#include "compartment_internal.h"

#define INSTANCE_ALIGN 64u
#define IMAGE_PAGES_MAX (COMPARTMENT_IMAGE_MAX / PAGE)
#define TOUCHED_AT_ONCE 256u

struct compartment_snapshot {
    const struct compartment_module *module;
    const struct compartment *source; /* NULL: not taken yet */
    const uint8_t *source_instance;
    size_t own_len;
    uint8_t *instance, *tables;
    size_t tables_len;
    uint32_t linear_pages; /* of 4 KiB */
    uint32_t used_count;
    uint32_t *used; /* pages that are not all zero, ascending */
    uint8_t *pages; /* their bytes */
};

static size_t align_up(size_t len, size_t to)
{
    return (len + to - 1) / to * to;
}

static const wasm_rt_memory_t *memory_of(const struct compartment *compartment)
{
    return (const wasm_rt_memory_t *)(const void *)(compartment->instance + compartment->memory_off);
}

uint32_t compartment_memory_len(const struct compartment *compartment)
{
    return compartment->has_memory ? memory_of(compartment)->size : 0;
}

static enum status back_parts(const struct compartment_memory *memory, uint8_t *window, size_t stack_len,
                              size_t linear_len, size_t control_len)
{
    uint8_t *stack = window + STACK_GUARD, *linear = stack + stack_len + WASM_PAGE;
    TRY(memory->back(memory->user, stack, stack_len));
    if (linear_len != 0)
        TRY(memory->back(memory->user, linear, linear_len));
    return memory->back(memory->user, linear + LINEAR_WINDOW, control_len);
}

static struct compartment *lay_out(struct compartment_module *module, uint8_t *window, size_t window_len,
                                   size_t stack_len, size_t control_len)
{
    uint8_t *stack = window + STACK_GUARD, *linear = stack + stack_len + WASM_PAGE, *control = linear + LINEAR_WINDOW;
    size_t instance_off = align_up(sizeof(struct compartment), INSTANCE_ALIGN);
    size_t tables_off = instance_off + align_up(module->instance_len, INSTANCE_ALIGN);
    struct compartment *compartment = (struct compartment *)(void *)control;
    *compartment = (struct compartment){.module = module,
                                        .window = window,
                                        .window_len = window_len,
                                        .control_len = control_len,
                                        .guard = window,
                                        .stack_low = stack,
                                        .stack_top = stack + stack_len,
                                        .linear = linear,
                                        .linear_cap_pages = module->policy.memory_pages,
                                        .instance = control + instance_off,
                                        .table_data = control + tables_off,
                                        .table_cap = module->policy.table_elements * sizeof(wasm_rt_funcref_t),
                                        .deadline = UINT64_MAX};
    return compartment;
}

enum status compartment_new(struct compartment_module *module, void *user, struct compartment **compartment)
{
    const struct compartment_memory *memory = module->memory;
    size_t stack_len = round_up_page(module->policy.stack_bytes);
    size_t linear_len = (size_t)module->policy.memory_pages * WASM_PAGE;
    size_t control_len = round_up_page(align_up(sizeof(struct compartment), INSTANCE_ALIGN) +
                                       align_up(module->instance_len, INSTANCE_ALIGN) +
                                       module->policy.table_elements * sizeof(wasm_rt_funcref_t));
    size_t window_len = STACK_GUARD + stack_len + WASM_PAGE + LINEAR_WINDOW + control_len;
    void *window;
    TRY(memory->reserve(memory->user, window_len, &window));
    enum status status = back_parts(memory, window, stack_len, linear_len, control_len);
    if (status != OK) {
        memory->release(memory->user, window, window_len);
        return status;
    }
    *compartment = lay_out(module, window, window_len, stack_len, control_len);
    (*compartment)->user = user;
    return OK;
}

enum status compartment_start(struct compartment *compartment)
{
    uint64_t arguments[6], none;
    if (compartment->started)
        return WRONG_STATE;
    compartment->started = true;
    arguments[0] = (uint64_t)(uintptr_t)compartment->instance;
    for (size_t i = 1; i < 6; i++)
        arguments[i] =
            (uint64_t)(uintptr_t)compartment; /* one for each imported module, as its host functions' first */
    return run_guest(compartment, compartment->module->instantiate, arguments, &none);
}

enum status compartment_instantiate(struct compartment_module *module, void *user, struct compartment **compartment)
{
    struct compartment *fresh;
    TRY(compartment_new(module, user, &fresh));
    enum status status = compartment_start(fresh);
    if (status != OK) {
        compartment_free(fresh);
        return status;
    }
    *compartment = fresh;
    return OK;
}

void compartment_free(struct compartment *compartment)
{
    if (compartment == NULL)
        return;
    const struct compartment_memory *memory = compartment->module->memory;
    memory->release(memory->user, compartment->window, compartment->window_len);
}

void *compartment_user(const struct compartment *compartment)
{
    return compartment->user;
}

void compartment_set_user(struct compartment *compartment, void *user)
{
    compartment->user = user;
}

static bool in_memory(const struct compartment *compartment, uint32_t from, size_t len)
{
    size_t size = compartment_memory_len(compartment);
    return from <= size && len <= size - from;
}

enum status compartment_copy_in(struct compartment *compartment, uint32_t to, struct bytes bytes)
{
    if (!in_memory(compartment, to, bytes.len))
        return NO_ROOM;
    if (bytes.len != 0)
        memcpy(compartment->linear + to, bytes.data, bytes.len);
    return OK;
}

enum status compartment_copy_out(const struct compartment *compartment, uint32_t from, void *to, size_t len)
{
    if (!in_memory(compartment, from, len))
        return NO_ROOM;
    if (len != 0)
        memcpy(to, compartment->linear + from, len);
    return OK;
}

enum status compartment_view(const struct compartment *compartment, uint32_t from, size_t len, struct bytes *view)
{
    if (!in_memory(compartment, from, len))
        return NO_ROOM;
    *view = bytes_from(compartment->linear + from, len);
    return OK;
}

static bool page_is_zero(const uint8_t *page)
{
    const uint64_t *words = (const uint64_t *)(const void *)page;
    uint64_t any = 0;
    for (size_t i = 0; i < PAGE / sizeof(uint64_t); i++)
        any |= words[i];
    return any == 0;
}

static uint32_t linear_pages(const struct compartment *compartment)
{
    return compartment_memory_len(compartment) / PAGE;
}

/* Indices of the pages that are not zero, ascending; of the others, those that were never touched stay so. NO_ROOM:
 * they are more than `cap`. */
static enum status list_used(const struct compartment *compartment, uint32_t *used, uint32_t cap, uint32_t *count)
{
    const struct compartment_memory *memory = compartment->module->memory;
    uint8_t touched[TOUCHED_AT_ONCE];
    uint32_t pages = linear_pages(compartment), found = 0;
    memset(touched, 1, sizeof touched);
    for (uint32_t i = 0; i < pages; i++) {
        const uint8_t *page = compartment->linear + (size_t)i * PAGE;
        if (i % TOUCHED_AT_ONCE == 0 && memory->touched != NULL) {
            size_t some = pages - i < TOUCHED_AT_ONCE ? pages - i : TOUCHED_AT_ONCE;
            memory->touched(memory->user, page, some * PAGE, touched);
        }
        if (touched[i % TOUCHED_AT_ONCE] == 0 || page_is_zero(page))
            continue;
        if (found == cap)
            return NO_ROOM;
        used[found++] = i;
    }
    *count = found;
    return OK;
}

enum status compartment_snapshot_new(const struct compartment_module *module, struct compartment_snapshot **snapshot)
{
    const struct compartment_memory *memory = module->memory;
    size_t head = align_up(sizeof(struct compartment_snapshot), INSTANCE_ALIGN);
    size_t instance = align_up(module->instance_len, INSTANCE_ALIGN);
    size_t list = IMAGE_PAGES_MAX * sizeof(uint32_t);
    size_t tables = align_up(module->policy.table_elements * sizeof(wasm_rt_funcref_t), INSTANCE_ALIGN);
    size_t front = round_up_page(head + instance + list + tables), len = front + COMPARTMENT_IMAGE_MAX;
    void *own;
    TRY(memory->reserve(memory->user, len, &own));
    enum status status = memory->back(memory->user, own, len);
    if (status != OK) {
        memory->release(memory->user, own, len);
        return status;
    }
    uint8_t *at = own;
    *snapshot = own;
    **snapshot = (struct compartment_snapshot){.module = module,
                                               .own_len = len,
                                               .instance = at + head,
                                               .used = (uint32_t *)(void *)(at + head + instance),
                                               .tables = at + head + instance + list,
                                               .pages = at + front};
    return OK;
}

enum status compartment_snapshot_take(const struct compartment *compartment, struct compartment_snapshot *snapshot)
{
    const struct compartment_module *module = compartment->module;
    if (!compartment->started || compartment->trap != COMPARTMENT_RAN || compartment->running ||
        snapshot->module != module)
        return WRONG_STATE;
    snapshot->source = NULL;
    TRY(list_used(compartment, snapshot->used, IMAGE_PAGES_MAX, &snapshot->used_count));
    snapshot->source_instance = compartment->instance;
    snapshot->tables_len = compartment->table_used;
    snapshot->linear_pages = linear_pages(compartment);
    memcpy(snapshot->instance, compartment->instance, module->instance_len);
    memcpy(snapshot->tables, compartment->table_data, compartment->table_used);
    for (uint32_t i = 0; i < snapshot->used_count; i++)
        memcpy(snapshot->pages + (size_t)i * PAGE, compartment->linear + (size_t)snapshot->used[i] * PAGE, PAGE);
    snapshot->source = compartment;
    return OK;
}

void compartment_snapshot_free(struct compartment_snapshot *snapshot)
{
    if (snapshot != NULL)
        snapshot->module->memory->release(snapshot->module->memory->user, snapshot, snapshot->own_len);
}

/* Addresses in an instance: of its importer at the front, of its memory and tables where the runtime put them, and of
 * itself in function tables. Everything else in it is numbers. */
static void restore_instance(struct compartment *compartment, const struct compartment_snapshot *snapshot)
{
    uint8_t *instance = compartment->instance;
    memcpy(instance, snapshot->instance, snapshot->module->instance_len);
    for (size_t off = 0; off < COMPARTMENT_MODULES_MAX * sizeof(void *) && off < snapshot->module->instance_len;
         off += sizeof(void *)) {
        void **word = (void **)(void *)(instance + off);
        if (*word != snapshot->source)
            break;
        *word = compartment;
    }
    if (compartment->has_memory)
        ((wasm_rt_memory_t *)(void *)(instance + compartment->memory_off))->data = compartment->linear;
    memcpy(compartment->table_data, snapshot->tables, snapshot->tables_len);
    for (size_t i = 0; i < compartment->tables_count; i++) {
        const struct module_table *table = &compartment->tables[i];
        uint8_t *data = compartment->table_data + table->data_off;
        *(void **)(void *)(instance + table->off) = data;
        if (!table->funcref)
            continue;
        wasm_rt_funcref_t *elements = (wasm_rt_funcref_t *)(void *)data;
        for (size_t e = 0; e < table->data_len / sizeof(*elements); e++)
            if (elements[e].module_instance != NULL)
                elements[e].module_instance =
                    instance + ((uint8_t *)elements[e].module_instance - snapshot->source_instance);
    }
}

enum status compartment_reset(struct compartment *compartment, const struct compartment_snapshot *snapshot)
{
    if (compartment->running || !compartment->started || snapshot->source == NULL ||
        compartment->module != snapshot->module)
        return WRONG_STATE;
    uint32_t pages = linear_pages(compartment), page = 0;
    if (pages < snapshot->linear_pages)
        pages = snapshot->linear_pages;
    for (uint32_t i = 0; i < snapshot->used_count; i++) {
        uint8_t *to = compartment->linear + (size_t)snapshot->used[i] * PAGE;
        memset(compartment->linear + (size_t)page * PAGE, 0, (size_t)(snapshot->used[i] - page) * PAGE);
        memcpy(to, snapshot->pages + (size_t)i * PAGE, PAGE);
        page = snapshot->used[i] + 1;
    }
    memset(compartment->linear + (size_t)page * PAGE, 0, (size_t)(pages - page) * PAGE);
    restore_instance(compartment, snapshot);
    compartment->trap = COMPARTMENT_RAN;
    return OK;
}
