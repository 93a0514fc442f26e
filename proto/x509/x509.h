/* x509: the owner's PKI — who may issue what to whom, and whether a chain of certificates ends at the owner and names
 * the one that is expected.
 * Never makes keys or randomness, never looks at a clock, never keeps a list of what is revoked: all are passed in.
 *
 *     owner            self-signed, made on the owner's machine; given to everyone beforehand, whole or as its SHA-256
 *       └ site CA      key made in the hub's enclave; signed once the owner has verified its evidence
 *           └ hub · client · owner (a session of his) · node
 *
 * Who somebody is stands in one URI of the certificate, whose last part the common name repeats:
 * bastide://<site, 32 hex digits>/<role>/<name>. */
#ifndef BASTIDE_X509_H
#define BASTIDE_X509_H

#include "base.h"
#include "crypto.h"
#include "pki.h"

#define X509_CHAIN_MAX 4
#define X509_SITE_LEN 16
#define X509_NAME_MAX 64 /* letters, digits, . _ - and no leading dot */
#define X509_SERIAL_LEN 16
#define X509_HASH_LEN 32

/* ---- Identity ---- */

enum x509_role { X509_SITE_CA = 1, X509_HUB, X509_CLIENT, X509_OWNER, X509_NODE, X509_ROLE_COUNT };

struct x509_identity {
    uint8_t site[X509_SITE_LEN];
    enum x509_role role;
    struct bytes name; /* borrows */
};

const char *x509_role_word(enum x509_role role); /* "site-ca", "hub", …; "" for none */
/* MALFORMED: no such role, or no such name. */
MUST_USE enum status x509_put_uri(struct writer *writer, const struct x509_identity *identity);
/* MALFORMED for every text but the one that x509_put_uri() writes. */
MUST_USE enum status x509_identity_decode(struct bytes uri, struct x509_identity *identity);
/* The same of a certificate, whose common name must repeat the name. Borrows from what it was decoded from. */
MUST_USE enum status x509_identity_of(const struct pki_certificate *certificate, struct x509_identity *identity);

/* ---- Issuing ---- */

/* How long certificates are valid, from X509_BACKDATE_S before now on, so that a clock a little behind takes them; and
 * never longer than the issuer's own. */
#define X509_BACKDATE_S 300
#define X509_SITE_CA_DAYS 3650
#define X509_HUB_DAYS 90
#define X509_CLIENT_DAYS 365
#define X509_OWNER_DAYS 90
#define X509_NODE_DAYS 365

#define X509_OWNER_NAME "Bastide owner"

/* The owner's own certificate: self-signed, no end, one CA below it. `serial` is random. */
MUST_USE enum status x509_issue_root(struct writer *writer, const struct crypto_key *key,
                                     const uint8_t serial[X509_SERIAL_LEN], int64_t now_s);

struct x509_order {
    struct x509_identity identity;
    struct crypto_public key;        /* of the subject, who has proved that the private key is his */
    bool static_dh;                  /* the key is for Diffie-Hellman (EDHOC methods 1 to 3), not for signatures */
    uint8_t serial[X509_SERIAL_LEN]; /* random */
    int64_t now_s;
};

/* Appends the DER of the certificate. DENIED: the issuer may not, or `key` is not the key of its certificate.
 * MALFORMED: no such identity. */
MUST_USE enum status x509_issue(struct writer *writer, const struct crypto_key *key,
                                const struct pki_certificate *issuer, const struct x509_order *order);

/* Renewal begins when two thirds of the validity are over. False while the clock is unknown. */
bool x509_renewal_due(const struct pki_certificate *certificate, int64_t now_s);

/* ---- Checking ---- */

/* Why a chain is refused: a bit each, in x509_result.reasons. */
enum x509_reason {
    X509_MALFORMED,        /* no certificates, too many, or one that cannot be read; nothing else was looked at */
    X509_OTHER_OWNER,      /* the chain does not end at the owner's certificate */
    X509_BROKEN_CHAIN,     /* a certificate is not by the one that follows it */
    X509_BAD_SIGNATURE,    /* it names the right issuer, who did not sign it */
    X509_NOT_A_CA,         /* an issuer is none */
    X509_PATH_TOO_LONG,    /* more issuers than one of them allows */
    X509_KEY_USAGE,        /* the key may not be used for this */
    X509_UNKNOWN_CRITICAL, /* it holds what must be understood and is not */
    X509_NOT_YET_VALID,
    X509_EXPIRED,
    X509_IS_REVOKED,
    X509_NO_IDENTITY, /* no bastide:// name, or the common name does not repeat it */
    X509_OTHER_SITE,
    X509_WRONG_ROLE,
    X509_OTHER_NAME,
    X509_REASON_COUNT,
};

/* What a chain is held to. A zeroed policy accepts nothing. Everything in it is borrowed. */
struct x509_policy {
    struct bytes anchor;      /* the owner's certificate, DER; its dates do not count, for it was given beforehand */
    struct bytes anchor_hash; /* or its SHA-256 alone: then the chain must bring the certificate itself, last */
    struct bytes site;        /* X509_SITE_LEN, must be given */
    unsigned roles;           /* bit n: enum x509_role n is welcome; must be given */
    struct bytes name;        /* empty: any */
    unsigned usage;           /* enum pki_usage: what the key must be good for; must be given */
    int64_t now_s;            /* 0: the clock is unknown, so dates are not checked, and the result says so */
    bool (*is_revoked)(void *context, const struct pki_certificate *certificate); /* NULL: nothing is */
    void *context;
};

/* Borrows from the chain. */
struct x509_result {
    uint32_t reasons;              /* bit n: enum x509_reason n; 0: accepted */
    uint8_t at[X509_REASON_COUNT]; /* the first certificate with that reason, the end entity's is 0 */
    bool dates_unchecked;
    struct pki_certificate certificate; /* the end entity's; there unless MALFORMED */
    struct x509_identity identity;      /* there unless MALFORMED or NO_IDENTITY */
};

/* `chain`: the end entity first, each followed by its issuer; the owner's certificate may be left out at the end.
 * OK: accepted. DENIED: refused, the result says why. INTERNAL: the policy lacks what it must have. */
MUST_USE enum status x509_check_chain(const struct bytes *chain, size_t count, const struct x509_policy *policy,
                                      struct x509_result *result);

/* One sentence for people, naming what differed; for one reason of a result. NUL-terminated, cut to cap. */
void x509_sentence(enum x509_reason reason, const struct x509_policy *policy, const struct x509_result *result,
                   char *text, size_t cap);

#endif
