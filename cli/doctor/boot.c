/* TPM, what vouches for it, and what this boot measured. */
#include "doctor_internal.h"

#include "walls.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TPM_DEVICE "/dev/tpmrm0"
#define TPM_MS 5000
#define CERTIFICATE_INDEX 0x01c0000au
#define READ_PUBLIC 0x00000169u
#define NO_SUCH_HANDLE 0x18bu

/* TPM2_NV_ReadPublic of the certificate's index: needs no authorisation and changes nothing. Negative: no answer. */
static long ask_for_certificate(void)
{
    uint8_t command[14], response[256];
    struct writer writer = writer_over(command, sizeof command);
    put_u16be(&writer, 0x8001);
    put_u32be(&writer, sizeof command);
    put_u32be(&writer, READ_PUBLIC);
    put_u32be(&writer, CERTIFICATE_INDEX);
    int fd = open(TPM_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    struct pollfd answer = {fd, POLLIN, 0};
    ssize_t got = -1;
    if (write(fd, command, writer.len) == (ssize_t)writer.len && poll(&answer, 1, TPM_MS) == 1)
        got = read(fd, response, sizeof response);
    close(fd);
    struct reader reader = reader_over(bytes_from(response, got > 0 ? (size_t)got : 0));
    (void)take_u16be(&reader);
    (void)take_u32be(&reader);
    uint32_t code = take_u32be(&reader);
    return reader.status == OK ? (long)code : -1;
}

static void look_at_tpm(struct doctor *doctor)
{
    char text[DOCTOR_TEXT_MAX];
    bool live = doctor->root[0] == 0;
    bool there = doctor_has(doctor, TPM_DEVICE),
         two = doctor_read(doctor, "/sys/class/tpm/tpm0/tpm_version_major", text) > 0 && strcmp(text, "2") == 0;
    doctor_say(
        doctor, "tpm", there && two ? DOCTOR_GOOD : DOCTOR_MISSING,
        "it seals the node's keys to the boot chain, signs evidence and counts: without one there is no production",
        "turn the TPM 2.0 on in the firmware (also called PTT, fTPM or security device)", "%s",
        there && two ? "a TPM 2.0 at " TPM_DEVICE
        : there      ? "a TPM that is none of version 2.0"
                     : "no " TPM_DEVICE);
    if (!there || !live)
        return;
    long code = ask_for_certificate();
    doctor_say(doctor, "ek-certificate",
               code == 0                ? DOCTOR_GOOD
               : code == NO_SUCH_HANDLE ? DOCTOR_MISSING
                                        : DOCTOR_UNKNOWN,
               "the maker's word that this is a TPM of his; without one the owner pins the endorsement key by hand",
               code < 0
                   ? "run as root, or as a user of the group tss"
                   : "some makers give it on their web pages; otherwise bastide boot sign, or init --ek-name, pins the "
                     "key while the machine is in your hands",
               "%s",
               code == 0                ? "the maker left one for the P-256 endorsement key"
               : code == NO_SUCH_HANDLE ? "the maker left none for the P-256 endorsement key"
               : errno == EACCES        ? "the TPM may not be asked: no right"
                                        : "the TPM gives no answer");
}

static void look_at_measured_boot(struct doctor *doctor)
{
    char program[DOCTOR_TEXT_MAX], four[DOCTOR_TEXT_MAX], eleven[DOCTOR_TEXT_MAX];
    bool measured = walls_program_measured(doctor->root, doctor->program);
    bool log = doctor_has(doctor, "/sys/kernel/security/tpm0/binary_bios_measurements");
    (void)snprintf(program, sizeof program, "%s",
                   measured ? "came with the measured image" : "is a file like any other");
    bool pcrs = doctor_read(doctor, "/sys/class/tpm/tpm0/pcr-sha256/4", four) > 0 &&
                doctor_read(doctor, "/sys/class/tpm/tpm0/pcr-sha256/11", eleven) > 0;
    doctor_say(doctor, "measured-boot", measured ? DOCTOR_GOOD : DOCTOR_MISSING,
               "who may exchange the monitor can forge evidence and take the node's keys, unless the boot chain tells",
               "make an image with bastide-node-image and boot it: docs/node.md, step by step",
               pcrs ? "the key holder %s; %s; PCR 4 %.16s…, PCR 11 %.16s…" : "the key holder %s; %s", program,
               log ? "the firmware measured" : "the firmware measured nothing, or its log cannot be read", four,
               eleven);
}

static void look_at_ima(struct doctor *doctor)
{
    char text[DOCTOR_TEXT_MAX];
    bool there = doctor_read(doctor, "/sys/kernel/security/ima/runtime_measurements_count", text) > 0;
    long count = there ? strtol(text, NULL, 10) : -1;
    bool measured_image = walls_program_measured(doctor->root, doctor->program);
    /* One entry is the boot aggregate, which IMA makes without any policy. */
    doctor_say(doctor, "ima",
               count > 1 || measured_image ? DOCTOR_GOOD
               : there                     ? DOCTOR_MISSING
                                           : DOCTOR_UNKNOWN,
               "on a machine that starts programs from its disk, a list of every one it ever ran",
               "copy integrations/boot/ima-policy to /etc/ima/ima-policy and boot again",
               measured_image ? "not needed: all that runs came with the measured image"
               : there        ? "%ld measurements in this boot"
                              : "not in this kernel, or securityfs cannot be read",
               count);
}

void doctor_look_at_boot(struct doctor *doctor)
{
    look_at_tpm(doctor);
    look_at_measured_boot(doctor);
    look_at_ima(doctor);
}
