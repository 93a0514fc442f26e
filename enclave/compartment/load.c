/* From a measured object to code that can run: resolve every import against runtime and policy, map, relocate, seal. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "compartment_internal.h"

#define MODULE_VERSION 1
#define EXPORT_PREFIX "Z_moduleZ_"

/* What guest/module.c puts beside the compiled code. */
struct module_note {
    uint32_t version, instance_len;
};

struct loader {
    struct compartment_module *module;
    const struct compartment_host_function *functions;
    size_t functions_count;
    size_t last_line;
    struct writer *why;
};

size_t round_up_page(size_t len)
{
    return (len + PAGE - 1) / PAGE * PAGE;
}

/* wasm2c 1.0.32: letters, digits and _ stand for themselves, Z and all else as Z and two hex digits. */
static bool is_mangled(const char *symbol, const char *name, const char **rest)
{
    static const char hex[] = "0123456789ABCDEF";
    if (symbol[0] != 'Z' || symbol[1] != '_')
        return false;
    for (symbol += 2; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c < 'Z');
        if (plain ? *symbol != (char)c : (symbol[0] != 'Z' || symbol[1] != hex[c >> 4] || symbol[2] != hex[c & 15]))
            return false;
        symbol += plain ? 1 : 3;
    }
    *rest = symbol;
    return true;
}

static bool is_import(const char *symbol, const char *module, const char *function)
{
    const char *rest;
    return is_mangled(symbol, module, &rest) && is_mangled(rest, function, &rest) && *rest == '\0';
}

static void say_symbol(struct writer *why, const char *symbol)
{
    char text[COMPARTMENT_NAME_MAX * 2];
    snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, symbol);
    say(why, text);
}

static enum status refuse_import(const struct loader *loader, const char *symbol)
{
    const struct compartment_policy *policy = &loader->module->policy;
    const struct compartment_grant *near = NULL;
    for (size_t i = 0; i < policy->grants_count; i++) {
        const char *rest;
        if (is_mangled(symbol, policy->grants[i].module, &rest) && rest[0] == 'Z' && rest[1] == '_')
            near = &policy->grants[i];
    }
    say(loader->why, "module ");
    say(loader->why, policy->name);
    say(loader->why, ": import ");
    say_symbol(loader->why, symbol);
    if (near != NULL) {
        say(loader->why, " is not among the functions that the policy grants of ");
        say(loader->why, near->module);
        say(loader->why, ", which end at line ");
        say_number(loader->why, near->line);
    } else {
        say(loader->why, " is of a module that the policy does not import, up to its last line ");
        say_number(loader->why, loader->last_line);
    }
    return DENIED;
}

/* The function behind a grant, by gate; each grant has its gate, so a policy decides the numbers, not the module. */
static enum status resolve_grant(struct loader *loader, const char *symbol, uintptr_t *address)
{
    struct compartment_module *module = loader->module;
    for (size_t i = 0; i < module->policy.grants_count; i++) {
        const struct compartment_grant *grant = &module->policy.grants[i];
        if (!is_import(symbol, grant->module, grant->function))
            continue;
        for (size_t f = 0; f < loader->functions_count; f++) {
            const struct compartment_host_function *function = &loader->functions[f];
            if (strcmp(function->module, grant->module) == 0 && strcmp(function->name, grant->function) == 0) {
                module->gates[i] = function->code;
                *address = (uintptr_t)(compartment_gates + i * GATE_LEN);
                return OK;
            }
        }
        say(loader->why, "module ");
        say(loader->why, module->policy.name);
        say(loader->why, ": ");
        say_symbol(loader->why, symbol);
        say(loader->why, " is granted at policy line ");
        say_number(loader->why, grant->line);
        say(loader->why, " but this program offers no such function");
        return NOT_FOUND;
    }
    return refuse_import(loader, symbol);
}

static enum status resolve(struct loader *loader, const struct elf_symbol *symbol, uintptr_t *address)
{
    if (symbol->defined) {
        *address = (uintptr_t)loader->module->base + symbol->value;
        return OK;
    }
    void (*runtime)(void) = runtime_function(symbol->name);
    if (runtime != NULL) {
        *address = (uintptr_t)runtime;
        return OK;
    }
    return resolve_grant(loader, symbol->name, address);
}

static enum status refuse(const struct loader *loader, enum status status, const char *text)
{
    say(loader->why, "module ");
    say(loader->why, loader->module->policy.name);
    say(loader->why, ": ");
    say(loader->why, text);
    return status;
}

/* Every symbol and relocation good, before anything is mapped; finds what the module says of itself. */
static enum status check_all(struct loader *loader, uint64_t *initialise, uint64_t *instantiate)
{
    struct compartment_module *module = loader->module;
    struct module_note note = {0};
    *initialise = *instantiate = 0;
    for (size_t i = 1; i < elf_symbols_count(&module->layout); i++) {
        struct elf_symbol symbol;
        uintptr_t address;
        if (elf_symbol(&module->layout, i, &symbol) != OK)
            return refuse(loader, MALFORMED, "a symbol that modules may not have");
        TRY(resolve(loader, &symbol, &address));
        if (!symbol.defined)
            continue;
        if (symbol.function && strncmp(symbol.name, EXPORT_PREFIX, strlen(EXPORT_PREFIX)) == 0)
            module->exports_count++;
        if (symbol.function && strcmp(symbol.name, "Z_module_init_module") == 0)
            *initialise = symbol.value;
        if (symbol.function && strcmp(symbol.name, "Z_module_instantiate") == 0)
            *instantiate = symbol.value;
        for (size_t s = 0; s < module->layout.segments_count && strcmp(symbol.name, "bastide_module") == 0; s++) {
            const struct elf_segment *segment = &module->layout.segments[s];
            if (symbol.value >= segment->address && symbol.value - segment->address <= segment->file_len &&
                segment->file_len - (symbol.value - segment->address) >= sizeof(note))
                memcpy(&note, module->layout.object.data + segment->off + (symbol.value - segment->address),
                       sizeof(note));
        }
    }
    for (size_t i = 0; i < elf_relocations_count(&module->layout); i++) {
        struct elf_relocation relocation;
        if (elf_relocation(&module->layout, i, &relocation) != OK)
            return refuse(loader, UNSUPPORTED, "a relocation that modules may not have");
    }
    if (note.version != MODULE_VERSION || *initialise == 0 || *instantiate == 0)
        return refuse(loader, UNSUPPORTED, "not made by the module build, or by another version of it");
    if (note.instance_len == 0 || note.instance_len > WASM_PAGE)
        return refuse(loader, NO_ROOM, "too many globals");
    module->instance_len = note.instance_len;
    return OK;
}

enum status compartment_check(struct bytes object, const struct compartment_policy *policy, struct writer *why)
{
    struct compartment_module module = {.policy = *policy};
    struct compartment_host_function functions[COMPARTMENT_IMPORTS_MAX];
    uint64_t initialise, instantiate;
    struct loader loader = {.module = &module,
                            .functions = functions,
                            .functions_count = policy->grants_count,
                            .last_line = policy->lines,
                            .why = why};
    for (size_t i = 0; i < policy->grants_count; i++)
        functions[i] =
            (struct compartment_host_function){module.policy.grants[i].module, module.policy.grants[i].function, NULL};
    TRY(elf_read(object, &module.layout, why));
    return check_all(&loader, &initialise, &instantiate);
}

/* The enclave's one chance to map code: text comes straight from the sealed descriptor, never through writable memory.
 */
static enum status map_segments(struct loader *loader, int fd)
{
    struct compartment_module *module = loader->module;
    for (size_t i = 0; i < module->layout.segments_count; i++) {
        const struct elf_segment *segment = &module->layout.segments[i];
        uint64_t lead = segment->address % PAGE;
        uint8_t *at = module->base + segment->address - lead;
        size_t len = round_up_page(segment->memory_len + lead);
        if (segment->writable) {
            TRY(module->memory->back(module->memory->user, at, len));
            memcpy(at + lead, module->layout.object.data + segment->off, segment->file_len);
        } else if (mmap(at, len, segment->executable ? PROT_READ | PROT_EXEC : PROT_READ, MAP_PRIVATE | MAP_FIXED, fd,
                        (off_t)(segment->off - lead)) == MAP_FAILED) {
            return refuse(loader, IO, "its segments cannot be mapped from this descriptor");
        }
    }
    return OK;
}

static enum status relocate(struct loader *loader)
{
    struct compartment_module *module = loader->module;
    for (size_t i = 0; i < elf_relocations_count(&module->layout); i++) {
        struct elf_relocation relocation;
        struct elf_symbol symbol;
        uintptr_t value = (uintptr_t)module->base;
        TRY(elf_relocation(&module->layout, i, &relocation));
        if (relocation.kind == RELOCATION_SYMBOL) {
            TRY(elf_symbol(&module->layout, relocation.symbol, &symbol));
            TRY(resolve(loader, &symbol, &value));
        }
        value += relocation.addend;
        memcpy(module->base + relocation.at, &value, sizeof(value));
    }
    return OK;
}

/* wasm2c's own variables are its type numbers, the same for every instance: written once, then read-only. */
static enum status seal(const struct compartment_module *module)
{
    for (size_t i = 0; i < module->layout.segments_count; i++) {
        const struct elf_segment *segment = &module->layout.segments[i];
        uint64_t lead = segment->address % PAGE;
        if (segment->writable &&
            mprotect(module->base + segment->address - lead, round_up_page(segment->memory_len + lead), PROT_READ) != 0)
            return IO;
    }
    return OK;
}

static void keep_exports(struct compartment_module *module)
{
    size_t kept = 0;
    for (size_t i = 1; i < elf_symbols_count(&module->layout); i++) {
        struct elf_symbol symbol;
        if (elf_symbol(&module->layout, i, &symbol) != OK || !symbol.defined || !symbol.function ||
            strncmp(symbol.name, EXPORT_PREFIX, strlen(EXPORT_PREFIX)) != 0 || kept == module->exports_count)
            continue;
        struct module_export *export = &module->exports[kept++];
        snprintf(export->name, sizeof(export->name), "%s", symbol.name + strlen(EXPORT_PREFIX) - 2);
        export->code = (void (*)(void))((uintptr_t)module->base + symbol.value);
    }
    module->exports_count = kept;
}

static enum status link_object(struct loader *loader, int fd, uint64_t initialise, uint64_t instantiate)
{
    struct compartment_module *module = loader->module;
    const struct compartment_memory *memory = module->memory;
    void *window;
    size_t exports_len = round_up_page(module->exports_count * sizeof(struct module_export) + 1);
    TRY(memory->reserve(memory->user, module->layout.span + exports_len, &window));
    module->base = window;
    module->span = module->layout.span + exports_len;
    TRY(map_segments(loader, fd));
    TRY(relocate(loader));
    TRY(memory->back(memory->user, module->base + module->layout.span, exports_len));
    module->exports = (struct module_export *)(void *)(module->base + module->layout.span);
    keep_exports(module);
    module->initialise = (void (*)(void))((uintptr_t)module->base + initialise);
    module->instantiate = (void (*)(void))((uintptr_t)module->base + instantiate);
    if (!runtime_initialise(module))
        return refuse(loader, NO_ROOM, "too many function types");
    return seal(module);
}

static enum status load_object(struct loader *loader, int fd, struct bytes object, struct bytes policy_text)
{
    struct compartment_module *module = loader->module;
    uint64_t initialise, instantiate;
    TRY(compartment_policy_read(policy_text, &module->policy, loader->why));
    loader->last_line = module->policy.lines;
    TRY(elf_read(object, &module->layout, loader->why));
    TRY(check_all(loader, &initialise, &instantiate));
    enum status status = link_object(loader, fd, initialise, instantiate);
    module->layout.object = module->layout.symbols = module->layout.strings = (struct bytes){0};
    return status;
}

enum status compartment_load(int fd, struct bytes policy_text, const struct compartment_host_function *functions,
                             size_t functions_count, const struct compartment_memory *memory,
                             struct compartment_module **module, struct writer *why)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    struct stat about;
    int held = fcntl(fd, F_GET_SEALS);
    if (held < 0 || (held & seals) != seals || fstat(fd, &about) != 0) {
        say(why, "module object: not a memfd sealed against writing and resizing");
        return DENIED;
    }
    if (about.st_size <= 0 || about.st_size > COMPARTMENT_OBJECT_MAX) {
        say(why, "module object: empty or larger than 64 MiB");
        return NO_ROOM;
    }
    size_t object_len = (size_t)about.st_size, own_len = round_up_page(sizeof(struct compartment_module));
    void *object = mmap(NULL, object_len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (object == MAP_FAILED)
        return IO;
    void *own = NULL;
    enum status status = memory->reserve(memory->user, own_len, &own);
    if (status == OK)
        status = memory->back(memory->user, own, own_len);
    if (status == OK) {
        struct compartment_module *fresh = own;
        struct loader loader = {
            .module = fresh, .functions = functions, .functions_count = functions_count, .why = why};
        fresh->memory = memory;
        fresh->own_len = own_len;
        status = load_object(&loader, fd, bytes_from(object, object_len), policy_text);
        if (status == OK)
            *module = fresh;
        else
            compartment_unload(fresh);
    } else if (own != NULL) {
        memory->release(memory->user, own, own_len);
    }
    munmap(object, object_len);
    return status;
}

void compartment_unload(struct compartment_module *module)
{
    if (module == NULL)
        return;
    const struct compartment_memory *memory = module->memory;
    if (module->base != NULL)
        memory->release(memory->user, module->base, module->span);
    memory->release(memory->user, module, module->own_len);
}

const struct compartment_policy *compartment_module_policy(const struct compartment_module *module)
{
    return &module->policy;
}

enum status compartment_find_export(const struct compartment_module *module, const char *name,
                                    struct compartment_export *found)
{
    for (size_t i = 0; i < module->exports_count; i++) {
        const char *rest;
        if (is_mangled(module->exports[i].name, name, &rest) && *rest == '\0') {
            found->code = module->exports[i].code;
            return OK;
        }
    }
    return NOT_FOUND;
}
