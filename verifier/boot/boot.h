/* boot: what a node's image will leave in the TPM when it boots — PCRs 4 and 11 of a unified kernel image, and with the
 * machine's own PCRs the policy to approve and the digest to expect in quotes. Never runs or trusts the image; pure. */
#ifndef BASTIDE_BOOT_H
#define BASTIDE_BOOT_H

#include "base.h"
#include "tpm2.h"

#define BOOT_SECTIONS_MAX 32                             /* of a PE file */
#define BOOT_PLATFORM_PCRS (1u << 0 | 1u << 2 | 1u << 7) /* the machine's own: no image tells them */

struct boot_chain {
    uint8_t pcrs[TPM2_PCR_COUNT][32]; /* of TPM2_BOOT_PCRS, before the cap */
    uint8_t policy[32];               /* what the boot signer approves */
    uint8_t digest[32];               /* what quotes carry, after the cap */
};

/* `image`: a file that the firmware itself starts as a boot option, made of systemd's stub with at least
 * .linux, .cmdline and .initrd. `platform`: the three PCRs above of the machine it is for. MALFORMED: no such file.
 * UNSUPPORTED: another stub than version 252 (Debian 12's), or parts that no image of ours has (.dtb, .pcrpkey). */
MUST_USE enum status boot_predict(struct bytes image, const uint8_t platform[TPM2_PCR_COUNT][32],
                                  struct boot_chain *chain);

/* Authenticode's SHA-256 of a PE file, as firmware measures and secure boot compares it. */
MUST_USE enum status boot_pe_hash(struct bytes image, uint8_t hash[32]);
/* The named section's bytes as they stand in memory; NOT_FOUND. */
MUST_USE enum status boot_pe_section(struct bytes image, const char *name, struct bytes *section);

#endif
