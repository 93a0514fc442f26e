/* The appender every encoder is written with: put, put, put, then one check at the end. */
#include "base.h"

#include <string.h>

struct writer writer_over(void *data, size_t cap)
{
    return (struct writer){data, cap, 0, OK};
}

void writer_fail(struct writer *writer, enum status status)
{
    if (writer->status == OK)
        writer->status = status;
}

uint8_t *put_space(struct writer *writer, size_t len)
{
    if (writer->status == OK && len > writer->cap - writer->len)
        writer->status = NO_ROOM;
    if (writer->status != OK)
        return NULL;
    uint8_t *space = writer->data + writer->len;
    writer->len += len;
    return space;
}

void put_bytes(struct writer *writer, struct bytes bytes)
{
    uint8_t *space = put_space(writer, bytes.len);
    if (space && bytes.len)
        memcpy(space, bytes.data, bytes.len);
}

void put_text(struct writer *writer, const char *text)
{
    put_bytes(writer, bytes_from_text(text));
}

static void put_be(struct writer *writer, uint64_t value, size_t len)
{
    uint8_t *space = put_space(writer, len);
    for (size_t i = 0; space && i < len; i++)
        space[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
}

static void put_le(struct writer *writer, uint64_t value, size_t len)
{
    uint8_t *space = put_space(writer, len);
    for (size_t i = 0; space && i < len; i++)
        space[i] = (uint8_t)(value >> (8 * i));
}

void put_u8(struct writer *writer, uint8_t value)
{
    put_be(writer, value, 1);
}

void put_u16be(struct writer *writer, uint16_t value)
{
    put_be(writer, value, 2);
}

void put_u32be(struct writer *writer, uint32_t value)
{
    put_be(writer, value, 4);
}

void put_u64be(struct writer *writer, uint64_t value)
{
    put_be(writer, value, 8);
}

void put_u16le(struct writer *writer, uint16_t value)
{
    put_le(writer, value, 2);
}

void put_u32le(struct writer *writer, uint32_t value)
{
    put_le(writer, value, 4);
}

void put_u64le(struct writer *writer, uint64_t value)
{
    put_le(writer, value, 8);
}

struct bytes writer_bytes(const struct writer *writer)
{
    return writer->status == OK ? bytes_from(writer->data, writer->len) : (struct bytes){0};
}

enum status writer_end(const struct writer *writer)
{
    return writer->status;
}
