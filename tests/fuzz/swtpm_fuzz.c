/* The control and data channel of swtpm: what is decoded encodes to the same, and a frame never ends past what was
 * seen. */
#include "swtpm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t room[SWTPM_REQUEST_MAX + 64];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void request(struct bytes input)
{
    struct swtpm_request got;
    size_t len = 0;
    enum status framed = swtpm_request_len(input, &len);
    must(framed != OK || (len >= 4 && len <= input.len));
    if (framed == OK)
        input.len = len;
    enum status status = swtpm_request_decode(input, &got);
    must(status == framed);
    if (status != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    swtpm_put_request(&writer, &got);
    must(writer_end(&writer) == OK);
    /* But for padding, which is nobody's. */
    if (got.command == SWTPM_GET_INFO)
        writer.len -= 4;
    must(writer.len <= len && bytes_equal(writer_bytes(&writer), bytes_slice(input, 0, writer.len)));
}

static void reply(enum swtpm_command command, struct bytes input)
{
    struct swtpm_reply got;
    if (swtpm_reply_decode(command, input, &got) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    swtpm_put_reply(&writer, command, &got);
    must(writer_end(&writer) == OK && writer.len == input.len);
    if (command != SWTPM_GET_ESTABLISHED)
        must(bytes_equal(writer_bytes(&writer), input));
}

static void command(struct bytes input)
{
    struct swtpm_tpm_command got;
    size_t len = 0;
    if (swtpm_tpm_len(input, &len) != OK)
        return;
    must(len <= input.len);
    must(swtpm_tpm_decode(bytes_slice(input, 0, len), &got) == OK);
    must(got.command.len == len - (got.prefixed ? SWTPM_PREFIX : 0) && got.command.len >= SWTPM_TPM_HEADER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes input = bytes_from(data, len);
    request(input);
    command(input);
    if (len > 0)
        reply((enum swtpm_command)(1 + data[0] % SWTPM_GET_INFO), bytes_slice(input, 1, len - 1));
    return 0;
}
