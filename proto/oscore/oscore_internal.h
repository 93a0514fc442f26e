/* oscore, inside: what its files share. */
#ifndef BASTIDE_OSCORE_INTERNAL_H
#define BASTIDE_OSCORE_INTERNAL_H

#include "oscore.h"

#define OSCORE_PIV_MAX 5
#define OSCORE_AAD_MAX 64

/* AEAD nonce (§5.2): the Partial IV's maker and the Partial IV. */
void oscore_nonce(const struct oscore_context *context, enum crypto_aead_alg aead, struct bytes id, struct bytes piv,
                  uint8_t nonce[CRYPTO_AEAD_NONCE_MAX]);
/* Enc_structure over external_aad (§5.4). */
struct bytes oscore_aad(enum crypto_aead_alg aead, struct bytes kid, struct bytes piv, uint8_t room[OSCORE_AAD_MAX]);
/* Shortest big-endian form; zero is one byte (§5.2). */
size_t oscore_piv(uint64_t sequence, uint8_t piv[OSCORE_PIV_MAX]);
bool oscore_context_is(const struct oscore_context *context, struct bytes id_context);
struct bytes oscore_id_context(const struct oscore_context *context);

/* Replay window (§7.4): asked before, told after decryption. */
bool oscore_window_allows(const struct oscore_context *context, uint64_t sequence);
void oscore_window_take(struct oscore_context *context, uint64_t sequence);

/* Outer body with the inner message sealed into it. */
MUST_USE enum status oscore_seal(struct oscore_context *context, uint8_t code, const struct oscore_option *option,
                                 const struct coap_body *message, bool response, struct bytes nonce, struct bytes aad,
                                 struct writer *outer);
MUST_USE enum status oscore_open(struct oscore_context *context, enum crypto_aead_alg aead, struct bytes nonce,
                                 struct bytes aad, struct bytes sealed, struct writer *plain,
                                 struct coap_body *message);

bool oscore_input_is_good(const struct oscore_input *input);

#endif
