/* What the files of this room share: libcrypto's types stay on this side. */
#ifndef BASTIDE_CRYPTO_INTERNAL_H
#define BASTIDE_CRYPTO_INTERNAL_H

#include "crypto.h"

#include <openssl/ec.h>
#include <openssl/evp.h>

/* Fetched once by crypto_init(); false when libcrypto lacks an algorithm. */
bool aead_fetch_all(void);
bool keys_fetch_all(void);

/* A new EVP_PKEY for a public key already imported, or NULL. */
EVP_PKEY *keys_public_pkey(const struct crypto_public *key);

/* The group of P-256 or P-384; NULL for other curves and before crypto_init(). */
const EC_GROUP *keys_group(enum crypto_curve curve);

/* What PEM and PKCS #8 held, as a key of ours. UNSUPPORTED unless it is of this curve. */
enum status pem_adopt(struct crypto_key *key, enum crypto_curve curve, EVP_PKEY *pkey);

#endif
