/* JSON text taken apart without parsing it anew: whoever prints what others wrote prints their letters. */
#include "cli.h"

#include <string.h>

/* strchr() finds the NUL too, as it should: jansson overlooks one behind a number. */
static size_t skip_space(struct bytes text, size_t at)
{
    while (at < text.len && strchr(" \t\r\n", text.data[at]))
        at++;
    return at;
}

static size_t skip_string(struct bytes text, size_t at)
{
    for (at++; at < text.len && text.data[at] != '"'; at++)
        if (text.data[at] == '\\')
            at++;
    return at < text.len ? at + 1 : text.len;
}

/* One value, whatever it is. Well-formed text is balanced, so counting brackets outside strings is enough. */
static size_t skip_value(struct bytes text, size_t at)
{
    size_t depth = 0;
    while (at < text.len) {
        uint8_t letter = text.data[at];
        if (letter == '"')
            at = skip_string(text, at);
        else if (letter == '{' || letter == '[')
            depth++, at++;
        else if ((letter == '}' || letter == ']') && depth > 0)
            depth--, at++;
        else if (depth == 0)
            while (at < text.len && !strchr(",]} \t\r\n", text.data[at]))
                at++;
        else
            at++;
        if (depth == 0)
            break;
    }
    return at;
}

struct bytes cli_json_member(struct bytes object, const char *name)
{
    size_t at = skip_space(object, 0), wanted = strlen(name);
    if (at >= object.len || object.data[at] != '{')
        return (struct bytes){0};
    for (at = skip_space(object, at + 1); at < object.len && object.data[at] == '"';) {
        size_t begin = at + 1;
        at = skip_string(object, at);
        bool found = at - 1 - begin == wanted && memcmp(object.data + begin, name, wanted) == 0;
        at = skip_space(object, at);
        at = skip_space(object, at + 1); /* the colon */
        size_t end = skip_value(object, at);
        if (found)
            return bytes_slice(object, at, end - at);
        at = skip_space(object, end);
        if (at < object.len && object.data[at] == ',')
            at = skip_space(object, at + 1);
    }
    return (struct bytes){0};
}

struct bytes cli_json_next(struct bytes array, size_t *off)
{
    size_t at = skip_space(array, *off);
    if (*off == 0) {
        if (at >= array.len || array.data[at] != '[')
            return (struct bytes){0};
        at = skip_space(array, at + 1);
    }
    if (at < array.len && array.data[at] == ',')
        at = skip_space(array, at + 1);
    if (at >= array.len || array.data[at] == ']')
        return (struct bytes){0};
    size_t end = skip_value(array, at);
    *off = end;
    return bytes_slice(array, at, end - at);
}

enum status cli_make_id(uint64_t time_ms, const uint8_t random[10], char text[37])
{
    uint8_t id[16];
    char hex[33];
    struct writer writer = writer_over(id, sizeof id);
    put_u16be(&writer, (uint16_t)(time_ms >> 32));
    put_u32be(&writer, (uint32_t)time_ms);
    put_bytes(&writer, bytes_from(random, 10));
    TRY(writer_end(&writer));
    id[6] = (uint8_t)(0x70 | (id[6] & 0x0f));
    id[8] = (uint8_t)(0x80 | (id[8] & 0x3f));
    TRY(hex_encode(BYTES_OF(id), hex, sizeof hex));
    snprintf(text, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return OK;
}
