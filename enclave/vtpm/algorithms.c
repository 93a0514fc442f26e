/* What libtpms asks libcrypto for by name: the block ciphers of TPM 2.0 in its five modes, and RSA. Its hashes,
 * elliptic curves and key derivation stand on functions below that level. */
#include "vtpm_internal.h"

#include "algorithms.h"

extern const OSSL_DISPATCH ossl_aes128ecb_functions[], ossl_aes128cbc_functions[], ossl_aes128ctr_functions[],
    ossl_aes128ofb_functions[], ossl_aes192ecb_functions[], ossl_aes192cbc_functions[], ossl_aes192ctr_functions[],
    ossl_aes192cfb_functions[], ossl_aes192ofb_functions[], ossl_aes256cbc_functions[], ossl_aes256cfb_functions[],
    ossl_aes256ofb_functions[], ossl_camellia128ecb_functions[], ossl_camellia128cbc_functions[],
    ossl_camellia128ctr_functions[], ossl_camellia128cfb_functions[], ossl_camellia128ofb_functions[],
    ossl_camellia192ecb_functions[], ossl_camellia192cbc_functions[], ossl_camellia192ctr_functions[],
    ossl_camellia192cfb_functions[], ossl_camellia192ofb_functions[], ossl_camellia256ecb_functions[],
    ossl_camellia256cbc_functions[], ossl_camellia256ctr_functions[], ossl_camellia256cfb_functions[],
    ossl_camellia256ofb_functions[], ossl_tdes_ede3_ecb_functions[], ossl_tdes_ede3_cbc_functions[],
    ossl_tdes_ede3_ofb_functions[], ossl_tdes_ede3_cfb_functions[], ossl_rsa_keymgmt_functions[],
    ossl_rsa_signature_functions[], ossl_rsa_asym_cipher_functions[];

static const OSSL_ALGORITHM ciphers[] = {
    ALGORITHMS_CIPHERS,
    ALGORITHM("AES-128-ECB", ossl_aes128ecb_functions),
    ALGORITHM("AES-128-CBC", ossl_aes128cbc_functions),
    ALGORITHM("AES-128-CTR", ossl_aes128ctr_functions),
    ALGORITHM("AES-128-OFB", ossl_aes128ofb_functions),
    ALGORITHM("AES-192-ECB", ossl_aes192ecb_functions),
    ALGORITHM("AES-192-CBC", ossl_aes192cbc_functions),
    ALGORITHM("AES-192-CTR", ossl_aes192ctr_functions),
    ALGORITHM("AES-192-CFB", ossl_aes192cfb_functions),
    ALGORITHM("AES-192-OFB", ossl_aes192ofb_functions),
    ALGORITHM("AES-256-CBC", ossl_aes256cbc_functions),
    ALGORITHM("AES-256-CFB", ossl_aes256cfb_functions),
    ALGORITHM("AES-256-OFB", ossl_aes256ofb_functions),
    ALGORITHM("CAMELLIA-128-ECB", ossl_camellia128ecb_functions),
    ALGORITHM("CAMELLIA-128-CBC", ossl_camellia128cbc_functions),
    ALGORITHM("CAMELLIA-128-CTR", ossl_camellia128ctr_functions),
    ALGORITHM("CAMELLIA-128-CFB", ossl_camellia128cfb_functions),
    ALGORITHM("CAMELLIA-128-OFB", ossl_camellia128ofb_functions),
    ALGORITHM("CAMELLIA-192-ECB", ossl_camellia192ecb_functions),
    ALGORITHM("CAMELLIA-192-CBC", ossl_camellia192cbc_functions),
    ALGORITHM("CAMELLIA-192-CTR", ossl_camellia192ctr_functions),
    ALGORITHM("CAMELLIA-192-CFB", ossl_camellia192cfb_functions),
    ALGORITHM("CAMELLIA-192-OFB", ossl_camellia192ofb_functions),
    ALGORITHM("CAMELLIA-256-ECB", ossl_camellia256ecb_functions),
    ALGORITHM("CAMELLIA-256-CBC", ossl_camellia256cbc_functions),
    ALGORITHM("CAMELLIA-256-CTR", ossl_camellia256ctr_functions),
    ALGORITHM("CAMELLIA-256-CFB", ossl_camellia256cfb_functions),
    ALGORITHM("CAMELLIA-256-OFB", ossl_camellia256ofb_functions),
    ALGORITHM("DES-EDE3-ECB:DES-EDE3", ossl_tdes_ede3_ecb_functions),
    ALGORITHM("DES-EDE3-CBC", ossl_tdes_ede3_cbc_functions),
    ALGORITHM("DES-EDE3-OFB", ossl_tdes_ede3_ofb_functions),
    ALGORITHM("DES-EDE3-CFB", ossl_tdes_ede3_cfb_functions),
    {0},
};
static const OSSL_ALGORITHM key_types[] = {
    ALGORITHMS_KEY_TYPES, ALGORITHM("RSA:rsaEncryption", ossl_rsa_keymgmt_functions), {0}};
static const OSSL_ALGORITHM signatures[] = {
    ALGORITHMS_SIGNATURES, ALGORITHM("RSA:rsaEncryption", ossl_rsa_signature_functions), {0}};
static const OSSL_ALGORITHM encryptions[] = {ALGORITHM("RSA:rsaEncryption", ossl_rsa_asym_cipher_functions), {0}};

void vtpm_use_algorithms(void)
{
    static struct algorithms used;
    used = algorithms_of_crypto;
    used.ciphers = ciphers;
    used.key_types = key_types;
    used.signatures = signatures;
    used.encryptions = encryptions;
    algorithms_use(&used);
}
