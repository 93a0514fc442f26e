/* provision: an owner's certificates for a new vTPM's endorsement keys, put where TPM users look for them and read back
 * (EK Credential Profile §2.2.1.4 and §3.4). By TPM 2.0 commands over whatever carries them; never does I/O of its own,
 * never judges a certificate.
 *
 * Each is written once: the index is the platform's, readable by everybody, and locked for good when it is whole. A
 * provisioning that was cut short is taken up by doing it again with the same certificates. It needs the platform
 * hierarchy with an empty password, so comes before a VM's firmware. */
#ifndef BASTIDE_PROVISION_H
#define BASTIDE_PROVISION_H

#include "base.h"

#define PROVISION_CERTIFICATE_MAX 2048
#define PROVISION_COMMAND_MAX 1024
#define PROVISION_RESPONSE_MAX 4096

struct provision {
    void *user;
    /* One TPM command to the TPM, its response appended. */
    enum status (*ask)(void *user, struct bytes command, struct writer *response);
    uint32_t refused; /* out: the response code with which the TPM refused, after DENIED; 0 when it did not */
};

/* OK also when exactly this certificate is there already, locked. DENIED: the TPM refused, or another certificate is
 * there, or an index of other attributes. NO_ROOM: too long. MALFORMED: no response of a TPM. */
MUST_USE enum status provision_certificate(struct provision *provision, uint32_t index, struct bytes certificate);
/* Appends the certificate. NOT_FOUND: there is none, or it is not whole yet. */
MUST_USE enum status provision_read(struct provision *provision, uint32_t index, struct writer *certificate);

/* A node's tags (proto/tag): one index each, of the platform's indices, readable by everybody, written once, locked,
 * and deleted by nobody for as long as the vTPM lives (TPMA_NV_POLICY_DELETE, with a policy that none meets). So a node
 * that moved gets one more, of a higher serial, and shows what it had before. */
#define PROVISION_TAG_INDEX 0x01410000u /* this and the next PROVISION_TAGS_MAX - 1 */
#define PROVISION_TAGS_MAX 8

/* Into the first index that is free, or that has the beginning of just this one. OK also when it is there already.
 * DENIED: the TPM refused; NO_ROOM: all are taken. */
MUST_USE enum status provision_tag(struct provision *provision, struct bytes tag);
/* NOT_FOUND: nothing whole in that slot. Whoever had the platform's hierarchy may have put anything there: the tag that
 * counts is the one of the highest serial among those that tag_open() takes. */
MUST_USE enum status provision_read_tag(struct provision *provision, uint32_t slot, struct writer *tag);

#endif
