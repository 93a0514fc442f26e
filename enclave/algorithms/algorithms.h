/* algorithms: what libcrypto offers inside an enclave, in place of its default provider. That one has some 300
 * algorithms, all made at the first use of one of their kind: a third of a vTPM's heap, a part of every start, and code
 * that no enclave has a use for. Here there is what crypto.h is made of and what a program names beside it; the others
 * are not even linked. What is missing shows at its first use, as UNSUPPORTED or INTERNAL of the crypto room. */
#ifndef BASTIDE_ALGORITHMS_H
#define BASTIDE_ALGORITHMS_H

#include <openssl/core.h>

/* Each list ends with a zeroed entry; NULL is an empty one. Digests (SHA-1 and SHA-2) and generators are everybody's.
 */
struct algorithms {
    const OSSL_ALGORITHM *ciphers;
    const OSSL_ALGORITHM *key_types;
    const OSSL_ALGORITHM *exchanges;
    const OSSL_ALGORITHM *signatures;
    const OSSL_ALGORITHM *encryptions;
};

/* First of all in main(); `wanted` is kept. */
void algorithms_use(const struct algorithms *wanted);

/* What crypto.h is made of. */
extern const struct algorithms algorithms_of_crypto;

/* For a program that has more: the entries of those lists, to begin its own with. `functions` are libcrypto's own
 * tables, for which it has no header. */
#define ALGORITHM(names, functions)                                                                                    \
    {                                                                                                                  \
        names, "provider=default", functions, NULL                                                                     \
    }
#define ALGORITHMS_CIPHERS                                                                                             \
    ALGORITHM("AES-128-GCM", ossl_aes128gcm_functions), ALGORITHM("AES-256-GCM", ossl_aes256gcm_functions),            \
        ALGORITHM("AES-128-CCM", ossl_aes128ccm_functions), ALGORITHM("AES-256-CCM", ossl_aes256ccm_functions),        \
        ALGORITHM("ChaCha20-Poly1305", ossl_chacha20_ossl_poly1305_functions),                                         \
        ALGORITHM("AES-128-CFB", ossl_aes128cfb_functions), /* the generator's: */                                     \
        ALGORITHM("AES-256-ECB", ossl_aes256ecb_functions), ALGORITHM("AES-256-CTR", ossl_aes256ctr_functions)
#define ALGORITHMS_KEY_TYPES                                                                                           \
    ALGORITHM("EC:id-ecPublicKey", ossl_ec_keymgmt_functions), ALGORITHM("X25519", ossl_x25519_keymgmt_functions),     \
        ALGORITHM("ED25519", ossl_ed25519_keymgmt_functions)
#define ALGORITHMS_SIGNATURES                                                                                          \
    ALGORITHM("ECDSA", ossl_ecdsa_signature_functions), ALGORITHM("ED25519", ossl_ed25519_signature_functions)

extern const OSSL_DISPATCH ossl_aes128gcm_functions[], ossl_aes256gcm_functions[], ossl_aes128ccm_functions[],
    ossl_aes256ccm_functions[], ossl_chacha20_ossl_poly1305_functions[], ossl_aes128cfb_functions[],
    ossl_aes256ecb_functions[], ossl_aes256ctr_functions[], ossl_ec_keymgmt_functions[],
    ossl_x25519_keymgmt_functions[], ossl_ed25519_keymgmt_functions[], ossl_ecdsa_signature_functions[],
    ossl_ed25519_signature_functions[];

#endif
