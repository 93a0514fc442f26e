/* ek: certificates for endorsement keys, read back by libcrypto as any TPM user's tools would, and taken by the room
 * that judges makers' certificates. */
#include "evidence_rig.h"
#include "site_ca.h"

#include "ek.h"
#include "endorsement.h"
#include "x509.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NOW_S 1800000000
#define DAY_S 86400

static uint8_t modulus[EK_RSA_LEN];
static const uint8_t serial[] = {1, 2, 3};

static int start_ca(void **state)
{
    if (start(state))
        return 1;
    make_site_ca(NOW_S);
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    BIGNUM *number_n = NULL;
    assert_int_equal(1, EVP_PKEY_get_bn_param(rsa, "n", &number_n));
    assert_int_equal(EK_RSA_LEN, BN_bn2binpad(number_n, modulus, EK_RSA_LEN));
    BN_free(number_n);
    EVP_PKEY_free(rsa);
    return 0;
}

static int stop_ca(void **state)
{
    end_site_ca();
    return stop(state);
}

static struct ek_order order_for_p256(void)
{
    return (struct ek_order){.key = node.ek.public_key,
                             .terms.site = {0xab},
                             .instance = {0xcd},
                             .name = bytes_from_text("vm-17"),
                             .tenant = bytes_from_text("Hôpital"),
                             .model = bytes_from_text("vtpm"),
                             .version = bytes_from_text("00010002"),
                             .measurement = {0x11},
                             .signer = {0x22},
                             .terms.serial = BYTES_OF(serial),
                             .terms.not_before_s = NOW_S - DAY_S,
                             .terms.not_after_s = NOW_S + DAY_S};
}

static struct bytes sign(const struct ek_order *order, uint8_t room[EK_CERTIFICATE_MAX])
{
    struct writer writer = writer_over(room, EK_CERTIFICATE_MAX);
    check_ok(ek_certificate_sign(&writer, &ca_key, &ca, order));
    return writer_bytes(&writer);
}

static X509 *read_back(struct bytes der)
{
    const unsigned char *at = der.data;
    X509 *read = d2i_X509(NULL, &at, (long)der.len);
    assert_non_null(read);
    assert_ptr_equal(der.data + der.len, at);
    return read;
}

static void check_says(X509 *certificate, const char *text)
{
    char *all;
    BIO *bio = BIO_new(BIO_s_mem());
    X509_print(bio, certificate);
    long len = BIO_get_mem_data(bio, &all);
    if (!memmem(all, (size_t)len, text, strlen(text)))
        fail_msg("no \"%s\" in:\n%.*s", text, (int)len, all);
    BIO_free(bio);
}

static void an_ek_certificate_reads_like_a_makers(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX];
    struct ek_order order = order_for_p256();
    X509 *read = read_back(sign(&order, room));
    check_says(read, "Subject: CN=vm-17");
    check_says(read, "CA:FALSE");
    check_says(read, "Key Agreement");
    check_says(read, "2.23.133.8.1");
    check_says(read, "X509v3 Subject Alternative Name: \n");
    check_says(read, "2.23.133.2.1=id:42415354");
    check_says(read, "2.23.133.2.3=id:00010002");
    check_says(read, "URI:bastide://ab000000000000000000000000000000/vtpm/cd000000000000000000000000000000");
    check_says(read, EK_BINDING);
    assert_int_equal(NOW_S + DAY_S, order.terms.not_after_s);
    X509_free(read);
}

static struct bytes authority(char room[4096])
{
    X509 *site = read_back(ca_der);
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, site);
    long len = BIO_get_mem_data(bio, &text);
    memcpy(room, text, (size_t)len);
    BIO_free(bio);
    X509_free(site);
    return bytes_from(room, (size_t)len);
}

static void it_is_taken_where_makers_certificates_are(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX];
    char pem[4096], why[256] = "";
    struct ek_order order = order_for_p256();
    struct bytes der = sign(&order, room);
    enum status status =
        endorsement_check(der, bytes_from(node.ek_area, node.ek_len), authority(pem), NOW_S, why, sizeof why);
    if (status != OK)
        fail_msg("%s", why);
}

static void rsa_and_p384_keys_have_theirs(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX];
    struct ek_order order = order_for_p256();
    struct crypto_key p384 = {0};
    order.key = (struct crypto_public){0};
    order.rsa = BYTES_OF(modulus);
    X509 *read = read_back(sign(&order, room));
    check_says(read, "Public-Key: (2048 bit)");
    check_says(read, "Key Encipherment");
    BIGNUM *got = NULL;
    uint8_t bytes[EK_RSA_LEN];
    assert_int_equal(1, EVP_PKEY_get_bn_param(X509_get0_pubkey(read), "n", &got));
    assert_int_equal(EK_RSA_LEN, BN_bn2binpad(got, bytes, sizeof bytes));
    assert_memory_equal(modulus, bytes, sizeof bytes);
    BN_free(got);
    X509_free(read);
    check_ok(crypto_key_generate(&p384, CRYPTO_P384));
    order = order_for_p256();
    order.key = p384.public_key;
    read = read_back(sign(&order, room));
    check_says(read, "secp384r1");
    X509_free(read);
    crypto_key_done(&p384);
}

static void refused(enum status expected, const struct crypto_key *key, const struct pki_certificate *issuer,
                    const struct ek_order *order)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_status(expected, ek_certificate_sign(&writer, key, issuer, order));
    assert_int_equal(0, writer.len);
}

static void every_field_has_its_range(void **state)
{
    (void)state;
    static const char longest[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    _Static_assert(sizeof longest - 1 == EK_NAME_MAX, "64 letters");
    uint8_t room[EK_CERTIFICATE_MAX], big[PKI_SERIAL_MAX + 1] = {0x7f};
    struct ek_order order = order_for_p256();
    order.name = order.tenant = bytes_from_text(longest);
    order.model = bytes_from(longest, 32);
    order.terms.serial = bytes_from(big, PKI_SERIAL_MAX);
    (void)sign(&order, room);
#define refused_with(change)                                                                                           \
    do {                                                                                                               \
        order = order_for_p256();                                                                                      \
        change;                                                                                                        \
        refused(MALFORMED, &ca_key, &ca, &order);                                                                      \
    } while (0)
    refused_with(order.name = bytes_from_text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    refused_with(order.name = bytes_from_text("a/b"));
    refused_with(order.name = bytes_from_text(".a"));
    refused_with(order.name = (struct bytes){0});
    refused_with(order.tenant = bytes_from_text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    refused_with(order.tenant = bytes_from_text("a\nb"));
    refused_with(order.tenant = bytes_from_text("\xff"));
    refused_with(order.tenant = (struct bytes){0});
    refused_with(order.model = bytes_from(longest, 33));
    refused_with(order.model = bytes_from_text("v tpm"));
    refused_with(order.version = bytes_from_text("1"));
    refused_with(order.version = bytes_from_text("0001000g"));
    refused_with(order.terms.serial = BYTES_OF(big));
    refused_with(order.terms.serial = (struct bytes){0});
    refused_with(order.terms.serial = bytes_from("\0\1", 2));
    refused_with(order.terms.not_after_s = order.terms.not_before_s - 1);
    refused_with(order.key.curve = CRYPTO_ED25519);
    refused_with(order.rsa = bytes_from(modulus, EK_RSA_LEN - 1));
    uint8_t small[EK_RSA_LEN] = {0x7f}, even[EK_RSA_LEN] = {0x80};
    small[EK_RSA_LEN - 1] = 1;
    refused_with(order.rsa = BYTES_OF(small));
    refused_with(order.rsa = BYTES_OF(even));
}

static void only_a_ca_signs_and_with_its_own_key(void **state)
{
    (void)state;
    struct ek_order order = order_for_p256();
    struct pki_certificate other = ca;
    refused(DENIED, &owner_key, &ca, &order);
    other.is_ca = false;
    refused(DENIED, &ca_key, &other, &order);
    other = ca;
    other.usage &= ~(unsigned)PKI_KEY_CERT_SIGN;
    refused(DENIED, &ca_key, &other, &order);
}

static void it_fits_its_room_and_none_smaller(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX];
    struct ek_order order = order_for_p256();
    size_t len = sign(&order, room).len;
    struct writer writer = writer_over(room, len - 8); /* a signature's length varies by a few bytes */
    check_status(NO_ROOM, ek_certificate_sign(&writer, &ca_key, &ca, &order));
    assert_int_equal(0, writer.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ek_certificate_reads_like_a_makers),
        cmocka_unit_test(it_is_taken_where_makers_certificates_are),
        cmocka_unit_test(rsa_and_p384_keys_have_theirs),
        cmocka_unit_test(every_field_has_its_range),
        cmocka_unit_test(only_a_ca_signs_and_with_its_own_key),
        cmocka_unit_test(it_fits_its_room_and_none_smaller),
    };
    return cmocka_run_group_tests(tests, start_ca, stop_ca);
}
