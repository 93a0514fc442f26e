/* The owner's hello: COSE_Sign1 over {1: nonce, 2: COSE_Key}, bound to one site by its external_aad. */
#include "contact.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

enum { HELLO_NONCE = 1, HELLO_KEY = 2, HELLO_COUNT = 2 };

#define HELLO_PAYLOAD_MAX 160 /* map, nonce and an uncompressed P-256 key: 117 bytes */

enum status contact_hello_sign(struct writer *writer, const struct crypto_key *owner, const uint8_t config_id[32],
                               const struct contact_hello *hello)
{
    uint8_t room[HELLO_PAYLOAD_MAX];
    struct writer payload = writer_over(room, sizeof room);
    if (hello->ephemeral.curve != CRYPTO_P256 || owner->public_key.curve != CRYPTO_P256)
        return UNSUPPORTED;
    cbor_put_map(&payload, HELLO_COUNT);
    cbor_put_uint(&payload, HELLO_NONCE);
    cbor_put_bytes(&payload, BYTES_OF(hello->nonce));
    cbor_put_uint(&payload, HELLO_KEY);
    cose_put_key(&payload, &hello->ephemeral, (struct bytes){0});
    TRY(writer_end(&payload));
    return cose_sign1_encode(writer, owner, &(struct cose_headers){0}, bytes_from(config_id, 32),
                             writer_bytes(&payload));
}

static enum status payload_decode(struct bytes payload, struct contact_hello *hello)
{
    struct reader reader = reader_over(payload);
    struct contact_hello made = {0};
    if (cbor_take_map(&reader) != HELLO_COUNT || cbor_take_uint(&reader) != HELLO_NONCE)
        reader_fail(&reader, MALFORMED);
    struct bytes nonce = cbor_take_bytes(&reader);
    if (nonce.len != sizeof made.nonce || cbor_take_uint(&reader) != HELLO_KEY)
        reader_fail(&reader, MALFORMED);
    TRY(cose_take_key(&reader, &made.ephemeral, NULL));
    TRY(reader_end(&reader));
    if (made.ephemeral.curve != CRYPTO_P256)
        return UNSUPPORTED;
    memcpy(made.nonce, nonce.data, sizeof made.nonce);
    *hello = made;
    return OK;
}

enum status contact_hello_open(struct bytes sign1, const struct crypto_public *owner, const uint8_t config_id[32],
                               struct contact_hello *hello)
{
    struct cose_sign1 signed_hello;
    if (sign1.len > CONTACT_HELLO_MAX)
        return NO_ROOM;
    TRY(cose_sign1_decode(sign1, &signed_hello));
    TRY(cose_sign1_verify(&signed_hello, owner, bytes_from(config_id, 32)));
    return payload_decode(signed_hello.payload, hello);
}
