/* Connection identifiers, ID_CRED_x and credentials that are no certificates (RFC 9528 §3.3, §3.5; RFC 9360). */
#include "edhoc_internal.h"

#include <string.h>

enum { PARAMETER_KID = 4, PARAMETER_KCCS = 14, PARAMETER_X5CHAIN = 33, PARAMETER_X5T = 34 };
enum { ALG_SHA256 = -16, ALG_SHA256_64 = -15 };
enum { CLAIM_SUBJECT = 2, CLAIM_CNF = 8, CNF_KEY = 1 };

#define SHA256_64_LEN 8

/* A byte that is a CBOR integer from -24 to 23 (§3.3.2). */
static bool is_integer(uint8_t byte)
{
    return byte <= 0x17 || (byte >= 0x20 && byte <= 0x37);
}

void edhoc_put_id(struct writer *writer, struct bytes id)
{
    if (id.len == 1 && is_integer(id.data[0]))
        put_u8(writer, id.data[0]);
    else
        cbor_put_bytes(writer, id);
}

struct bytes edhoc_take_id(struct reader *reader, uint8_t byte[1])
{
    uint8_t first = peek_u8(reader);
    if (reader->rest.len && is_integer(first)) {
        byte[0] = take_u8(reader);
        return bytes_from(byte, 1);
    }
    struct bytes id = cbor_take_bytes(reader);
    if (id.len == 1 && is_integer(id.data[0]))
        reader_fail(reader, MALFORMED);
    return id;
}

void edhoc_put_kid(struct writer *writer, struct bytes kid)
{
    if (kid.len > EDHOC_KID_MAX)
        writer_fail(writer, NO_ROOM);
    cbor_put_map(writer, 1);
    cbor_put_uint(writer, PARAMETER_KID);
    cbor_put_bytes(writer, kid);
}

void edhoc_put_kccs(struct writer *writer, struct bytes claims)
{
    cbor_put_map(writer, 1);
    cbor_put_uint(writer, PARAMETER_KCCS);
    cbor_put_raw(writer, claims);
}

void edhoc_put_x5chain(struct writer *writer, const struct bytes *certificates, size_t count)
{
    if (count == 0 || count > EDHOC_CHAIN_MAX)
        writer_fail(writer, NO_ROOM);
    cbor_put_map(writer, 1);
    cbor_put_uint(writer, PARAMETER_X5CHAIN);
    if (count > 1)
        cbor_put_array(writer, count);
    for (size_t i = 0; i < count; i++)
        cbor_put_bytes(writer, certificates[i]);
}

void edhoc_put_x5t(struct writer *writer, struct bytes certificate)
{
    uint8_t hash[CRYPTO_HASH_MAX];
    enum status status = crypto_hash(CRYPTO_SHA256, &certificate, 1, hash);
    if (status != OK)
        writer_fail(writer, status);
    cbor_put_map(writer, 1);
    cbor_put_uint(writer, PARAMETER_X5T);
    cbor_put_array(writer, 2);
    cbor_put_int(writer, ALG_SHA256_64);
    cbor_put_bytes(writer, bytes_from(hash, SHA256_64_LEN));
}

static void take_chain(struct reader *reader, struct edhoc_reference *reference)
{
    size_t count = 1;
    if (cbor_peek_type(reader) == CBOR_ARRAY) {
        count = cbor_take_array(reader);
        if (count < 2)
            reader_fail(reader, MALFORMED);
        if (count > EDHOC_CHAIN_MAX)
            reader_fail(reader, NO_ROOM);
    }
    for (size_t i = 0; i < count && reader->status == OK; i++)
        reference->certificates[i] = cbor_take_bytes(reader);
    reference->certificates_count = count;
}

static void take_hash(struct reader *reader, struct edhoc_reference *reference)
{
    if (cbor_take_array(reader) != 2)
        reader_fail(reader, MALFORMED);
    reference->hash_alg = cbor_take_int(reader);
    reference->hash = cbor_take_bytes(reader);
}

enum status reference_decode(struct bytes id_cred, struct edhoc_reference *reference)
{
    struct reader reader = reader_over(id_cred);
    struct edhoc_reference got = {.kind = EDHOC_OTHER, .encoded = id_cred};
    if (cbor_take_map(&reader) != 1) {
        *reference = got;
        return reader.status;
    }
    switch (cbor_peek_type(&reader) == CBOR_UINT ? cbor_take_uint(&reader) : 0) {
    case PARAMETER_KID:
        got.kind = EDHOC_KID;
        got.kid = cbor_take_bytes(&reader);
        break;
    case PARAMETER_KCCS:
        got.kind = EDHOC_KCCS;
        got.claims = cbor_take_item(&reader);
        break;
    case PARAMETER_X5CHAIN:
        got.kind = EDHOC_X5CHAIN;
        take_chain(&reader, &got);
        break;
    case PARAMETER_X5T:
        got.kind = EDHOC_X5T;
        take_hash(&reader, &got);
        break;
    default:
        *reference = got;
        return reader.status;
    }
    TRY(reader_end(&reader));
    *reference = got;
    return OK;
}

bool edhoc_reference_is(const struct edhoc_reference *reference, struct bytes certificate)
{
    uint8_t hash[CRYPTO_HASH_MAX];
    if (reference->kind == EDHOC_X5CHAIN)
        return bytes_equal(reference->certificates[0], certificate);
    if (reference->kind != EDHOC_X5T || crypto_hash(CRYPTO_SHA256, &certificate, 1, hash) != OK)
        return false;
    size_t len = reference->hash_alg == ALG_SHA256 ? 32 : reference->hash_alg == ALG_SHA256_64 ? SHA256_64_LEN : 0;
    return len > 0 && bytes_equal(reference->hash, bytes_from(hash, len));
}

struct bytes compact_id_cred(struct bytes id_cred, uint8_t room[EDHOC_KID_MAX + 2])
{
    struct edhoc_reference reference;
    if (reference_decode(id_cred, &reference) != OK || reference.kind != EDHOC_KID)
        return id_cred;
    struct writer writer = writer_over(room, EDHOC_KID_MAX + 2);
    edhoc_put_id(&writer, reference.kid);
    return writer_bytes(&writer);
}

void edhoc_put_claims(struct writer *writer, const char *subject, const struct crypto_public *key, struct bytes kid)
{
    cbor_put_map(writer, 2);
    cbor_put_uint(writer, CLAIM_SUBJECT);
    cbor_put_text(writer, subject);
    cbor_put_uint(writer, CLAIM_CNF);
    cbor_put_map(writer, 1);
    cbor_put_uint(writer, CNF_KEY);
    cose_put_key(writer, key, kid);
}

static void take_cnf(struct reader *reader, struct crypto_public *key)
{
    struct cbor_map_walk walk = cbor_walk_map(reader);
    while (cbor_next_key(reader, &walk)) {
        if (cbor_key_number(&walk) == CNF_KEY) {
            if (cose_take_key(reader, key, NULL) != OK)
                return;
        } else
            cbor_skip(reader);
    }
}

enum status edhoc_claims_decode(struct bytes claims, struct crypto_public *key, struct bytes *subject)
{
    struct reader reader = reader_over(claims);
    struct crypto_public got = {0};
    struct bytes name = {0};
    struct cbor_map_walk walk = cbor_walk_map(&reader);
    while (cbor_next_key(&reader, &walk)) {
        int64_t claim = cbor_key_number(&walk);
        if (claim == CLAIM_SUBJECT)
            name = cbor_take_text(&reader);
        else if (claim == CLAIM_CNF)
            take_cnf(&reader, &got);
        else
            cbor_skip(&reader);
    }
    TRY(reader_end(&reader));
    if (got.len == 0)
        return MALFORMED;
    *key = got;
    *subject = name;
    return OK;
}
