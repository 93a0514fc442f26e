/* The end of a vTPM: the monitor forgets it, then what is left of it goes. */
#include "instance.h"

#include "control.h"

#include <unistd.h>

#define CONTROL_MS 20000
#define TRIES 3 /* of a word that names the counter, which may move meanwhile */

static int sign(const struct cli *cli, const struct owner *owner, const uint8_t id[IMAGE_SITE_LEN], uint64_t counter,
                struct writer *token)
{
    enum status status = image_token_sign(token, &owner->key, IMAGE_FORGET, id, counter);
    return status == OK ? CLI_OK
                        : cli_fail(cli, CLI_DENIED, "the owner's word could not be signed: %s",
                                   owner_signing_problem(owner, status));
}

/* A head that is not there was never made, or was forgotten the last time this was said. */
static int forget(const struct cli *cli, const struct owner *owner, const struct instance *instance)
{
    char path[PATH_MAX], why[CONTROL_TEXT_MAX] = "";
    enum status status = DENIED;
    cli_path(cli, "run/monitor.sock", path);
    for (int i = 0; i < TRIES && status == DENIED; i++) {
        uint8_t room[IMAGE_TOKEN_MAX];
        struct writer token = writer_over(room, sizeof room);
        struct control_status control;
        int result = instance_check_node(cli);
        if (result)
            return result;
        if (control_status(path, CONTROL_MS, &control) != OK)
            continue;
        result = sign(cli, owner, instance->id, control.status.nv_counter, &token);
        if (result)
            return result;
        status = control_forget(path, CONTROL_MS, instance->id, writer_bytes(&token), why);
    }
    if (status == OK || (status == NOT_FOUND && *why))
        return CLI_OK;
    return cli_fail(cli, status == IO || status == NOT_FOUND ? CLI_UNREACHABLE : CLI_DENIED,
                    "the monitor does not forget vTPM %s: %s. Nothing of it was removed", instance->name,
                    *why ? why : status_word(status));
}

static int remove_all(const struct cli *cli, const char *name)
{
    int result = instance_remove(cli, "node/instances", name);
    if (result == CLI_OK)
        result = instance_remove(cli, "owner/vtpm", name);
    return result == CLI_OK ? instance_remove(cli, "run/vtpm", name) : result;
}

int instance_delete(const struct cli *cli, const struct owner *owner, const struct instance *instance)
{
    bool was, has_id = instance->has_record || instance->has_place;
    int lock = -1, result = instance_lock(cli, instance->name, &lock);
    if (result)
        return result;
    result = instance_stop(cli, instance->name, &was);
    if (result == CLI_OK && has_id)
        result = forget(cli, owner, instance);
    if (result == CLI_OK)
        result = remove_all(cli, instance->name);
    close(lock);
    return result;
}
