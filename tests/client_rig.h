/* A hub of a few lines behind the real gateway, in the test's own process: OSCORE's server side, an accepted list, an
 * observation. It can forget its session, swallow, forge, refuse and be away; a relay in front of it can lose
 * datagrams. Driven by turns with the client, or by a thread where the client blocks. */
#ifndef BASTIDE_TESTS_CLIENT_RIG_H
#define BASTIDE_TESTS_CLIENT_RIG_H

#include "check.h"

#include "abi.h"
#include "attest.h"
#include "client.h"
#include "client_http.h"
#include "crypto.h"
#include "edhoc.h"
#include "gateway.h"
#include "pki.h"
#include "x509.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RIG_ASKED_MAX 512
#define RIG_IDS_MAX 4096
#define RIG_BODY_MAX ((size_t)300 * 1024)

struct rig_asked {
    uint64_t channel;
    uint8_t *body;
    size_t len;
};

struct rig {
    struct gateway *gateway;
    in_port_t coap_port, http_port;
    char coap[64], http[64];   /* addresses */
    struct oscore_input input; /* the client's */
    struct oscore_session session;
    struct rig_asked asked[RIG_ASKED_MAX];
    size_t asked_count;

    bool accepted[RIG_IDS_MAX]; /* durable: outlives a hub that forgets its session */
    unsigned served, challenged, contexts;
    uint8_t last_context[OSCORE_CONTEXT_MAX];
    size_t last_context_len;

    unsigned swallow;  /* so many requests get no answer */
    unsigned flip;     /* so many answers have a flipped bit */
    unsigned plain;    /* so many are replaced by an unprotected 2.05 */
    unsigned unknown;  /* so many by an unprotected 4.01 */
    bool knows_nobody; /* every request is answered 4.01 */

    struct edhoc_session edhoc; /* the responder's */
    struct crypto_key hub_key, attestation_key;
    unsigned handshakes, met;     /* messages 1, and 3 that verified */
    bool no_offer, no_evidence;   /* attestation that the hub does not do, or does not end */
    bool bend_binder, bend_nonce; /* evidence of another session, or made for another nonce */
    unsigned forget_1;            /* so many handshakes are lost between their messages */
    struct bytes known;           /* the only client certificate this hub knows */

    bool observed;
    uint64_t watch_channel;
    struct oscore_request watch_request;
    uint8_t last_notice[1024];
    size_t last_notice_len;
    unsigned cursor, registrations;
    unsigned after; /* of the last registration */

    int relay_in, relay_out; /* in front of the CoAP port, when there is one */
    struct sockaddr_in relay_client;
    unsigned relay_count, drop_every;

    pthread_t thread;
    bool threaded;
    atomic_bool stop;
};

static inline uint64_t rig_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline in_port_t rig_bound_port(int fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    check_ok(bind(fd, (struct sockaddr *)&address, sizeof address));
    check_ok(getsockname(fd, (struct sockaddr *)&address, &len));
    return ntohs(address.sin_port);
}

/* One that was free a moment ago. */
static inline in_port_t rig_free_port(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    in_port_t port = rig_bound_port(fd);
    close(fd);
    return port;
}

/* ---- The hub ---- */

static inline enum status rig_ask(void *context, uint64_t channel, enum door_transport transport, struct bytes body)
{
    struct rig *rig = context;
    (void)transport;
    assert_true(rig->asked_count < RIG_ASKED_MAX);
    struct rig_asked *asked = &rig->asked[rig->asked_count++];
    *asked = (struct rig_asked){channel, malloc(body.len + 1), body.len};
    assert_non_null(asked->body);
    memcpy(asked->body, body.data, body.len);
    return OK;
}

static inline void rig_gone(void *context, uint64_t channel)
{
    struct rig *rig = context;
    if (rig->watch_channel == channel)
        rig->observed = false;
    for (size_t i = 0; i < rig->asked_count; i++)
        if (rig->asked[i].channel == channel)
            rig->asked[i].channel = 0;
}

static inline void rig_reply(struct rig *rig, uint64_t channel, struct bytes outer, bool more)
{
    (void)!gateway_reply(rig->gateway, rig_now_ms(), channel, outer, more);
}

static inline void rig_reply_plain(struct rig *rig, uint64_t channel, uint8_t code, const char *text)
{
    uint8_t room[512];
    struct writer writer = writer_over(room, sizeof room);
    struct coap_body body = {code, {0}, bytes_from_text(text)};
    coap_body_encode(&writer, &body);
    rig_reply(rig, channel, writer_bytes(&writer), false);
}

static inline void rig_send(struct rig *rig, uint64_t channel, struct oscore_request *request, uint8_t code,
                            const uint32_t *observe, struct bytes payload)
{
    static uint8_t room[RIG_BODY_MAX];
    uint8_t small[32];
    struct writer outer = writer_over(room, sizeof room), options = writer_over(small, sizeof small);
    struct coap_option_writer writer = coap_options_to(&options);
    if (observe)
        coap_put_option_uint(&writer, COAP_OBSERVE, *observe);
    if (payload.len)
        coap_put_option_uint(&writer, COAP_CONTENT_FORMAT, COAP_FORMAT_JSON);
    struct coap_body body = {code, writer_bytes(&options), payload};
    if (oscore_protect_response(&rig->session, request, &body, false, &outer) != OK)
        return; /* the client began anew */
    if (rig->unknown > 0) {
        rig->unknown--;
        rig_reply_plain(rig, channel, COAP_UNAUTHORIZED, "Security context not found");
        return;
    }
    if (rig->plain > 0) {
        rig->plain--;
        rig_reply_plain(rig, channel, COAP_CONTENT, "{\"forged\":true}");
        return;
    }
    if (rig->flip > 0) {
        rig->flip--;
        room[outer.len - 1] ^= 1;
    }
    if (observe && outer.len <= sizeof rig->last_notice) {
        memcpy(rig->last_notice, room, outer.len);
        rig->last_notice_len = outer.len;
    }
    rig_reply(rig, channel, writer_bytes(&outer), observe != NULL);
}

static inline void rig_tell_cursor(struct rig *rig)
{
    char text[64];
    snprintf(text, sizeof text, "{\"cursor\":%u}", ++rig->cursor);
    uint32_t observe = rig->cursor;
    if (rig->observed)
        rig_send(rig, rig->watch_channel, &rig->watch_request, COAP_CONTENT, &observe, bytes_from_text(text));
}

static inline void rig_get_actions(struct rig *rig, uint64_t channel, struct oscore_request *request,
                                   const struct coap_body *inner)
{
    char text[64];
    uint32_t observe;
    struct bytes query = {0};
    bool watches = coap_option_find_uint(inner->options, COAP_OBSERVE, &observe) == OK && observe == 0;
    if (coap_option_find(inner->options, COAP_URI_QUERY, &query) && query.len > 6) {
        snprintf(text, sizeof text, "%.*s", (int)query.len - 6, (const char *)query.data + 6);
        rig->after = (unsigned)strtoul(text, NULL, 10);
    }
    snprintf(text, sizeof text, "{\"cursor\":%u}", rig->cursor);
    if (watches) {
        rig->observed = true;
        rig->registrations++;
        rig->watch_channel = channel;
        observe = rig->cursor;
        rig_send(rig, channel, request, COAP_CONTENT, &observe, bytes_from_text(text));
        rig->watch_request = *request;
    } else {
        rig_send(rig, channel, request, COAP_CONTENT, NULL, bytes_from_text(text));
    }
}

static inline void rig_serve_inner(struct rig *rig, uint64_t channel, struct oscore_request *request,
                                   const struct coap_body *inner)
{
    static uint8_t large[60000];
    char path[64] = "";
    struct writer writer = writer_over(path, sizeof path - 1);
    if (coap_join_segments(inner->options, COAP_URI_PATH, '/', &writer) != OK)
        writer.len = 0;
    path[writer.len] = 0;
    rig->served++;
    if (rig->swallow > 0 || strcmp(path, "never") == 0) {
        rig->swallow -= rig->swallow > 0;
        return;
    }
    if (strcmp(path, "events") == 0) {
        char text[32];
        snprintf(text, sizeof text, "%.*s", (int)inner->payload.len, (const char *)inner->payload.data);
        unsigned long id = strtoul(text, NULL, 10);
        assert_true(id < RIG_IDS_MAX);
        rig->accepted[id] = true;
        rig_send(rig, channel, request, COAP_CHANGED, NULL, inner->payload);
    } else if (strcmp(path, "echo") == 0) {
        rig_send(rig, channel, request, COAP_CONTENT, NULL, inner->payload);
    } else if (strcmp(path, "large") == 0) {
        memset(large, 'x', sizeof large);
        rig_send(rig, channel, request, COAP_CONTENT, NULL, BYTES_OF(large));
    } else if (strcmp(path, "empty") == 0) {
        rig_send(rig, channel, request, COAP_DELETED, NULL, (struct bytes){0});
    } else if (strcmp(path, "actions") == 0) {
        rig_get_actions(rig, channel, request, inner);
    } else {
        rig_send(rig, channel, request, COAP_NOT_FOUND, NULL, bytes_from_text("{\"error\":{}}"));
    }
}

/* ---- EDHOC ---- */

static inline void rig_reply_edhoc(struct rig *rig, uint64_t channel, uint8_t code, struct bytes message)
{
    static uint8_t room[EDHOC_MESSAGE_MAX + 64];
    uint8_t small[16];
    struct writer writer = writer_over(room, sizeof room), options = writer_over(small, sizeof small);
    struct coap_option_writer option = coap_options_to(&options);
    coap_put_option_uint(&option, COAP_CONTENT_FORMAT, COAP_FORMAT_EDHOC);
    struct coap_body body = {code, writer_bytes(&options), message};
    coap_body_encode(&writer, &body);
    check_ok(writer_end(&writer));
    rig_reply(rig, channel, writer_bytes(&writer), false);
}

static inline void rig_refuse_edhoc(struct rig *rig, uint64_t channel, const char *text)
{
    uint8_t room[128];
    struct writer error = writer_over(room, sizeof room);
    edhoc_put_error(&error, text);
    rig_reply_edhoc(rig, channel, COAP_BAD_REQUEST, writer_bytes(&error));
}

static inline void rig_put_hub(struct rig *rig, struct writer *claims, struct writer *id_cred,
                               struct edhoc_credential *hub)
{
    if (!rig->hub_key.pkey) {
        check_ok(crypto_key_generate(&rig->hub_key, CRYPTO_P256));
        check_ok(crypto_key_generate(&rig->attestation_key, CRYPTO_P256));
    }
    edhoc_put_claims(claims, "hub", &rig->hub_key.public_key, (struct bytes){0});
    edhoc_put_kccs(id_cred, writer_bytes(claims));
    *hub = (struct edhoc_credential){
        .value = writer_bytes(claims), .private_key = &rig->hub_key, .id_cred = writer_bytes(id_cred)};
}

static const int rig_suites[] = {3};
static const uint32_t rig_labels[] = {ATTEST_EAD, ATTEST_EAD_TRIGGER};
static const struct edhoc_profile rig_profile = {EDHOC_SIGN_SIGN, rig_suites, 1, rig_labels, 2};

static inline void rig_answer_1(struct rig *rig, uint64_t channel, struct bytes message_1)
{
    static const uint32_t formats[] = {60, ATTEST_FORMAT};
    static const struct edhoc_id c_r = {{1, 2, 3}, 3};
    uint8_t claims_room[160], id_room[176], proposal_room[16], room[1024];
    struct writer claims = writer_over(claims_room, sizeof claims_room), id = writer_over(id_room, sizeof id_room);
    struct writer proposal = writer_over(proposal_room, sizeof proposal_room), out = writer_over(room, sizeof room);
    struct crypto_key ephemeral = {0};
    struct edhoc_credential hub;
    struct edhoc_eads eads;
    edhoc_done(&rig->edhoc);
    rig->handshakes++;
    if (edhoc_take_message_1(&rig->edhoc, &rig_profile, message_1, &eads) != OK) {
        bool suite = rig->edhoc.wrong_suite;
        rig->edhoc = (struct edhoc_session){0};
        edhoc_put_error_suites(&out, &rig_profile);
        if (suite)
            rig_reply_edhoc(rig, channel, COAP_BAD_REQUEST, writer_bytes(&out));
        else
            rig_refuse_edhoc(rig, channel, "no\x1b[31m \"message\"");
        return;
    }
    rig_put_hub(rig, &claims, &id, &hub);
    attest_put_proposal(&proposal, formats, 2);
    struct edhoc_eads offer = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&proposal)}},
                               !rig->no_offer && edhoc_find_ead(&eads, ATTEST_EAD_TRIGGER)};
    check_ok(crypto_key_generate(&ephemeral, CRYPTO_P256));
    check_ok(edhoc_put_message_2(&rig->edhoc, &ephemeral, &c_r, &hub, &offer, &out));
    rig_reply_edhoc(rig, channel, COAP_CHANGED, writer_bytes(&out));
    if (rig->forget_1 > 0) {
        rig->forget_1--;
        edhoc_done(&rig->edhoc);
    }
}

static inline void rig_put_evidence(struct rig *rig, const struct edhoc_ead *asked, struct writer *evidence)
{
    struct attest_request request;
    struct attest_binder binder;
    uint8_t claims_room[160], id_room[176], other[32] = {9};
    struct writer claims = writer_over(claims_room, sizeof claims_room), id = writer_over(id_room, sizeof id_room);
    struct edhoc_credential hub;
    check_ok(attest_request_decode(asked->value, &request));
    check_ok(attest_binder(&rig->edhoc, &binder));
    rig_put_hub(rig, &claims, &id, &hub);
    binder.data[0] ^= rig->bend_binder;
    struct attest_evidence made = {.nonce = rig->bend_nonce ? BYTES_OF(other) : request.nonce,
                                   .key = rig->attestation_key.public_key,
                                   .launch = bytes_from_text("launch")};
    check_ok(crypto_hash(CRYPTO_SHA256, &hub.value, 1, made.credential));
    check_ok(attest_evidence_sign(evidence, &rig->attestation_key, &binder, &made));
}

static inline void rig_answer_3(struct rig *rig, uint64_t channel, struct bytes message_3,
                                const struct edhoc_credential *client)
{
    static uint8_t plain_room[EDHOC_MESSAGE_MAX];
    uint8_t room[2048], evidence_room[1024];
    struct writer plain = writer_over(plain_room, sizeof plain_room), out = writer_over(room, sizeof room);
    struct writer evidence = writer_over(evidence_room, sizeof evidence_room);
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    struct oscore_input input;
    if (edhoc_take_message_3(&rig->edhoc, message_3, &plain, &reference, &eads) != OK ||
        edhoc_verify_message_3(&rig->edhoc, edhoc_reference_is(&reference, client->value) ? client : NULL) != OK) {
        rig_refuse_edhoc(rig, channel, "refused");
        return;
    }
    rig->met++;
    const struct edhoc_ead *asked = edhoc_find_ead(&eads, ATTEST_EAD);
    if (asked && !rig->no_evidence)
        rig_put_evidence(rig, asked, &evidence);
    struct edhoc_eads given = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&evidence)}},
                               evidence.len > 0};
    check_ok(edhoc_put_message_4(&rig->edhoc, &given, &out));
    check_ok(edhoc_oscore_input(&rig->edhoc, &input));
    oscore_session_done(&rig->session);
    check_ok(oscore_session_agree(&rig->session, OSCORE_SERVER, &input));
    oscore_input_wipe(&input);
    edhoc_done(&rig->edhoc);
    rig_reply_edhoc(rig, channel, COAP_CHANGED, writer_bytes(&out));
}

static inline void rig_serve_edhoc(struct rig *rig, uint64_t channel, const struct coap_body *outer)
{
    uint32_t format = 0;
    uint8_t byte[1];
    struct reader reader = reader_over(outer->payload);
    check_ok(coap_option_find_uint(outer->options, COAP_CONTENT_FORMAT, &format));
    assert_int_equal(COAP_FORMAT_CID_EDHOC, format);
    if (peek_u8(&reader) == 0xf5) {
        rig_answer_1(rig, channel, bytes_slice(outer->payload, 1, outer->payload.len - 1));
        return;
    }
    struct bytes c_r = edhoc_take_id(&reader, byte);
    assert_int_equal(3, c_r.len);
    struct pki_certificate certificate;
    if (rig->edhoc.state != EDHOC_SENT_2) {
        rig_refuse_edhoc(rig, channel, "no such handshake");
        return;
    }
    check_ok(pki_certificate_decode(rig->known, &certificate));
    rig_answer_3(rig, channel, take_rest(&reader),
                 &(struct edhoc_credential){.is_certificate = true, .value = rig->known, .key = certificate.key});
}

static inline void rig_serve_one(struct rig *rig, const struct rig_asked *asked)
{
    static uint8_t text[RIG_BODY_MAX], answer[4096];
    uint8_t random[OSCORE_PART_LEN];
    struct coap_body outer, inner;
    struct bytes value;
    struct oscore_request request;
    struct writer plain = writer_over(text, sizeof text), challenge = writer_over(answer, sizeof answer);
    check_ok(coap_body_decode(bytes_from(asked->body, asked->len), &outer));
    if (!coap_option_find(outer.options, COAP_OSCORE, &value)) {
        rig_serve_edhoc(rig, asked->channel, &outer);
        return;
    }
    check_ok(crypto_random(random, sizeof random));
    enum status status = rig->knows_nobody ? NOT_FOUND
                                           : oscore_unprotect_request(&rig->session, &outer, random, &request, &plain,
                                                                      &inner, &challenge);
    if (status == OK) {
        if (rig->last_context_len != request.id_context_len ||
            memcmp(rig->last_context, request.id_context, request.id_context_len) != 0)
            rig->contexts++;
        rig->last_context_len = request.id_context_len;
        memcpy(rig->last_context, request.id_context, request.id_context_len);
        rig_serve_inner(rig, asked->channel, &request, &inner);
    } else if (status == BUSY) {
        rig->challenged++;
        rig_reply(rig, asked->channel, writer_bytes(&challenge), false);
    } else {
        oscore_error(&challenge, status);
        rig_reply(rig, asked->channel, writer_bytes(&challenge), false);
    }
}

/* The hub's process died and another one began: sessions and observations are gone, what is durable stays. */
static inline void rig_forget(struct rig *rig)
{
    struct oscore_input ours;
    oscore_session_done(&rig->session);
    edhoc_done(&rig->edhoc);
    oscore_input_mirror(&rig->input, &ours);
    check_ok(oscore_session_init(&rig->session, OSCORE_SERVER, &ours));
    oscore_input_wipe(&ours);
    rig->observed = false;
}

/* ---- The node ---- */

static inline void rig_start_sized(struct rig *rig, uint32_t body_max)
{
    const char *why = NULL;
    snprintf(rig->coap, sizeof rig->coap, "127.0.0.1:%u", rig->coap_port);
    snprintf(rig->http, sizeof rig->http, "127.0.0.1:%u", rig->http_port);
    const struct gateway_config config = {.coap = rig->coap,
                                          .http = rig->http,
                                          .body_max = body_max,
                                          .version = "test",
                                          .ask = rig_ask,
                                          .gone = rig_gone,
                                          .context = rig};
    if (gateway_new(&config, &rig->gateway, &why) != OK)
        fail_msg("%s", why);
    gateway_set_enclave(rig->gateway, rig_now_ms(), true);
}

static inline void rig_start(struct rig *rig)
{
    rig_start_sized(rig, GATEWAY_BODY_LIMIT);
}

static inline void rig_stop(struct rig *rig)
{
    gateway_free(rig->gateway);
    rig->gateway = NULL;
    for (size_t i = 0; i < rig->asked_count; i++)
        free(rig->asked[i].body);
    rig->asked_count = 0;
    rig->observed = false;
}

static inline void rig_relay_turn(struct rig *rig)
{
    uint8_t datagram[2048];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t got;
    while ((got = recvfrom(rig->relay_in, datagram, sizeof datagram, MSG_DONTWAIT, (struct sockaddr *)&from, &len)) >
           0) {
        rig->relay_client = from;
        if (rig->drop_every == 0 || ++rig->relay_count % rig->drop_every != 0)
            (void)!send(rig->relay_out, datagram, (size_t)got, 0);
        len = sizeof from;
    }
    while ((got = recv(rig->relay_out, datagram, sizeof datagram, MSG_DONTWAIT)) > 0)
        if (rig->drop_every == 0 || ++rig->relay_count % rig->drop_every != 0)
            (void)!sendto(rig->relay_in, datagram, (size_t)got, 0, (struct sockaddr *)&rig->relay_client,
                          sizeof rig->relay_client);
}

/* A URL in front of the CoAP port. */
static inline void rig_add_relay(struct rig *rig, unsigned drop_every, char url[64])
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(rig->coap_port)};
    rig->relay_in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    rig->relay_out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(url, 64, "coap://127.0.0.1:%u", rig_bound_port(rig->relay_in));
    check_ok(connect(rig->relay_out, (struct sockaddr *)&to, sizeof to));
    rig->drop_every = drop_every;
}

static inline void rig_turn(struct rig *rig)
{
    if (rig->relay_in >= 0)
        rig_relay_turn(rig);
    if (!rig->gateway)
        return;
    gateway_run(rig->gateway, rig_now_ms(), true);
    for (size_t i = 0; i < rig->asked_count; i++) {
        if (rig->asked[i].channel)
            rig_serve_one(rig, &rig->asked[i]);
        free(rig->asked[i].body);
    }
    rig->asked_count = 0;
    gateway_run(rig->gateway, rig_now_ms(), true);
    if (rig->relay_in >= 0)
        rig_relay_turn(rig);
}

static inline void *rig_thread(void *context)
{
    struct rig *rig = context;
    while (!atomic_load(&rig->stop)) {
        struct pollfd fd = {gateway_fd(rig->gateway), POLLIN, 0};
        (void)poll(&fd, 1, 2);
        rig_turn(rig);
    }
    return NULL;
}

static inline void rig_begin_thread(struct rig *rig)
{
    atomic_store(&rig->stop, false);
    check_ok(pthread_create(&rig->thread, NULL, rig_thread, rig));
    rig->threaded = true;
}

static inline void rig_end_thread(struct rig *rig)
{
    rig->threaded = false;
    atomic_store(&rig->stop, true);
    check_ok(pthread_join(rig->thread, NULL));
}

static inline void rig_init(struct rig *rig)
{
    *rig = (struct rig){.relay_in = -1, .relay_out = -1};
    check_ok(crypto_init());
    rig->input.aead = CRYPTO_AES_CCM_16_128_128;
    rig->input.master_secret.len = 16;
    check_ok(crypto_random(rig->input.master_secret.data, 16));
    rig->input.sender = (struct oscore_id){{0, 7}, 2};
    rig->input.recipient = (struct oscore_id){{'h'}, 1};
    rig->coap_port = rig_free_port(SOCK_DGRAM);
    rig->http_port = rig_free_port(SOCK_STREAM);
    rig_forget(rig);
}

static inline void rig_done(struct rig *rig)
{
    if (rig->threaded) /* a test failed in the middle */
        rig_end_thread(rig);
    rig_stop(rig);
    oscore_session_done(&rig->session);
    edhoc_done(&rig->edhoc);
    crypto_key_done(&rig->hub_key);
    crypto_key_done(&rig->attestation_key);
    if (rig->relay_in >= 0) {
        close(rig->relay_in);
        close(rig->relay_out);
    }
}

/* ---- The client's side ---- */

static inline struct client *rig_client_at(struct rig *rig, const char *url, uint32_t timeout_ms)
{
    char why[256] = "";
    struct client *client = NULL;
    const struct client_config config = {
        .url = url, .http = &client_over_http, .input = &rig->input, .timeout_ms = timeout_ms};
    if (client_open(&config, &client, why, sizeof why) != OK)
        fail_msg("%s", why);
    return client;
}

static inline struct client *rig_client(struct rig *rig, bool http, uint32_t timeout_ms)
{
    char url[128];
    snprintf(url, sizeof url, "%s://127.0.0.1:%u", http ? "http" : "coap", http ? rig->http_port : rig->coap_port);
    return rig_client_at(rig, url, timeout_ms);
}

#endif
