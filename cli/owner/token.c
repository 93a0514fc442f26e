/* The owner's key in a token (cli/token): owner/owner.token names it, its PIN is asked for where a passphrase would be.
 */
#include "owner.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 3
#define FILE_NAME "owner/owner.token"

static int say(const struct cli *cli, const struct token *token, enum status status)
{
    const char *why = token_why(token);
    return cli_fail(cli,
                    status == NOT_FOUND  ? CLI_NOT_FOUND
                    : status == INTERNAL ? CLI_INTERNAL
                                         : CLI_DENIED,
                    "%s", *why ? why : status_word(status));
}

const char *owner_signing_problem(const struct owner *owner, enum status status)
{
    const char *why = owner->token ? token_why(owner->token) : "";
    return *why ? why : status_word(status);
}

int owner_place_check(const struct cli *cli, const char *command, const struct owner_place *place)
{
    if (place->no_passphrase && cli->passphrase_file)
        return cli_fail(cli, CLI_USAGE, "--no-passphrase and --passphrase-file exclude each other");
    if (!place->token_uri)
        return place->token_module ? cli_usage(cli, command, "--pkcs11-module goes with --owner-key") : CLI_OK;
    if (place->no_passphrase)
        return cli_usage(cli, command, "--no-passphrase and --owner-key exclude each other: a token has a PIN");
    struct token *token = token_new();
    if (!token)
        return cli_fail(cli, CLI_INTERNAL, "out of memory");
    enum status status = token_name(token, place->token_uri, place->token_module);
    int result = status == OK ? CLI_OK : cli_usage(cli, command, "--owner-key: %s", token_why(token));
    token_free(token);
    return result;
}

/* ---- The PIN ---- */

static const char *const tries_words[] = {
    [TOKEN_TRIES_FRESH] = "",
    [TOKEN_TRIES_FEWER] = ", and has fewer tries left now than it begins with",
    [TOKEN_TRIES_LAST] = ", and locks itself after one more wrong one",
    [TOKEN_TRIES_OVER] = ", and is locked now: its security officer's PIN unlocks it",
};

/* A file may be wrong for ever, and a token that locks itself is worth more than one run. */
static int may_try(const struct cli *cli, struct token *token)
{
    enum token_tries tries = token_tries(token);
    if (tries == TOKEN_TRIES_OVER)
        return cli_fail(cli, CLI_DENIED,
                        "the token \"%s\" is locked after too many wrong PINs: its security officer's "
                        "PIN unlocks it",
                        token_label(token));
    if (tries == TOKEN_TRIES_LAST && cli->passphrase_file)
        return cli_fail(cli, CLI_DENIED,
                        "the token \"%s\" locks itself after one more wrong PIN: no file is tried then, a terminal is",
                        token_label(token));
    if (tries == TOKEN_TRIES_LAST)
        cli_warn(cli, "the token \"%s\" locks itself after one more wrong PIN", token_label(token));
    return CLI_OK;
}

static int try_pin(const struct cli *cli, struct token *token, enum status *status)
{
    OWNER_PASSPHRASE pin = {.len = 0};
    char what[128], question[128];
    int result = may_try(cli, token);
    snprintf(what, sizeof what, "the token \"%s\" wants its PIN", token_label(token));
    snprintf(question, sizeof question, "PIN of the token \"%s\"", token_label(token));
    if (result == CLI_OK)
        result = owner_passphrase_get(cli, what, question, &pin);
    if (result == CLI_OK)
        *status = token_login(token, owner_passphrase_bytes(&pin));
    return result;
}

static int log_in(const struct cli *cli, struct token *token)
{
    enum status status = AUTH;
    enum token_login kind = token_login_kind(token);
    if (kind == TOKEN_PIN_PAD)
        cli_progress(cli, "the PIN of the token \"%s\" is typed on its own pad …", token_label(token));
    if (kind != TOKEN_PIN)
        status = token_login(token, (struct bytes){0});
    cli_progress(cli, NULL);
    for (int left = cli->passphrase_file ? 1 : TRIES; kind == TOKEN_PIN && status == AUTH && left > 0; left--) {
        int result = try_pin(cli, token, &status);
        if (result)
            return result;
        if (status == AUTH && left > 1)
            cli_warn(cli, "that is not its PIN");
    }
    if (status == AUTH)
        return cli_fail(cli, CLI_DENIED, "wrong PIN: %s%s", token_why(token), tries_words[token_tries(token)]);
    return status == OK ? CLI_OK : say(cli, token, status);
}

/* ---- The key ---- */

/* On success the owner has token and key. */
static int take(const struct cli *cli, const struct owner_place *place, const struct crypto_public *known,
                struct owner *owner)
{
    struct token *token = token_new();
    if (!token)
        return cli_fail(cli, CLI_INTERNAL, "out of memory");
    enum status status = token_name(token, place->token_uri, place->token_module);
    if (status == OK)
        status = token_find(token);
    int result = status == OK ? log_in(cli, token) : say(cli, token, status);
    if (result == CLI_OK) {
        status = token_take_key(token, !known, known, &owner->made_in_token, &owner->key);
        result = status == OK ? CLI_OK : say(cli, token, status);
    }
    if (result) {
        token_free(token);
        return result;
    }
    owner->token = token;
    owner->locked = owner->in_token = true;
    return CLI_OK;
}

int owner_token_make(const struct cli *cli, const struct owner_place *place, struct owner *owner)
{
    int result = take(cli, place, NULL, owner);
    if (result == CLI_OK && !token_made_key_itself(owner->token))
        cli_warn(cli, "the token \"%s\" did not make this key itself: copies of it may be elsewhere",
                 token_label(owner->token));
    return result;
}

int owner_token_unlock(const struct cli *cli, const struct owner_place *place, struct owner *owner)
{
    char path[PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    if (place)
        return take(cli, place, &owner->configuration.owner, owner);
    enum status status = cli_read_file(cli_path(cli, FILE_NAME, path), TOKEN_URI_MAX, &text, &len);
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
    text[strcspn((const char *)text, "\r\n")] = 0;
    int result = take(cli, &(struct owner_place){.token_uri = (const char *)text}, &owner->configuration.owner, owner);
    free(text);
    return result;
}

enum status owner_token_save(const struct cli *cli, const struct owner *owner)
{
    char uri[TOKEN_URI_MAX], path[PATH_MAX], line[TOKEN_URI_MAX + 1];
    TRY(token_put_uri(owner->token, uri));
    snprintf(line, sizeof line, "%s\n", uri);
    return cli_write_file(cli_path(cli, FILE_NAME, path), bytes_from_text(line));
}

bool owner_token_is_named(const struct cli *cli)
{
    char path[PATH_MAX];
    return access(cli_path(cli, FILE_NAME, path), F_OK) == 0;
}

int owner_open_by_token(const struct cli *cli, const struct owner_place *place, struct owner *owner)
{
    char path[PATH_MAX];
    int result = owner_open_site(cli, owner);
    if (result == CLI_OK)
        result = owner_token_unlock(cli, place, owner);
    if (result == CLI_OK && owner_token_save(cli, owner) != OK)
        result = cli_fail(cli, CLI_DENIED, "%s/" FILE_NAME " cannot be written", cli->home);
    if (result == CLI_OK && access(cli_path(cli, "owner/owner.key", path), F_OK) == 0)
        cli_warn(cli, "%s is still there, and whoever reads it needs no token: move it away", path);
    if (result)
        owner_done(owner);
    return result;
}
