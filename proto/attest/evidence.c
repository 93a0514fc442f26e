/* The evidence of one session, made and opened. Keys are written and read in exactly this order, all of them always. */
#include "attest.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

enum claim {
    CLAIM_NONCE = 10,
    CLAIM_UEID = 256,
    CLAIM_PROFILE = 265,
    CLAIM_MEASUREMENTS = 273,
    CLAIM_KEY = -70101,
    CLAIM_CREDENTIAL = -70102,
};

#define CLAIMS 6
#define UEID_LEN (1 + EAT_HASH_LEN)
#define UEID_RAND 1 /* RFC 9711 §4.2.1.1 */
#define FORMAT_CBOR 60
#define PAYLOAD_MAX (ATTEST_LAUNCH_MAX + 400)

enum status attest_user_data(const struct crypto_public *key, uint8_t user_data[EAT_USER_DATA_LEN])
{
    const struct bytes parts[] = {bytes_from_text("bastide attestation key"), crypto_public_bytes(key)};
    memset(user_data, 0, EAT_USER_DATA_LEN);
    return key->curve == CRYPTO_P256 ? crypto_hash(CRYPTO_SHA256, parts, 2, user_data) : UNSUPPORTED;
}

static enum status make_ueid(const struct crypto_public *key, uint8_t ueid[UEID_LEN])
{
    struct bytes whole = crypto_public_bytes(key);
    ueid[0] = UEID_RAND;
    return crypto_hash(CRYPTO_SHA256, &whole, 1, ueid + 1);
}

static void put_claims(struct writer *writer, const struct attest_evidence *evidence, const uint8_t ueid[UEID_LEN])
{
    cbor_put_map(writer, CLAIMS);
    cbor_put_uint(writer, CLAIM_NONCE);
    cbor_put_bytes(writer, evidence->nonce);
    cbor_put_uint(writer, CLAIM_UEID);
    cbor_put_bytes(writer, bytes_from(ueid, UEID_LEN));
    cbor_put_uint(writer, CLAIM_PROFILE);
    cbor_put_text(writer, ATTEST_PROFILE);
    cbor_put_uint(writer, CLAIM_MEASUREMENTS);
    cbor_put_array(writer, 1);
    cbor_put_array(writer, 2);
    cbor_put_uint(writer, FORMAT_CBOR);
    cbor_put_bytes(writer, evidence->launch);
    cbor_put_int(writer, CLAIM_KEY);
    cose_put_key(writer, &evidence->key, (struct bytes){0});
    cbor_put_int(writer, CLAIM_CREDENTIAL);
    cbor_put_bytes(writer, BYTES_OF(evidence->credential));
}

static bool fits(const struct attest_evidence *evidence)
{
    return evidence->nonce.len >= EAT_NONCE_MIN && evidence->nonce.len <= EAT_NONCE_MAX &&
           evidence->key.curve == CRYPTO_P256 && evidence->launch.len <= ATTEST_LAUNCH_MAX;
}

enum status attest_evidence_sign(struct writer *writer, const struct crypto_key *key,
                                 const struct attest_binder *binder, const struct attest_evidence *evidence)
{
    uint8_t room[PAYLOAD_MAX], ueid[UEID_LEN];
    struct writer payload = writer_over(room, sizeof room);
    if (!fits(evidence) || !bytes_equal(crypto_public_bytes(&key->public_key), crypto_public_bytes(&evidence->key)))
        return MALFORMED;
    TRY(make_ueid(&evidence->key, ueid));
    put_claims(&payload, evidence, ueid);
    TRY(writer_end(&payload));
    return cose_sign1_encode(writer, key, &(struct cose_headers){0}, bytes_from(binder->data, binder->len),
                             writer_bytes(&payload));
}

static void expect(struct reader *reader, bool holds)
{
    if (!holds)
        reader_fail(reader, MALFORMED);
}

static void take_key(struct reader *reader, enum claim claim)
{
    expect(reader, cbor_take_int(reader) == (int64_t)claim);
}

static enum status decode(struct bytes payload, struct attest_evidence *evidence)
{
    struct reader reader = reader_over(payload);
    struct attest_evidence got = {0};
    uint8_t ueid[UEID_LEN];
    expect(&reader, cbor_take_map(&reader) == CLAIMS);
    take_key(&reader, CLAIM_NONCE);
    got.nonce = cbor_take_bytes(&reader);
    take_key(&reader, CLAIM_UEID);
    struct bytes given_ueid = cbor_take_bytes(&reader);
    take_key(&reader, CLAIM_PROFILE);
    expect(&reader, bytes_equal(cbor_take_text(&reader), bytes_from_text(ATTEST_PROFILE)));
    take_key(&reader, CLAIM_MEASUREMENTS);
    expect(&reader, cbor_take_array(&reader) == 1);
    expect(&reader, cbor_take_array(&reader) == 2);
    expect(&reader, cbor_take_uint(&reader) == FORMAT_CBOR);
    got.launch = cbor_take_bytes(&reader);
    take_key(&reader, CLAIM_KEY);
    TRY(cose_take_key(&reader, &got.key, NULL));
    take_key(&reader, CLAIM_CREDENTIAL);
    struct bytes credential = cbor_take_bytes(&reader);
    TRY(reader_end(&reader));
    if (!fits(&got) || credential.len != EAT_HASH_LEN)
        return MALFORMED;
    TRY(make_ueid(&got.key, ueid));
    if (!bytes_equal(given_ueid, BYTES_OF(ueid)))
        return MALFORMED;
    memcpy(got.credential, credential.data, EAT_HASH_LEN);
    *evidence = got;
    return OK;
}

enum status attest_evidence_open(struct bytes sign1, const struct attest_binder *binder,
                                 struct attest_evidence *evidence)
{
    struct cose_sign1 message;
    struct attest_evidence got;
    TRY(cose_sign1_decode(sign1, &message));
    if (message.detached)
        return MALFORMED;
    TRY(decode(message.payload, &got));
    TRY(cose_sign1_verify(&message, &got.key, bytes_from(binder->data, binder->len)));
    *evidence = got;
    return OK;
}
