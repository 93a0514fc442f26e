/* holder: bastide-keyholder — unseals the node's two keys once a boot, ends unsealing for the rest of it, and keeps
 * them for the monitors it starts. Parses nothing that comes from outside but one byte; holds no socket with a name. */
#ifndef BASTIDE_HOLDER_H
#define BASTIDE_HOLDER_H

#include "abi.h"
#include "base.h"

#include <stdbool.h>

#define HOLDER_ARGUMENTS_MAX 24

struct holder_options {
    const char *home;
    const char *tcti;
    bool insecure_dev;
    bool authorise;                                    /* sign the present boot chain into the sealed keys, and exit */
    char programs[4096];                               /* directory of our own program, the monitor's and launcher's */
    char *monitor_arguments[HOLDER_ARGUMENTS_MAX + 1]; /* argv of the monitor; NULL-terminated */
};

/* Files below node/monitor: `sealed` (public), `approved` (approvals of boot chains by the boot signer, one after the
 * other), `boot_chain.json` (what this boot measured, written for the owner to look at), and `boot_signer`, the 32-byte
 * P-256 scalar, where the node itself has it.
 *
 * The boot signer is the owner's. In production the image holds its public half, boot_signer.pub beside this program:
 * measured with it, so that nobody puts another one in its place; the private half never comes near the node. A
 * production node without that file takes the scalar for its first start and for --authorise, and the owner takes it
 * away after. With --insecure-dev it is made and left there. */

/* First start: makes the keys, seals them, makes the counter. Later: unseals. Then caps the boot. 0, or the exit code,
 * said in the log. `keys->monitor_hash` is left zero. */
int holder_open_keys(const struct holder_options *options, struct keyholder_keys *keys);
/* Signs the present boot chain with the boot signer. 0 or the exit code. */
int holder_authorise(const struct holder_options *options);

/* ---- approve.c: who may approve a boot chain, and whether this one is ---- */

struct tpm;
struct crypto_key;
struct tpm2_approval;

#define HOLDER_EXIT_INTERNAL 1
#define HOLDER_SIGNER_NAME "node/monitor/boot_signer"
int holder_refuse(int code, const char *event, const char *sentence);
/* Of a file below the home. */
MUST_USE enum status holder_read(const struct holder_options *options, const char *name, uint8_t *room, size_t cap,
                                 size_t *len);
MUST_USE enum status holder_write(const struct holder_options *options, const char *name, struct bytes content);
/* The private half from its file; in development mode made when there is none. 0 or the exit code. */
int holder_open_signer(const struct holder_options *options, struct crypto_key *signer);
/* The public half out of the image; *pinned is false when the image has none. 0 or the exit code. */
int holder_pinned_signer(const struct holder_options *options, uint8_t signer[65], bool *pinned);
/* Writes boot_chain.json, and looks for an approval of the present boot chain among `approved`. 0 or the exit code. */
int holder_find_approval(const struct holder_options *options, struct tpm *tpm, struct tpm2_approval *approval,
                         bool *found);

/* Runs "bastide-monitor --check" to its end: its exit code. */
int holder_check_monitor(const struct holder_options *options);
/* Starts the monitor, answers its one question, starts it again when it dies. Returns when told to stop or when a
 * monitor ended for good: its exit code. */
int holder_supervise(const struct holder_options *options, struct keyholder_keys *keys);

#endif
