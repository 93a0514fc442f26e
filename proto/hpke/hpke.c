/* The key schedule of RFC 9180 §5.1 over the KEM of §4.1, and the one message of §5.2 with sequence number 0. */
#include "hpke.h"

#define KEM_ID 0x0010u /* DHKEM(P-256, HKDF-SHA256), §7.1 */
#define KDF_ID 0x0001u /* HKDF-SHA256, §7.2 */
#define MODE_BASE 0u
#define SECRET_LEN 32
#define NONCE_LEN 12
#define LABELLED_MAX 288 /* version, suite and label, and at most two points or two hashes */

struct suite {
    uint8_t id[10];
    size_t len;
};

static struct suite kem_suite(void)
{
    struct suite suite;
    struct writer writer = writer_over(suite.id, sizeof suite.id);
    put_text(&writer, "KEM");
    put_u16be(&writer, KEM_ID);
    suite.len = writer.len;
    return suite;
}

static struct suite hpke_suite(enum hpke_aead aead)
{
    struct suite suite;
    struct writer writer = writer_over(suite.id, sizeof suite.id);
    put_text(&writer, "HPKE");
    put_u16be(&writer, KEM_ID);
    put_u16be(&writer, KDF_ID);
    put_u16be(&writer, (uint16_t)aead);
    suite.len = writer.len;
    return suite;
}

static void put_label(struct writer *writer, const struct suite *suite, const char *label)
{
    put_text(writer, "HPKE-v1");
    put_bytes(writer, bytes_from(suite->id, suite->len));
    put_text(writer, label);
}

/* §4: LabeledExtract() and LabeledExpand(). */
static enum status extract(const struct suite *suite, struct bytes salt, const char *label, struct bytes ikm,
                           uint8_t out[SECRET_LEN])
{
    uint8_t room[LABELLED_MAX];
    struct writer writer = writer_over(room, sizeof room);
    put_label(&writer, suite, label);
    put_bytes(&writer, ikm);
    enum status status = writer_end(&writer);
    if (status == OK)
        status = crypto_hkdf_extract(CRYPTO_SHA256, salt, writer_bytes(&writer), out);
    wipe(room, sizeof room);
    return status;
}

static enum status expand(const struct suite *suite, const uint8_t prk[SECRET_LEN], const char *label,
                          struct bytes info, uint8_t *out, size_t len)
{
    uint8_t room[LABELLED_MAX];
    struct writer writer = writer_over(room, sizeof room);
    put_u16be(&writer, (uint16_t)len);
    put_label(&writer, suite, label);
    put_bytes(&writer, info);
    TRY(writer_end(&writer));
    return crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, SECRET_LEN), writer_bytes(&writer), out, len);
}

/* §4.1: both sides' shared secret, from the Diffie-Hellman of one's private and the other's public key. */
static enum status share(const struct crypto_key *own, const struct crypto_public *other, bool own_is_ephemeral,
                         uint8_t shared[SECRET_LEN])
{
    SECRET dh = {.len = 0};
    SECRET prk = {.len = SECRET_LEN};
    uint8_t room[2 * CRYPTO_PUBLIC_MAX];
    struct writer context = writer_over(room, sizeof room);
    const struct suite suite = kem_suite();
    if (own->public_key.curve != CRYPTO_P256 || other->curve != CRYPTO_P256)
        return MALFORMED;
    TRY(crypto_ecdh(own, crypto_public_bytes(other), &dh));
    put_bytes(&context, crypto_public_bytes(own_is_ephemeral ? &own->public_key : other));
    put_bytes(&context, crypto_public_bytes(own_is_ephemeral ? other : &own->public_key));
    TRY(writer_end(&context));
    TRY(extract(&suite, (struct bytes){0}, "eae_prk", secret_bytes(&dh), prk.data));
    return expand(&suite, prk.data, "shared_secret", writer_bytes(&context), shared, SECRET_LEN);
}

/* §5.1, KeySchedule() of base mode: neither pre-shared key nor its id. */
static enum status schedule(const struct hpke_context *context, const uint8_t shared[SECRET_LEN],
                            struct crypto_aead *aead, enum crypto_aead_use use, uint8_t nonce[NONCE_LEN])
{
    SECRET secret = {.len = SECRET_LEN};
    SECRET key = {.len = context->aead == HPKE_A256GCM ? 32 : 16};
    uint8_t schedule_context[1 + 2 * SECRET_LEN] = {MODE_BASE};
    const struct suite suite = hpke_suite(context->aead);
    if (context->aead != HPKE_A128GCM && context->aead != HPKE_A256GCM)
        return UNSUPPORTED;
    if (context->info.len > HPKE_INFO_MAX)
        return NO_ROOM;
    TRY(extract(&suite, (struct bytes){0}, "psk_id_hash", (struct bytes){0}, schedule_context + 1));
    TRY(extract(&suite, (struct bytes){0}, "info_hash", context->info, schedule_context + 1 + SECRET_LEN));
    TRY(extract(&suite, bytes_from(shared, SECRET_LEN), "secret", (struct bytes){0}, secret.data));
    TRY(expand(&suite, secret.data, "key", BYTES_OF(schedule_context), key.data, key.len));
    TRY(expand(&suite, secret.data, "base_nonce", BYTES_OF(schedule_context), nonce, NONCE_LEN));
    return crypto_aead_init_for(aead, context->aead == HPKE_A256GCM ? CRYPTO_A256GCM : CRYPTO_A128GCM,
                                secret_bytes(&key), use);
}

enum status hpke_seal(const struct crypto_key *ephemeral, const struct crypto_public *receiver,
                      const struct hpke_context *context, struct bytes text, struct writer *out)
{
    SECRET shared = {.len = SECRET_LEN};
    struct crypto_aead aead = {0};
    uint8_t nonce[NONCE_LEN];
    TRY(share(ephemeral, receiver, true, shared.data));
    TRY(schedule(context, shared.data, &aead, CRYPTO_SEAL, nonce));
    enum status status = crypto_aead_seal(&aead, BYTES_OF(nonce), context->aad, text, out);
    crypto_aead_done(&aead);
    return status;
}

enum status hpke_open(const struct crypto_key *receiver, const struct crypto_public *ephemeral,
                      const struct hpke_context *context, struct bytes sealed, struct writer *out)
{
    SECRET shared = {.len = SECRET_LEN};
    struct crypto_aead aead = {0};
    uint8_t nonce[NONCE_LEN];
    TRY(share(receiver, ephemeral, false, shared.data));
    TRY(schedule(context, shared.data, &aead, CRYPTO_OPEN, nonce));
    enum status status = crypto_aead_open(&aead, BYTES_OF(nonce), context->aad, sealed, out);
    crypto_aead_done(&aead);
    return status;
}
