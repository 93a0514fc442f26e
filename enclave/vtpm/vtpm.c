/* The instance as a whole: made, fed with what the host says, one request after the other, stopped. */
#include "vtpm_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LOG_RECORDS 128 /* a start takes 6 µs for each, and a snapshot 1.5 ms */

static bool one_lives; /* libtpms keeps its state in its own variables */

void vtpm_stop(struct vtpm *vtpm, int exit_code, const char *format, ...)
{
    if (vtpm->life == VTPM_STOPPED)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(vtpm->sentence, sizeof vtpm->sentence, format, arguments);
    va_end(arguments);
    vtpm->life = VTPM_STOPPED;
    vtpm->exit_code = exit_code;
}

int vtpm_exit_code(const struct vtpm *vtpm, const char **sentence)
{
    *sentence = vtpm->sentence;
    return vtpm->exit_code;
}

void vtpm_send(struct vtpm *vtpm, enum door_operation operation, uint64_t id, struct bytes payload)
{
    if (vtpm->life == VTPM_STOPPED)
        return;
    if (vtpm->port.send(vtpm->port.user, operation, id, &payload, 1) != OK)
        vtpm_stop(vtpm, 4, "the host end of the door is gone");
}

void vtpm_audit(struct vtpm *vtpm, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    vtpm_send(vtpm, DOOR_AUDIT, 0, bytes_from_text(line));
}

/* ---- Life ---- */

static enum status seal_key(void *user, uint32_t open, struct monitor_seal_inputs *inputs, uint8_t key[MONITOR_KEY_LEN])
{
    struct vtpm *vtpm = user;
    struct monitor_seal seal = {.policy = inputs->policy, .open = open};
    struct monitor_seal_reply reply;
    memcpy(seal.label, "vtpm", sizeof "vtpm");
    if (open)
        seal.inputs = *inputs;
    TRY(vtpm->port.seal_key(vtpm->port.user, &seal, &reply));
    *inputs = reply.inputs;
    if (!open)
        vtpm->security_version = reply.inputs.security_version;
    memcpy(key, reply.key, MONITOR_KEY_LEN);
    wipe(&reply, sizeof reply);
    return OK;
}

static enum status set_up(struct vtpm *vtpm, const struct vtpm_config *config)
{
    const struct store_config store = {
        .migrations = vtpm_schema,
        .migration_count = vtpm_schema_count,
        .policy = MONITOR_SEAL_SIGNER,
        .bytes_max = 4u << 20,
        .log_records = LOG_RECORDS,
        .ahead_max = MONITOR_RECORDS, /* a relaxed head may be lost with the power, and the archive not */
        .noted = vtpm_noted,
        .key = seal_key,
        .user = vtpm,
    };
    vtpm->port = config->port;
    vtpm->socket_port = config->socket;
    vtpm->next_id = 1;
    TRY(vtpm_tpm_choose(vtpm, config->buffer_max));
    return store_open(&vtpm->store, &store);
}

enum status vtpm_new(struct vtpm **result, const struct vtpm_config *config)
{
    if (one_lives)
        return WRONG_STATE;
    struct vtpm *vtpm = malloc(sizeof *vtpm);
    if (!vtpm)
        return NO_ROOM;
    wipe(vtpm, sizeof *vtpm); /* and is touched (vtpm_rehearse()) */
    one_lives = true;
    enum status status = set_up(vtpm, config);
    if (status == OK)
        *result = vtpm;
    else
        vtpm_free(vtpm);
    return status;
}

static void drop_waiting(struct vtpm *vtpm, struct vtpm_waiting **link)
{
    struct vtpm_waiting *gone = *link;
    *link = gone->next;
    vtpm->waiting--;
    vtpm->waiting_bytes -= gone->len;
    wipe(gone->frame, gone->len);
    free(gone);
}

void vtpm_free(struct vtpm *vtpm)
{
    if (!vtpm)
        return;
    vtpm_tpm_off(vtpm);
    while (vtpm->first)
        drop_waiting(vtpm, &vtpm->first);
    vtpm_custody_done(vtpm);
    vtpm_socket_done(vtpm);
    vtpm_states_done(vtpm);
    store_close(vtpm->store);
    journal_done(&vtpm->load.journal);
    if (vtpm->response)
        wipe(vtpm->response, vtpm->response_cap);
    free(vtpm->response);
    wipe(vtpm, sizeof *vtpm);
    free(vtpm);
    vtpm_libc_serve(NULL);
    one_lives = false;
}

/* ---- Requests ---- */

/* Where state may be given out. */
static size_t reply_max(uint32_t transport, struct bytes frame)
{
    struct reader reader = reader_over(frame);
    if (transport == DOOR_VTPM_TRANSFER)
        return VTPM_TRANSFER_ANSWER_MAX;
    return transport == DOOR_VTPM_CONTROL && take_u32be(&reader) == SWTPM_GET_STATE
               ? SWTPM_REQUEST_MAX
               : sizeof(((struct vtpm *)0)->reply_room);
}

void vtpm_handle(struct vtpm *vtpm, uint64_t channel, uint32_t transport, struct bytes frame)
{
    const size_t cap = reply_max(transport, frame);
    vtpm->reply = cap > sizeof vtpm->reply_room ? malloc(cap) : NULL;
    struct writer reply = writer_over(vtpm->reply, cap);
    if (!vtpm->reply) {
        vtpm->reply = vtpm->reply_room;
        reply = writer_over(vtpm->reply_room, sizeof vtpm->reply_room);
    }
    if (transport == DOOR_VTPM_CONTROL)
        vtpm_control(vtpm, frame, &reply);
    else if (transport == DOOR_VTPM_KEYS)
        vtpm_identity(vtpm, frame, &reply);
    else if (transport == DOOR_VTPM_TRANSFER)
        vtpm_transfer(vtpm, frame, &reply);
    else if (transport == DOOR_VTPM_UNLOCK)
        vtpm_unlock(vtpm, frame, &reply);
    else
        vtpm_command(vtpm, frame, &reply);
    vtpm->reply_len = writer_bytes(&reply).len;
    vtpm_commit(vtpm, channel);
}

void vtpm_serve_waiting(struct vtpm *vtpm)
{
    while (vtpm->first && vtpm->life == VTPM_SERVING && vtpm->commit == VTPM_AT_REST) {
        struct vtpm_waiting *next = vtpm->first;
        vtpm_handle(vtpm, next->channel, next->transport, bytes_from(next->frame, next->len));
        drop_waiting(vtpm, &vtpm->first);
    }
}

/* The queue is full: said at once, and nothing was done. */
static void turn_away(struct vtpm *vtpm, uint64_t channel, uint32_t transport)
{
    uint8_t room[SWTPM_TPM_HEADER];
    struct writer writer = writer_over(room, sizeof room);
    const struct swtpm_reply busy = {.result = SWTPM_RETRY, .bare = true};
    if (transport == DOOR_VTPM_UNLOCK)
        put_u32be(&writer, SWTPM_RETRY);
    else if (transport == DOOR_VTPM_CONTROL)
        swtpm_put_reply(&writer, SWTPM_STOP, &busy);
    else if (transport == DOOR_VTPM_KEYS)
        vtpm_keys_put_answer(&writer, &(struct vtpm_keys_answer){.status = BUSY});
    else if (transport == DOOR_VTPM_TRANSFER)
        vtpm_transfer_put_answer(&writer, &(struct vtpm_transfer_answer){.status = BUSY});
    else
        put_bytes(&writer, bytes_from("\x80\x01\0\0\0\x0a\0\0\x09\x22", 10)); /* TPM_RC_RETRY */
    vtpm_send(vtpm, DOOR_REPLY, channel, writer_bytes(&writer));
}

static void arrived(struct vtpm *vtpm, uint64_t channel, uint32_t transport, struct bytes frame)
{
    if (vtpm->life == VTPM_SERVING && vtpm->commit == VTPM_AT_REST) {
        vtpm_handle(vtpm, channel, transport, frame);
        vtpm_serve_waiting(vtpm);
        return;
    }
    struct vtpm_waiting *waiting = NULL;
    if (vtpm->waiting < VTPM_QUEUE_MAX && frame.len <= VTPM_QUEUE_BYTES - vtpm->waiting_bytes)
        waiting = malloc(sizeof *waiting + frame.len);
    if (!waiting) {
        turn_away(vtpm, channel, transport);
        return;
    }
    *waiting = (struct vtpm_waiting){.channel = channel, .transport = transport, .len = frame.len};
    if (frame.len)
        memcpy(waiting->frame, frame.data, frame.len);
    *(vtpm->first ? &vtpm->last->next : &vtpm->first) = waiting;
    vtpm->last = waiting;
    vtpm->waiting++;
    vtpm->waiting_bytes += frame.len;
}

static void gone(struct vtpm *vtpm, uint64_t channel)
{
    struct vtpm_waiting **link = &vtpm->first;
    vtpm->last = NULL;
    while (*link) {
        if ((*link)->channel == channel) {
            drop_waiting(vtpm, link);
            continue;
        }
        vtpm->last = *link;
        link = &(*link)->next;
    }
}

/* ---- What the host says ---- */

static void requested(struct vtpm *vtpm, uint64_t channel, struct bytes payload)
{
    struct door_request request = {0};
    if (payload.len >= sizeof request)
        memcpy(&request, payload.data, sizeof request);
    if (channel == VTPM_SOCKET || request.transport < DOOR_VTPM_CONTROL || request.transport > DOOR_VTPM_UNLOCK) {
        vtpm_audit(vtpm, "dropped=request len=%zu transport=%u", payload.len, request.transport);
        return;
    }
    if (request.time_ms > vtpm->now_ms)
        vtpm->now_ms = request.time_ms;
    arrived(vtpm, channel, request.transport, bytes_slice(payload, sizeof request, payload.len - sizeof request));
}

static void completed(struct vtpm *vtpm, const struct door_header *header, struct bytes payload)
{
    const enum status status = header->status <= INTERNAL ? (enum status)header->status : INTERNAL;
    if (vtpm->life == VTPM_LOADING && vtpm->load.id != 0 && header->id == vtpm->load.id) {
        vtpm_load_take(vtpm, status, payload);
    } else if (vtpm->sync_of && header->id == vtpm->sync_id) {
        vtpm_synced(vtpm, status);
    } else {
        vtpm_audit(vtpm, "dropped=complete id=%llu", (unsigned long long)header->id);
    }
}

static void ticked(struct vtpm *vtpm, struct bytes payload)
{
    struct door_tick tick;
    if (payload.len != sizeof tick) {
        vtpm_audit(vtpm, "dropped=tick len=%zu", payload.len);
        return;
    }
    memcpy(&tick, payload.data, sizeof tick);
    if (tick.time_ms > vtpm->now_ms)
        vtpm->now_ms = tick.time_ms;
    vtpm_try_again(vtpm);
}

void vtpm_receive(struct vtpm *vtpm, const struct door_header *header, struct bytes payload)
{
    if (vtpm->life == VTPM_STOPPED)
        return;
    switch (header->operation) {
    case DOOR_REQUEST:
        requested(vtpm, header->id, payload);
        return;
    case DOOR_COMPLETE:
        completed(vtpm, header, payload);
        return;
    case DOOR_TICK:
        ticked(vtpm, payload);
        return;
    case DOOR_GONE:
        gone(vtpm, header->id);
        return;
    default:
        vtpm_audit(vtpm, "dropped=operation number=%u", header->operation);
        return;
    }
}
