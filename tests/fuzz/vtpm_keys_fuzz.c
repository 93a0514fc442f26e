/* Questions and answers about a vTPM's keys, and endorsement keys alone: what is decoded encodes to the same, and no
 * frame ends past what was seen. */
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
    struct bytes nonce = {0};
    size_t len = 0;
    if (vtpm_keys_question_len(input, &len) != OK)
        return;
    must(len <= input.len && vtpm_keys_question_decode(bytes_slice(input, 0, len), &nonce) == OK);
    struct writer writer = writer_over(room, sizeof room);
    vtpm_keys_put_question(&writer, nonce);
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

/* The input's keys where an answer wants them: so that it gets past them. */
static void framed(struct bytes input)
{
    static uint8_t framed_room[VTPM_KEYS_ANSWER_MAX];
    struct writer writer = writer_over(framed_room, sizeof framed_room);
    put_u32be(&writer, 0x00010000);
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
    framed(input);
    key(input);
    return 0;
}
