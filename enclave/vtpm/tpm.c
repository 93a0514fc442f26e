/* libtpms: switched on and off, given commands one at a time, its states kept by its callbacks. */
#include "vtpm_internal.h"

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_nvfilename.h>
#include <stdlib.h>
#include <string.h>

#define RC_FAILURE 0x101u
#define RC_COMMAND_SIZE 0x142u
#define RC_NV_SPACE 0x14bu
#define RC_LOCALITY 0x907u
#define CC_EVICT_CONTROL 0x120u
#define CC_HIERARCHY_CHANGE_AUTH 0x129u
#define CC_NV_DEFINE_SPACE 0x12au
#define CC_PCR_SET_AUTH_POLICY 0x12cu
#define CC_SET_PRIMARY_POLICY 0x12eu
#define CC_NV_CHANGE_AUTH 0x13bu
#define CC_STARTUP 0x144u
#define OWN_COMMAND_MAX 512u
#define START_LEN (64u << 10)  /* of heap that a start uses, */
#define BEFORE_LEN (48u << 10) /* of which it has this when libtpms takes 277 KB to give a state in, */
#define BEHIND_LEN (24u << 10) /* and more behind those, while the state is kept */
#define PERSISTENT 0x81u       /* upper byte of a persistent object's handle */

/* libtpms' callbacks have no argument of ours. NULL while it is rehearsed: there is no state, and none is kept. */
static struct vtpm *served;

static void *touched(size_t len)
{
    void *block = malloc(len);
    if (block)
        wipe(block, len);
    return block;
}

/* ---- What libtpms asks ---- */

static TPM_RESULT init_nothing(void)
{
    return TPM_SUCCESS;
}

static bool kind_of(const char *name, enum vtpm_kind *kind)
{
    static const char *const names[VTPM_KINDS] = {TPM_PERMANENT_ALL_NAME, TPM_VOLATILESTATE_NAME, TPM_SAVESTATE_NAME};
    for (int i = 0; i < VTPM_KINDS; i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (enum vtpm_kind)i;
            return true;
        }
    return false;
}

static TPM_RESULT load(unsigned char **data, uint32_t *len, uint32_t number, const char *name)
{
    enum vtpm_kind kind;
    (void)number;
    if (!kind_of(name, &kind))
        return TPM_FAIL;
    if (!served)
        return TPM_RETRY;
    const struct vtpm_state *state = &served->states[kind];
    if (!state->exists)
        return TPM_RETRY;
    *data = malloc(state->len);
    if (!*data)
        return TPM_SIZE;
    memcpy(*data, state->data, state->len);
    *len = (uint32_t)state->len;
    return TPM_SUCCESS;
}

static TPM_RESULT keep(const unsigned char *data, uint32_t len, uint32_t number, const char *name)
{
    enum vtpm_kind kind;
    (void)number;
    if (!served) {
        free(touched(BEHIND_LEN));
        return TPM_SUCCESS;
    }
    return kind_of(name, &kind) && vtpm_state_put(served, kind, bytes_from(data, len)) == OK ? TPM_SUCCESS : TPM_FAIL;
}

static TPM_RESULT drop(uint32_t number, const char *name, TPM_BOOL must_exist)
{
    enum vtpm_kind kind;
    (void)number;
    if (!kind_of(name, &kind))
        return TPM_FAIL;
    if (!served)
        return TPM_SUCCESS;
    enum status status = vtpm_state_drop(served, kind);
    return status == OK || (status == NOT_FOUND && !must_exist) ? TPM_SUCCESS : TPM_FAIL;
}

static TPM_RESULT get_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t number)
{
    (void)number;
    *locality = served ? served->locality : 0;
    return TPM_SUCCESS;
}

static TPM_RESULT get_presence(TPM_BOOL *present, uint32_t number)
{
    (void)number;
    *present = FALSE;
    return TPM_SUCCESS;
}

/* ---- On and off ---- */

static bool succeeded(struct bytes response)
{
    struct reader reader = reader_over(response);
    (void)take_u16be(&reader);
    (void)take_u32be(&reader);
    return take_u32be(&reader) == 0 && reader.status == OK;
}

/* In place of libtpms' own table of TPM 1.2, which is never chosen and is more code than TPM 2.0: so none of it is in
 * the program. Whoever called it would end the process. */
extern const void *const TPM12Interface[32];
const void *const TPM12Interface[32];

enum status vtpm_tpm_choose(struct vtpm *vtpm, uint32_t buffer_max)
{
    static struct libtpms_callbacks calls = {.sizeOfStruct = sizeof calls,
                                             .tpm_nvram_init = init_nothing,
                                             .tpm_nvram_loaddata = load,
                                             .tpm_nvram_storedata = keep,
                                             .tpm_nvram_deletename = drop,
                                             .tpm_io_init = init_nothing,
                                             .tpm_io_getlocality = get_locality,
                                             .tpm_io_getphysicalpresence = get_presence};
    uint32_t min = 0, max = 0;
    served = vtpm;
    vtpm_libc_serve(vtpm);
    if (TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2) != TPM_SUCCESS || TPMLIB_RegisterCallbacks(&calls) != TPM_SUCCESS)
        return INTERNAL;
    (void)TPMLIB_SetBufferSize(0, &min, &max);
    if (buffer_max && (buffer_max < min || buffer_max > max))
        return NO_ROOM;
    vtpm->buffer_max = buffer_max ? buffer_max : max;
    (void)TPMLIB_SetBufferSize(vtpm->buffer_max, NULL, NULL);
    return OK;
}

bool vtpm_rehearse(struct vtpm *vtpm)
{
    static uint8_t startup[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0};
    struct bytes response = {0};
    free(touched(START_LEN));
    void *before = touched(BEFORE_LEN);
    served = NULL;
    if (TPMLIB_MainInit() == TPM_SUCCESS && TPMLIB_Process(&vtpm->response, &vtpm->response_len, &vtpm->response_cap,
                                                           startup, sizeof startup) == TPM_SUCCESS)
        response = bytes_from(vtpm->response, vtpm->response_len);
    TPMLIB_Terminate();
    served = vtpm;
    free(before);
    return succeeded(response);
}

/* A volatile state is good once: with it consumed, and that durable before anybody is answered, no PCR ever goes back
 * to what it was when it was stored. */
uint32_t vtpm_tpm_on(struct vtpm *vtpm)
{
    vtpm_tpm_off(vtpm);
    TPM_RESULT result = TPMLIB_MainInit();
    if (result == TPM_SUCCESS && vtpm->states[VTPM_VOLATILE].exists && vtpm_state_drop(vtpm, VTPM_VOLATILE) != OK)
        result = TPM_FAIL;
    vtpm->running = result == TPM_SUCCESS;
    if (!vtpm->running)
        TPMLIB_Terminate();
    return result;
}

void vtpm_tpm_off(struct vtpm *vtpm)
{
    if (vtpm->running)
        TPMLIB_Terminate();
    vtpm->running = false;
}

bool vtpm_tpm_accepts(struct vtpm *vtpm)
{
    vtpm_tpm_off(vtpm);
    const bool good = TPMLIB_MainInit() == TPM_SUCCESS;
    TPMLIB_Terminate();
    return good;
}

enum status vtpm_tpm_volatile(struct vtpm *vtpm, uint8_t **data, size_t *len)
{
    unsigned char *got = NULL;
    uint32_t got_len = 0;
    if (!vtpm->running || TPMLIB_VolatileAll_Store(&got, &got_len) != TPM_SUCCESS)
        return INTERNAL;
    *data = got;
    *len = got_len;
    return OK;
}

uint32_t vtpm_tpm_store_volatile(struct vtpm *vtpm)
{
    uint8_t *data = NULL;
    size_t len = 0;
    if (vtpm_tpm_volatile(vtpm, &data, &len) != OK)
        return TPM_FAIL;
    enum status status = vtpm_state_put(vtpm, VTPM_VOLATILE, bytes_from(data, len));
    wipe(data, len);
    free(data);
    return status == OK ? TPM_SUCCESS : TPM_FAIL;
}

/* ---- Commands ---- */

static void put_refusal(struct writer *reply, bool prefixed, uint32_t code)
{
    uint8_t room[SWTPM_TPM_HEADER];
    struct writer writer = writer_over(room, sizeof room);
    put_u16be(&writer, 0x8001);
    put_u32be(&writer, sizeof room);
    put_u32be(&writer, code);
    swtpm_put_response(reply, prefixed, writer_bytes(&writer));
}

/* libtpms' own room for NV is more than a commit can carry. How much must be left for a command, of those that make the
 * state grow: passwords and policies are of 64 bytes at the most, but an index may be given one ever anew. Evicting a
 * persistent object gives room back. */
static size_t room_wanted(const struct swtpm_tpm_command *command)
{
    struct reader handles;
    switch (command->code) {
    case CC_NV_DEFINE_SPACE:
        return VTPM_GROWTH_MAX;
    case CC_EVICT_CONTROL:
        handles = reader_over(bytes_slice(command->command, SWTPM_TPM_HEADER, 2 * sizeof(uint32_t)));
        (void)take_u32be(&handles);
        return take_u8(&handles) != PERSISTENT ? VTPM_GROWTH_MAX : 0;
    case CC_HIERARCHY_CHANGE_AUTH:
    case CC_PCR_SET_AUTH_POLICY:
    case CC_SET_PRIMARY_POLICY:
    case CC_NV_CHANGE_AUTH:
        return VTPM_SHUTDOWN_MAX;
    default:
        return 0;
    }
}

static uint32_t refusal(const struct vtpm *vtpm, const struct swtpm_tpm_command *command)
{
    if (!vtpm->running)
        return RC_FAILURE;
    if (command->command.len > vtpm->buffer_max)
        return RC_COMMAND_SIZE;
    if (command->prefixed && command->locality > vtpm_locality_max(vtpm))
        return RC_LOCALITY;
    const size_t wanted = room_wanted(command);
    if (wanted && vtpm->states[VTPM_PERMANENT].len > vtpm->state_max - wanted)
        return RC_NV_SPACE;
    return 0;
}

enum status vtpm_tpm_process(struct vtpm *vtpm, uint8_t locality, struct bytes command, struct bytes *response)
{
    static uint8_t room[SWTPM_TPM_MAX]; /* libtpms takes it writable */
    const uint8_t before = vtpm->locality;
    if (command.len > sizeof room)
        return INTERNAL;
    vtpm->locality = locality;
    memcpy(room, command.data, command.len);
    TPM_RESULT result =
        TPMLIB_Process(&vtpm->response, &vtpm->response_len, &vtpm->response_cap, room, (uint32_t)command.len);
    wipe(room, command.len);
    vtpm->locality = before;
    if (result != TPM_SUCCESS)
        return INTERNAL;
    *response = bytes_from(vtpm->response, vtpm->response_len);
    return OK;
}

enum status vtpm_tpm_run(struct vtpm *vtpm, uint8_t locality, uint16_t tag, uint32_t command_code, struct bytes body,
                         uint32_t *code, struct bytes *rest)
{
    uint8_t room[OWN_COMMAND_MAX];
    struct writer command = writer_over(room, sizeof room);
    struct bytes response;
    put_u16be(&command, tag);
    put_u32be(&command, (uint32_t)(SWTPM_TPM_HEADER + body.len));
    put_u32be(&command, command_code);
    put_bytes(&command, body);
    TRY(writer_end(&command));
    TRY(vtpm_tpm_process(vtpm, locality, writer_bytes(&command), &response));
    struct reader reader = reader_over(response);
    (void)take_u16be(&reader);
    (void)take_u32be(&reader);
    *code = take_u32be(&reader);
    *rest = take_rest(&reader);
    return reader.status == OK ? OK : INTERNAL;
}

void vtpm_command(struct vtpm *vtpm, struct bytes frame, struct writer *reply)
{
    struct swtpm_tpm_command command = {0};
    const bool sound = swtpm_tpm_decode(frame, &command) == OK;
    vtpm_sealed_done(vtpm);
    uint32_t code = sound ? refusal(vtpm, &command) : RC_COMMAND_SIZE;
    if (code) {
        put_refusal(reply, command.prefixed, code);
        return;
    }
    const uint8_t locality = command.prefixed ? command.locality : vtpm->locality;
    struct bytes response = {0};
    vtpm_launches_ask(vtpm);
    enum status status = vtpm_tpm_process(vtpm, locality, command.command, &response);
    if (status == OK && command.code == CC_STARTUP && succeeded(response) && !vtpm_launch_started(vtpm))
        status = INTERNAL;
    if (status == OK)
        swtpm_put_response(reply, command.prefixed, response);
    else
        put_refusal(reply, command.prefixed, RC_FAILURE);
}
