/* Who owns the site, and what it is: files of owner/, copies for the node, the image measured. */
#include "owner.h"

#include "x509.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX 2048
#define PROGRAM_MAX (256u << 20) /* of one file of an image */

static enum status save(const struct cli *cli, const char *name, struct bytes content)
{
    char path[PATH_MAX];
    return cli_write_file(cli_path(cli, name, path), content);
}

/* The key as it lies there. Without a passphrase a locked one is no failure, and none is loaded. */
static enum status load_key(const struct cli *cli, struct owner *owner, struct bytes passphrase)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    TRY(cli_read_file(cli_path(cli, "owner/owner.key", path), PEM_MAX, &data, &len));
    struct bytes pem = bytes_from(data, len);
    enum status status = OK;
    owner->locked = crypto_pem_is_locked(pem);
    if (!owner->locked)
        status = crypto_key_take_pem(&owner->key, CRYPTO_P256, pem);
    else if (passphrase.len)
        status = crypto_key_take_locked_pem(&owner->key, CRYPTO_P256, pem, passphrase);
    wipe(data, len);
    free(data);
    return status;
}

static int check_key(const struct cli *cli, struct owner *owner)
{
    if (bytes_equal(crypto_public_bytes(&owner->key.public_key), crypto_public_bytes(&owner->configuration.owner)))
        return CLI_OK;
    crypto_key_done(&owner->key);
    return cli_fail(cli, CLI_DENIED, "%s/owner/owner.key is not the key of the certificate in %s/owner/configuration",
                    cli->home, cli->home);
}

bool owner_has_site(const struct cli *cli)
{
    char path[PATH_MAX];
    return access(cli_path(cli, "owner/configuration", path), F_OK) == 0;
}

int owner_open_site(const struct cli *cli, struct owner *owner)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    memset(owner, 0, sizeof *owner);
    enum status status = cli_read_file(cli_path(cli, "owner/configuration", path), sizeof owner->encoded, &data, &len);
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
    memcpy(owner->encoded, data, len);
    free(data);
    if (image_configuration_decode(bytes_from(owner->encoded, len), &owner->configuration) != OK)
        return cli_fail(cli, CLI_DENIED, "%s is not a launch configuration", path);
    return CLI_OK;
}

int owner_open(const struct cli *cli, bool quiet, struct owner *owner)
{
    memset(owner, 0, sizeof *owner);
    if (!owner_has_site(cli))
        return quiet ? CLI_NOT_FOUND
                     : cli_fail(cli, CLI_NOT_FOUND, "%s holds no site yet: bastide init makes one", cli->home);
    int result = owner_open_site(cli, owner);
    if (result)
        return result;
    owner->in_token = owner->locked = owner_token_is_named(cli);
    if (owner->in_token)
        return CLI_OK;
    enum status status = load_key(cli, owner, (struct bytes){0});
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "%s/owner/owner.key %s (a P-256 key in PEM)", cli->home,
                        cli_file_problem(status));
    return owner->locked ? CLI_OK : check_key(cli, owner);
}

struct locked {
    const struct cli *cli;
    struct owner *owner;
};

static enum status unlock(void *context, struct bytes passphrase)
{
    const struct locked *locked = context;
    return load_key(locked->cli, locked->owner, passphrase);
}

int owner_unlock(const struct cli *cli, struct owner *owner)
{
    char path[PATH_MAX];
    struct locked locked = {cli, owner};
    if (!owner->locked || owner->key.pkey)
        return CLI_OK;
    if (owner->in_token)
        return owner_token_unlock(cli, NULL, owner);
    int result = owner_passphrase_try(cli, cli_path(cli, "owner/owner.key", path), unlock, &locked);
    return result ? result : check_key(cli, owner);
}

void owner_done(struct owner *owner)
{
    crypto_key_done(&owner->key);
    token_free(owner->token);
    owner->token = NULL;
}

static enum status write_key(const struct cli *cli, const struct crypto_key *key, struct bytes passphrase)
{
    uint8_t room[PEM_MAX];
    struct writer pem = writer_over(room, sizeof room);
    enum status status =
        passphrase.len ? crypto_key_put_locked_pem(&pem, key, passphrase) : crypto_key_put_pem(&pem, key);
    if (status == OK)
        status = save(cli, "owner/owner.key", writer_bytes(&pem));
    wipe(room, sizeof room);
    return status;
}

/* In one of two places; what an attempt before left in the other is no key of this site. */
static enum status keep_key(const struct cli *cli, const struct owner *owner, struct bytes passphrase)
{
    char path[PATH_MAX];
    TRY(owner->token ? owner_token_save(cli, owner) : write_key(cli, &owner->key, passphrase));
    const char *other = owner->token ? "owner/owner.key" : "owner/owner.token";
    return unlink(cli_path(cli, other, path)) == 0 || errno == ENOENT ? OK : IO;
}

/* The configuration comes last, because its being there says that all is. */
static enum status make(const struct cli *cli, bool insecure_dev, struct bytes passphrase, struct owner *owner)
{
    uint8_t der[PKI_CERTIFICATE_MAX], text[2 * PKI_CERTIFICATE_MAX], serial[X509_SERIAL_LEN];
    struct writer certificate = writer_over(der, sizeof der), pem = writer_over(text, sizeof text);
    struct writer encoded = writer_over(owner->encoded, sizeof owner->encoded);
    struct image_configuration configuration = {.insecure_dev = insecure_dev};
    if (!owner->token)
        TRY(crypto_key_generate(&owner->key, CRYPTO_P256));
    TRY(crypto_random(configuration.site, sizeof configuration.site));
    TRY(crypto_random(serial, sizeof serial));
    TRY(x509_issue_root(&certificate, &owner->key, serial, (int64_t)(cli_unix_ms() / 1000)));
    TRY(crypto_certificate_put_pem(&pem, writer_bytes(&certificate)));
    configuration.certificate = writer_bytes(&certificate);
    image_put_configuration(&encoded, &configuration);
    TRY(writer_end(&encoded));
    TRY(image_configuration_decode(writer_bytes(&encoded), &owner->configuration));
    TRY(keep_key(cli, owner, passphrase));
    TRY(save(cli, "owner/owner.crt", writer_bytes(&pem)));
    TRY(save(cli, "node/configuration", writer_bytes(&encoded)));
    return save(cli, "owner/configuration", writer_bytes(&encoded));
}

int owner_make(const struct cli *cli, bool insecure_dev, const struct owner_place *place, struct owner *owner)
{
    OWNER_PASSPHRASE passphrase = {.len = 0};
    int result = CLI_OK;
    memset(owner, 0, sizeof *owner);
    if (place->token_uri)
        result = owner_token_make(cli, place, owner);
    else if (!place->no_passphrase && (cli->passphrase_file || !insecure_dev))
        result = owner_passphrase_new(cli, &passphrase);
    if (result)
        return result;
    if (cli_make_directories(cli) != OK)
        return cli_fail(cli, CLI_DENIED, "%s cannot be made: %s", cli->home, strerror(errno));
    enum status status = make(cli, insecure_dev, owner_passphrase_bytes(&passphrase), owner);
    owner->locked = owner->in_token || passphrase.len > 0;
    if (status != OK)
        return cli_fail(cli, CLI_INTERNAL, "the owner's files in %s/owner could not be made: %s", cli->home,
                        owner_signing_problem(owner, status));
    return CLI_OK;
}

/* ---- The boot signer ---- */

static enum status boot_signer(const struct cli *cli, struct secret *scalar)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    struct crypto_key key = {0};
    enum status status = cli_read_file(cli_path(cli, "owner/boot_signer", path), SECRET_CAP, &data, &len);
    if (status == OK) {
        status = secret_set(scalar, bytes_from(data, len));
        wipe(data, len);
        free(data);
        return status;
    }
    if (status != NOT_FOUND)
        return status;
    TRY(crypto_key_generate(&key, CRYPTO_P256));
    status = crypto_key_export(&key, scalar);
    crypto_key_done(&key);
    return status == OK ? save(cli, "owner/boot_signer", secret_bytes(scalar)) : status;
}

int owner_boot_signer(const struct cli *cli, uint8_t public_half[65], struct crypto_key *key)
{
    SECRET scalar = {.len = 0};
    struct crypto_key made = {0};
    enum status status = boot_signer(cli, &scalar);
    if (status == OK)
        status = crypto_key_import(&made, CRYPTO_P256, secret_bytes(&scalar));
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "%s/owner/boot_signer %s", cli->home, cli_file_problem(status));
    memcpy(public_half, made.public_key.data, 65);
    if (key)
        *key = made;
    else
        crypto_key_done(&made);
    return CLI_OK;
}

int owner_lend_boot_signer(const struct cli *cli)
{
    SECRET scalar = {.len = 0};
    enum status status = boot_signer(cli, &scalar);
    if (status == OK)
        status = save(cli, "node/monitor/boot_signer", secret_bytes(&scalar));
    return status == OK ? CLI_OK
                        : cli_fail(cli, CLI_DENIED, "%s/owner/boot_signer %s", cli->home, cli_file_problem(status));
}

void owner_take_boot_signer_back(const struct cli *cli)
{
    char path[PATH_MAX];
    if (unlink(cli_path(cli, "node/monitor/boot_signer", path)) != 0 && errno != ENOENT)
        cli_warn(cli, "%s could not be removed: whoever has it can sign boot chains (%s)", path, strerror(errno));
}

/* ---- The image ---- */

static int check_file(const struct cli *cli, const char *directory, const struct image_file *file)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    if (snprintf(path, sizeof path, "%s/%s", directory, file->name) >= (int)sizeof path)
        return cli_fail(cli, CLI_IMAGE, "%s: the name is too long", directory);
    enum status status = cli_read_file(path, PROGRAM_MAX, &data, &len);
    if (status != OK)
        return cli_fail(cli, CLI_IMAGE, "image refused: %s %s", path, cli_file_problem(status));
    status = image_file_check(file, bytes_from(data, len));
    free(data);
    return status == OK ? CLI_OK
                        : cli_fail(cli, CLI_IMAGE, "image refused: %s is not the file that its manifest names", path);
}

int owner_measure(const struct cli *cli, const char *directory, struct owner_image *image)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    if (snprintf(path, sizeof path, "%s/%s", directory, IMAGE_MANIFEST_NAME) >= (int)sizeof path)
        return cli_fail(cli, CLI_IMAGE, "%s: the name is too long", directory);
    enum status status = cli_read_file(path, IMAGE_MANIFEST_MAX, &data, &len);
    if (status != OK)
        return cli_fail(cli, CLI_IMAGE, "image refused: %s %s: --image names a directory with a manifest", path,
                        cli_file_problem(status));
    status = image_manifest_open(bytes_from(data, len), &image->manifest, image->measurement);
    free(data);
    if (status != OK)
        return cli_fail(cli, CLI_IMAGE, "image refused: %s is not a signed manifest (%s)", path, status_word(status));
    for (size_t i = 0; i < image->manifest.file_count; i++) {
        int result = check_file(cli, directory, &image->manifest.files[i]);
        if (result)
            return result;
    }
    return CLI_OK;
}
