/* The event log, which only means something beside PCRs: read event by event, and replayed. */
#include "boot.h"

#include <string.h>

#define SIGNATURE_LEN 16
#define SIGNATURE "Spec ID Event03" /* with its NUL */
#define LOCALITY "StartupLocality"  /* so too; then the locality that TPM2_Startup came from */
#define SHA1_LEN 20

static uint16_t size_of(const struct boot_log *log, uint16_t bank)
{
    for (unsigned i = 0; i < log->bank_count; i++)
        if (log->banks[i] == bank)
            return log->sizes[i];
    return 0;
}

/* TCG_EfiSpecIDEventStruct (§10.4.5.1). */
static enum status take_banks(struct bytes data, struct boot_log *log)
{
    struct reader reader = reader_over(data);
    if (!bytes_equal(take_bytes(&reader, SIGNATURE_LEN), bytes_from(SIGNATURE, SIGNATURE_LEN)))
        return UNSUPPORTED;
    (void)take_u32le(&reader); /* platform class */
    (void)take_u8(&reader);    /* minor version */
    const uint8_t major = take_u8(&reader);
    (void)take_u16le(&reader); /* errata, size of a UINTN */
    const uint32_t count = take_u32le(&reader);
    if (reader.status == OK && (major != 2 || count > BOOT_LOG_BANKS))
        return UNSUPPORTED;
    for (uint32_t i = 0; i < count && reader.status == OK; i++) {
        const uint16_t bank = take_u16le(&reader);
        if (size_of(log, bank))
            reader_fail(&reader, MALFORMED);
        log->banks[log->bank_count] = bank;
        log->sizes[log->bank_count++] = take_u16le(&reader);
        if (log->sizes[i] == 0 || log->sizes[i] > 64)
            reader_fail(&reader, MALFORMED);
    }
    (void)take_bytes(&reader, take_u8(&reader)); /* the vendor's */
    TRY(reader_end(&reader));
    return size_of(log, TPM2_SHA256) == 32 ? OK : UNSUPPORTED;
}

enum status boot_log_open(struct bytes encoded, struct boot_log *log)
{
    struct boot_log got = {.reader = reader_over(encoded)};
    const uint32_t pcr = take_u32le(&got.reader), type = take_u32le(&got.reader);
    (void)take_bytes(&got.reader, SHA1_LEN);
    struct bytes data = take_bytes(&got.reader, take_u32le(&got.reader));
    TRY(got.reader.status);
    if (pcr != 0 || type != BOOT_EVENT_NO_ACTION)
        return UNSUPPORTED;
    TRY(take_banks(data, &got));
    *log = got;
    return OK;
}

/* TCG_PCR_EVENT2 (§10.2.2): each bank's digest, in any order. */
enum status boot_log_next(struct boot_log *log, struct boot_event *event)
{
    struct reader reader = log->reader;
    if (reader.rest.len == 0)
        return NOT_FOUND;
    struct boot_event got = {.pcr = take_u32le(&reader), .type = take_u32le(&reader)};
    const uint32_t count = take_u32le(&reader);
    if (reader.status == OK && count != log->bank_count)
        return MALFORMED;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < count && reader.status == OK; i++) {
        const uint16_t bank = take_u16le(&reader);
        for (unsigned j = 0; j < log->bank_count; j++) {
            if (log->banks[j] != bank)
                continue;
            seen |= 1u << j;
            struct bytes digest = take_bytes(&reader, log->sizes[j]);
            if (bank == TPM2_SHA256 && digest.len == sizeof got.digest)
                memcpy(got.digest, digest.data, digest.len);
        }
    }
    if (reader.status == OK && seen != (1u << log->bank_count) - 1)
        return MALFORMED;
    got.data = take_bytes(&reader, take_u32le(&reader));
    TRY(reader.status);
    if (got.type != BOOT_EVENT_NO_ACTION && got.pcr >= TPM2_PCR_COUNT)
        return MALFORMED;
    *event = got;
    log->reader = reader;
    return OK;
}

static void take_locality(struct bytes data, uint8_t pcr[32], uint32_t *mask)
{
    if (data.len != SIGNATURE_LEN + 1 || memcmp(data.data, LOCALITY, SIGNATURE_LEN) != 0 ||
        data.data[SIGNATURE_LEN] == 0)
        return;
    pcr[31] = data.data[SIGNATURE_LEN];
    *mask |= 1;
}

enum status boot_log_replay(struct bytes encoded, uint8_t pcrs[TPM2_PCR_COUNT][32], uint32_t *mask)
{
    uint8_t values[TPM2_PCR_COUNT][32] = {0};
    uint32_t extended = 0;
    struct boot_log log;
    struct boot_event event;
    enum status status = boot_log_open(encoded, &log);
    while (status == OK && (status = boot_log_next(&log, &event)) == OK) {
        if (event.type == BOOT_EVENT_NO_ACTION) {
            if (extended == 0)
                take_locality(event.data, values[0], &extended);
            continue;
        }
        TRY(tpm2_extend(values[event.pcr], BYTES_OF(event.digest)));
        extended |= 1u << event.pcr;
    }
    if (status != NOT_FOUND)
        return status;
    memcpy(pcrs, values, sizeof values);
    *mask = extended;
    return OK;
}
