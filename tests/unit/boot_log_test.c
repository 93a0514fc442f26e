/* Event logs made byte by byte: limits, what is no log, where PCR 0 begins. A real one is in vectors/. */
#include "check.h"

#include "boot.h"

#include <string.h>

struct made {
    uint8_t data[8192];
    struct writer writer;
};

static void put_le(struct writer *writer, uint32_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put_u8(writer, (uint8_t)(value >> (8 * i)));
}

struct bank {
    uint16_t algorithm, size;
};
static const struct bank usual[] = {{0x0004, 20}, {TPM2_SHA256, 32}};

static void begin(struct made *made, uint8_t major, const struct bank *banks, size_t count)
{
    static const uint8_t zero[20];
    made->writer = writer_over(made->data, sizeof made->data);
    put_le(&made->writer, 0, 4);
    put_le(&made->writer, BOOT_EVENT_NO_ACTION, 4);
    put_bytes(&made->writer, BYTES_OF(zero));
    put_le(&made->writer, (uint32_t)(16 + 4 + 4 + 4 + 4 * count + 1 + 2), 4);
    put_bytes(&made->writer, bytes_from("Spec ID Event03", 16));
    put_le(&made->writer, 0, 4);
    put_u8(&made->writer, 0);
    put_u8(&made->writer, major);
    put_le(&made->writer, 0x0200, 2);
    put_le(&made->writer, (uint32_t)count, 4);
    for (size_t i = 0; i < count; i++) {
        put_le(&made->writer, banks[i].algorithm, 2);
        put_le(&made->writer, banks[i].size, 2);
    }
    put_u8(&made->writer, 2);
    put_le(&made->writer, 0xabcd, 2); /* the vendor's */
}

static void add(struct made *made, uint32_t pcr, uint32_t type, const struct bank *banks, size_t count,
                struct bytes said)
{
    put_le(&made->writer, pcr, 4);
    put_le(&made->writer, type, 4);
    put_le(&made->writer, (uint32_t)count, 4);
    for (size_t i = 0; i < count; i++) {
        put_le(&made->writer, banks[i].algorithm, 2);
        for (unsigned j = 0; j < banks[i].size; j++)
            put_u8(&made->writer, (uint8_t)(banks[i].algorithm + j));
    }
    put_le(&made->writer, (uint32_t)said.len, 4);
    put_bytes(&made->writer, said);
}

static enum status replay(const struct made *made, uint8_t pcrs[TPM2_PCR_COUNT][32], uint32_t *mask)
{
    check_ok(made->writer.status);
    return boot_log_replay(bytes_from(made->data, made->writer.len), pcrs, mask);
}

static void an_event_extends_its_pcr_and_what_is_only_said_does_not(void **state)
{
    (void)state;
    const struct bank swapped[] = {usual[1], usual[0]};
    struct made made;
    uint8_t pcrs[TPM2_PCR_COUNT][32], expected[32] = {0}, digest[32];
    uint32_t mask = 0;
    for (unsigned i = 0; i < 32; i++)
        digest[i] = (uint8_t)(TPM2_SHA256 + i);
    begin(&made, 2, usual, 2);
    add(&made, 23, BOOT_EVENT_SEPARATOR, usual, 2, bytes_from("abcd", 4));
    add(&made, 23, BOOT_EVENT_SEPARATOR, swapped, 2, (struct bytes){0});
    add(&made, 5, BOOT_EVENT_NO_ACTION, usual, 2, bytes_from_text("said"));
    add(&made, UINT32_MAX, BOOT_EVENT_NO_ACTION, usual, 2, bytes_from_text("said"));
    check_ok(replay(&made, pcrs, &mask));
    assert_int_equal(1u << 23, mask);
    check_ok(tpm2_extend(expected, BYTES_OF(digest)));
    check_ok(tpm2_extend(expected, BYTES_OF(digest)));
    assert_memory_equal(expected, pcrs[23], 32);
    begin(&made, 2, usual, 2);
    add(&made, 24, BOOT_EVENT_SEPARATOR, usual, 2, (struct bytes){0});
    check_status(MALFORMED, replay(&made, pcrs, &mask));
    assert_memory_equal(expected, pcrs[23], 32); /* untouched */
}

static void the_locality_of_startup_is_where_pcr_0_begins(void **state)
{
    (void)state;
    struct made made;
    uint8_t pcrs[TPM2_PCR_COUNT][32];
    uint32_t mask = 0;
    begin(&made, 2, usual, 2);
    add(&made, 0, BOOT_EVENT_NO_ACTION, usual, 2, bytes_from("StartupLocality\0\3", 17));
    check_ok(replay(&made, pcrs, &mask));
    assert_int_equal(1, mask);
    assert_int_equal(3, pcrs[0][31]);
    begin(&made, 2, usual, 2);
    add(&made, 0, BOOT_EVENT_NO_ACTION, usual, 2, bytes_from("StartupLocality\0\3\3", 18));
    check_ok(replay(&made, pcrs, &mask));
    assert_int_equal(0, mask);
    /* Said after something was extended it is too late to be true. */
    begin(&made, 2, usual, 2);
    add(&made, 4, BOOT_EVENT_SEPARATOR, usual, 2, (struct bytes){0});
    add(&made, 0, BOOT_EVENT_NO_ACTION, usual, 2, bytes_from("StartupLocality\0\3", 17));
    check_ok(replay(&made, pcrs, &mask));
    assert_int_equal(1u << 4, mask);
}

static void banks_are_as_many_as_said_each_once_and_sha256_is_one(void **state)
{
    (void)state;
    struct bank banks[BOOT_LOG_BANKS + 1];
    struct made made;
    uint8_t pcrs[TPM2_PCR_COUNT][32];
    uint32_t mask = 0;
    for (unsigned i = 0; i <= BOOT_LOG_BANKS; i++)
        banks[i] = (struct bank){(uint16_t)(TPM2_SHA256 + i), i ? 64 : 32};
    begin(&made, 2, banks, BOOT_LOG_BANKS);
    add(&made, 1, BOOT_EVENT_SEPARATOR, banks, BOOT_LOG_BANKS, (struct bytes){0});
    check_ok(replay(&made, pcrs, &mask));
    begin(&made, 2, banks, BOOT_LOG_BANKS + 1);
    check_status(UNSUPPORTED, replay(&made, pcrs, &mask));
    begin(&made, 2, banks + 1, 2);
    check_status(UNSUPPORTED, replay(&made, pcrs, &mask));
    begin(&made, 1, usual, 2);
    check_status(UNSUPPORTED, replay(&made, pcrs, &mask));
    banks[1] = banks[0];
    begin(&made, 2, banks, 2);
    check_status(MALFORMED, replay(&made, pcrs, &mask));
    banks[1] = (struct bank){0x0012, 65};
    begin(&made, 2, banks, 2);
    check_status(MALFORMED, replay(&made, pcrs, &mask));
    banks[1].size = 0;
    begin(&made, 2, banks, 2);
    check_status(MALFORMED, replay(&made, pcrs, &mask));
    banks[0].size = 20; /* of SHA-256 */
    begin(&made, 2, banks, 1);
    check_status(UNSUPPORTED, replay(&made, pcrs, &mask));
    /* An event has every bank of its log, and no other. */
    begin(&made, 2, usual, 2);
    add(&made, 1, BOOT_EVENT_SEPARATOR, usual, 1, (struct bytes){0});
    check_status(MALFORMED, replay(&made, pcrs, &mask));
    const struct bank twice[] = {usual[1], usual[1]};
    begin(&made, 2, usual, 2);
    add(&made, 1, BOOT_EVENT_SEPARATOR, twice, 2, (struct bytes){0});
    check_status(MALFORMED, replay(&made, pcrs, &mask));
}

static void what_begins_otherwise_is_no_log(void **state)
{
    (void)state;
    struct made made;
    struct boot_log log = {.bank_count = 77};
    begin(&made, 2, usual, 2);
    const size_t len = made.writer.len;
    for (size_t cut = 0; cut < len; cut++)
        check_status(TRUNCATED, boot_log_open(bytes_from(made.data, cut), &log));
    made.data[28 + 4 + 14] ^= 1; /* of the signature */
    check_status(UNSUPPORTED, boot_log_open(bytes_from(made.data, len), &log));
    begin(&made, 2, usual, 2);
    made.data[4] = 8; /* an event of TPM 1.2 */
    check_status(UNSUPPORTED, boot_log_open(bytes_from(made.data, len), &log));
    begin(&made, 2, usual, 2);
    made.data[28]++; /* one byte more than what it says of itself */
    put_u8(&made.writer, 0);
    check_status(MALFORMED, boot_log_open(bytes_from(made.data, len + 1), &log));
    assert_int_equal(77, log.bank_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_extends_its_pcr_and_what_is_only_said_does_not),
        cmocka_unit_test(the_locality_of_startup_is_where_pcr_0_begins),
        cmocka_unit_test(banks_are_as_many_as_said_each_once_and_sha256_is_one),
        cmocka_unit_test(what_begins_otherwise_is_no_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
