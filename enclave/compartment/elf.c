/* Reads the one shape of ELF object that the build makes: 64-bit, little-endian, shared, position-independent, without
 * dependencies, thread-local data, constructors or text relocations. Everything is checked before anything is mapped.
 */
#include <elf.h>
#include <string.h>

#include "compartment_internal.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define RELATIVE R_X86_64_RELATIVE
#define IS_SYMBOL(type) ((type) == R_X86_64_GLOB_DAT || (type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_64)
#define ADDS(type) ((type) == R_X86_64_64)
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define RELATIVE R_AARCH64_RELATIVE
#define IS_SYMBOL(type) ((type) == R_AARCH64_GLOB_DAT || (type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_ABS64)
#define ADDS(type) true
#else
#error "compartments are built for x86-64 and aarch64"
#endif

static enum status refuse(struct writer *why, enum status status, const char *text)
{
    say(why, "module object: ");
    say(why, text);
    return status;
}

/* memcpy, because nothing in the object is promised to be aligned. */
static bool copy_at(struct bytes whole, uint64_t off, void *to, size_t len)
{
    if (off > whole.len || len > whole.len - off)
        return false;
    memcpy(to, whole.data + off, len);
    return true;
}

/* The file bytes behind an address range that one segment holds. */
static bool at_address(const struct elf_layout *layout, uint64_t address, uint64_t len, struct bytes *found)
{
    for (size_t i = 0; i < layout->segments_count; i++) {
        const struct elf_segment *segment = &layout->segments[i];
        if (address >= segment->address && address - segment->address <= segment->file_len &&
            len <= segment->file_len - (address - segment->address)) {
            *found = bytes_slice(layout->object, segment->off + (address - segment->address), len);
            return true;
        }
    }
    return false;
}

static enum status read_header(struct bytes object, Elf64_Ehdr *header, struct writer *why)
{
    if (object.len > COMPARTMENT_OBJECT_MAX)
        return refuse(why, NO_ROOM, "larger than 64 MiB");
    if (!copy_at(object, 0, header, sizeof(*header)))
        return refuse(why, TRUNCATED, "too short for an ELF header");
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_type != ET_DYN)
        return refuse(why, MALFORMED, "not a 64-bit little-endian shared object");
    if (header->e_machine != MACHINE)
        return refuse(why, UNSUPPORTED, "built for another processor");
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum > 32)
        return refuse(why, MALFORMED, "impossible program headers");
    return OK;
}

static enum status take_segment(struct elf_layout *layout, const Elf64_Phdr *program, struct writer *why)
{
    if (layout->segments_count == SEGMENTS_MAX)
        return refuse(why, NO_ROOM, "too many segments");
    if (program->p_offset > layout->object.len || program->p_filesz > layout->object.len - program->p_offset ||
        program->p_filesz > program->p_memsz || program->p_memsz > COMPARTMENT_OBJECT_MAX ||
        program->p_vaddr > COMPARTMENT_OBJECT_MAX || program->p_offset % PAGE != program->p_vaddr % PAGE)
        return refuse(why, MALFORMED, "a segment outside the object");
    bool writable = (program->p_flags & PF_W) != 0, executable = (program->p_flags & PF_X) != 0;
    if (writable && executable)
        return refuse(why, DENIED, "a segment both writable and executable");
    if (!writable && program->p_memsz != program->p_filesz)
        return refuse(why, MALFORMED, "zeroed memory in a read-only segment");
    /* Ascending and on pages of their own, so that mapping one never touches another. */
    if (layout->segments_count != 0 && program->p_vaddr / PAGE * PAGE < layout->span)
        return refuse(why, MALFORMED, "overlapping segments");
    layout->segments[layout->segments_count++] = (struct elf_segment){.address = program->p_vaddr,
                                                                      .off = program->p_offset,
                                                                      .file_len = program->p_filesz,
                                                                      .memory_len = program->p_memsz,
                                                                      .writable = writable,
                                                                      .executable = executable};
    layout->span = round_up_page(program->p_vaddr + program->p_memsz);
    return OK;
}

struct dynamic {
    uint64_t symbols, symbol_size, strings, strings_len, hash, rela, rela_len, rela_size, jump, jump_len, jump_kind;
};

static enum status take_dynamic(struct dynamic *dynamic, const Elf64_Dyn *entry, struct writer *why)
{
    uint64_t value = entry->d_un.d_val;
    switch (entry->d_tag) {
    case DT_SYMTAB:
        dynamic->symbols = value;
        return OK;
    case DT_SYMENT:
        dynamic->symbol_size = value;
        return OK;
    case DT_STRTAB:
        dynamic->strings = value;
        return OK;
    case DT_STRSZ:
        dynamic->strings_len = value;
        return OK;
    case DT_HASH:
        dynamic->hash = value;
        return OK;
    case DT_RELA:
        dynamic->rela = value;
        return OK;
    case DT_RELASZ:
        dynamic->rela_len = value;
        return OK;
    case DT_RELAENT:
        dynamic->rela_size = value;
        return OK;
    case DT_JMPREL:
        dynamic->jump = value;
        return OK;
    case DT_PLTRELSZ:
        dynamic->jump_len = value;
        return OK;
    case DT_PLTREL:
        dynamic->jump_kind = value;
        return OK;
    case DT_PLTGOT:
    case DT_RELACOUNT:
    case DT_FLAGS:
    case DT_FLAGS_1:
    case DT_SONAME:
    case DT_SYMBOLIC:
        return OK;
    default:
        return refuse(why, DENIED, "a dynamic entry that modules may not have (dependency, constructor, version …)");
    }
}

static enum status locate_tables(struct elf_layout *layout, const struct dynamic *dynamic, struct writer *why)
{
    struct bytes hash;
    uint32_t chains;
    if (!at_address(layout, dynamic->hash, 8, &hash) || !copy_at(hash, 4, &chains, sizeof(chains)))
        return refuse(why, MALFORMED, "no System V hash table");
    if (dynamic->symbol_size != sizeof(Elf64_Sym) ||
        !at_address(layout, dynamic->symbols, (uint64_t)chains * sizeof(Elf64_Sym), &layout->symbols))
        return refuse(why, MALFORMED, "symbols outside the object");
    if (dynamic->strings_len == 0 || !at_address(layout, dynamic->strings, dynamic->strings_len, &layout->strings) ||
        layout->strings.data[layout->strings.len - 1] != '\0')
        return refuse(why, MALFORMED, "names outside the object");
    if (dynamic->rela_len != 0 && (dynamic->rela_size != sizeof(Elf64_Rela) || dynamic->rela_len % sizeof(Elf64_Rela) ||
                                   !at_address(layout, dynamic->rela, dynamic->rela_len, &layout->relocations[0])))
        return refuse(why, MALFORMED, "relocations outside the object");
    if (dynamic->jump_len != 0 && (dynamic->jump_kind != DT_RELA || dynamic->jump_len % sizeof(Elf64_Rela) ||
                                   !at_address(layout, dynamic->jump, dynamic->jump_len, &layout->relocations[1])))
        return refuse(why, MALFORMED, "call relocations outside the object");
    return OK;
}

static enum status read_dynamic(struct elf_layout *layout, const Elf64_Phdr *program, struct writer *why)
{
    struct dynamic dynamic = {0};
    struct bytes table;
    if (!at_address(layout, program->p_vaddr, program->p_filesz, &table))
        return refuse(why, MALFORMED, "the dynamic section is outside the object");
    for (uint64_t off = 0;; off += sizeof(Elf64_Dyn)) {
        Elf64_Dyn entry;
        if (!copy_at(table, off, &entry, sizeof(entry)))
            return refuse(why, MALFORMED, "the dynamic section does not end");
        if (entry.d_tag == DT_NULL)
            break;
        TRY(take_dynamic(&dynamic, &entry, why));
    }
    return locate_tables(layout, &dynamic, why);
}

enum status elf_read(struct bytes object, struct elf_layout *layout, struct writer *why)
{
    Elf64_Ehdr header;
    struct elf_layout found = {.object = object};
    Elf64_Phdr dynamic = {0};
    TRY(read_header(object, &header, why));
    for (size_t i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr program;
        if (header.e_phoff > object.len ||
            !copy_at(object, header.e_phoff + i * sizeof(program), &program, sizeof(program)))
            return refuse(why, TRUNCATED, "program headers outside the object");
        if (program.p_type == PT_LOAD && program.p_memsz != 0)
            TRY(take_segment(&found, &program, why));
        else if (program.p_type == PT_DYNAMIC)
            dynamic = program;
        else if (program.p_type == PT_TLS || program.p_type == PT_INTERP)
            return refuse(why, DENIED, "thread-local data or an interpreter");
        else if (program.p_type == PT_GNU_STACK && (program.p_flags & PF_X) != 0)
            return refuse(why, DENIED, "asks for an executable stack");
    }
    if (dynamic.p_type != PT_DYNAMIC)
        return refuse(why, MALFORMED, "no dynamic section");
    TRY(read_dynamic(&found, &dynamic, why));
    *layout = found;
    return OK;
}

size_t elf_symbols_count(const struct elf_layout *layout)
{
    return layout->symbols.len / sizeof(Elf64_Sym);
}

enum status elf_symbol(const struct elf_layout *layout, size_t index, struct elf_symbol *symbol)
{
    Elf64_Sym entry;
    if (index >= elf_symbols_count(layout) || !copy_at(layout->symbols, index * sizeof(entry), &entry, sizeof(entry)) ||
        entry.st_name >= layout->strings.len)
        return MALFORMED;
    unsigned type = ELF64_ST_TYPE(entry.st_info);
    bool defined = entry.st_shndx != SHN_UNDEF;
    if (entry.st_shndx == SHN_ABS || entry.st_shndx == SHN_COMMON || type == STT_TLS || type == STT_GNU_IFUNC)
        return MALFORMED;
    /* What is defined lies inside the mapped span; functions inside code, where they may be called. */
    if (defined) {
        bool inside = false;
        for (size_t i = 0; i < layout->segments_count; i++) {
            const struct elf_segment *segment = &layout->segments[i];
            inside |= entry.st_value >= segment->address && entry.st_value - segment->address <= segment->memory_len &&
                      entry.st_size <= segment->memory_len - (entry.st_value - segment->address) &&
                      (type != STT_FUNC || segment->executable);
        }
        if (!inside)
            return MALFORMED;
    }
    *symbol = (struct elf_symbol){.name = (const char *)layout->strings.data + entry.st_name,
                                  .value = entry.st_value,
                                  .defined = defined,
                                  .function = type == STT_FUNC};
    return OK;
}

size_t elf_relocations_count(const struct elf_layout *layout)
{
    return (layout->relocations[0].len + layout->relocations[1].len) / sizeof(Elf64_Rela);
}

static bool in_writable(const struct elf_layout *layout, uint64_t address)
{
    for (size_t i = 0; i < layout->segments_count; i++) {
        const struct elf_segment *segment = &layout->segments[i];
        if (segment->writable && address >= segment->address && address - segment->address <= segment->memory_len &&
            segment->memory_len - (address - segment->address) >= 8)
            return true;
    }
    return false;
}

enum status elf_relocation(const struct elf_layout *layout, size_t index, struct elf_relocation *relocation)
{
    Elf64_Rela entry;
    size_t first = layout->relocations[0].len / sizeof(entry);
    struct bytes table = layout->relocations[index < first ? 0 : 1];
    if (index >= elf_relocations_count(layout) ||
        !copy_at(table, (index < first ? index : index - first) * sizeof(entry), &entry, sizeof(entry)))
        return MALFORMED;
    uint32_t type = (uint32_t)ELF64_R_TYPE(entry.r_info);
    uint32_t symbol = (uint32_t)ELF64_R_SYM(entry.r_info);
    bool relative = type == RELATIVE;
    if ((!relative && !IS_SYMBOL(type)) || !in_writable(layout, entry.r_offset))
        return UNSUPPORTED;
    if (relative ? (uint64_t)entry.r_addend > layout->span : symbol >= elf_symbols_count(layout))
        return MALFORMED;
    *relocation = (struct elf_relocation){.at = entry.r_offset,
                                          .kind = relative ? RELOCATION_RELATIVE : RELOCATION_SYMBOL,
                                          .symbol = symbol,
                                          .addend = relative || ADDS(type) ? (uint64_t)entry.r_addend : 0};
    return OK;
}
