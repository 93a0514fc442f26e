/* The owner's word that a node may start from an empty table, or forget one site: {1: purpose, 2: site, 3: counter} in
 * a COSE_Sign1. */
#include "image.h"

#include "cbor.h"
#include "cose.h"

static const char *text_of(enum image_token purpose)
{
    return purpose == IMAGE_FORGET ? "bastide forget" : "bastide re-initialise";
}

enum status image_token_sign(struct writer *writer, const struct crypto_key *owner, enum image_token purpose,
                             const uint8_t site[IMAGE_SITE_LEN], uint64_t counter)
{
    uint8_t payload[64];
    const struct cose_headers headers = {0};
    struct writer body = writer_over(payload, sizeof payload);
    cbor_put_map(&body, 3);
    cbor_put_uint(&body, 1);
    cbor_put_text(&body, text_of(purpose));
    cbor_put_uint(&body, 2);
    cbor_put_bytes(&body, bytes_from(site, IMAGE_SITE_LEN));
    cbor_put_uint(&body, 3);
    cbor_put_uint(&body, counter);
    TRY(writer_end(&body));
    return cose_sign1_encode(writer, owner, &headers, (struct bytes){0}, writer_bytes(&body));
}

enum status image_token_check(struct bytes token, const struct crypto_public *owner, enum image_token purpose,
                              const uint8_t site[IMAGE_SITE_LEN], uint64_t counter)
{
    struct bytes payload = {0};
    TRY(cose_sign1_open(token, owner, &payload));
    struct reader reader = reader_over(payload);
    bool shaped = cbor_take_map(&reader) == 3 && cbor_take_uint(&reader) == 1;
    struct bytes meant = cbor_take_text(&reader);
    shaped = shaped && cbor_take_uint(&reader) == 2;
    struct bytes named = cbor_take_bytes(&reader);
    shaped = shaped && cbor_take_uint(&reader) == 3;
    uint64_t at = cbor_take_uint(&reader);
    TRY(reader_end(&reader));
    shaped = shaped && bytes_equal(meant, bytes_from_text(text_of(purpose)));
    return shaped && bytes_equal(named, bytes_from(site, IMAGE_SITE_LEN)) && at == counter ? OK : DENIED;
}
