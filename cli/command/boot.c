/* bastide boot: what a measured node needs of its owner — the boot signer's public half for the image, and approvals of
 * the boot chains that may open the node's keys. */
#include "command_internal.h"

#include "boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "Usage: bastide boot prepare DIR [--no-passphrase] [--owner-key URI [--pkcs11-module FILE]]\n"
    "       bastide boot expect IMAGE.efi\n"
    "       bastide boot sign IMAGE.efi --chain FILE [--out FILE]\n\n"
    "For nodes whose boot chain measures the monitor (docs/node.md leads there step by step). The image is made by\n"
    "bastide-node-image; the boot signer is a key of the owner's, owner/boot_signer, that never leaves this "
    "machine.\n\n"
    "  prepare             make a production site, where there is none, and write into DIR what image and node need "
    "of\n"
    "                      it: boot_signer.pub, which goes into the image, and configuration, for the boot partition\n"
    "  expect              what this image alone will leave in PCRs 4 and 11\n"
    "  sign                approve this image for the machine of FILE: adds an approval to --out, for the boot\n"
    "                      partition, and the quote to expect to owner/pins.json. Signed beforehand, an update keeps\n"
    "                      the node's data\n\n"
    "  --no-passphrase     keep the key of an owner made now without a passphrase (else --passphrase-file, or the "
    "terminal is\n"
    "                      asked)\n"
    "  --owner-key URI     keep it in a PKCS #11 token, as bastide init says; so for --pkcs11-module\n"
    "  --chain FILE        boot_chain.json as the machine wrote it when it started an image, in your presence: "
    "firmware\n"
    "                      and secure boot, PCRs 0, 2 and 7, are believed from it, and its endorsement key is pinned\n"
    "                      where none is yet; everything else is computed from the image\n"
    "  --out FILE          approvals of this machine's images (approved)\n\n"
    "Examples:\n"
    "  bastide boot prepare esp/bastide\n"
    "  bastide boot expect node.efi\n"
    "  bastide boot sign node.efi --chain boot_chain.json --out esp/bastide/approved\n";

#define IMAGE_MAX (512u << 20)
#define APPROVALS_MAX 32 /* as many as a node looks at; the oldest go */
#define CHAIN_MAX 8192

static int read_image(const struct cli *cli, const char *path, struct bytes *image)
{
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status = cli_read_file(path, IMAGE_MAX, &data, &len);
    *image = bytes_from(data, len);
    return status == OK ? CLI_OK
                        : cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "%s %s", path,
                                   cli_file_problem(status));
}

static int predict(const struct cli *cli, const char *path, const uint8_t platform[TPM2_PCR_COUNT][32],
                   struct boot_chain *chain)
{
    struct bytes image;
    int result = read_image(cli, path, &image);
    if (result)
        return result;
    enum status status = boot_predict(image, platform, chain);
    free((void *)(uintptr_t)image.data);
    if (status == UNSUPPORTED)
        return cli_fail(
            cli, CLI_DENIED,
            "%s: only images with systemd's stub of version 252 and without .dtb, .uname and .pcrpkey can be "
            "predicted: make it with bastide-node-image",
            path);
    return status == OK ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s is no unified kernel image", path);
}

static int hex_text(const struct cli *cli, const uint8_t bytes[32], char text[65])
{
    return hex_encode(bytes_from(bytes, 32), text, 65) == OK ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "no text");
}

static int expect(const struct cli *cli, const char *path)
{
    static const uint8_t none[TPM2_PCR_COUNT][32];
    struct boot_chain chain;
    char four[65], eleven[65];
    int result = predict(cli, path, none, &chain);
    if (result == CLI_OK)
        result = hex_text(cli, chain.pcrs[4], four);
    if (result == CLI_OK)
        result = hex_text(cli, chain.pcrs[11], eleven);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:{s:s,s:s}}", "pcrs", "4", four, "11", eleven));
    cli_line(cli, "PCR 4", "%s", four);
    cli_line(cli, "PCR 11", "%s", eleven);
    return CLI_OK;
}

static int write_prepared(const struct cli *cli, const char *directory, const uint8_t signer[65])
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status =
        cli_read_file(cli_path(cli, "owner/configuration", path), IMAGE_CONFIGURATION_MAX, &data, &len);
    if (status == OK && snprintf(path, sizeof path, "%s/boot_signer.pub", directory) < (int)sizeof path)
        status = cli_write_file(path, bytes_from(signer, 65));
    if (status == OK && snprintf(path, sizeof path, "%s/configuration", directory) < (int)sizeof path)
        status = cli_write_file(path, bytes_from(data, len));
    free(data);
    return status == OK ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
}

static int prepare(const struct cli *cli, const char *directory, const struct owner_place *place)
{
    struct owner owner = {0};
    uint8_t signer[65];
    bool made = !owner_has_site(cli);
    int result = made               ? owner_make(cli, false, place, &owner)
                 : place->token_uri ? owner_open_by_token(cli, place, &owner)
                                    : owner_open(cli, false, &owner);
    if (result == CLI_OK && owner.configuration.insecure_dev)
        result = cli_fail(
            cli, CLI_DENIED,
            "%s holds a site of development, which never becomes one of production: choose another --home", cli->home);
    if (result == CLI_OK)
        result = owner_boot_signer(cli, signer, NULL);
    if (result == CLI_OK && mkdir(directory, 0755) != 0 && errno != EEXIST)
        result = cli_fail(cli, CLI_DENIED, "%s: %s", directory, strerror(errno));
    if (result == CLI_OK)
        result = write_prepared(cli, directory, signer);
    owner_done(&owner);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:b,s:s}", "new_site", made, "directory", directory));
    cli_line(cli, "site", "%s", made ? "made" : "kept");
    cli_line(cli, "image", "bastide-node-image --signer %s/boot_signer.pub …", directory);
    cli_line(cli, "partition", "%s/configuration as bastide/configuration on the boot partition", directory);
    return CLI_OK;
}

/* ---- sign ---- */

static bool take_pcr(const json_t *pcrs, unsigned pcr, uint8_t value[32])
{
    char name[8];
    snprintf(name, sizeof name, "%u", pcr);
    const char *text = json_string_value(json_object_get(pcrs, name));
    struct writer writer = writer_over(value, 32);
    return text && hex_decode(text, &writer) == OK && writer.len == 32;
}

static int read_chain(const struct cli *cli, const char *path, uint8_t platform[TPM2_PCR_COUNT][32],
                      uint8_t ek_name[TPM2_NAME_LEN])
{
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status = cli_read_file(path, CHAIN_MAX, &data, &len);
    if (status != OK)
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "%s %s", path, cli_file_problem(status));
    json_t *tree = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
    free(data);
    const char *name = json_string_value(json_object_get(tree, "ek_name"));
    struct writer writer = writer_over(ek_name, TPM2_NAME_LEN);
    bool good = name && hex_decode(name, &writer) == OK && writer.len == TPM2_NAME_LEN;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++)
        if (BOOT_PLATFORM_PCRS >> i & 1)
            good = good && take_pcr(json_object_get(tree, "pcrs"), i, platform[i]);
    json_decref(tree);
    return good ? CLI_OK
                : cli_fail(cli, CLI_DENIED, "%s is no boot_chain.json: it lacks the endorsement key or PCR 0, 2 or 7",
                           path);
}

/* The newest are last; what was approved already is not approved twice. */
static int add_approval(const struct cli *cli, const char *path, const struct tpm2_approval *approval)
{
    uint8_t room[(APPROVALS_MAX + 1) * TPM2_APPROVAL_LEN], *data = NULL;
    size_t len = 0;
    struct writer writer = writer_over(room, sizeof room);
    enum status status = cli_read_file(path, APPROVALS_MAX * TPM2_APPROVAL_LEN, &data, &len);
    if ((status != OK && status != NOT_FOUND) || len % TPM2_APPROVAL_LEN != 0) {
        free(data);
        return cli_fail(cli, CLI_DENIED, "%s is no file of approvals", path);
    }
    struct bytes all = bytes_from(data, len);
    size_t first = len == APPROVALS_MAX * TPM2_APPROVAL_LEN ? TPM2_APPROVAL_LEN : 0;
    for (size_t off = first; off < len; off += TPM2_APPROVAL_LEN)
        if (!bytes_equal(bytes_slice(all, off, sizeof approval->policy), BYTES_OF(approval->policy)))
            put_bytes(&writer, bytes_slice(all, off, TPM2_APPROVAL_LEN));
    put_bytes(&writer, BYTES_OF(approval->policy));
    put_bytes(&writer, BYTES_OF(approval->signature));
    free(data);
    if (cli_write_file(path, writer_bytes(&writer)) != OK)
        return cli_fail(cli, CLI_DENIED, "%s cannot be written", path);
    return CLI_OK;
}

/* What evidence of this node is held to from now on. */
static int pin(const struct cli *cli, const uint8_t ek_name[TPM2_NAME_LEN], const uint8_t digest[32], bool *new_ek)
{
    struct owner_pins pins = {0};
    enum status status = owner_pins_load(cli, &pins);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "%s/owner/pins.json %s", cli->home, cli_file_problem(status));
    *new_ek = !pins.has_ek;
    if (pins.has_ek && memcmp(pins.ek_name, ek_name, TPM2_NAME_LEN) != 0)
        return cli_fail(cli, CLI_DENIED,
                        "this is the boot chain of another TPM than the one in %s/owner/pins.json: a site has one node",
                        cli->home);
    memcpy(pins.ek_name, ek_name, TPM2_NAME_LEN);
    pins.has_ek = true;
    owner_pins_add_boot(&pins, digest);
    return owner_pins_save(cli, &pins) == OK
               ? CLI_OK
               : cli_fail(cli, CLI_DENIED, "%s/owner/pins.json cannot be written", cli->home);
}

static int sign(const struct cli *cli, const char *image, const char *chain_file, const char *out)
{
    uint8_t platform[TPM2_PCR_COUNT][32] = {{0}}, ek_name[TPM2_NAME_LEN], public_half[65];
    struct boot_chain chain;
    struct tpm2_approval approval;
    struct crypto_key signer = {0};
    char digest[65], ek[2 * TPM2_NAME_LEN + 1];
    bool new_ek = false;
    int result = read_chain(cli, chain_file, platform, ek_name);
    if (result == CLI_OK)
        result = predict(cli, image, (const uint8_t(*)[32])platform, &chain);
    if (result == CLI_OK)
        result = owner_boot_signer(cli, public_half, &signer);
    if (result == CLI_OK && tpm2_approve(&signer, chain.policy, &approval) != OK)
        result = cli_fail(cli, CLI_INTERNAL, "the boot chain cannot be signed");
    crypto_key_done(&signer);
    if (result == CLI_OK)
        result = add_approval(cli, out, &approval);
    if (result == CLI_OK)
        result = pin(cli, ek_name, chain.digest, &new_ek);
    if (result == CLI_OK)
        result = hex_text(cli, chain.digest, digest);
    if (result || hex_encode(BYTES_OF(ek_name), ek, sizeof ek) != OK)
        return result;
    if (cli->json)
        cli_print_json(
            json_pack("{s:s,s:s,s:b,s:s}", "boot_digest", digest, "ek_name", ek, "new_ek", new_ek, "out", out));
    cli_line(cli, "approved", "in %s, for the boot partition as bastide/approved", out);
    cli_line(cli, "TPM", "%s, %s", ek, new_ek ? "pinned now" : "the pinned one");
    cli_line(cli, "quote", "%s, added to owner/pins.json", digest);
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *chain = NULL, *out = "approved";
    struct owner_place place = {0};
    const struct cli_option options[] = {{"chain", &chain, NULL, NULL},
                                         {"out", &out, NULL, NULL},
                                         {"no-passphrase", NULL, &place.no_passphrase, NULL},
                                         {"owner-key", &place.token_uri, NULL, NULL},
                                         {"pkcs11-module", &place.token_module, NULL, NULL}};
    int result = cli_options(cli, "boot", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK)
        result = owner_place_check(cli, "boot", &place);
    if (result)
        return result;
    if (argc != 3)
        return cli_usage(cli, "boot", "say prepare DIR, expect IMAGE.efi or sign IMAGE.efi");
    if (strcmp(argv[1], "prepare") == 0)
        return prepare(cli, argv[2], &place);
    if (strcmp(argv[1], "expect") == 0)
        return expect(cli, argv[2]);
    if (strcmp(argv[1], "sign") == 0)
        return chain ? sign(cli, argv[2], chain, out) : cli_usage(cli, "boot", "sign: --chain names the machine");
    return cli_usage(cli, "boot", "there is no \"%s\": prepare, expect, sign", argv[1]);
}

const struct command command_boot = {"boot", "approve boot chains that measure the monitor: prepare, expect, sign",
                                     help, run, NULL};
