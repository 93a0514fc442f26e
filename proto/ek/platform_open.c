/* A platform certificate of ours read back, for who must know where it was made. */
#include "ek_internal.h"

#include <string.h>

static void expect(struct reader *reader, bool holds)
{
    if (!holds)
        reader_fail(reader, MALFORMED);
}

static struct reader inside(struct reader *reader, unsigned tag)
{
    return reader_over(der_take(reader, tag));
}

/* GeneralNames of one directoryName, the issuer's. */
static void take_names(struct reader *names, const struct pki_certificate *issuer)
{
    expect(names, bytes_equal(der_take(names, DER_CONTEXT_HELD + 4), issuer->subject));
    if (names->status == OK && names->rest.len)
        reader_fail(names, MALFORMED);
}

static struct bytes take_holder(struct reader *part, const struct pki_certificate *issuer)
{
    struct reader held = inside(part, DER_SEQUENCE), id = inside(&held, DER_CONTEXT_HELD);
    struct reader names = inside(&id, DER_SEQUENCE);
    take_names(&names, issuer);
    const struct bytes number = der_take_positive(&id);
    expect(part, names.status == OK && der_end(&id) == OK && der_end(&held) == OK);
    return number;
}

static void take_fixed(struct reader *fields, uint8_t *to, size_t len)
{
    const struct bytes value = der_take(fields, DER_OCTET_STRING);
    expect(fields, value.len == len);
    if (fields->status == OK)
        memcpy(to, value.data, len);
}

/* Others have nothing that is looked at. */
static void take_attributes(struct reader *part, struct ek_platform *got)
{
    struct reader all = inside(part, DER_SEQUENCE);
    bool found = false;
    while (all.status == OK && all.rest.len) {
        struct reader one = inside(&all, DER_SEQUENCE);
        const bool ours = bytes_equal(der_take_oid(&one), BYTES_OF(ek_platform_oid));
        struct reader values = inside(&one, DER_SET);
        expect(&all, der_end(&one) == OK);
        if (!ours)
            continue;
        struct reader fields = inside(&values, DER_SEQUENCE);
        got->tenant = der_take(&fields, DER_UTF8);
        take_fixed(&fields, got->node, sizeof got->node);
        take_fixed(&fields, got->configuration, sizeof got->configuration);
        take_fixed(&fields, got->measurement, sizeof got->measurement);
        expect(&all, !found && der_end(&fields) == OK && der_end(&values) == OK);
        found = true;
    }
    expect(part, found && all.status == OK);
}

static enum status read_part(struct bytes signed_part, const struct pki_certificate *issuer, struct ek_platform *got)
{
    struct reader whole = reader_over(signed_part), part = inside(&whole, DER_SEQUENCE);
    expect(&part, der_take_small(&part) == EK_PLATFORM_VERSION);
    got->holder = take_holder(&part, issuer);
    struct reader form = inside(&part, DER_CONTEXT_HELD), names = inside(&form, DER_SEQUENCE);
    take_names(&names, issuer);
    expect(&part, names.status == OK && der_end(&form) == OK);
    (void)der_take(&part, DER_SEQUENCE); /* the algorithm again */
    got->terms.serial = der_take_positive(&part);
    (void)der_take(&part, DER_SEQUENCE); /* validity */
    take_attributes(&part, got);
    (void)der_take(&part, DER_SEQUENCE); /* extensions */
    TRY(der_end(&part));
    return der_end(&whole);
}

enum status ek_platform_open(struct bytes der, const struct pki_certificate *issuer, struct ek_platform *platform)
{
    uint8_t room[32];
    struct writer algorithm = writer_over(room, sizeof room);
    struct ek_platform got = {0};
    struct reader outer = reader_over(der), whole = inside(&outer, DER_SEQUENCE);
    TRY(reader_end(&outer));
    const struct bytes signed_part = der_take_element(&whole, NULL);
    pki_put_algorithm(&algorithm, issuer->key.curve);
    expect(&whole, bytes_equal(der_take_element(&whole, NULL), writer_bytes(&algorithm)));
    const struct pki_certificate read = {.algorithm =
                                             issuer->key.curve == CRYPTO_P384 ? PKI_ECDSA_SHA384 : PKI_ECDSA_SHA256,
                                         .signed_part = signed_part,
                                         .signature = der_take_bits(&whole)};
    TRY(der_end(&whole));
    TRY(pki_certificate_verify(&read, &issuer->key));
    TRY(read_part(signed_part, issuer, &got));
    *platform = got;
    return OK;
}
