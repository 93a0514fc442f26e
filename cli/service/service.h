/* service: the node's processes — started, found again, supervised, stopped, asked how they are.
 * Never holds a key, never starts a software TPM for a site that is not of development mode. */
#ifndef BASTIDE_SERVICE_H
#define BASTIDE_SERVICE_H

#include "cli.h"

#include <sys/types.h>

#define SERVICE_BODY_DEFAULT 65536u

/* What `up` was told, kept in run/node.json. */
struct service_settings {
    char image[PATH_MAX];
    char tcti[PATH_MAX]; /* empty: a software TPM of our own, in development mode */
    char coap[64], http[64];
    char require[256];       /* walls; empty: none but what production requires */
    char allow_missing[256]; /* walls that production does without */
    bool remote;             /* the node runs on another machine: nothing is started or stopped here */
    uint64_t pool_mib;       /* 0: the monitor's own */
    uint64_t body_max;       /* bytes of a request; 0: 65536 */
    bool insecure_dev;
    bool no_secret_memory;
    bool no_spare; /* the monitor holds no enclave ready */
};

/* Defaults for this home and mode. */
void service_settings_init(const struct cli *cli, bool insecure_dev, struct service_settings *settings);
/* NOT_FOUND, MALFORMED, IO. */
MUST_USE enum status service_settings_load(const struct cli *cli, struct service_settings *settings);
MUST_USE enum status service_settings_save(const struct cli *cli, const struct service_settings *settings);
/* "http://127.0.0.1:8080", with an address to connect to where it listens on any. */
void service_url(const char *scheme, const char *address, char *room, size_t cap);

/* ---- process.c: one background process, found again by its pid file after whoever started it died ---- */

struct service {
    const char *name; /* of run/NAME.pid and run/NAME.log */
    bool claims;      /* started, it writes the pid file itself: two at once would take the new one from each other */
    int pidfd;        /* -1 while none runs */
    pid_t pid;
    uint64_t started_ms;
    uint64_t restart_at_ms;
    uint32_t back_off_ms;
};

/* Adopts the running process the pid file names; false when there is none. */
bool service_adopt(const struct cli *cli, struct service *service);
/* Starts argv (argv[0] is a path) with standard error appended to run/NAME.log, and writes the pid file unless it
 * claims that. NOT_FOUND: no such program. */
MUST_USE enum status service_start(const struct cli *cli, struct service *service, const char *const *argv);
/* True when it ended: *code is its exit code, 128 + the signal, or -1 where it was not our child. Forgets it. */
bool service_ended(const struct cli *cli, struct service *service, int *code);
/* SIGTERM, then SIGKILL after the time; waits for the end. */
void service_stop(const struct cli *cli, struct service *service, int timeout_ms);
/* The pid file for a process that is already there: ourselves. */
MUST_USE enum status service_claim(const struct cli *cli, struct service *service);
/* Seconds since the process started, as the kernel tells; 0 when unknown. */
uint64_t service_age_s(pid_t pid);

/* ---- health.c ---- */

enum service_health { SERVICE_UNREACHABLE, SERVICE_DOWN, SERVICE_UP };

/* bastided answers; its enclave is up and has loaded its store. */
enum service_health service_health(const char *http_address, int timeout_ms);
/* The last reason="…" of an error or warning in run/NAME.log behind `from` bytes; false: none. */
bool service_log_reason(const struct cli *cli, const char *name, long from, char *text, size_t cap);
/* The required wall that the monitor's log says is missing, and its advice; false: none. */
bool service_log_wall(const struct cli *cli, long from, char *text, size_t cap);
/* What the enclave last said for the operator, as bastided's log has it; false: nothing. */
bool service_log_audit(const struct cli *cli, const char *name, long from, char *text, size_t cap);
/* The exit code that the enclave last refused to run with, as the monitor's log tells; 0: it did not. */
int service_log_refusal(const struct cli *cli, long from);
long service_log_len(const struct cli *cli, const char *name);

/* ---- supervise.c ---- */

/* Starts what is not running, restarts what ends, until SIGTERM or SIGINT; then stops all in order. Returns the exit
 * code, said in the log. */
int service_supervise(const struct cli *cli, const struct service_settings *settings);
/* Stops bastided, key holder (clean: the counter moves), software TPM; those that run. Their number. */
int service_stop_all(const struct cli *cli);

/* ---- start.c ---- */

/* Starts a supervisor in the background unless one runs, and waits until the node serves. The failure was said.
 * *started: it was not up before. */
int service_up(const struct cli *cli, const struct service_settings *settings, bool *started);
/* Stops all, in order; *stopped counts processes. */
int service_down(const struct cli *cli, int *stopped);

#endif
