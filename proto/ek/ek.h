/* ek: certificates for the endorsement keys and platforms of TPMs that are ours, as TCG has them (EK Credential Profile
 * for TPM Family 2.0, §3): what a TPM user's tools expect of a maker's, and beside it which instance, whose, and
 * running what. A verifier reads them with whatever reads a maker's; what is our own in a platform's is read here.
 *
 *     subject            CN = the instance's name
 *     subjectAltName     TPM manufacturer, model, version; and bastide://<site>/vtpm/<instance>
 *     extendedKeyUsage   2.23.133.8.1 (tcg-kp-EKCertificate)
 *     subjectDirectoryAttributes   the TPM specification: "2.0", level 0, revision 164 (1.64)
 *     EK_BINDING         SEQUENCE { tenant UTF8String, measurement OCTET STRING, signer OCTET STRING } */
#ifndef BASTIDE_EK_H
#define BASTIDE_EK_H

#include "base.h"
#include "crypto.h"
#include "pki.h"

#define EK_CERTIFICATE_MAX 2048
#define EK_RSA_LEN 256 /* bytes of an RSA-2048 modulus */
#define EK_NAME_MAX 64
#define EK_TENANT_MAX 64
#define EK_HASH_LEN 32
#define EK_SITE_LEN 16
#define EK_MANUFACTURER "id:42415354" /* "BAST": ours, and registered with nobody */
#define EK_BINDING "2.25.61509093945284629100882998358777714458"

/* NV indices of the certificates and of the templates that make the keys (EK Credential Profile §2.2.1.4, §2.2.1.5). */
#define EK_INDEX_RSA_2048 0x01c00002u
#define EK_INDEX_P256 0x01c0000au
#define EK_INDEX_P384 0x01c00016u

/* What a CA says of any certificate. */
struct ek_terms {
    uint8_t site[EK_SITE_LEN]; /* whose CA certifies */
    struct bytes serial;       /* random, 1 to PKI_SERIAL_MAX bytes, positive */
    int64_t not_before_s, not_after_s;
};

struct ek_order {
    struct ek_terms terms;
    struct bytes rsa;              /* the modulus of an RSA-2048 key whose exponent is 65537; or */
    struct crypto_public key;      /* P-256 or P-384 */
    uint8_t instance[EK_SITE_LEN]; /* the vTPM's own id, which its VM has as its UUID */
    struct bytes name;             /* of the instance: 1 to EK_NAME_MAX of letters, digits and . _ - */
    struct bytes tenant;           /* 1 to EK_TENANT_MAX bytes of UTF-8 */
    struct bytes model, version;   /* of the TPM: 1 to 32 letters and digits each, and a version of 8 hex digits */
    uint8_t measurement[EK_HASH_LEN], signer[EK_HASH_LEN]; /* of vtpm.enclave */
};

/* Appends the DER, signed by the issuer's key. MALFORMED: a field out of its range. DENIED: the issuer may not sign
 * certificates, or `key` is not its key. */
MUST_USE enum status ek_certificate_sign(struct writer *writer, const struct crypto_key *key,
                                         const struct pki_certificate *issuer, const struct ek_order *order);

/* ---- platform.c: of the platform that the TPM is part of: a VM's, on the node where it was made ---- */

/* An attribute certificate (RFC 5755, TCG Platform Certificate Profile 1.1), for NV:
 *
 *     holder             the certificate of one of its endorsement keys: the same issuer, by its number
 *     subjectAltName     platform manufacturer "Bastide", model, version, serial = the VM's UUID; and the URI as above
 *     attributes         TCG's platform specification (class virtualization), credential specification and type; and
 *     EK_PLATFORM        SEQUENCE { tenant UTF8String, node OCTET STRING, configuration OCTET STRING,
 *                        measurement OCTET STRING }: where, as what and in which image of vtpm.enclave it was made */
#define EK_INDEX_PLATFORM 0x01c08000u
#define EK_PLATFORM "2.25.122898915368401732794719524281580743377"
#define EK_NODE_LEN 34 /* name of the node's endorsement key (TPM2_NAME_LEN) */

struct ek_platform {
    struct ek_terms terms;
    struct bytes holder; /* serial number of the endorsement key's certificate */
    uint8_t instance[EK_SITE_LEN];
    struct bytes tenant;         /* as in struct ek_order */
    struct bytes model, version; /* 1 to 32 letters and digits each */
    uint8_t node[EK_NODE_LEN];
    uint8_t configuration[EK_HASH_LEN], measurement[EK_HASH_LEN];
};

/* As ek_certificate_sign(). */
MUST_USE enum status ek_platform_sign(struct writer *writer, const struct crypto_key *key,
                                      const struct pki_certificate *issuer, const struct ek_platform *order);
/* One that this CA signed, with nothing behind it; instance, model, version and validity are not looked at. Borrows.
 * AUTH: it did not; MALFORMED: it is none of these. */
MUST_USE enum status ek_platform_open(struct bytes der, const struct pki_certificate *issuer,
                                      struct ek_platform *platform);

#endif
