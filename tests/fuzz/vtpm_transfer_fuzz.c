/* What arrives where a vTPM's state leaves and lands, and what its owner is answered: what is decoded encodes to the
 * same, no frame ends past what was seen, and nothing opens under a key it was not sealed with. */
#include "vtpm_transfer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t room[VTPM_TRANSFER_ANSWER_MAX];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void question(struct bytes input)
{
    struct vtpm_transfer_question got;
    size_t len = 0;
    enum status framed = vtpm_transfer_question_len(input, &len);
    must(framed != OK || len <= input.len);
    if (vtpm_transfer_question_decode(input, &got) != OK)
        return;
    must(framed == OK && len == input.len);
    struct writer writer = writer_over(room, sizeof room);
    vtpm_transfer_put_question(&writer, &got);
    must(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
}

static void answer(struct bytes input)
{
    struct vtpm_transfer_answer got;
    size_t len = 0;
    enum status framed = vtpm_transfer_answer_len(input, &len);
    must(framed != OK || len <= input.len);
    if (vtpm_transfer_answer_decode(input, &got) != OK)
        return;
    must(framed == OK && len == input.len);
    struct writer writer = writer_over(room, sizeof room);
    vtpm_transfer_put_answer(&writer, &got);
    must(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
}

static void blob(struct bytes input)
{
    static const uint8_t key[VTPM_TRANSFER_KEY_LEN];
    struct vtpm_blob got, all[VTPM_TRANSFER_KINDS];
    bool exists;
    if (vtpm_bundle_decode(input, all) == OK)
        must(all[0].kind == 1 && all[2].kind == 3 && all[0].purpose == all[2].purpose);
    if (vtpm_blob_decode(input, &got) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    vtpm_blob_put(&writer, &got);
    must(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
    struct writer state = writer_over(room, sizeof room);
    must(vtpm_blob_open(&got, key, &state, &exists) != OK && state.len == 0);
}

/* The input's own bytes where a whole blob has its fields: so that it gets past them. */
static void framed_blob(struct bytes input)
{
    static uint8_t framed[1024];
    struct reader reader = reader_over(input);
    struct writer writer = writer_over(framed, sizeof framed);
    put_text(&writer, "BVT1");
    put_u8(&writer, take_u8(&reader) & 1 ? VTPM_BLOB_SNAPSHOT : VTPM_BLOB_MOVE);
    put_u8(&writer, (uint8_t)(1 + take_u8(&reader) % 4));
    put_u16be(&writer, 0);
    put_bytes(&writer, take_rest(&reader));
    blob(writer_bytes(&writer));
}

/* Signed by nobody that is asked for. */
static void grant(struct bytes input)
{
    static struct crypto_key owner;
    struct vtpm_grant got;
    if (!owner.pkey)
        must(crypto_key_generate(&owner, CRYPTO_P256) == OK);
    must(vtpm_grant_open(input, &owner.public_key, &got) != OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct bytes input = bytes_from(data, len);
    must(crypto_init() == OK);
    question(input);
    answer(input);
    blob(input);
    framed_blob(input);
    grant(input);
    return 0;
}
