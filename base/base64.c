/* base64url without padding (RFC 4648 §5), strict: one text for each string of bytes and no other. */
#include "base.h"

#include <string.h>

enum status base64url_encode(struct bytes bytes, char *text, size_t cap)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (cap == 0 || bytes.len > SIZE_MAX / 2 || (bytes.len * 4 + 2) / 3 > cap - 1)
        return NO_ROOM;
    size_t len = 0;
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        held = held << 8 | bytes.data[i];
        for (bits += 8; bits >= 6; bits -= 6)
            text[len++] = alphabet[held >> (bits - 6) & 63];
    }
    if (bits > 0)
        text[len++] = alphabet[held << (6 - bits) & 63];
    text[len] = 0;
    return OK;
}

static int base64url_value(char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '-' ? 62 : letter == '_' ? 63 : -1;
}

/* Checked whole before a byte is put, so that a refusal leaves the writer as it was. */
enum status base64url_decode(const char *text, struct writer *writer)
{
    size_t len = strlen(text);
    if (len % 4 == 1)
        return MALFORMED;
    for (size_t i = 0; i < len; i++)
        if (base64url_value(text[i]) < 0)
            return MALFORMED;
    unsigned unused = len % 4 == 2 ? 15 : len % 4 == 3 ? 3 : 0;
    if (unused && ((unsigned)base64url_value(text[len - 1]) & unused) != 0)
        return MALFORMED;
    uint8_t *space = put_space(writer, len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0));
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; space && i < len; i++) {
        held = held << 6 | (uint32_t)base64url_value(text[i]);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *space++ = (uint8_t)(held >> bits);
        }
    }
    return writer->status;
}
