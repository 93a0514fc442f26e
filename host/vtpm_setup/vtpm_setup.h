/* vtpm_setup: swtpm_setup's place — registers a VM's TPM as an instance of a node that is there (monitor/sites) and
 * leaves in --tpm-state's directory a reference for bastide-vtpm to follow. Never starts a TPM, sees a key or erases
 * what was there before.
 *
 * The instance's id is the VM's UUID, by which one that its owner made beforehand is found and taken. What swtpm_setup
 * would write into a TPM (endorsement key, certificates, locked indices) is not its to write here: only who appraised
 * the enclave certifies its keys. An operator who can do without says so in the configuration file, or is refused. */
#ifndef BASTIDE_VTPM_SETUP_H
#define BASTIDE_VTPM_SETUP_H

#include "base.h"
#include "vtpm_options.h"

#include <stdio.h>

#define VTPM_SETUP_WHY 512 /* bytes of a sentence, its NUL included */
#define VTPM_SETUP_CONFIG "/etc/bastide/vtpm.conf"
#define VTPM_SETUP_CONFIG_MAX 4096
#define VTPM_SETUP_IMAGE_MAX 511
#define VTPM_SETUP_ID_LEN 16

enum vtpm_setup_action { VTPM_SETUP_REGISTER, VTPM_SETUP_HELP, VTPM_SETUP_CAPABILITIES };

struct vtpm_setup_options {
    enum vtpm_setup_action action;
    const char *state;
    const char *vmid, *log, *config; /* NULL: not given */
    bool keep;                       /* --not-overwrite: what is there is good */
    bool overwrite;                  /* with nothing that is to be made, libvirt's word for a VM that arrives */
    bool endorsed;                   /* an endorsement key or a certificate is asked for */
};

/* swtpm_setup's words; options borrow from argv. Any failure leaves a sentence in why. */
MUST_USE enum status vtpm_setup_read(int argc, char **argv, struct vtpm_setup_options *options,
                                     char why[VTPM_SETUP_WHY]);
void vtpm_setup_help(FILE *to);
const char *vtpm_setup_capabilities(void); /* a line of JSON */

/* The configuration file: lines `key = value`, `#` begins a comment. node (its home), image (a directory; "" if it does
 * not say) and, if there is to be none, `endorsement = none`. */
struct vtpm_setup_config {
    char node[VTPM_HOME_MAX + 1];
    char image[VTPM_SETUP_IMAGE_MAX + 1];
    bool unendorsed;
};
MUST_USE enum status vtpm_setup_config_read(struct bytes text, struct vtpm_setup_config *config,
                                            char why[VTPM_SETUP_WHY]);

/* The UUID that `NAME:UUID` or `UUID` ends in. NOT_FOUND: none. */
MUST_USE enum status vtpm_setup_id(const char *vmid, uint8_t id[VTPM_SETUP_ID_LEN]);
/* As libvirt has it, whose directory of a VM's TPM 2.0 is UUID/tpm2. NOT_FOUND: another. */
MUST_USE enum status vtpm_setup_id_of_state(const char *path, uint8_t id[VTPM_SETUP_ID_LEN]);

struct vtpm_setup_done {
    struct vtpm_reference reference;
    bool made;       /* else it was there, or is missing */
    bool missing;    /* a VM arrives whose TPM nothing here expects; bastide-vtpm says so where libvirt looks */
    unsigned unread; /* instances that this user cannot read, so that nobody knows whose they are */
};

/* All of it or, but for directories, nothing. For a VM that arrives (libvirt's words: a state directory UUID/tpm2,
 * `overwrite` and nothing to create) no instance is made: what its TPM holds is elsewhere, and only its owner has it
 * land. The configuration's image is where the instance's is to lead; owner and mode are the node's own. DENIED: there
 * is one, or what is asked for is not had. */
MUST_USE enum status vtpm_setup_register(const struct vtpm_setup_options *options,
                                         const struct vtpm_setup_config *config, struct vtpm_setup_done *done,
                                         char why[VTPM_SETUP_WHY]);

#endif
