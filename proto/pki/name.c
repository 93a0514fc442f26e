/* Distinguished names (RFC 5280 §4.1.2.4): read for their shape and the common name, kept and compared as they are. */
#include "pki_internal.h"

static const uint8_t common_name_oid[] = {0x55, 0x04, 0x03};

/* RFC 3629 §4, as ranges of the first byte: how many follow, and what the second may be. */
static unsigned following(struct reader *reader, uint8_t first)
{
    static const struct {
        uint8_t from, to, second_from, second_to;
        unsigned follow;
    } forms[] = {
        {0x20, 0x7e, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
        {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
        {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (first >= forms[i].from && first <= forms[i].to) {
            uint8_t second = peek_u8(reader);
            if (forms[i].follow && (second < forms[i].second_from || second > forms[i].second_to))
                break;
            if (first == 0xc2 && second < 0xa0) /* U+0080 to U+009F */
                break;
            return forms[i].follow;
        }
    reader_fail(reader, MALFORMED);
    return 0;
}

bool name_is_text(struct bytes text)
{
    struct reader reader = reader_over(text);
    while (reader.status == OK && reader.rest.len) {
        unsigned left = following(&reader, take_u8(&reader));
        for (; left > 0; left--)
            if ((take_u8(&reader) & 0xc0) != 0x80)
                reader_fail(&reader, MALFORMED);
    }
    return text.len && reader.status == OK;
}

static bool is_ascii(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] > 0x7f)
            return false;
    return true;
}

static void take_attribute(struct bytes element, struct reader *reader, struct bytes *common_name)
{
    struct reader outer = reader_over(element);
    struct reader attribute = reader_over(der_take(&outer, DER_SEQUENCE));
    struct bytes type = der_take_oid(&attribute);
    unsigned tag = 0;
    struct reader value = reader_over(der_take_element(&attribute, &tag));
    struct bytes text = der_take(&value, tag);
    if (der_end(&outer) != OK || der_end(&attribute) != OK)
        reader_fail(reader, MALFORMED);
    else if (tag != DER_UTF8 && tag != DER_PRINTABLE && tag != DER_IA5)
        reader_fail(reader, UNSUPPORTED);
    else if (!name_is_text(text) || (tag != DER_UTF8 && !is_ascii(text)))
        reader_fail(reader, MALFORMED);
    if (reader->status != OK || !bytes_equal(type, BYTES_OF(common_name_oid)))
        return;
    if (common_name->len)
        reader_fail(reader, MALFORMED);
    else if (text.len > PKI_COMMON_NAME_MAX)
        reader_fail(reader, NO_ROOM);
    *common_name = text;
}

struct bytes name_take(struct reader *reader, struct bytes *common_name)
{
    struct bytes whole = der_is_next(reader, DER_SEQUENCE) ? der_take_element(reader, NULL) : (struct bytes){0};
    struct reader outer = reader_over(whole);
    struct reader names = reader_over(der_take(&outer, DER_SEQUENCE));
    *common_name = (struct bytes){0};
    if (whole.len == 0)
        reader_fail(reader, MALFORMED);
    if (whole.len > PKI_NAME_MAX)
        reader_fail(reader, NO_ROOM);
    while (reader->status == OK && names.status == OK && names.rest.len) {
        struct reader set = reader_over(der_take(&names, DER_SET));
        struct bytes before = {0};
        do { /* X.690 §11.6: in order */
            struct bytes element = der_take_element(&set, NULL);
            if (set.status != OK || (before.len && bytes_compare(before, element) >= 0))
                reader_fail(reader, MALFORMED);
            if (reader->status == OK)
                take_attribute(element, reader, common_name);
            before = element;
        } while (reader->status == OK && set.rest.len);
    }
    if (names.status != OK)
        reader_fail(reader, MALFORMED);
    return reader->status == OK ? whole : (struct bytes){0};
}

enum status pki_put_name(struct writer *writer, struct bytes common_name)
{
    if (!name_is_text(common_name) || common_name.len > PKI_COMMON_NAME_MAX)
        return MALFORMED;
    size_t names = der_open(writer, DER_SEQUENCE);
    size_t set = der_open(writer, DER_SET);
    size_t attribute = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, BYTES_OF(common_name_oid));
    der_put(writer, DER_UTF8, common_name);
    der_close(writer, attribute);
    der_close(writer, set);
    der_close(writer, names);
    return writer_end(writer);
}
