/* A vTPM's machine policy, of which there are two copies: the owner's, which the next one is made of, and the one that
 * he gave the node, which may be an earlier one by now. */
#include "instance.h"

#include <stdlib.h>
#include <string.h>

static enum status read_policy(const struct cli *cli, const char *directory, const char *name, uint8_t **data,
                               size_t *len)
{
    char path[PATH_MAX];
    const char *file = strcmp(directory, "owner/vtpm") == 0 ? "policy" : "workload";
    return cli_read_file(instance_path(cli, directory, name, file, path), IMAGE_WORKLOAD_MAX, data, len);
}

static enum status open_policy(const struct cli *cli, const char *directory, const struct crypto_public *owner,
                               const struct instance *instance, struct image_machine *machine)
{
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status = read_policy(cli, directory, instance->name, &data, &len);
    if (status == OK)
        status = len ? image_machine_open(bytes_from(data, len), owner, instance->id, machine) : NOT_FOUND;
    free(data);
    return status;
}

enum status instance_policy_load(const struct cli *cli, const struct crypto_public *owner,
                                 const struct instance *instance, struct image_machine *machine)
{
    struct image_machine lent;
    enum status status = open_policy(cli, "owner/vtpm", owner, instance, machine);
    if (status != OK && status != NOT_FOUND)
        return status;
    if (open_policy(cli, "node/instances", owner, instance, &lent) == OK &&
        (status == NOT_FOUND || lent.serial > machine->serial)) {
        *machine = lent;
        return OK;
    }
    return status;
}

int instance_policy_sign(const struct cli *cli, const struct owner *owner, const struct instance *instance,
                         struct image_machine *machine)
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    char kept[PATH_MAX], lent[PATH_MAX];
    struct writer writer = writer_over(room, sizeof room);
    if (!machine->tenant[0])
        snprintf(machine->tenant, sizeof machine->tenant, "%s", instance->record.tenant);
    memcpy(machine->site, instance->id, sizeof machine->site);
    machine->serial++;
    enum status status = image_machine_sign(&writer, &owner->key, machine);
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "the policy cannot be signed: %s", owner_signing_problem(owner, status));
    int result = instance_make_record_place(cli, instance->name);
    if (result)
        return result;
    instance_path(cli, "owner/vtpm", instance->name, "policy", kept);
    instance_path(cli, "node/instances", instance->name, "workload", lent);
    /* The owner's first: a serial that was given to a node is never given again. */
    if (cli_write_file(kept, writer_bytes(&writer)) != OK)
        return cli_fail(cli, CLI_DENIED, "%s cannot be written", kept);
    return cli_write_file(lent, writer_bytes(&writer)) == OK
               ? CLI_OK
               : cli_fail(cli, CLI_DENIED, "%s cannot be written: say it again", lent);
}

bool instance_policy_is_lent(const struct cli *cli, const char *name)
{
    uint8_t *kept = NULL, *lent = NULL;
    size_t kept_len = 0, lent_len = 0;
    bool same = read_policy(cli, "owner/vtpm", name, &kept, &kept_len) == OK &&
                read_policy(cli, "node/instances", name, &lent, &lent_len) == OK && kept_len == lent_len &&
                memcmp(kept, lent, kept_len) == 0;
    free(kept);
    free(lent);
    return same;
}

uint32_t instance_policy_state_max(const struct image_machine *machine)
{
    return machine->state_max ? machine->state_max : IMAGE_STATE_MAX;
}
