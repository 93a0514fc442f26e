/* The key in the token: found by its name, and judged. */
#include "token_internal.h"

#include <string.h>

/* ---- Objects ---- */

/* Its length; 0 when the token does not tell, or it is longer than cap. A token that fails leaves its trouble, which is
 * looked at before anything is concluded. */
static size_t attribute(struct token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *room, size_t cap)
{
    CK_ATTRIBUTE wanted = {type, room, cap};
    CK_RV answer = token->module->C_GetAttributeValue(token->session, object, &wanted, 1);
    if (answer == CKR_OK && wanted.ulValueLen <= cap)
        return wanted.ulValueLen;
    if (answer != CKR_OK && answer != CKR_ATTRIBUTE_TYPE_INVALID && answer != CKR_ATTRIBUTE_SENSITIVE &&
        answer != CKR_BUFFER_TOO_SMALL && token->trouble == OK)
        token->trouble = token_answer(token, answer);
    return 0;
}

static bool is_set(struct token *token, CK_ATTRIBUTE_TYPE type, bool unknown)
{
    CK_BBOOL value = CK_FALSE;
    return attribute(token, token->key, type, &value, sizeof value) == sizeof value ? value != CK_FALSE : unknown;
}

/* Objects that have all of these attributes: the first of them, *count of all. */
static enum status find_objects(struct token *token, CK_ATTRIBUTE *wanted, size_t wanted_count, CK_OBJECT_HANDLE *first,
                                size_t *count)
{
    CK_FUNCTION_LIST *module = token->module;
    CK_OBJECT_HANDLE object;
    CK_ULONG got = 1;
    *count = 0;
    TRY(token_answer(token, module->C_FindObjectsInit(token->session, wanted, wanted_count)));
    CK_RV answer = CKR_OK;
    while (answer == CKR_OK && got > 0) {
        answer = module->C_FindObjects(token->session, &object, 1, &got);
        if (answer == CKR_OK && got == 1 && (*count)++ == 0)
            *first = object;
    }
    CK_RV ended = module->C_FindObjectsFinal(token->session);
    return token_answer(token, answer == CKR_OK ? ended : answer);
}

/* ---- What it is ---- */

static const char *class_word(CK_OBJECT_CLASS class)
{
    return class == CKO_PUBLIC_KEY    ? "a public key without its private one"
           : class == CKO_CERTIFICATE ? "a certificate"
           : class == CKO_SECRET_KEY  ? "a secret key"
           : class == CKO_DATA        ? "a data object"
                                      : "no private key";
}

static const char *kind_word(CK_KEY_TYPE kind)
{
    return kind == CKK_RSA   ? "an RSA key"
           : kind == CKK_DSA ? "a DSA key"
           : kind == CKK_DH  ? "a Diffie-Hellman key"
                             : "of another kind";
}

/* No private key has the name. Something else may. */
static enum status see_others(struct token *token)
{
    CK_ATTRIBUTE wanted[TOKEN_NAMED_MAX];
    CK_OBJECT_HANDLE object;
    CK_OBJECT_CLASS class = CKO_DATA;
    size_t count;
    TRY(find_objects(token, wanted, token_named(token, wanted), &object, &count));
    if (count == 0)
        return token_fail(token, NOT_FOUND, "the token \"%s\" has no key of that name", token->label);
    bool known = attribute(token, object, CKA_CLASS, &class, sizeof class) == sizeof class;
    TRY(token->trouble);
    return token_fail(token, UNSUPPORTED, "what has that name in the token \"%s\" is %s", token->label,
                      class_word(known ? class : CKO_VENDOR_DEFINED));
}

static enum status find_key(struct token *token)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[TOKEN_NAMED_MAX + 1] = {{CKA_CLASS, &class, sizeof class}};
    size_t count;
    TRY(find_objects(token, wanted, 1 + token_named(token, wanted + 1), &token->key, &count));
    if (count > 1)
        return token_fail(token, DENIED, "the token \"%s\" has %zu keys of that name: add id= to name one",
                          token->label, count);
    return count == 1 ? OK : see_others(token);
}

struct facts {
    CK_KEY_TYPE kind;
    uint8_t curve[64];
    size_t curve_len;
    bool signs, leaves, is_sensitive;
};

static enum status look_at_key(struct token *token, struct facts *facts)
{
    *facts = (struct facts){.signs = is_set(token, CKA_SIGN, true),
                            .leaves = is_set(token, CKA_EXTRACTABLE, false),
                            .is_sensitive = is_set(token, CKA_SENSITIVE, true)};
    if (attribute(token, token->key, CKA_KEY_TYPE, &facts->kind, sizeof facts->kind) != sizeof facts->kind)
        facts->kind = CKK_VENDOR_DEFINED;
    facts->curve_len = attribute(token, token->key, CKA_EC_PARAMS, facts->curve, sizeof facts->curve);
    token->key_made_here = is_set(token, CKA_LOCAL, false);
    token->asks_each_time = is_set(token, CKA_ALWAYS_AUTHENTICATE, false);
    return token->trouble;
}

static enum status judge_key(struct token *token)
{
    struct facts facts;
    TRY(look_at_key(token, &facts));
    if (facts.kind != CKK_EC)
        return token_fail(token, UNSUPPORTED, "that key in the token \"%s\" is %s: the owner's is on P-256",
                          token->label, kind_word(facts.kind));
    if (facts.curve_len > 0 && !bytes_equal(bytes_from(facts.curve, facts.curve_len), BYTES_OF(token_p256)))
        return token_fail(token, UNSUPPORTED,
                          "that key in the token \"%s\" is on another curve: the owner's is on P-256", token->label);
    if (!facts.signs)
        return token_fail(token, DENIED, "that key in the token \"%s\" may not sign", token->label);
    if (facts.leaves || !facts.is_sensitive)
        return token_fail(token, DENIED,
                          "the token \"%s\" would hand that key out (CKA_EXTRACTABLE, or not CKA_SENSITIVE): take one "
                          "that it keeps",
                          token->label);
    return OK;
}

/* ---- Its public half ---- */

/* An OCTET STRING around the point, as PKCS #11 says, or the point alone, as some have it. */
static enum status take_point(struct crypto_public *key, struct bytes told)
{
    bool wrapped = told.len == 67 && told.data[0] == 0x04 && told.data[1] == 65;
    if (!wrapped && told.len != 65)
        return MALFORMED;
    return crypto_public_import(key, CRYPTO_P256, wrapped ? bytes_slice(told, 2, 65) : told);
}

/* Of the key itself or, as PKCS #11 has it, of the public key that goes with it. */
static enum status find_public(struct token *token, struct crypto_public *key)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_ATTRIBUTE wanted[TOKEN_NAMED_MAX + 1] = {{CKA_CLASS, &class, sizeof class}};
    CK_OBJECT_HANDLE object;
    uint8_t room[128], id[128];
    size_t count, len = attribute(token, token->key, CKA_EC_POINT, room, sizeof room);
    if (len > 0 && take_point(key, bytes_from(room, len)) == OK)
        return OK;
    size_t id_len = attribute(token, token->key, CKA_ID, id, sizeof id);
    size_t named = id_len > 0 ? 1 : token_named(token, wanted + 1);
    TRY(token->trouble);
    if (id_len > 0)
        wanted[1] = (CK_ATTRIBUTE){CKA_ID, id, id_len};
    TRY(find_objects(token, wanted, 1 + named, &object, &count));
    len = count > 0 ? attribute(token, object, CKA_EC_POINT, room, sizeof room) : 0;
    TRY(token->trouble);
    return len > 0 ? take_point(key, bytes_from(room, len)) : NOT_FOUND;
}

static enum status adopt(struct token *token, const struct crypto_public *known, struct crypto_key *key)
{
    struct crypto_public told;
    enum status status = find_public(token, &told);
    if (status != OK && status != NOT_FOUND && status != MALFORMED)
        return status;
    if (status != OK && !known)
        return token_fail(
            token, UNSUPPORTED,
            "the token \"%s\" does not tell the public half of that key: it needs the public key beside it",
            token->label);
    if (status == OK && known && !bytes_equal(crypto_public_bytes(&told), crypto_public_bytes(known)))
        return token_fail(token, DENIED, "that key in the token \"%s\" is not the one of the owner's certificate",
                          token->label);
    token->public_half = status == OK ? told : *known;
    return crypto_key_delegate(key, CRYPTO_P256, crypto_public_bytes(&token->public_half), token_sign, token);
}

enum status token_take_key(struct token *token, bool make, const struct crypto_public *known, bool *made,
                           struct crypto_key *key)
{
    enum status status = find_key(token);
    bool makes = status == NOT_FOUND && make;
    if (makes) {
        TRY(token_generate(token));
        status = find_key(token);
    }
    TRY(status);
    TRY(judge_key(token));
    if (!token->asks_each_time)
        token_forget_pin(token);
    TRY(adopt(token, known, key));
    token->why[0] = 0;
    *made = makes;
    return OK;
}

bool token_made_key_itself(const struct token *token)
{
    return token->key_made_here;
}
