/* serve: bastide-monitor — holds the node's two keys, launches and supervises the site's enclave, reports, seals and
 * counts for it. Has no network, parses no text, acts on nothing the permit room did not permit. */
#ifndef BASTIDE_SERVE_H
#define BASTIDE_SERVE_H

#include "base.h"

#include <stdbool.h>
#include <stdint.h>

struct serve_options {
    const char *home;
    const char *image;    /* directory */
    const char *programs; /* directory with bastide-launcher */
    const char *tcti;
    uint32_t required; /* walls that must stand: in production all but those allowed to be missing */
    uint64_t pool_len;
    bool insecure_dev;
    uint32_t body_max;     /* bytes of a request; 0: the enclave's own */
    bool no_secret_memory; /* development mode only */
    bool spare;            /* an enclave is held ready for the next named instance */
    bool monitor_secret;   /* all of our own writable memory is secret memory */
    bool check;            /* everything that needs no key, then exit */
};

/* Runs until it is stopped; returns the exit code: 0 after a clean stop, otherwise one of node.h's, said in the log. */
int serve_run(const struct serve_options *options);

#endif
