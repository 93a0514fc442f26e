/* OSCORE sessions that EDHOC agreed on (RFC 9528 Appendix A.1): there at once, with the suite's hash, and without
 * Appendix B.2. */
#include "oscore_rig.h"

static void agree(struct rig *rig, enum crypto_hash_alg hkdf)
{
    struct oscore_input mirrored;
    rig_input(&rig->input, CRYPTO_A256GCM);
    rig->input.hkdf = hkdf;
    oscore_input_mirror(&rig->input, &mirrored);
    check_ok(oscore_session_agree(&rig->client, OSCORE_CLIENT, &rig->input));
    check_ok(oscore_session_agree(&rig->server, OSCORE_SERVER, &mirrored));
}

static enum status ask_once(struct rig *rig)
{
    uint8_t room[RIG_CAP], plain_room[RIG_CAP], challenge_room[RIG_CAP];
    struct writer outer = writer_over(room, sizeof room), plain = writer_over(plain_room, sizeof plain_room);
    struct writer challenge = writer_over(challenge_room, sizeof challenge_room);
    struct oscore_request sent, got;
    struct coap_body body, message = {COAP_GET, {0}, {0}};
    TRY(oscore_protect_request(&rig->client, &message, rig_fresh(), &sent, &outer));
    check_ok(coap_body_decode(writer_bytes(&outer), &body));
    return oscore_unprotect_request(&rig->server, &body, rig_fresh(), &got, &plain, &message, &challenge);
}

static void an_agreed_session_works_at_once_with_either_hash_and_with_no_other(void **state)
{
    (void)state;
    struct rig rig = {0};
    agree(&rig, CRYPTO_SHA384);
    check_ok(ask_once(&rig));
    struct oscore_input other = rig.input, mirrored;
    other.hkdf = CRYPTO_SHA256;
    oscore_input_mirror(&other, &mirrored);
    oscore_session_done(&rig.server);
    check_ok(oscore_session_agree(&rig.server, OSCORE_SERVER, &mirrored));
    check_status(AUTH, ask_once(&rig));
    oscore_session_done(&rig.client);
    check_ok(oscore_session_agree(&rig.client, OSCORE_CLIENT, &other));
    check_ok(ask_once(&rig));
    oscore_session_done(&rig.client);
    oscore_session_done(&rig.server);
}

static void an_agreed_session_that_is_gone_is_not_begun_anew(void **state)
{
    (void)state;
    struct rig rig = {0};
    agree(&rig, CRYPTO_SHA256);
    oscore_session_restart(&rig.client);
    check_status(WRONG_STATE, ask_once(&rig));
    /* A client that begins Appendix B.2 with the same secret. */
    oscore_session_done(&rig.client);
    check_ok(oscore_session_init(&rig.client, OSCORE_CLIENT, &rig.input));
    check_status(NOT_FOUND, ask_once(&rig));
    oscore_session_restart(&rig.server);
    check_status(NOT_FOUND, ask_once(&rig));
    oscore_session_done(&rig.client);
    oscore_session_done(&rig.server);
}

static void what_was_agreed_with_another_hash_is_never_written_down(void **state)
{
    (void)state;
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct oscore_input input;
    rig_input(&input, CRYPTO_A256GCM);
    input.hkdf = CRYPTO_SHA384;
    oscore_put_input(&writer, &input);
    check_status(MALFORMED, writer_end(&writer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agreed_session_works_at_once_with_either_hash_and_with_no_other),
        cmocka_unit_test(an_agreed_session_that_is_gone_is_not_begun_anew),
        cmocka_unit_test(what_was_agreed_with_another_hash_is_never_written_down),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
