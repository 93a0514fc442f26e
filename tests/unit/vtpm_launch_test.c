/* vtpm: no INIT where the machine policy wants a launch measured and none was, what was measured in PCR 17 and beside
 * its keys, the launches of a node in PCR 18 of its own vTPM, and none of it its host end's to say. */
#include "vtpm_identity_rig.h"

#include "x509.h"

static const uint8_t zeros[32],
    ones[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void check_pcr(struct rig *rig, unsigned pcr, const uint8_t expected[32])
{
    uint8_t value[32];
    rig_pcr_read(rig, pcr, value);
    assert_memory_equal(expected, value, 32);
}

static void extend(uint8_t value[32], const uint8_t digest[32])
{
    uint8_t hash[CRYPTO_HASH_MAX];
    const struct bytes parts[] = {bytes_from(value, 32), bytes_from(digest, 32)};
    check_ok(crypto_hash(CRYPTO_SHA256, parts, 2, hash));
    memcpy(value, hash, 32);
}

static struct image_launch launch_of(const struct monitor_launch *told)
{
    struct image_launch launch = {0};
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        launch.given[part] = told->given >> part & 1;
    memcpy(launch.hash, told->hash, sizeof launch.hash);
    return launch;
}

/* A kernel and a command line, the former with `first` as its first byte. */
static struct monitor_launch measured(uint8_t first)
{
    struct monitor_launch launch = {.given = 1u << IMAGE_KERNEL | 1u << IMAGE_CMDLINE};
    launch.hash[IMAGE_KERNEL][0] = first;
    launch.hash[IMAGE_CMDLINE][31] = 9;
    return launch;
}

static void wants(struct rig *rig, enum image_launch_policy policy, uint8_t first)
{
    const struct monitor_launch launch = measured(first);
    rig->machine = (struct image_machine){.serial = 1, .launch = policy};
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        rig->machine.allowed_count[part] = launch.given >> part & 1;
        memcpy(rig->machine.allowed[part][0], launch.hash[part], 32);
    }
}

static void is_refused(struct rig *rig, const char *why)
{
    assert_int_equal(0, rig_launch(rig));
    assert_int_equal(SWTPM_FAIL, rig_do(rig, SWTPM_INIT));
    assert_int_equal(0x101, rig_startup(rig));
    assert_non_null(strstr(rig->audit, why));
    rig_stop(rig);
}

static void without_a_policy_a_launch_need_not_be_measured(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_on(&rig);
    check_pcr(&rig, VTPM_LAUNCH_PCR, ones);
    rig_stop(&rig);
    rig.machine.serial = 1; /* nor with one that does not ask for it */
    rig_on(&rig);
    check_pcr(&rig, VTPM_LAUNCH_PCR, ones);
    rig_done(&rig);
}

static void init_is_refused_until_the_launch_is_measured(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    wants(&rig, IMAGE_LAUNCH_HASH, 1);
    is_refused(&rig, "wants the launch measured, and none was");
    wants(&rig, IMAGE_LAUNCH_ENFORCE, 1);
    is_refused(&rig, "wants the launch measured, and none was");
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_INIT));
    rig.measured = true; /* the monitor was late */
    rig.launch = measured(1);
    assert_int_equal(SWTPM_OK, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0, rig_startup(&rig));
    rig_done(&rig);
}

static void another_launch_is_refused_where_that_is_enforced_and_told_where_it_is_not(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.measured = true;
    rig.launch = measured(1);
    wants(&rig, IMAGE_LAUNCH_ENFORCE, 2);
    is_refused(&rig, "has no such launch, parts=0x2");
    wants(&rig, IMAGE_LAUNCH_HASH, 2);
    rig_on(&rig);
    rig_stop(&rig);
    wants(&rig, IMAGE_LAUNCH_ENFORCE, 1);
    rig_on(&rig);
    rig_stop(&rig);
    rig.launch.given = 0; /* a monitor that says nothing with many words */
    assert_int_equal(0, rig_launch(&rig));
    rig_ask(&rig, DOOR_VTPM_CONTROL, BYTES_OF(((const uint8_t[]){0, 0, 0, SWTPM_INIT, 0, 0, 0, 0})));
    const char *sentence;
    assert_int_equal(4, vtpm_exit_code(rig.vtpm, &sentence));
    rig_done(&rig);
}

static void what_was_measured_is_in_pcr_17_from_each_startup_on(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t digest[32], expected[32] = {0};
    rig_init(&rig);
    rig.measured = true;
    rig.launch = measured(1);
    const struct image_launch launch = launch_of(&rig.launch);
    check_ok(image_launch_digest(&launch, digest));
    extend(expected, digest);
    rig_on(&rig);
    check_pcr(&rig, VTPM_LAUNCH_PCR, expected);
    check_pcr(&rig, 18, zeros);
    check_pcr(&rig, 0, zeros);
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT)); /* a system_reset */
    assert_int_equal(0, rig_startup(&rig));
    check_pcr(&rig, VTPM_LAUNCH_PCR, expected);
    static const uint8_t saved[] = {0, 1};
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x145, NULL, 0, NULL, BYTES_OF(saved)), NULL));
    rig_stop(&rig); /* another VM, that would resume what this one left */
    rig.launch = measured(2);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x144, NULL, 0, NULL, BYTES_OF(saved)), NULL));
    const struct image_launch other = launch_of(&rig.launch);
    memset(expected, 0, sizeof expected);
    check_ok(image_launch_digest(&other, digest));
    extend(expected, digest);
    check_pcr(&rig, VTPM_LAUNCH_PCR, expected);
    rig_done(&rig);
}

static uint32_t at_locality(struct rig *rig, uint8_t locality, struct bytes command)
{
    uint8_t room[256];
    struct writer writer = writer_over(room, sizeof room);
    put_u32be(&writer, 8); /* TPM_SEND_COMMAND */
    put_u8(&writer, locality);
    put_u32be(&writer, (uint32_t)command.len);
    put_bytes(&writer, command);
    rig_ask(rig, DOOR_VTPM_DATA, writer_bytes(&writer));
    struct reader reader = reader_over(bytes_from(rig->reply, rig->reply_len));
    (void)take_bytes(&reader, 10);
    return take_u32be(&reader);
}

static uint32_t set_locality(struct rig *rig, uint8_t locality)
{
    const struct swtpm_request request = {.command = SWTPM_SET_LOCALITY, .of.locality = locality};
    return rig_control(rig, &request).result;
}

static struct bytes reset_of(uint32_t pcr)
{
    return rig_command(0x13d, &pcr, 1, rig_no_auth, (struct bytes){0});
}

static void its_host_cannot_say_something_else_instead(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t before[32];
    rig_init(&rig);
    rig.measured = true;
    rig.launch = measured(1);
    rig_on(&rig);
    rig_pcr_read(&rig, VTPM_LAUNCH_PCR, before);
    assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_HASH_START));
    const struct swtpm_request data = {.command = SWTPM_HASH_DATA, .of.data = bytes_from_text("other")};
    assert_int_equal(SWTPM_FAIL, rig_control(&rig, &data).result);
    assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_HASH_END));
    assert_int_equal(SWTPM_BAD_LOCALITY, set_locality(&rig, 4));
    assert_int_equal(0x907, at_locality(&rig, 4, reset_of(VTPM_LAUNCH_PCR)));
    for (uint8_t locality = 0; locality <= 3; locality++) {
        assert_int_equal(0, set_locality(&rig, locality));
        assert_int_not_equal(0, rig_tpm(&rig, reset_of(VTPM_LAUNCH_PCR), NULL));
    }
    check_pcr(&rig, VTPM_LAUNCH_PCR, before);
    assert_int_equal(0, set_locality(&rig, 2)); /* more may be said after it, and is seen */
    assert_int_equal(0, rig_pcr_extend(&rig, VTPM_LAUNCH_PCR));
    rig_stop(&rig);
    rig.measured = false; /* where nothing was measured all of it is the host's word */
    rig_on(&rig);
    assert_int_equal(0, rig_do(&rig, SWTPM_HASH_START));
    assert_int_equal(0, rig_do(&rig, SWTPM_HASH_END));
    rig_done(&rig);
}

static void its_keys_come_with_what_was_launched(void **state)
{
    (void)state;
    static uint8_t copy[VTPM_KEYS_ANSWER_MAX];
    struct rig rig;
    struct vtpm_appraisal appraisal;
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    rig_with_monitor(&rig);
    check_ok(vtpm_appraise(rig_keys(&rig, BYTES_OF(nonce)), &policy, &appraisal));
    assert_false(appraisal.measured);
    rig_stop(&rig);
    rig.measured = true;
    rig.launch = measured(1);
    rig_on(&rig);
    const struct bytes answer = rig_keys(&rig, BYTES_OF(nonce));
    const struct image_launch launch = launch_of(&rig.launch);
    memcpy(copy, answer.data, answer.len);
    check_ok(vtpm_appraise(bytes_from(copy, answer.len), &policy, &appraisal));
    assert_true(appraisal.measured);
    assert_memory_equal(&launch, &appraisal.launch, sizeof launch);
    for (size_t i = answer.len - IMAGE_LAUNCH_LEN; i < answer.len; i++) { /* another launch, or none */
        copy[i] ^= 1;
        check_status(DENIED, vtpm_appraise(bytes_from(copy, answer.len), &policy, &appraisal));
        assert_false(appraisal.measured);
        copy[i] ^= 1;
    }
    struct vtpm_keys_answer said;
    check_ok(vtpm_keys_answer_decode(answer, &said));
    said.launch = (struct bytes){0};
    struct writer writer = writer_over(copy, sizeof copy);
    vtpm_keys_put_answer(&writer, &said);
    check_status(DENIED, vtpm_appraise(writer_bytes(&writer), &policy, &appraisal));
    assert_int_equal(1u << EVIDENCE_USER_DATA, appraisal.evidence.reasons);
    rig_done(&rig);
}

/* ---- The node's own ---- */

#define VMS (2 * MONITOR_LAUNCHES_MAX + 3)

static void replay(const struct monitor_vm *vms, size_t count, uint8_t value[32])
{
    memset(value, 0, 32);
    for (size_t i = 0; i < count; i++) {
        uint8_t room[VTPM_LAUNCH_EVENT], digest[CRYPTO_HASH_MAX];
        struct writer writer = writer_over(room, sizeof room);
        const struct image_launch launch = launch_of(&vms[i].launch);
        const struct bytes whole = BYTES_OF(room);
        put_bytes(&writer, BYTES_OF(vms[i].site));
        image_put_launch(&writer, &launch);
        check_ok(writer_end(&writer));
        check_ok(crypto_hash(CRYPTO_SHA256, &whole, 1, digest));
        extend(value, digest);
    }
}

static void the_nodes_own_has_every_launch_in_pcr_18(void **state)
{
    (void)state;
    static struct monitor_vm vms[VMS];
    static const uint8_t saved[] = {0, 1};
    struct rig rig;
    uint8_t expected[32];
    for (size_t i = 0; i < VMS; i++)
        vms[i] = (struct monitor_vm){.site = {(uint8_t)i}, .launch = measured((uint8_t)(i + 1))};
    rig_init(&rig);
    rig.vms = vms;
    rig_on(&rig);
    rig.vm_count = 1;
    check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, ones); /* one that is a VM's is told of no other */
    rig_stop(&rig);
    rig.machine = (struct image_machine){.serial = 1, .hypervisor = true};
    rig.vm_count = 0;
    rig_on(&rig);
    check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, zeros);
    static const size_t counts[] = {1, 2, MONITOR_LAUNCHES_MAX, 2 * MONITOR_LAUNCHES_MAX, VMS};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        rig.vm_count = counts[i];
        replay(vms, counts[i], expected);
        check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, expected);
    }
    check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, expected);
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT)); /* anew: the whole log once more, and not twice */
    assert_int_equal(0x100, rig_tpm(&rig, reset_of(16), NULL));
    assert_int_equal(0, rig_startup(&rig));
    check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, expected);
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x145, NULL, 0, NULL, BYTES_OF(saved)), NULL));
    rig_stop(&rig);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x144, NULL, 0, NULL, BYTES_OF(saved)), NULL));
    check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, expected);
    assert_int_equal(0, rig_do(&rig, SWTPM_STORE_VOLATILE)); /* is not taken up: PCR and log begin together */
    rig_stop(&rig);
    rig_on(&rig);
    check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, expected);
    rig_done(&rig);
}

static void nobody_else_writes_to_the_nodes_log(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.machine = (struct image_machine){.serial = 1, .hypervisor = true};
    rig_on(&rig);
    for (uint8_t locality = 0; locality <= SWTPM_LOCALITY_MAX; locality++) {
        const uint32_t result = set_locality(&rig, locality);
        assert_int_equal(locality <= 1 ? SWTPM_OK : SWTPM_BAD_LOCALITY, result);
        assert_int_equal(0x907, rig_pcr_extend(&rig, VTPM_LAUNCH_LOG_PCR));
        assert_int_not_equal(0, rig_tpm(&rig, reset_of(VTPM_LAUNCH_LOG_PCR), NULL));
        assert_int_not_equal(0, at_locality(&rig, locality, reset_of(VTPM_LAUNCH_LOG_PCR)));
    }
    assert_int_equal(SWTPM_FAIL, rig_do(&rig, SWTPM_HASH_START));
    check_pcr(&rig, VTPM_LAUNCH_LOG_PCR, zeros);
    assert_int_equal(0, rig_pcr_extend(&rig, 16)); /* the rest of it is as any other's */
    rig_done(&rig);
}

/* ---- What READY's answer has ---- */

static void the_policy_is_read_where_the_launch_has_it(void **state)
{
    (void)state;
    static uint8_t certificate_room[1024], configuration_room[IMAGE_CONFIGURATION_MAX], room[IMAGE_WORKLOAD_MAX];
    struct crypto_key owner = {0};
    char why_room[128];
    struct writer certificate = writer_over(certificate_room, sizeof certificate_room);
    struct writer configuration = writer_over(configuration_room, sizeof configuration_room);
    struct writer workload = writer_over(room, sizeof room);
    struct writer why = writer_over((uint8_t *)why_room, sizeof why_room);
    struct image_machine machine = {.site = {3}, .serial = 8}, got = {0};
    struct image_configuration owned;
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&owner, CRYPTO_P256));
    check_ok(x509_issue_root(&certificate, &owner, (const uint8_t[X509_SERIAL_LEN]){1}, 1700000000));
    const struct image_configuration whose = {.certificate = writer_bytes(&certificate), .site = {3}};
    image_put_configuration(&configuration, &whose);
    check_ok(image_machine_sign(&workload, &owner, &machine));
    const struct bytes asked = writer_bytes(&configuration);
    check_ok(vtpm_policy_read(asked, writer_bytes(&workload), &owned, &got, &why));
    assert_int_equal(8, got.serial);
    check_ok(vtpm_policy_read(asked, (struct bytes){0}, &owned, &got, &why));
    assert_int_equal(0, got.serial);
    assert_int_equal(0, why.len);
    room[workload.len - 1] ^= 1;
    check_status(AUTH, vtpm_policy_read(asked, writer_bytes(&workload), &owned, &got, &why));
    machine.site[0] = 4;
    workload = writer_over(room, sizeof room);
    check_ok(image_machine_sign(&workload, &owner, &machine));
    check_status(DENIED, vtpm_policy_read(asked, writer_bytes(&workload), &owned, &got, &why));
    const struct image_workload tasks = {.tasks = {{.wasm = {1}}}, .count = 1};
    workload = writer_over(room, sizeof room);
    check_ok(image_workload_sign(&workload, &owner, &tasks));
    check_status(MALFORMED, vtpm_policy_read(asked, writer_bytes(&workload), &owned, &got, &why));
    check_status(TRUNCATED, vtpm_policy_read((struct bytes){0}, writer_bytes(&workload), &owned, &got, &why));
    crypto_key_done(&owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_a_launch_need_not_be_measured),
        cmocka_unit_test(init_is_refused_until_the_launch_is_measured),
        cmocka_unit_test(another_launch_is_refused_where_that_is_enforced_and_told_where_it_is_not),
        cmocka_unit_test(what_was_measured_is_in_pcr_17_from_each_startup_on),
        cmocka_unit_test(its_host_cannot_say_something_else_instead),
        cmocka_unit_test(its_keys_come_with_what_was_launched),
        cmocka_unit_test(the_nodes_own_has_every_launch_in_pcr_18),
        cmocka_unit_test(nobody_else_writes_to_the_nodes_log),
        cmocka_unit_test(the_policy_is_read_where_the_launch_has_it),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
