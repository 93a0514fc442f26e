/* What a URI names (RFC 7512) and what it must not hold; and the URI of a key that was found. */
#include "token_internal.h"

#include <stdlib.h>
#include <string.h>

static bool is_given(P11KitUri *wish, CK_ATTRIBUTE_TYPE type)
{
    const CK_ATTRIBUTE *attribute = p11_kit_uri_get_attribute(wish, type);
    return attribute && attribute->ulValueLen > 0;
}

static enum status check(struct token *token)
{
    P11KitUri *wish = token->wish;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    const CK_ATTRIBUTE *type = p11_kit_uri_get_attribute(wish, CKA_CLASS);
    if (p11_kit_uri_get_pin_value(wish))
        return token_fail(
            token, DENIED,
            "a PIN must not stand in a URI, where others can read it: --passphrase-file, or the terminal");
    if (p11_kit_uri_get_pin_source(wish))
        return token_fail(token, DENIED, "pin-source is not followed: --passphrase-file FILE has the PIN");
    if (p11_kit_uri_any_unrecognized(wish))
        return token_fail(token, MALFORMED, "the URI holds an attribute or a type that RFC 7512 does not have");
    if (type && (type->ulValueLen != sizeof class || memcmp(type->pValue, &class, sizeof class) != 0))
        return token_fail(token, MALFORMED, "the owner's key is a private key: type=private, or no type");
    if (!is_given(wish, CKA_LABEL) && !is_given(wish, CKA_ID))
        return token_fail(token, MALFORMED, "the URI names no key: object=NAME (or id=%%01) is missing");
    return OK;
}

/* What p11-kit would take for a name below its own directory is one below the working directory. */
static enum status take_module(struct token *token, const char *module)
{
    const char *inside = p11_kit_uri_get_module_path(token->wish);
    if (inside && module && strcmp(inside, module) != 0)
        return token_fail(token, MALFORMED, "module-path in the URI and --pkcs11-module name two different modules");
    if (!module)
        module = inside;
    if (!module)
        return OK;
    char *whole = strchr(module, '/') && module[0] != '/' ? realpath(module, NULL) : strdup(module);
    if (!whole)
        return token_fail(token, NOT_FOUND, "%s: there is no such PKCS #11 module", module);
    p11_kit_uri_set_module_path(token->wish, whole);
    free(whole);
    return OK;
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

enum status token_name(struct token *token, const char *uri, const char *module)
{
    if (strlen(uri) >= TOKEN_URI_MAX || !is_plain(uri))
        return token_fail(token, MALFORMED, "a PKCS #11 URI has at most %d printable characters", TOKEN_URI_MAX - 1);
    int parsed = p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, token->wish);
    if (parsed != P11_KIT_URI_OK)
        return token_fail(token, MALFORMED, "that is no PKCS #11 URI (pkcs11:token=NAME;object=NAME): %s",
                          p11_kit_uri_message(parsed));
    TRY(check(token));
    return take_module(token, module);
}

size_t token_named(struct token *token, CK_ATTRIBUTE *wanted)
{
    static const CK_ATTRIBUTE_TYPE names[TOKEN_NAMED_MAX] = {CKA_LABEL, CKA_ID};
    size_t count = 0;
    for (size_t i = 0; i < TOKEN_NAMED_MAX; i++)
        if (is_given(token->wish, names[i]))
            wanted[count++] = *p11_kit_uri_get_attribute(token->wish, names[i]);
    return count;
}

static bool name_key(const struct token *token, P11KitUri *uri)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE type = {CKA_CLASS, &class, sizeof class};
    const CK_ATTRIBUTE_TYPE names[] = {CKA_LABEL, CKA_ID};
    uint8_t room[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CK_ATTRIBUTE name = {names[i], room, sizeof room};
        if (token->module->C_GetAttributeValue(token->session, token->key, &name, 1) != CKR_OK ||
            name.ulValueLen > sizeof room || name.ulValueLen == 0)
            continue;
        if (p11_kit_uri_set_attribute(uri, &name) != P11_KIT_URI_OK)
            return false;
    }
    return p11_kit_uri_set_attribute(uri, &type) == P11_KIT_URI_OK;
}

enum status token_put_uri(const struct token *token, char uri[TOKEN_URI_MAX])
{
    P11KitUri *made = p11_kit_uri_new();
    char *text = NULL;
    enum status status = INTERNAL;
    if (!made || !token->has_session)
        goto out;
    *p11_kit_uri_get_token_info(made) = token->info;
    p11_kit_uri_set_module_path(made, p11_kit_uri_get_module_path(token->wish));
    p11_kit_uri_set_module_name(made, p11_kit_uri_get_module_name(token->wish));
    if (!name_key(token, made) || p11_kit_uri_format(made, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, &text) != P11_KIT_URI_OK)
        goto out;
    status = strlen(text) < TOKEN_URI_MAX ? OK : NO_ROOM;
    if (status == OK)
        memcpy(uri, text, strlen(text) + 1);
out:
    free(text);
    p11_kit_uri_free(made);
    return status;
}
