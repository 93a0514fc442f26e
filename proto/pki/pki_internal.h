/* What the files of this room share: the parts that certificates and requests have in common. */
#ifndef BASTIDE_PKI_INTERNAL_H
#define BASTIDE_PKI_INTERNAL_H

#include "pki.h"

#include "der.h"

_Static_assert(PKI_NO_END == DER_NO_END, "one end of time");

/* ---- name.c ---- */

/* A distinguished name with its head; *common_name may be empty afterwards. */
struct bytes name_take(struct reader *reader, struct bytes *common_name);
bool name_is_text(struct bytes text); /* UTF-8 without control characters */

/* ---- key.c ---- */

MUST_USE enum status key_take(struct reader *reader, struct crypto_public *key); /* SubjectPublicKeyInfo */
void key_put(struct writer *writer, const struct crypto_public *key);
enum pki_algorithm algorithm_take(struct reader *reader); /* AlgorithmIdentifier of a signature */
MUST_USE enum status signed_verify(struct bytes signed_part, enum pki_algorithm algorithm, struct bytes signature,
                                   const struct crypto_public *key);

/* ---- extension.c ---- */

void extensions_take(struct reader *reader, struct pki_certificate *certificate); /* inside of [3] */
void extensions_put(struct writer *writer, const struct pki_certificate *certificate);

#endif
