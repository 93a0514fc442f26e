/* What the crypto room uses, and that alone. */
#include "algorithms.h"

extern const OSSL_DISPATCH ossl_ecdh_keyexch_functions[], ossl_x25519_keyexch_functions[];

static const OSSL_ALGORITHM ciphers[] = {ALGORITHMS_CIPHERS, {0}};
static const OSSL_ALGORITHM key_types[] = {ALGORITHMS_KEY_TYPES, {0}};
static const OSSL_ALGORITHM signatures[] = {ALGORITHMS_SIGNATURES, {0}};
static const OSSL_ALGORITHM exchanges[] = {
    ALGORITHM("ECDH", ossl_ecdh_keyexch_functions), ALGORITHM("X25519", ossl_x25519_keyexch_functions), {0}};

const struct algorithms algorithms_of_crypto = {
    .ciphers = ciphers, .key_types = key_types, .exchanges = exchanges, .signatures = signatures};
