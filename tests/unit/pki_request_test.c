/* pki: requests there and back, beside those of libcrypto; certificates that another program made. */
#include "check.h"
#include "pki_rig.h"

#include <jansson.h>
#include <openssl/x509v3.h>

static struct crypto_key p256, p384, ed25519, x25519;

static struct bytes request_of(uint8_t room[PKI_REQUEST_MAX], const struct crypto_key *key, const char *name)
{
    struct writer writer = writer_over(room, PKI_REQUEST_MAX);
    check_ok(pki_request_sign(&writer, key, bytes_from_text(name)));
    return writer_bytes(&writer);
}

static void a_request_reads_as_it_was_made(void **state)
{
    (void)state;
    const struct crypto_key *keys[] = {&p256, &p384, &ed25519};
    for (size_t i = 0; i < 3; i++) {
        uint8_t room[PKI_REQUEST_MAX];
        struct pki_request read;
        struct bytes der = request_of(room, keys[i], "sensor");
        check_ok(pki_request_open(der, &read));
        check_bytes(bytes_from_text("sensor"), read.common_name);
        assert_int_equal(read.key.curve, keys[i]->public_key.curve);
        check_bytes(crypto_public_bytes(&keys[i]->public_key), crypto_public_bytes(&read.key));
        const unsigned char *at = der.data; /* libcrypto's view */
        X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)der.len);
        char text[32];
        assert_non_null(request);
        assert_int_equal(X509_REQ_verify(request, keys[i]->pkey), 1);
        assert_true(X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, text, sizeof text) ==
                    6);
        X509_REQ_free(request);
    }
}

static void a_request_of_libcrypto_is_read(void **state)
{
    (void)state;
    uint8_t room[PKI_REQUEST_MAX], *at = room;
    struct pki_request read;
    X509_REQ *request = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8, (const uint8_t *)"x", -1, -1,
                               0);
    sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, "keyCertSign"));
    X509_REQ_add_extensions(request, extensions);
    X509_REQ_add1_attr_by_txt(request, "challengePassword", MBSTRING_ASC, (const uint8_t *)"secret", -1);
    X509_REQ_set_pubkey(request, p256.pkey);
    assert_true(X509_REQ_sign(request, p256.pkey, EVP_sha384()) > 0);
    int len = i2d_X509_REQ(request, &at);
    check_ok(pki_request_open(bytes_from(room, (size_t)len), &read));
    check_bytes(bytes_from_text("x"), read.common_name);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(request);
}

static void every_shorter_request_and_one_longer_is_refused(void **state)
{
    (void)state;
    uint8_t room[PKI_REQUEST_MAX], longer[PKI_REQUEST_MAX] = {0};
    struct pki_request read = {.key.len = 77};
    struct bytes der = request_of(room, &p256, "sensor");
    for (size_t len = 0; len < der.len; len++)
        check_status(TRUNCATED, pki_request_open(bytes_slice(der, 0, len), &read));
    memcpy(longer, der.data, der.len);
    check_status(MALFORMED, pki_request_open(bytes_from(longer, der.len + 1), &read));
    assert_int_equal(read.key.len, 77);
}

static void every_flipped_bit_of_a_request_is_refused(void **state)
{
    (void)state;
    uint8_t room[PKI_REQUEST_MAX];
    struct pki_request read;
    size_t unauthentic = 0;
    struct bytes der = request_of(room, &ed25519, "sensor");
    for (size_t bit = 0; bit < der.len * 8; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = pki_request_open(der, &read);
        assert_int_not_equal(status, OK);
        unauthentic += status == AUTH;
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(unauthentic > 64 * 8);
    check_ok(pki_request_open(der, &read));
}

/* Somebody else's key in a request that one signed oneself. */
static void a_request_for_anothers_key_is_refused(void **state)
{
    (void)state;
    uint8_t room[PKI_REQUEST_MAX];
    struct crypto_key mixed = p256, other = {0};
    struct pki_request read;
    check_ok(crypto_key_generate(&other, CRYPTO_P256));
    mixed.public_key = other.public_key;
    check_status(AUTH, pki_request_open(request_of(room, &mixed, "sensor"), &read));
    crypto_key_done(&other);
}

static void what_a_request_cannot_say_is_not_signed(void **state)
{
    (void)state;
    uint8_t room[PKI_REQUEST_MAX];
    char name[PKI_COMMON_NAME_MAX + 1];
    struct writer writer = writer_over(room, sizeof room), small = writer_over(room, 90);
    memset(name, 'n', sizeof name);
    check_status(UNSUPPORTED, pki_request_sign(&writer, &x25519, bytes_from_text("a")));
    check_status(MALFORMED, pki_request_sign(&writer, &p256, (struct bytes){0}));
    check_status(MALFORMED, pki_request_sign(&writer, &p256, bytes_from_text("a\n")));
    check_status(MALFORMED, pki_request_sign(&writer, &p256, BYTES_OF(name)));
    check_status(NO_ROOM, pki_request_sign(&small, &p256, bytes_from_text("a")));
    assert_int_equal(writer.len + small.len, 0);
    check_ok(pki_request_sign(&writer, &p256, bytes_from(name, PKI_COMMON_NAME_MAX)));
}

/* Attributes, version and what is behind, each signed all the same. */
static void a_request_keeps_to_its_rules(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        const char *version, *attributes, *behind;
    } rows[] = {
        {OK, "020100", "a000", ""},
        {OK, "020100",
         "a00830060602"
         "2a03"
         "3100",
         ""},
        {UNSUPPORTED, "020101", "a000", ""},
        {MALFORMED, "0201ff", "a000", ""},
        {MALFORMED, "020100", "", ""},
        {MALFORMED, "020100", "a0020500", ""},
        {MALFORMED, "020100",
         "a006"
         "300406022a03",
         ""},
        {MALFORMED, "020100",
         "a00a"
         "300806022a03"
         "3100"
         "0500",
         ""},
        {MALFORMED, "020100",
         "a000"
         "0500",
         ""},
        {MALFORMED, "020100", "3100", ""},
        {MALFORMED, "020100", "a000", "0500"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t room[PKI_REQUEST_MAX], whole[PKI_REQUEST_MAX], signature[CRYPTO_SIGNATURE_MAX];
        struct writer information = writer_over(room, sizeof room), out = writer_over(whole, sizeof whole);
        struct pki_request read;
        size_t opened = der_open(&information, DER_SEQUENCE);
        check_ok(hex_decode(rows[i].version, &information));
        (void)rig_name(&information, "a");
        key_put(&information, &ed25519.public_key);
        check_ok(hex_decode(rows[i].attributes, &information));
        der_close(&information, opened);
        struct bytes signed_part = writer_bytes(&information);
        check_ok(crypto_sign(&ed25519, &signed_part, 1, signature));
        opened = der_open(&out, DER_SEQUENCE);
        put_bytes(&out, signed_part);
        pki_put_algorithm(&out, CRYPTO_ED25519);
        der_put_bits(&out, bytes_from(signature, 64));
        check_ok(hex_decode(rows[i].behind, &out));
        der_close(&out, opened);
        check_status(rows[i].status, pki_request_open(writer_bytes(&out), &read));
    }
}

static void a_request_too_long_is_refused(void **state)
{
    (void)state;
    static uint8_t room[2 * PKI_REQUEST_MAX], whole[2 * PKI_REQUEST_MAX], filler[PKI_REQUEST_MAX];
    bool fits = false, too_long = false;
    for (size_t len = PKI_REQUEST_MAX - 260; len < PKI_REQUEST_MAX - 100; len++) {
        uint8_t signature[CRYPTO_SIGNATURE_MAX];
        struct writer information = writer_over(room, sizeof room), out = writer_over(whole, sizeof whole);
        struct pki_request read;
        static const uint8_t oid[] = {0x2a, 0x03};
        size_t opened = der_open(&information, DER_SEQUENCE);
        der_put_small(&information, 0);
        (void)rig_name(&information, "a");
        key_put(&information, &ed25519.public_key);
        size_t attributes = der_open(&information, DER_CONTEXT_HELD), attribute = der_open(&information, DER_SEQUENCE);
        der_put(&information, DER_OID, BYTES_OF(oid));
        der_put(&information, DER_SET, bytes_from(filler, len));
        der_close(&information, attribute);
        der_close(&information, attributes);
        der_close(&information, opened);
        struct bytes signed_part = writer_bytes(&information);
        check_ok(crypto_sign(&ed25519, &signed_part, 1, signature));
        opened = der_open(&out, DER_SEQUENCE);
        put_bytes(&out, signed_part);
        pki_put_algorithm(&out, CRYPTO_ED25519);
        der_put_bits(&out, bytes_from(signature, 64));
        der_close(&out, opened);
        check_status(out.len <= PKI_REQUEST_MAX ? OK : NO_ROOM, pki_request_open(writer_bytes(&out), &read));
        fits |= out.len == PKI_REQUEST_MAX;
        too_long |= out.len == PKI_REQUEST_MAX + 1;
    }
    assert_true(fits && too_long);
}

/* ---- What other programs wrote ---- */

/* Certificates of another EDHOC implementation's handshakes: Ed25519, P-256 and P-384, without extensions. */
static void certificates_of_edhoc_vectors_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name, *who;
        enum crypto_curve curve;
    } rows[] = {
        {"handshake_x5chain_sig_suite0.one_cert_in_chain", "EDHOC Responder Ed25519", CRYPTO_ED25519},
        {"handshake_x5chain_sig_suite2.one_cert_in_chain", NULL, CRYPTO_P256},
        {"handshake_x5chain_sig_suite24.one_cert_in_chain", NULL, CRYPTO_P384},
        {"handshake_x5t_sig_suite2.handshake", NULL, CRYPTO_P256},
    };
    json_error_t error;
    json_t *vectors = json_load_file("tests/vectors/edhoc_x509.json", 0, &error);
    assert_non_null(vectors);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int initiator = 0; initiator < 2; initiator++) {
            uint8_t room[1024];
            struct writer writer = writer_over(room, sizeof room);
            struct pki_certificate read;
            json_t *vector = json_object_get(vectors, rows[i].name);
            const char *cred = json_string_value(json_object_get(vector, initiator ? "cred_i" : "cred_r"));
            assert_non_null(cred);
            check_ok(hex_decode(cred, &writer)); /* a CBOR byte string: 58 nn or 59 nn nn */
            size_t head = room[0] == 0x58 ? 2 : 3;
            struct bytes der = bytes_slice(writer_bytes(&writer), head, writer.len - head);
            check_ok(pki_certificate_decode(der, &read));
            assert_int_equal(read.key.curve, rows[i].curve);
            assert_true(read.usage == 0 && read.uri.len == 0 && read.common_name.len > 0);
            if (rows[i].who && !initiator)
                check_bytes(bytes_from_text(rows[i].who), read.common_name);
            for (size_t len = 0; len < der.len; len++)
                check_status(TRUNCATED, pki_certificate_decode(bytes_slice(der, 0, len), &read));
        }
    json_decref(vectors);
}

static int make_keys(void **state)
{
    (void)state;
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&p256, CRYPTO_P256));
    check_ok(crypto_key_generate(&p384, CRYPTO_P384));
    check_ok(crypto_key_generate(&ed25519, CRYPTO_ED25519));
    check_ok(crypto_key_generate(&x25519, CRYPTO_X25519));
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    crypto_key_done(&p256);
    crypto_key_done(&p384);
    crypto_key_done(&ed25519);
    crypto_key_done(&x25519);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_reads_as_it_was_made),
        cmocka_unit_test(a_request_of_libcrypto_is_read),
        cmocka_unit_test(every_shorter_request_and_one_longer_is_refused),
        cmocka_unit_test(every_flipped_bit_of_a_request_is_refused),
        cmocka_unit_test(a_request_for_anothers_key_is_refused),
        cmocka_unit_test(what_a_request_cannot_say_is_not_signed),
        cmocka_unit_test(a_request_keeps_to_its_rules),
        cmocka_unit_test(a_request_too_long_is_refused),
        cmocka_unit_test(certificates_of_edhoc_vectors_are_read),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
