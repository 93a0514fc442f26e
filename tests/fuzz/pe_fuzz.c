/* An image as anyone may hand it to the owner: its hash is always the same, no part of it is longer than the whole. */
#include "boot.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t platform[TPM2_PCR_COUNT][32];
    struct bytes input = bytes_from(data, len), part;
    struct boot_chain chain;
    uint8_t hash[32], again[32];
    if (boot_pe_hash(input, hash) != OK)
        return 0;
    if (boot_pe_hash(input, again) != OK || memcmp(hash, again, sizeof hash) != 0)
        abort();
    if (boot_pe_section(input, ".linux", &part) == OK && part.len > len)
        abort();
    (void)!boot_predict(input, platform, &chain);
    return 0;
}
