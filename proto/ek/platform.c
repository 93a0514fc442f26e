/* A platform certificate as bytes: an attribute certificate (RFC 5755 §4) after TCG's Platform Certificate Profile 1.1
 * §3.2. Secret: the issuer's key alone. */
#include "ek_internal.h"

static const uint8_t platform_specification[] = {0x67, 0x81, 0x05, 0x02, 0x11};   /* 2.23.133.2.17 */
static const uint8_t credential_specification[] = {0x67, 0x81, 0x05, 0x02, 0x17}; /* 2.23.133.2.23 */
static const uint8_t credential_type[] = {0x67, 0x81, 0x05, 0x02, 0x19};          /* 2.23.133.2.25 */
static const uint8_t platform_certificate[] = {0x67, 0x81, 0x05, 0x08, 0x02};     /* 2.23.133.8.2 */
static const uint8_t manufacturer[] = {0x67, 0x81, 0x05, 0x05, 0x01, 0x01};       /* 2.23.133.5.1.1 */
static const uint8_t model[] = {0x67, 0x81, 0x05, 0x05, 0x01, 0x04};
static const uint8_t version[] = {0x67, 0x81, 0x05, 0x05, 0x01, 0x05};
static const uint8_t serial[] = {0x67, 0x81, 0x05, 0x05, 0x01, 0x06};
static const uint8_t certificate_policies[] = {0x55, 0x1d, 0x20};
static const uint8_t no_revocation[] = {0x55, 0x1d, 0x38};
static const uint8_t user_notice[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x02, 0x02};
static const uint8_t policy[] = {0x69, 0x81, 0x8f, 0xe3, 0xb7, 0xca, 0x9e, 0xf9, 0xfa, 0x97,
                                 0xf3, 0xa7, 0xfd, 0xa1, 0x81, 0x85, 0xce, 0xa4, 0xd0, 0x1f};
const uint8_t ek_platform_oid[20] = {0x69, 0x81, 0xb8, 0xf5, 0xbc, 0x96, 0xc1, 0xd1, 0xca, 0x82,
                                     0xa1, 0x88, 0xc0, 0xaa, 0xa8, 0x8c, 0xcc, 0xad, 0xd5, 0x51};
static const uint8_t virtualization[] = {0, 0, 0, 0x0c}; /* TPM_PS_VIRTUALIZATION (Part 2 §6.15) */

static void put_directory_name(struct writer *writer, struct bytes name)
{
    size_t directory = der_open(writer, DER_CONTEXT_HELD + 4);
    put_bytes(writer, name);
    der_close(writer, directory);
}

/* Of the endorsement key's certificate: the same CA's, by its number. */
static void put_holder(struct writer *writer, const struct pki_certificate *issuer, struct bytes number)
{
    size_t holder = der_open(writer, DER_SEQUENCE), id = der_open(writer, DER_CONTEXT_HELD);
    size_t names = der_open(writer, DER_SEQUENCE);
    put_directory_name(writer, issuer->subject);
    der_close(writer, names);
    der_put_positive(writer, number);
    der_close(writer, id);
    der_close(writer, holder);
}

static void put_issuer(struct writer *writer, const struct pki_certificate *issuer)
{
    size_t form = der_open(writer, DER_CONTEXT_HELD), names = der_open(writer, DER_SEQUENCE);
    put_directory_name(writer, issuer->subject);
    der_close(writer, names);
    der_close(writer, form);
}

/* TCGSpecificationVersion */
static void put_version(struct writer *writer, uint16_t major, uint16_t minor, uint16_t revision)
{
    size_t opened = der_open(writer, DER_SEQUENCE);
    der_put_small(writer, major);
    der_put_small(writer, minor);
    der_put_small(writer, revision);
    der_close(writer, opened);
}

static size_t open_attribute(struct writer *writer, struct bytes oid, size_t *values)
{
    size_t opened = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, oid);
    *values = der_open(writer, DER_SET);
    return opened;
}

static void close_attribute(struct writer *writer, size_t opened, size_t values)
{
    der_close(writer, values);
    der_close(writer, opened);
}

static void put_platform_specification(struct writer *writer)
{
    size_t values = 0, opened = open_attribute(writer, EK_OID(platform_specification), &values);
    size_t specification = der_open(writer, DER_SEQUENCE);
    put_version(writer, 1, 0, 26); /* Virtualized Trusted Platform Architecture */
    der_put(writer, DER_OCTET_STRING, BYTES_OF(virtualization));
    der_close(writer, specification);
    close_attribute(writer, opened, values);
}

static void put_attributes(struct writer *writer, const struct ek_platform *order)
{
    size_t all = der_open(writer, DER_SEQUENCE), values = 0, opened;
    put_platform_specification(writer);
    opened = open_attribute(writer, EK_OID(credential_specification), &values);
    put_version(writer, 1, 1, 19);
    close_attribute(writer, opened, values);
    opened = open_attribute(writer, EK_OID(credential_type), &values);
    size_t type = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, EK_OID(platform_certificate));
    der_close(writer, type);
    close_attribute(writer, opened, values);
    opened = open_attribute(writer, EK_OID(ek_platform_oid), &values);
    size_t fields = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_UTF8, order->tenant);
    der_put(writer, DER_OCTET_STRING, BYTES_OF(order->node));
    der_put(writer, DER_OCTET_STRING, BYTES_OF(order->configuration));
    der_put(writer, DER_OCTET_STRING, BYTES_OF(order->measurement));
    der_close(writer, fields);
    close_attribute(writer, opened, values);
    der_close(writer, all);
}

static void put_policies(struct writer *writer)
{
    size_t extension = ek_open_extension(writer, EK_OID(certificate_policies), false);
    size_t value = der_open(writer, DER_OCTET_STRING), all = der_open(writer, DER_SEQUENCE);
    size_t one = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, EK_OID(policy));
    size_t qualifiers = der_open(writer, DER_SEQUENCE), qualifier = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, EK_OID(user_notice));
    size_t notice = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_UTF8, bytes_from_text("TCG Trusted Platform Endorsement"));
    der_close(writer, notice);
    der_close(writer, qualifier);
    der_close(writer, qualifiers);
    der_close(writer, one);
    der_close(writer, all);
    der_close(writer, value);
    der_close(writer, extension);
}

/* 8-4-4-4-12, as a VM shows it. */
static void put_uuid(const uint8_t id[EK_SITE_LEN], char text[37])
{
    char digits[2 * EK_SITE_LEN + 1] = "";
    size_t at = 0;
    if (hex_encode(bytes_from(id, EK_SITE_LEN), digits, sizeof digits) != OK)
        digits[0] = 0;
    for (size_t i = 0; i < 2 * EK_SITE_LEN; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            text[at++] = '-';
        text[at++] = digits[i];
    }
    text[at] = 0;
}

static void put_alternative_names(struct writer *writer, const struct ek_platform *order)
{
    char uuid[37];
    size_t extension = ek_open_extension(writer, EK_OID(ek_alternative_name), false);
    size_t value = der_open(writer, DER_OCTET_STRING), names = der_open(writer, DER_SEQUENCE);
    size_t directory = der_open(writer, DER_CONTEXT_HELD + 4), name = der_open(writer, DER_SEQUENCE);
    put_uuid(order->instance, uuid);
    ek_put_attribute(writer, EK_OID(manufacturer), bytes_from_text("Bastide"));
    ek_put_attribute(writer, EK_OID(model), order->model);
    ek_put_attribute(writer, EK_OID(version), order->version);
    ek_put_attribute(writer, EK_OID(serial), bytes_from_text(uuid));
    der_close(writer, name);
    der_close(writer, directory);
    ek_put_uri(writer, order->terms.site, order->instance);
    der_close(writer, names);
    der_close(writer, value);
    der_close(writer, extension);
}

static void put_extensions(struct writer *writer, const struct pki_certificate *issuer, const struct ek_platform *order)
{
    size_t extensions = der_open(writer, DER_SEQUENCE);
    ek_put_authority(writer, issuer);
    put_policies(writer);
    put_alternative_names(writer, order);
    size_t extension = ek_open_extension(writer, EK_OID(no_revocation), false);
    size_t value = der_open(writer, DER_OCTET_STRING);
    der_put(writer, 0x05, (struct bytes){0}); /* nobody keeps a list of those taken back (RFC 5755 §4.3.6) */
    der_close(writer, value);
    der_close(writer, extension);
    der_close(writer, extensions);
}

static bool fits(const struct ek_platform *order)
{
    return ek_serial_fits(order->holder) && ek_serial_fits(order->terms.serial) && ek_text_fits(order->tenant) &&
           ek_word_fits(order->model) && ek_word_fits(order->version) &&
           order->terms.not_before_s <= order->terms.not_after_s;
}

enum status ek_platform_sign(struct writer *writer, const struct crypto_key *key, const struct pki_certificate *issuer,
                             const struct ek_platform *order)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer signed_part = writer_over(room, sizeof room);
    TRY(ek_may_sign(issuer, key));
    if (!fits(order))
        return MALFORMED;
    size_t opened = der_open(&signed_part, DER_SEQUENCE);
    der_put_small(&signed_part, EK_PLATFORM_VERSION);
    put_holder(&signed_part, issuer, order->holder);
    put_issuer(&signed_part, issuer);
    pki_put_algorithm(&signed_part, key->public_key.curve);
    der_put_positive(&signed_part, order->terms.serial);
    size_t validity = der_open(&signed_part, DER_SEQUENCE);
    der_put_generalized_time(&signed_part, order->terms.not_before_s);
    der_put_generalized_time(&signed_part, order->terms.not_after_s);
    der_close(&signed_part, validity);
    put_attributes(&signed_part, order);
    put_extensions(&signed_part, issuer, order);
    der_close(&signed_part, opened);
    TRY(writer_end(&signed_part));
    return ek_put_signed(writer, key, writer_bytes(&signed_part));
}
