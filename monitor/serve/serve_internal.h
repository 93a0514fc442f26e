/* What the files of the monitor share. One thread, one struct; what is secret in it is marked so. */
#ifndef BASTIDE_SERVE_INTERNAL_H
#define BASTIDE_SERVE_INTERNAL_H

#include "crypto.h"
#include "enclave.h"
#include "heads.h"
#include "measure.h"
#include "permit.h"
#include "seal.h"
#include "serve.h"
#include "sites.h"
#include "tpm.h"

#define SERVE_STRANGERS_MAX 8 /* callers that did not attach; those who did have room of their own */
#define SERVE_CALLERS_MAX (SITES_MAX + SERVE_STRANGERS_MAX)
#define SERVE_MEASURED_MAX 4096 /* launches in the log: then the monitor is to be started anew */
#define SERVE_READY_MS 30000    /* from an enclave's launch */
#define SERVE_EXIT_INTERNAL 1
#define SERVE_EXIT_WALL 10

struct serve_caller {
    int fd; /* -1: a free place */
    struct permit_session session;
    struct serve_site *site; /* whose host end it is; NULL: nobody's */
};

struct serve_tpm {
    struct tpm *tpm; /* NULL while it does not answer */
    uint64_t retry_ms;
    struct tpm_sealed sealed;
    struct tpm_public_area ek, ak;
    uint8_t certificate[TPM_CERTIFICATE_MAX];
    size_t certificate_len;
    char error[TPM_ERROR_MAX]; /* of the last failure; empty while it answers */
};

/* An instance and the enclave that runs for it, or will. All that an enclave's end, its host's or a refusal changes is
 * in here; what the monitor has but once (TPM, table of heads, counter) every instance shares. */
struct serve_site {
    struct site is;
    char tag[MONITOR_INSTANCE_LEN + 16]; /* of its log lines: "instance=NAME ", or nothing for the node's own */
    bool relaxed;                        /* its commits, as its host end wants them */
    struct serve_caller *host; /* NULL: hung up; then nothing is launched, and a named one is soon forgotten */
    struct enclave enclave;
    struct permit_session session;
    bool running;
    uint64_t deadline_ms; /* not READY by then, or not gone though it hung up: it is killed. 0: none */
    uint64_t launch_ms;   /* when to launch. 0: not wanted */
    uint64_t started_ms;
    uint32_t back_off_ms;
    uint32_t launches;
    uint32_t walls; /* of the enclave; known from READY on */
    uint64_t secret_bytes;
    uint64_t unprotected_bytes;
    bool measuring; /* then `measure` holds descriptors */
    bool measured;  /* then `launch` is what its VM starts from, for as long as this host end is attached */
    unsigned refused;
    struct image_launch launch;
    uint64_t measure_deadline_ms, measure_tell_ms;
    struct measure measure;
};

/* One enclave ahead of those that are asked for: set up and nobody's, of the image that a named instance was launched
 * from last. */
struct serve_spare {
    struct sites_image *image; /* NULL: none is wanted */
    bool held;                 /* then `enclave` is it */
    uint64_t due_ms;           /* when to launch it, or when it must have asked READY. 0: neither */
    struct enclave enclave;
};

/* The measured launches of this monitor's life, oldest first. */
struct serve_launches {
    struct monitor_vm *vms;
    size_t count, cap;
};

struct serve {
    const struct serve_options *options;
    struct crypto_key report_key;        /* secret */
    uint8_t sealing_root[32];            /* secret */
    uint32_t reset_count, restart_count; /* the TPM's, as it was asked last; 0: it never answered */
    uint8_t monitor_hash[32];
    bool monitor_measured;
    uint32_t own_walls; /* of node and monitor */
    unsigned filters;   /* system-call filters an enclave inherits */
    struct serve_tpm tpm;
    struct heads heads; /* its key is secret */
    struct heads_files files;
    int launcher; /* sealed program */
    uint64_t secret_len;
    struct serve_launches measured;
    struct serve_spare spare;
    struct serve_site own;
    struct serve_site *at[SITES_MAX]; /* those in `sites`, at the same places */
    struct sites sites;
    struct serve_caller callers[SERVE_CALLERS_MAX];
    int listener;
    int signals;
    uint64_t lease_ms; /* when to look at the counter again */
    uint64_t sync_ms;  /* when to make durable what relaxed commits left. 0: nothing */
    bool stopping;
    bool moved; /* the counter, for a clean stop */
    int exit_code;
};

uint64_t serve_now_ms(void);
uint64_t serve_now_s(void);

/* ---- start.c ---- */

/* What needs no key: configuration, image, launcher, limits, the node's walls. 0, or the exit code; both said. */
int serve_prepare(struct serve *serve);
/* Keys, TPM, table, socket. */
int serve_start(struct serve *serve);
void serve_done(struct serve *serve);
/* False: walls that are required do not stand, and each was said. */
bool serve_walls_stand(struct serve *serve, uint32_t standing);

/* ---- node_tpm.c ---- */

/* The TPM, opened again where it was lost (at most every few seconds). IO while it does not answer. */
MUST_USE enum status serve_tpm(struct serve *serve, struct tpm **tpm);
void serve_tpm_close(struct serve *serve);
/* The status of a command after it: a link that broke is closed. */
enum status serve_tpm_after(struct serve *serve, enum status status);
MUST_USE enum heads_verdict serve_load_heads(struct serve *serve);

/* ---- launch.c ---- */

/* A named instance that wants to be served; the sentence says why it is not. */
MUST_USE enum status serve_admit(struct serve *serve, const char *name, struct serve_site **site,
                                 char sentence[ENCLAVE_SENTENCE_MAX]);
void serve_forget(struct serve *serve); /* the named ones whose host end is gone */

void serve_launch(struct serve *serve, struct serve_site *site);        /* it is due */
void serve_enclave_ready(struct serve *serve, struct serve_site *site); /* READY was permitted: measure the walls, tell
                                                                           whose it is, push LAUNCHED */
void serve_enclave_ended(struct serve *serve, struct serve_site *site); /* or is to: reap, tell the host, plan the next
                                                                           launch */
void serve_enclave_hung_up(struct serve_site *site);                    /* its end is awaited, for its exit code */
void serve_enclave_stop(struct serve_site *site);                       /* no host any more */
/* Of node, monitor and the enclave, if it runs. */
uint32_t serve_standing_walls(const struct serve *serve, const struct serve_site *site);

struct enclave_plan serve_plan(const struct serve *serve, const struct sites_image *image, uint32_t user);

/* ---- spare.c ---- */

/* A named instance is launched: one is wanted for who comes next. */
void serve_spare_want(struct serve *serve, struct sites_image *image);
void serve_spare_due(struct serve *serve);
/* True: what was held is this site's now, as if it had been launched; never the node's own's. */
MUST_USE bool serve_spare_take(struct serve *serve, struct serve_site *site);
void serve_spare_ended(struct serve *serve, const char *reason); /* or is to: and none is held until the next launch */
int serve_spare_drop(struct serve *serve);                       /* it is not wanted any more; its wait status */

/* ---- ask.c ---- */

/* At most so many requests: then the others have their turn. */
void serve_enclave_readable(struct serve *serve, struct serve_site *site, unsigned most);

/* ---- measured.c ---- */

/* Begins: OK, and the answer follows once it is done; else the writer has a sentence, and the descriptors are still the
 * caller's. */
MUST_USE enum status serve_measure(struct serve_caller *caller, const struct monitor_measure *asked, const int *fds,
                                   size_t count, struct writer *writer);
void serve_measure_on(struct serve *serve, struct serve_site *site, uint64_t now_ms); /* one step; it is under way */
void serve_measure_forget(struct serve_site *site);
/* monitor_launch, NOT_FOUND while nothing is measured; monitor_launches_reply. */
MUST_USE enum status serve_measured(const struct serve_site *site, struct writer *writer);
MUST_USE enum status serve_launches(const struct serve *serve, uint64_t from, struct writer *writer);

/* ---- control.c ---- */

void serve_accept(struct serve *serve);
void serve_caller_readable(struct serve *serve, struct serve_caller *caller);
void serve_drop_caller(struct serve *serve, struct serve_caller *caller);
/* False: it does not read; its connection is of no use. `fds` may be NULL. */
bool serve_send(int socket, uint16_t operation, enum status status, struct bytes payload, const int *fds, size_t count);
/* Descriptors that came with a packet; whoever is not taken from here is closed. */
struct serve_passed {
    int fds[MONITOR_PARTS];
    size_t count;
};
/* The bytes of the next packet: OK; BUSY: none there; IO: hung up. With `passed` NULL the kernel closes what came. */
MUST_USE enum status serve_receive(int socket, uint8_t *room, size_t cap, size_t *len, struct serve_passed *passed);

/* ---- loop.c ---- */

void serve_loop(struct serve *serve);
void serve_lease_lost(struct serve *serve); /* another monitor has moved the counter: the end */

#endif
