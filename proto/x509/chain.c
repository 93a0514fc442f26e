/* Checking a chain. Everything is looked at that can be, so that all reasons are told at once; what is accepted has
 * none. Public: all of it. */
#include "x509.h"

#include <string.h>

struct walk {
    const struct x509_policy *policy;
    struct x509_result *result;
    struct pki_certificate certificates[X509_CHAIN_MAX + 1]; /* the anchor last, when there is one */
    size_t count;                                            /* without the anchor */
    bool has_anchor;
};

static void refuse(struct walk *walk, enum x509_reason reason, size_t at)
{
    if (!(walk->result->reasons & 1u << reason))
        walk->result->at[reason] = (uint8_t)at;
    walk->result->reasons |= 1u << reason;
}

static bool is_anchor(const struct x509_policy *policy, struct bytes der)
{
    uint8_t hash[CRYPTO_HASH_MAX];
    if (policy->anchor.len)
        return bytes_equal(policy->anchor, der);
    return crypto_hash(CRYPTO_SHA256, &der, 1, hash) == OK &&
           bytes_equal(policy->anchor_hash, bytes_from(hash, X509_HASH_LEN));
}

/* False: nothing more can be looked at. */
static bool read_all(struct walk *walk, const struct bytes *chain, size_t count)
{
    if (count == 0 || count > X509_CHAIN_MAX) {
        refuse(walk, X509_MALFORMED, 0);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (pki_certificate_decode(chain[i], &walk->certificates[i]) != OK) {
            refuse(walk, X509_MALFORMED, i);
            return false;
        }
    walk->has_anchor = is_anchor(walk->policy, chain[count - 1]);
    walk->count = walk->has_anchor ? count - 1 : count;
    return true;
}

/* RFC 5280 §6.1.3 (a): who the issuer is, then whether he signed. Where the chain leaves it, another name or another
 * key identifier means another owner. */
static void check_link(struct walk *walk, size_t at)
{
    const struct pki_certificate *certificate = &walk->certificates[at], *issuer = certificate + 1;
    bool to_anchor = at + 1 == walk->count;
    bool named = bytes_equal(certificate->issuer, issuer->subject) &&
                 (certificate->authority_key_id.len == 0 || issuer->key_id.len == 0 ||
                  bytes_equal(certificate->authority_key_id, issuer->key_id));
    if (!named)
        refuse(walk, to_anchor ? X509_OTHER_OWNER : X509_BROKEN_CHAIN, at);
    else if (pki_certificate_verify(certificate, &issuer->key) != OK)
        refuse(walk, X509_BAD_SIGNATURE, at);
}

/* §6.1.4 (k) to (n): what signs certificates. `below` CA certificates lie between it and the end entity's. */
static void check_issuer(struct walk *walk, size_t at)
{
    const struct pki_certificate *issuer = &walk->certificates[at];
    size_t below = at - 1;
    if (!issuer->is_ca)
        refuse(walk, X509_NOT_A_CA, at);
    if (!(issuer->usage & PKI_KEY_CERT_SIGN))
        refuse(walk, X509_KEY_USAGE, at);
    if (issuer->has_path_len && below > issuer->path_len)
        refuse(walk, X509_PATH_TOO_LONG, at);
}

static void check_each(struct walk *walk, size_t at)
{
    const struct x509_policy *policy = walk->policy;
    const struct pki_certificate *certificate = &walk->certificates[at];
    if (certificate->unknown_critical)
        refuse(walk, X509_UNKNOWN_CRITICAL, at);
    if (policy->now_s && policy->now_s < certificate->not_before_s)
        refuse(walk, X509_NOT_YET_VALID, at);
    if (policy->now_s && policy->now_s > certificate->not_after_s)
        refuse(walk, X509_EXPIRED, at);
    if (policy->is_revoked && policy->is_revoked(policy->context, certificate))
        refuse(walk, X509_IS_REVOKED, at);
}

static void check_identity(struct walk *walk, size_t at, unsigned roles, struct bytes name)
{
    struct x509_identity identity;
    if (x509_identity_of(&walk->certificates[at], &identity) != OK) {
        refuse(walk, X509_NO_IDENTITY, at);
        return;
    }
    if (!bytes_equal(BYTES_OF(identity.site), walk->policy->site))
        refuse(walk, X509_OTHER_SITE, at);
    if (!(roles & 1u << identity.role))
        refuse(walk, X509_WRONG_ROLE, at);
    if (name.len && !bytes_equal(identity.name, name))
        refuse(walk, X509_OTHER_NAME, at);
    if (at == 0)
        walk->result->identity = identity;
}

/* The end entity's key: only a site CA may be a CA, and purposes that are named must hold the role's. */
static void check_use(struct walk *walk)
{
    const struct pki_certificate *certificate = &walk->certificates[0];
    enum x509_role role = walk->result->identity.role;
    unsigned purpose = role == X509_HUB ? PKI_SERVER_AUTH : PKI_CLIENT_AUTH;
    if ((certificate->usage & walk->policy->usage) != walk->policy->usage)
        refuse(walk, X509_KEY_USAGE, 0);
    if (role && certificate->purposes && !(certificate->purposes & (purpose | PKI_ANY_PURPOSE)))
        refuse(walk, X509_KEY_USAGE, 0);
    if (role && role != X509_SITE_CA && certificate->is_ca)
        refuse(walk, X509_KEY_USAGE, 0);
}

enum status x509_check_chain(const struct bytes *chain, size_t count, const struct x509_policy *policy,
                             struct x509_result *result)
{
    struct walk walk = {.policy = policy, .result = result};
    memset(result, 0, sizeof *result);
    refuse(&walk, X509_MALFORMED, 0); /* until something else is known */
    if (policy->site.len != X509_SITE_LEN || !policy->roles || !policy->usage ||
        (policy->anchor.len == 0 && policy->anchor_hash.len != X509_HASH_LEN))
        return INTERNAL;
    result->reasons = 0;
    result->dates_unchecked = policy->now_s == 0;
    if (!read_all(&walk, chain, count))
        return DENIED;
    if (!walk.has_anchor && policy->anchor.len) {
        if (pki_certificate_decode(policy->anchor, &walk.certificates[count]) != OK)
            return INTERNAL;
        walk.has_anchor = true;
    }
    if (!walk.has_anchor)
        refuse(&walk, X509_OTHER_OWNER, count - 1);
    size_t last = walk.has_anchor ? walk.count : walk.count - 1; /* of those that issued */
    result->certificate = walk.certificates[0];
    check_identity(&walk, 0, policy->roles, policy->name);
    check_use(&walk);
    for (size_t i = 0; i < walk.count; i++) {
        check_each(&walk, i);
        if (i > 0)
            check_identity(&walk, i, 1u << X509_SITE_CA, (struct bytes){0});
    }
    for (size_t i = 1; i <= last; i++) {
        check_link(&walk, i - 1);
        check_issuer(&walk, i);
    }
    return result->reasons ? DENIED : OK;
}
