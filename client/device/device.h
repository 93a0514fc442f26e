/* device: one device's side of a site — whom its owner told it to trust, its key and certificate, the highest freshness
 * it has seen — and the sessions that it opens with these: by a bare key to enrol, by its certificate from then on.
 * Never does I/O of its own, never sends anything to a hub that is not what the code described.
 *
 *     device_begin()  a code becomes a state: keep it, so that what is cut off goes on with the same key
 *     device_enrol()  in a session of device_edhoc(): the code for a certificate; then open another session
 *     device_renew()  when device_renewal_due(), in any session
 *
 * That the hub's monitor is measured needs no list of boot chains here: the key of the site CA, which signs the hub's
 * certificate, was made in an enclave that the owner verified, and opens under boot chains that the owner approved and
 * under no other. */
#ifndef BASTIDE_DEVICE_H
#define BASTIDE_DEVICE_H

#include "client.h"
#include "enrol.h"
#include "evidence.h"
#include "pki.h"
#include "x509.h"

#define DEVICE_STATE_MAX 3072 /* bytes of device_put() */
#define DEVICE_NAME_MAX X509_NAME_MAX

/* What a device's world does for it. */
struct device_host {
    /* Unix time; 0: the clock was never set, so dates are not checked. */
    int64_t (*now_s)(void *user);
    /* Keep this instead of what was kept before, durably, where nobody else reads it. Called before what changed
     * counts: a failure refuses it. */
    enum status (*keep)(void *user, struct bytes state);
    void *user;
};

struct device {
    struct enrol_reference reference;
    struct secret code;    /* the code's secret; empty once enrolled */
    struct crypto_key key; /* P-256 */
    uint8_t certificate[PKI_CERTIFICATE_MAX];
    size_t certificate_len; /* 0: not enrolled */
    struct evidence_freshness seen;

    struct device_host host;
    struct client_edhoc edhoc;
    uint8_t claims[128], id_cred[PKI_CERTIFICATE_MAX + 16], by_value[PKI_CERTIFICATE_MAX + 16];
    uint8_t config[EAT_HASH_LEN];    /* of the hub that is being met */
    struct evidence_result evidence; /* of the last session */
};

/* A state to be, with a new key: not kept yet. `host` is copied. */
MUST_USE enum status device_begin(struct device *device, const struct enrol_code *code, const struct device_host *host);
/* The state holds the private key. */
void device_put(struct writer *writer, const struct device *device);
MUST_USE enum status device_decode(struct bytes state, struct device *device, const struct device_host *host);
MUST_USE enum status device_keep(struct device *device); /* by its host */
void device_done(struct device *device);

/* As the owner named it; empty before it is enrolled. NUL-terminated. */
void device_name(const struct device *device, char name[DEVICE_NAME_MAX + 1]);
/* How its sessions begin. Borrowed from the device, which must stay where it is; a session opened before device_enrol()
 * stays a stranger's. */
const struct client_edhoc *device_edhoc(struct device *device);

/* The code for a certificate, in a session of device_edhoc(). Keeps the state. DENIED: the hub refuses the code; BUSY:
 * too many wrong codes there, try again in a minute; IO: the state could not be kept; otherwise as client_ask().
 * `why`: a sentence. */
MUST_USE enum status device_enrol(struct device *device, struct client *client, char *why, size_t cap);
bool device_renewal_due(const struct device *device);
/* Its next certificate, for the same key. The same answers. */
MUST_USE enum status device_renew(struct device *device, struct client *client, char *why, size_t cap);

#endif
