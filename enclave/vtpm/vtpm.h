/* vtpm: a TPM 2.0 (libtpms) for one VM — TPM commands and swtpm's control commands in, answers out, all state in the
 * sealed store. Never does I/O of its own: what arrives is handed in, what leaves goes through vtpm_port; never answers
 * what is not yet durable; never gives out state but sealed for one receiver, authorised beforehand.
 *
 * One instance a process, for libtpms is one; its id is the site id of the launch configuration, so another instance's
 * store does not open here. What crosses the door, with the channel's number as id:
 *   DOOR_REQUEST  door_request with DOOR_VTPM_CONTROL or DOOR_VTPM_DATA, then one whole frame (proto/swtpm); or
 *                 DOOR_VTPM_KEYS, then a question for its endorsement keys (proto/vtpm); or DOOR_VTPM_TRANSFER, then
 *                 a question about where its state is and goes (proto/vtpm_transfer); or DOOR_VTPM_UNLOCK, then a
 *                 passphrase
 *   DOOR_REPLY    the frame that answers it; each request has one
 * Beside it one data socket may be handed over, which is read and answered here. The host end could read it as it reads
 * what it relays: it sees every command and may make up its own, as whoever owns a TPM's bus may, but not the state,
 * nor may it bring an earlier one back.
 *
 * Memory: a request is copied into the queue or handled where it is; libtpms copies what it keeps; the permanent state
 * exists three times, in libtpms, as vtpm_state for comparison, and in the store's tables. */
#ifndef BASTIDE_VTPM_H
#define BASTIDE_VTPM_H

#include "abi.h"
#include "base.h"
#include "image.h"

#define VTPM_STATE_MAX IMAGE_STATE_MAX /* of the permanent state: written twice over it is one record of the store */
/* What is left of it for an index or a persistent object more, and below that for the state that TPM2_Shutdown saves:
 * it never comes past its limit, and a shutdown is never refused. */
#define VTPM_GROWTH_MAX (6u * 1024u)
#define VTPM_SHUTDOWN_MAX (4u * 1024u)
#define VTPM_QUEUE_MAX 64 /* requests that wait; VTPM_QUEUE_BYTES of them */
#define VTPM_QUEUE_BYTES (1u << 20)
/* In PCR 17 is what the VM was started from, if it was measured: one D-RTM event over its launch record (proto/image),
 * so SHA-256: H(zeros || launch digest). The node's own vTPM has in PCR 18 one event for each measured launch of the
 * node since the monitor began, over {site id, launch record}, beginning from zeros. */
#define VTPM_LAUNCH_PCR 17
#define VTPM_LAUNCH_LOG_PCR 18
#define VTPM_LAUNCH_EVENT (IMAGE_SITE_LEN + IMAGE_LAUNCH_LEN)
#define VTPM_RETRY_MS 2000 /* between attempts to make a commit durable */

/* What it asks of the world. Everything but `advance` answers at once. */
struct vtpm_port {
    void *user;
    /* One message to the host: parts taken one after the other. Waits for room; IO when the host is gone for good. */
    enum status (*send)(void *user, enum door_operation operation, uint64_t id, const struct bytes *parts,
                        size_t count);
    /* Ask the monitor to move the head, and to keep the record that it names, unless that is empty; the answer comes by
     * vtpm_advanced(), not before this returned. */
    enum status (*advance)(void *user, const struct monitor_advance *advance, struct bytes record);
    enum status (*record)(void *user, uint64_t sequence, struct writer *record); /* one that the monitor keeps */
    enum status (*head)(void *user, struct monitor_head_reply *head);
    enum status (*seal_key)(void *user, const struct monitor_seal *seal, struct monitor_seal_reply *reply);
    enum status (*report)(void *user, const struct monitor_report *report, struct writer *evidence);
    /* What the monitor measured for the VM of this host end; NOT_FOUND: nothing. */
    enum status (*launch)(void *user, struct monitor_launch *launch);
    /* The node's measured launches from number `from` on, as many as it gives at once: asked by the node's own vTPM. */
    enum status (*launches)(void *user, uint64_t from, struct monitor_vm vms[MONITOR_LAUNCHES_MAX], size_t *count);
    /* Never goes back: by it the TPM's clock runs, and a lockout ends. Not the host's word. */
    uint64_t (*clock_ms)(void *user);
};

/* The data socket, if one was handed over; nothing here waits. */
struct vtpm_socket_port {
    /* BUSY: nothing there now, no room now; any other failure is its end. */
    enum status (*receive)(uint8_t *room, size_t cap, size_t *len);
    enum status (*send)(struct bytes data, size_t *sent);
    void (*close)(void);
};

struct vtpm_config {
    struct vtpm_port port;
    struct vtpm_socket_port socket; /* zero: none will be */
    uint32_t buffer_max; /* 0: the most there is; of a TPM command and a response, as SET_BUFFERSIZE may choose; libtpms
                            takes 2808 to 4096 */
};

struct vtpm;

/* First of all, in an enclave: libcrypto offers what libtpms and the crypto room use, and nothing else. */
void vtpm_use_algorithms(void);

/* Whose instance this is and the owner's machine policy for it, of what the monitor says, which `whose` borrows from.
 * As image_machine_open(); `why` has a sentence then. */
MUST_USE enum status vtpm_policy_read(struct bytes configuration, struct bytes workload,
                                      struct image_configuration *whose, struct image_machine *machine,
                                      struct writer *why);

/* Call after crypto_init() and before the walls go up. NO_ROOM: a limit out of range, or memory; WRONG_STATE: there is
 * one in this process. */
MUST_USE enum status vtpm_new(struct vtpm **vtpm, const struct vtpm_config *config);
void vtpm_free(struct vtpm *vtpm); /* NULL is allowed */
/* Before it is started: a TPM is made, started and forgotten, so that the memory that takes was touched before somebody
 * waits for it. False: it could not be, and will cost a start its time. */
bool vtpm_rehearse(struct vtpm *vtpm);

/* Begin to load the store of that instance: NULL: nobody's who could grant anything; and with that policy: NULL: none.
 * Neither is kept. What is asked before it is loaded waits. The TPM is off until a control INIT. */
MUST_USE enum status vtpm_start(struct vtpm *vtpm, const struct image_configuration *whose,
                                const struct image_machine *machine);
/* One message from the host. A malformed one is dropped and said in the audit log. */
void vtpm_receive(struct vtpm *vtpm, const struct door_header *header, struct bytes payload);
/* The monitor's answer to `advance`. */
void vtpm_advanced(struct vtpm *vtpm, enum status status, const struct monitor_head_reply *head);

/* Another data socket is there in place of the former, whose commands and answers are forgotten. */
void vtpm_took_socket(struct vtpm *vtpm);
/* `ready`: as far as is known there is something to receive, or room to send. What to wait for then, as poll(2) has it:
 * 0 while a commit is under way and once it is closed. A peer is heard again when it has taken its answer. */
MUST_USE short vtpm_serve_socket(struct vtpm *vtpm, bool ready);

/* 0 while it lives; otherwise it must stop, with this exit code and sentence. */
int vtpm_exit_code(const struct vtpm *vtpm, const char **sentence);

#endif
