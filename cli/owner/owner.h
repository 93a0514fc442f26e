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
#include "token.h"

/* ---- identity.c: owner.key, owner.crt, configuration ---- */

struct owner {
    struct crypto_key key; /* empty while `locked` and not unlocked */
    bool locked;           /* the key is behind a passphrase, or: */
    bool in_token;         /* behind a token's PIN, and never here */
    bool made_in_token;    /* just now */
    struct token *token;   /* while unlocked; signs for `key` */
    uint8_t encoded[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration; /* borrows from `encoded` */
};

/* The site of this home. CLI_NOT_FOUND was said when there is none yet; with `quiet` it is not. */
int owner_open(const struct cli *cli, bool quiet, struct owner *owner);
/* Before something is signed: asks for the passphrase when the key has one. CLI_DENIED was said otherwise. */
int owner_unlock(const struct cli *cli, struct owner *owner);
bool owner_has_site(const struct cli *cli);
/* All but the key. */
int owner_open_site(const struct cli *cli, struct owner *owner);

/* Where the key is to be. Zeroed: in owner.key, behind a passphrase but in development mode without --passphrase-file.
 */
struct owner_place {
    bool no_passphrase;
    const char *token_uri, *token_module; /* --owner-key, --pkcs11-module */
};
/* CLI_USAGE was said. */
int owner_place_check(const struct cli *cli, const char *command, const struct owner_place *place);
/* Makes key, certificate and configuration, for the owner and for the node. A key that a token has already is taken. */
int owner_make(const struct cli *cli, bool insecure_dev, const struct owner_place *place, struct owner *owner);
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

/* ---- token.c: the key in a PKCS #11 token, which owner/owner.token names ---- */

/* Of a site that there is: its key is in this token from now on, and unlocked. CLI_DENIED: another key is. */
int owner_open_by_token(const struct cli *cli, const struct owner_place *place, struct owner *owner);
/* What identity.c needs. `place` NULL: as owner.token has it. */
bool owner_token_is_named(const struct cli *cli);
int owner_token_make(const struct cli *cli, const struct owner_place *place, struct owner *owner);
int owner_token_unlock(const struct cli *cli, const struct owner_place *place, struct owner *owner);
MUST_USE enum status owner_token_save(const struct cli *cli, const struct owner *owner);
/* Why nothing could be signed: the token's sentence, else the status. */
const char *owner_signing_problem(const struct owner *owner, enum status status);

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
/* One that is, or a PIN. `what` wants it, for messages: "… is behind a passphrase". */
int owner_passphrase_get(const struct cli *cli, const char *what, const char *question,
                         struct owner_passphrase *passphrase);
/* The owner key's: hands it to `unlock`, which says AUTH while it is the wrong one; on a terminal there are three
 * tries. `path` names the file for messages. */
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
struct vtpm_appraisal;
struct vtpm_quote;
struct vtpm_walk;
/* A vTPM that is to be who it is said to be. Borrows. */
struct owner_vtpm {
    const struct image_configuration *configuration; /* its own: this owner, its id */
    const uint8_t *measurement;                      /* EAT_HASH_LEN: of its image */
    struct bytes workload;                           /* EAT_HASH_LEN: of its machine policy; empty: any */
};
/* What its evidence is held to: the pins, and nothing that was seen. The nonce is the asker's to set. Borrows. */
struct owner_references {
    uint8_t measurements[1][EAT_HASH_LEN];
    uint8_t config_dev[CRYPTO_HASH_MAX];
    struct evidence_policy policy;
};
void owner_vtpm_references(const struct owner_pins *pins, const struct owner_vtpm *vtpm,
                           struct owner_references *references);
/* Its endorsement keys (proto/vtpm) held to the pins: on this node, behind the walls that they require. */
int owner_appraise_vtpm(const struct cli *cli, const struct owner *owner, struct owner_pins *pins,
                        const struct owner_vtpm *vtpm, struct bytes answer, struct bytes nonce,
                        struct vtpm_appraisal *appraisal);
/* A VM's quote by an attestation key that the answer is about, held to the pins; both with the quote's nonce. The
 * evidence's links are told in `links`. CLI_EVIDENCE: refused, which was not said. */
int owner_walk_vtpm(const struct cli *cli, const struct owner *owner, const struct owner_pins *pins,
                    const struct owner_vtpm *vtpm, const struct vtpm_quote *quote, struct bytes answer,
                    struct vtpm_walk *walk, struct evidence_step links[EVIDENCE_LINK_COUNT]);
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
    struct bytes
        authorities;    /* PEM: CAs of TPM makers, one of which is to vouch for the EK at first contact; borrowed */
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
/* Asks, and takes the answer's JSON apart (NULL: it need not be JSON). An answer that is no success was said, with the
 * field that the hub named, and so was none at all. answer->payload is the text as the hub wrote it. */
int owner_ask(const struct cli *cli, struct owner_session *session, const struct client_request *request,
              struct client_answer *answer, json_t **json);
/* The same for an answer that came otherwise. */
int owner_judge(const struct cli *cli, const char *path, const struct client_answer *answer, json_t **json);
/* Nobody answered, or not our hub. */
int owner_unanswered(const struct cli *cli, const struct owner_session *session, enum status status);
void owner_client_file(const struct cli *cli, const char *name, char *path);

#endif
