/* What an enclave was launched with, taken from its descriptors: only sealed memfds are believed to stay as they are.
 * The monitor measured them; the host daemon cannot write to any. */
#include "runtime_internal.h"

#include "crypto.h"
#include "memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define TOUCHED_LEN 4096 /* of the room for a message, which few fill: now rather than when somebody waits */

static const struct compartment_memory guest_memory = {
    .reserve = memory_reserve, .back = memory_back, .release = memory_release, .touched = memory_touched};

static bool sealed_len(int fd, size_t *len)
{
    struct stat facts;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &facts) != 0)
        return false;
    *len = (size_t)facts.st_size;
    return true;
}

enum status launch_read_parameters(struct launch_parameters *parameters)
{
    size_t len = 0;
    struct launch_parameters got;
    if (!sealed_len(LAUNCH_FD_PARAMETERS, &len) ||
        pread(LAUNCH_FD_PARAMETERS, &got, sizeof got, 0) != (ssize_t)sizeof got)
        return MALFORMED;
    if (got.version != LAUNCH_VERSION)
        return UNSUPPORTED;
    if (got.module_count > RUNTIME_MODULES_MAX || got.secret_len > got.pool_len || got.no_secret_memory > 1 ||
        len != sizeof got)
        return MALFORMED;
    *parameters = got;
    return OK;
}

static enum status read_copy(int fd, size_t len, struct bytes *copy)
{
    uint8_t *room = len ? malloc(len) : NULL;
    if (len && !room)
        return NO_ROOM;
    if (len && pread(fd, room, len, 0) != (ssize_t)len)
        return IO;
    *copy = bytes_from(room, len);
    return OK;
}

static enum status open_door(struct writer *why)
{
    struct stat facts;
    void *map = MAP_FAILED;
    int seals = fcntl(LAUNCH_FD_DOOR, F_GET_SEALS);
    /* Cut short by the host it would kill us; that would be all, but it need not be. */
    if (seals >= 0 && seals & F_SEAL_SHRINK && fstat(LAUNCH_FD_DOOR, &facts) == 0 &&
        facts.st_size >= (off_t)sizeof(struct door_window))
        map = mmap(NULL, sizeof(struct door_window), PROT_READ | PROT_WRITE, MAP_SHARED, LAUNCH_FD_DOOR, 0);
    if (map == MAP_FAILED) {
        put_text(why, "the door's window is not of the kind it should be");
        return MALFORMED;
    }
    runtime.door = (struct door){.window = map};
    if (__atomic_load_n(&runtime.door.window->version, __ATOMIC_ACQUIRE) != DOOR_VERSION) {
        put_text(why, "the door is of another version");
        return UNSUPPORTED;
    }
    return OK;
}

static enum status load_module(size_t index, struct writer *why)
{
    const int module = LAUNCH_FD_MODULES + 2 * (int)index, policy = module + 1;
    const struct runtime_program *program = runtime.program;
    struct bytes text;
    size_t len = 0;
    if (!sealed_len(policy, &len) || len > COMPARTMENT_POLICY_MAX) {
        put_text(why, "a module's policy is missing, not sealed or too long");
        return MALFORMED;
    }
    TRY(read_copy(policy, len, &text));
    return compartment_load(module, text, program->functions, program->functions_count, &guest_memory,
                            &runtime.launch.modules[index], why);
}

static enum status warm_up(struct writer *why)
{
    uint8_t some[32];
    if (crypto_init() != OK || crypto_random(some, sizeof some) != OK) {
        put_text(why, "the crypto library does not start");
        return INTERNAL;
    }
    if (compartment_init(&guest_memory) != OK) {
        put_text(why, "signal handlers or a timer cannot be had");
        return IO;
    }
    return OK;
}

enum status launch_set_up(struct writer *why)
{
    const struct launch_parameters *parameters = &runtime.parameters;
    runtime.launch.body_max = parameters->body_max;
    runtime.payload = malloc(DOOR_MESSAGE_MAX);
    runtime.packet = malloc(MONITOR_MESSAGE_MAX);
    if (!runtime.payload || !runtime.packet)
        return NO_ROOM;
    wipe(runtime.payload, TOUCHED_LEN);
    TRY(open_door(why));
    TRY(warm_up(why));
    runtime.launch.memory = &guest_memory;
    for (size_t i = 0; i < parameters->module_count; i++) {
        TRY(load_module(i, why));
        runtime.launch.modules_count = i + 1;
    }
    return runtime.program->set_up(&runtime.launch, why);
}
