/* The control commands, each as swtpm 0.7.1 answers it, but for three: GET_STATE gives no state in the clear, whatever
 * flag asks, and SET_STATE takes none (snapshot.c, land.c); a descriptor is the host end's business. */
#include "vtpm_internal.h"

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_tis.h>
#include <stdlib.h>
#include <string.h>

/* What needs a TPM that is on, off, or neither. */
static bool in_order(const struct vtpm *vtpm, const struct swtpm_request *request)
{
    switch (request->command) {
    case SWTPM_GET_ESTABLISHED:
    case SWTPM_HASH_START:
    case SWTPM_HASH_DATA:
    case SWTPM_HASH_END:
    case SWTPM_CANCEL:
    case SWTPM_STORE_VOLATILE:
    case SWTPM_RESET_ESTABLISHED:
        return vtpm->running;
    case SWTPM_GET_STATE:
        return vtpm->running || vtpm->stay.custody == VTPM_MOVED;
    case SWTPM_SET_STATE:
        return !vtpm->running;
    case SWTPM_SET_BUFFER_SIZE:
        return !vtpm->running || request->of.buffer_size == 0;
    case SWTPM_GET_CAPABILITY:
    case SWTPM_INIT:
    case SWTPM_SHUTDOWN:
    case SWTPM_SET_LOCALITY:
    case SWTPM_STOP:
    case SWTPM_GET_CONFIG:
    case SWTPM_SET_DATAFD:
    case SWTPM_GET_INFO:
        break;
    }
    return true;
}

/* What was taken in, or what is there; a TPM whose state is elsewhere, or expected, is none that could be made anew. */
static enum status may_start(struct vtpm *vtpm, const char **why)
{
    TRY(vtpm_apply(vtpm, why));
    if (vtpm->stay.custody == VTPM_LIVE || vtpm->stay.custody == VTPM_EMPTY)
        return OK;
    *why = vtpm->stay.custody == VTPM_LANDING     ? "a state is expected and has not landed"
           : vtpm->stay.custody == VTPM_ABANDONED ? "a state was expected, and that was abandoned"
                                                  : "the state has left";
    return DENIED;
}

static uint32_t init(struct vtpm *vtpm)
{
    static const uint8_t nowhere[VTPM_TRANSFER_POINT_LEN];
    const char *why = "";
    vtpm_tpm_off(vtpm);
    if (vtpm_is_locked(vtpm)) {
        vtpm_audit(vtpm, "refused=init: it starts with its passphrase only");
        return SWTPM_FAIL;
    }
    uint32_t result = vtpm_launch_ask(vtpm);
    if (result != SWTPM_OK)
        return result;
    if (may_start(vtpm, &why) != OK) {
        vtpm_audit(vtpm, "refused=init: %s", why);
        return SWTPM_FAIL;
    }
    if (vtpm_policy_keep(vtpm) != OK)
        return SWTPM_FAIL;
    /* The node's own begins as after a loss of power: its log of launches begins anew with it. */
    if (vtpm->machine.hypervisor && vtpm->states[VTPM_VOLATILE].exists && vtpm_state_drop(vtpm, VTPM_VOLATILE) != OK)
        return SWTPM_FAIL;
    vtpm->locality = 0;
    result = vtpm_tpm_on(vtpm);
    return result == SWTPM_OK && !vtpm->stay.kept && vtpm_stay_begin(vtpm, nowhere) != OK ? SWTPM_FAIL : result;
}

static uint32_t set_locality(struct vtpm *vtpm, uint8_t locality)
{
    if (locality > vtpm_locality_max(vtpm))
        return SWTPM_BAD_LOCALITY;
    vtpm->locality = locality;
    return SWTPM_OK;
}

static uint32_t reset_established(struct vtpm *vtpm, uint8_t locality)
{
    const uint8_t before = vtpm->locality;
    if (locality > SWTPM_LOCALITY_MAX)
        return SWTPM_BAD_LOCALITY;
    vtpm->locality = locality;
    uint32_t result = TPM_IO_TpmEstablished_Reset();
    vtpm->locality = before;
    return result;
}

static void get_established(struct swtpm_reply *reply)
{
    TPM_BOOL bit = FALSE;
    reply->result = TPM_IO_TpmEstablished_Get(&bit);
    reply->of.established = bit ? 1 : 0;
}

static void set_buffer_size(const struct vtpm *vtpm, uint32_t wanted, struct swtpm_reply *reply)
{
    uint32_t min = 0, max = 0;
    if (wanted > vtpm->buffer_max)
        wanted = vtpm->buffer_max;
    reply->of.buffer.used = TPMLIB_SetBufferSize(wanted, &min, &max);
    reply->of.buffer.min = min;
    reply->of.buffer.max = max < vtpm->buffer_max ? max : vtpm->buffer_max;
}

/* `text` holds the answer until it is written. */
static void get_info(const struct swtpm_request *request, char **text, struct swtpm_reply *reply)
{
    *text = TPMLIB_GetInfo((enum TPMLIB_InfoFlags)(request->of.info.flags & 0xff));
    size_t len = *text ? strlen(*text) + 1 : 0;
    if (request->of.info.off >= len || len > SWTPM_INFO_MAX) {
        *reply = (struct swtpm_reply){.result = SWTPM_BAD_PARAMETER, .bare = true};
        return;
    }
    reply->of.info.total = (uint32_t)len;
    reply->of.info.text = bytes_slice(bytes_from(*text, len), request->of.info.off, len - request->of.info.off);
}

/* A D-RTM event empties the PCRs that say what was launched. */
static uint32_t hash(struct vtpm *vtpm, const struct swtpm_request *request)
{
    if (vtpm_hashing_is_ours(vtpm)) {
        vtpm_audit(vtpm, "refused=hash: what PCRs 17 to 22 say is the monitor's word");
        return SWTPM_FAIL;
    }
    if (request->command == SWTPM_HASH_START)
        return TPM_IO_Hash_Start();
    if (request->command == SWTPM_HASH_END)
        return TPM_IO_Hash_End();
    return TPM_IO_Hash_Data(request->of.data.data, (uint32_t)request->of.data.len);
}

static void act(struct vtpm *vtpm, const struct swtpm_request *request, char **text, struct swtpm_reply *reply)
{
    if (request->command != SWTPM_GET_STATE)
        vtpm_sealed_done(vtpm); /* what is given out one by one is of one moment */
    switch (request->command) {
    case SWTPM_GET_CAPABILITY:
        reply->of.capabilities = SWTPM_CAPABILITIES;
        break;
    case SWTPM_INIT:
        reply->result = init(vtpm);
        break;
    case SWTPM_SHUTDOWN: /* the host end stops afterwards */
    case SWTPM_STOP:
        vtpm_tpm_off(vtpm);
        break;
    case SWTPM_GET_ESTABLISHED:
        get_established(reply);
        break;
    case SWTPM_SET_LOCALITY:
        reply->result = set_locality(vtpm, request->of.locality);
        break;
    case SWTPM_HASH_START:
    case SWTPM_HASH_DATA:
    case SWTPM_HASH_END:
        reply->result = hash(vtpm, request);
        break;
    case SWTPM_CANCEL:     /* requests are handled one after the other: none is under way */
    case SWTPM_GET_CONFIG: /* no key is the host's to name */
        break;
    case SWTPM_STORE_VOLATILE:
        reply->result = vtpm_tpm_store_volatile(vtpm);
        break;
    case SWTPM_RESET_ESTABLISHED:
        reply->result = reset_established(vtpm, request->of.locality);
        break;
    case SWTPM_GET_STATE:
        vtpm_get_state(vtpm, request, reply);
        break;
    case SWTPM_SET_STATE:
        reply->result = vtpm_set_state(vtpm, request);
        break;
    case SWTPM_SET_DATAFD:
        reply->result = SWTPM_BAD_PARAMETER; /* none came: a door carries no descriptors */
        break;
    case SWTPM_SET_BUFFER_SIZE:
        set_buffer_size(vtpm, request->of.buffer_size, reply);
        break;
    case SWTPM_GET_INFO:
        get_info(request, text, reply);
        break;
    }
}

void vtpm_control(struct vtpm *vtpm, struct bytes frame, struct writer *writer)
{
    struct swtpm_request request = {.command = SWTPM_STOP};
    struct swtpm_reply reply = {0};
    char *text = NULL;
    enum status status = swtpm_request_decode(frame, &request);
    if (status != OK)
        reply = (struct swtpm_reply){status == UNSUPPORTED ? SWTPM_BAD_ORDINAL : SWTPM_BAD_PARAMETER, .bare = true};
    else if (!in_order(vtpm, &request))
        reply = (struct swtpm_reply){SWTPM_BAD_ORDINAL, .bare = true};
    else
        act(vtpm, &request, &text, &reply);
    swtpm_put_reply(writer, request.command, &reply);
    free(text);
}
