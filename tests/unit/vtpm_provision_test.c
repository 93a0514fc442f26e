/* provision: certificates of the site CA for a vTPM's keys, in the indices where TPM users look for them: written once,
 * whatever happens on the way, readable by everybody, and taken by the room that judges makers' certificates. */
#include "site_ca.h"
#include "vtpm_identity_rig.h"

#include "ek.h"
#include "endorsement.h"
#include "provision.h"
#include "x509.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NOW_S 1800000000
#define DAY_S 86400

static const uint32_t indices[TPM2_EK_KINDS] = {EK_INDEX_RSA_2048, EK_INDEX_P256, EK_INDEX_P384};
static char authority[4096]; /* PEM of the site CA */
static uint8_t certificate_rooms[TPM2_EK_KINDS][EK_CERTIFICATE_MAX];
static struct bytes certificates[TPM2_EK_KINDS];

static int start_ca(void **state)
{
    if (start(state))
        return 1;
    make_site_ca(NOW_S);
    const unsigned char *at = ca_room;
    X509 *site = d2i_X509(NULL, &at, (long)ca_der.len);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(1, PEM_write_bio_X509(bio, site));
    int len = BIO_read(bio, authority, sizeof authority - 1);
    assert_true(len > 0);
    BIO_free(bio);
    X509_free(site);
    return 0;
}

static int stop_ca(void **state)
{
    end_site_ca();
    return stop(state);
}

/* ---- The owner ---- */

static void certify(const struct vtpm_appraisal *appraisal, enum tpm2_ek_kind kind)
{
    static const uint8_t serial[] = {1, 2, 3};
    const struct tpm2_ek *key = &appraisal->keys[kind];
    struct writer writer = writer_over(certificate_rooms[kind], EK_CERTIFICATE_MAX);
    struct ek_order order = {.terms.site = {0xab},
                             .name = bytes_from_text("vm-17"),
                             .tenant = bytes_from_text("Hôpital"),
                             .model = bytes_from_text("vtpm"),
                             .version = bytes_from_text("00010002"),
                             .terms.serial = BYTES_OF(serial),
                             .terms.not_before_s = NOW_S - DAY_S,
                             .terms.not_after_s = NOW_S + DAY_S};
    memcpy(order.measurement, appraisal->evidence.report.measurement, EK_HASH_LEN);
    memcpy(order.signer, appraisal->evidence.report.signer, EK_HASH_LEN);
    if (kind == TPM2_EK_RSA_2048)
        order.rsa = bytes_from(key->key, key->key_len);
    else
        check_ok(tpm2_ek_point(key, &order.key));
    check_ok(ek_certificate_sign(&writer, &ca_key, &ca, &order));
    certificates[kind] = writer_bytes(&writer);
}

/* Asked, appraised, certified. The keys' areas stay in `answer`. */
static void meet(struct rig *rig, struct vtpm_keys_answer *answer)
{
    static uint8_t room[VTPM_KEYS_ANSWER_MAX];
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct evidence_policy policy = policy_of_node(digest);
    struct vtpm_appraisal appraisal;
    struct bytes told = rig_keys(rig, BYTES_OF(nonce));
    memcpy(room, told.data, told.len);
    check_ok(vtpm_appraise(bytes_from(room, told.len), &policy, &appraisal));
    check_ok(vtpm_keys_answer_decode(bytes_from(room, told.len), answer));
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        certify(&appraisal, (enum tpm2_ek_kind)kind);
}

static unsigned commands_left; /* then the line is cut; 0: never */

static enum status through_rig(void *user, struct bytes command, struct writer *response)
{
    struct rig *rig = user;
    if (commands_left && --commands_left == 0)
        return IO;
    rig_ask(rig, DOOR_VTPM_DATA, command);
    put_bytes(response, bytes_from(rig->reply, rig->reply_len));
    return OK;
}

static enum status write_all(struct provision *provision)
{
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        TRY(provision_certificate(provision, indices[kind], certificates[kind]));
    return OK;
}

static void check_all_there(struct provision *provision)
{
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        uint8_t room[PROVISION_CERTIFICATE_MAX];
        struct writer writer = writer_over(room, sizeof room);
        check_ok(provision_read(provision, indices[kind], &writer));
        check_bytes(certificates[kind], writer_bytes(&writer));
    }
}

/* ---- Claims ---- */

static void each_key_has_its_certificate_where_it_is_looked_for(void **state)
{
    (void)state;
    struct rig rig;
    struct provision provision = {&rig, through_rig, 0};
    struct vtpm_keys_answer answer;
    rig_with_monitor(&rig);
    meet(&rig, &answer);
    check_ok(write_all(&provision));
    rig_stop(&rig);
    rig_on(&rig);
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        uint8_t room[PROVISION_CERTIFICATE_MAX];
        char why[256] = "";
        struct writer writer = writer_over(room, sizeof room);
        check_ok(provision_read(&provision, indices[kind], &writer));
        check_ok(endorsement_check(writer_bytes(&writer), answer.areas[kind], bytes_from_text(authority), NOW_S, why,
                                   sizeof why));
        check_status(DENIED, endorsement_check(writer_bytes(&writer), answer.areas[(kind + 1) % TPM2_EK_KINDS],
                                               bytes_from_text(authority), NOW_S, why, sizeof why));
        check_status(DENIED, endorsement_check(writer_bytes(&writer), answer.areas[kind], bytes_from_text(authority),
                                               NOW_S + 2 * DAY_S, why, sizeof why));
    }
    rig_done(&rig);
}

static void they_are_written_once_and_by_nobody_again(void **state)
{
    (void)state;
    struct rig rig;
    struct provision provision = {&rig, through_rig, 0};
    struct vtpm_keys_answer answer;
    static uint8_t other[EK_CERTIFICATE_MAX];
    const uint32_t owner[] = {RIG_OWNER, EK_INDEX_P256}, platform[] = {0x4000000c, EK_INDEX_P256};
    static const uint8_t write[] = {0, 1, 0xff, 0, 0};
    rig_with_monitor(&rig);
    meet(&rig, &answer);
    check_ok(write_all(&provision));
    check_ok(write_all(&provision)); /* the same again is there */
    memcpy(other, certificates[TPM2_EK_P256].data, certificates[TPM2_EK_P256].len);
    other[100] ^= 1;
    check_status(DENIED,
                 provision_certificate(&provision, EK_INDEX_P256, bytes_from(other, certificates[TPM2_EK_P256].len)));
    check_status(DENIED, provision_certificate(&provision, EK_INDEX_P256,
                                               bytes_from(other, certificates[TPM2_EK_P256].len - 1)));
    assert_int_equal(0, provision.refused); /* it was not even tried */
    rig_stop(&rig);
    rig_on(&rig);
    assert_int_equal(0x148, rig_tpm(&rig, rig_command(0x137, platform, 2, rig_no_auth, BYTES_OF(write)), NULL));
    assert_int_not_equal(0, rig_tpm(&rig, rig_command(0x137, owner, 2, rig_no_auth, BYTES_OF(write)), NULL));
    /* TPM2_NV_UndefineSpace by the VM's owner: the index is the platform's. */
    assert_int_not_equal(0, rig_tpm(&rig, rig_command(0x122, owner, 2, rig_no_auth, (struct bytes){0}), NULL));
    check_all_there(&provision);
    rig_done(&rig);
}

static void cut_at_any_command_it_is_taken_up_again(void **state)
{
    (void)state;
    bool cut = true;
    struct rig rig;
    struct provision provision = {&rig, through_rig, 0};
    struct vtpm_keys_answer answer;
    rig_with_monitor(&rig);
    meet(&rig, &answer);
    unsigned cuts = 0;
    for (unsigned n = 1; cut; n++) {
        uint8_t room[PROVISION_CERTIFICATE_MAX];
        struct writer writer = writer_over(room, sizeof room);
        rig_stop(&rig);
        rig_init(&rig); /* a new one, so that each cut is the first; what the certificates say does not matter here */
        rig_on(&rig);
        commands_left = n;
        enum status status = provision_certificate(&provision, EK_INDEX_P256, certificates[TPM2_EK_P256]);
        cut = status == IO;
        assert_true(cut || status == OK);
        cuts += cut;
        commands_left = 0;
        status = provision_read(&provision, EK_INDEX_P256, &writer);
        assert_true(status == OK || status == NOT_FOUND); /* all of it, or nothing that would pass for it */
        assert_true(status == NOT_FOUND || bytes_equal(writer_bytes(&writer), certificates[TPM2_EK_P256]));
        rig_stop(&rig);
        rig_on(&rig);
        check_ok(provision_certificate(&provision, EK_INDEX_P256, certificates[TPM2_EK_P256]));
        writer = writer_over(room, sizeof room);
        check_ok(provision_read(&provision, EK_INDEX_P256, &writer));
        check_bytes(certificates[TPM2_EK_P256], writer_bytes(&writer));
        rig_done(&rig);
    }
    assert_true(cuts >= 6); /* index, definition, pieces, lock, reading back */
}

static void what_stands_in_the_way_is_named(void **state)
{
    (void)state;
    static const uint8_t password[] = {0, 4, 'm', 'i', 'n', 'e'};
    const uint32_t platform = 0x4000000c;
    static uint8_t long_one[PROVISION_CERTIFICATE_MAX + 1];
    struct rig rig;
    struct provision provision = {&rig, through_rig, 0};
    struct writer writer = writer_over(long_one, sizeof long_one);
    rig_with_monitor(&rig);
    check_status(NOT_FOUND, provision_read(&provision, EK_INDEX_P256, &writer));
    check_status(NO_ROOM, provision_certificate(&provision, EK_INDEX_P256, BYTES_OF(long_one)));
    check_status(NO_ROOM, provision_certificate(&provision, EK_INDEX_P256, (struct bytes){0}));
    check_ok(provision_certificate(&provision, EK_INDEX_P256, bytes_from(long_one, sizeof long_one - 1)));
    /* An index that its owner made there first. */
    assert_int_equal(0, rig_nv_define(&rig, EK_INDEX_P384, 8, ""));
    check_status(DENIED, provision_certificate(&provision, EK_INDEX_P384, bytes_from(long_one, 8)));
    assert_int_equal(0, provision.refused);
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x129, &platform, 1, rig_no_auth, BYTES_OF(password)), NULL));
    check_status(DENIED, provision_certificate(&provision, EK_INDEX_RSA_2048, bytes_from(long_one, 8)));
    assert_int_equal(0x9a2, provision.refused); /* TPM_RC_BAD_AUTH, session 1 */
    rig_done(&rig);
}

/* Responses that no TPM gives. */
static enum status bent(void *user, struct bytes command, struct writer *response)
{
    (void)command;
    put_bytes(response, *(const struct bytes *)user);
    return OK;
}

static void bent_responses_are_refused(void **state)
{
    (void)state;
    static const uint8_t whole[] = {0x80, 1, 0, 0, 0,    26,   0,    0,    0,    0, 0, 14, 0x01,
                                    0xc0, 0, 2, 0, 0x0b, 0x42, 0x07, 0x20, 0x01, 0, 0, 0,  8};
    struct bytes said = {0};
    struct provision provision = {&said, bent, 0};
    uint8_t room[PROVISION_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    for (size_t len = 0; len < sizeof whole; len++) {
        said = bytes_from(whole, len);
        check_status(MALFORMED, provision_read(&provision, EK_INDEX_RSA_2048, &writer));
    }
    said = BYTES_OF(whole);
    check_status(NOT_FOUND, provision_read(&provision, EK_INDEX_RSA_2048, &writer)); /* not written */
    check_status(DENIED, provision_read(&provision, EK_INDEX_P256, &writer));        /* another index */
    assert_int_equal(0, writer.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_its_certificate_where_it_is_looked_for),
        cmocka_unit_test(they_are_written_once_and_by_nobody_again),
        cmocka_unit_test(cut_at_any_command_it_is_taken_up_again),
        cmocka_unit_test(what_stands_in_the_way_is_named),
        cmocka_unit_test(bent_responses_are_refused),
    };
    return cmocka_run_group_tests(tests, start_ca, stop_ca);
}
