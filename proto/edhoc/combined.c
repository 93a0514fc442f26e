/* The payload of an EDHOC + OSCORE request (RFC 9668 §3.2): message 3, then the OSCORE ciphertext. */
#include "edhoc_internal.h"

void edhoc_put_combined(struct writer *writer, struct bytes message_3, struct bytes ciphertext)
{
    put_bytes(writer, message_3);
    put_bytes(writer, ciphertext);
}

enum status edhoc_combined_decode(struct bytes payload, struct bytes *message_3, struct bytes *ciphertext)
{
    struct reader reader = reader_over(payload);
    if (cbor_peek_type(&reader) != CBOR_BYTES)
        return payload.len ? MALFORMED : TRUNCATED;
    struct bytes item = cbor_take_item(&reader);
    struct bytes rest = take_rest(&reader);
    TRY(reader_end(&reader));
    if (rest.len == 0)
        return TRUNCATED;
    *message_3 = item;
    *ciphertext = rest;
    return OK;
}
