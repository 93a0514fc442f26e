/* OSCORE messages that only a holder of the keys could make, wrong in one thing each; and options changed on the way.
 */
#include "oscore_rig.h"

#include "cbor.h"

/* An outer body of this option and ciphertext. */
static void put_message(struct rig_message *message, uint8_t code, const struct oscore_option *option,
                        struct bytes sealed)
{
    uint8_t value_room[300], options_room[310];
    struct writer value = writer_over(value_room, sizeof value_room);
    struct writer options = writer_over(options_room, sizeof options_room);
    struct writer out = writer_over(message->data, RIG_CAP);
    struct coap_option_writer list = coap_options_to(&options);
    oscore_put_option(&value, option);
    coap_put_option(&list, COAP_OSCORE, writer_bytes(&value));
    coap_body_encode(&out, &(struct coap_body){code, writer_bytes(&options), sealed});
    check_ok(writer_end(&out));
    message->len = out.len;
}

/* A plaintext of any bytes, sealed like an answer of Partial IV 0 to this request. */
static void forge_answer(struct rig_message *message, struct oscore_context *server, struct bytes server_id,
                         const struct oscore_request *asked, struct bytes text, struct oscore_option option)
{
    uint8_t nonce[CRYPTO_AEAD_NONCE_MAX], aad_room[OSCORE_AAD_MAX], sealed_room[200];
    static const uint8_t piv[] = {0};
    struct writer sealed = writer_over(sealed_room, sizeof sealed_room);
    enum crypto_aead_alg aead = server->sender.alg;
    oscore_nonce(server, aead, server_id, BYTES_OF(piv), nonce);
    struct bytes aad = oscore_aad(aead, bytes_from(asked->kid, asked->kid_len),
                                  bytes_from(asked->partial_iv, asked->partial_iv_len), aad_room);
    check_ok(crypto_aead_seal(&server->sender, bytes_from(nonce, crypto_aead_nonce_len(aead)), aad, text, &sealed));
    option.partial_iv_len = 1;
    put_message(message, COAP_CHANGED, &option, writer_bytes(&sealed));
}

/* Response #1 to a client's request under an ID Context of `id_len` bytes, with an R2 and an inner text of any kind. */
static enum status hear_challenge(size_t id_len, size_t r2_len, size_t extra, struct bytes text)
{
    static const uint8_t id_room[OSCORE_CONTEXT_MAX] = {0xab};
    struct rig rig;
    struct oscore_input mirrored;
    struct oscore_context second = {0};
    struct oscore_request asked;
    struct rig_message out;
    static struct rig_opened opened;
    struct bytes id = bytes_from(id_room, id_len);
    uint8_t joined[2 * OSCORE_CONTEXT_MAX] = {0}, wrapped_room[64];
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    check_ok(oscore_session_fix(&rig.client, &id, 0));
    check_ok(rig_ask(&rig.client, "first", RIG_PLAIN, &asked, &out));
    memset(joined, 0x22, r2_len);
    memcpy(joined + r2_len, id.data, id.len);
    size_t joined_len = r2_len + id_len < OSCORE_CONTEXT_MAX ? r2_len + id_len : OSCORE_CONTEXT_MAX;
    struct bytes second_id = bytes_from(joined, joined_len);
    oscore_input_mirror(&rig.input, &mirrored);
    check_ok(oscore_context_init(&second, &mirrored, &second_id, 0));
    struct writer wrapped = writer_over(wrapped_room, sizeof wrapped_room);
    cbor_put_bytes(&wrapped, bytes_from(joined, r2_len));
    for (size_t i = 0; i < extra; i++)
        put_u8(&wrapped, 0);
    struct oscore_option option = {.has_kid_context = true, .kid_context = writer_bytes(&wrapped)};
    forge_answer(&out, &second, bytes_from(mirrored.sender.data, mirrored.sender.len), &asked, text, option);
    enum status status = rig_hear(&rig.client, &asked, &out, &opened);
    assert_int_equal(rig.client.has_r2, status == BUSY);
    assert_int_equal(rig.client.current.sender.alg != 0, status != BUSY);
    oscore_context_done(&second);
    rig_stop(&rig);
    return status;
}

static void a_response_1_is_one_only_with_an_r2_of_its_length_and_4_01_inside(void **state)
{
    (void)state;
    static const uint8_t unauthorized[] = {COAP_UNAUTHORIZED}, content[] = {COAP_CONTENT}, bad[] = {0x81, 0xf0};
    check_status(BUSY, hear_challenge(8, OSCORE_PART_LEN, 0, BYTES_OF(unauthorized)));
    check_status(AUTH, hear_challenge(8, OSCORE_PART_LEN, 0, BYTES_OF(content)));
    check_status(MALFORMED, hear_challenge(8, OSCORE_PART_LEN, 0, BYTES_OF(bad)));
    check_status(MALFORMED, hear_challenge(8, OSCORE_PART_LEN, 1, BYTES_OF(unauthorized)));
    for (size_t len = 0; len <= 2 * OSCORE_PART_LEN; len++)
        check_status(len == OSCORE_PART_LEN ? BUSY : MALFORMED, hear_challenge(8, len, 0, BYTES_OF(unauthorized)));
}

static void r2_is_put_before_an_id_context_that_leaves_it_room_and_no_other(void **state)
{
    (void)state;
    static const uint8_t unauthorized[] = {COAP_UNAUTHORIZED};
    for (size_t len = 0; len <= OSCORE_CONTEXT_MAX; len++)
        check_status(len <= OSCORE_CONTEXT_MAX - OSCORE_PART_LEN ? BUSY : MALFORMED,
                     hear_challenge(len, OSCORE_PART_LEN, 0, BYTES_OF(unauthorized)));
}

static void a_plaintext_that_is_no_message_is_malformed_and_wiped(void **state)
{
    (void)state;
    static const uint8_t texts[][6] = {{0x45, 0xff}, {0x45, 0xf0, 's', 'e', 'c'}, {0x45, 0x14, 's', 'e', 'c'}};
    static const size_t lens[] = {2, 5, 5};
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened opened;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    check_ok(rig_ask(&rig.client, "ask", RIG_PLAIN, &asked, &out));
    struct bytes server_id = bytes_from(rig.input.recipient.data, rig.input.recipient.len);
    for (size_t i = 0; i < 3; i++) {
        forge_answer(&out, &rig.server.current, server_id, &asked, bytes_from(texts[i], lens[i]),
                     (struct oscore_option){0});
        check_status(MALFORMED, rig_hear(&rig.client, &asked, &out, &opened));
        rig_expect_nothing(&opened);
    }
    rig_stop(&rig);
}

/* A good request whose option says something else. */
static enum status take_with(struct rig *rig, void (*change)(struct oscore_option *option))
{
    struct oscore_request asked;
    struct rig_message good, out;
    static struct rig_opened opened;
    check_ok(rig_ask(&rig->client, "ask", RIG_PLAIN, &asked, &good));
    struct oscore_option option = rig_option(&good);
    change(&option);
    put_message(&out, COAP_POST, &option, rig_body(&good).payload);
    return rig_take(&rig->server, &out, &opened);
}

static void change_nothing(struct oscore_option *option)
{
    (void)option;
}

static void drop_kid(struct oscore_option *option)
{
    option->has_kid = false;
}

static void drop_partial_iv(struct oscore_option *option)
{
    option->partial_iv_len = 0;
}

static void name_another_kid(struct oscore_option *option)
{
    option->kid = bytes_from_text("x");
}

static void name_no_kid(struct oscore_option *option)
{
    option->kid.len = 0;
}

static void lengthen_partial_iv(struct oscore_option *option)
{
    option->partial_iv_len++;
}

static void advance_partial_iv(struct oscore_option *option)
{
    option->partial_iv++;
}

static void name_a_bare_context(struct oscore_option *option)
{
    option->has_kid_context = true;
    option->kid_context = bytes_from_text("12345678");
}

static void name_a_wrapped_context(struct oscore_option *option)
{
    option->has_kid_context = true;
    option->kid_context = bytes_from_text("\x48"
                                          "12345678");
}

static void a_request_is_taken_with_the_option_it_was_sealed_with_only(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct oscore_option *option);
        enum status want;
    } rows[] = {{change_nothing, OK},          {drop_kid, MALFORMED},
                {drop_partial_iv, MALFORMED},  {name_another_kid, NOT_FOUND},
                {name_no_kid, NOT_FOUND},      {lengthen_partial_iv, AUTH},
                {advance_partial_iv, AUTH},    {name_a_bare_context, NOT_FOUND},
                {name_a_wrapped_context, AUTH}};
    struct rig rig;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_status(rows[i].want, take_with(&rig, rows[i].change));
    check_status(OK, take_with(&rig, change_nothing));
    rig_stop(&rig);
}

/* A request #1 sealed under an ID Context of that length, named bare, in a byte string, or with a byte behind it. */
static enum status begin_under(struct rig *rig, size_t id_len, bool wrap, size_t extra)
{
    static const uint8_t id_room[OSCORE_CONTEXT_MAX] = {0xab};
    struct bytes id = bytes_from(id_room, id_len);
    uint8_t context_room[64];
    struct writer context = writer_over(context_room, sizeof context_room);
    struct oscore_request asked;
    struct rig_message good, out;
    static struct rig_opened opened;
    check_ok(oscore_session_fix(&rig->client, &id, 0));
    check_ok(rig_ask(&rig->client, "hello", RIG_PLAIN, &asked, &good));
    struct oscore_option option = rig_option(&good);
    if (wrap)
        cbor_put_bytes(&context, id);
    else
        put_bytes(&context, id);
    for (size_t i = 0; i < extra; i++)
        put_u8(&context, 0);
    option.has_kid_context = true;
    option.kid_context = writer_bytes(&context);
    put_message(&out, COAP_POST, &option, rig_body(&good).payload);
    return rig_take(&rig->server, &out, &opened);
}

static void an_id_context_shorter_than_r1_or_longer_than_r2_and_r3_begins_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    for (size_t len = 0; len <= OSCORE_CONTEXT_MAX; len++) {
        bool good = len >= OSCORE_PART_LEN && len <= 2 * OSCORE_PART_LEN;
        check_status(good ? BUSY : NOT_FOUND, begin_under(&rig, len, true, 0));
        check_status(NOT_FOUND, begin_under(&rig, len, true, 1));
        check_status(NOT_FOUND, begin_under(&rig, len, false, 0));
    }
    rig_stop(&rig);
}

static void an_answer_may_name_the_servers_kid_and_no_other(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message good, out;
    struct rig_opened opened;
    rig_start_fixed(&rig, CRYPTO_AES_CCM_16_64_128, 0, 0);
    check_ok(rig_ask(&rig.client, "ask", RIG_PLAIN, &asked, &out));
    check_ok(rig_take(&rig.server, &out, &opened));
    check_ok(rig_answer(&rig.server, &opened.request, "answer", RIG_PLAIN, true, &good));
    struct oscore_option option = rig_option(&good);
    option.has_kid = true;
    for (int own = 0; own < 2; own++) {
        const struct oscore_id *id = own ? &rig.input.recipient : &rig.input.sender;
        option.kid = bytes_from(id->data, id->len);
        put_message(&out, COAP_CHANGED, &option, rig_body(&good).payload);
        check_status(own ? OK : AUTH, rig_hear(&rig.client, &asked, &out, &opened));
    }
    rig_stop(&rig);
}

static void an_unprotected_answer_is_a_hint_and_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct oscore_request asked;
    struct rig_message out;
    struct rig_opened opened;
    struct oscore_session before;
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    rig_begin(&rig);
    check_ok(rig_ask(&rig.client, "ask", RIG_PLAIN, &asked, &out));
    memcpy(&before, &rig.client, sizeof before);
    struct writer error = writer_over(out.data, RIG_CAP);
    oscore_error(&error, NOT_FOUND);
    out.len = error.len;
    check_status(UNSUPPORTED, rig_hear(&rig.client, &asked, &out, &opened));
    assert_memory_equal(&before, &rig.client, sizeof before);
    check_status(NOT_FOUND, rig_take(&rig.server, &out, &opened));
    rig_exchange(&rig);
    rig_stop(&rig);
}

static void a_session_that_begins_anew_forgets_its_contexts_to_the_last_byte(void **state)
{
    (void)state;
    static const struct oscore_context zero;
    struct rig rig;
    rig_start(&rig, CRYPTO_AES_CCM_16_64_128);
    rig_begin(&rig);
    oscore_session_restart(&rig.client);
    rig_challenge(&rig); /* the server has the old one and a begun one */
    assert_int_not_equal(rig.server.current.sender.alg, 0);
    assert_int_not_equal(rig.server.begun.sender.alg, 0);
    oscore_session_restart(&rig.server);
    assert_memory_equal(&zero, &rig.server.current, sizeof zero);
    assert_memory_equal(&zero, &rig.server.begun, sizeof zero);
    assert_false(rig.server.has_r1 || rig.server.has_r2);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_1_is_one_only_with_an_r2_of_its_length_and_4_01_inside),
        cmocka_unit_test(r2_is_put_before_an_id_context_that_leaves_it_room_and_no_other),
        cmocka_unit_test(a_plaintext_that_is_no_message_is_malformed_and_wiped),
        cmocka_unit_test(a_request_is_taken_with_the_option_it_was_sealed_with_only),
        cmocka_unit_test(an_id_context_shorter_than_r1_or_longer_than_r2_and_r3_begins_nothing),
        cmocka_unit_test(an_answer_may_name_the_servers_kid_and_no_other),
        cmocka_unit_test(an_unprotected_answer_is_a_hint_and_changes_nothing),
        cmocka_unit_test(a_session_that_begins_anew_forgets_its_contexts_to_the_last_byte),
    };
    check_ok(crypto_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
