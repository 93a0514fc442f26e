/* tag: a node's tag comes back as its owner signed it, for its instance, within its limits; nothing else does. */
#include "check.h"

#include "cbor.h"
#include "cose.h"
#include "tag.h"

#include <string.h>

static struct crypto_key owner, other;
static const uint8_t site[TAG_SITE_LEN] = {7}, elsewhere[TAG_SITE_LEN] = {8};

static int make_keys(void **unused)
{
    (void)unused;
    return crypto_init() == OK && crypto_key_generate(&owner, CRYPTO_P256) == OK &&
                   crypto_key_generate(&other, CRYPTO_P256) == OK
               ? 0
               : -1;
}

static struct tag example(void)
{
    return (struct tag){.site = {7},
                        .serial = 3,
                        .expires_s = 2000000000,
                        .assets = {{"rack", "B7"}, {"owner", "city"}, {"class", "edge"}},
                        .asset_count = 2,
                        .region = "CO-DC",
                        .located = true,
                        .latitude = 4.60971,
                        .longitude = -74.08175};
}

static struct bytes sign(const struct tag *tag)
{
    static uint8_t room[TAG_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_ok(tag_sign(&writer, &owner, tag));
    return writer_bytes(&writer);
}

static void check_comes_back(const struct tag *tag)
{
    struct tag got;
    check_ok(tag_open(sign(tag), &owner.public_key, site, &got));
    assert_int_equal(tag->serial, got.serial);
    assert_int_equal(tag->expires_s, got.expires_s);
    assert_int_equal(tag->asset_count, got.asset_count);
    for (size_t i = 0; i < tag->asset_count; i++) {
        assert_string_equal(tag->assets[i].name, got.assets[i].name);
        assert_string_equal(tag->assets[i].value, got.assets[i].value);
    }
    assert_string_equal(tag->region, got.region);
    assert_int_equal(tag->located, got.located);
    assert_true(memcmp(&tag->latitude, &got.latitude, sizeof got.latitude) == 0 &&
                memcmp(&tag->longitude, &got.longitude, sizeof got.longitude) == 0);
}

static void a_tag_comes_back_as_it_was_signed(void **unused)
{
    struct tag tag = example();
    (void)unused;
    check_comes_back(&tag);
    tag.located = false;
    tag.latitude = tag.longitude = 0;
    check_comes_back(&tag);
    tag.region[0] = 0;
    tag.asset_count = 0;
    check_comes_back(&tag);
    tag.located = true; /* at zero, which is a place */
    check_comes_back(&tag);
}

static void it_is_one_owners_for_one_instance_and_every_bit_counts(void **unused)
{
    static uint8_t copy[TAG_MAX + 1];
    const struct tag tag = example();
    struct tag got = {.serial = 99};
    const struct bytes whole = sign(&tag);
    (void)unused;
    check_status(AUTH, tag_open(whole, &other.public_key, site, &got));
    check_status(DENIED, tag_open(whole, &owner.public_key, elsewhere, &got));
    memcpy(copy, whole.data, whole.len);
    for (size_t len = 0; len < whole.len; len++)
        assert_int_not_equal(OK, tag_open(bytes_from(copy, len), &owner.public_key, site, &got));
    assert_int_not_equal(OK, tag_open(bytes_from(copy, whole.len + 1), &owner.public_key, site, &got));
    check_status(NO_ROOM, tag_open(bytes_from(copy, TAG_MAX + 1), &owner.public_key, site, &got));
    for (size_t i = 0; i < whole.len; i++) {
        copy[i] ^= 1;
        assert_int_not_equal(OK, tag_open(bytes_from(copy, whole.len), &owner.public_key, site, &got));
        copy[i] ^= 1;
    }
    assert_int_equal(99, got.serial);
}

static void refused(const struct tag *tag)
{
    uint8_t room[TAG_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_status(MALFORMED, tag_sign(&writer, &owner, tag));
    assert_int_equal(0, writer.len);
}

static void limits_hold_at_them_and_one_past(void **unused)
{
    struct tag tag = example();
    (void)unused;
    tag.asset_count = TAG_ASSETS_MAX;
    for (size_t i = 0; i < TAG_ASSETS_MAX; i++) {
        memset(&tag.assets[i], 0, sizeof tag.assets[i]);
        memset(tag.assets[i].name, 'n', TAG_NAME_MAX);
        tag.assets[i].name[0] = (char)('a' + i);
        memset(tag.assets[i].value, 'v', TAG_VALUE_MAX);
    }
    tag.latitude = -90;
    tag.longitude = 180;
    tag.expires_s = INT64_MAX;
    tag.serial = UINT64_MAX;
    memcpy(tag.region, "AB-CDE", 7);
    check_comes_back(&tag);
    struct tag bad = tag;
    bad.asset_count++;
    refused(&bad);
    bad = tag;
    bad.assets[7].name[TAG_NAME_MAX] = 'n';
    refused(&bad);
    bad = tag;
    bad.assets[7].value[TAG_VALUE_MAX] = 'v';
    refused(&bad);
    bad = tag;
    bad.assets[7].value[0] = 0;
    refused(&bad);
    bad = tag;
    bad.serial = 0;
    refused(&bad);
    bad = tag;
    bad.expires_s = 0;
    refused(&bad);
    bad.expires_s = (uint64_t)INT64_MAX + 1;
    refused(&bad);
    static const double places[][2] = {{90.1, 0}, {-90.1, 0}, {0, 180.1}, {0, -180.1}, {0.0 / 0.0, 0}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bad = tag;
        bad.latitude = places[i][0];
        bad.longitude = places[i][1];
        refused(&bad);
    }
}

static void names_and_regions_have_one_form(void **unused)
{
    static const char *const regions[] = {"C", "co", "COL", "C0", "CO-", "CO_DC", "CO-dc", "CO-D!", "CO-DCXX"};
    static const char *const names[] = {"", "a b", "a/b", "a=b", "\xc3\xa4"};
    struct tag tag = example();
    (void)unused;
    memcpy(tag.region, "CO", 3);
    check_comes_back(&tag);
    memcpy(tag.region, "CO-1", 5);
    check_comes_back(&tag);
    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++) {
        tag = example();
        memset(tag.region, 0, sizeof tag.region);
        memcpy(tag.region, regions[i], strlen(regions[i]));
        refused(&tag);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tag = example();
        memset(tag.assets[0].name, 0, sizeof tag.assets[0].name);
        memcpy(tag.assets[0].name, names[i], strlen(names[i]));
        refused(&tag);
    }
    tag = example();
    tag.asset_count = 3; /* "owner" before "class": out of order */
    refused(&tag);
    tag.assets[2] = tag.assets[1]; /* twice */
    refused(&tag);
}

static enum status opens(const char *profile, bool more, bool less)
{
    uint8_t body_room[TAG_MAX], room[TAG_MAX];
    struct writer body = writer_over(body_room, sizeof body_room), whole = writer_over(room, sizeof room);
    struct tag got;
    cbor_put_map(&body, 5u + more - less);
    cbor_put_uint(&body, 4);
    cbor_put_uint(&body, 5);
    cbor_put_uint(&body, 265);
    cbor_put_text(&body, profile);
    cbor_put_int(&body, -70001);
    cbor_put_bytes(&body, BYTES_OF(site));
    cbor_put_int(&body, -70002);
    cbor_put_uint(&body, 5);
    if (!less) {
        cbor_put_int(&body, -70003);
        cbor_put_map(&body, 0);
    }
    if (more) {
        cbor_put_int(&body, -70005);
        cbor_put_uint(&body, 0);
    }
    check_ok(writer_end(&body));
    check_ok(cose_sign1_encode(&whole, &owner, &(struct cose_headers){0}, (struct bytes){0}, writer_bytes(&body)));
    return tag_open(writer_bytes(&whole), &owner.public_key, site, &got);
}

static void a_signed_payload_of_another_shape_is_refused(void **unused)
{
    (void)unused;
    check_ok(opens("tag:bastide,2026:node-tag", false, false));
    check_status(UNSUPPORTED, opens("tag:other", false, false));
    check_status(UNSUPPORTED, opens("tag:bastide,2026:node-tag", true, false));
    check_status(MALFORMED, opens("tag:bastide,2026:node-tag", false, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_comes_back_as_it_was_signed),
        cmocka_unit_test(it_is_one_owners_for_one_instance_and_every_bit_counts),
        cmocka_unit_test(limits_hold_at_them_and_one_past),
        cmocka_unit_test(names_and_regions_have_one_form),
        cmocka_unit_test(a_signed_payload_of_another_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
