/* device: its state in bytes, and the hub held to what the code said — certificates, evidence, and what was seen. */
#include "evidence_rig.h"

#include "attest.h"
#include "device.h"
#include "image.h"

#include <stdio.h>

#define NOW_S 1800000000

static struct crypto_key owner_key, other_owner_key, ca_key, hub_key, attestation_key;
static uint8_t root_room[PKI_CERTIFICATE_MAX], other_root_room[PKI_CERTIFICATE_MAX], ca_room[PKI_CERTIFICATE_MAX],
    hub_room[PKI_CERTIFICATE_MAX];
static struct bytes root, other_root, ca, hub;
static const uint8_t site[X509_SITE_LEN] = {7}, serial[X509_SERIAL_LEN] = {1};
static const struct attest_binder binder = {"this session's", 32};
static uint8_t config_id[EAT_HASH_LEN];

static struct {
    uint8_t state[DEVICE_STATE_MAX];
    size_t len;
    unsigned times;
    bool fails;
    int64_t now_s;
} world;

static int64_t now_s(void *user)
{
    (void)user;
    return world.now_s;
}

static enum status keep(void *user, struct bytes state)
{
    (void)user;
    if (world.fails)
        return IO;
    memcpy(world.state, state.data, state.len);
    world.len = state.len;
    world.times++;
    return OK;
}

static const struct device_host host = {now_s, keep, NULL};

/* ---- A site: owner, site CA, hub ---- */

static struct bytes issue(uint8_t *room, const struct crypto_key *issuer_key, struct bytes issuer_der,
                          enum x509_role role, const char *name, const struct crypto_key *key)
{
    struct writer writer = writer_over(room, PKI_CERTIFICATE_MAX);
    struct pki_certificate issuer;
    struct x509_order order = {
        .identity = {.role = role, .name = bytes_from_text(name)}, .key = key->public_key, .now_s = NOW_S};
    memcpy(order.identity.site, site, sizeof site);
    memcpy(order.serial, serial, sizeof serial);
    check_ok(pki_certificate_decode(issuer_der, &issuer));
    check_ok(x509_issue(&writer, issuer_key, &issuer, &order));
    return writer_bytes(&writer);
}

static struct bytes make_root(uint8_t *room, const struct crypto_key *key)
{
    struct writer writer = writer_over(room, PKI_CERTIFICATE_MAX);
    check_ok(x509_issue_root(&writer, key, serial, NOW_S));
    return writer_bytes(&writer);
}

static int start_site(void **state)
{
    struct crypto_key *const keys[] = {&owner_key, &other_owner_key, &ca_key, &hub_key, &attestation_key};
    uint8_t room[IMAGE_CONFIGURATION_MAX], digest[CRYPTO_HASH_MAX];
    struct writer writer = writer_over(room, sizeof room);
    if (start(state))
        return 1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        check_ok(crypto_key_generate(keys[i], CRYPTO_P256));
    root = make_root(root_room, &owner_key);
    other_root = make_root(other_root_room, &other_owner_key);
    ca = issue(ca_room, &owner_key, root, X509_SITE_CA, "site", &ca_key);
    hub = issue(hub_room, &ca_key, ca, X509_HUB, "hub", &hub_key);
    struct image_configuration configuration = {.certificate = root};
    memcpy(configuration.site, site, sizeof site);
    image_put_configuration(&writer, &configuration);
    struct bytes encoded = writer_bytes(&writer);
    check_ok(crypto_hash(CRYPTO_SHA256, &encoded, 1, digest));
    memcpy(config_id, digest, sizeof config_id);
    return 0;
}

static int stop_site(void **state)
{
    struct crypto_key *const keys[] = {&owner_key, &other_owner_key, &ca_key, &hub_key, &attestation_key};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        crypto_key_done(keys[i]);
    return stop(state);
}

static struct enrol_code code(void)
{
    uint8_t digest[CRYPTO_HASH_MAX];
    struct enrol_code made = {.name = "thermometer", .reference = {.product = "hub", .min_security_version = 3}};
    memset(made.secret, 9, sizeof made.secret);
    memcpy(made.reference.site, site, sizeof site);
    check_ok(crypto_hash(CRYPTO_SHA256, &root, 1, digest));
    memcpy(made.reference.owner, digest, sizeof made.reference.owner);
    memcpy(made.reference.ak, node.ak_name + 2, sizeof made.reference.ak);
    memcpy(made.reference.signer, signer, sizeof signer);
    made.reference.required_walls = EAT_WALL_SECRET_MEMORY;
    return made;
}

static struct device device;

static int begin(void **state)
{
    (void)state;
    struct enrol_code invited = code();
    memset(&world, 0, sizeof world);
    world.now_s = NOW_S;
    check_ok(device_begin(&device, &invited, &host));
    return 0;
}

static int end(void **state)
{
    (void)state;
    device_done(&device);
    return 0;
}

/* ---- Meeting ---- */

static char why[256];

static enum status meet(const struct bytes *chain, size_t count)
{
    struct edhoc_reference reference = {.kind = EDHOC_X5CHAIN, .certificates_count = count};
    for (size_t i = 0; i < count; i++)
        reference.certificates[i] = chain[i];
    const struct client_hub shown = {.reference = &reference, .credential = chain[0]};
    why[0] = 0;
    const struct client_edhoc *edhoc = device_edhoc(&device);
    return edhoc->meet(edhoc->user, &shown, why, sizeof why);
}

static void check_why(const char *part)
{
    if (!strstr(why, part))
        fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void a_hub_is_met_by_certificates_that_end_at_the_owner(void **state)
{
    (void)state;
    const struct bytes chain[] = {hub, ca, root};
    check_ok(meet(chain, 3));
}

static void a_genuine_hub_of_another_owner_is_refused_by_who_knows_only_the_code(void **state)
{
    (void)state;
    uint8_t other_ca_room[PKI_CERTIFICATE_MAX], other_hub_room[PKI_CERTIFICATE_MAX];
    struct bytes other_ca = issue(other_ca_room, &other_owner_key, other_root, X509_SITE_CA, "site", &ca_key);
    const struct bytes chain[] = {issue(other_hub_room, &ca_key, other_ca, X509_HUB, "hub", &hub_key), other_ca,
                                  other_root};
    check_status(DENIED, meet(chain, 3));
    check_why("owner");
    /* Nor does the owner's certificate help that is only laid beside it, nor does it help to leave it out. */
    const struct bytes mixed[] = {chain[0], chain[1], root};
    check_status(DENIED, meet(mixed, 3));
    const struct bytes cut[] = {hub, ca};
    check_status(DENIED, meet(cut, 2));
}

static void what_is_no_hubs_certificate_of_this_site_is_refused(void **state)
{
    (void)state;
    uint8_t room[PKI_CERTIFICATE_MAX];
    const struct bytes client[] = {issue(room, &ca_key, ca, X509_CLIENT, "sensor", &hub_key), ca, root};
    check_status(DENIED, meet(client, 3));
    const struct bytes chain[] = {hub, ca, root};
    device.reference.site[0] ^= 1;
    check_status(DENIED, meet(chain, 3));
    check_why("site");
    device.reference.site[0] ^= 1;
    world.now_s = NOW_S + (X509_HUB_DAYS + 1) * 86400;
    check_status(DENIED, meet(chain, 3));
    check_why("expired");
    world.now_s = 0; /* a clock that was never set */
    check_ok(meet(chain, 3));
}

static void a_bare_key_is_nobodys(void **state)
{
    (void)state;
    const struct edhoc_reference reference = {.kind = EDHOC_KCCS};
    const struct client_hub shown = {.reference = &reference};
    const struct client_edhoc *edhoc = device_edhoc(&device);
    check_status(DENIED, edhoc->meet(edhoc->user, &shown, why, sizeof why));
    check_why("no certificate");
}

/* ---- Evidence ---- */

static struct eat_report good_report(void)
{
    struct eat_report report = sample();
    memcpy(report.config, config_id, sizeof config_id);
    memcpy(report.signer, signer, sizeof signer);
    check_ok(attest_user_data(&attestation_key.public_key, report.user_data));
    return report;
}

static enum status appraise_with(const struct eat_report *report, const struct attest_binder *bound_to)
{
    static uint8_t launch_room[EAT_EVIDENCE_MAX], room[ATTEST_EVIDENCE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    const struct bytes chain[] = {hub, ca, root};
    uint8_t digest[CRYPTO_HASH_MAX];
    struct attest_evidence evidence = {.nonce = BYTES_OF(nonce),
                                       .key = attestation_key.public_key,
                                       .launch = made(report, &node.report_key, launch_room)};
    check_ok(crypto_hash(CRYPTO_SHA256, &hub, 1, digest));
    memcpy(evidence.credential, digest, sizeof evidence.credential);
    check_ok(attest_evidence_sign(&writer, &attestation_key, bound_to, &evidence));
    check_ok(meet(chain, 3));
    const struct client_hub shown = {
        .credential = hub, .evidence = writer_bytes(&writer), .binder = &binder, .nonce = BYTES_OF(nonce)};
    const struct client_edhoc *edhoc = device_edhoc(&device);
    return edhoc->appraise(edhoc->user, &shown, why, sizeof why);
}

static enum status appraise(const struct eat_report *report)
{
    return appraise_with(report, &binder);
}

static void good_evidence_is_accepted_and_what_it_shows_is_kept_first(void **state)
{
    (void)state;
    struct eat_report report = good_report();
    check_ok(appraise(&report));
    assert_int_equal(1, world.times);
    struct device back;
    check_ok(device_decode(bytes_from(world.state, world.len), &back, &host));
    assert_int_equal(42, back.seen.nv_counter);
    assert_int_equal(7, back.seen.reset_count);
    assert_int_equal(9, back.seen.sequence);
    device_done(&back);
    check_ok(appraise(&report)); /* nothing new: nothing to keep */
    assert_int_equal(1, world.times);
}

static void what_cannot_be_kept_does_not_count(void **state)
{
    (void)state;
    struct eat_report report = good_report();
    world.fails = true;
    check_status(DENIED, appraise(&report));
    check_why("could not be kept");
    assert_int_equal(0, device.seen.nv_counter);
}

static void less_than_was_seen_is_refused(void **state)
{
    (void)state;
    struct eat_report report = good_report();
    check_ok(appraise(&report));
    report.sequence--;
    check_status(DENIED, appraise(&report));
    assert_int_equal(1u << EVIDENCE_ROLLED_BACK, device.evidence.reasons);
    report = good_report();
    report.nv_counter--;
    check_status(DENIED, appraise(&report));
    report = good_report();
    report.reset_count--;
    check_status(DENIED, appraise(&report));
    report = good_report();
    report.sequence += 100;
    check_ok(appraise(&report));
}

static void every_difference_is_refused_with_its_own_reason(void **state)
{
    (void)state;
    struct eat_report report = good_report();
#define refused_for(reason, change)                                                                                    \
    do {                                                                                                               \
        report = good_report();                                                                                        \
        change;                                                                                                        \
        check_status(DENIED, appraise(&report));                                                                       \
        assert_int_equal(1u << (reason), device.evidence.reasons);                                                     \
        assert_true(strlen(why) > 10);                                                                                 \
    } while (0)
    refused_for(EVIDENCE_MEASUREMENT, report.signer[0] ^= 1);
    refused_for(EVIDENCE_MEASUREMENT, report.product = bytes_from_text("vtpm"));
    refused_for(EVIDENCE_SECURITY_VERSION, report.security_version = 2);
    refused_for(EVIDENCE_CONFIG, report.config[0] ^= 1);
    refused_for(EVIDENCE_WALLS, report.walls = EAT_WALL_NAMESPACES);
    refused_for(EVIDENCE_MODE, report.mode = EAT_INSECURE_DEV);
    refused_for(EVIDENCE_MONITOR, report.monitor_measured = false);
    refused_for(EVIDENCE_USER_DATA, report.user_data[0] ^= 1);
    refused_for(EVIDENCE_OTHER_AK, device.reference.ak[0] ^= 1);
    device.reference.ak[0] ^= 1;
    static const struct attest_binder another = {"another session's", 32};
    report = good_report();
    check_status(DENIED, appraise_with(&report, &another));
    assert_int_equal(1u << EVIDENCE_SESSION, device.evidence.reasons);
    assert_int_equal(0, world.times);
    check_ok((report = good_report(), appraise(&report)));
}

static void a_newer_image_of_the_same_signer_is_welcome(void **state)
{
    (void)state;
    struct eat_report report = good_report();
    report.measurement[0] ^= 1;
    report.security_version = 4;
    check_ok(appraise(&report));
}

static void no_evidence_is_no_good_evidence(void **state)
{
    (void)state;
    const struct client_hub shown = {.credential = hub, .binder = &binder, .nonce = BYTES_OF(nonce)};
    const struct client_edhoc *edhoc = device_edhoc(&device);
    check_status(DENIED, edhoc->appraise(edhoc->user, &shown, why, sizeof why));
    assert_int_equal(1u << EVIDENCE_MALFORMED, device.evidence.reasons);
}

/* ---- State ---- */

static void a_state_goes_there_and_back_and_no_part_of_it_is_one(void **state)
{
    (void)state;
    struct device back;
    uint8_t longer[DEVICE_STATE_MAX];
    check_ok(device_keep(&device));
    check_ok(device_decode(bytes_from(world.state, world.len), &back, &host));
    assert_memory_equal(&device.reference, &back.reference, sizeof device.reference);
    check_bytes(secret_bytes(&device.code), secret_bytes(&back.code));
    check_bytes(crypto_public_bytes(&device.key.public_key), crypto_public_bytes(&back.key.public_key));
    device_done(&back);
    for (size_t len = 0; len < world.len; len++)
        check_status(TRUNCATED, device_decode(bytes_from(world.state, len), &back, &host));
    memcpy(longer, world.state, world.len);
    longer[world.len] = 0;
    check_status(MALFORMED, device_decode(bytes_from(longer, world.len + 1), &back, &host));
    longer[1] = 2;
    check_status(UNSUPPORTED, device_decode(bytes_from(longer, world.len), &back, &host));
}

static void before_it_is_enrolled_it_has_no_name_and_nothing_to_renew(void **state)
{
    (void)state;
    char name[DEVICE_NAME_MAX + 1] = "x";
    device_name(&device, name);
    assert_string_equal("", name);
    assert_false(device_renewal_due(&device));
    assert_false(device_edhoc(&device)->own.is_certificate);
}

int main(void)
{
#define device_test(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        device_test(a_hub_is_met_by_certificates_that_end_at_the_owner),
        device_test(a_genuine_hub_of_another_owner_is_refused_by_who_knows_only_the_code),
        device_test(what_is_no_hubs_certificate_of_this_site_is_refused),
        device_test(a_bare_key_is_nobodys),
        device_test(good_evidence_is_accepted_and_what_it_shows_is_kept_first),
        device_test(what_cannot_be_kept_does_not_count),
        device_test(less_than_was_seen_is_refused),
        device_test(every_difference_is_refused_with_its_own_reason),
        device_test(a_newer_image_of_the_same_signer_is_welcome),
        device_test(no_evidence_is_no_good_evidence),
        device_test(a_state_goes_there_and_back_and_no_part_of_it_is_one),
        device_test(before_it_is_enrolled_it_has_no_name_and_nothing_to_renew),
    };
    return cmocka_run_group_tests(tests, start_site, stop_site);
}
