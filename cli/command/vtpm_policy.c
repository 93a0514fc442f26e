/* bastide vtpm policy: what the owner lets happen to one VM's vTPM, as he signed it last and as he signs it now. His
 * own copy is what a new one is made of: the node's may be an earlier one. */
#include "command_internal.h"
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_BUFFER (1u << 16)
#define ALLOW_MAX (IMAGE_PARTS * IMAGE_ALLOWED_MAX)

struct change {
    const char *name, *tenant, *launch, *state_max;
    bool snapshots, no_snapshots, hypervisor, no_hypervisor;
    const char *allow_items[ALLOW_MAX], *hash_items[ALLOW_MAX];
    struct cli_list allow, hashes;
};

static bool is_asked_for(const struct change *change)
{
    return change->tenant || change->launch || change->state_max || change->snapshots || change->no_snapshots ||
           change->hypervisor || change->no_hypervisor || change->allow.count || change->hashes.count;
}

/* ---- What it is started from ---- */

static int hash_file(const struct cli *cli, const char *path, uint8_t hash[IMAGE_HASH_LEN])
{
    static uint8_t buffer[HASH_BUFFER];
    struct crypto_hash_state state;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status status = fd >= 0 ? crypto_hash_start(&state, CRYPTO_SHA256) : IO;
    if (status == OK) {
        while ((got = read(fd, buffer, sizeof buffer)) > 0)
            crypto_hash_add(&state, bytes_from(buffer, (size_t)got));
        crypto_hash_finish(&state, hash);
    }
    const int error = errno;
    if (fd >= 0)
        close(fd);
    return got == 0 ? CLI_OK : cli_fail(cli, CLI_NOT_FOUND, "%s cannot be read: %s", path, strerror(error));
}

/* PART=VALUE. The first of a part takes the place of all that it had. */
static int allow(const struct cli *cli, const char *item, bool is_hash, bool seen[IMAGE_PARTS],
                 struct image_machine *machine)
{
    const char *value = strchr(item, '=');
    size_t part = 0;
    while (part < IMAGE_PARTS && value &&
           (strlen(image_part_words[part]) != (size_t)(value - item) ||
            strncmp(image_part_words[part], item, (size_t)(value - item)) != 0))
        part++;
    if (!value || part == IMAGE_PARTS)
        return cli_usage(cli, "vtpm", "\"%.60s\": give firmware=, kernel=, initrd=, cmdline= or disk=", item);
    value++;
    machine->allowed_count[part] = seen[part] ? machine->allowed_count[part] : 0;
    seen[part] = true;
    if (machine->allowed_count[part] == IMAGE_ALLOWED_MAX)
        return cli_usage(cli, "vtpm", "more than %d of %s", IMAGE_ALLOWED_MAX, image_part_words[part]);
    uint8_t *hash = machine->allowed[part][machine->allowed_count[part]++];
    if (is_hash) {
        struct writer writer = writer_over(hash, IMAGE_HASH_LEN);
        return hex_decode(value, &writer) == OK && writer.len == IMAGE_HASH_LEN
                   ? CLI_OK
                   : cli_usage(cli, "vtpm", "\"%.80s\": a SHA-256 is 64 hexadecimal digits", item);
    }
    if (part != IMAGE_CMDLINE)
        return hash_file(cli, value, hash);
    const struct bytes text = bytes_from_text(value);
    return crypto_hash(CRYPTO_SHA256, &text, 1, hash) == OK ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "no SHA-256");
}

static int apply(const struct cli *cli, const struct change *change, struct image_machine *machine)
{
    bool seen[IMAGE_PARTS] = {false};
    size_t launch = 0;
    int result = CLI_OK;
    if (change->launch) {
        while (launch < IMAGE_LAUNCH_POLICIES && strcmp(image_launch_words[launch], change->launch) != 0)
            launch++;
        if (launch == IMAGE_LAUNCH_POLICIES)
            return cli_usage(cli, "vtpm", "--launch is none, hash or hash-and-enforce");
        machine->launch = (enum image_launch_policy)launch;
    }
    for (size_t i = 0; i < change->allow.count && result == CLI_OK; i++)
        result = allow(cli, change->allow.items[i], false, seen, machine);
    for (size_t i = 0; i < change->hashes.count && result == CLI_OK; i++)
        result = allow(cli, change->hashes.items[i], true, seen, machine);
    if (change->tenant)
        snprintf(machine->tenant, sizeof machine->tenant, "%s", change->tenant);
    machine->snapshots = change->snapshots || (machine->snapshots && !change->no_snapshots);
    machine->hypervisor = change->hypervisor || (machine->hypervisor && !change->no_hypervisor);
    uint64_t state_max = machine->state_max;
    if (result == CLI_OK)
        result = cli_number(cli, "vtpm", "state-max", change->state_max, IMAGE_STATE_MIN, IMAGE_STATE_MAX, &state_max);
    machine->state_max = (uint32_t)state_max;
    if (machine->launch == IMAGE_LAUNCH_NONE)
        memset(machine->allowed_count, 0, sizeof machine->allowed_count);
    size_t allowed = 0;
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        allowed += machine->allowed_count[part];
    if (result == CLI_OK && machine->launch == IMAGE_LAUNCH_ENFORCE && allowed == 0)
        return cli_usage(cli, "vtpm", "hash-and-enforce needs what is allowed: --allow kernel=FILE, and so on");
    if (result == CLI_OK && machine->launch == IMAGE_LAUNCH_NONE && change->allow.count + change->hashes.count)
        return cli_usage(cli, "vtpm", "--allow belongs to --launch hash or hash-and-enforce");
    return result;
}

/* ---- For people and programs ---- */

static void show(const struct cli *cli, const char *name, const struct image_machine *machine)
{
    json_t *allowed = json_object();
    char hash[2 * IMAGE_HASH_LEN + 1];
    const bool lent = instance_policy_is_lent(cli, name);
    cli_line(cli, "policy", "serial %llu of vTPM %s%s", (unsigned long long)machine->serial, name,
             lent ? ", from its next start on" : "; the node has another: say it again");
    cli_line(cli, "tenant", "%s", *machine->tenant ? machine->tenant : "none");
    cli_line(cli, "snapshots", "%s", machine->snapshots ? "allowed: its state may be taken back" : "refused");
    if (machine->hypervisor)
        cli_line(cli, "hypervisor", "yes: the node's launches are told to it");
    cli_line(cli, "limit", "%u bytes of state", instance_policy_state_max(machine));
    cli_line(cli, "launch", "%s", image_launch_words[machine->launch]);
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        json_t *hashes = json_array();
        for (size_t i = 0; i < machine->allowed_count[part]; i++) {
            if (hex_encode(BYTES_OF(machine->allowed[part][i]), hash, sizeof hash) != OK)
                continue;
            cli_line(cli, image_part_words[part], "%s", hash);
            json_array_append_new(hashes, json_string(hash));
        }
        json_object_set_new(allowed, image_part_words[part], hashes);
    }
    if (cli->json)
        cli_print_json(json_pack("{s:s,s:I,s:s,s:b,s:b,s:I,s:s,s:O,s:b}", "name", name, "serial",
                                 (json_int_t)machine->serial, "tenant", machine->tenant, "snapshots",
                                 machine->snapshots, "hypervisor", machine->hypervisor, "state_max",
                                 (json_int_t)instance_policy_state_max(machine), "launch",
                                 image_launch_words[machine->launch], "allowed", allowed, "installed", lent));
    json_decref(allowed);
}

static int serve(const struct cli *cli, const struct change *change, struct owner *owner)
{
    struct instance instance;
    struct image_machine machine = {.serial = 0};
    int result = instance_look(cli, change->name, false, &instance);
    if (result == CLI_OK && (!instance.has_place || instance.is_foreign))
        result = cli_fail(cli, CLI_DENIED, "vTPM %s is not whole, or another owner's: bastide vtpm show %s",
                          change->name, change->name);
    if (result == CLI_OK)
        result = owner_open(cli, false, owner);
    if (result)
        return result;
    enum status status = instance_policy_load(cli, &owner->configuration.owner, &instance, &machine);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "owner/vtpm/%s/policy is not this owner's policy for it: %s", change->name,
                        status_word(status));
    if (!is_asked_for(change)) {
        if (status == NOT_FOUND)
            return cli_fail(cli, CLI_NOT_FOUND,
                            "vTPM %s has no machine policy: no snapshots, and any launch (host-asserted)",
                            change->name);
        show(cli, change->name, &machine);
        return CLI_OK;
    }
    result = apply(cli, change, &machine);
    if (result == CLI_OK)
        result = owner_unlock(cli, owner);
    if (result == CLI_OK)
        result = instance_policy_sign(cli, owner, &instance, &machine);
    if (result == CLI_OK)
        show(cli, change->name, &machine);
    return result;
}

int command_vtpm_policy(const struct cli *cli, int argc, char **argv)
{
    static struct change change;
    struct owner owner = {0};
    change = (struct change){.allow = {change.allow_items, ALLOW_MAX, 0}, .hashes = {change.hash_items, ALLOW_MAX, 0}};
    const struct cli_option options[] = {
        {"tenant", &change.tenant, NULL, NULL},         {"launch", &change.launch, NULL, NULL},
        {"snapshots", NULL, &change.snapshots, NULL},   {"no-snapshots", NULL, &change.no_snapshots, NULL},
        {"hypervisor", NULL, &change.hypervisor, NULL}, {"no-hypervisor", NULL, &change.no_hypervisor, NULL},
        {"allow", NULL, NULL, &change.allow},           {"allow-sha256", NULL, NULL, &change.hashes},
        {"state-max", &change.state_max, NULL, NULL}};
    int result = cli_options(cli, "vtpm", options, sizeof options / sizeof *options, &argc, argv);
    if (result)
        return result;
    if (argc != 2)
        return cli_usage(cli, "vtpm", "policy takes one NAME");
    change.name = argv[1];
    if (change.tenant && !instance_tenant_is_good(change.tenant))
        return cli_usage(cli, "vtpm", "--tenant: 1 to %d bytes of text", INSTANCE_TENANT_MAX);
    if ((change.snapshots && change.no_snapshots) || (change.hypervisor && change.no_hypervisor))
        return cli_usage(cli, "vtpm", "an option and its --no- contradict each other");
    result = serve(cli, &change, &owner);
    owner_done(&owner);
    return result;
}
