/* What the files of this room share. */
#ifndef BASTIDE_CRYPTO_MBEDTLS_INTERNAL_H
#define BASTIDE_CRYPTO_MBEDTLS_INTERNAL_H

#include "crypto.h"

#include <mbedtls/ecp.h>

bool mbedtls_is_ready(void); /* crypto_init() was called */

/* The group of P-256 or P-384; NULL for other curves and before crypto_init(). */
mbedtls_ecp_group *mbedtls_group(enum crypto_curve curve);

#endif
