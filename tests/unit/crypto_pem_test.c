/* crypto: the owner's key file and certificate, there and back. */
#include "check.h"

#include "crypto.h"

#include <string.h>

static struct bytes pem_of(const struct crypto_key *key, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(crypto_key_put_pem(&writer, key));
    return writer_bytes(&writer);
}

static void a_key_comes_back_from_its_file(void **state)
{
    (void)state;
    static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384};
    for (size_t i = 0; i < 2; i++) {
        uint8_t room[1024];
        struct crypto_key key = {0}, back = {0};
        check_ok(crypto_key_generate(&key, curves[i]));
        struct bytes pem = pem_of(&key, room, sizeof room);
        assert_true(bytes_equal(bytes_slice(pem, 0, 27), bytes_from_text("-----BEGIN PRIVATE KEY-----")));
        check_ok(crypto_key_take_pem(&back, curves[i], pem));
        check_bytes(crypto_public_bytes(&key.public_key), crypto_public_bytes(&back.public_key));
        crypto_key_done(&key);
        crypto_key_done(&back);
    }
}

static void every_shorter_file_holds_no_key(void **state)
{
    (void)state;
    uint8_t room[1024];
    struct crypto_key key = {0}, back = {0};
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    struct bytes pem = pem_of(&key, room, sizeof room);
    for (size_t len = 0; len + 2 < pem.len; len++) {
        assert_int_not_equal(crypto_key_take_pem(&back, CRYPTO_P256, bytes_slice(pem, 0, len)), OK);
        assert_null(back.pkey);
    }
    assert_int_not_equal(crypto_key_take_pem(&back, CRYPTO_P384, pem), OK);
    struct writer small = writer_over(room, 40);
    assert_int_equal(crypto_key_put_pem(&small, &key), NO_ROOM);
    crypto_key_done(&key);
}

static void a_certificate_is_put_into_a_file(void **state)
{
    (void)state;
    static const uint8_t der[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    uint8_t text[128];
    struct writer pem = writer_over(text, sizeof text), small = writer_over(text, 60);
    check_ok(crypto_certificate_put_pem(&pem, BYTES_OF(der)));
    check_bytes(bytes_from_text("-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n"),
                writer_bytes(&pem));
    assert_int_equal(crypto_certificate_put_pem(&small, BYTES_OF(der)), NO_ROOM);
}

/* ---- Behind a passphrase ---- */

static struct bytes locked_pem_of(const struct crypto_key *key, struct bytes passphrase, uint8_t *room, size_t cap)
{
    struct writer writer = writer_over(room, cap);
    check_ok(crypto_key_put_locked_pem(&writer, key, passphrase));
    return writer_bytes(&writer);
}

static void a_locked_key_opens_with_its_passphrase_alone(void **state)
{
    (void)state;
    static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384};
    const struct bytes passphrase = bytes_from_text("correct horse battery"),
                       begin = bytes_from_text("-----BEGIN ENCRYPTED PRIVATE KEY-----");
    for (size_t i = 0; i < 2; i++) {
        uint8_t room[1024], again[1024], open[1024];
        struct crypto_key key = {0}, back = {0};
        check_ok(crypto_key_generate(&key, curves[i]));
        struct bytes pem = locked_pem_of(&key, passphrase, room, sizeof room);
        assert_true(bytes_equal(bytes_slice(pem, 0, begin.len), begin));
        assert_true(crypto_pem_is_locked(pem));
        assert_false(crypto_pem_is_locked(pem_of(&key, open, sizeof open)));
        check_ok(crypto_key_take_locked_pem(&back, curves[i], pem, passphrase));
        check_bytes(crypto_public_bytes(&key.public_key), crypto_public_bytes(&back.public_key));
        crypto_key_done(&back);
        assert_int_equal(crypto_key_take_locked_pem(&back, curves[i], pem, bytes_from_text("correct horse batterz")),
                         AUTH);
        assert_int_equal(crypto_key_take_locked_pem(&back, curves[i], pem, bytes_slice(passphrase, 0, 20)), AUTH);
        assert_int_equal(crypto_key_take_locked_pem(&back, curves[i], pem, (struct bytes){0}), AUTH);
        assert_int_equal(crypto_key_take_locked_pem(&back, curves[1 - i], pem, passphrase), UNSUPPORTED);
        assert_int_equal(crypto_key_take_pem(&back, curves[i], pem), MALFORMED);
        assert_null(back.pkey);
        assert_false(bytes_equal(pem, locked_pem_of(&key, passphrase, again, sizeof again))); /* another salt */
        crypto_key_done(&key);
    }
}

static void every_damaged_locked_file_holds_no_key(void **state)
{
    (void)state;
    uint8_t room[1024];
    const struct bytes passphrase = bytes_from_text("p");
    struct crypto_key key = {0}, back = {0};
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    struct bytes pem = locked_pem_of(&key, passphrase, room, sizeof room);
    for (size_t len = 0; len + 2 < pem.len; len++)
        assert_int_equal(crypto_key_take_locked_pem(&back, CRYPTO_P256, bytes_slice(pem, 0, len), passphrase),
                         MALFORMED);
    uint8_t open[1024];
    assert_int_equal(crypto_key_take_locked_pem(&back, CRYPTO_P256, pem_of(&key, open, sizeof open), passphrase),
                     MALFORMED);
    assert_null(back.pkey);
    crypto_key_done(&key);
}

static void passphrases_have_limits(void **state)
{
    (void)state;
    static uint8_t long_one[CRYPTO_PASSPHRASE_MAX + 1];
    uint8_t room[1024];
    struct writer writer = writer_over(room, sizeof room), small = writer_over(room, 80);
    struct crypto_key key = {0}, back = {0};
    memset(long_one, 'x', sizeof long_one);
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    assert_int_equal(crypto_key_put_locked_pem(&writer, &key, (struct bytes){0}), MALFORMED);
    assert_int_equal(crypto_key_put_locked_pem(&writer, &key, BYTES_OF(long_one)), NO_ROOM);
    assert_int_equal(crypto_key_put_locked_pem(&small, &key, bytes_from_text("p")), NO_ROOM);
    assert_int_equal(writer.len, 0);
    struct bytes longest = bytes_from(long_one, CRYPTO_PASSPHRASE_MAX);
    struct bytes pem = locked_pem_of(&key, longest, room, sizeof room);
    check_ok(crypto_key_take_locked_pem(&back, CRYPTO_P256, pem, longest));
    assert_int_equal(crypto_key_take_locked_pem(&back, CRYPTO_P256, pem, BYTES_OF(long_one)), NO_ROOM);
    crypto_key_done(&back);
    crypto_key_done(&key);
}

static const char by_scrypt[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                "MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAhHoiakTOHAHAICQAAC\n"
                                "AQgCAQEwHQYJYIZIAWUDBAEqBBCuog480BbEWfZiTW4YKcr4BIGQKYvRQ6a+ZT3V\n"
                                "smg98KATxP4qjxaJ4+2hzSZEirLmBlK4R+8GZGeqWagjp874cKvlELecTRhtijjW\n"
                                "VWSpYVmk+Pb2lAOJy3/2WJ6LJYfxeRpRcHEEuOGsl7EHpcEXlrtML/wIrKSB4gkW\n"
                                "fuokdX6Rhr1tS3bZEISnTPW9trEdRfFL6iVuEu6ENMHByVc9NrM/\n"
                                "-----END ENCRYPTED PRIVATE KEY-----\n";
static const char by_pbkdf2[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhvuDI6CCrfvwICCAAw\n"
                                "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGlgYDH2Wu2yAIrMaNooqxcEgZBv\n"
                                "7C4Y1DHtv2NLqkS7kyethGswYgeDho0mfUDAWg7UMf2iiia8w/GhjrUaVW/k4981\n"
                                "ddQAsJFAyz5hlhS29SEk+1dbpavElc6aSRG9BO4mY+E1/3agzPf3H5Up9pr5HzQw\n"
                                "nPiOPsj+xvduglM30g88660yC2+xne4DFrgUsdNPMgv3cHMcJP+qK4D1R4dxD7A=\n"
                                "-----END ENCRYPTED PRIVATE KEY-----\n";

/* The key in all three. */
static const char unlocked[] = "-----BEGIN EC PRIVATE KEY-----\n"
                               "MHcCAQEEINryA84GCLQ+OAZQUc37BxcBWpLYJAm7txojJeWpLd/XoAoGCCqGSM49\n"
                               "AwEHoUQDQgAEj+AUe736Xd01kiKQ+4j7L7zBzCgBgomSfU0T12/GrvVyDyZT2YXB\n"
                               "3RFyrErPZVTTeCdLcIiDD2R88r9HsYMh0g==\n"
                               "-----END EC PRIVATE KEY-----\n";

/* openssl pkcs8 -topk8 -scrypt, and -v2 aes-256-cbc (PBKDF2), passphrase "bastide". */
static void locked_keys_that_openssl_wrote_are_read(void **state)
{
    (void)state;
    struct crypto_key key = {0}, back = {0};
    check_ok(crypto_key_take_pem(&key, CRYPTO_P256, bytes_from_text(unlocked)));
    const char *const files[] = {by_scrypt, by_pbkdf2};
    for (size_t i = 0; i < 2; i++) {
        check_ok(crypto_key_take_locked_pem(&back, CRYPTO_P256, bytes_from_text(files[i]), bytes_from_text("bastide")));
        check_bytes(crypto_public_bytes(&key.public_key), crypto_public_bytes(&back.public_key));
        crypto_key_done(&back);
        assert_int_equal(
            crypto_key_take_locked_pem(&back, CRYPTO_P256, bytes_from_text(files[i]), bytes_from_text("Bastide")),
            AUTH);
    }
    crypto_key_done(&key);
}

int main(void)
{
    check_ok(crypto_init());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_comes_back_from_its_file),
        cmocka_unit_test(every_shorter_file_holds_no_key),
        cmocka_unit_test(a_certificate_is_put_into_a_file),
        cmocka_unit_test(a_locked_key_opens_with_its_passphrase_alone),
        cmocka_unit_test(every_damaged_locked_file_holds_no_key),
        cmocka_unit_test(passphrases_have_limits),
        cmocka_unit_test(locked_keys_that_openssl_wrote_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
