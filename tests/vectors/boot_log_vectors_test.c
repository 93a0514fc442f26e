/* boot: the event log of a real VM (Debian's OVMF 2022.11 and Linux 6.1, over our vTPM; e2e/guest.sh) gives what its
 * PCRs held. ovmf_linux.eventlog: as Linux had it; ovmf_linux_pcrs.tsv: index and SHA-256, as the TPM told them. */
#include "check.h"

#include "boot.h"

#include <stdio.h>

static uint8_t room[16384];
static struct bytes log_bytes;
static uint8_t told[TPM2_PCR_COUNT][32];
static uint32_t told_mask;

static int load(void **state)
{
    (void)state;
    FILE *log = fopen("tests/vectors/ovmf_linux.eventlog", "re"),
         *pcrs = fopen("tests/vectors/ovmf_linux_pcrs.tsv", "re");
    unsigned pcr;
    char hex[65];
    assert_non_null(log);
    assert_non_null(pcrs);
    log_bytes = bytes_from(room, fread(room, 1, sizeof room, log));
    while (fscanf(pcrs, "%u\t%64s", &pcr, hex) == 2 && pcr < TPM2_PCR_COUNT) {
        struct writer writer = writer_over(told[pcr], 32);
        check_ok(hex_decode(hex, &writer));
        told_mask |= 1u << pcr;
    }
    fclose(log);
    fclose(pcrs);
    return told_mask == 0x2ff ? 0 : -1;
}

static void a_real_log_replays_to_the_pcrs_of_its_machine(void **state)
{
    (void)state;
    uint8_t pcrs[TPM2_PCR_COUNT][32];
    uint32_t mask = 0;
    check_ok(boot_log_replay(log_bytes, pcrs, &mask));
    assert_int_equal(told_mask, mask);
    for (unsigned pcr = 0; pcr < TPM2_PCR_COUNT; pcr++)
        assert_memory_equal(told[pcr], pcrs[pcr], 32);
}

static void it_tells_what_was_started_and_with_which_words(void **state)
{
    (void)state;
    struct boot_log log;
    struct boot_event event;
    unsigned count = 0, started = 0, separators = 0, words = 0;
    check_ok(boot_log_open(log_bytes, &log));
    enum status status = OK;
    while ((status = boot_log_next(&log, &event)) == OK) {
        count++;
        started += event.type == BOOT_EVENT_APPLICATION && event.pcr == 4;
        separators += event.type == BOOT_EVENT_SEPARATOR;
        words += event.pcr == 9;
    }
    check_status(NOT_FOUND, status);
    assert_int_equal(24, count);
    assert_int_equal(1, started);
    assert_int_equal(8, separators);
    assert_int_equal(2, words); /* command line, initrd */
}

static void a_shorter_log_is_truncated_or_of_another_machine(void **state)
{
    (void)state;
    unsigned whole = 0;
    for (size_t len = 0; len < log_bytes.len; len++) {
        uint8_t pcrs[TPM2_PCR_COUNT][32];
        uint32_t mask = 0;
        enum status status = boot_log_replay(bytes_from(log_bytes.data, len), pcrs, &mask);
        whole += status == OK;
        if (status == OK)
            assert_memory_not_equal(told, pcrs, sizeof pcrs);
        else
            check_status(TRUNCATED, status);
    }
    assert_int_equal(24, whole); /* between any two events */
}

static void a_flipped_bit_of_it_is_refused_seen_or_in_what_is_only_said(void **state)
{
    (void)state;
    static uint8_t bent[sizeof room];
    size_t unseen = 0;
    for (size_t bit = 0; bit < log_bytes.len * 8; bit += 3) {
        uint8_t pcrs[TPM2_PCR_COUNT][32];
        uint32_t mask = 0;
        memcpy(bent, log_bytes.data, log_bytes.len);
        bent[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (boot_log_replay(bytes_from(bent, log_bytes.len), pcrs, &mask) == OK && memcmp(told, pcrs, sizeof pcrs) == 0)
            unseen++;
    }
    /* Other banks' digests and the words beside a digest are nothing that PCRs could contradict. */
    assert_true(unseen < log_bytes.len * 8 / 3 * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_log_replays_to_the_pcrs_of_its_machine),
        cmocka_unit_test(it_tells_what_was_started_and_with_which_words),
        cmocka_unit_test(a_shorter_log_is_truncated_or_of_another_machine),
        cmocka_unit_test(a_flipped_bit_of_it_is_refused_seen_or_in_what_is_only_said),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
