/* Replies of the control channel. */
#include "swtpm.h"

enum shape { RESULT, CAPABILITIES, ESTABLISHED, STATE, CONFIG, BUFFER, INFO };

static enum shape shape_of(enum swtpm_command command)
{
    switch (command) {
    case SWTPM_GET_CAPABILITY:
        return CAPABILITIES;
    case SWTPM_GET_ESTABLISHED:
        return ESTABLISHED;
    case SWTPM_GET_STATE:
        return STATE;
    case SWTPM_GET_CONFIG:
        return CONFIG;
    case SWTPM_SET_BUFFER_SIZE:
        return BUFFER;
    case SWTPM_GET_INFO:
        return INFO;
    case SWTPM_INIT:
    case SWTPM_SHUTDOWN:
    case SWTPM_SET_LOCALITY:
    case SWTPM_HASH_START:
    case SWTPM_HASH_DATA:
    case SWTPM_HASH_END:
    case SWTPM_CANCEL:
    case SWTPM_STORE_VOLATILE:
    case SWTPM_RESET_ESTABLISHED:
    case SWTPM_SET_STATE:
    case SWTPM_STOP:
    case SWTPM_SET_DATAFD:
        break;
    }
    return RESULT;
}

static void put_counted(struct writer *writer, struct bytes data, size_t max)
{
    if (data.len > max)
        writer_fail(writer, NO_ROOM);
    put_u32be(writer, (uint32_t)data.len);
    put_bytes(writer, data);
}

void swtpm_put_reply(struct writer *writer, enum swtpm_command command, const struct swtpm_reply *reply)
{
    put_u32be(writer, reply->result);
    if (reply->bare)
        return;
    switch (shape_of(command)) {
    case CAPABILITIES:
        put_u32be(writer, reply->of.capabilities);
        break;
    case ESTABLISHED:
        put_u8(writer, reply->of.established);
        put_bytes(writer, BYTES_OF("\0\0")); /* its NUL is the third byte of padding */
        break;
    case STATE:
        put_u32be(writer, reply->of.state.flags);
        put_u32be(writer, reply->of.state.total);
        put_counted(writer, reply->of.state.blob, SWTPM_BLOB_MAX);
        break;
    case CONFIG:
        put_u32be(writer, reply->of.config);
        break;
    case BUFFER:
        put_u32be(writer, reply->of.buffer.used);
        put_u32be(writer, reply->of.buffer.min);
        put_u32be(writer, reply->of.buffer.max);
        break;
    case INFO:
        put_u32be(writer, reply->of.info.total);
        put_counted(writer, reply->of.info.text, SWTPM_INFO_MAX);
        break;
    case RESULT:
        break;
    }
}

static struct bytes take_counted(struct reader *reader, size_t max)
{
    uint32_t len = take_u32be(reader);
    if (len > max)
        reader_fail(reader, NO_ROOM);
    return take_bytes(reader, len);
}

static void take_established(struct reader *reader, struct swtpm_reply *reply)
{
    reply->of.established = take_u8(reader);
    (void)take_bytes(reader, 3);
    if (reply->of.established > 1)
        reader_fail(reader, MALFORMED);
}

static void take_body(struct reader *reader, enum shape shape, struct swtpm_reply *reply)
{
    switch (shape) {
    case CAPABILITIES:
        reply->of.capabilities = take_u32be(reader);
        break;
    case ESTABLISHED:
        take_established(reader, reply);
        break;
    case STATE:
        reply->of.state.flags = take_u32be(reader);
        reply->of.state.total = take_u32be(reader);
        reply->of.state.blob = take_counted(reader, SWTPM_BLOB_MAX);
        if (reply->of.state.blob.len > reply->of.state.total)
            reader_fail(reader, MALFORMED);
        break;
    case CONFIG:
        reply->of.config = take_u32be(reader);
        break;
    case BUFFER:
        reply->of.buffer.used = take_u32be(reader);
        reply->of.buffer.min = take_u32be(reader);
        reply->of.buffer.max = take_u32be(reader);
        break;
    case INFO:
        reply->of.info.total = take_u32be(reader);
        reply->of.info.text = take_counted(reader, SWTPM_INFO_MAX);
        if (reply->of.info.text.len > reply->of.info.total)
            reader_fail(reader, MALFORMED);
        break;
    case RESULT:
        break;
    }
}

enum status swtpm_reply_decode(enum swtpm_command command, struct bytes encoded, struct swtpm_reply *reply)
{
    const enum shape shape = shape_of(command);
    struct reader reader = reader_over(encoded);
    struct swtpm_reply got = {.result = take_u32be(&reader)};
    /* A success is never cut short; a refusal may be. */
    got.bare = shape != RESULT && got.result != SWTPM_OK && reader.rest.len == 0;
    if (!got.bare)
        take_body(&reader, shape, &got);
    TRY(reader_end(&reader));
    *reply = got;
    return OK;
}
