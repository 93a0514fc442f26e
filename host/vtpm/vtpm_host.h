/* vtpm_host: the sockets of one vTPM — swtpm's control and data channel for QEMU, libvirt and tpm2-tss, and one to ask
 * for its endorsement keys (proto/vtpm), one where its state leaves and lands (proto/vtpm_transfer), in front of a
 * door. Hands one data socket over to the enclave, the one that SET_DATAFD brought last or, while there is none, the
 * next that connects; relays whole frames and their answers for all others. Untrusted: could see every command, holds
 * no key, and no state but sealed.
 *
 * While a data socket is with the enclave nobody is given the state at `transfer`: a VM that runs would lose its TPM.
 *
 * What is relayed has one frame under way; what it sends meanwhile stays in its socket. While there is no enclave
 * nobody is listened to, and who was connected is hung up on: its TPM is gone. */
#ifndef BASTIDE_VTPM_HOST_H
#define BASTIDE_VTPM_HOST_H

#include "abi.h"
#include "base.h"
#include "vtpm_options.h"

/* Connections of any kind. When all places are taken, one that never sent a whole frame gives way to a newcomer, the
 * one that has been silent for longest first; where there is none, one of the process that has most, and more than
 * VTPM_HOST_FAIR, which has no question under way: its idlest. Where there is none of those either, newcomers wait in
 * the kernel's backlog. Whose a connection over TCP is nobody knows, so it gives way before its first frame only. */
#define VTPM_HOST_PEERS 64
#define VTPM_HOST_FAIR 4

struct vtpm_host_config {
    struct vtpm_place control;  /* texts are borrowed, descriptors change hands */
    struct vtpm_place data;     /* NOWHERE: only what SET_DATAFD brings */
    struct vtpm_place keys;     /* for whoever certifies its endorsement keys */
    struct vtpm_place transfer; /* for its owner, who moves it, backs it up, restores it */
    bool disconnect;            /* a data connection is one command and its answer; what SET_DATAFD brought stays */
    bool terminate;             /* a data connection's end is the end */
    struct bytes passphrase;    /* borrowed; every enclave is sent this first, unless empty … */
    bool init;                  /* … then INIT … */
    enum vtpm_startup startup;  /* … and then this; all are over before anybody is listened to */
    /* Anything but OK is hung up on. */
    enum status (*ask)(void *context, uint64_t channel, enum door_transport transport, struct bytes frame);
    void (*gone)(void *context, uint64_t channel);
    /* A copy of a data socket to the enclave, in place of the former. Anything but OK: it was not. */
    enum status (*hand)(void *context, uint64_t channel, int fd);
    void *context;
};

struct vtpm_host;

/* On failure *why is a sentence for the operator, borrowed from static memory. */
MUST_USE enum status vtpm_host_new(const struct vtpm_host_config *config, struct vtpm_host **host, const char **why);
void vtpm_host_free(struct vtpm_host *host); /* its sockets' names go with it; NULL is allowed */

/* An epoll descriptor: readable when vtpm_host_run() has work. */
int vtpm_host_fd(const struct vtpm_host *host);
void vtpm_host_run(struct vtpm_host *host);
/* NOT_FOUND: that peer has left. */
MUST_USE enum status vtpm_host_reply(struct vtpm_host *host, uint64_t channel, struct bytes frame);
void vtpm_host_set_enclave(struct vtpm_host *host, bool up);
void vtpm_host_left(struct vtpm_host *host, uint64_t channel); /* the enclave closed a socket handed over */

bool vtpm_host_is_ready(const struct vtpm_host *host); /* the enclave is up, and who calls is listened to */
/* A question is with the enclave. */
bool vtpm_host_asks(const struct vtpm_host *host);
/* A SHUTDOWN was answered, or what `terminate` waits for came: nothing more will be. */
bool vtpm_host_is_shut_down(const struct vtpm_host *host);
/* The passphrase, INIT or the startup of our own was refused: its result, or 0. SWTPM_AUTH_FAIL is the passphrase's. */
uint32_t vtpm_host_refusal(const struct vtpm_host *host);

/* ---- The program around it ---- */

/* Standard error becomes what --log names. */
MUST_USE enum status vtpm_host_open_log(const struct vtpm_options *options, const char **why);
/* Into the background: the caller's process waits in here for a word of vtpm_host_settle(), or ends as its child did.
 * Without `daemon` nothing happens. Before threads, locks and sockets. */
MUST_USE enum status vtpm_host_leave(const struct vtpm_options *options, const char **why);
/* The sockets are there: writes the process id where --pid says, and lets who waits go. */
MUST_USE enum status vtpm_host_settle(const struct vtpm_options *options, const char **why);
/* Of our own code and constants only what goes on to be used stays mapped: of a start the kernel keeps all, and sixteen
 * pages around each that was touched, for each of many processes. What is used again is mapped again, from the same
 * file. Static programs. */
void vtpm_host_unmap_start(void);
void vtpm_host_harden(void);
/* A child that makes a device of this machine (/dev/tpmN) and carries its commands over the connection that is put
 * into `data`; the device's name goes to standard output once it is there. NOT_FOUND: the kernel has no proxy; IO.
 * Before threads. */
MUST_USE enum status vtpm_proxy_begin(struct vtpm_place *data, const char **why);
struct pump_archive;
/* What the enclave's store is kept in: -1, or a code to exit with; why was logged. */
typedef int vtpm_open_archive(const struct vtpm_options *options, struct pump_archive *archive);
/* Asks the monitor for the enclave, then opens the archive. Serves until SIGTERM, SIGINT, SHUTDOWN or what --terminate
 * waits for; gives the exit code (0 stopped as asked, 1 internal, 4 cannot bind or write a file, 9 the TPM refused INIT
 * or startup; 7, 8, 10, 11, 12 what the enclave, or the monitor in its place, refused; 15 the launch is not measured,
 * 16 the VM failed; or open_archive's). */
int vtpm_host_serve(const struct vtpm_options *options, vtpm_open_archive *open_archive);

#endif
