/* bastide.h over the rooms client and device. */
#include "library_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLOCK_SET_S 1735689600ll /* 2025: a clock that says less was never set */
#define RENEWAL_RETRY_S 3600

_Static_assert(BASTIDE_STATE_MAX == DEVICE_STATE_MAX && BASTIDE_NAME_MAX == DEVICE_NAME_MAX, "the header's limits");
_Static_assert(BASTIDE_TIMEOUT_MS == CLIENT_TIMEOUT_MS && BASTIDE_NO_FORMAT == CLIENT_NO_FORMAT, "the header's values");
_Static_assert((int)BASTIDE_GET == COAP_GET && (int)BASTIDE_POST == COAP_POST && (int)BASTIDE_DELETE == COAP_DELETE,
               "the header's methods");

enum bastide_status library_say(struct bastide *hub, enum bastide_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(hub->why, sizeof hub->why, format, arguments);
    va_end(arguments);
    return status;
}

const char *bastide_why(const struct bastide *hub)
{
    return hub->why;
}

/* ---- What the device room asks of us ---- */

static int64_t now_s(void *user)
{
    const struct bastide *hub = user;
    int64_t now = (int64_t)time(NULL);
    return hub->no_clock || now < CLOCK_SET_S ? 0 : now;
}

static enum status keep(void *user, struct bytes state)
{
    struct bastide *hub = user;
    return hub->storage.save(hub->storage.user, state.data, state.len) ? OK : IO;
}

static struct device_host host_of(struct bastide *hub)
{
    return (struct device_host){.now_s = now_s, .keep = keep, .user = hub};
}

/* ---- Opening and closing ---- */

static enum bastide_status load(struct bastide *hub)
{
    uint8_t room[BASTIDE_STATE_MAX];
    struct device_host host = host_of(hub);
    long len = hub->storage.load(hub->storage.user, room, sizeof room);
    if (len == 0)
        return BASTIDE_OK;
    enum status status =
        len < 0 || (size_t)len > sizeof room ? IO : device_decode(bytes_from(room, (size_t)len), &hub->device, &host);
    wipe(room, sizeof room);
    if (status != OK)
        return library_say(hub, BASTIDE_STORAGE, "the device's state cannot be read: %s", status_word(status));
    hub->has_state = true;
    device_name(&hub->device, hub->name);
    return BASTIDE_OK;
}

static enum bastide_status take_config(struct bastide *hub, const struct bastide_config *config)
{
    bool by_file = config->state_file != NULL;
    if (!config->url || by_file == (config->storage.load && config->storage.save))
        return library_say(hub, BASTIDE_USAGE, "a url is needed, and either a state_file or a storage");
    hub->url = strdup(config->url);
    hub->state_file = by_file ? strdup(config->state_file) : NULL;
    if (!hub->url || (by_file && !hub->state_file) || crypto_init() != OK)
        return library_say(hub, BASTIDE_INTERNAL, "out of memory");
    hub->storage =
        by_file ? (struct bastide_storage){library_file_load, library_file_save, hub->state_file} : config->storage;
    hub->timeout_ms = config->timeout_ms;
    hub->no_clock = config->no_clock;
    return load(hub);
}

enum bastide_status bastide_open(const struct bastide_config *config, struct bastide **hub, char *why, size_t cap)
{
    struct bastide *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(why, cap, "out of memory");
        return BASTIDE_INTERNAL;
    }
    enum bastide_status status = take_config(made, config);
    if (status == BASTIDE_OK) {
        *hub = made;
        return BASTIDE_OK;
    }
    snprintf(why, cap, "%s", made->why);
    bastide_close(made);
    return status;
}

void bastide_close(struct bastide *hub)
{
    if (!hub)
        return;
    client_close(hub->client);
    library_forget_observations(hub);
    device_done(&hub->device);
    free(hub->url);
    free(hub->state_file);
    free(hub);
}

/* ---- Sessions ---- */

enum bastide_status library_status(enum status status)
{
    switch (status) {
    case OK:
        return BASTIDE_OK;
    case IO:
    case BUSY:
        return BASTIDE_UNREACHABLE;
    case DENIED:
        return BASTIDE_REFUSED;
    case AUTH:
        return BASTIDE_UNWELCOME;
    case NO_ROOM:
        return BASTIDE_TOO_LONG;
    case MALFORMED:
    case UNSUPPORTED:
    case WRONG_STATE:
        return BASTIDE_USAGE;
    case TRUNCATED:
    case REPLAYED:
    case NOT_FOUND:
    case INTERNAL:
        break;
    }
    return BASTIDE_INTERNAL;
}

static enum bastide_status ready(struct bastide *hub)
{
    char why[BASTIDE_WHY_MAX] = "";
    if (hub->client)
        return BASTIDE_OK;
    const struct client_config config = {
        .url = hub->url, .edhoc = device_edhoc(&hub->device), .timeout_ms = hub->timeout_ms};
    enum status status = client_open(&config, &hub->client, why, sizeof why);
    return status == OK ? BASTIDE_OK : library_say(hub, library_status(status), "%s", *why ? why : status_word(status));
}

static void end_session(struct bastide *hub)
{
    client_close(hub->client);
    hub->client = NULL;
}

/* Long before the certificate ends, so a failure only means to try again another time. */
static void renew_if_due(struct bastide *hub)
{
    char why[BASTIDE_WHY_MAX];
    int64_t now = now_s(hub);
    if (!device_renewal_due(&hub->device) || now < hub->renew_again_s)
        return;
    hub->renew_again_s = now + RENEWAL_RETRY_S;
    (void)!device_renew(&hub->device, hub->client, why, sizeof why);
}

enum bastide_status library_ready(struct bastide *hub)
{
    if (!bastide_is_enrolled(hub))
        return library_say(hub, BASTIDE_USAGE, "the device is not enrolled: bastide_enrol() with a code comes first");
    enum bastide_status status = ready(hub);
    if (status == BASTIDE_OK)
        renew_if_due(hub);
    return status;
}

/* ---- Enrolment ---- */

bool bastide_is_enrolled(const struct bastide *hub)
{
    return hub->device.certificate_len > 0;
}

const char *bastide_name(const struct bastide *hub)
{
    return hub->name;
}

static bool is_pending(const struct bastide *hub, const struct enrol_code *code)
{
    return hub->has_state && hub->device.code.len == sizeof code->secret &&
           ct_equal(hub->device.code.data, code->secret, sizeof code->secret) &&
           memcmp(&hub->device.reference, &code->reference, sizeof code->reference) == 0;
}

/* The key is kept before the code is sent: whoever is cut off goes on with the same one, and the code still counts. */
static enum bastide_status begin(struct bastide *hub, const struct enrol_code *code)
{
    struct device_host host = host_of(hub);
    if (is_pending(hub, code))
        return BASTIDE_OK;
    device_done(&hub->device);
    hub->has_state = false;
    enum status status = device_begin(&hub->device, code, &host);
    if (status != OK)
        return library_say(hub, BASTIDE_INTERNAL, "no key can be made: %s", status_word(status));
    if (device_keep(&hub->device) != OK)
        return library_say(hub, BASTIDE_STORAGE, "the device's state cannot be kept");
    hub->has_state = true;
    return BASTIDE_OK;
}

static enum bastide_status present_code(struct bastide *hub)
{
    enum bastide_status status = ready(hub);
    if (status != BASTIDE_OK)
        return status;
    enum status enrolled = device_enrol(&hub->device, hub->client, hub->why, sizeof hub->why);
    bool met = hub->device.evidence.freshness.nv_counter > 0 && hub->device.evidence.reasons == 0;
    end_session(hub);
    device_name(&hub->device, hub->name);
    if (enrolled == IO && bastide_is_enrolled(hub))
        return BASTIDE_STORAGE;
    return enrolled == DENIED && met ? BASTIDE_UNWELCOME : library_status(enrolled);
}

enum bastide_status bastide_enrol(struct bastide *hub, const char *text)
{
    struct enrol_code code;
    if (bastide_is_enrolled(hub))
        return library_say(hub, BASTIDE_USAGE, "the device is enrolled as %s; to enrol it anew, remove its state",
                           hub->name);
    enum status decoded = text ? enrol_code_decode(text, &code) : MALFORMED;
    if (decoded != OK)
        return library_say(hub, BASTIDE_USAGE,
                           decoded == UNSUPPORTED
                               ? "the code is of a newer version than this library understands"
                               : "this is no code, or not the whole of it: \"bastide:\" and about 190 letters");
    end_session(hub);
    enum bastide_status status = begin(hub, &code);
    wipe(&code, sizeof code);
    return status == BASTIDE_OK ? present_code(hub) : status;
}
