/* vtpm_setup: swtpm_setup's place — makes the home of a new vTPM: its directories, and the launch configuration that
 * ties it to its owner and, where swtpm_setup's --vmid ends in a UUID, to that VM. Never starts a TPM, sees a key or
 * erases.
 *
 * What swtpm_setup would write into a TPM (endorsement key, certificates, locked indices) is not its to write here: an
 * operator who can do without says so in the configuration file, or is refused. */
#ifndef BASTIDE_VTPM_SETUP_H
#define BASTIDE_VTPM_SETUP_H

#include "base.h"

#include <stdio.h>

#define VTPM_SETUP_WHY 512 /* bytes of a sentence, its NUL included */
#define VTPM_SETUP_CONFIG "/etc/bastide/vtpm.conf"
#define VTPM_SETUP_CONFIG_MAX 4096
#define VTPM_SETUP_ID_LEN 16

enum vtpm_setup_action { VTPM_SETUP_MAKE, VTPM_SETUP_HELP, VTPM_SETUP_CAPABILITIES };

struct vtpm_setup_options {
    enum vtpm_setup_action action;
    const char *home;
    const char *vmid, *log; /* NULL: not given */
    const char *config;
    bool keep;     /* --not-overwrite: what is there is good */
    bool endorsed; /* an endorsement key or a certificate is asked for */
};

/* swtpm_setup's words; options borrow from argv. Any failure leaves a sentence in why. */
MUST_USE enum status vtpm_setup_read(int argc, char **argv, struct vtpm_setup_options *options,
                                     char why[VTPM_SETUP_WHY]);
void vtpm_setup_help(FILE *to);
const char *vtpm_setup_capabilities(void); /* a line of JSON */

/* The configuration file: lines `key = value`, `#` begins a comment. owner (a file: the owner's certificate, DER),
 * mode (insecure-dev or production) and, if there is to be none, `endorsement = none`. */
struct vtpm_setup_config {
    char owner[512];
    bool insecure_dev, unendorsed;
};
MUST_USE enum status vtpm_setup_config_read(struct bytes text, struct vtpm_setup_config *config,
                                            char why[VTPM_SETUP_WHY]);

/* The UUID that `NAME:UUID` or `UUID` ends in. NOT_FOUND: none. */
MUST_USE enum status vtpm_setup_id(const char *vmid, uint8_t id[VTPM_SETUP_ID_LEN]);

/* Makes the home, all of it or, but for directories, nothing. DENIED: there is one, or what is asked for is not had. */
MUST_USE enum status vtpm_setup_make(const struct vtpm_setup_options *options, const struct vtpm_setup_config *config,
                                     struct bytes certificate, bool *made, char why[VTPM_SETUP_WHY]);

#endif
