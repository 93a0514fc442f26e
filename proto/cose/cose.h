/* cose: COSE_Sign1, COSE_Encrypt0 and COSE_Key with public keys (RFC 9052, RFC 9053), deterministic encodings only.
 * Never trusts a header it does not know when told it is critical; never acts on a message before it verified. */
#ifndef BASTIDE_COSE_H
#define BASTIDE_COSE_H

#include "cbor.h"
#include "crypto.h"

#define COSE_TAG_ENCRYPT0 16
#define COSE_TAG_SIGN1 18

/* Signature algorithms (RFC 9053 §2); those for content are enum crypto_aead_alg. */
#define COSE_ES256 (-7)
#define COSE_EDDSA (-8)
#define COSE_ES384 (-35)

int64_t cose_curve_alg(enum crypto_curve curve); /* the signature algorithm of a curve; 0 when it signs nothing */

/* Headers of both messages. Written: protected {1: alg, 3: content type}, unprotected {4: kid, 5: IV}.
 * Read: 1, 2 (crit), 3, 4, 5 known in the bucket they are in; others are skipped unless critical. */
struct cose_headers {
    int64_t alg; /* writing: taken from the key */
    bool has_content_type;
    uint16_t content_type;  /* CoAP content format */
    struct bytes text_type; /* a media type given as text instead; empty when absent */
    struct bytes kid;       /* empty when absent */
    struct bytes iv;        /* Encrypt0 only */
};

/* COSE_Sign1, borrowing from the message it was decoded from. */
struct cose_sign1 {
    struct cose_headers headers;
    struct bytes protected_raw; /* the content of the protected byte string */
    struct bytes payload;
    bool detached; /* payload was nil: set payload before verifying */
    struct bytes signature;
};

/* Tagged. `headers` gives content type and kid. */
MUST_USE enum status cose_sign1_encode(struct writer *writer, const struct crypto_key *key,
                                       const struct cose_headers *headers, struct bytes external_aad,
                                       struct bytes payload);
/* Tagged or not, nothing behind it. UNSUPPORTED for an unknown critical header or no protected algorithm. */
MUST_USE enum status cose_sign1_decode(struct bytes message, struct cose_sign1 *sign1);
/* AUTH also when the algorithm of the message is not that of the key. */
MUST_USE enum status cose_sign1_verify(const struct cose_sign1 *sign1, const struct crypto_public *public_key,
                                       struct bytes external_aad);

/* Both, for a message that carries its payload, which is borrowed. MALFORMED also: it carries none. */
MUST_USE enum status cose_sign1_open(struct bytes message, const struct crypto_public *public_key,
                                     struct bytes *payload);

/* The signature alone, over Sig_structure ["Signature1", protected, external_aad, payload] (RFC 9052 §4.4), as EDHOC
 * uses it; external_aad is up to COSE_AAD_PARTS_MAX parts taken one after the other. `signature` has room for
 * CRYPTO_SIGNATURE_MAX; its length is crypto_signature_len(). */
#define COSE_AAD_PARTS_MAX 6
MUST_USE enum status cose_signature1_make(const struct crypto_key *key, struct bytes protected_raw,
                                          const struct bytes *aad, size_t aad_count, struct bytes payload,
                                          uint8_t *signature);
MUST_USE enum status cose_signature1_check(const struct crypto_public *public_key, struct bytes protected_raw,
                                           const struct bytes *aad, size_t aad_count, struct bytes payload,
                                           struct bytes signature);

/* Enc_structure ["Encrypt0", protected, external_aad] (RFC 9052 §5.3): the AAD of Encrypt0, OSCORE and EDHOC. */
void cose_put_enc_structure(struct writer *writer, struct bytes protected_raw, struct bytes external_aad);

/* COSE_Encrypt0, borrowing from the message it was decoded from. */
#define COSE_AAD_MAX 1024 /* longest Enc_structure of a message; NO_ROOM past it */

struct cose_encrypt0 {
    struct cose_headers headers;
    struct bytes protected_raw;
    struct bytes ciphertext;
};

/* Tagged. `headers` gives content type, kid and the IV, which must be fresh for the key and as long as its nonce. */
MUST_USE enum status cose_encrypt0_encode(struct writer *writer, struct crypto_aead *aead,
                                          const struct cose_headers *headers, struct bytes external_aad,
                                          struct bytes plaintext);
MUST_USE enum status cose_encrypt0_decode(struct bytes message, struct cose_encrypt0 *encrypt0);
/* Appends the plaintext. AUTH also when algorithm or IV do not fit the key. */
MUST_USE enum status cose_encrypt0_decrypt(const struct cose_encrypt0 *encrypt0, struct crypto_aead *aead,
                                           struct bytes external_aad, struct writer *plaintext);

/* COSE_Key of a public key: EC2 P-256 and P-384, OKP X25519 and Ed25519 (RFC 9053 §7). An empty kid is left out. */
void cose_put_key(struct writer *writer, const struct crypto_public *key, struct bytes kid);
/* Takes one COSE_Key from the reader; `kid` may be NULL. EC2 with y as a sign bit is understood. A key that carries
 * private material is DENIED; a point that is not on its curve is MALFORMED. The failure sticks in the reader. */
MUST_USE enum status cose_take_key(struct reader *reader, struct crypto_public *key, struct bytes *kid);

#endif
