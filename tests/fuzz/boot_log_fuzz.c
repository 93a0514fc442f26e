/* A log as anyone may hand it to a verifier: replayed twice it is the same, and its events are all of it. */
#include "boot.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct bytes input = bytes_from(data, len);
    uint8_t pcrs[TPM2_PCR_COUNT][32], again[TPM2_PCR_COUNT][32];
    uint32_t mask = 0, mask_again = 0;
    struct boot_log log;
    struct boot_event event;
    enum status status = boot_log_replay(input, pcrs, &mask);
    if (status != boot_log_replay(input, again, &mask_again) || mask != mask_again)
        abort();
    if (status == OK && memcmp(pcrs, again, sizeof pcrs) != 0)
        abort();
    if (boot_log_open(input, &log) != OK)
        return 0;
    uint32_t named = 0;
    enum status read;
    while ((read = boot_log_next(&log, &event)) == OK)
        if (event.type != BOOT_EVENT_NO_ACTION)
            named |= 1u << event.pcr;
    if ((read == NOT_FOUND) != (status == OK) || (status == OK && (mask & ~1u) != (named & ~1u)))
        abort();
    return 0;
}
