/* COSE_Encrypt0 (RFC 9052 §5.2): [protected, unprotected, ciphertext]. */
#include "cose_internal.h"

void cose_put_enc_structure(struct writer *writer, struct bytes protected_raw, struct bytes external_aad)
{
    cbor_put_array(writer, 3);
    cbor_put_text(writer, "Encrypt0");
    cbor_put_bytes(writer, protected_raw);
    cbor_put_bytes(writer, external_aad);
}

enum status cose_encrypt0_encode(struct writer *writer, struct crypto_aead *aead, const struct cose_headers *headers,
                                 struct bytes external_aad, struct bytes plaintext)
{
    uint8_t room[COSE_PROTECTED_MAX], aad_room[COSE_AAD_MAX];
    struct writer protected_headers = writer_over(room, sizeof room);
    headers_put_protected(&protected_headers, (int64_t)aead->alg, headers);
    TRY(writer_end(&protected_headers));
    struct bytes protected_raw = writer_bytes(&protected_headers);
    struct writer aad = writer_over(aad_room, sizeof aad_room);
    cose_put_enc_structure(&aad, protected_raw, external_aad);
    TRY(writer_end(&aad));
    if (plaintext.len > crypto_aead_text_max(aead->alg))
        return NO_ROOM;
    struct writer out = *writer;
    cbor_put_tag(&out, COSE_TAG_ENCRYPT0);
    cbor_put_array(&out, 3);
    cbor_put_bytes(&out, protected_raw);
    headers_put_unprotected(&out, headers);
    cbor_put_bytes_head(&out, plaintext.len + crypto_aead_tag_len(aead->alg));
    TRY(crypto_aead_seal(aead, headers->iv, writer_bytes(&aad), plaintext, &out));
    *writer = out;
    return OK;
}

enum status cose_encrypt0_decode(struct bytes message, struct cose_encrypt0 *encrypt0)
{
    struct reader reader = reader_over(message);
    struct cose_encrypt0 made = {0};
    headers_take(&reader, COSE_TAG_ENCRYPT0, 3, &made.headers, &made.protected_raw);
    made.ciphertext = cbor_take_bytes(&reader);
    TRY(reader_end(&reader));
    *encrypt0 = made;
    return OK;
}

enum status cose_encrypt0_decrypt(const struct cose_encrypt0 *encrypt0, struct crypto_aead *aead,
                                  struct bytes external_aad, struct writer *plaintext)
{
    uint8_t aad_room[COSE_AAD_MAX];
    struct writer aad = writer_over(aad_room, sizeof aad_room);
    cose_put_enc_structure(&aad, encrypt0->protected_raw, external_aad);
    TRY(writer_end(&aad));
    if (encrypt0->headers.alg != (int64_t)aead->alg || encrypt0->headers.iv.len != crypto_aead_nonce_len(aead->alg))
        return AUTH;
    return crypto_aead_open(aead, encrypt0->headers.iv, writer_bytes(&aad), encrypt0->ciphertext, plaintext);
}
