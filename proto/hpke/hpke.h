/* hpke: Hybrid Public Key Encryption (RFC 9180), base mode, for one message: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256,
 * AES-GCM. Never makes a key: the ephemeral one is the caller's, who may so have it named beforehand by whoever must
 * know that this message is that sender's.
 *
 * An ephemeral key is for one receiver, info and text: the nonce follows from the first two, so another text under them
 * would repeat it. The same text again gives the same bytes. */
#ifndef BASTIDE_HPKE_H
#define BASTIDE_HPKE_H

#include "base.h"
#include "crypto.h"

enum hpke_aead { HPKE_A128GCM = 1, HPKE_A256GCM = 2 }; /* RFC 9180 §7.3 */

#define HPKE_INFO_MAX 64
#define HPKE_TAG_LEN 16

/* What both sides know: associated data is authenticated with the text. */
struct hpke_context {
    enum hpke_aead aead;
    struct bytes info; /* NO_ROOM past HPKE_INFO_MAX */
    struct bytes aad;
};

/* Appends ciphertext and tag. MALFORMED: a key of another curve than P-256, a point that is not on it. */
MUST_USE enum status hpke_seal(const struct crypto_key *ephemeral, const struct crypto_public *receiver,
                               const struct hpke_context *context, struct bytes text, struct writer *out);
/* AUTH also when it was sealed for another key, info or associated data. */
MUST_USE enum status hpke_open(const struct crypto_key *receiver, const struct crypto_public *ephemeral,
                               const struct hpke_context *context, struct bytes sealed, struct writer *out);

#endif
