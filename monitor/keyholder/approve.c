/* Who may approve a boot chain, and what this boot's is. */
#include "holder.h"

#include "crypto.h"
#include "node.h"
#include "tpm.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define APPROVED_NAME "node/monitor/approved"
#define BOOT_CHAIN_NAME "node/monitor/boot_chain.json"
#define SIGNER_FILE "boot_signer.pub"
#define SCALAR_LEN 32
#define APPROVALS_MAX 32 /* the newest are last; more are not looked at */

int holder_refuse(int code, const char *event, const char *sentence)
{
    node_log("error", "keyholder", event, "exit=%d reason=\"%s\"", code, sentence);
    return code;
}

enum status holder_read(const struct holder_options *options, const char *name, uint8_t *room, size_t cap, size_t *len)
{
    char path[PATH_MAX];
    return node_path(options->home, name, path) ? node_read_file(path, room, cap, len) : NO_ROOM;
}

enum status holder_write(const struct holder_options *options, const char *name, struct bytes content)
{
    char path[PATH_MAX];
    return node_path(options->home, name, path) ? node_write_file(path, content) : NO_ROOM;
}

int holder_open_signer(const struct holder_options *options, struct crypto_key *signer)
{
    SECRET scalar = {.len = 0};
    enum status status = holder_read(options, HOLDER_SIGNER_NAME, scalar.data, SCALAR_LEN, &scalar.len);
    if (status == OK && scalar.len == SCALAR_LEN && crypto_key_import(signer, CRYPTO_P256, secret_bytes(&scalar)) == OK)
        return 0;
    if (status != NOT_FOUND)
        return holder_refuse(HOLDER_EXIT_INTERNAL, "no_boot_signer",
                             HOLDER_SIGNER_NAME " is not the 32 bytes of a P-256 key");
    if (!options->insecure_dev)
        return holder_refuse(NODE_EXIT_DENIED, "no_boot_signer",
                             HOLDER_SIGNER_NAME
                             " is missing: the owner's key that says which boot chain may open this node's keys; "
                             "put it there for the first start, then take it away");
    if (crypto_key_generate(signer, CRYPTO_P256) != OK || crypto_key_export(signer, &scalar) != OK ||
        holder_write(options, HOLDER_SIGNER_NAME, secret_bytes(&scalar)) != OK)
        return holder_refuse(HOLDER_EXIT_INTERNAL, "no_boot_signer", HOLDER_SIGNER_NAME " cannot be written");
    node_log("warning", "keyholder", "boot_signer", "reason=\"development mode: the boot signer stays on this node\"");
    return 0;
}

int holder_pinned_signer(const struct holder_options *options, uint8_t signer[65], bool *pinned)
{
    char path[PATH_MAX];
    uint8_t room[65];
    size_t len = 0;
    struct crypto_public key;
    *pinned = false;
    if (options->insecure_dev) /* a software TPM's boot chain vouches for nothing, this file included */
        return 0;
    enum status status =
        node_path(options->programs, SIGNER_FILE, path) ? node_read_file(path, room, sizeof room, &len) : NO_ROOM;
    if (status == NOT_FOUND)
        return 0;
    if (status != OK || len != sizeof room ||
        crypto_public_import(&key, CRYPTO_P256, bytes_from(room, sizeof room)) != OK)
        return holder_refuse(HOLDER_EXIT_INTERNAL, "no_boot_signer", SIGNER_FILE " is not the 65 bytes of a P-256 key");
    memcpy(signer, room, sizeof room);
    *pinned = true;
    return 0;
}

/* What the owner needs to approve it: {"ek_name":"000b…","pcrs":{"0":"…",…}}. */
static void write_chain(const struct holder_options *options, struct tpm *tpm, const uint8_t pcrs[TPM2_PCR_COUNT][32])
{
    char text[2048], hex[2 * TPM2_NAME_LEN + 1];
    struct tpm_public_area ek;
    struct writer writer = writer_over(text, sizeof text);
    bool first = true;
    tpm_ek(tpm, &ek);
    if (hex_encode(BYTES_OF(ek.name), hex, sizeof hex) != OK)
        return;
    put_text(&writer, "{\"ek_name\":\"");
    put_text(&writer, hex);
    put_text(&writer, "\",\"pcrs\":{");
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        char name[16];
        if (!(TPM_PCR_MASK >> i & 1) || hex_encode(bytes_from(pcrs[i], 32), hex, sizeof hex) != OK)
            continue;
        snprintf(name, sizeof name, "%s\"%u\":\"", first ? "" : ",", i);
        put_text(&writer, name);
        put_text(&writer, hex);
        put_text(&writer, "\"");
        node_log("info", "keyholder", "boot_chain", "pcr=%u value=%s", i, hex);
        first = false;
    }
    put_text(&writer, "}}\n");
    if (writer_end(&writer) == OK && holder_write(options, BOOT_CHAIN_NAME, writer_bytes(&writer)) == OK)
        return;
    node_log("warning", "keyholder", "boot_chain", "reason=\"" BOOT_CHAIN_NAME " cannot be written\"");
}

int holder_find_approval(const struct holder_options *options, struct tpm *tpm, struct tpm2_approval *approval,
                         bool *found)
{
    uint8_t pcrs[TPM2_PCR_COUNT][32], policy[32], room[APPROVALS_MAX * TPM2_APPROVAL_LEN];
    size_t len = 0;
    *found = false;
    if (tpm_present_pcrs(tpm, pcrs, policy) != OK)
        return holder_refuse(NODE_EXIT_TPM, "tpm_refused", tpm_error(tpm));
    write_chain(options, tpm, (const uint8_t(*)[32])pcrs);
    enum status status = holder_read(options, APPROVED_NAME, room, sizeof room, &len);
    if (status == NOT_FOUND)
        return 0;
    if (status != OK || len % TPM2_APPROVAL_LEN != 0)
        return holder_refuse(NODE_EXIT_TAMPERED, "bad_approvals", APPROVED_NAME " is damaged or too long");
    for (size_t off = 0; off < len && !*found; off += TPM2_APPROVAL_LEN) {
        if (memcmp(room + off, policy, sizeof policy) != 0)
            continue;
        memcpy(approval->policy, policy, sizeof approval->policy);
        memcpy(approval->signature, room + off + sizeof policy, sizeof approval->signature);
        *found = true;
    }
    return 0;
}
