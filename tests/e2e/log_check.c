/* A VM's event log by the verifier's own code:
 *     log_check LOG    what it leaves in the PCRs, one a line */
#include "boot.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    static uint8_t room[1u << 20];
    uint8_t pcrs[TPM2_PCR_COUNT][32];
    uint32_t mask = 0;
    FILE *file = argc == 2 ? fopen(argv[1], "re") : NULL;
    if (!file || crypto_init() != OK)
        return 2;
    const struct bytes log = bytes_from(room, fread(room, 1, sizeof room, file));
    fclose(file);
    if (boot_log_replay(log, pcrs, &mask) != OK)
        return 1;
    for (unsigned pcr = 0; pcr < TPM2_PCR_COUNT; pcr++) {
        if (!(mask >> pcr & 1))
            continue;
        printf("%u ", pcr);
        for (unsigned i = 0; i < sizeof pcrs[pcr]; i++)
            printf("%02X", pcrs[pcr][i]);
        printf("\n");
    }
    return 0;
}
