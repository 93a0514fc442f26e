/* The cursor every decoder is written with: take, take, take, then one check at the end. */
#include "base.h"

void reader_fail(struct reader *reader, enum status status)
{
    if (reader->status == OK)
        reader->status = status;
}

struct bytes take_rest(struct reader *reader)
{
    return take_bytes(reader, reader->rest.len);
}

static uint64_t take_le(struct reader *reader, size_t len)
{
    struct bytes taken = take_bytes(reader, len);
    uint64_t value = 0;
    for (size_t i = taken.len; i > 0; i--)
        value = value << 8 | taken.data[i - 1];
    return value;
}

uint16_t take_u16le(struct reader *reader)
{
    return (uint16_t)take_le(reader, 2);
}

uint32_t take_u32le(struct reader *reader)
{
    return (uint32_t)take_le(reader, 4);
}

uint64_t take_u64le(struct reader *reader)
{
    return take_le(reader, 8);
}

uint8_t peek_u8(const struct reader *reader)
{
    return reader->status == OK && reader->rest.len ? reader->rest.data[0] : 0;
}

enum status reader_end(const struct reader *reader)
{
    if (reader->status != OK)
        return reader->status;
    return reader->rest.len ? MALFORMED : OK;
}
