/* base64url and hex from anyone: what decodes encodes to the same text, and every string of bytes comes back. */
#include "base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define INPUT_MAX 4096

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static void try_bytes(struct bytes input)
{
    static char text[2 * INPUT_MAX + 1];
    static uint8_t back[INPUT_MAX];
    size_t base64_len = (4 * input.len + 2) / 3;
    hold(base64url_encode(input, text, base64_len) == NO_ROOM);
    hold(base64url_encode(input, text, base64_len + 1) == OK && strlen(text) == base64_len);
    struct writer writer = writer_over(back, sizeof back);
    hold(base64url_decode(text, &writer) == OK && bytes_equal(writer_bytes(&writer), input));
    hold(hex_encode(input, text, 2 * input.len) == NO_ROOM);
    hold(hex_encode(input, text, 2 * input.len + 1) == OK && strlen(text) == 2 * input.len);
    writer = writer_over(back, sizeof back);
    hold(hex_decode(text, &writer) == OK && bytes_equal(writer_bytes(&writer), input));
}

static char lower(char letter)
{
    return letter >= 'A' && letter <= 'F' ? (char)(letter - 'A' + 'a') : letter;
}

static void try_text(const char *text)
{
    static uint8_t room[INPUT_MAX];
    static char again[2 * INPUT_MAX + 1];
    struct writer writer = writer_over(room, sizeof room);
    if (base64url_decode(text, &writer) == OK) {
        hold(base64url_encode(writer_bytes(&writer), again, sizeof again) == OK && strcmp(text, again) == 0);
    }
    writer = writer_over(room, sizeof room);
    if (hex_decode(text, &writer) == OK) {
        hold(hex_encode(writer_bytes(&writer), again, sizeof again) == OK && strlen(again) == strlen(text));
        for (size_t i = 0; text[i]; i++)
            hold(lower(text[i]) == again[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static char text[INPUT_MAX + 1];
    if (len > INPUT_MAX)
        return 0;
    memcpy(text, data, len);
    text[len] = 0;
    try_bytes(bytes_from(data, len));
    try_text(text);
    return 0;
}
