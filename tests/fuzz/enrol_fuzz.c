/* What a device is given: one-time codes as text, and the state it kept. What is decoded encodes to the same; a state
 * that is accepted is one that a device can be. */
#include "device.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct device_host host;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void code_text(struct bytes input)
{
    char text[ENROL_TEXT_MAX + 16] = "bastide:", again[ENROL_TEXT_MAX];
    struct enrol_code code, back;
    if (input.len > ENROL_TEXT_MAX)
        return;
    memcpy(text + 8, input.data, input.len);
    text[8 + input.len] = 0;
    if (enrol_code_decode(text, &code) != OK)
        return;
    must(enrol_code_encode(&code, again, sizeof again) == OK);
    must(enrol_code_decode(again, &back) == OK && memcmp(&code, &back, sizeof code) == 0);
}

/* The same, from the bytes that the text would stand for. */
static void code_bytes(struct bytes input)
{
    char text[2 * ENROL_TEXT_MAX];
    if (base64url_encode(input, text, sizeof text) == OK)
        code_text(bytes_from_text(text));
}

static void state(struct bytes input)
{
    static uint8_t room[DEVICE_STATE_MAX];
    struct device device;
    struct writer writer = writer_over(room, sizeof room);
    if (device_decode(input, &device, &host) != OK)
        return;
    device_put(&writer, &device);
    must(bytes_equal(writer_bytes(&writer), input));
    must(device_edhoc(&device)->own.id_cred.len > 0);
    device_done(&device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes input = bytes_from(data, len);
    if (crypto_init() != OK)
        abort();
    code_text(input);
    code_bytes(input);
    state(input);
    return 0;
}
