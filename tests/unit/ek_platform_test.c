/* ek: platform certificates, read back element by element as RFC 5755 and TCG's profile have them. What a reader of
 * others' making says of one is in e2e.vtpm_deep. */
#include "check.h"
#include "site_ca.h"

#include "crypto.h"
#include "der.h"
#include "ek.h"
#include "x509.h"

#define NOW_S 1800000000
#define DAY_S 86400

static const uint8_t serial[] = {1, 2, 3}, holder[] = {0x41, 7};

static int start_ca(void **state)
{
    (void)state;
    check_ok(crypto_init());
    make_site_ca(NOW_S);
    return 0;
}

static int stop_ca(void **state)
{
    (void)state;
    end_site_ca();
    return 0;
}

static struct ek_platform a_vm(void)
{
    return (struct ek_platform){.holder = BYTES_OF(holder),
                                .terms.site = {0xab},
                                .instance = {0xcd, 0xef},
                                .tenant = bytes_from_text("Hôpital"),
                                .model = bytes_from_text("vm"),
                                .version = bytes_from_text("1"),
                                .node = {0, 0x0b, 0x33},
                                .configuration = {0x44},
                                .measurement = {0x11},
                                .terms.serial = BYTES_OF(serial),
                                .terms.not_before_s = NOW_S - DAY_S,
                                .terms.not_after_s = NOW_S + DAY_S};
}

static struct reader inside(struct reader *reader, unsigned tag)
{
    return reader_over(der_take(reader, tag));
}

/* A GeneralNames that is the CA's name alone. */
static void check_names_the_ca(struct reader names)
{
    struct reader name = inside(&names, DER_CONTEXT_HELD + 4);
    check_bytes(ca.subject, name.rest);
    check_ok(der_end(&names));
}

static bool has(struct bytes whole, const char *text)
{
    return memmem(whole.data, whole.len, text, strlen(text)) != NULL;
}

static void it_is_an_attribute_certificate_of_the_endorsement_keys(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    const struct ek_platform order = a_vm();
    check_ok(ek_platform_sign(&writer, &ca_key, &ca, &order));
    struct reader all = reader_over(writer_bytes(&writer));
    struct reader certificate = inside(&all, DER_SEQUENCE);
    check_ok(der_end(&all));
    struct bytes signed_part = der_take_element(&certificate, NULL);
    struct reader whole = reader_over(signed_part), part = inside(&whole, DER_SEQUENCE);
    assert_int_equal(1, der_take_small(&part)); /* v2 */
    struct reader held = inside(&part, DER_SEQUENCE), id = inside(&held, DER_CONTEXT_HELD);
    check_names_the_ca(inside(&id, DER_SEQUENCE));
    check_bytes(BYTES_OF(holder), der_take_positive(&id));
    check_ok(der_end(&id));
    check_ok(der_end(&held));
    struct reader form = inside(&part, DER_CONTEXT_HELD);
    check_names_the_ca(inside(&form, DER_SEQUENCE));
    check_ok(der_end(&form));
    struct bytes algorithm = der_take_element(&part, NULL);
    check_bytes(BYTES_OF(serial), der_take_positive(&part));
    struct reader validity = inside(&part, DER_SEQUENCE);
    check_bytes(bytes_from_text("20270114080000Z"), der_take(&validity, DER_GENERALIZED_TIME));
    check_bytes(bytes_from_text("20270116080000Z"), der_take(&validity, DER_GENERALIZED_TIME));
    check_ok(der_end(&validity));
    struct bytes attributes = der_take(&part, DER_SEQUENCE), extensions = der_take(&part, DER_SEQUENCE);
    check_ok(der_end(&part));
    for (const char *const *text = (const char *const[]){"Hôpital", "\x44", "\x33", NULL}; *text; text++)
        assert_true(has(attributes, *text));
    for (const char *const *text =
             (const char *const[]){
                 "Bastide", "cdef0000-0000-0000-0000-000000000000", "TCG Trusted Platform Endorsement",
                 "bastide://ab000000000000000000000000000000/vtpm/cdef0000000000000000000000000000", NULL};
         *text; text++)
        assert_true(has(extensions, *text));
    check_bytes(algorithm, der_take_element(&certificate, NULL));
    /* Its signature is over all of that, by the CA. */
    const struct pki_certificate read = {
        .algorithm = PKI_ECDSA_SHA256, .signed_part = signed_part, .signature = der_take_bits(&certificate)};
    check_ok(der_end(&certificate));
    check_ok(pki_certificate_verify(&read, &ca.key));
}

static void it_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX + 1];
    struct writer writer = writer_over(room, sizeof room);
    const struct ek_platform order = a_vm();
    struct ek_platform got = {0};
    check_ok(ek_platform_sign(&writer, &ca_key, &ca, &order));
    check_ok(ek_platform_open(writer_bytes(&writer), &ca, &got));
    check_bytes(order.holder, got.holder);
    check_bytes(order.tenant, got.tenant);
    check_bytes(order.terms.serial, got.terms.serial);
    assert_memory_equal(order.node, got.node, sizeof got.node);
    assert_memory_equal(order.configuration, got.configuration, sizeof got.configuration);
    assert_memory_equal(order.measurement, got.measurement, sizeof got.measurement);
}

static void no_part_no_more_and_no_flipped_bit_of_it_is_read(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    const struct ek_platform order = a_vm();
    struct ek_platform got = {.tenant = bytes_from_text("untouched")};
    struct pki_certificate other = ca;
    check_ok(ek_platform_sign(&writer, &ca_key, &ca, &order));
    const size_t len = writer.len;
    for (size_t cut = 0; cut < len; cut++)
        check_status(TRUNCATED, ek_platform_open(bytes_from(room, cut), &ca, &got));
    room[len] = 0;
    check_status(MALFORMED, ek_platform_open(bytes_from(room, len + 1), &ca, &got));
    for (size_t bit = 0; bit < 8 * len; bit++) {
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(OK, ek_platform_open(bytes_from(room, len), &ca, &got));
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    other.key = owner_key.public_key;
    check_status(AUTH, ek_platform_open(bytes_from(room, len), &other, &got));
    other = ca;
    other.subject = bytes_slice(ca.subject, 0, ca.subject.len - 1);
    check_status(MALFORMED, ek_platform_open(bytes_from(room, len), &other, &got));
    check_bytes(bytes_from_text("untouched"), got.tenant);
}

static void every_field_has_its_range(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX], big[PKI_SERIAL_MAX + 1] = {0x7f};
    static const char longest[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct writer writer = writer_over(room, sizeof room);
    struct ek_platform order = a_vm();
    order.tenant = bytes_from(longest, EK_TENANT_MAX);
    order.model = order.version = bytes_from(longest, 32);
    order.terms.serial = order.holder = bytes_from(big, PKI_SERIAL_MAX);
    check_ok(ek_platform_sign(&writer, &ca_key, &ca, &order));
    struct writer too_small = writer_over(room, writer.len - 16); /* signatures differ in length, by less than that */
    check_status(NO_ROOM, ek_platform_sign(&too_small, &ca_key, &ca, &order));
    assert_int_equal(0, too_small.len);
#define refused_with(change)                                                                                           \
    do {                                                                                                               \
        order = a_vm();                                                                                                \
        change;                                                                                                        \
        writer = writer_over(room, sizeof room);                                                                       \
        check_status(MALFORMED, ek_platform_sign(&writer, &ca_key, &ca, &order));                                      \
        assert_int_equal(0, writer.len);                                                                               \
    } while (0)
    refused_with(order.holder = (struct bytes){0});
    refused_with(order.holder = bytes_from(big, PKI_SERIAL_MAX + 1));
    refused_with(order.holder = bytes_from("\0\1", 2));
    refused_with(order.terms.serial = (struct bytes){0});
    refused_with(order.tenant = bytes_from(longest, EK_TENANT_MAX + 1));
    refused_with(order.tenant = (struct bytes){0});
    refused_with(order.tenant = bytes_from_text("a\nb"));
    refused_with(order.model = bytes_from(longest, 33));
    refused_with(order.model = bytes_from_text("a b"));
    refused_with(order.version = (struct bytes){0});
    refused_with(order.terms.not_after_s = order.terms.not_before_s - 1);
}

static void only_a_ca_signs_and_with_its_own_key(void **state)
{
    (void)state;
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    const struct ek_platform order = a_vm();
    struct pki_certificate none = ca;
    check_status(DENIED, ek_platform_sign(&writer, &owner_key, &ca, &order));
    none.is_ca = false;
    check_status(DENIED, ek_platform_sign(&writer, &ca_key, &none, &order));
    none = ca;
    none.usage = PKI_DIGITAL_SIGNATURE;
    check_status(DENIED, ek_platform_sign(&writer, &ca_key, &none, &order));
    assert_int_equal(0, writer.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_an_attribute_certificate_of_the_endorsement_keys),
        cmocka_unit_test(it_is_read_as_it_was_written),
        cmocka_unit_test(no_part_no_more_and_no_flipped_bit_of_it_is_read),
        cmocka_unit_test(every_field_has_its_range),
        cmocka_unit_test(only_a_ca_signs_and_with_its_own_key),
    };
    return cmocka_run_group_tests(tests, start_ca, stop_ca);
}
