/* The pool: contexts mapped once, lent to trust domains, recycled from the pristine image; least recently used goes
 * first. */
#include <string.h>

#include "script_internal.h"

#define PAGES_MIN 64u

void context_retire(struct script_context *context)
{
    context->owned = false;
    context->dirty = true;
    context->generation++;
    memset(context->functions, 0, context->functions_count * sizeof(context->functions[0]));
    context->functions_count = 0;
}

static enum status start(struct script_context *context)
{
    if (context->started)
        return OK;
    context->started = true;
    return compartment_start(context->compartment);
}

static enum status make_pristine(struct script_context *context)
{
    if (context->dirty) {
        TRY(start(context));
        TRY(compartment_reset(context->compartment, context->engine->pristine));
        context->dirty = false;
    }
    context->crashed = false;
    context->heap_limit = context->stack_limit = 0;
    return OK;
}

/* The first context is itself the pristine image's original. A start that failed is not tried again: the image that the
 * next try found would be half made. */
static enum status build_pristine(struct script_engine *engine, struct writer *why)
{
    struct script_context *first = &engine->contexts[0];
    if (engine->built)
        return OK;
    if (first->started)
        return WRONG_STATE;
    enum status status = start(first);
    if (status != OK) {
        put_text(why, "the JavaScript engine's module does not start");
        return status;
    }
    TRY(prelude_run(first, engine->prelude, why));
    TRY(compartment_snapshot_take(first->compartment, engine->pristine));
    first->dirty = false;
    engine->built = true;
    return OK;
}

static enum status fill(struct script_engine *engine, const struct script_config *config, struct writer *why)
{
    TRY(guest_find_exports(engine, why));
    if (engine->pages_cap < PAGES_MIN) {
        put_text(why, "the policy's memory is less than the 64 pages that the JavaScript engine needs");
        return NO_ROOM;
    }
    if (config->prelude.len > SCRIPT_SOURCE_MAX) {
        put_text(why, "the prelude is longer than 65536 bytes");
        return NO_ROOM;
    }
    enum status status = compartment_snapshot_new(engine->module, &engine->pristine);
    for (size_t i = 0; i < config->contexts && status == OK; i++) {
        struct script_context *context = &engine->contexts[i];
        context->engine = engine;
        context->index = (uint32_t)i;
        context->generation = 1; /* so that a zeroed script_function is nobody's */
        context->dirty = true;
        status = compartment_new(engine->module, context, &context->compartment);
        if (status == OK)
            engine->contexts_count = i + 1;
    }
    if (status != OK) {
        put_text(why, "the JavaScript engine's contexts do not fit the memory given to them");
        return status;
    }
    engine->prelude = config->prelude;
    return config->deferred ? OK : build_pristine(engine, why);
}

enum status script_engine_new(struct script_engine **engine, const struct script_config *config,
                              struct compartment_module *module, const struct compartment_memory *memory,
                              struct writer *why)
{
    size_t len = sizeof(struct script_engine) + config->contexts * sizeof(struct script_context);
    void *own;
    if (config->contexts == 0 || config->contexts > UINT32_MAX / sizeof(struct script_context))
        return NO_ROOM;
    len = (len + 4095) / 4096 * 4096;
    TRY(memory->reserve(memory->user, len, &own));
    enum status status = memory->back(memory->user, own, len);
    if (status != OK) {
        memory->release(memory->user, own, len);
        return status;
    }
    struct script_engine *fresh = own;
    fresh->module = module;
    fresh->memory = memory;
    fresh->own_len = len;
    fresh->pages_cap = compartment_module_policy(module)->memory_pages;
    status = fill(fresh, config, why);
    if (status != OK) {
        script_engine_free(fresh);
        return status;
    }
    *engine = fresh;
    return OK;
}

void script_engine_free(struct script_engine *engine)
{
    if (engine == NULL)
        return;
    const struct compartment_memory *memory = engine->memory;
    for (size_t i = 0; i < engine->contexts_count; i++)
        compartment_free(engine->contexts[i].compartment);
    compartment_snapshot_free(engine->pristine);
    memory->release(memory->user, engine, engine->own_len);
}

static struct script_context *find(struct script_engine *engine, uint64_t domain)
{
    for (size_t i = 0; i < engine->contexts_count; i++)
        if (engine->contexts[i].owned && engine->contexts[i].domain == domain)
            return &engine->contexts[i];
    return NULL;
}

/* Free ones first, of these one that was used before: its pages are there already. */
static struct script_context *choose(struct script_engine *engine)
{
    struct script_context *best = &engine->contexts[0];
    for (size_t i = 1; i < engine->contexts_count; i++) {
        struct script_context *context = &engine->contexts[i];
        if (context->owned != best->owned ? best->owned
                                          : (context->owned ? context->used < best->used : context->used > best->used))
            best = context;
    }
    return best;
}

enum status script_context(struct script_engine *engine, uint64_t domain, struct script_context **context)
{
    if (engine->running)
        return WRONG_STATE;
    struct writer nowhere = writer_over(NULL, 0);
    TRY(build_pristine(engine, &nowhere));
    struct script_context *found = find(engine, domain);
    if (found == NULL) {
        found = choose(engine);
        if (found->owned)
            context_retire(found);
        TRY(make_pristine(found));
        found->owned = true;
        found->domain = domain;
    }
    found->used = ++engine->clock;
    *context = found;
    return OK;
}

void script_forget(struct script_engine *engine, uint64_t domain)
{
    struct script_context *found = find(engine, domain);
    if (found == NULL || engine->running)
        return;
    context_retire(found);
    /* Wiped now, not when someone else asks for it. */
    if (make_pristine(found) != OK)
        found->dirty = true;
}
