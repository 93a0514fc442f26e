/* What the files of this room share: PKCS #11's types stay on this side. */
#ifndef BASTIDE_TOKEN_INTERNAL_H
#define BASTIDE_TOKEN_INTERNAL_H

#include "token.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

struct token {
    P11KitUri *wish;
    CK_FUNCTION_LIST **registered; /* the modules of p11-kit's configuration, or: */
    CK_FUNCTION_LIST *loaded;      /* the one that was named */
    CK_FUNCTION_LIST *module;      /* the token's, one of these */
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    struct crypto_public public_half;
    bool has_session;
    bool key_made_here;
    bool asks_each_time;        /* the key wants the PIN for every signature (CKA_ALWAYS_AUTHENTICATE) */
    uint8_t pin[TOKEN_PIN_MAX]; /* kept for that only */
    size_t pin_len;
    char label[sizeof((CK_TOKEN_INFO *)0)->label + 1];
    enum status trouble; /* of the token while its objects were looked at; the first stays */
    char why[320];
};

/* Leaves the sentence and returns the status. */
__attribute__((format(printf, 3, 4))) enum status token_fail(struct token *token, enum status status,
                                                             const char *format, ...);
/* The same for what a module answered; OK for CKR_OK. */
enum status token_answer(struct token *token, CK_RV answer);

/* object= and id= of the URI, as far as they are given, as attributes to look for. */
size_t token_named(struct token *token, CK_ATTRIBUTE *wanted);
#define TOKEN_NAMED_MAX 2

void token_forget_pin(struct token *token);
enum status token_generate(struct token *token);
extern const uint8_t token_p256[10]; /* CKA_EC_PARAMS: the curve's object identifier, DER */
crypto_sign_fn token_sign;

#endif
