/* enrol: the one-time code that a device enrols with — one line of text in which its owner tells it whom to trust, and
 * the proof that it is invited. Never decides anything; holds a secret, which is the caller's to wipe.
 *
 *     bastide:BASE64URL       of CBOR [1, secret, name, reference]
 *
 * A device that knows nothing but this line refuses another owner's genuine hub, another enclave and another TPM. */
#ifndef BASTIDE_ENROL_H
#define BASTIDE_ENROL_H

#include "base.h"

#define ENROL_SECRET_LEN 16
#define ENROL_SITE_LEN 16
#define ENROL_HASH_LEN 32
#define ENROL_NAME_MAX 64
#define ENROL_PRODUCT_MAX 64
#define ENROL_REFERENCE_MAX 256
#define ENROL_TEXT_MAX 500 /* of a code, its NUL included */

/* What a hub is held to: reference values that its owner verified. They outlive updates of the image, which keep signer
 * and product, and of the boot chain, for what opens the hub's keys vouches for that. */
struct enrol_reference {
    uint8_t site[ENROL_SITE_LEN];
    uint8_t owner[ENROL_HASH_LEN]; /* SHA-256 of the owner's certificate */
    uint8_t ak[ENROL_HASH_LEN];    /* SHA-256 of the attestation key's public area, as in its TPM name */
    uint8_t signer[ENROL_HASH_LEN];
    char product[ENROL_PRODUCT_MAX + 1];
    uint32_t min_security_version;
    uint32_t required_walls; /* enum eat_wall */
    bool insecure_dev;       /* a development node is good enough */
    bool unmeasured_monitor; /* and so is a monitor that no boot chain measured */
};

/* CBOR [site, owner, ak, signer, product, version, walls, insecure_dev, unmeasured_monitor]. */
void enrol_put_reference(struct writer *writer, const struct enrol_reference *reference);
MUST_USE enum status enrol_reference_decode(struct bytes encoded, struct enrol_reference *reference);

struct enrol_code {
    uint8_t secret[ENROL_SECRET_LEN];
    char name[ENROL_NAME_MAX + 1]; /* of the client to be */
    struct enrol_reference reference;
};

/* NUL-terminated; NO_ROOM. */
MUST_USE enum status enrol_code_encode(const struct enrol_code *code, char *text, size_t cap);
/* Spaces and line ends around it are passed over. UNSUPPORTED: of another version. */
MUST_USE enum status enrol_code_decode(const char *text, struct enrol_code *code);

#endif
