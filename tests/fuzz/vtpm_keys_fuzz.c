/* Questions and answers about a vTPM's keys, endorsement keys alone, keys that sign, and signatures: what is decoded
 * encodes to the same, and no frame ends past what was seen. */
#include "tpm2.h"
#include "vtpm_keys.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t room[VTPM_KEYS_ANSWER_MAX];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void question(struct bytes input)
{
    struct vtpm_keys_question got = {0};
    size_t len = 0;
    if (vtpm_keys_question_len(input, &len) != OK)
        return;
    must(len <= input.len);
    if (vtpm_keys_question_decode(bytes_slice(input, 0, len), &got) != OK)
        return; /* a handle of nothing that persists */
    struct writer writer = writer_over(room, sizeof room);
    if (got.ak)
        vtpm_keys_put_ak_question(&writer, got.nonce, got.ak);
    else
        vtpm_keys_put_question(&writer, got.nonce);
    must(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), bytes_slice(input, 0, len)));
}

static void answer(struct bytes input)
{
    struct vtpm_keys_answer got;
    size_t len = 0;
    enum status framed = vtpm_keys_answer_len(input, &len);
    must(framed != OK || len <= input.len);
    if (vtpm_keys_answer_decode(input, &got) != OK)
        return;
    must(framed == OK && len == input.len);
    struct writer writer = writer_over(room, sizeof room);
    vtpm_keys_put_answer(&writer, &got);
    must(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
}

static void key(struct bytes input)
{
    struct tpm2_ek ek;
    struct tpm2_public area;
    if (tpm2_ek_decode(input, &ek) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    tpm2_put_ek(&writer, &ek);
    must(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
    must((ek.kind == TPM2_EK_P256) == (tpm2_public_decode(input, &area) == OK && tpm2_public_is_ek(&area)));
}

static void signer(struct bytes input)
{
    struct tpm2_signer got;
    if (tpm2_signer_decode(input, &got) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    tpm2_put_signer(&writer, &got);
    must(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
    must(!tpm2_signer_is_ak(&got) || got.scheme != TPM2_ANY_SCHEME);
}

/* What it was written without of leading zeros, it is written with. */
static void signature(struct bytes input)
{
    struct tpm2_signature got, again;
    if (tpm2_signature_decode(input, &got) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    tpm2_put_signature(&writer, &got);
    must(writer_end(&writer) == OK && writer.len >= input.len &&
         tpm2_signature_decode(writer_bytes(&writer), &again) == OK && again.scheme == got.scheme &&
         bytes_equal(bytes_from(got.value, got.len), bytes_from(again.value, again.len)));
}

/* The input's keys where an answer wants them: so that it gets past them. */
static void framed(struct bytes input, uint32_t version_and_status)
{
    static uint8_t framed_room[VTPM_KEYS_ANSWER_MAX];
    struct writer writer = writer_over(framed_room, sizeof framed_room);
    put_u32be(&writer, version_and_status);
    put_u32be(&writer, (uint32_t)input.len);
    put_bytes(&writer, input);
    if (writer_end(&writer) == OK)
        answer(writer_bytes(&writer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct bytes input = bytes_from(data, len);
    must(crypto_init() == OK);
    question(input);
    answer(input);
    framed(input, 0x00010000);
    framed(input, 0x00020000);
    key(input);
    signer(input);
    signature(input);
    return 0;
}
