/* compartment, inside: what its files share — the object's layout, the module, the instance and the crossing.
 * Never included outside this directory. */
#ifndef BASTIDE_COMPARTMENT_INTERNAL_H
#define BASTIDE_COMPARTMENT_INTERNAL_H

#include "compartment.h"

#define PAGE 4096u
#define WASM_PAGE 65536u
/* A wasm address is a 32-bit base plus a 32-bit offset: no access reaches further than this from the memory's start. */
#define LINEAR_WINDOW ((8ull << 30) + WASM_PAGE)
/* More than any frame that a compiled function may have, so that no frame steps over the guard. */
#define STACK_GUARD (16ull << 20)
#define MODULE_TABLES_MAX 4
#define MODULE_TYPES_MAX 1024
#define MODULE_TYPE_BYTES 32
#define SEGMENTS_MAX 8

#define HIDDEN __attribute__((visibility("hidden")))
/* Runs on a guest's stack, which the sanitizers do not know. */
#define GUEST_SIDE __attribute__((no_sanitize("address", "undefined")))

size_t round_up_page(size_t len);
/* Text for `why`, only while it has room. */
void say(struct writer *why, const char *text);
void say_number(struct writer *why, uint64_t number);

/* elf.c: an object's layout, every offset inside checked against the object's length. */
struct elf_segment {
    uint64_t address, off, file_len, memory_len;
    bool writable, executable;
};

struct elf_layout {
    struct bytes object;
    struct elf_segment segments[SEGMENTS_MAX];
    size_t segments_count;
    uint64_t span; /* bytes of address space, page-rounded */
    struct bytes symbols, strings;
    struct bytes relocations[2]; /* DT_RELA and DT_JMPREL */
};

struct elf_symbol {
    const char *name; /* NUL-terminated within the string table */
    uint64_t value;
    bool defined, function;
};

enum elf_relocation_kind { RELOCATION_RELATIVE, RELOCATION_SYMBOL };

struct elf_relocation {
    uint64_t at; /* an 8-byte word inside a writable segment */
    enum elf_relocation_kind kind;
    uint32_t symbol;
    uint64_t addend;
};

MUST_USE enum status elf_read(struct bytes object, struct elf_layout *layout, struct writer *why);
size_t elf_symbols_count(const struct elf_layout *layout);
MUST_USE enum status elf_symbol(const struct elf_layout *layout, size_t index, struct elf_symbol *symbol);
size_t elf_relocations_count(const struct elf_layout *layout);
MUST_USE enum status elf_relocation(const struct elf_layout *layout, size_t index, struct elf_relocation *relocation);

/* The wasm runtime's functions by name; NULL for any other. */
void (*runtime_function(const char *name))(void);
/* Run the module's own initialiser; false when it has too many function types. */
bool runtime_initialise(struct compartment_module *module);

struct module_type {
    uint8_t len;
    uint8_t shape[MODULE_TYPE_BYTES]; /* parameters, results, then their types */
};

struct compartment_module {
    struct compartment_policy policy;
    const struct compartment_memory *memory;
    uint8_t *base;
    size_t span, own_len;
    struct elf_layout layout; /* its bytes are gone after load */
    uint32_t instance_len;
    void (*initialise)(void);
    void (*instantiate)(void);
    void (*gates[COMPARTMENT_IMPORTS_MAX])(void); /* the host functions, by gate number */
    size_t gates_count;
    struct module_type types[MODULE_TYPES_MAX];
    size_t types_count;
    size_t exports_count;
    struct module_export {
        char name[COMPARTMENT_NAME_MAX];
        void (*code)(void);
    } * exports;
};

struct module_table {
    uint32_t off; /* of its struct in the instance */
    uint32_t data_off, data_len;
    bool funcref;
};

struct compartment {
    struct compartment_module *module;
    void *user;
    enum compartment_trap trap;
    bool started, running;
    uint64_t deadline; /* in ticks */
    uint8_t *window;   /* guard, stack, guard, linear memory and its guard, control */
    size_t window_len, control_len;
    uint8_t *guard, *stack_low, *stack_top;
    uint8_t *linear;
    uint32_t linear_cap_pages;
    bool has_memory;
    uint32_t memory_off; /* of wasm_rt_memory_t in the instance */
    struct module_table tables[MODULE_TABLES_MAX];
    size_t tables_count;
    uint8_t *table_data;
    size_t table_used, table_cap;
    uint8_t *instance;
};

/* The one crossing of the one thread. The assembly in run.c knows the first five offsets. */
struct crossing {
    void *host_sp;              /* 0 */
    void *guest_sp;             /* 8: at the last call out */
    volatile uint32_t in_guest; /* 16 */
    volatile uint32_t pending;  /* 20: the guest must not be returned to */
    void (**gates)(void);       /* 24 */
    struct compartment *running;
    volatile uint64_t ticks;
    volatile uint32_t armed;
};
extern HIDDEN struct crossing compartment_crossing;
extern HIDDEN const uint8_t compartment_gates[];
#define GATE_LEN 16u

/* Run code on the compartment's stack. DENIED when it trapped. */
MUST_USE enum status run_guest(struct compartment *compartment, void (*code)(void), const uint64_t arguments[6],
                               uint64_t *result);
/* From the guest's side: never returns. */
void leave_guest(enum compartment_trap trap);

#endif
