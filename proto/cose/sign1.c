/* COSE_Sign1 (RFC 9052 §4.2): [protected, unprotected, payload, signature]. */
#include "cose_internal.h"

/* The Sig_structure as parts, so that a payload of any size is signed where it lies. */
#define SIG_PARTS 6
#define SIG_HEADS_MAX 40 /* array and text heads and "Signature1", then two more byte string heads */

static void sig_structure(uint8_t *heads, struct bytes protected_raw, struct bytes external_aad, struct bytes payload,
                          struct bytes *parts)
{
    struct writer writer = writer_over(heads, SIG_HEADS_MAX);
    cbor_put_array(&writer, 4);
    cbor_put_text(&writer, "Signature1");
    cbor_put_bytes_head(&writer, protected_raw.len);
    size_t first = writer.len;
    cbor_put_bytes_head(&writer, external_aad.len);
    size_t second = writer.len;
    cbor_put_bytes_head(&writer, payload.len);
    struct bytes all = writer_bytes(&writer);
    parts[0] = bytes_slice(all, 0, first);
    parts[1] = protected_raw;
    parts[2] = bytes_slice(all, first, second - first);
    parts[3] = external_aad;
    parts[4] = bytes_slice(all, second, all.len - second);
    parts[5] = payload;
}

enum status cose_signature1_make(const struct crypto_key *key, struct bytes protected_raw, struct bytes external_aad,
                                 struct bytes payload, uint8_t *signature)
{
    uint8_t heads[SIG_HEADS_MAX];
    struct bytes parts[SIG_PARTS];
    sig_structure(heads, protected_raw, external_aad, payload, parts);
    return crypto_sign(key, parts, SIG_PARTS, signature);
}

enum status cose_signature1_check(const struct crypto_public *public_key, struct bytes protected_raw,
                                  struct bytes external_aad, struct bytes payload, struct bytes signature)
{
    uint8_t heads[SIG_HEADS_MAX];
    struct bytes parts[SIG_PARTS];
    sig_structure(heads, protected_raw, external_aad, payload, parts);
    return crypto_verify(public_key->curve, crypto_public_bytes(public_key), parts, SIG_PARTS, signature);
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
    TRY(cose_signature1_make(key, protected_raw, external_aad, payload, signature));
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
    return cose_signature1_check(public_key, sign1->protected_raw, external_aad, sign1->payload, sign1->signature);
}
