/* From a URI to a session with the one token that fits it, and the login. */
#include "token_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 64

struct token *token_new(void)
{
    struct token *token = calloc(1, sizeof *token);
    if (token && !(token->wish = p11_kit_uri_new())) {
        free(token);
        return NULL;
    }
    p11_kit_be_quiet();
    return token;
}

void token_free(struct token *token)
{
    if (!token)
        return;
    if (token->has_session)
        (void)token->module->C_CloseSession(token->session);
    if (token->registered)
        p11_kit_modules_finalize_and_release(token->registered);
    if (token->loaded) {
        (void)p11_kit_module_finalize(token->loaded);
        p11_kit_module_release(token->loaded);
    }
    p11_kit_uri_free(token->wish);
    wipe(token, sizeof *token);
    free(token);
}

const char *token_why(const struct token *token)
{
    return token->why;
}

const char *token_label(const struct token *token)
{
    return token->label;
}

/* ---- What went wrong ---- */

enum status token_fail(struct token *token, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(token->why, sizeof token->why, format, arguments);
    va_end(arguments);
    for (char *at = token->why; *at; at++) /* modules and tokens have a say in it */
        if (*at < ' ' || *at > '~')
            *at = '?';
    return status;
}

static const struct {
    CK_RV answer;
    enum status status;
    const char *sentence;
} answers[] = {
    {CKR_DEVICE_REMOVED, IO, "is not there any more: put it back and run this again"},
    {CKR_TOKEN_NOT_PRESENT, IO, "is not there any more: put it back and run this again"},
    {CKR_SESSION_HANDLE_INVALID, IO, "ended its session: was it taken out? Put it back and run this again"},
    {CKR_SESSION_CLOSED, IO, "ended its session: was it taken out? Put it back and run this again"},
    {CKR_USER_NOT_LOGGED_IN, IO, "does not take the PIN of before any more: run this again"},
    {CKR_OBJECT_HANDLE_INVALID, IO, "does not have the key any more"},
    {CKR_KEY_HANDLE_INVALID, IO, "does not have the key any more"},
    {CKR_PIN_INCORRECT, AUTH, "has another PIN"},
    {CKR_PIN_INVALID, AUTH, "has another PIN"},
    {CKR_PIN_LEN_RANGE, AUTH, "has another PIN"},
    {CKR_PIN_LOCKED, DENIED, "is locked after too many wrong PINs: its security officer's PIN unlocks it"},
    {CKR_PIN_EXPIRED, DENIED, "wants its PIN changed first, with the token's own program"},
    {CKR_USER_PIN_NOT_INITIALIZED, DENIED, "has no user PIN yet: set one with the token's own program"},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, DENIED, "has a key of that name that may not sign"},
    {CKR_MECHANISM_INVALID, UNSUPPORTED, "does not sign by ECDSA on P-256 (CKM_ECDSA, CKM_EC_KEY_PAIR_GEN)"},
    {CKR_CURVE_NOT_SUPPORTED, UNSUPPORTED, "does not sign by ECDSA on P-256 (CKM_ECDSA, CKM_EC_KEY_PAIR_GEN)"},
    {CKR_TOKEN_WRITE_PROTECTED, DENIED, "is write-protected: no key can be made there"},
    {CKR_DEVICE_MEMORY, NO_ROOM, "has no room for another key"},
    {CKR_FUNCTION_CANCELED, DENIED, "was told to cancel"},
};

enum status token_answer(struct token *token, CK_RV answer)
{
    if (answer == CKR_OK)
        return OK;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i].answer == answer)
            return token_fail(token, answers[i].status, "the token \"%s\" %s", token->label, answers[i].sentence);
    return token_fail(token, IO, "the token \"%s\" failed: %s (0x%lx)", token->label, p11_kit_strerror(answer), answer);
}

/* ---- Finding it ---- */

static enum status load(struct token *token)
{
    const char *path = p11_kit_uri_get_module_path(token->wish);
    if (!path) {
        token->registered = p11_kit_modules_load_and_initialize(0);
        return token->registered && *token->registered
                   ? OK
                   : token_fail(token, NOT_FOUND,
                                "p11-kit's configuration has no PKCS #11 module: --pkcs11-module FILE names one");
    }
    token->loaded = p11_kit_module_load(path, 0);
    if (!token->loaded)
        return token_fail(token, NOT_FOUND, "%s is no PKCS #11 module: %s", path, p11_kit_message());
    CK_RV answer = p11_kit_module_initialize(token->loaded);
    if (answer == CKR_OK)
        return OK;
    p11_kit_module_release(token->loaded);
    token->loaded = NULL;
    return token_fail(token, IO, "%s cannot be started: %s", path, p11_kit_strerror(answer));
}

struct search {
    struct token *token;
    size_t found, blank;
};

static void look_into_slot(struct search *search, CK_FUNCTION_LIST *module, CK_SLOT_ID slot)
{
    struct token *token = search->token;
    CK_TOKEN_INFO info;
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(token->wish);
    if ((wanted != (CK_SLOT_ID)-1 && wanted != slot) || module->C_GetTokenInfo(slot, &info) != CKR_OK)
        return;
    bool fits = p11_kit_uri_match_token_info(token->wish, &info) == 1;
    if (fits && !(info.flags & CKF_TOKEN_INITIALIZED)) {
        search->blank++;
        return;
    }
    if (!fits || search->found++ > 0)
        return;
    token->module = module;
    token->slot = slot;
    token->info = info;
}

static void look_into_module(struct search *search, CK_FUNCTION_LIST *module)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    CK_INFO info;
    const char *wanted = p11_kit_uri_get_module_name(search->token->wish);
    char *name = wanted ? p11_kit_module_get_name(module) : NULL;
    bool fits = (!wanted || (name && strcmp(name, wanted) == 0)) && module->C_GetInfo(&info) == CKR_OK &&
                p11_kit_uri_match_module_info(search->token->wish, &info) == 1 &&
                module->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK;
    free(name);
    for (size_t i = 0; fits && i < count; i++)
        look_into_slot(search, module, slots[i]);
}

static void take_label(struct token *token)
{
    size_t len = p11_kit_space_strlen(token->info.label, sizeof token->info.label);
    for (size_t i = 0; i < len; i++) {
        uint8_t letter = token->info.label[i];
        token->label[i] = (char)(letter < ' ' || letter > '~' || letter == '"' ? '?' : letter);
    }
}

enum status token_find(struct token *token)
{
    struct search search = {.token = token};
    TRY(load(token));
    for (CK_FUNCTION_LIST **module = token->registered; module && *module; module++)
        look_into_module(&search, *module);
    if (token->loaded)
        look_into_module(&search, token->loaded);
    if (search.found > 1)
        return token_fail(token, DENIED, "the URI fits %zu tokens: add token=, serial= or slot-id= to name one",
                          search.found);
    if (search.found == 0 && search.blank > 0)
        return token_fail(token, DENIED,
                          "the URI fits a token that nobody initialised: do so with the token's own program");
    if (search.found == 0)
        return token_fail(token, NOT_FOUND, "there is no such token: is it plugged in, and is its module known (%s)?",
                          token->loaded ? p11_kit_uri_get_module_path(token->wish) : "p11-kit list-modules");
    take_label(token);
    TRY(token_answer(token,
                     token->module->C_OpenSession(token->slot, CKF_SERIAL_SESSION, NULL, NULL, &token->session)));
    token->has_session = true;
    return OK;
}

/* ---- Login ---- */

enum token_login token_login_kind(const struct token *token)
{
    return !(token->info.flags & CKF_LOGIN_REQUIRED)                 ? TOKEN_OPEN
           : (token->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) ? TOKEN_PIN_PAD
                                                                     : TOKEN_PIN;
}

enum token_tries token_tries(struct token *token)
{
    CK_TOKEN_INFO now;
    CK_FLAGS flags = token->module->C_GetTokenInfo(token->slot, &now) == CKR_OK ? now.flags : token->info.flags;
    return flags & CKF_USER_PIN_LOCKED      ? TOKEN_TRIES_OVER
           : flags & CKF_USER_PIN_FINAL_TRY ? TOKEN_TRIES_LAST
           : flags & CKF_USER_PIN_COUNT_LOW ? TOKEN_TRIES_FEWER
                                            : TOKEN_TRIES_FRESH;
}

void token_forget_pin(struct token *token)
{
    wipe(token->pin, sizeof token->pin);
    token->pin_len = 0;
}

enum status token_login(struct token *token, struct bytes pin)
{
    enum token_login kind = token_login_kind(token);
    if (kind == TOKEN_OPEN)
        return OK;
    if (kind == TOKEN_PIN && (pin.len == 0 || pin.len > sizeof token->pin))
        return token_fail(token, AUTH, "the PIN of the token \"%s\" has 1 to %d bytes", token->label, TOKEN_PIN_MAX);
    token->pin_len = kind == TOKEN_PIN ? pin.len : 0;
    if (token->pin_len)
        memcpy(token->pin, pin.data, pin.len);
    CK_RV answer = token->module->C_Login(token->session, CKU_USER, token->pin_len ? token->pin : NULL, token->pin_len);
    if (answer == CKR_USER_ALREADY_LOGGED_IN)
        answer = CKR_OK;
    if (answer != CKR_OK)
        token_forget_pin(token);
    return token_answer(token, answer);
}
