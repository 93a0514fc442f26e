/* pki: certificates and requests there and back, judged by libcrypto's own X.509, every prefix, every flipped bit, and
 * every limit at it and one past. */
#include "check.h"
#include "pki.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#define NOW 1795000000 /* 2026-11-18 */

static struct crypto_key issuer_p256, issuer_p384, issuer_ed25519, subject_p256, subject_x25519;

static const uint8_t serial[] = {0x41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* Names live as long as the test. */
static struct bytes name_of(const char *common_name)
{
    static uint8_t room[8][PKI_NAME_MAX];
    static size_t next;
    struct writer writer = writer_over(room[next++ % 8], PKI_NAME_MAX);
    check_ok(pki_put_name(&writer, bytes_from_text(common_name)));
    return writer_bytes(&writer);
}

static struct pki_certificate full(void)
{
    return (struct pki_certificate){
        .serial = BYTES_OF(serial),
        .issuer = name_of("Bastide owner"),
        .subject = name_of("café"),
        .key = subject_p256.public_key,
        .not_before_s = NOW,
        .not_after_s = NOW + 90 * 86400,
        .is_ca = true,
        .has_path_len = true,
        .path_len = 3,
        .usage = PKI_DIGITAL_SIGNATURE | PKI_KEY_CERT_SIGN | PKI_DECIPHER_ONLY,
        .purposes = PKI_SERVER_AUTH | PKI_CLIENT_AUTH | PKI_ANY_PURPOSE,
        .uri = bytes_from_text("bastide://00112233445566778899aabbccddeeff/hub/hub"),
        .authority_key_id = bytes_from_text("issuer"),
    };
}

static struct bytes sign(uint8_t room[PKI_CERTIFICATE_MAX], const struct crypto_key *issuer,
                         const struct pki_certificate *certificate)
{
    struct writer writer = writer_over(room, PKI_CERTIFICATE_MAX);
    check_ok(pki_certificate_sign(&writer, issuer, certificate));
    return writer_bytes(&writer);
}

static void check_same(const struct pki_certificate *a, const struct pki_certificate *b)
{
    check_bytes(a->serial, b->serial);
    check_bytes(a->issuer, b->issuer);
    check_bytes(a->subject, b->subject);
    assert_int_equal(a->key.curve, b->key.curve);
    check_bytes(crypto_public_bytes(&a->key), crypto_public_bytes(&b->key));
    assert_int_equal(a->not_before_s, b->not_before_s);
    assert_int_equal(a->not_after_s, b->not_after_s);
    assert_int_equal(a->is_ca, b->is_ca);
    assert_int_equal(a->has_path_len, b->has_path_len);
    assert_int_equal(a->path_len, b->path_len);
    assert_int_equal(a->usage, b->usage);
    assert_int_equal(a->purposes, b->purposes);
    check_bytes(a->uri, b->uri);
    check_bytes(a->authority_key_id, b->authority_key_id);
}

static void a_certificate_reads_as_it_was_made(void **state)
{
    (void)state;
    const struct crypto_key *issuers[] = {&issuer_p256, &issuer_p384, &issuer_ed25519};
    const struct crypto_public *subjects[] = {&subject_p256.public_key, &issuer_p384.public_key,
                                              &issuer_ed25519.public_key, &subject_x25519.public_key};
    const enum pki_algorithm algorithms[] = {PKI_ECDSA_SHA256, PKI_ECDSA_SHA384, PKI_ED25519};
    for (size_t i = 0; i < 12; i++) {
        uint8_t room[PKI_CERTIFICATE_MAX], id[PKI_KEY_ID_LEN];
        struct pki_certificate made = full(), read;
        made.key = *subjects[i / 3];
        check_ok(pki_certificate_decode(sign(room, issuers[i % 3], &made), &read));
        check_same(&made, &read);
        check_ok(pki_key_id(&made.key, id));
        check_bytes(BYTES_OF(id), read.key_id);
        check_bytes(bytes_from_text("café"), read.common_name);
        assert_false(read.unknown_critical);
        assert_int_equal(read.algorithm, algorithms[i % 3]);
        check_ok(pki_certificate_verify(&read, &issuers[i % 3]->public_key));
        for (size_t j = 1; j < 3; j++)
            check_status(AUTH, pki_certificate_verify(&read, &issuers[(i + j) % 3]->public_key));
        check_status(AUTH, pki_certificate_verify(&read, &subject_p256.public_key));
        check_status(AUTH, pki_certificate_verify(&read, &subject_x25519.public_key));
    }
}

static void what_is_left_out_is_not_there(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct pki_certificate made = {.serial = BYTES_OF(serial),
                                   .issuer = name_of("a"),
                                   .subject = name_of("b"),
                                   .key = subject_p256.public_key,
                                   .not_after_s = PKI_NO_END};
    struct pki_certificate read;
    check_ok(pki_certificate_decode(sign(room, &issuer_p256, &made), &read));
    check_same(&made, &read);
    made.is_ca = true;
    check_ok(pki_certificate_decode(sign(room, &issuer_p256, &made), &read));
    check_same(&made, &read);
}

/* ---- libcrypto's own view ---- */

static EVP_PKEY *pkey_of(const struct crypto_key *key)
{
    return key->pkey;
}

static void check_time(const ASN1_TIME *time, int64_t expected_s)
{
    struct tm parts;
    assert_int_equal(ASN1_TIME_to_tm(time, &parts), 1);
    assert_int_equal(timegm(&parts), expected_s);
}

static void libcrypto_reads_and_verifies_what_we_make(void **state)
{
    (void)state;
    const struct crypto_key *issuers[] = {&issuer_p256, &issuer_p384, &issuer_ed25519};
    for (size_t i = 0; i < 3; i++) {
        uint8_t room[PKI_CERTIFICATE_MAX], id[PKI_KEY_ID_LEN];
        char text[64];
        struct pki_certificate made = full();
        struct bytes der = sign(room, issuers[i], &made);
        const unsigned char *at = der.data;
        X509 *x509 = d2i_X509(NULL, &at, (long)der.len);
        assert_non_null(x509);
        assert_ptr_equal(at, der.data + der.len);
        assert_int_equal(X509_verify(x509, pkey_of(issuers[i])), 1);
        assert_int_equal(X509_get_version(x509), X509_VERSION_3);
        assert_int_equal(X509_get_pathlen(x509), 3);
        assert_true(X509_check_ca(x509) == 1);
        assert_int_equal(X509_get_key_usage(x509), KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_DECIPHER_ONLY);
        assert_int_equal(X509_get_extended_key_usage(x509), XKU_SSL_SERVER | XKU_SSL_CLIENT | XKU_ANYEKU);
        assert_int_equal(X509_get_extension_flags(x509) & (EXFLAG_INVALID | EXFLAG_CRITICAL), 0);
        check_time(X509_get0_notBefore(x509), NOW);
        check_time(X509_get0_notAfter(x509), NOW + 90 * 86400);
        assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, text, sizeof text) > 0);
        assert_string_equal(text, "café");
        check_ok(pki_key_id(&made.key, id));
        const ASN1_OCTET_STRING *key_id = X509_get0_subject_key_id(x509);
        check_bytes(BYTES_OF(id), bytes_from(ASN1_STRING_get0_data(key_id), (size_t)ASN1_STRING_length(key_id)));
        const ASN1_OCTET_STRING *authority = X509_get0_authority_key_id(x509);
        assert_int_equal(ASN1_STRING_length(authority), 6);
        GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
        assert_int_equal(sk_GENERAL_NAME_num(names), 1);
        const ASN1_IA5STRING *uri = sk_GENERAL_NAME_value(names, 0)->d.uniformResourceIdentifier;
        check_bytes(made.uri, bytes_from(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri)));
        GENERAL_NAMES_free(names);
        X509_free(x509);
    }
}

static void add(X509 *x509, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* As libcrypto makes it: names of several parts, other names beside the URI, extensions that we do not know. */
static struct bytes by_libcrypto(uint8_t room[PKI_CERTIFICATE_MAX], const EVP_MD *hash, const char *critical)
{
    unsigned char *at = room;
    X509 *x509 = X509_new();
    X509_NAME *name = X509_get_subject_name(x509);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), 0x80000001);
    X509_NAME_add_entry_by_txt(name, "C", MBSTRING_ASC, (const uint8_t *)"FR", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"Carcassonne", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_UTF8, (const uint8_t *)"one", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_UTF8, (const uint8_t *)"two", -1, -1, -1); /* of one set */
    X509_set_issuer_name(x509, name);
    ASN1_TIME_set_string_X509(X509_getm_notBefore(x509), "19700101000000Z");
    ASN1_TIME_set_string_X509(X509_getm_notAfter(x509), "20520229235959Z");
    X509_set_pubkey(x509, pkey_of(&issuer_p256));
    add(x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:200");
    add(x509, NID_key_usage, "critical,keyCertSign,cRLSign");
    add(x509, NID_subject_key_identifier, "hash");
    add(x509, NID_authority_key_identifier, "keyid:always,issuer:always");
    add(x509, NID_subject_alt_name, "DNS:bastide.example,URI:urn:a:b,IP:127.0.0.1,email:a@b.example");
    add(x509, NID_ext_key_usage, "clientAuth,codeSigning");
    add(x509, NID_netscape_comment, critical);
    assert_true(X509_sign(x509, pkey_of(&issuer_p256), hash) > 0);
    int len = i2d_X509(x509, &at);
    X509_free(x509);
    assert_true(len > 0 && len <= PKI_CERTIFICATE_MAX);
    return bytes_from(room, (size_t)len);
}

static void we_read_and_verify_what_libcrypto_makes(void **state)
{
    (void)state;
    const EVP_MD *hashes[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    for (size_t i = 0; i < 3; i++) {
        static const uint8_t number[] = {0x80, 0, 0, 1};
        uint8_t room[PKI_CERTIFICATE_MAX];
        struct pki_certificate read;
        check_ok(pki_certificate_decode(by_libcrypto(room, hashes[i], "a comment"), &read));
        check_ok(pki_certificate_verify(&read, &issuer_p256.public_key));
        assert_int_equal(read.algorithm, PKI_ECDSA_SHA256 + i);
        check_bytes(BYTES_OF(number), read.serial);
        check_bytes(read.issuer, read.subject);
        check_bytes(bytes_from_text("Carcassonne"), read.common_name);
        check_bytes(bytes_from_text("urn:a:b"), read.uri);
        check_bytes(read.key_id, read.authority_key_id);
        assert_int_equal(read.key_id.len, 20);
        assert_int_equal(read.not_before_s, 0);
        assert_int_equal(read.not_after_s, 2592863999);
        assert_true(read.is_ca && read.has_path_len);
        assert_int_equal(read.path_len, 200);
        assert_int_equal(read.usage, PKI_KEY_CERT_SIGN | PKI_CRL_SIGN);
        assert_int_equal(read.purposes, PKI_CLIENT_AUTH | PKI_OTHER_PURPOSE);
        assert_false(read.unknown_critical);
        check_ok(pki_certificate_decode(by_libcrypto(room, hashes[i], "critical,a comment"), &read));
        assert_true(read.unknown_critical);
    }
}

/* Of time, against timegm(3): the last and first second around every leap day and turn of the year there is. */
static void times_are_as_the_calendar_has_them(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct pki_certificate made = full(), read;
    for (int year = 1950; year <= 9999; year += year < 2110 ? 1 : 97) {
        const int days[][2] = {{0, 1}, {1, 28}, {1, 29}, {2, 1}, {11, 31}, {5, 30}};
        for (size_t i = 0; i < 6; i++) {
            struct tm parts = {.tm_year = year - 1900,
                               .tm_mon = days[i][0],
                               .tm_mday = days[i][1],
                               .tm_hour = 23,
                               .tm_min = 59,
                               .tm_sec = 58};
            made.not_before_s = timegm(&parts);
            made.not_after_s = made.not_before_s + (year < 9999 ? 2 : 1);
            check_ok(pki_certificate_decode(sign(room, &issuer_ed25519, &made), &read));
            check_same(&made, &read);
        }
    }
    for (int i = 0; i < 3; i++) {
        const int64_t outside[] = {-631152001, PKI_NO_END + 1, INT64_MIN};
        struct writer writer = writer_over(room, sizeof room);
        made.not_before_s = outside[i];
        check_status(MALFORMED, pki_certificate_sign(&writer, &issuer_p256, &made));
        assert_int_equal(writer.len, 0);
    }
}

/* ---- Damage ---- */

static void every_shorter_certificate_and_one_longer_is_refused(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX], longer[PKI_CERTIFICATE_MAX + 1] = {0};
    struct pki_certificate made = full(), read = {.path_len = 77};
    struct bytes der = sign(room, &issuer_p256, &made);
    for (size_t len = 0; len < der.len; len++)
        check_status(TRUNCATED, pki_certificate_decode(bytes_slice(der, 0, len), &read));
    memcpy(longer, der.data, der.len);
    check_status(MALFORMED, pki_certificate_decode(bytes_from(longer, der.len + 1), &read));
    assert_int_equal(read.path_len, 77); /* untouched */
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct pki_certificate made = full(), read;
    struct bytes der = sign(room, &issuer_ed25519, &made);
    size_t unread = 0;
    for (size_t bit = 0; bit < der.len * 8; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = pki_certificate_decode(der, &read);
        if (status == OK)
            check_status(AUTH, pki_certificate_verify(&read, &issuer_ed25519.public_key));
        else
            unread++;
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(unread > 0);
    check_ok(pki_certificate_decode(der, &read));
    check_ok(pki_certificate_verify(&read, &issuer_ed25519.public_key));
}

/* ---- Limits ---- */

static enum status try_sign(const struct pki_certificate *certificate)
{
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct pki_certificate read;
    struct writer writer = writer_over(room, sizeof room);
    enum status status = pki_certificate_sign(&writer, &issuer_ed25519, certificate);
    if (status == OK)
        check_ok(pki_certificate_decode(writer_bytes(&writer), &read));
    else
        assert_int_equal(writer.len, 0);
    return status;
}

static void limits_hold_at_them_and_one_past(void **state)
{
    (void)state;
    static const uint8_t ones[PKI_URI_MAX + 1] = {1};
    char letters[PKI_URI_MAX + 2] = {0};
    uint8_t room[2 * PKI_NAME_MAX];
    memset(letters, 'a', PKI_URI_MAX + 1);
    struct pki_certificate made = full();
    made.serial = bytes_from(ones, PKI_SERIAL_MAX);
    check_ok(try_sign(&made));
    made.serial = bytes_from(ones, PKI_SERIAL_MAX + 1);
    check_status(NO_ROOM, try_sign(&made));
    made = full();
    made.uri = bytes_from(letters, PKI_URI_MAX);
    check_ok(try_sign(&made));
    made.uri = bytes_from(letters, PKI_URI_MAX + 1);
    check_status(NO_ROOM, try_sign(&made));
    made = full();
    made.key_id = made.authority_key_id = bytes_from(letters, PKI_KEY_ID_MAX);
    check_ok(try_sign(&made));
    made.key_id = bytes_from(letters, PKI_KEY_ID_MAX + 1);
    check_status(NO_ROOM, try_sign(&made));
    made = full();
    made.authority_key_id = bytes_from(letters, PKI_KEY_ID_MAX + 1);
    check_status(NO_ROOM, try_sign(&made));
    made = full();
    made.path_len = 32767;
    check_ok(try_sign(&made));
    made.path_len = 32768;
    check_status(MALFORMED, try_sign(&made));
    struct writer writer = writer_over(room, sizeof room);
    check_ok(pki_put_name(&writer, bytes_from(letters, PKI_COMMON_NAME_MAX)));
    check_status(MALFORMED, pki_put_name(&writer, bytes_from(letters, PKI_COMMON_NAME_MAX + 1)));
    check_status(MALFORMED, pki_put_name(&writer, (struct bytes){0}));
}

static void what_would_be_refused_is_never_signed(void **state)
{
    (void)state;
    static const uint8_t zero[2];
    for (size_t i = 0; i < 14; i++) {
        struct pki_certificate made = full();
        if (i == 0)
            made.serial = (struct bytes){0};
        else if (i == 1)
            made.serial = BYTES_OF(zero);
        else if (i == 2)
            made.issuer = (struct bytes){0};
        else if (i == 3)
            made.subject = bytes_from_text("no name");
        else if (i == 4)
            made.not_after_s = made.not_before_s - 1;
        else if (i == 5)
            made.key.len--;
        else if (i == 6)
            made.key.data[7] ^= 1;
        else if (i == 7)
            made.usage = 1 << 9;
        else if (i == 8)
            made.purposes = PKI_OTHER_PURPOSE;
        else if (i == 9)
            made.uri = bytes_from_text("with space");
        else if (i == 10)
            made.is_ca = false; /* and a path length */
        else if (i == 11)
            made.key.curve = 0;
        else if (i == 12)
            made.usage |= 1 << 20;
        else
            made.issuer = bytes_slice(made.issuer, 0, made.issuer.len - 1);
        check_status(MALFORMED, try_sign(&made));
    }
    struct pki_certificate made = full();
    uint8_t room[100];
    struct writer small = writer_over(room, sizeof room);
    check_status(NO_ROOM, pki_certificate_sign(&small, &issuer_p256, &made));
    assert_int_equal(small.len, 0);
    check_status(UNSUPPORTED, pki_certificate_sign(&small, &subject_x25519, &made));
    check_status(WRONG_STATE, pki_certificate_sign(&small, &(struct crypto_key){0}, &made));
}

static int make_keys(void **state)
{
    (void)state;
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&issuer_p256, CRYPTO_P256));
    check_ok(crypto_key_generate(&issuer_p384, CRYPTO_P384));
    check_ok(crypto_key_generate(&issuer_ed25519, CRYPTO_ED25519));
    check_ok(crypto_key_generate(&subject_p256, CRYPTO_P256));
    check_ok(crypto_key_generate(&subject_x25519, CRYPTO_X25519));
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    crypto_key_done(&issuer_p256);
    crypto_key_done(&issuer_p384);
    crypto_key_done(&issuer_ed25519);
    crypto_key_done(&subject_p256);
    crypto_key_done(&subject_x25519);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_reads_as_it_was_made),
        cmocka_unit_test(what_is_left_out_is_not_there),
        cmocka_unit_test(libcrypto_reads_and_verifies_what_we_make),
        cmocka_unit_test(we_read_and_verify_what_libcrypto_makes),
        cmocka_unit_test(times_are_as_the_calendar_has_them),
        cmocka_unit_test(every_shorter_certificate_and_one_longer_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(limits_hold_at_them_and_one_past),
        cmocka_unit_test(what_would_be_refused_is_never_signed),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
