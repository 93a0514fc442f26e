/* Input keying material as bytes. */
#include "cbor.h"
#include "oscore_internal.h"

#include <string.h>

#define SECRET_MIN 16
#define SECRET_MAX 32

static bool aead_is_known(enum crypto_aead_alg aead)
{
    return aead == CRYPTO_AES_CCM_16_64_128 || aead == CRYPTO_AES_CCM_16_128_128 || aead == CRYPTO_A128GCM ||
           aead == CRYPTO_A256GCM;
}

bool oscore_input_is_good(const struct oscore_input *input)
{
    const struct oscore_id *sender = &input->sender, *recipient = &input->recipient;
    return aead_is_known(input->aead) && input->master_secret.len >= SECRET_MIN &&
           input->master_secret.len <= SECRET_MAX && input->master_salt_len <= OSCORE_SALT_MAX &&
           sender->len <= OSCORE_ID_MAX && recipient->len <= OSCORE_ID_MAX &&
           !bytes_equal(bytes_from(sender->data, sender->len), bytes_from(recipient->data, recipient->len));
}

void oscore_put_input(struct writer *writer, const struct oscore_input *input)
{
    if (!oscore_input_is_good(input) || (input->hkdf && input->hkdf != CRYPTO_SHA256)) {
        writer_fail(writer, MALFORMED);
        return;
    }
    cbor_put_array(writer, 5);
    cbor_put_int(writer, (int64_t)input->aead);
    cbor_put_bytes(writer, secret_bytes(&input->master_secret));
    cbor_put_bytes(writer, bytes_from(input->master_salt, input->master_salt_len));
    cbor_put_bytes(writer, bytes_from(input->sender.data, input->sender.len));
    cbor_put_bytes(writer, bytes_from(input->recipient.data, input->recipient.len));
}

static size_t take_into(struct reader *reader, uint8_t *room, size_t cap)
{
    struct bytes value = cbor_take_bytes(reader);
    if (value.len > cap) {
        reader_fail(reader, MALFORMED);
        return 0;
    }
    if (value.len)
        memcpy(room, value.data, value.len);
    return value.len;
}

enum status oscore_input_decode(struct bytes encoded, struct oscore_input *input)
{
    __attribute__((cleanup(oscore_input_wipe))) struct oscore_input got = {0};
    struct reader reader = reader_over(encoded);
    if (cbor_take_array(&reader) != 5)
        reader_fail(&reader, MALFORMED);
    uint64_t aead = cbor_take_uint(&reader);
    got.aead = (enum crypto_aead_alg)(aead <= 255 ? aead : 0);
    got.master_secret.len = take_into(&reader, got.master_secret.data, SECRET_MAX);
    got.master_salt_len = take_into(&reader, got.master_salt, sizeof got.master_salt);
    got.sender.len = take_into(&reader, got.sender.data, sizeof got.sender.data);
    got.recipient.len = take_into(&reader, got.recipient.data, sizeof got.recipient.data);
    TRY(reader_end(&reader));
    if (!oscore_input_is_good(&got))
        return MALFORMED;
    *input = got;
    return OK;
}

void oscore_input_mirror(const struct oscore_input *input, struct oscore_input *mirrored)
{
    struct oscore_input copy = *input;
    copy.sender = input->recipient;
    copy.recipient = input->sender;
    *mirrored = copy;
    oscore_input_wipe(&copy);
}

void oscore_input_wipe(struct oscore_input *input)
{
    wipe(input, sizeof *input);
}
