/* What its VM is started from: asked of the monitor at INIT, in PCR 17 from each startup on, as a D-RTM event. The
 * node's own vTPM has the launches of all VMs of the node in PCR 18, whatever its host end does: they are asked for
 * before each command, and nobody but us extends that PCR, for the host end does not get the localities that may. */
#include "vtpm_internal.h"

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_tis.h>
#include <string.h>

#define CC_PCR_EVENT 0x13cu
#define RS_PASSWORD 0x40000009u
#define TAG_SESSIONS 0x8002u
#define LOG_LOCALITY 2 /* of those that PCR 18 takes events from (PC Client Platform TPM Profile §4.6) */
#define GUEST_LOCALITY_MAX 3
#define HOST_LOCALITY_MAX 1

_Static_assert(VTPM_LAUNCH_EVENT == MONITOR_SITE_LEN + IMAGE_LAUNCH_LEN, "event");
_Static_assert(IMAGE_SITE_LEN == MONITOR_SITE_LEN && IMAGE_PARTS == MONITOR_PARTS, "a launch");

uint8_t vtpm_locality_max(const struct vtpm *vtpm)
{
    if (vtpm->machine.hypervisor)
        return HOST_LOCALITY_MAX;
    return vtpm->measured ? GUEST_LOCALITY_MAX : SWTPM_LOCALITY_MAX;
}

bool vtpm_hashing_is_ours(const struct vtpm *vtpm)
{
    return vtpm->machine.hypervisor || vtpm->measured;
}

static enum status take(const struct monitor_launch *told, struct image_launch *launch)
{
    uint8_t room[IMAGE_LAUNCH_LEN];
    struct writer writer = writer_over(room, sizeof room);
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        put_u8(&writer, told->given >> part & 1);
        put_bytes(&writer, BYTES_OF(told->hash[part]));
    }
    TRY(writer_end(&writer));
    return image_launch_decode(writer_bytes(&writer), launch);
}

static bool is_wanted(struct vtpm *vtpm)
{
    const struct image_machine *machine = &vtpm->machine;
    if (!vtpm->measured && machine->launch != IMAGE_LAUNCH_NONE)
        vtpm_audit(vtpm, "refused=init: the machine policy (serial %llu) wants the launch measured, and none was",
                   (unsigned long long)machine->serial);
    else if (machine->launch == IMAGE_LAUNCH_ENFORCE && image_launch_refused(machine, &vtpm->launch))
        vtpm_audit(vtpm, "refused=init: the machine policy (serial %llu) has no such launch, parts=%#x",
                   (unsigned long long)machine->serial, image_launch_refused(machine, &vtpm->launch));
    else
        return true;
    return false;
}

uint32_t vtpm_launch_ask(struct vtpm *vtpm)
{
    struct monitor_launch told;
    vtpm->measured = false;
    enum status status = vtpm->port.launch(vtpm->port.user, &told);
    if (status == OK)
        status = take(&told, &vtpm->launch);
    vtpm->measured = status == OK;
    if (status != OK && status != NOT_FOUND) {
        vtpm_stop(vtpm, 4, "the monitor does not say what was launched: %s", status_word(status));
        return SWTPM_FAIL;
    }
    return is_wanted(vtpm) ? SWTPM_OK : SWTPM_FAIL;
}

/* The event also empties PCRs 18 to 22, which a startup leaves at ones. */
bool vtpm_launch_started(struct vtpm *vtpm)
{
    uint8_t room[IMAGE_LAUNCH_LEN];
    struct writer record = writer_over(room, sizeof room);
    vtpm->logged = 0;
    if (!vtpm_hashing_is_ours(vtpm))
        return true;
    if (vtpm->measured)
        image_put_launch(&record, &vtpm->launch);
    return TPM_IO_Hash_Start() == TPM_SUCCESS &&
           (record.len == 0 || TPM_IO_Hash_Data(room, (uint32_t)record.len) == TPM_SUCCESS) &&
           TPM_IO_Hash_End() == TPM_SUCCESS;
}

/* Part 3 §22.3: the TPM hashes for each of its banks. */
static enum status log_one(struct vtpm *vtpm, const struct monitor_vm *vm)
{
    uint8_t room[4 + 13 + 2 + VTPM_LAUNCH_EVENT];
    struct writer body = writer_over(room, sizeof room);
    struct image_launch launch;
    uint32_t code = 0;
    struct bytes rest;
    TRY(take(&vm->launch, &launch));
    put_u32be(&body, VTPM_LAUNCH_LOG_PCR);
    put_u32be(&body, 9);
    put_u32be(&body, RS_PASSWORD);
    put_u16be(&body, 0);
    put_u8(&body, 0);
    put_u16be(&body, 0);
    put_u16be(&body, VTPM_LAUNCH_EVENT);
    put_bytes(&body, BYTES_OF(vm->site));
    image_put_launch(&body, &launch);
    TRY(writer_end(&body));
    TRY(vtpm_tpm_run(vtpm, LOG_LOCALITY, TAG_SESSIONS, CC_PCR_EVENT, writer_bytes(&body), &code, &rest));
    return code == 0 ? OK : WRONG_STATE; /* it is not started: then there is nothing to hide from */
}

void vtpm_launches_ask(struct vtpm *vtpm)
{
    static struct monitor_vm vms[MONITOR_LAUNCHES_MAX];
    size_t count = MONITOR_LAUNCHES_MAX;
    while (vtpm->machine.hypervisor && vtpm->running && count == MONITOR_LAUNCHES_MAX) {
        enum status status = vtpm->port.launches(vtpm->port.user, vtpm->logged, vms, &count);
        for (size_t i = 0; i < count && status == OK; i++) {
            status = log_one(vtpm, &vms[i]);
            vtpm->logged += status == OK;
        }
        if (status == WRONG_STATE)
            return;
        if (status != OK)
            vtpm_stop(vtpm, 4, "the monitor does not say what was launched: %s", status_word(status));
        if (status != OK)
            return;
    }
}
