/* Reasons as sentences: which certificate, what differed, from what. */
#include "x509.h"

#include <stdio.h>

#define HEX_CAP (2 * X509_SITE_LEN + 1)

static const char *const plain[X509_REASON_COUNT] = {
    [X509_MALFORMED] = "cannot be read: damaged, cut, or of a kind we do not take",
    [X509_OTHER_OWNER] = "belongs to another owner: the chain does not end at the certificate given beforehand",
    [X509_BROKEN_CHAIN] = "was not issued by the certificate that follows it",
    [X509_BAD_SIGNATURE] = "has a bad signature: the issuer it names did not sign it",
    [X509_NOT_A_CA] = "issued another one and is no CA",
    [X509_PATH_TOO_LONG] = "allows fewer CAs below it than there are",
    [X509_KEY_USAGE] = "is for a key that may not be used for this",
    [X509_UNKNOWN_CRITICAL] = "holds a critical extension that we do not know",
    [X509_NOT_YET_VALID] = "is not yet valid: is this machine's clock right?",
    [X509_EXPIRED] = "has expired",
    [X509_IS_REVOKED] = "was revoked",
    [X509_NO_IDENTITY] = "names nobody: it has no bastide://<site>/<role>/<name> whose name its common name repeats",
};

static void differ(char *text, size_t cap, size_t at, const char *what, struct bytes seen, struct bytes wanted)
{
    snprintf(text, cap, "Certificate %zu is %s: it says %.*s, expected %.*s.", at, what, (int)seen.len,
             (const char *)seen.data, (int)wanted.len, (const char *)wanted.data);
}

static void roles_text(unsigned roles, struct writer *writer)
{
    for (enum x509_role role = 1; role < X509_ROLE_COUNT; role++) {
        if (!(roles & 1u << role))
            continue;
        put_text(writer, writer->len ? " or " : "");
        put_text(writer, x509_role_word(role));
    }
}

void x509_sentence(enum x509_reason reason, const struct x509_policy *policy, const struct x509_result *result,
                   char *text, size_t cap)
{
    if (reason >= X509_REASON_COUNT) {
        snprintf(text, cap, "%s", "");
        return;
    }
    size_t at = result->at[reason];
    const struct x509_identity *identity = &result->identity;
    char seen[HEX_CAP] = "", wanted[HEX_CAP] = "", list[64];
    struct writer roles = writer_over(list, sizeof list);
    if (reason == X509_OTHER_SITE && at == 0 && hex_encode(BYTES_OF(identity->site), seen, sizeof seen) == OK &&
        hex_encode(policy->site, wanted, sizeof wanted) == OK) {
        differ(text, cap, at, "another site's", bytes_from_text(seen), bytes_from_text(wanted));
    } else if (reason == X509_WRONG_ROLE && at == 0) {
        roles_text(policy->roles, &roles);
        differ(text, cap, at, "another role's", bytes_from_text(x509_role_word(identity->role)), writer_bytes(&roles));
    } else if (reason == X509_OTHER_NAME) {
        differ(text, cap, at, "somebody else's", identity->name, policy->name);
    } else {
        const char *rest = reason == X509_OTHER_SITE   ? "is the CA of another site"
                           : reason == X509_WRONG_ROLE ? "issued another one and is not the site's CA"
                                                       : plain[reason];
        snprintf(text, cap, "Certificate %zu %s.", at, rest);
    }
}
