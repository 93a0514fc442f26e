/* The table and the decoding of requests. Everything arrives from an enclave or from the untrusted host. */
#include "permit.h"

#include <string.h>

#define BLOB_MAX 1024
#define TOKEN_MAX 256

struct permission {
    enum monitor_operation operation;
    enum permit_who who;
    unsigned states; /* in any of which it is permitted */
    bool once;
    size_t len_min;
    size_t len_max;
    enum permit_state next; /* 0: stays */
};

static const struct permission table[] = {
    {MONITOR_READY, PERMIT_ENCLAVE, PERMIT_STARTING, true, 0, 0, PERMIT_READY},
    {MONITOR_REPORT, PERMIT_ENCLAVE, PERMIT_READY, false, sizeof(struct monitor_report), sizeof(struct monitor_report),
     0},
    {MONITOR_SEAL_KEY, PERMIT_ENCLAVE, PERMIT_READY, false, sizeof(struct monitor_seal), sizeof(struct monitor_seal),
     0},
    {MONITOR_HEAD, PERMIT_ENCLAVE, PERMIT_READY, false, 0, 0, 0},
    {MONITOR_ADVANCE, PERMIT_ENCLAVE, PERMIT_READY, false, sizeof(struct monitor_advance),
     sizeof(struct monitor_advance) + MONITOR_RECORD_MAX, 0},
    {MONITOR_RECORD, PERMIT_ENCLAVE, PERMIT_READY, false, sizeof(struct monitor_record), sizeof(struct monitor_record),
     0},
    {MONITOR_LAUNCH, PERMIT_ENCLAVE, PERMIT_READY, false, 0, 0, 0},
    {MONITOR_LAUNCHES, PERMIT_ENCLAVE, PERMIT_READY, false, sizeof(struct monitor_launches_from),
     sizeof(struct monitor_launches_from), 0},
    {MONITOR_LAUNCHES, PERMIT_CONTROL, PERMIT_CALLER | PERMIT_HOST, false, sizeof(struct monitor_launches_from),
     sizeof(struct monitor_launches_from), 0},
    {MONITOR_MEASURE, PERMIT_CONTROL, PERMIT_HOST, false, sizeof(struct monitor_measure),
     sizeof(struct monitor_measure), 0},
    {MONITOR_MEASURE, PERMIT_GROUP, PERMIT_HOST, false, sizeof(struct monitor_measure), sizeof(struct monitor_measure),
     0},
    {MONITOR_ATTACH, PERMIT_CONTROL, PERMIT_CALLER, true, 0, sizeof(struct monitor_attach), PERMIT_HOST},
    {MONITOR_STATUS, PERMIT_CONTROL, PERMIT_CALLER | PERMIT_HOST, false, 0, sizeof(struct monitor_instance), 0},
    {MONITOR_ATTACH, PERMIT_GROUP, PERMIT_CALLER, true, sizeof(struct monitor_instance), sizeof(struct monitor_attach),
     PERMIT_HOST},
    {MONITOR_STATUS, PERMIT_GROUP, PERMIT_CALLER | PERMIT_HOST, false, sizeof(struct monitor_instance),
     sizeof(struct monitor_instance), 0},
    {MONITOR_STOP, PERMIT_CONTROL, PERMIT_CALLER | PERMIT_HOST, true, 0, 0, PERMIT_ENDED},
    {MONITOR_ACTIVATE, PERMIT_CONTROL, PERMIT_CALLER | PERMIT_HOST, false, 1, BLOB_MAX, 0},
    {MONITOR_FORGET, PERMIT_CONTROL, PERMIT_CALLER, false, sizeof(struct monitor_forget) + 1,
     sizeof(struct monitor_forget) + TOKEN_MAX, 0},
};

struct permit_session permit_session_of(enum permit_who who)
{
    return (struct permit_session){.who = who, .state = who == PERMIT_ENCLAVE ? PERMIT_STARTING : PERMIT_CALLER};
}

static enum status decode_header(struct bytes packet, struct monitor_header *header, struct bytes *payload)
{
    if (packet.len < sizeof *header)
        return TRUNCATED;
    memcpy(header, packet.data, sizeof *header);
    *payload = bytes_slice(packet, sizeof *header, packet.len - sizeof *header);
    if (packet.len > MONITOR_MESSAGE_MAX)
        return NO_ROOM;
    if (header->version != MONITOR_VERSION)
        return UNSUPPORTED;
    if (header->len > payload->len)
        return TRUNCATED;
    if (header->len != payload->len || header->status || header->reserved || header->reserved1)
        return MALFORMED;
    return OK;
}

static const struct permission *find(const struct permit_session *session, uint16_t operation)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].operation == operation && table[i].who == session->who && table[i].states & session->state &&
            !(table[i].once && session->asked >> operation & 1))
            return &table[i];
    return NULL;
}

static enum status decode_report(struct bytes payload, struct monitor_report *report)
{
    memcpy(report, payload.data, sizeof *report);
    bool good = report->reserved == 0 && report->nonce_len <= MONITOR_NONCE_MAX &&
                (report->nonce_len == 0 || report->nonce_len >= 8);
    return good ? OK : MALFORMED;
}

static enum status decode_seal(struct bytes payload, struct monitor_seal *seal)
{
    memcpy(seal, payload.data, sizeof *seal);
    /* Zero padded text: nothing hides behind its end. */
    bool ended = false, good = seal->label[0] != 0 && seal->open <= 1;
    for (size_t i = 0; i < sizeof seal->label; i++) {
        good = good && !(ended && seal->label[i]);
        ended = ended || seal->label[i] == 0;
    }
    return good ? OK : MALFORMED;
}

static enum status decode_advance(struct bytes payload, struct monitor_advance *advance, struct bytes *record)
{
    memcpy(advance, payload.data, sizeof *advance);
    *record = bytes_slice(payload, sizeof *advance, payload.len - sizeof *advance);
    return advance->reserved == 0 && advance->strict <= 1 ? OK : MALFORMED;
}

static bool may_stand_in_name(char c, bool first)
{
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || (!first && (c == '.' || c == '_' || c == '-'));
}

/* It becomes part of a path: one plain name, nothing above it and nothing behind its end. */
static enum status decode_instance(struct bytes payload, struct monitor_instance *instance)
{
    size_t len = 0;
    if (payload.len == 0)
        return OK;
    if (payload.len != sizeof *instance)
        return MALFORMED;
    memcpy(instance, payload.data, sizeof *instance);
    while (len < sizeof instance->name && may_stand_in_name(instance->name[len], len == 0))
        len++;
    bool good = len > 0 && len < sizeof instance->name;
    for (size_t i = len; i < sizeof instance->name; i++)
        good = good && instance->name[i] == 0;
    return good ? OK : MALFORMED;
}

static enum status decode_attach(struct bytes payload, struct monitor_attach *attach)
{
    if (payload.len <= sizeof attach->instance)
        return decode_instance(payload, &attach->instance);
    if (payload.len != sizeof *attach)
        return MALFORMED;
    memcpy(attach, payload.data, sizeof *attach);
    TRY(decode_instance(bytes_slice(payload, 0, sizeof attach->instance), &attach->instance));
    return attach->relaxed <= 1 && attach->reserved == 0 ? OK : MALFORMED;
}

static enum status decode_measure(struct bytes payload, struct monitor_measure *measure)
{
    memcpy(measure, payload.data, sizeof *measure);
    return measure->given != 0 && measure->given >> MONITOR_PARTS == 0 && measure->reserved == 0 ? OK : MALFORMED;
}

static enum status decode(struct bytes payload, struct permit_request *request)
{
    if (request->operation == MONITOR_FORGET) {
        memcpy(&request->of.forget.what, payload.data, sizeof request->of.forget.what);
        payload = bytes_slice(payload, sizeof request->of.forget.what, payload.len - sizeof request->of.forget.what);
        request->of.forget.token = payload;
        return OK;
    }
    if (request->operation == MONITOR_REPORT)
        return decode_report(payload, &request->of.report);
    if (request->operation == MONITOR_SEAL_KEY)
        return decode_seal(payload, &request->of.seal);
    if (request->operation == MONITOR_ADVANCE)
        return decode_advance(payload, &request->of.advance.what, &request->of.advance.record);
    if (request->operation == MONITOR_RECORD) {
        memcpy(&request->of.record, payload.data, sizeof request->of.record);
        return OK;
    }
    if (request->operation == MONITOR_ATTACH)
        return decode_attach(payload, &request->of.attach);
    if (request->operation == MONITOR_STATUS)
        return decode_instance(payload, &request->of.instance);
    if (request->operation == MONITOR_MEASURE)
        return decode_measure(payload, &request->of.measure);
    if (request->operation == MONITOR_LAUNCHES) {
        memcpy(&request->of.from, payload.data, sizeof request->of.from);
        return OK;
    }
    request->of.blob = payload;
    return OK;
}

enum status permit_check(struct permit_session *session, struct bytes packet, struct permit_request *request)
{
    struct monitor_header header = {0};
    struct bytes payload = {0};
    request->operation = 0;
    enum status status = decode_header(packet, &header, &payload);
    request->operation = header.operation;
    if (status != OK)
        return status;
    const struct permission *permission = find(session, header.operation);
    if (!permission)
        return DENIED;
    if (payload.len < permission->len_min)
        return TRUNCATED;
    if (payload.len > permission->len_max)
        return MALFORMED;
    struct permit_request got = {.operation = header.operation};
    TRY(decode(payload, &got));
    *request = got;
    session->asked |= 1ull << header.operation;
    if (permission->next)
        session->state = permission->next;
    return OK;
}

enum status permit_put_reply(struct writer *writer, uint16_t operation, enum status status, struct bytes payload)
{
    struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = operation, .status = (uint16_t)status, .len = (uint32_t)payload.len};
    if (payload.len > MONITOR_MESSAGE_MAX - sizeof header)
        return NO_ROOM;
    put_bytes(writer, bytes_from(&header, sizeof header));
    put_bytes(writer, payload);
    return writer_end(writer);
}
