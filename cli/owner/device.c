/* A client that enrolled with a code on this machine: its state is a file like a secret agreed on beforehand. */
#include "owner.h"

#include <stdlib.h>
#include <string.h>

static int64_t now_s(void *user)
{
    (void)user;
    return (int64_t)(cli_unix_ms() / 1000);
}

static enum status keep(void *user, struct bytes state)
{
    const struct owner_device *device = user;
    return cli_write_file(device->path, state);
}

static struct owner_device *make(const struct cli *cli, const char *name)
{
    struct owner_device *made = calloc(1, sizeof *made);
    if (made)
        owner_client_file(cli, name, made->path);
    return made;
}

enum status owner_device_decode(const struct cli *cli, const char *name, struct bytes state,
                                struct owner_device **device)
{
    struct owner_device *made = make(cli, name);
    if (!made)
        return NO_ROOM;
    const struct device_host host = {now_s, keep, made};
    enum status status = device_decode(state, &made->device, &host);
    if (status == OK)
        *device = made;
    else
        free(made);
    return status;
}

enum status owner_device_begin(const struct cli *cli, const struct enrol_code *code, struct owner_device **device)
{
    struct owner_device *made = make(cli, code->name);
    if (!made)
        return NO_ROOM;
    const struct device_host host = {now_s, keep, made};
    enum status status = device_begin(&made->device, code, &host);
    if (status == OK)
        status = device_keep(&made->device);
    if (status == OK)
        *device = made;
    else
        owner_device_free(made);
    return status;
}

void owner_device_free(struct owner_device *device)
{
    if (device)
        device_done(&device->device);
    free(device);
}
