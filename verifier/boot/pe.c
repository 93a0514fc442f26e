/* The little of PE/COFF that measuring needs (Microsoft PE Format; Windows Authenticode Portable Executable Signature
 * Format, "Calculating the PE Image Hash"). Little endian; every offset is checked against the file. */
#include "boot.h"

#include <string.h>

#define SIGNATURE_AT 0x3c
#define COFF_LEN 24 /* with the signature */
#define PE32 0x10b
#define PE32_PLUS 0x20b
#define CHECKSUM_AT 64 /* in the optional header */
#define HEADERS_LEN_AT 60
#define DIRECTORY_LEN 8
#define DIRECTORY_CERTIFICATES 4
#define SECTION_LEN 40
#define SECTION_NAME_LEN 8

struct section {
    struct bytes name;
    uint32_t virtual_len;
    uint32_t raw_len;
    uint32_t raw_at;
};

struct pe {
    struct bytes file;
    size_t checksum_at;
    size_t certificates_at; /* the directory entry; 0: none */
    size_t headers_len;
    size_t certificates_len;
    struct section sections[BOOT_SECTIONS_MAX];
    size_t section_count;
};

static uint32_t number(struct bytes file, size_t off, size_t len)
{
    struct reader reader = reader_over(bytes_slice(file, off, len));
    return len == 2 ? take_u16le(&reader) : take_u32le(&reader);
}

static bool inside(struct bytes file, size_t off, size_t len)
{
    return off <= file.len && len <= file.len - off;
}

static enum status take_sections(struct pe *pe, size_t at, size_t count)
{
    if (count == 0 || count > BOOT_SECTIONS_MAX || !inside(pe->file, at, count * SECTION_LEN))
        return MALFORMED;
    for (size_t i = 0; i < count; i++) {
        struct reader reader = reader_over(bytes_slice(pe->file, at + i * SECTION_LEN, SECTION_LEN));
        struct section *section = &pe->sections[i];
        section->name = take_bytes(&reader, SECTION_NAME_LEN);
        section->virtual_len = take_u32le(&reader);
        (void)take_u32le(&reader); /* where it is loaded */
        section->raw_len = take_u32le(&reader);
        section->raw_at = take_u32le(&reader);
        if (section->raw_len && !inside(pe->file, section->raw_at, section->raw_len))
            return MALFORMED;
    }
    pe->section_count = count;
    return OK;
}

static enum status open_pe(struct bytes file, struct pe *pe)
{
    *pe = (struct pe){.file = file};
    if (file.len < SIGNATURE_AT + 4 || !bytes_equal(bytes_slice(file, 0, 2), bytes_from_text("MZ")))
        return MALFORMED;
    size_t at = number(file, SIGNATURE_AT, 4);
    if (!inside(file, at, COFF_LEN) || !bytes_equal(bytes_slice(file, at, 4), bytes_from("PE\0", 4)))
        return MALFORMED;
    size_t count = number(file, at + 6, 2), optional_len = number(file, at + 20, 2), optional = at + COFF_LEN;
    if (optional_len < CHECKSUM_AT + 4 || !inside(file, optional, optional_len))
        return MALFORMED;
    uint32_t magic = number(file, optional, 2);
    if (magic != PE32 && magic != PE32_PLUS)
        return MALFORMED;
    size_t directories = magic == PE32_PLUS ? 112 : 96, entry = directories + DIRECTORY_CERTIFICATES * DIRECTORY_LEN;
    pe->checksum_at = optional + CHECKSUM_AT;
    pe->headers_len = number(file, optional + HEADERS_LEN_AT, 4);
    if (optional_len >= directories && number(file, optional + directories - 4, 4) > DIRECTORY_CERTIFICATES &&
        optional_len >= entry + DIRECTORY_LEN) {
        pe->certificates_at = optional + entry;
        pe->certificates_len = number(file, pe->certificates_at + 4, 4);
    }
    TRY(take_sections(pe, optional + optional_len, count));
    size_t last = pe->certificates_at ? pe->certificates_at + DIRECTORY_LEN : pe->checksum_at + 4;
    return pe->headers_len >= last && pe->headers_len <= file.len ? OK : MALFORMED;
}

static void hash_from_to(struct crypto_hash_state *state, const struct pe *pe, size_t from, size_t to)
{
    crypto_hash_add(state, bytes_slice(pe->file, from, to - from));
}

/* In the order in which they stand in the file, whatever the table's. */
static enum status hash_sections(struct crypto_hash_state *state, const struct pe *pe, size_t *hashed)
{
    uint64_t done = 0; /* sections hashed, a bit each */
    for (size_t turn = 0; turn < pe->section_count; turn++) {
        size_t next = pe->section_count;
        for (size_t i = 0; i < pe->section_count; i++)
            if (!(done >> i & 1) && (next == pe->section_count || pe->sections[i].raw_at < pe->sections[next].raw_at))
                next = i;
        const struct section *section = &pe->sections[next];
        done |= 1ull << next;
        if (section->raw_len > pe->file.len - *hashed)
            return MALFORMED; /* they overlap */
        hash_from_to(state, pe, section->raw_at, (size_t)section->raw_at + section->raw_len);
        *hashed += section->raw_len;
    }
    return OK;
}

enum status boot_pe_hash(struct bytes image, uint8_t hash[32])
{
    struct pe pe;
    struct crypto_hash_state state;
    TRY(open_pe(image, &pe));
    TRY(crypto_hash_start(&state, CRYPTO_SHA256));
    hash_from_to(&state, &pe, 0, pe.checksum_at);
    size_t at = pe.checksum_at + 4, hashed = pe.headers_len;
    if (pe.certificates_at) {
        hash_from_to(&state, &pe, at, pe.certificates_at);
        at = pe.certificates_at + DIRECTORY_LEN;
    }
    hash_from_to(&state, &pe, at, pe.headers_len);
    TRY(hash_sections(&state, &pe, &hashed));
    /* What stands behind the last section, but for the signatures, which stand last. */
    if (pe.certificates_len > image.len - hashed)
        return MALFORMED;
    hash_from_to(&state, &pe, hashed, image.len - pe.certificates_len);
    crypto_hash_finish(&state, hash);
    return OK;
}

enum status boot_pe_section(struct bytes image, const char *name, struct bytes *section)
{
    struct pe pe;
    uint8_t padded[SECTION_NAME_LEN] = {0};
    size_t len = strlen(name);
    TRY(open_pe(image, &pe));
    if (len > sizeof padded)
        return NOT_FOUND;
    memcpy(padded, name, len);
    for (size_t i = 0; i < pe.section_count; i++) {
        const struct section *found = &pe.sections[i];
        if (!bytes_equal(found->name, BYTES_OF(padded)))
            continue;
        if (found->virtual_len > found->raw_len)
            return MALFORMED; /* zeros behind it: no part of a unified kernel image has them */
        *section = bytes_slice(image, found->raw_at, found->virtual_len);
        return OK;
    }
    return NOT_FOUND;
}
