/* token: what a PKCS #11 URI may say, before any module is looked at. */
#include "check.h"

#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum status name(const char *uri, const char *module, char why[512])
{
    struct token *token = token_new();
    assert_non_null(token);
    assert_string_equal(token_why(token), "");
    enum status status = token_name(token, uri, module);
    assert_true((status == OK) == (*token_why(token) == 0));
    snprintf(why, 512, "%s", token_why(token));
    token_free(token);
    return status;
}

static void a_uri_names_a_private_key(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        enum status status;
        const char *why;
    } uris[] = {
        {"pkcs11:token=alice;object=owner", OK, ""},
        {"pkcs11:token=alice;object=owner;type=private", OK, ""},
        {"pkcs11:token=two%20words;object=%C3%A4", OK, ""},
        {"pkcs11:serial=7f2fe693;id=%01%02", OK, ""},
        {"pkcs11:slot-id=3;object=owner", OK, ""},
        {"pkcs11:object=owner?module-name=softhsm2", OK, ""},
        {"pkcs11:object=owner?module-path=/usr/lib/softhsm/libsofthsm2.so", OK, ""},
        {"pkcs11:token=alice", MALFORMED, "names no key"},
        {"pkcs11:", MALFORMED, "names no key"},
        {"pkcs11:token=alice;object=", MALFORMED, "names no key"},
        {"pkcs11:object=owner;type=cert", MALFORMED, "type=private"},
        {"pkcs11:object=owner;type=public", MALFORMED, "type=private"},
        {"pkcs11:object=owner;type=nothing", MALFORMED, "RFC 7512"},
        {"pkcs11:object=owner;colour=blue", MALFORMED, "RFC 7512"},
        {"pkcs11:object=%", MALFORMED, "encoding"},
        {"pkcs11:object=%zz", MALFORMED, "encoding"},
        {"pkcs11:object", MALFORMED, "pkcs11:token=NAME;object=NAME"},
        {"pkcs12:object=owner", MALFORMED, "scheme"},
        {"owner", MALFORMED, "scheme"},
        {"", MALFORMED, "scheme"},
        {"pkcs11:object=owner name", MALFORMED, "printable"},
        {"pkcs11:object=owner\n", MALFORMED, "printable"},
        {"pkcs11:object=\xc3\xa4", MALFORMED, "printable"},
        {"pkcs11:object=owner?pin-value=123456", DENIED, "--passphrase-file"},
        {"pkcs11:object=owner?pin-source=/run/pin", DENIED, "--passphrase-file"},
        {"pkcs11:object=owner?pin-source=|program", DENIED, "--passphrase-file"},
    };
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        char why[512];
        enum status status = name(uris[i].uri, NULL, why);
        if (status != uris[i].status || !strstr(why, uris[i].why))
            fail_msg("%s: %d, %s", uris[i].uri, status, why);
        assert_null(strstr(why, "123456"));
    }
}

static void the_longest_uri_is_taken_and_one_longer_is_not(void **state)
{
    (void)state;
    char uri[TOKEN_URI_MAX + 1], why[512];
    for (size_t over = 0; over < 2; over++) {
        size_t len = TOKEN_URI_MAX - 1 + over;
        memset(uri, 'x', len);
        memcpy(uri, "pkcs11:object=", 14);
        uri[len] = 0;
        assert_int_equal(name(uri, NULL, why), over ? MALFORMED : OK);
    }
}

static void the_module_is_named_once(void **state)
{
    (void)state;
    char why[512], here[] = "/tmp/bastide-token-XXXXXX";
    assert_int_equal(name("pkcs11:object=owner?module-path=/a.so", "/b.so", why), MALFORMED);
    assert_non_null(strstr(why, "two different modules"));
    check_ok(name("pkcs11:object=owner?module-path=/a.so", "/a.so", why));
    check_ok(name("pkcs11:object=owner", "libsomewhere.so", why)); /* p11-kit has a directory for it */
    assert_non_null(mkdtemp(here));
    check_ok(chdir(here));
    assert_int_equal(name("pkcs11:object=owner", "./module.so", why), NOT_FOUND);
    assert_non_null(strstr(why, "./module.so"));
    assert_int_equal(name("pkcs11:object=owner?module-path=./module.so", NULL, why), NOT_FOUND);
    FILE *file = fopen("module.so", "w");
    assert_non_null(file);
    fclose(file);
    check_ok(name("pkcs11:object=owner", "./module.so", why));
    check_ok(unlink("module.so"));
    check_ok(chdir("/"));
    check_ok(rmdir(here));
}

static void what_is_no_module_finds_no_token(void **state)
{
    (void)state;
    static const char *const modules[] = {"/nowhere/module.so", "/etc/passwd", "/", "libnowhere.so"};
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        struct token *token = token_new();
        check_ok(token_name(token, "pkcs11:object=owner", modules[i]));
        assert_int_equal(token_find(token), NOT_FOUND);
        assert_non_null(strstr(token_why(token), modules[i]));
        assert_non_null(strstr(token_why(token), "is no PKCS #11 module"));
        token_free(token);
    }
    token_free(NULL);
}

int main(void)
{
    check_ok(crypto_init());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uri_names_a_private_key),
        cmocka_unit_test(the_longest_uri_is_taken_and_one_longer_is_not),
        cmocka_unit_test(the_module_is_named_once),
        cmocka_unit_test(what_is_no_module_finds_no_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
