/* The node's keys: made once, sealed to the boot chain, unsealed once a boot. */
#include "holder.h"

#include "crypto.h"
#include "node.h"
#include "tpm.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TIMEOUT_MS 5000
#define SEALED_NAME "node/monitor/sealed"
#define SIGNER_NAME "node/monitor/boot_signer"
#define SCALAR_LEN 32

static int refuse(int code, const char *event, const char *sentence)
{
    node_log("error", "keyholder", event, "exit=%d reason=\"%s\"", code, sentence);
    return code;
}

static enum status read_below(const struct holder_options *options, const char *name, uint8_t *room, size_t cap,
                              size_t *len)
{
    char path[PATH_MAX];
    return node_path(options->home, name, path) ? node_read_file(path, room, cap, len) : NO_ROOM;
}

static enum status write_below(const struct holder_options *options, const char *name, struct bytes content)
{
    char path[PATH_MAX];
    return node_path(options->home, name, path) ? node_write_file(path, content) : NO_ROOM;
}

static void make_directories(const struct holder_options *options)
{
    static const char *const names[] = {"node", "node/monitor", "run"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (node_path(options->home, names[i], path))
            mkdir(path, 0700); /* there already, or the write that follows says what is wrong */
}

/* The boot signer's private key from its file; in development mode made when there is none. */
static int open_signer(const struct holder_options *options, struct crypto_key *signer)
{
    SECRET scalar = {.len = 0};
    enum status status = read_below(options, SIGNER_NAME, scalar.data, SCALAR_LEN, &scalar.len);
    if (status == OK && scalar.len == SCALAR_LEN && crypto_key_import(signer, CRYPTO_P256, secret_bytes(&scalar)) == OK)
        return 0;
    if (status != NOT_FOUND)
        return refuse(1, "no_boot_signer", SIGNER_NAME " is not the 32 bytes of a P-256 key");
    if (!options->insecure_dev)
        return refuse(NODE_EXIT_DENIED, "no_boot_signer",
                      SIGNER_NAME " is missing: the owner's key that says which boot chain may open this node's keys; "
                                  "put it there for the first start, then take it away");
    if (crypto_key_generate(signer, CRYPTO_P256) != OK || crypto_key_export(signer, &scalar) != OK ||
        write_below(options, SIGNER_NAME, secret_bytes(&scalar)) != OK)
        return refuse(1, "no_boot_signer", SIGNER_NAME " cannot be written");
    node_log("warning", "keyholder", "boot_signer", "reason=\"development mode: the boot signer stays on this node\"");
    return 0;
}

static int tpm_failed(struct tpm *tpm, enum status status)
{
    return refuse(NODE_EXIT_TPM, "tpm_refused", tpm ? tpm_error(tpm) : status_word(status));
}

/* A node whose counter is there but whose keys are not lost them: new ones would make rolling back invisible. */
static int make_counter(struct tpm *tpm, uint64_t *born)
{
    enum status status = tpm_counter_create(tpm, born);
    if (status == DENIED)
        return refuse(NODE_EXIT_ROLLED_BACK, "keys_gone",
                      SEALED_NAME " is missing although this TPM has a counter of ours: the store was removed; restore "
                                  "it, or give the TPM back with tpm2_nvundefine 0x018b5711 and begin anew");
    return status == OK ? 0 : tpm_failed(tpm, status);
}

static enum status write_sealed(const struct holder_options *options, const struct tpm_sealed *sealed)
{
    uint8_t room[TPM_SEALED_MAX];
    struct writer writer = writer_over(room, sizeof room);
    tpm_put_sealed(&writer, sealed);
    TRY(writer_end(&writer));
    return write_below(options, SEALED_NAME, writer_bytes(&writer));
}

static int seal_root(const struct holder_options *options, struct tpm *tpm, const struct crypto_key *signer,
                     const uint8_t root[TPM_ROOT_LEN])
{
    struct tpm_sealed sealed;
    enum status status = tpm_seal(tpm, root, signer, &sealed);
    if (status == OK)
        status = tpm_use_root(tpm, root + 32, &sealed);
    if (status != OK)
        return tpm_failed(tpm, status);
    int code = make_counter(tpm, &sealed.born_counter);
    if (code)
        return code;
    if (write_sealed(options, &sealed) != OK)
        return refuse(1, "not_written", SEALED_NAME " cannot be written");
    node_log("info", "keyholder", "keys_made", "counter=%llu", (unsigned long long)sealed.born_counter);
    return 0;
}

static int make_keys(const struct holder_options *options, struct tpm *tpm, uint8_t root[TPM_ROOT_LEN])
{
    struct crypto_key signer = {0}, report_key = {0};
    SECRET scalar = {.len = 0};
    int code = open_signer(options, &signer);
    if (!code && (crypto_key_generate(&report_key, CRYPTO_P256) != OK ||
                  crypto_key_export(&report_key, &scalar) != OK || crypto_random(root + 32, 32) != OK))
        code = refuse(1, "no_keys", "keys cannot be made");
    if (!code) {
        memcpy(root, scalar.data, 32);
        code = seal_root(options, tpm, &signer, root);
    }
    crypto_key_done(&signer);
    crypto_key_done(&report_key);
    return code;
}

static int read_sealed(const struct holder_options *options, struct tpm_sealed *sealed, bool *missing)
{
    uint8_t room[TPM_SEALED_MAX];
    size_t len = 0;
    enum status status = read_below(options, SEALED_NAME, room, sizeof room, &len);
    *missing = status == NOT_FOUND;
    if (*missing || (status == OK && tpm_sealed_decode(bytes_from(room, len), sealed) == OK))
        return 0;
    return refuse(NODE_EXIT_TAMPERED, "bad_sealed", SEALED_NAME " is damaged");
}

int holder_open_keys(const struct holder_options *options, struct keyholder_keys *keys)
{
    uint8_t root[TPM_ROOT_LEN];
    char error[TPM_ERROR_MAX];
    struct tpm_sealed sealed = {0};
    struct tpm *tpm = NULL;
    bool missing = false;
    make_directories(options);
    int code = read_sealed(options, &sealed, &missing);
    if (code)
        return code;
    struct bytes pin = missing ? (struct bytes){0} : BYTES_OF(sealed.ek_name);
    enum status status = tpm_open(&tpm, options->tcti, options->insecure_dev, pin, TIMEOUT_MS, error);
    if (status != OK)
        return refuse(NODE_EXIT_TPM, "tpm_refused", error);
    if (missing)
        code = make_keys(options, tpm, root);
    else if ((status = tpm_unseal(tpm, &sealed, root)) != OK)
        code = tpm_failed(tpm, status);
    /* Whatever became of it: nothing later in this boot unseals. A boot chain that was not authorised is not capped, so
     * that it can be. */
    if (!code && (status = tpm_cap(tpm)) != OK)
        code = tpm_failed(tpm, status);
    tpm_close(tpm);
    if (!code) {
        *keys = (struct keyholder_keys){.version = KEYHOLDER_VERSION, .insecure_dev = options->insecure_dev};
        memcpy(keys->report_key, root, sizeof keys->report_key);
        memcpy(keys->sealing_root, root + 32, sizeof keys->sealing_root);
    }
    wipe(root, sizeof root);
    return code;
}

int holder_authorise(const struct holder_options *options)
{
    char error[TPM_ERROR_MAX];
    struct tpm_sealed sealed = {0};
    struct crypto_key signer = {0};
    struct tpm *tpm = NULL;
    bool missing = false;
    int code = read_sealed(options, &sealed, &missing);
    if (!code && missing)
        code = refuse(1, "nothing_sealed", SEALED_NAME " is missing: the first start authorises by itself");
    if (!code)
        code = open_signer(options, &signer);
    if (!code && memcmp(signer.public_key.data, sealed.boot_signer, sizeof sealed.boot_signer) != 0)
        code = refuse(NODE_EXIT_DENIED, "other_signer", SIGNER_NAME " is not the key this node was made with");
    if (!code &&
        tpm_open(&tpm, options->tcti, options->insecure_dev, BYTES_OF(sealed.ek_name), TIMEOUT_MS, error) != OK)
        code = refuse(NODE_EXIT_TPM, "tpm_refused", error);
    enum status status = code ? INTERNAL : tpm_authorise(tpm, &signer, &sealed);
    if (!code && status != OK)
        code = tpm_failed(tpm, status);
    if (!code && write_sealed(options, &sealed) != OK)
        code = refuse(1, "not_written", SEALED_NAME " cannot be written");
    if (!code)
        node_log("info", "keyholder", "authorised", "reason=\"the next start unseals with this boot chain\"");
    crypto_key_done(&signer);
    tpm_close(tpm);
    return code;
}
