/* A static program without what of libcrypto it does not use, though the archive would bring it along: certificates and
 * their extensions, the formats that keys are stored in, engines, configuration files, sockets and HTTP, prompts for
 * passphrases, providers that are files, curves. What names them is a table or a clean-up. 0 is
 * libcrypto's word for failure and for none. */
#include "without.h"

__attribute__((used)) static int absent(void)
{
    return 0;
}

/* Where there is nothing to do, which is success. */
__attribute__((used)) static int done(void)
{
    return 1;
}

/* Where there would be no word for it. */
__attribute__((used)) static void never(void)
{
    __builtin_trap();
}

void *bio_lookup_lock; /* the resolver's; freed at the end */

#define ABSENT(name) WITHOUT(name, absent)
#define DONE(name) WITHOUT(name, done)
#define NEVER(name) WITHOUT(name, never)

/* Engines. */
ABSENT(ENGINE_init);
DONE(ENGINE_finish);
DONE(ENGINE_free);
ABSENT(ENGINE_get_id);
ABSENT(ENGINE_get_cipher);
ABSENT(ENGINE_get_cipher_engine);
ABSENT(ENGINE_get_digest);
ABSENT(ENGINE_get_digest_engine);
ABSENT(ENGINE_get_pkey_meth);
ABSENT(ENGINE_get_pkey_meth_engine);
ABSENT(ENGINE_get_pkey_asn1_meth);
ABSENT(ENGINE_get_pkey_asn1_meth_engine);
ABSENT(ENGINE_pkey_asn1_find_str);
ABSENT(ENGINE_get_RAND);
ABSENT(ENGINE_get_default_RAND);
ABSENT(ENGINE_get_RSA);
ABSENT(ENGINE_get_default_RSA);
ABSENT(ENGINE_get_EC);
ABSENT(ENGINE_get_default_EC);
ABSENT(ENGINE_get_DH);
ABSENT(ENGINE_get_default_DH);
ABSENT(ENGINE_get_DSA);
ABSENT(ENGINE_get_default_DSA);
DONE(ENGINE_register_all_complete);
DONE(engine_load_afalg_int);
DONE(engine_load_dynamic_int);
DONE(engine_load_openssl_int);
DONE(engine_load_padlock_int);
DONE(engine_cleanup_int);

/* Configuration. */
DONE(ossl_config_int);
DONE(ossl_no_config_int);
DONE(ossl_config_modules_free);
ABSENT(CONF_modules_load_file_ex);
ABSENT(CONF_module_add);
ABSENT(CONF_imodule_get_value);
ABSENT(NCONF_get0_libctx);
ABSENT(NCONF_get_section);

/* Providers that are files. */
ABSENT(DSO_new);
ABSENT(DSO_load);
ABSENT(DSO_free);
ABSENT(DSO_ctrl);
ABSENT(DSO_bind_func);
ABSENT(DSO_merge);
ABSENT(DSO_convert_filename);
ABSENT(DSO_get_filename);

/* Keys in files: encoders, decoders, stores, PKCS #8, passphrases. */
ABSENT(OSSL_DECODER_CTX_new_for_pkey);
ABSENT(OSSL_DECODER_CTX_free);
ABSENT(OSSL_DECODER_from_data);
ABSENT(OSSL_ENCODER_CTX_new_for_pkey);
ABSENT(OSSL_ENCODER_CTX_free);
ABSENT(OSSL_ENCODER_CTX_get_num_encoders);
ABSENT(OSSL_ENCODER_to_bio);
ABSENT(OSSL_ENCODER_to_data);
DONE(ossl_decoder_store_cache_flush);
DONE(ossl_decoder_store_remove_all_provided);
DONE(ossl_encoder_store_cache_flush);
DONE(ossl_encoder_store_remove_all_provided);
DONE(ossl_store_loader_store_cache_flush);
DONE(ossl_store_loader_store_remove_all_provided);
DONE(ossl_store_cleanup_int);
ABSENT(PKCS8_pkey_get0);
ABSENT(PKCS8_pkey_set0);
DONE(EVP_PBE_cleanup);

/* Certificates, and whatever is printed. */
ABSENT(X509_SIG_INFO_set);
ABSENT(X509_signature_dump);
ABSENT(X509_ATTRIBUTE_free);
ABSENT(ossl_x509at_dup);
ABSENT(ASN1_item_print);
ABSENT(ASN1_bn_print);
ABSENT(ASN1_buf_print);
ABSENT(i2a_ASN1_INTEGER);
DONE(OSSL_CMP_log_close);

/* Files and sockets. */
ABSENT(BIO_s_file);
ABSENT(BIO_new_fp);
ABSENT(BIO_new_file);
ABSENT(BIO_s_mem);
ABSENT(BIO_new_mem_buf);
ABSENT(BIO_f_base64);
ABSENT(BIO_socket_wait);
DONE(bio_sock_cleanup_int);

/* Curves: binary ones, Ed448 and X448, and P-256 in C, which is in assembler. */
ABSENT(EC_nistp256_pre_comp_dup);
ABSENT(EC_nistp256_pre_comp_free);
ABSENT(EC_GF2m_simple_method);
ABSENT(ossl_ec_GF2m_simple_oct2point);
ABSENT(ossl_ec_GF2m_simple_point2oct);
ABSENT(ossl_ec_GF2m_simple_set_compressed_coordinates);
ABSENT(ossl_x448);
NEVER(ossl_x448_public_from_private);
ABSENT(ossl_ed448_public_from_private);
ABSENT(ossl_ed448_sign);
ABSENT(ossl_ed448_verify);
