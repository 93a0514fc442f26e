/* Points: any of the three forms to 0x04||x||y, checked to be on the curve. Public: all of it. */
#include "crypto_mbedtls_internal.h"

#include <string.h>

#define CHECK(call) (status == 0 ? (void)(status = (call)) : (void)0)

/* y of an x (SEC 1 §2.3.4): a root of x³ - 3x + b, which is its (p + 1) / 4-th power because p mod 4 is 3 for both
 * curves. Whether there is one, the check of the whole point tells. */
static int root(const mbedtls_ecp_group *group, const mbedtls_mpi *x, bool odd, mbedtls_mpi *y)
{
    mbedtls_mpi square, exponent;
    int status = 0;
    mbedtls_mpi_init(&square);
    mbedtls_mpi_init(&exponent);
    CHECK(mbedtls_mpi_mul_mpi(&square, x, x));
    CHECK(mbedtls_mpi_sub_int(&square, &square, 3));
    CHECK(mbedtls_mpi_mod_mpi(&square, &square, &group->P));
    CHECK(mbedtls_mpi_mul_mpi(&square, &square, x));
    CHECK(mbedtls_mpi_add_mpi(&square, &square, &group->B));
    CHECK(mbedtls_mpi_mod_mpi(&square, &square, &group->P));
    CHECK(mbedtls_mpi_add_int(&exponent, &group->P, 1));
    CHECK(mbedtls_mpi_shift_r(&exponent, 2));
    CHECK(mbedtls_mpi_exp_mod(y, &square, &exponent, &group->P, NULL));
    if (status == 0 && (mbedtls_mpi_get_bit(y, 0) == 1) != odd)
        CHECK(mbedtls_mpi_sub_mpi(y, &group->P, y));
    mbedtls_mpi_free(&square);
    mbedtls_mpi_free(&exponent);
    return status;
}

static enum status expand_point(struct crypto_public *key, mbedtls_ecp_group *group, struct bytes encoded)
{
    size_t half = crypto_private_len(key->curve), len = 0;
    uint8_t form = encoded.len == half ? 2 : encoded.len ? encoded.data[0] : 0;
    bool whole = encoded.len == 1 + 2 * half && form == 4;
    if (!whole && encoded.len != half && !(encoded.len == 1 + half && (form == 2 || form == 3)))
        return MALFORMED;
    struct bytes x = bytes_slice(encoded, encoded.len == half ? 0 : 1, half);
    mbedtls_ecp_point point;
    int status = 0;
    mbedtls_ecp_point_init(&point);
    CHECK(mbedtls_mpi_read_binary(&point.X, x.data, half));
    CHECK(mbedtls_mpi_lset(&point.Z, 1));
    if (whole)
        CHECK(mbedtls_mpi_read_binary(&point.Y, bytes_slice(encoded, 1 + half, half).data, half));
    else
        CHECK(root(group, &point.X, form == 3, &point.Y));
    CHECK(mbedtls_ecp_check_pubkey(group, &point));
    CHECK(
        mbedtls_ecp_point_write_binary(group, &point, MBEDTLS_ECP_PF_UNCOMPRESSED, &len, key->data, sizeof key->data));
    mbedtls_ecp_point_free(&point);
    key->len = len;
    return status == 0 && len == 1 + 2 * half ? OK : MALFORMED;
}

enum status crypto_public_import(struct crypto_public *key, enum crypto_curve curve, struct bytes encoded)
{
    struct crypto_public made = {.curve = curve};
    if (curve != CRYPTO_P256 && curve != CRYPTO_P384)
        return UNSUPPORTED;
    mbedtls_ecp_group *group = mbedtls_group(curve);
    if (!group)
        return WRONG_STATE;
    TRY(expand_point(&made, group, encoded));
    *key = made;
    return OK;
}
