/* Identities: bastide://<site>/<role>/<name>, exactly one text for each. */
#include "x509.h"

#include <string.h>

#define SCHEME "bastide://"
#define HEX_LEN (2 * X509_SITE_LEN)

static const char *const words[X509_ROLE_COUNT] = {
    [X509_SITE_CA] = "site-ca", [X509_HUB] = "hub",   [X509_CLIENT] = "client",
    [X509_OWNER] = "owner",     [X509_NODE] = "node",
};

const char *x509_role_word(enum x509_role role)
{
    return role > 0 && role < X509_ROLE_COUNT ? words[role] : "";
}

static bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '_' || byte == '-' || byte == '.';
}

static bool is_name(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_letter(name.data[i]))
            return false;
    return name.len > 0 && name.len <= X509_NAME_MAX && name.data[0] != '.';
}

enum status x509_put_uri(struct writer *writer, const struct x509_identity *identity)
{
    char site[HEX_LEN + 1];
    const char *role = x509_role_word(identity->role);
    if (!is_name(identity->name) || !role[0])
        return MALFORMED;
    TRY(hex_encode(BYTES_OF(identity->site), site, sizeof site));
    put_text(writer, SCHEME);
    put_text(writer, site);
    put_text(writer, "/");
    put_text(writer, role);
    put_text(writer, "/");
    put_bytes(writer, identity->name);
    return writer_end(writer);
}

/* Lower case only, so that one site has one text. */
static uint8_t take_nibble(struct reader *reader)
{
    uint8_t digit = take_u8(reader);
    if (digit >= '0' && digit <= '9')
        return (uint8_t)(digit - '0');
    if (digit < 'a' || digit > 'f')
        reader_fail(reader, MALFORMED);
    return (uint8_t)(digit - 'a' + 10);
}

static void expect(struct reader *reader, const char *text)
{
    struct bytes wanted = bytes_from_text(text);
    if (!bytes_equal(take_bytes(reader, wanted.len), wanted))
        reader_fail(reader, MALFORMED);
}

static bool begins_with(struct bytes text, struct bytes word)
{
    return text.len > word.len && text.data[word.len] == '/' && bytes_equal(bytes_slice(text, 0, word.len), word);
}

enum status x509_identity_decode(struct bytes uri, struct x509_identity *identity)
{
    struct x509_identity made = {.role = 0};
    struct reader reader = reader_over(uri);
    expect(&reader, SCHEME);
    for (size_t i = 0; i < X509_SITE_LEN; i++) {
        uint8_t high = take_nibble(&reader);
        made.site[i] = (uint8_t)(high << 4 | take_nibble(&reader));
    }
    expect(&reader, "/");
    for (enum x509_role role = 1; role < X509_ROLE_COUNT; role++)
        if (begins_with(reader.rest, bytes_from_text(words[role])))
            made.role = role;
    expect(&reader, x509_role_word(made.role));
    expect(&reader, "/");
    made.name = take_rest(&reader);
    if (reader_end(&reader) != OK || !made.role || !is_name(made.name))
        return MALFORMED;
    *identity = made;
    return OK;
}

enum status x509_identity_of(const struct pki_certificate *certificate, struct x509_identity *identity)
{
    struct x509_identity made;
    TRY(x509_identity_decode(certificate->uri, &made));
    if (!bytes_equal(made.name, certificate->common_name))
        return MALFORMED;
    *identity = made;
    return OK;
}
