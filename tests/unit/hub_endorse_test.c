/* hub: the site CA certifies endorsement keys of vTPMs, for the owner and nobody else. */
#include "../hub_device.h"

#include "ek.h"

#include <openssl/x509.h>

#define HASHES                                                                                                         \
    "\"measurement\":\"1111111111111111111111111111111111111111111111111111111111111111\","                            \
    "\"signer\":\"2222222222222222222222222222222222222222222222222222222222222222\""
#define INSTANCE "\"instance\":\"33333333333333333333333333333333\","
#define NAMES "\"name\":\"vm-1\"," INSTANCE "\"tenant\":\"bank\",\"model\":\"vtpm\",\"version\":\"00010000\""

static const char *body_with(const char *names, const char *hashes, const char *field, struct bytes key)
{
    static char body[1024];
    char text[512] = "";
    check_ok(base64url_encode(key, text, sizeof text));
    snprintf(body, sizeof body, "{%s,%s,\"%s\":\"%s\"}", names, hashes, field, text);
    return body;
}

static struct rig_answer ask(struct rig_peer *peer, const char *body)
{
    struct rig_question question = {
        .code = COAP_POST, .path = "site/ek", .format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    return rig_ask(&rig, peer, &question);
}

static X509 *certified(const char *body)
{
    struct rig_answer answer = ask(&owner, body);
    check_ok(answer.status);
    assert_int_equal(COAP_CHANGED, answer.code);
    const unsigned char *at = answer.payload.data, *ca_at = ca_room;
    X509 *read = d2i_X509(NULL, &at, (long)answer.payload.len), *site = d2i_X509(NULL, &ca_at, (long)ca.len);
    assert_non_null(read);
    assert_non_null(site);
    assert_int_equal(1, X509_verify(read, X509_get0_pubkey(site)));
    assert_int_equal(0, X509_NAME_cmp(X509_get_issuer_name(read), X509_get_subject_name(site)));
    assert_true(ASN1_TIME_compare(X509_get0_notAfter(read), X509_get0_notAfter(site)) <= 0);
    X509_free(site);
    return read;
}

static void the_owner_gets_a_certificate_for_each_kind_of_key(void **state)
{
    (void)state;
    struct crypto_key p384 = {0};
    uint8_t modulus[EK_RSA_LEN];
    memset(modulus, 0xf1, sizeof modulus);
    check_ok(crypto_key_generate(&p384, CRYPTO_P384));
    X509 *first = certified(body_with(NAMES, HASHES, "p256", crypto_public_bytes(&device_key.public_key)));
    X509 *second = certified(body_with(NAMES, HASHES, "p384", crypto_public_bytes(&p384.public_key)));
    X509 *third = certified(body_with(NAMES, HASHES, "rsa", BYTES_OF(modulus)));
    assert_int_equal(256, EVP_PKEY_get_bits(X509_get0_pubkey(first)));
    assert_int_equal(384, EVP_PKEY_get_bits(X509_get0_pubkey(second)));
    assert_int_equal(2048, EVP_PKEY_get_bits(X509_get0_pubkey(third)));
    assert_int_not_equal(0, ASN1_INTEGER_cmp(X509_get_serialNumber(first), X509_get_serialNumber(second)));
    X509_free(first);
    X509_free(second);
    X509_free(third);
    crypto_key_done(&p384);
}

static void nobody_else_does(void **state)
{
    (void)state;
    refused_as(ask(&sensor, body_with(NAMES, HASHES, "p256", crypto_public_bytes(&device_key.public_key))),
               COAP_FORBIDDEN);
}

static void what_is_missing_or_cannot_be_is_named(void **state)
{
    (void)state;
    struct bytes point = crypto_public_bytes(&device_key.public_key);
    uint8_t off_curve[65], modulus[EK_RSA_LEN + 1];
    memcpy(off_curve, point.data, sizeof off_curve);
    off_curve[64] ^= 1;
    memset(modulus, 0xf1, sizeof modulus);
    static const char *const short_hash = "\"measurement\":\"11\",\"signer\":\"22\"";
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL, "{" NAMES "," HASHES "}", "key");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL,
                body_with(NAMES, HASHES ",\"rsa\":\"AA\"", "p256", point), "key");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL,
                body_with(NAMES, HASHES, "p256", BYTES_OF(off_curve)), "key");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL,
                body_with(NAMES, HASHES, "rsa", bytes_from(modulus, EK_RSA_LEN - 1)), "key");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL,
                body_with(NAMES, HASHES, "rsa", BYTES_OF(modulus)), "key");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL,
                body_with(NAMES, short_hash, "p256", point), "measurement");
    rig_refused(
        &rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL,
        body_with(INSTANCE "\"tenant\":\"bank\",\"model\":\"vtpm\",\"version\":\"00010000\"", HASHES, "p256", point),
        "name");
    rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/ek", NULL,
                body_with("\"name\":\"vm-1\",\"instance\":\"33\"", HASHES, "p256", point), "instance");
    X509_free(certified(body_with(NAMES, HASHES, "p256", point)));
}

#define PLATFORM                                                                                                       \
    "{\"holder\":\"41aa07\",\"instance\":\"33333333333333333333333333333333\",\"tenant\":\"bank\",\"model\":\"vm\","   \
    "\"version\":\"1\",\"node\":"                                                                                      \
    "\"000b1111111111111111111111111111111111111111111111111111111111111111\",\"configuration\":"                      \
    "\"4444444444444444444444444444444444444444444444444444444444444444\",\"measurement\":"                            \
    "\"1111111111111111111111111111111111111111111111111111111111111111\"}"

/* PLATFORM with another value in the place of one of its own. */
static const char *platform_but(const char *own, const char *other)
{
    static char body[1024];
    const char *at = strstr(PLATFORM, own);
    assert_non_null(at);
    snprintf(body, sizeof body, "%.*s%s%s", (int)(strlen(PLATFORM) - strlen(at)), PLATFORM, other, at + strlen(own));
    return body;
}

static void the_owner_gets_a_platform_certificate_and_nobody_else_does(void **state)
{
    (void)state;
    struct rig_question question = {
        .code = COAP_POST, .path = "site/platform", .format = COAP_FORMAT_JSON, .payload = bytes_from_text(PLATFORM)};
    struct rig_answer answer = rig_ask(&rig, &owner, &question);
    check_ok(answer.status);
    assert_int_equal(COAP_CHANGED, answer.code);
    assert_int_equal(0x30, answer.payload.data[0]);
    assert_non_null(memmem(answer.payload.data, answer.payload.len, "\x02\x03\x41\xaa\x07", 5)); /* its holder */
    assert_non_null(memmem(answer.payload.data, answer.payload.len, "33333333-3333-3333-3333-333333333333", 36));
    refused_as(rig_ask(&rig, &sensor, &question), COAP_FORBIDDEN);
}

static void what_a_platform_lacks_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *own, *other, *named;
    } table[] = {
        {"41aa07", "", "holder"},
        {"41aa07", "zz", "holder"},
        {"41aa07", "00", "holder"},
        {"41aa07", "7f00000000000000000000000000000000000000aa", "holder"},
        {"33333333333333333333333333333333", "33", "instance"},
        {"000b11", "0b11", "node"},
        {"4444444444", "", "configuration"},
        {"\"bank\"", "\"\"", "holder"},
        {"\"vm\"", "\"v m\"", "holder"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        rig_refused(&rig, &owner, COAP_UNPROCESSABLE, COAP_POST, "site/platform", NULL,
                    platform_but(table[i].own, table[i].other), table[i].named);
}

static void without_a_site_ca_there_is_none(void **state)
{
    (void)state;
    struct crypto_key key = {0};
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    rig_refused(&rig, &owner, COAP_CONFLICT, COAP_POST, "site/ek", NULL,
                body_with(NAMES, HASHES, "p256", crypto_public_bytes(&key.public_key)), "site");
    rig_refused(&rig, &owner, COAP_CONFLICT, COAP_POST, "site/platform", NULL, PLATFORM, "site");
    crypto_key_done(&key);
}

int main(void)
{
#define site_test(name) cmocka_unit_test_setup_teardown(name, set_up_site, tear_down)
    const struct CMUnitTest tests[] = {
        site_test(the_owner_gets_a_certificate_for_each_kind_of_key),
        site_test(nobody_else_does),
        site_test(what_is_missing_or_cannot_be_is_named),
        site_test(the_owner_gets_a_platform_certificate_and_nobody_else_does),
        site_test(what_a_platform_lacks_is_named),
        cmocka_unit_test_setup_teardown(without_a_site_ca_there_is_none, set_up, tear_down),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
