/* Who may have which sealing key, and that keys differ wherever an input does. */
#include "check.h"

#include "crypto.h"
#include "seal.h"

static const uint8_t root[32] = {1, 2, 3}, salt[32] = {9};
static const uint8_t label[MONITOR_LABEL_LEN] = "store";

static struct seal_asker asker(void)
{
    return (struct seal_asker){.measurement = {1}, .signer = {2}, .config = {3}, .security_version = 5};
}

static struct monitor_seal_inputs sealed_by(const struct seal_asker *who, uint32_t policy)
{
    struct monitor_seal_inputs inputs;
    check_ok(seal_fill(who, policy, salt, &inputs));
    return inputs;
}

static void the_sealer_may_open(void **unused)
{
    const struct seal_asker who = asker();
    (void)unused;
    for (uint32_t policy = MONITOR_SEAL_EXACT; policy <= MONITOR_SEAL_SIGNER; policy++) {
        struct monitor_seal_inputs inputs = sealed_by(&who, policy);
        check_ok(seal_permits(&who, &inputs));
    }
}

static void exact_means_this_measurement_only(void **unused)
{
    struct seal_asker who = asker();
    struct monitor_seal_inputs inputs = sealed_by(&who, MONITOR_SEAL_EXACT);
    (void)unused;
    who.measurement[31] ^= 1;
    who.security_version = 6;
    check_status(DENIED, seal_permits(&who, &inputs));
}

static void an_upgrade_of_the_same_signer_keeps_data(void **unused)
{
    struct seal_asker who = asker();
    struct monitor_seal_inputs inputs = sealed_by(&who, MONITOR_SEAL_SIGNER);
    (void)unused;
    who.measurement[0] ^= 1;
    check_ok(seal_permits(&who, &inputs));
    who.security_version = 6;
    check_ok(seal_permits(&who, &inputs));
}

static void a_downgrade_is_refused(void **unused)
{
    struct seal_asker who = asker();
    (void)unused;
    for (uint32_t policy = MONITOR_SEAL_EXACT; policy <= MONITOR_SEAL_SIGNER; policy++) {
        struct monitor_seal_inputs inputs = sealed_by(&who, policy);
        struct seal_asker older = who;
        older.security_version = 4;
        check_status(DENIED, seal_permits(&older, &inputs));
        inputs.security_version = 4; /* a lie about the version gives another key */
        check_ok(seal_permits(&older, &inputs));
        uint8_t ours[32], theirs[32];
        struct monitor_seal_inputs truth = sealed_by(&who, policy);
        check_ok(seal_key(root, label, &truth, ours));
        check_ok(seal_key(root, label, &inputs, theirs));
        assert_memory_not_equal(ours, theirs, sizeof ours);
    }
}

static void another_signer_or_product_is_refused(void **unused)
{
    struct seal_asker who = asker();
    struct monitor_seal_inputs inputs = sealed_by(&who, MONITOR_SEAL_SIGNER);
    (void)unused;
    who.signer[5] ^= 1;
    check_status(DENIED, seal_permits(&who, &inputs));
}

static void another_owner_site_or_mode_is_refused(void **unused)
{
    (void)unused;
    for (uint32_t policy = MONITOR_SEAL_EXACT; policy <= MONITOR_SEAL_SIGNER; policy++) {
        struct seal_asker who = asker();
        struct monitor_seal_inputs inputs = sealed_by(&who, policy);
        who.config[31] ^= 1;
        check_status(DENIED, seal_permits(&who, &inputs));
    }
}

static void what_a_policy_does_not_use_must_be_zero(void **unused)
{
    const struct seal_asker who = asker();
    struct monitor_seal_inputs exact = sealed_by(&who, MONITOR_SEAL_EXACT),
                               signer = sealed_by(&who, MONITOR_SEAL_SIGNER);
    (void)unused;
    exact.signer[0] = 2;
    check_status(MALFORMED, seal_permits(&who, &exact));
    signer.measurement[0] = 1;
    check_status(MALFORMED, seal_permits(&who, &signer));
}

static void an_unknown_policy_is_malformed(void **unused)
{
    const struct seal_asker who = asker();
    struct monitor_seal_inputs inputs = sealed_by(&who, MONITOR_SEAL_EXACT), untouched = inputs;
    static const uint32_t unknown[] = {0, 3, 0x10001, ~0u};
    (void)unused;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        check_status(MALFORMED, seal_fill(&who, unknown[i], salt, &inputs));
        assert_memory_equal(&untouched, &inputs, sizeof inputs);
        inputs.policy = unknown[i];
        check_status(MALFORMED, seal_permits(&who, &inputs));
        inputs.policy = MONITOR_SEAL_EXACT;
    }
}

static void the_key_depends_on_every_bit_of_root_label_and_inputs(void **unused)
{
    const struct seal_asker who = asker();
    struct monitor_seal_inputs inputs = sealed_by(&who, MONITOR_SEAL_EXACT);
    uint8_t key[32], again[32], other[32], bent_root[32], bent_label[MONITOR_LABEL_LEN];
    (void)unused;
    check_ok(seal_key(root, label, &inputs, key));
    check_ok(seal_key(root, label, &inputs, again));
    assert_memory_equal(key, again, sizeof key);
    for (size_t bit = 0; bit < sizeof inputs * 8; bit++) {
        ((uint8_t *)&inputs)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_ok(seal_key(root, label, &inputs, other));
        assert_memory_not_equal(key, other, sizeof key);
        ((uint8_t *)&inputs)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 256; bit++) {
        memcpy(bent_root, root, sizeof root);
        memcpy(bent_label, label, sizeof label);
        bent_root[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bent_label[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_ok(seal_key(bent_root, label, &inputs, other));
        assert_memory_not_equal(key, other, sizeof key);
        check_ok(seal_key(root, bent_label, &inputs, other));
        assert_memory_not_equal(key, other, sizeof key);
    }
}

static void the_key_is_hkdf_of_the_fields_in_their_order(void **unused)
{
    const struct seal_asker who = asker();
    struct monitor_seal_inputs inputs = sealed_by(&who, MONITOR_SEAL_SIGNER);
    uint8_t info[256] = {0}, key[32], expected[32];
    struct writer writer = writer_over(info, sizeof info);
    (void)unused;
    put_bytes(&writer, bytes_from("bastide seal", 13));
    put_bytes(&writer, BYTES_OF(label));
    put_u32be(&writer, 2);
    put_u32be(&writer, 5);
    put_space(&writer, 32);
    put_bytes(&writer, BYTES_OF(who.signer));
    put_bytes(&writer, BYTES_OF(who.config));
    put_bytes(&writer, BYTES_OF(salt));
    check_ok(crypto_hkdf_expand(CRYPTO_SHA256, BYTES_OF(root), writer_bytes(&writer), expected, 32));
    check_ok(seal_key(root, label, &inputs, key));
    assert_memory_equal(expected, key, sizeof key);
}

static void the_monitors_own_keys_are_nobody_elses(void **unused)
{
    uint8_t heads[32], other[32];
    (void)unused;
    check_ok(seal_monitor_key(root, "heads", heads));
    check_ok(seal_monitor_key(root, "other", other));
    assert_memory_not_equal(heads, other, sizeof heads);
    check_status(NO_ROOM, seal_monitor_key(root, "a purpose that is far too long to fit in the room there is", other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sealer_may_open),
        cmocka_unit_test(exact_means_this_measurement_only),
        cmocka_unit_test(an_upgrade_of_the_same_signer_keeps_data),
        cmocka_unit_test(a_downgrade_is_refused),
        cmocka_unit_test(another_signer_or_product_is_refused),
        cmocka_unit_test(another_owner_site_or_mode_is_refused),
        cmocka_unit_test(what_a_policy_does_not_use_must_be_zero),
        cmocka_unit_test(an_unknown_policy_is_malformed),
        cmocka_unit_test(the_key_depends_on_every_bit_of_root_label_and_inputs),
        cmocka_unit_test(the_key_is_hkdf_of_the_fields_in_their_order),
        cmocka_unit_test(the_monitors_own_keys_are_nobody_elses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
