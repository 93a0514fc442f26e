/* EAD values of attestation from anyone: proposals, requests, and a session's evidence as it arrives and as its own key
 * would have signed it. What is decoded encodes to the same bytes; what is signed opens, and not with a bit changed. */
#include "attest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct crypto_key key;
static const struct attest_binder binder = {"a session's", 32};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void ead_values(struct bytes input)
{
    uint8_t room[128];
    uint32_t formats[ATTEST_FORMATS_MAX];
    size_t count;
    struct attest_request request;
    struct writer writer = writer_over(room, sizeof room);
    if (attest_proposal_decode(input, formats, &count) == OK) {
        attest_put_proposal(&writer, formats, count);
        must(bytes_equal(writer_bytes(&writer), input));
    }
    writer = writer_over(room, sizeof room);
    if (attest_request_decode(input, &request) == OK) {
        attest_put_request(&writer, &request);
        must(bytes_equal(writer_bytes(&writer), input));
    }
}

/* The first byte is the nonce's length, the second what to change; the rest is the launch's evidence. */
static void signed_evidence(struct bytes input)
{
    static uint8_t room[ATTEST_EVIDENCE_MAX];
    static const uint8_t nonce[EAT_NONCE_MAX];
    struct reader reader = reader_over(input);
    struct writer writer = writer_over(room, sizeof room);
    size_t nonce_len = take_u8(&reader) % (EAT_NONCE_MAX + 8u), change = take_u8(&reader);
    struct attest_evidence made = {.nonce = bytes_from(nonce, nonce_len < sizeof nonce ? nonce_len : sizeof nonce),
                                   .key = key.public_key,
                                   .launch = take_rest(&reader)},
                           got;
    if (reader.status != OK || attest_evidence_sign(&writer, &key, &binder, &made) != OK)
        return;
    must(attest_evidence_open(writer_bytes(&writer), &binder, &got) == OK);
    must(bytes_equal(got.launch, made.launch) && bytes_equal(got.nonce, made.nonce));
    room[change % writer.len] ^= (uint8_t)(1 + change / 8);
    must(attest_evidence_open(writer_bytes(&writer), &binder, &got) != OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes input = bytes_from(data, len);
    struct attest_evidence evidence;
    if (!key.pkey && (crypto_init() != OK || crypto_key_generate(&key, CRYPTO_P256) != OK))
        abort();
    ead_values(input);
    (void)!attest_evidence_open(input, &binder, &evidence);
    signed_evidence(input);
    return 0;
}
