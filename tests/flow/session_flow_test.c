/* A session's whole life: the client a device links, the node's gateway and the enclave's hub, by turns in one process.
 * Keys and tags wear out, the hub is killed at every step, strangers flood it; the client begins anew by itself, and
 * what it sends arrives once. */
#include "../hub_device.h"
#include "client_http.h"
#include "client_internal.h"
#include "gateway.h"

#include <arpa/inet.h>
#include <poll.h>
#include <time.h>

#define PATIENCE_MS 8000u

static struct gateway *gateway;
static char coap_at[64], http_at[64];
static unsigned arrived;   /* requests, messages of handshakes among them */
static unsigned kill_at;   /* the hub is killed before it sees request n (2n), or before its answer leaves (2n + 1) */
static unsigned launches;  /* after the first */
static unsigned appraised; /* handshakes as far as message 4 */
static uint8_t certificate_room[PKI_CERTIFICATE_MAX];
static struct bytes certificate;
static const int gcm[] = {6}, ccm_8[] = {2};

/* ---- The node ---- */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static enum status take(void *context, uint64_t channel, enum door_transport transport, struct bytes body)
{
    (void)context;
    arrived++;
    rig.dead |= 2 * arrived == kill_at;
    if (!rig.dead)
        rig_request(&rig, channel, transport, body);
    return OK;
}

static void gone(void *context, uint64_t channel)
{
    struct door_header header = {.operation = DOOR_GONE, .id = channel};
    (void)context;
    if (!rig.dead)
        hub_receive(rig.hub, &header, (struct bytes){0});
}

static void relaunch(void)
{
    launches++;
    gateway_set_enclave(gateway, now_ms(), false);
    restart(); /* what it had to say is lost */
    gateway_set_enclave(gateway, now_ms(), true);
}

/* What arrived is served and answered. The hub's clock stands still but where a test moves it. */
static void node_turn(void)
{
    unsigned before = arrived;
    gateway_run(gateway, now_ms(), true);
    rig_run(&rig);
    if (rig.dead || (arrived != before && 2 * arrived + 1 == kill_at))
        relaunch();
    for (size_t i = 0; i < rig.box_count; i++) {
        (void)!gateway_reply(gateway, now_ms(), rig.boxes[i].channel, bytes_from(rig.boxes[i].body, rig.boxes[i].len),
                             rig.boxes[i].more);
        free(rig.boxes[i].body);
    }
    rig.box_count = 0;
    gateway_run(gateway, now_ms(), true);
}

static in_port_t free_port(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    check_ok(bind(fd, (struct sockaddr *)&address, len));
    check_ok(getsockname(fd, (struct sockaddr *)&address, &len));
    close(fd);
    return ntohs(address.sin_port);
}

static int start_node(void **state)
{
    const char *why = "";
    set_up_site(state);
    rig.channel = 1ull << 40; /* apart from the gateway's channels */
    certificate = enrolled("device", certificate_room);
    arrived = kill_at = launches = appraised = 0;
    snprintf(coap_at, sizeof coap_at, "127.0.0.1:%u", free_port(SOCK_DGRAM));
    snprintf(http_at, sizeof http_at, "127.0.0.1:%u", free_port(SOCK_STREAM));
    const struct gateway_config config = {.coap = coap_at,
                                          .http = http_at,
                                          .body_max = GATEWAY_BODY_DEFAULT,
                                          .version = "test",
                                          .ask = take,
                                          .gone = gone};
    if (gateway_new(&config, &gateway, &why) != OK)
        fail_msg("%s", why);
    gateway_set_enclave(gateway, now_ms(), true);
    return 0;
}

static int stop_node(void **state)
{
    gateway_free(gateway);
    return tear_down(state);
}

/* ---- The device ---- */

static enum status appraise(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    struct attest_evidence evidence;
    (void)user;
    appraised++;
    snprintf(why, cap, "this is not the evidence of this session");
    TRY(attest_evidence_open(hub->evidence, hub->binder, &evidence));
    return bytes_equal(hub->nonce, evidence.nonce) ? OK : DENIED;
}

static struct client *open_device(bool http, const int suites[1])
{
    static struct client_edhoc edhoc;
    static uint8_t id_room[32];
    char url[80], why[256] = "";
    struct client *client = NULL;
    struct writer id = writer_over(id_room, sizeof id_room);
    edhoc_put_x5t(&id, certificate);
    edhoc = (struct client_edhoc){
        .suites = suites,
        .suites_count = 1,
        .own = {.is_certificate = true, .value = certificate, .private_key = &device_key, .id_cred = writer_bytes(&id)},
        .appraise = appraise};
    snprintf(url, sizeof url, "%s://%s", http ? "http" : "coap", http ? http_at : coap_at);
    const struct client_config config = {
        .url = url, .http = &client_over_http, .edhoc = &edhoc, .timeout_ms = PATIENCE_MS};
    if (client_open(&config, &client, why, sizeof why) != OK)
        fail_msg("%s", why);
    return client;
}

struct answer {
    bool over;
    enum status status;
    uint8_t code;
    char text[256];
};

static void keep_answer(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct answer *kept = user;
    (void)more;
    kept->over = true;
    kept->status = status;
    if (!answer)
        return;
    kept->code = answer->code;
    snprintf(kept->text, sizeof kept->text, "%s", (const char *)answer->payload.data);
}

/* An event with an id of its own, as devices should send them. */
static void begin_event(struct client *client, const char *id, struct answer *answer)
{
    char body[128];
    snprintf(body, sizeof body, "{\"id\":\"%s\",\"type\":\"reading\",\"properties\":{\"value\":1}}", id);
    const struct client_request request = {
        .code = COAP_POST, .path = "events", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    *answer = (struct answer){0};
    check_ok(client_begin(client, &request, keep_answer, answer));
}

static void turn(struct client *client)
{
    struct pollfd fd = {gateway_fd(gateway), POLLIN, 0};
    check_ok(client_run(client, 1));
    (void)poll(&fd, 1, 1);
    node_turn();
}

static void send_event(struct client *client, const char *id)
{
    struct answer answer;
    begin_event(client, id, &answer);
    while (!answer.over)
        turn(client);
    if (answer.status != OK)
        fail_msg("%s: %s", id, client_why(client));
    assert_int_equal(COAP_CHANGED, answer.code);
}

static size_t events_of_device(void)
{
    json_t *json = history("source=device");
    size_t count = rows(json);
    json_decref(json);
    return count;
}

/* ---- Limits ---- */

static void the_last_sequence_number_is_used_and_what_comes_next_has_a_new_session(void **state)
{
    (void)state;
    for (unsigned http = 0; http < 2; http++) {
        struct client *client = open_device(http, gcm);
        send_event(client, http ? "a0" : "b0");
        assert_int_equal(2 * http + 1, appraised);
        client->session.current.sequence = OSCORE_SEQUENCE_MAX;
        send_event(client, http ? "a1" : "b1");
        assert_int_equal(2 * http + 1, appraised);
        send_event(client, http ? "a2" : "b2"); /* one past */
        assert_int_equal(2 * http + 2, appraised);
        assert_true(client->session.current.sequence < 4);
        client_close(client);
    }
    assert_int_equal(6, events_of_device());
}

/* Someone on the way answers in the hub's place: what does not verify counts. */
static void forge_answer(struct client *client, const char *id)
{
    struct answer answer;
    unsigned before = arrived;
    begin_event(client, id, &answer);
    while (arrived == before) {
        check_ok(client_run(client, 1));
        gateway_run(gateway, now_ms(), true);
    }
    rig_run(&rig);
    assert_int_equal(1, rig.box_count);
    rig.boxes[0].body[rig.boxes[0].len - 1] ^= 1;
    while (!answer.over)
        turn(client);
    check_ok(answer.status);
}

static void an_eight_byte_tag_that_wore_out_ends_the_session(void **state)
{
    (void)state;
    struct client *client = open_device(false, ccm_8);
    send_event(client, "0");
    assert_int_equal(CRYPTO_AES_CCM_16_64_128, client->session.input.aead);
    client->session.current.failures = OSCORE_CCM8_FAILURES - 2;
    forge_answer(client, "1");
    assert_int_equal(1, appraised);
    client->session.current.failures = OSCORE_CCM8_FAILURES - 1;
    forge_answer(client, "2"); /* the last that it stands */
    assert_int_equal(2, appraised);
    assert_int_equal(0, client->session.current.failures);
    client_close(client);
    assert_int_equal(3, events_of_device());
}

static void forget_boxes(void)
{
    for (size_t i = 0; i < rig.box_count; i++)
        free(rig.boxes[i].body);
    rig.box_count = 0;
}

/* The hub's side: whoever knows the kid can wear its tag out, which costs the device a handshake and nothing else. */
static void forgeries_that_reach_the_hub_cost_a_handshake(void **state)
{
    (void)state;
    static uint8_t room[512];
    static const uint8_t random[OSCORE_PART_LEN];
    struct client *client = open_device(false, ccm_8);
    struct writer outer = writer_over(room, sizeof room);
    struct oscore_request request;
    send_event(client, "0");
    check_ok(oscore_protect_request(&client->session, &(struct coap_body){.code = COAP_GET}, random, &request, &outer));
    room[outer.len - 1] ^= 1;
    for (unsigned i = 1; i <= OSCORE_CCM8_FAILURES; i++) {
        if (i == OSCORE_CCM8_FAILURES) {
            send_event(client, "1"); /* one before the limit */
            assert_int_equal(1, appraised);
        }
        rig_request(&rig, ++rig.channel, DOOR_COAP, writer_bytes(&outer));
        rig_run(&rig);
        assert_int_equal(1, rig.box_count);
        forget_boxes();
    }
    send_event(client, "2");
    assert_int_equal(2, appraised);
    client_close(client);
    assert_int_equal(3, events_of_device());
}

/* ---- Restarts ---- */

static void a_hub_that_is_launched_again_is_met_again_unasked(void **state)
{
    (void)state;
    for (unsigned http = 0; http < 2; http++) {
        struct client *client = open_device(http, gcm);
        send_event(client, http ? "a0" : "b0");
        relaunch();
        send_event(client, http ? "a1" : "b1");
        assert_int_equal(2 * http + 2, appraised);
        client_close(client);
    }
    assert_int_equal(4, events_of_device());
}

static void wherever_the_hub_is_killed_the_event_arrives_once(void **state)
{
    (void)state;
    size_t sent = 0;
    for (unsigned step = 2; step < 10; step++) /* message 1, message 3, the event, and one that never comes */
        for (unsigned http = 0; http < 2; http++) {
            char id[16];
            snprintf(id, sizeof id, "%u-%u", step, http);
            struct client *client = open_device(http, gcm);
            arrived = launches = appraised = 0;
            kill_at = step;
            send_event(client, id);
            kill_at = 0;
            assert_int_equal(step < 8, launches);
            assert_int_equal(step == 6 || step == 7 ? 2 : 1, appraised); /* killed with the session, or before it */
            client_close(client);
            assert_int_equal(++sent, events_of_device());
        }
}

/* ---- Floods ---- */

static void half_a_handshake_from_everywhere(void)
{
    static struct rig_handshake flood;
    struct bytes answer;
    for (size_t i = 0; i < HUB_HANDSHAKES_MAX; i++) {
        flood = (struct rig_handshake){0};
        (void)rig_edhoc(&rig, rig_message_1(&flood), &answer);
        edhoc_done(&flood.edhoc);
    }
}

static void a_flood_of_handshakes_disturbs_no_session_and_delays_a_new_one(void **state)
{
    (void)state;
    struct client *client = open_device(false, gcm), *newcomer = open_device(true, gcm);
    struct answer answer;
    send_event(client, "0");
    half_a_handshake_from_everywhere();
    send_event(client, "1");
    assert_int_equal(1, appraised);
    unsigned before = arrived;
    begin_event(newcomer, "2", &answer);
    while (arrived < before + 4) { /* it asks again and again */
        turn(newcomer);
        assert_false(answer.over);
    }
    half_a_handshake_from_everywhere();
    rig.now_ms += HUB_HANDSHAKE_SPARED_MS; /* those of the flood are no longer young */
    while (!answer.over)
        turn(newcomer);
    check_ok(answer.status);
    send_event(client, "3");
    assert_int_equal(2, appraised);
    client_close(client);
    client_close(newcomer);
    assert_int_equal(4, events_of_device());
}

int main(void)
{
#define node_test(name) cmocka_unit_test_setup_teardown(name, start_node, stop_node)
    const struct CMUnitTest tests[] = {
        node_test(the_last_sequence_number_is_used_and_what_comes_next_has_a_new_session),
        node_test(an_eight_byte_tag_that_wore_out_ends_the_session),
        node_test(forgeries_that_reach_the_hub_cost_a_handshake),
        node_test(a_hub_that_is_launched_again_is_met_again_unasked),
        node_test(wherever_the_hub_is_killed_the_event_arrives_once),
        node_test(a_flood_of_handshakes_disturbs_no_session_and_delays_a_new_one),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
