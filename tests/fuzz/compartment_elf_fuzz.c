/* Module objects: a small good one is edited as the input says (or replaced by it) and checked, never mapped or run.
 * The unedited one must pass; a refusal has a reason; the same bytes get the same answer. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "compartment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#if defined(__aarch64__)
#define MACHINE EM_AARCH64
#define RELATIVE R_AARCH64_RELATIVE
#define JUMP_SLOT R_AARCH64_JUMP_SLOT
#else
#define MACHINE EM_X86_64
#define RELATIVE R_X86_64_RELATIVE
#define JUMP_SLOT R_X86_64_JUMP_SLOT
#endif

static const char names[] =
    "\0Z_module_init_module\0Z_module_instantiate\0Z_moduleZ_run\0bastide_module\0wasm_rt_trap\0"
    "Z_envZ_ask";

struct object {
    Elf64_Ehdr header;
    Elf64_Phdr programs[4];
    Elf64_Sym symbols[7];
    uint32_t hash[2 + 1 + 7];
    Elf64_Rela relative[1], jumps[2];
    uint32_t note[2];
    char strings[sizeof(names)];
    uint8_t text[64];
    Elf64_Dyn dynamic[12];
    uint64_t words[4];
};

#define TEXT_AT (0x1000 + offsetof(struct object, text))
#define DATA_AT (0x2000 + offsetof(struct object, dynamic))

static uint32_t name_at(const char *name)
{
    for (size_t i = 0; i < sizeof(names); i++)
        if (strcmp(names + i, name) == 0)
            return (uint32_t)i;
    abort();
}

static Elf64_Sym symbol(const char *name, unsigned type, uint64_t value, uint16_t section)
{
    return (Elf64_Sym){.st_name = name_at(name),
                       .st_info = (unsigned char)ELF64_ST_INFO(STB_GLOBAL, type),
                       .st_shndx = section,
                       .st_value = value,
                       .st_size = section != SHN_UNDEF ? 8 : 0};
}

static void build(struct object *object)
{
    size_t end = offsetof(struct object, text), text_len = sizeof(object->text);
    size_t data_len = sizeof(*object) - offsetof(struct object, dynamic);
    memset(object, 0, sizeof(*object));
    memcpy(object->header.e_ident, ELFMAG, SELFMAG);
    object->header.e_ident[EI_CLASS] = ELFCLASS64;
    object->header.e_ident[EI_DATA] = ELFDATA2LSB;
    object->header.e_type = ET_DYN;
    object->header.e_machine = MACHINE;
    object->header.e_phoff = offsetof(struct object, programs);
    object->header.e_phentsize = sizeof(Elf64_Phdr);
    object->header.e_phnum = 4;
    object->programs[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = end, .p_memsz = end};
    object->programs[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                       .p_flags = PF_R | PF_X,
                                       .p_offset = end,
                                       .p_vaddr = TEXT_AT,
                                       .p_filesz = text_len,
                                       .p_memsz = text_len};
    object->programs[2] = (Elf64_Phdr){.p_type = PT_LOAD,
                                       .p_flags = PF_R | PF_W,
                                       .p_offset = offsetof(struct object, dynamic),
                                       .p_vaddr = DATA_AT,
                                       .p_filesz = data_len,
                                       .p_memsz = data_len + 64};
    object->programs[3] = object->programs[2];
    object->programs[3].p_type = PT_DYNAMIC;
    object->symbols[1] = symbol("Z_module_init_module", STT_FUNC, TEXT_AT, 1);
    object->symbols[2] = symbol("Z_module_instantiate", STT_FUNC, TEXT_AT + 8, 1);
    object->symbols[3] = symbol("Z_moduleZ_run", STT_FUNC, TEXT_AT + 16, 1);
    object->symbols[4] = symbol("bastide_module", STT_OBJECT, offsetof(struct object, note), 1);
    object->symbols[5] = symbol("wasm_rt_trap", STT_NOTYPE, 0, SHN_UNDEF);
    object->symbols[6] = symbol("Z_envZ_ask", STT_NOTYPE, 0, SHN_UNDEF);
    object->hash[0] = 1;
    object->hash[1] = 7;
    uint64_t words = 0x2000 + offsetof(struct object, words);
    object->relative[0] = (Elf64_Rela){words, ELF64_R_INFO(0, RELATIVE), TEXT_AT};
    object->jumps[0] = (Elf64_Rela){words + 8, ELF64_R_INFO(5, JUMP_SLOT), 0};
    object->jumps[1] = (Elf64_Rela){words + 16, ELF64_R_INFO(6, JUMP_SLOT), 0};
    object->note[0] = 1;
    object->note[1] = 64;
    memcpy(object->strings, names, sizeof(names));
    const Elf64_Dyn dynamic[12] = {
        {DT_SYMTAB, {offsetof(struct object, symbols)}},
        {DT_SYMENT, {sizeof(Elf64_Sym)}},
        {DT_STRTAB, {offsetof(struct object, strings)}},
        {DT_STRSZ, {sizeof(names)}},
        {DT_HASH, {offsetof(struct object, hash)}},
        {DT_RELA, {offsetof(struct object, relative)}},
        {DT_RELASZ, {sizeof(object->relative)}},
        {DT_RELAENT, {sizeof(Elf64_Rela)}},
        {DT_JMPREL, {offsetof(struct object, jumps)}},
        {DT_PLTRELSZ, {sizeof(object->jumps)}},
        {DT_PLTREL, {DT_RELA}},
        {DT_NULL, {0}},
    };
    memcpy(object->dynamic, dynamic, sizeof(dynamic));
}

static enum status check(struct bytes object, char *words, size_t cap, size_t *len)
{
    static const char text[] = "Version 1\ncompartment c\nmemory 1\ntable 1\nstack 16384\nimport env\n\task\n";
    struct compartment_policy policy;
    struct writer why = writer_over(words, cap);
    if (compartment_policy_read(bytes_from_text(text), &policy, NULL) != OK)
        abort();
    enum status status = compartment_check(object, &policy, &why);
    *len = why.len;
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct object object;
    char words[512], again[512];
    size_t len, again_len;
    build(&object);
    if (check(bytes_from(&object, sizeof(object)), words, sizeof(words), &len) != OK)
        abort();
    struct bytes input = bytes_from(&object, sizeof(object));
    if (size > 0 && data[0] == ELFMAG0)
        input = bytes_from(data, size);
    else
        for (size_t i = 0; i + 3 <= size; i += 3)
            ((uint8_t *)&object)[((size_t)data[i] + 256 * (size_t)data[i + 1]) % sizeof(object)] = data[i + 2];
    enum status status = check(input, words, sizeof(words), &len);
    if ((status == OK) != (len == 0) || check(input, again, sizeof(again), &again_len) != status || again_len != len)
        abort();
    return 0;
}
