/* instance: what of a vTPM's life is pure — names, ids, words for a shell, what its owner keeps, its certificates —
 * and where it is asked by its owner. */
#include "check.h"

#include "instance.h"
#include "x509.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void a_name_is_what_the_monitor_takes_and_a_shell(void **state)
{
    (void)state;
    static const char *const good[] = {"a",
                                       "0",
                                       "web1",
                                       "Z.b_c-9",
                                       "d1f6b2de-7c1e-4b2f-9d3a-0c8a4e5f6a7b",
                                       "a23456789-123456789-123456789-123456789-1234567"};
    static const char *const bad[] = {
        "",     ".",    "..",  ".a",       "-a",  "_a",
        "a/b",  "a b",  "a\n", "a;",       "a$b", "a'b",
        "a\"b", "a\\b", "a*b", "\xc3\xa4", "a`b", "a23456789-123456789-123456789-123456789-12345678"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(instance_name_is_good(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(instance_name_is_good(bad[i]));
}

static void a_tenant_is_text_of_bounded_length(void **state)
{
    (void)state;
    char longest[INSTANCE_TENANT_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[INSTANCE_TENANT_MAX] = 0;
    assert_true(instance_tenant_is_good(longest));
    longest[INSTANCE_TENANT_MAX] = 'x';
    longest[INSTANCE_TENANT_MAX + 1] = 0;
    assert_false(instance_tenant_is_good(longest));
    assert_true(instance_tenant_is_good("Hôpital sud"));
    assert_false(instance_tenant_is_good(""));
    assert_false(instance_tenant_is_good("a\nb"));
    assert_false(instance_tenant_is_good("\xff"));
}

static void an_id_is_a_uuid_in_its_one_form(void **state)
{
    (void)state;
    static const char text[] = "0b5c1d7e-8f90-4a1b-9c2d-3e4f50617283";
    static const uint8_t expected[IMAGE_SITE_LEN] = {0x0b, 0x5c, 0x1d, 0x7e, 0x8f, 0x90, 0x4a, 0x1b,
                                                     0x9c, 0x2d, 0x3e, 0x4f, 0x50, 0x61, 0x72, 0x83};
    uint8_t id[IMAGE_SITE_LEN] = {9};
    char again[INSTANCE_UUID_LEN], bent[sizeof text + 1];
    check_ok(instance_take_uuid(text, id));
    assert_memory_equal(expected, id, sizeof id);
    instance_put_uuid(id, again);
    assert_string_equal(text, again);
    check_ok(instance_take_uuid("0B5C1D7E-8F90-4A1B-9C2D-3E4F50617283", id));
    for (size_t len = 0; len < sizeof text - 1; len++) {
        snprintf(bent, sizeof bent, "%.*s", (int)len, text);
        check_status(MALFORMED, instance_take_uuid(bent, id));
    }
    snprintf(bent, sizeof bent, "%s0", text);
    check_status(MALFORMED, instance_take_uuid(bent, id));
    for (size_t i = 0; i < sizeof text - 1; i++) {
        snprintf(bent, sizeof bent, "%s", text);
        bent[i] = text[i] == '-' ? '0' : '-';
        check_status(MALFORMED, instance_take_uuid(bent, id));
        bent[i] = 'g';
        check_status(MALFORMED, instance_take_uuid(bent, id));
    }
    assert_memory_equal(expected, id, sizeof id); /* untouched by what failed */
}

static void a_word_for_a_shell_is_quoted_where_it_must_be(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"swtpm:path=/run/tpm", "swtpm:path=/run/tpm"},
        {"", "''"},
        {"a b", "'a b'"},
        {"it's", "'it'\\''s'"},
        {"$HOME", "'$HOME'"},
        {"a;b", "'a;b'"},
    };
    char room[64], small[4];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        instance_quote(pairs[i][0], room, sizeof room);
        assert_string_equal(pairs[i][1], room);
    }
    instance_quote("a long word", small, sizeof small);
    assert_true(strlen(small) < sizeof small);
}

static struct instance_record record_of(void)
{
    struct instance_record record = {.id = {1, 2, 3},
                                     .tenant = "Hôpital \"sud\"",
                                     .measurement = {4},
                                     .signer = {5},
                                     .security_version = UINT32_MAX,
                                     .created_s = 1800000000,
                                     .whole = true};
    return record;
}

static void a_record_is_read_as_it_was_written_and_not_a_letter_short(void **state)
{
    (void)state;
    struct instance_record record = record_of(), again, untouched = {.tenant = "x"};
    char *text = instance_record_encode(&record);
    assert_non_null(text);
    check_ok(instance_record_decode(bytes_from_text(text), &again));
    assert_memory_equal(record.id, again.id, sizeof record.id);
    assert_string_equal(record.tenant, again.tenant);
    assert_memory_equal(record.measurement, again.measurement, sizeof record.measurement);
    assert_memory_equal(record.signer, again.signer, sizeof record.signer);
    assert_true(again.security_version == UINT32_MAX && again.created_s == 1800000000 && again.whole);
    for (size_t len = 0; len < strlen(text); len++)
        check_status(MALFORMED, instance_record_decode(bytes_from(text, len), &untouched));
    assert_string_equal("x", untouched.tenant);
    free(text);
}

/* The tree with one member taken out, changed or added. */
static enum status decode_with(const char *name, json_t *value)
{
    struct instance_record record = record_of();
    char *text = instance_record_encode(&record);
    json_t *tree = json_loads(text, 0, NULL);
    free(text);
    if (value)
        json_object_set_new(tree, name, value);
    else
        json_object_del(tree, name);
    text = json_dumps(tree, 0);
    json_decref(tree);
    enum status status = instance_record_decode(bytes_from_text(text), &record);
    free(text);
    return status;
}

static void a_record_has_each_member_once_in_its_range_and_no_other(void **state)
{
    (void)state;
    static const char *const names[] = {"id",      "tenant", "measurement", "signer", "security_version",
                                        "created", "whole"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_status(MALFORMED, decode_with(names[i], NULL));
        check_status(MALFORMED, decode_with(names[i], json_null()));
        check_status(MALFORMED, decode_with(names[i], json_array()));
    }
    check_status(MALFORMED, decode_with("more", json_true()));
    check_status(MALFORMED, decode_with("security_version", json_integer(-1)));
    check_status(MALFORMED, decode_with("security_version", json_integer((json_int_t)UINT32_MAX + 1)));
    check_ok(decode_with("security_version", json_integer(0)));
    check_status(MALFORMED, decode_with("signer", json_string("00")));
    check_status(MALFORMED, decode_with("tenant", json_string("")));
    check_ok(decode_with("whole", json_false()));
}

static void a_kind_of_key_has_one_word(void **state)
{
    (void)state;
    enum tpm2_ek_kind kind = TPM2_EK_RSA_2048;
    for (int i = 0; i < TPM2_EK_KINDS; i++) {
        check_ok(instance_kind_of(instance_kind_word((enum tpm2_ek_kind)i), &kind));
        assert_int_equal(i, kind);
    }
    check_status(NOT_FOUND, instance_kind_of("rsa", &kind));
    check_status(NOT_FOUND, instance_kind_of("", &kind));
}

/* ---- Certificates ---- */

#define NOW_S 1800000000

static size_t certificate_of(bool rsa, uint8_t room[EK_CERTIFICATE_MAX], struct crypto_public *key)
{
    static const uint8_t serial[X509_SERIAL_LEN] = {0x41};
    static uint8_t ca_room[PKI_CERTIFICATE_MAX], modulus[EK_RSA_LEN];
    struct crypto_key ca_key = {0}, own = {0};
    struct pki_certificate ca;
    struct writer ca_writer = writer_over(ca_room, sizeof ca_room), writer = writer_over(room, EK_CERTIFICATE_MAX);
    memset(modulus, 0xf1, sizeof modulus);
    check_ok(crypto_key_generate(&ca_key, CRYPTO_P256));
    check_ok(crypto_key_generate(&own, CRYPTO_P384));
    check_ok(x509_issue_root(&ca_writer, &ca_key, serial, NOW_S));
    check_ok(pki_certificate_decode(writer_bytes(&ca_writer), &ca));
    struct ek_order order = {.name = bytes_from_text("vm"),
                             .tenant = bytes_from_text("t"),
                             .model = bytes_from_text("vtpm"),
                             .version = bytes_from_text("00000001"),
                             .terms.serial = BYTES_OF(serial),
                             .terms.not_before_s = NOW_S,
                             .terms.not_after_s = NOW_S + 7};
    if (rsa)
        order.rsa = BYTES_OF(modulus);
    else
        order.key = own.public_key;
    check_ok(ek_certificate_sign(&writer, &ca_key, &ca, &order));
    *key = own.public_key;
    crypto_key_done(&ca_key);
    crypto_key_done(&own);
    return writer.len;
}

static void a_certificate_tells_its_key_and_its_end(void **state)
{
    (void)state;
    for (int rsa = 0; rsa < 2; rsa++) {
        uint8_t room[EK_CERTIFICATE_MAX + 1];
        struct crypto_public key;
        struct instance_certificate found = {.not_after_s = 1};
        const size_t len = certificate_of(rsa, room, &key);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_not_equal(OK, instance_certificate_read(bytes_from(room, cut), &found));
        room[len] = 0;
        check_status(MALFORMED, instance_certificate_read(bytes_from(room, len + 1), &found));
        assert_int_equal(1, found.not_after_s); /* untouched */
        check_ok(instance_certificate_read(bytes_from(room, len), &found));
        assert_int_equal(NOW_S, found.not_before_s);
        assert_int_equal(NOW_S + 7, found.not_after_s);
        if (rsa)
            assert_true(found.key.len == EK_RSA_LEN && found.key.data[0] == 0xf1);
        else
            assert_true(bytes_equal(found.key, crypto_public_bytes(&key)));
    }
}

static void sockets_have_names_as_long_as_the_kernel_takes(void **state)
{
    (void)state;
    struct instance_sockets sockets;
    struct cli cli = {.json = true};
    const char *name = "a";
    const size_t behind = strlen("/run/vtpm/a/tpm.ctrl");
    memset(cli.home, 'h', 107 - behind);
    cli.home[0] = '/';
    assert_int_equal(CLI_OK, instance_sockets(&cli, name, &sockets));
    assert_int_equal(107, strlen(sockets.control));
    assert_string_equal("/tpm.ctrl", sockets.control + strlen(sockets.control) - 9);
    cli.home[107 - behind] = 'h';
    assert_int_equal(CLI_USAGE, instance_sockets(&cli, name, &sockets));
    snprintf(cli.home, sizeof cli.home, "/with,comma");
    assert_int_equal(CLI_USAGE, instance_sockets(&cli, name, &sockets));
}

static int set_up(void **state)
{
    (void)state;
    return crypto_init() == OK ? 0 : -1;
}

static void one_that_others_serve_is_asked_where_they_serve_it(void **state)
{
    (void)state;
    static const char *const directories[] = {"", "/node", "/node/instances", "/node/instances/vm"};
    struct cli cli = {.program = "/usr/bin"};
    struct instance_sockets sockets, before;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[PATH_MAX];
    snprintf(cli.home, sizeof cli.home, "/tmp/bastide-it-%d", getpid());
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        snprintf(path, sizeof path, "%.64s%s", cli.home, directories[i]);
        assert_int_equal(0, mkdir(path, 0700));
    }
    assert_int_equal(CLI_OK, instance_sockets(&cli, "vm", &sockets));
    before = sockets;
    assert_false(instance_is_served(&cli, "vm", &sockets));
    snprintf(address.sun_path, sizeof address.sun_path, "%.64s/node/instances/vm/transfer", cli.home);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    assert_false(instance_is_served(&cli, "vm", &sockets)); /* nobody listens, as behind one who was killed */
    assert_memory_equal(&before, &sockets, sizeof sockets);
    assert_int_equal(0, listen(fd, 1));
    assert_true(instance_is_served(&cli, "vm", &sockets));
    assert_string_equal(address.sun_path, sockets.transfer);
    snprintf(path, sizeof path, "%.64s/node/instances/vm/keys", cli.home);
    assert_string_equal(path, sockets.keys);
    assert_string_equal(before.control, sockets.control);
    assert_string_equal(before.data, sockets.data);
    close(fd);
    assert_int_equal(0, unlink(address.sun_path));
    for (size_t i = sizeof directories / sizeof *directories; i-- > 0;) {
        snprintf(path, sizeof path, "%.64s%s", cli.home, directories[i]);
        assert_int_equal(0, rmdir(path));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_what_the_monitor_takes_and_a_shell),
        cmocka_unit_test(a_tenant_is_text_of_bounded_length),
        cmocka_unit_test(an_id_is_a_uuid_in_its_one_form),
        cmocka_unit_test(a_word_for_a_shell_is_quoted_where_it_must_be),
        cmocka_unit_test(a_record_is_read_as_it_was_written_and_not_a_letter_short),
        cmocka_unit_test(a_record_has_each_member_once_in_its_range_and_no_other),
        cmocka_unit_test(a_kind_of_key_has_one_word),
        cmocka_unit_test(a_certificate_tells_its_key_and_its_end),
        cmocka_unit_test(sockets_have_names_as_long_as_the_kernel_takes),
        cmocka_unit_test(one_that_others_serve_is_asked_where_they_serve_it),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
