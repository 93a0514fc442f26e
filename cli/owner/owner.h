/* owner: the owner's side of a site — key and certificate, pins, first contact, appraisal, sessions with the hub.
 * Never accepts evidence that does not hang on a pin, except a first one in development mode, and says so then. */
#ifndef BASTIDE_OWNER_H
#define BASTIDE_OWNER_H

#include "cli.h"
#include "client.h"
#include "crypto.h"
#include "device.h"
#include "enrol.h"
#include "evidence.h"
#include "image.h"
#include "pki.h"

/* ---- identity.c: owner.key, owner.crt, configuration ---- */

struct owner {
    struct crypto_key key; /* empty while `locked` */
    bool locked;           /* the key is behind a passphrase */
    uint8_t encoded[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration; /* borrows from `encoded` */
};

/* The site of this home. CLI_NOT_FOUND was said when there is none yet; with `quiet` it is not. */
int owner_open(const struct cli *cli, bool quiet, struct owner *owner);
/* Before something is signed: asks for the passphrase when the key has one. CLI_DENIED was said otherwise. */
int owner_unlock(const struct cli *cli, struct owner *owner);
/* Makes key, certificate and configuration, for the owner and for the node. The key goes behind a passphrase, but in
 * development mode without --passphrase-file, and with `no_passphrase`. */
int owner_make(const struct cli *cli, bool insecure_dev, bool no_passphrase, struct owner *owner);
void owner_done(struct owner *owner);
/* In production the owner signs the node's boot chain: owner/boot_signer, lent to the node as node/monitor/boot_signer
 * for its first start. */
int owner_lend_boot_signer(const struct cli *cli);
void owner_take_boot_signer_back(const struct cli *cli);
/* Its public half, 0x04 || x || y, and with `key` the whole of it; made when there is none. */
int owner_boot_signer(const struct cli *cli, uint8_t public_half[65], struct crypto_key *key);

struct owner_image {
    struct image_manifest manifest;
    uint8_t measurement[IMAGE_HASH_LEN];
};
/* Reads the image, checks every file against the manifest, measures it. CLI_IMAGE was said when it is refused. */
int owner_measure(const struct cli *cli, const char *directory, struct owner_image *image);

/* ---- passphrase.c: from --passphrase-file or the terminal ---- */

struct owner_passphrase {
    uint8_t text[CRYPTO_PASSPHRASE_MAX];
    size_t len;
};

#define OWNER_PASSPHRASE __attribute__((cleanup(owner_passphrase_wipe))) struct owner_passphrase
void owner_passphrase_wipe(struct owner_passphrase *passphrase);
struct bytes owner_passphrase_bytes(const struct owner_passphrase *passphrase);
/* One to be. CLI_USAGE or CLI_DENIED was said. */
int owner_passphrase_new(const struct cli *cli, struct owner_passphrase *passphrase);
/* One that is: hands it to `unlock`, which says AUTH while it is the wrong one; on a terminal there are three tries.
 * `path` names the file for messages. */
int owner_passphrase_try(const struct cli *cli, const char *path,
                         enum status (*unlock)(void *context, struct bytes passphrase), void *context);

/* ---- pins.c: owner/pins.json, what evidence is held to ---- */

#define OWNER_BOOT_DIGESTS_MAX 4 /* the one that runs, and updates on their way */

struct owner_pins {
    uint8_t ek_name[TPM2_NAME_LEN], ak_name[TPM2_NAME_LEN];
    bool has_ek, has_ak;
    bool first_use;                                             /* the EK was pinned because it answered first */
    uint8_t boot_digests[OWNER_BOOT_DIGESTS_MAX][EAT_HASH_LEN]; /* boot chains that measure the monitor; newest first */
    size_t boot_digest_count;
    bool allow_unmeasured_monitor;
    bool require_measured_monitor; /* this once, of a development site too; not kept */
    uint8_t measurement[EAT_HASH_LEN];
    uint32_t required_walls;
    struct evidence_freshness seen;
};

/* NOT_FOUND; MALFORMED. */
MUST_USE enum status owner_pins_load(const struct cli *cli, struct owner_pins *pins);
/* The newest; what was there already moves to the front, what does not fit is forgotten. */
void owner_pins_add_boot(struct owner_pins *pins, const uint8_t digest[EAT_HASH_LEN]);
MUST_USE enum status owner_pins_save(const struct cli *cli, const struct owner_pins *pins);

/* ---- appraise.c ---- */

/* An appraisal link by link, for people. What was looked at later stands over what was before. */
struct owner_explanation {
    struct evidence_step hub; /* who answers: whose certificate, and whether it knows this owner */
    struct evidence_step links[EVIDENCE_LINK_COUNT];
};

/* Holds evidence to the pins. CLI_EVIDENCE was said, reason by reason, when it is refused; with an explanation (may be
 * NULL) that has them instead, and nothing was said. On success pins->seen is what was seen now, in memory only. */
int owner_appraise(const struct cli *cli, const struct owner *owner, struct owner_pins *pins, struct bytes evidence,
                   struct bytes nonce, struct evidence_result *result, struct owner_explanation *explanation);
/* The same for what came with an EDHOC session. */
int owner_appraise_session(const struct cli *cli, const struct owner *owner, struct owner_pins *pins,
                           const struct client_hub *hub, struct evidence_result *result,
                           struct owner_explanation *explanation);
#define OWNER_WALLS_ALL 0xf7fu
/* "secret-memory,lockdown". NOT_FOUND: `unknown` has the first name that is none. */
MUST_USE enum status owner_walls_parse(const char *list, uint32_t *walls, char *unknown, size_t cap);

/* ---- meeting.c: EDHOC as the owner ---- */

/* The owner's side of a session: by it the node's evidence is held to the pins before anything is sent. */
struct owner_meeting {
    const struct cli *cli;
    struct owner owner;
    struct owner_pins pins;
    struct crypto_key daily; /* owner/session.key, while it counts */
    uint8_t daily_certificate[PKI_CERTIFICATE_MAX];
    struct client_edhoc edhoc;
    uint8_t by_reference[32], by_value[PKI_CERTIFICATE_MAX + 16]; /* ID_CRED_I */
    struct evidence_result result;
    char product[EAT_PRODUCT_MAX + 1]; /* in it */
    const char *remote; /* the URL of a node that is not of this home: its TPM is asked through its gateway */
    bool changed;       /* the pins, since they were saved */
    int code;           /* what was said when hub or evidence was refused; with an explanation nothing was */
    struct owner_explanation *explanation; /* NULL: refusals are said */
};

/* `owner` is given; `pins` are copied. With the daily key, unless there is none or `by_root` says so; the owner's own
 * must be unlocked then. */
int owner_meeting_init(const struct cli *cli, struct owner_meeting *meeting, struct owner *owner,
                       const struct owner_pins *pins, bool by_root);
bool owner_has_daily_key(const struct cli *cli);
void owner_meeting_done(struct owner_meeting *meeting);
/* First contact, or once more after an upgrade: the evidence was accepted and, the first time, the TPM proved its keys.
 * Saves the pins and gives them back. As the root: signs the site CA where it is not signed yet, and has it certify a
 * daily key. */
int owner_meet(struct owner_meeting *meeting, const char *url);

/* ---- device.c: clients that enrolled on this machine ---- */

struct owner_device {
    struct device device;
    char path[PATH_MAX]; /* of its state */
};
/* gives. As device_decode(): MALFORMED when it is no device's state. */
MUST_USE enum status owner_device_decode(const struct cli *cli, const char *name, struct bytes state,
                                         struct owner_device **device);
/* gives: with a new key, kept. */
MUST_USE enum status owner_device_begin(const struct cli *cli, const struct enrol_code *code,
                                        struct owner_device **device);
void owner_device_free(struct owner_device *device);

/* ---- session.c ---- */

struct owner_session {
    struct client *client;
    struct owner_meeting *meeting; /* the owner's; NULL for a client */
    struct owner_device *device;   /* of a client that enrolled; owned */
    bool owns_meeting;
    bool answered; /* the hub has, so what is due can be renewed */
    int lock;      /* of such a client: a second program would begin its session anew under the first one's feet */
};

/* code.c: the code for this client, with what was just verified of the hub. `secret`: as the hub gave it. */
int owner_code(const struct owner_session *session, const char *name, const char *secret, char text[ENROL_TEXT_MAX]);

/* site.c: what the owner's own key is for. What went wrong was said. */
int owner_certify_site(struct owner_meeting *meeting, struct owner_session *session);
/* The daily key's next certificate, for long before the present one ends; so a failure is said and that is all. */
void owner_renew_daily(const struct owner_meeting *meeting, struct owner_session *session);

/* `name` NULL: the owner, by EDHOC. What is missing was said. */
int owner_session_open(const struct cli *cli, const char *name, const char *url, struct owner_session *session);
/* As the owner of this meeting, who stays the caller's. */
int owner_session_of(struct owner_meeting *meeting, const char *url, struct owner_session *session);
/* As a device, which is the session's from now on, and gone when there is none. */
int owner_session_of_device(const struct cli *cli, struct owner_device *device, const char *url,
                            struct owner_session *session);
void owner_session_close(struct owner_session *session);
/* Asks, and takes the answer's JSON apart (may be NULL). An answer that is no success was said, with the field that the
 * hub named, and so was none at all. answer->payload is the text as the hub wrote it. */
int owner_ask(const struct cli *cli, struct owner_session *session, const struct client_request *request,
              struct client_answer *answer, json_t **json);
/* The same for an answer that came otherwise. */
int owner_judge(const struct cli *cli, const char *path, const struct client_answer *answer, json_t **json);
/* Nobody answered, or not our hub. */
int owner_unanswered(const struct cli *cli, const struct owner_session *session, enum status status);
void owner_client_file(const struct cli *cli, const char *name, char *path);

#endif
