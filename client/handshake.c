/* EDHOC with the hub (RFC 9528, forward flow), itself two unprotected requests: what the hub shows of itself is judged
 * before it learns who we are, its evidence before anything else is sent. */
#include "client_internal.h"

#include "pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CBOR_TRUE 0xf5
#define MESSAGE_MAX 8192 /* messages 1 and 3 */
#define C_I_LEN 2

static const uint32_t ead_labels[] = {ATTEST_EAD};

bool client_needs_handshake(const struct client *client)
{
    return client->handshake.config && !client->handshake.under_way && client->phase == SESSION_NONE;
}

static void end(struct client *client)
{
    edhoc_done(&client->handshake.session);
    client->handshake.under_way = false;
}

/* For good: `why` was said. */
static void fail(struct client *client, enum status status)
{
    end(client);
    client->handshake.failures = 0;
    client->handshake.by_value = false;
    client->handshake.suite = NULL;
    client_fail_waiting(client, status);
}

/* The hub may have restarted between two messages, or somebody answered in its place: another handshake tells. */
static void try_again(struct client *client)
{
    end(client);
    if (++client->handshake.failures < HANDSHAKES_MAX)
        return;
    fail(client, AUTH);
}

static void post(struct client *client, struct bytes payload, client_done *done)
{
    const struct client_request request = {
        .code = COAP_POST, .path = ".well-known/edhoc", .content_format = COAP_FORMAT_CID_EDHOC, .payload = payload};
    if (client_put_in(client, &client->pending[HANDSHAKE], &request, done, client) == OK) {
        client->pending[HANDSHAKE].echo = bytes_from(client->handshake.echo, client->handshake.echo_len);
        return;
    }
    client_say(client, "out of memory");
    fail(client, NO_ROOM);
}

/* RFC 9175 §2.3: the node wants to see that we are where we seem to be. The same again, with what it gave us. */
bool client_take_echo(struct client *client, struct client_pending *pending, const struct coap_body *outer)
{
    struct client_handshake *handshake = &client->handshake;
    struct bytes echo = {0};
    bool asked = outer->code == COAP_UNAUTHORIZED && coap_option_find(outer->options, COAP_ECHO, &echo) &&
                 echo.len > 0 && echo.len <= ECHO_MAX;
    handshake->echoes = asked ? handshake->echoes + 1 : 0;
    if (!asked)
        return false;
    memcpy(handshake->echo, echo.data, echo.len);
    handshake->echo_len = echo.len;
    pending->echo = bytes_from(handshake->echo, echo.len);
    if (handshake->echoes > ECHOES_MAX)
        client_take_trouble(client, pending, TROUBLE_UNAVAILABLE);
    else
        client_set_phase(client, pending, PENDING_QUEUED);
    return true;
}

/* Words of whoever answered: printable ASCII, cut. */
static void quote(struct bytes text, char out[QUOTE_MAX + 1])
{
    size_t len = text.len < QUOTE_MAX ? text.len : QUOTE_MAX;
    for (size_t i = 0; i < len; i++)
        out[i] = text.data[i] >= ' ' && text.data[i] <= '~' && text.data[i] != '"' ? (char)text.data[i] : '?';
    out[len] = 0;
}

/* RFC 9528 §6: unprotected, so no more than a hint. */
static void take_error(struct client *client, const struct client_answer *answer)
{
    struct client_handshake *handshake = &client->handshake;
    struct edhoc_error error = {0};
    char words[QUOTE_MAX + 1];
    bool readable = edhoc_error_decode(answer->payload, &error) == OK;
    const struct edhoc_suite *other = error.code == EDHOC_ERROR_SUITE
                                          ? edhoc_choose_suite(&handshake->profile, error.suites, error.suites_count)
                                          : NULL;
    if (error.code == EDHOC_ERROR_SUITE && !other) {
        client_say(client, "%s has no cipher suite in common with us", client->url.base);
        fail(client, UNSUPPORTED);
        return;
    }
    if (other)
        handshake->suite = other;
    if (error.code == EDHOC_ERROR_UNKNOWN_CREDENTIAL)
        handshake->by_value = true;
    quote(readable ? error.text : (struct bytes){0}, words);
    client_say(client, "%s refused the handshake: \"%s\"", client->url.base, words);
    try_again(client);
}

/* True: an answer that is none of a handshake was dealt with. */
static bool went_wrong(struct client *client, enum status status, const struct client_answer *answer)
{
    if (status != OK)
        end(client); /* the requests that wait have ends of their own */
    else if (coap_code_class(answer->code) != 2)
        take_error(client, answer);
    else
        return false;
    return true;
}

/* ---- Messages 4, 3, 1: each callback before what puts it in place ---- */

static enum status open_session(struct client *client)
{
    struct oscore_input input;
    TRY(edhoc_oscore_input(&client->handshake.session, &input));
    oscore_session_done(&client->session);
    enum status status = oscore_session_agree(&client->session, OSCORE_CLIENT, &input);
    oscore_input_wipe(&input);
    return status;
}

static enum status appraise(struct client *client, const struct edhoc_eads *eads)
{
    struct client_handshake *handshake = &client->handshake;
    const struct edhoc_ead *ead = edhoc_find_ead(eads, ATTEST_EAD);
    TRY(attest_binder(&handshake->session, &handshake->binder));
    return client_judge(client, ead ? ead->value : (struct bytes){0}, BYTES_OF(handshake->nonce));
}

static void take_message_4(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct client *client = user;
    struct edhoc_eads eads;
    (void)more;
    if (went_wrong(client, status, answer))
        return;
    uint8_t *room = malloc(answer->payload.len + 1);
    struct writer plain = writer_over(room, room ? answer->payload.len : 0);
    status = edhoc_take_message_4(&client->handshake.session, answer->payload, &plain, &eads);
    if (status != OK) {
        client_say(client, "what %s answers in the handshake does not verify", client->url.base);
        try_again(client);
    } else if (client->handshake.config->appraise && appraise(client, &eads) != OK) {
        fail(client, DENIED);
    } else if (open_session(client) != OK) {
        client_say(client, "the session cannot be made");
        fail(client, INTERNAL);
    } else {
        end(client);
        client->handshake.failures = 0;
        client->generation++;
        client->proved = client->newest = 0;
        client->phase = SESSION_OPEN;
    }
    if (room)
        wipe(room, answer->payload.len);
    free(room);
}

/* The key in the credential the hub sent along; whose key that is, others judge. */
static enum status resolve(const struct edhoc_reference *reference, struct edhoc_credential *credential)
{
    struct bytes subject;
    if (reference->kind == EDHOC_KCCS) {
        credential->value = reference->claims;
        return edhoc_claims_decode(reference->claims, &credential->key, &subject);
    }
    if (reference->kind != EDHOC_X5CHAIN)
        return UNSUPPORTED;
    struct pki_certificate certificate;
    TRY(pki_certificate_decode(reference->certificates[0], &certificate));
    credential->is_certificate = true;
    credential->value = reference->certificates[0];
    credential->key = certificate.key;
    return OK;
}

static enum status meet(struct client *client, const struct edhoc_reference *reference,
                        struct edhoc_credential *credential)
{
    struct client_handshake *handshake = &client->handshake;
    char why[WHY_MAX] = "its credential was refused";
    if (resolve(reference, credential) != OK || credential->value.len > sizeof handshake->credential)
        return AUTH;
    memcpy(handshake->credential, credential->value.data, credential->value.len);
    handshake->credential_len = credential->value.len;
    const struct client_hub hub = {.reference = reference, .credential = credential->value};
    enum status status =
        handshake->config->meet ? handshake->config->meet(handshake->config->user, &hub, why, sizeof why) : OK;
    if (status != OK)
        client_say(client, "%s", why);
    return status == OK ? OK : DENIED;
}

static enum status offers_evidence(const struct edhoc_eads *eads)
{
    const struct edhoc_ead *ead = edhoc_find_ead(eads, ATTEST_EAD);
    uint32_t formats[ATTEST_FORMATS_MAX];
    size_t count = 0;
    if (!ead || attest_proposal_decode(ead->value, formats, &count) != OK)
        return DENIED;
    for (size_t i = 0; i < count; i++)
        if (formats[i] == ATTEST_FORMAT)
            return OK;
    return DENIED;
}

static enum status put_message_3(struct client *client, struct writer *message)
{
    struct client_handshake *handshake = &client->handshake;
    struct edhoc_credential own = handshake->config->own;
    uint8_t room[EAT_NONCE_MAX + 8];
    struct writer request = writer_over(room, sizeof room);
    if (handshake->by_value && handshake->config->own_by_value.len)
        own.id_cred = handshake->config->own_by_value;
    TRY(crypto_random(handshake->nonce, sizeof handshake->nonce));
    attest_put_request(&request, &(struct attest_request){ATTEST_FORMAT, BYTES_OF(handshake->nonce)});
    const struct edhoc_eads eads = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&request)}},
                                    handshake->config->appraise != NULL};
    edhoc_put_id(message, bytes_from(handshake->session.c_r.data, handshake->session.c_r.len));
    return edhoc_put_message_3(&handshake->session, &own, &eads, message);
}

/* DENIED: `why` was said. */
static enum status answer_message_2(struct client *client, struct bytes message_2, struct writer *plain,
                                    struct writer *message_3)
{
    struct client_handshake *handshake = &client->handshake;
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    struct edhoc_credential credential = {0};
    TRY(edhoc_take_message_2(&handshake->session, message_2, plain, &reference, &eads));
    enum status met = meet(client, &reference, &credential);
    TRY(edhoc_verify_message_2(&handshake->session, met == AUTH ? NULL : &credential));
    TRY(met);
    if (handshake->config->appraise && offers_evidence(&eads) != OK) {
        client_say(client, "the hub at %s offers no evidence of what it is", client->url.base);
        return DENIED;
    }
    return put_message_3(client, message_3);
}

static void take_message_2(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct client *client = user;
    uint8_t room[MESSAGE_MAX];
    struct writer message_3 = writer_over(room, sizeof room);
    (void)more;
    if (went_wrong(client, status, answer))
        return;
    uint8_t *plain_room = malloc(answer->payload.len + 1);
    struct writer plain = writer_over(plain_room, plain_room ? answer->payload.len : 0);
    status = answer_message_2(client, answer->payload, &plain, &message_3);
    free(plain_room);
    if (status == OK) {
        post(client, writer_bytes(&message_3), take_message_4);
    } else if (status == DENIED) {
        fail(client, DENIED);
    } else {
        client_say(client, "what %s answers in the handshake does not verify", client->url.base);
        try_again(client);
    }
}

static enum status put_message_1(struct client *client, struct writer *message)
{
    struct client_handshake *handshake = &client->handshake;
    const struct client_edhoc *config = handshake->config;
    struct crypto_key ephemeral = {0};
    struct edhoc_id c_i = {.len = C_I_LEN};
    const struct edhoc_eads eads = {{{.label = ATTEST_EAD_TRIGGER}}, config->appraise != NULL};
    handshake->profile = (struct edhoc_profile){.methods = 1u << config->method,
                                                .suites = config->suites,
                                                .suites_count = config->suites_count,
                                                .ead_labels = ead_labels,
                                                .ead_labels_count = 1};
    if (!handshake->suite)
        handshake->suite = config->suites_count ? edhoc_suite(config->suites[0]) : NULL;
    if (!handshake->suite || config->method > 3)
        return UNSUPPORTED;
    TRY(crypto_random(c_i.data, c_i.len));
    TRY(crypto_key_generate(&ephemeral, handshake->suite->exchange));
    put_u8(message, CBOR_TRUE);
    enum status status = edhoc_put_message_1(&handshake->session, &handshake->profile, config->method, handshake->suite,
                                             &ephemeral, &c_i, &eads, message);
    crypto_key_done(&ephemeral);
    return status;
}

void client_shake_hands(struct client *client)
{
    uint8_t room[MESSAGE_MAX];
    struct writer message_1 = writer_over(room, sizeof room);
    edhoc_done(&client->handshake.session);
    client->handshake.under_way = true;
    if (put_message_1(client, &message_1) == OK) {
        post(client, writer_bytes(&message_1), take_message_2);
        return;
    }
    client_say(client, "no handshake can begin with this method, suite and key");
    fail(client, INTERNAL);
}
