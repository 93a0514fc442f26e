/* boot: what a node's image will leave in the TPM when it boots — PCRs 4 and 11 of a unified kernel image, and with the
 * machine's own PCRs the policy to approve and the digest to expect in quotes; and what a machine's event log says that
 * it left there. Never runs or trusts the image, nor believes a log that no quote agrees with; pure. */
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

/* ---- log.c: the event log that firmware keeps of what it measured (TCG PC Client Platform Firmware Profile 1.05
 * §10), as Linux has it in /sys/kernel/security/tpm0/binary_bios_measurements ---- */

#define BOOT_LOG_BANKS 8                   /* hash algorithms in one log */
#define BOOT_EVENT_NO_ACTION 3u            /* EV_NO_ACTION: said, but not extended */
#define BOOT_EVENT_SEPARATOR 4u            /* EV_SEPARATOR */
#define BOOT_EVENT_APPLICATION 0x80000003u /* EV_EFI_BOOT_SERVICES_APPLICATION: an image that was started */

struct boot_log {
    struct reader reader; /* at the next event */
    unsigned bank_count;
    uint16_t banks[BOOT_LOG_BANKS], sizes[BOOT_LOG_BANKS];
};

struct boot_event {
    uint32_t pcr; /* below TPM2_PCR_COUNT, but for BOOT_EVENT_NO_ACTION */
    uint32_t type;
    uint8_t digest[32]; /* SHA-256 */
    struct bytes data;  /* what is said of it; hashes to the digest with some types only; borrows */
};

/* UNSUPPORTED: a log without SHA-256 (of TPM 1.2, say), or of another version than 2. */
MUST_USE enum status boot_log_open(struct bytes encoded, struct boot_log *log);
/* NOT_FOUND: that was the last. */
MUST_USE enum status boot_log_next(struct boot_log *log, struct boot_event *event);
/* What it leaves in the PCRs of the SHA-256 bank; *mask: bit n, PCR n was extended or begins above zero. */
MUST_USE enum status boot_log_replay(struct bytes encoded, uint8_t pcrs[TPM2_PCR_COUNT][32], uint32_t *mask);

#endif
