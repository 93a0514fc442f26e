/* The device's client, which appraises what it is shown, before a gateway that the test plays (hostile_gateway.h). */
#ifndef BASTIDE_TESTS_HOSTILE_RIG_H
#define BASTIDE_TESTS_HOSTILE_RIG_H

#include "hostile_gateway.h"

#include "client.h"
#include "client_http.h"

#define PATIENCE_MS 20000 /* of a test, for one request to end */

/* What the device was told beforehand, and saw. */

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

/* Both sides in turn; only when nothing has happened for a while does the client wait. */
static inline void play_on(struct client *client)
{
    static unsigned idle;
    idle = gateway_turn() ? 0 : idle + 1;
    check_ok(client_run(client, idle > 30 ? 1 : 0));
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
