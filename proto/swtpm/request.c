/* Control commands: where one ends, and what it says. */
#include "swtpm.h"

#define PADDING 3u /* after a locality */

/* Bytes of a body before anything of variable length; -1: there is no such command. */
static int fixed_len(uint32_t command)
{
    switch (command) {
    case SWTPM_GET_CAPABILITY:
    case SWTPM_SHUTDOWN:
    case SWTPM_GET_ESTABLISHED:
    case SWTPM_HASH_START:
    case SWTPM_HASH_END:
    case SWTPM_CANCEL:
    case SWTPM_STORE_VOLATILE:
    case SWTPM_STOP:
    case SWTPM_GET_CONFIG:
    case SWTPM_SET_DATAFD:
        return 0;
    case SWTPM_SET_LOCALITY:
    case SWTPM_RESET_ESTABLISHED:
        return 1;
    case SWTPM_INIT:
    case SWTPM_HASH_DATA:
    case SWTPM_SET_BUFFER_SIZE:
        return 4;
    case SWTPM_GET_STATE:
    case SWTPM_SET_STATE:
        return 12;
    case SWTPM_GET_INFO:
        return 16;
    default:
        return -1;
    }
}

static bool has_locality(uint32_t command)
{
    return command == SWTPM_SET_LOCALITY || command == SWTPM_RESET_ESTABLISHED;
}

enum status swtpm_request_len(struct bytes seen, size_t *len)
{
    struct reader reader = reader_over(seen);
    uint32_t command = take_u32be(&reader);
    if (reader.status != OK)
        return reader.status;
    int fixed = fixed_len(command);
    if (fixed < 0)
        return UNSUPPORTED;
    size_t whole = sizeof command + (size_t)fixed;
    if (seen.len < whole)
        return TRUNCATED;
    if (has_locality(command))
        whole += seen.len - whole < PADDING ? seen.len - whole : PADDING;
    if (command == SWTPM_HASH_DATA || command == SWTPM_SET_STATE) {
        (void)take_bytes(&reader, (size_t)fixed - sizeof(uint32_t));
        uint32_t data = take_u32be(&reader);
        if (data > SWTPM_BLOB_MAX)
            return NO_ROOM;
        whole += data;
        if (seen.len < whole)
            return TRUNCATED;
    }
    *len = whole;
    return OK;
}

static void take_body(struct reader *reader, struct swtpm_request *request)
{
    switch (request->command) {
    case SWTPM_INIT:
        request->of.init_flags = take_u32be(reader);
        break;
    case SWTPM_SET_LOCALITY:
    case SWTPM_RESET_ESTABLISHED:
        request->of.locality = take_u8(reader);
        (void)take_rest(reader); /* padding: no more than the frame's length allows */
        break;
    case SWTPM_HASH_DATA:
        request->of.data = take_bytes(reader, take_u32be(reader));
        break;
    case SWTPM_GET_STATE:
        request->of.get_state.flags = take_u32be(reader);
        request->of.get_state.type = take_u32be(reader);
        request->of.get_state.off = take_u32be(reader);
        break;
    case SWTPM_SET_STATE:
        request->of.set_state.flags = take_u32be(reader);
        request->of.set_state.type = take_u32be(reader);
        request->of.set_state.blob = take_bytes(reader, take_u32be(reader));
        break;
    case SWTPM_SET_BUFFER_SIZE:
        request->of.buffer_size = take_u32be(reader);
        break;
    case SWTPM_GET_INFO:
        request->of.info.flags = take_u64be(reader);
        request->of.info.off = take_u32be(reader);
        (void)take_u32be(reader); /* padding */
        break;
    case SWTPM_GET_CAPABILITY:
    case SWTPM_SHUTDOWN:
    case SWTPM_GET_ESTABLISHED:
    case SWTPM_HASH_START:
    case SWTPM_HASH_END:
    case SWTPM_CANCEL:
    case SWTPM_STORE_VOLATILE:
    case SWTPM_STOP:
    case SWTPM_GET_CONFIG:
    case SWTPM_SET_DATAFD:
        break;
    }
}

enum status swtpm_request_decode(struct bytes encoded, struct swtpm_request *request)
{
    size_t len = 0;
    TRY(swtpm_request_len(encoded, &len));
    if (len != encoded.len)
        return MALFORMED;
    struct reader reader = reader_over(encoded);
    struct swtpm_request got = {.command = (enum swtpm_command)take_u32be(&reader)};
    take_body(&reader, &got);
    TRY(reader_end(&reader));
    *request = got;
    return OK;
}

static void put_counted(struct writer *writer, struct bytes data)
{
    if (data.len > SWTPM_BLOB_MAX)
        writer_fail(writer, NO_ROOM);
    put_u32be(writer, (uint32_t)data.len);
    put_bytes(writer, data);
}

void swtpm_put_request(struct writer *writer, const struct swtpm_request *request)
{
    if (fixed_len(request->command) < 0) {
        writer_fail(writer, MALFORMED);
        return;
    }
    put_u32be(writer, request->command);
    switch (request->command) {
    case SWTPM_INIT:
        put_u32be(writer, request->of.init_flags);
        break;
    case SWTPM_SET_LOCALITY:
    case SWTPM_RESET_ESTABLISHED:
        put_u8(writer, request->of.locality);
        break;
    case SWTPM_HASH_DATA:
        put_counted(writer, request->of.data);
        break;
    case SWTPM_GET_STATE:
        put_u32be(writer, request->of.get_state.flags);
        put_u32be(writer, request->of.get_state.type);
        put_u32be(writer, request->of.get_state.off);
        break;
    case SWTPM_SET_STATE:
        put_u32be(writer, request->of.set_state.flags);
        put_u32be(writer, request->of.set_state.type);
        put_counted(writer, request->of.set_state.blob);
        break;
    case SWTPM_SET_BUFFER_SIZE:
        put_u32be(writer, request->of.buffer_size);
        break;
    case SWTPM_GET_INFO:
        put_u64be(writer, request->of.info.flags);
        put_u32be(writer, request->of.info.off);
        put_u32be(writer, 0);
        break;
    case SWTPM_GET_CAPABILITY:
    case SWTPM_SHUTDOWN:
    case SWTPM_GET_ESTABLISHED:
    case SWTPM_HASH_START:
    case SWTPM_HASH_END:
    case SWTPM_CANCEL:
    case SWTPM_STORE_VOLATILE:
    case SWTPM_STOP:
    case SWTPM_GET_CONFIG:
    case SWTPM_SET_DATAFD:
        break;
    }
}
