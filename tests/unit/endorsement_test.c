/* endorsement: an EK certificate as makers make them — an RSA CA, an intermediate, a P-256 key — and every way in which
 * it is none for this TPM. */
#include "evidence_rig.h"

#include "endorsement.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define NOW_S 1800000000
#define DAY_S 86400
#define EK_PURPOSE "2.23.133.8.1"

struct party {
    EVP_PKEY *key;
    X509 *certificate;
};

static struct party maker, intermediate, other_maker;
static char why[256];

static EVP_PKEY *rsa_key(void)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    assert_non_null(key);
    return key;
}

static EVP_PKEY *public_of(const struct crypto_key *key)
{
    EVP_PKEY *made = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    struct bytes point = crypto_public_bytes(&key->public_key);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    assert_int_equal(1, EVP_PKEY_fromdata_init(context));
    assert_int_equal(1, EVP_PKEY_fromdata(context, &made, EVP_PKEY_PUBLIC_KEY, params));
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    return made;
}

static void extend(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(1, X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
}

static X509 *issue(const char *name, EVP_PKEY *subject, const struct party *issuer, EVP_PKEY *by, bool is_ca,
                   const char *purpose)
{
    X509 *made = X509_new();
    X509_NAME *own = X509_NAME_new();
    X509_NAME_add_entry_by_txt(own, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 7);
    ASN1_TIME_set(X509_getm_notBefore(made), NOW_S - DAY_S);
    ASN1_TIME_set(X509_getm_notAfter(made), NOW_S + DAY_S);
    X509_set_subject_name(made, own);
    X509_set_issuer_name(made, issuer ? X509_get_subject_name(issuer->certificate) : own);
    X509_set_pubkey(made, subject);
    extend(made, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (purpose)
        extend(made, NID_ext_key_usage, purpose);
    assert_true(X509_sign(made, by, EVP_sha256()) > 0);
    X509_NAME_free(own);
    return made;
}

static struct bytes der_of(X509 *certificate, uint8_t room[2048])
{
    unsigned char *at = room;
    int len = i2d_X509(certificate, &at);
    X509_free(certificate);
    assert_true(len > 0);
    return bytes_from(room, (size_t)len);
}

static struct bytes pem_of(const struct party *const *parties, size_t count)
{
    static char room[16384];
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    for (size_t i = 0; i < count; i++)
        PEM_write_bio_X509(bio, parties[i]->certificate);
    long len = BIO_get_mem_data(bio, &text);
    memcpy(room, text, (size_t)len);
    BIO_free(bio);
    return bytes_from(room, (size_t)len);
}

static int start_makers(void **state)
{
    if (start(state))
        return 1;
    maker.key = rsa_key();
    maker.certificate = issue("A maker", maker.key, NULL, maker.key, true, NULL);
    intermediate.key = rsa_key();
    intermediate.certificate = issue("Its intermediate", intermediate.key, &maker, maker.key, true, NULL);
    other_maker.key = rsa_key();
    other_maker.certificate = issue("Another maker", other_maker.key, NULL, other_maker.key, true, NULL);
    return 0;
}

static int stop_makers(void **state)
{
    struct party *const parties[] = {&maker, &intermediate, &other_maker};
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY_free(parties[i]->key);
        X509_free(parties[i]->certificate);
    }
    return stop(state);
}

static struct bytes ek_certificate(const struct party *issuer, const struct crypto_key *key, const char *purpose,
                                   uint8_t room[2048])
{
    EVP_PKEY *subject = public_of(key);
    struct bytes der = der_of(issue("A TPM", subject, issuer, issuer->key, false, purpose), room);
    EVP_PKEY_free(subject);
    return der;
}

static enum status check(struct bytes certificate, struct bytes authorities, int64_t now_s)
{
    why[0] = 0;
    return endorsement_check(certificate, bytes_from(node.ek_area, node.ek_len), authorities, now_s, why, sizeof why);
}

static void a_maker_vouches_by_his_root_or_by_an_intermediate(void **state)
{
    (void)state;
    uint8_t room[2048];
    const struct party *const both[] = {&other_maker, &maker, &intermediate}, *const last[] = {&intermediate},
                              *const root[] = {&maker};
    check_ok(check(ek_certificate(&maker, &node.ek, EK_PURPOSE, room), pem_of(root, 1), NOW_S));
    struct bytes through = ek_certificate(&intermediate, &node.ek, EK_PURPOSE, room);
    check_ok(check(through, pem_of(both, 3), NOW_S));
    check_ok(check(through, pem_of(last, 1), NOW_S));
    check_status(DENIED, check(through, pem_of(root, 1), NOW_S)); /* the intermediate is missing */
}

static void another_makers_word_does_not_count(void **state)
{
    (void)state;
    uint8_t room[2048];
    const struct party *const other[] = {&other_maker};
    check_status(DENIED, check(ek_certificate(&maker, &node.ek, EK_PURPOSE, room), pem_of(other, 1), NOW_S));
    assert_non_null(strstr(why, "none of the given CAs"));
}

static void a_certificate_of_another_key_or_for_another_use_does_not_count(void **state)
{
    (void)state;
    uint8_t room[2048];
    const struct party *const root[] = {&maker};
    check_status(DENIED, check(ek_certificate(&maker, &node.ak, EK_PURPOSE, room), pem_of(root, 1), NOW_S));
    assert_non_null(strstr(why, "another key"));
    check_status(DENIED, check(ek_certificate(&maker, &node.ek, "serverAuth", room), pem_of(root, 1), NOW_S));
    assert_non_null(strstr(why, "none for an endorsement key"));
    check_status(DENIED, check(ek_certificate(&maker, &node.ek, NULL, room), pem_of(root, 1), NOW_S));
    EVP_PKEY *rsa = rsa_key();
    struct bytes of_rsa = der_of(issue("A TPM", rsa, &maker, maker.key, false, EK_PURPOSE), room);
    EVP_PKEY_free(rsa);
    check_status(DENIED, check(of_rsa, pem_of(root, 1), NOW_S));
    assert_non_null(strstr(why, "another key"));
}

static void a_certificate_counts_for_its_time(void **state)
{
    (void)state;
    uint8_t room[2048];
    const struct party *const root[] = {&maker};
    struct bytes certificate = ek_certificate(&maker, &node.ek, EK_PURPOSE, room);
    check_status(DENIED, check(certificate, pem_of(root, 1), NOW_S + 2 * DAY_S));
    assert_non_null(strstr(why, "expired"));
    check_status(DENIED, check(certificate, pem_of(root, 1), NOW_S - 2 * DAY_S));
}

static void every_flipped_bit_and_every_shorter_part_is_refused(void **state)
{
    (void)state;
    uint8_t room[2048];
    const struct party *const root[] = {&maker};
    struct bytes certificate = ek_certificate(&maker, &node.ek, EK_PURPOSE, room), authorities = pem_of(root, 1);
    for (size_t bit = 0; bit < certificate.len * 8; bit += 5) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_status(DENIED, check(certificate, authorities, NOW_S));
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < certificate.len; len++)
        check_status(DENIED, check(bytes_from(room, len), authorities, NOW_S));
    room[certificate.len] = 0;
    check_status(DENIED, check(bytes_from(room, certificate.len + 1), authorities, NOW_S));
    check_ok(check(certificate, authorities, NOW_S));
}

static void no_certificate_and_no_authority_are_told_apart(void **state)
{
    (void)state;
    uint8_t room[2048];
    const struct party *const root[] = {&maker};
    check_status(DENIED, check((struct bytes){0}, pem_of(root, 1), NOW_S));
    assert_non_null(strstr(why, "carries no certificate"));
    struct bytes certificate = ek_certificate(&maker, &node.ek, EK_PURPOSE, room);
    check_status(MALFORMED, check(certificate, bytes_from_text("no PEM"), NOW_S));
    char *much = calloc(1, ENDORSEMENT_AUTHORITIES_MAX + 1);
    struct bytes pem = pem_of(root, 1);
    memcpy(much, pem.data, pem.len);
    check_ok(check(certificate, bytes_from(much, ENDORSEMENT_AUTHORITIES_MAX), NOW_S));
    check_status(MALFORMED, check(certificate, bytes_from(much, ENDORSEMENT_AUTHORITIES_MAX + 1), NOW_S));
    free(much);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_maker_vouches_by_his_root_or_by_an_intermediate),
        cmocka_unit_test(another_makers_word_does_not_count),
        cmocka_unit_test(a_certificate_of_another_key_or_for_another_use_does_not_count),
        cmocka_unit_test(a_certificate_counts_for_its_time),
        cmocka_unit_test(every_flipped_bit_and_every_shorter_part_is_refused),
        cmocka_unit_test(no_certificate_and_no_authority_are_told_apart),
    };
    return cmocka_run_group_tests(tests, start_makers, stop_makers);
}
