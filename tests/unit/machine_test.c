/* The machine policy: round trip, whose it is and for which instance, every prefix, every limit. */
#include "check.h"

#include "cbor.h"
#include "cose.h"
#include "image.h"

#include <string.h>

static struct crypto_key owner, other;
static const uint8_t site[IMAGE_SITE_LEN] = {7}, elsewhere[IMAGE_SITE_LEN] = {8};
static struct image_machine got;

static int make_keys(void **unused)
{
    (void)unused;
    return crypto_init() == OK && crypto_key_generate(&owner, CRYPTO_P256) == OK &&
                   crypto_key_generate(&other, CRYPTO_P256) == OK
               ? 0
               : -1;
}

static struct image_machine example(void)
{
    struct image_machine machine = {.site = {7}, .serial = 3, .tenant = "hospital", .launch = IMAGE_LAUNCH_ENFORCE};
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        for (size_t i = 0; i < IMAGE_ALLOWED_MAX; i++)
            machine.allowed[part][i][i] = (uint8_t)(part + 1);
    machine.allowed_count[IMAGE_KERNEL] = IMAGE_ALLOWED_MAX;
    machine.allowed_count[IMAGE_DISK] = 2;
    return machine;
}

static struct bytes sign(const struct image_machine *machine)
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_ok(image_machine_sign(&writer, &owner, machine));
    return writer_bytes(&writer);
}

static void a_policy_comes_back_as_it_was_signed(void **unused)
{
    struct image_machine machine = example();
    uint8_t hash[IMAGE_HASH_LEN];
    (void)unused;
    machine.snapshots = true;
    machine.state_max = IMAGE_STATE_MIN;
    check_ok(image_machine_open(sign(&machine), &owner.public_key, site, &got));
    assert_int_equal(3, got.serial);
    assert_string_equal("hospital", got.tenant);
    assert_true(got.snapshots);
    assert_false(got.hypervisor);
    assert_int_equal(IMAGE_STATE_MIN, got.state_max);
    assert_int_equal(IMAGE_LAUNCH_ENFORCE, got.launch);
    assert_memory_equal(machine.allowed_count, got.allowed_count, sizeof got.allowed_count);
    assert_memory_equal(machine.allowed[IMAGE_KERNEL], got.allowed[IMAGE_KERNEL], sizeof got.allowed[IMAGE_KERNEL]);
    memcpy(hash, got.hash, sizeof hash);
    check_ok(image_machine_open(sign(&machine), &owner.public_key, site, &got));
    assert_memory_equal(hash, got.hash, sizeof hash); /* whatever the signature is */
    machine.hypervisor = true;
    check_ok(image_machine_open(sign(&machine), &owner.public_key, site, &got));
    assert_true(got.hypervisor);
    machine.state_max = 0;
    check_ok(image_machine_open(sign(&machine), &owner.public_key, site, &got));
    assert_int_equal(0, got.state_max);
    assert_memory_not_equal(hash, got.hash, sizeof hash);
}

static void no_policy_is_the_policy_of_nothing(void **unused)
{
    static const struct image_machine nothing;
    (void)unused;
    got = example();
    check_ok(image_machine_open((struct bytes){0}, &owner.public_key, site, &got));
    assert_memory_equal(&nothing, &got, sizeof got);
}

static void it_is_one_owners_for_one_instance(void **unused)
{
    const struct image_machine machine = example();
    const struct bytes whole = sign(&machine);
    (void)unused;
    got = (struct image_machine){.serial = 99};
    check_status(AUTH, image_machine_open(whole, &other.public_key, site, &got));
    check_status(DENIED, image_machine_open(whole, &owner.public_key, elsewhere, &got));
    assert_int_equal(99, got.serial);
}

static void every_prefix_every_longer_one_and_every_flipped_bit_is_refused(void **unused)
{
    static uint8_t copy[IMAGE_WORKLOAD_MAX];
    const struct image_machine machine = example();
    const struct bytes whole = sign(&machine);
    (void)unused;
    memcpy(copy, whole.data, whole.len);
    for (size_t len = 1; len < whole.len; len++)
        assert_int_not_equal(OK, image_machine_open(bytes_from(copy, len), &owner.public_key, site, &got));
    assert_int_not_equal(OK, image_machine_open(bytes_from(copy, whole.len + 1), &owner.public_key, site, &got));
    for (size_t i = 0; i < whole.len; i++) {
        copy[i] ^= 1;
        assert_int_not_equal(OK, image_machine_open(bytes_from(copy, whole.len), &owner.public_key, site, &got));
        copy[i] ^= 1;
    }
    check_status(NO_ROOM, image_machine_open(bytes_from(copy, sizeof copy + 1), &owner.public_key, site, &got));
}

static void limits_hold_at_them_and_one_past(void **unused)
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    struct image_machine machine = example();
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        machine.allowed_count[part] = IMAGE_ALLOWED_MAX;
    memset(machine.tenant, 't', IMAGE_TENANT_MAX);
    machine.serial = INT64_MAX;
    machine.state_max = IMAGE_STATE_MAX;
    check_ok(image_machine_open(sign(&machine), &owner.public_key, site, &got));
    assert_int_equal(IMAGE_TENANT_MAX, strlen(got.tenant));
    assert_true(got.serial == INT64_MAX);
    assert_int_equal(IMAGE_STATE_MAX, got.state_max);
    machine.state_max = IMAGE_STATE_MAX + 1;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    machine.state_max = IMAGE_STATE_MIN - 1;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    machine.state_max = IMAGE_STATE_MIN;
    machine.allowed_count[IMAGE_DISK]++;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    machine.allowed_count[IMAGE_DISK]--;
    machine.tenant[IMAGE_TENANT_MAX] = 't';
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    machine.tenant[IMAGE_TENANT_MAX] = '\0';
    machine.serial = (uint64_t)INT64_MAX + 1;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    machine.serial = 0;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    assert_int_equal(0, writer.len);
}

static void what_would_enforce_nothing_or_be_looked_at_by_nobody_is_not_signed(void **unused)
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    struct image_machine machine = example();
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    machine.launch = IMAGE_LAUNCH_NONE;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    machine.launch = (enum image_launch_policy)IMAGE_LAUNCH_POLICIES;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    memset(machine.allowed_count, 0, sizeof machine.allowed_count);
    machine.launch = IMAGE_LAUNCH_ENFORCE;
    check_status(MALFORMED, image_machine_sign(&writer, &owner, &machine));
    machine.launch = IMAGE_LAUNCH_HASH;
    check_ok(image_machine_open(sign(&machine), &owner.public_key, site, &got));
    machine.launch = IMAGE_LAUNCH_NONE;
    check_ok(image_machine_open(sign(&machine), &owner.public_key, site, &got));
}

/* What a payload would be that the owner signed and this code would not have written; then which status. Fields from
 * the ninth on, if there are more than eight, say `more`. */
static enum status opens_with(uint64_t serial, struct bytes tenant, uint64_t launch, size_t parts, size_t count,
                              size_t fields, uint64_t more)
{
    static uint8_t body_room[IMAGE_WORKLOAD_MAX], room[IMAGE_WORKLOAD_MAX];
    static const uint8_t hash[IMAGE_HASH_LEN];
    struct writer body = writer_over(body_room, sizeof body_room), whole = writer_over(room, sizeof room);
    const struct cose_headers headers = {0};
    cbor_put_map(&body, fields);
    cbor_put_uint(&body, 1);
    cbor_put_text(&body, "bastide machine 1");
    cbor_put_uint(&body, 2);
    cbor_put_bytes(&body, BYTES_OF(site));
    cbor_put_uint(&body, 3);
    cbor_put_uint(&body, serial);
    cbor_put_uint(&body, 4);
    cbor_put_text_bytes(&body, tenant);
    cbor_put_uint(&body, 5);
    cbor_put_bool(&body, false);
    cbor_put_uint(&body, 6);
    cbor_put_bool(&body, false);
    cbor_put_uint(&body, 7);
    cbor_put_uint(&body, launch);
    cbor_put_uint(&body, 8);
    cbor_put_array(&body, parts);
    for (size_t part = 0; part < parts; part++) {
        cbor_put_array(&body, count);
        for (size_t i = 0; i < count; i++)
            cbor_put_bytes(&body, BYTES_OF(hash));
    }
    for (size_t field = 9; field <= fields; field++) {
        cbor_put_uint(&body, field);
        cbor_put_uint(&body, more);
    }
    check_ok(writer_end(&body));
    check_ok(cose_sign1_encode(&whole, &owner, &headers, (struct bytes){0}, writer_bytes(&body)));
    return image_machine_open(writer_bytes(&whole), &owner.public_key, site, &got);
}

static enum status opens(uint64_t serial, struct bytes tenant, uint64_t launch, size_t parts, size_t count)
{
    return opens_with(serial, tenant, launch, parts, count, 8, 0);
}

/* As it was signed before there was such a field, and with it; 0 is said by leaving it out. */
static void a_limit_of_the_state_is_there_or_left_out(void **unused)
{
    static const struct {
        size_t fields;
        uint64_t state_max;
        enum status wanted;
    } table[] = {{8, 0, OK},
                 {9, IMAGE_STATE_MIN, OK},
                 {9, IMAGE_STATE_MAX, OK},
                 {9, 0, NO_ROOM},
                 {9, IMAGE_STATE_MIN - 1, NO_ROOM},
                 {9, IMAGE_STATE_MAX + 1, NO_ROOM},
                 {9, (UINT64_C(1) << 32) + IMAGE_STATE_MIN, NO_ROOM},
                 {7, 0, MALFORMED},
                 {10, IMAGE_STATE_MIN, MALFORMED}};
    (void)unused;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        got.state_max = 1;
        check_status(table[i].wanted, opens_with(1, bytes_from_text("t"), IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS, 1,
                                                 table[i].fields, table[i].state_max));
        assert_int_equal(table[i].wanted == OK ? table[i].state_max : 1, got.state_max);
    }
}

static void a_signed_payload_of_another_shape_is_refused(void **unused)
{
    static const uint8_t long_text[IMAGE_TENANT_MAX + 1] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    const struct bytes tenant = bytes_from_text("t");
    (void)unused;
    check_ok(opens(1, tenant, IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS, IMAGE_ALLOWED_MAX));
    check_status(MALFORMED, opens(0, tenant, IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS, 1));
    check_status(NO_ROOM, opens(1, BYTES_OF(long_text), IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS, 1));
    check_status(MALFORMED, opens(1, bytes_from("a\0b", 3), IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS, 1));
    check_status(UNSUPPORTED, opens(1, tenant, IMAGE_LAUNCH_POLICIES, IMAGE_PARTS, 1));
    check_status(MALFORMED, opens(1, tenant, IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS - 1, 1));
    check_status(MALFORMED, opens(1, tenant, IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS + 1, 1));
    check_status(NO_ROOM, opens(1, tenant, IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS, IMAGE_ALLOWED_MAX + 1));
    check_status(MALFORMED, opens(1, tenant, IMAGE_LAUNCH_NONE, IMAGE_PARTS, 1));
    check_status(MALFORMED, opens(1, tenant, IMAGE_LAUNCH_ENFORCE, IMAGE_PARTS, 0));
}

static void tasks_and_policies_are_told_apart_and_neither_opens_as_the_other(void **unused)
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    static struct image_workload tasks = {.tasks = {{.wasm = {1}}}, .count = 1};
    const struct image_machine machine = example();
    struct writer writer = writer_over(room, sizeof room);
    enum image_workload_kind kind;
    (void)unused;
    check_ok(image_workload_sign(&writer, &owner, &tasks));
    check_ok(image_workload_kind(writer_bytes(&writer), &kind));
    assert_int_equal(IMAGE_TASKS, kind);
    check_status(MALFORMED, image_machine_open(writer_bytes(&writer), &owner.public_key, site, &got));
    check_ok(image_workload_kind(sign(&machine), &kind));
    assert_int_equal(IMAGE_MACHINE, kind);
    check_status(MALFORMED, image_workload_open(sign(&machine), &owner.public_key, &tasks));
    check_ok(image_workload_kind((struct bytes){0}, &kind));
    assert_int_equal(IMAGE_NO_WORKLOAD, kind);
    assert_int_not_equal(OK, image_workload_kind(bytes_from_text("neither"), &kind));
    check_status(NO_ROOM, image_workload_kind(bytes_from(room, sizeof room + 1), &kind));
    writer = writer_over(room, sizeof room);
    check_ok(cose_sign1_encode(&writer, &owner, &(struct cose_headers){0}, (struct bytes){0}, bytes_from("\x01", 1)));
    check_status(MALFORMED, image_workload_kind(writer_bytes(&writer), &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_comes_back_as_it_was_signed),
        cmocka_unit_test(no_policy_is_the_policy_of_nothing),
        cmocka_unit_test(it_is_one_owners_for_one_instance),
        cmocka_unit_test(every_prefix_every_longer_one_and_every_flipped_bit_is_refused),
        cmocka_unit_test(limits_hold_at_them_and_one_past),
        cmocka_unit_test(what_would_enforce_nothing_or_be_looked_at_by_nobody_is_not_signed),
        cmocka_unit_test(a_limit_of_the_state_is_there_or_left_out),
        cmocka_unit_test(a_signed_payload_of_another_shape_is_refused),
        cmocka_unit_test(tasks_and_policies_are_told_apart_and_neither_opens_as_the_other),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
