/* Signature_or_MAC: what proves that a side holds the key of its credential (RFC 9528 §5.3.2, §5.4.2). */
#include "edhoc_internal.h"

#define PROOF_PARTS_MAX 7

size_t proof_len(const struct edhoc_session *session, bool by_signature)
{
    return by_signature ? crypto_signature_len(session->suite->signature) : session->suite->mac_len;
}

/* context_2 and context_3, from the second part on also the external_aad of the signature but for ID_CRED_x. */
struct context {
    uint8_t heads[24];
    struct bytes parts[PROOF_PARTS_MAX]; /* C_R, ID_CRED_x; TH, CRED_x, EAD_x as parts */
};

static void lay_out(const struct edhoc_session *session, const struct proof *proof, struct context *context)
{
    struct bytes th = session_th(session), value = proof->credential->value;
    struct writer heads = writer_over(context->heads, sizeof context->heads);
    cbor_put_bytes_head(&heads, th.len);
    size_t first = heads.len;
    if (proof->credential->is_certificate)
        cbor_put_bytes_head(&heads, value.len);
    struct bytes all = writer_bytes(&heads);
    struct bytes *parts = context->parts;
    parts[0] = proof->c_r;
    parts[1] = proof->id_cred;
    parts[2] = bytes_slice(all, 0, first);
    parts[3] = th;
    parts[4] = bytes_slice(all, first, all.len - first);
    parts[5] = value;
    parts[6] = proof->eads;
}

static size_t mac_len(const struct edhoc_session *session, const struct proof *proof)
{
    return proof->by_signature ? session_hash_len(session) : session->suite->mac_len;
}

enum status proof_make(const struct edhoc_session *session, const struct proof *proof, uint8_t *made)
{
    struct context context;
    uint8_t mac[CRYPTO_HASH_MAX];
    size_t len = mac_len(session, proof);
    lay_out(session, proof, &context);
    if (!proof->by_signature)
        return kdf_mac(session, proof->label, context.parts, PROOF_PARTS_MAX, made, len);
    TRY(kdf_mac(session, proof->label, context.parts, PROOF_PARTS_MAX, mac, len));
    return cose_signature1_make(proof->credential->private_key, proof->id_cred, context.parts + 2, PROOF_PARTS_MAX - 2,
                                bytes_from(mac, len), made);
}

enum status proof_check(const struct edhoc_session *session, const struct proof *proof, struct bytes given)
{
    struct context context;
    uint8_t mac[CRYPTO_HASH_MAX];
    size_t len = mac_len(session, proof);
    lay_out(session, proof, &context);
    TRY(kdf_mac(session, proof->label, context.parts, PROOF_PARTS_MAX, mac, len));
    if (!proof->by_signature)
        return given.len == len && ct_equal(given.data, mac, len) ? OK : AUTH;
    return cose_signature1_check(&proof->credential->key, proof->id_cred, context.parts + 2, PROOF_PARTS_MAX - 2,
                                 bytes_from(mac, len), given);
}

/* The curves' base points: everybody knows the private key, which is why nothing may verify with them. */
enum status decoy_key(enum crypto_curve curve, struct crypto_public *key)
{
    static const char *const points[] = {
        [CRYPTO_P256] = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        [CRYPTO_P384] =
            "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
        [CRYPTO_X25519] = "0900000000000000000000000000000000000000000000000000000000000000",
        [CRYPTO_ED25519] = "5866666666666666666666666666666666666666666666666666666666666666",
    };
    uint8_t room[CRYPTO_PRIVATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    TRY(hex_decode(points[curve], &writer));
    return crypto_public_import(key, curve, writer_bytes(&writer));
}
