/* provision: a node's tags in its own vTPM: each written once, whatever happens on the way, readable by everybody,
 * deleted by nobody, the next one beside the last. */
#include "vtpm_rig.h"

#include "provision.h"
#include "tag.h"

#define PLATFORM 0x4000000cu
#define CC_CLEAR 0x126u
#define CC_UNDEFINE 0x122u
#define CC_UNDEFINE_SPECIAL 0x11fu

static struct crypto_key owner;
static const uint8_t site[TAG_SITE_LEN] = "node";
static unsigned commands_left; /* then the line is cut; 0: never */

static int make_key(void **unused)
{
    (void)unused;
    return crypto_init() == OK && crypto_key_generate(&owner, CRYPTO_P256) == OK ? 0 : -1;
}

static struct bytes tag_of(uint64_t serial, const char *region, uint8_t room[TAG_MAX])
{
    struct tag tag = {.serial = serial, .expires_s = 2000000000, .assets = {{"rack", "B7"}}, .asset_count = 1};
    struct writer writer = writer_over(room, TAG_MAX);
    memcpy(tag.site, site, sizeof tag.site);
    memcpy(tag.region, region, strlen(region));
    check_ok(tag_sign(&writer, &owner, &tag));
    return writer_bytes(&writer);
}

static enum status through_rig(void *user, struct bytes command, struct writer *response)
{
    struct rig *rig = user;
    if (commands_left && --commands_left == 0)
        return IO;
    rig_ask(rig, DOOR_VTPM_DATA, command);
    put_bytes(response, bytes_from(rig->reply, rig->reply_len));
    return OK;
}

static void begin(struct rig *rig, struct provision *provision)
{
    rig_init(rig);
    rig->machine = (struct image_machine){.serial = 1, .hypervisor = true};
    rig_on(rig);
    *provision = (struct provision){.user = rig, .ask = through_rig};
}

/* As whoever wants to know finds it: of what opens, the highest serial. */
static enum status newest(struct provision *provision, struct tag *found)
{
    uint8_t room[TAG_MAX];
    struct tag tag;
    *found = (struct tag){.serial = 0};
    for (uint32_t slot = 0; slot < PROVISION_TAGS_MAX; slot++) {
        struct writer writer = writer_over(room, sizeof room);
        enum status status = provision_read_tag(provision, slot, &writer);
        if (status == OK && tag_open(writer_bytes(&writer), &owner.public_key, site, &tag) == OK &&
            tag.serial > found->serial)
            *found = tag;
    }
    return found->serial ? OK : NOT_FOUND;
}

static void a_tag_is_written_once_and_the_next_beside_it(void **state)
{
    (void)state;
    struct rig rig;
    struct provision provision;
    struct tag tag;
    uint8_t room[TAG_MAX], again[TAG_MAX];
    begin(&rig, &provision);
    check_status(NOT_FOUND, newest(&provision, &tag));
    struct bytes first = tag_of(1, "CO-DC", room);
    check_ok(provision_tag(&provision, first));
    check_ok(provision_tag(&provision, first));
    check_ok(newest(&provision, &tag));
    assert_string_equal("CO-DC", tag.region);
    struct writer writer = writer_over(again, sizeof again);
    check_status(NOT_FOUND, provision_read_tag(&provision, 1, &writer));
    for (uint64_t serial = 2; serial <= PROVISION_TAGS_MAX; serial++)
        check_ok(provision_tag(&provision, tag_of(serial, "CH-FR", again)));
    check_status(NO_ROOM, provision_tag(&provision, tag_of(9, "CH-FR", again)));
    check_ok(provision_tag(&provision, first));
    rig_stop(&rig);
    rig_on(&rig);
    check_ok(newest(&provision, &tag));
    assert_int_equal(PROVISION_TAGS_MAX, tag.serial);
    assert_string_equal("CH-FR", tag.region);
    writer = writer_over(again, sizeof again);
    check_status(NOT_FOUND, provision_read_tag(&provision, PROVISION_TAGS_MAX, &writer));
    rig_done(&rig);
}

static void nobody_deletes_or_changes_it(void **state)
{
    (void)state;
    static const uint32_t hierarchies[] = {PLATFORM, RIG_OWNER};
    static const char *const two[] = {"", "", NULL};
    struct rig rig;
    struct provision provision;
    struct tag tag;
    uint8_t room[TAG_MAX];
    begin(&rig, &provision);
    check_ok(provision_tag(&provision, tag_of(1, "CO", room)));
    for (size_t i = 0; i < 2; i++) {
        const uint32_t undefine[] = {hierarchies[i], PROVISION_TAG_INDEX};
        const uint32_t special[] = {PROVISION_TAG_INDEX, hierarchies[i]};
        assert_int_not_equal(
            0, rig_tpm(&rig, rig_command(CC_UNDEFINE, undefine, 2, rig_no_auth, (struct bytes){0}), NULL));
        assert_int_not_equal(0,
                             rig_tpm(&rig, rig_command(CC_UNDEFINE_SPECIAL, special, 2, two, (struct bytes){0}), NULL));
    }
    static const uint8_t write[] = {0, 1, 'x', 0, 0};
    const uint32_t handles[] = {PLATFORM, PROVISION_TAG_INDEX};
    assert_int_not_equal(0, rig_tpm(&rig, rig_command(0x137, handles, 2, rig_no_auth, BYTES_OF(write)), NULL));
    const uint32_t platform = PLATFORM;
    assert_int_equal(0, rig_tpm(&rig, rig_command(CC_CLEAR, &platform, 1, rig_no_auth, (struct bytes){0}), NULL));
    check_ok(newest(&provision, &tag));
    assert_int_equal(1, tag.serial);
    rig_done(&rig);
}

static void one_that_was_cut_short_is_taken_up(void **state)
{
    (void)state;
    struct rig rig;
    struct provision provision;
    struct tag tag;
    uint8_t room[TAG_MAX];
    begin(&rig, &provision);
    const struct bytes whole = tag_of(1, "CO", room);
    enum status status = IO;
    for (unsigned cut = 1; status != OK; cut++) {
        commands_left = cut;
        status = provision_tag(&provision, whole);
        assert_true(status == OK || status == IO);
        commands_left = 0;
        assert_true(cut < 20);
        rig_stop(&rig);
        rig_on(&rig);
    }
    check_ok(newest(&provision, &tag));
    struct writer writer = writer_over(room, sizeof room);
    check_status(NOT_FOUND, provision_read_tag(&provision, 1, &writer)); /* all of it went into one index */
    rig_done(&rig);
}

static void what_others_put_there_does_not_count(void **state)
{
    (void)state;
    struct rig rig;
    struct provision provision;
    struct tag tag;
    uint8_t room[TAG_MAX];
    struct crypto_key mine = owner;
    begin(&rig, &provision);
    check_ok(crypto_key_generate(&owner, CRYPTO_P256));
    check_ok(provision_tag(&provision, tag_of(99, "XX", room)));
    check_ok(provision_tag(&provision, bytes_from_text("no tag at all")));
    crypto_key_done(&owner);
    owner = mine;
    check_status(NOT_FOUND, newest(&provision, &tag));
    check_ok(provision_tag(&provision, tag_of(3, "CO", room)));
    check_ok(provision_tag(&provision, tag_of(2, "CH", room))); /* an earlier one, played back */
    check_ok(newest(&provision, &tag));
    assert_int_equal(3, tag.serial);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_written_once_and_the_next_beside_it),
        cmocka_unit_test(nobody_deletes_or_changes_it),
        cmocka_unit_test(one_that_was_cut_short_is_taken_up),
        cmocka_unit_test(what_others_put_there_does_not_count),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
