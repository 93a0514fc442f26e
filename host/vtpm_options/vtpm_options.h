/* vtpm_options: the command line of swtpm, as QEMU's users, tpm2-tss and libvirt write it, read into what it means for
 * a vTPM whose state is sealed; and the reference that its directory may hold. Never opens, binds, prints or starts
 * anything.
 *
 * What is not understood, not possible here or said twice is refused with a sentence; nothing is ignored. */
#ifndef BASTIDE_VTPM_OPTIONS_H
#define BASTIDE_VTPM_OPTIONS_H

#include "base.h"

#include <stdio.h>
#include <sys/types.h>

#define VTPM_OPTIONS_NAME_MAX 47 /* characters of an instance's name */
#define VTPM_OPTIONS_WHY 256     /* bytes of a sentence, its NUL included */

enum vtpm_action { VTPM_SERVE, VTPM_HELP, VTPM_CAPABILITIES };
enum vtpm_startup { VTPM_STARTUP_NONE, VTPM_STARTUP_CLEAR, VTPM_STARTUP_STATE };
enum vtpm_place_kind { VTPM_NOWHERE, VTPM_AT_PATH, VTPM_AT_PORT, VTPM_AT_LISTENER, VTPM_AT_CLIENT };

/* Where one channel is to be had. */
struct vtpm_place {
    enum vtpm_place_kind kind;
    const char *path; /* AT_PATH: of a UNIX socket */
    mode_t mode;
    uid_t uid; /* (uid_t)-1: as it comes; so for the group */
    gid_t gid;
    const char *address, *interface; /* AT_PORT: numeric, IPv4 or IPv6; the latter for link-local ones, or NULL */
    uint16_t port;
    int fd; /* AT_LISTENER: accepts; AT_CLIENT: is the one connection */
};

/* What a VM is started from; places and words are the monitor's (abi/monitor.h, proto/image). */
#define VTPM_PARTS 5
#define VTPM_PART_CMDLINE 3
extern const char *const vtpm_part_words[VTPM_PARTS]; /* firmware, kernel, initrd, cmdline, disk */

/* A file by name or descriptor. */
struct vtpm_file {
    bool given;
    const char *path; /* NULL: the descriptor */
    int fd;
};

struct vtpm_options {
    enum vtpm_action action;
    const char *home;     /* a node's, or a directory with a reference; the rest is set if action is VTPM_SERVE */
    const char *instance; /* of that node; NULL: the one that is its own */
    bool relaxed;         /* what it acknowledges may be lost with the power for a second; of an instance only */
    struct vtpm_place control, data;
    struct vtpm_place keys;     /* where its endorsement keys are asked for; swtpm has none */
    struct vtpm_place transfer; /* where its state leaves and lands, likewise */
    bool proxy;                 /* the data channel is a device that the kernel's vTPM proxy makes; `data` is NOWHERE */
    bool disconnect;            /* a data connection is one command and its answer */
    bool init;                  /* the TPM is sent INIT before anybody is listened to … */
    enum vtpm_startup startup;  /* … and then this */
    bool terminate;             /* the end of a data connection is the end of all */
    bool daemon;
    const char *launch[VTPM_PARTS]; /* paths, and the command line itself; NULL: not given */
    const char *const *command;     /* that starts the VM from them, ended by NULL; NULL: none */
    struct vtpm_file key;           /* where the passphrase is; nothing is without one */
    struct bytes passphrase;        /* what was there: for whoever reads it; empty here */
    struct vtpm_file pid, log;      /* log with the path "-": none */
    bool truncate;
    const char *prefix; /* of a log line; "" */
};

/* What stands in for options that are not given: TPM_PATH and TPM_PORT of the environment, or NULL. */
struct vtpm_defaults {
    const char *path, *port;
};

/* swtpm's words, argv[0] being the program: options borrow from argv, whose lists are taken apart in place. Any failure
 * leaves a sentence in why: MALFORMED words that swtpm would not take either, UNSUPPORTED what it would. */
MUST_USE enum status vtpm_options_read(int argc, char **argv, const struct vtpm_defaults *defaults,
                                       struct vtpm_options *options, char why[VTPM_OPTIONS_WHY]);
void vtpm_options_help(FILE *to);
const char *vtpm_options_capabilities(void); /* a line of JSON */

/* The monitor's: letters, digits and . _ - , the first of them a letter or digit. */
bool vtpm_options_is_name(const char *text);

/* What bastide-vtpm-setup leaves in libvirt's directory of a VM for `dir=` to follow: a file by this name that says
 * whose instance of which node the VM's TPM is. Three lines, the first of them VTPM_REFERENCE_TITLE. */
#define VTPM_REFERENCE "bastide-vtpm"
#define VTPM_REFERENCE_TITLE "an instance of a Bastide node"
#define VTPM_REFERENCE_MAX 256
#define VTPM_HOME_MAX 90 /* its sockets' names have no room for more */

struct vtpm_reference {
    char home[VTPM_HOME_MAX + 1]; /* begins with / */
    char instance[VTPM_OPTIONS_NAME_MAX + 1];
};

void vtpm_reference_put(struct writer *writer, const struct vtpm_reference *reference);
/* TRUNCATED, MALFORMED; NO_ROOM: a home's or instance's name past its limit. */
MUST_USE enum status vtpm_reference_decode(struct bytes text, struct vtpm_reference *reference);

#endif
