/* The hub's answer {1: COSE_Key, 2: evidence}, and the user data that ties the two together through the report. */
#include "contact.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

enum { ANSWER_KEY = 1, ANSWER_EVIDENCE = 2, ANSWER_COUNT = 2 };

void contact_put_answer(struct writer *writer, const struct contact_answer *answer)
{
    if (answer->key.curve != CRYPTO_P256 || answer->evidence.len == 0) {
        writer_fail(writer, MALFORMED);
        return;
    }
    cbor_put_map(writer, ANSWER_COUNT);
    cbor_put_uint(writer, ANSWER_KEY);
    cose_put_key(writer, &answer->key, (struct bytes){0});
    cbor_put_uint(writer, ANSWER_EVIDENCE);
    cbor_put_bytes(writer, answer->evidence);
}

enum status contact_answer_decode(struct bytes encoded, struct contact_answer *answer)
{
    struct reader reader = reader_over(encoded);
    struct contact_answer made = {0};
    if (cbor_take_map(&reader) != ANSWER_COUNT || cbor_take_uint(&reader) != ANSWER_KEY)
        reader_fail(&reader, MALFORMED);
    TRY(cose_take_key(&reader, &made.key, NULL));
    if (cbor_take_uint(&reader) != ANSWER_EVIDENCE)
        reader_fail(&reader, MALFORMED);
    made.evidence = cbor_take_bytes(&reader);
    TRY(reader_end(&reader));
    if (made.key.curve != CRYPTO_P256)
        return UNSUPPORTED;
    if (made.evidence.len == 0)
        return MALFORMED;
    *answer = made;
    return OK;
}

enum status contact_user_data(const struct crypto_public *key, const uint8_t nonce[CONTACT_NONCE_LEN],
                              uint8_t user_data[CONTACT_USER_DATA_LEN])
{
    const struct bytes parts[] = {crypto_public_bytes(key), bytes_from(nonce, CONTACT_NONCE_LEN)};
    uint8_t hash[CRYPTO_HASH_MAX];
    if (key->curve != CRYPTO_P256)
        return UNSUPPORTED;
    TRY(crypto_hash(CRYPTO_SHA256, parts, 2, hash));
    size_t len = crypto_hash_len(CRYPTO_SHA256);
    memset(user_data, 0, CONTACT_USER_DATA_LEN);
    memcpy(user_data, hash, len);
    return OK;
}
