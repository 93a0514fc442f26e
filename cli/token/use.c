/* What the token does with a key: makes it, and signs with it. */
#include "token_internal.h"

#include <string.h>

#define MADE_LABEL "Bastide owner" /* where the URI gives no name but an id */
#define MADE_ID_LEN 16

const uint8_t token_p256[10] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

/* ---- Making one ---- */

static CK_RV generate(struct token *token, CK_SESSION_HANDLE session)
{
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_MECHANISM how = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE public_half, private_half;
    uint8_t label[] = MADE_LABEL, id[MADE_ID_LEN], curve[sizeof token_p256];
    CK_ATTRIBUTE name = {CKA_LABEL, label, sizeof label - 1}, number = {CKA_ID, id, sizeof id};
    CK_ATTRIBUTE wanted[TOKEN_NAMED_MAX];
    memcpy(curve, token_p256, sizeof curve); /* the interface knows no const */
    if (crypto_random(id, sizeof id) != OK)
        return CKR_GENERAL_ERROR;
    for (size_t i = token_named(token, wanted); i-- > 0;)
        *(wanted[i].type == CKA_ID ? &number : &name) = wanted[i];
    CK_ATTRIBUTE of_public[] = {name,
                                number,
                                {CKA_EC_PARAMS, curve, sizeof curve},
                                {CKA_TOKEN, &yes, sizeof yes},
                                {CKA_VERIFY, &yes, sizeof yes}};
    CK_ATTRIBUTE of_private[] = {name,
                                 number,
                                 {CKA_TOKEN, &yes, sizeof yes},
                                 {CKA_PRIVATE, &yes, sizeof yes},
                                 {CKA_SENSITIVE, &yes, sizeof yes},
                                 {CKA_EXTRACTABLE, &no, sizeof no},
                                 {CKA_SIGN, &yes, sizeof yes}};
    return token->module->C_GenerateKeyPair(session, &how, of_public, sizeof of_public / sizeof of_public[0],
                                            of_private, sizeof of_private / sizeof of_private[0], &public_half,
                                            &private_half);
}

/* In a session of its own, because only it needs to write. */
enum status token_generate(struct token *token)
{
    CK_SESSION_HANDLE session;
    TRY(token_answer(
        token, token->module->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session)));
    CK_RV answer = generate(token, session);
    (void)token->module->C_CloseSession(session);
    return token_answer(token, answer);
}

/* ---- Signing ---- */

enum status token_sign(void *context, struct bytes hash, uint8_t *signature)
{
    struct token *token = context;
    CK_FUNCTION_LIST *module = token->module;
    CK_MECHANISM how = {CKM_ECDSA, NULL, 0};
    uint8_t room[128], text[CRYPTO_HASH_MAX];
    CK_ULONG len = sizeof room;
    if (hash.len > sizeof text)
        return INTERNAL;
    memcpy(text, hash.data, hash.len);
    TRY(token_answer(token, module->C_SignInit(token->session, &how, token->key)));
    if (token->asks_each_time)
        TRY(token_answer(token, module->C_Login(token->session, CKU_CONTEXT_SPECIFIC,
                                                token->pin_len ? token->pin : NULL, token->pin_len)));
    TRY(token_answer(token, module->C_Sign(token->session, text, hash.len, room, &len)));
    if (len != crypto_signature_len(CRYPTO_P256))
        return token_fail(token, IO, "the token \"%s\" gave %lu bytes for a signature", token->label, len);
    memcpy(signature, room, len);
    if (crypto_verify_hash(CRYPTO_P256, crypto_public_bytes(&token->public_half), hash, bytes_from(room, len)) != OK)
        return token_fail(token, IO, "the token \"%s\" gave a signature that is not by the owner's key", token->label);
    return OK;
}
