/* x509: identities, what is issued to whom, and every reason to refuse a chain, each alone. */
#include "check.h"
#include "x509.h"

#include <openssl/x509_vfy.h>

#define NOW 1795000000
#define DAY 86400

static struct crypto_key owner_key, other_owner_key, ca_key, hub_key, client_key;
static const uint8_t site[X509_SITE_LEN] = {0xba, 0x57, 0x1d, 0xe0};
static const uint8_t other_site[X509_SITE_LEN] = {0xba, 0x57, 0x1d, 0xe1};

/* A certificate, and what it was made of. */
struct made {
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct bytes der;
    struct pki_certificate certificate;
};

static struct made owner, other_owner, ca, hub, client;

static void keep(struct made *made, struct writer *writer)
{
    made->der = writer_bytes(writer);
    check_ok(pki_certificate_decode(made->der, &made->certificate));
}

static void issue_root(struct made *made, const struct crypto_key *key)
{
    uint8_t serial[X509_SERIAL_LEN] = {1};
    struct writer writer = writer_over(made->room, sizeof made->room);
    check_ok(x509_issue_root(&writer, key, serial, NOW));
    keep(made, &writer);
}

static struct x509_order order_for(enum x509_role role, const char *name, const struct crypto_key *key)
{
    struct x509_order order = {
        .identity = {.role = role, .name = bytes_from_text(name)}, .key = key->public_key, .serial = {2}, .now_s = NOW};
    memcpy(order.identity.site, site, sizeof site);
    return order;
}

static void issue(struct made *made, const struct crypto_key *key, const struct made *issuer,
                  const struct x509_order *order)
{
    struct writer writer = writer_over(made->room, sizeof made->room);
    check_ok(x509_issue(&writer, key, &issuer->certificate, order));
    keep(made, &writer);
}

/* Signs again what was changed, as an issuer would who keeps to no rule. */
static void sign_again(struct made *made, const struct crypto_key *key, const struct pki_certificate *changed)
{
    static uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_ok(pki_certificate_sign(&writer, key, changed));
    memcpy(made->room, room, writer.len);
    writer.data = made->room;
    keep(made, &writer);
}

static int make_site(void **state)
{
    (void)state;
    check_ok(crypto_init());
    struct crypto_key *keys[] = {&owner_key, &other_owner_key, &ca_key, &hub_key, &client_key};
    for (size_t i = 0; i < 5; i++)
        if (!keys[i]->pkey)
            check_ok(crypto_key_generate(keys[i], CRYPTO_P256));
    issue_root(&owner, &owner_key);
    issue_root(&other_owner, &other_owner_key);
    struct x509_order order = order_for(X509_SITE_CA, "house", &ca_key);
    issue(&ca, &owner_key, &owner, &order);
    order = order_for(X509_HUB, "hub", &hub_key);
    issue(&hub, &ca_key, &ca, &order);
    order = order_for(X509_CLIENT, "sensor", &client_key);
    issue(&client, &ca_key, &ca, &order);
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    crypto_key_done(&owner_key);
    crypto_key_done(&other_owner_key);
    crypto_key_done(&ca_key);
    crypto_key_done(&hub_key);
    crypto_key_done(&client_key);
    return 0;
}

static struct x509_policy policy_of(enum x509_role role)
{
    return (struct x509_policy){
        .anchor = owner.der,
        .site = BYTES_OF(site),
        .roles = 1u << role,
        .usage = PKI_DIGITAL_SIGNATURE,
        .now_s = NOW,
    };
}

/* The reasons for which hub, CA and what the policy says are refused. */
static uint32_t reasons_of(const struct x509_policy *policy, struct x509_result *result)
{
    const struct bytes chain[] = {hub.der, ca.der};
    enum status status = x509_check_chain(chain, 2, policy, result);
    assert_int_equal(status, result->reasons ? DENIED : OK);
    return result->reasons;
}

static void check_refused(const struct x509_policy *policy, enum x509_reason reason, size_t at)
{
    struct x509_result result;
    char text[256];
    assert_int_equal(reasons_of(policy, &result), 1u << reason);
    assert_int_equal(result.at[reason], at);
    x509_sentence(reason, policy, &result, text, sizeof text);
    assert_true(strlen(text) > 20 && text[strlen(text) - 1] == '.');
}

/* ---- Identity ---- */

static void an_identity_has_one_text(void **state)
{
    (void)state;
    static const char text[] = "bastide://ba571de0000000000000000000000000/site-ca/a-B_9.z";
    uint8_t room[256];
    struct writer writer = writer_over(room, sizeof room);
    struct x509_identity identity = {.role = X509_SITE_CA, .name = bytes_from_text("a-B_9.z")}, read = {.role = 0};
    memcpy(identity.site, site, sizeof site);
    check_ok(x509_put_uri(&writer, &identity));
    check_bytes(bytes_from_text(text), writer_bytes(&writer));
    check_ok(x509_identity_decode(bytes_from_text(text), &read));
    assert_memory_equal(read.site, site, sizeof site);
    assert_int_equal(read.role, X509_SITE_CA);
    check_bytes(identity.name, read.name);
    for (size_t len = 0; len < sizeof text - 8; len++)
        check_status(MALFORMED, x509_identity_decode(bytes_from(text, len), &read));
    for (enum x509_role role = 1; role < X509_ROLE_COUNT; role++) {
        writer = writer_over(room, sizeof room);
        identity.role = role;
        check_ok(x509_put_uri(&writer, &identity));
        check_ok(x509_identity_decode(writer_bytes(&writer), &read));
        assert_int_equal(read.role, role);
    }
    assert_string_equal(x509_role_word(0), "");
    assert_string_equal(x509_role_word(X509_ROLE_COUNT), "");
}

static void other_texts_are_no_identity(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "Bastide://ba571de0000000000000000000000000/hub/a",
        "bastide://BA571DE0000000000000000000000000/hub/a",
        "bastide://ba571de000000000000000000000000/hub/a",
        "bastide://ba571de00000000000000000000000000/hub/a",
        "bastide://ba571de000000000000000000000000g/hub/a",
        "bastide://ba571de0000000000000000000000000/hub/",
        "bastide://ba571de0000000000000000000000000/hub",
        "bastide://ba571de0000000000000000000000000//a",
        "bastide://ba571de0000000000000000000000000/hubs/a",
        "bastide://ba571de0000000000000000000000000/root/a",
        "bastide://ba571de0000000000000000000000000/hub/a/b",
        "bastide://ba571de0000000000000000000000000/hub/.a",
        "bastide://ba571de0000000000000000000000000/hub/a%20",
        "bastide://ba571de0000000000000000000000000/hub/a?",
        "bastide://ba571de0000000000000000000000000/client/hub/a",
    };
    struct x509_identity read = {.role = X509_NODE};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_status(MALFORMED, x509_identity_decode(bytes_from_text(texts[i]), &read));
    assert_int_equal(read.role, X509_NODE);
    char name[X509_NAME_MAX + 2] = {0};
    uint8_t room[256];
    memset(name, 'n', X509_NAME_MAX + 1);
    for (size_t len = 0; len <= X509_NAME_MAX + 1; len++) {
        struct writer writer = writer_over(room, sizeof room);
        const struct x509_identity identity = {.role = X509_HUB, .name = bytes_from(name, len)};
        check_status(len && len <= X509_NAME_MAX ? OK : MALFORMED, x509_put_uri(&writer, &identity));
    }
}

/* ---- Issuing ---- */

static void every_role_is_issued_as_the_table_says(void **state)
{
    (void)state;
    const struct {
        enum x509_role role;
        int64_t days;
        unsigned usage, purposes;
    } rows[] = {
        {X509_HUB, X509_HUB_DAYS, PKI_DIGITAL_SIGNATURE, PKI_SERVER_AUTH},
        {X509_CLIENT, X509_CLIENT_DAYS, PKI_DIGITAL_SIGNATURE, PKI_CLIENT_AUTH},
        {X509_OWNER, X509_OWNER_DAYS, PKI_DIGITAL_SIGNATURE, PKI_CLIENT_AUTH},
        {X509_NODE, X509_NODE_DAYS, PKI_DIGITAL_SIGNATURE, PKI_CLIENT_AUTH},
    };
    for (size_t i = 0; i < 4; i++) {
        struct made made;
        struct x509_result result;
        struct x509_order order = order_for(rows[i].role, "one", &client_key);
        issue(&made, &ca_key, &ca, &order);
        const struct pki_certificate *certificate = &made.certificate;
        assert_int_equal(certificate->not_before_s, NOW - X509_BACKDATE_S);
        assert_int_equal(certificate->not_after_s, NOW + rows[i].days * DAY);
        assert_int_equal(certificate->usage, rows[i].usage);
        assert_int_equal(certificate->purposes, rows[i].purposes);
        assert_false(certificate->is_ca);
        assert_int_equal(certificate->serial.len, X509_SERIAL_LEN);
        const struct bytes chain[] = {made.der, ca.der, owner.der};
        struct x509_policy policy = policy_of(rows[i].role);
        check_ok(x509_check_chain(chain, 2, &policy, &result));
        check_ok(x509_check_chain(chain, 3, &policy, &result));
        assert_int_equal(result.identity.role, rows[i].role);
        order.static_dh = true;
        issue(&made, &ca_key, &ca, &order);
        assert_int_equal(made.certificate.usage, PKI_KEY_AGREEMENT);
    }
    assert_true(ca.certificate.is_ca && ca.certificate.has_path_len && ca.certificate.path_len == 0);
    assert_int_equal(ca.certificate.usage, PKI_KEY_CERT_SIGN);
    assert_true(owner.certificate.is_ca && owner.certificate.path_len == 1);
    assert_int_equal(owner.certificate.not_after_s, PKI_NO_END);
    check_ok(pki_certificate_verify(&owner.certificate, &owner_key.public_key));
}

static void nothing_outlives_its_issuer(void **state)
{
    (void)state;
    struct made made;
    struct pki_certificate short_lived = ca.certificate;
    struct x509_order order = order_for(X509_CLIENT, "one", &client_key);
    short_lived.not_after_s = NOW + 7 * DAY;
    sign_again(&ca, &owner_key, &short_lived);
    issue(&made, &ca_key, &ca, &order);
    assert_int_equal(made.certificate.not_after_s, NOW + 7 * DAY);
    order.now_s = NOW + 8 * DAY;
    struct writer writer = writer_over(made.room, sizeof made.room);
    check_status(MALFORMED, x509_issue(&writer, &ca_key, &ca.certificate, &order));
}

static void who_may_not_issue_does_not(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct x509_order order = order_for(X509_CLIENT, "one", &client_key);
    check_status(DENIED, x509_issue(&writer, &hub_key, &hub.certificate, &order));
    check_status(DENIED, x509_issue(&writer, &owner_key, &ca.certificate, &order)); /* not its key */
    struct pki_certificate no_ca = ca.certificate;
    no_ca.is_ca = false;
    check_status(DENIED, x509_issue(&writer, &ca_key, &no_ca, &order));
    no_ca = ca.certificate;
    no_ca.usage = PKI_DIGITAL_SIGNATURE;
    check_status(DENIED, x509_issue(&writer, &ca_key, &no_ca, &order));
    no_ca = ca.certificate;
    no_ca.uri = (struct bytes){0};
    check_status(DENIED, x509_issue(&writer, &ca_key, &no_ca, &order));
    memcpy(order.identity.site, other_site, sizeof other_site);
    check_status(DENIED, x509_issue(&writer, &ca_key, &ca.certificate, &order));
    order = order_for(X509_SITE_CA, "two", &client_key);
    check_status(DENIED, x509_issue(&writer, &ca_key, &ca.certificate, &order));
    order = order_for(X509_CLIENT, "a/b", &client_key);
    check_status(MALFORMED, x509_issue(&writer, &ca_key, &ca.certificate, &order));
    order = order_for(X509_ROLE_COUNT, "a", &client_key);
    check_status(MALFORMED, x509_issue(&writer, &ca_key, &ca.certificate, &order));
    assert_int_equal(writer.len, 0);
}

static void renewal_begins_with_the_last_third(void **state)
{
    (void)state;
    const struct pki_certificate *certificate = &hub.certificate;
    int64_t third = (certificate->not_after_s - certificate->not_before_s) / 3;
    assert_false(x509_renewal_due(certificate, certificate->not_after_s - third - 1));
    assert_true(x509_renewal_due(certificate, certificate->not_after_s - third));
    assert_true(x509_renewal_due(certificate, certificate->not_after_s + 1));
    assert_false(x509_renewal_due(certificate, 0));
    assert_false(x509_renewal_due(&owner.certificate, PKI_NO_END));
}

/* ---- Checking: what is accepted ---- */

static void a_chain_to_the_owner_is_accepted(void **state)
{
    (void)state;
    uint8_t hash[CRYPTO_HASH_MAX];
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_HUB);
    const struct bytes chain[] = {hub.der, ca.der, owner.der};
    assert_int_equal(reasons_of(&policy, &result), 0);
    assert_false(result.dates_unchecked);
    assert_memory_equal(result.identity.site, site, sizeof site);
    check_bytes(bytes_from_text("hub"), result.identity.name);
    check_bytes(crypto_public_bytes(&hub_key.public_key), crypto_public_bytes(&result.certificate.key));
    check_ok(x509_check_chain(chain, 3, &policy, &result));
    policy.name = bytes_from_text("hub");
    policy.roles |= 1u << X509_CLIENT;
    check_ok(x509_check_chain(chain, 3, &policy, &result));
    check_ok(crypto_hash(CRYPTO_SHA256, &owner.der, 1, hash)); /* by its hash: the chain brings the certificate */
    policy.anchor = (struct bytes){0};
    policy.anchor_hash = bytes_from(hash, X509_HASH_LEN);
    check_ok(x509_check_chain(chain, 3, &policy, &result));
    check_status(DENIED, x509_check_chain(chain, 2, &policy, &result));
    assert_int_equal(result.reasons, 1u << X509_OTHER_OWNER);
    hash[31] ^= 1;
    check_status(DENIED, x509_check_chain(chain, 3, &policy, &result));
    assert_int_equal(result.reasons & 1u << X509_OTHER_OWNER, 1u << X509_OTHER_OWNER);
}

static void a_site_ca_is_accepted_as_what_it_is(void **state)
{
    (void)state;
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_SITE_CA);
    policy.usage = PKI_KEY_CERT_SIGN;
    check_ok(x509_check_chain(&ca.der, 1, &policy, &result));
    policy.roles = 1u << X509_HUB;
    check_status(DENIED, x509_check_chain(&ca.der, 1, &policy, &result));
    assert_int_equal(result.reasons, 1u << X509_WRONG_ROLE);
}

static void an_unknown_clock_leaves_dates_unchecked_and_says_so(void **state)
{
    (void)state;
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_HUB);
    policy.now_s = 0;
    struct pki_certificate old = hub.certificate;
    old.not_before_s = 1;
    old.not_after_s = 2;
    sign_again(&hub, &ca_key, &old);
    assert_int_equal(reasons_of(&policy, &result), 0);
    assert_true(result.dates_unchecked);
    policy.roles = 1u << X509_CLIENT;
    check_refused(&policy, X509_WRONG_ROLE, 0);
}

/* libcrypto's own path validation, at this time and for this purpose. */
static int judged_by_libcrypto(int64_t now_s, const char *purpose)
{
    const struct bytes ders[] = {hub.der, ca.der, owner.der};
    X509 *x509[3];
    for (size_t i = 0; i < 3; i++) {
        const unsigned char *at = ders[i].data;
        x509[i] = d2i_X509(NULL, &at, (long)ders[i].len);
        assert_non_null(x509[i]);
    }
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();
    sk_X509_push(between, x509[1]);
    X509_STORE_add_cert(store, x509[2]);
    X509_STORE_CTX_init(context, store, x509[0], between);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_STORE_CTX_set_default(context, purpose);
    X509_VERIFY_PARAM_set_time(param, now_s);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    int error = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    sk_X509_free(between);
    X509_STORE_free(store);
    for (size_t i = 0; i < 3; i++)
        X509_free(x509[i]);
    return error;
}

static void libcrypto_accepts_the_same_chain(void **state)
{
    (void)state;
    assert_int_equal(judged_by_libcrypto(NOW, "ssl_server"), X509_V_OK);
    assert_int_equal(judged_by_libcrypto(NOW, "ssl_client"), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(judged_by_libcrypto(hub.certificate.not_after_s + 1, "ssl_server"), X509_V_ERR_CERT_HAS_EXPIRED);
}

/* An owner's certificate and key as the first versions made them: SHA-1 key identifier, no path length. */
static const char first_certificate[] =
    "3082017330820118a0030201020210450827c29015f77d6f2907fc63d84299300a06082a8648ce3d0403023018311630"
    "1406035504030c0d42617374696465206f776e65723020170d3235313132353138303030305a180f3939393931323331"
    "3233353935395a30183116301406035504030c0d42617374696465206f776e65723059301306072a8648ce3d02010608"
    "2a8648ce3d0301070342000445aece7b3462eeffc5e1a9e3aef2a966dfe7ee0fdd959aa8bf44e5d50fb929fd5ffa091d"
    "ca158384ba1e8cfb1b6a16a1eac61c9a104e461d0380e8b88180872da3423040300f0603551d130101ff040530030101"
    "ff300e0603551d0f0101ff040403020186301d0603551d0e041604149d402cbf4d7e0911a42ce4bb589f426542f8e5d6"
    "300a06082a8648ce3d04030203490030460221009ac4cbae648015327dc876cade3a0b4ca8329be0e34eb462be2ee6b5"
    "852516df022100d39145e56791e4b18ddbc3f580d4c5fc88ffd00c5e3fad951adaa73f996b4b00";
static const char first_key[] = "d47adf53f2c1d7a377e4b7911e646df8e66c0c787cb05591c6cc0cc05dc8a668";

static void the_first_owners_certificates_still_hold(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX], scalar[32], first_room[PKI_CERTIFICATE_MAX];
    struct writer der = writer_over(first_room, sizeof first_room), key = writer_over(scalar, sizeof scalar);
    struct writer writer = writer_over(room, sizeof room);
    struct crypto_key first = {0};
    struct pki_certificate root;
    struct x509_result result;
    check_ok(hex_decode(first_certificate, &der));
    check_ok(hex_decode(first_key, &key));
    check_ok(crypto_key_import(&first, CRYPTO_P256, writer_bytes(&key)));
    check_ok(pki_certificate_decode(writer_bytes(&der), &root));
    struct x509_order order = order_for(X509_SITE_CA, "house", &ca_key);
    check_ok(x509_issue(&writer, &first, &root, &order));
    struct x509_policy policy = policy_of(X509_SITE_CA);
    policy.anchor = writer_bytes(&der);
    policy.usage = PKI_KEY_CERT_SIGN;
    const struct bytes chain[] = {writer_bytes(&writer)};
    check_ok(x509_check_chain(chain, 1, &policy, &result));
    crypto_key_done(&first);
}

/* ---- Checking: each reason alone ---- */

static void malformed(void **state)
{
    (void)state;
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_HUB);
    const struct bytes many[X509_CHAIN_MAX + 1] = {hub.der, ca.der, ca.der, ca.der, owner.der};
    check_status(DENIED, x509_check_chain(NULL, 0, &policy, &result));
    assert_int_equal(result.reasons, 1u << X509_MALFORMED);
    check_status(DENIED, x509_check_chain(many, X509_CHAIN_MAX + 1, &policy, &result));
    assert_int_equal(result.reasons, 1u << X509_MALFORMED);
    for (size_t len = 0; len < ca.der.len; len++) {
        const struct bytes cut[] = {hub.der, bytes_slice(ca.der, 0, len)};
        check_status(DENIED, x509_check_chain(cut, 2, &policy, &result));
        assert_int_equal(result.reasons, 1u << X509_MALFORMED);
        assert_int_equal(result.at[X509_MALFORMED], 1);
    }
}

static void a_policy_that_lacks_something_accepts_nothing(void **state)
{
    (void)state;
    struct x509_result result;
    const struct bytes chain[] = {hub.der, ca.der};
    for (size_t i = 0; i < 6; i++) {
        struct x509_policy policy = policy_of(X509_HUB);
        if (i == 0)
            policy.anchor = (struct bytes){0};
        else if (i == 1)
            policy.site = bytes_slice(policy.site, 0, 15);
        else if (i == 2)
            policy.roles = 0;
        else if (i == 3)
            policy.usage = 0;
        else if (i == 4)
            policy = (struct x509_policy){0};
        else
            policy.anchor = bytes_slice(policy.anchor, 0, 200);
        check_status(INTERNAL, x509_check_chain(chain, 2, &policy, &result));
    }
}

static void another_owner(void **state)
{
    (void)state;
    struct x509_policy policy = policy_of(X509_HUB);
    policy.anchor = other_owner.der;
    check_refused(&policy, X509_OTHER_OWNER, 1);
}

/* Another owner's genuine hub, chain and all. */
static void another_owners_chain(void **state)
{
    (void)state;
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_HUB);
    struct x509_order order = order_for(X509_SITE_CA, "house", &ca_key);
    issue(&ca, &other_owner_key, &other_owner, &order);
    order = order_for(X509_HUB, "hub", &hub_key);
    issue(&hub, &ca_key, &ca, &order);
    check_refused(&policy, X509_OTHER_OWNER, 1);
    const struct bytes chain[] = {hub.der, ca.der, other_owner.der};
    check_status(DENIED, x509_check_chain(chain, 3, &policy, &result));
    assert_true(result.reasons & 1u << X509_OTHER_OWNER);
}

static void a_broken_chain(void **state)
{
    (void)state;
    struct x509_policy policy = policy_of(X509_HUB);
    struct pki_certificate changed = hub.certificate;
    changed.authority_key_id = bytes_from_text("another");
    sign_again(&hub, &ca_key, &changed);
    check_refused(&policy, X509_BROKEN_CHAIN, 0);
    changed = client.certificate;
    changed.issuer = owner.certificate.subject;
    changed.uri = hub.certificate.uri;
    changed.purposes = PKI_SERVER_AUTH;
    changed.subject = hub.certificate.subject;
    sign_again(&client, &ca_key, &changed);
    hub = client;
    hub.der.data = hub.room;
    check_refused(&policy, X509_BROKEN_CHAIN, 0);
}

static void a_bad_signature(void **state)
{
    (void)state;
    struct x509_policy policy = policy_of(X509_HUB);
    sign_again(&ca, &other_owner_key, &ca.certificate);
    check_refused(&policy, X509_BAD_SIGNATURE, 1);
    (void)make_site(NULL);
    policy = policy_of(X509_HUB);
    hub.room[hub.der.len - 1] ^= 1;
    check_refused(&policy, X509_BAD_SIGNATURE, 0);
}

static void an_issuer_that_is_no_ca(void **state)
{
    (void)state;
    struct x509_policy policy = policy_of(X509_HUB);
    struct pki_certificate changed = ca.certificate;
    changed.is_ca = changed.has_path_len = false;
    sign_again(&ca, &owner_key, &changed);
    check_refused(&policy, X509_NOT_A_CA, 1);
}

static void a_path_too_long(void **state)
{
    (void)state;
    struct x509_policy policy = policy_of(X509_HUB);
    struct pki_certificate changed = owner.certificate;
    changed.path_len = 0;
    sign_again(&owner, &owner_key, &changed);
    policy.anchor = owner.der;
    check_refused(&policy, X509_PATH_TOO_LONG, 2);
}

/* A site CA that made another one, which it may not. */
static void a_ca_below_the_site_ca(void **state)
{
    (void)state;
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_HUB);
    struct made second = {.der = {0}};
    struct pki_certificate changed = ca.certificate;
    changed.issuer = ca.certificate.subject;
    changed.authority_key_id = ca.certificate.key_id;
    sign_again(&second, &ca_key, &changed);
    const struct bytes chain[] = {hub.der, second.der, ca.der};
    check_status(DENIED, x509_check_chain(chain, 3, &policy, &result));
    assert_int_equal(result.reasons, 1u << X509_PATH_TOO_LONG);
    assert_int_equal(result.at[X509_PATH_TOO_LONG], 2);
}

static void a_key_used_for_something_else(void **state)
{
    (void)state;
    struct x509_policy policy = policy_of(X509_HUB);
    policy.usage = PKI_KEY_AGREEMENT;
    check_refused(&policy, X509_KEY_USAGE, 0);
    for (size_t i = 0; i < 4; i++) {
        (void)make_site(NULL);
        policy = policy_of(X509_HUB);
        struct pki_certificate changed = i < 3 ? hub.certificate : ca.certificate;
        if (i == 0)
            changed.usage = 0;
        else if (i == 1)
            changed.purposes = PKI_CLIENT_AUTH;
        else if (i == 2)
            changed.is_ca = true;
        else
            changed.usage = PKI_DIGITAL_SIGNATURE | PKI_CRL_SIGN;
        sign_again(i < 3 ? &hub : &ca, i < 3 ? &ca_key : &owner_key, &changed);
        check_refused(&policy, X509_KEY_USAGE, i < 3 ? 0 : 1);
    }
}

/* Purposes may be left out, or hold more than is needed. */
static void purposes_that_hold_ours_are_accepted(void **state)
{
    (void)state;
    const unsigned purposes[] = {0, PKI_ANY_PURPOSE, PKI_SERVER_AUTH | PKI_CLIENT_AUTH};
    for (size_t i = 0; i < 3; i++) {
        (void)make_site(NULL);
        struct x509_result result;
        struct x509_policy policy = policy_of(X509_HUB);
        struct pki_certificate changed = hub.certificate;
        changed.purposes = purposes[i];
        sign_again(&hub, &ca_key, &changed);
        assert_int_equal(reasons_of(&policy, &result), 0);
    }
}

static void dates(void **state)
{
    (void)state;
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_HUB);
    policy.now_s = hub.certificate.not_before_s;
    assert_int_equal(reasons_of(&policy, &result), 0);
    policy.now_s--;
    check_refused(&policy, X509_NOT_YET_VALID, 0);
    policy.now_s = hub.certificate.not_after_s;
    assert_int_equal(reasons_of(&policy, &result), 0);
    policy.now_s++;
    check_refused(&policy, X509_EXPIRED, 0);
    struct pki_certificate changed = ca.certificate;
    policy.now_s = NOW;
    changed.not_after_s = NOW - 1;
    sign_again(&ca, &owner_key, &changed);
    check_refused(&policy, X509_EXPIRED, 1);
}

static bool is_revoked(void *context, const struct pki_certificate *certificate)
{
    return bytes_equal(*(const struct bytes *)context, certificate->subject);
}

static void revoked(void **state)
{
    (void)state;
    struct x509_policy policy = policy_of(X509_HUB);
    struct x509_result result;
    policy.is_revoked = is_revoked;
    policy.context = &hub.certificate.subject;
    check_refused(&policy, X509_IS_REVOKED, 0);
    policy.context = &ca.certificate.subject;
    check_refused(&policy, X509_IS_REVOKED, 1);
    policy.context = &client.certificate.subject;
    assert_int_equal(reasons_of(&policy, &result), 0);
}

static void no_identity(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        (void)make_site(NULL);
        struct x509_policy policy = policy_of(X509_HUB);
        struct pki_certificate changed = i < 3 ? hub.certificate : ca.certificate;
        if (i == 0 || i == 3)
            changed.uri = (struct bytes){0};
        else if (i == 1)
            changed.uri = bytes_from_text("https://bastide.example/hub");
        else
            changed.subject = client.certificate.subject; /* the common name says something else */
        sign_again(i < 3 ? &hub : &ca, i < 3 ? &ca_key : &owner_key, &changed);
        check_refused(&policy, X509_NO_IDENTITY, i < 3 ? 0 : 1);
    }
}

static void another_site(void **state)
{
    (void)state;
    uint8_t room[128];
    struct writer uri = writer_over(room, sizeof room);
    struct x509_policy policy = policy_of(X509_HUB);
    policy.site = BYTES_OF(other_site);
    struct x509_result result;
    assert_int_equal(reasons_of(&policy, &result), 1u << X509_OTHER_SITE);
    policy.site = BYTES_OF(site);
    /* The same owner's CA of another site cannot speak for this one. */
    struct x509_identity identity = {.role = X509_SITE_CA, .name = bytes_from_text("house")};
    memcpy(identity.site, other_site, sizeof other_site);
    check_ok(x509_put_uri(&uri, &identity));
    struct pki_certificate changed = ca.certificate;
    changed.uri = writer_bytes(&uri);
    sign_again(&ca, &owner_key, &changed);
    check_refused(&policy, X509_OTHER_SITE, 1);
}

static void another_role_or_name(void **state)
{
    (void)state;
    char text[256];
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_CLIENT);
    policy.roles |= 1u << X509_OWNER;
    struct pki_certificate changed = hub.certificate;
    changed.purposes = 0;
    sign_again(&hub, &ca_key, &changed);
    check_refused(&policy, X509_WRONG_ROLE, 0);
    (void)reasons_of(&policy, &result);
    x509_sentence(X509_WRONG_ROLE, &policy, &result, text, sizeof text);
    assert_string_equal(text, "Certificate 0 is another role's: it says hub, expected client or owner.");
    policy = policy_of(X509_HUB);
    policy.name = bytes_from_text("hub2");
    check_refused(&policy, X509_OTHER_NAME, 0);
    x509_sentence(X509_REASON_COUNT, &policy, &result, text, sizeof text);
    assert_string_equal(text, "");
}

/* A client's certificate made into an issuer by whoever has the CA's key, or without: never a hub. */
static void a_client_that_issues(void **state)
{
    (void)state;
    struct x509_result result;
    struct x509_policy policy = policy_of(X509_HUB);
    struct pki_certificate changed = hub.certificate;
    changed.issuer = client.certificate.subject;
    changed.authority_key_id = client.certificate.key_id;
    sign_again(&hub, &client_key, &changed);
    const struct bytes chain[] = {hub.der, client.der, ca.der};
    check_status(DENIED, x509_check_chain(chain, 3, &policy, &result));
    assert_int_equal(result.reasons,
                     1u << X509_NOT_A_CA | 1u << X509_KEY_USAGE | 1u << X509_WRONG_ROLE | 1u << X509_PATH_TOO_LONG);
    changed = client.certificate;
    changed.is_ca = true;
    changed.usage |= PKI_KEY_CERT_SIGN;
    sign_again(&client, &owner_key,
               &(struct pki_certificate){.serial = changed.serial,
                                         .issuer = owner.certificate.subject,
                                         .subject = changed.subject,
                                         .key = changed.key,
                                         .not_before_s = changed.not_before_s,
                                         .not_after_s = changed.not_after_s,
                                         .is_ca = true,
                                         .usage = changed.usage,
                                         .uri = changed.uri});
    const struct bytes shorter[] = {hub.der, client.der};
    check_status(DENIED, x509_check_chain(shorter, 2, &policy, &result));
    assert_int_equal(result.reasons, 1u << X509_WRONG_ROLE);
    assert_int_equal(result.at[X509_WRONG_ROLE], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_has_one_text),
        cmocka_unit_test(other_texts_are_no_identity),
        cmocka_unit_test_setup(every_role_is_issued_as_the_table_says, make_site),
        cmocka_unit_test_setup(nothing_outlives_its_issuer, make_site),
        cmocka_unit_test_setup(who_may_not_issue_does_not, make_site),
        cmocka_unit_test_setup(renewal_begins_with_the_last_third, make_site),
        cmocka_unit_test_setup(a_chain_to_the_owner_is_accepted, make_site),
        cmocka_unit_test_setup(a_site_ca_is_accepted_as_what_it_is, make_site),
        cmocka_unit_test_setup(an_unknown_clock_leaves_dates_unchecked_and_says_so, make_site),
        cmocka_unit_test_setup(libcrypto_accepts_the_same_chain, make_site),
        cmocka_unit_test_setup(the_first_owners_certificates_still_hold, make_site),
        cmocka_unit_test_setup(malformed, make_site),
        cmocka_unit_test_setup(a_policy_that_lacks_something_accepts_nothing, make_site),
        cmocka_unit_test_setup(another_owner, make_site),
        cmocka_unit_test_setup(another_owners_chain, make_site),
        cmocka_unit_test_setup(a_broken_chain, make_site),
        cmocka_unit_test_setup(a_bad_signature, make_site),
        cmocka_unit_test_setup(an_issuer_that_is_no_ca, make_site),
        cmocka_unit_test_setup(a_path_too_long, make_site),
        cmocka_unit_test_setup(a_ca_below_the_site_ca, make_site),
        cmocka_unit_test_setup(a_key_used_for_something_else, make_site),
        cmocka_unit_test_setup(purposes_that_hold_ours_are_accepted, make_site),
        cmocka_unit_test_setup(dates, make_site),
        cmocka_unit_test_setup(revoked, make_site),
        cmocka_unit_test_setup(no_identity, make_site),
        cmocka_unit_test_setup(another_site, make_site),
        cmocka_unit_test_setup(another_role_or_name, make_site),
        cmocka_unit_test_setup(a_client_that_issues, make_site),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
