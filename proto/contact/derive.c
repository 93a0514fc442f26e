/* From two P-256 keys to the owner's OSCORE input. Secret here: the shared x coordinate, the key made of it. */
#include "contact.h"

#include <string.h>

#define LABEL "bastide first contact"
#define MASTER_SECRET_LEN 32
#define INFO_MAX (sizeof LABEL + 32 + (size_t)2 * CRYPTO_PUBLIC_MAX)

/* Which of the two keys is the other side's. Both in one hand would be a secret shared with oneself. */
static enum status find_peer(const struct crypto_key *own, const struct crypto_public *hub,
                             const struct crypto_public *ephemeral, const struct crypto_public **peer)
{
    struct bytes ours = crypto_public_bytes(&own->public_key);
    bool is_hub = bytes_equal(ours, crypto_public_bytes(hub));
    bool is_owner = bytes_equal(ours, crypto_public_bytes(ephemeral));
    if (is_hub && is_owner)
        return MALFORMED;
    *peer = is_hub ? ephemeral : hub;
    return is_hub || is_owner ? OK : WRONG_STATE;
}

static enum status derive_secret(struct bytes shared, struct bytes nonce, struct bytes info, struct secret *out)
{
    uint8_t prk[CRYPTO_HASH_MAX], made[MASTER_SECRET_LEN];
    enum status status = crypto_hkdf_extract(CRYPTO_SHA256, nonce, shared, prk);
    if (status == OK)
        status =
            crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, crypto_hash_len(CRYPTO_SHA256)), info, made, sizeof made);
    if (status == OK)
        status = secret_set(out, BYTES_OF(made));
    wipe(prk, sizeof prk);
    wipe(made, sizeof made);
    return status;
}

enum status contact_derive(const struct crypto_key *own, const struct crypto_public *hub,
                           const struct crypto_public *ephemeral, const uint8_t nonce[CONTACT_NONCE_LEN],
                           const uint8_t config_id[32], struct oscore_input *input)
{
    const struct crypto_public *peer;
    SECRET shared = {.len = 0};
    SECRET master = {.len = 0};
    uint8_t room[INFO_MAX];
    struct writer info = writer_over(room, sizeof room);
    if (hub->curve != CRYPTO_P256 || ephemeral->curve != CRYPTO_P256)
        return UNSUPPORTED;
    TRY(find_peer(own, hub, ephemeral, &peer));
    TRY(crypto_ecdh(own, crypto_public_bytes(peer), &shared));
    put_text(&info, LABEL);
    put_bytes(&info, bytes_from(config_id, 32));
    put_bytes(&info, crypto_public_bytes(hub));
    put_bytes(&info, crypto_public_bytes(ephemeral));
    TRY(writer_end(&info));
    TRY(derive_secret(secret_bytes(&shared), bytes_from(nonce, CONTACT_NONCE_LEN), writer_bytes(&info), &master));
    *input = (struct oscore_input){.aead = CRYPTO_A256GCM,
                                   .master_secret = master,
                                   .sender = {.data = {'o'}, .len = 1},
                                   .recipient = {.data = {'h'}, .len = 1}};
    return OK;
}
