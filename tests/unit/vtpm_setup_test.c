/* vtpm_setup: swtpm_setup's words, the configuration file, and homes as they are made or not made. */
#include "check.h"

#include "image.h"
#include "pki.h"
#include "vtpm_setup.h"
#include "x509.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX 24
#define BASE "swtpm_setup --tpm2 --tpm-state h "

static enum status read_words(const char *words, struct vtpm_setup_options *options, char why[VTPM_SETUP_WHY])
{
    static char room[1024];
    char *argv[WORDS_MAX + 1] = {NULL}, *rest = room;
    int argc = 0;
    assert_true(snprintf(room, sizeof room, "%s", words) < (int)sizeof room);
    for (char *word; argc < WORDS_MAX && (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    return vtpm_setup_read(argc, argv, options, why);
}

static struct vtpm_setup_options accepted(const char *words)
{
    struct vtpm_setup_options options;
    char why[VTPM_SETUP_WHY];
    check_ok(read_words(words, &options, why));
    return options;
}

static void refused(enum status expected, const char *words, const char *sentence)
{
    struct vtpm_setup_options options, before;
    char why[VTPM_SETUP_WHY];
    memset(&options, 0x5a, sizeof options);
    before = options;
    enum status status = read_words(words, &options, why);
    if (status != expected || !strstr(why, sentence))
        print_message("%s: %d, \"%s\", not \"%s\"\n", words, status, why, sentence);
    check_status(expected, status);
    assert_non_null(strstr(why, sentence));
    assert_memory_equal(&before, &options, sizeof options);
}

static void what_libvirt_writes_is_understood(void **state)
{
    (void)state;
    struct vtpm_setup_options options = accepted(
        "/usr/bin/swtpm_setup --tpm2 --tpm-state /var/lib/libvirt/swtpm/u/tpm2 --vmid "
        "vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427 "
        "--logfile /var/log/l --createek --create-ek-cert --create-platform-cert --lock-nvram --not-overwrite");
    assert_int_equal(VTPM_SETUP_MAKE, options.action);
    assert_string_equal("/var/lib/libvirt/swtpm/u/tpm2", options.home);
    assert_string_equal("vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427", options.vmid);
    assert_string_equal("/var/log/l", options.log);
    assert_string_equal(VTPM_SETUP_CONFIG, options.config);
    assert_true(options.keep && options.endorsed);
    options = accepted("swtpm_setup --tpm2 --tpm-state h --logfile l --overwrite"); /* for a VM that arrives */
    assert_false(options.keep || options.endorsed);
    refused(UNSUPPORTED, "swtpm_setup --tpm2 --pwdfile-fd 5 --cipher aes-256-cbc --tpm-state h",
            "--pwdfile-fd: the state is sealed");
    refused(UNSUPPORTED, BASE "--pcr-banks sha256 --reconfigure", "--pcr-banks: banks are chosen");
    refused(UNSUPPORTED, "swtpm_setup --create-config-files skip-if-exist", "its operator writes it");
    /* What it would ask for if it were there: */
    static const char *const features[] = {"cmdarg-pwdfile-fd", "cmdarg-create-config-files",
                                           "cmdarg-reconfigure-pcr-banks", "tpm-1.2"};
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        assert_null(strstr(vtpm_setup_capabilities(), features[i]));
    assert_non_null(strstr(vtpm_setup_capabilities(), "\"tpm-2.0\""));
    assert_int_equal(VTPM_SETUP_CAPABILITIES, accepted("swtpm_setup --print-capabilities").action);
    assert_int_equal(VTPM_SETUP_CAPABILITIES, accepted("swtpm_setup --tpm2 --print-capabilities").action);
}

static void other_words_are_taken_or_refused_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"runas u",
                                        "tpm t",
                                        "swtpm_ioctl s",
                                        "keyfile k",
                                        "keyfile-fd 3",
                                        "pwdfile p",
                                        "cipher c",
                                        "reconfigure",
                                        "allow-signing",
                                        "decryption",
                                        "ecc",
                                        "rsa-keysize 3072",
                                        "write-ek-cert-files d",
                                        "display",
                                        "take-ownership",
                                        "ownerpass o",
                                        "owner-well-known",
                                        "srkpass s",
                                        "srk-well-known"};
    char words[128], option[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(words, sizeof words, BASE "--%s", names[i]);
        snprintf(option, sizeof option, "--%.*s: ", (int)strcspn(names[i], " "), names[i]);
        refused(UNSUPPORTED, words, option);
    }
    assert_string_equal("/h", accepted("swtpm_setup --tpm2 --tpmstate dir:///h --config c").home);
    assert_string_equal("c", accepted("swtpm_setup --tpm2 --tpmstate dir:///h --config c").config);
    assert_int_equal(VTPM_SETUP_HELP, accepted("swtpm_setup --help").action);
    assert_int_equal(VTPM_SETUP_HELP, accepted("swtpm_setup -h").action);
    refused(UNSUPPORTED, "swtpm_setup --tpm2 --tpmstate file://h", "only dir://");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpmstate dir://", "no name");
    refused(UNSUPPORTED, "swtpm_setup --tpm-state h", "TPM 1.2");
    refused(MALFORMED, "swtpm_setup --tpm2", "--tpm-state: is missing");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state", "needs a value");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --tpmstate i", "given twice");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --vmid a --vmid b", "given twice");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --colour", "--colour: is not known");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --not-overwrite=1", "does not take");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --overwrite --not-overwrite", "says the opposite");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h more", "more: is one word too many");
}

static void the_configuration_is_three_lines_and_comments(void **state)
{
    (void)state;
    struct vtpm_setup_config config;
    char why[VTPM_SETUP_WHY];
    check_ok(vtpm_setup_config_read(
        bytes_from_text("# of a node\n\n owner = /a b \r\nmode=production\nendorsement\t= none"), &config, why));
    assert_string_equal("/a b", config.owner);
    assert_false(config.insecure_dev);
    assert_true(config.unendorsed);
    check_ok(vtpm_setup_config_read(bytes_from_text("mode = insecure-dev\nowner = o\n"), &config, why));
    assert_true(config.insecure_dev);
    assert_false(config.unendorsed);
    static const struct {
        const char *text, *sentence;
    } wrong[] = {
        {"", "owner is missing"},
        {"owner = o", "mode is missing"},
        {"mode = production", "owner is missing"},
        {"owner = o\nmode = test\n", "line 2"},
        {"owner =\nmode = production\n", "line 1"},
        {"owner = o\nowner = o\nmode = production", "line 2"},
        {"owner = o\nmode = production\nmode = production", "line 3"},
        {"owner = o\nmode = production\nendorsement = later", "line 3"},
        {"owner = o\nmode = production\nendorsement = none\nendorsement = none", "line 4"},
        {"owner = o\nmode\n", "line 2"},
        {"owner = o\nmode = production\ncolour = red", "line 3"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_status(MALFORMED, vtpm_setup_config_read(bytes_from_text(wrong[i].text), &config, why));
        assert_non_null(strstr(why, wrong[i].sentence));
    }
    assert_string_equal("o", config.owner); /* as it was */
    check_status(MALFORMED, vtpm_setup_config_read(bytes_from("owner = \0\nmode = production\n", 28), &config, why));
    char text[600];
    for (size_t len = 511; len <= 512; len++) {
        int at = snprintf(text, sizeof text, "mode = production\nowner = ");
        memset(text + at, 'x', len);
        enum status status = vtpm_setup_config_read(bytes_from(text, (size_t)at + len), &config, why);
        check_status(len < 512 ? OK : MALFORMED, status);
    }
}

static void a_uuid_is_an_id_and_nothing_else_is(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x1b, 0x4e, 0x28, 0xba, 0x2f, 0xa1, 0x11, 0xd2,
                                       0x88, 0x3f, 0x00, 0x16, 0xd3, 0xcc, 0xa4, 0x27};
    static const char *const right[] = {"1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                                        "vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                                        "a:b:1B4E28BA-2FA1-11D2-883F-0016D3CCA427"};
    static const char *const wrong[] = {"",
                                        "vm",
                                        "vm:",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca42",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca4277",
                                        "1b4e28ba02fa1-11d2-883f-0016d3cca427",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca42g",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca427:vm",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cc-427"};
    uint8_t id[VTPM_SETUP_ID_LEN];
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        memset(id, 0, sizeof id);
        check_ok(vtpm_setup_id(right[i], id));
        assert_memory_equal(expected, id, sizeof id);
    }
    memset(id, 0x5a, sizeof id);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_status(NOT_FOUND, vtpm_setup_id(wrong[i], id));
        assert_int_equal(0x5a, id[0]);
    }
}

static struct bytes owner_certificate(void)
{
    static uint8_t room[PKI_CERTIFICATE_MAX];
    static const uint8_t serial[X509_SERIAL_LEN] = {1};
    struct crypto_key key = {0};
    struct writer writer = writer_over(room, sizeof room);
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    check_ok(x509_issue_root(&writer, &key, serial, 1795000000));
    crypto_key_done(&key);
    return writer_bytes(&writer);
}

static void a_home_is_made_once_and_never_erased(void **state)
{
    (void)state;
    char home[64], path[96], why[VTPM_SETUP_WHY];
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration;
    struct stat facts;
    bool made = false;
    const struct bytes certificate = owner_certificate();
    snprintf(home, sizeof home, "/tmp/bastide-vs-%d", getpid());
    struct vtpm_setup_config config = {.owner = "o.der", .insecure_dev = true};
    struct vtpm_setup_options options = {
        .home = home, .vmid = "vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427", .endorsed = true};
    check_status(DENIED, vtpm_setup_make(&options, &config, certificate, &made, why));
    assert_non_null(strstr(why, "say `endorsement = none`"));
    config.unendorsed = true;
    check_status(MALFORMED, vtpm_setup_make(&options, &config, bytes_from_text("no certificate"), &made, why));
    assert_non_null(strstr(why, "o.der is not an owner's certificate"));
    assert_int_not_equal(0, lstat(home, &facts)); /* nothing was made yet */
    check_ok(vtpm_setup_make(&options, &config, certificate, &made, why));
    assert_true(made);
    assert_int_equal(0, lstat(home, &facts));
    assert_int_equal(0700, facts.st_mode & 0777);
    snprintf(path, sizeof path, "%s/node/configuration", home);
    assert_int_equal(0, lstat(path, &facts));
    assert_int_equal(0600, facts.st_mode & 0777);
    FILE *file = fopen(path, "rb");
    size_t len = fread(room, 1, sizeof room, file);
    fclose(file);
    check_ok(image_configuration_decode(bytes_from(room, len), &configuration));
    assert_true(configuration.insecure_dev);
    assert_int_equal(0x1b, configuration.site[0]);
    assert_int_equal(0x27, configuration.site[15]);
    check_bytes(certificate, configuration.certificate);
    check_status(DENIED, vtpm_setup_make(&options, &config, certificate, &made, why));
    assert_non_null(strstr(why, "is a vTPM's home already"));
    options.keep = true;
    check_ok(vtpm_setup_make(&options, &config, certificate, &made, why));
    assert_false(made);
    /* What cannot be written leaves nothing behind that looks like a home. */
    assert_int_equal(0, unlink(path));
    snprintf(path, sizeof path, "%s/node/configuration.new", home);
    assert_int_equal(0, mkdir(path, 0700));
    check_status(IO, vtpm_setup_make(&options, &config, certificate, &made, why));
    assert_non_null(strstr(why, "cannot be written"));
    rmdir(path);
    for (int i = 0; i < 3; i++) {
        static const char *const parts[] = {"/node", "/run", ""};
        snprintf(path, sizeof path, "%s%s", home, parts[i]);
        assert_int_equal(0, rmdir(path));
    }
}

int main(void)
{
    if (crypto_init() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_libvirt_writes_is_understood),
        cmocka_unit_test(other_words_are_taken_or_refused_by_name),
        cmocka_unit_test(the_configuration_is_three_lines_and_comments),
        cmocka_unit_test(a_uuid_is_an_id_and_nothing_else_is),
        cmocka_unit_test(a_home_is_made_once_and_never_erased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
