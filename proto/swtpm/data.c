/* The data channel: a TPM command says its own length; a prefix, where there is one, must say the same. */
#include "swtpm.h"

#define SEND_COMMAND 8u

/* The prefix begins with 00 00, a TPM command with 80 01 or 80 02, TPM 1.2's with 00 c1 and up. */
static bool is_prefixed(struct bytes seen)
{
    struct reader reader = reader_over(seen);
    return take_u16be(&reader) == 0 && reader.status == OK;
}

enum status swtpm_tpm_len(struct bytes seen, size_t *len)
{
    size_t prefix = 0;
    uint32_t announced = 0;
    if (seen.len < 2)
        return TRUNCATED;
    struct reader reader = reader_over(seen);
    if (is_prefixed(seen)) {
        prefix = SWTPM_PREFIX;
        bool known = take_u32be(&reader) == SEND_COMMAND;
        (void)take_u8(&reader);
        announced = take_u32be(&reader);
        if (reader.status != OK)
            return reader.status;
        if (!known)
            return MALFORMED;
    }
    (void)take_u16be(&reader);
    uint32_t command = take_u32be(&reader);
    if (reader.status != OK)
        return reader.status;
    if (command < SWTPM_TPM_HEADER || (prefix && announced != command))
        return MALFORMED;
    if (command > SWTPM_TPM_MAX)
        return NO_ROOM;
    if (seen.len - prefix < command)
        return TRUNCATED;
    *len = prefix + command;
    return OK;
}

enum status swtpm_tpm_decode(struct bytes encoded, struct swtpm_tpm_command *command)
{
    size_t len = 0;
    TRY(swtpm_tpm_len(encoded, &len));
    if (len != encoded.len)
        return MALFORMED;
    const bool prefixed = is_prefixed(encoded);
    struct reader reader = reader_over(encoded);
    struct swtpm_tpm_command got = {.prefixed = prefixed};
    if (prefixed) {
        (void)take_u32be(&reader);
        got.locality = take_u8(&reader);
        (void)take_u32be(&reader);
    }
    got.command = reader.rest;
    (void)take_u16be(&reader);
    (void)take_u32be(&reader);
    got.code = take_u32be(&reader);
    *command = got;
    return OK;
}

void swtpm_put_response(struct writer *writer, bool prefixed, struct bytes response)
{
    if (response.len > SWTPM_TPM_MAX)
        writer_fail(writer, NO_ROOM);
    if (prefixed)
        put_u32be(writer, (uint32_t)response.len);
    put_bytes(writer, response);
    if (prefixed)
        put_u32be(writer, 0);
}
