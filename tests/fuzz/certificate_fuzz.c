/* Certificates from anyone: as they arrive, or their inside as if the site's CA had signed it, so that the chain's
 * check goes on. What is accepted libcrypto reads the same way, and it reads the same again when its parts are signed
 * anew. */
#include "x509.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define NOW 1795000000

static struct crypto_key owner, ca;
static uint8_t owner_room[PKI_CERTIFICATE_MAX], ca_room[PKI_CERTIFICATE_MAX];
static struct bytes owner_der, ca_der;
static const uint8_t site[X509_SITE_LEN] = {1, 2, 3};

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static void make_site(void)
{
    static const uint8_t serial[X509_SERIAL_LEN] = {1};
    uint8_t scalar[32] = {7};
    struct pki_certificate certificate;
    struct x509_order order = {.identity = {.role = X509_SITE_CA, .name = bytes_from_text("house")}, .now_s = NOW};
    struct writer writer = writer_over(owner_room, sizeof owner_room);
    hold(crypto_init() == OK);
    hold(crypto_key_import(&owner, CRYPTO_ED25519, BYTES_OF(scalar)) == OK);
    scalar[0] = 8;
    hold(crypto_key_import(&ca, CRYPTO_ED25519, BYTES_OF(scalar)) == OK);
    hold(x509_issue_root(&writer, &owner, serial, NOW) == OK);
    owner_der = writer_bytes(&writer);
    hold(pki_certificate_decode(owner_der, &certificate) == OK);
    memcpy(order.identity.site, site, sizeof site);
    order.key = ca.public_key;
    writer = writer_over(ca_room, sizeof ca_room);
    hold(x509_issue(&writer, &owner, &certificate, &order) == OK);
    ca_der = writer_bytes(&writer);
}

/* ---- The same to libcrypto ---- */

static bool same_string(const ASN1_STRING *theirs, struct bytes ours)
{
    return theirs && bytes_equal(bytes_from(ASN1_STRING_get0_data(theirs), (size_t)ASN1_STRING_length(theirs)), ours);
}

static bool same_time(const ASN1_TIME *theirs, int64_t ours)
{
    struct tm parts;
    return ASN1_TIME_to_tm(theirs, &parts) == 1 && timegm(&parts) == ours;
}

static bool same_name(const X509_NAME *theirs, struct bytes ours)
{
    const unsigned char *der = NULL;
    size_t len = 0;
    return X509_NAME_get0_der(theirs, &der, &len) == 1 && bytes_equal(bytes_from(der, len), ours);
}

static void compare_extensions(X509 *x509, const struct pki_certificate *certificate)
{
    BASIC_CONSTRAINTS *constraints = X509_get_ext_d2i(x509, NID_basic_constraints, NULL, NULL);
    hold(certificate->is_ca == (constraints && constraints->ca));
    if (certificate->has_path_len)
        hold(constraints->pathlen && ASN1_INTEGER_get(constraints->pathlen) == certificate->path_len);
    BASIC_CONSTRAINTS_free(constraints);
    ASN1_BIT_STRING *usage = X509_get_ext_d2i(x509, NID_key_usage, NULL, NULL);
    hold((usage != NULL) == (certificate->usage != 0));
    for (int i = 0; usage && i < 9; i++)
        hold(ASN1_BIT_STRING_get_bit(usage, i) == (int)(certificate->usage >> i & 1));
    ASN1_BIT_STRING_free(usage);
    ASN1_OCTET_STRING *key_id = X509_get_ext_d2i(x509, NID_subject_key_identifier, NULL, NULL);
    hold(certificate->key_id.len ? same_string(key_id, certificate->key_id) : !key_id);
    ASN1_OCTET_STRING_free(key_id);
}

static void compare(struct bytes der, const struct pki_certificate *certificate)
{
    const unsigned char *at = der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.len);
    hold(x509 && at == der.data + der.len && X509_get_version(x509) == X509_VERSION_3);
    hold(same_string(X509_get0_serialNumber(x509), certificate->serial));
    hold(same_time(X509_get0_notBefore(x509), certificate->not_before_s));
    hold(same_time(X509_get0_notAfter(x509), certificate->not_after_s));
    hold(same_name(X509_get_issuer_name(x509), certificate->issuer));
    hold(same_name(X509_get_subject_name(x509), certificate->subject));
    hold(same_string(X509_get0_pubkey_bitstr(x509), crypto_public_bytes(&certificate->key)));
    compare_extensions(x509, certificate);
    X509_free(x509);
}

/* ---- The same again ---- */

static void sign_again(const struct pki_certificate *certificate)
{
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct pki_certificate known = *certificate, again;
    known.purposes &= ~(unsigned)PKI_OTHER_PURPOSE;
    enum status status = pki_certificate_sign(&writer, &ca, &known);
    if (status == NO_ROOM)
        return;
    hold(status == OK && pki_certificate_decode(writer_bytes(&writer), &again) == OK);
    hold(bytes_equal(known.serial, again.serial) && bytes_equal(known.issuer, again.issuer) &&
         bytes_equal(known.subject, again.subject) && bytes_equal(known.common_name, again.common_name) &&
         bytes_equal(known.uri, again.uri) && bytes_equal(known.authority_key_id, again.authority_key_id));
    hold(known.not_before_s == again.not_before_s && known.not_after_s == again.not_after_s &&
         known.is_ca == again.is_ca && known.path_len == again.path_len && known.usage == again.usage &&
         known.purposes == again.purposes && !again.unknown_critical);
    hold(pki_certificate_verify(&again, &ca.public_key) == OK);
}

static void check_chain(struct bytes der)
{
    const struct bytes chain[] = {der, ca_der, owner_der};
    struct x509_result result;
    char text[256];
    struct x509_policy policy = {.anchor = owner_der,
                                 .site = BYTES_OF(site),
                                 .roles = 1u << X509_CLIENT,
                                 .usage = PKI_DIGITAL_SIGNATURE,
                                 .now_s = NOW};
    enum status status = x509_check_chain(chain, 2, &policy, &result);
    hold((status == OK) == (result.reasons == 0) && (status == OK || status == DENIED));
    if (status == OK) {
        hold(result.identity.role == X509_CLIENT && memcmp(result.identity.site, site, sizeof site) == 0);
        hold(!result.certificate.is_ca && !result.certificate.unknown_critical);
        hold(pki_certificate_verify(&result.certificate, &ca.public_key) == OK);
    }
    for (enum x509_reason reason = 0; reason < X509_REASON_COUNT; reason++)
        if (result.reasons & 1u << reason)
            x509_sentence(reason, &policy, &result, text, sizeof text);
    const struct bytes above[] = {ca_der, der};
    hold(x509_check_chain(above, 2, &policy, &result) == DENIED);
}

/* The inside, signed by the site's CA: its Ed25519 signature and the algorithm that stands before it. */
static struct bytes wrap(struct bytes inside, uint8_t *room, size_t cap)
{
    static const uint8_t algorithm[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00};
    uint8_t signature[CRYPTO_SIGNATURE_MAX];
    struct writer writer = writer_over(room, cap);
    hold(crypto_sign(&ca, &inside, 1, signature) == OK);
    size_t len = inside.len + sizeof algorithm + 64;
    if (len < 0x80) {
        put_u16be(&writer, (uint16_t)(0x3000 | len));
    } else if (len < 0x100) {
        put_u16be(&writer, 0x3081);
        put_u8(&writer, (uint8_t)len);
    } else {
        put_u16be(&writer, 0x3082);
        put_u16be(&writer, (uint16_t)len);
    }
    put_bytes(&writer, inside);
    put_bytes(&writer, BYTES_OF(algorithm));
    put_bytes(&writer, bytes_from(signature, 64));
    return writer_bytes(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[8192];
    struct pki_certificate certificate;
    struct x509_identity identity;
    if (!ca.pkey)
        make_site();
    struct reader reader = reader_over(bytes_from(data, len));
    uint8_t kind = take_u8(&reader);
    struct bytes der = take_rest(&reader);
    if (kind & 1)
        der = wrap(der, room, sizeof room);
    check_chain(der);
    if (pki_certificate_decode(der, &certificate) != OK)
        return 0;
    compare(der, &certificate);
    sign_again(&certificate);
    if (x509_identity_of(&certificate, &identity) == OK) {
        uint8_t uri[PKI_URI_MAX];
        struct writer text = writer_over(uri, sizeof uri);
        hold(x509_put_uri(&text, &identity) == OK && bytes_equal(writer_bytes(&text), certificate.uri));
    }
    return 0;
}
