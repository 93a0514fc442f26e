/* First contact from anyone: a hello as it arrives, a hello's inside as if the owner had signed it, an answer. What is
 * accepted is written again and reads the same. */
#include "contact.h"
#include "cose.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t config_id[32] = {1};
static struct crypto_key owner;

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static void try_hello(struct bytes sign1)
{
    uint8_t room[CONTACT_HELLO_MAX];
    struct contact_hello hello, again;
    struct writer writer = writer_over(room, sizeof room);
    if (contact_hello_open(sign1, &owner.public_key, config_id, &hello) != OK)
        return;
    hold(contact_hello_sign(&writer, &owner, config_id, &hello) == OK);
    hold(contact_hello_open(writer_bytes(&writer), &owner.public_key, config_id, &again) == OK);
    hold(memcmp(hello.nonce, again.nonce, sizeof hello.nonce) == 0 &&
         bytes_equal(crypto_public_bytes(&hello.ephemeral), crypto_public_bytes(&again.ephemeral)));
}

static void try_answer(struct bytes encoded)
{
    static uint8_t room[8192];
    struct contact_answer answer, again;
    struct writer writer = writer_over(room, sizeof room);
    if (contact_answer_decode(encoded, &answer) != OK)
        return;
    contact_put_answer(&writer, &answer);
    hold(contact_answer_decode(writer_bytes(&writer), &again) == OK);
    hold(bytes_equal(answer.evidence, again.evidence) &&
         bytes_equal(crypto_public_bytes(&answer.key), crypto_public_bytes(&again.key)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[8192];
    uint8_t scalar[32] = {0};
    scalar[31] = 7;
    hold(crypto_init() == OK);
    if (!owner.pkey)
        hold(crypto_key_import(&owner, CRYPTO_P256, BYTES_OF(scalar)) == OK);
    struct reader reader = reader_over(bytes_from(data, len));
    uint8_t kind = take_u8(&reader);
    struct bytes input = take_rest(&reader);
    struct writer writer = writer_over(room, sizeof room);
    if (kind % 3 == 0)
        try_answer(input);
    else if (kind % 3 == 1)
        try_hello(input);
    else if (cose_sign1_encode(&writer, &owner, &(struct cose_headers){0}, BYTES_OF(config_id), input) == OK)
        try_hello(writer_bytes(&writer));
    return 0;
}
