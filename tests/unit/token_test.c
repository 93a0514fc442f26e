/* token: keys of a real module (SoftHSM), found, made and used; keys that are none for an owner; and a token that
 * fails, locks itself or is pulled out at any moment. */
#include "token_rig.h"

#include "token.h"

#define ALICE "pkcs11:token=alice;object="

struct open {
    struct token *token;
    struct crypto_key key;
    bool made;
    enum status status;
    char why[512];
};

static enum status go(struct open *open, const char *uri, const char *pin, bool make, const struct crypto_public *known)
{
    *open = (struct open){.token = token_new()};
    enum status status = token_name(open->token, uri, rig_module);
    if (status == OK)
        status = token_find(open->token);
    if (status == OK)
        status = token_login(open->token, bytes_from_text(pin));
    if (status == OK)
        status = token_take_key(open->token, make, known, &open->made, &open->key);
    snprintf(open->why, sizeof open->why, "%s", token_why(open->token));
    if ((status == OK) != (*open->why == 0) || (status == OK) != (open->key.pkey != NULL))
        fail_msg("%s: %d, %s", uri, status, open->why);
    return open->status = status;
}

static enum status sign(struct open *open)
{
    uint8_t signature[CRYPTO_SIGNATURE_MAX];
    struct bytes text = bytes_from_text("the owner's word");
    enum status status = crypto_sign(&open->key, &text, 1, signature);
    if (status == OK)
        check_ok(crypto_verify(CRYPTO_P256, crypto_public_bytes(&open->key.public_key), &text, 1,
                               bytes_from(signature, 64)));
    else
        snprintf(open->why, sizeof open->why, "%s", token_why(open->token));
    return status;
}

static void shut(struct open *open)
{
    crypto_key_done(&open->key);
    token_free(open->token);
}

static void refused(const char *uri, const char *pin, enum status expected, const char *why)
{
    struct open open;
    enum status status = go(&open, uri, pin, false, NULL);
    if (status != expected || !strstr(open.why, why))
        fail_msg("%s: %d, %s", uri, status, open.why);
    assert_true(!*pin || !strstr(open.why, pin));
    shut(&open);
}

/* ---- The way it goes ---- */

static void a_key_is_made_once_and_then_found(void **state)
{
    (void)state;
    struct open open;
    struct crypto_public first;
    char uri[TOKEN_URI_MAX];
    refused(ALICE "new", RIG_PIN, NOT_FOUND, "has no key of that name");
    check_ok(go(&open, ALICE "new", RIG_PIN, true, NULL));
    assert_true(open.made && token_made_key_itself(open.token));
    assert_string_equal(token_label(open.token), "alice");
    check_ok(sign(&open));
    check_ok(sign(&open));
    first = open.key.public_key;
    check_ok(token_put_uri(open.token, uri));
    shut(&open);
    assert_non_null(strstr(uri, "token=alice"));
    assert_non_null(strstr(uri, "object=new"));
    assert_non_null(strstr(uri, "id=%"));
    assert_non_null(strstr(uri, "module-path="));
    assert_null(strstr(uri, RIG_PIN));
    check_ok(go(&open, uri, RIG_PIN, true, &first));
    assert_false(open.made);
    check_bytes(crypto_public_bytes(&first), crypto_public_bytes(&open.key.public_key));
    check_ok(sign(&open));
    shut(&open);
    struct rig_other other = rig_open("alice");
    assert_int_equal(rig_count_keys(&other, "new"), 1);
    rig_close(&other);
}

static void a_key_that_was_named_by_its_id_is_made_with_it(void **state)
{
    (void)state;
    struct open open;
    check_ok(go(&open, "pkcs11:token=alice;id=%07%08", RIG_PIN, true, NULL));
    assert_true(open.made);
    shut(&open);
    check_ok(go(&open, "pkcs11:token=alice;id=%07%08;object=Bastide%20owner", RIG_PIN, false, NULL));
    check_ok(sign(&open));
    shut(&open);
}

static void a_key_from_outside_signs_and_is_told_apart(void **state)
{
    (void)state;
    struct open open;
    struct crypto_key outside = {0};
    check_ok(crypto_key_generate(&outside, CRYPTO_P256));
    struct rig_other other = rig_open("alice");
    rig_put_key(&other, "outside", &outside);
    rig_close(&other);
    check_ok(go(&open, ALICE "outside", RIG_PIN, true, &outside.public_key));
    assert_false(open.made || token_made_key_itself(open.token));
    check_ok(sign(&open));
    shut(&open);
    crypto_key_done(&outside);
}

static void a_key_that_wants_the_pin_each_time_gets_it(void **state)
{
    (void)state;
    struct open open;
    struct rig_other other = rig_open("alice");
    rig_make_key(&other, &(struct rig_key){.label = "careful", .id = 9, .asks_each_time = true});
    rig_close(&other);
    check_ok(go(&open, ALICE "careful", RIG_PIN, false, NULL));
    check_ok(sign(&open));
    check_ok(sign(&open));
    shut(&open);
}

static void a_public_half_that_is_not_told_must_be_known(void **state)
{
    (void)state;
    struct open open;
    struct crypto_public first;
    check_ok(go(&open, ALICE "shy", RIG_PIN, true, NULL));
    first = open.key.public_key;
    shut(&open);
    check_ok(setenv("FAULTY_POINT", "1", 1));
    refused(ALICE "shy", RIG_PIN, UNSUPPORTED, "does not tell the public half");
    check_ok(go(&open, ALICE "shy", RIG_PIN, false, &first));
    check_ok(sign(&open));
    shut(&open);
    struct crypto_key another = {0};
    check_ok(crypto_key_generate(&another, CRYPTO_P256));
    check_ok(go(&open, ALICE "shy", RIG_PIN, false, &another.public_key)); /* seen when it signs */
    assert_int_equal(sign(&open), INTERNAL);
    assert_non_null(strstr(open.why, "not by the owner's key"));
    shut(&open);
    check_ok(unsetenv("FAULTY_POINT"));
    assert_int_equal(go(&open, ALICE "shy", RIG_PIN, false, &another.public_key), DENIED);
    assert_non_null(strstr(open.why, "not the one of the owner's certificate"));
    shut(&open);
    crypto_key_done(&another);
}

static void a_point_is_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    struct open open;
    char how[16];
    check_ok(go(&open, ALICE "point", RIG_PIN, true, NULL));
    shut(&open);
    check_ok(setenv("FAULTY_POINT", "2", 1)); /* some have it so */
    check_ok(go(&open, ALICE "point", RIG_PIN, false, NULL));
    check_ok(sign(&open));
    shut(&open);
    for (unsigned i = 3; i < 4 + 67; i++) { /* one byte more, and every shorter one */
        snprintf(how, sizeof how, "%u", i);
        check_ok(setenv("FAULTY_POINT", how, 1));
        refused(ALICE "point", RIG_PIN, UNSUPPORTED, "does not tell the public half");
    }
    check_ok(unsetenv("FAULTY_POINT"));
}

static void a_pad_of_its_own_needs_no_pin_from_here(void **state)
{
    (void)state;
    struct open open;
    check_ok(setenv("FAULTY_FLAGS", "0x100", 1));
    check_ok(setenv("FAULTY_PAD", "000000", 1));
    refused(ALICE "new", "ignored", AUTH, "has another PIN");
    check_ok(setenv("FAULTY_PAD", RIG_PIN, 1));
    check_ok(go(&open, ALICE "new", "ignored", true, NULL));
    check_ok(sign(&open));
    shut(&open);
    check_ok(go(&open, ALICE "careful", "ignored", false, NULL)); /* typed once more for each signature */
    check_ok(sign(&open));
    check_ok(setenv("FAULTY_PAD", "000000", 1));
    assert_int_equal(sign(&open), INTERNAL);
    assert_non_null(strstr(open.why, "has another PIN"));
    shut(&open);
    check_ok(unsetenv("FAULTY_PAD"));
    check_ok(unsetenv("FAULTY_FLAGS"));
}

static void an_open_token_is_not_logged_into(void **state)
{
    (void)state;
    check_ok(setenv("FAULTY_NO_FLAGS", "0x4", 1));
    check_ok(setenv("FAULTY_LOGIN", "0xa0", 1));                                          /* would fail */
    refused(ALICE "new", "ignored", UNSUPPORTED, "a public key without its private one"); /* all that SoftHSM shows */
    check_ok(unsetenv("FAULTY_LOGIN"));
    check_ok(unsetenv("FAULTY_NO_FLAGS"));
}

/* ---- What is refused ---- */

static void a_token_must_be_there_and_be_the_only_one(void **state)
{
    (void)state;
    refused("pkcs11:token=nobody;object=new", RIG_PIN, NOT_FOUND, "no such token");
    refused("pkcs11:serial=00;object=new", RIG_PIN, NOT_FOUND, "no such token");
    refused("pkcs11:slot-id=424242;object=new", RIG_PIN, NOT_FOUND, "no such token");
    refused("pkcs11:library-manufacturer=nobody;object=new", RIG_PIN, NOT_FOUND, "no such token");
    refused("pkcs11:object=new", RIG_PIN, DENIED, "fits 2 tokens");
    refused("pkcs11:token=;object=new", RIG_PIN, DENIED, "nobody initialised");
}

static void an_owner_s_key_is_one_p256_key_that_signs_and_stays(void **state)
{
    (void)state;
    struct rig_other other = rig_open("alice");
    rig_make_rsa_key(&other, "rsa");
    rig_put_data(&other, "note");
    rig_make_key(&other, &(struct rig_key){.label = "p384", .id = 1, .p384 = true});
    rig_make_key(&other, &(struct rig_key){.label = "mute", .id = 2, .mute = true});
    rig_make_key(&other, &(struct rig_key){.label = "loose", .id = 3, .extractable = true});
    rig_make_key(&other, &(struct rig_key){.label = "twin", .id = 4});
    rig_make_key(&other, &(struct rig_key){.label = "twin", .id = 5});
    rig_close(&other);
    refused(ALICE "rsa", RIG_PIN, UNSUPPORTED, "is an RSA key: the owner's is on P-256");
    refused(ALICE "note", RIG_PIN, UNSUPPORTED, "is a data object");
    refused(ALICE "p384", RIG_PIN, UNSUPPORTED, "on another curve");
    refused(ALICE "mute", RIG_PIN, DENIED, "may not sign");
    refused(ALICE "loose", RIG_PIN, DENIED, "would hand that key out");
    refused(ALICE "twin", RIG_PIN, DENIED, "has 2 keys of that name: add id=");
    struct open open;
    assert_int_equal(go(&open, ALICE "note", RIG_PIN, true, NULL), UNSUPPORTED); /* nothing is made beside it */
    shut(&open);
    check_ok(go(&open, ALICE "twin;id=%05", RIG_PIN, false, NULL));
    check_ok(sign(&open));
    shut(&open);
}

static void a_wrong_pin_is_told_from_a_locked_token(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum status status;
        const char *why;
    } logins[] = {
        {"0xa0", AUTH, "has another PIN"},    {"0xa2", AUTH, "has another PIN"},
        {"0xa4", DENIED, "is locked"},        {"0xa3", DENIED, "PIN changed first"},
        {"0x102", DENIED, "no user PIN yet"}, {"0x50", DENIED, "told to cancel"},
        {"0x32", IO, "not there any more"},   {"0x30", IO, "failed: "},
        {"0x80000001", IO, "(0x80000001)"},   {"0x100", OK, ""}, /* logged in already */
    };
    refused(ALICE "new", "000000", AUTH, "has another PIN");
    refused(ALICE "new", "", AUTH, "has 1 to 255 bytes");
    for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
        struct token *token = token_new();
        check_ok(token_name(token, ALICE "new", rig_module));
        check_ok(token_find(token));
        check_ok(setenv("FAULTY_LOGIN", logins[i].answer, 1));
        enum status status = token_login(token, bytes_from_text(RIG_PIN));
        if (status != logins[i].status || !strstr(token_why(token), logins[i].why))
            fail_msg("%s: %d, %s", logins[i].answer, status, token_why(token));
        check_ok(unsetenv("FAULTY_LOGIN"));
        token_free(token);
    }
}

static void the_longest_pin_is_tried_and_one_longer_is_not(void **state)
{
    (void)state;
    char pin[TOKEN_PIN_MAX + 2];
    memset(pin, '1', sizeof pin);
    pin[TOKEN_PIN_MAX + 1] = 0;
    refused(ALICE "new", pin, AUTH, "has 1 to 255 bytes");
    pin[TOKEN_PIN_MAX] = 0;
    refused(ALICE "new", pin, AUTH, "has another PIN");
}

static void what_the_token_tells_of_its_tries_is_passed_on(void **state)
{
    (void)state;
    static const struct {
        const char *flags;
        enum token_tries tries;
        enum token_login kind;
    } tokens[] = {
        {"0", TOKEN_TRIES_FRESH, TOKEN_PIN},         {"0x10000", TOKEN_TRIES_FEWER, TOKEN_PIN},
        {"0x30000", TOKEN_TRIES_LAST, TOKEN_PIN},    {"0x70000", TOKEN_TRIES_OVER, TOKEN_PIN},
        {"0x100", TOKEN_TRIES_FRESH, TOKEN_PIN_PAD},
    };
    struct open open;
    check_ok(go(&open, ALICE "new", RIG_PIN, true, NULL)); /* forgets the wrong ones of before */
    shut(&open);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        struct token *token = token_new();
        check_ok(setenv("FAULTY_FLAGS", tokens[i].flags, 1));
        check_ok(token_name(token, ALICE "new", rig_module));
        check_ok(token_find(token));
        assert_int_equal(token_tries(token), tokens[i].tries);
        assert_int_equal(token_login_kind(token), tokens[i].kind);
        token_free(token);
        check_ok(unsetenv("FAULTY_FLAGS"));
    }
}

/* ---- Faults ---- */

static void a_signature_that_is_none_is_not_passed_on(void **state)
{
    (void)state;
    struct open open;
    check_ok(go(&open, ALICE "new", RIG_PIN, true, NULL));
    check_ok(setenv("FAULTY_SIGN", "1", 1));
    assert_int_equal(sign(&open), INTERNAL);
    assert_non_null(strstr(open.why, "not by the owner's key"));
    check_ok(setenv("FAULTY_SIGN", "2", 1));
    assert_int_equal(sign(&open), INTERNAL);
    assert_non_null(strstr(open.why, "gave 63 bytes"));
    check_ok(unsetenv("FAULTY_SIGN"));
    check_ok(sign(&open));
    shut(&open);
}

/* The token goes at the n-th call, for all n: a sentence, no key, and everything works when it is back. */
static void pulled_out(const char *object, bool make)
{
    char uri[128], from[16];
    bool gone = true;
    check_ok(setenv("FAULTY_ANSWER", "0x32", 1));
    snprintf(uri, sizeof uri, ALICE "%s", object);
    unsigned turn = 0;
    while (gone && turn < 100) {
        struct open open;
        snprintf(from, sizeof from, "%u", ++turn);
        check_ok(setenv("FAULTY_FROM", from, 1));
        enum status status = go(&open, uri, RIG_PIN, make, NULL);
        if (status == OK)
            status = sign(&open);
        gone = status != OK;
        if (gone && !strstr(open.why, "not there any more") && !strstr(open.why, "no such token"))
            fail_msg("call %u: %d, %s", turn, status, open.why);
        shut(&open);
    }
    check_ok(unsetenv("FAULTY_FROM"));
    assert_in_range(turn, 15, 60);
    struct open open;
    check_ok(go(&open, uri, RIG_PIN, false, NULL));
    check_ok(sign(&open));
    shut(&open);
    struct rig_other other = rig_open("alice");
    assert_int_equal(rig_count_keys(&other, object), 1);
    rig_close(&other);
}

static void a_token_may_be_pulled_out_at_any_call(void **state)
{
    (void)state;
    pulled_out("new", false);
    pulled_out("newer", true);
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    check_ok(crypto_init());
    rig_start(argv[1]);
    rig_make_token("alice");
    rig_make_token("bob");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_made_once_and_then_found),
        cmocka_unit_test(a_key_that_was_named_by_its_id_is_made_with_it),
        cmocka_unit_test(a_key_from_outside_signs_and_is_told_apart),
        cmocka_unit_test(a_key_that_wants_the_pin_each_time_gets_it),
        cmocka_unit_test(a_public_half_that_is_not_told_must_be_known),
        cmocka_unit_test(a_point_is_taken_whole_or_not_at_all),
        cmocka_unit_test(a_pad_of_its_own_needs_no_pin_from_here),
        cmocka_unit_test(an_open_token_is_not_logged_into),
        cmocka_unit_test(a_token_must_be_there_and_be_the_only_one),
        cmocka_unit_test(an_owner_s_key_is_one_p256_key_that_signs_and_stays),
        cmocka_unit_test(a_wrong_pin_is_told_from_a_locked_token),
        cmocka_unit_test(the_longest_pin_is_tried_and_one_longer_is_not),
        cmocka_unit_test(what_the_token_tells_of_its_tries_is_passed_on),
        cmocka_unit_test(a_signature_that_is_none_is_not_passed_on),
        cmocka_unit_test(a_token_may_be_pulled_out_at_any_call),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rig_stop() || failed;
}
