/* Evidence held to the pins, and walls in words. */
#include "owner.h"

#include <string.h>

static const struct owner_wall walls[] = {
    {EAT_WALL_SECRET_MEMORY, "secret-memory", "all writable memory of the enclave is secret memory",
     "a root that reads memory sees data; raise the memory lock limit, or boot with secretmem.enable=1"},
    {EAT_WALL_NO_NEW_CODE, "no-new-code", "nothing becomes executable after the start",
     "injected data could become code; needs Linux 6.3 or newer"},
    {EAT_WALL_SYSCALL_FILTER, "syscall-filter", "the enclave may make a handful of system calls",
     "needs a kernel with seccomp filters"},
    {EAT_WALL_NAMESPACES, "namespaces", "the enclave sees no files, network or processes",
     "run as root, or allow user namespaces"},
    {EAT_WALL_OTHER_USER, "other-user", "the enclave runs as a user nobody else runs as",
     "programs of the same user are its neighbours; run as root"},
    {EAT_WALL_NON_DUMPABLE, "non-dumpable", "no core dump, no debugger of its own user",
     "its own user can look into it"},
    {EAT_WALL_MONITOR_SECRET, "monitor-secret", "the monitor's memory is secret memory too",
     "a root that reads memory sees the node's keys; as secret-memory"},
    {EAT_SWITCH_NO_PTRACE, "no-ptrace", "nothing on this machine can be debugged",
     "root can attach a debugger; sysctl kernel.yama.ptrace_scope=3"},
    {EAT_SWITCH_LOCKDOWN, "lockdown", "root cannot read kernel memory",
     "root can read kernel memory; boot with lockdown=confidentiality"},
    {EAT_SWITCH_SECURE_BOOT, "secure-boot", "only signed kernels start",
     "any kernel starts; turn secure boot on in the firmware"},
    {EAT_SWITCH_SIGNED_MODULES, "signed-modules", "only signed kernel modules load",
     "root can load code into the kernel; boot with module.sig_enforce=1"},
};

const struct owner_wall *owner_walls(size_t *count)
{
    *count = sizeof walls / sizeof walls[0];
    return walls;
}

enum status owner_walls_parse(const char *list, uint32_t *mask, char *unknown, size_t cap)
{
    uint32_t found = 0;
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ","), i = 0, count = sizeof walls / sizeof walls[0];
        while (i < count && (strlen(walls[i].name) != len || strncmp(walls[i].name, at, len) != 0))
            i++;
        if (i == count) {
            snprintf(unknown, cap, "%.*s", (int)len, at);
            return NOT_FOUND;
        }
        found |= walls[i].bit;
        at += len + (at[len] == ',');
    }
    *mask = found;
    return OK;
}

static int refuse(const struct cli *cli, const struct evidence_policy *policy, const struct evidence_result *result)
{
    char text[3072], sentence[400], name[2 * TPM2_NAME_LEN + 1];
    struct writer writer = writer_over(text, sizeof text - 1);
    for (int reason = 0; reason < EVIDENCE_REASON_COUNT; reason++) {
        if (!(result->reasons >> reason & 1))
            continue;
        evidence_sentence((enum evidence_reason)reason, policy, result, sentence, sizeof sentence);
        put_text(&writer, writer.len == 0 ? "" : cli->json ? "; " : "\n  ");
        put_text(&writer, sentence);
    }
    text[writer.len] = 0;
    cli_fail(cli, CLI_EVIDENCE, "the node's evidence was refused: %s%s", cli->json ? "" : "\n  ", text);
    if (result->reasons >> EVIDENCE_OTHER_TPM & 1 &&
        hex_encode(bytes_from(result->ek_name, sizeof result->ek_name), name, sizeof name) == OK)
        cli_warn(cli,
                 "the endorsement key that answered has the name %s: if it is this node's (ask its maker or its "
                 "administrator, not the node), give --ek-name, after removing owner/pins.json if there is one",
                 name);
    if (result->reasons >> EVIDENCE_MEASUREMENT & 1)
        cli_warn(cli, "after an upgrade of the image: bastide init --renew takes the new measurement from its files");
    return CLI_EVIDENCE;
}

struct references {
    uint8_t measurements[1][EAT_HASH_LEN];
    struct evidence_policy policy;
};

static void take_references(struct references *references, const struct owner *owner, const struct owner_pins *pins,
                            struct bytes nonce)
{
    memcpy(references->measurements[0], pins->measurement, EAT_HASH_LEN);
    bool development = owner->configuration.insecure_dev;
    references->policy = (struct evidence_policy){
        .ek_name = pins->has_ek ? BYTES_OF(pins->ek_name) : (struct bytes){0},
        .ak_name = pins->has_ak ? BYTES_OF(pins->ak_name) : (struct bytes){0},
        .measurements = (const uint8_t(*)[EAT_HASH_LEN])references->measurements,
        .measurement_count = 1,
        .boot_digests = (const uint8_t(*)[EAT_HASH_LEN])pins->boot_digests,
        .boot_digest_count = pins->boot_digest_count,
        .config = BYTES_OF(owner->configuration.config_id),
        .nonce = nonce,
        .required_walls = pins->required_walls,
        .seen = pins->seen,
        .allow_insecure_dev = development,
        .allow_unmeasured_monitor = development || pins->allow_unmeasured_monitor,
        .allow_unproved_ak = !pins->has_ak,
    };
}

static int judge(const struct cli *cli, struct owner_pins *pins, const struct references *references,
                 enum status status, const struct evidence_result *result)
{
    if (status == DENIED)
        return refuse(cli, &references->policy, result);
    if (status != OK)
        return cli_fail(cli, CLI_INTERNAL, "the evidence could not be appraised: %s", status_word(status));
    pins->seen = result->freshness;
    return CLI_OK;
}

int owner_appraise(const struct cli *cli, const struct owner *owner, struct owner_pins *pins, struct bytes evidence,
                   struct bytes nonce, struct evidence_result *result)
{
    struct references references;
    take_references(&references, owner, pins, nonce);
    return judge(cli, pins, &references, evidence_appraise(evidence, &references.policy, result), result);
}

int owner_appraise_session(const struct cli *cli, const struct owner *owner, struct owner_pins *pins,
                           const struct client_hub *hub, struct evidence_result *result)
{
    struct references references;
    const struct evidence_session session = {hub->evidence, hub->binder, hub->credential};
    take_references(&references, owner, pins, hub->nonce);
    return judge(cli, pins, &references, evidence_appraise_session(&session, &references.policy, result), result);
}
