/* crypto: key files that OpenSSL's own program wrote. */
#include "check.h"

#include "crypto.h"

/* As `openssl ecparam -genkey` and `openssl genpkey` write them. */
static const char older_form[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                 "MHcCAQEEINryA84GCLQ+OAZQUc37BxcBWpLYJAm7txojJeWpLd/XoAoGCCqGSM49\n"
                                 "AwEHoUQDQgAEj+AUe736Xd01kiKQ+4j7L7zBzCgBgomSfU0T12/GrvVyDyZT2YXB\n"
                                 "3RFyrErPZVTTeCdLcIiDD2R88r9HsYMh0g==\n"
                                 "-----END EC PRIVATE KEY-----\n";
static const char other_curve[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                  "MHQCAQEEIIy+itQTO+ywpKwBQFP9qs2adEYFLhR7yggDLJdWzW76oAcGBSuBBAAK\n"
                                  "oUQDQgAEbI5r9YSGWAwNGgilcxjKikaQEbgv606zH3Hm1lFMjsApbuMbM0FL8Tmb\n"
                                  "6PLqFsB6bPK10U7k0RzXd0LloVl0iQ==\n"
                                  "-----END EC PRIVATE KEY-----\n";
static const char other_kind[] = "-----BEGIN PRIVATE KEY-----\n"
                                 "MC4CAQAwBQYDK2VwBCIEIMJ/2A7AJqfRIb0T6MhThiGVdPMXgHhF0bfT2n4tF5mc\n"
                                 "-----END PRIVATE KEY-----\n";
static const char with_password[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                    "Proc-Type: 4,ENCRYPTED\n"
                                    "DEK-Info: AES-128-CBC,90186E04B8D58DCB19D4CDCA40727610\n"
                                    "\n"
                                    "Y4BlrZFymAqDyqMToI0B+GOJZknkalOhDVGZ1p92XGrztWRLvYwipI2gPyNs7xA\n"
                                    "-----END EC PRIVATE KEY-----\n";

static void keys_that_openssl_wrote_are_read_or_refused(void **state)
{
    (void)state;
    struct crypto_key key = {0};
    check_ok(crypto_key_take_pem(&key, CRYPTO_P256, bytes_from_text(older_form)));
    assert_int_equal(key.public_key.data[1], 0x8f);
    assert_int_equal(key.public_key.data[64], 0xd2);
    crypto_key_done(&key);
    assert_int_equal(crypto_key_take_pem(&key, CRYPTO_P256, bytes_from_text(other_curve)), UNSUPPORTED);
    assert_int_equal(crypto_key_take_pem(&key, CRYPTO_P256, bytes_from_text(other_kind)), UNSUPPORTED);
    assert_int_equal(crypto_key_take_pem(&key, CRYPTO_P256, bytes_from_text(with_password)), MALFORMED);
    assert_null(key.pkey);
}

static const char newer_form[] = "-----BEGIN PRIVATE KEY-----\n"
                                 "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoRWDsYEzsBz4Tt/3\n"
                                 "n8NctkTeQ4nNofgBeLD+l97qgw2hRANCAATPsVlgOpzDaBsp/DLbHspwgNN+F8ta\n"
                                 "EyDinSBCsppFZjWHDypwHuDuhGLle0UKKDtP7Pu/QHFXrvWCL0Y1dP+N\n"
                                 "-----END PRIVATE KEY-----\n";

static void a_key_in_pkcs_8_is_read_and_no_shorter_file_is(void **state)
{
    (void)state;
    struct crypto_key key = {0};
    struct bytes pem = bytes_from_text(newer_form);
    check_ok(crypto_key_take_pem(&key, CRYPTO_P256, pem));
    assert_int_equal(key.public_key.data[1], 0xcf);
    assert_int_equal(key.public_key.data[64], 0x8d);
    crypto_key_done(&key);
    for (size_t len = 0; len + 2 < pem.len; len++) {
        assert_int_not_equal(crypto_key_take_pem(&key, CRYPTO_P256, bytes_slice(pem, 0, len)), OK);
        assert_null(key.pkey);
    }
    check_status(UNSUPPORTED, crypto_key_take_pem(&key, CRYPTO_P384, pem));
    assert_null(key.pkey);
}

int main(void)
{
    check_ok(crypto_init());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_openssl_wrote_are_read_or_refused),
        cmocka_unit_test(a_key_in_pkcs_8_is_read_and_no_shorter_file_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
