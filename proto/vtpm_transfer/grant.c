/* The owner's word about one transfer. */
#include "vtpm_transfer.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

#define PROFILE "bastide vtpm grant 1"
#define ENTRIES 5
#define PAYLOAD_MAX 224

static bool key_good(const struct crypto_public *key)
{
    return key->curve == CRYPTO_P256 && key->len == crypto_public_len(CRYPTO_P256);
}

static bool purpose_good(uint64_t purpose)
{
    return purpose >= VTPM_GRANT_MOVE && purpose <= VTPM_GRANT_RESTORE;
}

enum status vtpm_grant_sign(struct writer *writer, const struct crypto_key *owner, const struct vtpm_grant *grant)
{
    uint8_t payload[PAYLOAD_MAX];
    const struct cose_headers headers = {0};
    struct writer body = writer_over(payload, sizeof payload);
    if (!purpose_good(grant->purpose) || !key_good(&grant->to) || !key_good(&grant->from))
        return MALFORMED;
    cbor_put_map(&body, ENTRIES);
    cbor_put_uint(&body, 1);
    cbor_put_text(&body, PROFILE);
    cbor_put_uint(&body, 2);
    cbor_put_uint(&body, grant->purpose);
    cbor_put_uint(&body, 3);
    cbor_put_bytes(&body, BYTES_OF(grant->instance));
    cbor_put_uint(&body, 4);
    cbor_put_bytes(&body, crypto_public_bytes(&grant->to));
    cbor_put_uint(&body, 5);
    cbor_put_bytes(&body, crypto_public_bytes(&grant->from));
    TRY(writer_end(&body));
    return cose_sign1_encode(writer, owner, &headers, (struct bytes){0}, writer_bytes(&body));
}

static void take_key(struct reader *reader, struct crypto_public *key)
{
    const struct bytes encoded = cbor_take_bytes(reader);
    if (encoded.len != crypto_public_len(CRYPTO_P256) || crypto_public_import(key, CRYPTO_P256, encoded) != OK)
        reader_fail(reader, MALFORMED);
}

static enum status decode(struct bytes payload, struct vtpm_grant *grant)
{
    struct reader reader = reader_over(payload);
    if (cbor_take_map(&reader) != ENTRIES)
        reader_fail(&reader, MALFORMED);
    cbor_take_key(&reader, 1);
    if (!bytes_equal(cbor_take_text(&reader), bytes_from_text(PROFILE)))
        reader_fail(&reader, UNSUPPORTED);
    cbor_take_key(&reader, 2);
    const uint64_t purpose = cbor_take_uint(&reader);
    if (!purpose_good(purpose))
        reader_fail(&reader, MALFORMED);
    cbor_take_key(&reader, 3);
    cbor_take_fixed(&reader, grant->instance, sizeof grant->instance);
    cbor_take_key(&reader, 4);
    take_key(&reader, &grant->to);
    cbor_take_key(&reader, 5);
    take_key(&reader, &grant->from);
    TRY(reader_end(&reader));
    grant->purpose = (enum vtpm_grant_purpose)purpose;
    return OK;
}

enum status vtpm_grant_open(struct bytes sign1, const struct crypto_public *owner, struct vtpm_grant *grant)
{
    struct bytes payload = {0};
    struct vtpm_grant got = {0};
    if (sign1.len > VTPM_TRANSFER_AUTHORITY_MAX)
        return NO_ROOM;
    TRY(cose_sign1_open(sign1, owner, &payload));
    TRY(decode(payload, &got));
    *grant = got;
    return OK;
}
