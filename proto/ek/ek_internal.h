/* ek, inside: what both kinds of certificate are made of. Never included outside this directory. */
#ifndef BASTIDE_EK_INTERNAL_H
#define BASTIDE_EK_INTERNAL_H

#include "ek.h"

#include "der.h"

#define EK_OID(array) BYTES_OF(array)

#define EK_PLATFORM_VERSION 1             /* v2 */
extern const uint8_t ek_platform_oid[20]; /* EK_PLATFORM; platform.c */

/* ek.c */
extern const uint8_t ek_alternative_name[3];
bool ek_serial_fits(struct bytes serial);
bool ek_text_fits(struct bytes text); /* 1 to EK_TENANT_MAX bytes of UTF-8 without control characters */
bool ek_word_fits(struct bytes word); /* 1 to 32 letters and digits */
/* DENIED: it may not sign certificates, or `key` is not its key. */
MUST_USE enum status ek_may_sign(const struct pki_certificate *issuer, const struct crypto_key *key);
size_t ek_open_extension(struct writer *writer, struct bytes oid, bool critical);
void ek_put_attribute(struct writer *writer, struct bytes oid, struct bytes text); /* in a name */
void ek_put_uri(struct writer *writer, const uint8_t site[EK_SITE_LEN], const uint8_t instance[EK_SITE_LEN]);
void ek_put_authority(struct writer *writer, const struct pki_certificate *issuer); /* authorityKeyIdentifier */
/* Signs, and appends the whole or nothing. */
MUST_USE enum status ek_put_signed(struct writer *writer, const struct crypto_key *key, struct bytes signed_part);

#endif
