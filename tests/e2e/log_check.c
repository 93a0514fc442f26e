/* A VM's event log by the verifier's own code:
 *     log_check LOG KERNEL    what it leaves in the PCRs, one a line; and that KERNEL is what the firmware started */
#include "boot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bytes read_file(const char *path)
{
    const size_t cap = 64u << 20;
    uint8_t *room = malloc(cap);
    FILE *file = fopen(path, "re");
    size_t len = file && room ? fread(room, 1, cap, file) : 0;
    if (file)
        fclose(file);
    return bytes_from(room, len);
}

int main(int argc, char **argv)
{
    uint8_t pcrs[TPM2_PCR_COUNT][32], hash[32];
    uint32_t mask = 0;
    struct boot_log log;
    struct boot_event event;
    bool started = false;
    if (argc != 3 || crypto_init() != OK)
        return 2;
    const struct bytes encoded = read_file(argv[1]), kernel = read_file(argv[2]);
    if (boot_log_replay(encoded, pcrs, &mask) != OK || boot_log_open(encoded, &log) != OK ||
        boot_pe_hash(kernel, hash) != OK) {
        fprintf(stderr, "log_check: no log, or no kernel\n");
        return 1;
    }
    while (boot_log_next(&log, &event) == OK)
        started |= event.type == BOOT_EVENT_APPLICATION && memcmp(event.digest, hash, sizeof hash) == 0;
    for (unsigned pcr = 0; pcr < TPM2_PCR_COUNT; pcr++) {
        if (!(mask >> pcr & 1))
            continue;
        printf("%u ", pcr);
        for (unsigned i = 0; i < sizeof hash; i++)
            printf("%02X", pcrs[pcr][i]);
        printf("\n");
    }
    if (!started)
        fprintf(stderr, "log_check: the firmware started something else\n");
    return started ? 0 : 1;
}
