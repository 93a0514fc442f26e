/* The measurements of one boot, in their order: by the firmware (TCG PC Client Platform Firmware Profile §3.3.4.5) and
 * by systemd's stub (systemd-stub(7), "TPM PCR Notes"). */
#include "boot.h"

#include <string.h>

#define PCR_PROGRAMS 4
#define PCR_PARTS 11

/* The firmware is done; the boot option is started; the stub, a program itself, starts the kernel. */
static enum status predict_programs(struct bytes image, uint8_t pcr[32])
{
    static const uint8_t separator[4];
    uint8_t hash[32];
    struct bytes kernel;
    TRY(tpm2_extend_by(pcr, bytes_from_text("Calling EFI Application from Boot Option")));
    TRY(tpm2_extend_by(pcr, BYTES_OF(separator)));
    TRY(boot_pe_hash(image, hash));
    TRY(tpm2_extend(pcr, BYTES_OF(hash)));
    TRY(boot_pe_section(image, ".linux", &kernel));
    TRY(boot_pe_hash(kernel, hash));
    return tpm2_extend(pcr, BYTES_OF(hash));
}

/* Later stubs measure more parts, and in another order. */
static enum status check_stub(struct bytes image)
{
    const struct bytes known = bytes_from_text("#### LoaderInfo: systemd-stub 252");
    struct bytes magic;
    enum status status = boot_pe_section(image, ".sdmagic", &magic);
    if (status != OK)
        return status == NOT_FOUND ? MALFORMED : status;
    return bytes_equal(bytes_slice(magic, 0, known.len), known) ? OK : UNSUPPORTED;
}

/* Each part's name with its NUL, then the part: in the stub's own order, not the file's. */
static enum status predict_parts(struct bytes image, uint8_t pcr[32])
{
    static const struct {
        const char *name;
        bool needed, refused;
    } parts[] = {{".linux", true, false},   {".osrel", false, false},  {".cmdline", true, false},
                 {".initrd", true, false},  {".splash", false, false}, {".dtb", false, true},
                 {".pcrpkey", false, true}, {".uname", false, true}};
    TRY(check_stub(image));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct bytes part;
        enum status status = boot_pe_section(image, parts[i].name, &part);
        if (status == NOT_FOUND && !parts[i].needed)
            continue;
        TRY(status == NOT_FOUND ? MALFORMED : status);
        if (parts[i].refused)
            return UNSUPPORTED;
        TRY(tpm2_extend_by(pcr, bytes_from(parts[i].name, strlen(parts[i].name) + 1)));
        TRY(tpm2_extend_by(pcr, part));
    }
    return OK;
}

enum status boot_predict(struct bytes image, const uint8_t platform[TPM2_PCR_COUNT][32], struct boot_chain *chain)
{
    struct boot_chain made = {0};
    uint8_t capped[TPM2_PCR_COUNT][32];
    for (size_t i = 0; i < TPM2_PCR_COUNT; i++)
        if (BOOT_PLATFORM_PCRS >> i & 1)
            memcpy(made.pcrs[i], platform[i], sizeof made.pcrs[i]);
    TRY(predict_programs(image, made.pcrs[PCR_PROGRAMS]));
    TRY(predict_parts(image, made.pcrs[PCR_PARTS]));
    memcpy(capped, made.pcrs, sizeof capped);
    TRY(tpm2_cap(capped[TPM2_CAP_PCR]));
    TRY(tpm2_pcr_policy(TPM2_BOOT_PCRS, (const uint8_t(*)[32])made.pcrs, made.policy));
    TRY(tpm2_pcr_digest(TPM2_BOOT_PCRS, (const uint8_t(*)[32])capped, made.digest));
    *chain = made;
    return OK;
}
