/* instance: the vTPMs of this home, from their making to their end — the directory that the node makes each of, what
 * its owner keeps of it, the process in front of it, and what is asked at its sockets.
 * Never sees a TPM's state; never has a key certified that was not appraised; never forgets one without its owner's
 * word.
 *
 *     node/instances/NAME/configuration, image    what the monitor makes it of (monitor/sites)
 *     owner/vtpm/NAME/instance.json               who it is; written first, so that a making that was cut is taken up
 *     owner/vtpm/NAME/policy                      its machine policy; node/instances/NAME/workload: what the node has
 *     owner/vtpm/NAME/ek-KIND.der, platform.der   its certificates, kept before they are put into it
 *     owner/vtpm/NAME/ca.der                      who signed them: another node's site CA, for one that came from there
 *     run/vtpm/NAME/tpm.ctrl, tpm, keys, transfer  its sockets; host.pid, host.log
 *
 * Functions that give an int give an enum cli_exit, and what went wrong was said. */
#ifndef BASTIDE_INSTANCE_H
#define BASTIDE_INSTANCE_H

#include "cli.h"
#include "ek.h"
#include "image.h"
#include "owner.h"
#include "swtpm.h"
#include "tpm2.h"
#include "vtpm_keys.h"

#define INSTANCE_NAME_MAX 47
#define INSTANCE_UUID_LEN 37 /* of the text, its NUL included */
#define INSTANCE_PRODUCT "vtpm"
#define INSTANCE_TENANT_MAX IMAGE_TENANT_MAX
#define INSTANCE_SOCKET_MAX 108
#define INSTANCE_ASK_MS 60000 /* of patience at a socket: a TPM may make RSA keys meanwhile */

/* ---- record.c: who a vTPM is, as its owner keeps it ---- */

struct instance_record {
    uint8_t id[IMAGE_SITE_LEN]; /* its VM's UUID */
    char tenant[INSTANCE_TENANT_MAX + 1];
    uint8_t measurement[IMAGE_HASH_LEN], signer[IMAGE_HASH_LEN]; /* of the image that it was certified with */
    uint32_t security_version;
    int64_t created_s;
    bool whole; /* its keys are certified, and the certificates are in it */
};

/* 1 to INSTANCE_NAME_MAX letters, digits and . _ - , a letter or digit first: as the monitor takes it, and a shell. */
bool instance_name_is_good(const char *name);
/* CLI_USAGE was said unless it is. */
int instance_check_name(const struct cli *cli, const char *name);
/* 8-4-4-4-12 hexadecimal digits, in either case. MALFORMED. */
MUST_USE enum status instance_take_uuid(const char *text, uint8_t id[IMAGE_SITE_LEN]);
void instance_put_uuid(const uint8_t id[IMAGE_SITE_LEN], char text[INSTANCE_UUID_LEN]);
/* 1 to INSTANCE_TENANT_MAX bytes of UTF-8 without control characters. */
bool instance_tenant_is_good(const char *tenant);

/* As a shell takes it for one word: in quotes where it needs them. Cut to cap. */
void instance_quote(const char *text, char *room, size_t cap);

/* gives: free the text. NULL: no memory. */
char *instance_record_encode(const struct instance_record *record);
/* MALFORMED: not all of it is there, or more. */
MUST_USE enum status instance_record_decode(struct bytes text, struct instance_record *record);
/* NOT_FOUND, MALFORMED, IO. */
MUST_USE enum status instance_record_load(const struct cli *cli, const char *name, struct instance_record *record);
int instance_record_save(const struct cli *cli, const char *name, const struct instance_record *record);

/* "rsa2048", "p256", "p384". */
const char *instance_kind_word(enum tpm2_ek_kind kind);
MUST_USE enum status instance_kind_of(const char *word, enum tpm2_ek_kind *kind); /* NOT_FOUND */
/* What of an EK certificate of ours is told or compared. Borrows. */
struct instance_certificate {
    int64_t not_before_s, not_after_s;
    struct bytes serial;
    struct bytes key; /* an RSA modulus, or 0x04 || x || y */
};
MUST_USE enum status instance_certificate_read(struct bytes der, struct instance_certificate *certificate);
/* NOT_FOUND, NO_ROOM, IO. */
MUST_USE enum status instance_certificate_load(const struct cli *cli, const char *name, enum tpm2_ek_kind kind,
                                               uint8_t room[EK_CERTIFICATE_MAX], struct bytes *der);
int instance_certificate_save(const struct cli *cli, const char *name, enum tpm2_ek_kind kind, struct bytes der);
/* The same of the platform certificate. */
MUST_USE enum status instance_platform_load(const struct cli *cli, const char *name, uint8_t room[EK_CERTIFICATE_MAX],
                                            struct bytes *der);
int instance_platform_save(const struct cli *cli, const char *name, struct bytes der);
/* The certificate of the site CA that signed them; of which nothing was kept, this home's. */
MUST_USE enum status instance_authority_load(const struct cli *cli, const char *name, uint8_t room[EK_CERTIFICATE_MAX],
                                             struct bytes *der);
int instance_authority_save(const struct cli *cli, const char *name, struct bytes der);

/* ---- place.c: its directories ---- */

struct instance {
    char name[INSTANCE_NAME_MAX + 1];
    bool has_record, has_place; /* owner/vtpm/NAME; a configuration in node/instances/NAME */
    bool is_foreign;            /* its configuration is another owner's, or of another mode */
    struct instance_record record;
    uint8_t id[IMAGE_SITE_LEN]; /* as the configuration has it, else the record */
    uint8_t config_id[IMAGE_HASH_LEN];
};

const char *instance_path(const struct cli *cli, const char *directory, const char *name, const char *file, char *room);
/* What there is by this name. CLI_NOT_FOUND: nothing at all; with `quiet` that is not said. */
int instance_look(const struct cli *cli, const char *name, bool quiet, struct instance *instance);
/* gives: free(names). Of all that there are, in order. */
int instance_list(const struct cli *cli, char (**names)[INSTANCE_NAME_MAX + 1], size_t *count);
/* owner/vtpm/NAME. */
int instance_make_record_place(const struct cli *cli, const char *name);
/* node/instances/NAME: configuration and a link to the image; what is there already stays. */
int instance_make_place(const struct cli *cli, const struct owner *owner, const char *name,
                        const uint8_t id[IMAGE_SITE_LEN], const char *image);
/* Its launch configuration, borrowing from `room`. */
int instance_read_configuration(const struct cli *cli, const char *name, uint8_t room[IMAGE_CONFIGURATION_MAX],
                                struct image_configuration *configuration);
/* node/instances/NAME and what is in it, where root made it, become this user's. */
int instance_give(const struct cli *cli, const char *name, uid_t user, gid_t group);
/* DIRECTORY/NAME and all below; what is not there is no failure. */
int instance_remove(const struct cli *cli, const char *directory, const char *name);
/* The directory its image is in, with links followed. False: there is none. */
bool instance_image(const struct cli *cli, const char *name, char image[PATH_MAX]);

/* ---- policy.c: what its owner lets happen to it ---- */

/* The owner's copy; where the node's is newer (his was lost, or stayed behind in a move), that. NOT_FOUND: there is
 * none; else as image_machine_open(). */
MUST_USE enum status instance_policy_load(const struct cli *cli, const struct crypto_public *owner,
                                          const struct instance *instance, struct image_machine *machine);
/* Of what the last one said (zeroed: there was none) and was changed in it: with the next serial, for this instance, to
 * both places. The key is unlocked. */
int instance_policy_sign(const struct cli *cli, const struct owner *owner, const struct instance *instance,
                         struct image_machine *machine);
bool instance_policy_is_lent(const struct cli *cli, const char *name);   /* the node's copy is the owner's */
uint32_t instance_policy_state_max(const struct image_machine *machine); /* bytes, also where it says nothing */

/* ---- process.c: bastide-vtpm in front of it ---- */

struct instance_sockets {
    char control[INSTANCE_SOCKET_MAX], data[INSTANCE_SOCKET_MAX], keys[INSTANCE_SOCKET_MAX];
    char transfer[INSTANCE_SOCKET_MAX]; /* where its state leaves and lands (proto/vtpm_transfer) */
};

/* CLI_USAGE: home and name together are too long for a socket's name. */
int instance_sockets(const struct cli *cli, const char *name, struct instance_sockets *sockets);
/* By a host end that was not begun here (libvirt's, say), whose sockets for its owner lie in node/instances/NAME: keys
 * and transfer become those. False: not, and they stay. */
bool instance_is_served(const struct cli *cli, const char *name, struct instance_sockets *sockets);
/* One program at a time begins, ends or makes an instance: waits its turn. The descriptor is the caller's to close. */
int instance_lock(const struct cli *cli, const char *name, int *lock);
/* What the monitor must be there for. CLI_UNREACHABLE was said. */
int instance_check_node(const struct cli *cli);
bool instance_is_running(const struct cli *cli, const char *name, pid_t *pid); /* pid may be NULL */
struct instance_how {
    bool on;      /* the TPM is switched on with it */
    bool relaxed; /* what it acknowledges is durable a second later */
};
/* In the background, and waits until it answers. */
int instance_start(const struct cli *cli, const char *name, struct instance_how how);
/* What bastide-vtpm is to start once the monitor measured it (docs/launch.md), in its own words. */
struct instance_launch {
    const char *parts, *cmdline; /* --launch, --launch-cmdline; NULL: not given */
    char *const *command;        /* ends in NULL */
};
/* This process becomes it. Comes back only to say why not. `launch` may be NULL. */
int instance_become(const struct cli *cli, const char *name, struct instance_how how,
                    const struct instance_launch *launch);
/* SHUTDOWN, then SIGTERM. *was: it ran. */
int instance_stop(const struct cli *cli, const char *name, bool *was);
/* All that run below this home; gives: free(names) of those that did. */
int instance_stop_all(const struct cli *cli, char (**names)[INSTANCE_NAME_MAX + 1], size_t *count);

/* ---- talk.c: what is asked at its sockets ---- */

/* A connection, which waits so long for each read and write. IO: nobody listens. */
MUST_USE enum status instance_reach(const char *path, int timeout_ms, int *fd);
/* One control command. IO, MALFORMED; whether it was refused is in the reply. */
MUST_USE enum status instance_control(const char *path, int timeout_ms, const struct swtpm_request *request,
                                      struct swtpm_reply *reply, uint8_t *room, size_t cap);
/* Its endorsement keys and the evidence over them (proto/vtpm). */
MUST_USE enum status instance_ask_keys(const char *path, struct bytes nonce, uint8_t room[VTPM_KEYS_ANSWER_MAX],
                                       struct bytes *answer);
/* And the attestation key that persists at this handle. */
MUST_USE enum status instance_ask_ak(const char *path, struct bytes nonce, uint32_t handle,
                                     uint8_t room[VTPM_KEYS_ANSWER_MAX], struct bytes *answer);
/* One TPM command: struct provision's `ask`, its user an int *, the data channel. */
MUST_USE enum status instance_ask_tpm(void *user, struct bytes command, struct writer *response);

/* ---- create.c, delete.c ---- */

struct instance_order {
    const char *name;
    const uint8_t *id;  /* NULL: as it is, else at random */
    const char *tenant; /* NULL: as it is, else "default" */
    const char *image;  /* a directory's whole path; of one that has an image it must be that */
    uint32_t state_max; /* its machine policy says so; 0: no word about it */
};

/* Makes it, appraises it against the session's pins, has the hub certify its keys and puts the certificates into it. It
 * is stopped afterwards. Said again, it goes on where it was cut; CLI_DENIED when it is whole already. */
int instance_create(const struct cli *cli, const struct instance_order *order, struct owner_session *session);
/* Stops it, has the monitor forget its head on the owner's word (the key is unlocked), removes all that is left. Said
 * again, it goes on where it was cut. */
int instance_delete(const struct cli *cli, const struct owner *owner, const struct instance *instance);

#endif
