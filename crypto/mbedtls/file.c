/* A device's key file: SEC 1 or PKCS #8 without a password. Secret: the key and its PEM. */
#include "crypto_mbedtls_internal.h"

#include <mbedtls/pk.h>

#define PEM_MAX 4096

static enum status take_pair(struct crypto_key *key, enum crypto_curve curve, const mbedtls_pk_context *pk)
{
    const mbedtls_ecp_group *group = mbedtls_group(curve);
    const mbedtls_ecp_keypair *pair = mbedtls_pk_can_do(pk, MBEDTLS_PK_ECKEY) ? mbedtls_pk_ec(*pk) : NULL;
    SECRET scalar = {.len = crypto_private_len(curve)};
    if (!pair || !group || pair->grp.id != group->id)
        return UNSUPPORTED;
    if (mbedtls_mpi_write_binary(&pair->d, scalar.data, scalar.len) != 0)
        return MALFORMED;
    return crypto_key_import(key, curve, secret_bytes(&scalar));
}

enum status crypto_key_take_pem(struct crypto_key *key, enum crypto_curve curve, struct bytes pem)
{
    uint8_t text[PEM_MAX] = {0};
    struct writer writer = writer_over(text, sizeof text - 1); /* the parser wants a NUL */
    put_bytes(&writer, pem);
    if (writer_end(&writer) != OK)
        return MALFORMED;
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    int parsed = mbedtls_pk_parse_key(&pk, text, writer.len + 1, NULL, 0);
    enum status status = parsed == 0 ? take_pair(key, curve, &pk) : MALFORMED;
    /* A low half, of the ASN.1 reader, may be added to these. */
    int high = -(-parsed & ~0x7f);
    if (high == MBEDTLS_ERR_PK_UNKNOWN_PK_ALG || high == MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE ||
        high == MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE)
        status = UNSUPPORTED;
    mbedtls_pk_free(&pk);
    wipe(text, sizeof text);
    return status;
}
