/* The hub as a whole: made, fed with what the host says, stopped. */
#include "hub_internal.h"

#include "image.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_MS 253402300799999ull /* the last millisecond that a date of four digits can say */

void hub_stop(struct hub *hub, int exit_code, const char *format, ...)
{
    if (hub->state == HUB_STOPPED)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(hub->sentence, sizeof hub->sentence, format, arguments);
    va_end(arguments);
    hub->state = HUB_STOPPED;
    hub->exit_code = exit_code;
}

int hub_exit_code(const struct hub *hub, const char **sentence)
{
    *sentence = hub->sentence;
    return hub->exit_code;
}

void hub_send(struct hub *hub, enum door_operation operation, uint64_t id, struct bytes payload)
{
    if (hub->state == HUB_STOPPED)
        return;
    if (hub->port.send(hub->port.user, operation, id, &payload, 1) != OK)
        hub_stop(hub, 4, "the host end of the door is gone");
}

void hub_audit(struct hub *hub, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    hub_send(hub, DOOR_AUDIT, 0, bytes_from_text(line));
}

/* The host's clock, never going back, and never earlier than what was last committed. */
void hub_set_time(struct hub *hub, uint64_t time_ms)
{
    if (time_ms > hub->now_ms && time_ms <= TIME_MAX_MS)
        hub->now_ms = time_ms;
}

/* ---- Life ---- */

static enum status seal_key(void *user, uint32_t open, struct monitor_seal_inputs *inputs, uint8_t key[MONITOR_KEY_LEN])
{
    struct hub *hub = user;
    struct monitor_seal seal = {.policy = inputs->policy, .open = open};
    struct monitor_seal_reply reply;
    memcpy(seal.label, "store", sizeof "store");
    if (open)
        seal.inputs = *inputs;
    TRY(hub->port.seal_key(hub->port.user, &seal, &reply));
    *inputs = reply.inputs;
    memcpy(key, reply.key, MONITOR_KEY_LEN);
    wipe(&reply, sizeof reply);
    return OK;
}

static enum status open_store(struct hub *hub)
{
    const struct store_config config = {
        .migrations = hub_schema,
        .migration_count = hub_schema_count,
        .policy = MONITOR_SEAL_SIGNER,
        .key = seal_key,
        .user = hub,
    };
    return store_open(&hub->store, &config);
}

static enum status set_up(struct hub *hub, const struct hub_config *config)
{
    struct image_configuration configuration;
    TRY(image_configuration_decode(config->configuration, &configuration));
    if (config->body_max > HUB_BODY_LIMIT)
        return NO_ROOM;
    hub->body_max = config->body_max ? config->body_max : HUB_BODY_MAX;
    hub->port = config->port;
    hub->owner = configuration.owner;
    uint8_t *certificate = malloc(configuration.certificate.len);
    hub->owner_client = hub_client_new(HUB_OWNER_NAME, HUB_OWNER);
    hub->stranger = hub_client_new("", HUB_STRANGER);
    if (!certificate || !hub->owner_client || !hub->stranger) {
        free(certificate);
        return NO_ROOM;
    }
    memcpy(certificate, configuration.certificate.data, configuration.certificate.len);
    hub->owner_certificate = bytes_from(certificate, configuration.certificate.len);
    memcpy(hub->site_id, configuration.site, sizeof hub->site_id);
    memcpy(hub->config_id, configuration.config_id, sizeof hub->config_id);
    hub->waiting_last = &hub->waiting;
    hub->next_id = 1;
    hub_set_time(hub, config->time_ms);
    hub->plain = malloc(DOOR_MESSAGE_MAX);
    hub->outer = malloc(DOOR_MESSAGE_MAX);
    uint8_t *rows = malloc(DOOR_CHUNK_MAX);
    hub->rows = writer_over(rows, DOOR_CHUNK_MAX);
    if (!hub->plain || !hub->outer || !rows)
        return NO_ROOM;
    hub->has_scripts = config->scripts != NULL;
    TRY(engine_new(&hub->engine, config->scripts));
    return open_store(hub);
}

enum status hub_new(struct hub **result, const struct hub_config *config)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return NO_ROOM;
    enum status status = set_up(hub, config);
    if (status != OK) {
        hub_free(hub);
        return status;
    }
    *result = hub;
    return OK;
}

static void free_wiped(void *memory, size_t len)
{
    if (memory)
        wipe(memory, len);
    free(memory);
}

void hub_free(struct hub *hub)
{
    if (!hub)
        return;
    hub->state = HUB_STOPPED;
    hub_group_free(hub, &hub->flying);
    hub_group_free(hub, &hub->open);
    hub_waiting_free(hub);
    hub_handshakes_free(hub);
    hub_clients_free(hub);
    engine_free(hub->engine);
    hub_sql_close(hub);
    store_close(hub->store);
    hub_identities_free(hub);
    hub_authority_free(hub);
    free((void *)(uintptr_t)hub->owner_certificate.data);
    journal_done(&hub->load.journal);
    free_wiped(hub->plain, DOOR_MESSAGE_MAX);
    free_wiped(hub->outer, DOOR_MESSAGE_MAX);
    free(hub->rows.data);
    free(hub);
}

/* ---- What the host says ---- */

static void completed(struct hub *hub, const struct door_header *header, struct bytes payload)
{
    enum status status = header->status > INTERNAL ? IO : (enum status)header->status;
    if (hub->state == HUB_LOADING && hub->load.id != 0 && header->id == hub->load.id) {
        hub_load_take(hub, status, payload);
    } else if (hub->commit == HUB_SYNCING && header->id == hub->sync_id) {
        hub_synced(hub, status);
    } else if (!hub_history_rows(hub, header->id, status, payload)) {
        hub_audit(hub, "dropped=complete id=%llu", (unsigned long long)header->id);
    }
}

static void requested(struct hub *hub, uint64_t channel, struct bytes payload)
{
    struct door_request request;
    if (payload.len < sizeof request) {
        hub_audit(hub, "dropped=request len=%zu", payload.len);
        return;
    }
    memcpy(&request, payload.data, sizeof request);
    hub_set_time(hub, request.time_ms);
    hub_request_arrived(hub, channel, request.transport,
                        bytes_slice(payload, sizeof request, payload.len - sizeof request));
}

static void ticked(struct hub *hub, struct bytes payload)
{
    struct door_tick tick;
    if (payload.len != sizeof tick) {
        hub_audit(hub, "dropped=tick len=%zu", payload.len);
        return;
    }
    memcpy(&tick, payload.data, sizeof tick);
    hub->timer_ms = 0;
    hub_set_time(hub, tick.time_ms);
    hub_watches_expire(hub);
}

void hub_receive(struct hub *hub, const struct door_header *header, struct bytes payload)
{
    if (hub->state == HUB_STOPPED)
        return;
    switch (header->operation) {
    case DOOR_REQUEST:
        requested(hub, header->id, payload);
        return;
    case DOOR_COMPLETE:
        completed(hub, header, payload);
        return;
    case DOOR_TICK:
        ticked(hub, payload);
        return;
    case DOOR_GONE:
        hub_unwatch(hub, header->id, NULL);
        hub_history_gone(hub, header->id, NULL);
        hub_waiting_gone(hub, header->id);
        return;
    default:
        hub_audit(hub, "dropped=operation number=%u", header->operation);
        return;
    }
}
