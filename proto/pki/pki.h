/* pki: X.509 certificates (RFC 5280) and PKCS #10 requests (RFC 2986), bytes to a plain struct and back, in one strict
 * DER profile with named limits.
 * Never allocates beside the crypto room, never looks at a clock or a locale, never decides whom to trust: the x509
 * room does.
 *
 * The crypto room gives the hashes and signatures, and no more: libcrypto's decoder reads BER as well and takes as long
 * as two signature checks, and small libraries have none for URI names and key identifiers. So what is accepted does
 * not depend on the library behind the crypto room. crypto_init() comes first. */
#ifndef BASTIDE_PKI_H
#define BASTIDE_PKI_H

#include "base.h"
#include "crypto.h"

#define PKI_CERTIFICATE_MAX 2048
#define PKI_REQUEST_MAX 1024
#define PKI_SERIAL_MAX 20
#define PKI_NAME_MAX 256 /* bytes of a distinguished name in DER */
#define PKI_COMMON_NAME_MAX 64
#define PKI_URI_MAX 192
#define PKI_KEY_ID_MAX 32
#define PKI_KEY_ID_LEN 20 /* of those we make: SHA-256 of the key, cut (RFC 7093 §2) */
#define PKI_EXTENSIONS_MAX 16

#define PKI_NO_END 253402300799 /* 9999-12-31T23:59:59Z: valid without an end (RFC 5280 §4.1.2.5) */

/* keyUsage: bit n of the extension is bit n here (§4.2.1.3). */
enum pki_usage {
    PKI_DIGITAL_SIGNATURE = 1 << 0,
    PKI_NON_REPUDIATION = 1 << 1,
    PKI_KEY_ENCIPHERMENT = 1 << 2,
    PKI_DATA_ENCIPHERMENT = 1 << 3,
    PKI_KEY_AGREEMENT = 1 << 4,
    PKI_KEY_CERT_SIGN = 1 << 5,
    PKI_CRL_SIGN = 1 << 6,
    PKI_ENCIPHER_ONLY = 1 << 7,
    PKI_DECIPHER_ONLY = 1 << 8,
};

/* extendedKeyUsage (§4.2.1.12). */
enum pki_purpose {
    PKI_SERVER_AUTH = 1 << 0,
    PKI_CLIENT_AUTH = 1 << 1,
    PKI_ANY_PURPOSE = 1 << 2,
    PKI_OTHER_PURPOSE = 1 << 3, /* read, never written */
};

enum pki_algorithm {
    PKI_ECDSA_SHA256 = 1,
    PKI_ECDSA_SHA384,
    PKI_ECDSA_SHA512,
    PKI_ED25519,
};

/* Everything that points borrows: decoded from the certificate, to be signed from the caller. Empty, 0 or false is what
 * is not there, but for path_len. */
struct pki_certificate {
    struct bytes serial;          /* a positive number, big endian, no longer than needed; 20 bytes with its sign */
    struct bytes issuer, subject; /* distinguished names, DER; pki_put_name() makes one */
    struct bytes common_name;     /* the subject's, UTF-8; read, not written */
    struct crypto_public key;
    int64_t not_before_s, not_after_s; /* Unix time, both included */
    bool is_ca, has_path_len;
    uint16_t path_len;                     /* CA certificates that may follow below this one */
    unsigned usage, purposes;              /* 0: the extension is not there */
    struct bytes uri;                      /* the one URI in subjectAltName */
    struct bytes key_id, authority_key_id; /* SKI, AKI; pki_certificate_sign() fills an empty key_id in */
    bool unknown_critical;                 /* an extension that we do not know must not be passed over */
    enum pki_algorithm algorithm;          /* of the signature; these three are read, not written */
    struct bytes signed_part, signature;
};

/* One certificate with nothing behind it. Its signature is not checked here. MALFORMED: not DER, not X.509, a rule of
 * RFC 5280 broken (a serial that is not positive, an extension twice, a date that is none, two URIs or two common
 * names …). UNSUPPORTED: another version than 3, unique identifiers, names in
 * other strings than UTF8String, PrintableString and IA5String, keys other than P-256, P-384, Ed25519 and X25519,
 * other signatures than pki_algorithm has. NO_ROOM: beyond one of the limits above. */
MUST_USE enum status pki_certificate_decode(struct bytes der, struct pki_certificate *certificate);
/* AUTH unless `issuer` signed it. */
MUST_USE enum status pki_certificate_verify(const struct pki_certificate *certificate,
                                            const struct crypto_public *issuer);
/* Appends the DER, signed by `issuer` with its curve's own hash. MALFORMED for what decode would refuse, NO_ROOM. */
MUST_USE enum status pki_certificate_sign(struct writer *writer, const struct crypto_key *issuer,
                                          const struct pki_certificate *certificate);

/* The distinguished name CN=common_name in DER. MALFORMED unless it is 1 to PKI_COMMON_NAME_MAX bytes of UTF-8 without
 * control characters. */
MUST_USE enum status pki_put_name(struct writer *writer, struct bytes common_name);
/* The key identifier that certificates of ours give a key. */
MUST_USE enum status pki_key_id(const struct crypto_public *key, uint8_t id[PKI_KEY_ID_LEN]);

/* For certificates of another shape (proto/ek). AlgorithmIdentifier of this key's signatures; and the whole thing,
 * SEQUENCE { signed_part, AlgorithmIdentifier, BIT STRING }. */
void pki_put_algorithm(struct writer *writer, enum crypto_curve signer);
MUST_USE enum status pki_put_signed(struct writer *writer, const struct crypto_key *key, struct bytes signed_part);

struct pki_request {
    struct bytes subject, common_name; /* borrow */
    struct crypto_public key;
};

/* Appends a request of `key` for itself. UNSUPPORTED for X25519, which cannot sign. */
MUST_USE enum status pki_request_sign(struct writer *writer, const struct crypto_key *key, struct bytes common_name);
/* AUTH unless the key in it signed it; otherwise as pki_certificate_decode(). Attributes are passed over: what is asked
 * for is decided by whoever issues. */
MUST_USE enum status pki_request_open(struct bytes der, struct pki_request *request);

#endif
