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
#define TRIES_MAX 8 /* the report key must be a scalar of the curve */

static void make_directories(const struct holder_options *options)
{
    static const char *const names[] = {"node", "node/monitor", "run"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (node_path(options->home, names[i], path))
            mkdir(path, 0700); /* there already, or the write that follows says what is wrong */
}

static int tpm_failed(struct tpm *tpm, enum status status)
{
    return holder_refuse(NODE_EXIT_TPM, "tpm_refused", tpm ? tpm_error(tpm) : status_word(status));
}

/* A node whose counter is there but whose keys are not lost them: new ones would make rolling back invisible. */
static int make_counter(struct tpm *tpm, uint64_t *born)
{
    enum status status = tpm_counter_create(tpm, born);
    if (status == DENIED)
        return holder_refuse(NODE_EXIT_ROLLED_BACK, "keys_gone",
                             SEALED_NAME
                             " is missing although this TPM has a counter of ours: the store was removed; restore "
                             "it, or give the TPM back with tpm2_nvundefine 0x018b5711 and begin anew");
    return status == OK ? 0 : tpm_failed(tpm, status);
}

static enum status write_sealed(const struct holder_options *options, const struct tpm_sealed *sealed)
{
    uint8_t room[TPM_SEALED_MAX];
    struct writer writer = writer_over(room, sizeof room);
    tpm_put_sealed(&writer, sealed);
    TRY(writer_end(&writer));
    return holder_write(options, SEALED_NAME, writer_bytes(&writer));
}

/* Who may approve boot chains of a new node, and their approval of this one. */
static int first_approval(const struct holder_options *options, struct tpm *tpm, uint8_t signer[65],
                          struct tpm2_approval *approval)
{
    struct crypto_key key = {0};
    bool pinned = false, found = false;
    int code = holder_pinned_signer(options, signer, &pinned);
    if (!code)
        code = holder_find_approval(options, tpm, approval, &found);
    if (code)
        return code;
    if (pinned)
        return found ? 0
                     : holder_refuse(NODE_EXIT_DENIED, "not_approved",
                                     "the boot signer has not approved this boot chain: bastide boot sign, with what "
                                     "is in node/monitor/boot_chain.json");
    code = holder_open_signer(options, &key);
    enum status status = code ? INTERNAL : tpm_authorise(tpm, &key, approval);
    if (!code && status != OK)
        code = tpm_failed(tpm, status);
    memcpy(signer, key.public_key.data, 65);
    crypto_key_done(&key);
    return code;
}

static enum status make_root(struct tpm *tpm, const uint8_t signer[65], const struct tpm2_approval *approval,
                             uint8_t root[TPM_ROOT_LEN], struct tpm_sealed *sealed)
{
    enum status status = MALFORMED;
    for (int i = 0; i < TRIES_MAX && status == MALFORMED; i++) {
        struct crypto_key report_key = {0};
        TRY(tpm_seal(tpm, signer, approval, root, sealed));
        status = crypto_key_import(&report_key, CRYPTO_P256, bytes_from(root, 32));
        crypto_key_done(&report_key);
    }
    return status;
}

static int make_keys(const struct holder_options *options, struct tpm *tpm, uint8_t root[TPM_ROOT_LEN])
{
    struct tpm2_approval approval;
    struct tpm_sealed sealed;
    uint8_t signer[65] = {0};
    int code = first_approval(options, tpm, signer, &approval);
    if (code)
        return code;
    enum status status = make_root(tpm, signer, &approval, root, &sealed);
    if (status == OK)
        status = tpm_use_root(tpm, root + 32, &sealed);
    if (status != OK)
        return tpm_failed(tpm, status);
    code = make_counter(tpm, &sealed.born_counter);
    if (code)
        return code;
    if (write_sealed(options, &sealed) != OK)
        return holder_refuse(HOLDER_EXIT_INTERNAL, "not_written", SEALED_NAME " cannot be written");
    node_log("info", "keyholder", "keys_made", "counter=%llu", (unsigned long long)sealed.born_counter);
    return 0;
}

static int open_root(const struct holder_options *options, struct tpm *tpm, const struct tpm_sealed *sealed,
                     uint8_t root[TPM_ROOT_LEN])
{
    uint8_t signer[65];
    bool pinned = false, found = false;
    struct tpm2_approval approval = sealed->approval;
    int code = holder_pinned_signer(options, signer, &pinned);
    if (!code && pinned && memcmp(signer, sealed->boot_signer, sizeof signer) != 0)
        code = holder_refuse(NODE_EXIT_TAMPERED, "other_signer",
                             SEALED_NAME " is another boot signer's than the one this image names");
    if (!code)
        code = holder_find_approval(options, tpm, &approval, &found);
    enum status status = code ? INTERNAL : tpm_unseal(tpm, sealed, &approval, root);
    return !code && status != OK ? tpm_failed(tpm, status) : code;
}

static int read_sealed(const struct holder_options *options, struct tpm_sealed *sealed, bool *missing)
{
    uint8_t room[TPM_SEALED_MAX];
    size_t len = 0;
    enum status status = holder_read(options, SEALED_NAME, room, sizeof room, &len);
    *missing = status == NOT_FOUND;
    if (*missing || (status == OK && tpm_sealed_decode(bytes_from(room, len), sealed) == OK))
        return 0;
    return holder_refuse(NODE_EXIT_TAMPERED, "bad_sealed", SEALED_NAME " is damaged");
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
        return holder_refuse(NODE_EXIT_TPM, "tpm_refused", error);
    code = missing ? make_keys(options, tpm, root) : open_root(options, tpm, &sealed, root);
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
        code = holder_refuse(1, "nothing_sealed", SEALED_NAME " is missing: the first start authorises by itself");
    if (!code)
        code = holder_open_signer(options, &signer);
    if (!code && memcmp(signer.public_key.data, sealed.boot_signer, sizeof sealed.boot_signer) != 0)
        code = holder_refuse(NODE_EXIT_DENIED, "other_signer",
                             HOLDER_SIGNER_NAME " is not the key this node was made with");
    if (!code &&
        tpm_open(&tpm, options->tcti, options->insecure_dev, BYTES_OF(sealed.ek_name), TIMEOUT_MS, error) != OK)
        code = holder_refuse(NODE_EXIT_TPM, "tpm_refused", error);
    enum status status = code ? INTERNAL : tpm_authorise(tpm, &signer, &sealed.approval);
    if (!code && status != OK)
        code = tpm_failed(tpm, status);
    if (!code && write_sealed(options, &sealed) != OK)
        code = holder_refuse(1, "not_written", SEALED_NAME " cannot be written");
    if (!code)
        node_log("info", "keyholder", "authorised", "reason=\"the next start unseals with this boot chain\"");
    crypto_key_done(&signer);
    tpm_close(tpm);
    return code;
}
