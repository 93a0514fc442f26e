/* COSE_Sign1 (RFC 9052 §4.2): [protected, unprotected, payload, signature]. */
#include "cose_internal.h"

/* The Sig_structure as parts, so that a payload of any size is signed where it lies. */
#define SIG_HEADS_MAX 40 /* array and text heads and "Signature1", then two more byte string heads */

struct sig_structure {
    uint8_t heads[SIG_HEADS_MAX];
    struct bytes parts[5 + COSE_AAD_PARTS_MAX];
    size_t count;
};

static enum status lay_out(struct sig_structure *structure, struct bytes protected_raw, const struct bytes *aad,
                           size_t aad_count, struct bytes payload)
{
    struct writer writer = writer_over(structure->heads, SIG_HEADS_MAX);
    struct bytes *parts = structure->parts;
    size_t aad_len = 0;
    if (aad_count > COSE_AAD_PARTS_MAX)
        return NO_ROOM;
    for (size_t i = 0; i < aad_count; i++)
        aad_len += aad[i].len;
    cbor_put_array(&writer, 4);
    cbor_put_text(&writer, "Signature1");
    cbor_put_bytes_head(&writer, protected_raw.len);
    size_t first = writer.len;
    cbor_put_bytes_head(&writer, aad_len);
    size_t second = writer.len;
    cbor_put_bytes_head(&writer, payload.len);
    struct bytes all = writer_bytes(&writer);
    *parts++ = bytes_slice(all, 0, first);
    *parts++ = protected_raw;
    *parts++ = bytes_slice(all, first, second - first);
    for (size_t i = 0; i < aad_count; i++)
        *parts++ = aad[i];
    *parts++ = bytes_slice(all, second, all.len - second);
    *parts++ = payload;
    structure->count = (size_t)(parts - structure->parts);
    return OK;
}

enum status cose_signature1_make(const struct crypto_key *key, struct bytes protected_raw, const struct bytes *aad,
                                 size_t aad_count, struct bytes payload, uint8_t *signature)
{
    struct sig_structure structure;
    TRY(lay_out(&structure, protected_raw, aad, aad_count, payload));
    return crypto_sign(key, structure.parts, structure.count, signature);
}

enum status cose_signature1_check(const struct crypto_public *public_key, struct bytes protected_raw,
                                  const struct bytes *aad, size_t aad_count, struct bytes payload,
                                  struct bytes signature)
{
    struct sig_structure structure;
    TRY(lay_out(&structure, protected_raw, aad, aad_count, payload));
    return crypto_verify(public_key->curve, crypto_public_bytes(public_key), structure.parts, structure.count,
                         signature);
}

enum status cose_sign1_encode(struct writer *writer, const struct crypto_key *key, const struct cose_headers *headers,
                              struct bytes external_aad, struct bytes payload)
{
    int64_t alg = cose_curve_alg(key->public_key.curve);
    if (alg == 0)
        return UNSUPPORTED;
    uint8_t room[COSE_PROTECTED_MAX], signature[CRYPTO_SIGNATURE_MAX];
    struct writer protected_headers = writer_over(room, sizeof room);
    headers_put_protected(&protected_headers, alg, headers);
    TRY(writer_end(&protected_headers));
    struct bytes protected_raw = writer_bytes(&protected_headers);
    TRY(cose_signature1_make(key, protected_raw, &external_aad, 1, payload, signature));
    struct writer out = *writer;
    cbor_put_tag(&out, COSE_TAG_SIGN1);
    cbor_put_array(&out, 4);
    cbor_put_bytes(&out, protected_raw);
    headers_put_unprotected(&out, &(struct cose_headers){.kid = headers->kid});
    cbor_put_bytes(&out, payload);
    cbor_put_bytes(&out, bytes_from(signature, crypto_signature_len(key->public_key.curve)));
    TRY(writer_end(&out));
    *writer = out;
    return OK;
}

enum status cose_sign1_decode(struct bytes message, struct cose_sign1 *sign1)
{
    struct reader reader = reader_over(message);
    struct cose_sign1 made = {0};
    headers_take(&reader, COSE_TAG_SIGN1, 4, &made.headers, &made.protected_raw);
    made.detached = cbor_peek_type(&reader) == CBOR_NULL;
    if (made.detached)
        cbor_take_null(&reader);
    else
        made.payload = cbor_take_bytes(&reader);
    made.signature = cbor_take_bytes(&reader);
    TRY(reader_end(&reader));
    *sign1 = made;
    return OK;
}

enum status cose_sign1_verify(const struct cose_sign1 *sign1, const struct crypto_public *public_key,
                              struct bytes external_aad)
{
    int64_t alg = cose_curve_alg(public_key->curve);
    if (alg == 0 || sign1->headers.alg != alg)
        return AUTH;
    return cose_signature1_check(public_key, sign1->protected_raw, &external_aad, 1, sign1->payload, sign1->signature);
}

enum status cose_sign1_open(struct bytes message, const struct crypto_public *public_key, struct bytes *payload)
{
    struct cose_sign1 sign1;
    TRY(cose_sign1_decode(message, &sign1));
    if (sign1.detached)
        return MALFORMED;
    TRY(cose_sign1_verify(&sign1, public_key, (struct bytes){0}));
    *payload = sign1.payload;
    return OK;
}
