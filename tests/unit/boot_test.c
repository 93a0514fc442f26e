/* A made-up image, laid out byte by byte: its hash as firmware takes it, its parts, and every way to break it. The real
 * one is compared with a TPM in e2e/boot.sh. */
#include "check.h"

#include "boot.h"

#include <stdlib.h>
#include <string.h>

#define PE_AT 0x40
#define OPTIONAL_AT (PE_AT + 24)
#define OPTIONAL_LEN 240
#define TABLE_AT (OPTIONAL_AT + OPTIONAL_LEN)
#define HEADERS_LEN 0x400
#define RAW_LEN 0x200
#define IMAGE_MAX 0x4000

struct made {
    uint8_t data[IMAGE_MAX];
    size_t len;
    unsigned sections;
};

static void set(struct made *made, size_t off, uint32_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        made->data[off + i] = (uint8_t)(value >> (8 * i));
}

static void begin(struct made *made)
{
    memset(made, 0, sizeof *made);
    memcpy(made->data, "MZ", 2);
    set(made, 0x3c, PE_AT, 4);
    memcpy(made->data + PE_AT, "PE\0", 4);
    set(made, PE_AT + 20, OPTIONAL_LEN, 2);
    set(made, OPTIONAL_AT, 0x20b, 2);
    set(made, OPTIONAL_AT + 60, HEADERS_LEN, 4);
    set(made, OPTIONAL_AT + 108, 16, 4);
    made->len = HEADERS_LEN;
}

static void add(struct made *made, const char *name, const void *content, size_t len)
{
    size_t at = TABLE_AT + 40 * made->sections++;
    size_t raw_len = (len + RAW_LEN - 1) / RAW_LEN * RAW_LEN;
    assert_true(made->len + raw_len <= IMAGE_MAX);
    memcpy(made->data + at, name, strlen(name));
    set(made, at + 8, (uint32_t)len, 4);
    set(made, at + 16, (uint32_t)raw_len, 4);
    set(made, at + 20, (uint32_t)made->len, 4);
    memcpy(made->data + made->len, content, len);
    made->len += raw_len;
    set(made, PE_AT + 6, made->sections, 2);
}

static struct bytes bytes_of(const struct made *made)
{
    return bytes_from(made->data, made->len);
}

static void make_image(struct made *image)
{
    static const char magic[] = "#### LoaderInfo: systemd-stub 252.39-1 ####";
    struct made kernel;
    begin(&kernel);
    add(&kernel, ".text", "kernel", 6);
    begin(image);
    add(image, ".text", "stub", 4);
    add(image, ".sdmagic", magic, sizeof magic);
    add(image, ".osrel", "ID=x", 4);
    add(image, ".cmdline", "quiet", 5);
    add(image, ".initrd", "initrd", 6);
    add(image, ".linux", kernel.data, kernel.len);
}

static const uint8_t platform[TPM2_PCR_COUNT][32] = {[0] = {1}, [2] = {2}, [4] = {9}, [7] = {3}, [12] = {9}};

static void what_signing_changes_is_not_in_the_hash(void **state)
{
    struct made image;
    uint8_t before[32], after[32];
    (void)state;
    make_image(&image);
    check_ok(boot_pe_hash(bytes_of(&image), before));
    set(&image, OPTIONAL_AT + 64, 0x12345678, 4); /* checksum */
    set(&image, OPTIONAL_AT + 144, (uint32_t)image.len, 4);
    set(&image, OPTIONAL_AT + 148, 64, 4);
    memset(image.data + image.len, 0x5a, 64); /* the signature, last of all */
    image.len += 64;
    check_ok(boot_pe_hash(bytes_of(&image), after));
    assert_memory_equal(before, after, sizeof before);
    /* Every other byte counts. */
    for (size_t off = 0; off < image.len - 64; off += 61) {
        if ((off >= OPTIONAL_AT + 64 && off < OPTIONAL_AT + 68) ||
            (off >= OPTIONAL_AT + 144 && off < OPTIONAL_AT + 152))
            continue;
        image.data[off] ^= 1;
        if (boot_pe_hash(bytes_of(&image), after) == OK)
            assert_memory_not_equal(before, after, sizeof before);
        image.data[off] ^= 1;
    }
}

static void the_hash_is_of_headers_and_sections(void **state)
{
    struct made image;
    uint8_t hash[32], expected[CRYPTO_HASH_MAX];
    (void)state;
    make_image(&image);
    struct bytes all = bytes_of(&image);
    const struct bytes parts[] = {bytes_slice(all, 0, OPTIONAL_AT + 64), bytes_slice(all, OPTIONAL_AT + 68, 144 - 68),
                                  bytes_slice(all, OPTIONAL_AT + 152, all.len - OPTIONAL_AT - 152)};
    check_ok(crypto_hash(CRYPTO_SHA256, parts, 3, expected));
    check_ok(boot_pe_hash(all, hash));
    assert_memory_equal(expected, hash, sizeof hash);
}

static void a_boot_is_its_measurements_in_their_order(void **state)
{
    static const uint8_t separator[4];
    static const char *const names[] = {".linux", ".osrel", ".cmdline", ".initrd"};
    struct made image;
    struct boot_chain chain;
    struct bytes part;
    uint8_t pcrs[TPM2_PCR_COUNT][32] = {{0}}, hash[32], policy[32], digest[32];
    (void)state;
    make_image(&image);
    struct bytes all = bytes_of(&image);
    check_ok(boot_predict(all, platform, &chain));
    check_ok(tpm2_extend_by(pcrs[4], bytes_from_text("Calling EFI Application from Boot Option")));
    check_ok(tpm2_extend_by(pcrs[4], BYTES_OF(separator)));
    check_ok(boot_pe_hash(all, hash));
    check_ok(tpm2_extend(pcrs[4], BYTES_OF(hash)));
    check_ok(boot_pe_section(all, ".linux", &part));
    check_ok(boot_pe_hash(part, hash));
    check_ok(tpm2_extend(pcrs[4], BYTES_OF(hash)));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_ok(boot_pe_section(all, names[i], &part));
        check_ok(tpm2_extend_by(pcrs[11], bytes_from(names[i], strlen(names[i]) + 1)));
        check_ok(tpm2_extend_by(pcrs[11], part));
    }
    memcpy(pcrs[0], platform[0], 32), memcpy(pcrs[2], platform[2], 32), memcpy(pcrs[7], platform[7], 32);
    assert_memory_equal(pcrs, chain.pcrs, sizeof pcrs); /* 4 and 12 are not the machine's to tell */
    check_ok(tpm2_pcr_policy(TPM2_BOOT_PCRS, (const uint8_t(*)[32])pcrs, policy));
    assert_memory_equal(policy, chain.policy, sizeof policy);
    check_ok(tpm2_cap(pcrs[TPM2_CAP_PCR]));
    check_ok(tpm2_pcr_digest(TPM2_BOOT_PCRS, (const uint8_t(*)[32])pcrs, digest));
    assert_memory_equal(digest, chain.digest, sizeof digest);
}

static void a_part_has_the_length_it_has_in_memory(void **state)
{
    struct made image;
    struct bytes part;
    (void)state;
    make_image(&image);
    check_ok(boot_pe_section(bytes_of(&image), ".cmdline", &part));
    check_bytes(bytes_from_text("quiet"), part);
    assert_int_equal(NOT_FOUND, boot_pe_section(bytes_of(&image), ".cmd", &part));
    assert_int_equal(NOT_FOUND, boot_pe_section(bytes_of(&image), ".cmdline.", &part));
}

static void every_shorter_image_is_refused(void **state)
{
    struct made image;
    struct boot_chain chain = {.policy = {7}}, untouched = chain;
    (void)state;
    make_image(&image);
    for (size_t len = 0; len < image.len; len++) {
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, image.data, len);
        assert_int_not_equal(OK, boot_predict(bytes_from(copy, len), platform, &chain));
        free(copy);
    }
    assert_memory_equal(&untouched, &chain, sizeof chain);
}

static void images_that_measure_otherwise_are_not_predicted(void **state)
{
    struct made image;
    struct boot_chain chain;
    (void)state;
    make_image(&image);
    add(&image, ".pcrpkey", "key", 3);
    assert_int_equal(UNSUPPORTED, boot_predict(bytes_of(&image), platform, &chain));
    make_image(&image);
    struct bytes magic;
    check_ok(boot_pe_section(bytes_of(&image), ".sdmagic", &magic));
    image.data[magic.data - image.data + 30] = '6'; /* version 256 */
    image.data[magic.data - image.data + 32] = '6';
    assert_int_equal(UNSUPPORTED, boot_predict(bytes_of(&image), platform, &chain));
    begin(&image);
    add(&image, ".linux", "x", 1);
    assert_int_equal(MALFORMED, boot_predict(bytes_of(&image), platform, &chain));
    make_image(&image);
    image.data[TABLE_AT + 40 * 4] = 'x'; /* no .initrd */
    assert_int_equal(MALFORMED, boot_predict(bytes_of(&image), platform, &chain));
}

static void section_tables_are_bounded(void **state)
{
    struct made image;
    uint8_t hash[32];
    struct bytes part;
    (void)state;
    begin(&image);
    for (unsigned i = 0; i < 13; i++)
        add(&image, ".x", "x", 1);
    check_ok(boot_pe_hash(bytes_of(&image), hash));
    set(&image, PE_AT + 6, BOOT_SECTIONS_MAX + 1, 2);
    assert_int_equal(MALFORMED, boot_pe_hash(bytes_of(&image), hash));
    set(&image, PE_AT + 6, 0, 2);
    assert_int_equal(MALFORMED, boot_pe_hash(bytes_of(&image), hash));
    make_image(&image);
    set(&image, TABLE_AT + 20, (uint32_t)image.len, 4); /* behind the end */
    assert_int_equal(MALFORMED, boot_pe_hash(bytes_of(&image), hash));
    set(&image, TABLE_AT + 20, UINT32_MAX, 4);
    assert_int_equal(MALFORMED, boot_pe_hash(bytes_of(&image), hash));
    make_image(&image);
    set(&image, TABLE_AT + 16, (uint32_t)image.len, 4); /* over the others */
    set(&image, TABLE_AT + 20, 0, 4);
    assert_int_equal(MALFORMED, boot_pe_hash(bytes_of(&image), hash));
    make_image(&image);
    set(&image, TABLE_AT + 8, RAW_LEN + 1, 4); /* longer in memory than in the file */
    assert_int_equal(MALFORMED, boot_pe_section(bytes_of(&image), ".text", &part));
    set(&image, OPTIONAL_AT + 60, UINT32_MAX, 4);
    assert_int_equal(MALFORMED, boot_pe_hash(bytes_of(&image), hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_signing_changes_is_not_in_the_hash),
        cmocka_unit_test(the_hash_is_of_headers_and_sections),
        cmocka_unit_test(a_boot_is_its_measurements_in_their_order),
        cmocka_unit_test(a_part_has_the_length_it_has_in_memory),
        cmocka_unit_test(every_shorter_image_is_refused),
        cmocka_unit_test(images_that_measure_otherwise_are_not_predicted),
        cmocka_unit_test(section_tables_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
