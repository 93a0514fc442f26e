/* Real hubs and a real client, and between them a gateway that the test plays: it may hold back, repeat, exchange and
 * invent whatever passes it. The home site certified its hub and one device; the others are where a gateway might lead
 * that device instead. Each hub's evidence is of a node with a TPM's and a monitor's keys, and is appraised. */
#ifndef BASTIDE_TESTS_HOSTILE_RIG_H
#define BASTIDE_TESTS_HOSTILE_RIG_H

#include "hub_device.h"

#include "client.h"
#include "client_http.h"
#include "evidence_rig.h"
#include "gateway.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#define BODY_CAP 16384
#define ASKED_MAX 64
#define PATIENCE_MS 20000 /* of a test, for one request to end */

/* ---- Places: a hub on a node ---- */

enum { HOME, OTHER_OWNER, OTHER_SITE, TWIN, PLACES }; /* TWIN: the same owner and site, on another node */

static struct place {
    struct rig *hub;
    struct rig_peer owner;
    struct node node;
    uint8_t configuration[IMAGE_CONFIGURATION_MAX];
    void (*bend)(struct eat_report *report); /* what else its monitor says */
    bool other_boot;                         /* the TPM quotes a boot chain that nobody knows */
    const struct crypto_key *signed_by;      /* NULL: its report key */
} places[PLACES];

static struct rig other_hubs[PLACES];

static inline enum status report_of(const struct rig *hub, const struct monitor_report *asked, struct writer *evidence)
{
    size_t at = 0;
    while (places[at].hub != hub)
        at++;
    const struct place *place = &places[at];
    struct eat_report report = sample();
    struct image_configuration configuration;
    uint8_t room[EAT_EVIDENCE_MAX];
    TRY(image_configuration_decode(hub->configuration, &configuration));
    memcpy(report.config, configuration.config_id, sizeof report.config);
    memcpy(report.user_data, asked->user_data, sizeof report.user_data);
    memcpy(report.nonce, asked->nonce, asked->nonce_len);
    report.nonce_len = asked->nonce_len;
    if (place->bend)
        place->bend(&report);
    node = place->node;
    pcr_value[0] ^= place->other_boot;
    struct bytes whole = made(&report, place->signed_by ? place->signed_by : &node.report_key, room);
    pcr_value[0] ^= place->other_boot;
    put_bytes(evidence, whole);
    return writer_end(evidence);
}

static inline void launch(struct place *place)
{
    assert_int_equal(0, rig_start(place->hub));
    rig_peer_done(&place->owner);
    rig_meet(place->hub, &place->owner);
}

static inline void make_place(unsigned at, unsigned owner_number, uint8_t site, bool certified)
{
    static uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    struct place *place = &places[at];
    place->hub = &other_hubs[at];
    rig_init(place->hub);
    place->hub->owner = owner_number;
    place->hub->configuration = rig_put_configuration(owner_number, site, place->configuration);
    place->hub->reporter = report_of;
    launch(place);
    if (certified)
        rig_certify_site(place->hub, &place->owner, &certificate);
}

static uint8_t device_room[PKI_CERTIFICATE_MAX];
static struct bytes device_certificate;

static inline int set_up_places(void **state)
{
    set_up_site(state);
    device_certificate = enrolled("thermometer", device_room);
    memset(places, 0, sizeof places);
    for (unsigned at = 0; at < PLACES; at++) {
        if (start(state) != 0)
            return 1;
        places[at].node = node;
    }
    places[HOME].hub = &rig;
    rig.reporter = report_of;
    launch(&places[HOME]);
    make_place(OTHER_OWNER, 1, RIG_SITE, true);
    make_place(OTHER_SITE, 0, RIG_SITE + 1, true);
    make_place(TWIN, 0, RIG_SITE, true);
    return 0;
}

static inline void tear_down_places(void **state)
{
    for (unsigned at = 0; at < PLACES; at++) {
        node = places[at].node;
        (void)stop(state);
        rig_peer_done(&places[at].owner);
        if (at != HOME)
            rig_done(places[at].hub);
    }
    (void)tear_down(state);
}

/* As the owner of that place sees it; his own session counts. */
static inline int64_t state_of(unsigned at, const char *name)
{
    struct place *place = &places[at];
    json_t *json = rig_expect(place->hub, &place->owner, COAP_CONTENT, COAP_GET, "status", NULL, NULL);
    json_t *counts = json_object_get(json, "counts");
    int64_t value = number(json_object_get(counts, name) ? counts : json, name);
    json_decref(json);
    return value;
}

/* ---- The gateway ---- */

enum said { MESSAGE_1, MESSAGE_3, PROTECTED, KINDS };

struct exchange {
    enum said kind;
    unsigned nth;     /* of this kind, from 0 */
    uint64_t channel; /* of the gateway's, where the client waits */
    enum door_transport transport;
    struct rig *to; /* NULL: it goes nowhere */
    uint8_t request[BODY_CAP], answer[BODY_CAP];
    size_t request_len, answer_len; /* CoAP bodies; no answer: 0 */
};

static struct {
    struct gateway *gateway;
    in_port_t coap_port, http_port;
    struct {
        uint64_t channel;
        enum door_transport transport;
        struct bytes body;
    } asked[ASKED_MAX];
    size_t asked_count;
    unsigned sent[KINDS];              /* by the client, since the play began */
    void (*before)(struct exchange *); /* the hub gets it; may change all of it */
    void (*after)(struct exchange *);  /* the client gets the answer */
    uint8_t kept[KINDS][BODY_CAP];     /* what a play recorded: requests, and the answers to them */
    uint8_t kept_answers[KINDS][BODY_CAP];
    size_t kept_len[KINDS], kept_answer_len[KINDS];
} between;

static inline enum status take_asked(void *context, uint64_t channel, enum door_transport transport, struct bytes body)
{
    (void)context;
    assert_true(between.asked_count < ASKED_MAX);
    uint8_t *copy = malloc(body.len);
    assert_non_null(copy);
    memcpy(copy, body.data, body.len);
    between.asked[between.asked_count].channel = channel;
    between.asked[between.asked_count].transport = transport;
    between.asked[between.asked_count++].body = bytes_from(copy, body.len);
    return OK;
}

static inline void take_gone(void *context, uint64_t channel)
{
    (void)context;
    for (size_t i = 0; i < between.asked_count; i++)
        if (between.asked[i].channel == channel)
            between.asked[i].channel = 0;
}

static inline uint64_t clock_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline in_port_t free_port(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    check_ok(bind(fd, (struct sockaddr *)&address, sizeof address));
    check_ok(getsockname(fd, (struct sockaddr *)&address, &len));
    close(fd);
    return ntohs(address.sin_port);
}

static inline void open_gateway(void)
{
    const char *why = NULL;
    char coap[32], http[32];
    memset(&between, 0, sizeof between);
    between.coap_port = free_port(SOCK_DGRAM);
    between.http_port = free_port(SOCK_STREAM);
    snprintf(coap, sizeof coap, "127.0.0.1:%u", between.coap_port);
    snprintf(http, sizeof http, "127.0.0.1:%u", between.http_port);
    const struct gateway_config wanted = {
        .coap = coap, .http = http, .body_max = 65536, .version = "hostile", .ask = take_asked, .gone = take_gone};
    if (gateway_new(&wanted, &between.gateway, &why) != OK)
        fail_msg("%s", why);
    gateway_set_enclave(between.gateway, clock_now_ms(), true);
}

static inline void close_gateway(void)
{
    gateway_free(between.gateway);
    between.gateway = NULL;
    for (size_t i = 0; i < between.asked_count; i++)
        free((void *)(uintptr_t)between.asked[i].body.data);
    between.asked_count = 0;
}

static inline void relay(struct exchange *exchange)
{
    struct writer writer = writer_over(exchange->answer, sizeof exchange->answer);
    exchange->answer_len = 0;
    rig_request(exchange->to, ++exchange->to->channel, exchange->transport,
                bytes_from(exchange->request, exchange->request_len));
    rig_run(exchange->to);
    if (rig_take(exchange->to, exchange->to->channel, &writer, NULL))
        exchange->answer_len = writer.len;
}

static inline enum said kind_of(struct bytes body)
{
    struct coap_body outer;
    struct bytes protected;
    check_ok(coap_body_decode(body, &outer));
    if (coap_option_find(outer.options, COAP_OSCORE, &protected))
        return PROTECTED;
    assert_true(outer.payload.len > 0);
    return outer.payload.data[0] == 0xf5 ? MESSAGE_1 : MESSAGE_3;
}

static inline void tell(uint64_t channel, struct bytes answer)
{
    (void)!gateway_reply(between.gateway, clock_now_ms(), channel, answer, false); /* a client may have left */
}

static inline void answer_one(uint64_t channel, enum door_transport transport, struct bytes body)
{
    static struct exchange exchange;
    exchange.kind = kind_of(body);
    exchange.nth = between.sent[exchange.kind]++;
    exchange.transport = transport;
    exchange.channel = channel;
    exchange.to = places[HOME].hub;
    exchange.request_len = body.len;
    exchange.answer_len = 0;
    assert_true(body.len <= sizeof exchange.request);
    memcpy(exchange.request, body.data, body.len);
    if (between.before)
        between.before(&exchange);
    if (exchange.to)
        relay(&exchange);
    if (between.after)
        between.after(&exchange);
    if (exchange.answer_len)
        tell(channel, bytes_from(exchange.answer, exchange.answer_len));
}

static inline bool gateway_turn(void)
{
    bool busy = false;
    gateway_run(between.gateway, clock_now_ms(), true);
    for (size_t i = 0; i < between.asked_count; i++) {
        if (between.asked[i].channel)
            answer_one(between.asked[i].channel, between.asked[i].transport, between.asked[i].body);
        free((void *)(uintptr_t)between.asked[i].body.data);
        busy = true;
    }
    between.asked_count = 0;
    gateway_run(between.gateway, clock_now_ms(), true);
    return busy;
}

/* ---- What a play does to a message ---- */

/* The payload of a body, in place. */
static inline uint8_t *payload_of(uint8_t *body, size_t len, size_t *payload_len)
{
    struct coap_body decoded;
    check_ok(coap_body_decode(bytes_from(body, len), &decoded));
    *payload_len = decoded.payload.len;
    return body + (len - decoded.payload.len); /* it is what a body ends with */
}

static inline void set_answer(struct exchange *exchange, uint8_t code, uint32_t format, struct bytes payload)
{
    uint8_t room[16];
    struct writer options = writer_over(room, sizeof room);
    struct writer body = writer_over(exchange->answer, sizeof exchange->answer);
    struct coap_option_writer option = coap_options_to(&options);
    coap_put_option_uint(&option, COAP_CONTENT_FORMAT, format);
    const struct coap_body made_up = {code, writer_bytes(&options), payload};
    coap_body_encode(&body, &made_up);
    check_ok(writer_end(&body));
    exchange->answer_len = body.len;
}

static inline void keep_exchange(const struct exchange *exchange)
{
    enum said kind = exchange->kind;
    memcpy(between.kept[kind], exchange->request, between.kept_len[kind] = exchange->request_len);
    memcpy(between.kept_answers[kind], exchange->answer, between.kept_answer_len[kind] = exchange->answer_len);
}

/* ---- The client: the device, and what it was told beforehand ---- */

static struct {
    bool offers_by_value;
    uint64_t now_s;
    struct evidence_freshness seen;
    uint32_t reasons; /* of the evidence it judged last */
    uint32_t x509;    /* of the chain */
    unsigned met, judged;
} device;

static inline void first_sentence(uint32_t reasons, const struct evidence_policy *policy,
                                  const struct evidence_result *result, char *why, size_t cap)
{
    unsigned reason = 0;
    while (reason + 1 < EVIDENCE_REASON_COUNT && !(reasons >> reason & 1))
        reason++;
    evidence_sentence((enum evidence_reason)reason, policy, result, why, cap);
}

static inline struct image_configuration home(void)
{
    struct image_configuration configuration;
    check_ok(image_configuration_decode(rig.configuration, &configuration));
    return configuration;
}

static inline bool is_revoked(void *context, const struct pki_certificate *certificate)
{
    const struct bytes *serial = context;
    return bytes_equal(*serial, certificate->serial);
}

static struct bytes revoked_serial;

static inline enum status meet_hub(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    const struct image_configuration configuration = home();
    const struct x509_policy policy = {.anchor = configuration.certificate,
                                       .site = BYTES_OF(configuration.site),
                                       .roles = 1u << X509_HUB,
                                       .usage = PKI_DIGITAL_SIGNATURE,
                                       .now_s = (int64_t)device.now_s,
                                       .is_revoked = revoked_serial.len ? is_revoked : NULL,
                                       .context = &revoked_serial};
    struct x509_result result;
    (void)user;
    device.met++;
    device.x509 = 0;
    if (hub->reference->kind == EDHOC_KCCS)
        return OK; /* the evidence alone speaks for it, as at first contact */
    if (x509_check_chain(hub->reference->certificates, hub->reference->certificates_count, &policy, &result) == OK)
        return OK;
    device.x509 = result.reasons;
    unsigned reason = 0;
    while (reason + 1 < X509_REASON_COUNT && !(result.reasons >> reason & 1))
        reason++;
    x509_sentence((enum x509_reason)reason, &policy, &result, why, cap);
    return DENIED;
}

static inline enum status judge(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct image_configuration configuration = home();
    const struct evidence_session session = {hub->evidence, hub->binder, hub->credential};
    struct evidence_result result;
    (void)user;
    node = places[HOME].node;
    struct evidence_policy policy = strict(digest);
    policy.config = BYTES_OF(configuration.config_id);
    policy.nonce = hub->nonce;
    policy.seen = device.seen;
    enum status status = evidence_appraise_session(&session, &policy, &result);
    device.judged++;
    device.reasons = result.reasons;
    if (status == DENIED)
        first_sentence(result.reasons, &policy, &result, why, cap);
    return status;
}

static inline struct client *open_device(bool http, uint32_t timeout_ms)
{
    static const int suites[] = {3};
    static uint8_t id_room[32], by_value_room[PKI_CERTIFICATE_MAX + 16];
    static struct client_edhoc agreed;
    struct writer id = writer_over(id_room, sizeof id_room),
                  by_value = writer_over(by_value_room, sizeof by_value_room);
    char url[64], why[256] = "";
    struct client *client = NULL;
    edhoc_put_x5t(&id, device_certificate);
    edhoc_put_x5chain(&by_value, &device_certificate, 1);
    agreed = (struct client_edhoc){.suites = suites,
                                   .suites_count = 1,
                                   .own = {.is_certificate = true,
                                           .value = device_certificate,
                                           .private_key = &device_key,
                                           .id_cred = writer_bytes(&id)},
                                   .own_by_value = device.offers_by_value ? writer_bytes(&by_value) : (struct bytes){0},
                                   .meet = meet_hub,
                                   .appraise = judge};
    snprintf(url, sizeof url, "%s://127.0.0.1:%u", http ? "http" : "coap",
             http ? between.http_port : between.coap_port);
    const struct client_config wanted = {
        .url = url, .edhoc = &agreed, .http = &client_over_http, .timeout_ms = timeout_ms};
    if (client_open(&wanted, &client, why, sizeof why) != OK)
        fail_msg("%s", why);
    return client;
}

struct outcome {
    bool over;
    enum status status;
    uint8_t code;
    char why[256];
    struct client *client;
};

static inline void take_outcome(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct outcome *outcome = user;
    assert_false(more);
    outcome->over = true;
    outcome->status = status;
    outcome->code = status == OK ? answer->code : 0;
    snprintf(outcome->why, sizeof outcome->why, "%s", client_why(outcome->client));
}

static inline void begin_event(struct client *client, struct outcome *outcome)
{
    static unsigned id;
    char body[96];
    *outcome = (struct outcome){.client = client};
    snprintf(body, sizeof body, "{\"id\":\"event-%u\",\"type\":\"t\",\"properties\":{}}", ++id);
    const struct client_request request = {
        .code = COAP_POST, .path = "events", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    check_ok(client_begin(client, &request, take_outcome, outcome));
}

static inline void play_on(struct client *client)
{
    check_ok(client_run(client, gateway_turn() ? 0 : 1));
}

/* One event, to its end. */
static inline struct outcome ask_once(struct client *client)
{
    struct outcome outcome;
    uint64_t begun_ms = clock_now_ms();
    begin_event(client, &outcome);
    while (!outcome.over) {
        play_on(client);
        assert_true(clock_now_ms() - begun_ms < PATIENCE_MS);
    }
    return outcome;
}

static inline void begin_play(void (*before)(struct exchange *), void (*after)(struct exchange *))
{
    memset(between.sent, 0, sizeof between.sent);
    between.before = before;
    between.after = after;
}

static inline int set_up_hostile(void **state)
{
    memset(&device, 0, sizeof device);
    revoked_serial = (struct bytes){0};
    if (set_up_places(state) != 0)
        return 1;
    device.now_s = rig.now_ms / 1000;
    open_gateway();
    return 0;
}

static inline int tear_down_hostile(void **state)
{
    close_gateway();
    tear_down_places(state);
    return 0;
}

/* After whatever was played: with the gateway honest again, the same client gets through, and its hub took one event
 * more and keeps no half of a handshake. */
static inline void honest_again(struct client *client)
{
    int64_t events = state_of(HOME, "events");
    begin_play(NULL, NULL);
    struct outcome outcome = ask_once(client);
    if (outcome.status != OK)
        fail_msg("honest again, and yet: %s", outcome.why);
    assert_int_equal(COAP_CHANGED, outcome.code);
    assert_int_equal(events + 1, state_of(HOME, "events"));
    for (unsigned at = 0; at < PLACES; at++) {
        places[at].hub->now_ms += HUB_HANDSHAKE_MS + 1;
        assert_int_equal(0, state_of(at, "handshakes"));
    }
}

#endif
