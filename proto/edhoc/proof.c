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
    enum status status = cose_signature1_make(proof->credential->private_key, proof->id_cred, context.parts + 2,
                                              PROOF_PARTS_MAX - 2, bytes_from(mac, len), made);
    wipe(mac, sizeof mac);
    return status;
}

enum status proof_check(const struct edhoc_session *session, const struct proof *proof, struct bytes given)
{
    struct context context;
    uint8_t mac[CRYPTO_HASH_MAX];
    size_t len = mac_len(session, proof);
    lay_out(session, proof, &context);
    enum status status = AUTH;
    TRY(kdf_mac(session, proof->label, context.parts, PROOF_PARTS_MAX, mac, len));
    if (proof->by_signature)
        status = cose_signature1_check(&proof->credential->key, proof->id_cred, context.parts + 2, PROOF_PARTS_MAX - 2,
                                       bytes_from(mac, len), given);
    else if (given.len == len && ct_equal(given.data, mac, len))
        status = OK;
    wipe(mac, sizeof mac);
    return status;
}

/* The curves' base points: everybody knows the private key, which is why nothing may verify with them. */
struct crypto_public decoy_key(enum crypto_curve curve)
{
    static const struct crypto_public points[] = {
        {CRYPTO_P256,
         {0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
          0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f,
          0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce,
          0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5},
         65},
        {CRYPTO_P384,
         {0x04, 0xaa, 0x87, 0xca, 0x22, 0xbe, 0x8b, 0x05, 0x37, 0x8e, 0xb1, 0xc7, 0x1e, 0xf3, 0x20, 0xad, 0x74,
          0x6e, 0x1d, 0x3b, 0x62, 0x8b, 0xa7, 0x9b, 0x98, 0x59, 0xf7, 0x41, 0xe0, 0x82, 0x54, 0x2a, 0x38, 0x55,
          0x02, 0xf2, 0x5d, 0xbf, 0x55, 0x29, 0x6c, 0x3a, 0x54, 0x5e, 0x38, 0x72, 0x76, 0x0a, 0xb7, 0x36, 0x17,
          0xde, 0x4a, 0x96, 0x26, 0x2c, 0x6f, 0x5d, 0x9e, 0x98, 0xbf, 0x92, 0x92, 0xdc, 0x29, 0xf8, 0xf4, 0x1d,
          0xbd, 0x28, 0x9a, 0x14, 0x7c, 0xe9, 0xda, 0x31, 0x13, 0xb5, 0xf0, 0xb8, 0xc0, 0x0a, 0x60, 0xb1, 0xce,
          0x1d, 0x7e, 0x81, 0x9d, 0x7a, 0x43, 0x1d, 0x7c, 0x90, 0xea, 0x0e, 0x5f},
         97},
        {CRYPTO_X25519, {0x09}, 32},
        {CRYPTO_ED25519,
         {0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
          0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66},
         32},
    };
    size_t at = 0;
    while (points[at].curve != curve)
        at++;
    return points[at];
}
