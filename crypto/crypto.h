/* crypto: exactly the operations Bastide needs — hashes, HMAC, HKDF, AEAD, ECDH, signatures — with libcrypto behind
 * them, or Mbed TLS on a device (crypto/mbedtls, which says what it leaves out). Never reads a configuration file or a
 * device, never loads a module, never tells why an authentication failed.
 */
#ifndef BASTIDE_CRYPTO_H
#define BASTIDE_CRYPTO_H

#include "base.h"

/* Call once, first, from one thread. Fetches every algorithm and seeds libcrypto's generator by getrandom(2), so that
 * what follows makes no system call but getrandom and getpid. Calling it again is OK and does nothing.
 * Hashing, HMAC, HKDF and crypto_random() work without it. */
MUST_USE enum status crypto_init(void);

/* Fills the buffer from getrandom(2); IO when the kernel refuses, and then nothing of the buffer may be used. */
MUST_USE enum status crypto_random(void *out, size_t len);

/* Hashes. Neither they nor HMAC and HKDF allocate or keep anything. An algorithm outside the enum has length 0 and is
 * UNSUPPORTED. */
enum crypto_hash_alg {
    CRYPTO_SHA256 = 1,
    CRYPTO_SHA384,
    CRYPTO_SHA512,
};

#define CRYPTO_HASH_MAX 64

size_t crypto_hash_len(enum crypto_hash_alg alg);

/* One shot over parts taken one after the other. `out` has room for crypto_hash_len(alg). */
MUST_USE enum status crypto_hash(enum crypto_hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out);

/* Incremental. `finish` leaves the state wiped; to look at a hash in between, finish a copy of the struct. */
struct crypto_hash_state {
    enum crypto_hash_alg alg;
    _Alignas(16) uint8_t state[216];
};

MUST_USE enum status crypto_hash_start(struct crypto_hash_state *state, enum crypto_hash_alg alg);
void crypto_hash_add(struct crypto_hash_state *state, struct bytes bytes);
void crypto_hash_finish(struct crypto_hash_state *state, uint8_t *out);

/* HMAC (RFC 2104). `out` has room for crypto_hash_len(alg). */
MUST_USE enum status crypto_hmac(enum crypto_hash_alg alg, struct bytes key, const struct bytes *parts, size_t count,
                                 uint8_t *out);

/* HKDF (RFC 5869). `prk` has room for crypto_hash_len(alg); an empty salt means zeros. */
MUST_USE enum status crypto_hkdf_extract(enum crypto_hash_alg alg, struct bytes salt, struct bytes ikm, uint8_t *prk);
/* NO_ROOM past 255 hash lengths. */
MUST_USE enum status crypto_hkdf_expand(enum crypto_hash_alg alg, struct bytes prk, struct bytes info, void *out,
                                        size_t len);

/* AEAD. The values are the COSE algorithm identifiers (RFC 9053 §4). */
enum crypto_aead_alg {
    CRYPTO_A128GCM = 1,
    CRYPTO_A256GCM = 3,
    CRYPTO_AES_CCM_16_64_128 = 10,
    CRYPTO_AES_CCM_16_64_256 = 11,
    CRYPTO_CHACHA20_POLY1305 = 24,
    CRYPTO_AES_CCM_16_128_128 = 30,
    CRYPTO_AES_CCM_16_128_256 = 31,
};

#define CRYPTO_AEAD_KEY_MAX 32
#define CRYPTO_AEAD_NONCE_MAX 13
#define CRYPTO_AEAD_TAG_MAX 16

size_t crypto_aead_key_len(enum crypto_aead_alg alg); /* these three are 0 for what is not in the enum */
size_t crypto_aead_nonce_len(enum crypto_aead_alg alg);
size_t crypto_aead_tag_len(enum crypto_aead_alg alg);
size_t crypto_aead_text_max(enum crypto_aead_alg alg); /* longest plaintext: 65535 for AES-CCM-16 */

/* A key made ready; only init allocates. Zeroed is valid and empty. */
struct crypto_aead {
    enum crypto_aead_alg alg;
    void *seal; /* NULL: not for this direction */
    void *open;
};

enum crypto_aead_use { CRYPTO_SEAL = 1, CRYPTO_OPEN = 2, CRYPTO_SEAL_AND_OPEN = 3 };

/* UNSUPPORTED for an unknown algorithm, MALFORMED for a key of the wrong length. Copies the key. For one direction
 * alone half the memory does (about 1.1 KiB with libcrypto), and the other is WRONG_STATE. */
MUST_USE enum status crypto_aead_init_for(struct crypto_aead *aead, enum crypto_aead_alg alg, struct bytes key,
                                          enum crypto_aead_use use);
MUST_USE static inline enum status crypto_aead_init(struct crypto_aead *aead, enum crypto_aead_alg alg,
                                                    struct bytes key)
{
    return crypto_aead_init_for(aead, alg, key, CRYPTO_SEAL_AND_OPEN);
}
void crypto_aead_done(struct crypto_aead *aead);

/* Appends ciphertext || tag, respectively the plaintext, to `out`. The input may be the very place the output goes to.
 * On any failure out->len and out->status are as before; the room behind out->len may have been zeroed.
 * MALFORMED for a nonce of the wrong length, NO_ROOM, AUTH. */
MUST_USE enum status crypto_aead_seal(struct crypto_aead *aead, struct bytes nonce, struct bytes aad, struct bytes text,
                                      struct writer *out);
MUST_USE enum status crypto_aead_open(struct crypto_aead *aead, struct bytes nonce, struct bytes aad,
                                      struct bytes sealed, struct writer *out);

/* Keys. The values are the COSE elliptic curve identifiers (RFC 9053 §7.1). */
enum crypto_curve {
    CRYPTO_P256 = 1,
    CRYPTO_P384 = 2,
    CRYPTO_X25519 = 4,
    CRYPTO_ED25519 = 6,
};

#define CRYPTO_PUBLIC_MAX 97
#define CRYPTO_PRIVATE_MAX 48
#define CRYPTO_SIGNATURE_MAX 96

size_t crypto_private_len(enum crypto_curve curve);   /* 32, 48, 32, 32; also the length of an x coordinate */
size_t crypto_public_len(enum crypto_curve curve);    /* 65 and 97 (0x04 || x || y), 32, 32 */
size_t crypto_signature_len(enum crypto_curve curve); /* 64, 96, 0, 64 */

struct crypto_public {
    enum crypto_curve curve;
    uint8_t data[CRYPTO_PUBLIC_MAX];
    size_t len;
};

struct bytes crypto_public_bytes(const struct crypto_public *key);
struct bytes crypto_public_x(const struct crypto_public *key); /* the x coordinate alone; all of it for 25519 */

/* Takes 0x04||x||y, 0x02/03||x, or x alone (then y is the even root, as EDHOC wants it: RFC 9528 §3.7) for P-256 and
 * P-384; 32 bytes for the others, of which only the length is checked. MALFORMED for a wrong length or a point that is
 * not on the curve. */
MUST_USE enum status crypto_public_import(struct crypto_public *key, enum crypto_curve curve, struct bytes encoded);

/* A private key; init functions allocate, done wipes. Zeroed is valid and empty. */
struct crypto_key {
    struct crypto_public public_key; /* filled by generate and import */
    void *pkey;
};

MUST_USE enum status crypto_key_generate(struct crypto_key *key, enum crypto_curve curve);
/* Raw scalar (big endian, 1 ≤ d < n) or 32-byte seed; MALFORMED otherwise. Copies. */
MUST_USE enum status crypto_key_import(struct crypto_key *key, enum crypto_curve curve, struct bytes private_key);
MUST_USE enum status crypto_key_export(const struct crypto_key *key, struct secret *private_key);
void crypto_key_done(struct crypto_key *key);

/* The x coordinate, or the X25519 output. `peer` in any form crypto_public_import() takes, and checked like there;
 * MALFORMED also for an all-zero X25519 output (RFC 7748 §6.1). UNSUPPORTED for Ed25519. */
MUST_USE enum status crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared);

/* ES256 (P-256, SHA-256), ES384 (P-384, SHA-384) as r || s, EdDSA (Ed25519), over parts taken one after the other.
 * `signature` has room for crypto_signature_len(curve). UNSUPPORTED for X25519. */
MUST_USE enum status crypto_sign(const struct crypto_key *key, const struct bytes *parts, size_t count,
                                 uint8_t *signature);
/* AUTH for every signature that does not verify, a wrong length included; MALFORMED for a public key that is none. */
MUST_USE enum status crypto_verify(enum crypto_curve curve, struct bytes public_key, const struct bytes *parts,
                                   size_t count, struct bytes signature);
/* The same for r || s over a hash made elsewhere, of any of our hash lengths. P-256 and P-384 only. */
MUST_USE enum status crypto_verify_hash(enum crypto_curve curve, struct bytes public_key, struct bytes hash,
                                        struct bytes signature);

/* A key whose private half is elsewhere, in a token say: crypto_sign() asks `sign` for r || s over the hash and is
 * INTERNAL when that fails; whatever else wants the private half fails. `context` is borrowed until done. P-256 and
 * P-384; otherwise like crypto_public_import(). Owner's machine only: no enclave links it. */
typedef enum status crypto_sign_fn(void *context, struct bytes hash, uint8_t *signature);
MUST_USE enum status crypto_key_delegate(struct crypto_key *key, enum crypto_curve curve, struct bytes public_key,
                                         crypto_sign_fn *sign, void *context);

/* AES-128-CFB with a full-block feedback, as TPM credentials use it (TPM 2.0 Part 1 §11.4.6). `out` has room for as
 * much as `text`. It authenticates nothing. */
MUST_USE enum status crypto_aes128_cfb_encrypt(struct bytes key, struct bytes iv, struct bytes text, uint8_t *out);

/* Files of the owner's machine. Appends PEM, PKCS #8 without a password: secret, wipe the writer's room. P-256, P-384.
 */
MUST_USE enum status crypto_key_put_pem(struct writer *writer, const struct crypto_key *key);
/* The first private key in the text, of exactly this curve. UNSUPPORTED for another kind of key, MALFORMED also for one
 * behind a password. */
MUST_USE enum status crypto_key_take_pem(struct crypto_key *key, enum crypto_curve curve, struct bytes pem);
/* The same behind a passphrase: PKCS #8 with scrypt (N 2^14, r 8, p 5: 16 MiB and a quarter of a second) and
 * AES-256-CBC, which openssl(1) reads too. MALFORMED for an empty passphrase. Owner's machine only: no enclave links
 * it. */
#define CRYPTO_PASSPHRASE_MAX 1024
MUST_USE enum status crypto_key_put_locked_pem(struct writer *writer, const struct crypto_key *key,
                                               struct bytes passphrase);
/* AUTH: another passphrase. MALFORMED: no such file. UNSUPPORTED as above. */
MUST_USE enum status crypto_key_take_locked_pem(struct crypto_key *key, enum crypto_curve curve, struct bytes pem,
                                                struct bytes passphrase);
bool crypto_pem_is_locked(struct bytes pem);
MUST_USE enum status crypto_certificate_put_pem(struct writer *writer, struct bytes der);

#endif
