/* The tee port of `linux`: the monitor's socket. One request at a time, answered in order but for advances. */
#include "runtime_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static enum status send_request(enum monitor_operation operation, struct bytes payload, struct bytes rest)
{
    uint8_t room[sizeof(struct monitor_header) + 512 + MONITOR_RECORD_MAX];
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = (uint16_t)operation, .len = (uint32_t)(payload.len + rest.len)};
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, payload);
    put_bytes(&writer, rest);
    TRY(writer_end(&writer));
    ssize_t sent;
    do
        sent = write(LAUNCH_FD_MONITOR, room, writer.len);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)writer.len ? OK : IO;
}

/* One packet whole. */
static enum status take_packet(struct monitor_header *header, struct bytes *payload)
{
    ssize_t got;
    do
        got = read(LAUNCH_FD_MONITOR, runtime.packet, MONITOR_MESSAGE_MAX);
    while (got < 0 && errno == EINTR);
    if (got < (ssize_t)sizeof *header)
        return IO;
    memcpy(header, runtime.packet, sizeof *header);
    *payload = bytes_from(runtime.packet + sizeof *header, (size_t)got - sizeof *header);
    return header->version == MONITOR_VERSION && header->len == payload->len ? OK : IO;
}

static enum status keep_advance(const struct monitor_header *header, struct bytes payload)
{
    if (!runtime.advancing || (header->status == OK && payload.len != sizeof runtime.advanced))
        return IO;
    runtime.advancing = false;
    runtime.has_advanced = true;
    runtime.advance_status = (enum status)header->status;
    memset(&runtime.advanced, 0, sizeof runtime.advanced);
    if (payload.len == sizeof runtime.advanced)
        memcpy(&runtime.advanced, payload.data, sizeof runtime.advanced);
    return OK;
}

enum status tee_ask(enum monitor_operation operation, struct bytes payload, struct bytes *answer)
{
    struct monitor_header header;
    TRY(send_request(operation, payload, (struct bytes){0}));
    for (;;) {
        TRY(take_packet(&header, answer));
        if (header.operation == operation)
            return (enum status)header.status;
        if (header.operation != MONITOR_ADVANCE)
            return IO;
        TRY(keep_advance(&header, *answer));
    }
}

enum status tee_take_advance(void)
{
    struct monitor_header header;
    struct bytes payload;
    TRY(take_packet(&header, &payload));
    return header.operation == MONITOR_ADVANCE ? keep_advance(&header, payload) : IO;
}

enum status tee_report(const struct monitor_report *report, struct writer *evidence)
{
    struct bytes answer;
    TRY(tee_ask(MONITOR_REPORT, bytes_from(report, sizeof *report), &answer));
    put_bytes(evidence, answer);
    return writer_end(evidence);
}

enum status tee_seal_key(const struct monitor_seal *seal, struct monitor_seal_reply *reply)
{
    struct bytes answer = {0};
    enum status status = tee_ask(MONITOR_SEAL_KEY, bytes_from(seal, sizeof *seal), &answer);
    if (status == OK && answer.len != sizeof *reply)
        status = IO;
    if (status == OK)
        memcpy(reply, answer.data, sizeof *reply);
    wipe(runtime.packet, sizeof(struct monitor_header) + sizeof *reply);
    return status;
}

enum status tee_head(struct monitor_head_reply *head)
{
    struct bytes answer;
    TRY(tee_ask(MONITOR_HEAD, (struct bytes){0}, &answer));
    if (answer.len != sizeof *head)
        return IO;
    memcpy(head, answer.data, sizeof *head);
    return OK;
}

enum status tee_advance(const struct monitor_advance *advance, struct bytes record)
{
    if (runtime.advancing || runtime.has_advanced)
        return BUSY;
    TRY(send_request(MONITOR_ADVANCE, bytes_from(advance, sizeof *advance), record));
    runtime.advancing = true;
    return OK;
}

enum status tee_record(uint64_t sequence, struct writer *record)
{
    const struct monitor_record asked = {sequence};
    struct bytes answer;
    TRY(tee_ask(MONITOR_RECORD, bytes_from(&asked, sizeof asked), &answer));
    put_bytes(record, answer);
    return writer_end(record);
}

enum status tee_launch(struct monitor_launch *launch)
{
    struct bytes answer;
    TRY(tee_ask(MONITOR_LAUNCH, (struct bytes){0}, &answer));
    if (answer.len != sizeof *launch)
        return IO;
    memcpy(launch, answer.data, sizeof *launch);
    return OK;
}

enum status tee_launches(uint64_t from, struct monitor_vm vms[MONITOR_LAUNCHES_MAX], size_t *count)
{
    const struct monitor_launches_from asked = {from};
    struct monitor_launches_reply reply;
    struct bytes answer;
    TRY(tee_ask(MONITOR_LAUNCHES, bytes_from(&asked, sizeof asked), &answer));
    if (answer.len < sizeof reply)
        return IO;
    memcpy(&reply, answer.data, sizeof reply);
    if (reply.count > MONITOR_LAUNCHES_MAX || answer.len - sizeof reply != reply.count * sizeof *vms)
        return IO;
    if (reply.count)
        memcpy(vms, answer.data + sizeof reply, reply.count * sizeof *vms);
    *count = reply.count;
    return OK;
}
