/* COSE from anyone: messages and keys as they arrive, and messages of our own with headers and bits of the input's
 * choosing. What is accepted is written again and reads the same; a changed message opens nothing. */
#include "cose.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MESSAGE_MAX 4096

static struct crypto_key signer;
static struct crypto_aead aead;

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static void prepare(void)
{
    static const uint8_t scalar[32] = {1, 2, 3};
    static const uint8_t key[16] = {4};
    if (signer.pkey)
        return;
    hold(crypto_init() == OK);
    hold(crypto_key_import(&signer, CRYPTO_P256, BYTES_OF(scalar)) == OK);
    hold(crypto_aead_init(&aead, CRYPTO_AES_CCM_16_64_128, BYTES_OF(key)) == OK);
}

static void try_sign1(struct bytes input)
{
    static uint8_t room[MESSAGE_MAX + 512];
    struct cose_sign1 sign1, again;
    struct writer writer = writer_over(room, sizeof room);
    if (cose_sign1_decode(input, &sign1) != OK)
        return;
    enum status verified = cose_sign1_verify(&sign1, &signer.public_key, (struct bytes){0});
    hold(verified == AUTH || verified == WRONG_STATE || verified == NO_ROOM || verified == OK);
    if (sign1.headers.text_type.len > 0)
        return;
    hold(cose_sign1_encode(&writer, &signer, &sign1.headers, input, sign1.payload) == OK);
    hold(cose_sign1_decode(writer_bytes(&writer), &again) == OK);
    hold(again.headers.alg == COSE_ES256 && bytes_equal(again.headers.kid, sign1.headers.kid));
    hold(again.headers.has_content_type == sign1.headers.has_content_type &&
         (!again.headers.has_content_type || again.headers.content_type == sign1.headers.content_type));
    hold(cose_sign1_verify(&again, &signer.public_key, input) == OK);
    hold(cose_sign1_verify(&again, &signer.public_key, bytes_slice(input, 0, input.len - 1)) == AUTH);
}

static void try_encrypt0(struct bytes input)
{
    static uint8_t room[MESSAGE_MAX];
    struct cose_encrypt0 encrypt0;
    struct writer text = writer_over(room, sizeof room);
    if (cose_encrypt0_decode(input, &encrypt0) != OK)
        return;
    if (cose_encrypt0_decrypt(&encrypt0, &aead, (struct bytes){0}, &text) != OK)
        hold(text.len == 0 && text.status == OK);
}

/* Our own, one bit of it changed, and the input as plaintext. */
static void try_changed(struct bytes input)
{
    static uint8_t room[MESSAGE_MAX + 512], out[MESSAGE_MAX + 512];
    static const uint8_t iv[13] = {9};
    struct reader reader = reader_over(input);
    size_t at = take_u16be(&reader);
    struct cose_headers headers = {.iv = BYTES_OF(iv), .has_content_type = at & 1, .content_type = take_u16be(&reader)};
    struct bytes text = take_rest(&reader);
    struct bytes external = bytes_slice(text, 0, at % 64);
    struct cose_encrypt0 encrypt0;
    struct writer writer = writer_over(room, sizeof room);
    if (reader.status != OK)
        return;
    hold(cose_encrypt0_encode(&writer, &aead, &headers, external, text) == OK);
    struct writer opened = writer_over(out, sizeof out);
    hold(cose_encrypt0_decode(writer_bytes(&writer), &encrypt0) == OK);
    hold(cose_encrypt0_decrypt(&encrypt0, &aead, external, &opened) == OK);
    hold(bytes_equal(writer_bytes(&opened), text));
    room[at / 8 % writer.len] ^= (uint8_t)(1u << at % 8);
    opened = writer_over(out, sizeof out);
    hold(cose_encrypt0_decode(writer_bytes(&writer), &encrypt0) != OK ||
         cose_encrypt0_decrypt(&encrypt0, &aead, external, &opened) != OK);
    hold(opened.len == 0);
}

static void try_key(struct bytes input)
{
    uint8_t room[MESSAGE_MAX];
    struct crypto_public key, again;
    struct bytes kid, kid_again;
    struct reader reader = reader_over(input);
    if (cose_take_key(&reader, &key, &kid) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    cose_put_key(&writer, &key, kid);
    hold(writer_end(&writer) == OK);
    struct reader back = reader_over(writer_bytes(&writer));
    hold(cose_take_key(&back, &again, &kid_again) == OK && reader_end(&back) == OK);
    hold(again.curve == key.curve && bytes_equal(crypto_public_bytes(&again), crypto_public_bytes(&key)) &&
         bytes_equal(kid, kid_again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader reader = reader_over(bytes_from(data, len));
    if (len > MESSAGE_MAX - 64)
        return 0;
    prepare();
    uint8_t kind = take_u8(&reader);
    if (kind % 4 == 0)
        try_sign1(take_rest(&reader));
    else if (kind % 4 == 1)
        try_encrypt0(take_rest(&reader));
    else if (kind % 4 == 2)
        try_key(take_rest(&reader));
    else
        try_changed(take_rest(&reader));
    return 0;
}
