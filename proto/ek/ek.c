/* An EK certificate as bytes. Secret: the issuer's key alone. */
#include "ek_internal.h"

#include <string.h>

#define VERSION_3 2
#define MODEL_MAX 32
#define VERSION_LEN 8

/* Contents of object identifiers. */
static const uint8_t rsa_encryption[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
static const uint8_t ec_public_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t p384[] = {0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t tpm_manufacturer[] = {0x67, 0x81, 0x05, 0x02, 0x01};  /* 2.23.133.2.1 */
static const uint8_t tpm_model[] = {0x67, 0x81, 0x05, 0x02, 0x02};         /* 2.23.133.2.2 */
static const uint8_t tpm_version[] = {0x67, 0x81, 0x05, 0x02, 0x03};       /* 2.23.133.2.3 */
static const uint8_t tpm_specification[] = {0x67, 0x81, 0x05, 0x02, 0x10}; /* 2.23.133.2.16 */
static const uint8_t ek_purpose[] = {0x67, 0x81, 0x05, 0x08, 0x01};        /* 2.23.133.8.1 */
static const uint8_t directory_attributes[] = {0x55, 0x1d, 0x09};
static const uint8_t key_usage[] = {0x55, 0x1d, 0x0f};
static const uint8_t basic_constraints[] = {0x55, 0x1d, 0x13};
static const uint8_t authority_key_id[] = {0x55, 0x1d, 0x23};
static const uint8_t extended_key_usage[] = {0x55, 0x1d, 0x25};
static const uint8_t binding[] = {0x69, 0xdc, 0xc6, 0x9c, 0x9e, 0x8e, 0xec, 0xd2, 0x8f, 0xcb,
                                  0x94, 0xcb, 0x9b, 0xfd, 0xbd, 0xf3, 0x8b, 0xae, 0x1a};

#define OID(array) EK_OID(array)
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

const uint8_t ek_alternative_name[3] = {0x55, 0x1d, 0x11};

/* ---- What may be in it ---- */

static bool consists_of(struct bytes text, const char *letters)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == 0 || !strchr(letters, text.data[i]))
            return false;
    return true;
}

bool ek_text_fits(struct bytes text)
{
    uint8_t room[PKI_NAME_MAX];
    struct writer writer = writer_over(room, sizeof room);
    return text.len > 0 && text.len <= EK_TENANT_MAX && pki_put_name(&writer, text) == OK;
}

bool ek_word_fits(struct bytes word)
{
    return word.len > 0 && word.len <= MODEL_MAX && consists_of(word, LETTERS DIGITS);
}

bool ek_serial_fits(struct bytes serial)
{
    return serial.len > 0 && serial.len <= PKI_SERIAL_MAX && serial.data[0] > 0 &&
           (serial.len < PKI_SERIAL_MAX || serial.data[0] < 0x80);
}

static bool fits(const struct ek_order *order)
{
    bool rsa = order->rsa.len == EK_RSA_LEN && (order->rsa.data[0] & 0x80) && (order->rsa.data[EK_RSA_LEN - 1] & 1);
    bool ec = order->rsa.len == 0 && (order->key.curve == CRYPTO_P256 || order->key.curve == CRYPTO_P384);
    return (rsa || ec) && ek_serial_fits(order->terms.serial) && order->name.len > 0 &&
           order->name.len <= EK_NAME_MAX && order->name.data[0] != '.' &&
           consists_of(order->name, LETTERS DIGITS "._-") && ek_text_fits(order->tenant) &&
           ek_word_fits(order->model) && order->version.len == VERSION_LEN &&
           consists_of(order->version, DIGITS "abcdefABCDEF") && order->terms.not_before_s <= order->terms.not_after_s;
}

/* ---- Its parts ---- */

static void put_bits(struct writer *writer, uint8_t bits, uint8_t unused)
{
    const uint8_t contents[] = {unused, bits};
    der_put(writer, DER_BIT_STRING, BYTES_OF(contents));
}

static void put_rsa(struct writer *writer, struct bytes modulus)
{
    static const uint8_t exponent[] = {1, 0, 1};
    uint8_t room[EK_RSA_LEN + 32];
    struct writer key = writer_over(room, sizeof room);
    size_t numbers = der_open(&key, DER_SEQUENCE);
    der_put_positive(&key, modulus);
    der_put_positive(&key, BYTES_OF(exponent));
    der_close(&key, numbers);
    size_t kind = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, OID(rsa_encryption));
    der_put(writer, 0x05, (struct bytes){0}); /* NULL */
    der_close(writer, kind);
    der_put_bits(writer, writer_bytes(&key));
}

static void put_ec(struct writer *writer, const struct crypto_public *key)
{
    size_t kind = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, OID(ec_public_key));
    der_put(writer, DER_OID, key->curve == CRYPTO_P256 ? OID(p256) : OID(p384));
    der_close(writer, kind);
    der_put_bits(writer, crypto_public_bytes(key));
}

size_t ek_open_extension(struct writer *writer, struct bytes oid, bool critical)
{
    size_t opened = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, oid);
    if (critical)
        der_put(writer, DER_BOOLEAN, bytes_from("\xff", 1));
    return opened;
}

void ek_put_attribute(struct writer *writer, struct bytes oid, struct bytes text)
{
    size_t set = der_open(writer, DER_SET), pair = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, oid);
    der_put(writer, DER_UTF8, text);
    der_close(writer, pair);
    der_close(writer, set);
}

void ek_put_uri(struct writer *writer, const uint8_t site[EK_SITE_LEN], const uint8_t instance[EK_SITE_LEN])
{
    char of_site[2 * EK_SITE_LEN + 1] = "", of_instance[2 * EK_SITE_LEN + 1] = "";
    if (hex_encode(bytes_from(site, EK_SITE_LEN), of_site, sizeof of_site) != OK ||
        hex_encode(bytes_from(instance, EK_SITE_LEN), of_instance, sizeof of_instance) != OK)
        writer_fail(writer, INTERNAL);
    size_t uri = der_open(writer, DER_CONTEXT + 6);
    put_text(writer, "bastide://");
    put_text(writer, of_site);
    put_text(writer, "/vtpm/");
    put_text(writer, of_instance);
    der_close(writer, uri);
}

/* §3.1.2: who made which TPM, and below it which instance this is. Not critical, for there is a subject (RFC 5280
 * §4.2.1.6): who does not know TCG's names can still use the rest. */
static void put_alternative_names(struct writer *writer, const struct ek_order *order)
{
    size_t extension = ek_open_extension(writer, OID(ek_alternative_name), false),
           value = der_open(writer, DER_OCTET_STRING);
    size_t names = der_open(writer, DER_SEQUENCE), directory = der_open(writer, DER_CONTEXT_HELD + 4);
    size_t name = der_open(writer, DER_SEQUENCE);
    ek_put_attribute(writer, OID(tpm_manufacturer), bytes_from_text(EK_MANUFACTURER));
    ek_put_attribute(writer, OID(tpm_model), order->model);
    uint8_t version[3 + VERSION_LEN] = "id:";
    memcpy(version + 3, order->version.data, VERSION_LEN);
    ek_put_attribute(writer, OID(tpm_version), BYTES_OF(version));
    der_close(writer, name);
    der_close(writer, directory);
    ek_put_uri(writer, order->terms.site, order->instance);
    der_close(writer, names);
    der_close(writer, value);
    der_close(writer, extension);
}

/* §3.1.3: TPMSpecification. */
static void put_specification(struct writer *writer)
{
    size_t extension = ek_open_extension(writer, OID(directory_attributes), false);
    size_t value = der_open(writer, DER_OCTET_STRING), attributes = der_open(writer, DER_SEQUENCE);
    size_t attribute = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, OID(tpm_specification));
    size_t set = der_open(writer, DER_SET), specification = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_UTF8, bytes_from_text("2.0"));
    der_put_small(writer, 0);
    der_put_small(writer, 164);
    der_close(writer, specification);
    der_close(writer, set);
    der_close(writer, attribute);
    der_close(writer, attributes);
    der_close(writer, value);
    der_close(writer, extension);
}

void ek_put_authority(struct writer *writer, const struct pki_certificate *issuer)
{
    size_t extension = ek_open_extension(writer, OID(authority_key_id), false);
    size_t value = der_open(writer, DER_OCTET_STRING), id = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_CONTEXT, issuer->key_id);
    der_close(writer, id);
    der_close(writer, value);
    der_close(writer, extension);
}

static void put_small_extensions(struct writer *writer, const struct ek_order *order,
                                 const struct pki_certificate *issuer)
{
    size_t extension = ek_open_extension(writer, OID(basic_constraints), true),
           value = der_open(writer, DER_OCTET_STRING);
    der_put(writer, DER_SEQUENCE, (struct bytes){0}); /* no CA */
    der_close(writer, value);
    der_close(writer, extension);
    extension = ek_open_extension(writer, OID(key_usage), true);
    value = der_open(writer, DER_OCTET_STRING);
    if (order->rsa.len)
        put_bits(writer, 0x20, 5); /* keyEncipherment */
    else
        put_bits(writer, 0x08, 3); /* keyAgreement */
    der_close(writer, value);
    der_close(writer, extension);
    extension = ek_open_extension(writer, OID(extended_key_usage), false);
    value = der_open(writer, DER_OCTET_STRING);
    size_t purposes = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, OID(ek_purpose));
    der_close(writer, purposes);
    der_close(writer, value);
    der_close(writer, extension);
    ek_put_authority(writer, issuer);
}

static void put_binding(struct writer *writer, const struct ek_order *order)
{
    size_t extension = ek_open_extension(writer, OID(binding), false), value = der_open(writer, DER_OCTET_STRING);
    size_t fields = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_UTF8, order->tenant);
    der_put(writer, DER_OCTET_STRING, BYTES_OF(order->measurement));
    der_put(writer, DER_OCTET_STRING, BYTES_OF(order->signer));
    der_close(writer, fields);
    der_close(writer, value);
    der_close(writer, extension);
}

static enum status put_signed_part(struct writer *writer, enum crypto_curve signer,
                                   const struct pki_certificate *issuer, const struct ek_order *order)
{
    size_t opened = der_open(writer, DER_SEQUENCE), version = der_open(writer, DER_CONTEXT_HELD);
    der_put_small(writer, VERSION_3);
    der_close(writer, version);
    der_put_positive(writer, order->terms.serial);
    pki_put_algorithm(writer, signer);
    put_bytes(writer, issuer->subject);
    size_t validity = der_open(writer, DER_SEQUENCE);
    der_put_time(writer, order->terms.not_before_s);
    der_put_time(writer, order->terms.not_after_s);
    der_close(writer, validity);
    TRY(pki_put_name(writer, order->name));
    size_t key = der_open(writer, DER_SEQUENCE);
    if (order->rsa.len)
        put_rsa(writer, order->rsa);
    else
        put_ec(writer, &order->key);
    der_close(writer, key);
    size_t held = der_open(writer, DER_CONTEXT_HELD + 3), extensions = der_open(writer, DER_SEQUENCE);
    put_small_extensions(writer, order, issuer);
    put_alternative_names(writer, order);
    put_specification(writer);
    put_binding(writer, order);
    der_close(writer, extensions);
    der_close(writer, held);
    der_close(writer, opened);
    return writer_end(writer);
}

enum status ek_may_sign(const struct pki_certificate *issuer, const struct crypto_key *key)
{
    const bool may = issuer->is_ca && issuer->usage & PKI_KEY_CERT_SIGN && issuer->key_id.len > 0 &&
                     bytes_equal(crypto_public_bytes(&issuer->key), crypto_public_bytes(&key->public_key));
    return may ? OK : DENIED;
}

enum status ek_put_signed(struct writer *writer, const struct crypto_key *key, struct bytes signed_part)
{
    uint8_t whole[EK_CERTIFICATE_MAX];
    struct writer out = writer_over(whole, sizeof whole);
    TRY(pki_put_signed(&out, key, signed_part));
    TRY(writer_end(&out));
    TRY(writer_end(writer));
    if (out.len > writer->cap - writer->len)
        return NO_ROOM;
    put_bytes(writer, writer_bytes(&out));
    return writer_end(writer);
}

enum status ek_certificate_sign(struct writer *writer, const struct crypto_key *key,
                                const struct pki_certificate *issuer, const struct ek_order *order)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer signed_part = writer_over(room, sizeof room);
    TRY(ek_may_sign(issuer, key));
    if (!fits(order))
        return MALFORMED;
    TRY(put_signed_part(&signed_part, key->public_key.curve, issuer, order));
    return ek_put_signed(writer, key, writer_bytes(&signed_part));
}
