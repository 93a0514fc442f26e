/* Extensions of a certificate (RFC 5280 §4.2): the six we know, each read and written beside its rules. */
#include "pki_internal.h"

/* id-ce is 55 1d; the third byte tells. */
enum {
    SUBJECT_KEY_ID = 14,
    KEY_USAGE = 15,
    SUBJECT_ALT_NAME = 17,
    BASIC_CONSTRAINTS = 19,
    AUTHORITY_KEY_ID = 35,
    EXTENDED_KEY_USAGE = 37
};

#define USAGE_BITS 9
#define URI_TAG (DER_CONTEXT + 6)

static const uint8_t purpose_oids[][8] = {
    {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01},
    {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02},
};
static const uint8_t any_purpose_oid[] = {0x55, 0x1d, 0x25, 0x00};

/* §4.2.1.9: a path length only where there is a CA. */
static void take_constraints(struct reader *value, struct pki_certificate *certificate)
{
    struct reader area = reader_over(der_take(value, DER_SEQUENCE));
    certificate->is_ca = der_take_true(&area);
    certificate->has_path_len = certificate->is_ca && area.rest.len;
    if (certificate->has_path_len)
        certificate->path_len = der_take_small(&area);
    if (der_end(&area) != OK)
        reader_fail(value, MALFORMED);
}

static void put_constraints(struct writer *writer, const struct pki_certificate *certificate)
{
    size_t area = der_open(writer, DER_SEQUENCE);
    static const uint8_t yes[] = {0xff};
    der_put(writer, DER_BOOLEAN, BYTES_OF(yes));
    if (certificate->has_path_len)
        der_put_small(writer, certificate->path_len);
    der_close(writer, area);
}

/* §4.2.1.3: at least one bit; X.690 §11.2.2: no zeros behind the last one. The first bit is the highest. */
static void take_usage(struct reader *value, struct pki_certificate *certificate)
{
    struct reader bits = reader_over(der_take(value, DER_BIT_STRING));
    unsigned unused = take_u8(&bits);
    size_t count = bits.rest.len * 8;
    bool sound = bits.status == OK && unused < 8 && count > unused && count - unused <= USAGE_BITS;
    for (size_t i = 0; sound && i < count; i += 8) {
        uint8_t byte = take_u8(&bits);
        for (size_t j = 0; j < 8; j++)
            if (byte & (0x80 >> j))
                certificate->usage |= 1u << (i + j);
    }
    if (!sound || certificate->usage >> (count - unused - 1) != 1)
        reader_fail(value, MALFORMED);
}

static void put_usage(struct writer *writer, const struct pki_certificate *certificate)
{
    uint8_t bits[3] = {0};
    size_t count = 0;
    for (size_t i = 0; i < USAGE_BITS; i++)
        if (certificate->usage & (1u << i)) {
            bits[1 + i / 8] = (uint8_t)(bits[1 + i / 8] | (0x80 >> i % 8));
            count = i + 1;
        }
    size_t len = (count + 7) / 8;
    bits[0] = (uint8_t)(len * 8 - count);
    der_put(writer, DER_BIT_STRING, bytes_from(bits, 1 + len));
}

static void take_purposes(struct reader *value, struct pki_certificate *certificate)
{
    struct reader area = reader_over(der_take(value, DER_SEQUENCE));
    do {
        struct bytes oid = der_take_oid(&area);
        unsigned purpose = bytes_equal(oid, BYTES_OF(any_purpose_oid)) ? PKI_ANY_PURPOSE : PKI_OTHER_PURPOSE;
        for (unsigned i = 0; i < 2; i++)
            if (bytes_equal(oid, BYTES_OF(purpose_oids[i])))
                purpose = 1u << i;
        certificate->purposes |= purpose;
    } while (area.status == OK && area.rest.len);
    if (area.status != OK)
        reader_fail(value, MALFORMED);
}

static void put_purposes(struct writer *writer, const struct pki_certificate *certificate)
{
    size_t area = der_open(writer, DER_SEQUENCE);
    for (unsigned i = 0; i < 2; i++)
        if (certificate->purposes & (1u << i))
            der_put(writer, DER_OID, BYTES_OF(purpose_oids[i]));
    if (certificate->purposes & PKI_ANY_PURPOSE)
        der_put(writer, DER_OID, BYTES_OF(any_purpose_oid));
    der_close(writer, area);
}

static bool is_uri(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= 0x20 || text.data[i] > 0x7e)
            return false;
    return text.len > 0;
}

/* §4.2.1.6. Names of other kinds are passed over, which only a certificate that allows it survives. */
static void take_names(struct reader *value, struct pki_certificate *certificate, bool critical)
{
    struct reader area = reader_over(der_take(value, DER_SEQUENCE));
    do {
        unsigned tag = 0;
        struct reader name = reader_over(der_take_element(&area, &tag));
        struct bytes text = der_take(&name, tag);
        if ((tag & 0xc0) != DER_CONTEXT || (tag & 0x1f) > 8)
            reader_fail(&area, MALFORMED);
        if (tag != URI_TAG) {
            certificate->unknown_critical |= critical;
            continue;
        }
        if (certificate->uri.len || !is_uri(text))
            reader_fail(&area, MALFORMED);
        else if (text.len > PKI_URI_MAX)
            reader_fail(&area, NO_ROOM);
        certificate->uri = text;
    } while (area.status == OK && area.rest.len);
    if (area.status != OK)
        reader_fail(value, area.status == NO_ROOM ? NO_ROOM : MALFORMED);
}

static void put_names(struct writer *writer, const struct pki_certificate *certificate)
{
    size_t area = der_open(writer, DER_SEQUENCE);
    der_put(writer, URI_TAG, certificate->uri);
    der_close(writer, area);
}

static void check_key_id(struct reader *value, struct bytes id)
{
    if (id.len == 0)
        reader_fail(value, MALFORMED);
    else if (id.len > PKI_KEY_ID_MAX)
        reader_fail(value, NO_ROOM);
}

/* §4.2.1.1: the key's identifier; issuer and serial, which go together, are passed over. */
static void take_authority(struct reader *value, struct pki_certificate *certificate)
{
    struct reader area = reader_over(der_take(value, DER_SEQUENCE));
    if (der_is_next(&area, DER_CONTEXT)) {
        certificate->authority_key_id = der_take(&area, DER_CONTEXT);
        check_key_id(value, certificate->authority_key_id);
    }
    if (area.rest.len) {
        (void)der_take(&area, DER_CONTEXT_HELD + 1);
        (void)der_take(&area, DER_CONTEXT + 2);
    }
    if (der_end(&area) != OK)
        reader_fail(value, MALFORMED);
}

static void put_authority(struct writer *writer, const struct pki_certificate *certificate)
{
    size_t area = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_CONTEXT, certificate->authority_key_id);
    der_close(writer, area);
}

static void take_known(struct reader *value, unsigned kind, bool critical, struct pki_certificate *certificate)
{
    switch (kind) {
    case BASIC_CONSTRAINTS:
        take_constraints(value, certificate);
        return;
    case KEY_USAGE:
        take_usage(value, certificate);
        return;
    case EXTENDED_KEY_USAGE:
        take_purposes(value, certificate);
        return;
    case SUBJECT_ALT_NAME:
        take_names(value, certificate, critical);
        return;
    case SUBJECT_KEY_ID:
        certificate->key_id = der_take(value, DER_OCTET_STRING);
        check_key_id(value, certificate->key_id);
        return;
    case AUTHORITY_KEY_ID:
        take_authority(value, certificate);
        return;
    default:
        (void)take_rest(value);
        certificate->unknown_critical |= critical;
    }
}

/* §4.2: none twice. */
static bool is_new(const struct bytes *seen, size_t count, struct bytes oid)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal(seen[i], oid))
            return false;
    return true;
}

void extensions_take(struct reader *reader, struct pki_certificate *certificate)
{
    struct bytes seen[PKI_EXTENSIONS_MAX];
    struct reader list = reader_over(der_take(reader, DER_SEQUENCE));
    size_t count = 0;
    do {
        struct reader area = reader_over(der_take(&list, DER_SEQUENCE));
        struct bytes oid = der_take_oid(&area);
        bool critical = der_take_true(&area);
        struct reader value = reader_over(der_take(&area, DER_OCTET_STRING));
        if (list.status != OK || der_end(&area) != OK || !is_new(seen, count, oid))
            reader_fail(reader, MALFORMED);
        else if (count == PKI_EXTENSIONS_MAX)
            reader_fail(reader, NO_ROOM);
        if (reader->status != OK)
            return;
        seen[count++] = oid;
        bool id_ce = oid.len == 3 && oid.data[0] == 0x55 && oid.data[1] == 0x1d;
        take_known(&value, id_ce ? oid.data[2] : 0, critical, certificate);
        enum status status = der_end(&value);
        if (status != OK)
            reader_fail(reader, status);
    } while (reader->status == OK && list.rest.len);
}

static void put_extension(struct writer *writer, uint8_t kind, bool critical, const struct pki_certificate *certificate,
                          void (*put)(struct writer *, const struct pki_certificate *))
{
    const uint8_t oid[] = {0x55, 0x1d, kind};
    static const uint8_t yes[] = {0xff};
    size_t area = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, BYTES_OF(oid));
    if (critical)
        der_put(writer, DER_BOOLEAN, BYTES_OF(yes));
    size_t value = der_open(writer, DER_OCTET_STRING);
    put(writer, certificate);
    der_close(writer, value);
    der_close(writer, area);
}

static void put_key_id(struct writer *writer, const struct pki_certificate *certificate)
{
    der_put(writer, DER_OCTET_STRING, certificate->key_id);
}

void extensions_put(struct writer *writer, const struct pki_certificate *certificate)
{
    size_t outer = der_open(writer, DER_CONTEXT_HELD + 3);
    size_t list = der_open(writer, DER_SEQUENCE);
    if (certificate->is_ca)
        put_extension(writer, BASIC_CONSTRAINTS, true, certificate, put_constraints);
    if (certificate->usage)
        put_extension(writer, KEY_USAGE, true, certificate, put_usage);
    if (certificate->purposes)
        put_extension(writer, EXTENDED_KEY_USAGE, false, certificate, put_purposes);
    if (certificate->uri.len)
        put_extension(writer, SUBJECT_ALT_NAME, false, certificate, put_names);
    put_extension(writer, SUBJECT_KEY_ID, false, certificate, put_key_id);
    if (certificate->authority_key_id.len)
        put_extension(writer, AUTHORITY_KEY_ID, false, certificate, put_authority);
    der_close(writer, list);
    der_close(writer, outer);
}
