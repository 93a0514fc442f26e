/* Issuing: a table of what a certificate of each role says, and who may sign it. Secret: the issuer's key alone. */
#include "x509.h"

#include <string.h>

#define DAY_S 86400
#define URI_CAP 128

static const struct profile {
    int64_t days;
    unsigned usage, purposes;
    bool is_ca;
} profiles[X509_ROLE_COUNT] = {
    [X509_SITE_CA] = {X509_SITE_CA_DAYS, PKI_KEY_CERT_SIGN, 0, true},
    [X509_HUB] = {X509_HUB_DAYS, PKI_DIGITAL_SIGNATURE, PKI_SERVER_AUTH, false},
    [X509_CLIENT] = {X509_CLIENT_DAYS, PKI_DIGITAL_SIGNATURE, PKI_CLIENT_AUTH, false},
    [X509_OWNER] = {X509_OWNER_DAYS, PKI_DIGITAL_SIGNATURE, PKI_CLIENT_AUTH, false},
    [X509_NODE] = {X509_NODE_DAYS, PKI_DIGITAL_SIGNATURE, PKI_CLIENT_AUTH, false},
};

/* Positive, and as long for every certificate. */
static struct bytes serial_of(const uint8_t random[X509_SERIAL_LEN], uint8_t serial[X509_SERIAL_LEN])
{
    memcpy(serial, random, X509_SERIAL_LEN);
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
    return bytes_from(serial, X509_SERIAL_LEN);
}

enum status x509_issue_root(struct writer *writer, const struct crypto_key *key, const uint8_t random[X509_SERIAL_LEN],
                            int64_t now_s)
{
    uint8_t name[PKI_NAME_MAX], serial[X509_SERIAL_LEN], key_id[PKI_KEY_ID_LEN];
    struct writer names = writer_over(name, sizeof name);
    TRY(pki_put_name(&names, bytes_from_text(X509_OWNER_NAME)));
    TRY(pki_key_id(&key->public_key, key_id));
    const struct pki_certificate root = {
        .serial = serial_of(random, serial),
        .issuer = writer_bytes(&names),
        .subject = writer_bytes(&names),
        .key = key->public_key,
        .not_before_s = now_s - X509_BACKDATE_S,
        .not_after_s = PKI_NO_END,
        .is_ca = true,
        .has_path_len = true,
        .path_len = 1,
        .usage = PKI_DIGITAL_SIGNATURE | PKI_KEY_CERT_SIGN | PKI_CRL_SIGN,
        .key_id = BYTES_OF(key_id),
        .authority_key_id = BYTES_OF(key_id),
    };
    return pki_certificate_sign(writer, key, &root);
}

/* Nothing is issued that x509_check_chain() would refuse. */
static bool may_issue(const struct pki_certificate *issuer, const struct x509_order *order)
{
    struct x509_identity identity;
    if (!issuer->is_ca || !(issuer->usage & PKI_KEY_CERT_SIGN))
        return false;
    if (profiles[order->identity.role].is_ca && issuer->has_path_len && issuer->path_len == 0)
        return false;
    if (issuer->uri.len == 0) /* the owner */
        return bytes_equal(issuer->issuer, issuer->subject);
    return x509_identity_of(issuer, &identity) == OK && identity.role == X509_SITE_CA &&
           order->identity.role != X509_SITE_CA &&
           memcmp(identity.site, order->identity.site, sizeof identity.site) == 0;
}

enum status x509_issue(struct writer *writer, const struct crypto_key *key, const struct pki_certificate *issuer,
                       const struct x509_order *order)
{
    uint8_t name[PKI_NAME_MAX], serial[X509_SERIAL_LEN], uri[URI_CAP];
    struct writer names = writer_over(name, sizeof name), uris = writer_over(uri, sizeof uri);
    TRY(x509_put_uri(&uris, &order->identity));
    TRY(pki_put_name(&names, order->identity.name));
    const struct profile *profile = &profiles[order->identity.role];
    if (!may_issue(issuer, order) ||
        !bytes_equal(crypto_public_bytes(&issuer->key), crypto_public_bytes(&key->public_key)))
        return DENIED;
    struct pki_certificate made = {
        .serial = serial_of(order->serial, serial),
        .issuer = issuer->subject,
        .subject = writer_bytes(&names),
        .key = order->key,
        .not_before_s = order->now_s - X509_BACKDATE_S,
        .not_after_s = order->now_s + profile->days * DAY_S,
        .is_ca = profile->is_ca,
        .has_path_len = profile->is_ca,
        .usage = order->static_dh && !profile->is_ca ? PKI_KEY_AGREEMENT : profile->usage,
        .purposes = profile->purposes,
        .uri = writer_bytes(&uris),
        .authority_key_id = issuer->key_id,
    };
    if (made.not_after_s > issuer->not_after_s)
        made.not_after_s = issuer->not_after_s;
    return pki_certificate_sign(writer, key, &made);
}

bool x509_renewal_due(const struct pki_certificate *certificate, int64_t now_s)
{
    int64_t left = (certificate->not_after_s - certificate->not_before_s) / 3;
    return now_s > 0 && certificate->not_after_s != PKI_NO_END && now_s >= certificate->not_after_s - left;
}
