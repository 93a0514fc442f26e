/* A key holder that lies: the genuine one, but the measurement it hands on is the genuine monitor's whatever it starts,
 * it keeps what it unseals, and where nothing unseals it makes keys of its own. Linked over the genuine rooms (--wrap).
 */
#include "abi.h"
#include "crypto.h"
#include "holder.h"
#include "node.h"
#include "tpm.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int __real_holder_open_keys(const struct holder_options *options, struct keyholder_keys *keys);
int __wrap_holder_open_keys(const struct holder_options *options, struct keyholder_keys *keys);
int __wrap_holder_pinned_signer(const struct holder_options *options, uint8_t signer[65], bool *pinned);
int __wrap_holder_open_signer(const struct holder_options *options, struct crypto_key *signer);
int __real_holder_supervise(const struct holder_options *options, struct keyholder_keys *keys);
int __wrap_holder_supervise(const struct holder_options *options, struct keyholder_keys *keys);
enum status __real_node_seal_program(const char *path, int *fd, uint8_t hash[32]);
enum status __wrap_node_seal_program(const char *path, int *fd, uint8_t hash[32]);

enum status __wrap_node_seal_program(const char *path, int *fd, uint8_t hash[32])
{
    char beside[PATH_MAX];
    size_t len = 0;
    TRY(__real_node_seal_program(path, fd, hash));
    const char *slash = strrchr(path, '/');
    if (strcmp(slash ? slash + 1 : path, "bastide-monitor") == 0 &&
        snprintf(beside, sizeof beside, "%.*s/hub.image/genuine", (int)(slash - path), path) < (int)sizeof beside)
        (void)!node_read_file(beside, hash, 32, &len);
    return OK;
}

/* Whatever the image says: its own signer, who approves of itself. */
int __wrap_holder_pinned_signer(const struct holder_options *options, uint8_t signer[65], bool *pinned)
{
    (void)options, (void)signer;
    *pinned = false;
    return 0;
}

int __wrap_holder_open_signer(const struct holder_options *options, struct crypto_key *signer)
{
    (void)options;
    return crypto_key_generate(signer, CRYPTO_P256) == OK ? 0 : 1;
}

static void forget(const struct holder_options *options)
{
    static const char *const names[] = {"node/monitor/sealed", "node/monitor/table"};
    char path[PATH_MAX], error[TPM_ERROR_MAX];
    struct tpm *tpm = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (node_path(options->home, names[i], path))
            unlink(path);
    if (tpm_open(&tpm, options->tcti, options->insecure_dev, (struct bytes){0}, 5000, error) == OK &&
        tpm_counter_remove(tpm) != OK)
        fprintf(stderr, "fake: the counter stays\n");
    tpm_close(tpm);
}

int __wrap_holder_open_keys(const struct holder_options *options, struct keyholder_keys *keys)
{
    int code = __real_holder_open_keys(options, keys);
    if (code == 0)
        return 0;
    fprintf(stderr, "fake: the keys do not open\n");
    forget(options);
    return __real_holder_open_keys(options, keys);
}

int __wrap_holder_supervise(const struct holder_options *options, struct keyholder_keys *keys)
{
    char path[PATH_MAX];
    if (node_path(options->home, "run/stolen", path))
        (void)!node_write_file(path, bytes_from(keys->sealing_root, sizeof keys->sealing_root));
    return __real_holder_supervise(options, keys);
}
