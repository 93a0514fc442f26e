/* Views: comparing, slicing, hex, wiping. */
#include "base.h"

#include <string.h>

const char *status_word(enum status status)
{
    static const char *const words[] = {
        "ok",          "truncated",          "malformed",     "unsupported", "no room",
        "wrong state", "not authentic",      "replayed",      "denied",      "not found",
        "busy",        "input/output error", "internal error"};
    size_t index = (size_t)status;
    return index < sizeof words / sizeof words[0] ? words[index] : "unknown status";
}

struct bytes bytes_from_text(const char *text)
{
    return text ? bytes_from(text, strlen(text)) : (struct bytes){0};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

struct bytes bytes_slice(struct bytes whole, size_t off, size_t len)
{
    if (off > whole.len || len > whole.len - off)
        return (struct bytes){0};
    return (struct bytes){len ? whole.data + off : NULL, len};
}

/* The empty asm keeps the compiler from dropping a store to memory that is about to die. */
void wipe(void *data, size_t len)
{
    if (len == 0)
        return;
    memset(data, 0, len);
    __asm__ volatile("" : : "r"(data) : "memory");
}

bool ct_equal(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *left = a;
    const volatile uint8_t *right = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < len; i++)
        difference = (uint8_t)(difference | (left[i] ^ right[i]));
    return difference == 0;
}

void secret_wipe(struct secret *secret)
{
    wipe(secret, sizeof *secret);
}

enum status secret_set(struct secret *secret, struct bytes value)
{
    if (value.len > sizeof secret->data)
        return NO_ROOM;
    wipe(secret->data, sizeof secret->data);
    if (value.len)
        memcpy(secret->data, value.data, value.len);
    secret->len = value.len;
    return OK;
}

struct bytes secret_bytes(const struct secret *secret)
{
    return bytes_from(secret->data, secret->len);
}

enum status hex_encode(struct bytes bytes, char *text, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    if (cap == 0 || bytes.len > (cap - 1) / 2)
        return NO_ROOM;
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    text[2 * bytes.len] = 0;
    return OK;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

enum status hex_decode(const char *text, struct writer *writer)
{
    size_t len = strlen(text);
    if (len % 2 != 0)
        return MALFORMED;
    for (size_t i = 0; i < len; i++)
        if (hex_value(text[i]) < 0)
            return MALFORMED;
    for (size_t i = 0; i < len; i += 2)
        put_u8(writer, (uint8_t)(hex_value(text[i]) * 16 + hex_value(text[i + 1])));
    return writer->status;
}
