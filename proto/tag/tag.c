/* A node's tag, both ways. */
#include "tag.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

#define PROFILE "tag:bastide,2026:node-tag"
#define EXP 4
#define LOCATION 264
#define PROFILE_LABEL 265
#define SITE (-70001)
#define SERIAL (-70002)
#define ASSETS (-70003)
#define REGION (-70004)

static bool is_name(const char *name)
{
    const size_t len = strnlen(name, TAG_NAME_MAX + 1);
    for (size_t i = 0; i < len; i++) {
        const char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-'))
            return false;
    }
    return len > 0 && len <= TAG_NAME_MAX;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* Two letters, or these, a hyphen, and one to three letters or digits. */
static bool is_region(const char *region)
{
    const size_t len = strnlen(region, TAG_REGION_MAX + 1);
    if (len == 0)
        return true;
    if (len > TAG_REGION_MAX || len == 3 || !is_upper(region[0]) || !is_upper(region[1]))
        return len == 0;
    for (size_t i = 3; i < len; i++)
        if (!is_upper(region[i]) && !(region[i] >= '0' && region[i] <= '9'))
            return false;
    return len == 2 || (len > 3 && region[2] == '-');
}

/* As map keys come: the shorter head first. */
static bool before(const char *one, const char *other)
{
    const size_t len = strlen(one), other_len = strlen(other);
    return len != other_len ? len < other_len : strcmp(one, other) < 0;
}

static bool tag_good(const struct tag *tag)
{
    bool good = tag->serial > 0 && tag->expires_s > 0 && tag->expires_s <= INT64_MAX &&
                tag->asset_count <= TAG_ASSETS_MAX && is_region(tag->region);
    for (size_t i = 0; good && i < tag->asset_count; i++) {
        const struct tag_asset *asset = &tag->assets[i];
        good = is_name(asset->name) && asset->value[0] && memchr(asset->value, '\0', sizeof asset->value) &&
               (i == 0 || before(tag->assets[i - 1].name, asset->name));
    }
    if (tag->located)
        return good && tag->latitude >= -90 && tag->latitude <= 90 && tag->longitude >= -180 && tag->longitude <= 180;
    return good && tag->latitude == 0 && tag->longitude == 0;
}

static void put_location(struct writer *writer, const struct tag *tag)
{
    cbor_put_uint(writer, LOCATION);
    cbor_put_map(writer, 2);
    cbor_put_uint(writer, 1);
    cbor_put_double(writer, tag->latitude);
    cbor_put_uint(writer, 2);
    cbor_put_double(writer, tag->longitude);
}

enum status tag_sign(struct writer *writer, const struct crypto_key *owner, const struct tag *tag)
{
    uint8_t payload[TAG_MAX];
    const struct cose_headers headers = {0};
    struct writer body = writer_over(payload, sizeof payload);
    if (!tag_good(tag))
        return MALFORMED;
    cbor_put_map(&body, 5u + tag->located + (tag->region[0] != 0));
    cbor_put_uint(&body, EXP);
    cbor_put_uint(&body, tag->expires_s);
    if (tag->located)
        put_location(&body, tag);
    cbor_put_uint(&body, PROFILE_LABEL);
    cbor_put_text(&body, PROFILE);
    cbor_put_int(&body, SITE);
    cbor_put_bytes(&body, BYTES_OF(tag->site));
    cbor_put_int(&body, SERIAL);
    cbor_put_uint(&body, tag->serial);
    cbor_put_int(&body, ASSETS);
    cbor_put_map(&body, tag->asset_count);
    for (size_t i = 0; i < tag->asset_count; i++) {
        cbor_put_text(&body, tag->assets[i].name);
        cbor_put_text(&body, tag->assets[i].value);
    }
    if (tag->region[0]) {
        cbor_put_int(&body, REGION);
        cbor_put_text(&body, tag->region);
    }
    TRY(writer_end(&body));
    return cose_sign1_encode(writer, owner, &headers, (struct bytes){0}, writer_bytes(&body));
}

static void take_text(struct reader *reader, char *to, size_t max)
{
    const struct bytes text = cbor_take_text(reader);
    if (text.len > max)
        reader_fail(reader, NO_ROOM);
    else if (text.len == 0 || memchr(text.data, '\0', text.len))
        reader_fail(reader, MALFORMED);
    else
        memcpy(to, text.data, text.len);
}

static void take_location(struct reader *reader, struct tag *tag)
{
    if (cbor_take_map(reader) != 2 || cbor_take_uint(reader) != 1)
        reader_fail(reader, MALFORMED);
    tag->located = true;
    tag->latitude = cbor_take_double(reader);
    if (cbor_take_uint(reader) != 2)
        reader_fail(reader, MALFORMED);
    tag->longitude = cbor_take_double(reader);
}

static void take_assets(struct reader *reader, struct tag *tag)
{
    tag->asset_count = cbor_take_map(reader);
    if (tag->asset_count > TAG_ASSETS_MAX)
        reader_fail(reader, NO_ROOM);
    for (size_t i = 0; reader->status == OK && i < tag->asset_count; i++) {
        take_text(reader, tag->assets[i].name, TAG_NAME_MAX);
        take_text(reader, tag->assets[i].value, TAG_VALUE_MAX);
    }
}

static void take_claim(struct reader *reader, int64_t key, struct tag *tag, unsigned *seen)
{
    switch (key) {
    case EXP:
        tag->expires_s = cbor_take_uint(reader);
        break;
    case LOCATION:
        take_location(reader, tag);
        return;
    case PROFILE_LABEL:
        if (!bytes_equal(cbor_take_text(reader), bytes_from_text(PROFILE)))
            reader_fail(reader, UNSUPPORTED);
        break;
    case SITE:
        cbor_take_fixed(reader, tag->site, sizeof tag->site);
        break;
    case SERIAL:
        tag->serial = cbor_take_uint(reader);
        break;
    case ASSETS:
        take_assets(reader, tag);
        break;
    case REGION:
        take_text(reader, tag->region, TAG_REGION_MAX);
        return;
    default:
        reader_fail(reader, UNSUPPORTED);
        return;
    }
    ++*seen;
}

static enum status decode(struct bytes payload, struct tag *tag)
{
    struct reader reader = reader_over(payload);
    struct cbor_map_walk walk = cbor_walk_map(&reader);
    unsigned seen = 0;
    while (cbor_next_key(&reader, &walk))
        take_claim(&reader, cbor_key_number(&walk), tag, &seen);
    TRY(reader_end(&reader));
    return seen == 5 && tag_good(tag) ? OK : MALFORMED;
}

enum status tag_open(struct bytes sign1, const struct crypto_public *owner, const uint8_t site[TAG_SITE_LEN],
                     struct tag *tag)
{
    struct bytes payload = {0};
    struct tag got = {0};
    if (sign1.len > TAG_MAX)
        return NO_ROOM;
    TRY(cose_sign1_open(sign1, owner, &payload));
    TRY(decode(payload, &got));
    if (memcmp(got.site, site, sizeof got.site) != 0)
        return DENIED;
    *tag = got;
    return OK;
}
