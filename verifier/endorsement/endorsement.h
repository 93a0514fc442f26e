/* endorsement: does a TPM's maker vouch for this endorsement key? Its EK certificate (TCG EK Credential Profile for TPM
 * Family 2.0) against CA certificates that the owner was given. Never fetches anything, never decides which makers
 * count.
 *
 * By libcrypto's own X.509 and not the strict pki room: makers sign with RSA and put everything into certificates. So
 * this is for the owner's machine, once per TPM; afterwards the key itself is pinned. */
#ifndef BASTIDE_ENDORSEMENT_H
#define BASTIDE_ENDORSEMENT_H

#include "base.h"

#define ENDORSEMENT_AUTHORITIES_MAX (1u << 20) /* bytes of PEM */

/* `ek`: its TPMT_PUBLIC, of one of the default templates (proto/tpm2). `authorities`: PEM certificates, roots or
 * intermediates, each of which is enough to end at. DENIED: `why` has a sentence. MALFORMED: the authorities are none.
 */
MUST_USE enum status endorsement_check(struct bytes certificate, struct bytes ek, struct bytes authorities,
                                       int64_t now_s, char *why, size_t cap);

#endif
