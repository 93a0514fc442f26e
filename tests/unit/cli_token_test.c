/* The owner's key in a token: made there with a site, unlocked by the token's PIN, moved to another place, and refused
 * where it is another's. The token is SoftHSM's (token_rig.h). */
#include "owner_rig.h"
#include "token_rig.h"

#include "x509.h"

#define URI "pkcs11:token=alice;object=owner"

static char pin_file[PATH_MAX], wrong_file[PATH_MAX];
static struct owner_place place;

static bool is_there(const char *name)
{
    char path[PATH_MAX];
    return access(cli_path(&cli, name, path), F_OK) == 0;
}

static void removes(const char *name)
{
    char path[PATH_MAX];
    check_ok(unlink(cli_path(&cli, name, path)));
}

static int make(const char *uri, const char *file)
{
    struct owner owner = {0};
    const struct owner_place wish = {.token_uri = uri, .token_module = rig_module};
    cli.passphrase_file = file;
    int result = owner_make(&cli, true, uri ? &wish : &place, &owner);
    if (result == CLI_OK && uri)
        assert_true(owner.locked && owner.in_token && owner.token);
    owner_done(&owner);
    assert_null(owner.token);
    cli.passphrase_file = NULL;
    return result;
}

/* Signs what the site's CA would be: a certificate that ends at the owner's. */
static enum status certify(struct owner *owner)
{
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct crypto_key site = {0};
    struct pki_certificate root, made;
    struct x509_order order = {.identity = {.role = X509_SITE_CA, .name = bytes_from_text("site")},
                               .now_s = 1795000000};
    check_ok(crypto_key_generate(&site, CRYPTO_P256));
    order.key = site.public_key;
    check_ok(pki_certificate_decode(owner->configuration.certificate, &root));
    enum status status = x509_issue(&writer, &owner->key, &root, &order);
    if (status == OK) {
        check_ok(pki_certificate_decode(writer_bytes(&writer), &made));
        check_ok(pki_certificate_verify(&made, &root.key));
    }
    crypto_key_done(&site);
    return status;
}

static int open_and_sign(const char *file)
{
    struct owner owner;
    cli.passphrase_file = file;
    assert_int_equal(owner_open(&cli, false, &owner), CLI_OK);
    assert_true(owner.locked && owner.in_token);
    assert_null(owner.key.pkey);
    int result = owner_unlock(&cli, &owner);
    assert_true((result == CLI_OK) == (owner.key.pkey != NULL));
    if (result == CLI_OK)
        check_ok(certify(&owner));
    owner_done(&owner);
    cli.passphrase_file = NULL;
    return result;
}

static int adopt(const char *uri, const char *file)
{
    struct owner owner;
    cli.passphrase_file = file;
    int result = owner_open_by_token(&cli, &(struct owner_place){.token_uri = uri, .token_module = rig_module}, &owner);
    if (result == CLI_OK)
        check_ok(certify(&owner));
    owner_done(&owner);
    cli.passphrase_file = NULL;
    return result;
}

static void a_site_is_made_with_a_key_that_is_never_here(void **state)
{
    (void)state;
    assert_int_equal(make(URI, pin_file), CLI_OK);
    assert_string_equal(what_was_said(), "");
    assert_true(is_there("owner/owner.token") && is_there("owner/owner.crt") && is_there("owner/configuration"));
    assert_false(is_there("owner/owner.key"));
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    check_ok(cli_read_file(cli_path(&cli, "owner/owner.token", path), TOKEN_URI_MAX, &data, &len));
    assert_memory_equal(data, "pkcs11:", 7);
    assert_null(strstr((char *)data, RIG_PIN));
    free(data);
    assert_int_equal(open_and_sign(pin_file), CLI_OK);
}

static void the_pin_is_asked_for_and_a_wrong_one_named(void **state)
{
    (void)state;
    assert_int_equal(make(URI, pin_file), CLI_OK);
    assert_int_equal(open_and_sign(wrong_file), CLI_DENIED);
    const char *text = what_was_said();
    assert_non_null(strstr(text, "wrong PIN: the token \"alice\" has another PIN, and has fewer tries left"));
    assert_null(strstr(text, "000000"));
    assert_int_equal(open_and_sign("nowhere"), CLI_NOT_FOUND);
    assert_int_equal(open_and_sign(NULL), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "the token \"alice\" wants its PIN and there is no terminal"));
}

static int unlock(void)
{
    return open_and_sign(NULL);
}

static void a_terminal_has_three_tries(void **state)
{
    (void)state;
    char shown[2048];
    static const char *const third[] = {"0\n", "00000\n", RIG_PIN "\n", NULL},
                             *const fourth[] = {"0\n", "1\n", "2\n", RIG_PIN "\n", NULL}, *const none[] = {"\n", NULL};
    assert_int_equal(make(URI, pin_file), CLI_OK);
    assert_int_equal(on_a_terminal(unlock, third, shown, sizeof shown), CLI_OK);
    assert_non_null(strstr(shown, "PIN of the token \"alice\": "));
    assert_null(strstr(shown, RIG_PIN));
    assert_int_equal(on_a_terminal(unlock, fourth, shown, sizeof shown), CLI_DENIED);
    assert_non_null(strstr(shown, "wrong PIN"));
    assert_int_equal(on_a_terminal(unlock, none, shown, sizeof shown), CLI_DENIED);
    assert_non_null(strstr(shown, "and none was given"));
}

static void the_last_try_is_not_spent_on_a_file(void **state)
{
    (void)state;
    char shown[2048];
    static const char *const right[] = {RIG_PIN "\n", NULL};
    assert_int_equal(make(URI, pin_file), CLI_OK);
    check_ok(setenv("FAULTY_FLAGS", "0x30000", 1));
    assert_int_equal(open_and_sign(pin_file), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "locks itself after one more wrong PIN: no file is tried then"));
    assert_int_equal(on_a_terminal(unlock, right, shown, sizeof shown), CLI_OK);
    assert_non_null(strstr(shown, "locks itself after one more wrong PIN"));
    check_ok(setenv("FAULTY_FLAGS", "0x70000", 1));
    assert_int_equal(open_and_sign(pin_file), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "is locked after too many wrong PINs"));
    check_ok(unsetenv("FAULTY_FLAGS"));
}

static void a_pad_of_the_token_s_own_needs_neither_file_nor_terminal(void **state)
{
    (void)state;
    assert_int_equal(make(URI, pin_file), CLI_OK);
    check_ok(setenv("FAULTY_FLAGS", "0x100", 1));
    check_ok(setenv("FAULTY_PAD", RIG_PIN, 1));
    assert_int_equal(open_and_sign(NULL), CLI_OK);
    check_ok(setenv("FAULTY_PAD", "000000", 1));
    assert_int_equal(open_and_sign(NULL), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "wrong PIN"));
    check_ok(unsetenv("FAULTY_PAD"));
    check_ok(unsetenv("FAULTY_FLAGS"));
}

static void a_key_that_is_there_is_taken_and_one_from_outside_is_told_of(void **state)
{
    (void)state;
    struct crypto_key outside = {0};
    check_ok(crypto_key_generate(&outside, CRYPTO_P256));
    struct rig_other other = rig_open("alice");
    rig_put_key(&other, "imported", &outside);
    rig_close(&other);
    assert_int_equal(make("pkcs11:token=alice;object=imported", pin_file), CLI_OK);
    assert_non_null(strstr(what_was_said(), "did not make this key itself: copies of it may be elsewhere"));
    struct owner owner;
    assert_int_equal(owner_open(&cli, false, &owner), CLI_OK);
    check_bytes(crypto_public_bytes(&outside.public_key), crypto_public_bytes(&owner.configuration.owner));
    owner_done(&owner);
    crypto_key_done(&outside);
}

static void a_file_s_key_moves_into_a_token_and_no_other_does(void **state)
{
    (void)state;
    struct owner owner;
    assert_int_equal(make(NULL, NULL), CLI_OK);
    assert_true(is_there("owner/owner.key") && !is_there("owner/owner.token"));
    assert_int_equal(adopt(URI, pin_file), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "is not the one of the owner's certificate"));
    assert_int_equal(adopt("pkcs11:token=alice;object=nowhere", pin_file), CLI_NOT_FOUND);
    assert_false(is_there("owner/owner.token"));
    assert_int_equal(owner_open(&cli, false, &owner), CLI_OK);
    struct rig_other other = rig_open("alice");
    rig_put_key(&other, "moved", &owner.key);
    assert_int_equal(rig_count_keys(&other, "nowhere"), 0);
    rig_close(&other);
    owner_done(&owner);
    (void)what_was_said();
    assert_int_equal(adopt("pkcs11:token=alice;object=moved", pin_file), CLI_OK);
    assert_non_null(strstr(what_was_said(), "owner/owner.key is still there"));
    assert_int_equal(open_and_sign(pin_file), CLI_OK); /* the token counts */
    removes("owner/owner.key");
    assert_int_equal(open_and_sign(pin_file), CLI_OK);
    removes("owner/owner.token"); /* lost: named once more */
    assert_int_equal(owner_open(&cli, false, &owner), CLI_DENIED);
    assert_int_equal(adopt("pkcs11:token=alice;object=moved", pin_file), CLI_OK);
    assert_int_equal(open_and_sign(pin_file), CLI_OK);
}

static void what_names_no_token_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        int result;
    } files[] = {
        {"", "that is no PKCS #11 URI", CLI_DENIED},
        {"nonsense\n", "that is no PKCS #11 URI", CLI_DENIED},
        {"pkcs11:object=owner?pin-value=" RIG_PIN "\n", "a PIN must not stand in a URI", CLI_DENIED},
        {"pkcs11:token=gone;object=owner?module-path=/nowhere.so\n", "is no PKCS #11 module", CLI_NOT_FOUND},
    };
    char path[PATH_MAX];
    assert_int_equal(make(URI, pin_file), CLI_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        check_ok(cli_write_file(cli_path(&cli, "owner/owner.token", path), bytes_from_text(files[i].text)));
        int result = open_and_sign(pin_file);
        const char *text = what_was_said();
        if (result != files[i].result || !strstr(text, files[i].why) || strstr(text, RIG_PIN))
            fail_msg("%s: %d, %s", files[i].text, result, text);
    }
}

static void the_options_go_together_or_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct owner_place place;
        const char *why;
    } places[] = {
        {{.token_uri = URI, .no_passphrase = true}, "--no-passphrase and --owner-key exclude each other"},
        {{.token_module = "/module.so"}, "--pkcs11-module goes with --owner-key"},
        {{.token_uri = "pkcs11:token=alice"}, "--owner-key: the URI names no key"},
        {{.token_uri = URI "?pin-value=" RIG_PIN}, "--owner-key: a PIN must not stand in a URI"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_int_equal(owner_place_check(&cli, "init", &places[i].place), CLI_USAGE);
        const char *text = what_was_said();
        if (!strstr(text, places[i].why) || strstr(text, RIG_PIN))
            fail_msg("%zu: %s", i, text);
    }
    assert_int_equal(owner_place_check(&cli, "init", &(struct owner_place){.token_uri = URI}), CLI_OK);
}

static void a_token_that_is_pulled_out_before_it_signs_is_said(void **state)
{
    (void)state;
    struct owner owner;
    assert_int_equal(make(URI, pin_file), CLI_OK);
    cli.passphrase_file = pin_file;
    assert_int_equal(owner_open(&cli, false, &owner), CLI_OK);
    assert_int_equal(owner_unlock(&cli, &owner), CLI_OK);
    cli.passphrase_file = NULL;
    check_ok(setenv("FAULTY_ANSWER", "0x32", 1));
    check_ok(setenv("FAULTY_FROM", "1", 1));
    assert_int_equal(certify(&owner), INTERNAL);
    assert_string_equal(owner_signing_problem(&owner, INTERNAL),
                        "the token \"alice\" is not there any more: put it back and run this again");
    check_ok(unsetenv("FAULTY_FROM"));
    owner_done(&owner);
}

static int start(void **state)
{
    (void)state;
    rig_make_home();
    check_ok(cli_write_file(cli_path(&cli, "pin", pin_file), bytes_from_text(RIG_PIN "\n")));
    check_ok(cli_write_file(cli_path(&cli, "wrong", wrong_file), bytes_from_text("000000\n")));
    return 0;
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    rig_start(argv[1]);
    rig_make_token("alice");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_is_made_with_a_key_that_is_never_here),
        cmocka_unit_test(the_pin_is_asked_for_and_a_wrong_one_named),
        cmocka_unit_test(a_terminal_has_three_tries),
        cmocka_unit_test(the_last_try_is_not_spent_on_a_file),
        cmocka_unit_test(a_pad_of_the_token_s_own_needs_neither_file_nor_terminal),
        cmocka_unit_test(a_key_that_is_there_is_taken_and_one_from_outside_is_told_of),
        cmocka_unit_test(a_file_s_key_moves_into_a_token_and_no_other_does),
        cmocka_unit_test(what_names_no_token_is_said),
        cmocka_unit_test(the_options_go_together_or_are_refused),
        cmocka_unit_test(a_token_that_is_pulled_out_before_it_signs_is_said),
    };
    int failed = cmocka_run_group_tests(tests, start, rig_remove_home);
    return rig_stop() || failed;
}
